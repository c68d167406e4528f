"""One run, from a scenario to a run folder."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from exoabm.batch.provenance import git_state, machine, sources, versions
from exoabm.errors import NumericalError
from exoabm.model import ExosomeModel
from exoabm.observe import communication as talk
from exoabm.observe.preview import draw_preview
from exoabm.observe.run_folder import RunFolder
from exoabm.observe.writers import CellWriter, EventWriter, FieldWriter, VesicleEventWriter
from exoabm.scenario.builder import census

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from exoabm.observe.recorder import Observer
    from exoabm.scenario.loader import LoadedScenario

MAX_EDGES_IN_GRAPHML = 200_000
"""GraphML is for looking at; beyond this many edges only the strongest are written, and it says so."""


@dataclass(frozen=True)
class RunResult:
    """A finished run: where it lies, and its ``summary.json``."""

    folder: Path
    summary: dict[str, Any]
    warnings: tuple[str, ...]


def run_to_folder(
    loaded: LoadedScenario,
    out: Path,
    *,
    seed: int | None = None,
    hours: float | None = None,
    overwrite: bool = False,
    threads: int = 1,
    progress: Callable[[float], Any] | None = None,
) -> RunResult:
    """Run a scenario and write its run folder.

    Raises
    ------
    InputError, ResourceError
        Before anything is written.
    NumericalError
        If the balance breaks; what was recorded until then is kept in ``<out>.failed``.
    RunFailed
        If the disk fills; nothing is left behind.
    """
    folder = RunFolder(out, overwrite=overwrite)
    started, clock = datetime.now(UTC), time.perf_counter()
    model = ExosomeModel(loaded, seed=seed, threads=threads)
    with folder:
        about = _about(model, started)
        record = model.scenario.record
        model.observe(CellWriter(folder.work / "cells.parquet", float(record.cells)))
        model.observe(_event_writer(model, folder.work / "events.parquet"))
        model.observe(FieldWriter(folder.work / "fields.zarr", float(record.fields)))
        try:
            model.run(hours, progress=progress)
        except NumericalError as error:
            _keep_failed(folder, model, about, error)
            raise
        model.recorder.finish(model.state)
        summary = summarize(model)
        _write_tables(folder, model)
        folder.write_json("summary.json", summary)
        draw_preview(
            model.state,
            model.history.rows,
            folder.work / "preview.png",
            title=model.scenario.info.title,
            threshold=float(record.threshold),
        )
        about |= {"exit_state": "done", "wall_time_s": time.perf_counter() - clock}
        folder.write_json("run.json", about)
    return RunResult(folder.path, summary, tuple(model.warnings))


def summarize(model: ExosomeModel) -> dict[str, Any]:
    """The content of ``summary.json``."""
    state = model.state
    return {
        "scenario": model.loaded.name,
        "title": model.scenario.info.title,
        "seed": model.streams.seed,
        "hours": model.hours,
        "engine": model.engine.name,
        "domain": state.domain.describe(),
        "cells": census(state.types, state.cells.type),
        "ledger": state.ledger.totals(),
        "waste": {
            name: getattr(state.waste_ledger, name)
            for name in ("produced", "recaptured", "degraded", "exported", "held")
        },
        "communication": talk.summary(state, float(model.scenario.record.threshold)),
        "warnings": model.warnings,
    }


def _about(model: ExosomeModel, started: datetime) -> dict[str, Any]:
    """The content of ``run.json`` as far as it is known at the start."""
    loaded = model.loaded
    return {
        "scenario": loaded.resolved(),
        "scenario_name": loaded.name,
        "scenario_sha256": loaded.sha256(),
        "table_sha256": loaded.table_sha256(),
        "overrides": dict(loaded.overrides),
        "seed": model.streams.seed,
        "engine": model.engine.name,
        "started": started.isoformat(timespec="seconds"),
        "versions": versions(),
        "git": git_state(),
        "platform": machine(),
        "citations": sources(loaded),
        "warnings": model.warnings,
    }


def _event_writer(model: ExosomeModel, path: Path) -> Observer:
    if model.state.vesicles is not None:
        return VesicleEventWriter(path)
    return EventWriter(path, float(model.scenario.record.events))


def _write_tables(folder: RunFolder, model: ExosomeModel) -> None:
    import networkx as nx

    pq.write_table(pa.Table.from_pylist(model.history.rows), folder.work / "metrics.parquet")
    pq.write_table(model.edges, folder.work / "communication.parquet", compression="zstd")
    graph = model.communication
    if graph.number_of_edges() > MAX_EDGES_IN_GRAPHML:
        ranked = sorted(graph.edges(data="weight"), key=lambda edge: -edge[2])
        graph.remove_edges_from([edge[:2] for edge in ranked[MAX_EDGES_IN_GRAPHML:]])
        graph.graph["left_out"] = f"all but the {MAX_EDGES_IN_GRAPHML} strongest edges"
    nx.write_graphml(graph, folder.work / "communication.graphml")


def _keep_failed(
    folder: RunFolder, model: ExosomeModel, about: dict[str, Any], error: NumericalError
) -> None:
    """Publish what was recorded before the fault under a name that cannot be taken for a result."""
    for observer in model.recorder.observers:
        observer.close()
    pq.write_table(pa.Table.from_pylist(model.history.rows), folder.work / "metrics.parquet")
    folder.write_json("run.json", about | {"exit_state": "failed", "error": str(error)})
    folder.publish(folder.path.with_name(folder.path.name + ".failed"))
