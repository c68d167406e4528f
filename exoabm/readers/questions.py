"""Options of a table, and questions where table and options are ambiguous."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from exoabm.errors import InputError, visible
from exoabm.readers.notation import command_line_option


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
        lines = [f"{recognized}; ambiguities are not guessed:"]
        for finding, answers in questions:
            lines.append(f"  {visible(finding)}")
            lines.extend(f"    {command_line_option(key, value)}" for key, value in answers)
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[type[AmbiguousTable], tuple[str, list[Question]]]:
        """Worker processes return errors by pickle."""
        return type(self), (self.recognized, self.questions)
