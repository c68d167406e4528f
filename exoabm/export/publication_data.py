"""Data of figures: numbers by type, time courses and distances of replicates, colors, caption."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import exoabm
from exoabm.analysis.communication_graph import UNKNOWN
from exoabm.errors import InputError
from exoabm.export.type_exchange import in_order, mean_and_half, sender_names
from exoabm.plot.maps import Cells, Links, strongest
from exoabm.plot.palette import OTHER, Looks
from exoabm.scenario.state_builder import kinds_and_types
from exoabm.state import OUTSIDE
from exoabm.text_formatting import counted, number, percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exoabm.export.type_exchange import Exchange, Group, RunWithEdges

MEASURES = {
    "captured": ("encountered", "captured"),
    "taken_up": ("taken_up", "taken up"),
    "delivered": ("delivered", "delivered"),
}
"""By the word of ``--measure`` the count of an edge or pair, and the phrase for it."""
MOST_CELLS = 2_000
"""Cells that are drawn one by one."""
NO_RUNS = "keeps no runs, which this figure is made of; sweep with --keep runs, or a trial with --keep-runs"


class FigureRequest(NamedTuple):
    """Specification of a figure: source, quantity and layout."""

    exchange: Exchange
    measure: str
    kind: str | None
    width: float | None

    @property
    def what(self) -> str:
        """The particles that are counted."""
        kinds, _ = kinds_and_types(self.exchange.scenario.scenario)
        words = {kind.particles for kind in kinds if self.kind in (None, kind.name)}
        return words.pop() if len(words) == 1 else "particles"

    @property
    def counted(self) -> str:
        """The count of an edge that is drawn."""
        return MEASURES[self.measure][0]

    @property
    def unit(self) -> str:
        """Name of the quantity."""
        return f"{self.what} {MEASURES[self.measure][1]}"

    @property
    def heading(self) -> str:
        """Title of the figure."""
        text = f"{self.unit[0].upper()}{self.unit[1:]} in {number(self.exchange.hours)} h"
        several = len(self.exchange.kinds) > 1
        return text + (f", {self.kind or 'all kinds'}" if several else "")


class TravelDistances(NamedTuple):
    """Vesicles between pairs of cells of a run: distance in um, number and origin.

    ``own`` returned to the cell that had sent it; ``outside`` was sent by no cell.
    """

    distance: np.ndarray
    amount: np.ndarray
    origin: np.ndarray
    origins: tuple[str, ...]
    own: float
    outside: float

    def binned(self, name: str, edges: np.ndarray) -> np.ndarray:
        """Vesicles of one origin, by bins of distance."""
        mine = (
            self.origin == self.origins.index(name)
            if name in self.origins
            else np.zeros(len(self.amount), bool)
        )
        return np.histogram(self.distance[mine], edges, weights=self.amount[mine])[0]


def donors_and_recipients(exchange: Exchange) -> tuple[list[str], list[str]]:
    """Names of all that send, and of the types that take up or did, in the order of the scenario."""
    found = [each.pairs() for group in exchange.groups for each in group.replicates]
    order = types_of(exchange)
    sent = {
        name
        for pairs in found
        for name, captured in zip(sender_names(pairs), pairs["encountered"], strict=True)
        if captured > 0 or name not in OUTSIDE
    }
    rows = in_order(sent, order)
    got = {
        name
        for pairs in found
        for name, captured in zip(pairs["recipient_type"], pairs["encountered"], strict=True)
        if captured > 0
    }
    _, types = kinds_and_types(exchange.scenario.scenario)
    takers = {each.name for each in types if np.any(each.uptake_rate > 0)}
    there = {name for pairs in found for name in pairs["recipient_type"]}
    return rows, in_order(got | (takers & there), order)


def amounts_of(
    request: FigureRequest, group: Group, rows: Sequence[str], columns: Sequence[str]
) -> np.ndarray:
    """Numbers from each row to each column in every replicate: (replicates, rows, columns)."""
    found = np.zeros((len(group.replicates), len(rows), len(columns)))
    at = {name: i for i, name in enumerate(rows)}, {name: i for i, name in enumerate(columns)}
    for n, each in enumerate(group.replicates):
        pairs = each.pairs()
        keys = (sender_names(pairs), pairs["recipient_type"], pairs["vesicle_kind"])
        for source, target, kind, amount in zip(*keys, pairs[MEASURES[request.measure][0]], strict=True):
            if source in at[0] and target in at[1] and request.kind in (None, kind):
                found[n, at[0][source], at[1][target]] += amount
    return found


def courses_of(
    runs: Sequence[RunWithEdges], columns: Mapping[str, str]
) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Times in h that all runs have, and by name mean and half interval of each column that there is."""
    tables = [run.metrics for run in runs]
    hours = np.asarray(tables[0]["time_h"])
    for table in tables[1:]:
        hours = np.intersect1d(hours, np.asarray(table["time_h"]))
    found = {}
    for name, column in columns.items():
        values = np.full((len(tables), len(hours)), np.nan)
        for row, table in enumerate(tables):
            if column in table.column_names:
                there = np.searchsorted(np.asarray(table["time_h"]), hours)
                values[row] = np.asarray(table[column].to_numpy(zero_copy_only=False), float)[there]
        if np.isfinite(values).any():
            found[name] = mean_and_half(values)
    return hours, found


def with_runs(request: FigureRequest) -> list[Group]:
    """Groups of which run folders were kept.

    Raises
    ------
    InputError
        If there are none.
    """
    groups = [group for group in request.exchange.groups if group.runs]
    if not groups:
        raise InputError(f"{request.exchange.source} {NO_RUNS}; matrix and network need none")
    return groups


def distances_of(request: FigureRequest, run: RunWithEdges) -> TravelDistances:
    """Distances of the requested quantity in a run.

    Raises
    ------
    InputError
        If donor cells are not known.
    """
    if not run.by_cell:
        raise InputError(
            f"{run.folder}: {run.unknown_donors}, without distances: repeat the run with "
            "--set transport.provenance=cell or --engine vesicles"
        )
    edges, chosen = run.links, _of_kind(request, run)
    amount = edges.counts[request.counted] * chosen
    known = edges.donor != UNKNOWN
    own = edges.donor == edges.cells.birth_id[edges.recipient]
    between = np.flatnonzero(known & ~own & (amount > 0))
    sent = edges.origin[between]
    names = tuple(name for i, name in enumerate(edges.origins) if (sent == i).any())
    place = np.array([names.index(name) if name in names else -1 for name in edges.origins], np.int64)
    return TravelDistances(
        run.distance[between],
        amount[between],
        place[sent],
        names,
        float(amount[known & own].sum()),
        float(amount[~known].sum()),
    )


def has_cells(run: RunWithEdges) -> bool:
    """Whether donor cells are recorded, and there are no more cells than can be drawn."""
    return run.by_cell and len(run.known_cells) <= MOST_CELLS


def map_of(request: FigureRequest, run: RunWithEdges) -> tuple[Cells, Links, str]:
    """The cells of a run, the strongest links between them, and a note on omissions."""
    edges, cells = run.links, run.known_cells
    _, types = kinds_and_types(run.loaded.scenario)
    wide = {each.name: each.diameter for each in types}
    names = [run.types[i] for i in cells.type]
    drawn = Cells(cells.position, np.array([wide.get(name, 15.0) for name in names]), names)
    amount = edges.counts[request.counted] * _of_kind(request, run)
    source, target = cells.row_of(edges.donor), edges.recipient
    between = np.flatnonzero((edges.donor != UNKNOWN) & (source != target) & (amount > 0))
    pairs, pair = np.unique(source[between] * len(cells) + target[between], return_inverse=True)
    source, target = np.divmod(pairs, max(len(cells), 1))
    way = run.displacement(cells.position[source], cells.position[target])
    every = Links(source, way, np.bincount(pair, amount[between], len(pairs)))
    shown = strongest(every)
    words = "Broad ends send; cells are seen along z."
    if len(shown.amount) < len(every.amount):
        share = percent(float(shown.amount.sum() / every.amount.sum()))
        words += (
            f" Drawn are the {len(shown.amount)} strongest of {counted(len(every.amount), 'link')} ({share})."
        )
    own = float(amount[(edges.donor != UNKNOWN) & (cells.row_of(edges.donor) == edges.recipient)].sum())
    if own:
        words += f" {percent(own / float(amount.sum()))} returned to the cell that had sent them."
    return drawn, shown, words


def _of_kind(request: FigureRequest, run: RunWithEdges) -> np.ndarray:
    """Which edges of a run are of the kind that is asked for."""
    if request.kind is None:
        return np.ones(len(run.links), bool)
    return np.asarray(run.links.kind == run.kinds.index(request.kind))


def types_of(exchange: Exchange) -> list[str]:
    """Names of the cell types, in the order of the scenario."""
    return [each.name for each in exchange.scenario.scenario.cell_type]


def colors_of(exchange: Exchange, names: Sequence[str]) -> dict[str, str]:
    """The colors of types as in the preview; gray for doses and reservoirs."""
    _, types = kinds_and_types(exchange.scenario.scenario)
    looks = Looks.of(types, np.array([_cells(exchange).get(each.name, 0) for each in types]))
    known = {style.name: style.color for style in looks.as_shipped(exchange.scenario.name).styles}
    return {name: known.get(name, OTHER) for name in names}


def _cells(exchange: Exchange) -> dict[str, int]:
    """Cells of each type at the start, where a run is at hand; else one of each."""
    runs = [run for group in exchange.groups for run in group.runs]
    if not runs:
        return dict.fromkeys(types_of(exchange), 1)
    return runs[0].cells_at_start


def widest_numbers(most: float) -> list[str]:
    """Numbers of which the broadest is as broad as any on an axis that ends near ``most``."""
    return ["0.25", number(float(f"{most:.1g}")), number(1.0 + float(f"{most:.2g}"))]


def require_data(request: FigureRequest, total: float) -> None:
    """Refuse an empty figure and list the available choices.

    Raises
    ------
    InputError
    """
    if total > 0:
        return
    exchange = request.exchange
    there = []
    for word, (column, phrase) in MEASURES.items():
        found = sum(
            amount
            for group in exchange.groups
            for each in group.replicates
            for kind, amount in zip(each.pairs()["vesicle_kind"], each.pairs()[column], strict=True)
            if request.kind in (None, kind)
        )
        there.append(f"{word} {number(found)}" if found else f"nothing {phrase}")
    of = f" of kind {request.kind}" if request.kind else ""
    raise InputError(f"{exchange.source}: no {request.unit}{of}; there are: {', '.join(there)}")


def caption_of(request: FigureRequest, how: str, *, runs: bool = False) -> str:
    """The caption: scenario, seeds, number of runs, and quantity.

    ``how`` says what the mean and its interval look like; ``runs`` that run folders alone are drawn.
    """
    exchange = request.exchange
    name = Path(exchange.scenario.name).name.removesuffix(".toml")
    if exchange.folder_kind == "run":
        return f"{name}, seed {exchange.seed}, n = 1 run. exoabm {exoabm.__version__}."
    sizes = [len(group.runs if runs else group.replicates) for group in exchange.groups]
    sizes = [size for size in sizes if size]
    n = f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
    of = "arm" if exchange.folder_kind == "trial" else "point"
    if max(sizes) == 1:
        how = "no intervals"
    lost = f"; {counted(exchange.lost, 'run')} failed or missing" if exchange.lost else ""
    runs_of = "run" if n == "1" else "runs"
    return (
        f"{name}, {exchange.folder_kind} from seed {exchange.seed}, n = {n} {runs_of} per {of}: {how}{lost}. "
        f"exoabm {exoabm.__version__}."
    )
