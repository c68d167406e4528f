"""A sweep: a scenario over a design of points and replicates, run, summed up and drawn."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exoabm.batch.designs import points, read_axis
from exoabm.batch.rows import Plan, digest, replicate_seeds, row_of
from exoabm.batch.summary import RESULTS, SUMMARY, write_results
from exoabm.errors import InputError
from exoabm.observe.preview.lettering import counted
from exoabm.observe.run_folder import write_whole
from exoabm.scenario.loader import load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from exoabm.batch.rows import Keep
    from exoabm.batch.runner import Outcome
    from exoabm.batch.summary import Summary
    from exoabm.scenario.loader import LoadedScenario

PLOTS = "plots"
LARGEST_REPLICATES = 100_000
UPDATES_PER_SECOND = 2e8
SECONDS_PER_STEP = 5e-4
"""A typical machine, to choose how many rows share a file; nothing else depends on it."""


@dataclass(frozen=True)
class Report:
    """What a finished sweep tells: its summary and what to be warned of."""

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
    """Plan a sweep; every point has the same seeds, so that points differ by what is varied alone.

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
    for axis in axes:
        for value in axis.values or axis.levels[:: axis.n - 1]:
            load(source or loaded.name, dict(loaded.overrides) | {axis.key: value})
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
    """Write the tables, ``summary.json`` and the plots of a sweep whose rows are all there."""
    from exoabm.batch.pictures import draw_sweep

    folder, plan = outcome.folder, outcome.plan
    summary = write_results(folder, plan)
    warnings = summary.warnings()
    replicates = int(summary.n.max(initial=0))
    title = f"{plan.name}: {counted(len(summary.points), 'point')}, {counted(replicates, 'replicate')} each"
    title += "; mean and 95 % interval" * (replicates > 1)
    plots = draw_sweep(summary, folder / PLOTS, title)
    content = {
        "scenario": plan.name,
        "plan_sha256": plan.sha256,
        **plan.about,
        "rows": outcome.rows,
        "failed": outcome.failed,
        "points": len(summary.points),
        "hours": plan.hours,
        "files": [RESULTS, SUMMARY, *(f"{PLOTS}/{path.name}" for path in plots)],
        "warnings": warnings,
    }
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(folder / "summary.json", text.encode() + b"\n")
    return Report(summary, warnings, plots)


def _work(loaded: LoadedScenario, hours: float | None) -> float:
    """About how long a row takes, in s; from the scenario alone, so that equal sweeps have equal files."""
    from exoabm.scenario.builder import blueprint

    size = blueprint(loaded, seed=0).estimate
    share = hours * 3600 / float(loaded.scenario.clock.duration) if hours else 1.0
    updates = size.voxels * size.labels * size.kinds * size.substeps
    return size.steps * share * (updates / UPDATES_PER_SECOND + SECONDS_PER_STEP)
