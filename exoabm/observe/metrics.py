"""The time series of a run: one row per recorded time, units in the column names."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from exoabm.cargo import CargoClass
from exoabm.ledger import PLACES
from exoabm.observe.communication import PER_ML
from exoabm.observe.lineage import fates
from exoabm.observe.outcomes import outcomes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from exoabm.state import State


@dataclass
class Metrics:
    """Collects a row of scalars per recorded time; small enough to keep in memory."""

    interval: float
    rows: list[dict[str, float]] = field(default_factory=list)

    def record(self, state: State) -> None:
        """Append the row of this moment."""
        self.rows.append(measure(state))

    def close(self) -> None:
        """Nothing is pending."""

    def snapshot(self) -> dict[str, np.ndarray]:
        """All rows, as the bytes of JSON: exact, and a row may lack a column."""
        return {"rows": np.frombuffer(json.dumps(self.rows).encode(), np.uint8)}

    def restore(self, content: Mapping[str, np.ndarray]) -> None:
        """Take the rows back."""
        self.rows[:] = json.loads(content["rows"].tobytes())

    def frame(self) -> pd.DataFrame:
        """The rows as a DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.rows)


def measure(state: State) -> dict[str, float]:
    """Scalars of one moment: the ledger per vesicle kind, what cells of each type hold, concentrations.

    ``<kind>_internalized_EV`` are in endosomes now, ``<kind>_taken_up_EV`` were taken up until now.
    ``<type>_effect_mean`` is how far responses have moved the cells' behaviors, 0 to 1;
    ``<type>_<signal>_effect_share`` the share of cells that were ever given enough copies, see ``outcomes``.
    """
    row = {"time_h": state.time / 3600}
    domain, way = state.domain, state.trafficking
    open_volume = domain.voxel_volume * domain.n_voxels
    if domain.obstacle is not None:
        open_volume -= domain.voxel_volume * int(domain.obstacle.sum())
    for k, kind in enumerate(state.kinds):
        row[f"{kind.name}_emitted_EV"] = float(state.ledger.emitted[k].sum())
        for place in PLACES:
            row[f"{kind.name}_{place}_EV"] = float(state.ledger[place][k].sum())
        buried = state.lineage.totals["internalized"][k].sum()
        row[f"{kind.name}_taken_up_EV"] = float(way.internalized[:, k].sum() + buried)
        field_total = state.free_per_voxel(k).sum(axis=0)
        row[f"{kind.name}_mean_concentration_per_mL"] = (
            float(field_total.sum(dtype=float)) / open_volume * PER_ML
        )
        row[f"{kind.name}_max_concentration_per_mL"] = float(field_total.max()) / domain.voxel_volume * PER_ML
    metabolize = any(t.waste is not None for t in state.types)
    for index, cell_type in enumerate(state.types):
        members = state.cells.type == index
        n = int(members.sum())
        if state.living:
            row |= {f"{cell_type.name}_{fate}": count for fate, count in fates(state)[cell_type.name].items()}
            row[f"{cell_type.name}_cells"] = n
        if any(response.cell_type == index for response in state.responses) and (n or state.living):
            responding = state.cells.effect[members] >= 0.5
            row[f"{cell_type.name}_responding_cells"] = int(responding.sum())
        if n == 0:
            continue
        row[f"{cell_type.name}_cells"] = n
        row[f"{cell_type.name}_released_EV_per_cell"] = float(state.released[members].sum()) / n
        row[f"{cell_type.name}_taken_up_EV_per_cell"] = float(way.internalized[members].sum()) / n
        row[f"{cell_type.name}_delivered_EV_per_cell"] = float(way.delivered[members].sum()) / n
        for c, cargo in enumerate(state.cargos):
            if cargo.role is not CargoClass.WASTE:
                held = float(np.mean(state.cells.cargo[members, c]))
                row[f"{cell_type.name}_{cargo.name}_copies_per_cell"] = held
        if any(response.cell_type == index for response in state.responses):
            row[f"{cell_type.name}_effect_mean"] = float(state.cells.effect[members].mean())
        if metabolize:
            row[f"{cell_type.name}_waste_units_per_cell"] = float(np.mean(state.cells.waste[members]))
    return row | outcomes(state) | state.measures
