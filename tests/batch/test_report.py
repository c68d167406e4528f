"""What a report says: where a verdict turns, whose ranges are swept, the units; marks that do not touch."""

from __future__ import annotations

import re
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exoabm.api.trials import planned
from exoabm.batch.trials import report_charts
from exoabm.batch.trials.design import plan_trial
from exoabm.batch.trials.report import render
from exoabm.batch.trials.report_texts import setting, shown
from exoabm.batch.trials.trial import Trial, run_trial
from exoabm.batch.trials.verdict import Direction, Scale, Verdict, each_of, paired_effect
from exoabm.cli.options import changes_of
from exoabm.scenario.loader import parse
from tests.conftest import parsed

NB = "\N{NO-BREAK SPACE}"

WITH_A_FACTOR = """
[info]
title = "A factor beside a vesicle"
question = "Which one is taken up?"
[domain]
size = ["100 um", "100 um"]
voxel = "20 um"
[[layout.group]]
cell_type = "donor"
arrange = "points"
points = [[50, 50]]
[[layout.group]]
cell_type = "recipient"
arrange = "points"
points = [[30, 30], [70, 50]]
[clock]
step = "30 min"
duration = "2 h"
[record]
metrics = "1 h"
[[cargo]]
name = "signal"
copies = 1
[[vesicle]]
name = "exosome"
cargo = ["signal"]
[[vesicle]]
name = "factor"
comparator = "soluble_factor"
cargo = ["signal"]
[[cell_type]]
name = "donor"
releases = "exosome"
secretion = "poisson"
[[cell_type]]
name = "recipient"
takes_up = ["exosome", "factor"]
saturation = "inf"
[trial]
claim = "A donor's vesicles are taken up."
replicates = 4
sweep_replicates = 4
[[trial.readout]]
name = "taken_up"
metric = "taken_up_per_cell[recipient]"
title = "Taken up"
unit = "EV"
[[trial.criterion]]
readout = "taken_up"
arm = "sending"
versus = "silent"
direction = "higher"
by = 1
[[trial.criterion]]
readout = "taken_up"
arm = "sending"
versus = "slow"
direction = "not lower"
by = 1
[[trial.assumption]]
name = "life"
title = "half-life of the factor"
keys = ["vesicle.factor.half_life"]
values = ["0.1 h"]
[[trial.assumption]]
name = "k_a"
title = "uptake"
keys = ["cell_type.recipient.uptake_rate"]
values = ["1e-6 um^3/s", "20 um^3/s"]
[[arm]]
name = "silent"
title = "Nothing"
set = { "cell_type.donor.release_rate" = 0 }
[[arm]]
name = "sending"
title = "All"
[[arm]]
name = "slow"
title = "Slow"
set = { "cell_type.recipient.uptake_rate" = 7 }
"""


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    loaded = parse(WITH_A_FACTOR.encode(), name="factor.toml", folder=Path(), overrides={})
    return run_trial(plan_trial(loaded), tmp_path_factory.mktemp("report") / "out")


@pytest.fixture(scope="module")
def page(trial: Trial) -> str:
    return render(trial).replace("<wbr>", "")


def test_the_head_says_where_an_assumption_turns_the_verdict(trial: Trial, page: str) -> None:
    assert trial.verdict is Verdict.DEPENDS
    assert trial.base is Verdict.SUPPORTS
    head = page.partition("</header>")[0]
    assert "<li>uptake: does not support at 10⁻⁶ µm³/s, own value 14 µm³/s</li>" in head
    assert "half-life of the factor" not in head


def test_a_range_of_vesicles_is_not_told_of_a_factor(page: str) -> None:
    assert (
        "vesicle.factor.half_life</code>; no published range, the values are stated by the scenario" in page
    )
    assert "1 to 600 µm³/s, swept from 10⁻⁶ to 20 µm³/s" in page
    (row,) = re.findall(r"<tr><td><code>vesicle.factor.half_life.*?</tr>", page)
    assert "<td></td>" in row
    assert "2 to 48" not in row


def test_a_bare_number_of_an_arm_has_the_unit_of_its_parameter(page: str) -> None:
    assert f"uptake_rate ={NB}7{NB}µm³/s</code>" in page
    assert setting(["a", "b"], "1") == '["a", "b"]'
    assert setting("20 um", "um") == f"20{NB}um"
    assert setting(0, "1/h") == "0"
    assert setting(True, "1") == "true"


def test_criteria_on_one_readout_are_told_apart(page: str) -> None:
    assert re.search(r"Taken up: All and Nothing</tspan>", page)
    assert re.search(r"Taken up: All and Slow</tspan>", page)


def test_the_same_in_every_replicate_is_said_of_nothing_else() -> None:
    base = np.zeros(4)
    assert shown(paired_effect(base + 2, base), "EV") == "+2.00 EV, the same in every replicate"
    near = shown(paired_effect([2, 2.001, 2, 2], base), "EV")
    assert near == f"+2.00 EV, within 0.1{NB}% the same in every replicate"
    assert "the same" not in shown(paired_effect([2, 2.1, 2, 2], base), "EV")


def test_intervals_beside_the_criteria_hold_together(trial: Trial, page: str) -> None:
    n = len(trial.secondary)
    assert n == 2
    assert {row.effect.level for row in trial.secondary} == {each_of(n)}
    assert "corrected for 2 comparisons" in page


@pytest.mark.parametrize("sweep", [True, False])
def test_the_printed_command_repeats_the_trial(tmp_path: Path, sweep: bool) -> None:
    """Seed, replicates, sweep, engine and changed values, of a file whose name a shell would split."""
    path = tmp_path / "a factor's.toml"
    path.write_text(WITH_A_FACTOR)
    changes = changes_of(["cell_type.recipient.uptake_rate=12 um^3 / s", "clock.duration=1 h"], "continuum")
    settings: dict[str, Any] = {"replicates": 2, "seed": 7, "sweep": sweep, "keep_runs": False}
    _, plan = planned(str(path), changes, **settings)
    page = render(run_trial(plan, tmp_path / "out"))
    (printed,) = re.findall(r"<pre>(exoabm trial .*?)</pre>", page)
    found = parsed(unescape(printed))
    given = {name: found[name] for name in settings}
    _, again = planned(found["scenario"], changes_of(found["set_"], found["engine"]), **given)
    assert given == settings
    assert again.rows == plan.rows
    assert again.sha256 == plan.sha256


def test_the_printed_command_names_what_a_trial_was_read_from(tmp_path: Path) -> None:
    loaded = parse(WITH_A_FACTOR.encode(), name="built-in-python", folder=Path(), overrides={})
    assert plan_trial(loaded).about["source"] == "built-in-python.toml"
    assert plan_trial(loaded, source="runs/a").about["source"] == "runs/a"


def places(picture: str, axis: str) -> list[float]:
    """Where the marks of a picture stand."""
    return [float(x) for x in re.findall(rf'<circle class="solid[^>]*c{axis}="([0-9.]+)"', picture)]


@pytest.mark.parametrize("values", [(0.5, 0.9, 0.99, 0.999), (0.001, 0.01, 0.3), (12.0, 24.0, 72.0)])
def test_marks_of_neighbors_do_not_touch(values: tuple[float, ...]) -> None:
    effect = paired_effect([2.0, 3.0, 4.0], [1.0, 1.0, 1.0])
    points = [(value, effect, Verdict.SUPPORTS) for value in values]
    xs = places(report_charts.sweep(points, values[1], Direction.HIGHER, 0.1, "", ""), "x")
    assert len(xs) == len(values)
    assert all(b - a > report_charts.TOUCHING for a, b in pairwise(xs))


def test_ratios_that_differ_by_powers_are_drawn_in_powers() -> None:
    """A bound of 0.8 below ratios of 1, 10 and 100: each stands as far above the last."""
    reference = np.ones(3)
    points = [
        (float(k), paired_effect(reference * 10.0**k, reference, Scale.RATIO), Verdict.SUPPORTS)
        for k in range(3)
    ]
    ys = places(report_charts.sweep(points, 1.0, Direction.NOT_LOWER, 0.2, "", ""), "y")
    assert ys[0] - ys[1] == pytest.approx(ys[1] - ys[2], abs=0.2)
    assert ys[0] - ys[1] > 30


def test_replicates_that_are_all_0_are_drawn() -> None:
    """As in a trial too short for a delivery, which ended in a division by zero."""
    drawn = report_charts.dot_plot({"a": np.zeros(2), "b": np.zeros(2)}, {}, "vesicles")
    assert "nan" not in drawn
    assert "Means: a 0; b 0" in drawn


def test_replicates_without_a_value_are_not_drawn() -> None:
    """As the purity of a batch without free protein: no dot, no mean, and no figure where all are so."""
    drawn = report_charts.dot_plot({"a": np.array([1.0, np.nan]), "b": np.array([2.0, 3.0])}, {}, "vesicles")
    assert "nan" not in drawn
    assert drawn.count("<circle") == 3
    assert "Means: a undefined; b 2.50" in drawn
    assert report_charts.dot_plot({"a": np.full(2, np.nan), "b": np.full(2, np.nan)}, {}, "vesicles") == ""
