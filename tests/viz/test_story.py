"""Every number told on the page is one of the run's tables."""

from __future__ import annotations

import re

import numpy as np
import pytest

from exoabm import ExosomeModel
from exoabm.viz.looks import Looks
from exoabm.viz.story import charts, curves, many, seen, story

ENGINES = {"continuum": {}, "vesicles": {"transport.engine": "vesicles"}}


@pytest.fixture(scope="module", params=ENGINES)
def model(request: pytest.FixtureRequest) -> ExosomeModel:
    made = ExosomeModel("signaling", seed=1, overrides=ENGINES[request.param])
    made.run(hours=3)
    return made


def test_the_story_of_a_recipient_is_its_rows_of_the_edge_table(model: ExosomeModel) -> None:
    edges = model.edges.to_pandas()
    cell = int(edges.groupby("recipient").internalized.sum().idxmax())
    rows = edges[(edges.recipient == cell) & (edges.internalized > 0)]
    tale = story(model.state, cell)
    assert tale is not None
    assert tale.title == f"recipient {cell}"
    told = {who: (taken, delivered) for who, taken, delivered, _ in tale.reached_by}
    expected = {f"donor {r.donor}": (r.internalized, r.delivered) for r in rows.itertuples()}
    assert told == expected
    assert dict(tale.facts)["taken up"] == many(rows.internalized.sum())
    assert [taken for _, taken, _, _ in tale.reached_by] == sorted(rows.internalized, reverse=True)
    assert {(d, r) for d, r, _, _ in tale.links} == {(int(d), cell) for d in rows.donor}


def test_the_story_of_a_donor_is_whom_it_reached(model: ExosomeModel) -> None:
    edges = model.edges.to_pandas()
    rows = edges[(edges.donor == 0) & (edges.internalized > 0)]
    tale = story(model.state, 0)
    assert tale is not None
    assert len(tale.reached) == len(rows)
    assert sum(taken for _, taken, _, _ in tale.reached) == pytest.approx(rows.internalized.sum())
    assert all(out for *_, out in tale.links)
    assert max(weight for *_, weight, _ in tale.links) == 1.0
    first = {who: at for who, _, _, at in tale.reached}
    for row in rows.itertuples():
        at = first[f"recipient {row.recipient}"]
        assert at is None if np.isnan(row.first_time_s) else at == pytest.approx(row.first_time_s / 3600)


def test_of_a_cell_that_is_not_there_nothing_is_told(model: ExosomeModel) -> None:
    assert story(model.state, 10**6) is None


def test_by_type_no_edges_between_cells_are_drawn() -> None:
    model = ExosomeModel("waste_removal", seed=1)
    model.run(hours=1)
    tale = story(model.state, 3)
    assert tale is not None
    assert tale.links == ()
    assert "by type only" in tale.note


def test_the_sentence_counts_what_the_ledger_counts(model: ExosomeModel) -> None:
    words = seen(model.state)
    numbers = [float(n.replace(",", "")) for n in re.findall(r"(?<=[ ])[\d,]+\.?\d*(?=[ ;])", words)]
    assert words.startswith("After 3.00 h")
    assert float(model.state.ledger.emitted.sum()) in numbers
    assert round(float(model.state.ledger["free"].sum())) in numbers
    taken = model.state.trafficking.internalized.sum(axis=(1, 2))
    assert int((taken >= 1).sum()) in numbers


def test_curves_are_columns_of_the_metrics(model: ExosomeModel) -> None:
    table = model.metrics
    for chart in charts(model.state, Looks.of_state(model.state)).values():
        for line, (name, column, _) in zip(curves(model, chart), chart.columns, strict=True):
            assert line["name"] == name
            assert line["y"][: len(table)] == pytest.approx(table[column].tolist())
            assert line["x"][-1] == pytest.approx(3.0)


def test_long_curves_are_thinned_but_keep_their_end(
    model: ExosomeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exoabm.viz.story.MOST_POINTS", 5)
    line = curves(model, charts(model.state, Looks.of_state(model.state))["moved"])[0]
    assert len(line["x"]) <= 12
    assert line["y"][-1] == float(model.state.ledger.emitted.sum())


def test_a_dose_has_a_curve() -> None:
    model = ExosomeModel("delivery_routes", seed=1)
    model.run(hours=2)
    chart = charts(model.state, Looks.of_state(model.state))["dose"]
    (line,) = curves(model, chart)
    assert line["name"] == "dose"
    assert line["y"][0] == 0.0
    assert line["y"][-1] == pytest.approx(float(model.state.ledger.emitted.sum()))
