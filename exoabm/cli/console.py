"""What the commands share: options, the way to a scenario, and how things are said."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from exoabm.errors import UNSEEN, InputError, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from rich.console import ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.text import Text

    from exoabm.batch.sweeps.workers import Workers
    from exoabm.scenario.loader import LoadedScenario

WIDE = 10_000
"""Letters in a line where no terminal sets an end: what a file or another program reads is never cut."""


class _Console(Console):
    """A console that shows control characters instead of sending them."""

    def render_str(self, text: str, **options: Any) -> Text:  # type: ignore[override]
        """A text as it is measured and laid out."""
        return super().render_str(visible(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """The pieces of what is printed, however it was made; its own styles are not in their text."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else piece._replace(text=visible(piece.text))


out = _Console(soft_wrap=True, width=None if sys.stdout is not None and sys.stdout.isatty() else WIDE)
err = _Console(stderr=True, soft_wrap=True)

ScenarioArgument = Annotated[
    str,
    typer.Argument(
        metavar="SCENARIO", help="A shipped scenario's name, a path to a TOML file, or a table of cells."
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a value, e.g. clock.step='30 s'. May be repeated.",
    ),
]
HoursOption = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="Model time, 24 or '24 h' or '90 min'; the scenario's duration if not given."
    ),
]
EngineOption = Annotated[
    str | None, typer.Option("--engine", help="continuum or vesicles; the scenario's if not given.")
]
ThreadsOption = Annotated[int, typer.Option(min=1, max=256, help="Threads for large grids.")]
JobsOption = Annotated[int, typer.Option(min=1, max=1024, help="Runs at a time on this machine.")]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        metavar="tcp://HOST:PORT|local:N",
        help="A Dask scheduler that sees the same disk, or N workers of Dask here; extra 'cluster'.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def load(scenario: str, pairs: list[str] | None = None, engine: str | None = None) -> LoadedScenario:
    """A scenario by its name or path, with what ``--set`` and ``--engine`` say."""
    from exoabm.scenario import loader

    chosen = {} if engine is None else {"transport.engine": engine}
    return loader.load(scenario, overrides_of(pairs) | chosen)


def overrides_of(pairs: list[str] | None) -> dict[str, str]:
    """Keys and values of ``--set``."""
    from exoabm.scenario import loader

    overrides = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {pair!r}: write KEY=VALUE, e.g. --set clock.duration='12 h'")
        loader.refuse_option(key.strip(), "--set")
        overrides[key.strip()] = value.strip()
    return overrides


def refuse_large_grid(loaded: LoadedScenario) -> None:
    """Refuse before the slow imports what cannot fit by its declared size alone."""
    from exoabm.scenario.estimate import refuse_large_grid

    refuse_large_grid(loaded.scenario)


def positive_hours(text: str | None) -> float | None:
    """What ``--hours`` says in h, if it is a time to run for; a bare number is in hours."""
    from exoabm.parameters.units import to_internal

    if text is None:
        return None
    try:
        hours = to_internal(text, "h")[0]
    except InputError as error:
        raise InputError(f"--hours {text}: {error}; write 24 or '24 h'") from None
    if not 0 < hours < 1e6:
        raise InputError(f"--hours {text}: must be above 0 and below 1e6")
    return hours


def say_compiling() -> None:
    """Say why the first command on a machine takes longer."""
    err.print("Compiling for this machine, once; this may take a minute ...", style="dim", highlight=False)


def say_table(recognized: str) -> None:
    """Say what the table of cells was recognized as, if there is one."""
    if recognized:
        err.print(f"[cyan]Table:[/] {escape(recognized)}", highlight=False)


class Progress:
    """A progress bar on stderr where that is a terminal, else nothing."""

    def __init__(self, title: str) -> None:
        from rich import progress

        self._bar = progress.Progress(
            progress.TextColumn(escape(title)),
            progress.BarColumn(),
            progress.TextColumn("{task.percentage:3.0f} %"),
            progress.TimeRemainingColumn(),
            console=err,
            transient=True,
            disable=not err.is_terminal,
        )

    def __enter__(self) -> Callable[[float], None]:
        self._bar.start()
        task = self._bar.add_task("run", total=1.0)
        return lambda share: self._bar.update(task, completed=share)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def print_json(data: Any) -> None:
    """Print for programs: no NaN, nothing that JSON does not have."""
    plain = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "") != "utf8"
    text = json.dumps(data, indent=2, ensure_ascii=plain, allow_nan=False, default=str)
    print_plain(UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def print_plain(text: str) -> None:
    """Print as it is; where nobody reads on, leave it to the program what to do (typer would end with 1)."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise BrokenPipeError from None


PANEL = "Many runs"
"""The commands' heading in ``--help``."""
MOST_TOLD = 20
"""Damaged parts of a batch that are told on the terminal; ``--json`` has all."""


def workers_of(jobs: int, cluster: str | None) -> Workers:
    """Who runs the rows, as ``--jobs`` and ``--cluster`` say."""
    if cluster is not None:
        from exoabm.batch.sweeps.workers import dask

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
