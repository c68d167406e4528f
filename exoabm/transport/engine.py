"""The interface of transport engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

    from exoabm.accounting.stage_records import Sources, TransportResult
    from exoabm.state import State


class Engine(Protocol):
    """Transport of free vesicles, and their capture by cells.

    All variables of an engine are in ``State``; an engine only holds quantities derived from them.
    """

    name: str

    def advance(self, state: State, sources: Sources, dt: float) -> TransportResult:
        """Advance by ``dt`` seconds: sources enter uniformly in time; free vesicles move and are captured."""
        ...

    def bind(self, state: State) -> None:
        """Update the cells after births, deaths, motion or transformation; time proportional to cells."""
        ...

    def free(self, state: State) -> np.ndarray:
        """Free vesicles per kind and label, shape (K, L)."""
        ...
