"""Effects, paths and scores in Python: their tables, plots and files are those of the commands."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import exoabm as xo
from exoabm.batch.execution.row_journal import verify
from exoabm.errors import InputError

mpl.use("Agg")
from matplotlib import pyplot as plt

SMALL = {"domain.voxel": "40 um", "clock.step": "10 min"}
SURE = {"vesicle.exosome.delivery_probability": 1, "cell_type.donor.release_rate": "2000 / h"}
EACH = SMALL | SURE | {"transport.engine": "vesicles"}


def test_a_what_if_is_the_difference_of_its_two_runs(tmp_path: Path) -> None:
    found = xo.whatif("two_cells", EACH, silence="cell_type:donor", at="1 h", seed=1, hours="2 h")
    a, b = (run.metrics["taken_up[exosome]"][-1].as_py() for run in (found.as_is, found.changed))
    row = next(row for row in found.rows() if row["readout"] == "taken_up[exosome]")
    assert (row["as_is"], row["changed"], row["effect"]) == (a, b, b - a)
    assert b < a
    assert found.table.num_rows == len(found.rows())
    assert sum(found.difference("edges")["taken_up"].to_pylist()) == b - a
    image = found.plot().collections[0].get_array()
    assert image is not None
    assert image.min() == b - a, "the cell that took up less"
    plt.close("all")
    assert xo.open_run(found.save(tmp_path / "w") / "changed").metrics.equals(found.changed.metrics)
    found.save(tmp_path / "w", overwrite=True)
    (tmp_path / "w" / "notes.txt").touch()
    with pytest.raises(InputError, match="exists already"):
        found.save(tmp_path / "w", overwrite=True)
    assert "silence cell_type:donor from 1 h" in found._repr_html_()
    with pytest.raises(InputError, match="nothing is changed"):
        xo.whatif("two_cells")


def test_a_what_if_of_a_run_repeats_its_changes_between_steps(tmp_path: Path) -> None:
    key = "cell_type.donor.release_rate"
    run = xo.run("two_cells", SMALL, seed=1, hours=1, changes_at={"30 min": {key: 120}}, out=tmp_path / "r")
    found = xo.whatif(tmp_path / "r", silence="cell:0", at="40 min", out=tmp_path / "w")
    assert found.as_is.metrics.equals(run.metrics)
    assert found.as_is.edges.equals(run.edges)
    assert found.as_is.metrics["emitted[exosome]"][-1].as_py() == pytest.approx(30 + 60)
    assert found.changed.metrics["emitted[exosome]"][-1].as_py() == pytest.approx(30 + 20)
    with pytest.raises(InputError, match=f"{key}: a change at 0.5 h is outside the run"):
        xo.whatif(tmp_path / "r", silence="cell:0", hours=0.4, out=tmp_path / "w", overwrite=True)
    assert found.as_is.metrics.equals(run.metrics), "what stood there is kept"


def test_a_readout_that_is_0_in_a_has_no_share() -> None:
    silent = {"cell_type.donor.release_rate": 0}
    runs = [xo.run("two_cells", SMALL | more, seed=1, hours=0.5) for more in (silent, {})]
    found = xo.compare(*runs)
    for names in (("emitted[exosome]",), ()):
        with pytest.raises(InputError, match=r"emitted\[exosome\].* 0 in A, so there is no share"):
            found.plot(*names)
    with pytest.raises(InputError, match="did you mean 'emitted"):
        found.plot("emited[exosome]")


def test_an_attribution_has_the_rows_of_its_file(tmp_path: Path) -> None:
    found = xo.causal("two_cells", "taken_up[exosome]", SMALL, seeds=2, hours=1, out=tmp_path / "c")
    assert found.table.to_pylist() == pq.read_table(tmp_path / "c" / "causal.parquet").to_pylist()
    ax = found.plot()
    assert [bar.get_width() for bar in ax.patches] == [row["effect"] for row in found.rows()]
    plt.close("all")
    assert (found.save(tmp_path / "copy") / "causal.png").is_file()
    exact = xo.causal("two_cells", "taken_up[exosome]", SMALL, design="adjoint", out=tmp_path / "exact")
    for _ in range(2):
        exact.save(tmp_path / "saved", overwrite=True)
    assert len(list((tmp_path / "saved").iterdir())) == 3
    assert not [fault for name in ("c", "copy", "exact", "saved") for fault in verify(tmp_path / name)]
    with pytest.raises(InputError, match="must be type or cell"):
        xo.causal("two_cells", "taken_up[exosome]", by="kind")


def test_paths_and_scores_are_drawn_and_saved(tmp_path: Path) -> None:
    run = xo.run("two_cells", EACH, seed=1, hours=2)
    found = xo.paths(run)
    assert sum(row["share"] for row in found.rows()) == pytest.approx(1)
    assert found.plot("recipient").patches[0].get_height() == pytest.approx(1)
    assert pq.read_table(found.save(tmp_path / "p") / "paths.parquet").num_rows == len(found.rows())
    assert not verify(tmp_path / "p")
    with pytest.raises(InputError, match="did you mean 'recipient'"):
        found.plot("recipents")
    truth = run.export(tmp_path / "truth.h5ad")[0]
    (tmp_path / "a.csv").write_text("source,target,score\nrecipient,donor,1\n")
    score = xo.score(truth, tmp_path / "a.csv")
    saved = json.loads(score.save(tmp_path / "score.json").read_text())
    with pytest.raises(InputError, match="exists already"):
        score.save(tmp_path / "score.json")
    widths = np.array([bar.get_width() for bar in score.plot().patches])
    values = [saved["rows"][row]["without self pairs"]["all pairs"]["auprc"] for row in saved["rows"]]
    np.testing.assert_array_equal(widths, values)
    plt.close("all")
    warned = next(note for note in score.notes if "source and target seem to be exchanged" in note)
    assert "; transpose exchanges the two" in warned
    rows = pd.DataFrame(
        {"source": ["donor", "donor"], "target": ["recipient", "donor"], "score": [1.0, np.inf]}
    )
    for table, options, said in (
        (rows, {}, r"^DataFrame: row 2, column 'score' is 'inf', not a finite number"),
        (rows.assign(score=np.nan), {}, r"^DataFrame: no row has a number in score"),
        (rows.iloc[:0], {}, r"^DataFrame: has no rows"),
        (
            rows.rename(columns={"score": "a"}).assign(b=1),
            {},
            r"^DataFrame: several .*; name the score by column$",
        ),
        (rows, {"amount": "x"}, r"^amount x: one of internalized"),
        (rows, {"lenght": "3 um"}, "score has no 'lenght'; did you mean 'length'"),
    ):
        with pytest.raises(InputError, match=said):
            xo.score(truth, table, **options)
