"""Two pools in a row with exchange, advanced exactly over a step, for many rows at once."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from exoabm.kernels.random import uniform
from exoabm.kernels.row_groups import CHUNK

_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}

Integers = NDArray[np.int64]
Codes = NDArray[np.int8]
Floats = NDArray[np.float64]

OUTER, INNER = 1, 2


NOTHING, LEFT, ENTERED, FINISHED, SPENT, RETURNED = range(6)
"""Events: LEFT the outer room back out, ENTERED inward, FINISHED, SPENT, RETURNED from the inner room."""


class Coming(NamedTuple):
    """Guests at hosts, in the order in which they are judged; (m) each."""

    when: Floats
    """s into the step"""
    host: Integers
    kind: Integers
    draw: Floats
    """Uniform in (0, 1); who draws less than the chance stays."""
    stay: Floats
    """s"""
    share: Floats
    """Free places, over the mean number, with which they were led here."""
    beta: Floats
    sink: Floats
    own: Floats
    """k_a / kappa, and B by all hosts and by this one: see `judge`."""


class Places(NamedTuple):
    """Hosts and their places; the last four change."""

    mean: Floats
    """(hosts, kinds) number that the rates are given for."""
    whole: Floats
    """(hosts, kinds) places that there are."""
    shared: NDArray[np.bool_]
    """(hosts, kinds, kinds) which kinds take the same places."""
    taken: Integers
    """(hosts, kinds)"""
    kept: Integers
    """(hosts, kinds) of those, the ones that are not left in this step."""
    now: Floats
    """(hosts, kinds) s; the same for kinds that share places."""
    first: Integers
    """(hosts) row of `Leaving`, or -1."""


class Leaving(NamedTuple):
    """Who leaves in this step, a linked list for each host; changes."""

    when: Floats
    """s"""
    kind: Integers
    next: Integers
    """Row, or -1."""


@njit(**_JIT)
def relative_rate(share, beta, least):
    """kappa(f) / kappa with a share f of the rate, f / (f + (1 - f) / beta), at most 1 / ``least``."""
    return share / max(share + (1.0 - share) / beta, least * share)


@njit(**_JIT)
def judge(coming, places, leaving, used, dt, least, stays):
    """Let guests take places, in their order; returns how many rows of ``leaving`` are used now.

    A guest was led to its host with the chance B/(1 + B) of a sub-step, as if a share of the places was free.
    With r the rate by those that are free over that, and b the host's own part of B, it stays with the chance

        r (1 + B) / (1 + B + (r - 1) b)

    Parameters
    ----------
    coming : Coming
    places : Places
    leaving : Leaving
        With room for all of ``coming``.
    used : int
        Rows of ``leaving`` in use.
    dt : float
        Length of the step, s.
    least : float
        See `relative_rate`.
    stays : (m,) bool
        Written.
    """
    for i in range(coming.when.size):
        host, kind = coming.host[i], coming.kind[i]
        now = max(places.now[host, kind], coming.when[i])
        for other in range(places.taken.shape[1]):
            if places.shared[host, kind, other]:
                places.now[host, other] = now
        row, before = places.first[host], -1
        while row >= 0:
            after, leaves = leaving.next[row], leaving.kind[row]
            if leaving.when[row] <= now and places.shared[host, kind, leaves]:
                places.taken[host, leaves] -= 1
                if before < 0:
                    places.first[host] = after
                else:
                    leaving.next[before] = after
            else:
                before = row
            row = after
        free = places.whole[host, kind]
        for other in range(places.taken.shape[1]):
            if places.shared[host, kind, other]:
                free -= places.taken[host, other]
        stays[i] = False
        if free <= 0.0:
            continue
        ratio = relative_rate(free / places.mean[host, kind], coming.beta[i], least)
        ratio /= relative_rate(coming.share[i], coming.beta[i], least)
        sink = 1.0 + coming.sink[i]
        if coming.draw[i] * (sink + (ratio - 1.0) * coming.own[i]) >= ratio * sink:
            continue
        stays[i] = True
        coming.when[i] = now
        places.taken[host, kind] += 1
        if now + coming.stay[i] < dt:
            leaving.when[used], leaving.kind[used] = now + coming.stay[i], kind
            leaving.next[used] = places.first[host]
            places.first[host] = used
            used += 1
        else:
            places.kept[host, kind] += 1
    return used


def chain_coefficients(leave: float, onward: float, drain: float, dt: float) -> np.ndarray:
    """Exact step of b' = C/dt - leave*b, e' = onward*b - drain*e over ``dt``.

    Returns
    -------
    numpy.ndarray, shape (5,)
        E_b, F_b, E_e, G_b, G_c with b1 = E_b b0 + F_b C and e1 = E_e e0 + G_b b0 + G_c C, where C enters
        evenly over the step; rates in 1/s, dt in s.
    """
    keep_b, keep_e = math.exp(-leave * dt), math.exp(-drain * dt)
    mean_b = -math.expm1(-leave * dt) / (leave * dt) if leave > 0 else 1.0
    mean_e = -math.expm1(-drain * dt) / drain if drain > 0 else dt
    close = abs(leave - drain) * dt < 1e-7
    overlap = dt * keep_b if close else (keep_b - keep_e) / (drain - leave)
    from_influx = onward / (leave * dt) * (mean_e - overlap) if leave > 0 else 0.0
    return np.array([keep_b, mean_b, keep_e, onward * overlap, from_influx])


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _step(b0, e0, c, keep_b, mean_b, keep_e, from_b, from_c, off, fusion, recycling):
    """Both pools after a step, and what moved: out of the first, inward, fused, ended, out of the second."""
    b1 = b0 * keep_b + c * mean_b
    left = b0 + c - b1
    back = left * off
    inward = left - back
    fused = inward * fusion
    e1 = e0 * keep_e + (1.0 - fusion) * (b0 * from_b + c * from_c)
    ended = max(e0 + inward - fused - e1, 0.0)
    return b1, e0 + inward - fused - ended, back, inward, fused, ended, ended * recycling


@njit(cache=True, nogil=True, error_model="numpy")
def advance_chain(
    captured,
    coefficients,
    shares,
    time,
    threshold,
    encountered,
    bound,
    returning,
    internalized,
    unbound,
    endosomal,
    lysosomal,
    recycled,
    delivered,
    first_contact,
    last_contact,
    new_internalized,
    new_lysosomal,
    new_recycled,
    new_delivered,
):
    """Advance every (row, kind, label) by one step; all arrays (n, K, L), updated in place.

    Parameters
    ----------
    captured
        What enters the first pool, evenly over the step.
    coefficients
        (n, K, 5), or (1, K, 5) for all rows, from ``chain_coefficients``; with others in place of F_b and G_c
        where what enters comes otherwise than evenly.
    shares
        (n, K, 4), or (1, K, 4) for all rows: of what leaves the first pool, the share that goes back out;
        of what goes on, the share delivered at once; of what leaves the second pool, the share that goes
        back out; and of the rest of that, the share delivered.
    time, threshold
        End of the step, and the running count at which ``first_contact`` is set to it.
    """
    n, kinds, labels = captured.shape
    own, each = shares.shape[0] > 1, coefficients.shape[0] > 1
    for i in range(n):
        for k in range(kinds):
            keep_b, mean_b, keep_e, from_b, from_c = coefficients[i if each else 0, k]
            off, fusion, recycling, escape = shares[i if own else 0, k]
            for j in range(labels):
                c = captured[i, k, j]
                b0 = bound[i, k, j]
                e0 = endosomal[i, k, j]
                b1, e1, back, inward, fused, ended, out = _step(
                    b0, e0, c, keep_b, mean_b, keep_e, from_b, from_c, off, fusion, recycling
                )
                functional = fused + (ended - out) * escape
                degraded = (ended - out) * (1.0 - escape)
                bound[i, k, j] = b1
                returning[i, k, j] = back + out
                endosomal[i, k, j] = e1
                internalized[i, k, j] += inward
                unbound[i, k, j] += back
                lysosomal[i, k, j] += degraded
                recycled[i, k, j] += out
                delivered[i, k, j] += functional
                new_internalized[i, k, j] = inward
                new_lysosomal[i, k, j] = degraded
                new_recycled[i, k, j] = out
                new_delivered[i, k, j] = functional
                if c > 0.0:
                    encountered[i, k, j] += c
                    last_contact[i, k, j] = time
                    if encountered[i, k, j] >= threshold and np.isnan(first_contact[i, k, j]):
                        first_contact[i, k, j] = time


@njit(cache=True, nogil=True, error_model="numpy")
def advance_parts(
    captured, coefficients, shares, bound, endosomal, bound_parts, endosomal_parts, returning_parts
):  # fmt: skip
    """Advance what the pools are made of by the step that ``advance_chain`` then takes with their totals.

    Every part goes the same way at the same rates, so that each is advanced by itself.

    Parameters
    ----------
    captured
        (n, K, L, S) what enters, by part.
    coefficients, shares
        As in ``advance_chain``.
    bound, endosomal
        (n, K, L) the pools before the step.
    bound_parts, endosomal_parts, returning_parts
        (n, K, L, S) share of each part in the pools and in what goes back out; the first two as they are
        before the step, all written. Their sum is 1, or 0 where nothing is.
    """
    n, kinds, labels, parts = captured.shape
    own, each = shares.shape[0] > 1, coefficients.shape[0] > 1
    for i in range(n):
        for k in range(kinds):
            keep_b, mean_b, keep_e, from_b, from_c = coefficients[i if each else 0, k]
            off, fusion, recycling, _ = shares[i if own else 0, k]
            for j in range(labels):
                total_b = total_e = total_r = 0.0
                for s in range(parts):
                    b1, e1, back, _, _, _, out = _step(
                        bound[i, k, j] * bound_parts[i, k, j, s],
                        endosomal[i, k, j] * endosomal_parts[i, k, j, s],
                        captured[i, k, j, s], keep_b, mean_b, keep_e, from_b, from_c, off, fusion, recycling,
                    )  # fmt: skip
                    bound_parts[i, k, j, s] = b1
                    endosomal_parts[i, k, j, s] = e1
                    returning_parts[i, k, j, s] = back + out
                    total_b += b1
                    total_e += e1
                    total_r += back + out
                for s in range(parts):
                    bound_parts[i, k, j, s] /= total_b if total_b > 0.0 else 1.0
                    endosomal_parts[i, k, j, s] /= total_e if total_e > 0.0 else 1.0
                    returning_parts[i, k, j, s] /= total_r if total_r > 0.0 else 1.0


@njit(cache=True, nogil=True, error_model="numpy")
def _one(guest, room, since, rates, dt, seed, purpose, step):
    """First and second event of one guest with their times, from ``since`` to the end of the step."""
    leave, off, fusion, drain, recycling, escape = rates
    time = since
    first, first_time = NOTHING, 0.0
    if room == OUTER:
        if leave == 0.0:
            return NOTHING, 0.0, NOTHING, 0.0
        time -= math.log(uniform(seed, purpose, guest, step, 0)) / leave
        if time > dt:
            return NOTHING, 0.0, NOTHING, 0.0
        if uniform(seed, purpose, guest, step, 1) < off:
            return LEFT, time, NOTHING, 0.0
        first, first_time = ENTERED, time
        if uniform(seed, purpose, guest, step, 2) < fusion:
            return first, first_time, FINISHED, time
    if drain == 0.0:
        return first, first_time, NOTHING, 0.0
    time -= math.log(uniform(seed, purpose, guest, step, 3)) / drain
    if time > dt:
        return first, first_time, NOTHING, 0.0
    if uniform(seed, purpose, guest, step, 4) < recycling:
        end = RETURNED
    elif uniform(seed, purpose, guest, step, 5) < escape:
        end = FINISHED
    else:
        end = SPENT
    if first == NOTHING:
        return end, time, NOTHING, 0.0
    return first, first_time, end, time


@njit(cache=True, nogil=True, error_model="numpy")
def _range(start, stop, guest, room, since, kind, rates, dt, seed, purpose, step, event, when):
    for i in range(start, stop):
        a, ta, b, tb = _one(guest[i], room[i], since[i], rates[kind[i]], dt, seed, purpose, step)
        event[i, 0], when[i, 0] = a, ta
        event[i, 1], when[i, 1] = b, tb


@njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def _parallel(guest, room, since, kind, rates, dt, seed, purpose, step, event, when):
    n = guest.shape[0]
    for chunk in prange((n + CHUNK - 1) // CHUNK):
        stop = min(n, (chunk + 1) * CHUNK)
        _range(chunk * CHUNK, stop, guest, room, since, kind, rates, dt, seed, purpose, step, event, when)


def host(
    guest: Integers,
    room: Codes,
    since: Floats,
    kind: Codes,
    rates: Floats,
    dt: float,
    seed: int,
    purpose: int,
    step: int,
    event: Codes,
    when: Floats,
    *,
    threads: int = 1,
) -> None:
    """Let every guest live through one step of ``dt`` seconds.

    Parameters
    ----------
    guest
        (n) int64 names, the random keys.
    room, since, kind
        (n) OUTER or INNER, the time within the step from which it counts, and the row of ``rates``.
    rates
        (kinds, 6): leave 1/s, share back out, share finished on entering, drain 1/s, share returned from
        the inner room, share of the rest that is finished.
    event, when
        (n, 2) int8 and float64, written: at most two events of each guest and their times.
    """
    job = (guest, room, since, kind, rates, dt, seed, purpose, step, event, when)
    if threads == 1:
        _range(0, len(guest), *job)
    else:
        _parallel(*job)
