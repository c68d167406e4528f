"""The command that measures speed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from exoabm.cli.app import app
from exoabm.cli.console import JsonOption, out, print_json

PANEL = "Speed"


@app.command(rich_help_panel=PANEL)
def bench(
    what: Annotated[
        str,
        typer.Argument(
            help="Which one: continuum, transfer, vesicles, cells; agreement compares the two engines."
        ),
    ] = "continuum",
    picture: Annotated[
        Path | None, typer.Option("--out", help="Picture to write: FILE.png, .svg or .pdf; for agreement.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure speed beside a plain reference in the same run, or how the two engines agree.

    Of the speeds only the ratios travel between machines.
    """
    from exoabm.benchmarks import run_benchmark

    report = run_benchmark(what, picture)
    if as_json:
        print_json(report.rows)
        return
    table = Table(*report.columns, box=None, header_style="bold", pad_edge=False, title=report.title)
    for row in report.rows:
        table.add_row(*(str(row[column]) for column in report.columns))
    out.print(table)
