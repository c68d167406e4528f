"""Names in a scenario that would give two columns of a table one name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exoabm.columns import Collision, collisions
from exoabm.errors import Problem
from exoabm.readers.cell_types import BYSTANDER
from exoabm.state import OUTSIDE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exoabm.scenario.schema import Scenario

MOST_PROBLEMS = 20
"""Collisions that are listed; a few names can make thousands."""


def colliding(scenario: Scenario) -> Iterator[Problem]:
    """Two entries of which some table would have one column.

    Names are refused for what they could be columns of, whether or not this scenario records both: nobody
    could tell by its name what such a column is.
    """
    found = collisions(tuple(names_by_role(scenario).items()))
    yield from (_problem(each) for each in found[:MOST_PROBLEMS])
    if len(found) > MOST_PROBLEMS:
        yield Problem("...", "", f"{len(found) - MOST_PROBLEMS:,} more pairs of names")


def names_by_role(scenario: Scenario) -> dict[str, tuple[str, ...]]:
    """The names of a scenario by what they are names of, see ``columns.ROLES``."""
    types = tuple(dict.fromkeys((*(table.name for table in scenario.cell_type), BYSTANDER)))
    return {
        "vesicle": tuple(table.name for table in scenario.vesicle),
        "cell_type": types,
        "cargo": tuple(table.name for table in scenario.cargo),
        "dose": tuple(table.name for table in scenario.dose),
        "donor": (*types, *OUTSIDE),
        "recipient": types,
        "trial.readout": tuple(table.name for table in scenario.trial.readout) if scenario.trial else (),
    }


def _problem(collision: Collision) -> Problem:
    # Of an entry that has no name of the user's, the table's own column, the other one is at fault.
    first, second = sorted((collision.first, collision.second), key=len, reverse=True)
    return Problem(
        _entry(first),
        "",
        f"the column {collision.column!r} of {collision.table} would also be that of "
        f"{_entry(second) or 'the table itself'}",
        "rename one of them",
    )


def _entry(parts: tuple[tuple[str, str], ...]) -> str:
    words = {"donor": "cell_type", "recipient": "to cell_type"}
    return " with ".join(f"{words.get(role, role)} {name!r}" for role, name in parts).replace(
        " with to", " to"
    )
