"""One run, from a scenario to a run folder."""

from __future__ import annotations

import contextlib
import shlex
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exoabm.analysis.communication import cargo_table, edge_table, pairs_of
from exoabm.analysis.communication import summary as communication_summary
from exoabm.analysis.communication_graph import edges_of, network
from exoabm.errors import InputError, NumericalError
from exoabm.model import ExosomeModel
from exoabm.output import checkpoint
from exoabm.output.cell_tables import CellWriter, lineage_table
from exoabm.output.concentration_fields import FieldWriter
from exoabm.output.expected_events import EventWriter
from exoabm.output.graphml import write_graphml
from exoabm.output.metrics import body, fates
from exoabm.output.metrics import measure as last_row
from exoabm.output.recorder import part
from exoabm.output.run_folder import BEFORE, CHECKPOINT, ResumableFolder, RunFolder
from exoabm.output.single_vesicle_events import VesicleEventWriter
from exoabm.plot.palette import Looks
from exoabm.plot.run_figure import draw_preview
from exoabm.plot.run_figure.time_course import Readout
from exoabm.process_memory import keep_little_memory, return_memory
from exoabm.runs.input_tables import keep_tables, table_sha256_of
from exoabm.runs.provenance import Operation, about_run, behaviors_of_process, recipe, scenario_of_recipe
from exoabm.scenario.changes_during_run import StepChange, check_step_changes, with_step_changes
from exoabm.scenario.resource_estimate import MAX_EDGES_IN_GRAPHML
from exoabm.scenario.state_builder import census
from exoabm.scenario.step_accuracy import late_changes
from exoabm.software import drift, made_with
from exoabm.tables.declarations import TABLES
from exoabm.tables.parquet import write_table
from exoabm.tables.schema import build, footer, metrics_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from exoabm.analysis.communication_graph import Edges
    from exoabm.output.recorder import Observer
    from exoabm.plot.run_figure.drawing_process import DrawingProcess
    from exoabm.scenario.loader import LoadedScenario
    from exoabm.scenario.state_builder import Blueprint


@dataclass(frozen=True)
class RunResult:
    """A finished run: its folder, its ``summary.json``, and the result of ``measure``."""

    folder: Path
    summary: dict[str, Any]
    warnings: tuple[str, ...]
    readouts: dict[str, Any]
    recognized: str = ""


def run_to_folder(
    loaded: LoadedScenario,
    out: Path,
    *,
    seed: int | None = None,
    hours: float | None = None,
    overwrite: bool = False,
    threads: int | None = 1,
    checkpoint_every: float | None = None,
    keep_checkpoints: bool = False,
    progress: Callable[[float], Any] | None = None,
    measure: Callable[[ExosomeModel], dict[str, Any]] | None = None,
    changes_at: Sequence[tuple[float, str, str]] = (),
    drawing: DrawingProcess | None = None,
    prepared: Blueprint | None = None,
) -> RunResult:
    """Run a scenario and write its run folder; ``measure`` reads the finished model.

    ``changes_at`` has changes between steps as (model time in s, key, value), see ``ExosomeModel.set``.
    ``drawing`` draws the preview in a process of its own. ``prepared`` is the blueprint of this scenario and
    seed, if it was made before.

    With ``checkpoint_every``, in s of model time, the work is kept in ``<out>.unfinished`` whatever stops it,
    and ``resume_run`` goes on from the last checkpoint. With ``keep_checkpoints`` the finished folder holds
    them, and other runs can begin there (``runs.run_from_checkpoint``).

    Raises
    ------
    InputError, ResourceError
        Before anything is written.
    NumericalError
        If the balance breaks; results recorded until then are kept in ``<out>.failed``, or with the last good
        checkpoint.
    RunFailed
        If the disk fills; nothing but the last checkpoint is left behind.
    """
    operation = Operation("run", from_h=0.0, **{"with": made_with()})
    kept = checkpoint_every is not None
    folder = (ResumableFolder if kept else RunFolder)(out, overwrite=overwrite)
    table_sha256 = table_sha256_of(loaded)
    model = ExosomeModel(loaded, seed=seed, threads=threads, prepared=prepared)
    if names := behaviors_of_process(model):
        model.state.warnings.append(
            f"behaviors registered in Python and not by a package: {', '.join(names)}; "
            "the run folder alone does not repeat the run"
        )
    end = float(model.scenario.clock.duration) if hours is None else hours * 3600.0
    plan: dict[str, Any] = {
        "end_s": end,
        "every_s": checkpoint_every,
        "keep": keep_checkpoints,
        "replaces": folder.replaces,
        "operations": [],
        "changes_at": sorted(changes_at, key=itemgetter(0)),
        "changes": [],
    }
    check_step_changes(loaded, plan["changes_at"], end)
    if keep_checkpoints and checkpoint_every is not None and checkpoint_every >= end:
        raise InputError(
            f"checkpoints every {checkpoint_every / 3600:g} h: none would be kept, because the run ends at "
            f"{end / 3600:g} h; use a shorter interval"
        )
    restarts = [time for time, *_ in changes_at]
    model.state.warnings.extend(late_changes(loaded.scenario, end, restarts))
    with folder, close_writers(model):
        plan |= recipe(loaded, model.streams.seed, hours, keep_tables(folder, loaded, table_sha256))
        for observer in observers_of(folder, model, plan, operation):
            model.observe(observer)
        return complete(folder, model, loaded, plan, operation, progress, measure, drawing)


def resume_run(
    out: Path, *, threads: int | None = 1, progress: Callable[[float], Any] | None = None
) -> RunResult:
    """Resume the unfinished run of a run folder from its last checkpoint, with identical bits.

    Raises
    ------
    InputError
        If there is none; if it is held by another process, damaged, or of another version of exoabm; or if
        its table of cells has changed.
    NumericalError, RunFailed
        As ``run_to_folder``.
    """
    with ResumableFolder(out, resume=True) as folder:
        model, loaded, plan, operation = _taken_up(folder, threads)
        with close_writers(model):
            return complete(folder, model, loaded, plan, operation, progress)


def _taken_up(
    folder: ResumableFolder, threads: int | None
) -> tuple[ExosomeModel, LoadedScenario, dict[str, Any], Operation]:
    """The model of an unfinished run, its scenario at the start, its plan and this operation.

    They are those of the last sound checkpoint.

    Raises
    ------
    InputError
        If no checkpoint and what it needs are sound, or the scenario has changed.
    """
    faults = []
    for name in (CHECKPOINT, BEFORE):
        if name == BEFORE and not (folder.work / BEFORE).exists():
            break
        try:
            plan, content = checkpoint.read(folder.work, name)
        except InputError as error:
            faults.append(str(error))
            continue
        if folder.replaces not in ("", plan["replaces"]):
            raise InputError(f"{folder.path} exists already; move it away to resume {folder.work}")
        loaded = scenario_of_recipe(plan, folder.work)
        made = [StepChange(**row) for row in plan["changes"]]
        now_loaded = with_step_changes(loaded, made)
        state = part(content, "state/")
        model = ExosomeModel(now_loaded, seed=plan["seed"], threads=threads, snapshot=state)
        model.changes.extend(made)
        now = made_with()
        operation = Operation("resume", from_h=model.hours, **{"with": now})
        mixed = drift(plan["made_with"], now, "the run was started")
        if mixed is not None:
            model.state.warnings.append(mixed)
        try:
            observers = [model.history, *observers_of(folder, model, plan, operation)]
            model.recorder.restore(observers, part(content, "recorder/"))
        except InputError as error:
            model.recorder.observers.clear()
            faults.append(str(error))
            continue
        if name == BEFORE:
            (folder.work / BEFORE).replace(folder.work / CHECKPOINT)
            folder.notes.append(f"{faults[0]}; went on from the checkpoint before it, of {model.hours:g} h")
        return model, loaded, plan, operation
    raise InputError(
        f"{'; '.join(dict.fromkeys(faults))}; restore the damaged files from a copy, or restart with "
        f"`exoabm run ... --out {shlex.quote(str(folder.path))} --overwrite`"
    )


@contextlib.contextmanager
def close_writers(model: ExosomeModel) -> Iterator[None]:
    """Close all files of writers after an error."""
    try:
        yield
    except BaseException:
        model.recorder.observers.clear()
        raise


def complete(
    folder: RunFolder,
    model: ExosomeModel,
    loaded: LoadedScenario,
    plan: dict[str, Any],
    operation: Operation,
    progress: Callable[[float], Any] | None,
    measure: Callable[[ExosomeModel], dict[str, Any]] | None = None,
    drawing: DrawingProcess | None = None,
) -> RunResult:
    """Run to the end, with changes between steps, and write the final files."""
    about = about_run(model, loaded, plan)
    if model.state.follows_vesicles:
        keep_little_memory()
    return_memory()
    try:
        _run_to_end(model, plan, progress)
    except NumericalError as error:
        failed = {"error": str(error), "operations": [*plan["operations"], operation.row()]}
        raise NumericalError(f"{error}; {_keep_failed(folder, model, plan, about | failed)}") from None
    model.recorder.finish(model.state)
    if drawing is not None:
        drawing.send(model.state, model.history.rows, **_picture_of(model))
    return_memory()
    edges = edges_of(model.state)
    summary = summarize(model, edges)
    _write_tables(folder, model, _footer(plan), edges)
    del edges
    return_memory()
    folder.write_json("summary.json", summary)
    picture = None if drawing is None else drawing.receive()
    if picture is None:
        draw_picture(model, folder.work / "preview.png")
    else:
        (folder.work / "preview.png").write_bytes(picture)
    about |= {"exit_state": "done", "operations": [*plan["operations"], operation.row()]}
    about |= {"warnings": model.warnings} | _changes_of(model)
    folder.write_json("run.json", about)
    readouts = measure(model) if measure is not None else {}
    warnings = (*model.warnings, *folder.notes)
    return RunResult(folder.path, summary, warnings, readouts, model.recognized)


def _run_to_end(model: ExosomeModel, plan: dict[str, Any], progress: Callable[[float], Any] | None) -> None:
    start, end = model.state.time, plan["end_s"]

    def update(_: float) -> None:
        if progress is not None:
            progress((model.state.time - start) / (end - start))

    for time, key, value in plan["changes_at"][len(model.changes) :]:
        model.run_until(time, progress=update)
        model.set(key, value)
    model.run_until(end, progress=update)


def _changes_of(model: ExosomeModel) -> dict[str, Any]:
    """The changes between steps of a model, as an entry of ``run.json``; nothing where there were none."""
    return {"changes": [change.row() for change in model.changes]} if model.changes else {}


def draw_picture(model: ExosomeModel, path: Path) -> None:
    """Write ``preview.png``: a model at this moment, with the readout of its scenario."""
    draw_preview(model.state, model.history.rows, path, **_picture_of(model))


def _picture_of(model: ExosomeModel) -> dict[str, Any]:
    """What the preview shows beside state and metrics."""
    scenario, asked = model.scenario, model.scenario.main_readout
    return {
        "title": scenario.info.title,
        "threshold": float(scenario.record.threshold),
        "readout": None if asked is None else Readout(asked.metric, asked.unit, asked.title),
        "looks": Looks.of_model(model),
    }


def main_readout(model: ExosomeModel) -> dict[str, Any]:
    """The readout of the scenario as ``readout`` in ``summary.json``, its value None if undefined."""
    asked = model.scenario.main_readout
    if asked is None:
        return {}
    return {"readout": {**asked.model_dump(), "value": last_row(model.state).get(asked.metric)}}


def summarize(model: ExosomeModel, edges: Edges) -> dict[str, Any]:
    """The content of ``summary.json``; ``edges`` are those of the state."""
    state = model.state
    organs = body(model.history.rows)
    return {
        "scenario": model.loaded.name,
        "title": model.scenario.info.title,
        "seed": model.streams.seed,
        "hours": model.hours,
        **main_readout(model),
        "engine": model.engine.name,
        "domain": state.domain.describe(),
        "cells": census(state.types, state.cells.type),
        **({"fates": fates(state)} if state.living else {}),
        "mass_balance": state.balance.totals(),
        "waste": {
            name: getattr(state.waste_balance, name)
            for name in ("produced", "recaptured", "degraded", "exported", "debris", "held")
        },
        **({"body": organs} if organs else {}),
        "communication": communication_summary(state, float(model.scenario.record.threshold), edges),
        "warnings": model.warnings,
    }


def observers_of(
    folder: RunFolder, model: ExosomeModel, plan: dict[str, Any], operation: Operation
) -> list[Observer]:
    """All observers of a run except the metrics, in the order used by checkpoints."""
    record, work = model.scenario.record, folder.work
    found: list[Observer] = [
        CellWriter(work, float(record.cells), _footer(plan)),
        _event_writer(model, work, plan),
        FieldWriter(work / "fields.zarr", float(record.fields)),
    ]
    if plan["every_s"] is not None:

        def so_far() -> dict[str, Any]:
            now = {"operations": [*plan["operations"], operation.row()]}
            return plan | now | {"changes": [change.row() for change in model.changes]}

        until = plan["end_s"] if plan["keep"] else 0.0
        found.append(checkpoint.Checkpoint(work, plan["every_s"], model.recorder, so_far, keep_until=until))
    return found


def _event_writer(model: ExosomeModel, folder: Path, plan: dict[str, Any]) -> Observer:
    about, record = _footer(plan), model.scenario.record
    if model.state.follows_vesicles:
        return VesicleEventWriter(folder, about, level=record.vesicle_events)
    return EventWriter(folder, float(record.events), about)


def _write_tables(folder: RunFolder, model: ExosomeModel, about: Mapping[str, str], edges: Edges) -> None:
    _write_metrics(folder, model, about)
    state = model.state
    makes: dict[str, Callable[[], pa.Table]] = {
        "edges": lambda: edge_table(state, about, edges),
        "edges_by_cargo": lambda: cargo_table(state, about, edges),
        "pairs": lambda: build(TABLES["pairs"], pairs_of(state, edges), about),
    }
    if state.living:
        makes["lineage"] = lambda: lineage_table(state, about)
    for name, make in makes.items():
        write_table(make(), folder.work / TABLES[name].file)
    strongest = network(state, MAX_EDGES_IN_GRAPHML, edges=edges)
    write_graphml(strongest, folder.work / "communication.graphml")


def _write_metrics(folder: RunFolder, model: ExosomeModel, about: Mapping[str, str]) -> None:
    for name, table in metrics_tables(model.history.rows, about).items():
        write_table(table, folder.work / TABLES[name].file)


def _footer(plan: Mapping[str, Any]) -> dict[str, str]:
    return footer(plan["exoabm"], plan["scenario_sha256"], plan["seed"])


def _keep_failed(folder: RunFolder, model: ExosomeModel, plan: dict[str, Any], about: dict[str, Any]) -> str:
    """Publish the records before a failure under a distinct name, and return a message with it.

    A resumable folder stays where it is, with its last good checkpoint.
    """
    for observer in model.recorder.observers:
        observer.close()
    _write_metrics(folder, model, _footer(plan))
    folder.write_json("run.json", about | {"exit_state": "failed"} | _changes_of(model))
    if isinstance(folder, ResumableFolder):
        return f"the last good checkpoint is kept in {folder.work}"
    return f"results recorded until then are kept in {folder.publish_beside('failed')}"
