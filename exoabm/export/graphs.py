"""The communication graph as GraphML, GEXF and CX2; edges point from donor to recipient.

All are made of ``communication.graphml``, whose nodes are cells, or types where donor cells are not known. Of
very many edges it holds the strongest. Nodes are named by text: igraph would keep 16 digits of a long number.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from exoabm.export.exported_run import ExportedRun

GRAPHML = "communication.graphml"
TYPES = {bool: "boolean", int: "long", float: "double", str: "string"}
"""Names that CX2 has for types."""
PLACE = ("x", "y", "z")


def write_graphml(finished: ExportedRun, to: Path) -> None:
    """The graph of a run as it lies in its folder."""
    finished.communication  # noqa: B018  so that what is damaged is not handed on
    shutil.copyfile(finished.folder / GRAPHML, to)


def write_gexf(finished: ExportedRun, to: Path) -> None:
    """GEXF 1.2, which Gephi opens with its cells in place."""
    from networkx.readwrite.gexf import GEXFWriter

    graph = finished.communication.copy()
    for _, data in graph.nodes(data=True):
        if set(PLACE) <= data.keys():
            data["viz"] = {"position": {axis: data[axis] for axis in PLACE}}
    writer = GEXFWriter(encoding="utf-8", prettyprint=True, version="1.2draft")
    writer.add_graph(graph)
    for meta in writer.xml.iter():
        if meta.tag.rpartition("}")[2] == "meta":
            meta.attrib.pop("lastmodifieddate", None)  # the same run, the same bytes
    text = ET.tostring(writer.xml, encoding="utf-8", xml_declaration=True)
    to.write_bytes(text)


def write_cx2(finished: ExportedRun, to: Path) -> None:
    """CX2, which Cytoscape and NDEx open; nodes are numbered from 0, and ``name`` has their name.

    Cells keep their place in um; Cytoscape draws y downward.
    """
    graph = finished.communication
    number = {name: i for i, name in enumerate(graph)}
    nodes = [
        {"id": number[name]}
        | {axis: data[axis] for axis in PLACE if axis in data}
        | {"v": {"name": name} | {key: value for key, value in data.items() if key not in PLACE}}
        for name, data in graph.nodes(data=True)
    ]
    edges = [
        {"id": i, "s": number[a], "t": number[b], "v": data}
        for i, (a, b, data) in enumerate(graph.edges(data=True))
    ]
    about = {
        "name": f"{finished.about['scenario_name']}, seed {finished.about['seed']}",
        "description": "Vesicles taken up; edges point from donor to recipient.",
    }
    aspects = {"networkAttributes": [about], "nodes": nodes, "edges": edges}
    declared = {
        "networkAttributes": _declared([about]),
        "nodes": _declared(node["v"] for node in nodes),
        "edges": _declared(edge["v"] for edge in edges),
    }
    parts: dict[str, list[Any]] = {"attributeDeclarations": [declared], **aspects}
    head = [
        {"CXVersion": "2.0", "hasFragments": False},
        {"metaData": [{"name": name, "elementCount": len(part)} for name, part in parts.items()]},
    ]
    whole = [*head, *({name: part} for name, part in parts.items()), {"status": [{"success": True}]}]
    text = json.dumps(whole, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    to.write_text(text + "\n", encoding="utf-8")


def _declared(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """The type of each attribute; one that is a whole number here and a fraction there is a fraction."""
    found: dict[str, str] = {}
    for row in rows:
        for name, value in row.items():
            kind = TYPES[type(value)]
            found[name] = "double" if {found.get(name, kind), kind} == {"long", "double"} else kind
    return {name: {"d": kind} for name, kind in found.items()}
