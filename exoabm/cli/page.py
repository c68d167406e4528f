"""The command that opens a running model in the browser."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer

from exoabm.cli.app import app

PANEL = "Runs"


@app.command(rich_help_panel=PANEL)
def dash(
    scenario: Annotated[
        str,
        typer.Argument(
            metavar="[SCENARIO]", help="A shipped scenario's name, a path to a TOML file, or a run folder."
        ),
    ] = "signaling",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The first free one from 8765 on if not given.")
    ] = None,
    seats: Annotated[int, typer.Option(min=1, max=64, help="Models that may run at once.")] = 16,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    base_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Address under which a reverse proxy shows the page, its path included."
        ),
    ] = None,
) -> None:
    """Open a running model in the browser, served from this machine to this machine."""
    # The page stands above the command line, which therefore calls it by its name alone.
    serve = import_module("exoabm.viz.server.serve").serve
    serve(scenario, port=port, browser=browser, seats=seats, base_url=base_url)
