"""Diffusion with uptake that saturates on the sum of the labels: all labels advance together.

    u' = (u* + A) / (1 + B),    B_q = (dt / V) sum_i w_iq g_i

Between two settings of the rates g_i lies an *interval* of one or more sub-steps, in which uptake is linear
(`linear_uptake`). An interval of m sub-steps has the mean of the rates on the line through the last two
settings, g = g_k + (m - 1) / 2 (g_k - g_k-1) / m_k-1, and is chosen such that the largest relative change of
a rate of any cell in it, as found in the interval before, is at most `RATE_CHANGE`. Changes of the rates
slower than that thus enter to second order in the interval; with m = 1 the rates are set in every sub-step.

Labels of the same group (size class) have the same D and the same rates.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import config, get_num_threads, njit, prange, set_num_threads

from exoabm.kernels import diffusion_stencil
from exoabm.kernels.diffusion_stencil import (
    MASS,
    TAKEN,
    Diffusion,
    Field,
    Floats,
    by_label,
    check_shape,
    flatten,
    inflows,
)  # fmt: skip
from exoabm.kernels.linear_uptake import Exchange, Slots, Tiling, linear_parallel, linear_serial
from exoabm.kernels.uptake_rates import (
    Entries,
    Occupancy,
    Rates,
    UptakeLaw,
    first_rates,
    in_order,
    largest_change,
    largest_sum,
    least_weights,
    limit_rates,
    longest_interval,
    occupy,
    over_interval,
    set_rates,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Iterator

_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
_ONE = np.uint64(1)

RATE_CHANGE = 1e-4
"""Largest relative change of the uptake rate of a cell in an interval; assumed."""
GROWTH = 16
"""Largest ratio of the sub-steps of two intervals in succession; assumed."""
BLOCK = 1 << 9
"""Cells or slots of a block, the part of a thread."""

_LEFT, _BEFORE, _NOW, _DONE = range(4)
"""Places in a plan: sub-steps left, those of the interval before and of the present one, and done in it."""


class _Uptake(NamedTuple):
    """Uptake of the cells in an interval."""

    pull: Floats
    """(entries) (dt / V) w"""
    taken: Floats
    """(labels, cells) vesicles taken up, added to."""
    before: Floats
    """(groups, cells) rates as set before the present ones, um^3/s."""
    acting: Floats
    """(groups, cells) g of the interval, um^3/s."""
    change: Floats
    """(blocks of cells) largest relative change of a rate from one setting to the next."""
    least: Floats
    """(cells) smallest weight of a cell in a voxel."""
    longest: int
    """Sub-steps of an interval in which no cell can exceed its receptors; 0 if limited, see `limit_rates`."""
    tolerance: float
    """Largest relative change of a rate in an interval."""
    step: float
    """dt, s"""
    volume: float
    """um^3"""


@njit(**_JIT)
def _set_sinks(part, entries, uptake, exchange):
    """B and 1 / (1 + B) in a block of slots; their exposure begins anew.   B = sum_e (dt / V) w_e g_e."""
    slot_ptr, cell, pull = entries.slot_ptr, entries.cell, uptake.pull
    _, sink, keep, exposure, _ = exchange
    first, last = part * BLOCK, min((part + 1) * BLOCK, sink.shape[1])
    for g in range(sink.shape[0]):
        acting = uptake.acting[g]
        for q in range(np.uint64(first), np.uint64(last)):
            total = 0.0
            for e in range(slot_ptr[q], slot_ptr[q + _ONE]):
                total += pull[e] * acting[cell[e]]
            sink[g, q] = total
        for q in range(first, last):
            keep[g, q] = 1.0 / (1.0 + sink[g, q])
    for label in range(exposure.shape[0]):
        exposure[label, first:last] = 0.0


@njit(**_JIT)
def _means(values, where, entries, first, last, held):
    """sum_q w_iq x_q of the cells `first` to `last` into `held` (labels, cells).

    `values` is (labels, n); the value of slot q stands at ``where[q]``, or at q if that is None. Four labels
    at a time do not wait for each other.
    """
    ptr, slot, weight = entries.member_ptr, entries.member_slot, entries.member_weight
    labels = values.shape[0]
    for label in range(0, labels, 4):
        # Of fewer than four, the last is computed more than once.
        a, b, c, d = label, min(label + 1, labels - 1), min(label + 2, labels - 1), min(label + 3, labels - 1)
        x_a, x_b, x_c, x_d = values[a], values[b], values[c], values[d]
        for i in range(first, last):
            one = two = three = four = 0.0
            for m in range(ptr[i], ptr[i + 1]):
                q, w = np.uint64(slot[m]), weight[m]
                if where is not None:
                    q = where[q]
                one += w * x_a[q]
                two += w * x_b[q]
                three += w * x_c[q]
                four += w * x_d[q]
            held[a, i - first], held[b, i - first] = one, two
            held[c, i - first], held[d, i - first] = three, four


@njit(**_JIT)
def _by_group(held, volume, first, mean):
    """Concentrations of the groups, (groups, cells) from `first` on, of vesicles of the labels in `held`."""
    groups, n = mean.shape[0], held.shape[1]
    for g in range(groups):
        total = mean[g, first : first + n]
        total[:] = 0.0
        for label in range(g, held.shape[0], groups):
            for j in range(n):
                total[j] += held[label, j]
        for j in range(n):
            total[j] /= volume


@njit(**_JIT)
def _take_up(part, n, last_one, u, slots, entries, rates, occupancy, chain, uptake, exposure):
    """(dt / V) g_i sum_q w_iq sum u'_q of an interval of `n` sub-steps for a block of cells.

    Unless it is the last one, the next rates are set.
    """
    first, last = part * BLOCK, min((part + 1) * BLOCK, rates.uptake.size)
    share, groups = uptake.step / uptake.volume, rates.rate.shape[0]
    held = np.empty((u.shape[0], last - first))
    _means(exposure, None, entries, first, last, held)
    _by_group(held, uptake.volume, first, rates.mean)
    for label in range(u.shape[0]):
        acting, taken = uptake.acting[label % groups], uptake.taken[label]
        for j in range(last - first):
            taken[first + j] += held[label, j] * (share * acting[first + j])
    if occupancy is not None:
        occupy(uptake.acting, rates.mean, occupancy, chain, uptake.step, first, last)
    if last_one:
        return
    if n > 1:
        _means(u, slots.voxel, entries, first, last, held)
        _by_group(held, uptake.volume, first, rates.mean)
    for g in range(groups):
        for i in range(first, last):
            uptake.before[g, i] = rates.rate[g, i]
    set_rates(rates, occupancy, first, last)
    uptake.change[part] = largest_change(uptake.before, rates.rate, first, last)


@njit(**_JIT)
def _limit(part, u, slots, entries, rates, occupancy, uptake):
    """Limit the rates of a block of cells by u* + A in their voxels."""
    first, last = part * BLOCK, min((part + 1) * BLOCK, rates.uptake.size)
    held, fresh = np.empty((u.shape[0], last - first)), np.empty((rates.rate.shape[0], last - first))
    _means(u, slots.voxel, entries, first, last, held)
    _by_group(held, uptake.volume, 0, fresh)
    share = uptake.step / uptake.volume
    limit_rates(uptake.acting, occupancy, fresh, uptake.least, share, uptake.step, first, last)


@njit(**_JIT)
def _exchange_limited(u, slots, exchange, flows):
    """u' = u / (1 + B) in the slots, after diffusion and release, and what it takes in the balance."""
    _, sink, keep, exposure, _ = exchange
    for label in range(u.shape[0]):
        field, g, taken = u[label], label % sink.shape[0], 0.0
        for q in range(slots.voxel.size):
            held = field[slots.voxel[q]] * keep[g, q]
            field[slots.voxel[q]] = held
            exposure[label, q] = held
            taken += sink[g, q] * held
        flows[label, TAKEN] += taken
        flows[label, MASS] -= taken


@njit(parallel=True, **_JIT)
def _set_sinks_parallel(parts, entries, uptake, exchange):
    for part in prange(parts):
        _set_sinks(part, entries, uptake, exchange)


@njit(parallel=True, **_JIT)
def _take_up_parallel(parts, n, last_one, u, slots, entries, rates, occupancy, chain, uptake, exposure):
    for part in prange(parts):
        _take_up(part, n, last_one, u, slots, entries, rates, occupancy, chain, uptake, exposure)


@njit(**_JIT)
def _begin(plan, entries, rates, uptake, exchange, threads):
    """Rates of the next interval."""
    more = 0.5 * (plan[_NOW] - 1) / plan[_BEFORE]
    for g in range(rates.rate.shape[0]):
        now, before, acting = rates.rate[g], uptake.before[g], uptake.acting[g]
        for i in range(now.size):
            acting[i] = now[i] + more * (now[i] - before[i]) if more > 0.0 else now[i]
    _sinks(entries, uptake, exchange, threads)


@njit(**_JIT)
def _sinks(entries, uptake, exchange, threads):
    """`_set_sinks` of all blocks."""
    parts = -(-exchange.sink.shape[1] // BLOCK)
    if threads is None:
        for part in range(parts):
            _set_sinks(part, entries, uptake, exchange)
    else:
        _set_sinks_parallel(parts, entries, uptake, exchange)


@njit(**_JIT)
def _end(plan, u, slots, entries, rates, occupancy, uptake, exposure, threads):
    """Uptake of the cells in the interval, and the length of the next one."""
    n, parts = plan[_NOW], uptake.change.size
    last_one = n == plan[_LEFT]
    chain = None if occupancy is None else over_interval(occupancy.chain, n)
    if threads is None:
        for part in range(parts):
            _take_up(part, n, last_one, u, slots, entries, rates, occupancy, chain, uptake, exposure)
    else:
        _take_up_parallel(parts, n, last_one, u, slots, entries, rates, occupancy, chain, uptake, exposure)
    change, most = 0.0, min(GROWTH * n, uptake.longest)
    for part in range(parts):
        change = max(change, uptake.change[part])
    if change * most > uptake.tolerance * n:
        most = np.int64(uptake.tolerance * n / change)
    plan[_LEFT] -= n
    plan[_BEFORE], plan[_NOW], plan[_DONE] = n, max(1, min(most, plan[_LEFT])), 0


@njit(**_JIT)
def _advance(
    plan, updates, u, scratch, tiling, grid, value, r, decay, faces, slots, entries, rates, occupancy, uptake,
    exchange, sums, balance, threads,
):  # fmt: skip
    """Intervals, until all sub-steps are done or so many updates; `threads` is None for one thread."""
    labels, size = u.shape[0], max(u.size, 1)
    voxels = u.reshape(labels, -1)
    while plan[_LEFT] > 0 and updates > 0:
        limited = uptake.longest < 1
        if plan[_DONE] == 0:
            _begin(plan, entries, rates, uptake, exchange, threads)
            if limited:
                exchange.sink[:] = 0.0
                exchange.keep[:] = 1.0
        n = min(plan[_NOW] - plan[_DONE], max(1, updates // size))
        piece, each = (0, labels, 0, n), np.full(labels, n)
        if threads is None:
            linear_serial(
                u, scratch, piece, each, tiling, grid, value, r, decay, faces, slots, exchange, sums, balance
            )  # fmt: skip
        else:
            linear_parallel(
                u, scratch, piece, each, tiling, grid, value, r, decay, faces, slots, exchange, sums, balance
            )  # fmt: skip
        plan[_DONE] += n
        updates -= n * size
        if occupancy is not None and limited:
            for part in range(uptake.change.size):
                _limit(part, voxels, slots, entries, rates, occupancy, uptake)
            _sinks(entries, uptake, exchange, threads)
            _exchange_limited(voxels, slots, exchange, balance[0])
        if plan[_DONE] == plan[_NOW]:
            _end(plan, voxels, slots, entries, rates, occupancy, uptake, exchange.exposure, threads)


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
    tolerance: float = RATE_CHANGE,
) -> None:
    """Advance all labels together, where uptake saturates on the sum of the labels.

    As `advance_linear`, with B_q = (dt / V) sum_i w_iq g_i. At the start of every interval, see the module,
    each cell takes g_i from the mean concentration cbar_i = sum_q w_iq sum_labels u_q / V of its own
    voxels: see `uptake_rates.membrane_rates`. First order in the sub-step, second in the interval; positive
    for every dt that keeps the diffusion positive.

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
    tolerance
        Largest relative change of a rate in an interval; 0 sets the rates in every sub-step.

    The other arguments are those of `advance_linear`.

    Raises
    ------
    ValueError
        If the arrays do not fit together.
    """
    field, copy, grid, value, faces = flatten(u, scratch, diffusion)
    labels, rows, _ = field.shape
    _check(labels, rows, diffusion, slots, entries, source, law, taken, flows)
    groups, cells, volume = len(law.lattice_rate), law.rate.size, float(volume)
    given, (law, occupancy) = occupancy, in_order(entries.order, law, occupancy)
    longest = n_sub
    if occupancy is not None:
        most = largest_sum(field.reshape(labels, -1), source, diffusion.side_value, n_sub, groups) / volume
        longest = longest_interval(law, occupancy, most, dt, n_sub)
    rates, (before, acting) = Rates.of(law), np.zeros((2, groups, cells))
    uptake = _Uptake(
        dt / volume * entries.weight, np.zeros((labels, cells)), before, acting,
        np.zeros(-(-cells // BLOCK)), np.ones(cells) if longest else least_weights(entries), longest,
        float(tolerance), float(dt), volume,
    )  # fmt: skip
    first_rates(
        field.reshape(labels, -1), slots.voxel, entries, source, dt / volume, volume, law.lattice_rate, rates,
        occupancy,
    )  # fmt: skip
    tiling, n_slots = Tiling.of(field[0], grid, threads), slots.voxel.size
    sink, keep = np.empty((2, groups, n_slots))
    state = (
        field, copy[0], tiling, grid, value, by_label(diffusion.r, labels), by_label(diffusion.decay, labels),
        faces, slots, entries, rates, occupancy, uptake,
        Exchange(source, sink, keep, np.empty((labels, n_slots)), np.empty(n_slots)),
        (np.zeros((tiling.levels, tiling.bounds[-1])), np.zeros((tiling.levels, rows))),
        (flows, source.sum(axis=1), inflows(u, diffusion)), None if threads == 1 else threads,
    )  # fmt: skip
    plan = np.array([n_sub, 1, 1, 0])
    with _using(threads):
        while plan[_LEFT] > 0:
            _advance(plan, diffusion_stencil.UPDATES_PER_CALL, *state)
    _collect(uptake.taken, entries.order, taken)
    if given is not None and occupancy is not None:
        given.taken[entries.order], given.pools[entries.order] = occupancy.taken, occupancy.pools


@contextmanager
def _using(threads: int) -> Iterator[None]:
    """Within, parallel kernels use so many threads; for one, nothing is set."""
    if threads == 1:
        yield
        return
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
