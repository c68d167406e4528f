"""Small tables in HTML, by which notebooks show scenarios, runs and results."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from exoabm.errors import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST_ROWS = 60
"""Rows of a table in a notebook; the number of omitted ones is stated."""
LONG = 25
"""Rows from which a table is scrolled in a frame of its own."""


def html_card(title: str, lines: Iterable[str] = (), *tables: str) -> str:
    """A title, lines of text below it, and tables as ``html_table`` makes them."""
    lines_shown = "".join(f"<div>{_safe(line)}</div>" for line in lines if line)
    return f"<div><strong>{_safe(title)}</strong>{lines_shown}{''.join(tables)}</div>"


def html_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], most: int = MOST_ROWS) -> str:
    """A table with a line of names; numbers are at the right, with six digits."""
    body = [list(row) for row in rows]
    head = "".join(f"<th style='text-align:left'>{_safe(name)}</th>" for name in columns)
    lines = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in body[:most])
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"
    if len(body) > LONG:
        table = f"<div style='max-height:32em;overflow:auto'>{table}</div>"
    left = len(body) - most
    return table + (f"<div>and {left:,} more rows</div>" if left > 0 else "")


def html_fold(title: str, content: str) -> str:
    """Content that is shown when its title is pressed."""
    return f"<details><summary>{_safe(title)}</summary>{content}</details>"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"<td style='text-align:right'>{value:.6g}</td>"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"<td style='text-align:right'>{value:,}</td>"
    return f"<td style='text-align:left'>{_safe('' if value is None else str(value))}</td>"


def _safe(text: str) -> str:
    return escape(visible(text))
