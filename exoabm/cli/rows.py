"""What the commands of many runs share: who runs the rows, how far they are, and how to go on."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from exoabm.cli.console import err

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from exoabm.batch.sweeps.workers import Workers

PANEL = "Many runs"
"""The commands' heading in ``--help``."""
MOST_TOLD = 20
"""Damaged parts of a batch that are told on the terminal; ``--json`` has all."""


def workers_of(jobs: int, cluster: str | None) -> Workers:
    """Who runs the rows, as ``--jobs`` and ``--cluster`` say."""
    if cluster is not None:
        from exoabm.batch.sweeps.cluster import dask

        return dask(cluster)
    from exoabm.batch.sweeps.workers import local

    return local(jobs)


@contextlib.contextmanager
def counting(title: str) -> Iterator[Any]:
    """A progress bar on stderr where that is a terminal: rows, rate and time left."""
    from rich import progress

    bar = progress.Progress(
        progress.TextColumn(escape(title)),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeRemainingColumn(elapsed_when_finished=True),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
    with bar:
        task = bar.add_task("rows", total=None, rate="")

        def tell(done: int, total: int) -> None:
            speed = bar.tasks[task].speed
            rate = "" if not speed else f"{speed:.3g} /s" if speed >= 1 else f"{60 * speed:.3g} /min"
            bar.update(task, completed=done, total=total, rate=rate)

        yield tell


def tell_damage(found: Sequence[str]) -> None:
    """Say what was damaged or missing of rows that were done, and so was made again."""
    for each in found[:MOST_TOLD]:
        err.print(f"[yellow]Warning:[/] {escape(each)}; it is made again", highlight=False)
    if len(found) > MOST_TOLD:
        err.print(f"[yellow]Warning:[/] and {len(found) - MOST_TOLD:,} more", highlight=False)


@contextlib.contextmanager
def last_words(folder: Path) -> Iterator[None]:
    """On an interrupt, say how to go on."""
    from exoabm.batch.sweeps.runner import is_batch

    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        left = f"`exoabm resume {folder}` goes on with it" if is_batch(folder) else "nothing was left behind"
        err.print(f"interrupted; {escape(left)}", highlight=False)
        raise
