"""AnnData in a Zarr folder, alone or among the tables of SpatialData."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exoabm.errors import InputError
from exoabm.readers.sheet import Sheet
from exoabm.readers.store import read_anndata
from exoabm.readers.words import listed, short


def read_zarr(path: Path, max_bytes: int, max_rows: int) -> Sheet:
    """The cells of AnnData in a Zarr folder, or of the one table of SpatialData.

    Raises
    ------
    InputError
        If there is no table in it, or there are several.
    """
    import zarr

    def child(group: Any, key: str) -> Any:
        return group[key] if isinstance(group, zarr.Group) and key in group else None

    try:
        root = zarr.open_group(path, mode="r")
        tables = child(root, "tables")
        if child(root, "obs") is None and tables is not None:
            names = sorted(tables.group_keys())
            if len(names) != 1:
                there = f"{len(names)} tables ({listed(names)})" if names else "no table"
                raise InputError(f"{path.name}: holds {there}; name one, as in {path.name}/tables/NAME")
            root = tables[names[0]]
        return read_anndata(path.name, "zarr", root, child, max_bytes, max_rows)
    except InputError:
        raise
    except Exception as error:  # zarr has no common base for what it raises on damaged files
        what = f"{type(error).__name__}: {error}"
        raise InputError(f"{path.name}: cannot be read as Zarr: {short(what)}") from None
