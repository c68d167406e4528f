"""Input tables of a run, kept in its folder, so that the folder alone suffices to repeat the run."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from exoabm.errors import InputError
from exoabm.manifest import inside
from exoabm.output.run_folder import TABLE
from exoabm.scenario.loader import sha256_of_tables

if TYPE_CHECKING:
    from exoabm.output.run_folder import RunFolder
    from exoabm.scenario.loader import LoadedScenario

MOST_BYTES = 1 << 30
"""Tables above this size, such as HDF5 files with matrices, are left where they lie, and this is stated."""
PLACES = {"table": TABLE, "types_from": f"{TABLE}/types"}
"""Keys of the layout that name a table, and where in a run folder it is kept."""


def tables_of(loaded: LoadedScenario) -> dict[str, Path]:
    """The tables of a scenario, by their keys in the layout."""
    paths = {"table": loaded.table_path(), "types_from": loaded.types_path()}
    return {key: path for key, path in paths.items() if path is not None}


def table_sha256_of(loaded: LoadedScenario) -> str | None:
    """Hash of the layout's tables; None where they cannot be read, which the reader reports."""
    with contextlib.suppress(InputError):
        return loaded.table_sha256()
    return None


def keep_tables(folder: RunFolder, loaded: LoadedScenario, table_sha256: str | None) -> dict[str, str]:
    """Copy a scenario's tables into a run folder; their names there, by their keys in the layout.

    Raises
    ------
    InputError
        If they are no longer those of this checksum.
    """
    tables = tables_of(loaded)
    if sum(map(_size, tables.values())) > MOST_BYTES:
        folder.notes.append(
            f"the table of cells is larger than {MOST_BYTES >> 30} GiB and not kept in the run folder; "
            "the run can be repeated only while the file remains at its place"
        )
        return {}
    kept = {}
    for key, path in tables.items():
        kept[key] = f"{PLACES[key]}/{path.name}"
        copy(path, folder.work / kept[key])
    if sha256_of_tables([folder.work / name for name in kept.values()]) != table_sha256:
        raise InputError("the table of cells was changed while it was read; repeat the command")
    return kept


def copy(path: Path, to: Path) -> None:
    """Copy a file, or a folder such as a Zarr table, to a place that may not be there yet."""
    for name in inside(path) if path.is_dir() else ("",):  # shutil.copytree hides a full disk in words
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path / name, to / name)


def _size(path: Path) -> int:
    files = [path / name for name in inside(path)] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)
