r"""Coupling steps of linear uptake and of the two compartments behind it, several in one call.

In a step of a label, for each group s of its rows,

    A_s = (a_s + spread(b)) / n_s                       sources of a sub-step
    u_s <- n_s sub-steps of `linear_uptake`,            c = what each cell captures of all groups
    contents of cells <- `binding_kinetics` with c,     b = what leaves them outward

with the same steps and the same order of operations as separate calls, and so the same bits. Labels are
independent of each other: a thread takes a label through all steps.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from exoabm.kernels import diffusion_stencil
from exoabm.kernels.binding_kinetics import Compartments, Transfers, advance_at, advance_parts_at
from exoabm.kernels.diffusion_stencil import (
    CLEARED,
    MASS,
    Diffusion,
    Field,
    Floats,
    Integers,
    by_label,
    flatten,
    inflows,
)
from exoabm.kernels.linear_uptake import Exchange, Slots, Tiling, collect_label, linear_serial
from exoabm.kernels.row_groups import sum_pairwise
from exoabm.kernels.threads import run_together

_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


class Entering(NamedTuple):
    """Where particles enter the field."""

    constant: Floats
    """(rows, slots) a, the same in every step."""
    shares: Floats
    """(groups) of what leaves a cell, where its composition is not known."""
    ptr: NDArray[np.integer[Any]]
    slot: NDArray[np.integer[Any]]
    weight: Floats
    """Those of cell i are ptr[i] to ptr[i + 1], as in `linear_uptake.spread_back`."""


class Captured(NamedTuple):
    """Where cells capture particles; see `linear_uptake.collect`."""

    slot: Integers
    cell: NDArray[np.integer[Any]]
    """(entries): place in ``order``."""
    weight: Floats
    rate: Floats
    """(groups, cells), by place."""
    order: Integers
    """(cells)"""


class Held(NamedTuple):
    """What cells hold of one kind, and the steps of `binding_kinetics` that carry it on."""

    kind: int
    coefficients: Floats
    """(1, kinds, 5)"""
    shares: Floats
    """(1, kinds, 4)"""
    contents: Compartments
    parts: tuple[Floats, Floats, Floats]
    """(cells, kinds, labels, groups or 0) composition of both compartments, and of what left outward."""
    threshold: float


class Record(NamedTuple):
    """What happened in each step; the first axis is that of the steps. Written."""

    transfers: Transfers
    """(steps, cells, kinds, labels) each."""
    flows: Floats
    """(steps, rows, 6)"""
    held: Floats
    """(steps, rows) sum of the field."""
    waiting: Floats
    """(steps, labels) what left cells outward."""


@njit(**_JIT)
def _spread_back(cells, kind, label, entering, contents, parts, source):
    """`linear_uptake.spread_back` for one label: sources (groups, slots) of what left cells outward."""
    groups, amount = source.shape[0], np.empty(source.shape[0])
    for i in range(cells):
        count = contents.out[i, kind, label]
        for g in range(groups):
            share = parts[i, kind, label, g] if parts.shape[3] else entering.shares[g]
            amount[g] = count * share
        for k in range(entering.ptr[i], entering.ptr[i + 1]):
            for g in range(groups):
                source[g, entering.slot[k]] += amount[g] * entering.weight[k]


@njit(**_JIT)
def _hold(step, label, time, by_cell, capture, taken, held, record):
    """Carry the contents of cells over a step in which they captured ``taken`` (groups, places)."""
    kind, coefficients, shares, contents, parts, threshold = held
    transfers = (
        record.transfers.transferred[step], record.transfers.lost[step], record.transfers.returned[step],
        record.transfers.completed[step],
    )  # fmt: skip
    for place in range(capture.order.size):
        for g in range(taken.shape[0]):
            by_cell[capture.order[place], g] = taken[g, place]
    pools = contents.first, contents.second, parts[0], parts[1], parts[2]
    waiting = 0.0
    for i in range(by_cell.shape[0]):
        all_groups = 0.0
        for g in range(by_cell.shape[1]):
            all_groups += by_cell[i, g]
        if parts[0].shape[3]:
            advance_parts_at(i, kind, label, by_cell[i], coefficients[0, kind], shares[0, kind], pools)
        advance_at(
            i, kind, label, all_groups, coefficients[0, kind], shares[0, kind], time, threshold, contents,
            transfers,
        )  # fmt: skip
        waiting += contents.out[i, kind, label]
    record.waiting[step, label] = waiting


@njit(**_JIT)
def _advance_label(
    label, first, last, times, least, u, scratch, n_sub, tiling, medium, slots, exchange, sums, inflow,
    entering, capture, held, record,
):  # fmt: skip
    """Steps `first` to `last` of a label, up to the first with a field that is not finite.

    A field that holds less than `least` is set to 0 and cleared.
    """
    grid, value, r, decay, faces = medium
    groups, cells = entering.shares.size, held.contents.out.shape[0]
    begin, end = label * groups, (label + 1) * groups
    rows, by_cell = np.arange(begin, end), np.zeros((cells, groups))
    taken, released = np.empty((groups, capture.order.size)), np.zeros(u.shape[0])
    for step in range(first, last):
        source, flows = exchange.source[begin:end], record.flows[step]
        source[:] = entering.constant[begin:end]
        _spread_back(cells, held.kind, label, entering, held.contents, held.parts[2], source)
        for row in range(begin, end):
            exchange.source[row] /= n_sub[row]
            released[row] = sum_pairwise(exchange.source[row])
            exchange.exposure[row] = 0.0
            flows[row] = 0.0
            flows[row, MASS] = sum_pairwise(u[row].reshape(-1))
        balance = flows, released, inflow
        linear_serial(
            u, scratch, (rows, 0, n_sub[begin:end].max()), n_sub, tiling, grid, value, r, decay, faces, slots,
            exchange, sums, balance,
        )  # fmt: skip
        for row in range(begin, end):
            amount = sum_pairwise(u[row].reshape(-1))
            record.held[step, row] = amount
            if not np.isfinite(amount):
                return
            if 0.0 < amount < least:
                u[row] = 0.0
                flows[row, CLEARED] += amount
        taken[:] = 0.0
        for g in range(groups):
            exposure = exchange.exposure[begin + g]
            collect_label(capture.slot, capture.cell, capture.weight, capture.rate[g], exposure, taken[g])
        _hold(step, label, times[step], by_cell, capture, taken, held, record)


def advance_linear_steps(
    u: Field,
    scratch: Field,
    *,
    times: Floats,
    n_sub: Integers,
    diffusion: Diffusion,
    slots: Slots,
    sink: Floats,
    entering: Entering,
    capture: Captured,
    held: Held,
    record: Record,
    least: float,
    threads: int = 1,
) -> None:
    """Advance all labels by several coupling steps in which nothing else changes.

    Parameters
    ----------
    u, scratch, n_sub, diffusion, slots, sink
        As of `linear_uptake.advance_linear`.
    times
        (steps) ends of the steps, s.
    entering, capture, held
        Sources, captures, and contents of the cells, which change.
    record
        Written.
    least
        Sum of a field below which it is set to 0; what it held counts as cleared.
    threads
        At most one for each label. The result has the same bits for every number.
    """
    field, copy, grid, value, faces = flatten(u, scratch, diffusion)
    rows, n_slots, groups = len(field), slots.voxel.size, len(n_sub)
    each = by_label(n_sub, rows).astype(np.int64)
    tiling = Tiling.of(field[0], grid, 1)
    medium = grid, value, by_label(diffusion.r, rows), by_label(diffusion.decay, rows), faces
    keep, inflow = 1.0 / (1.0 + sink), inflows(u, diffusion)
    source, exposure = np.zeros((rows, n_slots)), np.zeros((rows, n_slots))
    updates = int(n_sub.sum()) * field[0].size
    at_once = max(1, diffusion_stencil.UPDATES_PER_CALL // updates)
    labels, steps = rows // groups, len(times)
    threads = max(1, min(threads, labels))
    # What is left over when threads have taken equal numbers of labels is begun first and ended last.
    split = labels % threads if steps > 1 else 0
    parts = [(label, 0, steps // 2) for label in range(split)]
    parts += [(label, 0, steps) for label in range(split, labels)]
    waiting = iter(parts + [(label, steps // 2, steps) for label in range(split)])
    half_done = [threading.Event() for _ in range(split)]

    def advance(number: int, stopped: threading.Event) -> None:
        exchange = Exchange(source, sink, keep, exposure, np.empty(n_slots))
        sums = np.zeros((tiling.levels, tiling.bounds[-1])), np.zeros((tiling.levels, field.shape[1]))
        for label, begin, end in waiting:
            if begin:
                half_done[label].wait()
            try:
                for first in range(begin, end, at_once):
                    if stopped.is_set():
                        return
                    _advance_label(
                        label, first, min(first + at_once, end), times, least, field, copy[number], each,
                        tiling, medium, slots, exchange, sums, inflow, entering, capture, held, record,
                    )  # fmt: skip
            finally:
                if label < split:
                    half_done[label].set()

    run_together([partial(advance, number) for number in range(threads)])
