"""Finished runs: the parts of a run folder, read on demand and checked against their declarations."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.errors import InputError, did_you_mean, visible
from exoabm.manifest import demand
from exoabm.tables.declarations import METRICS, RUN_TABLES, SCHEMA_VERSION, TABLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import networkx as nx
    import pyarrow as pa

    from exoabm.tables.declarations import Table

RUN, SUMMARY, GRAPH = "run.json", "summary.json", "communication.graphml"
ROUNDING = 1e-6
"""s by which times of two tables may differ, for rounding; assumed."""


class Run:
    """A run folder.

    Each table of ``tables.declarations`` is an attribute by its name (``cells``, ``events``, ``edges``,
    ``behaviors``, ``metrics_by_kind``, ...), a ``pyarrow.Table``, and None where a run has none of it. A part
    is read when it is asked for, checked by its checksum and its declaration, and then kept.

    Attributes
    ----------
    folder : Path
    name : str
        What errors call it.

    Raises
    ------
    InputError
        If the folder holds no run, or one whose tables have another version; from each part that is missing,
        damaged, or not as declared.

    Examples
    --------
    >>> run = exoabm.open_run("runs/first")
    >>> run.metrics.to_pandas().plot(x="time_h", y="taken_up[exosome]")
    >>> run.edges.to_pandas().groupby("donor_type")["delivered"].sum()
    """

    def __init__(self, folder: str | Path, name: str = "") -> None:
        self.folder, self.name = Path(folder), visible(name or str(folder))
        if not (self.folder / RUN).is_file():
            raise InputError(f"{self.name} holds no run (there is no {RUN} in it)")
        self._read: dict[str, Any] = {}
        self.about  # noqa: B018  refuses a folder of another version

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    def __getattr__(self, name: str) -> Any:
        table = TABLES.get(name)
        if table is None or table not in RUN_TABLES:
            near = "" if name.startswith("_") else did_you_mean(name, dir(self))
            raise AttributeError(f"a run has no {name!r}{near}")
        return self.table(name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(table.name for table in RUN_TABLES)})

    @cached_property
    def about(self) -> dict[str, Any]:
        """``run.json``: scenario, seed, versions, and the operations by which the folder was made."""
        about = self._json(RUN)
        version = about.get("schema_version")
        if version != SCHEMA_VERSION:
            from exoabm.tables.schema import other_version

            text = "" if version is None else str(version)
            raise InputError(f"{self.name}: {other_version(text)}")
        return about

    @cached_property
    def summary(self) -> dict[str, Any]:
        """``summary.json``: the mass balance and the measures of communication at the end."""
        return self._json(SUMMARY)

    @cached_property
    def metrics(self) -> pa.Table:
        """All time series side by side: ``time_h`` and a column for each readout, null where undefined."""
        from exoabm.tables.schema import side_by_side

        return side_by_side({table.name: self.need(table.name) for table in METRICS})

    @cached_property
    def communication(self) -> nx.DiGraph:
        """The communication graph, donor -> recipient; of very many edges the strongest."""
        import networkx as nx

        demand(self.folder, [GRAPH])
        try:
            return nx.read_graphml(self.folder / GRAPH)
        except Exception as error:  # networkx has no common base for what it raises on damaged files
            raise InputError(f"{self.name}/{GRAPH} cannot be read: {type(error).__name__}: {error}") from None

    def table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table | None:
        """A table, or some of its columns; None if the run has none of it.

        Raises
        ------
        InputError
            If it is damaged or not as declared.
        """
        if columns is not None:
            return self._table(TABLES[name], columns)
        if name not in self._read:
            self._read[name] = self._table(TABLES[name], None)
        return self._read[name]

    def cells_at(self, time_s: float) -> pa.Table:
        """Rows of ``cells`` that were recorded last until a time, without cells that had died by then."""
        import pyarrow.compute as pc

        times, begins = self._begins
        last = int(np.searchsorted(times, time_s + ROUNDING, "right")) - 1
        cells = self.need("cells")
        if last < 0:
            return cells.slice(0, 0)
        rows = cells.slice(begins[last], begins[last + 1] - begins[last])
        lineage = self.table("lineage")
        if lineage is None:
            return rows
        dead = pc.less_equal(lineage["died_s"], time_s + ROUNDING)
        gone = lineage["cell"].filter(pc.fill_null(dead, False))
        return rows.filter(pc.invert(pc.is_in(rows["cell"], gone.combine_chunks())))

    @cached_property
    def _begins(self) -> tuple[np.ndarray, np.ndarray]:
        """Recorded times of cells in s, and the rows at which they begin; then the number of all rows."""
        cells = self.need("cells")
        times, begins = np.unique(np.asarray(cells["time_s"]), return_index=True)
        return times, np.append(begins, len(cells))

    def need(self, name: str) -> pa.Table:
        """A table that the run must have."""
        found = self.table(name)
        if found is None:
            raise InputError(f"{self.name} holds no {TABLES[name].file}")
        return found

    def _table(self, table: Table, columns: Sequence[str] | None) -> pa.Table | None:
        from exoabm.tables.parquet import read_whole
        from exoabm.tables.schema import check

        if table.where and not (self.folder / table.file).exists():
            return None
        demand(self.folder, [table.file])
        try:
            found = read_whole(self.folder / table.file, columns)
        except FileNotFoundError:
            raise InputError(f"{self.name} holds no {table.file}") from None
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from None
        check(table, found, f"{self.name}: {table.file}", columns)
        return found

    def _json(self, name: str) -> dict[str, Any]:
        demand(self.folder, [name])
        try:
            found = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{self.name}/{name} cannot be read: {type(error).__name__}: {error}") from None
        if not isinstance(found, dict):
            raise InputError(f"{self.name}/{name} cannot be read: it is no table of keys")
        return found
