"""The balance stops a run at a gap of a billionth, and not below it."""

from __future__ import annotations

import math

import pytest

from exoabm.accounting.mass_balance import PLACES, TOLERANCE, MassBalance, WasteBalance
from exoabm.errors import NumericalError

EMITTED = 7e6


def ledger(kind: int, label: int, place: str, held: float) -> MassBalance:
    """Two kinds of three origins; all vesicles of one of them are in one place."""
    found = MassBalance(("small", "large"), ("donor", "other", "dose"))
    found.emitted[:] = 3.0
    found["cleared"][:] = 3.0
    found["cleared"][kind, label] = 0.0
    found.emitted[kind, label] = EMITTED
    found[place][kind, label] = held
    return found


@pytest.mark.parametrize("place", PLACES)
def test_a_gap_of_a_billionth_stops_the_run(place: str) -> None:
    """The design says 1e-9 of what was emitted, on either side, wherever it is missing."""
    assert TOLERANCE == 1e-9
    for sign in (-1, 1):
        ledger(1, 2, place, EMITTED * (1 + sign * 0.9e-9)).check(0.0)
        with pytest.raises(NumericalError, match=r"at 2 h: large from dose is off by .*tolerance 1e-09"):
            ledger(1, 2, place, EMITTED * (1 + sign * 1.1e-9)).check(7200.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_stops_the_run(value: float) -> None:
    with pytest.raises(NumericalError, match="small from other"):
        ledger(0, 1, "bound", value).check(0.0)


@pytest.mark.parametrize("place", ["degraded", "exported", "debris", "held"])
def test_a_gap_of_a_billionth_of_the_waste_stops_the_run(place: str) -> None:
    incoming = {"initial": 1e6, "produced": 4e6, "recaptured": 2e6}
    for sign in (-1, 1):
        WasteBalance(**incoming, **{place: 7e6 * (1 + sign * 0.9e-9)}).check(0.0)
        with pytest.raises(NumericalError, match="waste balance"):
            WasteBalance(**incoming, **{place: 7e6 * (1 + sign * 1.1e-9)}).check(0.0)
    with pytest.raises(NumericalError, match="waste balance"):
        WasteBalance(**incoming, **{place: math.nan}).check(0.0)
