"""Cells that divide, die, change and move lose no vesicle, no name and no bit."""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from edges_from_events import rebuild

from exoabm import ExosomeModel
from exoabm.analysis.communication import summary
from exoabm.errors import InputError, ResourceError
from exoabm.output import checkpoint
from exoabm.output.cell_tables import lineage_table
from exoabm.random_streams import Purpose
from exoabm.runs.run_execution import resume_run, run_to_folder
from exoabm.scenario.loader import LoadedScenario, parse
from exoabm.tables.finished_run import Run
from exoabm.transport import boundary_resistance as mirrors
from exoabm.transport import boundary_resistance as openings
from exoabm.transport import boundary_stencil as beside
from exoabm.transport import uptake_stencil as footprint
from exoabm.transport.vesicle_engine import VesicleEngine
from exoabm.vesicle import Status

TEXT = """
info = { title = "a lively place" }
domain = { size = [240, 240], voxel = "10 um", thickness = "20 um" }
clock = { step = "60 s", duration = "1 h" }
cargo = [{ name = "mir", copies = 3 }, { name = "rubbish", role = "waste", copies = 4 }]
mechanics = { relaxation = "6 / h" }

[transport]
ENGINE

[[layout.group]]
cell_type = "donor"
count = 8
[[layout.group]]
cell_type = "taker"
count = 14

[[vesicle]]
name = "ev"
cargo = ["mir", "rubbish"]
unbinding_rate = "6 / h"
internalization_rate = "12 / h"
processing_rate = "4 / h"
recycling_probability = 0.3
delivery_probability = 0.4

[[cell_type]]
name = "donor"
secretion = "poisson"
releases = "ev"
release_rate = "300 / h"
takes_up = ["ev"]
uptake_rate = "60 um^3/s"
division_rate = "1.0 / h"
death_rate = "0.8 / h"
motility = "200 um^2/h"
waste = { vesicle = "ev", production = "600 / h", export_rate = "1 / h" }

[[cell_type]]
name = "taker"
takes_up = ["ev"]
uptake_rate = "60 um^3/s"
division_rate = "0.8 / h"
death_rate = "0.8 / h"
persistence = "5 min"
motility = "400 um^2/h"
climbs = { vesicle = "ev", coefficient = "2000 um^2/h", half_max = "1e8 / mL" }
transformation = { into = "donor", rate = "0.5 / h" }
"""

ENGINES = {
    "types": 'engine = "continuum"',
    "cells": 'engine = "continuum"\nprovenance = "cell"',
    "vesicles": 'engine = "vesicles"',
    "membranes": 'engine = "vesicles"\ncapture = "membrane"',
}


def lively(engine: str) -> LoadedScenario:
    return parse(TEXT.replace("ENGINE", ENGINES[engine]).encode(), name="lively", folder=Path())


@pytest.fixture(scope="module", params=ENGINES)
def lived(request: pytest.FixtureRequest) -> ExosomeModel:
    """An hour of life. The model itself checks both balances after each of the 60 steps."""
    model = ExosomeModel(lively(request.param), seed=4)
    for _ in range(60):
        model.step()
        held = model.state.trafficking
        assert (held.bound >= 0).all()
        assert (held.endosomal >= 0).all()
        worst = np.abs(model.state.balance.residual()).max()
        assert worst == 0 if model.state.follows_vesicles else worst < 1e-12
    lineage = model.state.lineage
    for happened in (lineage.divisions, lineage.deaths, lineage.transformations):
        assert happened.sum() > 3, "the test needs lives to follow"
    return model


def test_pools_are_the_vesicles_that_stand_there(lived: ExosomeModel) -> None:
    state = lived.state
    if not state.follows_vesicles:
        pytest.skip("fields have no single vesicles")
    vesicles, way = state.vesicles, state.trafficking
    for status, pool in (
        (Status.BOUND, way.bound),
        (Status.ENDOSOMAL, way.endosomal),
        (Status.RETURNING, way.returning),
    ):
        count = np.zeros_like(pool)
        rows = vesicles.rows(status)
        np.add.at(count, (vesicles.host[rows], vesicles.kind[rows], vesicles.label[rows]), 1)
        np.testing.assert_array_equal(count, pool)


def test_no_vesicle_is_left_inside_a_cell_that_ran_over_it() -> None:
    model = ExosomeModel(lively("membranes"), seed=4)
    for _ in range(5):
        model.step()
    state, vesicles = model.state, model.state.vesicles

    def depth() -> float:
        rows = vesicles.rows(Status.FREE)
        place = np.column_stack([vesicles.x[rows], vesicles.y[rows]]).astype(float)
        apart = np.linalg.norm(place[:, None] - state.cells.position[None, :, :2], axis=2)
        return float((state.of_type("diameter") / 2 - apart).max())

    assert depth() < 1e-3
    state.cells.position[:, 0] = np.minimum(state.cells.position[:, 0] + 9.0, 239.0)
    assert depth() > 1, "the cells have run over some"
    model.engine.bind(state)
    assert depth() < 1e-3


def test_no_vesicle_is_pushed_into_or_through_an_obstacle() -> None:
    """A cell runs over vesicles beside a wall that it overlaps: they come out on their own side of it."""
    model = ExosomeModel(lively("membranes"), seed=4)
    for _ in range(3):
        model.step()
    state, vesicles = model.state, model.state.vesicles
    wall = np.zeros(state.domain.shape, bool)
    wall[:, 12] = True  # x from 120 to 130 um
    rows, radius = vesicles.rows(Status.FREE), state.of_type("diameter")[0] / 2
    assert len(rows) > 50
    state.cells.position[:, :2] = 30.0, 30.0
    state.cells.position[0, :2] = 117.0, 100.0

    def pushed(obstacle: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        state.domain = replace(state.domain, obstacle=obstacle)
        vesicles.x[rows], vesicles.y[rows] = 119.5, np.linspace(93.0, 107.0, len(rows))
        VesicleEngine(state, capture="membrane")
        return vesicles.x[rows].copy(), vesicles.y[rows].copy()

    for obstacle in (wall, None):
        x, y = pushed(obstacle)
        assert (np.hypot(x - 117.0, y - 100.0) > radius - 1e-3).all(), "none is left in the cell"
        assert (x < 120.0).all() == (obstacle is not None), "nor in the wall or behind it, where there is one"


def test_a_lost_vesicle_of_the_dead_breaks_the_ledger() -> None:
    """The check can fail: forget what was bound to the dead."""
    model = ExosomeModel(lively("types"), seed=4)
    model.run(hours=0.5)
    state = model.state
    assert state.trafficking.bound.sum() > 0
    state.trafficking.bound[0] = 0.0
    with pytest.raises(Exception, match="does not close"):
        model.step()


def test_agents_are_the_living(lived: ExosomeModel) -> None:
    cells = lived.state.cells
    assert sorted(agent.birth_id for agent in lived.agents) == cells.birth_id.tolist()
    for agent in lived.agents:
        assert cells.birth_id[agent.row] == agent.birth_id
    assert (np.diff(cells.birth_id) > 0).all()


def test_the_dead_keep_their_edges(lived: ExosomeModel) -> None:
    """What any cell ever took up stands in the edge table, under its own name; the graph knows them all."""
    state, edges = lived.state, lived.edges
    dead = state.lineage.dead["birth_id"]
    received = np.array(edges["recipient"])
    assert np.isin(received, dead).any()
    assert set(received.tolist()) <= set(range(state.lineage.born))
    for count in ("encountered", "taken_up", "lysosomal", "recycled", "delivered"):
        total = getattr(state.trafficking, count).sum() + state.lineage.totals[count].sum()
        assert np.sum(edges[count]) == pytest.approx(total, rel=1e-12)
    assert np.sum(edges["bound"]) == pytest.approx(state.trafficking.bound.sum(), rel=1e-9)
    graph = lived.communication
    if graph.graph["resolution"] == "cell":
        assert set(graph) == set(range(state.lineage.born))
        assert any(int(node) in dead for node, d in graph.out_degree() if d)
    assert summary(state, 1e-6)["reach"]
    table = lineage_table(state)
    assert len(table) == state.lineage.born
    assert table["died_s"].null_count == len(state.cells)
    assert table["mother"].null_count == 22


@pytest.mark.parametrize("engine", ["cells", "vesicles"])
def test_a_restart_gives_the_same_bits(engine: str) -> None:
    loaded = lively(engine)
    whole, first = ExosomeModel(loaded, seed=2), ExosomeModel(loaded, seed=2)
    whole.run(hours=0.6)
    first.run(hours=0.3)
    kept = {name: np.array(array) for name, array in checkpoint.snapshot(first.state).items()}
    again = ExosomeModel(loaded, seed=2, snapshot=kept)
    again.run(hours=0.3)
    assert len(first.state.lineage.dead) > 0
    one, other = checkpoint.snapshot(whole.state), checkpoint.snapshot(again.state)
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def test_a_restart_keeps_what_was_warned_of() -> None:
    """In steps of ten minutes cells meet their fates too often, which is told once."""
    text = TEXT.replace("ENGINE", ENGINES["types"]).replace('"60 s"', '"10 min"')
    loaded = parse(text.encode(), name="hasty", folder=Path())
    model = ExosomeModel(loaded, seed=4)
    before = list(model.warnings)
    model.step()
    assert len(model.warnings) == len(before) + 1
    content = {name: array.copy() for name, array in checkpoint.snapshot(model.state).items()}
    assert ExosomeModel(loaded, seed=4, snapshot=content).warnings == model.warnings


def test_threads_give_the_same_bits() -> None:
    text = TEXT.replace("ENGINE", ENGINES["types"]).replace("size = [240, 240]", "size = [5200, 5200]")
    loaded = parse(text.replace("300 / h", "3e5 / h").encode(), name="wide", folder=Path())
    models = [ExosomeModel(loaded, seed=2, threads=n) for n in (1, 2)]
    for model in models:
        for _ in range(3):
            model.advance_by(300.0)
    one, other = (checkpoint.snapshot(m.state) for m in models)
    assert models[0].state.lineage.deaths.sum() + models[0].state.lineage.divisions.sum() > 0
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def test_what_no_type_names_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """No draw, no row, no table, and the same bits whether the living code is there or not."""
    asked = set()
    model = ExosomeModel("signaling", seed=1)
    for name in ("uniform", "normal", "poisson", "binomial"):
        plain = getattr(type(model.streams), name)

        def noted(self, purpose, *args, plain=plain, **keys):  # type: ignore[no-untyped-def]
            asked.add(purpose)
            return plain(self, purpose, *args, **keys)

        monkeypatch.setattr(type(model.streams), name, noted)
    bound = model.engine.couplings(0)
    model.run(hours=0.2)
    assert not asked & {Purpose.FATE, Purpose.MOTILITY, Purpose.DAUGHTER, Purpose.PARTITION}
    assert model.state.behaviors == ()
    assert not model.state.living
    assert model.engine.couplings(0) is bound, "cells that stand still are placed once"
    assert not any("divisions" in name for name in model.metrics.columns)


@pytest.mark.parametrize("engine", ["types", "vesicles"])
def test_a_run_folder_tells_the_whole_story(engine: str, tmp_path: Path) -> None:
    run_to_folder(lively(engine), tmp_path / "run", seed=4)
    run = tmp_path / "run"
    lineage = pq.read_table(run / "lineage.parquet").to_pandas()
    born = lineage["mother"].notna()
    assert (lineage["cell"] == np.arange(len(lineage))).all()
    assert (lineage["mother"][born] < lineage["cell"][born]).all()
    metrics = Run(run).metrics.to_pandas()
    last = metrics.iloc[-1]
    assert last["divisions[donor]"] + last["divisions[taker]"] == born.sum()
    assert last["deaths[donor]"] + last["deaths[taker]"] == lineage["died_s"].notna().sum()
    events = pq.read_table(run / "events.parquet").to_pandas()
    edges = pq.read_table(run / "edges.parquet").to_pandas()
    for event, count in (("encounter", "encountered"), ("uptake", "taken_up"), ("delivery", "delivered")):
        rows = events[events["event"] == event]
        assert rows["count"].sum() == pytest.approx(edges[count].sum(), rel=1e-9)
    released = events[events["event"] == "release"]["count"].sum()
    cells = pq.read_table(run / "cells_by_kind.parquet").to_pandas()
    ever = cells.groupby("cell")["released"].max().sum()
    assert ever <= released
    if engine == "vesicles":
        kept = pq.read_table(run / "edges.parquet").drop_columns("distance_um")
        assert rebuild(run)["edges"].drop_columns("distance_um").to_pylist() == kept.to_pylist()
        return
    # Fields: expected numbers, whose differences are rounded; of the divided and the dead too.
    ends = ["donor_type", "recipient", "vesicle_kind"]
    made, kept = (t.set_index(ends).sort_index() for t in (rebuild(run)["edges"].to_pandas(), edges))
    assert kept["bound"].sum() > 1
    assert made.index.equals(kept.index)
    for count in ("encountered", "bound", "taken_up", "delivered"):
        np.testing.assert_allclose(made[count], kept[count], atol=1e-6, err_msg=count)
    cleared = events[events["event"] == "clearance"]
    assert cleared["recipient"].notna().any()
    assert cleared["count"].sum() == pytest.approx(last["cleared[ev]"], rel=1e-9)
    passed = events.groupby("event", observed=True)["count"].sum()
    assert passed["handover"] == pytest.approx(passed["inheritance"], rel=1e-6)


def test_the_transfer_matrix_is_for_cells_that_stand_still() -> None:
    with pytest.raises(InputError, match="cells at rest"):
        ExosomeModel(lively("types"), seed=1).transfer_matrix()


OWN_DELIVERY = """
info = { title = "two" }
domain = { size = [120, 120] }
layout = { group = [{ cell_type = "a", count = 2 }] }
vesicle = [{ name = "ev", delivery_route = "membrane_fusion", recycling_probability = 0.2 }]
[[cell_type]]
name = "a"
releases = "ev"
takes_up = ["ev"]
saturation = "inf"
delivery_probability = 0.5
"""


@pytest.mark.parametrize("change", [None, ("membrane_fusion", "endosomal_escape"), ("= 0.2", "= 0")])
def test_nor_for_cells_that_fuse_with_vesicles_at_a_rate_of_their_own(change: tuple[str, str] | None) -> None:
    """What fuses is not recycled, and does not come to others; elsewhere delivery changes no way."""
    text = OWN_DELIVERY.replace(*change) if change else OWN_DELIVERY
    model = ExosomeModel(parse(text.encode(), name="two", folder=Path()), seed=1)
    if change:
        assert model.transfer_matrix().taken_up.sum() > 0
        return
    with pytest.raises(InputError, match="delivery_probability"):
        model.transfer_matrix()


def test_labels_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exoabm.cells.turnover.MEMORY_SHARE", 0.0)
    with pytest.raises(ResourceError, match="labels"):
        ExosomeModel(lively("cells"), seed=4).run(hours=1)


@pytest.mark.parametrize("engine", ["cells", "vesicles"])
def test_an_interrupted_run_goes_on_to_the_same_files(engine: str, tmp_path: Path) -> None:
    """Writers meet other cells, and more labels, after a resume than those they had noted before."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run_to_folder(lively(engine), whole, seed=4)

    def stop(share: float) -> None:
        if share > 0.6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_to_folder(lively(engine), broken, seed=4, checkpoint_every=900.0, progress=stop)
    resume_run(broken)
    tables = sorted(path.name for path in whole.glob("*.parquet"))
    assert len(tables) >= 15
    for name in tables:
        assert pq.read_table(whole / name).equals(pq.read_table(broken / name)), name


def test_memory_stays_flat_but_for_the_names_of_the_dead() -> None:
    """Some 150 bytes a death, in tables that double, keep its name and edges; nothing else grows."""
    text = TEXT.replace("ENGINE", ENGINES["types"])
    for rate in ('division_rate = "1.0 / h"', 'division_rate = "0.8 / h"'):
        text = text.replace(rate, 'division_rate = "9 / h"')
    text = text.replace('death_rate = "0.8 / h"', 'death_rate = "5 / h"').replace(
        'rate = "0.5 / h"', "rate = 0"
    )
    model = ExosomeModel(parse(text.encode(), name="busy", folder=Path()), seed=1)
    for _ in range(60):
        model.step()
    tracemalloc.start()
    dead = len(model.state.lineage.dead)
    for _ in range(100):
        model.step()
    gc.collect()  # agents and their model refer to each other
    for module in (footprint, beside, mirrors, openings):  # what they keep is bounded
        for kept in vars(module).values():
            if hasattr(kept, "cache_clear"):
                kept.cache_clear()
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    dead = len(model.state.lineage.dead) - dead
    assert dead > 700
    assert len(model.agents) == len(model.state.cells) < 200
    # Tables double when they are full; the rows that metrics keep are few; of cells beside walls the places
    # of the last step are kept.
    assert grown < 400 * dead + 500_000, "an agent, or a row of every array, for each of the dead is seen"
    assert 1000 * dead > 400 * dead + 500_000
