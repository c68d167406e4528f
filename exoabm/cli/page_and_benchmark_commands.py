"""Commands that open the page and run the benchmarks."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from exoabm.cli.console import app, out, plain_table, print_json, state_what_remains
from exoabm.cli.options import JsonOption
from exoabm.process_memory import shared_process


@app.command(rich_help_panel="Runs")
def dash(
    scenario: Annotated[
        str,
        typer.Argument(
            metavar="[SCENARIO]", help="Name of an included scenario, path of a TOML file, or run folder."
        ),
    ] = "signaling",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Default: the first free port from 8765.")
    ] = None,
    seats: Annotated[
        int | None,
        typer.Option(
            min=1, max=64, help="Maximum number of pages at the same time. Default: 16; of a class 40."
        ),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    base_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Address of the page behind a reverse proxy, including its path."),
    ] = None,
    classroom: Annotated[
        bool,
        typer.Option(
            "--class",
            help="Serve a class: to other machines, unless behind a proxy, with limits for each reader and a "
            "page for the teacher.",
        ),
    ] = False,
) -> None:
    """Open a running model in the browser, served locally."""
    shared_process()
    # The page stands above the command line, which therefore calls it by its name alone.
    serve = import_module("exoabm.viz.server.serve").serve
    serve(scenario, port=port, browser=browser, seats=seats, base_url=base_url, classroom=classroom)


@app.command(rich_help_panel="Speed")
def bench(
    what: Annotated[
        str,
        typer.Argument(
            help="continuum, accuracy, transfer, vesicles or cells; run and scaling measure whole runs; "
            "agreement compares the two engines."
        ),
    ] = "continuum",
    picture: Annotated[
        Path | None, typer.Option("--out", help="Figure of agreement or scaling: FILE.png, .svg or .pdf.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="PYTHON", help="run: compare with the exoabm of this interpreter.")
    ] = None,
    rounds: Annotated[int | None, typer.Option(min=1, max=99, help="run: rounds of each case; 5.")] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.1, help="run, scaling: time for all cases; fewer rounds, or fewer large cases."),
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="run: a table of cells, as an additional case in each engine.")
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(help="run, scaling: FILE.json with every measurement and the machine, after each case."),
    ] = None,
    largest: Annotated[
        float | None, typer.Option(min=1, help="scaling: most voxels, cells or vesicles of a case.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure speed relative to a plain reference, or the agreement of the two engines.

    Only ratios of speeds are comparable between machines.
    """
    from exoabm.benchmarks import run_benchmark

    if record is not None:
        state_what_remains(record, "has every run that was complete")
    elif picture is not None:
        state_what_remains(picture)
    report = run_benchmark(
        what,
        picture,
        against=against,
        rounds=rounds,
        minutes=minutes,
        table=table,
        record=record,
        largest=largest,
    )
    if as_json:
        print_json(report.rows)
        return
    shown = plain_table(*report.columns, title=report.title)
    for row in report.rows:
        shown.add_row(*(str(row[column]) for column in report.columns))
    out.print(shown)
