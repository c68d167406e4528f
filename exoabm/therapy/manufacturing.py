"""Manufacture of doses: cells, conditioned medium, a chain of separation steps, storage.

    vesicles = N_cells q T prod(R_i) (1 - lambda_48)^(t / 48 h)

Purity is the number of vesicles per mass of residual free protein. Costs are relative to 1e8 cells made by
expansion; no price was verified, so that costs rank processes and do not show cost-effectiveness. The
model is assumed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from operator import mul

HOUR = 3600.0
STORED = 48 * HOUR
"""Reference time of a storage loss, s."""


@dataclass(frozen=True)
class SeparationStep:
    """A step of the chain: shares of vesicles kept and of free protein removed, and its duration in s."""

    name: str
    recovery: float
    removal: float
    duration: float


@dataclass(frozen=True)
class Process:
    """A process that makes doses of vesicles; times in s, rates in 1/s, masses in ug.

    ``protein_rate`` is free protein per cell and second, ``storage_loss`` the share lost in 48 h.
    """

    cells: float
    protein_rate: float
    steps: tuple[SeparationStep, ...]
    storage_time: float
    storage_loss: float
    dose: float
    labor_cost: float
    expansion_cost: float
    seed_cells: float
    doubling_time: float

    @property
    def recovery(self) -> float:
        """Share of the vesicles of the medium recovered by the chain."""
        return math.prod(step.recovery for step in self.steps)

    @property
    def kept(self) -> float:
        """Share of the vesicles of the medium left after separation and storage."""
        return self.recovery * float((1.0 - self.storage_loss) ** (self.storage_time / STORED))

    def batch(self, released_per_cell: float, harvest_time: float) -> Batch:
        """A harvest of medium that was conditioned for ``harvest_time`` s, with so many vesicles per cell."""
        medium = self.cells * released_per_cell
        protein = self.cells * self.protein_rate * harvest_time
        protein *= math.prod(1.0 - step.removal for step in self.steps)
        separated = medium * self.recovery
        stored = medium * self.kept
        hands_on = sum(step.duration for step in self.steps)
        expansion = self.expansion_time(self.cells)
        days = (expansion + harvest_time + hands_on) / (24 * HOUR)
        cost = self.expansion_cost * self.cells / 1e8 + self.labor_cost * hands_on
        return Batch(
            medium=medium,
            after_each_step=tuple(accumulate((step.recovery for step in self.steps), mul, initial=1.0)),
            separated=separated,
            stored=stored,
            purity=_quotient(separated, protein),
            doses=stored / self.dose,
            doses_per_cost=_quotient(stored / self.dose, cost),
            doses_per_day=_quotient(stored / self.dose, days),
        )

    def expansion_time(self, cells: float) -> float:
        """t = t_d log2(N / N_seed): time in s to grow from the seed to a number of cells."""
        return self.doubling_time * max(math.log2(cells / self.seed_cells), 0.0)

    def cell_doses_per_day(self, dose: float, harvest_time: float) -> float:
        """Doses of cells per day from the same culture, with the cells as the product."""
        days = (self.expansion_time(self.cells) + harvest_time) / (24 * HOUR)
        return _quotient(self.cells / dose, days)

    def cell_doses_per_cost(self, dose: float) -> float:
        """Doses of cells per cost, the cost of 1e8 cells made by expansion."""
        return _quotient(1.0, self.expansion_cost * dose / 1e8)


def _quotient(amount: float, of: float) -> float:
    """Infinite where it is of nothing."""
    return amount / of if of > 0 else math.inf


@dataclass(frozen=True)
class Batch:
    """One harvest: vesicles in the medium, after the chain, after storage; purity in vesicles per ug.

    ``after_each_step`` are the shares of the medium's vesicles left before the first and after each step.
    ``purity`` is infinite without free protein, and so is what is per cost or day without any.
    """

    medium: float
    after_each_step: tuple[float, ...]
    separated: float
    stored: float
    purity: float
    doses: float
    doses_per_cost: float
    doses_per_day: float
