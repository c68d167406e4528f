"""Columns of the metrics in words."""

from __future__ import annotations

import pytest

from exoabm import ExosomeModel
from exoabm.output.metrics import measure
from exoabm.scenario.loader import load, shipped
from exoabm.tables.readouts import parse
from exoabm.viz.results.charts import column_labels, default_column


def test_particles_are_called_what_they_are() -> None:
    scenario = load("tumor_delivery").scenario
    labels = column_labels(
        scenario,
        [
            "taken_up[vesicle]",
            "taken_up[free]",
            "free[free]",
            "delivered[vesicle]",
            "delivered[free]",
            "delivered_per_cell[tumor]",
            "emitted[nanoparticle]",
            "taken_up_per_cell[tumor]",
            "copies_per_cell[tumor, drug]",
            "particle_share[treatment, liver]",
        ],
    )
    assert labels == {
        "taken_up[vesicle]": "vesicles taken up",
        "taken_up[free]": "drug molecules taken up",
        "free[free]": "drug molecules free",
        "delivered[vesicle]": "vesicles that opened to the cytosol",
        "delivered[free]": "drug molecules that reached their site of action",
        "delivered_per_cell[tumor]": "tumor: particles that were delivered per cell",
        "taken_up_per_cell[tumor]": "tumor: particles taken up per cell",
        "copies_per_cell[tumor, drug]": "tumor: copies of drug per cell",
        "particle_share[treatment, liver]": "treatment: liver particle share",
    }, "lipid nanoparticles are in other arms only"


def test_kinds_of_one_sort_are_told_apart() -> None:
    labels = column_labels(load("tumor_niche").scenario, ["free[niche_vesicle]"])
    assert labels == {"free[niche_vesicle]": "vesicles free (niche_vesicle)"}


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_column_of_a_scenario_has_words_of_its_own(name: str) -> None:
    model = ExosomeModel(name, seed=1)
    labels = column_labels(model.scenario, [n for n in measure(model.state) if n != "time_h"])
    assert len(set(labels.values())) == len(labels)
    named = {name for column in labels for name in parse(column).names}
    for words in labels.values():
        plain = [
            word
            for word in words.replace(":", "").replace("(", "").replace(")", "").split()
            if word not in named
        ]
        assert not any("_" in word or word == "EV" for word in plain)
    assert default_column(model.scenario, labels) == model.scenario.main_readout.metric


def test_what_is_drawn_first_is_the_readout_of_the_scenario() -> None:
    model = ExosomeModel("relay", seed=1)
    labels = column_labels(model.scenario, [n for n in measure(model.state) if n != "time_h"])
    assert default_column(model.scenario, labels) == "responding_cells[relay]"
    plain = model.scenario.model_copy(update={"readout": None})
    assert default_column(plain, labels) == "taken_up[exosome]"
