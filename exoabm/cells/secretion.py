"""Secretion: multivesicular bodies (MVBs) form, and fuse with the plasma membrane or with lysosomes.

    dM/dt = k_form - k_fate M,    fusions = f_sec k_fate M,    vesicles = b per fusion

Formation is set by the release rate of the cell type at rest, k_form = q / (f_sec b): without drugs a cell
releases at the rate of its type, and a drug changes the secretory share, the fate rate or the vesicles per
body. A type without a pool of MVBs releases at q directly. Release by fusion of MVBs: verweij2018. The rate
laws are assumed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from exoabm.accounting.step_records import Emissions
from exoabm.cell_type import CellType, SecretionMode
from exoabm.cells.cargo_pools import first_order, metabolize
from exoabm.random_streams import Purpose

if TYPE_CHECKING:
    from exoabm.cell_type import MvbPathway, WasteMetabolism
    from exoabm.state import State


def secrete(state: State, dt: float) -> Emissions:
    """Vesicles that cells release during a step of ``dt`` seconds, one row per cell and pathway."""
    rows = [Emissions.none()]
    for index, cell_type in enumerate(state.types):
        if cell_type.pathway is None and cell_type.releases is None and cell_type.waste is None:
            continue
        members = np.flatnonzero(state.cells.type == index)
        if cell_type.pathway is not None:
            for kind, count in fused_mvbs(state, cell_type, cell_type.pathway, members, dt):
                rows.append(_rows(state, members, kind, count))
        elif cell_type.releases is not None:
            ilvs = state.present_value("ilvs_per_mvb", members, cell_type.ilvs_per_mvb)
            rate = state.present_value("release_rate", members, cell_type.release_rate)
            # Formation of MVBs is constant: more ILVs per body release more vesicles.
            expected = np.full(len(members), rate * dt * (ilvs / cell_type.ilvs_per_mvb))
            count = _burst(state, cell_type, members, expected, ilvs, Purpose.FUSION, Purpose.ILVS)
            rows.append(_rows(state, members, cell_type.releases, count))
        if cell_type.waste is not None:
            count = _export_waste(state, cell_type, cell_type.waste, members, dt)
            rows.append(_rows(state, members, cell_type.waste.vesicle, count))
    rows.extend(metabolize(state, dt))
    return Emissions.join(*rows)


def _burst(
    state: State,
    cell_type: CellType,
    members: np.ndarray,
    expected: np.ndarray,
    ilvs_per_mvb: float | np.ndarray,
    fusion: Purpose,
    ilvs: Purpose,
) -> np.ndarray:
    """Fusions ~ Poisson(expected / ILVs per MVB), each releasing Poisson(ILVs per MVB); or their mean.

    For single vesicles a mean is rounded up or down at random, without bias. Mean ``expected`` and, over many
    steps, a Fano factor of 1 + ILVs per MVB.
    """
    who = state.cells.birth_id[members]
    if cell_type.secretion is SecretionMode.MEAN:
        if not state.follows_vesicles:
            return expected
        return np.floor(expected + state.streams.uniform(Purpose.ROUNDING, who, state.step, draw=fusion))
    fusions = state.streams.poisson(fusion, who, state.step, expected / ilvs_per_mvb)
    released = state.streams.poisson(ilvs, who, state.step, fusions * ilvs_per_mvb)
    return released.astype(float)


def _export_waste(
    state: State, cell_type: CellType, metabolism: WasteMetabolism, members: np.ndarray, dt: float
) -> np.ndarray:
    """dw/dt = p - (k_lys + k_exo) w, exact over the step; waste lost at k_exo leaves in vesicles.

    Saturable lysosomes degrade at k_lys w / (1 + w / W), with the rate at the middle of the step. With
    Poisson secretion whole vesicles leave, at most as many as the pool fills; production and lysosomal
    degradation then act on the remainder. The rate law is assumed.
    """
    p = state.present_value("waste_production", members, metabolism.production)
    k_lys: float | np.ndarray = state.present_value(
        "waste_lysosomal_rate", members, metabolism.lysosomal_rate
    )
    k_exo = state.present_value("waste_export_rate", members, metabolism.export_rate)
    start = state.cells.waste[members]
    balance = state.waste_balance
    if math.isfinite(metabolism.saturation):
        slowed = k_lys / (1 + start / metabolism.saturation)
        middle, _ = first_order(start, p, slowed + k_exo, 0.5 * dt)
        k_lys = k_lys / (1 + middle / metabolism.saturation)
    if cell_type.secretion is SecretionMode.MEAN and not state.follows_vesicles:
        rest, integral = first_order(start, p, k_lys + k_exo, dt)
        exported = k_exo * integral
        vesicles = exported / metabolism.copies
    else:
        _, intended = first_order(start, p, k_lys + k_exo, dt)
        drawn = _burst(
            state,
            cell_type,
            members,
            k_exo * intended / metabolism.copies,
            cell_type.ilvs_per_mvb,
            Purpose.WASTE_FUSION,
            Purpose.WASTE_ILVS,
        )
        vesicles = np.minimum(drawn, np.floor(start / metabolism.copies))
        exported = vesicles * metabolism.copies
        rest, integral = first_order(start - exported, p, k_lys, dt)
    state.cells.waste[members] = rest
    balance.produced += (
        float(np.broadcast_to(p, len(members)).sum() * dt) if np.ndim(p) else float(p) * dt * len(members)
    )
    balance.degraded += float((k_lys * integral).sum())
    balance.exported += float(exported.sum())
    return vesicles


def _rows(state: State, members: np.ndarray, kind: int, count: np.ndarray) -> Emissions:
    sent = count > 0
    if not sent.all():
        members, count = members[sent], count[sent]
    return Emissions(members, np.full(len(members), kind), state.labels.of_cell[members], count)


def fused_mvbs(
    state: State, cell_type: CellType, pathway: MvbPathway, members: np.ndarray, dt: float
) -> list[tuple[int, np.ndarray]]:
    """dM/dt = k_form - k_fate M: vesicles released in ``dt`` seconds, kind and counts of the cells.

    Expected numbers are exact over the step. In Poisson mode bodies are whole: Poisson many form, binomially
    many reach their fate, and binomially many of these fuse; at rest fusions are a Poisson process and the
    vesicles have the Fano factor 1 + b.
    """
    q = state.present_value("release_rate", members, cell_type.release_rate)
    b = state.present_value("ilvs_per_mvb", members, cell_type.ilvs_per_mvb)
    f = state.present_value("secretory_fraction", members, pathway.secretory_fraction)
    k = state.present_value("mvb_fate_rate", members, pathway.fate_rate)
    formation = q * (pathway.formation(1.0, cell_type.ilvs_per_mvb))
    held = state.cells.mvb[members, 0]
    if cell_type.secretion is SecretionMode.MEAN:
        rest, integral = first_order(held, formation, k, dt)
        fusions = f * (k * integral)
    else:
        rest, fusions = _whole(state, members, held, formation, k, f, dt)
    state.cells.mvb[members, 0] = rest
    return [
        (kind, _vesicles(state, cell_type, members, kind, fusions * b * share))
        for kind, share in pathway.sorting
    ]


def _whole(
    state: State,
    members: np.ndarray,
    held: np.ndarray,
    formation: float | np.ndarray,
    k: float | np.ndarray,
    f: float | np.ndarray,
    dt: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Whole bodies after the step, and those that fused in it.

    Expected numbers, at the start and after a change of type, are rounded at random.
    """
    streams, who, step = state.streams, state.cells.birth_id[members], state.step
    held = np.floor(held + streams.uniform(Purpose.ROUNDING, who, step, draw=Purpose.MVB_FATE))
    formed = streams.poisson(Purpose.MVB_FORMATION, who, step, formation * dt)
    old = streams.binomial(Purpose.MVB_FATE, who, step, held.astype(np.int64), -np.expm1(-k * dt))
    early = 1.0 + np.expm1(-k * dt) / (k * dt)
    new = streams.binomial(Purpose.MVB_EARLY_FATE, who, step, formed, np.clip(early, 0.0, 1.0))
    fused = streams.binomial(Purpose.MVB_FUSION, who, step, old + new, f)
    return (held + formed - old - new).astype(float), fused.astype(float)


def _vesicles(
    state: State, cell_type: CellType, members: np.ndarray, kind: int, expected: np.ndarray
) -> np.ndarray:
    """Vesicles of a kind from their expected number, with separate draws for each kind."""
    who = state.cells.birth_id[members] * len(state.kinds) + kind
    if cell_type.secretion is SecretionMode.POISSON:
        return state.streams.poisson(Purpose.SORTED_ILVS, who, state.step, expected).astype(float)
    if not state.follows_vesicles:
        return expected
    u = state.streams.uniform(Purpose.ROUNDING, who, state.step, draw=Purpose.SORTED_ILVS)
    return np.floor(expected + u)
