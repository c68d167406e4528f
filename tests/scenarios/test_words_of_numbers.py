"""Words of pages and notes for numbers: doubling times, shares, and ratios of means or of pairs."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from exoabm import ExosomeModel
from exoabm.output.metrics import measure
from exoabm.parameters import CATALOG
from exoabm.scenario.loader import load, shipped
from exoabm.scenario.schema_base import quantities

PAGES = {name: path.with_suffix(".md").read_text(encoding="utf-8") for name, path in shipped().items()}
PURITY = "batch_purity_per_ug"
TIME = re.compile(r"\b(doubles|half of the cells) (?:with)?in ([\d.]+) h")


def wrong_time(note: str, rate: float) -> bool:
    """Whether a note on a rate per hour states a time of doubling or halving that is not ln 2 / rate."""
    told = TIME.search(note)
    if told is None:
        return False
    places = len(told[2].partition(".")[2])
    return f"{math.log(2) / rate:.{places}f}" != told[2]


@pytest.mark.parametrize("name", PAGES)
def test_times_in_notes_on_rates_are_those_of_the_rates(name: str) -> None:
    for key, quantity in quantities(load(name).scenario):
        if quantity.parameter.unit == "1/h" and quantity.magnitude > 0:
            assert not wrong_time(quantity.note, quantity.magnitude), key
            assert not re.search(r"\ba division in|\bonce a day", quantity.note), key


def test_the_time_in_the_note_on_division_is_that_of_its_rate() -> None:
    """Not the mean time until a cell divides, 1 / rate, which is longer."""
    note = CATALOG["division_rate"].note
    told = re.search(r"At ([\d.]+) /h", note)
    assert told
    assert not wrong_time(note, float(told[1]))
    assert TIME.search(load("tissue_repair").scenario.response[0].to.note)


def test_a_wrong_time_is_seen() -> None:
    assert not wrong_time("the number of cells doubles in 17 h", 0.04)
    assert wrong_time("the number of cells doubles in 25 h", 0.04)
    assert wrong_time("half of the cells within 5.0 h", 0.2)


def unnamed_ratios(page: str) -> list[str]:
    """Sentences with a ratio of pairs and its interval that do not say that it is a geometric mean."""
    sentences = re.split(r"(?<=[.:]) (?=[A-Z*-])", " ".join(page.split()))
    return [
        each
        for each in sentences
        if re.search(r"\d times", each) and re.search(r"\d pairs", each) and "interval" in each
        if "geometric mean" not in each
    ]


@pytest.mark.parametrize("name", PAGES)
def test_a_ratio_of_pairs_is_called_a_geometric_mean(name: str) -> None:
    """That of production is 3.4, and the ratio of the two means in the table above it is 3.1."""
    assert not unnamed_ratios(PAGES[name])


def test_a_ratio_that_reads_as_that_of_the_means_is_seen() -> None:
    assert unnamed_ratios("A. They give 3.4 times as many (20 pairs, 95 % interval 2.7 to 4.3). B.")
    assert not unnamed_ratios("They give 3 times as many (geometric mean of 20 pairs, 95 % interval 2 to 4).")


def test_the_share_of_a_tumor_cells_vesicles_is_that_of_the_numbers_beside_it() -> None:
    told = re.search(r"takes up (\d+) instead of ([\d,]+): (\d+) % of its vesicles", PAGES["tissue"])
    assert told
    without, usual = int(told[1]), int(told[2].replace(",", ""))
    assert round(100 * (1 - without / usual)) == int(told[3])


@pytest.mark.slow
def test_purities_and_doses_that_production_compares_are_those_of_20_batches() -> None:
    page = " ".join(PAGES["production"].split())
    chains = {"flow": '["tangential_flow"]', "both": '["tangential_flow", "chromatography"]', "spun": None}
    found = {}
    for name, chain in chains.items():
        rows = []
        for seed in range(1, 21):
            changes = {"transport.provenance": "none"} | ({"manufacturing.chain": chain} if chain else {})
            model = ExosomeModel("production", seed=seed, overrides=changes)
            model.run()
            rows.append(measure(model.state))
        found[name] = {key: np.array([row[key] for row in rows]) for key in ("batch_doses", PURITY)}

    def geometric(key: str, other: str) -> float:
        return float(np.exp(np.mean(np.log(found["both"][key] / found[other][key]))))

    def told(pattern: str) -> str:
        match = re.search(pattern, page)
        assert match, pattern
        return match[1]

    assert told(r"(\d+) times as pure as tangential flow alone") == f"{geometric(PURITY, 'flow'):.0f}"
    assert told(r"They give ([\d.]+) times") == f"{geometric('batch_doses', 'spun'):.1f}"
    assert told(r"and (\d+) times the purity") == f"{geometric(PURITY, 'spun'):.0f}"
    means = {name: float(row["batch_doses"].mean()) for name, row in found.items()}
    assert told(r"means in the table differ ([\d.]+) times") == f"{means['both'] / means['spun']:.1f}"


@pytest.mark.slow
def test_the_share_of_the_drug_that_is_taken_up_is_that_of_the_run() -> None:
    page = shipped()["tumor_delivery"].with_suffix(".intro.toml").read_text(encoding="utf-8")
    told = re.search(r"free molecules, of which (\d+) % are\s+taken up", page)
    assert told
    model = ExosomeModel("tumor_delivery", seed=1)
    model.run()
    row = measure(model.state)
    assert f"{100 * row['taken_up[free]'] / row['emitted[free]']:.0f}" == told[1]
