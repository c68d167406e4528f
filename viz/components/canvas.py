"""The picture of a run, as the session draws it, with its player and summary, and its curves over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import solara

from exoabm.cargo import CargoClass
from exoabm.plot.palette import FIELD, PLACES, Role, rgb, to_hex
from exoabm.runs.measured_runtime import WORTH_A_PROBE, rounded_duration
from exoabm.text_formatting import number
from exoabm.viz.components.widgets import CanvasWidget, ChoiceWidget, PlayerWidget, PlotWidget, html
from exoabm.viz.results.charts import curves
from exoabm.viz.results.text_summary import PREPARING, present_classes, recorded_summary, run_summary
from exoabm.viz.server.frames import FULL, PAINTED, header
from exoabm.viz.server.session import SPEEDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike

    from exoabm.domain import Domain
    from exoabm.plot.palette import Looks
    from exoabm.state import State
    from exoabm.viz.server.session import Session

_SHAPES = {Role.SENDS: "triangle", Role.TAKES_UP: "circle", Role.BOTH: "square", Role.NEITHER: "diamond"}


def is_strip(extent: ArrayLike) -> bool:
    """Whether a space is so long and low that its picture leaves room for the curves below itself."""
    width, height = np.asarray(extent)[:2]
    return bool(width > 3 * height)


def world_of(state: State, looks: Looks, what: str = "vesicles") -> dict[str, Any]:
    """What does not change from frame to frame: the extent in um, and how each cell type is drawn.

    ``what`` names the particles that fill cells and medium. Types without cells are left in their place,
    since frames number the types. The number of cells of each type is that of now, and what is shown beyond
    the sides is what their marks need.
    """
    numbers = np.bincount(state.cells.type, minlength=len(state.types))
    return {
        "extent": [float(length) for length in state.domain.extent[:2]],
        "beyond": looks.beyond(state),
        "what": what,
        "full": f"{FULL:g}",
        "ramp": list(FIELD),
        "accent": PLACES["delivered"][1],
        "stars": any(cargo.role is not CargoClass.WASTE for cargo in state.cargos),
        "walls": walls(state.domain, state.y_down),
        "types": [
            {
                "name": style.name,
                "color": style.color,
                "outline": style.outline,
                "bright": to_hex(rgb(style.color) + 0.35 * (1 - rgb(style.color))),
                "shape": _SHAPES[style.role],
                "role": style.role.words,
                "radius": cell_type.diameter / 2,
                "takes": style.role in (Role.TAKES_UP, Role.BOTH),
                "sends": style.role in (Role.SENDS, Role.BOTH),
                "named": style.named,
                "present": drawn,
                "cells": int(cells),
            }
            for style, drawn, cell_type, cells in zip(*looks, state.types, numbers, strict=True)
        ],
    }


def walls(domain: Domain, down: bool = False) -> list[list[float]]:
    """Obstacles as boxes (x, y, width, height) in shares of the extent, each a run of voxels along x.

    Of a volume, they are those that reach from top to bottom. Where y runs ``down``, the first row is the
    uppermost of the picture.
    """
    if domain.obstacle is None:
        return []
    mask = np.asarray(domain.obstacle if domain.dim == 2 else domain.obstacle.all(axis=0))
    mask = mask[::-1] if down else mask
    height, width = mask.shape
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    _, ends = np.nonzero(edges == -1)
    return [
        [start / width, row / height, (end - start) / width, 1 / height]
        for row, start, end in zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True)
    ]


@solara.component
def Canvas(
    session: Session,
    layers: dict[str, bool],
    alt: str,
    time_h: float,
    *,
    playing: bool,
    links: Sequence[Sequence[Any]] = (),
    selected: int = -1,
    past: int = -1,
    on_pick: Callable[[int], None] | None = None,
    on_layers: Callable[[dict[str, bool]], None] | None = None,
) -> None:
    """Draw a session as it runs, or the recorded frame ``past``.

    Parameters
    ----------
    layers : which of ``dots`` and ``field`` are drawn
    alt : the picture in words
    time_h
        Of these words, in h; the clock shows it, so that all numbers on the page are of one time. While the
        model runs they are made again every 0.5 s or less often (``session.PULSE``), and the picture, which
        is drawn more often, may be ahead of them.
    playing
        Whether the model runs. It is given, since words and time may stay the same as a run begins or ends,
        and the component is not made again where all that it is given is the same.
    links
        Edges lit up: birth id of donor and recipient, weight 0 to 1, whether it leaves the selected cell.
    selected : birth id of the selected cell, -1 for none
    past : index of a recorded frame, -1 for the present
    """

    def place() -> dict[str, Any]:
        with session.reading() as model:
            several = len(present_classes(model.scenario)) > 1
            return world_of(model.state, session.looks, session.drawn_class.name) | {"several": several}

    world = solara.use_memo(place, [id(session)])
    fixed = solara.use_reactive(session.scale.fixed)

    def fix(value: bool) -> None:
        session.scale.fixed = bool(value)
        fixed.set(bool(value))
        session.agree()

    element = CanvasWidget.element(
        world=world,
        links=list(links),
        selected=selected,
        layers=layers,
        fixed=fixed.value,
        past=past >= 0,
        playing=playing and past < 0,
        preparing=playing and not session.compiled,
        alt=alt,
        time_h=time_h,
        on_painted=session.painted,
        on_pick=on_pick,
        on_layers=on_layers,
        on_fix=fix,
    )

    def attach() -> Callable[[], None] | None:
        widget = solara.get_widget(element)

        def show(frame: bytes) -> None:
            widget.frame = frame

        if past >= 0:
            show(session.rewind(past))
            session.mute()
            return None

        def leave() -> None:
            PAINTED.pop(widget.model_id, None)
            session.mute()

        session.on_frame, PAINTED[widget.model_id] = show, session.painted
        show(session.frame)
        return leave

    solara.use_effect(attach, [id(session), past])


@solara.component
def Stage(
    session: Session,
    pulse: solara.Reactive[int],
    dirty: bool,
    again: Callable[[bool], None],
    past: solara.Reactive[int],
    selected: solara.Reactive[int],
    links: Sequence[Sequence[Any]],
) -> None:
    """The picture, the player and the summary in words, made again as ``pulse`` rises."""
    _ = pulse.value
    layers = solara.use_reactive(solara.use_memo(lambda: {"dots": True, "field": session.with_field}, []))

    def keep_layers() -> None:
        """A new run shows what the last one did."""
        if session.with_field != layers.peek()["field"]:
            session.with_field = layers.peek()["field"]
            session.redraw()

    solara.use_effect(keep_layers, [id(session)])

    def set_layers(new: dict[str, Any]) -> None:
        layers.set({name: bool(new.get(name)) for name in ("dots", "field")})
        session.with_field = layers.peek()["field"]
        session.redraw()

    with session.reading() as model:
        words = PREPARING if session.preparing else run_summary(model)
        time_h = model.state.time / 3600
    shown_h = time_h
    if past.value >= 0:
        frame = header(session.rewind(past.value))
        words, shown_h = recorded_summary(frame, session.drawn_class), frame.time / 3600
    Canvas(
        session,
        layers.value,
        words,
        shown_h,
        playing=session.playing,
        links=links,
        selected=selected.value,
        past=past.value,
        on_pick=lambda birth: selected.set(int(birth)),
        on_layers=set_layers,
    )
    _player(session, time_h, dirty, again, past)
    calm = session.preparing or not session.playing
    html("p", "exo-words", text=words, attributes={"aria-live": "polite" if calm else "off"})


def _player(
    session: Session,
    time_h: float,
    dirty: bool,
    again: Callable[[bool], None],
    past: solara.Reactive[int],
) -> None:
    """The buttons and the timeline of a session; ``dirty`` where the controls were moved since its start."""

    def go() -> None:
        past.set(-1)
        if dirty:
            again(True)
        else:
            session.play()

    def step() -> None:
        past.set(-1)
        if session.compiled:
            session.step()
        else:  # in the background, where it can say so
            session.play(until=session.time + float(session.scenario.clock.step))

    def scrub(index: int) -> None:
        session.pause()
        past.set(int(index))

    def set_speed(value: float) -> None:
        session.speed = min(SPEEDS, key=lambda s: abs(s - value))
        session.on_change()

    lasts = session.left >= WORTH_A_PROBE and not (dirty or session.error)
    PlayerWidget.element(
        playing=session.playing,
        finished=session.finished,
        dirty=dirty,
        time_h=time_h,
        end_h=session.end / 3600,
        left=rounded_duration(session.left) if lasts else "",
        hurried=session.hurried,
        speed=session.speed,
        speeds=sorted({*SPEEDS, session.speed}),
        times=[round(header(f).time / 3600, 4) for f in list(session.recording.frames)],
        position=past.value,
        on_go=go,
        on_pause=session.pause,
        on_step=step,
        on_reset=lambda: again(False),
        on_speed=set_speed,
        on_scrub=scrub,
        on_live=lambda: past.set(-1),
    )


@solara.component
def Curves(session: Session, pulse: solara.Reactive[int], first: str = "") -> None:
    """Curves of the run over time; at first those named, else those with the readout of the scenario."""
    _ = pulse.value  # made again as the run goes on
    chart = solara.use_reactive("")

    plots = session.charts
    shown = next((name for name in (chart.value, first) if name in plots), next(iter(plots)))
    with session.reading() as model:
        lines = curves(model, plots[shown], session.judged.rows)
    with html("section", "exo-card"):
        ChoiceWidget.element(
            label="Plot",
            value=shown,
            options=[[name, c.title] for name, c in plots.items()],
            on_value=chart.set,
        )
        latest = ", ".join(f"{c['name']} {number(c['y'][-1], 4)}" for c in lines if c["y"])
        PlotWidget.element(
            series=lines,
            x_label="time (h)",
            x_unit="h",
            y_label=plots[shown].y_label,
            x_least=min(1.0, session.end / 3600),
            x_most=session.end / 3600,
            y_least=1.0,
            about=", ".join(" + ".join((line.column, *line.plus)) for line in plots[shown].lines),
            alt=f"{plots[shown].title}, {plots[shown].y_label}: {latest}",
        )
