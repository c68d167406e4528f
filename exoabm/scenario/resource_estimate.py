"""Memory and time of a run, estimated before anything large is allocated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from exoabm.cell_type import Process
from exoabm.domain import Domain
from exoabm.errors import ResourceError
from exoabm.scenario.cell_builder import behaviors_in_use, binding, classes_of, processes
from exoabm.scenario.vesicle_encounters import stay_and_encounters
from exoabm.transport.occupied_voxels import DENSE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exoabm.scenario.schema import Scenario

MEMORY_SHARE = 0.8
"""Share of the free memory that a run may use at its peak."""
LEAST_OF_PEAK = 0.75
"""Estimate over measured peak, at least: a run may use a third more than is estimated."""
BASE_BYTES = 500e6
"""The interpreter with its libraries and the preview: 445 to 490 MB measured, 600 with Python 3.13
or where kernels are compiled."""
BYTES_PER_VOXEL = 60.0
"""Distances and concentrations while a run is summarized and drawn, measured."""
BYTES_PER_CELL = 600.0
"""Layout and tables of cells while they are written, measured."""
BYTES_PER_AGENT = 900.0
"""Of Mesa, measured; made in a run only where cells come or go."""
BYTES_PER_CONTACT = 8 * 16
"""Trafficking arrays and their increments, per cell, kind and label."""
BYTES_PER_SIZE = 8 * 4
"""Shares of a size class in bound, endosomal and returning vesicles, and their increments."""
BYTES_PER_RECORDED_CONTACT = 600
"""Recorded values of a cell that takes vesicles up."""
BYTES_PER_VESICLE = 68.0
"""With reserve for growth and during a step, measured from about 4 million vesicles on. Up to half a million
are moved together and take 105 to 123 bytes each, at most 29 MB more than estimated."""
BYTES_PER_EVENT = 190.0
"""Of events that wait to be written and of as many that are being written, measured."""
EVENTS_PER_GROUP = 1 << 19
"""Events that wait beside those of a step, at most."""
EDGES_PER_CELL = 15.0
MEETINGS_PER_CELL = 40.0
"""Of x vesicles that a recipient meets it gets to know 15 ln(1 + x / 40) donors, few beyond the nearest;
measured in a section of carcinoma, 27 after 3 h and 56 after 24 h."""
MOST_MEETINGS = 1e4
"""The same x where it is not known."""
BYTES_PER_EDGE = 300.0
"""Of the contact table, with reserve for growth."""
BYTES_PER_EDGE_WRITTEN = 450.0
"""Columns, sums and order of all edges while tables and graph are written at the end, measured."""
MAX_EDGES_IN_GRAPHML = 200_000
"""GraphML is for inspection; beyond this number only the strongest edges are written, with a note."""
PREVIEW_BYTES = 150e6
"""Of `BASE_BYTES`, what the preview takes after the run, measured."""
VESICLE_STEPS_PER_SECOND = 8e6
VOXEL_UPDATES_PER_SECOND = 4e8
SATURABLE_UPDATES_PER_SECOND = 4e7
CONTACTS_PER_SECOND = 2.5e7
SECONDS_PER_STEP = 5e-4
SECONDS_TO_BEGIN = 1.5
SECONDS_PER_RECORDED_CONTACT = 7e-6
SECONDS_PER_RECORDED_VOXEL = 3e-7
SECONDS_PER_EDGE = 1e-5
SECONDS_PER_EDGE_IN_GRAPHML = 3e-5
SECONDS_TO_DRAW = 1.0


@dataclass(frozen=True)
class Estimate:
    """Memory and work of a run.

    Times are rough, within a factor of a few, from the speed of a typical machine;
    ``runs.measured_runtime`` measures.

    Attributes
    ----------
    voxels, cells, labels, kinds : int
        With division, the largest number of cells at the end.
    steps : int
        Coupling steps.
    substeps : int
        Sub-steps of the field in each coupling step, for the fastest vesicle kind.
    vesicles : float
        Single vesicles at the end, by release, clearance and uptake; 0 where fields are computed.
    arriving : float
        Of these, vesicles that one step may add: by cells at rest, by doses, and the content of a domain
        in equilibrium with held faces.
    memory_bytes : float
        At the peak, about: between ``LEAST_OF_PEAK`` and 1.5 times as measured.
    model_bytes : float
        Of the model alone, as on the page: without the interpreter, and without what is written and drawn.
    allowed_bytes : float
        Largest estimate whose peak fits into ``MEMORY_SHARE`` of the free memory.
    remedy : str
        How to reduce the largest part of the memory.
    step_seconds : float
        Of one coupling step.
    recording_seconds, closing_seconds : float
        To write tables during the run, and at its end; a row of a batch writes none.
    """

    voxels: int
    cells: int
    labels: int
    kinds: int
    steps: int
    substeps: int
    vesicles: float
    arriving: float
    memory_bytes: float
    model_bytes: float
    allowed_bytes: float
    remedy: str
    step_seconds: float
    recording_seconds: float
    closing_seconds: float

    @property
    def seconds(self) -> float:
        """A rough figure for the whole run into a folder."""
        return self.row_seconds + self.recording_seconds + self.closing_seconds

    @property
    def row_seconds(self) -> float:
        """A rough figure for the run without its folder."""
        return SECONDS_TO_BEGIN + self.steps * self.step_seconds

    def check_memory(self) -> None:
        """Refuse a run that would not fit into memory.

        Raises
        ------
        ResourceError
            With the memory needed and available.
        """
        if self.memory_bytes > self.allowed_bytes:
            single = f", {self.vesicles:,.0f} single vesicles" if self.vesicles else ""
            raise ResourceError(
                f"this run would need about {gib(self.memory_bytes)} of memory, "
                f"{gib(self.allowed_bytes)} may be used: {self.voxels:,} voxels x {self.labels:,} origins "
                f"x {self.kinds} vesicle kinds, {self.cells:,} cells{single}; {self.remedy}"
            )


@dataclass(frozen=True)
class _Size:
    """Numbers of which memory and times are proportional."""

    voxels: int
    cells: int
    takers: int
    labels: int
    classes: tuple[int, ...]
    alive: float
    arriving: float
    events: float
    waiting: float
    edges: float

    @property
    def contacts(self) -> float:
        """Cells times labels times vesicle kinds."""
        return float(self.cells) * self.labels * len(self.classes)

    @property
    def shown_edges(self) -> float:
        """Edges that are written as GraphML."""
        return min(self.edges, MAX_EDGES_IN_GRAPHML)


def estimate_run(
    scenario: Scenario,
    domain: Domain,
    cells: int,
    labels: int,
    release_rate: float = 0.0,
    takers: int | None = None,
    dosed: tuple[float, float] = (0.0, 0.0),
    captured: Mapping[str, float] | None = None,
) -> Estimate:
    """Estimate a run of a scenario on a domain with this many cells and labels.

    ``release_rate`` is that of all cells together, vesicles/s; it matters where single vesicles are followed.
    ``takers`` is the number of cells that take vesicles up; by default all. ``dosed`` are the vesicles that
    doses bring in the whole run, and in one step. ``captured`` is the rate in 1/s at which all cells together
    capture a free vesicle of each kind, by its name; by default it is not known.
    """
    import psutil

    clock = scenario.clock
    follows_vesicles = scenario.transport.follows_vesicles
    duration, step = float(clock.duration), float(clock.step)
    stay, encounters, at_once = stay_and_encounters(scenario, captured)
    held = max(domain.face_concentration) * domain.voxel_volume * domain.n_voxels * len(scenario.vesicle)
    emitted = math.inf if domain.opens_to_reservoir else _emitted(scenario, release_rate)
    takers = cells if takers is None else takers
    size = _Size(
        voxels=domain.n_voxels,
        cells=cells,
        takers=takers,
        labels=labels,
        classes=tuple(classes_of(vesicle) for vesicle in scenario.vesicle),
        # All vesicles of a step exist in that step, however fast they are cleared.
        alive=release_rate * min(duration, stay + step) + dosed[0] + held if follows_vesicles else 0.0,
        arriving=release_rate * step + dosed[1] + held if follows_vesicles else 0.0,
        events=2 + 4 * at_once,
        waiting=min(EVENTS_PER_GROUP, emitted * (2 + 4 * encounters)) if follows_vesicles else 0.0,
        edges=_edges(scenario, takers, labels, emitted * encounters if encounters else 0.0),
    )
    parts = _memory(scenario, domain, size)
    model = _memory(scenario, domain, size, to_folder=False)
    substeps = max(1, int(np.ceil(_fastest(scenario) * clock.step / (0.2 * domain.voxel**2))))
    updates = 0.0 if follows_vesicles else float(substeps) * size.voxels * labels * sum(size.classes)
    return Estimate(
        voxels=size.voxels,
        cells=cells,
        labels=labels,
        kinds=len(size.classes),
        steps=int(np.ceil(clock.duration / clock.step)),
        substeps=substeps,
        vesicles=size.alive,
        arriving=size.arriving,
        memory_bytes=sum(parts.values()),
        model_bytes=sum(model.values()),
        allowed_bytes=LEAST_OF_PEAK * MEMORY_SHARE * psutil.virtual_memory().available,
        remedy=max(parts, key=lambda part: parts[part]),
        step_seconds=_step_seconds(scenario, size, updates),
        recording_seconds=_recording_seconds(scenario, size),
        closing_seconds=SECONDS_TO_DRAW
        + size.edges * SECONDS_PER_EDGE
        + size.shown_edges * SECONDS_PER_EDGE_IN_GRAPHML,
    )


def _step_seconds(scenario: Scenario, size: _Size, updates: float) -> float:
    """Time of a step, s: overhead, updates of voxels, motion of vesicles, contacts of cells."""
    speed = SATURABLE_UPDATES_PER_SECOND if _saturable(scenario) else VOXEL_UPDATES_PER_SECOND
    return (
        SECONDS_PER_STEP
        + updates / speed
        + size.alive / VESICLE_STEPS_PER_SECOND
        + size.contacts / CONTACTS_PER_SECOND
    )


def _recording_seconds(scenario: Scenario, size: _Size) -> float:
    """Time to write the tables of contacts and fields during a run."""
    record, duration = scenario.record, float(scenario.clock.duration)
    contacts = (1 + duration / float(record.events)) * size.contacts
    values = (1 + duration / float(record.fields)) * size.voxels * size.labels * len(size.classes)
    return contacts * SECONDS_PER_RECORDED_CONTACT + values * SECONDS_PER_RECORDED_VOXEL


def _memory(scenario: Scenario, domain: Domain, size: _Size, *, to_folder: bool = True) -> dict[str, float]:
    """Bytes of each part of a run, by what would reduce it; of the model alone unless it goes to a folder."""
    transport = scenario.transport
    itemsize = np.dtype(transport.precision).itemsize
    fields = not transport.follows_vesicles
    recorded, rows = 20.0, sum(size.classes) + max(size.classes)
    if fields:  # of each voxel and label, what cells exchange in a step, and what is recorded between steps
        recorded = max(recorded, 8.0 * rows * _occupied(scenario, domain, size.cells))
    grid_bytes = float(size.voxels) * (BYTES_PER_VOXEL + recorded * size.labels)
    if fields:
        grid_bytes += float(size.voxels) * itemsize * size.labels * rows
    if scenario.domain.zone:
        grid_bytes += float(size.voxels) * (9 + 8 * (domain.dim + 2))
        if fields and _saturable(scenario):  # diffusion at faces is copied for each label
            grid_bytes += 3.0 * float(size.voxels) * itemsize * size.labels
    cell_bytes = size.contacts * BYTES_PER_CONTACT + size.cells * BYTES_PER_CELL
    if Process.TURNOVER in processes(behaviors_in_use(scenario)[0]):
        cell_bytes += size.cells * BYTES_PER_AGENT
    if max(size.classes) > 1 and fields:
        cell_bytes += size.contacts * max(size.classes) * BYTES_PER_SIZE
    event_bytes, written = size.arriving * size.events * BYTES_PER_EVENT, 0.0
    if to_folder:  # events are written before the tables of edges, and the preview is drawn after both
        cell_bytes += float(size.takers) * size.labels * len(size.classes) * BYTES_PER_RECORDED_CONTACT
        event_bytes = max(event_bytes + size.waiting * BYTES_PER_EVENT - PREVIEW_BYTES, 0.0)
        written = max(size.edges * BYTES_PER_EDGE_WRITTEN - PREVIEW_BYTES, 0.0)
    by_cell = fields and transport.provenance == "cell" and size.labels > len(scenario.cell_type)
    merged = ", or transport.provenance = 'cell_type'" if by_cell else ""
    parts = {
        "free memory, or run it on a larger machine": BASE_BYTES * to_folder,
        f"use larger voxels, or a smaller domain{merged}": grid_bytes,
        f"use fewer cells{merged}": cell_bytes + written * fields,
    }
    if not fields:
        parts["release fewer vesicles, or transport.engine = 'continuum'"] = (
            max(event_bytes, written) + size.alive * BYTES_PER_VESICLE + size.edges * BYTES_PER_EDGE
        )
    return parts


def _occupied(scenario: Scenario, domain: Domain, cells: int) -> float:
    """Share of the voxels in which cells exchange vesicles, at most."""
    reach = 1.0 + max(float(each.diameter) for each in scenario.cell_type) / domain.voxel
    share = min(cells * math.pi / (2 * domain.dim) * reach**domain.dim / domain.n_voxels, 1.0)
    return 1.0 if share >= DENSE and _saturable(scenario) else share


def _edges(scenario: Scenario, takers: int, labels: int, met: float) -> float:
    """Edges between cells; of single vesicles ``met`` reach a cell, inf where that is not known."""
    if not scenario.transport.follows_vesicles:
        return float(takers) * labels if scenario.transport.provenance == "cell" else 0.0
    each = min(met / max(takers, 1), MOST_MEETINGS)
    return takers * EDGES_PER_CELL * math.log1p(each / MEETINGS_PER_CELL)


def _emitted(scenario: Scenario, release_rate: float) -> float:
    """Single vesicles of a run; inf where there may be more than cells release at rest."""
    if (
        scenario.response
        or scenario.dose
        or any(c.waste or c.holds or c.recycling_probability for c in scenario.cell_type)
    ):
        return math.inf
    return release_rate * float(scenario.clock.duration)


def _saturable(scenario: Scenario) -> bool:
    """Whether the uptake of some cells saturates, by their saturation or by their receptors."""
    return any(np.isfinite(binding(scenario, cell)[1]).any() for cell in scenario.cell_type)


def declared_size(scenario: Scenario) -> tuple[int, int]:
    """Cells of the layout's groups, and labels of their origins, at least 1, before any is placed."""
    donors = {c.name for c in scenario.cell_type if c.releases or c.waste or c.holds}
    count = {True: 0, False: 0}
    for group in scenario.layout.group:
        count[group.cell_type in donors] += len(group.points) if group.points else group.count
    by_cell = not scenario.transport.follows_vesicles and scenario.transport.provenance == "cell"
    origins = count[True] if by_cell else len(donors)
    return sum(count.values()), max(origins, 1)


def check_grid_memory(scenario: Scenario) -> None:
    """Refuse a grid too large for this machine by its declared size alone.

    Raises
    ------
    ResourceError
        As ``Estimate.check_memory``.
    """
    table = scenario.domain
    if not isinstance(table.size, list):
        return
    counts = [max(1, round(length / table.voxel)) for length in reversed(table.size)]
    domain = Domain(tuple(counts), float(table.voxel), float(table.thickness))
    estimate_run(scenario, domain, *declared_size(scenario)).check_memory()


def _fastest(scenario: Scenario) -> float:
    """Upper estimate of the largest diffusivity, um^2/s, from the smallest diameter."""
    given = [float(v.diffusivity) for v in scenario.vesicle if v.diffusivity is not None]
    derived = [0.66 / float(v.diameter) for v in scenario.vesicle if v.diffusivity is None]
    return max(given + derived) * float(scenario.transport.hindrance)


def gib(size: float) -> str:
    """A number of bytes as text."""
    return f"{size / 2**30:.3g} GiB" if size >= 2**29 else f"{size / 2**20:.3g} MiB"
