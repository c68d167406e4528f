"""Selection of the rows of a table: cells of one image at one time, and the user's conditions."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exoabm.readers.instruments import IMAGES, TIMES
from exoabm.readers.options import Questions, TableOptions, enumerated, quoted, split_unit
from exoabm.readers.source_detection import UNKNOWN_SOURCE, RecognizedTable
from exoabm.readers.table import Sheet

MOST_NAMED = 6
"""Values of a column that a message lists."""
HOURS = {"h": 3600.0, "min": 60.0, "s": 1.0}


@dataclass(frozen=True)
class SelectedRows:
    """Selected rows, rising, from 0; notes on omitted rows; and the columns of images."""

    rows: NDArray[np.int64]
    notes: tuple[str, ...]
    images: tuple[str, ...]


def select_rows(
    sheet: Sheet, found: RecognizedTable, options: TableOptions, questions: Questions
) -> SelectedRows:
    """The rows that are cells of one image at one time.

    Raises
    ------
    InputError
        If a chosen value does not exist, or no row is left.
    """
    mask, notes = np.ones(sheet.rows, bool), []
    for column, values in found.source.kept:
        name = found.column(column)
        if name is not None:
            mask &= _matching(sheet, name, values)
            left = sheet.labels(name).counts(np.flatnonzero(~mask))
            if left:
                notes.append("left out: " + ", ".join(f"{n} {word or 'blank'}" for word, n in left.items()))
            if not mask.any():
                sheet.fail(f"no row has {quoted(name)} {' or '.join(map(repr, values))}")
    for column, values in found.source.dropped:
        name = found.column(column)
        other = _matching(sheet, name, values) & mask if name is not None else ~mask & mask
        if other.any():
            mask &= ~other
            left = sheet.labels(str(name)).counts(np.flatnonzero(other))
            notes.append("left out: " + ", ".join(f"{n} {word}" for word, n in left.items()))
    settled = set()
    for text in options.where:
        name, value = _condition(sheet, text)
        settled.add(name)
        fits = _matching(sheet, name, (value,))
        if not (fits & mask).any():
            there = sheet.labels(name).counts(np.flatnonzero(mask))
            sheet.fail(f"no cell has {quoted(name)} = {quoted(value)}; there are {_values(there)}")
        mask &= fits
        notes.append(f"{int(mask.sum())} of {sheet.rows} rows have {name} = {value}")
    mask &= _at_time(sheet, found, options, mask, settled, questions, notes)
    rows = np.flatnonzero(mask)
    images = _image_columns(sheet, found)
    for name in images:
        counts = sheet.labels(name).counts(rows)
        if len(counts) > 1 and name not in settled:
            again = (
                "coordinates begin anew in each"
                if name == found.within
                else "take one of them, or all (*) if they share one system of coordinates"
            )
            questions.ask(
                f"image: column {quoted(name)} has {len(counts)} values ({_values(counts)}); {again}",
                *(("where", f"{name}={word}") for word in list(counts)[:MOST_NAMED]),
                *([] if name == found.within else [("where", f"{name}=*")]),
            )
    return SelectedRows(rows, tuple(notes), images)


def _condition(sheet: Sheet, text: str) -> tuple[str, str]:
    """A ``COLUMN=VALUE`` as its two parts; the longest name of a column that fits."""
    fits = [name for name in sheet.names if name and text.startswith(f"{name}=")]
    if not fits:
        column, equals, _ = text.partition("=")
        if not equals:
            sheet.fail(f'where = {quoted(text)}: write COLUMN=VALUE, as in where = "Image=slide 1"')
        sheet.index(column.strip(), "where")
        fits = [column.strip()]
    name = max(fits, key=len)
    sheet.index(name, "where")
    return name, text[text.index("=", len(name)) + 1 :].strip()


def _matching(sheet: Sheet, name: str, values: tuple[str, ...]) -> NDArray[np.bool_]:
    """Rows whose text is one of the values, in which ``*`` is any characters."""
    labels = sheet.labels(name)
    patterns = [re.compile(".*".join(map(re.escape, value.split("*"))), re.DOTALL) for value in values]
    fits = np.array([any(p.fullmatch(word) for p in patterns) for word in labels.words], bool)
    return np.asarray(fits[labels.codes])


def _image_columns(sheet: Sheet, found: RecognizedTable) -> tuple[str, ...]:
    if found.within:
        return (found.within,)
    known = [found.column(name) for name in found.source.images]
    columns = [name for name in known if name is not None]
    if found.source is UNKNOWN_SOURCE:
        columns = [name for name in sheet.names if split_unit(sheet.aliases.get(name, name))[0] in IMAGES]
    return tuple(name for name in dict.fromkeys(columns) if name in sheet.single)


def _values(counts: dict[str, int]) -> str:
    findings = [f"{word or 'blank'}: {n}" for word, n in list(counts.items())[:MOST_NAMED]]
    more = f" and {len(counts) - MOST_NAMED} more" if len(counts) > MOST_NAMED else ""
    return ", ".join(findings) + more


def _at_time(
    sheet: Sheet,
    found: RecognizedTable,
    options: TableOptions,
    mask: NDArray[np.bool_],
    settled: set[str],
    questions: Questions,
    notes: list[str],
) -> NDArray[np.bool_]:
    """Rows of one time, where the table has a column of times."""
    columns = [n for n in sheet.names if n.lower() in TIMES and n in sheet.single and n not in settled]
    columns = [n for n in columns if n not in {c for axis in found.columns.values() for c in axis}]
    if not columns:
        if options.time is not None and not settled & {n for n in sheet.names if n.lower() in TIMES}:
            sheet.fail(
                f"time = {quoted(options.time)}: there is no column of times ({enumerated(sorted(TIMES))})"
            )
        return mask
    name = columns[0]
    labels = sheet.labels(name)
    if len(labels.counts(np.flatnonzero(mask))) < 2 and options.time is None:
        return mask
    if options.time is None:
        counts = labels.counts(np.flatnonzero(mask))
        questions.ask(
            f"time: column {quoted(name)} has {len(counts)} times, and a cell a row for each",
            ("time", "last"),
            ("time", "first"),
        )
        return mask
    rows = np.flatnonzero(mask)
    times = sheet.numbers(name, rows)
    if options.time in ("first", "last"):
        time = float(times.max() if options.time == "last" else times.min())
    else:
        time = _time(sheet, name, options.time)
    fits = np.zeros(sheet.rows, bool)
    fits[rows[np.abs(times - time) <= 1e-9 * max(1.0, abs(time))]] = True
    if not fits.any():
        sheet.fail(
            f"no cell has {quoted(name)} = {time:g}; the times go from {times.min():g} to {times.max():g}"
        )
    notes.append(f"{name} = {time:g}, {int(fits.sum())} of {sheet.rows} rows")
    return fits


def _time(sheet: Sheet, name: str, text: str) -> float:
    """A time such as "24 h" in the unit of its column; a bare number is in that unit."""
    match = re.fullmatch(r"\s*([0-9.eE+-]+)\s*(h|min|s)?\s*", text)
    try:
        number = float(match[1]) if match else float("nan")
    except ValueError:
        number = float("nan")
    own = name.lower().rpartition("_")[2]
    if not np.isfinite(number) or (match and match[2] and own not in HOURS):
        sheet.fail(f'time = {quoted(text)}: "first", "last", or a time such as "24 h"')
    if match and match[2]:
        number *= HOURS[match[2]] / HOURS[own]
    return number
