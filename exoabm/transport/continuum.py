"""The continuum engine: expected numbers of free vesicles on a grid, each kind and origin a field of its own.

    du/dt = D lap u - k u + sources - uptake,   u = c V vesicles per voxel

in explicit sub-steps with source and uptake implicit in place (``kernels.diffusion``). The engine picks its
own sub-steps inside the coupling step. Uptake saturates on the sum over all origins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from exoabm.errors import NumericalError
from exoabm.kernels.diffusion import (
    CLEARED,
    ENTERED,
    ESCAPED,
    MASS,
    advance_linear,
    advance_saturable,
)
from exoabm.kernels.exchange import (
    Entries,
    Slots,
    UptakeLaw,
    collect,
    index_entries,
    index_slots,
)
from exoabm.state import RESERVOIR, Emissions, Passage
from exoabm.transport.coupling import Coupling, couple
from exoabm.transport.receptors import left_by_others
from exoabm.transport.scheme import choose_courant, conductance, is_uniform, substep_rates

if TYPE_CHECKING:
    from exoabm.state import State

NOTHING = 1e-25
"""A field that holds fewer vesicles than this is emptied, before its numbers become subnormal and slow."""
LARGE = 1 << 18
"""Voxels from which more than one thread pays; on smaller grids threads mostly wait for each other."""
DRIFT = {np.dtype("f8"): 1e-9, np.dtype("f4"): 1e-3}
"""Largest relative difference allowed between a field's sum and its own balance in one coupling step."""


@dataclass(frozen=True)
class _Sites:
    """Where the cells touch the field of one vesicle kind, in the form the kernels take."""

    coupling: Coupling
    slots: Slots
    entries: Entries
    entry_slot: np.ndarray
    law: UptakeLaw
    release: sparse.csr_array
    sink_rate: np.ndarray
    """sum_i kappa_i w_iq / V, 1/s, shape (slots,)."""


class Continuum:
    """The engine on a grid; see the module.

    Parameters
    ----------
    state : State
        Read for the domain and the cells; made again by ``bind`` when cells have come, gone or moved.
    courant : float, optional
        D dt/dx^2 of a sub-step; at most the stability limit.
    threads : int
        Threads for large grids (``LARGE``). The result has the same bits for any number.
    """

    name = "continuum"

    def __init__(self, state: State, *, courant: float | None = None, threads: int = 1) -> None:
        domain = state.domain
        self.courant = choose_courant(domain) if courant is None else float(courant)
        self.threads = threads if state.domain.n_voxels >= LARGE else 1
        self._conductance = None if is_uniform(domain) else conductance(domain)
        self._scratch = np.empty_like(state.fields[0])
        self.bind(state)

    def bind(self, state: State) -> None:
        """Place the cells on the grid anew; see ``Engine``."""
        if self._scratch.shape != state.fields[0].shape:
            self._scratch = np.empty_like(state.fields[0])
        self._sites = [_sites(state, kind) for kind in range(len(state.kinds))]

    def coupling(self, kind: int) -> Coupling:
        """How the cells stand on the grid for a vesicle kind."""
        return self._sites[kind].coupling

    def substeps(self, state: State, kind: int, dt: float) -> int:
        """Sub-steps that a coupling step of ``dt`` seconds takes for a vesicle kind."""
        per_diffusivity, least = substep_rates(state.domain, self.courant, state.kinds[kind].decay_rate)
        per_second = max(state.kinds[kind].diffusivity * per_diffusivity, least)
        return max(1, math.ceil(per_second * dt * (1 - 1e-12)))

    def free(self, state: State) -> np.ndarray:
        """Free vesicles per kind and label, shape (K, L)."""
        return np.array(
            [field.reshape(len(field), -1).sum(axis=1, dtype=np.float64) for field in state.fields]
        )

    def advance(self, state: State, emissions: tuple[Emissions, ...], dt: float) -> Passage:
        """Advance every field by ``dt`` seconds; see ``Engine``.

        Raises
        ------
        NumericalError
            If a field's sum leaves the balance that the solver carries beside it.
        """
        rows = Emissions.join(*emissions)
        n, kinds, labels = len(state.cells), len(state.kinds), len(state.labels)
        passage = Passage(np.zeros((n, kinds, labels)), *(np.zeros((kinds, labels)) for _ in range(3)))
        for kind in range(kinds):
            mine = rows.kind == kind
            amount = sparse.csr_array(
                (rows.count[mine], (rows.label[mine], rows.cell[mine])), shape=(labels, n)
            )
            taken, flows = self._advance_kind(state, kind, amount, dt)
            passage.captured[:, kind] = taken.T
            passage.cleared[kind] = flows[:, CLEARED]
            passage.escaped[kind] = flows[:, ESCAPED]
            passage.entered[kind] = flows[:, ENTERED]
        return passage

    def _advance_kind(
        self, state: State, kind: int, amount: sparse.csr_array, dt: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Advance one kind; ``amount`` (labels, cells) enters. Returns captures (L, n) and flows (L, 6)."""
        domain, vesicle, sites = state.domain, state.kinds[kind], _at_present(state, self._sites[kind], kind)
        field, scratch = state.fields[kind], self._scratch
        labels, n = amount.shape
        side_value = _side_values(state)
        if not (amount.nnz or side_value.any() or field.any()):
            return np.zeros((labels, n)), np.zeros((labels, 6))
        n_sub = self.substeps(state, kind, dt)
        h = dt / n_sub
        uniform = float(domain.hindrance) if self._conductance is None else 1.0  # type: ignore[arg-type]
        r = vesicle.diffusivity * uniform * h / domain.voxel**2
        decay = vesicle.decay_rate * h
        source = np.ascontiguousarray((amount @ sites.release).toarray()) / n_sub
        taken, flows = np.zeros((labels, n)), np.zeros((labels, 6))
        flows[:, MASS] = field.reshape(labels, -1).sum(axis=1, dtype=np.float64)
        faces = None
        if self._conductance is not None:
            faces = tuple(g.astype(field.dtype, copy=False) for g in self._conductance)
        sides = domain.faces
        if sites.coupling.linear:
            sink = sites.sink_rate * h
            rate = h / domain.voxel_volume * sites.coupling.kappa
            for label in range(labels):
                exposure = np.zeros(sink.size)
                advance_linear(
                    field[label],
                    scratch[label],
                    n_sub=n_sub,
                    r=r,
                    decay=decay,
                    sides=sides,
                    side_value=side_value[label],
                    slots=sites.slots,
                    source=source[label],
                    sink=sink,
                    exposure=exposure,
                    flows=flows[label],
                    conductance=faces,
                    threads=self.threads,
                )
                entries = sites.entries
                entry_rate = rate[entries.cell] * entries.weight
                collect(sites.entry_slot, entries.cell, entry_rate, exposure, taken[label])
        else:
            advance_saturable(
                field,
                scratch,
                n_sub=n_sub,
                r=np.full(labels, r),
                decay=np.full(labels, decay),
                sides=sides,
                side_value=side_value,
                slots=sites.slots,
                entries=sites.entries,
                source=source,
                law=sites.law,
                dt=h,
                volume=domain.voxel_volume,
                taken=taken,
                flows=flows,
                conductance=faces,
                threads=self.threads,
            )
        held = _check(state, kind, field, flows)
        faint = (held > 0) & (held < NOTHING)
        field[faint] = 0.0
        flows[faint, CLEARED] += held[faint]
        return taken, flows


def _sites(state: State, kind: int) -> _Sites:
    """Gather the occupied voxels ("slots") of all cells for one vesicle kind."""
    domain, coupling = state.domain, couple(state, kind)
    touched = np.zeros(domain.n_voxels, bool)
    touched[coupling.uptake.indices] = touched[coupling.release.indices] = True
    used = np.flatnonzero(touched)
    slot_of = np.cumsum(touched, dtype=np.int32) - 1
    uptake = sparse.csc_array(_in_slots(coupling.uptake, slot_of, used.size))
    entry_slot = np.repeat(np.arange(used.size), np.diff(uptake.indptr)).astype(np.int64)
    entries = index_entries(
        entry_slot, uptake.indices.astype(np.int64), uptake.data, n_slots=used.size, n_cells=len(state.cells)
    )
    rate = np.bincount(
        entry_slot, coupling.kappa[entries.cell] / domain.voxel_volume * entries.weight, used.size
    )
    return _Sites(
        coupling=coupling,
        slots=index_slots(used, domain.shape),
        entries=entries,
        entry_slot=entry_slot,
        law=UptakeLaw(coupling.membrane_rate, coupling.kappa, coupling.inverse_saturation),
        release=_in_slots(coupling.release, slot_of, used.size),
        sink_rate=rate,
    )


def _in_slots(weights: sparse.csr_array, slot_of: np.ndarray, slots: int) -> sparse.csr_array:
    """The same weights, (cells, slots) instead of (cells, voxels)."""
    columns = slot_of[weights.indices]
    return sparse.csr_array((weights.data, columns, weights.indptr), shape=(weights.shape[0], slots))


def _at_present(state: State, sites: _Sites, kind: int) -> _Sites:
    """The sites with the membranes' present share of their uptake rates."""
    share = left_by_others(state, kind)
    if share is None:
        return sites
    coupling, entries = sites.coupling, sites.entries
    kappa = coupling.kappa_at(share)
    rate = kappa[entries.cell] * entries.weight / state.domain.voxel_volume
    return replace(
        sites,
        coupling=replace(coupling, kappa=kappa),
        law=UptakeLaw(coupling.membrane_rate * share, kappa, coupling.inverse_saturation),
        sink_rate=np.bincount(sites.entry_slot, rate, len(sites.sink_rate)),
    )


def _side_values(state: State) -> np.ndarray:
    """Vesicles per voxel at fixed faces, per label, shape (L, 6): only the reservoir's label enters."""
    values = np.zeros((len(state.labels), 6))
    for label, name in enumerate(state.labels.names):
        if name == RESERVOIR:
            values[label] = np.array(state.domain.face_concentration) * state.domain.voxel_volume
    return values


def _check(state: State, kind: int, field: np.ndarray, flows: np.ndarray) -> np.ndarray:
    """Vesicles held by each label's field, (L,), after comparing them with the solver's own balance."""
    actual = field.reshape(len(field), -1).sum(axis=1, dtype=np.float64)
    gap = np.abs(actual - flows[:, MASS])
    if not (gap <= DRIFT[field.dtype] * np.maximum(flows[:, MASS], 1e-6)).all():
        worst = int(np.argmax(np.where(np.isfinite(gap), gap, np.inf)))
        raise NumericalError(
            f"the field of {state.kinds[kind].name} from {state.labels.names[worst]} holds "
            f"{actual[worst]:.9g} vesicles at {state.time / 3600:.6g} h, but its balance says "
            f"{flows[worst, MASS]:.9g}"
        )
    return np.asarray(actual)
