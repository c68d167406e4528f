"""Benchmarks measure what they say: equal work beside a reference, and whole runs beside another build."""

from __future__ import annotations

import json
import re
import sys
from importlib.resources import files
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from exoabm.benchmarks import run_benchmark, vesicles, whole_runs
from exoabm.benchmarks.classroom_load import FLUENT, SLOWEST
from exoabm.benchmarks.fields import _explicit, _split, _World
from exoabm.cli import console
from exoabm.cli.page_and_benchmark_commands import bench
from exoabm.errors import InputError, NumericalError

STUB = """#!/bin/sh
case "$*" in *versions*) echo '{"versions": {}, "code": {"git": null}}'; exit 0;; esac
while [ $# -gt 1 ]; do shift; done
mkdir "$1" && head -c 1000 /dev/zero > "$1/table"
"""
"""Instead of an interpreter with exoabm: a run that writes 1,000 bytes."""


def stub(folder: Path, text: str = STUB) -> str:
    """An executable in a folder."""
    path = folder / "python"
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("law", ["linear", "varying", "saturable"])
def test_the_reference_does_the_work_of_the_kernel(law: str) -> None:
    assert _World((24, 40), np.dtype(float), 400).difference(law, 1) < 1e-12
    wrong = _World((24, 40), np.dtype(float), 400)
    numpy = wrong.numpy
    wrong.numpy = lambda n, kind: 1.001 * numpy(n, kind)  # type: ignore[method-assign]
    with pytest.raises(NumericalError, match="differ by 1"):
        wrong.difference(law, 1)


def test_the_split_scheme_converges_to_the_kernel_in_proportion_to_its_step() -> None:
    voxel, source = np.array([5, 40, 77, 120]), np.array([1.0, 0, 0, 0])
    exact = _explicit(12, voxel, source, 1 - source, 0.2 / 1024, 2.0)
    coarse, fine = (_split(12, voxel, source, 1 - source, r, 2.0) - exact for r in (0.04, 0.02))
    assert np.linalg.norm(coarse) / np.linalg.norm(fine) == pytest.approx(2, rel=0.05)
    assert np.linalg.norm(fine) < 0.05 * np.linalg.norm(exact)


def test_builds_alternate_and_are_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = stub(tmp_path)
    monkeypatch.setattr(sys, "executable", python)
    seen, measured = [], whole_runs.measure_run
    monkeypatch.setattr(whole_runs, "measure_run", lambda p, case: (seen.append(p), measured(p, case))[1])
    (tmp_path / "other").mkdir()
    other = stub(tmp_path / "other")
    case = whole_runs.Case("small", ("two_cells",))
    record = tmp_path / "record.json"
    report = whole_runs.bench_run(against=Path(other), rounds=3, record=record, cases=(case,))
    assert seen == [python, other, python, other, other, python, python, other], "the first two not measured"
    (row,) = report.rows
    assert row["case"] == "small"
    assert float(row["times faster"]) > 0
    kept = json.loads(record.read_text())
    assert kept["machine"]["cores"] > 0
    assert [run["build"] for run in kept["runs"]] == ["this", "other"]
    assert kept["runs"][0]["written"] == [1000.0] * 3
    assert all(peak > 1e5 for peak in kept["runs"][0]["peak"])


def test_a_case_has_as_many_rounds_as_fit_and_the_record_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs of 10 s in 1 min: 3 of the first case fit in its share of 30 s, one of them not measured."""
    monkeypatch.setattr(sys, "executable", stub(tmp_path))
    clock, record = [0.0], tmp_path / "record.json"
    monkeypatch.setattr(whole_runs.time, "monotonic", lambda: clock[0])

    def run(_: str, case: whole_runs.Case) -> whole_runs.Measured:
        if case.name == "broken":
            raise KeyboardInterrupt
        clock[0] += 10 if case.name == "small" else 40
        return whole_runs.Measured(1, 1, 1, 1)

    monkeypatch.setattr(whole_runs, "measure_run", run)
    small, large, broken = (whole_runs.Case(name, ()) for name in ("small", "large", "broken"))
    report = whole_runs.bench_run(minutes=1, cases=(small, large))
    assert [(row["case"], row["rounds"]) for row in report.rows] == [("small", 2), ("large", 1)]
    with pytest.raises(KeyboardInterrupt):
        whole_runs.bench_run(record=record, rounds=2, cases=(small, broken))
    assert [(run["case"], run["wall"]) for run in json.loads(record.read_text())["runs"]] == [
        ("small", [1, 1])
    ]
    with pytest.raises(InputError, match="--record"):
        whole_runs.bench_run(record=tmp_path / "none" / "record.json", cases=(broken,))


def test_scaling_leaves_out_the_largest_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    """In no time, one case of each axis."""
    monkeypatch.setattr(whole_runs, "measure_run", lambda *_: whole_runs.Measured(1, 1, 1, 1))
    small, many = (whole_runs.foreseen_bytes(whole_runs.world(32, donors=n)) for n in (1, 1000))
    assert 1e8 < small < many
    monkeypatch.setattr(whole_runs, "foreseen_bytes", lambda _: 1.0)
    report = whole_runs.bench_scaling(minutes=0.0)
    assert len(report.rows) == len(whole_runs.SCALING)
    assert "labels 10, labels 100" in report.title
    assert len(whole_runs.bench_scaling().rows) == sum(map(len, whole_runs.SCALING.values()))


def test_a_run_that_fails_says_why(tmp_path: Path) -> None:
    python = stub(tmp_path, "#!/bin/sh\necho out of vesicles; exit 4\n")
    with pytest.raises(InputError, match="ended with 4: out of vesicles"):
        whole_runs.measure_run(python, whole_runs.Case("small", ("two_cells",)))
    with pytest.raises(InputError, match="no Python with exoabm"):
        run_benchmark("run", against=tmp_path / "nothing", rounds=1)
    with pytest.raises(InputError, match="has no --rounds"):
        run_benchmark("scaling", rounds=1)


def test_slopes_are_of_what_exceeds_a_start() -> None:
    start, small, large = (whole_runs.Measured(t, t, m, 0.0) for t, m in ((1, 5), (3, 5), (9, 45)))
    assert whole_runs._slopes((100, small), (400, large), start) == ("1.00", "")


@pytest.mark.parametrize(
    ("text", "says"), [("#!/bin/sh\necho no module >&2; exit 1\n", "no module"), ("", "")]
)
def test_a_broken_smoldyn_skips_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str
) -> None:
    python = stub(tmp_path, text) if text else str(tmp_path / "none")
    monkeypatch.setenv("EXOABM_SMOLDYN", python)
    found, reason = vesicles._smoldyn(["world"])
    assert found == []
    assert "without Smoldyn" in reason
    assert says in reason


def test_the_load_of_a_class_is_judged_by_the_times_of_the_page() -> None:
    """Both are of motion between frames, in ms on the page and in s in the benchmark."""
    page = (files("exoabm.viz") / "components/canvas.vue").read_text()
    times = re.search(r"const FLUENT = (\d+), SLOWEST = (\d+);", page)
    assert times is not None
    assert [int(ms) / 1000 for ms in times.groups()] == [FLUENT, SLOWEST]


def test_an_interrupted_benchmark_says_what_its_record_has(tmp_path: Path, monkeypatch) -> None:
    """And of a record of before, to which nothing was added, no more than that it is whole."""
    monkeypatch.setattr("exoabm.benchmarks.run_benchmark", Mock(side_effect=KeyboardInterrupt))
    record = tmp_path / "record.json"
    with pytest.raises(KeyboardInterrupt):
        bench("run", record=record)
    (remains,) = console._remains
    assert remains() == console.NOTHING_REMAINS
    record.write_text("{}")
    assert remains() == f"{record} has every run that was complete"
    with pytest.raises(KeyboardInterrupt):
        bench("run", record=record)
    assert console._remains[0]() == f"{record} holds nothing incomplete"
