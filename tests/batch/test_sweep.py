"""A sweep's tables and what is read from them, against sums that are done here by hand."""

from __future__ import annotations

import errno
import json
import math
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from exoabm.batch.execution.plan import replicate_seeds
from exoabm.batch.execution.runner import resume_rows, run_rows
from exoabm.batch.sweeps.summary import Summary, Varied
from exoabm.batch.sweeps.sweep import draw_means, duration_note, plan_sweep, report
from exoabm.errors import InputError, ResourceError, RunFailed, ScenarioError
from exoabm.scenario.loader import load
from tests.batch.conftest import RATE, data

ENGINE = "transport.engine"


TURNING = """
schema_version = 1

[info]
title = "A recipient that may turn and a donor that may tire"
summary = "Not in every replicate."

[domain]
size = ["60 um", "60 um"]
thickness = "10 um"
voxel = "10 um"

[clock]
step = "60 s"
duration = "30 min"

[[cargo]]
name = "signal"

[[vesicle]]
name = "exosome"
cargo = ["signal"]

[[cell_type]]
name = "donor"
releases = "exosome"
release_rate = "600 / h"
transformation = { into = "tired", rate = "1 / h" }

[[cell_type]]
name = "tired"

[[cell_type]]
name = "recipient"
takes_up = ["exosome"]
uptake_rate = "600 um^3/s"
transformation = { into = "activated", rate = "1 / h" }

[[cell_type]]
name = "activated"
takes_up = ["exosome"]
uptake_rate = "600 um^3/s"

[[response]]
cell_type = "activated"
signal = "endosomal.exosome"
decreases = "uptake_rate"
to = "500 um^3/s"
half_max = 1

[[layout.group]]
cell_type = "donor"

[[layout.group]]
cell_type = "recipient"
"""


def swept(folder, *vary, chance=True, **more):
    loaded = load("two_cells", {"cell_type.donor.secretion": "poisson"} if chance else None)
    plan = plan_sweep(loaded, vary, source="two_cells", seed=1, **{"hours": 0.1, **more})
    outcome = run_rows(plan, folder)
    return plan, outcome, report(outcome)


def test_means_and_intervals_are_those_of_the_rows(tmp_path) -> None:
    plan, _, found = swept(tmp_path / "a", f"{RATE}=60,6000 / h", replicates=5)
    rows = pq.read_table(tmp_path / "a" / "results.parquet").to_pandas()
    assert list(rows["row"]) == [row.name for row in plan.rows]
    assert list(rows["seed"]) == replicate_seeds(1, 5) * 2
    assert list(rows[f"{RATE} (1/h)"]) == [60.0] * 5 + [6000.0] * 5
    table = pq.read_table(tmp_path / "a" / "summary.parquet").to_pandas()
    for point, rate in enumerate((60.0, 6000.0)):
        values = rows.loc[rows[f"{RATE} (1/h)"] == rate, "free[exosome]"]
        line = table[(table.point == point) & (table.readout == "free[exosome]")].iloc[0]
        low, high = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
        assert line[f"{RATE} (1/h)"] == rate
        assert line["n"] == 5
        assert line["mean"] == pytest.approx(values.mean(), rel=1e-12)
        assert line["sd"] == pytest.approx(values.std(ddof=1), rel=1e-12)
        assert (line["ci95_low"], line["ci95_high"]) == pytest.approx((low, high), rel=1e-10)
    assert found.summary.points == [{RATE: 60.0}, {RATE: 6000.0}]


@pytest.mark.parametrize("engine", ["continuum", "vesicles"])
def test_a_type_that_no_cell_became_counts_as_zero(tmp_path, engine) -> None:
    """A recipient that may turn, a donor that may tire: means are over all replicates."""
    source = tmp_path / "turning.toml"
    source.write_text(TURNING)
    loaded = load(source, {ENGINE: engine})
    plan = plan_sweep(loaded, [f"{RATE}=600"], source=str(source), seed=1, replicates=6, hours=0.5)
    found = report(run_rows(plan, tmp_path / "a")).summary
    (count,), (mean,) = found.count, found.mean
    per = {name: (n, value) for name, n, value in zip(found.readouts, count, mean, strict=True)}
    assert 0 < per["cells[activated]"][1] < 1
    assert 0 < per["cells[tired]"][1] < 1
    senders = ("donor", "tired") if engine == "vesicles" else ("donor",)
    pairs = [f"taken_up[{a} -> {b}]" for a in senders for b in ("recipient", "activated")]
    assert [per[name][0] for name in (*pairs, "responding_cells[activated]")] == [6] * (len(pairs) + 1)
    assert min(per[name][1] for name in pairs[:2]) > 0
    assert sum(per[name][1] for name in pairs) == pytest.approx(per["taken_up[exosome]"][1], rel=1e-9)


def test_points_share_seeds_unless_told_otherwise(tmp_path) -> None:
    loaded = load("two_cells")
    common = plan_sweep(loaded, [f"{RATE}=1,2"], seed=1, replicates=3)
    own = plan_sweep(loaded, [f"{RATE}=1,2"], seed=1, replicates=3, independent=True)
    assert [row.seed for row in common.rows[:3]] == [row.seed for row in common.rows[3:]]
    assert len({row.seed for row in own.rows}) == 6
    assert not {row.seed for row in own.rows} & {row.seed for row in common.rows}


def test_rows_share_files_by_their_work_and_not_by_a_clock() -> None:
    quick = plan_sweep(load("two_cells"), [f"{RATE}=1:9:900"], seed=1, hours=0.1)
    long = plan_sweep(load("two_cells"), [f"{RATE}=1:9:900"], seed=1)
    assert quick.chunk > 8
    assert long.chunk == 1
    assert quick.chunk * quick.chunks >= 900 > quick.chunk * (quick.chunks - 1)


def test_a_sweep_of_words_and_numbers_is_drawn(tmp_path) -> None:
    _, outcome, found = swept(tmp_path / "a", f"{RATE}=10:1000:3:log", f"{ENGINE}=continuum,vesicles")
    assert {path.name for path in found.plots} == {f"{RATE}.png", f"{ENGINE}.png"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in found.plots)
    about = json.loads((outcome.folder / "summary.json").read_text())
    assert (about["points"], about["rows"], about["failed"]) == (6, 6, 0)
    assert f"plots/{RATE}.png" in about["files"]
    columns = pq.read_table(outcome.folder / "results.parquet").column_names
    assert {f"{RATE} (1/h)", ENGINE} <= set(columns)


def test_failed_rows_are_in_the_table_and_not_in_the_means(tmp_path) -> None:
    from dataclasses import replace

    loaded = load("two_cells", {"cell_type.donor.secretion": "poisson"})
    plan = plan_sweep(loaded, [f"{RATE}=60,600"], source="two_cells", seed=1, replicates=3, hours=0.1)
    bad = replace(plan.rows[4], overrides=((RATE, "600"), ("clock.step", "-1 s")))
    plan = replace(plan, rows=(*plan.rows[:4], bad, *plan.rows[5:]))
    outcome = run_rows(plan, tmp_path / "a")
    found = report(outcome)
    rows = pq.read_table(tmp_path / "a" / "results.parquet").to_pandas()
    assert list(rows["state"]) == ["done"] * 4 + ["failed", "done"]
    assert "clock.step" in rows["reason"][4]
    assert math.isnan(rows["free[exosome]"][4])
    assert list(found.summary.n) == [3, 2, 0]
    assert list(found.summary.failed) == [0, 0, 1]
    assert any("1 row failed" in warning for warning in found.warnings)


def test_a_sweep_of_which_nothing_came_has_its_reasons(tmp_path) -> None:
    from dataclasses import replace

    plan = plan_sweep(load("two_cells"), [f"{RATE}=60,600"], source="two_cells", seed=1, hours=0.1)
    rows = [replace(row, overrides=(*row.overrides, ("clock.step", "-1 s"))) for row in plan.rows]
    outcome = run_rows(replace(plan, rows=tuple(rows)), tmp_path / "a")
    assert outcome.failed == 2
    found = report(outcome)
    assert not found.plots
    assert pq.read_table(tmp_path / "a" / "summary.parquet").num_rows == 0
    assert all(
        "clock.step" in r for r in pq.read_table(tmp_path / "a" / "results.parquet")["reason"].to_pylist()
    )


def test_a_disk_that_fills_at_the_end_keeps_the_rows_and_a_damaged_plot_is_drawn_again(
    tmp_path, monkeypatch
) -> None:
    _, outcome, _ = swept(tmp_path / "a", f"{RATE}=60,600")
    before = data(tmp_path / "a")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(RunFailed, match="the disk is full; completed rows are kept"):
            report(outcome)
    assert data(tmp_path / "a") == before
    plot = tmp_path / "a" / "plots" / f"{RATE}.png"
    content = bytearray(plot.read_bytes())
    content[len(content) // 2] ^= 1
    plot.write_bytes(content)
    resumed = resume_rows(tmp_path / "a")
    assert [plot.name in fault for fault in resumed.damage] == [True]
    report(resumed)
    assert data(tmp_path / "a") == before, "to the bit"


# What to be warned of.


def summary(means: list[float], half: float, n: int = 3) -> Summary:
    shape = (len(means), 1)
    points = [{"key": float(i)} for i in range(len(means))]
    counts = np.full(len(means), n)
    return Summary(
        (Varied("key", "1"),),
        points,
        ["readout"],
        counts,
        np.zeros_like(counts),
        np.full(shape, n),
        np.array(means).reshape(shape),
        np.full(shape, half if n > 1 else np.nan),
        np.full(shape, half if n > 1 else np.nan),
    )


def test_an_interval_that_exceeds_the_effect_is_told() -> None:
    """The interval is twice its half: 1.0 here."""
    assert not summary([1.0, 2.1], 0.5).warnings()
    assert "exceeds the effect of key on readout" in summary([1.0, 1.9], 0.5).warnings()[0]
    assert not summary([1.0, 1.0], 0.5).warnings()  # no effect at all, with common seeds


def drawn(vary: dict[str, list[float | str]], count: list[int]) -> Axes:
    """The axes of a plot of means of points against the first key; 3 rows of each ended well."""
    points = [dict(zip(vary, values, strict=True)) for values in zip(*vary.values(), strict=True)]
    units = [None if isinstance(values[0], str) else "1/h" for values in vary.values()]
    few = np.array(count)[:, None]
    mean, sd = (
        np.where(few > 0, np.arange(1.0, len(points) + 1)[:, None], np.nan),
        np.where(few > 1, 0.1, np.nan),
    )
    n = np.full(len(points), 3)
    varied = tuple(Varied(key, unit) for key, unit in zip(vary, units, strict=True))
    found = Summary(varied, points, ["readout"], n, 0 * n, few, mean, sd, sd)
    return draw_means(Figure().subplots(), found, varied[0], "readout")


def test_lines_are_of_values_and_not_of_their_short_texts() -> None:
    long = "a_long_name_of_a_table_"
    other = {"k": [0.12341, 0.12341, 0.12342, 0.12342], "text": [f"{long}{i}" for i in (1, 2, 1, 2)]}
    ax = drawn({"x": [1.0, 1.0, 1.0, 1.0]} | other, [3] * 4)
    assert [len(line.lines[0].get_xdata()) for line in ax.containers] == [1, 1, 1, 1]
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[0] == f"k = 0.12341 1/h, text = {long}1"
    assert len(set(labels)) == 4
    assert len({line.lines[0].get_color() for line in ax.containers}) == 4
    ticks = drawn({"text": other["text"][:2]}, [3, 3]).get_xticklabels()
    assert [tick.get_text() for tick in ticks] == other["text"][:2]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (np.geomspace(1, 1000, 5), ["1", "5.62", "31.6", "178", "1,000"]),
        ([*range(1, 12), 60], ["1", "2", "3", "4", "5", "7", "9", "60"]),
    ],
)
def test_each_value_has_a_tick_and_numbers_do_not_touch(values: list[float], labels: list[str]) -> None:
    ax = drawn({"x": list(values)}, [3] * len(values))
    assert {*ax.get_xticks(), *ax.get_xticks(minor=True)} == {*values}
    ax.figure.draw_without_rendering()
    texts = [text for text in ax.get_xticklabels() if text.get_text()]
    assert [text.get_text() for text in texts] == labels
    boxes = [text.get_window_extent() for text in texts]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_lines_of_one_word_of_two_types_are_told_apart() -> None:
    ax = drawn(
        {"x": [1.0, 2.0], "cell_type.a.release_rate": [1.0] * 2, "cell_type.b.release_rate": [1.0] * 2},
        [3] * 2,
    )
    (label,) = (text.get_text() for text in ax.get_legend().get_texts())
    assert label == "release rate of a = 1 1/h, release rate of b = 1 1/h"


@pytest.mark.parametrize(
    ("count", "title"),
    [
        ([3, 3], "n = 3 per point; means, 95 % intervals"),
        ([3, 2], "n = 2 to 3 per point; means, 95 % intervals"),
        ([0, 1], "n = 1 per point"),
        ([0, 0], "n = 0 per point"),
    ],
)
def test_the_title_counts_the_replicates_in_which_the_readout_is_defined(
    count: list[int], title: str
) -> None:
    assert drawn({"x": [1.0, 2.0], "k": [1.0, 1.0]}, count).get_title() == title


@pytest.mark.parametrize(
    ("key", "label"),
    [
        ("cell_type.a.release_rate", "release rate of a (1/h)"),
        ("cell_type.a.waste.release_rate", "waste release rate of a (1/h)"),
        ("cell_type.a.mvb.sorting.0.share", "MVB sorting 0 share of a (1/h)"),
        ("layout.group.0.count", "count of group 0 (1/h)"),
        ("transport.hindrance", "hindrance (1/h)"),
    ],
)
def test_the_axis_names_all_parts_of_its_key(key: str, label: str) -> None:
    assert drawn({key: [1.0, 2.0]}, [3, 3]).get_xlabel() == label


def test_replicates_without_chance_are_told(tmp_path) -> None:
    _, _, found = swept(tmp_path / "a", f"{RATE}=60,600", chance=False, replicates=2)
    assert any("this scenario is deterministic" in warning for warning in found.warnings)
    _, _, found = swept(tmp_path / "b", f"{RATE}=60,600", replicates=2)
    assert not any("deterministic" in warning for warning in found.warnings)
    assert "no confidence intervals" in summary([1.0, 2.0], 0.5, n=1).warnings()[0]


def test_an_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Of 2,000 intervals of 5 normal draws 95 % hold 0; outside 93.5 to 96.5 % once in 500 times."""
    from exoabm.batch.sweeps.summary import half_width

    draws = np.random.default_rng(1).normal(size=(2000, 5))
    mean, sd = draws.mean(axis=1), draws.std(axis=1, ddof=1)
    held = np.abs(mean) <= half_width(sd, np.full(2000, 5))
    assert 0.935 < held.mean() < 0.965
    normal = np.abs(mean) <= 1.96 * sd / np.sqrt(5)  # the planted error: a quantile of the normal law
    assert normal.mean() < 0.90


# What is refused.


@pytest.mark.parametrize("vary", [f"{RATE}=60,-1", f"{RATE}=-1:60:3", "cell_type.doner.release_rate=1,2"])
def test_a_value_that_is_not_allowed_is_refused_before_anything_runs(vary) -> None:
    with pytest.raises((ScenarioError, InputError)) as refused:
        plan_sweep(load("two_cells"), [vary], source="two_cells", seed=1)
    assert "release_rate" in str(refused.value)


@pytest.mark.parametrize("replicates", [0, -1, 10**9])
def test_a_number_of_replicates_has_its_limits(replicates) -> None:
    with pytest.raises(InputError, match=r"replicates = .*: expected an integer from 1 to 100,000"):
        plan_sweep(load("two_cells"), [f"{RATE}=1,2"], seed=1, replicates=replicates)


def test_more_runs_at_a_time_than_memory_holds_are_refused() -> None:
    vary = [f"{RATE}=1:9:900"]
    plan = plan_sweep(load("two_cells"), vary, source="two_cells", seed=1)
    with pytest.raises(ResourceError, match=r"900 runs at a time .* --jobs \d+ would do"):
        duration_note(load("two_cells"), plan, vary, jobs=1000)


def test_a_long_sweep_is_announced_and_a_short_one_is_not(monkeypatch) -> None:
    """With a probe that says 100 s for a row, and 200 rows, 2 at a time."""
    from exoabm.runs import measured_runtime as probe
    from exoabm.runs.measured_runtime import Timing

    monkeypatch.setattr(probe, "probe", lambda *_, **__: Timing(0.0, 1.0, 100, 0.0, 5))
    vary = [f"{RATE}=1:9:20"]
    tissue = load("tissue")
    plan = plan_sweep(tissue, vary[:0], source="tissue", seed=1, replicates=200)
    said = duration_note(tissue, plan, [], jobs=2)
    assert said is not None
    assert "about 2.8 h for 200 rows, 2 at a time" in said
    quick = plan_sweep(load("two_cells"), vary, source="two_cells", seed=1, hours=0.1)
    assert duration_note(load("two_cells"), quick, vary, jobs=2) is None
