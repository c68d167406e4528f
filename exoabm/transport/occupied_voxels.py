"""Voxels that cells occupy ("slots"), and the coupling of cells to a field, as arguments of kernels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from exoabm.kernels.linear_uptake import Slots, index_slots
from exoabm.kernels.uptake_rates import Entries, UptakeLaw, index_entries
from exoabm.transport.cell_grid_coupling import Coupling, Weights, couple

if TYPE_CHECKING:
    from exoabm.state import State
    from exoabm.transport.membrane_geometry import MembraneGeometry

DENSE = 0.3
"""Share of occupied voxels from which on all are treated as such where uptake saturates: faster; assumed."""


@dataclass(frozen=True)
class Sites:
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


def sites_of(state: State, kind: int, walls: MembraneGeometry) -> Sites:
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
    return Sites(
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


def at_present(state: State, sites: Sites) -> Sites:
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
