"""Random sequential addition of spheres that may not overlap, on a hash grid."""

from __future__ import annotations

from numba import njit


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
    """Tell whether no linked sphere j has |p - p_j| < radius + radii[j].

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

    Free means free at each of `images` (k, 3): where a candidate stands, moved by none (0, 0, 0) or,
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
