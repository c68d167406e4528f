"""The time series of a run: one row per recorded time, units in the column names."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from exoabm.accounting.mass_balance import PLACES
from exoabm.analysis.communication import PER_ML
from exoabm.analysis.dose_response import outcomes
from exoabm.cargo import CargoClass
from exoabm.columns import Row
from exoabm.output.lineage import fates

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

    ``<kind>_endosomal_EV`` are in endosomes now, ``<kind>_taken_up_EV`` were taken up until now.
    ``<type>_effect_mean`` is how far responses have moved the cells' behaviors, 0 to 1;
    ``<type>_<signal>_effect_share`` the share of cells that were ever given enough copies, see ``outcomes``.
    """
    row = Row(time_h=state.time / 3600)
    for kind in range(len(state.kinds)):
        row.join(_of_kind(state, kind))
    for cell_type in range(len(state.types)):
        row.join(_of_type(state, cell_type))
    return row.join(outcomes(state)).join(_of_treatment(state))


def _of_treatment(state: State) -> Row:
    row, units = Row(), {"entered_tissue", "released", "batch_medium", "batch_stored"}
    for (quantity, dose, compartment), value in state.measures.items():
        column = f"{quantity}_EV" if quantity in units else quantity.replace("purity_per", "purity_EV_per")
        if quantity.startswith("molecule"):
            column = column.replace("molecule_share", "share")
            row.put(f"{{dose}}_free_{compartment}_{column}", value, dose=dose)
        elif compartment:
            row.put(f"{{dose}}_{compartment}_{column.removeprefix('particle_')}", value, dose=dose)
        elif dose:
            row.put(f"{{dose}}_{column}", value, dose=dose)
        else:
            row.put(column, value)
    return row


def _of_kind(state: State, k: int) -> Row:
    """The ledger and the concentrations of a vesicle kind."""
    row, name, domain = Row(), state.kinds[k].name, state.domain
    open_volume = domain.voxel_volume * domain.n_voxels
    if domain.obstacle is not None:
        open_volume -= domain.voxel_volume * int(domain.obstacle.sum())
    row.put("{vesicle}_emitted_EV", float(state.balance.emitted[k].sum()), vesicle=name)
    for place in PLACES:
        row.put(f"{{vesicle}}_{place}_EV", float(state.balance[place][k].sum()), vesicle=name)
    buried = state.lineage.totals["taken_up"][k].sum()
    taken_up = float(state.trafficking.taken_up[:, k].sum() + buried)
    row.put("{vesicle}_taken_up_EV", taken_up, vesicle=name)
    field_total = state.free_per_voxel(k).sum(axis=0)
    mean = float(field_total.sum(dtype=float)) / open_volume * PER_ML
    row.put("{vesicle}_mean_concentration_per_mL", mean, vesicle=name)
    most = float(field_total.max()) / domain.voxel_volume * PER_ML
    row.put("{vesicle}_max_concentration_per_mL", most, vesicle=name)
    return row


def _of_type(state: State, index: int) -> Row:
    """What the cells of a type do and hold; of a type without cells only that, and what befell them."""
    row, name, way = Row(), state.types[index].name, state.trafficking
    members = state.cells.type == index
    n = int(members.sum())
    responds = any(response.cell_type == index for response in state.responses)
    if state.living:
        for fate, count in fates(state)[name].items():
            row.put(f"{{cell_type}}_{fate}", count, cell_type=name)
    if n or state.living:
        row.put("{cell_type}_cells", n, cell_type=name)
    if responds and (n or state.living):
        responding = int((state.cells.effect[members] >= 0.5).sum())
        row.put("{cell_type}_responding_cells", responding, cell_type=name)
    if n == 0:
        return row
    for word, counts in (
        ("released", state.released),
        ("taken_up", way.taken_up),
        ("delivered", way.delivered),
    ):
        row.put(f"{{cell_type}}_{word}_EV_per_cell", float(counts[members].sum()) / n, cell_type=name)
    for c, cargo in enumerate(state.cargos):
        if cargo.role is not CargoClass.WASTE:
            held = float(np.mean(state.cells.cargo[members, c]))
            row.put("{cell_type}_{cargo}_copies_per_cell", held, cell_type=name, cargo=cargo.name)
    if responds:
        row.put("{cell_type}_effect_mean", float(state.cells.effect[members].mean()), cell_type=name)
    if any(t.waste is not None for t in state.types):
        waste = float(np.mean(state.cells.waste[members]))
        row.put("{cell_type}_waste_units_per_cell", waste, cell_type=name)
    return row
