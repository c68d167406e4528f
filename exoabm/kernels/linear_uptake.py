"""Diffusion with uptake in proportion to the concentration: A and B are constant over the call.

Labels are independent of each other and each has sub-steps of its own. On large grids several sub-steps, the
*levels*, are taken block by block while the blocks are in cache: level k of block m follows level k - 1 of
block m + 1. Every voxel is computed from the same numbers as without blocks. Several threads take labels of
their own; where there are fewer labels than threads, they divide the blocks of a large grid instead.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from exoabm.kernels import diffusion_stencil
from exoabm.kernels.diffusion_stencil import (
    Diffusion,
    Field,
    Floats,
    Grid,
    Integers,
    by_label,
    check_shape,
    diffuse_rows,
    flatten,
    inflows,
    pieces,
    side_of,
    split_range,
    update_balance,
)  # fmt: skip
from exoabm.kernels.medium import PERIODIC
from exoabm.kernels.threads import run_together

_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
_ONE, _TWO, _THREE, _FOUR = (np.uint64(n) for n in (1, 2, 3, 4))

BLOCK_VOXELS = 1 << 11
"""Least voxels of a block of rows."""
CACHED_BYTES = 3 << 18
"""Size of a field and its copy up to which all blocks stay in the cache of a core."""
LEVELS = 8
"""Sub-steps of a block in succession, for fields that do not."""
DIVIDED_VOXELS = 1 << 18
"""Voxels from which on several threads, with blocks of their own, advance a label faster than one does."""


class Slots(NamedTuple):
    """Occupied voxels, grouped by row of the grid (a row is a (z, y) pair).

    Indices are unsigned, for which kernels need no check of the sign.
    """

    row_ptr: NDArray[np.uint64]
    """(rows + 1): the slots of row i are row_ptr[i] to row_ptr[i + 1]."""
    voxel: NDArray[np.uint64]
    """(slots): flat index of the voxel."""


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
    return Slots(np.searchsorted(voxel, row_start).astype(np.uint64), voxel.astype(np.uint64))


class Exchange(NamedTuple):
    """What a label exchanges in its slots, (slots) each."""

    source: Floats
    """A"""
    sink: Floats
    """B"""
    keep: Floats
    """1 / (1 + B)"""
    exposure: Floats
    """Sum of u' over the sub-steps, added to."""
    amount: Floats
    """u', overwritten."""


@njit(**_JIT)
def _of_label(exchange, label):
    """The part of a label in the same arrays for all labels; sinks are those of its group."""
    source, sink, keep, exposure, amount = exchange
    group = label % sink.shape[0]
    return Exchange(source[label], sink[group], keep[group], exposure[label], amount)


class Tiling(NamedTuple):
    """Division of a field into blocks of rows."""

    height: int
    """Rows of a block."""
    levels: int
    """Sub-steps of a block in succession."""
    bounds: Integers
    """(threads + 1) blocks of each thread."""

    @classmethod
    def of(cls, u: Field, grid: Grid, threads: int) -> Tiling:
        """Blocks of a field (rows, nx); a block reaches its neighbors' rows only."""
        rows, width = u.shape
        height = max(1, BLOCK_VOXELS // width)
        if grid.deep:
            height = grid.height * -(-height // grid.height)
        blocks = -(-rows // height)
        wraps = grid.sides[4 if grid.deep else 2] == PERIODIC
        levels = max(1, min(LEVELS, blocks // (2 * threads)))
        if wraps or (threads == 1 and 2 * u.nbytes <= CACHED_BYTES):
            levels = 1
        parts = max(1, min(threads, blocks // (2 * levels)))
        return cls(height, levels, split_range(blocks, parts))


@njit(**_JIT)
def _weighted_sum(weight, value, q, end):
    """sum_q weight_q value_q from q to `end`, in four parts that do not wait for each other."""
    first = second = third = fourth = 0.0
    while q + _THREE < end:
        first += weight[q] * value[q]
        second += weight[q + _ONE] * value[q + _ONE]
        third += weight[q + _TWO] * value[q + _TWO]
        fourth += weight[q + _THREE] * value[q + _THREE]
        q += _FOUR
    while q < end:
        first += weight[q] * value[q]
        q += _ONE
    return (first + second) + (third + fourth)


@njit(**_JIT)
def exchange_linear(field, begin, end, slots, exchange):
    """Set u' = (u* + A) / (1 + B) in the slots `begin` to `end` of a flat field; return the sum of B u'."""
    source, sink, keep, exposure, amount = exchange
    _, voxel = slots
    for q in range(begin, end):
        held = (field[voxel[q]] + source[q]) * keep[q]
        field[voxel[q]] = held
        amount[q] = held
    for q in range(begin, end):
        exposure[q] += amount[q]
    return _weighted_sum(sink, amount, begin, end)


@njit(**_JIT)
def _levels(old, new, levels, low, high, low_rise, high_rise, height, medium, slots, exchange, label, sums):
    """Sub-steps k < `levels` of the blocks low + k low_rise to high + k high_rise, of `height` rows each.

    Level k writes `new` for even k and `old` for odd k. Where all blocks stay in cache, one diffusion for all
    is faster.
    """
    grid, value, r, decay, faces = medium
    taken, escaped = sums
    rows, cached = old.shape[0], levels == 1 and 2 * old.nbytes <= CACHED_BYTES
    for place in range(low - levels, high + 2 * levels):
        for k in range(levels):
            block = place - k
            if block < low + k * low_rise or block >= high + k * high_rise:
                continue
            u, out = (old, new) if k % 2 == 0 else (new, old)
            begin, end = block * height, min(block * height + height, rows)
            if block == low or not cached:
                last = min(high * height, rows) if cached else end
                sides = side_of(value, label)
                diffuse_rows(out, u, begin, last, grid, sides, r[label], decay[label], faces, escaped[k])
            taken[k, block] = exchange_linear(
                out.reshape(-1), slots.row_ptr[begin], slots.row_ptr[end], slots, exchange
            )


@njit(**_JIT)
def linear_serial(
    u, scratch, piece, n_sub, tiling, grid, value, r, decay, faces, slots, exchange, sums, balance
):  # fmt: skip
    """Sub-steps `start` to `stop` of the labels of a piece, one label after the other.

    Labels share the copy of the field, which stays in cache.
    """
    some, start, stop = piece
    height, most, bounds = tiling
    medium = grid, value, r, decay, faces
    for label in some:
        mine = _of_label(exchange, label)
        done, end = start, min(stop, n_sub[label])
        while done < end:
            levels = min(most, end - done)
            old, new = (u[label], scratch) if done % 2 == 0 else (scratch, u[label])
            _levels(old, new, levels, 0, bounds[-1], 0, 0, height, medium, slots, mine, label, sums)
            _carry_balance(balance, label, levels, sums, decay)
            done += levels
        if end == n_sub[label] and end % 2:
            u[label] = scratch


@njit(parallel=True, **_JIT)
def _linear_parallel(
    u, scratch, piece, n_sub, tiling, grid, value, r, decay, faces, slots, exchange, sums, balance
):  # fmt: skip
    """The same by several threads, each on blocks of its own.

    Toward the border between two threads each level ends one block before the level below; then these gaps
    are filled.
    """
    some, start, stop = piece
    height, most, bounds = tiling
    parts = bounds.size - 1
    for label in some:
        done, end = start, min(stop, n_sub[label])
        while done < end:
            levels = min(most, end - done)
            old, new = (u[label], scratch) if done % 2 == 0 else (scratch, u[label])
            for c in prange(parts):
                medium, mine = (grid, value, r, decay, faces), _of_label(exchange, label)
                low_rise, high_rise = 1 if c > 0 else 0, -1 if c < parts - 1 else 0
                _levels(
                    old, new, levels, bounds[c], bounds[c + 1], low_rise, high_rise, height, medium, slots,
                    mine, label, sums,
                )  # fmt: skip
            if levels > 1:
                for c in prange(1, parts):
                    medium, mine = (grid, value, r, decay, faces), _of_label(exchange, label)
                    _levels(
                        old, new, levels, bounds[c], bounds[c], -1, 1, height, medium, slots, mine,
                        label, sums,
                    )  # fmt: skip
            _carry_balance(balance, label, levels, sums, decay)
            done += levels
        if end == n_sub[label] and end % 2:
            u[label] = scratch


@njit(**_JIT)
def _carry_balance(balance, label, levels, sums, decay):
    """Balance of a label over `levels` sub-steps; see `update_balance`."""
    flows, released, entered = balance
    taken, escaped = sums
    for k in range(levels):
        update_balance(flows[label], taken[k], escaped[k], released[label], entered[label], decay[label])


def advance_linear(
    u: Field,
    scratch: Field,
    *,
    n_sub: Integers,
    diffusion: Diffusion,
    slots: Slots,
    source: Floats,
    sink: Floats,
    exposure: Floats,
    flows: Floats,
    threads: int = 1,
) -> None:
    """Advance all labels by u' = ((1 - k dt) u + r sum_faces (u_nb - u) + A) / (1 + B), n_sub times.

    A and B act in the slots only and are constant over the call.

    Parameters
    ----------
    u
        (labels, ny, nx) or (labels, nz, ny, nx), float32 or float64, C order, vesicles per voxel; changed in
        place. Label l is of the group l modulo the number of groups.
    scratch
        Like `u`, overwritten.
    n_sub
        (groups) sub-steps.
    diffusion
        D, clearance and the sides of the grid.
    slots
        From `index_slots`.
    source
        (labels, slots) A, vesicles released in a sub-step.
    sink
        (groups, slots) B = dt sum_i kappa_i w_iq / V.
    exposure
        (labels, slots) sum of u' over the sub-steps, added to in place; see `collect`.
    flows
        (labels, 6) in vesicles, at MASS the mass before the call. Every sub-step carries it on by
        M' = M + released - taken - cleared - escaped + entered, with cleared = k dt M, and adds the
        five terms. M is never read from the field, so comparing it to the sum of `u` is a check.
    threads
        1 runs serially. The result has the same bits for every number.

    Raises
    ------
    ValueError
        If the arrays do not fit together.

    Notes
    -----
    Source of the scheme: forward time, centered space (any textbook of numerical analysis), with
    pointwise-implicit reactions.
    """
    field, copy, grid, value, faces = flatten(u, scratch, diffusion)
    labels, rows, _ = field.shape
    n_slots = slots.voxel.size
    check_shape("slots.row_ptr", slots.row_ptr, (rows + 1,))
    check_shape("source", source, (labels, n_slots))
    check_shape("sink", sink, (len(n_sub), n_slots))
    check_shape("exposure", exposure, (labels, n_slots))
    check_shape("flows", flows, (labels, 6))
    each = by_label(n_sub, labels).astype(np.int64)
    whole = threads > 1 and labels > 1 and (labels >= threads or field[0].size < DIVIDED_VOXELS)
    tiling = Tiling.of(field[0], grid, 1 if whole else threads)
    medium = grid, value, by_label(diffusion.r, labels), by_label(diffusion.decay, labels), faces
    keep, balance = 1.0 / (1.0 + sink), (flows, source.sum(axis=1), inflows(u, diffusion))

    def state() -> tuple[Any, ...]:
        """Arguments of the kernels, with arrays for intermediate results that no other thread uses."""
        exchange = Exchange(source, sink, keep, exposure, np.empty(n_slots))
        sums = np.zeros((tiling.levels, tiling.bounds[-1])), np.zeros((tiling.levels, rows))
        return each, tiling, *medium, slots, exchange, sums, balance

    if whole:
        _share_labels(field, each, [(copy[i], *state()) for i in range(min(threads, labels))])
        return
    kernel, only = linear_serial if len(tiling.bounds) == 2 else _linear_parallel, state()
    for piece in pieces(np.arange(labels), each, field[0].size):
        kernel(field, copy[0], piece, *only)


def _share_labels(field: Field, n_sub: Integers, states: list[tuple[Any, ...]]) -> None:
    """Advance all labels by as many threads as there are states, one of them the caller's.

    They take groups of labels of about equal work, in contiguous arrays, as the kernel is compiled for. An
    exception in the caller's thread, as a signal raises it, ends the others after their piece.
    """
    calls = -(-int(n_sub.sum()) * field[0].size // diffusion_stencil.UPDATES_PER_CALL)
    groups, order = max(len(states), min(calls, len(n_sub))), np.argsort(-n_sub, kind="stable")
    waiting = iter([np.ascontiguousarray(order[i::groups]) for i in range(groups)])

    def advance(state: tuple[Any, ...], stopped: threading.Event) -> None:
        scratch, *others = state
        for labels in waiting:
            for piece in pieces(labels, n_sub, field[0].size):
                if stopped.is_set():
                    return
                linear_serial(field, scratch, piece, *others)

    run_together([partial(advance, state) for state in states])


@njit(**_JIT)
def collect(entry_slot, entry_cell, weight, rate, exposure, taken):
    """Uptake of each cell: taken_li += rate_gi sum_q w_iq exposure_lq, rate = dt kappa / V.

    Label l is of the group l modulo their number.

    Parameters
    ----------
    entry_slot, entry_cell, weight
        (entries) pairs of slot and cell, and w.
    rate
        (groups, cells) dt kappa / V.
    exposure
        (labels, slots) sum of u' over the sub-steps, as `advance_linear` leaves it.
    taken
        (labels, cells) vesicles, added to in place.
    """
    for label in range(taken.shape[0]):
        group = label % rate.shape[0]
        collect_label(entry_slot, entry_cell, weight, rate[group], exposure[label], taken[label])


@njit(**_JIT)
def collect_label(entry_slot, entry_cell, weight, rate, exposure, taken):
    """The part of `collect` of one label: rate and taken (cells), exposure (slots)."""
    for e in range(entry_slot.size):
        taken[entry_cell[e]] += rate[entry_cell[e]] * weight[e] * exposure[entry_slot[e]]


@njit(**_JIT)
def spread(emission, shares, release_ptr, release_slot, release_weight, source):
    """A_q += n w_iq of n vesicles that enter at cell i.

    Parameters
    ----------
    emission
        Cells, labels, numbers n and size classes, (m) each; those of class -1 are divided among all classes.
    shares
        (classes)
    release_ptr, release_slot, release_weight
        The slots of cell i, and w, are those from release_ptr[i] to release_ptr[i + 1].
    source
        (labels, classes, slots), added to.
    """
    cell, label, count, size = emission
    for m in range(cell.size):
        for group in range(shares.size):
            if size[m] >= 0 and size[m] != group:
                continue
            amount = count[m]
            if size[m] < 0:
                amount *= shares[group]
            for k in range(release_ptr[cell[m]], release_ptr[cell[m] + 1]):
                source[label[m], group, release_slot[k]] += amount * release_weight[k]


@njit(**_JIT)
def spread_back(count, part, shares, release_ptr, release_slot, release_weight, source):
    """A_q += n_il s_ilg w_iq of the n vesicles of each label that come back to the medium at each cell.

    Parameters
    ----------
    count
        (cells, labels) n.
    part
        (cells, labels, classes or more) s, or (cells, labels, 0) where all have ``shares``.

    The other arguments are those of `spread`.
    """
    groups = shares.size
    amount = np.empty((count.shape[1], groups))
    for i in range(count.shape[0]):
        for label in range(count.shape[1]):
            for g in range(groups):
                share = part[i, label, g] if part.shape[2] else shares[g]
                amount[label, g] = count[i, label] * share
        for k in range(release_ptr[i], release_ptr[i + 1]):
            slot, weight = release_slot[k], release_weight[k]
            for g in range(groups):
                for label in range(count.shape[1]):
                    source[label, g, slot] += amount[label, g] * weight
