"""Mesa agents as views on rows of the cell arrays, for set-up, rare events and extensions by users."""

from __future__ import annotations

from typing import Any

import numpy as np

from exoabm._mesa import Agent
from exoabm.errors import InputError


class Cell(Agent):
    """One cell, identified by its birth id; its data are in the arrays of the state."""

    def __init__(self, model: Any, birth_id: int) -> None:
        self.birth_id = birth_id
        super().__init__(model)

    def remove(self) -> None:
        """Remove the cell from the model: it dies at the end of the next step.

        The agent is removed at once. Vesicles bound to the cell are cleared with its debris; its record is
        kept.

        Raises
        ------
        InputError
            If cells of this scenario cannot come or go.
        """
        state = self.model.state
        if not state.living:
            raise InputError(
                f"cell {self.birth_id} cannot be removed: no cell of this scenario comes or goes; give a "
                'cell type a death_rate, "0 / h" will do'
            )
        alive = self.birth_id in state.cells.birth_id
        if alive and self.birth_id not in state.marked_for_death:
            state.marked_for_death = np.append(state.marked_for_death, self.birth_id)
        self.leave()

    def leave(self) -> None:
        """Remove the agent only; the cell is unchanged."""
        super().remove()

    @property
    def row(self) -> int:
        """Its row in the arrays now; rows shift when cells die.

        Raises
        ------
        InputError
            If the cell is dead.
        """
        cells = self.model.state.cells
        row = int(cells.row_of(self.birth_id))
        if row == len(cells) or cells.birth_id[row] != self.birth_id:
            raise InputError(f"cell {self.birth_id} is dead; its record is in the lineage and in the edges")
        return row

    @property
    def position(self) -> np.ndarray:
        """Center (x, y, z) in um."""
        position: np.ndarray = self.model.state.cells.position[self.row]
        return position

    @property
    def pos(self) -> tuple[float, ...]:
        """Center as a tuple in um, under the name that Mesa requires."""
        return tuple(float(x) for x in self.position)

    @pos.setter
    def pos(self, value: object) -> None:
        """Accept None only, which Mesa sets when an agent is made."""
        if value is not None:
            raise AttributeError("a cell is moved through the model's state, not through its agent")

    @property
    def cell_type(self) -> str:
        """Name of the cell type."""
        state = self.model.state
        name: str = state.types[state.cells.type[self.row]].name
        return name

    @property
    def waste(self) -> float:
        """Waste held, units."""
        return float(self.model.state.cells.waste[self.row])

    @property
    def taken_up(self) -> float:
        """Vesicles taken up so far, all kinds and origins."""
        return float(self.model.state.trafficking.taken_up[self.row].sum())

    @property
    def delivered(self) -> float:
        """Vesicles whose cargo reached the cytosol so far."""
        return float(self.model.state.trafficking.delivered[self.row].sum())

    @property
    def released(self) -> float:
        """Vesicles released so far."""
        return float(self.model.state.released[self.row].sum())
