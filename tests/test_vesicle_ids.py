"""Names of vesicles in tables: one to one and exact in floating point; columns that can be subtracted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exoabm.errors import ResourceError
from exoabm.runs.run_execution import run_to_folder
from exoabm.scenario.loader import load
from exoabm.vesicle import DOSED, KINDS, NON_CELL_ID, vesicle_ids, vesicle_names, vesicle_numbers

LARGEST = 2**53
sources = st.one_of(
    st.integers(0, 200_000),
    st.integers(0, NON_CELL_ID - 1),
    st.integers(NON_CELL_ID, NON_CELL_ID + DOSED),
)
vesicles = st.tuples(sources, st.integers(0, KINDS - 1), st.integers(0, 16_383))


def ids(told: list[tuple[int, int, int]]) -> np.ndarray:
    names = [vesicle_names(np.array([s]), k, np.array([n]))[0] for s, k, n in told]
    return vesicle_ids(np.array(names))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(vesicles, min_size=2, max_size=30, unique=True))
def test_ids_are_unique_and_exact_everywhere(told: list[tuple[int, int, int]]) -> None:
    found = ids(told)
    assert len(set(found.tolist())) == len(told)
    assert (found > 0).all()
    assert (found < LARGEST).all()
    assert json.loads(json.dumps(found.astype(float).tolist())) == found.tolist()


def test_the_ends_of_every_range_are_told_apart() -> None:
    """Where one more bit is needed, and the last vesicle that a place has room for."""
    told = []
    for source in (
        0,
        1,
        90_071,
        90_072,
        90_073,
        999_999,
        NON_CELL_ID - 1,
        *range(NON_CELL_ID, NON_CELL_ID + DOSED + 1),
    ):
        for kind in (0, 1, KINDS - 1):
            row = source - NON_CELL_ID if source >= NON_CELL_ID else source + 7
            room = 2 ** (48 - (row * KINDS + kind + 1).bit_length())
            told += [(source, kind, n) for n in (0, 1, min(room, 10**9) - 1)]
    found = ids(told)
    assert len(set(found.tolist())) == len(told)
    assert found.max() < LARGEST
    old = vesicle_names(np.array([90_072]), 0, np.array([1]))
    assert int(float(old[0])) != old[0], "the names themselves are not exact from here on"
    assert vesicle_numbers(old) == [1]


def test_more_than_can_be_named_is_refused() -> None:
    assert len(vesicle_names(np.array([1_000_000]), 0, np.array([2**21 - 1])))
    with pytest.raises(ResourceError, match="birth id 1,000,000 tables can name 2,097,152"):
        vesicle_names(np.array([5, 1_000_000]), 0, np.array([2**21, 2**21]))
    with pytest.raises(ResourceError, match="can be named of"):
        vesicle_names(NON_CELL_ID + DOSED, 0, np.array([10**9]))


@pytest.mark.parametrize("engine", ["continuum", "vesicles"])
def test_no_column_of_any_table_is_unsigned(engine: str, tmp_path: Path) -> None:
    """A difference of two numbers of a column is never wrapped: all are signed, or floating-point."""
    small = {
        "transport.engine": engine,
        "layout.group.recipient.count": "20",
        "layout.group.donor.count": "2",
    }
    loaded = load("signaling", small | {"cell_type.recipient.death_rate": "0.1 / h"})
    run_to_folder(loaded, tmp_path / "run", seed=1, hours=0.3)
    tables = sorted((tmp_path / "run").glob("*.parquet"))
    assert len(tables) >= 15
    for path in tables:
        for field in pq.read_schema(path):
            assert not pa.types.is_unsigned_integer(field.type), f"{path.name}: {field}"
            assert not pa.types.is_integer(field.type) or field.type.bit_width >= 32, f"{path.name}: {field}"
    events = pq.read_table(tmp_path / "run/events.parquet").to_pandas()
    if engine == "vesicles":
        copies = pq.read_table(tmp_path / "run/vesicle_cargo.parquet").to_pandas().copies
        assert (copies - copies.max()).min() < 0
        assert events.groupby(["donor", "vesicle_kind", "number"], observed=True).vesicle.nunique().max() == 1
        assert events.vesicle.max() < LARGEST
