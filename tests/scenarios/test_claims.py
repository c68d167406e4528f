"""The claims that ship can fail: each has a set of values, inside the ranges, that changes its verdict.

The sets are run at few replicates, with fewer arms and coarser clocks and voxels than the trials that ship:
what changes is far larger than chance. The verdicts of the trials as they ship, at full resolution and with
all replicates, are not tested here.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exoabm.batch.trials.design import plan_trial
from exoabm.batch.trials.trial import Trial, run_trial
from exoabm.batch.trials.verdict import Verdict
from exoabm.scenario.loader import load, shipped
from exoabm.scenario.schema_base import quantities

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
        {"dose.treatment.cargo_return": 1},
        S,
        {"dose.treatment.leak_half_life": "0.005 h"},
        A,
    ),
    "disease_progression": (
        {"clock.duration": "120 h"},
        S,
        {},
        A,
    ),
    "tissue_repair": (
        {"vesicle.vesicle.delivery_probability": 0.3},
        S,
        {"vesicle.vesicle.delivery_probability": 0.001},
        A,
    ),
    "exosome_vs_cell_therapy": (
        {"dose.cells.therapeutic_half_life": "12 h"},
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
        {
            "clock.duration": "24 h",
            "dose.dose.drainage_half_life": "2 h",
            "dose.dose.organ_half_life": "24 h",
        },
        A,
    ),
}


REPLICATES = {
    "production": 20,
    "delivery_routes": 5,
    "waste_removal": 4,
    "tissue_repair": 4,
    "exosome_vs_cell_therapy": 5,
}
COARSE = {
    "signaling": {"domain.voxel": "25 um", "clock.step": "10 min"},
    "waste_removal": {"domain.voxel": "20 um", "clock.step": "20 min"},
    "tumor_delivery": {"clock.step": "30 min"},
    "exosome_vs_cell_therapy": {"domain.voxel": "20 um", "clock.step": "1 h"},
    "tissue_repair": {"clock.duration": "48 h", "clock.step": "2 h", "domain.voxel": "30 um"},
    "production": {"clock.step": "1 h"},
    "disease_progression": {"domain.voxel": "80 um", "clock.step": "2 h"},
}


def tried(name: str, changes: dict[str, Any], folder: Path) -> Trial:
    """The trial without the arms that its criteria do not ask for, and without its sweeps."""
    overrides = {key: str(value) for key, value in (COARSE.get(name, {}) | changes).items()}
    loaded = load(name, overrides)
    assert loaded.scenario.trial is not None
    judged = {arm for c in loaded.scenario.trial.criterion for arm in (c.arm, c.versus)}
    kept = [arm for arm in loaded.scenario.arm if arm.name in judged]
    loaded = replace(loaded, scenario=loaded.scenario.model_copy(update={"arm": kept}))
    return run_trial(plan_trial(loaded, replicates=REPLICATES.get(name, 3), sweep=False), folder)


def test_every_trial_that_ships_is_here() -> None:
    trials = {name for name in shipped() if load(name).scenario.trial is not None}
    assert trials == CLAIMS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_can_fail_and_can_hold(name: str, tmp_path: Path) -> None:
    values, expected, changed, other = CLAIMS[name]
    assert tried(name, values, tmp_path / "one").verdict is expected
    assert tried(name, changed, tmp_path / "other").verdict is other


@pytest.mark.slow
@pytest.mark.parametrize(("dose", "spared", "killed"), [(1e11, S, None), (2e11, S, S), (3e11, A, S)])
def test_the_heart_is_spared_at_equal_efficacy(
    dose: float, spared: Verdict, killed: Verdict | None, tmp_path: Path
) -> None:
    """Toffoli's direction, in an average mouse at 24 h.

    Twice as many molecules in vesicles kill as many cells as free drug, and the heart meets a fifth less; at
    equal numbers the tumor is hit less, and at three times as many the heart is spared no more.
    """
    changes = {"dose.treatment.particles": dose, "pharmacokinetics.variability": 0}
    heart, tumor = tried("tumor_delivery", changes, tmp_path / "out").comparisons
    assert heart.verdict is spared
    assert heart.effect is not None
    assert tumor.effect is not None
    assert heart.effect.estimate == pytest.approx(0.35 * dose / 1e11, rel=0.03)
    assert tumor.verdict is killed or (killed is None and tumor.effect.estimate < -4)


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
