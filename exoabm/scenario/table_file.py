"""The bytes of a table of cells, and its columns by what they mean: CSV, Parquet, PhysiCell."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from exoabm.errors import InputError, did_you_mean
from exoabm.scenario.flat import LONGEST_LABEL, UNPACKED, read_flat

Format = Literal["csv", "parquet", "physicell-v1", "physicell-v2"]
Labels = NDArray[np.str_]
Numbers = NDArray[np.float64]

UNITS = {
    **dict.fromkeys(("um", "µm", "μm", "micron", "microns", "micrometer", "micrometre"), 1.0),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e-3),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e3),
}
PIXELS = ("px", "pixel", "pixels")
NAMES = {
    axis: {
        axis,
        *(f"{axis}_{word}" for word in ("position", "pos", "centroid", "center", "coordinate")),
        *(f"{word}_{axis}" for word in ("position", "pos", "centroid", "center", "coordinate")),
        f"cell_{axis}_position",
    }
    for axis in "xyz"
} | {"cell_type": {"cell_type", "celltype", "type", "phenotype", "cell_phenotype", "cell_class"}}
SIZES: dict[str, Callable[[Numbers], Numbers]] = {
    "area_um2": lambda area: np.sqrt(area / math.pi),
    "volume_um3": lambda volume: np.cbrt(3.0 * volume / (4.0 * math.pi)),
}
"""Columns of cell size, and the radius of the disc or sphere of that size."""

ROLES = ("x", "y", "z", "cell_type")
PHYSICELL = ["x", "y", "z", "type"]
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
UNIT = re.compile(rf"(?P<factor>{NUMBER.pattern})?\s*(?P<name>[^\W\d]+)(\s*(/|per)\s*(px|pixel))?")
LONGEST_NUMBER = 64
SIGNATURES = {
    b"PK\x03\x04": "a spreadsheet or zip archive; save the sheet as CSV",
    b"\x1f\x8b": "gzip-compressed; decompress it first",
    b"\x89HDF": "HDF5 (.h5ad, say); save x, y and the cell type as CSV",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
}
DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}


class Column(NamedTuple):
    """A column as read: text still to be parsed, or numbers with NaN for what is missing."""

    name: str
    values: list[str] | Numbers


class Unit(NamedTuple):
    """How many um one unit is, as written by the user; `text` is empty if nothing was."""

    text: str
    um: float


@dataclass(frozen=True)
class TableFile:
    """The bytes of one table; every complaint about them carries the name of the file."""

    name: str
    data: bytes
    max_bytes: int
    max_cells: int

    @classmethod
    def load(cls, path: Path, max_bytes: int, max_cells: int) -> TableFile:
        """Read the bytes, once, so that the hash is that of what was parsed."""
        try:
            if not path.is_file():  # nor a folder, a pipe or a device
                near = did_you_mean(path.name, [p.name for p in path.parent.glob("*.*")])
                raise InputError(f"{path}: there is no such file{near}")
            with path.open("rb") as stream:
                data = stream.read(max_bytes + 1)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read: {error}") from error
        file = cls(path.name, data, max_bytes, max_cells)
        if len(data) > max_bytes:
            file.fail(f"larger than the {max_bytes / 2**20:g} MiB allowed")
        return file

    def fail(self, message: str) -> NoReturn:
        """Raise an InputError that begins with the name of the file."""
        raise InputError(f"{self.name}: {message}")

    def check_count(self, cells: int) -> None:
        """Refuse a table without cells, or with more than allowed."""
        if cells == 0:
            self.fail("has no rows of cells")
        if cells > self.max_cells:
            self.fail(f"{cells} cells, more than the {self.max_cells} allowed")

    # What kind of file it is.

    @cached_property
    def text(self) -> str:
        """The file as text, without a byte order mark or blank ends; every line ends in LF."""
        for signature, what in SIGNATURES.items():
            if self.data.startswith(signature):
                self.fail(f"is not a text table: {what}")
        try:
            text = self.data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = self.data.count(b"\n", 0, error.start) + 1
            self.fail(f"line {line} is not UTF-8 text; save the table as CSV in UTF-8")
        if "\0" in text:
            self.fail("is not a text table but binary")
        text = text.replace("\r\n", "\n").replace("\r", "\n").strip(" \n")
        if not text:
            self.fail("is empty")
        # Half of the lines may be blank; far more are refused before they become objects.
        if text.count("\n") > 2 * self.max_cells + 1:
            self.fail(f"more lines than the {self.max_cells} cells allowed")
        return text

    @cached_property
    def header(self) -> list[str]:
        """Fields of the first line, stripped."""
        try:
            fields = next(csv.reader([self.text.split("\n", 1)[0]]))
        except csv.Error as error:
            self.fail(f"the header line cannot be read: {error}")
        return [field.strip() for field in fields]

    def detect(self, named: dict[str, str]) -> Format:
        """The format, by magic bytes or by the header; `named` are the columns that the user named."""
        if self.data.startswith(b"PAR1"):
            return "parquet"
        if [field.lower() for field in self.header[:4]] == PHYSICELL:
            own = dict(zip(ROLES, self.header, strict=False))
            return "physicell-v2" if own.items() >= named.items() else "csv"
        if len(self.header) == 4 and all(map(NUMBER.fullmatch, self.header)) and not named:
            return "physicell-v1"
        return "csv"

    # The readers: each returns the columns by their role.

    def csv(self, named: dict[str, str], sizes: bool) -> dict[str, Column]:
        """The columns of a CSV file by their role."""
        self.check_header()
        lines = sum(1 for line in self.text.split("\n") if line)
        self.check_count(lines - 1)
        roles = self.resolve(self.header, named, sizes)
        bad: list[pacsv.InvalidRow] = []

        def note(row: pacsv.InvalidRow) -> str:
            bad.append(row)
            return "error"

        data = self.text.encode()
        raw = [f"c{i}" for i in range(len(self.header))]
        wanted = {role: raw[self.header.index(name)] for role, name in roles.items()}
        try:
            table = pacsv.read_csv(
                pa.BufferReader(data),
                pacsv.ReadOptions(use_threads=False, block_size=len(data) + 1, skip_rows=1, column_names=raw),
                pacsv.ParseOptions(invalid_row_handler=note),
                pacsv.ConvertOptions(
                    include_columns=sorted(set(wanted.values())),
                    column_types=dict.fromkeys(raw, pa.string()),
                    strings_can_be_null=False,
                ),
            )
        except (pa.ArrowException, OSError) as error:
            if bad:
                self.fail(
                    f"row {bad[0].number - 1} has {bad[0].actual_columns} values where the header "
                    f"has {bad[0].expected_columns}: {_short(bad[0].text)}"
                )
            self.fail(f"cannot be read as CSV: {_short(str(error))}")
        if table.num_rows != lines - 1:
            self.fail("a quoted value goes on over lines; is a quote left open?")
        return {
            role: Column(roles[role], table.column(column).to_pylist()) for role, column in wanted.items()
        }

    def parquet(self, named: dict[str, str], sizes: bool) -> dict[str, Column]:
        """The columns of a Parquet file by their role."""
        try:
            parquet = pq.ParquetFile(pa.BufferReader(self.data))
            names = parquet.schema_arrow.names
            self.check_count(parquet.metadata.num_rows)
            roles = self.resolve(names, named, sizes)
            wanted = sorted(set(roles.values()))
            table = read_flat(
                pa.BufferReader(self.data), wanted, self.max_cells * len(wanted), UNPACKED * self.max_bytes
            )
            return {role: self.arrow(name, table.column(name)) for role, name in roles.items()}
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            self.fail(f"cannot be read as Parquet: {_short(str(error))}")

    def arrow(self, name: str, values: pa.ChunkedArray) -> Column:
        """A column of Parquet, as numbers or as text."""
        kind = values.type
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            floats = values.cast(pa.float64(), safe=False).to_pylist()  # to_numpy loads pandas
            return Column(name, np.array(floats, dtype=np.float64))  # None becomes NaN
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            self.fail(f"column {name!r} holds {kind}, neither numbers nor text")
        return Column(name, [text or "" for text in values.to_pylist()])

    def physicell(
        self, named: dict[str, str], sizes: bool, kind: Literal["physicell-v1", "physicell-v2"]
    ) -> dict[str, Column]:
        """The columns of a PhysiCell layout by their role."""
        rows = [[v.strip() for v in line.split(",")] for line in self.text.split("\n") if line.strip()]
        header = list(PHYSICELL)
        if kind == "physicell-v2":
            header = [name.lower() for name in rows.pop(0)]
            if header[:4] != PHYSICELL:
                self.fail("a PhysiCell v2 table has the header x,y,z,type; format 'csv' reads others")
        own = dict(zip(ROLES, self.header if kind == "physicell-v2" else (), strict=False))
        if not own.items() >= named.items():
            self.fail("columns of a PhysiCell table are read by position and cannot be named")
        self.check_count(len(rows))
        for number, row in enumerate(rows, start=1):
            if not 4 <= len(row) <= len(header):
                most = f" to {len(header)}" if len(header) > 4 else ""
                self.fail(f"row {number} has {len(row)} values, where {kind} takes 4{most}")
        columns = {
            role: Column(name, [row[i] for row in rows])
            for i, (role, name) in enumerate(zip(ROLES, PHYSICELL, strict=True))
        }
        if kind == "physicell-v1":
            ids = self.numbers(columns["cell_type"])
            columns["cell_type"] = Column("type", [str(int(i)) for i in ids])
        if sizes:
            if "volume" not in header[4:]:
                self.fail("has no column 'volume' to take sizes from")
            at = header.index("volume", 4)
            given = [row[at] if at < len(row) else "" for row in rows]
            skipped = ["" if value[:1] in ("s", "S") else value for value in given]
            columns["size"] = Column("volume", skipped)
        return columns

    # Which column is what.

    def check_header(self) -> None:
        """Refuse a first line that is no header, or one that commas do not separate."""
        if all(NUMBER.fullmatch(name) for name in self.header):
            self.fail("the first line is numbers; a header line must name the columns")
        line = self.text.split("\n", 1)[0]
        for mark, what in DELIMITERS.items():
            if line.count(mark) > line.count(","):
                self.fail(f"columns are separated by {what}; save the table with commas")

    def resolve(self, names: Sequence[str], named: dict[str, str], sizes: bool) -> dict[str, str]:
        """Find the column of each role, by the name given or by the names that speak for it."""
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            self.fail(f"the header names {_listed(twice)} more than once")
        have = f"the columns are {_listed(names)}"
        roles = {}
        for role in ROLES:
            if role in named:
                name = named[role]
                if name not in names:
                    near = did_you_mean(name, names)
                    self.fail(f"there is no column {name!r} for {role}{near} ({have})")
                roles[role] = name
                continue
            found = [name for name in names if _split_unit(name)[0] in NAMES[role]]
            if len(found) > 1:
                self.fail(f"{role} could be {_listed(found)}; give {role} the name of one")
            if found:
                roles[role] = found[0]
            elif role != "z":
                self.fail(f"no column is named like {role}; give {role} the name of one; {have}")
        same = [name for name, count in Counter(roles.values()).items() if count > 1]
        if same:
            self.fail(f"column {same[0]!r} cannot be two of {_listed(roles)}")
        if sizes:
            found = [name for name in names if name.lower() in SIZES]
            if len(found) != 1:
                self.fail(f"sizes need one column out of {_listed(SIZES)}; {have}")
            roles["size"] = found[0]
        return roles

    # From columns to values.

    def unit(self, text: str | None) -> Unit:
        """The unit that the user gave, such as "0.5 um"."""
        if text is None:
            return Unit("", 1.0)
        match = UNIT.fullmatch(text.strip())
        factor = float(match["factor"] or 1.0) if match else 0.0
        if match and match["name"] in PIXELS:
            self.fail(f'unit {text!r}: give the width of a pixel, as in unit = "0.5 um"')
        if not match or match["name"] not in UNITS or not 0.0 < factor < math.inf:
            self.fail(f'unit {text!r}: um, nm or mm, or a multiple such as "0.5 um" for pixels')
        return Unit(text, factor * UNITS[match["name"]])

    def coordinates(self, column: Column, unit: Unit) -> Numbers:
        """Values in um; the suffix of the column's name stands above the default unit."""
        suffix = _split_unit(column.name)[1]
        um = UNITS.get(suffix, unit.um)
        if suffix in PIXELS and not re.search(r"\d", unit.text):
            self.fail(f'column {column.name!r} is in pixels; give the width of one, as in unit = "0.5 um"')
        if suffix in UNITS and unit.text and um != unit.um:
            self.fail(f"column {column.name!r} is in {suffix}, which unit = {unit.text!r} denies")
        with np.errstate(over="ignore"):
            values = self.numbers(column) * um
        self.refuse(~np.isfinite(values), column, "a finite number")
        return values

    def radii(self, column: Column) -> Numbers:
        """Radii in um from a column of sizes, NaN where it leaves one open."""
        values = self.numbers(column, missing=True)
        self.refuse(~((values > 0.0) & np.isfinite(values)) & ~np.isnan(values), column, "above 0")
        key = "volume_um3" if column.name == "volume" else column.name.lower()
        radii = SIZES[key](values)
        radii.setflags(write=False)
        return radii

    def numbers(self, column: Column, missing: bool = False) -> Numbers:
        """Values as float64; blank ones become NaN where `missing` allows."""
        if isinstance(column.values, np.ndarray):
            values = column.values
            self.refuse(np.isnan(values) & (not missing), column, "a number")
            return values
        texts = [text.strip() for text in column.values]
        if missing:
            texts = [text or "nan" for text in texts]
        long = np.array([len(text) > LONGEST_NUMBER for text in texts])
        self.refuse(long, column, f"a number of at most {LONGEST_NUMBER} characters")
        wrong = [not (NUMBER.fullmatch(text) or (missing and text == "nan")) for text in texts]
        self.refuse(np.array(wrong), column, "a number")
        values = np.array([float(text) for text in texts])
        self.refuse(np.isinf(values), column, "a finite number")
        return values

    def labels(self, column: Column) -> Labels:
        """The labels of a column of types; numbers as their digits."""
        if isinstance(column.values, np.ndarray):
            self.refuse(np.isnan(column.values), column, "the type of a cell")
            texts = [f"{v:.0f}" if v.is_integer() else str(v) for v in column.values.tolist()]
        else:
            texts = [text.strip() for text in column.values]
        self.refuse(np.array([not text for text in texts]), column, "the type of a cell")
        long = np.array([len(text) > LONGEST_LABEL for text in texts])
        self.refuse(long, column, f"a name of at most {LONGEST_LABEL} characters")
        labels = np.array(texts, dtype=np.str_)
        labels.setflags(write=False)
        return labels

    def refuse(self, wrong: NDArray[np.bool_], column: Column, expected: str) -> None:
        """Complain about the first row that is wrong."""
        if wrong.any():
            row = int(np.argmax(wrong))
            value = str(column.values[row]).strip()
            self.fail(
                f"row {row + 1}, column {column.name!r} is "
                f"{_short(value) if value else 'blank'}, not {expected}"
            )


def _split_unit(name: str) -> tuple[str, str]:
    """Split "X (um)" or "x_um" into ("x", "um"); the unit is empty where there is none."""
    words = re.sub(r"\W+", "_", name.lower()).strip("_")
    stem, _, last = words.rpartition("_")
    return (stem, last) if stem and last in {*UNITS, *PIXELS} else (words, "")


def _short(text: str) -> str:
    """Quote the beginning of `text`, so that no message carries a page of junk."""
    return repr(text if len(text) <= 80 else text[:77] + "...")


def _listed(names: Iterable[str], most: int = 40) -> str:
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(_short, names[:most])) + more
