"""VTK's XML files: the grid as image data (``.vti``), the cells as points (``.vtp``).

A grid of N voxels has N + 1 points an axis; its values belong to its cells, x fastest. Lengths are in um.
Values are base64 behind their length in bytes (UInt64), texts UTF-8 with a zero behind each.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exoabm.export.exported_run import ExportedRun

TYPES = {"f4": "Float32", "f8": "Float64", "i4": "Int32", "i8": "Int64"}
HEAD = """<?xml version="1.0"?>
<VTKFile type="{kind}" version="1.0" byte_order="LittleEndian" header_type="UInt64">
"""


def write_grid(finished: ExportedRun, to: Path) -> None:
    """Vesicles/mL in every voxel at the last recorded time: of each kind in all, and by donor type.

    A slab is one voxel thick, as thick as it is.
    """
    fields = finished.fields
    values: dict[str, np.ndarray] = {}
    for kind in finished.kinds:
        found = fields.at(kind)
        values[f"{kind}_per_mL"] = found.sum(axis=0, dtype=np.float64).ravel()
        for name in dict.fromkeys(fields.label_types):
            mine = [of == name for of in fields.label_types]
            values[f"{kind}_per_mL from {name}"] = found[mine].sum(axis=0, dtype=np.float64).ravel()
    counts = [*reversed(fields.shape), 1][:3]
    edges = [fields.voxel_um] * fields.dim + [finished.thickness_um] * (3 - fields.dim)
    extent = " ".join(f"0 {count}" for count in counts)
    with to.open("w", encoding="utf-8", newline="\n") as file:
        file.write(HEAD.format(kind="ImageData"))
        place = f'Origin="{_row(fields.origin_um)}" Spacing="{_row(edges)}"'
        file.write(f'<ImageData WholeExtent="{extent}" {place}>\n')
        file.writelines(_section("FieldData", {"TimeValue": fields.times_s[-1:]}))
        file.write(f'<Piece Extent="{extent}">\n')
        file.writelines(_section("CellData", values))
        file.write("</Piece>\n</ImageData>\n</VTKFile>\n")


def write_cells(finished: ExportedRun, to: Path) -> None:
    """Cells at the last recorded time as points in um, with all that the tables of cells have."""
    cells = finished.last_cells
    present = [name for name in cells.column_names if cells[name].null_count < max(1, len(cells))]
    columns = {name: _plain(cells[name]) for name in present} | finished.held_by(cells)
    points = np.column_stack([columns.pop(f"{axis}_um") for axis in "xyz"])
    n, time = len(points), columns.pop("time_s")
    verts = {"connectivity": np.arange(n), "offsets": np.arange(1, n + 1)}
    with to.open("w", encoding="utf-8", newline="\n") as file:
        file.write(HEAD.format(kind="PolyData"))
        file.write("<PolyData>\n")
        file.writelines(_section("FieldData", {"TimeValue": time[:1]}))
        none = 'NumberOfLines="0" NumberOfStrips="0" NumberOfPolys="0"'
        file.write(f'<Piece NumberOfPoints="{n}" NumberOfVerts="{n}" {none}>\n')
        file.writelines(_section("PointData", columns))
        file.writelines(_section("Points", {"Points": points}))
        file.writelines(_section("Verts", verts))
        file.write("</Piece>\n</PolyData>\n</VTKFile>\n")


def _section(name: str, arrays: Mapping[str, np.ndarray]) -> Iterator[str]:
    """A section of arrays, an element each."""
    yield f"<{name}>\n"
    for key, values in arrays.items():
        size = f' NumberOfTuples="{len(values)}"' if name == "FieldData" else ""
        parts = f' NumberOfComponents="{values.shape[1]}"' if values.ndim == 2 else ""
        if values.dtype.kind == "O":
            kind, data = "String", b"".join(text.encode() + b"\0" for text in values)
        else:
            values = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
            kind, data = TYPES[values.dtype.str[1:]], values.tobytes()
        packed = base64.b64encode(np.array(len(data), "<u8").tobytes() + data).decode()
        about = f'type="{kind}" Name={quoteattr(key)}{parts}{size}'
        yield f'<DataArray {about} format="binary">{packed}</DataArray>\n'
    yield f"</{name}>\n"


def _plain(column: pa.ChunkedArray) -> np.ndarray:
    """A column as numbers, NaN where there is none, or as text, empty where there is none."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type):
        return np.array(pc.fill_null(column, "").to_pylist(), dtype=object)
    return np.asarray(column.to_numpy())


def _row(numbers: tuple[float, ...] | list[float]) -> str:
    return " ".join(map(repr, map(float, numbers)))
