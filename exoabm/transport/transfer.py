r"""The transfer matrix: who is expected to receive the vesicles of whom, exactly, on the grid.

One vesicle is released by donor i on the voxels e_i. The time s_i that it spends in each voxel
before it is taken up or lost obeys

    (k + B) s_i - div(D grad s_i) = e_i,        B_v = sum_j b_jv,     b_jv = kappa_j w_jv / V

and recipient j is expected to capture W_ij = sum_v b_jv s_iv of it. For cells that stand still
and take up linearly, W holds for any history of secretion. Rows send, columns receive. The grid
has cubic voxels and the usual seven-point (five-point) flux between neighbors, with the harmonic
mean of their diffusivities; no flux enters an obstacle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.fft
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import DTypeLike, NDArray
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from exoabm.errors import InputError, NumericalError
from exoabm.kernels.field_operators import gather
from exoabm.kernels.medium import FIXED, NO_FLUX, PERIODIC

Floats = NDArray[np.floating]


_DONORS = 1024  # solved for at once on the sinks
_COLUMNS = 64  # solved for at once on the whole grid
_DENSE_SINKS = 16_000


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


def captures(
    op: LatticeOperator,
    release: sp.csr_array,
    uptake: sp.csr_array,
    *,
    method: Literal["auto", "green", "lu"] = "auto",
    dtype: DTypeLike = np.float64,
) -> Floats:
    """W_ij = sum_v b_jv s_iv, the expected captures by j of one vesicle released by i.

    Two routes to the same matrix. ``green`` takes the Green's function of the empty box at the
    voxels with uptake and solves (1 + h G h) t = h G e there, h = B^1/2, by Cholesky (Woodbury's
    identity): one D, no obstacles, no fixed faces. Its cost is the cube, its memory the square of
    the voxels with uptake. ``lu`` factors the operator of the whole grid and solves once for each
    donor or, where they are fewer, for each recipient. ``auto`` takes the first where it can and
    there are at most 16,000 voxels with uptake. Both agree to rounding, about 1e-15 of the largest
    entry (1e-6 with ``float32``, which is for ``green`` and halves its memory).

    Parameters
    ----------
    op : LatticeOperator
        The grid.
    release : (donors, voxels) sparse
        e_i, shares of one vesicle; voxels in C order.
    uptake : (recipients, voxels) sparse
        b_jv = kappa_j w_jv / V, 1/s.

    Returns
    -------
    (donors, recipients) float
        Rows send, columns receive. A row's sum is the chance to be captured at all; the rest
        decays or leaves through fixed faces.

    Raises
    ------
    InputError
        Shapes differ, values are negative or in an obstacle, the method does not apply, or there
        are vesicles that nothing ever removes.
    """
    size = int(np.prod(op.shape))
    release, uptake = _rates("release", release, size), _rates("uptake", uptake, size)
    if op.obstacle is not None and np.any(
        op.obstacle.ravel()[np.concatenate([release.indices, uptake.indices])]
    ):
        raise InputError("a cell releases into or takes up from an obstacle")
    if method not in ("auto", "green", "lu"):
        raise InputError(f"method {method!r}: must be auto, green or lu")
    if method == "green" and not op.homogeneous:
        raise InputError(
            "method 'green' needs one positive diffusivity, no obstacles and no fixed faces; use 'lu'"
        )
    if release.nnz == 0 or uptake.nnz == 0:
        return np.zeros((release.shape[0], uptake.shape[0]), dtype)
    sinks = np.unique(uptake.indices)
    if method == "auto":
        method = "green" if op.homogeneous and len(sinks) <= _DENSE_SINKS else "lu"
    if method == "green":
        return _by_green(op, release, uptake[:, sinks], sinks, np.dtype(dtype))
    return _by_lu(op, release, uptake).astype(dtype, copy=False)


def with_unbinding(direct: Floats, among: Floats, unbinding: Floats) -> Floats:
    """T = W (I - P W_rr)^-1 (I - P): where vesicles end that may leave a surface again; see ``with_returns``.

    A vesicle captured by j is internalized with the chance 1 - p_j.

    Returns
    -------
    (donors, recipients) float
        Expected internalizations by j of one vesicle released by i.
    """
    return np.asarray(with_returns(direct, among, unbinding) * (1 - np.asarray(unbinding)))


def with_returns(direct: Floats, among: Floats, unbinding: Floats) -> Floats:
    """W (I - P W_rr)^-1: all captures of vesicles that may leave a cell again.

    A vesicle captured by j ends there with the chance 1 - p_j; otherwise it is released anew where j
    releases, and captured from there by the row j of ``among``, and so on.

    Parameters
    ----------
    direct : (donors, recipients) float
        W, captures of what donors release.
    among : (recipients, recipients) float
        W_rr, captures of what recipients release.
    unbinding : (recipients,) float
        p, the chance that a captured vesicle leaves the cell again.

    Returns
    -------
    (donors, recipients) float
        Expected captures by j of one vesicle released by i.

    Raises
    ------
    InputError
        p is outside [0, 1], or some vesicles would unbind and be recaptured for ever.
    """
    p = np.asarray(unbinding)
    if not np.all((p >= 0) & (p <= 1)):
        raise InputError("the probability of unbinding must lie between 0 and 1")
    if np.any(p * among.sum(axis=1) > 1 - 1e-12):
        raise InputError("a vesicle that always unbinds and is always recaptured never ends")
    return np.asarray(np.linalg.solve((np.eye(len(p)) - p[:, None] * among).T, direct.T).T)


def _rates(name: str, given: sp.csr_array, size: int) -> sp.csr_array:
    rates: sp.csr_array = sp.csr_array(given).astype(np.float64)
    if rates.shape[1] != size:
        raise InputError(f"{name} has {rates.shape[1]} columns, the grid {size} voxels")
    rates.sum_duplicates()
    rates.eliminate_zeros()
    if not np.all((rates.data > 0) & np.isfinite(rates.data)):
        raise InputError(f"{name} must be finite and not negative")
    return rates


def _by_green(
    op: LatticeOperator,
    release: sp.csr_array,
    uptake: sp.csr_array,
    sinks: NDArray[np.integer],
    dtype: np.dtype,
) -> Floats:
    """Woodbury on the sinks, with the mode that the box conserves split off.

    Without decay the Green's function has a constant of infinite size, and with little decay one
    that would swamp the rest. The table carries G' with a moderate one instead; the difference,
    s = s' + mu s_1 with s_1 = (1 + G' B)^-1 1, follows from the balance
    k sum(s) + sum(B s) = sum(e).
    """
    table, mirrored, grid, stiffness = _table(op, dtype)
    at_sinks = _sites(op.shape, sinks)
    root = np.sqrt(uptake.sum(axis=0))
    h = root.astype(dtype)
    count = len(sinks)

    system = np.empty((count, count), dtype)
    rows = np.arange(count + 1)
    gather(table, mirrored, grid, rows, at_sinks, h, at_sinks, True, system)
    system *= h
    system.flat[:: count + 1] += 1
    factor = scipy.linalg.cho_factor(system.T, overwrite_a=True, check_finite=False)

    uniform = scipy.linalg.cho_solve(factor, h, check_finite=False)
    weigh = uptake.multiply(1 / root).tocsr().astype(dtype)
    source, weights = _sites(op.shape, release.indices), release.data.astype(dtype)
    result = np.empty((release.shape[0], uptake.shape[0]), dtype)
    for first in range(0, len(result), _DONORS):
        donors = slice(first, first + _DONORS)
        start = release.indptr[first : first + _DONORS + 1].astype(np.int64)
        near = np.empty((len(start) - 1, count), dtype)
        gather(table, mirrored, grid, start, source, weights, at_sinks, False, near)
        near *= h
        near = scipy.linalg.cho_solve(factor, near.T, overwrite_b=True, check_finite=False).T
        excess = release[donors].sum(axis=1) - near @ root
        near += np.outer(excess / (stiffness + uniform @ root), uniform).astype(dtype, copy=False)
        result[donors] = np.maximum((weigh @ near.T).T, 0)
    return result


def _table(
    op: LatticeOperator, dtype: np.dtype
) -> tuple[Floats, NDArray[np.bool_], NDArray[np.int64], float]:
    """Green's function of the empty box by separation, from its eigenvalues.

    lambda = k + (D/dx^2) sum_axes 2 - 2 cos(2 pi m / n), with n twice the size on a mirrored
    axis, whose transform is then a cosine transform of half the length. The conserved mode stands
    as 1 / (k + lambda_1), lambda_1 being the least of the others.

    Returns
    -------
    table, mirrored, size
        As `kernels.field_operators.gather` takes them, axes z, y, x.
    stiffness : float
        1 / (1/(k N) - 1/((k + lambda_1) N)) for N voxels: the inverse of what the true conserved
        mode has in excess.
    """
    shape = (1,) * (3 - len(op.shape)) + tuple(op.shape)
    faces = [(PERIODIC, PERIODIC)] * (3 - len(op.shape)) + op.axes()
    mirrored = np.array([low == NO_FLUX for low, _ in faces])
    rate = float(np.asarray(op.diffusivity).flat[0]) / op.voxel**2
    eigenvalue = np.zeros((1, 1, 1))
    for axis, n in enumerate(shape):
        period, count = (2 * n, n + 1) if mirrored[axis] else (n, n)
        wave = 4 * rate * np.sin(np.pi * np.arange(count) / period) ** 2
        eigenvalue = eigenvalue + np.moveaxis(wave[:, None, None], 0, axis)
    lowest = float(np.min(eigenvalue[eigenvalue > 0], initial=np.inf))
    lowest = lowest if np.isfinite(lowest) else 1.0
    table = eigenvalue + op.decay
    table[0, 0, 0] = op.decay + lowest
    np.divide(1, table, out=table)
    for axis, n in enumerate(shape):
        if mirrored[axis]:
            table = scipy.fft.dct(table, type=1, axis=axis) / (2 * n)
        else:
            table = scipy.fft.fft(table, axis=axis).real / n
    size = np.prod(shape)
    stiffness = op.decay * size * (op.decay + lowest) / lowest
    return np.ascontiguousarray(table, dtype), mirrored, np.array(shape), float(stiffness)


def _sites(shape: tuple[int, ...], voxels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Voxel numbers as columns z, y, x."""
    shape = (1,) * (3 - len(shape)) + tuple(shape)
    return np.stack(np.unravel_index(voxels, shape), axis=1).astype(np.int64)


def _by_lu(op: LatticeOperator, release: sp.csr_array, uptake: sp.csr_array) -> Floats:
    """Factor the whole grid; the operator is symmetric, so either side may be solved for."""
    exchange, loss = op.parts()
    loss = loss + uptake.sum(axis=0)
    count, region = connected_components(exchange, directed=False)
    closed = (np.bincount(region, loss, count) == 0)[region]
    if np.any(closed[release.indices]):
        raise InputError("vesicles are released where nothing ever removes them")
    loss[closed] = 1.0  # neither entered nor asked for, but singular as it stands
    matrix = (sp.diags_array(exchange.sum(axis=0) + loss) - exchange).tocsc()
    try:
        factor = splu(
            matrix,
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
    except RuntimeError as error:
        raise NumericalError(f"the grid's operator could not be factored: {error}") from None
    adjoint = uptake.shape[0] < release.shape[0]
    given, other = (uptake, release) if adjoint else (release, uptake)
    result = np.empty((given.shape[0], other.shape[0]))
    for first in range(0, len(result), _COLUMNS):
        rows = slice(first, first + _COLUMNS)
        result[rows] = (other @ factor.solve(given[rows].toarray().T)).T
    return result.T if adjoint else result
