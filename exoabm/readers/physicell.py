"""PhysiCell's ``cells.csv``: columns by position, no quotes, rows that may be shorter than the header.

Rules as in its loader, modules/PhysiCell_geometry.cpp, version 1.14.2: types of version 1 are numbers,
truncated; in version 2 values after the type may be left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pyarrow as pa

from exoabm.readers.sheet import LONGEST_NUMBER, Sheet
from exoabm.readers.textfile import Text
from exoabm.readers.units import NUMBER
from exoabm.readers.words import short

COLUMNS = ("x", "y", "z", "type")


def is_physicell(text: Text) -> str:
    """physicell-v1 or -v2 by the first line, or ""."""
    first = [field.strip() for field in text.data.split(b"\n", 1)[0].decode().split(",")]
    if tuple(field.lower() for field in first[:4]) == COLUMNS:
        return "physicell-v2"
    return "physicell-v1" if len(first) == 4 and all(map(NUMBER.fullmatch, first)) else ""


def _truncated(sheet: Sheet, row: int, text: str) -> str:
    """The number of a type in version 1."""
    if len(text) > LONGEST_NUMBER or not NUMBER.fullmatch(text):
        sheet.fail(f"row {row}, column 'type' is {short(text) if text else 'blank'}, not a number")
    if not math.isfinite(float(text)):
        sheet.fail(f"row {row}, column 'type' is {short(text)}, not a finite number")
    return str(int(float(text)))


def read_physicell(text: Text, form: str, max_rows: int) -> Sheet:
    """The cells of a PhysiCell layout; also their rules for what is missing."""
    sheet = Sheet(text.name, form, COLUMNS, 0, lambda _: [])
    if text.data.count(b"\n") > 2 * max_rows + 1:
        sheet.fail(f"more lines than the {max_rows} cells allowed")
    rows = [[v.strip() for v in line.split(",")] for line in text.data.decode().split("\n") if line.strip()]
    most = len(COLUMNS)
    names: tuple[str, ...] = COLUMNS
    if form == "physicell-v2":
        header = rows.pop(0)
        if tuple(name.lower() for name in header[:4]) != COLUMNS:
            sheet.fail("a PhysiCell v2 table has the header x,y,z,type; format 'csv' reads others")
        most, names = len(header), tuple(header[:4])
    for number, row in enumerate(rows, start=1):
        if not 4 <= len(row) <= most:
            more = f" to {most}" if most > 4 else ""
            sheet.fail(f"row {number} has {len(row)} values, where {form} takes 4{more}")
    if form == "physicell-v1":
        for number, row in enumerate(rows, start=1):
            row[3] = _truncated(sheet, number, row[3])
    columns = [pa.array([row[i] for row in rows], pa.string()) for i in range(4)]

    def fetch(wanted: Sequence[int]) -> list[pa.Array]:
        return [columns[i] for i in wanted]

    return Sheet(text.name, form, names, len(rows), fetch, text.notes, separator=",")
