"""The time series of a run: one row of readouts per recorded time."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammainc

from exoabm.accounting.mass_balance import PLACES
from exoabm.analysis.communication import PER_ML
from exoabm.analysis.communication_graph import copies_delivered
from exoabm.cargo import CargoClass
from exoabm.tables.declarations import COMPARTMENTS
from exoabm.tables.readouts import named, parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from exoabm.state import State

FATES = ("divisions", "blocked", "deaths", "transformations")
"""Events in the life of cells that are counted for each type."""


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


def fates(state: State) -> dict[str, dict[str, int]]:
    """How often cells of each type divided, found no room to divide, died, or became another type."""
    return {t.name: _fates_of(state, i) for i, t in enumerate(state.types)}


def _fates_of(state: State, index: int) -> dict[str, int]:
    return {fate: int(getattr(state.lineage, fate)[index]) for fate in FATES}


def measure(state: State) -> dict[str, float]:
    """Readouts of one moment: per vesicle kind, cell type, cargo, dose and compartment.

    Undefined values, such as a mean over the cells of a type without cells, are omitted. Readouts
    are written as in ``tables.readouts``; ``tables.declarations`` contains their meaning.
    """
    row: dict[str, float] = {"time_h": state.time / 3600}
    for kind in range(len(state.kinds)):
        row |= _of_kind(state, kind)
    for cell_type in range(len(state.types)):
        row |= _of_type(state, cell_type)
    treatment = {
        named(quantity, *filter(None, of)): value
        for (quantity, *of), value in state.treatment_readouts.items()
    }
    return row | outcomes(state) | treatment


def _of_kind(state: State, k: int) -> dict[str, float]:
    """The mass balance and the concentrations of a vesicle kind."""
    domain, balance = state.domain, state.balance
    open_volume = domain.voxel_volume * domain.n_voxels
    if domain.obstacle is not None:
        open_volume -= domain.voxel_volume * int(domain.obstacle.sum())
    found = {"emitted": float(balance.emitted[k].sum())}
    found |= {place: float(balance[place][k].sum()) for place in PLACES}
    by_dead = state.lineage.totals["taken_up"][k].sum()
    found["taken_up"] = float(state.trafficking.taken_up[:, k].sum() + by_dead)
    field_total = state.free_per_voxel(k).sum(axis=0)
    found["mean_concentration_per_mL"] = float(field_total.sum(dtype=float)) / open_volume * PER_ML
    found["max_concentration_per_mL"] = float(field_total.max()) / domain.voxel_volume * PER_ML
    return {named(quantity, state.kinds[k].name): value for quantity, value in found.items()}


def _of_type(state: State, index: int) -> dict[str, float]:
    """Counts and means of the cells of a type; of a type without cells only its counts."""
    name, way = state.types[index].name, state.trafficking
    members = np.flatnonzero(state.cells.type == index)
    n = members.size
    responds = any(response.cell_type == index for response in state.responses)
    found: dict[str, float] = {}
    if state.living:
        found |= _fates_of(state, index)
    if n or state.living:
        found["cells"] = n
    if responds and (n or state.living):
        found["responding_cells"] = int((state.cells.effect[members] >= 0.5).sum())
    if n:
        for word, counts in (
            ("released", state.released),
            ("taken_up", way.taken_up),
            ("delivered", way.delivered),
        ):
            found[f"{word}_per_cell"] = float(counts[members].sum()) / n
        if responds:
            found["effect_mean"] = float(state.cells.effect[members].sum()) / n
        if any(t.waste is not None for t in state.types):
            found["waste_units_per_cell"] = float(state.cells.waste[members].sum()) / n
    if state.types[index].attraction is not None and (n or state.living):
        found["arrived_cells"] = _arrived(state, index)
    row = {named(quantity, name): value for quantity, value in found.items()}
    for c, cargo in enumerate(state.cargos):
        if n and cargo.role is not CargoClass.WASTE:
            held = state.cells.cargo[members, c]
            row[named("copies_per_cell", name, cargo.name)] = float(held.sum()) / n
            row[named("holding_cells", name, cargo.name)] = int((held >= 1).sum())
    return row


def _arrived(state: State, index: int) -> int:
    """Number of cells of a type whose surface is at most a diameter from that of a cell they follow.

    Followed are cells of other types that send the kind of vesicles to which this type is attracted.
    """
    from scipy.spatial import cKDTree

    own, cells = state.types[index], state.cells
    assert own.attraction is not None
    period = state.domain.period
    place = cells.position - state.domain.low
    place = np.where((period > 0) & (place >= period), 0.0, place)  # as the tree demands of rounded ones
    found = np.zeros(len(cells), bool)
    for other, kind in enumerate(state.types):
        senders = place[cells.type == other]
        if other == index or not kind.sends(own.attraction.vesicle) or not len(senders):
            continue
        reach = 1.5 * own.diameter + 0.5 * kind.diameter
        found |= np.isfinite(cKDTree(senders, boxsize=period).query(place, distance_upper_bound=reach)[0])
    return int((found & (cells.type == index)).sum())


def outcomes(state: State) -> dict[str, float]:
    """Per type of recipient and signal: mean copies delivered, and share of cells given enough of them.

        m_i = sum_k delivered_ik copies_k,    share = mean_i P(Poisson(m_i) >= n_eff)

    Of single vesicles m_i is the number of copies that came, and share the mean of [m_i >= n_eff].
    Delivery is not effect: a cell that received fewer than ``effect_copies`` shows none.
    Both count deliveries until now, independent of responses, whose effect is ``cells.effect``.
    """
    signals = {c.name: c for kind in state.kinds for c in kind.cargo if c.role is CargoClass.SIGNAL}
    if not signals:
        return {}
    delivered = copies_delivered(state)
    bearing = {
        name: np.array([any(c.name == name for c in kind.cargo) for kind in state.kinds]) for name in signals
    }
    found: dict[str, float] = {}
    for index, cell_type in enumerate(state.types):
        takes = cell_type.uptake_rate > 0
        received = [name for name in signals if (bearing[name] & takes).any()]
        members = state.cells.type == index
        if not (received and members.any()):
            continue
        for name in received:
            copies, enough = delivered[name][members], signals[name].effect_copies
            shows = copies >= enough if state.follows_vesicles else gammainc(enough, copies)
            for quantity, value in (("copies_delivered_per_cell", copies), ("effect_share", shows)):
                found[named(quantity, cell_type.name, name)] = float(value.mean())
    return found


FORMS = {
    "particles": ("particle_share", "particle_exposure_h"),
    "molecules": ("molecule_share", ""),
}
"""Forms of a dose in the body, with the quantities of its share and of its exposure."""

Body = dict[str, dict[str, dict[str, dict[str, float]]]]


def doses_in_body(row: Mapping[str, float]) -> list[str]:
    """Names of the doses that a row of the metrics follows through a body."""
    return [parse(text).names[0] for text in row if text.startswith("particle_share[") and _is_lost(text)]


def body(rows: Sequence[Mapping[str, float]]) -> Body:
    """Per dose, form and compartment: share of the dose at the end and at most, exposure in share times h.

    Compartments that nothing ever reached are left out. The exposure to molecules is counted in molecules and
    stays with the metrics.
    """
    found: Body = {}
    for dose in doses_in_body(rows[-1]) if rows else ():
        found[dose] = {form: {} for form in FORMS}
        for form, (share, exposure) in FORMS.items():
            for place in COMPARTMENTS:
                most = max(row.get(named(share, dose, place), 0.0) for row in rows)
                if most > 0:
                    held = {"share": rows[-1][named(share, dose, place)], "most_share": most}
                    if exposure and named(exposure, dose, place) in rows[-1]:
                        held["exposure_h"] = rows[-1][named(exposure, dose, place)]
                    found[dose][form][place] = held
    return found


def _is_lost(text: str) -> bool:
    return parse(text).names[1] == "lost"
