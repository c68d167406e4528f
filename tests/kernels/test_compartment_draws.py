"""Two compartments in series: counts of events against their closed forms, and the same bits always."""

import math

import numpy as np
import pytest

from exoabm.kernels import compartment_kinetics

N = 1_000_000
SEED, PURPOSE = 11, 14


def live(
    rates, compartment=compartment_kinetics.FIRST, dt=3600.0, step=0, threads=1, since=0.0, particles=None
):
    particle = np.arange(N) if particles is None else particles
    n = len(particle)
    event, when = np.zeros((n, 2), np.int8), np.zeros((n, 2))
    compartment_kinetics.draw_transitions(
        particle,
        np.full(n, compartment, np.int8),
        np.full(n, since),
        np.zeros(n, np.int8),
        np.array([rates]),
        dt,
        SEED,
        PURPOSE,
        step,
        event,
        when,
        threads=threads,
    )
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
        compartment_kinetics.EXITED: left * off,
        compartment_kinetics.TRANSFERRED: inward,
        compartment_kinetics.COMPLETED: inward * fusion + rest * escape,
        compartment_kinetics.LOST: rest * (1 - escape),
        compartment_kinetics.RETURNED: ended * recycling,
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
    two = event[:, 1] != compartment_kinetics.NO_EVENT
    assert (when[two, 1] >= when[two, 0]).all()
    assert (when[event[:, 0] != compartment_kinetics.NO_EVENT, 0] <= 3600).all()
    first = when[event[:, 0] != compartment_kinetics.NO_EVENT, 0]
    assert first.mean() == pytest.approx(1e3 - 3600 / math.expm1(3.6), rel=0.01)


def test_compartments_without_exit_keep_their_particles():
    event, _ = live((0.0, 0.5, 0.5, 0.0, 0.5, 0.5))
    assert not event.any()
    event, _ = live((0.0, 0.5, 0.5, 0.0, 0.5, 0.5), compartment=compartment_kinetics.SECOND)
    assert not event.any()


def test_the_last_moment_of_a_step_leaves_no_time():
    event, _ = live(RATES, since=3600.0)
    assert not event.any()


def test_bits_do_not_depend_on_threads_or_company():
    event, when = live(RATES)
    for threads in (2, 5):
        again = live(RATES, threads=threads)
        assert np.array_equal(event, again[0])
        assert np.array_equal(when, again[1])
    some = np.arange(0, N, 37)
    alone = live(RATES, particles=some)
    assert np.array_equal(event[some], alone[0])
    assert np.array_equal(when[some], alone[1])


def test_another_step_draws_anew():
    assert not np.array_equal(live(RATES)[1], live(RATES, step=1)[1])
