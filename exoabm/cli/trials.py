"""The command that puts claims to the test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from exoabm.cli.app import app
from exoabm.cli.console import JsonOption, Progress, SetOption, load, out, print_json, refuse_large_grid
from exoabm.errors import InputError

if TYPE_CHECKING:
    from exoabm.batch.trials.trial import Trial
    from exoabm.scenario.loader import LoadedScenario

PANEL = "Many runs"
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
    all_: Annotated[bool, typer.Option("--all", help="Every shipped scenario that has arms.")] = False,
    replicates: Annotated[
        int | None, typer.Option(min=2, help="Paired replicates; the scenario's own number if not given.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=1024, help="Processes. The result is the same.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first replicate.")] = 1,
    sweep: Annotated[bool, typer.Option(help="Sweep the assumptions that the answer may rest on.")] = True,
    set_: SetOption = None,
    out_: Annotated[
        Path | None, typer.Option("--out", help="Folder; trials/NAME if not given, and DIR/NAME with --all.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace what stands there.")] = False,
    keep_runs: Annotated[
        bool, typer.Option("--keep-runs", help="Keep the run folder of every replicate, not of the first.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the arms of a scenario in pairs; say whether the model supports its claim. Not for clinical use."""
    chosen = _chosen(scenario, all_, set_)
    folders = {
        each.name: out_ / each.name if out_ and all_ else out_ or Path("trials") / Path(each.name).stem
        for each in chosen
    }
    from exoabm.observe.run_folder import RunFolder

    for folder in folders.values():
        RunFolder(folder, overwrite=overwrite)
    from exoabm.batch.trials.trial import run_trial
    from exoabm.batch.trials.trial_folder import summary, write_trial

    done = []
    for each in chosen:
        with Progress(Path(each.name).stem) as tick:
            result = run_trial(
                each, replicates=replicates, sweep=sweep, jobs=jobs, base_seed=seed, progress=tick
            )
        write_trial(result, folders[each.name], overwrite=overwrite, keep_runs=keep_runs)
        done.append(result)
        if not as_json:
            _print(result, folders[each.name])
    if as_json:
        reports = [{"folder": str(folders[t.scenario.name]), **summary(t)} for t in done]
        print_json(reports if all_ else reports[0])
    elif all_:
        _print_all(done)


def _chosen(scenario: str | None, all_: bool, set_: list[str] | None) -> list[LoadedScenario]:
    """The scenarios to try; what is wrong with one of them is said before any runs."""
    from exoabm.scenario.loader import shipped

    if all_ == (scenario is not None):
        raise InputError("name a scenario, or say --all")
    if all_ and set_:
        raise InputError("--set goes with one scenario, not with --all")
    names = list(shipped()) if all_ else [str(scenario)]
    loaded = [load(name, set_) for name in names]
    chosen = [each for each in loaded if not all_ or each.scenario.trial is not None]
    for each in chosen:
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


def _print_all(done: list[Trial]) -> None:
    table = Table("scenario", "claim", "verdict", box=None, header_style="bold", pad_edge=False)
    for result in done:
        table.add_row(result.scenario.name, escape(result.table.claim), _colored(result.verdict))
    out.print(table)
    out.print("Not for clinical use.", highlight=False)


def _colored(verdict: str) -> str:
    return f"[{COLOR[str(verdict)]}]{verdict}[/]"
