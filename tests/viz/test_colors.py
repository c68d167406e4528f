"""Colors stay with their types while cells of some types multiply and others die out."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest

from exoabm import ExosomeModel
from exoabm.api import plots
from exoabm.export.type_exchange import RunWithEdges
from exoabm.plot import palette
from exoabm.plot.palette import OTHER, Looks, rgb
from exoabm.plot.run_figure.layout import Scene
from exoabm.runs.run_execution import run_to_folder
from exoabm.scenario.loader import load, shipped
from exoabm.scenario.state_builder import blueprint
from exoabm.state import Cells
from exoabm.viz.components.canvas import world_of
from exoabm.viz.components.paired_runs import PairedRuns
from exoabm.viz.results.charts import charts
from exoabm.viz.results.communication_data import CommunicationData
from exoabm.viz.run_setup import first_setup
from exoabm.viz.server.gif import gif
from exoabm.viz.server.session import Session
from exoabm.viz.teaching.lesson import LESSONS

if TYPE_CHECKING:
    from pathlib import Path

    from exoabm.state import State


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
    assert [t["cells"] for t in world["types"]] == now.tolist(), "the legend shows the type of most"
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
    stored = CommunicationData.all_of_folder(tmp_path / "run")[0].cells.styles
    assert stored == Session(loaded).looks.styles


def test_a_type_that_is_switched_off_keeps_its_color_everywhere(tmp_path, monkeypatch) -> None:
    """Relay cells that cannot respond only take up: by the types of the run, sources would be red."""
    lesson = next(each for each in LESSONS if each.key == "threshold_and_relay")
    loaded = lesson.setup(lesson.steps[0]).load()
    usual = {style.name: style for style in Session(load("relay")).looks.styles}
    drawn: list[Looks] = []

    def draw(state: State, _rows: object, path: Path, *, looks: Looks, **_: object) -> None:
        path.touch()
        drawn.extend((Looks.of_state(state), looks))

    monkeypatch.setattr("exoabm.runs.run_execution.draw_preview", draw)
    run_to_folder(loaded, tmp_path / "run", seed=1, hours=0.02)
    by_itself = {style.name: style for style in drawn[0].styles}
    assert by_itself["source"].color != usual["source"].color
    stored = RunWithEdges(tmp_path / "run")
    found = {
        "page": Session(loaded).looks.styles,
        "preview": drawn[1].styles,
        "folder": CommunicationData.all_of_folder(tmp_path / "run")[0].cells.styles,
    }
    for place, styles in found.items():
        assert {s.name: s.color for s in styles} == {n: s.color for n, s in usual.items()}, place
        assert {s.name: s.role for s in styles} == {n: s.role for n, s in by_itself.items()}, place
    assert {name: plots._looks(stored)[name] for name in usual} == {n: s.color for n, s in usual.items()}


@pytest.mark.parametrize("name", sorted(shipped()))
def test_cells_of_a_shipped_scenario_are_whole_and_their_colors_known_without_placing_them(
    name, monkeypatch
) -> None:
    """Cells at random lie at least half a voxel inside; pictures show what reaches beyond the sides."""
    loaded = load(name)
    plan = blueprint(loaded, 1)
    looks = Looks.of(plan.types, np.bincount(plan.type_index, minlength=len(plan.types)))
    groups = loaded.scenario.layout.group
    at_random = np.repeat([group.arrange == "random" for group in groups], [group.count for group in groups])
    radius = np.array([cell_type.diameter / 2 for cell_type in plan.types])[plan.type_index]
    least = np.where(at_random, np.minimum(radius, plan.domain.voxel / 2), radius) if groups else radius
    place, low = plan.position[:, :2], plan.domain.low[:2]
    high = low + plan.domain.extent[:2]
    assert (np.minimum(place - low, high - place).min(axis=1) >= least).all()
    cells = Cells.at(plan.position, plan.type_index, cargos=0, pools=0, behaviors=0)
    room = looks.beyond(SimpleNamespace(types=plan.types, cells=cells, domain=plan.domain, behaviors=()))
    for index, (cell_type, style) in enumerate(zip(plan.types, looks.styles, strict=True)):
        rows = place[plan.type_index == index]
        corners = (rows[:, None] + style.role.polygon() * cell_type.diameter).reshape(-1, 2)
        assert ((corners >= low - room - 1e-9) & (corners <= high + room + 1e-9)).all()
    monkeypatch.setattr("exoabm.scenario.layouts.poisson_disc", None)
    assert palette._looks_as_shipped.__wrapped__(name) == looks


def test_cells_that_come_to_the_sides_during_a_run_are_drawn_whole() -> None:
    """Daughters in a wound lie nearer to its periodic faces than any cell at the start."""
    model = ExosomeModel("tissue_repair", seed=1)
    looks = Looks.of_state(model.state)
    room = looks.beyond(model.state)
    assert room == pytest.approx(palette.STAR * 15)
    model.run()
    place = model.state.cells.position[:, :2]
    near = np.minimum(place, model.state.domain.extent[:2] - place).min()
    assert near < 2, "nearer than the 7.5 um of the start"
    assert looks.beyond(model.state) == room, "nothing jumps"


def test_a_cell_counts_as_the_largest_type_into_which_it_can_transform() -> None:
    """Or it would be cut off at the border where it has transformed."""
    small = {"cell_type.donor.transformation": '{ into = "recipient", rate = "1e3 / h" }'}
    place = {"layout.group.donor.points": "[[20, 100, 100]]", "cell_type.recipient.diameter": "40 um"}
    model = ExosomeModel(load("two_cells", small | place), seed=1)
    looks = Looks.of_state(model.state)
    room = looks.beyond(model.state)
    model.run(hours=1)
    assert model.state.cells.type.tolist() == [1, 1]
    assert looks.beyond(model.state) == room == pytest.approx(palette.STAR * 40 - 20)


def test_types_of_another_scenario_have_their_own_colors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do those of the same names that take no part as shipped, and would all be gray."""
    looks = Looks.of_state(ExosomeModel("relay", seed=1).state)
    for name in ("two_cells", "of_no_shipped_name"):
        assert looks.as_shipped(name) is looks
    gray = [replace(style, color=OTHER, named=False) for style in looks.styles]
    assert Looks(tuple(gray), looks.drawn).as_shipped("relay") == looks
    monkeypatch.setattr(palette, "_looks_as_shipped", lambda _: Looks(tuple(gray), looks.drawn))
    assert looks.as_shipped("relay") is looks


def test_two_runs_side_by_side_share_colors() -> None:
    """With more sources than relays the colors of run B alone would be others."""
    runs = PairedRuns(first_setup("relay"), {"layout.group.relay.count": "2"})
    a, b = runs.sessions
    assert [s.color for s in b.looks.styles] == [s.color for s in a.looks.styles]
    assert Looks.of_state(b._model.state).styles != a.looks.styles
    runs.close()


DEUTAN = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
PROTAN = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
"""Linear RGB as seen without one type of cone (Machado, Oliveira and Fernandes 2009, severity 1)."""


def difference(one: str, other: str, seen: list[list[float]]) -> float:
    """Distance of two colors in CIELAB, of which 2.3 is just noticeable side by side."""

    def lab(color: str) -> np.ndarray:
        share = rgb(color) / 255 if rgb(color).max() > 1 else rgb(color)
        linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
        xyz = to_xyz @ np.clip(seen @ linear, 0, 1) / [0.9505, 1, 1.089]
        f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
        return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])

    return float(np.linalg.norm(lab(one) - lab(other)))


@pytest.mark.parametrize("seen", [np.eye(3), DEUTAN, PROTAN], ids=["all cones", "deuteranopia", "protanopia"])
def test_curves_of_one_plot_can_be_told_apart(seen) -> None:
    faces = dict.fromkeys((f"domain.faces.{axis}" for axis in "xyz"), "open")
    model = ExosomeModel("two_cells", seed=1, overrides=faces)
    drawn = charts(model, Looks.of_state(model.state))
    assert "escaped" in {line.name for line in drawn["places"].lines}
    closed = ExosomeModel("two_cells", seed=1)
    assert "escaped" not in {
        line.name for line in charts(closed, Looks.of_state(closed.state))["places"].lines
    }
    for key in ("places", "moved"):
        for one, other in combinations([line.color for line in drawn[key].lines], 2):
            assert difference(one, other, seen) > 15
    assert difference("#1B6E5A", "#A3195B", DEUTAN) < 3, "as lysosomes and delivered of areas"
