"""Communication between cells, from a live model or from the tables of a run folder, in one form.

All numbers of a communication view are computed here from the rows of ``edges.parquet`` and
the positions in ``lineage.parquet``, or in ``cells.parquet`` where none come and go; a live model gives the
same rows, as ``model.edges``. Rows send, columns receive.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from exoabm.analysis.communication import edge_table
from exoabm.analysis.communication_graph import all_cells
from exoabm.domain import Face
from exoabm.errors import InputError
from exoabm.plot import palette
from exoabm.plot.palette import Looks
from exoabm.state import RESERVOIR
from exoabm.tables.declarations import TABLES
from exoabm.tables.finished_run import Run
from exoabm.text_formatting import number, spaced
from exoabm.vesicle import OPENED, words_for
from exoabm.viz.results.cells_and_space import (
    Cells,
    Space,
    cells_of,
    looks_at_start,
    read_about,
    runs_down,
    scenario_of,
    space_of,
    words_of,
)
from exoabm.viz.results.text_summary import drawn_class, phrase, present_classes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exoabm.model import ExosomeModel
    from exoabm.scenario.schema import Scenario
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
        return COUNTS[count].replace("vesicles", self.what).format(words_for(self.what).delivered)

    def meaning(self, count: str) -> str:
        """Meaning of a count, from the description of the table, with the name of these particles."""
        words = next(column.meaning for column in TABLES["edges"].columns if column.name == count)
        return words.replace("vesicles", self.what).replace(OPENED, words_for(self.what).delivered)

    def amount(self, value: float, count: str) -> str:
        """A number of a count with its words."""
        return phrase(number(value), self.words(count))

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
    edges = edges.filter(pa.array(np.isin(np.array(words_of(edges["vesicle_kind"]), dtype=object), kinds)))
    known = [style.name for style in cells.styles]
    outside = zip(words_of(edges["donor_type"]), words_of(edges["sender"]), strict=True)
    donor_type, recipient_type = [of or word for of, word in outside], words_of(edges["recipient_type"])
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
