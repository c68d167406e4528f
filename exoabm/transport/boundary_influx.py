"""Influx of single vesicles through a face held at a concentration."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from exoabm.domain import SIDES, Face
from exoabm.kernels.medium import clearance
from exoabm.kernels.membranes import membrane_distances, resolve_overlaps
from exoabm.random_streams import Purpose
from exoabm.vesicle import KINDS, NON_CELL_ID, vesicle_names

if TYPE_CHECKING:
    from exoabm.domain import Domain
    from exoabm.kernels.medium import Medium
    from exoabm.kernels.membranes import Membranes
    from exoabm.state import State

INSET = 0.01
"""Distance of released vesicles from the faces of their voxel, in voxels; exceeds rounding."""
SPREAD_RATIO = 1 / 6.5
"""Spread of an excursion at its first recorded age, over the distance to the next boundary."""
LEAST_RATIO = 0.2
"""Least spread where a face meets a membrane, in spreads of the shortest sub-steps."""


class Influx(NamedTuple):
    """Vesicles that enter in a step: names, diameters over the median, positions (m, 3) in um, times."""

    name: np.ndarray
    size: np.ndarray
    position: np.ndarray
    start: np.ndarray


def sizes(state: State, kind: int, name: np.ndarray, power: float = 0.0) -> np.ndarray:
    """Diameters of new vesicles over the median of their kind, log-normal, shape (m,).

    Weighted by D^power, where faster ones come more often: sigma z - power sigma^2.
    """
    sigma = math.log(state.kinds[kind].diameter_gsd)
    return np.exp(sigma * state.streams.normal(Purpose.DIAMETER, name, 0) - power * sigma**2)


def influx_into_voxels(state: State, kind: int, side: int, held: float, dt: float) -> Influx:
    """2 D c A/dx per second: vesicles that enter the voxels at a face in ``dt`` seconds, at distance dx/2.

    The rate of each size is proportional to its D; entry times are uniform.
    """
    domain = state.domain
    face = _FaceVoxels(state, side, kind)
    per_second = 2 * state.kinds[kind].diffusivity * face.hindrance / domain.voxel**2
    name, which = face.draw(state, held * domain.voxel_volume * per_second * dt)
    u = [state.streams.uniform(Purpose.RELEASE_SITE, name, 0, draw=i) for i in range(4)]
    position = face.positions(state, which, [INSET + (1 - 2 * INSET) * v for v in u[:3]])
    return Influx(name, sizes(state, kind, name, power=1.0), position, dt * u[3])


def influx_into_space(
    state: State, kind: int, side: int, held: float, dt: float, medium: Medium, cells: Membranes
) -> Influx:
    """Vesicles that enter through a face in ``dt`` seconds, as excursions from it longer than h.

        N ~ Poisson(c A T sqrt(D / (pi h))),   depth at the age h: sqrt(4 D h) sqrt(-ln u)

    begin in a time T on the area A. Shorter excursions return to the face: h is chosen by place such that
    they reach nothing but the faces at right angles to this one. Along the face an excursion is Brownian
    motion; it ends at another open or held face. At the age h, or at the end of the step, it is a free
    vesicle. Where a membrane meets the face, the concentration within `LEAST_RATIO` of a shortest sub-step of
    the face is too low. Excursions of a Markov process form a Poisson point process (Ito 1972).
    """
    domain, face, streams = state.domain, _FaceVoxels(state, side, kind), state.streams
    vesicle, axis = state.kinds[kind], side // 2
    edge = domain.low[axis] + (domain.extent[axis] if side % 2 else 0.0)
    # The mean of sqrt(D) over log-normal sizes, by the mean of D.
    root = math.sqrt(vesicle.diffusivity) * math.exp(-(math.log(vesicle.diameter_gsd) ** 2) / 8)

    def longest(gap: np.ndarray, which: np.ndarray) -> np.ndarray:
        """The age h at which excursions are noted, by the distance to the next membrane."""
        spread = np.minimum(face.freely[which], np.maximum(SPREAD_RATIO * gap, LEAST_RATIO * medium.shortest))
        pace = 2 * vesicle.diffusivity * face.hindrance[which]
        return np.divide(spread**2, pace, out=np.full(len(gap), dt), where=pace > 0)

    every = np.arange(len(face.hindrance))
    middle = face.positions(state, every, [np.full(len(every), 0.5)] * 3)
    middle[:, axis] = edge
    half = 0.5 * domain.voxel * math.sqrt(domain.dim - 1)
    h = np.minimum(longest(membrane_distances(middle, medium, cells) - half, every), dt)
    late = 2 * np.sqrt(h) / (2 * np.sqrt(h) + (dt - h) / np.sqrt(h))  # of all, those in the last h
    area = domain.voxel_volume / domain.voxel
    rate = held * area * root * np.sqrt(face.hindrance / np.pi)
    name, which = face.draw(state, rate * (2 * np.sqrt(h) + (dt - h) / np.sqrt(h)))
    size = sizes(state, kind, name, power=0.5)
    u = [streams.uniform(Purpose.RELEASE_SITE, name, 0, draw=i) for i in range(6)]
    position = face.positions(state, which, u[:3])
    position[:, axis] = edge
    # Where it began, when, and how much longer it must last here than elsewhere in this voxel.
    h, late = h[which], late[which]
    spare = np.where(u[3] < late, h * (u[3] / late) ** 2, h + (dt - h) * (u[3] - late) / (1 - late + 1e-300))
    gap = membrane_distances(position, medium, cells)
    age = np.minimum(longest(gap, which), spare)
    chance = np.sqrt(np.minimum(h, spare) / age) * np.exp(-vesicle.decay_rate * age) * (gap > 0)
    spread = np.sqrt(2 * vesicle.diffusivity_of(size) * face.hindrance[which] * age)
    begin, position = position, position.copy()
    for other in range(domain.dim):
        if other == axis:
            position[:, axis] += (-1 if side % 2 else 1) * spread * np.sqrt(-2 * np.log(u[4]))
            continue
        draw = streams.normal(Purpose.RELEASE_SITE, name, 0, draw=len(u) + other)
        chance *= _along(domain, other, position[:, other], spread, draw)
    kept = np.flatnonzero(u[5] < chance)
    position = _beside_obstacles(domain, begin[kept], position[kept], axis)
    open_ = domain.contains(position)
    open_[open_] = ~domain.blocked(position[open_])
    kept, position = kept[open_], position[open_]
    x, y, z = position.T.astype(np.float32)
    resolve_overlaps(np.arange(len(kept)), x, y, z, medium, cells)
    return Influx(name[kept], size[kept], np.stack([x, y, z], axis=1), (dt - spare + age)[kept])


def _along(domain: Domain, axis: int, at: np.ndarray, spread: np.ndarray, draw: np.ndarray) -> np.ndarray:
    """Move coordinates along a face, in place; returns the probability to reach no open or held face.

    For a way from g0 to g1 from a face it is 1 - exp(-2 g0 g1 / spread^2).
    """
    low, length = domain.low[axis], domain.extent[axis]
    begin = at - low
    end, chance = begin + spread * draw, np.ones(len(at))
    if domain.faces[2 * axis] == Face.PERIODIC:
        at[:] = low + end % length
        return chance
    for side, before, after in ((0, begin, end), (1, length - begin, length - end)):
        if domain.faces[2 * axis + side] == Face.FIXED:
            with np.errstate(divide="ignore", over="ignore"):
                chance *= -np.expm1(-2 * before * np.maximum(after, 0.0) / spread**2)
        else:
            end = np.where(after < 0, end + (2 if side == 0 else -2) * np.abs(after), end)
    at[:] = low + end
    return chance


def _beside_obstacles(domain: Domain, begin: np.ndarray, end: np.ndarray, axis: int) -> np.ndarray:
    """End points; those in an obstacle are moved along the face to their start."""
    place, inside = end.copy(), domain.contains(end)
    back = np.flatnonzero(inside)[domain.blocked(end[inside])]
    place[back] = begin[back]
    place[back, axis] = end[back, axis]
    return place


class _FaceVoxels:
    """The voxels along one side of the domain, and draws in each of them."""

    def __init__(self, state: State, side: int, kind: int) -> None:
        domain, self._side, self._kind = state.domain, side, kind
        self._domain = domain
        grid = np.arange(domain.n_voxels).reshape(domain.shape)
        at = -1 if side % 2 else 0
        self._voxel = np.take(grid, at, axis=domain.dim - 1 - side // 2).ravel()
        self._key = (self._voxel * len(SIDES) + side) * KINDS + kind
        self.hindrance = np.broadcast_to(domain.hindrance, domain.shape).ravel()[self._voxel]
        if domain.obstacle is not None:
            self.hindrance = np.where(domain.obstacle.ravel()[self._voxel], 0.0, self.hindrance)

    @cached_property
    def freely(self) -> np.ndarray:
        """Spread that reaches no obstacle, change of hindrance or opposite face, (voxels,) um."""
        domain = self._domain
        closed = np.where(np.array(domain.faces) == Face.FIXED, Face.NO_FLUX, domain.faces)
        matters = np.zeros(domain.n_voxels, bool) if domain.obstacle is None else domain.obstacle.ravel()
        hindrance = np.atleast_1d(np.asarray(domain.hindrance, np.float32)).ravel()
        room = clearance(domain.counts, domain.voxel, closed, matters, hindrance)[self._voxel]
        room = np.maximum(room.astype(float), domain.voxel)  # a voxel that has no room holds nothing itself
        return SPREAD_RATIO * np.minimum(room, domain.extent[: domain.dim].min())

    def draw(self, state: State, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Poisson numbers per voxel: name and voxel of each entrant."""
        streams = state.streams
        number = streams.poisson(Purpose.ENTRY, self._key, state.step, expected)
        which = np.repeat(np.arange(len(number)), number)
        own = state.entrants[self._side, self._kind] + np.arange(len(which))
        state.entrants[self._side, self._kind] += len(which)
        name = vesicle_names(NON_CELL_ID + self._side, self._kind, own)
        return name, which

    def positions(self, state: State, which: np.ndarray, inside: list[np.ndarray]) -> np.ndarray:
        """Positions in um at shares ``inside`` of the voxels ``which``."""
        domain = state.domain
        voxel = np.stack(np.unravel_index(self._voxel[which], domain.shape)[::-1], axis=1)
        position = np.empty((len(which), 3))
        for axis in range(domain.dim):
            position[:, axis] = domain.low[axis] + (voxel[:, axis] + inside[axis]) * domain.voxel
        if domain.dim == 2:
            position[:, 2] = domain.low[2] + domain.thickness / 2
        return position
