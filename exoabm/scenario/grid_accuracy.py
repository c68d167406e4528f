"""Error of a grid for cells that are close together, estimated before a run.

The stationary concentration around a donor and the recipients near it is computed twice: on the unbounded
lattice, with the stencils of the engines, and in space, with spheres (or discs) that emit and take up evenly,

    c_i = sum_j g_ij (e_j - q_j),    q_i = k_i c_i,    g_ij = exp(-(d_ij - a_j)/L) / (4 pi D d_ij (1 + a_j/L))

with e_j the release rate, d_ii = a_i and L = sqrt(D / k), at most the domain's length. In a slab of thickness
h g_ij is K0(d_ij/L) / (2 pi D h x K1(x)), x = a_j/L. The shares of the released vesicles that each type of
cell captures are compared.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import ive, k0, k1

from exoabm.domain import Face
from exoabm.kernels import line_of_sight
from exoabm.scenario.layouts import neighbors
from exoabm.transport.boundary_resistance import inside, open_boundary
from exoabm.transport.membrane_geometry import REACH
from exoabm.transport.uptake_stencil import solve_stencil

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exoabm.cell_type import CellType
    from exoabm.domain import Domain
    from exoabm.scenario.schema import Transport
    from exoabm.vesicle import VesicleKind

TOLERANCE = 0.03
"""Largest relative error of captured shares without a warning."""
LEAST_SHARE = 0.1
"""Types with a smaller share of all captures are ignored."""
MOST_DONORS, AROUND = 64, 6
"""Number of donors, evenly chosen, and of their nearest recipients that are computed."""
NEAR = 4.0
"""Distance in voxels beyond which the grid resolves cells; with fast decay, ``FAR``."""
FAR = 16.0
DECAYS = 0.2
"""Voxel relative to the decay length beyond which decay is poorly resolved."""
FINER = (0.75, 0.5, 1 / 3, 0.25, 1 / 6)
"""Smaller voxels, relative to the given one, that are tried where it is too coarse."""
CLOSE = 1.25
"""Distance of centers, in diameters, below which cells at an open face are reported."""
MOST_SITES = 500
"""Largest number of stencil voxels around a donor; with more of them the grid resolves the cells."""


class Shares(NamedTuple):
    """Share of the vesicles of a donor that cells of a type capture: on the grid, and in space."""

    taker: str
    grid: float
    space: float

    @property
    def error(self) -> float:
        """Relative error of the grid."""
        return self.grid / self.space - 1


def grid_warnings(
    transport: Transport,
    domain: Domain,
    kinds: Sequence[VesicleKind],
    types: tuple[CellType, ...],
    type_index: np.ndarray,
    position: np.ndarray,
) -> list[str]:
    """Warnings of voxels too coarse for the cells in them, and of an unused ``transport.courant``."""
    if transport.at_membranes:
        unused = "transport.courant is not used: with capture = 'membrane' the steps of vesicles are adaptive"
        return [] if transport.courant is None else [unused]
    warnings = open_face_warnings(domain, types, type_index, position)
    worst, vesicle = None, 0
    for kind in range(len(kinds)):
        found = captured_shares(domain, kind, kinds[kind], types, type_index, position)
        if found is not None and (worst is None or abs(found.error) > abs(worst.error)):
            worst, vesicle = found, kind
    if worst is None or abs(worst.error) <= TOLERANCE:
        return warnings
    warning = (
        f"domain.voxel = {domain.voxel:g} um is too coarse for cells in the same or adjacent voxels: of the "
        f"{kinds[vesicle].name} of a donor, {worst.taker} cells around it capture {worst.grid:.3g} "
        f"on the grid, {worst.space:.3g} in space ({100 * worst.error:+.0f} %)"
    )
    for factor in FINER:
        voxel = factor * domain.voxel
        found = captured_shares(domain, vesicle, kinds[vesicle], types, type_index, position, voxel)
        if found is None or abs(found.error) <= TOLERANCE:
            left = "" if found is None else f" ({100 * found.error:+.1f} %)"
            return [*warnings, f"{warning}. Voxels of {voxel:.2g} um are small enough{left}"]
    least = FINER[-1] * domain.voxel
    return [
        *warnings,
        f"{warning}. Smaller voxels reduce this error, but those of {least:.2g} um are still too large",
    ]


def open_face_warnings(
    domain: Domain, types: Sequence[CellType], type_index: np.ndarray, position: np.ndarray
) -> list[str]:
    """Warnings of cells close to each other at an open face.

    The correction of uptake at an open face holds for a single cell; among neighbors it is too large.
    """
    radius = np.array([t.diameter / 2 for t in types])[type_index]
    takes = np.array([bool(np.any(t.uptake_rate > 0)) for t in types])[type_index]
    far = (position - domain.low) / radius[:, None], (domain.low + domain.extent - position) / radius[:, None]
    gap = np.stack(far, axis=2).reshape(len(position), 6)
    zero = [f == Face.FIXED and not c for f, c in zip(domain.faces, domain.face_concentration, strict=True)]
    is_open = np.array(zero) & (np.arange(6) < 2 * domain.dim)
    gap[:, ~is_open] = np.inf
    beside = np.flatnonzero(takes & (gap.min(axis=1, initial=np.inf) < REACH[domain.dim]))
    if len(beside) < 2:
        return []
    tree = neighbors(position, domain.period)
    apart = np.asarray(tree.query(tree.data[beside], k=2)[0])[:, 1]
    crowded = beside[apart < CLOSE * 2 * radius[beside]]
    if not len(crowded):
        return []
    i = crowded[np.argmin(gap[crowded].min(axis=1))]
    t = float(gap[i].min())
    alone = [t, *[np.inf] * 5]
    there = line_of_sight.sphere_directions(domain.dim)
    there = there[inside(there, alone)]
    opening = open_boundary(domain.dim, alone, [-1, 0, 0, 0, 0, 0])
    more = (
        opening.mean
        / (len(there) / len(line_of_sight.sphere_directions(domain.dim)))
        / (t + there[:, 0].mean())
        - 1
    )
    if more <= TOLERANCE:
        return []
    return [
        (
            f"{len(crowded)} cells are close together at an open face of the domain. The concentration at a "
            f"single cell there is up to {100 * more:.0f} % above that of the medium, which is assumed for "
            f"these too; among neighbors it is less. Faces {REACH[domain.dim]:.0f} radii from all cells have "
            "no effect"
        )
    ]


def cut_warnings(domain: Domain, types: Sequence[CellType], type_index: np.ndarray) -> list[str]:
    """Warnings of cells that are larger than the domain between two faces, of which only a part takes up."""
    found = []
    for axis in range(domain.dim):
        extent = float(domain.extent[axis])
        ends = domain.faces[2 * axis : 2 * axis + 2]
        cut = [
            types[i]
            for i in np.unique(type_index)
            if types[i].diameter > extent and types[i].uptake_rate.any()
        ]
        if not cut or Face.PERIODIC in ends:
            continue
        widest = max(cut, key=lambda each: each.diameter)
        share = extent / widest.diameter
        if domain.dim == 2:
            share = 2 / math.pi * math.asin(share)
        text = (
            f"the domain is {extent:g} um long along {'xyz'[axis]}, less than the diameter of {widest.name} "
            f"cells, {widest.diameter:g} um: at most {100 * share:.0f} % of their membranes "
            "is inside and takes up"
        )
        if domain.dim == 3:
            text += f". A slab (2 lengths in domain.size, domain.thickness = '{extent:g} um') has whole cells"
        found.append(text)
    return found


def captured_shares(
    domain: Domain,
    kind: int,
    vesicle: VesicleKind,
    types: Sequence[CellType],
    type_index: np.ndarray,
    position: np.ndarray,
    voxel: float | None = None,
) -> Shares | None:
    """Captures of the nearest cells of a type, the mean over donors, for the type with the largest error.

    None where a grid of this voxel resolves the cells. The cells considered near depend on the domain's own
    voxel.

    Parameters
    ----------
    domain, kind, vesicle, types
    type_index, position
        (n) and (n, 3) um.
    voxel
        um; by default that of the domain.
    """
    coarse = domain.voxel
    voxel = coarse if voxel is None else voxel
    takes = np.array([t.uptake_rate[kind] > 0 for t in types])[type_index]
    donates = np.array([t.donates for t in types])[type_index]
    donors, takers = np.flatnonzero(donates), np.flatnonzero(takes)
    if not len(donors) or not len(takers):
        return None
    donors = donors[np.linspace(0, len(donors) - 1, min(MOST_DONORS, len(donors))).astype(int)]
    tree = neighbors(position[takers], domain.period)
    count = min(AROUND + 1, len(takers))
    distance, near = tree.query(neighbors(position[donors], domain.period).data, k=np.arange(1, count + 1))
    near = takers[near]
    voxels = domain.flat(domain.voxel_of(position[donors]))
    local = np.broadcast_to(domain.hindrance, domain.shape).ravel()[voxels]
    shares = np.zeros((2, len(types)))
    for donor, theta, apart, others in zip(donors, local, np.asarray(distance), near, strict=True):
        diffusivity = vesicle.diffusivity * float(theta)
        length = math.sqrt(diffusivity / vesicle.decay_rate) if vesicle.decay_rate > 0 else np.inf
        length = min(length, float(np.max(domain.extent[: domain.dim])))
        reach = (FAR if coarse > DECAYS * length else NEAR) * coarse
        others = others[(others != donor) & (apart < reach)][:AROUND]
        if not len(others) or diffusivity <= 0:
            continue
        cells = np.concatenate([[donor], others])
        rates = [float(types[type_index[i]].uptake_rate[kind]) for i in cells]
        radii = [types[type_index[i]].diameter / 2 for i in cells]
        found = _shares_around(domain, position[cells], radii, rates, diffusivity, voxel, length)
        if found is not None:
            np.add.at(shares.T, type_index[cells], found / len(donors))
    grid, space = shares
    relevant = np.flatnonzero(space > LEAST_SHARE * space.sum()).tolist()
    candidates = [Shares(types[i].name, float(grid[i]), float(space[i])) for i in relevant]
    return max(candidates, key=lambda each: abs(each.error), default=None)


def _shares_around(
    domain: Domain,
    position: np.ndarray,
    radii: Sequence[float],
    rates: Sequence[float],
    diffusivity: float,
    voxel: float,
    length: float,
) -> np.ndarray | None:
    """Shares captured by each cell on the grid and in space, (n, 2); None if the grid resolves the cells.

    The first of the positions (n, 3) is that of the donor.
    """
    away = position - position[0]
    period = np.where(domain.period > 0, domain.period, np.inf)
    away -= np.where(domain.period > 0, domain.period, 0.0) * np.round(away / period)
    site = np.floor((position[0] + away - domain.low) / voxel).astype(int)
    if domain.dim == 2:
        site[:, 2] = 0
    site = site - site[0]
    height = domain.thickness if domain.dim == 2 else None
    sites = tuple(map(tuple, site.tolist()))
    grid = _on_grid(domain.dim, sites, tuple(radii), tuple(rates), diffusivity, voxel, height, length)
    if grid is None:
        return None
    space = _in_space(domain.dim, away, radii, rates, diffusivity, height, length)
    return np.column_stack([grid, space])


def _in_space(
    dim: int,
    place: np.ndarray,
    radii: Sequence[float],
    rates: Sequence[float],
    diffusivity: float,
    height: float | None,
    length: float,
) -> np.ndarray:
    """Share of the vesicles of the first cell that each cell captures, by the equations of the module."""
    a, k = np.array(radii), np.array(rates)
    d = np.linalg.norm(place[:, None] - place[None], axis=2)
    d = np.maximum(d, np.maximum(a[:, None], a[None]))
    np.fill_diagonal(d, a)
    if dim == 3:
        g = np.exp(-(d - a) / length) / (4 * np.pi * diffusivity * d * (1 + a / length))
    else:
        assert height is not None
        g = k0(d / length) / (2 * np.pi * diffusivity * height * (a / length) * k1(a / length))
    c = np.linalg.solve(np.eye(len(a)) + g * k, g[:, 0])
    return np.asarray(k * c)


@lru_cache(maxsize=4096)
def _on_grid(
    dim: int,
    site: tuple[tuple[int, ...], ...],
    radii: tuple[float, ...],
    rates: tuple[float, ...],
    diffusivity: float,
    voxel: float,
    height: float | None,
    length: float,
) -> np.ndarray | None:
    """The same on the lattice; None if the stencils have so many sites that the grid resolves the cells."""
    if any(radius > NEAR * voxel for radius in radii):
        return None
    shapes = [
        solve_stencil(
            dim=dim, radius=a, uptake_rate=k, diffusivity=diffusivity, voxel=voxel, thickness=height
        )
        for a, k in zip(radii, rates, strict=True)
    ]
    takes = [(i, s, np.array(at)) for i, (s, at) in enumerate(zip(shapes, site, strict=True)) if s.kappa > 0]
    sites = np.concatenate([s.offsets + at for _, s, at in takes])
    if len(sites) > MOST_SITES:
        return None
    conduct = diffusivity * (voxel if dim == 3 else float(height or 0.0))
    alpha = np.concatenate([s.kappa / conduct * s.uptake_weight for _, s, _ in takes])
    whose = np.concatenate([np.full(len(s.offsets), i) for i, s, _ in takes])
    start = shapes[0].release_offsets
    apart = np.abs(sites[:, None] - np.concatenate([sites, start])[None])
    table = _screened_green(dim, int(apart.max()), (voxel / length) ** 2)
    green = table[tuple(np.moveaxis(apart, -1, 0))]
    among, from_start = green[:, : len(sites)], green[:, len(sites) :]
    c = np.linalg.solve(np.eye(len(sites)) + among * alpha, from_start @ shapes[0].release_weight)
    return np.bincount(whose, alpha * c, len(radii))


@lru_cache(maxsize=256)
def _screened_green(dim: int, size: int, decay: float) -> np.ndarray:
    """Green's function of the lattice with decay, (m^2 - Laplacian) G = delta, by |n_x|, |n_y|, |n_z|.

    G(n) = int_0^inf exp(-m^2 t) E_x(t) E_y(t) E_z(t) dt,    E_i(t) = exp(-2 t) I_{n_i}(2 t)
    """
    step = 0.2
    t = np.exp(np.arange(-42.0, math.log(60.0 / decay), step))
    kernel = np.stack([ive(n, 2 * t) for n in range(size + 1)])
    weight = step * t * np.exp(-decay * t)
    plane = kernel[:, None] * kernel[None]
    return (plane * weight) @ kernel.T if dim == 3 else (plane @ weight)[..., None]
