"""Errors of the coupling step, estimated before a run, and times that are not those of steps.

Within a step vesicles in cells and pools advance exactly, but exchange between stages is delayed to the end
of the step. To first order in the step dt the relative errors known from a scenario are:

    free vesicles    U (s + (1 - s) rho) dt      those that unbind or are recycled are free from the next step
    received pool    k dt / 2                    copies and waste join a cell at the end of the step
    clock signal     h dt / (8 t_half)           a behavior is constant in a step; relative to its range
    motion           sqrt(2 d mu dt) / a, v dt / a    cells move once per step; in radii a

with U the rate at which the cells of the domain capture a free vesicle, s the share of captured ones that
unbind, rho that of the others that is recycled, k the rate of loss from the pool.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from exoabm.cargo import CargoClass
from exoabm.cells.uptake import RECOMMENDED_SHARE, WARNING_SHARE, long_step, returning
from exoabm.parameters.units import percent_text
from exoabm.vesicle import DeliveryRoute

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from exoabm.cell_type import CellType
    from exoabm.domain import Domain
    from exoabm.parameters.catalog import Quantity
    from exoabm.scenario.schema import Scenario
    from exoabm.vesicle import VesicleKind

ROUNDING = 1e-9
"""Of model times, relative above 1 s."""
LEAP = 1.0
"""Mean displacement of a cell per step, in radii, above which there is a warning."""
SHORT_LEAP = 0.5
"""The same at the step that a warning recommends."""


class Coarse(NamedTuple):
    """A process for which a step is long: the effect, its relative error, and a sufficient step."""

    subject: str
    effect: str
    error: float
    step: float

    def __str__(self) -> str:
        return long_step(self.subject, self.effect.format(percent_text(self.error)), self.step)


def coarse_processes(
    scenario: Scenario,
    domain: Domain,
    kinds: tuple[VesicleKind, ...],
    types: tuple[CellType, ...],
    count: dict[str, int],
    decay: dict[str, float],
) -> list[Coarse]:
    """Processes for which the step is too long, with the expected error and a sufficient step.

    ``count`` has the cells of each type, ``decay`` the rate of decay of each cargo in cells, 1/s.
    """
    dt = float(scenario.clock.step)
    present = [t for t in types if count.get(t.name)]
    return [
        *_waiting(domain, kinds, present, count, dt),
        *_received(scenario, kinds, present, decay, dt),
        *_clocks(scenario, dt),
        *_motion(scenario, domain, present, dt),
    ]


def capture_rate(cell_type: CellType, kind: int, diffusivity: float) -> float:
    """k_a / (1 + k_a / (4 pi D a)) of one cell, um^3/s, unsaturated (Collins and Kimball 1949)."""
    k_a, arrival = float(cell_type.uptake_rate[kind]), 2 * math.pi * diffusivity * cell_type.diameter
    return k_a / (1 + k_a / arrival) if k_a else 0.0


def _waiting(
    domain: Domain, kinds: tuple[VesicleKind, ...], types: list[CellType], count: dict[str, int], dt: float
) -> Iterator[Coarse]:
    volume = domain.voxel_volume * (
        domain.n_voxels - (0 if domain.obstacle is None else domain.obstacle.sum())
    )
    for k, kind in enumerate(kinds):
        d = kind.diffusivity * float(np.mean(domain.hindrance))
        uptake = sum(count[t.name] * capture_rate(t, k, d) for t in types) / max(volume, 1e-300)
        off = kind.unbinding_probability
        again = off + (1 - off) * (1 - kind.fusion_probability) * kind.recycling_probability
        error = uptake * again * dt
        if error > WARNING_SHARE:
            yield Coarse(
                returning(kind),
                "vesicles that leave a cell are free from the next step on, and at steady state about {} "
                "too many are counted as free",
                error,
                dt * RECOMMENDED_SHARE / error,
            )


def _received(
    scenario: Scenario,
    kinds: tuple[VesicleKind, ...],
    types: list[CellType],
    decay: dict[str, float],
    dt: float,
) -> Iterator[Coarse]:
    tables = {table.name: table for table in scenario.cell_type}
    worst: dict[str, tuple[float, str]] = {}
    for t in types:
        table = tables.get(t.name)
        held = {} if table is None else {h.cargo: float(h.clearance) + float(h.export) for h in table.holds}
        for k, kind in enumerate(kinds):
            if not t.uptake_rate[k]:
                continue
            for cargo in kind.cargo:
                if cargo.role is CargoClass.WASTE:
                    loss = 0.0 if t.waste is None else t.waste.lysosomal_rate + t.waste.export_rate
                elif not _delivers(kind):
                    continue
                else:
                    loss = decay.get(cargo.name, 0.0) + held.get(cargo.name, 0.0)
                worst[cargo.name] = max(worst.get(cargo.name, (0.0, "")), (loss, t.name))
    for name, (loss, where) in worst.items():
        error = loss * dt / 2
        if error > WARNING_SHARE:
            yield Coarse(
                f"the loss of {name} in {where}",
                "received copies join the pool at the end of a step, which makes it about {} too large",
                error,
                dt * RECOMMENDED_SHARE / error,
            )


def _delivers(kind: VesicleKind) -> bool:
    fusion = kind.delivery_route is DeliveryRoute.MEMBRANE_FUSION
    return (kind.fusion_probability if fusion else kind.endosomal_escape_probability) > 0


def _clocks(scenario: Scenario, dt: float) -> Iterator[Coarse]:
    for row in scenario.response:
        if row.word in ("time", "age"):
            error = float(row.hill) * dt / (8 * float(row.half_max))
            if error > WARNING_SHARE:
                yield Coarse(
                    f"the response of {row.behavior} to {row.word} in {row.cell_type}",
                    "a behavior is constant in a step and lags by up to {} of its range",
                    error,
                    dt * RECOMMENDED_SHARE / error,
                )


def _motion(scenario: Scenario, domain: Domain, types: list[CellType], dt: float) -> Iterator[Coarse]:
    tables = {table.name: table for table in scenario.cell_type}
    for t in types:
        table = tables.get(t.name)
        if table is None:
            continue
        radius = t.diameter / 2
        ways = []
        if table.motility is not None:
            memory = float(table.persistence)
            free = dt + memory * math.expm1(-dt / memory) if memory > 0 else dt
            far = math.sqrt(2 * domain.dim * float(table.motility) * free)
            ways.append((far / radius, 2.0 if dt > memory else 1.0))
        if table.follows is not None:
            ways.append((float(table.follows.speed) * dt / radius, 1.0))
        for leap, power in ways:
            if leap > LEAP:
                yield Coarse(
                    f"the motion of {t.name}",
                    "cells move once per step, by about {} of their radius, without contact on the way",
                    leap,
                    dt * (SHORT_LEAP / leap) ** power,
                )


def _as_given(value: Quantity) -> str:
    """A value as it was given, such as 10 min; in the unit of its parameter if it was a number."""
    return value.given if isinstance(value.given, str) else str(value)


def interval_warnings(scenario: Scenario) -> Iterator[str]:
    """Records that are due more often than there are steps, or within steps."""
    record, step = scenario.record, scenario.clock.step
    said = _as_given(step)
    for name in ("metrics", "cells", "events", "fields"):
        interval = getattr(record, name)
        steps = float(interval) / float(step)
        if steps < 1 - ROUNDING:
            yield (
                f"record.{name} = {_as_given(interval)} is shorter than clock.step = {said}; one record is "
                "made per step"
            )
        elif abs(steps - round(steps)) > ROUNDING * steps:
            yield (
                f"record.{name} = {_as_given(interval)} is not a multiple of clock.step = {said}; each "
                "record is made at the end of the step in which it is due, so that intervals differ by up to "
                "a step"
            )


def steps_around(time: float, step: float, restarts: Sequence[float] = ()) -> tuple[float, float]:
    """Starts of the last step at or before a model time and of the first at or after it, all in s.

    Steps are counted from 0 and, where values change between steps (``restarts``), from there anew.
    """
    origin = max((each for each in restarts if each <= time), default=0.0)
    slack = ROUNDING * max(time, 1.0)
    before = origin + step * math.floor((time - origin + slack) / step)
    after = before if time <= before + slack else before + step
    return before, min([after, *(each for each in restarts if each >= time)])


def late_changes(scenario: Scenario, end: float, restarts: Sequence[float] = ()) -> Iterator[str]:
    """Doses, silencings and gifts of a run until ``end``, in s, that begin after it or within a step.

    A silencing acts from the first step that begins at its time or later, a gift at the start of its step.
    """
    until = f"the end of the run, {end / 3600:g} h"
    doses = [dose for dose in scenario.dose if dose.given]
    silences = {f"silence.{row.name}.start": row.start for row in scenario.silence if row.active}
    gifts = {f"give.{row.name}.time": row.time for row in scenario.give if row.active}
    begins = {f"dose.{dose.name}.start": dose.start for dose in doses} | silences | gifts
    for key, time in begins.items():
        before, after = steps_around(float(time), float(scenario.clock.step), restarts)
        if float(time) >= end:
            yield f"{key} = {time} is not before {until}: it has no effect"
        elif key in silences and after >= end * (1 - ROUNDING):
            yield f"{key} = {time}: no step begins between it and {until}: it has no effect"
        elif key not in silences and key not in gifts:
            continue
        elif before < after:
            acts = f"acts from {after:.12g} s on" if key in silences else f"is given at {before:.12g} s"
            yield f"{key} = {time} is within a step: it {acts}"
    for dose in doses:
        given = sum(float(dose.start) + i * float(dose.interval) < end for i in range(dose.repeats))
        if 0 < given < dose.repeats:
            yield f"dose.{dose.name}.repeats = {dose.repeats}: {given} of them begin before {until}"
