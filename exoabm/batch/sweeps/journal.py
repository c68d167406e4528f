"""The journal of a batch: which rows are done, failed or waiting, in SQLite, for people and programs to read.

It follows what lies on disk and never leads: the files of rows carry their own checksums, so a journal that
is lost or damaged is made again from them.
"""

from __future__ import annotations

import errno
import sqlite3
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from exoabm.batch.sweeps.chunk import Written
    from exoabm.batch.sweeps.rows import Plan

JOURNAL = "journal.sqlite"

_TABLES = """
CREATE TABLE IF NOT EXISTS chunks (
    chunk INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, seconds REAL, entered TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS rows (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, seed INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting', reason TEXT
);
"""
_COLUMNS = {"chunks": "chunk, sha256, seconds, entered", "rows": "number, name, seed, state, reason"}


class Journal:
    """The journal in a batch's folder, used as a context.

    Parameters
    ----------
    folder : Path
    plan : Plan
        Its rows are entered as waiting where the journal is new.

    Raises
    ------
    OSError
        Also later, if the disk is full.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._plan = plan
        path = folder / JOURNAL
        try:
            self._base = self._opened(path)
        except sqlite3.DatabaseError:
            path.unlink()
            self._base = self._opened(path)

    def _opened(self, path: Path) -> sqlite3.Connection:
        base = sqlite3.connect(path)
        rows = ((i, row.name, row.seed) for i, row in enumerate(self._plan.rows))
        try:
            with _disk_errors(), base:
                base.executescript(_TABLES)
            _check(base)
            with _disk_errors(), base:
                if base.execute("SELECT COUNT(*) FROM rows").fetchone() != (len(self._plan.rows),):
                    base.execute("DELETE FROM rows")
                    base.executemany("INSERT INTO rows (number, name, seed) VALUES (?, ?, ?)", rows)
        except BaseException:
            base.close()
            raise
        return base

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._base.close()

    def done(self, written: Written) -> None:
        """Enter a file of rows that is on disk."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with _disk_errors(), self._base:
            entry = (written.chunk, written.sha256, written.seconds, now)
            self._base.execute("INSERT OR REPLACE INTO chunks VALUES (?, ?, ?, ?)", entry)
            self._mark(written.chunk, "done")
            self._base.executemany(
                "UPDATE rows SET state = 'failed', reason = ? WHERE number = ?",
                ((reason, number) for number, reason in written.failed.items()),
            )

    def missing(self, chunk: int) -> None:
        """Enter that a file of rows is not there, or no longer."""
        with _disk_errors(), self._base:
            self._base.execute("DELETE FROM chunks WHERE chunk = ?", (chunk,))
            self._mark(chunk, "waiting")

    def entered(self) -> dict[int, str]:
        """Checksums of the files of rows that are in the journal."""
        return dict(self._base.execute("SELECT chunk, sha256 FROM chunks"))

    def _mark(self, chunk: int, state: str) -> None:
        size = self._plan.chunk
        self._base.execute(
            "UPDATE rows SET state = ?, reason = NULL WHERE number >= ? AND number < ?",
            (state, chunk * size, (chunk + 1) * size),
        )


def _check(base: sqlite3.Connection) -> None:
    """Raise ``DatabaseError`` where a journal is damaged, down to its last word."""
    if base.execute("PRAGMA quick_check").fetchone() != ("ok",):
        raise sqlite3.DatabaseError("damaged")
    for table, columns in _COLUMNS.items():
        for _ in base.execute(f"SELECT {columns} FROM {table}"):
            pass


@contextmanager
def _disk_errors() -> Iterator[None]:
    """What SQLite says of the disk, in the system's words."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL:
            raise OSError(errno.ENOSPC, "no space left") from None
        raise OSError(errno.EIO, f"{JOURNAL}: {error}") from None
