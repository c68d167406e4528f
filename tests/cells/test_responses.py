"""Responses: their form, and for every behavior that raising it moves the readout as its row says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from small_scenarios import cells_of, scenario, world

from exoabm.cell_type import Process
from exoabm.cells import behaviors
from exoabm.cells.responses import SIGNALS, apply_responses
from exoabm.errors import InputError
from exoabm.parameters import CATALOG
from exoabm.scenario.loader import load, parse
from exoabm.scenario.schema_base import plain_data
from exoabm.state import State

BODY = """
layout = { group = [{ cell_type = "sender", count = 4 }, { cell_type = "receiver", count = 8 }] }
cargo = [{ name = "message", copies = 5, molecule = "mRNA" }, { name = "debris", role = "waste", copies = 1 }]
vesicle = [
    { name = "EV", cargo = ["message"], delivery_probability = 0.2, processing_rate = "6 / h" },
    { name = "bin", cargo = ["debris"] },
    { name = "crate", cargo = ["message"] },
]

[[cell_type]]
name = "sender"
releases = "EV"
release_rate = "300 / h"
SENDER

[[cell_type]]
name = "receiver"
takes_up = ["EV", "bin"]
saturation = "inf"
RECEIVER

[[cell_type]]
name = "other"
"""

ROW = """
[[response]]
name = "row"
cell_type = "{cell_type}"
signal = "time"
{verb} = "{behavior}"
to = {to}
half_max = "1 s"
hill = 4
"""


def total(count: str, kind: int = 0) -> Callable[[State], float]:
    return lambda state: float(getattr(state.trafficking, count)[:, kind].sum())


def held(state: State) -> float:
    return float(state.cells.cargo[state.cells.type == 0].sum())


def apart(state: State) -> float:
    """Mean distance of receivers from the nearest sender."""
    sender, receiver = (state.cells.position[state.cells.type == t] for t in (0, 1))
    return float(np.linalg.norm(receiver[:, None] - sender[None], axis=2).min(axis=1).mean())


def spread(state: State) -> float:
    """How far cells with the lowest birth ids went from where seed 1 put them."""
    start = world(BODY.replace("SENDER", "").replace("RECEIVER", ""), size=200).state.cells.position
    old = state.cells.birth_id < len(start)
    moved = state.cells.position[old] - start[state.cells.birth_id[old]]
    return float(np.linalg.norm(moved, axis=1).sum())


WASTE = 'waste = { vesicle = "bin" }'
HOLDS = """
holds = [
    { cargo = "message", initial = 50, production = "5 / h", replication = "0.1 / h", vesicle = "crate" },
]"""
CALM = 'motility = "1 um^2 / h"'

SIGNS = {
    # behavior: (cell type, what it needs there, rises or falls, to, readout, which then rises or falls)
    "release_rate": ("sender", "", "increases", "900", lambda s: s.released.sum(), 1),
    "ilvs_per_mvb": ("sender", "", "increases", "45", lambda s: s.released.sum(), 1),
    "secretory_fraction": ("sender", "mvb = {}", "decreases", "0.02", lambda s: s.released.sum(), -1),
    "mvb_fate_rate": ("sender", "mvb = {}", "decreases", "'0.1 / h'", lambda s: s.cells.mvb.sum(), 1),
    "uptake_rate": ("receiver", "", "increases", "60", total("taken_up"), 1),
    "recycling_probability": (
        *("receiver", "recycling_probability = 0.1", "increases"),
        *("0.9", total("recycled"), 1),
    ),
    "delivery_probability": (
        *("receiver", "delivery_probability = 0.2", "decreases"),
        *("0", total("delivered"), -1),
    ),
    "waste_production": ("sender", WASTE, "increases", "'400 / h'", lambda s: s.cells.waste.sum(), 1),
    "waste_lysosomal_rate": ("sender", WASTE, "increases", "'5 / h'", lambda s: s.cells.waste.sum(), -1),
    "waste_export_rate": ("sender", WASTE, "increases", "'2 / h'", lambda s: s.balance.emitted[1].sum(), 1),
    "division_rate": ("receiver", "division_rate = 0", "increases", "'0.5 / h'", lambda s: len(s.cells), 1),
    "death_rate": ("receiver", "death_rate = 0", "increases", "'1 / h'", lambda s: len(s.cells), -1),
    "motility": ("receiver", CALM, "increases", "'100 um^2 / h'", spread, 1),
    "chemotaxis": (
        *("receiver", 'climbs = { vesicle = "EV", coefficient = 0 }', "increases"),
        *("'1e5 um^2 / h'", apart, -1),
    ),
    "transformation_rate": (
        *("receiver", 'transformation = { into = "other", rate = 0 }', "increases"),
        *("'1 / h'", lambda s: (s.cells.type == 2).sum(), 1),
    ),
    "production": ("sender", HOLDS, "increases", "'50 / h'", held, 1),
    "replication": ("sender", HOLDS, "increases", "'1 / h'", held, 1),
    "clearance": ("sender", HOLDS, "increases", "'1 / h'", held, -1),
    "export": ("sender", HOLDS, "increases", "'1 / h'", lambda s: s.balance.emitted[2].sum(), 1),
}


def body(cell_type: str, needs: str) -> str:
    place = cell_type.upper()
    rest = {"SENDER": "RECEIVER", "RECEIVER": "SENDER"}[place]
    return BODY.replace(place, needs).replace(rest, "")


def test_every_behavior_has_its_sign_tested() -> None:
    assert SIGNS.keys() == {each.name for each in behaviors.BUILT_IN} | behaviors.OF_CARGO.keys()


@pytest.mark.parametrize("engine", ["continuum", "vesicles"])
@pytest.mark.parametrize("behavior", SIGNS)
def test_a_response_moves_what_its_row_says(behavior: str, engine: str) -> None:
    cell_type, needs, verb, to, readout, sign = SIGNS[behavior]
    name = f"{behavior}.message" if behavior in behaviors.OF_CARGO else behavior
    found = []
    for row in ("", ROW.format(cell_type=cell_type, verb=verb, behavior=name, to=to)):
        model = world(body(cell_type, needs) + row, size=200, step="300 s", engine=engine)
        model.run(hours=2)
        found.append(float(readout(model.state)))
    print(behavior, engine, found)
    assert np.sign(found[1] - found[0]) == sign
    assert abs(found[1] - found[0]) > 0.05 * max(found)


@pytest.mark.parametrize(
    ("verb", "to", "expected"), [("increases", "'12 / h'", 12), ("decreases", "'1 / h'", 1)]
)
def test_a_built_in_behavior_is_one_row(monkeypatch, verb: str, to: str, expected: float) -> None:
    """Key, unit, sign, requirement, process and action: all from the row, with 6 per hour at rest."""
    acted = []
    row = behaviors.Behavior(
        "budding",
        (("release_rate", CATALOG["release_rate"]),),
        act=lambda state, value, dt: acted.append(value * dt),
        process=Process.TURNOVER,
        requires=("releases",),
    )
    monkeypatch.setattr(behaviors, "BUILT_IN", (*behaviors.BUILT_IN, row))
    text = body("sender", "").replace("300 / h", "6 / h")
    model = world(text + ROW.format(cell_type="sender", verb=verb, behavior="budding", to=to), size=200)
    assert model.state.living
    model.run(hours=0.5)
    assert np.mean(acted[-1], where=model.state.cells.type == 0) == pytest.approx(expected / 60, rel=1e-3)
    with pytest.raises(InputError, match="here they have budding"):
        model.transfer_matrix("EV")
    with pytest.raises(InputError, match="has no such behavior"):
        world(text + ROW.format(cell_type="receiver", verb=verb, behavior="budding", to=to), size=200)


def state_with(*rows: str, needs: str = "") -> State:
    return cells_of(body("receiver", needs) + "".join(rows), size=200)


def row(signal: str, verb: str = "increases", to: str = "114", half_max: str = "10", hill: float = 2) -> str:
    return (
        f'\n[[response]]\ncell_type = "receiver"\nsignal = "{signal}"\n{verb} = "uptake_rate"\n'
        f"to = {to}\nhalf_max = {half_max}\nhill = {hill}\n"
    )


def uptake(state: State) -> np.ndarray:
    apply_responses(state, state.time)
    return np.asarray(state.behavior("uptake_rate")[state.cells.type == 1])


def test_the_form_is_that_of_hill() -> None:
    state = state_with(row("cargo.message", hill=3))
    signal = np.array([0.0, 1.0, 5.0, 10.0, 20.0, 100.0, 1e9, 1e300])
    state.cells.cargo[state.cells.type == 1, 1] = signal
    with np.errstate(over="ignore"):
        hill = np.append(signal[:-1] ** 3 / (10**3 + signal[:-1] ** 3), 1.0)
    assert uptake(state) == pytest.approx(14 + 100 * hill, rel=1e-12)
    assert uptake(state) != pytest.approx(14 + 105 * hill, rel=1e-3)
    assert state.cells.effect[state.cells.type == 1] == pytest.approx(hill, rel=1e-12)
    assert (state.cells.effect[state.cells.type == 0] == 0).all()


def test_several_rows_share_the_way_and_those_that_lower_act_last() -> None:
    state = state_with(
        row("cargo.message"),
        row("waste", to="214"),
        row("age", "decreases", to="0", half_max="'1 h'", hill=1),
    )
    mine = state.cells.type == 1
    state.cells.cargo[mine, 1], state.cells.waste[mine], state.time = 10.0, 20.0, 3600.0
    raised = (14 + 1 * 114 + 4 * 214) / (1 + 1 + 4)
    assert uptake(state) == pytest.approx(raised / 2, rel=1e-12)


def test_every_signal_is_read() -> None:
    texts = {"time": "'1 h'", "age": "'1 h'"}
    names = {"cargo": "cargo.message", "concentration": "concentration.EV"}
    names |= {"bound": "bound.EV", "endosomal": "endosomal.EV"}
    for signal in SIGNALS:
        state = state_with(row(names.get(signal, signal), half_max=texts.get(signal, "1e-3"), hill=1))
        assert uptake(state) == pytest.approx(14)
        state.time = 3600.0
        state.cells.born[:] = 0.0
        state.cells.cargo[:] = state.cells.waste[:, None] = 1.0
        state.fields[0][:] = 1.0
        state.trafficking.bound[:] = state.trafficking.endosomal[:] = 1.0
        assert (uptake(state) > 60).all(), signal


@pytest.mark.parametrize("signal", ["time", "age"])
def test_clocks_are_read_at_the_time_from_which_a_behavior_holds(signal: str) -> None:
    """At its start a step of ten minutes has the behavior of that moment, as with any other signal."""
    model = world(
        'layout = { group = [{ cell_type = "a" }] }\nvesicle = [{ name = "EV" }]\n'
        'cell_type = [{ name = "a", releases = "EV", release_rate = "60 / h" }]\n'
        f'response = [{{ cell_type = "a", signal = "{signal}", increases = "release_rate", '
        'half_max = "20 min", hill = 1, to = "120 / h" }]\n',
        step="10 min",
    )
    for _ in range(5):
        minutes = model.state.time / 60
        rate = 3600 * model.state.behavior("release_rate")[0]
        assert rate == pytest.approx(60 + 60 * minutes / (20 + minutes))
        model.step()


def test_a_concentration_is_what_is_free_in_the_voxel() -> None:
    state = state_with(row("concentration.EV", half_max="'1e9 / mL'", hill=1))
    state.fields[0][:] = 0.0
    cell = np.flatnonzero(state.cells.type == 1)[2]
    voxel = state.domain.flat(state.domain.voxel_of(state.cells.position[cell : cell + 1]))
    state.fields[0][0].ravel()[voxel] = 3e-3 * state.domain.voxel_volume
    apply_responses(state, state.time)
    assert state.behavior("uptake_rate")[cell] == pytest.approx(14 + 100 * 0.75, rel=1e-12)
    assert (np.delete(state.behavior("uptake_rate")[state.cells.type == 1], 2) == 14).all()


def test_without_rows_nothing_is_kept_and_nothing_is_drawn() -> None:
    """A row whose signal never comes gives the bits of a scenario without it; without rows no columns."""
    bare = world(body("receiver", ""), size=200, step="300 s", engine="vesicles")
    assert bare.state.behaviors == ()
    assert bare.state.cells.behavior.shape[1] == bare.state.cells.mvb.shape[1] == 0
    silent = row("cargo.debris", half_max="1e12")
    mute = world(body("receiver", "") + silent, size=200, step="300 s", engine="vesicles")
    for model in (bare, mute):
        model.run(hours=2)
    assert mute.state.behaviors == ("uptake_rate",)
    for name, column in bare.state.vesicles.columns().items():
        other = getattr(mute.state.vesicles, name)
        if name in ("id", "donor", "kind", "born", "diameter"):
            assert (column == other).all(), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('signal = "waste"', 'signal = "wast"'), "must be one of cargo, waste"),
        (('signal = "waste"', 'signal = "cargo"'), "cargo.NAME with the name of a cargo"),
        (('signal = "waste"', 'signal = "cargo.mesage"'), "did you mean 'message'"),
        (('signal = "waste"', 'signal = "waste.debris"'), "must be waste"),
        (('increases = "uptake_rate"', 'increases = "uptake"'), "must be one of release_rate"),
        (
            ('increases = "uptake_rate"', 'decreases = "uptake_rate"'),
            r"= 114 um\^3/s: does not decrease uptake_rate, which is 14 um\^3/s at rest",
        ),
        (('increases = "uptake_rate"', 'increases = "division_rate"'), "no such behavior"),
        (('increases = "uptake_rate"', ""), "give one of the two"),
        (("half_max = 10", "half_max = '10 um'"), "dimension length"),
        (("half_max = 10", "half_max = -1"), "outside the allowed"),
        (("to = 114", "to = '3 h'"), "dimension time"),
        (("to = 114", "too = 114"), "unknown key"),
        (('cell_type = "receiver"\nsignal', 'cell_type = "reciever"\nsignal'), "did you mean 'receiver'"),
    ],
)
def test_a_wrong_row_is_named(change: tuple[str, str], message: str) -> None:
    text = body("receiver", "") + row("waste")
    with pytest.raises(InputError, match=message):
        cells_of(text.replace(*change) if change[0] in text else pytest.fail(change[0]), size=200)


def test_a_scenario_with_responses_survives_the_way_to_a_file_and_back() -> None:
    loaded = parse(
        scenario(body("receiver", "") + row("waste")), name="test", folder=load("signaling").folder
    )
    plain = plain_data(loaded.scenario)
    assert type(loaded.scenario).model_validate(plain) == loaded.scenario
    assert plain["response"][0]["half_max"]["value"] == "10 copies" or plain["response"][0]["half_max"]
