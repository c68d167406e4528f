"""The options of a run are those of many runs, and its words that are no keys are answered."""

from __future__ import annotations

import json

import pytest


@pytest.mark.parametrize("word", ["seed", "replicates", "engine", "hours", "threads"])
def test_a_word_of_the_command_line_is_no_key(command, word) -> None:
    for option in ("--vary", "--set"):
        command("sweep", "two_cells", "--out", "s", option, f"{word}=1,2", "--replicates", 2).refused(
            2, f"{option} {word}: ", f"--{word}"
        )
    command("sensitivity", "two_cells", "--out", "s", "--vary", f"{word}=1:2").refused(2, f"--vary {word}: ")
    command("run", "two_cells", "--out", "s", "--set", f"{word}=1").refused(2, f"--set {word}: ")


def test_sweeps_take_the_engine_that_runs_take(command, tmp_path) -> None:
    words = ("--hours", 0.05, "--seed", 1, "--engine", "vesicles", "--replicates", 2)
    assert command("sweep", "two_cells", "--out", "s", *words).code == 0
    assert '"vesicles"' in json.dumps(json.loads((tmp_path / "s" / "plan.json").read_text()))


@pytest.mark.parametrize(
    "words", [("run",), ("sweep",), ("sensitivity",), ("fit", "--data", "x"), ("trial",)]
)
def test_every_command_that_runs_knows_the_engines(command, words) -> None:
    name, *more = words
    scenario = "signaling" if name == "trial" else "two_cells"
    command(name, scenario, "--out", "s", "--engine", "lattice", *more).refused(
        2, "transport.engine = 'lattice'", "vesicles"
    )
