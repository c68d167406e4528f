"""The edge book against counting in a dictionary, and single vesicles coming and going."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exoabm.accounting.contact_table import ContactTable
from exoabm.vesicle import Status, Vesicles

COLUMNS = ("encountered", "taken_up", "copies")


def events(rng, n, cells):
    return (
        rng.integers(0, cells, n),
        rng.integers(0, cells, n),
        rng.integers(0, len(COLUMNS), n),
        rng.integers(0, 5, n),
        rng.random(n) * 1e4,
    )


@pytest.mark.parametrize(("n", "cells"), [(0, 5), (10, 3), (50_000, 40), (50_000, 100_000)])
def test_equals_counting_in_a_dictionary(n, cells):
    rng = np.random.default_rng(5)
    book = ContactTable(COLUMNS, 2)
    plain, first, last = Counter(), {}, {}
    for _ in range(3):
        donor, recipient, column, amount, time = events(rng, n, cells)
        book.add(1, donor, recipient, column, amount, time)
        for d, r, c, a, t in zip(donor, recipient, column, amount, time, strict=True):
            plain[d, r, COLUMNS[c]] += a
            if c == 0:
                first[d, r] = min(first.get((d, r), np.inf), t)
                last[d, r] = max(last.get((d, r), -np.inf), t)
    edges = book.edges(1)
    pairs = list(zip(edges["donor"].tolist(), edges["recipient"].tolist(), strict=True))
    assert pairs == sorted(pairs, key=lambda p: (p[1], p[0]))
    for name in COLUMNS:
        assert all(v == plain[d, r, name] for (d, r), v in zip(pairs, edges[name].tolist(), strict=True))
        assert edges[name].sum() == sum(v for (_, _, c), v in plain.items() if c == name)
    for (d, r), a, b in zip(pairs, edges["first"].tolist(), edges["last"].tolist(), strict=True):
        assert a == first.get((d, r), np.inf)
        assert b == last.get((d, r), -np.inf)
    assert len(book.edges(0)["donor"]) == 0


def test_counts_may_exceed_32_bits():
    """Also after other edges were compressed."""
    book, some = ContactTable(COLUMNS, 1), np.array([1, 2])
    for _ in range(3):
        book.add(0, some, some, np.array([2, 0]), np.array([2**30, 1]), np.ones(2))
    assert book.edges(0)["copies"].tolist() == [3 * 2**30, 0]
    others = np.arange(3, 3000)
    book.add(0, others, others, np.zeros(2997, int), np.ones(2997, int), np.ones(2997))
    book.settle(np.array([1]))
    assert len(book.open_edges(0)[0]) == 1
    book.add(0, some[:1], some[:1], np.array([2]), np.array([2**31]), np.ones(1))
    edges = book.edges(0)
    assert edges["copies"][:3].tolist() == [5 * 2**30, 0, 0]
    assert edges["encountered"][:3].tolist() == [0, 3, 1]


def test_order_of_events_does_not_matter():
    donor, recipient, column, amount, time = events(np.random.default_rng(1), 20_000, 50)
    one, other = ContactTable(COLUMNS, 1), ContactTable(COLUMNS, 1)
    one.add(0, donor, recipient, column, amount, time)
    back = slice(None, None, -1)
    other.add(0, donor[back], recipient[back], column[back], amount[back], time[back])
    for name, values in one.edges(0).items():
        assert np.array_equal(values, other.edges(0)[name])


def born(vesicles, numbers):
    n = len(numbers)
    return vesicles.append(
        **{name: np.zeros(n) for name in Vesicles.COLUMNS if name != "id"},
        id=numbers,
        copies=np.zeros((n, 1)),
    )


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 60), st.floats(0, 1)), max_size=12), st.integers(0, 2**32))
def test_vesicles_come_and_go_without_loss(moves, seed):
    rng, vesicles, alive, number = np.random.default_rng(seed), Vesicles(1), [], 0
    for arrivals, share in moves:
        born(vesicles, np.arange(number, number + arrivals))
        alive += range(number, number + arrivals)
        number += arrivals
        leave = rng.random(len(vesicles)) < share
        alive = sorted(set(alive) - set(vesicles.id[leave].tolist()))
        vesicles.remove(np.flatnonzero(leave))
        assert sorted(vesicles.id.tolist()) == alive
        assert len(vesicles) == len(alive)


def test_a_vesicle_takes_at_most_64_bytes():
    vesicles = Vesicles(7)
    born(vesicles, np.arange(1))
    assert sum(column[:1].nbytes for column in vesicles._arrays.values()) <= 64


def test_rows_that_are_taken_and_put_back():
    """A table of some rows has all their columns; only the named ones go back, and to these rows."""
    vesicles, rows = Vesicles(1), np.array([4, 1])
    born(vesicles, np.arange(5))
    vesicles.copies[:, 0] = np.arange(5)
    part = vesicles.take(rows)
    assert part.id.tolist() == part.copies[:, 0].tolist() == [4, 1]
    part.x[:], part.y[:], part.status[:] = [7.0, 8.0], 9.0, [1, 2]
    assert not vesicles.x.any(), "a copy"
    vesicles.put(rows, part, ("x", "status"))
    assert vesicles.x.tolist() == [0, 8, 0, 0, 7]
    assert vesicles.status.tolist() == [0, 2, 0, 0, 1]
    assert not vesicles.y.any()


def test_rows_by_status():
    vesicles = Vesicles(1)
    born(vesicles, np.arange(5))
    vesicles.status[:] = [0, 1, 2, 3, 0]
    assert vesicles.rows(Status.FREE).tolist() == [0, 4]
    assert vesicles.rows(Status.BOUND, Status.RETURNING).tolist() == [1, 3]


def test_edges_to_the_dead_are_packed_without_loss():
    """With and without packing, a book in which recipients die has the same edges; packed ones are small."""
    rng = np.random.default_rng(7)
    packing, plain = ContactTable(COLUMNS, 1), ContactTable(COLUMNS, 1)
    for step in range(300):
        living = np.arange(step, step + 200)
        donor = rng.integers(0, step + 200, 400)
        recipient = rng.choice(living, 400)
        met = donor, recipient, rng.integers(0, 2, 400), np.ones(400, int), rng.random(400) + step
        packing.add(0, *met)
        plain.add(0, *met)
        packing.settle(living[1:])
    edges, expected = packing.edges(0), plain.edges(0)
    for name, values in expected.items():
        assert np.array_equal(edges[name], values), name
    assert len(packing) == len(plain) == len(expected["donor"]) > 80_000
    closed = packing.closed[0]
    assert closed.edges > 0.4 * len(plain)
    assert closed.blocks.nbytes < 24 * closed.edges
    assert packing.bytes_held < 0.7 * plain.bytes_held
