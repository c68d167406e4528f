"""The state of a model, as arrays, and the rows that one stage of a step hands to the next.

Rows of ``Cells`` are cells; axis names used throughout: n cells, K vesicle kinds, L labels.
A *label* names where a vesicle came from: a donor type, a donor cell, or the reservoir behind a face.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from exoabm.domain import Domain
    from exoabm.ledger import Ledger, WasteLedger
    from exoabm.streams import Streams
    from exoabm.vesicle import VesicleKind

RESERVOIR = "reservoir"


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

    ``names`` (L) are donor types, birth ids of donor cells, or the reservoir; ``of_cell`` (n) gives
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

    ``encountered``, ``internalized``, ``lysosomal``, ``recycled`` and ``delivered`` only grow.
    ``bound`` sit on the surface now, ``endosomal`` are inside and undecided, ``returning`` unbound or were
    recycled in this step and are free from the next. ``first_contact`` is the time in s by which a first
    encounter was as likely as not (expected count ln 2), NaN before.
    """

    encountered: np.ndarray
    bound: np.ndarray
    returning: np.ndarray
    internalized: np.ndarray
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


@dataclass
class State:
    """Everything that changes, and what it is measured against.

    ``fields`` holds per vesicle kind the free vesicles per voxel and label, (L, ny, nx) or
    (L, nz, ny, nx). ``released`` (n, K) counts what each cell has sent.
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
    time: float = 0.0
    step: int = 0
    warnings: list[str] = field(default_factory=list)

    def type_names(self) -> np.ndarray:
        """The type of every cell by name, shape (n,)."""
        return np.array([t.name for t in self.types])[self.cells.type]

    def of_type(self, attribute: str) -> np.ndarray:
        """An attribute of its type for every cell, shape (n, ...)."""
        return np.array([getattr(t, attribute) for t in self.types])[self.cells.type]
