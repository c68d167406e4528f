"""Uptake rates of cells from the field in their voxels: the membrane law and the receptors that are free.

An occupied voxel is a *slot*. One cell may cover several slots and one slot may belong to several cells; an
*entry* is one such pair with the weight w of the cell in that voxel. The weights of a cell sum to one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from exoabm.kernels.diffusion_stencil import Floats, Integers

_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}

_NEWTON_STEPS = 4
"""Enough for full precision from where they begin."""


class Entries(NamedTuple):
    """Pairs of slot and cell, ordered by slot, and the same pairs ordered by cell (`member_*`)."""

    slot_ptr: Integers
    """(slots + 1): the entries of slot q are slot_ptr[q] to slot_ptr[q + 1]."""
    cell: Integers
    """(entries)"""
    weight: Floats
    """(entries)"""
    member_ptr: Integers
    """(cells + 1): the members of cell i are member_ptr[i] to member_ptr[i + 1]."""
    member_slot: Integers
    """(entries)"""
    member_weight: Floats
    """(entries)"""


def index_entries(slot: Integers, cell: Integers, weight: Floats, n_slots: int, n_cells: int) -> Entries:
    """Order the pairs of slot and cell by slot and by cell.

    Parameters
    ----------
    slot, cell, weight
        (entries) in non-decreasing order of `slot`.

    Raises
    ------
    ValueError
        If the slots are not sorted, or an index is out of range.
    """
    slot = np.asarray(slot, dtype=np.int64)
    cell = np.ascontiguousarray(cell, dtype=np.int64)
    weight = np.ascontiguousarray(weight, dtype=np.float64)
    if not slot.shape == cell.shape == weight.shape:
        raise ValueError("slot, cell and weight must have one value for each entry")
    if slot.size and (slot[0] < 0 or slot[-1] >= n_slots or np.any(np.diff(slot) < 0)):
        raise ValueError("slots of entries must be sorted and inside the table of slots")
    if slot.size and (cell.min() < 0 or cell.max() >= n_cells):
        raise ValueError("cells of entries must lie inside the table of cells")
    order = np.argsort(cell, kind="stable")
    return Entries(
        np.searchsorted(slot, np.arange(n_slots + 1)).astype(np.int64),
        cell,
        weight,
        np.searchsorted(cell[order], np.arange(n_cells + 1)).astype(np.int64),
        slot[order],
        weight[order],
    )


class UptakeLaw(NamedTuple):
    """Uptake of each cell: Q = k_a c_s / (1 + s c_s), c_s the concentration at its membrane."""

    rate: Floats
    """(cells) k_a, um^3/s: uptake rate constant at low concentration."""
    lattice_rate: Floats
    """(groups, cells) kappa, um^3/s: the rate that acts on the cell's mean voxel concentration."""
    saturation: Floats
    """(cells) s, um^3: 1 / Km at rest, and what `Occupancy` says; 0 makes the uptake linear."""


class Occupancy(NamedTuple):
    """Receptors of each cell, and what is bound to them and goes on inside; see `compartment_coefficients`.

    With a share T of R receptors taken, those that there are being P of them, a cell takes up
    Q = k_a (P - T) c_s. Over a sub-step h, in which T' = E T + F h Q / R, that is

        Q = k_a a c_s / (1 + s c_s),    a = P - E T,    s = k_a F h / R

    with the T' at its end: so the law at rest does not depend on h. E is what is left of those bound at the
    start, F of those bound meanwhile.
    """

    there: Floats
    """(cells) P, over R"""
    number: Floats
    """(cells) R; infinite where receptors are never short."""
    chain: Floats
    """(5) E, F, and the shares of the second pool: `compartment_coefficients` of a sub-step."""
    taken: Floats
    """(cells) T, over R; changes."""
    pools: Floats
    """(cells, 2) what was captured since the start and is bound, and what has gone inside; changes."""


@njit(**_JIT)
def membrane_rate(mean, rate, resistance, saturation):
    """Effective uptake rate g, um^3/s, such that Q = g cbar.

    With c_s = cbar + (1/k_a - 1/kappa) Q and Q = k_a c_s / (1 + s c_s),
    c_s/cbar = 2 / (b + sqrt(b^2 + 4 s cbar)), b = beta - s cbar, beta = k_a / kappa.

    Parameters
    ----------
    mean
        cbar, vesicles / um^3: mean concentration of the voxels of the cell.
    rate, resistance, saturation
        k_a in um^3/s, beta without unit, s in um^3.
    """
    load = saturation * mean
    b = resistance - load
    root = np.sqrt(b * b + 4.0 * load)
    # c_s/cbar = top/bottom. For b < 0 the same root is written so that nothing cancels.
    top = 2.0 if b > 0.0 else root - b
    bottom = b + root if b > 0.0 else 2.0 * load
    return rate * top / (bottom + load * top)


@njit(**_JIT)
def shared_membrane_rates(rate, i, uptake, resistance, saturation):
    """Effective uptake rates of the groups that share the membrane of cell i; ``rate[:, i]`` has their cbar.

    Q_s = k_a c_s / y with y = 1 + s sum c_s, c_s the concentration at the membrane, so that

        g_s = k_a / (y - 1 + beta_s),    y - 1 = sum_s l_s y / (y - 1 + beta_s),    l_s = s cbar_s.

    Newton's method from the root with the mean beta.
    """
    groups = rate.shape[0]
    load = resisted = 0.0
    for g in range(groups):
        load += saturation * rate[g, i]
        resisted += saturation * rate[g, i] * resistance[g, i]
    y = 1.0
    if load > 0.0 and uptake > 0.0:
        y += load * membrane_rate(load / saturation, uptake, resisted / load, saturation) / uptake
        for _ in range(_NEWTON_STEPS):
            gap, slope = y - 1.0, 1.0
            for g in range(groups):
                bottom = y - 1.0 + resistance[g, i]
                gap -= saturation * rate[g, i] * y / bottom
                slope -= saturation * rate[g, i] * (resistance[g, i] - 1.0) / (bottom * bottom)
            y = max(y - gap / slope, 1.0)
    for g in range(groups):
        rate[g, i] = uptake / (y - 1.0 + resistance[g, i])


class Rates(NamedTuple):
    """Effective uptake rates of all cells, and the concentrations from which they follow."""

    uptake: Floats
    """(cells) k_a, um^3/s"""
    resistance: Floats
    """(groups, cells) beta = k_a / kappa"""
    saturation: Floats
    """(cells) s, um^3"""
    least: Floats
    """(cells) smallest weight of a cell in a voxel."""
    rate: Floats
    """(groups, cells) g, um^3/s; negative before the first sub-step, then written in each."""
    mean: Floats
    fresh: Floats
    """(groups, cells) cbar, vesicles/um^3, and cbar before the uptake; written."""
    acting: Floats
    """(groups, cells) beta of the free receptors; written."""

    @classmethod
    def of(cls, law: UptakeLaw, entries: Entries) -> Rates:
        """Before the first sub-step."""
        shape = law.lattice_rate.shape
        active = np.broadcast_to(law.rate > 0.0, shape)
        resistance = np.divide(law.rate, law.lattice_rate, out=np.ones(shape), where=active)
        least = np.ones(shape[1])
        np.minimum.at(least, entries.cell, entries.weight)
        work = (np.zeros(shape) for _ in range(3))
        return cls(law.rate, resistance, law.saturation, least, np.full(shape, -1.0), *work)


@njit(**_JIT)
def _mean_over(out, slot_total, ptr, slot, weight, volume, i):
    """cbar_i = sum_q w_iq total_q / V of cell i, (groups, cells)."""
    for g in range(out.shape[0]):
        total = 0.0
        for k in range(ptr[i], ptr[i + 1]):
            total += weight[k] * slot_total[g, slot[k]]
        out[g, i] = total / volume


@njit(**_JIT)
def _set_rates(rate, mean, i, uptake, resistance, saturation):
    """Rates of the groups at cell i from their mean concentrations."""
    if rate.shape[0] == 1:
        rate[0, i] = membrane_rate(mean[0, i], uptake, resistance[0, i], saturation)
    else:
        rate[:, i] = mean[:, i]
        shared_membrane_rates(rate, i, uptake, resistance, saturation)


@njit(**_JIT)
def _occupy(chain, number, taken, pools, rate, mean, dt, i):
    """Carry the pools of cell i over a sub-step at these rates and mean concentrations, (groups, cells)."""
    captured = 0.0
    for g in range(rate.shape[0]):
        captured += dt * rate[g, i] * mean[g, i]
    keep_b, mean_b, keep_e, from_b, from_c = chain[0], chain[1], chain[2], chain[3], chain[4]
    bound, inside = pools[i, 0], pools[i, 1]
    pools[i, 0] = bound * keep_b + captured * mean_b
    pools[i, 1] = inside * keep_e + bound * from_b + captured * from_c
    taken[i] = taken[i] * keep_b + captured * mean_b / number[i]


@njit(**_JIT)
def _limit(rate, fresh, least, most, share, i):
    """Scale the rates of cell i so that it takes up no more than ``most``.

    ``fresh`` (groups, cells) is cbar before the uptake, and ``share`` dt / V: of x vesicles in a voxel a cell
    with the weight w, at least ``least``, takes at most b x / (1 + b), b = share w g.
    """
    reach, slowest = 0.0, np.inf
    for g in range(rate.shape[0]):
        reach += rate[g, i] * fresh[g, i]
        slowest = min(slowest, share * least * rate[g, i])
    if reach > most * (1.0 + slowest):
        for g in range(rate.shape[0]):
            rate[g, i] *= most / (reach - most * slowest)


@njit(**_JIT)
def refresh_rates(rates, occupancy, total, fresh, entries, dt, volume, first, last):
    """Set the effective uptake rates of the cells `first` to `last` from the field in their slots.

    Parameters
    ----------
    rates : Rates
    occupancy : Occupancy or None
        With it the rates are those of the receptors that are free now, after the uptake of the last sub-step.
    total, fresh
        (groups, slots) vesicles of each group in the voxel, all labels together: after the last uptake, and
        now, after diffusion and release.
    entries : Entries
    dt, volume
        Sub-step, s, and voxel volume, um^3.
    """
    _, _, _, ptr, slot, weight = entries
    uptake, resistance, saturation, least, rate, mean, mean_fresh, acting = rates
    if occupancy is None:
        for i in range(first, last):
            _mean_over(mean, total, ptr, slot, weight, volume, i)
            _set_rates(rate, mean, i, uptake[i], resistance, saturation[i])
    else:
        there, number, chain, taken, pools = occupancy
        for i in range(first, last):
            _mean_over(mean, total, ptr, slot, weight, volume, i)
            _mean_over(mean_fresh, fresh, ptr, slot, weight, volume, i)
            if rate[0, i] >= 0.0:
                _occupy(chain, number, taken, pools, rate, mean, dt, i)
            free = max(there[i] - chain[0] * taken[i], 0.0)
            for g in range(rate.shape[0]):
                acting[g, i] = 1.0 + free * (resistance[g, i] - 1.0)
            _set_rates(rate, mean, i, uptake[i] * free, acting, saturation[i])
            if number[i] < np.inf:
                _limit(rate, mean_fresh, least[i], free * number[i] / (chain[1] * dt), dt / volume, i)


@njit(**_JIT)
def occupy_all(rates, occupancy, total, entries, dt, volume):
    """Carry the pools of all cells over the last sub-step."""
    _, _, _, ptr, slot, weight = entries
    _, number, chain, taken, pools = occupancy
    for i in range(number.size):
        _mean_over(rates.mean, total, ptr, slot, weight, volume, i)
        _occupy(chain, number, taken, pools, rates.rate, rates.mean, dt, i)
