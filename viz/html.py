"""Plain HTML elements in a Solara page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import reacton.ipyvuetify as v

if TYPE_CHECKING:
    from collections.abc import Sequence


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
