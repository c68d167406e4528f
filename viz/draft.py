"""A scenario that is built on the page: the TOML that a person would write, and its changes.

A draft is a list of texts, one per change, of which one is shown; undo and redo move between them. Each
change reads the text, changes its tables, and writes them again. Entries are checked by the schema of
scenarios when they are made; what is still missing in the whole is found by the loader.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exoabm.errors import InputError, ScenarioError, command_line, visible
from exoabm.scenario.loader import LoadedScenario, parse
from exoabm.scenario.schema import Scenario
from exoabm.text_formatting import spaced
from exoabm.viz.draft_fields import checked, fields, names, readouts
from exoabm.viz.draft_references import dotted_keys, forget, rename
from exoabm.viz.run_setup import Setup

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAME = "my_scenario"
"""Of the file that is downloaded, and of the run on the page."""
MOST_ITEMS = 20
"""Of a kind; a larger scenario is written as a file."""
MOST_STEPS = 200
"""Changes that can be undone."""
BLANK = {"info": {"title": "My scenario"}, "domain": {"size": ["300 um", "300 um"]}}
"""What a scenario begins with."""
_WORD = {"cargo": "cargo", "vesicle": "vesicle", "cell_type": "cells", "response": "response"}
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
        respell = dotted_keys(raw)
        name = raw[kind].pop(index).get("name")
        if not raw[kind]:
            del raw[kind]
        forget(raw, kind, str(name))
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
        new, titles, respell = checked(found, value), readouts(raw), dotted_keys(raw)
        if found.kind == "name" and new != found.value and new in names(raw, kind):
            raise InputError(f"there is a {spaced(kind)} {new} already")
        found.put(raw, new)
        if found.kind == "name":
            rename(raw, kind, found.value, new)
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
