"""Every error that a user may meet, each with the exit code that the command line returns for it."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Letters that a terminal obeys instead of showing them (C0, C1), and that end lines or turn them around."""


def visible(text: str) -> str:
    r"""A text with what is in ``UNSEEN`` as escapes, such as ``\x1b``; what comes from a file is shown so."""
    return UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


class ExoError(Exception):
    """An error meant for the user: its message stands alone, without a traceback."""

    exit_code = 1


class RunFailed(ExoError):
    """A run did not finish, for instance because the disk filled."""

    exit_code = 1


class InputError(ExoError):
    """The input is wrong; nothing was computed and nothing was written."""

    exit_code = 2


class ResourceError(ExoError):
    """The run would need more memory than allowed; refused before anything is allocated."""

    exit_code = 3


class NumericalError(ExoError):
    """A balance broke or a value stopped being finite."""

    exit_code = 4


@dataclass(frozen=True)
class Problem:
    """One fault in an input file: where it stands, what was found, and what would be right."""

    where: str
    value: str
    expected: str
    hint: str = ""

    def __str__(self) -> str:
        found = f" = {self.value}" if self.value else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.where}{found}: {self.expected}{hint}"


class ScenarioError(InputError):
    """A scenario that cannot be run, with every problem found in it."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file = file
        self.problems = problems
        super().__init__("\n".join([f"{file}:", *(f"  {problem}" for problem in problems)]))

    def __reduce__(self) -> tuple[type[ScenarioError], tuple[str, list[Problem]]]:
        """Errors travel from worker processes by pickle, which calls the class with these."""
        return type(self), (self.file, self.problems)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` where something close is known, else nothing; dotted keys also by their end."""
    known = list(known)
    ends = {name.rpartition(".")[2].lower(): name for name in known}
    options = ends | {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), list(options), n=1)
    return f"; did you mean {options[close[0]]!r}?" if close else ""


class MixedVersions(UserWarning):
    """Parts of one result were made by different versions or on different machines."""
