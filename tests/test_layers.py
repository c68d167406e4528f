"""The layers of the house hold, and a planted upward import is seen.

import-linter reads the package as an install lays it out, with scenarios and viz inside.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINT = Path(sys.executable).with_name("lint-imports")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Lay the package out as an install does."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "exoabm", tmp_path / "exoabm", ignore=ignore)
    for room in ("scenarios", "viz", "benchmarks"):
        shutil.copytree(ROOT / room, tmp_path / "exoabm" / room, ignore=ignore)
    return tmp_path


def lint(site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT, "--config", ROOT / "pyproject.toml", "--no-cache"],
        cwd=site,
        env={"PYTHONPATH": str(site), "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_contracts_are_kept(site: Path) -> None:
    result = lint(site)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("room", "line", "contract"),
    [
        ("parameters", "import exoabm.state", "Arrows point down"),
        ("cells", "import exoabm.transport", "Arrows point down"),
        ("cli/console.py", "import exoabm.viz", "Arrows point down"),
        ("batch", "import solara", "Only the dashboard knows Solara"),
        ("transport", "import pint", "Only the parameters know units"),
        ("new_room.py", "", "Arrows point down"),
    ],
)
def test_a_planted_import_is_seen(site: Path, room: str, line: str, contract: str) -> None:
    module = site / "exoabm" / room
    module = module / "__init__.py" if module.is_dir() else module
    assert module.exists() == (room != "new_room.py"), "a renamed module would be made anew here"
    with module.open("a") as source:
        source.write(f"\n{line}\n")
    result = lint(site)
    assert result.returncode == 1
    assert f"{contract} BROKEN" in result.stdout


def foreign_imports(source: str) -> set[str]:
    """Top-level names imported from neither the standard library, NumPy, numba nor the kernels."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    allowed = {"numpy", "numba", *sys.stdlib_module_names}
    return {
        name for name in names if name.split(".")[0] not in allowed and not name.startswith("exoabm.kernels")
    }


@pytest.mark.parametrize("path", sorted((ROOT / "exoabm/kernels").glob("*.py")), ids=lambda p: p.stem)
def test_kernels_import_numpy_and_numba_only(path: Path) -> None:
    assert not foreign_imports(path.read_text())


def test_a_foreign_import_in_a_kernel_is_seen() -> None:
    source = "import math\nimport numpy as np\nfrom exoabm.kernels import random\n"
    assert not foreign_imports(source)
    assert foreign_imports(source + "from scipy import fft") == {"scipy.fft"}
    assert foreign_imports(source + "import exoabm.errors") == {"exoabm.errors"}
