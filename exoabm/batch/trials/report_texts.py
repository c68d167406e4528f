"""Texts in the report of a trial: effects, margins, assumptions and units."""

from __future__ import annotations

from html import escape
from math import isclose
from typing import TYPE_CHECKING, Any

from exoabm.batch.trials.design import text_of
from exoabm.batch.trials.verdict import Direction, Effect, Scale
from exoabm.scenario.schema_base import of_comparators
from exoabm.text_formatting import signed, three_figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exoabm.batch.trials.trial import Comparison, Point, Sweep, Trial
    from exoabm.parameters.catalog import Quantity
    from exoabm.scenario.schema_therapy import ReadoutTable


def percent(share: float) -> str:
    """A share in percent."""
    return f"{signed(100 * share)}\N{NO-BREAK SPACE}%"


def spelled(unit: str) -> str:
    """A unit as people write it: nothing for 1, /h for 1/h, µ for u, small raised figures."""
    for old, new in (("ug", "µg"), ("um", "µm"), ("^2", "²"), ("^3", "³")):
        unit = unit.replace(old, new)
    return "" if unit == "1" else unit.removeprefix("1")


def readout_of(trial: Trial, name: str) -> ReadoutTable:
    """A readout by its name."""
    return next(readout for readout in trial.table.readout if readout.name == name)


def title_of(readout: ReadoutTable) -> str:
    """Title of a readout."""
    return readout.title or readout.name


def arm_title(trial: Trial, name: str) -> str:
    """Title of an arm."""
    return escape(next(arm.title or arm.name for arm in trial.scenario.scenario.arm if arm.name == name))


def shown(effect: Effect, unit: str) -> str:
    """An effect with its interval, or that the replicates do not differ."""
    ratio = effect.scale is Scale.RATIO
    tail = f" {escape(unit)}" if unit and not ratio else ""
    lead = f"ratio {three_figures(effect.estimate)}" if ratio else f"{_signed(effect.estimate)}"
    if effect.spread == 0.0:
        return f"{lead}{tail}, the same in every replicate"
    if effect.certain:
        return f"{lead}{tail}, within 0.1\N{NO-BREAK SPACE}% the same in every replicate"
    return f"{lead} ({three_figures(effect.low)} to {three_figures(effect.high)}){tail}"


def _signed(value: float) -> str:
    return f"+{three_figures(value)}" if value > 0 else three_figures(value)


def claimed(trial: Trial, comparison: Comparison) -> str:
    """Text of a criterion."""
    criterion, by = comparison.criterion, float(comparison.criterion.by)
    return f"{criterion.direction} by more than {_size(trial, comparison, by)}" if by else criterion.direction


def margins_held(trial: Trial, comparison: Comparison, effect: Effect) -> str:
    """For which margins the criterion would hold."""
    direction = Direction(comparison.criterion.direction)
    margin = effect.margin(direction)
    size = _size(trial, comparison, margin)
    if direction in (Direction.HIGHER, Direction.LOWER):
        return f"below {size}" if margin > 0 else "none"
    return f"above {size}" if margin > 0 else "any"


def found_with(trial: Trial, comparison: Comparison, effect: Effect) -> str:
    """The true effect that the trial would find."""
    size = effect.detectable(Direction(comparison.criterion.direction), float(comparison.criterion.by))
    if effect.scale is Scale.RATIO:
        return f"ratio {three_figures(size)}"
    return f"{_signed(size)} {escape(readout_of(trial, comparison.criterion.readout).unit)}"


def _size(trial: Trial, comparison: Comparison, margin: float) -> str:
    """A margin in words: a share, or a number in the unit of the readout."""
    if comparison.criterion.scale == "ratio":
        return percent(margin)
    unit = readout_of(trial, comparison.criterion.readout).unit
    return f"{signed(margin)} {escape(unit)}" if unit else signed(margin)


def assumption(each: Sweep) -> str:
    """Title of an assumption."""
    return each.table.title or each.table.name


def unit_of(each: Sweep) -> str:
    """The unit of an assumption, behind a number."""
    unit = spelled(each.base.parameter.unit)
    return f" {unit}" if unit else ""


def with_unit(each: Sweep, value: float) -> str:
    """A value of an assumption with its unit."""
    return f"{signed(value)}{escape(unit_of(each))}"


def interval_text(each: Sweep, points: Sequence[Point]) -> str:
    """From the first to the last of neighboring values."""
    low, high = points[0].value, points[-1].value
    return with_unit(each, low) if low == high else f"{signed(low)} to {with_unit(each, high)}"


def range_of(trial: Trial, each: Sweep) -> str:
    """The range of an assumption, its source, and the swept values."""
    parameter = each.base.parameter
    if parameter.published is None or set(each.table.keys) & of_comparators(trial.scenario.scenario).keys():
        return "; no published range, the values are stated by the scenario"
    low, high = parameter.published
    kind = "plausible" if parameter.how == "assumed" else "published"
    text = f"; {kind} range {signed(low)} to {signed(high)}{unit_of(each)}"
    first, last = each.points[0].value, each.points[-1].value
    if isclose(first, low) and isclose(last, high):
        return text
    return f"{text}, swept from {signed(first)} to {with_unit(each, last)}"


def setting(value: Any, unit: str) -> str:
    """A value that an arm sets, in the unit of its parameter where it is a bare number."""
    if isinstance(value, bool | list):
        return text_of(value)
    if isinstance(value, int | float):
        value = f"{signed(float(value))} {spelled(unit)}".rstrip() if value else "0"
    return str(value).replace(" ", "\N{NO-BREAK SPACE}")


def source_text(quantity: Quantity) -> str:
    """Source of a value."""
    return escape("; ".join(word for word in (quantity.source, quantity.note) if word))


def scale_text(scale: Scale, unit: str) -> str:
    """Name of an effect, with its unit."""
    return f"difference, {unit}" if scale is Scale.DIFFERENCE and unit else scale.value
