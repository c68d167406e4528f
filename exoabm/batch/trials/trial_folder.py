"""The folder of a trial: its report, summary, and tables of comparisons, sweeps and values."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import exoabm
from exoabm.batch.execution.plan import Plan
from exoabm.batch.execution.row_execution import RUNS
from exoabm.batch.execution.row_journal import faults_of, sealing
from exoabm.batch.execution.runner import disk_trouble
from exoabm.batch.trials.design import row_name, set_by_hand
from exoabm.batch.trials.report import render
from exoabm.manifest import fault_list
from exoabm.output.durable_files import write_json, write_whole
from exoabm.output.run_folder import make_room
from exoabm.runs.run_execution import run_to_folder
from exoabm.software import code, machine, versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from exoabm.batch.trials.trial import Comparison, Trial


DISCLAIMER = "Not for clinical use."
_EFFECT = ("readout", "arm", "versus", "direction", "by", "scale", "effect", "low", "high", "p", "verdict")


def write_trial(trial: Trial, folder: Path, plan: Plan) -> list[str]:
    """Write the results of a trial to the folder of its runs, after repair of damaged runs.

    ``runs/ARM-SEED`` holds the run folder of the first replicate of each arm, or, where the plan says so, of
    every replicate: the same bits as those that were judged.

    Raises
    ------
    RunFailed
        If the disk fills; the runs are kept.
    """
    kept = trial.seeds if plan.about["keep_runs"] else trial.seeds[:1]
    names = {row_name(arm.name, seed) for arm in trial.scenario.scenario.arm for seed in kept}
    damage = []
    with disk_trouble(folder), sealing(folder):
        for row in plan.rows:
            out = folder / RUNS / row.name
            found = faults_of(folder, row.name) if row.name in names else []
            if found:
                damage += [fault_list(found)] if out.exists() else []
                make_room(out)
                run_to_folder(plan.scenario_of(row), out, seed=row.seed, overwrite=True)
        _write_csv(folder / "values.csv", ("arm", "seed", "readout", "value"), _values(trial))
        _write_csv(folder / "effects.csv", tuple(_EFFECT), _effects(trial))
        _write_csv(folder / "sweeps.csv", ("assumption", "value", *_EFFECT), _sweeps(trial))
        write_json(folder / "trial.json", summary(trial))
        write_whole(folder / "report.html", render(trial).encode())
    return damage


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
        "overrides": dict(set_by_hand(trial.scenario)),
        "exoabm": exoabm.__version__,
        "versions": versions(),
        "code": code(),
        "platform": machine(),
        "disclaimer": DISCLAIMER,
    }


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
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(head)
    writer.writerows(rows)
    write_whole(path, text.getvalue().encode())
