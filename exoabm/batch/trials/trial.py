"""Virtual trials: the arms of a scenario, run in pairs on common random numbers, judged, swept, and written.

The runs are a batch, so that an interrupted trial continues where it was. Its folder has them beside
``report.html``, ``trial.json`` and tables.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from exoabm.batch.execution import row_execution as files
from exoabm.batch.execution.plan import Plan
from exoabm.batch.execution.runner import is_batch, resume_rows, run_rows
from exoabm.batch.execution.workers import ThisProcess
from exoabm.batch.trials.design import design_of, point, row_name, trial_of
from exoabm.batch.trials.verdict import (
    Direction,
    Effect,
    Flip,
    Scale,
    Verdict,
    combine,
    each_of,
    final,
    flips,
    holm,
    judge,
    paired_effect,
)
from exoabm.errors import ANOTHER_PLACE, InputError, NumericalError, RunFailed
from exoabm.manifest import check_outside
from exoabm.scenario.schema_base import quantities

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from exoabm.batch.execution.runner import Outcome
    from exoabm.batch.execution.workers import Workers
    from exoabm.batch.trials.design import Design
    from exoabm.parameters.catalog import Quantity
    from exoabm.scenario.loader import LoadedScenario
    from exoabm.scenario.schema_therapy import (
        ArmTable,
        AssumptionTable,
        CriterionTable,
        ReadoutTable,
        TrialTable,
    )

Values = dict[str, dict[str, np.ndarray]]
"""By arm and readout, the value of every replicate, shape (replicates,)."""


@dataclass(frozen=True)
class Comparison:
    """A criterion with its effect over the replicates; None where it is undefined."""

    criterion: CriterionTable
    effect: Effect | None
    verdict: Verdict
    note: str = ""


@dataclass(frozen=True)
class Secondary:
    """Comparison of an arm with the first one in one readout, corrected for multiplicity.

    The p-value by Holm's rule, the interval by Bonferroni's, so that all intervals hold together.
    """

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
    """A swept assumption.

    The scenario's own value is among its points, compared in as many replicates as the others, so that the
    points make one curve; its verdict is that of all replicates.
    """

    table: AssumptionTable
    base: Quantity
    points: tuple[Point, ...]
    flips: tuple[Flip, ...]


@dataclass(frozen=True)
class Trial:
    """A finished trial.

    Attributes
    ----------
    scenario : LoadedScenario
        With what all arms have.
    values : dict
        By arm and readout, the value of every replicate, shape (replicates,).
    comparisons, secondary, sweeps : tuple
        The criteria, every arm beside the first one, and the assumptions.
    base, verdict : Verdict
        At the scenario's own values, and after the sweeps.
    source : str
        The name or path of the scenario as ``exoabm trial`` takes it.
    swept : bool
        Whether assumptions were to be swept.
    """

    scenario: LoadedScenario
    seeds: tuple[int, ...]
    values: Values
    comparisons: tuple[Comparison, ...]
    secondary: tuple[Secondary, ...]
    sweeps: tuple[Sweep, ...]
    base: Verdict
    verdict: Verdict
    source: str
    swept: bool

    @property
    def table(self) -> TrialTable:
        """The trial table of the scenario."""
        return trial_of(self.scenario)


def check_folder(plan: Plan, folder: Path, *, overwrite: bool = False) -> bool:
    """Whether a folder contains this trial, to be resumed.

    Raises
    ------
    InputError
        If another batch does, that may not be replaced, or it lies inside finished results.
    """
    check_outside(folder)
    if overwrite or not is_batch(folder):
        return False
    if Plan.read(folder).sha256 != plan.sha256:
        raise InputError(f"{folder} contains runs with other settings; {ANOTHER_PLACE}")
    return True


def run_trial(
    plan: Plan,
    folder: Path,
    *,
    workers: Workers = ThisProcess,
    overwrite: bool = False,
    progress: Callable[[int, int], object] | None = None,
    damaged: Callable[[Sequence[str]], object] | None = None,
) -> Trial:
    """Run all arms in all replicates, sweep the assumptions, and evaluate; a second call resumes.

    Parameters
    ----------
    plan : Plan
        As ``plan_trial`` makes it.
    folder : Path
        Where the runs' readouts are kept; ``write_trial`` puts the report beside them.
    workers, overwrite, progress
        As for ``run_rows``; the result does not depend on them.
    damaged : callable, optional
        Receives a message on existing runs that are computed again.

    Raises
    ------
    InputError
        If the folder holds something else.
    RunFailed
        If a run fails: an effect needs all of its pairs.
    """
    if check_folder(plan, folder, overwrite=overwrite):
        outcome = resume_rows(folder, workers=workers, progress=progress)
        if damaged is not None:
            damaged(outcome.damage)
    else:
        outcome = run_rows(plan, folder, workers=workers, overwrite=overwrite, progress=progress)
    return judged(outcome)


def judged(outcome: Outcome) -> Trial:
    """The trial whose runs are all there.

    Raises
    ------
    RunFailed
        If some of them failed.
    """
    if outcome.failed:
        lines = [f"  {row}: {reason}" for row, reason in outcome.reasons.items()]
        raise RunFailed("\n".join([f"{outcome.failed:,} of {outcome.rows:,} runs failed:", *lines]))
    design = design_of(outcome.plan)
    found = {record["row"]: record["readouts"] for record in files.records(outcome.folder, outcome.plan)}

    def collect(arms: Sequence[ArmTable], seeds: Sequence[int], where: str = "") -> Values:
        return {
            arm.name: {
                readout.name: np.array(
                    [found[row_name(arm.name, seed, where)][readout.name] for seed in seeds], float
                )
                for readout in design.trial.readout
            }
            for arm in arms
        }

    measured = collect(design.arms, design.seeds)
    comparisons = _compare(design.trial, measured)
    base = combine(c.verdict for c in comparisons)
    among = _compare(design.trial, collect(design.judged, design.swept_seeds))
    sweeps = []
    for table, wanted in design.sweeps:
        points = []
        for number, (value, text) in enumerate(wanted):
            there = _compare(design.trial, collect(design.judged, design.swept_seeds, point(table, number)))
            points.append(Point(value, text, there, combine(c.verdict for c in there)))
        sweeps.append(_sweep(design, table, points, among, base))
    verdict = final(base, (each.verdict for sweep in sweeps for each in sweep.points))
    secondary = _secondary(design.trial.readout, measured)
    about = outcome.plan.about
    return Trial(
        design.scenario,
        design.seeds,
        measured,
        comparisons,
        secondary,
        tuple(sweeps),
        base,
        verdict,
        source=about.get("source", outcome.plan.name),
        swept=about["sweep"],
    )


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


def _secondary(readouts: Sequence[ReadoutTable], values: Values) -> tuple[Secondary, ...]:
    first, *others = values
    rows = [
        Secondary(r.name, arm, paired_effect(values[arm][r.name], values[first][r.name]), 1.0)
        for r in readouts
        for arm in others
        if np.isfinite([values[arm][r.name], values[first][r.name]]).all()
    ]
    adjusted = holm([row.effect.p_value for row in rows])
    return tuple(
        replace(row, effect=row.effect.at_level(each_of(len(rows))), adjusted_p=p)
        for row, p in zip(rows, adjusted, strict=True)
    )


def _sweep(
    design: Design,
    table: AssumptionTable,
    points: list[Point],
    comparisons: tuple[Comparison, ...],
    base: Verdict,
) -> Sweep:
    own = dict(quantities(design.scenario.scenario))[table.keys[0]]
    every = sorted([*points, Point(own.magnitude, str(own), comparisons, base)], key=lambda p: p.value)
    along = {each.value: each.verdict for each in every}
    return Sweep(table, own, tuple(every), tuple(flips(table.title or table.name, along)))
