"""Every number phrase on the page is one of the run's tables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
import reacton
import tomli_w
from ipyvuetify import Html

from exoabm import ExosomeModel
from exoabm.output.metrics import measure
from exoabm.plot.palette import Looks
from exoabm.scenario.loader import load, shipped
from exoabm.tables.readouts import named, parse
from exoabm.viz.components.communication import Cell
from exoabm.viz.results.charts import charts, curves
from exoabm.viz.results.text_summary import cell_summary, hours, many, phrase, present_kinds, run_summary
from exoabm.viz.server.frames import loaded_deliveries

if TYPE_CHECKING:
    from pathlib import Path

ENGINES = {"continuum": {}, "vesicles": {"transport.engine": "vesicles"}}


@pytest.fixture(scope="module", params=ENGINES)
def model(request: pytest.FixtureRequest) -> ExosomeModel:
    made = ExosomeModel("signaling", seed=1, overrides=ENGINES[request.param])
    made.run(hours=3)
    return made


@pytest.mark.parametrize(
    ("time_h", "clock"),
    [(23.625, "23.63"), (1.125, "1.13"), (1.115, "1.11"), (8.345, "8.35"), (24.0, "24.00")],
)
def test_a_time_is_rounded_as_by_the_clock_of_the_page(time_h: float, clock: str) -> None:
    """``clock`` is what ``toFixed(2)`` of a browser writes: of two numbers as near, the larger."""
    assert hours(3600 * time_h) == f"After {clock} h"


def test_the_summary_of_a_recipient_is_its_rows_of_the_edge_table(model: ExosomeModel) -> None:
    edges = model.edges.to_pandas()
    cell = int(edges.groupby("recipient").taken_up.sum().idxmax())
    rows = edges[(edges.recipient == cell) & (edges.taken_up > 0)]
    summary = cell_summary(model, cell)
    assert summary is not None
    assert summary.title == f"recipient {cell}"
    phrase = {row.name: (row.taken_up, row.delivered) for row in summary.donors}
    expected = {f"donor {r.donor}": (r.taken_up, r.delivered) for r in rows.itertuples()}
    assert phrase == expected
    assert dict(summary.facts)["taken up"] == many(rows.taken_up.sum())
    assert [row.taken_up for row in summary.donors] == sorted(rows.taken_up, reverse=True)
    assert {(d, r) for d, r, _, _ in summary.links} == {(int(d), cell) for d in rows.donor}


def test_the_summary_of_a_donor_is_its_recipients(model: ExosomeModel) -> None:
    edges = model.edges.to_pandas()
    rows = edges[(edges.donor == 0) & (edges.taken_up > 0)]
    summary = cell_summary(model, 0)
    assert summary is not None
    assert len(summary.recipients) == len(rows)
    assert sum(row.taken_up for row in summary.recipients) == pytest.approx(rows.taken_up.sum())
    assert all(out for *_, out in summary.links)
    assert max(weight for *_, weight, _ in summary.links) == 1.0
    first = {row.name: row.first_h for row in summary.recipients}
    for row in rows.itertuples():
        at = first[f"recipient {row.recipient}"]
        assert at is None if np.isnan(row.first_time_s) else at == pytest.approx(row.first_time_s / 3600)


def test_of_a_cell_that_is_not_there_nothing_is_told(model: ExosomeModel) -> None:
    assert cell_summary(model, 10**6) is None


def test_by_type_no_edges_between_cells_are_drawn() -> None:
    model = ExosomeModel("waste_removal", seed=1)
    model.run(hours=1)
    summary = cell_summary(model, 3)
    assert summary is not None
    assert summary.links == ()
    assert "by type only" in summary.note


def test_the_sentence_counts_what_the_ledger_counts(model: ExosomeModel) -> None:
    words = run_summary(model)
    numbers = [float(n.replace(",", "")) for n in re.findall(r"(?<=[ ])[\d,]+\.?\d*(?=[ ;])", words)]
    assert words.startswith("After 3.00 h")
    assert float(model.state.balance.emitted.sum()) in numbers
    assert round(float(model.state.balance["free"].sum())) in numbers
    taken = model.state.trafficking.taken_up.sum(axis=(1, 2))
    assert int((taken >= 1).sum()) in numbers


def test_curves_are_columns_of_the_metrics(model: ExosomeModel) -> None:
    table = model.metrics
    for chart in charts(model, Looks.of_state(model.state)).values():
        for line, (name, column, *_) in zip(curves(model, chart), chart.lines, strict=True):
            assert line["name"] == name
            assert line["y"][: len(table)] == pytest.approx(table[column].tolist())
            assert line["x"][-1] == pytest.approx(3.0)


def test_long_curves_are_thinned_but_keep_their_end(
    model: ExosomeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exoabm.viz.results.charts.MOST_POINTS", 5)
    line = curves(model, charts(model, Looks.of_state(model.state))["moved"])[0]
    assert len(line["x"]) <= 12
    assert line["y"][-1] == float(model.state.balance.emitted.sum())


def test_a_type_that_arises_during_a_run_has_curves_of_what_it_holds() -> None:
    for scenario, key, later in (
        ("tumor_niche", "held_order", "helper"),
        ("waste_removal", "waste", "senescent"),
    ):
        made = ExosomeModel(scenario, seed=1)
        drawn = charts(made, Looks.of_state(made.state))
        assert later in {line.name for line in drawn[key].lines}
    made = ExosomeModel("tumor_niche", seed=1)
    chart = charts(made, Looks.of_state(made.state))["held_order"]
    made.run(hours=20)
    points = {curve["name"]: curve["y"] for curve in curves(made, chart)}
    assert points["helper"][-1] == measure(made.state)["copies_per_cell[helper, order]"] > 0
    assert 0 < len(points["helper"]) < len(points["fibroblast"])


def test_what_is_no_vesicle_is_not_called_one() -> None:
    model = ExosomeModel("tumor_delivery", seed=1)
    assert "no vesicle has arrived yet" in run_summary(model)
    model.run(hours=2)
    vesicles, _, molecules = model.state.balance.emitted.sum(axis=1)
    assert molecules > 100 * vesicles > 0
    words = run_summary(model)
    assert f"of {many(vesicles)} vesicles that arrived" in words
    assert f"Of {many(molecules)} drug molecules that arrived" in words
    assert "nanoparticle" not in words, "of which there are none"
    drawn = charts(model, Looks.of_state(model.state))
    assert drawn["moved"].title == "Vesicles arrived, taken up, opened"
    whole = "Drug molecules arrived, taken up, reached their site of action"
    assert drawn["moved_drug molecules"].title == whole
    assert {parse(line.column).names for line in drawn["moved"].lines} == {("vesicle",)}
    inside = drawn["places_drug molecules"].lines[4].name
    assert (drawn["places"].lines[4].name, inside) == ("cytosol", "reached their site of action")
    assert drawn["moved_drug molecules"].y_label == "drug molecules until now"
    assert {parse(line.column).names for line in drawn["moved_drug molecules"].lines} == {("free",)}
    assert not any("nanoparticle" in line.column for c in drawn.values() for line in c.lines)


def test_where_cells_die_what_ended_in_them_is_not_told_to_be_in_lysosomes() -> None:
    """No lysosome degraded a molecule, and half a million were told in lysosomes: of cells that died."""
    model = ExosomeModel("tumor_delivery", seed=1, overrides={"response.killing.half_max": "100"})
    model.run(hours=4)
    free = [kind.name for kind in model.state.kinds].index("free")
    assert float(model.state.balance["lysosomal"][free].sum()) > 1000
    assert float(model.state.trafficking.lysosomal[:, free].sum()) == 0, "in living cells"
    lines = charts(model, Looks.of_state(model.state))["places_drug molecules"].lines
    assert {line.column: line.name for line in lines}["lysosomal[free]"] == "degraded"
    model = ExosomeModel("two_cells", seed=1)
    lines = charts(model, Looks.of_state(model.state))["places"].lines
    assert {line.column: line.name for line in lines}["lysosomal[exosome]"] == "lysosomes"


def test_a_soluble_factor_that_cells_release_is_named_so() -> None:
    factor = {"vesicle.exosome.comparator": "soluble_factor", "domain.voxel": "20 um"}
    model = ExosomeModel("signaling", seed=1, overrides=factor)
    model.run(hours=1)
    assert re.search(r"of [\d,.]+ free molecules released, .* were sensed\.$", run_summary(model))


def test_a_dose_has_a_curve_in_the_tissue_and_in_the_body() -> None:
    model = ExosomeModel("delivery_routes", seed=1)
    model.run(hours=2)
    drawn = charts(model, Looks.of_state(model.state))
    (line,) = curves(model, drawn["dose"])
    assert line["name"] == "dose"
    assert line["y"][0] == 0.0
    assert line["y"][-1] == pytest.approx(float(model.state.balance.emitted.sum()))
    plasma, liver, *_ = curves(model, drawn["body_dose"])
    assert (plasma["name"], liver["name"]) == ("plasma", "liver")
    assert 0 < plasma["y"][-1] < 1
    assert liver["y"][-1] > 0
    assert "set_free_dose" not in drawn, "molecules do not enter this tissue"


@pytest.mark.parametrize("scenario", ["tumor_delivery", "delivery_routes", "exosome_vs_cell_therapy"])
@pytest.mark.parametrize("route", ["intravenous", "subcutaneous"])
def test_the_curves_of_a_dose_in_the_body_have_all_of_it(scenario: str, route: str) -> None:
    """Lung, kidney, heart, the remainder of the body and free molecules had no curve."""
    name = load(scenario).scenario.dose[0].name
    model = ExosomeModel(scenario, seed=1, overrides={f"dose.{name}.route": route})
    model.run(hours=4)
    drawn = charts(model, Looks.of_state(model.state))
    ends = {line["name"]: line["y"][-1] for line in curves(model, drawn[f"body_{name}"])}
    assert sum(ends.values()) == pytest.approx(1.0)
    assert ends["elsewhere"] > 0.05
    assert ends["free molecules"] > 0.01
    assert {"heart", "liver", "degraded or excreted"} < set(ends)
    assert ends.get("depot", 0.0) > 0.1 or (route == "intravenous" and "depot" not in ends)
    if scenario == "tumor_delivery":
        places = {line["name"]: line["y"][-1] for line in curves(model, drawn[f"set_free_{name}"])}
        assert sum(places.values()) == pytest.approx(ends["free molecules"])
        assert places["elsewhere"] > places["heart"] > 0


def test_what_a_dose_of_cells_brings_to_the_tissue_is_told_as_vesicles() -> None:
    model = ExosomeModel("exosome_vs_cell_therapy", seed=1)
    drawn = charts(model, Looks.of_state(model.state))
    assert drawn["dose"].title == "Vesicles that entered the tissue"
    assert [line.name for line in drawn["dose"].lines] == ["vesicles of cells"]
    assert drawn["places"].title == "Where the vesicles that arrived are"
    assert "degraded or excreted" in {line.name for line in drawn["body_cells"].lines}


@pytest.mark.parametrize(
    ("scenario", "cell", "head"),
    [("delivery_routes", 8, "source"), ("two_cells", 1, "cell"), ("hidden_donors", 62, "cell, kind")],
)
def test_the_card_of_a_cell_tells_partners_and_lines_as_they_are(scenario: str, cell: int, head: str) -> None:
    """Doses are no cells; kinds are named where there are several; lines of links are phrase apart."""
    model = ExosomeModel(scenario, seed=1)
    model.run(hours=2)
    summary = cell_summary(model, cell)
    assert summary is not None
    _, context = reacton.render_fixed(Cell(summary, lambda: None), handle_error=False)
    tables = [each.children[0] for each in context.find(Html, tag="th").widgets][::4]
    titles = [each.children[0] for each in context.find(Html, tag="h3").widgets]
    context.close()
    assert set(tables) == {head}
    for title in titles:
        out = title.startswith("Taken up by")
        assert (("solid lines" if out else "dashed lines") in title) == any(
            link[3] == out for link in summary.links
        )


def test_a_type_whose_name_ends_in_a_number_is_no_cell(tmp_path: Path) -> None:
    text = tomli_w.dumps(load("two_cells").resolved()).replace('"donor"', '"donor_2"')
    (tmp_path / "numbered.toml").write_text(text, encoding="utf-8")
    by_type = {"transport.provenance": "cell_type"}
    model = ExosomeModel(tmp_path / "numbered.toml", seed=1, overrides=by_type)
    model.run(hours=1)
    summary = cell_summary(model, 1)
    assert summary is not None
    assert [(row.name, row.cell) for row in summary.donors] == [("donor 2", False)]
    _, context = reacton.render_fixed(Cell(summary, lambda: None), handle_error=False)
    (title,) = (each.children[0] for each in context.find(Html, tag="h3").widgets)
    context.close()
    assert title.startswith("Received from 1 source")


def test_numbers_of_vesicles_are_written_for_people() -> None:
    phrase = ["0", "fewer than 0.001", "0.25", "7", "12.3", "1,235"]
    assert [many(n) for n in (0.0, 1.2e-8, 0.25, 7.0, 12.345, 1234.6)] == phrase


def test_uptake_of_none_and_of_less_than_one_each_is_told_in_words() -> None:
    noisy = {"transport.engine": "vesicles", "cell_type.recipient.uptake_rate": "0.001"}
    single = ExosomeModel("two_cells", seed=1, overrides=noisy)
    single.run(hours=0.2)
    assert "; none was taken up by the only cell that can take them up; " in run_summary(single)
    expected = ExosomeModel("two_cells", seed=1, overrides={"transport.engine": "continuum"})
    expected.run(hours=0.5)
    assert "were taken up, fewer than one by the only cell that can take them up" in run_summary(expected)


def test_expected_numbers_are_taken_up_by_more_cells_than_those_with_one(model: ExosomeModel) -> None:
    taken = model.state.trafficking.taken_up.sum(axis=(1, 2))
    reached, single = (taken >= 1).sum(), model.state.follows_vesicles
    assert ((taken > 0).sum() > reached) != single
    by = "by" if single else ", at least one each by"
    assert f" were taken up{' ' * single}{by} {reached} of 300 cells that can; " in run_summary(model)
    cell = int(model.state.cells.birth_id[taken.argmax()])
    assert cell_summary(model, cell).expected != single, "the time of the first encounter is a median"


def test_what_the_dead_took_up_stays_told(bereft: ExosomeModel) -> None:
    state, row = bereft.state, bereft.metrics.iloc[-1]
    words = run_summary(bereft)
    assert f"{many(row['taken_up[exosome]'])} were taken up" in words
    assert f"{many(row['delivered[exosome]'])} opened to the cytosol" in words
    taken = bereft.edges.to_pandas().groupby("recipient").taken_up.sum()
    assert f"by {(taken >= 1).sum()} of 40 cells that can or could" in words
    living = state.trafficking.taken_up.sum()
    assert many(living) != many(row["taken_up[exosome]"]), "the living alone would be phrase apart"


def test_a_cell_tells_sorts_apart() -> None:
    model = ExosomeModel("tumor_delivery", seed=1)
    model.run(hours=1)
    edges = model.edges.to_pandas()
    cell = int(edges.recipient.iloc[0])
    summary = cell_summary(model, cell)
    assert summary is not None
    assert "released" not in dict(summary.facts), "it cannot"
    assert summary.delivered == "delivered", "some open, others reach their site of action"
    for particles, kinds in (("vesicles", ["vesicle"]), ("drug molecules", ["free"])):
        rows = edges[(edges.recipient == cell) & edges.vesicle_kind.isin(kinds)]
        assert dict(summary.facts)[f"taken up, {particles}"] == many(rows.taken_up.sum())
        (taken,) = (row.taken_up for row in summary.donors if row.name == f"dose, {particles}")
        assert taken == pytest.approx(rows.taken_up.sum())


@pytest.mark.parametrize(
    ("count", "words", "says"),
    [
        ("0", "vesicles that arrived", "0 vesicles that arrived"),
        ("1", "vesicles that arrived", "1 vesicle that arrived"),
        ("1", "opened to their cytosol", "1 opened to its cytosol"),
        ("1", "drug molecules taken up", "1 drug molecule taken up"),
        ("about 1", "are free", "about 1 is free"),
        ("11", "cells", "11 cells"),
        ("1", "", "1"),
        ("0.1", "copies", "0.1 copies"),
    ],
)
def test_a_number_and_its_words_agree(count: str, words: str, says: str) -> None:
    assert phrase(count, words) == says


def test_one_was_and_two_were(model: ExosomeModel) -> None:
    lone = ExosomeModel("two_cells", seed=1, overrides={"transport.engine": "vesicles"})
    said = set()
    for _ in range(600):
        lone.advance_by(60)
        said.add(
            re.search(r"(\S+) (was|were) taken up", run_summary(lone)).groups()
            if ";" in run_summary(lone)
            else None
        )
        if ("1", "was") in said:
            break
    assert ("1", "was") in said
    assert ("1", "were") not in said


def test_waste_that_came_is_no_delivery_of_cargo() -> None:
    model = ExosomeModel("waste_removal", seed=1)
    model.run(hours=6)
    state = model.state
    opened = state.trafficking.delivered.sum(axis=(1, 2))
    assert opened.max() > 0
    summary = cell_summary(model, int(state.cells.birth_id[opened.argmax()]))
    assert not any("copies" in words for words, _ in summary.facts)
    assert not loaded_deliveries(state, range(len(state.kinds))).any()


def test_a_card_names_the_kinds_of_one_donor() -> None:
    model = ExosomeModel("competition", seed=1)
    model.run(hours=0.5)
    recipient = int(model.state.cells.birth_id[model.state.of_type("uptake_rate").max(axis=1) > 0][0])
    donors = cell_summary(model, recipient).donors
    assert {donor.name for donor in donors} == {"messenger, exosome", "rival, empty"}


@pytest.mark.parametrize("scenario", sorted(shipped()))
def test_the_names_of_a_plot_have_room(scenario: str) -> None:
    """At most eight stand beside a plot; of two kinds of vesicles there are twelve places."""
    model = ExosomeModel(scenario, seed=1)
    drawn = charts(model, Looks.of_state(model.state))
    assert max(len(chart.lines) for chart in drawn.values()) <= 8
    titles = [chart.title for chart in drawn.values()]
    assert len(set(titles)) == len(titles)
    placed = {line.column for key, chart in drawn.items() if key.startswith("places") for line in chart.lines}
    assert {named("free", kind) for kind in present_kinds(model.scenario)} <= placed
