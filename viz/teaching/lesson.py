"""Guided lessons: predict, run, check, explain; read from the ``*.lesson.toml`` files beside the scenarios.

What is right is measured on the reader's own run, or computed from its parameters, and is never part of the
text. ``python -m exoabm.viz.teaching.lesson`` makes every run, which compiles all functions needed.
"""

from __future__ import annotations

import ast
import math
import operator
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from exoabm.text_formatting import capitalized, number
from exoabm.viz.results.text_summary import phrase
from exoabm.viz.run_setup import Data, Text, answer_of, first_setup, judged
from exoabm.viz.teaching.lesson_measures import MEASURES

if TYPE_CHECKING:
    from exoabm.model import ExosomeModel
    from exoabm.viz.run_setup import Setup

Found = Mapping[str, float]
"""What was measured on the reader's runs, by name; of earlier steps as ``<step>.<name>``."""

_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def evaluate(formula: str, found: Found) -> float:
    """The value of a formula of numbers, measured names, ``+ - * /``, ``abs`` and parentheses."""

    def value(node: ast.expr) -> float:
        if isinstance(node, ast.BinOp):
            return _OPERATORS[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.Call):
            return abs(value(node.args[0]))
        if isinstance(node, ast.Constant):
            return float(node.value)  # type: ignore[arg-type]
        return found[ast.unparse(node)]

    return value(ast.parse(formula, mode="eval").body)


def _checked(formula: str) -> str:
    allowed = (ast.Expression, ast.BinOp, ast.Name, ast.Attribute, ast.Load, *_OPERATORS)
    for node in ast.walk(ast.parse(formula, mode="eval")):
        number = isinstance(node, ast.Constant) and isinstance(node.value, int | float)
        size = isinstance(node, ast.Call) and ast.unparse(node.func) == "abs" and len(node.args) == 1
        if not (number or size or isinstance(node, allowed)):
            raise ValueError(f"{formula!r}: numbers, measured names, + - * /, abs and parentheses only")
    return formula


Formula = Annotated[str, AfterValidator(_checked)]
"""Text that ``evaluate`` takes."""


class Mistake(Data):
    """A frequent wrong answer, and the reply to it."""

    value: Formula
    words: Text


@dataclass(frozen=True)
class Verdict:
    """The reply to an answer."""

    right: bool
    words: str


class Judge(Data):
    """What in the reader's run makes a prediction right.

    Attributes
    ----------
    label, unit : str
        Of the value.
    value : str
        Formula of what was measured.
    limits : tuple of float or str
        Values between two guesses, ascending; a formula where an earlier step decides.
    order : tuple of int
        Guesses from the smallest value to the largest, by their place; empty where they stand so.
    step : str
        Key of the step whose run judges it, and whose names ``value`` contains; "" for its own.
    why : str
        The reason, where the explanation does not give it.
    """

    label: Text
    value: Formula
    limits: tuple[float | Formula, ...]
    unit: str = ""
    order: tuple[int, ...] = ()
    step: str = ""
    why: Text = ""

    def limits_of(self, found: Found) -> list[float]:
        """The limits in the reader's run."""
        return [evaluate(each, found) if isinstance(each, str) else each for each in self.limits]


class Step(Data):
    """One round of a lesson.

    Attributes
    ----------
    key, title : str
    read : str
        Before the prediction, in Markdown, as are ``ask`` and ``explain``; all else is plain text.
    predict : str
        A question that the run answers, or its parameters.
    guesses : tuple of str
        To choose from.
    judge : Judge
    set : dict of str to str
        Dotted keys and values on top of the lesson's own.
    look : str
        What to watch while it runs.
    ask : str
        A question about the run, answered by a number to read or to work out; ``{step_name}`` is replaced by
        what an earlier step measured.
    unit : str
        Of the answer.
    measure : tuple of str
        Names in ``MEASURES``.
    truth : str
        Formula of the right answer.
    hint : str
        Reply to a wrong answer.
    explain : str
        Afterwards, in Markdown; ``{name}`` is replaced by what was measured, ``{truth}`` by the answer.
    hours : float
        Model time of the run.
    tolerance : float
        Largest relative error of a right answer.
    slack : float
        Largest absolute error of a right answer, where that is more.
    mistakes : tuple of Mistake
    instrument : str
        Name in ``INSTRUMENTS`` of a drawing shown beside the question; "" for none.
    seed : int
        Of the run; 0 for that of the page.
    plot : str
        Key of the chart that stands beside the question where there is no drawing; see ``results.charts``.
    speed : float
        Model time in s per second.
    """

    key: str
    title: str
    read: Text
    predict: Text
    guesses: tuple[Text, ...]
    judge: Judge
    look: Text
    ask: Text
    unit: str
    measure: tuple[str, ...]
    truth: Formula
    hint: Text
    explain: Text
    hours: float
    set: dict[str, str] = Field({})
    tolerance: float = 0.04
    slack: float = 0.0
    mistakes: tuple[Mistake, ...] = ()
    instrument: str = ""
    plot: str = ""
    seed: int = 0
    speed: float = 3600.0

    def measured(self, model: ExosomeModel) -> dict[str, float]:
        """What this step measures on a finished model, by name."""
        return {name: value for each in self.measure for name, value in MEASURES[each](model).items()}

    def right_answer(self, found: Found) -> float:
        """The right answer to the question, from what was measured."""
        return evaluate(self.truth, found)

    def grade(self, answer: str, found: Found) -> Verdict:
        """Judge an answer as typed by what was measured on the reader's own run."""
        values = read_number(answer.strip().removesuffix(f" {self.unit}"))
        if not values:
            one = "one number and no calculation" if re.search(r"\d", answer) else "a number"
            return Verdict(False, f"Type {one}, in {self.unit}." if self.unit else f"Type {one}.")
        truth = self.right_answer(found)
        if any(self._near(value, truth) for value in values):
            several = any("." in name for name in _named(self.truth))  # what an earlier step measured
            made = "your runs give" if several else "your run gives"
            return Verdict(True, f"Correct: {made} {self.with_unit(truth)}.")
        for mistake in self.mistakes:
            wrong = evaluate(mistake.value, found)
            if any(self._near(value, wrong) for value in values):
                return Verdict(False, mistake.words)
        return Verdict(False, self.hint)

    def result(self, found: Found) -> tuple[str, str]:
        """The value that judges the prediction, in words, and the guess that it makes right, "" for none."""
        judge = self.judge
        try:
            value = evaluate(judge.value, found)
            limits = judge.limits_of(found)
        except (KeyError, ZeroDivisionError):  # kept by another version of the lesson; a share of nothing
            value, limits = math.nan, []
        guesses = [self.guesses[place] for place in judge.order] or self.guesses
        text = f"{capitalized(judge.label)}: {phrase(number(value), judge.unit)}."
        return text, answer_of(value, limits, guesses)

    def judged(self, guess: str, found: Found) -> Verdict:
        """Judge a prediction by what was measured on the run that answers it."""
        text, truth = self.result(found)
        return Verdict(*judged(guess, truth, text, "The run does not answer the question."))

    def names(self) -> frozenset[str]:
        """The measured numbers that the question, its answers and the explanation contain."""
        limits = (limit for limit in self.judge.limits if isinstance(limit, str))
        formulas = (self.truth, self.judge.value, *limits, *(mistake.value for mistake in self.mistakes))
        filled = frozenset(re.findall(r"\{([a-z0-9_]+)\}", self.ask + self.explain))
        return (_named(*formulas) | filled) - {"abs", "truth"}

    def explanation(self, found: Found) -> str:
        """The explanation with the numbers of the reader's own runs in it."""
        return self.explain.format(truth=self.with_unit(self.right_answer(found)), **_numbers(found))

    def question(self, found: Found) -> str:
        """The question, with what earlier steps measured in it."""
        return self.ask.format(**_numbers(found))

    def with_unit(self, value: float) -> str:
        """A value of the answer as it is shown."""
        return phrase(number(value), self.unit)

    def as_typed(self, answer: str) -> str:
        """A right answer in words: its number as it was typed, and the unit once; "" where none was kept."""
        plain = _plain(answer)
        found = _TYPED.fullmatch(plain)
        typed = found[1] if found else plain
        typed = f"{int(typed):,}" if re.fullmatch(r"\d{4,}", typed) else typed
        return phrase(typed, self.unit) if typed else ""

    def _near(self, value: float, truth: float) -> bool:
        error = max(self.tolerance * abs(truth), self.slack)
        return math.isfinite(truth) and abs(value - truth) <= error * (1 + 1e-9)


class Lesson(Data):
    """A guided tour through one idea.

    Attributes
    ----------
    key, title : str
    order : int
        Place in the list of lessons.
    idea : str
        One sentence.
    seen : str
        What the picture shows in every step.
    scenario : str
        A shipped scenario.
    set : dict of str to str
        Dotted keys and values for every step.
    steps : tuple of Step
    close : str
        At the end, in Markdown.
    """

    key: str
    order: int
    title: str
    idea: Text
    seen: Text
    scenario: str
    set: dict[str, str]
    steps: tuple[Step, ...] = Field(alias="step")
    close: Text

    def judged_by(self, step: Step) -> list[Step]:
        """The steps whose predictions the run of this step judges."""
        return [each for each in self.steps if (each.judge.step or each.key) == step.key]

    def setup(self, step: Step) -> Setup:
        """The run of a step."""
        changes = self.set | step.set | {"clock.duration": f"{step.hours:g} h"}
        return first_setup(self.scenario, seed=step.seed or 1).changed(changes)

    def is_run_of(self, setup: Setup, step: Step) -> bool:
        """Whether a run is that of a step."""
        return setup.same(self.setup(step)) and step.seed in (0, setup.seed)

    def repeats(self, step: Step) -> bool:
        """Whether the run of a step is that of an earlier one."""
        setup, before = self.setup(step), self.steps[: self.steps.index(step)]
        return any(self.is_run_of(setup, each) for each in before)

    def owns(self, setup: Setup) -> bool:
        """Whether a run is one of the lesson's own."""
        return any(self.is_run_of(setup, step) for step in self.steps)


def read_lesson(file: Path) -> Lesson:
    """A lesson from its file; ``[every_step]`` holds what a step does not say itself."""
    data: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    common = data.pop("every_step", {})
    data["step"] = [common | step for step in data["step"]]
    return Lesson(key=file.name.partition(".")[0], **data)


def _shipped_lessons() -> tuple[Lesson, ...]:
    folder = Path(str(resources.files("exoabm.scenarios")))
    return tuple(sorted(map(read_lesson, folder.glob("*.lesson.toml")), key=lambda lesson: lesson.order))


LESSONS = _shipped_lessons()


def runs_of(
    lesson: Lesson, made: dict[str, ExosomeModel]
) -> Iterator[tuple[Step, ExosomeModel, dict[str, float]]]:
    """Run every step with its own seed, or 1; each step, its model, and what was measured up to it.

    ``made`` keeps the models: a longer run goes on with a shorter one of the same setup.
    """
    from exoabm.model import ExosomeModel

    notes: dict[str, float] = {}
    for step in lesson.steps:
        setup = lesson.setup(step)
        key = repr(setup.changed({"clock.duration": "any"}))
        if key not in made:
            made[key] = ExosomeModel(setup.load(), seed=setup.seed)
        made[key].run_until(step.hours * 3600)
        found = step.measured(made[key])
        yield step, made[key], notes | found
        notes |= {f"{step.key}.{name}": value for name, value in found.items()}


def _named(*formulas: str) -> frozenset[str]:
    """The names in formulas, of measured numbers and of functions."""
    parts = (node for formula in formulas for node in ast.walk(ast.parse(formula, mode="eval")))
    return frozenset(ast.unparse(node) for node in parts if isinstance(node, ast.Name | ast.Attribute))


def _numbers(found: Found) -> dict[str, str]:
    return {key.replace(".", "_"): number(value) for key, value in found.items()}


_TYPED = re.compile(r"([+-]?(?:\d[\d,]*\.?\d*|[.,]\d+)(?:[eE][+-]?\d{1,2})?)\D*")
"""A number, and what may come after it."""
_POWER = re.compile(r"(?:^([+-]?)| ?[×·*x] ?)10(?:\^([+-]?\d{1,2})|([⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,2}))(?!\d)")
"""A power of ten, alone or after a factor, as the page writes it or a keyboard does."""
_RAISED = str.maketrans("⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "+-0123456789")


def _plain(text: str) -> str:
    """With the minus and the powers of ten of a keyboard, and no blanks between thousands."""
    typed = text.strip().replace("\u2212", "-")
    typed = _POWER.sub(_exponential, typed)
    return re.sub(r"(?<=\d)[\u00a0\u202f ](?=\d{3}(?!\d))", "", typed)


def _exponential(power: re.Match[str]) -> str:
    sign, exponent = power[1], (power[2] or power[3]).translate(_RAISED)
    return f"e{exponent}" if sign is None else f"{sign}1e{exponent}"


def read_number(text: str) -> tuple[float, ...]:
    """The number typed, a unit or a percent sign after it; () if there is none, or more than one.

    A comma before three digits separates thousands in some countries and decimals in others: both are
    given, thousands first. A point is always that of decimals.
    """
    found = _TYPED.fullmatch(_plain(text))
    if not found or len(text) > 60:
        return ()
    typed = found[1]
    readings = []
    if "," not in typed or re.match(r"[+-]?[1-9]\d{0,2}(,\d{3})+(?!\d|,)", typed):
        readings.append(typed.replace(",", ""))
    if typed.count(",") == 1 and "." not in typed:
        readings.append(typed.replace(",", "."))
    return tuple(map(float, readings))


if __name__ == "__main__":
    for each in LESSONS:
        print(f"{each.title}: {len(list(runs_of(each, {})))} runs")
