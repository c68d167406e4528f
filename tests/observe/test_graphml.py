"""GraphML as a stream has the content that networkx would write, in memory that does not grow."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import networkx as nx
import pytest

from exoabm import ExosomeModel
from exoabm.observe.graphml import write_graphml


def read(path: Path) -> tuple[dict, dict, list]:
    """All that networkx finds in a file; it adds defaults of its own to the graph."""
    graph = nx.read_graphml(path)
    return graph.graph, dict(graph.nodes(data=True)), list(graph.edges(data=True))


def talk(by: str) -> nx.DiGraph:
    size = {"layout.group.donor.count": "4", "layout.group.recipient.count": "20"}
    model = ExosomeModel("signaling", seed=1, overrides={"transport.provenance": by} | size)
    model.run(0.2)
    return model.communication


def odd() -> nx.DiGraph:
    """Words that mean something in XML, numbers at the ends of their range, and what only some have."""
    graph = nx.DiGraph(title='a < b & "c"', share=0.1 + 0.2, count=2**60)
    graph.add_node("<&>\"'", name="µ – é", empty="")
    graph.add_node(7, dead=True, alive=False, size=5e-324)
    graph.add_edge("<&>\"'", 7, weight=1 / 3, far=float("inf"))
    graph.add_edge(7, 8, weight=3)
    return graph


@pytest.mark.parametrize(
    "graph", [talk("cell"), talk("cell_type"), odd(), nx.DiGraph()], ids=lambda g: len(g)
)
def test_the_content_is_what_networkx_writes(graph: nx.DiGraph, tmp_path: Path) -> None:
    write_graphml(graph, tmp_path / "ours")
    nx.write_graphml(graph, tmp_path / "theirs")
    assert read(tmp_path / "ours") == read(tmp_path / "theirs")
    for one, other in zip(*(read(tmp_path / name)[1].values() for name in ("ours", "theirs")), strict=True):
        assert list(map(type, one.values())) == list(map(type, other.values()))


def test_another_digit_is_seen(tmp_path: Path) -> None:
    for name, weight in (("a", 1 / 3), ("b", 0.3333333333333334)):
        graph = odd()
        graph.edges["<&>\"'", 7]["weight"] = weight
        write_graphml(graph, tmp_path / name)
    assert read(tmp_path / "a") != read(tmp_path / "b")


def test_another_kind_of_value_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        write_graphml(nx.DiGraph(cells=[1, 2]), tmp_path / "a")


def test_memory_does_not_grow_with_the_edges(tmp_path: Path) -> None:
    """Ten times the edges take about the same; the tree that networkx makes takes ten times as much."""
    peaks = []
    for write in (write_graphml, nx.write_graphml):
        for n in (20, 200):
            graph = nx.DiGraph()
            graph.add_edges_from((i, 10 * j, {"weight": i / 7}) for i in range(n) for j in range(10))
            tracemalloc.start()
            write(graph, tmp_path / "a")
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]
    assert peaks[3] > 5 * peaks[2]
