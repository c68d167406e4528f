"""Plain HTML elements in a Solara page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import reacton.ipyvuetify as v
import solara

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


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
def Press(
    words: str,
    on_click: Callable[[], Any],
    class_: str = "exo-plain",
    attributes: dict[str, Any] | None = None,
    more: str = "",
) -> None:
    """A button; ``attributes`` such as ``aria-pressed``; where it is narrow, the words ``more`` go."""
    rest = [html("span", "exo-rest", text=more)] if more else []
    said = {"type": "button", **(attributes or {})}
    button = html("button", class_, text=words, children=rest, attributes=said)
    v.use_event(button, "click", lambda *_: on_click())
