"""Commands that run a scenario or resume a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

import exoabm
from exoabm import collector_paused
from exoabm.cli.console import (
    app,
    out,
    plain_table,
    print_compiling,
    print_json,
    print_note,
    print_path,
    print_recognized,
    print_warnings,
    progress,
    state_how_to_resume,
)
from exoabm.cli.options import (
    ClusterOption,
    EngineOption,
    HoursOption,
    JobsOption,
    JsonOption,
    ScenarioArgument,
    SeedOption,
    SetOption,
    ThreadsOption,
    check_grid_memory,
    load,
    positive_hours,
)
from exoabm.errors import InputError

if TYPE_CHECKING:
    from exoabm.api.runs import Run
    from exoabm.runs.run_execution import RunResult

PANEL = "Runs"
WORTH_TELLING = 1e-3
"""Expected vesicles; of fewer the terminal only says that they are fewer."""


@app.command(rich_help_panel=PANEL)
def run(
    scenario: ScenarioArgument,
    seed: SeedOption = None,
    hours: HoursOption = None,
    engine: EngineOption = None,
    set_: SetOption = None,
    out_: Annotated[Path | None, typer.Option("--out", help="Run folder; default runs/NAME-SEED.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing or unfinished run folder.")] = False,
    checkpoint_every: Annotated[
        str | None,
        typer.Option(help="Model time, e.g. '1 h'. An interrupted run is resumed from OUT.unfinished."),
    ] = None,
    keep_checkpoints: Annotated[
        bool, typer.Option(help="Keep them in OUT/checkpoints, for `exoabm whatif OUT --at TIME`.")
    ] = False,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a scenario, or repeat the run of a run folder, and write a run folder."""
    loaded = load(scenario, set_, engine)
    check_grid_memory(loaded)
    from exoabm.api.runs import repeated
    from exoabm.random_streams import Streams
    from exoabm.scenario.overrides import model_time

    seed, duration, between = repeated(scenario, seed=seed, hours=positive_hours(hours))
    seed = Streams.from_entropy(seed).seed
    interval = None if checkpoint_every is None else model_time(checkpoint_every, "--checkpoint-every")[1]
    if keep_checkpoints and interval is None:
        raise InputError("--keep-checkpoints needs --checkpoint-every, the model time between checkpoints")
    folder = out_ or Path("runs") / f"{Path(loaded.name).stem}-{seed}"
    _check_folder(folder, overwrite)
    state_how_to_resume(folder, batch=False)
    with collector_paused():
        from exoabm.plot.run_figure.drawing_process import DrawingProcess
        from exoabm.runs.measured_runtime import warning
        from exoabm.runs.run_execution import run_to_folder
        from exoabm.scenario.state_builder import blueprint

    with DrawingProcess() as drawing:
        prepared = blueprint(loaded, seed)
        long = warning(loaded, prepared.estimate, hours=duration, threads=threads, compiling=print_compiling)
        if long is not None:
            print_note(long)
        with progress(Path(loaded.name).stem) as update:
            result = run_to_folder(
                loaded,
                folder,
                seed=seed,
                hours=duration,
                overwrite=overwrite,
                threads=threads,
                checkpoint_every=interval,
                keep_checkpoints=keep_checkpoints,
                progress=update,
                changes_at=between,
                drawing=drawing,
                prepared=prepared,
            )
    _report(result, as_json)


@app.command(rich_help_panel=PANEL)
def resume(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of the run, sweep or trial, as given to --out.")
    ],
    threads: ThreadsOption = None,
    jobs: JobsOption = 1,
    cluster: ClusterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Resume an interrupted run, sweep or trial with identical results; merge the shards of a sweep."""
    state_how_to_resume(folder)
    with progress(folder.name) as update:
        found = exoabm.resume(folder, threads=threads, jobs=jobs, cluster=cluster, progress=update)
    if isinstance(found, exoabm.Run):
        _report(found, as_json)
    elif isinstance(found, exoabm.Sweep):
        from exoabm.cli.batch_commands import finish_sweep

        finish_sweep(found, as_json)
    else:
        from exoabm.cli.batch_commands import finish_trial

        finish_trial(found, as_json)


def _check_folder(path: Path, overwrite: bool) -> None:
    """Fail before slow imports."""
    from exoabm.output.run_folder import RunFolder

    RunFolder(path, overwrite=overwrite)


def _report(result: RunResult | Run, as_json: bool) -> None:
    print_recognized(result.recognized)
    print_warnings(*result.warnings)
    if as_json:
        print_json({"folder": str(result.folder), **result.summary})
    else:
        _print_result(result)


def _print_result(result: RunResult | Run) -> None:
    from exoabm.state import OUTSIDE

    summary = result.summary
    out.print(f"[bold]{escape(summary['title'])}[/]: {summary['hours']:g} h, seed {summary['seed']}")
    asked = summary.get("readout")
    if asked is not None and asked["value"] is not None:
        text = f"{asked['title']}: {_counted(asked['value'])} {asked['unit']}".rstrip()
        out.print(f"[bold]{escape(text)}[/] ({escape(asked['metric'])})")
    for kind, balance in summary["mass_balance"].items():
        table = plain_table(kind, right=("number", "share"))
        for place, count in balance.items():
            if count or place == "emitted":
                share = count / balance["emitted"] if balance["emitted"] else 0.0
                name = "endosomal (now)" if place == "endosomal" else place.replace("_", " ")
                table.add_row(name, _counted(count), f"{share:.2%}")
        out.print(table)
    taken = summary["communication"]["taken_up_by_type"]
    if any(any(row.values()) for row in taken.values()):
        receivers = list(next(iter(taken.values())))
        table = plain_table("taken up from / by", right=receivers)
        for donor, row in taken.items():
            table.add_row(donor, *(f"{row[r]:,.1f}" for r in receivers))
        out.print(table)
    for dose, forms in summary.get("body", {}).items():
        _print_body(dose, forms)
    _print_strongest(summary["communication"]["strongest_edges"])
    threshold = summary["communication"]["threshold_per_mL"]
    for kind, distance in summary["communication"]["communication_distance_um"].items():
        if set(taken) <= set(OUTSIDE):
            continue  # no donor cell to be far from
        reach = f"stays above {threshold:.3g} /mL out to {distance or 0:,.0f} um from the donors"
        if distance is None:
            reach = f"stays above {threshold:.3g} /mL at every distance from the donors"
        elif distance == 0:
            reach = f"is below {threshold:.3g} /mL at every distance from the donors"
        out.print(f"{kind} {reach}")
    print_path(result.folder)


def _print_body(dose: str, forms: dict[str, dict[str, dict[str, float]]]) -> None:
    """Where in the body a dose was; molecules that it set free beside its particles."""
    particles, molecules = forms["particles"], forms["molecules"]
    set_free = ["set free, highest recorded"] if molecules else []
    numbers = ("at the end", "highest recorded", "share x h", *set_free)
    table = plain_table(f"{dose} in the body", right=numbers)
    for place in dict.fromkeys((*particles, *molecules)):
        held, free = particles.get(place, {}), molecules.get(place)
        exposure = f"{held['exposure_h']:.3g}" if "exposure_h" in held else ""
        cells = [_share(held[key]) if held else "" for key in ("share", "most_share")]
        table.add_row(place, *cells, exposure, *([_share(free["most_share"])] if free else []))
    out.print(table)


def _share(value: float) -> str:
    return f"{value:.2%}" if value >= 5e-5 or value == 0 else "< 0.01%"


def _print_strongest(edges: list[dict[str, Any]]) -> None:
    if not edges:
        return
    copies = list(edges[0]["copies_delivered"])
    numbers = ("taken up", "delivered", *(f"{name} copies" for name in copies))
    table = plain_table("donor -> recipient", right=numbers, title="strongest edges")
    for edge in edges:
        donor = "" if edge["donor"] is None else f" {edge['donor']}"
        ends = f"{edge['donor_type']}{donor} -> {edge['recipient_type']} {edge['recipient']}"
        counts = (edge["taken_up"], edge["delivered"], *(edge["copies_delivered"][name] for name in copies))
        table.add_row(ends, *map(_counted, counts))
    out.print(table)


def _counted(count: float) -> str:
    """A number of vesicles: whole, or with four figures where it is an expected one worth telling."""
    if 0 < count < WORTH_TELLING:
        return f"< {WORTH_TELLING:g}"
    return f"{count:,.0f}" if count >= 1e4 or count == int(count) else f"{count:,.4g}"
