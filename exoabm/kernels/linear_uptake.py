"""Diffusion with uptake in proportion to the concentration: one label, A and B constant over the call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from exoabm.kernels.diffusion_stencil import (
    Conductance,
    Field,
    Floats,
    Integers,
    check_shape,
    diffuse_row,
    flatten,
    inflow,
    side_values,
    split_range,
    substeps,
    update_balance,
)  # fmt: skip

_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


class Slots(NamedTuple):
    """Occupied voxels, grouped by row of the grid (a row is a (z, y) pair)."""

    row_ptr: Integers
    """(rows + 1): the slots of row i are row_ptr[i] to row_ptr[i + 1]."""
    column: Integers
    """(slots): x index of the voxel."""


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
    return Slots(np.searchsorted(voxel, row_start).astype(np.int64), voxel % width)


@njit(**_JIT)
def exchange_linear(field, row, slots, source, sink, exposure):
    """Set u' = (u* + A) / (1 + B) in the slots of one row; return the sum of B u'.

    Parameters
    ----------
    field
        (rows, nx) after diffusion, changed in place.
    source, sink, exposure
        (slots) A, B, and the running sum of u'.
    """
    taken = 0.0
    for q in range(slots.row_ptr[row], slots.row_ptr[row + 1]):
        amount = (field[row, slots.column[q]] + source[q]) / (1.0 + sink[q])
        field[row, slots.column[q]] = amount
        exposure[q] += amount
        taken += sink[q] * amount
    return taken


@njit(**_JIT)
def _sweep_linear(
    new, old, first, last, grid, value, r, decay, faces, slots, source, sink, exposure,
    row_taken, row_escaped,
):  # fmt: skip
    """One sub-step of the rows `first` to `last`; the slots of a row follow it while it is warm."""
    for row in range(first, last):
        row_escaped[row] = diffuse_row(new, old, row, grid, value, 0, r, decay, faces)
        row_taken[row] = exchange_linear(new, row, slots, source, sink, exposure)


@njit(**_JIT)
def _linear_serial(
    old, new, n_sub, grid, value, r, decay, faces, slots, source, sink, exposure,
    released, entered, flows, row_taken, row_escaped,
):  # fmt: skip
    for _ in range(n_sub):
        _sweep_linear(
            new, old, 0, old.shape[0], grid, value, r, decay, faces, slots, source, sink,
            exposure, row_taken, row_escaped,
        )  # fmt: skip
        update_balance(flows, row_taken, row_escaped, released, entered, decay)
        old, new = new, old


@njit(parallel=True, **_JIT)
def _linear_parallel(
    old, new, n_sub, grid, value, r, decay, faces, slots, source, sink, exposure,
    released, entered, flows, row_taken, row_escaped, bounds,
):  # fmt: skip
    for _ in range(n_sub):
        for c in prange(bounds.size - 1):
            _sweep_linear(
                new, old, bounds[c], bounds[c + 1], grid, value, r, decay, faces, slots, source,
                sink, exposure, row_taken, row_escaped,
            )  # fmt: skip
        update_balance(flows, row_taken, row_escaped, released, entered, decay)
        old, new = new, old


def advance_linear(
    u: Field,
    scratch: Field,
    *,
    n_sub: int,
    r: float,
    decay: float,
    sides: Sequence[int],
    side_value: Floats,
    slots: Slots,
    source: Floats,
    sink: Floats,
    exposure: Floats,
    flows: Floats,
    conductance: Conductance | None = None,
    threads: int = 1,
) -> None:
    """Advance one label by u' = ((1 - k dt) u + r sum_faces (u_nb - u) + A) / (1 + B), n_sub times.

    A and B act in the slots only and are constant over the call.

    Parameters
    ----------
    u
        (ny, nx) or (nz, ny, nx), float32 or float64, C order, vesicles per voxel; changed in place.
    scratch
        Like `u`, overwritten.
    r
        D dt / dx^2. With `conductance`, the factor that multiplies it.
    decay
        k dt, the share that is cleared in a sub-step.
    sides
        (6) NO_FLUX, PERIODIC or FIXED; in two dimensions the z sides may be left out.
    side_value
        (6) vesicles per voxel at the FIXED sides, c V; the others are not read.
    slots
        From `index_slots`.
    source, sink
        (slots) A, vesicles released in a sub-step, and B = dt sum_i kappa_i w_iq / V.
    exposure
        (slots) sum of u' over the sub-steps, added to in place; see `collect`.
    flows
        (6) in vesicles, at MASS the mass before the call. Every sub-step carries it on by
        M' = M + released - taken - cleared - escaped + entered, with cleared = k dt M, and adds the
        five terms. M is never read from the field, so comparing it to the sum of `u` is a check.
    conductance
        Faces (gx, gy) or (gx, gy, gz) of the dtype of `u`, shaped like `u` with one more along
        their own axis, D of the face relative to the D in `r`. Entries 0 and n along the axis lie
        on the sides: equal on PERIODIC sides, twice as large on FIXED ones (half a voxel away),
        unused on NO_FLUX ones. All zero around an obstacle.
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
    old, new, grid, faces = flatten(u[None], scratch[None], sides, conductance)
    value = np.ascontiguousarray(side_value, dtype=np.float64)
    rows, n_slots = old.shape[1], slots.column.size
    check_shape("side_value", value, (6,))
    check_shape("slots.row_ptr", slots.row_ptr, (rows + 1,))
    check_shape("flows", flows, (6,))
    for name, array in (("source", source), ("sink", sink), ("exposure", exposure)):
        check_shape(name, array, (n_slots,))
    entered = inflow(u.shape, grid.sides, value, r, conductance)
    state = (
        grid, side_values(grid, value[None]), float(r), float(decay), faces,
        slots, source, sink, exposure, float(source.sum()), entered, flows,
        np.zeros(rows), np.zeros(rows),
    )  # fmt: skip
    old, new = old[0], new[0]
    for some in substeps(n_sub, old.size):
        if threads == 1:
            _linear_serial(old, new, some, *state)
        else:
            _linear_parallel(old, new, some, *state, split_range(rows, threads))
        old, new = (new, old) if some % 2 else (old, new)
    if n_sub % 2:
        u[...] = scratch


@njit(**_JIT)
def collect(entry_slot, entry_cell, entry_rate, exposure, taken):
    """Uptake of each cell: taken_i += sum_q (dt kappa_i w_iq / V) exposure_q, in entry order.

    Parameters
    ----------
    entry_slot, entry_cell
        (entries) int64.
    entry_rate
        (entries) dt kappa_i w_iq / V.
    exposure
        (slots) sum of u' over the sub-steps, as `advance_linear` leaves it.
    taken
        (cells) vesicles, added to in place.
    """
    for e in range(entry_slot.size):
        taken[entry_cell[e]] += entry_rate[e] * exposure[entry_slot[e]]
