"""Arrow schemas of declared tables, tables built from columns or readouts, and checks of tables read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from exoabm.errors import InputError, visible
from exoabm.tables.declarations import (
    CELL,
    DOSE,
    METRICS,
    REAL,
    RESERVOIR,
    SCHEMA_VERSION,
    TABLES,
    TEXT,
    WHOLE,
    WORD,
)
from exoabm.tables.readouts import TABLE_OF, TIME, Readout, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from exoabm.tables.declarations import Column, Table

TYPES = {
    WHOLE: pa.int64(),
    REAL: pa.float64(),
    TEXT: pa.string(),
    WORD: pa.dictionary(pa.int32(), pa.string()),
}
NUMBERS: dict[str, tuple[type, ...]] = {WHOLE: (np.int64, int), REAL: (np.float64, float, int)}
"""Type of a column of numbers, and those of the numbers in a list for it."""
VERSION = "schema_version"
"""Key of the footer, and of ``run.json``, that holds the version of the tables."""


def footer(exoabm: str, scenario_sha256: str, seed: int) -> dict[str, str]:
    """Entries of the footer of every table on its run, in addition to those of ``schema``."""
    return {"exoabm": exoabm, "scenario_sha256": scenario_sha256, "seed": str(seed)}


def schema(table: Table, about: Mapping[str, str] | None = None) -> pa.Schema:
    """The schema of a table: fields with unit and meaning, and the footer with ``about`` in it."""
    metadata = {"table": table.name, VERSION: str(SCHEMA_VERSION), "row": table.meaning}
    return pa.schema([field(column) for column in table.columns], metadata=metadata | dict(about or {}))


def field(column: Column) -> pa.Field:
    """The field of a column, with its meaning as metadata."""
    metadata = {"description": column.meaning}
    metadata |= {"unit": column.unit} if column.unit else {}
    metadata |= {"null": column.null} if column.null else {}
    return pa.field(column.name, TYPES[column.dtype], bool(column.null), metadata)


def build(table: Table, columns: Mapping[str, Any], about: Mapping[str, str] | None = None) -> pa.Table:
    """A table from its columns by name; a column that may be null and is not given is null throughout.

    NaN becomes null in a column that may be null. Arrays are copied.

    Raises
    ------
    AssertionError
        If a column is not declared, or one that may not be null is not given.
    """
    names = {column.name for column in table.columns}
    assert names >= columns.keys(), f"{table.name} has no columns {sorted(columns.keys() - names)}"
    rows = len(next(iter(columns.values())))
    arrays = []
    for column in table.columns:
        if column.name in columns:
            arrays.append(_array(column, columns[column.name]))
        else:
            assert column.null, f"{table.name}.{column.name} is not given"
            arrays.append(pa.nulls(rows, TYPES[column.dtype]))
    return pa.Table.from_arrays(arrays, schema=schema(table, about))


def arrow(values: np.ndarray, null: np.ndarray | None = None, *, copy: bool = True) -> pa.Array:
    """Numbers (n,) as an Arrow array, null where ``null``; copied unless nothing else changes them.

    ``pyarrow.array`` looks at pandas, whose import takes 0.2 s.
    """
    given = None if null is None or not null.any() else pa.py_buffer(np.packbits(~null, bitorder="little"))
    buffers = [given, pa.py_buffer(np.array(values) if copy else values)]
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), buffers)


def numbers(values: Sequence[float | None], dtype: type[np.number[Any]] = np.float64) -> pa.Array:
    """Numbers as an Arrow array, null where None; see ``arrow``."""
    missing = np.array([value is None for value in values], bool)
    return arrow(np.array([0 if value is None else value for value in values], dtype), missing, copy=False)


def texts(values: Sequence[str | None]) -> pa.Array:
    """Texts as an Arrow array, null where None; see ``arrow``."""
    encoded = [b"" if value is None else value.encode() for value in values]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    missing = np.array([value is None for value in values], bool)
    given = pa.py_buffer(np.packbits(~missing, bitorder="little")) if missing.any() else None
    buffers = [given, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.large_string(), len(encoded), buffers).cast(pa.string())


def words(names: Sequence[str], index: np.ndarray) -> pa.DictionaryArray:
    """Names by index as a column of words, null below zero; equal names become one word."""
    known = {name: i for i, name in enumerate(dict.fromkeys(names))}
    if len(known) < len(names):
        index = np.where(index < 0, -1, np.array([known[name] for name in names])[index])
    rows = arrow(index.astype(np.int32), index < 0, copy=False)
    return pa.DictionaryArray.from_arrays(rows, texts(list(known)))


def word(name: str, rows: int) -> pa.DictionaryArray:
    """A column with the same word throughout."""
    return words([name], np.zeros(rows, np.int64))


def senders(names: Sequence[str], index: np.ndarray, donor: np.ndarray) -> dict[str, pa.Array]:
    """The columns ``sender``, ``donor`` and ``donor_type``.

    Parameters
    ----------
    names : sequence of str
        Cell types, and the words in ``fates.SENDERS`` for senders other than cells.
    index : numpy.ndarray
        Into these, (n,).
    donor : numpy.ndarray
        Birth id of the sending cell, below 0 where it is not known, (n,).
    """
    outside = np.array([name in (DOSE, RESERVOIR) for name in names], bool)[index]
    kinds = [name if name in (DOSE, RESERVOIR) else CELL for name in names]
    return {
        "sender": words(kinds, index),
        "donor": arrow(donor.astype(np.int64), outside | (donor < 0), copy=False),
        "donor_type": words(names, np.where(outside, -1, index)),
    }


def check(table: Table, found: pa.Table, where: str, columns: Sequence[str] | None = None) -> None:
    """Refuse a table that is not as declared: its columns, their types, nulls, words, and its version.

    Parameters
    ----------
    table : Table
    found : pyarrow.Table
    where : str
        Name in errors.
    columns : sequence of str, optional
        The columns that were read; all if not given.

    Raises
    ------
    InputError
    """
    version = (found.schema.metadata or {}).get(VERSION.encode(), b"").decode()
    if version != str(SCHEMA_VERSION):
        raise InputError(f"{where}: {other_version(version)}")
    for column in table.columns:
        if columns is None or column.name in columns:
            _check_column(column, found, where)
    if columns is None and not table.more:
        known = {column.name for column in table.columns}
        strange = next((name for name in found.column_names if name not in known), None)
        if strange is not None:
            raise InputError(f"{where}: no column {visible(strange)[:60]!r} is declared")


def other_version(version: str) -> str:
    """A sentence on tables of another version than this one."""
    made = f"its tables have version {visible(version)[:20]}" if version else "its tables have no version"
    return f"{made} and this exoabm reads version {SCHEMA_VERSION}; run the scenario again"


def _check_column(column: Column, found: pa.Table, where: str) -> None:
    if column.name not in found.column_names:
        raise InputError(f"{where}: no column {column.name!r}")
    values, wanted = found[column.name], TYPES[column.dtype]
    if values.type != wanted:
        raise InputError(f"{where}: column {column.name!r} is of type {values.type}, not {wanted}")
    if values.null_count and not column.null:
        raise InputError(f"{where}: column {column.name!r} lacks a value in {values.null_count} rows")
    if column.allowed:
        strange = [w for w in pc.unique(values).to_pylist() if w is not None and w not in column.allowed]
        if strange:
            allowed = ", ".join(column.allowed)
            raise InputError(
                f"{where}: column {column.name!r} holds {visible(strange[0])[:60]!r}, none of {allowed}"
            )


def _array(column: Column, values: Any) -> pa.Array:
    wanted = TYPES[column.dtype]
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values if values.type == wanted else values.cast(wanted)
    if column.dtype == WORD:
        known = {word: i for i, word in enumerate(dict.fromkeys(w for w in values if w is not None))}
        return words(list(known), np.array([known.get(word, -1) for word in values], np.int64)).cast(wanted)
    if column.dtype not in NUMBERS:
        return texts(values)
    number, *others = NUMBERS[column.dtype]
    if isinstance(values, np.ndarray) and np.can_cast(values.dtype, number):
        found: np.ndarray = values.astype(number)
        return arrow(found, np.isnan(found) if column.null and number is np.float64 else None)
    if isinstance(values, list) and all(v is None or type(v) in (number, *others) for v in values):
        return numbers(values, number)
    return pa.array(values, wanted, from_pandas=isinstance(values, np.ndarray) and bool(column.null))


def metrics_tables(
    rows: Iterable[Mapping[str, float]], about: Mapping[str, str] | None = None
) -> dict[str, pa.Table]:
    """The tables of metrics, by name, of rows of readouts."""
    rows = list(rows)
    return {table.name: build(table, columns_of(rows, table), about) for table in METRICS}


def columns_of(rows: Iterable[Mapping[str, float]], table: Table) -> dict[str, list[Any]]:
    """Rows of readouts as columns of a table of metrics, in their order; None where one is missing."""
    keys = [name for name in table.key if name != TIME]
    values = [column.name for column in table.values]
    found: dict[str, list[Any]] = {column.name: [] for column in table.columns}
    known: dict[tuple[str, ...], dict[tuple[str, ...], dict[str, str]]] = {}
    for row in rows:
        texts = tuple(row)
        if texts not in known:
            known[texts] = _rows_of(texts, table)
        for names, given in known[texts].items():
            found[TIME].append(row[TIME])
            for key, name in zip(keys, names, strict=True):
                found[key].append(name)
            for quantity in values:
                found[quantity].append(row[given[quantity]] if quantity in given else None)
    return found


def _rows_of(texts: Iterable[str], table: Table) -> dict[tuple[str, ...], dict[str, str]]:
    """Rows of a table of metrics by their key, each with the texts of its readouts by quantity."""
    found: dict[tuple[str, ...], dict[str, str]] = {} if set(table.key) - {TIME} else {(): {}}
    for text in texts:
        if text != TIME and TABLE_OF[(readout := parse(text)).quantity] is table:
            found.setdefault(readout.names, {})[readout.quantity] = text
    return found


def side_by_side(tables: Mapping[str, pa.Table]) -> pa.Table:
    """``time_h`` and a column for each readout that is ever defined, of the tables of metrics by name."""
    times = tables["metrics"][TIME].to_pylist()
    row = {time: i for i, time in enumerate(times)}
    found: dict[str, list[Any]] = {}
    for name, table in tables.items():
        declared = TABLES[name]
        keys = [key for key in declared.key if key != TIME]
        at = [row[time] for time in table[TIME].to_pylist()]
        named = list(zip(*(table[key].to_pylist() for key in keys), strict=True)) if keys else [()] * len(at)
        for column in declared.values:
            for i, names, value in zip(at, named, table[column.name].to_pylist(), strict=True):
                if value is not None:
                    text = str(Readout(column.name, names))
                    found.setdefault(text, [None] * len(times))[i] = value
    columns = {text: parsed for text in found if (parsed := parse(text).column) is not None}
    arrays = [_array(columns[text], values) for text, values in found.items()]
    return pa.table([numbers(times), *arrays], names=[TIME, *found])
