"""What is seen, in words: the whole run in a sentence, one cell in a card.

Every number is one of the run folder's, at the moment of asking: sums of the ledger, and of the rows of
``communication.parquet``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from exoabm.analysis.edges import UNKNOWN, edges_of, everyone
from exoabm.output.lineage import over_lives
from exoabm.state import OUTSIDE, Resolution
from exoabm.vesicle import PARTICLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from exoabm.model import ExosomeModel
    from exoabm.scenario.schema import Scenario
    from exoabm.state import State


PREPARING = (
    "Getting ready: a model of this kind is made fast for this machine. The first time takes up to half a "
    "minute; from then on it starts at once."
)
"""Said in place of what is seen while a first step is compiled."""
LEAST = 1e-3
"""Expected numbers below are told as none to speak of."""
MOST_LINKS = 60


def run_summary(model: ExosomeModel) -> str:
    """One sentence on where the vesicles are and whom they reached; another on each thing beside them."""
    state = model.state
    emitted = state.balance.emitted.sum(axis=1)
    here = [
        particles
        for particles in particle_classes(model.scenario)
        if emitted[list(particles.kinds)].sum() > 0
    ]
    if not here:
        came = "been released" if any(t.donates for t in state.types) else "arrived"
        return f"{hours(state.time)}: no vesicle has {came} yet. {len(state.cells):,} cells wait."
    return (
        f"{hours(state.time)}: of " + ". Of ".join(_whereabouts(state, particles) for particles in here) + "."
    )


def _whereabouts(state: State, particles: ParticleClass) -> str:
    """What became of all particles of a particles."""
    kinds, cells = list(particles.kinds), everyone(state)
    taken = over_lives(state, "taken_up", kinds)
    can = np.array([t.uptake_rate[kinds].max() > 0 for t in state.types])
    takers = can[cells.type] | (taken > 0)  # the dead, and those that became another type, too
    able = "can" if takers.sum() == can[state.cells.type].sum() else "can or could"
    counted = "" if state.follows_vesicles else " are expected to"
    places = (state.balance.emitted, state.balance["free"], state.balance["delivered"])
    emitted, free, told = (float(a[kinds].sum()) for a in places)
    swallowed = float(taken.sum())
    were = "was" if swallowed == 1 else "were"
    there = (
        f"{many(emitted)} {particles.name} {_came(state, kinds)}, {many(free)}{counted} drift in the medium"
    )
    if not takers.any():
        return f"{there}; no cell here takes them up"
    return (
        f"{there}; {many(swallowed)} {were} taken up, by {int((taken >= 1).sum()):,} of "
        f"{int(takers.sum()):,} cells that {able}; {many(told)} {particles.heard}"
    )


def _came(state: State, kinds: list[int]) -> str:
    """How particles came to be here: released by cells, or brought in by a dose or through a face."""
    outside = np.isin(state.labels.names, OUTSIDE)
    emitted = state.balance.emitted[kinds].sum(axis=0)
    ways = {"released": emitted[~outside].sum(), "that arrived": emitted[outside].sum()}
    return " or ".join(way for way, count in ways.items() if count > 0)


@dataclass(frozen=True)
class CellSummary:
    """One cell: rows of words and numbers, partners in both directions, and the edges to light up.

    ``reached_by`` and ``reached`` are (who, how many taken up, delivered, first contact in h or None); where
    several sorts of particles come, who is followed by the particles.
    ``links`` are (donor, recipient, weight 0 to 1, whether this cell sent).
    """

    birth: int
    title: str
    facts: tuple[tuple[str, str], ...]
    reached_by: tuple[tuple[str, float, float, float | None], ...]
    reached: tuple[tuple[str, float, float, float | None], ...]
    links: tuple[tuple[int, int, float, bool], ...]
    note: str = ""


def cell_summary(model: ExosomeModel, birth: int) -> CellSummary | None:
    """The story of a living cell; None if there is none of that name."""
    state, come = model.state, present_classes(model.scenario)
    found = np.flatnonzero(state.cells.birth_id == birth)
    if not len(found):
        return None
    row = int(found[0])
    cell_type, way, cells = state.types[state.cells.type[row]], state.trafficking, state.cells
    x, y, z = cells.position[row]
    place = f"{x:.0f}, {y:.0f}" + (f", {z:.0f}" if state.domain.dim == 3 else "") + " µm"
    facts = [("type", cell_type.name.replace("_", " ")), ("place", place)]
    if cell_type.donates:
        facts.append(("released", many(float(state.released[row].sum()))))
    for particles in come if np.any(cell_type.uptake_rate > 0) else ():
        of = f", {particles.name}" if len(come) > 1 else ""
        facts += [
            (f"{words}{of}", many(float(counts[row, list(particles.kinds)].sum())))
            for words, counts in (
                ("on its surface", way.bound),
                ("taken up", way.taken_up),
                ("in lysosomes", way.lysosomal),
                ("delivered", way.delivered),
            )
        ]
    if cell_type.waste is not None:
        facts.append(("waste", f"{cells.waste[row]:.1f} units"))
    edges = edges_of(state)
    names = [t.name.replace("_", " ") for t in state.types]
    class_of = (
        {kind: particles.name for particles in come for kind in particles.kinds} if len(come) > 1 else {}
    )
    taken, told = edges.counts["taken_up"], edges.counts["delivered"]
    everyone = edges.cells  # the dead too
    toward = np.flatnonzero((everyone.birth_id[edges.recipient] == birth) & (taken > 0))
    going = np.flatnonzero((edges.donor == birth) & (taken > 0))

    def sender(i: int) -> str:
        origin = edges.origins[edges.origin[i]].replace("_", " ")
        return sorted_out(origin if edges.donor[i] == UNKNOWN else f"{origin} {edges.donor[i]}", i)

    def receiver(i: int) -> str:
        other = edges.recipient[i]
        return sorted_out(f"{names[everyone.type[other]]} {everyone.birth_id[other]}", i)

    def sorted_out(who: str, i: int) -> str:
        particles = class_of.get(int(edges.kind[i]))
        return who if particles is None else f"{who}, {particles}"

    def partners(rows: np.ndarray, name: Callable[[int], str]) -> tuple[tuple[str, float, float, Any], ...]:
        strongest = rows[np.argsort(-taken[rows], kind="stable")]
        first = edges.first / 3600
        return tuple(
            (name(i), float(taken[i]), float(told[i]), None if np.isnan(first[i]) else float(first[i]))
            for i in strongest.tolist()
        )

    note = ""
    if edges.resolution is not Resolution.CELL:
        note = (
            "This run tells donors apart by type only. Choose “tell origins apart: by donor cell” under More "
            "controls."
        )
    return CellSummary(
        birth,
        f"{cell_type.name.replace('_', ' ')} {birth}",
        tuple(facts),
        partners(toward, sender),
        partners(going, receiver),
        tuple(_links(edges.donor, everyone.birth_id[edges.recipient], taken, toward, going)),
        note,
    )


def _links(
    donor: np.ndarray,
    recipient: np.ndarray,
    taken: np.ndarray,
    present_classes: np.ndarray,
    going: np.ndarray,
) -> Iterable[tuple[int, int, float, bool]]:
    for rows, out in ((present_classes, False), (going, True)):
        rows = rows[(donor[rows] != UNKNOWN) & (donor[rows] != recipient[rows])]
        rows = rows[np.argsort(-taken[rows], kind="stable")][:MOST_LINKS]
        top = float(taken[rows].max()) if len(rows) else 1.0
        for i in rows.tolist():
            yield int(donor[i]), int(recipient[i]), float(np.sqrt(taken[i] / top)), out


def hours(seconds: float) -> str:
    """A model time for people."""
    return f"After {seconds / 3600:.2f} h" if seconds >= 3600 else f"After {seconds / 60:.0f} min"


def many(count: float) -> str:
    """A number of vesicles: whole, or with three figures where it is a small expected one."""
    if 0 < count < LEAST:
        return f"fewer than {LEAST:g}"
    return f"{count:,.0f}" if count >= 100 or count == round(count) else f"{count:.3g}"


_HEARD = {
    None: "delivered their cargo",
    "lnp": "delivered their cargo",
    "free_drug": "reached where they act",
    "soluble_factor": "were sensed",
}


class ParticleClass(NamedTuple):
    """Kinds that go by one name, and what is said of those whose message arrived."""

    name: str
    heard: str
    kinds: tuple[int, ...]


def particle_classes(scenario: Scenario) -> tuple[ParticleClass, ...]:
    """The sorts of particles of a scenario, vesicles first."""
    found = {table.comparator for table in scenario.vesicle}
    return tuple(
        ParticleClass(
            PARTICLES[particles],
            heard,
            tuple(k for k, table in enumerate(scenario.vesicle) if table.comparator == particles),
        )
        for particles, heard in _HEARD.items()
        if particles in found
    )


def common_name(scenario: Scenario) -> str:
    """One word for all of them."""
    names = [particles.name for particles in particle_classes(scenario)]
    return names[0] if len(names) == 1 else "particles"


def present_classes(scenario: Scenario) -> tuple[ParticleClass, ...]:
    """The sorts that a dose or a cell brings, vesicles first; the first of all where nothing is brought.

    What is counted is told of each by itself: molecules outnumber vesicles by far, and would hide them.
    """
    uploaded, found = _brought(scenario), particle_classes(scenario)
    come = tuple(s for s in found if any(scenario.vesicle[kind].name in uploaded for kind in s.kinds))
    return come or found[:1]


def drawn_class(scenario: Scenario) -> ParticleClass:
    """The particles that fills cells and the medium in a picture: vesicles, if any come, else what comes."""
    return present_classes(scenario)[0]


def _brought(scenario: Scenario) -> set[str | None]:
    """Names of the kinds that a dose or a cell brings."""
    uploaded = {name for dose in scenario.dose if dose.given for name in (dose.vesicle, dose.molecule)}
    for cell in scenario.cell_type:
        uploaded |= {cell.releases, *(held.vesicle for held in cell.holds)}
        if cell.mvb is not None:
            uploaded |= {share.vesicle for share in cell.mvb.sorting}
        if cell.waste is not None:
            uploaded.add(cell.waste.vesicle)
    return uploaded


def present_kinds(scenario: Scenario) -> dict[str, str]:
    """Names of the kinds that can be there: vesicles, and what a dose or a cell brings beside them."""
    uploaded = _brought(scenario)
    return {
        table.name: table.name if table.comparator is None else PARTICLES[table.comparator]
        for table in scenario.vesicle
        if table.comparator is None or table.name in uploaded
    }
