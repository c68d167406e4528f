"""Plans of dosing: what is given, by which route, when, and stated in which measure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Route(StrEnum):
    """Where a dose enters."""

    TISSUE = "tissue"
    """The simulated tissue itself; the number given is the number that enters it. No body is needed."""
    LOCAL = "local"
    """Injection into the target organ, of which the simulated tissue is a part."""
    INTRAVENOUS = "intravenous"
    INTRAPERITONEAL = "intraperitoneal"
    SUBCUTANEOUS = "subcutaneous"
    IMPLANT = "implant"
    """Surgery: cells or a depot placed in the target organ."""


class Measure(StrEnum):
    """By what a dose is counted: vehicles that are equal by one measure are not by another."""

    PARTICLES = "particles"
    COPIES = "copies"
    MASS = "mass"
    CELLS = "cells"


@dataclass(frozen=True)
class Plan:
    """When a dose is given: times in s; ``amount`` is that of one administration."""

    amount: float
    start: float
    duration: float
    repeats: int
    interval: float

    def given(self, begin: float, end: float) -> tuple[float, float]:
        """What is given from ``begin`` to ``end``: at once, and evenly (the parts of infusions).

        A bolus is given at the start of the step in which its time lies.
        """
        at_once = evenly = 0.0
        for repeat in range(self.repeats):
            start = self.start + repeat * self.interval
            if start >= end:
                break
            if self.duration == 0.0:
                at_once += self.amount * (begin <= start)
            else:
                overlap = min(end, start + self.duration) - max(begin, start)
                evenly += self.amount * max(overlap, 0.0) / self.duration
        return at_once, evenly

    @property
    def total(self) -> float:
        """What is given in all."""
        return self.amount * self.repeats

    @property
    def procedures(self) -> int:
        """How often someone has to give it."""
        return self.repeats if self.amount > 0 else 0


def particles(measure: Measure, amount: float, copies: float, protein: float) -> float:
    """Particles in a dose that is counted otherwise.

    Parameters
    ----------
    measure : Measure
        What ``amount`` counts: particles, copies of cargo, or ug of protein.
    copies : float
        Mean copies of all cargo in a particle.
    protein : float
        Protein of a particle, ug.

    Raises
    ------
    ValueError
        For a dose by copies of particles that carry none, and for cells, which are no particles.
    """
    if measure is Measure.PARTICLES:
        return amount
    if measure is Measure.MASS:
        return amount / protein
    if measure is Measure.COPIES and copies > 0:
        return amount / copies
    raise ValueError("a dose by copies needs particles that carry cargo")
