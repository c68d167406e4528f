"""Numeric columns of a text or Parquet table, such as measurements over time, or of the metrics of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from exoabm.errors import InputError, did_you_mean
from exoabm.readers.file_formats import open_sheet
from exoabm.readers.options import COMMA, NUMBER, TableOptions, decimal_comma, quoted
from exoabm.readers.table import texts_of
from exoabm.tables.finished_run import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

DEVIATION = "_sd"
CENSORED = {"drop": math.nan, "half": 0.5, "limit": 1.0}
"""What a value below a limit may count as, times the limit."""
NOT_MEASURED = frozenset({"", "nan", "na", "null", "none"})
MAX_BYTES, MAX_ROWS = 256 << 20, 5_000_000


@dataclass(frozen=True)
class Table:
    """Numeric columns of equal length, by name; faults of others; columns of words are omitted."""

    path: Path
    columns: dict[str, np.ndarray]
    faults: dict[str, str] = field(default_factory=dict)

    def chosen(self, names: Sequence[str], *beside: str) -> list[str]:
        """The requested columns, or all except given ones.

        Raises
        ------
        InputError
            If there is no such column.
        """
        known = [name for name in self.columns if name not in beside and not self._deviates(name)]
        for name in names:
            if name not in known:
                raise InputError(
                    f"--column {name}: no numbers of this name in {self.path}{did_you_mean(name, known)}"
                )
        chosen = list(names) or known
        for name in (*chosen, *(name + DEVIATION for name in chosen), *beside):
            if name in self.faults:
                raise InputError(
                    f"--data {self.path}: {self.faults[name]}; a value below a limit, as in <0.5 or <LOD, "
                    "needs --censored drop, half or limit; other columns can be chosen with --column"
                )
        return chosen

    def _deviates(self, name: str) -> bool:
        return name.endswith(DEVIATION) and name.removesuffix(DEVIATION) in self.columns


def read_table(path: Path, censored: str | None = None) -> Table:
    """Read the numbers of a text or Parquet file, or the metrics of a run folder.

    A column of words alone is left out. One in which some values are numbers and some are not is refused when
    it is asked for: a lost value would change what is fitted.

    Parameters
    ----------
    path
        The file, or the run folder.
    censored
        What a value below a limit, such as ``<0.5`` or ``<LOD``, counts as: "drop", as not measured; "half"
        or "limit", of the number after ``<``. Refused if not given.

    Raises
    ------
    InputError
        If there is no such table.
    """
    if censored not in (None, *CENSORED):
        raise InputError(f"--censored {censored}: one of {', '.join(CENSORED)}")
    if path.is_dir():
        series = Run(path).metrics
        return Table(path, {name: np.asarray(series[name].cast("float64")) for name in series.column_names})
    sheet = open_sheet(
        path, TableOptions(format="auto" if path.suffix == ".parquet" else "csv"), MAX_BYTES, MAX_ROWS
    )
    if not sheet.rows:
        raise InputError(f"--data {path}: has no rows below its header")
    every, comma = np.arange(sheet.rows), False
    names = [name for name in sheet.names if name]
    if doubled := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"--data {path}: two columns are named {doubled!r}")
    sheet.load(names)
    words = {name: texts_of(sheet.column(name)) for name in names}
    if sheet.separator not in ("", ","):
        comma = decimal_comma(f"--data {path}", (text for texts in words.values() for text in texts))
    columns, faults = {}, {}
    for name, texts in words.items():
        values, fault = _numbers(texts, comma, censored)
        if fault >= 0 and not np.isfinite(values).any():
            continue
        columns[name] = values
        if fault >= 0:
            faults[name] = f"row {every[fault] + 1}, column {name!r} is {quoted(texts[fault])}, not a number"
    return Table(path, columns, faults)


def _numbers(texts: list[str], comma: bool, censored: str | None) -> tuple[np.ndarray, int]:
    """Values, NaN for blank, and the first row that holds no number, -1 if there is none."""
    values, fault = np.full(len(texts), np.nan), -1
    for row, text in enumerate(texts):
        value = text.replace(",", ".") if comma and COMMA.fullmatch(text) else text
        if NUMBER.fullmatch(value) or value.lower() in ("inf", "-inf", "infinity"):
            values[row] = float(value)
        elif value.lower() in NOT_MEASURED:
            continue
        elif censored is not None and value.startswith("<"):
            limit = value[1:].strip()
            if NUMBER.fullmatch(limit) and censored != "drop":
                values[row] = float(limit) * CENSORED[censored]
            elif censored != "drop" and fault < 0:
                fault = row
        elif fault < 0:
            fault = row
    return values, fault
