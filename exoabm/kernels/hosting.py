"""Two waiting rooms in a row, left at random times, for many guests at once, each on its own random keys.

A guest in the OUTER room leaves at ``leave``: back out, or inward; inward it may finish at once or go to the
INNER room, which it leaves at ``drain``: back out, finished, or spent.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from exoabm.kernels.random import uniform

Integers = NDArray[np.int64]
Codes = NDArray[np.int8]
Floats = NDArray[np.float64]

OUTER, INNER = 1, 2
NOTHING, LEFT, ENTERED, FINISHED, SPENT, RETURNED = range(6)
"""Events: LEFT the outer room back out, ENTERED inward, FINISHED, SPENT, RETURNED from the inner room."""
CHUNK = 8192


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
