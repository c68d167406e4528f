"""Lessons judge by the reader's own run: the truth is right, what is 10 % off is wrong, traps are told."""

from __future__ import annotations

import math
import re

import pytest

from exoabm import ExosomeModel
from exoabm.scenario.builder import blueprint
from exoabm.viz.server.limits import LIMITS
from exoabm.viz.teaching.lesson import LESSONS, Verdict, evaluate, read_number, runs_of
from exoabm.viz.teaching.measures import INSTRUMENTS
from exoabm.viz.teaching.sheets import contained, key_values

pytestmark = pytest.mark.slow

STEPS = [(lesson, step) for lesson in LESSONS for step in lesson.steps]
NAMES = [f"{lesson.key}/{step.key}" for lesson, step in STEPS]


class Runs(dict[str, tuple[ExosomeModel, dict[str, float]]]):
    """The run of each step with all that was measured up to it; a lesson is run when it is first asked for.

    Longer runs go on with shorter ones of the same setup.
    """

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[str, ExosomeModel] = {}

    def __missing__(self, name: str) -> tuple[ExosomeModel, dict[str, float]]:
        lesson = next(lesson for lesson in LESSONS if lesson.key == name.partition("/")[0])
        for step, model, found in runs_of(lesson, self.made):
            assert model.hours == pytest.approx(step.hours)
            self[f"{lesson.key}/{step.key}"] = model, found
        return self[name]


@pytest.fixture(scope="module")
def runs() -> Runs:
    return Runs()


def test_eight_lessons_of_five_steps() -> None:
    assert [lesson.key for lesson in LESSONS] == [
        "fate_of_a_vesicle",
        "how_far",
        "donors_and_recipients",
        "noise_and_replicates",
        "few_big_or_many_small",
        "threshold_and_relay",
        "block_the_signal",
        "be_the_modeler",
    ]
    assert all(len(lesson.steps) == 5 for lesson in LESSONS)
    assert len({lesson.key for lesson in LESSONS}) == len(LESSONS)
    for lesson in LESSONS:
        assert len({step.key for step in lesson.steps}) == len(lesson.steps)


def test_plain_texts_have_no_marks_of_markdown() -> None:
    for lesson, step in STEPS:
        plain = (lesson.seen, step.title, step.predict, step.look, step.hint, *step.guesses)
        for text in (*plain, *(mistake.words for mistake in step.mistakes)):
            assert not re.search(r"[*`_#]", text)
            assert not re.search(r"\bdark", text, re.IGNORECASE), "more is brighter in the dark theme"


@pytest.mark.parametrize(("lesson", "step"), STEPS, ids=NAMES)
def test_the_page_takes_every_run(lesson, step) -> None:
    loaded = lesson.setup(step).load()
    LIMITS.admit(blueprint(loaded, 1), step.hours)
    assert float(loaded.scenario.clock.duration) / 3600 == pytest.approx(step.hours)
    assert step.instrument in {"", *INSTRUMENTS}


@pytest.mark.parametrize("name", NAMES)
def test_the_truth_is_right_and_ten_percent_off_is_wrong(name: str, runs) -> None:
    _, step = STEPS[NAMES.index(name)]
    _, found = runs[name]
    truth = step.right_answer(found)
    assert math.isfinite(truth)
    assert truth != 0
    assert step.grade(f"{truth:.4g}", found).right
    assert step.grade(f"{truth:.3g} {step.unit}", found).right
    off = max(1.6 * step.slack, 1.6 * step.tolerance * abs(truth), 1e-9)
    for wrong in (truth + off, truth - off):
        assert not step.grade(f"{wrong:.6g}", found).right


@pytest.mark.parametrize("name", NAMES)
def test_traps_are_wrong_and_each_says_its_own(name: str, runs) -> None:
    _, step = STEPS[NAMES.index(name)]
    _, found = runs[name]
    for mistake in step.mistakes:
        verdict = step.grade(f"{evaluate(mistake.value, found):.6g}", found)
        assert not verdict.right
        assert verdict.words == mistake.words
    for junk in ("", "many", "nan", "inf", "1" * 200, "<b>"):
        assert not step.grade(junk, found).right


@pytest.mark.parametrize("name", NAMES)
def test_the_numbers_in_the_teachers_key_are_those_of_the_runs(name: str, runs) -> None:
    """They are made anew by ``python -m exoabm.viz.teaching.sheets``."""
    _, step = STEPS[NAMES.index(name)]
    assert key_values()[name] == pytest.approx(contained(step, runs[name][1]), rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_words_are_filled_in(name: str, runs) -> None:
    _, step = STEPS[NAMES.index(name)]
    _, found = runs[name]
    for text in (step.explanation(found), step.question(found)):
        assert not re.search(r"[{}]|\bnan\b|–(?= of)", text)


def test_another_seed_has_another_truth(runs) -> None:
    """What is right comes from the run: the answer of seed 1 is wrong for seed 2."""
    lesson = LESSONS[0]
    step = lesson.steps[1]
    model = ExosomeModel(lesson.setup(step).load(), seed=2)
    model.run()
    other = step.measured(model)
    mine = runs["fate_of_a_vesicle/chance"][1]
    assert step.right_answer(other) != step.right_answer(mine)
    assert not step.grade(f"{step.right_answer(mine):.4g}", other).right


def test_the_law_of_how_far_holds(runs) -> None:
    """sqrt(D/k) within 1.5 % for the field, within 4 % for single vesicles; not half or twice."""
    for key, most in (("cloud", 0.015), ("longer", 0.015), ("slower", 0.015), ("noise", 0.04)):
        found = runs[f"how_far/{key}"][1]
        assert found["measured"] == pytest.approx(found["law"], rel=most)
    assert runs["how_far/longer"][1]["law"] == pytest.approx(2 * runs["how_far/cloud"][1]["law"], rel=1e-6)
    assert runs["how_far/listeners"][1]["measured"] < 0.9 * runs["how_far/longer"][1]["measured"]


def test_removing_a_donor_leaves_the_others_links(runs) -> None:
    seven = runs["donors_and_recipients/hub"][0].communication
    six = runs["donors_and_recipients/remove"][0].communication
    for donor in range(6):
        for _, recipient, data in six.out_edges(donor, data=True):
            assert data["weight"] == pytest.approx(seven[donor][recipient + 1]["weight"], rel=1e-9)


@pytest.mark.parametrize("name", sorted(INSTRUMENTS))
def test_instruments_draw_even_nothing(name: str, runs) -> None:
    draw = INSTRUMENTS[name]
    assert "<svg" in draw(runs["donors_and_recipients/hub"][0])
    fresh = draw(ExosomeModel("signaling", seed=1))
    assert "yet" in fresh


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("3.5", (3.5,)),
        ("3,5 %", (3.5,)),
        ("0,762", (0.762,)),
        ("1,234", (1234, 1.234)),
        ("1,234.5 um", (1234.5,)),
        ("12,345,678", (12345678,)),
        ("1 234 567", (1234567,)),
        ("-2", (-2,)),
        ("1e3", (1000,)),
        (".5", (0.5,)),
        ("1.5/h", (1.5,)),
    ],
)
def test_numbers_as_people_type_them(text: str, values: tuple[float, ...]) -> None:
    assert read_number(text) == values


@pytest.mark.parametrize(
    "text",
    ["", "x", "about 3", "e5", "--1", "1" * 61, "31/3600", "2:18", "1 in 20", "3.5·10^-5", "1,23,4", "1.2.3"],
)
def test_no_number_or_more_than_one(text: str) -> None:
    assert read_number(text) == ()


def test_a_calculation_is_refused_and_either_comma_is_read() -> None:
    _, step = STEPS[NAMES.index("be_the_modeler/second")]
    found = {"taken": 3.0, "balance.taken": 1.5, "readout": 9.0, "balance.readout": 1.0}
    assert step.grade("2,000", found).right
    assert step.grade("2", found).words == "Correct: your run gives 2."
    assert step.grade("3/1.5", found) == Verdict(False, "Type one number and no calculation.")
    _, rate = STEPS[NAMES.index("how_far/listeners")]
    assert rate.grade("2.5 1/h", {"extra_h": 2.5, "rate_h": 7.0, "measured": 60.0}).right
    assert rate.grade("1.1/h", {"extra_h": 1.1, "rate_h": 7.0, "measured": 60.0}).right
    _, cells = STEPS[NAMES.index("few_big_or_many_small/many")]
    assert cells.grade("1", {"readout": 1.0}).words == "Correct: your run gives 1 cell."
