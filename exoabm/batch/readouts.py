"""What a run comes down to: a number per readout, the same names in every run of a scenario."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from exoabm.errors import NumericalError
from exoabm.observe import communication as talk
from exoabm.observe.metrics import measure as last_row

if TYPE_CHECKING:
    from exoabm.model import ExosomeModel

Readouts = dict[str, float | None]


def measure(model: ExosomeModel) -> Readouts:
    """The last row of the metrics, who took up how much from whom, and how far it went.

    A readout that is not defined in this run, such as the reach of vesicles that nobody took up, is None.
    """
    found: Readouts = {k: v for k, v in last_row(model.state).items() if k != "time_h"}
    summary = talk.summary(model.state, float(model.scenario.record.threshold))
    for word, table in (("taken_up", "internalized_by_type"), ("delivered", "delivered_by_type")):
        for donor, row in summary[table].items():
            for recipient, count in row.items():
                found[f"{donor}_to_{recipient}_{word}_EV"] = count
    for donor, reach in summary["reach"].items():
        found |= {f"{donor}_reach_{key}": v for key, v in reach.items() if not isinstance(v, str)}
    for kind, distance in summary["communication_distance_um"].items():
        found[f"{kind}_communication_distance_um"] = distance
    return found


def checked(found: dict[str, Any]) -> Readouts:
    """Readouts as plain numbers.

    Raises
    ------
    NumericalError
        If one is not finite: the run went astray, whatever its ledger says.
    """
    plain: Readouts = {}
    for name, value in found.items():
        plain[name] = None if value is None else float(value)
        if value is not None and not math.isfinite(value):
            raise NumericalError(f"{name} = {value} at the end of the run")
    return plain
