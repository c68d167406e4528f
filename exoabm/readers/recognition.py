"""Source of a table, its columns of coordinates, and the rows that are cells of one image and time."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exoabm.errors import InputError
from exoabm.readers.options import (
    NUMBER,
    PIXELS,
    UNITS,
    Questions,
    TableOptions,
    Unit,
    enumerated,
    quoted,
    read_unit,
    split_unit,
)
from exoabm.readers.table import Sheet
from exoabm.readers.table_sources import AXES, IMAGES, PHYSICELL, SOURCES, TIMES, Coordinates, TableSource

UNKNOWN_SOURCE = TableSource("common column names", (), y_points_down=False)
"""A table of no known source; columns x and y without a unit are exoabm's own, in um."""
NOT_KNOWN = "unit not known"
GREEK_MU, MICRO = "\u03bc", "\u00b5"


@dataclass(frozen=True)
class RecognizedTable:
    """Recognized table: its source, the columns of each axis, and um in one unit of it.

    ``findings`` states how the unit was determined.
    """

    source: TableSource
    columns: dict[str, tuple[str, ...]]
    um: dict[str, float]
    findings: str
    within: str = ""
    names: dict[str, str] | None = None

    def column(self, name: str) -> str | None:
        """Name in the table of a column with this name in the source."""
        return (self.names or {}).get(name)


def recognize(sheet: Sheet, options: TableOptions, questions: Questions) -> RecognizedTable:
    """The source of a table, by its columns; unknown coordinates and units become questions.

    Raises
    ------
    InputError
        If there are no coordinates, or the options do not fit the table.
    """
    names, doubtful = _lookup(sheet)
    have = frozenset(names)
    if sheet.format.startswith("physicell"):
        x, y, z = ((name,) for name in sheet.names[:3])
        source: TableSource = PHYSICELL
        coordinates: Coordinates | None = Coordinates(x, y, z, unit="um")
    else:
        fits = ((s, s.coordinates_in(have)) for s in SOURCES)
        source, coordinates = next(((s, p) for s, p in fits if p is not None), (UNKNOWN_SOURCE, None))
    columns = _named_or_placed(sheet, options, coordinates, names, doubtful, questions)
    used = [name for axis in columns.values() for name in axis]
    if len(set(used)) < len(used):
        twice = next(name for name in used if used.count(name) > 1)
        sheet.fail(f"column {quoted(twice)} cannot be two of {enumerated(columns)}")
    for axis, of_axis in columns.items():
        for name in of_axis:
            sheet.index(name, axis)
    um, findings = _units(sheet, options, source, coordinates, columns, questions)
    within = coordinates.within if coordinates is not None and options.x is None and options.y is None else ""
    return RecognizedTable(source, columns, um, findings, names.get(within, ""), names)


def _lookup(sheet: Sheet) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Columns by their names in the sources; and features that several objects have."""
    found: dict[str, list[str]] = {}
    for name in sheet.names:
        found.setdefault(name.replace(GREEK_MU, MICRO), []).append(name)
        feature = sheet.aliases.get(name)
        if feature is not None and feature != name:
            found.setdefault(feature, []).append(name)
    for name in sheet.names:  # R writes points for blanks
        found.setdefault(name.replace(GREEK_MU, MICRO).replace(".", " "), [name])
    several = {name: columns for name, columns in found.items() if len(set(columns)) > 1}
    return {name: columns[0] for name, columns in found.items()}, several


def _named_or_placed(
    sheet: Sheet,
    options: TableOptions,
    coordinates: Coordinates | None,
    names: dict[str, str],
    doubtful: dict[str, list[str]],
    questions: Questions,
) -> dict[str, tuple[str, ...]]:
    """The columns of each axis: those that the user named, those of the source, or by common names."""
    columns: dict[str, tuple[str, ...]] = {}
    for axis in "xyz":
        named = options.named.get(axis)
        if named is not None:
            sheet.index(named, axis)
            columns[axis] = (named,)
            continue
        of_axis = getattr(coordinates, axis) if coordinates is not None else _common(sheet, axis)
        for name in of_axis:
            if len(doubtful.get(name, ())) > 1:
                several = doubtful[name]
                questions.ask(f"{axis} could be {enumerated(several)}", *((axis, each) for each in several))
        if of_axis:
            columns[axis] = tuple(names[name] for name in of_axis)
    return columns


def _common(sheet: Sheet, axis: str) -> tuple[str, ...]:
    """The one column that is named like an axis."""
    found = [name for name in sheet.names if split_unit(sheet.aliases.get(name, name))[0] in AXES[axis]]
    if len(found) > len(set(found)):
        sheet.index(found[0], axis)
    if len(found) > 1:
        sheet.fail(f"{axis} could be {enumerated(found)}; give {axis} the name of one (layout.{axis})")
    if not found and axis != "z":
        sheet.fail(
            f"no column is named like {axis}; give {axis} the name of one (layout.{axis}); "
            f"the columns are {enumerated(sheet.names)}{''.join(f'; {note}' for note in sheet.notes)}"
        )
    return tuple(name.replace(GREEK_MU, MICRO) for name in found)


def _units(
    sheet: Sheet,
    options: TableOptions,
    source: TableSource,
    coordinates: Coordinates | None,
    columns: dict[str, tuple[str, ...]],
    questions: Questions,
) -> tuple[dict[str, float], str]:
    """Um in one unit of each axis, and a statement of its origin."""
    given = None if options.unit is None else _read(sheet, options.unit, "unit")
    um, findings = {}, {}
    for axis, of_axis in columns.items():
        suffix, of = stated_unit(sheet, of_axis[0])
        if axis == "z" and options.z_unit is not None:
            um[axis] = _read(sheet, options.z_unit, "z_unit").um
            continue
        if suffix in UNITS:
            if given is not None and given.um != UNITS[suffix]:
                sheet.fail(
                    f"column {quoted(of_axis[0])} is in {suffix}, in contradiction to unit = {options.unit!r}"
                )
            um[axis], findings[axis] = UNITS[suffix], of
        elif suffix in PIXELS and given is not None and not given.is_width:
            sheet.fail(
                f"column {quoted(of_axis[0])} is in pixels; give the width of one, as in "
                f'unit = "{source.typical_pixel_size}"'
            )
        elif given is not None:
            um[axis], findings[axis] = given.um, f"as given, {options.unit}"
        elif suffix not in PIXELS and _known(sheet, coordinates, of_axis[0]):
            um[axis] = 1.0
            if source is UNKNOWN_SOURCE:
                findings[axis] = "um by default, since none is named"
            else:
                findings[axis] = f"um, as always in tables of {source.name}"
        else:
            what = (
                "are in pixels, whose width is not known" if _pixels(source, suffix) else "have no known unit"
            ) + (f" (the file states {quoted(sheet.unit)})" if sheet.unit else "")
            questions.ask(
                f"unit: {enumerated(_without_unit(sheet, coordinates, columns))} {what}",
                ("unit", source.typical_pixel_size),
                *([] if suffix in PIXELS else [("unit", "um")]),
            )
            um[axis] = 1.0
    if "z" in um and um["z"] != um.get("x") and options.z_unit is not None:
        findings["z"] = f"z as given, {options.z_unit}"
    return um, "unit " + ", ".join(dict.fromkeys(findings.values())) if findings else NOT_KNOWN


def _without_unit(
    sheet: Sheet, coordinates: Coordinates | None, columns: dict[str, tuple[str, ...]]
) -> list[str]:
    """Columns whose unit is given neither by their names nor by their source."""
    names = [name for axis in columns.values() for name in axis]
    units = {name: stated_unit(sheet, name)[0] for name in names}
    return [n for n in names if units[n] in PIXELS or not (units[n] or _known(sheet, coordinates, n))]


def stated_unit(sheet: Sheet, column: str) -> tuple[str, str]:
    """The unit of a column by its name, else by its file, and which of them states it; "" if none does."""
    own = split_unit(column)[1]
    if own:
        return own, "from the column's name"
    whole = sheet.unit.lower()
    return (whole, f"{whole}, from the file") if whole in {*UNITS, *PIXELS} else ("", "")


def _known(sheet: Sheet, coordinates: Coordinates | None, column: str) -> bool:
    if sheet.unit:  # one that is not known
        return False
    if coordinates is not None and column in coordinates.columns:
        return coordinates.unit == "um"
    return sheet.aliases.get(column, column) in ("x", "y", "z")


def _pixels(source: TableSource, suffix: str) -> bool:
    return suffix in PIXELS or source.pixels


def _read(sheet: Sheet, text: str, key: str) -> Unit:
    try:
        return read_unit(text, key)
    except InputError as error:
        sheet.fail(str(error))


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
            if values == ("",) and left:
                notes.append(f"left out: {sum(left.values())} with a value of {name}")
            elif left:
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
    _ask_images(sheet, found, images, rows, settled, questions)
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
    """Columns of images: those of the source, and those that the file states, or others with such names."""
    known = [found.within, *(found.column(name) for name in found.source.images), *sheet.images]
    spanned = {name for axis in found.columns.values() for name in axis}
    spanned |= {found.column(name) or "" for name in found.source.spanned}
    named = [name for name in sheet.names if split_unit(sheet.aliases.get(name, name))[0] in IMAGES]
    columns = [*known, *(name for name in named if name not in spanned and not sheet.images)]
    return tuple(name for name in dict.fromkeys(columns) if name and name in sheet.single)


def _ask_images(
    sheet: Sheet,
    found: RecognizedTable,
    images: tuple[str, ...],
    rows: NDArray[np.int64],
    settled: set[str],
    questions: Questions,
) -> None:
    """Ask for one image of each column with several that no column before it tells apart."""
    before = [sheet.labels(name).codes[rows] for name in images if name in settled]
    for name in images:
        labels = sheet.labels(name)
        codes, counts = labels.codes[rows], labels.counts(rows)
        if len(counts) < 2 or name in settled or any(_determines(other, codes) for other in before):
            continue
        before.append(codes)
        again = (
            "coordinates begin anew in each"
            if name == found.within
            else "take one of them, or all (*) if they share one system of coordinates"
        )
        questions.ask(
            f"image: column {quoted(name)} has {len(counts)} values ({_values(counts)}); {again}",
            *_each(name, counts),
            *([] if name == found.within else [("where", f"{name}=*")]),
        )


def _each(name: str, counts: dict[str, int]) -> list[tuple[str, str]]:
    """Options that select the rows of one value of a column."""
    return [("where", f"{name}={word}") for word in list(counts)[:MOST_NAMED]]


def _determines(one: NDArray[np.int32], other: NDArray[np.int32]) -> bool:
    """Whether rows of one value in the first column (n) have one value in the second (n)."""
    order = np.lexsort((other, one))
    return not ((np.diff(one[order]) == 0) & (np.diff(other[order]) != 0)).any()


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
        ordered = all(NUMBER.fullmatch(word) for word in counts)
        questions.ask(
            f"time: column {quoted(name)} has {len(counts)} times, and a cell a row for each",
            *((("time", "last"), ("time", "first")) if ordered else _each(name, counts)),
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
