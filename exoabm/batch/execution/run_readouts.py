"""Readouts of a run: one number each, with the same names in every run of a scenario."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any

from exoabm.analysis.communication import summary as communication_summary
from exoabm.cell_type import reachable
from exoabm.errors import NumericalError
from exoabm.output.metrics import measure as last_row
from exoabm.state import Resolution
from exoabm.tables.declarations import COMPARTMENTS
from exoabm.tables.readouts import BETWEEN, DISTANCE, KEYS, OF_DONOR, PAIR, Readout, between, named

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exoabm.model import ExosomeModel

Readouts = dict[str, float | None]


def measure(model: ExosomeModel) -> Readouts:
    """The readouts of a finished model; see ``gather``."""
    threshold = float(model.scenario.record.threshold)
    return gather(last_row(model.state), communication_summary(model.state, threshold))


def metrics(model: ExosomeModel) -> Readouts:
    """The metrics of a model as it is, as ``run.metrics`` has them of a recorded time."""
    return dict(last_row(model.state))


def possible(model: ExosomeModel, *, recorded: bool = False) -> dict[str, None]:
    """Readouts that a run of this scenario can have, whatever chance does in it.

    ``recorded`` are those of the time series alone. How far vesicles of a donor go is known only once some
    were taken up, what a type holds only once it has cells, and the purity of a harvest only once there is
    protein; so a type has here what another type has, and readouts do not depend on what this run has seen.
    """
    state = model.state
    found = dict.fromkeys(metrics(model) if recorded else measure(model))
    if model.protocol is not None:
        found |= dict.fromkeys(model.protocol.of_batch(state))
    present = reachable(state.types, set(state.cells.type.tolist()))
    sends = reachable(state.types, {i for i in present if state.types[i].donates})
    types = tuple(state.types[i].name for i in present)
    names = {
        "vesicle_kind": tuple(kind.name for kind in state.kinds),
        "cell_type": types,
        "cargo": tuple(cargo.name for cargo in state.cargos),
        "dose": tuple(table.name for table in model.scenario.dose),
        "compartment": COMPARTMENTS,
        "donor": tuple(state.types[i].name for i in sends),
        "recipient": types,
    }
    by_cell = state.follows_vesicles or state.labels.resolution is Resolution.CELL
    for quantity, keys in ((quantity, keys) for quantity, forms in KEYS.items() for keys in forms):
        of_all = product(*(names[key] for key in keys))
        written = dict.fromkeys(str(Readout(quantity, each, keys == PAIR)) for each in of_all)
        reach = quantity in OF_DONOR and not recorded and (by_cell or "autocrine" not in quantity)
        reach = reach and state.labels.resolution is not Resolution.NONE
        if reach or written.keys() & found.keys():
            found |= written
    return found


def gather(metrics: Mapping[str, float], communication: Mapping[str, Any]) -> Readouts:
    """The last row of the metrics, the vesicles taken up by pairs of types, and their reach.

    ``communication`` is that of ``summary.json``. A readout that is not defined in a run, such as the reach
    of vesicles of which none were taken up, is None or left out.
    """
    found: Readouts = {name: value for name, value in metrics.items() if name != "time_h"}
    for quantity in BETWEEN:
        for donor, row in communication[f"{quantity}_by_type"].items():
            found |= {between(quantity, donor, recipient): count for recipient, count in row.items()}
    for donor, reach in communication["reach"].items():
        found |= {
            named(f"reach_{key}", donor): value for key, value in reach.items() if not isinstance(value, str)
        }
    for kind, distance in communication["communication_distance_um"].items():
        found[named(DISTANCE, kind)] = distance
    return found


def checked(found: dict[str, Any]) -> Readouts:
    """Readouts as plain numbers.

    Raises
    ------
    NumericalError
        If one is not finite: the run went astray, whatever its balance says.
    """
    plain: Readouts = {}
    for name, value in found.items():
        plain[name] = None if value is None else float(value)
        if value is not None and not math.isfinite(value):
            raise NumericalError(f"{name} = {value} at the end of the run")
    return plain
