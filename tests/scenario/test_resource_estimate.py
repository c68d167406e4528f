"""The estimate of memory, vesicles and cells of a run, before it starts."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from exoabm.errors import ResourceError
from exoabm.output import single_vesicle_events
from exoabm.scenario.loader import load, parse, shipped
from exoabm.scenario.resource_estimate import (
    BYTES_PER_AGENT,
    EVENTS_PER_GROUP,
    Estimate,
)
from exoabm.scenario.state_builder import Blueprint, blueprint
from exoabm.scenario.vesicle_encounters import captured_rates, mean_stay


def plan(name: str = "signaling", **pairs: object) -> Blueprint:
    overrides = {key.replace("__", "."): str(value) for key, value in pairs.items()}
    return blueprint(load(name, overrides), 1)


@pytest.mark.parametrize("memory", [1e9, 1e12])
def test_a_run_is_refused_by_the_memory_there_is(monkeypatch, memory) -> None:
    """2 GB of fields: 270 origins on 1e6 voxels."""
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("", (), {"available": memory}))
    pairs = {"domain__size": "[10000, 10000]", "layout__group__donor__count": 270}
    if memory == 1e9:
        told = r"1,000,000 voxels x 270 origins x 1 vesicle kinds, 570 cells; use larger voxels.* 'cell_type'"
        with pytest.raises(ResourceError, match=told):
            plan(**pairs)
        with pytest.raises(ResourceError, match=r"1 origins .* smaller domain$"):
            plan(domain__size="[100000, 100000]", transport__provenance="cell_type")
    else:
        assert plan(**pairs).estimate.memory_bytes > 2 * 270 * 8e6


DOSED = b"""
[[dose]]
name = "injection"
vesicle = "exosome"
route = "tissue"
particles = 1e6
repeats = 3
interval = "1 h"
face = "x_low"
reach = "2 mm"
"""


def test_single_vesicles_of_doses_and_held_faces_are_foreseen(monkeypatch) -> None:
    """Three doses of 1e6, of which two fall into the run; c V of a slab of 1.2e7 um^3 at 1e9/mL."""
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("", (), {"available": 8e9}))
    text = shipped()["signaling"].read_bytes()
    each = {"transport.engine": "vesicles", "clock.duration": "2 h"}

    def foreseen(text: bytes = text, **pairs: str) -> Estimate:
        overrides = each | {key.replace("__", "."): value for key, value in pairs.items()}
        return blueprint(parse(text, name="signaling", folder=Path(), overrides=overrides), 1).estimate

    alone, dosed = foreseen(), foreseen(text + DOSED)
    held = foreseen(domain__faces__x='{concentration = "1e9 / mL"}')
    volume = plan().domain.voxel_volume * plan().domain.n_voxels
    assert dosed.vesicles - alone.vesicles == pytest.approx(2e6, rel=1e-9)
    assert dosed.arriving - alone.arriving == pytest.approx(1e6, rel=1e-9)
    assert held.vesicles - alone.vesicles == pytest.approx(1e-3 * volume, rel=1e-9)
    assert dosed.memory_bytes - alone.memory_bytes > 2e6 * 100
    with pytest.raises(ResourceError, match="single vesicles"):
        foreseen(text + DOSED, dose__injection__particles="1e9")
    assert foreseen(text + DOSED, dose__injection__given="false").vesicles == alone.vesicles
    field = foreseen(text + DOSED, transport__engine="continuum", dose__injection__particles="1e9")
    assert field.vesicles == 0


def test_what_comes_through_the_blood_is_not_foreseen() -> None:
    """1e11 particles in a vein, of which the patch of tissue sees few: no reason to refuse a run."""
    assert plan("tumor_delivery", transport__engine="vesicles").estimate.vesicles == 0


def test_all_that_one_step_releases_is_foreseen() -> None:
    """An hour's release of 7 donors at 4e5/h is there at once, even if each is gone in a minute."""
    short = {"vesicle__exosome__half_life": "1 min", "vesicle__exosome__processing_rate": "1 / min"}
    rate = {"transport__engine": "vesicles", "cell_type__donor__release_rate": "4e5 / h"}
    assert plan(clock__step="1 h", **rate, **short).estimate.vesicles >= 7 * 4e5


def test_vesicles_alive_are_foreseen_by_clearance_and_fates() -> None:
    """All that are cleared, q / k (1 - e^(-kT)); all taken up at once, then q (1 / i + 1 / p)."""
    vesicle = load("signaling", {"vesicle.exosome.half_life": "1 h"}).scenario.vesicle[0]
    k, off, inward, end, again = (
        math.log(2) / 3600,
        float(vesicle.unbinding_rate),
        float(vesicle.internalization_rate),
        float(vesicle.processing_rate),
        float(vesicle.recycling_probability),
    )
    assert mean_stay(vesicle, 7200.0, 0.0) == pytest.approx((1 - math.exp(-7200 * k)) / k, rel=1e-9)
    visits = 1 / (inward / (off + inward) * (1 - again))
    seized = visits * (1 / (off + inward) + inward / (off + inward) / end)
    assert mean_stay(vesicle, 1e9, 1e6) == pytest.approx(seized, rel=1e-3)
    assert mean_stay(vesicle, 0.0, 1.0) == 0.0


def test_full_receptors_capture_no_more_than_they_turn_over() -> None:
    found = plan("signaling")
    each, kind = replace(found.types[1], receptors=np.array([1000.0])), found.kinds[0]
    most = 10 * 1000.0 * (kind.unbinding_rate + kind.internalization_rate)

    def rate(released: float) -> float:
        return captured_rates(found.domain, found.kinds, [each], {each.name: 10}, released)[kind.name]

    assert rate(0.0) == rate(most / 2) > 0
    full = rate(1e6 * most)
    assert full / (full + kind.decay_rate) == pytest.approx(1e-6, rel=1e-9)


def test_cells_that_divide_are_counted_as_they_grow() -> None:
    """300 recipients by e^(b - d)t, and no more than fit; those that shrink as they start."""
    at_rest = plan(clock__duration="24 h")
    assert at_rest.estimate.cells == 307
    grown = {"clock__duration": "24 h", "cell_type__recipient__division_rate": "0.08 / h"}
    more = plan(**grown, cell_type__recipient__death_rate="0.03 / h")
    assert more.estimate.cells == pytest.approx(7 + 300 * math.exp(0.05 * 24), abs=1)
    assert more.estimate.memory_bytes > at_rest.estimate.memory_bytes
    fewer = plan(**grown, cell_type__recipient__death_rate="0.1 / h").estimate
    assert fewer.cells == 307
    agents = fewer.memory_bytes - at_rest.estimate.memory_bytes
    assert agents == pytest.approx(307 * BYTES_PER_AGENT), "made where cells come and go"
    full = plan(clock__duration="24 h", cell_type__recipient__division_rate="9 / h").estimate.cells
    area = float(np.prod(at_rest.domain.extent[:2] + 15))
    assert full == pytest.approx(7 + area / (2 * math.sqrt(3) * 7.5**2), abs=2)


def test_the_estimate_counts_as_many_waiting_events_as_the_writer_keeps() -> None:
    assert EVENTS_PER_GROUP == single_vesicle_events.GROUP
