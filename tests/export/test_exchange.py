"""Who sent how much to whom, as sweeps keep it, against sums over the tables of their runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats

from exoabm.batch.execution.plan import Plan
from exoabm.errors import InputError
from exoabm.export.type_exchange import RunWithEdges, exchange_of, in_order, mean_and_half
from tests.batch.conftest import small_plan
from tests.batch.two_vesicle_types import RATE

WIDTH = 160.0
"""After so many um space repeats itself along x."""


def by_hand(run: Path) -> dict[tuple[str, str, str], dict[str, float]]:
    """Sums of the edge table by types and kind; distances the shorter way around."""
    cells = pq.read_table(run / "cells.parquet").to_pandas()
    last = cells[cells.time_s == cells.time_s.max()].set_index("cell")
    edges = pq.read_table(run / "edges.parquet").to_pandas()
    found = {}
    for key, rows in edges.groupby(["donor_type", "recipient_type", "vesicle_kind"], observed=True):
        start, end = last.loc[rows.donor.astype(int)], last.loc[rows.recipient]
        dx = np.abs(end.x_um.to_numpy() - start.x_um.to_numpy())
        far = np.hypot(np.minimum(dx, WIDTH - dx), end.y_um.to_numpy() - start.y_um.to_numpy())
        taken = rows.taken_up.to_numpy()
        found[key] = {
            "taken_up": taken.sum(),
            "delivered": rows.delivered.sum(),
            "encountered": rows.encountered.sum(),
            "distance_um": (taken * far).sum() / taken.sum() if taken.sum() else None,
            "first_time_s": rows.first_time_s.min(),
        }
    return found


def test_rows_keep_the_sums_of_their_runs(sweep: Path) -> None:
    """Each pair and kind, also those between which nothing went, and no pair turned around."""
    around = 0
    for group in exchange_of(str(sweep)).groups:
        for replicate in group.replicates:
            assert replicate.run is not None
            assert replicate.kept == replicate.run.pairs(), "the same from the folder"
            expected, pairs = by_hand(replicate.run.folder), replicate.pairs()
            keys = list(zip(pairs["donor_type"], pairs["recipient_type"], pairs["vesicle_kind"], strict=True))
            assert len(set(keys)) == len(keys) == 2 * 3 * 2, "two send, three types, two kinds"
            assert set(expected) <= set(keys)
            for i, key in enumerate(keys):
                for name, value in expected.get(
                    key, {"taken_up": 0, "delivered": 0, "encountered": 0}
                ).items():
                    got = pairs[name][i]
                    assert got == pytest.approx(value, rel=1e-12), (key, name)
            around += sum(
                values["taken_up"] for (_, to, _), values in expected.items() if to == "taker_of_all"
            )
    assert around > 50


def test_pairs_add_up_to_the_readouts(sweep: Path) -> None:
    results = pq.read_table(sweep / "results.parquet").to_pylist()
    plan = Plan.read(sweep)
    kept = {g.keys[RATE]: g for g in exchange_of(str(sweep)).groups}
    for row, result in zip(plan.rows, results, strict=True):
        group = kept[dict(row.overrides)[RATE]]
        pairs = next(r for r in group.replicates if r.seed == row.seed).pairs()
        total = sum(
            v
            for v, *ends in zip(pairs["taken_up"], pairs["donor_type"], pairs["recipient_type"], strict=True)
            if ends == ["donor", "taker_of_all"]
        )
        assert total == pytest.approx(result["taken_up[donor -> taker_of_all]"], rel=1e-12)


def test_analyses_keep_none_and_say_so(tmp_path) -> None:
    small_plan(2).write(tmp_path)
    with pytest.raises(InputError, match="does not store numbers by donor"):
        exchange_of(str(tmp_path))


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ("@cell_type.donor.release_rates=60", "did you mean 'cell_type.donor.release_rate'"),
        (f"@{RATE}=61", "there are: .*60 / h"),
        ("@arm=sending", "not varied here"),
    ],
)
def test_a_point_that_is_not_there_is_told(sweep: Path, chosen: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        exchange_of(f"{sweep}{chosen}")


def test_a_point_is_chosen_in_any_unit(sweep: Path) -> None:
    (group,) = exchange_of(f"{sweep}@{RATE}=1 / min").groups
    assert group.keys == {RATE: "60 / h"}
    assert len(group.replicates) == 3


def test_a_damaged_part_of_a_run_is_named(sweep: Path, tmp_path: Path) -> None:
    run = next((sweep / "runs").iterdir())
    copy = tmp_path / "run"
    copy.mkdir()
    for path in run.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    (copy / "pairs.parquet").write_bytes((copy / "edges.parquet").read_bytes())
    with pytest.raises(InputError, match=r"pairs\.parquet is damaged"):
        RunWithEdges(copy).pairs()


def test_intervals_are_students() -> None:
    values = np.random.default_rng(1).normal(3, 2, (5, 4))
    values[0, 3] = np.nan
    mean, half = mean_and_half(values)
    for i in range(4):
        known = values[np.isfinite(values[:, i]), i]
        low, high = stats.t.interval(0.95, len(known) - 1, known.mean(), stats.sem(known))
        assert (mean[i] - half[i], mean[i] + half[i]) == pytest.approx((low, high), rel=1e-12)
    assert np.isnan(mean_and_half(values[:1, :3])[1]).all(), "one replicate has none"


def test_types_stand_in_the_order_of_the_scenario() -> None:
    assert in_order(["dose", "b", "x", "a"], ["a", "b"]) == ["a", "b", "x", "dose"]
