"""The state of a model, as arrays, and the rows that one stage of a step hands to the next.

Rows of ``Cells`` are cells; axis names used throughout: n cells, K vesicle kinds, L labels.
A *label* names where a vesicle came from: a donor type, a donor cell, the reservoir behind a face, or a dose.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from exoabm.vesicle import Status

if TYPE_CHECKING:
    from exoabm.domain import Domain
    from exoabm.ledger import EdgeBook, Ledger, WasteLedger
    from exoabm.streams import Streams
    from exoabm.vesicle import VesicleKind, Vesicles

RESERVOIR = "reservoir"
DOSE = "dose"
OUTSIDE = (RESERVOIR, DOSE)
"""Origins that are no cells."""


class Resolution(StrEnum):
    """How finely the origin of a vesicle is known."""

    CELL_TYPE = "cell_type"
    CELL = "cell"


class SecretionMode(StrEnum):
    """Whether a donor's fusions come at their mean or as a Poisson process."""

    MEAN = "mean"
    POISSON = "poisson"


@dataclass(frozen=True)
class WasteMetabolism:
    """dw/dt = production - (lysosomal_rate + export_rate) w + waste taken up; rates in 1/s.

    ``vesicle`` is the kind that carries the exported waste out, ``copies`` the waste units in each.
    """

    production: float
    lysosomal_rate: float
    export_rate: float
    vesicle: int
    copies: float


@dataclass(frozen=True)
class CellType:
    """What all cells of a type have in common; rates in 1/s, lengths in um.

    Attributes
    ----------
    releases : int or None
        Vesicle kind released through the MVB pathway, or None for a type that releases none.
    release_rate : float
        Mean vesicles released per second: fusions of MVBs times ILVs in each.
    ilvs_per_mvb : float
        Mean ILVs that one fusion releases.
    uptake_rate : numpy.ndarray
        Membrane uptake rate constant k_a per vesicle kind, um^3/s, shape (K,); 0 = not taken up.
    saturation : numpy.ndarray
        Concentration Km of half-maximal uptake per kind, vesicles/um^3, shape (K,); inf = linear.
    """

    name: str
    diameter: float
    secretion: SecretionMode
    releases: int | None
    release_rate: float
    ilvs_per_mvb: float
    uptake_rate: np.ndarray
    saturation: np.ndarray
    waste: WasteMetabolism | None = None

    @property
    def donates(self) -> bool:
        """Whether cells of this type can release vesicles."""
        exports = self.waste is not None and self.waste.export_rate > 0
        return exports or (self.releases is not None and self.release_rate > 0)


@dataclass
class Cells:
    """One row a cell: ``birth_id`` names it for ever, ``type`` indexes the types, ``position`` in um."""

    birth_id: np.ndarray
    type: np.ndarray
    position: np.ndarray
    waste: np.ndarray

    def __len__(self) -> int:
        return len(self.birth_id)


@dataclass(frozen=True)
class Labels:
    """The origins that vesicles are told apart by.

    ``names`` (L) are donor types, birth ids of donor cells, the reservoir or the dose; ``of_cell`` (n) gives
    the label of what a cell releases, -1 for a cell that releases nothing.
    """

    resolution: Resolution
    names: tuple[str, ...]
    types: tuple[str, ...]
    of_cell: np.ndarray

    def __len__(self) -> int:
        return len(self.names)


@dataclass
class Trafficking:
    """Vesicles met by each cell, by kind and origin; every array (n, K, L), float64.

    ``encountered``, ``internalized``, ``unbound``, ``lysosomal``, ``recycled`` and ``delivered`` only grow.
    ``bound`` sit on the surface now, ``endosomal`` are inside and undecided, ``returning`` unbound or were
    recycled in this step and are free from the next. ``first_contact`` is the time in s by which a first
    encounter was as likely as not (expected count ln 2), NaN before.
    """

    encountered: np.ndarray
    bound: np.ndarray
    returning: np.ndarray
    internalized: np.ndarray
    unbound: np.ndarray
    endosomal: np.ndarray
    lysosomal: np.ndarray
    recycled: np.ndarray
    delivered: np.ndarray
    first_contact: np.ndarray
    last_contact: np.ndarray

    @classmethod
    def empty(cls, n: int, kinds: int, labels: int) -> Trafficking:
        """Nothing met yet."""
        shape = (n, kinds, labels)
        never = {name: np.full(shape, np.nan) for name in ("first_contact", "last_contact")}
        return cls(**{f.name: never.get(f.name, np.zeros(shape)) for f in fields(cls)})


@dataclass
class Emissions:
    """Rows: vesicles that enter the medium during a step at a cell's surface.

    ``cell`` is a row of Cells, ``label`` the origin (kept through unbinding), ``count`` how many.
    """

    cell: np.ndarray
    kind: np.ndarray
    label: np.ndarray
    count: np.ndarray

    @classmethod
    def none(cls) -> Emissions:
        """No row at all."""
        empty = np.empty(0, np.int64)
        return cls(empty, empty, empty, np.empty(0))

    @classmethod
    def join(cls, *parts: Emissions) -> Emissions:
        """All rows of several tables, in their order."""
        return cls(
            *(np.concatenate([getattr(p, c) for p in parts]) for c in ("cell", "kind", "label", "count"))
        )


@dataclass
class Passage:
    """What a step of transport did: captures per cell, and losses and gains of the medium.

    ``captured`` is (n, K, L); ``cleared``, ``escaped`` and ``entered`` are (K, L).
    """

    captured: np.ndarray
    cleared: np.ndarray
    escaped: np.ndarray
    entered: np.ndarray


@dataclass
class Uptake:
    """What a step of uptake did inside the cells: vesicles by what became of them, each (n, K, L)."""

    internalized: np.ndarray
    lysosomal: np.ndarray
    recycled: np.ndarray
    delivered: np.ndarray


class Event(IntEnum):
    """What can happen to a single vesicle. The names are those of ``events.parquet``."""

    RELEASE = 0
    ENTRY = 1
    ENCOUNTER = 2
    UNBINDING = 3
    UPTAKE = 4
    DEGRADATION = 5
    RECYCLING = 6
    DELIVERY = 7
    CLEARANCE = 8
    ESCAPE = 9


BOOKED = (
    Event.ENCOUNTER,
    Event.UNBINDING,
    Event.UPTAKE,
    Event.DEGRADATION,
    Event.RECYCLING,
    Event.DELIVERY,
)
"""Events between two cells, in the order of the columns of the edge book."""


@dataclass
class Events:
    """Rows: what happened to single vesicles in this step, in the order of the stages.

    Each part is a dict of columns: event, time in s, the vesicle's own columns at that moment, and
    ``recipient``, the row of the cell it happened on or in (-1 in the medium).
    """

    parts: list[dict[str, np.ndarray]] = field(default_factory=list)

    VESICLE: ClassVar = ("id", "kind", "label", "donor", "hops", "x", "y", "z", "copies")

    def add(self, event: Event, vesicles: Vesicles, rows: np.ndarray, time: np.ndarray) -> None:
        """Note that ``event`` happened to the vesicles in ``rows`` at ``time`` (s)."""
        if len(rows):
            part = {name: getattr(vesicles, name)[rows] for name in self.VESICLE}
            part["event"] = np.full(len(rows), event, np.int8)
            part["time"] = np.broadcast_to(np.asarray(time, np.float64), len(rows))
            part["recipient"] = vesicles.host[rows]
            self.parts.append(part)

    @classmethod
    def nothing(cls, cargos: int) -> dict[str, np.ndarray]:
        """The columns of no event at all."""
        integers = ("id", "kind", "label", "donor", "hops", "event", "recipient")
        return (
            {name: np.empty(0, np.int64) for name in integers}
            | {name: np.empty(0) for name in ("x", "y", "z", "time")}
            | {"copies": np.empty((0, cargos), np.uint16)}
        )

    def columns(self) -> dict[str, np.ndarray]:
        """All rows, in order of time; empty if nothing happened."""
        if not self.parts:
            return {}
        joined = {name: np.concatenate([p[name] for p in self.parts]) for name in self.parts[0]}
        order = np.argsort(joined["time"], kind="stable")
        return {name: column[order] for name, column in joined.items()}


@dataclass
class State:
    """Everything that changes, and what it is measured against.

    ``released`` (n, K) counts what each cell has sent. The continuum engine keeps ``fields``: per vesicle
    kind the free vesicles per voxel and label, (L, ny, nx) or (L, nz, ny, nx). The vesicle engine keeps
    ``vesicles``, one row each, the ``events`` of the current step, and the ``book`` of edges between cells.
    ``subject`` is what a therapy keeps of the body, ``measures`` what it wants recorded with the metrics.
    """

    domain: Domain
    kinds: tuple[VesicleKind, ...]
    types: tuple[CellType, ...]
    cells: Cells
    labels: Labels
    streams: Streams
    fields: list[np.ndarray]
    trafficking: Trafficking
    ledger: Ledger
    waste_ledger: WasteLedger
    released: np.ndarray
    vesicles: Vesicles | None = None
    events: Events = field(default_factory=Events)
    book: EdgeBook | None = None
    vesicles_born: int = 0
    subject: dict[str, np.ndarray] = field(default_factory=dict)
    measures: dict[str, float] = field(default_factory=dict)
    time: float = 0.0
    step: int = 0
    warnings: list[str] = field(default_factory=list)

    def free_per_voxel(self, kind: int) -> np.ndarray:
        """Free vesicles of a kind per voxel and label, (L, ny, nx) or (L, nz, ny, nx)."""
        if self.vesicles is None:
            return self.fields[kind]
        mine = (self.vesicles.kind == kind) & (self.vesicles.status == Status.FREE)
        position = np.column_stack([self.vesicles.x, self.vesicles.y, self.vesicles.z])[mine]
        voxel = np.clip(self.domain.voxel_of(position.astype(float)), 0, self.domain.counts - 1)
        place = self.vesicles.label[mine].astype(np.int64) * self.domain.n_voxels + self.domain.flat(voxel)
        size = len(self.labels) * self.domain.n_voxels
        count = np.bincount(place, minlength=size)
        return count.reshape(len(self.labels), *self.domain.shape).astype(float)

    def type_names(self) -> np.ndarray:
        """The type of every cell by name, shape (n,)."""
        return np.array([t.name for t in self.types])[self.cells.type]

    def of_type(self, attribute: str) -> np.ndarray:
        """An attribute of its type for every cell, shape (n, ...)."""
        return np.array([getattr(t, attribute) for t in self.types])[self.cells.type]
