"""Runs that begin at a kept checkpoint of another run, with the bits of a run from 0 h.

Until then scenario, table of cells, seed and changes between steps must be those of that run; a silencing or
a gift that begins later is all that may differ.
"""

from __future__ import annotations

import os
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from exoabm.manifest import demand, listed
from exoabm.model import ExosomeModel
from exoabm.output import checkpoint
from exoabm.output.recorder import part
from exoabm.output.run_folder import KEPT, RunFolder
from exoabm.runs.input_tables import copy, keep_tables, table_sha256_of
from exoabm.runs.provenance import Operation, recipe
from exoabm.runs.run_execution import close_writers, complete, observers_of
from exoabm.scenario.changes_during_run import StepChange, changed_between_steps, check_step_changes
from exoabm.scenario.step_accuracy import late_changes
from exoabm.software import drift, made_with

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from exoabm.runs.run_execution import RunResult
    from exoabm.scenario.loader import LoadedScenario

HOW = "`exoabm run ... --checkpoint-every '6 h' --keep-checkpoints` keeps checkpoints to begin from"
FIELDS = "fields.zarr"


class Start(NamedTuple):
    """Where runs begin: model time in s, the run whose checkpoint it is (none at 0), and a sentence."""

    time: float
    run: Path | None
    note: str


def kept_times(run: Path) -> dict[float, str]:
    """Kept checkpoints of a run folder: model time in s, and name in the folder."""
    names = [name for name in listed(run) if name.startswith(f"{KEPT}/") and name.endswith("s.npz")]
    return {float(name.rpartition("/")[2].removesuffix("s.npz")): name for name in names}


def start_of(
    run: Path | None,
    loaded: LoadedScenario,
    *,
    seed: int | None,
    at: float,
    end: float,
    changes_at: Sequence[tuple[float, str, str]] = (),
) -> Start:
    """The last kept checkpoint from which a run until ``end`` that differs from ``at`` on may begin, in s.

    Parameters
    ----------
    run : Path or None
        The run folder that is repeated, if one is.
    loaded : LoadedScenario
        Without what differs.

    Raises
    ------
    InputError
        If the checkpoint is damaged.
    """

    def from_0(why: str) -> Start:
        return Start(0.0, None, f"the runs begin at 0 h: {why}")

    if run is None:
        return from_0(f"a scenario has no checkpoints; {HOW}")
    times = kept_times(run)
    if not times:
        return from_0(f"{run} holds no checkpoints; {HOW}")
    able = [time for time in times if time <= at * (1 + checkpoint.ROUNDING) and time < end]
    if not able:
        return from_0(f"the first checkpoint of {run} is of {min(times) / 3600:g} h")
    demand(run, [times[max(able)]])
    plan = checkpoint.read(run, times[max(able)])[0]
    if loaded.sha256() != plan["scenario_sha256"] or seed != plan["seed"]:
        return from_0(f"values or seed are not those of {run}, so that its checkpoints do not apply")
    if _plain(changes_at) != _plain(plan["changes_at"]):
        return from_0(f"changes between steps are not those of {run}, so that its checkpoints do not apply")
    if table_sha256_of(loaded) != plan["table_sha256"]:
        return from_0(f"the table of cells is not that of {run}, so that its checkpoints do not apply")
    other = drift(plan["made_with"], made_with(), "the checkpoints were made")
    if other is not None:
        return from_0(other)
    return Start(max(able), run, f"the runs begin at {max(able) / 3600:g} h, from a checkpoint of {run}")


def _plain(changes_at: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(row) for row in sorted(changes_at, key=itemgetter(0))]


def run_from(
    start: Start,
    loaded: LoadedScenario,
    out: Path,
    *,
    hours: float | None = None,
    overwrite: bool = False,
    threads: int | None = 1,
    progress: Callable[[float], Any] | None = None,
    changes_at: Sequence[tuple[float, str, str]] = (),
) -> RunResult:
    """Run a scenario from a checkpoint of another run; the run folder is that of a run from 0 h.

    Raises
    ------
    InputError
        If the checkpoint, or a table or field that it needs, is damaged.
    NumericalError, RunFailed
        As ``run_to_folder``.
    """
    assert start.run is not None
    operation = Operation("branch", from_h=start.time / 3600, **{"with": made_with()})
    folder = RunFolder(out, overwrite=overwrite)
    demand(start.run, [KEPT, FIELDS])
    plan, content = checkpoint.read(start.run, kept_times(start.run)[start.time])
    end = float(loaded.scenario.clock.duration) if hours is None else hours * 3600.0
    check_step_changes(loaded, changes_at, end)
    now = loaded
    for row in plan["changes"]:
        now, _ = changed_between_steps(now, row["time_s"], row["key"], row["value"])
    model = ExosomeModel(now, seed=plan["seed"], threads=threads, snapshot=part(content, "state/"))
    model.changes.extend(StepChange(**row) for row in plan["changes"])
    late = late_changes(loaded.scenario, end, [time for time, *_ in changes_at])
    model.state.warnings.extend(text for text in late if text not in model.warnings)
    with folder, close_writers(model):
        tables = keep_tables(folder, loaded, table_sha256_of(loaded))
        plan |= recipe(loaded, plan["seed"], hours, tables)
        plan |= {"end_s": end, "every_s": None, "keep": False, "replaces": folder.replaces}
        plan["changes_at"] = _plain(changes_at)
        _bring(start.run, folder.work)
        observers = [model.history, *observers_of(folder, model, plan, operation)]
        model.recorder.restore(observers, part(content, "recorder/"))
        return complete(folder, model, loaded, plan, operation, progress)


def _bring(run: Path, work: Path) -> None:
    """The tables and fields of a run until its last checkpoint, as they lie while it is made."""
    for file in (run / KEPT).glob("*.part"):
        try:
            os.link(file, work / file.name)
        except OSError:  # another file system
            copy(file, work / file.name)
    copy(run / FIELDS, work / FIELDS)
