"""What a reader has done in the lessons; sheets, the teacher's key and the reader's answers to print.

Numbers in the teacher's key are those of runs made by ``python -m exoabm.viz.teaching.worksheets``, and kept
in ``teacher_key.json``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exoabm.text_formatting import number
from exoabm.viz.teaching.lesson import LESSONS, Lesson, Step, evaluate, runs_of

if TYPE_CHECKING:
    from exoabm.model import ExosomeModel

PRINTS = {
    "sheets": ("Sheets for readers (HTML)", "every lesson with room for predictions and answers"),
    "key": ("Teacher's key (HTML)", "answers and explanations for one run of each step, frequent mistakes"),
    "answers": ("My answers (HTML)", "your predictions, answers and measured values, to hand in"),
}
"""Pages to print by key, with their words."""
_KEY_VALUES = Path(__file__).with_name("teacher_key.json")
_STEPS = {f"{lesson.key}/{step.key}": step for lesson in LESSONS for step in lesson.steps}


@dataclass(frozen=True)
class Progress:
    """How far a reader has come, by ``<lesson>/<step>``.

    Attributes
    ----------
    opened, step : str
        The open lesson, and the step of it that is shown.
    guesses, answers : mapping of str to str
        The prediction chosen, and the right answer as it was typed.
    begun : frozenset of str
        Steps of which a run or a reply has shown something of the answer: their predictions stay.
    found : mapping of str to mapping
        What was measured on the run of a step that was answered.
    """

    opened: str = ""
    step: str = ""
    guesses: Mapping[str, str] = field(default_factory=dict)
    found: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    begun: frozenset[str] = frozenset()

    def kept(self) -> str:
        """As the browser keeps it; "" while nothing was done."""
        found = {step: dict(values) for step, values in self.found.items()}
        plain = {"guesses": dict(self.guesses), "answers": dict(self.answers), "found": found}
        plain["begun"] = dict.fromkeys(sorted(self.begun), True)
        return json.dumps(plain) if self.guesses or self.found else ""

    def done(self, lesson: Lesson) -> list[bool]:
        """Which steps of a lesson are answered."""
        return [f"{lesson.key}/{step.key}" in self.found for step in lesson.steps]

    def at(self, lesson: Lesson) -> int:
        """Index of the step that is shown; where none was chosen, the first that is not answered, if any."""
        keys, done = [step.key for step in lesson.steps], self.done(lesson)
        if self.step in keys:
            return keys.index(self.step)
        return done.index(False) if False in done else 0

    def open(self, lesson: Lesson) -> Progress:
        """With a lesson opened at its first step that is not answered, or at the first where all are."""
        first = replace(self, step="").at(lesson)
        return replace(self, opened=lesson.key, step=lesson.steps[first].key)

    def closed(self) -> Progress:
        """With no lesson open."""
        return replace(self, opened="", step="")

    def here(self) -> str:
        """The open lesson and the step that is shown, in words; "" where none is open."""
        lesson = next((each for each in LESSONS if each.key == self.opened), None)
        if lesson is None:
            return ""
        if all(self.done(lesson)):
            return f"{lesson.title}: all {len(lesson.steps)} steps done"
        at = self.at(lesson)
        return f"{lesson.title}: step {at + 1} of {len(lesson.steps)}, {lesson.steps[at].title}"

    def place(self) -> str:
        """The open lesson and step, as a tab of the browser keeps them; "" where none is open."""
        return f"{self.opened}/{self.step}" if self.opened else ""

    def with_place(self, text: str) -> Progress:
        """With the lesson and step that a tab kept, if they exist and no lesson is open."""
        if self.opened or text not in _STEPS:
            return self
        opened, _, step = text.partition("/")
        return replace(self, opened=opened, step=step)

    def with_kept(self, text: str) -> Progress:
        """With what a browser kept, for the steps there are; what was done since stays; junk is ignored."""
        try:
            plain = json.loads(text)
        except (ValueError, RecursionError):
            return self
        if not isinstance(plain, dict):
            return self
        parts = {key: _of_steps(plain.get(key)) for key in ("guesses", "answers", "found", "begun")}
        guesses = {s: g for s, g in parts["guesses"].items() if g in _STEPS[s].guesses}
        answers = {s: a[:80] for s, a in parts["answers"].items() if isinstance(a, str)}
        found: dict[str, Mapping[str, float]] = {s: v for s, v in parts["found"].items() if _measured(v)}
        return replace(
            self,
            guesses={**guesses, **self.guesses},
            answers={**answers, **self.answers},
            found={**found, **self.found},
            begun=self.begun | parts["begun"].keys(),
        )


def _of_steps(part: object) -> dict[str, Any]:
    return {s: v for s, v in part.items() if s in _STEPS} if isinstance(part, dict) else {}


def _measured(values: object) -> bool:
    """Whether these are measured numbers by name."""
    if not isinstance(values, dict) or not values:
        return False
    return all(isinstance(k, str) and isinstance(v, int | float) for k, v in values.items())


def printed(key: str, progress: Progress) -> bytes:
    """A page of ``PRINTS`` as a whole document that needs no other file."""
    title = PRINTS[key][0].partition(" (")[0]
    draw = {"sheets": _sheet, "key": _key, "answers": _answer}[key]
    parts = [f"<h1>exoabm: {escape(title)}</h1>"]
    if key == "answers":
        parts.append("<p>Name <span class=line></span> Date <span class=line></span></p>")
    for lesson in LESSONS:
        names = [f"{lesson.key}/{step.key}" for step in lesson.steps]
        if key == "answers" and not any(name in progress.guesses or name in progress.found for name in names):
            continue
        parts.append(f"<section><h2>{escape(lesson.title)}</h2>{to_html(lesson.idea)}")
        for place, step in enumerate(lesson.steps, 1):
            head = f"<h3>{place}. {escape(step.title)}</h3>"
            parts.append(f"<article>{head}{draw(lesson, step, progress)}</article>")
        parts.append("</section>")
    if key == "answers" and len(parts) == 2:
        parts.append("<p>No step has been done in this browser.</p>")
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>"
    return f"{head}<style>{_STYLE}</style><body>{''.join(parts)}</body></html>".encode()


def _sheet(lesson: Lesson, step: Step, progress: Progress) -> str:
    """The step as a reader without the page sees it."""
    boxes = "".join(f"<li>☐ {escape(words)}</li>" for words in step.guesses)
    changed = ", ".join(f"<code>{escape(k)} = {escape(v)}</code>" for k, v in step.set.items())
    run = "<b>Look.</b>" if lesson.repeats(step) else f"<b>Run.</b> {step.hours:g} h of model time."
    return (
        f"{to_html(step.read)}<p><b>Predict.</b> {escape(step.predict)}</p><ul class=boxes>{boxes}</ul>"
        f"<p>{run} {escape(step.look)}</p>"
        + (f"<p class=small>Changed: {changed}</p>" if changed else "")
        + f"<div><b>Check.</b> {to_html(blanks(step.ask))}</div>"
        f"<p>Answer <span class=line></span> {escape(step.unit)}</p>"
        "<p>Why <span class='line long'></span></p>"
    )


def _key(lesson: Lesson, step: Step, progress: Progress) -> str:
    """What a teacher needs: the answer of one run, mistakes with replies, the explanation."""
    found = key_values()[f"{lesson.key}/{step.key}"]
    unit = step.unit if step.unit != "%" else "percentage point" if step.slack == 1 else "percentage points"
    errors = [f"{100 * step.tolerance:g} % of it"] if step.tolerance else []
    errors += [f"{step.slack:g} {unit}".strip()] if step.slack else []
    counted = not step.tolerance and step.slack < 0.5  # the answer is a whole number
    accepted = "this number only" if counted else f"within {' or '.join(errors)}"
    accepted += ", whichever is more" if len(errors) > 1 else ""
    rows = "".join(
        f"<tr><td>{number(evaluate(m.value, found))}</td><td>{escape(m.words)}</td></tr>"
        for m in step.mistakes
    )
    table = f"<table><tr><th>wrong answer</th><th>reply</th></tr>{rows}</table>" if rows else ""
    answer = step.with_unit(step.right_answer(found))
    results = ""
    for each in lesson.judged_by(step):
        text, truth = each.result(found)
        of = "" if each is step else f" of “{each.title}”"
        results += f"<p><b>Prediction{escape(of)}.</b> {escape(text)} “{escape(truth)}” is right.</p>"
    return (
        f"{results}<div><b>Question.</b> {to_html(step.question(found))}</div>"
        f"<p><b>Right answer.</b> {escape(answer)} in the run of seed {step.seed or 1}, which every browser "
        f"makes. Accepted: {accepted}.</p>"
        f"<p><b>Hint.</b> {escape(step.hint)}</p>{table}"
        f"<div><b>Explanation.</b> {to_html(step.explanation(found))}</div>"
    )


@cache
def key_values() -> dict[str, dict[str, float]]:
    """What the run of each step measured, by ``<lesson>/<step>``: the numbers in the teacher's key."""
    found: dict[str, dict[str, float]] = json.loads(_KEY_VALUES.read_text(encoding="utf-8"))
    return found


def contained(step: Step, found: Mapping[str, float]) -> dict[str, float]:
    """Of all that was measured up to a step, the numbers that the key contains, to six digits."""
    names = step.names()
    return {
        key: float(f"{value:.6g}")
        for key, value in found.items()
        if key in names or key.replace(".", "_") in names
    }


def make_key_values() -> None:
    """Run every step of every lesson, and keep the numbers of the key."""
    made: dict[str, ExosomeModel] = {}
    values = {
        f"{lesson.key}/{step.key}": contained(step, found)
        for lesson in LESSONS
        for step, _, found in runs_of(lesson, made)
    }
    _KEY_VALUES.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def _answer(lesson: Lesson, step: Step, progress: Progress) -> str:
    """What the reader predicted, answered and measured."""
    name = f"{lesson.key}/{step.key}"
    found = progress.found.get(name)
    guess = progress.guesses.get(name, "")
    predicted = f"<p><b>Question.</b> {escape(step.predict)}</p>"
    predicted += f"<p><b>Prediction.</b> {escape(guess or 'none')}</p>"
    every = {
        f"{other.partition('/')[2]}.{what}": value
        for other, values in progress.found.items()
        if other.partition("/")[0] == lesson.key
        for what, value in values.items()
    }
    judging = progress.found.get(f"{lesson.key}/{step.judge.step or step.key}")
    if guess and judging is not None:
        predicted += f"<p>{escape(step.judged(guess, {**every, **judging}).words)}</p>"
    if found is None:
        return f"{predicted}<p>Not answered yet.</p>"
    every |= found
    try:
        asked, explained = step.question(every), step.explanation(every)
    except (KeyError, ValueError, ZeroDivisionError):  # kept by another version of the lesson
        return f"{predicted}<p>Answered with an earlier version of this lesson.</p>"
    answer = f"{step.as_typed(progress.answers.get(name, ''))} ✓".strip()
    return (
        f"{predicted}<div><b>Check.</b> {to_html(asked)}</div><p><b>Answer.</b> {escape(answer)}</p>"
        f"{to_html(explained)}"
    )


def blanks(text: str) -> str:
    """A text with dots in place of every measured number."""
    return re.sub(r"\{[a-z0-9_]+\}", "…", text)


def to_html(text: str) -> str:
    """HTML of CommonMark with tables that ships with exoabm; never of what a reader brings."""
    from markdown_it import MarkdownIt

    made = MarkdownIt("commonmark").enable("table").render(text)
    made = re.sub(r"<img[^>]*>", "", made)
    return made.replace("<table>", '<div class="exo-scroll" tabindex="0"><table>').replace(
        "</table>", "</table></div>"
    )


_STYLE = """
body { font: 11pt/1.45 "Helvetica Neue", Arial, sans-serif; color: #1b252d; }
body { max-width: 46em; margin: 2em auto; }
h1 { font-size: 17pt; } h2 { font-size: 14pt; border-bottom: 1px solid #8794a0; }
h3 { font-size: 11.5pt; margin: 1em 0 .3em; }
p, ul { margin: .4em 0; } b + p { display: inline; }
ul.boxes { list-style: none; padding-left: 0; columns: 2; }
.small, code { font-size: 9.5pt; } article { break-inside: avoid; } section + section { break-before: page; }
.line { display: inline-block; border-bottom: 1px solid #1b252d; min-width: 12em; height: 1.2em; }
.long { min-width: 36em; max-width: 90%; } table { border-collapse: collapse; font-size: 9.5pt; }
td, th { border-top: 1px solid #d3dae0; padding: 3px 10px 3px 0; text-align: left; vertical-align: top; }
@media print { body { margin: 0; } }
"""

if __name__ == "__main__":
    make_key_values()
