"""Source of a table, and its columns of coordinates."""

from __future__ import annotations

from dataclasses import dataclass

from exoabm.errors import InputError
from exoabm.readers.instruments import AXES, PHYSICELL, SOURCES, Place, Source
from exoabm.readers.options import (
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

UNKNOWN_SOURCE = Source("common column names", (), down=False)
"""A table of no known source; columns x and y without a unit are exoabm's own, in um."""
NOT_KNOWN = "unit not known"
GREEK_MU, MICRO = "\u03bc", "\u00b5"


@dataclass(frozen=True)
class RecognizedTable:
    """Recognized table: its source, the columns of each axis, and um in one unit of it.

    ``findings`` states how the unit was determined.
    """

    source: Source
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
        source: Source = PHYSICELL
        place: Place | None = Place(x, y, z, unit="um")
    else:
        fits = ((s, s.place_in(have)) for s in SOURCES)
        source, place = next(((s, p) for s, p in fits if p is not None), (UNKNOWN_SOURCE, None))
    columns = _named_or_placed(sheet, options, place, names, doubtful, questions)
    used = [name for axis in columns.values() for name in axis]
    if len(set(used)) < len(used):
        twice = next(name for name in used if used.count(name) > 1)
        sheet.fail(f"column {quoted(twice)} cannot be two of {enumerated(columns)}")
    for axis, of_axis in columns.items():
        for name in of_axis:
            sheet.index(name, axis)
    um, findings = _units(sheet, options, source, place, columns, questions)
    within = place.within if place is not None and options.x is None and options.y is None else ""
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
    place: Place | None,
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
        of_axis = getattr(place, axis) if place is not None else _common(sheet, axis)
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
    source: Source,
    place: Place | None,
    columns: dict[str, tuple[str, ...]],
    questions: Questions,
) -> tuple[dict[str, float], str]:
    """Um in one unit of each axis, and a statement of its origin."""
    given = None if options.unit is None else _read(sheet, options.unit, "unit")
    um, findings = {}, {}
    for axis, of_axis in columns.items():
        suffix = split_unit(of_axis[0])[1]
        if axis == "z" and options.z_unit is not None:
            um[axis] = _read(sheet, options.z_unit, "z_unit").um
            continue
        if suffix in UNITS:
            if given is not None and given.um != UNITS[suffix]:
                sheet.fail(
                    f"column {quoted(of_axis[0])} is in {suffix}, in contradiction to unit = {options.unit!r}"
                )
            um[axis], findings[axis] = UNITS[suffix], "from the column's name"
        elif suffix in PIXELS and given is not None and not given.is_width:
            sheet.fail(
                f"column {quoted(of_axis[0])} is in pixels; give the width of one, as in "
                f'unit = "{source.proposal}"'
            )
        elif given is not None:
            um[axis], findings[axis] = given.um, f"as given, {options.unit}"
        elif suffix not in PIXELS and _known(sheet, place, of_axis[0]):
            um[axis] = 1.0
            if sheet.unit:
                findings[axis] = "um, from the file"
            elif source is UNKNOWN_SOURCE:
                findings[axis] = "um by default, since none is named"
            else:
                findings[axis] = f"um, as always in tables of {source.name}"
        else:
            what = (
                "are in pixels, whose width is not known" if _pixels(source, suffix) else "have no known unit"
            )
            questions.ask(
                f"unit: {enumerated(_without_unit(sheet, place, columns))} {what}",
                ("unit", source.proposal),
                *([] if suffix in PIXELS else [("unit", "um")]),
            )
            um[axis] = 1.0
    if "z" in um and um["z"] != um.get("x") and options.z_unit is not None:
        findings["z"] = f"z as given, {options.z_unit}"
    return um, "unit " + ", ".join(dict.fromkeys(findings.values())) if findings else NOT_KNOWN


def _without_unit(sheet: Sheet, place: Place | None, columns: dict[str, tuple[str, ...]]) -> list[str]:
    """Columns whose unit is given neither by their names nor by their source."""
    names = [name for axis in columns.values() for name in axis]
    return [
        n for n in names if split_unit(n)[1] in PIXELS or not (split_unit(n)[1] or _known(sheet, place, n))
    ]


def _known(sheet: Sheet, place: Place | None, column: str) -> bool:
    if sheet.unit:
        return sheet.unit in UNITS and UNITS[sheet.unit] == 1.0
    if place is not None and column in place.columns:
        return place.unit == "um"
    return sheet.aliases.get(column, column) in ("x", "y", "z")


def _pixels(source: Source, suffix: str) -> bool:
    return suffix in PIXELS or source.pixels


def _read(sheet: Sheet, text: str, key: str) -> Unit:
    try:
        return read_unit(text, key)
    except InputError as error:
        sheet.fail(str(error))
