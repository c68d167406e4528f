"""Counting events by key: rows in the order of their first event, found through an open-addressed table."""

from __future__ import annotations

import numpy as np
from numba import njit

FREE = np.int32(-1)
_MIX = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True, nogil=True, error_model="numpy")
def _slot(slots, keys, key):
    """Where the row of a key is noted, or the free slot where it belongs."""
    mask = slots.shape[0] - 1
    slot = np.int64((np.uint64(key) * _MIX) >> np.uint64(20)) & mask
    while slots[slot] != FREE and keys[slots[slot]] != key:
        slot = (slot + 1) & mask
    return slot


@njit(cache=True, nogil=True, error_model="numpy")
def tally(key, column, amount, time, slots, keys, counts, first, last, used):
    """Add ``amount`` to ``counts[row of key, column]``, noting first and last time of column 0.

    Parameters
    ----------
    key, column, amount, time
        (n) int64 keys, columns, what to add, times in s.
    slots
        Rows by the hash of their keys, int32, ``FREE`` where none; a power of two, more than there are rows.
    keys, counts, first, last
        Rows: (m) keys, (m, columns), (m), (m); those from ``used`` on are 0, inf and -inf.
    used
        Rows taken.

    Returns
    -------
    done, used
        Events counted before the rows were full, and rows taken now.
    """
    for i in range(key.shape[0]):
        slot = _slot(slots, keys, key[i])
        if slots[slot] == FREE:
            if used == keys.shape[0]:
                return i, used
            slots[slot] = used
            keys[used] = key[i]
            used += 1
        row = slots[slot]
        counts[row, column[i]] += amount[i]
        if column[i] == 0:
            first[row] = min(first[row], time[i])
            last[row] = max(last[row], time[i])
    return key.shape[0], used


@njit(cache=True, nogil=True, error_model="numpy")
def enter(slots, keys, used):
    """Note rows 0 to ``used`` - 1, all of different keys, in an empty table."""
    for row in range(used):
        slots[_slot(slots, keys, keys[row])] = row
