"""The behaviors of cells: what each one is, where its value at rest stands, and in which unit.

A behavior is a number that every cell has for itself and that responses move. One that no type names and no
response moves is not kept at all. Others may bring behaviors of their own by the entry point group
``exoabm.behaviors``; see CONTRIBUTING.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from exoabm.errors import InputError
from exoabm.parameters.catalog import CATALOG

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from exoabm.parameters.parameter import Parameter
    from exoabm.state import State

GROUP = "exoabm.behaviors"


@dataclass(frozen=True)
class Behavior:
    """A behavior of cells.

    Attributes
    ----------
    name : str
        Its name in responses.
    places : tuple of (str, Parameter)
        Where its value at rest may stand in a ``[[cell_type]]``, and what it then is a value of. That of an
        added behavior stands at ``behavior.NAME``.
    standing : bool
        Whether it is kept as soon as a type names it; others are kept only where a response moves them.
    absent : float
        Value for a type that does not name it; NaN where something else then holds.
    act : callable, optional
        ``act(state, value, dt)``, called once a step with its value for every cell, (n,).
    """

    name: str
    places: tuple[tuple[str, Parameter], ...]
    standing: bool = False
    absent: float = 0.0
    act: Callable[[State, np.ndarray, float], None] | None = None


def _built_in(name: str, *keys: str, standing: bool = False, absent: float = 0.0) -> Behavior:
    """A behavior with its places as ``key`` or ``key: parameter``; by default all have its own name."""
    places = []
    for place in keys or (name,):
        key, _, parameter = place.partition(": ")
        places.append((key, CATALOG[parameter or name]))
    return Behavior(name, tuple(places), standing, absent)


BUILT_IN = (
    _built_in("release_rate"),
    _built_in("ilvs_per_mvb"),
    _built_in("secretory_fraction", "mvb.secretory_fraction"),
    _built_in("mvb_fate_rate", "mvb.fate_rate"),
    _built_in("uptake_rate"),
    _built_in("recycling_probability", standing=True, absent=math.nan),
    _built_in("delivery_probability", standing=True, absent=math.nan),
    _built_in("waste_production", "waste.production"),
    _built_in("waste_lysosomal_rate", "waste.lysosomal_rate"),
    _built_in("waste_export_rate", "waste.export_rate"),
    _built_in("division_rate", standing=True),
    _built_in("death_rate", standing=True),
    _built_in("motility", standing=True),
    _built_in(
        "chemotaxis",
        "climbs.coefficient: chemotactic_coefficient",
        "follows.speed: chemotactic_speed",
        standing=True,
    ),
    _built_in("transformation_rate", "transformation.rate", standing=True),
)

OF_CARGO = {
    "production": "cargo_production",
    "replication": "cargo_replication",
    "clearance": "cargo_clearance",
    "export": "cargo_export",
}
"""Behaviors that a cell has for each cargo it holds, such as ``production.mir21``, and their parameters."""


@cache
def added() -> tuple[Behavior, ...]:
    """Behaviors that installed packages bring.

    Raises
    ------
    InputError
        Naming a package whose behavior cannot be loaded, is none, or takes a name that stands already.
    """
    names = {behavior.name for behavior in BUILT_IN}
    found = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        where = f"the behavior {point.name!r} of {point.value}"
        try:
            behavior = point.load()
        except Exception as error:  # whatever a package raises when it is imported
            raise InputError(f"{where} cannot be loaded: {error}") from None
        if not isinstance(behavior, Behavior):
            raise InputError(f"{where} is not a Behavior")
        if behavior.name in names:
            raise InputError(f"{where} has the name of another behavior, {behavior.name!r}")
        names.add(behavior.name)
        found.append(behavior)
    return tuple(found)


def known() -> dict[str, Behavior]:
    """Every behavior by name, but those of a cargo."""
    return {behavior.name: behavior for behavior in (*BUILT_IN, *added())}


def find(name: str) -> Behavior | None:
    """A behavior by its name in a response, also one of a cargo such as ``export.seed``."""
    word, _, cargo = name.partition(".")
    if cargo and word in OF_CARGO:
        return Behavior(name, ((f"holds.{cargo}.{word}", CATALOG[OF_CARGO[word]]),))
    return known().get(name)
