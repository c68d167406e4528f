"""Observers of cells and fields, which stream to disk."""

from __future__ import annotations

import errno
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from exoabm.cargo import CargoClass
from exoabm.columns import VESICLE_COUNTS, Row
from exoabm.errors import InputError
from exoabm.manifest import inside, sha256
from exoabm.observe.communication import PER_ML
from exoabm.observe.tables import OneTable, TableWriter, pick

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from exoabm.state import SourceCells, State


class CellWriter(OneTable):
    """``cells.parquet``: a row per cell and recorded time."""

    def __init__(self, path: Path, interval: float) -> None:
        self.interval = interval
        self._table = TableWriter(path)

    def record(self, state: State) -> None:
        """Append a row for every cell."""
        self._table.append(cell_table(state))


def cell_table(state: State) -> pa.Table:
    """Every cell now: who, where, and per vesicle kind what it sent and met.

    Where the layout has a table, ``source_id`` and ``source_label`` are what it says of the cell; null for
    daughters, whose ``lineage.parquet`` leads back.
    """
    cells, way, n = state.cells, state.trafficking, len(state.cells)
    columns = Row(
        time_s=np.full(n, state.time),
        cell=cells.birth_id,
        cell_type=pick([t.name for t in state.types], cells.type),
        x_um=cells.position[:, 0],
        y_um=cells.position[:, 1],
        z_um=cells.position[:, 2],
        waste_units=cells.waste,
    )
    if state.source is not None:
        for name, values in _source_columns(state.source, cells.birth_id).items():
            columns[name] = values
    if cells.mvb.shape[1]:
        columns["mvb"] = cells.mvb[:, 0]
    for c, cargo in enumerate(state.cargos):
        if cargo.role is not CargoClass.WASTE:
            columns.put("{cargo}_copies", cells.cargo[:, c], cargo=cargo.name)
    if state.responses:
        columns["effect"] = cells.effect
    for k, kind in enumerate(state.kinds):
        columns.put("{vesicle}_released", state.released[:, k], vesicle=kind.name)
        for count in VESICLE_COUNTS:
            columns.put(f"{{vesicle}}_{count}", getattr(way, count)[:, k].sum(axis=1), vesicle=kind.name)
    # Arrow would look into the state's own arrays, which go on changing while the rows wait.
    return pa.table({n: np.array(c) if isinstance(c, np.ndarray) else c for n, c in columns.items()})


def _source_columns(source: SourceCells, birth_id: np.ndarray) -> dict[str, pa.Array]:
    """What a table says of each cell by its birth id; null for those born later."""
    first = birth_id < len(source.ids)
    row = np.where(first, birth_id, 0)
    ids = [source.ids[i] if known else None for i, known in zip(row.tolist(), first.tolist(), strict=True)]
    label = pa.array(np.where(first, source.codes[row], 0), pa.int32(), mask=~first)
    return {
        "source_id": pa.array(ids, pa.string()),
        "source_label": pa.DictionaryArray.from_arrays(label, list(source.labels)),
    }


class FieldWriter:
    """``fields.zarr``: free vesicles per mL, an array (time, label, [z,] y, x) per vesicle kind."""

    def __init__(self, path: Path, interval: float) -> None:
        self.interval = interval
        self._path = path
        self._group: Any = None
        self._sums: dict[str, str] = {}

    def record(self, state: State) -> None:
        """Append the fields of this moment.

        zarr writes in threads of its own. A signal that stops the run waits here until they are done, or they
        would write on into a folder that is being removed.
        """
        with ThreadPoolExecutor(1) as alone:
            alone.submit(self._append, state).result()

    def _append(self, state: State) -> None:
        for name in () if self._group is None else ("", "time_s", *(kind.name for kind in state.kinds)):
            if not (self._path / name / "zarr.json").is_file():  # zarr has no common base for what it raises
                raise FileNotFoundError(errno.ENOENT, f"{self._path.name}/{name} was moved or removed")
        scale = PER_ML / state.domain.voxel_volume
        group = self._open(state)
        group["time_s"].append(np.array([state.time]))
        self._widen(state)
        for index, kind in enumerate(state.kinds):
            group[kind.name].append((state.free_per_voxel(index) * scale).astype(np.float32)[None])
            at = self._path / kind.name / "c" / str(group[kind.name].shape[0] - 1)
            for name in inside(at):
                self._sums.setdefault(f"{kind.name}/c/{at.name}/{name}", "")

    def close(self) -> None:
        """Every chunk is on disk already; see that none was lost, for one that is not there reads as 0."""
        for name in self._sums:
            if not (self._path / name).is_file():
                raise FileNotFoundError(errno.ENOENT, f"{self._path.name}/{name} was removed")

    def snapshot(self) -> dict[str, np.ndarray]:
        """The times recorded, of which labels, the layout of the arrays, and the checksum of each chunk."""
        self._sums |= {name: sha256(self._path / name) for name, known in self._sums.items() if not known}
        return {
            "times": self._group["time_s"][:],
            "labels": np.array(self._group.attrs["labels"], str),
            "layout": np.array(_layout(self._group)),
            "chunks": np.frombuffer(json.dumps(self._sums).encode(), np.uint8),
        }

    def restore(self, content: Mapping[str, np.ndarray]) -> None:
        """Truncate every array to the length that it had.

        Raises
        ------
        InputError
            If the arrays are missing, damaged, shorter or others, or a chunk of them is.
        """
        import zarr

        times, labels = content["times"], content["labels"].tolist()
        length, self._sums = len(times), json.loads(content["chunks"].tobytes())
        for rest in self._path.rglob("*.partial"):  # a chunk that was being written
            rest.unlink()
        try:
            group = zarr.open_group(self._path, mode="r+")
            arrays, layout = dict(group.arrays()), _layout(group)
            lengths = {name: array.shape[0] for name, array in arrays.items()}
            found = arrays["time_s"][:length]
        except Exception as error:  # zarr has no common base for what it raises on damaged files
            raise InputError(f"{self._path} cannot be read: {type(error).__name__}: {error}") from None
        if layout != content["layout"].item():
            raise InputError(f"{self._path} is damaged: its arrays are not those of its checkpoint")
        if min(lengths.values()) < length:
            raise InputError(f"{self._path} has {lengths} recorded times; its checkpoint has {length}")
        if not np.array_equal(found, times):
            raise InputError(f"{self._path} is damaged: its times are not those of its checkpoint")
        for name, expected in self._sums.items():
            chunk = self._path / name
            if not chunk.is_file() or sha256(chunk) != expected:
                raise InputError(f"{chunk} is {'damaged' if chunk.exists() else 'missing'}")
        group.attrs["labels"] = labels
        for name, array in arrays.items():
            array.resize((length,) if name == "time_s" else (length, len(labels), *array.shape[2:]))
        self._group = group

    def _widen(self, state: State) -> None:
        """Donor cells that are new have labels of their own; before their birth these are 0."""
        if len(self._group.attrs["labels"]) == len(state.labels):
            return
        self._group.attrs["labels"] = list(state.labels.names)
        for kind in state.kinds:
            times, _, *shape = self._group[kind.name].shape
            self._group[kind.name].resize((times, len(state.labels), *shape))

    def _open(self, state: State) -> Any:
        if self._group is None:
            import zarr
            from zarr.codecs import Crc32cCodec, ZstdCodec

            domain = state.domain
            axes = ("time", "label", *"zyx"[-domain.dim :])
            group = zarr.open_group(self._path, mode="w")
            group.attrs.update(
                {
                    "unit": "vesicles/mL",
                    "axes": list(axes),
                    "labels": list(state.labels.names),
                    "voxel_um": domain.voxel,
                    "origin_um": list(domain.origin),
                }
            )
            packed: Any = (ZstdCodec(), Crc32cCodec())  # a damaged chunk is seen by whoever reads it
            group.create_array(
                "time_s", shape=(0,), chunks=(1024,), dtype="f8", compressors=packed, dimension_names=axes[:1]
            )
            shape = (len(state.labels), *domain.shape)
            for kind in state.kinds:
                chunks = (1, 1, *(min(n, 256) for n in domain.shape))
                group.create_array(
                    kind.name,
                    shape=(0, *shape),
                    chunks=chunks,
                    dtype="f4",
                    compressors=packed,
                    dimension_names=axes,
                )
            self._group = group
        return self._group


def _layout(group: Any) -> str:
    """All that the metadata of a group and its arrays say but for their lengths, as text."""
    about = {name: value for name, value in group.attrs.items() if name != "labels"}
    arrays = {name: array.metadata.to_dict() | {"shape": array.shape[2:]} for name, array in group.arrays()}
    return json.dumps([about, arrays], sort_keys=True, default=str)
