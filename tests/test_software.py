"""What a run says of the code that made it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import exoabm
from exoabm import software
from exoabm.software import code, git_state, package_files


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "init.defaultBranch=main")
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's repository with a commit of its own, and an environment in it that holds the package."""
    (tmp_path / "analysis.py").write_text("import exoabm\n")
    (tmp_path / ".gitignore").write_text(".venv/\n")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "mine")
    return tmp_path


def installed(place: Path) -> Path:
    place.mkdir(parents=True)
    return Path(shutil.copy(Path(exoabm.__path__[0]) / "__init__.py", place)).parent


def test_a_repository_that_surrounds_the_package_is_not_its_own(project) -> None:
    """Neither the user's project, nor a checkout that holds the environment, nor one that holds a copy."""
    site = installed(project / ".venv" / "lib" / "exoabm")
    assert git_state(site) is None
    (project / "exoabm").mkdir()
    (project / "exoabm" / "__init__.py").write_text("")
    (project / "vendor").mkdir()
    copy = installed(project / "vendor" / "exoabm")
    git(project, "add", "exoabm", "vendor")
    git(project, "commit", "-m", "as a checkout of exoabm")
    assert git_state(site) is None
    assert git_state(copy) is None


def test_a_checkout_tells_its_commit_and_every_change(project, monkeypatch) -> None:
    package = installed(project / "exoabm")
    for part in software.APART:
        (project / part).mkdir()
        (project / part / "a.toml").write_text("")
    git(project, "add", ".")
    git(project, "commit", "-m", "exoabm")
    head = git(project, "rev-parse", "HEAD")
    assert git_state(package) == {"commit": head, "changed": False}
    monkeypatch.setenv("GIT_DIR", str(project / "elsewhere"))  # as in a hook of another repository
    assert git_state(package) == {"commit": head, "changed": False}
    (project / "scenarios" / "a.toml").write_text("changed")
    assert git_state(package) == {"commit": head, "changed": True}


def test_the_checksum_is_of_every_file_as_it_is_installed(tmp_path, monkeypatch) -> None:
    names = package_files()
    assert {"__init__.py", "runs/run_execution.py", "scenarios/tissue.toml", "viz/server/serve.py"} <= set(
        names
    )
    assert not [name for name in names if "__pycache__" in name]
    before = code.__wrapped__()["files_sha256"]
    assert before == code()["files_sha256"]
    edited = tmp_path / "run.py"
    edited.write_bytes(names["runs/run_execution.py"].read_bytes() + b"\n")
    monkeypatch.setattr(software, "package_files", lambda: names | {"runs/run_execution.py": edited})
    assert code.__wrapped__()["files_sha256"] != before
    json.dumps(code())
