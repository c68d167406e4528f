"""Mechanisms that meet by chance: whatever a scenario names, books agree, and a restart changes no bit."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from random_scenarios import ENGINES, PLANES, loaded, scenario

from exoabm import ExosomeModel
from exoabm.accounting import step_booking
from exoabm.analysis.communication import edge_table
from exoabm.cells import turnover
from exoabm.errors import NumericalError
from exoabm.kernels import threads
from exoabm.output import checkpoint
from exoabm.output.metrics import measure
from exoabm.state import State
from exoabm.vesicle import Status

CHANCES = [(seed, engine) for engine in ENGINES for seed in range(6)]
STEPS = 4
SUMS = {"bound": "bound", "taken_up": "taken_up", "lysosomal": "lysosomal", "delivered": "delivered"}


def books_agree(state: State) -> None:
    """Places hold what they can, single vesicles are where the accounts say, edges add up to metrics."""
    way, domain = state.trafficking, state.domain
    exact = state.follows_vesicles
    assert np.abs(state.balance.residual()).max() <= (0 if exact else 1e-11)
    amounts = [a for name, a in vars(way).items() if not name.endswith("_contact")]
    amounts += [*state.fields, state.cells.waste, state.cells.cargo, state.cells.mvb, state.released]
    for amount in amounts:
        assert np.isfinite(amount).all()
        assert (amount >= -1e-9).all()
    assert domain.contains(state.cells.position).all()
    row, edges = measure(state), edge_table(state)
    for column, account in SUMS.items():
        total: Counter[str] = Counter()
        for kind, count in zip(edges["vesicle_kind"].to_pylist(), edges[column].to_pylist(), strict=True):
            total[kind] += count
        for kind in state.kinds:
            assert total[kind.name] == pytest.approx(row[f"{account}[{kind.name}]"], rel=1e-9, abs=1e-9)
    if not state.follows_vesicles:
        return
    vesicles = state.vesicles
    assert len(np.unique(vesicles.id)) == len(vesicles)
    for status, pool in ((Status.BOUND, way.bound), (Status.ENDOSOMAL, way.endosomal)):
        rows, found = vesicles.rows(status), np.zeros_like(pool)
        np.add.at(found, (vesicles.host[rows], vesicles.kind[rows], vesicles.label[rows]), 1)
        np.testing.assert_array_equal(found, pool)
    free = vesicles.rows(Status.FREE)
    place = np.column_stack([vesicles.x, vesicles.y, vesicles.z])[free].astype(float)
    inside = np.clip(place, domain.low, domain.low + domain.extent)
    assert place[:, : domain.dim] == pytest.approx(inside[:, : domain.dim], abs=1e-4)
    assert not domain.blocked(inside).any()


def all_of(model: ExosomeModel) -> dict[str, np.ndarray]:
    return {name: array.copy() for name, array in checkpoint.snapshot(model.state).items()}


@pytest.mark.parametrize(("seed", "engine"), CHANCES)
def test_books_agree_and_a_restart_changes_no_bit(
    seed: int, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second half is done again, from a snapshot, by threads on small shares of vesicles and events."""
    chance = loaded(scenario(seed, engine))
    model = ExosomeModel(chance, seed=seed)
    for step in range(STEPS):
        if step == STEPS // 2:
            half = all_of(model)
        model.step()
        books_agree(model.state)
    monkeypatch.setattr(threads, "CHUNK", 64)
    monkeypatch.setattr(step_booking, "MANY_EVENTS", 1)
    again = ExosomeModel(chance, seed=seed, snapshot=half, threads=2)
    again.run(hours=(model.state.time - again.state.time) / 3600)
    one, two = all_of(model), all_of(again)
    assert one.keys() == two.keys()
    assert [name for name in one if one[name].tobytes() != two[name].tobytes()] == []


@pytest.mark.parametrize("seed", range(6))
def test_no_axis_is_special_and_donors_add_up_to_types(seed: int) -> None:
    """Expected numbers of cells that stand still, in a box whose axes are named in another order."""
    tables = scenario(seed, "types")
    for cell in tables["cell_type"]:
        for key in ("division_rate", "death_rate", "motility", "transformation", "climbs"):
            cell.pop(key, None)
    tables.pop("mechanics", None)
    first = ExosomeModel(loaded(tables), seed=seed)
    dim, cells = first.state.domain.dim, first.state.cells
    order = [*range(1, dim), 0]

    def placed(order: list[int]) -> dict:
        new = {PLANES[old]: PLANES[axis] for axis, old in enumerate(order)}
        box = dict(tables["domain"])
        box["size"] = [box["size"][i] for i in order]
        box["faces"] = {new[key[0]] + key[1:]: rule for key, rule in box["faces"].items()}
        box["zone"] = [
            zone | {key: [zone[key][i] for i in order] for key in ("low", "high")} for zone in box["zone"]
        ]
        points = [cells.position[cells.type == i][:, order].tolist() for i in range(len(first.state.types))]
        groups = [
            {"cell_type": cell["name"], "arrange": "points", "points": where}
            for cell, where in zip(tables["cell_type"], points, strict=True)
        ]
        doses = [
            dose | ({"face": new["x"] + "_low"} if "face" in dose else {}) for dose in tables.get("dose", [])
        ]
        return {**tables, "domain": box, "layout": {"group": groups}} | ({"dose": doses} if doses else {})

    def taken(tables: dict) -> np.ndarray:
        model = ExosomeModel(loaded(tables), seed=seed)
        for _ in range(STEPS):
            model.step()
        way = model.state.trafficking
        return np.array([way.encountered.sum(axis=2), way.endosomal.sum(axis=2), way.delivered.sum(axis=2)])

    straight = placed(list(range(dim)))
    expected = taken(straight)
    assert taken(placed(order)) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    told = straight | {"transport": straight["transport"] | {"provenance": "cell"}}
    assert taken(told) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_among_them_is_everything() -> None:
    """Every mechanism, face and way of capture that the scenarios can name stands in some of them."""
    text = " ".join(str(scenario(seed, engine)) for seed, engine in CHANCES)
    words = "periodic no-flux open concentration obstacle hindrance poisson mvb receptor ligand waste holds"
    words += " export inf pM division_rate death_rate transformation motility climbs follows mechanics shot"
    words += " response membrane_fusion recycling_probability delivery_probability through x_low age bound."
    words += " endosomal. cargo."
    assert [word for word in words.split() if word not in text] == []
    assert {len(scenario(seed, engine)["domain"]["size"]) for seed, engine in CHANCES} == {2, 3}


def test_a_book_that_is_not_kept_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vesicles that mothers and daughters do not share out stand in the accounts of both."""
    monkeypatch.setattr(turnover, "_share_vesicles", lambda *_: None)

    def goes_on(seed: int) -> bool:
        model = ExosomeModel(loaded(scenario(seed, "voxel")), seed=seed)
        try:
            for _ in range(STEPS):
                model.step()
                books_agree(model.state)
        except (AssertionError, NumericalError):
            return False
        return True

    assert not all(goes_on(seed) for seed in range(40))
