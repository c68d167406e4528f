"""Commands that look at a scenario without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from exoabm.cli.app import app
from exoabm.cli.console import (
    JsonOption,
    ScenarioArgument,
    SetOption,
    ThreadsOption,
    err,
    load,
    out,
    positive_hours,
    print_json,
    refuse_large_grid,
    say_compiling,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exoabm.scenario.loader import LoadedScenario

PANEL = "Scenarios"


@app.command("list", rich_help_panel=PANEL)
def list_scenarios(as_json: JsonOption = False) -> None:
    """List the scenarios that come with exoabm, and the question that each one asks."""
    from exoabm.scenario.loader import shipped

    infos = {name: load(name).scenario.info for name in shipped()}
    if as_json:
        print_json([{"name": n, "title": i.title, "question": i.question} for n, i in infos.items()])
        return
    table = Table("scenario", "question", box=None, header_style="bold", pad_edge=False)
    for name, info in infos.items():
        table.add_row(f"[cyan]{name}[/]", info.question)
    out.print(table)


@app.command(rich_help_panel=PANEL)
def show(scenario: ScenarioArgument, set_: SetOption = None, as_json: JsonOption = False) -> None:
    """Show every key of a scenario: value, unit, allowed and published range, source."""
    loaded = load(scenario, set_)
    rows = list(_rows(loaded))
    if as_json:
        print_json({"name": loaded.name, "sha256": loaded.sha256(), "parameters": rows})
        return
    info = loaded.scenario.info
    out.print(f"[bold]{escape(info.title)}[/]\n{escape(info.question)}", highlight=False)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("key", "value", "allowed", "published or plausible", "source"):
        table.add_column(column, overflow="fold", no_wrap=column == "key")
    section = ""
    for row in rows:
        head, _, key = row["key"].rpartition(".")
        if head != section:
            section = head
            table.add_row()
            table.add_row(f"[bold cyan]{escape('[' + head + ']')}[/]")
        if head == "info":
            continue
        table.add_row(
            f"  {escape(key)}",
            escape(f"{row['value']} {row.get('unit', '')}".strip()),
            row.get("allowed", ""),
            row.get("published", ""),
            escape(row.get("source", "")),
        )
    out.print(table)
    out.print(f"\nSources in full: exoabm cite {escape(scenario)}", highlight=False)


@app.command(rich_help_panel=PANEL)
def validate(scenario: ScenarioArgument, set_: SetOption = None, as_json: JsonOption = False) -> None:
    """Check a scenario wholly, its table and layout included, without running it."""
    loaded = load(scenario, set_)
    refuse_large_grid(loaded)
    from exoabm.scenario.builder import blueprint, build_state, census
    from exoabm.scenario.treatment import make_course, treats
    from exoabm.streams import Streams

    plan = blueprint(loaded, seed=0)
    if treats(loaded.scenario):
        make_course(loaded, build_state(loaded, plan, Streams(0)))
    cells = census(plan.types, plan.type_index)
    if as_json:
        print_json({"valid": True, "cells": cells, "warnings": plan.warnings})
        return
    for warning in plan.warnings:
        err.print(f"[yellow]Warning:[/] {escape(warning)}", highlight=False)
    counts = ", ".join(f"{n:,} {name}" for name, n in cells.items())
    out.print(f"{escape(loaded.name)} is valid: {plan.domain.describe()}; {counts}", highlight=False)


@app.command(rich_help_panel=PANEL)
def estimate(
    scenario: ScenarioArgument,
    set_: SetOption = None,
    hours: Annotated[
        float | None, typer.Option(help="Model time; the scenario's duration if not given.")
    ] = None,
    threads: ThreadsOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Estimate the memory of a run, and its time from a few of its steps; refuse (exit 3) what cannot fit."""
    from dataclasses import asdict

    loaded = load(scenario, set_)
    refuse_large_grid(loaded)
    hours = positive_hours(hours)
    from exoabm.scenario.builder import blueprint
    from exoabm.scenario.estimate import gib

    guess = blueprint(loaded, seed=0).estimate
    from exoabm.batch.probe import probe, spoken

    timing = probe(loaded, hours=hours, threads=threads, compiling=say_compiling)
    if as_json:
        measured = {"seconds": timing.seconds, "row_seconds": timing.row_seconds}
        print_json(asdict(guess) | asdict(timing) | measured)
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("grid", f"{guess.voxels:,} voxels x {guess.labels} origins x {guess.kinds} vesicle kinds")
    table.add_row("cells", f"{guess.cells:,}")
    table.add_row("steps", f"{timing.steps:,} of up to {guess.substeps} sub-steps")
    table.add_row("memory", f"up to {gib(guess.memory_bytes)} of {gib(guess.allowed_bytes)} allowed")
    table.add_row(
        "time",
        f"about {spoken(timing.seconds)}, {spoken(timing.writing)} of it for tables "
        f"({timing.probed} steps measured, {timing.step * 1e3:.3g} ms each)",
    )
    out.print(table, highlight=False)


@app.command(rich_help_panel=PANEL)
def cite(
    scenario: Annotated[str | None, typer.Argument(help="A scenario; every source if not given.")] = None,
    bibtex: Annotated[bool, typer.Option("--bibtex", help="Print BibTeX.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the sources that a scenario's numbers, methods and libraries rest on."""
    from exoabm.parameters import format_citation, references

    keys = list(references())
    if scenario is not None:
        from exoabm.batch.provenance import sources

        keys = sources(load(scenario))
    if as_json:
        print_json({key: references()[key] for key in keys})
        return
    for key in keys:
        if bibtex:
            entry = dict(references()[key])
            lines = [
                f"@{entry.pop('type')}{{{key},",
                *(f"  {k} = {{{v}}}," for k, v in entry.items()),
                "}",
            ]
            print("\n".join(lines))
        else:
            out.print(f"[cyan]{key}[/]  {escape(format_citation(key))}", highlight=False)


def _rows(loaded: LoadedScenario) -> Iterator[dict[str, Any]]:
    """One row per key of a scenario, in the order of the file format."""
    from exoabm.parameters import Quantity
    from exoabm.scenario.loader import entries

    for key, value in entries(loaded.scenario):
        if isinstance(value, Quantity):
            parameter = value.parameter
            yield {
                "key": key,
                "value": f"{value.magnitude:.10g}",
                "unit": parameter.unit if parameter.unit != "1" else "",
                "allowed": "{:g} to {:g}".format(*parameter.allowed),
                "published": "{:g} to {:g}".format(*parameter.published) if parameter.published else "",
                "source": value.source or "this scenario",
                "symbol": parameter.symbol,
                "meaning": parameter.meaning,
                "note": value.note,
            }
        elif value is not None and value != []:
            yield {"key": key, "value": _plain(value)}


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, list) else getattr(value, "given", value)
