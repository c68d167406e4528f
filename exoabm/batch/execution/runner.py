"""Execution of the rows of a batch on any executor, and resumption.

A row counts only when the file that it is in is on disk under its final name. What is there when a batch
begins again is checked, and only what is missing or damaged is run; so the end is the same, byte for byte,
however often it was stopped. Nothing of a row passes through this process but its name and its reason.
"""

from __future__ import annotations

import contextlib
import shutil
import warnings
from collections import deque
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from exoabm.batch.execution import row_execution as files
from exoabm.batch.execution.plan import PLAN, Plan
from exoabm.batch.execution.row_journal import PLOTS, Journal, faults_of_reports, foreign, look
from exoabm.batch.execution.workers import ThisProcess
from exoabm.errors import ANOTHER_PLACE, ExoError, InputError, MixedVersions, RunFailed, command_line
from exoabm.interrupts import signals_held
from exoabm.manifest import check_outside, unseal
from exoabm.output.durable_files import disk_full, disk_message, write_whole
from exoabm.output.folder_locks import LOCK, locked
from exoabm.output.run_folder import make_room
from exoabm.software import drift

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from exoabm.batch.execution.row_execution import Written
    from exoabm.batch.execution.workers import Workers

    Progress = Callable[[int, int], object]

SHARDS = files.SHARDS
WINDOW = 1024
"""Files that are asked for at a time; however many rows there are, no more than these are pending."""
DEATHS = 3
"""After so many broken pools without a file in between, the machine is at fault and not chance."""
WITHIN = frozenset({"fit", "sensitivity"})
"""Kinds of batch that are parts of an analysis, which goes on as a whole."""
REASONS = 20
"""Failures that are told; the journal has all."""


@dataclass(frozen=True)
class Shard:
    """Every n-th file of a batch, for jobs that share the work: number ``index``, from 1, of ``of``."""

    index: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.of:
            raise InputError(f"--shard {self.index}/{self.of}: write I/N with I from 1 to N")

    @classmethod
    def read(cls, text: str) -> Shard:
        """Read ``"2/8"``."""
        index, slash, of = text.partition("/")
        if not (slash and index.strip().isdecimal() and of.strip().isdecimal()):
            raise InputError(f"--shard {text}: write I/N, e.g. 2/8")
        return cls(int(index), int(of))

    def folder(self, batch: Path) -> Path:
        """Where the shard of a batch is written."""
        return batch / SHARDS / f"{self.index}-of-{self.of}"


@dataclass(frozen=True)
class Outcome:
    """State of a batch after execution.

    Attributes
    ----------
    folder : Path
    plan : Plan
    rows : int
        Rows that belong to it, or to its shard.
    ran : int
        Rows that were run this time.
    failed : int
        Rows that failed, this time or before.
    reasons : dict
        Name and reason of the first of them.
    damage : tuple of str
        What was found damaged or missing of what had been done; it is made again.
    notes : tuple of str
        What else to tell, such as of a process that was killed here.
    """

    folder: Path
    plan: Plan
    rows: int
    ran: int
    failed: int
    reasons: dict[str, str]
    damage: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def run_rows(
    plan: Plan,
    folder: Path,
    *,
    workers: Workers = ThisProcess,
    shard: Shard | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Run a batch in a new folder.

    Parameters
    ----------
    plan : Plan
    folder : Path
        ``rows/`` in it will hold the records; ``chunk.records(folder, plan)`` reads them in order.
    workers : Workers
        Opens a ``concurrent.futures.Executor``; ``workers.local(jobs)``, ``cluster.dask(address)``, or
        ``lambda: contextlib.nullcontext(executor)``.
    shard : Shard, optional
        Run this part only, in a folder of its own below ``folder``; ``resume_rows`` puts them together.
    overwrite : bool
        Replace a batch that stands there.
    progress : callable, optional
        Called with the rows done and the rows there are.

    Raises
    ------
    InputError
        If the folder holds something else, or a batch already, or lies inside finished results.
    RunFailed
        If the disk fills or workers keep dying; what is done is kept, and ``resume_rows`` goes on.
    """
    home = shard.folder(folder) if shard else folder
    with disk_trouble(home):
        _clear(home, overwrite)
        with contextlib.ExitStack() as stack:
            with signals_held():  # from its first file on, it can be resumed
                home.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(home))
                (home / files.ROWS).mkdir(exist_ok=True)
                plan.write(home)
            return _run(plan, home, workers, shard, progress)


def resume_rows(folder: Path, *, workers: Workers = ThisProcess, progress: Progress | None = None) -> Outcome:
    """Resume the batch in a folder: merge its shards, verify completed rows, run missing ones.

    Raises
    ------
    InputError
        If there is no batch, another process is writing it, or its scenario has changed since.
    RunFailed
        As ``run_rows``.
    """
    home = folder.absolute()
    plan = plan_in(home)
    plan.check_unchanged()
    part = home.name.split("-of-") if is_shard(home) else None
    with disk_trouble(folder), locked(home) as lock:
        (home / files.ROWS).mkdir(exist_ok=True)
        if not (home / PLAN).exists():
            unseal(home)
            plan.write(home)
        for path in _shards(home):
            _take_in(path, home, plan)
        outcome = _run(plan, home, workers, Shard(*map(int, part)) if part else None, progress)
        return replace(outcome, notes=(lock.note,) if lock.note else ())


def plan_in(folder: Path) -> Plan:
    """The plan of the batch in a folder, or of its shards.

    Raises
    ------
    InputError
        If there is none.
    """
    shards = _shards(folder)
    return Plan.read(folder if (folder / PLAN).exists() or not shards else shards[0])


def _shards(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob(f"{SHARDS}/*/{PLAN}"))


def run_or_resume(
    plan: Plan,
    folder: Path,
    *,
    workers: Workers = ThisProcess,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Run a batch, or resume it; see ``run_rows`` and ``resume_rows``.

    Raises
    ------
    InputError
        If another batch stands there.
    """
    if overwrite or not is_batch(folder):
        return run_rows(plan, folder, workers=workers, overwrite=overwrite, progress=progress)
    if Plan.read(folder).sha256 != plan.sha256:
        raise InputError(f"{folder} contains runs with other settings; {ANOTHER_PLACE}")
    return resume_rows(folder, workers=workers, progress=progress)


def is_batch(folder: Path) -> bool:
    """Whether a folder holds a batch or shards of one."""
    return (folder / PLAN).is_file() or any(folder.glob(f"{SHARDS}/*/{PLAN}"))


def is_shard(folder: Path) -> bool:
    """Whether a folder is that of a shard."""
    return folder.absolute().parent.name == SHARDS


def _run(
    plan: Plan, folder: Path, workers: Workers, shard: Shard | None, progress: Progress | None
) -> Outcome:
    _remove_partial_files(folder)
    mine = range(shard.index - 1, plan.chunks, shard.of) if shard else range(plan.chunks)
    total = sum(len(plan.rows_of(chunk)) for chunk in mine)
    count = _Count(plan, progress, total)
    with Journal(folder, plan) as journal:
        missing, damage = [], [str(fault) for fault in faults_of_reports(folder)]
        entered = journal.entered()
        for chunk in mine:
            whole, fault = look(folder, plan, chunk, entered.get(chunk))
            if whole is None:
                missing.append(chunk)
                damage += [fault] if fault else []
                if chunk in entered:
                    journal.missing(chunk)
                continue
            checksum, found = whole
            written = files.Written(chunk, checksum, files.failures(plan, chunk, found), len(found), None)
            if chunk not in entered:
                journal.done(written)
            count.add(written)
        before = count.rows
        if missing:
            unseal(folder)
        with contextlib.closing(_drive(plan, folder, missing, workers)) as driven:
            for written in driven:
                journal.done(written)
                count.add(written)
    _remove_partial_files(folder)
    return Outcome(folder, plan, total, count.rows - before, count.failed, count.reasons, tuple(damage))


def _remove_partial_files(folder: Path) -> None:
    """Remove incomplete files of a terminated process; the lock excludes other writers."""
    for place in (folder, folder / files.ROWS, folder / files.RUNS, folder / PLOTS):
        for path in place.glob(".*.partial*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


class _Count:
    """Counter of completed rows."""

    def __init__(self, plan: Plan, progress: Progress | None, total: int) -> None:
        self.rows = self.failed = 0
        self.reasons: dict[str, str] = {}
        self._noted: set[str | None] = {None}
        self._plan, self._progress, self._total = plan, progress, total

    def add(self, written: Written) -> None:
        self.rows += written.rows
        self.failed += len(written.failed)
        if written.note not in self._noted:
            self._noted.add(written.note)
            warnings.warn(str(written.note), MixedVersions, stacklevel=2)
        for number, reason in written.failed.items():
            if len(self.reasons) < REASONS:
                self.reasons[self._plan.rows[number].name] = reason
        if self._progress is not None:
            self._progress(self.rows, self._total)


def _drive(plan: Plan, folder: Path, chunks: Iterable[int], workers: Workers) -> Generator[Written]:
    """Have files written by workers, and yield each as it is done; a pool whose worker died is replaced."""
    place = folder.absolute()
    waiting, pending = deque(chunks), dict[Future[files.Written], int]()
    deaths = 0
    while waiting:
        try:
            with workers() as executor:
                while waiting or pending:
                    if waiting and len(pending) < WINDOW:
                        future = executor.submit(files.run_chunk, place, plan.sha256, waiting[0])
                        pending[future] = waiting.popleft()
                    room = waiting and len(pending) < WINDOW
                    for done in wait(pending, 0 if room else None, FIRST_COMPLETED).done:
                        written = done.result()
                        del pending[done]
                        deaths = 0
                        yield written
        except BrokenExecutor:
            deaths += 1
            waiting.extendleft(sorted(pending.values(), reverse=True))
            pending.clear()
            if deaths > DEATHS:
                raise RunFailed(
                    f"workers terminate repeatedly (out of memory?); {_resumable(folder)}"
                ) from None


def _take_in(shard: Path, home: Path, plan: Plan) -> None:
    """Put the files of a shard that are whole with those of its batch; warn if other versions made it."""
    with locked(shard):
        theirs = Plan.read(shard)
        if theirs.sha256 != plan.sha256:
            raise InputError(f"{shard} belongs to a batch other than {home}")
        for chunk in range(plan.chunks):
            if look(shard, plan, chunk, None)[0] is None or look(home, plan, chunk, None)[0]:
                continue
            for row in plan.rows_of(chunk):
                kept, place = (where / files.RUNS / row.name for where in (shard, home))
                if kept.is_dir():
                    make_room(place)
                    if place.exists():
                        shutil.rmtree(place)
                    place.parent.mkdir(exist_ok=True)
                    kept.replace(place)
            unseal(home)
            source = files.chunk_path(shard, chunk)
            write_whole(files.chunk_path(home, chunk), source.read_bytes())
    note = drift(theirs.made_with, plan.made_with, f"part {shard.name} was started", "the batch with")
    if note is not None:
        warnings.warn(note, MixedVersions, stacklevel=2)


def _clear(folder: Path, overwrite: bool) -> None:
    """Refuse finished results around it and foreign files; remove a batch that may be replaced."""
    check_outside(folder)
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder} is a file")
    if is_batch(folder):
        if not overwrite:
            raise InputError(
                f"{folder} already contains a batch: `{command_line('resume', folder)}` resumes it; "
                f"to restart, {ANOTHER_PLACE}"
            )
        with locked(folder):
            strange = next(foreign(folder), None)
            if strange is not None:
                raise InputError(
                    f"{folder} holds {strange!r}, which is not part of a batch; move it to overwrite"
                )
            shutil.rmtree(folder)
        return
    left = {path.name for path in folder.iterdir() if not path.name.endswith(".partial")}
    if not left <= {LOCK, files.ROWS, SHARDS}:  # of a batch that was stopped before it had a plan
        raise InputError(f"{folder} exists and contains no batch; choose another --out")


@contextlib.contextmanager
def disk_trouble(folder: Path) -> Iterator[None]:
    """Tell a failure that is not of one row, and that what is done is kept; if nothing is, it is of --out."""
    try:
        yield
    except ExoError:
        raise
    except OSError as error:
        begun = False
        with contextlib.suppress(OSError):
            begun = is_batch(folder)
        if not begun and not disk_full(error):
            reason = error.strerror or error
            raise InputError(f"cannot write to {folder}: {reason}; choose another --out") from None
        left = _resumable(folder) if begun else "no row was run"
        raise RunFailed(f"{disk_message(error, folder)}; {left}") from None


def _resumable(folder: Path) -> str:
    with contextlib.suppress(ExoError):
        if Plan.read(folder).about.get("kind") in WITHIN:
            return "completed runs are kept, and the same command resumes"
    return f"completed rows are kept, and `{command_line('resume', folder)}` continues"
