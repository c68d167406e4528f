"""The run that a page shows: with what the page opens, and how another run takes its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import solara

from exoabm.errors import ExoError
from exoabm.viz.draft import Draft
from exoabm.viz.links_with_content import unpack
from exoabm.viz.run_setup import FIRST, Setup, first_setup, intro_of, start
from exoabm.viz.server.session import Session
from exoabm.viz.server.uploads import UploadFolder
from exoabm.viz.teaching.worksheets import Progress

if TYPE_CHECKING:
    from collections.abc import Callable


def _open(setup: Setup) -> Session:
    """A session, with the speed that its scenario opens at."""
    loaded = setup.load()
    session = Session(loaded, setup.seed)
    session.speed = intro_of(loaded).speed
    return session


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


@dataclass(frozen=True)
class Here:
    """The run that a page shows, and what is open beside it.

    Attributes
    ----------
    setup, session : reactive
        Of the run on the page, which ends where another takes its place.
    problem : reactive str
        Why the last run asked for could not be made.
    pulse : reactive int
        Rises as the run goes on.
    tab : reactive str
        A key of ``app.TABS``.
    progress, draft : reactive
        Of the lessons, and of what is built.
    chosen : reactive int
        How many runs were chosen above all tabs.
    uploads : UploadFolder
    """

    setup: solara.Reactive[Setup]
    session: solara.Reactive[Session]
    problem: solara.Reactive[str]
    pulse: solara.Reactive[int]
    tab: solara.Reactive[str]
    progress: solara.Reactive[Progress]
    draft: solara.Reactive[Draft]
    chosen: solara.Reactive[int]
    uploads: UploadFolder

    def made(self, new: Setup) -> Session | None:
        """A session; None if it cannot be made, and the page says why."""
        try:
            found = _open(new)
        except ExoError as error:
            self.problem.set(str(error))
            return None
        self.problem.set("")
        return found

    def begin(
        self,
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
        new_session = as_made or self.made(new)
        if new_session is None:
            return False
        if self.tab.peek() != "lessons":
            self.progress.set(self.progress.peek().closed())
        self.session.peek().close()
        self.setup.set(new)
        self.session.set(new_session)
        self.hear()
        new_session.speed = speed or new_session.speed
        if play or hours > 0:
            new_session.play(until=hours * 3600 if hours > 0 else None)
        return True

    def choose(self, new: Setup, hours: float = 0.0) -> None:
        """Start what was chosen above all tabs; nothing that belongs to the run before stays open."""
        new_session = self.made(new)
        if new_session is not None:
            if self.tab.peek() == "lessons":  # left first, for a lesson that is shown begins its own run
                self.tab.set("try")
            self.chosen.set(self.chosen.peek() + 1)
            self.begin(new, hours=hours, as_made=new_session)

    def open_link(self, text: str) -> None:
        """Start what a link opens, or say why it cannot be opened."""
        try:
            link = unpack(text, self.uploads)
        except ExoError as error:
            self.problem.set(str(error))
        else:
            self.choose(link.setup, hours=link.hours)

    def hear(self) -> None:
        """Raise ``pulse`` with every change of the run."""
        self.session.peek().on_change = lambda: self.pulse.set(self.pulse.peek() + 1)

    def end(self) -> None:
        """End the run, and forget what was uploaded."""
        self.session.peek().close()
        self.uploads.close()


def use_here(search: str) -> Here:
    """What a page shows, from its address on until it is closed."""
    first = solara.use_memo(lambda: opened(search), [])
    found = Here(
        setup=solara.use_reactive(first.setup),
        session=solara.use_reactive(first.session),
        problem=solara.use_reactive(first.problem),
        pulse=solara.use_reactive(0),
        tab=solara.use_reactive("try"),
        progress=solara.use_reactive(Progress()),
        draft=solara.use_reactive(Draft.empty()),
        chosen=solara.use_reactive(0),
        uploads=solara.use_memo(UploadFolder, []),
    )

    def listen() -> Callable[[], None]:
        found.hear()
        if first.hours > 0:
            first.session.play(until=first.hours * 3600)
        return found.end

    solara.use_effect(listen, [])
    return found
