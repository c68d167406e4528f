"""Figures for publication from a run, a sweep or a trial; ``FIGURES`` in ``figure_list`` has their names."""

from __future__ import annotations

import pkgutil
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.errors import InputError, did_you_mean
from exoabm.export.figure_list import FIGURES
from exoabm.export.publication_data import (
    MEASURES,
    FigureRequest,
    amounts_of,
    caption_of,
    colors_of,
    courses_of,
    distances_of,
    donors_and_recipients,
    has_cells,
    map_of,
    require_data,
    types_of,
    widest_numbers,
    with_runs,
)
from exoabm.export.type_exchange import exchange_of, in_order, mean_and_half
from exoabm.output.durable_files import atomic_file, check_new, writing_into
from exoabm.plot.figure_page import DPI, check_format, save, styled
from exoabm.tables.readouts import named
from exoabm.text_formatting import number, percent

if TYPE_CHECKING:
    from pathlib import Path

    from exoabm.export.type_exchange import RunWithEdges
    from exoabm.plot.figure_page import Page

MOST_PANELS = 12
"""Points or arms on one page."""
WIDTHS = (30.0, 500.0)
"""Width of a page, mm."""
DOTS = (50.0, 2400.0)
"""Dots per inch."""


def draw_figure(
    source: str,
    what: str,
    out: Path,
    *,
    kind: str | None = None,
    measure: str | None = None,
    width: float | None = None,
    dpi: float = DPI,
    overwrite: bool = False,
) -> None:
    """Draw a figure of a run, a sweep or a trial into a file; the same input gives the same bytes.

    Parameters
    ----------
    source : str
        A folder; some points or arms of it as ``DIR@KEY=VALUE``.
    what : str
        One of ``FIGURES``.
    out : Path
        Ends in ``.svg``, ``.pdf`` or ``.png``.
    kind : str, optional
        Vesicle kind; all together if not given.
    measure : str, optional
        One of ``MEASURES``; ``taken_up`` if not given, for distances ``delivered``.
    width : float, optional
        In mm; one or two columns of a journal, chosen by content, if not given.
    dpi : float
        Of a PNG.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    InputError
        If something is unknown, or there is nothing to draw.
    """
    figure = _known("--what", what, FIGURES)
    measure = measure or ("delivered" if what == "distance" else "taken_up")
    _known("--measure", measure, MEASURES)
    check_format(out)
    for name, value, (low, high) in (("--width-mm", width, WIDTHS), ("--dpi", dpi, DOTS)):
        if value is not None and not low <= value <= high:
            raise InputError(f"{name} {value:g}: from {low:g} to {high:g}")
    check_new(out, overwrite=overwrite)
    exchange = exchange_of(source)
    if kind is not None:
        _known("--kind", kind, dict.fromkeys(exchange.kinds))
    if len(exchange.groups) > MOST_PANELS:
        example = ",".join(f"{k}={v}" for k, v in exchange.groups[0].keys.items())
        raise InputError(
            f"{source} has {len(exchange.groups)} points, a figure has room for {MOST_PANELS}; "
            f"choose some, as in '{exchange.source}@{example}'"
        )
    with styled():
        page: Page = pkgutil.resolve_name(figure.drawn_by)(FigureRequest(exchange, measure, kind, width))
        _write(page, out, dpi)


def _write(page: Page, out: Path, dpi: float) -> None:
    with writing_into(out.parent, out), atomic_file(out) as partial:
        save(page.figure, partial, out.suffix.lower(), dpi)


def _known(option: str, word: str, known: dict[str, Any]) -> Any:
    if word not in known:
        raise InputError(f"{option} {word}: one of {', '.join(known)}{did_you_mean(word, known)}")
    return known[word]


def matrix_figure(request: FigureRequest) -> Page:
    """Vesicles by donor and recipient type, as a matrix."""
    from exoabm.plot.matrices import Panel, matrix_page

    rows, columns = donors_and_recipients(request.exchange)
    panels = []
    for group in request.exchange.groups:
        mean, half = mean_and_half(amounts_of(request, group, rows, columns))
        panels.append(Panel(group.title, mean, half))
    require_data(request, sum(float(panel.mean.sum()) for panel in panels))
    return matrix_page(
        panels,
        rows,
        columns,
        unit=request.unit,
        heading=f"{request.heading}; rows send, columns receive",
        caption=caption_of(request, "mean ± half of its 95 % interval (Student's t)"),
        width=request.width,
    )


def network_figure(request: FigureRequest) -> Page:
    """Vesicles as arrows: of a run with cells over the tissue, else between types on a ring."""
    from exoabm.plot.networks import LEAST_SHARE, ring_page

    exchange = request.exchange
    if exchange.folder_kind == "run" and has_cells(exchange.groups[0].runs[0]):
        return _map(request, exchange.groups[0].runs[0])
    rows, columns = donors_and_recipients(exchange)
    names = in_order([*rows, *columns], types_of(exchange))
    panels = [(g.title, amounts_of(request, g, names, names).mean(axis=0)) for g in exchange.groups]
    require_data(request, sum(float(amounts.sum()) for _, amounts in panels))
    words = "Arrows point from the type that sends, in its color."
    most = max(float(amounts.max()) for _, amounts in panels)
    if any(((amounts > 0) & (amounts <= LEAST_SHARE * most)).any() for _, amounts in panels):
        words += f" Those below {percent(LEAST_SHARE)} of the broadest are left out."
    return ring_page(
        panels,
        names,
        unit=request.unit,
        colors=colors_of(exchange, names),
        heading=request.heading,
        caption=f"{words} {caption_of(request, 'mean')}",
        width=request.width,
    )


def _map(request: FigureRequest, run: RunWithEdges) -> Page:
    from exoabm.plot.maps import map_page

    cells, drawn, words = map_of(request, run)
    if not len(drawn.amount):
        require_data(request, float(run.links.counts[request.counted].sum()))
    return map_page(
        cells,
        drawn,
        unit=request.unit,
        colors=colors_of(request.exchange, list(dict.fromkeys(cells.types))),
        heading=request.heading,
        caption=f"{words} {caption_of(request, '')}",
        width=request.width,
    )


def time_figure(request: FigureRequest) -> Page:
    """Vesicles per cell of each type over time, or of one kind by all cells."""
    from exoabm.plot.curves import courses, curve_page, tidy, write_names
    from exoabm.plot.figure_page import scale_of

    if request.measure == "captured":
        raise InputError("--measure captured: captures are not recorded over time; use taken_up or delivered")
    columns = {name: named(f"{request.measure}_per_cell", name) for name in types_of(request.exchange)}
    unit, colors = f"{request.unit} per cell", colors_of(request.exchange, list(columns))
    if request.kind is not None:
        columns = {request.kind: named(request.measure, request.kind)}
        unit, colors = f"{request.unit} by all cells", {}
    found = [(group, *courses_of(group.runs, columns)) for group in with_runs(request)]
    names = [n for n in columns if any(np.nansum(curves[n][0]) > 0 for _, _, curves in found if n in curves)]
    if not names:
        require_data(request, 0.0)
    most = max(np.nanmax(c[n][0] + np.nan_to_num(c[n][1])) for _, _, c in found for n in names if n in c)
    scale, power = scale_of(float(most))
    page = curve_page(
        [group.title for group, *_ in found],
        names if request.kind is None else [],
        widest_numbers(float(most) / scale),
        heading=request.heading.replace(f" in {number(request.exchange.hours)} h", " until each time"),
        caption=caption_of(request, "mean, and its 95 % interval (Student's t) as a band", runs=True),
        width=request.width,
        label=power + unit,
        beside=request.kind is None,
    )
    for ax, (_, hours, curves) in zip(page.panels, found, strict=True):
        shown = {n: (curves[n][0] / scale, curves[n][1] / scale) for n in names if n in curves}
        courses(hours, shown, unit=power + unit, colors=colors, legend=False, ax=ax)
    tidy(page)
    if request.kind is None:
        write_names(page.panels[page.grid.columns - 1])
    return page


def distance_figure(request: FigureRequest) -> Page:
    """Vesicles by the distance between donor and recipient."""
    from exoabm.plot.curves import bins_for, curve_page, distances, tidy, write_names
    from exoabm.plot.figure_page import scale_of

    groups = with_runs(request)
    by_group = [[distances_of(request, run) for run in group.runs] for group in groups]
    total = sum(float(each.amount.sum()) for runs in by_group for each in runs)
    own = sum(each.own for runs in by_group for each in runs)
    outside = sum(each.outside for runs in by_group for each in runs)
    if total == 0:
        if own:
            raise InputError(
                f"all {request.unit} returned to the cell that had sent them; there is no distance to plot"
            )
        require_data(request, 0.0)
    edges = bins_for(max(float(each.distance.max(initial=0.0)) for runs in by_group for each in runs))
    names = in_order(
        (n for runs in by_group for each in runs for n in each.origins), types_of(request.exchange)
    )
    panels = []
    for runs in by_group:
        counts = np.array([[each.binned(name, edges) for each in runs] for name in names])
        panels.append({n: mean_and_half(counts[i]) for i, n in enumerate(names)})
    most = max(float((mean + np.nan_to_num(half)).max()) for panel in panels for mean, half in panel.values())
    scale, power = scale_of(most)
    caption = caption_of(request, "mean, and its 95 % interval (Student's t) as a bar, cut at 0", runs=True)
    if outside:
        caption = f"Vesicles of doses and reservoirs have no distance and are omitted. {caption}"
    if own:
        share = percent(own / (own + total + outside))
        caption = f"Not shown: {share} that returned to the cell that had sent them. {caption}"
    several = len(names) > 1
    page = curve_page(
        [group.title for group in groups],
        names if several else [],
        widest_numbers(most / scale),
        heading=request.heading,
        caption=caption,
        width=request.width,
        label=f"{power}{request.unit} per 000 µm",  # as wide as the label with the width of a bin
        beside=several,
    )
    colors = colors_of(request.exchange, names)
    for ax, panel in zip(page.panels, panels, strict=True):
        shown = {name: (mean / scale, half / scale) for name, (mean, half) in panel.items()}
        distances(edges, shown, unit=power + request.unit, colors=colors, legend=False, ax=ax)
    tidy(page)
    if several:
        write_names(page.panels[page.grid.columns - 1])
    return page
