"""Speed and size of the vesicle engine, relative to Smoldyn or a plain NumPy random walk."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from exoabm.benchmarks.timing import Report, timed
from exoabm.kernels.brownian_offlattice import walk_off_lattice
from exoabm.kernels.lattice import Lattice, mark_voxels
from exoabm.kernels.lattice_random_walk import Sinks, walk_on_lattice
from exoabm.kernels.medium import FREE, Medium, Outcomes, Particles
from exoabm.kernels.membranes import build_membranes
from exoabm.kernels.random import StepKey


def bench_vesicles() -> Report:
    """Single vesicles on one thread, relative to Smoldyn or else a plain NumPy random walk.

    Smoldyn is taken from this interpreter or from the one that ``EXOABM_SMOLDYN`` names. Where cells are
    points it binds within a radius; at membranes it takes, of the steps tried, the fastest that is as exact
    as ours within 1 % or two standard errors, or else the most exact.
    """
    crowd, spheres = _Crowd(), [_at_the_membrane(), _everywhere()]
    crowd.hop()
    hops = float(np.median([timed(crowd.hop) for _ in range(3)])) / crowd.steps
    found, missing = _smoldyn([crowd.smoldyn(), *(w.smoldyn(dt) for w in spheres for dt in w.steps)])
    beside = "Smoldyn" if found else "NumPy walk"
    tissue, each = _million()
    theirs = found.pop(0)[0] / crowd.smoldyn_steps if found else timed(crowd.numpy) / crowd.steps
    rows: list[dict[str, Any]] = [
        {"case": "hop in 3-D, decay, 10,000 cells", "unit": "ns a vesicle-step",
         "exoabm": round(hops * 1e9, 2), "beside": beside, "its time": round(theirs * 1e9, 1),
         "ratio": round(theirs / hops, 1)},
        # In 2-D, with events and uptake: the reference in 3-D does other work.
        {"case": tissue, "unit": "ns a vesicle-step", "exoabm": round(each * 1e9, 2)},
    ]  # fmt: skip
    for sphere in spheres:
        ours, error = sphere.walk()
        row: dict[str, Any] = {
            "case": f"{sphere.title}, error {100 * error:+.1f} ± {100 * sphere.blur:.1f} %",
            "unit": "us a vesicle and hour",
            "exoabm": round(ours * 1e6, 1),
        }
        if found:
            its = [(*sphere.judge(*found.pop(0)), dt) for dt in sphere.steps]
            good = [one for one in its if abs(one[1]) <= max(abs(error), 0.01, 2 * sphere.blur)]
            theirs, wrong, dt = min(good) if good else min(its, key=lambda one: abs(one[1]))
            row |= {
                "beside": f"Smoldyn, dt = {dt} s, error {wrong:+.1%}",
                "its time": round(theirs * 1e6, 1),
                "ratio": round(theirs / ours, 1),
            }
        rows.append(row)
    columns = tuple(rows[0])
    return Report(
        f"Single vesicles, one thread{missing}", columns, [dict.fromkeys(columns, "") | r for r in rows]
    )


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
            slot,
            np.arange(cells + 1),
            entry,
            np.full((1, cells), 0.0142),
            np.log([6.57]),
            *mark_voxels(self.lattice, slot),
        )
        self.place = rng.uniform(0, 10.0 * side, (3, n)).astype(np.float32)

    def hop(self) -> None:
        """One step of 60 s in 27 sub-steps."""
        n, (x, y, z) = self.n, self.place.copy()
        movers = Particles(
            np.arange(n), np.arange(n), x, y, z, np.full(n, 6.57, np.float32), np.zeros(n, np.float32)
        )
        key = StepKey(1, 0, 9, 10)
        walk_on_lattice(movers, self.dt, self.substeps, key, self.lattice, self.sinks, Outcomes.of(n))

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


class _Sphere:
    """Vesicles around a partially absorbing cell in tissue, in the middle of a cube with closed faces.

    Parameters
    ----------
    title : str
    start : numpy.ndarray, shape (n, 3)
        Where they begin, um from the center.
    edge : float
        Of the cube, a multiple of 10 um.
    time : float
        s
    expected : float
        Share that is captured by then.
    steps : tuple of float
        What Smoldyn is tried with, s.
    """

    radius, uptake, diffusivity, coupling = 7.5, 14.2, 0.33, 60.0
    strength = uptake / (4 * math.pi * diffusivity * radius)

    def __init__(
        self,
        title: str,
        start: np.ndarray,
        edge: float,
        time: float,
        expected: float,
        steps: tuple[float, ...],
    ) -> None:
        self.title, self.start, self.edge, self.time, self.steps = title, start, edge, time, steps
        self.expected, self.hours = expected, len(start) * time / 3600
        self.blur = math.sqrt((1 - expected) / expected / len(start))
        self.reactivity = self.uptake / (4 * math.pi * self.radius**2)

    def judge(self, seconds: float, free: float) -> tuple[float, float]:
        """Seconds a vesicle and hour, and the relative error of the number captured."""
        return seconds / self.hours, (1 - free / len(self.start)) / self.expected - 1

    def walk(self) -> tuple[float, float]:
        """The same of our own, in coupling steps of a minute."""
        n, voxel, sides = len(self.start), 10.0, np.zeros(6, np.int64)
        counts, low, shortest = np.full(3, round(self.edge / voxel)), np.full(3, -self.edge / 2), 0.75
        medium = Medium(
            3, low, voxel, counts, sides, np.ones(1, np.float32), np.zeros(0, np.uint8), 0.0,
            np.full(int(counts.prod()), np.inf, np.float32), shortest,
        )  # fmt: skip
        cell = build_membranes(
            3, low, voxel, counts, sides, np.zeros((1, 3)), np.array([self.radius]),
            np.array([self.reactivity]), voxel,
        )  # fmt: skip
        spent = []
        for _ in range(3):
            x, y, z = self.start.T.astype(np.float32)
            slow, start, fates = (
                np.full(n, self.diffusivity, np.float32),
                np.zeros(n, np.float32),
                Outcomes.of(n),
            )
            movers, total = Particles(np.arange(n), np.arange(n), x, y, z, slow, start), 0.0
            for step in range(round(self.time / self.coupling)):
                total += timed(
                    partial(
                        walk_off_lattice, movers, self.coupling, StepKey(1, step, 9, 10), medium, cell, fates
                    )
                )
                movers = movers._replace(rows=movers.rows[fates.code[movers.rows] == FREE])
            spent.append(total)
        return self.judge(float(np.median(spent)), len(movers.rows))

    def smoldyn(self, dt: float) -> str:
        """The same world with steps dt."""
        box = "\n".join(f"boundaries {axis} {-self.edge / 2} {self.edge / 2} r" for axis in "xyz")
        place = "\n".join("mol 1 EV {:.9g} {:.9g} {:.9g}".format(*p) for p in self.start)
        return (
            f"dim 3\nspecies EV\ndifc EV {self.diffusivity}\n{box}\n"
            f"time_start 0\ntime_stop {self.time}\ntime_step {dt}\n"
            f"start_surface cells\naction EV both reflect\nrate EV fsoln front {self.reactivity}\n"
            f"panel sphere 0 0 0 {self.radius} 10 10\nend_surface\n{place}\nend_file\n"
        )


def _at_the_membrane(n: int = 40_000, time: float = 600.0) -> _Sphere:
    """Released at the membrane and recaptured by a time.

    1 - exp(b^2) erfc(b) of k_a / (k_a + 4 pi D a), b = (1 + k_a / (4 pi D a)) sqrt(D t) / a
    (Carslaw & Jaeger 1959, 14.7).
    """
    from scipy.special import erfcx

    x, a, d = _Sphere.strength, _Sphere.radius, _Sphere.diffusivity
    normal = np.random.default_rng(0).normal(size=(n, 3))
    start = normal * (1.00001 * a / np.linalg.norm(normal, axis=1)[:, None])
    back = x / (1 + x) * (1 - erfcx((1 + x) * math.sqrt(d * time) / a))
    return _Sphere("release at a membrane", start, 400.0, time, float(back), (0.25, 1.0, 3.0, 8.0))


def _everywhere(n: int = 200_000, edge: float = 60.0, time: float = 300.0) -> _Sphere:
    """An even medium with 4.6e6 cells/mL: what Collins and Kimball's rate, integrated, brings to each."""
    from scipy.special import erfcx

    x, a, d = _Sphere.strength, _Sphere.radius, _Sphere.diffusivity
    place = np.random.default_rng(0).uniform(-edge / 2, edge / 2, (2 * n, 3))
    start = place[np.linalg.norm(place, axis=1) > a][:n]
    b = (1 + x) * math.sqrt(d * time) / a
    waits = time + x * (a / (1 + x)) ** 2 / d * (erfcx(b) - 1 + 2 * b / math.sqrt(math.pi))
    share = _Sphere.uptake / (1 + x) * waits / (edge**3 - 4 / 3 * math.pi * a**3)
    return _Sphere("an even medium around a cell", start, edge, time, float(share), (1.0, 3.0, 10.0, 30.0))


_TISSUE = """
[info]
title = "Ten thousand cells"
[domain]
size = [3000, 3000]
[[layout.group]]
cell_type = "donor"
count = 1000
[[layout.group]]
cell_type = "recipient"
count = 9000
[transport]
engine = "vesicles"
[[cargo]]
name = "signal"
[[vesicle]]
name = "EV"
cargo = ["signal"]
[[cell_type]]
name = "donor"
releases = "EV"
release_rate = "6000 / h"
[[cell_type]]
name = "recipient"
takes_up = ["EV"]
"""


def _million() -> tuple[str, float]:
    """A model of ten thousand cells with a million vesicles alive: what it is, and seconds a vesicle-step."""
    from exoabm import ExosomeModel
    from exoabm.scenario.loader import parse
    from exoabm.tables.declarations import Event
    from exoabm.vesicle import Status

    model = ExosomeModel(parse(_TISSUE.encode(), name="bench", folder=Path()), seed=1)
    vesicles = model.state.vesicles
    while len(vesicles) < 1_000_000:
        model.step()
    steps, spent = 0.0, 0.0
    per_second = 1 / (0.2 * model.state.domain.voxel**2)
    for _ in range(3):
        spent += timed(model.step)
        free = vesicles.rows(Status.FREE)
        each = np.ceil(vesicles.diffusivity[free] * per_second * 60.0)
        happened = model.state.events.columns()
        new = np.isin(vesicles.id[free], happened["id"][happened["event"] == Event.RELEASE])
        steps += float(each.sum() - each[new].sum() / 2)
    alive = f"{len(vesicles) / 1e6:.2f} million vesicles of {vesicles.bytes_held / len(vesicles):.0f} B"
    return f"a model in 2-D: {alive}, {len(model.state.cells):,} cells, events, uptake", spent / steps


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


def _smoldyn(worlds: list[str]) -> tuple[list[tuple[float, int]], str]:
    """Seconds and free vesicles at the end of each world; or none, and a sentence on why not."""
    python = os.environ.get("EXOABM_SMOLDYN")
    if not python:
        if importlib.util.find_spec("smoldyn") is None:
            return [], "; without Smoldyn, which is not installed (EXOABM_SMOLDYN names a Python that has it)"
        python = sys.executable
    try:
        done = subprocess.run(
            [python, "-c", _SMOLDYN_SCRIPT], input=json.dumps(worlds), capture_output=True, text=True
        )
    except OSError as error:
        return [], f"; without Smoldyn: {python} cannot be run: {error.strerror}"
    lines = [line[7:] for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if len(lines) != len(worlds):
        reason = (done.stderr.strip().splitlines() or ["it ended early"])[-1]
        return [], f"; without Smoldyn, which fails in {python}: {reason[:200]}"
    return [tuple(json.loads(line)) for line in lines], ""
