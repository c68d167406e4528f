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

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from exoabm.kernels.medium import FIXED, PERIODIC

_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}

MASS, RELEASED, TAKEN, CLEARED, ESCAPED, ENTERED = range(6)
"""Places in the `flows` of a label, all in vesicles: the mass M, then five running sums."""

UPDATES_PER_CALL = 1 << 26
"""Updates of a voxel between two checks for signals; one takes 1 to 5 ns."""

Field = NDArray[np.floating[Any]]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Conductance = tuple[Field, ...]


class Grid(NamedTuple):
    """Rows of the field: a row is a (z, y) pair."""

    layers: int
    """nz, 1 in two dimensions."""
    height: int
    """ny"""
    deep: bool
    """Three dimensions: there are z neighbors, be they ghosts."""
    sides: NDArray[np.int8]


class Diffusion(NamedTuple):
    """Diffusion and clearance of all labels; label l is of the group l modulo the number of groups.

    ``conductance`` holds faces (gx, gy) or (gx, gy, gz) of the dtype of the field, shaped like it with one
    more along their own axis, D of the face relative to the D in ``r``. Entries 0 and n along the axis lie on
    the sides: equal on PERIODIC sides, twice as large on FIXED ones (half a voxel away), unused on NO_FLUX
    ones. All zero around an obstacle.
    """

    r: Floats
    """(groups) D dt / dx^2; with ``conductance``, the factor that multiplies it."""
    decay: Floats
    """(groups) k dt, the share that is cleared in a sub-step."""
    sides: Sequence[int]
    """(6) NO_FLUX, PERIODIC or FIXED; in two dimensions the z sides may be left out."""
    side_value: Floats
    """(labels, 6) vesicles per voxel at the FIXED sides, c V; the others are not read."""
    conductance: Conductance | None = None


@njit(**_JIT)
def _voxel(to, flat, k, own, west, east, south, north, below, above, r, decay, faces, deep):
    """One voxel with equal faces, `faces` of them; it and its neighbors are `k` further than given."""
    around = (flat[west + k] + flat[east + k]) + (flat[south + k] + flat[north + k])
    if deep:
        around += flat[below + k] + flat[above + k]
    to[own + k] = flat[own + k] + (r * (around - faces * flat[own + k]) - decay * flat[own + k])


@njit(**_JIT)
def _patch(to, flat, shape, own, west, east, south, north, below, above, r, decay, faces, deep):
    """`width` voxels of each of some rows with equal faces of flat fields.

    Given are the places of the first voxel and of its neighbors, unsigned, for which no check of the sign is
    needed.
    """
    rows, width, size = shape
    if width == 1:
        for k in range(np.uint64(0), rows * size, size):
            _voxel(to, flat, k, own, west, east, south, north, below, above, r, decay, faces, deep)
        return
    for i in range(rows):
        first = i * size
        for k in range(first, first + width):
            _voxel(to, flat, k, own, west, east, south, north, below, above, r, decay, faces, deep)


@njit(**_JIT)
def _uniform_rows(
    to, flat, size, row, rows, south, north, below, above, west, east, r, decay, faces, deep
):  # fmt: skip
    """`rows` rows of `size` voxels from `row` on, of one plane, with equal faces.

    The neighbors are those of the first row. The rows are treated as one long row; then its voxels at the
    ends of rows are set right.
    """
    last, length = size - 1, np.uint64(size)
    c, s, t, b, a = row * size, south * size, north * size, below * size, above * size
    n = rows * size - 2
    if n > 0:
        one = np.uint64(1), np.uint64(n), length
        _patch(
            to, flat, one, np.uint64(c + 1), np.uint64(c), np.uint64(c + 2), np.uint64(s + 1),
            np.uint64(t + 1), np.uint64(b + 1), np.uint64(a + 1), r, decay, faces, deep,
        )  # fmt: skip
    ends = np.uint64(rows), np.uint64(1), length
    for side in range(2):
        k = side * last
        left = west if k == 0 else last - 1
        right = east if k == last else 1
        _patch(
            to, flat, ends, np.uint64(c + k), np.uint64(c + left), np.uint64(c + right), np.uint64(s + k),
            np.uint64(t + k), np.uint64(b + k), np.uint64(a + k), r, decay, faces, deep,
        )  # fmt: skip


@njit(**_JIT)
def _varied_ends(new, u, row, south, north, below, above, west, east, r, decay, faces, y_face, height, deep):
    """First and last voxel of a row with a conductance on every face."""
    gx, gy, gz = faces
    size = u.shape[1]
    for side in range(2):
        i = side * (size - 1)
        own = u[row, i]
        flux = gx[row, i] * (u[row, i - 1 if i >= 1 else west] - own)
        flux += gx[row, i + 1] * (u[row, i + 1 if i < size - 1 else east] - own)
        flux += gy[y_face, i] * (u[south, i] - own) + gy[y_face + 1, i] * (u[north, i] - own)
        if deep:
            flux += gz[row, i] * (u[below, i] - own) + gz[row + height, i] * (u[above, i] - own)
        new[row, i] = own + (r * flux - decay * own)


@njit(**_JIT)
def _varied_row(new, u, row, south, north, below, above, west, east, r, decay, faces, y_face, height, deep):
    """One row with a conductance on every face; `y_face` is the row of its low y faces."""
    gx, gy, gz = faces
    n = u.shape[1] - 2
    _varied_ends(new, u, row, south, north, below, above, west, east, r, decay, faces, y_face, height, deep)
    if n <= 0:
        return
    own, to = u[row, 1 : 1 + n], new[row, 1 : 1 + n]
    left, right = u[row, :n], u[row, 2 : 2 + n]
    back, front = u[south, 1 : 1 + n], u[north, 1 : 1 + n]
    g_left, g_right = gx[row, 1 : 1 + n], gx[row, 2 : 2 + n]
    g_back, g_front = gy[y_face, 1 : 1 + n], gy[y_face + 1, 1 : 1 + n]
    if deep:
        low, high = u[below, 1 : 1 + n], u[above, 1 : 1 + n]
        g_low, g_high = gz[row, 1 : 1 + n], gz[row + height, 1 : 1 + n]
        for j in range(n):
            flux = g_left[j] * (left[j] - own[j])
            flux += g_right[j] * (right[j] - own[j])
            flux += g_back[j] * (back[j] - own[j]) + g_front[j] * (front[j] - own[j])
            flux += g_low[j] * (low[j] - own[j]) + g_high[j] * (high[j] - own[j])
            to[j] = own[j] + (r * flux - decay * own[j])
    else:
        for j in range(n):
            flux = g_left[j] * (left[j] - own[j])
            flux += g_right[j] * (right[j] - own[j])
            flux += g_back[j] * (back[j] - own[j]) + g_front[j] * (front[j] - own[j])
            to[j] = own[j] + (r * flux - decay * own[j])


@njit(**_JIT)
def _fixed_face(new, u, row, first, last, value, r, faces, face_row, shift):
    """Add r g (value - u) to the voxels `first` to `last` of a row, g = 2 where all faces are equal.

    Returns sum r g u. The face of (row, j) is faces[face_row, j + shift].
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
def _fixed_sides(new, u, row, y, z, grid, value, r, faces):
    """Add the fluxes through the sides of fixed concentration; return what flowed out of the row.

    The row stencil has taken these sides as closed.
    """
    size, ny = u.shape[1], grid.height
    gx = gy = gz = None
    if faces is not None:
        gx, gy, gz = faces
    gone = 0.0
    if grid.sides[0] == FIXED:
        gone += _fixed_face(new, u, row, 0, 1, value[0], r, gx, row, 0)
    if grid.sides[1] == FIXED:
        gone += _fixed_face(new, u, row, size - 1, size, value[1], r, gx, row, 1)
    if grid.sides[2] == FIXED and y == 0:
        gone += _fixed_face(new, u, row, 0, size, value[2], r, gy, row + z, 0)
    if grid.sides[3] == FIXED and y == ny - 1:
        gone += _fixed_face(new, u, row, 0, size, value[3], r, gy, row + z + 1, 0)
    if grid.sides[4] == FIXED and z == 0:
        gone += _fixed_face(new, u, row, 0, size, value[4], r, gz, row, 0)
    if grid.sides[5] == FIXED and z == grid.layers - 1:
        gone += _fixed_face(new, u, row, 0, size, value[5], r, gz, row + ny, 0)
    return gone


@njit(**_JIT)
def side_of(value, label):
    """The values at the sides, (6), of a label, if there are any."""
    if value is None:
        return None
    return value[label]


@njit(**_JIT)
def diffuse_rows(new, u, first, last, grid, value, r, decay, faces, escaped):
    """Diffusion and decay of the rows `first` to `last` of a field (rows, nx).

    `value` is (6), or None if no side is fixed: that compiles to a much leaner loop. Otherwise what left by
    fixed sides is written to `escaped` (rows).
    """
    ny, nz, sides = grid.height, grid.layers, grid.sides
    end = u.shape[1] - 1
    west = end if sides[0] == PERIODIC else 0
    east = 0 if sides[1] == PERIODIC else end
    real = u.dtype.type
    to, flat = new.reshape(-1), u.reshape(-1)
    row = first
    while row < last:
        z = row // ny
        y = row - z * ny
        south = row - 1 if y > 0 else (row + ny - 1 if sides[2] == PERIODIC else row)
        north = row + 1 if y < ny - 1 else (row - ny + 1 if sides[3] == PERIODIC else row)
        below = row - ny if z > 0 else (row + (nz - 1) * ny if sides[4] == PERIODIC else row)
        above = row + ny if z < nz - 1 else (y if sides[5] == PERIODIC else row)
        rows = 1
        if faces is None:
            if 0 < y < ny - 1:
                rows = min(last - row, ny - 1 - y)
            _uniform_rows(
                to, flat, u.shape[1], row, rows, south, north, below, above, west, east,
                real(r), real(decay), real(6.0 if grid.deep else 4.0), grid.deep,
            )  # fmt: skip
        else:
            _varied_row(
                new, u, row, south, north, below, above, west, east, real(r), real(decay), faces, row + z, ny,
                grid.deep,
            )  # fmt: skip
        if value is not None:
            for i in range(row, row + rows):
                escaped[i] = _fixed_sides(new, u, i, i - z * ny, z, grid, value, r, faces)
        row += rows


@njit(**_JIT)
def update_balance(flows, taken, escaped, released, entered, decay):
    """Fold the parts in order and carry the mass on: M' = M + in - out, each term booked."""
    all_taken = all_escaped = 0.0
    for part in taken:
        all_taken += part
    for part in escaped:
        all_escaped += part
    cleared = decay * flows[MASS]
    flows[RELEASED] += released
    flows[TAKEN] += all_taken
    flows[CLEARED] += cleared
    flows[ESCAPED] += all_escaped
    flows[ENTERED] += entered
    flows[MASS] += (released - all_taken) - cleared + (entered - all_escaped)


def substeps(n: int, voxels: int) -> Iterator[int]:
    """Numbers of sub-steps, n together, each of at most ``UPDATES_PER_CALL`` updates or a single sub-step."""
    size = max(1, UPDATES_PER_CALL // max(voxels, 1))
    for first in range(0, n, size):
        yield min(size, n - first)


def pieces(labels: Integers, n_sub: Integers, voxels: int) -> Iterator[tuple[Integers, int, int]]:
    """Labels, and first and last sub-step, of calls of at most ``UPDATES_PER_CALL`` updates.

    All ``labels`` in one call if it may be, else one label after the other; ``n_sub`` is that of each label.
    """
    if int(n_sub[labels].sum()) * voxels <= UPDATES_PER_CALL:
        yield labels, 0, int(n_sub[labels].max())
        return
    for i, n in enumerate(n_sub[labels].tolist()):
        done = 0
        for some in substeps(n, voxels):
            yield labels[i : i + 1], done, done + some
            done += some


def flatten(
    u: Field, scratch: Field, diffusion: Diffusion
) -> tuple[Field, Field, Grid, Floats | None, Conductance | None]:
    """View the fields as (labels, rows, nx) and the faces as (rows, ...), and describe the grid.

    The values at the sides, the fourth, are None if no side needs one.
    """
    labels, *shape = u.shape
    *_, height, width = shape
    deep = len(shape) == 3
    layers = shape[0] if deep else 1
    check_shape("u", u, u.shape)
    check_shape("scratch", scratch, u.shape)
    if scratch.dtype != u.dtype:
        raise ValueError("scratch must have the dtype of u")
    sides = tuple(map(int, diffusion.sides))[: 6 if deep else 4]
    grid = Grid(layers, height, deep, np.array(_codes(sides), np.int8))
    value = np.ascontiguousarray(diffusion.side_value, dtype=np.float64)
    check_shape("side_value", value, (labels, 6))
    faces = None
    if diffusion.conductance is not None:
        for axis, g in zip(range(len(shape))[::-1], diffusion.conductance, strict=True):
            check_shape("conductance", g, tuple(n + (i == axis) for i, n in enumerate(shape)))
            if g.dtype != u.dtype:
                raise ValueError("conductance must have the dtype of u")
        faces = tuple(g.reshape(-1, g.shape[-1]) for g in diffusion.conductance)
        # Kernels take three arrays in either case; without z neighbors the last is not read.
        faces = faces if deep else (*faces, faces[1])
    rows = layers * height
    flat, flat_scratch = u.reshape(labels, rows, width), scratch.reshape(labels, rows, width)
    return flat, flat_scratch, grid, value if FIXED in sides else None, faces


@lru_cache(maxsize=64)  # the same in every step of a run
def _codes(sides: tuple[int, ...]) -> tuple[int, ...]:
    """Codes of six sides, of those along z 0 if they are not given, after checking them."""
    code = sides + (0,) * (6 - len(sides))
    if any((low == PERIODIC) != (high == PERIODIC) for low, high in zip(code[::2], code[1::2], strict=True)):
        raise ValueError("a side is periodic only together with the opposite one")
    return code


def by_label(values: Floats | Integers, labels: int) -> Floats:
    """Values of the groups, (groups), for each label, (labels)."""
    if labels % len(values):
        raise ValueError(f"{labels} labels must come in turn from {len(values)} groups")
    found = np.array(values, dtype=np.float64)
    return found if len(found) == labels else np.tile(found, labels // len(found))


def check_shape(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Raise unless the array is C-ordered and has this shape."""
    if array.shape != shape or not array.flags.c_contiguous:
        raise ValueError(f"{name} must be C-ordered with shape {shape}, not {array.shape}")


def split_range(n: int, parts: int) -> Integers:
    """Bounds of `parts` nearly equal ranges over 0 to n."""
    return np.arange(parts + 1, dtype=np.int64) * n // parts


def inflows(u: Field, diffusion: Diffusion) -> Floats:
    """Inflow of each label, (labels), through all FIXED sides in a sub-step."""
    labels, *shape = u.shape
    if FIXED not in tuple(map(int, diffusion.sides))[: 2 * len(shape)]:
        return np.zeros(labels)
    sides = np.asarray(diffusion.sides)[: 2 * len(shape)]
    r, value = by_label(diffusion.r, labels), np.asarray(diffusion.side_value)
    return np.array(
        [_inflow(tuple(shape), sides, value[i], r[i], diffusion.conductance) for i in range(labels)]
    )


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
