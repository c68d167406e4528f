"""Captured particles: finite binding sites, and two compartments in series, expected and drawn."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from exoabm.kernels.random import uniform, uniform_pair

_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}

Integers = NDArray[np.int64]
Codes = NDArray[np.int8]
Floats = NDArray[np.float64]

FIRST, SECOND = 1, 2
"""Codes of the compartments."""
NO_EVENT, EXITED, TRANSFERRED, COMPLETED, LOST, RETURNED = range(6)
"""Events: out of the first compartment, EXITED or TRANSFERRED; COMPLETED in either; out of the second, LOST
or RETURNED."""


class Arrivals(NamedTuple):
    """Particles that arrive at cells, (m) each."""

    when: Floats
    """s into the step"""
    cell: Integers
    kind: Integers
    draw: Floats
    """Uniform in (0, 1); a particle is admitted if it is less than the probability."""
    stay: Floats
    """s that it occupies the site."""
    share: Floats
    """Free sites over the mean number, as assumed for its capture."""
    beta: Floats
    sink: Floats
    own: Floats
    """k_a / kappa, and B by all cells and by this one: see `admit`."""


class Sites(NamedTuple):
    """Binding sites of cells; the last four change."""

    mean: Floats
    """(cells, kinds) number for which the rates hold."""
    whole: Floats
    """(cells, kinds) sites of the cell, a whole number."""
    shared: NDArray[np.bool_]
    """(cells, kinds, kinds) which kinds bind to the same sites."""
    taken: Integers
    """(cells, kinds)"""
    kept: Integers
    """(cells, kinds) of the sites taken, those that are not left in this step."""
    now: Floats
    """(cells, kinds) s; the same for kinds that share sites."""
    first: Integers
    """(cells) row of `Departures`, or -1."""


class Departures(NamedTuple):
    """Particles that leave their sites in this step, a linked list for each cell; changes."""

    when: Floats
    """s"""
    kind: Integers
    next: Integers
    """Row, or -1."""


class Compartments(NamedTuple):
    """Contents of two compartments in series and running totals, (n, K, L) each; `advance_compartments`."""

    arrived: Floats
    first: Floats
    second: Floats
    """Contents now."""
    out: Floats
    """Exited or returned in the last step."""
    exited: Floats
    transferred: Floats
    lost: Floats
    returned: Floats
    completed: Floats
    first_arrival: Floats
    last_arrival: Floats
    """s"""


class Transfers(NamedTuple):
    """Numbers moved in one step, (n, K, L) each; written."""

    transferred: Floats
    lost: Floats
    returned: Floats
    completed: Floats


@njit(**_JIT)
def relative_rate(share, beta, least):
    """kappa(f) / kappa = f / (f + (1 - f) / beta), at most 1 / ``least``: share f of the rate k_a.

    Numbers, or arrays of one shape; beta = k_a / kappa. The part of the resistance due to the lattice is
    constant.
    """
    return share / np.maximum(share + (1.0 - share) / beta, least * share)


@njit(**_JIT)
def _release_sites(sites, departures, cell, kind, now):
    """Free the sites of a cell, among those that a kind binds to, that were left until ``now``."""
    row, before = sites.first[cell], -1
    while row >= 0:
        after, leaves = departures.next[row], departures.kind[row]
        if departures.when[row] <= now and sites.shared[cell, kind, leaves]:
            sites.taken[cell, leaves] -= 1
            if before < 0:
                sites.first[cell] = after
            else:
                departures.next[before] = after
        else:
            before = row
        row = after


@njit(**_JIT)
def admit(arrivals, order, sites, departures, used, dt, least, admitted):
    """Probability r (1 + B) / (1 + B + (r - 1) b) that an arriving particle finds a free site.

    It was captured with the probability B/(1 + B) of a sub-step, for an assumed share of free sites; r is the
    rate at the actual share over that rate, and b the part of its cell in B. Returns the rows of
    ``departures`` that are used now.

    Parameters
    ----------
    arrivals : Arrivals
        Times of those admitted are replaced by those at which they are judged.
    order : (k,)
        Rows of ``arrivals`` that are judged, in this order.
    sites : Sites
    departures : Departures
        With room for all that are judged.
    used : int
        Rows of ``departures`` in use.
    dt : float
        Length of the step, s.
    least : float
        See `relative_rate`.
    admitted : (k,) bool
        Written.
    """
    for k in range(order.size):
        i = order[k]
        cell, kind = arrivals.cell[i], arrivals.kind[i]
        now = max(sites.now[cell, kind], arrivals.when[i])
        for other in range(sites.taken.shape[1]):
            if sites.shared[cell, kind, other]:
                sites.now[cell, other] = now
        _release_sites(sites, departures, cell, kind, now)
        free = sites.whole[cell, kind]
        for other in range(sites.taken.shape[1]):
            if sites.shared[cell, kind, other]:
                free -= sites.taken[cell, other]
        admitted[k] = False
        if free <= 0.0:
            continue
        ratio = relative_rate(free / sites.mean[cell, kind], arrivals.beta[i], least)
        ratio /= relative_rate(arrivals.share[i], arrivals.beta[i], least)
        sink = 1.0 + arrivals.sink[i]
        if arrivals.draw[i] * (sink + (ratio - 1.0) * arrivals.own[i]) >= ratio * sink:
            continue
        admitted[k] = True
        arrivals.when[i] = now
        sites.taken[cell, kind] += 1
        if now + arrivals.stay[i] < dt:
            departures.when[used], departures.kind[used] = now + arrivals.stay[i], kind
            departures.next[used] = sites.first[cell]
            sites.first[cell] = used
            used += 1
        else:
            sites.kept[cell, kind] += 1
    return used


def compartment_coefficients(leave: float, onward: float, drain: float, dt: float) -> np.ndarray:
    """Exact step of b' = C/dt - leave*b, e' = onward*b - drain*e over ``dt``.

    Returns
    -------
    numpy.ndarray, shape (5,)
        E_b, F_b, E_e, G_b, G_c with b1 = E_b b0 + F_b C and e1 = E_e e0 + G_b b0 + G_c C, where C enters
        evenly over the step; rates in 1/s, dt in s.
    """
    return np.array(_coefficients(leave, onward, drain, dt))


@lru_cache(maxsize=256)  # the same in every step of a run
def _coefficients(leave: float, onward: float, drain: float, dt: float) -> tuple[float, ...]:
    keep_b, keep_e = math.exp(-leave * dt), math.exp(-drain * dt)
    mean_b = -math.expm1(-leave * dt) / (leave * dt) if leave > 0 else 1.0
    mean_e = -math.expm1(-drain * dt) / drain if drain > 0 else dt
    close = abs(leave - drain) * dt < 1e-7
    overlap = dt * keep_b if close else (keep_b - keep_e) / (drain - leave)
    from_influx = onward / (leave * dt) * (mean_e - overlap) if leave > 0 else 0.0
    return keep_b, mean_b, keep_e, onward * overlap, from_influx


@njit(inline="always", **_JIT)
def _step(b0, e0, c, keep_b, mean_b, keep_e, from_b, from_c, off, fusion, recycling):
    """Contents after a step, and how many exited, moved on, completed at once, left the second, returned."""
    b1 = b0 * keep_b + c * mean_b
    left = b0 + c - b1
    back = left * off
    inward = left - back
    fused = inward * fusion
    e1 = e0 * keep_e + (1.0 - fusion) * (b0 * from_b + c * from_c)
    ended = max(e0 + inward - fused - e1, 0.0)
    return b1, e0 + inward - fused - ended, back, inward, fused, ended, ended * recycling


@njit(inline="always", **_JIT)
def advance_at(i, k, j, c, coefficients, shares, time, threshold, contents, transfers):
    """The step of `advance_compartments` of one row, kind and label, with coefficients (5) and shares (4)."""
    arrived, first, second, outward, exited, transferred, lost, returned, completed, begin, last = contents
    new_transferred, new_lost, new_returned, new_completed = transfers
    b1, e1, back, inward, fused, ended, out = _step(
        first[i, k, j], second[i, k, j], c, coefficients[0], coefficients[1], coefficients[2],
        coefficients[3], coefficients[4], shares[0], shares[1], shares[2],
    )  # fmt: skip
    functional = fused + (ended - out) * shares[3]
    degraded = (ended - out) * (1.0 - shares[3])
    first[i, k, j] = b1
    outward[i, k, j] = back + out
    second[i, k, j] = e1
    transferred[i, k, j] += inward
    exited[i, k, j] += back
    lost[i, k, j] += degraded
    returned[i, k, j] += out
    completed[i, k, j] += functional
    new_transferred[i, k, j] = inward
    new_lost[i, k, j] = degraded
    new_returned[i, k, j] = out
    new_completed[i, k, j] = functional
    if c > 0.0:
        arrived[i, k, j] += c
        last[i, k, j] = time
        if arrived[i, k, j] >= threshold and np.isnan(begin[i, k, j]):
            begin[i, k, j] = time


@njit(**_JIT)
def advance_compartments(entering, coefficients, shares, time, threshold, contents, transfers):
    """Advance every (row, kind, label) by one step; all arrays (n, K, L).

    Parameters
    ----------
    entering
        Particles that enter the first compartment, evenly over the step.
    coefficients
        (n, K, 5), or (1, K, 5) for all rows, from `compartment_coefficients`; with others in place of F_b and
        G_c where particles enter otherwise than evenly.
    shares
        (n, K, 4), or (1, K, 4) for all rows: the share of particles leaving the first compartment that exits;
        of the others, the share completed at once; of those leaving the second compartment, the share
        returned; and of the rest of these, the share completed.
    time, threshold
        End of the step, and the running count at which the first arrival is set to it.
    contents : Compartments
        Updated in place.
    transfers : Transfers
        Written.
    """
    n, kinds, labels = entering.shape
    own, each = shares.shape[0] > 1, coefficients.shape[0] > 1
    for i in range(n):
        for k in range(kinds):
            step, split = coefficients[i if each else 0, k], shares[i if own else 0, k]
            for j in range(labels):
                advance_at(i, k, j, entering[i, k, j], step, split, time, threshold, contents, transfers)


@njit(**_JIT)
def advance_compartment_parts(
    entering, coefficients, shares, first, second, first_parts, second_parts, out_parts
):  # fmt: skip
    """Advance the composition of the compartments by the step that `advance_compartments` then takes.

    Every part has the same rates, so that each is advanced by itself.

    Parameters
    ----------
    entering
        (n, K, L, S) particles that enter, by part.
    coefficients, shares
        As in `advance_compartments`.
    first, second
        (n, K, L) contents before the step.
    first_parts, second_parts, out_parts
        (n, K, L, S) share of each part in the contents and in the particles that exit or return; the first
        two as they are before the step, all written. Their sum is 1, or 0 where there are none.
    """
    n, kinds, labels, _ = entering.shape
    own, each = shares.shape[0] > 1, coefficients.shape[0] > 1
    held = first, second, first_parts, second_parts, out_parts
    for i in range(n):
        for k in range(kinds):
            step, split = coefficients[i if each else 0, k], shares[i if own else 0, k]
            for j in range(labels):
                advance_parts_at(i, k, j, entering[i, k, j], step, split, held)


@njit(inline="always", **_JIT)
def advance_parts_at(i, k, j, entering, coefficients, shares, held):
    """The step of `advance_compartment_parts` of one row, kind and label, of which ``entering`` (S) enter."""
    first, second, first_parts, second_parts, out_parts = held
    total_b = total_e = total_r = 0.0
    for s in range(entering.size):
        b1, e1, back, _, _, _, out = _step(
            first[i, k, j] * first_parts[i, k, j, s], second[i, k, j] * second_parts[i, k, j, s],
            entering[s], coefficients[0], coefficients[1], coefficients[2], coefficients[3], coefficients[4],
            shares[0], shares[1], shares[2],
        )  # fmt: skip
        first_parts[i, k, j, s] = b1
        second_parts[i, k, j, s] = e1
        out_parts[i, k, j, s] = back + out
        total_b += b1
        total_e += e1
        total_r += back + out
    for s in range(entering.size):
        first_parts[i, k, j, s] /= total_b if total_b > 0.0 else 1.0
        second_parts[i, k, j, s] /= total_e if total_e > 0.0 else 1.0
        out_parts[i, k, j, s] /= total_r if total_r > 0.0 else 1.0


class Residents(NamedTuple):
    """Particles in the compartments, as columns of which only some rows take part; (n) each."""

    id: Integers
    """Keys of the draws."""
    compartment: Codes
    """FIRST or SECOND"""
    due: Floats
    """Time at which each leaves its compartment, s; written, infinite outside."""
    cell: NDArray[np.int32]
    kind: Codes
    label: NDArray[np.int16]


class Leavings(NamedTuple):
    """Events of particles that leave a compartment, at most two of each; written."""

    code: Codes
    row: Integers
    when: Floats
    """s"""
    moved: Floats
    """(codes, cells, kinds, labels) number of each event; added to."""


@njit(**_JIT)
def _residence(seed, purpose, particle, step, draw, rate):
    """t = -log(u) / rate; infinite at a rate of 0."""
    return -math.log(uniform(seed, purpose, particle, step, draw)) / rate if rate > 0.0 else np.inf


@njit(**_JIT)
def draw_residence(particle, kind, rate, seed, purpose, step):
    """Residence times of particles that enter the first compartment, s, (m); draw 0 of each.

    Parameters
    ----------
    particle, kind : (m,)
        Keys of the draws, and indices into ``rate``.
    rate : (kinds,)
        Rate of leaving the first compartment, 1/s.
    seed, purpose, step : int
        Names of the draws.
    """
    stay = np.empty(particle.size)
    for i in range(particle.size):
        stay[i] = _residence(seed, purpose, particle[i], step, 0, rate[kind[i]])
    return stay


@njit(**_JIT)
def leave_compartments(rows, residents, end, shares, share_of, drain, seed, purpose, step, leavings):
    """Let particles leave their compartments until a time; returns the number of events.

    The time of leaving is drawn once, when a particle enters a compartment: exponential at a constant rate.
    Where it goes is drawn as it leaves, with the shares of that time. Draws 1, 2 and 3 of a particle in a
    step are its way out of the first compartment, its residence in the second and its way out of that; it
    enters each at most once in a step.

    Parameters
    ----------
    rows : (m,)
        Those due until ``end``.
    residents : Residents
    end : float
        s
    shares : (m', 4)
        See `advance_compartments`.
    share_of : (m,)
        Row of ``shares`` of each of ``rows``.
    drain : (K,)
        Rate of leaving the second compartment, 1/s.
    seed, purpose, step : int
        Names of the draws.
    leavings : Leavings
        With room for two events of each particle.
    """
    ids, compartment, due, cells, kinds, labels = residents
    code, origin, when, moved = leavings
    used = 0
    for k in range(rows.size):
        i = rows[k]
        cell, kind, label = cells[i], kinds[i], labels[i]
        off, fusion, recycling, escape = shares[share_of[k]]
        inside = compartment[i] == SECOND
        while due[i] <= end:
            event, after = LOST, np.inf
            u, v = uniform_pair(seed, purpose, ids[i], step, 3 if inside else 1)
            if inside:
                if u < recycling:
                    event = RETURNED
                elif v < escape:
                    event = COMPLETED
            elif u < off:
                event = EXITED
            else:
                event = TRANSFERRED
                after = due[i] + _residence(seed, purpose, ids[i], step, 2, drain[kind])
            code[used], origin[used], when[used] = event, i, due[i]
            used += 1
            moved[event, cell, kind, label] += 1.0
            if event == TRANSFERRED and v < fusion:
                code[used], origin[used], when[used] = COMPLETED, i, due[i]
                used += 1
                moved[COMPLETED, cell, kind, label] += 1.0
                after = np.inf
            due[i], inside = after, True
    return used
