"""The sources in ``references.bib``, and their format in print."""

from __future__ import annotations

import re
from functools import cache

_ENTRY = re.compile(r"@([a-z]+)\{([a-z0-9]+),")
_FIELD = re.compile(r"  ([a-z]+) = \{([^{}]+)\},")
_PLACES = ("journal", "booktitle", "institution")
_FIELDS = {"author", "title", "year", "volume", "number", "pages", "keywords", "note", *_PLACES}
_FIELDS |= {"doi", "pmcid", "pmid"}
_KEYWORDS = {"parameter", "model", "therapy", "method", "guideline", "software"}


def parse_references(text: str) -> dict[str, dict[str, str]]:
    """Read entries in the strict form of ``references.bib``: one field a line, no inner braces.

    Returns
    -------
    dict
        Per key its fields; the field ``type`` holds the kind of entry.

    Raises
    ------
    ValueError
        Naming the line, for a line of another form, a field that is unknown or given twice, a
        key given twice, an entry without a valid ``keywords``, and one that lacks author, title
        or year without a ``note`` that says so.
    """
    entries: dict[str, dict[str, str]] = {}
    entry: dict[str, str] | None = None
    for number, line in enumerate(text.splitlines(), start=1):

        def require(true: object, what: str, at: int = number) -> None:
            if not true:
                raise ValueError(f"references, line {at}: {what}")

        if entry is None:
            if not line.strip() or line.startswith("%"):
                continue
            start = _ENTRY.fullmatch(line)
            require(start, "expected '@type{key,'")
            assert start is not None
            require(start[2] not in entries, f"{start[2]} is given twice")
            entries[start[2]] = entry = {"type": start[1]}
        elif line == "}":
            complete = entry.keys() >= {"author", "title", "year"} or "note" in entry
            require(complete, "author, title and year, or a note, must be given")
            require(entry.get("keywords") in _KEYWORDS, "keywords must be one of the known ones")
            entry = None
        else:
            field = _FIELD.fullmatch(line)
            require(field, "expected '  field = {value},' or '}'")
            assert field is not None
            require(field[1] in _FIELDS, f"unknown field {field[1]}")
            require(field[1] not in entry, f"{field[1]} is given twice")
            entry[field[1]] = field[2]
    if entry is not None:
        raise ValueError("references: the last entry is not closed")
    return entries


@cache
def references() -> dict[str, dict[str, str]]:
    """Return every entry of the package's ``references.bib`` by its key."""
    from importlib.resources import files  # imported only where sources are needed

    source = files("exoabm.parameters").joinpath("references.bib")
    return parse_references(source.read_text(encoding="utf-8"))


def _authors(field: str) -> str:
    names = field.split(" and ")
    if names[-1] == "others" or len(names) > 6:
        return f"{names[0]} et al."
    return "; ".join(names)


def format_citation(key: str) -> str:
    """Return one source as a line of text; fields that are not known are left out.

    ``"assumed"`` gives a line that says so.

    Raises
    ------
    KeyError
        If there is no such source.
    """
    if key == "assumed":
        return "A modeling assumption."
    entry = references()[key]
    where = next((entry[name] for name in _PLACES if name in entry), "")
    issue = f"({entry['number']})" if "number" in entry else ""
    pages = f", {entry['pages'].replace('-', '–')}" if "pages" in entry else ""
    year = f"({entry['year']})" if "year" in entry else ""
    title = entry.get("title", "")
    authors = _authors(entry.get("author", ""))  # where nobody is known, the title comes first
    parts = [
        f"{authors or title} {year}".strip(),
        title if authors else "",
        f"{where} {entry.get('volume', '')}{issue}".strip() + pages,
        f"doi:{entry['doi']}" if "doi" in entry else "",
        entry.get("pmcid", ""),
        f"PMID {entry['pmid']}" if "pmid" in entry else "",
        f"[{entry['note']}]" if "note" in entry else "",
    ]
    return ". ".join(part for part in parts if part) + "."
