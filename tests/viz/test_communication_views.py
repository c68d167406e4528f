"""What the panels print are sums over the run folder's tables, from a live model and from a folder alike."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exoabm import ExosomeModel
from exoabm.analysis.communication import reach
from exoabm.errors import InputError
from exoabm.plot.palette import Looks
from exoabm.runs.run_execution import run_to_folder
from exoabm.scenario.loader import load, shipped
from exoabm.viz.drawings.communication_views import VIEWS, network, network_words, strength_words
from exoabm.viz.drawings.svg import PAGE, PRINT
from exoabm.viz.drawings.type_views import heatmap_words
from exoabm.viz.results.cells_and_space import looks_at_start
from exoabm.viz.results.communication_data import COUNTS, CommunicationData
from exoabm.viz.results.text_summary import cell_summary, present_classes

if TYPE_CHECKING:
    from pathlib import Path

    from exoabm.scenario.loader import LoadedScenario


@pytest.fixture(scope="module")
def live(model: ExosomeModel) -> CommunicationData:
    return CommunicationData.of_model(model, Looks.of_state(model.state))


@pytest.fixture(scope="module")
def stored(folder: Path) -> CommunicationData:
    return CommunicationData.all_of_folder(folder)[0]


def test_live_and_stored_are_the_same(live: CommunicationData, stored: CommunicationData) -> None:
    assert len(live) == 7 * 40
    assert live.names == stored.names
    assert stored.hours == live.hours == pytest.approx(2.0)
    for name in ("donor", "donor_type", "recipient", "recipient_type"):
        assert np.array_equal(getattr(live, name), getattr(stored, name))
    for count in COUNTS:
        assert np.array_equal(live.counts[count], stored.counts[count])
    assert np.array_equal(live.cells.position, stored.cells.position)
    assert live.cells.styles == stored.cells.styles
    assert np.array_equal(live.space.size, stored.space.size)


@pytest.mark.parametrize("count", COUNTS)
def test_every_number_is_a_sum_over_the_table(folder: Path, stored: CommunicationData, count: str) -> None:
    table = pq.read_table(folder / "edges.parquet").to_pandas()
    senders, receivers, values = stored.matrix(count)
    for i, a in enumerate(senders):
        for j, b in enumerate(receivers):
            rows = table[(table.donor_type == a) & (table.recipient_type == b)]
            assert values[i, j] == pytest.approx(rows[count].sum(), rel=1e-12)
    for row in BY_KEY["network"].numbers(stored, count):
        pair = table[(table.donor == row["donor"]) & (table.recipient == row["recipient"])]
        assert row[count] == pytest.approx(pair[count].sum(), rel=1e-12)
    if count == "taken_up":
        means = BY_KEY["distance"].numbers(stored, count)
        assert sum(row["sum"] for row in means) == pytest.approx(table[count].sum(), rel=1e-12)


def test_network_words_count_links_of_a_cell_to_itself(live: CommunicationData) -> None:
    assert "itself" not in network_words(live, "taken_up")
    own = replace(live, recipient=np.where(np.arange(280) < 40, live.donor, live.recipient))
    assert network_words(own, "taken_up").endswith("40 links of a cell to itself are left out.")


def test_network_leaves_out_what_a_cell_keeps_for_itself(stored: CommunicationData) -> None:
    start, end, value = stored.between("taken_up")
    assert (start != end).all()
    assert (np.diff(value) <= 0).all()
    assert np.array_equal(np.sort(stored.cells.ids[start]), np.repeat(np.arange(7), 40))


def test_distance_is_the_short_way_around_a_periodic_face(stored: CommunicationData) -> None:
    space = stored.space
    around = type(space)(space.low, space.size, np.array([True, False, False]))
    a, b = np.array([[10.0, 10, 5]]), np.array([[590.0, 10, 5]])
    assert space.distance(a, b)[0] == 580
    assert around.distance(a, b)[0] == pytest.approx(20)


BY_KEY = {view.key: view for view in VIEWS}


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.key)
@pytest.mark.parametrize("look", [PAGE, PRINT], ids=["page", "print"])
def test_panels_are_sound_svg_with_words(live: CommunicationData, view, look) -> None:
    root = ET.fromstring(view.draw(live, "taken_up", look))
    assert root.get("role") == "img"
    assert view.words(live, "taken_up") in root.get("aria-label")
    text = "".join(root.itertext())
    assert "nan" not in text.lower().split()
    assert ("var(--" in ET.tostring(root).decode()) == (look is PAGE)


def test_panels_of_nothing_say_so() -> None:
    model = ExosomeModel("two_cells", seed=1)
    links = CommunicationData.of_model(model, Looks.of_state(model.state))
    for view in VIEWS:
        for count in COUNTS:
            ET.fromstring(view.draw(links, count, PAGE))
        rows = view.numbers(links, "taken_up")
        assert not any(value for row in rows for value in row.values() if not isinstance(value, str))


def test_a_count_without_links_does_not_hide_other_links() -> None:
    """Vesicles have gone from one cell to another, though none was recycled."""
    model = ExosomeModel("two_cells", seed=1)
    model.run(hours=1)
    links = CommunicationData.of_model(model, Looks.of_state(model.state))
    assert links.counts["taken_up"].sum() > links.counts["recycled"].sum() == 0
    for view in VIEWS:
        if view.key != "types":
            assert view.words(links, "recycled").endswith(": vesicles recycled.")
        assert "recycled" in view.draw(links, "recycled", PAGE)


def test_names_of_types_are_whole_in_the_table() -> None:
    model = ExosomeModel("hidden_donors", seed=1)
    model.run(hours=0.1)
    links = CommunicationData.of_model(model, Looks.of_state(model.state))
    assert "…" not in BY_KEY["types"].draw(links, "taken_up", PAGE)


def test_a_distance_within_a_type_is_said_to_count_as_none() -> None:
    model = ExosomeModel("production", seed=1)
    model.run(hours=6)
    links = CommunicationData.of_model(model, Looks.of_state(model.state))
    words = strength_words(links, "taken_up")
    assert words.endswith("at a distance of 0, since donor cells are not known.")


def test_types_only_are_not_drawn_as_cells(folder: Path) -> None:
    model = ExosomeModel("waste_removal", seed=1, overrides={"layout.group.stressed.count": "20"})
    model.run(hours=1)
    links = CommunicationData.of_model(model, Looks.of_state(model.state))
    assert not links.by_cell
    assert len(links.between("taken_up")[0]) == 0
    assert "by type only" in network_words(links, "taken_up")
    distance, _, to = links.distances("taken_up")
    assert "lower bound" in to
    assert (distance >= 0).all()


def test_donors_that_are_not_recorded_are_not_shown_as_zeros() -> None:
    model = ExosomeModel("two_cells", seed=1, overrides={"transport.provenance": "none"})
    model.run(hours=1)
    links = CommunicationData.of_model(model, Looks.of_state(model.state))
    assert links.matrix("taken_up")[:2] == (("any",), ("recipient",))
    assert "does not record donors" in network_words(links, "taken_up")
    assert "does not record donors" in strength_words(links, "taken_up")
    assert "sent" not in network(links, "taken_up")
    summary = cell_summary(model, 0)
    assert summary is not None
    assert "does not record donors" in summary.note


@pytest.mark.parametrize("resolution", ["cell_type", "cell"])
def test_a_network_without_donor_cells_says_so(resolution: str) -> None:
    model = ExosomeModel("tissue_repair", seed=1, overrides={"transport.provenance": resolution})
    model.run(hours=1)
    links = CommunicationData.of_model(model, Looks.of_state(model.state))
    words = network_words(links, "taken_up")
    assert words.startswith("No cell releases vesicles, so no arrow joins two cells;")
    assert "record donors" not in words


def test_one_link_is_drawn() -> None:
    model = ExosomeModel("two_cells", seed=1)
    model.run(hours=1)
    links = CommunicationData.of_model(model, Looks.of_state(model.state))
    assert network_words(links, "taken_up").startswith(
        "Drawn: 1 link between different cells. Strongest: cell 0 to cell 1,"
    )


def test_cells_that_are_gone_are_left_out(live: CommunicationData) -> None:
    keep = live.cells.ids != 0
    fewer = type(live.cells)(
        live.cells.ids[keep],
        live.cells.type[keep],
        live.cells.position[keep],
        live.cells.styles,
        live.cells.alive[keep],
    )
    start, end, _ = type(live)(**{**vars(live), "cells": fewer}).between("taken_up")
    assert len(start) == 6 * 40
    assert (fewer.ids[start] != 0).all()
    assert (end >= 0).all()


@pytest.mark.parametrize("damage", ["run.json", "edges.parquet", "cells.parquet", "column", "scenario"])
def test_a_damaged_folder_is_refused_in_words(folder: Path, tmp_path: Path, damage: str) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    if damage == "column":
        table = pq.read_table(broken / "edges.parquet").drop_columns(["taken_up"])
        pq.write_table(table, broken / "edges.parquet")
    elif damage == "scenario":
        about = json.loads((broken / "run.json").read_text())
        about["scenario"]["domain"]["voxel"] = "-4 um"
        (broken / "run.json").write_text(json.dumps(about))
    else:
        (broken / damage).write_bytes(b"PAR1 no")
    with pytest.raises(InputError):
        CommunicationData.all_of_folder(broken)[0]


@pytest.mark.parametrize("scenario", sorted(shipped()))
def test_types_look_alike_live_and_stored(scenario: str) -> None:
    """A folder knows a type by its scenario alone, a live model by its mechanisms; both say the same role."""
    model = ExosomeModel(scenario, seed=1)
    live = Looks.of_state(model.state)
    rows = pa.table({"cell_type": model.state.type_names()})
    found, known = looks_at_start(rows, model.scenario), len(model.scenario.cell_type)
    assert found == Looks(live.styles[:known], live.drawn[:known])


def test_the_dead_keep_their_links_and_places(
    bereft: ExosomeModel, mortal: LoadedScenario, tmp_path: Path
) -> None:
    live = CommunicationData.of_model(bereft, Looks.of_state(bereft.state))
    distance, value, _ = live.distances("taken_up")
    assert np.average(distance, weights=value) == pytest.approx(reach(bereft.state)["donor"]["mean_um"])
    table = bereft.edges.to_pandas()
    links = BY_KEY["network"].numbers(live, "taken_up")
    others = table[table.donor != table.recipient]
    assert sum(row["taken_up"] for row in links) == pytest.approx(others.taken_up.sum())
    drawn = BY_KEY["network"].draw(live, "taken_up", PAGE)
    assert drawn.count(", dead: received") == len(bereft.state.lineage.dead)
    out = tmp_path / "run"
    run_to_folder(mortal, out, seed=1, hours=2.0)
    stored = CommunicationData.all_of_folder(out)[0]
    for name in ("ids", "type", "position", "alive"):
        assert np.array_equal(getattr(live.cells, name), getattr(stored.cells, name))


@pytest.fixture(scope="module")
def drugged() -> ExosomeModel:
    """Vesicles and drug molecules beside them."""
    model = ExosomeModel("tumor_delivery", seed=1)
    model.run(hours=1)
    return model


def test_sorts_are_counted_each_by_itself(drugged: ExosomeModel, tmp_path: Path) -> None:
    edges, looks = drugged.edges.to_pandas(), Looks.of_state(drugged.state)
    stored = dict(zip(("vesicles", "drug molecules"), _stored(tmp_path), strict=True))
    for particles in present_classes(drugged.scenario):
        links = CommunicationData.of_model(drugged, looks, particles)
        rows = edges[edges.vesicle_kind.isin(links.kinds)]
        assert links.counts["taken_up"].sum() == pytest.approx(rows.taken_up.sum(), rel=1e-12)
        assert particles.name in heatmap_words(links, "taken_up")
        assert stored[particles.name].what == particles.name
        assert stored[particles.name].counts["taken_up"].sum() == links.counts["taken_up"].sum()
    assert CommunicationData.of_model(drugged, looks).what == "vesicles"


def _stored(tmp_path: Path) -> tuple[CommunicationData, ...]:
    run_to_folder(load("tumor_delivery"), tmp_path / "run", seed=1, hours=1)
    return CommunicationData.all_of_folder(tmp_path / "run")


def test_what_no_cell_sent_has_no_distance_and_that_is_said(drugged: ExosomeModel) -> None:
    links = CommunicationData.of_model(drugged, Looks.of_state(drugged.state))
    assert "received from another cell" in BY_KEY["distance"].words(links, "taken_up")
    assert "received from another cell" in BY_KEY["distance"].draw(links, "taken_up", PAGE)
