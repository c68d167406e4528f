r"""Uptake stencil: discretization of a spherical cell on the grid with a rate independent of the spacing.

A sphere of radius a with the membrane rate constant k_a takes up, in still medium, at

    1 / k_eff = 1 / k_a + 1 / (4 pi D a)

per unit of far concentration (Source: collins1949); a disc through a slab of thickness h at 1 / k_eff = 1 /
k_a + ln(r / a) / (2 pi D h) per unit of concentration at the distance r. On the lattice the cell removes
kappa w_v c_v from each voxel v of its *stencil*, and the lattice adds its own resistance, G(0) / (D dx) for a
single voxel. kappa is solved such that the sum of both is right, and the voxels of release are chosen such
that recapture is right.

*Uptake.* With c = 1 - sum_v' G(v - v') kappa w_v' c_v' / T on the stencil, kappa is the root of
kappa sum_v w_v c_v = k_eff. The stencil is the smallest lattice ball, uniformly weighted, for which
0 < kappa <= 2 k_a: the resistance of the lattice then replaces at most half of that of the membrane. A single
voxel has the closed form

    1 / kappa = 1 / k_a + 1 / (4 pi D a) - 0.252731 / (D dx)              (3-D)
    1 / kappa = 1 / k_a - ln(a / (0.1985 dx)) / (2 pi D h)                (slab)

*Release.* Vesicles leave at the membrane, where c = k_eff / k_a of the far value; by reciprocity a vesicle
released where the lattice has that concentration is recaptured with the true probability k_a / (k_a + 4 pi D
a). Vesicles are placed on the two neighboring shells of the lattice between which the concentration passes
that value, in the proportion that attains it, or at the center where the lattice is too coarse. In terms of
the potential of a unit flux into the stencil the condition reads d = 1 / (4 pi D a), which holds for k_a = 0
too.

*Units.* Lattice units: lengths in dx, rates in the transmissibility T = D dx (3-D) or D h (slab), in which
both dimensions obey one equation. The three-dimensional Green's function G vanishes at infinity; the slab
takes G = K - A, with A the potential kernel, which vanishes at the distance ``FAR`` and whose value cancels
in every result.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ive

from exoabm.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MAX_RADIUS = 18.0
"""Largest cell radius in voxels; on a finer lattice a ball has beyond 24,000 sites."""

DIGITS = 10
"""Digits kept of results of linear algebra; the last four depend on library and processor."""

PRECISION = 1e-14
"""Relative change at which the resistance of a ball is found."""
MOST_STEPS = 50
"""Steps of Newton's method at most; one to eight are needed."""

FAR = 1.0e4
_REACHES = (4, 8, 12, 20)


@dataclass(frozen=True, eq=False)
class UptakeStencil:
    """Uptake and release of a cell on the lattice.

    The cell removes ``kappa * uptake_weight[v] * c[v]`` vesicles per second from voxel v, and
    puts the fraction ``release_weight[p]`` of what it releases into voxel p.

    Attributes
    ----------
    offsets : (m, 3) int
        Voxels of uptake relative to the cell's own, columns x, y, z (z = 0 in a slab).
    uptake_weight : (m,) float
        Shares of kappa, sum 1.
    kappa : float
        Rate constant on the lattice, um^3/s.
    beta : float
        k_a / kappa: the mean concentration on the stencil over that at the true membrane;
        1 for a cell without uptake, infinite for a perfect absorber.
    release_offsets, release_weight : (p, 3) int, (p,) float
        Voxels of release and their shares, sum 1.
    """

    offsets: Ints
    uptake_weight: Floats
    kappa: float
    beta: float
    release_offsets: Ints
    release_weight: Floats
    level: int
    """Shells of the lattice ball that takes up, the first being 0."""


@lru_cache(maxsize=4096)
def solve_stencil(
    *,
    dim: int,
    radius: float,
    uptake_rate: float,
    diffusivity: float,
    voxel: float,
    thickness: float | None = None,
    ball_of: float | None = None,
    least: int = 0,
) -> UptakeStencil:
    """Solve for the stencil with the far-field rate 1/k_eff = 1/k_a + 1/(4 pi D a); see the module.

    Parameters
    ----------
    dim : int
        3, or 2 for a slab that the cell spans as a disc.
    radius : float
        a, um; at most ``MAX_RADIUS`` voxels, which is checked where a scenario is built.
    uptake_rate : float
        k_a, um^3/s; 0 for no uptake, infinite for a perfect absorber.
    diffusivity : float
        D, um^2/s.
    voxel : float
        Lattice spacing dx, um.
    thickness : float, optional
        Slab thickness h, um; needed for ``dim=2`` only.
    ball_of : float, optional
        The least D that is to have the same ball, um^2/s; ``diffusivity`` itself if not given.
    least : int
        Least number of shells of the ball, minus one.

    Returns
    -------
    UptakeStencil
        Shared between calls with the same arguments; its arrays are read-only.

    Raises
    ------
    InputError
        An argument is out of range.
    """
    conduct = transmissibility(dim, diffusivity, voxel, thickness)
    _check(radius, uptake_rate)
    lattice, surface = lattice_around(dim, radius / voxel), continuum_potential(dim, radius / voxel)
    membrane = conduct / uptake_rate if uptake_rate > 0 else np.inf
    slowest = membrane * (1.0 if ball_of is None else ball_of / diffusivity)
    level, resistance, flux = _solve_uptake(lattice, surface, membrane, slowest, least)
    kappa = rounded(conduct / resistance)
    voxels = lattice.voxels(0, level)
    release_offsets, release_weight = _release(lattice, surface, level, flux)
    return UptakeStencil(
        offsets=voxels,
        uptake_weight=_read_only(np.full(len(voxels), 1 / len(voxels))),
        kappa=kappa,
        beta=uptake_rate / kappa if kappa else 1.0,
        release_offsets=release_offsets,
        release_weight=release_weight,
        level=level,
    )


def _check(radius: float, uptake_rate: float) -> None:
    if not (0 < radius < np.inf):
        raise InputError(f"cell radius = {radius} um: must be positive and finite")
    if not uptake_rate >= 0:
        raise InputError(f"uptake rate = {uptake_rate} um^3/s: must not be negative")


def _solve_uptake(
    lattice: Lattice, surface: float, membrane: float, slowest: float, least: int
) -> tuple[int, float, Floats]:
    """Shells of the ball, T / kappa, and share of the flux that each orbit takes.

    ``surface`` is the potential at the membrane, ``membrane`` is T / k_a, ``slowest`` the same at the least
    D.
    """
    if np.isinf(membrane):
        count = lattice.count[: lattice.first[least + 1]]
        return least, np.inf, count / count.sum()
    rate = 1.0 / (membrane + surface)
    # Bisection is valid: the rate rises with the radius of the ball at constant kappa.
    level = bisect_left(
        range(lattice.levels),
        True,
        lo=least,
        key=lambda n: bool(lattice.ball(n).rate(slowest / 2) > 1 / (slowest + surface)),
    )
    ball = lattice.ball(level)
    resistance = ball.resistance(rate, start=membrane / 2)
    return level, resistance, ball.flux(resistance)


def _release(lattice: Lattice, surface: float, level: int, flux: Floats) -> tuple[Ints, Floats]:
    """Offsets and weights of release: the two shells between which the potential passes ``surface``."""
    inside = lattice.first[level + 1]
    potential = lattice.green[:, :inside] @ (flux / lattice.count[:inside])
    shell = np.add.reduceat(lattice.count * potential, lattice.first[:-1])
    shell /= np.add.reduceat(lattice.count, lattice.first[:-1])
    outer = int(np.argmax(shell <= surface))  # the mean potential of a shell falls outward
    inner = max(outer - 1, 0)
    share = rounded((shell[inner] - surface) / (shell[inner] - shell[outer])) if outer else 1.0
    rings = [(lattice.voxels(n, n), part) for n, part in ((inner, 1 - share), (outer, share)) if part > 0]
    weight = np.concatenate([np.full(len(ring), part / len(ring)) for ring, part in rings])
    return _read_only(np.concatenate([ring for ring, _ in rings])), _read_only(weight)


@cache
def lattice_green(dim: int, size: int) -> Floats:
    r"""Green's function of the infinite cubic or square lattice, -Laplacian G = delta.

        3-D:  G(n) = int_0^inf E_x(t) E_y(t) E_z(t) dt,   E_i(t) = exp(-2 t) I_{n_i}(2 t)
        2-D:  G(n) = K - int_0^inf [E_0(t)^2 - E_x(t) E_y(t)] dt

    with K such that the 2-D function passes zero, in its asymptotic form
    -(ln|n| + gamma + ln(8)/2) / (2 pi), at |n| = 1e4. The substitution t = exp(s) makes the
    trapezoidal rule converge exponentially; absolute error about 1e-15.

    Returns
    -------
    (size + 1, size + 1, size + 1 or 1) float
        Indexed by |n_x|, |n_y|, |n_z|; G(0) = 0.2527310098586630 in 3-D (Watson 1939).
    """
    step = 0.2
    t = np.exp(np.arange(-42.0, 80.0, step))
    kernel = np.stack([_scaled_bessel(n, 2 * t) for n in range(size + 1)])
    plane = kernel[:, None] * kernel[None]
    if dim == 3:
        return _read_only((plane * (step * t)) @ kernel.T)
    far = (np.log(FAR) + np.euler_gamma + np.log(8) / 2) / (2 * np.pi)
    return _read_only((far - (plane[0, 0] - plane) @ (step * t))[..., None])


def _scaled_bessel(order: int, z: Floats) -> Floats:
    """exp(-z) I_n(z); by Hankel's series beyond 3e4, where the library's routine loses digits."""
    wide = np.maximum(z, 3e4)
    term = np.ones_like(z)
    series = np.ones_like(z)
    for k in range(1, 12):
        term = term * ((2 * k - 1) ** 2 - 4 * order**2) / (8 * k * wide)
        series += term
    return np.where(z < 3e4, ive(order, np.minimum(z, 3e4)), series / np.sqrt(2 * np.pi * wide))


def continuum_potential(dim: int, radius: float) -> float:
    """Potential of a unit flux at the membrane, 1/(4 pi a) or ln(far/a)/(2 pi), lattice units."""
    return 1 / (4 * np.pi * radius) if dim == 3 else float(np.log(FAR / radius) / (2 * np.pi))


def transmissibility(dim: int, diffusivity: float, voxel: float, thickness: float | None) -> float:
    """T = D dx in three dimensions, D h in a slab, um^3/s."""
    if dim not in (2, 3):
        raise InputError(f"dim = {dim}: must be 2 or 3")
    width = voxel if dim == 3 else thickness
    if width is None:
        raise InputError("a two-dimensional lattice must declare the thickness of its slab")
    for name, value in (("voxel", voxel), ("thickness", width), ("diffusivity", diffusivity)):
        if not (0 < value < np.inf):
            raise InputError(f"{name} = {value}: must be positive and finite")
    return diffusivity * width


class _Ball(NamedTuple):
    """Modes of the symmetric system I/alpha + W^1/2 G W^1/2 of a uniformly weighted ball."""

    value: Floats
    vector: Floats
    source: Floats

    def rate(self, resistance: float) -> float:
        """Flux per unit far concentration, sum_i b_i^2 / (y + lambda_i), y = T / kappa."""
        return float(np.sum(self.source**2 / (resistance + self.value)))

    def resistance(self, rate: float, *, start: float) -> float:
        """The y of a rate, by Newton's method on 1 / rate, which rises and is concave in y.

        From any ``start`` below it, y rises to the root; a single mode is solved in one step.
        """
        y = start
        for _ in range(MOST_STEPS):
            now, fall = self.rate(y), float(np.sum((self.source / (y + self.value)) ** 2))
            before, y = y, y + (now / rate - 1.0) * now / fall
            if y - before <= PRECISION * y:
                break
        return y

    def flux(self, resistance: float) -> Floats:
        """Share of the flux that each orbit takes, sum 1."""
        weight = self.vector @ self.source
        share = weight * (self.vector @ (self.source / (resistance + self.value)))
        return np.asarray(share / share.sum())


@dataclass(frozen=True, eq=False)
class Lattice:
    """Sites around a cell, grouped into orbits of the lattice's symmetries and shells of radius.

    On an orbit every symmetric quantity is constant, which shrinks the systems some forty-fold.
    """

    sites: Ints  # (n, 3), sorted by orbit
    count: Ints  # (orbits,) sites in each
    first: Ints  # (levels + 1,) first orbit of each shell
    green: Floats  # (orbits, orbits) sum of G from one site of the row to all sites of the column

    @property
    def levels(self) -> int:
        """Shells."""
        return len(self.first) - 1

    def size(self, level: int) -> int:
        """Sites of the ball out to a shell."""
        return int(self.count[: self.first[level + 1]].sum())

    def voxels(self, inner: int, outer: int) -> Ints:
        """Sites of the shells from inner to outer, both included."""
        ends = np.concatenate([[0], np.cumsum(self.count)])
        return self.sites[ends[self.first[inner]] : ends[self.first[outer + 1]]]

    @cache  # noqa: B019 - the lattices themselves are cached for good, four for each dimension
    def ball(self, level: int) -> _Ball:
        """Modes of the ball out to a shell."""
        n = self.first[level + 1]
        root = np.sqrt(self.count[:n] / self.count[:n].sum())
        value, vector = np.linalg.eigh(self.green[:n, :n] / self.count[:n] * root[:, None] * root[None])
        return _Ball(value, vector, vector.T @ root)


def lattice_around(dim: int, radius: float) -> Lattice:
    """The sites around a cell of a radius in voxels."""
    return _lattice(dim, next(r for r in _REACHES if r >= radius + 2))


@cache
def _lattice(dim: int, reach: int) -> Lattice:
    axis = np.arange(-reach, reach + 1)
    grid = np.meshgrid(axis, axis, axis if dim == 3 else [0], indexing="ij")
    sites = np.stack([g.ravel() for g in grid], axis=1)
    sites = sites[(sites**2).sum(axis=1) <= reach**2]
    orbit = np.sort(np.abs(sites), axis=1)[:, ::-1]
    square = (sites**2).sum(axis=1)
    key = np.column_stack([square, orbit])
    rows, member, count = np.unique(key, axis=0, return_inverse=True, return_counts=True)
    sites = sites[np.argsort(member.ravel(), kind="stable")]
    start = np.concatenate([[0], np.cumsum(count)[:-1]])
    table = lattice_green(dim, 2 * reach)
    green = np.stack([np.add.reduceat(table[tuple(np.abs(site - sites).T)], start) for site in sites[start]])
    first = np.append(np.flatnonzero(np.diff(rows[:, 0], prepend=-1)), len(rows))
    return Lattice(_read_only(sites), _read_only(count), _read_only(first), _read_only(green))


def rounded(value: float) -> float:
    """A number to ``DIGITS`` digits, independent of the version of LAPACK."""
    return float(f"{value:.{DIGITS - 1}e}")


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array
