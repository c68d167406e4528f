"""Sweeps, trials and analyses in Python: the numbers of their tables, plots, and what is refused."""

from __future__ import annotations

import errno
import json
import pickle
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

import exoabm as xo
from exoabm.cells import behaviors
from exoabm.errors import InputError, NumericalError, RunFailed

mpl.use("Agg")
from matplotlib import pyplot as plt

SMALL = {"domain.voxel": "40 um", "clock.step": "10 min"}
NOISY = SMALL | {"cell_type.donor.secretion": "poisson"}
RATE, HINDRANCE = "cell_type.donor.release_rate", "transport.hindrance"


@pytest.fixture(scope="module")
def made() -> xo.Sweep:
    vary = {RATE: [60, (2, "1/min")], HINDRANCE: "0.1:1:2"}
    return xo.sweep("two_cells", vary, NOISY, replicates=3, seed=1, hours=0.5)


def test_the_table_of_a_sweep_is_the_mean_of_its_rows(made: xo.Sweep, tmp_path: Path) -> None:
    rows, table = made.results.to_pandas(), made.table.to_pandas()
    assert len(rows) == 12
    keys = [f"{RATE} (1/h)", HINDRANCE]
    name = "emitted[exosome]"
    for values, group in rows.groupby(keys):
        row = table[(table[keys] == list(values)).all(axis=1) & (table.readout == name)].iloc[0]
        assert row["mean"] == pytest.approx(group[name].mean(), rel=1e-12)
        half = 4.302652729911275 * group[name].std() / np.sqrt(3)  # t(2, 0.975)
        assert row.ci95_high - row["mean"] == pytest.approx(half, rel=1e-9)
    for other in (made.save(tmp_path / "kept"), xo.open_sweep(tmp_path / "kept")):
        assert other.table.equals(made.table)
        assert other.results.equals(made.results)
    assert "12 runs" in made._repr_html_()


def test_a_sweep_can_be_pickled(made: xo.Sweep) -> None:
    """As a notebook, joblib or a pool of processes does."""
    assert pickle.loads(pickle.dumps(made)).table.equals(made.table)


def test_a_sweep_is_drawn_with_a_line_per_other_value_and_intervals(made: xo.Sweep) -> None:
    figure, ax = plt.subplots()
    assert made.plot("emitted[exosome]", x=RATE, ax=ax) is ax
    table = made.table.to_pandas()
    wanted = table[(table.readout == "emitted[exosome]") & (table[HINDRANCE] == 0.1)]["mean"]
    np.testing.assert_allclose(ax.containers[0].lines[0].get_ydata(), wanted)
    assert len(ax.containers) == 2
    assert ax.get_xlabel() == "release rate of donor (1/h)"
    assert ax.get_title() == "n = 3 per point; means, 95 % intervals"
    first, second = (line.lines[0].get_xdata() for line in ax.containers)
    assert (first < second).all(), "no line hides another"
    np.testing.assert_allclose((first + second) / 2, [60, 120])
    assert ax.get_ylabel() == "emitted[exosome] (vesicles)"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["hindrance = 0.1", "hindrance = 1"]
    plt.close(figure)
    with pytest.raises(InputError, match="did you mean 'emitted"):
        made.plot("emited[exosome]")
    with pytest.raises(InputError, match="is not varied; did you mean"):
        made.plot(x="transport.hindrence")


def test_a_point_of_a_sweep_has_plots_of_its_means(made: xo.Sweep) -> None:
    point = made.at({RATE: "1 / min", HINDRANCE: 0.1})
    ax = point.plot_matrix("captured")
    assert "±" in ax.texts[0].get_text()
    plt.close("all")
    with pytest.raises(InputError, match="2 points have these values"):
        made.at({RATE: 60})
    with pytest.raises(InputError, match="keeps no runs"):
        point.plot()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"vary": {RATE: []}}, "give a list of values"),
        ({"vary": {RATE: [1]}, "keep": "all"}, "readouts or runs"),
        ({"vary": {}}, "a sweep of one run"),
        ({"vary": {RATE: [1, "2 um"]}}, "has dimension length"),
        ({"vary": {RATE: [1]}, "shard": "1/2"}, "needs seed and out"),
    ],
)
def test_a_wrong_sweep_is_refused_before_it_runs(options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        xo.sweep("two_cells", changes=SMALL, **options)


def test_a_scenario_built_in_python_is_swept_and_goes_on(tmp_path: Path) -> None:
    import tomllib

    from exoabm.batch.execution.runner import resume_rows

    built = xo.scenario(tomllib.loads(xo.scenario("two_cells").written()), SMALL)
    found = xo.sweep(built, {RATE: [60, 120]}, seed=1, hours=0.5, out=tmp_path / "s")
    before = found.results
    next((tmp_path / "s" / "rows").iterdir()).unlink()
    assert resume_rows(tmp_path / "s").ran > 0
    assert xo.open_sweep(tmp_path / "s").results.equals(before)
    wanted = xo.sweep("two_cells", {RATE: [60, 120]}, SMALL, seed=1, hours=0.5).results
    assert before.drop_columns("row").equals(wanted.drop_columns("row"))


def test_a_trial_has_a_verdict_a_table_and_a_plot(tmp_path: Path) -> None:
    small = {"clock.duration": "1 h", "clock.step": "10 min", "domain.voxel": "50 um"}
    found = xo.trial("signaling", small, replicates=2, sweep=False, out=tmp_path / "t")
    assert found.verdict in found._repr_html_()
    assert "Not for clinical use." in found._repr_html_()
    opened = xo.open_trial(tmp_path / "t")
    assert opened.verdict == found.verdict
    assert opened.table.equals(found.table)
    arms = list(dict.fromkeys(found.values["arm"].to_pylist()))
    ax = found.plot()
    assert [text.get_text().replace("\n", "") for text in ax.get_xticklabels()] == arms
    plt.close("all")
    with pytest.raises(InputError, match="holds a trial and no sweep"):
        xo.open_sweep(tmp_path / "t")


def test_a_comparison_is_b_minus_a(tmp_path: Path) -> None:
    a, b = (xo.run("two_cells", SMALL | {RATE: rate}, seed=1, hours=0.5) for rate in (60, 90))
    found = xo.compare(a, b)
    row = next(row for row in found.rows() if row["readout"] == "emitted[exosome]")
    assert (row["a"], row["difference"]) == pytest.approx((30.0, 15.0))
    assert found.table.num_rows == len(found.rows())
    assert found.plot("emitted[exosome]").get_xlabel().endswith("(%)")
    plt.close("all")
    assert {path.name for path in found.save(tmp_path / "c")} >= {"comparison.json"}


def test_saved_analyses_replace_only_what_they_made_and_when_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, vary = xo.run("two_cells", SMALL, seed=1, hours=0.5), {RATE: "30 / h:90 / h"}
    fit = xo.fit("two_cells", data.folder, vary, SMALL, columns=["emitted[exosome]"])
    effort = {"trajectories": 2, "samples": 8, "hours": 0.2, "readout": "emitted[exosome]"}
    sensitivity = xo.sensitivity("two_cells", vary, SMALL, **effort)
    for result, name in ((fit, "fit.json"), (sensitivity, "sensitivity.json"), (xo.compare(data, data), "")):
        folder = tmp_path / type(result).__name__
        result.save(folder)
        with pytest.raises(InputError, match="exists already"):
            result.save(folder)
        (first := next(folder.glob(name or "*.json"))).write_text("old")
        result.save(folder, overwrite=True)
        assert json.loads(first.read_text())
        first.write_text("old")
        with monkeypatch.context() as patch:
            patch.setattr("matplotlib.figure.Figure.savefig", _full)
            with pytest.raises((InputError, RunFailed), match=r"disk is full|No space left"):
                result.save(folder, overwrite=True)
        assert first.read_text() == "old", "a failure changes nothing"
        (folder / "notes.txt").touch()
        with pytest.raises(InputError, match=r"holds 'notes.txt', which is not replaced"):
            result.save(folder, overwrite=True)
    assert len(list(tmp_path.iterdir())) == 3


def _full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_sizes_of_vesicles_are_fitted_to_a_log_normal(tmp_path: Path) -> None:
    at = np.arange(25.0, 400.0, 5.0)
    count = 1e6 / at * np.exp(-(np.log(at / 90) ** 2) / (2 * np.log(1.4) ** 2))
    rows = [f"{x:g},{n:.3f}" for x, n in zip(at, count, strict=True)]
    (tmp_path / "sizes.csv").write_text("\n".join(["bin_center_nm,count", *rows]))
    found = xo.fit("two_cells", tmp_path / "sizes.csv")
    (row,) = found.rows()
    assert (row["median_nm"], row["gsd"]) == pytest.approx((90, 1.4), rel=0.01)
    vesicle = xo.scenario("two_cells", found.values[0]).scenario.vesicle[0]
    assert vesicle.diameter.magnitude == pytest.approx(row["median_nm"], rel=1e-3)
    assert found.plot().get_xlabel() == "diameter (nm)"
    plt.close("all")
    assert json.loads(found.save(tmp_path / "sizes.json").read_text())[0]["gsd"] == row["gsd"]
    with pytest.raises(InputError, match="is a histogram of sizes"):
        xo.fit("two_cells", tmp_path / "sizes.csv", {RATE: "1:2"})


def test_a_registered_behavior_is_told_and_not_sent_to_other_processes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(behaviors, "_LOCAL", {})
    changes = SMALL | {"cell_type.recipient.behavior.shine": "6 / h"}
    with pytest.raises(InputError, match=r"exoabm.behavior has not registered it"):
        xo.scenario("two_cells", changes)
    seen: list[float] = []

    @xo.behavior("shine", unit="1/h", meaning="Rate at which a cell shines.", allowed=(0, 100))
    def shine(state: object, value: np.ndarray, dt: float) -> None:
        seen.append(float(value.sum()) * dt)

    run = xo.run("two_cells", changes, seed=1, hours=1)
    assert sum(seen) == pytest.approx(6.0)
    assert run.about["local_behaviors"] == ["shine"]
    assert any("alone does not repeat the run" in text for text in run.warnings)
    assert "local_behaviors" not in xo.run("two_cells", SMALL, seed=1, hours=0.5).about
    with pytest.raises(InputError, match="outside the allowed 0 to 100 1/h"):
        xo.scenario("two_cells", changes | {"cell_type.recipient.behavior.shine": 101})
    with pytest.raises(InputError, match="other processes do not know"):
        xo.sweep("two_cells", {RATE: [1, 2]}, changes, jobs=2)
    half = tmp_path / "half"
    xo.sweep("two_cells", {RATE: [1, 2]}, changes, seed=1, hours=0.5, shard="1/2", out=half)
    with pytest.raises(InputError, match="other processes do not know"):
        xo.resume(half, jobs=2)
    assert xo.resume(half).outcome.ran == 1
    with pytest.raises(InputError, match="of this name already"):
        xo.behavior("motility", unit="1", meaning="Twice.", allowed=(0, 1))
    with pytest.raises(InputError, match="the meaning must be a sentence"):
        xo.behavior("other", unit="1", meaning="no sentence", allowed=(0, 1))
    with pytest.raises(InputError, match="the name must be a text"):
        xo.behavior(5, unit="1", meaning="A number.", allowed=(0, 1))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("amount", "says"),
    [
        ("cargo", r"the copies of signal in cell 1 \(recipient\) -1.6666. in the step that begins at 0 h"),
        ("waste", r"waste of cell 1 \(recipient\) -1.666"),
    ],
)
def test_a_behavior_that_leaves_less_than_nothing_stops_the_run(
    monkeypatch: pytest.MonkeyPatch, amount: str, says: str
) -> None:
    """Negative copies were carried on and recorded."""
    monkeypatch.setattr(behaviors, "_LOCAL", {})

    @xo.behavior("drain", unit="1/h", meaning="Rate at which a cell loses it.", allowed=(0, 100))
    def drain(state: object, value: np.ndarray, dt: float) -> None:
        held = getattr(state.cells, amount)  # type: ignore[attr-defined]
        held.reshape(len(held), -1)[:, 0] -= value * dt

    changes = SMALL | {"cell_type.recipient.behavior.drain": "10 / h"}
    with pytest.raises(NumericalError, match=f"the behavior 'drain' made {says}"):
        xo.run("two_cells", changes, seed=1, hours=1)


@pytest.mark.parametrize("words", [[], ["--help"]])
def test_help_has_no_error(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "exoabm", *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: " in done.stdout
