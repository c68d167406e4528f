"""Runs, batches and scenarios in other formats."""

from __future__ import annotations

import json
import os
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather

from exoabm.batch.execution.plan import PLAN
from exoabm.batch.execution.row_execution import ROWS, RUNS, SHARDS
from exoabm.batch.execution.row_journal import JOURNAL, verify
from exoabm.errors import InputError
from exoabm.export.exported_run import ExportedRun, kind_of
from exoabm.export.formats import RUN, TABLE_ENDINGS, format_of
from exoabm.export.type_exchange_tables import long_tables
from exoabm.manifest import MANIFEST, Fault, fault_list
from exoabm.output.durable_files import (
    atomic_file,
    atomic_folder,
    check_new,
    together,
    write_whole,
    writing_into,
)
from exoabm.output.folder_locks import LOCK
from exoabm.output.run_folder import check_finished
from exoabm.runs.input_tables import copy, tables_of
from exoabm.runs.provenance import Operation
from exoabm.scenario.loader import load, run_of
from exoabm.software import made_with
from exoabm.tables.parquet import read_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exoabm.export.formats import Format
    from exoabm.scenario.loader import LoadedScenario

COLUMNS = "columns.json"
"""Meaning of the columns of all tables, for which most formats have no place."""
INNER = frozenset({MANIFEST, PLAN, ROWS, RUNS, SHARDS, LOCK, JOURNAL})
"""Names at the top of a folder that are of its making."""


def export(
    source: Path,
    to: str | Path,
    fmt: str | None = None,
    *,
    overwrite: bool = False,
    partial: bool = False,
    options: Mapping[str, str] | None = None,
) -> tuple[list[Path], list[Fault]]:
    """Export a run, sweep or trial: its scenario, a format of another program, or all of its tables.

    Parameters
    ----------
    source : Path
    to : str or Path
        A ``.toml`` file for the scenario of a run; a name with the ending of a format; else a folder.
    fmt : str, optional
        Name of a format, or of those of tables; ``"csv"`` by default.
    overwrite, partial, options
        As for ``export_tables`` and ``export_format``.

    Raises
    ------
    InputError
        If something does not go together, is missing, damaged, or in the way.
    RunFailed
        If the disk fills.
    """
    to, run = Path(to), run_of(source)
    if run is not None and to.suffix == ".toml":
        if options:
            raise InputError("--set goes with a scenario; a run is exported as it was")
        if fmt is not None or partial:
            raise InputError(f"{to} is the scenario of the run: --format and --partial go with tables")
        return export_run_scenario(run, to, overwrite=overwrite), []
    if run is None and not (source / PLAN).is_file():
        check_finished(source)
    found = format_of(to, fmt)
    if found is None:
        if options:
            why = "tables are exported as they are"
            raise InputError(f"--set goes with a scenario or the format truth; {why}")
        return export_tables(run or source, to, fmt or "csv", overwrite=overwrite, partial=partial)
    if partial:
        raise InputError(f"--partial goes with a folder of tables, not with the format {found.name}")
    return [export_format(run or source, to, found, overwrite=overwrite, options=options)], []


def export_tables(
    source: Path, to: Path, fmt: str, *, overwrite: bool = False, partial: bool = False
) -> tuple[list[Path], list[Fault]]:
    """Write every table of a run, sweep or trial into ``to`` as csv, json (lines), arrow or numpy (npz).

    Other files (fields, graph, picture, JSON, the table of cells) are copied. Exchange between types
    is also written as long tables; see ``export.type_exchange_tables``. ``columns.json`` contains the meaning
    of the columns. All of it is written, or nothing.

    Parameters
    ----------
    source, to : Path
    fmt : str
    overwrite : bool
        Replace existing files.
    partial : bool
        Omit damaged or missing tables.

    Returns
    -------
    list of Path
        Written files.
    list of Fault
        Omitted parts, with ``partial``.

    Raises
    ------
    InputError
        If the folder contains no run, sweep or trial, or a missing or damaged part, the format is unknown,
        or a file exists already.
    RunFailed
        If the disk fills.
    """
    operation = Operation("export", **{"with": made_with()})
    if fmt not in TABLE_ENDINGS:
        raise InputError(f"--format {fmt}: one of {', '.join(TABLE_ENDINGS)}")
    if to.suffix in TABLE_ENDINGS.values():
        raise InputError(f"--to {to}: tables are written into a folder; choose a name without {to.suffix}")
    faults = [fault for fault in verify(source) if fault.state != "foreign"]
    if faults and not partial:
        raise InputError(f"{source}: {fault_list(faults)}; --partial exports the rest")
    if to.resolve() == source.resolve():
        raise InputError(f"--to {to} is the folder to be exported; choose another one")
    lost = {fault.name.split("/")[0] for fault in faults}
    parts = [path for path in sorted(source.iterdir()) if _is_part(path) and path.name not in lost]
    suffix = TABLE_ENDINGS[fmt]
    tables = {path: to / (path.stem + suffix) for path in parts if path.suffix == ".parquet"}
    long, unmade = _long_tables(source, partial)
    faults += unmade
    if not tables and not long and not faults:
        raise InputError(f"{source} contains no tables to export")
    copies = {path: to / path.name for path in parts if path not in tables}
    made = [to / (name + suffix) for name in long]
    written = [*tables.values(), *made, *([to / COLUMNS] if tables or made else []), *copies.values()]
    if twice := {path for path in written if written.count(path) > 1}:
        raise InputError(f"{source} holds two that would be exported as {min(twice).name}; rename one")
    check_new(*written, overwrite=overwrite)
    with writing_into(to), together() as stack:
        meanings = {}
        for path, target in tables.items():
            try:
                table = read_whole(path)
            except InputError as error:
                raise InputError(f"{source}: {error}") from None
            meanings[path.stem] = _meaning(table)
            _write(table, stack.enter_context(atomic_file(target)), fmt)
        for (name, table), target in zip(long.items(), made, strict=True):
            meanings[name] = _meaning(table)
            _write(table, stack.enter_context(atomic_file(target)), fmt)
        if meanings:
            text = json.dumps(meanings, indent=2, ensure_ascii=False)
            stack.enter_context(atomic_file(to / COLUMNS)).write_text(text + "\n", encoding="utf-8")
        for path, target in copies.items():
            if path.name == "run.json":
                text = _with_row(path, operation)
                stack.enter_context(atomic_file(target)).write_text(text, encoding="utf-8")
            elif path.is_dir():
                copy(path, stack.enter_context(atomic_folder(target, overwrite=overwrite)))
            else:
                copy(path, stack.enter_context(atomic_file(target)))
    return written, faults


def _with_row(path: Path, operation: Operation) -> str:
    """``run.json`` with a row for the export."""
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        about["operations"].append(operation.row())
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{path} cannot be read: {type(error).__name__}: {error}") from None
    return json.dumps(about, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _long_tables(source: Path, partial: bool) -> tuple[dict[str, pa.Table], list[Fault]]:
    """Exchange between types as long tables; with ``partial`` a fault where they cannot be made."""
    try:
        return long_tables(source), []
    except InputError:
        if not partial:
            raise
        return {}, [Fault("long table of pairs", "not made")]


def export_format(
    source: Path,
    to: Path,
    fmt: Format,
    *,
    overwrite: bool = False,
    options: Mapping[str, str] | None = None,
) -> Path:
    """Export a run, sweep or trial to a format of other programs, completely or not at all.

    ``options`` are values of those of the format, by name; see ``Format.options``.

    Raises
    ------
    InputError
        If the folder holds nothing that can be written so, a part of it is missing or damaged, or something
        stands in the way.
    RunFailed
        If the disk fills.
    """
    if options and not fmt.options:
        raise InputError(f"--set {min(options)}: the format {fmt.name} has no options")
    faults = [fault for fault in verify(source) if fault.state != "foreign"]
    if faults:
        raise InputError(f"{source}: {fault_list(faults)}")
    kind = kind_of(source)
    if kind not in fmt.of:
        made_of = " or a ".join(fmt.of)
        raise InputError(f"the format {fmt.name} is made of a {made_of}, and {source} is a {kind}")
    if source.resolve() == to.resolve():
        raise InputError(f"--to {to} is the folder to be exported; choose another one")
    if os.path.lexists(to):
        _check_replaceable(to, fmt, overwrite)
    write = pkgutil.resolve_name(fmt.writer)
    placing = atomic_folder(to, overwrite=overwrite) if fmt.folder else atomic_file(to)
    with writing_into(to.parent, to), placing as partial:
        given = (options or {},) if fmt.options else ()
        write(ExportedRun(source) if kind == RUN else source, partial, *given)
    return to


def _check_replaceable(to: Path, fmt: Format, overwrite: bool) -> None:
    """Refuse to replace anything unasked, and a folder that is of another making at all."""
    check_new(to, overwrite=overwrite)
    if to.is_dir() if not fmt.folder else not (to / fmt.folder).is_file():
        raise InputError(f"{to} is not a {fmt.name} that could be replaced; choose another --to")


def export_scenario(loaded: LoadedScenario, to: Path, *, overwrite: bool = False) -> Path:
    """Write a scenario as TOML with every default filled in and every source named; a start for your own.

    A layout's table is named by its full path.
    """
    return _write_scenario(loaded, to, {key: str(path) for key, path in tables_of(loaded).items()}, overwrite)


def export_run_scenario(run: Path, to: Path, *, overwrite: bool = False) -> list[Path]:
    """Write the scenario of a run as TOML, with its tables of cells in the same folder.

    Raises
    ------
    InputError
        If the run is damaged, or a file stands in the way.
    """
    loaded = load(run)
    tables = tables_of(loaded)
    beside = {key: to.with_name(f"{to.stem}.{path.name}") for key, path in tables.items()}
    check_new(*beside.values(), overwrite=overwrite)
    with writing_into(to.parent, to), together() as stack:
        for key, path in beside.items():
            folder = tables[key].is_dir()
            placing = atomic_folder(path, overwrite=overwrite) if folder else atomic_file(path)
            copy(tables[key], stack.enter_context(placing))
        written = _write_scenario(loaded, to, {key: path.name for key, path in beside.items()}, overwrite)
    return [written, *beside.values()]


def _write_scenario(loaded: LoadedScenario, to: Path, tables: dict[str, str], overwrite: bool) -> Path:
    import tomli_w

    check_new(to, overwrite=overwrite)
    if to.suffix != ".toml":
        raise InputError(f"--to {to}: a scenario is written to a file whose name ends in .toml")
    data = loaded.resolved()
    data["layout"] |= tables
    with writing_into(to.parent, to):
        write_whole(to, tomli_w.dumps(data).encode())
    return to


def _is_part(path: Path) -> bool:
    return path.name not in INNER and not path.name.startswith(".")


def _meaning(table: pa.Table) -> dict[str, Any]:
    """Metadata of a table and its columns."""
    about = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items() if b":" not in k}
    about.pop("pandas", None)
    columns = {}
    for field in table.schema:
        metadata = {k.decode(): v.decode() for k, v in (field.metadata or {}).items() if b":" not in k}
        columns[field.name] = {"type": str(_plain(field).type), **metadata}
    return {"about": about, "columns": columns}


def _plain(field: pa.Field) -> pa.Field:
    return field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field


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
            for batch in table.to_batches(max_chunksize=50_000):
                file.writelines(json.dumps(row) + "\n" for row in batch.to_pylist())


def _undictionaried(table: pa.Table) -> pa.Table:
    return table.cast(pa.schema([_plain(field) for field in table.schema]))


def _as_numpy(column: pa.ChunkedArray) -> np.ndarray:
    """A column as an array; text that is not there is empty, numbers are NaN."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type):
        return np.array(column.fill_null("").to_pylist(), dtype=np.str_)
    return np.asarray(column.to_numpy(zero_copy_only=False))
