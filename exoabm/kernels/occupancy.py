"""Places that guests take and leave: who comes finds one free with a chance that follows those taken.

A host has so many whole places, shared by some kinds of guests. Guests come in the order of time; each takes
its place for a time that is its own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


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
def enlist(host, hosts):
    """A linked list of the rows that name each host: first row or -1, (hosts), and the next after each."""
    first, after = np.full(hosts, -1, np.int64), np.empty(host.size, np.int64)
    for row in range(host.size):
        after[row] = first[host[row]]
        first[host[row]] = row
    return first, after


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
