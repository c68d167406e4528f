"""What every transport engine can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

    from exoabm.state import Emissions, State, TransportResult


class Engine(Protocol):
    """Moves free vesicles and lets cells capture them.

    An engine keeps no state of its own that a restart would miss: what changes lives in ``State``, and
    what it derives from that it can derive again.
    """

    name: str

    def advance(self, state: State, emissions: tuple[Emissions, ...], dt: float) -> TransportResult:
        """Let emissions enter evenly over ``dt`` seconds, move all free vesicles, capture some."""
        ...

    def bind(self, state: State) -> None:
        """Place the cells anew, after some have come, gone, moved or become another type."""
        ...

    def free(self, state: State) -> np.ndarray:
        """Free vesicles per kind and label, shape (K, L)."""
        ...
