"""The lessons on the page: predict, run, check, explain, one step after the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import solara

from exoabm.errors import command_line
from exoabm.scenario.loader import shipped
from exoabm.viz.components.communication import drawing
from exoabm.viz.components.widgets import AnswerWidget, Button, DownloadWidget, KeepWidget, html
from exoabm.viz.drawings.lesson_drawings import INSTRUMENTS
from exoabm.viz.run_setup import first_setup
from exoabm.viz.server.classroom import CLASSROOM
from exoabm.viz.teaching.lesson import LESSONS
from exoabm.viz.teaching.worksheets import PRINTS, Progress, printed, to_html

if TYPE_CHECKING:
    from exoabm.viz.run_setup import Setup
    from exoabm.viz.server.session import Session
    from exoabm.viz.teaching.lesson import Lesson, Step, Verdict


@solara.component
def Lessons(
    session: Session,
    setup: Setup,
    begin: Callable[..., bool],
    clear: Callable[[], None],
    pulse: solara.Reactive[int],
    progress: solara.Reactive[Progress],
    beside: Callable[[str | None], None],
) -> None:
    """A list of lessons, or the one that was opened, with its own model.

    Parameters
    ----------
    session, setup
        The run on the page.
    begin : callable
        Starts another run in its place: ``begin(setup, play=, speed=)``.
    clear : callable
        Closes what is open beside the run, such as the card of a cell; called with every step.
    pulse
        Rises as the run goes on.
    progress
        Outlives the runs.
    beside : callable
        Draws the card of the selected cell; without one, the curves of the run, at first those named, if any.
    """
    lesson = next((each for each in LESSONS if each.key == progress.value.opened), None)
    if lesson is None:
        _LessonList(lambda chosen: progress.set(progress.peek().open(chosen)), progress.value)
        beside(None)
    else:
        _Lesson(lesson, session, setup, begin, clear, pulse, progress, beside).key(lesson.key)


@solara.component
def KeepProgress(
    progress: solara.Reactive[Progress], shown: bool, on_place: Callable[[], None] | None
) -> None:
    """Keep answers in the browser, and, while lessons are ``shown``, the place in its tab.

    ``on_place`` is called after a page was opened again in a tab that kept a place.
    Without it, none is restored.
    """

    def restore(text: str) -> None:
        found = progress.peek().with_place(text)
        if on_place is not None and found != progress.peek():
            progress.set(found)
            on_place()

    KeepWidget.element(
        name="exoabm.lessons",
        text=progress.value.kept(),
        on_restore=lambda text: progress.set(progress.peek().with_kept(text)),
    )
    place = progress.value.place() if shown else ""
    KeepWidget.element(name="exoabm.place", text=place, lasting=False, on_restore=restore)


@solara.component
def _LessonList(on_open: Callable[[Lesson], None], progress: Progress) -> None:
    with html("section", "exo-card", attributes={"aria-label": "Guided lessons"}):
        html("h2", text=f"{len(LESSONS)} guided lessons")
        html(
            "p",
            "exo-note",
            text="Twenty minutes each: predict, run, check, explain. What is right is measured on your "
            "run, or computed from its parameters. Your progress is kept in this browser.",
        )
        for lesson in LESSONS:
            with html("article", "exo-lesson"):
                html("h3", text=lesson.title)
                html("p", text=lesson.idea)
                done = sum(progress.done(lesson))
                words = "Open again" if done == len(lesson.steps) else "Go on" if done else "Begin"
                with html("div", "exo-row"):
                    label = {"aria-label": f"{words}: {lesson.title}"}
                    Button(words, lambda lesson=lesson: on_open(lesson), "exo-strong", label)
                    html("span", "exo-note", text=f"{done} of {len(lesson.steps)} steps done")
    _Prints(progress)


@solara.component
def _Prints(progress: Progress) -> None:
    """Pages to print or to hand in: sheets, the reader's answers, and the teacher's key outside a class."""
    own = {key: words for key, words in PRINTS.items() if key != "key" or not CLASSROOM.open}
    holder: dict[str, DownloadWidget] = solara.use_memo(dict, [])

    def make(key: str) -> None:
        if key not in own:  # a browser may ask for anything
            return
        widget = holder["widget"]
        with widget.hold_sync():
            widget.filename, widget.mime = f"exoabm-{key}.html", "text/html"
            widget.content = printed(key, progress)
            widget.serial += 1

    with html("section", "exo-card", attributes={"aria-label": "Pages to print"}):
        html("h2", text="Pages to print")
        element = DownloadWidget.element(
            items=[[key, *words] for key, words in own.items()],
            why="Each is one file that any browser opens and prints.",
            on_ask=make,
        )
    solara.use_effect(lambda: holder.update(widget=solara.get_widget(element)), [])


@solara.component
def _Lesson(
    lesson: Lesson,
    session: Session,
    setup: Setup,
    begin: Callable[..., bool],
    clear: Callable[[], None],
    pulse: solara.Reactive[int],
    progress: solara.Reactive[Progress],
    beside: Callable[[str | None], None],
) -> None:
    done, at = progress.value.done(lesson), progress.value.at(lesson)
    first = done.index(False) if False in done else len(done)

    def go(to: int) -> None:
        progress.set(replace(progress.peek(), step=lesson.steps[to].key))

    with html("section", "exo-card exo-guide", attributes={"aria-label": lesson.title}):
        with html("div", "exo-card-head"):
            html("h2", text=lesson.title)
            Button("All lessons", lambda: progress.set(progress.peek().closed()))
        with html("ol", "exo-steps"):
            for i, step in enumerate(lesson.steps):
                with html("li", "exo-here" if i == at else "exo-done" if done[i] else ""):
                    state = "done" if done[i] else "open"
                    label: dict[str, Any] = {"aria-label": f"Step {i + 1}, {step.title}, {state}"}
                    if i == at:
                        label["aria-current"] = "step"
                    if i > first:
                        label["disabled"] = True
                    Button("✓" if done[i] else str(i + 1), lambda i=i: go(i), "exo-dot", label)
        step = lesson.steps[at]
        made = _Step(lesson, step, at, session, setup, begin, clear, pulse, progress, beside)
        made.key(f"{lesson.key}/{step.key}")
        if done[at] and at + 1 < len(done):
            Button("Next step", lambda: go(at + 1), "exo-strong")
        elif all(done):
            prose(lesson.close)
            _NextLesson(lesson, lambda chosen: progress.set(progress.peek().open(chosen)))


@solara.component
def _NextLesson(lesson: Lesson, on_open: Callable[[Lesson], None]) -> None:
    """A button for the lesson after this one, where there is one."""
    with html("div", "exo-row"):
        place = LESSONS.index(lesson) + 1
        if place < len(LESSONS):
            Button(f"Next lesson: {LESSONS[place].title}", lambda: on_open(LESSONS[place]), "exo-strong")


@solara.component
def _Step(
    lesson: Lesson,
    step: Step,
    number: int,
    session: Session,
    setup: Setup,
    begin: Callable[..., bool],
    clear: Callable[[], None],
    pulse: solara.Reactive[int],
    progress: solara.Reactive[Progress],
    beside: Callable[[str | None], None],
) -> None:
    _ = pulse.value
    key = f"{lesson.key}/{step.key}"
    guess = progress.value.guesses.get(key, "")
    verdict: solara.Reactive[Verdict | None] = solara.use_reactive(None)
    wanted = lesson.setup(step)
    mine = lesson.is_run_of(setup, step)
    finished = mine and session.finished
    earlier = _measured_before(lesson, progress.value)

    def begin_step() -> None:
        now = progress.peek()
        progress.set(replace(now, begun=now.begun | {key}))

    def check(answer: str) -> None:
        with session.reading() as model:
            found = earlier | step.measured(model)
        graded = step.grade(answer[:80], found)
        verdict.set(graded)
        begin_step()
        if graded.right:
            own = {name: value for name, value in found.items() if name not in earlier}
            now = progress.peek()
            answers = {**now.answers, key: answer[:80]}
            progress.set(replace(now, found={**now.found, key: own}, answers=answers))

    done = progress.value.found.get(key)
    begun = done is not None or key in progress.value.begun
    locked = bool(guess) and begun
    # A run that was there before, of an earlier step, shows its answers when it is asked for them.
    opened = solara.use_memo(lambda: (session, session.time), [])
    ran = mine and session.time > (opened[1] if session is opened[0] else 0.0)
    solara.use_effect(lambda: begin_step() if ran and not begun else None, [ran, begun])

    def predict(words: str) -> None:
        if locked:
            return
        now = progress.peek()
        progress.set(replace(now, guesses={**now.guesses, key: words}))

    def show() -> None:
        clear()
        if not mine:
            begin(wanted, speed=step.speed)

    solara.use_effect(show, [key])
    html("h3", text=f"{number + 1}. {step.title}")
    prose(step.read)
    _show_prediction(step, guess, locked, predict)
    if not guess and done is None:
        beside(None)
        return
    with html("div", "exo-stage-of-lesson"):
        html("h4", text="Look" if finished and lesson.repeats(step) else "Run")
        html("p", text=step.look)
        _show_run(session, mine, f"Run {step.hours:g} h", lambda: _run(wanted, step, session, begin, mine))
        if mine:
            beside(None if step.instrument else step.plot)
    if not finished and done is None:
        return
    with html("div", "exo-stage-of-lesson"):
        html("h4", text="Check")
        prose(step.question(earlier))
        if finished:
            _Check(step, session, check, done is None)
        if done is not None and verdict.value is None:
            _show_answer(step.as_typed(progress.value.answers.get(key, "")), finished)
        _show_reply(verdict.value)
    if done is not None:
        _show_explanation(lesson, step, progress.value.guesses, earlier | done)


def _measured_before(lesson: Lesson, progress: Progress) -> dict[str, Any]:
    """What the steps of a lesson have measured, by step and name."""
    return {
        f"{name.partition('/')[2]}.{what}": value
        for name, found in progress.found.items()
        if name.partition("/")[0] == lesson.key
        for what, value in found.items()
    }


def _show_answer(answer: str, finished: bool) -> None:
    """The answer given before, and how to see its run again where that is not there."""
    again = "" if finished else " Run this step again to see its drawing or plot."
    html("p", "exo-note", text=(f"Your answer was {answer}." if answer else "") + again)


def _show_explanation(
    lesson: Lesson, step: Step, guesses: Mapping[str, str], found: Mapping[str, Any]
) -> None:
    """The judgment of the prediction, and the explanation of the step."""
    with html("div", "exo-explain"):
        html("h4", text="Explain")
        _show_judged(lesson, step, guesses, found)
        prose(step.explanation(found))


def _show_run(session: Session, mine: bool, words: str, on_run: Callable[[], None]) -> None:
    if not mine or (not session.finished and not session.playing):
        Button("Go on" if mine and session.time > 0 else words, on_run, "exo-strong")
    elif not session.finished:
        share = f"{session.time / session.end:.3f}"
        html("progress", attributes={"max": "1", "value": share, "aria-label": "Model time of the run"})


def _show_prediction(step: Step, guess: str, locked: bool, on_guess: Callable[[str], None]) -> None:
    """The guesses to choose from; ``locked`` once a run shows the answer."""
    with html("div", "exo-question"):
        html("h4", text="Predict")
        html("p", text=step.predict)
        with html("div", "exo-answers", attributes={"role": "group", "aria-label": "Your prediction"}):
            for words in step.guesses:
                chosen = guess == words
                pressed: dict[str, Any] = {"aria-pressed": str(chosen).lower()}
                if locked:
                    pressed["disabled"] = True
                class_ = "exo-answer exo-answer-chosen" if chosen else "exo-answer"
                Button(words, lambda words=words: on_guess(words), class_, pressed)


def _show_judged(lesson: Lesson, step: Step, guesses: Mapping[str, str], found: Mapping[str, float]) -> None:
    """The predictions that the run of a step judges, and when that of the step itself is."""
    by = lesson.judged_by(step)
    for each in by:
        guess = guesses.get(f"{lesson.key}/{each.key}", "")
        before = "" if each is step else f"Step {lesson.steps.index(each) + 1}, {each.title}. "
        if not guess:
            html("p", "exo-note", text=f"{before}You made no prediction.")
            continue
        verdict = each.judged(guess, found)
        html("p", "exo-right-answer" if verdict.right else "exo-wrong-answer", text=before + verdict.words)
        if each.judge.why:
            html("p", "exo-note", text=each.judge.why)
    if step not in by and guesses.get(f"{lesson.key}/{step.key}"):
        later = next(i for i, each in enumerate(lesson.steps, 1) if each.key == step.judge.step)
        html("p", "exo-note", text=f"Your prediction is judged by the run of step {later}.")


def _show_reply(verdict: Verdict | None) -> None:
    with html("div", "exo-status", attributes={"role": "status"}):
        if verdict is not None:
            class_ = "exo-right-answer" if verdict.right else "exo-wrong-answer"
            html("p", class_, text=("✓ " if verdict.right else "✗ ") + verdict.words)


@solara.component
def _Check(step: Step, session: Session, on_answer: Callable[[str], None], reveal: bool) -> None:
    """The instrument and the field for the answer, scrolled to with ``reveal``."""

    def draw() -> str:
        with session.reading() as model:
            return INSTRUMENTS[step.instrument](model) if step.instrument else ""

    svg = solara.use_memo(draw, [id(session), step.key])
    with html("div"):
        if svg:
            drawing(svg)
        AnswerWidget.element(unit=step.unit, reveal=reveal, on_answer=on_answer)


def _run(wanted: Setup, step: Step, session: Session, begin: Callable[..., bool], mine: bool) -> None:
    if mine:
        if session.time == 0:
            session.speed = step.speed
        session.play()
    else:
        begin(wanted, play=True, speed=step.speed)


OPEN_AT_FIRST = ("What is it", "How it works")


@cache
def sections(scenario: str) -> tuple[tuple[str, str], ...]:
    """Headings of a scenario's page and the HTML below each; none where no page ships."""
    path = shipped().get(scenario)
    if path is None or not path.with_suffix(".md").is_file():
        return ()
    text = path.with_suffix(".md").read_text(encoding="utf-8")
    parts = re.split(r"^## +(.+)$", text, flags=re.MULTILINE)
    return tuple(
        (heading.strip(), to_html(body)) for heading, body in zip(parts[1::2], parts[2::2], strict=True)
    )


def origin_of_numbers(scenario: str) -> str:
    """Of which run the numbers in the text of a scenario are, and the command of the page's own run."""
    opened, usual = first_setup(scenario), f"`{command_line('run', scenario)} --seed 1`"
    if not opened.overrides:
        return f"Numbers below are of this page's first run, {usual}, or of the commands beside them."
    return (
        f"Numbers below are of {usual}, in expected numbers, or of the commands beside them. This page opens "
        f"with `{opened.command}`: single vesicles, whose numbers differ, in part by chance."
    )


@solara.component
def ScenarioPage(scenario: str) -> None:
    """The page of a scenario, each part under a heading that opens and closes."""
    found = sections(scenario)
    with html("section", "exo-card exo-read", attributes={"aria-label": "About this scenario"}):
        if not found:
            html("p", text="This scenario has no page of its own.")
        else:
            prose(origin_of_numbers(scenario))
        for heading, body in found:
            opened = {"open": True} if heading in OPEN_AT_FIRST else {}
            with html("details", "exo-part", attributes=opened):
                html("summary", text=heading)
                solara.HTML(tag="div", unsafe_innerHTML=body, class_="exo-prose")


def prose(text: str) -> None:
    """Our own Markdown as a paragraph or more of the page."""
    solara.HTML(tag="div", unsafe_innerHTML=to_html(text), class_="exo-prose")
