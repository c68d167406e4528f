"""AnnData's encodings in HDF5: every element says by two attributes what it is, in which version.

After https://anndata.readthedocs.io/en/stable/fileformat-prose.html; anndata 0.10 and later read them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_array

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import h5py

INDEX = "_index"


def say(node: Any, kind: str, version: str) -> None:
    """Say what an element is."""
    node.attrs["encoding-type"], node.attrs["encoding-version"] = kind, version


def put(parent: h5py.Group, name: str, value: Any) -> None:
    """Write an element: a dict, a column of Arrow, an array, texts, a sparse matrix, a text or a number."""
    if isinstance(value, dict):
        group = parent.create_group(name)
        say(group, "dict", "0.1.0")
        for key, each in value.items():
            put(group, key, each)
    elif isinstance(value, csr_array):
        _sparse(parent.create_group(name), value)
    elif isinstance(value, pa.ChunkedArray):
        _column(parent, name, value)
    elif isinstance(value, str):
        parent.create_dataset(name, data=value, dtype=_text())
        say(parent[name], "string", "0.2.0")
    elif isinstance(value, list):
        parent.create_dataset(name, data=np.array(value, dtype=object), dtype=_text())
        say(parent[name], "string-array", "0.2.0")
    elif np.ndim(value) == 0:
        parent.create_dataset(name, data=value)
        say(parent[name], "numeric-scalar", "0.2.0")
    else:
        parent.create_dataset(name, data=value)
        say(parent[name], "array", "0.2.0")


def put_frame(parent: h5py.Group, name: str, index: Sequence[str], columns: Mapping[str, Any]) -> None:
    """Write a table with names of its rows."""
    group = parent.create_group(name)
    say(group, "dataframe", "0.2.0")
    group.attrs["_index"] = INDEX
    group.attrs.create("column-order", np.array(list(columns), dtype=object), dtype=_text())
    put(group, INDEX, list(index))
    for key, column in columns.items():
        put(group, key, column)


def _column(parent: h5py.Group, name: str, column: pa.ChunkedArray) -> None:
    """A column of Arrow; text of which some is missing, and words of few kinds, as codes and categories."""
    text = pa.types.is_string(column.type)
    if pa.types.is_dictionary(column.type) or (text and column.null_count):
        _categorical(parent.create_group(name), column)
    elif text:
        put(parent, name, column.to_pylist())
    elif pa.types.is_integer(column.type) and column.null_count:
        group = parent.create_group(name)
        say(group, "nullable-integer", "0.1.0")
        put(group, "values", np.asarray(pc.fill_null(column, 0)))
        put(group, "mask", np.asarray(pc.is_null(column)))
    else:
        put(parent, name, np.asarray(column))  # a missing number is NaN


def _categorical(group: h5py.Group, column: pa.ChunkedArray) -> None:
    """Codes, -1 for none, and categories in the order of the alphabet, of which each occurs."""
    texts = column.cast(pa.string())
    words = sorted(word for word in pc.unique(texts).to_pylist() if word is not None)
    codes = pc.fill_null(pc.index_in(texts, pa.array(words, pa.string())), -1)
    say(group, "categorical", "0.2.0")
    group.attrs["ordered"] = False
    put(group, "codes", np.asarray(codes, np.int32))
    put(group, "categories", words)


def _sparse(group: h5py.Group, matrix: csr_array) -> None:
    say(group, "csr_matrix", "0.1.0")
    group.attrs["shape"] = np.array(matrix.shape, np.int64)
    for name in ("data", "indices", "indptr"):
        group.create_dataset(name, data=getattr(matrix, name))


def _text() -> Any:
    import h5py

    return h5py.string_dtype()
