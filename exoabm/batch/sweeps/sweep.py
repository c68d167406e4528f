"""A sweep: a scenario over a design of points and replicates, run, summed up and drawn."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exoabm.batch.execution.batch_folder import PLOTS
from exoabm.batch.execution.rows import Plan, digest, replicate_seeds, row_of
from exoabm.batch.execution.runner import disk_trouble
from exoabm.batch.sweeps.designs import points, read_axis
from exoabm.batch.sweeps.summary import RESULTS, SUMMARY, write_results
from exoabm.batch.verify import seal_batch
from exoabm.errors import InputError, ResourceError
from exoabm.output.run_folder import write_whole
from exoabm.plot.scales import counted
from exoabm.scenario.resource_estimate import gib

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from exoabm.batch.execution.rows import Keep
    from exoabm.batch.execution.runner import Outcome
    from exoabm.batch.sweeps.designs import Axis
    from exoabm.batch.sweeps.summary import Summary
    from exoabm.scenario.loader import LoadedScenario

LARGEST_REPLICATES = 100_000
LONG = 600.0
"""A sweep of more seconds than this is announced before it begins."""


@dataclass(frozen=True)
class Report:
    """Report of a finished sweep: summary and warnings."""

    summary: Summary
    warnings: list[str]
    plots: list[Path]


def plan_sweep(
    loaded: LoadedScenario,
    vary: Sequence[str],
    *,
    source: str | Path | None = None,
    design: str = "grid",
    replicates: int = 1,
    seed: int,
    independent: bool = False,
    hours: float | None = None,
    keep: Keep = "readouts",
) -> Plan:
    """Plan a sweep; all points use the same seeds, so that they differ by the varied keys only.

    Parameters
    ----------
    loaded : LoadedScenario
    vary : sequence of str
        As ``designs.read_axis`` reads them.
    source : str or Path, optional
        What the scenario was loaded from.
    design : str
        grid, lhs or sobol.
    replicates : int
        Runs per point, each with its own seed.
    seed : int
        From which the design and the seeds of all rows follow.
    independent : bool
        Give every point seeds of its own.
    hours : float, optional
        Model time of each run; the scenario's duration if not given.
    keep : str
        ``"runs"`` keeps whole run folders.

    Raises
    ------
    InputError
        If a value of a list, or an end of a range, is not allowed.
    """
    axes = [read_axis(text) for text in vary]
    if hours is not None and any(axis.key == "clock.duration" for axis in axes):
        raise InputError("--hours sets how long every run lasts; --vary clock.duration would change nothing")
    _corners(loaded, axes)
    if not 1 <= replicates <= LARGEST_REPLICATES:
        raise InputError(f"--replicates {replicates}: from 1 to {LARGEST_REPLICATES:,}")
    shared = replicate_seeds(seed, replicates)
    rows = [
        row_of(point, each)
        for point in points(axes, design, seed)
        for each in (
            replicate_seeds(seed, replicates, salt=digest(sorted(point.items()))) if independent else shared
        )
    ]
    return Plan.of(
        loaded,
        rows,
        source=source,
        hours=hours,
        keep=keep,
        seconds_per_row=_work(loaded, hours),
        pairs=True,
        about={
            "kind": "sweep",
            "vary": list(vary),
            "design": design,
            "replicates": replicates,
            "seed": seed,
            "seeds": "independent" if independent else "common",
        },
    )


def report(outcome: Outcome) -> Report:
    """Write the tables, ``summary.json`` and the plots of a sweep whose rows are all there.

    Raises
    ------
    RunFailed
        If the disk fills; the rows are kept.
    """
    with disk_trouble(outcome.folder):
        return _report(outcome)


def _report(outcome: Outcome) -> Report:
    from exoabm.batch.sweeps.summary import draw_sweep

    folder, plan = outcome.folder, outcome.plan
    summary = write_results(folder, plan)
    warnings = summary.warnings()
    replicates = int(summary.n.max(initial=0))
    title = f"{plan.name}: {counted(len(summary.points), 'point')}, {counted(replicates, 'replicate')} each"
    title += "; mean and 95 % interval, cut at 0" * (replicates > 1)
    plots = draw_sweep(summary, folder / PLOTS, title)
    content = {
        "scenario": plan.name,
        "plan_sha256": plan.sha256,
        **plan.about,
        "rows": outcome.rows,
        "failed": outcome.failed,
        "points": len(summary.points),
        "hours": plan.hours,
        "readout": summary.main or None,
        "files": [RESULTS, SUMMARY, *(f"{PLOTS}/{path.name}" for path in plots)],
        "warnings": warnings,
    }
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(folder / "summary.json", text.encode() + b"\n")
    seal_batch(folder)
    return Report(summary, warnings, plots)


def foretell(loaded: LoadedScenario, plan: Plan, vary: Sequence[str], jobs: int) -> str | None:
    """Refuse a sweep that exceeds the memory; return the estimated time of a long one, else None.

    Looked at are the scenario itself and each value of a list or end of a range by itself.

    Raises
    ------
    InputError
        If one of them contradicts itself.
    ResourceError
        If one of them, or ``jobs`` of the largest at a time, would need more memory than there is.
    """
    from exoabm.scenario.builder import blueprint

    jobs = min(jobs, plan.chunks)
    around = [loaded, *_corners(loaded, [read_axis(text) for text in vary])]
    sizes = [blueprint(each, seed=0).estimate for each in around]
    largest = max(sizes, key=lambda size: size.memory_bytes)
    if jobs * largest.memory_bytes > largest.allowed_bytes:
        fitting = int(largest.allowed_bytes / largest.memory_bytes)
        raise ResourceError(
            f"{jobs} runs at a time would need about {gib(jobs * largest.memory_bytes)} of memory, "
            f"{gib(largest.allowed_bytes)} may be used; --jobs {max(fitting, 1)} would do"
        )
    rows = len(plan.rows) / jobs
    if rows * _work(loaded, plan.hours) < LONG / 10:
        return None
    from exoabm.runs.measured_runtime import (
        probe,
        spoken,
    )  # with the whole model, which the parent of workers can spare

    seconds = rows * probe(loaded, hours=plan.hours).row_seconds
    if seconds < LONG:
        return None
    return (
        f"about {spoken(seconds)} for {counted(len(plan.rows), 'row')}, {jobs} at a time, "
        "if all take as long as the scenario itself"
    )


def _corners(loaded: LoadedScenario, axes: list[Axis]) -> list[LoadedScenario]:
    """The scenario with each value of a list, and each end of a range, by itself."""
    return [
        loaded.changed({axis.key: value})
        for axis in axes
        for value in axis.values or (axis.levels[0], axis.levels[-1])
    ]


def _work(loaded: LoadedScenario, hours: float | None) -> float:
    """About how long a row takes, in s; from the scenario alone, so that equal sweeps have equal files."""
    from exoabm.scenario.builder import blueprint

    size = blueprint(loaded, seed=0).estimate
    share = hours * 3600 / float(loaded.scenario.clock.duration) if hours else 1.0
    return size.steps * share * size.step_seconds
