"""Continuum engine: expected numbers of free vesicles on a grid.

    du/dt = D lap u - k u + sources - uptake,   u = c V vesicles per voxel

in explicit sub-steps with source and uptake implicit in place (``kernels.diffusion_stencil``). Each kind,
origin and size class is a field of its own, with the D of its class; the fields of a kind are the rows of one
array, the classes of an origin one after the other (row = label x classes + class). The engine picks its own
sub-steps inside the coupling step. Uptake saturates on the sum over all rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from exoabm.accounting.step_records import Emissions, Sources, TransportResult
from exoabm.errors import NumericalError
from exoabm.kernels.diffusion_stencil import CLEARED, ENTERED, ESCAPED, MASS, Diffusion
from exoabm.kernels.linear_uptake import (
    DIVIDED_VOXELS,
    Slots,
    advance_linear,
    collect,
    index_slots,
    spread,
    spread_back,
)
from exoabm.kernels.saturable_uptake import advance_saturable
from exoabm.kernels.uptake_rates import Entries, UptakeLaw, index_entries
from exoabm.processors import free_cores, usable_cores
from exoabm.state import RESERVOIR
from exoabm.transport.cell_grid_coupling import Coupling, Weights, couple
from exoabm.transport.grid_discretization import choose_courant, conductance, is_uniform, substep_rates
from exoabm.transport.membrane_geometry import MembraneGeometry, membrane_geometry_of
from exoabm.transport.receptor_binding import Receptors, shared
from exoabm.vesicle import most_classes

if TYPE_CHECKING:
    from exoabm.state import State

EMPTY_FIELD = 1e-25
"""Vesicles below which a field is set to 0, before its numbers become subnormal and slow."""
DENSE = 0.3
"""Share of occupied voxels from which on all are treated as such where uptake saturates: faster; assumed."""
PARALLEL_UPDATES = 1 << 21
"""Updates of voxels in a call, about 1 ms, from which on threads with rows of their own are faster than one.
A thread costs 0.1 ms, measured."""
SLICES = 8
"""Parts of a step in which kinds that share receptors alternate, in reversed order."""
DRIFT_TOLERANCE = {np.dtype("f8"): 1e-9, np.dtype("f4"): 1e-3}
"""Largest relative difference allowed between a field's sum and its own balance in one coupling step."""


@dataclass(frozen=True)
class _Sites:
    """Coupling of cells to the field of one vesicle kind, as arguments of the kernels."""

    couplings: tuple[Coupling, ...]
    """One for each size class; they differ in kappa only."""
    slots: Slots
    entries: Entries
    entry_slot: np.ndarray
    law: UptakeLaw
    release: Weights
    sink_rate: np.ndarray
    """sum_i kappa_i w_iq / V of each size class, 1/s, shape (S, slots)."""


@dataclass(frozen=True)
class _KindStep:
    """A step of one vesicle kind, or a part of it; rows are those of its field."""

    kind: int
    dt: float
    n_sub: np.ndarray
    """(S,) sub-steps of each size class."""
    source: np.ndarray
    """(rows, slots) vesicles that enter in a sub-step."""
    side_value: np.ndarray
    """(rows, 6)"""
    taken: np.ndarray
    """(rows, n) captured vesicles, added to."""
    flows: np.ndarray
    """(rows, 6), added to; see ``kernels.diffusion_stencil``."""


class Continuum:
    """The engine on a grid; see the module.

    Parameters
    ----------
    state : State
        Read for the domain and the cells; made again by ``bind`` when cells have come, gone or moved.
    courant : float, optional
        D dt/dx^2 of a sub-step; at most the stability limit.
    threads : int, optional
        At most, as many as there are free cores (`FreeCores`), in calls of ``PARALLEL_UPDATES``: each with
        rows of a field of its own or, where uptake saturates, with a part of the grid. Of linear uptake a
        grid of ``DIVIDED_VOXELS`` is divided, too. By default (None) the cores that the process may use, and
        no such grid is divided, as the code for it takes seconds to compile. The result has the same bits for
        any number.
    """

    name = "continuum"

    def __init__(self, state: State, *, courant: float | None = None, threads: int | None = 1) -> None:
        domain = state.domain
        self.courant = choose_courant(domain) if courant is None else float(courant)
        self._cores = free_cores(usable_cores() if threads is None else threads)
        self._divides = threads is not None and domain.n_voxels >= DIVIDED_VOXELS
        self._conductance = None if is_uniform(domain) else conductance(domain)
        self._scratch = np.empty(0)
        self._counts: dict[tuple[int, float, bool], np.ndarray] = {}
        self.bind(state)

    def bind(self, state: State) -> None:
        """Place the cells on the grid anew; see ``Engine``."""
        largest = max(state.fields, key=len)
        if self._scratch.shape != largest.shape:
            self._scratch = np.empty_like(largest)
        walls = membrane_geometry_of(state)
        self._sites = [_sites(state, kind, walls) for kind in range(len(state.kinds))]
        number = np.column_stack([sites.couplings[0].receptors for sites in self._sites])
        self._receptors = number if np.isfinite(number).any() else None
        self._pool = shared(state)

    def couplings(self, kind: int) -> tuple[Coupling, ...]:
        """Couplings of a vesicle kind, by size class."""
        return self._sites[kind].couplings

    def substeps(self, state: State, kind: int, dt: float, size: int = -1) -> int:
        """Sub-steps that a coupling step of ``dt`` seconds takes for a size class, by default the fastest."""
        vesicle = state.kinds[kind]
        per_diffusivity, least = substep_rates(state.domain, self.courant, vesicle.decay_rate)
        per_second = max(vesicle.diffusivities[size] * per_diffusivity, least)
        return max(1, math.ceil(per_second * dt * (1 - 1e-12)))

    def free(self, state: State) -> np.ndarray:
        """Free vesicles per kind and label, shape (K, L)."""
        labels = len(state.labels)
        return np.array([_held(field).reshape(labels, -1).sum(axis=1) for field in state.fields])

    def advance(self, state: State, sources: Sources, dt: float) -> TransportResult:
        """Advance every field by ``dt`` seconds; see ``Engine``.

        Raises
        ------
        NumericalError
            If a field's sum leaves the balance that the solver carries beside it.
        """
        n, kinds, labels = len(state.cells), len(state.kinds), len(state.labels)
        most = most_classes(state.kinds)
        sizes = np.zeros((n, kinds, labels, most))
        result = TransportResult(np.zeros((n, kinds, labels)), *np.zeros((3, kinds, labels)))
        result.captured_sizes = sizes if most > 1 else None
        receptors = None if self._receptors is None else Receptors(state, self._receptors, self._pool)
        parts = SLICES if any(t.sharing for t in state.types) else 1
        n_sub = [self._substeps(state, kind, dt / parts, receptors) for kind in range(kinds)]
        each = [
            _sources(state, sites, sources, kind, parts * n_sub[kind])
            for kind, sites in enumerate(self._sites)
        ]
        for part in range(parts):
            for kind in range(kinds) if part % 2 == 0 else reversed(range(kinds)):
                classes, rows = state.kinds[kind].size_classes, len(state.fields[kind])
                step = _KindStep(
                    kind,
                    dt / parts,
                    n_sub[kind],
                    each[kind],
                    _side_values(state, kind),
                    np.zeros((rows, n)),
                    np.zeros((rows, 6)),
                )
                self._advance_kind(state, step, receptors)
                sizes[:, kind, :, :classes] += step.taken.reshape(labels, classes, n).transpose(2, 0, 1)
                flows = step.flows.reshape(labels, classes, -1).sum(axis=1)
                result.cleared[kind] += flows[:, CLEARED]
                result.escaped[kind] += flows[:, ESCAPED]
                result.entered[kind] += flows[:, ENTERED]
        for size in range(most):
            result.captured += sizes[..., size]
        if receptors is not None:
            result.arrival = receptors.arrival(result.captured.sum(axis=2))
        return result

    def _saturates(self, kind: int, receptors: Receptors | None) -> bool:
        return receptors is not None and not self._sites[kind].couplings[0].linear

    def _substeps(self, state: State, kind: int, dt: float, receptors: Receptors | None) -> np.ndarray:
        """Sub-steps of each size class, (S,): those of the fastest where they share the membranes."""
        together = self._saturates(kind, receptors)
        if (kind, dt, together) not in self._counts:
            sizes = range(state.kinds[kind].size_classes)
            number = [self.substeps(state, kind, dt, -1 if together else size) for size in sizes]
            self._counts[kind, dt, together] = np.array(number)
        return self._counts[kind, dt, together]

    def _advance_kind(self, state: State, step: _KindStep, receptors: Receptors | None) -> None:
        """Advance the field of one kind."""
        sites, field, flows = self._sites[step.kind], state.fields[step.kind], step.flows
        flows[:, MASS] = _held(field)
        if not (flows[:, MASS].any() or step.source.any() or step.side_value.any()):
            return
        if receptors is not None and self._saturates(step.kind, receptors):
            self._saturable(state, step, sites, receptors)
        else:
            self._linear(state, step, _at_present(state, sites))
        held = _check(state, step.kind, field, flows)
        faint = (held > 0) & (held < EMPTY_FIELD)
        field[faint] = 0.0
        flows[faint, CLEARED] += held[faint]

    def _diffusion(self, state: State, step: _KindStep, h: np.ndarray) -> Diffusion:
        """D h/dx^2 and k h of each size class, with sub-steps h (S,), and the sides of the grid."""
        domain, vesicle, faces = state.domain, state.kinds[step.kind], self._conductance
        uniform = 1.0
        if faces is None:
            uniform = float(domain.hindrance)  # type: ignore[arg-type]
        else:
            faces = tuple(g.astype(state.fields[step.kind].dtype, copy=False) for g in faces)
        return Diffusion(
            vesicle.diffusivities * uniform * h / domain.voxel**2,
            vesicle.decay_rate * h,
            domain.faces,
            step.side_value,
            faces,
        )

    def _threads(self, field: np.ndarray, n_sub: np.ndarray) -> int:
        """Threads for a field with linear uptake, at most one for each row unless they divide the grid."""
        updates = field.size // len(n_sub) * int(n_sub.sum())
        if self._divides or (len(field) > 1 and updates >= PARALLEL_UPDATES):
            free = self._cores.count()
            return free if self._divides else min(free, len(field))
        return 1

    def _linear(self, state: State, step: _KindStep, sites: _Sites) -> None:
        """Each row in the sub-steps of its size class."""
        field, h = state.fields[step.kind], step.dt / step.n_sub
        exposure = np.zeros(step.source.shape)
        advance_linear(
            field,
            self._scratch[: len(field)],
            n_sub=step.n_sub,
            diffusion=self._diffusion(state, step, h),
            slots=sites.slots,
            source=step.source,
            sink=sites.sink_rate * h[:, None],
            exposure=exposure,
            flows=step.flows,
            threads=self._threads(field, step.n_sub),
        )
        rate = (h / state.domain.voxel_volume)[:, None] * np.array([c.kappa for c in sites.couplings])
        entries, taken = sites.entries, np.zeros(step.taken.shape)
        collect(
            sites.entry_slot, entries.cell, entries.weight, rate[:, entries.order].copy(), exposure, taken
        )
        step.taken[:, entries.order] += taken

    def _saturable(self, state: State, step: _KindStep, sites: _Sites, receptors: Receptors) -> None:
        """All rows together, in the sub-steps of the fastest: they share the membranes."""
        field, classes = state.fields[step.kind], len(sites.couplings)
        n_sub = int(step.n_sub[0])
        h = step.dt / n_sub
        occupancy = receptors.occupancy(step.kind, h)
        advance_saturable(
            field,
            self._scratch[: len(field)],
            n_sub=n_sub,
            diffusion=self._diffusion(state, step, np.full(classes, h)),
            slots=sites.slots,
            entries=sites.entries,
            source=step.source,
            law=sites.law._replace(saturation=sites.law.rate * occupancy.chain[1] * h / occupancy.number),
            dt=h,
            volume=state.domain.voxel_volume,
            taken=step.taken,
            flows=step.flows,
            occupancy=occupancy,
            threads=self._cores.count() if n_sub * field.size >= PARALLEL_UPDATES else 1,
        )


def _held(field: np.ndarray) -> np.ndarray:
    """Vesicles in each row of a field."""
    return np.asarray(field.reshape(len(field), -1).sum(axis=1, dtype=np.float64))


def _sources(state: State, sites: _Sites, sources: Sources, kind: int, parts: np.ndarray) -> np.ndarray:
    """(rows, slots) vesicles of a kind that enter, over the number of parts (S,) of the step."""
    release, shares, labels = sites.release, state.kinds[kind].shares, len(state.labels)
    source = np.zeros((labels, len(shares), release.shape[1]))
    weights = release.indptr, release.indices, release.data
    if len(sources.released.kind):
        spread(_of_kind(sources.released, kind), shares, *weights, source)
    back = sources.returning
    if back.count.any():
        count, part = (np.ascontiguousarray(each[:, kind]) for each in (back.count, back.share))
        spread_back(count, part, shares, *weights, source)
    if len(sources.dosed.kind):
        spread(_of_kind(sources.dosed, kind), shares, *weights, source)
    source /= parts[:, None]
    return source.reshape(labels * len(shares), -1)


def _of_kind(emitted: Emissions, kind: int) -> tuple[np.ndarray, ...]:
    """Cells, labels, numbers and size classes of the rows of a kind."""
    mine = emitted.kind == kind
    types = np.int64, np.int64, float, np.int64
    columns = emitted.cell, emitted.label, emitted.count, emitted.size
    return tuple(np.asarray(c[mine], t) for c, t in zip(columns, types, strict=True))


def _sites(state: State, kind: int, walls: MembraneGeometry) -> _Sites:
    """Gather the occupied voxels ("slots") of all cells for one vesicle kind."""
    domain, couplings = state.domain, couple(state, kind, walls)
    coupling = couplings[0]
    touched = np.zeros(domain.n_voxels, bool)
    touched[coupling.uptake_weights.indices] = touched[coupling.release_weights.indices] = True
    if not coupling.linear and touched.sum() >= DENSE * touched.size:
        touched[:] = True
    used = np.flatnonzero(touched)
    slot_of = np.cumsum(touched, dtype=np.int32) - 1
    uptake, n_cells = coupling.uptake_weights, len(state.cells)
    slot, cell = (
        slot_of[uptake.indices],
        np.repeat(np.arange(n_cells, dtype=np.int32), np.diff(uptake.indptr)),
    )
    by_slot = np.argsort(slot, kind="stable")
    entry_slot = slot[by_slot].astype(np.int64)
    entries = index_entries(entry_slot, cell[by_slot], uptake.data[by_slot], used, n_cells=n_cells)
    kappa = np.array([each.kappa for each in couplings])
    return _Sites(
        couplings=couplings,
        slots=index_slots(used, domain.shape),
        entries=entries,
        entry_slot=entry_slot,
        law=UptakeLaw(coupling.membrane_rate, kappa, np.zeros(len(state.cells))),
        release=coupling.release_weights._replace(
            indices=slot_of[coupling.release_weights.indices], shape=(n_cells, used.size)
        ),
        sink_rate=_sink_rate(kappa, entries, entry_slot, used.size, domain.voxel_volume),
    )


def _sink_rate(
    kappa: np.ndarray, entries: Entries, entry_slot: np.ndarray, slots: int, volume: float
) -> np.ndarray:
    """sum_i kappa_i w_iq / V, (S, slots), of kappa (S, cells)."""
    return np.array(
        [
            np.bincount(entry_slot, k[entries.order[entries.cell]] / volume * entries.weight, slots)
            for k in kappa
        ]
    )


def _at_present(state: State, sites: _Sites) -> _Sites:
    """Sites with the present share of the uptake rates, for linear uptake."""
    share = state.uptake_share()
    if share is None:
        return sites
    couplings = tuple(
        replace(each, kappa=each.kappa * each.relative_kappa(share)) for each in sites.couplings
    )
    kappa, slots = np.array([each.kappa for each in couplings]), sites.sink_rate.shape[1]
    rate = _sink_rate(kappa, sites.entries, sites.entry_slot, slots, state.domain.voxel_volume)
    return replace(sites, couplings=couplings, sink_rate=rate)


def _side_values(state: State, kind: int) -> np.ndarray:
    """Vesicles per voxel at fixed faces, (rows, 6): only the reservoir's label enters, in all sizes."""
    shares = state.kinds[kind].shares
    if RESERVOIR not in state.labels.names:
        return np.zeros((len(state.fields[kind]), 6))
    values = np.zeros((len(state.labels), len(shares), 6))
    for label, name in enumerate(state.labels.names):
        if name == RESERVOIR:
            held = np.array(state.domain.face_concentration) * state.domain.voxel_volume
            values[label] = shares[:, None] * held
    return values.reshape(-1, 6)


def _check(state: State, kind: int, field: np.ndarray, flows: np.ndarray) -> np.ndarray:
    """Vesicles in each row of a field, (rows,), after comparing them with the solver's own balance."""
    actual = _held(field)
    gap, vesicle = np.abs(actual - flows[:, MASS]), state.kinds[kind]
    if not (gap <= DRIFT_TOLERANCE[field.dtype] * np.maximum(flows[:, MASS], 1e-6)).all():
        worst = int(np.argmax(np.where(np.isfinite(gap), gap, np.inf)))
        raise NumericalError(
            f"the field of {vesicle.name} from {state.labels.names[worst // vesicle.size_classes]} holds "
            f"{actual[worst]:.9g} vesicles at {state.time / 3600:.6g} h, but its balance says "
            f"{flows[worst, MASS]:.9g}"
        )
    return actual
