"""Communication views of a live run, the card of a cell, and the view of a finished run."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any

import solara

from exoabm.text_formatting import number, two_decimals
from exoabm.viz.components.widgets import Button, ChoiceWidget, PlotWidget, html
from exoabm.viz.drawings.communication_views import VIEWS, tissue
from exoabm.viz.drawings.svg import PAGE
from exoabm.viz.results.communication_data import COUNTS, CommunicationData
from exoabm.viz.results.text_summary import CellSummary, Partner, many, phrase, present_classes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from exoabm.viz.server.session import Session
    from exoabm.viz.server.uploads import FinishedRun


REST = 1.5
"""Seconds between two drawings of a running model."""


@solara.component
def Communication(session: Session, pulse: solara.Reactive[int]) -> None:
    """The views of a live run; ``pulse`` rises as it advances."""
    _ = pulse.value
    found = solara.use_memo(lambda: present_classes(session.scenario), [id(session)])
    at = solara.use_reactive(0)
    particles = found[min(at.value, len(found) - 1)]
    kept = solara.use_memo(lambda: {"at": 0.0, "communication": None}, [id(session), particles])
    stale = time.monotonic() - kept["at"] > REST or not session.playing
    if kept["communication"] is None or stale:
        with session.reading() as model:
            kept["communication"] = CommunicationData.of_model(model, session.looks, particles)
        kept["at"] = time.monotonic()
    Panels(kept["communication"], [each.name for each in found], at)


@solara.component
def Panels(links: CommunicationData, particle_classes: Sequence[str], at: solara.Reactive[int]) -> None:
    """Choice of view, particles and count, the drawing, and the numbers behind it.

    Opens with the network, or with the types where donor cells are not recorded.
    """
    shown = solara.use_reactive("network" if links.by_cell else "types")
    count = solara.use_reactive("taken_up")
    numbers = solara.use_reactive(False)
    view = next(p for p in VIEWS if p.key == shown.value)
    with html("section", "exo-card"):
        with html("div", "exo-row"):
            with html("div", "exo-tabs exo-tabs-small", attributes={"role": "group", "aria-label": "View"}):
                for each in VIEWS:
                    pressed = {"aria-pressed": str(each.key == shown.value).lower()}
                    Button(each.name, lambda key=each.key: shown.set(key), "exo-tab", pressed)
            if len(particle_classes) > 1:
                ChoiceWidget.element(
                    label="Particles",
                    value=str(at.value),
                    options=[[str(i), name] for i, name in enumerate(particle_classes)],
                    on_value=lambda i: at.set(int(i)),
                )
            ChoiceWidget.element(
                label="Count",
                value=count.value,
                options=[[key, links.words(key)] for key in COUNTS],
                on_value=lambda key: count.set(key) if key in COUNTS else None,
            )
        drawing(view.draw(links, count.value, PAGE))
        html("p", "exo-words", text=view.words(links, count.value))
        rows = f", rows of {', '.join(links.kinds)}" if len(particle_classes) > 1 else ""
        html(
            "p",
            "exo-note",
            text=f"From {links.of}, at {two_decimals(links.hours)} h: {links.meaning(count.value)}.",
            attributes={"title": f"Column {count.value} of edges.parquet{rows}"},
        )
        words = "Hide the numbers" if numbers.value else "Show the numbers"
        expanded = {"aria-expanded": str(numbers.value).lower()}
        Button(words, lambda: numbers.set(not numbers.value), "exo-plain", expanded)
        if numbers.value:
            _Numbers(view.numbers(links, count.value))


def drawing(svg: str) -> None:
    """An SVG of exoabm, as wide as its container, with its own description."""
    solara.HTML(tag="div", unsafe_innerHTML=svg, class_="exo-drawing")


@solara.component
def _Numbers(rows: list[dict[str, Any]]) -> None:
    most = 12
    region = {"tabindex": "0", "role": "region", "aria-label": "Numbers"}
    with html("div", "exo-scroll", attributes=region), html("table", "exo-table"):
        with html("thead"), html("tr"):
            for name in rows[0] if rows else ("no numbers",):
                html("th", text=name, attributes={"scope": "col"})
        with html("tbody"):
            for row in rows[:most]:
                with html("tr"):
                    for value in row.values():
                        html("td", text=number(value, 4) if isinstance(value, float) else str(value))
    if len(rows) > most:
        html(
            "p",
            "exo-note",
            text=f"and {len(rows) - most:,} more; all of them follow from edges.parquet of the run.",
        )


MEDIAN = "By the median time, half of many runs of single vesicles have had their first encounter."


@solara.component
def Cell(summary: CellSummary, on_close: Callable[[], None]) -> None:
    """Uptake from donors and by recipients of a cell until now, the strongest first."""
    with html("section", "exo-card exo-cell", attributes={"aria-label": f"Summary of {summary.title}"}):
        with html("div", "exo-card-head"):
            html("h2", text=summary.title)
            Button("close", on_close)
        with html("dl", "exo-facts"):
            for name, value in summary.facts:
                with html("div"):
                    html("dt", text=name)
                    html("dd", text=value)
        for how, rows, out in (
            ("Received from", summary.donors, False),
            ("Taken up by", summary.recipients, True),
        ):
            if rows:
                drawn = any(link[3] == out for link in summary.links)
                _Partners(how, rows, summary, ("solid lines" if out else "dashed lines") if drawn else "")
        if summary.note:
            html("p", "exo-note", text=summary.note)


@solara.component
def _Partners(how: str, rows: tuple[Partner, ...], summary: CellSummary, lines: str) -> None:
    expected = summary.expected
    most, when = 8, "first encounter, median" if expected else "first encounter"
    names = {row.name.partition(", ")[0] for row in rows}
    whose = ", kind" if any(", " in row.name for row in rows) else ""
    partner = "cell" if all(row.cell for row in rows) else "source"
    partners = phrase(f"{len(names):,}", f"{partner}s")
    total = sum(row.taken_up for row in rows)
    shown = f" ({lines} in the picture)" if lines else ""
    html("h3", text=f"{how} {partners}: {many(total)} in all{shown}")
    with html("table", "exo-table"):
        with html("thead"), html("tr"):
            for head in (partner + whose, "taken up", summary.delivered, when):
                html("th", text=head, attributes={"scope": "col"})
        with html("tbody"):
            for name, _, taken, delivered, first in rows[:most]:
                with html("tr"):
                    for text in (
                        name,
                        many(taken),
                        many(delivered),
                        "" if first is None else f"{two_decimals(first)} h",
                    ):
                        html("td", text=text)
    if len(rows) > most:
        html(
            "p",
            "exo-note",
            text=f"and {phrase(f'{len(rows) - most:,}', 'more rows')}, in edges.parquet of the run (Files)",
        )
    if expected and any(row.first_h is not None for row in rows[:most]):
        html("p", "exo-note", text=MEDIAN)


@solara.component
def RunView(run: FinishedRun) -> None:
    """A finished run, from its tables: summary, time series, cells at each recorded time, links."""
    with html("div", "exo-run"):
        with html("section", "exo-card", attributes={"aria-label": f"The run {run.name}"}):
            html("h2", text=run.title)
            html("p", text=run.summary)
            with html("dl", "exo-facts"):
                for name, value in run.facts:
                    with html("div"):
                        html("dt", text=name)
                        html("dd", text=value)
            _Series(run)
        at = solara.use_reactive(0)
        Panels(run.communications[at.value], [each.what for each in run.communications], at)
        with html("section", "exo-card", attributes={"aria-label": "Cells"}):
            _Moments(run, at.value)
        if run.preview:
            picture = base64.b64encode(run.preview).decode()
            alt = f"Picture of the run: field, links, mass balance, and uptake against distance. {run.title}"
            source = {"src": f"data:image/png;base64,{picture}", "alt": alt}
            with html("section", "exo-card exo-picture", attributes={"aria-label": "Picture"}):
                html("img", "exo-preview", attributes=source)


@solara.component
def _Series(run: FinishedRun) -> None:
    shown = solara.use_reactive(run.first)
    ChoiceWidget.element(
        label="Readout",
        value=shown.value,
        options=[[*pair] for pair in run.columns.items()],
        on_value=shown.set,
    )
    pairs = zip(run.metrics["time_h"].to_pylist(), run.metrics[shown.value].to_pylist(), strict=True)
    known = [(float(t), float(y)) for t, y in pairs if t is not None and y is not None]
    PlotWidget.element(
        series=[
            {
                "name": "",
                "color": "#0B5D8A",
                "bright": "#6FC0EE",
                "x": [t for t, _ in known],
                "y": [y for _, y in known],
            }
        ],
        x_label="time (h)",
        x_unit="h",
        y_label=run.columns[shown.value],
        x_least=0.1,
        x_most=max((t for t, _ in known), default=0.0),
        y_least=1e-9,
        alt=f"{run.columns[shown.value]} over time"
        + (f"; {number(known[-1][1], 4)} at the end" if known else ""),
    )


@solara.component
def _Moments(run: FinishedRun, particles: int) -> None:
    at = solara.use_reactive(len(run.moments) - 1)
    cells, taken = run.cells_at(at.value, particles)
    links = run.communications[particles]
    hours = [f"{two_decimals(time_s / 3600)} h" for time_s in run.moments]
    ChoiceWidget.element(
        label="Recorded time",
        value=str(at.value),
        options=[[str(i), f"cells at {words}"] for i, words in enumerate(hours)],
        on_value=lambda index: at.set(int(index)),
    )
    drawing(tissue(cells, links.space, taken, links.what))
    note = (
        f"From cells_by_kind.parquet: the larger and the stronger in color, the more {links.what} taken up."
    )
    html("p", "exo-note", text=note)
