"""The command line. Errors are one message without a traceback; exit codes are a contract.

0 done, 1 a run failed, 2 bad input, 3 resources refused, 4 numerical failure, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import json
import math
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from exoabm.errors import ExoError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exoabm.batch.run import RunResult
    from exoabm.scenario.loader import LoadedScenario

INTERRUPTED = 130

app = typer.Typer(
    name="exoabm",
    help="Simulate how cells talk through extracellular vesicles.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)

ScenarioArgument = Annotated[
    str,
    typer.Argument(metavar="SCENARIO", help="A shipped scenario's name, or a path to a TOML file."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a value, e.g. cell_type.donor.release_rate='10 / h'. May be repeated.",
    ),
]
ThreadsOption = Annotated[int, typer.Option(min=1, max=256, help="Threads for large grids.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


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


@app.command("list")
def list_scenarios(as_json: JsonOption = False) -> None:
    """List the scenarios that come with exoabm, and the question that each one asks."""
    from exoabm.scenario.loader import load, shipped

    infos = {name: load(name).scenario.info for name in shipped()}
    if as_json:
        _print_json([{"name": n, "title": i.title, "question": i.question} for n, i in infos.items()])
        return
    table = Table("scenario", "question", box=None, header_style="bold", pad_edge=False)
    for name, info in infos.items():
        table.add_row(f"[cyan]{name}[/]", info.question)
    out.print(table)


@app.command()
def show(scenario: ScenarioArgument, set_: SetOption = None, as_json: JsonOption = False) -> None:
    """Show every key of a scenario: value, unit, allowed and published range, source."""
    loaded = _load(scenario, set_)
    rows = list(_rows(loaded))
    if as_json:
        _print_json({"name": loaded.name, "sha256": loaded.sha256(), "parameters": rows})
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


@app.command()
def run(
    scenario: ScenarioArgument,
    seed: Annotated[int | None, typer.Option(help="0 to 2^63 - 1; drawn and recorded if not given.")] = None,
    hours: Annotated[
        float | None, typer.Option(help="Model time; the scenario's duration if not given.")
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="continuum or vesicles; the scenario's if not given.")
    ] = None,
    set_: SetOption = None,
    out_: Annotated[
        Path | None, typer.Option("--out", help="Run folder; runs/NAME-SEED if not given.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing or unfinished run folder.")] = False,
    checkpoint_every: Annotated[
        str | None,
        typer.Option(help="Model time, e.g. '1 h'. The run can be resumed from OUT.unfinished if it stops."),
    ] = None,
    threads: ThreadsOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Run a scenario and write its run folder."""
    loaded = _load(scenario, [*(set_ or []), *([f"transport.engine={engine}"] if engine else [])])
    _refuse_large_grid(loaded)
    from exoabm.streams import Streams

    seed = Streams.from_entropy(seed).seed
    hours = _positive_hours(hours)
    interval = _interval(checkpoint_every)
    folder = out_ or Path("runs") / f"{Path(loaded.name).stem}-{seed}"
    _check_folder(folder, overwrite)
    from exoabm.batch.run import run_to_folder

    with _progress(Path(loaded.name).stem) as tick, _last_words(folder):
        result = run_to_folder(
            loaded,
            folder,
            seed=seed,
            hours=hours,
            overwrite=overwrite,
            threads=threads,
            checkpoint_every=interval,
            progress=tick,
        )
    _report(result, as_json)


@app.command()
def resume(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="The --out of the run, as it was given.")],
    threads: ThreadsOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Go on with a run that stopped, from its last checkpoint; the results have the same bits."""
    from exoabm.batch.run import resume_run
    from exoabm.observe.run_folder import UNFINISHED

    if folder.name.endswith(UNFINISHED):
        folder = folder.with_name(folder.name.removesuffix(UNFINISHED))
    with _progress(folder.name) as tick, _last_words(folder):
        result = resume_run(folder, threads=threads, progress=tick)
    _report(result, as_json)


@app.command()
def validate(scenario: ScenarioArgument, set_: SetOption = None, as_json: JsonOption = False) -> None:
    """Check a scenario wholly, its table and layout included, without running it."""
    loaded = _load(scenario, set_)
    _refuse_large_grid(loaded)
    from exoabm.scenario.builder import blueprint, census

    plan = blueprint(loaded, seed=0)
    cells = census(plan.types, plan.type_index)
    if as_json:
        _print_json({"valid": True, "cells": cells, "warnings": plan.warnings})
        return
    for warning in plan.warnings:
        err.print(f"[yellow]Warning:[/] {escape(warning)}", highlight=False)
    counts = ", ".join(f"{n:,} {name}" for name, n in cells.items())
    out.print(f"{escape(loaded.name)} is valid: {plan.domain.describe()}; {counts}", highlight=False)


@app.command()
def estimate(scenario: ScenarioArgument, set_: SetOption = None, as_json: JsonOption = False) -> None:
    """Estimate the memory and time of a run before it starts; refuse (exit 3) what cannot fit."""
    from dataclasses import asdict

    loaded = _load(scenario, set_)
    _refuse_large_grid(loaded)
    from exoabm.scenario.builder import blueprint
    from exoabm.scenario.estimate import gib

    plan = blueprint(loaded, seed=0)
    guess = plan.estimate
    if as_json:
        _print_json(asdict(guess))
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("grid", f"{guess.voxels:,} voxels x {guess.labels} origins x {guess.kinds} vesicle kinds")
    table.add_row("cells", f"{guess.cells:,}")
    table.add_row("steps", f"{guess.steps:,} of up to {guess.substeps} sub-steps")
    table.add_row("memory", f"{gib(guess.memory_bytes)} of {gib(guess.allowed_bytes)} allowed")
    table.add_row("time", f"about {guess.seconds:.2g} s")
    out.print(table)


@app.command()
def export(
    source: Annotated[str, typer.Argument(help="A run folder, or a scenario.")],
    to: Annotated[Path, typer.Option("--to", help="Folder (of a run's tables) or TOML file to write.")],
    format_: Annotated[
        str, typer.Option("--format", help="For a run's tables: csv, json, arrow or numpy.")
    ] = "csv",
    set_: SetOption = None,
    overwrite: Annotated[bool, typer.Option(help="Replace what stands there.")] = False,
) -> None:
    """Write a run's tables in another format, or a scenario as one complete TOML file."""
    from exoabm.batch.export import export_run, export_scenario

    folder = Path(source)
    if folder.is_dir():
        if set_:
            raise InputError("--set goes with a scenario; a run is exported as it was")
        written = export_run(folder, to, format_, overwrite=overwrite)
    else:
        written = [export_scenario(_load(source, set_), to, overwrite=overwrite)]
    for path in written:
        out.print(escape(str(path)), highlight=False)


@app.command()
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

        keys = sources(_load(scenario, None))
    if as_json:
        _print_json({key: references()[key] for key in keys})
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


@app.command()
def bench(
    what: Annotated[str, typer.Argument(help="Which benchmark.")] = "continuum",
    as_json: JsonOption = False,
) -> None:
    """Measure speed beside a plain reference in the same run. Only the ratios travel between machines."""
    from exoabm.batch.bench import run_benchmark

    report = run_benchmark(what)
    if as_json:
        _print_json(report.rows)
        return
    table = Table(*report.columns, box=None, header_style="bold", pad_edge=False, title=report.title)
    for row in report.rows:
        table.add_row(*(str(row[column]) for column in report.columns))
    out.print(table)


def _load(scenario: str, pairs: list[str] | None) -> LoadedScenario:
    from exoabm.scenario.loader import load

    overrides = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {pair!r}: write KEY=VALUE, e.g. --set clock.duration='12 h'")
        overrides[key.strip()] = value.strip()
    return load(scenario, overrides)


def _refuse_large_grid(loaded: LoadedScenario) -> None:
    """Refuse before the slow imports what cannot fit by its declared size alone."""
    from exoabm.scenario.estimate import refuse_large_grid

    refuse_large_grid(loaded.scenario)


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


def _positive_hours(hours: float | None) -> float | None:
    if hours is not None and not 0 < hours < 1e6:
        raise InputError(f"--hours {hours:g}: must be above 0 and below 1e6")
    return hours


def _interval(text: str | None) -> float | None:
    """A time above 0 in s; a bare number is in hours."""
    from exoabm.parameters.units import to_internal

    if text is None:
        return None
    try:
        seconds = to_internal(text, "h")[1]
    except InputError as error:
        raise InputError(f"--checkpoint-every: {error}") from None
    if not 0 < seconds < math.inf:
        raise InputError(f"--checkpoint-every {text}: must be a time above 0, such as '1 h'")
    return seconds


def _check_folder(path: Path, overwrite: bool) -> None:
    """Fail before the slow imports, not after them."""
    from exoabm.observe.run_folder import RunFolder

    RunFolder(path, overwrite=overwrite)


@contextlib.contextmanager
def _last_words(folder: Path) -> Iterator[None]:
    """On an interrupt, say what is left of a run."""
    from exoabm.observe.run_folder import CHECKPOINT, UNFINISHED

    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        kept = (folder.parent / f"{folder.name}{UNFINISHED}" / CHECKPOINT).exists()
        left = f"`exoabm resume {folder}` goes on with it" if kept else "nothing was left behind"
        err.print(f"interrupted; {escape(left)}", highlight=False)
        raise


class _progress:
    """A progress bar on stderr where that is a terminal, else nothing."""

    def __init__(self, title: str) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn(title),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TimeRemainingColumn(),
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


def _report(result: RunResult, as_json: bool) -> None:
    for warning in result.warnings:
        err.print(f"[yellow]Warning:[/] {escape(warning)}", highlight=False)
    if as_json:
        _print_json({"folder": str(result.folder), **result.summary})
    else:
        _print_result(result)


def _print_result(result: RunResult) -> None:
    summary = result.summary
    out.print(
        f"[bold]{escape(summary['title'])}[/]: {summary['hours']:g} h, seed {summary['seed']}",
        highlight=False,
    )
    for kind, ledger in summary["ledger"].items():
        table = Table(box=None, header_style="bold", pad_edge=False)
        table.add_column(kind)
        table.add_column("vesicles", justify="right")
        table.add_column("share", justify="right")
        for place, count in ledger.items():
            if count or place == "emitted":
                share = count / ledger["emitted"] if ledger["emitted"] else 0.0
                name = "internalized (now)" if place == "internalized" else place.replace("_", " ")
                table.add_row(name, _counted(count), f"{share:.2%}")
        out.print(table)
    taken = summary["communication"]["internalized_by_type"]
    if any(any(row.values()) for row in taken.values()):
        table = Table(box=None, header_style="bold", pad_edge=False)
        table.add_column("taken up from / by")
        receivers = list(next(iter(taken.values())))
        for receiver in receivers:
            table.add_column(receiver, justify="right")
        for donor, row in taken.items():
            table.add_row(donor, *(f"{row[r]:,.1f}" for r in receivers))
        out.print(table)
    _print_strongest(summary["communication"]["strongest_edges"])
    threshold = summary["communication"]["threshold_per_mL"]
    for kind, distance in summary["communication"]["communication_distance_um"].items():
        reach = "beyond the domain" if distance is None else f"{distance:,.0f} um"
        out.print(f"{kind} stays above {threshold:.3g} /mL out to {reach} from the donors", highlight=False)
    out.print(f"[green]{escape(str(result.folder))}[/]", highlight=False)


def _print_strongest(edges: list[dict[str, Any]]) -> None:
    if not edges:
        return
    copies = [name for name in edges[0] if name.startswith("copies_delivered_")]
    table = Table(
        box=None, header_style="bold", pad_edge=False, title="strongest edges", title_justify="left"
    )
    table.add_column("donor -> recipient")
    for name in ("taken up", "delivered", *(f"{c.removeprefix('copies_delivered_')} copies" for c in copies)):
        table.add_column(name, justify="right")
    for edge in edges:
        ends = f"{edge['donor_type']} {edge['donor']} -> {edge['recipient_type']} {edge['recipient']}"
        counts = (edge[name] for name in ("internalized", "delivered", *copies))
        table.add_row(ends, *map(_counted, counts))
    out.print(table)


def _counted(count: float) -> str:
    """A number of vesicles: whole, or with four figures where it is an expected one."""
    return f"{count:,.0f}" if count >= 1e4 or count == int(count) else f"{count:,.4g}"


def _print_json(data: Any) -> None:
    print(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False, default=str))


if __name__ == "__main__":
    main()
