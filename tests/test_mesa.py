"""What users of Mesa expect of a model and its agents: steps of their own, and removal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import exoabm as xo
from exoabm._mesa import BaseAgent
from exoabm.errors import InputError
from exoabm.output import checkpoint
from exoabm.output.lineage import lineage_table

SMALL = {"layout.group.recipient.count": "12", "layout.group.donor.count": "3"}
MORTAL = SMALL | {"cell_type.donor.death_rate": "0 / h"}
ENGINES = ["continuum", "vesicles"]


class Counting(xo.ExosomeModel):
    """Counts its steps, and leaves off after ``most``."""

    most = 10**9

    def step(self) -> None:
        self.seen = [*getattr(self, "seen", []), self.state.time]
        super().step()
        if len(self.seen) >= self.most:
            self.running = False


class Curious(xo.Cell):
    """A cell that looks at the clock."""

    def step(self) -> None:
        self.model.looks = [*getattr(self.model, "looks", []), (self.birth_id, self.model.state.time)]


def bits(model: xo.ExosomeModel) -> dict[str, Any]:
    return {name: np.array(array) for name, array in checkpoint.snapshot(model.state).items()}


def same(one: xo.ExosomeModel, other: xo.ExosomeModel) -> bool:
    a, b = bits(one), bits(other)
    return a.keys() == b.keys() and all(
        np.array_equal(a[n], b[n], equal_nan=a[n].dtype.kind == "f") for n in a
    )


def test_run_calls_the_step_of_a_subclass() -> None:
    """Also for the last, shorter one; nothing else changes."""
    plain, mine = (kind("signaling", seed=1, overrides=SMALL) for kind in (xo.ExosomeModel, Counting))
    step = float(mine.scenario.clock.step)
    for model in (plain, mine):
        model.run(hours=4.5 * step / 3600)
    assert mine.seen == pytest.approx([0, step, 2 * step, 3 * step, 4 * step])
    assert mine.state.time == plain.state.time == pytest.approx(4.5 * step)
    assert mine.steps == plain.steps == 5
    assert same(plain, mine)
    mine.step()
    assert mine.state.time == pytest.approx(5.5 * step), "a step by hand is a whole one again"


def test_a_step_that_ends_the_run_or_does_nothing() -> None:
    model = Counting("signaling", seed=1, overrides=SMALL)
    model.most = 3
    model.run(hours=1)
    assert model.steps == 3

    class Idle(xo.ExosomeModel):
        def step(self) -> None:
            """Forget the model's own."""

    with pytest.raises(InputError, match=r"Idle.step\(\) did not advance"):
        Idle("signaling", seed=1, overrides=SMALL).run(hours=1)


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
