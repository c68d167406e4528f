"""The state of a model, as arrays.

Rows of ``Cells`` are cells; axis names used throughout: n cells, K vesicle kinds, L labels,
S size classes.
A *label* is the origin of a vesicle: a donor type, a donor cell, the reservoir behind a face, or a dose.
"""

from __future__ import annotations

import math
from dataclasses import InitVar, dataclass, field, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from exoabm.accounting.contact_table import ContactTable
from exoabm.accounting.lineage import Lineage
from exoabm.accounting.step_records import Events
from exoabm.cell_type import Process
from exoabm.vesicle import DOSED, Status, Vesicles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exoabm.accounting.mass_balance import MassBalance, WasteBalance
    from exoabm.cargo import Cargo
    from exoabm.cell_type import CellType, Gift, Mechanics, Response, Silence
    from exoabm.domain import Domain
    from exoabm.random_streams import Streams
    from exoabm.vesicle import VesicleKind

RESERVOIR = "reservoir"
DOSE = "dose"
OUTSIDE = (RESERVOIR, DOSE)
"""Origins other than cells."""
ANY_CELL = "any"
"""The origin of all vesicles that cells released, where origins are not recorded."""
VESICLES_AT_ONCE = 1 << 16
"""Single vesicles that are counted in voxels at a time, so that this needs little memory beside them."""


class Resolution(StrEnum):
    """Resolution of the origin of vesicles."""

    NONE = "none"
    CELL_TYPE = "cell_type"
    CELL = "cell"


class Rows:
    """Columns of equal length, one row per cell."""

    def take(self, rows: np.ndarray) -> None:
        """Select rows in every column: row i becomes the former row ``rows[i]``."""
        for column in fields(self):  # type: ignore[arg-type]
            setattr(self, column.name, getattr(self, column.name)[rows])


@dataclass
class Cells(Rows):
    """One row per cell, in the order of birth.

    Attributes
    ----------
    birth_id : numpy.ndarray
        Permanent number of the cell, int64, rising, never reused; draws are keyed by it.
    type : numpy.ndarray
        Index into ``State.types``.
    position, velocity, polarity : numpy.ndarray
        Center in um, persistent part of the motion in um/s, polarity of chemotaxis; (n, 3).
    born : numpy.ndarray
        Time of birth in s; 0 for the cells of the layout.
    mother : numpy.ndarray
        Birth id of the mother; -1 for the cells of the layout.
    waste : numpy.ndarray
        Waste held, units.
    cargo : numpy.ndarray
        Functional copies of each cargo active in the cell now, (n, C), in the order of ``State.cargos``.
    mvb : numpy.ndarray
        Pools of the MVB pathway, (n, M).
    behavior : numpy.ndarray
        Present value of each behavior, (n, B), in the order of ``State.behaviors``.
    feedback : numpy.ndarray
        History of each behavior and its target in recent steps, (n, B, 6); see ``cells.responses``. B is 0
        without responses.
    effect : numpy.ndarray
        Strength of the strongest response to received or held cargo, 0 to 1. Uptake is not delivery, and
        delivery is not effect.
    """

    birth_id: np.ndarray
    type: np.ndarray
    position: np.ndarray
    velocity: np.ndarray
    polarity: np.ndarray
    born: np.ndarray
    mother: np.ndarray
    waste: np.ndarray
    cargo: np.ndarray
    mvb: np.ndarray
    behavior: np.ndarray
    feedback: np.ndarray
    effect: np.ndarray

    def __len__(self) -> int:
        return len(self.birth_id)

    @classmethod
    def at(
        cls, position: np.ndarray, types: np.ndarray, *, cargos: int = 0, pools: int = 0, behaviors: int = 0
    ) -> Cells:
        """Cells of a layout, numbered in its order, with empty pools and behaviors of 0."""
        n = len(position)
        return cls(
            birth_id=np.arange(n, dtype=np.int64),
            type=types,
            position=position,
            velocity=np.zeros((n, 3)),
            polarity=np.zeros((n, 3)),
            born=np.zeros(n),
            mother=np.full(n, -1, np.int64),
            waste=np.zeros(n),
            cargo=np.zeros((n, cargos)),
            mvb=np.zeros((n, pools)),
            behavior=np.zeros((n, behaviors)),
            feedback=np.zeros((n, 0, 0)),
            effect=np.zeros(n),
        )

    def row_of(self, birth_id: np.ndarray | int) -> np.ndarray:
        """Rows of living cells by their birth ids."""
        return np.searchsorted(self.birth_id, birth_id)


@dataclass(frozen=True)
class Labels:
    """Origins of vesicles that are distinguished.

    ``names`` (L) are donor types, birth ids of donor cells or one name for all, the reservoir or the dose;
    ``of_cell`` (n) is the label of vesicles released by a cell, -1 for a cell that releases none.
    """

    resolution: Resolution
    names: tuple[str, ...]
    types: tuple[str, ...]
    of_cell: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def follow(self, cells: Cells, types: Sequence[CellType]) -> Labels:
        """Labels of the present cells; new donor cells get labels after the existing ones."""
        donates = np.array([t.donates for t in types])[cells.type]
        if self.resolution is Resolution.NONE:
            return replace(self, of_cell=np.where(donates, 0, -1))
        if self.resolution is Resolution.CELL_TYPE:
            label = np.array([self.names.index(t.name) if t.name in self.names else -1 for t in types])
            return replace(self, of_cell=np.where(donates, label[cells.type], -1))
        numbered = [(int(name), label) for label, name in enumerate(self.names) if name not in OUTSIDE]
        known, number = np.array(sorted(numbered), np.int64).reshape(-1, 2).T
        new = np.setdiff1d(cells.birth_id[donates], known, assume_unique=True)
        owner = np.concatenate([known, new])
        number = np.concatenate([number, len(self) + np.arange(len(new))])
        order = np.argsort(owner)
        owner, number = owner[order], number[order]
        place = np.minimum(np.searchsorted(owner, cells.birth_id), len(owner) - 1)
        mine = donates & (owner[place] == cells.birth_id) if len(owner) else donates
        origin = [types[i].name for i in cells.type[cells.row_of(new)]]
        return replace(
            self,
            names=(*self.names, *map(str, new)),
            types=(*self.types, *origin),
            of_cell=np.where(mine, number[place], -1) if len(owner) else np.full(len(cells), -1),
        )

    def of_past(self, birth_id: int, cell_type: CellType) -> int:
        """Label of vesicles that a cell released before its death or change of type, as this type; or -1."""
        names = {Resolution.NONE: ANY_CELL, Resolution.CELL_TYPE: cell_type.name}
        name = names.get(self.resolution, str(birth_id))
        return self.names.index(name) if cell_type.donates and name in self.names else -1


SIZES = ("bound_sizes", "endosomal_sizes", "returning_sizes")


@dataclass
class Trafficking(Rows):
    """Vesicles at each cell, by kind and origin; every array but the last three (n, K, L), float64.

    ``encountered``, ``taken_up``, ``unbound``, ``lysosomal``, ``recycled`` and ``delivered`` only grow.
    ``bound`` are on the surface now, ``endosomal`` in endosomes, ``returning`` unbound or were recycled in
    this step and are free from the next. ``first_contact`` is the median time of the first encounter in s
    (expected count ln 2), NaN before. ``bound_sizes``, ``endosomal_sizes`` and ``returning_sizes`` are the
    shares of the size classes in these three, (n, K, L, S), 0 without vesicles; S is 0 with one class for all
    kinds, and for single vesicles.
    """

    encountered: np.ndarray
    bound: np.ndarray
    returning: np.ndarray
    taken_up: np.ndarray
    unbound: np.ndarray
    endosomal: np.ndarray
    lysosomal: np.ndarray
    recycled: np.ndarray
    delivered: np.ndarray
    first_contact: np.ndarray
    last_contact: np.ndarray
    bound_sizes: np.ndarray
    endosomal_sizes: np.ndarray
    returning_sizes: np.ndarray

    @classmethod
    def empty(cls, n: int, kinds: int, labels: int, classes: int = 1) -> Trafficking:
        """Counts before the first contact; ``classes`` is the largest number of size classes of a kind."""
        shape = (n, kinds, labels)
        other = {name: np.full(shape, np.nan) for name in ("first_contact", "last_contact")}
        other |= {name: np.zeros((*shape, classes if classes > 1 else 0)) for name in SIZES}
        return cls(**{f.name: other[f.name] if f.name in other else np.zeros(shape) for f in fields(cls)})


@dataclass(frozen=True)
class TableCells:
    """Identifiers of the cells of a table, which have the first birth ids, in the order of the table.

    ``ids`` are texts (n), ``labels[codes[i]]`` is the label of cell i in the table.
    """

    ids: list[str]
    codes: np.ndarray
    labels: tuple[str, ...]


@dataclass
class DoseState:
    """Variables of one dose.

    Attributes
    ----------
    given, entered : float
        Particles, or therapeutic cells, given until now; particles that entered the tissue until now.
    cells, cell_time : float
        Therapeutic cells alive, and the time integral of their number, cells times s.
    amount, exposure : numpy.ndarray
        Amount in each compartment of the body, and its time integral in amount times s, (n,).
    """

    compartments: InitVar[int] = 0
    given: float = 0.0
    entered: float = 0.0
    cells: float = 0.0
    cell_time: float = 0.0
    amount: np.ndarray = field(init=False)
    exposure: np.ndarray = field(init=False)

    def __post_init__(self, compartments: int) -> None:
        self.amount, self.exposure = np.zeros(compartments), np.zeros(compartments)


@dataclass
class TreatmentState:
    """Variables of a treatment: one ``DoseState`` per dose, and the immune response of the host.

    ``host`` (4,) holds antigen (ug), innate activation, effectors and memory, ``host_exposure`` (4,) their
    time integrals; both are empty for a host without a response.
    """

    doses: dict[str, DoseState] = field(default_factory=dict)
    host: np.ndarray = field(default_factory=lambda: np.zeros(0))
    host_exposure: np.ndarray = field(default_factory=lambda: np.zeros(0))


class TreatmentReadout(NamedTuple):
    """Key of a treatment readout: quantity, and where it applies the dose and the compartment of the body."""

    quantity: str
    dose: str = ""
    compartment: str = ""

    def __str__(self) -> str:
        return "/".join(self)


@dataclass
class State:
    """State of a model: all variables, and the fixed quantities that they refer to.

    Attributes
    ----------
    cargos, behaviors : tuple
        Columns of ``cells.cargo`` and ``cells.behavior``. Behaviors that no cell type names and no response
        changes are not stored.
    processes : tuple of Process
        Process that each behavior acts on.
    behavior_units : tuple of tuple of str
        Unit of each behavior, per cell type.
    base, damping : numpy.ndarray
        Value of each behavior at rest, and mean share of ``cells.feedback`` in recent steps, both (T, B).
    silences, gifts : tuple
        Interventions of a causal comparison; see ``cells.silencing_and_gifts``.
    released : numpy.ndarray
        Vesicles released by each cell until now, (n, K).
    fields : list of numpy.ndarray
        Continuum engine: free vesicles of each kind per voxel, (L S, ny, nx) or (L S, nz, ny, nx), the size
        classes of a label in succession.
    follows_vesicles : bool
        Whether vesicles are followed one by one; otherwise they are expected numbers, and ``vesicles``,
        ``events`` and ``contacts`` are empty.
    vesicles, events, contacts
        Vesicle engine: one row per vesicle, the events of the current step, and counts between cells.
    entrants : numpy.ndarray
        Single vesicles that entered through each face or by doses, (7, K), int64.
    lineage : Lineage
        Births, deaths, and counts of dead cells.
    mechanics : Mechanics or None
        None for cells without repulsion.
    max_cells : float
        Largest number of living cells.
    treatment, treatment_readouts
        Variables of a therapy, and its present readouts.
    source, y_down
        Identifiers of cells from a table, None for generated layouts; whether y points down in figures.
    marked_for_death : numpy.ndarray
        Birth ids of cells that die at the end of this step.
    in_step : bool
        Whether a step has begun and is not committed; an interrupt or an error in a step, also after that,
        leaves it so.
    """

    domain: Domain
    kinds: tuple[VesicleKind, ...]
    types: tuple[CellType, ...]
    cells: Cells
    labels: Labels
    streams: Streams
    fields: list[np.ndarray]
    trafficking: Trafficking
    balance: MassBalance
    waste_balance: WasteBalance
    released: np.ndarray
    cargos: tuple[Cargo, ...] = ()
    behaviors: tuple[str, ...] = ()
    processes: tuple[Process, ...] = ()
    behavior_units: tuple[tuple[str, ...], ...] = ()
    base: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    responses: tuple[Response, ...] = ()
    silences: tuple[Silence, ...] = ()
    gifts: tuple[Gift, ...] = ()
    damping: np.ndarray = field(init=False)
    mechanics: Mechanics | None = None
    max_cells: float = math.inf
    follows_vesicles: bool = False
    vesicles: Vesicles = field(default_factory=lambda: Vesicles(0))
    entrants: np.ndarray = field(init=False)
    events: Events = field(init=False)
    lineage: Lineage = field(init=False)
    contacts: ContactTable = field(default_factory=lambda: ContactTable((), 0))
    treatment: TreatmentState = field(default_factory=TreatmentState)
    treatment_readouts: dict[TreatmentReadout, float] = field(default_factory=dict)
    time: float = 0.0
    step: int = 0
    warnings: list[str] = field(default_factory=list)
    source: TableCells | None = None
    y_down: bool = False
    marked_for_death: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    in_step: bool = False

    def __post_init__(self) -> None:
        self.entrants = np.zeros((DOSED + 1, len(self.kinds)), np.int64)
        self.events = Events(self.cells)
        self.damping = np.ones(self.base.shape)
        self.lineage = Lineage(len(self.cells), len(self.types), len(self.kinds), len(self.labels))

    @property
    def living(self) -> bool:
        """Whether cells can come, go or change their type."""
        return Process.TURNOVER in self.processes

    def behavior(self, name: str) -> np.ndarray:
        """Present value of a behavior for every cell, (n,), a view; the name must be in ``behaviors``."""
        return self.cells.behavior[:, self.behaviors.index(name)]

    def present_value(self, behavior: str, rows: np.ndarray, rest: float) -> float | np.ndarray:
        """Present value of a behavior for the cells in ``rows``; ``rest`` if no response changes it."""
        return self.behavior(behavior)[rows] if behavior in self.behaviors else rest

    def uptake_share(self) -> np.ndarray | None:
        """Uptake of each cell relative to ``CellType.uptake_rate``, (n,); None where it is constant."""
        if "uptake_rate" not in self.behaviors:
            return None
        limit = self.of_type("uptake_limit")
        value = self.behavior("uptake_rate")
        return np.divide(value, limit, out=np.ones(len(limit)), where=limit > 0)

    def free_per_voxel(self, kind: int) -> np.ndarray:
        """Free vesicles of a kind per voxel and label, (L, ny, nx) or (L, nz, ny, nx)."""
        if not self.follows_vesicles:
            rows, classes = self.fields[kind], self.kinds[kind].size_classes
            return (
                rows if classes == 1 else rows.reshape(len(self.labels), classes, *rows.shape[1:]).sum(axis=1)
            )
        vesicles, count = self.vesicles, np.zeros((len(self.labels), self.domain.n_voxels))
        for first in range(0, len(vesicles), VESICLES_AT_ONCE):
            some = slice(first, first + VESICLES_AT_ONCE)
            mine = (vesicles.status[some] == Status.FREE) & (vesicles.kind[some] == kind)
            position = np.column_stack(
                [column[some][mine] for column in (vesicles.x, vesicles.y, vesicles.z)]
            )
            voxel = np.clip(self.domain.voxel_of(position.astype(float)), 0, self.domain.counts - 1)
            np.add.at(count, (vesicles.label[some][mine], self.domain.flat(voxel)), 1.0)
        return count.reshape(len(self.labels), *self.domain.shape)

    def type_names(self) -> np.ndarray:
        """The type of every cell by name, shape (n,)."""
        return np.array([t.name for t in self.types])[self.cells.type]

    def of_type(self, attribute: str) -> np.ndarray:
        """An attribute of its type for every cell, shape (n, ...)."""
        return np.array([getattr(t, attribute) for t in self.types])[self.cells.type]
