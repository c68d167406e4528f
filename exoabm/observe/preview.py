"""One picture of a run: the tissue, who reached whom, where the vesicles are, how far they got.

The figure is laid out in pixels from its top left corner, so that lengths in the tissue are to scale and
text never depends on what a layout engine finds. It uses Matplotlib's objects alone: no ``pyplot``, no
global state, safe in any thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import zoom

from exoabm.ledger import PLACES
from exoabm.observe import palette
from exoabm.observe.communication import PER_ML, nearest_donor_distance, type_matrix
from exoabm.observe.palette import INK, MUTED, OTHER, PAPER, RULE, Role, Style
from exoabm.state import RESERVOIR, Resolution

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    from exoabm.domain import Domain
    from exoabm.state import State

WIDTH, HEIGHT, DPI = 1600, 1200, 150
POINT = 72 / DPI
"""A pixel in points."""

LEFT, RIGHT, TOP, BOTTOM = 100, 884, 208, 848
"""Where the panels' axes begin: left and right column, upper and lower row, px."""

MAP = (540, 506)
"""Room for a map, px."""

DECADES = 4
"""Orders of magnitude of concentration, and of uptake, that shades tell apart."""

MAX_LINKS = 300
MAX_NETWORK_CELLS = 2_000
MAX_NAMES = 7


@dataclass(frozen=True)
class _Scene:
    """What several panels share. ``taken`` (n) are vesicles taken up, ``fill`` (n) their shade, 0 to 1."""

    state: State
    styles: list[Style]
    taken: np.ndarray
    low: float
    high: float
    fill: np.ndarray

    @classmethod
    def of(cls, state: State) -> _Scene:
        counts = np.bincount(state.cells.type, minlength=len(state.types))
        taken = state.trafficking.internalized.sum(axis=(1, 2))
        low, high = _log_range(taken)
        with np.errstate(divide="ignore"):
            shade = np.log(np.maximum(taken, low) / low) / np.log(high / low)
        fill = np.where(taken > 0, 0.12 + 0.88 * shade, 0.0)
        return cls(state, palette.cell_styles(state.types, counts), taken, low, high, fill)

    def members(self, index: int) -> np.ndarray:
        """Rows of the cells of a type."""
        return np.flatnonzero(self.state.cells.type == index)


def draw_preview(
    state: State,
    rows: list[dict[str, float]],
    path: Path,
    *,
    title: str = "",
    threshold: float | None = None,
) -> None:
    """Write the picture of a run as a PNG of 1600 x 1200 pixels; see ``build_figure``.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = build_figure(state, rows, title=title, threshold=threshold)
    with path.open("wb") as file:
        FigureCanvasAgg(figure).print_png(file, metadata={"Software": "exoabm"})


def build_figure(
    state: State, rows: list[dict[str, float]], *, title: str = "", threshold: float | None = None
) -> Figure:
    """The picture of a run: four panels, labeled ``tissue``, ``links``, ``places`` and ``uptake``.

    ``links`` holds a network where single donor cells are told apart and few, else a matrix of types;
    ``uptake`` is replaced by ``waste`` where cells make waste.

    Parameters
    ----------
    state : State
        The end of the run.
    rows : list of dict
        The time series, as ``Metrics.rows``.
    title : str
        Plain text; shortened to fit.
    threshold : float, optional
        Concentration in vesicles/um^3 whose contour is drawn in the tissue.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, facecolor=PAPER)
    scene = _Scene.of(state)
    _header(figure, scene, title)
    _tissue(figure, scene, threshold)
    _links(figure, scene)
    _places(figure, state, rows)
    if any(row.get(_waste_key(t.name), 0) > 0 for row in rows for t in state.types):
        _waste(figure, scene, rows)
    else:
        _uptake(figure, scene)
    return figure


# The header: title, what was run, and one key to the cells of all panels.


def _header(figure: Figure, scene: _Scene, title: str) -> None:
    state = scene.state
    words = _plain(title) or "Communication through extracellular vesicles"
    _write(figure, 40, 50, _shorten(words, 78), size=14, weight="bold", color=INK)
    emitted = float(state.ledger.emitted.sum())
    facts = (
        _count(len(state.cells), "cell"),
        state.domain.describe().replace(" um", " µm").replace(" x ", " × "),
        f"{_number(state.time / 3600)} h",
        f"{_number(emitted)} vesicles emitted",
    )
    _write(figure, 40, 83, "   ·   ".join(facts), size=8.5, color=MUTED)
    pen, line = 40.0, 122
    for style, label in _key(scene):
        entry = _write(figure, pen + 24, line, label, size=8.5, color=INK)
        width = entry.get_window_extent().width
        if pen + 24 + width > WIDTH - 40:
            pen, line = 40.0, line + 27
            entry.set_position(((pen + 24) / WIDTH, 1 - line / HEIGHT))
        _glyph(figure, pen + 9, line - 6, style)
        pen += width + 60


def _key(scene: _Scene) -> list[tuple[Style, str]]:
    """The entries of the key: named types by size, the others by role, and what each shape means."""
    entries: list[tuple[int, Style, str]] = []
    rest: dict[Role, list[int]] = {}
    for index, style in enumerate(scene.styles):
        cells = len(scene.members(index))
        if style.named:
            entries.append((cells, style, f"{_shorten(style.name, 24)}, {_number(cells)}"))
        elif cells:
            rest.setdefault(style.role, []).append(index)
    entries.sort(key=lambda entry: (entry[1].role is not Role.SENDS, -entry[0]))
    for role, types in rest.items():
        cells = sum(len(scene.members(i)) for i in types)
        name = _shorten(scene.styles[types[0]].name, 24)
        words = name if len(types) == 1 else f"{len(types)} other types"
        entries.append((cells, Style(name, role, OTHER, False), f"{words}, {_number(cells)}"))
    key = [(style, label) for _, style, label in entries]
    roles = {style.role for style, _ in key}
    return [(style, label) for style, label in key] + [
        (Style("", role, PAPER, False), role.words) for role in Role if role in roles
    ]


def _glyph(figure: Figure, x: float, y: float, style: Style) -> None:
    from matplotlib.lines import Line2D

    figure.add_artist(
        Line2D(
            [x / WIDTH],
            [1 - y / HEIGHT],
            marker=style.role.marker,
            markersize=7 if style.role is not Role.NEITHER else 5.5,
            markerfacecolor=style.color,
            markeredgecolor=MUTED if style.color == PAPER else style.outline,
            markeredgewidth=0.8,
            linestyle="none",
        )
    )


# The tissue: concentration, and the cells on it.


def _tissue(figure: Figure, scene: _Scene, threshold: float | None) -> None:
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    state, domain = scene.state, scene.state.domain
    ax, scale = _map(figure, domain, "tissue", LEFT)
    ax.set(xlabel="x (µm)", ylabel="y (µm)")
    extent = (*ax.get_xlim(), *ax.get_ylim())
    level = _level(state)
    cut = slice(None) if domain.dim == 2 else level
    free = np.sum([f.sum(axis=0, dtype=float)[cut] for f in state.fields], axis=0)
    concentration = free / domain.voxel_volume * PER_ML
    low, high = _log_range(concentration)
    shades = LinearSegmentedColormap.from_list("field", palette.FIELD)
    note = "no free vesicles; "
    if concentration.any():
        # Between voxel centers the logarithm is interpolated: profiles fall like exponentials.
        log = np.log10(np.maximum(concentration, low))
        fine = 10 ** zoom(log, max(1, round(scale * domain.voxel)), order=1, mode="nearest", grid_mode=True)
        ax.imshow(fine, cmap=shades, norm=LogNorm(low, high), origin="lower", extent=extent, aspect="auto")
        _ramp(figure, 0, shades(np.linspace(0, 1, 256))[:, :3], low, high, "free vesicles per mL")
        note = ""
        if threshold is not None and low < threshold * PER_ML < high:
            ax.contour(
                fine,
                [threshold * PER_ML],
                origin="lower",
                extent=extent,
                colors=INK,
                linewidths=0.9,
                linestyles="dashed",
                alpha=0.8,
            )
            note = f"dashed: {_number(threshold * PER_ML)} per mL; "
    if domain.obstacle is not None:
        wall = np.where(domain.obstacle[cut], 1.0, np.nan)
        ax.imshow(wall, cmap="gray", vmin=0, vmax=1.35, origin="lower", extent=extent, aspect="auto")
    drawn = np.arange(len(state.cells))
    if domain.dim == 3:
        z = float(domain.centers(2)[level])
        near = np.abs(state.cells.position[:, 2] - z) <= np.maximum(state.of_type("diameter"), domain.voxel)
        drawn = np.flatnonzero(near)
        note = f"plane z = {_number(z)} µm, {_number(len(drawn))} cells near it; {note}"
    enlarged = _cells(ax, scene, scale, drawn)
    fill = "cells fill with what they took up"
    size = "to scale" if enlarged == 1 else f"enlarged {_number(enlarged)}×"
    _heading(figure, LEFT, TOP, "Free vesicles and cells", f"{note}{fill}, {size}")
    hues = {s.color for s in scene.styles if s.named and s.role in (Role.TAKES_UP, Role.BOTH)}
    if scene.taken.any():
        hue = hues.pop() if len(hues) == 1 else "#4A4A4A"
        ramp = palette.tint(hue, np.linspace(0.12, 1, 256))
        _ramp(figure, 1, ramp, scene.low, scene.high, "taken up per cell")


def _map(figure: Figure, domain: Domain, label: str, left: float) -> tuple[Axes, float]:
    """Axes in which a micrometer is as long on x as on y, and its length in px."""
    extent, low = domain.extent, domain.low
    scale = float(min(MAP[0] / extent[0], MAP[1] / extent[1]))
    ax = _axes(figure, left, TOP, scale * extent[0], scale * extent[1], label)
    ax.set(xlim=(low[0], low[0] + extent[0]), ylim=(low[1], low[1] + extent[1]))
    return ax, scale


def _level(state: State) -> int:
    """The voxel layer of the median donor, or cell if none sends; 0 in a slab."""
    if state.domain.dim == 2 or not len(state.cells):
        return state.domain.shape[0] // 2 if state.domain.dim == 3 else 0
    sends = state.labels.of_cell >= 0
    heights = np.sort(state.cells.position[sends if sends.any() else slice(None), 2])
    middle = np.array([[0.0, 0.0, heights[len(heights) // 2]]])
    return int(np.clip(state.domain.voxel_of(middle)[0, 2], 0, state.domain.shape[0] - 1))


def _cells(ax: Axes, scene: _Scene, scale: float, drawn: np.ndarray) -> float:
    """Draw cells at ``scale`` px per um; return by how much they had to be enlarged to be seen."""
    from matplotlib.collections import PathCollection
    from matplotlib.path import Path
    from matplotlib.transforms import IdentityTransform

    state = scene.state
    sizes = np.array([t.diameter for t in state.types]) * scale
    enlarged = max(1.0, 3.0 / float(sizes.max()))
    order = {Role.NEITHER: 3, Role.TAKES_UP: 4, Role.BOTH: 5, Role.SENDS: 6}
    for index, style in enumerate(scene.styles):
        rows = drawn[state.cells.type[drawn] == index]
        if not len(rows):
            continue
        size = sizes[index] * enlarged
        takes_up = style.role in (Role.TAKES_UP, Role.BOTH)
        share = scene.fill[rows] if takes_up else np.ones(len(rows))
        line = float(np.clip(size / 14, 0.25, 1.0))
        for color, width, z in ((PAPER, 2.5 * line, 0.0), (style.outline, line, 0.1)):
            ax.add_collection(
                PathCollection(
                    [Path(np.vstack([style.role.polygon(), style.role.polygon()[:1]]), closed=True)],
                    sizes=[(size * POINT) ** 2],
                    offsets=state.cells.position[rows, :2],
                    offset_transform=ax.transData,
                    transform=IdentityTransform(),
                    facecolors=palette.tint(style.color, share),
                    edgecolors=color,
                    linewidths=width,
                    zorder=order[style.role] + z,
                    label=style.name,
                ),
                autolim=False,
            )
    return enlarged


def _ramp(figure: Figure, place: int, colors: np.ndarray, low: float, high: float, label: str) -> None:
    """A color scale beside the tissue, the upper (0) or the lower (1) of two."""
    ax = _axes(figure, LEFT + MAP[0] + 14, TOP + place * 268, 15, 238, f"scale {place}")
    ax.imshow(colors[:, None], origin="lower", extent=(0, 1, np.log10(low), np.log10(high)), aspect="auto")
    ticks = _log_ticks(low, high)
    ax.set_xticks([])
    ax.set_yticks(np.log10(ticks), [_number(t) for t in ticks])
    ax.yaxis.tick_right()
    ax.yaxis.set_label_position("right")
    ax.set_ylabel(label, labelpad=4)
    for spine in ax.spines.values():
        spine.set_visible(False)


# Who reached whom: a network of cells, or a matrix of types.


def _links(figure: Figure, scene: _Scene) -> None:
    state = scene.state
    by_cell = state.labels.resolution is Resolution.CELL and RESERVOIR not in state.labels.names
    if not len(state.labels):
        _heading(figure, RIGHT, TOP, "Who reached whom", "")
        _say(_axes(figure, RIGHT, TOP, 660, MAP[1], "links"), "no cell sends vesicles")
    elif by_cell and len(state.cells) <= MAX_NETWORK_CELLS:
        _network(figure, scene)
    else:
        _matrix(figure, scene)


def _network(figure: Figure, scene: _Scene) -> None:
    from matplotlib.collections import PolyCollection

    state = scene.state
    ax, scale = _map(figure, state.domain, "links", RIGHT)
    ax.set(xticks=[], yticks=[])
    row_of = {str(b): i for i, b in enumerate(state.cells.birth_id)}
    donors = np.array([row_of[name] for name in state.labels.names])
    flow = state.trafficking.internalized.sum(axis=1)
    own = float(flow[donors, np.arange(len(donors))].sum())
    flow[donors, np.arange(len(donors))] = 0.0
    recipient, label = np.nonzero(flow)
    weight = flow[recipient, label]
    strongest = np.argsort(weight, kind="stable")[-MAX_LINKS:]
    total, links = float(weight.sum()), len(weight)
    recipient, label, weight = recipient[strongest], label[strongest], weight[strongest]
    if links:
        few = links <= 20
        start = state.cells.position[donors[label]]
        way = state.domain.displacement(start, state.cells.position[recipient])
        pixels = np.maximum((14 if few else 8) * weight / weight.max(), 0.6)
        ax.add_collection(
            PolyCollection(
                _tapers(start[:, :2], way[:, :2], pixels / scale),
                facecolors=[scene.styles[t].color for t in state.cells.type[donors[label]]],
                edgecolors="none",
                alpha=0.75 if few else 0.5,
                zorder=2,
                label="links",
            ),
            autolim=False,
        )
        share = (
            f"{links:,} links"
            if links == len(weight)
            else (
                f"{len(weight):,} strongest of {links:,} links ({_percent(weight.sum() / total)} of uptake)"
            )
        )
        note = f"{share if links > 1 else '1 link'}, from broad to fine end; broadest {_number(weight.max())} vesicles"
    else:
        note = "no vesicle taken up by another cell"
    if own:
        note += f"; {_percent(own / (own + total))} returned to its sender"
    _cells(ax, scene, scale, np.arange(len(state.cells)))
    _heading(figure, RIGHT, TOP, "Who reached whom", note)
    _scale_bar(ax, state.domain, scale)


def _tapers(start: np.ndarray, way: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Curved wedges from ``start`` (m, 2) along ``way`` (m, 2), ``width`` (m) at their start: (m, 26, 2).

    Tapering shows direction better than arrowheads do; two links between the same cells bend apart.
    """
    t = np.linspace(0.0, 1.0, 13)[None, :, None]
    side = np.stack([-way[:, 1], way[:, 0]], axis=1)
    bend = 0.12 * side[:, None] * 4 * t * (1 - t)
    middle = start[:, None] + t * way[:, None] + bend
    normal = side / np.linalg.norm(side, axis=1, keepdims=True)
    half = 0.5 * width[:, None, None] * (1 - 0.85 * t) * normal[:, None]
    return np.concatenate([middle + half, (middle - half)[:, ::-1]], axis=1)


def _scale_bar(ax: Axes, domain: Domain, scale: float) -> None:
    """A round length of about a fifth of the width, below the map."""
    rough = float(domain.extent[0]) / 5
    step = 10 ** np.floor(np.log10(rough))
    length = float(max(m for m in (1, 2, 5) if m * step <= rough) * step)
    x0, y0 = domain.low[0], domain.low[1]
    ax.plot(
        [x0, x0 + length],
        [y0 - 16 / scale] * 2,
        color=INK,
        linewidth=2,
        clip_on=False,
        solid_capstyle="butt",
    )
    ax.annotate(
        f"{_number(length)} µm",
        (x0 + length, y0 - 16 / scale),
        (6, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=INK,
        annotation_clip=False,
    )


def _matrix(figure: Figure, scene: _Scene) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    matrix = type_matrix(scene.state)
    senders, values = _fold(matrix.donors, matrix.values)
    receivers, values = _fold(matrix.recipients, values.T)
    values = values.T
    total = values.sum(axis=1, keepdims=True)
    share = np.divide(values, total, out=np.zeros_like(values), where=total > 0)
    left = RIGHT + 150
    wide = min(170.0, (WIDTH - 45 - left) / len(receivers))
    high = min(100.0, 400.0 / len(senders))
    ax = _axes(figure, left, TOP, wide * len(receivers), high * len(senders), "links")
    shades = LinearSegmentedColormap.from_list("share", palette.FIELD)
    ax.imshow(share, cmap=shades, vmin=0, vmax=1, aspect="auto")
    texts = [
        [f"{_percent(s)}\n{_number(v)}" for s, v in zip(*r, strict=True)]
        for r in zip(share, values, strict=True)
    ]
    longest = max(len(line) for row in texts for text in row for line in text.split("\n"))
    size = min(9.0, (wide - 6) * POINT / (0.62 * longest), (high - 6) * POINT / 2.6)
    for (i, j), value in np.ndenumerate(share):
        text = texts[i][j] if total[i] > 0 else "–"
        color = PAPER if value > 0.55 else INK
        ax.text(j, i, text, ha="center", va="center", fontsize=size, color=color)
    ax.set_yticks(range(len(senders)), senders)
    ax.set_xticks(range(len(receivers)), receivers)
    if max(map(len, receivers)) * 9.5 > wide - 8:
        for text in ax.get_xticklabels():
            text.set(rotation=32, ha="right", rotation_mode="anchor")
    ax.set_xticks(np.arange(1, len(receivers)) - 0.5, minor=True)
    ax.set_yticks(np.arange(1, len(senders)) - 0.5, minor=True)
    ax.grid(which="minor", color=PAPER, linewidth=1.5)
    ax.tick_params(which="both", length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    note = "each row sends, each column receives; share of the row and vesicles taken up"
    _heading(figure, RIGHT, TOP, "Who reached whom", note if total.any() else "nothing taken up yet")


def _fold(names: Sequence[str], values: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Keep the rows that count most, in their order, and add up the others."""
    if len(names) <= MAX_NAMES + 1:
        return [_shorten(n, 16) for n in names], values
    keep = np.sort(np.argsort(-values.sum(axis=1), kind="stable")[:MAX_NAMES])
    rest = np.setdiff1d(np.arange(len(names)), keep)
    kept = [_shorten(names[i], 16) for i in keep]
    return [*kept, f"{len(rest)} others"], np.vstack([values[keep], values[rest].sum(axis=0)])


# Where the vesicles are, over time.


def _places(figure: Figure, state: State, rows: list[dict[str, float]]) -> None:
    ax = _axes(figure, LEFT, BOTTOM, 420, 268, "places")
    title = "Where the emitted vesicles are"
    hours, emitted = _series(rows, "time_h"), np.zeros(len(rows))
    places = {place: np.zeros(len(rows)) for place in PLACES}
    for kind in state.kinds:
        emitted = emitted + _series(rows, f"{kind.name}_emitted_EV")
        for place in PLACES:
            places[place] = places[place] + _series(rows, f"{kind.name}_{place}_EV")
    if len(rows) < 2 or not emitted.any():
        _heading(figure, LEFT, BOTTOM, title, "")
        _say(ax, "no vesicle was emitted" if len(rows) > 1 else "nothing happened yet")
        return
    shown = [p for p in palette.PLACES if places[p].any() or p == "delivered"]
    edges = np.vstack([np.zeros(len(rows)), np.cumsum([np.maximum(places[p], 0) for p in shown], axis=0)])
    top = float(edges[-1].max())
    _frame(ax, hours, top * 1.02, "vesicles")
    labels = []
    for place, low, high in zip(shown, edges[:-1], edges[1:], strict=True):
        words, color = palette.PLACES[place]
        ax.fill_between(hours, low, high, color=color, linewidth=0.6, edgecolor=PAPER, label=place)
        count = float(places[place][-1])
        share = _percent(count / emitted[-1]) if emitted[-1] > 0 else ""
        labels.append((float(low[-1] + high[-1]) / 2, f"{words}  {_number(count)}  ({share})", color))
    ax.plot(hours, edges[1], color=palette.PLACES["delivered"][1], linewidth=1.6, label="delivered line")
    _label_ends(ax, labels, bold="delivered")
    kinds = "" if len(state.kinds) == 1 else f", {len(state.kinds)} kinds together"
    _heading(figure, LEFT, BOTTOM, title, f"at {_number(hours[-1])} h, in % of all emitted{kinds}")


def _waste(figure: Figure, scene: _Scene, rows: list[dict[str, float]]) -> None:
    ax = _axes(figure, RIGHT, BOTTOM, 430, 268, "waste")
    hours = _series(rows, "time_h")
    labels, top = [], 0.0
    for index, style in enumerate(scene.styles):
        values = _series(rows, _waste_key(style.name))
        if scene.state.types[index].waste is None and not values.any():
            continue
        color = style.outline
        ax.plot(hours, values, color=color, linewidth=1.8, label=style.name)
        held = _number(float(values[-1]))
        labels.append((float(values[-1]), f"{_shorten(style.name, 16)}  {held}", color))
        top = max(top, float(values.max()))
    _frame(ax, hours, top * 1.05, "waste units per cell")
    labels.sort(key=lambda label: -label[0])
    _label_ends(ax, labels[: MAX_NAMES + 1])
    _heading(figure, RIGHT, BOTTOM, "Waste that cells hold", "mean over the cells of each type")


def _waste_key(type_name: str) -> str:
    return f"{type_name}_waste_units_per_cell"


def _series(rows: list[dict[str, float]], key: str) -> np.ndarray:
    """A column of the time series; a type without cells has none, and counts as 0."""
    return np.array([row.get(key, 0.0) for row in rows], dtype=float)


def _frame(ax: Axes, hours: np.ndarray, top: float, label: str) -> None:
    end = float(hours[-1]) if len(hours) and hours[-1] > hours[0] else float(hours[0]) + 1.0
    ax.set(xlim=(float(hours[0]), end), ylim=(0.0, top), xlabel="time (h)", ylabel=label)
    ax.grid(axis="y", color=RULE, linewidth=0.6, zorder=0)
    ax.set_axisbelow(True)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(_formatter())


def _label_ends(ax: Axes, labels: list[tuple[float, str, str]], bold: str = "\0") -> None:
    """Write (value, words, color) beside the right edge, spread apart, each with a line to its value."""
    px = ax.bbox.height
    bottom, top = ax.get_ylim()
    wanted = np.array([(value - bottom) / (top - bottom) * px for value, _, _ in labels])
    for (value, words, color), y in zip(labels, _spread(wanted, 25.0, 8.0, px), strict=True):
        share = (value - bottom) / (top - bottom)
        ax.plot(
            [1.005, 1.03, 1.06, 1.075],
            [share, share, y / px, y / px],
            transform=ax.transAxes,
            color=color,
            linewidth=1.2,
            clip_on=False,
        )
        ax.text(
            1.09,
            y / px,
            words,
            transform=ax.transAxes,
            va="center",
            fontsize=8,
            color=INK,
            weight="bold" if words.startswith(bold) else "normal",
        )


def _spread(wanted: np.ndarray, gap: float, low: float, high: float) -> np.ndarray:
    """The heights nearest to ``wanted`` that keep ``gap`` apart; pushed up from ``low``, down from ``high``."""
    order = np.argsort(wanted, kind="stable")
    steps = gap * np.arange(len(wanted))
    upward = np.maximum.accumulate(np.maximum(wanted[order], low) - steps) + steps
    ceiling = high - steps[::-1]
    result = np.empty(len(wanted))
    result[order] = np.minimum(upward, ceiling)
    return result


# How far they got.


def _uptake(figure: Figure, scene: _Scene) -> None:
    state, taken = scene.state, scene.taken
    ax = _axes(figure, RIGHT, BOTTOM, 656, 268, "uptake")
    title = "Uptake against distance"
    distance, source = _distance(state)
    takes_up = np.array([s.role in (Role.TAKES_UP, Role.BOTH) for s in scene.styles])
    recipients = takes_up[state.cells.type]
    if not taken.any() or not np.isfinite(distance).all():
        _heading(figure, RIGHT, BOTTOM, title, "")
        nobody = "no cell takes up vesicles" if not recipients.any() else "nothing taken up yet"
        _say(ax, nobody if not taken.any() else "no source to measure from")
        return
    low, high = _log_range(taken, decades=6)
    few = taken < low
    floor = low / (high / low) ** 0.12
    ax.set_yscale("log")
    for index, style in enumerate(scene.styles):
        rows = scene.members(index)
        if not takes_up[index] or not len(rows):
            continue
        ax.scatter(
            distance[rows],
            np.where(few[rows], floor, taken[rows]),
            s=14 if len(rows) < 500 else 6,
            marker=style.role.marker,
            color=style.color,
            alpha=0.75 if len(rows) < 500 else 0.35,
            linewidths=0,
            label=style.name,
            zorder=3 if style.named else 2,
        )
        if style.named:
            _medians(ax, distance[rows], taken[rows], low, style)
    ticks = _log_ticks(low, high)
    names = [_number(t) for t in ticks]
    reach = float(distance[recipients].max())
    ax.set(xlim=(-0.02 * reach, 1.03 * reach) if reach > 0 else (-1, 1))
    if few[recipients].any():
        none = "none" if not taken[few].any() else f"< {_number(low)}"
        ticks, names = (
            [floor, *[t for t in ticks if t > 2 * floor]],
            [none, *[_number(t) for t in ticks if t > 2 * floor]],
        )
    ax.set_ylim((floor if few[recipients].any() else low) / 1.4, high * 1.5)
    ax.set_yticks(ticks, names)
    ax.minorticks_off()
    ax.grid(axis="y", color=RULE, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.xaxis.set_major_formatter(_formatter())
    ax.set(xlabel=f"distance to the nearest {source} (µm)", ylabel="vesicles taken up per cell")
    _heading(figure, RIGHT, BOTTOM, title, "a point per cell; lines: medians of equally large groups")


def _medians(ax: Axes, distance: np.ndarray, taken: np.ndarray, low: float, style: Style) -> None:
    """A line through the medians of groups of at least 20 cells, in the order of their distance."""
    groups = np.array_split(np.argsort(distance, kind="stable"), min(len(taken) // 20, 14) or 1)
    if len(groups) < 3:
        return
    x = np.array([np.median(distance[g]) for g in groups])
    y = np.array([np.median(taken[g]) for g in groups])
    seen = y >= low
    for color, width in ((PAPER, 4.0), (style.outline, 1.8)):
        ax.plot(x[seen], y[seen], color=color, linewidth=width, zorder=4, label=f"{style.name} median")


def _distance(state: State) -> tuple[np.ndarray, str]:
    """Distance in um of each cell (n) to what vesicles come from, and what that is."""
    domain, position = state.domain, state.cells.position
    if (state.labels.of_cell >= 0).any() or not domain.opens_to_reservoir:
        return nearest_donor_distance(state), "donor"
    walls = [
        np.abs(position[:, side // 2] - domain.low[side // 2] - (side % 2) * domain.extent[side // 2])
        for side, held in enumerate(domain.face_concentration)
        if held > 0
    ]
    return np.min(walls, axis=0), "reservoir"


# Lettering and scales.


def _axes(figure: Figure, left: float, top: float, width: float, height: float, label: str) -> Axes:
    """Axes at a place in px from the top left corner, in the style of the picture."""
    ax = figure.add_axes(
        (left / WIDTH, 1 - (top + height) / HEIGHT, width / WIDTH, height / HEIGHT), label=label
    )
    ax.set_facecolor(PAPER)
    ax.tick_params(colors=INK, labelsize=8, length=3, width=0.6, color=MUTED)
    ax.xaxis.label.set(fontsize=8.5, color=INK)
    ax.yaxis.label.set(fontsize=8.5, color=INK)
    for side, spine in ax.spines.items():
        spine.set(color=MUTED, linewidth=0.6)
        if label in ("places", "waste", "uptake"):
            spine.set_visible(side in ("left", "bottom"))
    if label == "tissue":
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(_formatter())
    return ax


def _heading(figure: Figure, left: float, top: float, title: str, note: str) -> None:
    _write(figure, left, top - 33, title, size=10.5, weight="bold", color=INK)
    _write(figure, left, top - 11, note, size=8, color=MUTED)


def _write(figure: Figure, x: float, y: float, words: str, **look: Any) -> Text:
    look["fontsize"] = look.pop("size")
    return figure.text(x / WIDTH, 1 - y / HEIGHT, words, parse_math=False, **look)


def _say(ax: Axes, words: str) -> None:
    """Words in place of data."""
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(visible=True, color=RULE)
    ax.text(0.5, 0.5, words, transform=ax.transAxes, ha="center", va="center", fontsize=9, color=MUTED)


def _plain(text: str) -> str:
    """Text on one line, with a box for each letter that the font lacks."""
    from matplotlib.font_manager import findfont, get_font

    glyphs = get_font(findfont("DejaVu Sans")).get_charmap()
    return "".join(c if ord(c) in glyphs else "□" for c in " ".join(text.split()))


def _shorten(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _number(value: float) -> str:
    """Three digits that count, or all before the point; powers of ten beyond 10^7 and below 10^-3."""
    size = abs(value)
    if size == 0:
        return "0"
    if not 1e-3 <= size < 1e7:
        digits, exponent = f"{value:.2e}".split("e")
        digits = digits.rstrip("0").rstrip(".")
        power = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"10{power}" if digits == "1" else f"{digits}×10{power}"
    return f"{value:,.0f}" if size >= 100 else f"{value:.3g}"


def _percent(share: float) -> str:
    return f"{_number(float(f'{100 * share:.3g}'))} %"


def _formatter() -> Callable[[float, int | None], str]:
    return lambda value, _: _number(round(value, 9))


def _log_range(values: np.ndarray, decades: float = DECADES) -> tuple[float, float]:
    """Lowest and highest positive value, at least a factor of 10 and at most ``decades`` apart."""
    positive = values[values > 0]
    if not len(positive):
        return 0.1, 1.0
    high = float(positive.max())
    low = max(float(positive.min()), high / 10**decades)
    return (low, high) if low <= high / 10 else (high / 10, high)


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten in a range, with their multiples where there would be fewer than three."""
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    for multiples in ((1,), (1, 3), (1, 2, 5)):
        ticks = [m * 10.0**e for e in range(first, last + 1) for m in multiples]
        inside = [t for t in ticks if low * (1 - 1e-9) <= t <= high * (1 + 1e-9)]
        if len(inside) >= 3:
            break
    return inside
