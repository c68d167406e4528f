"""Communication between cells, from a live model or from the tables of a run folder, in one form.

All numbers of a communication view are computed here from the rows of ``edges.parquet`` and
the positions in ``lineage.parquet``, or in ``cells.parquet`` where none come and go; a live model gives the
same rows, as ``model.edges``. Rows send, columns receive.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from exoabm.analysis.communication import edge_table
from exoabm.analysis.communication_graph import all_cells
from exoabm.domain import Face
from exoabm.errors import InputError
from exoabm.plot import palette
from exoabm.plot.palette import Looks
from exoabm.plot.scales import spaced
from exoabm.scenario.cell_builder import binding, may_donate
from exoabm.scenario.loader import MAX_BYTES, parse
from exoabm.state import RESERVOIR
from exoabm.tables.declarations import TABLES
from exoabm.tables.run_tables import Run
from exoabm.vesicle import OPENED
from exoabm.viz.results.svg import number
from exoabm.viz.results.text_summary import delivered_words, drawn_class, present_classes, told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exoabm.model import ExosomeModel
    from exoabm.scenario.schema import Scenario
    from exoabm.scenario.schema_cells import CellTypeTable
    from exoabm.viz.results.text_summary import ParticleClass

COUNTS = {
    "taken_up": "vesicles taken up",
    "delivered": "vesicles that {}",
    "encountered": "vesicles encountered",
    "bound": "vesicles bound now",
    "lysosomal": "vesicles degraded",
    "recycled": "vesicles recycled",
}
"""Columns that a view can show, in the order of the menu, in words; those at {} depend on the particles."""
UNKNOWN = -1


@dataclass(frozen=True)
class Cells:
    """Cells (n): birth ``ids``, ``type`` into ``styles``, ``position`` (n, 3) in um, and ``alive``.

    Type and position of dead cells are those at death.
    """

    ids: np.ndarray
    type: np.ndarray
    position: np.ndarray
    styles: tuple[palette.Style, ...]
    alive: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def rows_of(self, ids: np.ndarray) -> np.ndarray:
        """The row of each id, -1 where there is no such cell."""
        if not len(self.ids):
            return np.full(len(ids), -1)
        order = np.argsort(self.ids, kind="stable")
        place = np.minimum(np.searchsorted(self.ids[order], ids), len(self.ids) - 1)
        row = order[place]
        return np.where(self.ids[row] == ids, row, -1)


@dataclass(frozen=True)
class Space:
    """The simulated space: ``low`` and ``size`` (3) in um, ``periodic`` (3).

    ``down``: y points downward in drawings.
    """

    low: np.ndarray
    size: np.ndarray
    periodic: np.ndarray
    down: bool = False

    def distance(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Distances (n) in um between points (n, 3), around periodic faces too."""
        step = end - start
        turns = np.where(self.periodic, np.round(step / np.where(self.periodic, self.size, 1.0)), 0.0)
        return np.linalg.norm(step - turns * self.size, axis=1)


@dataclass(frozen=True)
class CommunicationData:
    """Edges (m) between donors and recipients, summed over the kinds of one particle class.

    ``donor`` is a birth id, or ``UNKNOWN`` where only ``donor_type`` (into ``names``) is known, which
    ``resolution`` says. ``counts`` has a column for each of ``COUNTS``. ``cells`` are all cells of the run,
    the dead included; ``of`` is the source of the rows, ``what`` the particles, ``kinds`` those counted.
    """

    resolution: str
    hours: float
    names: tuple[str, ...]
    donor: np.ndarray
    donor_type: np.ndarray
    recipient: np.ndarray
    recipient_type: np.ndarray
    counts: dict[str, np.ndarray]
    first: np.ndarray
    cells: Cells
    space: Space
    of: str
    what: str
    kinds: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.donor)

    @property
    def by_cell(self) -> bool:
        """Whether the cell that sent is known."""
        return self.resolution == "cell"

    @property
    def any_donor(self) -> bool:
        """Whether a cell type releases, and not doses or faces alone."""
        return any(self._sends(index) for index in range(len(self.cells.styles)))

    @classmethod
    def of_model(
        cls, model: ExosomeModel, looks: Looks, particles: ParticleClass | None = None
    ) -> CommunicationData:
        """Of a live model, as in its run folder; of the drawn class of particles unless one is given."""
        state, domain = model.state, model.state.domain
        every = all_cells(state)
        cells = Cells(
            every.birth_id.copy(),
            every.type.astype(np.int64),
            every.position.astype(float),
            looks.styles,
            np.isin(every.birth_id, state.cells.birth_id),
        )
        periodic = np.array([domain.faces[2 * axis] == Face.PERIODIC for axis in range(3)])
        space = Space(np.array(domain.low, float), np.array(domain.extent, float), periodic, state.y_down)
        names = _class_names(model.scenario, particles or drawn_class(model.scenario))
        return _from_edges(edge_table(state), state.time / 3600, cells, space, "this run, live", *names)

    @classmethod
    def all_of_folder(cls, folder: Path) -> tuple[CommunicationData, ...]:
        """Of a finished run folder, one for each class of particles present.

        Raises
        ------
        InputError
            If a table is missing, damaged or lacks a column.
        """
        try:
            about = read_about(folder)
            scenario = scenario_of(about)
            run = Run(folder, folder.name)
            edges, table = run.need("edges"), run.need("cells")
            hours = float(pc.max(table["time_s"]).as_py() or 0.0) / 3600
            first, last = (
                table.filter(pc.equal(table["time_s"], at(table["time_s"]))) for at in (pc.min, pc.max)
            )
            looks = looks_at_start(first, scenario)
            lineage = run.table("lineage")
            every = last if lineage is None else lineage
            cells = cells_of(every, looks.as_shipped(str(about.get("scenario_name", ""))).styles)
            space = replace(space_of(scenario, cells.position), down=runs_down(about))
            return tuple(
                _from_edges(edges, hours, cells, space, folder.name, *_class_names(scenario, particles))
                for particles in present_classes(scenario)
            )
        except InputError:
            raise
        except (OSError, KeyError, ValueError, TypeError, pa.ArrowException) as error:
            raise InputError(f"{folder.name}: not a readable run folder: {str(error)[:200]}") from None

    def words(self, count: str) -> str:
        """One of ``COUNTS`` in words, with the name of these particles."""
        return COUNTS[count].replace("vesicles", self.what).format(delivered_words(self.what))

    def meaning(self, count: str) -> str:
        """Meaning of a count, from the description of the table, with the name of these particles."""
        words = next(column.meaning for column in TABLES["edges"].columns if column.name == count)
        return words.replace("vesicles", self.what).replace(OPENED, delivered_words(self.what))

    def amount(self, value: float, count: str) -> str:
        """A number of a count with its words."""
        return told(number(value), self.words(count))

    def between(self, count: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of donor cell and recipient cell and the count, strongest first, where both cells are known.

        Uptake by the donor itself is left out.
        """
        start, end = self.cells.rows_of(self.donor), self.cells.rows_of(self.recipient)
        value = self.counts[count]
        shown = (start >= 0) & (end >= 0) & (start != end) & (value > 0)
        order = np.flatnonzero(shown)[np.lexsort((end[shown], start[shown], -value[shown]))]
        return start[order], end[order], value[order]

    def matrix(self, count: str) -> tuple[tuple[str, ...], tuple[str, ...], np.ndarray]:
        """Names of donor types, names of recipient types, and the count from each to each.

        Where donors are not recorded, the only donor is ``any``.
        """
        donors = np.unique(self.donor_type)
        present = set(np.unique(self.cells.type).tolist()) | set(np.unique(self.recipient_type).tolist())
        takers = np.array(sorted(i for i in present if self._sends(i) or self._receives(i)), dtype=np.int64)
        able = takers[[self._sends(i) for i in takers]] if self.resolution != "none" else takers[:0]
        senders = np.unique(np.concatenate([donors, able]).astype(np.int64))
        receivers = takers[[self._receives(i) for i in takers]]
        values = np.zeros((len(self.names), len(self.names)))
        np.add.at(values, (self.donor_type, self.recipient_type), self.counts[count])
        return (
            tuple(self.names[i] for i in senders),
            tuple(self.names[i] for i in receivers),
            values[np.ix_(senders, receivers)],
        )

    def distances(self, count: str) -> tuple[np.ndarray, np.ndarray, str]:
        """Distance in um and count per edge, and the reference point of the distance in words.

        Where only the donor's type is known, it is that to the nearest donor of the type, a lower bound.
        """
        value = self.counts[count]
        end = self.cells.rows_of(self.recipient)
        if self.by_cell:
            start = self.cells.rows_of(self.donor)
            known = (start >= 0) & (end >= 0) & (start != end) & (value > 0)
            there = self.cells.position[end[known]]
            return (
                self.space.distance(self.cells.position[start[known]], there),
                value[known],
                "the donor cell",
            )
        known = (end >= 0) & (value > 0)
        found = np.full(len(self), np.nan)
        for index in np.unique(self.donor_type[known]):
            donors = self.cells.position[self.cells.type == index]
            mine = np.flatnonzero(known & (self.donor_type == index))
            if len(donors) and len(mine):
                found[mine] = _nearest(self.space, self.cells.position[end[mine]], donors)
        known &= np.isfinite(found)
        return found[known], value[known], "the nearest donor of the type, a lower bound"

    def style(self, name: str) -> palette.Style:
        """How cells of a type are drawn; the reservoir is gray."""
        for style in self.cells.styles:
            if style.name == name:
                return style
        return palette.Style(name, palette.Role.NEITHER, palette.OTHER, False)

    def _role(self, index: int) -> palette.Role:
        return self.style(self.names[index]).role

    def _sends(self, index: int) -> bool:
        return self._role(index) in (palette.Role.SENDS, palette.Role.BOTH)

    def _receives(self, index: int) -> bool:
        return self._role(index) in (palette.Role.TAKES_UP, palette.Role.BOTH)


def _class_names(scenario: Scenario, particles: ParticleClass) -> tuple[str, tuple[str, ...]]:
    """Name of a particle class, and the names of its kinds."""
    return particles.name, tuple(scenario.vesicle[kind].name for kind in particles.kinds)


def _from_edges(
    edges: pa.Table, hours: float, cells: Cells, space: Space, of: str, what: str, kinds: tuple[str, ...]
) -> CommunicationData:
    edges = edges.filter(pa.array(np.isin(np.array(_words(edges["vesicle_kind"]), dtype=object), kinds)))
    known = [style.name for style in cells.styles]
    outside = zip(_words(edges["donor_type"]), _words(edges["sender"]), strict=True)
    donor_type, recipient_type = [of or word for of, word in outside], _words(edges["recipient_type"])
    names = tuple(dict.fromkeys([*known, *sorted(set(donor_type) | set(recipient_type))]))
    index = {name: i for i, name in enumerate(names)}
    columns = [
        edges["donor"].fill_null(UNKNOWN).to_numpy(),
        np.array([index[name] for name in donor_type], dtype=np.int64),
        edges["recipient"].to_numpy(),
        np.array([index[name] for name in recipient_type], dtype=np.int64),
    ]
    pairs, pair = np.unique(np.column_stack(columns).astype(np.int64), axis=0, return_inverse=True)
    pair = pair.ravel()
    first = np.full(len(pairs), np.nan)
    np.fmin.at(first, pair, edges["first_time_s"].fill_null(np.nan).to_numpy())
    return CommunicationData(
        resolution=(edges.schema.metadata or {}).get(b"resolution", b"cell").decode(),
        hours=hours,
        names=names,
        donor=pairs[:, 0],
        donor_type=pairs[:, 1],
        recipient=pairs[:, 2],
        recipient_type=pairs[:, 3],
        counts={c: np.bincount(pair, edges[c].to_numpy(), len(pairs)) for c in COUNTS},
        first=first,
        cells=cells,
        space=space,
        of=of,
        what=what,
        kinds=kinds,
    )


@dataclass(frozen=True)
class _Part:
    """The properties of a cell type that ``Looks`` needs, from a scenario alone."""

    name: str
    donates: bool
    uptake_rate: float
    becomes: int | None = None


def read_about(folder: Path) -> dict[str, Any]:
    """The content of ``run.json`` of a run folder.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        about = None
    if not isinstance(about, dict):
        raise InputError(f"{folder.name}: run.json cannot be read")
    return about


def scenario_of(about: dict[str, Any]) -> Scenario:
    """The scenario of a ``run.json``, checked like any scenario file.

    Raises
    ------
    InputError
        If it is no scenario.
    """
    import tomli_w

    name = str(about.get("scenario_name", "run"))[:80]
    try:
        data = tomli_w.dumps(about["scenario"]).encode()
    except (KeyError, TypeError, AttributeError, RecursionError):
        raise InputError("run.json holds no scenario") from None
    if len(data) > MAX_BYTES:
        raise InputError("the scenario in run.json is too large")
    return parse(data, name=name, folder=Path(), trusted=False).scenario


def looks_at_start(table: pa.Table, scenario: Scenario) -> Looks:
    """How a run draws its cell types, from the rows of ``cells.parquet`` at its start."""
    numbers = {t.name: i for i, t in enumerate(scenario.cell_type)}
    parts = [
        _Part(
            t.name,
            _donates(scenario, t),
            float(binding(scenario, t)[0].max(initial=0.0)),
            None if t.transformation is None else numbers[t.transformation.into],
        )
        for t in scenario.cell_type
    ]
    words = _words(table["cell_type"])
    parts += [_Part(name, False, 0.0) for name in sorted(set(words) - set(numbers))]
    counts = np.array([words.count(part.name) for part in parts], dtype=np.int64)
    return Looks.of(parts, counts)  # type: ignore[arg-type]


def cells_of(table: pa.Table, styles: tuple[palette.Style, ...]) -> Cells:
    """The cells in rows of ``cells.parquet`` of one moment, or of ``lineage.parquet``.

    Raises
    ------
    InputError
        If a cell has an unknown type or a position that is not finite.
    """
    index = {style.name: i for i, style in enumerate(styles)}
    words = _words(table["cell_type"])
    strange = next((word for word in words if word not in index), None)
    if strange is not None:
        raise InputError(f"cells.parquet: no cell type {strange[:60]!r} in the scenario")
    kind = np.array([index[word] for word in words], dtype=np.int64)
    position = np.column_stack([table[f"{axis}_um"].to_numpy() for axis in "xyz"]).astype(float)
    if not np.isfinite(position).all():
        raise InputError("cells.parquet: a position is not finite")
    mortal = "died_s" in table.column_names
    alive = table["died_s"].is_null().to_numpy() if mortal else np.ones(len(table), bool)
    return Cells(table["cell"].to_numpy(), kind, position, styles, alive)


def runs_down(about: dict[str, Any]) -> bool:
    """Whether y points downward in the pictures of a run, by the table entry of its ``run.json``."""
    table = about.get("table")
    return isinstance(table, dict) and table.get("y") == "down"


def space_of(scenario: Scenario, position: np.ndarray) -> Space:
    """The declared space of a scenario, or the box around its cells where it is fitted to them."""
    domain = scenario.domain
    if isinstance(domain.size, str):
        border = float(domain.margin)
        low = position.min(axis=0) - border if len(position) else np.zeros(3)
        size = np.ptp(position, axis=0) + 2 * border if len(position) else np.ones(3)
    else:
        size = np.array([*map(float, domain.size), float(domain.thickness)][:3])
        low = np.zeros(3)
    periodic = np.array([domain.faces.side(f"{axis}_low") == "periodic" for axis in "xyz"])
    return Space(low, size, periodic)


def _donates(scenario: Scenario, cell: CellTypeTable) -> bool:
    exports = cell.waste is not None and float(cell.waste.export_rate) > 0
    exports = exports or any(float(held.export) > 0 for held in cell.holds)
    releases = cell.releases is not None or cell.mvb is not None
    holds = cell.mvb is not None and bool(cell.mvb.number)
    return exports or holds or (releases and float(cell.release_rate) > 0) or may_donate(scenario, cell)


def _words(column: pa.ChunkedArray) -> list[str]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return ["" if word is None else str(word) for word in column.to_pylist()]


def _nearest(space: Space, points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    from scipy.spatial import cKDTree

    images = targets
    for axis in np.flatnonzero(space.periodic):
        shift = np.zeros(3)
        shift[axis] = space.size[axis]
        images = np.concatenate([images, images + shift, images - shift])
    return np.asarray(cKDTree(images).query(points)[0])


def named(names: Sequence[str]) -> list[str]:
    """Names for display: underscores become spaces."""
    return ["reservoir" if n == RESERVOIR else spaced(n) for n in names]
