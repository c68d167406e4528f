"""The body against closed forms and published numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from default_bodies import mouse, residence, value, vesicles, without_phagocytes

from exoabm.therapy.pharmacokinetics import (
    DEPOT,
    LOST,
    PERIPHERAL,
    PLASMA,
    TARGET,
    Compartment,
    PBPKModel,
    pbpk_model,
)

HOUR, ML = 3600.0, 1e12
LIVER = Compartment("liver")


def given(body: PBPKModel, compartment: Compartment, hours: float) -> dict[Compartment, float]:
    """Shares of a bolus, by compartment, after some hours."""
    amount = body.start()
    amount[body.index(compartment)] = 1.0
    after, _ = body.advance(amount, body.start(), hours * HOUR)
    return dict(zip(body.compartments, after.tolist(), strict=True))


def test_nothing_is_lost_but_to_the_account_of_what_is_lost() -> None:
    body = pbpk_model(mouse(), vesicles())
    assert np.abs(body.matrix.sum(axis=0)).max() <= 1e-12 * np.abs(body.matrix).max()
    assert sum(given(body, PLASMA, 4).values()) == pytest.approx(1.0, rel=1e-8)


def test_a_body_without_macrophages() -> None:
    """Problem 23: CL 0.651 mL/h gives an AUC of 153.6 %ID h/mL, and CL times MRT is 2.32 mL."""
    body = pbpk_model(without_phagocytes(mouse(target=False)), vesicles(leak_rate=0.0))
    time = residence(body, PLASMA)
    plasma = time[body.index(PLASMA)] / HOUR
    auc = 100 * plasma / (value("plasma_volume") / ML)
    volume = (plasma + time[body.index(PERIPHERAL)] / HOUR) * value("basal_clearance") / ML * HOUR
    assert auc == pytest.approx(153.6, rel=0.01)
    assert volume == pytest.approx(2.32, rel=0.01)
    assert 160 - 33 < auc < 160 + 33
    faster = replace(without_phagocytes(mouse(target=False)), basal_clearance=1.05 * value("basal_clearance"))
    body = pbpk_model(faster, vesicles(leak_rate=0.0))
    assert 100 * residence(body, PLASMA)[body.index(PLASMA)] / HOUR != pytest.approx(153.6, rel=0.01)


def test_the_residence_is_the_integral_of_the_course() -> None:
    body = pbpk_model(mouse(), vesicles())
    amount, total = body.start(), body.start()
    amount[body.index(PLASMA)] = 1.0
    for _ in range(200):
        amount, integral = body.advance(amount, body.start(), 3 * HOUR)
        total += integral
    kept = [i for i, name in enumerate(body.compartments) if name != LOST]
    assert total[kept] == pytest.approx(residence(body, PLASMA)[kept], rel=1e-6)


def test_steps_of_any_length_give_the_same_course() -> None:
    body = pbpk_model(mouse(), vesicles())
    infused = body.start()
    infused[body.index(PLASMA)] = 6.0
    whole, _ = body.advance(body.start(), infused, 6 * HOUR)
    amount = body.start()
    for _ in range(60):
        amount, _ = body.advance(amount, infused / 60, 0.1 * HOUR)
    assert amount == pytest.approx(whole, rel=1e-7, abs=1e-12)


def test_the_plasma_of_a_releasing_blood_cell() -> None:
    """Problem 24: 45 vesicles/min and a half-life of 29.3 min are 1.9e3 vesicles per monocyte."""
    clearance = math.log(2) / (29.3 * 60) * value("plasma_volume")
    body = replace(without_phagocytes(mouse(target=False)), basal_clearance=clearance, exchange_flow=0.0)
    blood = pbpk_model(body, vesicles(leak_rate=0.0))
    infused = blood.start()
    infused[blood.index(PLASMA)] = 45 * 60 * 10
    steady, _ = blood.advance(blood.start(), infused, 10 * HOUR)
    assert steady[blood.index(PLASMA)] == pytest.approx(1.9e3, rel=0.02)
    assert 1.05 * steady[blood.index(PLASMA)] != pytest.approx(1.9e3, rel=0.02)


def test_organ_shares_come_out_of_phagocytes_and_flows() -> None:
    """Morishita 2015: liver 28 %, lung 7 %, spleen 1.6 % of the dose at 4 h; within a tenth.

    A calibration that must hold, no prediction: the liver's share chose the half-life in organs, and the
    phagocytes of lung and spleen are assumed numbers that agree with theirs.
    """
    share = given(pbpk_model(mouse(target=False), vesicles()), PLASMA, 4)
    organs = {name: Compartment(name) for name in ("liver", "lung", "spleen")}
    found = {name: share[organ] + share[organ.molecules] for name, organ in organs.items()}
    print(found)
    assert found == pytest.approx({"liver": 0.28, "lung": 0.07, "spleen": 0.016}, rel=0.1)
    fewer = replace(vesicles(), carrier_uptake=0.1 * value("carrier_uptake"))
    assert given(pbpk_model(mouse(target=False), fewer), PLASMA, 4)[LIVER] != pytest.approx(0.28, rel=0.1)


def test_the_half_life_in_plasma_is_two_minutes() -> None:
    body = pbpk_model(mouse(), vesicles())
    low, high = given(body, PLASMA, 1.5 / 60)[PLASMA], given(body, PLASMA, 2.5 / 60)[PLASMA]
    assert high < 0.5 < low


def test_a_tumor_gets_its_share() -> None:
    """Wilhelm 2016: 0.7 % of an injected dose; the range of the permeability brings 0.1 to 5 %."""
    found = {}
    for permeability in (0.02, 0.14, 1.1):
        body = mouse()
        organs = tuple(
            replace(organ, permeability=permeability * ML / HOUR) if organ.name == "target" else organ
            for organ in body.organs
        )
        share = pbpk_model(replace(body, organs=organs), vesicles(leak_rate=0.0, drainage_rate=0.0))
        amount = share.start()
        amount[share.index(PLASMA)] = 1.0
        _, integral = share.advance(amount, share.start(), 24 * HOUR)
        rate = share.matrix[share.index(TARGET), share.index(PLASMA)]
        found[permeability] = rate * integral[share.index(PLASMA)]
    print(found)
    assert found[0.14] == pytest.approx(0.007, rel=0.1)
    assert 0.0005 < found[0.02] < 0.0015
    assert 0.04 < found[1.1] < 0.06


def test_a_drug_in_vesicles_spares_the_heart() -> None:
    """Toffoli 2015, about -40 %: the direction follows from tight vessels and the liver's first pass."""
    in_vesicles = pbpk_model(mouse(), vesicles())
    alone = pbpk_model(mouse(), vesicles(molecular=True))
    heart = Compartment("heart").molecules
    ratio = (
        residence(in_vesicles, PLASMA)[in_vesicles.index(heart)]
        / residence(alone, PLASMA.molecules)[alone.index(heart)]
    )
    print(ratio)
    assert ratio < 0.8
    burst = pbpk_model(mouse(), vesicles(leak_rate=math.log(2) / (0.005 * HOUR)))
    in_heart = residence(burst, PLASMA)[burst.index(heart)]
    leaked = in_heart / residence(alone, PLASMA.molecules)[alone.index(heart)]
    assert leaked > 0.9


def test_a_depot_delays_and_the_needle_in_the_target_misses_the_liver() -> None:
    body = pbpk_model(mouse(), vesicles())
    assert given(body, DEPOT, 1)[DEPOT] == pytest.approx(0.5 ** (1 / 2))
    local, vein = given(body, TARGET, 4), given(body, PLASMA, 4)
    assert local[TARGET] > 10 * vein[TARGET]
    assert local[LIVER] < vein[LIVER]
