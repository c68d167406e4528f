"""Continuum engine: expected numbers of free vesicles on a grid.

    du/dt = D lap u - k u + sources - uptake,   u = c V vesicles per voxel

in explicit sub-steps with source and uptake implicit in place (``kernels.diffusion_stencil``). Each kind,
origin and size class is a field of its own, with the D of its class; the fields of a kind are the rows of one
array, the classes of an origin one after the other (row = label x classes + class). The engine picks its own
sub-steps inside the coupling step. Uptake saturates on the sum over all rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from exoabm.accounting.step_records import Emissions, Pathway, Returning, Sources, StepsTaken, TransportResult
from exoabm.errors import NumericalError
from exoabm.kernels.binding_kinetics import Transfers
from exoabm.kernels.diffusion_stencil import CLEARED, ENTERED, ESCAPED, MASS, Diffusion
from exoabm.kernels.linear_steps import Captured, Entering, Held, Record, advance_linear_steps
from exoabm.kernels.linear_uptake import (
    DIVIDED_VOXELS,
    advance_linear,
    collect,
    spread,
    spread_back,
)
from exoabm.kernels.row_groups import sum_of_each_row
from exoabm.kernels.saturable_uptake import advance_saturable
from exoabm.processors import free_cores, usable_cores
from exoabm.state import RESERVOIR
from exoabm.transport.cell_grid_coupling import Coupling
from exoabm.transport.grid_discretization import choose_courant, conductance, is_uniform, substep_rates
from exoabm.transport.membrane_geometry import membrane_geometry_of
from exoabm.transport.occupied_voxels import Sites, at_present, sites_of
from exoabm.transport.receptor_binding import Receptors, shared
from exoabm.vesicle import most_classes

if TYPE_CHECKING:
    from exoabm.state import State

EMPTY_FIELD = 1e-25
"""Vesicles below which a field is set to 0, before its numbers become subnormal and slow."""
PARALLEL_UPDATES = 1 << 21
"""Updates of voxels in a call, about 1 ms, from which on threads with rows of their own are faster than one.
A thread costs 0.1 ms, measured."""
UPDATES_AT_ONCE = 1 << 27
"""Updates of voxels in the steps that are taken at once, about 0.1 s; an interrupt waits for them."""
CONTACTS_AT_ONCE = 1 << 18
"""Counts of a cell and an origin in these steps, four of 8 bytes each."""
SLICES = 8
"""Parts of a step in which kinds that share receptors alternate, in reversed order."""
DRIFT_TOLERANCE = {np.dtype("f8"): 1e-9, np.dtype("f4"): 1e-3}
"""Largest relative difference allowed between a field's sum and its own balance in one coupling step."""


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
        self._sites = [sites_of(state, kind, walls) for kind in range(len(state.kinds))]
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

    @property
    def at_once(self) -> Continuum:
        """The engine itself; see ``StepsAtOnce``."""
        return self

    def most_at_once(self, state: State, dt: float) -> int:
        """Steps of ``dt`` seconds that ``take_steps`` may take; 1 where uptake saturates."""
        plain = all(field.dtype == np.float64 for field in state.fields)
        if self._receptors is not None or self._divides or not plain:
            return 1
        kinds = range(len(state.kinds))
        substeps = sum(int(self._substeps(state, kind, dt, None).sum()) for kind in kinds)
        updates = max(1, substeps * len(state.labels) * state.domain.n_voxels)
        contacts = max(1, len(state.cells) * len(kinds) * len(state.labels))
        return max(1, min(UPDATES_AT_ONCE // updates, CONTACTS_AT_ONCE // contacts))

    def take_steps(
        self, state: State, released: Emissions, way: Pathway, times: np.ndarray, dt: float
    ) -> StepsTaken:
        """Advance fields and contents of cells by steps of ``dt`` seconds that end at ``times``.

        ``released`` is the same in each, what cells return is not; see ``StepsAtOnce``.
        """
        n, kinds, labels, steps = len(state.cells), len(state.kinds), len(state.labels), len(times)
        taken = StepsTaken.zeros(steps, n, kinds, labels)
        sources = Sources(released, Returning.none(), Emissions.none())
        for kind, sites in enumerate(self._sites):
            field, classes = state.fields[kind], state.kinds[kind].size_classes
            n_sub = self._substeps(state, kind, dt, None)
            constant = _sources(state, sites, sources, kind, np.ones(classes))
            step = _KindStep(
                kind, dt, n_sub, constant, _side_values(state, kind), np.empty(0), np.zeros((len(field), 6))
            )
            h = dt / n_sub
            record = Record(
                Transfers(*taken.fates),
                np.zeros((steps, len(field), 6)),
                np.zeros((steps, len(field))),
                taken.waiting[:, kind],
            )
            advance_linear_steps(
                field,
                self._scratch[: len(field)],
                times=times,
                n_sub=n_sub,
                diffusion=self._diffusion(state, step, h),
                slots=sites.slots,
                sink=sites.sink_rate * h[:, None],
                entering=Entering(constant, state.kinds[kind].shares, *sites.release[:3]),
                capture=Captured(
                    sites.entry_slot,
                    sites.entries.cell,
                    sites.entries.weight,
                    _rate(state, sites, h),
                    sites.entries.order,
                ),
                held=Held(kind, way.coefficients, way.shares, way.contents, way.sizes, way.contact),
                record=record,
                least=EMPTY_FIELD,
                threads=self._threads(field, n_sub * steps),
            )
            _book(state, kind, record, times, taken)
        return taken

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
            self._linear(state, step, at_present(state, sites))
        held = _held(field)
        _check(state, step.kind, held, flows)
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

    def _linear(self, state: State, step: _KindStep, sites: Sites) -> None:
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
        entries, taken = sites.entries, np.zeros(step.taken.shape)
        collect(sites.entry_slot, entries.cell, entries.weight, _rate(state, sites, h), exposure, taken)
        step.taken[:, entries.order] += taken

    def _saturable(self, state: State, step: _KindStep, sites: Sites, receptors: Receptors) -> None:
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
    values = field.reshape(len(field), -1)
    if field.dtype != np.float64:
        return np.asarray(values.sum(axis=1, dtype=np.float64))
    total = np.empty(len(field))
    sum_of_each_row(values, total)
    return total


def _rate(state: State, sites: Sites, h: np.ndarray) -> np.ndarray:
    """kappa h / V of each size class with sub-steps h (S,), (S, cells) in the order of the entries."""
    kappa = np.array([each.kappa for each in sites.couplings])
    return ((h / state.domain.voxel_volume)[:, None] * kappa)[:, sites.entries.order].copy()


def _book(state: State, kind: int, record: Record, times: np.ndarray, taken: StepsTaken) -> None:
    """Check the balance of each step, and sum its flows and what is free over the size classes.

    Where it does not close, the time of the state is the start of that step.
    """
    shape, start = (len(times), len(state.labels), state.kinds[kind].size_classes), state.time
    for step, end in enumerate(times.tolist()):
        _check(state, kind, record.held[step], record.flows[step])
        state.time = end
    state.time = start
    flows = record.flows.reshape(*shape, -1).sum(axis=2)
    for total, column in ((taken.cleared, CLEARED), (taken.escaped, ESCAPED), (taken.entered, ENTERED)):
        total[:, kind] = flows[..., column]
    rest = np.where(record.held < EMPTY_FIELD, 0.0, record.held)
    taken.free[:, kind] = rest.reshape(shape).sum(axis=2) + taken.waiting[:, kind]


def _sources(state: State, sites: Sites, sources: Sources, kind: int, parts: np.ndarray) -> np.ndarray:
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


def _check(state: State, kind: int, held: np.ndarray, flows: np.ndarray) -> None:
    """Compare the vesicles in each row of a field, (rows,), with the solver's own balance."""
    gap, vesicle = np.abs(held - flows[:, MASS]), state.kinds[kind]
    if not (gap <= DRIFT_TOLERANCE[state.fields[kind].dtype] * np.maximum(flows[:, MASS], 1e-6)).all():
        worst = int(np.argmax(np.where(np.isfinite(gap), gap, np.inf)))
        raise NumericalError(
            f"the field of {vesicle.name} from {state.labels.names[worst // vesicle.size_classes]} holds "
            f"{held[worst]:.9g} vesicles at {state.time / 3600:.6g} h, but its balance says "
            f"{flows[worst, MASS]:.9g}"
        )
