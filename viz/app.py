"""The page, put together: run with ``exoabm dash`` or ``solara run exoabm.viz.app``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import solara
import solara.server.settings

from exoabm.errors import ExoError
from exoabm.scenario.loader import load, shipped
from exoabm.viz.components.canvas import Curves, Stage, is_strip
from exoabm.viz.components.communication import Cell, Communication, RunView
from exoabm.viz.components.controls import scenario_controls
from exoabm.viz.components.editor import Editor
from exoabm.viz.components.export_import import Export, Import
from exoabm.viz.components.paired_runs import Compare
from exoabm.viz.components.widgets import (
    Button,
    ChoiceWidget,
    ErrorCard,
    LinkWidget,
    Notice,
    ThemeWidget,
    html,
)
from exoabm.viz.draft import Draft
from exoabm.viz.packed_links import unpack
from exoabm.viz.parameter_controls import changed, controls_of
from exoabm.viz.results.text_summary import cell_summary
from exoabm.viz.server.classroom import CLASSROOM, Seat, account_here, reader_key
from exoabm.viz.server.limits import SLOTS
from exoabm.viz.server.session import Session
from exoabm.viz.server.turns import TURNS
from exoabm.viz.server.uploads import UploadFolder, is_run, open_run
from exoabm.viz.setup import FIRST, SCENARIO, Setup, first_setup, intro_of, start
from exoabm.viz.teaching.guide import KeepProgress, Lessons, ScenarioPage
from exoabm.viz.teaching.lesson import LESSONS
from exoabm.viz.teaching.sheets import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from exoabm.viz.results.text_summary import CellSummary

solara.server.settings.telemetry.mixpanel_enable = False
STYLE = Path(__file__).parent / "style.css"
TABS = {
    "try": "Try it",
    "talk": "Links| between cells",
    "build": "Build",
    "compare": "Compare",
    "read": "Read",
    "lessons": "Lessons",
    "take": "Files",
}
"""What the right side can show, by a short name; what stands behind the bar goes where it is narrow."""

TURNS.whose = account_here


@solara.component
def Layout(children: list[Any] = []) -> None:  # noqa: B006
    """Nothing around the page but its own style."""
    solara.Style(STYLE)
    html("div", "exo", children=children)


@solara.component
def Page() -> None:
    """The page of one user: a seat, then a running model."""
    solara.Title("exoabm: cell communication through extracellular vesicles")
    seat = solara.use_memo(object, [])

    def occupy() -> Callable[[], None]:
        def leave() -> None:
            SLOTS.leave(id(seat))
            CLASSROOM.ignore(id(seat))

        return leave

    taken = solara.use_memo(lambda: SLOTS.take(id(seat), reader_key()), [])
    solara.use_effect(occupy, [])
    Notice(lambda tell: CLASSROOM.listen(id(seat), tell))
    if not taken:
        _AllInUse()
        return
    named = os.environ.get(SCENARIO, FIRST)
    if is_run(named):
        _FinishedRunPage(Path(named))
    else:
        _LivePage(id(seat))


@solara.component
def _FinishedRunPage(folder: Path) -> None:
    """A finished run of the command line, from its tables."""
    run = solara.use_memo(lambda: open_run(folder), [folder])
    with html("header", "exo-head"):
        html("span", "exo-brand", text="exoabm")
        html("span", "exo-motto", text=f"the finished run {run.name}")
        ThemeWidget.element()
    with html("main", "exo-wide"):
        RunView(run)


@solara.component
def _AllInUse() -> None:
    with html("header", "exo-head"):
        html("span", "exo-brand", text="exoabm")
        html("span", "exo-motto", text="cell communication through extracellular vesicles")
        ThemeWidget.element()
    with html("main", "exo-full"):
        html("h1", text="All models are in use")
        running = "One model runs" if SLOTS.most == 1 else f"{SLOTS.most} models run"
        html("p", text=f"{running}, the limit of this server. Close another page, or try again in a minute.")
        html("a", "exo-strong", text="Try again", attributes={"href": "./"})


def _open(setup: Setup) -> Session:
    """A session, with the speed that its scenario opens at."""
    loaded = setup.load()
    session = Session(loaded, setup.seed)
    session.speed = intro_of(loaded).speed
    return session


@solara.component
def _LivePage(page: int) -> None:
    search = solara.use_router().search or ""
    first = solara.use_memo(lambda: opened(search), [])
    setup = solara.use_reactive(first.setup)
    problem = solara.use_reactive(first.problem)
    session = solara.use_reactive(first.session)
    pulse = solara.use_reactive(0)
    tab = solara.use_reactive("try")
    progress = solara.use_reactive(Progress())
    draft = solara.use_reactive(Draft.empty())
    uploads = solara.use_memo(UploadFolder, [])
    chosen = solara.use_reactive(0)

    def made(new: Setup) -> Session | None:
        """A session; None if it cannot be made, and the page says why."""
        try:
            found = _open(new)
        except ExoError as error:
            problem.set(str(error))
            return None
        problem.set("")
        return found

    def begin(
        new: Setup,
        *,
        play: bool = False,
        speed: float = 0.0,
        hours: float = 0.0,
        as_made: Session | None = None,
    ) -> bool:
        """Start a new run, up to ``hours`` if given; if it cannot be made, the present one stays.

        A lesson that is open behind another tab is closed, since it would replace the run by its own.
        """
        new_session = as_made or made(new)
        if new_session is None:
            return False
        if tab.peek() != "lessons":
            progress.set(progress.peek().closed())
        session.peek().close()
        setup.set(new)
        session.set(new_session)
        new_session.on_change = lambda: pulse.set(pulse.peek() + 1)
        new_session.speed = speed or new_session.speed
        if play or hours > 0:
            new_session.play(until=hours * 3600 if hours > 0 else None)
        return True

    def choose(new: Setup, hours: float = 0.0) -> None:
        """Start what was chosen above all tabs; nothing that belongs to the run before stays open."""
        new_session = made(new)
        if new_session is not None:
            if tab.peek() == "lessons":  # left first, for a lesson that is shown begins its own run
                tab.set("try")
            chosen.set(chosen.peek() + 1)
            begin(new, hours=hours, as_made=new_session)

    def open_link(text: str) -> None:
        try:
            link = unpack(text, uploads)
        except ExoError as error:
            problem.set(str(error))
        else:
            choose(link.setup, hours=link.hours)

    def listen() -> Callable[[], None]:
        session.peek().on_change = lambda: pulse.set(pulse.peek() + 1)
        if first.hours > 0:
            session.peek().play(until=first.hours * 3600)
        return end

    def end() -> None:
        session.peek().close()
        uploads.close()

    solara.use_effect(listen, [])
    LinkWidget.element(on_link=open_link)
    KeepProgress(progress, tab.value == "lessons", None if search else lambda: tab.set("lessons"))
    lesson = progress.value.here() if tab.value == "lessons" else ""
    _use_seat(page, Seat(CLASSROOM.reader(reader_key()), session.value, setup.value.title, lesson))
    _Header(setup.value, lambda name: choose(first_setup(name)))
    bench = _Workspace(session.value, setup.value, begin, pulse, problem, tab, progress, draft, uploads)
    bench.key(f"bench-{chosen.value}")


def _use_seat(page: int, seat: Seat) -> None:
    """Note in the teacher's table what the reader of a page sees."""

    def note() -> Callable[[], None]:
        CLASSROOM.note(page, seat)
        return lambda: CLASSROOM.leave(page)

    solara.use_effect(note, [id(seat.session), seat.title, seat.lesson])


class Opened(NamedTuple):
    """What a page opens with; ``hours`` it plays at once; what was wrong with its address."""

    setup: Setup
    session: Session
    hours: float
    problem: str


def opened(search: str) -> Opened:
    """What a page opens with; where that cannot be made, the first scenario, and why."""
    link, problem = start(search)
    try:
        return Opened(link.setup, _open(link.setup), link.hours, problem)
    except ExoError as error:
        default = first_setup(FIRST)
        return Opened(default, _open(default), 0.0, str(error))


@solara.component
def _Header(setup: Setup, on_scenario: Callable[[str], Any]) -> None:
    titles = solara.use_memo(lambda: {n: load(n).scenario.info.title for n in shipped()}, [])
    with html("header", "exo-head"):
        html("span", "exo-brand", text="exoabm")
        motto = "cell communication through extracellular vesicles"
        if CLASSROOM.open:
            motto = f"you are {CLASSROOM.reader(reader_key()).name}"
        html("span", "exo-motto", text=motto)
        ChoiceWidget.element(
            label="Scenario",
            value=setup.scenario,
            options=[
                [name, f"{title} ({name})" if name in titles else title]
                for name, title in ({setup.scenario: setup.title} | titles).items()
            ],
            on_value=lambda name: name in titles and on_scenario(name),
        )
        ThemeWidget.element()


@solara.component
def _Workspace(
    session: Session,
    setup: Setup,
    begin: Callable[..., bool],
    pulse: solara.Reactive[int],
    problem: solara.Reactive[str],
    tab: solara.Reactive[str],
    progress: solara.Reactive[Progress],
    draft: solara.Reactive[Draft],
    uploads: UploadFolder,
) -> None:
    """The model with its player on the left, the chosen tab on the right.

    As the run goes on, ``pulse`` has only those parts made again that show the run.
    """
    pending = solara.use_reactive({})
    selected = solara.use_reactive(-1)
    past = solara.use_reactive(-1)
    controls = solara.use_memo(lambda: controls_of(session.loaded), [id(session)])
    wanted = changed(controls, pending.value)

    def again(play: bool) -> None:
        past.set(-1)
        if begin(setup.changed(wanted), play=play):
            pending.set({})

    def open_tab(name: str) -> None:
        selected.set(-1)
        if name == "compare":
            session.pause()
        tab.set(name)

    def clear() -> None:
        """Close the card of a cell, and forget a look back and values that wait for Go."""
        selected.set(-1)
        past.set(-1)
        pending.set({})

    def begin_here(new: Setup, **how: Any) -> bool:
        clear()
        return begin(new, **how)

    def beside(first: str | None) -> None:
        if summary:
            Cell(summary, lambda: selected.set(-1)).key("cell")
        elif first is not None:
            Curves(session, pulse, first)

    if tab.value == "compare":
        with html("main", "exo-wide"):
            _Tabs(tab.value, open_tab)
            Compare(setup).key(f"compare-{setup}")
        return
    strip = is_strip(session.extent)
    summary = _summary(session, selected.value, pulse) if selected.value >= 0 > past.value else None
    with html("main", "exo-main"):
        with html("section", "exo-left", attributes={"aria-label": "The model"}):
            _Top(session, setup, pulse, problem, lambda: again(play=False))
            stage = Stage(
                session, pulse, bool(wanted), again, past, selected, summary.links if summary else ()
            )
            stage.key(f"stage-{setup.scenario}-{session.scenario.transport.engine}")
            if strip and tab.value != "lessons":  # which leaves room below itself
                Curves(session, pulse)
        with html("section", "exo-right", attributes={"aria-label": "Controls and results"}):
            _Tabs(tab.value, open_tab)
            if summary and tab.value != "lessons":  # which have a place for it
                Cell(summary, lambda: selected.set(-1)).key("cell")
            named = {"role": "tabpanel", "aria-label": TABS[tab.value].replace("|", "")}
            with html("div", "exo-panel", attributes=named).key("panel"):  # keeps its state below a card
                if tab.value == "try":
                    scenario_controls(
                        session, setup, controls, pending, problem, pulse, begin_here, with_curves=not strip
                    )
                elif tab.value == "build":
                    Editor(draft, session, setup, begin_here)
                elif tab.value == "talk":
                    Communication(session, pulse)
                elif tab.value == "read":
                    ScenarioPage(setup.scenario)
                elif tab.value == "lessons":
                    Lessons(session, setup, begin_here, clear, pulse, progress, beside)
                elif tab.value == "take":
                    Import(begin_here, uploads)
                    Export(session, setup, pulse)


def _summary(session: Session, cell: int, pulse: solara.Reactive[int]) -> CellSummary | None:
    """What the card of a cell says, made again as ``pulse`` rises."""
    _ = pulse.value
    with session.reading() as model:
        return cell_summary(model, cell)


@solara.component
def _Top(
    session: Session,
    setup: Setup,
    pulse: solara.Reactive[int],
    problem: solara.Reactive[str],
    on_again: Callable[[], None],
) -> None:
    """The sentence above the picture, or in its place what went wrong: it is seen, and Go stays in sight."""
    _ = pulse.value
    lesson = next((lesson for lesson in LESSONS if lesson.owns(setup)), None)
    if trouble := session.error or problem.value:
        ErrorCard(trouble, on_again, stopped=bool(session.error))
    else:
        html("p", "exo-sentence", text=lesson.seen if lesson else intro_of(session.loaded).sentence)


@solara.component
def _Tabs(value: str, on_value: Callable[[str], Any]) -> None:
    with html("div", "exo-tabs exo-views", attributes={"role": "tablist", "aria-label": "What to do"}):
        for name, label in TABS.items():
            words, _, more = label.partition("|")
            attributes = {"role": "tab", "aria-selected": str(name == value).lower()}
            Button(words, lambda name=name: on_value(name), "exo-tab", attributes, more)
