"""A finished run, sweep or trial, as its folder has it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from exoabm.batch.execution.plan import PLAN
from exoabm.errors import InputError
from exoabm.export.formats import RUN, SWEEP, TRIAL
from exoabm.readers.options import BYSTANDER
from exoabm.scenario.loader import load
from exoabm.scenario.state_builder import BYSTANDER_DIAMETER
from exoabm.tables.declarations import TABLES
from exoabm.tables.finished_run import Run
from exoabm.tables.readouts import named

if TYPE_CHECKING:
    from exoabm.scenario.loader import LoadedScenario
    from exoabm.scenario.schema import Scenario


def kind_of(folder: Path) -> str:
    """Kind of a folder: "run", "sweep" or "trial"."""
    batch = TRIAL if (folder / "trial.json").is_file() else SWEEP
    return batch if (folder / PLAN).is_file() else RUN


class ExportedRun(Run):
    """Input of format writers: a run, with its scenario and the geometry of its fields."""

    @cached_property
    def loaded(self) -> LoadedScenario:
        """The scenario of a run."""
        return load(self.folder)

    @property
    def scenario(self) -> Scenario:
        """Its checked content."""
        return self.loaded.scenario

    @cached_property
    def first_cells(self) -> pa.Table:
        """Of these the rows of the first recorded time."""
        return self.cells_at(0.0)

    @cached_property
    def last_cells(self) -> pa.Table:
        """Of these the rows of the end."""
        return self.cells_at(self.fields.times_s[-1])

    @cached_property
    def all_cells(self) -> pa.Table:
        """All cells that have existed, in order of birth, with last position and properties.

        That is its row in the lineage where cells come and go, its id and label in the layout's table, and
        its last row in ``cells``, whose columns are null for the dead. Columns without values are left out.
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
        return cells.select(
            [name for name in cells.column_names if cells[name].null_count < max(1, len(cells))]
        )

    def held_by(self, cells: pa.Table) -> dict[str, np.ndarray]:
        """What cells have of each vesicle kind and cargo at the end, such as ``endosomal[exosome]``.

        NaN for cells that are dead.
        """
        found = {}
        for table, key in (("cells_by_kind", "vesicle_kind"), ("cells_by_cargo", "cargo")):
            rows = self.need(table)
            rows = rows.filter(pc.equal(rows["time_s"], pc.max(rows["time_s"])))
            for name in pc.unique(rows[key]).to_pylist():
                mine = rows.filter(pc.equal(rows[key].cast(pa.string()), name))
                at = pc.index_in(cells["cell"].combine_chunks(), value_set=mine["cell"].combine_chunks())
                for column in TABLES[table].values:
                    values = mine[column.name].take(at)
                    found[named(column.name, name)] = np.asarray(values.to_numpy(), float)
        return found

    @property
    def resolution(self) -> str:
        """How donors are known: ``cell``, ``cell_type``, or ``none``."""
        return (self.edges.schema.metadata or {}).get(b"resolution", b"cell_type").decode()

    @property
    def by_cell(self) -> bool:
        """Whether donors are known cell by cell, and not by their types alone."""
        return self.resolution == "cell"

    @property
    def unknown_donors(self) -> str:
        """Words on donors that are not known cell by cell."""
        return "donors are not recorded" if self.resolution == "none" else "donors are known by type alone"

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
    """Concentrations of free vesicles in vesicles/mL on the grid of voxels.

    Attributes
    ----------
    voxel_um : float
    origin_um : tuple of float
        The low corner (x, y, z).
    labels : tuple of str
        Donor types or birth ids of donor cells that the fields are kept apart by.
    label_types : tuple of str
        The type of each of these donors.
    kinds : list of str
        Vesicle kinds.
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
            self.dim = len(about["axes"]) - 3
            self.kinds = [str(name) for name in self._group["vesicle_kind"][:]]
        except Exception as error:  # zarr has no common base for what it raises on damaged files
            raise InputError(f"{path} cannot be read: {type(error).__name__}: {error}") from None

    def at(self, kind: str, time: int = -1) -> np.ndarray:
        """Vesicles/mL of a kind at a recorded time, by its number: (label, [z,] y, x)."""
        return np.asarray(self._group["concentration"][time % len(self.times_s), self.kinds.index(kind)])

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along ([z,] y, x)."""
        return tuple(self._group["concentration"].shape[3:])


def _opened(path: Path) -> Any:
    import zarr

    return zarr.open_group(path, mode="r")
