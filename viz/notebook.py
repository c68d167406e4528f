"""A model in a notebook: the canvas and the player of the page, as a widget of Jupyter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import solara

from exoabm.viz.app import STYLE
from exoabm.viz.components.canvas import Stage
from exoabm.viz.components.widgets import html
from exoabm.viz.server.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from exoabm.model import ExosomeModel


def widget_of(model: ExosomeModel) -> solara.Element:
    """An element that Jupyter displays: the model, with buttons that play, pause and step it.

    Playing advances ``model`` itself, in a thread, until the duration of the scenario; *start again* shows
    a new run of the same scenario and seed, and leaves ``model`` as it is.

    Raises
    ------
    ResourceError
        If the model is too large for the page.
    """
    return Shown(model)


@solara.component
def Shown(model: ExosomeModel) -> None:
    """The stage of a model."""
    first = solara.use_memo(lambda: Session(model.loaded, model.streams.seed, model=model), [id(model)])
    session = solara.use_reactive(first)
    pulse, past, selected = solara.use_reactive(0), solara.use_reactive(-1), solara.use_reactive(-1)

    def listen() -> Callable[[], None]:
        current = session.value
        current.on_change = lambda: pulse.set(pulse.peek() + 1)
        return current.close

    def again(_: bool) -> None:
        past.set(-1)
        session.set(Session(model.loaded, model.streams.seed))

    solara.use_effect(listen, [id(session.value)])
    _ = pulse.value
    solara.Style(STYLE)
    with html("div", "exo exo-notebook"):
        if session.value.error:
            html("p", "exo-wrong-answer", text=session.value.error)
        Stage(session.value, pulse, False, again, past, selected, ())
