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
def diffuse_row(new, u, row, grid, value, label, r, decay, faces):
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
def update_balance(flows, row_taken, row_escaped, released, entered, decay):
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


def substeps(n: int, voxels: int) -> Iterator[int]:
    """Numbers of sub-steps, n together, each of at most ``UPDATES_PER_CALL`` updates or a single sub-step."""
    size = max(1, UPDATES_PER_CALL // max(voxels, 1))
    for first in range(0, n, size):
        yield min(size, n - first)


def flatten(
    u: Field, scratch: Field, sides: Sequence[int], conductance: Conductance | None
) -> tuple[Field, Field, Grid, Conductance | None]:
    """View the fields as (labels, rows, nx) and the faces as (rows, ...), and describe the grid."""
    labels, *shape = u.shape
    *_, height, width = shape
    deep = len(shape) == 3
    layers = shape[0] if deep else 1
    check_shape("u", u, u.shape)
    check_shape("scratch", scratch, u.shape)
    if scratch.dtype != u.dtype:
        raise ValueError("scratch must have the dtype of u")
    code = np.zeros(6, dtype=np.int8)
    code[: 6 if deep else 4] = np.asarray(sides)[: 6 if deep else 4]
    if np.any((code[::2] == PERIODIC) != (code[1::2] == PERIODIC)):
        raise ValueError("a side is periodic only together with the opposite one")
    grid = Grid(layers, height, deep, code)
    faces = None
    if conductance is not None:
        for axis, g in zip(range(len(shape))[::-1], conductance, strict=True):
            check_shape("conductance", g, tuple(n + (i == axis) for i, n in enumerate(shape)))
            if g.dtype != u.dtype:
                raise ValueError("conductance must have the dtype of u")
        faces = tuple(g.reshape(-1, g.shape[-1]) for g in conductance)
        # Kernels take three arrays in either case; without z neighbors the last is not read.
        faces = faces if deep else (*faces, faces[1])
    rows = layers * height
    return u.reshape(labels, rows, width), scratch.reshape(labels, rows, width), grid, faces


def check_shape(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Raise unless the array is C-ordered and has this shape."""
    if array.shape != shape or not array.flags.c_contiguous:
        raise ValueError(f"{name} must be C-ordered with shape {shape}, not {array.shape}")


def split_range(n: int, parts: int) -> Integers:
    """Bounds of `parts` nearly equal ranges over 0 to n."""
    return np.arange(parts + 1, dtype=np.int64) * n // parts


def side_values(grid: Grid, value: Floats) -> Floats | None:
    """The values at the sides, or None if no side needs one."""
    return value if np.any(grid.sides == FIXED) else None


def inflow(
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
