"""Release, diffusion, uptake, delivery: what becomes of one cell's vesicles."""

from __future__ import annotations

from functools import partial

from exoabm.viz.teaching.lesson import Lesson, Step, Trap, of, ratio
from exoabm.viz.teaching.measures import accounts, first_meeting

_OPEN = tuple((f"domain.faces.{axis}", "open") for axis in "xyz")

_step = partial(Step, unit="%", measure=accounts, hours=24.0)

LESSON = Lesson(
    key="message-in-a-bottle",
    title="Message in a bottle",
    idea="A cell sends vesicles without an address. Follow them: adrift, met by chance, swallowed, and "
    "rarely heard.",
    seen="One donor cell (triangle) releases vesicles, the dots, into a drop of medium, seen from above. One "
    "recipient (circle) waits 40 µm away.",
    scenario="two_cells",
    changes=(("transport.engine", "vesicles"), ("clock.step", "30")),
    steps=(
        _step(
            key="adrift",
            title="Adrift",
            read="One **donor cell** (triangle) sits in a drop of medium, a fifth of a millimeter wide, "
            "and releases 60 vesicles an hour. Each is a bubble of membrane 80 nm across, pushed about by "
            "water molecules. Vesicles do not last: half of them fall apart within 6 hours. One "
            "**recipient** (circle) is 40 µm away.",
            predict="After 6 hours of steady release, what share of all released vesicles is still adrift?",
            guesses=("About a quarter", "Half: that is what half-life means", "About 70 %"),
            changes=(),
            look="Each dot is one vesicle. The drop fills up, but ever more slowly.",
            ask="In your run, what percentage of the released vesicles is still free after 6 h? Choose the "
            "plot “Where the vesicles are” and compare free with released.",
            truth=of("free_percent"),
            slack=2.0,
            traps=(
                Trap(of("free_percent", 1 / 100), "That is the fraction; take it times 100."),
                Trap(of("free"), "That is how many are free. Divide by how many were released."),
                Trap(of("cleared_percent"), "That is the share that is gone already."),
            ),
            hint="Divide the free vesicles by all that were released (the sentence under the picture names "
            "both) and take it times 100.",
            explain="{free} of {emitted} are still adrift, {truth}. Half-life speaks of vesicles of *one* "
            "age. Here some are 6 hours old and some have just left, so more than half are there:\n\n"
            "share left = (1 - e^(-k t)) / (k t), with k = ln 2 / 6 h: **72 %** at 6 h, less what was "
            "taken up.",
            hours=6.0,
            speed=1800.0,
        ),
        _step(
            key="chance",
            title="Meeting by chance",
            read="Pushed about, a vesicle gets away from where it was, but not in any direction. Its mean "
            "square distance grows in step with time, ⟨r²⟩ = 6 D t, and D = 8.6 µm²/s here. So the 40 µm "
            "to the recipient take about r²/6D = **31 seconds**.",
            predict="When will the recipient meet its first vesicle?",
            guesses=("Within a minute", "Within an hour", "Later than that"),
            changes=(),
            look="Click the recipient (the circle). Its card tells who reached it, and when.",
            ask="At what time, in hours, did the first vesicle bind to the recipient in your run? The card "
            "of the recipient says so.",
            unit="h",
            measure=lambda model: accounts(model) | first_meeting(model),
            truth=of("first_h"),
            tolerance=0.03,
            slack=0.006,
            traps=(
                Trap(of("first_h", 60), "That is in minutes; the question asks for hours."),
                Trap(of("cross_s", 1 / 3600), "So long the way takes. When was the cell really met?"),
            ),
            hint="Click the circle. In the table “Who reached me” the last column is the time of first "
            "contact.",
            explain="The way takes {cross_s} s, the first meeting came after {truth}. The vesicle does not "
            "know where to go: it is the *volume* that makes it wait. A recipient of 15 µm in a drop of "
            "8,000,000 µm³ is a small island in a large sea, and even when touched it binds only some of "
            "what touches it. Another seed gives another time, for this is chance.",
            hours=12.0,
            speed=3600.0,
        ),
        _step(
            key="uptake",
            title="Swallowed",
            read="A bound vesicle is swallowed (6 in an hour) or lets go (1 in an hour). The recipient "
            "binds what comes at k_a = 14 µm³/s, as if it emptied 14 µm³ of medium every second. The drop "
            "has 8,000,000 µm³.",
            predict="In a whole day, what share of all released vesicles does the recipient take up?",
            guesses=("About 3 %", "About 30 %", "Most of them"),
            changes=(),
            look="Follow “taken up” in the plot, far below “released”.",
            ask="What percentage of the released vesicles was taken up in your run, after 24 h?",
            truth=of("taken_percent"),
            tolerance=0.06,
            slack=0.15,
            traps=(
                Trap(of("taken"), "That is how many. Divide by how many were released."),
                Trap(of("taken_percent", 1 / 100), "That is the fraction; take it times 100."),
            ),
            hint="Divide “taken up” by “released” at 24 h and take it times 100; both stand in the "
            "sentence under the picture.",
            explain="{taken} of {emitted}: {truth}. Two clocks race. Decay takes a vesicle at ln 2 / 6 h = "
            "0.116 per hour. Uptake takes it at 14 µm³/s × 3600 / 8,000,000 µm³ = 0.0063 per hour. Decay "
            "is 18 times as fast, so about one in twenty would end in the recipient if one waited; after a "
            "day many are still adrift ({free}).",
            speed=5400.0,
        ),
        _step(
            key="delivery",
            title="Uptake is not delivery",
            read="What is swallowed sits in an endosome, on its way to the lysosome, where it is digested. "
            "To be heard, a vesicle must let its cargo out before. How often that happens is the least "
            "known number of the field: from 1 in 1,000 to 1 in 3. The model takes 1 in 100. Now we change "
            "from single vesicles to **expected numbers**, the mean of very many runs: the field you see "
            "is concentration.",
            predict="After a day, how many vesicles can the recipient be expected to have heard?",
            guesses=("About 40", "About 4", "Fewer than one"),
            changes=(("transport.engine", "continuum"),),
            look="Watch the gap between “taken up” and “delivered”.",
            ask="In your run, how many vesicles were taken up for each one that delivered?",
            unit="",
            truth=ratio("taken", "delivered"),
            tolerance=0.05,
            traps=(
                Trap(ratio("delivered", "taken"), "The other way round: taken up per delivered."),
                Trap(ratio("emitted", "delivered"), "That is released per delivered."),
            ),
            hint="Divide “taken up” by “delivered” at 24 h; the sentence under the picture names both.",
            explain="{taken} taken up, {delivered} delivered: {truth} for one. A little more than 100, "
            "since the last ones are still in the endosome, undecided. 0.4 expected deliveries do not mean "
            "that four tenths of a message arrived: they mean that in 6 of 10 days like this one, "
            "*nothing* arrives.\n\n"
            "**Uptake is not delivery, and delivery is not effect.** A picture of glowing vesicles in "
            "cells shows uptake.",
            speed=7200.0,
        ),
        _step(
            key="sea",
            title="The open sea",
            read="Until now the drop had walls, and vesicles came back. Now all six walls are open: what "
            "crosses them is gone, as in a large dish or flowing blood. We are back to single vesicles.",
            predict="What becomes of the recipient's share?",
            guesses=("Much the same: it stands close by", "Half", "A tenth or less"),
            changes=_OPEN,
            look="Far fewer dots: each leaves within minutes.",
            ask="What percentage of the released vesicles left through the walls (escaped) or fell apart? "
            "All that are neither free nor taken up are lost. Type the percentage that is lost.",
            truth=lambda found: found["escaped_percent"] + found["cleared_percent"],
            slack=1.0,
            tolerance=0.0,
            traps=(Trap(of("taken_percent"), "That is what was taken up; the lost are asked for."),),
            hint="Take 100 %, less what is free, less what was taken up (each as a percentage of released).",
            explain="{escaped} of {emitted} escaped and {cleared} fell apart: {truth}. The recipient got "
            "{taken}, against {uptake_taken} in the closed drop. A vesicle passes a neighbor once, "
            "quickly; in a closed room it passes again and again. Where walls, matrix or crowding keep "
            "vesicles near, cells talk; where fluid carries them off, they do not.",
            speed=7200.0,
        ),
    ),
    close="**What you have found.** Release is steady, meeting is chance, the medium's clock beats the "
    "recipient's, few vesicles are heard, and walls decide more than distance does. Try *How far?* next: "
    "there distance is everything.",
)
