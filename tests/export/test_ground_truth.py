"""``truth.h5ad``: amounts of the run, errors that were asked for, and scores of results against it."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from exoabm.cli import app
from exoabm.communication_inference.score import ALL, DISTANCE, OUT, RESULT, TRANSPOSED, Truth, score
from exoabm.communication_inference.tool_results import column_of, matrix_of
from exoabm.errors import InputError
from exoabm.export.export import export_format
from exoabm.export.formats import format_of


@pytest.fixture(scope="module")
def truth_of(finished, tmp_path_factory):
    """The truth file of a run, with options, made once."""
    made = {}

    def get(name="vesicles", **options):
        key = (name, *sorted(options.items()))
        if key not in made:
            to = tmp_path_factory.mktemp("truth") / "truth.h5ad"
            made[key] = export_format(finished(name).folder, to, format_of(to), options=options)
        return made[key]

    return get


@pytest.mark.parametrize("name", ["continuum", "vesicles", "living"])
def test_amounts_are_those_of_the_edges_and_rows_send(finished, truth_of, name) -> None:
    run = finished(name)
    edges, alive = run.edges.to_pandas(), run.last_cells["cell"].to_pylist()
    edges = edges[edges.donor.isin(alive) & edges.recipient.isin(alive)]
    place = {cell: i for i, cell in enumerate(alive)}
    ends = edges.donor.map(place).to_numpy(int), edges.recipient.map(place).to_numpy(int)
    with h5py.File(truth_of(name)) as file:
        assert column_of(file["obs"]["_index"]).tolist() == [f"cell_{cell}" for cell in alive]
        for word, column in (("internalized", "taken_up"), ("delivered", "delivered")):
            expected = np.zeros((len(alive), len(alive)))
            np.add.at(expected, ends, edges[column].to_numpy())
            found = matrix_of(file["obsp"][f"true_{word}"])
            np.testing.assert_allclose(found, expected, rtol=1e-12)
        internalized = matrix_of(file["obsp"]["true_internalized"])
        assert not np.allclose(internalized, internalized.T)
        np.testing.assert_allclose(file["obs"]["from_self"][:], np.diag(internalized))
        if name != "living":
            np.testing.assert_allclose(file["obs"]["taken_up"][:], internalized.sum(axis=0), rtol=1e-9)
        types = column_of(file["obs"]["true_type"])
        assert [*column_of(file["uns"]["cell_types"])] == sorted({*types})
        for i, a in enumerate(sorted({*types})):
            for j, b in enumerate(sorted({*types})):
                total = internalized[np.ix_(types == a, types == b)].sum()
                assert file["uns"]["internalized_by_type"][i, j] == pytest.approx(total, rel=1e-12)
        assert "spatial" not in file["uns"]
        assert "spatial_distance" not in file["obsp"]
        xyz = np.column_stack([file["obs"][f"{axis}_um"][:] for axis in "xyz"])
        far = np.linalg.norm(xyz[:, None] - xyz, axis=2)
        longest = far[(internalized >= 0.5) & (far > 0)].max()
        near = (far <= 1.5 * longest) & (far > 0)
        np.testing.assert_allclose(matrix_of(file["obsp"]["distance_um"]), np.where(near, far, 0), atol=1e-9)
        np.testing.assert_array_equal(file["obsm"]["spatial"][:], xyz[:, :2])


def test_where_donors_are_known_by_type_the_remedy_is_named(finished, tmp_path) -> None:
    to = tmp_path / "truth.h5ad"
    with pytest.raises(InputError, match=r"--engine vesicles or --set transport\.provenance=cell"):
        export_format(finished("types").folder, to, format_of(to))
    assert not [*tmp_path.iterdir()]
    result = CliRunner().invoke(
        app, ["export", str(finished("vesicles").folder), "--to", str(to), "--set", "nois=1"]
    )
    assert "did you mean 'noise'" in str(result.exception)
    plain = tmp_path / "a.h5ad"
    with pytest.raises(InputError, match="the format h5ad has no options"):
        export_format(finished("vesicles").folder, plain, format_of(plain), options={"noise": "1"})


def test_errors_change_what_is_seen_and_not_the_truth(truth_of) -> None:
    with (
        h5py.File(truth_of()) as plain,
        h5py.File(truth_of(jitter="3 um", wrong_types="0.5", missing="0.3")) as seen,
    ):
        names, all_names = (column_of(f["obs"]["_index"]) for f in (seen, plain))
        at = np.flatnonzero(np.isin(all_names, names))
        assert 15 < len(names) < 36
        assert int(seen["uns"]["truth"]["unseen_cells"][()]) == 36 - len(names)
        whole, part = (matrix_of(f["obsp"]["true_internalized"]) for f in (plain, seen))
        np.testing.assert_array_equal(part, whole[np.ix_(at, at)])
        share = 1 - part.sum() / whole[:, at].sum()
        assert float(seen["uns"]["truth"]["unseen_donor_share"][()]) == pytest.approx(share)
        assert (column_of(seen["obs"]["cell_type"]) != column_of(seen["obs"]["true_type"])).any()
        np.testing.assert_array_equal(seen["obs"]["x_um"][:], plain["obs"]["x_um"][:][at])
        moved = seen["obsm"]["spatial"][:] - plain["obsm"]["spatial"][:][at]
        assert 1.5 < moved.std() < 4.5
    with pytest.raises(InputError, match="one layer of cells"):
        truth_of(section="5 um")


def test_the_truth_scores_one_and_its_transpose_far_below(truth_of) -> None:
    path = truth_of()
    found = score(path, path, key="true_internalized")
    for part in found.rows[RESULT].values():
        assert all(m.auprc == m.auroc == 1 and m.spearman == pytest.approx(1) for m in part.values())
    assert found.rows[TRANSPOSED][OUT][ALL].auprc < 0.9
    with h5py.File(path) as file:
        told = float(file["uns"]["truth"]["auprc_distance"][()])
    assert found.rows[DISTANCE][OUT][ALL].auprc == pytest.approx(told)


def table_of(path, to, matrix) -> None:
    with h5py.File(path) as file:
        names = column_of(file["obs"]["_index"])
    rows = [f"{a},{b},{matrix[i, j]}" for i, a in enumerate(names) for j, b in enumerate(names)]
    to.write_text("source,target,score\n" + "\n".join(rows) + "\n")


def test_a_wrong_orientation_is_caught_with_a_sentence(truth_of, tmp_path) -> None:
    """Donors are one in three, so that exchanged ends point at cells that release nothing."""
    path = truth_of()
    truth = Truth(path)
    donors = np.arange(len(truth.cells)) % 3 == 0
    with h5py.File(path, "r+") as file:
        whole = matrix_of(file["obsp"]["true_internalized"])
    mine = tmp_path / "truth.h5ad"
    mine.write_bytes(path.read_bytes())
    with h5py.File(mine, "r+") as file:
        group = file["obsp"]["true_internalized"]
        row = np.repeat(np.arange(len(donors)), np.diff(group["indptr"][:]))
        group["data"][:] = np.where(donors[row], group["data"][:], 0)
        file["obs"]["released"][:] = np.where(donors, 60.0, 0)
    few = np.where(donors[:, None], whole, 0)
    table_of(mine, tmp_path / "right.csv", few)
    table_of(mine, tmp_path / "wrong.csv", few.T)
    assert not any("exchanged" in said for said in score(mine, tmp_path / "right.csv").warnings)
    wrong = score(mine, tmp_path / "wrong.csv")
    assert any("source and target seem to be exchanged" in said for said in wrong.warnings)
    assert wrong.rows[RESULT][OUT][ALL].auprc < 0.5
    turned = score(mine, tmp_path / "wrong.csv", transpose=True)
    assert turned.rows[RESULT][OUT][ALL].auprc == 1
    assert "source and target exchanged" in turned.description


def test_the_command_prints_and_refuses(truth_of, tmp_path) -> None:
    path = truth_of()
    random = np.random.default_rng(1).random((36, 36))
    table_of(path, tmp_path / "random.csv", random)
    printed = CliRunner().invoke(app, ["score", str(path), str(tmp_path / "random.csv")])
    assert printed.exit_code == 0, printed.output
    for word in ("prevalence", "AUPRC", "distance alone", "combined", "transposed", "true donors"):
        assert word in printed.output
    found = score(path, tmp_path / "random.csv").rows[RESULT][OUT][ALL]
    assert found.auprc == pytest.approx(found.prevalence, abs=0.08)
    with pytest.raises(InputError, match="it is not HDF5"):
        score(tmp_path / "random.csv", path)
    h5py.File(tmp_path / "other.h5ad", "w").close()
    with pytest.raises(InputError, match="is no truth file"):
        score(tmp_path / "other.h5ad", path)
    with pytest.raises(InputError, match="name one by --key"):
        score(path, path)
    with pytest.raises(InputError, match="--amount taken: one of"):
        score(path, path, amount="taken")
