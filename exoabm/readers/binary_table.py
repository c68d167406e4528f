"""Tables in Parquet, and in AnnData as HDF5 or Zarr, read within limits of memory.

Of AnnData only the columns of ``obs`` and the positions of ``obsm`` are read, never the matrix of expression,
whatever its size. An entry of ``obs`` is an array, or a group that says by ``encoding-type`` what it is:
``categorical`` (codes and categories, -1 for none), ``nullable-...`` (values and a mask), as the index and
categories of newer files may be, too. Zarr is read by the ``zarr`` package, HDF5 by ``h5py`` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from exoabm.errors import InputError, visible
from exoabm.readers.options import enumerated, quoted
from exoabm.readers.table import LONGEST_LABEL, MOST_COLUMNS, Sheet

CENTROIDS = (
    "centroids of the shapes and labels of SpatialData are not read; put what spatialdata.get_centroids "
    "gives into obsm['spatial'] of the table"
)
INDEX = "_index"
"""The name under which the index of ``obs`` is a column."""
ZARR = ("zarr.json", ".zgroup")
"""Files of which a Zarr group has one."""
SPATIAL = ("spatial_um", "spatial", "X_spatial")
LONGEST_UNIT = 20
MOST_LIBRARIES = 10_000
"""Largest number of categories of a column of images."""
TEXTS_AT_ONCE = 256
"""Texts read before their length is checked; few bytes can encode a long text in every row."""

Child = Callable[[Any, str], Any]
"""The entry of a group, None if there is none; refuses links that lead elsewhere."""


def read_anndata(name: str, form: str, root: Any, child: Child, max_bytes: int, max_rows: int) -> Sheet:
    """The cells of an AnnData group as a sheet, whose columns are read on demand.

    Raises
    ------
    InputError
        If it holds no AnnData, or one that is damaged or too large.
    """

    def fail(message: str) -> Any:
        raise InputError(f"{name}: {message}")

    obs, parts = child(root, "obs"), child(root, "mod")
    if parts is not None:
        fail(f"is MuData ({enumerated(sorted(parts.keys()))}); write the one with the cells as .h5ad")
    if obs is None or not hasattr(obs, "keys"):
        fail(
            "holds no group 'obs', as AnnData has since its version 0.7 and a table of SpatialData; it has "
            f"{enumerated(sorted(root.keys()), 8) or 'nothing'}"
        )
    index = _text(obs.attrs.get("_index", INDEX))
    shape: tuple[int, ...] = getattr(_values(child(obs, index), child), "shape", ())
    if len(shape) != 1:
        fail(f"the index of obs, {quoted(index)}, is not there")
    rows = int(shape[0])
    if rows > max_rows:
        fail(f"{rows} cells, more than the {max_rows} allowed")
    order = obs.attrs.get("column-order")
    named = [_text(each) for each in order] if order is not None else sorted(set(obs.keys()) - {index})
    columns: dict[str, Callable[[], pa.Array]] = {
        INDEX: partial(_column, fail, index, obs, child, rows, max_bytes)
    }
    for column in named:
        if column != index and not column.startswith("__"):
            columns[column] = partial(_column, fail, column, obs, child, rows, max_bytes)
    obsm = child(root, "obsm")
    for key in SPATIAL if obsm is not None else ():
        place = child(obsm, key)
        shape = getattr(place, "shape", ())
        if len(shape) == 2 and shape[0] == rows and shape[1] >= 2:
            for axis in range(min(shape[1], 3)):
                columns[f"obsm/{key}/{axis}"] = partial(_axis, fail, place, axis, max_bytes)
        for axis, column in enumerate(_named_axes(place)):
            columns[f"obsm/{key}/{axis}"] = partial(_column, fail, column, place, child, rows, max_bytes)
    if len(columns) > MOST_COLUMNS:
        fail(f"{len(columns)} columns, more than the {MOST_COLUMNS} allowed")
    names = tuple(columns)

    def fetch(wanted: Sequence[int]) -> list[pa.Array]:
        found, name = [], ""
        try:
            for name in (names[i] for i in wanted):
                found.append(columns[name]())
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            return fail(f"column {quoted(name)} cannot be read: {quoted(str(error))}")
        return found

    about = child(root, "uns")
    unit = _stated(child(about, "spatial_unit"), LONGEST_UNIT)
    notes = [] if any(n.startswith("obsm/") for n in names) else [_no_positions(obsm, child)]
    if notes and child(about, "spatialdata_attrs") is not None:
        notes.append(CENTROIDS)
    images = tuple(each for each in _images(fail, obs, about, child, named, max_bytes) if each in columns)
    return Sheet(name, form, names, rows, fetch, tuple(notes), unit=unit, images=images)


def _values(node: Any, child: Child) -> Any:
    """The array of a column without its mask."""
    return child(node, "values") if hasattr(node, "keys") else node


def _images(
    fail: Any, obs: Any, about: Any, child: Child, columns: Sequence[str], max_bytes: int
) -> list[str]:
    """Columns of obs that tell images: the ``region_key`` of SpatialData, and those of ``uns/spatial``."""
    attributes, libraries = child(about, "spatialdata_attrs"), child(about, "spatial")
    found = [_stated(child(attributes, "region_key"), LONGEST_LABEL)]
    keys = set(libraries.keys()) if hasattr(libraries, "keys") else set()
    for name in columns if len(keys) > 1 else ():
        words = _values(child(child(obs, name), "categories"), child)
        if len(getattr(words, "shape", ())) == 1 and 1 < words.shape[0] <= MOST_LIBRARIES:
            texts = _array(fail, name, words, words.shape[0], max_bytes).to_pylist()
            found += [name] if len(keys.intersection(texts)) > 1 else []
    return found


def _named_axes(place: Any) -> list[str]:
    """Columns of a table of positions named x, y and perhaps z, in this order; none if they are others."""
    order = place.attrs.get("column-order") if hasattr(place, "keys") else None
    named = {_text(each).strip().lower(): _text(each) for each in (() if order is None else order)}
    return [named[axis] for axis in sorted(named)] if set(named) in ({"x", "y"}, {"x", "y", "z"}) else []


def _no_positions(obsm: Any, child: Child) -> str:
    """What obsm holds instead of positions."""
    if obsm is None:
        return "there is no obsm"
    kinds = {key: child(obsm, key) for key in sorted(obsm.keys())}
    there = ", ".join(
        f"{quoted(key)}: {_text(node.attrs.get('encoding-type', 'array'))}"
        for key, node in list(kinds.items())[:8]
        if node is not None
    )
    return (
        "obsm has no 'spatial' with positions, an array of two or three columns or a table of the columns x "
        f"and y ({there or 'it is empty'})"
    )


def _column(fail: Any, name: str, obs: Any, child: Child, rows: int, max_bytes: int) -> pa.Array:
    """A column of obs, by its ``encoding-type``."""
    node = child(obs, name)
    if node is None:
        return fail(f"column {quoted(name)} of obs is not there")
    if hasattr(node, "shape"):
        legacy = child(obs, "__categories")
        categories = None if legacy is None else child(legacy, name)
        if categories is None:
            return _array(fail, name, node, rows, max_bytes)
        return _categorical(fail, name, node, categories, rows, max_bytes)
    kind = _text(node.attrs.get("encoding-type", ""))
    if kind == "categorical":
        words = _values(child(node, "categories"), child)
        return _categorical(fail, name, child(node, "codes"), words, rows, max_bytes)
    if kind.startswith("nullable"):
        return _masked(fail, name, node, child, rows, max_bytes)
    return fail(f"column {quoted(name)} of obs is {quoted(kind or 'a group')}, neither numbers nor text")


def _masked(fail: Any, name: str, node: Any, child: Child, rows: int, max_bytes: int) -> pa.Array:
    """Values of which a mask leaves out some."""
    values = _array(fail, name, child(node, "values"), rows, max_bytes)
    mask = child(node, "mask")
    if getattr(mask, "shape", None) != (rows,):
        return fail(f"column {quoted(name)} has no mask for its {rows} rows")
    return pa.array(values.to_pylist(), values.type, mask=np.asarray(mask[:], bool))


def _categorical(fail: Any, name: str, codes: Any, categories: Any, rows: int, max_bytes: int) -> pa.Array:
    if getattr(codes, "shape", None) != (rows,) or len(getattr(categories, "shape", ())) != 1:
        return fail(f"column {quoted(name)} of obs has no codes and categories for its {rows} rows")
    words = _array(fail, name, categories, int(categories.shape[0]), max_bytes)
    found = np.asarray(codes[:])
    if found.dtype.kind not in "iu" or (found >= len(words)).any():
        return fail(f"column {quoted(name)} of obs is damaged: codes beyond its {len(words)} categories")
    found = found.astype(np.int64)
    return pa.DictionaryArray.from_arrays(pa.array(np.maximum(found, 0), pa.int32(), mask=found < 0), words)


def _array(fail: Any, name: str, node: Any, rows: int, max_bytes: int) -> pa.Array:
    """A whole one-dimensional array."""
    if node is None or getattr(node, "shape", None) != (rows,):
        return fail(f"column {quoted(name)} has another length than the {rows} cells")
    if rows * max(node.dtype.itemsize, 1) > max_bytes:
        return fail(f"column {quoted(name)} is larger than the {max_bytes / 2**20:g} MiB allowed")
    if node.dtype.kind in "iufb":
        return pa.array(np.asarray(node[:]))
    if node.dtype.kind == "V":
        return fail(f"column {quoted(name)} holds records, neither numbers nor text")
    texts: list[str] = []
    for at in range(0, rows, TEXTS_AT_ONCE):
        part = [_text(each) for each in np.asarray(node[at : at + TEXTS_AT_ONCE], object)]
        if any(len(each) > LONGEST_LABEL for each in part):
            return fail(f"column {quoted(name)} has a text of more than {LONGEST_LABEL} characters")
        texts.extend(part)
    return pa.array(texts, pa.string())


def _axis(fail: Any, place: Any, axis: int, max_bytes: int) -> pa.Array:
    if place.dtype.kind not in "iuf" or place.shape[0] * place.dtype.itemsize > max_bytes:
        return fail("the positions in obsm are not numbers, or too many")
    return pa.array(np.asarray(place[:, axis], np.float64))


def _stated(node: Any, longest: int) -> str:
    """A text that is stored alone; "" if there is none, or a longer one."""
    try:
        value = node[()] if node is not None and node.shape == () else ""
    except (AttributeError, OSError, ValueError, TypeError):
        return ""
    text = _text(value.item() if isinstance(value, np.ndarray) else value)
    return visible(text) if len(text) <= longest else ""


def _text(value: object) -> str:
    """Text that may be stored as bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)


def read_hdf5(path: Path, max_bytes: int, max_rows: int) -> Sheet:
    """The cells of an ``.h5ad`` file; columns are read on demand."""
    import h5py

    def child(group: Any, key: str) -> Any:
        if not isinstance(group, h5py.Group) or key not in group:
            return None
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise InputError(f"{path.name}: {quoted(key)} is a link to elsewhere, which is not followed")
        node = group[key]
        if isinstance(node, h5py.Dataset) and (node.is_virtual or node.external):
            raise InputError(f"{path.name}: {quoted(key)} is stored in another file, which is not read")
        if isinstance(node, h5py.Dataset) and (packed := _unknown_filter(node)):
            raise InputError(
                f"{path.name}: {quoted(node.name.lstrip('/'))} is compressed by {packed}, which h5py cannot "
                "read here; write the file with compression='gzip'"
            )
        return node

    def opened() -> Sheet:
        return read_anndata(path.name, "h5ad", h5py.File(path, "r"), child, max_bytes, max_rows)

    try:
        return opened()
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name}: cannot be read as HDF5: {quoted(str(error))}") from None


def _unknown_filter(dataset: Any) -> str:
    """The filter of an array in HDF5 that is not available; "" if there is none."""
    from h5py import h5z

    stored = dataset.id.get_create_plist()
    filters = (stored.get_filter(i) for i in range(stored.get_nfilters()))
    for code, _, __, name in filters:
        if not h5z.filter_avail(code):
            return f"filter {code}" + (f" ({visible(_text(name))})" if name else "")
    return ""


def read_zarr(path: Path, max_bytes: int, max_rows: int) -> Sheet:
    """The cells of AnnData in a Zarr folder, or of the one table of SpatialData.

    Raises
    ------
    InputError
        If there is no table in it, or there are several.
    """
    import zarr

    if not any((path / name).is_file() for name in ZARR):
        one = "; give one of its files" if path.suffix == ".parquet" else ""
        raise InputError(f"{path.name}: is a folder and no Zarr group{one}")

    def child(group: Any, key: str) -> Any:
        return group[key] if isinstance(group, zarr.Group) and key in group else None

    try:
        root = zarr.open_group(path, mode="r")
        tables = child(root, "tables")
        if child(root, "obs") is None and tables is not None:
            names = sorted(tables.group_keys())
            if len(names) != 1:
                there = f"{len(names)} tables ({enumerated(names)})" if names else "no table"
                raise InputError(f"{path.name}: holds {there}; name one, as in {path.name}/tables/NAME")
            root = tables[names[0]]
        return read_anndata(path.name, "zarr", root, child, max_bytes, max_rows)
    except InputError:
        raise
    except Exception as error:  # zarr has no common base for what it raises on damaged files
        what = f"{type(error).__name__}: {error}"
        raise InputError(f"{path.name}: cannot be read as Zarr: {quoted(what)}") from None


UNPACKED = 4
"""Largest ratio of the declared unpacked size of a file to its packed size."""


def read_flat(
    source: str | Path | pa.NativeFile, columns: Sequence[str] | None, most_values: int, most_bytes: int
) -> pa.Table:
    """Columns of a Parquet file (all if None), not larger in memory than they may be; text as dictionaries.

    A few bytes can encode any number of rows, or a long text in each: the declared size is checked before
    reading, and the length of texts before rows are constructed.

    Raises
    ------
    ValueError
        If there are more values, bytes or longer texts, or a column is nested.
    """
    parquet = pq.ParquetFile(source)
    about, fields = parquet.metadata, list(parquet.schema_arrow)
    # Metadata of columns are not accessed: if damaged, they abort the process (pyarrow 26).
    groups = [about.row_group(i) for i in range(about.num_row_groups)]
    rows = max(about.num_rows, sum(group.num_rows for group in groups))
    wanted = [field for field in fields if columns is None or field.name in columns]
    if rows * len(wanted) > most_values:
        raise ValueError(f"{rows} rows of {len(wanted)} columns, more than the {most_values} values allowed")
    nested = next((field for field in wanted if pa.types.is_nested(field.type)), None)
    if nested is not None:
        raise ValueError(f"column {nested.name!r} holds {nested.type}, neither numbers nor text")
    names = {field.name for field in wanted}
    size = sum(group.total_byte_size for group in groups)
    if size > most_bytes:
        raise ValueError(f"{size / 2**20:.3g} MiB unpacked, more than the {most_bytes / 2**20:g} MiB allowed")
    stored = (parquet.schema.column(i) for i in range(about.num_columns))
    text = [column.path for column in stored if column.physical_type == "BYTE_ARRAY"]
    parquet = pq.ParquetFile(
        source, read_dictionary=sorted(names.intersection(text)), page_checksum_verification=True
    )
    table = parquet.read(columns=sorted(names), use_threads=False)
    for name, column in zip(table.column_names, table.columns, strict=True):
        for chunk in column.chunks if pa.types.is_dictionary(column.type) else ():
            if (pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0) > 4 * LONGEST_LABEL:
                raise ValueError(f"column {name!r} has a text of more than {LONGEST_LABEL} characters")
    return table


MAGIC = b"PAR1"


def read_parquet(name: str, data: bytes, max_bytes: int, max_rows: int) -> Sheet:
    """A Parquet file as a sheet; columns are read on demand."""

    def fetch(wanted: Sequence[int]) -> list[pa.Array]:
        columns = [names[i] for i in wanted]
        try:
            table = read_flat(
                pa.BufferReader(data), sorted(set(columns)), max_rows * len(columns), UNPACKED * max_bytes
            )
            chunks = [table.column(column) for column in columns]
            found = [c.unify_dictionaries().combine_chunks() for c in chunks]
            return [c.chunk(0) if isinstance(c, pa.ChunkedArray) else c for c in found]
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise InputError(f"{name}: cannot be read as Parquet: {quoted(str(error))}") from None

    try:
        parquet = pq.ParquetFile(pa.BufferReader(data))
        names, rows = list(parquet.schema_arrow.names), parquet.metadata.num_rows
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise InputError(f"{name}: cannot be read as Parquet: {quoted(str(error))}") from None
    if len(names) > MOST_COLUMNS:
        raise InputError(f"{name}: {len(names)} columns, more than the {MOST_COLUMNS} allowed")
    return Sheet(name, "parquet", tuple(names), rows, fetch)
