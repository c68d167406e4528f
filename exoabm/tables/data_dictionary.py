"""The data dictionary: ``docs/tables.md`` and the frozen schema, both generated from the declarations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exoabm.tables.declarations import (
    BATCH_TABLES,
    CAUSAL_TABLES,
    CELLS,
    EDGES,
    EVENT_TABLES,
    METRICS,
    SCHEMA_VERSION,
)
from exoabm.tables.readouts import BETWEEN, DISTANCE, OF_DONOR

if TYPE_CHECKING:
    from typing import Any

    from exoabm.tables.declarations import Column, Table

HEAD = f"""# Tables

This file is generated from `exoabm/tables/declarations.py`; after a change there run
`python -m exoabm.tables.data_dictionary > docs/tables.md`. Version of the tables: {SCHEMA_VERSION}.

Tables are Parquet files. Their footer contains the version of the tables, the version of exoabm, the SHA-256
of the scenario and the seed; each column has its meaning and unit as metadata. `vesicle_kind`, `cell_type`,
`cargo` and `dose` are names of the scenario. Missing values are null; the last column below gives the meaning
of null. `exoabm.open_run(FOLDER)` reads all tables.

A term has the same meaning in all tables: `taken_up`, `lysosomal`, `recycled`, `delivered`, `cleared` and
`escaped` are cumulative numbers; `free`, `bound` and `endosomal` are present numbers.
"""
SENDER = """## Senders

The columns `sender`, `donor` and `donor_type` have the same meaning in all tables:

| sender | donor | donor_type |
|---|---|---|
| `cell` | birth id of the cell; null where only its type is known | its cell type |
| `dose` | null | null |
| `reservoir` | null | null |
"""
READOUTS = f"""## Readouts

A readout is one number of a run. In scenarios (`[[trial.readout]]`), options (`--readout`) and the columns of
`results.parquet` it is written as a quantity, followed in brackets by the names to which it refers:

| written | example | quantities |
|---|---|---|
{{rows}}
| `quantity[donor -> recipient]` | `taken_up[tumor -> stroma]` | {", ".join(f"`{q}`" for q in BETWEEN)} |
| `quantity[donor]` | `reach_mean_um[tumor]` | {", ".join(f"`{q}`" for q in OF_DONOR)} |
| `quantity[vesicle_kind]` | `{DISTANCE}[exosome]` | `{DISTANCE}` |

The last three are known only at the end of a run. A name with characters other than letters, digits,
`_ - . +` and single spaces is quoted as in JSON: `taken_up["a, b"]`.

`results.parquet` of a sweep or trial has one row per run and one column per readout, the form that programs
for statistics expect. Names of columns never coincide: varied keys contain a dot, readouts have a bracket or
a declared name, and readouts of trials are named `trial.readout.NAME`.
"""
EXAMPLES = {
    "metrics": "effectors_h",
    "metrics_by_kind": "taken_up[exosome]",
    "metrics_by_type": "taken_up_per_cell[tumor]",
    "metrics_by_cargo": "copies_per_cell[tumor, drug]",
    "metrics_by_dose": "given_share[treatment]",
    "metrics_by_compartment": "particle_exposure_h[treatment, liver]",
}
GROUPS = {
    "Metrics": METRICS,
    "Cells": CELLS,
    "Events": EVENT_TABLES,
    "Communication": EDGES,
    "Batches": BATCH_TABLES,
    "Causal effects": CAUSAL_TABLES,
}


def document() -> str:
    """The data dictionary as Markdown."""
    parts = [HEAD, SENDER, READOUTS.format(rows="\n".join(map(_readouts, METRICS)))]
    for title, tables in GROUPS.items():
        parts += [f"## {title}\n", *map(_section, tables)]
    return "\n".join(parts)


def frozen() -> list[dict[str, Any]]:
    """The contract as plain data: of each table its name, key and columns with type, unit and nullability."""
    return [
        {
            "table": table.name,
            "key": list(table.key),
            "columns": [
                [c.name, c.dtype, c.unit, "null" if c.null else "", *c.allowed] for c in table.columns
            ],
            **({"more": table.more} if table.more else {}),
        }
        for tables in GROUPS.values()
        for table in tables
    ]


def _readouts(table: Table) -> str:
    keys = ", ".join(key for key in table.key if key != "time_h")
    written = f"quantity[{keys}]" if keys else "quantity"
    names = ", ".join(f"`{column.name}`" for column in table.values)
    return f"| `{written}` | `{EXAMPLES[table.name]}` | {names} |"


def _section(table: Table) -> str:
    where = f" In {table.where}." if table.where else ""
    key = f" Key: {', '.join(f'`{name}`' for name in table.key)}." if table.key else ""
    more = f" There is also {table.more}." if table.more else ""
    rows = "\n".join(map(_row, table.columns))
    return (
        f"### {table.file}\n\nA row is {table.meaning}.{where}{key}{more}\n\n"
        f"| column | type | unit | meaning | null |\n|---|---|---|---|---|\n{rows}\n"
    )


def _row(column: Column) -> str:
    allowed = f": {', '.join(f'`{word}`' for word in column.allowed)}" if column.allowed else ""
    return f"| `{column.name}` | {column.dtype} | {column.unit} | {column.meaning}{allowed} | {column.null} |"


if __name__ == "__main__":
    print(document(), end="")
