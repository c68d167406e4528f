"""Long tables of who sent how much to whom, of runs, sweeps and trials, read with pandas."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from exoabm.batch.execution.runner import run_rows
from exoabm.batch.trials.design import plan_trial
from exoabm.export.export import export_tables
from exoabm.export.type_exchange_tables import METHOD, long_tables
from exoabm.scenario.loader import load
from exoabm.tables.declarations import TABLES
from tests.batch.two_vesicle_types import RATE

LONG = [column.name for column in TABLES["pairs"].columns]


@pytest.mark.parametrize("name", ["vesicles", "types"])
def test_edges_of_a_run_have_the_distances_between_their_cells(finished, tmp_path, name) -> None:
    run = finished(name)
    export_tables(run.folder, tmp_path / "out", "csv")
    edges = pd.read_csv(tmp_path / "out" / "edges.csv")
    assert len(edges) == len(run.edges) > 20
    cells = run.all_cells.to_pandas().set_index("cell")
    if name == "vesicles":
        ends = (
            cells.loc[edges[end].astype(int), ["x_um", "y_um"]].to_numpy() for end in ("donor", "recipient")
        )
        start, end = ends
        np.testing.assert_allclose(edges.distance_um, np.hypot(*(end - start).T), atol=1e-9)
        assert (edges.donor_type == list(cells.loc[edges.donor.astype(int), "cell_type"])).all()
    else:
        assert edges.distance_um.isna().all(), "donor cells are not known"
        assert edges.donor.isna().all()
    assert (edges.recipient_type == list(cells.loc[edges.recipient, "cell_type"])).all()
    meanings = json.loads((tmp_path / "out" / "columns.json").read_text())
    assert set(meanings["edges"]["columns"]) == {*edges.columns}
    assert all("description" in column for column in meanings["edges"]["columns"].values())


def test_pairs_of_a_run_are_sums_of_its_edges(finished) -> None:
    run = finished("vesicles")
    types, edges = run.need("pairs").to_pandas(), run.edges.to_pandas()
    assert len(types) == 16, "every pair of four types"
    for row in types.itertuples():
        same = (edges.donor_type == row.donor_type) & (edges.recipient_type == row.recipient_type)
        assert row.taken_up == edges.taken_up[same].sum()
        assert row.delivered == edges.delivered[same].sum()
    assert types.taken_up.sum() == edges.taken_up.sum() > 0


def test_pairs_of_a_sweep_and_their_intervals(sweep: Path, tmp_path: Path) -> None:
    """What was varied and the replicate stand beside each pair; intervals as scipy has them."""
    export_tables(sweep, tmp_path / "out", "csv")
    pairs, means = (pd.read_csv(tmp_path / "out" / f"{name}.csv") for name in ("pairs", "pairs_summary"))
    key = f"{RATE} (1/h)"
    assert [*pairs.columns] == [key, "row", "replicate", *LONG]
    results = pd.read_csv(tmp_path / "out" / "results.csv").set_index("row")
    assert len(pairs) == 6 * 6 * 2, "six runs, six pairs, two kinds"
    for row, each in pairs.groupby("row"):
        assert (each[key] == results[key][row]).all()
        assert each.replicate.nunique() == 1
        taken = each.taken_up[(each.donor_type == "donor") & (each.recipient_type == "taker_of_all")].sum()
        assert taken == pytest.approx(results["taken_up[donor -> taker_of_all]"][row])
    assert sorted(pairs.replicate.unique()) == [1, 2, 3]
    checked = 0
    for mean in means[means["mean"].notna()].itertuples(index=False):
        rate, _, source, target, kind, quantity, n, value, sd, low, high, method = mean
        same = (pairs[key] == rate) & (pairs.recipient_type == target) & (pairs.vesicle_kind == kind)
        same &= pairs.donor_type == source
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
    sending = own[(own.arm == "sending") & (own.recipient_type == "recipient")]
    assert (sending.donor_type == "donor").all()
    assert (sending.encountered > 0).all()
    assert (own[own.arm == "silent"].encountered == 0).all()
    assert {*tables["pairs_summary"].columns} >= {"arm", "assumption", "value", "ci95_low", "ci95_high"}
