"""Swarms of walking vesicles for tests: a medium, the walk of many, and how even a density is."""

from __future__ import annotations

from typing import Any

import numpy as np

from exoabm.kernels.brownian_offlattice import walk_off_lattice
from exoabm.kernels.medium import (
    FREE,
    NO_FLUX,
    Medium,
    Outcomes,
    Particles,
    clearance,
)
from exoabm.kernels.membranes import Membranes, build_membranes
from exoabm.kernels.random import StepKey

WATER, TISSUE = 6.57, 0.33


def medium(
    counts: tuple[int, int, int],
    voxel: float = 10.0,
    *,
    low: tuple[float, float, float] = (0.0, 0.0, 0.0),
    sides: tuple[int, ...] = (NO_FLUX,) * 6,
    hindrance: Any = 1.0,
    obstacle: np.ndarray | None = None,
    decay: float = 0.0,
    matters: np.ndarray | None = None,
    shortest: float = 5.0,
) -> Medium:
    count, face = np.array(counts, np.int64), np.array(sides, np.int64)
    slow = np.atleast_1d(np.asarray(hindrance, np.float32)).ravel()
    wall = np.zeros(0, np.uint8) if obstacle is None else obstacle.astype(np.uint8).ravel()
    special = np.zeros(int(count.prod()), bool) if matters is None else matters.ravel()
    if obstacle is not None:
        special = special | obstacle.ravel()
    room = clearance(count, voxel, face, special, slow)
    return Medium(
        2 if counts[2] == 1 else 3,
        np.array(low),
        voxel,
        count,
        face,
        slow,
        wall,
        decay,
        room,
        shortest,
    )


def no_cells(space: Medium) -> Membranes:
    none = np.zeros(0)
    shape = space.dim, space.low, space.voxel, space.counts, space.sides
    return build_membranes(*shape, np.zeros((0, 3)), none, none, 20.0)


class Swarm:
    """Vesicles that begin at given places."""

    def __init__(self, place: np.ndarray, diffusivity: float, first: int = 0) -> None:
        n = len(place)
        self.name = np.arange(first, first + n)
        self.x, self.y, self.z = np.array(place.T, np.float32)
        self.diffusivity = np.full(n, diffusivity, np.float32)
        self.start = np.zeros(n, np.float32)
        self.fate = np.zeros(n, np.int8)
        self.when = np.zeros(n, np.float32)
        self.target = np.full(n, -1, np.int32)
        self.rows = np.arange(n)
        self.step = 0

    def go(
        self,
        dt: float,
        space: Medium,
        cells: Any = None,
        *,
        steps: int = 1,
        seed: int = 1,
        threads: int = 1,
        rows: np.ndarray | None = None,
    ) -> Swarm:
        """Take those still free through some steps."""
        chosen = self.rows if rows is None else rows
        for _ in range(steps):
            walk_off_lattice(
                Particles(
                    chosen[self.fate[chosen] == FREE], self.name, self.x, self.y, self.z,
                    self.diffusivity, self.start,
                ),
                dt, StepKey(seed, self.step, 9, 10), space, no_cells(space) if cells is None else cells,
                Outcomes(self.fate, self.when, self.target), threads=threads,
            )  # fmt: skip
            self.step += 1
        return self

    @property
    def place(self) -> np.ndarray:
        return np.stack([self.x, self.y, self.z], axis=1).astype(float)

    def share(self, fate: int) -> float:
        return float(np.mean(self.fate == fate))


def uniform(n: int, high: Any, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, high, (n, 3))


def directions(n: int, dim: int, seed: int = 0) -> np.ndarray:
    v = np.random.default_rng(seed).normal(size=(n, 3))
    v[:, dim:] = 0
    return v / np.linalg.norm(v, axis=1)[:, None]


def flatness(place: np.ndarray, axis: int, length: float, bins: int) -> float:
    """Chi-square over its degrees of freedom, of positions along an axis."""
    count = np.histogram(place[:, axis], bins=bins, range=(0, length))[0]
    mean = len(place) / bins
    return float(((count - mean) ** 2).sum() / mean / (bins - 1))


def sphere(space: Medium, center: Any, radius: float, uptake: float, reach: float = 20.0) -> Membranes:
    reactivity = np.array([uptake / (4 * np.pi * radius**2)])
    return build_membranes(
        space.dim, space.low, space.voxel, space.counts, space.sides,
        np.array([center], float), np.array([radius]), reactivity, reach,
    )  # fmt: skip
