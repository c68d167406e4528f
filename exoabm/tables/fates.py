"""The events and fates of vesicles: their names in all tables, in one order.

``taken_up``, ``lysosomal``, ``recycled``, ``delivered``, ``cleared`` and ``escaped`` are cumulative numbers;
``free``, ``bound`` and ``endosomal`` are present numbers.
"""

from __future__ import annotations

from enum import IntEnum


class Event(IntEnum):
    """Events of a single vesicle; ``events.parquet`` has these names in lower case."""

    RELEASE = 0  # released by a cell
    ENTRY = 1  # entered the domain through a face or with a dose
    ENCOUNTER = 2  # captured at the surface of a cell
    UNBINDING = 3  # left the surface of a cell for the medium
    UPTAKE = 4  # internalized from the surface of a cell
    DEGRADATION = 5  # degraded in a lysosome
    RECYCLING = 6  # released again from an endosome
    DELIVERY = 7  # cargo reached the cytosol
    CLEARANCE = 8  # cleared from the medium, or with the debris of a dead cell
    ESCAPE = 9  # left the domain through a face
    HANDOVER = 10  # left a dividing cell with the daughter's part of the membrane, bound
    INHERITANCE = 11  # passed to a daughter cell with its part of the membrane, bound
    PARTITION = 12  # passed to a daughter cell in an endosome


EVENTS = tuple(event.name.lower() for event in Event)
"""Events of ``events.parquet``, in the order of ``Event``."""

BALANCE = ("free", "bound", "endosomal", "lysosomal", "recycled", "delivered", "cleared", "escaped")
"""Compartments of the emitted vesicles; the sum over these is the number emitted."""

COUNTED = {
    "encounter": "encountered",
    "unbinding": "unbound",
    "uptake": "taken_up",
    "degradation": "lysosomal",
    "recycling": "recycled",
    "delivery": "delivered",
}
"""Events between two cells that are counted until now, and the names of these counts."""

BETWEEN_CELLS = ("encountered", "bound", "taken_up", "lysosomal", "recycled", "delivered")
"""Counts of an edge between two cells."""

CELL, DOSE, RESERVOIR = "cell", "dose", "reservoir"
"""Senders of vesicles: a cell, a dose, or the reservoir behind a face."""
