"""Parquet of others, read no larger in memory than it may be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

UNPACKED = 4
"""Times as long as a packed file may be at most, as it says that it is unpacked."""
LONGEST_LABEL = 200


def read_flat(
    source: str | Path | pa.NativeFile, columns: Sequence[str] | None, most_values: int, most_bytes: int
) -> pa.Table:
    """Columns of a Parquet file (all if None), not larger in memory than they may be; text as dictionaries.

    A few bytes can stand for any number of rows, or for a long text in each: what the file says of its size
    is checked before anything is read, and the length of texts before rows are made of them.

    Raises
    ------
    ValueError
        If there are more values, bytes or longer texts, or a column is nested.
    """
    parquet = pq.ParquetFile(source)
    about, fields = parquet.metadata, list(parquet.schema_arrow)
    # Nothing is asked of a column's own metadata: if damaged, it ends the process (pyarrow 26).
    groups = [about.row_group(i) for i in range(about.num_row_groups)]
    rows = max(about.num_rows, sum(group.num_rows for group in groups))
    wanted = [field for field in fields if columns is None or field.name in columns]
    if rows * len(wanted) > most_values:
        raise ValueError(f"{rows} rows of {len(wanted)} columns, more than the {most_values} values allowed")
    nested = next((field for field in wanted if pa.types.is_nested(field.type)), None)
    if nested is not None:
        raise ValueError(f"column {nested.name!r} holds {nested.type}, neither numbers nor text")
    names = {field.name for field in wanted}
    size = sum(group.total_byte_size for group in groups)
    if size > most_bytes:
        raise ValueError(f"{size / 2**20:.3g} MiB unpacked, more than the {most_bytes / 2**20:g} MiB allowed")
    stored = (parquet.schema.column(i) for i in range(about.num_columns))
    text = [column.path for column in stored if column.physical_type == "BYTE_ARRAY"]
    parquet = pq.ParquetFile(
        source, read_dictionary=sorted(names.intersection(text)), page_checksum_verification=True
    )
    table = parquet.read(columns=sorted(names), use_threads=False)
    for name, column in zip(table.column_names, table.columns, strict=True):
        for chunk in column.chunks if pa.types.is_dictionary(column.type) else ():
            if (pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0) > 4 * LONGEST_LABEL:
                raise ValueError(f"column {name!r} has a text of more than {LONGEST_LABEL} characters")
    return table
