"""Colors stay with their types while cells of some types multiply and others die out."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from exoabm import ExosomeModel
from exoabm.plot.palette import Looks
from exoabm.plot.run_figure.layout import Scene
from exoabm.runs.execute import run_to_folder
from exoabm.scenario.loader import load
from exoabm.viz.components.canvas import world_of
from exoabm.viz.components.paired_runs import PairedRuns
from exoabm.viz.results.charts import charts
from exoabm.viz.results.communication_data import CommunicationData
from exoabm.viz.server.frames import gif
from exoabm.viz.server.session import Session
from exoabm.viz.setup import first_setup


@pytest.fixture
def session() -> Session:
    """Of a niche in which, by hand, every fibroblast became a helper, which none was at the start."""
    made = Session(load("tumor_niche"))
    made.step()
    state = made._model.state
    names = [t.name for t in state.types]
    turned = state.cells.type == names.index("fibroblast")
    state.cells.type[turned] = names.index("helper")
    state.lineage.transformations[names.index("fibroblast")] += turned.sum()
    return made


def test_pictures_of_a_run_agree_whatever_becomes_of_its_cells(session: Session) -> None:
    state, colors = session._model.state, {s.name: s.color for s in session.looks.styles}
    now = np.bincount(state.cells.type, minlength=len(state.types))
    assert Looks.of(state.types, now) != session.looks, "by the cells of now, colors would have moved"
    assert Looks.of_state(state) == session.looks
    assert tuple(Scene.of(state).styles) == session.looks.styles, "in preview.png"
    world = world_of(state, session.looks)
    assert {t["name"]: t["color"] for t in world["types"]} == colors
    assert {
        s.name: s.color for s in CommunicationData.of_model(session._model, session.looks).cells.styles
    } == colors
    for line in charts(session._model, session.looks)["each"].lines:
        assert line.color == colors[line.name]
    assert gif(session.recording.frames, state, session.looks, size=80).startswith(b"GIF89a")


def test_births_deaths_and_changes_are_taken_back() -> None:
    loaded = load("tumor_niche", {"response.conditioning.half_max": "1", "clock.duration": "24 h"})
    model = ExosomeModel(loaded, seed=1)
    first = Looks.of_state(model.state)
    model.run()
    fates = model.state.lineage
    assert fates.divisions.sum() > 0
    assert fates.transformations.sum() > 0
    assert Looks.of_state(model.state) == first


def test_what_a_cell_can_become_has_a_look_from_the_start(session: Session) -> None:
    assert all(session.looks.drawn)
    assert all(style.named for style in session.looks.styles)


def test_a_folder_is_drawn_as_it_was_live(tmp_path) -> None:
    loaded = load("tumor_niche", {"clock.duration": "2 h"})
    run_to_folder(loaded, tmp_path / "run", seed=1)
    assert len(set(pq.read_table(tmp_path / "run" / "cells.parquet")["time_s"].to_pylist())) >= 2
    stored = CommunicationData.of_folder(tmp_path / "run").cells.styles
    assert stored == Session(loaded).looks.styles


def test_two_runs_side_by_side_share_colors() -> None:
    """With more sources than relays the colors of run B alone would be others."""
    runs = PairedRuns(first_setup("relay"), {"layout.group.relay.count": "2"})
    a, b = runs.sessions
    assert [s.color for s in b.looks.styles] == [s.color for s in a.looks.styles]
    assert Looks.of_state(b._model.state).styles != a.looks.styles
    runs.close()
