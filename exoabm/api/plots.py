"""Plots of a run, or of the replicates of a point or an arm: drawn into ``ax``, with units on the axes."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.errors import InputError, did_you_mean
from exoabm.text_formatting import number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes

    from exoabm.export.publication_data import FigureRequest
    from exoabm.export.type_exchange import Exchange, Group, RunWithEdges

DPI = 150
"""Dots per inch of a new figure, at which letters of 6.5 points are read on a screen; assumed."""
DECADES = 3.0
"""Range of a logarithmic scale of concentrations below their maximum, in powers of ten; assumed."""
WIDEST = 24
"""Letters of the names of columns that fit side by side below a matrix; assumed."""
FRAME = 200
"""Time of a picture in an animation, ms; assumed."""


class Plots:
    """Plots of runs that differ by their seeds alone: of one run, or means with intervals of several.

    Every plot takes ``ax`` and returns the axes that it drew into; without ``ax`` these are of a new figure
    of pyplot, one column of a journal wide. Means have 95 % confidence intervals (Student's t).
    """

    @cached_property
    def _exchange(self) -> Exchange:
        raise NotImplementedError

    @property
    def _group(self) -> Group:
        return self._exchange.groups[0]

    def plot(self, *readouts: str, ax: Axes | None = None) -> Axes:
        """Draw readouts over time, by default the vesicles taken up per cell of each type.

        Parameters
        ----------
        readouts : str
            Names of columns of ``metrics`` of one unit, such as ``"taken_up[exosome]"``.
        ax : matplotlib.axes.Axes, optional

        Examples
        --------
        >>> import exoabm as xo
        >>> ax = xo.run("two_cells", {"clock.step": "10 min"}, seed=1, hours=1).plot("free[exosome]")
        >>> ax.get_xlabel(), ax.get_ylabel()
        ('time (h)', 'free vesicles')
        """
        from exoabm.export.publication_data import colors_of, courses_of, types_of
        from exoabm.plot.curves import courses
        from exoabm.tables.readouts import named

        request = self._request("taken_up", None)
        if readouts:
            unit = self._unit_of(readouts)
            columns, colors = {name: name for name in readouts}, {}
        else:
            columns = {n: named("taken_up_per_cell", n) for n in types_of(self._exchange)}
            unit, colors = f"{request.unit} per cell", colors_of(self._exchange, list(columns))
        hours, curves = courses_of(self._runs(), columns)
        with new_axes(ax) as ax:
            courses(hours, curves, unit=unit, colors=colors, ax=ax)
        return ax

    def plot_matrix(
        self, measure: str = "taken_up", kind: str | None = None, *, ax: Axes | None = None
    ) -> Axes:
        """Draw the vesicles from each type (rows) to each type (columns).

        Parameters
        ----------
        measure : str
            ``"captured"``, ``"taken_up"`` or ``"delivered"``.
        kind : str, optional
            Vesicle kind; by default the sum of all.
        ax : matplotlib.axes.Axes, optional
        """
        from exoabm.export.publication_data import amounts_of, donors_and_recipients, require_data
        from exoabm.export.type_exchange import mean_and_half
        from exoabm.plot.figure_page import name_lines
        from exoabm.plot.matrices import matrix, shades_of, slant

        request = self._request(measure, kind)
        rows, columns = donors_and_recipients(self._exchange)
        mean, half = mean_and_half(amounts_of(request, self._group, rows, columns))
        require_data(request, float(mean.sum()))
        shades = shades_of(mean, request.unit)
        with new_axes(ax) as ax:
            matrix(mean, rows, columns, half=half, shades=shades, ax=ax)
            if sum(map(len, columns)) > WIDEST:
                slant(ax, [name_lines(name) for name in columns])
            ax.set_title(shades.heading(request.heading))
        return ax

    def plot_network(
        self, measure: str = "taken_up", kind: str | None = None, *, ax: Axes | None = None
    ) -> Axes:
        """Draw the types on a ring, with arrows as wide as the vesicles from one to the other are many."""
        from exoabm.export.publication_data import (
            amounts_of,
            colors_of,
            donors_and_recipients,
            require_data,
            types_of,
        )
        from exoabm.export.type_exchange import in_order
        from exoabm.plot.networks import network

        request = self._request(measure, kind)
        rows, columns = donors_and_recipients(self._exchange)
        names = in_order([*rows, *columns], types_of(self._exchange))
        amounts = amounts_of(request, self._group, names, names).mean(axis=0)
        require_data(request, float(amounts.sum()))
        with new_axes(ax) as ax:
            network(amounts, names, unit=request.unit, colors=colors_of(self._exchange, names), ax=ax)
            ax.set_title(request.heading, pad=16)
        return ax

    def plot_map(self, measure: str = "taken_up", kind: str | None = None, *, ax: Axes | None = None) -> Axes:
        """Draw the cells of the first run, seen along z, and the strongest links; broad ends send."""
        from exoabm.export.publication_data import colors_of, map_of
        from exoabm.plot.maps import links

        request, run = self._request(measure, kind), self._runs()[0]
        cells, drawn, _ = map_of(request, run)
        colors = colors_of(self._exchange, list(dict.fromkeys(cells.types)))
        with new_axes(ax) as ax:
            links(cells, drawn, unit=request.unit, colors=colors, ax=ax)
            ax.set_title(request.heading)
        return ax

    def plot_distance(
        self, measure: str = "delivered", kind: str | None = None, *, ax: Axes | None = None
    ) -> Axes:
        """Draw the vesicles by the distance in µm between the cell that sent and the cell that received.

        Raises
        ------
        InputError
            If the runs know donors by type only: set ``transport.provenance`` to ``"cell"``.
        """
        from exoabm.export.publication_data import colors_of, distances_of, require_data, types_of
        from exoabm.export.type_exchange import in_order, mean_and_half
        from exoabm.plot.curves import bins_for, distances

        request = self._request(measure, kind)
        by_run = [distances_of(request, run) for run in self._runs()]
        require_data(request, sum(float(each.amount.sum()) for each in by_run))
        edges = bins_for(max(float(each.distance.max(initial=0.0)) for each in by_run))
        names = in_order((n for each in by_run for n in each.origins), types_of(self._exchange))
        amounts = {n: mean_and_half(np.array([each.binned(n, edges) for each in by_run])) for n in names}
        with new_axes(ax) as ax:
            distances(edges, amounts, unit=request.unit, colors=colors_of(self._exchange, names), ax=ax)
            ax.set_title(request.heading)
        return ax

    def plot_field(
        self, kind: str | None = None, *, hours: float | None = None, ax: Axes | None = None
    ) -> Axes:
        """Draw the concentration of free vesicles per mL in the first run, with the outlines of the cells.

        Parameters
        ----------
        kind : str, optional
            Vesicle kind; by default the first.
        hours : float, optional
            Model time in h; the last recorded time until then. By default the end.
        ax : matplotlib.axes.Axes, optional

        Notes
        -----
        In three dimensions it is the mean along z.
        """
        run = self._runs()[0]
        times = run.fields.times_s / 3600
        at = len(times) - 1 if hours is None else int(np.searchsorted(times, hours + 1e-9, "right")) - 1
        if at < 0:
            raise InputError(f"hours = {hours:g}: the first recorded time is {times[0]:g} h")
        with new_axes(ax) as ax:
            _draw_field(ax, run, self._kind(kind), at)
        return ax

    def animate(self, kind: str | None = None) -> FuncAnimation:
        """The field of ``plot_field`` over all recorded times, on one scale.

        ``.to_jshtml()`` shows it in a notebook; ``.save("field.gif", writer="pillow")`` writes it to a file.
        """
        from matplotlib.animation import FuncAnimation

        run, kind = self._runs()[0], self._kind(kind)
        with new_axes(None) as ax:
            update = _draw_field(ax, run, kind, len(run.fields.times_s) - 1)
        frames = len(run.fields.times_s)
        return FuncAnimation(ax.figure, update, frames=frames, interval=FRAME)  # type: ignore[arg-type]

    def save_figure(
        self,
        to: str | Path,
        what: str = "matrix",
        *,
        measure: str | None = None,
        kind: str | None = None,
        width_mm: float | None = None,
        dpi: float = 600.0,
        overwrite: bool = False,
    ) -> Path:
        """Write a figure for publication, as ``exoabm figure``: text as text, and a caption with seeds and n.

        Parameters
        ----------
        to : str or Path
            A ``.svg``, ``.pdf`` or ``.png`` file.
        what : str
            ``"matrix"``, ``"network"``, ``"time"`` or ``"distance"``.
        measure, kind
            As for ``plot_matrix``.
        width_mm : float, optional
            By default one or two columns of a journal.
        dpi : float
            Of a PNG.
        overwrite : bool

        Examples
        --------
        >>> import exoabm as xo
        >>> run = xo.run("two_cells", {"clock.step": "10 min"}, seed=1, hours=1)
        >>> run.save_figure("matrix.svg").read_text()[:5]
        '<?xml'
        """
        from exoabm.export.publication_figures import draw_figure

        draw_figure(
            self._exchange.source,
            what,
            Path(to),
            kind=kind,
            measure=measure,
            width=width_mm,
            dpi=dpi,
            overwrite=overwrite,
        )
        return Path(to)

    def _runs(self) -> list[RunWithEdges]:
        """The run folders.

        Raises
        ------
        InputError
            If none were kept.
        """
        from exoabm.export.publication_data import NO_RUNS

        if not self._group.runs:
            raise InputError(f"{self._exchange.source} {NO_RUNS}")
        return self._group.runs

    def _kind(self, kind: str | None) -> str:
        kinds = self._exchange.kinds
        if kind is not None and kind not in kinds:
            raise InputError(f"kind = {kind!r}: one of {', '.join(kinds)}{did_you_mean(kind, kinds)}")
        return kind or kinds[0]

    def _request(self, measure: str, kind: str | None) -> FigureRequest:
        from exoabm.export.publication_data import MEASURES, FigureRequest

        if measure not in MEASURES:
            hint = did_you_mean(measure, MEASURES)
            raise InputError(f"measure = {measure!r}: one of {', '.join(MEASURES)}{hint}")
        return FigureRequest(self._exchange, measure, None if kind is None else self._kind(kind), None)

    def _unit_of(self, readouts: Sequence[str]) -> str:
        """The label of readouts, which must be of one unit."""
        from exoabm.tables.readouts import parse

        known = [name for name in self._runs()[0].metrics.column_names if name != "time_h"]
        for name in readouts:
            if name not in known:
                raise InputError(f"no readout {name!r}{did_you_mean(name, known)}; see metrics.column_names")
        parsed = [parse(name) for name in readouts]
        units = dict.fromkeys(each.column.unit for each in parsed if each.column is not None)
        if len(units) > 1:
            raise InputError(
                f"the readouts have different units: {', '.join(map(str, units))}; plot each by itself"
            )
        quantities = dict.fromkeys(each.quantity.replace("_", " ") for each in parsed)
        unit = next(iter(units), "")
        return f"{' / '.join(quantities)} {unit or 'vesicles'}".strip()


class new_axes:
    """The axes given, or those of a new figure of pyplot, drawn in the style of figures for papers.

    A new figure is as wide as ``columns`` of a journal.
    """

    def __init__(self, ax: Axes | None, columns: float = 1.0) -> None:
        from exoabm.plot.figure_page import styled

        self._ax, self._columns, self._style = ax, columns, styled()

    def __enter__(self) -> Any:
        self._style.__enter__()
        if self._ax is not None:
            return self._ax
        from matplotlib import pyplot as plt

        from exoabm.plot.figure_page import COLUMN, MM

        size = (self._columns * COLUMN * MM, 0.75 * COLUMN * MM)
        ax: Any = plt.subplots(figsize=size, dpi=DPI, layout="constrained")[1]
        ax._ipython_display_ = _shown_by_pyplot
        return ax

    def __exit__(self, *error: Any) -> None:
        import matplotlib as mpl

        interactive = mpl.is_interactive()  # turned on where a notebook makes its first figure, in here
        self._style.__exit__(*error)
        mpl.interactive(interactive)


def _shown_by_pyplot() -> None:
    """What a notebook displays of axes that are the value of a cell: nothing beside the figure of pyplot."""


def _draw_field(ax: Axes, run: RunWithEdges, kind: str, at: int) -> Any:
    """Draw a field and the cells; return the function that draws another time."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize

    from exoabm.plot import palette
    from exoabm.plot.figure_page import scale_of

    def amounts(time: int) -> np.ndarray:
        found = run.fields.at(kind, time).sum(axis=0, dtype=float)
        return found.mean(axis=0) if found.ndim == 3 else found

    every = [float(amounts(time).max()) for time in range(len(run.fields.times_s))]
    scale, power = scale_of(max(every))
    most = max(every) / scale or 1.0

    def values(time: int) -> np.ndarray:
        return np.maximum(amounts(time) / scale, least if wide else 0.0)

    least = most / 10**DECADES
    wide = float(np.median(amounts(int(np.argmax(every))))) < max(every) / 10
    norm: Normalize = LogNorm(least, most) if wide else Normalize(0.0, most)
    colors = LinearSegmentedColormap.from_list("field", palette.FIELD)
    low, step = run.fields.origin_um, run.fields.voxel_um
    ny, nx = amounts(at).shape
    extent = (low[0], low[0] + nx * step, low[1], low[1] + ny * step)
    image = ax.imshow(values(at), norm=norm, cmap=colors, extent=extent, origin="lower")
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.85, pad=0.02)
    bar.set_label(f"free vesicles of {kind} ({power}/mL)")
    outlines = ax.add_collection(_outlines(ax, run, at))
    _type_key(ax, run)
    ax.set(xlabel="x (µm)", ylabel="y (µm)", title=f"{number(run.fields.times_s[at] / 3600)} h")

    def update(time: int) -> list[Any]:
        nonlocal outlines
        image.set_data(values(time))
        outlines.remove()
        outlines = ax.add_collection(_outlines(ax, run, time))
        ax.set_title(f"{number(run.fields.times_s[time] / 3600)} h")
        return [image, outlines]

    return update


def _looks(run: RunWithEdges) -> Mapping[str, str]:
    """The color of each type, as in the preview."""
    from exoabm.plot.palette import OTHER, Looks
    from exoabm.scenario.state_builder import kinds_and_types

    _, types = kinds_and_types(run.scenario)
    looks = Looks.of(types, np.array([run.cells_at_start.get(each.name, 0) for each in types]))
    return dict.fromkeys(run.types, OTHER) | {
        style.name: style.color for style in looks.as_shipped(run.loaded.name).styles
    }


def _outlines(ax: Axes, run: RunWithEdges, at: int) -> Any:
    from matplotlib.collections import EllipseCollection

    cells, colors = run.cells_at(float(run.fields.times_s[at])), _looks(run)
    names = cells["cell_type"].to_pylist()
    size = np.array([run.diameters.get(name, 0.0) for name in names])
    place = np.column_stack([np.asarray(cells["x_um"]), np.asarray(cells["y_um"])])
    return EllipseCollection(
        size,
        size,
        np.zeros(len(size)),
        units="xy",
        offsets=place,
        offset_transform=ax.transData,
        facecolors="none",
        edgecolors=[colors[name] for name in names],
        linewidths=0.7,
    )


def _type_key(ax: Axes, run: RunWithEdges) -> None:
    """Names of the types, below the axes."""
    from matplotlib.lines import Line2D

    there = [name for name in run.types if run.cells_at_start.get(name)]
    colors = _looks(run)
    marks = [Line2D([], [], ls="", marker="o", mfc="none", mec=colors[name], ms=4) for name in there]
    ax.legend(marks, there, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3, handletextpad=0.1)
