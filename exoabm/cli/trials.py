"""The command that tests claims."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from exoabm.cli.app import (
    PANEL,
    ClusterOption,
    EngineOption,
    JobsOption,
    JsonOption,
    SetOption,
    app,
    changes_of,
    last_words,
    load,
    out,
    print_json,
    progress,
    tell_damage,
)
from exoabm.errors import InputError

if TYPE_CHECKING:
    from exoabm.api.trials import Trial
    from exoabm.batch.trials.trial import Trial as Judged

COLOR = {
    "supports": "green",
    "does not support": "red",
    "inconclusive": "bright_black",
    "assumption-dependent": "yellow",
}


@app.command(rich_help_panel=PANEL)
def trial(
    scenario: Annotated[
        str | None, typer.Argument(metavar="SCENARIO", help="A scenario with arms, by name or path.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="All included scenarios with arms.")] = False,
    replicates: Annotated[
        int | None, typer.Option(min=2, help="Paired replicates; default as in the scenario.")
    ] = None,
    jobs: JobsOption = 1,
    cluster: ClusterOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first replicate.")] = 1,
    sweep: Annotated[bool, typer.Option(help="Sweep the assumptions on which the answer may depend.")] = True,
    engine: EngineOption = None,
    set_: SetOption = None,
    out_: Annotated[
        Path | None, typer.Option("--out", help="Folder; default trials/NAME, and DIR/NAME with --all.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing trial.")] = False,
    keep_runs: Annotated[
        bool, typer.Option("--keep-runs", help="Keep the run folders of all replicates, not only the first.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the arms of a scenario in pairs and test its claim. Not for clinical use."""
    from exoabm.api.batches import workers_of
    from exoabm.api.trials import planned, run_plan
    from exoabm.batch.trials.trial import check_folder

    work, done = [], []
    for name in _chosen(scenario, all_, set_, engine):
        loaded, plan = planned(
            name, changes_of(set_, engine), replicates=replicates, seed=seed, sweep=sweep, keep_runs=keep_runs
        )
        stem = Path(loaded.name).stem
        folder = out_ / stem if out_ and all_ else out_ or Path("trials") / stem
        check_folder(plan, folder, overwrite=overwrite)
        work.append((plan, folder, workers_of(jobs, cluster, loaded)))
    for plan, folder, workers in work:
        with last_words(folder):
            with progress(folder.name) as tell:
                found = run_plan(plan, folder, workers=workers, overwrite=overwrite, tell=tell)
            done.append(_report(found, quiet=as_json))
    if as_json:
        print_json(done if all_ else done[0])
    elif all_:
        _print_all(done)


def finish_trial(found: Trial, as_json: bool) -> None:
    """Print a resumed trial."""
    said = _report(found, quiet=as_json)
    if as_json:
        print_json(said)


def _report(found: Trial, *, quiet: bool) -> dict[str, Any]:
    """Print the results of a trial unless ``quiet``, and return the summary."""
    from exoabm.batch.trials.trial import summary

    tell_damage(found.damage)
    if not quiet:
        _print(found.judged, found.folder)
    return {"folder": str(found.folder), **summary(found.judged)}


def _chosen(scenario: str | None, all_: bool, set_: list[str] | None, engine: str | None) -> list[str]:
    """The scenarios to test."""
    from exoabm.scenario.loader import shipped

    if all_ == (scenario is not None):
        raise InputError("name a scenario, or say --all")
    if all_ and (set_ or engine):
        raise InputError("--set and --engine go with one scenario, not with --all")
    if scenario is not None:
        return [scenario]
    return [name for name in shipped() if load(name).scenario.trial is not None]


def _print(result: Judged, folder: Path) -> None:
    out.print(
        f"[bold]{escape(result.scenario.scenario.info.title)}[/]: {escape(result.table.claim)}",
        highlight=False,
    )
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("readout", "arms", "claimed", "found", "95 % interval", "verdict"):
        table.add_column(column, justify="right" if column in ("found", "95 % interval") else "left")
    for comparison in result.comparisons:
        criterion, effect = comparison.criterion, comparison.effect
        found = (
            ("not defined", "")
            if effect is None
            else (
                f"{effect.estimate:.4g}",
                f"{effect.low:.4g} to {effect.high:.4g}",
            )
        )
        by = f" by {float(criterion.by):g}" if criterion.by else ""
        table.add_row(
            escape(criterion.readout),
            escape(f"{criterion.arm} / {criterion.versus}"),
            f"{criterion.direction}{by}{' (ratio)' if criterion.scale == 'ratio' else ''}",
            *found,
            _colored(comparison.verdict),
        )
    out.print(table)
    for each in result.sweeps:
        for flip in each.flips:
            low, high = flip.between
            out.print(
                f"between {escape(flip.assumption)} = {low:.3g} and {high:.3g} from {flip.verdicts[0]} to "
                f"{flip.verdicts[1]}",
                highlight=False,
            )
    out.print(f"verdict: {_colored(result.verdict)}", highlight=False)
    out.print(f"[green]{escape(str(folder / 'report.html'))}[/]\n", highlight=False)


def _print_all(done: list[dict[str, Any]]) -> None:
    table = Table("scenario", "claim", "verdict", box=None, header_style="bold", pad_edge=False)
    for said in done:
        table.add_row(escape(said["scenario"]), escape(said["claim"]), _colored(said["verdict"]))
    out.print(table)
    out.print("Not for clinical use.", highlight=False)


def _colored(verdict: str) -> str:
    return f"[{COLOR[str(verdict)]}]{verdict}[/]"
