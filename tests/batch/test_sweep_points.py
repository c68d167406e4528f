"""Designs: what --vary and --design mean."""

from __future__ import annotations

import numpy as np
import pytest

from exoabm.batch.sweeps.sweep_points import Axis, points, read_axis
from exoabm.errors import InputError
from exoabm.parameters.units import to_internal


def shares(axes: list[Axis], found: list[dict[str, str]]) -> np.ndarray:
    """Points in units of the box, shape (points, axes)."""
    columns = []
    for axis in axes:
        values = np.array([float(point[axis.key].split()[0]) for point in found])
        low, high = np.log([axis.low, axis.high]) if axis.log else (axis.low, axis.high)
        columns.append(((np.log(values) if axis.log else values) - low) / (high - low))
    return np.stack(columns, axis=1)


def test_a_list_keeps_its_values_as_they_are() -> None:
    assert read_axis("a.b=10 / h, 60,inf").levels == ("10 / h", "60", "inf")
    assert read_axis("domain.size=[200, 200],[400, 400]").levels == ("[200, 200]", "[400, 400]")
    assert read_axis("transport.engine=vesicles").levels == ("vesicles",)
    assert read_axis("a='x,y',z").levels == ("'x,y'", "z")


def test_a_range_has_its_ends_and_equal_steps() -> None:
    assert read_axis("a=0:1:5").levels == ("0", "0.25", "0.5", "0.75", "1")
    assert read_axis("a=1:3 um:3").levels == read_axis("a=1 um:3 um:3").levels == ("1 um", "2 um", "3 um")
    levels = [to_internal(text, "1/h")[0] for text in read_axis("a=1e-2:1e2 1/h:5:log").levels]
    assert levels == pytest.approx([0.01, 0.1, 1, 10, 100], rel=1e-11)
    assert read_axis("a=0.1:0.7:2").levels == ("0.1", "0.7")


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("a", "write KEY"),
        ("=1,2", "write KEY"),
        ("a=", "write KEY"),
        ("a=1,,2", "empty value"),
        ("a=1,2,1", "twice"),
        ("a=1:2", "write KEY"),
        ("a=1:2:x", "write KEY"),
        ("a=1:2:3:4", "write KEY"),
        ("a=2:1:3", "must increase"),
        ("a=0:1:3:log", "above 0"),
        ("a=1:2:1", "2 values"),
        ("a=1 um:2 mm:3", "same unit"),
    ],
)
def test_what_cannot_be_read_is_refused(text, fragment) -> None:
    with pytest.raises(InputError, match=fragment):
        read_axis(text)


def test_a_range_without_a_count() -> None:
    axis = read_axis("a=1:100 / h:log", count=False)
    assert (axis.low, axis.high, axis.unit, axis.log) == (1, 100, "/ h", True)
    with pytest.raises(InputError, match="LO:HI"):
        read_axis("a=1:2:3", count=False)


def test_a_grid_is_every_combination_in_order() -> None:
    found = points([read_axis("a=1,2"), read_axis("b=0:1:3")])
    pairs = [("1", "0"), ("1", "0.5"), ("1", "1"), ("2", "0"), ("2", "0.5"), ("2", "1")]
    assert [(p["a"], p["b"]) for p in found] == pairs
    assert points([]) == [{}]


BOX = ["a=0:10:64", "b=1e-3:1:64:log", "c=-1:1 um:64"]


def test_a_latin_hypercube_has_one_point_in_each_slice() -> None:
    axes = [read_axis(text) for text in BOX]
    found = shares(axes, points(axes, "lhs", 1))
    assert (np.sort(np.floor(found * 64 + 1e-9), axis=0) == np.arange(64)[:, None]).all()


def test_sobol_fills_the_box_more_evenly_than_chance() -> None:
    """One of 64 points in each of the 8 x 8 squares of two axes; random ones do so once in 3e26 times."""
    axes = [read_axis(text) for text in BOX]
    found = np.floor(shares(axes, points(axes, "sobol", 1))[:, :2] * 8 + 1e-9)
    assert len({tuple(square) for square in found.tolist()}) == 64
    random = np.floor(np.random.default_rng(1).random((64, 2)) * 8)
    assert len({tuple(square) for square in random.tolist()}) < 60


@pytest.mark.parametrize("design", ["lhs", "sobol"])
def test_a_design_follows_from_its_seed(design) -> None:
    axes = [read_axis(text) for text in BOX]
    assert points(axes, design, 1) == points(axes, design, 1)
    assert points(axes, design, 1) != points(axes, design, 2)


@pytest.mark.parametrize("design", ["lhs", "sobol"])
def test_a_list_takes_equal_shares(design) -> None:
    found = points([read_axis("a=0:1:64"), read_axis("b=u,v,w,x")], design, 3)
    counts = {value: sum(point["b"] == value for point in found) for value in "uvwx"}
    assert counts == dict.fromkeys("uvwx", 16)


def test_designs_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InputError, match="one of grid, lhs, sobol"):
        points([read_axis("a=1,2")], "random")
    with pytest.raises(InputError, match="same number of points"):
        points([read_axis("a=0:1:4"), read_axis("b=0:1:5")], "lhs")
    with pytest.raises(InputError, match="same number of points"):
        points([read_axis("a=1,2")], "sobol")
    with pytest.raises(InputError, match="given twice"):
        points([read_axis("a=1,2"), read_axis("a=3,4")])
    with pytest.raises(InputError, match="more than"):
        points([read_axis(f"{key}=0:1:1000") for key in "abc"])
