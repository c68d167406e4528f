"""Diffusion with uptake that saturates on the sum of the labels: all labels advance together.

A sub-step has two parts. In the first, row by row: diffusion, B of each slot from the rates of its cells, and
u' = (u* + A) / (1 + B), of every label. In the second, cell by cell: the mean of u' over its voxels, which is
what it takes up in this sub-step and the concentration that sets its rates in the next.

Labels of the same group (size class) have the same D and the same rates. All labels of a block of rows are
in cache when its cells read them.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

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
    side_of,
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

if TYPE_CHECKING:
    from collections.abc import Iterator

_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
_ONE = np.uint64(1)

BLOCK_VALUES = 1 << 14
"""Least numbers of a block of rows, all labels together."""
BLOCK_CELLS = 1 << 9
"""Cells of a block."""


class _Uptake(NamedTuple):
    """Exchange of the labels in the slots, and uptake of the cells."""

    source: Floats
    """(labels, slots) A"""
    keep: Floats
    """(groups, slots) 1 / (1 + B), overwritten."""
    pull: Floats
    """(entries) (dt / V) w"""
    taken: Floats
    """(labels, cells) vesicles taken up, added to."""
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
def _set_sinks(slots, begin, end, entries, rate, uptake):
    """1 / (1 + B) in the slots of the rows `begin` to `end`,   B = sum_e b_e,   b_e = (dt / V) w_e g_e."""
    row_ptr, _ = slots
    slot_ptr, cell, pull = entries.slot_ptr, entries.cell, uptake.pull
    first, last = row_ptr[begin], row_ptr[end]
    for g in range(rate.shape[0]):
        acting, keep = rate[g], uptake.keep[g]
        for q in range(first, last):
            sink = 0.0
            for e in range(slot_ptr[q], slot_ptr[q + _ONE]):
                sink += pull[e] * acting[cell[e]]
            keep[q] = sink
        for q in range(first, last):
            keep[q] = 1.0 / (1.0 + keep[q])


@njit(**_JIT)
def _exchange(new, slots, begin, end, source, keep):
    """u' = (u* + A) / (1 + B) in the slots of the rows `begin` to `end`; without A or B where not given.

    Where every voxel is a slot, slot q is voxel q.
    """
    row_ptr, voxel = slots
    first, last = row_ptr[begin], row_ptr[end]
    for label in range(new.shape[0]):
        field = new[label]
        entering = None if source is None else source[label]
        staying = None if keep is None else keep[label % keep.shape[0]]
        if voxel.size == field.size:
            for q in range(first, last):
                _exchange_one(field, q, q, entering, staying)
        else:
            for q in range(first, last):
                _exchange_one(field, voxel[q], q, entering, staying)


@njit(inline="always", **_JIT)
def _exchange_one(field, voxel, slot, source, keep):
    """The exchange of a label in a slot."""
    held = field[voxel]
    if source is not None:
        held += source[slot]
    if keep is not None:
        held *= keep[slot]
    field[voxel] = held


@njit(**_JIT)
def _means(u, entries, first, last, held):
    """sum_q w_iq u_q of the cells `first` to `last`, vesicles per voxel, into `held` (labels, cells).

    `u` is (labels, voxels). Four labels at a time do not wait for each other.
    """
    ptr, voxel, weight = entries.member_ptr, entries.member_voxel, entries.member_weight
    labels = u.shape[0]
    for label in range(0, labels, 4):
        # Of fewer than four, the last is computed more than once.
        a, b, c, d = label, min(label + 1, labels - 1), min(label + 2, labels - 1), min(label + 3, labels - 1)
        u_a, u_b, u_c, u_d = u[a], u[b], u[c], u[d]
        for i in range(first, last):
            one = two = three = four = 0.0
            for m in range(ptr[i], ptr[i + 1]):
                v, w = voxel[m], weight[m]
                one += w * u_a[v]
                two += w * u_b[v]
                three += w * u_c[v]
                four += w * u_d[v]
            held[a, i - first], held[b, i - first] = one, two
            held[c, i - first], held[d, i - first] = three, four


@njit(**_JIT)
def _sums(values, total):
    """Sums of the rows of `values` (labels, n), in order, into `total` (labels)."""
    labels, n = values.shape
    for label in range(0, labels, 4):
        a, b, c, d = label, min(label + 1, labels - 1), min(label + 2, labels - 1), min(label + 3, labels - 1)
        one = two = three = four = 0.0
        for j in range(n):
            one += values[a, j]
            two += values[b, j]
            three += values[c, j]
            four += values[d, j]
        total[a], total[b], total[c], total[d] = one, two, three, four


@njit(**_JIT)
def _limit(new, part, entries, rates, occupancy, uptake):
    """Limit the rates of a block of cells by u* + A in their voxels."""
    first, last = part * BLOCK_CELLS, min((part + 1) * BLOCK_CELLS, rates.uptake.size)
    groups = rates.rate.shape[0]
    fresh, held = np.zeros((groups, last - first)), np.empty((new.shape[0], last - first))
    _means(new, entries, first, last, held)
    for label in range(new.shape[0]):
        for j in range(last - first):
            fresh[label % groups, j] += held[label, j] / uptake.volume
    if occupancy is not None:
        share = uptake.step / uptake.volume
        limit_rates(rates.rate, occupancy, fresh, uptake.least, share, uptake.step, first, last)


@njit(**_JIT)
def _take_up(new, part, entries, rates, occupancy, uptake, all_taken):
    """(dt / V) g_i sum_q w_iq u'_q for a block of cells, and their rates in the next sub-step.

    ``all_taken`` (labels), the sums over these cells, is written.
    """
    first, last = part * BLOCK_CELLS, min((part + 1) * BLOCK_CELLS, rates.uptake.size)
    share, groups, n = uptake.step / uptake.volume, rates.rate.shape[0], last - first
    held, together = np.empty((new.shape[0], n)), np.zeros((groups, n))
    _means(new, entries, first, last, held)
    for label in range(new.shape[0]):
        g = label % groups
        amount, rate, total, taken = held[label], rates.rate[g, first:last], together[g], uptake.taken[label]
        for j in range(n):
            total[j] += amount[j]
            amount[j] *= share * rate[j]
        for j in range(n):
            taken[first + j] += amount[j]
    _sums(held, all_taken)
    for g in range(groups):
        for j in range(n):
            rates.mean[g, first + j] = together[g, j] / uptake.volume
    if occupancy is not None:
        occupy(rates, occupancy, uptake.step, first, last)
    set_rates(rates, occupancy, first, last)


@njit(**_JIT)
def _by_voxel(field):
    """A field (labels, rows, nx) as (labels, voxels)."""
    return field.reshape(field.shape[0], -1)


@njit(**_JIT)
def _rows(new, old, block, height, medium, slots, entries, rates, uptake, escaped):
    """First part of a sub-step in a block of rows; without the uptake if this is limited."""
    begin, end = block * height, min(block * height + height, old.shape[1])
    grid, value, r, decay, faces = medium
    for label in range(old.shape[0]):
        g, sides = label % r.size, side_of(value, label)
        diffuse_rows(
            new[label], old[label], begin, end, grid, sides, r[g], decay[g], faces, escaped[label]
        )  # fmt: skip
    if uptake.limited:
        _exchange(_by_voxel(new), slots, begin, end, uptake.source, None)
    else:
        _set_sinks(slots, begin, end, entries, rates.rate, uptake)
        _exchange(_by_voxel(new), slots, begin, end, uptake.source, uptake.keep)


@njit(**_JIT)
def _limited_rows(new, block, height, slots, entries, rates, uptake):
    """The uptake in a block of rows at limited rates."""
    begin, end = block * height, min(block * height + height, new.shape[1])
    _set_sinks(slots, begin, end, entries, rates.rate, uptake)
    _exchange(_by_voxel(new), slots, begin, end, None, uptake.keep)


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
                _take_up(_by_voxel(new), done, entries, rates, occupancy, uptake, all_taken[done])
                done += 1
        if uptake.limited:
            for part in range(parts):
                _limit(_by_voxel(new), part, entries, rates, occupancy, uptake)
            for block in range(blocks):
                _limited_rows(new, block, height, slots, entries, rates, uptake)
        for part in range(done, parts):
            _take_up(_by_voxel(new), part, entries, rates, occupancy, uptake, all_taken[part])
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
                _limit(_by_voxel(new), part, entries, rates, occupancy, uptake)
            for block in prange(blocks):
                _limited_rows(new, block, height, slots, entries, rates, uptake)
        for part in prange(parts):
            _take_up(_by_voxel(new), part, entries, rates, occupancy, uptake, all_taken[part])
        _carry_balance(balance, sums, decay)
        old, new = new, old


@njit(**_JIT)
def _carry_balance(balance, sums, decay):
    """Balances of all labels over a sub-step; see `update_balance`."""
    flows, released, entered = balance
    escaped, all_taken = sums
    for label in range(flows.shape[0]):
        taken, lost, share = all_taken[:, label], escaped[label], decay[label % decay.size]
        update_balance(flows[label], taken, lost, released[label], entered[label], share)


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
        (labels, slots) A, vesicles released in a sub-step.
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
    given, (law, occupancy) = occupancy, in_order(entries.order, law, occupancy)
    limited = False
    if occupancy is not None:
        most = largest_sum(field.reshape(labels, -1), source, diffusion.side_value, n_sub, groups) / volume
        limited = may_exceed(law, occupancy, most, dt)
    uptake = _Uptake(
        source, np.empty((groups, slots.voxel.size)), dt / volume * entries.weight, np.zeros((labels, cells)),
        least_weights(entries) if limited else np.ones(cells), last_rows(entries, width, BLOCK_CELLS),
        limited, float(dt), volume,
    )  # fmt: skip
    rates, released = Rates.of(law), np.empty(labels)
    first_rates(
        field.reshape(labels, -1), slots.voxel, entries, source, dt / volume, volume, law.lattice_rate, rates,
        occupancy,
    )  # fmt: skip
    _sums(source, released)
    state = (
        max(1, BLOCK_VALUES // (width * labels)), grid, value, np.asarray(diffusion.r, float),
        np.asarray(diffusion.decay, float), faces, slots, entries, rates, occupancy, uptake,
        (np.zeros((labels, rows)), np.zeros((len(uptake.last_row), labels))),
        (flows, released, inflows(u, diffusion)),
    )  # fmt: skip
    old, new = field, copy
    with _using(threads) if threads > 1 else nullcontext():
        for some in substeps(n_sub, field.size):
            (_serial if threads == 1 else _parallel)(old, new, some, *state)
            old, new = (new, old) if some % 2 else (old, new)
    _collect(uptake.taken, entries.order, taken)
    if given is not None and occupancy is not None:
        given.taken[entries.order], given.pools[entries.order] = occupancy.taken, occupancy.pools
    if n_sub % 2:
        u[...] = scratch


@contextmanager
def _using(threads: int) -> Iterator[None]:
    """Within, parallel kernels use so many threads."""
    before = get_num_threads()
    set_num_threads(min(max(threads, 1), config.NUMBA_NUM_THREADS))
    try:
        yield
    finally:
        set_num_threads(before)


@njit(**_JIT)
def _collect(by_place, order, taken):
    """Add (labels, cells) by place in the order of cells to (labels, cells)."""
    for label in range(taken.shape[0]):
        for j in range(order.size):
            taken[label, order[j]] += by_place[label, j]


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
        ("source", source, (labels, n_slots)),
        ("law.lattice_rate", law.lattice_rate, (groups, n_cells)),
        ("law.saturation", law.saturation, (n_cells,)),
        ("taken", taken, (labels, n_cells)),
        ("flows", flows, (labels, 6)),
    ):
        check_shape(name, array, shape)
