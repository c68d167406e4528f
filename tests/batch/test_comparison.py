"""Two runs or arms side by side, against differences taken here by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats

from exoabm.batch.comparison import Comparison, Line, Side, _values, compare, difference_table, write
from exoabm.batch.execution.plan import Plan
from exoabm.batch.execution.runner import run_rows
from exoabm.batch.sweeps.summary import write_results
from exoabm.batch.sweeps.sweep import _reach, plan_sweep
from exoabm.cli.batch_commands import _broken, _change
from exoabm.errors import InputError
from exoabm.runs.provenance import differences as changed_keys
from exoabm.runs.run_execution import run_to_folder
from exoabm.scenario.loader import load
from exoabm.tables.finished_run import Run
from tests.batch.conftest import RATE

UPTAKE = "cell_type.recipient.uptake_rate"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One hour each: ``a``, ``b`` of twice its rate, ``same`` in another unit, ``chance`` of another seed."""
    folder = tmp_path_factory.mktemp("runs")
    chance = {"cell_type.donor.secretion": "poisson"}
    for name, rate, seed in (
        ("a", "60 / h", 1), ("b", "120 / h", 1), ("same", "1 / min", 1), ("chance", "60 / h", 2)
    ):  # fmt: skip
        loaded = load("two_cells", chance | {RATE: rate})
        run_to_folder(loaded, folder / name, seed=seed, hours=1)
    return folder


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep") / "a"
    loaded = load("two_cells", {"cell_type.donor.secretion": "poisson"})
    vary = [f"{RATE}=60,600 / h", f"{UPTAKE}=5,50"]
    run_rows(plan_sweep(loaded, vary, seed=1, replicates=4, hours=0.5), folder)
    return folder


def line(found: Comparison, name: str) -> Line:
    return next(line for line in found.lines if line.readout == name)


def test_two_runs_differ_by_what_was_changed(runs) -> None:
    found = compare(str(runs / "a"), str(runs / "b"))
    assert found.changed == {RATE: ("60 / h", "120 / h")}
    assert (found.paired, found.warnings) == (1, [])
    a, b = (Run(runs / n).metrics["free[exosome]"][-1].as_py() for n in "ab")
    free = line(found, "free[exosome]")
    assert (free.a, free.b, free.difference, free.half) == (a, b, b - a, None)
    assert free.relative == (b - a) / a


def test_a_run_and_its_twin_are_the_same(runs) -> None:
    found = compare(str(runs / "a"), str(runs / "same"))
    assert not found.changed
    assert {line.difference for line in found.lines} == {0.0}
    assert len(found.lines) > 20


def test_another_seed_is_told(runs) -> None:
    found = compare(str(runs / "a"), str(runs / "chance"))
    assert not found.changed
    assert not found.paired
    assert "no common seeds" in found.warnings[0]
    assert found.plain()["same_seeds"] is False
    assert line(found, "emitted[exosome]").difference != 0


def test_the_difference_curve_is_b_minus_a(runs, tmp_path) -> None:
    found = compare(str(runs / "a"), str(runs / "b"))
    table = difference_table(found).to_pandas()
    a, b = (Run(runs / n).metrics.to_pandas() for n in "ab")
    assert list(table["time_h"].unique()) == list(a["time_h"])
    expected = b["cleared[exosome]"] - a["cleared[exosome]"]
    assert table[table.readout == "cleared[exosome]"]["difference"].tolist() == list(expected)
    names = [path.name for path in write(found, tmp_path / "out")]
    assert names == ["comparison.json", "difference.parquet", "difference.png"]
    assert json.loads((tmp_path / "out" / "comparison.json").read_text())["changed"][RATE][1] == "120 / h"
    assert (tmp_path / "out" / "difference.png").stat().st_size > 10_000


def test_arms_of_a_sweep_are_compared_in_pairs(sweep) -> None:
    """Per seed over the other key, and then over seeds, as the docstring says."""
    found = compare(f"{sweep}@{RATE}=1 / min", f"{sweep}@{RATE}=600")
    assert found.changed == {RATE: ("1 / min", "600")}
    assert found.paired == 8
    write_results(sweep, Plan.read(sweep))
    rows = pq.read_table(sweep / "results.parquet").to_pandas()
    wide = rows.pivot_table("free[exosome]", ["seed", f"{UPTAKE} (um^3/s)"], f"{RATE} (1/h)")
    change = (wide[600.0] - wide[60.0]).groupby("seed").mean()
    free = line(found, "free[exosome]")
    assert free.difference == pytest.approx(change.mean(), rel=1e-12)
    low, high = stats.t.interval(0.95, 3, change.mean(), stats.sem(change))
    assert (free.difference - free.half, free.difference + free.half) == pytest.approx((low, high))


def test_open_keys_are_averaged_over_and_named(sweep) -> None:
    """A whole sweep beside one of its arms, and arms of different keys: no row stands for others."""
    write_results(sweep, Plan.read(sweep))
    rows = pq.read_table(sweep / "results.parquet").to_pandas()
    free, rate, uptake = rows["free[exosome]"], rows[f"{RATE} (1/h)"], rows[f"{UPTAKE} (um^3/s)"]
    found = compare(str(sweep), f"{sweep}@{RATE}=600")
    assert found.changed == {RATE: ("60, 600 / h (mean of all)", "600")}
    assert found.paired == 0
    assert "no row has a partner" in found.warnings[0]
    means = [line(found, "free[exosome]").a, line(found, "free[exosome]").b]
    assert means == pytest.approx([free.mean(), free[rate == 600].mean()], rel=1e-12)
    found = compare(f"{sweep}@{RATE}=600", f"{sweep}@{UPTAKE}=5")
    means = [line(found, "free[exosome]").a, line(found, "free[exosome]").b]
    assert means == pytest.approx([free[rate == 600].mean(), free[uptake == 5].mean()], rel=1e-12)


def test_keys_that_both_arms_vary_do_not_differ_between_pairs(sweep, tmp_path) -> None:
    """Pairs have equal values of them, however many rows of one side have no partner."""
    loaded = load("two_cells", {"cell_type.donor.secretion": "poisson", RATE: "30 / h"})
    plan = plan_sweep(loaded, [f"{RATE}=60,600 / h", f"{UPTAKE}=5,50,500"], seed=1, replicates=1, hours=0.5)
    run_rows(plan, tmp_path / "more")
    found = compare(str(sweep), str(tmp_path / "more"))
    assert found.paired == 4
    assert found.changed == {}
    assert "4 pairs; rows without a partner are left out" in found.warnings
    found = compare(f"{sweep}@{RATE}=600", f"{tmp_path / 'more'}@{RATE}=60")
    assert found.paired == 2
    assert found.changed == {RATE: ("600", "60")}
    found = compare(f"{sweep}@{UPTAKE}=5", str(tmp_path / "more"))
    assert found.paired == 0
    assert found.changed == {UPTAKE: ("5", "5, 50, 500 (mean of all)")}


def test_values_of_many_rows_are_collected() -> None:
    """In one pass: where each row was compared with all, this took minutes."""
    rows = [((("key", str(i % 5_000)), ("other", "1")), i) for i in range(20_000)]
    found = _values({"arm": "2", "key": "x", "other": "x"}, rows)
    assert found == {"key": [str(i) for i in range(5_000)], "other": ["1"], "arm": ["2"]}


def side(name: str, readouts: dict[tuple[int, int], float | None]) -> Side:
    """An arm of rows (seed, point) with one readout."""
    rows = {((("key", str(point)),), seed): {"cells": value} for (seed, point), value in readouts.items()}
    return Side(name, load("two_cells"), {}, rows, 1.0, "0", None)


def differences(a: Side, b: Side) -> tuple[list[Line], list[str]]:
    from exoabm.batch.comparison import _lines, _warnings

    common = [key for key in a.rows if key in b.rows]
    return (lines := _lines(a, b, common)), _warnings(a, b, common, lines)


def test_a_seed_counts_once_however_many_of_its_rows_are_there() -> None:
    """Two rows of seed 1 are lost: its one counts as much as the three of seed 2."""
    a = side("a", {(seed, point): 0.0 for seed in (1, 2) for point in range(3)})
    b = side("b", {(1, 0): 4.0, (1, 1): None, (1, 2): None} | {(2, point): 1.0 for point in range(3)})
    (found,), warnings = differences(a, b)
    change = np.array([4.0, 1.0])
    assert (found.a, found.b, found.difference, found.lost) == (0.0, 2.5, 2.5, 2)
    low, high = stats.t.interval(0.95, 1, 2.5, stats.sem(change))
    assert (found.difference - found.half, found.difference + found.half) == pytest.approx((low, high))
    assert warnings == ["of 6 pairs, those with an undefined readout are omitted: cells (2)"]


def test_seeds_and_not_rows_are_counted_where_none_is_common_too() -> None:
    random = np.random.default_rng(3)
    shift = random.normal(0, 1, 9)
    a = side("a", {(seed, point): float(shift[seed]) for seed in range(4) for point in range(5)})
    b = side("b", {(seed, point): float(shift[seed]) for seed in range(4, 9) for point in range(5)})
    (found,), warnings = differences(a, b)
    expected = stats.ttest_ind(shift[4:], shift[:4], equal_var=False).confidence_interval(0.95)
    interval = (found.difference - found.half, found.difference + found.half)
    assert interval == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert len(warnings) == 1


def test_arms_that_differ_in_nothing_differ_by_nothing(sweep) -> None:
    found = compare(f"{sweep}@{UPTAKE}=5", f"{sweep}@{UPTAKE}=5")
    assert {line.difference for line in found.lines} == {0.0}
    assert not any(line.half for line in found.lines)


def test_welch_where_seeds_differ() -> None:
    from exoabm.batch.comparison import _quantile, _welch

    random = np.random.default_rng(1)
    a, b = random.normal(0, 1, 7), random.normal(1, 3, 12)
    spread, free = _welch(a, b)
    expected = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
    half = _quantile(free) * spread**0.5
    assert (b.mean() - a.mean() - half, b.mean() - a.mean() + half) == pytest.approx(
        (expected.low, expected.high), rel=1e-9
    )


@pytest.mark.parametrize(
    ("choice", "fragment"),
    [("@nothing=1", "no row of this arm"), ("@x", "DIR@KEY=VALUE"), (f"@{RATE}=7", f"{RATE}=600 / h")],
)
def test_an_arm_that_is_not_there_is_refused(sweep, choice, fragment) -> None:
    with pytest.raises(InputError, match=fragment):
        compare(f"{sweep}{choice}", str(sweep))


def test_what_is_no_run_is_refused(runs, tmp_path) -> None:
    with pytest.raises(InputError, match="neither a run nor a sweep"):
        compare(str(runs / "a"), str(tmp_path))
    with pytest.raises(InputError, match="has no arms"):
        compare(f"{runs / 'a'}@{RATE}=60", str(runs / "b"))
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read as a run"):
        compare(str(tmp_path), str(runs / "a"))


@pytest.mark.parametrize(
    ("relative", "words"),
    [
        (None, ""),
        (0.5, "+50.0%"),
        (-0.25, "-25.0%"),
        (1.9, "+190.0%"),
        (2.0, "3 times"),
        (69.511, "70.5 times"),
    ],
)
def test_a_large_change_is_told_as_a_factor(relative: float | None, words: str) -> None:
    assert _change(relative) == words


def test_long_names_break_between_their_words() -> None:
    name = "copies_delivered_per_cell[recipient, signal]"
    lines = _broken(name, 24).split("\n")
    assert max(map(len, lines)) <= 24 + 3
    assert "".join(line.strip() for line in lines) == name
    assert _broken(name, 80) == name


def test_intervals_of_amounts_end_at_zero() -> None:
    """Below a mean of 1 a half of 3 goes down by 1; one of 0.5 stays, as does that of a negative mean."""
    np.testing.assert_array_equal(
        _reach(np.array([1.0, 1.0, -1.0]), np.array([3.0, 0.5, 3.0])), [[1.0, 0.5, 3.0], [3.0, 0.5, 3.0]]
    )


def test_values_written_in_other_units_are_the_same(tmp_path) -> None:
    """Rows of sweeps are paired by what their values are; so are values of scenarios, also in lists."""
    given = {"domain.size": '["200 um", "200 um", "200 um"]', "domain.voxel": "20 um", RATE: "60 / h"}
    again = {"domain.size": '["0.2 mm", "0.2 mm", "0.2 mm"]', "domain.voxel": "0.02 mm", RATE: "1 / min"}
    assert not changed_keys(load("two_cells", given), load("two_cells", again))
    for name, changes, texts in (("a", given, "60 / h,600 / h"), ("b", again, "1 / min,10 / min")):
        plan = plan_sweep(load("two_cells", changes), [f"{RATE}={texts}"], seed=1, replicates=1, hours=0.1)
        run_rows(plan, tmp_path / name)
    run_to_folder(load("two_cells", again), tmp_path / "run", seed=plan.rows[0].seed, hours=0.1)
    a, b, run = (str(tmp_path / name) for name in ("a", "b", "run"))
    assert (compare(a, b).paired, compare(a, b).changed) == (2, {})
    assert compare(f"{a}@{RATE}=60", f"{b}@{RATE}=1 / min").changed == {}
    assert compare(run, f"{a}@{RATE}=60 / h").changed == {}
    assert compare(run, f"{a}@{RATE}=600 / h").changed == {RATE: ("60 1/h", "600 / h")}
    assert compare(a, f"{b}@{RATE}=10 / min").changed == {RATE: ("60 / h, 600 / h (mean of all)", "10 / min")}


def test_a_duration_that_hours_replaced_does_not_differ(tmp_path) -> None:
    """Of a run of 1 h by its scenario and one by its hours, the scenario of the latter says 24 h."""
    run_to_folder(load("two_cells", {"clock.duration": "60 min"}), tmp_path / "a", seed=1)
    for name, hours in (("b", 1), ("c", 0.5)):
        run_to_folder(load("two_cells"), tmp_path / name, seed=1, hours=hours)
    a, b, c = (str(tmp_path / name) for name in "abc")
    assert (compare(a, b).changed, compare(a, b).warnings) == ({}, [])
    assert compare(a, c).warnings == ["A ran for 1 h and B for 0.5 h"]
