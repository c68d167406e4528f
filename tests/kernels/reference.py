"""The continuum scheme again, slow and plain: whole arrays for diffusion, loops for the slots."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from exoabm.kernels.medium import FIXED, PERIODIC


@dataclass
class Book:
    """What one label gained and lost."""

    released: float = 0.0
    taken: float = 0.0
    cleared: float = 0.0
    escaped: float = 0.0
    entered: float = 0.0


@dataclass
class Problem:
    """Everything that defines a run; labels first, axes z, y, x."""

    u: np.ndarray
    r: np.ndarray
    decay: np.ndarray
    sides: np.ndarray
    value: np.ndarray
    voxel: np.ndarray
    source: np.ndarray
    slot: np.ndarray
    cell: np.ndarray
    weight: np.ndarray
    rate: np.ndarray
    lattice_rate: np.ndarray
    saturation: np.ndarray
    dt: float
    volume: float
    conductance: tuple[np.ndarray, ...] | None = None
    books: list[Book] = field(default_factory=list)


def diffuse(u, r, decay, sides, value, conductance, book):
    """(1 - k dt) u + r sum_faces g (u_neighbor - u), with ghost layers put around the field."""
    out = (1.0 - decay) * u
    book.cleared += decay * u.sum()
    for axis in range(u.ndim):
        along = u.ndim - 1 - axis
        own = [u.take([0], along), u.take([-1], along)]
        ghosts = []
        for high in (0, 1):
            code, fixed = sides[2 * axis + high], value[2 * axis + high]
            ghost = own[1 - high] if code == PERIODIC else own[high]
            if code == FIXED:
                open_face = 2.0
                ghost = 2.0 * fixed - own[high]
                if conductance is not None:
                    open_face = conductance[axis].take([-high], along)
                    ghost = np.full_like(own[high], fixed)
                book.escaped += np.sum(r * open_face * own[high])
                book.entered += np.sum(r * open_face * fixed * np.ones_like(own[high]))
            ghosts.append(ghost)
        slope = np.diff(np.concatenate([ghosts[0], u, ghosts[1]], along), axis=along)
        if conductance is not None:
            slope = conductance[axis] * slope
        out += r * np.diff(slope, axis=along)
    return out


def membrane_rate(cbar, rate, lattice_rate, saturation):
    """Uptake per concentration, by bisection on c_s = cbar + (1/k_a - 1/kappa) Q(c_s)."""
    if rate == 0.0:
        return 0.0
    if cbar == 0.0:
        return lattice_rate

    def excess(c):
        flux = rate * c / (1.0 + saturation * c)
        return c - cbar - (1.0 / rate - 1.0 / lattice_rate) * flux

    low, high = 0.0, cbar * (1.0 + rate / lattice_rate + lattice_rate / rate)
    while excess(high) < 0.0:
        high *= 2.0
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) < 0.0 else (low, middle)
    return rate * high / (1.0 + saturation * high) / cbar


def advance(p: Problem, n_sub: int, groups: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Field (labels, ...), uptake (labels, cells) and exposure (labels, slots) after `n_sub`."""
    u = p.u.astype(np.float64)
    labels, n_slots, n_cells = u.shape[0], p.voxel.size, p.rate.size
    p.books = [Book() for _ in range(labels)]
    taken, exposure = np.zeros((labels, n_cells)), np.zeros((labels, n_slots))
    most = np.zeros(n_slots)
    for q, i, w in zip(p.slot, p.cell, p.weight, strict=True):
        most[q] += p.dt / p.volume * w * p.lattice_rate[i]
    for sub in range(n_sub):
        total = u.sum(axis=0).ravel()[p.voxel]
        if sub == 0:
            total = sum(
                np.maximum(u[g::groups].sum(axis=0).ravel()[p.voxel], sum(p.source[g::groups]) / (1.0 + most))
                for g in range(groups)
            )
        cbar = np.zeros(n_cells)
        for q, i, w in zip(p.slot, p.cell, p.weight, strict=True):
            cbar[i] += w * total[q] / p.volume
        g = [membrane_rate(*row) for row in zip(cbar, p.rate, p.lattice_rate, p.saturation, strict=True)]
        sink = np.zeros(n_slots)
        for q, i, w in zip(p.slot, p.cell, p.weight, strict=True):
            sink[q] += p.dt / p.volume * w * g[i]
        for k, book in enumerate(p.books):
            u[k] = diffuse(u[k], p.r[k], p.decay[k], p.sides, p.value[k], p.conductance, book)
            flat = u[k].reshape(-1)
            flat[p.voxel] = (flat[p.voxel] + p.source[k]) / (1.0 + sink)
            exposure[k] += flat[p.voxel]
            book.released += p.source[k].sum()
            book.taken += np.sum(sink * flat[p.voxel])
            for q, i, w in zip(p.slot, p.cell, p.weight, strict=True):
                taken[k, i] += p.dt / p.volume * w * g[i] * flat[p.voxel[q]]
    return u, taken, exposure
