"""What cells of a type have inside and what they do: declared once, the same through a run.

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
    """Whether a donor's fusions come at their mean or as a Poisson process."""

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
    """Multivesicular bodies (MVBs) form, meet their fate, and a share of them fuses with the membrane.

        dM/dt = k_form - k_fate M,    fusions = f_sec k_fate M,    vesicles = b per fusion

    ``formation`` = release rate / (f_sec b) at rest, so that a cell at rest releases what its type says.

    Attributes
    ----------
    secretory_fraction : float
        f_sec; the others end in lysosomes.
    fate_rate : float
        k_fate, 1/s.
    initial : float or None
        MVBs at the start; None for the steady number.
    sorting : tuple of (int, float)
        Vesicle kinds of the ILVs and their shares, which sum to 1.
    """

    secretory_fraction: float
    fate_rate: float
    initial: float | None
    sorting: tuple[tuple[int, float], ...]

    def formation(self, release_rate: float, ilvs_per_mvb: float) -> float:
        """MVBs formed per second by a cell that at rest releases at this rate."""
        if self.secretory_fraction == 0.0:
            return 0.0
        return release_rate / (self.secretory_fraction * ilvs_per_mvb)


@dataclass(frozen=True)
class WasteMetabolism:
    """dw/dt = production - lysosomal_rate w / (1 + w / saturation) - export_rate w + waste taken up.

    Rates in 1/s; ``saturation`` is the waste at which lysosomes work at half their greatest pace.
    ``vesicle`` is the kind that carries the exported waste out, ``copies`` the waste units in each.
    """

    production: float
    lysosomal_rate: float
    export_rate: float
    vesicle: int
    copies: float
    saturation: float = math.inf


class Sense(StrEnum):
    """How a cell knows where to go: by the gradient of a concentration, or by the vesicles it catches."""

    GRADIENT = "gradient"
    CAPTURES = "captures"


@dataclass(frozen=True)
class Attraction:
    """What a cell follows, and how it senses it.

    By ``gradient``, v = chi K grad c / (K + c)^2 with K = ``half_max`` in vesicles/um^3 and the behavior
    ``chemotaxis`` chi in um^2/s: the cell climbs the occupancy c/(K + c) of its receptors.
    By ``captures``, each vesicle caught adds the copies of cargo in it (1 if its kind carries none) to a
    polarity p, toward the side where it was caught; p fades over ``memory`` s, and
    v = chi |p|^hill / (K^hill + |p|^hill) p/|p|, with chi in um/s.
    """

    vesicle: int
    sense: Sense
    half_max: float
    hill: float = 1.0
    memory: float = 0.0


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
        Membrane uptake rate constant k_a per vesicle kind, um^3/s, shape (K,); 0 = not taken up. Where the
        behavior ``uptake_rate`` is in use it is the highest value that this behavior can have.
    receptors : numpy.ndarray
        Mean number R of receptors of a cell per kind, at that rate, shape (K,); inf = uptake is linear.
    becomes : int or None
        Type that a cell of this one is transformed into; None for a type that stays what it is.
    persistence : float
        Time in s over which random motion keeps its direction; 0 is Brownian motion.
    attraction : Attraction or None
        What cells of this type follow; None for a type that follows nothing.
    pathway : MvbPathway or None
        Multivesicular bodies as a pool; None for a type that releases at its rate without one.
    pools : tuple of CargoPool
        What it does with cargo that it holds.
    uptake_limit : float
        Highest value of the behavior ``uptake_rate``, um^3/s.
    may_donate : bool
        Whether responses, or bodies that its cells held as another type, can make it release vesicles
        although it releases none at rest.
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

    def rivals(self, kind: int) -> tuple[int, ...]:
        """Other vesicle kinds that bind by the same receptors as this one."""
        return tuple(k for group in self.sharing if kind in group for k in group if k != kind)


@dataclass(frozen=True)
class Response:
    """A behavior of a type of cell that follows a signal s.

        value = (base + u maximum) / (1 + u),    u = (s / half_max)^hill

    which is ``base`` without the signal, half way at ``half_max``, and ``maximum`` at the end. Several
    responses of one behavior share the way by their u; those that raise it act first, then those that
    lower it.

    Attributes
    ----------
    cell_type : int
    signal : str
        A word of ``cells.responses.SIGNALS``.
    of : int
        Which cargo or vesicle kind the signal is of; -1 for a signal that needs none.
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


@dataclass(frozen=True)
class Mechanics:
    """Cells that overlap push each other apart: their overlap fades at ``relaxation`` (1/s)."""

    relaxation: float


def reachable(types: Sequence[CellType], start: set[int]) -> set[int]:
    """These types and those that cells of them can turn into, by index."""
    found, pending = set(), set(start)
    while pending:
        index = pending.pop()
        found.add(index)
        into = types[index].becomes
        if into is not None and into not in found:
            pending.add(into)
    return found
