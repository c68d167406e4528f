"""Uptake by recipient cells: encountered -> bound -> endosomal -> recycled, lysosomal or delivered.

Uptake is not delivery; delivery is not effect. Most vesicles that are taken up do not open to the cytosol.
Source: bonsergent2021.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.accounting.step_records import Events, Pathway, Uptake
from exoabm.cell_type import Block
from exoabm.cells.silencing_and_gifts import acting, block_each, blocked_shares
from exoabm.kernels import binding_kinetics as compartments
from exoabm.kernels.binding_kinetics import (
    advance_compartment_parts,
    advance_compartments,
    compartment_coefficients,
)
from exoabm.parameters.units import duration_text, percent_text
from exoabm.random_streams import Purpose
from exoabm.tables.declarations import Event
from exoabm.vesicle import DeliveryRoute, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exoabm.accounting.step_records import TransportResult
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
    captured, sizes, arrival = result.captured, result.captured_sizes, result.arrival
    way = pathway(state, dt)
    coefficients, shares, held = way.coefficients, way.shares, tuple(way.contents)
    if arrival is not None:
        coefficients = np.repeat(coefficients, len(captured), axis=0)
        coefficients[..., [1, 4]] = np.where(np.isnan(arrival), coefficients[..., [1, 4]], arrival)
    new = [np.empty_like(captured) for _ in range(4)]
    pools: list[Any] = [way.contents.first, way.contents.second, *way.sizes]
    entering, transfers = captured, tuple(new)
    blocked = blocked_shares(state, shares)
    if blocked is not None:  # each origin has probabilities of its own, as if it were a kind
        labels = captured.shape[2]
        shares = blocked.reshape(len(captured), -1, blocked.shape[3])
        coefficients = np.repeat(coefficients, labels, axis=1)
        entering, sizes, *pools = _by_origin(captured, sizes, *pools)
        held, transfers = tuple(_by_origin(*held)), tuple(_by_origin(*new))
    if sizes is not None:
        advance_compartment_parts(sizes, coefficients, shares, *pools)
    advance_compartments(
        entering, coefficients, shares, state.time + dt, way.contact,
        compartments.Compartments(*held), compartments.Transfers(*transfers),
    )  # fmt: skip
    return Uptake(*new)


def pathway(state: State, dt: float) -> Pathway:
    """The contents of the cells, and how a step of ``dt`` seconds carries them on."""
    way = state.trafficking
    rates = tuple((k.unbinding_rate, k.internalization_rate, k.processing_rate) for k in state.kinds)
    each = (compartment_coefficients(off + into, into, on, dt) for off, into, on in rates)
    contents = compartments.Compartments(
        way.encountered, way.bound, way.endosomal, way.returning, way.unbound, way.taken_up, way.lysosomal,
        way.recycled, way.delivered, way.first_contact, way.last_contact,
    )  # fmt: skip
    sizes = way.bound_sizes, way.endosomal_sizes, way.returning_sizes
    return Pathway(np.array(list(each))[None], fate_probabilities(state), contents, LIKELY_CONTACT, sizes)


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


CODES = {
    compartments.NO_EVENT: (Event.RELEASE, Status.GONE),
    compartments.EXITED: (Event.UNBINDING, Status.RETURNING),
    compartments.TRANSFERRED: (Event.UPTAKE, Status.ENDOSOMAL),
    compartments.COMPLETED: (Event.DELIVERY, Status.GONE),
    compartments.LOST: (Event.DEGRADATION, Status.GONE),
    compartments.RETURNED: (Event.RECYCLING, Status.RETURNING),
}
"""Event and status of a vesicle by the code of the kernel; the first is never used."""
EVENTS, STATUSES = (np.array(column, np.int8) for column in zip(*CODES.values(), strict=True))


PATHWAY = (*Events.VESICLE, "due", "host", "status")
"""Columns of vesicles on and in cells that events and the pathway read."""


def _take_up_each(state: State, captured: np.ndarray, dt: float) -> Uptake:
    """Single vesicles, each at its own random times; only those that leave a place in this step are visited.

    The rates are those of the kind and constant, so that the time of leaving, ``Vesicles.due``, is drawn
    once, at binding and at uptake; where a vesicle goes depends on the cell as it is then.
    """
    end = state.time + dt
    due = np.flatnonzero(state.vesicles.due <= end)
    vesicles, rows = state.vesicles.take(due, PATHWAY), np.arange(len(due))
    moved = np.zeros((len(CODES), *captured.shape))
    most = 2 * len(rows)
    code, row, when = np.empty(most, np.int8), np.empty(most, np.int64), np.empty(most)
    used = compartments.leave_compartments(
        rows,
        compartments.Residents(
            vesicles.id, vesicles.status, vesicles.due, vesicles.host, vesicles.kind, vesicles.label
        ),
        end,
        *_shares_of(state, vesicles, rows),
        np.array([k.processing_rate for k in state.kinds]),
        state.streams.seed,
        int(Purpose.SORTING),
        state.step,
        compartments.Leavings(code, row, when, moved),
    )
    code, row, when = code[:used], row[:used], when[:used]
    back = code == compartments.RETURNED
    state.events.add(EVENTS[code[~back]], vesicles, row[~back], when[~back])
    vesicles.hops[row[back]] += 1
    state.events.add(Event.RECYCLING, vesicles, row[back], when[back])
    vesicles.status[row] = STATUSES[code]
    state.vesicles.put(due, vesicles, ("due", "hops", "status"))
    return _book(state, captured, moved, end)


def change_rates(state: State, before: Sequence[VesicleKind]) -> None:
    """Times of leaving of single vesicles after the rates of their kinds have changed from those ``before``.

        due' = t + (due - t) k / k'

    The rest of the unit exponential that was drawn is consumed at the new rate; where the rate was 0 it is
    drawn now.
    """
    vesicles = state.vesicles
    for status in (Status.BOUND, Status.ENDOSOMAL):
        old, new = (
            np.array(
                [
                    k.unbinding_rate + k.internalization_rate if status == Status.BOUND else k.processing_rate
                    for k in kinds
                ]
            )
            for kinds in (before, state.kinds)
        )
        rows = vesicles.rows(status)
        rows = rows[(old != new)[vesicles.kind[rows]]]
        was, now = old[vesicles.kind[rows]], new[vesicles.kind[rows]]
        rest = -np.log(state.streams.uniform(Purpose.SORTING, vesicles.id[rows], state.step, draw=4))
        np.multiply(vesicles.due[rows] - state.time, was, out=rest, where=was > 0)
        vesicles.due[rows] = state.time + np.divide(rest, now, out=np.full(len(rows), np.inf), where=now > 0)


def _book(state: State, captured: np.ndarray, moved: np.ndarray, end: float) -> Uptake:
    """Add the moves of a step, by the code of the kernel, to the counts of the cells."""
    way = state.trafficking
    _, unbound, inward, delivered, degraded, out = moved
    way.encountered += captured
    way.taken_up += inward
    way.unbound += unbound
    way.bound += captured - unbound - inward
    way.endosomal += inward - out - delivered - degraded
    way.returning[:] = unbound + out
    way.lysosomal += degraded
    way.recycled += out
    way.delivered += delivered
    met = captured > 0
    way.last_contact[met] = end
    way.first_contact[met & np.isnan(way.first_contact)] = end
    return Uptake(inward, degraded, out, delivered)


def fate_probabilities(state: State) -> np.ndarray:
    """Probabilities of unbinding, fusion, recycling and escape, (1, K, 4), or (n, K, 4) if cells differ.

    A recycling or delivery probability of a cell applies to every vesicle kind.
    """
    shares = np.array(
        [
            [
                (
                    k.unbinding_probability,
                    k.fusion_probability,
                    k.recycling_probability,
                    k.endosomal_escape_probability,
                )
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


def _shares_of(state: State, vesicles: Vesicles, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``fate_probabilities`` of the vesicles in ``rows``, (m', 4); and the row of each among them, (m,)."""
    shares, host, kind = fate_probabilities(state), vesicles.host[rows], vesicles.kind[rows].astype(np.int64)
    if acting(state, Block.UPTAKE, Block.DELIVERY):
        each = shares[host if len(shares) > 1 else 0, kind]
        return block_each(state, vesicles, rows, each), np.arange(len(rows))
    cell = host.astype(np.int64) if len(shares) > 1 else 0
    return shares.reshape(-1, 4), cell * shares.shape[1] + kind


def returning(kind: VesicleKind) -> str:
    """Process that a long step resolves poorly: vesicles that left cells are free from the next step."""
    return f"unbinding and renewed uptake of {kind.name}"


def long_step(subject: str, effect: str, mended: float) -> str:
    """Warning of a step that is long for a process: its effect, and a sufficient step in s."""
    return f"clock.step is long for {subject}: {effect}. A step of {duration_text(mended)} or less suffices"


def warn_of_waiting(state: State, dt: float, waiting: np.ndarray | None = None) -> None:
    """Warn if many free vesicles left a cell in this step, in which they could not be captured.

    ``waiting`` (K,) are those, by default counted here.
    """
    if waiting is None:
        waiting = state.trafficking.returning.sum(axis=(0, 2))
    if not waiting.any():
        return
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
