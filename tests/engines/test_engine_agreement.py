"""The mean of many vesicle runs is the continuum; the edges are those of the transfer matrix.

What is run and compared is that of ``exoabm bench agreement``: vesicles have the sizes of the scenario, and
uptake is linear, where this is exact but for the classes of size. The bias of 5 % shows that a wrong engine
would be seen.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exoabm import ExosomeModel
from exoabm.analysis.communication import type_matrix
from exoabm.benchmarks import run_benchmark
from exoabm.benchmarks.engine_agreement import (
    CASES,
    Case,
    Comparison,
    Edges,
    Found,
    after_hours,
    along,
    blocks,
    build_figure,
    compare,
    comparisons,
    counted,
    edges,
    followed,
    standard_errors,
    strongest,
)
from exoabm.errors import InputError

RUNS = 8
"""Vesicle runs of each case; the benchmark makes more."""
CLASSES = 0.0005
"""Relative error that classes of size may make in the total of uptake, ten times less than in a mean of D."""


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def found(case: Case) -> Found:
    """``RUNS`` vesicle runs, stacked."""
    return counted(case, RUNS)


@pytest.fixture(scope="module")
def expected(case: Case) -> Found:
    return after_hours(case.model("continuum"))


@pytest.mark.slow
def test_every_block_of_voxels(case: Case, found: Found, expected: Found) -> None:
    result = compare(blocks(found.free.sum(axis=0), case.block), RUNS * blocks(expected.free, case.block))
    assert result, result
    assert len(result.z) > 80
    assert result.spread > 0.8


@pytest.mark.slow
def test_every_recipient(found: Found, expected: Found) -> None:
    result = compare(found.uptake.sum(axis=0), RUNS * expected.uptake)
    assert result, result
    assert len(result.z) > 250
    assert result.spread > 0.8


@pytest.mark.slow
def test_every_fate_in_total(found: Found, expected: Found) -> None:
    """Within 3 standard errors: for seven totals, an honest engine fails once in twenty families of seeds."""
    assert (standard_errors(found.places, expected.places) < 3).all()
    total, right = found.uptake.sum(axis=1), expected.uptake.sum()
    assert abs(total.mean() - right) < 3 * total.std(ddof=1) / np.sqrt(RUNS) + CLASSES * right


@pytest.mark.slow
def test_an_uptake_wrong_by_5_percent_is_seen(case: Case, found: Found) -> None:
    """In tissue nearly all is taken up in the end, so the bias shows in what is still free."""
    biased = after_hours(case.model("continuum", bias=1.05))
    assert standard_errors(found.places, biased.places).max() > 3


@pytest.fixture(scope="module")
def run(case: Case) -> ExosomeModel:
    """A run to the end of every vesicle on its way, secretion having stopped."""
    return followed(case)


def by_donor_type(run: ExosomeModel, values: np.ndarray) -> np.ndarray:
    """Rows of donors added up to donor types."""
    donors = np.flatnonzero(run.state.labels.of_cell >= 0)
    result = np.zeros((len(run.state.types), values.shape[1]))
    np.add.at(result, run.state.cells.type[donors], values)
    return result


@pytest.mark.slow
def test_the_edges_are_those_of_the_transfer_matrix(case: Case, run: ExosomeModel) -> None:
    """Donor type to recipient, and the 500 strongest pairs of cells."""
    both = edges(case, run)
    assert both.counted.sum() == type_matrix(run.state).values.sum()
    pairs = compare(*strongest(both))
    assert pairs, pairs
    by_type = Edges(*(by_donor_type(run, values) for values in both))
    used = by_type.expected > 0
    assert by_type.counted[~used].sum() == 0
    types = compare(by_type.counted[used], by_type.expected[used])
    assert types, types


@pytest.mark.slow
def test_edges_of_an_uptake_wrong_by_5_percent_are_seen(case: Case, run: ExosomeModel) -> None:
    """A cell's own vesicles, and its neighbors', grow at the cost of those from afar."""
    both, biased = edges(case, run), edges(case, run, bias=1.05).expected
    assert abs(along(both.counted, both.expected, biased)) < 3.5
    assert abs(along(both.counted, biased, both.expected)) > 4


@pytest.fixture(scope="module")
def panels() -> list[Comparison]:
    """A small comparison: three short runs of one scenario."""
    return comparisons(CASES["signaling"], runs=3, hours=1.0)


def test_the_picture_shows_the_numbers(panels: list[Comparison]) -> None:
    """Dots at mean counts over expected numbers, on equal scales; its title is the verdict."""
    figure = build_figure(panels)
    assert len(figure.axes) == 2 * len(panels) == 6
    for one, axes in zip(panels, figure.axes[::2], strict=True):
        dots = axes.containers[0].lines[0]
        np.testing.assert_allclose(dots.get_xdata(), one.result.expected / one.runs)
        np.testing.assert_allclose(dots.get_ydata(), one.result.counts / one.runs)
        assert axes.get_xlim() == axes.get_ylim()
        assert "vesicles per" in axes.get_ylabel()
    assert figure.texts[0].get_text().startswith("Vesicles counted one by one agree")


def test_a_picture_of_disagreement_says_so(panels: list[Comparison]) -> None:
    result = compare(2 * panels[0].result.counts, panels[0].result.expected)
    assert not result
    wrong = panels[0]._replace(result=result)
    assert "do not agree" in build_figure([wrong, *panels[1:]]).texts[0].get_text()


@pytest.mark.parametrize(
    ("name", "picture", "reason"),
    [
        ("agrement", None, "did you mean 'agreement'"),
        ("continuum", "a.png", "has no picture"),
        ("agreement", "a.doc", "must end in"),
        ("agreement", "missing/a.png", "no folder"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_runs(
    name: str, picture: str | None, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=reason):
        run_benchmark(name, None if picture is None else tmp_path / picture)
    assert not list(tmp_path.iterdir())
