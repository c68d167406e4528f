"""Uptake by recipient cells: encountered -> bound -> endosomal -> recycled, lysosomal or delivered.

Uptake is not delivery; delivery is not effect. Most vesicles that are taken up do not deliver their cargo.
Source: bonsergent2021.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.accounting.stage_records import Uptake
from exoabm.cells.silencing import acting, block_each, blocked_shares
from exoabm.kernels import compartment_kinetics as compartments
from exoabm.kernels.compartment_kinetics import (
    advance_compartment_parts,
    advance_compartments,
    compartment_coefficients,
)
from exoabm.parameters.units import duration_text, percent_text
from exoabm.physiology import Block
from exoabm.streams import Purpose
from exoabm.tables.fates import Event
from exoabm.vesicle import DeliveryRoute, Status

if TYPE_CHECKING:
    from exoabm.accounting.stage_records import TransportResult
    from exoabm.state import State
    from exoabm.vesicle import VesicleKind, Vesicles

LIKELY_CONTACT = math.log(2)
"""Expected number of encounters at the median time of the first one (Poisson arrivals)."""
WARNING_SHARE = 0.1
"""Share of free vesicles that left a cell in this step, above which a warning is given."""
RECOMMENDED_SHARE = 0.05
"""The same share at the step that the warning recommends."""
NEGLIGIBLE_SHARE = 0.01
"""Share of free vesicles in those emitted below which no warning is given."""


def take_up(state: State, result: TransportResult, dt: float) -> Uptake:
    """Advance captured vesicles along the uptake pathway over a step of ``dt`` seconds.

        bound -> (k_off) unbound, (k_int) endosomal -> (k_proc) recycled, delivered, lysosomal

    With membrane fusion a share phi of those that leave the surface inward delivers at once; the others reach
    an endosome. From there a share is recycled to the medium, a share phi of the rest is delivered by
    endosomal escape, and the remainder is degraded in a lysosome. The scheme is assumed.
    """
    if state.follows_vesicles:
        return _take_up_each(state, result.captured, dt)
    return _take_up_expected(state, result, dt)


def _take_up_expected(state: State, result: TransportResult, dt: float) -> Uptake:
    """Expected numbers; captures are uniform in time unless ``result.arrival`` states otherwise.

    Both pools are advanced exactly, so that the split does not depend on the step.
    """
    way, captured, sizes, arrival = state.trafficking, result.captured, result.captured_sizes, result.arrival
    coefficients = np.array(
        [
            compartment_coefficients(
                kind.unbinding_rate + kind.internalization_rate,
                kind.internalization_rate,
                kind.processing_rate,
                dt,
            )
            for kind in state.kinds
        ]
    )[None]
    if arrival is not None:
        coefficients = np.repeat(coefficients, len(captured), axis=0)
        coefficients[..., [1, 4]] = np.where(np.isnan(arrival), coefficients[..., [1, 4]], arrival)
    new = [np.empty_like(captured) for _ in range(4)]
    pools = way.bound, way.endosomal, way.bound_sizes, way.endosomal_sizes, way.returning_sizes
    held = (
        way.encountered, way.bound, way.endosomal, way.returning, way.unbound, way.taken_up, way.lysosomal,
        way.recycled, way.delivered, way.first_contact, way.last_contact,
    )  # fmt: skip
    entering, transfers, shares = captured, tuple(new), _shares(state)
    blocked = blocked_shares(state, shares)
    if blocked is not None:  # each origin has probabilities of its own, as if it were a kind
        labels = captured.shape[2]
        shares = blocked.reshape(len(captured), -1, blocked.shape[3])
        coefficients = np.repeat(coefficients, labels, axis=1)
        entering, sizes, *pools = _by_origin(captured, sizes, *pools)  # type: ignore[assignment]
        held, transfers = tuple(_by_origin(*held)), tuple(_by_origin(*new))
    if sizes is not None:
        advance_compartment_parts(sizes, coefficients, shares, *pools)
    advance_compartments(
        entering, coefficients, shares, state.time + dt, LIKELY_CONTACT,
        compartments.Compartments(*held), compartments.Transfers(*transfers),
    )  # fmt: skip
    return Uptake(*new)


def _by_origin(*arrays: np.ndarray | None) -> list[Any]:
    """Views (n, K L, 1, ...) of arrays (n, K, L, ...)."""
    views = []
    for array in arrays:
        view = None if array is None else array.view()
        if view is not None:
            n, kinds, labels, *rest = view.shape
            view.shape = (n, kinds * labels, 1, *rest)
        views.append(view)
    return views


EVENT_OF_OUTCOME = {
    compartments.EXITED: (Event.UNBINDING, Status.RETURNING),
    compartments.TRANSFERRED: (Event.UPTAKE, Status.ENDOSOMAL),
    compartments.COMPLETED: (Event.DELIVERY, Status.GONE),
    compartments.LOST: (Event.DEGRADATION, Status.GONE),
    compartments.RETURNED: (Event.RECYCLING, Status.RETURNING),
}


def _take_up_each(state: State, captured: np.ndarray, dt: float) -> Uptake:
    """Single vesicles, each at its own random times."""
    vesicles = state.vesicles
    rows = vesicles.rows(Status.BOUND, Status.ENDOSOMAL)
    compartment = np.where(vesicles.status[rows] == Status.BOUND, compartments.FIRST, compartments.SECOND)
    event, when = np.empty((len(rows), 2), np.int8), np.empty((len(rows), 2))
    rates, row_of_rates = _rates(state, vesicles, rows)
    compartments.draw_transitions(
        vesicles.id[rows],
        compartment.astype(np.int8),
        vesicles.start[rows].astype(np.float64),
        row_of_rates,
        rates,
        dt,
        state.streams.seed,
        int(Purpose.SORTING),
        state.step,
        event,
        when,
    )
    vesicles.start[rows] = 0.0
    way = state.trafficking
    new = {code: np.zeros(captured.shape) for code in EVENT_OF_OUTCOME}
    for column in range(2):
        for code, (happening, status) in EVENT_OF_OUTCOME.items():
            hit = event[:, column] == code
            mine = rows[hit]
            if code == compartments.RETURNED:
                vesicles.hops[mine] += 1
            vesicles.status[mine] = status
            state.events.add(happening, vesicles, mine, state.time + when[hit, column])
            np.add.at(new[code], _places(vesicles, mine), 1)
    inward, out, fused_or_escaped = (
        new[compartments.TRANSFERRED],
        new[compartments.RETURNED],
        new[compartments.COMPLETED],
    )
    way.encountered += captured
    way.taken_up += inward
    way.unbound += new[compartments.EXITED]
    way.bound += captured - new[compartments.EXITED] - inward
    way.endosomal += inward - out - fused_or_escaped - new[compartments.LOST]
    way.returning[:] = new[compartments.EXITED] + out
    way.lysosomal += new[compartments.LOST]
    way.recycled += out
    way.delivered += fused_or_escaped
    met = captured > 0
    way.last_contact[met] = state.time + dt
    way.first_contact[met & np.isnan(way.first_contact)] = state.time + dt
    return Uptake(inward, new[compartments.LOST], out, fused_or_escaped)


def _shares(state: State) -> np.ndarray:
    """Probabilities of unbinding, fusion, recycling and escape, (1, K, 4), or (n, K, 4) if cells differ.

    A recycling or delivery probability of a cell applies to every vesicle kind.
    """
    shares = np.array(
        [
            [
                (k.unbinding_probability, k.fusion_probability, k.recycling_probability, k.escape_probability)
                for k in state.kinds
            ]
        ]
    )
    own = {name for name in ("recycling_probability", "delivery_probability") if name in state.behaviors}
    if not own:
        return shares
    shares = np.repeat(shares, len(state.cells), axis=0)
    if "recycling_probability" in own:
        recycling = state.behavior("recycling_probability")
        given = ~np.isnan(recycling)
        shares[given, :, 2] = recycling[given, None]
    if "delivery_probability" in own:
        delivery = state.behavior("delivery_probability")
        given = ~np.isnan(delivery)
        for k, kind in enumerate(state.kinds):
            place = 1 if kind.delivery_route is DeliveryRoute.MEMBRANE_FUSION else 3
            shares[given, k, place] = delivery[given]
    return shares


def _rates(state: State, vesicles: Vesicles, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rates for `draw_transitions`, and the row of each vesicle among them: its kind's, or its own."""
    shares, host, kind = _shares(state), vesicles.host[rows], vesicles.kind[rows]
    leave = np.array([k.unbinding_rate + k.internalization_rate for k in state.kinds])
    drain = np.array([k.processing_rate for k in state.kinds])
    blocked = bool(acting(state, Block.UPTAKE, Block.DELIVERY))
    if len(shares) == 1 and not blocked:
        off, fusion, recycling, escape = shares[0].T
        return np.column_stack([leave, off, fusion, drain, recycling, escape]), kind
    each = shares[host if len(shares) > 1 else 0, kind]
    off, fusion, recycling, escape = (block_each(state, vesicles, rows, each) if blocked else each).T
    mine = np.column_stack([leave[kind], off, fusion, drain[kind], recycling, escape])
    return mine, np.arange(len(kind))


def _places(vesicles: Vesicles, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of vesicles on or in cells in arrays (n, K, L)."""
    return vesicles.host[rows], vesicles.kind[rows], vesicles.label[rows]


def returning(kind: VesicleKind) -> str:
    """Process that a long step resolves poorly: vesicles that left cells are free from the next step."""
    return f"unbinding and renewed uptake of {kind.name}"


def long_step(subject: str, effect: str, mended: float) -> str:
    """Warning of a step that is long for a process: its effect, and a sufficient step in s."""
    return f"clock.step is long for {subject}: {effect}. A step of {duration_text(mended)} or less suffices"


def warn_of_waiting(state: State, dt: float) -> None:
    """Warn if many free vesicles left a cell in this step, in which they could not be captured."""
    waiting = state.trafficking.returning.sum(axis=(0, 2))
    free, emitted = state.balance["free"].sum(axis=1), state.balance.emitted.sum(axis=1)
    # Of single vesicles, the excess over 3 standard errors.
    surely = waiting - 3 * np.sqrt(waiting) if state.follows_vesicles else waiting
    for k in np.flatnonzero((surely > WARNING_SHARE * free) & (free > NEGLIGIBLE_SHARE * emitted)):
        subject = returning(state.kinds[k])
        if any(subject in warning for warning in state.warnings):
            continue
        share = waiting[k] / free[k]
        state.warnings.append(
            long_step(
                subject,
                f"at {state.time / 3600:.3g} h {percent_text(share)} of its free vesicles had left a "
                "cell in the last step, and wait for the next",
                dt * RECOMMENDED_SHARE * (1 - share) / share if share < 1 else dt * RECOMMENDED_SHARE,
            )
        )
