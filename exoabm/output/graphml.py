"""A graph as GraphML, written as a stream: memory stays flat, however many edges there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    import networkx as nx

HEAD = """<?xml version='1.0' encoding='utf-8'?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns" \
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:schemaLocation="http://graphml.graphdrawing.org/xmlns \
http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd">
"""
TYPES = {bool: "boolean", int: "long", float: "double", str: "string"}


class Keys(dict[tuple[str, str, str], str]):
    """The id of each attribute's declaration, by what it describes, its name and its type."""

    def __init__(self, scoped: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        for scope, data in scoped:
            for name, value in data.items():
                self.setdefault((scope, name, TYPES[type(value)]), f"d{len(self)}")

    def lines(self) -> Iterator[str]:
        """A declaration of each."""
        for (scope, name, kind), key in self.items():
            yield f'  <key id="{key}" for="{scope}" attr.name={quoteattr(name)} attr.type="{kind}"/>\n'

    def data(self, scope: str, data: Mapping[str, Any]) -> str:
        """The attributes of one node or edge."""
        return "".join(
            f'<data key="{self[scope, name, TYPES[type(value)]]}">{escape(str(value))}</data>'
            for name, value in data.items()
        )


def write_graphml(graph: nx.DiGraph, path: Path) -> None:
    """Write a directed graph whose attributes are numbers, words and truths; a line for each node and edge.

    Its nodes and edges are those of ``networkx.write_graphml``, which makes a tree of the whole file in
    memory first. What is said of the graph itself stands in comments: Gephi reads no attributes of graphs.

    Raises
    ------
    KeyError
        If an attribute is of another type.
    """
    keys = Keys(_scoped(graph))
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(HEAD)
        file.writelines(keys.lines())
        file.writelines(_remarks(graph.graph))
        file.write('  <graph edgedefault="directed">\n')
        file.writelines(
            f"<node id={quoteattr(str(node))}>{keys.data('node', data)}</node>\n"
            for node, data in graph.nodes(data=True)
        )
        file.writelines(
            f"<edge source={quoteattr(str(a))} target={quoteattr(str(b))}>{keys.data('edge', data)}</edge>\n"
            for a, b, data in graph.edges(data=True)
        )
        file.write("  </graph>\n</graphml>\n")


def _remarks(data: Mapping[str, Any]) -> Iterator[str]:
    """A comment for each; two hyphens would end it."""
    for name, value in data.items():
        text = f"{name}: {value}".replace("--", "- -")
        yield f"  <!-- {text} -->\n"


def _scoped(graph: nx.DiGraph) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for _, data in graph.nodes(data=True):
        yield "node", data
    for *_, data in graph.edges(data=True):
        yield "edge", data
