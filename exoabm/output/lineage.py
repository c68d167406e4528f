"""The lineage table: every cell that ever was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from exoabm.analysis.edges import everyone
from exoabm.tables.declarations import TABLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from exoabm.state import State

FATES = ("divisions", "blocked", "deaths", "transformations")
"""Events in the life of cells that are counted for each type."""


def fates(state: State) -> dict[str, dict[str, int]]:
    """How often cells of each type divided, found no room to divide, died, or became another type."""
    return {
        t.name: {fate: int(getattr(state.lineage, fate)[i]) for fate in FATES}
        for i, t in enumerate(state.types)
    }


def over_lives(state: State, count: str, kinds: Sequence[int]) -> np.ndarray:
    """A count of ``CUMULATIVE_COUNTS``, summed over vesicle kinds, of all cells in the order of birth."""
    cells, met = everyone(state), state.lineage.contacts
    chosen = np.isin(met["kind"], kinds)
    total = np.zeros(len(cells))
    np.add.at(total, cells.row_of(met["recipient"][chosen]), met[count][chosen])
    total[cells.row_of(state.cells.birth_id)] += getattr(state.trafficking, count)[:, kinds].sum(axis=(1, 2))
    return total


def lineage_table(state: State, about: Mapping[str, str] | None = None) -> pa.Table:
    """One row a cell, in the order of birth.

    ``mother`` is null for cells of the layout, ``died_s`` for the living. Type and position are those of now,
    or of death.
    """
    import pyarrow as pa

    from exoabm.tables.schema import build, words

    cells, dead = everyone(state), state.lineage.dead
    mother, born = np.empty(len(cells), np.int64), np.empty(len(cells))
    died = np.full(len(cells), np.nan)
    for rows, source in (
        (cells.row_of(state.cells.birth_id), {"mother": state.cells.mother, "born": state.cells.born}),
        (cells.row_of(dead["birth_id"]), {"mother": dead["mother"], "born": dead["born"]}),
    ):
        mother[rows], born[rows] = source["mother"], source["born"]
    died[cells.row_of(dead["birth_id"])] = dead["died"]
    return build(
        TABLES["lineage"],
        {
            "cell": cells.birth_id,
            "mother": pa.array(mother, mask=mother < 0),
            "cell_type": words([t.name for t in state.types], cells.type),
            "born_s": born,
            "died_s": died,
            **{f"{axis}_um": cells.position[:, i] for i, axis in enumerate("xyz")},
        },
        about,
    )
