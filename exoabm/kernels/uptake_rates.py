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

_NEWTON_STEPS = 4
"""Enough for full precision from the root with the mean beta."""
_CONVERGED = 1e-8
"""Relative step of Newton's method after which the next one is below rounding."""


class Entries(NamedTuple):
    """Pairs of slot and cell, ordered by slot, and the same pairs ordered by cell (`member_*`)."""

    slot_ptr: NDArray[np.uint64]
    """(slots + 1): the entries of slot q are slot_ptr[q] to slot_ptr[q + 1]."""
    cell: NDArray[np.uint32]
    """(entries)"""
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
    order = np.argsort(cell, kind="stable")
    return Entries(
        _starts(slot, len(voxel)),
        np.ascontiguousarray(cell, dtype=np.uint32),
        weight,
        _starts(cell, n_cells),
        np.asarray(voxel)[slot[order]].astype(np.uint32),
        weight[order],
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
        beta = resisted / load
        y += max(uptake / membrane_rate(load / saturation, uptake, beta, saturation) - beta, 0.0)
        for _ in range(_NEWTON_STEPS):
            gap, slope = y - 1.0, 1.0
            for g in range(groups):
                share = 1.0 / (y - 1.0 + resistance[g, i])
                gap -= saturation * rate[g, i] * y * share
                slope -= saturation * rate[g, i] * (resistance[g, i] - 1.0) * (share * share)
            step = gap / slope
            y = max(y - step, 1.0)
            if abs(step) < _CONVERGED * y:
                break
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
        active = np.broadcast_to(law.rate > 0.0, shape)
        resistance = np.divide(law.rate, law.lattice_rate, out=np.ones(shape), where=active)
        rate, mean, acting = np.zeros((3, *shape))
        return cls(law.rate, resistance, law.saturation, rate, mean, acting)


@njit(**_JIT)
def _solve(rate, mean, i, uptake, resistance, saturation):
    """Rates of the groups at cell i from their mean concentrations."""
    if rate.shape[0] == 1:
        rate[0, i] = membrane_rate(mean[0, i], uptake, resistance[0, i], saturation)
    else:
        for g in range(rate.shape[0]):
            rate[g, i] = mean[g, i]
        shared_membrane_rates(rate, i, uptake, resistance, saturation)


@njit(**_JIT)
def set_rates(rates, occupancy, first, last):
    """Set the rates of the cells `first` to `last` by their mean concentrations and free receptors."""
    uptake, resistance, saturation, rate, mean, acting = rates
    if occupancy is None:
        for i in range(first, last):
            _solve(rate, mean, i, uptake[i], resistance, saturation[i])
    else:
        there, _, chain, taken, _ = occupancy
        for i in range(first, last):
            free = max(there[i] - chain[0] * taken[i], 0.0)
            for g in range(acting.shape[0]):
                acting[g, i] = 1.0 + free * (resistance[g, i] - 1.0)
            _solve(rate, mean, i, uptake[i] * free, acting, saturation[i])


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
