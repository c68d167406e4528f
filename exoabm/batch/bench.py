"""Speed of the kernels, each beside a plain reference in the same run.

Machines differ and are shared, so only ratios taken in one run mean anything. Every figure is the median of
alternating rounds: kernel, reference, kernel, reference.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.errors import InputError
from exoabm.kernels.diffusion import advance_linear, advance_saturable
from exoabm.kernels.exchange import UptakeLaw, index_entries, index_slots
from exoabm.kernels.fates import CAPTURED
from exoabm.kernels.hop import Lattice, Sinks, hop, marks
from exoabm.kernels.walk import Medium, membranes, walk

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
SECONDS_PER_ROUND = 0.15


@dataclass(frozen=True)
class Report:
    """A table of measurements: one dict per row, keyed by ``columns``."""

    title: str
    columns: tuple[str, ...]
    rows: list[dict[str, Any]]


def run_benchmark(name: str) -> Report:
    """Run a benchmark by name.

    Raises
    ------
    InputError
        If there is no benchmark of this name.
    """
    if name not in BENCHMARKS:
        raise InputError(f"unknown benchmark {name!r}; one of {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]()


def bench_continuum() -> Report:
    """The field solver on one and two threads, beside NumPy slicing and a copy that stays in cache."""
    rows = []
    for title, shape, dtype, cells, law, threads in (
        ("2-D", (512, 512), np.float64, 0, "linear", 1),
        ("2-D, 10,000 cells", (512, 512), np.float64, 10_000, "linear", 1),
        ("2-D, 10,000 cells, saturable", (512, 512), np.float64, 10_000, "saturable", 1),
        ("2-D, varying D, 10,000 cells", (512, 512), np.float64, 10_000, "varying", 1),
        ("2-D, 10,000 cells", (512, 512), np.float32, 10_000, "linear", 1),
        ("2-D, 10,000 cells", (512, 512), np.float64, 10_000, "linear", 2),
        ("3-D, 10,000 cells", (128, 128, 128), np.float64, 10_000, "linear", 1),
        ("3-D, 10,000 cells", (128, 128, 128), np.float64, 10_000, "linear", 2),
    ):
        world = _World(shape, np.dtype(dtype), cells)
        kernel = _measure(partial(world.kernel, kind=law, threads=threads), world.numpy, world.copy)
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
                "share of in-cache copy": round(ours / copied, 2),
            }
        )
    return Report("Continuum: diffusion, decay, release and uptake in one sub-step", tuple(rows[0]), rows)


def bench_transfer() -> Report:
    """The transfer matrix by Green's function, beside one sparse LU of the same grid."""
    from scipy import sparse

    from exoabm.transport.transfer import LatticeOperator, captures

    rows = []
    operator = LatticeOperator(shape=(256, 256), voxel=10.0, decay=1e-3, diffusivity=6.57)
    for n in (100, 1000):
        voxel = np.random.default_rng(1).choice(256 * 256, n, replace=False)
        release = sparse.csr_array((np.ones(n), (np.arange(n), voxel)), shape=(n, 256 * 256))
        uptake = release * 0.05
        captures(operator, release[:3], uptake[:3], method="green")
        green = _seconds(partial(captures, operator, release, uptake, method="green"))
        few = min(n, 20)
        lu = _seconds(partial(captures, operator, release[:few], uptake, method="lu"))
        rows.append(
            {
                "cells": n,
                "Green and Woodbury, all pairs, ms": round(green * 1e3, 1),
                f"sparse LU, {few} donors, ms": round(lu * 1e3, 1),
            }
        )
    columns = tuple(dict.fromkeys(key for row in rows for key in row))
    return Report("Transfer matrix on 256x256", columns, [dict.fromkeys(columns, "") | r for r in rows])


def bench_vesicles() -> Report:
    """Single vesicles on one thread, beside Smoldyn on comparable work, or else a plain NumPy walk.

    Smoldyn is taken from this interpreter or from the one that ``EXOABM_SMOLDYN`` names. Where cells are
    points it binds within a radius; at membranes it takes, of the steps tried, the longest with an error
    below ours and 1 %, or the most exact.
    """
    crowd, shell = _Crowd(), _Shell()
    crowd.hop()
    ours = float(np.median([_seconds(crowd.hop) for _ in range(3)])) / crowd.steps
    model = _model_seconds()
    found = _smoldyn([crowd.smoldyn(), *(shell.smoldyn(dt) for dt in _Shell.STEPS)])
    beside = "Smoldyn" if found else "NumPy walk"
    theirs = found[0][0] / crowd.smoldyn_steps if found else _seconds(crowd.numpy) / crowd.steps
    rows: list[dict[str, Any]] = [
        {"case": case, "unit": "ns a vesicle-step", "exoabm": round(a * 1e9, 2),
         "beside": beside, "its time": round(theirs * 1e9, 1), "ratio": round(theirs / a, 1)}
        for case, a in (
            ("hop in 3-D, decay, 10,000 cells", ours),
            ("the same in a model, 2-D, with events and uptake", model),
        )
    ]  # fmt: skip
    mine, error = shell.walk()
    row: dict[str, Any] = {
        "case": f"release at a membrane, recapture error {error:+.1%}",
        "unit": "us a vesicle and hour",
        "exoabm": round(mine * 1e6, 1),
    }
    if found:
        hours = shell.n * shell.time / 3600
        errors = [(1 - free / shell.n) / shell.expected - 1 for _, free in found[1:]]
        good = [i for i, e in enumerate(errors) if abs(e) <= max(abs(error), 0.01)]
        best = good[-1] if good else int(np.argmin(np.abs(errors)))
        theirs = found[1 + best][0] / hours
        row |= {
            "beside": f"Smoldyn, dt = {_Shell.STEPS[best]} s, error {errors[best]:+.1%}",
            "its time": round(theirs * 1e6, 1),
            "ratio": round(theirs / mine, 1),
        }
    rows.append(row)
    columns = tuple(rows[0])
    return Report("Single vesicles, one thread", columns, [dict.fromkeys(columns, "") | r for r in rows])


class _Crowd:
    """Vesicles that hop among cells of one voxel each, in 3-D."""

    def __init__(self, n: int = 1_000_000, side: int = 128, cells: int = 10_000) -> None:
        rng, size = np.random.default_rng(0), side**3
        self.n, self.side, self.cells, self.dt = n, side, cells, 60.0
        self.substeps = (1 / 15.0, 0.0)
        self.steps = n * math.ceil(6.57 * self.dt / 15.0)
        slot = np.full(size, -1, np.int32)
        slot[rng.choice(size, cells, replace=False)] = np.arange(cells)
        gx = np.ones((side, side, side + 1))
        gx[..., [0, -1]] = 0.0
        gy, gz = np.swapaxes(gx, 1, 2).copy(), np.swapaxes(gx, 0, 2).copy()
        self.lattice = Lattice(
            3, np.zeros(3), 10.0, np.full(3, side), np.zeros(3, bool), gx, gy, gz, 1.0, 1e-4
        )  # fmt: skip
        entry = np.arange(cells, dtype=np.int32)
        self.sinks = Sinks(
            slot, np.arange(cells + 1), entry, np.full(cells, 0.0142), *marks(self.lattice, slot)
        )
        self.place = rng.uniform(0, 10.0 * side, (3, n)).astype(np.float32)

    def hop(self) -> None:
        """One step of 60 s in 27 sub-steps."""
        n, (x, y, z) = self.n, self.place.copy()
        hop(
            np.arange(n), np.arange(n), x, y, z, np.full(n, 6.57, np.float32), np.zeros(n, np.float32),
            self.dt, self.substeps, 1, 9, 0, self.lattice, self.sinks,
            np.zeros(n, np.int8), np.zeros(n, np.float32), np.zeros(n, np.int32),
        )  # fmt: skip

    def numpy(self) -> None:
        """Gaussian steps, mirrored at the faces, capture in voxels, decay."""
        rng, place, high = np.random.default_rng(1), self.place.copy(), np.float32(10.0 * self.side)
        h = self.dt / (self.steps // self.n)
        for _ in range(self.steps // self.n):
            place += rng.standard_normal(place.shape, np.float32) * np.float32(math.sqrt(2 * 6.57 * h))
            place = high - np.abs(high - np.abs(place))
            x, y, z = np.minimum((place / 10).astype(np.int64), self.side - 1)
            inside = self.sinks.slot_of_voxel[x + self.side * (y + self.side * z)] >= 0
            ends = rng.random(place.shape[1], np.float32) < np.where(inside, 0.0142 + 1e-4, 1e-4) * h
            place = place[:, ~ends]

    smoldyn_steps = 2_000_000

    def smoldyn(self) -> str:
        """A tenth of the vesicles in the same box, 20 steps; cells are points that bind."""
        box = "\n".join(f"boundaries {axis} 0 {10 * self.side} r" for axis in "xyz")
        return (
            f"dim 3\nspecies EV cell\ndifc EV 6.57\ndifc cell 0\n{box}\n"
            "time_start 0\ntime_stop 44\ntime_step 2.2\n"
            "reaction clear EV -> 0 1e-4\nreaction bind EV + cell -> cell 14.2\n"
            f"mol 100000 EV u u u\nmol {self.cells} cell u u u\nend_file\n"
        )


class _Shell:
    """Vesicles released at the membrane of a sphere in tissue, and recaptured within 600 s.

    1 - exp(b^2) erfc(b) of k_a / (k_a + 4 pi D a), b = (1 + k_a / (4 pi D a)) sqrt(D t) / a
    (Carslaw & Jaeger 1959, 14.7).
    """

    STEPS = (0.25, 1.0, 3.0, 8.0)
    radius, uptake, diffusivity, time = 7.5, 14.2, 0.33, 600.0

    def __init__(self, n: int = 40_000) -> None:
        from scipy.special import erfcx

        self.n = n
        normal = np.random.default_rng(0).normal(size=(n, 3))
        self.start = normal * (1.00001 * self.radius / np.linalg.norm(normal, axis=1)[:, None])
        x = self.uptake / (4 * math.pi * self.diffusivity * self.radius)
        b = (1 + x) * math.sqrt(self.diffusivity * self.time) / self.radius
        self.expected = float(x / (1 + x) * (1 - erfcx(b)))
        self.reactivity = self.uptake / (4 * math.pi * self.radius**2)

    def walk(self) -> tuple[float, float]:
        """Seconds a vesicle and hour, and the relative error of what is recaptured."""
        counts, low, voxel, sides = np.full(3, 40), np.full(3, -200.0), 10.0, np.zeros(6, np.int64)
        shortest = 0.1 * self.radius
        medium = Medium(
            3, low, voxel, counts, sides, np.ones(1, np.float32), np.zeros(0, np.uint8), 0.0,
            np.full(int(counts.prod()), np.inf, np.float32), shortest,
        )  # fmt: skip
        cell = membranes(
            3, low, voxel, counts, sides, np.zeros((1, 3)), np.array([self.radius]),
            np.array([self.reactivity]), 4 * voxel,
        )  # fmt: skip
        seconds = []
        fate = np.zeros(self.n, np.int8)
        for _ in range(4):
            x, y, z = self.start.T.astype(np.float32)
            job = (
                np.arange(self.n), np.arange(self.n), x, y, z,
                np.full(self.n, self.diffusivity, np.float32), np.zeros(self.n, np.float32), self.time,
                1, 0, medium, cell, fate, np.zeros(self.n, np.float32), np.zeros(self.n, np.int32),
            )  # fmt: skip
            seconds.append(_seconds(partial(walk, *job)))
        found = float(np.mean(fate == CAPTURED))
        return float(np.median(seconds[1:])) / self.n * 3600 / self.time, found / self.expected - 1

    def smoldyn(self, dt: float) -> str:
        """The same world with steps dt."""
        box = "\n".join(f"boundaries {axis} -200 200 r" for axis in "xyz")
        place = "\n".join("mol 1 EV {:.9g} {:.9g} {:.9g}".format(*p) for p in self.start)
        return (
            f"dim 3\nspecies EV\ndifc EV {self.diffusivity}\n{box}\n"
            f"time_start 0\ntime_stop {self.time}\ntime_step {dt}\n"
            f"start_surface cells\naction EV both reflect\nrate EV fsoln front {self.reactivity}\n"
            f"panel sphere 0 0 0 {self.radius} 10 10\nend_surface\n{place}\nend_file\n"
        )


def _model_seconds() -> float:
    """Seconds a vesicle-step of a model whose donors release a hundred thousand vesicles a step."""
    from exoabm import ExosomeModel
    from exoabm.vesicle import Status

    model = ExosomeModel(
        "signaling",
        overrides={"transport.engine": "vesicles", "cell_type.donor.release_rate": "240 1/s"},
    )
    model.step()
    steps, seconds = 0.0, 0.0
    per_second = 1 / (0.2 * model.state.domain.voxel**2)
    for _ in range(3):
        born = model.state.vesicles_born
        seconds += _seconds(model.step)
        vesicles = model.state.vesicles
        if vesicles is None:
            raise TypeError("this model keeps fields, not single vesicles")
        free = vesicles.rows(Status.FREE)
        each = np.ceil(vesicles.diffusivity[free] * per_second * 60.0)
        steps += float(each.sum() - each[vesicles.id[free] >= born].sum() / 2)
    return seconds / steps


_SMOLDYN_SCRIPT = """
import json, os, sys, tempfile, time
import smoldyn
from smoldyn import _smoldyn
for text in json.load(sys.stdin):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "world.txt")
        with open(path, "w") as file:
            file.write(text)
        world = smoldyn.Simulation.fromFile(path, "wq")
        start = time.perf_counter()
        world.runSim()
        seconds = time.perf_counter() - start
        free = world.getMoleculeCount("EV", _smoldyn.MolecState.soln)
        print("RESULT", json.dumps([seconds, free]))
"""


def _smoldyn(worlds: list[str]) -> list[tuple[float, int]]:
    """Seconds and free vesicles at the end of each world; nothing where Smoldyn is not to be had."""
    python = os.environ.get("EXOABM_SMOLDYN")
    if not python:
        if importlib.util.find_spec("smoldyn") is None:
            return []
        python = sys.executable
    done = subprocess.run(
        [python, "-c", _SMOLDYN_SCRIPT], input=json.dumps(worlds), capture_output=True, text=True
    )
    lines = [line[7:] for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if len(lines) != len(worlds):
        raise InputError(f"Smoldyn did not run in {python}: {done.stderr.strip()[-300:]}")
    return [tuple(json.loads(line)) for line in lines]


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
            np.arange(cells), np.arange(cells), np.ones(cells), n_slots=cells, n_cells=cells
        )
        self.source = np.full(cells, 1e-3)
        self.sink = np.full(cells, 0.2)
        self.law = UptakeLaw(np.full(cells, 0.2), np.full(cells, 0.2), np.full(cells, 0.5))
        self.exposure = np.zeros(cells)
        self.taken = np.zeros((1, cells))
        self.conductance = tuple(
            rng.uniform(0.3, 1.0, [n + (i == axis) for i, n in enumerate(shape)]).astype(dtype)
            for axis in reversed(range(self.dim))
        )
        self._line = np.zeros(8192, dtype)
        self._line_to = np.empty_like(self._line)

    def kernel(self, n: int, kind: str, threads: int) -> None:
        if kind == "saturable":
            advance_saturable(
                self.u[None],
                self.scratch[None],
                n_sub=n,
                r=np.array([self.r]),
                decay=np.array([self.decay]),
                sides=(0,) * 6,
                side_value=np.zeros((1, 6)),
                slots=self.slots,
                entries=self.entries,
                source=self.source[None],
                law=self.law,
                dt=1.0,
                volume=1.0,
                taken=self.taken,
                flows=np.zeros((1, 6)),
                threads=threads,
            )
            return
        advance_linear(
            self.u,
            self.scratch,
            n_sub=n,
            r=self.r,
            decay=self.decay,
            sides=(0,) * 6,
            side_value=np.zeros(6),
            slots=self.slots,
            source=self.source,
            sink=self.sink,
            exposure=self.exposure,
            flows=np.zeros(6),
            conductance=self.conductance if kind == "varying" else None,
            threads=threads,
        )

    def numpy(self, n: int) -> None:
        """The same scheme in plain NumPy slicing, no-flux faces."""
        u = self.u
        for _ in range(n):
            new = u * (1 - self.decay)
            for axis in range(self.dim):
                step = self.r * np.diff(u, axis=axis)
                low = [slice(None)] * self.dim
                high = list(low)
                low[axis], high[axis] = slice(None, -1), slice(1, None)
                new[tuple(low)] += step
                new[tuple(high)] -= step
            flat = new.reshape(-1)
            amount = (flat[self.voxel] + self.source) / (1 + self.sink)
            flat[self.voxel] = amount
            self.exposure += amount
            u = new

    def copy(self, n: int) -> None:
        """One read and one write per voxel, of lines that stay in cache."""
        for _ in range(n * max(1, self.voxels // self._line.size)):
            np.copyto(self._line_to, self._line)


def _measure(*tasks: Callable[[int], None]) -> list[float]:
    """Median seconds of one sub-step of each task, over alternating rounds."""
    counts = []
    for task in tasks:
        task(2)  # compile and warm up
        counts.append(max(2, int(SECONDS_PER_ROUND / max(_seconds(partial(task, 2)) / 2, 1e-7))))
    rounds = [
        [_seconds(partial(task, n)) / n for task, n in zip(tasks, counts, strict=True)] for _ in range(ROUNDS)
    ]
    return [float(x) for x in np.median(rounds, axis=0)]


def _seconds(task: Callable[[], Any]) -> float:
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def bench_cells() -> Report:
    """Cells that divide, die and move, beside the transport of their vesicles and beside Mesa agents."""
    from exoabm.batch import bench_cells

    title = "A step of living cells, beside their vesicles' transport and the same rules as Mesa agents"
    found = bench_cells.rows()
    return Report(title, tuple(found[0]), found)


BENCHMARKS: dict[str, Callable[[], Report]] = {
    "cells": bench_cells,
    "continuum": bench_continuum,
    "transfer": bench_transfer,
    "vesicles": bench_vesicles,
}
