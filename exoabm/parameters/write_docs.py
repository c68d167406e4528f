"""Tables of parameters in Markdown, as in ``docs/parameters.md`` and ``ODD.md``.

``python -m exoabm.parameters.write_docs`` in a checkout writes them anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from exoabm.parameters.catalog import CATALOG, THEMES, Parameter

PAGES = ("README.md", "ODD.md", "docs/parameters.md")
"""Files with generated text, from the root of a checkout."""

_INTRODUCTION = """\
# Parameters

Generated from `exoabm/parameters/*.toml` by `python -m exoabm.parameters.write_docs`; do not edit.
Of 0 parameters 0 have a default that is assumed.

A value outside the *allowed* range is an error, one outside the *published* range a warning. Where the
default is assumed, the published range is the one in which the assumption is held to be plausible.
*Source* lists keys of `exoabm/parameters/references.bib`, which `exoabm cite` prints, and how the default
was obtained from them: *read*, *secondary* (read in another work that cites the source), *recalled* (to be
verified before publication), *computed* or *assumed*.
"""
_COUNT = re.compile(r"\bOf(\s+)\d+(\s+)parameters(\s+)\d+(\s+)have")
_TABLE = re.compile(r"(<!-- parameters: ([a-z0-9_, ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


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


def catalog_page() -> str:
    """Return the text of ``docs/parameters.md``: every parameter, theme by theme."""
    sections = [_INTRODUCTION]
    for theme in THEMES.values():
        sections += [f"## {theme.title}\n", *([f"{theme.about}\n"] if theme.about else [])]
        sections.append(parameter_table(theme.parameters))
    return renewed("\n".join(sections))


def renewed(page: str) -> str:
    """Return a page with its generated parts replaced by those of the catalog.

    These are the lines between ``<!-- parameters: NAME, NAME -->`` and ``<!-- end -->``, and the two
    numbers in "Of N parameters M have".

    Raises
    ------
    KeyError
        If a marker names a parameter that does not exist.
    """
    assumed = sum("assumed" in parameter.source for parameter in CATALOG.values())
    page = _COUNT.sub(rf"Of\g<1>{len(CATALOG)}\g<2>parameters\g<3>{assumed}\g<4>have", page)
    return _TABLE.sub(
        lambda found: (
            found[1]
            + parameter_table((CATALOG[name] for name in found[2].split(", ")), meanings=False)
            + found[3]
        ),
        page,
    )


def renewed_pages(root: Path) -> dict[Path, str]:
    """Return the text that each of `PAGES` should have, by its path below ``root``."""
    *pages, catalog = (root / page for page in PAGES)
    return {page: renewed(page.read_text(encoding="utf-8")) for page in pages} | {catalog: catalog_page()}


if __name__ == "__main__":
    for path, text in renewed_pages(Path()).items():
        path.write_text(text, encoding="utf-8")
