"""The references: a strict reader, no orphan among the sources of parameters, and their print."""

from __future__ import annotations

import re

import pytest

from exoabm.parameters import CATALOG, format_citation, references
from exoabm.parameters.citations import parse_references

GOOD = """% a comment
@article{one2000,
  author = {One, A. and Two, B.},
  title = {A title},
  journal = {A Journal},
  year = {2000},
  volume = {1},
  number = {2},
  pages = {3-4},
  keywords = {method},
}
"""


def test_every_source_tagged_for_parameters_is_used_and_no_other():
    tagged = {key for key, entry in references().items() if entry["keywords"] == "parameter"}
    used = {key for parameter in CATALOG.values() for key in parameter.source} - {"assumed"}
    assert tagged == used


def test_identifiers_have_their_form():
    for entry in references().values():
        assert re.fullmatch(r"10\.\d{4,5}/\S+", entry.get("doi", "10.1000/1"))
        assert re.fullmatch(r"PMC\d+", entry.get("pmcid", "PMC1"))
        assert re.fullmatch(r"\d+", entry.get("pmid", "1"))
        assert 1900 < int(entry.get("year", "2000")) < 2100


def test_every_source_says_where_it_stands_or_that_this_is_open():
    for key, entry in references().items():
        known = entry.keys() & {"doi", "pages", "institution"}
        assert known or "note" in entry, key


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("@article{one2000,", "article one2000", "line 2: expected '@type"),
        ("  year = {2000},", "  year = 2000,", "line 6: expected '  field"),
        ("{A title}", "{A {T}itle}", "line 4: expected '  field"),
        ("  volume", "  volumes", "line 7: unknown field volumes"),
        ("  volume", "  year", "line 7: year is given twice"),
        ("{method}", "{other}", "line 11: keywords must be"),
        ("  title = {A title},\n", "", "line 10: author, title and year, or a note"),
        (",\n}\n", ",\n", "the last entry is not closed"),
        ("% a comment\n", GOOD, "line 12: one2000 is given twice"),
    ],
)
def test_the_reader_is_strict(old, new, message):
    assert parse_references(GOOD)["one2000"]["pages"] == "3-4"
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_references(GOOD.replace(old, new, 1))


def test_print():
    assert format_citation("berg1977") == (
        "Berg, Howard C.; Purcell, Edward M. (1977). Physics of chemoreception. "
        "Biophysical Journal 20(2), 193–219. doi:10.1016/S0006-3495(77)85544-6."
    )
    assert format_citation("chevillet2014").startswith("Chevillet, John R. et al. (2014). Quant")
    assert format_citation("pmid36194183").startswith("Quantitative analysis of extracellular")
    assert format_citation("assumed") == "A modeling assumption."
    with pytest.raises(KeyError):
        format_citation("nobody1900")


def test_every_entry_prints_as_one_line():
    for key in references():
        line = format_citation(key)
        assert "\n" not in line
        assert ".." not in line
        assert "  " not in line
