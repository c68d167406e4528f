"""GraphML has the content that networkx would write, in memory that does not grow."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from exoabm import ExosomeModel
from exoabm.analysis.communication import cargo_table
from exoabm.analysis.communication_graph import Network, network
from exoabm.output.graphml import AT_ONCE, write_graphml
from exoabm.scenario.loader import parse

TWO_KINDS = """
info = { title = "two kinds" }
domain = { size = [160, 120], voxel = "10 um" }
clock = { step = "2 min", duration = "30 min" }
transport = { engine = "vesicles" }
layout = { group = [{ cell_type = "donor", count = 4 }, { cell_type = "taker", count = 20 }] }
cargo = [{ name = "note", copies = 3 }, { name = "word", copies = 2 }]
vesicle = [
  { name = "small", cargo = ["note"], delivery_probability = 0.5 },
  { name = "large", cargo = ["note", "word"], delivery_probability = 0.5 },
]
[[cell_type]]
name = "donor"
release_rate = "120 / h"
takes_up = ["small"]
mvb = { sorting = [{ vesicle = "small", share = 0.7 }, { vesicle = "large", share = 0.3 }] }
[[cell_type]]
name = "taker"
takes_up = ["small", "large"]
"""


def read(path: Path) -> tuple[dict, list]:
    """All that networkx finds in a file of nodes and edges."""
    graph = nx.read_graphml(path)
    return dict(graph.nodes(data=True)), list(graph.edges(data=True))


def talk(by: str) -> Network:
    size = {"layout.group.donor.count": "4", "layout.group.recipient.count": "20"}
    model = ExosomeModel("signaling", seed=1, overrides={"transport.provenance": by} | size)
    model.run(0.2)
    return network(model.state)


def odd(weight: float = 1 / 3) -> Network:
    """Words that mean something in XML, numbers at the ends of their range, and what only some have."""
    nodes = {
        "<&>\"'": {"name": "µ – é", "empty": ""},
        7: {"dead": True, "alive": False, "size": 5e-324},
        8: {"count": 2**60},
    }
    ends = np.array([0, 1]), np.array([1, 2])
    words = {"of": np.array(['a < b & "c"', "é"], dtype=object)}
    numbers = {"weight": np.array([weight, 3.0]), "far": np.array([np.inf, np.nan])}
    return Network({"title": "a -- b"}, nodes, *ends, words, numbers | {"never": np.full(2, np.nan)})


def plain(found: Network) -> nx.DiGraph:
    """The same as a graph of networkx, edge by edge."""
    graph, names = nx.DiGraph(), list(found.nodes)
    graph.add_nodes_from(found.nodes.items())
    for row, (a, b) in enumerate(zip(found.donor, found.recipient, strict=True)):
        data = {name: column[row] for name, column in found.words.items()}
        numbers = {name: float(column[row]) for name, column in found.numbers.items()}
        graph.add_edge(names[a], names[b], **data, **{n: v for n, v in numbers.items() if not np.isnan(v)})
    return graph


def nothing() -> Network:
    none = np.empty(0, np.int64)
    return Network({}, {}, none, none, {}, {})


@pytest.mark.parametrize(
    "found", [talk("cell"), talk("cell_type"), odd(), nothing()], ids=lambda n: str(len(n.nodes))
)
def test_the_content_is_what_networkx_writes(found: Network, tmp_path: Path) -> None:
    write_graphml(found, tmp_path / "ours")
    nx.write_graphml(plain(found), tmp_path / "theirs")
    assert read(tmp_path / "ours") == read(tmp_path / "theirs")
    for one, other in zip(*(read(tmp_path / name)[0].values() for name in ("ours", "theirs")), strict=True):
        assert list(map(type, one.values())) == list(map(type, other.values()))


def test_another_digit_is_seen(tmp_path: Path) -> None:
    for name, weight in (("a", 1 / 3), ("b", 0.3333333333333334)):
        write_graphml(odd(weight), tmp_path / name)
    assert read(tmp_path / "a") != read(tmp_path / "b")


def test_another_kind_of_value_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        write_graphml(replace(odd(), nodes={1: {"cells": [1, 2]}}), tmp_path / "a")


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> tuple[ExosomeModel, Path]:
    """Single vesicles of two kinds among the cells of a tissue, and the graph as a run writes it."""
    model = ExosomeModel(parse(TWO_KINDS.encode(), name="two kinds", folder=Path()), seed=1)
    model.run()
    path = tmp_path_factory.mktemp("graph") / "communication.graphml"
    write_graphml(network(model.state), path)
    return model, path


def test_igraph_reads_what_a_run_writes(counted: tuple[ExosomeModel, Path]) -> None:
    """Weighted betweenness by igraph, which refuses weights of 0, is that by networkx."""
    igraph = pytest.importorskip("igraph")
    model, path = counted
    graph = igraph.Graph.Read_GraphML(str(path))
    ours = model.communication
    assert (graph.vcount(), graph.ecount()) == (ours.number_of_nodes(), ours.number_of_edges())
    between = graph.betweenness(directed=True, weights="distance")
    expected = nx.betweenness_centrality(ours, normalized=False, weight="distance")
    np.testing.assert_allclose(between, list(expected.values()), rtol=1e-6, atol=1e-9)
    assert max(between) > 0
    assert min(graph.betweenness(directed=True, weights="weight")) >= 0
    places = np.column_stack([graph.vs[axis] for axis in "xyz"])
    np.testing.assert_array_equal(places, model.state.cells.position)
    assert graph.vs["label"][0] == f"{graph.vs['cell_type'][0]} 0"
    assert graph.attributes() == [], "Gephi refuses attributes of the graph itself"


def test_an_edge_says_what_passed(counted: tuple[ExosomeModel, Path]) -> None:
    """The edge table, pair by pair, for each kind and each cargo; pairs that only met are left out."""
    model, path = counted
    graph = nx.read_graphml(path, node_type=int)
    table = model.edges.to_pandas()
    pairs = table.groupby(["donor", "recipient"])
    brought = cargo_table(model.state).to_pandas()
    copies = brought.groupby(["donor", "recipient", "cargo"], observed=True)["copies_delivered"].sum()
    taken = pairs["taken_up"].sum()
    assert 5 <= (taken == 0).sum() < len(taken), "some only met"
    assert set(graph.edges) == set(taken[taken > 0].index)
    assert set(model.graph(met=True).edges) == set(taken.index)
    both = set()
    for (donor, recipient), rows in pairs:
        if not rows["taken_up"].sum():
            continue
        edge = graph.edges[donor, recipient]
        for column in ("encountered", "delivered"):
            assert edge[column] == rows[column].sum()
        for cargo in ("note", "word"):
            assert edge[f"copies_delivered[{cargo}]"] == copies.get((donor, recipient, cargo), 0)
        for kind in ("small", "large"):
            of_kind = rows[rows["vesicle_kind"] == kind]
            for count in ("taken_up", "delivered"):
                assert edge[f"{count}[{kind}]"] == of_kind[count].sum()
        both.add((edge["taken_up[small]"] > 0, edge["taken_up[large]"] > 0))
        assert edge["weight"] == rows["taken_up"].sum()
        assert edge["distance"] == 1 / edge["weight"]
        apart = model.state.cells.position[recipient] - model.state.cells.position[donor]
        assert edge["distance_um"] == pytest.approx(np.linalg.norm(apart))
    assert both == {(True, True), (True, False), (False, True)}
    assert sum(graph.edges[e]["copies_delivered[note]"] for e in graph.edges) > 0


def test_memory_does_not_grow_with_the_edges(tmp_path: Path) -> None:
    """Ten times the edges take about the same; the tree that networkx makes takes ten times as much."""
    peaks = []
    for n in (AT_ONCE, 10 * AT_ONCE):
        nodes = {i: {"label": str(i)} for i in range(10)}
        end = np.arange(n) % 10
        many = Network({}, nodes, end, end, {}, {"weight": np.arange(n) / 7})
        tracemalloc.start()
        write_graphml(many, tmp_path / "a")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]
