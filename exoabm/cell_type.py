"""Cell types: constants of secretion, uptake, metabolism, motion and responses.

Rates in 1/s, lengths in um, concentrations in vesicles/um^3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from exoabm.cargo import CargoPool


class SecretionMode(StrEnum):
    """Fusions at their mean rate, or as a Poisson process."""

    MEAN = "mean"
    POISSON = "poisson"


class Process(StrEnum):
    """Process of a cell that a behavior acts on."""

    RELEASE = "release"
    """A rate at which vesicles are released, alone enough to make a cell a donor."""
    SECRETION = "secretion"
    """The pathway of multivesicular bodies, given a release rate."""
    UPTAKE = "uptake"
    RECYCLING = "recycling"
    DELIVERY = "delivery"
    METABOLISM = "metabolism"
    """Pools of waste and cargo."""
    MOTION = "motion"
    TURNOVER = "turnover"
    """Cells come, go or change type."""
    OTHER = "other"
    """Defined by the code of an added behavior."""


@dataclass(frozen=True)
class MvbPathway:
    """Pool of multivesicular bodies (MVBs): formation, fate, and fusion of a share with the membrane.

        dM/dt = k_form - k_fate M,    fusions = f_sec k_fate M,    vesicles = b per fusion

    ``formation`` = release rate / (f_sec b) at rest, so that a cell at rest releases at the rate of its type.

    Attributes
    ----------
    secretory_fraction : float
        f_sec; the others fuse with lysosomes.
    fate_rate : float
        k_fate, 1/s.
    initial : float or None
        MVBs at the start; None for the steady state.
    sorting : tuple of (int, float)
        Vesicle kinds of the ILVs and their shares, which sum to 1.
    """

    secretory_fraction: float
    fate_rate: float
    initial: float | None
    sorting: tuple[tuple[int, float], ...]

    def formation(self, release_rate: float, ilvs_per_mvb: float) -> float:
        """q / (f_sec b): MVBs formed per second by a cell with release rate q at rest."""
        if self.secretory_fraction == 0.0:
            return 0.0
        return release_rate / (self.secretory_fraction * ilvs_per_mvb)


@dataclass(frozen=True)
class WasteMetabolism:
    """dw/dt = production - lysosomal_rate w / (1 + w / saturation) - export_rate w + waste taken up.

    Rates in 1/s; ``saturation`` is the waste of half-maximal lysosomal degradation.
    ``vesicle`` is the kind that carries the exported waste out, ``copies`` the waste units in each.
    """

    production: float
    lysosomal_rate: float
    export_rate: float
    vesicle: int
    copies: float
    saturation: float = math.inf


class Sense(StrEnum):
    """Signal of chemotaxis: gradient of a concentration, or captured vesicles."""

    GRADIENT = "gradient"
    CAPTURES = "captures"


@dataclass(frozen=True)
class Attraction:
    """Chemotaxis: vesicle kind, signal and sensitivity.

    By ``gradient``, v = chi K grad c / (K + c)^2 with K = ``half_max`` in vesicles/um^3 and the behavior
    ``chemotaxis`` chi in um^2/s: the cell follows the gradient of receptor occupancy c/(K + c).
    By ``captures``, each captured vesicle adds its copies of cargo (1 if its kind carries none) to a polarity
    p, toward the site of capture; p decays over ``memory`` s, and
    v = chi |p|^hill / (K^hill + |p|^hill) p/|p|, with chi in um/s.
    """

    vesicle: int
    sense: Sense
    half_max: float
    hill: float = 1.0
    memory: float = 0.0


@dataclass(frozen=True)
class CellType:
    """Constants of a cell type; rates in 1/s, lengths in um.

    Attributes
    ----------
    releases : int or None
        Vesicle kind released through the MVB pathway, or None for a type that releases none.
    release_rate : float
        Mean vesicles released per second: fusions of MVBs times ILVs in each.
    ilvs_per_mvb : float
        Mean ILVs that one fusion releases.
    uptake_rate : numpy.ndarray
        Membrane uptake rate constant k_a per vesicle kind, um^3/s, shape (K,); 0 = not taken up. Where the
        behavior ``uptake_rate`` is in use, its highest value.
    receptors : numpy.ndarray
        Mean number R of receptors of a cell per kind, at that rate, shape (K,); inf = uptake is linear.
    becomes : int or None
        Type into which cells transform; None for none.
    persistence : float
        Time in s over which random motion keeps its direction; 0 is Brownian motion.
    attraction : Attraction or None
        Chemotaxis; None for none.
    pathway : MvbPathway or None
        Pool of multivesicular bodies; None for release at the rate of the type without a pool.
    pools : tuple of CargoPool
        Kinetics of cargo in the cell.
    uptake_limit : float
        Highest value of the behavior ``uptake_rate``, um^3/s.
    may_donate : bool
        Whether responses, or bodies held from a former type, can cause release although there is none at
        rest.
    sharing : tuple of tuple of int
        Vesicle kinds that bind by the same receptors, a group for each receptor of several kinds.
    """

    name: str
    diameter: float
    secretion: SecretionMode
    releases: int | None
    release_rate: float
    ilvs_per_mvb: float
    uptake_rate: np.ndarray
    receptors: np.ndarray
    waste: WasteMetabolism | None = None
    becomes: int | None = None
    persistence: float = 0.0
    attraction: Attraction | None = None
    pathway: MvbPathway | None = None
    pools: tuple[CargoPool, ...] = ()
    uptake_limit: float = 0.0
    may_donate: bool = False
    sharing: tuple[tuple[int, ...], ...] = ()

    @property
    def donates(self) -> bool:
        """Whether cells of this type can release vesicles."""
        exports = self.waste is not None and self.waste.export_rate > 0
        exports = exports or any(pool.export > 0 for pool in self.pools)
        releases = self.releases is not None or self.pathway is not None
        holds = self.pathway is not None and bool(self.pathway.initial)
        return exports or holds or (releases and self.release_rate > 0) or self.may_donate

    def sends(self, kind: int) -> bool:
        """Whether cells of this type can release vesicles of a kind."""
        sorted_to = self.pathway.sorting if self.pathway is not None else ()
        carriers = {self.releases, *(pool.vesicle for pool in self.pools), *(k for k, _ in sorted_to)}
        if self.waste is not None:
            carriers.add(self.waste.vesicle)
        return kind in carriers

    def rivals(self, kind: int) -> tuple[int, ...]:
        """Other vesicle kinds that bind by the same receptors as this one."""
        return tuple(k for group in self.sharing if kind in group for k in group if k != kind)


@dataclass(frozen=True)
class Response:
    """Response of a behavior of a cell type to a signal s.

        value = (base + u maximum) / (1 + u),    u = (s / half_max)^hill

    with ``base`` at s = 0, half of the change at ``half_max``, and ``maximum`` at saturation. Several
    responses of one behavior are weighted by their u; those that raise it act first, then those that lower
    it.

    Attributes
    ----------
    cell_type : int
    signal : str
        Key of ``cells.responses.SIGNALS``.
    of : int
        Index of the cargo or vesicle kind of the signal; -1 for none.
    behavior : int
        Column of ``Cells.behavior``.
    raises : bool
    """

    cell_type: int
    signal: str
    of: int
    behavior: int
    raises: bool
    half_max: float
    hill: float
    maximum: float


class Block(StrEnum):
    """Step between donor and recipient that a silencing removes."""

    RELEASE = "release"
    UPTAKE = "uptake"
    DELIVERY = "delivery"
    RESPONSE = "response"


@dataclass(frozen=True)
class Chosen:
    """One cell by its birth id, or all cells of a type by its index; the other is -1."""

    cell: int = -1
    cell_type: int = -1


@dataclass(frozen=True)
class Silence:
    """A removed step of communication, from ``start`` (s) on; see ``cells.silencing_and_gifts``.

    ``donor`` and ``recipient`` are None where any cell is meant, ``kind`` is -1 for all vesicle kinds.
    """

    block: Block
    start: float
    donor: Chosen | None = None
    recipient: Chosen | None = None
    kind: int = -1


@dataclass(frozen=True)
class Gift:
    """Copies of a cargo that each chosen cell receives in the step that contains ``time`` (s)."""

    to: Chosen
    cargo: int
    copies: float
    time: float


@dataclass(frozen=True)
class Mechanics:
    """Repulsion of overlapping cells: overlap decays at ``relaxation`` (1/s)."""

    relaxation: float


def reachable(types: Sequence[CellType], start: set[int]) -> set[int]:
    """Indices of these types and of all types into which their cells can transform."""
    found, pending = set(), set(start)
    while pending:
        index = pending.pop()
        found.add(index)
        into = types[index].becomes
        if into is not None and into not in found:
            pending.add(into)
    return found
