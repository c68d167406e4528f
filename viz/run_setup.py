"""A run on the page: scenario, changed values, seed; its introduction, its command and its link.

The introduction of a shipped scenario stands beside it as ``NAME.intro.toml``. A link names a shipped
scenario, a seed, an hour to run to, and values for keys that the page has a control for; each value passes
the control's own range and then the scenario loader, as untrusted::

    ?scenario=signaling&seed=1&hours=2&cell_type.recipient.uptake_rate=140
"""

from __future__ import annotations

import difflib
import math
import os
import tomllib
from bisect import bisect_right
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import parse_qsl, urlencode

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from exoabm.errors import ExoError, InputError, command_line, did_you_mean, set_options
from exoabm.parameters import Quantity
from exoabm.scenario.loader import load, shipped
from exoabm.scenario.schema_base import entries
from exoabm.scenario.unused_keys import unused_keys
from exoabm.viz.parameter_controls import controls_of
from exoabm.viz.server.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exoabm.scenario.loader import LoadedScenario
    from exoabm.viz.parameter_controls import Control


FIRST = "signaling"
SCENARIO = "EXOABM_SCENARIO"
"""Environment variable by which the command line names the scenario that the page opens with."""


@dataclass(frozen=True)
class Setup:
    """The same setup gives the same run, on the page and by ``command``.

    Attributes
    ----------
    scenario : str
        A shipped name; a path only where ``trusted``, that is from the command line.
    overrides : tuple of (str, str)
        Dotted keys and values as text.
    seed : int
    trusted : bool
    """

    scenario: str
    overrides: tuple[tuple[str, str], ...] = ()
    seed: int = 1
    trusted: bool = False

    def load(self) -> LoadedScenario:
        """Read and check the scenario.

        Raises
        ------
        InputError
            As ``scenario.loader.load`` does.
        """
        return load(self.scenario, dict(self.overrides), trusted=self.trusted)

    @property
    def title(self) -> str:
        """The name shown where the scenario is not a shipped one."""
        return Path(self.scenario).stem

    def changed(self, values: Mapping[str, str]) -> Setup:
        """The setup with other values for some keys."""
        return replace(self, overrides=tuple((dict(self.overrides) | dict(values)).items()))

    def same(self, other: Setup) -> bool:
        """Whether both are of the same scenario with the same changes, in whatever order and by any seed."""
        return self.scenario == other.scenario and dict(self.overrides) == dict(other.overrides)

    @property
    def command(self) -> str:
        """The command line that runs the same, every number with its unit."""
        return command_line("run", self.scenario, "--seed", self.seed, *self._sets)

    @property
    def _sets(self) -> list[str]:
        """The options that change the scenario."""
        values = dict(entries(self.load().scenario))
        return set_options({key: _option_text(value, values.get(key)) for key, value in self.overrides})


def _option_text(text: str, value: object) -> str:
    """A value as it was set, with the unit of its parameter where it is a bare number."""
    if not isinstance(value, Quantity) or value.parameter.unit == "1":
        return text
    try:
        float(text)
    except ValueError:
        return text
    return f"{text} {value.parameter.unit}"


def unwrap(text: object) -> object:
    """A text of several lines with each paragraph in one line."""
    if not isinstance(text, str):
        return text
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


Text = Annotated[str, BeforeValidator(unwrap)]
"""Text of a data file; single line breaks do not count."""


class Data(BaseModel):
    """A table of a data file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def answer_of(value: float, limits: Sequence[float], answers: Sequence[str]) -> str:
    """The answer that a value gives, from the smallest to the largest; "" if it is none."""
    return "" if math.isnan(value) else answers[bisect_right(limits, value)]


def judged(answer: str, truth: str, text: str, unknown: str) -> tuple[bool, str]:
    """Whether an answer is the true one, and a sentence on it after ``text``, which has the values found.

    Where no answer is true, the sentence is ``unknown``.
    """
    if not truth:
        return False, f"{text} {unknown}"
    if answer == truth:
        return True, f"✓ {text} Your prediction “{answer}” is right."
    return False, f"✗ {text} You predicted “{answer}”; the result is “{truth}”."


class Prediction(Data):
    """A question that the reader's own runs answer: with the scenario as it opens, and with changed values.

    The value judged is a readout at the end of the run, over another one if given; where values are changed,
    its ratio after / before.

    Attributes
    ----------
    question : str
    answers : tuple of str
        To choose from, from the smallest value to the largest.
    limits : tuple of float
        Values between two answers, ascending.
    readout, over : str
        Names of ``results.prediction_readouts.final_readouts``; ``over`` may be "".
    label, unit : str
        Of the value; a share is given in "%" if that is the unit, and so are its limits, without ``set``.
    why : str
        The reason for the usual result, and what would change it.
    set : dict of str to str
        The changed values by dotted key; empty where one run answers the question.
    """

    question: Text
    answers: tuple[Text, ...] = Field(min_length=2)
    limits: tuple[float, ...]
    readout: str
    over: str = ""
    label: Text
    unit: str = ""
    why: Text
    set: dict[str, str] = Field({})

    @model_validator(mode="after")
    def _ordered(self) -> Prediction:
        if len(self.limits) != len(self.answers) - 1 or sorted(self.limits) != list(self.limits):
            raise ValueError("limits: ascending, one fewer than answers")
        return self

    def values(self, rows: Sequence[Mapping[str, float]]) -> list[float]:
        """The readout, over another one if given, in the final rows of the runs and in its unit.

        NaN where a run has none, such as a mean over the cells of a type of which none is left.
        """
        scale = 100.0 if self.unit == "%" else 1.0
        pairs = [(row.get(self.readout, math.nan), row.get(self.over, math.nan)) for row in rows]
        return [scale * value / ((over or math.nan) if self.over else 1.0) for value, over in pairs]

    def right_answer(self, values: Sequence[float]) -> str:
        """The answer that one run gives, or two runs before and after the change; "" if none can be told."""
        if len(values) == 1 or math.isnan(values[0]):
            found = values[0]
        elif values[0] > 0:
            found = values[1] / values[0]
        else:
            found = math.inf if values[1] > 0 else math.nan
        return answer_of(found, self.limits, self.answers)


class Intro(Data):
    """Introduction of a scenario on the page.

    Attributes
    ----------
    sentence : str
        What is seen.
    controls : tuple of str
        Dotted keys of at most five controls; the first is highlighted.
    speed : float
        Model time in s per second.
    set : dict of str to str
        Values by dotted key with which the page opens the scenario, where they differ from the file.
    prediction : Prediction or None
    """

    sentence: Text
    controls: tuple[str, ...] = Field(max_length=5)
    speed: float = 300.0
    set: dict[str, str] = Field(default={})
    prediction: Prediction | None = None


@cache
def shipped_intro(scenario: str) -> Intro | None:
    """The introduction of a shipped scenario; None of one that has none."""
    path = shipped().get(scenario)
    file = None if path is None else path.with_suffix(".intro.toml")
    if file is None or not file.is_file():
        return None
    return Intro(**tomllib.loads(file.read_text(encoding="utf-8")))


_DEFAULT_CONTROLS = ("release_rate", "uptake_rate", "half_life", "hindrance", "delivery_probability")


def intro_of(loaded: LoadedScenario) -> Intro:
    """The introduction of a scenario; of one without, its summary and the default controls."""
    found = shipped_intro(loaded.name)
    if found is not None:
        return found
    keys = controls_of(loaded)
    first = [next((k for k in keys if k.endswith(f".{name}")), "") for name in _DEFAULT_CONTROLS]
    info = loaded.scenario.info
    return Intro(sentence=info.summary or info.title, controls=tuple(key for key in first if key))


def first_setup(scenario: str, *, trusted: bool = False, seed: int = 1) -> Setup:
    """How the page opens a scenario by name (or path, where trusted)."""
    intro = shipped_intro(scenario)
    return Setup(scenario, tuple(intro.set.items()) if intro else (), seed, trusted)


LONGEST = 2000
"""Characters of a query."""
MOST = 64
"""Values in a query."""
LARGEST_SEED = 2**63 - 1
FACES = {f"domain.faces.{axis}": ("no-flux", "periodic", "open") for axis in "xyz"}
"""Choices that have no control, but that lessons make."""


@dataclass(frozen=True)
class Link:
    """What a link opens: a setup, and the hour of model time to run to."""

    setup: Setup
    hours: float = 0.0


def encode(setup: Setup, hours: float = 0.0) -> str:
    """The query that opens this setup at this hour, without the question mark.

    What was set once and nothing reads any more is left out.

    Raises
    ------
    InputError
        If it was made from a file of the reader's own, or says something that a link may not.
    """
    if setup.scenario not in shipped():
        raise InputError(
            "only a shipped scenario fits into a link; take the scenario file or the run instead"
        )
    pairs = [("scenario", setup.scenario), ("seed", str(setup.seed))]
    if hours > 0:
        pairs.append(("hours", f"{hours:.10g}"))
    started = dict(first_setup(setup.scenario).overrides)
    unused = unused_keys(setup.load().scenario)
    pairs += [(k, value) for k, value in setup.overrides if started.get(k) != value and k not in unused]
    query = urlencode(pairs)
    decode(query)
    return query


def decode(query: str) -> Link:
    """The link of a query.

    Raises
    ------
    InputError
        Naming what is wrong and what is allowed.
    """
    pairs = _pairs(query)
    scenario = pairs.pop("scenario", "signaling")
    names = shipped()
    if scenario not in names:
        hint = did_you_mean(scenario, names)
        raise InputError(
            f"scenario = {_short(scenario)}: no shipped scenario{hint}; there are {', '.join(names)}"
        )
    seed, hours = _seed(pairs.pop("seed", "1")), hours_of(pairs.pop("hours", "0"))
    setup = with_values(first_setup(scenario, seed=seed), pairs)
    setup.load()
    return Link(setup, hours)


def with_values(setup: Setup, values: Mapping[str, str]) -> Setup:
    """The setup with values of a link, each within the range of its control.

    Raises
    ------
    InputError
        Naming the value and what is allowed.
    """
    pairs = dict(values)
    while pairs:  # one choice brings the controls of others
        controls = controls_of(setup.load())
        shown = [key for key in pairs if key in FACES or key in controls] or list(pairs)
        setup = setup.changed({key: _value(key, pairs.pop(key), controls) for key in shown})
    return setup


def _pairs(query: str) -> dict[str, str]:
    query = query.removeprefix("?")
    if len(query) > LONGEST:
        raise InputError(f"a link has at most {LONGEST} characters")
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=bool(query), errors="strict", max_num_fields=MOST
        )
    except ValueError:
        raise InputError("the address is not a share link") from None
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
        raise InputError(f"{_short(twice)} occurs twice in the link")
    return found


def _value(key: str, text: str, known: Mapping[str, Control]) -> str:
    if key in FACES:
        if text not in FACES[key]:
            raise InputError(f"{key} = {_short(text)}: must be one of {', '.join(FACES[key])}")
        return text
    if key not in known:
        close = difflib.get_close_matches(key[:200], known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise InputError(f"{_short(key)}: a link cannot set this{hint}")
    try:
        return known[key].read(text)
    except InputError as error:
        raise InputError(f"{key} = {_short(text)}: {error}") from None


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= LARGEST_SEED):
        raise InputError(f"seed = {_short(text)}: a whole number from 0 to {LARGEST_SEED}")
    return int(text)


def hours_of(text: str) -> float:
    """The hour of model time in a link.

    Raises
    ------
    InputError
        If it is none.
    """
    try:
        hours = float(text) if len(text) <= 32 else math.nan
    except ValueError:
        hours = math.nan
    if not 0 <= hours <= LIMITS.hours:
        raise InputError(f"hours = {_short(text)}: 0 to {LIMITS.hours:g}")
    return hours


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def start(search: str) -> tuple[Link, str]:
    """What a page opens with, and what was wrong with its address.

    That is the link in the address; without one the scenario of the command line, else the first one.
    """
    named = os.environ.get(SCENARIO, FIRST)
    default = Link(first_setup(named, trusted=named not in shipped()))
    try:
        return (decode(search) if search else default), ""
    except ExoError as error:
        return default, str(error)
