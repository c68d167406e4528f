"""Doses, manufacture and the host's answer, each alone."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from default_bodies import host, process, value

from exoabm.therapy.pharmacokinetics import Immunity
from exoabm.therapy.treatment_protocol import DoseMetric, Schedule, particles

HOUR = 3600.0


@pytest.mark.parametrize("step", [0.25, 0.7, 5.0])
@pytest.mark.parametrize("duration", [0.0, 1.5])
def test_a_plan_gives_all_of_it_once(step: float, duration: float) -> None:
    schedule = Schedule(amount=10.0, start=1.0, duration=duration, repeats=3, interval=4.0)
    times = np.arange(0, 20, step)
    parts = [schedule.administered(t, t + step) for t in times]
    assert sum(a + b for a, b in parts) == pytest.approx(30.0, rel=1e-12)
    assert all((a == 0) or duration == 0 for a, _ in parts)
    assert schedule.total == 30.0


def test_an_infusion_starts_and_ends_on_time() -> None:
    schedule = Schedule(amount=6.0, start=1.0, duration=3.0, repeats=1, interval=1.0)
    assert schedule.administered(0.0, 1.0) == (0.0, 0.0)
    assert schedule.administered(0.5, 1.5) == (0.0, pytest.approx(1.0))
    assert schedule.administered(3.5, 9.0) == (0.0, pytest.approx(1.0))


def test_doses_by_any_measure() -> None:
    assert particles(DoseMetric.PARTICLES, 7.0, 0.0, 1.0) == 7.0
    assert particles(DoseMetric.COPIES, 1000.0, 10.0, 1.0) == 100.0
    assert particles(DoseMetric.MASS, 1.0, 0.0, 3e-10) == pytest.approx(1e10 / 3)
    with pytest.raises(ValueError, match="carry cargo"):
        particles(DoseMetric.COPIES, 1.0, 0.0, 1.0)


@pytest.mark.parametrize(("step", "cells"), [("ultracentrifugation", 2.78e8), ("chromatography", 5.79e7)])
def test_cells_for_a_dose(step: str, cells: float) -> None:
    """Problem 26: producer cells for 1e11 vesicles in 48 h at 60/h; 0.1 %."""
    found = 1e11 / (60 * 48 * process(step).recovery)
    assert found == pytest.approx(cells, rel=1e-3)
    assert 1.05 * found != pytest.approx(cells, rel=1e-3)


def test_a_batch_is_what_its_steps_leave() -> None:
    made = process("tangential_flow", "chromatography").batch(2880.0, 48 * HOUR)
    assert made.medium == 2880e8
    assert made.after_each_step == pytest.approx((1.0, 0.8, 0.48))
    assert made.separated == pytest.approx(0.48 * made.medium)
    assert made.stored == pytest.approx(0.49 * made.separated)
    assert made.doses == pytest.approx(made.stored / 1e11)
    crude = process("tangential_flow").batch(2880.0, 48 * HOUR)
    assert made.purity > crude.purity
    fresh = process("tangential_flow", storage_time=0.0).batch(2880.0, 48 * HOUR)
    assert fresh.stored == fresh.separated
    day = process("tangential_flow", storage_time=24 * HOUR).batch(2880.0, 48 * HOUR)
    assert day.stored == pytest.approx(math.sqrt(0.49) * day.separated)


def test_the_same_culture_gives_cells_after_growth_and_harvest_and_vesicles_after_the_chain_too() -> None:
    """From 2e6 to 1.28e8 cells in six doublings; each time counts, and none of them twice."""
    culture = {"doubling_time": 20 * HOUR, "cells": 1.28e8, "seed_cells": 2e6}
    made = process("ultracentrifugation", "chromatography", dose=1e9, **culture)
    chain = sum(step.duration for step in made.steps)
    assert made.expansion_time(1.28e8) == pytest.approx(120 * HOUR)
    assert made.expansion_time(1e6) == 0
    assert made.cell_doses_per_day(4e6, 30 * HOUR) == pytest.approx(32 / (150 / 24))
    batch = made.batch(2880.0, 30 * HOUR)
    assert batch.doses_per_day == pytest.approx(batch.stored / 1e9 / ((150 * HOUR + chain) / (24 * HOUR)))
    cost = made.expansion_cost * 1.28 + made.labor_cost * chain
    assert batch.doses_per_cost == pytest.approx(batch.stored / (cost * 1e9))
    assert made.cell_doses_per_cost(3e6) == pytest.approx(1 / (0.03 * made.expansion_cost))
    assert math.isinf(replace(made, seed_cells=1.28e8).cell_doses_per_day(1.0, 0.0))


def course(immune: Immunity, masses: dict[int, float], hours: int = 480) -> np.ndarray:
    """The host hour by hour; ``masses`` of antigen (ug) are met in given hours."""
    state, rows = immune.start(), []
    for hour in range(hours):
        state = immune.advance(state, masses.get(hour, 0.0), HOUR)
        rows.append(state)
    return np.array(rows)


def test_antigen_is_eliminated_at_its_rate() -> None:
    found = course(host(), {0: 100.0}, 25)
    assert found[24, 0] / found[0, 0] == pytest.approx(0.5, rel=1e-6)
    fine = host()
    state = np.array(fine.start())
    for _ in range(3600):
        state = fine.advance(state, 100.0 / 3600, 1.0)
    assert state == pytest.approx(found[0], rel=1e-5)


def test_a_naive_host_that_meets_nothing_does_nothing() -> None:
    quiet = course(host(memory_rate=0.0), {}, 100)
    assert (quiet[:, 0] == 0).all()
    assert (quiet[:, 1] == 0).all()
    assert quiet[:, 2] == pytest.approx(value("naive_precursors"))


def test_a_second_exposure_is_answered_more_strongly() -> None:
    once = course(host(), {240: 3e4})
    twice = course(host(), {0: 3e4, 240: 3e4})
    assert twice[300, 2] > 2 * once[300, 2]
    assert twice[239, 3] > 0
    primed = course(host(initial_memory=1.0), {240: 3e4})
    assert primed[300, 2] > 2 * once[300, 2]


def test_more_antigen_is_a_stronger_answer() -> None:
    peaks = [course(host(), {0: mass})[:, 1].max() for mass in (1.0, 1e2, 1e4)]
    assert peaks[0] < peaks[1] < peaks[2] < 1
