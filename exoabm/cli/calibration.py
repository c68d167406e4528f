"""Commands for sensitivity analysis and fitting."""

from __future__ import annotations

import contextlib
from itertools import combinations
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from exoabm.cli.app import app
from exoabm.cli.console import (
    PANEL,
    ClusterOption,
    EngineOption,
    HoursOption,
    JobsOption,
    JsonOption,
    ScenarioArgument,
    SetOption,
    counting,
    err,
    load,
    out,
    positive_hours,
    print_json,
    refuse_large_grid,
    say_table,
    workers_of,
)
from exoabm.errors import InputError, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exoabm.batch.calibration.fit import Fit
    from exoabm.batch.calibration.sensitivity import Sensitivity
    from exoabm.readers.particle_sizes import SizeTable
    from exoabm.scenario.loader import LoadedScenario

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
    replicates: Annotated[int, typer.Option(help="Runs per point; all points use the same seeds.")] = 1,
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
    loaded = load(scenario, set_, engine)
    refuse_large_grid(loaded)
    from exoabm.batch.calibration.evaluation import factors_of
    from exoabm.batch.calibration.sensitivity import foretell, run_sensitivity
    from exoabm.batch.calibration.sensitivity_report import plain, write_report
    from exoabm.batch.execution.workers import kept

    factors = factors_of(loaded, vary or ())
    duration = positive_hours(hours)
    effort = {"trajectories": trajectories, "samples": samples, "replicates": replicates}
    long = foretell(loaded, len(factors), **effort, hours=duration, jobs=jobs)
    if long is not None:
        err.print(f"[yellow]Note:[/] {escape(long)}", highlight=False)
    with _goes_on(out_), kept(workers_of(jobs, cluster)) as workers:
        found = run_sensitivity(
            loaded,
            factors,
            out_,
            source=scenario,
            readout=readout,
            **effort,
            seed=seed,
            hours=duration,
            workers=workers,
            stage=counting,
            overwrite=overwrite,
        )
        write_report(found, out_, loaded.scenario.info.title)
    if as_json:
        print_json(plain(found))
    else:
        _print_sensitivity(found)
        out.print(f"[green]{escape(str(out_))}[/]", highlight=False)


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

    With --out, the same command goes on where it was stopped.
    """
    loaded = load(scenario, set_, engine)
    refuse_large_grid(loaded)
    if cluster is not None and out_ is None:
        raise InputError("--cluster needs --out, a folder that its workers see too")
    with _goes_on(out_):
        from exoabm.batch.calibration.measurements import read_table
        from exoabm.readers.particle_sizes import HEIGHTS, read_sizes

        if heights not in (None, *HEIGHTS):
            raise InputError(f"--heights {heights}: one of {', '.join(HEIGHTS)}")
        sizes = read_sizes(data, column or (), heights)
        if sizes is not None:
            if vary or out_ is not None:
                raise InputError(f"{data} is a histogram of sizes; --vary and --out go with time series")
            _fit_diameters(loaded, sizes, vesicle, as_json)
            return
        table = read_table(data, censored)
        from exoabm.batch.calibration.evaluation import factors_of
        from exoabm.batch.calibration.fit import fit_series, plain, write_fit
        from exoabm.batch.calibration.measurements import series_of

        series = series_of(table, column or ())
        if not vary:
            raise InputError("select the parameters to fit with --vary KEY=LO:HI[:log]")
        if vesicle is not None:
            raise InputError(f"--vesicle goes with a histogram of diameters; {data} is a time series")
        factors = factors_of(loaded, vary)
        with counting("fit") as tell:
            found = fit_series(
                loaded,
                factors,
                series,
                folder=out_,
                source=scenario,
                replicates=replicates,
                seed=seed,
                workers=workers_of(jobs, cluster),
                progress=lambda runs: tell(runs, None),
            )
        if out_ is not None:
            write_fit(found, loaded, out_)
    if as_json:
        print_json(plain(found))
    else:
        _print_fit(found, given=series.deviation is not None)
        if out_ is not None:
            out.print(f"[green]{escape(str(out_))}[/]", highlight=False)


def _fit_diameters(
    loaded: LoadedScenario,
    table: SizeTable,
    vesicle: str | None,
    as_json: bool,
) -> None:
    from dataclasses import asdict

    from exoabm.batch.calibration.size_distribution import check_allowed, fit_diameters, spread

    kinds = [kind.name for kind in loaded.scenario.vesicle]
    kind = vesicle or kinds[0]
    if kind not in kinds:
        raise InputError(f"--vesicle {kind}: there are {', '.join(kinds)}")
    say_table(f"{table.name.removeprefix('--data ')}: {'; '.join(table.findings)}")
    found = fit_diameters(table.edges, table.samples)
    for each in found:
        check_allowed(each)
    if as_json:
        print_json([asdict(each) for each in found])
        return
    shown = Table("sample", box=None, header_style="bold", pad_edge=False)
    for name in ("median, nm", "GSD", "misfit"):
        shown.add_column(name, justify="right", no_wrap=True)
    for each in found:
        shown.add_row(
            escape(visible(each.sample)),
            f"{each.median_nm:.1f} ({each.median_interval[0]:.1f} to {each.median_interval[1]:.1f})",
            f"{each.gsd:.3f} ({each.gsd_interval[0]:.3f} to {each.gsd_interval[1]:.3f})",
            f"{each.misfit:.0%}",
        )
    out.print(shown)
    medians, widths = [each.median_nm for each in found], [each.gsd for each in found]
    if len(found) > 1 and not spread(found):
        out.print(
            f"over {len(found)} samples: median {mean(medians):.1f} nm, SD {stdev(medians):.1f}; "
            f"GSD {mean(widths):.3f}, SD {stdev(widths):.3f}",
            highlight=False,
        )
    apart = spread(found)
    if apart:
        err.print(f"[yellow]Warning:[/] {escape(visible(apart))}; each for itself:", highlight=False)
    pairs = [(each.median_nm, each.gsd) for each in found] if apart else [(mean(medians), mean(widths))]
    for median, width in pairs:
        out.print(
            f"--set vesicle.{kind}.diameter='{median:.4g} nm' --set vesicle.{kind}.diameter_gsd={width:.4g}",
            highlight=False,
        )


def _print_fit(found: Fit, given: bool) -> None:
    table = Table("number", box=None, header_style="bold", pad_edge=False)
    table.columns[0].no_wrap = True
    for name in ("value", "95 % interval", "unit"):
        table.add_column(name, justify="left" if name == "unit" else "right", no_wrap=True)
    for number in found.numbers:
        low, high = (f"{v:.4g}" for v in (number.low, number.high))
        interval = f"{'<' * number.low_open}{low} to {'>' * number.high_open}{high}"
        table.add_row(escape(number.key), f"{number.value:.4g}", interval, escape(number.unit))
    out.print(table)
    measure = "standard deviations (1 is expected)" if given else "of the columns' size"
    out.print(f"{found.runs:,} runs; root mean square misfit {found.error:.3g} {measure}", highlight=False)
    for number in found.numbers:
        if not number.known:
            err.print(
                f"[yellow]Warning:[/] the data do not determine {escape(number.key)} within its range",
                highlight=False,
            )
    keys = [number.key for number in found.numbers]
    for i, j in combinations(range(len(keys)), 2):
        if abs(found.correlation[i][j]) > TIED:
            err.print(
                f"[yellow]Warning:[/] {escape(keys[i])} and {escape(keys[j])} are correlated "
                f"(correlation {found.correlation[i][j]:.2f}); only their combination is well determined",
                highlight=False,
            )
    pairs = " ".join(f"--set {key}='{value}'" for key, value in found.overrides.items())
    out.print(escape(pairs), highlight=False)


@contextlib.contextmanager
def _goes_on(where: Path | None) -> Iterator[None]:
    """On an interrupt, state whether runs are kept."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        left = "the same command resumes" if where else "with --out the runs would have been kept"
        err.print(f"interrupted; {left}", highlight=False)
        raise


def _print_sensitivity(found: Sensitivity) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("* assumed", overflow="fold")
    for name in ("mu*", "alone", "in all"):
        table.add_column(name, justify="right", no_wrap=True)
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
        f"{100 * found.noise_share:.2g} % of the variance",
        highlight=False,
    )
    out.print(f"\n{escape(found.sentence)}", highlight=False)
