"""Varied numbers of a scenario with range and source, and readouts at points of these ranges."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from exoabm.batch.execution import row_execution as files
from exoabm.batch.execution.plan import Plan, replicate_seeds, row_of, seconds_of_row
from exoabm.batch.execution.run_readouts import possible
from exoabm.batch.execution.runner import run_or_resume
from exoabm.batch.sweeps.sweep_points import Axis, read_axis
from exoabm.errors import InputError, RunFailed, did_you_mean
from exoabm.model import ExosomeModel
from exoabm.output.durable_files import disk_message
from exoabm.scenario.schema_fields import quantities
from exoabm.scenario.validation import unused_keys
from exoabm.tables.readouts import resolve

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from exoabm.batch.execution.plan import Row
    from exoabm.batch.execution.run_readouts import Readouts
    from exoabm.batch.execution.workers import Workers
    from exoabm.parameters import Quantity
    from exoabm.scenario.loader import LoadedScenario
    from exoabm.scenario.schema import Scenario

    Stage = Callable[[str], AbstractContextManager[Callable[[int, int], object]]]

DECADE = 10.0
"""A published range at least this wide is searched by its logarithm."""


@dataclass(frozen=True)
class Factor:
    """A varied number: its range, and its value in the scenario with source."""

    axis: Axis
    value: str
    source: str

    @property
    def key(self) -> str:
        """The dotted key."""
        return self.axis.key

    @property
    def assumed(self) -> bool:
        """Whether the value is an assumption, by its source or for lack of one."""
        return not self.source or "assumed" in self.source

    @property
    def range(self) -> str:
        """The range as text."""
        return f"{self.axis.low:g} to {self.axis.text(self.axis.high)}"


def factors_of(loaded: LoadedScenario, vary: Sequence[str] = ()) -> tuple[Factor, ...]:
    """Factors to vary: each ``key=lo:hi[:log]``, or every parameter in use with a published range.

    Raises
    ------
    InputError
        If a key is no number of the scenario, an end of a range is not allowed, or nothing is left.
    """
    found = dict(quantities(loaded.scenario))
    axes = [read_axis(text, count=False) for text in vary] or _published(loaded.scenario)
    if not axes:
        raise InputError("no parameter of this scenario has a published range; select keys with --vary")
    keys = [axis.key for axis in axes]
    for axis in axes:
        if keys.count(axis.key) > 1:
            raise InputError(f"--vary {axis.key}: given twice")
        if axis.key not in found:
            raise InputError(
                f"--vary {axis.key}: not a parameter of this scenario{did_you_mean(axis.key, found)}"
            )
        if vary:
            for share in (0.0, 1.0):
                loaded.changed({axis.key: axis.at(share)})
    return tuple(Factor(axis, str(found[axis.key]), found[axis.key].source) for axis in axes)


def _published(scenario: Scenario) -> list[Axis]:
    unused = unused_keys(scenario)
    return [
        _published_axis(key, quantity)
        for key, quantity in quantities(scenario)
        if quantity.parameter.published is not None
        and quantity.magnitude not in (0.0, math.inf)  # a mechanism that is switched off stays off
        and key not in unused
    ]


def _published_axis(key: str, quantity: Quantity) -> Axis:
    parameter = quantity.parameter
    assert parameter.published is not None
    low, high = parameter.published
    unit = "" if parameter.unit == "1" else parameter.unit
    return Axis(key, low=low, high=high, unit=unit, log=low > 0 and high >= DECADE * low)


NOISE_RUNS = 8
"""Runs of the scenario as it is, with different seeds, that show how much chance alone changes."""
MOST_ROWS = 10
"""Rows that an error lists."""


@dataclass
class Evaluation:
    """Runs points as batches below a folder, and returns the readout at each."""

    loaded: LoadedScenario
    folder: Path
    source: str | Path | None
    readout: str
    seed: int
    replicates: int
    hours: float | None
    workers: Workers
    stage: Stage
    overwrite: bool
    count: int = 0

    def check(self) -> None:
        """See that the readout can be one of this scenario's before anything is run."""
        model = ExosomeModel(self.loaded, seed=0)
        model.step()
        known = list(possible(model))
        try:
            self.readout = resolve(self.readout, known, "readout of this scenario")
        except InputError as error:
            raise InputError(f"--readout {error}\nthere are: {', '.join(known)}") from None

    def noise(self) -> np.ndarray:
        """The readout of the scenario as it is, with different seeds."""
        rows = [row_of({}, seed) for seed in replicate_seeds(self.seed, NOISE_RUNS)]
        found = self._run("noise", rows)
        return np.array([found[row.name] for row in rows])

    def values(self, name: str, shares: np.ndarray, factors: Sequence[Factor]) -> np.ndarray:
        """The readout at points, each a row of shares of the factors' ranges; the mean of the replicates."""
        seeds = replicate_seeds(self.seed, self.replicates)
        points = [
            [
                row_of({f.key: f.axis.at(x) for f, x in zip(factors, point, strict=True)}, seed)
                for seed in seeds
            ]
            for point in shares.tolist()
        ]
        found = self._run(name, list({row.name: row for point in points for row in point}.values()))
        return np.array([np.mean([found[row.name] for row in point]) for point in points])

    def decades(self, values: np.ndarray) -> np.ndarray:
        """The readout's log10."""
        if values.min() <= 0:
            raise InputError(f"{self.readout} is 0 at some points and spans decades; --vary narrower ranges")
        return np.log10(values)

    def _run(self, name: str, rows: list[Row]) -> dict[str, float]:
        """The readout of each row, from a new, resumed or completed batch."""
        plan = Plan.of(
            self.loaded,
            rows,
            source=self.source,
            hours=self.hours,
            seconds_per_row=seconds_of_row(self.loaded, self.hours),
            about={"kind": "sensitivity", "stage": name, "seed": self.seed},
        )
        folder = self.folder / name
        with self.stage(name) as progress:
            outcome = run_or_resume(
                plan, folder, workers=self.workers, overwrite=self.overwrite, progress=progress
            )
        if outcome.failed:
            lines = [f"  {row}: {reason}" for row, reason in outcome.reasons.items()]
            raise RunFailed(
                "\n".join([f"{outcome.failed:,} of {outcome.rows:,} runs failed in {folder}:", *lines])
                + "\nindices require every run; reduce the ranges in which runs fail"
            )
        self.count += outcome.rows
        found = {record["row"]: self.number(record["readouts"]) for record in files.records(folder, plan)}
        missing = [row for row in rows if not math.isfinite(found[row.name])]
        if missing:
            raise InputError(
                f"--readout {self.readout}: not a finite number in {len(missing):,} of {len(rows):,} runs in "
                f"{folder}:\n{_listed(missing)}\n"
                "indices require it in every run: choose another, longer --hours, or --vary narrower ranges"
            )
        return found

    def number(self, readouts: Readouts) -> float:
        """The readout; NaN where it is undefined, such as the reach without any uptake."""
        value = readouts.get(self.readout)
        return math.nan if value is None else value


def _listed(rows: Sequence[Row]) -> str:
    """The first rows, one line each: name, seed and changed keys."""
    lines = [
        f"  {row.name}: "
        + ", ".join([f"seed {row.seed}", *(f"{key} = {text}" for key, text in row.overrides)])
        for row in rows[:MOST_ROWS]
    ]
    return "\n".join(lines + [f"  and {len(rows) - MOST_ROWS:,} more"] * (len(rows) > MOST_ROWS))


@contextlib.contextmanager
def reporting(folder: Path) -> Iterator[None]:
    """Warn that a report could not be written and that the runs are kept."""
    try:
        yield
    except OSError as error:
        text = f"{disk_message(error, folder)}; the runs are kept, and the same command resumes"
        raise RunFailed(text) from None


@contextlib.contextmanager
def silent(_: str) -> Iterator[Callable[[int, int], object]]:
    """Report no progress."""
    yield lambda done, total: None
