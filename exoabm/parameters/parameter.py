"""Parameters, with unit, default, ranges and source, and their values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from exoabm.parameters.units import QuantityError, to_internal

How = Literal["read", "secondary", "recalled", "computed", "assumed"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """Declaration of a parameter.

    Attributes
    ----------
    name, symbol, meaning
        The key in a scenario, the symbol in equations, and a sentence.
    unit
        The unit in which bare numbers are read and values are shown; ``"1"`` if there is none.
    default
        In ``unit``; None where the scenario must give a value or the model derives one.
    allowed
        Hard limits in ``unit``, both included; outside is an error. An upper limit of infinity
        means that infinity is allowed; ``meaning`` explains it.
    published
        The range found in the literature, in ``unit``; outside is a warning. For an assumed
        default it is the range in which the assumption is held to be plausible.
    source
        Keys of ``references.bib``; ``"assumed"`` is a modeling assumption.
    how
        How the default was obtained: ``read`` in the source, ``secondary`` (read in another work
        that cites it), ``recalled`` (to be checked before publishing), ``computed`` from the
        source, or ``assumed``.
    note
        Limitations of the value.
    """

    name: str
    symbol: str
    meaning: str
    unit: str
    default: float | None
    allowed: tuple[float, float]
    published: tuple[float, float] | None
    source: tuple[str, ...]
    how: How
    note: str = ""

    def __post_init__(self) -> None:
        def require(true: bool, what: str) -> None:
            if not true:
                raise ValueError(f"parameter {self.name}: {what}")

        low, high = self.allowed
        require(self.name.isidentifier() and self.name.islower(), "the name must be an identifier")
        require(bool(self.symbol and self.unit), "symbol and unit must not be empty")
        require(self.meaning.endswith("."), "the meaning must be a sentence")
        require(math.isfinite(low) and low < high, "the allowed range must rise from a number")
        if self.published is not None:
            require(low <= self.published[0] < self.published[1] <= high, "bad published range")
        if self.default is not None:
            require(math.isfinite(self.default), "the default must be finite")
            require(low <= self.default <= high, "the default must lie in the allowed range")
        require(bool(self.source), "a source is needed; an assumption is one")
        require(self.how in get_args(How), f"how must be one of {', '.join(get_args(How))}")
        require(
            (self.how == "assumed") == ("assumed" in self.source), "how is assumed exactly where a source is"
        )

    @property
    def limits(self) -> str:
        """The allowed range as text, e.g. ``0 to 1e+06 1/h``."""
        return _range(self.allowed, self.unit)


class Quantity(float):
    """A parameter's value: a float in internal units, with its parameter, unit and source.

    It computes as a plain float, and results of arithmetic are plain floats.

    Parameters
    ----------
    parameter
        The parameter of which it is a value.
    given
        A number in ``parameter.unit``, or a text such as ``"60 / h"`` or ``"inf"``.
    source, note
        Source and limitations of the value; empty by default.

    Attributes
    ----------
    parameter, given, source, note
        As above.
    magnitude
        The value in ``parameter.unit``.

    Raises
    ------
    QuantityError
        (an `InputError` and a `ValueError`) if ``given`` is not a number, is infinite where
        infinity is not allowed, has the wrong dimension, or is outside the allowed range.
    """

    __slots__ = ("given", "magnitude", "note", "parameter", "source")

    parameter: Parameter
    given: float | str
    magnitude: float
    source: str
    note: str

    def __new__(cls, parameter: Parameter, given: object, source: str = "", note: str = "") -> Self:
        """Check ``given``, and make the float of it in internal units."""
        if isinstance(given, Quantity):
            if given.parameter != parameter:
                raise QuantityError(f"{given!r} is not a value of {parameter.name}")
            given = given.given
        try:
            magnitude, internal = to_internal(given, parameter.unit)
        except QuantityError as error:
            unit = "a bare number" if parameter.unit == "1" else parameter.unit
            raise QuantityError(f"{error}; expected {unit}, allowed {parameter.limits}") from None
        low, high = parameter.allowed
        if not low <= magnitude <= high:
            value = _with_unit(magnitude, parameter.unit)
            raise QuantityError(f"{value} is outside the allowed {parameter.limits}")
        self = super().__new__(cls, internal)
        self.parameter = parameter
        self.given = given if isinstance(given, str) else magnitude
        self.magnitude = magnitude
        self.source = source
        self.note = note
        return self

    @classmethod
    def read(cls, value: object, parameter: Parameter) -> Self:
        """Read a value of ``parameter`` as a scenario file gives it.

        ``value`` is a bare number, a text, a mapping with the key ``value`` (one of these) and
        perhaps ``source`` and ``note``, or already a value of ``parameter``.

        Raises
        ------
        QuantityError
            As the class does, and for a mapping of another form.
        """
        if isinstance(value, Quantity):
            value = {"value": value, "source": value.source, "note": value.note}
        if not isinstance(value, Mapping):
            return cls(parameter, value)
        words = {key: word for key, word in value.items() if key != "value"}
        if "value" not in value or not words.keys() <= {"source", "note"}:
            raise QuantityError("a table for a value has the keys value, source and note")
        if not all(isinstance(word, str) for word in words.values()):
            raise QuantityError("source and note must be texts")
        return cls(parameter, value["value"], **words)

    @classmethod
    def default(cls, parameter: Parameter) -> Self:
        """Return the default of ``parameter`` with its source.

        Raises
        ------
        QuantityError
            If ``parameter`` has no default.
        """
        if parameter.default is None:
            raise QuantityError(f"{parameter.name} has no default; give a value in {parameter.unit}")
        return cls(parameter, parameter.default, ", ".join(parameter.source), parameter.note)

    @property
    def caution(self) -> str:
        """A sentence if the value lies outside the published range, else empty.

        Zero and infinity switch a mechanism off and are exempt.
        """
        published = self.parameter.published
        if published is None or self.magnitude in (0.0, math.inf):
            return ""
        if published[0] <= self.magnitude <= published[1]:
            return ""
        kind = "plausible (assumed)" if self.parameter.how == "assumed" else "published"
        return f"{self} is outside the {kind} {_range(published, self.parameter.unit)}"

    def __str__(self) -> str:
        return _with_unit(self.magnitude, self.parameter.unit)

    def __repr__(self) -> str:
        return f"<{self.parameter.name} {self}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.parameter, self.given, self.source, self.note)


def _number(value: float) -> str:
    return f"{value:.6g}" if float(f"{value:.6g}") == value else repr(value)


def _with_unit(value: float, unit: str) -> str:
    return _number(value) if unit == "1" else f"{_number(value)} {unit}"


def _range(limits: tuple[float, float], unit: str) -> str:
    return f"{_number(limits[0])} to {_with_unit(limits[1], unit)}"
