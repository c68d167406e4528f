"""The model: owner of the state, which runs the stages of the schedule."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from exoabm._mesa import BaseAgent, DataCollector, Model
from exoabm.accounting.step_checks import marked_if_incomplete
from exoabm.analysis.communication import edge_table
from exoabm.analysis.communication_graph import graph
from exoabm.cells.agents import AgentsByType, Cell, CellSpace, Readouts
from exoabm.errors import InputError, ResourceError, whole_number
from exoabm.interrupts import interrupt_held
from exoabm.output import checkpoint
from exoabm.output.metrics import Metrics, measure
from exoabm.output.recorder import Recorder, part
from exoabm.output.run_folder import KEPT
from exoabm.quiet_steps import advance_quietly, quiet_steps
from exoabm.random_streams import Streams
from exoabm.scenario.changes_during_run import (
    StepChange,
    changed_between_steps,
    state_with_change,
    with_step_changes,
)
from exoabm.scenario.loader import LoadedScenario, loaded_from, of_checkpoint
from exoabm.scenario.overrides import model_time
from exoabm.scenario.state_builder import blueprint, build_state, make_engine
from exoabm.scenario.therapy_builder import make_protocol
from exoabm.schedule import Step, advance
from exoabm.software import drift, made_with
from exoabm.tables.html import html_card, html_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import networkx as nx
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from exoabm.output.recorder import Observer
    from exoabm.scenario.schema import Scenario
    from exoabm.scenario.state_builder import Blueprint
    from exoabm.transport.transfer_matrix import TransferMatrix

ROUNDING = 1e-9


class ExosomeModel(Model):  # type: ignore[misc]
    """Cells that exchange extracellular vesicles, built from a scenario.

    Parameters
    ----------
    scenario : str, Path or LoadedScenario
        A shipped name such as ``"signaling"``, a path, or a scenario that was loaded before.
    seed : int, optional
        0 to 2^63 - 1; drawn from the operating system (and kept in ``streams.seed``) if not given.
    overrides : mapping, optional
        Dotted keys and values, e.g. ``{"cell_type.donor.release_rate": "10 / h"}``.
    **values
        The same, a keyword each; with ``mesa.batch_run``, dotted keys are parameters to vary.
    threads : int or None
        Threads for large fields; None for as many as the process may use, if they are faster. The result does
        not depend on it.
    snapshot : mapping, optional
        Of ``output.checkpoint.snapshot``, to go on from; scenario and seed must be those it was taken of.
    prepared : Blueprint, optional
        Of ``scenario.state_builder.blueprint`` for this scenario and seed, if it was made before.

    Raises
    ------
    InputError, ResourceError
        If the scenario is wrong, or needs more memory than there is.

    Examples
    --------
    >>> from exoabm import ExosomeModel
    >>> model = ExosomeModel("two_cells", seed=1)
    >>> model.run(hours=1)
    >>> model.communication.graph["resolution"]
    'cell'
    """

    cell_class: type[Cell] = Cell
    """Class of the agents of cells; a subclass of the model may set a subclass of ``Cell``."""

    def __init__(
        self,
        scenario: str | Path | LoadedScenario = "signaling",
        *,
        seed: int | None = None,
        overrides: Mapping[str, str] | None = None,
        threads: int | None = 1,
        snapshot: Mapping[str, np.ndarray] | None = None,
        prepared: Blueprint | None = None,
        **values: object,
    ) -> None:
        self._threads = None if threads is None else whole_number("threads", threads, 1, 256)
        self.streams = Streams.from_entropy(seed)
        super().__init__(rng=self.streams.seed)
        scenario = self.loaded = loaded_from(scenario, overrides, values)
        plan = prepared or blueprint(scenario, self.streams.seed)
        self.estimate, self.placed = plan.estimate, plan.placed
        self.state = build_state(scenario, plan, self.streams)
        self.protocol = make_protocol(scenario, self.state)
        if snapshot is not None:
            checkpoint.restore(self.state, snapshot)
            self.steps = self.state.step
        self.engine = make_engine(self.scenario.transport, self.state, self._threads)
        self.history = Metrics(float(self.scenario.record.metrics))
        self.recorder = Recorder()
        self.recorder.add(self.history, self.state)
        self._cells: dict[int, Cell] = {}
        self._awaited = self._make_agents
        if self.state.living or self.cell_class is not Cell:
            self._complete()
        self.changes: list[StepChange] = []
        self._length = float(self.scenario.clock.step)
        self._in_run = False
        self._taken = 0  # steps that were taken at once, and are not counted yet
        self.datacollector: DataCollector = Readouts(measure)

    @property
    def scenario(self) -> Scenario:
        """The scenario that the model was built from."""
        return self.loaded.scenario

    @scenario.setter
    def scenario(self, _: object) -> None:
        """Mesa 3.5 gives every model a scenario of Mesa's own kind; ours stays."""

    def __repr__(self) -> str:
        about = f"{self.hours:g} h, {len(self.state.cells):,} cells, seed {self.streams.seed}"
        return f"<model of {self.loaded.name}: {about}>"

    def _repr_html_(self) -> str:
        totals = self.state.balance.totals()
        places = next(iter(totals.values()), {})
        rows = [(place, *(float(row[place]) for row in totals.values())) for place in places]
        lines = [f"{change.key} = {change.value} from {change.time_s / 3600:g} h" for change in self.changes]
        return html_card(repr(self).strip("<>"), lines, html_table(["vesicles", *totals], rows))

    def observe(self, observer: Observer) -> None:
        """Add an observer; it looks at once, then by its own clock."""
        self.recorder.add(observer, self.state)

    def _wrapped_step(self, *given: Any, **named: Any) -> None:
        """Make a step as a user calls it: with what a subclass does in its own before an interrupt acts."""
        with interrupt_held():
            super()._wrapped_step(*given, **named)

    def step(self) -> None:
        """Advance by one coupling step, then let agents that have a ``step`` take it, and collect data.

        ``run`` calls it for every step, so that a subclass may do more before and after ``super().step()``;
        in ``run`` that step ends at the end of the run at the latest. As in Mesa, a subclass that has a
        ``step`` of its own calls those of agents itself, as by ``self.agents.shuffle_do("step")``, and
        ``collect`` of a ``datacollector`` that it has set; without one both are done here, agents in the
        order in which they were made. An interrupt acts when the step is complete, a second one at once.
        """
        plain = type(self).step is ExosomeModel.step
        with interrupt_held(), marked_if_incomplete(self.state):
            if self._taken:
                self._taken -= 1
                if self._taken:
                    return
            else:
                self.advance_by(self._length)
            if plain and self._awaited is None:
                for kind, agents in list(self._agents_by_type.items()):
                    if kind.step is not BaseAgent.step:
                        agents.do("step")
            if isinstance(self.datacollector, Readouts):
                self.datacollector.collect(self, recorded_only=self._in_run)
            elif plain:
                self.datacollector.collect(self)

    def advance_by(self, seconds: float) -> None:
        """Advance by one coupling step of any length above 0.

        Raises
        ------
        InputError
            If the length is not a number above 0.
        """
        if not (isfinite(seconds) and seconds > 0):
            raise InputError(f"advance_by({seconds}): a step is a number of seconds above 0")
        step = Step(self.state, self.engine, self.recorder, seconds, self.protocol)
        born, died = self.state.lineage.born, len(self.state.lineage.dead)
        with interrupt_held(), marked_if_incomplete(self.state):
            try:
                advance(step)
            except MemoryError as error:
                raise ResourceError(
                    f"no memory was left in the step at {self.hours:.4g} h; use fewer vesicles, fewer cells "
                    "or larger voxels"
                ) from error
            for name in self.state.lineage.dead["birth_id"][died:].tolist():
                self._cells.pop(name).leave()
            self._make_agents(range(born, self.state.lineage.born))

    def _make_agents(self, names: Iterable[int] | None = None) -> None:
        """Agents of cells, by default of all: where none comes or goes, when agents are first asked for."""
        for name in self.state.cells.birth_id.tolist() if names is None else names:
            self._cells[name] = self.cell_class(self, name)

    def run(
        self, hours: float | str | None = None, *, progress: Callable[[float], Any] | None = None
    ) -> None:
        """Run for ``hours`` of model time, such as 6 or ``"30 min"``, or for the scenario's duration.

        The last step is shortened where the time is not a whole number of steps. ``progress`` is called
        after every step, or after several that are taken at once (``quiet_steps``), with the share done. Each
        step is a call of ``step``; setting ``running`` to False in it ends the run.

        Raises
        ------
        InputError
            If the time is negative or no number; a run of 0 h makes no step.
        """
        duration = float(self.scenario.clock.duration)
        if hours is not None:
            duration = 0.0 if hours == 0 else model_time(hours, "hours")[0] * 3600.0
        self.run_until(self.state.time + duration, progress=progress)

    def run_until(self, end: float, *, progress: Callable[[float], Any] | None = None) -> None:
        """Run until a model time in s; see ``run``.

        Raises
        ------
        InputError
            If the time is not a number, or a subclass has a ``step`` that does not advance the model.
        """
        if not isfinite(end):
            raise InputError(f"run_until({end}): the end is a model time in s")
        step, start = float(self.scenario.clock.step), self.state.time
        self._in_run = True
        try:
            while self.running and end - self.state.time > ROUNDING * step:
                rest, before = end - self.state.time, self.state.time
                self._length = step if rest > step * (1 - ROUNDING) else rest
                self._step_together(int(rest / step + ROUNDING))
                if self.state.time <= before:
                    name = type(self).__name__
                    raise InputError(f"{name}.step() did not advance the model; call super().step() in it")
                if progress is not None:
                    progress((self.state.time - start) / (end - start))
        finally:
            self._length, self._in_run = step, False

    def _step_together(self, most: int) -> None:
        """Make a step, or as many as can be taken at once where nobody looks between them."""
        plain = type(self).step is ExosomeModel.step and isinstance(self.datacollector, Readouts)
        acting = self._awaited is None and any(k.step is not BaseAgent.step for k in self._agents_by_type)
        step = Step(self.state, self.engine, self.recorder, self._length, self.protocol)
        number = quiet_steps(step, most) if plain and not acting else 1
        if number == 1:
            self.step()
            return
        with interrupt_held(), marked_if_incomplete(self.state):
            advance_quietly(step, number)
            self._taken = number
            for _ in range(number):
                self.step()

    @property
    def agents_by_type(self) -> AgentsByType:
        """Cells by the name of their type, such as ``"donor"``, and other agents by their class."""
        return AgentsByType(self)

    @property
    def agent_types(self) -> list[str | type[BaseAgent]]:
        """The keys of ``agents_by_type``."""
        return list(self.agents_by_type)

    @property
    def space(self) -> CellSpace:
        """The x-y plane of the domain in um, with its cells, for drawings of Mesa and searches."""
        return CellSpace(self)

    def branch(
        self, *, silence: str | None = None, block: str | None = None, give: str | None = None
    ) -> ExosomeModel:
        """A second model that goes on from this moment on the same draws, with one change.

        Cells, vesicles, fields, clocks and recorded metrics are copied. Every draw is named by seed, purpose,
        entity and step; the two models therefore differ by the change and its consequences alone. Without a
        change the branch repeats this model bit for bit; agents of a subclass of ``Cell`` are made anew,
        without the attributes that they were given.

        Parameters
        ----------
        silence : str, optional
            ``"cell:17"``, ``"cell_type:macrophage"``, ``"edge:3->17"`` (cells or types), or
            ``"vesicle:exosome"``.
        block : {"release", "uptake", "delivery", "response"}, optional
            The process that is blocked; release, or uptake for an edge, if not given; see
            ``cells.silencing_and_gifts``.
        give : str, optional
            ``"cell:17 message 100"``: copies of a cargo given to a cell, or to each cell of a type, now.

        Raises
        ------
        InputError
            If the selection names nothing in this model, or has no such step.

        Examples
        --------
        >>> model = ExosomeModel("two_cells", seed=1)
        >>> model.run(hours=1)
        >>> silent = model.branch(silence="cell_type:donor")
        >>> model.run(hours=1), silent.run(hours=1)
        (None, None)
        """
        loaded = self.loaded.with_change(silence=silence, block=block, give=give, at=f"{self.hours!r} h")
        content = {name: array.copy() for name, array in checkpoint.snapshot(self.state).items()}
        branch = type(self)(loaded, seed=self.streams.seed, threads=self._threads, snapshot=content)
        branch.history.restore(self.history.snapshot())
        return branch

    @classmethod
    def from_checkpoint(cls, file: str | Path, *, threads: int | None = 1) -> Self:
        """The model of a run at one of its checkpoints; it goes on to the same bits as the run.

        With other libraries, or on another machine, the bits may differ, and ``warnings`` says so.

        Parameters
        ----------
        file : str or Path
            ``checkpoints/43200s.npz`` in the folder of a run that kept its checkpoints, or
            ``checkpoint.npz`` of an unfinished run.

        Raises
        ------
        InputError
            If the file is damaged, of another version of exoabm, or without its scenario or table of cells.

        Examples
        --------
        >>> import exoabm as xo
        >>> kept = {"checkpoint_every": "1 h", "keep_checkpoints": True}
        >>> run = xo.run("two_cells", {"clock.step": "10 min"}, seed=1, hours=2, out="kept", **kept)
        >>> model = ExosomeModel.from_checkpoint("kept/checkpoints/3600s.npz")
        >>> silent = model.branch(silence="cell:0")
        >>> silent.hours
        1.0
        """
        path = Path(file)
        plan, content = checkpoint.read(path.parent, path.name)
        home = path.parent.parent if path.parent.name == KEPT else path.parent
        changes = [StepChange(**row) for row in plan["changes"]]
        loaded = with_step_changes(of_checkpoint(plan, home), changes)
        model = cls(loaded, seed=plan["seed"], threads=threads, snapshot=part(content, "state/"))
        model.history.restore(part(content, "recorder/0/"))
        model.changes.extend(changes)
        other = drift(plan["made_with"], made_with(), "the checkpoint was made")
        if other is not None:
            model.state.warnings.append(other)
        return model

    def show(self) -> Any:
        """The model as a widget of Jupyter: the canvas of the page, with play, pause, step and a timeline.

        Playing advances this model. Display it as the last value of a cell; it needs ipywidgets, no network.
        """
        return import_module("exoabm.viz.notebook").widget_of(self)  # a layer above this one

    def set(self, key: str, value: object) -> None:
        """Change a rate, probability or saturation between two steps; the next step uses the new value.

        Cells, vesicles, fields and counts stay. A change is noted with its time in ``changes``, run.json and
        checkpoints; the same changes at the same times give the same bits, also after ``resume``.

        Parameters
        ----------
        key : str
            Dotted key of a number that may change: a rate, probability, saturation or time constant of a cell
            type, vesicle kind or response, or a property of the medium. The error for any other key lists
            those of this scenario.
        value
            Text with a unit, number in the unit of its parameter, pair ``(number, "unit")``, or quantity of
            pint.

        Raises
        ------
        InputError
            If the key is unknown or fixed, the value is not allowed, or a cell type would begin to release
            vesicles that has released none: it has no label of origin.

        Examples
        --------
        >>> model = ExosomeModel("two_cells", seed=1)
        >>> model.run(hours=1)
        >>> model.set("cell_type.donor.release_rate", "120 / h")
        >>> model.run(hours=1)
        >>> round(float(model.state.balance.totals()["exosome"]["emitted"]), 6)
        180.0
        """
        loaded, change = changed_between_steps(self.loaded, self.state.time, key, value)
        state, protocol = state_with_change(loaded, key, self.state, self.streams)
        self.state.__dict__ = state.__dict__  # the same object for all that hold it
        self.loaded, self.protocol = loaded, protocol
        self.engine = make_engine(self.scenario.transport, self.state, self._threads)
        self.changes.append(change)

    @property
    def hours(self) -> float:
        """Model time in hours."""
        return self.state.time / 3600

    @property
    def metrics(self) -> pd.DataFrame:
        """A row per recorded time, every ``record.metrics`` of model time, perhaps not up to ``hours``."""
        return self.history.frame()

    @property
    def communication(self) -> nx.DiGraph:
        """Donor -> recipient, as counted until now; see ``analysis.communication_graph.graph``."""
        return graph(self.state)

    def graph(self, most: int | None = None, *, met: bool = False) -> nx.DiGraph:
        """As ``communication``; of the ``most`` strongest edges, or with those that only ``met``."""
        return graph(self.state, most, met=met)

    @property
    def edges(self) -> pa.Table:
        """The edge table behind ``communication``; see ``analysis.communication.edge_table``."""
        return edge_table(self.state)

    @property
    def recognized(self) -> str:
        """What the layout's table was recognized as, in a line; "" without a table."""
        return "" if self.placed is None else self.placed.recognized

    @property
    def warnings(self) -> list[str]:
        """What a reader of the result should know."""
        return self.state.warnings

    def transfer_matrix(self, vesicle: str | None = None) -> TransferMatrix:
        """The exact expected donor -> recipient matrix; see ``transport.transfer_matrix``."""
        from exoabm.transport.transfer_matrix import transfer_matrix

        kinds = [kind.name for kind in self.state.kinds]
        return transfer_matrix(self.state, 0 if vesicle is None else kinds.index(vesicle))
