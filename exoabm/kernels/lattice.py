"""Grid on which particles hop: faces and their conductances, and the voxels that a hop leads to."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from exoabm.kernels.medium import Floats, Integers

UNEVEN, SINK = 1, 2
"""Marks of voxels whose faces differ, and of those that hold a sink."""
_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


class Lattice(NamedTuple):
    """The grid, arrays flat with x fastest."""

    dim: int
    low: Floats
    """(3) low corner, um."""
    voxel: float
    """um"""
    counts: Integers
    """(3) voxels along x, y, z; 1 along z in two dimensions."""
    periodic: NDArray[np.bool_]
    """(3)"""
    gx: Floats
    """(nz, ny, nx + 1) conductances of the faces along x relative to free medium; see `diffusion_stencil`."""
    gy: Floats
    """(nz, ny + 1, nx)"""
    gz: Floats
    """(nz + 1, ny, nx); zero in two dimensions."""
    uniform: float
    """Conductance of most inner faces, or 0 where they differ."""
    decay_rate: float
    """1/s"""


class Box(NamedTuple):
    """Numbers of the lattice in tuples, which numba reads without counting references."""

    dim: int
    low: tuple[float, float, float]
    voxel: float
    counts: tuple[int, int, int]
    periodic: tuple[bool, bool, bool]
    uniform: float
    decay_rate: float


def numbers_of(lattice: Lattice) -> tuple[Box, Integers]:
    """Numbers of the lattice, and the change of the flat index of a voxel in each direction, (7)."""
    nx, ny, nz = (int(n) for n in lattice.counts)
    wraps = bool(lattice.periodic[0]), bool(lattice.periodic[1]), bool(lattice.periodic[2])
    low = float(lattice.low[0]), float(lattice.low[1]), float(lattice.low[2])
    rates = float(lattice.uniform), float(lattice.decay_rate)
    box = Box(lattice.dim, low, float(lattice.voxel), (nx, ny, nz), wraps, *rates)
    moves = np.array([-1, 1, -nx, nx, -nx * ny, nx * ny, 0])
    if lattice.dim == 2:
        moves[4:] = 0
    return box, moves


def mark_voxels(
    lattice: Lattice, slot_of_voxel: NDArray[np.int32]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Marks of the voxels, flat: whether they hold a sink, and whether their faces differ; the same as bits.

    They are alike where all faces are inner ones and have the conductance ``uniform``.
    """
    nx, ny, nz = (int(n) for n in lattice.counts)
    even = np.zeros((nz, ny, nx), bool)
    if lattice.uniform > 0:
        even[slice(1, -1) if lattice.dim == 3 else slice(None), 1:-1, 1:-1] = True
        for axis, g in enumerate((lattice.gx, lattice.gy, lattice.gz)[: lattice.dim]):
            same = np.moveaxis(g == lattice.uniform, 2 - axis, 0)
            even &= np.moveaxis(same[:-1] & same[1:], 0, 2 - axis)
    mark = np.where(even.ravel(), 0, UNEVEN) | np.where(slot_of_voxel >= 0, SINK, 0)
    return mark.astype(np.uint8), np.packbits(mark > 0, bitorder="little")


@njit(forceinline=True, **_JIT)
def _coordinate(box, axis, x):
    """Voxel along an axis of a position, and the place inside the voxel, 0 to 1."""
    scaled = (x - box.low[axis]) / box.voxel
    i = min(max(np.int64(math.floor(scaled)), 0), box.counts[axis] - 1)
    return i, scaled - i


@njit(forceinline=True, **_JIT)
def locate(box, x, y, z):
    """Flat voxel of a position, and the place inside the voxel along each axis, 0 to 1."""
    ix, part_x = _coordinate(box, 0, x)
    iy, part_y = _coordinate(box, 1, y)
    iz, part_z = _coordinate(box, 2, z)
    return ix + box.counts[0] * (iy + box.counts[1] * iz), part_x, part_y, part_z


@njit(forceinline=True, **_JIT)
def unravel(box, voxel):
    """Indices along x, y, z of a flat voxel."""
    nx, ny = box.counts[0], box.counts[1]
    iz = voxel // (nx * ny)
    iy = voxel // nx - ny * iz
    return voxel - nx * (iy + ny * iz), iy, iz


@njit(forceinline=True, **_JIT)
def direction_of(dim, gx, gy, gz, ix, iy, iz, v):
    """The neighbor (0 to 5: x low, x high, y low, ...) on whose share g of the faces v falls, or 6."""
    v -= gx[iz, iy, ix]
    if v < 0:
        return 0
    v -= gx[iz, iy, ix + 1]
    if v < 0:
        return 1
    v -= gy[iz, iy, ix]
    if v < 0:
        return 2
    v -= gy[iz, iy + 1, ix]
    if v < 0:
        return 3
    if dim == 3:
        v -= gz[iz, iy, ix]
        if v < 0:
            return 4
        v -= gz[iz + 1, iy, ix]
        if v < 0:
            return 5
    return 6


@njit(forceinline=True, **_JIT)
def _step_along(i, n, periodic):
    """An index of an axis of n voxels, folded at periodic faces; -1 beyond others."""
    if i < 0 or i >= n:
        return i % n if periodic else -1
    return i


@njit(forceinline=True, **_JIT)
def neighbor_of(box, ix, iy, iz, direction):
    """Flat index of the neighbor in a direction (0 to 5), -1 beyond an open face."""
    step = 2 * (direction % 2) - 1
    if direction < 2:
        ix = _step_along(ix + step, box.counts[0], box.periodic[0])
    elif direction < 4:
        iy = _step_along(iy + step, box.counts[1], box.periodic[1])
    else:
        iz = _step_along(iz + step, box.counts[2], box.periodic[2])
    inside = ix >= 0 and iy >= 0 and iz >= 0
    return ix + box.counts[0] * (iy + box.counts[1] * iz) if inside else -1
