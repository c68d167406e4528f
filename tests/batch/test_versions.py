"""One result made by two versions: it is said, and both are named."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from exoabm import software
from exoabm.batch.execution.runner import Shard, resume_rows, run_rows
from exoabm.errors import MixedVersions
from exoabm.runs.run_execution import resume_run, run_to_folder
from exoabm.scenario.loader import load
from tests.batch.conftest import small_plan
from tests.batch.test_runner import Power


def other_numpy(monkeypatch: pytest.MonkeyPatch) -> str:
    """From now on this is another NumPy; returns the one that it was."""
    known = software.versions()
    monkeypatch.setattr(software, "versions", lambda: known | {"numpy": "9.8.7"})
    return known["numpy"]


def test_what_differs_is_named_and_nothing_else() -> None:
    now = software.made_with()
    assert set(now) == {
        "exoabm",
        "python",
        "numpy",
        "numba",
        "scipy",
        "exoabm's files",
        "machine",
        "arithmetic",
    }
    assert software.drift(now, now, "it was started") is None
    then = now | {"numba": "0.1", "machine": "abacus"}
    assert software.drift(then, now, "it was started") == (
        f"it was started with numba 0.1, machine abacus, and this is numba {now['numba']}, machine "
        f"{now['machine']}: results may differ in their last digits"
    )
    assert "numpy unknown" in str(software.drift({}, now, "it was started"))


def test_a_batch_that_goes_on_with_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_rows(small_plan(), tmp_path / "a", workers=lambda: Power(2))
    old = other_numpy(monkeypatch)
    with pytest.warns(
        MixedVersions, match=rf"started with numpy {old}, and rows were run with numpy 9\.8\.7"
    ) as w:
        resume_rows(tmp_path / "a")
    assert len(w) == 1, "said once, not for every file"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resume_rows(tmp_path / "a")  # nothing was left to run


def test_a_run_that_goes_on_with_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_to_folder(
            load("two_cells"), tmp_path / "a", seed=1, hours=0.1, checkpoint_every=60, progress=stop
        )
    old = other_numpy(monkeypatch)
    result = resume_run(tmp_path / "a")
    said = f"the run was started with numpy {old}, and this is numpy 9.8.7: results may differ in their "
    said += "last digits"
    assert said in result.warnings
    about = json.loads((tmp_path / "a" / "run.json").read_text())
    assert said in about["warnings"]
    assert [each["with"]["numpy"] for each in about["operations"]] == [old, "9.8.7"]


def test_parts_of_a_batch_by_two_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_rows(small_plan(), tmp_path, shard=Shard(1, 2))
    old = other_numpy(monkeypatch)
    run_rows(small_plan(), tmp_path, shard=Shard(2, 2))
    with pytest.warns(MixedVersions, match=rf"part 2-of-2 .* numpy 9\.8\.7, and the batch with numpy {old}"):
        assert resume_rows(tmp_path).failed == 0


def test_a_worker_of_another_version_tells(tmp_path: Path) -> None:
    """Whatever executor it is of: each compares itself with what began the batch."""
    plan = small_plan()
    begun = replace(plan, made_with={**plan.made_with, "numba": "0.1"})
    assert begun.sha256 == plan.sha256
    with pytest.warns(MixedVersions, match=r"started with numba 0\.1, and rows were run with numba"):
        run_rows(begun, tmp_path / "a")
