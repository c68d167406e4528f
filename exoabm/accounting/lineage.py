"""Who descends from whom, and what the dead leave behind: their names, and all that they ever met."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

CUMULATIVE_COUNTS = (
    "encountered",
    "taken_up",
    "unbound",
    "lysosomal",
    "recycled",
    "delivered",
)
"""Counts of ``Trafficking`` that only grow."""


class GrowingTable:
    """Columns of equal length that only grow; the first ``count`` rows are filled."""

    def __init__(self, **columns: tuple[type, tuple[int, ...]]) -> None:
        self.count = 0
        self.arrays: dict[str, np.ndarray] = {
            name: np.zeros((0, *shape), dtype) for name, (dtype, shape) in columns.items()
        }

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name][: self.count]

    def append(self, **columns: np.ndarray) -> None:
        """Add rows given by all their columns; room doubles when it is used up."""
        first, last = self.count, self.count + len(next(iter(columns.values())))
        for name, array in self.arrays.items():
            if last > len(array):
                larger = np.zeros((max(256, 2 * len(array), last), *array.shape[1:]), array.dtype)
                larger[:first] = array[:first]
                self.arrays[name] = larger
            self.arrays[name][first:last] = columns[name]
        self.count = last


@dataclass
class Lineage:
    """Births and deaths until now.

    Attributes
    ----------
    born : int
        Cells that ever were; the birth id of the next one.
    dead : GrowingTable
        A row per dead cell, in the order of deaths: who it was, where and when it died, what it had released.
    contacts : GrowingTable
        What the dead had met: a row per dead cell (birth id), vesicle kind and label, with counts that only
        grew in its life and the times of its first and last contact.
    changed : GrowingTable
        A row per transformation: who changed, the type it left, and what it had released until then.
    totals : dict of numpy.ndarray
        Sums of these counts over the dead, (K, L) each.
    divisions, blocked, deaths, transformations : numpy.ndarray
        How often cells of each type did so, (T,); a division is blocked where a daughter finds no room.
    """

    born: int
    types: int
    kinds: int
    labels: int
    dead: GrowingTable = field(init=False)
    contacts: GrowingTable = field(init=False)
    changed: GrowingTable = field(init=False)
    totals: dict[str, np.ndarray] = field(init=False)
    divisions: np.ndarray = field(init=False)
    blocked: np.ndarray = field(init=False)
    deaths: np.ndarray = field(init=False)
    transformations: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        one, times = (np.int64, ()), dict.fromkeys(("first_contact", "last_contact"), (np.float64, ()))
        self.dead = GrowingTable(
            birth_id=one,
            mother=one,
            type=one,
            born=(np.float64, ()),
            died=(np.float64, ()),
            position=(np.float64, (3,)),
            released=(np.float64, (self.kinds,)),
        )
        self.changed = GrowingTable(birth_id=one, type=one, released=(np.float64, (self.kinds,)))
        self.contacts = GrowingTable(
            recipient=one, kind=one, label=one, **dict.fromkeys(CUMULATIVE_COUNTS, (np.float64, ())), **times
        )
        self.totals = {name: np.zeros((self.kinds, self.labels)) for name in CUMULATIVE_COUNTS}
        for name in ("divisions", "blocked", "deaths", "transformations"):
            setattr(self, name, np.zeros(self.types, np.int64))
