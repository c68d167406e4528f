"""The communication graph as GraphML, written as a stream from its columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from exoabm.analysis.communication_graph import Network

HEAD = """<?xml version='1.0' encoding='utf-8'?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns" \
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:schemaLocation="http://graphml.graphdrawing.org/xmlns \
http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd">
"""
TYPES = {bool: "boolean", int: "long", float: "double", str: "string"}
AT_ONCE = 8192
"""Edges that are made into text at a time."""


class Keys(dict[tuple[str, str, str], str]):
    """The id of each attribute's declaration, by what it describes, its name and its type."""

    def __init__(self, scoped: Iterable[tuple[str, str, type]]) -> None:
        for scope, name, kind in scoped:
            self.setdefault((scope, name, TYPES[kind]), f"d{len(self)}")

    def lines(self) -> Iterator[str]:
        """A declaration of each."""
        for (scope, name, kind), key in self.items():
            yield f'  <key id="{key}" for="{scope}" attr.name={quoteattr(name)} attr.type="{kind}"/>\n'

    def data(self, scope: str, data: Mapping[str, Any]) -> str:
        """The attributes of one node."""
        return "".join(
            f'<data key="{self[scope, name, TYPES[type(value)]]}">{escape(str(value))}</data>'
            for name, value in data.items()
        )


def write_graphml(network: Network, path: Path) -> None:
    """Write a network; a line for each node and edge.

    Its nodes and edges are those that ``networkx.write_graphml`` writes of the same graph. What is said of
    the graph itself stands in comments: Gephi reads no attributes of graphs.

    Raises
    ------
    KeyError
        If an attribute of a node is neither a number, a word nor a truth.
    """
    keys = Keys(_scoped(network))
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(HEAD)
        file.writelines(keys.lines())
        file.writelines(_remarks(network.about))
        file.write('  <graph edgedefault="directed">\n')
        file.writelines(
            f"<node id={quoteattr(str(node))}>{keys.data('node', data)}</node>\n"
            for node, data in network.nodes.items()
        )
        names = [quoteattr(str(name)) for name in network.nodes]
        for start in range(0, len(network.donor), AT_ONCE):
            file.writelines(_edges(network, names, keys, slice(start, start + AT_ONCE)))
        file.write("  </graph>\n</graphml>\n")


def _edges(network: Network, names: list[str], keys: Keys, rows: slice) -> Iterator[str]:
    """A line for each edge in ``rows``; ``names`` are those of the nodes, in quotes."""
    parts = [
        _texts(network.donor[rows], lambda i: f"<edge source={names[i]}"),
        _texts(network.recipient[rows], lambda i: f" target={names[i]}>"),
    ]
    for name, column in network.words.items():
        parts.append(_texts(column[rows], escape, keys["edge", name, "string"]))
    for name, column in network.numbers.items():
        if (key := keys.get(("edge", name, "double"))) is not None:
            parts.append(_texts(column[rows], str, key))
    return map("".join, zip(*parts, ["</edge>\n"] * len(parts[0]), strict=True))


def _texts(column: np.ndarray, text: Callable[[Any], str], key: str = "") -> list[str]:
    """The text of each value, in the element of an attribute if a key is given; none for NaN.

    It is made once for each value: most counts are small.
    """
    head, tail = (f'<data key="{key}">', "</data>") if key else ("", "")
    values, place = np.unique(column, return_inverse=True)
    made = [f"{head}{text(value)}{tail}" for value in values.tolist()]
    if column.dtype.kind == "f" and len(values) and np.isnan(values[-1]):
        made[-1] = ""
    return [made[i] for i in place.tolist()]


def _remarks(data: Mapping[str, Any]) -> Iterator[str]:
    """A comment for each; two hyphens would end it."""
    for name, value in data.items():
        text = f"{name}: {value}".replace("--", "- -")
        yield f"  <!-- {text} -->\n"


def _scoped(network: Network) -> Iterator[tuple[str, str, type]]:
    for data in network.nodes.values():
        for name, value in data.items():
            yield "node", name, type(value)
    if len(network.donor):
        yield from (("edge", name, str) for name in network.words)
        for name, column in network.numbers.items():
            if not np.isnan(column).all():
                yield "edge", name, float
