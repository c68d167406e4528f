"""Results of a batch: a table of its rows, and means of replicates with confidence intervals.

    mean ± t(n - 1, 0.975) sd / sqrt(n)

Records are read a file at a time; three numbers per point and readout are kept in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from exoabm.batch.execution.row_execution import records
from exoabm.errors import InputError
from exoabm.output.durable_files import atomic_file
from exoabm.parameters.catalog import Quantity
from exoabm.parameters.units import to_internal
from exoabm.scenario.schema_base import entries
from exoabm.tables.readouts import KEYS, parse
from exoabm.text_formatting import counted

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from exoabm.batch.execution.plan import Overrides, Plan

RESULTS = "results.parquet"
SUMMARY = "summary.parquet"
ROWS_AT_A_TIME = 2048
"""Rows of a row group of ``results.parquet``, and all that is in memory of them."""

ROUNDING = 1e-9
"""Means that differ by less than this share of them are the same."""

Value = float | str | None


def in_unit(value: float, unit: str) -> str:
    """A number with its unit."""
    return f"{value:.15g}" + (f" {unit}" if unit != "1" else "")


def written(value: object) -> str:
    """A value of a scenario as ``Varied.written`` has it; "" for none, and for lists."""
    if isinstance(value, Quantity):
        return in_unit(value.magnitude, value.parameter.unit)
    return "" if value is None or isinstance(value, list) else str(value)


@dataclass(frozen=True)
class Varied:
    """A key that differs between rows: its column's name, its values as numbers where they are, its unit."""

    key: str
    unit: str | None

    @property
    def column(self) -> str:
        """``key (unit)``, or the key alone."""
        return f"{self.key} ({self.unit})" if self.unit not in (None, "1") else self.key

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers."""
        return self.unit is not None

    def value(self, text: str) -> float | str:
        """A value as in the tables, in the parameter's unit if it is a number."""
        return text if self.unit is None else to_internal(text, self.unit)[0]

    def written(self, text: str) -> str:
        """A value in the unit of the parameter, alike however it was given; as it is where no number."""
        try:
            return text if self.unit is None else in_unit(to_internal(text, self.unit)[0], self.unit)
        except InputError:
            return text

    def same(self, a: str, b: str) -> bool:
        """Whether two texts mean the same value, such as ``60`` and ``1 / min`` for one in 1/h."""
        try:
            return a == b or self.value(a) == self.value(b)
        except InputError:
            return False


@dataclass(frozen=True)
class Summary:
    """Means of the replicates of every point.

    Attributes
    ----------
    varied : tuple of Varied
    points : list of dict
        Values of the varied keys at each point.
    readouts : list of str
    n, failed : ndarray of int, shape (points,)
        Rows that ended well, and that did not.
    count, mean, sd : ndarray, shape (points, readouts)
        Replicates in which a readout is defined, their mean, and their standard deviation (NaN for one).
    half : ndarray, shape (points, readouts)
        Half the width of the confidence interval of the mean; NaN where there is none.
    main : str
        The readout of the scenario, which is the first; "" for none.
    """

    varied: tuple[Varied, ...]
    points: list[dict[str, Value]]
    readouts: list[str]
    n: np.ndarray
    failed: np.ndarray
    count: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    half: np.ndarray
    main: str = ""

    def table(self) -> pa.Table:
        """One row per point and readout."""
        import pyarrow as pa

        from exoabm.tables.schema import arrow, words

        points, readouts = self.mean.shape
        columns = {"point": arrow(np.repeat(np.arange(points), readouts))}
        for varied in self.varied:
            given = [point.get(varied.key) for point in self.points]
            columns[varied.column] = _column(varied, [value for value in given for _ in range(readouts)])
        columns["readout"] = words(self.readouts, np.tile(np.arange(readouts), points))
        columns["n"] = arrow(self.count.ravel())
        columns["failed"] = arrow(np.repeat(self.failed, readouts))
        low, high = self.mean - self.half, self.mean + self.half
        for name, values in (("mean", self.mean), ("sd", self.sd), ("ci95_low", low), ("ci95_high", high)):
            columns[name] = arrow(values.ravel(), ~np.isfinite(values.ravel()))
        return pa.table(columns)

    def warnings(self, most: int | None = None) -> list[str]:
        """Warnings on the interpretation of the means; each names ``most`` readouts, or all."""
        found = []
        if self.failed.any():
            found.append(
                f"{counted(int(self.failed.sum()), 'row')} failed; the means are those of the others"
            )
        if (self.n <= 1).all():
            found.append("one replicate per point: there are no confidence intervals")
        elif not (self.sd > 0).any():
            found.append(
                "all replicates of a point are the same: this scenario is deterministic, "
                "so that one replicate is sufficient"
            )
        for name, uncertain in self._uncertain().items():
            more = [] if most is None or len(uncertain) <= most else [f"{len(uncertain) - most:,} more"]
            names = ", ".join(uncertain[:most] + more)
            found.append(
                f"the confidence interval exceeds the effect of {name} on {names}: "
                "look at differences between runs of one seed, or add replicates"
            )
        return found

    def marginal(self, key: str) -> dict[Value, tuple[np.ndarray, np.ndarray]]:
        """Mean and half interval of every readout at each value of a key, over the points that share it.

        The half interval is the mean of theirs: points with common seeds err together, so averaging them
        makes the answer no surer. Where seeds are independent it is an upper bound.
        """
        groups: dict[Value, list[int]] = {}
        for index, point in enumerate(self.points):
            if self.n[index]:
                groups.setdefault(point.get(key), []).append(index)
        return {
            value: (self.mean[rows].mean(axis=0), self.half[rows].mean(axis=0))
            for value, rows in groups.items()
        }

    def _uncertain(self) -> dict[str, list[str]]:
        """Readouts whose widest interval exceeds the range of their means, per varied key."""
        found: dict[str, list[str]] = {}
        for varied in self.varied:
            levels = list(self.marginal(varied.key).values())
            if len(levels) < 2:
                continue
            means, halves = (np.array(column) for column in zip(*levels, strict=True))
            effect = np.ptp(means, axis=0)
            there = effect > ROUNDING * np.abs(means).max(axis=0)
            doubtful = there & (2 * halves.max(axis=0) > effect)
            names = [name for name, doubt in zip(self.readouts, doubtful, strict=True) if doubt]
            if names:
                found[varied.key] = names
        return found


def varied_keys(plan: Plan) -> tuple[Varied, ...]:
    """The keys changed by rows of a plan, in order of first occurrence."""
    texts: dict[str, dict[str, None]] = {}
    for row in plan.rows:
        for key, text in row.overrides:
            texts.setdefault(key, {})[text] = None
    return tuple(Varied(key, _unit(plan, key, tuple(values))) for key, values in texts.items())


def _unit(plan: Plan, key: str, texts: tuple[str, ...]) -> str | None:
    """The unit in which all values of a key can be read; None if they are no numbers."""
    rows = (row for row in plan.rows if key in dict(row.overrides))
    for row in islice(rows, 100):  # the first few may fail for a value that is not allowed
        try:
            value = dict(entries(plan.scenario_of(row).scenario)).get(key)
            if not isinstance(value, Quantity):
                return None
            for text in texts:
                to_internal(text, value.parameter.unit)
        except InputError:
            continue
        return value.parameter.unit
    return None


def readout_names(folder: Path, plan: Plan) -> list[str]:
    """Readouts of the rows, that of the scenario first."""
    names = dict.fromkeys(n for record in records(folder, plan) for n in record.get("readouts", ()))
    return sorted(names, key=lambda name: name != plan.main_readout)


def write_results(folder: Path, plan: Plan) -> Summary:
    """Write ``results.parquet``, one row per run, and ``summary.parquet``; return the latter."""
    import pyarrow.parquet as pq

    varied, names = varied_keys(plan), readout_names(folder, plan)
    with atomic_file(folder / RESULTS) as partial:
        write_rows(partial, folder, plan, varied, names)
    summary = summarize(folder, plan, varied, names)
    with atomic_file(folder / SUMMARY) as partial:
        pq.write_table(summary.table(), partial)
    return summary


def summarize(folder: Path, plan: Plan, varied: tuple[Varied, ...], names: list[str]) -> Summary:
    """Means and intervals over the rows that share their overrides, in one pass (Welford's)."""
    index: dict[Overrides, int] = {}
    for row in plan.rows:
        index.setdefault(row.overrides, len(index))
    shape = (len(index), len(names))
    n, failed = np.zeros(len(index), np.int64), np.zeros(len(index), np.int64)
    count, mean, square = np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape)
    overrides = {row.name: row.overrides for row in plan.rows}
    for record in records(folder, plan):
        point = index[overrides[record["row"]]]
        if record["state"] == "failed":
            failed[point] += 1
            continue
        n[point] += 1
        values = np.array([np.nan if (v := record["readouts"].get(k)) is None else v for k in names])
        there = np.isfinite(values)
        count[point] += there
        step = np.where(there, values - mean[point], 0.0)
        mean[point] += step / np.maximum(count[point], 1)
        square[point] += step * np.where(there, values - mean[point], 0.0)
    mean[count == 0] = np.nan
    sd = np.where(count > 1, np.sqrt(square / np.maximum(count - 1, 1)), np.nan)
    points: list[dict[str, Value]] = [
        {v.key: v.value(text) for v in varied for key, text in pairs if key == v.key} for pairs in index
    ]
    main = plan.main_readout if plan.main_readout in names else ""
    return Summary(varied, points, names, n, failed, count, mean, sd, half_width(sd, count), main)


def half_width(sd: np.ndarray, n: np.ndarray) -> np.ndarray:
    """t(n - 1, 0.975) sd / sqrt(n): half the width of the 95 % interval of a mean; NaN for n < 2."""
    from scipy.special import stdtrit

    half = stdtrit(np.maximum(n - 1, 1), 0.975) * sd / np.sqrt(np.maximum(n, 1))
    return np.where(n > 1, half, np.nan)


def write_rows(path: Path, folder: Path, plan: Plan, varied: tuple[Varied, ...], names: list[str]) -> None:
    """Write one row per run of a batch, as ``results.parquet``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from exoabm.tables.schema import numbers, texts

    keys = [pa.field(v.column, pa.float64() if v.numeric else pa.string()) for v in varied]
    fields = [
        pa.field("row", pa.string()),
        pa.field("seed", pa.int64()),
        *keys,
        pa.field("state", pa.string()),
    ]
    prefix = "trial.readout." if plan.about.get("kind") == "trial" else ""
    fields += [pa.field("reason", pa.string()), *(pa.field(prefix + name, pa.float64()) for name in names)]
    schema = pa.schema(fields)
    overrides = {row.name: dict(row.overrides) for row in plan.rows}
    found = records(folder, plan)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while batch := list(islice(found, ROWS_AT_A_TIME)):
            columns = [texts([record["row"] for record in batch])]
            columns.append(numbers([record["seed"] for record in batch], np.int64))
            for v in varied:
                given = (overrides[record["row"]].get(v.key) for record in batch)
                columns.append(_column(v, [None if text is None else v.value(text) for text in given]))
            columns += [texts([record.get(key) for record in batch]) for key in ("state", "reason")]
            columns += [numbers([record.get("readouts", {}).get(name) for record in batch]) for name in names]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _column(varied: Varied, values: list[Value]) -> pa.Array:
    """Values of a varied key as an Arrow array."""
    from exoabm.tables.schema import numbers, texts

    return (numbers if varied.numeric else texts)(values)  # type: ignore[arg-type]


PANELS = 6
PREFERRED = (
    "taken_up",
    "delivered",
    "reach_median_um",
    "communication_distance_um",
    "free",
    "cleared",
)
"""The quantities that most questions are about."""


def headline(summary: Summary) -> list[str]:
    """The default readouts: that of the scenario, then those that change, common ones first."""
    means = summary.mean[summary.n > 0]
    if not len(means):
        return []
    with np.errstate(invalid="ignore"):
        changes = np.ptp(means, axis=0) > ROUNDING * np.abs(means).max(axis=0)
    moving = [name for name, change in zip(summary.readouts, changes, strict=True) if change]

    def rank(name: str) -> tuple[bool, int]:
        found = parse(name) if name.partition("[")[0] in KEYS else None
        if found is None or found.quantity not in PREFERRED:
            return False, len(PREFERRED)
        return found.pair, PREFERRED.index(found.quantity)

    ranked = [name for name in sorted(moving, key=rank) if name != summary.main]
    return [*filter(None, [summary.main]), *ranked][:PANELS]
