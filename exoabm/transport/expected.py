"""The transfer matrix of a model: who receives what each donor sends, expected over all time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from exoabm.errors import InputError
from exoabm.state import FATES
from exoabm.transport.coupling import couple
from exoabm.transport.transfer import LatticeOperator, captures, with_returns
from exoabm.vesicle import DeliveryRoute

if TYPE_CHECKING:
    import pandas as pd

    from exoabm.state import State
    from exoabm.transport.coupling import Coupling


@dataclass(frozen=True)
class TransferMatrix:
    """Expected fate of one vesicle of a kind released by each donor. Rows send, columns receive.

    Attributes
    ----------
    donors, recipients : numpy.ndarray
        Birth ids of the cells in the rows and columns.
    encountered : numpy.ndarray
        First captures by each recipient, shape (donors, recipients).
    taken_up : numpy.ndarray
        Times it is taken up by each recipient, unbinding, recycling and recapture included.
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
    """The exact expected donor -> recipient matrix on the grid, for cells that stand still.

        (k + U(x) - div D grad) S_i = e_i,    W_ij = integral of U_j S_i

    for each size class with its own D and U; the result is the mean by the shares of the classes. It holds
    for linear uptake and any history of secretion, because what one vesicle will meet does not depend on when
    it left. Faces held at a concentration count as open.

    Raises
    ------
    InputError
        If some cell's uptake saturates: then a vesicle's fate depends on all the others. If cells can divide,
        die, change or move, or their uptake responds: then it depends on when it leaves. If cells have shares
        of recycling, or of fusion where the others are recycled, of their own.
    """
    _refuse_restless(state, kind)
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
    operator = LatticeOperator(
        shape=domain.shape,
        voxel=domain.voxel,
        decay=vesicle.decay_rate,
        diffusivity=diffusivity * domain.hindrance,
        faces=domain.faces,
        obstacle=domain.obstacle,
    )
    sinks = coupling.sink_rates(domain.voxel_volume)[recipients]
    inward = 1 - vesicle.unbinding_probability
    recycled = inward * (1 - vesicle.fusion_probability) * vesicle.recycling_probability
    again = vesicle.unbinding_probability + recycled
    senders = np.union1d(donors, recipients) if again > 0 else donors
    first = captures(operator, coupling.release[senders], sinks)
    direct = first[np.searchsorted(senders, donors)]
    if again == 0:
        return direct, direct
    among = first[np.searchsorted(senders, recipients)]
    return direct, with_returns(direct, among, np.full(len(recipients), again)) * inward


RESTLESS = FATES | {"motility", "chemotaxis", "uptake_rate", "recycling_probability"}


def _refuse_restless(state: State, kind: int) -> None:
    found = sorted(RESTLESS & set(state.behaviors))
    if state.mechanics is not None:
        found.append("mechanics")
    vesicle = state.kinds[kind]
    fuses = vesicle.delivery_route is DeliveryRoute.MEMBRANE_FUSION and vesicle.recycling_probability > 0
    if fuses and "delivery_probability" in state.behaviors:  # what fuses is not recycled
        found.append("delivery_probability (by membrane_fusion)")
    if found:
        raise InputError(
            "the transfer matrix holds for cells that stand still, stay as they are and treat vesicles "
            f"alike; here they have {', '.join(found)}; leave these out, or read model.communication after "
            "a run"
        )
