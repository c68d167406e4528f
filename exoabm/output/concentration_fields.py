"""The observer of fields: ``fields.zarr``, Zarr format 3 as xarray reads it.

The array ``concentration`` (time, vesicle_kind, label, [z,] y, x) of free vesicles per mL, with coordinates:

``time``                h; ``time_s`` is the same in s, as in all tables
``vesicle_kind``          names of the kinds
``label, donor_type``   the donor types, or birth ids of donor cells, that the fields are kept apart by
``x, y, z``             centers of voxels, um

Metadata are consolidated at the end, when they change no more.
"""

from __future__ import annotations

import contextlib
import errno
import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.analysis.communication import PER_ML
from exoabm.errors import InputError
from exoabm.interrupts import signals_held
from exoabm.manifest import inside, sha256

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from exoabm.domain import Domain
    from exoabm.state import State

TIMES = {"time": ("h", 3600.0), "time_s": ("s", 1.0)}
"""Coordinates along time: the unit of each, and s in one."""
LABELS = {"label": "labels", "donor_type": "label_types"}
"""Coordinates along label, and the corresponding attributes of the group."""
VALUES = "concentration"
AT_ONCE = 1024
"""Entries of a chunk of these coordinates."""


class FieldWriter:
    """``fields.zarr``: free vesicles per mL, (time, vesicle_kind, label, [z,] y, x)."""

    def __init__(self, path: Path, interval: float) -> None:
        self.interval = interval
        self._path = path
        self._group: Any = None
        self._sums: dict[str, str] = {}
        self._arrays: tuple[str, ...] = ()

    def record(self, state: State) -> None:
        """Append the fields of this moment."""
        _alone(self._append, state)

    def _append(self, state: State) -> None:
        self._miss_nothing()
        scale = PER_ML / state.domain.voxel_volume
        group = self._open(state)
        for name, (_, unit) in TIMES.items():
            group[name].append(np.array([state.time / unit]))
        self._widen(state)
        kinds = range(len(state.kinds))
        found = [(state.free_per_voxel(kind) * scale).astype(np.float32) for kind in kinds]
        group[VALUES].append(np.stack(found)[None])
        self._note(f"{VALUES}/c/{group[VALUES].shape[0] - 1}")

    def _miss_nothing(self) -> None:
        """Check that all arrays are present; zarr has no common base for what it raises where one is not."""
        for name in self._arrays:
            if not (self._path / name / "zarr.json").is_file():
                raise FileNotFoundError(errno.ENOENT, f"{self._path.name}/{name} was moved or removed")

    def _note(self, folder: str) -> None:
        """Take the chunks below a folder for finished."""
        for name in inside(self._path / folder):
            self._sums.setdefault(f"{folder}/{name}", "")

    def close(self) -> None:
        """Every chunk is on disk already; see that none was lost, for one that is not there reads as 0."""
        self._miss_nothing()
        for name in self._sums:
            if not (self._path / name).is_file():
                raise FileNotFoundError(errno.ENOENT, f"{self._path.name}/{name} was removed")
        if self._group is not None:
            _alone(self._consolidate)

    def _consolidate(self) -> None:
        import zarr

        with _quiet():
            zarr.consolidate_metadata(self._path)

    def snapshot(self) -> dict[str, np.ndarray]:
        """The times recorded, of which labels, the layout of the arrays, and the checksum of each chunk."""
        self._sums |= {name: sha256(self._path / name) for name, known in self._sums.items() if not known}
        return {
            "times": self._group["time_s"][:],
            **{name: np.array(self._group.attrs[name], str) for name in LABELS.values()},
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

        times = content["times"]
        self._sums = json.loads(content["chunks"].tobytes())
        for rest in self._path.rglob("*.partial"):  # a chunk that was being written
            rest.unlink()
        try:
            group = zarr.open_group(self._path, mode="r+", use_consolidated=False)
            arrays, layout = dict(group.arrays()), _layout(group)
            lengths = {name: array.shape[0] for name, array in arrays.items() if _axes(array)[0] == "time"}
            found = {name: arrays[name][: len(times)] for name in TIMES}
        except Exception as error:  # zarr has no common base for what it raises on damaged files
            raise InputError(f"{self._path} cannot be read: {type(error).__name__}: {error}") from None
        if layout != content["layout"].item():
            raise InputError(f"{self._path} is damaged: its arrays are not those of its checkpoint")
        if min(lengths.values()) < len(times):
            raise InputError(f"{self._path} has {lengths} recorded times; its checkpoint has {len(times)}")
        if not all(np.array_equal(found[name], times / unit) for name, (_, unit) in TIMES.items()):
            raise InputError(f"{self._path} is damaged: its times are not those of its checkpoint")
        for name, expected in self._sums.items():
            chunk = self._path / name
            if not chunk.is_file() or sha256(chunk) != expected:
                raise InputError(f"{chunk} is {'damaged' if chunk.exists() else 'missing'}")
        labels = {name: content[name].tolist() for name in LABELS.values()}
        for name in lengths:
            now = {"time": len(times), "label": len(labels["labels"])}
            shape = zip(_axes(arrays[name]), arrays[name].shape, strict=True)
            arrays[name].resize(tuple(now.get(axis, size) for axis, size in shape))
        self._group, self._arrays = group, ("", *arrays)
        _label(group, labels)

    def _widen(self, state: State) -> None:
        """Donor cells that are new have labels of their own; before their birth these are 0."""
        if len(self._group.attrs["labels"]) == len(state.labels):
            return
        _label(self._group, _labels(state))
        times, kinds, _, *shape = self._group[VALUES].shape
        self._group[VALUES].resize((times, kinds, len(state.labels), *shape))

    def _open(self, state: State) -> Any:
        if self._group is None:
            import zarr

            domain = state.domain
            axes = ("time", "vesicle_kind", "label", *"zyx"[-domain.dim :])
            group = zarr.open_group(self._path, mode="w", zarr_format=3)
            group.attrs.update(
                {
                    "unit": "vesicles/mL",
                    "axes": list(axes),
                    **_labels(state),
                    "voxel_um": domain.voxel,
                    "origin_um": list(domain.origin),
                    **({"thickness_um": domain.thickness} if domain.dim == 2 else {}),
                    "coordinates": "time_s donor_type",
                }
            )
            for name, (unit, _) in TIMES.items():
                about = {"units": unit, "long_name": "model time"}
                new_array(group, name, (0,), (AT_ONCE,), "f8", ("time",), about)
            for name in LABELS:
                new_array(group, name, (0,), (AT_ONCE,), str, ("label",), {})
            _label(group, _labels(state))
            self._lay_out(group, domain)
            shape = (0, len(state.kinds), len(state.labels), *domain.shape)
            chunks = (1, 1, 1, *(min(n, 256) for n in domain.shape))
            names = np.array([kind.name for kind in state.kinds], dtype=object)
            new_array(group, "vesicle_kind", names.shape, names.shape, str, ("vesicle_kind",), {})[:] = names
            self._note("vesicle_kind/c")
            new_array(
                group, VALUES, shape, chunks, "f4", axes, {"units": "1/mL", "long_name": "free vesicles"}
            )
            self._group, self._arrays = group, ("", *group.array_keys())
        return self._group

    def _lay_out(self, group: Any, domain: Domain) -> None:
        """Where voxels have their centers."""
        for axis, name in enumerate("xyz"[: domain.dim]):
            centers = domain.centers(axis)
            about = {"units": "um", "long_name": f"{name} of voxel centers"}
            new_array(group, name, centers.shape, centers.shape, "f8", (name,), about)[:] = centers
            self._note(f"{name}/c")


def _alone(work: Any, *given: Any) -> None:
    """Have something written by a thread of its own, to its end.

    zarr writes in threads. A signal that stops the run acts when they are done, or they would write on into a
    folder that is being removed.
    """
    with signals_held(), ThreadPoolExecutor(1) as alone:
        alone.submit(work, *given).result()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without zarr's warnings that texts and consolidated metadata are extensions of format 3."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not part in the Zarr format 3 specification")
        yield


def new_array(
    group: Any,
    name: str,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: Any,
    axes: tuple[str, ...],
    about: dict[str, str],
) -> Any:
    """A new array, of which a damaged chunk is seen by whoever reads it."""
    from zarr.codecs import Crc32cCodec, ZstdCodec

    packed: Any = (ZstdCodec(), Crc32cCodec())
    with _quiet():
        return group.create_array(
            name,
            shape=shape,
            chunks=chunks,
            dtype=dtype,
            compressors=packed,
            dimension_names=axes,
            attributes=about,
        )


def _labels(state: State) -> dict[str, list[str]]:
    return {"labels": list(state.labels.names), "label_types": list(state.labels.types)}


def _label(group: Any, labels: Mapping[str, list[str]]) -> None:
    """State the origin of the fields."""
    group.attrs.update(labels)
    for name, key in LABELS.items():
        group[name].resize((len(labels[key]),))
        group[name][:] = np.array(labels[key], dtype=object)


def _axes(array: Any) -> tuple[str, ...]:
    return tuple(array.metadata.dimension_names)


def _layout(group: Any) -> str:
    """Metadata of a group and its arrays as text, without their lengths."""
    about = {name: value for name, value in group.attrs.items() if name not in LABELS.values()}
    arrays = {
        name: array.metadata.to_dict()
        | {"shape": [n for n, a in zip(array.shape, _axes(array), strict=True) if a not in ("time", "label")]}
        for name, array in group.arrays()
    }
    return json.dumps([about, arrays], sort_keys=True, default=str)
