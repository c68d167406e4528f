"""Cost of cell dynamics, relative to transport and to the same rules as Mesa agents."""

from __future__ import annotations

import math
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm._mesa import Agent, Model
from exoabm.benchmarks.timing import Report
from exoabm.kernels.binding_kinetics import compartment_coefficients
from exoabm.kernels.sphere_mechanics import CONTACT_FACTOR
from exoabm.model import ExosomeModel
from exoabm.scenario.loader import parse
from exoabm.schedule import STAGES, Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from exoabm.state import State

SPACING = 24.0
DIAMETER = 12.0
DT = 60.0
DURATION = 600.0
"""Longer than what is measured; it says what memory to expect."""
WORLD = """
info = {{ title = "living cells" }}
domain = {{ size = [{size}, {size}, {size}], voxel = "12 um" }}
clock = {{ step = "{dt} s", duration = "{duration} s" }}
transport = {{ engine = "{engine}" }}
vesicle = [{{ name = "ev" }}]
layout.group = [{{ cell_type = "a", count = {count}, arrange = "lattice", spacing = "{spacing} um" }}]
[[cell_type]]
name = "a"
diameter = "{diameter} um"
releases = "ev"
release_rate = "6 / h"
secretion = "poisson"
takes_up = ["ev"]
division_rate = "0.05 / h"
death_rate = "0.05 / h"
motility = "20 um^2/h"
"""


def world(engine: str, count: int) -> ExosomeModel:
    """Cells on a lattice that has room for daughters; as many divide as die."""
    size = 12.0 * math.ceil((math.ceil(count ** (1 / 3)) * SPACING + 12) / 12)
    places = {"engine": engine, "count": count, "size": size}
    text = WORLD.format(**places, spacing=SPACING, diameter=DIAMETER, dt=DT, duration=DURATION)
    return ExosomeModel(parse(text.encode(), name="bench", folder=Path()), seed=1)


def bench_cells() -> Report:
    """Time a step of living cells in both engines and as agents."""
    title = "A step of cell dynamics, relative to transport and to the same rules as Mesa agents"
    found = rows()
    return Report(title, tuple(found[0]), found)


def rows(counts: tuple[int, ...] = (10_000, 100_000), steps: int = 3) -> list[dict[str, Any]]:
    """A row for each engine and number of cells."""
    found = []
    for count in counts:
        agents = _Crowd(world("continuum", count).state)
        agents.step()  # warm
        mesa = min(_seconds(agents.step) for _ in range(2))
        for engine in ("continuum", "vesicles"):
            model = world(engine, count)
            for _ in range(2):
                model.step()
            spent = np.median([_by_part(model) for _ in range(steps)], axis=0)
            transport, placing, cells = (1e3 * float(s) for s in spent)
            lineage = model.state.lineage
            found.append(
                {
                    "engine": engine,
                    "cells": count,
                    "divided": int(lineage.divisions.sum()),
                    "died": int(lineage.deaths.sum()),
                    "transport ms": round(transport, 1),
                    "placing ms": round(placing, 1),
                    "cells ms": round(cells, 1),
                    "Mesa agents ms": round(1e3 * mesa),
                    "faster": f"{1e3 * mesa / cells:.0f} x",
                }
            )
    return found


def _by_part(model: ExosomeModel) -> tuple[float, float, float]:
    """Seconds of one step: transport, placing the cells anew, and everything else that cells do."""
    engine, placing = model.engine, 0.0
    bind = engine.bind

    def timed(state: State) -> None:
        nonlocal placing
        placing += _seconds(partial(bind, state))

    engine.bind = timed  # type: ignore[method-assign]
    step = Step(model.state, engine, model.recorder, DT)
    spent = {stage.name: _seconds(partial(stage.run, step)) for stage in STAGES}
    engine.bind = bind  # type: ignore[method-assign]
    cells = sum(spent.values()) - spent["transport"] - spent["observe"] - placing
    return spent["transport"], placing, cells


class _Crowd(Model):  # type: ignore[misc]
    """The same cells as Mesa agents, with captured vesicles as from the fields."""

    def __init__(self, state: State) -> None:
        super().__init__(rng=1)
        kind, kept = state.kinds[0], state.types[0]
        leave = kind.unbinding_rate + kind.internalization_rate
        self.chain = compartment_coefficients(
            leave, kind.internalization_rate, kind.processing_rate, DT
        ).tolist()
        self.shares = (
            kind.unbinding_probability,
            kind.recycling_probability,
            kind.endosomal_escape_probability,
        )
        b, d, motility = (float(state.behavior(n)[0]) for n in ("division_rate", "death_rate", "motility"))
        self.fate, self.divides = (b + d) * DT, b / (b + d)  # as many divide as die
        self.spread = math.sqrt(2 * motility * DT)
        self.releases, self.burst = kept.release_rate * DT / kept.ilvs_per_mvb, kept.ilvs_per_mvb
        self.extent = state.domain.extent.tolist()
        self.bins: dict[tuple[int, int, int], list[_CellAgent]] = {}
        for place in state.cells.position.tolist():
            _CellAgent(self, place)

    def step(self) -> None:
        """Every agent does all it does, one after the other."""
        self.agents.do("step")

    def free(self, place: list[float], itself: _CellAgent) -> bool:
        """Whether a cell at a position would not overlap others."""
        x, y, z = place
        a, b, c = int(x // DIAMETER), int(y // DIAMETER), int(z // DIAMETER)
        for i in (a - 1, a, a + 1):
            for j in (b - 1, b, b + 1):
                for k in (c - 1, c, c + 1):
                    for other in self.bins.get((i, j, k), ()):
                        p = other.place
                        apart = (p[0] - x) ** 2 + (p[1] - y) ** 2 + (p[2] - z) ** 2
                        if apart < DIAMETER**2 and other is not itself:
                            return False
        return True


class _CellAgent(Agent):  # type: ignore[misc]
    """One cell: releases, takes up, moves, and divides or dies."""

    def __init__(self, model: _Crowd, place: list[float]) -> None:
        super().__init__(model)
        self.place = place
        self.key = self._bin()
        model.bins.setdefault(self.key, []).append(self)
        self.bound = self.endosomal = self.lysosomal = self.delivered = self.recycled = 0.0
        self.encountered = self.taken_up = self.released = 0.0

    def _bin(self) -> tuple[int, int, int]:
        x, y, z = self.place
        return int(x // DIAMETER), int(y // DIAMETER), int(z // DIAMETER)

    def step(self) -> None:
        """One step of all rules."""
        model: _Crowd = self.model
        random = model.rng
        self.released += random.poisson(random.poisson(model.releases) * model.burst)
        self._take_up(0.1)
        u = model.random.random()
        if u < model.fate:
            if u < model.fate * model.divides:
                self._divide()
            else:
                model.bins[self.key].remove(self)
                self.remove()
                return
        self._move()

    def _take_up(self, captured: float) -> None:
        keep_b, mean_b, keep_e, from_b, from_c = self.model.chain
        off, recycling, escape = self.model.shares
        left = self.bound + captured - (bound := keep_b * self.bound + mean_b * captured)
        inward = left * (1 - off)
        end = keep_e * self.endosomal + from_b * self.bound + from_c * captured
        done = self.endosomal + inward - end
        self.encountered += captured
        self.taken_up += inward
        self.recycled += done * recycling
        self.delivered += done * (1 - recycling) * escape
        self.lysosomal += done * (1 - recycling) * (1 - escape)
        self.bound, self.endosomal = bound, end

    def _move(self) -> None:
        model: _Crowd = self.model
        place = []
        for x, length in zip(self.place, model.extent, strict=True):
            x += model.random.gauss(0.0, model.spread)
            x = -x if x < 0 else x
            place.append(2 * length - x if x > length else x)
        if not model.free(place, self):
            return
        self.place = place
        key = self._bin()
        if key != self.key:
            model.bins[self.key].remove(self)
            model.bins.setdefault(key, []).append(self)
            self.key = key

    def _divide(self) -> None:
        model: _Crowd = self.model
        for _ in range(96):
            height, angle = 2 * model.random.random() - 1, 2 * math.pi * model.random.random()
            across = math.sqrt(1 - height * height)
            way = (across * math.cos(angle), across * math.sin(angle), height)
            place = [x + DIAMETER * CONTACT_FACTOR * w for x, w in zip(self.place, way, strict=True)]
            inside = all(0 <= x < length for x, length in zip(place, model.extent, strict=True))
            if inside and model.free(place, self):
                daughter = _CellAgent(model, place)
                for pool in ("bound", "endosomal"):
                    half = getattr(self, pool) / 2
                    setattr(self, pool, half)
                    setattr(daughter, pool, half)
                return


def _seconds(task: Callable[[], Any]) -> float:
    """Processor time, which other programs take nothing from; everything here runs in one thread."""
    start = time.process_time()
    task()
    return time.process_time() - start
