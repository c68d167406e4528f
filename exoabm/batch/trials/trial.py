"""Virtual trials: the arms of a scenario, run in pairs on common random numbers, judged, and swept.

Replicate r of every arm has the seed base + r, so that two arms share every draw that the mechanism between
them does not touch. A swept assumption changes all arms of the criteria; what an arm itself sets it keeps.
"""

from __future__ import annotations

from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.batch.sweeps.workers import local
from exoabm.batch.trials.verdict import (
    Direction,
    Effect,
    Flip,
    Scale,
    Verdict,
    combine,
    final,
    flips,
    holm,
    judge,
    paired_effect,
)
from exoabm.errors import InputError, NumericalError, RunFailed, did_you_mean
from exoabm.parameters.parameter import Quantity
from exoabm.scenario.loader import LoadedScenario, parse, quantities

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Future

    from exoabm.scenario.trials import ArmTable, AssumptionTable, CriterionTable, ReadoutTable, TrialTable

Values = dict[str, dict[str, np.ndarray]]
"""By arm and readout, the value of every replicate, shape (replicates,)."""

BASE_SEED = 1
LARGEST_SEED = 2**62


@dataclass(frozen=True)
class Job:
    """One run of a trial: an arm's scenario, one replicate, and the readouts to be taken."""

    scenario: LoadedScenario
    seed: int
    readouts: tuple[ReadoutTable, ...]


@dataclass(frozen=True)
class Comparison:
    """A criterion and what the replicates say of it; ``effect`` is None where it is not defined."""

    criterion: CriterionTable
    effect: Effect | None
    verdict: Verdict
    note: str = ""


@dataclass(frozen=True)
class Secondary:
    """An arm beside the first one in one readout, corrected for all that were looked at (Holm)."""

    readout: str
    arm: str
    effect: Effect
    adjusted_p: float


@dataclass(frozen=True)
class Point:
    """One value of a swept assumption: its number, the value as text, and the verdict there."""

    value: float
    text: str
    comparisons: tuple[Comparison, ...]
    verdict: Verdict


@dataclass(frozen=True)
class Sweep:
    """A swept assumption; the scenario's own value is among its points."""

    table: AssumptionTable
    base: Quantity | None
    points: tuple[Point, ...]
    flips: tuple[Flip, ...]


@dataclass(frozen=True)
class Trial:
    """A finished trial.

    Attributes
    ----------
    values : dict
        By arm and readout, the value of every replicate, shape (replicates,).
    comparisons, secondary, sweeps : tuple
        The criteria, every arm beside the first one, and the assumptions.
    base, verdict : Verdict
        At the scenario's own values, and after the sweeps.
    """

    scenario: LoadedScenario
    seeds: tuple[int, ...]
    values: Values
    comparisons: tuple[Comparison, ...]
    secondary: tuple[Secondary, ...]
    sweeps: tuple[Sweep, ...]
    base: Verdict
    verdict: Verdict

    @property
    def table(self) -> TrialTable:
        """What the scenario says of the trial."""
        return trial_of(self.scenario)


def trial_of(loaded: LoadedScenario) -> TrialTable:
    """The trial of a scenario.

    Raises
    ------
    InputError
        If it has none.
    """
    if loaded.scenario.trial is None or not loaded.scenario.arm:
        raise InputError(f"{loaded.name}: no trial here; a trial needs [trial] and at least two [[arm]]")
    return loaded.scenario.trial


def run_trial(
    loaded: LoadedScenario,
    *,
    replicates: int | None = None,
    sweep: bool = True,
    jobs: int = 1,
    base_seed: int = BASE_SEED,
    progress: Callable[[float], Any] | None = None,
) -> Trial:
    """Run every arm in every replicate, sweep the assumptions, and judge.

    Parameters
    ----------
    loaded : LoadedScenario
        With ``[trial]`` and ``[[arm]]``.
    replicates : int, optional
        Paired replicates; the trial's own number if not given.
    sweep : bool
        Whether assumptions are swept; without it no verdict is called assumption-dependent.
    jobs : int
        Processes; the result does not depend on it.
    base_seed : int
        Seed of the first replicate.
    progress : callable, optional
        Called with the share done.

    Raises
    ------
    InputError
        If an arm, a swept value or a readout does not exist or is out of range; before anything runs
        where that can be known.
    """
    trial = trial_of(loaded)
    n = trial.replicates if replicates is None else replicates
    if n < 2:
        raise InputError(f"replicates = {n}: a trial needs at least 2")
    if not 0 <= base_seed <= LARGEST_SEED:
        raise InputError(f"seed = {base_seed}: expected an integer from 0 to 2^62")
    seeds = tuple(range(base_seed, base_seed + n))
    swept_seeds = seeds[: min(n, trial.sweep_replicates)]
    judged = {name for c in trial.criterion for name in (c.arm, c.versus)}
    arms = {arm.name: arm_scenario(loaded, arm) for arm in loaded.scenario.arm}
    readouts = tuple(trial.readout)
    needed = tuple(r for r in readouts if r.name in {c.readout for c in trial.criterion})
    work = [Job(arms[name], seed, readouts) for name in arms for seed in seeds]
    plans = [(a, _values(loaded, a)) for a in trial.assumption] if sweep else []
    for table, values in plans:
        for _, text in values:
            for arm in loaded.scenario.arm:
                if arm.name in judged:
                    changed = arm_scenario(loaded, arm, dict.fromkeys(table.keys, text))
                    work += [Job(changed, seed, needed) for seed in swept_seeds]
    found = iter(measure_all(work, jobs, progress))

    def collect(names: Iterable[str], each: int) -> Values:
        rows = {name: [next(found) for _ in range(each)] for name in names}
        return {arm: {key: np.array([r[key] for r in row]) for key in row[0]} for arm, row in rows.items()}

    measured = collect(arms, n)
    comparisons = _compare(trial, measured)
    base = combine(c.verdict for c in comparisons)
    swept = []
    order = [name for name in arms if name in judged]
    for table, wanted in plans:
        points = []
        for number, text in wanted:
            there = _compare(trial, collect(order, len(swept_seeds)))
            points.append(Point(number, text, there, combine(c.verdict for c in there)))
        swept.append(_sweep(loaded, table, points, comparisons, base))
    verdict = final(base, (point.verdict for each in swept for point in each.points))
    return Trial(
        loaded, seeds, measured, comparisons, _secondary(readouts, measured), tuple(swept), base, verdict
    )


def arm_scenario(
    loaded: LoadedScenario, arm: ArmTable, swept: Mapping[str, str] | None = None
) -> LoadedScenario:
    """The scenario of an arm: what the file says, what all arms have, what is swept, what the arm sets.

    What was overridden by hand stands above what all arms have, and below what the arm is.
    """
    own = {key: _text(value) for key, value in arm.set.items()}
    return _changed(loaded, {**(swept or {}), **own})


def _changed(loaded: LoadedScenario, changes: Mapping[str, str]) -> LoadedScenario:
    shared = {key: _text(value) for key, value in trial_of(loaded).set.items()}
    overrides = {**shared, **dict(loaded.overrides), **changes}
    return parse(
        loaded.text, name=loaded.name, folder=loaded.folder, overrides=overrides, trusted=loaded.trusted
    )


def _text(value: Any) -> str:
    """A value as an override has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(f'"{v}"' if isinstance(v, str) else str(v) for v in value) + "]"
    return str(value)


def measure_all(
    work: Sequence[Job], jobs: int = 1, progress: Callable[[float], Any] | None = None
) -> list[dict[str, float]]:
    """The readouts of every job, in their order, whatever the number of processes.

    Raises
    ------
    RunFailed
        If a worker dies.
    """
    done, futures = count(1), []

    def tick(_: Future[dict[str, float]]) -> None:
        if progress is not None:
            progress(next(done) / len(work))

    try:
        with local(jobs)() as executor:
            for job in work:
                future = executor.submit(measure, job)
                future.add_done_callback(tick)
                futures.append(future)
                if future.done():
                    future.result()  # the first fault ends the trial
            return [future.result() for future in futures]
    except BrokenExecutor:
        raise RunFailed("a worker died (out of memory?); fewer --jobs need less") from None


def measure(job: Job) -> dict[str, float]:
    """Run one replicate of one arm, and take its readouts."""
    from exoabm.model import ExosomeModel

    model = ExosomeModel(job.scenario, seed=job.seed)
    model.run()
    return {readout.name: take(readout, model.history.rows) for readout in job.readouts}


def take(readout: ReadoutTable, rows: Sequence[Mapping[str, float]]) -> float:
    """Reduce a column of the metrics to one number.

    Raises
    ------
    InputError
        If there is no such column.
    """
    if readout.metric not in rows[-1]:
        raise InputError(
            f"trial.readout.{readout.name}.metric = {readout.metric!r}: no such column in the metrics"
            f"{did_you_mean(readout.metric, rows[-1])}"
        )
    until = np.inf if readout.at is None else float(readout.at) / 3600 * (1 + 1e-9)
    taken = [row for row in rows if row["time_h"] <= until]
    column = np.array([row[readout.metric] for row in taken])
    if readout.reduce == "last":
        return float(column[-1])
    if readout.reduce == "max":
        return float(column.max())
    if readout.reduce == "mean":
        return float(column.mean())
    if readout.reduce == "time_of_max":
        return float(taken[int(column.argmax())]["time_h"])
    reached = np.flatnonzero(column >= readout.level)
    return float(taken[reached[0] if len(reached) else -1]["time_h"])


def _compare(trial: TrialTable, values: Values) -> tuple[Comparison, ...]:
    found = []
    for criterion in trial.criterion:
        arm, versus = (values[name][criterion.readout] for name in (criterion.arm, criterion.versus))
        try:
            effect = paired_effect(arm, versus, Scale(criterion.scale))
        except NumericalError as error:
            found.append(Comparison(criterion, None, Verdict.OPEN, str(error)))
            continue
        verdict = judge(effect, Direction(criterion.direction), float(criterion.by))
        found.append(Comparison(criterion, effect, verdict))
    return tuple(found)


def _secondary(readouts: tuple[ReadoutTable, ...], values: Values) -> tuple[Secondary, ...]:
    first, *others = values
    rows = [
        Secondary(r.name, arm, paired_effect(values[arm][r.name], values[first][r.name]), 1.0)
        for r in readouts
        for arm in others
    ]
    adjusted, levels = holm([row.effect.p_value for row in rows])
    return tuple(
        replace(row, effect=row.effect.at_level(level), adjusted_p=p)
        for row, p, level in zip(rows, adjusted, levels, strict=True)
    )


def _values(loaded: LoadedScenario, table: AssumptionTable) -> list[tuple[float, str]]:
    """The values of an assumption to sweep: as given, or evenly in the logarithm over the published range."""
    where = f"trial.assumption.{table.name}.keys"
    known = dict(quantities(_changed(loaded, {}).scenario))
    for key in table.keys:
        if key not in known:
            raise InputError(
                f"{loaded.name}: {where}: no number has the key {key!r}{did_you_mean(key, known)}"
            )
    parameter = known[table.keys[0]].parameter
    if table.values:
        read = [Quantity(parameter, value) for value in table.values]
    elif parameter.published is None or parameter.published[0] <= 0:
        raise InputError(
            f"{loaded.name}: trial.assumption.{table.name}: {parameter.name} has no published range above 0; "
            "give values"
        )
    else:
        read = [Quantity(parameter, float(v)) for v in np.geomspace(*parameter.published, table.points)]
    base = known[table.keys[0]].magnitude
    return [(q.magnitude, _text(q.given)) for q in read if q.magnitude != base]


def _sweep(
    loaded: LoadedScenario,
    table: AssumptionTable,
    points: list[Point],
    comparisons: tuple[Comparison, ...],
    base: Verdict,
) -> Sweep:
    own = dict(quantities(_changed(loaded, {}).scenario))[table.keys[0]]
    every = sorted([*points, Point(own.magnitude, str(own), comparisons, base)], key=lambda p: p.value)
    along = {point.value: point.verdict for point in every}
    return Sweep(table, own, tuple(every), tuple(flips(table.title or table.name, along)))
