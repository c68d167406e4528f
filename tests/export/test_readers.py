"""Every export is opened by a program that is not ours, where that is installed.

``benchmarks/open_exports.sh`` installs all of them and does the same; the formats' own tests need none.
"""

from __future__ import annotations

import pytest
import readers

from exoabm.export.export import export_format
from exoabm.export.formats import format_of

EXPORTS = {
    "anndata": ("a.h5ad",),
    "ome_zarr": ("a.ome.zarr",),
    "pyvista": ("a.vti", "a.vtp"),
    "simulariumio": ("a.simularium",),
}


@pytest.mark.parametrize("run", ["continuum", "living", "types"])
@pytest.mark.parametrize("name", readers.CHECKS)
def test_another_program_reads_what_the_run_says(finished, tmp_path, name, run) -> None:
    pytest.importorskip(name, reason=f"{name} is not installed; benchmarks/open_exports.sh does this with it")
    folder = finished(run).folder
    if name == "xarray":
        readers.xarray(folder, folder / "fields.zarr")
    for file in EXPORTS.get(name, ()):
        to = export_format(folder, tmp_path / file, format_of(tmp_path / file))
        readers.CHECKS[name](folder, to)
