"""Table of contacts between single cells: donor, recipient, counts of vesicles.

Edges are kept for the whole run. An open edge takes about 90 bytes; edges to dead recipients, which do not
change, are compressed to about 15 bytes each.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from exoabm.kernels.row_groups import EMPTY, count_by_key, index_keys, order_by_key
from exoabm.tables.declarations import COUNTED, Event

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

CONTACT_COUNTS = tuple(COUNTED.values())
"""Counts between two cells."""
MEMBRANE_COUNTS = {
    Event.HANDOVER: "handed_over",
    Event.INHERITANCE: "inherited",
    Event.CLEARANCE: "shed",
}
"""Counts of vesicles bound to cells that divide or die: passed on with the membrane of the daughter, received
with it, or cleared with the debris of the dead."""
SMALLEST = 1024
"""Rows of a new table, and least number of rows that is compressed."""
GROWTH = 1.25
"""Factor of growth of a full table, and of open edges before closed ones are compressed."""


@dataclass
class ContactTable:
    """One table of edges per vesicle kind.

    An edge is a pair of birth ids, donor and recipient; a donor that is no cell is ``vesicle.NON_CELL_ID`` +
    its label. ``columns`` names the counts; the first is the encounter, whose first and last times are kept.
    """

    columns: tuple[str, ...]
    kinds: int
    tables: list[_OpenEdges] = field(init=False)
    closed: list[_PackedEdges] = field(init=False)

    def __post_init__(self) -> None:
        self.tables = [_OpenEdges(len(self.columns)) for _ in range(self.kinds)]
        self.closed = [_PackedEdges(len(self.columns)) for _ in range(self.kinds)]

    def __len__(self) -> int:
        return sum(t.used for t in self.tables) + sum(p.edges for p in self.closed)

    @property
    def bytes_held(self) -> int:
        """Memory of all edges and of the reserved capacity, bytes."""
        return sum(t.bytes_held for t in self.tables) + sum(p.blocks.nbytes for p in self.closed)

    def add(
        self,
        kind: int,
        donor: np.ndarray,
        recipient: np.ndarray,
        column: np.ndarray,
        amount: np.ndarray,
        time: np.ndarray,
    ) -> None:
        """Count events of one kind, but those of a column below 0; an entry per event, times in s."""
        key = (recipient.astype(np.int64) << 32) | donor.astype(np.int64)
        column, amount = (a.astype(np.int64, copy=False) for a in (column, amount))
        self.tables[kind].add(key, column, amount, time)

    def settle(self, living: np.ndarray) -> None:
        """Compress the edges to recipients not among the ``living`` (birth ids), if there are enough."""
        for table, packed in zip(self.tables, self.closed, strict=True):
            if table.used > table.due:
                packed.append(table.release(np.isin(table.keys[: table.used] >> 32, living, invert=True)))

    def open_edges(self, kind: int) -> tuple[np.ndarray, np.ndarray]:
        """Recipients and counts of the edges that are not compressed; all edges to living cells are so."""
        keys, _, _, counts = self.tables[kind].rows()
        return keys >> 32, counts

    def edges(self, kind: int) -> dict[str, np.ndarray]:
        """Columns donor, recipient, first, last and every count, ordered by recipient and donor."""
        parts = [*self.closed[kind].rows(), self.tables[kind].rows()]
        columns = zip(*parts, strict=True)
        keys, first, last, counts = (np.concatenate(c) if len(c) > 1 else c[0] for c in columns)
        order = order_by_key(keys)
        named = {name: counts[order, i].astype(np.int64) for i, name in enumerate(self.columns)}
        ends = {"first": first[order], "last": last[order]}
        keys = keys[order]
        return {"donor": keys & 0xFFFFFFFF, "recipient": keys >> 32, **named, **ends}


class _OpenEdges:
    """Open edges, in the order of their first event; counts are of 32 bits until one exceeds that."""

    def __init__(self, columns: int) -> None:
        self.used = 0
        self.due = SMALLEST
        self._make(columns, SMALLEST)

    def _make(self, columns: int, room: int, dtype: DTypeLike = np.int32) -> None:
        self.keys = np.zeros(room, np.int64)
        self.counts = np.zeros((room, columns), dtype)
        self.first, self.last = np.full(room, np.inf), np.full(room, -np.inf)
        self._make_slots(room)

    def _make_slots(self, room: int) -> None:
        self.slots = np.full(1 << int(1.5 * room).bit_length(), EMPTY)

    @property
    def bytes_held(self) -> int:
        return sum(a.nbytes for a in (self.slots, *self._columns()))

    def _columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return self.keys, self.first, self.last, self.counts

    def rows(self) -> tuple[np.ndarray, ...]:
        """Keys, first and last times and counts of all edges; views."""
        return tuple(column[: self.used] for column in self._columns())

    def add(self, key: np.ndarray, column: np.ndarray, amount: np.ndarray, time: np.ndarray) -> None:
        done = 0
        while done < len(key):
            rest = slice(done, None)
            count, self.used = count_by_key(
                key[rest],
                column[rest],
                amount[rest],
                time[rest],
                self.slots,
                self.keys,
                self.counts,
                np.iinfo(self.counts.dtype).max,
                self.first,
                self.last,
                self.used,
            )
            done += count
            if done < len(key) and self.used == len(self.keys):
                self._grow(int(GROWTH * len(self.keys)))
            elif done < len(key):
                self.counts = self.counts.astype(np.int64)

    def _grow(self, room: int) -> None:
        """More room, a column at a time, so that only one is held twice; zeros take no memory before use."""
        for name, empty in (("counts", 0), ("keys", 0), ("first", np.inf), ("last", -np.inf)):
            held = getattr(self, name)
            column = np.zeros((room, *held.shape[1:]), held.dtype)
            column[: self.used] = held[: self.used]
            if empty:
                column[self.used :] = empty
            setattr(self, name, column)
            del held, column
        self._make_slots(room)
        index_keys(self.slots, self.keys, self.used)

    def release(self, leaves: np.ndarray) -> tuple[np.ndarray, ...]:
        """Remove the marked rows and return them."""
        rows = self.rows()
        gone = tuple(column[leaves] for column in rows)
        self._refill(tuple(column[~leaves] for column in rows), int(len(leaves) - leaves.sum()))
        self.due = max(SMALLEST, int(GROWTH * self.used))
        return gone

    def _refill(self, rows: tuple[np.ndarray, ...], room: int) -> None:
        """Replace all rows, with a capacity of ``room`` rows (at least ``SMALLEST``)."""
        self.used = len(rows[0])
        self._make(rows[3].shape[1], max(room, SMALLEST), rows[3].dtype)
        for column, part in zip(self._columns(), rows, strict=True):
            column[: self.used] = part
        index_keys(self.slots, self.keys, self.used)


class _PackedEdges:
    """Closed edges, compressed in blocks without loss."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.edges = 0
        self.blocks = np.empty(0, np.uint8)
        self.sizes = np.empty((0, 2), np.int64)

    def append(self, rows: tuple[np.ndarray, ...]) -> None:
        """Add edges given by keys, first and last times and counts."""
        if not len(rows[0]):
            return
        keys, first, last, counts = (column[np.argsort(rows[0])] for column in rows)
        # Differences, and bytes of equal significance side by side, are mostly zeros.
        words = [np.diff(keys, prepend=0), first.view(np.int64), last.view(np.int64) ^ first.view(np.int64)]
        table = np.column_stack([*words, counts])
        block = zlib.compress(table.view(np.uint8).T.tobytes(), level=1)
        self.blocks = np.concatenate([self.blocks, np.frombuffer(block, np.uint8)])
        self.sizes = np.concatenate([self.sizes, [[len(block), len(keys)]]])
        self.edges += len(keys)

    def rows(self) -> list[tuple[np.ndarray, ...]]:
        """Edges of every block."""
        return [
            self._unpack(self.blocks[end - size : end].tobytes(), edges)
            for end, (size, edges) in zip(np.cumsum(self.sizes[:, 0]), self.sizes, strict=True)
        ]

    def _unpack(self, block: bytes, edges: int) -> tuple[np.ndarray, ...]:
        plain = np.frombuffer(zlib.decompress(block), np.uint8).reshape(-1, edges)
        table = np.ascontiguousarray(plain.T).view(np.int64)
        step, first, apart = table[:, 0], table[:, 1], table[:, 2]
        times = (np.ascontiguousarray(t).view(np.float64) for t in (first, apart ^ first))
        return (np.cumsum(step), *times, table[:, 3:])
