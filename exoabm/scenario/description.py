"""The keys of a scenario with value, unit, range and source, as rows and in HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exoabm.parameters import Quantity
from exoabm.scenario.schema_fields import described, is_idle
from exoabm.tables.html import html_card, html_table

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
            yield row | {"value": _plain(value)}


def html_of(loaded: LoadedScenario) -> str:
    """Title, question, and a table of the keys that are set, with value, unit, range and source."""
    info = loaded.scenario.info
    rows = [
        [str(row.get(column, "")) for column in COLUMNS]
        for row in rows_of(loaded)
        if not row["key"].startswith("info.")
    ]
    names = ("key", "value", "unit", "allowed", "published or plausible", "source")
    return html_card(f"{loaded.name}: {info.title}", [info.question], html_table(names, rows, len(rows)))


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, list) else getattr(value, "given", value)
