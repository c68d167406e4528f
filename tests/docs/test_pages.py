"""Pages of the documentation: their code runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGES = sorted(path for path in DOCS.glob("*.md") if PYTHON.search(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_python_of_a_page_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its blocks, one after the other, in an empty folder."""
    if "mesa.visualization" in path.read_text(encoding="utf-8"):
        pytest.importorskip("altair")
    monkeypatch.chdir(tmp_path)
    made: dict[str, object] = {}
    for block in PYTHON.findall(path.read_text(encoding="utf-8")):
        exec(compile(block, path.name, "exec"), made)  # noqa: S102
