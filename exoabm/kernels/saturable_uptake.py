"""Diffusion with uptake that saturates on the sum of the labels: all labels advance together.

A sub-step has two parts. In the first, row by row: diffusion, B of each slot from the rates of its cells, and
u' = (u* + A) / (1 + B), of every label. In the second, cell by cell: the mean of u' over its voxels, which is
what it takes up in this sub-step and the concentration that sets its rates in the next.

Labels of the same group (size class) have the same D and the same rates. All labels of a block of rows are
in cache when its cells read them. Each thread has a range of rows and the cells that lie in these alone;
those across a border follow in a phase of their own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from exoabm.kernels import diffusion_stencil
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
    split_range,
    update_balance,
)  # fmt: skip
from exoabm.kernels.linear_uptake import Slots
from exoabm.kernels.threads import may_begin, note_done, run_in_phases
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

BLOCK_VALUES = 1 << 16
"""Numbers of a block of rows, all labels together."""
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
    limited: bool
    """Whether cells might exceed their receptors, see `limit_rates`."""
    step: float
    """dt, s"""
    volume: float
    """um^3"""


class _Shares(NamedTuple):
    """Rows and blocks of cells of each thread."""

    rows: Integers
    """(threads + 1) first row of each thread, and the end."""
    own: Integers
    """(threads + 1, 2) first block of cells that lie in these rows alone, and the block after the last one.

    Blocks of the gaps between two threads reach rows of both.
    """
    last_row: Integers
    """(blocks) last row that the cells of a block, or of one before, reach."""

    @classmethod
    def of(cls, entries: Entries, rows: int, width: int, threads: int) -> _Shares:
        """Nearly equal numbers of rows, which are of ``width`` voxels."""
        bounds = split_range(rows, threads)
        last = np.maximum.accumulate(last_rows(entries, width, BLOCK_CELLS))
        begins = entries.member_ptr[:-1:BLOCK_CELLS].astype(np.int64)
        first = np.append(entries.member_voxel, rows * width)[begins] // width  # cells are in this order
        begin, end = np.searchsorted(first, bounds), np.searchsorted(last, bounds)
        begin[-1] = last.size  # with those of cells without a voxel
        end[-1] = last.size
        own = np.clip(end[1:], begin[:-1], begin[1:])
        return cls(bounds, np.column_stack([begin, np.append(own, last.size)]), last)


@njit(**_JIT)
def _set_sinks(slots, begin, end, entries, rate, uptake):
    """1 / (1 + B) in the slots of the rows `begin` to `end`,   B = sum_e b_e,   b_e = (dt / V) w_e g_e."""
    row_ptr, _ = slots
    slot_ptr, slot, cell, pull = entries.slot_ptr, entries.slot, entries.cell, uptake.pull
    first, last = row_ptr[begin], row_ptr[end]
    for g in range(rate.shape[0]):
        acting, keep = rate[g], uptake.keep[g]
        for q in range(first, last):
            keep[q] = 0.0
        for e in range(slot_ptr[first], slot_ptr[last]):
            keep[slot[e]] += pull[e] * acting[cell[e]]
        for q in range(first, last):
            keep[q] = 1.0 / (1.0 + keep[q])


@njit(**_JIT)
def _exchange(field, slots, begin, end, source, keep):
    """u' = (u* + A) / (1 + B) of a label in the slots of the rows `begin` to `end`; A and B may be None.

    Where every voxel is a slot, slot q is voxel q.
    """
    row_ptr, voxel = slots
    first, last = row_ptr[begin], row_ptr[end]
    if voxel.size == field.size:
        for q in range(first, last):
            _exchange_one(field, q, q, source, keep)
    else:
        for q in range(first, last):
            _exchange_one(field, voxel[q], q, source, keep)


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
def _rows(new, old, begin, end, medium, slots, entries, rates, uptake, escaped):
    """First part of a sub-step in the rows `begin` to `end`; without the uptake if this is limited."""
    grid, value, r, decay, faces = medium
    if not uptake.limited:
        _set_sinks(slots, begin, end, entries, rates.rate, uptake)
    for label in range(old.shape[0]):
        g, sides, field = label % r.size, side_of(value, label), new[label]
        diffuse_rows(field, old[label], begin, end, grid, sides, r[g], decay[g], faces, escaped[label])
        if uptake.limited:
            _exchange(field.reshape(-1), slots, begin, end, uptake.source[label], None)
        else:
            _exchange(field.reshape(-1), slots, begin, end, uptake.source[label], uptake.keep[g])


@njit(**_JIT)
def _limited_rows(new, begin, end, slots, entries, rates, uptake):
    """The uptake in the rows `begin` to `end` at limited rates."""
    _set_sinks(slots, begin, end, entries, rates.rate, uptake)
    for label in range(new.shape[0]):
        keep = uptake.keep[label % uptake.keep.shape[0]]
        _exchange(new[label].reshape(-1), slots, begin, end, None, keep)


@njit(**_JIT)
def _phases_of(limited):
    """Phases of a sub-step.

    Rows with their cells, and cells across borders. If the uptake is limited, before these: rows without it,
    and the limits of the rates.
    """
    return 4 if limited else 2


@njit(**_JIT)
def _advance(
    thread, progress, first, last, field, copy, height, shares, grid, value, r, decay, faces, slots, entries,
    rates, occupancy, uptake, sums, balance,
):  # fmt: skip
    """Phases `first` to `last` of a thread; returns the first that it has not done.

    A block of cells follows as soon as the rows that it reaches are done, while they are in cache.
    """
    escaped, all_taken = sums
    medium = grid, value, r, decay, faces
    phases, threads = _phases_of(uptake.limited), shares.rows.size - 1
    for phase in range(first, last):
        if not may_begin(progress, phase):
            return phase
        step, part = phase // phases, phase % phases
        old, new = (field, copy) if step % 2 == 0 else (copy, field)
        if part == phases - 1:
            for c in range(threads if thread == 0 else 0):
                for block in range(shares.own[c, 1], shares.own[c + 1, 0]):
                    _take_up(_by_voxel(new), block, entries, rates, occupancy, uptake, all_taken[block])
            if thread == 0:
                _carry_balance(balance, sums, decay)
        elif part == 1:
            for block in range(thread, len(all_taken), threads):
                _limit(_by_voxel(new), block, entries, rates, occupancy, uptake)
        else:
            block, end_block = shares.own[thread]
            for begin in range(shares.rows[thread], shares.rows[thread + 1], height):
                end = min(begin + height, shares.rows[thread + 1])
                if part == 0:
                    _rows(new, old, begin, end, medium, slots, entries, rates, uptake, escaped)
                else:
                    _limited_rows(new, begin, end, slots, entries, rates, uptake)
                while part == phases - 2 and block < end_block and shares.last_row[block] < end:
                    _take_up(_by_voxel(new), block, entries, rates, occupancy, uptake, all_taken[block])
                    block += 1
        note_done(progress, thread, phase)
    return last


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
        least_weights(entries) if limited else np.ones(cells), limited, float(dt), volume,
    )  # fmt: skip
    rates, released = Rates.of(law), np.empty(labels)
    first_rates(
        field.reshape(labels, -1), slots.voxel, entries, source, uptake.pull, volume, law.lattice_rate, rates,
        occupancy,
    )  # fmt: skip
    _sums(source, released)
    threads = max(1, min(threads, rows))
    shares = _Shares.of(entries, rows, width, threads)
    state = (
        field, copy, max(1, BLOCK_VALUES // (width * labels)), shares, grid, value,
        np.asarray(diffusion.r, float), np.asarray(diffusion.decay, float), faces, slots, entries, rates,
        occupancy, uptake, (np.zeros((labels, rows)), np.zeros((len(shares.last_row), labels))),
        (flows, released, inflows(u, diffusion)),
    )  # fmt: skip
    phases = _phases_of(limited)
    at_once = max(1, diffusion_stencil.UPDATES_PER_CALL // field.size)
    run_in_phases(lambda *part: _advance(*part, *state), threads, n_sub * phases, at_once * phases)
    _collect(uptake.taken, entries.order, taken)
    if given is not None and occupancy is not None:
        given.taken[entries.order], given.pools[entries.order] = occupancy.taken, occupancy.pools
    if n_sub % 2:
        u[...] = scratch


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
