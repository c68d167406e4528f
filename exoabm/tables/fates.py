"""The events and fates of vesicles: their names in all tables, in one order.

``taken_up``, ``lysosomal``, ``recycled``, ``delivered``, ``cleared`` and ``escaped`` are cumulative numbers;
``free``, ``bound`` and ``endosomal`` are present numbers.
"""

from __future__ import annotations

from enum import IntEnum


class Event(IntEnum):
    """Events of a single vesicle; ``events.parquet`` has these names in lower case."""

    RELEASE = 0
    ENTRY = 1
    ENCOUNTER = 2
    UNBINDING = 3
    UPTAKE = 4
    DEGRADATION = 5
    RECYCLING = 6
    DELIVERY = 7
    CLEARANCE = 8
    ESCAPE = 9
    HANDOVER = 10
    INHERITANCE = 11
    PARTITION = 12


EVENTS = {
    "release": "released by a cell",
    "entry": "entered the domain through a face or with a dose",
    "encounter": "captured at the surface of a cell",
    "unbinding": "left the surface of a cell for the medium",
    "uptake": "internalized from the surface of a cell",
    "degradation": "degraded in a lysosome",
    "recycling": "released again from an endosome",
    "delivery": "cargo reached the cytosol",
    "clearance": "cleared from the medium, or with the debris of a dead cell",
    "escape": "left the domain through a face",
    "handover": "left a dividing cell with the daughter's part of the membrane, bound",
    "inheritance": "passed to a daughter cell with its part of the membrane, bound",
    "partition": "passed to a daughter cell in an endosome",
}
"""Events of ``events.parquet``, in the order of ``Event``."""

BALANCE = {
    "free": "in the medium now, with those that left a cell in the last step and enter it in the next",
    "bound": "on the surface of cells now",
    "endosomal": "in endosomes now",
    "lysosomal": "degraded in lysosomes until now",
    "recycled": "released again by cells that had taken them up, until now",
    "delivered": "whose cargo reached the cytosol, until now (uptake is not delivery)",
    "cleared": "cleared from the medium or with debris until now",
    "escaped": "that left the domain through a face until now",
}
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

BETWEEN_CELLS = {
    "encountered": "captured by the surface of the recipient until now",
    "bound": "on the surface of the recipient now",
    "taken_up": "taken up by the recipient until now (uptake is not delivery)",
    "lysosomal": "of these, degraded in lysosomes until now",
    "recycled": "of these, released again until now",
    "delivered": "of these, whose cargo reached the cytosol until now",
}
"""Counts of an edge between two cells."""

CELL, DOSE, RESERVOIR = "cell", "dose", "reservoir"
SENDERS = (CELL, DOSE, RESERVOIR)
"""Senders of vesicles: a cell, a dose, or the reservoir behind a face."""
