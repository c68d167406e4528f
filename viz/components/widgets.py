"""HTML elements, and the widgets drawn by the browser, each a Vue file beside this one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import reacton.ipyvuetify as v
import solara
import traitlets
from ipyvuetify import VuetifyTemplate  # type: ignore[attr-defined]
from traitlets import Bool, Bytes, Dict, Float, Int, List, Unicode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


KEPT = 100_000
"""Characters that a browser may hand back."""


class _Whole:
    """Data handed to a widget as one value.

    Reacton looks for elements in each item of a list or dict, at every rendering; curves have hundreds.
    """

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Whole) and self.value == other.value

    __hash__ = None  # type: ignore[assignment]


class Items(List):  # type: ignore[type-arg]
    """A list that does not contain elements."""

    def validate(self, obj: Any, value: Any) -> Any:
        """The list itself."""
        return super().validate(obj, value.value if isinstance(value, _Whole) else value)


class Table(Dict):  # type: ignore[type-arg]
    """A dict that does not contain elements."""

    def validate(self, obj: Any, value: Any) -> Any:
        """The dict itself."""
        return super().validate(obj, value.value if isinstance(value, _Whole) else value)


class _Widget(VuetifyTemplate):  # type: ignore[misc]
    """Calls ``on_<event>`` for events of the browser; handlers check the arguments."""

    @classmethod
    def element(cls, **kwargs: Any) -> Any:
        """An element of this widget."""
        return super().element(
            **{k: _Whole(v) if isinstance(v, list | dict) else v for k, v in kwargs.items()}
        )

    def _call(self, name: str, *values: object) -> None:
        handler = getattr(self, name)
        if handler is not None:
            handler(*values)


def _handler() -> traitlets.TraitType[Any, Any]:
    return traitlets.Callable(None, allow_none=True)


class CanvasWidget(_Widget):
    """Draws frames; acknowledges each by its number."""

    template_file = (__file__, "canvas.vue")
    world = Table().tag(sync=True)
    frame = Bytes(b"").tag(sync=True)
    links: Items = Items().tag(sync=True)
    selected = Int(-1).tag(sync=True)
    layers = Table().tag(sync=True)
    fixed = Bool(False).tag(sync=True)
    past = Bool(False).tag(sync=True)
    playing = Bool(False).tag(sync=True)
    preparing = Bool(False).tag(sync=True)
    alt = Unicode("").tag(sync=True)
    time_h = Float(0.0).tag(sync=True)
    on_painted, on_pick, on_layers, on_fix = _handler(), _handler(), _handler(), _handler()

    def vue_painted(self, number: int) -> None:
        """A frame is on the screen."""
        self._call("on_painted", number)

    def vue_pick(self, birth: int) -> None:
        """A cell was chosen, or none (-1)."""
        self._call("on_pick", birth)

    def vue_set_layers(self, layers: dict) -> None:
        """Other layers are wanted."""
        self._call("on_layers", layers)

    def vue_fix_scale(self, fixed: bool) -> None:
        """The color scale is to stay, or to follow."""
        self._call("on_fix", fixed)


class PlayerWidget(_Widget):
    """Go, pause, step, reset, speed, and the timeline of recorded frames."""

    template_file = (__file__, "player.vue")
    playing = Bool(False).tag(sync=True)
    finished = Bool(False).tag(sync=True)
    dirty = Bool(False).tag(sync=True)
    time_h = Float(0.0).tag(sync=True)
    end_h = Float(0.0).tag(sync=True)
    left = Unicode("").tag(sync=True)
    hurried = Bool(False).tag(sync=True)
    speed = Float(60.0).tag(sync=True)
    speeds: Items = Items().tag(sync=True)
    times: Items = Items().tag(sync=True)
    position = Int(-1).tag(sync=True)
    on_go, on_pause, on_step, on_reset = _handler(), _handler(), _handler(), _handler()
    on_speed, on_scrub, on_live = _handler(), _handler(), _handler()

    def vue_go(self, *_: object) -> None:
        """Go was pressed."""
        self._call("on_go")

    def vue_pause(self, *_: object) -> None:
        """Pause was pressed."""
        self._call("on_pause")

    def vue_step(self, *_: object) -> None:
        """One step is wanted."""
        self._call("on_step")

    def vue_reset(self, *_: object) -> None:
        """The run is to start again."""
        self._call("on_reset")

    def vue_set_speed(self, speed: float) -> None:
        """Another speed was chosen."""
        self._call("on_speed", speed)

    def vue_scrub(self, index: int) -> None:
        """A recorded frame is to be shown."""
        self._call("on_scrub", index)

    def vue_live(self, *_: object) -> None:
        """The present is to be shown."""
        self._call("on_live")


class ControlsWidget(_Widget):
    """Sliders, numbers and choices."""

    template_file = (__file__, "controls.vue")
    controls: Items = Items().tag(sync=True)
    on_value, on_slide = _handler(), _handler()

    def vue_set_value(self, change: dict) -> None:
        """A value was typed, chosen, or undone (None)."""
        self._call("on_value", change)

    def vue_slide(self, change: dict) -> None:
        """A slider was moved."""
        self._call("on_slide", change)


class EditorWidget(_Widget):
    """Fields of a scenario that is built, its text, and what is missing; see ``draft_fields``."""

    template_file = (__file__, "draft_editor.vue")
    sections: Items = Items().tag(sync=True)
    text = Unicode("").tag(sync=True)
    filename = Unicode("").tag(sync=True)
    problems: Items = Items().tag(sync=True)
    ready = Unicode("").tag(sync=True)
    refused = Unicode("").tag(sync=True)
    untakable = Unicode("").tag(sync=True)
    undoable, redoable = Bool(False).tag(sync=True), Bool(False).tag(sync=True)
    on_change, on_act = _handler(), _handler()

    def vue_change(self, change: object) -> None:
        """A field was given another value."""
        if isinstance(change, dict):
            self._call("on_change", change)

    def vue_act(self, act: object) -> None:
        """An item is to be added or removed, a change undone, or the scenario run."""
        if isinstance(act, dict):
            self._call("on_act", act)


class ChoiceWidget(_Widget):
    """A menu of (value, words); ``label`` is for screen readers.

    With ``opens`` a choice replaces what is below: that is hidden until ``answered`` is another number.
    """

    template_file = (__file__, "choice.vue")
    opens = Bool(False).tag(sync=True)
    answered = Int(0).tag(sync=True)
    label = Unicode("").tag(sync=True)
    value = Unicode("").tag(sync=True)
    options: Items = Items().tag(sync=True)
    on_value = _handler()

    def vue_choose(self, value: str) -> None:
        """An option was chosen; any other value is ignored."""
        if value in (option[0] for option in self.options):
            self._call("on_value", value)


class ThemeWidget(_Widget):
    """Light or dark; the browser remembers, and asks the system at first."""

    template_file = (__file__, "theme.vue")


class NoticeWidget(_Widget):
    """A sentence above the page, such as that the server has ended."""

    template_file = (__file__, "notice.vue")
    words = Unicode("").tag(sync=True)


class PlotWidget(_Widget):
    """Lines over one axis, drawn in the page's own style."""

    template_file = (__file__, "plot.vue")
    series: Items = Items().tag(sync=True)
    x_label = Unicode("").tag(sync=True)
    x_unit = Unicode("").tag(sync=True)
    y_label = Unicode("").tag(sync=True)
    x_least = Float(0.0).tag(sync=True)
    x_most = Float(0.0).tag(sync=True)
    y_least = Float(0.0).tag(sync=True)
    about = Unicode("").tag(sync=True)
    alt = Unicode("").tag(sync=True)


class AnswerWidget(_Widget):
    """A field for a number, ``start`` at first, and a button that submits it; scrolled to with ``reveal``."""

    template_file = (__file__, "answer.vue")
    label = Unicode("Your answer").tag(sync=True)
    button = Unicode("Check").tag(sync=True)
    start = Unicode("").tag(sync=True)
    unit = Unicode("").tag(sync=True)
    reveal = Bool(False).tag(sync=True)
    on_answer = _handler()

    def vue_send(self, text: object) -> None:
        """An answer was given."""
        self._call("on_answer", str(text)[:250])


class KeepWidget(_Widget):
    """Keeps a text in the browser under a name, and hands it over when the page is opened again.

    ``lasting`` is for every tab of the browser and until the text is empty; else it is for this tab alone.
    """

    template_file = (__file__, "browser_storage.vue")
    name = Unicode("").tag(sync=True)
    text = Unicode("").tag(sync=True)
    lasting = Bool(True).tag(sync=True)
    on_restore = _handler()

    def vue_restore(self, text: object) -> None:
        """What was kept."""
        self._call("on_restore", str(text)[:KEPT])


class LinkWidget(_Widget):
    """Hands over what stands behind ``#`` in the address of the page, and each time that it changes."""

    template_file = (__file__, "address.vue")
    on_link = _handler()

    def vue_opened(self, text: object) -> None:
        """A link of the page was opened."""
        self._call("on_link", str(text)[:KEPT])


class MovieWidget(_Widget):
    """Records the picture as a movie, in the browser and by its own recorder."""

    template_file = (__file__, "movie.vue")


class DownloadWidget(_Widget):
    """Files to download, as (key, name, about), and a link to the run.

    A file is handed over by setting ``filename``, ``mime`` and ``content``, and then raising ``serial``.
    """

    template_file = (__file__, "download.vue")
    items: Items = Items().tag(sync=True)
    busy = Unicode("").tag(sync=True)
    link = Unicode("").tag(sync=True)
    why = Unicode("").tag(sync=True)
    filename = Unicode("").tag(sync=True)
    mime = Unicode("").tag(sync=True)
    content = Bytes(b"").tag(sync=True)
    serial = Int(0).tag(sync=True)
    on_ask = _handler()

    def vue_ask(self, key: object) -> None:
        """A file is wanted; any other key is ignored."""
        if not self.busy and key in (item[0] for item in self.items):
            self._call("on_ask", key)

    def vue_taken(self, *_: object) -> None:
        """The browser has the file."""
        self.content = b""


class UploadWidget(_Widget):
    """Uploads one file, in parts, up to ``most`` bytes."""

    template_file = (__file__, "upload.vue")
    label = Unicode("").tag(sync=True)
    about = Unicode("").tag(sync=True)
    accept = Unicode("").tag(sync=True)
    most = Int(1 << 20).tag(sync=True)
    on_file = _handler()

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._parts = bytearray()

    def vue_part(self, head: object, buffers: object = ()) -> None:
        """A part came; with the last one the file is whole. A part out of order ends it."""
        if not isinstance(head, dict) or not isinstance(buffers, list) or len(buffers) != 1:
            return
        size, at = head.get("size"), head.get("at")
        if not isinstance(size, int) or not 0 <= size <= self.most:
            return
        if at == 0:
            self._parts = bytearray()
        if at != len(self._parts) or at + len(buffers[0]) > size:
            return
        self._parts += bytes(buffers[0])
        if len(self._parts) == size:
            data, self._parts = bytes(self._parts), bytearray()
            self._call("on_file", str(head.get("name", ""))[:200], data)


def html(
    tag: str,
    class_: str = "",
    *,
    text: str = "",
    children: Sequence[Any] = (),
    attributes: dict[str, Any] | None = None,
) -> Any:
    """An element, to be used as a context that its children are made in; ``text`` is escaped."""
    return v.Html(
        tag=tag,
        class_=class_ or None,
        children=[text, *children] if text else list(children),
        attributes=attributes or {},
    )


@solara.component
def Button(
    words: str,
    on_click: Callable[[], Any],
    class_: str = "exo-plain",
    attributes: dict[str, Any] | None = None,
    more: str = "",
) -> None:
    """A button; ``attributes`` such as ``aria-pressed``; where it is narrow, the words ``more`` go."""
    rest = [html("span", "exo-rest", text=more)] if more else []
    given = {"type": "button", **(attributes or {})}
    button = html("button", class_, text=words, children=rest, attributes=given)
    v.use_event(button, "click", lambda *_: on_click())


@solara.component
def Notice(listen: Callable[[Callable[[str], object]], object]) -> None:
    """A place for a notice above the page; ``listen`` is given what shows one."""
    element = NoticeWidget.element()

    def attach() -> None:
        widget = solara.get_widget(element)
        listen(lambda words: setattr(widget, "words", words))

    solara.use_effect(attach, [])


@solara.component
def ErrorCard(words: str, on_again: Callable[[], None], *, stopped: bool) -> None:
    """An error of the model, with a button that starts the run again."""
    with html("div", "exo-trouble", attributes={"role": "alert"}):
        what = (
            "The run has stopped; what was computed until then is kept." if stopped else "That cannot be run."
        )
        with html("div", "exo-card-head"):
            html("b", text=what)
            Button("Start again", on_again)
        html("p", text=words)
