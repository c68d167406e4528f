"""Export of files and a link of the run on the page; import of tables of cells and finished runs."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import solara

from exoabm.errors import ExoError, visible
from exoabm.readers.cell_types import PLACEHOLDER
from exoabm.readers.options import BYSTANDER, AmbiguousTable
from exoabm.text_formatting import spaced
from exoabm.viz.components.communication import RunView
from exoabm.viz.components.widgets import (
    AnswerWidget,
    Button,
    ChoiceWidget,
    DownloadWidget,
    MovieWidget,
    UploadWidget,
    html,
)
from exoabm.viz.draft import BuiltSetup
from exoabm.viz.links_with_content import fragment, pack
from exoabm.viz.results.communication_data import CommunicationData
from exoabm.viz.results.files import edges_csv, metrics_csv, png, run_zip, scenario_toml, svg
from exoabm.viz.results.text_summary import phrase
from exoabm.viz.run_setup import encode
from exoabm.viz.server.gif import gif
from exoabm.viz.server.uploads import (
    MOST_RUN_BYTES,
    MOST_TABLE_BYTES,
    TableSetup,
    read_run_upload,
    read_table_upload,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from exoabm.model import ExosomeModel
    from exoabm.readers.options import Question
    from exoabm.viz.run_setup import Setup
    from exoabm.viz.server.session import Session
    from exoabm.viz.server.uploads import FinishedRun, UploadedTable, UploadFolder


@dataclass(frozen=True)
class Item:
    """A file to take away."""

    key: str
    words: str
    about: str
    name: str
    mime: str
    make: Callable[[Session], bytes]


def _of_model(make: Callable[[ExosomeModel], bytes]) -> Callable[[Session], bytes]:
    """A file that is made of the model, which is not stepped meanwhile."""

    def made(session: Session) -> bytes:
        with session.reading() as model:
            return make(model)

    return made


def _communication_svg(view: str) -> Callable[[Session], bytes]:
    return lambda s: _of_model(lambda m: svg(CommunicationData.of_model(m, s.looks), view, "taken_up"))(s)


def _movie(session: Session) -> bytes:
    with session.reading() as model:
        return gif(list(session.recording.frames), model.state, session.looks)


ITEMS = (
    Item(
        "png",
        "Picture (PNG)",
        "field, cells, mass balance and reach on one page",
        "picture.png",
        "image/png",
        _of_model(png),
    ),
    Item(
        "network",
        "Network (SVG)",
        "the strongest links over the tissue",
        "network.svg",
        "image/svg+xml",
        _communication_svg("network"),
    ),
    Item(
        "types",
        "Types (SVG)",
        "vesicles between cell types; rows are donors",
        "types.svg",
        "image/svg+xml",
        _communication_svg("types"),
    ),
    Item(
        "gif",
        "Movie (GIF)",
        "the recorded frames",
        "movie.gif",
        "image/gif",
        _movie,
    ),
    Item(
        "metrics",
        "Time series (CSV)",
        "metrics of the run folder",
        "metrics.csv",
        "text/csv",
        _of_model(metrics_csv),
    ),
    Item(
        "edges",
        "Links (CSV)",
        "edges.parquet of the run folder",
        "communication.csv",
        "text/csv",
        _of_model(edges_csv),
    ),
    Item(
        "toml",
        "Scenario (TOML)",
        "every number with its source",
        "scenario.toml",
        "application/toml",
        lambda s: scenario_toml(s.loaded),
    ),
    Item(
        "zip",
        "Run folder (ZIP)",
        "all tables, made again from the seed; takes as long as the run",
        "run.zip",
        "application/zip",
        lambda s: run_zip(s.loaded, s.seed, s.time / 3600),
    ),
)


@solara.component
def Export(session: Session, setup: Setup, pulse: solara.Reactive[int]) -> None:
    """Files of the run on the page, and a link that opens it again."""
    _ = pulse.value  # the link names the present hour
    busy = solara.use_reactive("")
    problem = solara.use_reactive("")
    holder: dict[str, DownloadWidget] = solara.use_memo(dict, [])
    command = solara.use_memo(lambda: setup.command, [setup])
    (packed, why), hours = solara.use_memo(lambda: _packed(setup), [setup]), session.time / 3600
    link = fragment(packed, hours) if packed else "" if why else encode(setup, hours)

    def ask(key: str) -> None:
        item = next(item for item in ITEMS if item.key == key)
        widget = holder["widget"]
        busy.set(key)
        problem.set("")

        def make() -> None:
            try:
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

    with html("section", "exo-card", attributes={"aria-label": "Export"}):
        html("h2", text="Export")
        element = DownloadWidget.element(
            items=[[item.key, item.words, item.about] for item in ITEMS],
            busy=busy.value,
            link=link,
            why=why,
            on_ask=ask,
        )
        MovieWidget.element()
        html("p", "exo-note", text="The same from the command line:")
        scrolled = {"tabindex": "0", "role": "region", "aria-label": "Command"}
        html("code", "exo-command", text=command, attributes=scrolled)
        if problem.value:
            html("p", "exo-wrong-answer", text=problem.value, attributes={"role": "alert"})
    solara.use_effect(lambda: holder.update(widget=solara.get_widget(element)), [])


def _packed(setup: Setup) -> tuple[str, str]:
    """What a link to a table or a built scenario carries, and a note; "" for an included scenario."""
    try:
        if not isinstance(setup, TableSetup | BuiltSetup):
            encode(setup)
            return "", ""
        packed = pack(setup)
    except ExoError as error:
        return "", f"No link: {error}."
    return packed, f"The link carries the whole {'table' if isinstance(setup, TableSetup) else 'scenario'}."


@solara.component
def Import(begin: Callable[..., bool], uploads: UploadFolder) -> None:
    """A table of cells to run, or a finished run folder to look at; both are kept among ``uploads``."""
    uploaded: solara.Reactive[UploadedTable | None] = solara.use_reactive(None)
    run: solara.Reactive[FinishedRun | None] = solara.use_reactive(None)
    problem = solara.use_reactive("")
    open_: solara.Reactive[_Open | None] = solara.use_reactive(None)

    def take(reader: Callable[..., Any], target: solara.Reactive[Any], name: str, data: bytes) -> None:
        problem.set("")
        target.set(None)
        try:
            target.set(reader(uploads, name, data))
        except ExoError as error:
            problem.set(str(error))

    def take_table(name: str, data: bytes, answers: dict[str, str] | None = None) -> None:
        answers = answers or {}
        problem.set("")
        uploaded.set(None)
        try:
            uploaded.set(read_table_upload(uploads, name, data, answers))
            open_.set(None)
        except AmbiguousTable as error:
            open_.set(_Open(name, data, answers, error.recognized, tuple(error.questions)))
        except ExoError as error:
            problem.set(str(error))

    with html("section", "exo-card", attributes={"aria-label": "Import"}):
        html("h2", text="Import")
        UploadWidget.element(
            label="A table of cells …",
            about="of QuPath, Xenium, MERSCOPE, … or with columns x, y and cell_type; up to 20,000 cells",
            accept=".csv,.tsv,.txt,.gz,.parquet,.h5ad,text/csv,text/tab-separated-values,application/gzip",
            most=MOST_TABLE_BYTES,
            on_file=take_table,
        )
        UploadWidget.element(
            label="A finished run …",
            about="the run folder of exoabm run, zipped",
            accept=".zip,application/zip",
            most=MOST_RUN_BYTES,
            on_file=lambda name, data: take(read_run_upload, run, name, data),
        )
        if problem.value:
            html("p", "exo-wrong-answer", text=problem.value, attributes={"role": "alert"})
    if open_.value is not None:
        _Questions(open_.value, take_table).key(f"{open_.value.name} {sorted(open_.value.answers.items())}")
    if uploaded.value is not None:
        _Table(uploaded.value, begin).key(str(uploaded.value.file))
    if run.value is not None:
        RunView(run.value).key(str(run.value.folder))


@dataclass(frozen=True)
class _Open:
    """A table that leaves something open, and what was answered so far."""

    name: str
    data: bytes
    answers: dict[str, str]
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
        take(opened.name, opened.data, {**opened.answers, key: value})

    with html("section", "exo-card", attributes={"aria-label": "Questions about your table"}):
        html("h2", text="What does your table mean?")
        html("p", "exo-note", text=f"{opened.recognized}. Ambiguities are not guessed.")
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
def _Table(uploaded: UploadedTable, begin: Callable[..., bool]) -> None:
    types = solara.use_reactive(dict(uploaded.types))
    options = [[name, spaced(name)] for name in (*uploaded.known, BYSTANDER)]
    with html("section", "exo-card", attributes={"aria-label": "Labels of your table"}):
        html("h2", text=f"{uploaded.file.name}: {phrase(f'{uploaded.cells:,}', 'cells')}")
        html("p", "exo-note", text=uploaded.recognized)
        for warning in uploaded.warnings:
            html("p", "exo-wrong-answer", text=warning)
        html(
            "p",
            "exo-note",
            text="What does each label mean? A bystander neither releases nor takes up vesicles.",
        )
        with html("div", "exo-labels"):
            for label, count in uploaded.labels.items():
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
            text=f"Voxels of {uploaded.voxel:g} µm; each type releases and takes up vesicles as in "
            "“Vesicle exchange in tissue”.",
        )
        Button("Run these cells", lambda: begin(uploaded.setup(types.value)), "exo-strong")
