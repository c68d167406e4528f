"""The names of the package: documented, with an example that runs, and cheap to import."""

from __future__ import annotations

import doctest
import inspect
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pytest

import exoabm as xo
from exoabm.api import batches, calibration, causal, communication_inference, comparison, scenarios, trials
from exoabm.api.plots import Plots
from exoabm.api.result import Result
from exoabm.cells import behaviors
from exoabm.scenario.loader import LoadedScenario

RESULTS = (
    LoadedScenario,
    Plots,
    batches.Batch,
    batches.Replicates,
    trials.Trial,
    *(each for module in (calibration, causal, communication_inference, comparison)
      for each in vars(module).values() if isinstance(each, type) and issubclass(each, Result)),
)  # fmt: skip
FUNCTIONS = {"causal": causal.causal, "scenario": scenarios.scenario}
"""Functions with the name of a package, which ``xo`` may have in their place."""


def examples() -> list[doctest.DocTest]:
    """Examples of all public names, and of the methods of what they return."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    names = {name: getattr(xo, name) for name in xo.__all__}
    found = {}
    for thing in (*names.values(), *RESULTS, *FUNCTIONS.values()):
        if getattr(thing, "__module__", "").startswith("exoabm"):
            for each in finder.find(thing, thing.__name__, globs=names):
                found[each.filename, each.lineno] = each
    return [each for each in found.values() if each.examples]


@pytest.mark.parametrize("name", [name for name in xo.__all__ if name != "__version__"])
def test_every_public_name_says_what_it_is(name: str) -> None:
    thing = FUNCTIONS.get(name) or getattr(xo, name)
    assert ">>>" in (thing.__doc__ or ""), f"{name} has no example"
    if not isinstance(thing, type):
        unknown = [n for n in inspect.signature(thing).parameters if n not in (thing.__doc__ or "")]
        assert not unknown, f"{name} does not say what {unknown} mean"


@pytest.mark.parametrize("result", [xo.Run, xo.Sweep, *RESULTS], ids=lambda each: each.__name__)
def test_every_public_part_of_a_result_says_what_it_is(result: type) -> None:
    assert result.__doc__
    parts = {name for name in vars(result) if not name.startswith("_")}
    assert not [name for name in parts if not getattr(result, name).__doc__]


def test_every_example_gives_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(behaviors, "_LOCAL", {})
    mpl.use("Agg")
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL)
    texts: list[str] = []
    for each in examples():
        runner.run(each, out=texts.append)
    assert runner.tries > 20
    assert not runner.failures, "".join(texts)


def test_the_package_is_cheap_to_import_and_so_is_its_list_of_names() -> None:
    heavy = "pandas matplotlib solara dask xarray zarr numba pydantic".split()
    code = f"import sys, exoabm; dir(exoabm); print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"


def test_a_scenario_needs_no_library_of_results(tmp_path: Path) -> None:
    code = "import sys, exoabm as xo; xo.scenario('two_cells')._repr_html_(); "
    code += "print([m for m in 'pandas matplotlib solara xarray zarr'.split() if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "[]"
