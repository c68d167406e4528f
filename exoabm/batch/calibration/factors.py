"""Which numbers of a scenario are varied, over which range, and where their values come from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exoabm.batch.sweeps.designs import Axis, read_axis
from exoabm.errors import InputError, did_you_mean
from exoabm.scenario.cell_dynamics import idle
from exoabm.scenario.fields import quantities

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exoabm.parameters import Quantity
    from exoabm.scenario.loader import LoadedScenario
    from exoabm.scenario.schema import Scenario

DECADE = 10.0
"""A published range at least this wide is searched by its logarithm."""


@dataclass(frozen=True)
class Factor:
    """A number that is varied: its range, its value in the scenario, and where that comes from."""

    axis: Axis
    value: str
    source: str

    @property
    def key(self) -> str:
        """The dotted key."""
        return self.axis.key

    @property
    def assumed(self) -> bool:
        """Whether the value is an assumption: it says so, or nobody says where it comes from."""
        return not self.source or "assumed" in self.source

    @property
    def range(self) -> str:
        """The range as text."""
        return f"{self.axis.low:g} to {self.axis.text(self.axis.high)}"


def factors_of(loaded: LoadedScenario, vary: Sequence[str] = ()) -> tuple[Factor, ...]:
    """What to vary: ``key=lo:hi[:log]`` each, or every number in use whose parameter has a published range.

    Raises
    ------
    InputError
        If a key is no number of the scenario, an end of a range is not allowed, or nothing is left.
    """
    found = dict(quantities(loaded.scenario))
    axes = [read_axis(text, count=False) for text in vary] or _published(loaded.scenario)
    if not axes:
        raise InputError("no number of this scenario has a published range; say what to --vary")
    keys = [axis.key for axis in axes]
    for axis in axes:
        if keys.count(axis.key) > 1:
            raise InputError(f"--vary {axis.key}: stands twice")
        if axis.key not in found:
            raise InputError(f"--vary {axis.key}: no number of this scenario{did_you_mean(axis.key, found)}")
        if vary:
            for share in (0.0, 1.0):
                loaded.changed({axis.key: axis.at(share)})
    return tuple(Factor(axis, str(found[axis.key]), found[axis.key].source) for axis in axes)


def _published(scenario: Scenario) -> list[Axis]:
    unused = idle(scenario)
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
