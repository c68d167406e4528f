"""What users of Mesa expect of agents, their sets, the data collector, batch runs and the space."""

from __future__ import annotations

import threading

import mesa
import numpy as np
import pytest
from mesa_models import SMALL, Counting, Curious, bits, same

import exoabm as xo
from exoabm._mesa import BaseAgent
from exoabm.errors import InputError
from exoabm.output.cell_tables import lineage_table

MORTAL = SMALL | {"cell_type.donor.death_rate": "0 / h"}


ENGINES = ["continuum", "vesicles"]


def test_agents_that_have_a_step_take_it() -> None:
    """Once a step, in the order in which they were made; by the model's own step, if it has one, alone."""

    class Guest(BaseAgent):
        count = 0

        def step(self) -> None:
            self.count += 1

    class Own(xo.ExosomeModel):
        cell_class = Curious

    class Both(Own):
        def step(self) -> None:
            super().step()
            self.agents_by_type[Curious].do("step")

    models = [kind("signaling", seed=1, overrides=SMALL) for kind in (xo.ExosomeModel, Own, Both)]
    guests = [Guest(model) for model in models]
    for model in models:
        model.run(hours=0.05)
    steps = models[0].steps
    assert steps >= 3
    assert [guest.count for guest in guests] == [steps, steps, 0]
    for model in models[1:]:
        assert [cell for cell, _ in model.looks] == [*range(15)] * steps
        assert len({time for _, time in model.looks}) == steps
    assert same(models[0], models[1])


def test_agents_are_made_when_they_are_asked_for() -> None:
    """Where cells neither come nor go a run needs none; the agents of cells are the first all the same."""

    class Guest(xo.Cell):
        pass

    models = [xo.ExosomeModel("signaling", seed=1, overrides=SMALL) for _ in range(4)]
    for model in models:
        model.run(hours=0.05)
        assert model._cells == {}
    guest = Guest(models[0], 99)
    assert (guest.unique_id, len(models[0].agents), len(models[0].agents_by_type[Guest])) == (16, 16, 1)
    near = models[1].space.get_neighbors(models[1].state.cells.position[3], 1e-6)
    for model in (models[1], models[3]):
        assert [(a.birth_id, a.unique_id) for a in model.agents] == [(i, i + 1) for i in range(15)]
    models[2].register_agent(near[0])  # as Mesa does with each new agent; 3.5 gives it an id
    assert len(models[2].agents) == 16
    assert len(xo.ExosomeModel("signaling", seed=1, overrides=MORTAL)._cells) == 15


@pytest.mark.parametrize("engine", ENGINES)
def test_a_removed_agent_is_a_cell_that_dies(engine: str) -> None:
    """It releases no more, what it sent goes on, the mass balance holds, and it stays in the record."""
    settings = MORTAL | {"transport.engine": engine}
    model, other = (xo.ExosomeModel("signaling", seed=1, overrides=settings) for _ in range(2))
    for each in (model, other):
        each.run(hours=0.2)
    donor = next(a for a in model.agents if a.cell_type == "donor" and a.released > 0)
    donor.remove()
    assert donor not in model.agents
    again = xo.ExosomeModel("signaling", seed=1, overrides=settings, snapshot=bits(model))
    for each in (model, other, again):
        each.step()
    assert donor.birth_id not in model.state.cells.birth_id
    assert len(model.agents) == len(other.agents) - 1 == len(model.state.cells)
    sent = model.state.lineage.dead["released"].sum()
    emitted = [each.state.balance.emitted.sum() for each in (model, other)]
    assert emitted[0] == emitted[1], "it lived until the end of the step"
    for each in (model, other, again):
        each.run(hours=0.5)  # the mass balance is checked in every step
    assert model.state.lineage.dead["released"].sum() == sent > 0
    assert model.state.balance.emitted.sum() < other.state.balance.emitted.sum()
    assert int(model.state.lineage.deaths.sum()) == 1
    assert same(model, again), "a checkpoint knows who is to die"
    table = lineage_table(model.state).to_pandas().set_index("cell")
    assert table.died_s.dropna().index.tolist() == [donor.birth_id]
    with pytest.raises(InputError, match="is dead"):
        _ = donor.position


def test_all_agents_can_be_removed_and_none_where_cells_do_not_die() -> None:
    model = xo.ExosomeModel("signaling", seed=1, overrides=MORTAL)
    model.remove_all_agents()
    assert len(model.agents) == 0
    model.run(hours=0.1)
    assert len(model.state.cells) == 0
    fixed = xo.ExosomeModel("signaling", seed=1, overrides=SMALL)
    with pytest.raises(InputError, match="cell type a death_rate"):
        fixed.agents[0].remove()
    fixed.step()
    assert len(fixed.agents) == 15


def test_agents_by_type_are_those_of_cell_types() -> None:
    """A partition of the agents, as after deaths; Mesa's own keys, classes, are accepted, too."""

    class Guest(BaseAgent):
        pass

    model = xo.ExosomeModel("signaling", seed=1, overrides=MORTAL)
    guest = Guest(model)
    kinds = model.agents_by_type
    assert list(kinds) == model.agent_types == ["donor", "recipient", Guest]
    assert {kind: len(agents) for kind, agents in kinds.items()} == {"donor": 3, "recipient": 12, Guest: 1}
    assert {agent.cell_type for agent in kinds["donor"]} == {"donor"}
    assert list(kinds[Guest]) == [guest]
    assert len(kinds[xo.Cell]) == 15
    next(iter(kinds["donor"])).remove()
    assert len(kinds["donor"]) == 2, "a removed agent is gone at once"
    model.step()
    assert len(kinds["donor"]) == 2
    with pytest.raises(KeyError, match="did you mean 'donor'"):
        kinds["doner"]


def test_a_cell_that_changes_its_type_changes_its_set() -> None:
    model = xo.ExosomeModel("signaling", seed=1, overrides=SMALL)
    donor = next(iter(model.agents_by_type["donor"]))
    model.state.cells.type[donor.row] = 1
    counts = {name: len(agents) for name, agents in model.agents_by_type.items()}
    assert counts == {"donor": 2, "recipient": 13}
    assert donor in model.agents_by_type["recipient"]


def test_the_data_collector_has_the_readouts_of_the_metrics() -> None:
    """A row for each step by hand, the recorded rows of a run, and no row twice."""
    model = xo.ExosomeModel("signaling", seed=1, overrides=SMALL)
    model.step()
    model.datacollector.collect(model)
    model.step()
    table = model.datacollector.get_model_vars_dataframe()
    assert table.time_h.tolist() == pytest.approx([1 / 60, 2 / 60])
    emitted = model.state.balance.emitted.sum()
    assert table["emitted[exosome]"].tolist() == pytest.approx([emitted / 2, emitted])
    model.run(hours=1)
    rows, metrics = model.datacollector.get_model_vars_dataframe()[2:], model.metrics[1:]
    assert rows.time_h.tolist() == metrics.time_h.tolist()
    assert rows.to_numpy().tolist() == metrics[rows.columns].to_numpy().tolist()


def test_a_data_collector_of_a_user() -> None:
    """The model collects it at every step, unless a subclass with a step of its own does."""

    class Own(Counting):
        def step(self) -> None:
            super().step()
            self.datacollector.collect(self)

    models = [kind("signaling", seed=1, overrides=SMALL) for kind in (xo.ExosomeModel, Own)]
    for model in models:
        model.datacollector = mesa.DataCollector(
            {"cells": lambda m: len(m.agents)}, agenttype_reporters={"donor": {"released": "released"}}
        )
        model.run(hours=0.05)
        assert model.datacollector.model_vars["cells"] == [15] * model.steps
        assert len(model.datacollector.get_agenttype_vars_dataframe("donor")) == 3 * model.steps


def test_batch_run() -> None:
    """Keys are parameters; the last row is the last step; each arm has its own release."""
    found = mesa.batch_run(
        xo.ExosomeModel,
        {"scenario": "two_cells", "seed": [1], "cell_type.donor.release_rate": ["10 / h", "100 / h"]},
        max_steps=3,
        number_processes=1,
        display_progress=False,
    )
    model = xo.ExosomeModel("two_cells", seed=1, **{"cell_type.donor.release_rate": "10 / h"})
    for _ in range(round(60 * found[0]["time_h"])):
        model.step()
    assert len(found) == 2
    assert found[0]["emitted[exosome]"] == model.state.balance.emitted.sum()
    assert found[1]["emitted[exosome]"] == pytest.approx(10 * found[0]["emitted[exosome]"])
    with pytest.raises(InputError, match="expected a dictionary"):
        mesa.batch_run(
            xo.ExosomeModel,
            {"overrides": {"clock.duration": "1 h"}},
            number_processes=1,
            display_progress=False,
        )


def test_values_of_a_loaded_scenario_can_be_overridden() -> None:
    model = xo.ExosomeModel(xo.load("signaling", SMALL), seed=1, overrides={"clock.step": "30 s"})
    assert (len(model.agents), float(model.scenario.clock.step)) == (15, 30)
    with pytest.raises(InputError, match="did you mean"):
        xo.ExosomeModel("signaling", **{"transport.hindrence": 0.1})


def test_the_space_finds_cells_across_periodic_faces() -> None:
    model = xo.ExosomeModel("signaling", seed=1, overrides=SMALL)
    space = model.space
    assert list(space.agents) == list(model.agents)
    low, extent = model.state.domain.low[:2], model.state.domain.extent[:2]
    assert [space.x_min, space.y_min, space.x_max, space.y_max] == [*low, *(low + extent)]
    one = model.agents[0]
    apart = np.hypot(*(model.state.cells.position - one.position).T[:2])
    radius = float(np.sort(apart)[4])
    near = {agent.birth_id for agent in space.get_neighbors(one.pos, radius)}
    assert near == set(model.state.cells.birth_id[apart <= radius].tolist())
    assert one.birth_id not in {
        a.birth_id for a in space.get_neighbors(one.pos, radius, include_center=False)
    }
    space._period = np.array([extent[0], 0.0])
    left, right = low + np.array([1.0, 3.0]), low + np.array([extent[0] - 2.0, 7.0])
    assert space.get_distance(left, right) == pytest.approx(5.0)
    assert space.get_heading(left, right) == pytest.approx((-3.0, 4.0))
    for change in (space.place_agent, space.move_agent):
        with pytest.raises(InputError, match="read only"):
            change(one, (0.0, 0.0))
    with pytest.raises(InputError, match=r"agent.remove\(\)"):
        space.remove_agent(one)


def test_mesa_draws_the_cells() -> None:
    """Its component draws each cell at its place; ``mesa.visualization`` requires altair."""
    pytest.importorskip("altair")
    solara = pytest.importorskip("solara")
    from matplotlib.figure import Figure
    from mesa.visualization import make_plot_component, make_space_component
    from mesa.visualization.components import AgentPortrayalStyle
    from mesa.visualization.mpl_space_drawing import draw_space

    def portrayal(cell: xo.Cell) -> AgentPortrayalStyle:
        return AgentPortrayalStyle(color="red" if cell.cell_type == "donor" else "blue", size=9)

    model = xo.ExosomeModel("signaling", seed=1, overrides=SMALL)
    model.step()
    axes = Figure().subplots()
    draw_space(model.space, portrayal, ax=axes)
    drawn = np.concatenate([part.get_offsets() for part in axes.collections])
    assert sorted(map(tuple, drawn)) == sorted(map(tuple, model.state.cells.position[:, :2]))
    for component in (make_space_component(portrayal), make_plot_component("emitted[exosome]")[0]):
        solara.render(component(model), handle_error=False)


def test_threads_that_ask_for_agents_together_find_all_of_them() -> None:
    """The second waits until the first has made them."""
    model = xo.ExosomeModel("two_cells", seed=1)
    make, begun, go_on, found = model._awaited, threading.Event(), threading.Event(), []
    assert make is not None

    def slowly() -> None:
        begun.set()
        go_on.wait(10)
        make()

    model._awaited = slowly
    threads = [threading.Thread(target=lambda: found.append(len(model.agents))) for _ in range(2)]
    threads[0].start()
    assert begun.wait(10)
    threads[1].start()
    threads[1].join(0.2)
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert found == [2, 2]


def test_a_subclass_may_use_plain_names() -> None:
    model = xo.ExosomeModel("two_cells", seed=1)
    model.complete = model.awaited = False
    model.run(hours=0.1)
    assert len(model.agents) == 2
