"""Lineage: births, deaths and transformations of cells, and the counts of dead cells."""

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
"""Cumulative counts of ``Trafficking``."""


class GrowingTable:
    """Append-only columns of equal length; the first ``count`` rows are filled."""

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
        """Append rows given by all columns; the capacity doubles when it is exhausted."""
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
    """Births, deaths and transformations until now.

    Attributes
    ----------
    born : int
        Number of cells ever born; the next birth id.
    dead : GrowingTable
        A row per dead cell, in the order of deaths: identity, place and time of death, vesicles released.
    contacts : GrowingTable
        A row per dead cell (birth id), vesicle kind and label: cumulative counts, and times of the first and
        last contact.
    changed : GrowingTable
        A row per transformation: cell, former type, and vesicles released until then.
    totals : dict of numpy.ndarray
        Sums of these counts over the dead, (K, L) each.
    divisions, blocked, deaths, transformations : numpy.ndarray
        Events per cell type, (T,); a division is blocked if there is no room for a daughter.
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
