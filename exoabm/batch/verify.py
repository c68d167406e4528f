"""Verification of the files of a run, a sweep or a trial by their checksums."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exoabm.batch.execution.batch_folder import JOURNAL
from exoabm.batch.execution.row_files import RUNS, SHARDS, chunk_path, read_chunk
from exoabm.batch.execution.rows import PLAN, Plan
from exoabm.errors import InputError
from exoabm.manifest import MANIFEST, Fault, faults, inside, listed
from exoabm.manifest import write as write_manifest
from exoabm.output.lock import LOCK
from exoabm.output.run_folder import UNFINISHED

if TYPE_CHECKING:
    from pathlib import Path

MOVING = frozenset({LOCK, JOURNAL, SHARDS, MANIFEST})
"""Names at the top of a batch that tell of its making; the journal is made again from the rows."""


def verify(folder: Path) -> list[Fault]:
    """Every file of a run, sweep or trial that is damaged, missing or foreign.

    A finished batch has a manifest of its own files and of the manifests of its runs; the rows of one that is
    not finished carry their own checksums.

    Raises
    ------
    InputError
        If there is no run, sweep or trial.
    """
    if (folder / PLAN).is_file():
        return _batch(folder)
    if (folder / MANIFEST).is_file() or (folder / "run.json").is_file():
        return faults(folder)
    place = folder.absolute()
    unfinished = place.with_name(f"{place.name.removesuffix(UNFINISHED)}{UNFINISHED}")
    if unfinished.is_dir():
        raise InputError(f"{unfinished} is an unfinished run: `exoabm resume` checks and resumes it")
    raise InputError(f"{folder} contains no run, sweep or trial")


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
