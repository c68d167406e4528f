"""Places of results: a folder of the caller's or a temporary one, and copies that are whole or absent."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exoabm.manifest import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


def place_of(out: str | Path | None, name: str) -> tuple[Any, Path]:
    """The folder for results, and the temporary one that holds it if none was named."""
    if out is not None:
        return None, Path(out)
    home = tempfile.TemporaryDirectory(prefix="exoabm-")
    return home, Path(home.name) / name


def save_folder(source: Path, to: Path, *, overwrite: bool = False) -> None:
    """Copy a folder of results, whole or not at all; one with a manifest or of the same names is replaced.

    Raises
    ------
    InputError
        If something stands there that may not be replaced, or it cannot be written.
    RunFailed
        If the disk is full.
    """
    from exoabm.output.durable_files import atomic_folder, check_new, folder_errors
    from exoabm.runs.input_tables import copy

    if os.path.lexists(to):
        ours = {path.name for path in source.iterdir()}
        results = to.is_dir() and ((to / MANIFEST).is_file() or {path.name for path in to.iterdir()} <= ours)
        check_new(to, overwrite=overwrite and results)
    with folder_errors(to.parent), atomic_folder(to, overwrite=overwrite) as partial:
        copy(source, partial)


@contextlib.contextmanager
def saved_folder(to: Path, names: Collection[str], *, overwrite: bool = False) -> Iterator[Path]:
    """A folder to fill with files of these names, put in place whole or not at all; see ``save_folder``."""
    from exoabm.output.durable_files import atomic_folder, check_room, folder_errors

    check_room(to, names, overwrite=overwrite)
    with folder_errors(to.parent), atomic_folder(to, overwrite=overwrite) as partial:
        yield partial


def save_json(data: Any, to: Path, *, overwrite: bool = False) -> Path:
    """Write plain data as JSON, whole or not at all; see ``save_folder``."""
    from exoabm.output.durable_files import check_new, write_whole, writing_into

    check_new(to, overwrite=overwrite and to.is_file())
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
    with writing_into(to.parent):
        write_whole(to, (text + "\n").encode())
    return to
