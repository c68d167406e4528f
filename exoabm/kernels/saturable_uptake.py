"""Diffusion with uptake that saturates on the sum of the labels: all labels advance together.

    u' = (u* + A) / (1 + B),    B_q = (dt / V) sum_i w_iq g_i

Between two settings of the rates g_i lies an *interval* of one or more sub-steps, in which uptake is linear
(`linear_uptake`). An interval of m sub-steps has the mean of the rates on the line through the last two
settings, g = g_k + (m - 1) / 2 (g_k - g_k-1) / m_k-1. Its length follows from the change found in the
interval before. If in an interval of several sub-steps the rate of any cell has changed by more than
`RATE_CHANGE` of its value, it is taken again from its start with fewer. Slower changes of the rates thus
enter to second order in the interval; with m = 1 the rates are set in every sub-step. What is bound and
inside at the end of an interval follows from the uptake in each sub-step.

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
GROWTH = 2
"""Largest ratio of the sub-steps of two intervals in succession; assumed."""
SAFETY = 0.8
"""Part of the largest change for which the length of an interval is chosen; assumed."""
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
    """(groups, cells) rates as set before those of `now`, um^3/s."""
    now: Floats
    """(groups, cells) rates as set at the start of the interval, um^3/s."""
    acting: Floats
    """(groups, cells) g of the interval, um^3/s."""
    change: Floats
    """(blocks of cells) largest relative change of a rate in the interval."""
    least: Floats
    """(cells) smallest weight of a cell in a voxel."""
    longest: int
    """Sub-steps of an interval in which no cell can exceed its receptors; 0 if limited, see `limit_rates`."""
    tolerance: float
    """Largest relative change of a rate in an interval of several sub-steps."""
    step: float
    """dt, s"""
    volume: float
    """um^3"""


class _Values(NamedTuple):
    """What an interval changes, and from which it is taken again."""

    u: Field
    """(labels, rows, nx)"""
    flows: Floats
    """(labels, 6)"""
    taken: Floats
    """(labels, cells) of `_Uptake`."""
    occupied: Floats
    """(cells) `Occupancy.taken`, or none."""
    pools: Floats
    """(cells, 2) `Occupancy.pools`, or none."""


@njit(**_JIT)
def _copy(values, to):
    """Write `_Values` to others."""
    to.u[:] = values.u
    to.flows[:] = values.flows
    to.taken[:] = values.taken
    to.occupied[:] = values.occupied
    to.pools[:] = values.pools


@njit(**_JIT)
def _set_sinks(part, entries, uptake, exchange):
    """B and 1 / (1 + B) in a block of slots; their sums begin anew.   B = sum_e (dt / V) w_e g_e."""
    slot_ptr, cell, pull = entries.slot_ptr, entries.cell, uptake.pull
    _, sink, keep, exposure, _, weight, weighted = exchange
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
    if weight.shape[1]:
        weighted[:, :, first:last] = 0.0


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
def _bind(occupancy, kept, weighted, entries, uptake, first, last):
    """Carry the pools of the cells `first` to `last` over the interval, if there are any."""
    if occupancy is None:
        return
    groups, _, slots = weighted.shape
    held = np.empty((2 * groups, last - first))
    _means(weighted.reshape(2 * groups, slots), None, entries, first, last, held)
    occupy(uptake.acting, held, occupancy, kept, uptake.step / uptake.volume, first, last)


@njit(**_JIT)
def _take_up(part, n, judged, u, slots, entries, rates, occupancy, kept, uptake, exchange):
    """(dt / V) g_i sum_q w_iq sum u'_q of an interval of `n` sub-steps for a block of cells.

    If it is `judged`, the next rates are set and the change is found.
    """
    first, last = part * BLOCK, min((part + 1) * BLOCK, rates.uptake.size)
    share, groups = uptake.step / uptake.volume, rates.rate.shape[0]
    held = np.empty((u.shape[0], last - first))
    _means(exchange.exposure, None, entries, first, last, held)
    for label in range(u.shape[0]):
        acting, taken = uptake.acting[label % groups], uptake.taken[label]
        for j in range(last - first):
            taken[first + j] += held[label, j] * (share * acting[first + j])
    _bind(occupancy, kept, exchange.weighted, entries, uptake, first, last)
    if not judged:
        return
    if n > 1:
        _means(u, slots.voxel, entries, first, last, held)
    _by_group(held, uptake.volume, first, rates.mean)
    set_rates(rates, occupancy, first, last)
    uptake.change[part] = largest_change(uptake.now, rates.rate, first, last)


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
def _exchange_limited(part, u, slots, exchange, sums):
    """u' = u / (1 + B) in a block of slots, after diffusion and release; the sums of B u' by label."""
    _, sink, keep, exposure, _, weight, weighted = exchange
    first, last = part * BLOCK, min((part + 1) * BLOCK, slots.voxel.size)
    for label in range(u.shape[0]):
        field, g, taken = u[label], label % sink.shape[0], 0.0
        for q in range(first, last):
            held = field[slots.voxel[q]] * keep[g, q]
            field[slots.voxel[q]] = held
            exposure[label, q] = held
            weighted[g, 0, q] += weight[0, 0] * held
            weighted[g, 1, q] += weight[1, 0] * held
            taken += sink[g, q] * held
        sums[label, part] = taken


@njit(parallel=True, **_JIT)
def _set_sinks_parallel(parts, entries, uptake, exchange):
    for part in prange(parts):
        _set_sinks(part, entries, uptake, exchange)


@njit(parallel=True, **_JIT)
def _take_up_parallel(parts, n, judged, u, slots, entries, rates, occupancy, kept, uptake, exchange):
    for part in prange(parts):
        _take_up(part, n, judged, u, slots, entries, rates, occupancy, kept, uptake, exchange)


@njit(parallel=True, **_JIT)
def _limit_parallel(parts, u, slots, entries, rates, occupancy, uptake):
    for part in prange(parts):
        _limit(part, u, slots, entries, rates, occupancy, uptake)


@njit(parallel=True, **_JIT)
def _exchange_limited_parallel(parts, u, slots, exchange, sums):
    for part in prange(parts):
        _exchange_limited(part, u, slots, exchange, sums)


@njit(**_JIT)
def _begin(plan, entries, rates, uptake, exchange, threads):
    """Rates of the next interval."""
    more = 0.5 * (plan[_NOW] - 1) / plan[_BEFORE]
    for g in range(rates.rate.shape[0]):
        now, before, acting = uptake.now[g], uptake.before[g], uptake.acting[g]
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
def _take_up_limited(u, slots, entries, rates, occupancy, uptake, exchange, flows, threads):
    """The exchange of a sub-step with limited rates, after diffusion and release; if there are receptors."""
    if occupancy is None:
        return
    cell_parts, slot_parts = uptake.change.size, -(-slots.voxel.size // BLOCK)
    sums = np.zeros((u.shape[0], slot_parts))
    if threads is None:
        for part in range(cell_parts):
            _limit(part, u, slots, entries, rates, occupancy, uptake)
    else:
        _limit_parallel(cell_parts, u, slots, entries, rates, occupancy, uptake)
    _sinks(entries, uptake, exchange, threads)
    if threads is None:
        for part in range(slot_parts):
            _exchange_limited(part, u, slots, exchange, sums)
    else:
        _exchange_limited_parallel(slot_parts, u, slots, exchange, sums)
    for label in range(u.shape[0]):
        for taken in sums[label]:
            flows[label, TAKEN] += taken
            flows[label, MASS] -= taken


@njit(**_JIT)
def _over_interval(occupancy, n, weight):
    """`over_interval`, if there are receptors."""
    if occupancy is None:
        return 1.0, 1.0, 0.0
    return over_interval(occupancy.chain, n, weight)


@njit(**_JIT)
def _end(plan, u, slots, entries, rates, occupancy, kept, uptake, exchange, threads):
    """Uptake of the cells in the interval, and the length of the next one; whether its rates held."""
    n, parts = plan[_NOW], uptake.change.size
    judged = n > 1 or n < plan[_LEFT]
    if threads is None:
        for part in range(parts):
            _take_up(part, n, judged, u, slots, entries, rates, occupancy, kept, uptake, exchange)
    else:
        _take_up_parallel(parts, n, judged, u, slots, entries, rates, occupancy, kept, uptake, exchange)
    change = 0.0
    for part in range(parts):
        change = max(change, uptake.change[part])
    held = n == 1 or change <= uptake.tolerance
    most = min(GROWTH * n, uptake.longest) if held else n // 2
    if uptake.tolerance <= 0.0:
        most = 1
    elif change * most > SAFETY * uptake.tolerance * n:
        most = np.int64(SAFETY * uptake.tolerance * n / change)
    plan[_DONE] = 0
    if held:
        plan[_LEFT] -= n
        plan[_BEFORE] = n
        uptake.before[:] = uptake.now
        uptake.now[:] = rates.rate
    plan[_NOW] = max(1, min(most, plan[_LEFT]))
    return held


@njit(**_JIT)
def _advance(
    plan, updates, u, scratch, tiling, grid, value, r, decay, faces, slots, entries, rates, occupancy, uptake,
    exchange, sums, balance, values, saved, threads,
):  # fmt: skip
    """Intervals, until all sub-steps are done or so many updates; `threads` is None for one thread."""
    labels, size = u.shape[0], max(u.size, 1)
    voxels = u.reshape(labels, -1)
    while plan[_LEFT] > 0 and updates > 0:
        limited = uptake.longest < 1
        if plan[_DONE] == 0:
            _begin(plan, entries, rates, uptake, exchange, threads)
            if plan[_NOW] > 1:
                _copy(values, saved)
            if limited:
                exchange.sink[:] = 0.0
                exchange.keep[:] = 1.0
        n = min(plan[_NOW] - plan[_DONE], max(1, updates // size))
        kept = _over_interval(occupancy, plan[_NOW], exchange.weight)
        piece, each = (0, labels, 0, n), np.full(labels, n)
        mine = Exchange(
            exchange.source, exchange.sink, exchange.keep, exchange.exposure, exchange.amount,
            exchange.weight[:, plan[_DONE]:], exchange.weighted,
        )  # fmt: skip
        if threads is None:
            linear_serial(
                u, scratch, piece, each, tiling, grid, value, r, decay, faces, slots, mine, sums, balance
            )  # fmt: skip
        else:
            linear_parallel(
                u, scratch, piece, each, tiling, grid, value, r, decay, faces, slots, mine, sums, balance
            )  # fmt: skip
        plan[_DONE] += n
        updates -= n * size
        if limited:
            _take_up_limited(
                voxels, slots, entries, rates, occupancy, uptake, exchange, balance[0], threads
            )  # fmt: skip
        if plan[_DONE] == plan[_NOW] and not _end(
            plan, voxels, slots, entries, rates, occupancy, kept, uptake, exchange, threads
        ):
            _copy(saved, values)


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
        Largest relative change of a rate in an interval of several sub-steps; 0 sets the rates in every
        sub-step.

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
        # Rates extrapolated over an interval are larger than those set by half the tolerance at most.
        longest = longest_interval(law, occupancy, most * (1.0 + tolerance), dt, n_sub)
    rates, (before, now, acting) = Rates.of(law), np.zeros((3, groups, cells))
    uptake = _Uptake(
        dt / volume * entries.weight, np.zeros((labels, cells)), before, now, acting,
        np.zeros(-(-cells // BLOCK)), np.ones(cells) if longest else least_weights(entries), longest,
        float(tolerance), float(dt), volume,
    )  # fmt: skip
    first_rates(
        field.reshape(labels, -1), slots.voxel, entries, source, dt / volume, volume, law.lattice_rate, rates,
        occupancy,
    )  # fmt: skip
    now[:] = rates.rate
    tiling, n_slots = Tiling.of(field[0], grid, threads), slots.voxel.size
    sink, keep = np.empty((2, groups, n_slots))
    weighted = n_slots if occupancy is not None else 0
    values = _Values(
        field, flows, uptake.taken, *((np.zeros(0), np.zeros((0, 2))) if occupancy is None else occupancy[3:])
    )  # fmt: skip
    state = (
        field, np.empty_like(copy[0]), tiling, grid, value, by_label(diffusion.r, labels),
        by_label(diffusion.decay, labels), faces, slots, entries, rates, occupancy, uptake,
        Exchange(
            source, sink, keep, np.empty((labels, n_slots)), np.empty(n_slots),
            np.empty((2, n_sub if weighted else 0)), np.empty((groups, 2, weighted)),
        ),
        (np.zeros((tiling.levels, tiling.bounds[-1])), np.zeros((tiling.levels, rows))),
        (flows, source.sum(axis=1), inflows(u, diffusion)), values,
        _Values(copy, *(np.empty_like(each) for each in values[1:])), None if threads == 1 else threads,
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
