"""Reading units: every accepted spelling, exactness, and what is refused."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exoabm.errors import InputError
from exoabm.parameters import CATALOG, QuantityError, factor, to_internal, units

AVOGADRO = 6.02214076e23

UNITS = ["um", "nm", "s", "h", "1/h", "um^2/s", "um^3/s", "1/mL", "pM", "mPa*s", "K", "EV"]


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("um", 1.0),
        ("nm", 1e-3),
        ("m", 1e6),
        ("um^2/s", 1.0),
        ("cm^2/s", 1e8),
        ("um^3/s", 1.0),
        ("mL", 1e12),
        ("1/mL", 1e-12),
        ("min", 60.0),
        ("day", 86400.0),
        ("1/h", 1 / 3600),
        ("mPa*s", 1.0),
        ("pM", AVOGADRO * 1e-12 / 1e15),
        ("nmol/L", AVOGADRO * 1e-9 / 1e15),
        ("K", 1.0),
        ("EV", 1.0),
        ("copies/EV", 1.0),
        ("1", 1.0),
    ],
)
def test_factor(unit, expected):
    assert factor(unit) == expected


@pytest.mark.parametrize(
    "text",
    ["60/h", "60 / h", "60 1/h", "60 EV/cell/h", "60 vesicles / cell / hour", "1/min", "+6e1 h^-1"],
)
def test_spellings_of_a_rate(text):
    assert to_internal(text, "1/h") == (60.0, 60 / 3600)


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("10 um", "um", 10.0),
        ("10 \N{MICRO SIGN}m", "um", 10.0),
        ("10 \N{GREEK SMALL LETTER MU}m", "um", 10.0),
        (".01 mm", "um", 10.0),
        ("6.57 \N{MICRO SIGN}m²/s", "um^2/s", 6.57),
        ("14 um**3 / s", "um^3/s", 14.0),
        ("1e6 EV/mL", "1/mL", 1e-6),
        ("1e6/mL", "1/mL", 1e-6),
        ("1e6 particles/mL", "1/mL", 1e-6),
        ("10 pM", "pM", 10 * AVOGADRO * 1e-27),
        ("0.6913 mPa·s", "mPa*s", 0.6913),
        ("0.6913 mPa s", "mPa*s", 0.6913),
        ("2 min", "h", 120.0),
        ("5 s⁻¹", "1/h", 5.0),
        ("inf", "h", math.inf),
        ("inf h", "h", math.inf),
        (math.inf, "h", math.inf),
        ("15", "EV", 15.0),
        (15, "EV", 15.0),
    ],
)
def test_reading(text, unit, expected):
    assert to_internal(text, unit)[1] == expected


def test_a_concentration_in_moles_and_in_vesicles_is_the_same():
    assert to_internal("6.02214076e9/mL", "pM") == to_internal(10, "pM")


@given(st.floats(1e-6, 1e12), st.sampled_from(UNITS))
def test_a_number_and_its_text_give_the_same_floats(number, unit):
    magnitude, internal = to_internal(number, unit)
    assert magnitude == number
    assert to_internal(f"{number!r} {unit}", unit) == (magnitude, internal)
    assert internal == pytest.approx(number * factor(unit), rel=1e-15)


@given(st.integers(1, 10**9))
def test_one_length_in_three_units_is_one_float(nanometers):
    values = {
        to_internal(f"{nanometers} nm", "um"),
        to_internal(f"{nanometers}e-3 um", "um"),
        to_internal(f"{nanometers}e-6 mm", "um"),
    }
    assert len(values) == 1


@pytest.mark.parametrize(
    ("value", "unit", "message"),
    [
        ("10 um", "1/h", "'10 um' has dimension length, not 1 / time"),
        ("3 um^2/s", "um^3/s", "'3 um^2/s' has dimension length^2 / time, not length^3 / time"),
        ("5 EV", "um", "'5 EV' is a count or a plain number, not length"),
        ("10 furlong", "um", "'furlong' is not a known unit"),
        ("10 um^99", "um", "'um^99' is not a unit"),
        ("10 um/", "um", "'um/' is not a unit"),
        ("10 (um)", "um", "'(um)' is not a unit"),
        ("10 um*um.__class__", "um", "'um*um.__class__' is not a unit"),
        ("ten um", "um", "'ten um' does not start with a number"),
        ("", "um", "'' does not start with a number"),
        ("nan um", "um", "'nan um' does not start with a number"),
        ("-inf", "um", "'-inf' does not start with a number"),
        (math.nan, "um", "nan is not a number that can be used"),
        (-math.inf, "um", "-inf is not a number that can be used"),
        ("1e999 um", "um", "'1e999 um' is too large"),
        ("1e308 km", "um", "'1e308 km' is too large"),
        (True, "um", "'True' is not a number"),
        (None, "um", "'None' is not a number"),
        ([1], "um", "'[1]' is not a number"),
    ],
)
def test_refusals(value, unit, message):
    with pytest.raises(QuantityError) as caught:
        to_internal(value, unit)
    assert str(caught.value) == message
    assert isinstance(caught.value, InputError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("value", [10**400, "9" * 5000, "1 " + "um*" * 5000 + "um"])
def test_hostile_numbers_end_at_once_with_a_short_word(value):
    with pytest.raises(QuantityError) as caught:
        to_internal(value, "um")
    assert len(str(caught.value)) < 200


def test_a_number_too_small_for_a_float_is_zero_at_once():
    assert to_internal("1e-99999999 um", "um") == (0.0, 0.0)


def test_usual_units_are_those_of_pint():
    """Value, dimension and its order, of every unit of the catalog and of quotients of all usual units."""
    names = ["1", *units._USUAL]
    texts = {row.unit for row in CATALOG.values()} | set(names)
    texts |= {f"{a} / {b}" for a in names for b in names[1:]} | {f"1/{a}/{b}^3" for a in names for b in names}
    read = {text: found for text in texts if (found := units._quotient(text)) is not None}
    assert {"mPa*s", "pM", "um^3/s", "1/mL", "pg/EV", "h / EV"} <= read.keys()
    assert {row.unit for row in CATALOG.values()} <= read.keys()
    for text, (value, dimension) in read.items():
        expected, powers = units._parse_any(text, text) if text != "1" else (1, {})
        assert (value, list(dimension.items())) == (expected, list(powers.items())), text


@pytest.mark.parametrize("text", ["um / mPa*s", "mPa*s^2", "m", "h s", "um^4", "1^2", "um^-1", "um**2"])
def test_units_that_are_left_to_pint(text):
    assert units._quotient(text) is None


def test_pint_waits_for_a_unit_that_is_not_usual():
    code = (
        "import sys, exoabm.parameters as p;"
        "p.to_internal('6 h', 'h'), p.to_internal('60 EV/cell/h', '1 / h');"
        "assert not {'pint', 'numpy'} & set(sys.modules);"
        "p.to_internal('1 week', 'h');"
        "assert 'pint' in sys.modules;"
        "assert not {'dask.array', 'distributed'} & set(sys.modules)"  # pint itself looks at dask.base
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
