"""Columns whose names are made of names that a user gave: declared once, and never two of one name.

Names are joined by underscores, which they may contain themselves: a type ``a`` that holds ``b_c`` and a type
``a_b`` that holds ``c`` both have ``a_b_c_copies_per_cell``. All such columns are templates here, so that a
scenario can be refused before it runs; a ``Row`` writes no others, and none twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from string import Formatter
from typing import TYPE_CHECKING, Any

from exoabm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROLES = ("vesicle", "cell_type", "cargo", "dose", "donor", "recipient", "trial.readout")
"""What a name in a template can be the name of."""
FATES = ("divisions", "blocked", "deaths", "transformations")
"""What is counted of the lives of cells of each type."""
VESICLE_COUNTS = ("encountered", "bound", "taken_up", "endosomal", "lysosomal", "delivered")
"""What is counted of each vesicle kind in ``cells.parquet``."""

CELLS = (
    *("time_s", "cell", "cell_type", "x_um", "y_um", "z_um", "waste_units", "mvb", "effect"),
    *("source_id", "source_label"),
    "{cargo}_copies",
    "{vesicle}_released",
    *(f"{{vesicle}}_{count}" for count in VESICLE_COUNTS),
)
FIELDS = "fields.zarr"
COORDINATES = ("time", "time_s", "label", "donor_type", "x", "y", "z")
"""Arrays of ``fields.zarr`` beside those of vesicle kinds."""
MET_COUNTS = ("encountered", "bound", "taken_up", "lysosomal", "recycled", "delivered")
"""What is counted between two cells."""
EDGE_PER_KIND = ("taken_up", "delivered")
"""What an edge of the graph has of each vesicle kind."""
EDGE_TIMES = ("first_time_s", "last_time_s")
EDGES = (
    *("donor", "recipient", "donor_type", "recipient_type", "vesicle_kind", "cargo"),
    *MET_COUNTS,
    *EDGE_TIMES,
    "copies_delivered_{cargo}",
)
GRAPH = (
    *("donor_type", "recipient_type", "weight", "distance", "distance_um"),
    *MET_COUNTS,
    *EDGE_TIMES,
    "copies_delivered_{cargo}",
    *(f"{{vesicle}}_{count}" for count in EDGE_PER_KIND),
)
TABLES = {
    "cells.parquet": CELLS,
    FIELDS: (*COORDINATES, "{vesicle}"),
    "communication.parquet": EDGES,
    "communication.graphml": GRAPH,
}
"""Templates of the columns of each table that has names of a scenario in them."""
DECLARED = frozenset(template for templates in TABLES.values() for template in templates)


class Row(dict[str, Any]):
    """Columns of a table by name: numbers of one row, or arrays of all rows.

    Raises
    ------
    InputError
        From every method that would write a column for the second time.
    """

    def put(self, template: str, value: Any, **names: str) -> None:
        """Write one column; ``template`` is one of ``DECLARED``, ``names`` what stands in it."""
        assert template in DECLARED, template
        self[template.format(**names)] = value

    def join(self, other: Mapping[str, Any]) -> Row:
        """Write all of other columns; returns these."""
        for column, value in other.items():
            self[column] = value
        return self

    def __setitem__(self, column: str, value: Any) -> None:
        if column in self:
            raise InputError(f"two columns would be named {column!r}; rename one of the names in it")
        super().__setitem__(column, value)


@dataclass(frozen=True)
class Collision:
    """A column of a table that two entries of a scenario would share, each as role and name of its parts."""

    table: str
    column: str
    first: tuple[tuple[str, str], ...]
    second: tuple[tuple[str, str], ...]


def expand(
    templates: tuple[str, ...], names: Mapping[str, tuple[str, ...]]
) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    """Every column of these templates for these names by their role, and what it is made of."""
    for template in templates:
        roles = [role for _, role, _, _ in Formatter().parse(template) if role]
        for chosen in product(*(names.get(role, ()) for role in roles)):
            parts = tuple(zip(roles, chosen, strict=True))
            column = template
            for role, name in parts:
                column = column.replace(f"{{{role}}}", name, 1)
            yield column, parts


@lru_cache(maxsize=16)  # a sweep reads one scenario with many values
def collisions(names: tuple[tuple[str, tuple[str, ...]], ...]) -> tuple[Collision, ...]:
    """Columns that two entries of a scenario would share, one for every two entries.

    Parameters
    ----------
    names
        By role (see ``ROLES``) the names of a scenario.
    """
    found: dict[tuple, Collision] = {}
    for table, templates in TABLES.items():
        owner: dict[str, tuple[tuple[str, str], ...]] = {}
        for column, parts in expand(templates, dict(names)):
            # Each kind has a folder of its own there, and some file systems know no upper case.
            other = owner.setdefault(column.casefold() if table == FIELDS else column, parts)
            if other is not parts:
                found.setdefault((other, parts), Collision(table, column, other, parts))
    return tuple(found.values())
