"""OME-Zarr 0.5: concentrations as an image over time, cells as its labels, at one resolution.

Axes t, c, (z), y, x; lengths in micrometers, to the centers of voxels. A channel is a vesicle kind, of all
donors or of those of one type, in vesicles/mL. A label is a cell's birth id plus 1, in the voxel that it has
its center in and in those whose centers its circle (in a volume its sphere) covers; where several do, that of
the cell nearest to its center; 0 is no cell. Cells are shown where they were recorded last. Times that
are not evenly spaced have no unit, and stand in ``times_s``.
"""

from __future__ import annotations

from itertools import cycle, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.output.concentration_fields import new_array
from exoabm.plot.palette import COOL, WARM

if TYPE_CHECKING:
    import pyarrow as pa

    from exoabm.export.exported_run import ExportedRun, Fields

VERSION = "0.5"
CELLS = "cells"
"""Name of the labels."""
EVEN = 1e-6
"""Share of an interval by which evenly spaced times may be off it, for rounding; assumed."""
LARGEST_CHUNK = 256
"""Voxels along an axis of a chunk."""
HUES = tuple(color.removeprefix("#") for color in (*WARM, *COOL))

Json = dict[str, Any]


def write(finished: ExportedRun, to: Path) -> None:
    """Write a run as OME-Zarr; see above."""
    import zarr

    fields = finished.fields
    space = fields.shape
    types = tuple(dict.fromkeys(fields.label_types))
    channels = [(kind, of) for kind in finished.kinds for of in ((), *(types if len(types) > 1 else ()))]
    root: Any = zarr.open_group(to, mode="w", zarr_format=3)
    axes = ("t", "c", *"zyx"[-fields.dim :])
    image = _image(root, axes, (len(fields.times_s), len(channels), *space), "f4")
    most = np.zeros(len(channels))
    for time, (c, (kind, of)) in product(range(len(fields.times_s)), enumerate(channels)):
        mine = np.array([not of or of == each for each in fields.label_types])
        found = fields.at(kind, time)[mine].sum(axis=0, dtype=np.float64).astype(np.float32)
        image[time, c], most[c] = found, max(most[c], float(found.max()))
    shown = [
        {
            "label": f"{kind} from {of}" if of else kind,
            "color": color,
            "active": not of,
            "window": {"min": 0.0, "start": 0.0, "max": peak or 1.0, "end": peak or 1.0},
        }
        for (kind, of), peak, color in zip(channels, most.tolist(), cycle(HUES), strict=False)
    ]
    named = {"multiscales": [_multiscale(fields, axes, finished.about["scenario_name"])]}
    root.attrs.update(
        {
            "ome": {"version": VERSION, **named, "omero": {"channels": shown}},
            "times_s": fields.times_s.tolist(),
            "unit": "vesicles/mL",
        }
    )
    _write_cells(finished, root.create_group("labels"), tuple(a for a in axes if a != "c"), space)


def _write_cells(finished: ExportedRun, labels: Any, axes: tuple[str, ...], space: tuple[int, ...]) -> None:
    """Cells as labels of the image, with their properties."""
    fields = finished.fields
    labels.attrs["ome"] = {"version": VERSION, "labels": [CELLS]}
    group = labels.create_group(CELLS)
    image = _image(group, axes, (len(fields.times_s), *space), "i4")
    for i, time in enumerate(fields.times_s.tolist()):
        image[i] = _covered(finished, finished.cells_at(time), space)
    all_cells = finished.all_cells.select(["cell", "cell_type"]).to_pylist()
    hue = dict(zip(finished.diameters, cycle(HUES), strict=False))
    color = {name: [*bytes.fromhex(text), 255] for name, text in hue.items()}
    about = {
        "colors": [{"label-value": c["cell"] + 1, "rgba": color[c["cell_type"]]} for c in all_cells],
        "properties": [{"label-value": c["cell"] + 1, **c} for c in all_cells],
        "source": {"image": "../../"},
    }
    group.attrs["ome"] = {
        "version": VERSION,
        "multiscales": [_multiscale(fields, axes, CELLS)],
        "image-label": about,
    }


def _image(group: Any, axes: tuple[str, ...], shape: tuple[int, ...], dtype: str) -> Any:
    chunks = tuple(1 if a in "tc" else min(n, LARGEST_CHUNK) for a, n in zip(axes, shape, strict=True))
    return new_array(group, "0", shape, chunks, dtype, axes, {})


def _multiscale(fields: Fields, axes: tuple[str, ...], name: str) -> Json:
    """Axes with type and unit; place = scale * index + translation, of the center of a voxel."""
    times = fields.times_s
    spacing = float(np.diff(times).mean()) if len(times) > 1 else 1.0
    even = bool(np.allclose(np.diff(times), spacing, rtol=EVEN, atol=0.0))
    first = dict(zip("xyz", fields.origin_um, strict=True))
    meaning: dict[str, tuple[Json, float, float]] = {
        "t": ({"type": "time", "unit": "second"}, spacing, float(times[0]))
        if even
        else ({"type": "time"}, 1.0, 0.0),
        "c": ({"type": "channel"}, 1.0, 0.0),
    }
    for axis in "xyz":
        at = first[axis] + fields.voxel_um / 2
        meaning[axis] = ({"type": "space", "unit": "micrometer"}, fields.voxel_um, at)
    placed = [
        {"type": "scale", "scale": [meaning[axis][1] for axis in axes]},
        {"type": "translation", "translation": [meaning[axis][2] for axis in axes]},
    ]
    return {
        "name": name,
        "axes": [{"name": axis, **meaning[axis][0]} for axis in axes],
        "datasets": [{"path": "0", "coordinateTransformations": placed}],
    }


def _covered(finished: ExportedRun, cells: pa.Table, space: tuple[int, ...]) -> np.ndarray:
    """Birth id plus 1 of the cell that each voxel is of, int32, ([z,] y, x)."""
    fields = finished.fields
    names = "xyz"[: fields.dim]
    at = np.column_stack([np.asarray(cells[f"{axis}_um"]) for axis in names]) - fields.origin_um[: fields.dim]
    radius = (
        np.array([finished.diameters[name] for name in cells["cell_type"].cast("string").to_pylist()]) / 2
    )
    labels = np.zeros(space[::-1], np.int32)
    if not len(at):
        return labels.T
    reach = int(np.ceil(radius.max() / fields.voxel_um))
    window = np.array(list(product(range(-reach, reach + 1), repeat=fields.dim)))
    voxel = np.floor(at / fields.voxel_um).astype(np.int64)[:, None] + window
    distance = np.linalg.norm((voxel + 0.5) * fields.voxel_um - at[:, None], axis=2)
    own = (distance <= radius[:, None]) | (window == 0).all(axis=1)
    inside = own & ((voxel >= 0) & (voxel < labels.shape)).all(axis=2)
    cell, place = np.nonzero(inside)
    far_first = np.argsort(-distance[cell, place], kind="stable")
    cell, place = cell[far_first], place[far_first]
    labels[tuple(voxel[cell, place].T)] = np.asarray(cells["cell"])[cell] + 1
    return labels.T
