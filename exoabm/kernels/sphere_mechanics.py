"""Mechanics of spheres in a box with walls: overlaps, motion, new spheres in contact, random packing.

Neighbors are found by a grid of bins. Spheres are visited in the order of their rows, so that results do not
depend on threads.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from exoabm.kernels.line_of_sight import BLOCKED, trace_line

CONTACT_FACTOR = 1.0 + 1e-9
"""A new sphere is placed this much farther than touching, so that rounding never makes an overlap."""


class NeighborGrid(NamedTuple):
    """Where spheres are; axes x, y, z, of which the first ``dim`` count.

    ``head`` (bins in all) and ``link`` (spheres) chain the spheres of each bin, -1 ends a chain. ``closed``
    marks the voxels (flat, x fastest) that no center may enter, and is empty where there are none.
    """

    dim: int
    low: np.ndarray
    length: np.ndarray
    periodic: np.ndarray
    bins: np.ndarray
    head: np.ndarray
    link: np.ndarray
    voxel: float
    counts: np.ndarray
    closed: np.ndarray


def neighbor_grid(
    dim: int,
    low: np.ndarray,
    length: np.ndarray,
    periodic: np.ndarray,
    voxel: float,
    counts: np.ndarray,
    closed: np.ndarray,
    position: np.ndarray,
    radius: np.ndarray,
    spare: int,
) -> NeighborGrid:
    """A grid with all spheres entered, and links for as many more as ``spare``.

    A bin is at least as wide as the largest sum of two radii, so that the bins next door suffice; there are
    no more than some four bins a sphere.
    """
    n = len(position)
    widest = 2.0 * float(radius.max()) * CONTACT_FACTOR if n else 1.0
    fair = (float(np.prod(length[:dim])) / (4.0 * max(n, 1))) ** (1.0 / dim)
    bins = np.ones(3, np.int64)
    bins[:dim] = np.maximum(1, (length[:dim] / max(widest, fair)).astype(np.int64))
    head = np.full(int(bins.prod()), -1, np.int64)
    link = np.full(n + spare, -1, np.int64)
    made = NeighborGrid(dim, low, length, periodic, bins, head, link, voxel, counts, closed)
    rebuild_bins(made, position, n)
    return made


@njit(cache=True, nogil=True, error_model="numpy")
def bin_of(grid, point):
    """Flat index of the bin of a point; outside counts to the nearest bin."""
    flat = 0
    for axis in range(grid.dim - 1, -1, -1):
        share = (point[axis] - grid.low[axis]) / grid.length[axis]
        i = math.floor(share * grid.bins[axis])
        flat = flat * grid.bins[axis] + min(max(i, 0), grid.bins[axis] - 1)
    return flat


@njit(cache=True, nogil=True, error_model="numpy")
def rebuild_bins(grid, position, n):
    """Chain spheres 0 to n - 1 anew."""
    grid.head[:] = -1
    for i in range(n - 1, -1, -1):
        b = bin_of(grid, position[i])
        grid.link[i] = grid.head[b]
        grid.head[b] = i


@njit(cache=True, nogil=True, error_model="numpy")
def change_bin(grid, i, old, new):
    """Move sphere i from one bin's chain to the head of another's."""
    if grid.head[old] == i:
        grid.head[old] = grid.link[i]
    else:
        j = grid.head[old]
        while grid.link[j] != i:
            j = grid.link[j]
        grid.link[j] = grid.link[i]
    grid.link[i] = grid.head[new]
    grid.head[new] = i


@njit(cache=True, nogil=True, error_model="numpy")
def bin_range(grid, axis, x):
    """First of the bins around a coordinate along an axis, and how many; each counts once."""
    bins = grid.bins[axis]
    if axis >= grid.dim:
        return 0, 1
    i = min(max(math.floor((x - grid.low[axis]) / grid.length[axis] * bins), 0), bins - 1)
    if grid.periodic[axis]:
        return (i - 1 if bins > 2 else 0), min(bins, 3)
    first = max(i - 1, 0)
    return first, min(i + 1, bins - 1) - first + 1


@njit(cache=True, nogil=True, error_model="numpy")
def neighbor_bins(grid, point, found):
    """Write the flat bins around a point, each once, into ``found`` (27); returns how many."""
    first_x, wide = bin_range(grid, 0, point[0])
    first_y, high = bin_range(grid, 1, point[1])
    first_z, deep = bin_range(grid, 2, point[2])
    total = 0
    for c in range(deep):
        z = wrap_index(first_z + c, grid.bins[2])
        for b in range(high):
            y = wrap_index(first_y + b, grid.bins[1])
            for a in range(wide):
                found[total] = wrap_index(first_x + a, grid.bins[0]) + grid.bins[0] * (y + grid.bins[1] * z)
                total += 1
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def wrap_index(i, n):
    """i modulo n, for i from -1 to n + 1."""
    if i < 0:
        return i + n
    return i - n if i >= n else i


@njit(cache=True, nogil=True, error_model="numpy")
def displacement(grid, a, b, vector):
    """Write b - a, the shortest around periodic faces, into ``vector``; returns its square."""
    square = 0.0
    for axis in range(grid.dim):
        d = b[axis] - a[axis]
        if grid.periodic[axis]:
            d -= grid.length[axis] * round(d / grid.length[axis])
        vector[axis] = d
        square += d * d
    return square


@njit(cache=True, nogil=True, error_model="numpy")
def center_limits(grid, axis, start, radius):
    """Lowest and highest coordinate of the center of a sphere along an axis, with its surface at the walls.

    A sphere that protrudes from a wall at its ``start`` may protrude as far, but no farther.
    """
    low = grid.low[axis] + min(radius, max(start - grid.low[axis], 0.0))
    high = grid.low[axis] + grid.length[axis]
    # The upper edge itself belongs to no voxel.
    high = max(low, min(high - min(radius, max(high - start, 0.0)), high - 1e-12 * grid.length[axis]))
    return low, high


@njit(cache=True, nogil=True, error_model="numpy")
def fold_into_box(grid, point, start, radius):
    """Bring the center of a sphere inside: around periodic faces, mirrored where its surface meets others."""
    for axis in range(grid.dim):
        if grid.periodic[axis]:
            length = grid.length[axis]
            x = point[axis] - grid.low[axis]
            x -= length * math.floor(x / length)
            point[axis] = min(grid.low[axis] + x, grid.low[axis] + length * (1.0 - 1e-12))
        else:
            low, high = center_limits(grid, axis, start[axis], radius)
            length = high - low
            x = point[axis] - low
            if length > 0.0:
                x -= 2.0 * length * math.floor(x / (2.0 * length))
            point[axis] = low + min(max(min(x, 2.0 * length - x), 0.0), length)


@njit(cache=True, nogil=True, error_model="numpy")
def crosses_walls(grid, position, radius, shift):
    """Whether the displacement of each sphere ends beyond a wall, along each axis, (n, 3)."""
    meets = np.zeros(position.shape, np.bool_)
    for i in range(position.shape[0]):
        for axis in range(grid.dim):
            low, high = center_limits(grid, axis, position[i, axis], radius[i])
            end = position[i, axis] + shift[i, axis]
            meets[i, axis] = not grid.periodic[axis] and not low <= end <= high
    return meets


@njit(cache=True, nogil=True, error_model="numpy")
def path_is_blocked(grid, start, end, vector):
    """Whether an obstacle lies between ``start`` and ``end``, or at it; ``vector`` is overwritten."""
    if grid.closed.size == 0:
        return False
    displacement(grid, start, end, vector)
    return (
        trace_line(grid.dim, grid.low, grid.voxel, grid.counts, grid.periodic, grid.closed, start, vector)
        == BLOCKED
    )


@njit(cache=True, nogil=True, error_model="numpy")
def overlap_displacements(grid, position, radius, share, cap, shift):
    """Displacement of each sphere away from those that it overlaps.

        d_i = sum_j share/2 (r_i + r_j - |x_i - x_j|) (x_i - x_j)/|x_i - x_j|,   at most cap r_i

    Two spheres at one place part in a direction of their own. ``shift`` (n, 3) is overwritten; returns
    how many spheres move.
    """
    found, vector, moving = np.empty(27, np.int64), np.zeros(3), 0
    for i in range(position.shape[0]):
        shift[i] = 0.0
        for b in range(neighbor_bins(grid, position[i], found)):
            j = grid.head[found[b]]
            while j >= 0:
                reach = radius[i] + radius[j]
                if j != i:
                    square = displacement(grid, position[j], position[i], vector)
                    if square < reach * reach:
                        distance = math.sqrt(square)
                        if distance > 0.0:
                            scale = 0.5 * share * (reach - distance) / distance
                        else:
                            turn = 2.399963229728653 * (i + j)
                            sign = 1.0 if i < j else -1.0
                            vector[0], vector[1], scale = (
                                math.cos(turn),
                                math.sin(turn),
                                0.5 * share * reach * sign,
                            )
                        for axis in range(grid.dim):
                            shift[i, axis] += scale * vector[axis]
                j = grid.link[j]
        length = 0.0
        for axis in range(grid.dim):
            length += shift[i, axis] * shift[i, axis]
        length = math.sqrt(length)
        if length > cap * radius[i]:
            shift[i] *= cap * radius[i] / length
        moving += length > 0.0
    return moving


@njit(cache=True, nogil=True, error_model="numpy")
def move_together(grid, position, radius, shift):
    """Move every sphere at once, but none into an obstacle or through one, and chain them anew."""
    new, vector = np.zeros(3), np.zeros(3)
    for i in range(position.shape[0]):
        new[:] = position[i] + shift[i]
        fold_into_box(grid, new, position[i], radius[i])
        if not path_is_blocked(grid, position[i], new, vector):
            position[i] = new
    rebuild_bins(grid, position, position.shape[0])


@njit(cache=True, nogil=True, error_model="numpy")
def move_in_turn(grid, position, radius, shift):
    """Move spheres one after the other; one whose overlap with another would increase stays.

    Nor does any enter an obstacle or go through one. Returns how many were refused.
    """
    found, vector, new, refused = np.empty(27, np.int64), np.zeros(3), np.zeros(3), 0
    for i in range(position.shape[0]):
        if shift[i, 0] == 0.0 and shift[i, 1] == 0.0 and shift[i, 2] == 0.0:
            continue
        new[:] = position[i] + shift[i]
        fold_into_box(grid, new, position[i], radius[i])
        free = not path_is_blocked(grid, position[i], new, vector)
        for b in range(neighbor_bins(grid, new, found) if free else 0):
            j = grid.head[found[b]]
            while j >= 0 and free:
                if j != i:
                    reach = radius[i] + radius[j]
                    square = displacement(grid, new, position[j], vector)
                    if square < reach * reach:
                        free = square >= displacement(grid, position[i], position[j], vector)
                j = grid.link[j]
            if not free:
                break
        if free:
            old, to = bin_of(grid, position[i]), bin_of(grid, new)
            position[i] = new
            if old != to:
                change_bin(grid, i, old, to)
        else:
            refused += 1
    return refused


@njit(cache=True, nogil=True, error_model="numpy")
def place_touching(grid, position, radius, n, parents, direction, rotations, placed):
    """Place one new sphere beside each parent, in contact with it and without overlap.

    Parameters
    ----------
    position, radius
        (n + m, 3) and (n + m,): spheres so far, then rows for the new ones, which are entered in order.
    parents
        (m,) rows.
    direction
        (T, 3) unit vectors to try in turn.
    rotations
        (m, 3, 3) rotations applied to them.
    placed
        (m,) bool, written: whether there was space. A sphere without is left out.

    Returns
    -------
    int
        Spheres now; the new ones follow the others in the order of their parents.
    """
    found, vector, new = np.empty(27, np.int64), np.zeros(3), np.zeros(3)
    for m in range(parents.size):
        parent = parents[m]
        r = radius[parent]
        placed[m] = False
        for t in range(direction.shape[0]):
            new[:] = position[parent]
            inside = True
            for axis in range(grid.dim):
                step = 0.0
                for k in range(3):
                    step += rotations[m, axis, k] * direction[t, k]
                new[axis] += 2.0 * r * CONTACT_FACTOR * step
                low, high = center_limits(grid, axis, position[parent, axis], r)
                inside = inside and (grid.periodic[axis] or low <= new[axis] <= high)
            if not inside:
                continue
            fold_into_box(grid, new, position[parent], r)
            free = not path_is_blocked(grid, position[parent], new, vector)
            for b in range(neighbor_bins(grid, new, found) if free else 0):
                j = grid.head[found[b]]
                while j >= 0 and free:
                    reach = r + radius[j]
                    free = displacement(grid, new, position[j], vector) >= reach * reach
                    j = grid.link[j]
                if not free:
                    break
            if free:
                position[n] = new
                radius[n] = r
                b = bin_of(grid, new)
                grid.link[n] = grid.head[b]
                grid.head[b] = n
                n += 1
                placed[m] = True
                break
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def bin_index(x, low, inverse_edge, bins):
    """Index of the bin that holds `x`; what lies outside counts to the nearest bin."""
    f = (x - low) * inverse_edge
    if f < 1.0:
        return 0
    if f >= bins:
        return bins - 1
    return int(f)


@njit(cache=True, nogil=True, error_model="numpy")
def link_points(points, first, last, head, link, low, inverse_edge):
    """Enter points `first` to `last - 1` in the grid.

    `points` is (n, 3) in the order x, y, z. A chain starts at `head[z, y, x]`, goes on at
    `link[point]` and ends at -1.
    """
    for i in range(first, last):
        bx = bin_index(points[i, 0], low[0], inverse_edge, head.shape[2])
        by = bin_index(points[i, 1], low[1], inverse_edge, head.shape[1])
        bz = bin_index(points[i, 2], low[2], inverse_edge, head.shape[0])
        link[i] = head[bz, by, bx]
        head[bz, by, bx] = i


@njit(cache=True, nogil=True, error_model="numpy")
def is_free(x, y, z, radius, points, radii, head, link, low, inverse_edge):
    """Whether no linked sphere j has |p - p_j| < radius + radii[j].

    A bin must be at least as wide as the largest such sum, so that the bins next door suffice.
    """
    bx = bin_index(x, low[0], inverse_edge, head.shape[2])
    by = bin_index(y, low[1], inverse_edge, head.shape[1])
    bz = bin_index(z, low[2], inverse_edge, head.shape[0])
    for iz in range(max(bz - 1, 0), min(bz + 2, head.shape[0])):
        for iy in range(max(by - 1, 0), min(by + 2, head.shape[1])):
            for ix in range(max(bx - 1, 0), min(bx + 2, head.shape[2])):
                j = head[iz, iy, ix]
                while j >= 0:
                    dx = x - points[j, 0]
                    dy = y - points[j, 1]
                    dz = z - points[j, 2]
                    reach = radius + radii[j]
                    if dx * dx + dy * dy + dz * dz < reach * reach:
                        return False
                    j = link[j]
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def add_separated(points, radii, count, candidates, images, head, link, low, inverse_edge):
    """Try `candidates` (m, 3) in order; each that is free becomes the next of `points`.

    Free means free at each of `images` (k, 3): at the candidate itself, moved by (0, 0, 0), or,
    where space repeats itself, by whole periods. Returns the new `count`, at most ``len(points)``.
    """
    for c in range(candidates.shape[0]):
        if count == points.shape[0]:
            break
        x, y, z = candidates[c, 0], candidates[c, 1], candidates[c, 2]
        free = True
        for k in range(images.shape[0]):
            ix, iy, iz = x + images[k, 0], y + images[k, 1], z + images[k, 2]
            if not is_free(ix, iy, iz, radii[count], points, radii, head, link, low, inverse_edge):
                free = False
                break
        if free:
            points[count, 0] = x
            points[count, 1] = y
            points[count, 2] = z
            link_points(points, count, count + 1, head, link, low, inverse_edge)
            count += 1
    return count
