"""Parquet tables: numbers, truth values, text and categories; nothing nested."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from exoabm.errors import InputError
from exoabm.readers.flat import UNPACKED, read_flat
from exoabm.readers.sheet import MOST_COLUMNS, Sheet
from exoabm.readers.words import short

MAGIC = b"PAR1"


def read_parquet(name: str, data: bytes, max_bytes: int, max_rows: int) -> Sheet:
    """A Parquet file as a sheet; columns are read when they are asked for."""

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
            raise InputError(f"{name}: cannot be read as Parquet: {short(str(error))}") from None

    try:
        parquet = pq.ParquetFile(pa.BufferReader(data))
        names, rows = list(parquet.schema_arrow.names), parquet.metadata.num_rows
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise InputError(f"{name}: cannot be read as Parquet: {short(str(error))}") from None
    if len(names) > MOST_COLUMNS:
        raise InputError(f"{name}: {len(names)} columns, more than the {MOST_COLUMNS} allowed")
    return Sheet(name, "parquet", tuple(names), rows, fetch)
