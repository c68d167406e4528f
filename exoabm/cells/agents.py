"""Agents, space and data collector of Mesa as views on the state, for set-up, rare events and extensions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm._mesa import Agent, AgentSet, ContinuousSpace, DataCollector
from exoabm.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exoabm.state import State


class Cell(Agent):
    """One cell, identified by its birth id; its data are in the arrays of the state.

    Examples
    --------
    >>> import exoabm as xo
    >>> model = xo.ExosomeModel("two_cells", seed=1)
    >>> [agent.birth_id for agent in model.agents if isinstance(agent, xo.Cell)]
    [0, 1]
    """

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
        """Vesicles that opened to the cytosol so far."""
        return float(self.model.state.trafficking.delivered[self.row].sum())

    @property
    def released(self) -> float:
        """Vesicles released so far."""
        return float(self.model.state.released[self.row].sum())


class AgentsByType(Mapping[Any, AgentSet]):
    """Sets of agents: cells by the name of their type, other agents by their class.

    Each agent is in one set. The set of a cell type is made when it is asked for, in a time proportional to
    the number of cells, since cells can change their type. A class of cells, such as ``Cell``, is also
    accepted as a key.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def __getitem__(self, kind: Any) -> AgentSet:
        """The agents of a cell type or class; KeyError with the closest name if there is none."""
        if not isinstance(kind, str):
            return self._model._agents_by_type[kind]
        state, names = self._model.state, self._names()
        if kind not in names:
            raise KeyError(f"{kind!r} is not a cell type of this scenario{did_you_mean(kind, names)}")
        rows = np.flatnonzero(state.cells.type == names.index(kind))
        living = set(state.cells.birth_id[rows].tolist())
        cells = [agent for agent in self._model.agents if getattr(agent, "birth_id", None) in living]
        return AgentSet(cells, random=self._model.random)

    def __iter__(self) -> Iterator[Any]:
        """Names of all cell types, then classes of other agents."""
        yield from self._names()
        yield from (kind for kind in self._model._agents_by_type if not issubclass(kind, Cell))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _names(self) -> list[str]:
        return [cell_type.name for cell_type in self._model.state.types]


class CellSpace(ContinuousSpace):  # type: ignore[misc]
    """The x-y plane of the domain in um, with the cells at their present positions.

    For the drawings of Mesa, such as ``make_space_component``, and for searches. Distances follow the
    periodic faces of the domain, also where only one axis is periodic. Cells are moved by the model only.
    """

    def __init__(self, model: Any) -> None:
        domain = model.state.domain
        (x_min, y_min), (x_max, y_max) = domain.low[:2], (domain.low + domain.extent)[:2]
        self._model, self._period = model, domain.period[:2]
        super().__init__(
            float(x_max), float(y_max), bool(self._period.all()), x_min=float(x_min), y_min=float(y_min)
        )

    @property
    def agents(self) -> AgentSet:
        """The agents of all cells."""
        return AgentSet(list(self._agent_to_index), random=self._model.random)

    @property
    def _agent_to_index(self) -> dict[Any, int]:
        cells = (agent for agent in self._model.agents if isinstance(agent, Cell))
        return {agent: row for row, agent in enumerate(cells)}

    @_agent_to_index.setter
    def _agent_to_index(self, value: object) -> None:
        """Accept what Mesa sets at first; the cells are those of the model."""

    def _between(self, start: Any, ends: Any) -> np.ndarray:
        """Shortest displacements (n, 2) in um from one place to others, across periodic faces."""
        apart = np.atleast_2d(ends)[:, :2] - np.asarray(start, float)[:2]
        period = self._period
        return apart - period * np.round(np.divide(apart, period, where=period > 0, out=np.zeros_like(apart)))

    def get_neighbors(self, pos: Any, radius: float, include_center: bool = True) -> list[Any]:
        """Agents within ``radius`` um of a place (x, y), that at the place itself included or not."""
        model, cells = self._model, self._model.state.cells
        far = np.hypot(*self._between(pos, cells.position).T)
        near = (far <= radius) & (include_center | (far > 0))
        model._complete()
        agents = (model._cells[name] for name in cells.birth_id[near].tolist())
        return [agent for agent in agents if agent in model.agents]

    def get_distance(self, pos_1: Any, pos_2: Any) -> float:
        """Distance between two places in um."""
        return float(np.hypot(*self._between(pos_1, pos_2)[0]))

    def get_heading(self, pos_1: Any, pos_2: Any) -> tuple[float, float]:
        """Displacement (x, y) in um from one place to another."""
        x, y = self._between(pos_1, pos_2)[0]
        return float(x), float(y)

    def place_agent(self, agent: Any, pos: Any) -> None:
        """Refuse: cells are placed by the layout of the scenario, and move by its motility."""
        raise InputError(
            "the space of a model is read only: cells are placed by the layout of the scenario and moved by "
            "its motility"
        )

    def move_agent(self, agent: Any, pos: Any) -> None:
        """Refuse, as ``place_agent`` does."""
        self.place_agent(agent, pos)

    def remove_agent(self, agent: Any) -> None:
        """Refuse: ``agent.remove()`` lets a cell die."""
        raise InputError("the space of a model is read only; agent.remove() lets a cell die")


class Readouts(DataCollector):  # type: ignore[misc]
    """A Mesa data collector of the readouts of ``metrics``, a row for each step that it has seen.

    Mesa's way of stepping, ``model.step()``, adds a row for every step. ``run`` adds the rows that are
    recorded anyway, at the interval ``record.metrics``, since computing one takes up to a tenth of the time
    of a step. A readout that is not defined in some row, such as a mean over no cells, is NaN there.
    """

    def __init__(self, measure: Callable[[State], dict[str, float]]) -> None:
        super().__init__(model_reporters={"time_h": partial(self._value, "time_h")})
        self._measure = measure
        self._row: dict[str, float] = {}
        self._own = {"time_h"}

    def collect(self, model: Any, *, recorded_only: bool = False) -> None:
        """Add the row of this moment, unless it is there already, or is not recorded and need not be."""
        row = model.history.rows[-1]
        recorded = row["time_h"] == model.hours
        if self._row.get("time_h") == model.hours or (recorded_only and not recorded):
            return
        self._row = row if recorded else self._measure(model.state)
        seen = len(self.model_vars["time_h"])
        for name in [n for n in self._row if n not in self.model_vars]:
            self._new_model_reporter(name, partial(self._value, name))
            self.model_vars[name] = [nan] * seen
            self._own.add(name)
        if self.agent_reporters or self.agenttype_reporters or self._own != self.model_reporters.keys():
            super().collect(model)
        else:  # the same without Mesa's copy of every number
            for name, values in self.model_vars.items():
                values.append(self._row.get(name, nan))
            if hasattr(self, "_collection_steps"):  # Mesa 3.5.1: batch_run looks rows up by Mesa's own time
                self._collection_steps.append(model.time)

    def _value(self, name: str, _: object) -> float:
        return self._row.get(name, nan)
