"""The edge table, the graph and the measures of a run, made again from its rows on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from edges_from_events import ENDS, TIMES, rebuild

from exoabm.analysis.communication_graph import COUNTS
from exoabm.errors import InputError
from exoabm.runs.run_execution import run_to_folder
from exoabm.scenario.loader import load, parse
from exoabm.tables.finished_run import Run

RELAYS = {
    "transport.engine": "vesicles",
    "vesicle.exosome.recycling_probability": "0.5",
    "vesicle.exosome.delivery_probability": "0.3",
    "cell_type.tumor.secretion": "poisson",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An hour of the tissue, with relays, delivery and bursts, in several row groups."""
    out = tmp_path_factory.mktemp("rebuild") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("exoabm.output.single_vesicle_events.GROUP", 600)
        run_to_folder(load("tissue", RELAYS), out, seed=1, hours=1)
    assert pq.ParquetFile(out / "events.parquet").num_row_groups > 10
    return out


def summary(run: Path) -> dict:
    return json.loads((run / "summary.json").read_text())["communication"]


def test_the_edge_table_row_for_row(run: Path) -> None:
    found, kept = rebuild(run), Run(run)
    made, copies = found["edges"], kept.edges_by_cargo
    assert made.schema.equals(kept.edges.schema)
    assert made.drop_columns("distance_um").to_pylist() == kept.edges.drop_columns("distance_um").to_pylist()
    assert made.num_rows > 1000
    assert all(np.sum(made[name]) > 0 for name in ("recycled", "delivered"))
    some = copies.filter(pc.greater(copies["copies_delivered"], 0)).to_pylist()
    again = [row for row in found["edges_by_cargo"].to_pylist() if row["copies_delivered"]]
    assert sorted(map(repr, again)) == sorted(map(repr, some))
    assert len(some) > 100


def test_the_graph(run: Path) -> None:
    """Edges, their weights and the strengths of the nodes."""
    import networkx as nx

    kept = nx.read_graphml(run / "communication.graphml", node_type=int)
    made = nx.DiGraph()
    for row in rebuild(run)["edges"].to_pylist():
        if row["taken_up"]:
            made.add_edge(row["donor"], row["recipient"], weight=row["taken_up"])
    assert {e[:2]: e[2] for e in made.edges(data="weight")} == {
        e[:2]: e[2] for e in kept.edges(data="weight")
    }
    for node, data in kept.nodes(data=True):
        known = node in made
        assert data["out_strength"] == (made.out_degree(node, weight="weight") if known else 0)
        assert data["in_strength"] == (made.in_degree(node, weight="weight") if known else 0)


def test_the_measures(run: Path) -> None:
    """Who to whom by type, how far it went, and the strongest edges."""
    edges = rebuild(run)["edges"].to_pandas()
    cells = pq.read_table(run / "cells.parquet").to_pandas().drop_duplicates("cell").set_index("cell")
    kept = summary(run)
    for count, key in (("taken_up", "taken_up_by_type"), ("delivered", "delivered_by_type")):
        by_type = edges.groupby(["donor_type", "recipient_type"], observed=True)[count].sum()
        for donor, row in kept[key].items():
            assert row == {recipient: by_type.get((donor, recipient), 0.0) for recipient in row}
    place = cells[["x_um", "y_um", "z_um"]].to_numpy()
    apart = np.linalg.norm(
        place[cells.index.get_indexer(edges.donor)] - place[cells.index.get_indexer(edges.recipient)], axis=1
    )
    between = edges.donor != edges.recipient
    for donor, found in kept["reach"].items():
        mine = (edges.donor_type == donor) & between
        mean = np.average(apart[mine], weights=edges.taken_up[mine])
        assert found["mean_um"] == pytest.approx(mean, rel=1e-12)
    order = np.lexsort((edges.donor, edges.recipient, -np.where(between, edges.taken_up, 0)))
    for row, strong in zip(order, kept["strongest_edges"], strict=False):
        shown = ("donor", "recipient", "taken_up", "delivered")
        assert [edges[name][row] for name in shown] == [strong[name] for name in shown]


def test_one_event_that_is_missing_is_missed(run: Path, tmp_path: Path) -> None:
    events = pq.read_table(run / "events.parquet")
    last = int(np.flatnonzero(np.array(events["event"].to_pylist()) == "uptake")[-1])
    pq.write_table(
        pa.concat_tables([events[:last], events[last + 1 :]]), tmp_path / "events.parquet", row_group_size=999
    )
    for name in ("cells_by_kind.parquet", "vesicle_cargo.parquet"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    made, kept = (t["edges"].column("taken_up").to_numpy() for t in (rebuild(tmp_path), rebuild(run)))
    assert kept.sum() - made.sum() == 1


@pytest.mark.parametrize("provenance", ["cell", "cell_type"])
def test_expected_numbers_too(tmp_path: Path, provenance: str) -> None:
    """Of the continuum all counts, to rounding; its rows know neither times nor copies."""
    held = {"domain.faces.x": "{ concentration = '1e8 / mL' }"} if provenance == "cell_type" else {}
    loaded = load("two_cells", {"transport.provenance": provenance, **held})
    run_to_folder(loaded, tmp_path / "run", seed=1, hours=2)
    made, kept = rebuild(tmp_path / "run")["edges"], pq.read_table(tmp_path / "run" / "edges.parquet")
    assert made.select(ENDS).to_pylist() == kept.select(ENDS).to_pylist()
    assert made.schema.metadata[b"resolution"] == kept.schema.metadata[b"resolution"]
    for name in COUNTS:
        np.testing.assert_allclose(made[name], kept[name], rtol=1e-9, atol=1e-12)
    assert all(made[name].null_count == len(made) for name in TIMES)


SENT_IN = """
schema_version = 1

[info]
title = "A dose and a held face beside a donor"
summary = "Both reach the recipients."

[clock]
step = "60 s"
duration = "1 h"

[domain]
size = ["100 um", "100 um"]
thickness = "10 um"
voxel = "10 um"
faces.x_low = { concentration = "1e9 / mL" }

[[cargo]]
name = "signal"

[[vesicle]]
name = "exosome"
cargo = ["signal"]

[[vesicle]]
name = "ectosome"
cargo = ["signal"]

[[cell_type]]
name = "donor"
releases = "exosome"
release_rate = "60 / h"

[[cell_type]]
name = "another"
releases = "ectosome"
release_rate = "60 / h"

[[cell_type]]
name = "recipient"
takes_up = ["exosome", "ectosome"]
uptake_rate = "600 um^3/s"

[[layout.group]]
cell_type = "donor"

[[layout.group]]
cell_type = "another"

[[layout.group]]
cell_type = "recipient"
count = 4

[[dose]]
name = "injection"
vesicle = "exosome"
route = "tissue"
particles = 300
center = ["50 um", "50 um"]
reach = "70 um"
"""


@pytest.mark.parametrize(
    "way",
    [{"engine": "vesicles"}, {"engine": "continuum"}, {"engine": "continuum", "provenance": "cell"}],
    ids=["vesicles", "types", "cells"],
)
def test_what_no_cell_sent_is_told_alike(tmp_path: Path, way: dict[str, str]) -> None:
    """Doses and the reservoir have rows, a node and their part of the sums, however cells are followed."""
    import networkx as nx

    overrides = {f"transport.{key}": value for key, value in way.items()}
    loaded = parse(SENT_IN.encode(), name="sent_in", folder=tmp_path, overrides=overrides)
    out = tmp_path / "run"
    run_to_folder(loaded, out, seed=1)
    kept = pq.read_table(out / "edges.parquet")
    edges = kept.to_pandas()
    metrics = Run(out).metrics.to_pandas().iloc[-1]
    taken_up = metrics["taken_up[exosome]"] + metrics["taken_up[ectosome]"]
    assert edges.taken_up.sum() == pytest.approx(taken_up, rel=1e-9)
    assert edges.encountered.sum() > edges.taken_up.sum()
    edges["origin"] = edges.donor_type.astype(object).fillna(edges.sender.astype(object))
    by_origin = edges.groupby("origin").taken_up.sum()
    assert set(by_origin.index) == {"another", "donor", "dose", "reservoir"}
    assert by_origin["dose"] > 100
    assert by_origin["reservoir"] > 20
    assert not edges.duplicated(["origin", "recipient", "vesicle_kind"]).any()
    assert edges.donor[edges.origin.isin(["dose", "reservoir"])].isna().all()
    told = summary(out)["taken_up_by_type"]
    assert {name: row["recipient"] for name, row in told.items()} == pytest.approx(by_origin.to_dict())
    graph = nx.read_graphml(out / "communication.graphml")
    assert {name: graph.nodes[name]["out_strength"] for name in ("dose", "reservoir")} == pytest.approx(
        {name: by_origin[name] for name in ("dose", "reservoir")}
    )
    made = rebuild(out)["edges"]
    assert made.select(ENDS).to_pylist() == kept.select(ENDS).to_pylist()
    for name in COUNTS:
        np.testing.assert_allclose(made[name], kept[name], rtol=1e-9, atol=1e-9)


def test_a_run_in_which_nothing_met(tmp_path: Path) -> None:
    loaded = load("two_cells", {"transport.engine": "vesicles"})
    run_to_folder(loaded, tmp_path / "run", seed=1, hours=0.02)
    assert rebuild(tmp_path / "run")["edges"].to_pylist() == []


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        rebuild(tmp_path)
    (tmp_path / "events.parquet").write_bytes(b"no")
    with pytest.raises(InputError, match="cannot be read"):
        rebuild(tmp_path)
