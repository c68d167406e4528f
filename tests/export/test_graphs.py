"""Graphs and cells in the formats of other programs, read by those, against the tables of the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from exoabm.errors import InputError
from exoabm.export.export import export_format
from exoabm.export.exported_run import ExportedRun
from exoabm.export.formats import format_of
from exoabm.export.graphs import _declared, write_gexf
from exoabm.readers.text_table import Text, is_physicell, read_physicell
from exoabm.scenario.loader import load
from exoabm.scenario.state_builder import blueprint
from exoabm.tables import finished_run

Edges = dict[tuple[str, str], float]


def exported(finished, to: Path) -> Path:
    fmt = format_of(to)
    assert fmt is not None
    return export_format(finished.folder, to, fmt)


def by_table(finished) -> Edges:
    """Vesicles taken up of every pair of which any were."""
    edges = finished.edges.to_pandas()
    donor = "donor" if finished.by_cell else "donor_type"
    recipient = "recipient" if finished.by_cell else "recipient_type"
    taken = edges.groupby([donor, recipient], observed=True).taken_up.sum()
    return {(str(a), str(b)): v for (a, b), v in taken[taken > 0].items()}


def by_networkx(path: Path) -> tuple[Edges, dict[str, dict[str, Any]]]:
    read = nx.read_gexf if path.suffix == ".gexf" else nx.read_graphml
    graph = read(path)
    assert graph.is_directed()
    return {(a, b): data["weight"] for a, b, data in graph.edges(data=True)}, dict(graph.nodes(data=True))


def by_igraph(path: Path) -> tuple[Edges, dict[str, dict[str, Any]]]:
    igraph = pytest.importorskip("igraph")
    graph = igraph.Graph.Read_GraphML(str(path))
    assert graph.is_directed()
    names = graph.vs["id"]
    edges = {(names[e.source], names[e.target]): e["weight"] for e in graph.es}
    return edges, {v["id"]: v.attributes() for v in graph.vs}


def by_cx2(path: Path) -> tuple[Edges, dict[str, dict[str, Any]]]:
    """By the rules of the format: parts as announced, whole numbers for ids, types declared."""
    head, meta, *parts, status = json.loads(path.read_text(encoding="utf-8"))
    assert head == {"CXVersion": "2.0", "hasFragments": False}
    assert status == {"status": [{"success": True}]}
    found = {name: part for each in parts for name, part in each.items()}
    assert {m["name"]: m["elementCount"] for m in meta["metaData"]} == {k: len(v) for k, v in found.items()}
    assert next(iter(found)) == "attributeDeclarations"
    ids = [node["id"] for node in found["nodes"]]
    assert len({*ids}) == len(ids)
    kinds = {"string": str, "double": float, "long": int, "boolean": bool}
    for part in ("nodes", "edges"):
        declared = found["attributeDeclarations"][0][part]
        for each in found[part]:
            assert type(each["id"]) is int
            assert all(type(value) is kinds[declared[name]["d"]] for name, value in each["v"].items())
    names = {node["id"]: node["v"]["name"] for node in found["nodes"]}
    edges = {(names[edge["s"]], names[edge["t"]]): edge["v"]["weight"] for edge in found["edges"]}
    return edges, {names[node["id"]]: node | node["v"] for node in found["nodes"]}


READERS = [("a.gexf", by_networkx), ("a.graphml", by_networkx), ("a.graphml", by_igraph), ("a.cx2", by_cx2)]


@pytest.mark.parametrize("name", ["vesicles", "types"])
@pytest.mark.parametrize(("to", "read"), READERS)
def test_edges_and_places_are_those_of_the_tables(finished, tmp_path, name, to, read) -> None:
    run = finished(name)
    edges, nodes = read(exported(run, tmp_path / to))
    expected = by_table(run)
    assert edges == pytest.approx(expected, rel=1e-12)
    turned = {(b, a): v for (a, b), v in expected.items()}
    assert edges != pytest.approx(turned, rel=1e-3), "direction matters here"
    if run.by_cell:
        cells = run.all_cells.to_pandas().set_index("cell")
        assert {*nodes} == {str(cell) for cell in cells.index}
        for cell, row in cells.iterrows():
            place = nodes[str(cell)].get("viz", {}).get("position") or nodes[str(cell)]
            assert [place[axis] for axis in "xyz"] == [row.x_um, row.y_um, row.z_um]
            assert nodes[str(cell)]["cell_type"] == row.cell_type


def test_ndex2_reads_the_same(finished, tmp_path) -> None:
    cx2 = pytest.importorskip("ndex2.cx2")
    run = finished("vesicles")
    network = cx2.RawCX2NetworkFactory().get_cx2network(str(exported(run, tmp_path / "a.cx2")))
    nodes = network.get_nodes()
    names = {number: node["v"]["name"] for number, node in nodes.items()}
    edges = {(names[e["s"]], names[e["t"]]): e["v"]["weight"] for e in network.get_edges().values()}
    assert edges == pytest.approx(by_table(run), rel=1e-12)
    cells = run.all_cells.to_pandas().set_index("cell")
    for number, node in nodes.items():
        row = cells.loc[int(names[number])]
        assert (node["x"], node["y"]) == (row.x_um, row.y_um)


@pytest.mark.parametrize("to", ["a.gexf", "a.cx2", "a.graphml"])
def test_the_same_run_gives_the_same_bytes(finished, tmp_path, to) -> None:
    (tmp_path / "b").mkdir()
    run = finished("vesicles")
    one, other = exported(run, tmp_path / to), exported(run, tmp_path / "b" / to)
    assert one.read_bytes() == other.read_bytes()
    assert b"lastmodifieddate" not in one.read_bytes()


def test_a_graph_is_not_changed_by_its_export_and_a_damaged_one_is_named_with_the_cause(
    finished, tmp_path, monkeypatch
) -> None:
    one, other = (ExportedRun(finished("vesicles").folder) for _ in range(2))
    write_gexf(one, tmp_path / "a.gexf")
    assert dict(one.communication.nodes(data=True)) == dict(other.communication.nodes(data=True))
    (tmp_path / "communication.graphml").write_text("<graphml><graph>")
    monkeypatch.setattr(finished_run, "demand", lambda *_: None)
    del other.communication
    other.folder = tmp_path
    with pytest.raises(InputError, match="ParseError: no element found: line 1"):
        _ = other.communication


def test_a_whole_number_among_fractions_is_a_fraction() -> None:
    rows = [{"a": 1, "b": 1}, {"a": 0.5, "b": 2}, {"c": "x"}]
    assert _declared(rows) == {"a": {"d": "double"}, "b": {"d": "long"}, "c": {"d": "string"}}


def test_physicell_gets_the_cells(finished, tmp_path) -> None:
    """Read by our own reader, as a layout, and by PhysiCell's rules: columns by position, no quotes."""
    run = finished("vesicles")
    path = exported(run, tmp_path / "a.physicell.csv")
    last = run.last_cells.to_pandas()
    text = Text(path.name, path.read_bytes(), ())
    assert is_physicell(text) == "physicell-v2"
    sheet = read_physicell(text, "physicell-v2", 1000)
    columns = [column.to_pylist() for column in sheet.fetch(range(4))]
    got = pd.DataFrame(dict(zip(["x_um", "y_um", "z_um"], columns[:3], strict=True)), dtype=float)
    assert (got.to_numpy() == last[["x_um", "y_um", "z_um"]].to_numpy()).all()
    assert columns[3] == list(last.cell_type)
    assert '"' not in path.read_text()
    again = load(str(path), {"domain.voxel": "10 um", "clock.step": "5 min"})
    plan = blueprint(again, seed=1)
    np.testing.assert_array_equal(plan.position[:, :2], last[["x_um", "y_um"]].to_numpy())
    assert [plan.types[i].name for i in plan.type_index] == list(last.cell_type)
