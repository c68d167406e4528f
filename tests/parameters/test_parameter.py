"""Parameter checks itself; Quantity reads, remembers and refuses."""

from __future__ import annotations

import copy
import math
import pickle
from dataclasses import replace

import pytest

from exoabm.parameters import CATALOG, Parameter, Quantity, QuantityError

RATE = CATALOG["release_rate"]
HALF_LIFE = CATALOG["half_life"]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "release rate"},
        {"symbol": ""},
        {"meaning": "no sentence"},
        {"default": 2e6},
        {"default": math.nan},
        {"default": math.inf, "allowed": (0.0, math.inf)},
        {"allowed": (1.0, 1.0)},
        {"allowed": (-math.inf, 1e6)},
        {"published": (0.2, 2e6)},
        {"published": (2.0, 1.0)},
        {"source": ()},
        {"source": ("assumed",)},
        {"how": "guessed"},
        {"how": "assumed"},
    ],
)
def test_a_faulty_parameter_is_refused(change):
    with pytest.raises(ValueError, match="parameter release"):
        replace(RATE, **change)


def test_a_value_computes_as_a_float_in_internal_units():
    rate = Quantity.read("60 EV/cell/h", RATE)
    assert rate == 60 / 3600
    assert rate.magnitude == 60.0
    assert rate.given == "60 EV/cell/h"
    assert type(rate * 2) is float
    assert f"{rate:.4f}" == "0.0167"


@pytest.mark.parametrize(
    ("value", "text"),
    [(60, "60 1/h"), ("1 / min", "60 1/h"), (0.1, "0.1 1/h"), (123456.789, "123456.789 1/h")],
)
def test_text_of_a_value(value, text):
    assert str(Quantity.read(value, RATE)) == f"{Quantity.read(value, RATE)}" == text


def test_text_of_a_bare_number():
    phi = Quantity.read(0.02, CATALOG["delivery_probability"])
    assert str(phi) == "0.02"
    assert repr(phi) == "<delivery_probability 0.02>"


def test_a_table_carries_source_and_note():
    rate = Quantity.read({"value": "10 / h", "source": "own data", "note": "n = 3"}, RATE)
    assert (rate.magnitude, rate.source, rate.note) == (10.0, "own data", "n = 3")
    again = Quantity.read(rate, RATE)
    assert (again, again.given, again.source, again.note) == (rate, "10 / h", "own data", "n = 3")


def test_a_default_carries_its_source():
    rate = Quantity.default(RATE)
    assert rate.magnitude == RATE.default
    assert rate.source == "chiu2016, wang2017, auber2022"
    with pytest.raises(QuantityError, match=r"diffusivity has no default; give a value in um\^2/s"):
        Quantity.default(CATALOG["diffusivity"])


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda q: pickle.loads(pickle.dumps(q))])
@pytest.mark.parametrize("value", ["7 min", math.inf, 0.1])
def test_copies_and_pickles_are_the_same_to_the_bit(clone, value):
    original = Quantity.read({"value": value, "note": "kept"}, HALF_LIFE)
    twin = clone(original)
    assert type(twin) is Quantity
    for name in ("parameter", "given", "magnitude", "source", "note"):
        assert getattr(twin, name) == getattr(original, name)
    assert float(twin).hex() == float(original).hex()


def test_infinity_only_where_it_means_something():
    assert Quantity.read("inf", HALF_LIFE) == math.inf
    assert str(Quantity.read(math.inf, HALF_LIFE)) == "inf h"
    with pytest.raises(QuantityError, match=r"^inf 1/h is outside the allowed 0 to 1e\+06 1/h$"):
        Quantity.read("inf", RATE)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-5, "-5 1/h is outside the allowed 0 to 1e+06 1/h"),
        ("1e9/s", "3.6e+12 1/h is outside the allowed 0 to 1e+06 1/h"),
        (
            "10 um",
            "'10 um' has dimension length, not 1 / time; expected 1/h, allowed 0 to 1e+06 1/h",
        ),
        (True, "'True' is not a number; expected 1/h, allowed 0 to 1e+06 1/h"),
        ({"source": "x"}, "a table for a value has the keys value, source and note"),
        ({"value": 1, "sorce": "x"}, "a table for a value has the keys value, source and note"),
        ({"value": 1, "note": 2}, "source and note must be texts"),
        (
            {"value": {"value": 1}},
            "\"{'value': 1}\" is not a number; expected 1/h, allowed 0 to 1e+06 1/h",
        ),
        (Quantity.default(HALF_LIFE), "<half_life 6 h> is not a value of release_rate"),
    ],
)
def test_refusals_say_what_was_expected(value, message):
    with pytest.raises(QuantityError) as caught:
        Quantity.read(value, RATE)
    assert str(caught.value) == message


def test_a_value_outside_the_published_range_is_cautioned():
    assert Quantity.default(RATE).caution == ""
    caution = Quantity.read("1 / s", RATE).caution
    assert caution == "3600 1/h is outside the published 0.2 to 2700 1/h"
    caution = Quantity.read("100 h", HALF_LIFE).caution
    assert caution == "100 h is outside the plausible (assumed) 2 to 48 h"
    assert Quantity.read("inf", HALF_LIFE).caution == ""  # never cleared: switched off, not estimated
    assert Quantity.read(0, RATE).caution == ""
    assert Quantity.read(1, CATALOG["voxel"]).caution == ""


def test_limits_as_text():
    parameter = Parameter(
        name="x",
        symbol="x",
        meaning="A test.",
        unit="1",
        default=None,
        allowed=(0.0, 1.0),
        published=None,
        source=("assumed",),
        how="assumed",
    )
    assert parameter.limits == "0 to 1"
