"""What results of analyses have in common: rows, a table of them, and a display in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exoabm.tables.html import html_card, html_table

if TYPE_CHECKING:
    import pyarrow as pa

LABELED = 1.4
"""Columns of a journal that a plot with names of keys is wide."""


class Result:
    """A result with rows: ``table``, and a table in a notebook."""

    title: str
    notes: list[str]

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the table."""
        raise NotImplementedError

    @property
    def table(self) -> pa.Table:
        """The rows, as a ``pyarrow.Table``."""
        import pyarrow as pa

        return pa.Table.from_pylist(self.rows())

    def __repr__(self) -> str:
        return f"<{self.title}>"

    def _repr_html_(self) -> str:
        rows = self.rows()
        names = list(rows[0]) if rows else []
        return html_card(self.title, self.notes, html_table(names, [list(row.values()) for row in rows]))
