"""The declaration of every table: columns with type, unit, meaning, and the meaning of null.

They are in ``declarations.toml``; schemas, footers, checks of readers, the data dictionary and the names of
readouts follow from it. Events and fates of vesicles have the same names in all tables, in one order:
``taken_up``, ``lysosomal``, ``recycled``, ``delivered``, ``cleared`` and ``escaped`` are cumulative numbers;
``free``, ``bound`` and ``endosomal`` are present numbers.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1
"""Version of the tables and of ``run.json``; folders of another version are refused."""

WHOLE, REAL, TEXT, WORD = "int64", "float64", "text", "word"
"""Types of columns; a ``word`` is a text of which a table holds few different ones."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    name : str
    dtype : str
        ``int64``, ``float64``, ``text`` or ``word``.
    unit : str
        "" for names and identifiers, "1" for numbers without a unit.
    meaning : str
    null : str
        Meaning of a missing value; "" where no value may be missing.
    allowed : tuple of str
        The only words that occur; any word if empty.
    """

    name: str
    dtype: str
    unit: str
    meaning: str
    null: str = ""
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table, stored as ``<name>.parquet``.

    Attributes
    ----------
    name : str
    meaning : str
        Meaning of a row.
    key : tuple of str
        Columns that identify a row; empty where a row has no key.
    columns : tuple of Column
    where : str
        Where the table is found; "" for one that every run folder has.
    more : str
        What further columns there are, of a table that is as wide as its batch is; their names hold a dot or
        a bracket, and those of ``columns`` hold none.
    """

    name: str
    meaning: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    where: str = ""
    more: str = ""

    @property
    def file(self) -> str:
        """Name of its file."""
        return f"{self.name}.parquet"

    @property
    def values(self) -> tuple[Column, ...]:
        """The columns that are not part of the key."""
        return tuple(column for column in self.columns if column.name not in self.key)


def _columns(table: dict[str, Any], shared: dict[str, Column]) -> tuple[Column, ...]:
    def column(name: str, about: Any) -> Column:
        if about == "shared":
            return shared[name]
        dtype, unit, meaning, *null = about
        return Column(
            name, dtype, unit, meaning, "".join(null), tuple(table.get("allowed", {}).get(name, ()))
        )

    return tuple(column(name, about) for name, about in table["columns"].items())


def _read() -> dict[str, tuple[Table, ...]]:
    """The declared tables by group."""
    content = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    shared = {column.name: column for column in _columns(content.pop("shared"), {})}
    found: dict[str, tuple[Table, ...]] = {}
    for name, about in content.items():
        columns, group = _columns(about, shared), about["group"]
        where, more = about.get("where", ""), about.get("more", "")
        table = Table(name, about["row"], tuple(about["key"]), columns, where, more)
        found[group] = (*found.get(group, ()), table)
    return found


GROUPS = _read()
"""The declared tables by group, in the order of the documentation."""
METRICS, CELLS = GROUPS["metrics"], GROUPS["cells"]
"""Time series, of which every column that is not part of a key is a readout; and cells at recorded times."""
RUN_TABLES = (*METRICS, *CELLS, *GROUPS["events"], *GROUPS["communication"])
"""The tables of a run folder."""
TABLES = {table.name: table for tables in GROUPS.values() for table in tables}
"""Every table by name."""
COMPARTMENTS = next(c.allowed for c in TABLES["metrics_by_compartment"].columns if c.name == "compartment")
"""Compartments of the body of a dose; ``lost`` was degraded, excreted, or never absorbed."""


class Event(IntEnum):
    """Events of a single vesicle; ``events.parquet`` has these names in lower case."""

    RELEASE = 0  # released by a cell
    ENTRY = 1  # entered the domain through a face or with a dose
    ENCOUNTER = 2  # captured at the surface of a cell
    UNBINDING = 3  # left the surface of a cell for the medium
    UPTAKE = 4  # internalized from the surface of a cell
    DEGRADATION = 5  # degraded in a lysosome
    RECYCLING = 6  # released again from an endosome
    DELIVERY = 7  # opened to the cytosol
    CLEARANCE = 8  # cleared from the medium, or with the debris of a dead cell
    ESCAPE = 9  # left the domain through a face
    HANDOVER = 10  # left a dividing cell with the daughter's part of the membrane, bound
    INHERITANCE = 11  # passed to a daughter cell with its part of the membrane, bound
    PARTITION = 12  # passed to a daughter cell in an endosome


BALANCE = ("free", "bound", "endosomal", "lysosomal", "recycled", "delivered", "cleared", "escaped")
"""Compartments of the emitted vesicles; the sum over these is the number emitted."""

COUNTED = {
    "encounter": "encountered",
    "unbinding": "unbound",
    "uptake": "taken_up",
    "degradation": "lysosomal",
    "recycling": "recycled",
    "delivery": "delivered",
}
"""Events between two cells that are counted until now, and the names of these counts."""

BETWEEN_CELLS = ("encountered", "bound", "taken_up", "lysosomal", "recycled", "delivered")
"""Counts of an edge between two cells."""

CELL, DOSE, RESERVOIR = "cell", "dose", "reservoir"
"""Senders of vesicles: a cell, a dose, or the reservoir behind a face."""
