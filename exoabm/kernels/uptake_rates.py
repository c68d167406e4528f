"""Where cells meet the field: occupied voxels, release and uptake in place, and the membrane law.

An occupied voxel is a *slot*. One cell may reach over several slots and one slot may serve several
cells; an *entry* is one such pair with the weight w of the cell in that voxel. The weights of a
cell sum to one.
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


@njit(**_JIT)
def occupy(occupancy, rate, mean, dt, i):
    """Carry the pools of cell i over a sub-step at these rates and mean concentrations, (groups, cells)."""
    captured = 0.0
    for g in range(rate.shape[0]):
        captured += dt * rate[g, i] * mean[g, i]
    chain = occupancy.chain
    keep_b, mean_b, keep_e, from_b, from_c = chain[0], chain[1], chain[2], chain[3], chain[4]
    bound, inside = occupancy.pools[i, 0], occupancy.pools[i, 1]
    occupancy.pools[i, 0] = bound * keep_b + captured * mean_b
    occupancy.pools[i, 1] = inside * keep_e + bound * from_b + captured * from_c
    occupancy.taken[i] = occupancy.taken[i] * keep_b + captured * mean_b / occupancy.number[i]


@njit(**_JIT)
def occupy_all(occupancy, rate, mean, dt):
    """`occupy` for every cell."""
    for i in range(rate.shape[1]):
        occupy(occupancy, rate, mean, dt, i)


@njit(**_JIT)
def mean_over(out, slot_total, entries, volume, first, last):
    """Mean concentrations cbar (groups, cells) of the voxels of the cells `first` to `last`."""
    for g in range(out.shape[0]):
        for i in range(first, last):
            total = 0.0
            for k in range(entries.member_ptr[i], entries.member_ptr[i + 1]):
                total += entries.member_weight[k] * slot_total[g, entries.member_slot[k]]
            out[g, i] = total / volume


@njit(**_JIT)
def _never_more(rate, fresh, entries, room, share, i):
    """Scale the rates of cell i so that it takes up no more than ``room``.

    ``fresh`` (groups, cells) has what comes within reach, cbar before the uptake, and ``share`` is dt / V:
    of x at a voxel a cell with the weight w takes at most b x / (1 + b), b = share w g.
    """
    most, weight = 0.0, 1.0
    for k in range(entries.member_ptr[i], entries.member_ptr[i + 1]):
        weight = min(weight, entries.member_weight[k])
    slowest = np.inf
    for g in range(rate.shape[0]):
        most += rate[g, i] * fresh[g, i]
        slowest = min(slowest, share * weight * rate[g, i])
    if most > room * (1.0 + slowest):
        for g in range(rate.shape[0]):
            rate[g, i] *= room / (most - room * slowest)


@njit(**_JIT)
def refresh_occupied(
    rate, mean, fresh, acting, slot_total, slot_fresh, entries, law, resistance, occupancy, dt, volume,
    first, last,
):  # fmt: skip
    """As `refresh_rates`, by the receptors that are free now; the last sub-step is booked before.

    Parameters
    ----------
    rate, mean, fresh, acting
        (groups, cells); the first is negative before the first sub-step, the others are written.
    slot_fresh
        (groups, slots) vesicles in the voxel after diffusion and release, before the uptake.
    occupancy
        `Occupancy`
    dt
        s

    The others are those of `refresh_rates`.
    """
    groups = rate.shape[0]
    mean_over(mean, slot_total, entries, volume, first, last)
    mean_over(fresh, slot_fresh, entries, volume, first, last)
    for i in range(first, last):
        if rate[0, i] >= 0.0:
            occupy(occupancy, rate, mean, dt, i)
        free = max(occupancy.there[i] - occupancy.chain[0] * occupancy.taken[i], 0.0)
        for g in range(groups):
            acting[g, i] = 1.0 + free * (resistance[g, i] - 1.0)
            rate[g, i] = mean[g, i]
        uptake = law.rate[i] * free
        if groups == 1:
            rate[0, i] = membrane_rate(rate[0, i], uptake, acting[0, i], law.saturation[i])
        else:
            shared_membrane_rates(rate, i, uptake, acting, law.saturation[i])
        if occupancy.number[i] < np.inf:
            room = free * occupancy.number[i] / (occupancy.chain[1] * dt)
            _never_more(rate, fresh, entries, room, dt / volume, i)


@njit(**_JIT)
def refresh_rates(rate, slot_total, entries, law, resistance, volume, first, last):
    """Set the effective uptake rates of the cells `first` to `last` from the field at their slots.

    Parameters
    ----------
    rate
        (groups, cells) um^3/s, written.
    slot_total
        (groups, slots) vesicles of each group in the voxel, all labels together.
    entries, law
        `Entries` and `UptakeLaw`; resistance (groups, cells) is beta = k_a / kappa of each cell.
    volume
        Voxel volume, um^3.
    """
    groups = rate.shape[0]
    mean_over(rate, slot_total, entries, volume, first, last)
    if groups == 1:
        for i in range(first, last):
            rate[0, i] = membrane_rate(rate[0, i], law.rate[i], resistance[0, i], law.saturation[i])
    else:
        for i in range(first, last):
            shared_membrane_rates(rate, i, law.rate[i], resistance, law.saturation[i])
