"""AnnData's ``.h5ad``: HDF5, in which a link may lead to another file, round in a circle, or nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exoabm.errors import InputError
from exoabm.readers.sheet import Sheet
from exoabm.readers.store import read_anndata
from exoabm.readers.words import short


def read_hdf5(path: Path, max_bytes: int, max_rows: int) -> Sheet:
    """The cells of an ``.h5ad`` file; the file is opened anew whenever columns are asked for."""
    import h5py

    def child(group: Any, key: str) -> Any:
        if not isinstance(group, h5py.Group) or key not in group:
            return None
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise InputError(f"{path.name}: {short(key)} is a link to elsewhere, which is not followed")
        node = group[key]
        if isinstance(node, h5py.Dataset) and (node.is_virtual or node.external):
            raise InputError(f"{path.name}: {short(key)} keeps its values in another file, which is not read")
        return node

    def opened() -> Sheet:
        return read_anndata(path.name, "h5ad", h5py.File(path, "r"), child, max_bytes, max_rows)

    try:
        return opened()
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name}: cannot be read as HDF5: {short(str(error))}") from None
