"""What a reader brings: a table of cells, a finished run folder. Capped, checked, kept apart, never trusted.

A table is read by ``readers.cell_table`` and stands in the scenario *tissue* in place of its own; each label
of the table is given a cell type. A run folder comes as a zip archive, of which only the files that a run
folder has are unpacked, and no more of each than it says that it is long.
"""

from __future__ import annotations

import io
import re
import shutil
import tempfile
import zipfile
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from exoabm.errors import InputError, command_line, set_options, visible
from exoabm.manifest import MANIFEST, fault_list, faults
from exoabm.readers.binary_table import UNPACKED, read_flat
from exoabm.readers.cell_table import check_distinct_positions, read_cells
from exoabm.readers.cell_types import map_labels, toml_key
from exoabm.readers.options import BYSTANDER, TableOptions
from exoabm.scenario.loader import TABLE_SCENARIO, LoadedScenario, parse, shipped
from exoabm.scenario.scenario_from_table import scenario_of_table
from exoabm.tables.declarations import METRICS
from exoabm.tables.finished_run import Run
from exoabm.viz.results.cells_and_space import Cells, cells_of, read_about, scenario_of
from exoabm.viz.results.charts import column_labels, default_column
from exoabm.viz.results.communication_data import CommunicationData
from exoabm.viz.run_setup import Setup
from exoabm.viz.server.limits import LIMITS, read_in_sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping


SUFFIXES = {b"PAR1": ".parquet", b"\x1f\x8b": ".csv.gz", b"\x89HDF": ".h5ad"}
"""Endings by the first bytes of a file."""
MOST_TABLE_BYTES = 8 << 20
MOST_LABELS = 40
VOXELS = (5.0, 10.0, 20.0)
"""In um, from the finest; at 20 um two neighbors share a voxel."""
MOST_RUN_BYTES = 64 << 20
"""Of a zipped run folder; unpacked it may be four times that."""
MOST_VALUES = 1 << 24
"""Of a table in it: 20,000 cells with 16 columns at 50 times."""
MOST_JSON_BYTES = 8 << 20
MOST_FILES = 4000
READ = (*(table.name for table in METRICS), "cells", "cells_by_kind", "edges", "lineage")
TABLES = tuple(f"{name}.parquet" for name in READ)
WANTED = (MANIFEST, "run.json", "summary.json", "preview.png", *TABLES)
BAD_ARCHIVE = (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, RuntimeError, EOFError, OSError)
"""What the standard library raises over archives that are damaged, locked or of an unknown method."""
PREVIEW_START = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class TableSetup(Setup):
    """A setup whose cells stand in a table of the reader's own.

    Attributes
    ----------
    file : Path
        The table, in a folder of its own; nothing outside it is read.
    types : tuple of (str, str)
        Labels of the table and the cell types that they mean; other labels are bystanders.
    given : str
        The name of the file as the reader has it.
    answers : tuple of (str, str)
        Keys of the layout and what the reader answered, as the unit.
    voxel : float
        In um.
    """

    file: Path = field(default_factory=Path)
    given: str = ""
    types: tuple[tuple[str, str], ...] = ()
    answers: tuple[tuple[str, str], ...] = ()
    voxel: float = 5.0

    def load(self) -> LoadedScenario:
        """See ``Setup``."""
        return parse(
            scenario_of_table(self.file),
            name=self.scenario,
            folder=self.file.parent,
            overrides={**self._own, **dict(self.overrides)},
            trusted=False,
        )

    @property
    def _own(self) -> dict[str, str]:
        """What makes the scenario that of the table, as keys and values of ``--set``."""
        pairs = ", ".join(f'{toml_key(label)} = "{name}"' for label, name in self.types)
        return {
            **{f"layout.{key}": value for key, value in self.answers},
            "layout.type_map": f"{{{pairs}}}",
            "layout.unmapped": "bystander",
            "domain.voxel": f"{self.voxel:g} um",
        }

    @property
    def title(self) -> str:
        """The name of the table as the reader has it."""
        return self.given

    @property
    def command(self) -> str:
        """The command line that runs the same, where the table lies in the folder at hand."""
        return command_line("run", self.given, "--seed", self.seed, *set_options(self._own), *self._sets)


class UploadFolder:
    """A folder for what one reader brought; gone when it is closed."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="exoabm-")
        self._count = 0

    def place(self) -> Path:
        """A new empty folder in it."""
        self._count += 1
        path = Path(self._folder.name) / str(self._count)
        path.mkdir()
        return path

    def close(self) -> None:
        """Remove all of it."""
        self._folder.cleanup()


@dataclass(frozen=True)
class UploadedTable:
    """A table that could be read: its labels, how many cells have each, and the cell type each would be.

    A label that means nothing to the scenario is a bystander until the reader says otherwise.
    """

    file: Path
    cells: int
    labels: dict[str, int]
    types: dict[str, str]
    known: tuple[str, ...]
    voxel: float
    given: str
    recognized: str
    warnings: tuple[str, ...]
    answers: tuple[tuple[str, str], ...] = ()

    def setup(self, types: Mapping[str, str], seed: int = 1) -> TableSetup:
        """The setup with these cell types; labels without one are bystanders.

        Raises
        ------
        InputError
            If a type is none of the scenario's.
        """
        chosen = {label: types.get(label, self.types[label]) for label in self.labels}
        for label, name in chosen.items():
            if name not in (*self.known, BYSTANDER):
                raise InputError(f"{label!r}: no cell type {name[:60]!r}; known: {', '.join(self.known)}")
        pairs = tuple((label, name) for label, name in chosen.items() if name != BYSTANDER)
        return TableSetup(
            self.file.name, (), seed, False, self.file, self.given, pairs, self.answers, self.voxel
        )


def read_table_upload(
    uploads: UploadFolder, name: str, data: bytes, answers: Mapping[str, str] | None = None
) -> UploadedTable:
    """Keep and read a table of cells; ``answers`` are keys of the layout and their values, as the unit.

    Raises
    ------
    Unanswered
        If the table leaves something open, as ``readers.cell_table`` has it.
    InputError
        Naming the file, the column and the row.
    """
    given = dict(answers or {})
    options: dict[str, Any] = {key: (value,) if key == "where" else value for key, value in given.items()}
    asked = TableOptions(**options)
    if len(data) > MOST_TABLE_BYTES:
        raise InputError(
            f"{_safe_name(name)}: larger than the {MOST_TABLE_BYTES >> 20} MiB that the page takes"
        )
    suffix = next((end for start, end in SUFFIXES.items() if data.startswith(start)), ".csv")
    file = uploads.place() / (_safe_name(name) + suffix)
    file.write_bytes(data)
    if suffix in (".parquet", ".h5ad"):
        read_in_sandbox(read_cells, file, max_bytes=MOST_TABLE_BYTES, max_cells=LIMITS.cells)
    table = read_cells(file, asked, max_bytes=MOST_TABLE_BYTES, max_cells=LIMITS.cells)
    check_distinct_positions(table.name, table.positions, table.rows, table.images)
    labels = table.labels.counts()
    if len(labels) > MOST_LABELS:
        raise InputError(
            f"{file.name}: {len(labels)} different cell types; the page takes up to {MOST_LABELS}. "
            "Is this the column of cell types?"
        )
    host = parse(shipped()[TABLE_SCENARIO].read_bytes(), name=TABLE_SCENARIO, folder=file.parent).scenario
    known = tuple(cell.name for cell in host.cell_type)
    meant = map_labels(labels, host.layout.type_map, known, "bystander", class_prefix=table.class_prefix)
    return UploadedTable(
        file=file,
        cells=len(table),
        labels=labels,
        types=meant,
        known=known,
        given=_basename(name),
        recognized=table.recognized(),
        warnings=table.warnings,
        answers=tuple(given.items()),
        voxel=_voxel(np.ptp(table.positions[:, :2], axis=0) + 2 * float(host.domain.margin)),
    )


def _voxel(extent: np.ndarray) -> float:
    """The finest voxel, in um, with which a slab of this extent is not too large for the page."""
    for voxel in VOXELS:
        if np.prod(np.ceil(extent / voxel)) <= LIMITS.voxels:
            return voxel
    raise InputError(
        f"the cells spread over {extent[0]:.0f} x {extent[1]:.0f} um, more than the page can hold; "
        "choose a part of them, or use the command line"
    )


@dataclass(frozen=True)
class FinishedRun:
    """A run folder that was opened: what it says of itself, its tables, its exchange at the end.

    There is an exchange for each sort of particles that came. ``moments`` are the recorded times in s, and
    ``cells_at`` gives the cells at one of them with the particles of a particles that each had taken up.
    """

    name: str
    folder: Path
    title: str
    facts: tuple[tuple[str, str], ...]
    metrics: pa.Table
    moments: np.ndarray
    communications: tuple[CommunicationData, ...]
    preview: bytes
    summary: str
    columns: dict[str, str]
    first: str
    _cells: pa.Table = field(repr=False)
    _by_kind: pa.Table = field(repr=False)

    @property
    def communication(self) -> CommunicationData:
        """Of what is pictured: vesicles, if any came."""
        return self.communications[0]

    def cells_at(self, index: int, particles: int = 0) -> tuple[Cells, np.ndarray]:
        """Cells at a recorded moment, and how many of a particles each had taken up by then."""
        time = float(self.moments[min(max(index, 0), len(self.moments) - 1)])
        rows = self._cells.filter(pc.equal(self._cells["time_s"], time))
        chosen = pa.array(self.communications[particles].kinds, pa.string())
        counts = self._by_kind.filter(
            pc.and_(
                pc.equal(self._by_kind["time_s"], time),
                pc.is_in(self._by_kind["vesicle_kind"].cast(pa.string()), chosen),
            )
        )
        at = pc.index_in(counts["cell"].combine_chunks(), value_set=rows["cell"].combine_chunks())
        known = np.asarray(pc.is_valid(at))
        place = np.asarray(pc.fill_null(at, 0), np.int64)[known]
        taken = np.bincount(place, counts["taken_up"].to_numpy()[known], len(rows))
        return cells_of(rows, self.communication.cells.styles), taken


def read_run_upload(uploads: UploadFolder, name: str, data: bytes) -> FinishedRun:
    """Unpack a zipped run folder and open it.

    Raises
    ------
    InputError
        If it is no zip archive, too large, holds no run, or one that cannot be read.
    """
    if len(data) > MOST_RUN_BYTES:
        raise InputError(
            f"{_safe_name(name)}: larger than the {MOST_RUN_BYTES >> 20} MiB that the page takes"
        )
    folder = uploads.place()
    try:
        _unpack(data, folder)
        _check_sizes(folder)
        return open_run(folder, name=_safe_name(name), uploaded=True)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def is_run(named: str) -> bool:
    """Whether a name given on the command line is that of a finished run folder."""
    try:
        return named not in shipped() and (Path(named) / "run.json").is_file()
    except (OSError, ValueError):
        return False


def open_run(folder: Path, *, name: str = "", uploaded: bool = False) -> FinishedRun:
    """Open a finished run folder; of one that was brought, only what the page takes is there.

    Raises
    ------
    InputError
        If it holds no run, or one that cannot be read.
    """
    name = name or folder.name
    if not (folder / "run.json").is_file():
        raise InputError(f"{name} holds no run (there is no run.json in it)")
    looked = [each for each in WANTED[1:] if (folder / each).is_file()] if uploaded else None
    damage = [fault for fault in faults(folder, looked) if fault.state != "foreign"]
    if damage:
        raise InputError(f"{name}: {fault_list(damage)}")
    about = read_about(folder)
    communications = tuple(replace(each, of=name) for each in CommunicationData.all_of_folder(folder))
    links = communications[0]
    try:
        run = Run(folder, name)
        metrics, cells, kinds = run.metrics, run.need("cells"), run.need("cells_by_kind")
        moments = np.unique(cells["time_s"].to_numpy())
        if not len(metrics) or not np.isfinite(moments).all():
            raise InputError(f"{name}: metrics.parquet has no times")
        seed, engine = int(about["seed"]), str(about["engine"])
        version = str(about["versions"]["exoabm"])
        scenario = scenario_of(about)
    except (OSError, KeyError, ValueError, TypeError, pa.ArrowException) as error:
        raise InputError(f"{name}: not a readable run folder: {str(error)[:200]}") from None
    columns = column_labels(scenario, [name for name in metrics.column_names if name != "time_h"])
    preview = folder / "preview.png"
    image = preview.read_bytes() if preview.is_file() else b""
    return FinishedRun(
        name=name,
        folder=folder,
        title=scenario.info.title,
        facts=(
            ("scenario", str(about.get("scenario_name", ""))[:80]),
            ("seed", str(seed)),
            ("engine", engine[:40]),
            ("model time", f"{links.hours:g} h"),
            ("cells", f"{int(links.cells.alive.sum()):,}"),
            ("links", f"{sum(map(len, communications)):,}"),
            ("exoabm", version[:40]),
        ),
        metrics=metrics,
        moments=moments,
        communications=communications,
        preview=image if image.startswith(PREVIEW_START) else b"",
        summary=scenario.info.question or scenario.info.summary,
        columns=columns,
        first=default_column(scenario, columns),
        _cells=cells,
        _by_kind=kinds,
    )


def _unpack(data: bytes, folder: Path) -> None:
    """Write the wanted files of the one run folder in an archive; names lead nowhere else."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_FILES:
                raise InputError(f"the archive has {len(entries)} files; a run folder has fewer")
            root = _root([entry.filename for entry in entries])
            chosen = [(e, w) for e in entries for w in WANTED if e.filename == root + w]
            if sum(entry.file_size for entry, _ in chosen) > UNPACKED * MOST_RUN_BYTES:
                raise InputError("unpacked, the run would be larger than the page takes")
            for entry, wanted in chosen:
                with archive.open(entry) as packed, (folder / wanted).open("wb") as target:
                    left = entry.file_size
                    while left > 0 and (part := packed.read(min(left, 1 << 20))):
                        left -= target.write(part)
    except BAD_ARCHIVE as error:
        raise InputError(f"not a readable zip archive: {str(error)[:120]}") from None


def _check_sizes(folder: Path) -> None:
    """Refuse files that would be far larger in memory than they are on disk."""
    for name in ("run.json", "summary.json"):
        if (folder / name).is_file() and (folder / name).stat().st_size > MOST_JSON_BYTES:
            raise InputError(f"{name}: larger than the {MOST_JSON_BYTES >> 20} MiB that the page takes")
    for name in TABLES:
        if (folder / name).is_file():
            limits = {"most_values": MOST_VALUES, "most_bytes": UNPACKED * MOST_RUN_BYTES}
            read_in_sandbox(read_flat, folder / name, columns=None, **limits)
            try:
                read_flat(folder / name, columns=None, **limits)
            except (pa.ArrowException, OSError, ValueError, KeyError) as error:
                raise InputError(f"{name}: {str(error)[:200]}") from None


def _root(names: list[str]) -> str:
    """The folder in the archive that ``run.json`` stands in, "" for the top."""
    pattern = re.compile(r"(?:[^/\\]{1,100}/)?run\.json")
    found = [name.removesuffix("run.json") for name in names if pattern.fullmatch(name)]
    if len(found) != 1:
        raise InputError("the archive must hold one run folder, with run.json in it")
    return found[0]


def _basename(name: str) -> str:
    """The name of a file as its owner has it, without a path."""
    return visible(name.replace("\\", "/").rpartition("/")[2])[:200] or "cells.csv"


def _safe_name(name: str) -> str:
    """A file name without path, suffix or odd letters, fit to be shown and to name a file."""
    stem = Path(name.replace("\\", "/")).name.rsplit(".", 1)[0]
    return re.sub(r"[^A-Za-z0-9_\-]+", "_", stem).strip("_")[:60] or "upload"
