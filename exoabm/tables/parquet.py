"""Parquet files that grow while a run goes on, so that memory stays flat."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from exoabm.errors import InputError
from exoabm.manifest import sha256
from exoabm.tables.declarations import REAL, WHOLE, WORD
from exoabm.tables.schema import arrow, build

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from exoabm.tables.declarations import Table

ROWS_PER_GROUP = 1 << 16
"""Rows of a Parquet row group; as many wait in memory at most."""
STORED = {"compression": "zstd", "write_page_checksum": True}
"""How every table of a run folder is stored; a damaged page is seen when it is read."""


class Packing(NamedTuple):
    """How a table of very many rows is stored in little room.

    Row groups follow each other as the rows came; within each, rows are ordered by one column, and otherwise
    as they came.
    """

    order: str
    groups: int
    """Row groups of other tables that one of this table is as large as."""
    options: Mapping[str, Any]
    """Of ``pyarrow.parquet.ParquetWriter``."""

    @classmethod
    def of(cls, table: Table, order: str, *, groups: int = 8) -> Packing:
        """Words by dictionaries, and bytes of equal significance of numbers side by side; Zstandard."""
        words = [c.name for c in table.columns if c.dtype == WORD]
        numbers = {c.name: "BYTE_STREAM_SPLIT" for c in table.columns if c.dtype in (WHOLE, REAL)}
        encoding = {"use_dictionary": words, "column_encoding": numbers, "compression_level": 3}
        return cls(order, groups, STORED | encoding)


class _Writer(pq.ParquetWriter):  # type: ignore[misc]
    """A writer of pyarrow that may be dropped unfinished after an error.

    pyarrow 26 closes a dropped writer once more, and prints the traceback of a disk that is still full.
    """

    def __del__(self) -> None:
        with contextlib.suppress(OSError, pa.ArrowException):
            super().__del__()


class _GroupWriter:
    """A Parquet file whose row groups are all full but the last, however its rows come."""

    def __init__(self, path: Path, schema: pa.Schema, packing: Packing | None = None) -> None:
        self.path = path
        self.rows = 0
        self._packing = packing
        self._size = ROWS_PER_GROUP * (1 if packing is None else packing.groups)
        self._writer = _Writer(path, schema, **(STORED if packing is None else packing.options))
        self._waiting: list[pa.Table] = []
        self._written = 0

    def append(self, table: pa.Table) -> None:
        """Append rows, and write every group that is full."""
        self.rows += len(table)
        self._waiting.append(table)
        if self.rows - self._written >= self._size:
            self._write((self.rows - self._written) // self._size * self._size)

    def close(self) -> None:
        """Write what waits, and the footer."""
        if self.rows > self._written:
            self._write(self.rows - self._written)
        self._writer.close()

    def _write(self, rows: int) -> None:
        waiting, self._waiting = pa.concat_tables(self._waiting), []
        for start in range(0, rows, self._size):
            group = waiting[start : min(start + self._size, rows)].unify_dictionaries().combine_chunks()
            if self._packing is not None:
                order = np.argsort(np.asarray(group[self._packing.order]), kind="stable")
                group = group.take(arrow(order))
            self._writer.write_table(group, self._size)
        self._waiting = [waiting[rows:]]
        self._written += rows


class TableWriter:
    """A Parquet file that grows by whole tables of one schema.

    Rows stream into a part beside it. A snapshot seals the part, and the next rows go to a new one; at the
    end all parts become the one file, which is the same to the bit for any number of them. Parts of a packed
    table that ``may_stop`` have their rows as they came: only the one file is packed.
    """

    def __init__(self, path: Path, packing: Packing | None = None, *, may_stop: bool = False) -> None:
        self._path = path
        self._packing, self._plain = packing, packing is None or may_stop
        self._sums: list[str] = []
        self._sealed_rows = 0
        self._open: _GroupWriter | None = None

    def append(self, table: pa.Table) -> None:
        """Append rows; the first call fixes the schema."""
        if self._open is None:
            packing = None if self._plain else self._packing
            self._open = _GroupWriter(self._part(len(self._sums)), table.schema, packing)
        self._open.append(table)

    def close(self) -> None:
        """Make the one file. Sealed parts stay, for a checkpoint that may be needed once more."""
        if self._open is not None:
            self._open.close()
        if self._sums or (self._open is not None and self._plain and self._packing is not None):
            self._merge(len(self._sums) + (self._open is not None))
        elif self._open is not None:
            self._open.path.replace(self._path)

    def snapshot(self) -> dict[str, np.ndarray]:
        """Seal the open part; how many rows all parts hold, and the checksum of each."""
        if self._open is not None:
            self._open.close()
            self._sums.append(sha256(self._open.path))
            self._sealed_rows += self._open.rows
            self._open = None
        return {"rows": np.array(self._sealed_rows), "sha256": np.array(self._sums, "U64")}

    def restore(self, content: Mapping[str, np.ndarray]) -> None:
        """Drop the parts that are newer than the snapshot.

        Raises
        ------
        InputError
            If a part is missing or damaged.
        """
        self._sums, self._sealed_rows = content["sha256"].tolist(), int(content["rows"])
        kept = [self._part(number) for number in range(len(self._sums))]
        for path in self._path.parent.glob(f"{self._path.stem}.*.part"):
            if path not in kept:
                path.unlink()
        for path, expected in zip(kept, self._sums, strict=True):
            try:
                found = sha256(path)
            except OSError as error:
                raise InputError(f"{path} cannot be read: {error.strerror}") from None
            if found != expected:
                raise InputError(f"{path} is damaged and cannot be read as it was written")

    def _part(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.stem}.{number:05d}.part")

    def _merge(self, parts: int) -> None:
        whole: _GroupWriter | None = None
        for number in range(parts):
            with pq.ParquetFile(self._part(number)) as part:
                whole = whole or _GroupWriter(self._path, part.schema_arrow, self._packing)
                for group in range(part.num_row_groups):
                    whole.append(part.read_row_group(group))
        assert whole is not None
        whole.close()


class TableObserver:
    """An observer that keeps nothing but tables, each a file in one folder.

    Parameters
    ----------
    folder : Path
    tables : iterable of Table
        Their declarations.
    about : mapping
        What the footers say of the run; see ``schema.footer``.
    packed : mapping
        How the tables of very many rows are stored, by name.
    may_stop : bool
        Whether snapshots may be taken of packed tables.
    """

    def __init__(
        self,
        folder: Path,
        tables: Iterable[Table],
        about: Mapping[str, str],
        packed: Mapping[str, Packing] | None = None,
        *,
        may_stop: bool = False,
    ) -> None:
        self._about, packed = dict(about), packed or {}
        self._declared = {table.name: table for table in tables}
        self._writers = {
            name: TableWriter(folder / table.file, packed.get(name), may_stop=may_stop)
            for name, table in self._declared.items()
        }

    def append(self, name: str, columns: Mapping[str, Any]) -> None:
        """Append rows to a table, given by its columns."""
        self._writers[name].append(build(self._declared[name], columns, self._about))

    def close(self) -> None:
        """Finish the files."""
        for writer in self._writers.values():
            writer.close()

    def snapshot(self) -> dict[str, np.ndarray]:
        """See ``TableWriter``."""
        return {
            f"{name}/{key}": value
            for name, writer in self._writers.items()
            for key, value in writer.snapshot().items()
        }

    def restore(self, content: Mapping[str, np.ndarray]) -> None:
        """See ``TableWriter``."""
        for name, writer in self._writers.items():
            writer.restore({key: content[f"{name}/{key}"] for key in ("rows", "sha256")})


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table that is complete."""
    pq.write_table(table, path, **STORED)


def read_whole(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A table from a Parquet file, checked to the last value.

    Raises
    ------
    FileNotFoundError
    InputError
        If it cannot be read, or holds what is no text or leads out of the table.
    """
    try:
        table = pq.read_table(path, columns=columns, page_checksum_verification=True)
        table.validate(full=True)
        table.column_names  # noqa: B018  decodes them
    except FileNotFoundError:
        raise
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(f"{path.name} cannot be read: {str(error)[:300]}") from None
    return table
