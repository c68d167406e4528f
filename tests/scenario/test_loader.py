"""Scenario files: every edit of one is a valid scenario or a named error; what is written is read back."""

from __future__ import annotations

import copy
import math
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from exoabm.errors import InputError, ResourceError, ScenarioError
from exoabm.parameters.catalog import Quantity
from exoabm.scenario.loader import load, parse, shipped
from exoabm.scenario.schema_base import entries, plain_data, quantities
from exoabm.scenario.state_builder import blueprint

SHIPPED = {name: tomllib.loads(path.read_text(encoding="utf-8")) for name, path in shipped().items()}
FOLDER = shipped()["tissue"].parent
fuzz = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value and table below a node."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


PLACES = {name: list(places(data)) for name, data in SHIPPED.items()}
KEYS = sorted({key for paths in PLACES.values() for path in paths for key in path if isinstance(key, str)})
NUMBERS = st.one_of(
    st.integers(-10, 1000),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from([0, -0.0, math.inf, -math.inf, math.nan, 5e-324, 1.8e308, 10**400]),
)
UNITS = st.sampled_from(
    ["", "um", "nm", "m", "s", "h", "/ h", "1/s", "um^2/s", "um^3/s", "/mL", "pM", "%", "K", "x"]
)
TEXTS = st.one_of(
    st.builds(lambda n, u: f"{n} {u}".strip(), NUMBERS.filter(lambda n: abs(n) < 1e300), UNITS),
    st.sampled_from(
        ["inf", "nan", "fit", "periodic", "open", "poisson", "cell", "float32", "../x.csv", "\0"]
    ),
    st.sampled_from(KEYS),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
SCALARS = st.one_of(NUMBERS, TEXTS, st.booleans(), st.dates(), st.datetimes(), st.times())
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*KEYS, "value", "concentration"]) | TEXTS, inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def edited(draw: st.DrawFn) -> dict[str, Any]:
    """A shipped scenario with up to four values changed, added or taken away."""
    name = draw(st.sampled_from(sorted(SHIPPED)))
    data = copy.deepcopy(SHIPPED[name])
    for _ in range(draw(st.integers(1, 4))):
        *way, last = draw(st.sampled_from(PLACES[name]))
        node: Any = data
        try:
            for step in way:
                node = node[step]
            node[last]
        except (KeyError, IndexError, TypeError):
            continue  # an earlier edit took it away
        match draw(st.sampled_from(["set", "set", "delete", "insert", "twice"])):
            case "set":
                node[last] = draw(VALUES)
            case "delete":
                del node[last]
            case "insert" if isinstance(node, dict):
                node[draw(st.sampled_from(KEYS) | TEXTS)] = draw(VALUES)
            case "twice" if isinstance(node, list):
                node.append(copy.deepcopy(node[last]))
    return data


def read(data: bytes) -> Any:
    """A loaded scenario, or None where it is refused in words."""
    try:
        loaded = parse(data, name="test", folder=FOLDER, trusted=False)
    except (InputError, ResourceError) as error:
        message = str(error)
        assert message.startswith("test:")
        assert "Traceback" not in message
        assert "object at 0x" not in message
        return None
    return loaded


def small(loaded: Any) -> bool:
    """Whether laying it out takes no time."""
    scenario = loaded.scenario
    size = scenario.domain.size
    lengths = [400.0] if size == "fit" else [float(s) for s in size]
    voxels = math.prod(s / scenario.domain.voxel + 1 for s in lengths)
    return voxels < 1e6 and sum(g.count for g in scenario.layout.group) < 2000


@fuzz
@given(edited())
def test_an_edited_scenario_is_valid_or_refused(data: dict[str, Any]) -> None:
    try:
        text = tomli_w.dumps(data).encode()
    except (TypeError, ValueError):
        assume(False)
    loaded = read(text)
    if loaded is None:
        return
    again = read(tomli_w.dumps(plain_data(loaded.scenario)).encode())
    assert again is not None
    assert again.sha256() == loaded.sha256()
    if small(loaded):
        try:
            plan = blueprint(loaded, seed=1)
        except (InputError, ResourceError):
            return
        assert plan.domain.contains(plan.position).all()
        assert math.isfinite(plan.estimate.memory_bytes)


@fuzz
@given(st.binary(max_size=300))
@example(b"\xef\xbb\xbf")
@example(b"[domain]\nsize = " + b"[" * 300 + b"]" * 300)
@example(b"schema_version = 0x" + b"f" * 5000)
@example(b"schema_version = " + b"9" * 5000)
@example(b"[info]\ntitle = " + b'"""' + b"\\U0000FFFF" * 300 + b'"""')
def test_random_bytes_are_refused(data: bytes) -> None:
    assert read(data) is None


def load_edited(name: str, key: str, value: str) -> None:
    """Load with one setting; what is taken must be the same again once written, what is not is refused."""
    try:
        loaded = load(name, {key: value})
    except InputError:
        return
    again = parse(tomli_w.dumps(plain_data(loaded.scenario)).encode(), name="again", folder=loaded.folder)
    assert again.sha256() == loaded.sha256()


@fuzz
@given(st.text(max_size=30), st.text(max_size=30) | VALUES.map(str))
def test_any_setting_is_taken_or_refused(key: str, value: str) -> None:
    load_edited("two_cells", key, value)


@fuzz
@given(st.sampled_from([k for k, _ in entries(load("signaling").scenario)]), VALUES.map(str))
def test_any_value_of_a_known_key_is_taken_or_refused(key: str, value: str) -> None:
    load_edited("signaling", key, value)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_scenario_written_and_read_again_is_the_same(name: str) -> None:
    first = load(name)
    text = tomli_w.dumps(plain_data(first.scenario))
    again = parse(text.encode(), name=name, folder=first.folder)
    assert again.sha256() == first.sha256()
    assert dict(quantities(again.scenario)) == dict(quantities(first.scenario))
    for (key, was), (_, now) in zip(quantities(first.scenario), quantities(again.scenario), strict=True):
        assert (now.source, now.note) == (was.source, was.note), key


def test_the_hash_is_of_what_is_meant_and_not_of_how_it_is_written() -> None:
    """Comments, order and defaults that are spelled out do not count; a value does, by 5 % too."""
    data = SHIPPED["two_cells"]
    turned = {key: data[key] for key in reversed(data)}
    text = "# a comment\n" + tomli_w.dumps(turned)
    same = parse(text.encode(), name="other", folder=Path())
    assert same.sha256() == load("two_cells").sha256()
    assert load("two_cells", {"transport.precision": "float64"}).sha256() == same.sha256()
    assert load("two_cells", {"cell_type.donor.release_rate": "63 / h"}).sha256() != same.sha256()


def test_a_setting_may_name_any_element_and_any_kind_of_value() -> None:
    scenario = load(
        "signaling",
        {
            "cell_type.donor.release_rate": "10 / h",
            "layout.group.recipient.count": "7",
            "vesicle.exosome.cargo": "[]",
            "cell_type.recipient.saturation": "{value = 'inf', source = 'assumed'}",
            "domain.faces.x": "periodic",
            "info.title": "A title = with an equals",
        },
    ).scenario
    donor, recipient = scenario.cell_type
    assert float(donor.release_rate) == 10 / 3600
    assert scenario.layout.group[1].count == 7
    assert scenario.vesicle[0].cargo == []
    assert recipient.saturation == math.inf
    assert scenario.domain.faces.side("x_high") == "periodic"
    assert scenario.info.title == "A title = with an equals"


def test_a_table_named_by_a_setting_stands_where_the_user_does(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = load("tissue", {"layout.table": "cells.csv"})
    assert loaded.table_path() == tmp_path / "cells.csv"
    assert load("tissue").table_path() == (FOLDER / "tissue_cells.csv").resolve()


def test_every_problem_stands_in_the_error() -> None:
    with pytest.raises(ScenarioError) as error:
        load("two_cells", {"clock.step": "-1", "clock.duration": "nan", "info.titel": "x"})
    assert {p.where for p in error.value.problems} == {"clock.step", "clock.duration", "info.titel"}
    assert error.value.file == "two_cells"


def test_a_scenario_too_large_by_one_byte_is_refused() -> None:
    text = shipped()["two_cells"].read_bytes()
    filler = b"#" * (2**20 - len(text))
    parse(text + filler, name="test", folder=Path())
    with pytest.raises(InputError, match="1048576 bytes"):
        parse(text + filler + b"#", name="test", folder=Path())


def test_a_byte_order_mark_and_line_ends_of_windows_do_no_harm() -> None:
    text = b"\xef\xbb\xbf" + shipped()["two_cells"].read_bytes().replace(b"\n", b"\r\n")
    assert parse(text, name="test", folder=Path()).sha256() == load("two_cells").sha256()


def test_a_quantity_remembers_who_says_so() -> None:
    rate = dict(quantities(load("two_cells", {"cell_type.donor.release_rate": "10"}).scenario))
    changed = rate["cell_type.donor.release_rate"]
    assert isinstance(changed, Quantity)
    assert (changed.magnitude, changed.source) == (10, "")
    assert rate["cell_type.recipient.uptake_rate"].source
