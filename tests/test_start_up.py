"""What a start loads: modules are checked rather than times, which a busy machine would spoil."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from exoabm.scenario.loader import load, shipped

NOT_NEEDED = {"pandas", "networkx", "pyarrow", "matplotlib", "tqdm", "zarr", "solara"}
"""Libraries that a model and its steps do without: their import takes longer than the steps do."""


def test_a_first_step_loads_no_library_that_it_does_not_need(tmp_path: Path) -> None:
    """Parts of Mesa that need pandas and networkx load them when they are used."""
    code = f"""
import sys
import textwrap
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
        "from exoabm.plot.run_figure.drawing_process import DrawingProcess\n"
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


def test_a_sweep_is_written_without_pandas(tmp_path: Path) -> None:
    """Words, numbers and missing values in columns of the types by which Arrow is told."""
    code = """
import sys
import textwrap
from types import SimpleNamespace as Of
import numpy as np
from exoabm.batch.sweeps import summary
rows = [Of(name=str(i), overrides=(("k", f"{i} min"), ("w", "abc"[i]))[: i + 1]) for i in range(3)]
summary.records = lambda folder, plan: iter([
    {"row": "0", "seed": 2**62, "state": "done", "readouts": {"a": 1, "b": None}},
    {"row": "1", "seed": 1, "state": "failed", "reason": "none"},
    {"row": "2", "seed": 1, "state": "done", "readouts": {"a": 0.5, "b": 2.0}},
])
varied = (summary.Varied("k", "h"), summary.Varied("w", None))
plan = Of(rows=rows, about={}, main_readout="a")
summary.write_rows("rows.parquet", None, plan, varied, ["a", "b"])
table = summary.summarize(None, plan, varied, ["a", "b"]).table()
loaded = "pandas" in sys.modules
import pyarrow.parquet as pq
found = [pq.read_table("rows.parquet"), table]
print([[column.to_pylist() for column in table.columns] for table in found])
print(*(type for table in found for type in table.schema.types), loaded)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    values, types = done.stdout.splitlines()
    h, none = [i / 60 for i in range(3)], [None] * 6
    rows = [["0", "1", "2"], [2**62, 1, 1], h, [None, "b", "c"], ["done", "failed", "done"]]
    rows += [[None, "none", None], [1.0, None, 0.5], [None, None, 2.0]]
    points = [[0, 0, 1, 1, 2, 2], [h[i // 2] for i in range(6)], [None, None, *"bbcc"], ["a", "b"] * 3]
    points += [[1, 0, 0, 0, 1, 1], [0, 0, 1, 1, 0, 0], [1.0, None, None, None, 0.5, 2.0], none, none, none]
    assert ast.literal_eval(values) == [rows, points]
    word = "dictionary<values=string, indices=int32, ordered=0>"
    expected = f"string int64 double{' string' * 3}{' double' * 2} int64 double string {word} int64 int64"
    assert types == f"{expected}{' double' * 4} False"


FAILURES = """
import os, signal, threading
import numpy as np
from exoabm.plot.run_figure import drawing_process

class Strange:
    def __getstate__(self):
        raise ZeroDivisionError

nested = []
for _ in range(10_000):
    nested = [nested]
just = np.zeros(1200)

def unless_sent(state, *, stopped=False, limit=60):
    drawing_process.LIMIT_S = limit
    with drawing_process.DrawingProcess() as drawing:
        made = drawing._process
        if made and stopped:
            os.kill(made.pid, signal.SIGSTOP)
        drawing.send(state, [])
        waits = drawing._pipe is not None
        return waits, drawing.receive(), made is None or made.exitcode

try:
    with drawing_process.DrawingProcess() as drawing:
        made = drawing._process
        raise RuntimeError
except RuntimeError:
    print((made is not None, None, made is None or made.exitcode))
for state in (Strange(), nested, lambda: 0):
    print(unless_sent(state))
print(unless_sent(np.zeros(1 << 20), stopped=True, limit=0.1))
drawing_process.MOST_BYTES = 10_000
print(unless_sent([just, just[:100].copy()]))
print(unless_sent(just, stopped=True, limit=0.1))
blocked = lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ())
drawing_process._serve = lambda pipe, _: pipe.send_bytes(str(len(blocked())).encode())
with drawing_process.DrawingProcess() as drawing:
    print(drawing.receive())
print(blocked(), threading.active_count())
try: print(os.waitpid(-1, os.WNOHANG))
except ChildProcessError: print("no child")
"""


def test_a_picture_that_is_not_drawn_beside_the_run_does_not_stop_it(tmp_path: Path) -> None:
    """A run that fails, states that cannot be sent or are too large, and a process that does not answer.

    Each ends the process, at once or after the limit. It begins with three signals blocked, so that none
    reaches the handlers of the run there.
    """
    done = subprocess.run(
        [sys.executable, "-c", FAILURES], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    *found, mask, child = done.stdout.splitlines()
    if len(os.sched_getaffinity(0)) > 1:
        ended, sent = "(False, None, -9)", "(True, None, -9)"
        assert found == [sent, *[ended] * 5, sent, "b'3'"], done.stderr
    assert (mask, child) == ("set() 1", "no child"), done.stderr


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


def test_matplotlib_waits_until_a_picture_is_drawn(tmp_path: Path) -> None:
    """Neither importing the room nor drawing touches pyplot, whose state is the process's."""
    code = """
        import sys
        import exoabm.plot.run_figure
        assert "matplotlib" not in sys.modules
        import exoabm as xo
        model = xo.ExosomeModel("two_cells", seed=1)
        exoabm.plot.run_figure.build_figure(model.state, [])
        assert "matplotlib" in sys.modules and "matplotlib.pyplot" not in sys.modules
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path,  # outside the checkout, where the installed package is found whole
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
