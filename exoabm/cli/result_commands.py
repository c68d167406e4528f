"""Commands for stored results: export, figures, scores of inferred communication, verification, clean-up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Column

from exoabm.cli.console import app, out, plain_table, print_json, print_warnings, state_what_remains
from exoabm.cli.options import JsonOption, load, overrides_of
from exoabm.errors import InputError
from exoabm.export.figure_list import FIGURES
from exoabm.export.formats import FORMATS, TABLE_ENDINGS

if TYPE_CHECKING:
    from exoabm.communication_inference.score import Agreement, Report

PANEL = "Runs"
OverwriteOption = Annotated[bool, typer.Option(help="Replace an existing file or folder.")]


FORMAT_LIST = "\n\n".join(
    f"[bold]{each.name}[/] {' '.join(each.endings)}: of a {' or '.join(each.of)}, {escape(each.holds)}"
    for each in FORMATS
)


@app.command(rich_help_panel=PANEL, epilog=f"Formats for other programs:\n\n{FORMAT_LIST}")
def export(
    source: Annotated[str, typer.Argument(help="A run folder, a sweep, a trial, or a scenario.")],
    to: Annotated[
        Path,
        typer.Option(
            "--to",
            help="A file with an extension below; a folder for tables; or a TOML file for a "
            "scenario (of a run, too).",
        ),
    ],
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            help=f"{', '.join(TABLE_ENDINGS)}, for a folder of tables (csv if not given); or one below.",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Override a value of a scenario, or set an option of the format truth, e.g. noise=0.5; "
            "docs/inference.md lists them. Repeatable.",
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Omit missing or damaged tables, with a warning.")
    ] = False,
) -> None:
    """Export a run, sweep or trial as tables or in formats of other programs, or a scenario as TOML."""
    from exoabm.export.export import export as exported
    from exoabm.export.export import export_scenario
    from exoabm.scenario.loader import run_of

    state_what_remains(to)
    if not Path(source).is_dir() and run_of(source) is None:
        written = [export_scenario(load(source, set_), to, overwrite=overwrite)]
    else:
        options = overrides_of(set_)
        written, lost = exported(
            Path(source), to, format_, overwrite=overwrite, partial=partial, options=options
        )
        print_warnings(*(f"left out: {fault}" for fault in lost))
    for path in written:
        out.print(escape(str(path)))


@app.command(rich_help_panel=PANEL)
def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of results.")],
    as_json: JsonOption = False,
) -> None:
    """Verify every file of a folder of results by its checksum."""
    from exoabm.batch.execution.row_journal import verify as verified

    found = verified(folder)
    if as_json:
        print_json({"folder": str(folder), "faults": [{"file": f.name, "state": f.state} for f in found]})
    else:
        for fault in found:
            out.print(f"{fault.state:<8} {escape(fault.name)}")
    if found:
        raise InputError(f"{folder}: damaged, missing or unexpected files: {len(found):,}")
    if not as_json:
        out.print(f"{escape(str(folder))} is complete and undamaged")


@app.command(rich_help_panel=PANEL)
def clean(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Folder that contains runs.")] = Path(),
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove leftovers, except those that can be resumed.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List leftovers of terminated runs in a folder, and in its runs/ and trials/."""
    from exoabm.output.run_folder import leftovers

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
        out.print(f"{escape(str(left.path))} {escape(left.what)}{end}")
    if not found:
        out.print("no leftovers")


@app.command(rich_help_panel=PANEL)
def figure(
    source: Annotated[
        str,
        typer.Argument(
            metavar="DIR",
            help="A run, sweep or trial; selected points as DIR@KEY=VALUE or DIR@arm=NAME.",
        ),
    ],
    out_: Annotated[Path, typer.Option("--out", help="A .svg, .pdf or .png file.")],
    what: Annotated[
        str,
        typer.Option(
            help="; ".join(f"[bold]{name}[/]: {each.shows}" for name, each in FIGURES.items()) + "."
        ),
    ] = "matrix",
    measure: Annotated[
        str | None,
        typer.Option(help="captured, taken_up or delivered; default taken_up, for distance delivered."),
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Vesicle kind; default the sum of all.")] = None,
    width: Annotated[
        float | None, typer.Option("--width-mm", help="Width; default one or two journal columns.")
    ] = None,
    dpi: Annotated[float, typer.Option(help="Resolution of a .png in dots per inch.")] = 600.0,
    overwrite: OverwriteOption = False,
) -> None:
    """Draw a figure for publication, with means and 95 % confidence intervals."""
    from exoabm.export.publication_figures import draw_figure

    state_what_remains(out_)
    draw_figure(source, what, out_, kind=kind, measure=measure, width=width, dpi=dpi, overwrite=overwrite)
    out.print(escape(str(out_)))


@app.command(rich_help_panel=PANEL)
def score(
    truth: Annotated[Path, typer.Argument(help="A file of `exoabm export RUN --to truth.h5ad`.")],
    result: Annotated[
        Path,
        typer.Argument(
            help="A table with source, target and score; a .h5ad with COMMOT's obsp or LIANA's liana_res; or "
            "squidpy's ligrec as CSV."
        ),
    ],
    column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of a table with the score.")
    ] = None,
    key: Annotated[str | None, typer.Option(metavar="NAME", help="Matrix in obsp with the score.")] = None,
    better: Annotated[
        str | None, typer.Option(metavar="high|low", help="Which values are better; default by the name.")
    ] = None,
    amount: Annotated[
        str, typer.Option(help="The truth: internalized, delivered or encountered vesicles.")
    ] = "internalized",
    true_genes: Annotated[
        bool, typer.Option("--true-genes", help="Use only the true pairs of ligand and receptor.")
    ] = False,
    transpose: Annotated[bool, typer.Option("--transpose", help="Exchange source and target.")] = False,
    length: Annotated[
        str | None,
        typer.Option(metavar="LENGTH", help="Decay length of the combined baseline; default '30 um'."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Score a result of inferred communication against the truth, beside baselines."""
    from exoabm.communication_inference.score import score as scored

    report = scored(
        truth,
        result,
        amount=amount,
        column=column,
        key=key,
        better=better,
        true_genes=true_genes,
        transpose=transpose,
        length=length,
    )
    if as_json:
        print_json(report.plain())
    else:
        _print(report)


def _print(report: Report) -> None:
    out.print(
        f"{report.cells:,} cells, {report.donors:,} of them true donors; {report.self_share:.0%} of uptake "
        f"returns to the sender\nresult: {escape(report.description)}\n"
        "Compare `result` with `combined` in the first block: which pairs of cells communicate. Among true "
        "donors: which cells a known donor reaches. With self pairs: also what returns to its sender."
    )
    for word in next(iter(report.rows.values())):
        first = next(iter(report.rows.values()))[word]
        for which, chance in first.items():
            title = f"{which}, {word}: {chance.positives:,} of {chance.pairs:,} are true, prevalence"
            title += f" {_number_text(chance.prevalence)}"
            numbers = ("AUPRC", "AUROC", "Spearman")
            table = plain_table(Column("", min_width=14), right=numbers, title=title)
            for method, rows in report.rows.items():
                each: Agreement = rows[word][which]
                table.add_row(method, *map(_number_text, (each.auprc, each.auroc, each.spearman)))
            out.print(table)
    if report.type_spearman is not None:
        out.print(f"Spearman over pairs of types: {report.type_spearman:.3f}")
    for note in report.notes:
        out.print(escape(note))
    print_warnings(*report.warnings)


def _number_text(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
