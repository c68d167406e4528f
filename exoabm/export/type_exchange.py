"""Exchange between cell types in a run, in the points of a sweep, or in the arms of a trial."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.analysis.communication_graph import UNKNOWN, AllCells, Edges
from exoabm.batch.comparison import read_arm
from exoabm.batch.execution.plan import PLAN, Plan
from exoabm.batch.execution.row_execution import RUNS, records
from exoabm.batch.sweeps.summary import half_width, varied_keys
from exoabm.batch.trials.design import KIND as TRIAL
from exoabm.batch.trials.design import design_of, row_name
from exoabm.errors import InputError, did_you_mean
from exoabm.export.exported_run import ExportedRun
from exoabm.scenario.loader import run_of
from exoabm.scenario.state_builder import blueprint
from exoabm.state import OUTSIDE, Resolution
from exoabm.tables.declarations import BETWEEN_CELLS
from exoabm.tables.readouts import named

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa

    from exoabm.analysis.communication import Columns
    from exoabm.scenario.loader import LoadedScenario

ARM = "arm"
"""The key by which arms of a trial are chosen."""
POSITION = ("x_um", "y_um", "z_um")


class RunWithEdges(ExportedRun):
    """A run folder, with its edges in the form that figures are made of."""

    @cached_property
    def types(self) -> tuple[str, ...]:
        """Names of the cell types in the order of the scenario, and of those that only the cells have."""
        declared = (each.name for each in self.loaded.scenario.cell_type)
        return tuple(
            dict.fromkeys((*declared, *self._cells["cell_type"].cast("string").unique().to_pylist()))
        )

    @cached_property
    def known_cells(self) -> AllCells:
        """All present and past cells, with their position now or at death."""
        cells = self._cells
        names = {name: i for i, name in enumerate(self.types)}
        index = np.array([names[name] for name in cells["cell_type"].to_pylist()], np.int64)
        position = np.column_stack([np.asarray(cells[axis]) for axis in POSITION])
        return AllCells(np.asarray(cells["cell"]), index, position)

    @cached_property
    def links(self) -> Edges:
        """``edges.parquet`` as the run had it."""
        table, cells = self.edges, self.known_cells
        origins, origin = _coded(sender_names(table.select(["donor_type", "sender"]).to_pydict()), ())
        _, kind = _coded(table["vesicle_kind"].cast("string").to_pylist(), self.kinds)
        first, last = (np.asarray(table[f"{end}_time_s"].to_numpy(), float) for end in ("first", "last"))
        return Edges(
            resolution=Resolution(self.resolution),
            origins=origins,
            cells=cells,
            donor=np.asarray(table["donor"].fill_null(UNKNOWN), np.int64),
            origin=origin,
            recipient=cells.row_of(np.asarray(table["recipient"])),
            kind=kind,
            counts={name: np.asarray(table[name]) for name in BETWEEN_CELLS},
            copies={},
            first=first,
            last=last,
        )

    @property
    def distance(self) -> np.ndarray:
        """Distance between the two cells of each edge in um; NaN where the donor is not known."""
        return np.asarray(self.edges["distance_um"].to_numpy(), float)

    def displacement(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """End minus start (n, 3) in um, the shortest way around where faces are periodic."""
        faces = self.loaded.scenario.domain.faces
        if all(faces.side(f"{axis}_low") != "periodic" for axis in "xyz"):
            return end - start
        return blueprint(self.loaded, seed=int(self.about["seed"])).domain.displacement(start, end)

    def pairs(self) -> Columns:
        """Vesicles exchanged between its types; see ``analysis.communication``."""
        return self.need("pairs").to_pydict()

    @cached_property
    def cells_at_start(self) -> dict[str, int]:
        """Cells of each type in the first row of the metrics."""
        first = self.metrics.slice(0, 1).to_pylist()[0]
        return {name: int(first.get(named("cells", name)) or 0) for name in self.types}

    @cached_property
    def _cells(self) -> pa.Table:
        """A row for every present or past cell, in the order of birth."""
        if self.lineage is not None:
            return self.lineage
        time = np.asarray(self.cells["time_s"])
        return self.cells.filter(time == time.max()) if len(time) else self.cells


@dataclass(frozen=True)
class Replicate:
    """A run of a group: its seed, and the pairs or the run folder that were kept of it."""

    seed: int
    kept: Columns | None
    run: RunWithEdges | None

    def pairs(self) -> Columns:
        """Vesicles between the types; see ``analysis.communication``."""
        if self.kept is not None:
            return self.kept
        assert self.run is not None
        return self.run.pairs()


@dataclass(frozen=True)
class Group:
    """Runs that differ by chance alone: a run by itself, a point of a sweep, an arm of a trial."""

    keys: Mapping[str, str]
    replicates: tuple[Replicate, ...]

    @property
    def title(self) -> str:
        """Distinguishing keys."""
        return ", ".join(
            value if key == ARM else f"{short_key(key)} = {value}" for key, value in self.keys.items()
        )

    @property
    def runs(self) -> list[RunWithEdges]:
        """The run folders that were kept."""
        return [each.run for each in self.replicates if each.run is not None]


@dataclass(frozen=True)
class Exchange:
    """Exchange between cell types, by replicate.

    Attributes
    ----------
    source : str
        The folder.
    folder_kind : str
        "run", "sweep" or "trial".
    scenario : LoadedScenario
    hours : float
    groups : tuple of Group
    lost : int
        Rows that failed, or are missing.
    seed : int
        Of a run; that from which all seeds of a batch follow.
    """

    source: str
    folder_kind: str
    scenario: LoadedScenario
    hours: float
    groups: tuple[Group, ...]
    lost: int
    seed: int

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the vesicle kinds."""
        return tuple(kind.name for kind in self.scenario.scenario.vesicle)


def exchange_of(text: str) -> Exchange:
    """Read a run, a sweep or a trial, or some points or arms: ``DIR@KEY=VALUE``, ``DIR@arm=NAME``.

    Raises
    ------
    InputError
        If there is none, or nothing that was chosen.
    """
    folder, chosen = read_arm(text)
    run = run_of(folder)
    if run is not None:
        if chosen:
            raise InputError(f"{text}: {run} is a single run without arms")
        found = RunWithEdges(run)
        seed, hours = int(found.about["seed"]), float(found.summary["hours"])
        group = Group({}, (Replicate(seed, None, found),))
        return Exchange(str(run), "run", found.loaded, hours, (group,), 0, seed)
    if not (folder / PLAN).is_file():
        raise InputError(f"{folder} contains no run, sweep or trial")
    plan = Plan.read(folder)
    if not plan.pairs:
        raise InputError(
            f"{folder} is part of an analysis, which does not store numbers by donor and recipient"
        )
    found_rows = {record["row"]: record for record in records(folder, plan)}
    trial = plan.about.get("kind") == TRIAL
    wanted = _arms(plan, chosen) if trial else _points(plan, chosen)
    groups, lost = [], 0
    for keys, names in wanted:
        done = [found_rows[name] for name in names if found_rows.get(name, {}).get("state") == "done"]
        lost += len(names) - len(done)
        if done:
            groups.append(Group(keys, tuple(_replicate(folder, record) for record in done)))
    if not groups:
        raise InputError(f"{text}: no run of it is done")
    folder_kind, seed = "trial" if trial else "sweep", int(plan.about["seed"])
    return Exchange(str(folder), folder_kind, plan.loaded(), plan.duration_h, tuple(groups), lost, seed)


def _replicate(folder: Path, record: Mapping[str, Any]) -> Replicate:
    run = folder / RUNS / record["row"]
    return Replicate(record["seed"], record["pairs"], RunWithEdges(run) if run.is_dir() else None)


def _arms(plan: Plan, chosen: Mapping[str, str]) -> list[tuple[dict[str, str], list[str]]]:
    """The arms of a trial at the scenario's own values, and the names of their rows."""
    design = design_of(plan)
    names = [arm.name for arm in design.arms]
    for key, value in chosen.items():
        if key != ARM:
            raise InputError(f"{key}={value}: arms of a trial are chosen by arm=NAME, of {', '.join(names)}")
        if value not in names:
            there = f"there are: {', '.join(names)}"
            raise InputError(f"arm={value}: no such arm{did_you_mean(value, names)} ({there})")
    return [
        ({ARM: name}, [row_name(name, seed) for seed in design.seeds])
        for name in names
        if chosen.get(ARM, name) == name
    ]


def _points(plan: Plan, chosen: Mapping[str, str]) -> list[tuple[dict[str, str], list[str]]]:
    """The points of a sweep, and the names of their rows."""
    varied = {each.key: each for each in varied_keys(plan)}
    for key in chosen:
        if key not in varied:
            raise InputError(
                f"{key} is not varied here{did_you_mean(key, varied)}; varied: {', '.join(varied)}"
            )
    points: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for row in plan.rows:
        points.setdefault(row.overrides, []).append(row.name)
    found = [
        (dict(keys), names)
        for keys, names in points.items()
        if all(varied[key].same(dict(keys).get(key, ""), value) for key, value in chosen.items())
    ]
    if not found:
        there = dict.fromkeys(f"{k}={v}" for keys in points for k, v in keys if k in chosen)
        raise InputError(f"no point of the sweep is chosen (there are: {', '.join(list(there)[:10])})")
    return found


def short_key(key: str) -> str:
    """A dotted key without its first part where enough is left: ``donor.release_rate``."""
    _, _, rest = key.partition(".")
    return rest if "." in rest else key


def mean_and_half(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over replicates (the first axis), and half the width of its 95 % interval; NaN for one.

    mean ± t(n - 1, 0.975) sd / sqrt(n)
    """
    there = np.isfinite(values)
    n = there.sum(axis=0)
    mean = np.divide(np.where(there, values, 0.0).sum(axis=0), n, out=np.full(n.shape, np.nan), where=n > 0)
    square = np.where(there, values - mean, 0.0) ** 2
    sd = np.sqrt(square.sum(axis=0) / np.maximum(n - 1, 1))
    return mean, half_width(sd, n)


def in_order(names: Iterable[str], types: Iterable[str]) -> list[str]:
    """Names of types in the order of the scenario, then others, then doses and reservoirs."""
    rank = {name: i for i, name in enumerate(types)}
    rank |= {name: len(rank) + 1000 + i for i, name in enumerate(OUTSIDE)}
    return sorted(dict.fromkeys(names), key=lambda name: (rank.get(name, len(rank)), name))


def sender_names(pairs: Columns) -> list[str]:
    """Names of the senders of edges or pairs: the donor type, or the kind of sender that is no cell."""
    return [of or word for of, word in zip(pairs["donor_type"], pairs["sender"], strict=True)]


def _coded(words: list[str], names: tuple[str, ...]) -> tuple[tuple[str, ...], np.ndarray]:
    """The words of a column, those of ``names`` first, and the number of each row's word."""
    known = tuple(dict.fromkeys((*names, *words)))
    place = {name: i for i, name in enumerate(known)}
    return known, np.array([place[word] for word in words], np.int64)
