"""File format of a table, by its first bytes, and its hash.

The readers, and pyarrow with them, are imported when a table is read.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from exoabm.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from exoabm.readers.options import TableOptions
    from exoabm.readers.table import Sheet

HDF5 = b"\x89HDF\r\n\x1a\n"
HDF5_USER_BLOCKS = (0, 512, 1024, 2048)
"""Bytes at which HDF5 may begin."""
FORMATS = ("auto", "csv", "parquet", "h5ad", "zarr", "physicell-v1", "physicell-v2")
_SHEET = "a spreadsheet; save the sheet as CSV"
_IMAGE = "an image; measure its labels, as with skimage.measure.regionprops_table, and use that table"
_ARROW = "Arrow; save it as Parquet"
_PHYSICELL = "output of PhysiCell; save x, y, z and type of its cells as CSV"
OTHERS = {
    ".xlsx": _SHEET, ".xls": _SHEET, ".ods": _SHEET,
    ".tif": _IMAGE, ".tiff": _IMAGE, ".png": _IMAGE,
    ".geojson": "GeoJSON; export the measurements of the cells as a table instead",
    ".feather": _ARROW, ".arrow": _ARROW, ".ipc": _ARROW,
    ".xml": _PHYSICELL, ".mat": _PHYSICELL,
    ".h5mu": "MuData; write the modality with the cells as .h5ad",
    ".rds": "an object of R; save its table of cells as CSV",
}  # fmt: skip
"""What files with other extensions are, and how a table is made of them."""
SPREADSHEETS = {".xls": (b"\xd0\xcf\x11\xe0", b"PK\x03\x04")}
"""First bytes, OLE2 or ZIP, of spreadsheets with an extension that instruments also give to texts."""
TABLES = (".csv", ".tsv", ".txt", ".gz", ".zip", ".parquet", ".h5ad", ".zarr")
"""Extensions by which the command line distinguishes tables from scenarios."""


def is_table(text: str) -> bool:
    """Whether a name given by a user is that of a table of cells."""
    try:
        path = Path(text)
        if path.suffix.lower() not in TABLES and not any(p.suffix == ".zarr" for p in path.parents):
            return False
        return path.is_file() or (path.is_dir() and not (path / "run.json").is_file())
    except (OSError, ValueError):
        return False


def refuse_other(name: str, start: bytes) -> None:
    """Refuse a file whose extension is of a format that holds neither a table nor a scenario.

    Where texts have the extension, too, as ``.xls``, its first bytes decide.
    """
    suffix = Path(name).suffix.lower()
    if suffix in OTHERS and start.startswith(SPREADSHEETS.get(suffix, b"")):
        raise InputError(f"{name}: is {OTHERS[suffix]}")


def open_sheet(path: Path, options: TableOptions, max_bytes: int, max_cells: int) -> Sheet:
    """The table in a file or in a Zarr folder.

    Raises
    ------
    InputError
        If there is none, or it cannot be read; names the file.
    """
    from exoabm.readers.binary_table import read_hdf5, read_zarr

    if options.format not in FORMATS:
        raise InputError(f"{path.name}: format {options.format!r}: one of {', '.join(FORMATS)}")
    try:
        if path.is_dir():
            return read_zarr(path, max_bytes, max_cells)
        if not path.is_file():  # nor a pipe or a device
            near = did_you_mean(path.name, [p.name for p in path.parent.glob("*.*")])
            raise InputError(f"{path}: there is no such file{near}")
        with path.open("rb") as stream:
            start = stream.read(4096)
            if options.format == "auto":
                refuse_other(path.name, start)
            if any(start[at : at + len(HDF5)] == HDF5 for at in HDF5_USER_BLOCKS):
                return read_hdf5(path, max_bytes, max_cells)
            if path.stat().st_size > max_bytes:
                raise InputError(f"{path.name}: larger than the {max_bytes / 2**20:g} MiB allowed")
            data = start + stream.read()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    return sheet_of(path.name, data, options, max_bytes, max_cells)


def sheet_of(name: str, data: bytes, options: TableOptions, max_bytes: int, max_cells: int) -> Sheet:
    """The table in the bytes of a text or Parquet file."""
    from exoabm.readers.binary_table import MAGIC, read_parquet
    from exoabm.readers.text_table import (
        PHYSICELL_COLUMNS,
        decode,
        is_physicell,
        read_physicell,
        read_text,
    )

    if options.format == "parquet" or (options.format == "auto" and data.startswith(MAGIC)):
        return read_parquet(name, data, max_bytes, max_cells)
    if options.format in ("h5ad", "zarr"):
        raise InputError(f"{name}: is not a file of the format {options.format!r}")
    if options.format in ("auto", "physicell-v1", "physicell-v2"):
        text = decode(name, data, max_bytes)
        form = options.format if options.format != "auto" else is_physicell(text)
        own = dict(zip(("x", "y", "z", "cell_type"), PHYSICELL_COLUMNS, strict=True))
        header = [field.strip() for field in text.data.split(b"\n", 1)[0].decode().split(",")][:4]
        if form == "physicell-v2":
            own = dict(zip(own, header, strict=False))
        elif form:
            own = {}
        if form and own.items() >= options.named.items():
            return read_physicell(text, form, max_cells)
        if options.format != "auto":
            raise InputError(f"{name}: columns of a PhysiCell table are read by position and cannot be named")
    return read_text(name, data, max_bytes, max_cells)


def fingerprint(path: Path) -> str:
    """SHA-256 of a table's file; of HDF5 and Zarr, whose matrices are not read, of the columns of cells."""
    from exoabm.readers.binary_table import read_hdf5, read_zarr

    if path.is_dir():
        return content_of(read_zarr(path, 1 << 62, 1 << 62))
    with path.open("rb") as stream:
        start = stream.read(4096)
        if any(start[at : at + len(HDF5)] == HDF5 for at in HDF5_USER_BLOCKS):
            return content_of(read_hdf5(path, 1 << 62, 1 << 62))
        stream.seek(0)
        return hashlib.file_digest(stream, "sha256").hexdigest()


def content_of(sheet: Sheet) -> str:
    """SHA-256 of every column of a table, name after name."""
    import pyarrow as pa

    digest = hashlib.sha256(repr((sheet.names, sheet.rows)).encode())
    for name, column in zip(sheet.names, sheet.fetch(range(len(sheet.names))), strict=True):
        digest.update(pa.RecordBatch.from_arrays([column], [name]).serialize())
    return digest.hexdigest()
