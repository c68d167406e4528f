"""The keys of a scenario as rows: for ``exoabm show``, and as HTML for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exoabm.errors import InputError
from exoabm.parameters.catalog import Quantity
from exoabm.scenario.schema_base import as_given, described, is_idle
from exoabm.tables.html import html_card, html_fold, html_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exoabm.scenario.loader import LoadedScenario


COLUMNS = ("key", "value", "unit", "allowed", "published", "source")
"""Of the table that a notebook shows."""


def rows_of(loaded: LoadedScenario, *, everything: bool = False) -> Iterator[dict[str, Any]]:
    """One row per key of a scenario, in the order of the file format.

    Parameters
    ----------
    loaded : LoadedScenario
    everything : bool
        Include keys that are not set or have no effect.
    """
    for entry in described(loaded.scenario):
        key, value = entry.key, entry.value
        idle = is_idle(entry.table, entry.field)
        if not everything and (idle or value is None or value == [] or key.split(".")[-2:-1] == [value]):
            continue
        row = {"key": key, "meaning": entry.meaning, "choices": entry.choices}
        if isinstance(value, Quantity):
            parameter = value.parameter
            yield row | {
                "value": f"{value.magnitude:.10g}",
                "unit": parameter.unit if parameter.unit != "1" else "",
                "allowed": "{:g} to {:g}".format(*parameter.allowed),
                "published": "{:g} to {:g}".format(*parameter.published) if parameter.published else "",
                "source": value.source or "this scenario",
                "symbol": parameter.symbol,
                "note": value.note,
            }
        else:
            yield row | {"value": as_given(value)}


def html_of(loaded: LoadedScenario) -> str:
    """Title, question, cells of a table, and the keys that are set with value, unit, range and source."""
    info = loaded.scenario.info
    rows = [
        [str(row.get(column, "")) for column in COLUMNS]
        for row in rows_of(loaded)
        if not row["key"].startswith("info.")
    ]
    names = ("key", "value", "unit", "allowed", "published or plausible", "source")
    cells, labels = _cells_of_table(loaded)
    table = html_table(names, rows, len(rows))
    keys = html_fold(f"{len(rows)} keys, with value, unit, range and source", table)
    return html_card(f"{loaded.name}: {info.title}", [info.question, *cells], *labels, keys)


def _cells_of_table(loaded: LoadedScenario) -> tuple[list[str], list[str]]:
    """Findings on the layout's table as lines, and its labels as HTML; the error where it cannot be read."""
    from exoabm.scenario.placement import from_table

    if loaded.scenario.layout.table is None:
        return [], []
    try:
        placed = from_table(loaded)
    except InputError as error:
        return [str(error)], []
    except OSError as error:
        return [f"{loaded.scenario.layout.table} cannot be read: {error.strerror or error}"], []
    other = "up" if placed.table.y_down else "down"
    turn = f'layout__y_axis="{other}" turns pictures over and moves no cell'
    rows = [(label, placed.meaning[label], n) for label, n in placed.table.labels.counts().items()]
    return [*placed.table.findings, turn], [html_table(("label", "cell type", "cells"), rows)]
