"""What stands in the folder of a batch: whether it is whole, what is not ours in it, and room for runs."""

from __future__ import annotations

import os
import re
from itertools import count
from typing import TYPE_CHECKING, Any

from exoabm.batch.sweeps.chunk import ROWS, RUNS, SHARDS, chunk_path, read_chunk
from exoabm.batch.sweeps.journal import JOURNAL
from exoabm.batch.sweeps.rows import PLAN
from exoabm.manifest import MANIFEST, Fault, faults, listed
from exoabm.output.lock import LOCK
from exoabm.output.run_folder import MADE as MADE_BY_A_RUN
from exoabm.output.run_folder import replaceable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from exoabm.batch.sweeps.rows import Plan

PLOTS = "plots"
REPORTS = frozenset({"results.parquet", "summary.parquet", "summary.json"})
TRIAL = frozenset({"trial.json", "report.html", "values.csv", "effects.csv", "sweeps.csv"})
MADE = frozenset({PLAN, JOURNAL, LOCK, MANIFEST, ROWS, RUNS, SHARDS, PLOTS, *REPORTS, *TRIAL})
"""Names at the top of a batch that we write."""
OURS = {
    ROWS: re.compile(r"\d{6}\.jsonl"),
    PLOTS: re.compile(r".*\.png"),
    RUNS: re.compile(rf"[^/]+/({'|'.join(map(re.escape, sorted(MADE_BY_A_RUN)))})"),
}
"""And what we write below them."""
SCRAP = re.compile(r"\..*\.(partial|replaced).*|.*\.partial")
"""What is being written, or was when a process was killed."""


def foreign(folder: Path) -> Iterator[str]:
    """Names in the folder of a batch that no batch made."""
    for path in sorted(folder.iterdir()):
        if SCRAP.fullmatch(path.name) or path.name.startswith(JOURNAL):  # which SQLite has files beside
            continue
        if path.name not in MADE:
            yield path.name
        elif path.name == SHARDS:
            for shard in sorted(path.glob("*/")):
                yield from (f"{SHARDS}/{shard.name}/{name}" for name in foreign(shard))
        elif path.name in OURS:
            depth = "*/*" if path.name == RUNS else "*"
            for each in sorted(path.glob(depth)):
                inner = each.relative_to(path).as_posix()
                if not OURS[path.name].fullmatch(inner) and not SCRAP.match(inner):
                    yield f"{path.name}/{inner}"


def look(
    folder: Path, plan: Plan, chunk: int, entered: str | None
) -> tuple[tuple[str, list[dict[str, Any]]] | None, str]:
    """Checksum and records of a file of rows, with all that was kept of them, if they are whole.

    Parameters
    ----------
    folder : Path
    plan : Plan
    chunk : int
    entered : str or None
        The checksum that the journal has.

    Returns
    -------
    tuple or None
        As of ``read_chunk``.
    str
        If None, what is wrong; "" if the rows were never run.
    """
    name, whole = f"{ROWS}/{chunk_path(folder, chunk).name}", read_chunk(folder, plan, chunk)
    if whole is None:
        there = chunk_path(folder, chunk).exists()
        return None, f"{name} is {'damaged' if there else 'missing'}" if there or entered else ""
    if entered not in (None, whole[0]):
        return None, f"{name} is not what the journal says"
    kept = whole[1] if plan.keep == "runs" else ()
    for record in kept:
        found = faults_of(folder, record["row"]) if record["state"] == "done" else []
        if found:
            more = f" and {len(found) - 1} more files" if len(found) > 1 else ""
            return None, f"{found[0]}{more}"
    return whole, ""


def faults_of_reports(folder: Path) -> list[Fault]:
    """What is damaged or missing of the tables, pictures and reports that a finished batch has."""
    names = [name for name in listed(folder) if name.split("/")[0] not in (PLAN, ROWS, RUNS)]
    return [fault for fault in faults(folder, names) if (folder / MANIFEST).exists()]


def faults_of(folder: Path, row: str) -> list[Fault]:
    """What is damaged or missing of the run that was kept of a row, named from the batch's folder."""
    found = faults(folder / RUNS / row)
    return [Fault(f"{RUNS}/{row}/{fault.name}", fault.state) for fault in found if fault.state != "foreign"]


def make_room(run: Path) -> None:
    """Let a run be written where a damaged one stands; one that holds what no run made is put aside whole."""
    if not os.path.lexists(run) or replaceable(run):
        return
    for number in count(1):
        aside = run.with_name(f"{run.name}.aside" + (f"-{number}" if number > 1 else ""))
        if not os.path.lexists(aside):
            run.replace(aside)
            return
