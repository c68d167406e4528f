"""Sizes of vesicles as instruments write them: NanoSight, ZetaView, plain histograms, lists of particles.

A table of sizes is known by a heading such as ``Bin centre (nm)``, ``Size / nm`` or ``diameter_nm``, wherever
it stands in the file. What its other columns are is read from their headings: a density by ``/nm`` or
``dN/dD``, one by the logarithm by ``dN/dlogD``, a count otherwise; averages, errors and columns weighted by
volume or area are no samples. Omitted columns are reported.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from exoabm.errors import InputError, did_you_mean, visible
from exoabm.readers.options import COMMA, NUMBER, UNITS, decimal_comma, enumerated, quoted, split_unit
from exoabm.readers.text_table import Text, decode, separator_of, values_of

Numbers = NDArray[np.float64]
HEIGHTS = ("count", "density", "log-density")
"""Meaning of the heights of a histogram: numbers, per nm, or per logarithm of size."""

SIZES = frozenset(
    f"{before}{word}"
    for word in ("size", "diameter", "bin_centre", "bin_center", "bin_midpoint", "size_bin")
    for before in ("", "particle_", "vesicle_", "ev_", "hydrodynamic_")
)
"""Headings of a column of sizes, in lower case, words joined by ``_``, without their unit."""
SAMPLES = frozenset(
    {
        "sample",
        "sample_id",
        "sample_name",
        "specimen",
        "condition",
        "treatment",
        "replicate",
        "donor",
        "patient",
    }
)
"""Headings, in the same form, of a column that names the sample of each particle."""
LOG_DENSITY = re.compile(r"d\s*[nc]\s*/\s*d\s*(log|ln)|per\s+log|/\s*(log|ln)\b", re.IGNORECASE)
DENSITY = re.compile(
    r"/\s*nm(?!\s*\^?\d)|nm\s*\^?\s*(-1|⁻¹|\u22121)|per\s+nm|d\s*[nc]\s*/\s*d\s*d|\bcsd\b", re.IGNORECASE
)
COUNT = re.compile(r"count|number|particles|tracks|\bn\b|concentration|frequency", re.IGNORECASE)
LIKE_NUMBER = re.compile(r"[-+]?[.,]?[0-9][0-9.,' ]*([eE][-+]?[0-9]+)?")
"""A number, however it is written; one that cannot be read is refused, not left out."""
NO_SAMPLES = {
    "an error": r"standard.?error|\bstd|st\.?\s?dev|deviation|\bsd\b|\bsem?\b|error|variance|\bcv\b|\bci\b",
    "a running sum": r"cumul|undersize|oversize|percentile",
    "weighted by size": r"\b(volume|area|surface|mass|intensity)\b",
    "a potential": r"\bzeta\b",
}
"""What columns are that hold no numbers of particles, and by which words they are known."""
AVERAGE = re.compile(r"average|mean", re.IGNORECASE)
SHARE = re.compile(
    r"^%$|[^\W\d]\s*%$|[(\[]\s*%\s*[)\]]$|\b(percent|percentage|normali[sz]ed)\b\s*[)\]]?$", re.IGNORECASE
)
"""A column of shares by its unit, at the end; it is no second sample beside one of numbers."""
INSTRUMENTS = ("bincentre(nm)", "size/nm")
"""Headings of NanoSight and ZetaView, in lower case without spaces; another table follows their histogram."""
LEAST_BINS = 6
MOST_LINES = 500
"""Above the table."""
ALIKE = 2e-3
"""Relative difference of a ratio that rounding to four digits can make."""
EVEN = 0.02
"""Largest relative difference of widths of bins considered equal."""
SPACED = 0.25
"""Steps by which sizes may differ from equal ones; n sorted particles differ by about sqrt(n) / 2 or more."""


@dataclass(frozen=True)
class SizeTable:
    """A histogram: edges (n + 1) in nm, numbers of particles (n) by sample, and notes on omitted content."""

    name: str
    edges: Numbers
    samples: dict[str, Numbers]
    findings: tuple[str, ...]


def read_sizes(
    path: Path, columns: Sequence[str] = (), heights: str | None = None, *, max_bytes: int = 64 << 20
) -> SizeTable | None:
    """The sizes in a text file; None if it is none, or holds no table of sizes.

    Parameters
    ----------
    path
        Text, or gzip of it.
    columns
        Samples, by heading or name; if empty, those of the headings.
    heights
        Meaning of the heights, if their headings do not state it and the bins are unequal.

    Raises
    ------
    InputError
        If it cannot be read, or leaves something open; names the row, the column and the value.
    """
    if not path.is_file():
        return None
    try:
        with path.open("rb") as stream:
            data = stream.read(max_bytes + 1)
    except OSError as error:
        raise InputError(f"--data {path}: cannot be read: {error.strerror or error}") from None
    if len(data) > max_bytes:
        raise InputError(f"--data {path}: larger than the {max_bytes >> 20} MiB allowed")
    if data.startswith(b"PAR1"):
        return None
    text = decode(f"--data {path}", data, max_bytes)
    table = _Table.find(text)
    return None if table is None else table.sizes(columns, heights)


@dataclass(frozen=True)
class _Table:
    """The part of a text that is a table of sizes."""

    text: Text
    headings: list[str]
    names: list[str]
    rows: list[list[str]]
    first: int
    size: int
    um: float
    comma: bool
    notes: tuple[str, ...]

    @classmethod
    def find(cls, text: Text) -> _Table | None:
        """Below the heading of a column of sizes, if there is one."""
        lines = text.data.decode().split("\n")
        for at, line in enumerate(lines[:MOST_LINES]):
            separator = separator_of(line)
            headings = [cell.strip() for cell in values_of(line, separator)]
            places = [i for i, heading in enumerate(headings) if split_unit(heading)[0] in SIZES]
            if not places or "time_h" in headings:
                continue
            rows = [[cell.strip() for cell in values_of(each, separator)] for each in lines[at + 1 :]]
            below = next((row for row in rows if any(row)), [])
            if len(below) <= places[0] or not re.match(r"[-+]?[\d.]", below[places[0]]):
                continue
            if len(places) > 1:
                found = enumerated([headings[i] for i in places])
                raise InputError(f"{text.name}: several columns may be the size: {found}; keep one")
            unit = split_unit(headings[places[0]])[1]
            if unit not in UNITS:
                raise InputError(
                    f"{text.name}: column {quoted(headings[places[0]])} does not state its unit; write it, "
                    'as in "Diameter (nm)"'
                )
            names = _sample_names(lines[:at], separator, headings)
            notes = list(text.notes)
            if any(re.match(r"dilution\s*::", each, re.IGNORECASE) for each in lines[:at]):
                notes.append("numbers are not corrected for the dilution above the table")
            table = [row for row in rows if len(row) > places[0] and row[places[0]][:1].isdigit()]
            comma = separator != "," and decimal_comma(text.name, (cell for row in table for cell in row))
            return cls(
                text, headings, names, rows, at + 2, places[0], 1000 * UNITS[unit], comma, tuple(notes)
            )
        return None

    def fail(self, message: str) -> NoReturn:
        raise InputError(f"{self.text.name}: {message}")

    def number(self, row: int, column: int) -> float:
        """A value, refused with its line and column if it is none."""
        cells = self.rows[row]
        text = cells[column] if column < len(cells) else ""
        value = _number(text, self.comma)
        place = f"line {self.first + row}, column {quoted(self.headings[column])} is"
        if value is None:
            what = quoted(text) if text else "blank; a bin without particles is 0"
            self.fail(f"{place} {what}, not a number")
        if value < 0 and column != self.size:
            self.fail(f"{place} {text}; numbers of particles are 0 or more; name the samples with --column")
        return value

    def sizes(self, columns: Sequence[str], heights: str | None) -> SizeTable:
        """The histogram that the table is, or that its particles make."""
        notes = list(self.notes)
        others = [i for i in range(len(self.headings)) if i != self.size and self._has_numbers(i)]
        rows, ended = self._rising() if others else ([], "")
        if len(rows) < LEAST_BINS:
            if columns:
                self.fail(f"--column {columns[0]}: a list of single particles has no such samples")
            return self._particles(others, notes)
        if ended:
            notes.append(ended)
        center = np.array([self.number(row, self.size) for row in rows]) * self.um
        chosen = self._chosen(columns, others, rows, notes)
        edges, even = edges_of(center)
        found = {}
        for name, column in chosen.items():
            values = np.array([self.number(row, column) for row in rows])
            found[name] = values * self._width(column, edges, even, heights, notes)
        notes.insert(
            0, f"{len(rows)} bins from {center[0]:g} to {center[-1]:g} nm; samples: {enumerated(found)}"
        )
        return SizeTable(self.text.name, edges, found, tuple(map(visible, notes)))

    def _has_numbers(self, column: int) -> bool:
        first = [row[column] for row in self.rows[:50] if column < len(row) and row[column]]
        return any(LIKE_NUMBER.fullmatch(cell) for cell in first)

    def _rising(self) -> tuple[list[int], str]:
        """Rows of the histogram, up to the end set by its instrument, and a note on that end."""
        rows: list[int] = []
        last = -np.inf
        known = "".join(self.headings[self.size].lower().split()) in INSTRUMENTS
        for at, cells in enumerate(self.rows):
            cell = cells[self.size] if self.size < len(cells) else ""
            if not any(cells):
                continue
            value = _number(cell, self.comma)
            if value is not None and value > last and value >= 0:
                rows.append(at)
                last = value
            elif len(rows) < LEAST_BINS:
                return rows, ""
            elif known or (value is not None and value < 0):
                rest = sum(1 for row in self.rows[at:] if any(row))
                return (
                    rows,
                    f"the table ends before line {self.first + at}; {rest} lines after it were left out",
                )
            else:
                what = f"{quoted(cell)} after {last:g}" if cell else "blank"
                self.fail(f"line {self.first + at}: the size is {what}; sizes must rise, one table a file")
        return rows, ""

    def _chosen(
        self, columns: Sequence[str], others: list[int], rows: list[int], notes: list[str]
    ) -> dict[str, int]:
        """Columns of samples by name: those requested, or all with numbers of particles."""
        named: dict[str, int] = {}
        for i in others:
            name, n = self.names[i] or f"column {i + 1}", 2
            while name in named:
                name, n = f"{self.names[i]} {n}", n + 1
            named[name] = i
        for options in columns:
            if options not in named:
                self.fail(f"--column {options}: no numbers of this name{did_you_mean(options, named)}")
        if columns:
            return {options: named[options] for options in columns}
        left: dict[str, list[str]] = {}
        kept: dict[str, int] = {}
        doubles: dict[str, dict[str, int]] = {"an average": {}, "a share": {}}
        for name, i in named.items():
            heading = re.sub(r"[\W_]+", " ", self.headings[i]).lower()
            why = next((w for w, words in NO_SAMPLES.items() if re.search(words, heading)), "")
            if split_unit(self.headings[i])[1] in UNITS and not DENSITY.search(self.headings[i]):
                why = "a size"
            if why:
                left.setdefault(why, []).append(name)
            elif AVERAGE.search(heading):
                doubles["an average"][name] = i
            elif SHARE.search(self.headings[i]):
                doubles["a share"][name] = i
            else:
                kept[name] = i
        for why, names in doubles.items():
            if kept and names:
                left[why] = list(names)
            kept = kept or names
        for name, of in self._multiples(kept, rows).items():
            left.setdefault(f"a multiple of {of}", []).append(name)
            del kept[name]
        notes.extend(f"left out, {why}: {enumerated(names)}" for why, names in left.items())
        if not kept:
            self.fail(f"no column holds numbers of particles; {'; '.join(notes)}; name one with --column")
        return kept

    def _multiples(self, kept: dict[str, int], rows: list[int]) -> dict[str, str]:
        """Columns that are another one times a constant, as concentrations are of numbers."""
        values = {name: np.array([self.number(row, i) for row in rows]) for name, i in kept.items()}
        names, found = list(kept), {}
        for j, name in enumerate(names):
            for before in (n for n in names[:j] if n not in found):
                a, b = values[before], values[name]
                if self.headings[kept[before]] == self.headings[kept[name]]:
                    continue  # samples of one quantity
                if ((a > 0) == (b > 0)).all() and (a > 0).sum() >= LEAST_BINS:
                    ratio = b[a > 0] / a[a > 0]
                    if np.ptp(ratio) <= ALIKE * ratio.mean() and abs(ratio.mean() - 1) > ALIKE:
                        found[name] = before
                        break
        return found

    def _width(
        self, column: int, edges: Numbers, even: bool, heights: str | None, notes: list[str]
    ) -> Numbers | float:
        """What makes a number of particles of a height."""
        heading = self.headings[column]
        kind = heights
        if kind is None and LOG_DENSITY.search(heading):
            kind = "log-density"
        elif kind is None and DENSITY.search(heading):
            kind = "density"
        elif kind is None and (even or COUNT.search(heading)):
            kind = "count"
        if kind is None:
            self.fail(
                f"the bins are unequal, and column {quoted(heading)} does not state whether it holds "
                "counts or densities; give --heights count, density (per nm) or log-density"
            )
        if kind != "count":
            findings = f"{quoted(heading)} is a {kind}, times the width of its bins"
            if findings not in notes:
                notes.append(findings)
        if kind == "density":
            return np.diff(edges)
        return np.diff(np.log(np.maximum(edges, edges[1] / 2))) if kind == "log-density" else 1.0

    def _particles(self, others: list[int], notes: list[str]) -> SizeTable:
        """A histogram of single particles: bins by Freedman and Diaconis in the logarithm of size.

        width = 2 IQR(ln d) / n^(1/3)
        """
        filled = [row for row, cells in enumerate(self.rows) if any(cells)]
        sizes = np.array([self.number(row, self.size) for row in filled]) * self.um
        if not len(sizes) or sizes.min() <= 0:
            self.fail("single particles need sizes above 0")
        if len(sizes) < LEAST_BINS**2:
            self.fail(
                f"{len(sizes)} rows are too few: a histogram needs {LEAST_BINS} bins of rising size or more, "
                f"single particles {LEAST_BINS**2}"
            )
        self._refuse_bins(filled, sizes, others)
        logs = np.log(sizes)
        low, high = np.percentile(logs, (25, 75))
        width = 2 * (high - low) / len(logs) ** (1 / 3)
        if width <= 0:
            self.fail(f"{len(sizes)} single particles are too alike for a distribution")
        count = int(np.ceil(np.ptp(logs) / width)) + 1
        edges = logs.min() - width / 2 + width * np.arange(count + 1)
        columns, groups, of_samples = self._groups(filled)
        found = {name: np.histogram(logs[rows], edges)[0].astype(float) for name, rows in groups.items()}
        notes.insert(0, f"{len(sizes):,} single particles, in {count} bins by Freedman and Diaconis in ln d")
        notes[1:1] = of_samples
        if left := [self.headings[i] for i in others if i not in columns]:
            notes.append(f"left out: {enumerated(left)}")
        return SizeTable(self.text.name, np.exp(edges), found, tuple(map(visible, notes)))

    def _groups(self, filled: list[int]) -> tuple[list[int], dict[str, list[int]], list[str]]:
        """The columns that name the sample of each particle, the particles of each sample, and notes on them.

        Samples of too few particles for a distribution are left out; if all are, none is told apart.
        """
        everything = {self.headings[self.size]: list(range(len(filled)))}
        named = [i for i, heading in enumerate(self.headings) if split_unit(heading)[0] in SAMPLES]
        words = {i: [(self.rows[row][i : i + 1] or [""])[0] or "blank" for row in filled] for i in named}
        columns = [i for i in named if len(set(words[i])) > 1]
        if not columns:
            return [], everything, []
        samples: dict[str, list[int]] = {}
        for at, of_row in enumerate(zip(*(words[i] for i in columns), strict=True)):
            samples.setdefault(", ".join(of_row), []).append(at)
        least, by = LEAST_BINS**2, enumerated(self.headings[i] for i in columns)
        groups = {name: rows for name, rows in samples.items() if len(rows) >= least}
        if not groups:
            return (
                columns,
                everything,
                [f"one distribution: each sample by {by} has fewer than {least} particles"],
            )
        few = {name: len(rows) for name, rows in samples.items() if name not in groups}
        notes = [f"samples by {by}: {enumerated(groups)}"]
        if few:
            listed = enumerated([f"{name} ({number})" for name, number in few.items()], 8)
            notes.append(f"left out, with fewer than {least} particles: {listed}")
        return columns, groups, notes

    def _refuse_bins(self, filled: list[int], sizes: Numbers, others: list[int]) -> None:
        """Refuse sizes that may be those of a histogram, which rows in another order make no particles."""
        if others and (np.diff(sizes) <= 0).all() and sizes[0] > sizes[-1]:
            self.fail(
                f"sizes fall from {sizes[0]:g} to {sizes[-1]:g} nm: sort the bins of a histogram by rising "
                "size, or keep the column of sizes alone if each row is one particle"
            )
        digit = max(_last_digit(self.rows[row][self.size]) for row in filled) * self.um
        if _equal_steps(sizes, digit):
            what = "they do not rise from row to row" if others else "no column holds numbers of particles"
            self.fail(f"sizes have equal steps, as bins do, and {what}")
        for heading in (self.headings[i] for i in others):
            if any(words.search(heading) for words in (LOG_DENSITY, DENSITY, COUNT)):
                self.fail(
                    f"sizes do not rise from row to row, and column {quoted(heading)} may hold the heights "
                    "of a histogram: sort its bins by rising size, or keep the column of sizes alone if each "
                    "row is one particle"
                )


def edges_of(center: Numbers) -> tuple[Numbers, bool]:
    """Edges (n + 1) of bins with these centers (n), halfway between them; and whether the bins are equal."""
    steps = np.diff(center)
    middle = (center[1:] + center[:-1]) / 2
    first, last = max(2 * center[0] - middle[0], 0.0), 2 * center[-1] - middle[-1]
    return np.concatenate([[first], middle, [last]]), bool(np.ptp(steps) <= EVEN * steps.mean())


def _equal_steps(sizes: Numbers, digit: float) -> bool:
    """Whether sizes (n) in nm, in any order, are equally spaced, or their logarithms, before rounding.

    |s_i - f_i| <= digit + (f_i+1 - f_i) / 4 for each i, with f from the least to the largest size

    ``digit`` is one unit of the last digit written, by which s_i and the ends of f may be rounded. Sizes
    closer than half of it on average are not judged.
    """
    ordered = np.sort(sizes)
    ends = ordered[0], ordered[-1], len(ordered)
    if np.ptp(ordered) < digit * len(ordered) / 2:
        return False
    even = (np.linspace(*ends), np.geomspace(*ends))
    return any((np.abs(ordered - each) <= digit + SPACED * np.gradient(each)).all() for each in even)


def _last_digit(text: str) -> float:
    """One unit of the last digit of a number as written: 0.01 of "20.25", 100 of "1.5e3"."""
    mantissa, _, exponent = text.lower().replace(",", ".").partition("e")
    return float(10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2])))


def _number(text: str, comma: bool) -> float | None:
    text = text.replace(",", ".") if comma and COMMA.fullmatch(text) else text
    value = float(text) if len(text) <= 64 and NUMBER.fullmatch(text) else None
    return value if value is not None and np.isfinite(value) else None


def _sample_names(above: list[str], separator: str, headings: list[str]) -> list[str]:
    """Names of the columns: of the line ``Filename`` right above, or their headings."""
    for line in reversed(above):
        cells = [cell.strip() for cell in values_of(line, separator)]
        if cells and cells[0].rstrip(":").lower() == "filename":
            cells += [""] * (len(headings) - len(cells))
            return [name or heading for name, heading in zip(cells, headings, strict=False)]
    return headings
