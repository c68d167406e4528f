"""Conversion of quantities to internal units: µm, s, µg, K and counts.

Arithmetic is exact (fractions) up to one final rounding, so the same text always gives the same
float, and ``"100 nm"``, ``"0.1 um"`` and a bare 0.1 read in um all give the same one. A mole is a
number of entities and so is a vesicle, a cell or a copy: 10 pM is 6.022e-3 vesicles per µm³.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from functools import cache, lru_cache
from numbers import Real
from typing import TYPE_CHECKING, Any, cast

from exoabm.errors import InputError

if TYPE_CHECKING:
    from pint import UnitRegistry

_DEFINITIONS = """
femto- = 1e-15 = f-
pico- = 1e-12 = p-
nano- = 1e-9 = n-
micro- = 1e-6 = u- = \N{MICRO SIGN}- = \N{GREEK SMALL LETTER MU}-
milli- = 1e-3 = m-
centi- = 1e-2 = c-
kilo- = 1e3 = k-
meter = [length] = m = metre
second = [time] = s = sec
gram = [mass] = g
kelvin = [temperature] = K
minute = 60 * second = min
hour = 3600 * second = h = hr
day = 86400 * second = d
week = 604800 * second
liter = 1e-3 * meter ** 3 = L = l = litre
pascal = 1e3 * gram / meter / second ** 2 = Pa
one = []
copy = one = _ = copies
vesicle = one = EV
cell = one
particle = one
mole = 602214076000000000000000 * one = mol
molar = mole / liter = M
"""

# One base unit of the definitions, in the program's own unit of that dimension.
_INTERNAL = {
    "[length]": Fraction(10**6),
    "[time]": Fraction(1),
    "[mass]": Fraction(10**6),
    "[temperature]": Fraction(1),
}

_USUAL: dict[str, tuple[int, int, str]] = {
    "um": (1, 1, "[length]"),
    "nm": (1, 1000, "[length]"),
    "mm": (1000, 1, "[length]"),
    "s": (1, 1, "[time]"),
    "min": (60, 1, "[time]"),
    "h": (3600, 1, "[time]"),
    "d": (86400, 1, "[time]"),
    "ug": (1, 1, "[mass]"),
    "pg": (1, 10**6, "[mass]"),
    "K": (1, 1, "[temperature]"),
    "mL": (10**12, 1, "[length]^3"),
    "pM": (602214076, 10**12, "[length]^-3"),
    "mPa*s": (1, 1, "[length]^-1 [mass] [time]^-1"),
    "EV": (1, 1, ""),
    "copies": (1, 1, ""),
    "cell": (1, 1, ""),
}
"""Units of scenarios as numerator and denominator in internal units, and their dimension: they and their
quotients need no pint, which takes 0.2 s to import."""

_MICRO = "\N{MICRO SIGN}\N{GREEK SMALL LETTER MU}"
_SUPERSCRIPT = "⁻¹²³"
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf\b")
# Only products and quotients of names with powers up to 9: nothing here can take long to expand.
_FACTOR = rf"[A-Za-z{_MICRO}]+(?:(?:\^|\*\*)-?[1-9]|⁻?[{_SUPERSCRIPT[1:]}])?"
_UNIT = re.compile(rf"(?:1|{_FACTOR})?(?:\s*[*/·]\s*{_FACTOR}|\s+{_FACTOR})*")
_LONGEST = 80


class QuantityError(InputError, ValueError):
    """A number, unit or text that is not the expected quantity."""


@cache
def _registry() -> UnitRegistry[Any]:
    # pint takes about 0.1 s to import, so it waits for the first unit. Its full list of a thousand
    # units takes as long again, and would read a slip such as "pH" as picohenry.
    from pint import UnitRegistry

    registry: UnitRegistry[Any] = UnitRegistry(None, non_int_type=Fraction)
    registry.load_definitions(_DEFINITIONS.strip().splitlines())
    return registry


@lru_cache(maxsize=1024)
def _parse(unit: str) -> tuple[Fraction, dict[str, int]]:
    """Return the exact internal value of one ``unit``, and its dimension as powers."""
    text = unit.strip()
    if len(text) > _LONGEST or not _UNIT.fullmatch(text):
        raise QuantityError(f"{_shorten(unit)!r} is not a unit")
    if text in ("", "1"):
        return Fraction(1), {}
    usual = _quotient(text)
    if usual is not None:
        return usual
    return _parse_any(unit, text)


def _quotient(text: str) -> tuple[Fraction, dict[str, int]] | None:
    """The value and dimension of a quotient a / b / c of `_USUAL` units and their powers; None of others."""
    value, powers = Fraction(1), dict[str, int]()
    for place, part in enumerate(text.split("/")):
        name, _, power = part.strip().partition("^")
        if place == 0 and name in ("", "1") and not power:
            continue
        if name not in _USUAL or power not in ("", "2", "3") or ("*" in name and (place or power)):
            return None
        above, below, dimension = _USUAL[name]
        exponent = int(power or 1) * (1 if place == 0 else -1)
        value *= Fraction(above, below) ** exponent
        for each in dimension.split():
            base, _, own = each.partition("^")
            powers[base] = powers.get(base, 0) + exponent * int(own or 1)
    return value, {base: powers[base] for base in sorted(powers) if powers[base]}


def _parse_any(unit: str, text: str) -> tuple[Fraction, dict[str, int]]:
    """As `_parse`, by pint."""
    registry = _registry()
    try:
        text = "1" + text if text.startswith("/") else text
        parsed = registry.parse_units(text.replace("·", "*"))
        exact, base = registry.get_base_units(parsed)
    except Exception as error:  # pint has no common base for what it raises here
        raise QuantityError(f"{unit.strip()!r} is not a known unit") from error
    dimension = {name: int(cast(int, power)) for name, power in sorted(base.dimensionality.items())}
    value = Fraction(cast(Fraction, exact))
    for name, power in dimension.items():
        value *= _INTERNAL[name] ** power
    return value, dimension


def _shorten(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _describe(dimension: dict[str, int]) -> str:
    """Return a dimension in words, e.g. ``length^2 / time``."""

    def product(sign: int) -> str:
        powers = {name.strip("[]"): sign * power for name, power in dimension.items()}
        return " ".join(
            name if power == 1 else f"{name}^{power}" for name, power in powers.items() if power > 0
        )

    above, below = product(1), product(-1)
    return f"{above or '1'} / {below}" if below else above or "1"


def factor(unit: str) -> float:
    """Return the internal value (µm, s, µg, K, counts) of one ``unit``.

    Raises
    ------
    QuantityError
        If ``unit`` is not a known unit.

    Examples
    --------
    >>> factor("mm"), factor("h"), factor("1/mL")
    (1000.0, 3600.0, 1e-12)
    """
    return float(_parse(unit)[0])


def internal_unit(unit: str) -> str:
    """The unit in which numbers of ``unit`` are kept inside, such as ``um^3/s``; "1" for pure numbers.

    Raises
    ------
    QuantityError
        If ``unit`` is not a known unit.

    Examples
    --------
    >>> internal_unit("1 / h"), internal_unit("um^2 / min"), internal_unit("EV")
    ('1/s', 'um^2/s', '1')
    """
    own = {"[length]": "um", "[time]": "s", "[mass]": "ug", "[temperature]": "K"}
    powers = {own[name]: power for name, power in _parse(unit)[1].items()}
    above, below = (
        [n if abs(p) == 1 else f"{n}^{abs(p)}" for n, p in powers.items() if p * sign > 0] for sign in (1, -1)
    )
    return "/".join([" ".join(above) or "1", *below])


def to_internal(value: object, unit: str) -> tuple[float, float]:
    """Return ``value`` as a magnitude in ``unit``, and in internal units.

    Both are the exact value rounded once: ``"2 min"`` in h is 0.0333... h, and 120 s all the same.

    Parameters
    ----------
    value
        A bare number, read in ``unit``; or a text such as ``"60 EV/cell/h"``, ``"6 h"``, ``"inf"``
        or ``"5e9/mL"``; a text without a unit is a bare number.
    unit
        The unit of the magnitude, which determines the expected dimension.

    Raises
    ------
    QuantityError
        If ``value`` is not a number, is not finite other than plus infinity, has an unknown unit
        or another dimension than ``unit``.
    """
    scale, wanted = _parse(unit)
    if isinstance(value, bool) or not isinstance(value, Real | str):
        raise QuantityError(f"{_shorten(value)!r} is not a number")
    shown = _shorten(value)
    number: Real | str = value
    given = unit
    if isinstance(value, str):
        found = _NUMBER.match(text := value.strip())
        if not found:
            raise QuantityError(f"{shown!r} does not start with a number")
        number, given = found.group(), text[found.end() :].strip() or unit
    ratio, dimension = _parse(given)
    if dimension != wanted:
        has = f"has dimension {_describe(dimension)}" if dimension else "is a count or a plain number"
        needed = _describe(wanted) if wanted else "a count or a plain number"
        raise QuantityError(f"{shown!r} {has}, not {needed}")
    try:
        decimal = float(number) + 0.0  # no negative zero
        if math.isnan(decimal) or decimal == -math.inf:
            raise QuantityError(f"{shown} is not a number that can be used")
        if math.isinf(decimal):
            if number in ("inf", math.inf):
                return math.inf, math.inf
            raise OverflowError
        # repr gives the shortest decimal of the float, which is the number as written.
        exact = Fraction(repr(decimal)) * ratio
        return float(exact / scale), float(exact)
    except OverflowError:
        raise QuantityError(f"{shown!r} is too large") from None


def percent_text(share: float) -> str:
    """A relative error in percent, with one or two digits."""
    return f"{float(f'{100 * share:.1g}') if share < 0.1 else float(f'{100 * share:.2g}'):g} %"


def duration_text(seconds: float) -> str:
    """A time in h, min or s, rounded down to two digits."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{_down(seconds / size):g} {unit}"
    return f"{_down(seconds):g} s"


def _down(value: float) -> float:
    scale = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.floor(value / scale + 1e-9) * scale
