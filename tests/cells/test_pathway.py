"""The pool of multivesicular bodies: problems 18 and 25, drugs, and sorting."""

from __future__ import annotations

import numpy as np
import pytest
from small_scenarios import cells_of, released, world

N = 20_000

BODY = """
layout = {{ group = [{{ cell_type = "donor", arrange = "overlapping", count = {n} }}] }}
vesicle = [{{ name = "EV" }}, {{ name = "other" }}]
{rest}
[[cell_type]]
name = "donor"
releases = "EV"
secretion = "{secretion}"
{keys}
"""


def donors(n: int = 1, secretion: str = "mean", keys: str = "mvb = {}", rest: str = "", **more: object):
    return cells_of(BODY.format(n=n, secretion=secretion, keys=keys, rest=rest), **more)


@pytest.mark.parametrize("f_sec", [0.05, 0.2, 1.0])
@pytest.mark.parametrize("dt", [60.0, 3600.0])
def test_a_cell_at_rest_releases_what_its_type_says(f_sec: float, dt: float) -> None:
    """60 /h for 24 h, whatever the share, and 60/(f b k) bodies in it."""
    state = donors(keys=f"mvb = {{ secretory_fraction = {f_sec} }}")
    assert released(state, 24, dt)[0] == pytest.approx([1440, 0], rel=1e-12)
    assert state.cells.mvb[0, 0] == pytest.approx(60 / (f_sec * 15 * 1.0), rel=1e-12)


@pytest.mark.parametrize("dt", [600.0, 3600.0])
def test_18_a_bursty_donor_with_a_pool(dt: float) -> None:
    """Mean 1440, SD 151.8, Fano 16 after 24 h, whatever the step; 3 standard errors (0.3 % each)."""
    state = donors(N, "poisson")
    count = released(state, 24, dt)[:, 0]
    mean, fano = count.mean(), count.var() / count.mean()
    print(mean, count.std(), fano, state.cells.mvb.mean(), state.cells.mvb.var())
    assert (count == np.round(count)).all()
    assert mean == pytest.approx(1440, abs=3 * 151.8 / np.sqrt(N))
    assert count.std() == pytest.approx(151.8, rel=3 / np.sqrt(2 * N))
    assert fano == pytest.approx(16, rel=3 * np.sqrt(2 / N))
    # The pool is stationary: Poisson with 20 bodies.
    assert state.cells.mvb.mean() == pytest.approx(20, abs=3 * np.sqrt(20 / N))
    assert state.cells.mvb.var() == pytest.approx(20, rel=3 * np.sqrt(2 / N))


def test_18_sees_5_percent() -> None:
    count = released(donors(N, "poisson", "release_rate = 63\nmvb = {}"), 24, 3600)[:, 0]
    assert count.mean() != pytest.approx(1440, abs=3 * 151.8 / np.sqrt(N))
    count = released(donors(N, "poisson", "ilvs_per_mvb = 16.05\nmvb = {}"), 24, 3600)[:, 0]
    assert count.var() / count.mean() != pytest.approx(16, rel=3 * np.sqrt(2 / N))


POOL = """release_rate = 0
ilvs_per_mvb = 10
mvb = {{ secretory_fraction = 1, fate_rate = '{k} / h', number = 100 }}"""


@pytest.mark.parametrize("dt", [60.0, 3600.0])
def test_25_the_pool_of_wang(dt: float) -> None:
    """A pool that nothing fills is 91.95 % released after 24 h, and half of it after 6.60 h."""
    share = released(donors(keys=POOL.format(k=0.105)), 24, dt)[0, 0] / 1000
    half = released(donors(keys=POOL.format(k=0.105)), 6.6, 360.0)[0, 0] / 1000
    assert (share, half) == pytest.approx((0.9195, 0.5), rel=1e-3)
    off = released(donors(keys=POOL.format(k=0.105 * 1.05)), 24, dt)[0, 0] / 1000
    assert off != pytest.approx(0.9195, rel=1e-3)


def test_25_in_whole_bodies() -> None:
    """2000 cells with 100 bodies each: 91.95 % to 3 standard errors of 0.06 %."""
    count = released(donors(2000, "poisson", POOL.format(k=0.105)), 24, 600)[:, 0]
    error = np.sqrt(0.9195 * 0.0805 / 200_000 + 0.9195 / 2_000_000)
    assert count.mean() / 1000 == pytest.approx(0.9195, abs=3 * error)
    assert count.mean() / 1000 != pytest.approx(0.9195 * 1.05, abs=3 * error)


@pytest.mark.parametrize("engine", ["continuum", "vesicles"])
def test_25_in_a_run(engine: str) -> None:
    """Cells that only empty their pool are donors, in every engine."""
    keys = POOL.format(k=0.105)
    text = BODY.format(n=2, secretion="mean", keys=keys, rest="")
    model = world(text, step="600 s", engine=engine)
    model.run(hours=6.6)
    assert model.state.labels.names == ("donor",)
    assert model.state.balance.emitted.sum() == pytest.approx(
        1000, rel=1e-3 if engine == "continuum" else 0.02
    )


def test_bodies_go_along_into_a_type_that_makes_none() -> None:
    """A donor that becomes a cell with a pool but no release of its own still empties what it held."""
    later = '\n[[cell_type]]\nname = "later"\nreleases = "EV"\nrelease_rate = 0\nmvb = {}\n'
    keys = 'mvb = {}\ntransformation = { into = "later", rate = "600 / h" }'
    model = world(BODY.format(n=2, secretion="mean", keys=keys, rest="") + later, step="60 s")
    model.run(hours=0.2)
    assert set(model.state.type_names()) == {"later"}
    before, held = model.state.balance.emitted.sum(), model.state.cells.mvb.sum()
    model.run(hours=0.5)
    spent = held - model.state.cells.mvb.sum()
    assert spent > 1
    assert model.state.balance.emitted.sum() - before == pytest.approx(spent * 0.2 * 15, rel=1e-9)
    assert "later" in model.state.labels.names


def test_intraluminal_vesicles_are_sorted_by_kind() -> None:
    sorting = 'mvb = { sorting = [{ vesicle = "EV", share = 0.25 }, { vesicle = "other", share = 0.75 }] }'
    assert released(donors(keys=sorting), 24, 600)[0] == pytest.approx([360, 1080], rel=1e-12)
    count = released(donors(N, "poisson", sorting), 24, 3600)
    for kind, share in enumerate((0.25, 0.75)):
        # Thinned bursts: Fano 1 + 15 share.
        fano = 1 + 15 * share
        mean = 1440 * share
        assert count[:, kind].mean() == pytest.approx(mean, abs=3 * np.sqrt(mean * fano / N))
        assert count[:, kind].var() / count[:, kind].mean() == pytest.approx(fano, rel=3 * np.sqrt(2 / N))
    # Both kinds come from the same fusions: covariance b^2 s (1-s) times 96 fusions.
    expected = 96 * 15**2 * 0.25 * 0.75
    assert np.cov(count.T)[0, 1] == pytest.approx(expected, rel=0.05)


DRUG = """
[[response]]
name = "drug"
cell_type = "donor"
signal = "time"
half_max = "1 min"
hill = 20
"""


@pytest.mark.parametrize(
    ("row", "share"),
    [
        ('decreases = "secretory_fraction"\nto = 0', 0.0),
        ('increases = "secretory_fraction"\nto = 0.6', 3.0),
        ('increases = "ilvs_per_mvb"\nto = 30', 2.0),
        ('increases = "release_rate"\nto = "120 / h"', 2.0),
        ('decreases = "release_rate"\nto = "15 / h"', 0.25),
    ],
)
@pytest.mark.parametrize("secretion", ["mean", "poisson"])
def test_drugs(row: str, share: float, secretion: str) -> None:
    """From 24 to 72 h under a drug that acts at once; without it 60 /h."""
    model = world(
        BODY.format(n=40, secretion=secretion, keys="mvb = {}", rest="") + DRUG + row, step="1800 s"
    )
    model.run(hours=24)
    before = model.state.released.sum()
    model.run(hours=48)
    found = (model.state.released.sum() - before) / 40 / 48 / 60
    assert found == pytest.approx(share, rel=0.005 if secretion == "mean" else 0.06, abs=1e-9)


def test_a_block_of_fusion_fills_the_pool_and_a_washout_empties_it() -> None:
    """Slower fate at the same formation holds more bodies: 5 /h / (0.1 /h) = 200 instead of 20 after long."""
    row = 'decreases = "mvb_fate_rate"\nto = "0.1 / h"'
    model = world(BODY.format(n=1, secretion="mean", keys="mvb = {}", rest="") + DRUG + row, step="1800 s")
    assert model.state.cells.mvb[0, 0] == pytest.approx(20, rel=1e-12)
    model.run(hours=100)
    assert model.state.cells.mvb[0, 0] == pytest.approx(200, rel=1e-2)
