r"""The transfer matrix: expected donor -> recipient transfer of vesicles, exact on the grid.

One vesicle is released by donor i on the voxels e_i. Its residence time s_i in each voxel before capture or
loss obeys

    (k + B) s_i - div(D grad s_i) = e_i,        B_v = sum_j b_jv,     b_jv = kappa_j w_jv / V

and recipient j is expected to capture W_ij = sum_v b_jv s_iv of it. For cells at rest with linear uptake, W
holds for any history of secretion. Rows send, columns receive. Solved by Woodbury's identity
(Source: woodbury1950) or by sparse LU factorization.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import scipy.fft
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import DTypeLike, NDArray
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from exoabm.cell_type import Block, Process
from exoabm.errors import InputError, NumericalError
from exoabm.kernels.field_operators import green_sums
from exoabm.kernels.medium import NO_FLUX, PERIODIC
from exoabm.transport.cell_grid_coupling import couple
from exoabm.transport.grid_discretization import LatticeOperator, operator_of
from exoabm.vesicle import DeliveryRoute

if TYPE_CHECKING:
    import pandas as pd

    from exoabm.state import State
    from exoabm.transport.cell_grid_coupling import Coupling


@dataclass(frozen=True)
class TransferMatrix:
    """Expected transfer of one vesicle of a kind released by each donor. Rows send, columns receive.

    Attributes
    ----------
    donors, recipients : numpy.ndarray
        Birth ids of the cells in the rows and columns.
    encountered : numpy.ndarray
        Expected first captures by each recipient, shape (donors, recipients).
    taken_up : numpy.ndarray
        Expected uptake events by each recipient, unbinding, recycling and recapture included.
    """

    vesicle_kind: str
    donors: np.ndarray
    recipients: np.ndarray
    encountered: np.ndarray
    taken_up: np.ndarray

    def frame(self) -> pd.DataFrame:
        """Internalized vesicles as a table with the birth ids of donors (rows) and recipients."""
        import pandas as pd

        return pd.DataFrame(
            self.taken_up,
            index=pd.Index(self.donors, name="donor"),
            columns=pd.Index(self.recipients, name="recipient"),
        )


def transfer_matrix(state: State, kind: int = 0) -> TransferMatrix:
    """Exact expected donor -> recipient matrix on the grid, for cells at rest.

        (k + U(x) - div D grad) S_i = e_i,    W_ij = integral of U_j S_i

    for each size class with its own D and U; the result is the mean by the shares of the classes. It holds
    for linear uptake and any history of secretion, because the path of a vesicle does not depend on its time
    of release. Faces held at a concentration count as open.

    Raises
    ------
    InputError
        If the uptake of a cell saturates: the fate of a vesicle then depends on all others. If cells can
        divide, die, change type or move, or their uptake responds or is silenced: it then depends on the time
        of release. If cells have individual shares of recycling, or of fusion with recycling of the others,
        or if that fusion is silenced.
    """
    check_steady(state, kind)
    vesicle, couplings = state.kinds[kind], couple(state, kind)
    coupling, name = couplings[0], vesicle.name
    if not coupling.linear:
        raise InputError(
            f"the transfer matrix holds for linear uptake only, and uptake of {name} saturates here; "
            "set saturation = 'inf' for the cell types that take it up, or use the label fields"
        )
    if not coupling.kappa.any():
        raise InputError(f"no cell takes up {name}: there is nothing to transfer to")
    donors = np.flatnonzero(state.labels.of_cell >= 0)
    recipients = np.flatnonzero(coupling.kappa > 0)
    direct = np.zeros((len(donors), len(recipients)))
    final = np.zeros_like(direct)
    for share, diffusivity, each in zip(vesicle.shares, vesicle.diffusivities, couplings, strict=True):
        first, ended = _of_one_size(state, kind, float(diffusivity), each, donors, recipients)
        direct += share * first
        final += share * ended
    ids = state.cells.birth_id
    return TransferMatrix(name, ids[donors], ids[recipients], direct, final)


def _of_one_size(
    state: State,
    kind: int,
    diffusivity: float,
    coupling: Coupling,
    donors: np.ndarray,
    recipients: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """First captures and internalizations of vesicles with one D, each (donors, recipients).

    A captured vesicle keeps its size, and is free again after unbinding, or after internalization and
    recycling.
    """
    domain, vesicle = state.domain, state.kinds[kind]
    operator = operator_of(state, kind, diffusivity)
    sinks = coupling.sink_rates(domain.voxel_volume)[recipients]
    inward = 1 - vesicle.unbinding_probability
    recycled = inward * (1 - vesicle.fusion_probability) * vesicle.recycling_probability
    again = vesicle.unbinding_probability + recycled
    senders = np.union1d(donors, recipients) if again > 0 else donors
    first = captures(operator, coupling.release_weights.matrix[senders], sinks)
    direct = first[np.searchsorted(senders, donors)]
    if again == 0:
        return direct, direct
    among = first[np.searchsorted(senders, recipients)]
    return direct, with_returns(direct, among, np.full(len(recipients), again)) * inward


UNSTEADY = (Process.TURNOVER, Process.MOTION, Process.UPTAKE, Process.RECYCLING)
"""Processes whose behaviors make the transfer depend on the time of release, or on the cell."""


def check_steady(state: State, kind: int) -> None:
    """Refuse cells whose vesicles fare differently by their time of release, or by the cell; see above."""
    acting = dict(zip(state.behaviors, state.processes, strict=True))
    found = sorted(name for name, process in acting.items() if process in UNSTEADY)
    if state.mechanics is not None:
        found.append("mechanics")
    vesicle = state.kinds[kind]
    silenced = {silence.block for silence in state.silences if silence.kind in (-1, kind)}
    if vesicle.delivery_route is DeliveryRoute.MEMBRANE_FUSION and vesicle.recycling_probability > 0:
        fused = [name for name, process in acting.items() if process is Process.DELIVERY]
        fused += ["a silenced delivery"] if Block.DELIVERY in silenced else []
        found += [f"{name} (by membrane_fusion)" for name in fused]  # fused vesicles are not recycled
    if Block.UPTAKE in silenced:
        found.append("a silenced uptake")
    if found:
        raise InputError(
            "the transfer matrix holds for cells at rest, of constant type and with equal treatment of "
            f"vesicles; here they have {', '.join(found)}; omit these, or use model.communication"
        )


Floats = NDArray[np.floating]


_DONORS = 1024  # solved for at once on the sinks
_COLUMNS = 64  # solved for at once on the whole grid
_DENSE_SINKS = 16_000


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
    green_sums(table, mirrored, grid, rows, at_sinks, h, at_sinks, True, system)
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
        green_sums(table, mirrored, grid, start, source, weights, at_sinks, False, near)
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
        As `kernels.field_operators.green_sums` takes them, axes z, y, x.
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
