"""The application: name, version and handling of errors."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import signal
import sys
import warnings
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from exoabm.cli.console import err, out
from exoabm.errors import ExoError, InputError, LongRun, MixedVersions, ResourceError

if TYPE_CHECKING:
    from collections.abc import Callable

INTERRUPTED = 130
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
    """Entry point: run the command and map each known error to its exit code."""
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    _answer_signals()
    warnings.showwarning = partial(_warn, warnings.showwarning)
    Console.on_broken_pipe = _nobody_reads  # type: ignore[method-assign,assignment] # typer's help, too
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # letters that a terminal's encoding lacks
    try:
        _check_words(sys.argv)
        code = app(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except ExoError as error:
        err.print(f"[bold red]Error:[/] {escape(str(error))}", highlight=False)
        code = error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except MemoryError:
        err.print("[bold red]Error:[/] no memory was left", highlight=False)
        code = ResourceError.exit_code
    except BrokenPipeError:
        _hush()
        code = 0
    except OSError as error:
        _hush()
        where = f"{error.filename}: " if error.filename else ""
        err.print(f"[bold red]Error:[/] {escape(where)}{error.strerror or error}", highlight=False)
        code = ExoError.exit_code
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        if said := error.format_message():  # click has errors that are a help text printed before
            err.print(f"[bold red]Error:[/] {escape(said)}", highlight=False)
        code = getattr(error, "exit_code", InputError.exit_code)
    sys.exit(code or 0)


def _warn(usual: Callable[..., None], message: Warning | str, category: type[Warning], *rest: Any) -> None:
    if issubclass(category, LongRun):
        err.print(f"[yellow]Note:[/] {escape(str(message))}", highlight=False)
    elif issubclass(category, MixedVersions):
        err.print(f"[yellow]Warning:[/] {escape(str(message))}", highlight=False)
    else:
        usual(message, category, *rest)


def _nobody_reads(_: Console) -> None:
    raise BrokenPipeError


def _answer_signals() -> None:
    """Terminate on a signal of a scheduler or a closed terminal as on an interrupt.

    One that is ignored from the start, as under ``nohup``, stays so.
    """
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda got, _: sys.exit(128 + got))


def _check_words(words: list[str]) -> None:
    """Refuse names that are not valid UTF-8, which tables and JSON cannot contain."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise InputError(f"{word}: not UTF-8; choose another name") from None


def _hush() -> None:
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

        out.print(f"exoabm {exoabm.__version__}", highlight=False)
        context.exit()
    if context.invoked_subcommand is None:
        context.get_help()  # typer prints it
