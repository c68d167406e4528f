"""What a lesson is made of: steps, each with a prediction, a run, a question about it, and the answer."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exoabm.viz.results.svg import number
from exoabm.viz.scenario_intros import first_setup

if TYPE_CHECKING:
    from exoabm.model import ExosomeModel
    from exoabm.viz.setup import Setup

Found = Mapping[str, float]
"""What was measured on the reader's runs, by name; of earlier steps as ``<step>.<name>``."""


def of(name: str, times: float = 1.0) -> Callable[[Found], float]:
    """What was found under a name, times a number."""
    return lambda found: times * found[name]


def ratio(name: str, to: str, times: float = 1.0) -> Callable[[Found], float]:
    """What was found under one name over that under another, times a number."""
    return lambda found: times * found[name] / found[to]


@dataclass(frozen=True)
class Trap:
    """A wrong answer that is easily come by, and what to say to it."""

    value: Callable[[Found], float]
    words: str


@dataclass(frozen=True)
class Verdict:
    """What is said to an answer."""

    right: bool
    words: str


@dataclass(frozen=True)
class Step:
    """One round of a lesson.

    Attributes
    ----------
    key, title : str
    read : str
        Before the prediction, in Markdown.
    predict : str
        A question that only the run can answer.
    guesses : tuple of str
        To choose from.
    changes : tuple of (str, str)
        Dotted keys and values on top of the lesson's own.
    look : str
        What to watch while it runs.
    ask : str
        A question about the run that was made, with the number to read or to work out; ``{step_name}`` stands
        for what an earlier step found.
    unit : str
        Of the answer.
    measure : callable
        From a finished model to what there is to know of it, by name.
    truth : callable
        From what was found to the right answer.
    tolerance : float
        Largest relative error of a right answer.
    slack : float
        Largest absolute error of a right answer, where that is more.
    hint : str
        To a wrong answer.
    traps : tuple of Trap
    explain : str
        Afterwards, in Markdown; ``{name}`` stands for what was found, ``{truth}`` for the answer.
    instrument : str
        Name of a drawing that is shown beside the question, of ``instruments``; "" for none.
    hours : float
        Model time of the run.
    speed : float
        Seconds of model time a second.
    """

    key: str
    title: str
    read: str
    predict: str
    guesses: tuple[str, ...]
    changes: tuple[tuple[str, str], ...]
    look: str
    ask: str
    unit: str
    measure: Callable[[ExosomeModel], dict[str, float]]
    truth: Callable[[Found], float]
    hint: str
    explain: str
    hours: float
    tolerance: float = 0.04
    slack: float = 0.0
    traps: tuple[Trap, ...] = ()
    instrument: str = ""
    speed: float = 3600.0

    def grade(self, answer: str, found: Found) -> Verdict:
        """Judge an answer as typed by what was measured on the reader's own run."""
        value = read_number(answer)
        if value is None:
            return Verdict(False, f"A number, please, in {self.unit}." if self.unit else "A number, please.")
        if self._near(value, self.truth(found)):
            return Verdict(True, f"Right: your own run says {self._said(self.truth(found))}.")
        for trap in self.traps:
            if self._near(value, trap.value(found)):
                return Verdict(False, trap.words)
        return Verdict(False, self.hint)

    def told(self, found: Found) -> str:
        """The explanation with the numbers of the reader's own runs in it."""
        return self.explain.format(truth=self._said(self.truth(found)), **_numbers(found))

    def asked(self, found: Found) -> str:
        """The question, with what earlier steps found in it."""
        return self.ask.format(**_numbers(found))

    def _said(self, value: float) -> str:
        return f"{number(value)} {self.unit}".strip()

    def _near(self, value: float, truth: float) -> bool:
        error = max(self.tolerance * abs(truth), self.slack)
        return math.isfinite(truth) and abs(value - truth) <= error * (1 + 1e-9)


@dataclass(frozen=True)
class Lesson:
    """A guided tour through one idea.

    Attributes
    ----------
    key, title : str
    idea : str
        One sentence.
    seen : str
        What is on the stage in every step, said above it.
    scenario : str
        A shipped scenario.
    changes : tuple of (str, str)
        For every step.
    steps : tuple of Step
    close : str
        At the end, in Markdown.
    """

    key: str
    title: str
    idea: str
    seen: str
    scenario: str
    changes: tuple[tuple[str, str], ...]
    steps: tuple[Step, ...]
    close: str

    def setup(self, step: Step) -> Setup:
        """The run of a step."""
        length = (("clock.duration", f"{step.hours:g} h"),)
        changes = dict(self.changes) | dict(step.changes) | dict(length)
        return first_setup(self.scenario).changed(changes)

    def owns(self, setup: Setup) -> bool:
        """Whether a run is one of the lesson's own."""
        return any(setup.same(self.setup(step)) for step in self.steps)


def _numbers(found: Found) -> dict[str, str]:
    return {key.replace(".", "_"): number(value) for key, value in found.items()}


def read_number(text: str) -> float | None:
    """A number as people type it, with a unit or a percent sign after it; None if there is none."""
    plain = text.strip().replace("\u2212", "-").replace("\u00a0", " ")
    if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?.*", plain):
        plain = plain.replace(",", "")
    else:
        plain = plain.replace(",", ".")
    found = re.match(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?", plain)
    if not found or len(text) > 60:
        return None
    return float(found.group())
