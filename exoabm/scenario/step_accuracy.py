"""Errors of the coupling step, estimated before a run.

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
    from collections.abc import Iterator

    from exoabm.domain import Domain
    from exoabm.physiology import CellType
    from exoabm.scenario.schema import Scenario
    from exoabm.vesicle import VesicleKind

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
