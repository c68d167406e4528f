"""The run folder: written to a temporary folder, synced, then renamed, so that it is never incomplete.

Leftovers of terminated runs are found, described, and removed where no process is active.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from exoabm.errors import ANOTHER_PLACE, ExoError, InputError, RunFailed, command_line
from exoabm.interrupts import signals_held
from exoabm.manifest import MANIFEST, check_outside, inside
from exoabm.manifest import write as write_manifest
from exoabm.output.durable_files import (
    check_new,
    disk_message,
    folder_errors,
    put,
    put_back,
    put_beside,
    remove,
    replace,
    standing,
    sync,
    what_came,
)
from exoabm.output.folder_locks import LOCK, Lock, check_free, hold
from exoabm.tables.declarations import RUN_TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

FILES = (
    MANIFEST,
    "run.json",
    *(table.file for table in RUN_TABLES if not table.where),
    "communication.graphml",
    "fields.zarr",
    "summary.json",
    "preview.png",
)
TABLE = "table"
"""Folder within a run folder that holds the table of cells that the run was made from."""
KEPT = "checkpoints"
"""Folder within a run folder that holds the checkpoints that were asked for, with what they need."""
MADE = frozenset({*FILES, TABLE, KEPT, *(table.file for table in RUN_TABLES)})
"""Names at the top of a run folder that runs write."""
UNFINISHED = ".unfinished"
REMOVALS, BETWEEN_REMOVALS = 20, 0.05
"""Attempts to remove the work of an interrupted run, and seconds between them."""
WHATIF, AS_IS, CHANGED, DIFFERENCE = "whatif.json", "as_is", "changed", "difference"
"""The summary, both runs and the differences of their tables in the folder of a what-if."""
CHECKPOINT = "checkpoint.npz"
BEFORE = "checkpoint.before.npz"
"""The checkpoint before the last one, for where that is damaged."""
TEMPORARY = (CHECKPOINT, BEFORE, "checkpoint.*.partial", LOCK, "*.part")
"""Files of a run in progress, which a finished one does not need."""
DEEPER = ("runs", "trials")
"""Folders that are searched for leftovers as well: the default places of the commands."""


class RunFolder:
    """A folder that appears under its name only when everything in it is on disk.

    Used as a context: ``with RunFolder(path) as folder: ... folder.work / "run.json"``. The work lies beside
    it in ``.<name>.partial``, held by one process at a time. On an error or an interrupt nothing is left
    behind. What comes to stand under the name meanwhile, and what was changed in a folder that is to be
    replaced, is never removed: the finished run is then kept beside it.

    Attributes
    ----------
    notes : list of str
        A sentence on the unfinished work of a terminated process.

    Raises
    ------
    InputError
        If the folder, or an unfinished run of its name, exists and may not be overwritten, is being written
        by another process, lies inside finished results, or cannot be made.
    RunFailed
        If the disk fills, a file cannot be written, or the work was removed.
    """

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        self.path = Path(os.path.realpath(path))  # a link is written through, not replaced
        self.unfinished = self.path.parent / f"{self.path.name}{UNFINISHED}"
        self.partial = self.path.parent / f".{self.path.name}.partial"
        self.work = self.partial
        self.notes: list[str] = []
        self._asked = path, overwrite
        self._lock: Lock | None = None
        self._made: os.stat_result | None = None
        with folder_errors(self.path.parent, self.path):
            self._check()
            self._old = standing(self.path)

    def __enter__(self) -> Self:
        with folder_errors(self.path.parent, self.path):
            try:
                with signals_held():
                    self._begin()
            except BaseException:
                self._leave()
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        gone = not self._is_mine(self.work)
        try:
            if error is None and not gone:
                self.publish()
        except OSError as fault:
            error = fault
        finally:
            left = self._leave()
        if gone and (error is None or (isinstance(error, Exception) and not isinstance(error, ExoError))):
            raise RunFailed(
                f"{self.work} was moved or removed while the run was writing it; {left}"
            ) from None
        if isinstance(error, OSError):
            raise RunFailed(f"{disk_message(error, self.path)}; {left}") from None

    @property
    def replaces(self) -> str:
        """Checksum of the content to be replaced; "" if there is none."""
        text = repr(sorted(map(str, self._old)))
        return hashlib.sha256(text.encode()).hexdigest() if self._old else ""

    def write_json(self, name: str, data: Any) -> None:
        """Write plain data as JSON; infinities and NaN are refused."""
        text = json.dumps(data, indent=2, allow_nan=False, ensure_ascii=False)
        (self.work / name).write_text(text + "\n", encoding="utf-8")

    def publish(self) -> None:
        """Sync everything and put it in place, where nothing came to stand meanwhile.

        Raises
        ------
        RunFailed
            If something did, or what was to be replaced has changed; names where the finished run is kept.
        """
        self._seal()
        with signals_held():
            try:
                replace(self.work, self.path, self._old)
            except FileExistsError:
                kept = self.publish_beside("finished")
                raise RunFailed(what_came(self.path, kept)) from None
            self._tidy(self.path)

    def publish_beside(self, word: str) -> Path:
        """Sync everything and put it in place under the first name ``<name>.<word>`` that is free."""
        self._seal()
        place = put_beside(self.work, self.path, word)
        self._tidy(place)
        return place

    def _seal(self) -> None:
        """Write the manifest of what the run made, and have all of it on disk."""
        made = [name for name in inside(self.work) if name.split("/")[0] in MADE - {MANIFEST}]
        write_manifest(self.work, made)
        sync(self.work)

    def _begin(self) -> None:
        """Take the folder of the work for this process, empty."""
        fresh = not self.partial.exists()
        self.partial.mkdir(parents=True, exist_ok=True)
        try:
            self._hold(self.partial)
        except OSError:  # no room for a lock, even
            if fresh:
                shutil.rmtree(self.partial, ignore_errors=True)
            raise
        for rest in self.partial.iterdir():
            if rest.name != LOCK:
                remove(rest)
        self._check()
        if standing(self.path) != self._old:
            raise InputError(f"{self.path} has just been changed by another process; begin again")
        if self.unfinished.exists():
            with hold(self.unfinished):
                shutil.rmtree(self.unfinished)

    def _hold(self, work: Path) -> None:
        """Lock the work for this process."""
        self._lock = hold(work)
        self.work, self._made = work, work.stat()
        if self._lock.note:
            self.notes.append(self._lock.note)
        if put_back(self.path):
            self._old = standing(self.path)

    def _is_mine(self, work: Path) -> bool:
        """Whether a folder is the one that this process holds."""
        try:
            return self._made is not None and os.path.samestat(work.stat(), self._made)
        except OSError:
            return False

    def _leave(self) -> str:
        """Clean up after the work; returns a sentence on its remainder."""
        with signals_held():
            for _ in range(REMOVALS):
                if not self._is_mine(self.work):
                    break
                shutil.rmtree(self.work, ignore_errors=True)
                if self._is_mine(self.work):  # a thread of a library still writes what an interrupt left
                    time.sleep(BETWEEN_REMOVALS)
            if self._lock is not None:
                self._lock.close()
        return f"nothing was written to {self.path}"

    def _tidy(self, place: Path) -> None:
        """Remove from a folder in place what only the work needed."""
        for pattern in TEMPORARY:
            for file in place.glob(pattern):
                file.unlink(missing_ok=True)
        sync(place, deep=False)
        sync(place.parent, deep=False)

    def _check(self) -> None:
        """Refuse an existing run, an unfinished one, an active process, or other content."""
        path, overwrite = self._asked
        check_outside(path)
        _check_free(path, overwrite)
        if self._lock is None and self.partial.exists():
            check_free(self.partial)
        if not self.unfinished.exists():
            return
        check_free(self.unfinished)
        if (self.unfinished / CHECKPOINT).exists() and not overwrite:
            raise InputError(
                f"{self.unfinished} is an unfinished run: `{command_line('resume', path)}` resumes it; "
                f"to restart, {ANOTHER_PLACE}"
            )


class ResumableFolder(RunFolder):
    """A run folder whose work outlives its process, in ``<path>.unfinished``, once there is a checkpoint.

    One process at a time may hold it.

    Parameters
    ----------
    path : Path
    overwrite : bool
        Replace the run folder, and unless this resumes one, the unfinished one.
    resume : bool
        Continue in an unfinished folder.

    Raises
    ------
    InputError
        As ``RunFolder``; if there is nothing to resume; if another process holds the folder.
    """

    def __init__(self, path: Path, *, overwrite: bool = False, resume: bool = False) -> None:
        self._resume = resume
        super().__init__(path, overwrite=overwrite or resume)
        if resume and not self.unfinished.is_dir():
            if (self.path / "run.json").is_file():
                raise InputError(f"{path} is finished already; there is nothing to resume")
            raise InputError(f"there is no unfinished run {self.unfinished}")

    def _begin(self) -> None:
        if self._resume:
            if self.partial.exists():
                check_free(self.partial)
            self._hold(self.unfinished)
            return
        super()._begin()
        put(self.partial, self.unfinished)
        self.work = self.unfinished

    def _leave(self) -> str:
        kept = (self.work / CHECKPOINT).exists()
        if not kept and not self._resume:
            return super()._leave()
        if self._lock is not None:
            self._lock.close()
        if not kept:
            return f"nothing was written to {self.path}"
        return f"the last checkpoint is kept, and `{command_line('resume', self.path)}` resumes from it"


def replaceable(path: Path) -> bool:
    """Whether a path is empty, or contains only a run."""
    if not path.is_dir():
        return False
    names = {each.name for each in path.iterdir()}
    return not names or (names <= MADE and bool(names & {"run.json", MANIFEST}))


def make_room(run: Path) -> None:
    """Prepare the path of a damaged run for a new one; a folder with foreign files is set aside."""
    if os.path.lexists(run) and not replaceable(run):
        put_beside(run, run, "aside")


def _check_free(path: Path, overwrite: bool) -> None:
    """Refuse to replace a run without leave, and anything else at all."""
    if not path.exists():
        return
    check_new(path, overwrite=overwrite)
    if replaceable(path):
        return
    names = {each.name for each in path.iterdir()} if path.is_dir() else set()
    if not names & {"run.json", MANIFEST}:
        raise InputError(f"{path} is not a run folder; it will not be overwritten")
    raise InputError(
        f"{path} holds {min(names - MADE)!r}, which no run made; move it away to overwrite the run"
    )


def check_finished(folder: Path) -> None:
    """Refuse the place of an unfinished run, the folder of its work, or one that holds the runs of a what-if.

    Raises
    ------
    InputError
        With the command that resumes it, or the runs inside.
    """
    if os.path.isfile(folder / WHATIF):  # noqa: PTH113  Path refuses a name that is too long
        runs = " and ".join(str(folder / name) for name in (AS_IS, CHANGED))
        raise InputError(
            f"{folder} is of `exoabm whatif`: its runs are {runs}, and {folder / DIFFERENCE} holds the "
            "differences of their tables"
        )
    place = Path(str(folder if folder.name else folder.absolute()).removesuffix(UNFINISHED))
    work = f"{place}{UNFINISHED}"
    if os.path.lexists(work) and Path(work).is_dir():
        raise InputError(f"{work} is an unfinished run: `{command_line('resume', place)}` resumes it")


@dataclass(frozen=True)
class Leftover:
    """A leftover folder, its description, and whether it can be removed."""

    path: Path
    what: str
    dead: bool

    def remove(self) -> None:
        """Remove it, or put a run that was to be replaced back in its place."""
        if self.path.name.endswith(".replaced") and not _place_of(self.path).exists():
            self.path.rename(_place_of(self.path))
        else:
            shutil.rmtree(self.path)


def leftovers(folder: Path) -> list[Leftover]:
    """Leftovers in a folder, and in its ``runs`` and ``trials``.

    Raises
    ------
    InputError
        If there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder")
    places = [folder, *(folder / name for name in DEEPER if (folder / name).is_dir())]
    return [left for place in places for left in _in(place)]


def _in(place: Path) -> Iterator[Leftover]:
    for path in sorted(place.iterdir()):
        hidden = path.name.startswith(".")
        if not path.is_dir():
            continue
        if hidden and path.name.endswith(".replaced"):
            there = _place_of(path).exists()
            what = "was replaced" if there else f"is the run of {_place_of(path)}, to be put back there"
            yield Leftover(path, what, dead=True)
        elif (path / LOCK).exists() and (
            (hidden and path.name.endswith(".partial")) or path.name.endswith(UNFINISHED)
        ):
            yield _work(path)


def _work(path: Path) -> Leftover:
    try:
        check_free(path)
    except InputError as error:
        return Leftover(path, str(error).removeprefix(f"{path} "), dead=False)
    if (path / CHECKPOINT).exists():
        place = path.with_name(path.name.removesuffix(UNFINISHED))
        command = command_line("resume", place)
        return Leftover(path, f"is an unfinished run: `{command}` resumes it", dead=False)
    return Leftover(path, "was left by a process that ended", dead=True)


def _place_of(replaced: Path) -> Path:
    return replaced.with_name(replaced.name.removeprefix(".").removesuffix(".replaced"))
