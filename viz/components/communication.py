"""Who talks to whom: the communication panels of a run, drawn anew as it goes on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import solara

from exoabm.viz.components.html import Press, html
from exoabm.viz.components.widgets import ChoiceWidget
from exoabm.viz.results.communication_data import COUNTS, Exchange, meaning
from exoabm.viz.results.communication_views import PANELS, WORDS, said
from exoabm.viz.results.particles import coming
from exoabm.viz.results.svg import PAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exoabm.viz.server.session import Session

REST = 1.5
"""Seconds between two drawings of a running model."""


@solara.component
def Communication(session: Session, pulse: int) -> None:
    """The panels of a live run; ``pulse`` rises as it goes on."""
    found = solara.use_memo(lambda: coming(session.model.scenario), [id(session)])
    at = solara.use_reactive(0)
    sort = found[min(at.value, len(found) - 1)]
    kept = solara.use_memo(lambda: {"at": 0.0, "exchange": None}, [id(session), sort])
    stale = time.monotonic() - kept["at"] > REST or not session.playing
    if kept["exchange"] is None or stale:
        with session.lock:
            kept["exchange"] = Exchange.of_model(session.model, session.looks, sort)
        kept["at"] = time.monotonic()
    Panels(kept["exchange"], [each.name for each in found], at)


@solara.component
def Panels(exchange: Exchange, sorts: Sequence[str], at: solara.Reactive[int]) -> None:
    """A choice of panel, of sort and of what is counted, the drawing, and the numbers behind it.

    Opens with the network, or with the types where no arrow joins two cells.
    """
    shown = solara.use_reactive("network" if exchange.by_cell else "types")
    count = solara.use_reactive("taken_up")
    numbers = solara.use_reactive(False)
    panel = next(p for p in PANELS if p.key == shown.value)
    with html("section", "exo-card"):
        with html("div", "exo-row"):
            with html("div", "exo-tabs exo-tabs-small", attributes={"role": "group", "aria-label": "Panel"}):
                for each in PANELS:
                    pressed = {"aria-pressed": str(each.key == shown.value).lower()}
                    Press(each.name, lambda key=each.key: shown.set(key), "exo-tab", pressed)
            if len(sorts) > 1:
                ChoiceWidget.element(
                    label="Of what",
                    value=str(at.value),
                    options=[[str(i), name] for i, name in enumerate(sorts)],
                    on_value=lambda i: at.set(int(i)),
                )
            ChoiceWidget.element(
                label="What is counted",
                value=count.value,
                options=[[key, said(exchange, key)] for key in COUNTS],
                on_value=lambda key: count.set(key) if key in WORDS else None,
            )
        drawing(panel.draw(exchange, count.value, PAGE))
        html("p", "exo-words", text=panel.words(exchange, count.value))
        rows = f", rows of {', '.join(exchange.kinds)}" if len(sorts) > 1 else ""
        html(
            "p",
            "exo-note",
            text=f"From {exchange.of}, at {exchange.hours:.2f} h: column {count.value} of "
            f"communication.parquet{rows}, {meaning(count.value).replace('vesicles', exchange.what)}.",
        )
        words = "Hide the numbers" if numbers.value else "Show the numbers"
        expanded = {"aria-expanded": str(numbers.value).lower()}
        Press(words, lambda: numbers.set(not numbers.value), "exo-plain", expanded)
        if numbers.value:
            _Numbers(panel.numbers(exchange, count.value))


def drawing(svg: str) -> None:
    """An SVG of our own in the page, as wide as its place; it carries its own description."""
    solara.HTML(tag="div", unsafe_innerHTML=svg, class_="exo-drawing")


@solara.component
def _Numbers(rows: list[dict[str, Any]]) -> None:
    most = 12
    region = {"tabindex": "0", "role": "region", "aria-label": "Numbers"}
    with html("div", "exo-scroll", attributes=region), html("table", "exo-table"):
        with html("thead"), html("tr"):
            for name in rows[0] if rows else ("no numbers yet",):
                html("th", text=name, attributes={"scope": "col"})
        with html("tbody"):
            for row in rows[:most]:
                with html("tr"):
                    for value in row.values():
                        html("td", text=f"{value:.4g}" if isinstance(value, float) else str(value))
    if len(rows) > most:
        html("p", "exo-note", text=f"and {len(rows) - most:,} more; all of them are under Take away.")
