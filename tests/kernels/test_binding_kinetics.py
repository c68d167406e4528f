"""Two compartments in series: counts of events against their closed forms, and the same bits always."""

from __future__ import annotations

import math

import numpy as np
import pytest

from exoabm.kernels import binding_kinetics
from exoabm.kernels.binding_kinetics import (
    Compartments,
    Leavings,
    Residents,
    Transfers,
    advance_compartment_parts,
    advance_compartments,
    compartment_coefficients,
    draw_residence,
    leave_compartments,
    relative_rate,
)

N = 1_000_000
SEED, PURPOSE = 11, 14


def live(rates, compartment=binding_kinetics.FIRST, dt=3600.0, step=0, since=0.0, particles=None):
    """Events of particles that enter a compartment at ``since``, and their times, (n, 2) each."""
    particle = np.arange(N) if particles is None else particles
    leave, off, fusion, drain, recycling, escape = rates
    n, kind = len(particle), np.zeros(len(particle), np.int8)
    due = since + draw_residence(particle, kind, np.array([leave]), SEED, PURPOSE, step)
    if compartment == binding_kinetics.SECOND:
        due = since + draw_residence(particle, kind, np.array([drain]), SEED, PURPOSE, step)
    inside = np.full(n, compartment, np.int8)
    residents = Residents(particle, inside, due, np.zeros(n, np.int32), kind, np.zeros(n, np.int16))
    leavings = Leavings(
        np.empty(2 * n, np.int8), np.empty(2 * n, np.int64), np.empty(2 * n), np.zeros((6, 1, 1, 1))
    )
    shares = np.array([[off, fusion, recycling, escape]])
    rows = np.flatnonzero(due <= dt)
    used = leave_compartments(
        rows, residents, dt, shares, np.zeros_like(rows), np.array([drain]), SEED, PURPOSE, step, leavings
    )
    code, row, time = (column[:used] for column in leavings[:3])
    np.testing.assert_array_equal(leavings.moved.ravel(), np.bincount(code, minlength=6))
    event, when = np.zeros((n, 2), np.int8), np.zeros((n, 2))
    second = np.zeros(used, np.int64)
    second[1:] = row[1:] == row[:-1]
    event[row, second], when[row, second] = code, time
    stays = event == binding_kinetics.NO_EVENT
    assert (
        due[~stays[:, 0] & ~(stays[:, 1] & (event[:, 0] == binding_kinetics.TRANSFERRED))] == np.inf
    ).all()
    assert (due > dt).all()
    return event, when


def within(count, p, n=N, sigmas=4.0):
    """A count of n trials of chance p, at 4 standard errors: wrong alarm once in 16,000."""
    return abs(count - n * p) <= sigmas * math.sqrt(n * p * (1 - p))


RATES = (6e-4, 0.3, 0.2, 9e-4, 0.25, 0.4)


def outcomes(rates=RATES):
    event, _ = live(rates)
    return {code: int((event == code).sum()) for code in range(1, 6)}


def expected(dt=3600.0, rates=RATES):
    leave, off, fusion, drain, recycling, escape = rates
    left = -math.expm1(-leave * dt)
    inward = left * (1 - off)
    stays = leave * (math.exp(-leave * dt) - math.exp(-drain * dt)) / (drain - leave)
    ended = (1 - off) * (1 - fusion) * (left - stays)
    rest = ended * (1 - recycling)
    return {
        binding_kinetics.EXITED: left * off,
        binding_kinetics.TRANSFERRED: inward,
        binding_kinetics.COMPLETED: inward * fusion + rest * escape,
        binding_kinetics.LOST: rest * (1 - escape),
        binding_kinetics.RETURNED: ended * recycling,
    }


def test_counts_meet_the_closed_forms():
    counts = outcomes()
    for code, p in expected().items():
        assert within(counts[code], p), code


@pytest.mark.parametrize("index", range(6))
def test_a_5_percent_change_of_any_rate_is_seen(index):
    biased = list(RATES)
    biased[index] *= 1.05
    counts = outcomes(tuple(biased))
    assert not all(within(counts[code], p) for code, p in expected().items())


def test_times_are_ordered_inside_the_step_and_exponential():
    event, when = live((1e-3, 0.0, 0.0, 1e-3, 0.0, 1.0))
    two = event[:, 1] != binding_kinetics.NO_EVENT
    assert (when[two, 1] >= when[two, 0]).all()
    assert (when[event[:, 0] != binding_kinetics.NO_EVENT, 0] <= 3600).all()
    first = when[event[:, 0] != binding_kinetics.NO_EVENT, 0]
    assert first.mean() == pytest.approx(1e3 - 3600 / math.expm1(3.6), rel=0.01)


def test_compartments_without_exit_keep_their_particles():
    event, _ = live((0.0, 0.5, 0.5, 0.0, 0.5, 0.5))
    assert not event.any()
    event, _ = live((0.0, 0.5, 0.5, 0.0, 0.5, 0.5), compartment=binding_kinetics.SECOND)
    assert not event.any()


def test_the_last_moment_of_a_step_leaves_no_time():
    event, _ = live(RATES, since=3600.0)
    assert not event.any()


def test_a_step_divided_has_the_same_law():
    """Two half steps, in which the second half only goes on: the counts meet the same closed forms."""
    kind, residents = np.zeros(N, np.int8), np.full(N, binding_kinetics.FIRST, np.int8)
    leave, off, fusion, drain, recycling, escape = RATES
    due = draw_residence(np.arange(N), kind, np.array([leave]), SEED, PURPOSE, 0)
    shares, counts = np.array([[off, fusion, recycling, escape]]), np.zeros((6, 1, 1, 1))
    zeros = np.zeros(N, np.int32), kind, np.zeros(N, np.int16)
    for step, end in enumerate((700.0, 3600.0)):
        rows = np.flatnonzero(due <= end)
        events = np.empty(2 * N, np.int8), np.empty(2 * N, np.int64), np.empty(2 * N)
        used = leave_compartments(
            rows, Residents(np.arange(N), residents, due, *zeros), end, shares, np.zeros_like(rows),
            np.array([drain]), SEED, PURPOSE, step, Leavings(*events, counts),
        )  # fmt: skip
        residents[events[1][:used]] = binding_kinetics.SECOND
    for code, p in expected().items():
        assert within(counts[code, 0, 0, 0], p), code


def test_bits_do_not_depend_on_company():
    event, when = live(RATES)
    some = np.arange(0, N, 37)
    alone = live(RATES, particles=some)
    assert np.array_equal(event[some], alone[0])
    assert np.array_equal(when[some], alone[1])


def test_another_step_draws_anew():
    assert not np.array_equal(live(RATES)[1], live(RATES, step=1)[1])


CELLS, KINDS, LABELS, PARTS, DT = 3, 2, 4, 5, 60.0
GROWING = "encountered bound endosomal returning unbound internalized lysosomal recycled delivered".split()


def chain(captured: np.ndarray, pools: dict[str, np.ndarray], coefficients, shares) -> None:
    """One step of ``advance_compartments``; the pools change."""
    when = [np.full(captured.shape, np.nan) for _ in range(2)]
    new = [np.empty_like(captured) for _ in range(4)]
    named = [pools[name] for name in GROWING]
    contents, transfers = Compartments(*named, *when), Transfers(*new)
    advance_compartments(captured, coefficients, shares, 0.0, np.inf, contents, transfers)


@pytest.mark.parametrize("own", [False, True])
def test_parts_go_as_labels_of_their_own_would(own: bool) -> None:
    """Three steps of kinds with other rates and cells with other shares; every part in every pool.

    The same vesicles, with a label for each part, are what they are compared with.
    """
    random = np.random.default_rng(1)
    rates = [(0.011, 0.004, 0.002), (0.007, 0.006, 0.015)]
    coefficients = np.array([compartment_coefficients(*rate, DT) for rate in rates])[None]
    shares = random.uniform(0.1, 0.9, (CELLS if own else 1, KINDS, 4))
    shares[..., 0] = [1 - onward / leave for leave, onward, _ in rates]
    parts = {name: np.zeros((CELLS, KINDS, LABELS, PARTS)) for name in ("bound", "endosomal", "returning")}
    apart = {name: np.zeros((CELLS, KINDS, LABELS * PARTS)) for name in GROWING}
    whole = {name: np.zeros((CELLS, KINDS, LABELS)) for name in GROWING}
    for _ in range(3):
        captured = random.uniform(0, 9, (CELLS, KINDS, LABELS, PARTS))
        chain(captured.reshape(CELLS, KINDS, -1), apart, coefficients, shares)
        pools = whole["bound"], whole["endosomal"]
        advance_compartment_parts(captured, coefficients, shares, *pools, *parts.values())
        chain(captured.sum(axis=3), whole, coefficients, shares)
        for name, share in parts.items():
            expected = apart[name].reshape(captured.shape)
            np.testing.assert_allclose(whole[name][..., None] * share, expected, rtol=1e-12)
            np.testing.assert_allclose(share.sum(axis=3), 1, rtol=1e-12)
    assert whole["recycled"].min() > 0


def test_a_share_of_the_rate_adds_its_resistance_to_that_of_the_lattice() -> None:
    """1/kappa = 1/(f k_a) + (1/kappa_1 - 1/k_a), as numbers and arrays; at most 1/least times kappa_1."""
    beta, share = np.array([4.0, 1.0, 0.5, 0.2]), np.array([0.1, 0.5, 1.0, 2.0])
    expected = 1.0 / (1.0 / (share * beta) + 1.0 - 1.0 / beta)
    expected[3] = 1e3  # beyond the pole
    assert relative_rate(share, beta, 1e-3) == pytest.approx(expected, rel=1e-12)
    assert [relative_rate(*each, 1e-3) for each in zip(share, beta, strict=True)] == pytest.approx(expected)
    assert relative_rate(0.0, 4.0, 1e-3) == 0.0
