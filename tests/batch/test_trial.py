"""Trials end to end: pairs share their draws, verdicts do not depend on processes, faults are named."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from exoabm.batch.execution.plan import Plan
from exoabm.batch.execution.workers import local
from exoabm.batch.trials.design import measure, plan_trial, take
from exoabm.batch.trials.report import render
from exoabm.batch.trials.trial import Trial, run_trial
from exoabm.batch.trials.trial_folder import write_trial
from exoabm.batch.trials.verdict import Direction, Verdict, judge, paired_effect
from exoabm.cli import app
from exoabm.errors import InputError, ScenarioError
from exoabm.model import ExosomeModel
from exoabm.scenario.loader import LoadedScenario, parse
from exoabm.scenario.schema import Scenario
from exoabm.scenario.schema_therapy import ReadoutTable
from tests.conftest import Command

CLI: Any = typer.main.get_command(app)

SMALL = """
[info]
title = "Small & <quick>"
question = "Does a donor reach its neighbors?"
[domain]
size = ["100 um", "100 um"]
voxel = "20 um"
[[layout.group]]
cell_type = "donor"
[[layout.group]]
cell_type = "recipient"
count = 4
spacing = "16 um"
[clock]
step = "30 min"
duration = "4 h"
[record]
metrics = "1 h"
[transport]
hindrance = 0.05
[[cargo]]
name = "signal"
copies = 1
[[vesicle]]
name = "exosome"
cargo = ["signal"]
[[cell_type]]
name = "donor"
releases = "exosome"
secretion = "poisson"
[[cell_type]]
name = "recipient"
takes_up = ["exosome"]
saturation = "inf"
[trial]
claim = "A donor's vesicles deliver."
replicates = 5
sweep_replicates = 3
limits = ["Anything <else>."]
[[trial.readout]]
name = "delivered"
metric = "delivered_per_cell[recipient]"
unit = "EV"
[[trial.criterion]]
readout = "delivered"
arm = "sending"
versus = "silent"
direction = "higher"
by = 0.05
[[trial.assumption]]
name = "phi"
title = "phi"
keys = ["vesicle.exosome.delivery_probability"]
[[arm]]
name = "silent"
set = { "cell_type.donor.release_rate" = 0 }
[[arm]]
name = "sending"
[[arm]]
name = "null"
note = "The same as the arm before."
"""


def small(text: str = SMALL, **pairs: Any) -> LoadedScenario:
    overrides = {key.replace("__", "."): str(value) for key, value in pairs.items()}
    return parse(text.encode(), name="small.toml", folder=Path(), overrides=overrides)


def tried(folder: Path, text: str = SMALL, *, jobs: int = 1, **settings: Any) -> Trial:
    return run_trial(plan_trial(small(text), **settings), folder, workers=local(jobs))


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_trial(small())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the trial lies."""
    return tmp_path_factory.mktemp("trial") / "out"


@pytest.fixture(scope="module")
def trial(plan: Plan, home: Path) -> Trial:
    return run_trial(plan, home)


def test_a_null_arm_differs_by_exactly_nothing(trial: Trial) -> None:
    """Burst for burst: every draw that the mechanism does not touch is shared."""
    sending, null = trial.values["sending"]["delivered"], trial.values["null"]["delivered"]
    assert np.ptp(sending) > 0
    assert (sending == null).all()
    effect = paired_effect(null, sending)
    assert (effect.estimate, effect.low, effect.high) == (0.0, 0.0, 0.0)


def test_arms_share_what_the_mechanism_does_not_touch() -> None:
    """Twice the half-life changes the field, but neither the cells' places nor the donor's bursts."""
    scenario = small()
    models = [ExosomeModel(scenario, seed=4), ExosomeModel(small(vesicle__exosome__half_life="12 h"), seed=4)]
    for model in models:
        model.run()
    first, second = (model.state for model in models)
    assert (first.cells.position == second.cells.position).all()
    assert (first.released == second.released).all()
    assert (first.fields[0] != second.fields[0]).any()


def test_a_claim_that_rests_on_phi_is_called_so(trial: Trial, tmp_path: Path) -> None:
    (comparison,) = trial.comparisons
    (sweep,) = trial.sweeps
    assert trial.base is comparison.verdict is Verdict.SUPPORTS
    assert trial.verdict is Verdict.DEPENDS
    assert [p.value for p in sweep.points] == sorted(p.value for p in sweep.points)
    assert {0.001, 0.01, 0.3} <= {round(p.value, 12) for p in sweep.points}
    own = next(p for p in sweep.points if p.value == sweep.base.magnitude)
    assert own.verdict is trial.base
    assert own.comparisons[0].effect is not None
    assert own.comparisons[0].effect.n == 3
    (flip,) = sweep.flips
    assert flip.verdicts == (Verdict.AGAINST, Verdict.SUPPORTS)
    assert flip.between[1] <= 0.01
    assert tried(tmp_path / "out", sweep=False).verdict is Verdict.SUPPORTS


def test_the_number_of_processes_changes_nothing(trial: Trial, tmp_path: Path) -> None:
    again = tried(tmp_path / "out", jobs=2)
    for arm, readouts in trial.values.items():
        assert (again.values[arm]["delivered"] == readouts["delivered"]).all()
    assert again.sweeps == trial.sweeps
    assert again.comparisons == trial.comparisons


def test_the_folder_of_a_trial(trial: Trial, plan: Plan, home: Path) -> None:
    write_trial(trial, home, plan)
    folder = home
    said = json.loads((folder / "trial.json").read_text())
    assert said["verdict"] == "assumption-dependent"
    assert said["disclaimer"] == "Not for clinical use."
    rows = list(csv.DictReader((folder / "values.csv").open()))
    assert len(rows) == 3 * 5
    assert float(rows[5]["value"]) == trial.values["sending"]["delivered"][0]
    kept = sorted(path.name for path in (folder / "runs").iterdir())
    assert kept == ["null-1", "sending-1", "silent-1"]
    summary = json.loads((folder / "runs" / "sending-1" / "summary.json").read_text())
    delivered = summary["mass_balance"]["exosome"]["delivered"] / 4
    assert delivered == pytest.approx(trial.values["sending"]["delivered"][0], rel=1e-12)
    page = (folder / "report.html").read_text()
    assert page == render(trial)
    assert run_trial(plan, home).comparisons == trial.comparisons
    with pytest.raises(InputError, match="other settings"):
        tried(home, replicates=4)


def test_a_trial_goes_on_where_it_was_stopped(plan: Plan, home: Path, trial: Trial, tmp_path: Path) -> None:
    """Without two files of runs, one of them damaged: only these are run again, to the same report."""
    write_trial(trial, home, plan)
    again = shutil.copytree(home, tmp_path / "again", ignore=shutil.ignore_patterns("report.html", "runs"))
    first, second, *_ = sorted((again / "rows").iterdir())
    first.unlink()
    second.write_bytes(second.read_bytes()[:-9])
    CLI(["resume", str(again)], standalone_mode=False)
    for name in ("report.html", "values.csv", "sweeps.csv", f"rows/{first.name}", f"rows/{second.name}"):
        assert (again / name).read_bytes() == (home / name).read_bytes()


BETWEEN = """[[trial.between]]
name = "release"
keys = ["cell_type.donor.release_rate"]
cv = { value = 0.5, source = "assumed" }
[[arm]]
name = "silent"
"""


def test_what_differs_between_replicates_is_the_same_in_all_arms(tmp_path: Path) -> None:
    """What is delivered is proportional to what is released, so that the factors can be seen: log-normal."""
    steady = SMALL.replace('"poisson"', '"mean"')
    differing = steady.replace('[[arm]]\nname = "silent"\n', BETWEEN)
    settings: Any = {"replicates": 40, "sweep": False}
    alone = tried(tmp_path / "alone", steady, **settings).values
    trial = tried(tmp_path / "out", differing, **settings)
    found = trial.values
    sending = found["sending"]["delivered"]
    assert (found["null"]["delivered"] == sending).all()
    assert (found["silent"]["delivered"] == 0).all()
    factors = np.log(sending / alone["sending"]["delivered"])
    sigma = np.sqrt(np.log1p(0.5**2))  # 3 standard errors of it are 34 %, missed by chance once in 370 seeds
    assert factors.std(ddof=1) == pytest.approx(sigma, rel=0.34)
    assert factors.mean() == pytest.approx(-(sigma**2) / 2, abs=3 * sigma / np.sqrt(40))
    page = render(trial).replace("<wbr>", "")
    assert re.search(r"cell_type.donor.release_rate</code></td><td>50.%</td><td>assumed<", page)


def test_where_nothing_differs_the_report_gives_no_interval(tmp_path: Path) -> None:
    """Expected numbers, and a donor among recipients at given places."""
    fixed = SMALL.replace('"poisson"', '"mean"').replace(
        'cell_type = "donor"\n', 'cell_type = "donor"\narrange = "points"\npoints = [[50, 50]]\n'
    )
    fixed = fixed.replace('count = 4\nspacing = "16 um"', 'arrange = "points"\npoints = [[30, 30], [70, 50]]')
    trial = tried(tmp_path / "out", fixed, replicates=3, sweep=False)
    assert trial.comparisons[0].effect is not None
    assert trial.comparisons[0].effect.certain
    page = render(trial)
    assert "EV, the same in every replicate" in page
    assert "Stochasticity only" in page


@pytest.mark.parametrize(
    ("key", "cv", "message"),
    [
        ("cell_type.donor.relase_rate", 0.5, "trial.between.release.keys: no parameter has the key"),
        ("cell_type.donor.release_rate", 3, "outside the allowed 0 to 2"),
        ("vesicle.exosome.delivery_probability", 2, "delivery_probability of seed"),
    ],
)
def test_faults_of_what_differs_are_named(key: str, cv: float, message: str) -> None:
    text = SMALL.replace('[[arm]]\nname = "silent"', BETWEEN).replace("value = 0.5", f"value = {cv}")
    text = text.replace("cell_type.donor.release_rate", key, 1)
    with pytest.raises(InputError, match=message):
        plan_trial(small(text, vesicle__exosome__delivery_probability=0.9))


def test_the_report_stands_alone_and_says_all(trial: Trial) -> None:
    page = render(trial)
    for word in ("Not for clinical use", "Anything &lt;else&gt;.", "Small &amp; &lt;quick&gt;", "assumed"):
        assert word in page
    assert "<quick>" not in page
    assert not re.search(r"""(src|href)=|url\(|@import|<script|<link""", page)
    assert page.count("<svg") == 1 + 1 + 1
    assert "does not support" in page
    assert "bonsergent" in page.lower()
    assert "nan" not in re.sub("[a-z]+nan[a-z]*|nan[a-z]+", "", page.lower())


@pytest.mark.parametrize(
    ("reduce", "at", "expected"),
    [
        ("last", None, 2.0),
        ("max", None, 9.0),
        ("mean", None, 4.0),
        ("time_of_max", None, 1.0),
        ("last", "1 h", 9.0),
        ("time_to", None, 1.0),
        ("time_to", "0.5 h", 0.0),
    ],
)
def test_readouts(reduce: str, at: str | None, expected: float) -> None:
    rows = [{"time_h": float(t), "memory": v} for t, v in enumerate((1.0, 9.0, 2.0))]
    table = {"name": "x", "metric": "memory", "reduce": reduce} | ({"at": at} if at else {})
    table |= {"level": 3} if reduce == "time_to" else {}
    assert take(ReadoutTable.model_validate(table), rows) == expected


@pytest.mark.parametrize(
    ("values", "reduced"),
    [
        ((None, 9.0, 2.0), {"last": 2.0, "max": 9.0, "mean": 5.5, "time_of_max": 1.0}),  # as a purity
        ((1.0, None, 2.0), {"last": 2.0, "max": np.nan, "mean": np.nan, "time_of_max": np.nan}),
        ((None, None, 2.0), {"last": 2.0, "max": np.nan, "mean": np.nan, "time_of_max": np.nan}),
        ((None,), {"last": np.nan, "max": np.nan, "mean": np.nan, "time_of_max": np.nan}),
    ],
)
def test_a_readout_may_be_undefined_at_the_start_alone(values, reduced) -> None:
    rows = [{"time_h": float(t)} | ({} if v is None else {"memory": v}) for t, v in enumerate(values)]
    found = {
        reduce: take(ReadoutTable(name="x", metric="memory", reduce=reduce), rows, ["memory"])
        for reduce in reduced
    }
    assert found == pytest.approx(reduced, nan_ok=True)


def arms_of(loaded: LoadedScenario) -> list[Scenario]:
    """The first two arms as they are run."""
    made = plan_trial(loaded, replicates=2, sweep=False)
    return [made.scenario_of(made.rows[i]).scenario for i in (0, 2)]


def test_what_was_set_by_hand_goes_below_the_arm_and_above_the_rest() -> None:
    shared = SMALL.replace('limits = ["Anything <else>."]', 'set = { "clock.duration" = "2 h" }')
    scenario = small(shared, clock__duration="1 h", cell_type__donor__release_rate=30)
    silent, sending = arms_of(scenario)
    assert silent.clock.duration == sending.clock.duration == 3600
    assert silent.cell_type[0].release_rate == 0
    assert sending.cell_type[0].release_rate == 30 / 3600
    assert arms_of(small(shared))[0].clock.duration == 7200


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('readout = "delivered"', 'readout = "deliverd"', "did you mean 'delivered'"),
        ('versus = "silent"', 'versus = "quiet"', "no arm of this name"),
        ('direction = "higher"', 'direction = "better"', "direction"),
        ('arm = "sending"\nversus', 'arm = "silent"\nversus', "arm and versus must differ"),
        ('claim = "A donor\'s vesicles deliver."', 'claim = "Deliver"', "a claim is a sentence"),
        ('name = "null"', 'name = "sending"', "given twice"),
        (
            'metric = "delivered_per_cell[recipient]"',
            'metric = "delivered_per_cell[nobody]"',
            "no such column",
        ),
        (
            'keys = ["vesicle.exosome.delivery_probability"]',
            'keys = ["vesicle.exosome.phi"]',
            "no parameter has the key",
        ),
        ('keys = ["vesicle.exosome.delivery_probability"]', 'keys = ["clock.step"]', "give values"),
        ("cell_type.donor.release_rate", "cell_type.donor.relase_rate", "did you mean"),
        ('unit = "EV"', 'reduce = "time_to"', "a level is given with"),
    ],
)
def test_faults_are_named(old: str, new: str, message: str) -> None:
    assert old in SMALL
    with pytest.raises(InputError, match=message):
        plan_trial(small(SMALL.replace(old, new, 1)))


def test_a_scenario_without_arms_has_no_trial() -> None:
    with pytest.raises(InputError, match="no trial here"):
        plan_trial(small(SMALL.partition("[trial]")[0]))


def test_an_arm_out_of_range_is_refused_before_anything_runs() -> None:
    with pytest.raises(ScenarioError, match="allowed"):
        plan_trial(small(SMALL.replace('rate" = 0', 'rate" = -1')))


def test_the_command(command: Command, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SMALL)
    done = command("trial", "small.toml", "--replicates", "3", "--no-sweep", "--json")
    assert done.code == 0, done.err
    said = json.loads(done.out)
    assert (said["verdict"], said["replicates"]) == ("supports", 3)
    assert (tmp_path / "trials" / "small" / "report.html").exists()
    for words, reason in (
        (("small.toml",), "other settings"),
        ((), "--all"),
        (("two_cells",), "has no"),
        (("signalling",), "did you mean"),
    ):
        command("trial", *words).refused(2, reason)


def test_real_null_trials_seldom_say_supports() -> None:
    """400 trials whose two arms are the same but for their seeds, drawn from 60 runs of the model.

    Each trial takes 40 of the runs and halves them; 2.5 % are expected to support, 10 of 400. More than 20
    come by chance once in 700 seeds, were the trials independent.
    """
    readout = ReadoutTable.model_validate({"name": "x", "metric": "taken_up_per_cell[recipient]"})
    values = []
    for seed in range(60):
        model = ExosomeModel(small(clock__duration="2 h"), seed=seed)
        model.run()
        values.append(take(readout, model.history.rows))
    rng = np.random.default_rng(5)
    found = []
    for _ in range(400):
        drawn = rng.permutation(values)[:40]
        found.append(judge(paired_effect(drawn[:20], drawn[20:]), Direction.HIGHER))
    print(found.count(Verdict.SUPPORTS))
    assert found.count(Verdict.SUPPORTS) <= 20
    moved = [
        judge(paired_effect(drawn[:20] + 0.8 * np.std(values), drawn[20:]), Direction.HIGHER)
        for drawn in (rng.permutation(values)[:40] for _ in range(400))
    ]
    assert moved.count(Verdict.SUPPORTS) > 100


@pytest.mark.parametrize("hours", [2, 2.5, 0.5], ids=["recorded", "between records", "before the first"])
def test_the_last_value_is_that_of_the_end(hours: float) -> None:
    """Metrics are recorded each hour."""
    model = ExosomeModel(small(SMALL.replace("delivered_per_cell[recipient]", "emitted[exosome]")), seed=1)
    model.run(hours=hours)
    assert measure(model)["delivered"] == model.state.balance.emitted.sum() > 0


def test_a_readout_that_chance_left_out_of_a_run_is_not_unknown() -> None:
    """A type without cells has no column yet; the trial is planned, and a run without has no number."""
    text = SMALL.replace("delivered_per_cell[recipient]", "delivered_per_cell[heir]")
    heir = '[[cell_type]]\nname = "heir"\ntakes_up = ["exosome"]\n[trial]'
    text = text.replace("[trial]", heir, 1)
    turning = 'saturation = "inf"\ntransformation = {{ into = "heir", rate = "{rate} / h" }}'
    one, other = (
        small(text.replace('saturation = "inf"', turning.format(rate=rate))) for rate in ("1e-9", "20")
    )
    found = []
    for loaded in (one, other):
        assert plan_trial(loaded, replicates=2, sweep=False).rows
        model = ExosomeModel(loaded, seed=1)
        model.run(hours=2)
        found.append(measure(model)["delivered"])
    assert found[0] is None
    assert found[1] is not None
    with pytest.raises(InputError, match="no such column"):
        plan_trial(small(text), replicates=2, sweep=False)
