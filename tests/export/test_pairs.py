"""Long tables of who sent how much to whom, of runs, sweeps and trials, read with pandas."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from exoabm.batch.sweeps.runner import run_rows
from exoabm.batch.trials.design import plan_trial
from exoabm.export.pairs import METHOD, long_tables
from exoabm.export.tables import export_tables
from exoabm.scenario.loader import load
from tests.batch.two_kinds import RATE

LONG = "source target source_type target_type vesicles delivered distance_um first_time_s".split()
MORE = ["vesicle_kind", "captured"]


@pytest.mark.parametrize("name", ["vesicles", "types"])
def test_edges_of_a_run_are_those_of_its_table(finished, tmp_path, name) -> None:
    """Source sends, target receives; distances between the cells where both are known."""
    run = finished(name)
    export_tables(run.folder, tmp_path / "out", "csv")
    edges = pd.read_csv(tmp_path / "out" / "edges.csv", dtype={"source": str})
    assert [*edges.columns] == LONG + MORE
    expected = run.edges.to_pandas()
    expected = expected[expected.encountered > 0].reset_index(drop=True)
    assert len(edges) == len(expected) > 20
    by_cell = name == "vesicles"
    sender = expected.donor.astype(int).astype(str) if by_cell else expected.donor_type.astype(str)
    assert (edges.source == sender).all()
    assert (edges.target == expected.recipient).all()
    for ours, theirs in (
        ("vesicles", "taken_up"),
        ("delivered", "delivered"),
        ("captured", "encountered"),
    ):
        np.testing.assert_array_equal(edges[ours], expected[theirs])
    np.testing.assert_array_equal(edges.first_time_s, expected.first_time_s)
    cells = run.everyone.to_pandas().set_index("cell")[["x_um", "y_um"]]
    if by_cell:
        way = cells.loc[expected.recipient].to_numpy() - cells.loc[expected.donor.astype(int)].to_numpy()
        np.testing.assert_allclose(edges.distance_um, np.hypot(*way.T), atol=1e-9)
        assert (edges.source_type == cells_of(run, edges.source)).all()
    else:
        assert edges.distance_um.isna().all(), "donor cells are not known"
    assert (edges.target_type == cells_of(run, edges.target)).all()
    meanings = json.loads((tmp_path / "out" / "columns.json").read_text())
    assert set(meanings["edges"]["columns"]) == {*LONG, *MORE}
    assert all("description" in column for column in meanings["edges"]["columns"].values())


def cells_of(run, ids) -> list[str]:
    types = run.everyone.to_pandas().set_index("cell").cell_type
    return list(types.loc[[int(i) for i in ids]])


def test_types_of_a_run_are_sums_of_its_edges(finished) -> None:
    run = finished("vesicles")
    tables = {name: table.to_pandas() for name, table in long_tables(run.folder).items()}
    types, edges = tables["types"], tables["edges"]
    assert [*types.columns] == LONG + MORE
    assert len(types) == 16, "every pair of four types"
    for row in types.itertuples():
        same = (edges.source_type == row.source_type) & (edges.target_type == row.target_type)
        assert row.vesicles == edges.vesicles[same].sum()
        assert row.delivered == edges.delivered[same].sum()
    assert types.vesicles.sum() == run.edges.to_pandas().taken_up.sum() > 0
    assert (types.source == types.source_type).all()


def test_pairs_of_a_sweep_and_their_intervals(sweep: Path, tmp_path: Path) -> None:
    """What was varied and the replicate stand beside each pair; intervals as scipy has them."""
    export_tables(sweep, tmp_path / "out", "csv")
    pairs, means = (pd.read_csv(tmp_path / "out" / f"{name}.csv") for name in ("pairs", "pairs_summary"))
    key = f"{RATE} (1/h)"
    assert [*pairs.columns] == [key, "row", "replicate", *LONG, *MORE]
    results = pd.read_csv(tmp_path / "out" / "results.csv").set_index("row")
    assert len(pairs) == 6 * 6 * 2, "six runs, six pairs, two kinds"
    for row, each in pairs.groupby("row"):
        assert (each[key] == results[key][row]).all()
        assert each.replicate.nunique() == 1
        taken = each.vesicles[(each.source == "donor") & (each.target == "taker_of_all")].sum()
        assert taken == pytest.approx(results["taken_up[donor -> taker_of_all]"][row])
    assert sorted(pairs.replicate.unique()) == [1, 2, 3]
    checked = 0
    for mean in means[means["mean"].notna()].itertuples(index=False):
        rate, source, target, kind, quantity, n, value, sd, low, high, method = mean
        same = (pairs[key] == rate) & (pairs.target_type == target) & (pairs.vesicle_kind == kind)
        same &= pairs.source_type == source
        values = pairs[same][quantity].dropna()
        assert (n, value) == (len(values), pytest.approx(values.mean()))
        assert method == METHOD
        if n > 1 and sd > 0:
            assert (low, high) == pytest.approx(stats.t.interval(0.95, n - 1, value, stats.sem(values)))
            checked += 1
        elif n == 1:
            assert np.isnan([sd, low, high]).all()
    assert checked > 10


def test_pairs_of_a_trial_name_arm_assumption_and_value(tmp_path: Path) -> None:
    small = {"layout.group.recipient.count": "6", "clock.duration": "1 h", "record.fields": "1 h"}
    plan = plan_trial(load("signaling", small), replicates=2, sweep=True)
    run_rows(plan, tmp_path / "trial")
    tables = {name: table.to_pandas() for name, table in long_tables(tmp_path / "trial").items()}
    pairs = tables["pairs"]
    assert [*pairs.columns[:5]] == ["arm", "assumption", "value", "row", "replicate"]
    own = pairs[pairs.assumption.isna()]
    assert {*own.arm} == {"silent", "sending", "empty", "factor"}
    assert (own.row == own.arm + "-" + own.replicate.astype(str)).all(), "seeds count from 1"
    swept = pairs[pairs.assumption.notna()]
    assert len(swept)
    assert swept["value"].notna().all()
    assert (swept.row.str.split(".").str[0] == swept.assumption).all()
    sending = own[(own.arm == "sending") & (own.target_type == "recipient")]
    assert (sending.source_type == "donor").all()
    assert (sending.captured > 0).all()
    assert (own[own.arm == "silent"].captured == 0).all()
    assert {*tables["pairs_summary"].columns} >= {"arm", "assumption", "value", "ci95_low", "ci95_high"}
