"""Behaviors of cells: declaration of each with its key in a scenario, its unit, and the process it acts on.

A behavior is a number that each cell has and that responses change. Its values are stored per cell where a
response changes it or, if it is ``always_stored``, where a cell type names it; elsewhere that of the type
holds. Packages add behaviors by the entry point group ``exoabm.behaviors``; see CONTRIBUTING.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from exoabm.cell_type import Process
from exoabm.errors import InputError
from exoabm.parameters.catalog import CATALOG, Parameter
from exoabm.parameters.units import factor

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from exoabm.parameters.catalog import How
    from exoabm.state import State

    Act = Callable[[State, np.ndarray, float], None]

GROUP = "exoabm.behaviors"


@dataclass(frozen=True)
class Behavior:
    """A behavior of cells.

    Attributes
    ----------
    name : str
        Its name in responses.
    keys : tuple of (str, Parameter)
        Keys of a ``[[cell_type]]`` that may hold its value at rest, and the parameter with its unit. The key
        of an added behavior is ``behavior.NAME``.
    always_stored : bool
        Whether it is stored for every type that names it; others are stored only if a response changes them.
        True for added behaviors.
    if_unnamed : float
        Value for a type that does not name it; NaN where the value of the vesicle kind then holds.
    act : callable, optional
        ``act(state, value, dt)``, called once a step with its value for every cell, (n,).
    process : Process
        The process it acts on.
    requires : tuple of str
        Keys of a ``[[cell_type]]`` of which one must be given for the type to have the behavior; empty: none.
    positive : bool
        Whether a response needs a value above 0 at rest.
    """

    name: str
    keys: tuple[tuple[str, Parameter], ...]
    always_stored: bool = False
    if_unnamed: float = 0.0
    act: Callable[[State, np.ndarray, float], None] | None = None
    process: Process = Process.OTHER
    requires: tuple[str, ...] = ()
    positive: bool = False


def _built_in(
    process: Process,
    name: str,
    *keys: str,
    always_stored: bool = False,
    if_unnamed: float = 0.0,
    requires: tuple[str, ...] = (),
    positive: bool = False,
) -> Behavior:
    """A behavior with its keys as ``key`` or ``key: parameter``; by default all have its own name."""
    found = []
    for text in keys or (name,):
        key, _, parameter = text.partition(": ")
        found.append((key, CATALOG[parameter or name]))
    return Behavior(name, tuple(found), always_stored, if_unnamed, None, process, requires, positive)


DONOR_KEYS = ("releases", "mvb")
RECIPIENT_KEYS = ("takes_up", "receptor")
BUILT_IN = (
    _built_in(Process.RELEASE, "release_rate", requires=DONOR_KEYS),
    _built_in(Process.SECRETION, "ilvs_per_mvb", requires=DONOR_KEYS),
    _built_in(Process.SECRETION, "secretory_fraction", "mvb.secretory_fraction"),
    _built_in(Process.SECRETION, "mvb_fate_rate", "mvb.fate_rate"),
    _built_in(Process.UPTAKE, "uptake_rate", requires=RECIPIENT_KEYS, positive=True),
    _built_in(Process.RECYCLING, "recycling_probability", always_stored=True, if_unnamed=math.nan),
    _built_in(Process.DELIVERY, "delivery_probability", always_stored=True, if_unnamed=math.nan),
    _built_in(Process.METABOLISM, "waste_production", "waste.production"),
    _built_in(Process.METABOLISM, "waste_lysosomal_rate", "waste.lysosomal_rate"),
    _built_in(Process.RELEASE, "waste_export_rate", "waste.export_rate"),
    _built_in(Process.TURNOVER, "division_rate", always_stored=True),
    _built_in(Process.TURNOVER, "death_rate", always_stored=True),
    _built_in(Process.MOTION, "motility", always_stored=True),
    _built_in(
        Process.MOTION,
        "chemotaxis",
        "climbs.coefficient: chemotactic_coefficient",
        "follows.speed: chemotactic_speed",
        always_stored=True,
    ),
    _built_in(Process.TURNOVER, "transformation_rate", "transformation.rate", always_stored=True),
)
"""Built-in behaviors, a row each; the keys are fields of ``CellTypeTable`` in ``scenario.schema_cells``."""

OF_CARGO = {
    "production": ("cargo_production", Process.METABOLISM),
    "replication": ("cargo_replication", Process.METABOLISM),
    "clearance": ("cargo_clearance", Process.METABOLISM),
    "export": ("cargo_export", Process.RELEASE),
}
"""Behaviors for each cargo that a cell holds, such as ``production.mir21``: parameter and process."""


_LOCAL: dict[str, Behavior] = {}
"""Behaviors registered by ``behavior`` in this process, by name."""


def behavior(
    name: str,
    *,
    unit: str,
    meaning: str,
    allowed: tuple[float, float],
    source: str = "assumed",
    symbol: str = "",
) -> Callable[[Act], Act]:
    """Register a behavior in this process, without an installed package: ``@exoabm.behavior(...)``.

    Scenarios give its value at rest as ``behavior = { NAME = ... }`` in a ``[[cell_type]]``, change it by
    ``increases = "NAME"`` in a ``[[response]]``. Registering a name again replaces what was registered. A run
    with such a behavior states in ``run.json`` that its folder alone does not repeat it.

    Parameters
    ----------
    name : str
        Lower-case letters, digits and ``_``.
    unit : str
        Of the values in scenarios, such as ``"1/h"``; ``"1"`` if there is none.
    meaning : str
        A sentence.
    allowed : tuple of float
        Least and greatest value in ``unit``.
    source : str
        Key of ``references.bib``, or ``"assumed"``.
    symbol : str
        In equations; the name if not given.

    Returns
    -------
    callable
        Decorator of ``act(state, value, dt)``, called once a step with the value of every cell, (n,),
        in internal units (um, s), and the step in s.

    Raises
    ------
    InputError
        If the name is that of a built-in behavior or of a package, or the declaration is not sound.

    Examples
    --------
    >>> import exoabm as xo
    >>> photons = []
    >>> @xo.behavior("glow", unit="1/h", meaning="Rate at which a cell glows.", allowed=(0, 100))
    ... def shine(state, value, dt):
    ...     photons.append(value.sum() * dt)
    >>> glowing = xo.scenario("two_cells", {"cell_type.recipient.behavior.glow": "6 / h"})
    >>> xo.run(glowing, {"clock.step": "10 min"}, seed=1, hours=1).about["local_behaviors"]
    ['glow']
    >>> round(float(sum(photons)), 9)
    6.0
    """
    if not isinstance(name, str):
        raise InputError(f"behavior {name!r}: the name must be a text")
    taken = {each.name for each in (*BUILT_IN, *_of_packages())}
    if name in taken:
        raise InputError(f"behavior {name!r}: there is a behavior of this name already")
    how: How = "assumed" if source == "assumed" else "read"
    low, high = map(float, allowed)
    try:
        declared = Parameter(name, symbol or name, meaning, unit, None, (low, high), None, (source,), how)
        factor(unit)
    except ValueError as error:
        raise InputError(f"behavior {name!r}: {error}") from None

    def register(act: Act) -> Act:
        _LOCAL[name] = Behavior(name, ((f"behavior.{name}", declared),), always_stored=True, act=act)
        return act

    return register


def local_behaviors() -> tuple[str, ...]:
    """Names of the behaviors registered in this process alone."""
    return tuple(_LOCAL)


def added() -> tuple[Behavior, ...]:
    """Behaviors of installed packages, and those registered in this process."""
    return (*_of_packages(), *_LOCAL.values())


@cache
def _of_packages() -> tuple[Behavior, ...]:
    """Behaviors that installed packages bring.

    Raises
    ------
    InputError
        Naming a package whose behavior cannot be loaded, is none, or has the name of another one.
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
        found.append(replace(behavior, always_stored=True))
    return tuple(found)


def known() -> dict[str, Behavior]:
    """Every behavior by name, except those of a cargo."""
    return {behavior.name: behavior for behavior in (*BUILT_IN, *added())}


def behavior_of(name: str) -> Behavior | None:
    """A behavior by its name in a response, also one of a cargo such as ``export.seed``."""
    word, _, cargo = name.partition(".")
    if cargo and word in OF_CARGO:
        parameter, process = OF_CARGO[word]
        return Behavior(name, ((f"holds.{cargo}.{word}", CATALOG[parameter]),), process=process)
    return known().get(name)
