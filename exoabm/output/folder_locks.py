"""Locks on folders of unfinished work: one process at a time writes a folder."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Self

from exoabm.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

LOCK = "lock"
"""The file in a folder that is locked; it names the process, and is empty where the last one ended well."""

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""Error numbers of file systems without locks, as on some clusters."""


class Held(InputError):
    """Another process is at work where this one was to be."""


@dataclass(frozen=True)
class Lock:
    """A folder held by this process until ``close``; ``before`` names one that died while it held it."""

    folder: Path
    before: str
    _file: IO[str]

    def close(self) -> None:
        """Let go of the folder."""
        with contextlib.suppress(OSError):  # a full disk does not keep anyone from leaving
            self._file.truncate(0)
        with contextlib.suppress(OSError):
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def note(self) -> str:
        """A sentence on the process that ended during its work, "" if there is none."""
        if not self.before:
            return ""
        host = self.before.partition(" on ")[2]
        far = (
            ""
            if host == platform.node()
            else ", according to the file system; another computer cannot verify this"
        )
        return f"process {self.before} ended while it was writing {self.folder}{far}"


def hold(folder: Path) -> Lock:
    """Lock a folder of unfinished work; see ``locked``.

    Raises
    ------
    InputError
        As ``locked``; or if it is not unfinished work.
    """
    _check_unfinished(folder)
    return locked(folder)


def check_free(folder: Path) -> None:
    """Refuse a folder of unfinished work that another process holds; see ``hold``."""
    _check_unfinished(folder)
    if (folder / LOCK).exists():
        _flocked(folder).close()


def locked(folder: Path) -> Lock:
    """Lock a folder for this process until the lock is closed.

    Raises
    ------
    Held
        Naming the process, and its machine, that holds the folder.
    """
    file = _flocked(folder)
    before = _named(file)
    file.truncate(0)
    file.write(f"{os.getpid()} on {platform.node()}\n")
    file.flush()
    return Lock(folder, before, file)


def _check_unfinished(folder: Path) -> None:
    if not folder.is_dir() or (not (folder / LOCK).exists() and any(folder.iterdir())):
        raise InputError(f"{folder} is not an unfinished run; it will not be touched")


def _flocked(folder: Path) -> IO[str]:
    """The file of a folder's lock, locked.

    Where a system or a file system has no locks, the content of the file replaces it: a process that ends
    well empties it, and of one that did not only a person can tell.
    """
    path = folder / LOCK
    while True:
        file = path.open("a+", encoding="utf-8")
        named = _named(file)
        try:
            certain = _flock(file)
        except BlockingIOError:
            file.close()
            raise Held(f"{folder} is being written by process {named}") from None
        if not certain and named:
            file.close()
            raise Held(
                f"{folder} is being written by process {named}, or was when that ended: this file system has "
                f"no locks by which this could be determined; if it has ended, remove {path}"
            )
        if _is(file, path):
            return file
        file.close()  # it was removed between the two


def _flock(file: IO[str]) -> bool:
    """Lock a file, if there are locks; whether there are.

    Raises
    ------
    BlockingIOError
        If another process has it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NO_LOCKS:
            return False
        raise
    return True


def _named(file: IO[str]) -> str:
    file.seek(0)
    return file.read(200).strip()


def _is(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
