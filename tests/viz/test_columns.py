"""Columns of the metrics in words."""

from __future__ import annotations

import pytest

from exoabm import ExosomeModel
from exoabm.output.metrics import measure
from exoabm.scenario.loader import load, shipped
from exoabm.viz.results.charts import column_labels, default_column


def test_particles_are_called_what_they_are() -> None:
    scenario = load("tumor_delivery").scenario
    said = column_labels(
        scenario,
        [
            "vesicle_taken_up_EV",
            "free_taken_up_EV",
            "free_free_EV",
            "nanoparticle_emitted_EV",
            "tumor_taken_up_EV_per_cell",
            "tumor_drug_copies_per_cell",
            "treatment_liver_share",
        ],
    )
    assert said == {
        "vesicle_taken_up_EV": "vesicles taken up",
        "free_taken_up_EV": "drug molecules taken up",
        "free_free_EV": "drug molecules free",
        "tumor_taken_up_EV_per_cell": "tumor: particles taken up per cell",
        "tumor_drug_copies_per_cell": "tumor: copies of drug per cell",
        "treatment_liver_share": "treatment: liver share",
    }, "lipid nanoparticles are in other arms only"


def test_kinds_of_one_sort_are_told_apart() -> None:
    said = column_labels(load("tumor_niche").scenario, ["niche_vesicle_free_EV"])
    assert said == {"niche_vesicle_free_EV": "vesicles free (niche_vesicle)".replace("_", " ")}


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_column_of_a_scenario_has_words_of_its_own(name: str) -> None:
    model = ExosomeModel(name, seed=1)
    said = column_labels(model.scenario, [n for n in measure(model.state) if n != "time_h"])
    assert len(set(said.values())) == len(said)
    assert not any("_" in words or "EV" in words.split() for words in said.values())
    assert default_column(said).endswith("_taken_up_EV")


def test_what_is_drawn_first_is_what_the_difference_does() -> None:
    model = ExosomeModel("relay", seed=1)
    said = column_labels(model.scenario, measure(model.state))
    assert default_column(said, "cargo.message.copies") == "relay_responding_cells"
    assert default_column(said, "cell_type.source.release_rate") == "exosome_taken_up_EV"
