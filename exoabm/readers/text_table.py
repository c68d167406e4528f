"""Text tables: header and columns from bytes of any encoding, separator and preamble.

Gzip and ZIP are known by their first bytes. Text is UTF-8, else Windows-1252. The separator is the most
frequent of tab, comma, semicolon and bar in the header.
"""

from __future__ import annotations

import csv
import io
import math
import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from exoabm.errors import InputError
from exoabm.readers.options import NUMBER, PIXELS, UNITS, enumerated, quoted
from exoabm.readers.table import LONGEST_NUMBER, MOST_COLUMNS, ROW_NAMES, Sheet, as_numpy, label_of, trimmed

SIGNATURES = {
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
}
MARKUP = {
    re.compile(rb"<[?!A-Za-z]"): "XML or HTML; save its cells as CSV, with a header and one row per cell",
    re.compile(rb'[{[]\s*[{["]'): "JSON; save its cells as CSV, with a header and one row per cell",
}
GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"
BAD_ZIP = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError)
"""What the standard library raises for archives that are damaged, locked or of an unknown method."""
BESIDE = re.compile(r"(^|/)(__MACOSX/|\.[^/]*$|Thumbs\.db$|desktop\.ini$)")
"""What operating systems add to the files of an archive; it holds no table."""
MOST_EXPANSION = 50
"""Times as long as a compressed text may become; tables of cells reach 5 to 20."""
LEAST_EXPANDED = 1 << 20
"""Bytes that any compressed text may become."""
SEPARATORS = "\t,;|"
SEP_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
BLOCK = 64 << 20
"""Bytes that the parser holds at a time."""
ENDED = "a separator ends every row"
SPARE_LINES = 3
"""Further lines allowed above the rows."""
SAMPLE = 100
"""Rows examined to interpret a surplus value."""


@dataclass(frozen=True)
class Text:
    """A decoded file: bytes in UTF-8 whose lines end in LF, and notes on its conversion."""

    name: str
    data: bytes
    notes: tuple[str, ...] = ()


def unpacked(name: str, data: bytes, max_bytes: int, notes: list[str]) -> bytes:
    """The content of a gzip or ZIP file, or the data itself; refused if the ratio of sizes is too large.

    What is left out is added to ``notes``.
    """
    most = min(max_bytes, max(MOST_EXPANSION * len(data), LEAST_EXPANDED))
    if data.startswith(ZIP):
        return _unzipped(name, data, most, notes)
    if not data.startswith(GZIP):
        return data
    parts, size, rest = [], 0, data
    try:
        while rest.startswith(GZIP):
            inflate = zlib.decompressobj(wbits=31)
            part = inflate.decompress(rest, most + 1 - size)
            parts.append(part)
            size += len(part)
            if size > most:
                raise InputError(_too_large(name, most))
            if not inflate.eof:
                raise InputError(f"{name}: the gzip file is cut off")
            rest = inflate.unused_data
    except zlib.error as error:
        raise InputError(f"{name}: not a readable gzip file: {error}") from None
    return b"".join(parts)


def _unzipped(name: str, data: bytes, most: int, notes: list[str]) -> bytes:
    """The one text in a ZIP archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [each.filename for each in archive.infolist() if not each.is_dir()]
            beside = [each for each in names if BESIDE.search(each)]
            names = [each for each in names if each not in beside]
            if "[Content_Types].xml" in names:
                raise InputError(f"{name}: is not a text table: a spreadsheet; save the sheet as CSV")
            if len(names) != 1:
                there = f"{len(names)} files ({enumerated(names)})" if names else "no file"
                raise InputError(f"{name}: a ZIP archive of one text table is expected, and it has {there}")
            with archive.open(names[0]) as packed:
                text = packed.read(most + 1)
    except BAD_ZIP as error:
        raise InputError(f"{name}: not a readable ZIP archive or spreadsheet: {error}") from None
    if len(text) > most:
        raise InputError(_too_large(name, most))
    if beside:
        notes.append(f"{enumerated(beside)}, which the operating system had added, left out")
    return text


def _too_large(name: str, most: int) -> str:
    return f"{name}: unpacks to over {most / 2**20:.3g} MiB or {MOST_EXPANSION} times its length"


def decode(name: str, data: bytes, max_bytes: int) -> Text:
    """The file as text, without a byte order mark; every line ends in LF."""
    notes: list[str] = []
    data = unpacked(name, data, max_bytes, notes)
    for signature, what in SIGNATURES.items():
        if data.startswith(signature):
            raise InputError(f"{name}: is not a text table: {what}")
    data = data.removeprefix(b"\xef\xbb\xbf")
    for pattern, what in MARKUP.items():
        if pattern.match(data.lstrip()):
            raise InputError(f"{name}: is not a text table: {what}")
    if b"\0" in data:
        raise InputError(f"{name}: is not a text table but binary")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        try:
            data = data.decode("cp1252").encode()
        except UnicodeDecodeError:
            raise InputError(f"{name}: line {line} is neither UTF-8 nor Windows-1252 text") from None
        notes.append(f"read as Windows-1252, for line {line} is not UTF-8")
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    data = data.strip(b" \n")
    if not data:
        raise InputError(f"{name}: is empty")
    return Text(name, data, tuple(notes))


@dataclass(frozen=True)
class Head:
    """The header: names, separator, and the first line of the rows."""

    names: tuple[str, ...]
    separator: str
    start: int
    notes: tuple[str, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()


def read_head(text: Text) -> Head:
    """Find the header: below comments and a ``sep=`` line, in one line or in two."""
    separator, at = "", 0
    notes: list[str] = []
    line, below = _line(text.data, at)
    while True:
        if match := SEP_LINE.fullmatch(line):
            separator = match[1]
        elif not (line.startswith("#") and not _heads_rows(text.data, line, below)) and line.strip():
            break
        elif line.strip() and "comment" not in "".join(notes):
            notes.append("comment lines were left out")
        if below >= len(text.data):
            raise InputError(f"{text.name}: has no header and no rows")
        at = below
        line, below = _line(text.data, at)
    separator = separator or separator_of(line)
    names = [name.strip() for name in _fields(text.name, line, separator)]
    aliases: dict[str, str] = {}
    if second := _second_header(text, names, separator, below):
        features, below = second
        joined = [f"{a}_{b}".strip("_") if a != b else a for a, b in zip(names, features, strict=True)]
        aliases = {j: f for j, f in zip(joined, features, strict=True) if f and not _is_unit(f)}
        names = joined
        notes.append("two header lines were joined")
    if all(NUMBER.fullmatch(name) for name in names):
        raise InputError(f"{text.name}: the first line is numbers; a header line must name the columns")
    if len(names) == 1 and len(line.split()) > 2:
        raise InputError(f"{text.name}: columns seem to be separated by spaces; save with commas or tabs")
    if len(names) > MOST_COLUMNS:
        raise InputError(f"{text.name}: {len(names)} columns, more than the {MOST_COLUMNS} allowed")
    names, more = _one_value_more(text, names, separator, below)
    return Head(tuple(names), separator, below, (*notes, *more), tuple(aliases.items()))


def read_text(name: str, data: bytes, max_bytes: int, max_rows: int) -> Sheet:
    """A text table with a header as a sheet."""
    text = decode(name, data, max_bytes)
    # Half of the lines may be blank; far more are refused before they become objects.
    if text.data.count(b"\n") > 2 * max_rows + SPARE_LINES:
        raise InputError(f"{name}: more lines than the {max_rows} cells allowed")
    head = read_head(text)
    body = text.data[head.start :]
    lines = _filled_lines(body)
    return Sheet(
        name=name,
        format="csv",
        names=head.names,
        rows=lines,
        fetch=lambda wanted: _parse(name, body, head, lines, wanted),
        notes=(*text.notes, *head.notes),
        separator=head.separator,
        aliases=dict(head.aliases),
    )


def _parse(name: str, body: bytes, head: Head, lines: int, wanted: Sequence[int]) -> list[pa.Array]:
    """These columns, as text."""
    bad: list[pacsv.InvalidRow] = []

    def note(row: pacsv.InvalidRow) -> str:
        bad.append(row)
        return "error"

    raw = [f"c{i}" for i in range(len(head.names))]
    read = [*wanted, len(raw) - 1] if ENDED in head.notes and len(raw) - 1 not in wanted else wanted
    try:
        table = pacsv.read_csv(
            pa.BufferReader(body),
            pacsv.ReadOptions(use_threads=False, block_size=min(len(body) + 1, BLOCK), column_names=raw),
            pacsv.ParseOptions(delimiter=head.separator, invalid_row_handler=note),
            pacsv.ConvertOptions(
                include_columns=[raw[i] for i in read],
                column_types={raw[i]: pa.string() for i in read},
                strings_can_be_null=False,
            ),
        )
    except (pa.ArrowException, OSError) as error:
        if bad:
            row = bad[0]
            raise InputError(
                f"{name}: row {row.number} has {row.actual_columns} values where the header "
                f"has {row.expected_columns}: {quoted(row.text)}"
            ) from None
        raise InputError(f"{name}: cannot be read as CSV: {quoted(str(error))}") from None
    if table.num_rows != lines:
        raise InputError(f"{name}: a quoted value extends over several lines; is a closing quote missing?")
    if ENDED in head.notes and as_numpy(pc.utf8_length(trimmed(_whole(table.column(raw[-1]))))).any():
        raise InputError(f"{name}: some rows have {len(raw)} values where the header has {len(raw) - 1}")
    return [_whole(table.column(raw[i])) for i in wanted]


def _whole(column: pa.ChunkedArray) -> pa.Array:
    found = column.combine_chunks()
    return found.chunk(0) if isinstance(found, pa.ChunkedArray) else found


def _filled_lines(body: bytes) -> int:
    """Lines that are not empty."""
    if not body:
        return 0
    lines = body.count(b"\n") + (not body.endswith(b"\n"))
    if b"\n\n" in body or body.startswith(b"\n"):
        return sum(1 for line in body.split(b"\n") if line)
    return lines


def _line(data: bytes, at: int) -> tuple[str, int]:
    """The line that begins here, and where the next one does."""
    end = data.find(b"\n", at)
    end = len(data) if end < 0 else end
    return data[at:end].decode(errors="replace"), min(end + 1, len(data))


def _rows(data: bytes, at: int, most: int) -> list[str]:
    """The next lines that are not blank."""
    found: list[str] = []
    while at < len(data) and len(found) < most:
        line, at = _line(data, at)
        if line.strip():
            found.append(line)
    return found


def _fields(name: str, line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error as error:
        raise InputError(f"{name}: the header line cannot be read: {error}") from None


def values_of(line: str, separator: str) -> list[str]:
    """The values of a row, none where it cannot be read."""
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return []


def separator_of(line: str) -> str:
    """The most frequent separator of a line, outside of quotes."""
    bare = re.sub(r'"[^"]*"', "", line)
    return max(SEPARATORS, key=lambda mark: (bare.count(mark), mark == ","))


def _heads_rows(data: bytes, line: str, below: int) -> bool:
    """Whether a line that begins with # is the header itself: the next line has numbers."""
    mark = separator_of(line)
    under = next(iter(_rows(data, below, 1)), "").split(mark)
    return (
        len(under) > 2
        and len(under) == len(line.split(mark))
        and any(NUMBER.fullmatch(f.strip()) for f in under)
    )


def _is_unit(field: str) -> bool:
    return field.strip("()[] ").lower() in {*UNITS, *PIXELS}


def _second_header(text: Text, names: list[str], separator: str, below: int) -> tuple[list[str], int] | None:
    """Names in a second line: of features below objects that repeat, or units; numbers come below it."""
    line, under = _line(text.data, below)
    features = [field.strip() for field in values_of(line, separator)]
    if len(features) != len(names) or any(NUMBER.fullmatch(field) for field in features):
        return None
    first = next(iter(_rows(text.data, under, 1)), "")
    if not any(NUMBER.fullmatch(field.strip()) for field in values_of(first, separator)):
        return None
    objects = len(set(names)) < len(names) and all(features)
    units = any(map(_is_unit, features)) and all(_is_unit(field) or not field for field in features)
    return (features, under) if objects or units else None


def _one_value_more(text: Text, names: list[str], separator: str, below: int) -> tuple[list[str], list[str]]:
    """Names for rows that have one value more than the header: row names of R, or a separator at the end."""
    sample = [values_of(line, separator) for line in _rows(text.data, below, SAMPLE)]
    if not sample or any(len(row) != len(names) + 1 for row in sample):
        return names, []
    if not any(row[-1].strip() for row in sample):
        return [*names, ""], [ENDED]
    first = [label_of(row[0]) for row in sample]
    counted = first == [str(i + 1) for i in range(len(first))]
    if len(set(first)) == len(first) and (counted or not any(map(NUMBER.fullmatch, first))):
        return ["", *names], [ROW_NAMES]
    return names, []


PHYSICELL_COLUMNS = ("x", "y", "z", "type")


def is_physicell(text: Text) -> str:
    """physicell-v1 or -v2 by the first line, or ""."""
    first = [field.strip() for field in text.data.split(b"\n", 1)[0].decode().split(",")]
    if tuple(field.lower() for field in first[:4]) == PHYSICELL_COLUMNS:
        return "physicell-v2"
    return "physicell-v1" if len(first) == 4 and all(map(NUMBER.fullmatch, first)) else ""


def _truncated(sheet: Sheet, row: int, text: str) -> str:
    """The number of a type in version 1."""
    if len(text) > LONGEST_NUMBER or not NUMBER.fullmatch(text):
        sheet.fail(f"row {row}, column 'type' is {quoted(text) if text else 'blank'}, not a number")
    if not math.isfinite(float(text)):
        sheet.fail(f"row {row}, column 'type' is {quoted(text)}, not a finite number")
    return str(int(float(text)))


def read_physicell(text: Text, form: str, max_rows: int) -> Sheet:
    """The cells of a PhysiCell layout, with its rules for missing values."""
    sheet = Sheet(text.name, form, PHYSICELL_COLUMNS, 0, lambda _: [])
    if text.data.count(b"\n") > 2 * max_rows + 1:
        sheet.fail(f"more lines than the {max_rows} cells allowed")
    rows = [[v.strip() for v in line.split(",")] for line in text.data.decode().split("\n") if line.strip()]
    most = len(PHYSICELL_COLUMNS)
    names: tuple[str, ...] = PHYSICELL_COLUMNS
    if form == "physicell-v2":
        header = rows.pop(0)
        if tuple(name.lower() for name in header[:4]) != PHYSICELL_COLUMNS:
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
