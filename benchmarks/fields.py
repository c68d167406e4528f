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
    """The field solver on one and two threads, relative to NumPy slicing, and to copies on this machine.

    NumPy takes the same sub-steps, also with varying D and with saturable uptake. ``difference`` is the
    largest relative difference of the two results after 4 sub-steps. A copy is one read and one write per
    voxel: of lines that stay in cache, and of the whole field.
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
        kernel = measure(
            partial(world.kernel, kind=law, threads=threads), plainly, world.copy, world.copy_field
        )
        ours, plain, copied, whole = (world.voxels / seconds / 1e9 for seconds in kernel)
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
                "share of a copy of the field": round(ours / whole, 2),
            }
        )
    return Report("Continuum: diffusion, decay, release and uptake in one sub-step", tuple(rows[0]), rows)


BIOFVM = 23e6
"""Voxels per second of BioFVM 1.1.7 in double precision on one core of a Zen 4 processor, measured at
512 x 512; it is not installed here."""


def bench_accuracy() -> Report:
    """Uptake of single cells at equal error, by the kernel and by the scheme of BioFVM.

    The medium is empty at first. That scheme takes implicit steps along one axis after the other, then the
    exchange of the cells, u' = (u + A) / (1 + B). Errors are relative L2 norms over cells, against the kernel
    at a sixteenth of its sub-step. The step at which the scheme has the error of the kernel follows from its
    error in proportion to the step; the last column multiplies the ratio of the steps by that of the speeds,
    the kernel's on this machine and BioFVM's as measured on another processor, a Zen 4 (``BIOFVM``).
    """
    rows, size, time = [], 96, 40.0
    rng = np.random.default_rng(2)
    voxel = np.sort(rng.choice(size * size, 300, replace=False)).astype(np.int64)
    source = np.where(rng.permutation(300) < 100, 1.0, 0.0)
    fast = _World((512, 512), np.dtype(float), 10_000)
    speed = fast.voxels / measure(partial(fast.kernel, kind="linear", threads=1))[0]
    for strength in (0.1, 1.0, 10.0):
        uptake = np.where(source > 0, 0.0, strength)
        exact = _explicit(size, voxel, source, uptake, 0.2 / 16, time)
        errors = [
            float(np.linalg.norm(found - exact) / np.linalg.norm(exact))
            for found in (
                _explicit(size, voxel, source, uptake, 0.2, time),
                _split(size, voxel, source, uptake, 0.02, time),
            )
        ]
        step = 0.02 * errors[0] / errors[1]
        rows.append(
            {
                "uptake, D/h²": strength,
                "error of the kernel, D dt/h² = 0.2": f"{errors[0]:.2%}",
                "error of BioFVM's scheme, 0.02": f"{errors[1]:.2%}",
                "its step of equal error": f"{step:.4f}",
                "ratio of steps": round(0.2 / step, 1),
                "kernel Gvoxel/s": round(speed / 1e9, 3),
                "times BioFVM on one Zen 4 core": round(0.2 / step * speed / BIOFVM),
            }
        )
    return Report("Uptake of single cells at equal error, 2-D, double precision", tuple(rows[0]), rows)


def _explicit(
    size: int, voxel: np.ndarray, source: np.ndarray, uptake: np.ndarray, r: float, time: float
) -> np.ndarray:
    """Uptake of each cell until a time in h²/D by the kernel, in sub-steps of r."""
    u = np.zeros((1, size, size))
    exposure = np.zeros((1, voxel.size))
    advance_linear(
        u,
        np.empty_like(u),
        n_sub=np.array([round(time / r)]),
        diffusion=Diffusion(np.array([r]), np.zeros(1), (0,) * 6, np.zeros((1, 6))),
        slots=index_slots(voxel, (size, size)),
        source=source[None] * r,
        sink=uptake[None] * r,
        exposure=exposure,
        flows=np.zeros((1, 6)),
    )
    return np.asarray(exposure[0] * uptake * r)


def _split(
    size: int, voxel: np.ndarray, source: np.ndarray, uptake: np.ndarray, r: float, time: float
) -> np.ndarray:
    """The same by implicit steps along x, then y, then the cells."""
    from scipy.linalg import solve_banded

    bands = np.full((3, size), -r)
    bands[1] = 1 + 2 * r
    bands[1, [0, -1]] = 1 + r
    u, taken = np.zeros((size, size)), np.zeros(voxel.size)
    for _ in range(round(time / r)):
        u = solve_banded((1, 1), bands, solve_banded((1, 1), bands, u).T).T
        flat = np.ascontiguousarray(u).reshape(-1)
        flat[voxel] = (flat[voxel] + source * r) / (1 + uptake * r)
        taken += flat[voxel] * uptake * r
        u = flat.reshape(size, size)
    return taken


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
        """Largest relative difference of the fields of kernel and NumPy after 4 sub-steps.

        Raises
        ------
        NumericalError
            If it exceeds what the type of the field allows.
        """
        before = self.u.copy()
        self.kernel(4, kind, threads)
        ours = self.u.copy()
        self.u[...] = before
        theirs = self.numpy(4, kind)
        found = float((np.abs(ours - theirs) / np.abs(theirs)).max())
        if not found < 1e4 * np.finfo(self.u.dtype).eps:
            raise NumericalError(f"the kernel and NumPy differ by {found:.1e} of the concentration")
        return found

    def numpy(self, n: int, kind: str = "linear") -> np.ndarray:
        """The same scheme in plain NumPy slicing, no-flux faces; the field afterwards."""
        u, sink = self.u, self.sink[0]
        met = np.maximum(u.reshape(-1)[self.voxel], self.source[0] / (1 + self.law.lattice_rate[0]))
        for _ in range(n):
            if kind == "saturable":
                sink = self.rate(met)
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
            met = (flat[self.voxel] + self.source[0]) / (1 + sink)
            flat[self.voxel] = met
            self.exposure[0] += sink * met if kind == "saturable" else met
            u = new
        return u

    def rate(self, met: np.ndarray) -> np.ndarray:
        """Effective uptake rate of each cell at a concentration; see ``uptake_rates.membrane_rates``."""
        load = self.law.saturation * met
        beta = self.law.rate / self.law.lattice_rate[0]
        b = beta - load
        root = np.sqrt(b * b + 4 * load)
        excess = np.where(b > 0, 2 * load / (np.abs(b) + root), (root - b) / 2)
        return np.asarray(self.law.rate / (excess + beta))

    def copy(self, n: int) -> None:
        """One read and one write per voxel, of lines that stay in cache."""
        for _ in range(n * max(1, self.voxels // self._line.size)):
            np.copyto(self._line_to, self._line)

    def copy_field(self, n: int) -> None:
        """One read and one write per voxel, of the whole field."""
        for _ in range(n):
            np.copyto(self.scratch, self.u)
