"""Commands for what runs left on disk: hand its tables out, check it, find what was left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from exoabm.cli.app import app
from exoabm.cli.console import JsonOption, SetOption, err, load, out, print_json
from exoabm.cli.console import out as console
from exoabm.errors import InputError
from exoabm.export.formats import FORMATS, TABLES, format_of

PANEL = "Runs"


FORMATS_TOLD = "\n\n".join(
    f"[bold]{each.name}[/] {' '.join(each.endings)}: of a {' or '.join(each.of)}, {escape(each.holds)}"
    for each in FORMATS
)


@app.command(rich_help_panel=PANEL, epilog=f"Formats for other programs:\n\n{FORMATS_TOLD}")
def export(
    source: Annotated[str, typer.Argument(help="A run folder, a sweep, a trial, or a scenario.")],
    to: Annotated[
        Path,
        typer.Option(
            "--to",
            help="A file of a format below, known by its ending; a folder for tables; or a TOML file for a "
            "scenario (of a run, too).",
        ),
    ],
    format_: Annotated[
        str | None,
        typer.Option(
            "--format", help=f"{', '.join(TABLES)}, for a folder of tables (csv if not given); or one below."
        ),
    ] = None,
    set_: SetOption = None,
    overwrite: Annotated[bool, typer.Option(help="Replace what stands there.")] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Leave out tables that are missing or damaged, and say so.")
    ] = False,
) -> None:
    """Hand a run, sweep or trial to other programs: as tables, or in their formats; or a scenario as TOML."""
    from exoabm.export.tables import export_format, export_run_scenario, export_scenario, export_tables
    from exoabm.scenario.loader import run_of

    folder, run = Path(source), run_of(source)
    if not folder.is_dir() and run is None:
        written = [export_scenario(load(source, set_), to, overwrite=overwrite)]
    elif set_:
        raise InputError("--set goes with a scenario; a run is exported as it was")
    elif run is not None and to.suffix == ".toml":
        written = export_run_scenario(run, to, overwrite=overwrite)
    elif (fmt := format_of(to, format_)) is not None:
        if partial:
            raise InputError(f"--partial goes with a folder of tables, not with the format {fmt.name}")
        written = [export_format(run or folder, to, fmt, overwrite=overwrite)]
    else:
        tables = format_ or "csv"
        written, lost = export_tables(run or folder, to, tables, overwrite=overwrite, partial=partial)
        for fault in lost:
            err.print(f"[yellow]Warning:[/] left out: {escape(str(fault))}", highlight=False)
    for path in written:
        out.print(escape(str(path)), highlight=False)


@app.command(rich_help_panel=PANEL)
def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run, a sweep or a trial.")],
    as_json: JsonOption = False,
) -> None:
    """Check every file of a run, sweep or trial by the checksums that were written with it."""
    from exoabm.batch.verify import verify as verified

    found = verified(folder)
    if as_json:
        print_json({"folder": str(folder), "faults": [{"file": f.name, "state": f.state} for f in found]})
    else:
        for fault in found:
            out.print(f"{fault.state:<8} {escape(fault.name)}", highlight=False)
    if found:
        raise InputError(f"{folder}: files that are damaged, missing or foreign: {len(found):,}")
    if not as_json:
        out.print(f"{escape(str(folder))} is whole", highlight=False)


@app.command(rich_help_panel=PANEL)
def clean(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where runs were written.")] = Path(),
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove what nobody needs; never what can be resumed.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Name what runs that were killed left in a folder, and in runs/ and trials/ in it."""
    from exoabm.output.leftovers import leftovers

    found = leftovers(folder)
    for left in found:
        if left.dead and remove:
            left.remove()
    if as_json:
        print_json(
            [
                {"path": str(e.path), "what": e.what, "dead": e.dead, "removed": e.dead and remove}
                for e in found
            ]
        )
        return
    for left in found:
        end = (" (removed)" if remove else " (--remove removes it)") if left.dead else ""
        out.print(f"{escape(str(left.path))} {escape(left.what)}{end}", highlight=False)
    if not found:
        out.print("nothing was left behind", highlight=False)


@app.command(rich_help_panel="Runs")
def figure(
    source: Annotated[
        str,
        typer.Argument(
            metavar="DIR",
            help="A run, a sweep or a trial; some points of it as DIR@KEY=VALUE or DIR@arm=NAME.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="A file that ends in .svg, .pdf or .png.")],
    what: Annotated[
        str,
        typer.Option(
            help="matrix (who sent how much to whom, by type), network, time (uptake by type) or distance."
        ),
    ] = "matrix",
    measure: Annotated[
        str | None,
        typer.Option(help="captured, taken_up or delivered; taken_up if not given, for distance delivered."),
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Vesicle kind; all together if not given.")] = None,
    width: Annotated[
        float | None, typer.Option("--width-mm", help="Width; one or two columns of a journal if not given.")
    ] = None,
    dpi: Annotated[float, typer.Option(help="Dots per inch of a .png.")] = 600.0,
    overwrite: Annotated[bool, typer.Option(help="Replace what stands there.")] = False,
) -> None:
    """Draw a figure for a paper: means with 95 % intervals, text as text, the same bytes each time."""
    from exoabm.export.figure import draw_figure

    draw_figure(source, what, out, kind=kind, measure=measure, width=width, dpi=dpi, overwrite=overwrite)
    console.print(escape(str(out)), highlight=False)
