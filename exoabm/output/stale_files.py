"""Leftovers of terminated runs: found, described, and removed where no process is active."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from exoabm.errors import InputError, command_line
from exoabm.output.lock import LOCK, check_free
from exoabm.output.run_folder import CHECKPOINT, UNFINISHED

if TYPE_CHECKING:
    from collections.abc import Iterator

DEEPER = ("runs", "trials")
"""Folders that are searched as well: the default places of the commands."""


def check_finished(folder: Path) -> None:
    """Refuse the place of an unfinished run, or the folder of its work, where a finished one is needed.

    Raises
    ------
    InputError
        With the command that resumes it.
    """
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
