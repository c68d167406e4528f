"""Comparison of two runs or arms of sweeps: readouts, changed keys and common seeds.

Rows that share a seed are compared in pairs, so that what they have in common drops out:

    d_s = mean over the rows of seed s of (b - a),    mean(d) ± t(n - 1, 0.975) sd(d) / sqrt(n)

with n seeds, for rows of one seed err together, whatever else is varied. Where no seed is common, the means
of the seeds are compared, with Welch's interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.batch.execution.plan import PLAN, Plan
from exoabm.batch.execution.row_execution import records
from exoabm.batch.execution.run_readouts import gather
from exoabm.batch.sweeps.summary import varied_keys, written
from exoabm.errors import InputError, command_line
from exoabm.manifest import MANIFEST, fault_list, faults, listed, seal
from exoabm.output.durable_files import atomic_folder, check_room, write_json
from exoabm.output.run_folder import check_finished
from exoabm.runs.provenance import differences
from exoabm.scenario.loader import parse
from exoabm.scenario.schema_base import entries
from exoabm.tables.finished_run import Run
from exoabm.tables.schema import arrow, words
from exoabm.text_formatting import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa

    from exoabm.batch.execution.run_readouts import Readouts
    from exoabm.scenario.loader import LoadedScenario

FILES = ("comparison.json", "difference.parquet", "difference.png")
"""What ``write`` makes; the last two of two runs."""
SAME = 1e-12
"""Readouts that differ by no more than this share are the same."""
MOST_LISTED = 5
"""Readouts that a warning names, and values of a key that are listed."""
KEPT = "not given"
"""Stands for the value of a key that a scenario does not give."""

RowKey = tuple[tuple[tuple[str, str], ...], int]


@dataclass(frozen=True)
class Side:
    """One of the two: its scenario, the readouts of its rows, and, of a run, the course of its metrics.

    ``arm`` are the keys that choose its rows, with their values; ``missing`` is how many rows of its sweep
    are not on disk, or damaged. Numbers are in the unit of their parameter, and ``texts`` has them as given.
    """

    name: str
    scenario: LoadedScenario
    arm: dict[str, str]
    rows: dict[RowKey, Readouts]
    hours: float
    version: str
    metrics: pa.Table | None
    missing: int = 0
    texts: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @property
    def seeds(self) -> set[int]:
        """Seeds of the rows."""
        return {seed for _, seed in self.rows}


@dataclass(frozen=True)
class Line:
    """A readout of both sides and its difference B - A, with half its interval where there are replicates.

    ``lost`` is how many pairs (rows, if none are paired) were left out, since it is not defined there.
    """

    readout: str
    a: float
    b: float
    difference: float
    half: float | None
    lost: int = 0

    @property
    def relative(self) -> float | None:
        """The difference as a share of A."""
        return self.difference / self.a if self.a else None


@dataclass(frozen=True)
class Comparison:
    """Common and different properties of two runs or arms.

    Attributes
    ----------
    a, b : Side
    changed : dict
        Keys that differ between the compared rows, with both values.
    paired : int
        Rows that were compared in pairs; 0 if they had to be compared by their means.
    lines : list of Line
    warnings : list of str
    """

    a: Side
    b: Side
    changed: dict[str, tuple[str, str]]
    paired: int
    lines: list[Line]
    warnings: list[str]

    @property
    def main(self) -> str:
        """The readout of the scenario of A, which is the first line if both have it; "" for none."""
        asked = self.a.scenario.scenario.main_readout
        return "" if asked is None else asked.metric

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "a": self.a.name,
            "b": self.b.name,
            "changed": {key: list(values) for key, values in self.changed.items()},
            "same_seeds": self.a.seeds == self.b.seeds,
            "pairs": self.paired,
            "readout": self.main or None,
            "readouts": [
                {
                    "readout": line.readout,
                    "a": line.a,
                    "b": line.b,
                    "difference": line.difference,
                    "ci95_half": line.half,
                    "left_out": line.lost,
                }
                for line in self.lines
            ],
            "warnings": self.warnings,
        }


def compare(a: str, b: str) -> Comparison:
    """Compare two run folders or two arms.

    Parameters
    ----------
    a, b : str
        A run folder; a sweep's folder; or an arm of a sweep, ``DIR@KEY=VALUE`` (several with ``,KEY=VALUE``).
        Rows of equal seed and equal values of the keys left open are compared in pairs. Where there are
        none, the means are compared, each over all values of the keys left open on its side.

    Raises
    ------
    InputError
        If there is no run or sweep, or no row of the arm.
    """
    wanted = [read_arm(text) for text in (a, b)]
    left, right = (_side(text, folder, arm) for text, (folder, arm) in zip((a, b), wanted, strict=True))
    common = [key for key in left.rows if key in right.rows]
    changed, lines = _changed(left, right, common), _lines(left, right, common)
    return Comparison(left, right, changed, len(common), lines, _warnings(left, right, common, lines))


def difference_table(comparison: Comparison) -> pa.Table | None:
    """Every readout of two runs over time, in long form: time, readout, A, B and B - A; None for arms.

    Times are those that both runs have.
    """
    import pyarrow as pa

    a, b = comparison.a.metrics, comparison.b.metrics
    if a is None or b is None:
        return None
    times, in_a, in_b = np.intersect1d(a["time_h"], b["time_h"], return_indices=True)
    names = [name for name in a.column_names if name != "time_h" and name in b.column_names]
    one, other = (
        np.array([np.asarray(table[name], float)[rows] for name in names]).reshape(len(names), len(times))
        for table, rows in ((a, in_a), (b, in_b))
    )
    return pa.table(
        {
            "time_h": arrow(np.tile(times, len(names))),
            "readout": words(names, np.repeat(np.arange(len(names)), len(times))),
            "a": arrow(one.ravel()),
            "b": arrow(other.ravel()),
            "difference": arrow((other - one).ravel()),
        }
    )


def write(comparison: Comparison, folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Write ``comparison.json``, of two runs ``difference.parquet`` and ``difference.png``, and a manifest.

    The folder is made whole or not at all.

    Raises
    ------
    InputError
        If it exists, unless it holds nothing but these files and may be replaced.
    """
    import pyarrow.parquet as pq

    from exoabm.plot.comparison import draw_comparison

    check_room(folder, {*FILES, MANIFEST}, overwrite=overwrite)
    table = difference_table(comparison)
    course = table is not None and len(set(table["time_h"].to_pylist())) > 1
    with atomic_folder(folder, overwrite=overwrite) as partial:
        write_json(partial / FILES[0], comparison.plain())
        if course:
            pq.write_table(table, partial / FILES[1])
            caption = _caption(comparison)
            draw_comparison(partial / FILES[2], table, first=comparison.main, caption=caption, same=SAME)
        seal(partial)
    return [folder / name for name in FILES[: 3 if course else 1]]


def read_arm(text: str) -> tuple[Path, dict[str, str]]:
    """A folder and the keys that choose among its rows, of ``DIR`` or ``DIR@KEY=VALUE,KEY=VALUE``.

    Raises
    ------
    InputError
        If it is not written so.
    """
    place, at, choice = text.partition("@")
    if not at or Path(text).exists():
        return Path(text), {}
    pairs = [pair.partition("=") for pair in choice.split(",")]
    if not all(key.strip() and equals for key, equals, _ in pairs):
        raise InputError(f"{text}: write DIR@KEY=VALUE for an arm of a sweep")
    arm = {key.strip(): value.strip() for key, _, value in pairs}
    if len(arm) < len(pairs):
        raise InputError(f"{text}: a key is given twice")
    return Path(place), arm


def _side(name: str, folder: Path, arm: Mapping[str, str]) -> Side:
    if (folder / "run.json").is_file() or "run.json" in listed(folder):
        if arm:
            raise InputError(f"{name}: {folder} is a single run and has no arms")
        return _run(name, folder)
    if (folder / PLAN).is_file():
        return _sweep(name, folder, arm)
    check_finished(folder)
    raise InputError(f"{folder} contains neither a run nor a sweep")


def _run(name: str, folder: Path) -> Side:
    import tomli_w

    damage = [fault for fault in faults(folder) if fault.state != "foreign"]
    if damage:
        raise InputError(f"{folder} cannot be read as a run: {fault_list(damage)}")
    try:
        run = Run(folder)
        about, summary, metrics = run.about, run.summary, run.metrics
        last = metrics.slice(metrics.num_rows - 1).to_pylist()[0]
        found = gather(last, summary["communication"])
        readouts = {key: None if value is None else float(value) for key, value in found.items()}
        rows: dict[RowKey, Readouts] = {((), int(about["seed"])): readouts}
        text, named = tomli_w.dumps(about["scenario"]).encode(), str(about["scenario_name"])
        hours, version = float(summary["hours"]), str(about["versions"]["exoabm"])
    except (OSError, InputError) as error:
        raise InputError(f"{folder} cannot be read as a run: {error}") from None
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise InputError(f"{folder} cannot be read as a run: {why}") from None
    scenario = parse(text, name=named, folder=folder)
    return Side(name, scenario, {}, rows, hours, version, metrics)


def _sweep(name: str, folder: Path, arm: Mapping[str, str]) -> Side:
    """The rows of an arm, each under its values of the keys that the arm leaves open."""
    plan = Plan.read(folder)
    varied = {v.key: v for v in varied_keys(plan)}
    overrides = {row.name: dict(row.overrides) for row in plan.rows}

    def is_meant(given: Mapping[str, str], key: str) -> bool:
        return key in given and varied[key].same(given[key], arm[key])

    texts: dict[tuple[str, str], str] = {}

    def in_one_unit(given: Mapping[str, str]) -> dict[str, str]:
        found = {key: varied[key].written(text) for key, text in given.items()}
        for key, value in found.items():
            texts.setdefault((key, value), given[key])
        return found

    rows: dict[RowKey, Readouts] = {}
    there = 0
    for record in records(folder, plan):
        given, there = overrides[record["row"]], there + 1
        if record["state"] == "done" and all(is_meant(given, key) for key in arm):
            rest = in_one_unit({key: text for key, text in given.items() if key not in arm})
            rows[tuple(sorted(rest.items())), record["seed"]] = record["readouts"]
    waiting = len(plan.rows) - there
    if not rows and waiting:
        raise InputError(
            f"{name}: no row of it is done, and {waiting:,} of {len(plan.rows):,} rows of the sweep are "
            f"unfinished: `{command_line('resume', folder)}` resumes it"
        )
    if not rows:
        known = dict.fromkeys(f"{k}={v}" for row in plan.rows for k, v in row.overrides if k in arm)
        hint = f" (there are: {', '.join(list(known)[:10])})" if known else ""
        raise InputError(f"{name}: no row of this arm{hint}")
    chosen = in_one_unit(arm)
    return Side(name, plan.loaded(), chosen, rows, plan.duration_h, plan.version, None, waiting, texts)


def _changed(a: Side, b: Side, common: list[RowKey]) -> dict[str, tuple[str, str]]:
    """Keys that differ between the compared rows, with both values: the pairs, or all if there are none."""
    found = differences(a.scenario, b.scenario)
    if math.isclose(a.hours, b.hours):
        found.pop("clock.duration", None)  # which another number of hours replaced
    keys = {key: None for side in (a, b) for rest, _ in side.rows for key in {**side.arm, **dict(rest)}}
    of_a, of_b = (_values(_own(side, keys), common or side.rows) for side in (a, b))
    for key in keys:
        found.pop(key, None)
        if set(of_a[key]) != set(of_b[key]):
            found[key] = _listed(a, key, of_a[key]), _listed(b, key, of_b[key])
    return found


def _own(side: Side, keys: Iterable[str]) -> dict[str, str]:
    """The value of each key where a row does not set it: of the arm, or of the scenario."""
    found = {key: text for key, value in entries(side.scenario.scenario) if (text := written(value))}
    return {key: side.arm.get(key, found.get(key, KEPT)) for key in keys}


def _values(own: dict[str, str], rows: Iterable[RowKey]) -> dict[str, list[str]]:
    """Different values in these rows of each key, ``own`` where a row does not set it."""
    points = [own | dict(rest) for rest, _ in rows]
    return {key: list(dict.fromkeys(each[key] for each in points)) for key in own}


def _listed(side: Side, key: str, values: list[str]) -> str:
    """Values of a key over which an arm is averaged, as they were given."""
    texts = [side.texts.get((key, value), value) for value in values]
    more = f" and {len(texts) - MOST_LISTED} more" if len(texts) > MOST_LISTED else ""
    return ", ".join(texts[:MOST_LISTED]) + more + (" (mean of all)" if len(texts) > 1 else "")


def _lines(a: Side, b: Side, common: list[RowKey]) -> list[Line]:
    names = dict.fromkeys(n for side in (a, b) for row in side.rows.values() for n in row)
    main = a.scenario.scenario.main_readout
    ordered = sorted(names, key=lambda name: main is None or name != main.metric)
    return [line for name in ordered if (line := _line(name, a, b, common)) is not None]


def _line(name: str, a: Side, b: Side, common: list[RowKey]) -> Line | None:
    def values(side: Side, keys: Any) -> np.ndarray:
        found = (side.rows[key].get(name) for key in keys)
        return np.array([math.nan if value is None else value for value in found])

    def by_seed(found: np.ndarray, keys: Any) -> np.ndarray:
        """Means of each seed over its rows in which the readout is defined."""
        there = np.isfinite(found)
        seeds = np.array([seed for _, seed in keys])[there]
        _, place, count = np.unique(seeds, return_inverse=True, return_counts=True)
        return np.bincount(place, found[there], len(count)) / count

    if common:
        # The mean of differences, and not the difference of means: exactly 0 where all of them are.
        change = values(b, common) - values(a, common)
        gone = np.where(np.isfinite(change), 0.0, math.nan)
        left, right = (by_seed(values(side, common) + gone, common) for side in (a, b))
        paired = by_seed(change, common)
        spread, free = _paired(paired)
        lost = int(np.isnan(change).sum())
    else:
        left, right = (by_seed(values(side, side.rows), side.rows) for side in (a, b))
        paired = None
        spread, free = _welch(left, right)
        lost = sum(int(np.isnan(values(side, side.rows)).sum()) for side in (a, b))
    if not len(left) or not len(right):
        return None
    half = None if math.isnan(spread) else _quantile(free) * math.sqrt(spread)
    means = float(left.mean()), float(right.mean())
    difference = means[1] - means[0] if paired is None else float(paired.mean())
    return Line(name, *means, difference, half, lost)


def _paired(change: np.ndarray) -> tuple[float, float]:
    """Variance of the mean of the seeds' differences, and its degrees of freedom."""
    if len(change) < 2:
        return math.nan, math.nan
    return float(change.var(ddof=1)) / len(change), len(change) - 1.0


def _welch(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Variance of the difference of two means, and its degrees of freedom."""
    if min(len(a), len(b)) < 2:
        return math.nan, math.nan
    parts = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    total = sum(parts)
    if total == 0:
        return 0.0, 1.0
    return total, total**2 / (parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1))


def _quantile(free: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(free, 0.975))


def _warnings(a: Side, b: Side, common: list[RowKey], lines: list[Line]) -> list[str]:
    found = []
    if not common:
        what = "no row has a partner of equal seed and values" if a.seeds & b.seeds else "no common seeds"
        found.append(f"{what}: the differences include chance")
    elif min(len(a.rows), len(b.rows)) > len(common) or len(a.rows) != len(b.rows):
        found.append(f"{counted(len(common), 'pair')}; rows without a partner are left out")
    found += [
        f"{side.name}: {counted(side.missing, 'row')} of the sweep missing or damaged, and left out"
        for side in (a, b)
        if side.missing
    ]
    if partial := [line for line in lines if line.lost]:
        whole = f"{len(common):,} pairs" if common else f"{len(a.rows) + len(b.rows):,} rows"
        partly = ", ".join(f"{line.readout} ({line.lost:,})" for line in partial[:MOST_LISTED])
        more = f" and {len(partial) - MOST_LISTED} more" if len(partial) > MOST_LISTED else ""
        found.append(f"of {whole}, those with an undefined readout are omitted: {partly}{more}")
    if not math.isclose(a.hours, b.hours):
        found.append(f"A ran for {a.hours:g} h and B for {b.hours:g} h")
    if a.version != b.version:
        found.append(f"A was made by exoabm {a.version} and B by {b.version}")
    return found


def _caption(comparison: Comparison) -> str:
    changes = [f"{key}: {old} → {new}" for key, (old, new) in comparison.changed.items()]
    more = [f"and {len(changes) - 3} more"] if len(changes) > 3 else []
    return "\n".join([f"A: {comparison.a.name}   B: {comparison.b.name}", *changes[:3], *more])
