"""A finished run, sweep or trial, as its folder has it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from exoabm.batch.sweeps.rows import PLAN
from exoabm.errors import InputError
from exoabm.export.formats import RUN, SWEEP, TRIAL
from exoabm.scenario.builder import BYSTANDER, BYSTANDER_DIAMETER
from exoabm.scenario.loader import load, read_run
from exoabm.tables.parquet import read_whole
from exoabm.tables.run import open_run

if TYPE_CHECKING:
    from exoabm.scenario.loader import LoadedScenario
    from exoabm.scenario.schema import Scenario


ROUNDING = 1e-6
"""s by which times of two tables may differ, for rounding; assumed."""


class Finished:
    """Input of format writers; parts are read on first access and cached.

    Attributes
    ----------
    folder : Path
    kind : str
        "run", "sweep" or "trial".
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        batch = TRIAL if (folder / "trial.json").is_file() else SWEEP
        self.kind = batch if (folder / PLAN).is_file() else RUN

    def table(self, name: str) -> pa.Table:
        """A table of the folder, by the name of its file.

        Raises
        ------
        InputError
            If it is missing or cannot be read.
        """
        try:
            return read_whole(self.folder / name)
        except FileNotFoundError:
            raise InputError(f"{self.folder} holds no {name}, which this format requires") from None
        except InputError as error:
            raise InputError(f"{self.folder}: {error}") from None

    @cached_property
    def about(self) -> dict[str, Any]:
        """``run.json``."""
        return read_run(self.folder)

    @cached_property
    def loaded(self) -> LoadedScenario:
        """The scenario of a run."""
        return load(self.folder)

    @property
    def scenario(self) -> Scenario:
        """Its checked content."""
        return self.loaded.scenario

    @cached_property
    def metrics(self) -> pa.Table:
        """Time series side by side; see ``tables.run``."""
        return open_run(self.folder).metrics

    @cached_property
    def cells(self) -> pa.Table:
        """``cells.parquet``: a row per cell and recorded time."""
        return self.table("cells.parquet")

    @cached_property
    def _begins(self) -> tuple[np.ndarray, np.ndarray]:
        """Recorded times of cells in s, and the rows at which they begin; then the number of all rows."""
        times, begins = np.unique(np.asarray(self.cells["time_s"]), return_index=True)
        return times, np.append(begins, len(self.cells))

    def cells_at(self, time_s: float) -> pa.Table:
        """Of these the rows that were recorded last until this time, without cells that had died by then."""
        times, begins = self._begins
        last = int(np.searchsorted(times, time_s + ROUNDING, "right")) - 1
        if last < 0:
            return self.cells.slice(0, 0)
        rows = self.cells.slice(begins[last], begins[last + 1] - begins[last])
        if self.lineage is None:
            return rows
        dead = pc.less_equal(self.lineage["died_s"], time_s + ROUNDING)
        gone = self.lineage["cell"].filter(pc.fill_null(dead, False))
        return rows.filter(pc.invert(pc.is_in(rows["cell"], gone.combine_chunks())))

    @cached_property
    def first_cells(self) -> pa.Table:
        """Of these the rows of the first recorded time."""
        return self.cells_at(0.0)

    @cached_property
    def last_cells(self) -> pa.Table:
        """Of these the rows of the end."""
        return self.cells_at(self.fields.times_s[-1])

    @cached_property
    def lineage(self) -> pa.Table | None:
        """``lineage.parquet``: a row for each cell that ever was; None where cells do not come and go."""
        return self.table("lineage.parquet") if (self.folder / "lineage.parquet").is_file() else None

    @cached_property
    def everyone(self) -> pa.Table:
        """All cells that have existed, in order of birth, with last position and properties.

        That is its row in ``lineage.parquet`` where cells come and go, its id and label in the layout's
        table, and its last row in ``cells.parquet``, whose columns are null for the dead.
        """
        last = self.last_cells
        own = ["cell", "cell_type", "x_um", "y_um", "z_um"]
        cells = last.select(own) if self.lineage is None else self.lineage
        ids = cells["cell"].combine_chunks()
        at_first, at_last = (
            pc.index_in(ids, value_set=table["cell"].combine_chunks()) for table in (self.first_cells, last)
        )
        for name in last.column_names:
            if name in ("source_id", "source_label"):  # of cells that died, too
                cells = cells.append_column(name, self.first_cells[name].take(at_first))
            elif name not in (*own, "time_s"):
                cells = cells.append_column(name, last[name].take(at_last))
        return cells

    @cached_property
    def edges(self) -> pa.Table:
        """``communication.parquet``: a row per origin, recipient and vesicle kind."""
        return self.table("communication.parquet")

    @property
    def by_cell(self) -> bool:
        """Whether donors are known cell by cell, and not by their types alone."""
        return (self.edges.schema.metadata or {}).get(b"resolution") == b"cell"

    @cached_property
    def fields(self) -> Fields:
        """``fields.zarr``."""
        return Fields(self.folder / "fields.zarr")

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the vesicle kinds."""
        return tuple(kind.name for kind in self.scenario.vesicle)

    @cached_property
    def diameters(self) -> dict[str, float]:
        """Of each cell type, in um."""
        return {BYSTANDER: BYSTANDER_DIAMETER} | {t.name: float(t.diameter) for t in self.scenario.cell_type}

    @property
    def box_um(self) -> np.ndarray:
        """Lengths of the box along x, y, z, (3,); a slab is as thick as it is."""
        fields = self.fields
        lengths = [n * fields.voxel_um for n in reversed(fields.shape)]
        return np.array([*lengths, self.thickness_um][:3])

    @property
    def thickness_um(self) -> float:
        """Of a slab."""
        return float(self.scenario.domain.thickness)


class Fields:
    """Concentrations of free vesicles in vesicles/mL on a grid of cubic voxels.

    Attributes
    ----------
    voxel_um : float
    origin_um : tuple of float
        The low corner (x, y, z).
    labels : tuple of str
        Donor types or birth ids of donor cells that the fields are kept apart by.
    label_types : tuple of str
        The type of each of these donors.
    times_s : numpy.ndarray
        (T,).
    dim : int
        2 for a slab.

    Raises
    ------
    InputError
        If it is missing or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._group = _opened(path)
            about: dict[str, Any] = dict(self._group.attrs)
            self.labels = tuple(about["labels"])
            self.label_types = tuple(about.get("label_types", self.labels))
            self.voxel_um, self.origin_um = float(about["voxel_um"]), tuple(map(float, about["origin_um"]))
            self.times_s = np.asarray(self._group["time_s"][:], float)
            self.dim = len(about["axes"]) - 2
        except Exception as error:  # zarr has no common base for what it raises on damaged files
            raise InputError(f"{path} cannot be read: {type(error).__name__}: {error}") from None

    def at(self, kind: str, time: int = -1) -> np.ndarray:
        """Vesicles/mL of a kind at a recorded time, by its number: (label, [z,] y, x)."""
        return np.asarray(self._group[kind][time % len(self.times_s)])

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along ([z,] y, x)."""
        return next(array.shape[2:] for _, array in self._group.arrays() if array.ndim > 2)


def _opened(path: Path) -> Any:
    import zarr

    return zarr.open_group(path, mode="r")
