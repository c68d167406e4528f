"""What a start loads: modules are checked rather than times, which a busy machine would spoil."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from exoabm.scenario.loader import load, shipped

NOT_NEEDED = {"pandas", "networkx", "pyarrow", "matplotlib", "tqdm", "zarr", "solara"}
"""Libraries that a model and its steps do without: their import takes longer than the steps do."""


def test_a_first_step_loads_no_library_that_it_does_not_need(tmp_path: Path) -> None:
    """Parts of Mesa that need pandas and networkx load them when they are used."""
    code = f"""
import sys
import exoabm
model = exoabm.ExosomeModel("two_cells", seed=1)
model.step()
print(sorted({NOT_NEEDED} & sys.modules.keys()))
import mesa
collector = mesa.DataCollector(model_reporters={{"hours": lambda model: model.hours}})
collector.collect(model)
print(collector.get_model_vars_dataframe().hours.tolist(), "pandas" in sys.modules)
import networkx
grid = mesa.space.NetworkGrid(networkx.path_graph(5))
print(grid.get_neighborhood(2, radius=2), type(networkx).__name__)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    first, second, third = done.stdout.splitlines()
    assert first == "[]"
    assert second == f"[{1 / 60}] True"
    assert third == "[1, 3, 0, 4] module"


def test_a_run_loads_no_library_that_it_does_not_need(tmp_path: Path) -> None:
    """``pyarrow.array`` would load pandas; the units of shipped scenarios are read without pint.

    The preview is drawn by a process that is ended with the run, to the same bytes as within a run. One that
    was killed leaves the drawing to the run.
    """
    code = (
        "import os, sys\n"
        "sys.argv[1:] = ['run', 'two_cells', '--hours', '1 min', '--seed', '1', '--out', 'a']\n"
        "import exoabm\n"
        "from exoabm.cli import main\n"
        "from exoabm.plot.run_figure.process import DrawingProcess\n"
        "model = exoabm.ExosomeModel('two_cells', seed=1)\n"
        "apart = {'matplotlib'} if (drawing := DrawingProcess())._process else set()\n"
        "if apart: os.kill(drawing._process.pid, 9); drawing._process.join()\n"
        "drawing.send(model.state, model.history.rows)\n"
        "print(drawing.receive())\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code)\n"
        "print(sorted(({'pandas', 'pint', 'dask'} | apart) & sys.modules.keys()))\n"
        "try: print(os.waitpid(-1, os.WNOHANG))\n"
        "except ChildProcessError: print('no child')\n"
        "exoabm.run('two_cells', hours=1 / 60, seed=1, out='b')\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    shown = done.stdout.splitlines()
    assert (shown[0], shown[-3:]) == ("None", ["0", "[]", "no child"]), done.stderr
    pictures = [(tmp_path / name / "preview.png").read_bytes() for name in "ab"]
    assert pictures[0] == pictures[1]


def test_the_list_of_scenarios_is_read_without_building_them(tmp_path: Path) -> None:
    code = (
        "import atexit, sys; atexit.register(lambda: print(*sys.modules)); sys.argv[1:] = ['list', '--json']"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; from exoabm.cli import main; main()"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    *shown, modules = done.stdout.splitlines()
    loaded = {"numpy", "numba", "pint", "exoabm.scenario.schema"} & set(modules.split())
    assert not loaded, done.stderr
    infos = [(name, load(name).scenario.info) for name in shipped()]
    expected = [{"name": name, "title": info.title, "question": info.question} for name, info in infos]
    assert json.loads("\n".join(shown)) == expected
