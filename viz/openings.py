"""The first minute of each scenario: how it opens, one sentence, a question to predict, five controls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exoabm.viz.knobs import knobs
from exoabm.viz.setup import Setup

if TYPE_CHECKING:
    from exoabm.scenario.loader import LoadedScenario


@dataclass(frozen=True)
class Opening:
    """How a scenario meets its reader.

    Attributes
    ----------
    sentence : str
        What is seen.
    question : str
        To predict before the highlighted control is moved; "" asks nothing.
    answers : tuple of str
        To choose from.
    afterwards : str
        What to look at, told once an answer is chosen. It does not say who was right: the run does.
    controls : tuple of str
        Dotted keys of at most five controls; the first is highlighted.
    overrides : tuple of (str, str)
        How the page opens it, where that differs from the file: smaller steps, so that motion is seen.
    speed : float
        Seconds of model time a second.
    """

    sentence: str
    controls: tuple[str, ...]
    question: str = ""
    answers: tuple[str, ...] = ()
    afterwards: str = ""
    overrides: tuple[tuple[str, str], ...] = ()
    speed: float = 300.0


OPENINGS = {
    "signaling": Opening(
        sentence="Donor cells in the middle (triangles) release vesicles, the moving dots, which drift "
        "until a recipient (circle) takes them up or they are cleared.",
        question="Let every recipient take up vesicles ten times as eagerly. Will the message reach farther?",
        answers=("Farther", "Just as far", "Less far"),
        afterwards="Set the uptake rate to 140 µm³/s, press Go, and watch the outer circles.",
        controls=(
            "cell_type.recipient.uptake_rate",
            "cell_type.donor.release_rate",
            "vesicle.exosome.half_life",
            "vesicle.exosome.delivery_probability",
            "layout.group.recipient.count",
        ),
        overrides=(("transport.engine", "vesicles"), ("clock.step", "10")),
        speed=300.0,
    ),
    "two_cells": Opening(
        sentence="One donor (triangle) releases vesicles into a drop of medium, seen from above; one "
        "recipient (circle), 40 µm away, takes up those that happen to meet it.",
        question="The recipient is in plain sight. What share of the vesicles will it take up in a day?",
        answers=("More than half", "About a tenth", "Less than a hundredth"),
        afterwards="Press Go, and compare emitted with taken up in the plot.",
        controls=(
            "cell_type.recipient.uptake_rate",
            "cell_type.donor.release_rate",
            "cell_type.recipient.diameter",
            "vesicle.exosome.half_life",
            "vesicle.exosome.delivery_probability",
        ),
        overrides=(("transport.engine", "vesicles"), ("clock.step", "5")),
        speed=180.0,
    ),
    "waste_removal": Opening(
        sentence="Stressed cells (orange) pack waste into vesicles; their neighbors and a few large "
        "macrophages take it up, and macrophages break it down fast.",
        question="Double the export of waste. Will the stressed cells end up with half as much?",
        answers=("About half", "Only a little less", "More"),
        afterwards="Set the export rate to 0.2 per h, press Go, and look at the waste per stressed cell.",
        controls=(
            "cell_type.stressed.waste.export_rate",
            "cell_type.macrophage.uptake_rate",
            "layout.group.macrophage.count",
            "transport.hindrance",
            "cell_type.stressed.waste.lysosomal_rate",
        ),
        overrides=(("transport.engine", "vesicles"),),
        speed=1800.0,
    ),
    "tissue": Opening(
        sentence="A tumor nest in stroma, every cell where a table says. All of them send, and all of "
        "them take up what reaches them through the crowded tissue.",
        question="Open the tissue up, from a hindrance of 0.05 to 0.4. Will more vesicles be taken up?",
        answers=("Many more", "About as many, from farther away", "Fewer"),
        afterwards="Set the hindrance to 0.4, press Go, and compare the type x type table.",
        controls=(
            "transport.hindrance",
            "cell_type.tumor.release_rate",
            "cell_type.macrophage.uptake_rate",
            "vesicle.exosome.half_life",
            "vesicle.exosome.delivery_probability",
        ),
        speed=1800.0,
    ),
}

_USUAL = ("release_rate", "uptake_rate", "half_life", "hindrance", "delivery_probability")


def opening(loaded: LoadedScenario) -> Opening:
    """The opening of a scenario; of one that is not shipped, its own words and the usual controls."""
    if loaded.name in OPENINGS:
        return OPENINGS[loaded.name]
    keys = knobs(loaded)
    found = [next((k for k in keys if k.endswith(f".{name}")), "") for name in _USUAL]
    info = loaded.scenario.info
    return Opening(sentence=info.summary or info.title, controls=tuple(key for key in found if key))


def first_setup(scenario: str, *, trusted: bool = False, seed: int = 1) -> Setup:
    """How the page opens a scenario by name (or path, where trusted)."""
    start = OPENINGS.get(scenario)
    return Setup(scenario, start.overrides if start else (), seed, trusted)
