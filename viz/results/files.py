"""Files of the run on the page, as bytes: tables, pictures, its scenario and its run folder."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv

from exoabm.errors import InputError, ResourceError
from exoabm.runs.run_execution import draw_picture, run_to_folder
from exoabm.viz.drawings.communication_views import VIEWS
from exoabm.viz.drawings.svg import PRINT

if TYPE_CHECKING:
    from exoabm.model import ExosomeModel
    from exoabm.scenario.loader import LoadedScenario
    from exoabm.viz.results.communication_data import CommunicationData

MOST_BYTES = 64 << 20
"""Of a zipped run folder; a larger one is made on the command line."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip archive can tell, so that the same run gives the same archive."""


def metrics_csv(model: ExosomeModel) -> bytes:
    """The time series, the metrics of the run folder side by side, and a last row of this moment."""
    from exoabm.output.metrics import measure

    rows = list(model.history.rows)
    if not rows or rows[-1]["time_h"] < model.state.time / 3600:
        rows.append(measure(model.state))
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return _csv(pa.Table.from_pylist([{key: row.get(key) for key in columns} for row in rows]))


def edges_csv(model: ExosomeModel) -> bytes:
    """Who sent what to whom: ``edges.parquet`` of the run folder."""
    return _csv(model.edges)


def png(model: ExosomeModel) -> bytes:
    """The picture of the run folder, ``preview.png``: field, cells, mass balance and reach on one page."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "preview.png"
        draw_picture(model, path)
        return path.read_bytes()


def svg(links: CommunicationData, view: str, count: str) -> bytes:
    """A communication panel as a drawing that stands alone."""
    draw = next(p.draw for p in VIEWS if p.key == view)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + draw(links, count, PRINT).encode()


def scenario_toml(loaded: LoadedScenario, folder: str = "") -> bytes:
    """The scenario with every default filled in and every source named; a table of cells by its place."""
    import tomli_w

    data = loaded.resolved()
    head = f"# {loaded.name}, as it ran on the page.\n"
    if data["layout"].get("table"):
        name = folder + Path(data["layout"]["table"]).name
        data["layout"]["table"] = name
        head += f"# Its cells are in {name}, which must be placed beside this file.\n"
    return (head + "\n" + tomli_w.dumps(data)).encode()


def run_zip(loaded: LoadedScenario, seed: int, hours: float) -> bytes:
    """The run folder up to this hour, zipped, with the scenario as it can be run again.

    Raises
    ------
    InputError
        If no time has passed.
    ResourceError
        If the archive would be larger than ``MOST_BYTES``.
    """
    if hours <= 0:
        raise InputError("no time has passed yet: press Go first")
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "run"
        run_to_folder(loaded, folder, seed=seed, hours=hours)
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            _put(archive, "scenario.toml", scenario_toml(loaded, "run/table/"))
            for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                _put(archive, f"run/{path.relative_to(folder).as_posix()}", path.read_bytes())
                if target.tell() > MOST_BYTES:
                    raise ResourceError(
                        f"the run folder is larger than the {MOST_BYTES >> 20} MiB that a page hands out; "
                        "make it on the command line: exoabm run"
                    )
        return target.getvalue()


def _put(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, EPOCH), data, zipfile.ZIP_DEFLATED)


def _csv(table: pa.Table) -> bytes:
    fields = [f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in table.schema]
    target = io.BytesIO()
    pa.csv.write_csv(table.cast(pa.schema(fields)), target)
    return target.getvalue()
