"""Parquet tables of numbers, truth values, text and categories, read within limits of memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from exoabm.errors import InputError
from exoabm.readers.options import quoted
from exoabm.readers.table import LONGEST_LABEL, MOST_COLUMNS, Sheet

UNPACKED = 4
"""Largest ratio of the declared unpacked size of a file to its packed size."""


def read_flat(
    source: str | Path | pa.NativeFile, columns: Sequence[str] | None, most_values: int, most_bytes: int
) -> pa.Table:
    """Columns of a Parquet file (all if None), not larger in memory than they may be; text as dictionaries.

    A few bytes can encode any number of rows, or a long text in each: the declared size is checked before
    reading, and the length of texts before rows are constructed.

    Raises
    ------
    ValueError
        If there are more values, bytes or longer texts, or a column is nested.
    """
    parquet = pq.ParquetFile(source)
    about, fields = parquet.metadata, list(parquet.schema_arrow)
    # Metadata of columns are not accessed: if damaged, they abort the process (pyarrow 26).
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


MAGIC = b"PAR1"


def read_parquet(name: str, data: bytes, max_bytes: int, max_rows: int) -> Sheet:
    """A Parquet file as a sheet; columns are read on demand."""

    def fetch(wanted: Sequence[int]) -> list[pa.Array]:
        columns = [names[i] for i in wanted]
        try:
            table = read_flat(
                pa.BufferReader(data), sorted(set(columns)), max_rows * len(columns), UNPACKED * max_bytes
            )
            chunks = [table.column(column) for column in columns]
            found = [c.unify_dictionaries().combine_chunks() for c in chunks]
            return [c.chunk(0) if isinstance(c, pa.ChunkedArray) else c for c in found]
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise InputError(f"{name}: cannot be read as Parquet: {quoted(str(error))}") from None

    try:
        parquet = pq.ParquetFile(pa.BufferReader(data))
        names, rows = list(parquet.schema_arrow.names), parquet.metadata.num_rows
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise InputError(f"{name}: cannot be read as Parquet: {quoted(str(error))}") from None
    if len(names) > MOST_COLUMNS:
        raise InputError(f"{name}: {len(names)} columns, more than the {MOST_COLUMNS} allowed")
    return Sheet(name, "parquet", tuple(names), rows, fetch)
