"""Release through multivesicular bodies: problem 18, and the balance of waste."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exoabm import ExosomeModel
from exoabm.accounting.step_records import Returning
from exoabm.cells.agents import Cell
from exoabm.cells.secretion import secrete
from exoabm.errors import NumericalError
from exoabm.random_streams import Streams
from exoabm.scenario.loader import parse
from exoabm.scenario.state_builder import blueprint, build_state
from exoabm.state import State

N = 20_000
"""Cells; the standard error of a variance is then 1 %."""


def donors(n: int = N, seed: int = 18, **keys: object) -> State:
    """Cells that release, without a medium to speak of."""
    values = {"releases": "'EV'", "secretion": "'poisson'", **keys}
    text = "\n".join(f"{key} = {value}" for key, value in values.items())
    cargo = ', cargo = ["debris"]' if "waste" in keys else ""
    scenario = f"""
    info = {{ title = "a test" }}
    domain = {{ size = [20, 20] }}
    layout = {{ group = [{{ cell_type = "donor", arrange = "overlapping", count = {n} }}] }}
    vesicle = [{{ name = "EV"{cargo} }}]
    cargo = [{{ name = "debris", role = "waste", copies = 2 }}]
    [[cell_type]]
    name = "donor"
    {text}
    """
    loaded = parse(scenario.encode(), name="test", folder=Path())
    return build_state(loaded, blueprint(loaded, seed), Streams(seed))


def released(state: State, hours: float, dt: float) -> np.ndarray:
    """Vesicles that each cell releases."""
    total = np.zeros(len(state.cells))
    for _ in range(round(hours * 3600 / dt)):
        rows = secrete(state, dt)
        np.add.at(total, rows.cell, rows.count)
        state.waste_balance.held = float(state.cells.waste.sum())
        state.waste_balance.check(state.time)
        assert (state.cells.waste >= 0).all()
        state.step += 1
        state.time += dt
    return total


def test_the_mean_is_exact() -> None:
    assert released(donors(3, secretion="'mean'"), 24, 600) == pytest.approx([1440] * 3, rel=1e-12)


@pytest.mark.parametrize("dt", [600.0, 3600.0])
def test_18_a_bursty_donor(dt: float) -> None:
    """Mean 1440, SD 151.8, Fano 16 after 24 h, whatever the step; 3 standard errors (0.3 % each)."""
    count = released(donors(), 24, dt)
    mean, fano = count.mean(), count.var() / count.mean()
    print(mean, count.std(), fano)
    assert (count == np.round(count)).all()
    assert mean == pytest.approx(1440, abs=3 * 151.8 / np.sqrt(N))
    assert count.std() == pytest.approx(151.8, rel=3 / np.sqrt(2 * N))
    assert fano == pytest.approx(16, rel=3 * np.sqrt(2 / N))


def test_18_sees_5_percent() -> None:
    count = released(donors(release_rate=60 * 1.05), 24, 3600)
    assert count.mean() != pytest.approx(1440, abs=3 * 151.8 / np.sqrt(N))
    count = released(donors(ilvs_per_mvb=15 * 1.07), 24, 3600)
    assert count.var() / count.mean() != pytest.approx(16, rel=3 * np.sqrt(2 / N))


def test_400_cells_are_400_seeds() -> None:
    """One cell under many seeds varies as many cells under one: mean and SD of problem 18."""
    count = np.array([released(donors(1, seed), 24, 86400.0)[0] for seed in range(400)])
    assert count.mean() == pytest.approx(1440, abs=3 * 151.8 / 20)
    assert count.std() == pytest.approx(151.8, rel=3 / np.sqrt(800))


def test_draws_belong_to_the_cell_and_not_to_its_row() -> None:
    state, other = donors(50), donors(50)
    order = np.random.default_rng(1).permutation(50)
    other.cells.birth_id = other.cells.birth_id[order]
    assert (released(other, 1, 600) == released(state, 1, 600)[order]).all()


WASTE = '{ vesicle = "EV", production = 300, lysosomal_rate = 0.5, export_rate = 2 }'


@pytest.mark.parametrize("secretion", ["'mean'", "'poisson'"])
@pytest.mark.parametrize("dt", [60.0, 1800.0, 86400.0])
def test_waste_balances_and_is_never_negative(secretion: str, dt: float) -> None:
    """Checked at every step inside; at two copies of waste in each vesicle."""
    state = donors(200, releases="'EV'", release_rate=0, secretion=secretion, waste=WASTE)
    vesicles = released(state, 24, dt)
    balance = state.waste_balance
    assert balance.exported == pytest.approx(2 * vesicles.sum(), rel=1e-12)
    assert balance.produced == pytest.approx(300 * 24 * 200, rel=1e-12)


def test_waste_settles_where_its_equation_does() -> None:
    """p / (k_lys + k_exo) = 120; exactly at the mean, to 3 standard errors (0.3 %) in bursts."""
    steady = donors(5, release_rate=0, secretion="'mean'", waste=WASTE)
    released(steady, 24, 600)
    assert steady.cells.waste == pytest.approx([120] * 5, rel=1e-9)
    bursty = donors(4000, release_rate=0, waste=WASTE)
    released(bursty, 24, 60)
    waste = bursty.cells.waste
    print(waste.mean(), waste.std())
    assert waste.mean() == pytest.approx(120, abs=3 * waste.std() / np.sqrt(4000) + 0.01 * 120)
    assert waste.mean() != pytest.approx(120 * 1.05, abs=3 * waste.std() / np.sqrt(4000) + 0.01 * 120)


def test_no_more_waste_leaves_than_there_is() -> None:
    """Bursts of 15 from pools of at most a few units."""
    scarce = '{ vesicle = "EV", production = 3, lysosomal_rate = 0, export_rate = 100 }'
    state = donors(300, release_rate=0, waste=scarce)
    total = released(state, 24, 600)
    assert 2 * total + state.cells.waste == pytest.approx(np.full(300, 3 * 24), rel=1e-9)


def test_a_waste_balance_that_is_off_is_noticed() -> None:
    state = donors(5, secretion="'mean'", release_rate=0, waste=WASTE)
    released(state, 1, 600)
    state.waste_balance.exported *= 1.05
    with pytest.raises(NumericalError, match="waste balance is off"):
        state.waste_balance.check(state.time)


def test_what_left_a_surface_is_emitted_again_under_its_own_label_and_size() -> None:
    state = donors(4)
    state.trafficking.returning[2, 0, 0] = 1.5
    state.trafficking.returning_sizes[2, 0, 0] = 0.2, 0.8
    rows = Returning(state.trafficking.returning, state.trafficking.returning_sizes).rows()
    assert rows.size is not None
    assert (rows.cell.tolist(), rows.kind.tolist(), rows.label.tolist()) == ([2, 2], [0, 0], [0, 0])
    assert dict(zip(rows.size.tolist(), rows.count.tolist(), strict=True)) == pytest.approx({0: 0.3, 1: 1.2})


def test_an_agent_is_a_view_on_its_row() -> None:
    model = ExosomeModel("two_cells", seed=1)
    model.run(hours=2)
    state, agents = model.state, sorted(model.agents, key=lambda agent: agent.row)
    assert [agent.cell_type for agent in agents] == ["donor", "recipient"]
    donor, recipient = agents
    assert isinstance(donor, Cell)
    assert donor.released == state.released[0].sum() == pytest.approx(120)
    assert recipient.taken_up == state.trafficking.taken_up[1].sum() > 0
    assert recipient.delivered == state.trafficking.delivered[1].sum() > 0
    assert donor.pos == tuple(state.cells.position[0]) == (85, 105, 105)
    assert donor.waste == 0
    with pytest.raises(AttributeError, match="moved through"):
        donor.pos = (0, 0, 0)
