"""A scenario of one's own, begun from a table of cells: a cell type for each of its labels."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

from exoabm.errors import InputError
from exoabm.output.run_folder import write_whole
from exoabm.readers.cell_types import BYSTANDER
from exoabm.scenario.loader import HOST, hosted, load
from exoabm.scenario.placement import from_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LONGEST_NAME = 60
MOST_TYPES = 200
GREEK = re.compile(r"GREEK (?:SMALL|CAPITAL) LETTER (?:FINAL )?(\w+)$")
SPELLED = {"LAMDA": "lambda"}
"""Greek letters that Unicode names otherwise than usual."""


def draft_scenario(table: Path, to: Path, overrides: Mapping[str, str], *, overwrite: bool = False) -> str:
    """Write a scenario for a table, with a cell type for each of its labels; return what was recognized.

    A label that ``tissue`` knows begins with the numbers of the type that it means there, others with those
    of its first type; all of them are assumptions, to be replaced by what was measured.

    Raises
    ------
    InputError
        If the table leaves something open, or the file exists.
    """
    import tomli_w

    if to.suffix != ".toml":
        raise InputError(f"--out {to}: a scenario is written to a file whose name ends in .toml")
    if to.exists() and not overwrite:
        raise InputError(f"{to} exists already; choose another --out, or pass --overwrite")
    loaded = load(table, {**overrides, "layout.unmapped": BYSTANDER})
    placed = from_table(loaded)
    labels = list(placed.table.labels.counts())
    if len(labels) > MOST_TYPES:
        raise InputError(f"{table}: {len(labels)} labels; is this the column of cell types?")
    said = tomllib.loads(loaded.written())["layout"]
    raw = tomllib.loads(hosted(table.name).decode())
    known = {each["name"]: each for each in raw["cell_type"]}
    first = raw["cell_type"][0]
    names = names_of_labels(labels)
    raw["cell_type"] = [{**known.get(placed.meaning[label], first), "name": names[label]} for label in labels]
    raw["layout"] = {
        **{key: value for key, value in said.items() if key not in ("unmapped", "type_map")},
        "table": _beside(table, to),
        "type_map": names,
    }
    if loaded.scenario.layout.types_from is not None:
        raw["layout"]["types_from"] = _beside(Path(loaded.scenario.layout.types_from), to)
    raw["info"]["summary"] += f" Rates are those of the shipped scenario {HOST}, and assumptions."
    head = f"# {placed.table.recognized(names)}\n"
    head += "# Rates, diameters and uptake are assumptions to be replaced by what was measured.\n\n"
    write_whole(to, (head + tomli_w.dumps(raw)).encode())
    return placed.table.recognized(names)


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
        while unique in names.values() or unique == BYSTANDER:
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


def _beside(path: Path, to: Path) -> str:
    """How a scenario names a file: by its name where it lies beside it, else by its full path."""
    path = path.resolve()
    return path.name if path.parent == to.resolve().parent else str(path)
