"""Commands that inspect a scenario without running it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from exoabm.cli.console import (
    app,
    out,
    plain_table,
    print_compiling,
    print_json,
    print_path,
    print_plain,
    print_recognized,
    print_warnings,
    progress,
)
from exoabm.cli.options import (
    HoursOption,
    JsonOption,
    ScenarioArgument,
    SetOption,
    ThreadsOption,
    check_grid_memory,
    load,
    overrides_of,
    positive_hours,
)
from exoabm.errors import InputError, command_line
from exoabm.text_formatting import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exoabm.batch.convergence import Convergence
    from exoabm.scenario.scenario_from_table import Draft

PANEL = "Scenarios"


@app.command("list", rich_help_panel=PANEL)
def list_scenarios(as_json: JsonOption = False) -> None:
    """List the included scenarios and their questions."""
    import tomllib

    from exoabm.scenario import shipped

    infos = {name: tomllib.loads(path.read_text("utf-8"))["info"] for name, path in shipped().items()}
    if as_json:
        print_json([{"name": n, "title": i["title"], "question": i["question"]} for n, i in infos.items()])
        return
    table = plain_table("scenario", "question")
    for name, info in infos.items():
        table.add_row(f"[cyan]{name}[/]", escape(info["question"]))
    out.print(table)


@app.command(rich_help_panel=PANEL)
def show(
    scenario: ScenarioArgument,
    set_: SetOption = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Include keys that are not set or not applicable.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show every key of a scenario: value, unit, meaning, allowed and published range, source."""
    from exoabm.scenario.key_table import rows_of

    loaded = load(scenario, set_)
    rows = list(rows_of(loaded, everything=all_ or as_json))
    if as_json:
        print_json({"name": loaded.name, "sha256": loaded.sha256(), "parameters": rows})
        return
    info = loaded.scenario.info
    out.print(f"[bold]{escape(info.title)}[/]\n{escape(info.question)}")
    section = ""
    for row in rows:
        head, _, key = row["key"].rpartition(".")
        if head == "info":
            continue
        if head != section:
            section = head
            out.print(f"\n[bold cyan]{escape('[' + head + ']')}[/]")
        unset = row["value"] is None or row["value"] == []
        value = "not set" if unset else f"{row['value']} {row.get('unit', '')}".strip()
        line = _filled(f"  {key} = {value}").removeprefix(f"  {key}")
        out.print(f"  [bold]{escape(key)}[/]{escape(line)}")
        if more := _key_text(row):
            out.print(escape(_filled(f"      {more}")), style="dim")
    out.print(f"\nSources in full: {escape(command_line('cite', scenario))}")


@app.command(rich_help_panel=PANEL)
def validate(
    scenario: ScenarioArgument,
    set_: SetOption = None,
    converge: Annotated[
        bool,
        typer.Option(
            "--converge",
            help="Run at three steps and two voxels and estimate the discretization error of each readout.",
        ),
    ] = False,
    readout: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="With --converge: only this readout. Repeatable."),
    ] = None,
    hours: HoursOption = None,
    seed: Annotated[int, typer.Option(min=0, help="With --converge: master seed of the runs.")] = 0,
    seeds: Annotated[
        int,
        typer.Option(min=1, max=1000, help="With --converge: number of runs for the noise between seeds."),
    ] = 3,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a scenario with its table and layout; with --converge, also its step and voxel."""
    loaded = load(scenario, set_)
    check_grid_memory(loaded)
    duration = positive_hours(hours)
    if not converge and (readout or hours is not None):
        raise InputError("--readout and --hours are for validate --converge, which runs the scenario")
    from exoabm.random_streams import Streams
    from exoabm.scenario.state_builder import blueprint, build_state, census
    from exoabm.scenario.step_accuracy import late_changes
    from exoabm.scenario.therapy_builder import has_treatment, make_protocol

    plan = blueprint(loaded, seed=0)
    warnings = [*plan.warnings, *late_changes(loaded.scenario, float(loaded.scenario.clock.duration))]
    if has_treatment(loaded.scenario):
        make_protocol(loaded, build_state(loaded, plan, Streams(0)))
    cells = census(plan.types, plan.type_index)
    found = None
    if converge:
        from exoabm.batch import convergence

        with progress("Converging") as update:
            found = convergence.converge(
                loaded,
                readouts=readout or (),
                seed=seed,
                seeds=seeds,
                hours=duration,
                threads=threads,
                progress=update,
            )
    if as_json:
        more = {} if plan.placed is None else {"table": plan.placed.record}
        more |= {} if found is None else {"convergence": convergence.plain(found)}
        print_json({"valid": True, "cells": cells, "warnings": warnings} | more)
        return
    print_recognized(plan.placed.recognized if plan.placed else "")
    print_warnings(*warnings)
    counts = ", ".join(f"{n:,} {name}" for name, n in cells.items())
    out.print(f"{escape(loaded.name)} is valid: {plan.domain.describe()}; {counts}")
    if found is not None:
        _print_convergence(found)


def _print_convergence(found: Convergence) -> None:
    """One row per readout: value, errors by step and voxel, and noise between seeds."""
    out.print(
        f"Errors at a step of {found.step:g} s and voxels of {found.voxel:g} um, from {found.runs} runs:"
    )
    columns = ("readout", "value", "error by step", "order", "error by voxel", "noise between seeds")
    table = plain_table(*columns)
    for row in found.readouts:
        error = f"{row.time_error:+.2g}"
        if row.time_uncertainty:
            error += f" +- {row.time_uncertainty:.1g}"
        if row.verdict == "no order":
            error = f"up to {abs(row.time_error):.2g}"
        table.add_row(
            escape(row.name),
            f"{row.value:.5g}",
            error,
            row.verdict if row.order is None else f"{row.order:.2f}",
            "" if row.voxel_error is None else f"{row.voxel_error:+.2g}",
            "" if row.noise is None else f"{row.noise:.2g}",
        )
    out.print(table)
    for remark in found.remarks:
        out.print(escape(remark), style="dim")


@app.command(rich_help_panel=PANEL)
def estimate(
    scenario: ScenarioArgument,
    set_: SetOption = None,
    hours: HoursOption = None,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Estimate the memory of a run, and its time from a few steps; exit 3 if the memory is insufficient."""
    from dataclasses import asdict

    loaded = load(scenario, set_)
    check_grid_memory(loaded)
    duration = positive_hours(hours)
    from exoabm.scenario.resource_estimate import gib
    from exoabm.scenario.state_builder import blueprint

    guess = blueprint(loaded, seed=0).estimate
    from exoabm.runs.measured_runtime import probe, rounded_duration

    timing = probe(loaded, hours=duration, threads=threads, compiling=print_compiling)
    if as_json:
        measured = {"seconds": timing.seconds, "row_seconds": timing.row_seconds}
        print_json(asdict(guess) | asdict(timing) | measured)
        return
    table = plain_table(show_header=False)
    sizes = ((guess.voxels, "voxel"), (guess.labels, "origin"), (guess.kinds, "vesicle kind"))
    table.add_row("grid", " x ".join(counted(*size) for size in sizes))
    table.add_row("cells", f"{guess.cells:,}")
    table.add_row("steps", f"{timing.steps:,} of up to {counted(guess.substeps, 'sub-step')}")
    table.add_row("memory", f"about {gib(guess.memory_bytes)} of {gib(guess.allowed_bytes)} allowed")
    table.add_row(
        "time",
        f"about {rounded_duration(timing.seconds)}, {rounded_duration(timing.writing)} of it for tables "
        f"({counted(timing.probed, 'step')} measured, {timing.step * 1e3:.3g} ms each)",
    )
    out.print(table)


@app.command(rich_help_panel=PANEL)
def cite(
    scenario: Annotated[str | None, typer.Argument(help="A scenario; default all sources.")] = None,
    bibtex: Annotated[bool, typer.Option("--bibtex", help="Print BibTeX.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the sources of a scenario's parameters, methods and libraries."""
    from exoabm.parameters import format_citation, references

    keys = list(references())
    if scenario is not None:
        from exoabm.runs.provenance import sources

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
            print_plain("\n".join(lines))
        else:
            out.print(f"[cyan]{key}[/]  {escape(format_citation(key))}")


@app.command(rich_help_panel=PANEL)
def new(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="A table of cells.")],
    out_: Annotated[Path, typer.Option("--out", help="The TOML file to write.")],
    set_: SetOption = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing file or folder.")] = False,
) -> None:
    """Create a scenario from a table of cells: one cell type per label, with values to be replaced."""
    draft = draft_scenario(table, out_, overrides_of(set_), overwrite=overwrite)
    print_recognized(draft.recognized)
    print_warnings(*draft.warnings)
    print_path(out_)
    out.print(escape(command_line("run", out_)))


def draft_scenario(table: Path, to: Path, overrides: Mapping[str, str], *, overwrite: bool = False) -> Draft:
    """Write a scenario for a table; see ``scenario_of_labels``.

    Raises
    ------
    InputError
        If the table leaves something open, or the file exists.
    """
    from exoabm.output.durable_files import check_new, write_whole, writing_into
    from exoabm.scenario.scenario_from_table import scenario_of_labels

    if to.suffix != ".toml":
        raise InputError(f"--out {to}: a scenario is written to a file whose name ends in .toml")
    check_new(to, overwrite=overwrite)
    draft = scenario_of_labels(table, overrides, to.resolve().parent)
    with writing_into(to.parent, to):
        write_whole(to, draft.text)
    return draft


def _filled(text: str) -> str:
    """A line wrapped at words, with a hanging indent."""
    return textwrap.fill(
        text, out.width, subsequent_indent=" " * 6, break_long_words=False, break_on_hyphens=False
    )


def _key_text(row: dict[str, Any]) -> str:
    """Description of a key in one line."""
    unit = f" {row['unit']}" if row.get("unit") else ""
    words = {
        row["meaning"].rstrip("."): True,
        f"allowed {row.get('allowed')}{unit}": row.get("allowed"),
        f"published or plausible {row.get('published')}{unit}": row.get("published"),
        f"one of {', '.join(row['choices'])}": len(row["choices"]) > 1,
        f"source: {row.get('source')}": row.get("source"),
    }
    return "; ".join(word for word, true in words.items() if word and true)
