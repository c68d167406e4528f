"""A wheel and an editable install, each in a clean environment and outside the checkout.

The environments borrow the dependencies of the running one, so only the build back end is fetched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = {
    "exoabm": "exoabm",
    "benchmarks": "exoabm/benchmarks",
    "scenarios": "exoabm/scenarios",
    "viz": "exoabm/viz",
}
BESIDE = {
    "mutation", "mutation.md", "scaling.md", "open_exports.sh", "engine_agreement.png", "screenshots",
    "benchmarks/communication_inference",
}  # fmt: skip
"""Of the repository alone, not of the package."""
LAZY = ("dask", "distributed", "matplotlib", "mesa", "pandas", "SALib", "solara")
ROOMS = "batch benchmarks cells kernels output parameters scenario scenarios transport viz".split()


def run(*command: object, cwd: Path) -> str:
    """Output of a command that must succeed, run without the variables of this environment."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    result = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what a build needs, so that nothing left over in the checkout can slip in."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in SOURCES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    return copy


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", out, checkout, cwd=out)
    return next(out.glob("exoabm-*.whl"))


def install(where: Path, *what: object) -> Path:
    """Python of a new environment with `what` installed, and all that is here except exoabm."""
    venv.create(where, with_pip=False)
    python = where / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps")
    run(*pip, *what, cwd=where)
    borrowed = where / "borrowed"
    borrowed.mkdir()
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(folder).iterdir():
            if not entry.name.startswith(("exoabm", "__editable__")):
                (borrowed / entry.name).symlink_to(entry)
    here = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=where)
    (Path(here.strip()) / "borrowed.pth").write_text(str(borrowed))
    return python


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("installed"), wheel)


@pytest.fixture(scope="module")
def editable(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("editable"), "-e", checkout)


def beside(path: Path) -> bool:
    return any(f"/{name}/" in f"{path.as_posix()}/" for name in BESIDE)


def test_wheel_holds_every_file_and_nothing_else(wheel: Path) -> None:
    expected = {
        f"{target}/{path.relative_to(ROOT / source)}"
        for source, target in SOURCES.items()
        for path in (ROOT / source).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not beside(path)
    }
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == expected


def test_wheel_imports_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    rooms = ", ".join(f"exoabm.{room}" for room in ROOMS)
    code = f"import exoabm, {rooms}; print(exoabm.__file__, exoabm.viz.__file__)"
    for file in run(installed, "-I", "-c", code, cwd=tmp_path).split():
        assert Path(file).is_relative_to(installed.parent.parent)


def test_version_is_the_same_everywhere(installed: Path, tmp_path: Path) -> None:
    code = (
        "import exoabm; from importlib.metadata import version;print(exoabm.__version__, version('exoabm'))"
    )
    assert len(set(run(installed, "-I", "-c", code, cwd=tmp_path).split())) == 1


def test_command_is_installed(installed: Path, tmp_path: Path) -> None:
    assert "run" in run(installed.with_name("exoabm"), "--help", cwd=tmp_path)


def test_editable_install_follows_the_checkout(editable: Path, checkout: Path, tmp_path: Path) -> None:
    rooms = ", ".join(f"exoabm.{room}" for room in ROOMS)
    code = (
        f"import exoabm, {rooms}; from importlib.resources import files;"
        "print(exoabm.__file__, exoabm.kernels.__file__, exoabm.viz.__file__,"
        "files('exoabm.scenarios') / '__init__.py')"
    )
    files = run(editable, "-I", "-c", code, cwd=tmp_path).split()
    expected = ["exoabm", "exoabm/kernels", "viz", "scenarios"]
    assert files == [str(checkout / folder / "__init__.py") for folder in expected]


def loaded_by(python: Path, statement: str, cwd: Path) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    return {name for name in run(python, "-I", "-c", code, cwd=cwd).split() if name in LAZY}


def test_import_is_light(installed: Path, tmp_path: Path) -> None:
    assert not loaded_by(installed, "import exoabm", tmp_path)
    assert "pandas" in loaded_by(installed, "import exoabm, pandas", tmp_path)


def test_help_is_light(installed: Path, tmp_path: Path) -> None:
    """Time is what counts, and these are what takes it; a timer would fail on a busy machine."""
    for words in (["--help"], ["sweep", "--help"], ["--version"]):
        tell = "import atexit, sys; atexit.register(lambda: print(*sys.modules))"
        call = f"{tell}; sys.argv[1:] = {words}; from exoabm.cli import main; main()"
        found = run(installed, "-I", "-c", call, cwd=tmp_path)
        loaded = set(found.splitlines()[-1].split())
        assert "typer" in loaded
        assert not loaded & {*LAZY, "numba", "numpy", "pyarrow", "scipy", "networkx"}


@pytest.mark.parametrize("module", ["exoabm", "exoabm.model"])
def test_import_leaves_the_process_alone(installed: Path, module: str, tmp_path: Path) -> None:
    look = "print(multiprocessing.get_start_method(allow_none=True))"
    code = f"import multiprocessing; {look}; import {module}; {look}"
    before, after = run(installed, "-I", "-c", code, cwd=tmp_path).split()
    assert before == after == "None"


def test_compiled_code_needs_no_place_of_its_own(installed: Path, tmp_path: Path) -> None:
    """A read-only install without a home: a file stands where a folder for compiled code would go."""
    where = run(installed, "-I", "-c", "import exoabm; print(exoabm.__path__[0])", cwd=tmp_path).strip()
    copy = tmp_path / "site"
    shutil.copytree(where, copy / "exoabm", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "exoabm" / "kernels" / "__pycache__").write_text("no folder")
    (tmp_path / "home").write_text("no folder")
    code = (
        f"import sys; sys.path.insert(0, {str(copy)!r}); sys.dont_write_bytecode = True\n"
        "from exoabm.kernels import random\n"
        "import numba, pathlib; assert pathlib.Path(numba.config.CACHE_DIR).is_dir()\n"
        "print(random.__file__, numba.config.CACHE_DIR)"
    )
    kept = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    result = subprocess.run(
        [installed, "-c", code],
        cwd=tmp_path,
        env=kept | {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "home" / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    file, folder = result.stdout.split()
    assert Path(file).is_relative_to(copy)
    assert not Path(folder).exists(), "it ends with the process"
    assert result.stderr.count("\n") == 1
    assert "NUMBA_CACHE_DIR" in result.stderr


def test_import_leaves_the_filters_of_warnings(installed: Path, tmp_path: Path) -> None:
    """Those of NumPy and SciPy are their own affair."""
    libraries = "numpy, scipy.special, scipy.sparse, numba, pandas, networkx, pyarrow, pint, pydantic, zarr"
    for before, imports in (
        ("warnings", "exoabm"),
        (libraries, "exoabm.model, exoabm.cli, exoabm.runs.run_execution"),
    ):
        code = (
            f"import warnings, {before}; there = list(warnings.filters)\n"
            f"import {imports}; print([f for f in warnings.filters if f not in there])"
        )
        assert run(installed, "-I", "-c", code, cwd=tmp_path).strip() == "[]"


def test_the_source_distribution_is_whole(tmp_path: Path) -> None:
    """What a clone has to work with: the description, the changes, the recipes and all tests."""
    kept = ["exoabm", "scenarios", "viz", "tests", "benchmarks", ".ci", ".github", "docs"]
    names = [file.name for file in ROOT.iterdir() if file.suffix in (".md", ".cff", ".toml", ".in", ".yaml")]
    copy = tmp_path / "checkout"
    junk = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in kept:
        shutil.copytree(ROOT / name, copy / name, ignore=junk)
    for name in [*names, "LICENSE"]:
        shutil.copy(ROOT / name, copy)
    code = "from setuptools import build_meta; print(build_meta.build_sdist('dist'))"
    archive = run(sys.executable, "-c", code, cwd=copy).split()[-1]
    with tarfile.open(copy / "dist" / archive) as held:
        packed = {name.partition("/")[2] for name in held.getnames() if not held.getmember(name).isdir()}
    expected = {str(p.relative_to(copy)) for name in kept for p in (copy / name).rglob("*") if p.is_file()}
    expected = {name for name in expected if ".egg-info" not in name}
    assert not (expected | {*names, "LICENSE"}) - packed
    assert not [name for name in packed if "__pycache__" in name or name.endswith((".pyc", ".nbi", ".nbc"))]
