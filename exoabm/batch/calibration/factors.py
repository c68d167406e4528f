"""Varied numbers of a scenario, with range and source."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exoabm.batch.sweeps.sweep_points import Axis, read_axis
from exoabm.errors import InputError, did_you_mean
from exoabm.scenario.schema_base import quantities
from exoabm.scenario.unused_keys import unused_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exoabm.parameters import Quantity
    from exoabm.scenario.loader import LoadedScenario
    from exoabm.scenario.schema import Scenario


DECADE = 10.0
"""A published range at least this wide is searched by its logarithm."""


@dataclass(frozen=True)
class Factor:
    """A varied number: its range, and its value in the scenario with source."""

    axis: Axis
    value: str
    source: str

    @property
    def key(self) -> str:
        """The dotted key."""
        return self.axis.key

    @property
    def assumed(self) -> bool:
        """Whether the value is an assumption, by its source or for lack of one."""
        return not self.source or "assumed" in self.source

    @property
    def range(self) -> str:
        """The range as text."""
        return f"{self.axis.low:g} to {self.axis.text(self.axis.high)}"


def factors_of(loaded: LoadedScenario, vary: Sequence[str] = ()) -> tuple[Factor, ...]:
    """Factors to vary: each ``key=lo:hi[:log]``, or every parameter in use with a published range.

    Raises
    ------
    InputError
        If a key is no number of the scenario, an end of a range is not allowed, or nothing is left.
    """
    found = dict(quantities(loaded.scenario))
    axes = [read_axis(text, count=False) for text in vary] or _published(loaded.scenario)
    if not axes:
        raise InputError("no parameter of this scenario has a published range; select keys with --vary")
    keys = [axis.key for axis in axes]
    for axis in axes:
        if keys.count(axis.key) > 1:
            raise InputError(f"--vary {axis.key}: given twice")
        if axis.key not in found:
            raise InputError(
                f"--vary {axis.key}: not a parameter of this scenario{did_you_mean(axis.key, found)}"
            )
        if vary:
            for share in (0.0, 1.0):
                loaded.changed({axis.key: axis.at(share)})
    return tuple(Factor(axis, str(found[axis.key]), found[axis.key].source) for axis in axes)


def _published(scenario: Scenario) -> list[Axis]:
    unused = unused_keys(scenario)
    return [
        _published_axis(key, quantity)
        for key, quantity in quantities(scenario)
        if quantity.parameter.published is not None
        and quantity.magnitude not in (0.0, math.inf)  # a mechanism that is switched off stays off
        and key not in unused
    ]


def _published_axis(key: str, quantity: Quantity) -> Axis:
    parameter = quantity.parameter
    assert parameter.published is not None
    low, high = parameter.published
    unit = "" if parameter.unit == "1" else parameter.unit
    return Axis(key, low=low, high=high, unit=unit, log=low > 0 and high >= DECADE * low)
