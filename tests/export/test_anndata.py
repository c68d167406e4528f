"""``.h5ad``: the structure that anndata's description asks for, and the numbers of the run in it."""

from __future__ import annotations

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from exoabm.export.export import export_format
from exoabm.export.formats import format_of
from exoabm.readers.cell_table import read_cells
from exoabm.readers.options import TableOptions

ENCODINGS = {
    "anndata": "0.1.0", "array": "0.2.0", "categorical": "0.2.0", "csr_matrix": "0.1.0", "dataframe": "0.2.0",
    "dict": "0.1.0", "nullable-integer": "0.1.0", "numeric-scalar": "0.2.0", "string": "0.2.0",
    "string-array": "0.2.0",
}  # fmt: skip
"""Those of anndata 0.8 to 0.12."""


@pytest.fixture(scope="module")
def opened(finished, tmp_path_factory):
    """The run of a name, and its file."""
    made = {}

    def get(name):
        if name not in made:
            to = tmp_path_factory.mktemp("h5ad") / f"{name}.h5ad"
            made[name] = h5py.File(export_format(finished(name).folder, to, format_of(to)), "r")
        return finished(name), made[name]

    yield get
    for file in made.values():
        file.close()


def dense(group):
    n, _ = group.attrs["shape"]
    result = np.zeros((n, n))
    for row in range(n):
        span = slice(group["indptr"][row], group["indptr"][row + 1])
        result[row, group["indices"][span]] += group["data"][span]
    return result


def words(group):
    codes = group["codes"][:]
    names = [*group["categories"].asstr()[:], None]
    return [names[code] for code in codes]


@pytest.mark.parametrize("name", ["continuum", "living", "types"])
def test_every_element_says_what_it_is(opened, name) -> None:
    _, file = opened(name)
    assert file.attrs["encoding-type"] == "anndata"
    assert {*file} == {"X", "layers", "obs", "obsm", "obsp", "uns", "var", "varm", "varp"}

    def look(path, node):
        parent = node.parent.attrs.get("encoding-type")
        if parent == "csr_matrix":  # its three arrays say nothing of themselves
            return
        assert ENCODINGS[node.attrs["encoding-type"]] == node.attrs["encoding-version"], path
        if node.attrs["encoding-type"] == "dataframe":
            columns = [*node.attrs["column-order"], node.attrs["_index"]]
            assert sorted(columns) == sorted(node)

    file.visititems(look)
    n, m = len(file["obs"]["_index"]), len(file["var"]["_index"])
    assert file["X"].shape == (n, m)
    assert all(layer.shape == (n, m) for layer in file["layers"].values())
    assert all(tuple(pair.attrs["shape"]) == (n, n) for pair in file["obsp"].values())


@pytest.mark.parametrize("name", ["continuum", "vesicles", "living"])
def test_rows_send_and_columns_receive(opened, name) -> None:
    run, file = opened(name)
    ids = [text.removeprefix("cell_") for text in file["obs"]["_index"].asstr()[:]]
    place = {int(cell): i for i, cell in enumerate(ids)}
    rows = pq.read_table(run.folder / "edges.parquet").to_pylist()
    for count in ("encountered", "taken_up", "delivered"):
        expected = np.zeros((len(ids), len(ids)))
        for row in rows:
            expected[place[row["donor"]], place[row["recipient"]]] += row[count]
        for key in (count, f"{count}[exosome]"):
            np.testing.assert_allclose(dense(file["obsp"][key]), expected, rtol=1e-12)
        assert not np.allclose(expected, expected.T) or not expected.any()
    taken = dense(file["obsp"]["taken_up"])
    assert np.diag(taken).sum() > 0
    np.testing.assert_allclose(file["obs"]["taken_up[exosome]"][:], taken.sum(axis=0), rtol=1e-12)
    types = np.array(words(file["obs"]["cell_type"]))
    of = file["obsm"]["taken_up_from[exosome]"]
    for donor_type in of.attrs["column-order"]:
        np.testing.assert_allclose(of[donor_type][:], taken[types == donor_type].sum(axis=0), rtol=1e-12)
    assert b"rows send" in file["uns"]["exoabm"]["orientation"][()]


def test_cells_are_those_of_the_table_and_their_daughters(opened) -> None:
    """The dead keep their row, id and edges; what only the living have is missing for them."""
    run, file = opened("living")
    obs, lineage = file["obs"], pq.read_table(run.folder / "lineage.parquet").to_pandas()
    assert lineage["died_s"].notna().any()
    assert len(lineage) > 36
    assert obs["_index"].asstr()[:].tolist() == [f"cell_{cell}" for cell in lineage["cell"]]
    assert words(obs["source_id"]) == [f"slide/{i:03d}" if i < 36 else None for i in lineage["cell"]]
    assert words(obs["cell_type"]) == lineage["cell_type"].tolist()
    dead = lineage["died_s"].notna().to_numpy()
    assert np.isnan(obs["released[exosome]"][:]).tolist() == dead.tolist()
    assert obs["mother"]["mask"][:].tolist() == lineage["mother"].isna().tolist()
    assert dense(file["obsp"]["taken_up"])[dead].sum() > 0
    np.testing.assert_array_equal(file["obsm"]["spatial"][:], lineage[["x_um", "y_um"]])


@pytest.mark.parametrize("name", ["living", "continuum"])
def test_read_as_a_table_it_has_the_living_where_they_were(opened, name) -> None:
    """With z and with y upward, as ``cells.parquet`` has them."""
    run, file = opened(name)
    table, alive = read_cells(file.filename), run.last_cells.to_pandas()
    assert table.ids == alive["cell"].astype(str).tolist()
    np.testing.assert_allclose(table.positions, alive[["x_um", "y_um", "z_um"]], atol=1e-5)
    assert table.types.tolist() == alive["cell_type"].tolist()
    assert not table.y_down
    assert any("died_s" in note for note in table.findings) == (len(file["obs/cell"]) > len(alive))


def test_cargo_is_told_in_copies_and_in_vesicles(opened) -> None:
    run, file = opened("continuum")
    assert file["var"]["_index"].asstr()[:].tolist() == ["signal"]
    cells = run.last_cells.to_pandas()
    held = run.held_by(run.last_cells)
    assert file["X"][:, 0] == pytest.approx(held["delivered[exosome]"], rel=1e-9)  # a copy a vesicle
    assert file["layers"]["taken_up"][:, 0] == pytest.approx(held["taken_up[exosome]"], rel=1e-9)
    assert file["layers"]["copies"][:, 0] == pytest.approx(held["copies[signal]"])
    assert obs_text(file, "source_id") == cells["source_id"].tolist()


def obs_text(file, name):
    return file["obs"][name].asstr()[:].tolist()


def test_where_donors_are_known_by_type_alone_there_are_no_pairs(opened) -> None:
    run, file = opened("types")
    assert not file["obsp"].keys()
    assert b"provenance = 'cell'" in file["uns"]["exoabm"]["orientation"][()]
    of = file["obsm"]["taken_up_from[exosome]"]
    found = {name: of[name][:].sum() for name in of.attrs["column-order"]}
    edges = run.edges.to_pandas().groupby("donor_type", observed=True)["taken_up"].sum()
    assert found == pytest.approx(edges.to_dict(), rel=1e-12)


def test_it_is_the_same_file_each_time_and_opens_here_again(opened, tmp_path) -> None:
    run, file = opened("continuum")
    again = export_format(run.folder, tmp_path / "again.h5ad", format_of(tmp_path / "again.h5ad"))
    assert again.read_bytes() == open(file.filename, "rb").read()  # noqa: PTH123, SIM115
    table = read_cells(again, TableOptions(cell_type="cell_type"))
    cells = run.last_cells.to_pandas()
    np.testing.assert_allclose(table.positions[:, :2], cells[["x_um", "y_um"]], atol=1e-6)
    assert table.types.tolist() == cells["cell_type"].tolist()
