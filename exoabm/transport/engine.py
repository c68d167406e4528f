"""The interface of transport engines, and the table of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from exoabm.accounting.step_records import Emissions, Pathway, Sources, StepsTaken, TransportResult
    from exoabm.state import State


class StepsAtOnce(Protocol):
    """Several steps of transport and of uptake, at once."""

    def most_at_once(self, state: State, dt: float) -> int:
        """Steps that ``take_steps`` can take; 1 where it is of no use."""
        ...

    def take_steps(
        self, state: State, released: Emissions, way: Pathway, times: np.ndarray, dt: float
    ) -> StepsTaken:
        """Advance free vesicles, and those on and in cells, by steps of ``dt`` seconds that end at ``times``.

        ``released`` is the same in each step; nothing else enters but what cells return.
        """
        ...


class Engine(Protocol):
    """Transport of free vesicles, and their capture by cells.

    All variables of an engine are in ``State``; an engine only holds quantities derived from them.
    """

    name: str

    @property
    def at_once(self) -> StepsAtOnce | None:
        """How several steps are taken at once; None where they are taken one by one."""
        ...

    def advance(self, state: State, sources: Sources, dt: float) -> TransportResult:
        """Advance by ``dt`` seconds: sources enter uniformly in time; free vesicles move and are captured."""
        ...

    def bind(self, state: State) -> None:
        """Update the cells after births, deaths, motion or transformation; time proportional to cells."""
        ...

    def free(self, state: State) -> np.ndarray:
        """Free vesicles per kind and label, shape (K, L)."""
        ...


@dataclass(frozen=True)
class EngineDeclaration:
    """What scenario, estimate, checks and records use of an engine.

    Parameters
    ----------
    make : callable
        The engine of a state, with ``transport.capture``, ``transport.courant`` and a number of threads: by
        default (None) as many as make it faster on the cores that this process may use.
    follows_vesicles : bool
        Whole vesicles, each with its donor cell, its fate and its events, in ``state.vesicles``; otherwise
        expected numbers, a field in ``state.fields`` for each kind, origin and size class.
    """

    make: Callable[[State, str, float | None, int | None], Engine]
    follows_vesicles: bool


def _continuum(state: State, capture: str, courant: float | None, threads: int | None) -> Engine:
    from exoabm.transport.continuum_engine import Continuum

    return Continuum(state, courant=courant, threads=threads)


def _vesicles(state: State, capture: str, courant: float | None, threads: int | None) -> Engine:
    from exoabm.transport.vesicle_engine import VesicleEngine

    return VesicleEngine(state, capture=capture, courant=courant, threads=threads or 1)


ENGINES = {
    "continuum": EngineDeclaration(_continuum, follows_vesicles=False),
    "vesicles": EngineDeclaration(_vesicles, follows_vesicles=True),
}
"""The engines by the name that ``transport.engine`` takes; that of a declaration and of its engine agree."""
