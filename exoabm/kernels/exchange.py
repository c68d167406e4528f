"""Where cells meet the field: occupied voxels, release and uptake in place, and the membrane law.

An occupied voxel is a *slot*. One cell may reach over several slots and one slot may serve several
cells; an *entry* is one such pair with the weight w of the cell in that voxel. The weights of a
cell sum to one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}

_NEWTON_STEPS = 4
"""Enough for full precision from where they begin."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Slots(NamedTuple):
    """Occupied voxels, grouped by row of the grid (a row is a (z, y) pair)."""

    row_ptr: Integers
    """(rows + 1): the slots of row i are row_ptr[i] to row_ptr[i + 1]."""
    column: Integers
    """(slots): x index of the voxel."""


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


class UptakeLaw(NamedTuple):
    """Uptake of each cell: Q = k_a c_s / (1 + s c_s), c_s the concentration at its membrane."""

    rate: Floats
    """(cells) k_a, um^3/s: uptake rate constant at low concentration."""
    lattice_rate: Floats
    """(groups, cells) kappa, um^3/s: the rate that acts on the cell's mean voxel concentration."""
    saturation: Floats
    """(cells) s, um^3: 1 / Km at rest, and what `Occupancy` says; 0 makes the uptake linear."""


class Occupancy(NamedTuple):
    """Receptors of each cell, and what is bound to them and goes on inside; see `chain_coefficients`.

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
    """(5) E, F, and what the second pool keeps and gets of the first: `chain_coefficients` of a sub-step."""
    taken: Floats
    """(cells) T, over R; changes."""
    pools: Floats
    """(cells, 2) what was captured since the start and is bound, and what has gone inside; changes."""


def index_slots(voxel: Integers, shape: Sequence[int]) -> Slots:
    """Group occupied voxels by grid row.

    Parameters
    ----------
    voxel
        (slots) flat indices of the occupied voxels in C order, strictly increasing.
    shape
        (ny, nx) or (nz, ny, nx).

    Raises
    ------
    ValueError
        If the indices are not strictly increasing or lie outside the grid.
    """
    voxel = np.asarray(voxel, dtype=np.int64)
    *rows, width = shape
    if voxel.size and (voxel[0] < 0 or voxel[-1] >= np.prod(shape) or np.any(np.diff(voxel) <= 0)):
        raise ValueError("slots must be strictly increasing voxel indices inside the grid")
    row_start = np.arange(np.prod(rows) + 1, dtype=np.int64) * width
    return Slots(np.searchsorted(voxel, row_start).astype(np.int64), voxel % width)


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


@njit(**_JIT)
def around(center, offset, counts, strides, periodic):
    """Flat voxels at offsets from central ones, folded back: wrapped at periodic faces, mirrored at others.

    ``center`` (n, 3) and ``offset`` (m, 3) are voxels in the order x, y, z. Returns (n m), center by center.
    """
    n, m = center.shape[0], offset.shape[0]
    found = np.empty(n * m, np.int64)
    for i in range(n):
        for k in range(m):
            flat = 0
            for axis in range(3):
                size = counts[axis]
                v = center[i, axis] + offset[k, axis]
                if v < 0 or v >= size:
                    if periodic[axis]:
                        v %= size
                    else:
                        v %= 2 * size
                        v = min(v, 2 * size - 1 - v)
                flat += v * strides[axis]
            found[i * m + k] = flat
    return found


@njit(**_JIT)
def reached(center, offset, counts, strides, periodic, blocked):
    """Which of the voxels that `around` gives are reached from the center without crossing a blocked one.

    A way counts if it goes from face to face and nearer at each step, folded back as `around` folds it.
    ``blocked`` is (voxels) bool. Returns (n m) bool, center by center; nothing blocked is reached.
    """
    n, m = center.shape[0], offset.shape[0]
    found = np.zeros(n * m, np.bool_)
    most = np.zeros(3, np.int64)
    for k in range(m):
        for axis in range(3):
            most[axis] = max(most[axis], abs(offset[k, axis]))
    sides = 2 * most + 1
    box = np.empty(
        (sides[0] * sides[1] * sides[2], 3), np.int64
    )  # the center first, then outward on each axis
    for k in range(len(box)):
        rest = k
        for axis in range(3):
            at = rest % sides[axis]
            rest //= sides[axis]
            box[k, axis] = (at + 1) // 2 if at % 2 else -(at // 2)
    free = np.empty(len(box), np.bool_)
    for i in range(n):
        own = center[i : i + 1]
        sites = around(own, box, counts, strides, periodic)
        for k in range(len(box)):
            free[k] = not blocked[sites[k]]
            if not free[k] or k == 0:
                continue
            stride, open_way = 1, False
            rest = k
            for axis in range(3):
                at = rest % sides[axis]
                rest //= sides[axis]
                if at:
                    open_way = open_way or free[k - stride * (2 if at > 2 else at)]
                stride *= sides[axis]
            free[k] = open_way
        for k in range(m):
            place, stride = 0, 1
            for axis in range(3):
                v = offset[k, axis]
                place += stride * (2 * v - 1 if v > 0 else -2 * v)
                stride *= sides[axis]
            found[i * m + k] = free[place]
    return found


@njit(**_JIT)
def collect(entry_slot, entry_cell, entry_rate, exposure, taken):
    """Uptake of each cell: taken_i += sum_q (dt kappa_i w_iq / V) exposure_q, in entry order.

    Parameters
    ----------
    entry_slot, entry_cell
        (entries) int64.
    entry_rate
        (entries) dt kappa_i w_iq / V.
    exposure
        (slots) sum of u' over the sub-steps, as `advance_linear` leaves it.
    taken
        (cells) vesicles, added to in place.
    """
    for e in range(entry_slot.size):
        taken[entry_cell[e]] += entry_rate[e] * exposure[entry_slot[e]]


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
def share_membrane(rate, i, uptake, resistance, saturation):
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
            share_membrane(rate, i, uptake, acting, law.saturation[i])
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
            share_membrane(rate, i, law.rate[i], resistance, law.saturation[i])


@njit(**_JIT)
def exchange_linear(field, row, slots, source, sink, exposure):
    """Set u' = (u* + A) / (1 + B) in the slots of one row; return the sum of B u'.

    Parameters
    ----------
    field
        (rows, nx) after diffusion, changed in place.
    source, sink, exposure
        (slots) A, B, and the running sum of u'.
    """
    taken = 0.0
    for q in range(slots.row_ptr[row], slots.row_ptr[row + 1]):
        amount = (field[row, slots.column[q]] + source[q]) / (1.0 + sink[q])
        field[row, slots.column[q]] = amount
        exposure[q] += amount
        taken += sink[q] * amount
    return taken


@njit(**_JIT)
def exchange_shared(field, row, slots, entries, source, rate, step, slot_total, entry_taken, row_taken):
    """Set u' = (u* + A) / (1 + B) in one row, B = (dt/V) sum_e w_e g_e alike for all labels of a group.

    Parameters
    ----------
    field
        (labels, rows, nx) after diffusion, changed in place.
    source
        (labels, slots) A.
    rate
        (groups, cells) g, um^3/s; label l is of the group l modulo their number.
    step
        dt / V, s / um^3.
    slot_total
        (groups, slots) sum of u' over the labels, written for the next sub-step.
    entry_taken
        (labels, entries) vesicles taken up, added to in place.
    row_taken
        (labels, rows) sum of B u', written.
    """
    labels, groups = field.shape[0], rate.shape[0]
    row_taken[:, row] = 0.0
    for q in range(slots.row_ptr[row], slots.row_ptr[row + 1]):
        first, last = entries.slot_ptr[q], entries.slot_ptr[q + 1]
        for g in range(groups):
            sink = 0.0
            for e in range(first, last):
                sink += step * entries.weight[e] * rate[g, entries.cell[e]]
            total = 0.0
            for label in range(g, labels, groups):
                amount = (field[label, row, slots.column[q]] + source[label, q]) / (1.0 + sink)
                field[label, row, slots.column[q]] = amount
                total += amount
                row_taken[label, row] += sink * amount
                for e in range(first, last):
                    uptake = step * entries.weight[e] * rate[g, entries.cell[e]]
                    entry_taken[label, e] += uptake * amount
            slot_total[g, q] = total
