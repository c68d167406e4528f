"""Command that scores results of tools that infer communication."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from exoabm.cli.console import JsonOption, app, err, out, print_json

if TYPE_CHECKING:
    from exoabm.inference.measures import Measures
    from exoabm.inference.score import Report


@app.command(rich_help_panel="Runs")
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
    from exoabm.inference.score import score as scored

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
        f"returns to the sender\nresult: {escape(report.said)}\n"
        "Compare `result` with `combined` in the first block: which pairs of cells communicate. Among true "
        "donors: which cells a known donor reaches. With self pairs: also what returns to its sender.",
        highlight=False,
    )
    for word in next(iter(report.rows.values())):
        first = next(iter(report.rows.values()))[word]
        for which, chance in first.items():
            title = f"{which}, {word}: {chance.positives:,} of {chance.pairs:,} are true, prevalence"
            title += f" {_number_text(chance.prevalence)}"
            table = Table(box=None, header_style="bold", pad_edge=False, title=title, title_justify="left")
            table.add_column("", min_width=14)
            for name in ("AUPRC", "AUROC", "Spearman"):
                table.add_column(name, justify="right")
            for method, rows in report.rows.items():
                each: Measures = rows[word][which]
                table.add_row(method, *map(_number_text, (each.auprc, each.auroc, each.spearman)))
            out.print(table, highlight=False)
    if report.type_spearman is not None:
        out.print(f"Spearman over pairs of types: {report.type_spearman:.3f}", highlight=False)
    for note in report.notes:
        out.print(escape(note), highlight=False)
    for warning in report.warnings:
        err.print(f"[yellow]Warning:[/] {escape(warning)}", highlight=False)


def _number_text(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
