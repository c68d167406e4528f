"""The documentation as a site: it builds without a warning, and has no dead link; notebooks run.

Notebooks run here in the process of the test and not during the build, which would start a kernel for each
and import everything again; a real build executes them in kernels and shows their figures.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import exoabm
from exoabm.api import calibration, causal, communication_inference, comparison
from exoabm.api.result import Result
from exoabm.scenario.loader import shipped

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted(ROOT.glob("docs/notebooks/*.ipynb"))
LINK = re.compile(r'(?:href|src)="([^"]+)"')
ANCHOR = re.compile(r'\bid="([^"]+)"')


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, from its sources; every warning is an error."""
    pytest.importorskip("sphinx")
    out = tmp_path_factory.mktemp("site")
    options = ["-W", "--keep-going", "-q", "-b", "html", "-D", "nb_execution_mode=off", "-d", f"{out}/.cache"]
    made = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, "-c", "docs", ".", out],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return out


def dead(site: Path) -> list[str]:
    """Links of the pages to files or anchors that are not there, and what they load from elsewhere."""
    texts = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    anchors = {path: set(ANCHOR.findall(text)) for path, text in texts.items()}
    missing = []
    for page, text in texts.items():
        for link in LINK.findall(text):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if f'src="{link}"' in text or parts.scheme not in ("http", "https"):
                    missing.append(f"{page.name}: {link} is loaded from elsewhere")
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if not target.exists() or (parts.fragment and parts.fragment not in anchors.get(target, ())):
                missing.append(f"{page.name}: {link}")
    return missing


def test_no_link_of_the_site_is_dead(site: Path) -> None:
    assert len(list(site.rglob("*.html"))) > 30
    assert not dead(site)


def test_a_dead_link_is_seen(tmp_path: Path) -> None:
    (tmp_path / "b.html").write_text('<p id="here"></p>')
    links = ["b.html", "b.html#here", "b.html#gone", "c.html", "#gone", "https://example.org"]
    text = "".join(f'<a href="{link}"></a>' for link in links)
    (tmp_path / "a.html").write_text(text + '<script src="https://example.org/x.js"></script>')
    found = {line.partition(": ")[2] for line in dead(tmp_path)}
    assert found == {"b.html#gone", "c.html", "#gone", "https://example.org/x.js is loaded from elsewhere"}


def test_every_public_name_and_scenario_has_its_place(site: Path) -> None:
    api = (site / "docs/api.html").read_text(encoding="utf-8")
    names = [name for name in exoabm.__all__ if not name.startswith("__")]
    assert not [name for name in names if f'id="exoabm.{name}"' not in api]
    modules = (calibration, causal, communication_inference, comparison)
    results = [each for module in modules for each in vars(module).values()
               if isinstance(each, type) and issubclass(each, Result)]  # fmt: skip
    assert not [each for each in results if f'id="{each.__module__}.{each.__name__}"' not in api]
    assert all(getattr(exoabm, name).__doc__ for name in names)
    assert all((site / f"scenarios/{name}.html").is_file() for name in shipped())


def test_the_search_needs_no_server(site: Path) -> None:
    """The index is a script, which a page that was opened as a file loads, and has terms of all parts."""
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    assert index.startswith("Search.setIndex(")
    assert {"ODD", "docs/mesa", "docs/parameters", "scenarios/relay", "docs/notebooks/first_run"} <= set(
        json.loads(index.removeprefix("Search.setIndex(").removesuffix(")"))["docnames"]
    )


def test_every_notebook_runs_and_ends_in_a_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From top to bottom; stored without results."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.use("Agg")
    monkeypatch.chdir(tmp_path)
    assert len(NOTEBOOKS) >= 6
    for path in NOTEBOOKS:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        assert not any(cell["outputs"] or cell["execution_count"] for cell in code), path.name
        made: dict[str, object] = {}
        for cell in code:
            plt.close("all")
            exec(compile("".join(cell["source"]), path.name, "exec"), made)  # noqa: S102
        assert any(axes.has_data() for axes in plt.gcf().axes), path.name
    plt.close("all")
