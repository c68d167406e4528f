"""Discretization of diffusion on the grid: explicit sub-steps, conductances, operator k - div(D grad).

Cubic voxels with the seven-point (in a slab five-point) flux between neighbors and the harmonic mean of their
diffusivities; no flux enters an obstacle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from exoabm.domain import Face
from exoabm.errors import InputError
from exoabm.kernels.medium import FIXED, NO_FLUX, PERIODIC

if TYPE_CHECKING:
    from exoabm.domain import Domain
    from exoabm.state import State

Floats = NDArray[np.floating]

COURANT = {2: 0.2, 3: 1 / 6}
"""D dt/dx^2 of a sub-step, by dimension: stable, and positive away from fixed faces."""
COURANT_FIXED = {2: 0.12, 3: 0.08}
"""The same where a face is held at a concentration, half a voxel away."""
MAX_DECAY = 0.02
"""Largest share of the free vesicles that may be cleared in one sub-step."""


def choose_courant(domain: Domain) -> float:
    """D h/dx^2 of the sub-steps h for the faces of a domain."""
    has_fixed = Face.FIXED in domain.faces[: 2 * domain.dim]
    return (COURANT_FIXED if has_fixed else COURANT)[domain.dim]


def hop_limit(domain: Domain) -> float:
    """Largest D h/dx^2 at which the probabilities of hops and clearance of a vesicle sum to at most one.

    A voxel has 2 dim ways out, and a fixed face, half a voxel away, counts twice.
    """
    fixed = [[face == Face.FIXED for face in domain.faces[2 * a : 2 * a + 2]] for a in range(domain.dim)]
    twice = sum(sum(pair) if n == 1 else any(pair) for pair, n in zip(fixed, domain.counts, strict=False))
    return (1 - MAX_DECAY) / (2 * domain.dim + twice)


def substep_rates(domain: Domain, courant: float, decay_rate: float) -> tuple[float, float]:
    """Sub-steps per second: D (free medium) times the first, but at least the second."""
    per_diffusivity = float(np.max(domain.hindrance)) / (courant * domain.voxel**2)
    return per_diffusivity, decay_rate / MAX_DECAY


def is_uniform(domain: Domain) -> bool:
    """Whether the medium is uniform: no obstacle, one hindrance."""
    return np.ndim(domain.hindrance) == 0 and domain.obstacle is None


def conductance(domain: Domain) -> tuple[np.ndarray, ...]:
    """Conductance of every face between voxels, relative to free medium.

    Between voxels of hindrance a and b it is the harmonic mean 2ab/(a+b); at a fixed face, half a voxel
    away, 2a; at an obstacle zero.

    Returns
    -------
    tuple of numpy.ndarray
        Along x, y (and z), each with one entry more along its own axis than the grid.
    """
    value = np.array(np.broadcast_to(domain.hindrance, domain.shape), dtype=np.float64)
    if domain.obstacle is not None:
        value[domain.obstacle] = 0.0
    result = []
    for axis in range(domain.dim):
        a = np.moveaxis(value, domain.dim - 1 - axis, -1)
        total = a[..., 1:] + a[..., :-1]
        inner = np.divide(2 * a[..., 1:] * a[..., :-1], total, out=np.zeros_like(total), where=total > 0)
        ends = []
        for side, edge, across in (
            (2 * axis, a[..., 0], a[..., -1]),
            (2 * axis + 1, a[..., -1], a[..., 0]),
        ):
            match domain.faces[side]:
                case Face.FIXED:
                    ends.append(2 * edge)
                case Face.PERIODIC:
                    both = edge + across
                    ends.append(np.divide(2 * edge * across, both, out=np.zeros_like(both), where=both > 0))
                case _:
                    ends.append(np.zeros_like(edge))
        g = np.concatenate([ends[0][..., None], inner, ends[1][..., None]], axis=-1)
        result.append(np.ascontiguousarray(np.moveaxis(g, -1, domain.dim - 1 - axis)))
    return tuple(result)


@dataclass(frozen=True, eq=False)
class LatticeOperator:
    """k - div(D grad) on a grid of cubic voxels.

    Attributes
    ----------
    shape : (ny, nx) or (nz, ny, nx)
        Voxels along each axis.
    voxel : float
        dx, um.
    decay : float
        k, 1/s.
    diffusivity : float or array of ``shape``
        D, um^2/s.
    faces : six of NO_FLUX = 0, PERIODIC = 1, FIXED = 2
        x_low, x_high, y_low, y_high, z_low, z_high; a fixed face is held at zero, so it absorbs.
        The last two are not read in two dimensions.
    obstacle : bool array of ``shape``, optional
        Voxels that nothing enters.
    """

    shape: tuple[int, ...]
    voxel: float
    decay: float
    diffusivity: float | Floats
    faces: tuple[int, ...] = (NO_FLUX,) * 6
    obstacle: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if len(self.shape) not in (2, 3) or min(self.shape) < 1:
            raise InputError(f"grid shape {self.shape}: must be (ny, nx) or (nz, ny, nx)")
        if not 0 < self.voxel < np.inf:
            raise InputError(f"voxel = {self.voxel} um: must be positive and finite")
        if not 0 <= self.decay < np.inf:
            raise InputError(f"decay = {self.decay} /s: must be finite and not negative")
        diffusivity = np.asarray(self.diffusivity)
        if not np.all((diffusivity >= 0) & np.isfinite(diffusivity)):
            raise InputError("diffusivity must be finite and not negative")
        for name, array in (("diffusivity", diffusivity), ("obstacle", self.obstacle)):
            if array is not None and np.ndim(array) and np.shape(array) != tuple(self.shape):
                raise InputError(f"{name} has shape {np.shape(array)}, the grid {self.shape}")
        if len(self.faces) != 6 or not set(self.faces) <= {NO_FLUX, PERIODIC, FIXED}:
            raise InputError(f"faces {self.faces}: six of 0 (no flux), 1 (periodic), 2 (fixed)")
        if any((low == PERIODIC) != (high == PERIODIC) for low, high in self.axes()):
            raise InputError("a periodic face needs its opposite to be periodic too")

    def axes(self) -> list[tuple[int, int]]:
        """Low and high face of each axis, in the order of ``shape``."""
        pairs = list(zip(self.faces[::2], self.faces[1::2], strict=True))
        return pairs[: len(self.shape)][::-1]

    @property
    def homogeneous(self) -> bool:
        """Whether the Green's function is a table: one D > 0, no obstacle, no fixed face."""
        d = np.asarray(self.diffusivity)
        return bool(
            d.min() == d.max() > 0
            and (self.obstacle is None or not np.any(self.obstacle))
            and all(FIXED not in pair for pair in self.axes())
        )

    def parts(self) -> tuple[sp.csc_array, Floats]:
        """Exchange between neighboring voxels and loss from each, 1/s, voxels in C order.

        The operator is diag(loss + sum of exchange) - exchange, with
        exchange = 2 D1 D2 / ((D1 + D2) dx^2), and 2 D / dx^2 added to the loss at a fixed face.
        """
        size = int(np.prod(self.shape))
        number = np.arange(size).reshape(self.shape)
        d = np.broadcast_to(np.asarray(self.diffusivity, np.float64), self.shape) / self.voxel**2
        if self.obstacle is not None:
            d = np.where(self.obstacle, 0.0, d)
        loss = np.full(self.shape, float(self.decay))
        exchange = sp.csc_array((size, size))
        for axis, (low, high) in enumerate(self.axes()):
            here = np.moveaxis(number, axis, 0)
            if low == PERIODIC and len(here) > 1:
                i, j = here.ravel(), np.roll(here, -1, axis=0).ravel()
            else:
                i, j = here[:-1].ravel(), here[1:].ravel()
            a, b = d.flat[i], d.flat[j]
            mean = np.divide(2 * a * b, a + b, out=np.zeros_like(a), where=a + b > 0)
            link = sp.coo_array((mean, (i, j)), shape=(size, size)).tocsc()
            exchange = exchange + link + link.T
            for code, end in ((low, 0), (high, -1)):
                if code == FIXED:
                    np.moveaxis(loss, axis, 0)[end] += 2 * np.moveaxis(d, axis, 0)[end]
        exchange.eliminate_zeros()
        return exchange, loss.ravel()


def operator_of(state: State, kind: int, diffusivity: float) -> LatticeOperator:
    """Diffusion and clearance of vesicles of a kind with one D in um^2/s, on the grid of a state."""
    domain = state.domain
    return LatticeOperator(
        shape=domain.shape,
        voxel=domain.voxel,
        decay=state.kinds[kind].decay_rate,
        diffusivity=diffusivity * domain.hindrance,
        faces=domain.faces,
        obstacle=domain.obstacle,
    )
