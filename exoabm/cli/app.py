"""The program itself: its name, its version, and what becomes of an error."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer
from rich.markup import escape

from exoabm.cli.console import err, out
from exoabm.errors import ExoError, InputError, ResourceError

INTERRUPTED = 130

app = typer.Typer(
    name="exoabm",
    help="Simulate how cells talk through extracellular vesicles.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def main() -> None:
    """Entry point: run the command and turn every known error into its exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        code = app(standalone_mode=False)
    except ExoError as error:
        err.print(f"[bold red]Error:[/] {escape(str(error))}", highlight=False)
        code = error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except MemoryError:
        err.print("[bold red]Error:[/] no memory was left", highlight=False)
        code = ResourceError.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        code = 0
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        err.print(f"[bold red]Error:[/] {escape(error.format_message())}", highlight=False)
        code = getattr(error, "exit_code", InputError.exit_code)
    sys.exit(code or 0)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        import exoabm

        out.print(f"exoabm {exoabm.__version__}", highlight=False)
        context.exit()
