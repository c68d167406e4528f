"""What is known of the tables that one instrument or program writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ROW = "the rows of the table, from 1"
NAMELESS = "the column without a name"


@dataclass(frozen=True)
class Place:
    """Columns that say where a cell is; of several for one axis the mean is taken.

    Attributes
    ----------
    x, y, z : tuple of str
        Columns of each axis; ``z`` may be empty.
    unit : str
        Where the columns' names do not say it: a unit, or "" for what has to be asked.
    within : str
        A column that must have one value, since the coordinates begin anew with each.
    """

    x: tuple[str, ...]
    y: tuple[str, ...]
    z: tuple[str, ...] = ()
    unit: str = ""
    within: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them, x first."""
        return (*self.x, *self.y, *self.z)


@dataclass(frozen=True)
class Source:
    """A row in the table of sources.

    Attributes
    ----------
    name : str
        As it is said to the user.
    places : tuple of Place
        The first whose columns are all there counts.
    beside : tuple of str
        Columns that must be there too, for the table to be of this source.
    unit : str
        In words, what is known of the unit; for the documentation and for the question.
    proposal : str
        A width of a pixel that is common there, as ``layout.unit`` takes it.
    types : tuple of str
        Columns of the cell's type; the first that is there counts.
    ids : tuple of tuple of str
        Columns that name a cell, alone or together; the first that are there count.
    images : tuple of str
        Columns that tell images, slides or fields of view apart, of which only one can be used.
    kept : tuple of (str, tuple of str)
        A column, and its values in rows that are cells.
    dropped : tuple of (str, tuple of str)
        A column, and its values in rows that are none.
    flags : bool
        Types stand in columns of 0 and 1, a column a type.
    derived : bool
        A label ``A: B`` is of the class A where nothing is known of ``A: B``.
    down : bool
        Whether y runs downward, as in images.
    note : str
        What a user of such tables should know.
    """

    name: str
    places: tuple[Place, ...]
    beside: tuple[str, ...] = ()
    unit: str = "asked for"
    proposal: str = "0.5 um"
    types: tuple[str, ...] = ()
    ids: tuple[tuple[str, ...], ...] = ()
    images: tuple[str, ...] = ()
    kept: tuple[tuple[str, tuple[str, ...]], ...] = ()
    dropped: tuple[tuple[str, tuple[str, ...]], ...] = ()
    flags: bool = False
    derived: bool = False
    down: bool = True
    note: str = ""

    def place_in(self, names: frozenset[str]) -> Place | None:
        """Where this source has its coordinates in a table with these columns, if it is of this source."""
        if not names.issuperset(self.beside):
            return None
        return next((place for place in self.places if names.issuperset(place.columns)), None)


Direction = Literal["up", "down"]
