"""Options of a table with their units, and questions where table and options are ambiguous."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from exoabm.errors import InputError, visible


@dataclass(frozen=True)
class TableOptions:
    """Options of a table; the keys are those of ``[layout]``.

    Attributes
    ----------
    format : str
        "auto", or the file format.
    x, y, z, cell_type : str or None
        Columns.
    unit, z_unit : str or None
        Of columns whose names do not contain it, such as "0.65 um"; z may have its own.
    where : tuple of str
        Rows to use, as ``COLUMN=VALUE``; in a value ``*`` matches any characters.
    types_from : Path or None
        A second table, with id and type of each cell.
    time : str or None
        "first", "last" or a time of a table that holds several.
    decimal : str or None
        "," or "." where the numbers do not agree.
    y_axis : str or None
        "up" or "down".
    """

    format: str = "auto"
    x: str | None = None
    y: str | None = None
    z: str | None = None
    cell_type: str | None = None
    unit: str | None = None
    z_unit: str | None = None
    where: tuple[str, ...] = ()
    types_from: Path | None = None
    time: str | None = None
    decimal: str | None = None
    y_axis: Literal["up", "down"] | None = None

    @property
    def named(self) -> dict[str, str]:
        """Columns that the user named, by their role."""
        roles = {"x": self.x, "y": self.y, "z": self.z, "cell_type": self.cell_type}
        return {role: name for role, name in roles.items() if name is not None}


class Question(NamedTuple):
    """An ambiguity of a table, and options that settle it: keys of the layout and proposed values."""

    finding: str
    answers: tuple[tuple[str, str], ...]


@dataclass
class Questions:
    """Ambiguities of a table, each with the options that settle it, reported together."""

    found: list[Question] = field(default_factory=list)

    def ask(self, finding: str, *answers: tuple[str, str]) -> None:
        """Add a finding, and the options of which one settles it, as (key of the layout, value)."""
        if finding not in [question.finding for question in self.found]:
            self.found.append(Question(finding, answers))

    def put(self, name: str, recognized: str) -> None:
        """Raise an InputError with all of them, if there are any."""
        if self.found:
            raise AmbiguousTable(f"{name}: {visible(recognized)}", self.found)


class AmbiguousTable(InputError):
    """An ambiguous table; ``questions`` are the ambiguities, each with its options."""

    def __init__(self, recognized: str, questions: list[Question]) -> None:
        self.recognized, self.questions = recognized, questions
        super().__init__(self.stating(command_line_option))

    def stating(self, option: Callable[[str, str], str]) -> str:
        """The message, with each option as ``option(key, value)``, for a reader who is to give it."""
        lines = [f"{self.recognized}; ambiguities are not guessed:"]
        for finding, answers in self.questions:
            lines.append(f"  {visible(finding)}")
            lines.extend(f"    {option(key, value)}" for key, value in answers)
        return "\n".join(lines)

    def __reduce__(self) -> tuple[type[AmbiguousTable], tuple[str, list[Question]]]:
        """Worker processes return errors by pickle."""
        return type(self), (self.recognized, self.questions)


BYSTANDER = "bystander"
"""Type of cells whose label is mapped to no type of the scenario; it is inactive."""

LONGEST_QUOTE = 80


def quoted(text: str) -> str:
    """Quote the beginning of a text, so that messages remain short."""
    return repr(text if len(text) <= LONGEST_QUOTE else text[: LONGEST_QUOTE - 3] + "...")


def enumerated(names: Iterable[str], most: int = 40) -> str:
    """Names in quotes, the first ``most`` of them."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(quoted, names[:most])) + more


def command_line_option(key: str, value: str) -> str:
    """An option of the command line, quoted for a shell."""
    return f"--set {shlex.quote(f'layout.{key}={visible(value)}')}"


def python_argument(key: str, value: str) -> str:
    """The same as an argument of Python, such as ``layout__unit='0.5 um'``."""
    return f"layout__{key}={value!r}"


_PARTS = {"micro": 1.0, "nano": 1e-3, "milli": 1e3}
UNITS = {
    **dict.fromkeys(("um", "µm", "μm", "micron", "microns"), 1.0),
    **{f"{part}met{end}{s}": um for part, um in _PARTS.items() for end in ("er", "re") for s in ("", "s")},
    "nm": 1e-3,
    "mm": 1e3,
}
"""um in one of it."""
PIXELS = ("px", "pixel", "pixels")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+([eE][+-]?[0-9]+)?")
"""A number with a decimal comma."""
THOUSANDS = r"^[+-]?[1-9][0-9]{0,2},[0-9]{3}$"
"""A number whose comma may separate thousands, too."""
UNIT = re.compile(rf"(?P<factor>{NUMBER.pattern})?\s*(?P<name>[^\W\d]+)(\s*(/|per)\s*(px|pixel))?")


class Unit(NamedTuple):
    """How many um one unit is, as the user wrote it."""

    text: str
    um: float

    @property
    def is_width(self) -> bool:
        """Whether it is a multiple, which can be the width of a pixel."""
        return bool(re.search(r"\d", self.text))


def decimal_comma(name: str, texts: Iterable[str]) -> bool:
    """Whether numbers in a table that commas do not separate have a decimal comma: some do, none a point.

    Raises
    ------
    InputError
        If every comma may as well separate thousands.
    """
    commas, points = [], False
    for text in texts:
        if COMMA.fullmatch(text):
            commas.append(text)
        points = points or ("." in text and NUMBER.fullmatch(text) is not None)
    if commas and all(re.match(THOUSANDS, text) for text in commas):
        raise InputError(
            f"{name}: exactly three digits follow every comma ({commas[0]!r}), which may be a decimal comma "
            "or separate thousands; write decimals with a point, and thousands without a mark"
        )
    return bool(commas) and not points


def read_unit(text: str, key: str = "unit") -> Unit:
    """The unit denoted by a text such as "um" or "0.65 um".

    Raises
    ------
    InputError
        If it is no length above 0.
    """
    match = UNIT.fullmatch(text.strip())
    factor = float(match["factor"] or 1.0) if match else 0.0
    if match and match["name"].lower() in PIXELS:
        raise InputError(f'{key} = {text!r}: give the width of a pixel, as in {key} = "0.5 um"')
    if not match or match["name"] not in UNITS or not 0.0 < factor < math.inf:
        raise InputError(f'{key} = {text!r}: um, nm or mm, or a multiple such as "0.5 um" for pixels')
    return Unit(text, factor * UNITS[match["name"]])


def split_unit(name: str) -> tuple[str, str]:
    """Split "X (um)" or "x_um" into ("x", "um"); the unit is empty where there is none."""
    words = re.sub(r"\W+", "_", name.lower()).strip("_")
    stem, _, last = words.rpartition("_")
    return (stem, last) if stem and last in {*UNITS, *PIXELS} else (words, "")
