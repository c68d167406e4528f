"""Files and folders that are put in place whole.

They are synced, then renamed; what others made is never removed.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Any

from exoabm.errors import ANOTHER_PLACE, InputError, RunFailed
from exoabm.interrupts import signals_held
from exoabm.manifest import check_outside
from exoabm.output.folder_locks import locked

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

SYNCED_TOGETHER = 16
"""Files whose data are awaited at the same time; assumed."""


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A name to write a file to, which is put in place under ``path`` only when all of it is on disk.

    On an error, what stood under ``path`` stays.

    Raises
    ------
    InputError
        If ``path`` lies inside finished results.
    """
    check_outside(path)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        yield partial
        _sync(partial)
        partial.replace(path)
    except BaseException:
        with signals_held():
            partial.unlink(missing_ok=True)
        raise
    _sync(path.parent)


@contextlib.contextmanager
def together() -> Iterator[contextlib.ExitStack]:
    """A stack of ``atomic_file`` and ``atomic_folder`` that are put in place all, or none if one fails.

    An interrupt acts before or after that.
    """
    with contextlib.ExitStack() as stack:
        yield stack
        with signals_held():
            stack.close()


@contextlib.contextmanager
def atomic_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A folder to fill, which is put in place under ``path`` only when all of it is on disk.

    The work lies beside it in a hidden folder that this process holds. On an error, what stood under ``path``
    stays. What comes to stand there meanwhile, and what was changed in a folder that is to be replaced, is
    never removed: the finished folder is then kept beside it.

    Raises
    ------
    InputError
        If something stands under ``path`` and is not to be replaced, or it lies inside finished results.
    RunFailed
        If something came there, or was changed; names where the finished folder is kept.
    """
    check_outside(path)
    path = Path(os.path.realpath(path))
    if put_back(path):
        raise InputError(
            f"{path} was being replaced by a process that ended, and is back in place; begin again"
        )
    old = standing(path)
    if old and not overwrite:
        raise InputError(f"{path} exists already; {ANOTHER_PLACE}")
    hidden = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    work = hidden / path.name
    try:
        with folder_errors(path.parent, path):
            work.mkdir(parents=True)
        with locked(hidden):
            yield work
            sync(work)
            try:
                with signals_held():
                    replace(work, path, old)
            except FileExistsError:
                kept = put_beside(work, path, "finished")
                raise RunFailed(what_came(path, kept)) from None
    finally:
        with signals_held():
            shutil.rmtree(hidden, ignore_errors=True)
    sync(path.parent, deep=False)


@contextlib.contextmanager
def folder_errors(folder: Path, target: Path | None = None) -> Iterator[None]:
    """State errors of the file system, while a folder is made or written to, as errors of its user.

    ``target`` is what is written, if that is not the folder itself.
    """
    try:
        yield
    except OSError as error:
        if disk_full(error):
            raise RunFailed(f"the disk is full; nothing was written to {target or folder}") from None
        first = next((place for place in (folder, *folder.parents) if os.path.lexists(place)), folder)
        why = error.strerror or error
        if not first.is_dir():
            why = "it is a file" if first == folder else f"{first} is a file"
        raise InputError(f"cannot write to {folder}: {why}") from None


@contextlib.contextmanager
def writing_into(folder: Path, target: Path | None = None) -> Iterator[None]:
    """A folder to write into, made with those above it where they are missing.

    ``target`` is the file or folder that is written there, if it is one. On failure the folders that were
    made are removed again where they are empty.

    Raises
    ------
    InputError
        If it cannot be made or written to.
    RunFailed
        If the disk is full.
    """
    new = [place for place in (folder, *folder.parents) if not os.path.lexists(place)]
    try:
        with folder_errors(folder, target):
            folder.mkdir(parents=True, exist_ok=True)
            yield
    except BaseException:
        with contextlib.suppress(OSError):
            for place in new:
                place.rmdir()
        raise


def put_beside(work: Path, path: Path, word: str) -> Path:
    """Rename a folder to the first of the names ``<path>.<word>``, ``<path>.<word>-2``, ... that is free."""
    for number in count(1):
        place = path.with_name(f"{path.name}.{word}" + (f"-{number}" if number > 1 else ""))
        with contextlib.suppress(FileExistsError):
            put(work, place)
            break
    return place


def check_new(*paths: Path, overwrite: bool) -> None:
    """Refuse to write inside finished results, or where something exists that may not be replaced."""
    for path in paths:
        check_outside(path)
        if os.path.lexists(path) and not overwrite:
            raise InputError(f"{path} exists already; {ANOTHER_PLACE}")


def check_room(path: Path, names: Collection[str], *, overwrite: bool) -> None:
    """Refuse a folder that exists, unless it may be overwritten and holds nothing but these names."""
    check_new(path, overwrite=overwrite)
    if not os.path.lexists(path):
        return
    strange = {each.name for each in path.iterdir()} - set(names) if path.is_dir() else {path.name}
    if strange:
        raise InputError(f"{path} holds {min(strange)!r}, which is not replaced; move it away to overwrite")


def write_whole(path: Path, content: bytes) -> None:
    """Put a file in place only when all of it is on disk; see ``atomic_file``."""
    with atomic_file(path) as partial:
        partial.write_bytes(content)


def write_json(path: Path, data: Any) -> None:
    """Put plain data in place as JSON, whole or not at all; infinities and NaN are refused."""
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(path, (text + "\n").encode())


def disk_full(error: OSError) -> bool:
    """Whether a write failed because the disk is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def disk_message(error: OSError, path: Path) -> str:
    """A sentence on a failed write."""
    if disk_full(error):
        return "the disk is full"
    return f"could not write {path}: {error.strerror or error}"


def standing(path: Path) -> frozenset[tuple[Any, ...]]:
    """Files at a path with size and time, to detect later changes."""
    if not os.path.lexists(path):
        return frozenset()
    inside = path.rglob("*") if path.is_dir() else ()
    found = [(path, path.lstat()), *((each, each.lstat()) for each in inside)]
    return frozenset(
        (each.relative_to(path), at.st_ino, *((at.st_size, at.st_mtime_ns) if S_ISREG(at.st_mode) else ()))
        for each, at in found
    )


def put(work: Path, place: Path) -> None:
    """Rename a folder to a name that is free.

    Raises
    ------
    FileExistsError
        If it is not.
    """
    if os.path.lexists(place):  # the system itself would only spare what is not an empty folder
        raise FileExistsError(errno.EEXIST, "exists", str(place))
    try:
        work.replace(place)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise FileExistsError(errno.EEXIST, "exists", str(place)) from None
        raise


def _aside(path: Path) -> Path:
    """Where what stands at a path is while a folder is put in its place."""
    return path.with_name(f".{path.name}.replaced")


def replace(work: Path, path: Path, old: frozenset[tuple[Any, ...]]) -> None:
    """Put a folder in place of what stood there; on any error that is put back.

    Raises
    ------
    FileExistsError
        If something came there, or was changed since it was ``old``.
    """
    aside = _aside(path)
    try:
        if old and os.path.lexists(path):
            path.replace(aside)
            if standing(aside) != old:
                raise FileExistsError(errno.EEXIST, "changed", str(path))
        put(work, path)
    except BaseException:
        if os.path.lexists(aside) and not os.path.lexists(path):
            aside.replace(path)
        raise
    with contextlib.suppress(OSError):
        remove(aside)


def put_back(path: Path) -> bool:
    """Put back what a process that was killed in ``replace`` had put aside; whether there was any."""
    aside = _aside(path)
    if not os.path.lexists(aside):
        return False
    if os.path.lexists(path):
        remove(aside)
        return False
    aside.replace(path)
    return True


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def what_came(path: Path, kept: Path) -> str:
    """A sentence on a folder in whose place something came; see ``replace``."""
    return (
        f"something came to {path}, or was changed there, meanwhile; that is left as it is, and what was "
        f"finished is kept in {kept}"
    )


def sync(folder: Path, *, deep: bool = True) -> None:
    """Have a folder, and if ``deep`` all that is in it, on disk.

    A file system writes what is asked of it at the same time together, so that many small files take little
    longer than one.
    """
    if deep:
        with ThreadPoolExecutor(SYNCED_TOGETHER) as threads:
            for _ in threads.map(_sync, sorted(folder.rglob("*"))):
                pass  # the first error is raised here
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError) if path.is_dir() else contextlib.nullcontext():
            os.fsync(handle)
    finally:
        os.close(handle)
