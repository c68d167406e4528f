"""Uptake rates of cells from the field in their voxels: the membrane law and the receptors that are free.

An occupied voxel is a *slot*. One cell may cover several slots and one slot may belong to several cells; an
*entry* is one such pair with the weight w of the cell in that voxel. The weights of a cell sum to one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from exoabm.kernels.diffusion_stencil import Floats, Integers

_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}

_ONE = np.uint64(1)
_NEWTON_STEPS = 16
"""At most; full precision takes 8 for k_a up to 400 kappa, and 10 up to 10,000 kappa."""
_CONVERGED = 1e-8
"""Step relative to z + 1 after which the next one is below rounding."""


class Entries(NamedTuple):
    """Pairs of slot and cell, ordered by slot, and the same pairs ordered by cell (`member_*`).

    Cells are named by their place in `order`, in which neighbors follow each other, so that what they read
    is still in cache.
    """

    order: Integers
    """(cells): the cells in the order of their first voxel, those without any at the end."""
    slot_ptr: NDArray[np.uint64]
    """(slots + 1): the entries of slot q are slot_ptr[q] to slot_ptr[q + 1]."""
    slot: NDArray[np.uint32]
    """(entries)"""
    cell: NDArray[np.uint32]
    """(entries): place in `order`."""
    weight: Floats
    """(entries)"""
    member_ptr: NDArray[np.uint64]
    """(cells + 1): the members of cell i are member_ptr[i] to member_ptr[i + 1]."""
    member_voxel: NDArray[np.uint32]
    """(entries) flat index of the voxel of the slot."""
    member_weight: Floats
    """(entries)"""


def index_entries(
    slot: Integers, cell: NDArray[np.integer[Any]], weight: Floats, voxel: Integers, n_cells: int
) -> Entries:
    """Order the pairs of slot and cell by slot and by cell.

    Parameters
    ----------
    slot, cell, weight
        (entries) in non-decreasing order of `slot`.
    voxel
        (slots) flat index of the voxel of each slot.

    Raises
    ------
    ValueError
        If the slots are not sorted, or an index is out of range.
    """
    slot, cell = np.asarray(slot, dtype=np.int64), np.asarray(cell)
    weight = np.ascontiguousarray(weight, dtype=np.float64)
    if not slot.shape == cell.shape == weight.shape:
        raise ValueError("slot, cell and weight must have one value for each entry")
    if slot.size and (slot[0] < 0 or slot[-1] >= len(voxel) or np.any(np.diff(slot) < 0)):
        raise ValueError("slots of entries must be sorted and inside the table of slots")
    if slot.size and (cell.min() < 0 or cell.max() >= n_cells):
        raise ValueError("cells of entries must lie inside the table of cells")
    first = np.full(n_cells, len(voxel))
    first[cell[::-1]] = slot[::-1]  # of several numbers the last stays
    order = np.argsort(first, kind="stable")
    place = np.empty(n_cells, np.uint32)
    place[order] = np.arange(n_cells)
    placed = place[cell]
    members = np.argsort(placed, kind="stable")
    return Entries(
        order,
        _starts(slot, len(voxel)),
        slot.astype(np.uint32),
        placed,
        weight,
        _starts(placed, n_cells),
        np.asarray(voxel)[slot[members]].astype(np.uint32),
        weight[members],
    )


def _starts(group: NDArray[np.integer[Any]], groups: int) -> NDArray[np.uint64]:
    """Where each group begins among its members in order, and the end, (groups + 1)."""
    return np.append(0, np.cumsum(np.bincount(group, minlength=groups))).astype(np.uint64)


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


def in_order(
    order: Integers, law: UptakeLaw, occupancy: Occupancy | None
) -> tuple[UptakeLaw, Occupancy | None]:
    """Copies of what belongs to cells, in another order of these."""
    law = UptakeLaw(law.rate[order], law.lattice_rate.take(order, axis=1), law.saturation[order])
    if occupancy is not None:
        there, number, chain, taken, pools = occupancy
        occupancy = Occupancy(there[order], number[order], chain, taken[order], pools[order])
    return law, occupancy


def least_weights(entries: Entries) -> Floats:
    """Smallest weight of each cell in a voxel, 1 at most, (cells)."""
    least = np.ones(entries.order.size)
    np.minimum.at(least, entries.cell, entries.weight)
    return least


@njit(**_JIT)
def last_rows(entries, width, block):
    """Last row, of ``width`` voxels, that the cells of each block of so many cells reach."""
    end, cells = entries.member_ptr, entries.order.size
    last = np.zeros(-(-cells // block), np.int64)
    for i in range(cells):
        if end[i + 1] > end[i]:
            row = np.int64(entries.member_voxel[end[i + 1] - _ONE]) // width  # its voxels are in order
            last[i // block] = max(last[i // block], row)
    return last


class Rates(NamedTuple):
    """Effective uptake rates of all cells, and the concentrations from which they follow."""

    uptake: Floats
    """(cells) k_a, um^3/s"""
    resistance: Floats
    """(groups, cells) beta = k_a / kappa"""
    saturation: Floats
    """(cells) s, um^3"""
    rate: Floats
    """(groups, cells) g, um^3/s; written."""
    mean: Floats
    """(groups, cells) cbar, vesicles/um^3; written."""
    acting: Floats
    """(groups, cells) beta of the free receptors; written."""

    @classmethod
    def of(cls, law: UptakeLaw) -> Rates:
        """At concentrations of 0, before the first sub-step."""
        shape = law.lattice_rate.shape
        resistance = np.divide(law.rate, law.lattice_rate, out=np.ones(shape), where=law.rate > 0.0)
        rate, mean, acting = np.zeros((3, *shape))
        return cls(law.rate, resistance, law.saturation, rate, mean, acting)


@njit(**_JIT)
def _first_guess(loads, resistance, first, excess):
    """The root z with the least beta: z = 2 l / (b + sqrt(b^2 + 4 l)),   l = sum_s l_s,   b = beta - l.

    It is not below the root of all groups, from where Newton's method does not pass it: for beta >= 1 the
    function is convex.
    """
    load, least = np.zeros(excess.size), np.full(excess.size, np.inf)
    for g in range(loads.shape[0]):
        for j in range(excess.size):
            load[j] += loads[g, j]
            beta = resistance[g, first + j]
            least[j] = beta if beta < least[j] else least[j]
    for j in range(excess.size):
        b = least[j] - load[j]
        root = np.sqrt(b * b + 4.0 * load[j])
        # For b < 0 the same root is written so that nothing cancels.
        excess[j] = 2.0 * load[j] / (b + root) if b > 0.0 else 0.5 * (root - b)


@njit(**_JIT)
def _improve(loads, resistance, first, excess, gap, slope):
    """A step of Newton's method for z - sum_s l_s (z + 1) / (z + beta_s) = 0; how many cells need another."""
    for j in range(excess.size):
        gap[j] = excess[j]
        slope[j] = 1.0
    for g in range(loads.shape[0]):
        for j in range(excess.size):
            beta = resistance[g, first + j]
            share = 1.0 / (excess[j] + beta)
            part = loads[g, j] * share
            gap[j] -= part * (excess[j] + 1.0)
            slope[j] -= part * share * (beta - 1.0)
    moving = 0
    for j in range(excess.size):
        step = gap[j] / slope[j]
        moving += abs(step) > _CONVERGED * (excess[j] + 1.0)
        better = excess[j] - step
        excess[j] = better if better > 0.0 else 0.0
    return moving


@njit(**_JIT)
def membrane_rates(rate, mean, uptake, resistance, saturation, first):
    """Effective uptake rates g (groups, cells) of the cells from `first` on, such that Q_s = g_s cbar_s.

    With c_s = cbar_s + (1/k_a - 1/kappa_s) Q_s at the membrane, which all groups share, and
    Q_s = k_a c_s / (1 + s sum c_s),

        g_s = k_a / (z + beta_s),    z = s sum c_s = sum_s l_s (z + 1) / (z + beta_s),

    l_s = s cbar_s, beta_s = k_a / kappa_s. The cells take the same number of steps of Newton's method, in
    loops over few arrays, which the compiler turns into vector instructions.

    Parameters
    ----------
    mean
        (groups, cells) cbar, vesicles / um^3: mean concentration of the voxels of each cell.
    uptake
        (n) k_a of the cells from `first` on, um^3/s.
    resistance, saturation
        (groups, cells) beta without unit, (cells) s in um^3.
    """
    n, groups = uptake.size, mean.shape[0]
    loads, excess, gap, slope = np.empty((groups, n)), np.empty(n), np.empty(n), np.empty(n)
    for g in range(groups):
        for j in range(n):
            loads[g, j] = saturation[first + j] * mean[g, first + j]
    _first_guess(loads, resistance, first, excess)
    if groups > 1:
        for _ in range(_NEWTON_STEPS):
            if _improve(loads, resistance, first, excess, gap, slope) == 0:
                break
    for g in range(groups):
        for j in range(n):
            rate[g, first + j] = uptake[j] / (excess[j] + resistance[g, first + j])


@njit(**_JIT)
def set_rates(rates, occupancy, first, last):
    """Set the rates of the cells `first` to `last` by their mean concentrations and free receptors."""
    uptake, resistance, saturation, rate, mean, acting = rates
    if occupancy is None:
        membrane_rates(rate, mean, uptake[first:last], resistance, saturation, first)
    else:
        there, chain, taken = occupancy.there, occupancy.chain, occupancy.taken
        free = np.empty(last - first)
        for j in range(free.size):
            left = there[first + j] - chain[0] * taken[first + j]
            free[j] = left if left > 0.0 else 0.0
        for g in range(acting.shape[0]):
            for j in range(free.size):
                acting[g, first + j] = 1.0 + free[j] * (resistance[g, first + j] - 1.0)
        for j in range(free.size):
            free[j] *= uptake[first + j]
        membrane_rates(rate, mean, free, acting, saturation, first)


@njit(**_JIT)
def first_rates(u, voxel, entries, source, pull, volume, lattice_rate, rates, occupancy):
    """Set the rates of the first sub-step, of a field and sources (labels, voxels or slots).

    Vesicles that enter in it count, so that a large number that enters at once saturates: u' is at least
    A / (1 + B), and u has reached that where sources are steady. ``pull`` is (dt / V) w of each entry.
    """
    slot, cell, weight, mean = entries.slot, entries.cell, entries.weight, rates.mean
    groups = mean.shape[0]
    held, entering = np.zeros((2, groups, voxel.size))
    for label in range(u.shape[0]):
        mine, coming, field, new = held[label % groups], entering[label % groups], u[label], source[label]
        for q in range(voxel.size):
            mine[q] += field[voxel[q]]
        for q in range(voxel.size):
            coming[q] += new[q]
    for g in range(groups):
        most, coming, sink = held[g], entering[g], np.zeros(voxel.size)
        for e in range(slot.size):
            sink[slot[e]] += pull[e] * lattice_rate[g, cell[e]]
        for q in range(voxel.size):
            most[q] = max(most[q], coming[q] / (1.0 + sink[q])) / volume
        for e in range(slot.size):
            mean[g, cell[e]] += weight[e] * most[slot[e]]
    set_rates(rates, occupancy, 0, mean.shape[1])


@njit(**_JIT)
def occupy(rates, occupancy, dt, first, last):
    """Carry the pools of cells over a sub-step at their rates and the concentrations after the uptake."""
    _, _, _, rate, mean, _ = rates
    _, number, chain, taken, pools = occupancy
    keep_b, mean_b, keep_e, from_b, from_c = chain[0], chain[1], chain[2], chain[3], chain[4]
    for i in range(first, last):
        captured = 0.0
        for g in range(rate.shape[0]):
            captured += dt * rate[g, i] * mean[g, i]
        bound, inside = pools[i, 0], pools[i, 1]
        pools[i, 0] = bound * keep_b + captured * mean_b
        pools[i, 1] = inside * keep_e + bound * from_b + captured * from_c
        taken[i] = taken[i] * keep_b + captured * mean_b / number[i]


@njit(**_JIT)
def limit_rates(rate, occupancy, fresh, least, share, dt, first, last):
    """Scale the rates of cells so that each takes up no more than its free receptors.

    ``fresh`` (groups, last - first) is cbar before the uptake, ``share`` dt / V: of x vesicles in a voxel a
    cell with the weight w, at least ``least``, takes at most b x / (1 + b), b = share w g.
    """
    there, number, chain, taken, _ = occupancy
    for i in range(first, last):
        if number[i] == np.inf:
            continue
        most = max(there[i] - chain[0] * taken[i], 0.0) * number[i] / (chain[1] * dt)
        reach, slowest = 0.0, np.inf
        for g in range(rate.shape[0]):
            reach += rate[g, i] * fresh[g, i - first]
            slowest = min(slowest, share * least[i] * rate[g, i])
        if reach > most * (1.0 + slowest):
            for g in range(rate.shape[0]):
                rate[g, i] *= most / (reach - most * slowest)


def may_exceed(law: UptakeLaw, occupancy: Occupancy, most: float, dt: float) -> bool:
    """Whether a cell might take up more than its receptors in a sub-step; cbar <= ``most`` vesicles/um^3.

    g <= max(k_a, kappa) times the free share, of which there are free R / (F dt) receptors.
    """
    fastest = np.maximum(law.rate, law.lattice_rate.max(axis=0))
    return bool((fastest * most * occupancy.chain[1] * dt > occupancy.number).any())


@njit(**_JIT)
def _largest(u, group, groups):
    """Largest sum over the labels of a group in a voxel, of u (labels, voxels)."""
    total, most = np.zeros(u.shape[1]), 0.0
    for label in range(group, u.shape[0], groups):
        for v in range(total.size):
            total[v] += u[label, v]
    for v in range(total.size):
        most = max(most, total[v])
    return most


@njit(**_JIT)
def largest_sum(u, source, side_value, n_sub, groups):
    """Bound of the vesicles per voxel, all labels together, in any sub-step; u is (labels, voxels).

    Diffusion and uptake raise no largest value of a group; sources and sides (labels, 6) do.
    """
    total = 0.0
    for group in range(groups):
        held = _largest(u, group, groups) + n_sub * _largest(source, group, groups)
        total += held + _largest(side_value, group, groups)
    return total
