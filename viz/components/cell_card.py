"""The card of a clicked cell: who reached it, with what and when, and whom it reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

import solara

from exoabm.viz.components.html import Press, html
from exoabm.viz.results.text_summary import Story, many

if TYPE_CHECKING:
    from collections.abc import Callable


@solara.component
def Cell(tale: Story, on_close: Callable[[], None]) -> None:
    """What a cell sent and got until now, the strongest partners first."""
    with html("section", "exo-card exo-cell", attributes={"aria-label": f"The story of {tale.title}"}):
        with html("div", "exo-card-head"):
            html("h2", text=tale.title)
            Press("close", on_close)
        with html("dl", "exo-facts"):
            for name, value in tale.facts:
                with html("div"):
                    html("dt", text=name)
                    html("dd", text=value)
        for title, rows in (("Who reached me", tale.reached_by), ("Whom I reached", tale.reached)):
            if rows:
                _Partners(title, rows)
        if tale.note:
            html("p", "exo-note", text=tale.note)


@solara.component
def _Partners(title: str, rows: tuple[tuple[str, float, float, float | None], ...]) -> None:
    most = 8
    html("h3", text=f"{title}: {len(rows)}")
    with html("table", "exo-table"):
        with html("thead"), html("tr"):
            for head in ("cell", "taken up", "delivered", "first contact"):
                html("th", text=head, attributes={"scope": "col"})
        with html("tbody"):
            for who, taken, told, first in rows[:most]:
                with html("tr"):
                    for text in (
                        who,
                        many(taken),
                        many(told),
                        "" if first is None else f"{first:.2f} h",
                    ):
                        html("td", text=text)
    if len(rows) > most:
        html("p", "exo-note", text=f"and {len(rows) - most} more, in communication.parquet")
