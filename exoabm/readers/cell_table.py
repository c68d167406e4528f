"""Positions, labels and ids of cells from a table.

Ambiguities are not guessed: an unknown unit, several images, and no or several columns of types are refused
with the options that settle them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from exoabm.errors import InputError, visible
from exoabm.readers.cell_types import find_types
from exoabm.readers.file_formats import fingerprint, open_sheet
from exoabm.readers.options import THOUSANDS, UNITS, Questions, TableOptions, enumerated, quoted
from exoabm.readers.recognition import (
    NOT_KNOWN,
    RecognizedTable,
    SelectedRows,
    recognize,
    select_rows,
    stated_unit,
)
from exoabm.readers.table import Labels, Sheet, is_number, trimmed, true
from exoabm.readers.table_sources import IDS, NAMELESS, ROW

MAX_BYTES = 512 << 20
"""Of a text or Parquet table, unpacked; of HDF5 and Zarr, of the columns read."""
MAX_CELLS = 2_000_000
LEAST_PLANES = 2
MOST_LISTED = 12
"""Largest number of labels in a summary."""


@dataclass(frozen=True, eq=False)
class CellTable:
    """Cells of a table; entry i of every array is the i-th selected cell.

    Attributes
    ----------
    positions : numpy.ndarray
        (n, 3) in um, multiples of ``GRID``; z = 0 where the table has none.
    labels : Labels
        Of the types, as written in the table.
    ids : list of str
        Identifier of each cell in the table; its row, from 1, by default.
    rows : numpy.ndarray
        The row of each cell in the table, from 1.
    name, sha256 : str
        Of the file; of HDF5 and Zarr the hash is of what describes cells.
    format, source : str
        Of the file, and the instrument or program it is from.
    y_down : bool
        Whether y runs downward.
    class_prefix : bool
        Whether a label ``A: B`` is of the class A.
    images : tuple of str
        Columns that distinguish images.
    findings : tuple of str
        Findings in words.
    warnings : tuple of str
        Implausible properties of the positions, and repeated ids.
    """

    positions: NDArray[np.float64]
    labels: Labels
    ids: list[str]
    rows: NDArray[np.int64]
    name: str
    sha256: str
    format: str
    source: str
    y_down: bool
    class_prefix: bool
    images: tuple[str, ...]
    findings: tuple[str, ...]
    warnings: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def types(self) -> NDArray[np.str_]:
        """The label of every cell, (n,)."""
        return np.array(self.labels.words, dtype=np.str_)[self.labels.codes]

    @property
    def dim(self) -> int:
        """2 if all z are equal, else 3."""
        return 2 if (self.positions[:, 2] == self.positions[0, 2]).all() else 3

    def recognized(self, meaning: dict[str, str] | None = None) -> str:
        """Findings in one line, with the cell type of each label where it is known."""
        counts = self.labels.counts()
        listed = [
            f"{count:,} {label}" + (f" -> {meaning[label]}" if meaning else "")
            for label, count in list(counts.items())[:MOST_LISTED]
        ]
        more = f" and {len(counts) - MOST_LISTED} more labels" if len(counts) > MOST_LISTED else ""
        head, *rest = self.findings
        after = "".join(f"; {each}" for each in rest)
        return _in_line(f"{self.name}: {head}: {', '.join(listed)}{more}{after}")

    def record(self, meaning: dict[str, str]) -> dict[str, Any]:
        """Findings for ``run.json``."""
        return {
            "file": self.name,
            "sha256": self.sha256,
            "format": self.format,
            "source": self.source,
            "cells": len(self),
            "y": "down" if self.y_down else "up",
            "recognized": list(self.findings),
            "labels": {
                label: {"cells": count, "cell_type": meaning[label]}
                for label, count in self.labels.counts().items()
            },
        }


def read_cells(
    path: str | Path,
    options: TableOptions | None = None,
    *,
    max_bytes: int = MAX_BYTES,
    max_cells: int = MAX_CELLS,
) -> CellTable:
    """Read positions, types and ids of cells from a table.

    Parameters
    ----------
    path
        A text table, Parquet, AnnData (``.h5ad`` or Zarr), SpatialData, or PhysiCell's ``cells.csv``.
    options
        What the user specified of it.
    max_bytes, max_cells
        Larger tables are refused.

    Raises
    ------
    AmbiguousTable
        If the table and the options leave something undecided; lists the options that settle it.
    InputError
        If it cannot be read with these options; names file, column and row (from 1, without blank lines).
    """
    path, options = Path(path), options or TableOptions()
    sheet = open_sheet(path, options, max_bytes, max_cells)
    sheet.check_size(max_cells)
    found = recognize(sheet, options, questions := Questions())
    ids = _id_columns(sheet, found)
    sheet.load(_likely(sheet, found, options, ids))
    chosen = select_rows(sheet, found, options, questions)
    types = find_types(sheet, found, options, chosen.rows, ids, questions, (max_bytes, max_cells))
    positions = _positions(sheet, found, options, chosen, questions)
    head = _head(found, chosen, positions, types.findings)
    questions.put(sheet.name, f"recognized as {found.source.name}: {head}")
    down = found.source.y_points_down if options.y_axis is None else options.y_axis == "down"
    names = sheet.ids(ids, chosen.rows) if ids else [str(row + 1) for row in chosen.rows]
    rows = chosen.rows + 1
    warnings = list(plausibility_warnings(positions, rows))
    if len(set(names)) < len(names):
        repeated = f"ids in {enumerated(ids)} are not unique; several cells have the same source_id"
        warnings.append(f"{sheet.name}: {repeated}")
    positions.setflags(write=False)
    rows.setflags(write=False)
    return CellTable(
        positions=positions,
        labels=types.labels,
        ids=names,
        rows=rows,
        name=sheet.name,
        sha256=fingerprint(path),
        format=sheet.format,
        source=found.source.name,
        y_down=down,
        class_prefix=found.source.class_prefix,
        images=chosen.images,
        findings=(head, *types.notes, *chosen.notes, *sheet.notes, *_recognition(found, ids, down)),
        warnings=tuple(warnings),
    )


def _recognition(found: RecognizedTable, ids: tuple[str, ...], down: bool) -> tuple[str, str, str]:
    """Source, ids and direction of y, in words."""
    note = f"; {found.source.note}" if found.source.note else ""
    columns = " and ".join(f"`{name}`" if name else NAMELESS for name in ids)
    return (
        f"recognized as {found.source.name}{note}",
        f"ids from {columns or ROW}",
        f"y runs {'down' if down else 'up'}ward",
    )


def _in_line(text: str) -> str:
    """A text without line breaks."""
    return visible(text).replace("\n", "\\n")


def _head(found: RecognizedTable, chosen: SelectedRows, positions: NDArray[np.float64], types: str) -> str:
    """Number and range of cells, and the origin of unit and type."""
    unit = "" if found.findings == NOT_KNOWN else " um"
    axes = [axis for axis in "xyz" if axis in found.columns]
    ends = [
        f"{axis} {positions[:, i].min():.6g} to {positions[:, i].max():.6g}{unit}"
        for i, axis in enumerate("xyz")
        if axis in axes
    ]
    return f"{len(chosen.rows):,} cells, {', '.join(ends)}, {found.findings}, {types}"


def _positions(
    sheet: Sheet, found: RecognizedTable, options: TableOptions, chosen: SelectedRows, questions: Questions
) -> NDArray[np.float64]:
    """Positions (n, 3) in um, on the grid."""
    comma = _decimal_comma(sheet, found, options, chosen, questions)
    positions = np.zeros((len(chosen.rows), 3))
    for i, axis in enumerate("xyz"):
        of_axis = found.columns.get(axis, ())
        if not of_axis:
            continue
        values = [sheet.numbers(name, chosen.rows, comma) for name in of_axis]
        mean = values[0] if len(values) == 1 else np.mean(values, axis=0)
        if axis == "z":
            _ask_planes(sheet, found, options, of_axis[0], mean, questions)
        with np.errstate(over="ignore"):
            positions[:, i] = mean * found.um[axis]
        wrong = ~np.isfinite(positions[:, i])
        sheet.check_rows(
            wrong, of_axis[0], sheet.taken(of_axis[0], chosen.rows), chosen.rows, "a finite number"
        )
    return on_grid(positions)


def on_grid(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Positions as multiples of ``GRID``, so that differences do not depend on the origin."""
    low = positions.min(axis=0)
    rounded = np.round(low / GRID) * GRID + np.round((positions - low) / GRID) * GRID
    return np.asarray(rounded + 0.0)  # no negative zero


def _ask_planes(
    sheet: Sheet,
    found: RecognizedTable,
    options: TableOptions,
    name: str,
    z: NDArray[np.float64],
    questions: Questions,
) -> None:
    """Ask for the distance of planes where z counts them, or where x and y are in pixels."""
    if options.z_unit is not None or stated_unit(sheet, name)[0] in UNITS:
        return
    planes = np.unique(z)
    if len(planes) < LEAST_PLANES:
        return
    counted = bool((planes == np.round(planes)).all() and (np.diff(planes) == 1).all())
    width = found.um.get("z", 1.0) != 1.0
    if counted or width:
        what = (
            f"whole numbers from {planes[0]:g} to {planes[-1]:g}, as planes are numbered"
            if counted
            else "in pixels"
        )
        questions.ask(
            f"z: column {quoted(name)} holds {what}; give the distance of two",
            ("z_unit", "5 um"),
            *([("z_unit", "um")] if counted else []),
        )


def _decimal_comma(
    sheet: Sheet, found: RecognizedTable, options: TableOptions, chosen: SelectedRows, questions: Questions
) -> bool:
    """Whether coordinates have a decimal comma: never where commas separate values, else all or none."""
    if options.decimal is not None:
        return options.decimal == ","
    if not sheet.separator or sheet.separator == ",":
        return False
    written: list[str] = []
    plain_ones: list[str] = []
    grouped = True
    for name in dict.fromkeys(n for axis in found.columns.values() for n in axis):
        text = trimmed(sheet.taken(name, chosen.rows))
        commas, bare = true(pc.match_substring(text, ",")), is_number(text)
        written += [text[int(np.argmax(commas))].as_py()] if commas.any() else []
        plain_ones += [text[int(np.argmax(bare))].as_py()] if bare.any() else []
        grouped &= bool(true(pc.match_substring_regex(text, THOUSANDS)).all())
    if written and plain_ones:
        sheet.fail(
            f"some coordinates have a decimal comma ({quoted(written[0])}) and some have none "
            f'({quoted(plain_ones[0])}); set layout.decimal = "," if all are decimal commas'
        )
    if written and grouped:
        questions.ask(
            f"decimal: exactly three digits follow every comma ({quoted(written[0])}), which may be "
            "a decimal comma or separate thousands; if it separates thousands, save the numbers without it",
            ("decimal", ","),
        )
    return bool(written)


def _likely(sheet: Sheet, found: RecognizedTable, options: TableOptions, ids: tuple[str, ...]) -> list[str]:
    """Columns that will be needed, so that the file is read once."""
    source = found.source
    known = (*source.types[:1], *source.images, *(name for name, _ in source.kept))
    names = [name for axis in found.columns.values() for name in axis]
    names += [own for own in map(found.column, known) if own is not None]
    names += [*ids, *([options.cell_type] if options.cell_type is not None else [])]
    return [name for name in dict.fromkeys(names) if name in sheet.single]


def _id_columns(sheet: Sheet, found: RecognizedTable) -> tuple[str, ...]:
    """The columns that identify a cell, if there are any."""
    single = sheet.single
    for together in found.source.ids:
        own = [found.column(name) for name in together]
        if all(name is not None and name in single for name in own):
            return tuple(name for name in own if name is not None)
    taken = {name for axis in found.columns.values() for name in axis}
    free = single - taken
    lowered = {name.lower().replace(" ", "_"): name for name in sheet.names if name in free}
    return next(((lowered[name],) for name in IDS if name in lowered), ())


GRID = 2.0**-20
"""um; positions are whole multiples of it, about a picometer, so that their differences are exact."""
NEAREST = (4.0, 25.0)
"""um between neighbors, the median; real tumor sections have 6.6 to 7.5."""
USUAL = 10.0
"""um between neighbors, from which the width of a pixel is estimated if pixels were read as um."""
DENSITY = (500.0, 20_000.0)
"""Cells per mm2 of the box around them; real sections have 7,000 to 10,000."""
LEAST_CELLS = 20
"""Smallest number of cells for these checks."""
QUERIES = 20_000
"""Cells whose neighbors are searched, evenly chosen."""
FAR = 20.0
"""A gap is reported if it exceeds this multiple of the median distance and half of the length."""
FEW = 0.01
"""Largest share of cells that count as outliers."""


def plausibility_warnings(positions: NDArray[np.float64], rows: NDArray[np.int64]) -> Iterator[str]:
    """Warnings of implausible positions (n, 3) in um; ``rows`` are those of the table."""
    n = len(positions)
    if n < 2:
        return
    nearest = _nearest(positions)
    stray = _stray(positions, nearest)
    if stray.any():
        yield _far_off(positions, rows, stray)
    kept = positions[~stray]
    if len(kept) < LEAST_CELLS:
        return
    low, high = NEAREST
    if nearest and not low <= nearest <= high:
        guess = USUAL / nearest
        yield (
            f"the median distance to the nearest neighbor is {nearest:.3g} um, where {low:g} to {high:g} um "
            f"are usual. Possibly {'pixels' if guess < 1 else 'units'} of {guess:.1g} um were read as um"
        )
    area = float(np.prod(np.ptp(kept[:, :2], axis=0))) / 1e6
    if np.ptp(kept[:, 2]) == 0 and area > 0 and not DENSITY[0] <= len(kept) / area <= DENSITY[1]:
        yield (
            f"{len(kept) / area:,.0f} cells per mm2 of the box around them; "
            f"{DENSITY[0]:,.0f} to {DENSITY[1]:,.0f} are usual"
        )


def check_distinct_positions(
    name: str, positions: NDArray[np.float64], rows: NDArray[np.int64], images: tuple[str, ...]
) -> None:
    """Refuse cells with the same position, (n, 3) in um; names their rows in the table.

    Raises
    ------
    InputError
        If there are any.
    """
    order = np.lexsort(positions.T)
    same = (positions[order][1:] == positions[order][:-1]).all(axis=1)
    if not same.any():
        return
    pairs = sorted(sorted(map(int, rows[order[i : i + 2]])) for i in np.flatnonzero(same)[:10_000])
    first, second = pairs[0]
    x, y = positions[np.flatnonzero(rows == first)[0], :2]
    image = f"; column {images[0]!r} distinguishes images: choose one with layout.where" if images else ""
    raise InputError(
        f"{name}: rows {first} and {second} have the same position ({x:g}, {y:g}) um, as have "
        f"{int(same.sum())} pairs in all; two cells cannot have the same position{image}"
    )


def _nearest(positions: NDArray[np.float64]) -> float:
    """Median distance to the nearest neighbor in um, of cells that have one elsewhere."""
    from scipy.spatial import cKDTree

    chosen = positions[:: max(len(positions) // QUERIES, 1)]
    distance = np.asarray(cKDTree(positions).query(chosen, k=2)[0])[:, 1]
    return float(np.median(distance))


def _stray(positions: NDArray[np.float64], nearest: float) -> NDArray[np.bool_]:
    """The few cells separated from all others by a wide gap along an axis."""
    n = len(positions)
    stray = np.zeros(n, bool)
    most = max(int(FEW * n), 1)
    for axis in range(3):
        order = np.argsort(positions[:, axis], kind="stable")
        gaps = np.diff(positions[order, axis])
        widest = int(np.argmax(gaps))
        length = float(gaps.sum())
        if length == 0 or gaps[widest] <= max(FAR * nearest, length / 2):
            continue
        below, above = order[: widest + 1], order[widest + 1 :]
        few = min(below, above, key=len)
        if len(few) <= most and len(few) < n / 2:
            stray[few] = True
    return stray


def _far_off(positions: NDArray[np.float64], rows: NDArray[np.int64], stray: NDArray[np.bool_]) -> str:
    named = ", ".join(map(str, rows[stray][:5])) + (" ..." if stray.sum() > 5 else "")
    whole, tissue = np.ptp(positions, axis=0).max(), np.ptp(positions[~stray], axis=0).max()
    count = int(stray.sum())
    cells = f"1 cell (row {named}) is" if count == 1 else f"{count} cells (rows {named}) are"
    return (
        f"{cells} far from all others and {'makes' if count == 1 else 'make'} the domain {_length(whole)} "
        f"long; without {'it' if count == 1 else 'them'} it is {_length(tissue)}"
    )


def _length(um: float) -> str:
    return f"{um / 1000:.3g} mm" if um >= 1000 else f"{um:.3g} um"
