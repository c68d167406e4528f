"""Take away and bring: files and a link of the run on the page, tables and finished runs of one's own."""

from __future__ import annotations

import base64
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import solara

from exoabm.errors import ExoError, visible
from exoabm.readers.cell_types import BYSTANDER, PLACEHOLDER
from exoabm.readers.questions import AmbiguousTable
from exoabm.viz import permalinks as share
from exoabm.viz.components import downloads as takeaway
from exoabm.viz.components.communication import Panels, drawing
from exoabm.viz.components.html import Press, html
from exoabm.viz.components.widgets import AnswerWidget, ChoiceWidget, DownloadWidget, PlotWidget, UploadWidget
from exoabm.viz.results.columns import usual
from exoabm.viz.results.communication_data import Exchange
from exoabm.viz.results.communication_views import tissue
from exoabm.viz.server.animation import gif
from exoabm.viz.server.uploads import MOST_RUN_BYTES, MOST_TABLE_BYTES, Shelf, bring_run, bring_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from exoabm.readers.questions import Question
    from exoabm.viz.server.session import Session
    from exoabm.viz.server.uploads import Brought, FinishedRun
    from exoabm.viz.setup import Setup


@dataclass(frozen=True)
class Item:
    """A file to take away."""

    key: str
    words: str
    about: str
    name: str
    mime: str
    make: Callable[[Session], bytes]


def _network_svg(session: Session) -> bytes:
    return takeaway.svg(Exchange.of_model(session.model, session.looks), "network", "taken_up")


def _types_svg(session: Session) -> bytes:
    return takeaway.svg(Exchange.of_model(session.model, session.looks), "types", "taken_up")


def _run(session: Session) -> bytes:
    hours = session.model.state.time / 3600
    return takeaway.run_zip(session.loaded, session.seed, hours)


ITEMS = (
    Item(
        "png",
        "Picture (PNG)",
        "field, cells, ledger and reach on one page",
        "picture.png",
        "image/png",
        lambda s: takeaway.png(s.model),
    ),
    Item(
        "network",
        "Network (SVG)",
        "the strongest links over the tissue",
        "network.svg",
        "image/svg+xml",
        _network_svg,
    ),
    Item("types", "Types (SVG)", "who sends to whom; rows send", "types.svg", "image/svg+xml", _types_svg),
    Item(
        "gif",
        "Film (GIF)",
        "the recorded frames",
        "film.gif",
        "image/gif",
        lambda s: gif(list(s.film.frames), s.model.state, s.looks),
    ),
    Item(
        "metrics",
        "Time series (CSV)",
        "metrics of the run folder",
        "metrics.csv",
        "text/csv",
        lambda s: takeaway.metrics_csv(s.model),
    ),
    Item(
        "edges",
        "Links (CSV)",
        "communication of the run folder",
        "communication.csv",
        "text/csv",
        lambda s: takeaway.edges_csv(s.model),
    ),
    Item(
        "toml",
        "Scenario (TOML)",
        "every number with its source",
        "scenario.toml",
        "application/toml",
        lambda s: takeaway.scenario_toml(s.loaded),
    ),
    Item(
        "zip",
        "Run folder (ZIP)",
        "all tables, made again from the seed; takes as long as the run",
        "run.zip",
        "application/zip",
        _run,
    ),
)
_UNLOCKED = ("zip", "toml")
"""Made without the model, so that it may go on meanwhile."""


@solara.component
def TakeAway(session: Session, setup: Setup, pulse: int) -> None:
    """Files of the run on the page, and a link that opens it again."""
    busy = solara.use_reactive("")
    problem = solara.use_reactive("")
    holder: dict[str, DownloadWidget] = solara.use_memo(dict, [])
    command = solara.use_memo(lambda: setup.command, [setup])
    try:
        link, why = share.encode(setup, session.model.state.time / 3600), ""
    except ExoError as error:
        link, why = "", str(error)

    def ask(key: str) -> None:
        item = next(item for item in ITEMS if item.key == key)
        widget = holder["widget"]
        busy.set(key)
        problem.set("")

        def make() -> None:
            try:
                if key in _UNLOCKED:
                    data = item.make(session)
                else:
                    with session.lock:
                        data = item.make(session)
                with widget.hold_sync():
                    widget.filename, widget.mime = f"exoabm-{item.name}", item.mime
                    widget.content = data
                    widget.serial += 1
            except ExoError as error:
                problem.set(str(error))
            except Exception as error:  # a thread has nobody above it that could tell
                problem.set(f"{item.words} could not be made: {type(error).__name__}: {error}")
            finally:
                busy.set("")

        threading.Thread(target=make, daemon=True, name="exoabm-carry").start()

    with html("section", "exo-card", attributes={"aria-label": "Take away"}):
        html("h2", text="Take away")
        element = DownloadWidget.element(
            items=[[item.key, item.words, item.about] for item in ITEMS],
            busy=busy.value,
            link=link,
            why=why,
            on_ask=ask,
        )
        html("p", "exo-note", text="The same from the command line:")
        scrolled = {"tabindex": "0", "role": "region", "aria-label": "Command"}
        html("code", "exo-command", text=command, attributes=scrolled)
        if problem.value:
            html("p", "exo-wrong-answer", text=problem.value, attributes={"role": "alert"})
    solara.use_effect(lambda: holder.update(widget=solara.get_widget(element)), [])


@solara.component
def Bring(begin: Callable[..., bool]) -> None:
    """A table of cells to run, or a finished run folder to look at."""
    shelf = solara.use_memo(Shelf, [])
    brought: solara.Reactive[Brought | None] = solara.use_reactive(None)
    run: solara.Reactive[FinishedRun | None] = solara.use_reactive(None)
    problem = solara.use_reactive("")
    open_: solara.Reactive[_Open | None] = solara.use_reactive(None)

    def tidy() -> Callable[[], None]:
        return shelf.close

    solara.use_effect(tidy, [])

    def take(reader: Callable[..., Any], target: solara.Reactive[Any], name: str, data: bytes) -> None:
        problem.set("")
        target.set(None)
        try:
            target.set(reader(shelf, name, data))
        except ExoError as error:
            problem.set(str(error))

    def take_table(name: str, data: bytes, said: dict[str, str] | None = None) -> None:
        said = said or {}
        problem.set("")
        brought.set(None)
        try:
            brought.set(bring_table(shelf, name, data, said))
            open_.set(None)
        except AmbiguousTable as error:
            open_.set(_Open(name, data, said, error.recognized, tuple(error.questions)))
        except ExoError as error:
            problem.set(str(error))

    with html("section", "exo-card", attributes={"aria-label": "Bring your own"}):
        html("h2", text="Bring your own")
        UploadWidget.element(
            label="A table of cells …",
            about="of QuPath, Xenium, MERSCOPE, … or with columns x, y and cell_type; up to 5,000 cells",
            accept=".csv,.tsv,.txt,.gz,.parquet,.h5ad,text/csv,text/tab-separated-values,application/gzip",
            most=MOST_TABLE_BYTES,
            on_file=take_table,
        )
        UploadWidget.element(
            label="A finished run …",
            about="the run folder of exoabm run, zipped",
            accept=".zip,application/zip",
            most=MOST_RUN_BYTES,
            on_file=lambda name, data: take(bring_run, run, name, data),
        )
        if problem.value:
            html("p", "exo-wrong-answer", text=problem.value, attributes={"role": "alert"})
    if open_.value is not None:
        _Questions(open_.value, take_table).key(f"{open_.value.name} {sorted(open_.value.said.items())}")
    if brought.value is not None:
        _Table(brought.value, begin).key(str(brought.value.file))
    if run.value is not None:
        RunView(run.value).key(str(run.value.folder))


@dataclass(frozen=True)
class _Open:
    """A table that leaves something open, and what was said of it so far."""

    name: str
    data: bytes
    said: dict[str, str]
    recognized: str
    questions: tuple[Question, ...]


ASKED = {
    "unit": "Width of a pixel, or unit",
    "z_unit": "Distance of two planes",
    "cell_type": "Column of the types",
    "where": "Rows to take",
    "time": "Time to take",
    "x": "Column of x",
    "y": "Column of y",
    "z": "Column of z",
}
"""What a reader can say of a table on the page, by the keys of the layout."""


@solara.component
def _Questions(opened: _Open, take: Callable[[str, bytes, dict[str, str]], None]) -> None:
    """What a table does not say, with a field for each answer; nothing is taken before it is sent."""

    def answer(key: str, value: str) -> None:
        take(opened.name, opened.data, {**opened.said, key: value})

    with html("section", "exo-card", attributes={"aria-label": "Questions about your table"}):
        html("h2", text="What does your table mean?")
        html("p", "exo-note", text=f"{opened.recognized}. What it does not say is not guessed.")
        for question in opened.questions:
            html("p", text=visible(question.finding))
            proposed: dict[str, list[str]] = {}
            for key, value in question.answers:
                if key in ASKED:
                    proposed.setdefault(key, []).append(value)
            for key, values in proposed.items():
                start = "" if values[0] == PLACEHOLDER else values[0]
                AnswerWidget.element(
                    label=ASKED[key],
                    button="Use",
                    start=start,
                    on_answer=lambda text, key=key: answer(key, text.strip()),
                )
                if len(values) > 1:
                    html("p", "exo-note", text="such as " + ", ".join(map(visible, values)))


@solara.component
def _Table(brought: Brought, begin: Callable[..., bool]) -> None:
    types = solara.use_reactive(dict(brought.types))
    options = [[name, name.replace("_", " ")] for name in (*brought.known, BYSTANDER)]
    with html("section", "exo-card", attributes={"aria-label": "Labels of your table"}):
        html("h2", text=f"{brought.file.name}: {brought.cells:,} cells")
        html("p", "exo-note", text=brought.recognized)
        for warning in brought.warnings:
            html("p", "exo-wrong-answer", text=warning)
        html(
            "p",
            "exo-note",
            text="What does each label mean? A bystander neither sends nor takes up vesicles.",
        )
        with html("div", "exo-labels"):
            for label, count in brought.labels.items():
                with html("div", "exo-row"):
                    html("span", "exo-label", text=f"{label} ({count:,})")
                    ChoiceWidget.element(
                        label=f"Cell type of {label}",
                        value=types.value[label],
                        options=options,
                        on_value=lambda name, label=label: types.set({**types.peek(), label: name}),
                    )
        html(
            "p",
            "exo-note",
            text=f"Voxels of {brought.voxel:g} µm; each type sends and takes up as in “A tissue talks”.",
        )
        Press("Run these cells", lambda: begin(brought.setup(types.value)), "exo-strong")


@solara.component
def RunView(run: FinishedRun) -> None:
    """A finished run, from its tables: what it is, its time series, its cells at each moment, its links."""
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
        Panels(run.exchanges[at.value], [each.what for each in run.exchanges], at)
        with html("section", "exo-card", attributes={"aria-label": "Cells"}):
            _Moments(run, at.value)
        if run.preview:
            picture = base64.b64encode(run.preview).decode()
            said = f"Picture of the run: field, links, ledger and uptake against distance. {run.title}"
            source = {"src": f"data:image/png;base64,{picture}", "alt": said}
            with html("section", "exo-card exo-picture", attributes={"aria-label": "Picture"}):
                html("img", "exo-preview", attributes=source)


@solara.component
def _Series(run: FinishedRun) -> None:
    shown = solara.use_reactive(usual(run.columns))
    ChoiceWidget.element(
        label="Column of metrics.parquet",
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
        y_least=1e-9,
        alt=f"{run.columns[shown.value]} over time" + (f"; {known[-1][1]:.4g} at the end" if known else ""),
    )


@solara.component
def _Moments(run: FinishedRun, sort: int) -> None:
    at = solara.use_reactive(len(run.moments) - 1)
    cells, taken = run.cells_at(at.value, sort)
    exchange = run.exchanges[sort]
    hours = [f"{moment / 3600:.2f} h" for moment in run.moments]
    ChoiceWidget.element(
        label="Recorded moment",
        value=str(at.value),
        options=[[str(i), f"cells at {words}"] for i, words in enumerate(hours)],
        on_value=lambda index: at.set(int(index)),
    )
    drawing(tissue(cells, exchange.space, taken, exchange.what))
    note = f"From cells.parquet: the larger and darker, the more {exchange.what} taken up."
    html("p", "exo-note", text=note)
