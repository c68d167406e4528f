"""Speed of the field solver and of the transfer matrix, relative to plain references."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from exoabm.benchmarks.timing import Report, measure, timed
from exoabm.errors import NumericalError
from exoabm.kernels.diffusion_stencil import Diffusion
from exoabm.kernels.linear_uptake import advance_linear, index_slots
from exoabm.kernels.saturable_uptake import advance_saturable
from exoabm.kernels.uptake_rates import UptakeLaw, index_entries


def bench_continuum() -> Report:
    """The field solver on one and two threads, relative to NumPy slicing and an in-cache copy.

    NumPy takes the same sub-steps, also with varying D; where uptake saturates, it takes them with linear
    uptake, which is less work. ``difference`` is the largest relative difference of the two results after 4
    sub-steps, of linear uptake.
    """
    rows = []
    for title, shape, dtype, cells, law, threads in (
        ("2-D", (512, 512), np.float64, 0, "linear", 1),
        ("2-D, 10,000 cells", (512, 512), np.float64, 10_000, "linear", 1),
        ("2-D, 10,000 cells, saturable", (512, 512), np.float64, 10_000, "saturable", 1),
        ("2-D, tissue (84 % of voxels)", (512, 512), np.float64, 220_000, "linear", 1),
        ("2-D, tissue (84 % of voxels), saturable", (512, 512), np.float64, 220_000, "saturable", 1),
        ("2-D, varying D, 10,000 cells", (512, 512), np.float64, 10_000, "varying", 1),
        ("2-D, 10,000 cells", (512, 512), np.float32, 10_000, "linear", 1),
        ("2-D, 10,000 cells", (512, 512), np.float64, 10_000, "linear", 2),
        ("3-D, 10,000 cells", (128, 128, 128), np.float64, 10_000, "linear", 1),
        ("3-D, 10,000 cells", (128, 128, 128), np.float64, 10_000, "linear", 2),
    ):
        world = _World(shape, np.dtype(dtype), cells)
        difference = world.difference(law, threads)
        plainly = partial(world.numpy, kind=law)
        kernel = measure(partial(world.kernel, kind=law, threads=threads), plainly, world.copy)
        ours, plain, copied = (world.voxels / seconds / 1e9 for seconds in kernel)
        rows.append(
            {
                "case": title,
                "grid": "x".join(map(str, shape)),
                "type": np.dtype(dtype).name,
                "threads": threads,
                "exoabm Gvoxel/s": round(ours, 3),
                "NumPy Gvoxel/s": round(plain, 3),
                "times NumPy": round(ours / plain, 1),
                "difference": f"{difference:.0e}",
                "share of in-cache copy": round(ours / copied, 2),
            }
        )
    return Report("Continuum: diffusion, decay, release and uptake in one sub-step", tuple(rows[0]), rows)


def bench_transfer() -> Report:
    """The transfer matrix by Green's function, relative to one sparse LU of the same grid."""
    from scipy import sparse

    from exoabm.transport.grid_discretization import LatticeOperator
    from exoabm.transport.transfer_matrix import captures

    rows = []
    operator = LatticeOperator(shape=(256, 256), voxel=10.0, decay=1e-3, diffusivity=6.57)
    for n in (100, 1000):
        voxel = np.random.default_rng(1).choice(256 * 256, n, replace=False)
        release = sparse.csr_array((np.ones(n), (np.arange(n), voxel)), shape=(n, 256 * 256))
        uptake = release * 0.05
        captures(operator, release[:3], uptake[:3], method="green")
        green = timed(partial(captures, operator, release, uptake, method="green"))
        few = min(n, 20)
        lu = timed(partial(captures, operator, release[:few], uptake, method="lu"))
        rows.append(
            {
                "cells": n,
                "Green and Woodbury, all pairs, ms": round(green * 1e3, 1),
                f"sparse LU, {few} donors, ms": round(lu * 1e3, 1),
            }
        )
    columns = tuple(dict.fromkeys(key for row in rows for key in row))
    return Report("Transfer matrix on 256x256", columns, [dict.fromkeys(columns, "") | r for r in rows])


class _World:
    """A grid with cells at random voxels, stepped by the kernel or by NumPy."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], cells: int) -> None:
        rng = np.random.default_rng(0)
        self.voxels = int(np.prod(shape))
        self.dim = len(shape)
        self.r = 0.2 if self.dim == 2 else 1 / 6.5
        self.decay = 1e-4
        self.u = rng.random(shape).astype(dtype)
        self.scratch = np.empty_like(self.u)
        self.voxel = np.sort(rng.choice(self.voxels, cells, replace=False)).astype(np.int64)
        self.slots = index_slots(self.voxel, shape)
        self.entries = index_entries(
            np.arange(cells), np.arange(cells), np.ones(cells), self.voxel, n_cells=cells
        )
        self.source = np.full((1, cells), 1e-3)
        self.sink = np.full((1, cells), 0.2)
        self.law = UptakeLaw(np.full(cells, 0.2), np.full((1, cells), 0.2), np.full(cells, 0.5))
        self.exposure = np.zeros((1, cells))
        self.taken = np.zeros((1, cells))
        self.conductance = tuple(
            rng.uniform(0.3, 1.0, [n + (i == axis) for i, n in enumerate(shape)]).astype(dtype)
            for axis in reversed(range(self.dim))
        )
        self._line = np.zeros(8192, dtype)
        self._line_to = np.empty_like(self._line)

    def kernel(self, n: int, kind: str, threads: int) -> None:
        faces = self.conductance if kind == "varying" else None
        diffusion = Diffusion(np.array([self.r]), np.array([self.decay]), (0,) * 6, np.zeros((1, 6)), faces)
        if kind == "saturable":
            advance_saturable(
                self.u[None],
                self.scratch[None],
                n_sub=n,
                diffusion=diffusion,
                slots=self.slots,
                entries=self.entries,
                source=self.source,
                law=self.law,
                dt=1.0,
                volume=1.0,
                taken=self.taken,
                flows=np.zeros((1, 6)),
                threads=threads,
            )
            return
        advance_linear(
            self.u[None],
            self.scratch[None],
            n_sub=np.array([n]),
            diffusion=diffusion,
            slots=self.slots,
            source=self.source,
            sink=self.sink,
            exposure=self.exposure,
            flows=np.zeros((1, 6)),
            threads=threads,
        )

    def difference(self, kind: str, threads: int) -> float:
        """Largest relative difference of the fields of kernel and NumPy after 4 sub-steps, linear uptake.

        Raises
        ------
        NumericalError
            If it exceeds what the type of the field allows.
        """
        before, law = self.u.copy(), self.law
        self.law = law._replace(saturation=np.zeros_like(law.saturation))
        self.kernel(4, kind, threads)
        ours = self.u.copy()
        self.u[...] = before
        theirs = self.numpy(4, kind)
        self.law = law
        found = float((np.abs(ours - theirs) / np.abs(theirs)).max())
        if not found < 1e4 * np.finfo(self.u.dtype).eps:
            raise NumericalError(f"the kernel and NumPy differ by {found:.1e} of the concentration")
        return found

    def numpy(self, n: int, kind: str = "linear") -> np.ndarray:
        """The same scheme in plain NumPy slicing, no-flux faces; the field afterwards."""
        u = self.u
        for _ in range(n):
            new = u * (1 - self.decay)
            for axis in range(self.dim):
                step = self.r * np.diff(u, axis=axis)
                if kind == "varying":
                    inner = [slice(None)] * self.dim
                    inner[axis] = slice(1, -1)
                    step *= self.conductance[self.dim - 1 - axis][tuple(inner)]
                low = [slice(None)] * self.dim
                high = list(low)
                low[axis], high[axis] = slice(None, -1), slice(1, None)
                new[tuple(low)] += step
                new[tuple(high)] -= step
            flat = new.reshape(-1)
            amount = (flat[self.voxel] + self.source[0]) / (1 + self.sink[0])
            flat[self.voxel] = amount
            self.exposure[0] += amount
            u = new
        return u

    def copy(self, n: int) -> None:
        """One read and one write per voxel, of lines that stay in cache."""
        for _ in range(n * max(1, self.voxels // self._line.size)):
            np.copyto(self._line_to, self._line)
