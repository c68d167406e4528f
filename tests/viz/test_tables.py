"""A table on the page: it asks, gives a command that does the same, and lies as its image does."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
import solara

from exoabm.cli.options import overrides_of
from exoabm.domain import Domain
from exoabm.model import ExosomeModel
from exoabm.plot.palette import Looks
from exoabm.plot.run_figure import build_figure
from exoabm.readers.options import AmbiguousTable, Question
from exoabm.scenario.loader import load
from exoabm.viz.components.canvas import walls
from exoabm.viz.components.export_import import _Open, _Questions
from exoabm.viz.components.widgets import AnswerWidget
from exoabm.viz.drawings.communication_views import _placed
from exoabm.viz.results.communication_data import CommunicationData
from exoabm.viz.server.frames import Scale as FieldScale
from exoabm.viz.server.frames import _field, _shares
from exoabm.viz.server.uploads import UploadFolder, read_table_upload

CASES = Path(__file__).parents[1] / "readers" / "cases"


def test_what_is_asked_has_a_field_on_the_page() -> None:
    taken = []
    question = Question("unit: 'x_px' is in pixels", (("unit", "0.5 um"),))
    opened = _Open("a.csv", b"1", {"where": "b=2"}, "a.csv: 2 cells", (question,))
    _, found = solara.render(_Questions(opened, lambda *given: taken.append(given)), handle_error=False)
    (field,) = found.find(AnswerWidget).widgets
    assert (field.label, field.start) == ("Width of a pixel, or unit", "0.5 um")
    field.vue_send(" 0.325 um ")
    assert taken == [("a.csv", b"1", {"where": "b=2", "unit": "0.325 um"})]
    found.close()


def test_the_page_asks_for_the_width_of_a_pixel(uploads: UploadFolder) -> None:
    data = (CASES / "mixed/21-page-units/cells.csv").read_bytes()
    with pytest.raises(AmbiguousTable) as error:
        read_table_upload(uploads, "cells.csv", data)
    assert ("unit", "0.5 um") in error.value.questions[0].answers
    uploaded = read_table_upload(uploads, "cells.csv", data, {"unit": "0.5 um"})
    assert "x 50 to 100 um" in uploaded.recognized


@pytest.mark.parametrize(
    ("name", "answers"),
    [
        ("tables/qupath_px.csv", {"unit": "0.5 um"}),
        ("tables/qupath_two_images.csv", {"where": "Image=slide1.ome.tif"}),
        ("tables/xenium_cells.csv.gz", {"cell_type": "segmentation_method"}),
    ],
)
def test_the_offered_command_runs_the_same(
    uploads: UploadFolder, name: str, answers: dict[str, str], monkeypatch
) -> None:
    """It named a shipped scenario that was not there, and left out what each label means."""
    path = CASES / name
    uploaded = read_table_upload(uploads, path.name, path.read_bytes(), answers)
    setup = uploaded.setup(dict.fromkeys(list(uploaded.labels)[:1], "stroma"), seed=3)
    setup = setup.changed({"clock.step": "600"})
    words = shlex.split(setup.command)
    assert words[:2] == ["exoabm", "run"]
    assert words[2] == path.name
    monkeypatch.chdir(path.parent)
    pairs = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    there, here = load(words[2], overrides_of(pairs)), setup.load()
    assert there.scenario.info.summary.startswith("Cells have the positions in the table")
    models = [ExosomeModel(each, seed=3) for each in (there, here)]
    for model in models:
        model.run(hours=0.2)
    assert models[0].metrics.equals(models[1].metrics)
    assert models[0].state.type_names().tolist() == models[1].state.type_names().tolist()


def test_an_image_is_not_drawn_upside_down() -> None:
    models = [
        ExosomeModel(load(CASES / "tables/qupath05_cells.tsv", {"layout.y": y, "clock.step": "600"}), seed=1)
        for y in ("down", "up")
    ]
    for model in models:
        model.run(hours=0.2)
    down, up = (model.state for model in models)
    assert (down.y_down, up.y_down) == (True, False)
    np.testing.assert_array_equal(down.cells.position, up.cells.position)
    x, y = down.cells.position[:, 0], down.cells.position[:, 1]
    np.testing.assert_allclose(_shares(down, x, y)[:, 1], 65535 - _shares(up, x, y)[:, 1].astype(int), atol=1)
    fields = [_field(state, FieldScale(), [0])[0] for state in (down, up)]
    assert fields[0].any()
    np.testing.assert_array_equal(fields[0], fields[1][::-1])
    places = []
    for model in models:
        communication = CommunicationData.of_model(model, Looks.of_state(model.state))
        places.append(_placed(communication.cells, communication.space))
    (at_down, _, height), (at_up, _, _) = places
    np.testing.assert_allclose(at_down[:, 1], height - at_up[:, 1])
    uppermost = at_down[:, 1].argmin()
    assert y[uppermost] == y.min()


def test_obstacles_turn_with_the_picture() -> None:
    mask = np.zeros((4, 3), bool)
    mask[0, 1] = True
    domain = Domain((4, 3), 5.0, 10.0, obstacle=mask)
    assert walls(domain) == [[1 / 3, 0.0, 1 / 3, 0.25]]
    assert walls(domain, down=True) == [[1 / 3, 0.75, 1 / 3, 0.25]]


def test_the_preview_of_an_image_runs_downward() -> None:
    for y in ("down", "up"):
        model = ExosomeModel(load(CASES / "tables/qupath05_cells.tsv", {"layout.y": y, "clock.step": "600"}))
        model.run(hours=0.2)
        figure = build_figure(model.state, model.history.rows)
        axes = next(ax for ax in figure.axes if ax.get_label() == "tissue")
        low, high = axes.get_ylim()
        assert (low > high) == (y == "down")
        assert axes.images[0].get_extent()[2:] == pytest.approx(sorted((low, high)))
