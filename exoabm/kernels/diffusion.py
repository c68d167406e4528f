r"""Explicit diffusion with source and uptake implicit in place (FTCS-IMEX), on counts per voxel.

One sub-step of length dt, in every voxel,

    u* = (1 - k dt) u + r sum_faces (u_neighbor - u),      r = D dt / dx^2,

and at every occupied voxel ("slot") q, in place and not split off,

    u'_q = (u*_q + A_q) / (1 + B_q),

so that a steady state does not depend on dt. First order in time, second order in space. The
field stays positive while k dt + r (faces + fixed faces of the voxel) < 1: r <= 0.2 in 2-D and
r < 1/6 in 3-D is safe away from fixed sides; a corner of fixed sides needs r < 1/6 or r < 1/9.

With variable diffusivity every face has its own conductance g and r sum_faces (u_neighbor - u)
becomes r sum_faces g (u_neighbor - u).

Inside, a field is (labels, rows, nx) and a row is a (z, y) pair, the same for two and three
dimensions. Every sum is taken per row and folded over the rows in order, in float64, so that the
result has the same bits for any number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from exoabm.kernels import pieces
from exoabm.kernels.exchange import (
    Entries,
    Floats,
    Integers,
    Occupancy,
    Slots,
    UptakeLaw,
    exchange_linear,
    exchange_shared,
    mean_over,
    occupy_all,
    refresh_occupied,
    refresh_rates,
)
from exoabm.kernels.sides import FIXED, PERIODIC

_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}

MASS, RELEASED, TAKEN, CLEARED, ESCAPED, ENTERED = range(6)
"""Places in the `flows` of a label, all in vesicles: the mass M, then five running sums."""

Field = NDArray[np.floating[Any]]
Conductance = tuple[Field, ...]


class _Grid(NamedTuple):
    layers: int
    """nz, 1 in two dimensions."""
    height: int
    """ny"""
    deep: bool
    """Three dimensions: there are z neighbors, be they ghosts."""
    sides: NDArray[np.int8]


@njit(**_JIT)
def _uniform_row(new, u, row, south, north, below, above, west, east, r, decay, faces, deep):
    """One row with equal faces, `faces` of them; the neighbor rows and end columns are indices."""
    end = u.shape[1] - 1
    for side in range(2):
        i = side * end
        around = u[row, i - 1 if i > 0 else west] + u[row, i + 1 if i < end else east]
        around += u[south, i] + u[north, i]
        if deep:
            around += u[below, i] + u[above, i]
        new[row, i] = u[row, i] + (r * (around - faces * u[row, i]) - decay * u[row, i])
    if deep:
        for j in range(1, end):
            own = u[row, j]
            around = (u[row, j - 1] + u[row, j + 1]) + (u[south, j] + u[north, j])
            around += u[below, j] + u[above, j]
            new[row, j] = own + (r * (around - faces * own) - decay * own)
    else:
        for j in range(1, end):
            own = u[row, j]
            around = (u[row, j - 1] + u[row, j + 1]) + (u[south, j] + u[north, j])
            new[row, j] = own + (r * (around - faces * own) - decay * own)


@njit(**_JIT)
def _varied_row(new, u, row, south, north, below, above, west, east, r, decay, faces, y_face, height, deep):
    """One row with a conductance on every face; `y_face` is the row of its low y faces."""
    gx, gy, gz = faces
    z_face = row + height
    end = u.shape[1] - 1
    for side in range(2):
        i = side * end
        own = u[row, i]
        flux = gx[row, i] * (u[row, i - 1 if i > 0 else west] - own)
        flux += gx[row, i + 1] * (u[row, i + 1 if i < end else east] - own)
        flux += gy[y_face, i] * (u[south, i] - own) + gy[y_face + 1, i] * (u[north, i] - own)
        if deep:
            flux += gz[row, i] * (u[below, i] - own) + gz[z_face, i] * (u[above, i] - own)
        new[row, i] = own + (r * flux - decay * own)
    if deep:
        for j in range(1, end):
            own = u[row, j]
            flux = gx[row, j] * (u[row, j - 1] - own) + gx[row, j + 1] * (u[row, j + 1] - own)
            flux += gy[y_face, j] * (u[south, j] - own) + gy[y_face + 1, j] * (u[north, j] - own)
            flux += gz[row, j] * (u[below, j] - own) + gz[z_face, j] * (u[above, j] - own)
            new[row, j] = own + (r * flux - decay * own)
    else:
        for j in range(1, end):
            own = u[row, j]
            flux = gx[row, j] * (u[row, j - 1] - own) + gx[row, j + 1] * (u[row, j + 1] - own)
            flux += gy[y_face, j] * (u[south, j] - own) + gy[y_face + 1, j] * (u[north, j] - own)
            new[row, j] = own + (r * flux - decay * own)


@njit(**_JIT)
def _fixed_face(new, u, row, first, last, value, r, faces, face_row, shift):
    """Add r g (value - u) to part of a row, g = 2 where all faces are equal; return sum r g u.

    The face of voxel (row, j) is faces[face_row, j + shift].
    """
    gone = 0.0
    for j in range(first, last):
        g = 2.0
        if faces is not None:
            g = np.float64(faces[face_row, j + shift])
        new[row, j] += r * g * (value - u[row, j])
        gone += r * g * u[row, j]
    return gone


@njit(**_JIT)
def _fixed_sides(new, u, row, y, z, grid, value, label, r, faces):
    """Add the fluxes through the sides of fixed concentration; return what flowed out of the row.

    The row stencil has taken these sides as closed.
    """
    width, ny = u.shape[1], grid.height
    gx = gy = gz = None
    if faces is not None:
        gx, gy, gz = faces
    gone = 0.0
    if grid.sides[0] == FIXED:
        gone += _fixed_face(new, u, row, 0, 1, value[label, 0], r, gx, row, 0)
    if grid.sides[1] == FIXED:
        gone += _fixed_face(new, u, row, width - 1, width, value[label, 1], r, gx, row, 1)
    if grid.sides[2] == FIXED and y == 0:
        gone += _fixed_face(new, u, row, 0, width, value[label, 2], r, gy, row + z, 0)
    if grid.sides[3] == FIXED and y == ny - 1:
        gone += _fixed_face(new, u, row, 0, width, value[label, 3], r, gy, row + z + 1, 0)
    if grid.sides[4] == FIXED and z == 0:
        gone += _fixed_face(new, u, row, 0, width, value[label, 4], r, gz, row, 0)
    if grid.sides[5] == FIXED and z == grid.layers - 1:
        gone += _fixed_face(new, u, row, 0, width, value[label, 5], r, gz, row + ny, 0)
    return gone


@njit(**_JIT)
def _diffuse_row(new, u, row, grid, value, label, r, decay, faces):
    """Diffusion and decay of one row of a field (rows, nx); return what left by fixed sides.

    `value` is (labels, 6), or None if no side is fixed: that compiles to a much leaner loop.
    """
    ny, nz, sides = grid.height, grid.layers, grid.sides
    z = row // ny
    y = row - z * ny
    end = u.shape[1] - 1
    south = row - 1 if y > 0 else (row + ny - 1 if sides[2] == PERIODIC else row)
    north = row + 1 if y < ny - 1 else (row - ny + 1 if sides[3] == PERIODIC else row)
    below = row - ny if z > 0 else (row + (nz - 1) * ny if sides[4] == PERIODIC else row)
    above = row + ny if z < nz - 1 else (y if sides[5] == PERIODIC else row)
    west = end if sides[0] == PERIODIC else 0
    east = 0 if sides[1] == PERIODIC else end
    real = u.dtype.type
    if faces is None:
        _uniform_row(
            new, u, row, south, north, below, above, west, east,
            real(r), real(decay), real(6.0 if grid.deep else 4.0), grid.deep,
        )  # fmt: skip
    else:
        _varied_row(
            new, u, row, south, north, below, above, west, east,
            real(r), real(decay), faces, row + z, ny, grid.deep,
        )  # fmt: skip
    if value is None:
        return 0.0
    return _fixed_sides(new, u, row, y, z, grid, value, label, r, faces)


@njit(**_JIT)
def _settle(flows, row_taken, row_escaped, released, entered, decay):
    """Fold the rows in order and carry the mass on: M' = M + in - out, each term booked."""
    taken = escaped = 0.0
    for row in range(row_taken.size):
        taken += row_taken[row]
        escaped += row_escaped[row]
    cleared = decay * flows[MASS]
    flows[RELEASED] += released
    flows[TAKEN] += taken
    flows[CLEARED] += cleared
    flows[ESCAPED] += escaped
    flows[ENTERED] += entered
    flows[MASS] += (released - taken) - cleared + (entered - escaped)


@njit(**_JIT)
def _sweep_linear(
    new, old, first, last, grid, value, r, decay, faces, slots, source, sink, exposure,
    row_taken, row_escaped,
):  # fmt: skip
    """One sub-step of the rows `first` to `last`; the slots of a row follow it while it is warm."""
    for row in range(first, last):
        row_escaped[row] = _diffuse_row(new, old, row, grid, value, 0, r, decay, faces)
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
        _settle(flows, row_taken, row_escaped, released, entered, decay)
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
        _settle(flows, row_taken, row_escaped, released, entered, decay)
        old, new = new, old


@njit(**_JIT)
def _diffuse_shared(
    new, old, first, last, grid, value, r, decay, faces, slots, source, slot_fresh, row_escaped
):  # fmt: skip
    """Diffusion and decay of the rows `first` to `last` of every label, and what is then in their slots."""
    labels, groups = old.shape[0], slot_fresh.shape[0]
    for row in range(first, last):
        for label in range(labels):
            row_escaped[label, row] = _diffuse_row(
                new[label], old[label], row, grid, value, label, r[label], decay[label], faces
            )
        for q in range(slots.row_ptr[row], slots.row_ptr[row + 1]):
            slot_fresh[:, q] = 0.0
            for label in range(labels):
                slot_fresh[label % groups, q] += new[label, row, slots.column[q]] + source[label, q]


@njit(**_JIT)
def _refresh(
    rate, mean, fresh, acting, slot_total, slot_fresh, entries, law, resistance, occupancy, dt, volume,
    first, last,
):  # fmt: skip
    """Rates of the cells `first` to `last`, with receptors to occupy or without."""
    if occupancy is None:
        refresh_rates(rate, slot_total, entries, law, resistance, volume, first, last)
    else:
        refresh_occupied(
            rate, mean, fresh, acting, slot_total, slot_fresh, entries, law, resistance, occupancy, dt,
            volume, first, last,
        )  # fmt: skip


@njit(**_JIT)
def _exchange(
    new, first, last, slots, entries, source, rate, step, slot_total, entry_taken, row_taken
):  # fmt: skip
    """Release and uptake in the rows `first` to `last` of every label, at the rates of the cells."""
    for row in range(first, last):
        exchange_shared(new, row, slots, entries, source, rate, step, slot_total, entry_taken, row_taken)


@njit(**_JIT)
def _shared_serial(
    old, new, n_sub, grid, value, r, decay, faces, slots, entries, source, law, resistance, occupancy,
    dt, volume, rate, mean, fresh, acting, slot_total, slot_fresh, entry_taken, released, entered, flows,
    row_taken, row_escaped,
):  # fmt: skip
    rows = old.shape[1]
    for _ in range(n_sub):
        _diffuse_shared(
            new, old, 0, rows, grid, value, r, decay, faces, slots, source, slot_fresh, row_escaped
        )  # fmt: skip
        _refresh(
            rate, mean, fresh, acting, slot_total, slot_fresh, entries, law, resistance, occupancy, dt,
            volume, 0, rate.shape[1],
        )  # fmt: skip
        _exchange(new, 0, rows, slots, entries, source, rate, dt / volume, slot_total, entry_taken, row_taken)
        for label in range(old.shape[0]):
            _settle(
                flows[label], row_taken[label], row_escaped[label], released[label],
                entered[label], decay[label],
            )  # fmt: skip
        old, new = new, old


@njit(parallel=True, **_JIT)
def _shared_parallel(
    old, new, n_sub, grid, value, r, decay, faces, slots, entries, source, law, resistance, occupancy,
    dt, volume, rate, mean, fresh, acting, slot_total, slot_fresh, entry_taken, released, entered, flows,
    row_taken, row_escaped, bounds, cell_bounds,
):  # fmt: skip
    for _ in range(n_sub):
        for c in prange(bounds.size - 1):
            _diffuse_shared(
                new, old, bounds[c], bounds[c + 1], grid, value, r, decay, faces, slots, source,
                slot_fresh, row_escaped,
            )  # fmt: skip
        for c in prange(cell_bounds.size - 1):
            _refresh(
                rate, mean, fresh, acting, slot_total, slot_fresh, entries, law, resistance, occupancy, dt,
                volume, cell_bounds[c], cell_bounds[c + 1],
            )  # fmt: skip
        for c in prange(bounds.size - 1):
            _exchange(
                new, bounds[c], bounds[c + 1], slots, entries, source, rate, dt / volume, slot_total,
                entry_taken, row_taken,
            )  # fmt: skip
        for label in range(old.shape[0]):
            _settle(
                flows[label], row_taken[label], row_escaped[label], released[label],
                entered[label], decay[label],
            )  # fmt: skip
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
        (slots) sum of u' over the sub-steps, added to in place; see `exchange.collect`.
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
    old, new, grid, faces = _flatten(u[None], scratch[None], sides, conductance)
    value = np.ascontiguousarray(side_value, dtype=np.float64)
    rows, n_slots = old.shape[1], slots.column.size
    _fit("side_value", value, (6,))
    _fit("slots.row_ptr", slots.row_ptr, (rows + 1,))
    _fit("flows", flows, (6,))
    for name, array in (("source", source), ("sink", sink), ("exposure", exposure)):
        _fit(name, array, (n_slots,))
    entered = _inflow(u.shape, grid.sides, value, r, conductance)
    state = (
        grid, _if_fixed(grid, value[None]), float(r), float(decay), faces,
        slots, source, sink, exposure, float(source.sum()), entered, flows,
        np.zeros(rows), np.zeros(rows),
    )  # fmt: skip
    old, new = old[0], new[0]
    for some in pieces.substeps(n_sub, old.size):
        if threads == 1:
            _linear_serial(old, new, some, *state)
        else:
            _linear_parallel(old, new, some, *state, _split(rows, threads))
        old, new = (new, old) if some % 2 else (old, new)
    if n_sub % 2:
        u[...] = scratch


def advance_saturable(
    u: Field,
    scratch: Field,
    *,
    n_sub: int,
    r: Floats,
    decay: Floats,
    sides: Sequence[int],
    side_value: Floats,
    slots: Slots,
    entries: Entries,
    source: Floats,
    law: UptakeLaw,
    dt: float,
    volume: float,
    taken: Floats,
    flows: Floats,
    occupancy: Occupancy | None = None,
    conductance: Conductance | None = None,
    threads: int = 1,
) -> None:
    """Advance all labels together, where uptake saturates on the sum of the labels.

    As `advance_linear`, with B_q = (dt / V) sum_i w_iq g_i. At the start of every sub-step each
    cell takes g_i from the mean concentration cbar_i = sum_q w_iq sum_labels u_q / V of its own
    voxels: see `exchange.membrane_rate`. First order in time; positive for every dt that keeps the
    diffusion positive.

    Labels may be of several groups, with a kappa for each, that come in turn: label l is of the
    group l modulo their number. All of them share the membranes; see `exchange.share_membrane`.

    Parameters
    ----------
    u, scratch
        (labels, ny, nx) or (labels, nz, ny, nx).
    r, decay
        (labels)
    side_value
        (labels, 6)
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
        The receptors of the cells and what they have bound. Without it uptake is as if these were
        at rest. What is taken never passes what there is.

    The other arguments are those of `advance_linear`.

    Raises
    ------
    ValueError
        If the arrays do not fit together.
    """
    old, new, grid, faces = _flatten(u, scratch, sides, conductance)
    value = np.ascontiguousarray(side_value, dtype=np.float64)
    r, decay = np.asarray(r, dtype=np.float64), np.asarray(decay, dtype=np.float64)
    labels, rows, width = old.shape
    n_slots, n_cells = slots.column.size, law.rate.size
    _fit("r", r, (labels,))
    _fit("decay", decay, (labels,))
    _fit("side_value", value, (labels, 6))
    _fit("slots.row_ptr", slots.row_ptr, (rows + 1,))
    _fit("entries.slot_ptr", entries.slot_ptr, (n_slots + 1,))
    _fit("entries.member_ptr", entries.member_ptr, (n_cells + 1,))
    _fit("source", source, (labels, n_slots))
    groups = law.lattice_rate.shape[0]
    _fit("law.lattice_rate", law.lattice_rate, (groups, n_cells))
    if labels % groups:
        raise ValueError(f"{labels} labels cannot come in turn from {groups} groups")
    _fit("law.saturation", law.saturation, (n_cells,))
    _fit("taken", taken, (labels, n_cells))
    _fit("flows", flows, (labels, 6))
    active = np.broadcast_to(law.rate > 0.0, law.lattice_rate.shape)
    resistance = np.divide(law.rate, law.lattice_rate, out=np.ones(law.lattice_rate.shape), where=active)
    entered = np.array([_inflow(u.shape[1:], grid.sides, value[i], r[i], conductance) for i in range(labels)])
    voxel = np.repeat(np.arange(rows), np.diff(slots.row_ptr)) * width + slots.column
    grouped = (labels // groups, groups, n_slots)
    slot_total = old.reshape(labels, -1).take(voxel, axis=1).reshape(grouped).sum(axis=0, dtype=np.float64)
    # What enters in the first sub-step counts in its own rates, or much that comes at once does not saturate.
    # u' is A / (1 + B) at least, and u is that already where sources are steady.
    slot = np.repeat(np.arange(n_slots), np.diff(entries.slot_ptr))
    most = np.array([np.bincount(slot, entries.weight * k[entries.cell], n_slots) for k in law.lattice_rate])
    first = source.reshape(grouped).sum(axis=0) / (1.0 + most * (dt / volume))
    np.maximum(slot_total, first, out=slot_total)
    entry_taken = np.zeros((labels, entries.cell.size))
    rate = np.full((groups, n_cells), -1.0)
    mean, fresh, acting = (np.zeros((groups, n_cells)) for _ in range(3))
    state = (
        grid, _if_fixed(grid, value), r, decay, faces, slots, entries, source, law, resistance, occupancy,
        float(dt), float(volume), rate, mean, fresh, acting, slot_total, np.zeros((groups, n_slots)),
        entry_taken, source.sum(axis=1), entered, flows, np.zeros((labels, rows)), np.zeros((labels, rows)),
    )  # fmt: skip
    for some in pieces.substeps(n_sub, old.size):
        if threads == 1:
            _shared_serial(old, new, some, *state)
        else:
            _shared_parallel(old, new, some, *state, _split(rows, threads), _split(n_cells, threads))
        old, new = (new, old) if some % 2 else (old, new)
    if occupancy is not None:
        mean_over(mean, slot_total, entries, float(volume), 0, n_cells)
        occupy_all(occupancy, rate, mean, float(dt))
    for label in range(labels):
        taken[label] += np.bincount(entries.cell, entry_taken[label], minlength=n_cells)
    if n_sub % 2:
        u[...] = scratch


def _flatten(
    u: Field, scratch: Field, sides: Sequence[int], conductance: Conductance | None
) -> tuple[Field, Field, _Grid, Conductance | None]:
    """View the fields as (labels, rows, nx) and the faces as (rows, ...), and describe the grid."""
    labels, *shape = u.shape
    *_, height, width = shape
    deep = len(shape) == 3
    layers = shape[0] if deep else 1
    _fit("u", u, u.shape)
    _fit("scratch", scratch, u.shape)
    if scratch.dtype != u.dtype:
        raise ValueError("scratch must have the dtype of u")
    code = np.zeros(6, dtype=np.int8)
    code[: 6 if deep else 4] = np.asarray(sides)[: 6 if deep else 4]
    if np.any((code[::2] == PERIODIC) != (code[1::2] == PERIODIC)):
        raise ValueError("a side is periodic only together with the opposite one")
    grid = _Grid(layers, height, deep, code)
    faces = None
    if conductance is not None:
        for axis, g in zip(range(len(shape))[::-1], conductance, strict=True):
            _fit("conductance", g, tuple(n + (i == axis) for i, n in enumerate(shape)))
            if g.dtype != u.dtype:
                raise ValueError("conductance must have the dtype of u")
        faces = tuple(g.reshape(-1, g.shape[-1]) for g in conductance)
        # Kernels take three arrays in either case; without z neighbors the last is not read.
        faces = faces if deep else (*faces, faces[1])
    rows = layers * height
    return u.reshape(labels, rows, width), scratch.reshape(labels, rows, width), grid, faces


def _fit(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    if array.shape != shape or not array.flags.c_contiguous:
        raise ValueError(f"{name} must be C-ordered with shape {shape}, not {array.shape}")


def _split(n: int, parts: int) -> Integers:
    """Bounds of `parts` nearly equal ranges over 0 to n."""
    return np.arange(parts + 1, dtype=np.int64) * n // parts


def _if_fixed(grid: _Grid, value: Floats) -> Floats | None:
    """The values at the sides, or None if no side needs one."""
    return value if np.any(grid.sides == FIXED) else None


def _inflow(
    shape: tuple[int, ...],
    sides: NDArray[np.int8],
    value: Floats,
    r: float,
    conductance: Conductance | None,
) -> float:
    """Inflow through all FIXED sides in a sub-step: r sum g value, g = 2 where all are equal."""
    total = 0.0
    for side in np.flatnonzero(sides == FIXED):
        axis, high = divmod(int(side), 2)
        if conductance is None:
            opening = 2.0 * np.prod(shape) / shape[-1 - axis]
        else:
            opening = conductance[axis].take(-high, axis=-1 - axis).sum(dtype=np.float64)
        total += r * value[side] * opening
    return float(total)
