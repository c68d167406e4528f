"""The command that tests claims."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from exoabm.cli.app import app
from exoabm.cli.console import (
    PANEL,
    ClusterOption,
    EngineOption,
    JobsOption,
    JsonOption,
    SetOption,
    counting,
    last_words,
    load,
    out,
    print_json,
    refuse_large_grid,
    tell_damage,
    workers_of,
)
from exoabm.errors import InputError

if TYPE_CHECKING:
    from exoabm.batch.execution.rows import Plan
    from exoabm.batch.execution.runner import Outcome
    from exoabm.batch.trials.trial import Trial
    from exoabm.scenario.loader import LoadedScenario

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
    chosen = _chosen(scenario, all_, set_, engine)
    from exoabm.batch.trials.design import plan_trial
    from exoabm.batch.trials.trial import check_folder, run_trial

    work = []
    for source, loaded in chosen.items():
        stem = Path(loaded.name).stem
        folder = out_ / stem if out_ and all_ else out_ or Path("trials") / stem
        plan = plan_trial(
            loaded, source=source, replicates=replicates, sweep=sweep, base_seed=seed, keep_runs=keep_runs
        )
        check_folder(plan, folder, overwrite=overwrite)
        work.append((plan, folder))
    workers, done = workers_of(jobs, cluster), []
    for plan, folder in work:
        with last_words(folder):
            with counting(folder.name) as progress:
                result = run_trial(
                    plan,
                    folder,
                    workers=workers,
                    overwrite=overwrite,
                    progress=progress,
                    damaged=tell_damage,
                )
            done.append(_report(result, folder, plan, quiet=as_json))
    if as_json:
        print_json(done if all_ else done[0])
    elif all_:
        _print_all(done)


def finish_trial(outcome: Outcome, as_json: bool) -> None:
    """Evaluate a resumed trial and write its report."""
    from exoabm.batch.trials.trial import judged

    said = _report(judged(outcome), outcome.folder, outcome.plan, quiet=as_json)
    if as_json:
        print_json(said)


def _report(result: Trial, folder: Path, plan: Plan, *, quiet: bool) -> dict[str, Any]:
    """Write the results of a trial, print them unless ``quiet``, and return the summary."""
    from exoabm.batch.trials.trial import summary, write_trial

    tell_damage(write_trial(result, folder, plan))
    if not quiet:
        _print(result, folder)
    return {"folder": str(folder), **summary(result)}


def _chosen(
    scenario: str | None, all_: bool, set_: list[str] | None, engine: str | None
) -> dict[str, LoadedScenario]:
    """The scenarios to test; errors in any of them are reported before the first run."""
    from exoabm.scenario.loader import shipped

    if all_ == (scenario is not None):
        raise InputError("name a scenario, or say --all")
    if all_ and (set_ or engine):
        raise InputError("--set and --engine go with one scenario, not with --all")
    names = list(shipped()) if all_ else [str(scenario)]
    loaded = {name: load(name, set_, engine) for name in names}
    chosen = {name: each for name, each in loaded.items() if not all_ or each.scenario.trial is not None}
    for each in chosen.values():
        if each.scenario.trial is None:
            having = [name for name in shipped() if load(name).scenario.trial is not None]
            raise InputError(f"{each.name} has no [trial]; scenarios that have: {', '.join(having)}")
        refuse_large_grid(each)
    return chosen


def _print(result: Trial, folder: Path) -> None:
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
