"""The folder of a batch: its journal of done, failed and waiting rows, and the checksums of its files.

The journal is an SQLite database, for people and programs to read. It follows from the files on disk; files
of rows carry their own checksums, so a journal that is lost or damaged is made again from them.
"""

from __future__ import annotations

import errno
import re
import sqlite3
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from exoabm.batch.execution.plan import PLAN, Plan
from exoabm.batch.execution.row_execution import ROWS, RUNS, SHARDS, chunk_path, read_chunk
from exoabm.errors import InputError
from exoabm.manifest import MANIFEST, Fault, faults, inside, listed, sealed_inside, unsealed
from exoabm.manifest import write as write_manifest
from exoabm.output.folder_locks import LOCK
from exoabm.output.run_folder import MADE as MADE_BY_A_RUN
from exoabm.output.run_folder import check_finished

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from exoabm.batch.execution.row_execution import Written


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
    """Errors of SQLite about the disk, as system messages."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL:
            raise OSError(errno.ENOSPC, "no space left") from None
        raise OSError(errno.EIO, f"{JOURNAL}: {error}") from None


PLOTS = "plots"
REPORTS = frozenset({"results.parquet", "summary.parquet", "summary.json"})
TRIAL = frozenset({"trial.json", "report.html", "values.csv", "effects.csv", "sweeps.csv"})
CAUSAL = frozenset({"causal.parquet", "causal.png"})
MADE = frozenset({PLAN, JOURNAL, LOCK, MANIFEST, ROWS, RUNS, SHARDS, PLOTS, *REPORTS, *TRIAL, *CAUSAL})
"""Names at the top of a batch that we write."""
OURS = {
    ROWS: re.compile(r"\d{6}\.jsonl"),
    PLOTS: re.compile(r".*\.png"),
    RUNS: re.compile(rf"[^/]+/({'|'.join(map(re.escape, sorted(MADE_BY_A_RUN)))})"),
}
"""And what we write below them."""
PARTIAL = re.compile(r"\..*\.(partial|replaced).*|.*\.partial")
"""What is being written, or was when a process was killed."""


def foreign(folder: Path) -> Iterator[str]:
    """Names in the folder of a batch that no batch made."""
    for path in sorted(folder.iterdir()):
        if PARTIAL.fullmatch(path.name) or path.name.startswith(JOURNAL):  # which SQLite has files beside
            continue
        if path.name not in MADE:
            yield path.name
        elif path.name == SHARDS:
            for shard in sorted(path.glob("*/")):
                yield from (f"{SHARDS}/{shard.name}/{name}" for name in foreign(shard))
        elif path.name in OURS:
            depth = "*/*" if path.name == RUNS else "*"
            for each in sorted(path.glob(depth)):
                inner = each.relative_to(path).as_posix()
                if not OURS[path.name].fullmatch(inner) and not PARTIAL.match(inner):
                    yield f"{path.name}/{inner}"


def look(
    folder: Path, plan: Plan, chunk: int, entered: str | None
) -> tuple[tuple[str, list[dict[str, Any]]] | None, str]:
    """Checksum and records of a file of rows, with all that was kept of them, if they are whole.

    Parameters
    ----------
    folder : Path
    plan : Plan
    chunk : int
    entered : str or None
        The checksum that the journal has.

    Returns
    -------
    tuple or None
        As of ``read_chunk``.
    str
        If None, what is wrong; "" if the rows were never run.
    """
    name, whole = f"{ROWS}/{chunk_path(folder, chunk).name}", read_chunk(folder, plan, chunk)
    if whole is None:
        there = chunk_path(folder, chunk).exists()
        return None, f"{name} is {'damaged' if there else 'missing'}" if there or entered else ""
    if entered not in (None, whole[0]):
        return None, f"{name} differs from the journal"
    kept = whole[1] if plan.keep == "runs" else ()
    for record in kept:
        found = faults_of(folder, record["row"]) if record["state"] == "done" else []
        if found:
            more = f" and {len(found) - 1} more files" if len(found) > 1 else ""
            return None, f"{found[0]}{more}"
    return whole, ""


def faults_of_reports(folder: Path) -> list[Fault]:
    """Damaged or missing tables, figures and reports of a finished batch."""
    names = [name for name in listed(folder) if name.split("/")[0] not in (PLAN, ROWS, RUNS)]
    return [fault for fault in faults(folder, names) if (folder / MANIFEST).exists()]


def faults_of(folder: Path, row: str) -> list[Fault]:
    """Damaged or missing files of the kept run of a row, relative to the batch's folder."""
    found = faults(folder / RUNS / row)
    return [Fault(f"{RUNS}/{row}/{fault.name}", fault.state) for fault in found if fault.state != "foreign"]


MOVING = frozenset({LOCK, JOURNAL, SHARDS, MANIFEST})
"""Names at the top of a batch that tell of its making; the journal is made again from the rows."""


def verify(folder: Path) -> list[Fault]:
    """Every file of a folder of results that is damaged, missing or foreign.

    A finished batch has a manifest of its own files and of the manifests of its runs; the rows of one that is
    not finished carry their own checksums. Other analyses have one of their own files and of the manifests of
    the runs and batches inside.

    Raises
    ------
    InputError
        If there are no results.
    """
    if (folder / PLAN).is_file():
        return _batch(folder)
    if not (folder / MANIFEST).is_file() and not (folder / "run.json").is_file():
        check_finished(folder)
        raise InputError(f"{folder} contains no results of exoabm")
    parts = tuple(name.removesuffix(MANIFEST) for name in sealed_inside(listed(folder)))
    found = [each for each in faults(folder) if each.state != "foreign" or not each.name.startswith(parts)]
    for part in parts:
        if (folder / part / MANIFEST).is_file():
            found += [Fault(f"{part}{each.name}", each.state) for each in verify(folder / part)]
    return list(dict.fromkeys(found))


@contextmanager
def sealing(folder: Path) -> Iterator[None]:
    """Write the reports of a finished batch, and then its manifest."""
    with unsealed(folder):
        yield
        seal_batch(folder)


def seal_batch(folder: Path) -> None:
    """Write the manifest of a finished batch."""
    write_manifest(folder, [name for name in inside(folder) if _is_sealed(name)])


def _is_sealed(name: str) -> bool:
    top, *rest = name.split("/")
    if top == RUNS:
        return rest[1:] == [MANIFEST]
    return not _is_moving(top) and not top.startswith(".")


def _is_moving(top: str) -> bool:
    return top in MOVING or top.startswith(JOURNAL)  # SQLite has files beside it


def _batch(folder: Path) -> list[Fault]:
    sealed = listed(folder)
    runs = {name.split("/")[1] for name in sealed if name.startswith(f"{RUNS}/")}
    if sealed:
        found = faults(folder, sealed)
    else:
        found = [*faults(folder, ()), *_rows(folder)]
        runs = {path.parent.name for path in folder.glob(f"{RUNS}/*/{MANIFEST}")}
    for run in sorted(runs):
        found += [Fault(f"{RUNS}/{run}/{fault.name}", fault.state) for fault in faults(folder / RUNS / run)]
    ours = {*sealed, *(fault.name for fault in found)}
    for name in inside(folder):
        top, *rest = name.split("/")
        below = top == RUNS and rest[0] in runs
        if name not in ours and not _is_moving(top) and not below and (sealed or top == RUNS):
            found.append(Fault(name, "foreign"))
    return found


def _rows(folder: Path) -> list[Fault]:
    """Files of rows of a batch that has no manifest yet, which are missing or damaged."""
    try:
        plan = Plan.read(folder)
    except InputError:
        return [Fault(PLAN, "damaged")]
    paths = (chunk_path(folder, chunk) for chunk in range(plan.chunks) if not read_chunk(folder, plan, chunk))
    return [
        Fault(path.relative_to(folder).as_posix(), "damaged" if path.exists() else "missing")
        for path in paths
    ]
