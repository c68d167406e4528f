"""A scenario that is built on the page: the TOML that a person would write, and its changes.

A draft is a list of texts, one per change, of which one is shown; undo and redo move between them. Each
change reads the text, changes its tables, and writes them again. Entries are checked by the schema of
scenarios when they are made; what is still missing in the whole is found by the loader.
"""

from __future__ import annotations

import json
import re
import tomllib
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exoabm.errors import InputError, ScenarioError, command_line, visible
from exoabm.scenario.loader import LoadedScenario, parse
from exoabm.scenario.schema import Scenario
from exoabm.scenario.schema_cells import selected
from exoabm.scenario.schema_fields import names_of
from exoabm.tables import readouts as metrics
from exoabm.viz.draft_fields import REFERENCES, TRANSFORMS, checked, fields, names, readouts, referred, spaced
from exoabm.viz.setup import Setup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

NAME = "my_scenario"
"""Of the file that is downloaded, and of the run on the page."""
MOST_ITEMS = 20
"""Of a kind; a larger scenario is written as a file."""
MOST_STEPS = 200
"""Changes that can be undone."""
BLANK = {"info": {"title": "My scenario"}, "domain": {"size": ["300 um", "300 um"]}}
"""What a scenario begins with."""
_WORD = {"cargo": "cargo", "vesicle": "vesicle", "cell_type": "cells", "response": "response"}
_REFERENCES = REFERENCES | {"into": "cell_type", "annotated_as": "cell_type", "vesicle": "vesicle"}
_OF_DOSE = {"through": "cell_type", "vesicle": "vesicle", "molecule": "vesicle"}
_OF_READOUT = {
    "cell_type": "cell_type",
    "donor": "cell_type",
    "recipient": "cell_type",
    "vesicle_kind": "vesicle",
    "cargo": "cargo",
}
"""Keys of readouts whose values are names of items, and of what kind."""
_INLINE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class BuiltSetup(Setup):
    """A setup whose scenario was built on the page, or came with a link; it names no files.

    Attributes
    ----------
    text : bytes
        The scenario as TOML.
    """

    text: bytes = field(default=b"", repr=False)

    def load(self) -> LoadedScenario:
        """See ``Setup``."""
        loaded = parse(
            self.text, name=self.scenario, folder=Path(), overrides=dict(self.overrides), trusted=False
        )
        if loaded.table_path() is not None or loaded.types_path() is not None:
            raise InputError(f"{self.scenario}: layout.table: a scenario built on the page reads no files")
        return loaded

    @property
    def title(self) -> str:
        """The title in the scenario."""
        info = tomllib.loads(self.text.decode()).get("info", {})
        return f"{visible(str(info.get('title', NAME)))[:80]} (built here)"

    @property
    def command(self) -> str:
        """The command line that runs the same, where the downloaded file lies in the folder at hand."""
        return command_line("run", f"{NAME}.toml", "--seed", self.seed, *self._sets)


@dataclass(frozen=True)
class Draft:
    """Texts of a scenario that is built, and which of them is shown."""

    texts: tuple[str, ...] = ()
    at: int = 0

    @classmethod
    def empty(cls) -> Draft:
        """A draft without cargo, vesicles and cells."""
        return cls((written(BLANK),))

    def emptied(self) -> Draft:
        """The draft begun anew; undo returns to the one before."""
        return self._then(BLANK)

    def taken(self, loaded: LoadedScenario) -> Draft:
        """The draft with a scenario in its place, with its changed values; undo returns to the one before.

        Raises
        ------
        InputError
            If its cells stand in a table.
        """
        if loaded.scenario.layout.table is not None:
            raise InputError(
                "the cells of this scenario are read from a table; the editor places cells by number"
            )
        return self._then(tomllib.loads(loaded.written()))

    @property
    def text(self) -> str:
        """The scenario as TOML."""
        return self.texts[self.at]

    @property
    def raw(self) -> dict[str, Any]:
        """Its tables, unchecked."""
        return tomllib.loads(self.text)

    def undo(self) -> Draft:
        """One change back, if there is one."""
        return replace(self, at=max(self.at - 1, 0))

    def redo(self) -> Draft:
        """One undone change forward, if there is one."""
        return replace(self, at=min(self.at + 1, len(self.texts) - 1))

    def setup(self, seed: int = 1) -> BuiltSetup:
        """What runs this scenario."""
        return BuiltSetup(NAME, (), seed, False, self.text.encode())

    def problems(self) -> list[str]:
        """What stands in the way of a run, a sentence each."""
        raw = self.raw
        missing = [
            sentence
            for key, sentence in (
                ("vesicle", "Add a kind of vesicle."),
                ("cell_type", "Add a type of cell."),
            )
            if not raw.get(key)
        ]
        if missing:
            return missing
        try:
            self.setup().load()
        except ScenarioError as error:
            return [str(problem) for problem in error.problems]
        except InputError as error:
            return [str(error)]
        return []

    def add(self, kind: str) -> Draft:
        """The draft with one more cargo, vesicle, cell type (with 20 cells) or response.

        Raises
        ------
        InputError
            If there are too many already.
        """
        raw = self.raw
        items = raw.setdefault(kind, [])
        if len(items) >= MOST_ITEMS:
            raise InputError(f"at most {MOST_ITEMS} of a kind on the page; add more to the file")
        names = {item.get("name") for item in items}
        name = next(n for i in range(1, MOST_ITEMS + 2) if (n := f"{_WORD[kind]}_{i}") not in names)
        items.append({"name": name})
        if kind == "cell_type":
            raw.setdefault("layout", {}).setdefault("group", []).append({"cell_type": name, "count": 20})
        return self._then(raw)

    def remove(self, kind: str, index: int) -> Draft:
        """The draft without an item, and without what refers to it."""
        raw = self.raw
        respell = _dotted_keys(raw)
        name = raw[kind].pop(index).get("name")
        if not raw[kind]:
            del raw[kind]
        _forget(raw, kind, str(name))
        respell()
        return self._then(raw)

    def set(self, kind: str, index: int, key: str, value: object) -> Draft:
        """The draft with another value of a field; "" is the default.

        Raises
        ------
        InputError
            If the field does not hold this value, with what it may hold.
        """
        raw = self.raw
        found = next((each for each in fields(raw, kind, index) if each.key == key), None)
        if found is None:
            raise InputError(f"there is no field {kind}.{index}.{key}")
        new, titles, respell = checked(found, value), readouts(raw), _dotted_keys(raw)
        if found.kind == "name" and new != found.value and new in names(raw, kind):
            raise InputError(f"there is a {spaced(kind)} {new} already")
        found.put(raw, new)
        if found.kind == "name":
            _rename(raw, kind, found.value, new)
            respell()
            shown = raw.get("readout", {})
            if shown.get("title") in titles.values():
                shown["title"] = readouts(raw).get(shown["metric"], shown["title"])
        return self._then(raw)

    def _then(self, raw: Mapping[str, Any]) -> Draft:
        text = written(raw)
        if self.texts and text == self.text:
            return self
        texts = (*self.texts[: self.at + 1], text)[-MOST_STEPS:]
        return Draft(texts, len(texts) - 1)


def _rename(node: Any, kind: str, old: str, new: str, references: Mapping[str, str] = _REFERENCES) -> None:
    """Give all references to a name the new one, but for those in dotted keys; see ``_dotted_keys``."""
    for part in node if isinstance(node, list) else ():
        _rename(part, kind, old, new, references)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        # A dotted key, as of an arm, says by its first and last words what its value is.
        first, last = key.partition(".")[0], key.rpartition(".")[2]
        within = _OF_DOSE if first == "dose" else references
        refers = within.get(last) == kind
        if refers and value == old:
            node[key] = new
        elif refers and isinstance(value, list) and old in value:
            node[key] = [new if each == old else each for each in value]
        elif isinstance(value, str):
            node[key] = _renamed(last, value, kind, old, new)
        else:
            _rename(value, kind, old, new, within)
    if node.get("keys") and node.get("values"):  # of an assumption
        tables = [{node["keys"][0]: value} for value in node["values"]]
        _rename(tables, kind, old, new)
        node["values"] = [value for table in tables for value in table.values()]


def _renamed(key: str, value: str, kind: str, old: str, new: str) -> str:
    """A signal, behavior, readout or selection of cells with the new name, if it is of this one."""
    if key in ("signal", "increases", "decreases") and referred(key, value) == (kind, old):
        return f"{value.partition('.')[0]}.{new}"
    if key == "metric" and (kind, old) in (found := _named_in(value)):
        names = tuple(new if each == (kind, old) else each[1] for each in found)
        return str(replace(metrics.parse(value), names=names))
    if key in ("of", "to") and (kind, old) in (chosen := _selected_in(value)):
        word = value.partition(":")[0].strip()
        return f"{word}:{'->'.join(new if each == (kind, old) else each[1] for each in chosen)}"
    return value


def _selected_in(text: str) -> list[tuple[str, str]]:
    """The names in a selection such as ``edge:NAME->17``, each with its kind; none if it is not one."""
    try:
        word, found = selected(text)
    except ValueError:
        return []
    return [("vesicle" if word == "vesicle" else "cell_type", name) for name in found]


def _dotted_keys(raw: dict[str, Any]) -> Callable[[], None]:
    """What spells the dotted keys in arms and in a trial anew after a change of the tables.

    Each key is followed to the entries of lists that it names, and spelled by the names that they have then;
    one through an entry that was removed goes.
    """
    trial = raw.get("trial", {})
    tables = [table for table in (*raw.get("arm", []), trial) if table.get("set")]
    lists = [table for word in ("assumption", "between") for table in trial.get(word, [])]
    places = {key: _followed(raw, key) for table in tables for key in table["set"]}
    places |= {key: _followed(raw, key) for table in lists for key in table["keys"]}

    def respell() -> None:
        spelled = {key: _spelled(raw, place) for key, place in places.items()}
        for table in tables:
            table["set"] = {new: value for key, value in table["set"].items() if (new := spelled[key])}
        for table in lists:
            table["keys"] = [new for key in table["keys"] if (new := spelled[key])]
        for word in ("assumption", "between"):
            if word in trial:
                _keep(trial, word, [table for table in trial[word] if table["keys"]])

    return respell


def _followed(node: Any, key: str) -> list[tuple[str, Any]]:
    """The parts of a dotted key, each with the entry of a list that it names, None of others."""
    found = []
    for part in key.split("."):
        entry = None
        if isinstance(node, list) and all(isinstance(each, dict) for each in node):
            names = names_of(node)
            node = entry = node[names.index(part)] if part in names else None
        else:
            node = node.get(part) if isinstance(node, dict) else None
        found.append((part, entry))
    return found


def _spelled(node: Any, place: list[tuple[str, Any]]) -> str:
    """A dotted key by the present names of the entries in it; "" if one of them is no longer there."""
    parts = []
    for part, entry in place:
        if entry is None:
            node = node.get(part) if isinstance(node, dict) else None
            parts.append(part)
        else:
            at = next((i for i, each in enumerate(node or ()) if each is entry), None)
            if at is None:
                return ""
            parts.append(names_of(node)[at])
            node = entry
    return ".".join(parts)


def _named_in(metric: str) -> list[tuple[str, str]]:
    """The names in a readout, each with its kind ("" of doses and compartments); none if it is not one."""
    try:
        found = metrics.parse(metric)
    except InputError:
        return []
    keys = next(
        keys
        for keys in metrics.KEYS[found.quantity]
        if len(keys) == len(found.names) and (keys == metrics.PAIR) == found.pair
    )
    return [(_OF_READOUT.get(key, ""), name) for key, name in zip(keys, found.names, strict=True)]


def _forget(raw: dict[str, Any], kind: str, name: str) -> None:
    """Remove what refers to an item that was removed: entries of lists, keys, groups, responses, changes."""
    for item in [*raw.get("vesicle", []), *raw.get("cell_type", [])]:
        for key, of in REFERENCES.items():
            if of == kind and isinstance(item.get(key), list) and name in item[key]:
                item[key] = [each for each in item[key] if each != name]
                if not item[key]:
                    del item[key]
            elif of == kind and item.get(key) == name:
                del item[key]
        if kind == "cell_type" and item.get("transformation", {}).get("into") == name:
            del item["transformation"]
    still = {c.get("name"): "transformation" in c for c in raw.get("cell_type", [])}
    kept = [
        row
        for row in raw.get("response", [])
        if referred("signal", row.get("signal", "")) != (kind, name)
        and (row.get("cell_type") in still or "cell_type" not in row)
        and (row.get("increases") != TRANSFORMS or still.get(row.get("cell_type"), False))
    ]
    groups = [g for g in raw.get("layout", {}).get("group", []) if g.get("cell_type") in still]
    _keep(raw, "response", kept)
    for word, key in (("silence", "of"), ("give", "to")):
        rows = [row for row in raw.get(word, []) if (kind, row.get("cargo")) != ("cargo", name)]
        _keep(raw, word, [row for row in rows if (kind, name) not in _selected_in(str(row.get(key, "")))])
    if "layout" in raw:
        _keep(raw["layout"], "group", groups)
        if not raw["layout"]:
            del raw["layout"]
    if (kind, name) in _named_in(str(raw.get("readout", {}).get("metric", ""))):
        del raw["readout"]
    for arm in raw.get("arm", []):
        _forget_values(arm, kind, name)
    if "trial" in raw:
        _forget_in_trial(raw, kind, name)


def _forget_in_trial(raw: dict[str, Any], kind: str, name: str) -> None:
    """Remove from a trial what names an item, and the trial if no criterion is left."""
    trial = raw["trial"]
    _forget_values(trial, kind, name)
    assumed = []
    for each in trial.get("assumption", []):
        values = [v for v in each.get("values", []) if not _refers({each["keys"][0]: v}, kind, name)]
        if values or not each.get("values"):
            assumed.append(each | ({"values": values} if values else {}))
    _keep(trial, "assumption", assumed)
    kept = [row for row in trial.get("readout", []) if not _refers(row, kind, name)]
    known = {row.get("name") for row in kept}
    criteria = [row for row in trial.get("criterion", []) if row.get("readout") in known]
    _keep(trial, "readout", kept)
    _keep(trial, "criterion", criteria)
    if not criteria:
        del raw["trial"]


def _forget_values(table: dict[str, Any], kind: str, name: str) -> None:
    """Remove from ``set`` the values that name an item, and the item from values that are lists."""
    kept = {}
    for key, value in table.get("set", {}).items():
        if isinstance(value, list):
            left = [each for each in value if not _refers({key: [each]}, kind, name)]
            if left or not value:
                kept[key] = left
        elif not _refers({key: value}, kind, name):
            kept[key] = value
    if "set" in table:
        table["set"] = kept


def _refers(table: dict[str, Any], kind: str, name: str) -> bool:
    """Whether a value in a table would follow a new name of an item."""
    _rename(renamed := deepcopy(table), kind, name, f"{name}_")
    return renamed != table


def _keep(table: dict[str, Any], key: str, items: list[Any]) -> None:
    if items:
        table[key] = items
    else:
        table.pop(key, None)


def written(raw: Mapping[str, Any]) -> str:
    """Tables as TOML, as a person writes them: a heading for each table and entry, one line for each key."""
    order = list(dict.fromkeys(("schema_version", "info", "readout", *Scenario.model_fields)))
    tables = {
        key: raw[key] for key in sorted(raw, key=lambda key: order.index(key) if key in order else len(order))
    }
    return "\n".join(_blocks(tables, "")).strip() + "\n"


def _blocks(table: Mapping[str, Any], heading: str) -> Iterator[str]:
    below = {key: value for key, value in table.items() if _has_heading(value, heading)}
    for key, value in table.items():
        if key not in below:
            yield f"{_key(key)} = {_value(value)}"
    for key, value in below.items():
        path = f"{heading}{_key(key)}"
        if isinstance(value, dict):
            if not value or any(not _has_heading(each, f"{path}.") for each in value.values()):
                yield f"\n[{path}]"
            yield from _blocks(value, f"{path}.")
        else:
            for item in value:
                yield f"\n[[{path}]]"
                yield from (f"{_key(name)} = {_value(each)}" for name, each in item.items())


def _has_heading(value: object, heading: str) -> bool:
    """Tables and lists of tables at the top, and lists of tables in a table at the top."""
    entries = isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)
    return entries or (isinstance(value, dict) and not heading)


def _key(key: str) -> str:
    return key if _INLINE.fullmatch(key) else _value(key)


def _value(value: object) -> str:
    if isinstance(value, dict):
        return (
            "{ " + ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items()) + " }"
            if value
            else "{}"
        )
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, float):
        return repr(value)  # nan and inf as in TOML
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
