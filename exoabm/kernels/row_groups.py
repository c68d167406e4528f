"""Groups of rows: linked lists, orders and counts by key, and sums over rows."""

from __future__ import annotations

import numpy as np
from numba import njit

EMPTY = np.int32(-1)
_MIX = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True, nogil=True, error_model="numpy")
def linked_lists(group, groups):
    """Linked list of the rows of each group: its first row or -1, (groups), and the next row after each."""
    first, after = np.full(groups, -1, np.int64), np.empty(group.size, np.int64)
    for row in range(group.size):
        after[row] = first[group[row]]
        first[group[row]] = row
    return first, after


_DIGIT = 11
"""Bits that one pass of `order_by_key` sorts by."""


@njit(cache=True, nogil=True, error_model="numpy")
def order_by_key(keys):
    """Stable order of int64 keys that are not negative: rows, (n), by counting digits from the last."""
    n, ones = keys.size, (1 << _DIGIT) - 1
    order, other = np.arange(n), np.empty(n, np.int64)
    sorted_, moved = keys.copy(), np.empty(n, np.int64)
    count = np.empty(1 << _DIGIT, np.int64)
    largest = keys.max() if n else 0
    shift = 0
    while shift < 63 and largest >> shift:
        count[:] = 0
        for i in range(n):
            count[(sorted_[i] >> shift) & ones] += 1
        if n > count[(sorted_[0] >> shift) & ones]:  # keys differ in this digit
            before = 0
            for digit in range(ones + 1):
                here = count[digit]
                count[digit] = before
                before += here
            for i in range(n):
                digit = (sorted_[i] >> shift) & ones
                to = count[digit]
                count[digit] = to + 1
                moved[to], other[to] = sorted_[i], order[i]
            sorted_, moved = moved, sorted_
            order, other = other, order
        shift += _DIGIT
    return order


_FEW = 32
"""Rows of a group up to which they are sorted by insertion."""


@njit(cache=True, nogil=True, error_model="numpy")
def order_in_groups(group, groups, when, name):
    """Order of rows by group, in each by time and at equal times by name: rows, (n).

    Parameters
    ----------
    group : (n,) int64
        From 0 to ``groups`` - 1.
    groups : int
    when, name : (n,)
        Times, and int64 names that differ; none is below 0.
    """
    end = np.zeros(groups + 1, np.int64)
    for row in range(group.size):
        end[group[row] + 1] += 1
    for g in range(groups):
        end[g + 1] += end[g]
    order, begin = np.empty(group.size, np.int64), end[:-1].copy()
    for row in range(group.size):
        order[begin[group[row]]] = row
        begin[group[row]] += 1
    for g in range(groups):
        first, last = end[g], end[g + 1]
        if last - first > _FEW:
            some = order[first:last].copy()
            some = some[order_by_key(name[some])]
            order[first:last] = some[order_by_key(when[some].view(np.int64))]  # bits of times rise with them
            continue
        for i in range(first + 1, last):
            row, j = order[i], i
            while j > first:
                other = order[j - 1]
                if when[other] < when[row] or (when[other] == when[row] and name[other] <= name[row]):
                    break
                order[j] = other
                j -= 1
            order[j] = row
    return order


@njit(cache=True, nogil=True, error_model="numpy")
def count_pairs(rows, first, second, count):
    """Add 1 to ``count[first[row], second[row]]`` for each of ``rows``."""
    for i in range(rows.size):
        count[first[rows[i]], second[rows[i]]] += 1.0


@njit(cache=True, nogil=True, error_model="numpy")
def _sum_rows(values, total):
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            total[j] += values[i, j]


def sum_over_rows(values: np.ndarray) -> np.ndarray:
    """Sum of (n, ...) over its rows, in order, with the bits of ``np.add.reduce``, which is slower."""
    if values[:1].size < 2:  # NumPy sums these pairwise
        return np.asarray(np.add.reduce(values))
    total = np.zeros(values.shape[1:])
    _sum_rows(values.reshape(len(values), -1), total.reshape(-1))
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def sum_pairwise(values):
    """Sum of (n) numbers with the bits of ``np.sum``: eight running sums in blocks of at most 128, in pairs.

    Source: Higham NJ, SIAM J. Sci. Comput. 1993;14:783, in the form of NumPy.
    """
    n = values.size
    if n > 128:
        half = n // 2
        half -= half % 8
        return sum_pairwise(values[:half]) + sum_pairwise(values[half:])
    whole = n - n % 8
    r0 = r1 = r2 = r3 = r4 = r5 = r6 = r7 = 0.0
    for i in range(0, whole, 8):
        r0 += values[i]
        r1 += values[i + 1]
        r2 += values[i + 2]
        r3 += values[i + 3]
        r4 += values[i + 4]
        r5 += values[i + 5]
        r6 += values[i + 6]
        r7 += values[i + 7]
    total = ((r0 + r1) + (r2 + r3)) + ((r4 + r5) + (r6 + r7))
    for i in range(whole, n):
        total += values[i]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def sum_of_each_row(values, total):
    """``total[i]`` = sum of ``values[i]``, of (n, m)."""
    for i in range(values.shape[0]):
        total[i] = sum_pairwise(values[i])


@njit(cache=True, nogil=True, error_model="numpy")
def rows_until(due, status, wanted, time, length):
    """Rows of a status that are due before ``length`` has passed from ``time`` on, in order."""
    rows, used = np.empty(due.size, np.int64), 0
    for row in range(due.size):
        rows[used] = row
        used += (due[row] - time < length) & (status[row] == wanted)  # a branch would be mispredicted
    return rows[:used].copy()


@njit(cache=True, nogil=True, error_model="numpy")
def gather(column, rows, result):
    """``result[i] = column[rows[i]]``, (n,) each, in the type of the result."""
    for i in range(rows.size):
        result[i] = column[rows[i]]


@njit(cache=True, nogil=True, error_model="numpy")
def choose_by_weight(running, first, last, u, chosen):
    """Choose an entry of a group with a probability proportional to its weight; (m) each.

    Parameters
    ----------
    running
        (n + 1) sums of the weights of all entries before each, from 0 on.
    first, last
        The group has the entries from ``first`` to ``last`` - 1, at least one.
    u
        In (0, 1).
    chosen
        int64; written.
    """
    for i in range(u.size):
        entry = first[i]
        sum_ = running[entry] + u[i] * (running[last[i]] - running[entry])
        while entry + 1 < last[i] and running[entry + 1] <= sum_:
            entry += 1
        chosen[i] = entry


@njit(cache=True, nogil=True, error_model="numpy")
def _slot(slots, keys, key):
    """Where the row of a key is noted, or the free slot where it belongs."""
    mask = slots.shape[0] - 1
    slot = np.int64((np.uint64(key) * _MIX) >> np.uint64(20)) & mask
    while slots[slot] != EMPTY and keys[slots[slot]] != key:
        slot = (slot + 1) & mask
    return slot


@njit(cache=True, nogil=True, error_model="numpy")
def count_by_key(key, column, amount, time, slots, keys, counts, most, first, last, used):
    """Add ``amount`` to ``counts[row of key, column]``, noting first and last time of column 0.

    Parameters
    ----------
    key, column, amount, time
        (n) int64 keys, columns (none is counted below 0), what to add, times in s.
    slots
        Rows by the hash of their keys, int32, ``EMPTY`` where none; a power of two, more than there are rows.
    keys, counts, first, last
        Rows: (m) keys, (m, columns), (m), (m); those from ``used`` on are 0, inf and -inf.
    most
        Largest count.
    used
        Rows taken.

    Returns
    -------
    done, used
        Events counted before the rows were full or a count would have exceeded ``most``, and rows taken now.
    """
    for i in range(key.shape[0]):
        if column[i] < 0:
            continue
        slot = _slot(slots, keys, key[i])
        if slots[slot] == EMPTY:
            if used == keys.shape[0]:
                return i, used
            slots[slot] = used
            keys[used] = key[i]
            used += 1
        row = slots[slot]
        if counts[row, column[i]] > most - amount[i]:
            return i, used
        counts[row, column[i]] += amount[i]
        if column[i] == 0:
            first[row] = min(first[row], time[i])
            last[row] = max(last[row], time[i])
    return key.shape[0], used


@njit(cache=True, nogil=True, error_model="numpy")
def index_keys(slots, keys, used):
    """Note rows 0 to ``used`` - 1, all of different keys, in an empty table."""
    for row in range(used):
        slots[_slot(slots, keys, keys[row])] = row
