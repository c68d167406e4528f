"""Errors reported to users, with the exit codes of the command line, and commands that they name."""

from __future__ import annotations

import difflib
import operator
import re
import shlex
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Control characters (C0, C1), line and paragraph separators, and overrides of the text direction."""


def visible(text: str) -> str:
    r"""A text with the characters of ``UNSEEN`` as escapes, such as ``\x1b``; used for text from files."""
    return UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


class ExoError(Exception):
    """An error for the user, whose message is printed without a traceback.

    Examples
    --------
    >>> import exoabm as xo
    >>> try:
    ...     xo.scenario("two_cell")
    ... except xo.ExoError as error:
    ...     print(error)
    unknown scenario 'two_cell'; did you mean 'two_cells'?; `exoabm list` shows all
    """

    exit_code = 1


class RunFailed(ExoError):
    """A run did not finish, for example because the disk was full."""

    exit_code = 1


class InputError(ExoError):
    """Invalid input; nothing was computed or written."""

    exit_code = 2


class ResourceError(ExoError):
    """The run requires more memory than permitted; refused before allocation."""

    exit_code = 3


class NumericalError(ExoError):
    """A violated balance, or a value that is not finite."""

    exit_code = 4


def whole_number(name: str, value: Any, least: int, most: int) -> int:
    """The value of an argument as an int, also where it is one of NumPy's integers.

    Raises
    ------
    InputError
        If the value is no integer, or out of range.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or not least <= number <= most:
        raise InputError(f"{name} = {value!r}: expected an integer from {least:,} to {_in_words(most)}")
    return number


def _in_words(most: int) -> str:
    for bits in (62, 63):
        if most in (2**bits, 2**bits - 1):
            return f"2^{bits}" + (" - 1" if most % 2 else "")
    return f"{most:,}"


@dataclass(frozen=True)
class Problem:
    """One error in an input file: location, value and expected value."""

    where: str
    value: str
    expected: str
    hint: str = ""

    def __str__(self) -> str:
        found = f" = {self.value}" if self.value else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.where}{found}: {self.expected}{hint}"


class ScenarioError(InputError):
    """An invalid scenario, with all problems found in it."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file = file
        self.problems = problems
        super().__init__("\n".join([f"{file}:", *(f"  {problem}" for problem in problems)]))

    def __reduce__(self) -> tuple[type[ScenarioError], tuple[str, list[Problem]]]:
        """Arguments with which pickle constructs the error in another process."""
        return type(self), (self.file, self.problems)


ON_COMMAND_LINE: ContextVar[bool] = ContextVar("on_command_line", default=False)
"""Whether messages are read on a terminal, and name options; else they name arguments of Python."""

ANOTHER_PLACE = "choose another place, or pass --overwrite (in Python overwrite=True)"
"""What to do about something that is not replaced unasked, on the command line and in Python."""


def command_line(command: str, argument: object, *options: object) -> str:
    """A command of exoabm, quoted so that a shell passes on exactly these words."""
    first = str(argument)
    return shlex.join(
        ["exoabm", command, f"./{first}" if first.startswith("-") else first, *map(str, options)]
    )


def set_options(values: Mapping[str, str]) -> list[str]:
    """Words of a command that set each key of a scenario to a value."""
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the closest name, or ""; dotted keys also by their last part."""
    known = list(known)
    ends = {name.rpartition(".")[2].lower(): name for name in known}
    options = ends | {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), list(options), n=1)
    return f"; did you mean {options[close[0]]!r}?" if close else ""


class MixedVersions(UserWarning):
    """Parts of one result were computed by different versions or on different machines."""


class LongRun(UserWarning):
    """Work that takes long, announced before it begins."""
