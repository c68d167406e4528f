"""Diffusion with uptake that saturates on the sum of the labels: all labels advance together.

A sub-step has two parts. In the first, row by row: diffusion, B of each slot from the rates of its cells, and
u' = (u* + A) / (1 + B), of every label. In the second, cell by cell: the mean of u' over its voxels, which is
what it takes up in this sub-step and the concentration that sets its rates in the next.

Labels of the same group (size class) have the same D and the same rates. Inside they lie side by side,
(groups, voxels, origins) with label = origin x groups + group: what a slot or a cell reads of all of them in
a voxel is then one piece.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import config, get_num_threads, njit, prange, set_num_threads

from exoabm.kernels.diffusion_stencil import (
    Diffusion,
    Field,
    Floats,
    Integers,
    check_shape,
    diffuse_rows,
    flatten,
    inflows,
    sides_of,
    substeps,
    update_balance,
)  # fmt: skip
from exoabm.kernels.linear_uptake import Slots
from exoabm.kernels.uptake_rates import (
    Entries,
    Occupancy,
    Rates,
    UptakeLaw,
    first_rates,
    in_order,
    largest_sum,
    last_rows,
    least_weights,
    limit_rates,
    may_exceed,
    occupy,
    set_rates,
)  # fmt: skip

_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
_ZERO, _ONE, _TWO, _THREE, _FOUR = (np.uint64(n) for n in range(5))

BLOCK_VALUES = 1 << 11
"""Least numbers of a block of rows."""
BLOCK_CELLS = 1 << 9
"""Cells of a block."""
_TILE = 256
"""Voxels of which labels are put side by side at a time."""


class _Uptake(NamedTuple):
    """Exchange of the labels in the slots, and uptake of the cells."""

    source: Floats
    """(groups, slots, origins) A"""
    keep: Floats
    """(groups, slots) 1 / (1 + B), overwritten."""
    taken: Floats
    """(groups, cells, origins) vesicles taken up, added to."""
    least: Floats
    """(cells) smallest weight of a cell in a voxel."""
    last_row: Integers
    """Last row that each block of cells reaches."""
    limited: bool
    """Whether cells might exceed their receptors, see `limit_rates`."""
    step: float
    """dt, s"""
    volume: float
    """um^3"""


@njit(**_JIT)
def _interleave(apart, together, forward):
    """Copy labels (labels, voxels) side by side, (groups, voxels, origins), or back."""
    groups, voxels, origins = together.shape
    for g in range(groups):
        for first in range(0, voxels, _TILE):
            last = min(first + _TILE, voxels)
            for k in range(origins):
                label = k * groups + g
                if forward:
                    for v in range(first, last):
                        together[g, v, k] = apart[label, v]
                else:
                    for v in range(first, last):
                        apart[label, v] = together[g, v, k]


@njit(**_JIT)
def _set_sinks(slots, begin, end, entries, rate, share, keep):
    """1 / (1 + B) in the slots of the rows `begin` to `end`,   B = sum_e b_e,   b_e = (dt / V) w_e g_e."""
    row_ptr, _ = slots
    slot_ptr, cell, weight = entries.slot_ptr, entries.cell, entries.weight
    first, last = row_ptr[begin], row_ptr[end]
    for g in range(rate.shape[0]):
        for q in range(first, last):
            sink = 0.0
            for e in range(slot_ptr[q], slot_ptr[q + _ONE]):
                sink += share * weight[e] * rate[g, cell[e]]
            keep[g, q] = sink
        for q in range(first, last):
            keep[g, q] = 1.0 / (1.0 + keep[g, q])


@njit(**_JIT)
def _exchange(new, slots, begin, end, source, keep):
    """u' = (u* + A) / (1 + B) in the slots of the rows `begin` to `end`; without A or B where not given."""
    row_ptr, voxel = slots
    for g in range(new.shape[0]):
        for q in range(row_ptr[begin], row_ptr[end]):
            for k in range(new.shape[2]):
                held = new[g, voxel[q], k]
                if source is not None:
                    held += source[g, q, k]
                if keep is not None:
                    held *= keep[g, q]
                new[g, voxel[q], k] = held


@njit(**_JIT)
def _means(u, ptr, voxel, weight, first, last, held):
    """sum_q w_iq u_q of the cells `first` to `last`, vesicles per voxel, into `held` (cells, origins).

    `u` is (voxels, origins). Four origins at a time do not wait for each other.
    """
    origins = np.uint64(u.shape[1])
    for i in range(first, last):
        row, k = held[i - first], _ZERO
        while k + _THREE < origins:
            one = two = three = four = 0.0
            for m in range(ptr[i], ptr[i + 1]):
                v, w = voxel[m], weight[m]
                one += w * u[v, k]
                two += w * u[v, k + _ONE]
                three += w * u[v, k + _TWO]
                four += w * u[v, k + _THREE]
            row[k], row[k + _ONE], row[k + _TWO], row[k + _THREE] = one, two, three, four
            k += _FOUR
        while k < origins:
            one = 0.0
            for m in range(ptr[i], ptr[i + 1]):
                one += weight[m] * u[voxel[m], k]
            row[k] = one
            k += _ONE


@njit(**_JIT)
def _limit(new, part, entries, rates, occupancy, uptake):
    """Limit the rates of a block of cells by u* + A in their voxels."""
    first, last = part * BLOCK_CELLS, min((part + 1) * BLOCK_CELLS, rates.uptake.size)
    fresh, held = np.zeros((new.shape[0], last - first)), np.empty((last - first, new.shape[2]))
    ptr, voxel, weight = entries.member_ptr, entries.member_voxel, entries.member_weight
    for g in range(new.shape[0]):
        _means(new[g], ptr, voxel, weight, first, last, held)
        for j in range(last - first):
            for k in range(held.shape[1]):
                fresh[g, j] += held[j, k] / uptake.volume
    if occupancy is not None:
        share = uptake.step / uptake.volume
        limit_rates(rates.rate, occupancy, fresh, uptake.least, share, uptake.step, first, last)


@njit(**_JIT)
def _take_up(new, part, entries, rates, occupancy, uptake, all_taken):
    """(dt / V) g_i sum_q w_iq u'_q for a block of cells, and their rates in the next sub-step.

    ``all_taken`` (groups, origins), the sums over these cells, is written.
    """
    first, last = part * BLOCK_CELLS, min((part + 1) * BLOCK_CELLS, rates.uptake.size)
    rate, mean, share = rates.rate, rates.mean, uptake.step / uptake.volume
    ptr, voxel, weight = entries.member_ptr, entries.member_voxel, entries.member_weight
    held = np.empty((last - first, new.shape[2]))
    all_taken[:] = 0.0
    for g in range(new.shape[0]):
        _means(new[g], ptr, voxel, weight, first, last, held)
        taken, total = uptake.taken[g], all_taken[g]
        for j in range(last - first):
            factor, together = share * rate[g, first + j], 0.0
            for k in range(held.shape[1]):
                amount = factor * held[j, k]
                taken[first + j, k] += amount
                total[k] += amount
                together += held[j, k]
            mean[g, first + j] = together / uptake.volume
    if occupancy is not None:
        occupy(rates, occupancy, uptake.step, first, last)
    set_rates(rates, occupancy, first, last)


@njit(**_JIT)
def _by_voxel(field, uptake):
    """A field (groups, rows, nx origins) as (groups, voxels, origins)."""
    return field.reshape(field.shape[0], -1, uptake.source.shape[2])


@njit(**_JIT)
def _rows(new, old, block, height, medium, slots, entries, rates, uptake, escaped):
    """First part of a sub-step in a block of rows; without the uptake if this is limited."""
    begin, end = block * height, min(block * height + height, old.shape[1])
    grid, value, r, decay, faces = medium
    for g in range(old.shape[0]):
        sides = sides_of(value, g * escaped.shape[1], (g + 1) * escaped.shape[1])
        diffuse_rows(new[g], old[g], begin, end, grid, sides, r[g], decay[g], faces, escaped[g])
    if uptake.limited:
        _exchange(_by_voxel(new, uptake), slots, begin, end, uptake.source, None)
    else:
        _set_sinks(slots, begin, end, entries, rates.rate, uptake.step / uptake.volume, uptake.keep)
        _exchange(_by_voxel(new, uptake), slots, begin, end, uptake.source, uptake.keep)


@njit(**_JIT)
def _limited_rows(new, block, height, slots, entries, rates, uptake):
    """The uptake in a block of rows at limited rates."""
    begin, end = block * height, min(block * height + height, new.shape[1])
    _set_sinks(slots, begin, end, entries, rates.rate, uptake.step / uptake.volume, uptake.keep)
    _exchange(_by_voxel(new, uptake), slots, begin, end, None, uptake.keep)


@njit(**_JIT)
def _serial(
    old, new, n_sub, height, grid, value, r, decay, faces, slots, entries, rates, occupancy, uptake, sums,
    balance,
):  # fmt: skip
    """Sub-steps of all labels by one thread, which ends in `new` for an odd number.

    A block of cells follows as soon as the rows that it reaches are done, while they are in cache.
    """
    escaped, all_taken = sums
    medium = grid, value, r, decay, faces
    blocks, parts = -(-old.shape[1] // height), len(all_taken)
    for _ in range(n_sub):
        done = 0
        for block in range(blocks):
            _rows(new, old, block, height, medium, slots, entries, rates, uptake, escaped)
            while not uptake.limited and done < parts and uptake.last_row[done] < (block + 1) * height:
                _take_up(_by_voxel(new, uptake), done, entries, rates, occupancy, uptake, all_taken[done])
                done += 1
        if uptake.limited:
            for part in range(parts):
                _limit(_by_voxel(new, uptake), part, entries, rates, occupancy, uptake)
            for block in range(blocks):
                _limited_rows(new, block, height, slots, entries, rates, uptake)
        for part in range(done, parts):
            _take_up(_by_voxel(new, uptake), part, entries, rates, occupancy, uptake, all_taken[part])
        _carry_balance(balance, sums, decay)
        old, new = new, old


@njit(parallel=True, **_JIT)
def _parallel(
    old, new, n_sub, height, grid, value, r, decay, faces, slots, entries, rates, occupancy, uptake, sums,
    balance,
):  # fmt: skip
    """The same by several threads, rows and then cells."""
    escaped, all_taken = sums
    blocks, parts = -(-old.shape[1] // height), len(all_taken)
    for _ in range(n_sub):
        for block in prange(blocks):
            medium = grid, value, r, decay, faces
            _rows(new, old, block, height, medium, slots, entries, rates, uptake, escaped)
        if uptake.limited:
            for part in prange(parts):
                _limit(_by_voxel(new, uptake), part, entries, rates, occupancy, uptake)
            for block in prange(blocks):
                _limited_rows(new, block, height, slots, entries, rates, uptake)
        for part in prange(parts):
            _take_up(_by_voxel(new, uptake), part, entries, rates, occupancy, uptake, all_taken[part])
        _carry_balance(balance, sums, decay)
        old, new = new, old


@njit(**_JIT)
def _carry_balance(balance, sums, decay):
    """Balances of all labels over a sub-step; see `update_balance`."""
    flows, released, entered = balance
    escaped, all_taken = sums
    groups = escaped.shape[0]
    for label in range(flows.shape[0]):
        k, g = divmod(label, groups)
        update_balance(
            flows[label], all_taken[:, g, k], escaped[g, k], released[label], entered[label], decay[g]
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
    voxels: see `uptake_rates.membrane_rates`. First order in time; positive for every dt that keeps the
    diffusion positive.

    Labels may be of several groups, with a kappa for each, that come in turn: label l is of the
    group l modulo their number. All of them share the membranes; see `uptake_rates.membrane_rates`.

    Parameters
    ----------
    u, scratch
        (labels, ny, nx) or (labels, nz, ny, nx).
    n_sub
        Sub-steps, the same for all labels.
    entries
        From `index_entries`.
    source
        (groups, slots, labels / groups) A, vesicles released in a sub-step.
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
    field, copy, grid, value, faces = flatten(u, scratch, diffusion)
    labels, rows, width = field.shape
    _check(labels, rows, diffusion, slots, entries, source, law, taken, flows)
    groups, cells, volume = len(law.lattice_rate), law.rate.size, float(volume)
    origins = labels // groups
    old, new = (each.reshape(groups, rows, width * origins) for each in (field, copy))
    if origins > 1:
        _interleave(field.reshape(labels, -1), copy.reshape(groups, -1, origins), True)
        old, new = new, old
    given, (law, occupancy) = occupancy, in_order(entries.order, law, occupancy)
    by_voxel = old.reshape(groups, -1, origins)
    most = largest_sum(by_voxel, source, diffusion.side_value, n_sub) / volume
    limited = occupancy is not None and may_exceed(law, occupancy, most, dt)
    uptake = _Uptake(
        source, np.empty((groups, source.shape[1])),
        np.zeros((groups, cells, origins)), least_weights(entries) if limited else np.ones(cells),
        last_rows(entries, width, BLOCK_CELLS),
        limited, float(dt), volume,
    )  # fmt: skip
    rates = Rates.of(law)
    first_rates(
        by_voxel, slots.voxel, entries, source, dt / volume, volume, law.lattice_rate, rates, occupancy
    )  # fmt: skip
    state = (
        max(1, BLOCK_VALUES // (width * origins)), grid,
        None if value is None else value[np.arange(labels).reshape(origins, groups).T.ravel()],
        np.asarray(diffusion.r, float), np.asarray(diffusion.decay, float),
        None if faces is None else tuple(np.repeat(g, origins, axis=-1) for g in faces),
        slots, entries, rates, occupancy, uptake,
        (np.zeros((groups, origins, rows)), np.zeros((len(uptake.last_row), groups, origins))),
        (flows, _totals(source), inflows(u, diffusion)),
    )  # fmt: skip
    kernel, before = (_serial if threads == 1 else _parallel), get_num_threads()
    set_num_threads(min(max(threads, 1), config.NUMBA_NUM_THREADS))
    try:
        for some in substeps(n_sub, field.size):
            kernel(old, new, some, *state)
            old, new = (new, old) if some % 2 else (old, new)
    finally:
        set_num_threads(before)
    _collect(uptake.taken, entries.order, taken)
    if given is not None and occupancy is not None:
        given.taken[entries.order], given.pools[entries.order] = occupancy.taken, occupancy.pools
    if origins > 1:
        if n_sub % 2:
            copy[...] = field
        _interleave(field.reshape(labels, -1), copy.reshape(groups, -1, origins), False)
    elif n_sub % 2:
        u[...] = scratch


@njit(**_JIT)
def _totals(source):
    """Sums over the slots of A (groups, slots, origins), (labels)."""
    groups, slots, origins = source.shape
    total = np.zeros((origins, groups))
    for g in range(groups):
        for q in range(slots):
            for k in range(origins):
                total[k, g] += source[g, q, k]
    return total.ravel()


@njit(**_JIT)
def _collect(by_place, order, taken):
    """Add (groups, cells, origins) by place in the order of cells to (labels, cells)."""
    groups, cells, origins = by_place.shape
    for g in range(groups):
        for k in range(origins):
            for j in range(cells):
                taken[k * groups + g, order[j]] += by_place[g, j, k]


def _check(
    labels: int,
    rows: int,
    diffusion: Diffusion,
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
    if not len(diffusion.r) == len(diffusion.decay) == groups:
        raise ValueError(f"D and clearance must be those of {groups} groups")
    for name, array, shape in (
        ("slots.row_ptr", slots.row_ptr, (rows + 1,)),
        ("entries.slot_ptr", entries.slot_ptr, (n_slots + 1,)),
        ("entries.member_ptr", entries.member_ptr, (n_cells + 1,)),
        ("source", source, (groups, n_slots, labels // groups)),
        ("law.lattice_rate", law.lattice_rate, (groups, n_cells)),
        ("law.saturation", law.saturation, (n_cells,)),
        ("taken", taken, (labels, n_cells)),
        ("flows", flows, (labels, 6)),
    ):
        check_shape(name, array, shape)
