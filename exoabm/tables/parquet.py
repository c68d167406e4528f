"""Parquet files that grow during a run, so that its memory does not."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from exoabm.errors import InputError
from exoabm.manifest import sha256
from exoabm.tables.declarations import REAL, WHOLE, WORD
from exoabm.tables.schema import build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from exoabm.tables.declarations import Table

ROWS_PER_GROUP = 1 << 16
"""Rows of a Parquet row group; one group waits in memory while the one before it is written."""
STORED = {"compression": "zstd", "write_page_checksum": True}
"""How every table of a run folder is stored; a damaged page is seen when it is read."""
LEVEL = 3
"""Level of Zstandard for packed tables, and one more for whole numbers, which makes them 3 to 4 % smaller;
one more for all columns would save 1 % in 1.3 times the time, measured."""


def packing(table: Table, bounds: Sequence[str]) -> dict[str, Any]:
    """Options of ``pyarrow.parquet.ParquetWriter`` for a table of very many rows.

    Words by dictionaries, bytes of equal significance of numbers side by side, and Zstandard. Each table that
    is appended is a row group; it states the least and largest value of the columns that ``bounds`` names.
    """
    words = [c.name for c in table.columns if c.dtype == WORD]
    numbers = {c.name: "BYTE_STREAM_SPLIT" for c in table.columns if c.dtype in (WHOLE, REAL)}
    levels = {c.name: LEVEL + (c.dtype == WHOLE) for c in table.columns}
    encoding = {"use_dictionary": words, "column_encoding": numbers, "compression_level": levels}
    return STORED | encoding | {"write_statistics": [c.name for c in table.columns if c.name in bounds]}


class _Writer(pq.ParquetWriter):  # type: ignore[misc]
    """A writer of pyarrow that may be dropped unfinished after an error.

    pyarrow 26 closes a dropped writer once more, and prints the traceback of a disk that is still full.
    """

    def __del__(self) -> None:
        with contextlib.suppress(OSError, pa.ArrowException):
            super().__del__()


class GroupThread:
    """A thread that encodes and writes row groups, one after the other, while the run goes on.

    Its first error is raised by every later call, so that no file that lacks a group is completed.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._pool: ThreadPoolExecutor | None = None
        self._last: Future[None] | None = None

    def start(self, work: Callable[..., None], *given: Any) -> None:
        """Have work done when that before is."""
        self.wait()
        self._pool = self._pool or ThreadPoolExecutor(1, self._name)
        self._last = self._pool.submit(work, *given)

    def wait(self) -> None:
        """Wait until all is done."""
        if self._last is not None:
            self._last.result()

    def end(self) -> None:
        """Wait, and end the thread."""
        try:
            self.wait()
        finally:
            if self._pool is not None:
                self._pool.shutdown()


class _GroupWriter:
    """A Parquet file whose row groups are all full but the last, however its rows come, or are as packed.

    Full groups are written by a thread; see `GroupThread`. Packed ones are written by the caller.
    """

    def __init__(self, path: Path, schema: pa.Schema, packing: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self.rows = 0
        self._size = ROWS_PER_GROUP
        self._packed = packing is not None
        self._writer = _Writer(path, schema, **(STORED if packing is None else packing))
        self._waiting: list[pa.Table] = []
        self._written = 0
        self._thread = GroupThread("table")

    def append(self, table: pa.Table) -> None:
        """Append rows, and write every group that is full."""
        self.rows += len(table)
        if self._packed:
            if len(table):
                self._writer.write_table(table, len(table))
            return
        self._waiting.append(table)
        if self.rows - self._written >= self._size:
            full = (self.rows - self._written) // self._size * self._size
            self._thread.start(self._write, self._take(full))

    def close(self) -> None:
        """Write what waits, and the footer."""
        if not self._packed and self.rows > self._written:
            self._thread.start(self._write, self._take(self.rows - self._written))
        self._thread.end()
        self._writer.close()

    def _take(self, rows: int) -> pa.Table:
        waiting = pa.concat_tables(self._waiting)
        self._waiting = [_copied(waiting[rows:])]
        self._written += rows
        return waiting[:rows]

    def _write(self, groups: pa.Table) -> None:
        for start in range(0, len(groups), self._size):
            group = groups[start : start + self._size].unify_dictionaries().combine_chunks()
            self._writer.write_table(group, self._size)
        pa.default_memory_pool().release_unused()  # of this thread, which others cannot use


def _copied(table: pa.Table) -> pa.Table:
    """The rows of a table in memory of their own; a part of a larger one keeps all of its memory in use."""
    batches = [batch.take(pa.array(np.arange(len(batch)))) for batch in table.to_batches()]
    return pa.Table.from_batches(batches, table.schema)


class TableWriter:
    """A Parquet file that grows by whole tables of one schema.

    Rows stream into a part beside it. A snapshot seals the part, and the next rows go to a new one; at the
    end all parts become the one file, which is the same to the bit for any number of them, of a packed table
    if the tables that are appended are the same.
    """

    def __init__(self, path: Path, packing: Mapping[str, Any] | None = None) -> None:
        self._path, self._packing = path, packing
        self._sums: list[str] = []
        self._sealed_rows = 0
        self._open: _GroupWriter | None = None

    def append(self, table: pa.Table) -> None:
        """Append rows; the first call fixes the schema."""
        if self._open is None:
            self._open = _GroupWriter(self._part(len(self._sums)), table.schema, self._packing)
        self._open.append(table)

    def close(self, about: Mapping[str, str] | None = None) -> None:
        """Make the one file. Sealed parts stay, for a checkpoint that may be needed once more.

        ``about`` replaces entries of the footer, where the parts are of a checkpoint of another run.
        """
        if self._open is not None:
            self._open.close()
        if self._sums:
            self._merge(len(self._sums) + (self._open is not None), about or {})
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

    def _merge(self, parts: int, about: Mapping[str, str]) -> None:
        whole: _GroupWriter | None = None
        for number in range(parts):
            with pq.ParquetFile(self._part(number)) as part:
                schema = _relabeled(part.schema_arrow, about)
                whole = whole or _GroupWriter(self._path, schema, self._packing)
                for group in range(part.num_row_groups):
                    whole.append(part.read_row_group(group).unify_dictionaries().combine_chunks())
        assert whole is not None
        whole.close()


def _relabeled(schema: pa.Schema, about: Mapping[str, str]) -> pa.Schema:
    """The schema with these entries of its footer replaced."""
    if not about:
        return schema
    new = {name.encode(): value.encode() for name, value in about.items()}
    return schema.with_metadata({**(schema.metadata or {}), **new})


class TableObserver:
    """An observer that keeps nothing but tables, each a file in one folder.

    Parameters
    ----------
    folder : Path
    tables : iterable of Table
        Their declarations.
    about : mapping
        Entries of the footers on the run; see ``schema.footer``.
    packed : mapping
        How the tables of very many rows are stored, by name; see ``packing``.
    """

    def __init__(
        self,
        folder: Path,
        tables: Iterable[Table],
        about: Mapping[str, str],
        packed: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._about, packed = dict(about), packed or {}
        self._declared = {table.name: table for table in tables}
        self._writers = {
            name: TableWriter(folder / table.file, packed.get(name)) for name, table in self._declared.items()
        }

    def append(self, name: str, columns: Mapping[str, Any]) -> None:
        """Append rows to a table, given by its columns."""
        self._writers[name].append(build(self._declared[name], columns, self._about))

    def close(self) -> None:
        """Finish the files."""
        for writer in self._writers.values():
            writer.close(self._about)

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
