"""The network: who hears most, how unequal it is, what happens when a sender or the listeners go."""

from __future__ import annotations

from functools import partial

from exoabm.viz.teaching.lesson import Lesson, Step, Trap, of, ratio
from exoabm.viz.teaching.measures import network

_TURNED = "The other way round."
_step = partial(Step, unit="", measure=network, hours=12.0, instrument="sharing")

LESSON = Lesson(
    key="who-talks-to-whom",
    title="Who talks to whom?",
    idea="Seven cells send, three hundred listen. Nobody chooses a partner, and yet a network appears.",
    seen="A few donors (triangles) in the middle of many recipients (circles), which darken with the "
    "vesicles that they take up.",
    scenario="signaling",
    changes=(("transport.engine", "continuum"), ("clock.step", "60")),
    steps=(
        _step(
            key="hub",
            title="The best-connected cell",
            read="Seven donors in the middle, 300 recipients around them, all alike: same membrane, same "
            "appetite. Every vesicle taken up is booked to the cell that sent it and the one that got it. "
            "These are the **links** of the network, 7 × 300 of them.",
            predict="Will the recipients end up much alike, too?",
            guesses=(
                "Yes, they are the same kind of cell",
                "The nearest get a little more",
                "A few get most of it",
            ),
            changes=(),
            look="The circles darken as they receive. Then open “Who talks to whom” and the network.",
            ask="Which recipient has taken up most? Type the number of the cell: point at the darkest "
            "circles of the network, or click them on the picture.",
            truth=of("hub"),
            instrument="",
            tolerance=0.0,
            slack=0.4,
            hint="Not that one. Click the circles next to the donors and compare “taken up”; several come "
            "close.",
            explain="Cell {hub}, with {hub_got} vesicles, when half of all recipients have fewer than "
            "{median_got}. Nothing sets it apart but its place. In network words it is a **hub** by "
            "strength: hubs need no special cell, only a special position.",
        ),
        _step(
            key="unequal",
            title="How unequal?",
            read="The same run, asked another way. Line up the recipients from the one that got most to "
            "the one that got least.",
            predict="What share of all that is taken up goes to the first tenth of the recipients?",
            guesses=("10 %: a tenth gets a tenth", "About 20 %", "About 40 %"),
            changes=(),
            look="The drawing under the question is made from your run.",
            ask="What percentage of all vesicles taken up went to the 30 recipients that got most?",
            unit="%",
            truth=of("top_percent"),
            slack=1.5,
            traps=(
                Trap(lambda found: 100 - found["top_percent"], "That is what the other nine tenths got."),
            ),
            hint="Read the curve in the drawing at a tenth of the recipients.",
            explain="{truth} to one tenth of the cells. Concentration falls off steeply with distance "
            "(*How far?* says how), and uptake follows it. An average “vesicles per cell” would describe "
            "almost no cell here: the mean is {mean_got}, the median {median_got}.",
        ),
        _step(
            key="senders",
            title="And the senders?",
            read="Donors release alike. One sits in the middle of the seven, the others around it.",
            predict="How unequal are the seven donors in what *reaches* somebody?",
            guesses=("As unequal as the recipients", "Somewhat unequal", "Hardly at all"),
            changes=(),
            look="Click donors one after another and compare “Whom I reached”.",
            ask="The spread of a group is its standard deviation as a percentage of its mean. The drawing "
            "gives it for what donors sent and what recipients got. How many times as large is that of the "
            "recipients?",
            truth=ratio("got_spread", "sent_spread"),
            tolerance=0.08,
            traps=(
                Trap(of("got_spread"), "That is the recipients' spread; divide it by the donors'."),
                Trap(ratio("sent_spread", "got_spread"), _TURNED),
            ),
            hint="Divide the recipients' spread by that of the donors; both stand under the drawing.",
            explain="{got_spread} % among recipients, {sent_spread} % among donors: {truth} times. What a "
            "donor loses to the medium hardly depends on where it sits by a few µm. So the network has "
            "hubs that *listen*, not hubs that *speak*. Were release rates different, that would change: "
            "try it on the page.",
        ),
        _step(
            key="remove",
            title="Remove one",
            read="Take one of the seven donors away and leave all else as it was, chance included: the "
            "recipients stand where they stood.",
            predict="What happens to the links of the other six?",
            guesses=("They grow: less competition", "They stay as they were", "They shrink"),
            changes=(("layout.group.donor.count", "6"),),
            look="The picture looks the same. Does it say the same?",
            ask="By what percentage is the total uptake smaller than with seven donors? Your first run "
            "gave {hub_total}; the drawing gives the new total.",
            unit="%",
            truth=lambda found: 100 * (1 - found["total"] / found["hub.total"]),
            slack=0.3,
            tolerance=0.02,
            traps=(
                Trap(ratio("total", "hub.total", 100), "That is what is left, in percent."),
                Trap(
                    lambda found: 100 * (found["hub.total"] / found["total"] - 1),
                    "That is as a share of the new total.",
                ),
            ),
            hint="Take 1 less the new total over the old one, times 100.",
            explain="{truth}: one seventh is 14.3 %. The other six talk exactly as before. Uptake is "
            "*linear* here, the field far below saturation, so senders do not get in each other's way: the "
            "network is a **sum** of what each would do alone. That is what allows the exact transfer "
            "matrix, and it ends where uptake saturates.",
        ),
        _step(
            key="listeners",
            title="Remove the listeners",
            read="Seven donors again, but only **100** recipients instead of 300.",
            predict="What does each of the remaining hundred get, on average?",
            guesses=("A third as much", "As much as before", "More than before"),
            changes=(("layout.group.recipient.count", "100"),),
            look="Cells far out get something now.",
            ask="How many times as much does a recipient get on average? Before, the mean was "
            "{hub_mean_got}; the drawing gives the new one.",
            truth=ratio("mean_got", "hub.mean_got"),
            tolerance=0.03,
            traps=(
                Trap(of("mean_got"), "That is the new mean; divide it by the old one."),
                Trap(ratio("hub.mean_got", "mean_got"), _TURNED),
            ),
            hint="Divide the new mean by the one of the first run.",
            explain="{truth} times as much: {mean_got} instead of {hub_mean_got}. Senders do not compete, "
            "but **listeners do**: what one swallows, another misses. The total fell only from {hub_total} "
            "to {total}. Removing a speaker silences its links; removing listeners strengthens those of "
            "the rest. Which of the two a treatment does is worth knowing beforehand.",
        ),
    ),
    close="**What you have found.** Place makes hubs; listeners are unequal, speakers are not; speakers "
    "add up, listeners compete. Open *A tissue talks* and look for the same in a tumor: who screens whom?",
)
