"""``model.show()``: the stage of the page around a model that the reader has."""

from __future__ import annotations

import threading

import solara

import exoabm as xo
from exoabm.viz.components.widgets import CanvasWidget, PlayerWidget
from exoabm.viz.server.frames import header
from exoabm.viz.server.held_model import compiled_for

SMALL = {"layout.group.recipient.count": "12", "layout.group.donor.count": "3"}


def test_a_model_is_shown_and_stepped_where_it_is() -> None:
    """The picture is that of the model at its time; a step on the widget is one of the model."""
    model = xo.ExosomeModel("signaling", seed=1, overrides=SMALL)
    model.run(hours=0.1)
    _, shown = solara.render(model.show(), handle_error=False)
    canvas, player = (shown.find(kind).widget for kind in (CanvasWidget, PlayerWidget))
    time = model.state.time
    assert header(canvas.frame).time == model.state.time
    assert header(canvas.frame).cells == 15
    assert compiled_for(model.loaded).wait(120), "until then a step is one of the background"
    player.vue_step()
    assert model.state.time == time + 60
    assert header(canvas.frame).time == model.state.time
    player.vue_reset()
    assert header(shown.find(CanvasWidget).widget.frame).time == 0
    assert model.state.time == time + 60, "the model of the reader stays as it is"
    shown.close()


def test_an_element_that_is_closed_stops_its_model() -> None:
    model = xo.ExosomeModel("signaling", seed=1, overrides=SMALL)
    _, shown = solara.render(model.show(), handle_error=False)
    shown.find(PlayerWidget).widget.vue_go()
    workers = [thread for thread in threading.enumerate() if thread.name == "exoabm-session"]
    assert workers
    shown.close()
    for worker in workers:
        worker.join(20)
        assert not worker.is_alive()
    assert model.state.time < float(model.scenario.clock.duration)
