"""Silencing and gifts: one step of communication is removed, or cargo is added; all draws are unchanged.

    release    vesicles of the donor are removed at the moment of their release
    uptake     vesicles on the recipient's surface all unbind: P(unbinding) = 1
    delivery   vesicles in the recipient deliver nothing: P(fusion) = P(escape) = 0; they are degraded, or
               recycled
    response   signals of the recipient count as 0: its behaviors have their values at rest

The silenced cell itself is not changed otherwise: its pools of MVBs, cargo and waste are those of the run
without silencing. Draws are named by seed, purpose, entity and step (``random_streams``), so that the two
runs differ by the removed step and its consequences alone.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from exoabm.accounting.step_records import Emissions
from exoabm.cargo import CargoClass
from exoabm.cell_type import Block
from exoabm.state import Resolution

if TYPE_CHECKING:
    from exoabm.cell_type import Chosen, Silence
    from exoabm.state import State
    from exoabm.vesicle import Vesicles

ROUNDING = 1e-9
"""s; relative for times above 1 s."""
UNBINDING, FUSION, ESCAPE = 0, 1, 3
"""Columns of the probabilities of ``cells.uptake``."""


def acting(state: State, *blocks: Block) -> list[Silence]:
    """Silencings of these steps that have begun."""
    now = state.time + ROUNDING * max(state.time, 1.0)
    return [row for row in state.silences if row.block in blocks and row.start <= now]


def _cells(state: State, chosen: Chosen | None) -> np.ndarray:
    """Which cells are meant, (n,)."""
    cells = state.cells
    if chosen is None:
        return np.ones(len(cells), bool)
    return cells.birth_id == chosen.cell if chosen.cell >= 0 else cells.type == chosen.cell_type


def without_silenced(state: State, released: Emissions) -> Emissions:
    """Released vesicles without those of silenced donors."""
    rows = acting(state, Block.RELEASE)
    if not rows:
        return released
    kept = np.ones(len(released.cell), bool)
    for row in rows:
        kept &= ~(_cells(state, row.donor)[released.cell] & np.isin(released.kind, _kinds(state, row)))
    return Emissions(*(getattr(released, column.name)[kept] for column in fields(Emissions)))


def _kinds(state: State, row: Silence) -> list[int]:
    return list(range(len(state.kinds))) if row.kind < 0 else [row.kind]


def _labels(state: State, donor: Chosen | None) -> np.ndarray:
    """Labels of the vesicles of a donor, (L,); a cell has one where labels are cells."""
    labels = state.labels
    if donor is None:
        return np.ones(len(labels), bool)
    if donor.cell >= 0:
        assert labels.resolution is Resolution.CELL, "refused when the model is built"
        return np.array([name == str(donor.cell) for name in labels.names], bool)
    return np.array([name == state.types[donor.cell_type].name for name in labels.types], bool)


def blocked_shares(state: State, shares: np.ndarray) -> np.ndarray | None:
    """Probabilities of unbinding, fusion, recycling and escape by origin, (n, K, L, 4), of expected numbers.

    ``shares`` is (1 or n, K, 4); None where no silencing of uptake or delivery acts.
    """
    rows = acting(state, Block.UPTAKE, Block.DELIVERY)
    if not rows:
        return None
    n, labels = len(state.cells), len(state.labels)
    found = np.repeat(np.broadcast_to(shares, (n, *shares.shape[1:]))[:, :, None], labels, axis=2)
    for row in rows:
        kind = np.isin(np.arange(len(state.kinds)), _kinds(state, row))
        recipient, label = _cells(state, row.recipient), _labels(state, row.donor)
        _block(found, recipient[:, None, None] & kind[:, None] & label, row)
    return found


def block_each(state: State, vesicles: Vesicles, rows: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The same probabilities of single vesicles on or in cells, ``shares`` (m, 4), with blocked ones."""
    host, kind, label = vesicles.host[rows], vesicles.kind[rows], vesicles.label[rows]
    for row in acting(state, Block.UPTAKE, Block.DELIVERY):
        donor = row.donor
        if donor is not None and donor.cell >= 0:
            sent = vesicles.donor[rows] == donor.cell
        else:
            sent = _labels(state, donor)[label]
        mine = _cells(state, row.recipient)[host] & np.isin(kind, _kinds(state, row)) & sent
        _block(shares, mine, row)
    return shares


def _block(shares: np.ndarray, where: np.ndarray, row: Silence) -> None:
    if row.block is Block.UPTAKE:
        shares[where, UNBINDING] = 1.0
    else:
        shares[where, FUSION] = shares[where, ESCAPE] = 0.0


def unresponsive(state: State, rows: np.ndarray) -> np.ndarray:
    """Which of the cells in ``rows`` do not respond now, (m,)."""
    found = np.zeros(len(rows), bool)
    for row in acting(state, Block.RESPONSE):
        found |= _cells(state, row.recipient)[rows]
    return found


def give(state: State, dt: float) -> None:
    """Add the copies that are given in this step of ``dt`` seconds to the pools of cargo and waste."""
    slack = ROUNDING * max(state.time, 1.0)
    for gift in state.gifts:
        if not state.time - slack <= gift.time < state.time + dt - slack:
            continue
        to = _cells(state, gift.to)
        if state.cargos[gift.cargo].role is CargoClass.WASTE:
            state.cells.waste[to] += gift.copies
            state.waste_balance.produced += gift.copies * float(to.sum())
        else:
            state.cells.cargo[to, gift.cargo] += gift.copies
