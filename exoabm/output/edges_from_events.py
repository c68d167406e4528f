"""The edge table of a run, made again from its events: the proof that the rows say everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from exoabm.accounting.contact_table import MEMBRANE_COUNTS
from exoabm.analysis.communication import EDGE_COLUMNS
from exoabm.analysis.edges import COUNTS
from exoabm.errors import InputError
from exoabm.output.events import UPTAKE_EVENTS
from exoabm.tables.parquet import read_whole

if TYPE_CHECKING:
    from pathlib import Path

ENDS = ["donor", "recipient", "donor_type", "recipient_type", "vesicle_kind", "cargo"]
COUNTED = UPTAKE_EVENTS | {event.name.lower(): count for event, count in MEMBRANE_COUNTS.items()}
TIMES = {"first_time_s": "min", "last_time_s": "max"}


def rebuild(run: Path) -> pa.Table:
    """The edge table from the events, the cells and the lineage of a run folder alone.

    It is ``communication.parquet`` again, row for row. Events are read one row group at a time, so memory
    holds the edges and no more than one group. The continuum engine's rows stand for whole intervals and
    expected numbers: of its runs the times are null, copies of cargo are left out, and counts are the same
    but for rounding.

    Raises
    ------
    InputError
        If one of the two files is missing or damaged.
    """
    try:
        with pq.ParquetFile(run / "events.parquet", page_checksum_verification=True) as events:
            types, schema = _types_at_the_end(run), events.schema_arrow
            resolution = (schema.metadata or {})[b"resolution"]
            edges = _among_cells(schema.empty_table(), types)
            for group in range(events.num_row_groups):
                edges = _sum(pa.concat_tables([edges, _among_cells(events.read_row_group(group), types)]))
        names = pq.read_schema(run / "cells.parquet").names
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise InputError(f"the events of {run} cannot be read: {error}") from None
    kinds = [name.removesuffix("_released") for name in names if name.endswith("_released")]
    return _in_order(edges, kinds, resolution)


def _types_at_the_end(run: Path) -> pa.Array | None:
    """The type of every cell that ever was, by birth id; None where cells keep the type that events tell."""
    lineage = run / "lineage.parquet"
    if not lineage.exists():
        return None
    return read_whole(lineage, columns=["cell_type"])["cell_type"].combine_chunks().cast(pa.string())


def _among_cells(events: pa.Table, types: pa.Array | None) -> pa.Table:
    """A row for each event between an origin and a cell, with a column for each thing that is counted."""
    single = pc.is_valid(events["vesicle"])
    counted = pc.is_in(events["event"].cast(pa.string()), pa.array([*COUNTED]))
    known = pc.and_(pc.is_valid(events["recipient"]), counted)
    rows = events.filter(known)
    single, event, number = single.filter(known), rows["event"].cast(pa.string()), rows["count"]
    columns = {name: rows[name] for name in ENDS[:2]}
    columns |= {name: rows[name].cast(pa.string()) for name in ENDS[2:]}
    for name in ENDS[:2] if types is not None else ():
        columns[f"{name}_type"] = pc.coalesce(pc.take(types, rows[name]), columns[f"{name}_type"])
    for name, count in COUNTED.items():
        columns[count] = pc.if_else(pc.equal(event, name), number, 0).cast(pa.float64())
    for name in events.column_names:
        if name.startswith("copies_"):
            copies = pc.if_else(pc.equal(event, "delivery"), rows[name], 0)
            columns[f"copies_delivered_{name.removeprefix('copies_')}"] = copies.cast(pa.float64())
    met = pc.if_else(pc.and_(single, pc.equal(event, "encounter")), rows["time_s"], None)
    return pa.table(columns | dict.fromkeys(TIMES, met))


def _sum(rows: pa.Table) -> pa.Table:
    """One row for each pair of ends and vesicle kind: counts added up, the first and the last time."""
    how = [(name, TIMES.get(name, "sum")) for name in rows.column_names if name not in ENDS]
    found = rows.group_by(ENDS).aggregate(how)
    return found.select(ENDS + [f"{name}_{function}" for name, function in how]).rename_columns(
        ENDS + [name for name, _ in how]
    )


def _in_order(edges: pa.Table, kinds: list[str], resolution: bytes) -> pa.Table:
    """The rows and columns of ``communication.edge_table``."""
    bound = pc.add(edges["encountered"], edges["inherited"])
    for name in ("unbound", "taken_up", "handed_over", "shed"):
        bound = pc.subtract(bound, edges[name])
    edges = edges.append_column("bound", bound)
    rank = pc.index_in(edges["vesicle_kind"], pa.array(kinds, pa.string()))
    keys = [(name, "ascending") for name in ("rank", "recipient", "donor", "donor_type")]
    edges = edges.append_column("rank", rank).sort_by(keys)
    copies = [name for name in edges.column_names if name.startswith("copies_delivered_")]
    edges = edges.select([*ENDS, *COUNTS, *copies, *TIMES])
    fields = [
        field.with_type(pa.dictionary(pa.int32(), pa.string()) if field.name in ENDS[2:] else field.type)
        .with_metadata({"description": EDGE_COLUMNS.get(field.name, "copies that reached the cytosol")})
        for field in edges.schema
    ]  # fmt: skip
    meta = {"resolution": resolution, "orientation": "rows send, columns receive"}
    return edges.cast(pa.schema(fields, metadata=meta))
