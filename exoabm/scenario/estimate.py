"""What a run will take, before anything large is allocated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from exoabm.domain import Domain
from exoabm.errors import ResourceError
from exoabm.scenario.cell_dynamics import binding, classes_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exoabm.scenario.schema import Scenario
    from exoabm.scenario.schema_cells import VesicleTable

MEMORY_SHARE = 0.8
"""Share of the free memory that a run may plan to use."""
BASE_BYTES = 600e6
"""The interpreter with its libraries loaded and its picture drawn: 500 to 560 MB measured, by Python."""
BYTES_PER_VOXEL = 60.0
"""Distances and concentrations while a run is summed up and drawn, measured."""
BYTES_PER_CELL = 4000.0
"""Agents, layout and tables of cells while they are written, measured."""
BYTES_PER_CONTACT = 8 * 16
"""Trafficking arrays and their increments, per cell, kind and label."""
BYTES_PER_SIZE = 8 * 4
"""Shares of a size class in what is bound, endosomal and returning, and in what is captured, likewise."""
BYTES_PER_RECORDED_CONTACT = 1000
"""What recording makes of them, where the cell takes vesicles up."""
BYTES_PER_VESICLE = 250.0
"""A row of a single vesicle, its growth and what a step notes about it."""
BYTES_FOR_EVENTS = 600e6
"""Events waiting for their row group, and its encoding, where there are many."""
BYTES_PER_EVENT = 1000.0
"""Where there are few; less than 250 measured."""
EDGES_PER_CELL = 100
"""Most donors that a cell meets; a vesicle reaches few cells beyond the nearest."""
BYTES_PER_EDGE = 300.0
"""Of the book of edges, as it grows."""
BYTES_PER_EDGE_WRITTEN = 350.0
"""Columns, sums and order of all edges when tables are made of them at the end, measured."""
MAX_EDGES_IN_GRAPHML = 200_000
"""GraphML is for looking at; beyond this many edges only the strongest are written, and it says so."""
BYTES_PER_EDGE_IN_GRAPH = 1500.0
"""Of the edges that GraphML shows, measured."""
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
    ``runs.runtime_estimate`` measures.

    Attributes
    ----------
    voxels, cells, labels, kinds : int
        Cells that there may be in the end, where they divide.
    steps : int
        Coupling steps.
    substeps : int
        Sub-steps of the field in each coupling step, for the fastest vesicle kind.
    vesicles : float
        Most single vesicles at a time, an upper guess; 0 where fields are computed.
    arriving : float
        Of these, how many one step may bring: what cells release in it at rest, what doses do, and all that
        held faces would fill the domain with.
    memory_bytes : float
    allowed_bytes : float
    remedy : str
        What would lower what takes most memory.
    step_seconds : float
        Of one coupling step.
    recording_seconds, closing_seconds : float
        To write tables during the whole run, and at its end; a row of a batch does without.
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

    def refuse(self) -> None:
        """Refuse a run that would not fit into memory.

        Raises
        ------
        ResourceError
            Naming what it would take and what there is.
        """
        if self.memory_bytes > self.allowed_bytes:
            single = f", {self.vesicles:,.0f} single vesicles" if self.vesicles else ""
            raise ResourceError(
                f"this run would need about {gib(self.memory_bytes)} of memory, "
                f"{gib(self.allowed_bytes)} may be used: {self.voxels:,} voxels x {self.labels:,} origins "
                f"x {self.kinds} vesicle kinds, {self.cells:,} cells{single}; {self.remedy}"
            )


def estimate_run(
    scenario: Scenario,
    domain: Domain,
    cells: int,
    labels: int,
    release_rate: float = 0.0,
    takers: int | None = None,
    dosed: tuple[float, float] = (0.0, 0.0),
) -> Estimate:
    """Estimate a run of a scenario on a domain with this many cells and labels.

    ``release_rate`` is that of all cells together, vesicles/s; it matters where each one is followed.
    ``takers`` are those of the cells that take vesicles up; all, if it is not known yet. ``dosed`` are the
    vesicles that doses bring in the whole run, and in one step.
    """
    import psutil

    itemsize = np.dtype(scenario.transport.precision).itemsize
    kinds = len(scenario.vesicle)
    voxels = domain.n_voxels
    clock = scenario.clock
    steps = int(np.ceil(clock.duration / clock.step))
    each = scenario.transport.engine == "vesicles"
    # All that a step releases is there in that step, however soon it is gone.
    span = min(float(clock.duration), _lifetime(scenario) + float(clock.step))
    held = max(domain.face_concentration) * domain.voxel_volume * voxels * kinds
    alive = release_rate * span + dosed[0] + held if each else 0.0
    arriving = release_rate * float(clock.step) + dosed[1] + held if each else 0.0
    emitted = math.inf if domain.opens_to_reservoir else _emitted(scenario, release_rate)
    classes = [classes_of(vesicle) for vesicle in scenario.vesicle]
    field_bytes = 0.0 if each else float(voxels) * itemsize * labels * (sum(classes) + max(classes))
    zone_bytes = float(voxels) * (9 + 8 * (domain.dim + 2)) if scenario.domain.zone else 0.0
    contacts = float(cells) * labels * kinds
    takers = cells if takers is None else takers
    edges = _edges(scenario, takers, labels, emitted)
    shown = min(edges, MAX_EDGES_IN_GRAPHML)
    recorded = float(voxels) * (BYTES_PER_VOXEL + 20.0 * labels)
    contact_bytes = contacts * BYTES_PER_CONTACT + cells * BYTES_PER_CELL
    if max(classes) > 1 and not each:
        contact_bytes += contacts * max(classes) * BYTES_PER_SIZE
    contact_bytes += float(takers) * labels * kinds * BYTES_PER_RECORDED_CONTACT
    graph_bytes = edges * BYTES_PER_EDGE_WRITTEN + shown * BYTES_PER_EDGE_IN_GRAPH
    by_cell = not each and scenario.transport.provenance == "cell" and labels > len(scenario.cell_type)
    merged = ", or transport.provenance = 'cell_type'" * by_cell
    parts = {
        "free memory, or run it on a larger machine": BASE_BYTES,
        f"use larger voxels, or a smaller domain{merged}": field_bytes + zone_bytes + recorded,
        f"use fewer cells{merged}": contact_bytes + graph_bytes,
    }
    if each:
        events = _events(scenario, emitted)
        parts["release fewer vesicles, or transport.engine = 'continuum'"] = (
            min(BYTES_FOR_EVENTS, events * BYTES_PER_EVENT)
            + alive * BYTES_PER_VESICLE
            + edges * BYTES_PER_EDGE
        )
    substeps = max(1, int(np.ceil(_fastest(scenario) * clock.step / (0.2 * domain.voxel**2))))
    updates = 0.0 if each else float(substeps) * voxels * labels * sum(classes)
    records = 1 + float(clock.duration) / np.array(
        [float(scenario.record.events), float(scenario.record.fields)]
    )
    return Estimate(
        voxels=voxels,
        cells=cells,
        labels=labels,
        kinds=kinds,
        steps=steps,
        substeps=substeps,
        vesicles=alive,
        arriving=arriving,
        memory_bytes=sum(parts.values()),
        allowed_bytes=MEMORY_SHARE * psutil.virtual_memory().available,
        remedy=max(parts, key=lambda part: parts[part]),
        step_seconds=SECONDS_PER_STEP
        + updates / (SATURABLE_UPDATES_PER_SECOND if _saturable(scenario) else VOXEL_UPDATES_PER_SECOND)
        + alive / VESICLE_STEPS_PER_SECOND
        + contacts / CONTACTS_PER_SECOND,
        recording_seconds=float(
            records
            @ [contacts * SECONDS_PER_RECORDED_CONTACT, voxels * labels * kinds * SECONDS_PER_RECORDED_VOXEL]
        ),
        closing_seconds=SECONDS_TO_DRAW + edges * SECONDS_PER_EDGE + shown * SECONDS_PER_EDGE_IN_GRAPHML,
    )


def _edges(scenario: Scenario, takers: int, labels: int, emitted: float) -> float:
    """An upper guess of the edges between single cells."""
    if scenario.transport.engine != "vesicles":
        return float(takers) * labels if scenario.transport.provenance == "cell" else 0.0
    most = float(takers) * EDGES_PER_CELL
    meetings = max(map(_meetings, scenario.vesicle))
    return min(most, emitted * meetings)


def _events(scenario: Scenario, emitted: float) -> float:
    """An upper guess of the events of single vesicles: two of its own, and four at each cell it meets."""
    return emitted * (2 + 4 * max(map(_meetings, scenario.vesicle)))


def _emitted(scenario: Scenario, release_rate: float) -> float:
    """Single vesicles that come in a run; inf where there may be more than cells release at rest."""
    if (
        scenario.response
        or scenario.dose
        or any(c.waste or c.holds or c.recycling_probability for c in scenario.cell_type)
    ):
        return math.inf
    return release_rate * float(scenario.clock.duration)


def _meetings(vesicle: VesicleTable) -> float:
    """Cells that a vesicle meets if it is never cleared on its way from one to the next, but 1e9 at most."""
    off, inward = float(vesicle.unbinding_rate), float(vesicle.internalization_rate)
    stays = (1.0 - float(vesicle.recycling_probability)) * (inward / (off + inward) if off > 0 else 1.0)
    return 1.0 / max(stays, 1e-9)


def _saturable(scenario: Scenario) -> bool:
    """Whether some cells' uptake saturates, by what is declared or by their receptors."""
    return any(np.isfinite(binding(scenario, cell)[1]).any() for cell in scenario.cell_type)


def grown_cells(scenario: Scenario, domain: Domain, count: Mapping[str, int]) -> int:
    """Cells that a run may come to have, from those of each type at the start.

    A type grows by e^((b - d) t) at its rates at rest, but no further than the densest packing of its
    bodies in the domain, and all no further than ``domain.max_cells``; one that shrinks is counted as it
    starts.
    """
    start = total = sum(count.values())
    for table in scenario.cell_type:
        n, radius = count.get(table.name, 0), float(table.diameter) / 2
        if table.division_rate is None or n == 0:
            continue
        net = float(table.division_rate) - float(table.death_rate or 0.0)
        each = 2 * math.sqrt(3) * radius**2 if domain.dim == 2 else 4 * math.sqrt(2) * radius**3
        room = float(np.prod(domain.extent[: domain.dim] + 2 * radius)) / each
        growth = math.exp(min(max(net, 0.0) * float(scenario.clock.duration), 700.0))
        total += max(math.ceil(min(n * growth, room)) - n, 0)
    return max(start, min(total, int(scenario.domain.max_cells)))


def _lifetime(scenario: Scenario) -> float:
    """An upper guess of how long a vesicle lives, outside and inside cells, s."""
    return max(
        1.5 * v.half_life + sum(1 / r for r in (v.internalization_rate, v.processing_rate) if r > 0)
        for v in scenario.vesicle
    )


def declared_size(scenario: Scenario) -> tuple[int, int]:
    """Cells of the layout's groups, and origins told apart among them, before any is placed; 1 at least."""
    donors = {c.name for c in scenario.cell_type if c.releases or c.waste or c.holds}
    count = {True: 0, False: 0}
    for group in scenario.layout.group:
        count[group.cell_type in donors] += len(group.points) if group.points else group.count
    by_cell = scenario.transport.engine == "continuum" and scenario.transport.provenance == "cell"
    origins = count[True] if by_cell else len(donors)
    return sum(count.values()), max(origins, 1)


def refuse_large_grid(scenario: Scenario) -> None:
    """Refuse a grid that cannot fit from its declared size alone, before anything else is looked at.

    Raises
    ------
    ResourceError
        As ``Estimate.refuse``.
    """
    table = scenario.domain
    if not isinstance(table.size, list):
        return
    counts = [max(1, round(length / table.voxel)) for length in reversed(table.size)]
    domain = Domain(tuple(counts), float(table.voxel), float(table.thickness))
    estimate_run(scenario, domain, *declared_size(scenario)).refuse()


def _fastest(scenario: Scenario) -> float:
    """An upper guess of the largest diffusivity, um^2/s, from the smallest diameter."""
    given = [float(v.diffusivity) for v in scenario.vesicle if v.diffusivity is not None]
    derived = [0.66 / float(v.diameter) for v in scenario.vesicle if v.diffusivity is None]
    return max(given + derived) * float(scenario.transport.hindrance)


def gib(size: float) -> str:
    """A number of bytes for people."""
    return f"{size / 2**30:.3g} GiB" if size >= 2**29 else f"{size / 2**20:.3g} MiB"
