"""Named columns of one length, independent of the file format, and their values.

Rows are counted from 1 below the header, without blank lines, in every message.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from exoabm.errors import InputError, did_you_mean
from exoabm.readers.options import NUMBER, enumerated, quoted

LONGEST_LABEL = 200
LONGEST_NUMBER = 64
MOST_COLUMNS = 50_000
WHOLE = re.compile(r"([+-]?[0-9]+)\.0*")
MINUS = "\N{MINUS SIGN}"
BLANK = "unclassified"
"""The label of a cell whose type is blank."""
MISSING = frozenset({"", "nan", "na", "<na>"})
"""Labels that denote a missing type, in lower case."""


class Labels(NamedTuple):
    """Text of a column: ``words[codes[i]]`` is that of row i."""

    codes: NDArray[np.int32]
    words: list[str]

    def counts(self, rows: NDArray[np.int64] | None = None) -> dict[str, int]:
        """How many of the rows, or of all, have each text; the most frequent first."""
        codes = self.codes if rows is None else self.codes[rows]
        many = np.bincount(codes, minlength=len(self.words)).tolist()
        found = [(-n, word) for n, word in zip(many, self.words, strict=True) if n]
        return {word: -n for n, word in sorted(found)}


ROW_NAMES = "rows have names, as R writes them"
"""Note on a text table whose rows have one value more than its header."""


@dataclass(frozen=True)
class Sheet:
    """One table.

    Attributes
    ----------
    name : str
        Of the file, as messages begin.
    format : str
        csv, parquet, h5ad, zarr, physicell-v1 or physicell-v2.
    names : tuple of str
        Of the columns, as written.
    rows : int
    fetch : callable
        From indices of columns to one Arrow array each, of numbers, truth values or text.
    notes : tuple of str
        Notes on the conversion of the file.
    unit : str
        Of positions, where the file itself keeps it.
    separator : str
        Between values, "" if there is none.
    images : tuple of str
        Columns of images, where the file itself states them.
    """

    name: str
    format: str
    names: tuple[str, ...]
    rows: int
    fetch: Callable[[Sequence[int]], list[pa.Array]]
    notes: tuple[str, ...] = ()
    unit: str = ""
    separator: str = ""
    aliases: dict[str, str] = field(default_factory=dict)
    images: tuple[str, ...] = ()
    _kept: dict[int, pa.Array] = field(default_factory=dict, repr=False)

    def fail(self, message: str) -> NoReturn:
        """Raise an InputError that begins with the name of the file."""
        raise InputError(f"{self.name}: {message}")

    def check_size(self, most_rows: int) -> None:
        """Refuse a table without rows, or with more rows or columns than allowed."""
        if self.rows == 0:
            self.fail("has no rows of cells")
        if self.rows > most_rows:
            self.fail(f"{self.rows} cells, more than the {most_rows} allowed")
        if len(self.names) > MOST_COLUMNS:
            self.fail(f"{len(self.names)} columns, more than the {MOST_COLUMNS} allowed")

    @cached_property
    def _places(self) -> dict[str, int]:
        """First index of each name."""
        return {name: i for i, name in reversed(list(enumerate(self.names)))}

    @cached_property
    def single(self) -> frozenset[str]:
        """Names that occur once in the header."""
        return frozenset(name for name, count in Counter(self.names).items() if count == 1)

    def index(self, name: str, role: str = "") -> int:
        """Index of the column of this name; refused if there is none, or if there are two."""
        if name not in self._places:
            near, have = did_you_mean(name, self.names), f"the columns are {enumerated(self.names)}"
            self.fail(f"there is no column {quoted(name)}{f' for {role}' if role else ''}{near} ({have})")
        if name not in self.single:
            use = f" for {role}" if role else ""
            self.fail(f"the header names {quoted(name)} more than once, and it is used{use}")
        return self._places[name]

    def load(self, names: Sequence[str]) -> None:
        """Read these columns together, for later use one by one."""
        wanted = sorted({self.index(name) for name in names} - self._kept.keys())
        if wanted:
            self._kept.update(zip(wanted, self.fetch(wanted), strict=True))

    def column(self, name: str) -> pa.Array:
        """The values of a column, as stored."""
        self.load([name])
        return self._kept[self.index(name)]

    def taken(self, name: str, rows: NDArray[np.int64]) -> pa.Array:
        """The values of a column in these rows, as stored."""
        column = self.column(name)
        if len(column) != self.rows:
            self.fail(f"column {quoted(name)} is damaged: {len(column)} of {self.rows} values")
        if len(rows) == self.rows:
            return column
        # Arrow's own way from NumPy loads pandas.
        return column.take(pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(rows)]))

    # From columns to values; ``rows`` are those that count, in rising order.

    def numbers(self, name: str, rows: NDArray[np.int64], comma: bool = False) -> NDArray[np.float64]:
        """Values in these rows as float64; other values are refused, with their row."""
        column = self.taken(name, rows)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        column = self.decoded(name, column)
        if _is_text(column.type):
            values = self._parsed(name, column, rows, comma)
        elif _is_number(column.type):
            values = as_numpy(column.cast(pa.float64(), safe=False), np.nan)
        else:
            self.fail(f"column {quoted(name)} holds {column.type}, neither numbers nor text")
        self.check_rows(~np.isfinite(values), name, column, rows, "a finite number")
        return values

    def _parsed(
        self, name: str, column: pa.Array, rows: NDArray[np.int64], comma: bool
    ) -> NDArray[np.float64]:
        text = trimmed(column)
        long = as_numpy(pc.utf8_length(text), 0) > LONGEST_NUMBER
        self.check_rows(long, name, text, rows, f"a number of at most {LONGEST_NUMBER} characters")
        text = pc.replace_substring(text, MINUS, "-")
        if comma:
            text = pc.replace_substring(text, ",", ".")
        self.check_rows(
            ~is_number(text), name, column, rows, "a number with a decimal comma" if comma else "a number"
        )
        text = pc.utf8_ltrim(text, "+")
        try:
            return as_numpy(text.cast(pa.float64()))
        except pa.ArrowInvalid:  # forms that Arrow does not know
            return np.array([float(each) for each in text.to_pylist()])

    def labels(self, name: str) -> Labels:
        """The text of every row, the same whatever the file's format: 1.0 is "1", true is "True"."""
        column = self.column(name)
        if pa.types.is_dictionary(column.type):
            encoded = column
        elif _is_text(column.type) or _is_number(column.type) or pa.types.is_boolean(column.type):
            encoded = column.dictionary_encode()
        elif _is_bytes(column.type) or pa.types.is_temporal(column.type):
            encoded = self.decoded(name, column).dictionary_encode()
        elif pa.types.is_null(column.type):
            return Labels(np.zeros(len(column), np.int32), [""])
        else:
            self.fail(f"column {quoted(name)} holds {column.type}, neither numbers nor text")
        texts = [label_of(value) for value in self.decoded(name, encoded.dictionary).to_pylist()]
        words = list(dict.fromkeys(["", *texts]))
        place = {word: i for i, word in enumerate(words)}
        places = np.array([place[text] for text in texts], np.int32)
        found = as_numpy(encoded.indices.cast(pa.int64()), -1)
        if len(found) != self.rows or (len(found) and not -1 <= found.min() <= found.max() < len(texts)):
            self.fail(f"column {quoted(name)} is damaged")
        codes = np.append(places, 0)[found].astype(np.int32)
        long = np.array([len(word) > LONGEST_LABEL for word in words])
        if long.any():
            row = int(np.argmax(long[codes]))
            self.fail(
                f"row {row + 1}, column {quoted(name)} is {quoted(words[codes[row]])}, "
                f"not a name of at most {LONGEST_LABEL} characters"
            )
        return Labels(codes, words)

    def decoded(self, name: str, column: pa.Array) -> pa.Array:
        """Bytes as the text that they are; dates and times as text, without a fraction of zero."""
        try:
            if pa.types.is_duration(column.type):
                column = column.cast(pa.int64())
            if pa.types.is_temporal(column.type):
                return pc.replace_substring_regex(column.cast(pa.string()), r"\.0+(Z?)$", r"\1")
            if not _is_bytes(column.type):
                return column
            text = column.cast(pa.binary()).cast(pa.string())
            text.validate(full=True)
        except pa.ArrowException:
            self.fail(f"column {quoted(name)} holds {column.type} that is no UTF-8 text")
        return text

    def ids(self, names: Sequence[str], rows: NDArray[np.int64]) -> list[str]:
        """What names each cell, as written; of several columns joined by ``_``."""
        parts = []
        for name in names:
            column = self.taken(name, rows)
            if pa.types.is_dictionary(column.type):
                column = column.dictionary_decode()
            column = self.decoded(name, column)
            if not (_is_text(column.type) or _is_number(column.type)):
                self.fail(f"column {quoted(name)} holds {column.type}, neither numbers nor text")
            if _is_text(column.type):
                parts.append([(each or "").strip() for each in column.to_pylist()])
            else:
                parts.append([label_of(each) for each in column.to_pylist()])
        texts = parts[0] if len(parts) == 1 else ["_".join(each) for each in zip(*parts, strict=True)]
        for row, text in zip(rows, texts, strict=True):
            if len(text) > LONGEST_LABEL:
                self.fail(
                    f"row {row + 1}, column {quoted(names[0])}: an id of more than {LONGEST_LABEL} characters"
                )
        return texts

    def check_rows(
        self, wrong: NDArray[np.bool_], name: str, column: pa.Array, rows: NDArray[np.int64], expected: str
    ) -> None:
        """Raise an error for the first wrong row; ``rows`` are the numbers of the rows in the file."""
        if wrong.any():
            at = int(np.argmax(wrong))
            value = column[at].as_py()
            text = "" if value is None else str(value).strip()
            findings = quoted(text) if text else "blank"
            named = (
                "; rows have one value more than the header, and the first was read as the name of the row"
            )
            after = named if ROW_NAMES in self.notes else ""
            self.fail(f"row {rows[at] + 1}, column {quoted(name)} is {findings}, not {expected}{after}")


def texts_of(column: pa.Array) -> list[str]:
    """Values as text, exact for numbers; "" for null."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if _is_text(column.type):
        return [(text or "").strip() for text in column.to_pylist()]
    return ["" if value is None else repr(value) for value in column.to_pylist()]


def label_of(value: object) -> str:
    """A label as text: whole numbers without a point, truth values with a capital, "" for none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        if value != value:
            return ""
        return f"{value:.0f}" if value.is_integer() else repr(value)
    text = str(value).strip()
    if match := WHOLE.fullmatch(text):
        return match[1].removeprefix("+")
    if text.lower() in ("true", "false"):
        return text.capitalize()
    return text


def trimmed(column: pa.Array) -> pa.Array:
    """Text without blank ends; "" for null."""
    text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    if not text.null_count:
        return text
    # Null is as long as "" here; without the mask that is what it is.
    return pa.Array.from_buffers(text.type, len(text), [None, *text.buffers()[1:]], offset=text.offset)


def is_number(text: pa.Array) -> NDArray[np.bool_]:
    """Texts that are numbers in the notation of tables."""
    return true(pc.match_substring_regex(text, rf"^(?:{NUMBER.pattern})$"))


def as_numpy(array: pa.Array, null: float = 0) -> NDArray[Any]:
    """A copy of numbers, with this for null. Arrow's own ways, and its scalars, load pandas."""
    kind = np.dtype(str(array.type).replace("double", "float64"))
    if not len(array):
        return np.empty(0, kind)
    data = np.array(np.frombuffer(array.buffers()[1], kind, len(array), array.offset * kind.itemsize))
    if array.null_count:
        data[as_numpy(array.is_null().cast(pa.uint8())).astype(bool)] = null
    return data


def true(array: pa.Array) -> NDArray[np.bool_]:
    """Truth values; null is false."""
    return as_numpy(array.cast(pa.uint8()), 0).astype(bool)


def _is_bytes(kind: pa.DataType) -> bool:
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    return bool(binary or pa.types.is_fixed_size_binary(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
