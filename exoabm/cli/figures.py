"""The command that draws figures for papers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from exoabm.cli.app import app
from exoabm.cli.console import out as console


@app.command(rich_help_panel="Runs")
def figure(
    source: Annotated[
        str,
        typer.Argument(
            metavar="DIR",
            help="A run, a sweep or a trial; some points of it as DIR@KEY=VALUE or DIR@arm=NAME.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="A file that ends in .svg, .pdf or .png.")],
    what: Annotated[
        str,
        typer.Option(
            help="matrix (who sent how much to whom, by type), network, time (uptake by type) or distance."
        ),
    ] = "matrix",
    measure: Annotated[
        str | None,
        typer.Option(help="captured, taken_up or delivered; taken_up if not given, for distance delivered."),
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Vesicle kind; all together if not given.")] = None,
    width: Annotated[
        float | None, typer.Option("--width-mm", help="Width; one or two columns of a journal if not given.")
    ] = None,
    dpi: Annotated[float, typer.Option(help="Dots per inch of a .png.")] = 600.0,
    overwrite: Annotated[bool, typer.Option(help="Replace what stands there.")] = False,
) -> None:
    """Draw a figure for a paper: means with 95 % intervals, text as text, the same bytes each time."""
    from exoabm.export.figure import draw_figure

    draw_figure(source, what, out, kind=kind, measure=measure, width=width, dpi=dpi, overwrite=overwrite)
    console.print(escape(str(out)), highlight=False)
