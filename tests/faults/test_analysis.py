"""Sensitivity and fit as a user meets them: what they print, and what they refuse."""

from __future__ import annotations

import json

RATE = "cell_type.donor.release_rate"
SMALL = ("--set", "domain.voxel=40", "--set", "clock.step=600")


def test_a_sensitivity_analysis_ends_in_a_table_and_a_sentence(command, tmp_path) -> None:
    options = (*SMALL, "--hours", "0.5", "--trajectories", "3", "--samples", "8", "--out", "a")
    vary = ("--vary", f"{RATE}=10:20", "--vary", "vesicle.exosome.delivery_probability=0.01:0.02")
    done = command("sensitivity", "two_cells", *vary, *options)
    assert done.code == 0
    assert f"depends most on {RATE}" in done.out or "is an assumption" in done.out
    assert "*vesicle.exosome" in done.out
    assert (tmp_path / "a" / "sensitivity.png").is_file()
    again = command("sensitivity", "two_cells", *vary, *options, "--json")
    plain = json.loads(again.out)
    assert {row["key"] for row in plain["indices"]} == {RATE, "vesicle.exosome.delivery_probability"}
    assert plain == json.loads((tmp_path / "a" / "sensitivity.json").read_text())
    other = command("sensitivity", "two_cells", *vary, *options, "--seed", "1")
    other.refused(2, "other settings", "--overwrite")
    command("sensitivity", "two_cells", *options, "--readout", "x").refused(2, "no quantity 'x'", "there are")


def test_a_fit_gives_back_what_a_run_was_made_with(command, tmp_path) -> None:
    made = (*SMALL, "--set", f"{RATE}=80")
    assert command("run", "two_cells", *made, "--hours", "2", "--seed", "1", "--out", "r").code == 0
    vary = ("--vary", f"{RATE}=10 / h:500 / h:log")
    done = command("fit", "two_cells", *SMALL, "--data", "r", *vary, "--out", "f")
    assert done.code == 0
    assert f"--set '{RATE}=80.0" in done.out or f"--set '{RATE}=79.99" in done.out
    assert (tmp_path / "f" / "fit.png").is_file()
    checked = command("validate", "f/fitted.toml")
    assert checked.code == 0
    (number,) = json.loads((tmp_path / "f" / "fit.json").read_text())["numbers"]
    assert number["low"] < 80 < number["high"]


def test_a_fit_that_makes_no_sense_is_refused(command, tmp_path) -> None:
    command("fit", "two_cells", "--data", "none.csv").refused(2, "none.csv", "no such file")
    (tmp_path / "a.csv").write_text("time_h,free[exosome]\n1,5\n2,8\n")
    command("fit", "two_cells", "--data", "a.csv").refused(2, "--vary KEY=LO:HI")
    command("fit", "two_cells", "--data", "a.csv", "--vary", "a=1:2").refused(2, "--vary a")
    (tmp_path / "h.csv").write_text("diameter_nm,a\n" + "\n".join(f"{10 * i},{9 - i}" for i in range(1, 9)))
    command("fit", "two_cells", "--data", "h.csv", "--vary", "a=1:2").refused(2, "histogram")
    command("fit", "two_cells", "--data", "h.csv", "--vesicle", "x").refused(2, "there are exosome")
    done = command("fit", "two_cells", "--data", "h.csv")
    assert done.code == 0
    assert "--set vesicle.exosome.diameter=" in done.out
