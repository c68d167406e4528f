"""Commands that ask what a result rests on, and which values fit what was measured."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from exoabm.cli.app import app
from exoabm.cli.batches import PANEL, counting, workers_of
from exoabm.cli.console import (
    ClusterOption,
    JobsOption,
    JsonOption,
    ScenarioArgument,
    SetOption,
    err,
    load,
    out,
    positive_hours,
    print_json,
    refuse_large_grid,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exoabm.batch.sensitivity import Sensitivity

RangeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--vary",
        metavar="KEY=LO:HI[:log]",
        help="A number and its range. May be repeated; if not given, every number in use that has a "
        "published range.",
    ),
]
HoursOption = Annotated[
    float | None, typer.Option(help="Model time of each run; the scenario's duration if not given.")
]


@app.command(rich_help_panel=PANEL)
def sensitivity(
    scenario: ScenarioArgument,
    out_: Annotated[Path, typer.Option("--out", help="Folder of the analysis.")],
    vary: RangeOption = None,
    readout: Annotated[
        str | None, typer.Option(help="Which number of a run; deliveries of the first vesicle kind.")
    ] = None,
    trajectories: Annotated[int, typer.Option(help="Of the Morris screening.")] = 10,
    samples: Annotated[int, typer.Option(help="Of the Sobol indices; a power of two.")] = 128,
    replicates: Annotated[int, typer.Option(help="Runs per point; every point has the same seeds.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Points and seeds of the runs follow from it.")] = 0,
    hours: HoursOption = None,
    set_: SetOption = None,
    jobs: JobsOption = 1,
    cluster: ClusterOption = None,
    overwrite: Annotated[bool, typer.Option(help="Begin anew where --out holds other runs.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Find the numbers that carry a result, by Morris screening and then Sobol indices."""
    loaded = load(scenario, set_)
    refuse_large_grid(loaded)
    from exoabm.batch.factors import factors_of
    from exoabm.batch.sensitivity import plain, run_sensitivity, write_report

    factors = factors_of(loaded, vary or ())
    with _goes_on():
        found = run_sensitivity(
            loaded,
            factors,
            out_,
            source=scenario,
            readout=readout,
            trajectories=trajectories,
            samples=samples,
            replicates=replicates,
            seed=seed,
            hours=positive_hours(hours),
            workers=workers_of(jobs, cluster),
            stage=counting,
            overwrite=overwrite,
        )
        write_report(found, out_, loaded.scenario.info.title)
    if as_json:
        print_json(plain(found))
    else:
        _print_sensitivity(found)
        out.print(f"[green]{escape(str(out_))}[/]", highlight=False)


@contextlib.contextmanager
def _goes_on() -> Iterator[None]:
    """On an interrupt, say that nothing is lost."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        err.print("interrupted; the same command goes on from here", highlight=False)
        raise


def _print_sensitivity(found: Sensitivity) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("* assumed", no_wrap=True)
    for name in ("mu*", "alone", "with others"):
        table.add_column(name, justify="right", no_wrap=True)
    for index in found.indices:
        shares = ["left out", ""]
        if index.total is not None:
            pairs = ((index.first, index.first_half), (index.total, index.total_half))
            shares = [f"{share:.2f} ± {half:.2f}" for share, half in pairs]
        table.add_row(
            escape(index.factor.key) + " *" * index.factor.assumed,
            f"{index.mu_star:.2g} ± {index.mu_star_half:.2g}",
            *shares,
        )
    out.print(table)
    out.print(
        f"{found.runs:,} runs of {found.name}: {found.mean:.4g}, standard deviation {found.deviation:.3g}; "
        f"between seeds {found.noise:.3g}, {100 * found.noise_share:.2g} % of the variance",
        highlight=False,
    )
    out.print(f"\n{escape(found.sentence)}", highlight=False)
