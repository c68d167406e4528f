"""Rows are computed and written here, by any process on any machine that sees the batch's folder.

A file of rows is JSON lines: a head that names the plan, a line per row, and a foot with the SHA-256 of all
before it. So a file tells by itself whether it is whole and to which batch it belongs.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exoabm.batch.execution.plan import PLAN, Plan
from exoabm.errors import ExoError, InputError, RunFailed
from exoabm.output.durable_files import write_whole
from exoabm.output.folder_locks import Held
from exoabm.output.run_folder import make_room
from exoabm.software import drift, made_with

if TYPE_CHECKING:
    from collections.abc import Callable

    from exoabm.batch.execution.plan import Row
    from exoabm.model import ExosomeModel

ROWS = "rows"
RUNS = "runs"
SHARDS = "shards"


@dataclass(frozen=True)
class Written:
    """A file of rows that was written: which, its checksum, and reasons of failed rows by their numbers.

    ``note`` says that it was not made with what the batch was started with.
    """

    chunk: int
    sha256: str
    failed: dict[int, str]
    rows: int
    seconds: float | None
    note: str | None = None


def chunk_path(folder: Path, chunk: int) -> Path:
    """Where the rows of a chunk lie in a batch's folder."""
    return folder / ROWS / f"{chunk:06d}.jsonl"


def run_chunk(folder: Path, plan_sha256: str, chunk: int) -> Written:
    """Run the rows of one file and put it in place; the only thing that a worker is asked to do.

    A row that breaks is written as failed, with its reason. What is wrong with the disk or the machine is
    raised: it would spoil the other rows too.
    """
    start = time.perf_counter()
    plan = _plan(folder)
    if plan.sha256 != plan_sha256:
        raise InputError(f"{folder} contains a batch other than the current one")
    lines = [_line({"plan": plan.sha256, "chunk": chunk})]
    found = []
    for row in plan.rows_of(chunk):
        found.append(run_row(plan, row, folder))
        lines.append(_line(found[-1]))
    body = "".join(lines).encode()
    checksum = hashlib.sha256(body).hexdigest()
    write_whole(chunk_path(folder, chunk), body + _line({"sha256": checksum}).encode())
    failed, seconds = failures(plan, chunk, found), time.perf_counter() - start
    note = drift(plan.made_with, made_with(), "the batch was started", "rows were run with")
    return Written(chunk, checksum, failed, len(found), seconds, note)


def failures(plan: Plan, chunk: int, found: list[dict[str, Any]]) -> dict[int, str]:
    """Reasons of the failed records of a chunk, by the rows' numbers in the plan."""
    first = chunk * plan.chunk
    return {first + i: record["reason"] for i, record in enumerate(found) if record["state"] == "failed"}


def run_row(plan: Plan, row: Row, folder: Path) -> dict[str, Any]:
    """Run one row; a pure function of plan and row, but for the run folder that it may leave.

    Returns
    -------
    dict
        ``row``, ``seed``, ``state`` and either ``readouts``, with ``pairs`` where the plan wants them, or the
        ``reason`` of the failure.
    """
    record: dict[str, Any] = {"row": row.name, "seed": row.seed, "state": "done"}
    try:
        record |= _run(plan, row, folder)
    except (OSError, ImportError, RunFailed, Held):
        raise
    except ExoError as error:
        record |= {"state": "failed", "reason": str(error)}
    except Exception as error:  # whatever broke this row, the others may be sound
        record |= {"state": "failed", "reason": f"{type(error).__name__}: {error}"}
    return record


def _run(plan: Plan, row: Row, folder: Path) -> dict[str, Any]:
    from exoabm.analysis.communication import pairs_of
    from exoabm.batch.execution.run_readouts import checked
    from exoabm.model import ExosomeModel
    from exoabm.runs.run_execution import run_to_folder

    measure = measure_of(plan.measure)

    def read(model: ExosomeModel) -> dict[str, Any]:
        kept = {"pairs": pairs_of(model.state)} if plan.pairs else {}
        return {"readouts": measure(model), **kept}

    loaded = plan.scenario_of(row)
    if plan.keep == "runs":
        out = folder / RUNS / row.name
        make_room(out)
        result = run_to_folder(loaded, out, seed=row.seed, hours=plan.hours, overwrite=True, measure=read)
        return result.readouts | {"readouts": checked(result.readouts["readouts"])}
    model = ExosomeModel(loaded, seed=row.seed)
    found: dict[str, Any] = {}
    for hours in plan.times:
        model.run_until(hours * 3600.0)
        found |= {f"{name}@{hours}": value for name, value in measure(model).items()}
    model.run_until(float(loaded.scenario.clock.duration) if plan.hours is None else plan.hours * 3600.0)
    last = read(model)
    return last | {"readouts": checked(found | last["readouts"])}


def read_chunk(folder: Path, plan: Plan, chunk: int) -> tuple[str, list[dict[str, Any]]] | None:
    """Checksum and records of a file of rows; None if it is missing, damaged or of another batch.

    What was kept of its runs is not looked at; see ``row_journal.look``.
    """
    try:
        content = chunk_path(folder, chunk).read_bytes()
        cut = content.rindex(b"\n", 0, -1) + 1
        checksum = hashlib.sha256(content[:cut]).hexdigest()
        head, *found, foot = map(json.loads, content.splitlines())
    except (OSError, ValueError):
        return None
    expected = [row.name for row in plan.rows_of(chunk)]
    if foot != {"sha256": checksum} or head != {"plan": plan.sha256, "chunk": chunk}:
        return None
    if [record["row"] for record in found] != expected:
        return None
    return checksum, found


def records(folder: Path, plan: Plan) -> Iterator[dict[str, Any]]:
    """The records of all rows that are there, in the order of the plan, a file at a time."""
    for chunk in range(plan.chunks):
        whole = read_chunk(folder, plan, chunk)
        if whole is not None:
            yield from whole[1]


def measure_of(name: str) -> Callable[[ExosomeModel], dict[str, Any]]:
    """The function ``"module:function"`` that reads a finished model."""
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)


@lru_cache(maxsize=1)
def _read_plan(folder: Path, _changed: int) -> Plan:
    return Plan.read(folder)


def _plan(folder: Path) -> Plan:
    """The plan in a folder, read once by each worker."""
    return _read_plan(folder, (folder / PLAN).stat().st_mtime_ns)


def _line(data: dict[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"
