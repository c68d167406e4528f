"""Places of results: a folder of the caller's or a temporary one, and copies that are whole or absent."""

from __future__ import annotations

import contextlib
import os
import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from exoabm.api.plots import Plots
from exoabm.manifest import MANIFEST, listed, seal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from exoabm.export.type_exchange import Exchange


def place_of(out: str | Path | None, name: str) -> tuple[Any, Path]:
    """The folder for results, and the temporary one that holds it if none was named."""
    if out is not None:
        return None, Path(out)
    home = tempfile.TemporaryDirectory(prefix="exoabm-")
    return home, Path(home.name) / name


def save_folder(source: Path, to: Path, *, overwrite: bool = False) -> None:
    """Copy a folder of results, whole or not at all.

    One is replaced that holds nothing but files of the same names, or of its manifest.

    Raises
    ------
    InputError
        If something stands there that may not be replaced, or it cannot be written.
    RunFailed
        If the disk is full.
    """
    from exoabm.output.durable_files import atomic_folder, check_new, folder_errors
    from exoabm.runs.input_tables import copy

    if os.path.lexists(to):
        ours = {path.name for path in source.iterdir()} | {name.partition("/")[0] for name in listed(to)}
        results = to.is_dir() and {path.name for path in to.iterdir()} <= ours | {MANIFEST}
        check_new(to, overwrite=overwrite and results)
    with folder_errors(to.parent, to), atomic_folder(to, overwrite=overwrite) as partial:
        copy(source, partial)


@contextlib.contextmanager
def saved_folder(to: Path, names: Collection[str], *, overwrite: bool = False) -> Iterator[Path]:
    """A folder to fill with files of these names, put in place whole or not at all; see ``save_folder``."""
    from exoabm.output.durable_files import atomic_folder, check_room, folder_errors

    check_room(to, {*names, MANIFEST}, overwrite=overwrite)
    with folder_errors(to.parent, to), atomic_folder(to, overwrite=overwrite) as partial:
        yield partial
        seal(partial)


def save_json(data: Any, to: Path, *, overwrite: bool = False) -> Path:
    """Write plain data as JSON, whole or not at all; see ``save_folder``."""
    from exoabm.output.durable_files import check_new, write_json, writing_into

    check_new(to, overwrite=overwrite and to.is_file())
    with writing_into(to.parent, to):
        write_json(to, data)
    return to


class Saved(Plots):
    """What a run, a sweep and a trial share: a folder, which is copied, exported and plotted.

    Attributes
    ----------
    folder : Path
    notes : tuple of str
    """

    folder: Path
    notes: tuple[str, ...]

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Self:
        """Copy the folder to a place of its own, and return what is there.

        Raises
        ------
        InputError
            If something stands there.
        """
        save_folder(self.folder, Path(folder), overwrite=overwrite)
        return type(self)(folder, notes=self.notes)  # type: ignore[call-arg]

    def export(self, to: str | Path, format: str | None = None, *, overwrite: bool = False) -> list[Path]:  # noqa: A002
        """Write all tables into a folder, or the results in the format of another program; return the files.

        Parameters
        ----------
        to : str or Path
            A folder for tables; a name with the ending of a format, such as ``run.h5ad`` or ``cells.vtp``; a
            ``.toml`` file for the scenario of a run.
        format : str, optional
            ``"csv"`` (by default), ``"json"``, ``"arrow"`` or ``"numpy"`` for tables, or a format's name.
        overwrite : bool

        Examples
        --------
        >>> import exoabm as xo
        >>> run = xo.run("two_cells", {"clock.step": "10 min"}, seed=1, hours=1)
        >>> [path.name for path in run.export("first.graphml")]
        ['first.graphml']
        """
        from exoabm.export.export import export

        return export(self.folder, to, format, overwrite=overwrite)[0]

    @cached_property
    def _exchange(self) -> Exchange:
        from exoabm.export.type_exchange import exchange_of

        return exchange_of(str(self.folder))
