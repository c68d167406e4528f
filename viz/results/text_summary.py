"""Text summaries of a run and of a cell, and the names of particles.

Every number is one of the run folder: sums of the mass balance and of the rows of ``edges.parquet``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from exoabm.analysis.communication_graph import UNKNOWN, all_cells, copies_delivered, edges_of
from exoabm.cargo import CargoClass
from exoabm.output.cell_tables import over_lives
from exoabm.state import OUTSIDE, Resolution
from exoabm.text_formatting import spaced, two_decimals
from exoabm.vesicle import OPENED, PARTICLES, cargo_names, words_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from exoabm.model import ExosomeModel
    from exoabm.scenario.schema import Scenario
    from exoabm.state import State
    from exoabm.viz.server.frames import Header


PREPARING = (
    "Compiling: the first run of this kind of model on this machine starts after up to half a minute; later "
    "runs start at once."
)
"""Shown in place of the summary while a first step is compiled."""
LEAST = 1e-3
"""Smaller expected numbers are not written out."""
MOST_LINKS = 60
ORIGINS = {"cell_type": "records donors by type only", "none": "does not record donors"}
"""What a run does where donor cells are not known, by the resolution of its labels."""


def run_summary(model: ExosomeModel) -> str:
    """One sentence for each class of particles: how many are free, were taken up, and came to the cytosol."""
    state = model.state
    emitted = state.balance.emitted.sum(axis=1)
    here = [each for each in particle_classes(model.scenario) if emitted[list(each.kinds)].sum() > 0]
    if not here:
        came = "been released" if any(t.donates for t in state.types) else "arrived"
        return f"{hours(state.time)}: no vesicle has {came} yet; {phrase(f'{len(state.cells):,}', 'cells')}."
    numbers = "" if state.follows_vesicles else ", in expected numbers"
    return f"{hours(state.time)}{numbers}: of " + ". Of ".join(_fates(state, each) for each in here) + "."


def _fates(state: State, particles: ParticleClass) -> str:
    """The fates of all particles of a class, in words."""
    kinds, cells = list(particles.kinds), all_cells(state)
    taken = over_lives(state, "taken_up", kinds)
    can = np.array([t.uptake_rate[kinds].max() > 0 for t in state.types])
    takers = can[cells.type] | (taken > 0)  # dead cells, and those of another type since, too
    able = "can" if takers.sum() == can[state.cells.type].sum() else "can or could"
    accounts = (state.balance.emitted, *(state.balance[name] for name in ("free", "delivered", "escaped")))
    emitted, free, delivered, escaped = (float(a[kinds].sum()) for a in accounts)
    total = float(taken.sum())
    came = phrase(many(emitted), f"{particles.name} {_origin(state, kinds)}")
    first = f"{came}, {phrase(many(free), 'are free in the medium')}"
    if not takers.any():
        return f"{first}; no cell here takes them up"
    reached, could = int((taken >= 1).sum()), int(takers.sum())
    them = f"{could:,} cells that {able}" if could > 1 else f"only cell that {able} take them up"
    uptake = f"none was taken up by the {them}"
    if total > 0:
        each = " each" if reached > 1 else ""  # of expected numbers all cells take up some
        share = " " if state.follows_vesicles or could == 1 else f", at least one{each} "
        share = share if reached else ", fewer than one "
        who = f"the {them}" if could == 1 else f"{reached:,} of {them}" if reached else f"each of the {them}"
        uptake = f"{phrase(many(total), 'were taken up')}{share}by {who}"
    left = f"; {many(escaped)} escaped through open faces" if escaped > 0 else ""
    brought = _brought_copies(state, particles) if delivered > 0 else ""
    ended = f"{phrase(many(delivered), particles.delivered)}{brought}"
    return f"{first}; {uptake}; {ended}{left}"


def _brought_copies(state: State, particles: ParticleClass) -> str:
    """The copies that vesicles of a class delivered, in words: many of those that opened may be empty.

    Waste is left out, since it enters a cell by whichever route; so are molecules, each a copy itself.
    """
    if not particles.opens:
        return ""
    edges, kinds = edges_of(state), list(particles.kinds)
    waste = {cargo.name for cargo in state.cargos if cargo.role is CargoClass.WASTE}
    mine = np.isin(edges.kind, kinds)
    counts = [
        (name, phrase(many(float(edges.copies[name][mine].sum())), "copies"))
        for name in cargo_names([state.kinds[k] for k in kinds])
        if name not in waste
    ]
    words = " and ".join(f"{count} of {spaced(name)}" for name, count in counts)
    return f" and delivered {words}" if words else ""


def _origin(state: State, kinds: list[int]) -> str:
    """How particles entered: released by cells, or brought in by a dose or through a face."""
    outside = np.isin(state.labels.names, OUTSIDE)
    emitted = state.balance.emitted[kinds].sum(axis=0)
    ways = {"released": emitted[~outside].sum(), "that arrived": emitted[outside].sum()}
    return " or ".join(way for way, count in ways.items() if count > 0)


class Partner(NamedTuple):
    """Who is at the other end of an edge: taken up, delivered, first encounter in h.

    Not a ``cell`` are a cell type of which donors are not known, a dose, and the reservoir.
    """

    name: str
    cell: bool
    taken_up: float
    delivered: float
    first_h: float | None


@dataclass(frozen=True)
class CellSummary:
    """One cell: facts as words and numbers, donors and recipients, and the edges to highlight.

    Where several classes of particles or kinds of a class are present, the name of a partner ends with them,
    each after ", ". ``links`` are (donor, recipient, weight 0 to 1, whether this cell is the donor), and
    ``delivered`` the words for such numbers of partners. Of ``expected`` numbers the time of the first
    encounter is its median.
    """

    birth: int
    title: str
    facts: tuple[tuple[str, str], ...]
    donors: tuple[Partner, ...]
    recipients: tuple[Partner, ...]
    links: tuple[tuple[int, int, float, bool], ...]
    delivered: str
    note: str = ""
    expected: bool = False


def _unknown(state: State, resolution: Resolution) -> str:
    """A note where there are donor cells that are not known."""
    if resolution is Resolution.CELL or not any(t.donates for t in state.types):
        return ""
    return (
        f"This run {ORIGINS[resolution]}. Choose “record donors: by donor cell” under Try it, More controls."
    )


def _inherited(state: State, row: int) -> str:
    """A note where a cell delivered or degraded more than it took up, as after a division it may."""
    way = state.trafficking
    taken, after = (
        float(sum(counts[row].sum() for counts in each))
        for each in ((way.taken_up,), (way.endosomal, way.lysosomal, way.recycled, way.delivered))
    )
    if after <= taken * (1 + 1e-9) + 1e-9:
        return ""
    return "Some of its vesicles were inherited at division: they count as taken up by the cell that divided."


def cell_summary(model: ExosomeModel, birth: int) -> CellSummary | None:
    """The summary of a living cell; None if there is none of that name."""
    state, classes = model.state, present_classes(model.scenario)
    found = np.flatnonzero(state.cells.birth_id == birth)
    if not len(found):
        return None
    row = int(found[0])
    edges = edges_of(state)
    taken, ids = edges.counts["taken_up"], edges.cells.birth_id
    incoming = np.flatnonzero((ids[edges.recipient] == birth) & (taken > 0))
    outgoing = np.flatnonzero((edges.donor == birth) & (taken > 0))
    endings = {kind: _ending(model.scenario, classes, kind) for each in classes for kind in each.kinds}
    types = [t.name for t in state.types]

    def donor(i: int) -> str:
        origin = spaced(edges.origins[edges.origin[i]])
        return origin if edges.donor[i] == UNKNOWN else f"{origin} {edges.donor[i]}"

    def recipient(i: int) -> str:
        other = edges.recipient[i]
        return f"{spaced(types[edges.cells.type[other]])} {ids[other]}"

    def partners(rows: np.ndarray, name: Callable[[int], str], births: np.ndarray) -> tuple[Partner, ...]:
        strongest = rows[np.argsort(-taken[rows], kind="stable")].tolist()
        first, delivered = edges.first / 3600, edges.counts["delivered"]
        return tuple(
            Partner(
                name(i) + endings.get(int(edges.kind[i]), ""),
                bool(births[i] != UNKNOWN),
                float(taken[i]),
                float(delivered[i]),
                None if np.isnan(first[i]) else float(first[i]),
            )
            for i in strongest
        )

    return CellSummary(
        birth,
        f"{spaced(types[state.cells.type[row]])} {birth}",
        tuple(_facts(state, row, classes)),
        partners(incoming, donor, edges.donor),
        partners(outgoing, recipient, ids[edges.recipient]),
        tuple(_links(edges.donor, ids[edges.recipient], taken, incoming, outgoing)),
        (classes[0].delivered if len(classes) == 1 else words_for("").delivered).removeprefix("were "),
        f"{_inherited(state, row)} {_unknown(state, edges.resolution)}".strip(),
        not state.follows_vesicles,
    )


def _ending(scenario: Scenario, classes: tuple[ParticleClass, ...], kind: int) -> str:
    """The class of a vesicle kind where there are several, and the kind where its class has several."""
    own = next(each for each in classes if kind in each.kinds)
    present, name = present_kinds(scenario), scenario.vesicle[kind].name
    several = sum(scenario.vesicle[other].name in present for other in own.kinds) > 1
    return (f", {own.name}" if len(classes) > 1 else "") + (f", {name}" if several else "")


def _facts(state: State, row: int, classes: Iterable[ParticleClass]) -> Iterator[tuple[str, str]]:
    """Type, place and counts of the cell in a row."""
    cell_type, counts = state.types[state.cells.type[row]], state.trafficking
    x, y, z = state.cells.position[row]
    yield "type", spaced(cell_type.name)
    yield "place", f"{x:.0f}, {y:.0f}" + (f", {z:.0f}" if state.domain.dim == 3 else "") + " µm"
    if cell_type.donates:
        yield "released", many(float(state.released[row].sum()))
    classes = tuple(classes)
    for each in classes if np.any(cell_type.uptake_rate > 0) else ():
        of = f", {each.name}" if len(classes) > 1 else ""
        for words, values in (
            ("on its surface", counts.bound),
            ("taken up", counts.taken_up),
            ("in lysosomes", counts.lysosomal),
            (each.delivered.removeprefix("were "), counts.delivered),
        ):
            yield f"{words}{of}", many(float(values[row, list(each.kinds)].sum()))
    if np.any(cell_type.uptake_rate > 0):
        for name, copies in copies_delivered(state, waste=False).items():
            yield f"copies of {spaced(name)} delivered", many(float(copies[row]))
    if cell_type.waste is not None:
        yield "waste", f"{state.cells.waste[row]:.1f} units"


def _links(
    donor: np.ndarray,
    recipient: np.ndarray,
    taken: np.ndarray,
    incoming: np.ndarray,
    outgoing: np.ndarray,
) -> Iterable[tuple[int, int, float, bool]]:
    for rows, out in ((incoming, False), (outgoing, True)):
        rows = rows[(donor[rows] != UNKNOWN) & (donor[rows] != recipient[rows])]
        rows = rows[np.argsort(-taken[rows], kind="stable")][:MOST_LINKS]
        top = float(taken[rows].max()) if len(rows) else 1.0
        for i in rows.tolist():
            yield int(donor[i]), int(recipient[i]), float(np.sqrt(taken[i] / top)), out


def recorded_summary(frame: Header, particles: ParticleClass) -> str:
    """The summary of a recorded frame, which holds expected numbers as whole ones."""

    def number(count: int) -> str:
        if frame.counted or frame.time == 0:
            return many(count)
        return f"about {many(count)}" if count else "fewer than 1"

    return (
        f"{hours(frame.time)} (recorded): {phrase(number(frame.free), particles.name)} free in the medium; "
        f"{phrase(number(frame.delivered), particles.delivered)}. Press “now” to return to the present."
    )


def hours(seconds: float) -> str:
    """A model time in words."""
    return f"After {two_decimals(seconds / 3600)} h" if seconds >= 3600 else f"After {seconds / 60:.0f} min"


def many(count: float) -> str:
    """A number of vesicles: whole, or with three figures where it is a small expected one."""
    if 0 < count < LEAST:
        return f"fewer than {LEAST:g}"
    return f"{count:,.0f}" if count >= 100 or count == round(count) else f"{count:.3g}"


_ONE = {
    "are": "is",
    "were": "was",
    "their": "its",
    "cells": "cell",
    "copies": "copy",
    "links": "link",
    "molecules": "molecule",
    "nanoparticles": "nanoparticle",
    "rows": "row",
    "sources": "source",
    "units": "unit",
    "vesicles": "vesicle",
}
"""Words of many, and of one."""


def phrase(count: str, words: str) -> str:
    """A number as it is shown, and the words after it: in the singular where it is 1, or about 1."""
    if count.rpartition(" ")[2] == "1":
        words = re.sub(r"[a-z]+", lambda found: _ONE.get(found[0], found[0]), words)
    return f"{count} {words}".strip()


class ParticleClass(NamedTuple):
    """Vesicle kinds of one name, and the words for those that the column ``delivered`` counts."""

    name: str
    delivered: str
    kinds: tuple[int, ...]

    @property
    def opens(self) -> bool:
        """Whether they are vesicles, of which some may be empty."""
        return self.delivered == OPENED


def particle_classes(scenario: Scenario) -> tuple[ParticleClass, ...]:
    """The classes of particles of a scenario, vesicles first."""
    kinds = {
        each: tuple(k for k, table in enumerate(scenario.vesicle) if table.comparator == each)
        for each in PARTICLES
    }
    return tuple(
        ParticleClass(words.name, words.delivered, kinds[each])
        for each, words in PARTICLES.items()
        if kinds[each]
    )


def common_name(scenario: Scenario) -> str:
    """One word for particles of all classes."""
    names = [each.name for each in particle_classes(scenario)]
    return names[0] if len(names) == 1 else "particles"


def present_classes(scenario: Scenario) -> tuple[ParticleClass, ...]:
    """The classes that a dose or a cell brings, vesicles first; the first of all where nothing is brought.

    Each class is counted by itself, since molecules outnumber vesicles by far.
    """
    brought, found = _brought(scenario), particle_classes(scenario)
    present = tuple(c for c in found if any(scenario.vesicle[kind].name in brought for kind in c.kinds))
    return present or found[:1]


def drawn_class(scenario: Scenario) -> ParticleClass:
    """The class drawn in cells and medium of a picture: the first that is present."""
    return present_classes(scenario)[0]


def _brought(scenario: Scenario) -> set[str | None]:
    """Names of the kinds that a dose or a cell brings."""
    found = {name for dose in scenario.dose if dose.given for name in (dose.vesicle, dose.molecule)}
    for cell in scenario.cell_type:
        found |= {cell.releases, *(held.vesicle for held in cell.holds)}
        if cell.mvb is not None:
            found |= {share.vesicle for share in cell.mvb.sorting}
        if cell.waste is not None:
            found.add(cell.waste.vesicle)
    return found


def present_kinds(scenario: Scenario) -> tuple[str, ...]:
    """Names of the vesicle kinds, and of the comparators that a dose or a cell brings."""
    brought = _brought(scenario)
    return tuple(table.name for table in scenario.vesicle if not table.comparator or table.name in brought)
