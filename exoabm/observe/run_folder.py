"""The run folder: written to a temporary sibling, synced, then renamed, so that it is never half there."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import secrets
import shutil
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from exoabm.errors import InputError, RunFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

FILES = (
    "run.json",
    "metrics.parquet",
    "cells.parquet",
    "events.parquet",
    "communication.parquet",
    "communication.graphml",
    "fields.zarr",
    "summary.json",
    "preview.png",
)
UNFINISHED = ".unfinished"
CHECKPOINT = "checkpoint.npz"
LOCK = "lock"
SCAFFOLD = (CHECKPOINT, f"{CHECKPOINT}.partial", LOCK, "*.part")
"""What a resumable run leaves in its folder and a finished one does not need."""


class RunFolder:
    """A folder that appears under its name only when everything in it is on disk.

    Used as a context: ``with RunFolder(path) as folder: ... folder.work / "run.json"``. On an error or an
    interrupt nothing is left behind.

    Raises
    ------
    InputError
        If the folder, or an unfinished run of its name, exists and may not be overwritten, or cannot be made.
    RunFailed
        If the disk fills or a file cannot be written.
    """

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        self.path = Path(os.path.realpath(path))  # a link is written through, not replaced
        self.unfinished = self.path.parent / f"{self.path.name}{UNFINISHED}"
        self.work = self.path.parent / f".{self.path.name}.partial-{secrets.token_hex(4)}"
        with _as_input_error(self.path):
            _check_free(path, overwrite)
            self._check_unfinished(path, overwrite)

    def __enter__(self) -> Self:
        with _as_input_error(self.path):
            if self.unfinished.exists():
                hold(self.unfinished).close()
                shutil.rmtree(self.unfinished)
            self.work.mkdir(parents=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.publish(self.path)
        except OSError as fault:
            error = fault
        finally:
            left = self._leave()
        if isinstance(error, OSError):
            raise RunFailed(f"{disk_message(error, self.path)}; {left}") from None

    def write_json(self, name: str, data: Any) -> None:
        """Write plain data as JSON; infinities and NaN are refused."""
        text = json.dumps(data, indent=2, allow_nan=False, ensure_ascii=False)
        (self.work / name).write_text(text + "\n", encoding="utf-8")

    def publish(self, path: Path) -> None:
        """Sync everything and put it in place under ``path``, whatever stood there."""
        sync(self.work)
        old = self.work.with_name(self.work.name + "-old")
        if path.exists():
            path.replace(old)
        try:
            self.work.replace(path)
        except OSError:
            if old.exists():
                old.replace(path)
            raise
        shutil.rmtree(old, ignore_errors=True)
        sync(path.parent, deep=False)

    def _leave(self) -> str:
        """Tidy up after the work; says what is left of it."""
        shutil.rmtree(self.work, ignore_errors=True)
        return f"nothing was left at {self.path}"

    def _check_unfinished(self, path: Path, overwrite: bool) -> None:
        """Refuse where another run of this name could still be finished, or is no run at all."""
        if not self.unfinished.exists():
            return
        hold(self.unfinished).close()
        if (self.unfinished / CHECKPOINT).exists() and not overwrite:
            raise InputError(
                f"{self.unfinished} is an unfinished run: `exoabm resume {path}` goes on with it; "
                "choose another --out, or pass --overwrite, to begin anew"
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
        Go on in an unfinished folder.

    Raises
    ------
    InputError
        As ``RunFolder``; if there is nothing to resume; if another process holds the folder.
    """

    def __init__(self, path: Path, *, overwrite: bool = False, resume: bool = False) -> None:
        self._resume = resume
        self._lock: IO[str] | None = None
        super().__init__(path, overwrite=overwrite or resume)
        self.work = self.unfinished
        if resume and not self.work.is_dir():
            if (self.path / "run.json").is_file():
                raise InputError(f"{path} is finished already; there is nothing to resume")
            raise InputError(f"there is no unfinished run {self.work}")

    def __enter__(self) -> Self:
        if not self._resume:
            super().__enter__()
        with _as_input_error(self.path):
            self._lock = hold(self.work)
        return self

    def publish(self, path: Path) -> None:
        """Publish; only then is the checkpoint needed no more."""
        super().publish(path)
        for pattern in SCAFFOLD:
            for file in path.glob(pattern):
                file.unlink(missing_ok=True)

    def _leave(self) -> str:
        kept = (self.work / CHECKPOINT).exists()
        if not kept and not self._resume:
            super()._leave()
        if self._lock is not None:
            self._lock.close()
        if not kept:
            return f"nothing was left at {self.path}"
        return f"the last checkpoint is kept, and `exoabm resume {self.path}` goes on from it"


def hold(folder: Path) -> IO[str]:
    """Take an unfinished folder for this process, until the file returned is closed; see ``locked``.

    Raises
    ------
    InputError
        As ``locked``; or if it is not an unfinished run.
    """
    lock = folder / LOCK
    if not folder.is_dir() or (not lock.exists() and any(folder.iterdir())):
        raise InputError(f"{folder} is not an unfinished run; it will not be touched")
    return locked(folder)


def locked(folder: Path) -> IO[str]:
    """Lock a folder for this process until the file returned is closed; it names the process.

    The system lets go of it when the process ends, however it ends, so a lock is never left over.

    Raises
    ------
    InputError
        Naming the process that holds the folder.
    """
    import fcntl  # Windows has none; only unfinished work needs it

    file = (folder / LOCK).open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        with file:
            raise InputError(f"{folder} is being written by process {file.read().strip()}") from None
    file.truncate(0)
    file.write(f"{os.getpid()} on {platform.node()}\n")
    file.flush()
    return file


def sync(folder: Path, *, deep: bool = True) -> None:
    """Have a folder, and if ``deep`` all that is in it, on disk."""
    for file in sorted(folder.rglob("*")) if deep else ():
        _sync(file)
    _sync(folder)


@contextlib.contextmanager
def placed(path: Path) -> Iterator[Path]:
    """A name to write a file to, which is put in place under ``path`` only when all of it is on disk.

    On an error, what stood under ``path`` stays.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        yield partial
        _sync(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def write_whole(path: Path, content: bytes) -> None:
    """Put a file in place only when all of it is on disk; see ``placed``."""
    with placed(path) as partial:
        partial.write_bytes(content)


def disk_full(error: OSError) -> bool:
    """Whether a write failed for want of room."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def disk_message(error: OSError, path: Path) -> str:
    """What to tell about a failed write."""
    if disk_full(error):
        return "the disk is full"
    return f"could not write {path}: {error.strerror or error}"


def _check_free(path: Path, overwrite: bool) -> None:
    """Refuse to replace a run without leave, and anything else at all."""
    if not path.exists():
        return
    if not overwrite:
        raise InputError(f"{path} exists already; choose another --out, or pass --overwrite")
    if not path.is_dir() or (not (path / "run.json").is_file() and any(path.iterdir())):
        raise InputError(f"{path} is not a run folder; it will not be overwritten")


@contextlib.contextmanager
def _as_input_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot write to {path.parent}: {error.strerror}") from None


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError) if path.is_dir() else contextlib.nullcontext():
            os.fsync(handle)
    finally:
        os.close(handle)
