"""What a user may say of a table, and what has to be asked where nothing was said."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from exoabm.errors import InputError, visible
from exoabm.readers.source import Direction
from exoabm.readers.words import option


@dataclass(frozen=True)
class Asked:
    """What the user said of a table; the keys are those of ``[layout]``.

    Attributes
    ----------
    format : str
        "auto", or what the file is.
    x, y, z, cell_type : str or None
        Columns.
    unit, z_unit : str or None
        Of columns whose names do not say it, such as "0.65 um"; z may have its own.
    where : tuple of str
        Rows that count, as ``COLUMN=VALUE``; in a value ``*`` stands for any characters.
    types_from : Path or None
        A second table, with an id and a type a row.
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
    y_axis: Direction | None = None

    @property
    def named(self) -> dict[str, str]:
        """Columns that the user named, by their role."""
        roles = {"x": self.x, "y": self.y, "z": self.z, "cell_type": self.cell_type}
        return {role: name for role, name in roles.items() if name is not None}


@dataclass
class Questions:
    """What a table does not say, each with the option that settles it; put all at once."""

    found: list[tuple[str, list[str]]] = field(default_factory=list)

    def ask(self, finding: str, *answers: tuple[str, str]) -> None:
        """Add a finding, and the options of which one settles it, as (key of the layout, value)."""
        options = [option(key, value) for key, value in answers]
        if finding not in [said for said, _ in self.found]:
            self.found.append((finding, options))

    def put(self, name: str, recognized: str) -> None:
        """Raise an InputError with all of them, if there are any."""
        if not self.found:
            return
        lines = [f"{name}: {visible(recognized)}; what it does not say is not guessed:"]
        for finding, options in self.found:
            lines.append(f"  {visible(finding)}")
            lines.extend(f"    {each}" for each in options)
        raise Unanswered("\n".join(lines), self.found)


class Unanswered(InputError):
    """A table that leaves something open; ``questions`` are the findings, each with its options."""

    def __init__(self, message: str, questions: list[tuple[str, list[str]]]) -> None:
        super().__init__(message)
        self.questions = questions

    def __reduce__(self) -> tuple[type[Unanswered], tuple[str, list[tuple[str, list[str]]]]]:
        """Errors travel from worker processes by pickle."""
        return type(self), (str(self), self.questions)
