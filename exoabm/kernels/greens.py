"""Green's function of a box between given sites, from one table and sums over mirror images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(**_OPTIONS)
def _fold(site: int, other: int, size: int, mirrored: bool) -> tuple[int, int]:
    """Table indices of the direct image and of the one behind the nearer wall."""
    image = site + other + 1
    return abs(site - other), min(image, 2 * size - image) if mirrored else 0


@njit(**_OPTIONS)
def gather(
    table: NDArray[Any],
    mirrored: NDArray[np.bool_],
    size: NDArray[np.int64],
    start: NDArray[np.int64],
    sources: NDArray[np.int64],
    weights: NDArray[Any],
    targets: NDArray[np.int64],
    lower: bool,
    out: NDArray[Any],
) -> None:
    """out[i, j] = sum_p weights[p] g(sources[p], targets[j]), start[i] <= p < start[i+1].

    With the image sum g(a, b) = sum table[i_z, i_y, i_x], where on each axis i is |a - b|, and on
    a mirrored axis also a + b + 1, folded into the table.

    Parameters
    ----------
    table : (tz, ty, tx) float
        Free Green's function by separation: size + 1 entries on a mirrored axis, size on a
        periodic one.
    mirrored, size : (3,)
        For the axes z, y, x: whether its two faces are mirrors, and its number of sites.
    start : (rows + 1,) int
        Where each row's sources begin.
    sources, weights : (p, 3) int and (p,) float
        Sites as z, y, x, and their weights, in the order of the rows.
    targets : (columns, 3) int
        Sites as z, y, x.
    lower : bool
        Fill only j <= i of a square matrix.
    out : (rows, columns) float
        Overwritten; entries above the diagonal are zeroed where ``lower``.
    """
    mz, my, mx = mirrored[0], mirrored[1], mirrored[2]
    nz, ny, nx = size[0], size[1], size[2]
    for i in range(out.shape[0]):
        row = out[i]
        row[:] = 0
        columns = i + 1 if lower else row.shape[0]
        for p in range(start[i], start[i + 1]):
            z, y, x, weight = sources[p, 0], sources[p, 1], sources[p, 2], weights[p]
            for j in range(columns):
                z0, z1 = _fold(z, targets[j, 0], nz, mz)
                y0, y1 = _fold(y, targets[j, 1], ny, my)
                x0, x1 = _fold(x, targets[j, 2], nx, mx)
                total = table[z0, y0, x0]
                if mx:
                    total += table[z0, y0, x1]
                if my:
                    total += table[z0, y1, x0]
                    if mx:
                        total += table[z0, y1, x1]
                if mz:
                    total += table[z1, y0, x0]
                    if mx:
                        total += table[z1, y0, x1]
                    if my:
                        total += table[z1, y1, x0]
                        if mx:
                            total += table[z1, y1, x1]
                row[j] += weight * total
