"""The application, its output, and errors and signals: what all commands have in common."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import math
import os
import signal
import sys
import time
import traceback
import warnings
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from exoabm.errors import (
    ON_COMMAND_LINE,
    UNSEEN,
    ExoError,
    InputError,
    LongRun,
    MixedVersions,
    ResourceError,
    command_line,
    visible,
)
from exoabm.interrupts import (
    SIGNALED,
    Ended,
    answer_as,
    answers,
    end_on_signals,
    ignore_signals,
    last_signal,
    of_signal,
    put_before,
)
from exoabm.process_memory import own_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from rich.console import ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.text import Text


WIDE = 10_000
"""Letters in a line where no terminal sets an end: what a file or another program reads is never cut."""


class _Console(Console):
    """A console that escapes control characters and draws no emoji for what stands between colons."""

    def __init__(self, **options: Any) -> None:
        super().__init__(emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:  # type: ignore[override]
        """A text as it is measured and laid out."""
        return super().render_str(visible(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """The pieces of what is printed, however it was made; its own styles are not in their text."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else piece._replace(text=visible(piece.text))


out = _Console(soft_wrap=True, width=None if sys.stdout is not None and sys.stdout.isatty() else WIDE)
err = _Console(stderr=True, soft_wrap=True)


def print_compiling() -> None:
    """Print the reason why the first command takes longer."""
    err.print("Compiling for this machine, once; this may take a minute ...", style="dim")


def print_warnings(*texts: str) -> None:
    """Print each warning on a line of the standard error."""
    for text in texts:
        err.print(f"[yellow]Warning:[/] {escape(text)}")


def print_note(text: str) -> None:
    """Print a note on the standard error."""
    err.print(f"[yellow]Note:[/] {escape(text)}")


def print_path(path: Path) -> None:
    """Print the path of a result."""
    out.print(f"[green]{escape(str(path))}[/]")


def plain_table(
    *left: str | Column, right: Sequence[str] = (), no_wrap: bool = False, **options: Any
) -> Table:
    """A table without lines: columns ``left``, then those of numbers, ``right``."""
    numbers = (Column(name, justify="right", no_wrap=no_wrap) for name in right)
    return Table(
        *left, *numbers, box=None, header_style="bold", pad_edge=False, title_justify="left", **options
    )


def print_recognized(recognized: str) -> None:
    """Print the recognized format of the table of cells, if any."""
    if recognized:
        err.print(f"[cyan]Table:[/] {escape(recognized)}")


def print_json(data: Any) -> None:
    """Print valid JSON, without NaN."""
    plain = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "") != "utf8"
    text = json.dumps(data, indent=2, ensure_ascii=plain, allow_nan=False, default=str)
    print_plain(UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def print_plain(text: str) -> None:
    """Print without formatting; a closed pipe is handled by the caller (typer would exit with 1)."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise BrokenPipeError from None


BETWEEN_UPDATES = 0.1
"""Least time between two updates of a progress bar, s."""
PANEL = "Many runs"
"""The commands' heading in ``--help``."""
MOST_LISTED = 20
"""Damaged parts of a batch that are printed on the terminal; ``--json`` has all."""


@contextlib.contextmanager
def progress(title: str) -> Iterator[Any]:
    """A progress bar on stderr if that is a terminal: share or number done, rate and remaining time."""
    from rich import progress as rich

    bar = rich.Progress(
        rich.TextColumn("{task.description}", markup=False),
        rich.BarColumn(),
        rich.TextColumn("{task.fields[count]}"),
        rich.TimeRemainingColumn(elapsed_when_finished=True),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
    with bar:
        task = bar.add_task(title, total=None, count="")
        shown = -math.inf

        def update(done: float, total: float | None = 1.0) -> None:
            nonlocal shown
            if bar.disable or (time.monotonic() < shown + BETWEEN_UPDATES and done != total):
                return
            shown = time.monotonic()
            speed = bar.tasks[task].speed
            rate = "" if not speed else f"{speed:.3g} /s" if speed >= 1 else f"{60 * speed:.3g} /min"
            of = f" of {total:,.0f}" if total else ""
            count = f"{done:3.0%}" if total == 1.0 else f"{done:,.0f}{of} {rate}"
            bar.update(task, completed=done, total=total, count=count)

        yield update


def print_damage(found: Sequence[str]) -> None:
    """Report completed rows that were damaged or missing and were computed again."""
    print_warnings(*(f"{each}; it was computed again" for each in found[:MOST_LISTED]))
    if len(found) > MOST_LISTED:
        print_warnings(f"and {len(found) - MOST_LISTED:,} more")


NOTHING_REMAINS = "no files remain"
_remains: list[Callable[[], str]] = []
"""The statement on what remains of the work of this command, where a signal ends it."""


def state_how_to_resume(folder: Path, *, batch: bool = True) -> None:
    """On an interrupt, state whether the run, or the batch if it may be one, can be resumed.

    What is needed for that is imported now: after an interrupt, modules may be incomplete.
    """
    from exoabm.output.run_folder import CHECKPOINT, UNFINISHED

    work = folder.with_name(folder.name.removesuffix(UNFINISHED) + UNFINISHED)
    kept = [(work / CHECKPOINT).exists]
    if batch:
        from exoabm.batch.execution.runner import is_batch

        kept.append(partial(is_batch, folder))
    rest = _rest_of(folder)

    def remains() -> str:
        resumable = any(found() for found in kept)
        return f"`{command_line('resume', folder)}` resumes it" if resumable else rest()

    _remains[:] = [remains]


def state_what_is_kept(out: Path | None, *, overwrite: bool = False) -> None:
    """On an interrupt of an analysis of many runs, state whether they are kept."""

    def remains() -> str:
        if out is None:
            return "with --out the runs would have been kept"
        if not out.is_dir():
            return NOTHING_REMAINS
        return f"the same command{', without --overwrite,' if overwrite else ''} resumes"

    _remains[:] = [remains]


def state_what_remains(path: Path, then: str = "is complete") -> None:
    """On an interrupt, state whether the file or folder that the command makes is there; ``then`` it is."""
    _remains[:] = [_rest_of(path, then)]


def _rest_of(path: Path, then: str = "is complete") -> Callable[[], str]:
    """A sentence on a path, where files and folders are put whole or not at all, for when it is called."""

    def standing() -> tuple[int, int] | None:
        try:
            found = path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def rest() -> str:
        now = standing()
        if now is None:
            return NOTHING_REMAINS
        return f"{path} {'holds nothing incomplete' if now == before else then}"

    before = standing()
    return rest


INTERRUPTED = SIGNALED + signal.SIGINT
OBJECTS_BETWEEN_COLLECTIONS = 50_000
"""What libraries make while they are imported stays; at the default, 700, the search for garbage in it takes
a sixth of the time of a short run."""

app = typer.Typer(
    name="exoabm",
    help="Simulate cell communication through extracellular vesicles.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def main() -> None:
    """Run the command and map each known error to its exit code; then signals are answered as before."""
    before = answers()
    try:
        run_to_exit()
    finally:
        answer_as(before)


def run_to_exit() -> NoReturn:
    """As ``main``, for a process that ends with the command: signals are ignored from there on."""
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    _remains.clear()
    end_on_signals()
    own_process()
    put_before(warnings, "showwarning", _warn)
    Console.on_broken_pipe = _raise_broken_pipe  # type: ignore[method-assign,assignment] # typer's help, too
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # letters that a terminal's encoding lacks
    told_here = ON_COMMAND_LINE.set(True)
    try:
        _check_words(sys.argv)
        code = app(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
        ignore_signals()
    except BaseException as error:
        ignore_signals()
        ended = of_signal(error) or last_signal()
        code = _told(error) if ended is None else _told_interrupted(ended)
    finally:
        ON_COMMAND_LINE.reset(told_here)
    sys.exit(code or 0)


def _told_interrupted(ended: Ended) -> int:
    """The exit code of a command that a signal ended, after a sentence on what remains."""
    traceback.clear_frames(ended.__traceback__)  # a context that was being entered is left by that
    with contextlib.suppress(OSError):  # of a terminal that was closed
        err.print(escape("; ".join(["interrupted", *(remains() for remains in _remains)])))
    return SIGNALED + ended.number


def _told(error: BaseException) -> int:
    """The exit code of a command that failed, after the message; an unknown error is raised again."""
    if isinstance(error, ExoError):
        err.print(f"[bold red]Error:[/] {escape(str(error))}")
        return error.exit_code
    if isinstance(error, typer.Abort | KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, MemoryError):
        err.print("[bold red]Error:[/] no memory was left")
        return ResourceError.exit_code
    if isinstance(error, BrokenPipeError):
        _discard_output()
        return 0
    if isinstance(error, OSError):
        _discard_output()
        where = f"{error.filename}: " if error.filename else ""
        err.print(f"[bold red]Error:[/] {escape(where)}{error.strerror or error}")
        return ExoError.exit_code
    if not hasattr(error, "format_message"):
        raise error
    if message := error.format_message():  # click has errors that are a help text printed before
        err.print(f"[bold red]Error:[/] {escape(message)}")
    return int(getattr(error, "exit_code", InputError.exit_code))


def _warn(usual: Callable[..., None], message: Warning | str, category: type[Warning], *rest: Any) -> None:
    if issubclass(category, LongRun):
        print_note(str(message))
    elif issubclass(category, MixedVersions):
        print_warnings(str(message))
    else:
        usual(message, category, *rest)


def _raise_broken_pipe(_: Console) -> None:
    raise BrokenPipeError


def _check_words(words: list[str]) -> None:
    """Refuse names that are not valid UTF-8, which tables and JSON cannot contain."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise InputError(f"{word}: not UTF-8; choose another name") from None


def _discard_output() -> None:
    """Discard pending output after the reader has closed the pipe."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        import exoabm

        out.print(f"exoabm {exoabm.__version__}")
        context.exit()
    if context.invoked_subcommand is None:
        context.get_help()  # typer prints it
