"""The manifest of a folder: the SHA-256 of every file written into it, by which damage is detected."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from exoabm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MANIFEST = "manifest.json"
MOST_LISTED = 5
"""Faults that an error names; ``exoabm verify`` names all."""


@dataclass(frozen=True)
class Fault:
    """A file that is not as it was written: ``state`` is damaged, missing or foreign (not written by us)."""

    name: str
    state: str

    def __str__(self) -> str:
        return f"{self.name} is {self.state}"


def write(folder: Path, names: Iterable[str]) -> None:
    """Write ``manifest.json``: name, SHA-256 and size of each of these files, sorted by name."""
    files = {
        name: {"sha256": sha256(folder / name), "bytes": (folder / name).stat().st_size}
        for name in sorted(names)
    }
    text = json.dumps({"files": files, "sha256": _digest(files)}, indent=1, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def seal(folder: Path) -> None:
    """Write the manifest of a folder of finished results: of every file in it.

    Of a folder inside that has a manifest of its own, this manifest stands for its files.
    """
    names = [name for name in inside(folder) if name != MANIFEST]
    sealed = sealed_inside(names)
    write(folder, (name for name in names if _sealed_by(name, sealed) in (None, name)))


def unseal(folder: Path) -> None:
    """Remove the manifest of results that are continued: they are finished again when they are sealed."""
    (folder / MANIFEST).unlink(missing_ok=True)


@contextlib.contextmanager
def unsealed(folder: Path) -> Iterator[None]:
    """Results of which some are written again and then sealed; on an error the manifest is put back."""
    aside = folder / f".{MANIFEST}.replaced"
    aside.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        (folder / MANIFEST).replace(aside)
    try:
        yield
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            aside.replace(folder / MANIFEST)
        raise
    aside.unlink(missing_ok=True)


def sealed_inside(names: Iterable[str]) -> list[str]:
    """Manifests among the names of files of folders inside, without those below others."""
    found = sorted((name for name in names if name.endswith(f"/{MANIFEST}")), key=len)
    return [name for i, name in enumerate(found) if _sealed_by(name, found[:i]) is None]


def _sealed_by(name: str, manifests: Iterable[str]) -> str | None:
    """Of these manifests of folders the one whose folder holds a file."""
    return next((each for each in manifests if name.startswith(each.removesuffix(MANIFEST))), None)


def listed(folder: Path) -> tuple[str, ...]:
    """Names that the manifest of a folder has; none where it is missing or damaged."""
    return tuple(_read(folder)[0])


def check_outside(path: Path) -> None:
    """Refuse a place for results inside finished ones, to which they would be foreign.

    Raises
    ------
    InputError
        Naming the folder around it.
    """
    place = Path(os.path.realpath(path))  # ``..`` and links do not count as folders around it
    around = next((each for each in place.parents if listed(each)), None)
    if around is not None:
        raise InputError(f"{path} lies inside {around}, which holds finished results; choose a place outside")


def faults(folder: Path, only: Iterable[str] | None = None) -> list[Fault]:
    """What is damaged or missing in a folder, by its manifest, and what is foreign to it.

    Parameters
    ----------
    folder : Path
    only : iterable of str, optional
        Look at these files, and those below these folders; then nothing is foreign.
    """
    files, fault = _read(folder)
    if fault is not None:
        return [fault]
    looked = tuple(files) if only is None else _chosen(files, only)
    found = [fault for name in looked if (fault := _fault(folder, name, files.get(name))) is not None]
    if only is None:
        found += [Fault(name, "foreign") for name in inside(folder) if name not in files and name != MANIFEST]
    return found


def demand(folder: Path, only: Iterable[str] | None = None) -> None:
    """Refuse a folder in which a file is damaged or missing; what is foreign does no harm.

    Parameters
    ----------
    folder : Path
    only : iterable of str, optional
        As for ``faults``.

    Raises
    ------
    InputError
        Naming the first of them.
    """
    found = [fault for fault in faults(folder, only) if fault.state != "foreign"]
    if found:
        raise InputError(f"{folder}: {fault_list(found)}")


def fault_list(found: list[Fault]) -> str:
    """The first faults, in words."""
    more = f" and {len(found) - MOST_LISTED} more" if len(found) > MOST_LISTED else ""
    return f"{', '.join(map(str, found[:MOST_LISTED]))}{more}"


def inside(folder: Path) -> Iterator[str]:
    """Every file below a folder by its name there, in order."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_dir():
            yield path.relative_to(folder).as_posix()


def sha256(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(folder: Path) -> tuple[dict[str, dict[str, object]], Fault | None]:
    try:
        plain = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if plain["sha256"] == _digest(plain["files"]) and all(map(_stays_inside, plain["files"])):
            return plain["files"], None
    except FileNotFoundError:
        return {}, Fault(MANIFEST, "missing")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    return {}, Fault(MANIFEST, "damaged")


def _stays_inside(name: str) -> bool:
    return not Path(name).is_absolute() and ".." not in Path(name).parts


def _digest(files: dict[str, dict[str, object]]) -> str:
    text = json.dumps(files, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _chosen(files: Iterable[str], only: Iterable[str]) -> tuple[str, ...]:
    names = tuple(files)
    chosen: dict[str, None] = {}
    for each in only:
        chosen |= dict.fromkeys([name for name in names if name.startswith(f"{each}/")] or [each])
    return tuple(chosen)


def _fault(folder: Path, name: str, entry: dict[str, object] | None) -> Fault | None:
    path = folder / name
    try:
        if entry is None or not path.is_file():
            return Fault(name, "missing" if entry is not None or not path.exists() else "foreign")
        whole = path.stat().st_size == entry["bytes"] and sha256(path) == entry["sha256"]
    except OSError:
        whole = False
    return None if whole else Fault(name, "damaged")
