"""Effects of donors on a readout by the adjoint of the transfer matrix, for linear uptake, without a run.

    effect_i = sum_m n_im e_im . g_m

Cell i releases n_im vesicles of kind m, the share e_im of them into each voxel, (voxels); each adds
e_im . g_m to the readout, where, for one kind,

    (k + B - div D grad) g = sum_j b_j v_j,    v_j = a w_j + r e_j . g,    B = sum_j b_j,

g the expected addition of a free vesicle in each voxel, (voxels), in the unit of the readout; k the loss of
free vesicles, 1/s; b_j the rate of capture by cell j in each voxel, (voxels), 1/s; D the diffusivity, um^2/s;
v_j the expected addition of a vesicle that cell j has captured; w_j that of an uptake by j; a the probability
that a captured vesicle is internalized, and r that it is free again. The operator is symmetric, so one
factorization answers for all donors (``transport.transfer_matrix``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from exoabm.cells.uptake import fate_probabilities
from exoabm.errors import InputError
from exoabm.tables.readouts import named, resolve
from exoabm.transport.cell_grid_coupling import couple
from exoabm.transport.grid_discretization import operator_of
from exoabm.transport.transfer_matrix import check_steady

if TYPE_CHECKING:
    from exoabm.state import State
    from exoabm.transport.cell_grid_coupling import Coupling

QUANTITIES = ("taken_up", "delivered", "taken_up_per_cell", "delivered_per_cell")
CONVERGED = 1e-13
"""Relative change of the values of captures at which the sum over returns has converged."""
MOST_RETURNS = 10_000


def effects_without_a_run(state: State, readout: str, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Vesicles sent by each cell and kind, (n, K), and the effect of each cell on a readout, (n,).

    Vesicles sent are those that the state counts or, before its first step, release rate x ``seconds``.

    Raises
    ------
    InputError
        See ``attribution.adjoint``.
    """
    if state.responses:
        raise InputError("the adjoint holds where cells do not answer to what they receive; use runs instead")
    if state.silences:
        raise InputError("the adjoint holds without silencings; use runs, or set their active = false")
    sent = state.released.copy() if state.step else _expected(state, seconds)
    effect = np.zeros(len(state.cells))
    for kind, weight in _weights(state, readout):
        effect += sent[:, kind] * contribution(state, kind, weight)
    return sent, effect


def _expected(state: State, seconds: float) -> np.ndarray:
    """Vesicles that cells release at their constant rates, (n, K)."""
    sent = np.zeros((len(state.cells), len(state.kinds)))
    for index, cell_type in enumerate(state.types):
        members = state.cells.type == index
        if cell_type.pathway is not None or cell_type.waste is not None or cell_type.pools:
            raise InputError(
                f"release of {cell_type.name} is not constant (bodies, waste or cargo): run the model first"
            )
        if cell_type.releases is not None:
            sent[members, cell_type.releases] = cell_type.release_rate * seconds
    return sent


def _weights(state: State, readout: str) -> list[tuple[int, np.ndarray]]:
    """Per vesicle kind, what an uptake by each cell adds to the readout, (n,)."""
    per_kind = {
        named(quantity, kind.name): (quantity, [k])
        for k, kind in enumerate(state.kinds)
        for quantity in QUANTITIES[:2]
    }
    per_type = {named(quantity, t.name): (quantity, t) for t in state.types for quantity in QUANTITIES[2:]}
    name = resolve(readout, [*per_kind, *per_type])
    ones, kinds = np.ones(len(state.cells)), [*range(len(state.kinds))]
    if name in per_kind:
        quantity, kinds = per_kind[name]
    else:
        quantity, cell_type = per_type[name]
        mine = state.type_names() == cell_type.name
        if not mine.any():
            raise InputError(f"{name}: no cell is of this type")
        ones = mine / mine.sum()
    delivered = quantity.startswith("delivered")
    return [(k, (_delivery_probability(state, k) if delivered else 1.0) * ones) for k in kinds]


def _delivery_probability(state: State, kind: int) -> np.ndarray:
    """Probability that a vesicle taken up by each cell delivers its cargo: by fusion, or from endosomes."""
    _, fusion, recycling, escape = fate_probabilities(state)[:, kind].T
    return np.asarray(fusion + (1 - fusion) * (1 - recycling) * escape)


def contribution(state: State, kind: int, weight: np.ndarray) -> np.ndarray:
    """What a vesicle of a kind, released by each cell, adds to a readout, (n,): e_i . g; see the module.

    Parameters
    ----------
    weight : numpy.ndarray
        What an uptake by each cell adds, (n,).
    """
    check_steady(state, kind)
    vesicle, couplings = state.kinds[kind], couple(state, kind)
    if not couplings[0].linear:
        raise InputError(
            f"the adjoint holds for linear uptake only, and uptake of {vesicle.name} saturates here; "
            "set saturation = 'inf' for the cell types that take it up, or use runs"
        )
    total = np.zeros(len(state.cells))
    for share, diffusivity, each in zip(vesicle.shares, vesicle.diffusivities, couplings, strict=True):
        total += share * _contribution_of_size(state, kind, float(diffusivity), each, weight)
    return total


def _contribution_of_size(
    state: State, kind: int, diffusivity: float, coupling: Coupling, weight: np.ndarray
) -> np.ndarray:
    domain, vesicle = state.domain, state.kinds[kind]
    grid = operator_of(state, kind, diffusivity)
    sinks = coupling.sink_rates(domain.voxel_volume)
    exchange, loss = grid.parts()
    loss = loss + np.asarray(sinks.sum(axis=0)).ravel()
    loss[(loss == 0) & (np.asarray(exchange.sum(axis=0)).ravel() == 0)] = 1.0  # obstacles
    matrix = (sp.diags_array(np.asarray(exchange.sum(axis=0)).ravel() + loss) - exchange).tocsc()
    factor = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    inward = 1 - vesicle.unbinding_probability
    return_probability = (
        vesicle.unbinding_probability
        + inward * (1 - vesicle.fusion_probability) * vesicle.recycling_probability
    )
    value = inward * weight
    release = coupling.release_weights.matrix
    for _ in range(MOST_RETURNS):
        released = release @ factor.solve(sinks.T @ value)
        new = inward * weight + return_probability * released
        if np.abs(new - value).max() <= CONVERGED * np.abs(new).max():
            return np.asarray(released)
        value = new
    raise InputError("a vesicle that always unbinds and is always recaptured never ends")
