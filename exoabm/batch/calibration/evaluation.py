"""Readouts of a scenario at points of the ranges of its factors."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from exoabm.batch.execution import row_execution as files
from exoabm.batch.execution.plan import Plan, replicate_seeds, row_of, seconds_of_row
from exoabm.batch.execution.row_journal import seal_batch
from exoabm.batch.execution.run_readouts import possible
from exoabm.batch.execution.runner import run_or_resume
from exoabm.errors import InputError, RunFailed
from exoabm.manifest import MANIFEST, check_outside, faults, listed, unseal, unsealed
from exoabm.model import ExosomeModel
from exoabm.output.durable_files import disk_message
from exoabm.tables.readouts import resolve

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from exoabm.batch.calibration.factors import Factor
    from exoabm.batch.execution.plan import Row
    from exoabm.batch.execution.run_readouts import Readouts
    from exoabm.batch.execution.workers import Workers
    from exoabm.scenario.loader import LoadedScenario

    Stage = Callable[[str], AbstractContextManager[Callable[[int, int], object]]]

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
        seal_batch(folder)
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
def analysis_in(folder: Path, names: Collection[str]) -> Iterator[None]:
    """Begin or continue an analysis in a folder of its own, which is sealed again when it is finished.

    On an error before anything in it was changed, finished results stay finished.

    Raises
    ------
    InputError
        If the folder lies inside finished results, or holds anything but these names.
    """
    check_outside(folder)
    if not folder.is_dir():
        yield
        return
    there = {each.name for each in folder.iterdir() if not each.name.startswith(".")}
    strange = there - {*names, MANIFEST}
    if strange:
        raise InputError(
            f"{folder} holds {min(strange)!r}, which is not of this analysis; choose another --out"
        )
    try:
        with unsealed(folder):
            yield
    except BaseException:
        if faults(folder, listed(folder)):
            unseal(folder)
        raise


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
