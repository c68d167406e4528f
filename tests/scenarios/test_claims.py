"""The claims that ship can fail: each has a set of values, inside the ranges, that changes its verdict.

The sets are run at few replicates, with fewer arms and coarser clocks than the trials that ship: what changes
is far larger than chance.
"""

from __future__ import annotations

from typing import Any

import pytest

from exoabm.batch.trial import Trial, run_trial
from exoabm.batch.verdict import Verdict
from exoabm.scenario.loader import load, quantities, shipped

S, A = Verdict.SUPPORTS, Verdict.AGAINST

CLAIMS: dict[str, tuple[dict[str, Any], Verdict, dict[str, Any], Verdict]] = {
    "signaling": (
        {},
        S,
        {"vesicle.exosome.delivery_probability": 0.001},
        A,
    ),
    "waste_removal": (
        {"clock.duration": "24 h"},
        A,
        {"clock.duration": "24 h", "cell_type.stressed.uptake_rate": 1},
        S,
    ),
    "tumor_delivery": (
        {"dose.treatment.cargo_return": 1, "transport.hindrance": 0.4},
        S,
        {"dose.treatment.leak_half_life": "0.005 h"},
        A,
    ),
    "exosome_vs_cell_therapy": (
        {},
        S,
        {"dose.cells.therapeutic_half_life": "72 h"},
        A,
    ),
    "production": (
        {"clock.duration": "12 h"},
        S,
        {
            "clock.duration": "12 h",
            "manufacturing.ultracentrifugation.recovery": 0.2,
            "manufacturing.chromatography.recovery": 0.4,
            "manufacturing.tangential_flow.recovery": 0.6,
        },
        A,
    ),
    "delivery_routes": (
        {"clock.duration": "24 h"},
        S,
        {"clock.duration": "24 h", "dose.dose.drainage_half_life": "2 h"},
        A,
    ),
}


def tried(name: str, changes: dict[str, Any], replicates: int = 4) -> Trial:
    loaded = load(name, {key: str(value) for key, value in changes.items()})
    return run_trial(loaded, replicates=replicates, sweep=False)


def test_every_trial_that_ships_is_here() -> None:
    trials = {name for name in shipped() if load(name).scenario.trial is not None}
    assert trials == CLAIMS.keys()


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_can_fail_and_can_hold(name: str) -> None:
    values, expected, changed, other = CLAIMS[name]
    assert tried(name, values).verdict is expected
    assert tried(name, changed).verdict is other


@pytest.mark.parametrize("name", CLAIMS)
def test_the_values_that_change_it_lie_inside_the_ranges(name: str) -> None:
    loaded = load(name, {key: str(value) for key, value in CLAIMS[name][2].items()})
    for key, quantity in quantities(loaded.scenario):
        published = quantity.parameter.published
        if key in CLAIMS[name][2] and published is not None:
            assert published[0] <= quantity.magnitude <= published[1], key


@pytest.mark.parametrize("name", CLAIMS)
def test_a_trial_has_a_vehicle_or_its_like_limits_and_swept_assumptions(name: str) -> None:
    scenario = load(name).scenario
    assert scenario.trial is not None
    assert scenario.trial.replicates >= 20
    assert len(scenario.arm) >= 4
    assert len(scenario.trial.readout) >= 2
    assert len(scenario.trial.assumption) >= 3
    assert len(scenario.trial.limits) >= 2
    assert all(limit.endswith(".") for limit in scenario.trial.limits)
