"""The page, put together: run with ``exoabm dash`` or ``solara run exoabm.viz.app``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import solara
import solara.server.settings

from exoabm.scenario.loader import load, shipped
from exoabm.viz.components.canvas import Curves, Stage, is_strip
from exoabm.viz.components.communication import Cell, Communication, RunView
from exoabm.viz.components.controls import scenario_controls
from exoabm.viz.components.draft_editor import Editor
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
from exoabm.viz.page_run import Here, use_here
from exoabm.viz.parameter_controls import changed, controls_of
from exoabm.viz.results.text_summary import cell_summary
from exoabm.viz.run_setup import FIRST, SCENARIO, Setup, first_setup, intro_of
from exoabm.viz.server.classroom import CLASSROOM, Seat, account_here, reader_key
from exoabm.viz.server.limits import SLOTS
from exoabm.viz.server.processor_shares import TURNS
from exoabm.viz.server.session import Session
from exoabm.viz.server.uploads import is_run, open_run
from exoabm.viz.teaching.lesson import LESSONS
from exoabm.viz.teaching.lesson_page import KeepProgress, Lessons, ScenarioPage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exoabm.viz.parameter_controls import Control
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


def _head(words: str) -> None:
    with html("header", "exo-head"):
        html("span", "exo-brand", text="exoabm")
        html("span", "exo-motto", text=words)
        ThemeWidget.element()


@solara.component
def _FinishedRunPage(folder: Path) -> None:
    """A finished run of the command line, from its tables."""
    run = solara.use_memo(lambda: open_run(folder), [folder])
    _head(f"the finished run {run.name}")
    with html("main", "exo-wide"):
        RunView(run)


@solara.component
def _AllInUse() -> None:
    _head("cell communication through extracellular vesicles")
    with html("main", "exo-full"):
        html("h1", text="All models are in use")
        running = "One model runs" if SLOTS.most == 1 else f"{SLOTS.most} models run"
        html("p", text=f"{running}, the limit of this server. Close another page, or try again in a minute.")
        html("a", "exo-strong", text="Try again", attributes={"href": "./"})


@solara.component
def _LivePage(page: int) -> None:
    """The run of one reader, under its header."""
    search = solara.use_router().search or ""
    here = use_here(search)
    LinkWidget.element(on_link=here.open_link)
    setup, in_lessons = here.setup.value, here.tab.value == "lessons"
    KeepProgress(here.progress, in_lessons, None if search else lambda: here.tab.set("lessons"))
    lesson = here.progress.value.here() if in_lessons else ""
    _use_seat(page, Seat(CLASSROOM.reader(reader_key()), here.session.value, setup.title, lesson))
    _Header(setup, lambda name: here.choose(first_setup(name)))
    _Workspace(here).key(f"bench-{here.chosen.value}")


def _use_seat(page: int, seat: Seat) -> None:
    """Note in the teacher's table what the reader of a page sees."""

    def note() -> Callable[[], None]:
        CLASSROOM.note(page, seat)
        return lambda: CLASSROOM.leave(page)

    solara.use_effect(note, [id(seat.session), seat.title, seat.lesson])


@solara.component
def _Header(setup: Setup, on_scenario: Callable[[str], Any]) -> None:
    titles = solara.use_memo(lambda: {n: load(n).scenario.info.title for n in shipped()}, [])
    answered = solara.use_reactive(0)

    def choose(name: str) -> None:
        try:
            if name in titles:
                on_scenario(name)
        finally:
            answered.set(answered.peek() + 1)

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
            on_value=choose,
            opens=True,
            answered=answered.value,
        )
        ThemeWidget.element()


@solara.component
def _Workspace(here: Here) -> None:
    """The model with its player on the left, the chosen tab on the right.

    As the run goes on, ``pulse`` has only those parts made again that show the run.
    """
    session, setup, pulse, tab = here.session.value, here.setup.value, here.pulse, here.tab.value
    pending = solara.use_reactive({})
    selected = solara.use_reactive(-1)
    past = solara.use_reactive(-1)
    controls = solara.use_memo(lambda: controls_of(session.loaded), [id(session)])
    wanted = changed(controls, pending.value)

    def again(play: bool) -> None:
        past.set(-1)
        if here.begin(setup.changed(wanted), play=play, speed=session.speed):
            pending.set({})

    def open_tab(name: str) -> None:
        selected.set(-1)
        if name == "compare":
            session.pause()
        here.tab.set(name)

    def clear() -> None:
        """Close the card of a cell, and forget a look back and values that wait for Go."""
        selected.set(-1)
        past.set(-1)
        pending.set({})

    if tab == "compare":
        with html("main", "exo-wide"):
            _Tabs(tab, open_tab)
            Compare(setup).key(f"compare-{setup}")
        return
    strip = is_strip(session.extent)
    summary = _summary(session, selected.value, pulse) if selected.value >= 0 > past.value else None

    def show_card() -> bool:
        """The card of the selected cell; whether there is one."""
        if summary:
            Cell(summary, lambda: selected.set(-1)).key("cell")
        return summary is not None

    with html("main", "exo-main"):
        with html("section", "exo-left", attributes={"aria-label": "The model"}):
            _Top(session, setup, pulse, here.problem, lambda: again(play=False))
            links = summary.links if summary else ()
            stage = Stage(session, pulse, bool(wanted), again, past, selected, links)
            stage.key(f"stage-{setup.scenario}-{session.scenario.transport.engine}")
            if strip and tab != "lessons":  # which leaves room below itself
                Curves(session, pulse)
        with html("section", "exo-right", attributes={"aria-label": "Controls and results"}):
            _Tabs(tab, open_tab)
            if tab != "lessons":  # which have a place for it
                show_card()
            named = {"role": "tabpanel", "aria-label": TABS[tab].replace("|", "")}
            with html("div", "exo-panel", attributes=named).key("panel"):  # keeps its state below a card
                _show_tab(here, controls, pending, clear, show_card, with_curves=not strip)


def _show_tab(
    here: Here,
    controls: Mapping[str, Control],
    pending: solara.Reactive[dict[str, str]],
    clear: Callable[[], None],
    show_card: Callable[[], bool],
    *,
    with_curves: bool,
) -> None:
    """What the chosen tab holds; a run that it begins is shown as it is, without what was open before."""
    session, setup, pulse, tab = here.session.value, here.setup.value, here.pulse, here.tab.value

    def begin(new: Setup, **how: Any) -> bool:
        clear()
        return here.begin(new, **how)

    def beside(first: str | None) -> None:
        if not show_card() and first is not None:
            Curves(session, pulse, first)

    if tab == "try":
        given = session, setup, controls, pending, here.problem, pulse, begin
        scenario_controls(*given, with_curves=with_curves)
    elif tab == "build":
        Editor(here.draft, session, setup, begin)
    elif tab == "talk":
        Communication(session, pulse)
    elif tab == "read":
        ScenarioPage(setup.scenario)
    elif tab == "lessons":
        Lessons(session, setup, begin, clear, pulse, here.progress, beside)
    elif tab == "take":
        Import(begin, here.uploads)
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
