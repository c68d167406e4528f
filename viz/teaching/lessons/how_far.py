"""The length sqrt(D/k), measured: how far vesicles get before they are gone."""

from __future__ import annotations

from functools import partial

from exoabm.viz.teaching.lesson import Lesson, Step, Trap, of
from exoabm.viz.teaching.measures import spread

_ASK = (
    "The drawing below is made from your run: concentration against distance, and the mean square distance "
    "⟨r²⟩ of all free vesicles. "
)

_TEN_MINUTES = ("vesicle.exosome.half_life", "0.1666666667")
_NOT_HALVED = Trap(of("measured", 2), "That is √⟨r²⟩; λ is half of it.")
_step = partial(
    Step,
    unit="µm",
    measure=spread,
    truth=of("measured"),
    traps=(_NOT_HALVED,),
    hint="Take the square root of the mean square distance under the drawing, and halve it.",
    hours=2.0,
    speed=300.0,
    instrument="spread",
)
"""A step asks for the length of a cloud, read off the same drawing, but where it says otherwise."""

LESSON = Lesson(
    key="how-far",
    title="How far?",
    idea="Two numbers decide how far a message carries: how fast vesicles spread, and how soon they are "
    "gone.",
    seen="One donor cell in the middle releases vesicles at a steady rate. The darker the ground, the more "
    "of them are there; the small marks around it are other cells.",
    scenario="signaling",
    changes=(
        ("transport.engine", "continuum"),
        ("clock.step", "30"),
        ("layout.group.donor.count", "1"),
        ("cell_type.donor.release_rate", "2700"),
        ("cell_type.recipient.uptake_rate", "0"),
        ("transport.provenance", "cell_type"),
    ),
    steps=(
        _step(
            key="cloud",
            title="A cloud that stands still",
            read="One donor in the middle of a thin layer, 1.1 mm wide, releases 2,700 vesicles an hour. "
            "They spread with D = 8.59 µm²/s, and here they are short-lived: half are gone after **2.5 "
            "minutes**. The recipients do nothing yet. A vesicle lives 1/k = 2.5 min / ln 2 = 216 s on "
            "average.",
            predict="The donor never stops. What does the cloud around it do?",
            guesses=("It grows until it fills the dish", "It grows, then keeps its size", "It pulses"),
            changes=(("vesicle.exosome.half_life", "0.0416666667"),),
            look="Watch the edge of the cloud, not its middle.",
            ask=_ASK + "A length for the size of the cloud is λ = ½ √⟨r²⟩. What is λ, in µm?",
            traps=(
                _NOT_HALVED,
                Trap(of("square"), "That is ⟨r²⟩ itself; take half of its root."),
                Trap(of("square", 1 / 2), "You took half of ⟨r²⟩; take the root first."),
            ),
            explain="λ = {truth} in your run. In a layer ⟨r²⟩ = 4 D t, and t is a vesicle's life, 1/k on "
            "average. So ⟨r²⟩ = 4 D/k, and\n\n"
            "**λ = ½ √⟨r²⟩ = √(D/k)** = √(8.59 µm²/s × 216 s) = {law} µm.\n\n"
            "Release says how *dense* the cloud is, not how *wide*: that is why it stands still.",
            hours=1.0,
            speed=180.0,
        ),
        _step(
            key="longer",
            title="Live four times as long",
            read="Now the half-life is **10 minutes**, four times as long. Nothing else changes.",
            predict="How much wider is the cloud?",
            guesses=("Twice as wide", "Four times as wide", "Sixteen times as wide"),
            changes=(_TEN_MINUTES,),
            look="It takes longer to stand still, too.",
            ask=_ASK + "What is λ = ½ √⟨r²⟩ now, in µm?",
            explain="{truth}, after {cloud_measured} µm: **twice** as wide, for four times the life. "
            "Distance grows with the *square root* of time, so reach is bought dearly: to get ten times as "
            "far, a vesicle must live a hundred times as long.",
        ),
        _step(
            key="slower",
            title="Through tissue",
            read="Tissue is crowded: vesicles squeeze between cells and fibers, and spread more slowly. We "
            "set the hindrance to **0.25**, so that D is a quarter of what it was; the half-life stays at "
            "10 minutes.",
            predict="Which earlier cloud will this one look like?",
            guesses=("The one of 2.5 minutes", "The one of 10 minutes", "Neither: a sixteenth as wide"),
            changes=(_TEN_MINUTES, ("transport.hindrance", "0.25")),
            look="Compare with what you measured before.",
            ask=_ASK + "What is λ now, in µm?",
            explain="{truth}: the cloud of the first step again ({cloud_measured} µm). Only the ratio D/k "
            "counts: a quarter of D does what four times k did. So a picture of a cloud alone cannot tell "
            "whether vesicles are slow or short-lived; how long it took to stand still can.",
        ),
        _step(
            key="listeners",
            title="Listeners make the room smaller",
            read="Back to free medium and 10 minutes, but now the 300 recipients **take vesicles up** at "
            "14 µm³/s each. For a vesicle it is all one whether it falls apart or is swallowed: it is gone.",
            predict="What will λ be, compared with the 10 minutes cloud?",
            guesses=("Longer: recipients pass it on", "The same: D and half-life are the same", "Shorter"),
            changes=(_TEN_MINUTES, ("cell_type.recipient.uptake_rate", "14")),
            look="The circles fill up, those near the donor first.",
            ask=_ASK + "Turn the law around, k = D/λ², with D = 8.59 µm²/s. Vesicles fall apart at 4.16 per "
            "hour. At what rate, per hour, do the recipients take them in addition?",
            unit="1/h",
            truth=of("extra_h"),
            tolerance=0.1,
            traps=(
                Trap(of("rate_h"), "That is both together; take off the 4.16 of falling apart."),
                Trap(of("rate_h", 1 / 3600), "That is both together, per second; times 3600, less 4.16."),
                Trap(of("extra_h", 1 / 3600), "Per second it is right; per hour it is 3600 times that."),
                Trap(of("measured"), "That is λ in µm. Now k = D/λ², times 3600, less 4.16."),
            ),
            hint="λ = ½ √⟨r²⟩. Then k = 8.59/λ² per second, times 3600 for an hour; take off 4.16.",
            explain="λ = {measured} µm instead of {longer_measured} µm, so k = {rate_h} per hour, of which "
            "recipients take **{truth}**. By hand: 300 cells in a disc of 520 µm, 10 µm thick, are "
            "3.5·10⁻⁵ per µm³; times 14 µm³/s that is 1.8 per hour. Yours is a little less, for no "
            "recipient stands where most vesicles are, near the donor.\n\n"
            "This is **screening**: the more listen, the fewer hear from afar.",
        ),
        _step(
            key="noise",
            title="One vesicle at a time",
            read="So far you saw expected numbers. Now each vesicle is followed by itself, as in life, "
            "with all else as in the cloud of 10 minutes and no listeners.",
            predict="Will half the root of ⟨r²⟩ still be √(D/k) = 86.2 µm?",
            guesses=("Exactly", "Within a few percent", "No: chance breaks the law"),
            changes=(_TEN_MINUTES, ("transport.engine", "vesicles")),
            look="About 650 dots are alive at any time.",
            ask=_ASK + "What is λ of these very vesicles, in µm?",
            explain="{truth}, against {law} µm by the law. With some 650 vesicles the mean square wanders "
            "by a few percent; another seed gives another number on either side. The law holds for the "
            "mean, and the field *is* that mean.",
        ),
    ),
    close="**What you have found.** λ = √(D/k). With the usual half-life of 6 hours it is half a "
    "millimeter in free medium and a tenth of that in tissue. *Who talks to whom?* asks what such a reach "
    "makes of many cells.",
)
