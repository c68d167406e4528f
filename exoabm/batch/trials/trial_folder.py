"""The folder of a trial: ``report.html``, ``trial.json``, tables, and run folders, all or nothing."""

from __future__ import annotations

import csv
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import exoabm
from exoabm.batch.provenance import git_state, machine, versions
from exoabm.batch.run import run_to_folder
from exoabm.batch.trials.report import render
from exoabm.batch.trials.trial import arm_scenario
from exoabm.observe.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from exoabm.batch.trials.trial import Comparison, Trial

DISCLAIMER = "Not for clinical use."


def write_trial(trial: Trial, path: Path, *, overwrite: bool = False, keep_runs: bool = False) -> None:
    """Write the folder of a trial.

    ``runs/ARM-SEED`` holds the run folder of the first replicate of each arm, or, with ``keep_runs``, of
    every replicate: the same bits as those that were judged.

    Raises
    ------
    InputError, RunFailed
        As ``RunFolder``.
    """
    with RunFolder(path, overwrite=overwrite) as folder:
        work = folder.work
        folder.write_json("trial.json", summary(trial))
        _write_csv(work / "values.csv", ("arm", "seed", "readout", "value"), _values(trial))
        _write_csv(work / "effects.csv", tuple(_EFFECT), _effects(trial))
        _write_csv(work / "sweeps.csv", ("assumption", "value", *_EFFECT), _sweeps(trial))
        (work / "report.html").write_text(render(trial), encoding="utf-8")
        for arm in trial.scenario.scenario.arm:
            scenario = arm_scenario(trial.scenario, arm)
            for seed in trial.seeds if keep_runs else trial.seeds[:1]:
                run_to_folder(scenario, work / "runs" / f"{arm.name}-{seed}", seed=seed)


def summary(trial: Trial) -> dict[str, Any]:
    """The content of ``trial.json``."""
    return {
        "scenario": trial.scenario.name,
        "scenario_sha256": trial.scenario.sha256(),
        "title": trial.scenario.scenario.info.title,
        "question": trial.scenario.scenario.info.question,
        "claim": trial.table.claim,
        "verdict": trial.verdict.value,
        "verdict_at_own_values": trial.base.value,
        "criteria": [dict(zip(_EFFECT, row, strict=True)) for row in _effects(trial)],
        "flips": [
            {
                "assumption": flip.assumption,
                "between": list(flip.between),
                "verdicts": [v.value for v in flip.verdicts],
            }
            for each in trial.sweeps
            for flip in each.flips
        ],
        "secondary": [
            {"readout": row.readout, "arm": row.arm, "p_corrected": row.adjusted_p} | asdict(row.effect)
            for row in trial.secondary
        ],
        "replicates": len(trial.seeds),
        "seeds": [trial.seeds[0], trial.seeds[-1]],
        "overrides": dict(trial.scenario.overrides),
        "exoabm": exoabm.__version__,
        "versions": versions(),
        "git": git_state(),
        "platform": machine(),
        "disclaimer": DISCLAIMER,
    }


_EFFECT = ("readout", "arm", "versus", "direction", "by", "scale", "effect", "low", "high", "p", "verdict")


def _row(comparison: Comparison) -> tuple[Any, ...]:
    criterion, effect = comparison.criterion, comparison.effect
    found = (None,) * 4 if effect is None else (effect.estimate, effect.low, effect.high, effect.p_value)
    return (
        criterion.readout,
        criterion.arm,
        criterion.versus,
        criterion.direction,
        float(criterion.by),
        criterion.scale,
        *found,
        comparison.verdict.value,
    )


def _effects(trial: Trial) -> list[tuple[Any, ...]]:
    return [_row(comparison) for comparison in trial.comparisons]


def _sweeps(trial: Trial) -> list[tuple[Any, ...]]:
    return [
        (each.table.name, point.value, *_row(comparison))
        for each in trial.sweeps
        for point in each.points
        for comparison in point.comparisons
    ]


def _values(trial: Trial) -> Iterable[tuple[Any, ...]]:
    for arm, readouts in trial.values.items():
        for readout, values in readouts.items():
            for seed, value in zip(trial.seeds, values.tolist(), strict=True):
                yield arm, seed, readout, value


def _write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)
