"""Pages to print, and progress kept by a browser that may hand back anything."""

import json
import re
from dataclasses import replace

import pytest
import reacton
import solara
from ipyvuetify import Html

from exoabm.viz import app, page_run
from exoabm.viz.components.widgets import html
from exoabm.viz.run_setup import first_setup
from exoabm.viz.teaching import lesson_page
from exoabm.viz.teaching.lesson import LESSONS
from exoabm.viz.teaching.worksheets import PRINTS, Progress, key_values, printed

FIRST = LESSONS[0]
STEP = FIRST.steps[0]
NAME = f"{FIRST.key}/{STEP.key}"
DONE = Progress(
    guesses={NAME: STEP.guesses[0]},
    answers={NAME: "71 %"},
    found={NAME: {"free": 255.0, "emitted": 360.0, "free_percent": 70.8}},
    begun=frozenset({NAME}),
)


def test_progress_comes_back_as_it_was() -> None:
    assert Progress().kept() == ""
    assert Progress().with_kept(DONE.kept()) == DONE
    later = Progress(guesses={NAME: STEP.guesses[1]})
    assert later.with_kept(DONE.kept()).guesses[NAME] == STEP.guesses[1], "what was done since stays"
    assert later.with_kept(DONE.kept()).begun == {NAME}


@pytest.mark.parametrize(
    "junk",
    [
        "",
        "[" * 3000,
        "7",
        '{"guesses": 3, "found": []}',
        json.dumps({"guesses": {NAME: "<script>"}, "found": {"no/step": {"x": 1}}}),
        json.dumps({"found": {NAME: {"x": "1"}}, "answers": {NAME: 7}}),
    ],
)
def test_junk_of_a_browser_is_ignored(junk: str) -> None:
    assert Progress().with_kept(junk) == Progress()


def test_every_prediction_is_judged_by_a_run() -> None:
    """The run of the key makes one guess of each step right; another value makes another one right."""
    seen = set()
    for lesson in LESSONS:
        for step in lesson.steps:
            for each in lesson.judged_by(step):
                found = key_values()[f"{lesson.key}/{step.key}"]
                assert len(each.judge.limits) == len(each.guesses) - 1
                assert each.judge.limits_of(found) == sorted(each.judge.limits_of(found))
                assert sorted(each.judge.order or range(len(each.guesses))) == [*range(len(each.guesses))]
                _, truth = each.result(found)
                assert truth in each.guesses, (lesson.key, each.key)
                for guess in each.guesses:
                    assert each.judged(guess, found).right == (guess == truth)
                assert not each.judged(truth, {}).right, "of another version of the lesson"
                seen.add((lesson.key, each.key))
    assert len(seen) == 40
    assert STEP.judged("About 70 %", {"free_percent": 70.0}).right
    assert not STEP.judged("About 70 %", {"free_percent": 50.0}).right


def test_the_key_has_answers_and_explanations_in_numbers() -> None:
    page = printed("key", Progress()).decode()
    assert "…" not in page.partition("</style>")[2]
    assert not re.search(r"[a-z]_[a-z]", re.sub(r"`[^`]*`|<code>.*?</code>", "", page))
    released = key_values()[NAME]["emitted"]
    assert f"{released:g}" in page.partition("<article>")[2].partition("</article>")[0]


def test_sheet_and_key_hold_every_step_and_nothing_of_a_reader() -> None:
    for key in ("sheets", "key"):
        page = printed(key, DONE).decode()
        assert page.count("<article>") == sum(len(lesson.steps) for lesson in LESSONS)
        assert "{" not in page.partition("</style>")[2]
        assert "70.8" not in page
    key = printed("key", DONE).decode()
    assert "1 cell in the run of seed 1" in key
    assert "Accepted: within 4 % of it or 2 percentage points, whichever is more." in key
    assert "**" not in key + printed("sheets", DONE).decode()
    assert all(step.hint.split()[0] in key for lesson in LESSONS for step in lesson.steps)


def test_only_a_step_with_the_run_of_an_earlier_one_has_none_to_make() -> None:
    same = {f"{lesson.key}/{step.key}" for lesson in LESSONS for step in lesson.steps if lesson.repeats(step)}
    assert same == {"donors_and_recipients/unequal", "donors_and_recipients/senders", "be_the_modeler/second"}
    assert printed("sheets", Progress()).count(b"<b>Look.</b>") == len(same)


def test_my_answers_are_those_of_the_reader_and_escaped() -> None:
    page = printed("answers", DONE).decode()
    assert STEP.guesses[0] in page
    assert "71 %" in page
    assert (
        f"✗ Share still free: 70.8 %. You predicted “{STEP.guesses[0]}”; the result is “About 70 %”." in page
    )
    assert page.count("<section>") == 1
    assert (
        "<b>"
        not in printed("answers", Progress(guesses=DONE.guesses, found=DONE.found, answers={NAME: "<b>"}))
        .decode()
        .partition("Answer.</b>")[2]
        .partition("</p>")[0]
    )
    assert "No step has been done" in printed("answers", Progress()).decode()
    assert set(PRINTS) == {"sheets", "key", "answers"}


def test_numbers_of_my_answers_are_written_as_on_the_page() -> None:
    for name, typed, written in (
        ("few_big_or_many_small/many", "1", "1 cell ✓"),
        ("few_big_or_many_small/single", "12003", "12,003 copies ✓"),
        ("few_big_or_many_small/single", "12 003 copies", "12,003 copies ✓"),
        ("few_big_or_many_small/single", "about 12e3", "about 12e3 copies ✓"),
        ("few_big_or_many_small/single", "35 copies", "35 copies ✓"),
        ("fate_of_a_vesicle/adrift", "98%", "98 % ✓"),
        ("few_big_or_many_small/many", "", "✓"),
    ):
        page = printed("answers", Progress(found={name: key_values()[name]}, answers={name: typed}))
        assert f"<b>Answer.</b> {written}" in page.decode()


def test_a_tab_that_is_opened_again_has_its_lesson_and_step() -> None:
    """The step that is shown, also where it is answered, is what the teacher sees."""
    at = Progress().open(FIRST)
    assert (at.place(), at.at(FIRST)) == (NAME, 0)
    answered = replace(at, found=DONE.found)
    assert answered.here() == f"{FIRST.title}: step 1 of 5, {STEP.title}", "until the reader goes on"
    assert answered.open(FIRST).at(FIRST) == 1
    every = replace(answered, found={f"{FIRST.key}/{step.key}": {"free": 1.0} for step in FIRST.steps})
    assert every.open(FIRST).at(FIRST) == 0, "a lesson that is done opens at its first step"
    assert Progress().with_place(at.place()) == at
    for junk in ("", "/", f"{FIRST.key}/", "no/step", f"{LESSONS[1].key}/{STEP.key}"):
        assert Progress().with_place(junk) == Progress()
    other = Progress().open(LESSONS[1])
    assert other.with_place(at.place()) == other, "a lesson that was opened since stays"


def test_a_prediction_not_made_is_named_by_its_step() -> None:
    lesson = next(each for each in LESSONS if each.key == "noise_and_replicates")
    step = next(each for each in lesson.steps if len(lesson.judged_by(each)) > 1)

    @solara.component
    def judged() -> None:
        with html("div"):
            lesson_page._show_judged(lesson, step, {}, {})

    _, context = reacton.render_fixed(judged())
    words = {child for each in context.find(Html, tag="p").widgets for child in each.children}
    others = [each for each in lesson.judged_by(step) if each is not step]
    numbers = {lesson.steps.index(each) + 1: each.title for each in others}
    assert words == {
        "You made no prediction.",
        *(f"Step {number}, {title}. You made no prediction." for number, title in numbers.items()),
    }
    context.close()


def test_a_step_shows_its_own_model_from_the_moment_it_is_opened() -> None:
    """Before that, the result of the step before, with its card, gave the answer to the prediction away."""
    pages: list[app.Here] = []

    @solara.component
    def page() -> None:
        pages.append(page_run.use_here("scenario=two_cells"))
        app._Workspace(pages[0])

    _, context = reacton.render(page(), handle_error=False)
    here, progress = pages[0], pages[0].progress
    here.tab.set("lessons")
    assert here.setup.value == first_setup("two_cells"), "the list of lessons changes nothing"
    for place in (0, 1):
        progress.set(replace(progress.value, opened=FIRST.key, step=FIRST.steps[place].key))
        session = here.session.value
        assert FIRST.is_run_of(here.setup.value, FIRST.steps[place])
        assert session.time == 0
        session.step()
    progress.set(replace(progress.value, guesses={f"{FIRST.key}/chance": FIRST.steps[1].guesses[0]}))
    assert here.session.value is session, "and a run that was begun stays"
    here.pulse.set(here.pulse.value + 1)
    assert progress.value.begun >= {f"{FIRST.key}/chance"}, "its prediction too, whatever runs next"
    context.close()
