"""Extracellular vesicles (EVs): kinds, and tables of single vesicles.

"Exosome" denotes only vesicles that the model releases by fusion of a multivesicular body with the plasma
membrane; other names are vesicle or EV. Source: welsh2024 (MISEV2023).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from exoabm.domain import SIDES
from exoabm.errors import ResourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exoabm.cargo import Cargo


class DeliveryRoute(StrEnum):
    """Site at which cargo enters the cytosol: a hypothesis, since there is no consensus."""

    ENDOSOMAL_ESCAPE = "endosomal_escape"
    MEMBRANE_FUSION = "membrane_fusion"


SIZE_TOLERANCE = 0.005
"""Largest relative error of the means of D and of 1/D over the size classes of a kind."""
MOST_CLASSES = 8
"""Largest number of size classes of a kind; four suffice for a GSD of 3."""


def enough_classes(gsd: float) -> int:
    """Least number of size classes with the means of D and of 1/D within ``SIZE_TOLERANCE``."""
    sigma = math.log(gsd)
    for count in range(1, MOST_CLASSES):
        z, weight = normal_nodes(count)
        if abs(weight @ np.exp(sigma * z) / math.exp(0.5 * sigma**2) - 1) <= SIZE_TOLERANCE:
            return count
    return MOST_CLASSES


@cache
def normal_nodes(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Hermite nodes and weights for the mean over a standard normal z, each (count,), read-only.

    Rounded to 13 decimals, which makes them independent of the version of NumPy.
    """
    z, weight = np.polynomial.hermite_e.hermegauss(count)
    z, weight = np.round(z, 13), np.round(weight / math.sqrt(2 * math.pi), 13)
    z.flags.writeable = weight.flags.writeable = False
    return z, weight


OPENED = "opened to the cytosol"
"""What ``delivered`` counts of vesicles: their content reached the cytosol, be it with cargo or without."""


class Words(NamedTuple):
    """Words for particles of a kind: their name, what ``delivered`` counts of them, and their label."""

    name: str
    delivered: str
    label: str


PARTICLES = {
    None: Words("vesicles", OPENED, "cytosol"),
    "lnp": Words("lipid nanoparticles", OPENED, "cytosol"),
    "free_drug": Words("drug molecules", "reached their site of action", "site of action"),
    "soluble_factor": Words("free molecules", "were sensed", "sensed"),
}
"""Words for the particles of a kind, by its comparator."""
OF_SEVERAL = Words("particles", "were delivered", "delivered")
"""Words for particles of kinds that differ in theirs."""


def words_for(name: str) -> Words:
    """The words for particles of this name; those of several kinds for any other."""
    return next((words for words in PARTICLES.values() if words.name == name), OF_SEVERAL)


@dataclass(frozen=True)
class VesicleKind:
    """One kind of vesicle: motion in free medium, and rates of the uptake pathway.

    Attributes
    ----------
    name : str
    diameter, diameter_gsd : float
        Median in um and geometric standard deviation of the log-normal diameter.
    diffusivity : float
        Mean over the diameters in free medium, um^2/s; hindrance by tissue is a property of the domain.
    decay_rate : float
        Extracellular clearance, 1/s.
    unbinding_rate, internalization_rate : float
        Rates from the cell surface to the medium, and into an endosome, 1/s.
    processing_rate : float
        Rate from the endosome to the fate of the vesicle, 1/s.
    recycling_probability : float
        Share of the endosomal vesicles that are released again intact.
    delivery_probability : float
        Share of the vesicles taken up (and not recycled) whose cargo reaches the cytosol; the others are
        degraded in a lysosome. Uptake is not delivery.
    delivery_route : DeliveryRoute
    cargo : tuple of Cargo
    particles : str
        Name of the particles.
    size_classes : int
        Number of size classes, each with fields and uptake stencils of its own.
    """

    name: str
    diameter: float
    diameter_gsd: float
    diffusivity: float
    decay_rate: float
    unbinding_rate: float
    internalization_rate: float
    processing_rate: float
    recycling_probability: float
    delivery_probability: float
    delivery_route: DeliveryRoute
    cargo: tuple[Cargo, ...] = ()
    particles: str = "vesicles"
    size_classes: int = 1

    @property
    def shares(self) -> np.ndarray:
        """Share of the vesicles in each size class, sum 1, from large to small, (size_classes,)."""
        return normal_nodes(self.size_classes)[1]

    @cached_property
    def diffusivities(self) -> np.ndarray:
        """D in free medium of each size class, rising, um^2/s, (size_classes,).

            D_s = D exp(-sigma^2 / 2 + sigma z_s),    sigma = log GSD

        with the Gauss-Hermite nodes z_s; a single class has the mean D.
        """
        if self.size_classes == 1:
            return np.array([self.diffusivity])
        return self.diffusivity_of(np.exp(-math.log(self.diameter_gsd) * normal_nodes(self.size_classes)[0]))

    def diffusivity_of(self, size: np.ndarray) -> np.ndarray:
        """D in free medium of vesicles of ``size`` times the median diameter, um^2/s, shape (n,).

            D(s) = D exp(-sigma^2 / 2) / s,    sigma = log GSD

        Stokes-Einstein (Source: einstein1905); 1/s has the mean exp(sigma^2/2), so that D is the mean of the
        kind.
        """
        sigma = math.log(self.diameter_gsd)
        return np.asarray(self.diffusivity * math.exp(-0.5 * sigma**2) / size)

    @property
    def unbinding_probability(self) -> float:
        """k_off / (k_off + k_int): probability that a bound vesicle returns to the medium."""
        total = self.unbinding_rate + self.internalization_rate
        return self.unbinding_rate / total if total > 0 else 0.0

    @property
    def fusion_probability(self) -> float:
        """Share of the vesicles leaving the surface inward that fuse with the membrane of the cell."""
        fuses = self.delivery_route is DeliveryRoute.MEMBRANE_FUSION
        return self.delivery_probability if fuses else 0.0

    @property
    def endosomal_escape_probability(self) -> float:
        """Share of the processed, not recycled endosomal vesicles that open to the cytosol."""
        return 0.0 if self.fusion_probability else self.delivery_probability


def most_classes(kinds: Sequence[VesicleKind]) -> int:
    """Largest number of size classes of a kind."""
    return max(kind.size_classes for kind in kinds)


def cargo_names(kinds: Sequence[VesicleKind]) -> tuple[str, ...]:
    """Names of all cargo of all kinds, sorted."""
    return tuple(sorted({cargo.name for kind in kinds for cargo in kind.cargo}))


def copies_type(kinds: Sequence[VesicleKind]) -> np.dtype[Any]:
    """Smallest integer type for the copies in a vesicle, Poisson numbers up to 20 sigma."""
    most = max((cargo.copies for kind in kinds for cargo in kind.cargo), default=0.0)
    return np.min_scalar_type(max(int(most + 20 * math.sqrt(most)), 256))


class Status(IntEnum):
    """Place of a single vesicle.

    ``RETURNING`` left a cell in this step and is free from the next; ``GONE`` is removed at the end of the
    step.
    """

    FREE = 0
    BOUND = 1
    ENDOSOMAL = 2
    RETURNING = 3
    GONE = 4


NAMES_PER_DONOR = 10**9
"""Vesicles of one kind that one donor can name."""
KINDS = 100
"""Vesicle kinds that names tell apart."""
NON_CELL_ID = 92_000_000
"""Birth ids of cells are below it; sources that are not cells, faces and doses, are numbered from here on."""

DOSED = len(SIDES)
"""Number among those sources of what a dose brings; the faces come before it."""


def vesicle_names(source: np.ndarray | int, kind: int, number: np.ndarray) -> np.ndarray:
    """Names of vesicles, for ever and in every arm of a trial, shape (n,), int64.

        name = (source 10^2 + kind) 10^9 + number

    So the 5,633rd vesicle of kind 0 that the cell born as number 4 releases is 400000005632, whatever other
    cells release and however many of other kinds this one does. Draws are keyed by these names; tables have
    shorter ones, see ``vesicle_ids``.

    Parameters
    ----------
    source : int or numpy.ndarray, shape (n,)
        Birth id of the donor cell; ``NON_CELL_ID`` + side of the reservoir at a face, + ``DOSED`` of doses.
    kind : int
        Vesicle kind.
    number : numpy.ndarray, shape (n,)
        How many of this kind the source sent before.

    Raises
    ------
    ResourceError
        If there are more donors, kinds or vesicles of a donor than names.
    """
    number, source = np.asarray(number, np.int64), np.asarray(source, np.int64)
    beyond = NON_CELL_ID + DOSED + 1
    if len(number) and (kind >= KINDS or number.max() >= NAMES_PER_DONOR or source.max() >= beyond):
        raise ResourceError(
            f"vesicles can be named of {NON_CELL_ID:,} cells ever born, {KINDS} kinds and "
            f"{NAMES_PER_DONOR:,} vesicles of each; this run needs more"
        )
    if len(number) and number.max() >= ROOM_OF_ALL:
        room = 1 << (PLACE_BITS - _bits(_place(source, kind)))
        if (number >= room).any():
            worst = int(np.argmax(np.broadcast_to(number >= room, number.shape)))
            born, most = (int(np.broadcast_to(a, number.shape)[worst]) for a in (source, room))
            raise ResourceError(
                f"of the cell with the birth id {born:,} tables can name {most:,} vesicles of a kind, "
                "and this run needs more; lower its release rate, or let fewer cells be born"
            )
    return (source * KINDS + kind) * NAMES_PER_DONOR + number


ID_BITS = 53
"""Whole numbers of so many bits are exact in floating point, as JSON, R and JavaScript read them."""
LENGTH_BITS = 6
"""Of these tell how many bits the place of donor and kind takes; the donor's own count has the rest."""
PLACE_BITS = ID_BITS - LENGTH_BITS + 1
ROOM_OF_ALL = 1 << 14
"""Vesicles of a kind that tables can name of any donor at all; of the first million cells 2 million each."""


def vesicle_ids(name: np.ndarray) -> np.ndarray:
    """Names of vesicles as tables have them, below 2^53 and one to one with ``vesicle_names``, (n,), int64.

        place = (7 + donor) 10^2 + kind + 1,    L = bits of the place,
        id = L 2^47 + (place - 2^(L - 1)) 2^(48 - L) + number

    For what no cell released the place is that of face 0 to 5, or 6 for doses, instead of 7 + donor. As the
    names themselves, ids say nothing of what other cells do.
    """
    rest = name // NAMES_PER_DONOR
    source = rest // KINDS
    place = _place(source, rest - source * KINDS)
    bits = _bits(place)
    high = bits << (PLACE_BITS - 1)
    number = name - rest * NAMES_PER_DONOR
    return np.asarray(high + ((place - (1 << (bits - 1))) << (PLACE_BITS - bits)) + number)


def vesicle_numbers(name: np.ndarray) -> np.ndarray:
    """How many of their kind the sources of vesicles had sent before each, from their names, (n,), int64."""
    return np.asarray(name % NAMES_PER_DONOR)


def _place(source: np.ndarray, kind: np.ndarray | int) -> np.ndarray:
    """Donor and kind as one number from 1 on, small for what no cell released."""
    row = np.where(source >= NON_CELL_ID, source - NON_CELL_ID, source + DOSED + 1)
    return np.asarray(row * KINDS + kind + 1)


def _bits(number: np.ndarray) -> np.ndarray:
    """Bits of whole numbers from 1 to 2^53."""
    return np.frexp(number.astype(float))[1].astype(np.int64)


class Vesicles:
    """Single vesicles as a structure of arrays; the first ``count`` rows are present.

    Attributes
    ----------
    id : int64
        See ``vesicle_names``: donor, kind and the donor's own count; the vesicle's random key.
    x, y, z : float32
        Position in um; that of the last event for a vesicle on or in a cell.
    diffusivity : float32
        In free medium, um^2/s; by its diameter, see ``VesicleKind.diffusivity_of``.
    due : float64
        Model time in s at which it leaves the surface or the endosome; infinite elsewhere.
    start : float32
        Time within the current step at which it enters the medium.
    donor, host : int32
        Birth id of the donor cell (-1: reservoir); row of the cell it is on or in (-1).
    kind, status, label, hops : int8, int8, int16, int16
        Vesicle kind, ``Status``, label of the origin, and times it was recycled.
    most : float
        Vesicles that there is room for at a time.
    copies : uint16, shape (n, C)
        uint32 where a kind carries so many; see ``copies_type``.
        Copies of each cargo, in the order of ``cargo_names``.
    """

    COLUMNS: ClassVar = {
        "id": np.int64,
        "x": np.float32,
        "y": np.float32,
        "z": np.float32,
        "diffusivity": np.float32,
        "due": np.float64,
        "start": np.float32,
        "donor": np.int32,
        "host": np.int32,
        "kind": np.int8,
        "status": np.int8,
        "label": np.int16,
        "hops": np.int16,
    }

    def __init__(self, cargos: int, copies: np.dtype[Any] | type = np.uint16, most: float = math.inf) -> None:
        self.count, self.most = 0, most
        self._arrays = {name: np.empty(0, dtype) for name, dtype in self.COLUMNS.items()}
        self._arrays["copies"] = np.empty((0, cargos), copies)

    def __len__(self) -> int:
        return self.count

    def __getattr__(self, name: str) -> np.ndarray:
        arrays = self.__dict__.get("_arrays", {})
        if name not in arrays:
            raise AttributeError(name)
        column: np.ndarray = arrays[name][: self.count]
        return column

    def check_room(self, more: float) -> None:
        """Check the number of new vesicles before memory is allocated.

        Raises
        ------
        ResourceError
            If there would be more than ``most``.
        """
        if self.count + more > self.most:
            raise ResourceError(
                f"{self.count + more:,.0f} vesicles would be alive; this run follows up to {self.most:,.0f}. "
                "Use the field, lower release rates or doses, or shorter steps"
            )

    @property
    def bytes_held(self) -> int:
        """Memory of all rows and of the reserved capacity, bytes."""
        return sum(a.nbytes for a in self._arrays.values())

    def rows(self, *status: Status) -> np.ndarray:
        """Rows of all vesicles of a status, in order."""
        found = self.status == status[0]
        for other in status[1:]:
            found |= self.status == other
        return np.flatnonzero(found)

    def append(self, **columns: Any) -> np.ndarray:
        """Append vesicles given by all columns (an array, or one value for all); returns their rows."""
        n = len(columns["id"])
        start, end = self.count, self.count + n
        if end > len(self._arrays["id"]):
            held = len(self._arrays["id"])
            capacity = max(1024, held + held // 5, end)
            for name, old in self._arrays.items():
                new = np.empty((capacity, *old.shape[1:]), old.dtype)
                new[:start] = old[:start]
                self._arrays[name] = new
        for name, array in self._arrays.items():
            array[start:end] = columns[name]
        self.count = end
        return np.arange(start, end)

    def take(self, rows: np.ndarray, names: Sequence[str] | None = None) -> Vesicles:
        """A table of its own of these rows, side by side; with all columns, or those of these names."""
        part = Vesicles(0)
        part.count = len(rows)
        part._arrays = {
            name: self._arrays[name].take(rows, axis=0, mode="clip") for name in names or self._arrays
        }
        return part

    def put(self, rows: np.ndarray, part: Vesicles, names: Sequence[str]) -> None:
        """Write columns of a table that was taken from these rows."""
        for name in names:
            self._arrays[name][rows] = part._arrays[name]

    def remove(self, rows: np.ndarray) -> None:
        """Remove rows (in rising order); gaps are filled from the end, in a fixed order."""
        if not len(rows):
            return
        keep = self.count - len(rows)
        holes = rows[rows < keep]
        gone = np.zeros(self.count - keep, bool)
        gone[rows[rows >= keep] - keep] = True
        movers = keep + np.flatnonzero(~gone)
        for array in self._arrays.values():
            array[holes] = array[movers]
        self.count = keep

    def columns(self) -> dict[str, np.ndarray]:
        """Every column of the present rows, by name."""
        return {name: array[: self.count] for name, array in self._arrays.items()}
