"""The run folder: written to a temporary sibling, synced, then renamed, so that it is never half there."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from exoabm.errors import InputError, RunFailed

if TYPE_CHECKING:
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


class RunFolder:
    """A folder that appears under its name only when everything in it is on disk.

    Used as a context: ``with RunFolder(path) as folder: ... folder.work / "run.json"``. On an error or an
    interrupt nothing is left behind.

    Raises
    ------
    InputError
        If the folder exists and may not be overwritten, or cannot be made.
    RunFailed
        If the disk fills or a file cannot be written.
    """

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        self.path = path.absolute()
        self._overwrite = overwrite
        self.work = self.path.with_name(f".{self.path.name}.partial-{secrets.token_hex(4)}")
        if self.path.exists() and not overwrite:
            raise InputError(f"{path} exists already; choose another --out, or pass --overwrite")
        if self.path.exists() and not (self.path / "run.json").is_file() and any(self.path.iterdir()):
            raise InputError(f"{path} is not a run folder; it will not be overwritten")

    def __enter__(self) -> Self:
        try:
            self.work.mkdir(parents=True)
        except OSError as error:
            raise InputError(f"cannot write to {self.path.parent}: {error.strerror}") from None
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
            shutil.rmtree(self.work, ignore_errors=True)
        if isinstance(error, OSError):
            raise RunFailed(disk_message(error, self.path)) from None

    def write_json(self, name: str, data: Any) -> None:
        """Write plain data as JSON; infinities and NaN are refused."""
        text = json.dumps(data, indent=2, allow_nan=False, ensure_ascii=False)
        (self.work / name).write_text(text + "\n", encoding="utf-8")

    def publish(self, path: Path) -> None:
        """Sync everything and put it in place under ``path``, whatever stood there."""
        for file in sorted(self.work.rglob("*")):
            _sync(file)
        _sync(self.work)
        if path.exists():
            old = self.work.with_name(self.work.name + "-old")
            path.replace(old)
            try:
                self.work.replace(path)
            except OSError:
                old.replace(path)
                raise
            shutil.rmtree(old, ignore_errors=True)
        else:
            self.work.replace(path)
        _sync(path.parent)


def disk_message(error: OSError, path: Path) -> str:
    """What to tell about a failed write."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full; nothing was left at {path}"
    return f"could not write {path}: {error.strerror or error}; nothing was left there"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError) if path.is_dir() else contextlib.nullcontext():
            os.fsync(handle)
    finally:
        os.close(handle)
