"""The statistics of trials: intervals that cover, verdicts that err as seldom as they say, stated power."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special, stats

from exoabm.batch.trials.verdict import (
    Direction,
    Effect,
    Scale,
    Verdict,
    combine,
    each_of,
    final,
    flips,
    holm,
    judge,
    paired_effect,
)
from exoabm.errors import NumericalError

S, A, N = Verdict.SUPPORTS, Verdict.AGAINST, Verdict.OPEN


def effect(low: float, high: float, scale: Scale = Scale.DIFFERENCE) -> Effect:
    return Effect(scale, (low + high) / 2, low, high, 0.95, 0.5, 20, 1.0)


def verdicts(arm: np.ndarray, reference: np.ndarray, by: float = 0.0) -> list[Verdict]:
    """Of many trials, one a row."""
    pairs = zip(arm, reference, strict=True)
    return [judge(paired_effect(a, r), Direction.HIGHER, by) for a, r in pairs]


def test_the_interval_is_that_of_the_paired_t_test() -> None:
    rng = np.random.default_rng(1)
    reference = rng.normal(5, 2, 20)
    arm = reference + rng.normal(0.4, 0.5, 20)
    found, known = paired_effect(arm, reference), stats.ttest_rel(arm, reference)
    interval = known.confidence_interval(0.95)
    assert found.estimate == pytest.approx((arm - reference).mean(), rel=1e-12)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found.p_value == pytest.approx(known.pvalue, rel=1e-9)
    assert found.at_level(0.99).high == pytest.approx(known.confidence_interval(0.99).high, rel=1e-9)


def test_ratios_are_those_of_the_logarithms() -> None:
    arm, reference = np.array([2.0, 4.5, 8.1, 3.0]), np.array([1.0, 2.0, 4.0, 1.6])
    found = paired_effect(arm, reference, Scale.RATIO)
    known = stats.ttest_rel(np.log(arm), np.log(reference)).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(np.exp(known)), rel=1e-9)
    assert found.at_level(0.95) == found


def test_arms_that_are_the_same_differ_by_exactly_nothing() -> None:
    same = np.array([0.1, 0.7, 0.3])
    found = paired_effect(same, same)
    assert (found.estimate, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)
    assert judge(found, Direction.HIGHER) is A
    assert judge(found, Direction.NOT_LOWER, 0.1) is S


@pytest.mark.parametrize(
    ("arm", "reference", "scale"),
    [([1.0], [2.0], "difference"), ([1, np.nan], [1, 2], "difference"), ([0, 1], [1, 1], "ratio")],
)
def test_what_has_no_effect_size_is_refused(arm: list, reference: list, scale: str) -> None:
    with pytest.raises(NumericalError):
        paired_effect(arm, reference, Scale(scale))


@pytest.mark.parametrize(
    ("interval", "direction", "by", "expected"),
    [
        ((0.2, 0.4), "higher", 0.1, S),
        ((0.05, 0.4), "higher", 0.1, N),
        ((-0.2, 0.1), "higher", 0.1, A),
        ((-0.4, -0.2), "lower", 0.1, S),
        ((-0.4, -0.05), "lower", 0.1, N),
        ((-0.1, 0.3), "lower", 0.1, A),
        ((-0.05, 0.3), "not lower", 0.1, S),
        ((-0.2, 0.3), "not lower", 0.1, N),
        ((-0.3, -0.1), "not lower", 0.1, A),
        ((-0.3, 0.05), "not higher", 0.1, S),
        ((-0.3, 0.2), "not higher", 0.1, N),
        ((0.1, 0.2), "not higher", 0.1, A),
    ],
)
def test_a_criterion(interval: tuple, direction: str, by: float, expected: Verdict) -> None:
    assert judge(effect(*interval), Direction(direction), by) is expected
    ratio = effect(*(1 + end for end in interval), scale=Scale.RATIO)
    assert judge(ratio, Direction(direction), by) is expected


@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("interval", [(0.1, 0.3), (-0.3, -0.1)])
@pytest.mark.parametrize("scale", list(Scale))
def test_the_verdict_turns_at_the_margin(direction: Direction, interval: tuple, scale: Scale) -> None:
    found = effect(*(end + (scale is Scale.RATIO) for end in interval), scale=scale)
    margin = found.margin(direction)
    assert abs(margin) in (pytest.approx(0.1), pytest.approx(0.3))
    below, above = (judge(found, direction, margin + change) for change in (-1e-6, 1e-6))
    holds = direction in (Direction.HIGHER, Direction.LOWER)
    assert (below, above) == (S, N) if holds else (N, S)


def test_replicates_that_do_not_differ_are_seen() -> None:
    steady, other = np.array([2.0, 3.0, 4.0]), np.array([1.0, 1.5, 2.0001])
    assert paired_effect(steady, other, Scale.RATIO).certain
    assert not paired_effect(steady, other).certain
    assert paired_effect(steady, steady).certain
    assert not paired_effect(steady, other * [1.0, 1.01, 1.0], Scale.RATIO).certain


def test_a_claim_needs_all_its_criteria() -> None:
    assert combine([S, S]) is S
    assert combine([S, N]) is N
    assert combine([S, N, A]) is A


def test_a_conclusion_depends_on_an_assumption_if_it_flips() -> None:
    assert final(S, [S, N]) is S
    assert final(S, [S, A]) is Verdict.DEPENDS
    assert final(A, [N, S]) is Verdict.DEPENDS
    assert final(N, [A]) is N
    assert final(N, [A, S]) is Verdict.DEPENDS
    (one, two) = flips("phi", {0.3: S, 0.001: A, 0.01: N})
    assert one.between == (0.001, 0.01)
    assert two.verdicts == (N, S)


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_intervals_of_many_comparisons_hold_together() -> None:
    """20 effects far from none in 1000 trials: 95 % have all of them, 3 standard errors are 2 %.

    Levels that step down with Holm's p-values, the planted error, have them in 89 %.
    """
    rng = np.random.default_rng(11)
    m, n, trials = 20, 20, 1000

    def all_inside(effects: list[Effect], levels: list[float]) -> bool:
        each = [effect.at_level(level) for effect, level in zip(effects, levels, strict=True)]
        return all(effect.low <= 5 <= effect.high for effect in each)

    together = stepped = 0
    for _ in range(trials):
        effects = [paired_effect(rng.normal(5, 1, n), np.zeros(n)) for _ in range(m)]
        order = np.argsort(np.argsort([effect.p_value for effect in effects]))
        together += all_inside(effects, [each_of(m)] * m)
        stepped += all_inside(effects, [1 - 0.05 / (m - k) for k in order.tolist()])
    print(together, stepped)
    assert together / trials == pytest.approx(0.95, abs=0.021)
    assert stepped / trials < 0.92


def skewed(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Vesicles from bursts, as a donor releases them: Poisson(4) fusions of Poisson(15)."""
    return rng.poisson(15 * rng.poisson(4, shape)).astype(float)


def test_a_null_trial_seldom_says_supports() -> None:
    """400 trials of two identical arms with seeds of their own: at most 5 %.

    The expectation is 2.5 %, 10 of 400; more than 20 come by chance once in 700 seeds.
    """
    rng = np.random.default_rng(7)
    found = verdicts(skewed(rng, (400, 20)), skewed(rng, (400, 20)))
    print(found.count(S), found.count(A), found.count(N))
    assert found.count(S) <= 20
    planted = verdicts(skewed(rng, (400, 20)) * 1.05 + 10, skewed(rng, (400, 20)))
    assert planted.count(S) > 20


def power(effect: float, spread: float, n: int, by: float) -> float:
    """The chance that a trial of n pairs supports ``higher by``, if the true difference is ``effect``.

    1 - F(t; n - 1, delta),    delta = (effect - by) sqrt(n) / spread

    with F the noncentral t distribution and t the quantile of the interval.
    """
    cut = special.stdtrit(n - 1, 0.5 + 0.95 / 2)
    return 1.0 - float(special.nctdtr(n - 1, (effect - by) * math.sqrt(n) / spread, cut))


def test_a_planted_effect_is_found_with_the_stated_power() -> None:
    """2000 trials; 3 standard errors of a share of 0.8 are 0.027, missed by chance once in 370 seeds."""
    rng = np.random.default_rng(3)
    spread, n, by = 2.0, 20, 0.5
    plan = Effect(Scale.DIFFERENCE, 0.0, 0.0, 0.0, 0.95, 1.0, n, spread)
    size = plan.detectable(Direction.HIGHER, by)
    assert power(size, spread, n, by) == pytest.approx(0.8, abs=1e-6)
    assert plan.detectable(Direction.LOWER, by) == pytest.approx(-size)
    reference = rng.normal(10, 5, (2000, n))
    arm = reference + rng.normal(size, spread, reference.shape)
    share = verdicts(arm, reference, by).count(S) / 2000
    print(share)
    assert share == pytest.approx(0.8, abs=0.027)
    more = reference + rng.normal(1.05 * size, spread, reference.shape)
    assert verdicts(more, reference, by).count(S) / 2000 > 0.827
