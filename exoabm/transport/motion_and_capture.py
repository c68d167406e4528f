"""Motion and capture of single vesicles: random walk on the lattice, or Brownian motion up to a membrane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from scipy import sparse

from exoabm.domain import Face
from exoabm.kernels import lattice_random_walk
from exoabm.kernels.brownian_offlattice import walk_off_lattice
from exoabm.kernels.lattice import Lattice, mark_voxels
from exoabm.kernels.medium import Medium, Outcomes, Particles, clearance
from exoabm.kernels.membranes import Membranes, build_membranes, resolve_overlaps
from exoabm.kernels.random import StepKey
from exoabm.kernels.row_groups import choose_by_weight
from exoabm.random_streams import Purpose
from exoabm.transport.boundary_influx import INSET, Influx, influx_into_space, influx_into_voxels
from exoabm.transport.cell_grid_coupling import couple
from exoabm.transport.grid_discretization import (
    choose_courant,
    conductance,
    hop_limit,
    is_uniform,
    substep_rates,
)
from exoabm.transport.receptor_binding import LEAST
from exoabm.vesicle import Status

if TYPE_CHECKING:
    from exoabm.domain import Domain
    from exoabm.state import State
    from exoabm.vesicle import Vesicles

STEP_AT_MEMBRANE = 0.1
"""Spread of the shortest sub-steps at membranes, in radii of the smallest cell."""
MAX_DRAWS = 200
"""Largest number of draws of a release site in the domain and outside obstacles."""
REACH = 4.0
"""Distance from a voxel within which membranes are searched, in spreads of the shortest sub-steps."""


SinksT = TypeVar("SinksT")


class Capture(Protocol[SinksT]):
    """Model of motion and capture of the free vesicles of one kind; ``SinksT`` holds the cells as sinks."""

    def place(self, state: State) -> None:
        """Update the positions of the cells."""
        ...

    def sinks(self, share: np.ndarray | None) -> SinksT:
        """All cells as sinks, for ``move`` and ``sinks_at``.

        ``share`` (n,) is the share of the uptake rates of cells, None for 1.
        """
        ...

    def move(
        self,
        state: State,
        vesicles: Vesicles,
        rows: np.ndarray,
        dt: float,
        sinks: SinksT,
        fates: Outcomes,
        threads: int,
        attempt: int = 0,
    ) -> None:
        """Move the vesicles in ``rows`` to the end of a step of ``dt`` seconds, and write their fates.

        ``attempt`` counts the rejected captures of these vesicles in this step.
        """
        ...

    def sinks_at(
        self, vesicles: Vesicles, rows: np.ndarray, cell: np.ndarray, dt: float, sinks: SinksT
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rates of capture of the vesicles in ``rows`` by ``cell``: three arrays (m,).

        k_a / kappa of the cell, and B of the sub-step for all cells and for this one; the probability of
        capture is B/(1 + B).
        """
        ...

    def release(self, state: State, cell: np.ndarray, vesicle: np.ndarray, step: int) -> np.ndarray:
        """Release sites (m, 3) in um of ``vesicle`` (names) at ``cell`` (rows)."""
        ...

    def enter(self, state: State, side: int, held: float, dt: float) -> Influx:
        """Vesicles that enter through a face held at a concentration."""
        ...


class VoxelCapture:
    """Random walk on the lattice with capture in the voxels of uptake stencils.

    Expected numbers equal those of the continuum engine for any step. Cells may overlap; the space that they
    fill is part of the hindrance. ``courant`` is D h/dx^2 of a sub-step, up to
    ``hop_limit``.
    """

    def __init__(self, state: State, kind: int, courant: float | None = None) -> None:
        domain = state.domain
        self._kind = kind
        if courant is None:
            courant = min(choose_courant(domain), hop_limit(domain))
        flat = [np.reshape(g, (-1, *g.shape[-2:])) for g in conductance(domain)]
        nothing = np.zeros((2, *(int(n) for n in domain.counts[1::-1])))
        self._lattice = Lattice(
            domain.dim,
            domain.low,
            domain.voxel,
            domain.counts,
            np.array([face == Face.PERIODIC for face in domain.faces[::2]]),
            flat[0],
            flat[1],
            flat[2] if domain.dim == 3 else nothing,
            inner_conductance(domain),
            state.kinds[kind].decay_rate,
        )
        self._substeps = substep_rates(domain, courant, state.kinds[kind].decay_rate)
        self.place(state)

    def place(self, state: State) -> None:
        """See ``Capture``."""
        domain = state.domain
        self._couplings = couple(state, self._kind)
        self._running = np.concatenate([[0.0], np.cumsum(self._couplings[0].release_weights.data)])
        self._betas = np.array([each.beta for each in self._couplings])
        # Size classes share the stencils: one sparsity pattern, and rates by class.
        each = [sparse.csc_array(c.sink_rates(domain.voxel_volume)) for c in self._couplings]
        rates = each[0]
        used = np.flatnonzero(np.diff(rates.indptr))
        slot_of_voxel = np.full(domain.n_voxels, -1, np.int32)
        slot_of_voxel[used] = np.arange(len(used))
        self._sinks = lattice_random_walk.Sinks(
            slot_of_voxel,
            np.concatenate([[0], np.cumsum(np.diff(rates.indptr)[used])]).astype(np.int64),
            rates.indices.astype(np.int32),
            np.array([r.data for r in each], np.float64),
            np.log(state.kinds[self._kind].diffusivities),
            *mark_voxels(self._lattice, slot_of_voxel),
        )

    def sinks(self, share: np.ndarray | None) -> lattice_random_walk.Sinks:
        """See ``Capture``."""
        if share is None:
            return self._sinks
        return lattice_random_walk.scale_rates(self._sinks, share, self._betas, LEAST)

    def move(
        self,
        state: State,
        vesicles: Vesicles,
        rows: np.ndarray,
        dt: float,
        sinks: lattice_random_walk.Sinks,
        fates: Outcomes,
        threads: int,
        attempt: int = 0,
    ) -> None:
        """See ``Capture``. kappa is interpolated between the size classes by the D of each vesicle."""
        lattice_random_walk.walk_on_lattice(
            _particles(vesicles, rows, attempt),
            dt,
            self._substeps,
            _step_key(state),
            self._lattice,
            sinks,
            fates,
            threads=threads,
        )

    def sinks_at(
        self,
        vesicles: Vesicles,
        rows: np.ndarray,
        cell: np.ndarray,
        dt: float,
        sinks: lattice_random_walk.Sinks,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See ``Capture``."""
        particles = _particles(vesicles, rows, 0)
        return lattice_random_walk.capture_rates(
            particles, cell, dt, self._substeps, self._betas, self._lattice, sinks
        )

    def release(self, state: State, cell: np.ndarray, vesicle: np.ndarray, step: int) -> np.ndarray:
        """See ``Capture``: somewhere in a voxel of the release stencil, drawn by its weight."""
        stencil, domain = self._couplings[0].release_weights, state.domain
        draws = range(1 + domain.dim)
        u = [state.streams.uniform(Purpose.RELEASE_SITE, vesicle, step, draw=i) for i in draws]
        entry = np.empty(len(cell), np.int64)
        first, last = stencil.indptr[cell], stencil.indptr[cell + 1]
        choose_by_weight(self._running, first, last, u[0], entry)
        voxel = np.stack(np.unravel_index(stencil.indices[entry], domain.shape)[::-1], axis=1)
        position = np.empty((len(cell), 3))
        for axis in range(domain.dim):
            inside = INSET + (1 - 2 * INSET) * u[1 + axis]
            position[:, axis] = domain.low[axis] + (voxel[:, axis] + inside) * domain.voxel
        if domain.dim == 2:
            position[:, 2] = state.cells.position[cell, 2]
        return position

    def enter(self, state: State, side: int, held: float, dt: float) -> Influx:
        """See ``Capture``: into the voxels at the face; see `entry`."""
        return influx_into_voxels(state, self._kind, side, held, dt)


class MembraneCapture:
    """Capture at partially absorbing spheres, or discs through a slab, that vesicles cannot enter.

    D dc/dn = kappa_s c,   kappa_s = k_a / (4 pi a^2)  or  k_a / (2 pi a h)

    Source: collins1949, erban2007.
    """

    def __init__(self, state: State, kind: int) -> None:
        self._kind = kind
        # Extinct types count too, so that a resumed run has the same step.
        gone = np.flatnonzero(state.lineage.deaths + state.lineage.transformations)
        ever = {*state.cells.type.tolist(), *gone.tolist()}
        ever |= {t.becomes for t in state.types if t.becomes is not None}
        self._shortest = STEP_AT_MEMBRANE * min(state.types[i].diameter for i in ever) / 2
        nothing = np.zeros(state.domain.n_voxels, bool)
        self._medium = medium_of(state, kind, nothing, self._shortest)
        self.place(state)

    def place(self, state: State) -> None:
        """See ``Capture``. Free vesicles inside a cell are moved to its membrane."""
        kind, domain = self._kind, state.domain
        radius = state.of_type("diameter") / 2
        area = 4 * np.pi * radius**2 if domain.dim == 3 else 2 * np.pi * radius * domain.thickness
        rate = state.of_type("uptake_rate")[:, kind].astype(float)
        self._table = build_membranes(
            domain.dim,
            domain.low,
            domain.voxel,
            domain.counts,
            np.array(domain.faces, np.int64),
            state.cells.position,
            radius,
            rate / area,
            max(REACH * self._shortest, domain.voxel),
            self._medium.obstacle,
        )
        vesicles = state.vesicles
        if len(vesicles):
            rows = np.flatnonzero((vesicles.status == Status.FREE) & (vesicles.kind == kind))
            resolve_overlaps(rows, vesicles.x, vesicles.y, vesicles.z, self._medium, self._table)

    def sinks(self, share: np.ndarray | None) -> Membranes:
        """See ``Capture``. The reactivity of a membrane is proportional to ``share``."""
        table = self._table
        return table if share is None else table._replace(reactivity=table.reactivity * share)

    def move(
        self,
        state: State,
        vesicles: Vesicles,
        rows: np.ndarray,
        dt: float,
        sinks: Membranes,
        fates: Outcomes,
        threads: int,
        attempt: int = 0,
    ) -> None:
        """See ``Capture``."""
        walk_off_lattice(
            _particles(vesicles, rows, attempt),
            dt,
            _step_key(state),
            self._medium,
            sinks,
            fates,
            threads=threads,
        )

    def sinks_at(
        self, vesicles: Vesicles, rows: np.ndarray, cell: np.ndarray, dt: float, sinks: Membranes
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See ``Capture``: there is no lattice, and in steps as short as those at membranes B is small."""
        nothing = np.zeros(len(rows))
        return nothing + 1, nothing, nothing

    def release(self, state: State, cell: np.ndarray, vesicle: np.ndarray, step: int) -> np.ndarray:
        """See ``Capture``: uniform on the part of the membrane in the domain and in sight of the center.

        An enclosed cell releases at its center.
        """
        domain, center = state.domain, state.cells.position[cell]
        position, left = center.copy(), np.arange(len(cell))
        for again in range(MAX_DRAWS):
            spoke = self._spoke(state, cell[left], vesicle[left], step, again)
            site = domain.wrap(center[left] + spoke)
            site = site.astype(np.float32).astype(float)  # as vesicles keep it
            open_ = domain.contains(site)
            open_[open_] = ~domain.blocked(site[open_])
            open_[open_] = domain.sees(center[left][open_], spoke[open_])
            position[left[open_]] = site[open_]
            left = left[~open_]
            if not len(left):
                break
        return position

    def _spoke(
        self, state: State, cell: np.ndarray, vesicle: np.ndarray, step: int, again: int
    ) -> np.ndarray:
        """Vector from the center of each cell to a random place on its membrane, (m, 3) in um."""
        u, v = (
            state.streams.uniform(Purpose.RELEASE_SITE, vesicle, step, draw=2 * again + i) for i in range(2)
        )
        height = np.zeros(len(cell)) if state.domain.dim == 2 else 2 * v - 1
        angle, across = 2 * np.pi * u, np.sqrt(1 - height**2)
        normal = np.stack([across * np.cos(angle), across * np.sin(angle), height], axis=1)
        return np.asarray(self._table.radius[cell, None] * normal)

    def enter(self, state: State, side: int, held: float, dt: float) -> Influx:
        """See ``Capture``: on excursions from the face; see `entry`."""
        return influx_into_space(state, self._kind, side, held, dt, self._medium, self._table)


def inner_conductance(domain: Domain) -> float:
    """Conductance of the inner faces to the last bit, which is not the hindrance; 0 where they differ."""
    if not is_uniform(domain):
        return 0.0
    h = float(domain.hindrance)
    return 2 * h * h / (h + h)  # rounded as in `conductance`


def _step_key(state: State) -> StepKey:
    return StepKey(state.streams.seed, state.step, int(Purpose.MOVE), int(Purpose.CAPTURE))


def _particles(vesicles: Vesicles, rows: np.ndarray, attempt: int) -> Particles:
    place = vesicles.x, vesicles.y, vesicles.z
    return Particles(rows, vesicles.id, *place, vesicles.diffusivity, vesicles.start, attempt)


def medium_of(state: State, kind: int, matters: np.ndarray, shortest: float) -> Medium:
    """Medium of a vesicle kind for the kernels; ``matters`` marks the voxels with capture."""
    domain = state.domain
    sides = np.array(domain.faces, np.int64)
    hindrance = np.atleast_1d(np.asarray(domain.hindrance, np.float32)).ravel()
    obstacle = np.empty(0, np.uint8)
    if domain.obstacle is not None:
        obstacle = domain.obstacle.ravel().astype(np.uint8)
        matters = matters | domain.obstacle.ravel()
    return Medium(
        domain.dim,
        domain.low,
        domain.voxel,
        domain.counts,
        sides,
        hindrance,
        obstacle,
        state.kinds[kind].decay_rate,
        clearance(domain.counts, domain.voxel, sides, matters, hindrance),
        shortest,
    )
