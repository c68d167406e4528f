"""Effect sizes with paired confidence intervals, and the verdict that they allow. Pure statistics.

Two arms of a trial share their random numbers, replicate by replicate, so that the effect is judged on the
differences within pairs:

    d_r = y_r(arm) - y_r(reference),    mean(d) ± t(level, n - 1) sd(d) / sqrt(n)

or, on the scale of ratios, on d_r = ln(y_r(arm) / y_r(reference)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from exoabm.errors import NumericalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike

LEVEL = 0.95
"""Confidence of the interval of a criterion; a claim that is not true is supported in (1 - LEVEL) / 2."""
POWER = 0.8
"""The chance of being found at which an effect is called detectable."""


class Verdict(StrEnum):
    """Verdict of a trial on its claim."""

    SUPPORTS = "supports"
    AGAINST = "does not support"
    OPEN = "inconclusive"
    DEPENDS = "assumption-dependent"


class Direction(StrEnum):
    """Position of the arm relative to its reference according to a claim."""

    HIGHER = "higher"
    LOWER = "lower"
    NOT_LOWER = "not lower"
    NOT_HIGHER = "not higher"

    @property
    def upward(self) -> bool:
        """Whether the claim is one about the lower end of the interval."""
        return self in (Direction.HIGHER, Direction.NOT_LOWER)


class Scale(StrEnum):
    """How two values are compared."""

    DIFFERENCE = "difference"
    RATIO = "ratio"


@dataclass(frozen=True)
class Effect:
    """The effect of an arm relative to its reference.

    Attributes
    ----------
    estimate, low, high : float
        Mean and confidence interval, as a difference or as a ratio, by ``scale``.
    level : float
        Confidence of the interval.
    p_value : float
        Two-sided, of no effect at all.
    n : int
        Pairs.
    spread : float
        Standard deviation of the paired differences (of logarithms, on the scale of ratios).
    """

    scale: Scale
    estimate: float
    low: float
    high: float
    level: float
    p_value: float
    n: int
    spread: float

    def at_level(self, level: float) -> Effect:
        """The same effect with an interval of another confidence."""
        center = self._inward(self.estimate)
        return _effect(self.scale, center, self.spread, self.n, level)

    def detectable(self, direction: Direction, by: float) -> float:
        """The true effect that a trial of this size and spread would find with the power ``POWER``."""
        bound = self._inward(_bound(direction, by, self.scale))
        if self.spread == 0.0:
            return self._outward(bound)
        df = self.n - 1
        cut = special.stdtrit(df, 0.5 + self.level / 2)
        shift = float(special.nctdtrinc(df, 1.0 - POWER, cut)) * self.spread / math.sqrt(self.n)
        return self._outward(bound + (shift if direction.upward else -shift))

    def margin(self, direction: Direction) -> float:
        """The margin at which the bound meets the interval's end, where the verdict turns.

        Up to it ``higher`` and ``lower`` hold, above it ``not lower`` and ``not higher``.
        """
        end = self.low if direction.upward else self.high
        shift = end if self.scale is Scale.DIFFERENCE else end - 1.0
        return shift if direction in (Direction.HIGHER, Direction.NOT_HIGHER) else -shift

    @property
    def certain(self) -> bool:
        """Whether replicates differ by less than a thousandth, so that the interval is meaningless."""
        size = 1.0 if self.scale is Scale.RATIO else abs(self.estimate)
        return self.spread <= 1e-3 * size

    def _inward(self, value: float) -> float:
        return value if self.scale is Scale.DIFFERENCE else math.log(value)

    def _outward(self, value: float) -> float:
        return value if self.scale is Scale.DIFFERENCE else math.exp(value)


@dataclass(frozen=True)
class Flip:
    """Where, along the range of an assumption, the verdict is another: between two values swept."""

    assumption: str
    between: tuple[float, float]
    verdicts: tuple[Verdict, Verdict]


def paired_effect(arm: ArrayLike, reference: ArrayLike, scale: Scale = Scale.DIFFERENCE) -> Effect:
    """The effect of an arm, from the values of a readout in every replicate of both.

    Raises
    ------
    NumericalError
        If there are fewer than two pairs, a value is not finite, or a ratio is asked of values that are not
        all positive.
    """
    y, base = np.asarray(arm, float), np.asarray(reference, float)
    if y.shape != base.shape or y.ndim != 1 or len(y) < 2:
        raise NumericalError(f"an effect needs at least two pairs; there are {y.shape} and {base.shape}")
    if not (np.isfinite(y).all() and np.isfinite(base).all()):
        raise NumericalError("a readout is not finite, so that its effect is not defined")
    if scale is Scale.RATIO:
        if not ((y > 0).all() and (base > 0).all()):
            raise NumericalError("a ratio needs readouts above 0; compare them by their difference")
        y, base = np.log(y), np.log(base)
    difference = y - base
    spread = 0.0 if np.ptp(difference) == 0 else float(difference.std(ddof=1))
    return _effect(scale, float(difference.mean()), spread, len(difference), LEVEL)


def _effect(scale: Scale, center: float, spread: float, n: int, level: float) -> Effect:
    error = spread / math.sqrt(n)
    half = float(special.stdtrit(n - 1, 0.5 + level / 2)) * error
    if error > 0:
        p_value = 2.0 * float(special.stdtr(n - 1, -abs(center) / error))
    else:
        p_value = 1.0 if center == 0.0 else 0.0
    back = math.exp if scale is Scale.RATIO else float
    return Effect(scale, back(center), back(center - half), back(center + half), level, p_value, n, spread)


def _bound(direction: Direction, by: float, scale: Scale) -> float:
    above = direction in (Direction.HIGHER, Direction.NOT_HIGHER)
    shift = by if above else -by
    return shift if scale is Scale.DIFFERENCE else 1.0 + shift


def judge(effect: Effect, direction: Direction, by: float = 0.0) -> Verdict:
    """The verdict on one criterion, by whether the whole interval lies on the side required by the claim.

    Parameters
    ----------
    effect : Effect
        Of the arm beside its reference.
    direction : Direction
        ``higher`` and ``lower`` claim a difference beyond ``by``, the smallest effect of interest; ``not
        lower`` and ``not higher`` claim that the arm is not worse by ``by`` or more.
    by : float
        0 or more, in units of the readout or, on the scale of ratios, as a share of the reference.
    """
    bound = _bound(direction, by, effect.scale)
    if direction.upward:
        inside, outside = effect.low > bound, effect.high <= bound
    else:
        inside, outside = effect.high < bound, effect.low >= bound
    return Verdict.SUPPORTS if inside else Verdict.AGAINST if outside else Verdict.OPEN


def combine(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict on a claim that needs every one of its criteria (an intersection-union test).

    No correction for several criteria is needed: all must hold, which is no more likely by chance than one.
    """
    found = set(verdicts)
    for verdict in (Verdict.AGAINST, Verdict.OPEN):
        if verdict in found:
            return verdict
    return Verdict.SUPPORTS


def flips(assumption: str, along: Mapping[float, Verdict]) -> list[Flip]:
    """Neighboring values of a swept assumption between which the verdict changes."""
    values = sorted(along)
    return [
        Flip(assumption, (low, high), (along[low], along[high]))
        for low, high in pairwise(values)
        if along[low] is not along[high]
    ]


def final(base: Verdict, swept: Iterable[Verdict]) -> Verdict:
    """The verdict after sweeping the assumptions.

    It depends on them if inside their ranges the claim is supported here and not supported there.
    A verdict that only becomes inconclusive has lost power, not changed its mind.
    """
    decided = {base, *swept} - {Verdict.OPEN}
    return Verdict.DEPENDS if len(decided) > 1 else base


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: of m p-values the k-th smallest times m - k + 1, made monotone."""
    m = len(p_values)
    adjusted, running = [0.0] * m, 0.0
    for k, index in enumerate(sorted(range(m), key=lambda i: (p_values[i], i))):
        running = max(running, min(1.0, (m - k) * p_values[index]))
        adjusted[index] = running
    return adjusted


def each_of(m: int) -> float:
    """The level of each of m intervals that hold all together at ``LEVEL`` (Bonferroni).

    Levels that step down as Holm's p-values do would not: of 20 effects that are far from none, all lie in
    their intervals in 89 % of trials only.
    """
    return 1.0 - (1.0 - LEVEL) / m
