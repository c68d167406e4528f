"""Reading a scenario: by shipped name or path, with overrides, every fault named."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from exoabm.cells.response import SIGNALS
from exoabm.errors import InputError, Problem, ScenarioError, did_you_mean
from exoabm.parameters.parameter import Quantity
from exoabm.scenario import living
from exoabm.scenario.fields import parameter_of
from exoabm.scenario.schema import FOLLOWS, Scenario
from exoabm.state import OUTSIDE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic_core import ErrorDetails

MAX_BYTES = 1 << 20
PATH_KEY = "layout.table"
MOST_FAULTS = 100
PLAIN_WORDS = {
    "int_parsing": "a whole number such as 30",
    "int_type": "a whole number such as 30",
    "int_from_float": "a whole number such as 30",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "a text in quotes",
    "string_pattern_mismatch": "a name: a letter, then letters, digits, _ or -, at most 64",
    "too_short": "a list with at least one entry",
}
"""What is right instead of the commonest faults of type."""


@dataclass(frozen=True)
class LoadedScenario:
    """A checked scenario and where it came from.

    ``folder`` is what relative table paths start from. An untrusted scenario (an upload, a URL) may
    read nothing outside it. ``text`` is the file as it was read, to be read again with other overrides.
    """

    name: str
    scenario: Scenario
    folder: Path
    trusted: bool = True
    overrides: tuple[tuple[str, str], ...] = ()
    text: bytes = field(default=b"", repr=False, compare=False)

    def table_path(self) -> Path | None:
        """Path of the layout's table, if it has one.

        Raises
        ------
        InputError
            If an untrusted scenario names a file outside its folder.
        """
        if self.scenario.layout.table is None:
            return None
        path = Path(self.scenario.layout.table)
        resolved = _resolve(self.folder / path, self.name)
        if not self.trusted and not (
            resolved.is_relative_to(self.folder.resolve()) and not path.is_absolute()
        ):
            raise InputError(
                f"{self.name}: {PATH_KEY} = {str(path)!r} leads out of the scenario's folder; "
                "a scenario from an upload or a URL may only name files beside it"
            )
        return resolved

    def table_sha256(self) -> str | None:
        """SHA-256 of the layout's table, if it has one."""
        path = self.table_path()
        return None if path is None else hashlib.sha256(path.read_bytes()).hexdigest()

    def resolved(self) -> dict[str, Any]:
        """The scenario with every default filled in, as plain data that TOML and JSON can hold."""
        plain = plain_data(self.scenario)
        assert isinstance(plain, dict)
        return plain

    def written(self) -> str:
        """The scenario as it was written, with what was set since, as TOML.

        Defaults are left out, for what they are may depend on a value that is set later.
        """
        import tomli_w

        return tomli_w.dumps(_tables(self.text, self.name, dict(self.overrides), trusted=self.trusted))

    def changed(self, overrides: Mapping[str, str]) -> LoadedScenario:
        """The scenario with other values, as if they had been set from the start.

        Raises
        ------
        InputError
            If one of them is not allowed.
        """
        text = self.written().encode()
        return parse(text, name=self.name, folder=self.folder, overrides=overrides, trusted=self.trusted)

    def sha256(self) -> str:
        """SHA-256 of the resolved scenario as canonical JSON."""
        text = json.dumps(self.resolved(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def shipped() -> dict[str, Path]:
    """The scenarios that come with exoabm, by name."""
    folder = Path(str(resources.files("exoabm.scenarios")))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load(
    source: str | Path, overrides: Mapping[str, str] | None = None, *, trusted: bool = True
) -> LoadedScenario:
    """Read a shipped scenario by name, or any scenario file by path.

    Parameters
    ----------
    source
        A name such as ``"signaling"`` or a path. An untrusted source must be a name.
    overrides
        Dotted keys and values as text, e.g. ``{"cell_type.donor.release_rate": "10"}``.
    trusted
        False for what comes from an upload or a URL.

    Raises
    ------
    ScenarioError, InputError
        With file, key, value and what is allowed.
    """
    names = shipped()
    text = str(source)
    if text in names:
        path = names[text]
    elif trusted and (text.endswith(".toml") or "/" in text or _is_file(text)):
        path = Path(text)
        if not _is_file(text):
            raise InputError(f"no scenario file at {text[:200]}")
    else:
        hint = did_you_mean(text, names)
        raise InputError(f"unknown scenario {_short(text)}{hint}; `exoabm list` shows all")
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    name = path.stem if text in names else str(path)
    return parse(data, name=name, folder=path.parent, overrides=overrides, trusted=trusted)


def parse(
    data: bytes,
    *,
    name: str,
    folder: Path,
    overrides: Mapping[str, str] | None = None,
    trusted: bool = True,
) -> LoadedScenario:
    """Check the bytes of a scenario file; see ``load``."""
    given = dict(overrides or {})
    raw = _tables(data, name, given, trusted=trusted)
    try:
        scenario = Scenario.model_validate(raw)
    except ValidationError as error:
        raise ScenarioError(name, list(_problems(error, raw))) from None
    problems = list(_dangling(scenario)) or list(living.problems(scenario))
    if problems:
        raise ScenarioError(name, problems)
    return LoadedScenario(name, scenario, folder, trusted, tuple(given.items()), data)


def _tables(data: bytes, name: str, overrides: Mapping[str, str], *, trusted: bool) -> dict[str, Any]:
    """The tables of a scenario file with the overrides in them, unchecked."""
    raw = copy(_toml(data, name))
    for key, value in overrides.items():
        own = str(_resolve(Path(value), name)) if key == PATH_KEY and trusted else value
        _override(raw, key, own, name)
    return raw


def cautions(scenario: Scenario) -> list[str]:
    """A sentence for every value outside its published range; comparators are no vesicles."""
    others = of_comparators(scenario)
    return [f"{key}: {q.caution}" for key, q in quantities(scenario) if q.caution and key not in others]


def of_comparators(scenario: Scenario) -> set[str]:
    """Keys of comparators for which the published range is one of vesicles and says nothing."""
    own = ("diameter", "diffusivity", "half_life", "delivery_probability", "copies")
    return {f"vesicle.{v.name}.{key}" for v in scenario.vesicle if v.comparator for key in own}


def quantities(table: BaseModel, prefix: str = "") -> Iterator[tuple[str, Quantity]]:
    """Every number of a scenario with its dotted key."""
    for key, value in entries(table, prefix):
        if isinstance(value, Quantity):
            yield key, value


@dataclass(frozen=True)
class Entry:
    """A value of a scenario, the table that it stands in, and the name of its field there."""

    key: str
    value: Any
    table: BaseModel
    field: str

    @property
    def meaning(self) -> str:
        """A sentence on what the value is, if there is one."""
        return _declared(type(self.table), self.field)

    @property
    def choices(self) -> list[str]:
        """The words that it may be, if they are given."""
        found: list[str] = []
        pending = [type(self.table).model_fields[self.field].annotation]
        while pending:
            annotation = pending.pop()
            if get_origin(annotation) is Literal:
                found.extend(map(str, get_args(annotation)))
            else:
                pending.extend(get_args(annotation))
        return found


def entries(table: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a scenario with its dotted key, lists of tables by the names in them."""
    for entry in described(table, prefix):
        yield entry.key, entry.value


def described(table: BaseModel, prefix: str = "") -> Iterator[Entry]:
    """Every value of a scenario, as ``entries``, with what is declared of it."""
    for name in type(table).model_fields:
        yield from _entries(Entry(f"{prefix}{name}", getattr(table, name), table, name))


def _entries(entry: Entry) -> Iterator[Entry]:
    key, value = entry.key, entry.value
    if isinstance(value, BaseModel):
        yield from described(value, f"{key}.")
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _entries(replace(entry, key=f"{key}.{name}", value=item))
    elif isinstance(value, list) and value and isinstance(value[0], BaseModel):
        for name, item in zip(_names_of(value), value, strict=True):
            yield from _entries(replace(entry, key=f"{key}.{name}", value=item))
    else:
        yield entry


def plain_data(value: Any) -> Any:
    """A scenario as plain data: tables as dicts, quantities as {value, source, note}."""
    if isinstance(value, BaseModel):
        pairs = ((key, getattr(value, key)) for key in type(value).model_fields)
        return {key: plain_data(v) for key, v in pairs if v is not None}
    if isinstance(value, Quantity):
        words = {"source": value.source, "note": value.note}
        return {"value": _given(value), **{k: v for k, v in words.items() if v}}
    if isinstance(value, list):
        return [plain_data(item) for item in value]
    if isinstance(value, dict):
        return {key: plain_data(item) for key, item in value.items()}
    return value


def _given(value: Quantity) -> str | float:
    """A quantity as it was given, so that reading it again gives the same bits; units always shown."""
    unit = value.parameter.unit
    if isinstance(value.given, str) or unit == "1":
        return value.given
    return f"{value.given!r} {unit}"


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # longer than a path may be, or with a null character
        return False


def _resolve(path: Path, name: str) -> Path:
    try:
        return path.resolve()
    except (OSError, ValueError):
        raise InputError(f"{name}: {PATH_KEY} = {_short(str(path))}: not a path") from None


@lru_cache(maxsize=4)  # a batch reads one text with many overrides
def _toml(data: bytes, name: str) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise InputError(f"{name}: a scenario file may have at most {MAX_BYTES} bytes")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise InputError(f"{name}: not a text file (UTF-8 is expected)") from None
    except ValueError as error:  # also an integer of thousands of digits
        raise InputError(f"{name}: not valid TOML: {error}") from None
    except RecursionError:
        raise InputError(f"{name}: nested too deep to be a scenario") from None


def _override(raw: dict[str, Any], dotted: str, value: str, name: str) -> None:
    """Set one dotted key in the raw tables; elements of a list are found by their names.

    What is changed is copied on the way down: what was read is kept for other overrides.
    """
    parts = dotted.split(".")
    node: Any = raw
    for depth, part in enumerate(parts[:-1]):
        if isinstance(node, list):
            names = _names_of(node)
            if part.isdecimal() and int(part) < len(node):
                at: Any = int(part)
            elif part in names:
                at = names.index(part)
            else:
                where = ".".join(parts[:depth])
                raise InputError(
                    f"{name}: --set {dotted}: there is no {where} named {part!r}"
                    f"{did_you_mean(part, names)} (there are: {', '.join(names)})"
                )
        elif isinstance(node, dict):
            at = part
            node.setdefault(part, {})
        else:
            raise InputError(f"{name}: --set {dotted}: {'.'.join(parts[:depth])} is not a table")
        node[at] = copy(node[at])
        node = node[at]
    if not isinstance(node, dict):
        raise InputError(f"{name}: --set {dotted}: name the element and the key to set in it")
    node[parts[-1]] = _literal(value)


def _literal(text: str) -> Any:
    """A value as TOML would read it, or the text itself."""
    if len(text) < 4096:
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except (ValueError, RecursionError):
            pass
    return text


def _names_of(items: list[Any]) -> list[str]:
    """How the elements of a list are called in dotted keys: by a name of their own, else by number from 0."""
    names = [_name_of(item) for item in items]
    first: dict[str | None, int] = {}
    for position, name in enumerate(names):
        first.setdefault(name, position)
    return [
        str(position) if name is None or first[name] < position else name
        for position, name in enumerate(names)
    ]


def _name_of(item: Any) -> str | None:
    if isinstance(item, BaseModel):
        item = item.__dict__
    if isinstance(item, dict):
        for key in ("name", "cell_type", "cargo"):
            if isinstance(item.get(key), str):
                return str(item[key])
    return None


def _problems(error: ValidationError, raw: dict[str, Any]) -> Iterator[Problem]:
    """One problem a key: what its branches want (a word, or a list) is wanted together."""
    problems: dict[str, Problem] = {}
    faults = error.errors(include_url=False)
    for fault in faults[:MOST_FAULTS]:
        if fault["type"] == FOLLOWS:
            continue
        where, table = _locate(fault["loc"], raw)
        key = where.rpartition(".")[2]
        found = _short(fault.get("input"))
        kind = fault["type"]
        if kind == "extra_forbidden":
            known = list(table.model_fields) if table else []
            hint = did_you_mean(key, known).lstrip("; ") or _elsewhere(key, known)
            problem = Problem(where, found, "unknown key", hint)
        elif kind == "missing":
            problem = Problem(where, "", "this key is required", _declared(table, key))
        else:
            below = _subtable(table, key)
            if kind == "literal_error" and below and isinstance(fault["input"], dict):
                continue  # of the table's branch there is more to say
            problem = Problem(where, found, _wanted(fault, below), _declared(table, key))
        before = problems.get(where)
        if before is not None and problem.expected.startswith("must be "):
            both = f"{before.expected}, or {problem.expected.removeprefix('must be ')}"
            problem = Problem(where, before.value, both, before.hint)
        problems[where] = problem
    yield from problems.values()
    if len(faults) > MOST_FAULTS:
        yield Problem("...", "", f"{len(faults) - MOST_FAULTS:,} more")


def _wanted(fault: ErrorDetails, below: type[BaseModel] | None) -> str:
    """What would be right, in the words of the file format; ``below`` is the table that the key may hold."""
    kind, given, context = fault["type"], fault.get("input"), fault.get("ctx", {})
    if kind == "literal_error":
        words = re.findall(r"'([^']*)'", context["expected"])
        near = did_you_mean(given, words) if isinstance(given, str) else ""
        return f"must be {context['expected']}{near}"
    if kind == "list_type":
        if isinstance(given, Quantity):  # all lists of numbers are coordinates
            return f"must be a list such as {json.dumps([given.given] * 2)}"
        return f"must be a list{f' such as {json.dumps([given])}' if isinstance(given, str) else ''}"
    if kind in ("dict_type", "model_type"):
        return f"must be a table such as {{{next(iter(below.model_fields)) if below else 'key'} = ...}}"
    if kind in PLAIN_WORDS:
        return f"must be {PLAIN_WORDS[kind]}"
    message = fault["msg"].removeprefix("Value error, ")
    return re.sub(r"^(Input|String|List|Dictionary|Value) should", "must", message)


def _elsewhere(key: str, known: list[str]) -> str:
    """A key that another table has, or else those that this one has."""
    others = [name for name in _all_keys() if name.rpartition(".")[2] == key]
    keys = f"known keys: {', '.join(known)}"
    return f"it belongs in [{others[0].rpartition('.')[0]}]; {keys}" if len(others) == 1 else keys


def _declared(table: type[BaseModel] | None, key: str) -> str:
    if table is None or key not in table.model_fields:
        return ""
    parameter = parameter_of(table, key)
    return table.model_fields[key].description or (parameter.meaning if parameter else "")


def _locate(loc: tuple[int | str, ...], raw: Any) -> tuple[str, type[BaseModel] | None]:
    """The dotted key of a pydantic location, and the table that its last key stands in."""
    table: type[BaseModel] | None = Scenario
    holder, parts, node = table, [], raw
    for step in loc:
        inside = node[step] if _has(node, step) else None
        if isinstance(step, int):
            parts.append(_names_of(node)[step] if isinstance(node, list) else str(step))
        elif inside is None and not (table is not None and step in table.model_fields):
            continue  # pydantic's own word for a branch of a union
        else:
            parts.append(step)
            holder, table = table, _subtable(table, step)
        node = inside
    return ".".join(parts), holder


def _has(node: Any, step: int | str) -> bool:
    if isinstance(step, int):
        return isinstance(node, list) and step < len(node)
    return isinstance(node, dict) and step in node


def _subtable(table: type[BaseModel] | None, key: str) -> type[BaseModel] | None:
    """The table that a key of a table holds, alone, optional or in a list."""
    if table is None or key not in table.model_fields:
        return None
    pending = [table.model_fields[key].annotation]
    while pending:
        annotation = pending.pop()
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation
        pending.extend(get_args(annotation))
    return None


@cache
def _all_keys() -> dict[str, None]:
    """Every key of the file format with the table it stands in, such as ``vesicle.diffusivity``."""
    found: dict[str, None] = {}
    pending: list[tuple[str, type[BaseModel]]] = [("", Scenario)]
    while pending:
        prefix, table = pending.pop()
        for key in table.model_fields:
            below = _subtable(table, key)
            if below is None:
                found[prefix + key] = None
            else:
                pending.append((f"{prefix}{key}.", below))
    return found


def _short(value: Any) -> str:
    if isinstance(value, dict | list):
        return ""
    try:
        text = repr(value.given if isinstance(value, Quantity) else value)
    except ValueError:  # an integer of thousands of digits
        return "a number too long to print"
    return text if len(text) <= 60 else text[:57] + "..."


def _dangling(scenario: Scenario) -> Iterator[Problem]:
    """Names that stand twice, or that name nothing."""
    names = {
        "vesicle": [table.name for table in scenario.vesicle],
        "cargo": [table.name for table in scenario.cargo],
        "cell_type": [table.name for table in scenario.cell_type],
        "layout.group": [group.key for group in scenario.layout.group],
        "response": [row.name for row in scenario.response if row.name is not None],
        "dose": [table.name for table in scenario.dose],
        "arm": [table.name for table in scenario.arm],
        **{
            f"trial.{key}": [table.name for table in getattr(scenario.trial, key, [])]
            for key in ("readout", "assumption", "between")
        },
    }
    for key, known in names.items():
        for name in sorted({n for n in known if known.count(n) > 1}):
            hint = "give each group a name of its own" if key == "layout.group" else ""
            yield Problem(key, repr(name), "this name stands twice", hint)

    for name in OUTSIDE:
        if name in names["cell_type"]:
            yield Problem("cell_type", repr(name), "this name stands for what no cell released")

    def unknown(where: str, name: str | None, kind: str) -> Iterator[Problem]:
        if name is not None and name not in names[kind]:
            known = dict.fromkeys(names[kind])
            hint = did_you_mean(name, known).lstrip("; ") or f"known: {', '.join(known)}"
            yield Problem(where, repr(name), f"no {kind.replace('_', ' ')} of this name", hint)

    for vesicle in scenario.vesicle:
        for cargo in vesicle.cargo:
            yield from unknown(f"vesicle.{vesicle.name}.cargo", cargo, "cargo")
    waste = [c for c in scenario.cargo if c.role == "waste"]
    for cell in scenario.cell_type:
        yield from unknown(f"cell_type.{cell.name}.releases", cell.releases, "vesicle")
        for vesicle_name in cell.takes_up:
            yield from unknown(f"cell_type.{cell.name}.takes_up", vesicle_name, "vesicle")
        if cell.waste is not None:
            key = f"cell_type.{cell.name}.waste.vesicle"
            yield from unknown(key, cell.waste.vesicle, "vesicle")
            for vesicle in scenario.vesicle:
                carried = [c for c in waste if c.name in vesicle.cargo and vesicle.load(c) > 0]
                if vesicle.name == cell.waste.vesicle and not carried:
                    yield Problem(
                        key,
                        repr(vesicle.name),
                        "this vesicle carries no waste (a cargo of role waste, copies above 0)",
                    )
        key = f"cell_type.{cell.name}"
        for held in cell.holds:
            yield from unknown(f"{key}.holds.{held.cargo}.cargo", held.cargo, "cargo")
            yield from unknown(f"{key}.holds.{held.cargo}.vesicle", held.vesicle, "vesicle")
        for sorting in cell.mvb.sorting if cell.mvb else ():
            yield from unknown(f"{key}.mvb.sorting", sorting.vesicle, "vesicle")
        for follow, where in ((cell.climbs, "climbs"), (cell.follows, "follows")):
            if follow is not None:
                yield from unknown(f"{key}.{where}.vesicle", follow.vesicle, "vesicle")
        if cell.transformation is not None:
            yield from unknown(f"{key}.transformation.into", cell.transformation.into, "cell_type")
    for name, row in zip(_names_of(scenario.response), scenario.response, strict=True):
        key = f"response.{name}"
        yield from unknown(f"{key}.cell_type", row.cell_type, "cell_type")
        if row.of:
            yield from unknown(f"{key}.signal", row.of, SIGNALS[row.word].of)
        if "." in row.behavior:
            yield from unknown(
                f"{key}.{'increases' if row.increases else 'decreases'}",
                row.behavior.partition(".")[2],
                "cargo",
            )
    for group in scenario.layout.group:
        yield from unknown(f"layout.group.{group.key}.cell_type", group.cell_type, "cell_type")
    for dose in scenario.dose:
        yield from unknown(f"dose.{dose.name}.vesicle", dose.vesicle, "vesicle")
        yield from unknown(f"dose.{dose.name}.molecule", dose.molecule, "vesicle")
        yield from unknown(f"dose.{dose.name}.through", dose.through, "cell_type")
        if dose.route != "tissue" and scenario.pharmacokinetics is None:
            hint = "add [pharmacokinetics], or give the dose into the tissue itself"
            where = f"dose.{dose.name}.route"
            yield Problem(where, repr(dose.route), "needs a body to pass", hint)
    if scenario.trial is not None:
        criteria = scenario.trial.criterion
        for name, criterion in zip(_names_of(criteria), criteria, strict=True):
            where = f"trial.criterion.{name}"
            yield from unknown(f"{where}.readout", criterion.readout, "trial.readout")
            yield from unknown(f"{where}.arm", criterion.arm, "arm")
            yield from unknown(f"{where}.versus", criterion.versus, "arm")
    for label, target in scenario.layout.type_map.items():
        if target != "bystander":
            yield from unknown(f"layout.type_map.{label!r}", target, "cell_type")
