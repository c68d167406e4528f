"""Simularium's JSON trajectory: cells, and where a run has single vesicles, these too.

A frame for each recorded time of the metrics; of long runs every k-th, so that there are no more than
``MOST_SPHERES``, and the description says so. Lengths in um from the center of the box, times in s. Agents
are numbered anew, from 0: the viewer's binary form holds numbers as 32-bit floats, and vesicles have long
names. A cell is shown where it was recorded last. A vesicle is shown where its last event happened, as
``#free``, ``#bound`` or ``#inside``: a run keeps no more of its way.
"""

from __future__ import annotations

import json
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from exoabm.export.tracks import STATES, tracks
from exoabm.plot.palette import COOL, WARM
from exoabm.tables.readouts import named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exoabm.export.finished import Finished

MOST_SPHERES = 1_000_000
"""Spheres of all frames together, some 100 bytes each; one frame is always written; assumed."""
SPHERE = 1000.0
"""The viewer's number of what is no fiber."""
VIEW = 75.0
"""Degrees that its camera sees."""


class Spheres(NamedTuple):
    """What is shown at a time: number and type of each, (n,), and its place in um, (n, 3)."""

    number: np.ndarray
    type: np.ndarray
    place: np.ndarray


def write(finished: Finished, to: Path) -> None:
    """Write a run for the Simularium viewer; see above."""
    single = finished.about["engine"] == "vesicles"
    present = {*finished.cells["cell_type"].cast("string").unique().to_pylist()}
    types = [name for name in finished.diameters if name in present]
    radius = {name: finished.diameters[name] / 2 for name in types}
    for kind in finished.scenario.vesicle if single else ():
        radius |= {f"{kind.name}#{state}": float(kind.diameter) / 2 for state in STATES}
    radii, low = np.array([*radius.values()]), np.array(finished.fields.origin_um)
    times, every = _times(finished)
    sources = [_cells(finished, types, times)]
    if single:
        after = max(finished.everyone["cell"].to_pylist(), default=-1) + 1
        sources.append(_vesicles(finished, times, after, len(types)))
    with to.open("w", encoding="utf-8") as file:
        head = json.dumps({"trajectoryInfo": _head(finished, [*radius], times, every)}, ensure_ascii=False)
        file.write(head[:-1] + ', "spatialData": {"version": 1, "msgType": 1, "bundleStart": 0, ')
        file.write(f'"bundleSize": {len(times)}, "bundleData": [')
        for frame, (time, *shown) in enumerate(zip(times.tolist(), *sources, strict=True)):
            file.write(", " if frame else "")
            file.write(f'{{"frameNumber": {frame}, "time": {time!r}, "data": [')
            file.write(", ".join(_numbers(shown, radii, low + finished.box_um / 2)))
            file.write("]}")
        file.write(']}, "plotData": {"version": 1, "data": []}}\n')


def _times(finished: Finished) -> tuple[np.ndarray, int]:
    """Times of the frames in s, the last among them, and which of the recorded ones they are: every k-th."""
    metrics = finished.metrics
    times, places = np.asarray(metrics["time_h"]) * 3600.0, ("free", "bound", "endosomal")
    shown = np.zeros(len(times))
    if finished.about["engine"] == "vesicles":
        for name in (named(place, kind) for kind in finished.kinds for place in places):
            shown += np.asarray(metrics[name])
    shown += len(finished.everyone)
    every = next(k for k in range(1, len(times) + 1) if shown[::-k].sum() <= MOST_SPHERES or k == len(times))
    return times[::-every][::-1], every


def _cells(finished: Finished, types: list[str], times: np.ndarray) -> Iterator[Spheres]:
    """Cells where they were recorded last."""
    index = {name: i for i, name in enumerate(types)}
    for time in times.tolist():
        cells = finished.cells_at(time)
        kind = np.array([index[name] for name in cells["cell_type"].cast("string").to_pylist()], np.int64)
        place = np.column_stack([np.asarray(cells[f"{axis}_um"]) for axis in "xyz"])
        yield Spheres(np.asarray(cells["cell"]), kind, place)


def _vesicles(finished: Finished, times: np.ndarray, first: int, types: int) -> Iterator[Spheres]:
    """Vesicles where they were last seen, numbered from ``first`` as they are shown for the first time."""
    names, numbers, free = np.empty(0, np.int64), np.empty(0, np.int64), first
    for seen in tracks(finished, times):
        number = np.full(len(seen.name), -1)
        if len(names):
            at = np.minimum(np.searchsorted(names, seen.name), len(names) - 1)
            number = np.where(names[at] == seen.name, numbers[at], -1)
        new = number < 0
        number[new] = free + np.arange(new.sum())
        free += int(new.sum())
        names, numbers = seen.name, number
        yield Spheres(number, types + len(STATES) * seen.kind + seen.state, seen.place)


def _numbers(shown: list[Spheres], radii: np.ndarray, center: np.ndarray) -> Iterator[str]:
    """Eleven numbers for each: what it is drawn as, its number, type, place, turn, radius, and no points."""
    for spheres in shown:
        for number, of, place in zip(
            spheres.number.tolist(), spheres.type.tolist(), (spheres.place - center).tolist(), strict=True
        ):
            x, y, z = place
            yield f"{SPHERE}, {number}, {of}, {x:.9g}, {y:.9g}, {z:.9g}, 0, 0, 0, {radii[of]:.9g}, 0"


def _head(finished: Finished, types: list[str], times: np.ndarray, every: int) -> dict[str, Any]:
    """What the numbers mean, and how the scene is looked at."""
    about = finished.about
    size, hues = finished.box_um, cycle((*WARM, *COOL))
    color = {name: next(hues) for name in dict.fromkeys(name.split("#")[0] for name in types)}
    said = [f"exoabm {about['versions']['exoabm']}, scenario {about['scenario_name']}, seed {about['seed']}"]
    if every > 1:
        ending = {2: "nd", 3: "rd"}.get(every, "th")
        said.append(f"every {every}{ending} recorded time")
    if any("#" in name for name in types):
        said.append("vesicles stand where they were last seen")
    return {
        "version": 3,
        "timeUnits": {"magnitude": 1.0, "name": "s"},
        "timeStepSize": float(np.diff(times).mean()) if len(times) > 1 else 0.0,
        "totalSteps": len(times),
        "spatialUnits": {"magnitude": 1.0, "name": "µm"},
        "size": dict(zip("xyz", size.tolist(), strict=True)),
        "cameraDefault": {
            "position": {"x": 0.0, "y": 0.0, "z": 0.75 * float(size.max()) + float(size[2])},
            "lookAtPosition": {"x": 0.0, "y": 0.0, "z": 0.0},
            "upVector": {"x": 0.0, "y": 1.0, "z": 0.0},
            "fovDegrees": VIEW,
        },
        "typeMapping": {
            str(i): {"name": name, "geometry": {"displayType": "SPHERE", "color": color[name.split("#")[0]]}}
            for i, name in enumerate(types)
        },
        "trajectoryTitle": finished.scenario.info.title,
        "modelInfo": {"title": finished.scenario.info.title, "description": "; ".join(said)},
    }
