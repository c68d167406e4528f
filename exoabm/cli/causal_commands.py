"""Commands for causal effects: comparison with a run in which a step is silenced, attribution, and paths."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

import exoabm
from exoabm.cli.console import (
    app,
    err,
    out,
    plain_table,
    print_json,
    print_note,
    print_path,
    progress,
    state_what_is_kept,
    state_what_remains,
)
from exoabm.cli.options import (
    EngineOption,
    HoursOption,
    JobsOption,
    JsonOption,
    ScenarioArgument,
    SetOption,
    ThreadsOption,
    changes_of,
    positive_hours,
)
from exoabm.text_formatting import counted

PANEL = "Cause and effect"
SHOWN = 12
"""Readouts that are printed."""


@app.command(rich_help_panel=PANEL)
def whatif(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="Run folder, whose seed, time and changes are taken, or a scenario."
        ),
    ],
    out_: Annotated[Path, typer.Option("--out", help="Folder of the comparison.")],
    silence: Annotated[
        str | None,
        typer.Option(help="cell:17, cell_type:NAME, edge:3->17 (cells or types), or vesicle:NAME."),
    ] = None,
    block: Annotated[
        str | None,
        typer.Option(help="release, uptake, delivery or response; default release, or uptake for an edge."),
    ] = None,
    give: Annotated[
        str | None, typer.Option(help="'cell:17 CARGO COPIES', or cell_type:NAME: copies given to each cell.")
    ] = None,
    at: Annotated[str, typer.Option(help="Model time from which the change holds.")] = "0 h",
    seed: Annotated[int | None, typer.Option(help="Default: that of the run.")] = None,
    hours: HoursOption = None,
    set_: SetOption = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an earlier comparison.")] = False,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a scenario with and without one cell, type, edge or vesicle kind, on the same random draws."""
    state_what_remains(out_)
    with progress("both runs") as update:
        found = exoabm.whatif(
            source,
            changes_of(set_, None),
            silence=silence,
            block=block,
            give=give,
            at=at,
            seed=seed,
            hours=positive_hours(hours),
            threads=threads,
            out=out_,
            overwrite=overwrite,
            progress=update,
        )
    about = found.found.about
    if about["moved"]:
        print_note(about["moved"])
    if as_json:
        print_json({"folder": str(out_), **about})
        return
    table = plain_table("readout", right=("as it is", "changed", "effect"))
    moved = found.rows()
    for row in moved[:SHOWN]:
        table.add_row(escape(row["readout"]), *(f"{row[key]:,.6g}" for key in ("as_is", "changed", "effect")))
    if moved:
        out.print(table)
        if len(moved) > SHOWN:
            more = counted(len(moved) - SHOWN, "further readout")
            out.print(f"and {more} in whatif.json")
    else:
        out.print("no readout changed")
    err.print(escape(about["pairing"]["sentence"]))
    print_path(out_)


@app.command(rich_help_panel=PANEL)
def causal(
    scenario: ScenarioArgument,
    readout: Annotated[str, typer.Option(help="Readout at the end, e.g. 'delivered_per_cell[recipient]'.")],
    out_: Annotated[Path, typer.Option("--out", help="Folder of the attribution.")],
    by: Annotated[str, typer.Option(help="type or cell.")] = "type",
    design: Annotated[
        str,
        typer.Option(help="one (donor at a time), shapley, or adjoint (linear uptake, without a run)."),
    ] = "one",
    seeds: Annotated[int, typer.Option(min=1, max=10_000, help="Seeds of the intervals.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed from which these follow.")] = 1,
    hours: HoursOption = None,
    engine: EngineOption = None,
    set_: SetOption = None,
    jobs: JobsOption = 1,
    overwrite: Annotated[bool, typer.Option(help="Replace an earlier attribution.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Attribute a readout to donors: the causal effect of each, and the vesicles that it released."""
    from exoabm.api.causal import attributable

    loaded = attributable(scenario, changes_of(set_, engine), by)
    asked: dict[str, Any] = {
        "by": by,
        "seeds": seeds,
        "seed": seed,
        "hours": positive_hours(hours),
        "jobs": jobs,
    }
    if design in ("one", "shapley"):
        from exoabm.causal.attribution import duration_note

        note = duration_note(loaded, readout=readout, design=design, **asked)
        print_note(note)
    if design == "adjoint":
        state_what_remains(out_)
    else:
        state_what_is_kept(out_, overwrite=overwrite)
    with progress("runs") as update:
        found = exoabm.causal(
            loaded, readout, **asked, design=design, out=out_, overwrite=overwrite, progress=update
        ).found
    if as_json:
        print_json({"folder": str(out_), "readout": found.readout, "total": found.total, "rows": found.rows})
        return
    numbers = ("sent", "share", "effect", "95 % interval", "share")
    table = plain_table("donor", right=numbers, title=escape(found.readout))
    for row in found.rows[:SHOWN]:
        ends = "" if row["ci95_low"] is None else f"{row['ci95_low']:,.4g} to {row['ci95_high']:,.4g}"
        share = "" if row["effect_share"] is None else f"{row['effect_share']:.1%}"
        sent, effect = f"{row['sent']:,.6g}", f"{row['effect']:,.5g}"
        table.add_row(escape(row["group"]), sent, f"{row['sent_share']:.1%}", effect, ends, share)
    out.print(table)
    out.print(found.disagreement())
    print_path(out_)


@app.command(rich_help_panel=PANEL)
def paths(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of the engine vesicles.")],
    out_: Annotated[Path, typer.Option("--out", help="Folder of paths.parquet and paths.png.")],
    overwrite: Annotated[bool, typer.Option(help="Replace earlier paths.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Distinguish direct deliveries of a run from those over relays, by the number of cells in between."""
    state_what_remains(out_)
    result = exoabm.paths(folder)
    result.save(out_, overwrite=overwrite)
    found = result.found
    if as_json:
        print_json({"folder": str(out_), "rows": found.rows})
        return
    numbers = ("delivered", "direct", "over 1", "over 2", "over more cells")
    table = plain_table("recipient", right=numbers)
    for name, share in found.by_hops().items():
        cells = [
            share[0],
            *(float(share[k]) if len(share) > k else 0.0 for k in (1, 2)),
            float(share[3:].sum()),
        ]
        table.add_row(escape(name), f"{found.delivered(name):,.6g}", *(f"{each:.1%}" for each in cells))
    out.print(table)
    print_path(out_)
