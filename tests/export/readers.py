"""What other programs read in a file must be what the run's own tables say: values, places and directions.

Every check takes a run folder and a file that was exported from it, and needs nothing of exoabm, so that it
also runs where only the other program is installed; see ``benchmarks/open_exports.sh``:

    python readers.py NAME RUN FILE
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq


def table(run: Path, name: str) -> pd.DataFrame:
    return pq.read_table(run / f"{name}.parquet").to_pandas()


def at_the_end(run: Path) -> pd.DataFrame:
    cells, end = table(run, "cells"), table(run, "metrics")["time_h"].max() * 3600
    return cells[np.isclose(cells["time_s"], end)]


def all_cells(run: Path) -> pd.DataFrame:
    """All cells that ever were, by birth."""
    return table(run, "lineage") if (run / "lineage.parquet").exists() else at_the_end(run)


def kinds(run: Path) -> list[str]:
    return list(dict.fromkeys(table(run, "cells_by_kind")["vesicle_kind"]))


def truth(run: Path, file: Path) -> None:
    import anndata

    found, cells, edges = anndata.read_h5ad(file), at_the_end(run), table(run, "edges")
    assert list(found.obs_names) == [f"cell_{cell}" for cell in cells["cell"]]
    assert list(found.obs["cell_type"]) == list(cells["cell_type"])
    row = {cell: i for i, cell in enumerate(cells["cell"])}
    alive = edges[edges["donor"].isin(row) & edges["recipient"].isin(row)]
    for name, count in (("internalized", "taken_up"), ("delivered", "delivered")):
        expected = np.zeros((len(row), len(row)))
        for sender, receiver, vesicles in zip(alive["donor"], alive["recipient"], alive[count], strict=True):
            expected[row[sender], row[receiver]] += vesicles
        np.testing.assert_allclose(found.obsp[f"true_{name}"].toarray(), expected, rtol=1e-12)
    pairs = found.uns["ligand_receptor"]
    assert list(pairs.columns) == ["ligand", "receptor", "pathway", "true"]
    assert {*pairs["ligand"], *pairs["receptor"]} <= {*found.var_names}
    assert len(pairs) == 2 * pairs["true"].sum()  # one decoy for each
    np.testing.assert_allclose(found.X, np.log1p(found.layers["counts"]))
    order = [list(found.uns["cell_types"]).index(name) for name in found.obs["true_type"]]
    member = np.eye(len(found.uns["cell_types"]))[order]
    by_type = member.T @ found.obsp["true_internalized"].toarray() @ member
    np.testing.assert_allclose(found.uns["internalized_by_type"], by_type, rtol=1e-9)


def anndata(run: Path, file: Path) -> None:
    import anndata

    if file.name.endswith("truth.h5ad"):
        truth(run, file)
        return
    found, cells, edges = anndata.read_h5ad(file), all_cells(run), table(run, "edges")
    assert list(found.obs_names) == [f"cell_{cell}" for cell in cells["cell"]]
    assert list(found.obs["cell_type"]) == list(cells["cell_type"])
    assert found.obs["cell_type"].dtype == "category"
    place = cells[["x_um", "y_um", "z_um"]].to_numpy()
    np.testing.assert_array_equal(found.obsm["spatial"], place[:, : found.obsm["spatial"].shape[1]])
    assert found.uns["spatial_unit"] == "um"
    row = {cell: i for i, cell in enumerate(cells["cell"])}
    between = edges[edges["donor"].notna()]
    by_cell = pq.read_schema(run / "edges.parquet").metadata[b"resolution"] == b"cell"
    assert bool(found.obsp.keys()) == by_cell == bool(len(between))
    for count in ("encountered", "taken_up", "delivered") if by_cell else ():
        for name, mine in (
            (count, between),
            *((f"{count}[{k}]", between[between["vesicle_kind"] == k]) for k in kinds(run)),
        ):
            expected = np.zeros((len(row), len(row)))
            for sender, receiver, vesicles in zip(mine["donor"], mine["recipient"], mine[count], strict=True):
                expected[row[sender], row[receiver]] += vesicles
            matrix = found.obsp[name].toarray()
            np.testing.assert_allclose(matrix, expected, rtol=1e-12)
            assert not np.allclose(matrix, matrix.T) or not matrix.any()
    for kind in kinds(run):
        mine = edges[edges["vesicle_kind"] == kind]
        taken = mine.groupby("recipient")["taken_up"].sum().reindex(cells["cell"], fill_value=0)
        np.testing.assert_allclose(found.obs[f"taken_up[{kind}]"], taken, rtol=1e-12)
        of = found.obsm[f"taken_up_from[{kind}]"]
        np.testing.assert_allclose(of.sum(axis=1), taken, rtol=1e-12)
        for donor_type in of.columns:
            one = mine[mine["donor_type"] == donor_type].groupby("recipient")["taken_up"].sum()
            np.testing.assert_allclose(of[donor_type], one.reindex(cells["cell"], fill_value=0), rtol=1e-12)
    for cargo in found.var_names:
        brought = table(run, "edges_by_cargo").query("cargo == @cargo")
        copies = brought.groupby("recipient")["copies_delivered"].sum()
        np.testing.assert_allclose(
            found[:, cargo].X[:, 0], copies.reindex(cells["cell"], fill_value=0), rtol=1e-12
        )
    if "source_id" in found.obs:
        given = table(run, "cells").query("time_s == 0").set_index("cell")["source_id"].to_dict()
        ids = found.obs["source_id"].astype(object)
        assert [None if pd.isna(each) else each for each in ids] == [
            given.get(cell) for cell in cells["cell"]
        ]


def ome_zarr(run: Path, file: Path) -> None:
    import zarr
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    fields = zarr.open_group(run / "fields.zarr", mode="r")
    image = next(iter(Reader(parse_url(file, mode="r"))()))
    nodes = Reader(parse_url(file / "labels" / "cells", mode="r"))()  # the image is one of them
    (cells,) = [node for node in nodes if node.metadata.get("name") == "cells"]
    assert [axis["name"] for axis in image.metadata["axes"]] == ["t", "c", *fields.attrs["axes"][3:]]
    of = np.array(fields.attrs["label_types"])
    for c, name in enumerate(image.metadata["channel_names"]):
        kind, _, donor_type = name.partition(" from ")
        mine = of == donor_type if donor_type else slice(None)
        expected = fields["concentration"][:, kinds(run).index(kind)][:, mine].sum(axis=1, dtype=float)
        np.testing.assert_allclose(image.data[0][:, c].compute(), expected, rtol=1e-6)
    (level,) = cells.metadata["coordinateTransformations"]
    scale, first = (np.array(each[key]) for each, key in zip(level, ("scale", "translation"), strict=True))
    labels, of_cell, hits = cells.data[0].compute(), at_the_end(run).set_index("cell"), 0
    for index in np.argwhere(labels[-1] > 0):
        at = first[1:] + scale[1:] * index
        cell = of_cell.loc[labels[-1][tuple(index)] - 1]
        place = [cell[f"{axis['name']}_um"] for axis in cells.metadata["axes"][1:]]
        assert np.abs(at - place).max() <= 7.5  # the largest radius, more than half a voxel
        hits += 1
    assert hits


def simulariumio(run: Path, file: Path) -> None:
    from simulariumio import FileConverter, InputFileData

    data = FileConverter(InputFileData(str(file)))._data
    agents, cells, metrics = data.agent_data, table(run, "cells"), table(run, "metrics")
    assert (data.spatial_units.name, data.spatial_units.magnitude) == ("µm", 1.0)
    assert (data.time_units.name, data.time_units.magnitude) == ("s", 1.0)
    np.testing.assert_allclose(agents.times, metrics["time_h"] * 3600)
    box = np.array(data.meta_data.box_size)
    vesicles = "vesicle" in (events := table(run, "events")) and events["vesicle"].notna().any()
    low = np.array([*zarr_attributes(run)["origin_um"]])
    ends = {"degradation", "delivery", "clearance", "escape"}
    dead = (
        table(run, "lineage")
        if (run / "lineage.parquet").exists()
        else pd.DataFrame({"cell": [], "died_s": []})
    )
    for frame, time in enumerate(agents.times):
        n, types = int(agents.n_agents[frame]), np.array(agents.types[frame][: int(agents.n_agents[frame])])
        places = agents.positions[frame][:n] + low + box / 2
        last = cells[cells["time_s"] == cells["time_s"][cells["time_s"] <= time + 1e-6].max()]
        last = last[~last["cell"].isin(dead["cell"][dead["died_s"] <= time + 1e-6])]
        mine = ["#" not in name for name in types]
        assert list(types[mine]) == list(last["cell_type"])
        np.testing.assert_allclose(places[mine], last[["x_um", "y_um", "z_um"]], atol=1e-5)
        if vesicles:
            there = events[events["time_s"] <= time + 1e-3].groupby("vesicle", sort=False).last()
            there = there[~there["event"].isin(ends)]
            found, expected = places[[not m for m in mine]], there[["x_um", "y_um", "z_um"]].to_numpy()
            order, other = np.lexsort(np.round(found * 64).T), np.lexsort(np.round(expected * 64).T)
            np.testing.assert_allclose(found[order], expected[other], atol=1e-4)
            assert len(set(agents.unique_ids[frame][:n])) == n


def pyvista(run: Path, file: Path) -> None:
    import pyvista

    found = pyvista.read(file)
    end = table(run, "metrics")["time_h"].max() * 3600
    np.testing.assert_allclose(found.field_data["TimeValue"], end)
    if file.suffix == ".vtp":
        cells = at_the_end(run)
        np.testing.assert_array_equal(found.points, cells[["x_um", "y_um", "z_um"]])
        assert found.n_verts == len(cells)
        for name in {*cells} - {"time_s", "x_um", "y_um", "z_um"}:
            expected = cells[name].astype(object).where(cells[name].notna(), "").tolist()
            assert list(found.point_data[name]) == expected, name
        return
    about = zarr_attributes(run)
    donors = np.array(about["label_types"])
    shape = json.loads((run / "fields.zarr/concentration/zarr.json").read_text())["shape"][3:]
    assert found.dimensions == tuple(n + 1 for n in [*shape[::-1], 1][:3])
    np.testing.assert_allclose(found.origin, about["origin_um"])
    width = [about["voxel_um"]] * len(shape) + [about.get("thickness_um")]
    np.testing.assert_allclose(found.spacing, width[:3])
    last = field_of(run, kinds(run)[0])
    for donor_type in dict.fromkeys(about["label_types"]):
        mine = last[donors == donor_type].sum(axis=0).ravel()
        name = f"{kinds(run)[0]}_per_mL from {donor_type}"
        np.testing.assert_allclose(found.cell_data[name], mine, rtol=1e-6)
    # The value at a place, as ParaView would probe it, is that of the voxel around it.
    whole = last.sum(axis=0)
    index = np.unravel_index(whole.argmax(), whole.shape)
    place = np.array(found.origin) + np.array(found.spacing) / 2
    place[: len(shape)] += about["voxel_um"] * np.array(index[::-1])
    at = found.find_containing_cell(place)
    np.testing.assert_allclose(found.cell_data[f"{kinds(run)[0]}_per_mL"][at], whole.max(), rtol=1e-6)


def xarray(run: Path, file: Path) -> None:
    import xarray

    about, end = zarr_attributes(run), table(run, "metrics")["time_h"].max()
    with xarray.open_zarr(file) as found:
        axes = about["axes"][3:]
        assert found["concentration"].dims == ("time", "vesicle_kind", "label", *axes)
        assert not found["concentration"].isnull().any()
        for axis in axes:
            first = about["origin_um"]["xyz".index(axis)] + about["voxel_um"] / 2
            expected = first + about["voxel_um"] * np.arange(found.sizes[axis])
            np.testing.assert_allclose(found[axis], expected)
            assert found[axis].attrs["units"] == "um"
        assert found["time"].attrs["units"] == "h"
        assert float(found["time"][-1]) == end
        last = table(run, "metrics_by_kind").groupby("vesicle_kind", observed=True).last()
        for kind in kinds(run):
            mean = float(found["concentration"][-1].sel(vesicle_kind=kind).sum("label").mean())
            np.testing.assert_allclose(mean, last.loc[kind, "mean_concentration_per_mL"], rtol=1e-5)
            np.testing.assert_array_equal(
                found["concentration"][-1].sel(vesicle_kind=kind), field_of(run, kind)
            )


def field_of(run: Path, kind: str) -> np.ndarray:
    """Vesicles/mL at the end, (label, [z,] y, x)."""
    import zarr

    return zarr.open_group(run / "fields.zarr", mode="r")["concentration"][-1, kinds(run).index(kind)].astype(
        float
    )


def zarr_attributes(run: Path) -> dict[str, Any]:
    return json.loads((run / "fields.zarr" / "zarr.json").read_text())["attributes"]


CHECKS = {
    "anndata": anndata,
    "ome_zarr": ome_zarr,
    "pyvista": pyvista,
    "simulariumio": simulariumio,
    "xarray": xarray,
}

if __name__ == "__main__":
    name, run, file = sys.argv[1:]
    CHECKS[name](Path(run), Path(file))
    version = __import__("importlib.metadata").metadata.version(name)
    print(f"{name} {version}: {Path(file).name} says what {Path(run).name} says")
