"""Agreement of scores, by definitions written out, and results of tools read as these tools write them."""

from __future__ import annotations

import numpy as np
import pytest

from exoabm.communication_inference.observation import Observer, Options, genes_of
from exoabm.communication_inference.score import agreement, average_precision
from exoabm.communication_inference.tool_results import LOW, Choice, read_result
from exoabm.errors import InputError

CELLS, TYPES = ["cell_0", "cell_1", "cell_2"], ["A", "B"]
OF = np.array([0, 1, 1])


def test_measures_are_those_of_their_definitions() -> None:
    """Ties are found together; AUROC counts pairs of a true and another one; ranks of ties are their mean."""
    random = np.random.default_rng(1)
    score, amount = random.integers(0, 6, 60).astype(float), random.poisson(0.7, 60).astype(float)
    found, true = agreement(score, amount, 0.5), amount >= 0.5
    steps = [(np.sum(true[score >= s]), np.sum(score >= s)) for s in sorted(set(score), reverse=True)]
    recall = np.array([0, *(hits / true.sum() for hits, _ in steps)])
    assert found.auprc == pytest.approx(sum(np.diff(recall) * [hits / n for hits, n in steps]), rel=1e-12)
    above = score[true][:, None] - score[~true]
    assert found.auroc == pytest.approx(np.mean((above > 0) + (above == 0) / 2), rel=1e-12)
    ranks = [[np.mean(np.flatnonzero(np.sort(x) == v)) for v in x] for x in (score, amount)]
    assert found.spearman == pytest.approx(np.corrcoef(*ranks)[0, 1], rel=1e-12)
    assert found.prevalence == true.mean()
    assert found.auroc != pytest.approx(agreement(-score, amount, 0.5).auroc, abs=0.02)


def test_perfect_useless_and_undefined_scores() -> None:
    amount = np.array([3.0, 0, 0, 1, 0])
    assert agreement(amount, amount, 0.5).auprc == 1
    assert agreement(np.zeros(5), amount, 0.5).auprc == pytest.approx(0.4)
    assert agreement(np.zeros(5), amount, 0.5).spearman is None
    assert agreement(amount, amount, 9).auprc is None
    assert np.isnan(average_precision(amount, np.zeros(5, bool)))
    assert agreement(-amount, amount, 0.5).auprc < 0.4


def read(tmp_path, text: str, name: str = "result.csv", **choice):
    (tmp_path / name).write_text(text)
    return read_result(tmp_path / name, CELLS, TYPES, OF, Choice(**choice))


def test_a_table_of_cells(tmp_path) -> None:
    found = read(tmp_path, "source,target,score\ncell_0,cell_2,2\ncell_0,cell_2,1\ncell_1,cell_0,\n")
    assert found.matrix[0, 2] == 3
    assert np.isneginf(found.matrix).sum() == 8
    assert found.by_type is None
    assert any("1 of 3 rows" in note for note in found.notes)
    assert any("row 2 with the score 1 to row 1 with 2" in note for note in found.notes)
    genes = "source,target,ligand,receptor,score\ncell_0,cell_2,L,R,2\ncell_0,cell_2,L,S,1\n"
    assert not any("repeat" in note for note in read(tmp_path, genes).notes)


def test_low_values_are_turned_by_the_name_of_their_column(tmp_path) -> None:
    text = "source;target;ligand_complex;receptor_complex;magnitude_rank;lr_means\n"
    text += "A;B;L;R;0.1;5\nA;B;X;Y;0.9;7\nB;A;L;R;0.6;1\n"
    found = read(tmp_path, text)
    np.testing.assert_allclose(found.by_type, [[-np.inf, 1.0], [0.4, -np.inf]])
    assert found.matrix[0, 1] == found.matrix[0, 2] == 1.0
    assert read(tmp_path, text, column="lr_means").by_type[0, 1] == 12
    assert read(tmp_path, text, column="lr_means", pairs={("L", "R")}).by_type[0, 1] == 5
    low = ["specificity_rank", "pvalue", "cellphone_pvals", "p_adj", "FDR"]
    assert all(LOW.search(name) for name in low)
    assert not any(LOW.search(name) for name in ("score", "lr_means", "prob", "lrscore", "expr_prod"))


def test_the_table_of_squidpy(tmp_path) -> None:
    """Two lines of types above, two columns of genes before the numbers, as pandas writes them."""
    text = ",,A,A,B\n,,A,B,A\nsource,target,,,\nL,R,0.5,2,1\nX,Y,,1,0\n"
    found = read(tmp_path, text, "means.csv")
    np.testing.assert_allclose(found.by_type, [[0.5, 3.0], [1.0, -np.inf]])
    low = read(tmp_path, text.replace("0.5,2,1", "0.5,0.2,1"), "pvalues.csv")
    np.testing.assert_allclose(low.by_type, [[0.5, 0.8], [1.0, -np.inf]])


@pytest.mark.parametrize(
    ("text", "choice", "said"),
    [
        ("source,score\ncell_0,1\n", {}, "no column 'target'"),
        ("source,target,score\ncell_0,cell_9,1\n", {}, "'cell_9' is no cell and no cell type"),
        ("source,target,a,b\nA,B,1,2\n", {}, "several columns of numbers (a, b); name the score by --column"),
        ("source,target,a,b\nA,B,1,2\n", {"column": "c"}, "no column of numbers 'c'"),
        ("source,target,rank\nA,B,4\nA,B,2\n", {}, "low values beyond 0 to 1 have no sum"),
        ("source,target,score\nA,B,\nB,A,\n", {}, "result.csv: no row has a number in score"),
        ("source,target,score\nA,B,nan\n", {}, "result.csv: no row has a number in score"),
        ("source,target,score\n", {}, "result.csv: has no rows"),
        ("source,target,score\nA,B,1\nA,B,-inf\n", {}, "row 2, column 'score' is '-inf', not a finite"),
        ("source,target,score\nA,B,1\nB,A,high\n", {}, "row 2, column 'score' is 'high', not a finite"),
        (",,A\n,,B\nsource,target,\nL,R,1\nL,S,inf\n", {}, "row 2, A to B is inf, not a finite number"),
        ("source,target,a\nA,B,1\n", {"pairs": {("L", "R")}}, "for the ligand"),
    ],
)
def test_what_is_no_result_is_refused(tmp_path, text, choice, said) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text, **choice)
    assert said in str(caught.value)


def observed(n: int = 4000, **given: str):
    options = Options.read(given, seed=3)
    cells = Observer(options, np.arange(n))
    rate = np.where(np.arange(n) < n // 4, np.where(np.arange(n) % 2, 90.0, 30.0), 0.0)
    return options, cells, genes_of({"sig": rate}, {"exo": 0 * rate + 14}, [("sig", "exo")], cells, options)


def test_expression_has_the_mean_and_variance_of_its_equation() -> None:
    """Mean m x, and variance m x + (m x)^2 (exp(sigma^2) - 1); 3 standard errors, 1,000 cells of each."""
    _, cells, genes = observed(unrelated="2", noise="0.5")
    counts = cells.counts(genes.levels)
    for parity, level in ((0, 0.5), (1, 1.5)):
        mine, mean = counts[parity:1000:2, genes.names.index("SIGLIG")], 20 * level
        sd = np.sqrt(mean + mean**2 * (np.exp(0.25) - 1))
        assert abs(mine.mean() - mean) < 3 * sd / np.sqrt(500)
        assert mine.std() == pytest.approx(sd, rel=0.2)
    assert not counts[1000:, 0].any()
    order = np.sort(genes.levels, axis=0)
    np.testing.assert_array_equal(order[:, 0], order[:, genes.names.index("DECOY1LIG")])
    assert abs(np.corrcoef(genes.levels[:, [0, 2]].T)[0, 1]) < 0.06
    assert not any("_" in name or name != name.upper() for name in genes.names)


def test_errors_come_as_often_as_asked_and_leave_other_cells_alone() -> None:
    """Binomial shares within 4 standard errors; a cell's draws depend on nothing but its number."""
    _, cells, genes = observed(dropout="0.3", missing="0.2", jitter="2 um", wrong_types="0.1", unrelated="1")
    n, code = 4000, np.arange(4000) % 3
    near = {"rel": 0, "abs": 4 * np.sqrt(0.25 / n)}
    assert cells.seen(np.zeros(n)).mean() == pytest.approx(0.8, **near)
    mistaken = cells.types(code, 3)
    assert (mistaken != code).mean() == pytest.approx(0.1, **near)
    assert {*mistaken} == {0, 1, 2}
    assert cells.positions(np.zeros((n, 2))).std() == pytest.approx(2, rel=0.05)
    assert (cells.counts(genes.levels)[:, 1] == 0).mean() == pytest.approx(0.3, **near)
    cut = Observer(Options.read({"section": "40 um", "section_thickness": "10 um"}, seed=3), np.arange(5))
    assert cut.seen(np.array([34.9, 35, 40, 45, 45.1])).tolist() == [False, True, True, True, False]
    some = Observer(Options.read({"jitter": "2 um"}, seed=3), np.arange(7, 9))
    np.testing.assert_array_equal(some.positions(np.zeros((2, 2))), cells.positions(np.zeros((n, 2)))[7:9])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"nois": "1"}, "--set nois: a truth file has noise,"),
        ({"noise": "9"}, "--set noise=9: 9 is outside the allowed 0 to 5"),
        ({"jitter": "3 h"}, "--set jitter=3 h:"),
        ({"decoys": "1.5"}, "must be a whole number"),
        ({"section_thickness": "5 um"}, "needs section"),
    ],
)
def test_an_option_out_of_range_is_refused(given, said) -> None:
    with pytest.raises(InputError) as caught:
        Options.read(given, seed=1)
    assert said in str(caught.value)
