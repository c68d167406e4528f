"""Table of export formats of a run, a sweep or a trial.

It is data alone, so that the command line lists it without the libraries that write.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from exoabm.errors import InputError, did_you_mean

TABLE_ENDINGS = {"csv": ".csv", "json": ".jsonl", "arrow": ".arrow", "numpy": ".npz"}
"""Formats of a whole folder, table by table, and the ending that its tables get there."""
RUN, SWEEP, TRIAL = "run", "sweep", "trial"
HERE = "exoabm.export"


@dataclass(frozen=True)
class Format:
    """A row in the table of formats.

    Attributes
    ----------
    name : str
        As ``--format`` takes it.
    endings : tuple of str
        Of the name of a file or folder, by which the format is known; the longest that fits counts. One
        without a dot at its front may be the whole name.
    holds : str
        Content, in a few words.
    opened_with : str
        Programs that read it.
    writer : str
        ``module:function``; it is called with an ``ExportedRun`` and the place to write to.
    of : tuple of str
        What can be written so.
    folder : str
        Of what is a folder, a file at its top by which it is known; the function is called with one that is
        empty.
    options : str
        Beginning of the names of parameters that are its options; the function is called with those given, by
        the rest of their names.
    """

    name: str
    endings: tuple[str, ...]
    holds: str
    opened_with: str
    writer: str
    of: tuple[str, ...] = (RUN,)
    folder: str = ""
    options: str = ""


FORMATS: tuple[Format, ...] = (
    Format(
        "h5ad",
        (".h5ad",),
        "AnnData: cells, cargo delivered, and vesicles from cell to cell (rows are donors)",
        "anndata, scanpy, squidpy",
        f"{HERE}.anndata:write",
    ),
    Format(
        "truth",
        ("truth.h5ad",),
        "AnnData: true communication and the view of an observer, to test methods that infer it",
        "anndata, liana, squidpy, COMMOT, `exoabm score`",
        f"{HERE}.ground_truth:write",
        options="truth_",
    ),
    Format(
        "ome-zarr",
        (".ome.zarr",),
        "OME-Zarr 0.5: concentrations over time, cells as labels",
        "napari, Fiji, ome-zarr",
        f"{HERE}.omezarr:write",
        folder="zarr.json",
    ),
    Format(
        "graphml",
        (".graphml",),
        "the communication graph; edges point from donor to recipient",
        "igraph, networkx, Cytoscape, Gephi",
        f"{HERE}.graphs:write_graphml",
    ),
    Format(
        "gexf",
        (".gexf",),
        "the same graph, with cells in place",
        "Gephi, networkx",
        f"{HERE}.graphs:write_gexf",
    ),
    Format(
        "cx2",
        (".cx2",),
        "the same graph, with cells in place (µm)",
        "Cytoscape, NDEx, ndex2",
        f"{HERE}.graphs:write_cx2",
    ),
    Format(
        "physicell",
        (".physicell.csv",),
        "living cells at the end: `x,y,z,type`, version 2",
        "PhysiCell, exoabm",
        f"{HERE}.physicell:write",
    ),
    Format(
        "simularium",
        (".simularium",),
        "cells over time, and single vesicles where they were last seen",
        "Simularium viewer",
        f"{HERE}.simularium:write",
    ),
    Format(
        "vti",
        (".vti",),
        "concentrations on the grid, at the last recorded time",
        "ParaView, PyVista",
        f"{HERE}.vtk:write_grid",
    ),
    Format(
        "vtp",
        (".vtp",),
        "cells as points, with their last recorded properties",
        "ParaView, PyVista",
        f"{HERE}.vtk:write_cells",
    ),
)


def names() -> tuple[str, ...]:
    """Values of ``--format``."""
    return (*TABLE_ENDINGS, *(each.name for each in FORMATS))


def format_of(to: Path, name: str | None = None) -> Format | None:
    """The format that is asked for, by its name or by the ending of ``to``; None for a folder of tables.

    Raises
    ------
    InputError
        If there is none of that name or ending.
    """
    if name is not None:
        if name in TABLE_ENDINGS:
            return None
        found = next((each for each in FORMATS if each.name == name), None)
        if found is None:
            raise InputError(f"--format {name}: one of {', '.join(names())}{did_you_mean(name, names())}")
        return found
    low = to.name.lower()
    fits = {
        end: each
        for each in FORMATS
        for end in each.endings
        if low.endswith(end) and (low != end or end[0] != ".")
    }
    if fits:
        return fits[max(fits, key=len)]
    endings = [end for each in FORMATS for end in each.endings]
    if to.suffix in TABLE_ENDINGS.values():
        raise InputError(f"--to {to}: tables are written into a folder; choose a name without {to.suffix}")
    if to.suffix and not to.is_dir():
        listed = ", ".join(f"{each.name} ({', '.join(each.endings)})" for each in FORMATS)
        raise InputError(
            f"--to {to}: no format has the ending {to.suffix}{did_you_mean(to.suffix, endings)}; "
            f"there are {listed}; for a folder of tables of this name give --format csv"
        )
    if low in {each.name for each in FORMATS} and not to.is_dir():
        raise InputError(
            f"--to {to} is the name of a format, and a path is required: give --format {low}, "
            "or --format csv for a folder of tables of this name"
        )
    return None
