"""What is varied where nobody says what: the numbers that something reads, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from exoabm import ExosomeModel
from exoabm.batch.calibration.factors import factors_of
from exoabm.scenario.loader import LoadedScenario, parse

WORLD = """
info = { title = "a test" }
domain = { size = [40, 40] }
clock = { step = "10 min" }
layout = { group = [{ cell_type = "a", arrange = "points", points = [[20, 20]] }] }
[[cargo]]
name = "aggregates"
role = "waste"
copies = 1
[[vesicle]]
name = "ev"
cargo = ["aggregates"]
ligand = "integrin"
[[vesicle]]
name = "other"
[[dose]]
name = "given"
vesicle = "ev"
route = "tissue"
particles = 1000
through = "a"
[[cell_type]]
name = "a"
"""
MVB = "mvb = { sorting = [{ vesicle = 'ev', share = 1 }] }\n"
WASTE = "waste = { vesicle = 'ev', production = 1e5 }\n"
RECEPTOR = "receptor = [{ name = 'integrin', number = 1000 }]\n"
MORE = """[[response]]
cell_type = "a"
signal = "time"
half_max = "1 h"
increases = "uptake_rate"
to = 600
"""
KEYS = {"release_rate": "600", "ilvs_per_mvb": "30", "uptake_rate": "30", "saturation": "50"}


def world(body: str, **pairs: str) -> LoadedScenario:
    overrides = {f"cell_type.a.{key}": value for key, value in pairs.items()}
    return parse((WORLD + body).encode(), name="test", folder=Path(), overrides=overrides)


def after(body: str, **pairs: str) -> dict:
    model = ExosomeModel(world(body, **pairs), seed=1)
    model.run(hours=1)
    return model.state.balance.totals()


@pytest.mark.parametrize(
    ("body", "read"),
    [
        ("", ""),
        ("releases = 'ev'\nsecretion = 'poisson'\n", "release_rate ilvs_per_mvb"),
        ("secretion = 'poisson'\n" + MVB, "release_rate ilvs_per_mvb"),
        (WASTE, ""),
        ("secretion = 'poisson'\n" + WASTE, "ilvs_per_mvb"),
        ("takes_up = ['other', 'ev']\n", "uptake_rate saturation"),
        (RECEPTOR, ""),
        (RECEPTOR + MORE, "uptake_rate"),
    ],
)
def test_numbers_of_a_cell_are_varied_where_something_reads_them(body: str, read: str) -> None:
    """A number that is varied by itself moves something, one that is left out moves nothing."""
    varied = {factor.key for factor in factors_of(world(body))}
    for key, value in KEYS.items():
        moves = after(body) != after(body, **{key: value})
        assert moves == (key in read.split())
        assert moves == (f"cell_type.a.{key}" in varied)
