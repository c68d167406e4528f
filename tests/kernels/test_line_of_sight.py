"""What straight lines meet, against the voxels of 4,000 points on each; all lengths differ."""

from __future__ import annotations

import numpy as np
import pytest

from exoabm.kernels.line_of_sight import BLOCKED, OPEN, OUTSIDE, trace_lines

LOW, VOXEL, COUNTS = np.array([-30.0, 12.0, 5.0]), 10.0, np.array([9, 7, 5])


@pytest.mark.parametrize("dim", [2, 3])
def test_a_line_meets_what_its_points_meet_first(dim: int) -> None:
    """Obstacles, the end of the box, or nothing; around along y. Lines through corners are left out."""
    random = np.random.default_rng(5)
    counts = np.where(np.arange(3) < dim, COUNTS, 1)
    closed = random.random(int(counts.prod())) < 0.08
    start = LOW + random.random((300, 3)) * counts * VOXEL
    way = random.normal(0, 25, (300, 3))
    wraps = np.array([0.0, 70.0, 0.0])
    found = trace_lines(dim, LOW, VOXEL, counts, wraps, closed.astype(np.uint8), start, way)
    expected, sure = np.full(300, OPEN), np.ones(300, bool)
    strides = np.array([1, counts[0], counts[0] * counts[1] if dim == 3 else 0])
    for i in range(300):
        points = start[i] + np.linspace(0, 1, 4000)[:, None] * way[i]
        voxel = np.floor((points - LOW) / VOXEL).astype(int)[:, :dim]
        changes = np.abs(np.diff(voxel, axis=0)).sum(axis=1)
        sure[i] = changes.max() < 2
        outside = ((voxel < 0) | (voxel >= counts[:dim]))[:, np.arange(dim) != 1].any(axis=1)
        inside = voxel % counts[:dim] @ strides[:dim]
        own = inside == inside[0]
        hit = closed[inside] & ~outside & ~(own & (np.cumsum(~own) == 0))
        first = np.flatnonzero(outside | hit)
        if len(first):
            expected[i] = OUTSIDE if outside[first[0]] else BLOCKED
    assert sure.mean() > 0.9
    assert min(np.bincount(expected[sure])) > 20
    np.testing.assert_array_equal(found[sure], expected[sure])
