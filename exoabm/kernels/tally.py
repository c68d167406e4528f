"""Counting events by key in an open-addressed table: one pass, no sorting."""

from __future__ import annotations

import numpy as np
from numba import njit

EMPTY = np.int64(-1)
_MIX = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True, nogil=True, error_model="numpy")
def _place(keys, key):
    """Where a key stands in the table, or the free place where it belongs."""
    mask = keys.shape[0] - 1
    place = np.int64((np.uint64(key) * _MIX) >> np.uint64(20)) & mask
    while keys[place] != EMPTY and keys[place] != key:
        place = (place + 1) & mask
    return place


@njit(cache=True, nogil=True, error_model="numpy")
def tally(key, column, amount, time, keys, counts, first, last, used, limit):
    """Add ``amount`` to ``counts[place of key, column]``, noting first and last time of column 0.

    Parameters
    ----------
    key, column, amount, time
        (n) int64 keys of 0 or more, columns, what to add, times in s.
    keys, counts, first, last
        The table, of a length that is a power of two: (m) keys, EMPTY where free, (m, columns), (m), (m).
    used, limit
        Places taken, and how many may be.

    Returns
    -------
    done, used
        Events counted before the table was full, and places taken now.
    """
    for i in range(key.shape[0]):
        place = _place(keys, key[i])
        if keys[place] == EMPTY:
            if used >= limit:
                return i, used
            keys[place] = key[i]
            used += 1
        counts[place, column[i]] += amount[i]
        if column[i] == 0:
            first[place] = min(first[place], time[i])
            last[place] = max(last[place], time[i])
    return key.shape[0], used


@njit(cache=True, nogil=True, error_model="numpy")
def move(keys, counts, first, last, new_keys, new_counts, new_first, new_last):
    """Put every row of one table into a larger, empty one."""
    for i in range(keys.shape[0]):
        if keys[i] != EMPTY:
            place = _place(new_keys, keys[i])
            new_keys[place] = keys[i]
            new_counts[place] = counts[i]
            new_first[place] = first[i]
            new_last[place] = last[i]
