"""Coupling of cells to the grid: voxels and weights of uptake and release, for one vesicle kind."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import sparse

from exoabm.domain import Face
from exoabm.kernels.binding_kinetics import relative_rate
from exoabm.kernels.line_of_sight import neighborhood_voxels, reachable_voxels
from exoabm.transport.boundary_stencil import boundary_stencils
from exoabm.transport.membrane_geometry import membrane_geometry_of
from exoabm.transport.receptor_binding import LEAST, receptors
from exoabm.transport.uptake_stencil import solve_stencil

if TYPE_CHECKING:
    from exoabm.domain import Domain
    from exoabm.state import State
    from exoabm.transport.membrane_geometry import MembraneGeometry

ROUNDING = 1e-12
"""Deviation of the sum of weights from 1 below which they are not rescaled."""


class Weights(NamedTuple):
    """Weights of voxels for each cell, in compressed rows as of ``scipy.sparse.csr_array``."""

    indptr: np.ndarray
    indices: np.ndarray
    data: np.ndarray
    shape: tuple[int, int]

    @property
    def matrix(self) -> sparse.csr_array:
        """The same for linear algebra, (cells, voxels), made anew at each call."""
        return sparse.csr_array((self.data, self.indices, self.indptr), shape=self.shape)


@dataclass(frozen=True)
class Coupling:
    """The cells of a model as sinks and sources on the grid, for one size class of a vesicle kind.

    Attributes
    ----------
    uptake_weights, release_weights : Weights
        Of the voxels in the uptake and release stencils of each cell; rows sum to 1, those of cells that do
        not take up this kind are empty.
    kappa : numpy.ndarray
        Rate constant of each cell on the lattice, um^3/s, shape (n,); see ``solve_stencil``.
    membrane_rate, receptors : numpy.ndarray
        k_a in um^3/s and number of receptors of each cell, shape (n,), of the membrane inside (see
        ``membrane_geometry``); infinitely many make uptake linear.
    """

    uptake_weights: Weights
    release_weights: Weights
    kappa: np.ndarray
    membrane_rate: np.ndarray
    receptors: np.ndarray

    @property
    def linear(self) -> bool:
        """Whether no cell's uptake saturates."""
        return not np.isfinite(self.receptors).any()

    @property
    def beta(self) -> np.ndarray:
        """k_a/kappa per cell, 1 where there is no uptake."""
        active = self.kappa > 0
        return np.divide(self.membrane_rate, self.kappa, out=np.ones_like(self.kappa), where=active)

    def relative_kappa(self, share: np.ndarray) -> np.ndarray:
        """Kappa of cells with a share (n,) of the rate k_a, over that at 1; see ``relative_rate``."""
        return np.asarray(relative_rate(share, self.beta, LEAST))

    def sink_rates(self, voxel_volume: float) -> sparse.csr_array:
        """kappa_i w_iv / V in 1/s, (cells, voxels)."""
        return sparse.csr_array(sparse.diags_array(self.kappa / voxel_volume) @ self.uptake_weights.matrix)


def couple(state: State, kind: int, walls: MembraneGeometry | None = None) -> tuple[Coupling, ...]:
    """Couple all cells to the grid for one vesicle kind; one coupling for each size class.

    ``walls`` are the boundaries near cells, the same for all kinds, found if not given.

    Cells of one type and diffusivity share a stencil, except those at faces and obstacles (see
    ``boundary_stencil``). All sizes are taken up from the ball of the slowest, each with its own kappa, and
    released from the stencil of the mean D. A stencil that crosses a face is folded back (reflected, or
    wrapped at periodic faces); parts in or behind obstacles are removed and the rest is rescaled; an enclosed
    cell has its own voxel.
    """
    domain, cells, vesicle = state.domain, state.cells, state.kinds[kind]
    voxels = domain.voxel_of(cells.position)
    if np.ndim(domain.hindrance) == 0:
        values, which = np.array([domain.hindrance]), np.zeros(len(cells), np.int64)
    else:
        local = np.asarray(domain.hindrance).ravel()[domain.flat(voxels)]
        values, which = np.unique(local, return_inverse=True)
    free = vesicle.diffusivities
    membrane_rate = state.of_type("uptake_rate")[:, kind].astype(float)
    walls = membrane_geometry_of(state) if walls is None else walls
    number = receptors(state, walls.share)[:, kind]
    kappa = np.zeros((len(free), len(cells)))
    membrane_rate *= walls.share
    uptake, release = _Entries(domain), _Entries(domain)
    group_of = cells.type * len(values) + which
    for group in np.flatnonzero(np.bincount(group_of)):
        cell_type, hindrance = state.types[group // len(values)], values[group % len(values)]
        solve = partial(
            solve_stencil,
            dim=domain.dim,
            radius=cell_type.diameter / 2,
            uptake_rate=float(cell_type.uptake_rate[kind]),
            voxel=domain.voxel,
            thickness=domain.thickness if domain.dim == 2 else None,
            ball_of=float(free[0] * hindrance),
        )
        near, mean = np.flatnonzero((group_of == group) & walls.near), vesicle.diffusivity * hindrance
        for beside in boundary_stencils(domain, cell_type, kind, free * hindrance, mean, walls, near):
            release.add(beside.rows, beside.center, beside.release_offsets, beside.release_weight)
            kappa[:, beside.rows] = beside.kappa
            takes = beside.kappa.any(axis=0)
            uptake.add(beside.rows[takes], beside.center[takes], beside.offsets, beside.weight)
        members = np.flatnonzero((group_of == group) & ~walls.near)
        shape = solve(diffusivity=float(vesicle.diffusivity * hindrance))
        for size, d in enumerate(free):
            kappa[size, members] = solve(diffusivity=float(d * hindrance)).kappa
        if shape.kappa > 0:
            uptake.add(members, voxels[members], shape.offsets, shape.uptake_weight)
        release.add(members, voxels[members], shape.release_offsets, shape.release_weight)
    matrices = uptake.matrix(len(cells)), release.matrix(len(cells))
    return tuple(Coupling(*matrices, each, membrane_rate, number) for each in kappa)


class _Entries:
    """Collects (cell, voxel, weight) triples."""

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.rows: list[np.ndarray] = []
        self.columns: list[np.ndarray] = []
        self.weights: list[np.ndarray] = []

    def add(
        self,
        members: np.ndarray,
        centers: np.ndarray,
        offsets: np.ndarray,
        weight: np.ndarray,
    ) -> None:
        """Stencils around central voxels (m, 3), with weights of all (offsets,) or of each (m, offsets)."""
        domain = self.domain
        periodic = np.array([face == Face.PERIODIC for face in domain.faces[::2]])
        place = (domain.counts, domain.strides, periodic)
        weights = np.broadcast_to(weight, (len(members), len(offsets))).copy()
        if domain.obstacle is not None:
            weights *= reachable_voxels(centers, offsets, *place, domain.obstacle.ravel()).reshape(
                weights.shape
            )
            walled_in = weights.sum(axis=1) == 0
            self.rows.append(members[walled_in])
            self.columns.append(domain.flat(centers[walled_in]))
            self.weights.append(np.ones(walled_in.sum()))
        self.rows.append(np.repeat(members, len(offsets)))
        self.columns.append(neighborhood_voxels(centers, offsets, *place))
        self.weights.append(weights.ravel())

    def matrix(self, cells: int) -> Weights:
        """All entries, those of a voxel summed, in rows that sum to 1."""
        if not self.rows:
            none = np.empty(0, np.int64)
            return Weights(np.zeros(cells + 1, np.int32), none, np.empty(0), self._shape(cells))
        row, column, weight = map(np.concatenate, (self.rows, self.columns, self.weights))
        key = row * self.domain.n_voxels + column
        order = np.argsort(key, kind="stable")
        key = key[order]
        if (key[1:] == key[:-1]).any():  # stencils folded back at a face
            matrix = sparse.csr_array((weight, (row, column)), shape=self._shape(cells))
            matrix.sum_duplicates()
            column, weight = matrix.indices, matrix.data
            row = np.repeat(np.arange(cells), np.diff(matrix.indptr))
        else:
            row, column, weight = row[order], column[order], weight[order]
        there = weight != 0
        if not there.all():
            row, column, weight = row[there], column[there], weight[there]
        ends = np.zeros(cells + 1, np.int32)
        np.cumsum(np.bincount(row, minlength=cells), out=ends[1:])
        total, filled = np.zeros(cells), np.flatnonzero(np.diff(ends))
        total[filled] = np.add.reduceat(weight, ends[filled])
        if self.domain.obstacle is None:  # rows that sum to 1 keep their bits
            total[np.abs(total - 1) < ROUNDING] = 1.0
        weight = weight * (1.0 / np.where(total > 0, total, 1.0))[row]
        # Entries of a row in falling order of the voxel, in which all sums over them are taken.
        falling = (ends[:-1] + ends[1:] - 1)[row] - np.arange(len(row))
        return Weights(ends, column[falling], weight[falling], self._shape(cells))

    def _shape(self, cells: int) -> tuple[int, int]:
        return cells, self.domain.n_voxels
