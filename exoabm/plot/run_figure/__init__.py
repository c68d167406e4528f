"""The preview of a run: tissue, communication, compartments of vesicles over time, uptake and distance.

The figure is laid out in pixels from its top left corner, so that lengths in the tissue are to scale and
text does not depend on a layout engine. It uses Matplotlib's objects alone: no ``pyplot``, no
global state, safe in any thread.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from exoabm.output.metrics import measure
from exoabm.plot.palette import PAPER
from exoabm.plot.run_figure.charts import (
    draw_course,
    draw_places,
    draw_uptake,
    draw_waste,
    tells_distance,
    waste_key,
)
from exoabm.plot.run_figure.layout import DPI as DPI
from exoabm.plot.run_figure.layout import (
    HEIGHT,
    LEAST_ROOM,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Room,
    Scene,
    draw_header,
    place_axes,
    say,
    write_heading,
)
from exoabm.plot.run_figure.time_course import Readout, course_of
from exoabm.plot.run_figure.tissue import MAX_NETWORK_CELLS, draw_matrix, draw_network, draw_tissue
from exoabm.state import OUTSIDE, Resolution

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from exoabm.plot.palette import Looks
    from exoabm.state import State


def draw_preview(
    state: State,
    rows: list[dict[str, float]],
    path: Path | BinaryIO,
    *,
    title: str = "",
    threshold: float | None = None,
    readout: Readout | None = None,
    looks: Looks | None = None,
) -> None:
    """Write the picture of a run as a PNG of 1600 x 1200 pixels to a path or file; see ``build_figure``.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = build_figure(state, rows, title=title, threshold=threshold, readout=readout, looks=looks)
    with path.open("wb") if isinstance(path, Path) else nullcontext(path) as file:
        FigureCanvasAgg(figure).print_png(file, metadata={"Software": "exoabm"})  # type: ignore[no-untyped-call]


def build_figure(
    state: State,
    rows: list[dict[str, float]],
    *,
    title: str = "",
    threshold: float | None = None,
    readout: Readout | None = None,
    looks: Looks | None = None,
) -> Figure:
    """The picture of a run: four panels, labeled ``tissue``, ``links``, ``places`` and ``uptake``.

    ``links`` holds a network where single donor cells are distinguished and few, else a matrix of types;
    ``uptake`` is replaced by ``waste`` where cells make waste. A fifth, ``course``, has the readout that the
    run is about, where the upper row has room for it, and else the place of an uptake that no distance
    explains; see ``course_of``.

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
    readout : Readout, optional
        The main readout of the scenario.
    looks : Looks, optional
        How the cell types are drawn; by default as ``Looks.of_state``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, facecolor=PAPER)
    scene = Scene.of(state, looks)
    if not rows or rows[-1]["time_h"] < state.time / 3600:
        rows = [*rows, measure(state)]
    draw_header(figure, scene, title, rows[-1], readout)
    draw_tissue(figure, scene, threshold)
    course = course_of(scene, rows, readout)
    room = _links(figure, scene, tight=course is not None)
    draw_places(figure, scene, rows)
    if course is not None and room.height >= LEAST_ROOM:
        draw_course(figure, course, rows, room)
        course = None
    if any(row.get(waste_key(t.name), 0) > 0 for row in rows for t in state.types):
        draw_waste(figure, scene, rows)
    elif course is not None and not tells_distance(scene):
        draw_course(figure, course, rows, Room(RIGHT, scene.bottom, scene.lower))
    else:
        draw_uptake(figure, scene)
    return figure


def _links(figure: Figure, scene: Scene, *, tight: bool) -> Room:
    """Draw the communication; return the larger space that this and the map leave in the upper row."""
    labels = scene.state.labels
    by_cell = labels.resolution is Resolution.CELL and not set(OUTSIDE) & set(labels.names)
    used = scene.upper
    if not len(labels) and tight:
        used = -134.0
    elif not len(labels):
        write_heading(figure, RIGHT, TOP, "Uptake by donor and recipient", [])
        say(place_axes(figure, RIGHT, TOP, 656, scene.upper, "links"), "no cell sends vesicles")
    elif by_cell and len(scene.state.cells) <= MAX_NETWORK_CELLS:
        draw_network(figure, scene)
    else:
        used = draw_matrix(figure, scene, 90.0 if tight else 130.0)
    map_height = scene.scale * scene.state.domain.extent[1]
    rooms = scene.below(RIGHT, used), scene.below(LEFT, map_height)
    return max(rooms, key=lambda room: room.height)
