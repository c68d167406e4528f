"""Designs: the points of parameter space in a batch, from ``--vary`` and ``--design``.

    key=a,b,c         these values
    key=lo:hi:n       n values from lo to hi; with :log, evenly spaced in their logarithm

``grid`` takes every combination. ``lhs`` (Latin hypercube) and ``sobol`` place n points in the box that the
ranges span, each range cut into n equal parts with one point in each part (lhs), or by a scrambled Sobol
sequence, which fills the box more evenly. A list takes part in them as equal shares of a range.
"""

from __future__ import annotations

import itertools
import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from exoabm.errors import InputError
from exoabm.scenario.loader import PATH_KEY
from exoabm.scenario.overrides import check_no_option

Design = Literal["grid", "lhs", "sobol"]
Point = dict[str, str]
MOST_POINTS = 1_000_000

_BOUND = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*")


@dataclass(frozen=True)
class Axis:
    """One key that varies, over a list of values or a range.

    Attributes
    ----------
    key : str
    values : tuple of str
        The values of a list; empty for a range.
    low, high : float
        Of a range, in ``unit``.
    unit : str
        As it was written; empty if it was not.
    n : int
        Number of values.
    log : bool
    """

    key: str
    values: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    unit: str = ""
    n: int = 0
    log: bool = False

    def at(self, share: float) -> str:
        """The value at a share from 0 to 1 of the axis."""
        if self.values:
            return self.values[min(int(share * self.n), self.n - 1)]
        if share in (0.0, 1.0):
            value = self.high if share else self.low
        elif self.log:
            value = math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + share * (self.high - self.low)
        return self.text(value)

    def text(self, value: float) -> str:
        """A number of this axis with its unit, to twelve figures."""
        return f"{value:.12g} {self.unit}".strip()

    @property
    def levels(self) -> tuple[str, ...]:
        """All values, in order."""
        return self.values or tuple(self.at(i / max(self.n - 1, 1)) for i in range(self.n))


def read_axis(text: str, *, count: bool = True) -> Axis:
    """Read a value of ``--vary``.

    Parameters
    ----------
    text : str
        ``key=a,b,c``, ``key=lo:hi:n`` or ``key=lo:hi:n:log``.
    count : bool
        Whether a range contains the number of values; otherwise it is ``key=lo:hi[:log]``.

    Raises
    ------
    InputError
        If it is invalid.
    """
    key, equals, rest = text.partition("=")
    key, form = key.strip(), "KEY=LO:HI:N[:log] or KEY=A,B,C" if count else "KEY=LO:HI[:log]"
    if not (equals and key and rest.strip()):
        raise InputError(f"--vary {text!r}: write {form}")
    check_no_option(key, "--vary")
    values = _split(rest)
    parts = [part.strip() for part in rest.split(":")]
    bounds = [_BOUND.fullmatch(part) for part in parts[:2]]
    if len(values) > 1 or len(parts) < 2 or not all(bounds):
        if not count:
            raise InputError(f"--vary {text!r}: write {form}")
        if len(set(values)) < len(values):
            raise InputError(f"--vary {text!r}: a value is given twice")
        if key == PATH_KEY:
            values = [str(Path(value).resolve()) for value in values]
        return Axis(key, tuple(values), n=len(values))
    return _range(text, key, parts, form, count)


def _range(text: str, key: str, parts: list[str], form: str, count: bool) -> Axis:
    log = parts[-1] == "log"
    rest = parts[2 : len(parts) - log]
    if len(rest) != count or (count and not rest[0].isdecimal()):
        raise InputError(f"--vary {text!r}: write {form}")
    (low, low_unit), (high, unit) = (_bound(part) for part in parts[:2])
    if low_unit and unit and low_unit != unit:
        raise InputError(f"--vary {text!r}: both ends of a range must have the same unit")
    n = int(rest[0]) if count else 0
    if not low < high or (log and low <= 0) or (count and not 2 <= n <= MOST_POINTS):
        raise InputError(
            f"--vary {text!r}: a range must increase, have at least 2 values, and be above 0 if it is :log"
        )
    return Axis(key, low=low, high=high, unit=unit or low_unit, n=n, log=log)


def _bound(text: str) -> tuple[float, str]:
    found = _BOUND.fullmatch(text)
    assert found is not None
    return float(found.group(1)), found.group(2)


def _split(text: str) -> list[str]:
    """Split at commas outside brackets and quotation marks."""
    parts, depth, quote, start = [], 0, "", 0
    for i, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "[{(":
            depth += 1
        elif character in "]})":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:i].strip())
            start = i + 1
    parts.append(text[start:].strip())
    if not all(parts):
        raise InputError(f"--vary: {text!r} has an empty value")
    return parts


def points(axes: Sequence[Axis], design: str = "grid", seed: int = 0) -> list[Point]:
    """The points of a design, as dotted keys and values.

    Raises
    ------
    InputError
        If a key is given twice, the design is unknown, or its number of points is not clear.
    """
    if design not in get_args(Design):
        raise InputError(f"--design {design}: one of {', '.join(get_args(Design))}")
    keys = [axis.key for axis in axes]
    if not axes:
        return [{}]
    if len(set(keys)) < len(keys):
        raise InputError("--vary: a key is given twice; give all of its values in one --vary")
    if design == "grid":
        if math.prod(axis.n for axis in axes) > MOST_POINTS:
            raise InputError(f"--design grid: more than {MOST_POINTS:,} points; use lhs or sobol")
        return [
            dict(zip(keys, values, strict=True)) for values in itertools.product(*(a.levels for a in axes))
        ]
    counts = {axis.n for axis in axes if not axis.values}
    if len(counts) != 1:
        raise InputError(
            f"--design {design}: every range must have the same number of points, key=LO:HI:N "
            f"(they give {', '.join(map(str, sorted(counts))) or 'none'})"
        )
    shares = (_latin if design == "lhs" else _sobol)(counts.pop(), len(axes), seed)
    return [
        {axis.key: axis.at(share) for axis, share in zip(axes, row, strict=True)} for row in shares.tolist()
    ]


def _latin(n: int, axes: int, seed: int) -> np.ndarray:
    random = np.random.Generator(np.random.Philox(seed))
    cuts = np.stack([random.permutation(n) for _ in range(axes)], axis=1)
    return np.asarray((cuts + random.random((n, axes))) / n)


def _sobol(n: int, axes: int, seed: int) -> np.ndarray:
    from scipy.stats import qmc

    with warnings.catch_warnings():  # a number that is no power of two is less even, not wrong
        warnings.simplefilter("ignore", UserWarning)
        sequence = qmc.Sobol(axes, scramble=True, rng=np.random.Generator(np.random.Philox(seed)))
        return np.asarray(sequence.random(n))
