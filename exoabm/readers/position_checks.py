"""Plausibility of positions as those of cells in a tissue: distances, density, outliers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from exoabm.errors import InputError

GRID = 2.0**-20
"""um; positions are whole multiples of it, about a picometer, so that their differences are exact."""
NEAREST = (4.0, 25.0)
"""um between neighbors, the median; real tumor sections have 6.6 to 7.5."""
USUAL = 10.0
"""um between neighbors, from which the width of a pixel is estimated if pixels were read as um."""
DENSITY = (500.0, 20_000.0)
"""Cells per mm2 of the box around them; real sections have 7,000 to 10,000."""
LEAST_CELLS = 20
"""Smallest number of cells for these checks."""
QUERIES = 20_000
"""Cells whose neighbors are searched, evenly chosen."""
FAR = 20.0
"""A gap is reported if it exceeds this multiple of the median distance and half of the length."""
FEW = 0.01
"""Largest share of cells that count as outliers."""


def plausibility_warnings(positions: NDArray[np.float64], rows: NDArray[np.int64]) -> Iterator[str]:
    """Warnings of implausible positions (n, 3) in um; ``rows`` are those of the table."""
    n = len(positions)
    if n < 2:
        return
    nearest = _nearest(positions)
    stray = _stray(positions, nearest)
    if stray.any():
        yield _far_off(positions, rows, stray)
    kept = positions[~stray]
    if len(kept) < LEAST_CELLS:
        return
    low, high = NEAREST
    if nearest and not low <= nearest <= high:
        guess = USUAL / nearest
        yield (
            f"the median distance to the nearest neighbor is {nearest:.3g} um, where {low:g} to {high:g} um "
            f"are usual. Possibly {'pixels' if guess < 1 else 'units'} of {guess:.1g} um were read as um"
        )
    area = float(np.prod(np.ptp(kept[:, :2], axis=0))) / 1e6
    if np.ptp(kept[:, 2]) == 0 and area > 0 and not DENSITY[0] <= len(kept) / area <= DENSITY[1]:
        yield (
            f"{len(kept) / area:,.0f} cells per mm2 of the box around them; "
            f"{DENSITY[0]:,.0f} to {DENSITY[1]:,.0f} are usual"
        )


def check_distinct_positions(
    name: str, positions: NDArray[np.float64], rows: NDArray[np.int64], images: tuple[str, ...]
) -> None:
    """Refuse cells with the same position, (n, 3) in um; names their rows in the table.

    Raises
    ------
    InputError
        If there are any.
    """
    order = np.lexsort(positions.T)
    same = (positions[order][1:] == positions[order][:-1]).all(axis=1)
    if not same.any():
        return
    pairs = sorted(sorted(map(int, rows[order[i : i + 2]])) for i in np.flatnonzero(same)[:10_000])
    first, second = pairs[0]
    x, y = positions[np.flatnonzero(rows == first)[0], :2]
    image = f"; column {images[0]!r} distinguishes images: choose one with layout.where" if images else ""
    raise InputError(
        f"{name}: rows {first} and {second} have the same position ({x:g}, {y:g}) um, as have "
        f"{int(same.sum())} pairs in all; two cells cannot have the same position{image}"
    )


def _nearest(positions: NDArray[np.float64]) -> float:
    """Median distance to the nearest neighbor in um, of cells that have one elsewhere."""
    from scipy.spatial import cKDTree

    chosen = positions[:: max(len(positions) // QUERIES, 1)]
    distance = np.asarray(cKDTree(positions).query(chosen, k=2)[0])[:, 1]
    return float(np.median(distance))


def _stray(positions: NDArray[np.float64], nearest: float) -> NDArray[np.bool_]:
    """The few cells separated from all others by a wide gap along an axis."""
    n = len(positions)
    stray = np.zeros(n, bool)
    most = max(int(FEW * n), 1)
    for axis in range(3):
        order = np.argsort(positions[:, axis], kind="stable")
        gaps = np.diff(positions[order, axis])
        widest = int(np.argmax(gaps))
        length = float(gaps.sum())
        if length == 0 or gaps[widest] <= max(FAR * nearest, length / 2):
            continue
        below, above = order[: widest + 1], order[widest + 1 :]
        few = min(below, above, key=len)
        if len(few) <= most and len(few) < n / 2:
            stray[few] = True
    return stray


def _far_off(positions: NDArray[np.float64], rows: NDArray[np.int64], stray: NDArray[np.bool_]) -> str:
    named = ", ".join(map(str, rows[stray][:5])) + (" ..." if stray.sum() > 5 else "")
    whole, tissue = np.ptp(positions, axis=0).max(), np.ptp(positions[~stray], axis=0).max()
    count = int(stray.sum())
    cells = f"1 cell (row {named}) is" if count == 1 else f"{count} cells (rows {named}) are"
    return (
        f"{cells} far from all others and {'makes' if count == 1 else 'make'} the domain {_length(whole)} "
        f"long; without {'it' if count == 1 else 'them'} it is {_length(tissue)}"
    )


def _length(um: float) -> str:
    return f"{um / 1000:.3g} mm" if um >= 1000 else f"{um:.3g} um"
