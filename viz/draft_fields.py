"""Fields of a scenario that is built on the page: what each may hold, and how it is written into the tables.

A field reads the tables of the scenario as they are, perhaps incomplete; units, ranges, choices and names are
those of the schema of scenarios.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from exoabm.cells import behaviors
from exoabm.cells.responses import SIGNALS
from exoabm.errors import InputError, did_you_mean, visible
from exoabm.parameters import Quantity
from exoabm.parameters.units import QuantityError
from exoabm.scenario.schema import Clock, DomainTable, Transport
from exoabm.scenario.schema_base import Entry, parameter_of
from exoabm.scenario.schema_cells import CargoTable, CellTypeTable, Response, VesicleTable
from exoabm.text_formatting import spaced
from exoabm.vesicle import PARTICLES
from exoabm.viz.parameter_controls import UNITS, spelled_out, without_unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pydantic import BaseModel

    from exoabm.parameters import Parameter

LONGEST = 200
"""Characters of an entry."""
TABLES: dict[str, type[BaseModel]] = {
    "cargo": CargoTable,
    "vesicle": VesicleTable,
    "cell_type": CellTypeTable,
    "response": Response,
}
"""Lists of a scenario that are edited, in the order in which they are built."""
SINGLE: dict[str, type[BaseModel]] = {
    "domain": DomainTable,
    "clock": Clock,
    "transport": Transport,
}
"""Tables of a scenario of which there is one, that are edited."""
REFERENCES = {"releases": "vesicle", "takes_up": "vesicle", "cargo": "cargo", "cell_type": "cell_type"}
"""Keys whose values are names, and of what."""
TRANSFORMS = "transformation_rate"
_FIRST = {
    "cargo": ("molecule", "copies", "half_life"),
    "vesicle": ("cargo", "diameter", "half_life", "delivery_probability"),
    "cell_type": (
        "releases",
        "release_rate",
        "takes_up",
        "uptake_rate",
        "division_rate",
        "death_rate",
        "motility",
    ),
}
"""Keys with a field, after name and number of cells."""
_BLANK = {"molecule": "not stated", "releases": "no vesicles"}
_SIGNAL = {
    "cargo": "receives {}",
    "concentration": "is surrounded by {}",
    "bound": "has bound {}",
    "endosomal": "holds {} in endosomes",
}
"""Signals that a response can be given on the page, as what a cell does."""
_EFFECT = {
    "division_rate": ("divides more often", "divides less often"),
    "death_rate": ("dies more often", "dies less often"),
    "release_rate": ("releases more vesicles", "releases fewer vesicles"),
    "uptake_rate": ("takes up more vesicles", "takes up fewer vesicles"),
    "delivery_probability": ("delivers more of its cargo", "delivers less of its cargo"),
    "motility": ("moves faster", "moves more slowly"),
}
"""Behaviors that a response can be given on the page, raised and lowered."""


@dataclass(frozen=True)
class Field:
    """A field of the editor.

    Attributes
    ----------
    key, label : str
    kind : str
        ``name``, ``text``, ``number``, ``count``, ``choice`` or ``many``.
    value : str or list of str
        As it stands in the scenario, "" where the default holds; of a number, in its own unit.
    put : callable
        ``put(raw, value)`` writes a checked value into the tables, None to remove it.
    choices : tuple of (str, str)
        Values and their words.
    parameter : Parameter, optional
        Of a number.
    blank : str
        What holds where there is no value.
    """

    key: str
    label: str
    kind: str
    value: Any
    put: Callable[[dict[str, Any], Any], None] = field(repr=False)
    choices: tuple[tuple[str, str], ...] = ()
    parameter: Parameter | None = None
    blank: str = ""


def fields(raw: Mapping[str, Any], kind: str, index: int = 0) -> Iterator[Field]:
    """The fields of an item of the draft, or of the one table ``setting`` of space, time and readout."""
    if kind == "setting":
        yield from _fields_of_settings(raw)
    elif kind in TABLES and 0 <= index < len(raw.get(kind, [])):
        if kind == "response":
            yield from _fields_of_response(raw, index)
        else:
            yield from _fields_of_item(raw, kind, index)


def _fields_of_item(raw: Mapping[str, Any], kind: str, index: int) -> Iterator[Field]:
    item = raw[kind][index]
    yield Field("name", "name", "name", item.get("name", ""), _writes((kind, index), "name"))
    if kind == "cell_type":
        for place, group in enumerate(raw.get("layout", {}).get("group", [])):
            if group.get("cell_type") == item.get("name"):
                yield from _fields_of_group(group, place)
    for key in _FIRST[kind]:
        if key in ("release_rate", "uptake_rate") and not item.get(
            "releases" if key[:2] == "re" else "takes_up"
        ):
            continue
        yield _field_of(raw, TABLES[kind], item, key, _writes((kind, index), key))


def _fields_of_group(group: Mapping[str, Any], place: int) -> Iterator[Field]:
    path = ("layout", "group", place)
    of = f" of {group['name']}" if "name" in group else ""
    yield Field(
        f"count.{place}", f"number of cells{of}", "count", str(group.get("count", 1)), _writes(path, "count")
    )
    words = (("random", "apart, at random"), ("cluster", "in a cluster"), ("hexagonal", "as a sheet"))
    here = group.get("arrange", "")
    if here in ("", *(value for value, _ in words[1:])):
        choices = (("", words[0][1]), *words[1:])
        yield Field(f"arrange.{place}", f"placed{of}", "choice", here, _writes(path, "arrange"), choices)


def _fields_of_settings(raw: Mapping[str, Any]) -> Iterator[Field]:
    title = raw.get("info", {}).get("title", "")
    yield Field("title", "title", "text", title, _writes(("info",), "title"))
    size = raw.get("domain", {}).get("size", [])
    parameter = parameter_of(DomainTable, "size")
    for axis, length in enumerate(size if isinstance(size, list) else ()):
        value = _magnitude(length, parameter)
        label = ("width", "height", "depth")[axis]
        yield Field(
            f"size.{axis}", label, "number", value, _writes(("domain", "size"), axis), parameter=parameter
        )
    for table, key in (
        ("domain", "voxel"),
        ("domain", "thickness"),
        ("transport", "hindrance"),
        ("clock", "step"),
        ("clock", "duration"),
    ):
        if key != "thickness" or len(size) == 2:
            yield _field_of(raw, SINGLE[table], raw.get(table, {}), key, _writes((table,), key))
    yield _field_of(raw, Transport, raw.get("transport", {}), "engine", _writes(("transport",), "engine"))
    yield _field_of_readout(raw)


def readouts(raw: Mapping[str, Any]) -> dict[str, str]:
    """Readouts that the page offers as the main result, and their titles."""
    found = {f"cells[{name}]": f"number of {spaced(name)} cells" for name in names(raw, "cell_type")}
    return found | {
        f"delivered[{kind['name']}]": f"{of.name} that {of.delivered}: {spaced(kind['name'])}"
        for kind in raw.get("vesicle", [])
        if kind.get("name") and (of := PARTICLES.get(kind.get("comparator")))
    }


def _field_of_readout(raw: Mapping[str, Any]) -> Field:
    """What pictures and tables of the run begin with."""
    here, found = raw.get("readout", {}).get("metric", ""), readouts(raw)
    if here:
        found.setdefault(here, here)

    def put(raw: dict[str, Any], value: str | None) -> None:
        raw.pop("readout", None)
        if value is not None:
            raw["readout"] = {"metric": value, "title": found[value]}

    return Field("readout", "main result", "choice", here, put, (("", "vesicles taken up"), *found.items()))


def _field_of(
    raw: Mapping[str, Any],
    table: type[BaseModel],
    item: Mapping[str, Any],
    key: str,
    put: Callable[[dict[str, Any], Any], None],
) -> Field:
    """The field of a key, as the schema declares it."""
    label, here = spaced(key), item.get(key)
    parameter = parameter_of(table, key)
    if parameter is not None:
        default = table.model_fields[key].get_default(call_default_factory=True)
        blank = f"{default.magnitude:g}" if isinstance(default, Quantity) else "none"
        return Field(key, label, "number", _magnitude(here, parameter), put, (), parameter, blank)
    if key in REFERENCES:
        known = tuple((name, spaced(name)) for name in names(raw, REFERENCES[key]))
        if key in ("takes_up", "cargo"):
            return Field(key, label, "many", list(here or []), put, known)
        return Field(key, label, "choice", here or "", put, (("", _BLANK.get(key, "not chosen")), *known))
    default = table.model_fields[key].default
    blank = _BLANK.get(key, "")
    words = tuple(
        (word, f"{spaced(word)}{' (default)' if word == default else ''}") for word in _words(table, key)
    )
    choices = (
        (("", blank), *words)
        if blank
        else tuple(("" if word == default else word, text) for word, text in words)
    )
    return Field(key, label, "choice", "" if here is None or here == default else here, put, choices)


def _words(table: type[BaseModel], key: str) -> list[str]:
    return Entry(key, None, table.model_construct(), key).choices


def _fields_of_response(raw: Mapping[str, Any], index: int) -> Iterator[Field]:
    row, path = raw["response"][index], ("response", index)
    yield _field_of(raw, Response, row, "cell_type", _writes(path, "cell_type"))
    signal = row.get("signal", "")
    yield Field("signal", "that", "choice", signal, _writes(path, "signal"), _options(signals(raw), signal))
    effect, effects = effect_of(raw, row), effects_for(raw, row)
    yield Field("effect", "does what", "choice", effect, _puts_effect(index), _options(effects, effect))
    behavior = row.get("increases") or row.get("decreases")
    if behavior and (found := behaviors.behavior_of(behavior)) is not None:
        parameter = found.keys[-1][1]
        value = _magnitude(row.get("to"), parameter)
        label = "rate at full effect" if behavior.endswith("_rate") else "value at full effect"
        yield Field("to", label, "number", value, _writes(path, "to"), parameter=parameter)
    word = signal.partition(".")[0]
    if word in SIGNALS:
        parameter = SIGNALS[word].parameter
        value = _magnitude(row.get("half_max"), parameter)
        label = f"half effect at ({spaced(signal.partition('.')[2])})"
        yield Field("half_max", label, "number", value, _writes(path, "half_max"), parameter=parameter)
    yield _field_of(raw, Response, row, "hill", _writes(path, "hill"))
    yield Field("name", "name", "name", row.get("name", ""), _writes(path, "name"))


def signals(raw: Mapping[str, Any]) -> dict[str, str]:
    """Signals of a response, as in a scenario, and what a cell then does in words."""
    return {
        f"{word}.{name}": words.format(spaced(name))
        for word, words in _SIGNAL.items()
        for name in names(raw, SIGNALS[word].of)
    }


def _options(found: dict[str, str], here: str) -> tuple[tuple[str, str], ...]:
    """The choices of a required field; the present value is always among them."""
    return (("", "not chosen"), *(found | ({here: here} if here and here not in found else {})).items())


def effects_for(raw: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, str]:
    """Effects that a response may have on its cells, as keys ``into NAME``, ``+BEHAVIOR``, ``-BEHAVIOR``."""
    cell = next((c for c in raw.get("cell_type", []) if c.get("name") == row.get("cell_type")), None)
    if cell is None:
        return {}
    others = [name for name in names(raw, "cell_type") if name != cell["name"]]
    found = {f"into {name}": f"turns into {spaced(name)}" for name in others}
    for behavior in behaviors.BUILT_IN:
        if behavior.name in _EFFECT and (
            not behavior.requires or any(cell.get(key) for key in behavior.requires)
        ):
            found |= zip((f"+{behavior.name}", f"-{behavior.name}"), _EFFECT[behavior.name], strict=True)
    return found


def effect_of(raw: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """The effect of a response, as a key of ``effects_for``; "" if it has none yet."""
    if row.get("increases") == TRANSFORMS:
        cells = [c for c in raw.get("cell_type", []) if c.get("name") == row.get("cell_type")]
        cell: Mapping[str, Any] = cells[0] if cells else {}
        return f"into {cell.get('transformation', {}).get('into', '?')}"
    return next(
        (f"{sign}{row[verb]}" for sign, verb in (("+", "increases"), ("-", "decreases")) if row.get(verb)), ""
    )


def _puts_effect(index: int) -> Callable[[dict[str, Any], Any], None]:
    def put(raw: dict[str, Any], value: str | None) -> None:
        row = raw["response"][index]
        before = row.get("increases") or row.get("decreases")
        row.pop("increases", None)
        row.pop("decreases", None)
        cell = next((c for c in raw.get("cell_type", []) if c.get("name") == row.get("cell_type")), None)
        others = [
            each
            for each in raw["response"]
            if each.get("cell_type") == row.get("cell_type") and each.get("increases") == TRANSFORMS
        ]
        if value is not None and value.startswith("into ") and cell is not None:
            into = cell.get("transformation", {}).get("into")
            if others and into != value[5:]:
                raise InputError(
                    f"{cell['name']} cells already turn into {into}; cells turn into one other type"
                )
            rate = cell.get("transformation", {}).get("rate", 0)
            cell["transformation"] = {"into": value[5:], "rate": rate}
            row["increases"] = TRANSFORMS
        elif value is not None:
            row["increases" if value[0] == "+" else "decreases"] = value[1:]
        if before == TRANSFORMS and row.get("increases") != TRANSFORMS and not others and cell is not None:
            cell.pop("transformation", None)
        if before != (row.get("increases") or row.get("decreases")):
            row.pop("to", None)  # in a unit of its own

    return put


def names(raw: Mapping[str, Any], kind: str) -> list[str]:
    """Names of the items of a kind."""
    return [str(item["name"]) for item in raw.get(kind, []) if item.get("name")]


def _writes(path: tuple[str | int, ...], key: str | int) -> Callable[[dict[str, Any], Any], None]:
    """Writes a value into the table at ``path``, and removes a table that is then empty."""

    def put(raw: dict[str, Any], value: Any) -> None:
        node: Any = raw
        for part in path:
            node = node.setdefault(part, {}) if isinstance(node, dict) else node[part]
        if value is not None:
            node[key] = value
        elif isinstance(node, dict):
            node.pop(key, None)
            if not node and len(path) == 1:
                del raw[str(path[0])]

    return put


def referred(key: str, value: str) -> tuple[str, str]:
    """Kind and name of what a signal or a behavior such as ``cargo.order`` is of."""
    word, _, name = value.partition(".")
    return ((SIGNALS[word].of if word in SIGNALS else "") if key == "signal" else "cargo"), name


def checked(of: Field, value: object) -> Any:
    """A value as a field may hold it, None for the default.

    Raises
    ------
    InputError
        With what is allowed.
    """
    known = [word for word, _ in of.choices]
    if of.kind == "many":
        chosen = [str(each) for each in value] if isinstance(value, list) else [str(value)]
        for each in chosen:
            if each not in known:
                hint = did_you_mean(each, known)
                raise InputError(
                    f"{visible(each)[:60]!r}: must be among {', '.join(known) or 'none yet'}{hint}"
                )
        return [word for word in known if word in chosen] or None
    text = visible(str(value)).strip()
    if len(text) > LONGEST:
        raise InputError(f"at most {LONGEST} characters")
    if of.kind == "choice":
        if text not in known:
            raise InputError(
                f"{text[:60]!r}: must be one of {', '.join(filter(None, known))}{did_you_mean(text, known)}"
            )
    elif of.kind == "name":
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_\-]{0,63}", text):
            raise InputError("a name is a letter, then letters, digits, _ or -, at most 64")
    elif of.kind == "count":
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 10_000_000):
            raise InputError(f"{text!r} is not a whole number from 1 to 10000000")
        return int(text)
    elif of.kind == "number" and text:
        assert of.parameter is not None
        return number(text, of.parameter)
    return text or None


def number(text: str, parameter: Parameter) -> str | float:
    """A number as a scenario file gives it: as typed, with the unit of its parameter where it has none.

    Raises
    ------
    InputError
        If it is not one, or out of range.
    """
    text = without_unit(text, UNITS.get(parameter.unit, parameter.unit))
    try:
        given: float | str = float(text)
    except ValueError:
        given = text
    try:
        Quantity(parameter, given)
    except QuantityError as error:
        raise InputError(spelled_out(str(error))) from None
    if isinstance(given, str):
        return given
    if parameter.unit == "1":
        return int(given) if given.is_integer() else given
    unit = parameter.unit.removeprefix("1/")
    return f"{text} {parameter.unit}" if unit == parameter.unit else f"{text} / {unit}"


def _magnitude(given: object, parameter: Parameter | None) -> str:
    """A number in the unit of its parameter; "" if there is none, as given if it cannot be read."""
    if given is None or parameter is None:
        return ""
    try:
        return f"{Quantity.read(given, parameter).magnitude:.10g}"
    except QuantityError:
        return str(given)
