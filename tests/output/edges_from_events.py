"""The edge tables of a run, made again from its events, for tests: they show that the events are complete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from exoabm.accounting.contact_table import MEMBRANE_COUNTS
from exoabm.errors import InputError
from exoabm.export.simularium import check_all_events
from exoabm.tables.declarations import BETWEEN_CELLS, CELL, COUNTED, TABLES
from exoabm.tables.parquet import read_whole
from exoabm.tables.schema import build, check

if TYPE_CHECKING:
    from pathlib import Path

ENDS = ["sender", "donor", "donor_type", "recipient", "recipient_type", "vesicle_kind"]
BY_CARGO = [*ENDS, "cargo"]
COUNTS = COUNTED | {event.name.lower(): count for event, count in MEMBRANE_COUNTS.items()}
TIMES = {"first_time_s": "min", "last_time_s": "max"}


def rebuild(folder: Path) -> dict[str, pa.Table]:
    """``edges`` and ``edges_by_cargo`` from the events, the cells and the lineage of a run folder alone.

    Edges are those of the run, row for row, but for the distances; of cargo there are the rows in which some
    was delivered. Events are read one row group at a time, so memory holds the edges, the cargo of vesicles
    and no more than one group. The continuum engine's rows stand for whole intervals and expected numbers: of
    its runs the times are null, copies of cargo are left out, and counts are the same but for rounding.

    Raises
    ------
    InputError
        If one of the files is missing or damaged, or the events are not all there.
    """
    lineage, cargo = _table(folder, "lineage"), _table(folder, "vesicle_cargo")
    types = None if lineage is None else lineage["cell_type"].combine_chunks().cast(pa.string())
    try:
        with pq.ParquetFile(folder / TABLES["events"].file, page_checksum_verification=True) as events:
            schema = events.schema_arrow
            check_all_events(schema, folder)
            edges, copies = _between_cells(schema.empty_table(), types), None
            for group in range(events.num_row_groups):
                rows = events.read_row_group(group)
                edges = _sum(pa.concat_tables([edges, _between_cells(rows, types)]), ENDS)
                if cargo is not None:
                    found = _delivered(rows, types, cargo)
                    copies = found if copies is None else _sum(pa.concat_tables([copies, found]), BY_CARGO)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"the events of {folder} cannot be read: {error}") from None
    kinds = _kinds(folder)
    about = {"resolution": (schema.metadata or {})[b"resolution"].decode()}
    edges = _in_order(edges, kinds)
    made = {"edges": build(TABLES["edges"], _edge_columns(edges), about)}
    if copies is not None:
        columns = {
            name: copies[name].combine_chunks()
            for name in (*BY_CARGO, "copies_delivered")
            if name != "recipient_type"
        }
        made["edges_by_cargo"] = build(TABLES["edges_by_cargo"], columns, about)
    return made


def _table(folder: Path, name: str, columns: list[str] | None = None) -> pa.Table | None:
    table = TABLES[name]
    if not (folder / table.file).exists():
        return None
    found = read_whole(folder / table.file, columns)
    check(table, found, f"{folder}: {table.file}", columns)
    return found


def _kinds(folder: Path) -> pa.Array:
    """Names of the vesicle kinds, in the order of the scenario."""
    table = _table(folder, "cells_by_kind", ["vesicle_kind"])
    if table is None:
        raise InputError(f"{folder} holds no {TABLES['cells_by_kind'].file}")
    return pc.unique(table["vesicle_kind"].cast(pa.string()).combine_chunks())


def _between_cells(events: pa.Table, types: pa.Array | None) -> pa.Table:
    """A row for each event between a sender and a cell, with a column for each count."""
    counted = pc.is_in(events["event"].cast(pa.string()), pa.array([*COUNTS]))
    rows = events.filter(pc.and_(pc.is_valid(events["recipient"]), counted))
    event, number = rows["event"].cast(pa.string()), rows["count"]
    columns = _ends(rows, types)
    for name, count in COUNTS.items():
        columns[count] = pc.if_else(pc.equal(event, name), number, 0.0)
    met = pc.and_(pc.is_valid(rows["vesicle"]), pc.equal(event, "encounter"))
    return pa.table(columns | dict.fromkeys(TIMES, pc.if_else(met, rows["time_s"], None)))


def _ends(rows: pa.Table, types: pa.Array | None) -> dict[str, Any]:
    """Both ends of events; where cells change, with the type that they have at the end."""
    words = ("sender", "donor_type", "recipient_type", "vesicle_kind")
    columns = {name: rows[name].cast(pa.string()) if name in words else rows[name] for name in ENDS}
    for name in ("donor", "recipient") if types is not None else ():
        columns[f"{name}_type"] = pc.coalesce(pc.take(types, rows[name]), columns[f"{name}_type"])
    return columns


def _delivered(events: pa.Table, types: pa.Array | None, cargo: pa.Table) -> pa.Table:
    """Copies that each delivery brought, a row for each cargo of the vesicle."""
    rows = events.filter(pc.equal(events["event"].cast(pa.string()), "delivery"))
    ids = np.asarray(cargo["vesicle"])
    order = np.argsort(ids, kind="stable")
    low, high = (np.searchsorted(ids[order], np.asarray(rows["vesicle"]), side) for side in ("left", "right"))
    n = high - low
    of = np.repeat(np.arange(len(n)), n)
    at = order[np.repeat(low, n) + np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)]
    columns = {name: pc.take(column, pa.array(of)) for name, column in _ends(rows, types).items()}
    columns["cargo"] = pc.take(cargo["cargo"].cast(pa.string()), pa.array(at))
    columns["copies_delivered"] = pc.take(cargo["copies"], pa.array(at)).cast(pa.float64())
    return _sum(pa.table(columns), BY_CARGO)


def _sum(rows: pa.Table, ends: list[str]) -> pa.Table:
    """One row for each pair of ends and vesicle kind: counts added up, the first and the last time."""
    how = [(name, TIMES.get(name, "sum")) for name in rows.column_names if name not in ends]
    found = rows.group_by(ends).aggregate(how)
    names = [f"{name}_{function}" for name, function in how]
    return found.select(ends + names).rename_columns(ends + [name for name, _ in how])


def _in_order(edges: pa.Table, kinds: pa.Array) -> pa.Table:
    """Edges by kind, recipient, donor and, where that is not known, the name of the sender."""
    bound = pc.add(edges["encountered"], edges["inherited"])
    for name in ("unbound", "taken_up", "handed_over", "shed"):
        bound = pc.subtract(bound, edges[name])
    name = pc.if_else(pc.equal(edges["sender"], CELL), edges["donor_type"], edges["sender"])
    edges = edges.append_column("bound", bound).append_column("name", name)
    edges = edges.append_column("rank", pc.index_in(edges["vesicle_kind"], kinds))
    return edges.sort_by([(key, "ascending") for key in ("rank", "recipient", "donor", "name")])


def _edge_columns(edges: pa.Table) -> dict[str, Any]:
    return {name: edges[name].combine_chunks() for name in (*ENDS, *BETWEEN_CELLS, *TIMES)}
