"""Generated parts of the documentation, which ``python docs/generate.py`` renews.

These are ``docs/parameters.md``, the tables of parameters in ``ODD.md``, the number of parameters in
``README.md``, and ``docs/tables.md``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from exoabm.parameters.catalog import CATALOG, THEMES, Parameter
from exoabm.tables import declarations
from exoabm.tables.declarations import METRICS, SCHEMA_VERSION
from exoabm.tables.readouts import BETWEEN, DISTANCE, OF_DONOR

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exoabm.tables.declarations import Column, Table

PARAMETERS = """\
# Parameters

Generated from `exoabm/parameters/*.toml` by `python docs/generate.py`; do not edit.
Of 0 default values 0 are assumed.

A value outside the *allowed* range is an error, one outside the *published* range a warning. Where the
default is assumed, the published range is the one in which the assumption is held to be plausible.
*Source* lists keys of `exoabm/parameters/references.bib`, which `exoabm cite` prints, and how the default
was obtained from them: *read*, *secondary* (read in another work that cites the source), *recalled* (to be
verified before publication), *computed* or *assumed*.
"""
COUNT = re.compile(r"\bOf(\s+)\d+(\s+)default(\s+)values(\s+)\d+(\s+)are")
MARKED = re.compile(r"(<!-- parameters: ([a-z0-9_, ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def parameter_table(parameters: Iterable[Parameter], *, meanings: bool = True) -> str:
    """Return a Markdown table with a row per parameter.

    Parameters
    ----------
    parameters
        In the order of the rows.
    meanings
        Whether the table has the columns ``allowed`` and ``meaning``, the latter with the note.
    """
    head = ["parameter", "symbol", "default", "unit", "published", "source"]
    rule = ["---", "---", "---:", "---", "---", "---"]
    if meanings:
        head += ["allowed", "meaning"]
        rule += ["---", "---"]
    rows = [head, rule]
    for parameter in parameters:
        row = [
            f"`{parameter.name}`",
            parameter.symbol,
            "-" if parameter.default is None else f"{parameter.default:g}",
            parameter.unit,
            "-" if parameter.published is None else "{:g} to {:g}".format(*parameter.published),
            _basis(parameter),
        ]
        if meanings:
            row.append("{:g} to {:g}".format(*parameter.allowed))
            row.append(f"{parameter.meaning} {parameter.note}".strip())
        rows.append([cell.replace("|", "\\|") for cell in row])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _basis(parameter: Parameter) -> str:
    keys = ", ".join(f"`{key}`" for key in parameter.source if key != "assumed")
    return f"{keys} ({parameter.how})" if parameter.how != "assumed" else f"assumed; {keys}".rstrip("; ")


def parameters_page() -> str:
    """Return the text of ``docs/parameters.md``: every parameter, theme by theme."""
    sections = [PARAMETERS]
    for theme in THEMES.values():
        sections += [f"## {theme.title}\n", *([f"{theme.about}\n"] if theme.about else [])]
        sections.append(parameter_table(theme.parameters))
    return renewed("\n".join(sections))


def renewed(page: str) -> str:
    """Return a page with its generated parts replaced by those of the catalog.

    These are the lines between ``<!-- parameters: NAME, NAME -->`` and ``<!-- end -->``, and the two
    numbers in "Of N default values M are".

    Raises
    ------
    KeyError
        If a marker names a parameter that does not exist.
    """
    known = [parameter for parameter in CATALOG.values() if parameter.default is not None]
    assumed = sum("assumed" in parameter.source for parameter in known)
    page = COUNT.sub(rf"Of\g<1>{len(known)}\g<2>default\g<3>values\g<4>{assumed}\g<5>are", page)
    return MARKED.sub(
        lambda found: (
            found[1]
            + parameter_table((CATALOG[name] for name in found[2].split(", ")), meanings=False)
            + found[3]
        ),
        page,
    )


TABLES = f"""# Tables

This file is generated from `exoabm/tables/declarations.toml`; after a change there run
`python docs/generate.py`. Version of the tables: {SCHEMA_VERSION}.

Tables are Parquet files. Their footer contains the version of the tables, the version of exoabm, the SHA-256
of the scenario and the seed; each column has its meaning and unit as metadata. `vesicle_kind`, `cell_type`,
`cargo` and `dose` are names of the scenario. Missing values are null; the last column below gives the meaning
of null. `exoabm.open_run(FOLDER)` reads all tables.

A term has the same meaning in all tables: `taken_up`, `lysosomal`, `recycled`, `delivered`, `cleared` and
`escaped` are cumulative numbers; `free`, `bound` and `endosomal` are present numbers.
"""
SENDER = """## Senders

The columns `sender`, `donor` and `donor_type` have the same meaning in all tables:

| sender | donor | donor_type |
|---|---|---|
| `cell` | birth id of the cell; null where only its type is known | its cell type |
| `dose` | null | null |
| `reservoir` | null | null |
"""
READOUTS = f"""## Readouts

A readout is one number of a run. In scenarios (`[[trial.readout]]`), options (`--readout`) and the columns of
`results.parquet` it is written as a quantity, followed in brackets by the names to which it refers:

| written | example | quantities |
|---|---|---|
{{rows}}
| `quantity[donor -> recipient]` | `taken_up[tumor -> stroma]` | {", ".join(f"`{q}`" for q in BETWEEN)} |
| `quantity[donor]` | `reach_mean_um[tumor]` | {", ".join(f"`{q}`" for q in OF_DONOR)} |
| `quantity[vesicle_kind]` | `{DISTANCE}[exosome]` | `{DISTANCE}` |

The last three are known only at the end of a run. A name with characters other than letters, digits,
`_ - . +` and single spaces is quoted as in JSON: `taken_up["a, b"]`.

`results.parquet` of a sweep or trial has one row per run and one column per readout, the form that programs
for statistics expect. Names of columns never coincide: varied keys contain a dot, readouts have a bracket or
a declared name, and readouts of trials are named `trial.readout.NAME`.
"""
EXAMPLES = {
    "metrics": "effectors_h",
    "metrics_by_kind": "taken_up[exosome]",
    "metrics_by_type": "taken_up_per_cell[tumor]",
    "metrics_by_cargo": "copies_per_cell[tumor, drug]",
    "metrics_by_dose": "given_share[treatment]",
    "metrics_by_compartment": "particle_exposure_h[treatment, liver]",
}
TITLES = {"causal": "Causal effects"}
GROUPS = {TITLES.get(group, group.capitalize()): tables for group, tables in declarations.GROUPS.items()}


def tables_page() -> str:
    """Return the text of ``docs/tables.md``, the data dictionary."""
    parts = [TABLES, SENDER, READOUTS.format(rows="\n".join(map(_readouts, METRICS)))]
    for title, tables in GROUPS.items():
        parts += [f"## {title}\n", *map(_section, tables)]
    return "\n".join(parts)


def _readouts(table: Table) -> str:
    keys = ", ".join(key for key in table.key if key != "time_h")
    written = f"quantity[{keys}]" if keys else "quantity"
    names = ", ".join(f"`{column.name}`" for column in table.values)
    return f"| `{written}` | `{EXAMPLES[table.name]}` | {names} |"


def _section(table: Table) -> str:
    where = f" In {table.where}." if table.where else ""
    key = f" Key: {', '.join(f'`{name}`' for name in table.key)}." if table.key else ""
    more = f" There is also {table.more}." if table.more else ""
    rows = "\n".join(map(_row, table.columns))
    return (
        f"### {table.file}\n\nA row is {table.meaning}.{where}{key}{more}\n\n"
        f"| column | type | unit | meaning | null |\n|---|---|---|---|---|\n{rows}\n"
    )


def _row(column: Column) -> str:
    allowed = f": {', '.join(f'`{word}`' for word in column.allowed)}" if column.allowed else ""
    return f"| `{column.name}` | {column.dtype} | {column.unit} | {column.meaning}{allowed} | {column.null} |"


def generated_pages(root: Path) -> dict[Path, str]:
    """Return the text that each page with generated parts should have, by its path below ``root``."""
    pages = {root / name: (root / name).read_text(encoding="utf-8") for name in ("README.md", "ODD.md")}
    return {path: renewed(text) for path, text in pages.items()} | {
        root / "docs/parameters.md": parameters_page(),
        root / "docs/tables.md": tables_page(),
    }


if __name__ == "__main__":
    for path, text in generated_pages(Path(__file__).parents[1]).items():
        path.write_text(text, encoding="utf-8")
