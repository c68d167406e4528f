"""Commands for sensitivity analysis and fitting."""

from __future__ import annotations

import shlex
from itertools import combinations
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Column

import exoabm
from exoabm.cli.console import (
    PANEL,
    app,
    out,
    plain_table,
    print_json,
    print_path,
    print_recognized,
    print_warnings,
    progress,
    state_what_is_kept,
)
from exoabm.cli.options import (
    ClusterOption,
    EngineOption,
    HoursOption,
    JobsOption,
    JsonOption,
    ReplicatesOption,
    ScenarioArgument,
    SetOption,
    changes_of,
    positive_hours,
)
from exoabm.errors import set_options, visible

if TYPE_CHECKING:
    from exoabm.api.calibration import Diameters, Fit
    from exoabm.batch.calibration.sensitivity import Sensitivity

ROUNDING = 1e-9
"""An interval below this share of its number is 0."""
TIED = 0.95
"""Correlation from which two fitted numbers are said to be tied."""

RangeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--vary",
        metavar="KEY=LO:HI[:log]",
        help="A parameter and its range. Repeatable; default all parameters in use with a published range.",
    ),
]


@app.command(rich_help_panel=PANEL)
def sensitivity(
    scenario: ScenarioArgument,
    out_: Annotated[Path, typer.Option("--out", help="Folder of the analysis.")],
    vary: RangeOption = None,
    readout: Annotated[
        str | None, typer.Option(help="Readout to analyze; default that of the scenario.")
    ] = None,
    trajectories: Annotated[int, typer.Option(help="Trajectories of the Morris screening.")] = 10,
    samples: Annotated[int, typer.Option(help="Samples for the Sobol indices; a power of two.")] = 128,
    replicates: ReplicatesOption = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the points and of the runs.")] = 0,
    hours: HoursOption = None,
    engine: EngineOption = None,
    set_: SetOption = None,
    jobs: JobsOption = 1,
    cluster: ClusterOption = None,
    overwrite: Annotated[bool, typer.Option(help="Restart where --out contains other runs.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Find the influential parameters by Morris screening and Sobol indices."""
    from exoabm.batch.calibration.sensitivity_report import plain

    state_what_is_kept(out_, overwrite=overwrite)
    with progress("sensitivity") as update:
        found = exoabm.sensitivity(
            scenario,
            vary or (),
            changes_of(set_, engine),
            readout=readout,
            trajectories=trajectories,
            samples=samples,
            replicates=replicates,
            seed=seed,
            hours=positive_hours(hours),
            jobs=jobs,
            cluster=cluster,
            out=out_,
            overwrite=overwrite,
            progress=update,
        ).found
    if as_json:
        print_json(plain(found))
    else:
        _print_sensitivity(found)
        print_path(out_)


@app.command(rich_help_panel=PANEL)
def fit(
    scenario: ScenarioArgument,
    data: Annotated[
        Path,
        typer.Option(
            help="Text or Parquet: time_h and readouts, each with its NAME_sd if known; or sizes of vesicles "
            "of NanoSight, of ZetaView, as a histogram or one by one; or a run folder."
        ),
    ],
    vary: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=LO:HI[:log]", help="A parameter to fit and its range. Repeatable."),
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="A column to fit; default all columns that vary.")
    ] = None,
    vesicle: Annotated[
        str | None, typer.Option(help="Vesicle kind of a histogram of diameters; default the first.")
    ] = None,
    heights: Annotated[
        str | None,
        typer.Option(help="Heights of a histogram without such information: count, density or log-density."),
    ] = None,
    censored: Annotated[
        str | None,
        typer.Option(help="Treatment of values such as <0.5: drop, half or limit; default refused."),
    ] = None,
    replicates: Annotated[int, typer.Option(help="Runs per point; their mean is fitted.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the starting points and of the runs.")] = 0,
    out_: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the runs and results; allows resumption."),
    ] = None,
    engine: EngineOption = None,
    set_: SetOption = None,
    jobs: JobsOption = 1,
    cluster: ClusterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit parameters of a scenario to measured time series, or vesicle diameters to histograms.

    With --out, the same command continues an interrupted fit.
    """
    from exoabm.api.calibration import Diameters
    from exoabm.batch.calibration.fit import plain

    state_what_is_kept(out_)
    with progress("fit") as update:
        result = exoabm.fit(
            scenario,
            data,
            vary or (),
            changes_of(set_, engine),
            columns=column or (),
            vesicle=vesicle,
            heights=heights,
            censored=censored,
            replicates=replicates,
            seed=seed,
            jobs=jobs,
            cluster=cluster,
            out=out_,
            progress=update,
        )
    if isinstance(result, Diameters):
        _print_diameters(result, as_json)
    elif as_json:
        print_json(plain(result.found))
    else:
        _print_fit(result)
        if out_ is not None:
            print_path(out_)


def _print_diameters(result: Diameters, as_json: bool) -> None:
    print_recognized(result.recognized)
    if as_json:
        print_json(result.rows())
        return
    found = result.found
    shown = plain_table("sample", right=("median, nm", "GSD", "misfit"), no_wrap=True)
    for each in found:
        shown.add_row(
            escape(visible(each.sample)),
            f"{each.median_nm:.1f} ({each.median_interval[0]:.1f} to {each.median_interval[1]:.1f})",
            f"{each.gsd:.3f} ({each.gsd_interval[0]:.3f} to {each.gsd_interval[1]:.3f})",
            f"{each.misfit:.0%}",
        )
    out.print(shown)
    medians, widths = [each.median_nm for each in found], [each.gsd for each in found]
    if len(found) > 1 and not result.notes:
        out.print(
            f"over {len(found)} samples: median {mean(medians):.1f} nm, SD {stdev(medians):.1f}; "
            f"GSD {mean(widths):.3f}, SD {stdev(widths):.3f}"
        )
    print_warnings(*(f"{apart}; each for itself:" for apart in result.notes))
    for values in result.values:
        (key, median), (width_key, width) = values.items()
        out.print(f"--set {key}='{median}' --set {width_key}={width}")


def _print_fit(result: Fit) -> None:
    found = result.found
    table = plain_table(Column("number", no_wrap=True), right=("value", "95 % interval"), no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for number in found.numbers:
        low, high = (f"{v:.4g}" for v in (number.low, number.high))
        interval = f"{'<' if number.low_open else ''}{low} to {'>' if number.high_open else ''}{high}"
        table.add_row(escape(number.key), f"{number.value:.4g}", interval, escape(number.unit))
    out.print(table)
    measure = "standard deviations (1 is expected)" if result.given else "of the columns' size"
    out.print(f"{found.runs:,} runs; root mean square misfit {found.error:.3g} {measure}")
    print_warnings(*result.notes)
    keys = [number.key for number in found.numbers]
    for i, j in combinations(range(len(keys)), 2):
        if abs(found.correlation[i][j]) > TIED:
            print_warnings(
                f"{keys[i]} and {keys[j]} are correlated (correlation {found.correlation[i][j]:.2f}); "
                "only their combination is well determined"
            )
    out.print(escape(shlex.join(set_options(found.overrides))))


def _print_sensitivity(found: Sensitivity) -> None:
    first = Column("* assumed", overflow="fold")
    table = plain_table(first, right=("mu*", "alone", "in all"), no_wrap=True)
    for index in found.indices:
        shares = ["left out", ""]
        if index.total is not None:
            pairs = ((index.first, index.first_half), (index.total, index.total_half))
            shares = [f"{share:.2f} ± {half:.2f}" for share, half in pairs]
        table.add_row(
            ("*" if index.factor.assumed else " ") + escape(index.factor.key),
            f"{index.mu_star:.2g} ± {max(index.mu_star_half - ROUNDING * index.mu_star, 0):.1g}",
            *shares,
        )
    out.print(table)
    out.print(
        f"{found.runs:,} runs of {escape(found.name)}: {found.mean:.4g}, "
        f"standard deviation {found.deviation:.3g}; between seeds {found.noise:.3g}, "
        f"{100 * found.noise_share:.2g} % of the variance"
    )
    out.print(f"\n{escape(found.sentence)}")
