"""What is seen, in words and numbers: the whole run in a sentence, one cell in a card, curves over time.

Every number is one of the run folder's: curves are columns of ``metrics.parquet``, what a cell sent and got
are rows of ``communication.parquet`` (at the moment of asking).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.observe.edges import UNKNOWN, edges_of
from exoabm.observe.metrics import measure
from exoabm.observe.palette import PLACES, Style, rgb, to_hex
from exoabm.state import Resolution
from exoabm.vesicle import cargo_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from exoabm.model import ExosomeModel
    from exoabm.state import State
    from exoabm.viz.looks import Looks

_BY_TYPE = (
    ("responding", "Cells that respond", "cells", "responding_cells"),
    ("cells", "Cells that live", "cells", "cells"),
)
"""Curves by cell type, where the metrics have them: key, title, unit, and the end of the column's name."""
_DOSE = "_entered_tissue_EV"
_DOSE_COLORS = ("#0B5D8A", PLACES["delivered"][1], PLACES["lysosomal"][1])
PREPARING = (
    "Getting ready: a model of this kind is made fast for this machine. The first time takes up to half a "
    "minute; from then on it starts at once."
)
"""Said in place of what is seen while a first step is compiled."""
MOST_LINKS = 60
MOST_POINTS = 240


def seen(state: State) -> str:
    """One sentence on where the vesicles are and whom they reached."""
    way = state.trafficking
    taken, told = way.internalized.sum(axis=(1, 2)), way.delivered.sum(axis=(1, 2))
    takers = np.flatnonzero(state.of_type("uptake_rate").max(axis=1) > 0)
    emitted = float(state.ledger.emitted.sum())
    free = float(state.ledger["free"].sum())
    counted = "" if state.vesicles is not None else " are expected to"
    if emitted == 0:
        return f"{hours(state.time)}: no vesicle has been released yet. {len(state.cells):,} cells wait."
    return (
        f"{hours(state.time)}: of {many(emitted)} vesicles released, {many(free)}{counted} drift in the "
        f"medium; {many(float(taken.sum()))} were taken up, by {int((taken[takers] >= 1).sum()):,} of "
        f"{len(takers):,} cells that can; {many(float(told.sum()))} delivered their cargo."
    )


@dataclass(frozen=True)
class Story:
    """One cell: rows of words and numbers, partners in both directions, and the edges to light up.

    ``reached_by`` and ``reached`` are (who, vesicles taken up, delivered, first contact in h or None).
    ``links`` are (donor, recipient, weight 0 to 1, whether this cell sent).
    """

    birth: int
    title: str
    facts: tuple[tuple[str, str], ...]
    reached_by: tuple[tuple[str, float, float, float | None], ...]
    reached: tuple[tuple[str, float, float, float | None], ...]
    links: tuple[tuple[int, int, float, bool], ...]
    note: str = ""


def story(state: State, birth: int) -> Story | None:
    """The story of a living cell; None if there is none of that name."""
    found = np.flatnonzero(state.cells.birth_id == birth)
    if not len(found):
        return None
    row = int(found[0])
    cell_type, way, cells = state.types[state.cells.type[row]], state.trafficking, state.cells
    x, y, z = cells.position[row]
    place = f"{x:.0f}, {y:.0f}" + (f", {z:.0f}" if state.domain.dim == 3 else "") + " µm"
    facts = [("type", cell_type.name), ("place", place), ("released", many(float(state.released[row].sum())))]
    if np.any(cell_type.uptake_rate > 0):
        facts += [
            ("on its surface", many(float(way.bound[row].sum()))),
            ("taken up", many(float(way.internalized[row].sum()))),
            ("in lysosomes", many(float(way.lysosomal[row].sum()))),
            ("cargo delivered", many(float(way.delivered[row].sum()))),
        ]
    if cell_type.waste is not None:
        facts.append(("waste", f"{cells.waste[row]:.1f} units"))
    edges = edges_of(state)
    names = [t.name for t in state.types]
    taken, told = edges.counts["internalized"], edges.counts["delivered"]
    everyone = edges.cells  # the dead too
    coming = np.flatnonzero((everyone.birth_id[edges.recipient] == birth) & (taken > 0))
    going = np.flatnonzero((edges.donor == birth) & (taken > 0))

    def sender(i: int) -> str:
        origin = edges.origins[edges.origin[i]]
        return origin if edges.donor[i] == UNKNOWN else f"{origin} {edges.donor[i]}"

    def receiver(i: int) -> str:
        other = edges.recipient[i]
        return f"{names[everyone.type[other]]} {everyone.birth_id[other]}"

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
            "This run tells donors apart by type only. Choose “tell origins apart: by donor cell” under More."
        )
    return Story(
        birth,
        f"{cell_type.name} {birth}",
        tuple(facts),
        partners(coming, sender),
        partners(going, receiver),
        tuple(_links(edges.donor, everyone.birth_id[edges.recipient], taken, coming, going)),
        note,
    )


def _links(
    donor: np.ndarray, recipient: np.ndarray, taken: np.ndarray, coming: np.ndarray, going: np.ndarray
) -> Iterable[tuple[int, int, float, bool]]:
    for rows, out in ((coming, False), (going, True)):
        rows = rows[(donor[rows] != UNKNOWN) & (donor[rows] != recipient[rows])]
        rows = rows[np.argsort(-taken[rows], kind="stable")][:MOST_LINKS]
        top = float(taken[rows].max()) if len(rows) else 1.0
        for i in rows.tolist():
            yield int(donor[i]), int(recipient[i]), float(np.sqrt(taken[i] / top)), out


@dataclass(frozen=True)
class Chart:
    """Curves of one plot: what they are, the unit, and the column of the metrics behind each."""

    title: str
    y_label: str
    columns: tuple[tuple[str, str, str], ...]


def charts(state: State, looks: Looks) -> dict[str, Chart]:
    """The plots that a model has, by a short name; each curve is (name, metrics column, color)."""
    several = len(state.kinds) > 1
    moved, places = [], []
    for kind in state.kinds:
        of = f" {kind.name}" if several else ""
        moved += [
            (f"released{of}", f"{kind.name}_emitted_EV", "#66717B"),
            (f"taken up{of}", f"{kind.name}_taken_up_EV", PLACES["lysosomal"][1]),
            (f"delivered{of}", f"{kind.name}_delivered_EV", PLACES["delivered"][1]),
        ]
        places += [
            (f"{PLACES[p][0]}{of}", f"{kind.name}_{p}_EV", PLACES[p][1])
            for p in ("free", "bound", "internalized", "lysosomal", "delivered", "cleared")
        ]
    found = {
        "moved": Chart("Released, taken up, delivered", "vesicles until now", tuple(moved)),
        "places": Chart("Where the vesicles are", "vesicles", tuple(places)),
    }
    drawn = [style for style, there in zip(*looks, strict=True) if there and style.named]
    takers = [s for s in drawn if np.any(_type(state, s).uptake_rate > 0)]
    if takers:
        columns = tuple((s.name, f"{s.name}_taken_up_EV_per_cell", s.color) for s in takers)
        found["each"] = Chart("Taken up per cell", "vesicles per cell until now", columns)
    row = measure(state)
    for key, title, unit, ending in _BY_TYPE:
        held = [s for s in drawn if row.get(f"{s.name}_{ending}") is not None]
        constant = key == "cells" and not any(f"{s.name}_divisions" in row for s in held)
        if held and not constant:
            columns = tuple((s.name, f"{s.name}_{ending}", s.color) for s in held)
            found[key] = Chart(title, unit, columns)
    doses = [column.removesuffix(_DOSE) for column in row if column.endswith(_DOSE)]
    if doses:
        columns = tuple((d, f"{d}{_DOSE}", c) for d, c in zip(doses, cycle(_DOSE_COLORS), strict=False))
        found["dose"] = Chart("Dose that reached the tissue", "particles until now", columns)
    for name in cargo_names(state.kinds):
        ending = f"{name}_copies_per_cell"
        held = [s for s in drawn if f"{s.name}_{ending}" in row]
        if held:
            columns = tuple((s.name, f"{s.name}_{ending}", s.color) for s in held)
            found[f"held_{name}"] = Chart(f"Copies of {name} in the cells", "copies per cell", columns)
    wasting = [s for s in drawn if _type(state, s).waste is not None]
    if wasting:
        columns = tuple((s.name, f"{s.name}_waste_units_per_cell", s.color) for s in wasting)
        found = {"waste": Chart("Waste in the cells", "waste units per cell", columns)} | found
    return found


def curves(model: ExosomeModel, chart: Chart) -> list[dict[str, Any]]:
    """The curves of a chart until now, thinned to ``MOST_POINTS``; the last point is the present."""
    rows = [*model.history.rows, measure(model.state)]
    rows = [*rows[:: max(1, len(rows) // MOST_POINTS)], rows[-1]]
    return [
        {
            "name": name,
            "color": color,
            "bright": to_hex(rgb(color) + 0.4 * (1 - rgb(color))),
            "x": [row["time_h"] for row in rows if column in row],
            "y": [row[column] for row in rows if column in row],
        }
        for name, column, color in chart.columns
    ]


def hours(seconds: float) -> str:
    """A model time for people."""
    return f"After {seconds / 3600:.2f} h" if seconds >= 3600 else f"After {seconds / 60:.0f} min"


def many(count: float) -> str:
    """A number of vesicles: whole, or with three figures where it is a small expected one."""
    return f"{count:,.0f}" if count >= 100 or count == round(count) else f"{count:.3g}"


def _type(state: State, style: Style) -> Any:
    return next(t for t in state.types if t.name == style.name)
