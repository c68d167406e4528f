"""One picture of a run: the tissue, who reached whom, where the vesicles are, how far they got.

The figure is laid out in pixels from its top left corner, so that lengths in the tissue are to scale and
text never depends on what a layout engine finds. It uses Matplotlib's objects alone: no ``pyplot``, no
global state, safe in any thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import distance_transform_edt, zoom

from exoabm.ledger import PLACES
from exoabm.observe import palette
from exoabm.observe.communication import PER_ML, nearest_donor_distance, type_matrix
from exoabm.observe.edges import everyone
from exoabm.observe.metrics import measure
from exoabm.observe.palette import INK, MUTED, OTHER, PAPER, RULE, Role, Style
from exoabm.state import RESERVOIR, Resolution

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    from exoabm.state import State

WIDTH, HEIGHT, DPI = 1600, 1200, 150
POINT = 72 / DPI
"""A pixel in points."""

LEFT, RIGHT, TOP = 104, 888, 212
"""Where the panels' axes begin: left and right column, upper row, px."""

MAP = (556, 372, 510)
"""Room for a map, px: width, and least and most height of the upper row."""

DECADES = 4
"""Orders of magnitude of concentration, and of uptake, that shades tell apart."""

TAKERS = (Role.TAKES_UP, Role.BOTH)
MAX_LINKS = 300
MAX_NETWORK_CELLS = 2_000
MAX_NAMES = 7


@dataclass(frozen=True)
class _Scene:
    """What several panels share.

    ``taken`` (n) are vesicles taken up, shown from ``low`` to ``high`` by the shade ``fill`` (n), 0 to 1;
    ``scale`` is px per um in the maps; ``upper`` and ``lower`` are the heights of the rows of panels.
    """

    state: State
    styles: list[Style]
    taken: np.ndarray
    low: float
    high: float
    fill: np.ndarray
    scale: float
    upper: float

    @classmethod
    def of(cls, state: State) -> _Scene:
        counts = np.bincount(state.cells.type, minlength=len(state.types))
        taken = state.trafficking.internalized.sum(axis=(1, 2))
        low, high = _log_range(taken)
        with np.errstate(divide="ignore"):
            shade = np.log(np.maximum(taken, low) / low) / np.log(high / low)
        fill = np.where(taken > 0, 0.12 + 0.88 * shade, 0.0)
        x, y, _ = state.domain.extent
        scale = float(min(MAP[0] / x, MAP[2] / y))
        styles = palette.cell_styles(state.types, counts)
        return cls(state, styles, taken, low, high, fill, scale, max(MAP[1], scale * y))

    @property
    def bottom(self) -> float:
        """Where the axes of the lower row begin, px."""
        return TOP + self.upper + 134

    @property
    def lower(self) -> float:
        """How high they are, px."""
        return HEIGHT - 72 - self.bottom

    def members(self, index: int) -> np.ndarray:
        """Rows of the cells of a type."""
        return np.flatnonzero(self.state.cells.type == index)


def draw_preview(
    state: State, rows: list[dict[str, float]], path: Path, *, title: str = "", threshold: float | None = None
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
        FigureCanvasAgg(figure).print_png(file, metadata={"Software": "exoabm"})  # type: ignore[no-untyped-call]


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
    if not rows or rows[-1]["time_h"] < state.time / 3600:
        rows = [*rows, measure(state)]
    _header(figure, scene, title)
    _tissue(figure, scene, threshold)
    _links(figure, scene)
    _places(figure, scene, rows)
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
        entry = _write(figure, pen + 24, line, label, size=8.5, color=INK if style.name else MUTED)
        width = entry.get_window_extent().width
        if pen + 24 + width > WIDTH - 40:
            pen, line = 40.0, line + 27
            entry.set_position(((pen + 24) / WIDTH, 1 - line / HEIGHT))
        _glyph(figure, pen + 9, line - 6, style)
        pen += width + 54


def _key(scene: _Scene) -> list[tuple[Style, str]]:
    """The entries of the key: named types by size, the others by role, and what each shape means."""
    entries: list[tuple[int, Style, str]] = []
    rest: dict[Role, list[int]] = {}
    most = 24 if len(scene.styles) <= 5 else 16
    for index, style in enumerate(scene.styles):
        cells = len(scene.members(index))
        if style.named:
            entries.append((cells, style, f"{_shorten(style.name, most)}, {_number(cells)}"))
        elif cells:
            rest.setdefault(style.role, []).append(index)
    entries.sort(key=lambda entry: (entry[1].role is not Role.SENDS, -entry[0]))
    for role, types in rest.items():
        cells = sum(len(scene.members(i)) for i in types)
        name = _shorten(scene.styles[types[0]].name, most)
        words = name if len(types) == 1 else f"{len(types)} other types"
        entries.append((cells, Style(name, role, OTHER, False), f"{words}, {_number(cells)}"))
    roles = {style.role for _, style, _ in entries}
    shapes = [(Style("", role, PAPER, False), role.words) for role in Role if role in roles]
    return [(style, label) for _, style, label in entries] + shapes


def _glyph(figure: Figure, x: float, y: float, style: Style) -> None:
    from matplotlib.lines import Line2D

    glyph = Line2D([x / WIDTH], [1 - y / HEIGHT], linestyle="none", marker=style.role.marker)
    glyph.set_markersize(5.5 if style.role is Role.NEITHER else 7)
    glyph.set_markerfacecolor(style.color)
    glyph.set_markeredgecolor(style.outline if style.name else MUTED)
    glyph.set_markeredgewidth(0.8)
    figure.add_artist(glyph)


# The tissue: concentration, and the cells on it.


def _tissue(figure: Figure, scene: _Scene, threshold: float | None) -> None:
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    state, domain = scene.state, scene.state.domain
    ax = _map(figure, scene, "tissue", LEFT)
    ax.set(xlabel="x (µm)", ylabel="y (µm)")
    place: dict[str, Any] = {"origin": "lower", "extent": (*ax.get_xlim(), *ax.get_ylim())}
    notes = []
    cut: Any = slice(None)
    drawn = np.arange(len(state.cells))
    if domain.dim == 3:
        cut = _level(state)
        z = float(domain.centers(2)[cut])
        reach = np.maximum(state.of_type("diameter"), domain.voxel)
        drawn = np.flatnonzero(np.abs(state.cells.position[:, 2] - z) <= reach)
        notes.append(f"plane z = {_number(z)} µm, {_count(len(drawn), 'cell')} near it")
    each = [state.free_per_voxel(k).sum(axis=0, dtype=float) for k in range(len(state.kinds))]
    free = np.sum(each, axis=0)[cut]
    concentration = free / domain.voxel_volume * PER_ML
    if concentration.any():
        low, high = _log_range(concentration)
        shades = LinearSegmentedColormap.from_list("field", palette.FIELD)
        if domain.obstacle is not None:
            concentration = _fill_in(concentration, domain.obstacle[cut])
        fine = _smooth(concentration, low, round(scene.scale * domain.voxel))
        ax.imshow(fine, cmap=shades, norm=LogNorm(low, high), aspect="auto", **place)
        colors = shades(np.linspace(0, 1, 256))[:, :3]
        ramp = _ramp(figure, scene, 0, colors, low, high, "free vesicles per mL")
        limit = 0.0 if threshold is None else threshold * PER_ML
        if low < limit < high and min(fine.shape) > 1:
            dashes: dict[str, Any] = {"colors": INK, "linewidths": 0.9, "linestyles": "dashed"}
            ax.contour(fine, [limit], **dashes, **place)
            ramp.axhline(np.log10(limit), color=INK, linewidth=0.9, linestyle="dashed")
            notes.append(f"dashed: {_number(limit)} per mL")
    else:
        notes.append("no free vesicles")
    if domain.obstacle is not None:
        wall = np.where(domain.obstacle[cut], 1.0, np.nan)
        ax.imshow(wall, cmap="gray", vmin=0, vmax=1.35, aspect="auto", **place)
    enlarged = _cells(ax, scene, drawn)
    if scene.taken.any():
        notes.append("cells fill as they take up")
        hues = {s.color for s in scene.styles if s.named and s.role in TAKERS}
        colors = palette.tint(hues.pop() if len(hues) == 1 else INK, np.linspace(0.12, 1, 256))
        _ramp(figure, scene, 1, colors, scene.low, scene.high, "vesicles taken up")
    if enlarged > 1:
        notes.append(f"cells enlarged {_number(enlarged)}×")
    _heading(figure, LEFT, TOP, "Free vesicles and cells", notes)


def _map(figure: Figure, scene: _Scene, label: str, left: float) -> Axes:
    """Axes in which a micrometer is as long on x as on y."""
    extent, low, scale = scene.state.domain.extent, scene.state.domain.low, scene.scale
    ax = _axes(figure, left, TOP, scale * extent[0], scale * extent[1], label)
    ax.set(xlim=(low[0], low[0] + extent[0]), ylim=(low[1], low[1] + extent[1]))
    return ax


def _fill_in(values: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Values with hidden ones replaced by the nearest that is not, so that they cast no shadow."""
    _, nearest = distance_transform_edt(hidden, return_indices=True)
    return values[tuple(nearest)]


def _smooth(values: np.ndarray, low: float, factor: int) -> np.ndarray:
    """Values at least ``low`` on a grid ``factor`` times as fine, for the eye.

    Their logarithm is interpolated, since profiles around a source fall like exponentials.
    """
    log = np.log10(np.maximum(values, low))
    if factor < 2:
        return 10**log
    fine = zoom(log, factor, order=3, mode="nearest", grid_mode=True)
    return 10 ** np.clip(fine, log.min(), log.max())


def _level(state: State) -> int:
    """The voxel layer of the median donor; of the median cell where none sends."""
    layers = state.domain.shape[0]
    sends = state.labels.of_cell >= 0
    heights = np.sort(state.cells.position[sends if sends.any() else slice(None), 2])
    if not len(heights):
        return layers // 2
    middle = np.array([[0.0, 0.0, heights[len(heights) // 2]]])
    return int(np.clip(state.domain.voxel_of(middle)[0, 2], 0, layers - 1))


def _cells(ax: Axes, scene: _Scene, drawn: np.ndarray, shrink: float = 1.0) -> float:
    """Draw cells to scale times ``shrink``; return by how much they had to be enlarged to be seen."""
    from matplotlib.collections import PathCollection
    from matplotlib.path import Path
    from matplotlib.transforms import IdentityTransform

    state = scene.state
    sizes = np.array([t.diameter for t in state.types]) * scene.scale * shrink
    enlarged = max(1.0, 3.0 / float(sizes.max()))
    order = {Role.NEITHER: 3, Role.TAKES_UP: 4, Role.BOTH: 5, Role.SENDS: 6}
    for index, style in enumerate(scene.styles):
        rows = drawn[state.cells.type[drawn] == index]
        if not len(rows):
            continue
        size = sizes[index] * enlarged
        share = scene.fill[rows] if style.role in TAKERS else np.ones(len(rows))
        look = {"facecolors": palette.tint(style.color, share), "label": style.name}
        place = {"offsets": state.cells.position[rows, :2], "offset_transform": ax.transData}
        corners = style.role.polygon()
        outline = Path(np.vstack([corners, corners[:1]]), closed=True)
        line = float(np.clip(size / 14, 0.25, 1.0))
        strokes = [(PAPER, 2.5 * line, 0.0), (style.outline, line, 0.1)]
        for color, width, z in strokes if size > 4 else [("none", 0.0, 0.0)]:
            marks = PathCollection([outline], [(size * POINT) ** 2], **place, **look)
            marks.set_transform(IdentityTransform())
            marks.set(edgecolor=color, linewidth=width, zorder=order[style.role] + z)
            ax.add_collection(marks, autolim=False)
    return enlarged


def _ramp(
    figure: Figure, scene: _Scene, place: int, colors: np.ndarray, low: float, high: float, label: str
) -> Axes:
    """A color scale beside the tissue, the upper (0) or the lower (1) of two; logarithms on y."""
    height = scene.upper / 2 - 16
    left = LEFT + scene.scale * scene.state.domain.extent[0] + 20
    ax = _axes(figure, left, TOP + place * (height + 32), 15, height, f"scale {place}")
    ax.imshow(colors[:, None], origin="lower", extent=(0, 1, np.log10(low), np.log10(high)), aspect="auto")
    ticks = _log_ticks(low, high)
    ax.set_xticks([])
    ax.set_yticks(np.log10(ticks), _names(ticks))
    ax.yaxis.tick_right()
    ax.yaxis.set_label_position("right")
    ax.yaxis.set_label_coords(1 + 92 / 15, 0.5)
    ax.set_ylabel(label, fontsize=8)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


# Who reached whom: a network of cells, or a matrix of types.


def _links(figure: Figure, scene: _Scene) -> None:
    labels = scene.state.labels
    by_cell = labels.resolution is Resolution.CELL and RESERVOIR not in labels.names
    if not len(labels):
        _heading(figure, RIGHT, TOP, "Who reached whom", [])
        _say(_axes(figure, RIGHT, TOP, 656, scene.upper, "links"), "no cell sends vesicles")
    elif by_cell and len(scene.state.cells) <= MAX_NETWORK_CELLS:
        _network(figure, scene)
    else:
        _matrix(figure, scene)


def _network(figure: Figure, scene: _Scene) -> None:
    state, scale = scene.state, scene.scale
    ax = _map(figure, scene, "links", RIGHT)
    ax.set(xticks=[], yticks=[])
    row_of = {str(b): i for i, b in enumerate(state.cells.birth_id)}
    alive = [label for label, name in enumerate(state.labels.names) if name in row_of]
    donors = np.array([row_of[state.labels.names[label]] for label in alive], dtype=np.int64)
    flow = state.trafficking.internalized.sum(axis=1)[:, alive]
    itself = (donors, np.arange(len(donors)))
    own, total = float(flow[itself].sum()), float(flow.sum())
    flow[itself] = 0.0
    recipient, label = np.nonzero(flow)
    weight = flow[recipient, label]
    links = len(weight)
    strongest = np.argsort(weight, kind="stable")[-MAX_LINKS:]
    recipient, sender, weight = recipient[strongest], donors[label[strongest]], weight[strongest]
    notes = ["no vesicle taken up by another cell"]
    if links:
        start = state.cells.position[sender]
        way = state.domain.displacement(start, state.cells.position[recipient])
        broadest = (14 if links <= 20 else 8) / scale
        width = np.maximum(broadest * weight / weight.max(), 0.6 / scale)
        colors = [scene.styles[t].color for t in state.cells.type[sender]]
        look = {"alpha": 0.75 if links <= 20 else 0.5, "zorder": 2, "label": "links"}
        _wedges(ax, start[:, :2], way[:, :2], width, colors, **look)
        count = _count(links, "link")
        if links > len(weight):
            share = _percent(float(weight.sum()) / (total - own))
            count = f"top {len(weight)} of {count} ({share} of uptake)"
        notes = [f"{count}, broad end sends"]
        _width_key(ax, scene, float(weight.max()), broadest)
    if own:
        notes.append(f"{_percent(own / total)} returned to the sender")
    # Where cells hide one another, as in a volume seen from above, smaller ones leave the links to see.
    covered = np.pi / 4 * float(np.sum(state.of_type("diameter") ** 2) / np.prod(state.domain.extent[:2]))
    shrink = min(1.0, np.sqrt(0.1 / covered)) if covered > 0.3 else 1.0
    _cells(ax, scene, np.arange(len(state.cells)), shrink)
    if shrink < 1:
        notes.append("cells shrunk")
    _heading(figure, RIGHT, TOP, "Who reached whom", notes)
    _scale_bar(ax, scene)


def _wedges(
    ax: Axes, start: np.ndarray, way: np.ndarray, width: np.ndarray, colors: Sequence[str], **look: Any
) -> None:
    from matplotlib.collections import PolyCollection

    wedges = PolyCollection(list(_tapers(start, way, width)), facecolors=colors, edgecolors="none", **look)
    ax.add_collection(wedges, autolim=False)


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


def _width_key(ax: Axes, scene: _Scene, most: float, broadest: float) -> None:
    """What the width of a link means, right of the map: round numbers of vesicles."""
    scale, domain = scene.scale, scene.state.domain
    values = _round_below(most) * np.array([1.0, 0.5, 0.2])
    x = domain.low[0] + domain.extent[0] + 22 / scale
    y = domain.low[1] + domain.extent[1] - np.array([46, 76, 106]) / scale
    start = np.column_stack([np.full(3, x), y])
    way = np.tile([44 / scale, 0.0], (3, 1))
    _wedges(ax, start, way, broadest * values / most, [MUTED], clip_on=False)
    look: dict[str, Any] = {"fontsize": 8, "color": INK, "va": "center", "clip_on": False}
    ax.text(x, y[0] + 32 / scale, "vesicles", **look)
    for value, at in zip(values, y, strict=True):
        ax.text(x + 56 / scale, at, _number(value), **look)


def _scale_bar(ax: Axes, scene: _Scene) -> None:
    """A round length of about a fifth of the width, below the map."""
    domain, scale = scene.state.domain, scene.scale
    length = _round_below(float(domain.extent[0]) / 4)
    x, y = domain.low[0], domain.low[1] - 18 / scale
    ax.plot([x, x + length], [y, y], color=INK, linewidth=2, clip_on=False, solid_capstyle="butt")
    label = f"{_number(length)} µm"
    ax.text(x + length + 10 / scale, y, label, va="center", fontsize=8, color=INK, clip_on=False)


def _matrix(figure: Figure, scene: _Scene) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    matrix = type_matrix(scene.state)
    takers = {s.name for s in scene.styles if s.role in TAKERS}
    columns = [j for j, name in enumerate(matrix.recipients) if name in takers]
    if not columns:
        _heading(figure, RIGHT, TOP, "Who reached whom", [])
        _say(_axes(figure, RIGHT, TOP, 656, scene.upper, "links"), "no cell takes up vesicles")
        return
    if not matrix.donors:
        _heading(figure, RIGHT, TOP, "Who reached whom", [])
        _say(_axes(figure, RIGHT, TOP, 656, scene.upper, "links"), "no cell releases vesicles")
        return
    names = [matrix.recipients[j] for j in columns]
    senders, values = _fold(matrix.donors, matrix.values[:, columns])
    receivers, values = _fold(names, values.T)
    values = values.T
    total = values.sum(axis=1, keepdims=True)
    share = np.divide(values, total, out=np.zeros_like(values), where=total > 0)
    left = RIGHT + 140
    wide = min(200.0, (WIDTH - 45 - left) / len(receivers))
    high = min(130.0, (scene.upper - 70) / len(senders))
    ax = _axes(figure, left, TOP, wide * len(receivers), high * len(senders), "links")
    shades = LinearSegmentedColormap.from_list("share", palette.FIELD[1:])
    ax.imshow(share, cmap=shades, vmin=0, vmax=1, aspect="auto")
    texts = {
        at: f"{_percent(s)}\n{_number(float(values[at]))}" if values[at] > 0 else "0"
        for at, s in np.ndenumerate(share)
    }
    longest = max(len(line) for text in texts.values() for line in text.split("\n"))
    size = min(9.0, (wide - 8) * POINT / (0.62 * longest), (high - 6) * POINT / 2.6)
    for (i, j), text in texts.items():
        color = PAPER if share[i, j] > 0.5 else INK if values[i, j] > 0 else MUTED
        ax.text(j, i, text, ha="center", va="center", fontsize=size, color=color)
    ax.set_yticks(range(len(senders)), senders)
    ax.set_xticks(range(len(receivers)), receivers)
    if max(map(len, receivers)) * 9.5 > wide - 8:
        for name in ax.get_xticklabels():
            name.set(rotation=38, ha="right", rotation_mode="anchor")
    ax.set_xticks(np.arange(1, len(receivers)) - 0.5, minor=True)
    ax.set_yticks(np.arange(1, len(senders)) - 0.5, minor=True)
    ax.grid(which="minor", color=PAPER, linewidth=1.5)
    ax.tick_params(which="both", length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    notes = ["rows send, columns receive; share of each row, vesicles taken up"]
    _heading(figure, RIGHT, TOP, "Who reached whom", notes if total.any() else ["nothing taken up"])


def _fold(names: Sequence[str], values: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Keep the rows that count most, in their order, and add up the others."""
    if len(names) <= MAX_NAMES + 1:
        return [_shorten(n, 16) for n in names], values
    keep = np.sort(np.argsort(-values.sum(axis=1), kind="stable")[:MAX_NAMES])
    rest = np.setdiff1d(np.arange(len(names)), keep)
    kept = [_shorten(names[i], 16) for i in keep]
    return [*kept, f"{len(rest)} others"], np.vstack([values[keep], values[rest].sum(axis=0)])


# Where the vesicles are, over time.


def _places(figure: Figure, scene: _Scene, rows: list[dict[str, float]]) -> None:
    state = scene.state
    ax = _axes(figure, LEFT, scene.bottom, 390, scene.lower, "places")
    hours = _series(rows, "time_h")
    columns = {
        name: np.sum([_series(rows, f"{k.name}_{name}_EV") for k in state.kinds], axis=0)
        for name in ("emitted", *PLACES)
    }
    if len(rows) < 2 or not columns["emitted"].any():
        _heading(figure, LEFT, scene.bottom, "Where the emitted vesicles are", [])
        _say(ax, "no vesicle was emitted" if len(rows) > 1 else "a single moment was recorded")
        return
    shown = [p for p in palette.PLACES if columns[p].any() or p == "delivered"]
    edges = np.cumsum([0 * hours, *(np.maximum(columns[p], 0) for p in shown)], axis=0)
    _frame(ax, hours, 1.02 * float(edges[-1].max()), "vesicles")
    labels = []
    for place, low, high in zip(shown, edges[:-1], edges[1:], strict=True):
        words, color = palette.PLACES[place]
        ax.fill_between(hours, low, high, color=color, linewidth=0.6, edgecolor=PAPER, label=place)
        count = float(columns[place][-1])
        share = _percent(count / float(columns["emitted"][-1]))
        labels.append((float(low[-1] + high[-1]) / 2, f"{words}  {_number(count)}  ({share})", color))
    # Delivery is mostly thinner than a line, so it gets one.
    ax.plot(hours, edges[1], color=palette.PLACES["delivered"][1], linewidth=1.6, clip_on=False)
    _label_ends(ax, labels, bold="delivered")
    kinds = [] if len(state.kinds) == 1 else [f"{len(state.kinds)} kinds together"]
    when = f"vesicles, and share of all emitted, at {_number(hours[-1])} h"
    _heading(figure, LEFT, scene.bottom, "Where the emitted vesicles are", [when, *kinds])


def _waste(figure: Figure, scene: _Scene, rows: list[dict[str, float]]) -> None:
    ax = _axes(figure, RIGHT, scene.bottom, 430, scene.lower, "waste")
    hours = _series(rows, "time_h")
    labels, top = [], 0.0
    for style in scene.styles:
        values = _series(rows, _waste_key(style.name))
        if values.any():
            ax.plot(hours, values, color=style.outline, linewidth=1.8, label=style.name)
            held = float(values[-1])
            words = f"{_shorten(style.name, 14)}  {_number(held)}"
            labels.append((held, words, style.outline))
            top = max(top, float(values.max()))
    _frame(ax, hours, 1.05 * top, "waste units per cell")
    labels.sort(key=lambda label: -label[0])
    _label_ends(ax, labels[: MAX_NAMES + 1])
    _heading(figure, RIGHT, scene.bottom, "Waste that cells hold", ["mean over the cells of each type"])


def _waste_key(type_name: str) -> str:
    return f"{type_name}_waste_units_per_cell"


def _series(rows: list[dict[str, float]], key: str) -> np.ndarray:
    """A column of the time series; a type without cells has none, and counts as 0."""
    return np.array([row.get(key, 0.0) for row in rows], dtype=float)


def _frame(ax: Axes, hours: np.ndarray, top: float, label: str) -> None:
    power = 10 ** (3 * int(np.log10(top) // 3)) if top >= 1e6 else 1
    words = {1: "", 10**6: "million ", 10**9: "billion "}
    unit = words.get(power, f"10{_superscript(len(str(power)) - 1)} ") + label
    end = max(float(hours[-1]), float(hours[0]) + 1e-3)
    ax.set(xlim=(float(hours[0]), end), ylim=(0.0, top), xlabel="time (h)", ylabel=unit)
    ax.yaxis.set_major_formatter(lambda value, _: _number(round(value / power, 9)))
    _rule(ax)


def _rule(ax: Axes) -> None:
    ax.yaxis.set_label_coords(-82 / ax.bbox.width, 0.5)
    ax.grid(axis="y", color=RULE, linewidth=0.6)
    ax.set_axisbelow(True)


def _label_ends(ax: Axes, labels: list[tuple[float, str, str]], bold: str = "\0") -> None:
    """Write (value, words, color) beside the right edge, spread apart, each with a line to its value."""
    px = ax.bbox.height
    bottom, top = ax.get_ylim()
    share = np.array([(value - bottom) / (top - bottom) for value, _, _ in labels])
    spread = _spread(share * px, 25.0, 8.0, px) / px
    look: dict[str, Any] = {"transform": ax.transAxes, "clip_on": False}
    for (_, words, color), start, end in zip(labels, share, spread, strict=True):
        ax.plot([1.005, 1.03, 1.06, 1.075], [start, start, end, end], color=color, linewidth=1.2, **look)
        weight = "bold" if words.startswith(bold) else "normal"
        ax.text(1.09, end, words, va="center", fontsize=8, color=INK, weight=weight, **look)


def _spread(wanted: np.ndarray, gap: float, low: float, high: float) -> np.ndarray:
    """Heights near ``wanted`` that keep ``gap`` apart, pushed up from ``low`` and down from ``high``."""
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
    ax = _axes(figure, RIGHT, scene.bottom, 656, scene.lower, "uptake")
    title = "Uptake against distance"
    distance, source = _distance(state)
    takers = [i for i, s in enumerate(scene.styles) if s.role in TAKERS and len(scene.members(i))]
    recipients = np.isin(state.cells.type, takers)
    if not taken.any() or not np.isfinite(distance).all():
        _heading(figure, RIGHT, scene.bottom, title, [])
        why = "nothing taken up" if takers else "no cell takes up vesicles"
        _say(ax, "no source to measure from" if taken.any() else why)
        return
    if not distance[recipients].any() and len(takers) > 1:
        _uptake_by_type(figure, scene, ax, takers)
        return
    low, high = _log_range(taken, decades=6)
    floor = low / (high / low) ** 0.14
    height = np.where(taken < low, floor, taken)
    itself = state.labels.of_cell >= 0
    furthest = float(distance[recipients].max())
    reach = furthest or 1.0
    # A donor's distance is 0; its kin stand side by side left of the others.
    spread = 0.618034 * np.arange(len(taken)) % 1.0
    across = np.where(itself, -(0.02 + 0.05 * spread) * reach, distance)
    notes = ["a point per cell"]
    for index in takers:
        style, rows = scene.styles[index], scene.members(index)
        size, alpha = (60, 0.9) if len(rows) <= 3 else (14, 0.75) if len(rows) < 500 else (6, 0.35)
        look: dict[str, Any] = {"marker": style.role.marker, "color": style.color, "linewidths": 0}
        ax.scatter(
            across[rows], height[rows], size, alpha=alpha, label=style.name, zorder=2 + style.named, **look
        )
        if style.named and _medians(ax, across[rows], taken[rows], low, style):
            notes = ["a point per cell; lines: medians of equal groups"]
    if recipients.sum() <= 3:
        for row in np.flatnonzero(recipients & (taken > 0)):
            inward = -1 if across[row] > 0.5 * reach else 1
            look = {"ha": "left" if inward > 0 else "right", "va": "center", "fontsize": 8, "color": INK}
            words, at = _number(taken[row]), (across[row], height[row])
            ax.annotate(words, at, (8 * inward, 0), textcoords="offset points", **look)
    powers = _log_ticks(low, high)
    ticks = dict(zip(powers, _names(powers), strict=True))
    missed = recipients & (taken < low)
    if missed.any():
        ticks[floor] = "less" if taken[missed].any() else "none"
    own = bool((itself & recipients).any())
    ax.set_yscale("log")
    margin = (high / low) ** 0.05
    ax.set(
        xlim=((-0.09 if own else -0.02) * reach, 1.03 * reach),
        ylim=((floor if missed.any() else low) / margin, high * max(margin, 1.4)),
        xlabel=f"distance to the nearest {source} (µm)",
        ylabel="vesicles taken up per cell",
    )
    ax.set_yticks(list(ticks), list(ticks.values()))
    ax.minorticks_off()
    _rule(ax)
    marks = [float(x) for x in ax.get_xticks() if 0 <= x <= 1.03 * furthest]
    if own:
        marks = [-0.045 * reach, *[x for x in marks if x > 0.04 * reach]]
    ax.set_xticks(marks, [_number(round(x, 9)) if x >= 0 else "donors" for x in marks])
    _heading(figure, RIGHT, scene.bottom, title, notes)


def _uptake_by_type(figure: Figure, scene: _Scene, ax: Axes, takers: list[int]) -> None:
    """Where every cell donates no distance tells anything: the cells of each type side by side."""
    top = float(scene.taken.max())
    for x, index in enumerate(takers):
        style, rows = scene.styles[index], scene.members(index)
        taken = scene.taken[rows]
        across = x + 0.7 * (0.618034 * np.arange(len(rows)) % 1.0 - 0.5)
        ax.scatter(across, taken, 6, color=style.color, alpha=0.35, marker=style.role.marker, linewidths=0)
        median = float(np.median(taken))
        ax.plot([x - 0.4, x + 0.4], [median, median], color=PAPER, linewidth=4, zorder=3)
        ax.plot([x - 0.4, x + 0.4], [median, median], color=INK, linewidth=1.5, zorder=4)
        look: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": 9, "color": INK, "zorder": 5}
        ax.annotate(_number(round(median)), (x, top), (0, 6), textcoords="offset points", **look)
    ax.set(xlim=(-0.6, len(takers) - 0.4), ylim=(0, 1.14 * top), ylabel="vesicles taken up per cell")
    ax.set_xticks(range(len(takers)), [_shorten(scene.styles[i].name, 14) for i in takers])
    ax.yaxis.set_major_formatter(lambda value, _: _number(value))
    _rule(ax)
    notes = ["a point per cell; bars and numbers: medians"]
    _heading(figure, RIGHT, scene.bottom, "Uptake by cell type", notes)


def _medians(ax: Axes, across: np.ndarray, taken: np.ndarray, low: float, style: Style) -> bool:
    """A line through the medians of groups of 20 cells or more by distance; False if there are too few."""
    outside = np.flatnonzero(across >= 0)
    groups = np.array_split(
        outside[np.argsort(across[outside], kind="stable")], min(len(outside) // 20, 14) or 1
    )
    if len(groups) < 3:
        return False
    x = np.array([np.median(across[g]) for g in groups])
    y = np.array([np.median(taken[g]) for g in groups])
    seen = y >= low
    for color, width, label in ((PAPER, 4.0, "halo"), (style.outline, 1.8, "median")):
        ax.plot(x[seen], y[seen], color=color, linewidth=width, zorder=4, label=f"{style.name} {label}")
    return True


def _distance(state: State) -> tuple[np.ndarray, str]:
    """Distance in um of each cell (n) to what vesicles come from, and what that is."""
    domain, position = state.domain, state.cells.position
    if (state.labels.of_cell >= 0).any() or not domain.opens_to_reservoir:
        return nearest_donor_distance(state)[everyone(state).row_of(state.cells.birth_id)], "donor"
    walls = [
        np.abs(position[:, side // 2] - domain.low[side // 2] - (side % 2) * domain.extent[side // 2])
        for side, held in enumerate(domain.face_concentration)
        if held > 0
    ]
    return np.min(walls, axis=0), "reservoir"


# Lettering and scales.


def _axes(figure: Figure, left: float, top: float, width: float, height: float, label: str) -> Axes:
    """Axes at a place in px from the top left corner, in the style of the picture."""
    from matplotlib.ticker import MaxNLocator

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
    for axis, room in ((ax.xaxis, width / 75), (ax.yaxis, height / 34)):
        most = int(np.clip(room, 1, 9))
        axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 5, 10], min_n_ticks=min(most, 2)))
        axis.set_major_formatter(lambda value, _: _number(round(value, 9)))
    return ax


def _heading(figure: Figure, left: float, top: float, title: str, notes: Sequence[str]) -> None:
    _write(figure, left, top - 33, title, size=10.5, weight="bold", color=INK)
    _write(figure, left, top - 11, "; ".join(notes), size=8, color=MUTED)


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
        return _scientific(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.3g}"


def _scientific(value: float) -> str:
    digits, exponent = f"{value:.2e}".split("e")
    digits = digits.rstrip("0").rstrip(".")
    power = f"10{_superscript(int(exponent))}"
    return power if digits == "1" else f"{digits}×{power}"


def _names(ticks: Sequence[float]) -> list[str]:
    """Labels of a logarithmic scale, all of one sort."""
    name = _scientific if max(ticks) >= 1e6 or min(ticks) < 1e-3 else _number
    return [name(t) for t in ticks]


def _superscript(exponent: int) -> str:
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _percent(share: float) -> str:
    return f"{_number(float(f'{100 * share:.2g}'))} %"


def _round_below(value: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is not above ``value``."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(power * max(m for m in (1, 2, 5) if m * power <= value * (1 + 1e-9)))


def _log_range(values: np.ndarray, decades: float = DECADES) -> tuple[float, float]:
    """Lowest and highest positive value, at least a factor of 2 and at most ``decades`` apart."""
    positive = values[values > 0]
    if not len(positive):
        return 0.5, 1.0
    high = float(positive.max())
    low = max(float(positive.min()), high / 10**decades)
    return min(low, high / 2), high


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten in a range, with their multiples where there would be fewer than three."""
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    for multiples in ((1,), (1, 3), (1, 2, 5), (1, 1.5, *range(2, 10))):
        ticks = [m * 10.0**e for e in range(first, last + 1) for m in multiples]
        inside = [t for t in ticks if low * (1 - 1e-9) <= t <= high * (1 + 1e-9)]
        if len(inside) >= 3:
            break
    return inside
