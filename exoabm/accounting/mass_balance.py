"""Mass balances of vesicles and of waste.

    emitted = free + bound + endosomal + lysosomal + recycled + delivered + cleared + escaped

Both are checked after every step, the first for each vesicle kind and origin. A run stops if one does not
close.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from exoabm.errors import NumericalError
from exoabm.tables.declarations import BALANCE

PLACES = tuple(BALANCE)
TOLERANCE = 1e-9
"""Largest relative gap of a balance that is attributed to rounding; assumed."""


@dataclass
class MassBalance:
    """Emitted vesicles by place, per vesicle kind and origin; every account is (K, L), float64.

    ``free`` includes vesicles that left a cell in the last step and enter the medium in the next. ``cleared``
    includes vesicles bound to cells that died, ``lysosomal`` those in their endosomes. ``endosomal`` counts
    vesicles in endosomes now; the number ever taken up is the sum of ``endosomal``, ``lysosomal``,
    ``delivered`` and ``recycled``. A recycled vesicle counts as emitted once more. Vesicles that enter
    through a face held at a concentration, or as a dose, count as emitted by the reservoir or the dose;
    ``entered`` is their number.
    """

    kinds: tuple[str, ...]
    labels: tuple[str, ...]
    tolerance: float = TOLERANCE
    emitted: np.ndarray = field(init=False)
    entered: np.ndarray = field(init=False)
    accounts: dict[str, np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        shape = (len(self.kinds), len(self.labels))
        self.emitted, self.entered = np.zeros(shape), np.zeros(shape)
        self.accounts = {place: np.zeros(shape) for place in PLACES}

    def __getitem__(self, place: str) -> np.ndarray:
        return self.accounts[place]

    def widen(self, labels: tuple[str, ...]) -> None:
        """Add accounts for new origins at the end of ``labels``."""
        more = len(labels) - len(self.labels)
        self.labels = labels
        self.emitted, self.entered = (np.pad(a, ((0, 0), (0, more))) for a in (self.emitted, self.entered))
        for place, account in self.accounts.items():
            self.accounts[place] = np.pad(account, ((0, 0), (0, more)))

    def residual(self) -> np.ndarray:
        """Emitted minus the sum over all places, relative to emitted (at least 1), (K, L)."""
        held = sum(self.accounts.values())
        return (self.emitted - held) / np.maximum(self.emitted, 1.0)

    def check(self, time: float) -> None:
        """Stop the run if the balance does not close or is not finite.

        Raises
        ------
        NumericalError
            Naming the vesicle kind, the origin and the size of the gap.
        """
        residual = self.residual()
        broken = ~(np.abs(residual) <= self.tolerance)
        if broken.any():
            k, label = (int(i) for i in np.argwhere(broken)[0])
            raise NumericalError(
                f"the mass balance does not close at {time / 3600:.6g} h: {self.kinds[k]} from "
                f"{self.labels[label]} is off by {residual[k, label]:.3g} of {self.emitted[k, label]:.6g} "
                f"emitted (tolerance {self.tolerance:g})"
            )

    def totals(self) -> dict[str, dict[str, float]]:
        """Emitted and every place per vesicle kind, summed over the origins."""
        columns = {"emitted": self.emitted, **self.accounts}
        return {
            kind: {name: float(array[k].sum()) for name, array in columns.items()}
            for k, kind in enumerate(self.kinds)
        }


@dataclass
class WasteBalance:
    """initial + produced + recaptured = held + degraded + exported + debris of the dead, in waste units."""

    initial: float = 0.0
    produced: float = 0.0
    recaptured: float = 0.0
    degraded: float = 0.0
    exported: float = 0.0
    debris: float = 0.0
    held: float = 0.0
    tolerance: float = TOLERANCE

    def check(self, time: float) -> None:
        """Stop the run if the balance does not close; see ``MassBalance.check``."""
        incoming = self.initial + self.produced + self.recaptured
        gap = incoming - self.held - self.degraded - self.exported - self.debris
        if not abs(gap) <= self.tolerance * max(incoming, 1.0):
            raise NumericalError(
                f"the waste balance is off by {gap:.3g} of {incoming:.6g} at {time / 3600:.6g} h"
            )
