"""What a run's particles are called: vesicles, and what stands beside them for comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from exoabm.vesicle import PARTICLES

if TYPE_CHECKING:
    from exoabm.scenario.schema import Scenario

_HEARD = {
    None: "delivered their cargo",
    "lnp": "delivered their cargo",
    "free_drug": "reached where they act",
    "soluble_factor": "were sensed",
}


class Sort(NamedTuple):
    """Kinds that go by one name, and what is said of those whose message arrived."""

    name: str
    heard: str
    kinds: tuple[int, ...]


def sorts(scenario: Scenario) -> tuple[Sort, ...]:
    """The sorts of particles of a scenario, vesicles first."""
    found = {table.comparator for table in scenario.vesicle}
    return tuple(
        Sort(
            PARTICLES[sort],
            heard,
            tuple(k for k, table in enumerate(scenario.vesicle) if table.comparator == sort),
        )
        for sort, heard in _HEARD.items()
        if sort in found
    )


def together(scenario: Scenario) -> str:
    """One word for all of them."""
    names = [sort.name for sort in sorts(scenario)]
    return names[0] if len(names) == 1 else "particles"


def coming(scenario: Scenario) -> tuple[Sort, ...]:
    """The sorts that a dose or a cell brings, vesicles first; the first of all where nothing is brought.

    What is counted is told of each by itself: molecules outnumber vesicles by far, and would hide them.
    """
    brought, found = _brought(scenario), sorts(scenario)
    come = tuple(s for s in found if any(scenario.vesicle[kind].name in brought for kind in s.kinds))
    return come or found[:1]


def pictured(scenario: Scenario) -> Sort:
    """The sort that fills cells and the medium in a picture: vesicles, if any come, else what comes."""
    return coming(scenario)[0]


def _brought(scenario: Scenario) -> set[str | None]:
    """Names of the kinds that a dose or a cell brings."""
    brought = {name for dose in scenario.dose if dose.given for name in (dose.vesicle, dose.molecule)}
    for cell in scenario.cell_type:
        brought |= {cell.releases, *(held.vesicle for held in cell.holds)}
        if cell.mvb is not None:
            brought |= {share.vesicle for share in cell.mvb.sorting}
        if cell.waste is not None:
            brought.add(cell.waste.vesicle)
    return brought


def taking_part(scenario: Scenario) -> dict[str, str]:
    """Names of the kinds that can be there: vesicles, and what a dose or a cell brings beside them."""
    brought = _brought(scenario)
    return {
        table.name: table.name if table.comparator is None else PARTICLES[table.comparator]
        for table in scenario.vesicle
        if table.comparator is None or table.name in brought
    }
