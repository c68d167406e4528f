"""A scenario for the cells of a table: a cell type per label, with values to be replaced by measured ones."""

from __future__ import annotations

import math
import re
import tomllib
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from exoabm.errors import UNSEEN, ExoError, InputError, visible
from exoabm.readers.options import BYSTANDER, quoted
from exoabm.scenario.loader import IN_MEMORY, TABLE_SCENARIO, load, parse, shipped
from exoabm.scenario.placement import from_table
from exoabm.scenario.state_builder import blueprint
from exoabm.state import ANY_CELL, OUTSIDE
from exoabm.text_formatting import round_below

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LONGEST_NAME = 60
MOST_TYPES = 200
GREEK = re.compile(r"GREEK (?:SMALL|CAPITAL) LETTER (?:FINAL )?(\w+)$")
SPELLED = {"LAMDA": "lambda"}
"""Greek letters that Unicode names otherwise than usual."""


def scenario_of_table(table: Path) -> bytes:
    """The scenario ``tissue`` as TOML, with this table, which is named by its type if it is in memory."""
    import tomli_w

    raw = tomllib.loads(shipped()[TABLE_SCENARIO].read_text(encoding="utf-8"))
    name = visible(table.stem if table.parent.name.startswith(IN_MEMORY) else table.name)
    raw["layout"]["table"] = table.name
    raw["info"]["title"] = f"Communication between the cells of {name}"[:200]
    raw["info"]["summary"] = f"Cells have the positions in the table {name}."[:5000]
    return tomli_w.dumps(raw).encode()


class Draft(NamedTuple):
    """A scenario made for a table: TOML, the recognized format, and warnings of the table's cells."""

    text: bytes
    recognized: str
    warnings: tuple[str, ...]


def scenario_of_labels(table: Path, overrides: Mapping[str, str], home: Path) -> Draft:
    """A scenario for a table with one cell type per label.

    A label in the type map of ``tissue`` gets the numbers of the type that it denotes there, others those
    of its first type; all of them are assumptions, to be replaced by what was measured. The step is that of
    ``tissue``, or the shorter one that suffices for the uptake by these cells.

    Parameters
    ----------
    table : Path
    overrides : mapping
        Keys of the layout that the table leaves open.
    home : Path
        The folder of the scenario, by which the table is named in it.

    Raises
    ------
    InputError
        If the table leaves something open.
    """
    import tomli_w

    loaded = load(table, {**overrides, "layout.unmapped": BYSTANDER})
    placed = from_table(loaded)
    labels = list(placed.table.labels.counts())
    if len(labels) > MOST_TYPES:
        raise InputError(f"{table}: {len(labels)} labels; is this the column of cell types?")
    layout = tomllib.loads(loaded.written())["layout"]
    raw = tomllib.loads(scenario_of_table(table).decode())
    known = {each["name"]: each for each in raw["cell_type"]}
    first = raw["cell_type"][0]
    for label in labels:
        if found := UNSEEN.search(label):
            code = f"U+{ord(found[0]):04X}"
            raise InputError(f"{table}: the label {quoted(label)} has a control character, {code}; remove it")
    names = names_of_labels(labels)
    raw["cell_type"] = [{**known.get(placed.meaning[label], first), "name": names[label]} for label in labels]
    raw.pop("readout", None)  # it names types of the shipped table
    raw["layout"] = {
        **{key: value for key, value in layout.items() if key not in ("unmapped", "type_map")},
        "table": _beside(table, home),
        "type_map": names,
    }
    if loaded.scenario.layout.types_from is not None:
        raw["layout"]["types_from"] = _beside(Path(loaded.scenario.layout.types_from), home)
    raw["clock"]["step"] = _short_step(raw, table.name, home)
    raw["info"]["summary"] += f" Rates are those of the shipped scenario {TABLE_SCENARIO}, and assumptions."
    head = f"# {placed.table.recognized(names)}\n"
    head += "# Rates, diameters and uptake are assumptions to be replaced by measured values.\n\n"
    text = (head + tomli_w.dumps(raw)).encode()
    return Draft(text, placed.table.recognized(names), placed.table.warnings)


def _short_step(raw: Mapping[str, Any], name: str, home: Path) -> Any:
    """The step of a scenario, or a shorter one where its cells take up vesicles so fast that it is long."""
    import tomli_w

    given = raw["clock"]["step"]
    try:
        loaded = parse(tomli_w.dumps(raw).encode(), name=name, folder=home)
        step = blueprint(loaded, seed=0).step
    except ExoError:  # which the scenario then reports itself
        return given
    usual = loaded.scenario.clock.step
    if step >= float(usual):
        return given
    short = math.floor(step) if step >= 1 else round_below(step)
    note = f"{usual}, the step of {TABLE_SCENARIO}, is long for the uptake by these cells"
    return {"value": f"{short:g} s", "source": "assumed", "note": note}


def names_of_labels(labels: Iterable[str]) -> dict[str, str]:
    """A name of a cell type for each label: letters, digits and _; all different.

    Greek letters are spelled out, as in ``beta_cell``, and accents are left out.
    """
    names: dict[str, str] = {}
    for label in labels:
        words = _latin(label).replace("+", "_pos ").replace("-", "_").strip()
        name = re.sub(r"[^A-Za-z0-9]+", "_", words).strip("_")[:LONGEST_NAME] or "type"
        name = name if name[0].isalpha() else f"type_{name}"
        unique, n = name, 2
        while unique in names.values() or unique in (BYSTANDER, ANY_CELL, *OUTSIDE):
            unique, n = f"{name}_{n}", n + 1
        names[label] = unique
    return names


def _latin(text: str) -> str:
    """Text with Greek letters spelled out, and letters without their accents."""
    found = []
    for mark in unicodedata.normalize("NFKD", text):
        greek = GREEK.match(unicodedata.name(mark, ""))
        found.append(SPELLED.get(greek[1], greek[1].lower()) if greek else mark)
    return "".join(mark for mark in found if not unicodedata.combining(mark[0]))


def _beside(path: Path, home: Path) -> str:
    """Path of a file in a scenario: its name if in the folder of the scenario, else the full path."""
    path = path.resolve()
    return path.name if path.parent == home else str(path)
