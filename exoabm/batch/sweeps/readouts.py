"""What a run comes down to: a number per readout, the same names in every run of a scenario."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from exoabm.analysis import communication as talk
from exoabm.columns import BATCH, READOUTS, Row, expand
from exoabm.errors import InputError, NumericalError
from exoabm.output.metrics import measure as last_row
from exoabm.physiology import reachable
from exoabm.state import Resolution

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exoabm.model import ExosomeModel

Readouts = dict[str, float | None]


def measure(model: ExosomeModel) -> Readouts:
    """The readouts of a finished model; see ``gather``."""
    threshold = float(model.scenario.record.threshold)
    return gather(last_row(model.state), talk.summary(model.state, threshold))


def metrics(model: ExosomeModel) -> Readouts:
    """The metrics of a model as it is, as in a row of ``metrics.parquet``."""
    return dict(last_row(model.state))


def possible(model: ExosomeModel, templates: tuple[str, ...] = READOUTS) -> dict[str, None]:
    """Names of the readouts that a run of this scenario can have, whatever chance does in it.

    ``templates`` are all of them, or those of the metrics alone.
    How far vesicles of a donor go is known only once some were taken up, and what a type holds only once it
    has cells; so a type has here what another type has, and names do not depend on what this run has seen.
    """
    state = model.state
    found = dict.fromkeys(measure(model) if templates is READOUTS else metrics(model))
    present = reachable(state.types, set(state.cells.type.tolist()))
    sends = reachable(state.types, {i for i in present if state.types[i].donates})
    names = {
        "vesicle": tuple(kind.name for kind in state.kinds),
        "cell_type": tuple(state.types[i].name for i in present),
        "cargo": tuple(cargo.name for cargo in state.cargos),
        "dose": tuple(table.name for table in model.scenario.dose),
        "donor": tuple(state.types[i].name for i in sends),
        "recipient": tuple(state.types[i].name for i in present),
    }
    by_cell = state.contacts is not None or state.labels.resolution is Resolution.CELL
    for template in templates:
        columns = dict.fromkeys(column for column, _ in expand((template,), names))
        reach = "_reach_" in template and (by_cell or "autocrine" not in template)
        if reach or columns.keys() & found.keys():
            found |= columns
    return found


def gather(metrics: Mapping[str, float], communication: Mapping[str, Any]) -> Readouts:
    """The last row of the metrics, who took up how much from whom, and how far it went.

    ``communication`` is that of ``summary.json``. A readout that is not defined in a run, such as the reach
    of vesicles that nobody took up, is None or left out.
    """
    found = Row().join({name: value for name, value in metrics.items() if name != "time_h"})
    for word, table in (("taken_up", "taken_up_by_type"), ("delivered", "delivered_by_type")):
        for donor, row in communication[table].items():
            for recipient, count in row.items():
                template = f"{{donor}}_to_{{recipient}}_{word}_EV"
                found.put(template, count, donor=donor, recipient=recipient)
    for donor, reach in communication["reach"].items():
        for key, value in reach.items():
            if not isinstance(value, str):
                found.put(f"{{donor}}_reach_{key}", value, donor=donor)
    for kind, distance in communication["communication_distance_um"].items():
        found.put("{vesicle}_communication_distance_um", distance, vesicle=kind)
    return found


def checked(found: dict[str, Any]) -> Readouts:
    """Readouts as plain numbers.

    Raises
    ------
    NumericalError
        If one is not finite: the run went astray, whatever its ledger says.
    InputError
        If one has the name of another column of the table of results.
    """
    plain: Readouts = {}
    for name, value in found.items():
        if name in BATCH:
            raise InputError(f"a readout named {name!r}: the table of results has a column of this name")
        plain[name] = None if value is None else float(value)
        if value is not None and not math.isfinite(value):
            raise NumericalError(f"{name} = {value} at the end of the run")
    return plain
