"""Table of figures for publication, which the command line lists without the libraries that draw them."""

from __future__ import annotations

from typing import NamedTuple

from exoabm.export.formats import HERE


class Figure(NamedTuple):
    """A row in the table of figures: what it shows, and ``module:function`` from a request to its page."""

    shows: str
    drawn_by: str


FIGURES = {
    "matrix": Figure("vesicles by donor and recipient type", f"{HERE}.publication_figures:matrix_figure"),
    "network": Figure(
        "vesicles as arrows between cells or types", f"{HERE}.publication_figures:network_figure"
    ),
    "time": Figure("uptake or delivery by type over time", f"{HERE}.publication_figures:time_figure"),
    "distance": Figure("vesicles by distance from the donor", f"{HERE}.publication_figures:distance_figure"),
}
"""By the name that ``exoabm figure --what`` takes."""
