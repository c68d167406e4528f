"""The way of captured vesicles into a cell, against an integrator that knows nothing of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from exoabm.accounting.mass_balance import WasteBalance
from exoabm.accounting.step_records import TransportResult, Uptake
from exoabm.cargo import Cargo, CargoClass
from exoabm.cells.cargo_pools import receive_waste
from exoabm.cells.uptake import take_up
from exoabm.state import Trafficking
from exoabm.vesicle import DeliveryRoute, VesicleKind


@dataclass(frozen=True)
class Rates:
    """Unbinding, internalization and processing in 1/s; the chances of delivery and recycling."""

    off: float
    into: float
    process: float
    deliver: float
    recycle: float = 0.0
    fuses: bool = False

    def __str__(self) -> str:
        numbers = (self.off, self.into, self.process, self.deliver, self.recycle)
        return "-".join(f"{x:.3g}" for x in numbers) + ("-fusion" if self.fuses else "")

    def kind(self, *cargo: Cargo) -> VesicleKind:
        return VesicleKind(
            name="EV",
            diameter=0.1,
            diameter_gsd=1.0,
            diffusivity=6.0,
            decay_rate=0.0,
            unbinding_rate=self.off,
            internalization_rate=self.into,
            processing_rate=self.process,
            recycling_probability=self.recycle,
            delivery_probability=self.deliver,
            delivery_route=DeliveryRoute("membrane_fusion" if self.fuses else "endosomal_escape"),
            cargo=cargo,
        )


def cells(*rates: Rates, n: int = 1, labels: int = 1) -> SimpleNamespace:
    """As much of a state as uptake reads."""
    return SimpleNamespace(
        kinds=[r.kind() for r in rates],
        trafficking=Trafficking.empty(n, len(rates), labels),
        follows_vesicles=False,
        behaviors=(),
        silences=(),
        time=0.0,
    )


def advance(state: SimpleNamespace, captured: np.ndarray, dt: float) -> Uptake:
    nothing = np.zeros(captured.shape[1:])
    uptake = take_up(state, TransportResult(captured, nothing, nothing, nothing), dt)
    state.time += dt
    return uptake


def integrate(rates: Rates, bound: float, endosomal: float, captured: float, dt: float) -> np.ndarray:
    """The chain as equations, in the order of ``COUNTS``."""
    fused = rates.deliver if rates.fuses else 0.0
    escaped = 0.0 if rates.fuses else rates.deliver

    def slope(_: float, y: np.ndarray) -> list[float]:
        b, e = y[0], y[3]
        end = rates.process * e
        kept = (1 - rates.recycle) * end
        return [
            captured / dt - (rates.off + rates.into) * b,
            rates.off * b + rates.recycle * end,
            rates.into * b,
            rates.into * (1 - fused) * b - end,
            (1 - escaped) * kept,
            rates.recycle * end,
            rates.into * fused * b + escaped * kept,
        ]

    start = [bound, 0.0, 0.0, endosomal, 0.0, 0.0, 0.0]
    solution = solve_ivp(slope, (0, dt), start, method="Radau", rtol=1e-10, atol=1e-12)
    return np.asarray(solution.y[:, -1])


COUNTS = ("bound", "returning", "taken_up", "endosomal", "lysosomal", "recycled", "delivered")
RNG = np.random.default_rng(20)
RANDOM = [
    Rates(*(10 ** RNG.uniform(-6, -1.5, 3)).tolist(), *RNG.uniform(size=2).tolist(), fuses=i % 2 == 1)
    for i in range(12)
]
SPECIAL = [
    Rates(0, 0, 0, 0.3),
    Rates(1e-3, 0, 1e-3, 0.3),
    Rates(0, 1e-3, 0, 0.3),
    Rates(0, 0, 1e-3, 0.3),
    Rates(1e-3, 2e-3, 3e-3, 0.3),
    Rates(1e-3, 2e-3, 3e-3 * (1 + 1e-9), 0.3),
    Rates(1e-3, 2e-3, 3e-3 * (1 + 1e-4), 0.3),
    Rates(0, 1e-12, 1e-12, 0.3),
    Rates(0.3, 0.4, 0.1, 1.0),
    Rates(1e-4, 1e-3, 1e-3, 0.0),
    Rates(1e-4, 1e-3, 1e-3, 0.5, 1.0),
    Rates(1e-4, 1e-3, 1e-3, 1.0, 0.5, fuses=True),
]


@pytest.mark.parametrize("rates", [*RANDOM, *SPECIAL], ids=str)
def test_a_step_is_the_solution_of_the_equations(rates: Rates) -> None:
    """To 1e-7 of the 12 vesicles there are; where the two rates are nearly equal too."""
    state, dt = cells(rates), 300.0
    way = state.trafficking
    way.bound[:], way.endosomal[:] = 5.0, 3.0
    advance(state, np.full((1, 1, 1), 4.0), dt)
    found = np.array([getattr(way, count)[0, 0, 0] for count in COUNTS])
    np.testing.assert_allclose(found, integrate(rates, 5.0, 3.0, 4.0, dt), atol=1e-6)
    wrong = replace(rates, off=rates.off * 1.05, into=rates.into * 1.05, process=rates.process * 1.05)
    if max(rates.off, rates.into, rates.process) > 1e-5:
        assert abs(found - integrate(wrong, 5.0, 3.0, 4.0, dt)).max() > 1e-4


@pytest.mark.parametrize("rates", [*RANDOM, *SPECIAL], ids=str)
def test_the_step_does_not_matter(rates: Rates) -> None:
    """One step of 600 s or ten of 60 s with the same even captures: the same, to rounding."""
    one, ten = cells(rates), cells(rates)
    advance(one, np.full((1, 1, 1), 40.0), 600.0)
    back = 0.0
    for _ in range(10):
        advance(ten, np.full((1, 1, 1), 4.0), 60.0)
        back += ten.trafficking.returning[0, 0, 0]
    assert back == pytest.approx(one.trafficking.returning[0, 0, 0], rel=1e-9, abs=1e-9)
    for count in ("encountered", *(c for c in COUNTS if c != "returning")):
        a, b = (getattr(s.trafficking, count)[0, 0, 0] for s in (one, ten))
        assert b == pytest.approx(a, rel=1e-8, abs=1e-9), count


def test_every_vesicle_is_somewhere_and_none_is_negative() -> None:
    """Many cells, kinds and origins at once, over steps of uneven length; conserved to 1e-12."""
    kinds = [*RANDOM, *SPECIAL]
    state = cells(*kinds, n=7, labels=3)
    way = state.trafficking
    back = np.zeros_like(way.bound)
    for step in range(200):
        captured = RNG.exponential(1.0, way.bound.shape) * (RNG.random(way.bound.shape) < 0.5)
        before = [getattr(way, end.name).copy() for end in fields(Uptake)]
        uptake = advance(state, captured, [1e-3, 60.0, 3600.0, 1e5][step % 4])
        back += way.returning
        for end, was in zip(fields(Uptake), before, strict=True):
            now = getattr(way, end.name)
            np.testing.assert_allclose(now - was, getattr(uptake, end.name), atol=1e-10)
            assert (now >= was).all()
    inside = way.endosomal + way.lysosomal + way.recycled + way.delivered
    np.testing.assert_allclose(way.taken_up, inside, rtol=1e-12)
    unbound = back - way.recycled
    np.testing.assert_allclose(way.encountered, way.bound + unbound + way.taken_up, rtol=1e-12)
    for count in (*COUNTS, "encountered"):
        assert (getattr(way, count) >= 0).all(), count
    escape = [i for i, r in enumerate(kinds) if not r.fuses]
    deliver = np.array([kinds[i].deliver for i in escape])[None, :, None]
    kept = (way.lysosomal + way.delivered)[:, escape]
    np.testing.assert_allclose(way.delivered[:, escape], deliver * kept, rtol=1e-12)


def test_the_first_contact_is_when_a_first_encounter_is_as_likely_as_not() -> None:
    """Expected encounters reach ln 2 at the third capture of 0.25; the last is the last above zero."""
    state = cells(SPECIAL[4], n=3)
    way = state.trafficking
    for captured in (0.25, 0.25, 0.25, 0.0, 0.25, 0.0):
        advance(state, np.array([captured, 0.0, 10 * captured]).reshape(3, 1, 1), 60.0)
    assert 2 * 0.25 < math.log(2) < 3 * 0.25
    np.testing.assert_array_equal(way.first_contact.ravel(), [180.0, np.nan, 60.0])
    np.testing.assert_array_equal(way.last_contact.ravel(), [300.0, np.nan, 300.0])


def test_nothing_captured_nothing_changes() -> None:
    state = cells(*SPECIAL, n=2, labels=2)
    uptake = advance(state, np.zeros((2, len(SPECIAL), 2)), 3600.0)
    for table in (state.trafficking, uptake):
        for count in fields(table):
            assert not np.nan_to_num(getattr(table, count.name)).any()


def test_waste_is_received_by_the_copies_of_the_vesicles_that_ended() -> None:
    """Lysosomal or delivered, over all origins; not what is recycled, nor a signal in the same vesicle."""
    cargo = (Cargo("debris", CargoClass.WASTE, 2.5), Cargo("note", CargoClass.SIGNAL, 100.0))
    state = SimpleNamespace(
        kinds=[SPECIAL[0].kind(*cargo), SPECIAL[0].kind(cargo[1])],
        cells=SimpleNamespace(waste=np.array([1.0, 2.0])),
        waste_balance=WasteBalance(initial=3.0),
    )
    lysosomal = np.arange(8.0).reshape(2, 2, 2)
    elsewhere, delivered = np.full((2, 2, 2), 1e9), np.full((2, 2, 2), 0.5)
    receive_waste(state, Uptake(elsewhere, lysosomal, elsewhere, delivered))
    received = 2.5 * np.array([0 + 1 + 1, 4 + 5 + 1])
    np.testing.assert_allclose(state.cells.waste - received, [1, 2])
    assert state.waste_balance.recaptured == pytest.approx(received.sum())
    state.waste_balance.check(0.0)
