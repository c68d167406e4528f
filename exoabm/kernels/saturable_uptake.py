"""Diffusion with uptake that saturates on the sum of the labels: all labels advance together.

A sub-step has two parts. In the first, row by row: B of each slot from the rates of its cells, diffusion, and
u' = (u* + A) / (1 + B), of every label. In the second, cell by cell: the mean of u' over its voxels, which is
what it takes up in this sub-step and the concentration that sets its rates in the next.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from exoabm.kernels.diffusion_stencil import (
    Diffusion,
    Field,
    Floats,
    by_label,
    check_shape,
    diffuse_rows,
    flatten,
    inflows,
    substeps,
    update_balance,
)  # fmt: skip
from exoabm.kernels.linear_uptake import Slots
from exoabm.kernels.uptake_rates import (
    Entries,
    Occupancy,
    Rates,
    UptakeLaw,
    limit_rates,
    may_exceed,
    occupy,
    set_rates,
)  # fmt: skip

_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
_ONE = np.uint64(1)

BLOCK_VOXELS = 1 << 11
"""Least voxels of a block of rows."""
BLOCK_CELLS = 1 << 9
"""Cells of a block."""


class _Uptake(NamedTuple):
    """Exchange of the labels in the slots, and uptake of the cells, by label and by group of labels."""

    source: Floats
    """(labels, slots) A"""
    keep: Floats
    """(groups, slots) 1 / (1 + B), overwritten."""
    taken: Floats
    """(labels, cells) vesicles taken up, added to."""
    least: Floats
    """(cells) smallest weight of a cell in a voxel."""
    limited: bool
    """Whether cells might exceed their receptors, see `limit_rates`."""
    step: float
    """dt, s"""
    volume: float
    """um^3"""


@njit(**_JIT)
def _diffuse(new, old, begin, end, medium, escaped):
    """Diffusion and decay of the rows `begin` to `end` of every label."""
    grid, value, r, decay, faces = medium
    for label in range(old.shape[0]):
        diffuse_rows(
            new[label], old[label], begin, end, grid, value, label, r[label], decay[label], faces,
            escaped[label],
        )  # fmt: skip


@njit(**_JIT)
def _add_sources(new, slots, begin, end, source):
    """u* + A in the slots of the rows `begin` to `end`."""
    row_ptr, voxel = slots
    for label in range(new.shape[0]):
        for q in range(row_ptr[begin], row_ptr[end]):
            new[label, voxel[q]] += source[label, q]


@njit(**_JIT)
def _set_sinks(slots, begin, end, entries, rate, share, keep):
    """1 / (1 + B) in the slots of the rows `begin` to `end`,   B = sum_e b_e,   b_e = (dt / V) w_e g_e."""
    row_ptr, _ = slots
    slot_ptr, cell, weight, _, _, _ = entries
    for group in range(rate.shape[0]):
        for q in range(row_ptr[begin], row_ptr[end]):
            sink = 0.0
            for e in range(slot_ptr[q], slot_ptr[q + _ONE]):
                sink += share * weight[e] * rate[group, cell[e]]
            keep[group, q] = 1.0 / (1.0 + sink)


@njit(**_JIT)
def _exchange(new, slots, begin, end, source, keep):
    """u' = (u* + A) / (1 + B) in the slots of the rows `begin` to `end`; A is in u* if it is not given."""
    row_ptr, voxel = slots
    for label in range(new.shape[0]):
        group = label % keep.shape[0]
        for q in range(row_ptr[begin], row_ptr[end]):
            held = new[label, voxel[q]]
            if source is not None:
                held += source[label, q]
            new[label, voxel[q]] = held * keep[group, q]


@njit(**_JIT)
def _mean_of(u, label, ptr, voxel, weight, i):
    """sum_q w_iq u_q of cell i in a flat field, vesicles per voxel."""
    mean = 0.0
    for k in range(ptr[i], ptr[i + 1]):
        mean += weight[k] * u[label, voxel[k]]
    return mean


@njit(**_JIT)
def _limit(new, first, last, entries, rates, occupancy, uptake):
    """Limit the rates of the cells `first` to `last` by u* + A in their voxels."""
    _, _, _, ptr, voxel, weight = entries
    fresh = np.zeros((rates.rate.shape[0], last - first))
    for i in range(first, last):
        for label in range(new.shape[0]):
            group = label % fresh.shape[0]
            fresh[group, i - first] += _mean_of(new, label, ptr, voxel, weight, i) / uptake.volume
    if occupancy is not None:
        share = uptake.step / uptake.volume
        limit_rates(rates.rate, occupancy, fresh, uptake.least, share, uptake.step, first, last)


@njit(**_JIT)
def _take_up(new, first, last, entries, rates, occupancy, uptake, all_taken):
    """(dt / V) g_i sum_q w_iq u'_q for the cells `first` to `last`, and their rates in the next sub-step.

    ``all_taken`` (labels), the sums over these cells, is written.
    """
    _, _, _, ptr, voxel, weight = entries
    rate, mean, taken, volume = rates.rate, rates.mean, uptake.taken, uptake.volume
    groups, share = rate.shape[0], uptake.step / volume
    mean[:, first:last] = 0.0
    for label in range(new.shape[0]):
        group, total = label % groups, 0.0
        for i in range(first, last):
            held = _mean_of(new, label, ptr, voxel, weight, i)
            amount = share * rate[group, i] * held
            taken[label, i] += amount
            total += amount
            mean[group, i] += held / volume
        all_taken[label] = total
    if occupancy is not None:
        occupy(rates, occupancy, uptake.step, first, last)
    set_rates(rates, occupancy, first, last)


@njit(**_JIT)
def _first_rates(u, slots, entries, rates, lattice_rate, occupancy, uptake):
    """Rates of the first sub-step.

    Vesicles that enter in it count, so that a large number that enters at once saturates: u' is at least
    A / (1 + B), and u has reached that where sources are steady.
    """
    _, voxel = slots
    slot_ptr, cell, weight, _, _, _ = entries
    groups, share, source, mean = (
        lattice_rate.shape[0],
        uptake.step / uptake.volume,
        uptake.source,
        rates.mean,
    )
    for group in range(groups):
        for q in range(voxel.size):
            first, last = slot_ptr[q], slot_ptr[q + 1]
            if first == last:
                continue
            held = entering = sink = 0.0
            for label in range(group, u.shape[0], groups):
                held += u[label, voxel[q]]
                entering += source[label, q]
            for e in range(first, last):
                sink += share * weight[e] * lattice_rate[group, cell[e]]
            held = max(held, entering / (1.0 + sink)) / uptake.volume
            for e in range(first, last):
                mean[group, cell[e]] += weight[e] * held
    set_rates(rates, occupancy, 0, mean.shape[1])


@njit(**_JIT)
def _rows(new, old, block, height, medium, slots, entries, rates, uptake, escaped):
    """First part of a sub-step in a block of rows; without the uptake if this is limited."""
    begin, end = block * height, min(block * height + height, old.shape[1])
    _diffuse(new, old, begin, end, medium, escaped)
    flat = new.reshape(new.shape[0], -1)
    if uptake.limited:
        _add_sources(flat, slots, begin, end, uptake.source)
    else:
        _set_sinks(slots, begin, end, entries, rates.rate, uptake.step / uptake.volume, uptake.keep)
        _exchange(flat, slots, begin, end, uptake.source, uptake.keep)


@njit(**_JIT)
def _limited_rows(new, block, height, slots, entries, rates, uptake):
    """The uptake in a block of rows at limited rates."""
    begin, end = block * height, min(block * height + height, new.shape[1])
    _set_sinks(slots, begin, end, entries, rates.rate, uptake.step / uptake.volume, uptake.keep)
    _exchange(new.reshape(new.shape[0], -1), slots, begin, end, None, uptake.keep)


@njit(**_JIT)
def _serial(
    old, new, n_sub, height, grid, value, r, decay, faces, slots, entries, rates, occupancy, uptake, sums,
    balance,
):  # fmt: skip
    """Sub-steps of all labels by one thread, which ends in `new` for an odd number."""
    escaped, all_taken = sums
    medium = grid, value, r, decay, faces
    blocks, cells = -(-old.shape[1] // height), rates.uptake.size
    for _ in range(n_sub):
        for block in range(blocks):
            _rows(new, old, block, height, medium, slots, entries, rates, uptake, escaped)
        if uptake.limited:
            _limit(new.reshape(new.shape[0], -1), 0, cells, entries, rates, occupancy, uptake)
            for block in range(blocks):
                _limited_rows(new, block, height, slots, entries, rates, uptake)
        for part in range(len(all_taken)):
            first, last = part * BLOCK_CELLS, min((part + 1) * BLOCK_CELLS, cells)
            _take_up(
                new.reshape(new.shape[0], -1), first, last, entries, rates, occupancy, uptake, all_taken[part]
            )
        _carry_balance(balance, sums, decay)
        old, new = new, old


@njit(parallel=True, **_JIT)
def _parallel(
    old, new, n_sub, height, grid, value, r, decay, faces, slots, entries, rates, occupancy, uptake, sums,
    balance,
):  # fmt: skip
    """The same by several threads."""
    escaped, all_taken = sums
    blocks, cells = -(-old.shape[1] // height), rates.uptake.size
    for _ in range(n_sub):
        for block in prange(blocks):
            medium = grid, value, r, decay, faces
            _rows(new, old, block, height, medium, slots, entries, rates, uptake, escaped)
        if uptake.limited:
            for part in prange(len(all_taken)):
                first, last = part * BLOCK_CELLS, min((part + 1) * BLOCK_CELLS, cells)
                _limit(new.reshape(new.shape[0], -1), first, last, entries, rates, occupancy, uptake)
            for block in prange(blocks):
                _limited_rows(new, block, height, slots, entries, rates, uptake)
        for part in prange(len(all_taken)):
            first, last = part * BLOCK_CELLS, min((part + 1) * BLOCK_CELLS, cells)
            _take_up(
                new.reshape(new.shape[0], -1), first, last, entries, rates, occupancy, uptake, all_taken[part]
            )
        _carry_balance(balance, sums, decay)
        old, new = new, old


@njit(**_JIT)
def _carry_balance(balance, sums, decay):
    """Balances of all labels over a sub-step; see `update_balance`."""
    flows, released, entered = balance
    escaped, all_taken = sums
    for label in range(decay.size):
        update_balance(
            flows[label], all_taken[:, label], escaped[label], released[label], entered[label], decay[label]
        )


def advance_saturable(
    u: Field,
    scratch: Field,
    *,
    n_sub: int,
    diffusion: Diffusion,
    slots: Slots,
    entries: Entries,
    source: Floats,
    law: UptakeLaw,
    dt: float,
    volume: float,
    taken: Floats,
    flows: Floats,
    occupancy: Occupancy | None = None,
    threads: int = 1,
) -> None:
    """Advance all labels together, where uptake saturates on the sum of the labels.

    As `advance_linear`, with B_q = (dt / V) sum_i w_iq g_i. At the start of every sub-step each
    cell takes g_i from the mean concentration cbar_i = sum_q w_iq sum_labels u_q / V of its own
    voxels: see `uptake_rates.membrane_rate`. First order in time; positive for every dt that keeps the
    diffusion positive.

    Labels may be of several groups, with a kappa for each, that come in turn: label l is of the
    group l modulo their number. All of them share the membranes; see `uptake_rates.shared_membrane_rates`.

    Parameters
    ----------
    u, scratch
        (labels, ny, nx) or (labels, nz, ny, nx).
    n_sub
        Sub-steps, the same for all labels.
    entries
        From `index_entries`.
    source
        (labels, slots)
    law
        k_a, kappa (of each group) and 1 / Km of each cell. A cell with k_a = 0 takes up nothing.
    dt, volume
        Sub-step, s, and voxel volume, um^3.
    taken
        (labels, cells) vesicles taken up, added to in place.
    flows
        (labels, 6)
    occupancy
        Receptors of the cells and bound vesicles, changed in place: uptake never exceeds the free receptors.
        Without it uptake follows the law at rest.

    The other arguments are those of `advance_linear`.

    Raises
    ------
    ValueError
        If the arrays do not fit together.
    """
    old, new, grid, value, faces = flatten(u, scratch, diffusion)
    labels, rows, width = old.shape
    r, decay = by_label(diffusion.r, labels), by_label(diffusion.decay, labels)
    _check(labels, rows, slots, entries, source, law, taken, flows)
    limit = _largest_mean(u, source, diffusion, n_sub, len(law.lattice_rate)) / volume
    limited = occupancy is not None and may_exceed(law, occupancy, limit, dt)
    least = np.ones(law.rate.size)
    if limited:
        np.minimum.at(least, entries.cell, entries.weight)
    uptake = _Uptake(
        source, np.empty((len(law.lattice_rate), source.shape[1])), taken, least, limited, float(dt),
        float(volume),
    )  # fmt: skip
    rates = Rates.of(law)
    _first_rates(old.reshape(labels, -1), slots, entries, rates, law.lattice_rate, occupancy, uptake)
    parts = -(-law.rate.size // BLOCK_CELLS)
    height = max(1, BLOCK_VOXELS // width)
    state = (
        height, grid, value, r, decay, faces, slots, entries, rates, occupancy, uptake,
        (np.zeros((labels, rows)), np.zeros((parts, labels))),
        (flows, source.sum(axis=1), inflows(u, diffusion)),
    )  # fmt: skip
    kernel = _serial if threads == 1 else _parallel
    for some in substeps(n_sub, old.size):
        kernel(old, new, some, *state)
        old, new = (new, old) if some % 2 else (old, new)
    if n_sub % 2:
        u[...] = scratch


def _check(
    labels: int,
    rows: int,
    slots: Slots,
    entries: Entries,
    source: Floats,
    law: UptakeLaw,
    taken: Floats,
    flows: Floats,
) -> None:
    """Raise unless the arrays of `advance_saturable` fit together."""
    groups, n_cells, n_slots = len(law.lattice_rate), law.rate.size, slots.voxel.size
    if labels % groups:
        raise ValueError(f"{labels} labels must come in turn from {groups} groups")
    for name, array, shape in (
        ("slots.row_ptr", slots.row_ptr, (rows + 1,)),
        ("entries.slot_ptr", entries.slot_ptr, (n_slots + 1,)),
        ("entries.member_ptr", entries.member_ptr, (n_cells + 1,)),
        ("source", source, (labels, n_slots)),
        ("law.lattice_rate", law.lattice_rate, (groups, n_cells)),
        ("law.saturation", law.saturation, (n_cells,)),
        ("taken", taken, (labels, n_cells)),
        ("flows", flows, (labels, 6)),
    ):
        check_shape(name, array, shape)


def _largest_mean(u: Field, source: Floats, diffusion: Diffusion, n_sub: int, groups: int) -> float:
    """Bound of the vesicles per voxel, all labels together, in any sub-step.

    Diffusion and uptake raise no largest value of a group; sources and sides do.
    """
    total = 0.0
    for group in range(groups):
        held = u[group::groups].sum(axis=0, dtype=np.float64).max()
        entering = source[group::groups].sum(axis=0).max(initial=0.0)
        total += held + n_sub * entering + diffusion.side_value[group::groups].sum(axis=0).max()
    return float(total)
