"""Time series: rows of readouts as the tables of metrics, and these side by side again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from exoabm.tables.declarations import METRICS, TABLES
from exoabm.tables.readouts import TABLE_OF, TIME, Readout, parse
from exoabm.tables.schema import TYPES, build

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exoabm.tables.declarations import Table


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
    for row in rows:
        groups: dict[tuple[str, ...], dict[str, float]] = {} if keys else {(): {}}
        for text, value in row.items():
            if text != TIME and TABLE_OF[(readout := parse(text)).quantity] is table:
                groups.setdefault(readout.names, {})[readout.quantity] = value
        for names, numbers in groups.items():
            found[TIME].append(row[TIME])
            for key, name in zip(keys, names, strict=True):
                found[key].append(name)
            for quantity in values:
                found[quantity].append(numbers.get(quantity))
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
    types = {text: TYPES[parsed.dtype] for text in found if (parsed := parse(text).column) is not None}
    arrays = [pa.array(values, types[text]) for text, values in found.items()]
    return pa.table([pa.array(times, pa.float64()), *arrays], names=[TIME, *found])
