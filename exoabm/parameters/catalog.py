"""Parameters with unit, default, ranges and source: their declaration, the catalog of them, and their values.

The catalog is read from one TOML file per theme.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self, get_args

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
        that cites it), ``recalled`` (not verified in the source), ``computed`` from the
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


ORGANS: Final = ("liver", "spleen", "lung", "kidney", "heart", "target", "rest")
"""Organs of the body beside its plasma; each has ``<organ>_volume``, ``_flow`` and ``_phagocytes``."""
COMPARATORS: Final = ("free_drug", "soluble_factor", "lnp")
"""Comparators of vesicles; ``<comparator>_<key>`` replaces the default of ``key`` in a vesicle table."""

_FOLDER = Path(__file__).parent
_THEMES = (
    *("domain", "clock", "medium", "vesicles", "secretion", "uptake", "cargo", "cells", "responses"),
    *("doses", "pharmacokinetics", "immunity", "manufacturing", "comparators"),
    *("readouts_and_variability", "communication_inference"),
)
_REQUIRED = {"symbol", "meaning", "unit", "allowed", "source"}
_OPTIONAL = {"default", "published", "how", "note"}


@dataclass(frozen=True, slots=True)
class Theme:
    """The parameters of one file.

    Attributes
    ----------
    title, about
        Heading of the theme, and a paragraph on its sources; the latter may be empty.
    parameters
        In the order of the file.
    """

    title: str
    about: str
    parameters: tuple[Parameter, ...]


def parse_theme(text: str, file: str) -> Theme:
    """Read one theme from TOML.

    Parameters
    ----------
    text
        ``title`` and perhaps ``about``, then a table per parameter, named after it, whose keys are the
        attributes of `Parameter`. ``default``, ``published`` and ``note`` may be missing, and so may
        ``how`` where ``source`` contains ``"assumed"``.
    file
        Name of the file in error messages.

    Raises
    ------
    ValueError
        With file, parameter and key, for a key that is unknown, missing or of the wrong type, and for values
        that `Parameter` refuses.
    """
    try:
        tables = tomllib.loads(text)
        title, about = tables.pop("title", None), tables.pop("about", "")
        if not (isinstance(title, str) and isinstance(about, str)):
            raise ValueError("title and about must be texts, and title must be given")
        return Theme(title, about, tuple(_parameter(name, table) for name, table in tables.items()))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def _parameter(name: str, table: object) -> Parameter:
    if not isinstance(table, dict):
        raise ValueError(f"{name} must be a table")
    for keys, problem in (
        (table.keys() - _REQUIRED - _OPTIONAL, "unknown"),
        (_REQUIRED - table.keys(), "missing"),
    ):
        if keys:
            raise ValueError(f"parameter {name}: {problem} {', '.join(sorted(keys))}")

    def read(key: str, form: str, accepted: bool) -> Any:
        if not accepted:
            raise ValueError(f"parameter {name}: {key} must be {form}, not {table[key]!r}")
        return table[key]

    def text(key: str) -> str:
        return str(read(key, "a text", isinstance(table[key], str)))

    def range_of(key: str) -> tuple[float, float]:
        pair = table[key]
        low, high = read(
            key, "two numbers", isinstance(pair, list) and len(pair) == 2 and all(map(_is_number, pair))
        )
        return float(low), float(high)

    source = table["source"]
    texts = isinstance(source, list) and all(isinstance(key, str) for key in source)
    return Parameter(
        name=name,
        symbol=text("symbol"),
        meaning=text("meaning"),
        unit=text("unit"),
        default=float(read("default", "a number", _is_number(table["default"])))
        if "default" in table
        else None,
        allowed=range_of("allowed"),
        published=range_of("published") if "published" in table else None,
        source=tuple(read("source", "a list of texts", texts)),
        how=text("how") if "how" in table else "assumed",  # type: ignore[arg-type]
        note=text("note") if "note" in table else "",
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def collect(themes: dict[str, Theme]) -> dict[str, Parameter]:
    """Return the parameters of all themes by name.

    Raises
    ------
    ValueError
        If two parameters have the same name or symbol.
    """
    found: dict[str, Parameter] = {}
    symbols: dict[str, str] = {}
    for parameter in (parameter for theme in themes.values() for parameter in theme.parameters):
        if parameter.name in found:
            raise ValueError(f"parameter {parameter.name} is declared twice")
        other = symbols.setdefault(parameter.symbol, parameter.name)
        if other != parameter.name:
            raise ValueError(
                f"parameters {other} and {parameter.name} have the same symbol {parameter.symbol}"
            )
        found[parameter.name] = parameter
    return found


THEMES: Final[dict[str, Theme]] = {
    theme: parse_theme((_FOLDER / f"{theme}.toml").read_text(encoding="utf-8"), f"{theme}.toml")
    for theme in _THEMES
}
"""The themes by the name of their file, without its ending."""

CATALOG: Final[dict[str, Parameter]] = collect(THEMES)
"""Every parameter by name, in order of theme."""


BOLTZMANN: Final = 0.01380649
"""The Boltzmann constant in µg µm² s⁻² K⁻¹ (exact in the SI)."""

_WATER_VISCOSITY: Final = float(CATALOG["viscosity"].default or 0.0)
_BODY_TEMPERATURE: Final = float(CATALOG["temperature"].default or 0.0)


def stokes_einstein(
    diameter: float,
    viscosity: float = _WATER_VISCOSITY,
    temperature: float = _BODY_TEMPERATURE,
) -> float:
    """Return the free diffusivity ``D = k_B T / (3 pi eta d)`` of a sphere, in µm²/s.

    Parameters
    ----------
    diameter
        d, in µm; positive.
    viscosity
        eta, in mPa s (µg µm⁻¹ s⁻¹); positive. The default is water at 37 °C.
    temperature
        T, in K.

    Notes
    -----
    Source: einstein1905. It holds for hard spheres far from walls.
    """
    return BOLTZMANN * temperature / (3.0 * math.pi * viscosity * diameter)


def mean_diffusivity(
    diameter: float,
    gsd: float,
    viscosity: float = _WATER_VISCOSITY,
    temperature: float = _BODY_TEMPERATURE,
) -> float:
    """Return the mean diffusivity ``D(d) exp(sigma^2 / 2)`` of log-normal diameters, in µm²/s.

    Parameters
    ----------
    diameter
        Median diameter d, in µm; positive.
    gsd
        Geometric standard deviation; ``sigma = ln gsd``. At least 1.
    viscosity, temperature
        As in `stokes_einstein`.

    Notes
    -----
    D goes as 1/d, which is log-normal with the same sigma.
    """
    sigma = math.log(gsd)
    return stokes_einstein(diameter, viscosity, temperature) * math.exp(0.5 * sigma**2)
