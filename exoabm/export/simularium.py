"""Positions of single vesicles at given times, reconstructed from events."""

from __future__ import annotations

import json
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from exoabm.errors import InputError, visible
from exoabm.plot.palette import COOL, WARM
from exoabm.tables.declarations import Event
from exoabm.tables.readouts import named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exoabm.export.exported_run import ExportedRun

STATES = ("free", "bound", "inside")
GONE = -1
AFTER = {
    Event.RELEASE: "free",
    Event.ENTRY: "free",
    Event.ENCOUNTER: "bound",
    Event.UNBINDING: "free",
    Event.UPTAKE: "inside",
    Event.RECYCLING: "free",
    Event.HANDOVER: "bound",
    Event.INHERITANCE: "bound",
    Event.PARTITION: "inside",
}
"""Where a vesicle is after an event; after any other it is gone."""
ROUNDING = 1e-3
"""s by which an event, whose time has 24 bits, may lie behind the end of its step."""
COLUMNS = ["time_s", "vesicle", "event", "vesicle_kind", "x_um", "y_um", "z_um"]


class Seen(NamedTuple):
    """Vesicles that are there: names, which rise, kind and state by number, (n,), and place in um, (n, 3)."""

    name: np.ndarray
    kind: np.ndarray
    state: np.ndarray
    place: np.ndarray


def tracks(finished: ExportedRun, times: np.ndarray) -> Iterator[Seen]:
    """All vesicles that are there at each of these times in s, which are ends of steps and rise."""
    rows, seen = _rows(finished), _none()
    ahead: tuple[np.ndarray, Seen] | None = None
    for time in times:
        waiting = [seen]
        while ahead is not None or (ahead := next(rows, None)) is not None:
            due = ahead[0] <= time + ROUNDING
            waiting.append(Seen(*(column[due] for column in ahead[1])))
            if not due.all():
                ahead = ahead[0][~due], Seen(*(column[~due] for column in ahead[1]))
                break
            ahead = None
        seen = _last(waiting)
        yield seen


def check_all_events(schema: pa.Schema, folder: Path) -> None:
    """Refuse a table of single vesicles that has not the rows of all events; ``schema`` is of the table.

    Raises
    ------
    InputError
    """
    level = (schema.metadata or {}).get(b"events", b"all").decode()
    if level != "all":
        raise InputError(
            f"{folder} was recorded with record.vesicle_events = {visible(level)!r}, and this needs the rows "
            "of all events; run it again with record.vesicle_events = 'all'"
        )


def _last(parts: list[Seen]) -> Seen:
    """The last row of each vesicle, of those that are not gone."""
    every = Seen(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    _, at = np.unique(every.name[::-1], return_index=True)
    row = len(every.name) - 1 - at
    row = row[every.state[row] != GONE]
    return Seen(*(column[row] for column in every))


def _rows(finished: ExportedRun) -> Iterator[tuple[np.ndarray, Seen]]:
    """Events in the order of time, as times and resulting states, a row group at a time."""
    state = {event.name.lower(): STATES.index(name) for event, name in AFTER.items()}
    with pq.ParquetFile(finished.folder / "events.parquet", page_checksum_verification=True) as file:
        check_all_events(file.schema_arrow, finished.folder)
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group, columns=COLUMNS)
            order = np.argsort(np.asarray(rows["time_s"]), kind="stable")
            batch = rows.take(pa.array(order)).combine_chunks()
            place = np.column_stack([np.asarray(batch[f"{axis}_um"], np.float64) for axis in "xyz"])
            yield (
                np.asarray(batch["time_s"]),
                Seen(
                    np.asarray(batch["vesicle"]),
                    _codes(batch["vesicle_kind"], {name: k for k, name in enumerate(finished.kinds)}),
                    _codes(batch["event"], state),
                    place,
                ),
            )


def _codes(words: pa.ChunkedArray, number: dict[str, int]) -> np.ndarray:
    """The number of each word; ``GONE`` of those that have none."""
    words = words.combine_chunks().dictionary_encode()
    known = np.array([number.get(word, GONE) for word in words.dictionary.to_pylist()] or [GONE])
    return known[np.asarray(words.indices)]


def _none() -> Seen:
    whole = np.empty(0, np.int64)
    return Seen(whole, whole, whole, np.empty((0, 3)))


MOST_SPHERES = 1_000_000
"""Spheres of all frames together, some 100 bytes each; one frame is always written; assumed."""
SPHERE = 1000.0
"""The viewer's number of what is no fiber."""
VIEW = 75.0
"""Degrees that its camera sees."""


class Spheres(NamedTuple):
    """Agents at a time: number and type, (n,), and position in um, (n, 3)."""

    number: np.ndarray
    type: np.ndarray
    place: np.ndarray


def write(finished: ExportedRun, to: Path) -> None:
    """Write a run for the Simularium viewer; see above."""
    single = finished.scenario.transport.follows_vesicles
    present = {*finished.cells["cell_type"].cast("string").unique().to_pylist()}
    types = [name for name in finished.diameters if name in present]
    radius = {name: finished.diameters[name] / 2 for name in types}
    for kind in finished.scenario.vesicle if single else ():
        radius |= {f"{kind.name}#{state}": float(kind.diameter) / 2 for state in STATES}
    radii, low = np.array([*radius.values()]), np.array(finished.fields.origin_um)
    times, every = _times(finished)
    sources = [_cells(finished, types, times)]
    if single:
        after = max(finished.all_cells["cell"].to_pylist(), default=-1) + 1
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


def _times(finished: ExportedRun) -> tuple[np.ndarray, int]:
    """Times of the frames in s, the last among them, and which of the recorded ones they are: every k-th."""
    metrics = finished.metrics
    times, places = np.asarray(metrics["time_h"]) * 3600.0, ("free", "bound", "endosomal")
    shown = np.zeros(len(times))
    if finished.scenario.transport.follows_vesicles:
        for name in (named(place, kind) for kind in finished.kinds for place in places):
            shown += np.asarray(metrics[name])
    shown += len(finished.all_cells)
    every = next(k for k in range(1, len(times) + 1) if shown[::-k].sum() <= MOST_SPHERES or k == len(times))
    return times[::-every][::-1], every


def _cells(finished: ExportedRun, types: list[str], times: np.ndarray) -> Iterator[Spheres]:
    """Cells where they were recorded last."""
    index = {name: i for i, name in enumerate(types)}
    for time in times.tolist():
        cells = finished.cells_at(time)
        kind = np.array([index[name] for name in cells["cell_type"].cast("string").to_pylist()], np.int64)
        place = np.column_stack([np.asarray(cells[f"{axis}_um"]) for axis in "xyz"])
        yield Spheres(np.asarray(cells["cell"]), kind, place)


def _vesicles(finished: ExportedRun, times: np.ndarray, first: int, types: int) -> Iterator[Spheres]:
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
    """Eleven numbers per agent: visual type, number, type, position, rotation, radius, no points."""
    for spheres in shown:
        for number, of, place in zip(
            spheres.number.tolist(), spheres.type.tolist(), (spheres.place - center).tolist(), strict=True
        ):
            x, y, z = place
            yield f"{SPHERE}, {number}, {of}, {x:.9g}, {y:.9g}, {z:.9g}, 0, 0, 0, {radii[of]:.9g}, 0"


def _head(finished: ExportedRun, types: list[str], times: np.ndarray, every: int) -> dict[str, Any]:
    """Meaning of the numbers, and camera settings."""
    about = finished.about
    size, hues = finished.box_um, cycle((*WARM, *COOL))
    color = {name: next(hues) for name in dict.fromkeys(name.split("#")[0] for name in types)}
    parts = [f"exoabm {about['versions']['exoabm']}, scenario {about['scenario_name']}, seed {about['seed']}"]
    if every > 1:
        ending = {2: "nd", 3: "rd"}.get(every, "th")
        parts.append(f"every {every}{ending} recorded time")
    if any("#" in name for name in types):
        parts.append("vesicles are at their last recorded position")
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
        "modelInfo": {"title": finished.scenario.info.title, "description": "; ".join(parts)},
    }
