"""Runs and scenarios in other formats."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather

from exoabm.errors import InputError
from exoabm.observe.run_folder import placed
from exoabm.observe.tables import read_whole

if TYPE_CHECKING:
    from exoabm.scenario.loader import LoadedScenario

FORMATS = ("csv", "json", "arrow", "numpy")


def export_run(run: Path, to: Path, fmt: str, *, overwrite: bool = False) -> list[Path]:
    """Write every table of a run folder into ``to`` as csv, json (lines), arrow or numpy (npz).

    Returns
    -------
    list of Path
        The files written, the graph (GraphML) and the run's own JSON files among them.

    Raises
    ------
    InputError
        If the folder holds no run, the format is unknown, or a file stands in the way.
    """
    if fmt not in FORMATS:
        raise InputError(f"--format {fmt}: one of {', '.join(FORMATS)}")
    if not (run / "run.json").is_file():
        raise InputError(f"{run} holds no run (there is no run.json in it)")
    suffix = {"csv": ".csv", "json": ".jsonl", "arrow": ".arrow", "numpy": ".npz"}[fmt]
    tables = {path: to / (path.stem + suffix) for path in sorted(run.glob("*.parquet"))}
    copies = {run / n: to / n for n in ("communication.graphml", "summary.json", "run.json")}
    copies = {source: target for source, target in copies.items() if source.is_file()}
    if to.exists() and to.samefile(run):
        raise InputError(f"--to {to} is the run itself; choose another folder")
    standing = [target for target in (*tables.values(), *copies.values()) if target.exists()]
    if standing and not overwrite:
        raise InputError(f"{standing[0]} exists already; choose another --to, or pass --overwrite")
    try:
        to.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:  # all of them, or none
            for source, target in tables.items():
                _write(read_whole(source), stack.enter_context(placed(target)), fmt)
            for source, target in copies.items():
                shutil.copyfile(source, stack.enter_context(placed(target)))
    except InputError as error:
        raise InputError(f"{run}: {error}") from None
    except OSError as error:
        raise InputError(f"cannot write to {to}: {error.strerror or error}") from None
    return [*tables.values(), *copies.values()]


def export_scenario(loaded: LoadedScenario, to: Path, *, overwrite: bool = False) -> Path:
    """Write a scenario as TOML with every default filled in and every source named; a start for your own.

    A layout's table is named by its full path.
    """
    import tomli_w

    if to.exists() and not overwrite:
        raise InputError(f"{to} exists already; choose another --to, or pass --overwrite")
    if to.suffix != ".toml":
        raise InputError(f"--to {to}: a scenario is written to a file whose name ends in .toml")
    data = loaded.resolved()
    table = loaded.table_path()
    if table is not None:
        data["layout"]["table"] = str(table)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(tomli_w.dumps(data), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {to}: {error.strerror or error}") from None
    return to


def _write(table: pa.Table, target: Path, fmt: str) -> None:
    if fmt == "csv":
        pa.csv.write_csv(_undictionaried(table), target)
    elif fmt == "arrow":
        pa.feather.write_feather(table, str(target), compression="uncompressed")
    elif fmt == "numpy":
        columns = {name: _as_numpy(table[name]) for name in table.column_names}
        with target.open("wb") as packed:
            np.savez_compressed(packed, allow_pickle=False, **columns)
    else:
        with target.open("w", encoding="utf-8") as file:
            import json

            for batch in table.to_batches(max_chunksize=50_000):
                file.writelines(json.dumps(row) + "\n" for row in batch.to_pylist())


def _undictionaried(table: pa.Table) -> pa.Table:
    fields = [f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in table.schema]
    return table.cast(pa.schema(fields))


def _as_numpy(column: pa.ChunkedArray) -> np.ndarray:
    """A column as an array; text that is not there is empty, numbers are NaN."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type):
        return np.array(column.fill_null("").to_pylist(), dtype=np.str_)
    return np.asarray(column.to_numpy(zero_copy_only=False))
