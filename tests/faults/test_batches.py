"""Sweeps and comparisons as commands: what they print, what they refuse, and with which exit code."""

from __future__ import annotations

import json

import pytest

from exoabm.scenario.loader import load, shipped

RATE = "cell_type.donor.release_rate"
SWEEP = ("sweep", "two_cells", "--hours", 0.05, "--vary", f"{RATE}=60,600")


def test_a_sweep_says_what_it_found(command, tmp_path) -> None:
    done = command(*SWEEP, "--seed", 1, "--out", "a")
    assert done.code == 0
    assert "2 rows, 0 failed" in done.out
    assert "taken_up[exosome]" in done.out
    assert "no confidence intervals" in done.err
    again = command("resume", "a", "--json")
    assert json.loads(again.out[again.out.index("{") :]) | {"folder": ""} == {
        "folder": "",
        "rows": 2,
        "ran": 0,
        "failed": 0,
        "reasons": {},
        "damage": [],
        "warnings": ["one replicate per point: there are no confidence intervals"],
    }
    command(*SWEEP, "--seed", 1, "--out", "a").refused(2, "already contains a batch", "exoabm resume a")
    assert command(*SWEEP, "--seed", 1, "--out", "a", "--overwrite").code == 0
    compared = command("compare", f"a@{RATE}=60", f"a@{RATE}=600")
    assert compared.code == 0
    assert f"{RATE}: 60 -> 600" in compared.out
    assert "the same seeds" in compared.out


def test_what_no_terminal_reads_is_not_cut(command, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    done = command("list")
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    for name in shipped():
        assert f"{name} {load(name).scenario.info.question}" in lines


def test_replicates_alone_are_a_sweep(command) -> None:
    done = command("sweep", "two_cells", "--hours", 0.05, "--replicates", 3, "--seed", 1, "--out", "a")
    assert done.code == 0
    assert "mean and 95 % interval" in done.out
    assert "one replicate is sufficient" in done.err


def test_a_sweep_with_a_failed_row_ends_with_1_after_all_others(command, tmp_path) -> None:
    """A cell outside of its domain is found when the run is built: each value by itself is sound."""
    small = ("--vary", "domain.size=[200, 200, 200],[140, 140, 140]")
    away = ("--vary", "layout.group.recipient.points=[[125, 105, 105]],[[155, 105, 105]]")
    failed = command("sweep", "two_cells", "--hours", 0.05, *small, *away, "--seed", 1, "--out", "a")
    failed.refused(1, "1 of 4 rows failed", "outside the domain")
    assert "4 rows, 1 failed" in failed.out
    assert (tmp_path / "a" / "results.parquet").is_file()
    command("resume", "a").refused(1, "1 of 4 rows failed")


def test_a_sweep_that_does_not_fit_into_memory_is_refused(command, tmp_path) -> None:
    """One point of it alone."""
    command(*SWEEP, "--out", "a", "--vary", "domain.size=[200, 200, 200],[9000, 9000, 9000]").refused(
        3, "memory"
    )
    assert not (tmp_path / "a").exists()


def test_shards_are_put_together_by_resume(command, tmp_path) -> None:
    command(*SWEEP, "--out", "a", "--shard", "1/2").refused(2, "--shard needs --seed")
    for shard in ("1/2", "2/2"):
        assert command(*SWEEP, "--seed", 1, "--out", "a", "--shard", shard).code == 0
        assert not (tmp_path / "a" / "results.parquet").exists()
    assert command("resume", "a").code == 0
    assert command(*SWEEP, "--seed", 1, "--out", "b").code == 0
    for name in ("results.parquet", "summary.parquet", "summary.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    ("more", "fragments"),
    [
        (("--vary", "nonsense"), ("write KEY",)),
        (("--vary", "cell_type.doner.release_rate=1,2"), ("doner", "did you mean 'donor'")),
        (("--vary", "transport.hindrance=0.5,7"), ("transport.hindrance", "7", "allowed")),
        (("--design", "random"), ("grid, lhs, sobol",)),
        (("--replicates", "0"), ("replicates = 0", "from 1 to 100,000")),
        (("--keep", "all"), ("--keep all", "readouts or runs")),
        (("--shard", "3/2", "--seed", "1"), ("--shard 3/2",)),
        (("--cluster", "nowhere"), ("--cluster nowhere", "local:N")),
        (("--hours", "-1"), ("--hours -1",)),
        (("--vary", "clock.duration=1 h,2 h"), ("--hours", "clock.duration would change nothing")),
        (("--seed", "-1"), ("seed = -1",)),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused(command, tmp_path, more, fragments) -> None:
    command(*SWEEP, "--out", "a", *more).refused(2, *fragments)
    assert not (tmp_path / "a").exists()


def test_a_sweep_that_cannot_begin_is_an_error_of_out(command, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    refused = command(*SWEEP, "--out", "file/a")
    refused.refused(2, "cannot write to file/a", "choose another --out")
    assert "resume" not in refused.err


def test_a_sweep_of_one_run_is_refused(command, tmp_path) -> None:
    command("sweep", "two_cells", "--out", "a").refused(2, "--vary KEY", "--replicates N")
    assert not (tmp_path / "a").exists()


def test_resume_and_compare_refuse_what_is_not_there(command, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    command("resume", "empty").refused(2, "empty")
    command("compare", "empty", "empty").refused(2, "neither a run nor a sweep")
    assert command(*SWEEP, "--seed", 1, "--out", "a").code == 0
    (tmp_path / "file").write_text("")
    command("compare", "a", "a", "--out", "file/x").refused(2, "cannot write to")
