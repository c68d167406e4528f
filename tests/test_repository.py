"""Files about the repository: the citation, the templates and the configuration of checks."""

from __future__ import annotations

import contextlib
import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name

import pytest
import yaml

import exoabm
from exoabm.tables.declarations import TABLES

ROOT = Path(__file__).parents[1]


def test_the_citation_has_the_version_of_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == exoabm.__version__
    assert citation["cff-version"] == "1.2.0"
    assert all(citation[key] for key in ("message", "title", "authors"))


def test_continuous_integration_runs_the_local_checks_every_week() -> None:
    text = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    workflow = yaml.load(text, yaml.BaseLoader)  # noqa: S506 - YAML 1.1 reads the key "on" as true
    assert {"push", "pull_request", "schedule"} <= set(workflow["on"])
    job = workflow["jobs"]["check"]
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert [step["run"] for step in job["steps"] if "run" in step] == ["bash .ci/run"]
    assert (ROOT / ".ci/run").is_file()


@pytest.mark.parametrize(
    "path", [*ROOT.glob(".github/**/*.yml"), ROOT / ".pre-commit-config.yaml"], ids=lambda path: path.name
)
def test_yaml_is_valid(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict)


def test_every_test_that_the_checks_choose_exists() -> None:
    """By its path, where one in braces stands for several; pytest runs nothing if one is absent."""
    paths = re.findall(r"\btests/[\w/{},.]+", (ROOT / ".ci/run").read_text(encoding="utf-8"))
    assert len(paths) > 3
    for path in paths:
        before, _, rest = path.partition("{")
        names, _, after = rest.partition("}")
        for name in names.split(","):
            assert (ROOT / f"{before}{name}{after}").exists(), f"{before}{name}{after}"


def test_every_hook_is_pinned() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert all(repository["rev"].startswith("v") for repository in hooks["repos"])


def absent(page: str) -> set[str]:
    """Paths, modules and tables named in code of a page that do not exist; NAME and * stand for any name."""
    code = re.findall(r"`([^`\n]+)`", page) + re.findall(r"^(?:from|import) (\S+)", page, re.MULTILINE)
    paths = {word for word in code if re.fullmatch(r"[\w.]+/[\w./*-]+", word)}
    paths = {path for path in paths if path.partition("/")[0] in {file.name for file in ROOT.iterdir()}}
    missing = {path for path in paths if "NAME" not in path and not any(ROOT.glob(path.rstrip("/")))}
    missing |= {word for word in code if re.fullmatch(r"[a-z_]+\.parquet", word) and word[:-8] not in TABLES}
    modules = {word for word in code if re.fullmatch(r"exoabm(\.[a-z_]+)+", word)}
    names = {word for word in modules if hasattr(exoabm, word.partition(".")[2])}
    return missing | {word for word in modules - names if not exists(word)}


def exists(name: str) -> bool:
    """Whether there is a module, or something in a module, of this name."""
    module, _, own = name.rpartition(".")
    with contextlib.suppress(ModuleNotFoundError):
        if find_spec(name) is not None:
            return True
    return find_spec(module) is not None and hasattr(import_module(module), own)


PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("scenarios/*.md")])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_path_module_and_table_named_in_a_page_exists(path: Path) -> None:
    assert not absent(path.read_text(encoding="utf-8"))


def test_an_absent_path_module_or_table_is_seen() -> None:
    page = "`exoabm/gone.py`, `exoabm.gone`, `exoabm.state`, `docs/no.md`, `gone.parquet`\n"
    assert absent(page + "from exoabm.gone.far import x") == {
        "exoabm/gone.py", "exoabm.gone", "docs/no.md", "exoabm.gone.far", "gone.parquet",
    }  # fmt: skip


def absent_files(page: str) -> set[str]:
    """File names in code of a page, without a folder, that no file here has; one is of JupyterHub."""
    here = {
        path.name for room in ("exoabm", "viz", "benchmarks", "tests") for path in (ROOT / room).rglob("*.*")
    }
    return {word for word in re.findall(r"`([a-z_]+\.(?:py|vue|sh))`", page) if word not in here} - {
        "jupyterhub_config.py"
    }


def test_every_file_that_a_recipe_names_without_its_folder_exists() -> None:
    assert not absent_files((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert absent_files("`state.py`, `canvas.vue`, `gone.py`, `gone.vue`") == {"gone.py", "gone.vue"}


PACKAGES = "analysis|batch|communication_inference|kernels|output|plot|readers|runs|scenario"
"""Whose names are not also those of tables, files or keys."""


def absent_modules(text: str) -> list[str]:
    """Modules named in a docstring as ``package.module`` that there are not."""
    named = re.findall(rf"``((?:{PACKAGES})\.[a-z_]+)\b", text)
    return [name for name in named if find_spec(f"exoabm.{name}") is None]


def test_every_module_named_in_a_docstring_exists() -> None:
    sources = [path for room in ("exoabm", "viz", "benchmarks") for path in (ROOT / room).rglob("*.py")]
    assert len(sources) > 200
    assert not {
        path.name: bad for path in sources if (bad := absent_modules(path.read_text(encoding="utf-8")))
    }
    assert absent_modules("``runs.runtime_estimate`` and ``runs.run_execution.resume_run``") == [
        "runs.runtime_estimate"
    ]


def test_every_function_that_a_table_names_as_text_exists() -> None:
    """Of formats, figures and measures of batches, which are imported only when they are used."""
    from exoabm.batch.calibration.fit import METRICS
    from exoabm.batch.execution.plan import READOUTS
    from exoabm.batch.trials import design
    from exoabm.causal import attribution
    from exoabm.export.figure_list import FIGURES
    from exoabm.export.formats import FORMATS

    named = [each.writer for each in FORMATS] + [each.drawn_by for each in FIGURES.values()]
    for name in (*named, METRICS, READOUTS, design.MEASURE, attribution.MEASURE):
        assert callable(resolve_name(name)), name
