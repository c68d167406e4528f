"""The first minute of each scenario: how it opens, one sentence, a question to predict, five controls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exoabm.viz.parameter_controls import knobs
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
    "relay": Opening(
        sentence="Sources at the left end of a strip of tissue send a message in vesicles; the cells between "
        "take it up and, once they hold enough, send it on. Readers wait at the right end.",
        question="Make the message ten times smaller, 10 copies in a vesicle. Will it still get through?",
        answers=("As fast", "More slowly", "It gets stuck"),
        afterwards="Set the copies to 10, press Go, and watch how far the filled cells reach.",
        controls=(
            "cargo.message.copies",
            "response.handing_on.half_max",
            "vesicle.exosome.delivery_probability",
            "cell_type.source.release_rate",
            "transport.hindrance",
        ),
        overrides=(("transport.engine", "vesicles"),),
        speed=10800.0,
    ),
    "chemotaxis": Opening(
        sentence="A leader in the middle (triangle) sends a fixed amount of cargo in vesicles; the followers "
        "around it (circles) crawl to where the vesicles that they meet came from.",
        question="Pack 16 copies into a vesicle instead of 128, eight times as many vesicles. Will they come "
        "sooner?",
        answers=("Sooner", "At the same time", "Later, or not at all"),
        afterwards="Set the copies to 16 and the release rate to 125 per h, and press Go.",
        controls=(
            "cargo.signal.copies",
            "cell_type.leader.release_rate",
            "cell_type.follower.follows.speed",
            "cell_type.follower.follows.half_max",
            "cell_type.follower.uptake_rate",
        ),
        speed=600.0,
    ),
    "tumor_niche": Opening(
        sentence="Tumor cells send vesicles that turn the fibroblasts around them into helpers, and helpers "
        "send a growth factor back by which tumor cells divide faster.",
        question="Let fibroblasts be ten times harder to turn. Will the tumor grow as fast in four days?",
        answers=("As fast", "A little slower", "Much slower"),
        afterwards="Set the half max of conditioning to 500, press Go, and look at the cells that live.",
        controls=(
            "response.conditioning.half_max",
            "response.growth.half_max",
            "cell_type.tumor.release_rate",
            "cargo.growth_factor.copies",
            "layout.group.fibroblast.count",
        ),
        speed=10800.0,
    ),
    "native_mirna": Opening(
        sentence="Donors (triangles) release vesicles with a native miRNA, one copy in 121 vesicles; "
        "the recipients around them would change their type if enough copies arrived.",
        question="Each recipient takes up hundreds of vesicles. How many copies reach its cytosol in three "
        "days?",
        answers=("Hundreds", "About ten", "Less than one"),
        afterwards="Press Go, and compare taken up with delivered; then multiply by the copies in a vesicle.",
        controls=(
            "cargo.mirna.copies",
            "vesicle.exosome.delivery_probability",
            "cell_type.donor.release_rate",
            "cell_type.recipient.uptake_rate",
            "response.reprogramming.half_max",
        ),
        overrides=(("transport.engine", "vesicles"),),
        speed=3600.0,
    ),
    "disease_progression": Opening(
        sentence="One cell in the middle holds seeds of a misfolded protein. They replicate, leave in "
        "vesicles and start anew in the cells that take these up; phagocytes clear most of what they catch.",
        question="Halve the export of seeds from neurons. Will the disease need twice as long to spread?",
        answers=("Twice as long", "A little longer", "Just as long"),
        afterwards="Set the export of neurons to 0.005 per h, press Go, and look at the seeds per neuron.",
        controls=(
            "cell_type.neuron.holds.seed.export",
            "cell_type.neuron.holds.seed.replication",
            "cell_type.phagocyte.uptake_rate",
            "layout.group.phagocyte.count",
            "vesicle.exosome.delivery_probability",
        ),
        speed=10800.0,
    ),
    "tissue_repair": Opening(
        sentence="A gap in a layer of cells, and vesicles with a growth factor put into it. The more of the "
        "factor the cells at its edges sense, the faster they divide into the gap.",
        question="Let 30 in 100 vesicles taken up deliver, instead of one. How much sooner will it close?",
        answers=("Thirty times sooner", "Somewhat sooner", "Not at all"),
        afterwards="Set the delivery probability to 0.3, press Go, and look at the cells that live.",
        controls=(
            "vesicle.vesicle.delivery_probability",
            "response.growth.half_max",
            "cell_type.edge.uptake_rate",
            "cargo.factor.copies",
            "transport.hindrance",
        ),
        speed=10800.0,
    ),
    "tumor_delivery": Opening(
        sentence="A patch of tumor with four capillaries, fed from the blood of a mouse that was given a "
        "drug in vesicles. What leaves the blood here is taken up by tumor and stroma.",
        question="Tumor cells take targeted vesicles up five times as fast. Will five times the drug arrive?",
        answers=("Five times", "About twice", "Hardly more"),
        afterwards="Set the uptake rate of the tumor to 70 µm³/s, press Go, and look at the copies of drug.",
        controls=(
            "cell_type.tumor.uptake_rate",
            "cargo.drug.copies",
            "vesicle.vesicle.delivery_probability",
            "transport.hindrance",
            "vesicle.vesicle.half_life",
        ),
        speed=3600.0,
    ),
    "delivery_routes": Opening(
        sentence="A small patch of the target, cell by cell, around one capillary: what reaches it of ten "
        "billion vesicles that a mouse was given into a vein.",
        question="Of ten billion vesicles in the vein, how many enter this patch of twelve cells?",
        answers=("Millions", "Thousands", "Some tens"),
        afterwards="Press Go, and read the vesicles released into the patch.",
        controls=(
            "dose.dose.drainage_half_life",
            "dose.dose.target_permeability",
            "cell_type.target.uptake_rate",
            "vesicle.vesicle.delivery_probability",
            "transport.hindrance",
        ),
        speed=10800.0,
    ),
    "exosome_vs_cell_therapy": Opening(
        sentence="A patch of the target in a mouse that was given a million therapeutic cells: they release "
        "vesicles in its blood until the host has killed them.",
        question="Let the cells live three times as long. Will three times as many vesicles arrive here?",
        answers=("Three times", "Fewer: the host kills them", "As many"),
        afterwards="Set the half-life of the cells to three times its value, and press Go.",
        controls=(
            "dose.cells.therapeutic_half_life",
            "dose.cells.release_rate",
            "immunity.antigen_half",
            "cell_type.target.uptake_rate",
            "vesicle.vesicle.delivery_probability",
        ),
        speed=10800.0,
    ),
    "production": Opening(
        sentence="A small piece of a culture dish under a millimeter of medium: the producers release "
        "vesicles in bursts, and take some of them up again.",
        question="Twice as many producers in the dish: will each leave as many vesicles in the medium?",
        answers=("As many", "Somewhat fewer", "Half as many"),
        afterwards="Set the producers to 16, press Go, and compare the vesicles taken up per cell.",
        controls=(
            "layout.group.producer.count",
            "cell_type.producer.release_rate",
            "cell_type.producer.uptake_rate",
            "vesicle.vesicle.half_life",
            "cell_type.producer.ilvs_per_mvb",
        ),
        overrides=(("transport.engine", "vesicles"),),
        speed=3600.0,
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
