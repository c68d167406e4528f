"""Commands that run sweeps and trials, or compare runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Column

import exoabm
from exoabm.cli.console import (
    PANEL,
    app,
    out,
    plain_table,
    print_damage,
    print_json,
    print_path,
    print_warnings,
    progress,
    state_how_to_resume,
    state_what_remains,
)
from exoabm.cli.options import (
    ClusterOption,
    EngineOption,
    HoursOption,
    JobsOption,
    JsonOption,
    ReplicatesOption,
    ScenarioArgument,
    SeedOption,
    SetOption,
    changes_of,
    load,
    positive_hours,
)
from exoabm.errors import InputError, RunFailed
from exoabm.text_formatting import counted

if TYPE_CHECKING:
    from exoabm.api.batches import Sweep
    from exoabm.api.trials import Trial
    from exoabm.batch.comparison import Comparison
    from exoabm.batch.execution.runner import Outcome
    from exoabm.batch.sweeps.summary import Summary
    from exoabm.batch.trials.trial import Trial as Judged


NAME_WIDTH, VALUE_WIDTH = 34, 18
"""Letters that the name of a readout takes in a table, and a mean with its interval."""
NUMBERS_WIDTH = 54
"""Letters that the numbers of a comparison take beside their readout's name."""
MANY_TIMES = 3.0
"""From this factor on a change is printed as a factor."""
MOST_LEVELS = 12
"""Values of a varied key that are printed where there is room for more; ``summary.parquet`` has all."""


@app.command(rich_help_panel=PANEL)
def sweep(
    scenario: ScenarioArgument,
    out_: Annotated[Path, typer.Option("--out", help="Folder of the sweep.")],
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=A,B,C|KEY=LO:HI:N[:log]",
            help="Values of a key. Repeatable; without it, one point is replicated.",
        ),
    ] = None,
    design: Annotated[
        str, typer.Option(help="grid (all combinations), lhs or sobol (N points in the ranges).")
    ] = "grid",
    replicates: ReplicatesOption = 1,
    independent: Annotated[bool, typer.Option(help="Use different seeds for each point.")] = False,
    seed: SeedOption = None,
    hours: HoursOption = None,
    engine: EngineOption = None,
    set_: SetOption = None,
    keep: Annotated[
        str, typer.Option(help="readouts (numbers only) or runs (run folders as well).")
    ] = "readouts",
    jobs: JobsOption = 1,
    cluster: ClusterOption = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Run part I of N; `exoabm resume OUT` merges the parts.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing sweep at --out.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run a scenario over many values and seeds; `exoabm resume` continues after an interruption."""
    state_how_to_resume(out_)
    with progress(out_.name) as update:
        found = exoabm.sweep(
            scenario,
            vary or (),
            changes_of(set_, engine),
            design=design,
            replicates=replicates,
            seed=seed,
            independent=independent,
            hours=positive_hours(hours),
            keep=keep,
            jobs=jobs,
            cluster=cluster,
            shard=shard,
            out=out_,
            overwrite=overwrite,
            progress=update,
        )
    finish_sweep(found, as_json)


@app.command(rich_help_panel=PANEL)
def compare(
    a: Annotated[str, typer.Argument(help="A run folder, a sweep, or one of its arms: DIR@KEY=VALUE.")],
    b: Annotated[str, typer.Argument(help="Run, sweep or arm to compare with A.")],
    out_: Annotated[
        Path | None, typer.Option("--out", help="Folder for the table and the difference curves.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Include identical readouts.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace an earlier comparison.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare two runs or arms: changed keys, and differences of readouts."""
    from exoabm.batch.comparison import SAME

    result = exoabm.compare(a, b)
    if as_json:
        print_json(result.found.plain())
    else:
        _print_comparison(result.found, SAME if not all_ else -1.0)
    if out_ is not None:
        state_what_remains(out_)
        written = result.save(out_, overwrite=overwrite)
        if not as_json:
            for path in written:
                print_path(path)


def _print_comparison(found: Comparison, least: float) -> None:
    print_warnings(*found.warnings)
    out.print(f"A  {escape(found.a.name)}\nB  {escape(found.b.name)}")
    if not found.changed:
        out.print("no key of the scenario differs")
    for key, (old, new) in found.changed.items():
        out.print(f"  {escape(key)}: {escape(old)} -> {escape(new)}")
    seeds = "the same seeds" if found.a.seeds == found.b.seeds else "other seeds"
    pairs = f", {found.paired:,} pairs" if found.paired > 1 else ""
    out.print(f"{seeds}{pairs}")
    table = plain_table(
        Column("readout", no_wrap=True, overflow="fold"), right=("A", "B", "B - A", "change"), no_wrap=True
    )
    shown = [
        line
        for line in found.lines
        if line.readout == found.main or abs(line.difference) > least * max(abs(line.a), abs(line.b))
    ]
    room = max(20, out.width - NUMBERS_WIDTH)
    for line in shown:
        change = _with_interval(line.difference, line.half or 0.0)
        name, numbers = escape(_broken(line.readout, room)), (f"{line.a:.5g}", f"{line.b:.5g}")
        table.add_row(name, *numbers, change, _change(line.relative))
    if shown:
        out.print(table)
    if len(shown) < len(found.lines):
        same = len(found.lines) - len(shown)
        out.print(f"{counted(same, 'readout')} {'is' if same == 1 else 'are'} the same")


def _change(relative: float | None) -> str:
    """A difference relative to A, or the factor B/A where it is large."""
    if relative is None:
        return ""
    return f"{1 + relative:,.3g} times" if 1 + relative >= MANY_TIMES else f"{relative:+.1%}"


def _broken(name: str, width: int) -> str:
    """A long name on several lines, broken after underscores, brackets and spaces."""
    lines = [""]
    for part in re.findall(r"[^_\[ ]*[_\[ ]?", name):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return "\n  ".join(lines)


def finish_sweep(found: Sweep, as_json: bool) -> None:
    """Summarize a sweep; failed rows are an error after all others are complete."""
    from exoabm.batch.execution.runner import is_shard

    outcome = found.outcome
    assert outcome is not None
    summary = None if is_shard(found.folder) else found.summary
    print_warnings(*outcome.notes)
    print_damage(found.damage)
    if as_json:
        print_json(_plain_sweep(outcome, summary))
    else:
        _print_sweep(outcome, summary)
    if outcome.failed:
        lines = [f"  {name}: {reason}" for name, reason in outcome.reasons.items()]
        more = ["  ..."] * (outcome.failed > len(lines))
        raise RunFailed("\n".join([f"{outcome.failed:,} of {outcome.rows:,} rows failed:", *lines, *more]))


def _plain_sweep(outcome: Outcome, summary: Summary | None) -> dict[str, Any]:
    return {
        "folder": str(outcome.folder),
        "rows": outcome.rows,
        "ran": outcome.ran,
        "failed": outcome.failed,
        "reasons": outcome.reasons,
        "damage": list(outcome.damage),
        "warnings": summary.warnings() if summary else [],
    }


def _print_sweep(outcome: Outcome, summary: Summary | None) -> None:
    before = outcome.rows - outcome.ran
    kept = f" ({before:,} computed before)" if before else ""
    out.print(f"{counted(outcome.rows, 'row')}, {outcome.failed:,} failed{kept}")
    if summary is not None:
        print_warnings(*summary.warnings())
        _print_effects(summary)
    print_path(outcome.folder)


def _print_effects(summary: Summary) -> None:
    """Main readouts at values of each varied key, or at the single point."""
    from exoabm.batch.sweeps.summary import headline

    if len(summary.points) == 1:
        table = plain_table("mean and 95 % interval", "")
        for name, mean, half in zip(summary.readouts, summary.mean[0], summary.half[0], strict=True):
            table.add_row(escape(name), _with_interval(mean, half))
        out.print(table)
    shown = headline(summary)
    for varied in summary.varied:
        levels = list(summary.marginal(varied.key).items())
        if not shown or len(levels) < 2:
            continue
        most = min(len(levels), MOST_LEVELS, max(2, (out.width - NAME_WIDTH) // VALUE_WIDTH))
        levels = [levels[round(i * (len(levels) - 1) / (most - 1))] for i in range(most)]
        title = f"{escape(varied.column)}: mean and 95 % interval"
        table = plain_table(Column("", no_wrap=True, min_width=NAME_WIDTH), title=title)
        for value, _ in levels:
            word = f"{value:.6g}" if isinstance(value, float) else str(value)
            table.add_column(escape(word), justify="right", overflow="fold")
        for name in shown:
            column = summary.readouts.index(name)
            intervals = (_with_interval(mean[column], half[column]) for _, (mean, half) in levels)
            table.add_row(escape(name), *intervals)
        out.print(table)


def _with_interval(mean: float, half: float) -> str:
    return f"{mean:.4g} ± {float(f'{half:.2g}'):g}" if half > 0 else f"{mean:.4g}"


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
    for name in _chosen_trials(scenario, all_, set_, engine):
        loaded, plan = planned(
            name, changes_of(set_, engine), replicates=replicates, seed=seed, sweep=sweep, keep_runs=keep_runs
        )
        stem = Path(loaded.name).stem
        folder = out_ / stem if out_ and all_ else out_ or Path("trials") / stem
        check_folder(plan, folder, overwrite=overwrite)
        work.append((plan, folder, workers_of(jobs, cluster, loaded)))
    for plan, folder, workers in work:
        state_how_to_resume(folder)
        with progress(folder.name) as update:
            found = run_plan(plan, folder, workers=workers, overwrite=overwrite, update=update)
        done.append(_report_trial(found, quiet=as_json))
    if as_json:
        print_json(done if all_ else done[0])
    elif all_:
        _print_trials(done)


def finish_trial(found: Trial, as_json: bool) -> None:
    """Print a resumed trial."""
    rows = _report_trial(found, quiet=as_json)
    if as_json:
        print_json(rows)


def _report_trial(found: Trial, *, quiet: bool) -> dict[str, Any]:
    """Print the results of a trial unless ``quiet``, and return the summary."""
    from exoabm.batch.trials.trial_folder import summary

    print_damage(found.damage)
    if not quiet:
        _print_trial(found.judged, found.folder)
    return {"folder": str(found.folder), **summary(found.judged)}


def _chosen_trials(scenario: str | None, all_: bool, set_: list[str] | None, engine: str | None) -> list[str]:
    """The scenarios to test."""
    from exoabm.scenario.loader import shipped

    if all_ == (scenario is not None):
        raise InputError("give a scenario, or --all")
    if all_ and (set_ or engine):
        raise InputError("--set and --engine go with one scenario, not with --all")
    if scenario is not None:
        return [scenario]
    return [name for name in shipped() if load(name).scenario.trial is not None]


def _print_trial(result: Judged, folder: Path) -> None:
    out.print(f"[bold]{escape(result.scenario.scenario.info.title)}[/]: {escape(result.table.claim)}")
    numbers = (Column(name, justify="right") for name in ("found", "95 % interval"))
    table = plain_table("readout", "arms", "claimed", *numbers, "verdict")
    for comparison in result.comparisons:
        criterion, effect = comparison.criterion, comparison.effect
        found = (
            ("not defined", "")
            if effect is None
            else (f"{effect.estimate:.4g}", f"{effect.low:.4g} to {effect.high:.4g}")
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
                f"{flip.verdicts[1]}"
            )
    out.print(f"verdict: {_colored(result.verdict)}")
    out.print(f"[green]{escape(str(folder / 'report.html'))}[/]\n")


def _print_trials(done: list[dict[str, Any]]) -> None:
    table = plain_table("scenario", "claim", "verdict")
    for row in done:
        table.add_row(escape(row["scenario"]), escape(row["claim"]), _colored(row["verdict"]))
    out.print(table)
    out.print("Not for clinical use.")


def _colored(verdict: str) -> str:
    return f"[{COLOR[str(verdict)]}]{verdict}[/]"
