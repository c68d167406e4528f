"""Whole runs, each in a process of its own as a user starts it: wall and CPU time, peak memory, bytes.

``bench run`` measures shipped scenarios, and a table of cells where one is given, beside another installed
build in alternating rounds. ``bench scaling`` varies one size at a time; its slopes are

    d log(y) / d log(size)

between the two largest sizes, of y = CPU time and y = peak memory, each less that of ``two_cells`` for 1 min,
which is the cost of a start. ``--minutes`` bounds both: each case of ``run`` has as many rounds as fit in its
share of the time, at least one, and ``scaling`` leaves out the largest cases of an axis. The record is
written after every case.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exoabm.benchmarks.timing import Report
from exoabm.errors import InputError
from exoabm.output.durable_files import atomic_file, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROUNDS = 5
MB = 1e6


@dataclass(frozen=True)
class Case:
    """A run: its name, the arguments of ``exoabm run``, and a scenario as TOML that is not shipped."""

    name: str
    arguments: tuple[str, ...]
    text: str = ""


SHIPPED = (
    Case("start: two_cells, 1 min", ("two_cells", "--hours", "1 min")),
    Case("two_cells, 24 h", ("two_cells",)),
    Case("signaling, 24 h", ("signaling",)),
    Case("signaling, 24 h, vesicles", ("signaling", "--engine", "vesicles")),
    Case("tumor_niche, 96 h", ("tumor_niche",)),
    Case("tissue, 6 h", ("tissue", "--hours", "6")),
    Case("tissue, 6 h, vesicles", ("tissue", "--hours", "6", "--engine", "vesicles")),
    Case("tissue_repair, 24 h", ("tissue_repair", "--hours", "24")),
)


def of_table(table: Path) -> tuple[Case, ...]:
    """A table of cells, run for 6 h in each engine."""
    place = str(table.resolve())
    return tuple(
        Case(f"{table.name}, 6 h, {engine}", (place, "--hours", "6", "--engine", engine))
        for engine in ("continuum", "vesicles")
    )


@dataclass(frozen=True)
class Measured:
    """One run: wall and CPU seconds, peak memory and size of its folder in bytes, load of the machine before.

    The load is the mean number of processes that ran or waited in the last minute.
    """

    wall: float
    cpu: float
    peak: float
    written: float
    load: float = 0.0


def measure_run(python: str, case: Case) -> Measured:
    """Run a case once by an interpreter that has exoabm.

    Raises
    ------
    InputError
        If the run fails; with what it said.
    """
    with tempfile.TemporaryDirectory() as place:
        folder, arguments = Path(place), list(case.arguments)
        if case.text:
            (folder / "case.toml").write_text(case.text)
            arguments.insert(0, str(folder / "case.toml"))
        program = "from exoabm.cli import main; main()"  # of any build
        command = [python, "-c", program, "run", *arguments, "--seed", "1", "--out", str(folder / "run")]
        load = os.getloadavg()[0]
        with (folder / "said.txt").open("w+") as said:
            start = time.perf_counter()
            process = subprocess.Popen(command, cwd=place, stdout=said, stderr=said)
            try:
                _, status, usage = os.wait4(process.pid, 0)
            except BaseException:
                process.terminate()
                process.wait()
                raise
            wall = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                said.seek(0)
                raise InputError(
                    f"{case.name}: the run ended with {process.returncode}: {said.read()[-300:]}"
                )
        written = sum(path.stat().st_size for path in (folder / "run").rglob("*") if path.is_file())
    unit = 1 if sys.platform == "darwin" else 1024
    cpu, peak = usage.ru_utime + usage.ru_stime, float(usage.ru_maxrss * unit)
    return Measured(wall, cpu, peak, float(written), load)


def bench_run(
    *,
    against: Path | None = None,
    rounds: int = ROUNDS,
    minutes: float = math.inf,
    table: Path | None = None,
    record: Path | None = None,
    cases: Sequence[Case] = SHIPPED,
) -> Report:
    """Measure whole runs of this build, and of another one in turn; medians over rounds.

    Raises
    ------
    InputError
        If there is no exoabm behind ``against``, ``record`` cannot be written, or a run fails.
    """
    builds = {"this": sys.executable} | ({} if against is None else {"other": str(against.absolute())})
    head = {"builds": {name: _about(python) for name, python in builds.items()}}
    rows, runs = [], []
    cases = (*cases, *(of_table(table) if table is not None else ()))
    end, save = _end(minutes), _recorder(record, head)
    for number, case in enumerate(cases):
        share = (end - time.monotonic()) / (len(cases) - number)
        found = _alternate(builds, case, rounds, share)
        runs += [
            {"case": case.name, "build": name, **{k: [getattr(m, k) for m in all_] for k in _UNITS}}
            for name, all_ in found.items()
        ]
        rows.append(_row(case.name, {name: _medians(all_) for name, all_ in found.items()}))
        rows[-1]["rounds"] = len(found["this"])
        save(runs)
    title = "Whole runs, medians of rounds" + (" alternating with the other build" if against else "")
    return Report(title, tuple(rows[0]), rows)


def _alternate(builds: dict[str, str], case: Case, rounds: int, share: float) -> dict[str, list[Measured]]:
    """Rounds of a case, by each build in turn: as many as fit in ``share`` s, at least one.

    A first run by each build is not measured: kernels that are not compiled yet are compiled in it.
    """
    start = time.monotonic()
    for python in builds.values():
        measure_run(python, case)
    found: dict[str, list[Measured]] = {name: [] for name in builds}
    for number in range(rounds):
        spent = time.monotonic() - start
        if number and spent * (number + 2) / (number + 1) > share:
            break
        for name in list(builds) if number % 2 == 0 else list(reversed(builds)):
            found[name].append(measure_run(builds[name], case))
    return found


def _end(minutes: float) -> float:
    return time.monotonic() + 60 * minutes


_UNITS = {"wall": "s", "cpu": "s", "peak": "bytes", "written": "bytes", "load": "processes"}


def _row(name: str, found: dict[str, Measured]) -> dict[str, Any]:
    mine = found["this"]
    row: dict[str, Any] = {"case": name} | _shown(mine)
    if (other := found.get("other")) is not None:
        row |= {f"other {key}": value for key, value in _shown(other).items()}
        row |= {
            "times faster": f"{other.wall / mine.wall:.2f}",
            "less CPU": f"{other.cpu / mine.cpu:.2f}",
            "less memory": f"{other.peak / mine.peak:.2f}",
        }
    return row


def _shown(one: Measured) -> dict[str, Any]:
    return {
        "wall s": round(one.wall, 2),
        "CPU s": round(one.cpu, 2),
        "peak MB": round(one.peak / MB),
        "written MB": round(one.written / MB, 2),
    }


def _medians(found: list[Measured]) -> Measured:
    def middle(values: list[float]) -> float:
        values = sorted(values)
        return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2

    return Measured(*(middle([getattr(one, name) for one in found]) for name in _UNITS))


def _about(python: str) -> dict[str, Any]:
    """Version and provenance of the exoabm behind an interpreter."""
    code = (  # older builds have both names in another module
        "import importlib.util, json; "
        "new = importlib.util.find_spec('exoabm.software'); "
        "place = 'exoabm.software' if new else 'exoabm.runs.provenance'; "
        "made = importlib.import_module(place); "
        "print(json.dumps({'versions': made.versions(), 'code': made.code()}))"
    )
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise InputError(f"--against {python}: no Python with exoabm: {error}") from None
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _machine() -> dict[str, Any]:
    import psutil

    from exoabm.software import machine

    return machine() | {
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "load_average": os.getloadavg(),
    }


def _recorder(record: Path | None, head: dict[str, Any]) -> Callable[[list[dict[str, Any]]], None]:
    """A function that writes the runs so far to ``record``, whole or not at all; called here without any."""
    head = {"machine": _machine(), "units": _UNITS} | head

    def save(runs: list[dict[str, Any]]) -> None:
        if record is None:
            return
        try:
            write_whole(record, (json.dumps(head | {"runs": runs}, indent=1) + "\n").encode())
        except OSError as error:
            raise InputError(f"--record {record}: {error.strerror}") from None

    save([])
    return save


WORLD = """
info = {{ title = "scaling" }}
domain = {{ size = {size}, voxel = "10 um" }}
clock = {{ step = "1 min", duration = "{minutes} min" }}
transport = {{ engine = "{engine}", provenance = "{provenance}" }}
[[vesicle]]
name = "EV"
[[layout.group]]
cell_type = "donor"
count = {donors}
arrange = "overlapping"
[[layout.group]]
cell_type = "recipient"
count = {takers}
arrange = "overlapping"
[[cell_type]]
name = "donor"
releases = "EV"
release_rate = "{rate} / h"
[[cell_type]]
name = "recipient"
takes_up = ["EV"]
"""


def world(
    voxels: int = 128,
    dim: int = 2,
    donors: int = 10,
    takers: int = 90,
    minutes: int = 10,
    engine: str = "continuum",
    provenance: str = "cell_type",
    rate: float = 60.0,
) -> str:
    """A scenario of cells at random places on ``voxels`` sites along each axis."""
    places = {"size": [10 * voxels] * dim, "donors": donors, "takers": takers, "minutes": minutes}
    return WORLD.format(**places, engine=engine, provenance=provenance, rate=rate)


def _crowd(cells: int) -> str:
    """Cells at 400 um^2 each, a tenth of them donors."""
    voxels = max(32, math.ceil(math.sqrt(cells * 4.0)))
    return world(voxels, donors=cells // 10, takers=cells - cells // 10, minutes=5)


def _swarm(vesicles: int) -> str:
    """1,000 donors that release so many vesicles in 10 min."""
    return world(256, donors=1000, takers=1000, engine="vesicles", rate=6 * vesicles / 1000)


SCALING: dict[str, tuple[tuple[float, Case], ...]] = {
    "voxels, 2-D": tuple((n * n, Case(f"{n}²", (), world(n))) for n in (128, 256, 512, 1024)),
    "voxels, 2-D, 2 threads": tuple(
        (n * n, Case(f"{n}²", ("--threads", "2"), world(n))) for n in (512, 1024)
    ),
    "voxels, 3-D": tuple((n**3, Case(f"{n}³", (), world(n, 3))) for n in (32, 64, 128)),
    "cells": tuple((n, Case(f"{n:,}", (), _crowd(n))) for n in (100, 10_000, 100_000, 1_000_000)),
    "vesicles": tuple((n, Case(f"{n:,}", (), _swarm(n))) for n in (10_000, 100_000, 1_000_000, 10_000_000)),
    "labels": tuple(
        (n, Case(f"{n}", (), world(256, donors=n, takers=100, provenance="cell"))) for n in (1, 10, 100)
    ),
}
"""The size that is varied and the cases of each axis; 10 min of model time, 5 min for ``cells``."""


def bench_scaling(
    *, largest: float = math.inf, minutes: float = math.inf, record: Path | None = None
) -> Report:
    """Time and memory of runs by their size, beside the memory that is foreseen for them.

    ``largest`` leaves out cases of more voxels, cells or vesicles.

    Raises
    ------
    InputError
        If ``record`` cannot be written, or a run fails.
    """
    end, save = _end(minutes), _recorder(record, {"builds": {"this": _about(sys.executable)}})
    start = [measure_run(sys.executable, SHIPPED[0]) for _ in range(2)][1]
    rows, runs, left_out = [], [], []
    for number, (axis, cases) in enumerate(SCALING.items()):
        until = time.monotonic() + (end - time.monotonic()) / (len(SCALING) - number)
        before: tuple[float, Measured] | None = None
        measure_run(sys.executable, cases[0][1])  # compiles
        for size, case in cases:
            if size > largest or (before is not None and time.monotonic() > until):
                left_out.append(f"{axis} {case.name}")
                continue
            one, foreseen = measure_run(sys.executable, case), foreseen_bytes(case.text)
            slope = ("", "") if before is None else _slopes(before, (size, one), start)
            rows.append(
                {
                    "varied": axis,
                    "size": case.name,
                    **_shown(one),
                    "foreseen MB": round(foreseen / MB),
                    "foreseen / peak": round(foreseen / one.peak, 2),
                    "slope of CPU": slope[0],
                    "slope of memory": slope[1],
                }
            )
            runs.append({"varied": axis, "size": size, "foreseen": foreseen, **vars(one)})
            before = size, one
            save(runs)
    title = "Whole runs by their size, one run each" + (
        f"; without {', '.join(left_out)}" if left_out else ""
    )
    return Report(title, tuple(rows[0]), rows, partial(_draw, runs))


def foreseen_bytes(text: str) -> float:
    """The estimate of a scenario's memory, also of one that is refused here."""
    from unittest.mock import patch

    from exoabm.scenario.loader import parse
    from exoabm.scenario.resource_estimate import Estimate
    from exoabm.scenario.state_builder import blueprint

    with patch.object(Estimate, "check_memory", lambda _: None):
        return blueprint(parse(text.encode(), name="scaling", folder=Path()), 1).estimate.memory_bytes


def _slopes(a: tuple[float, Measured], b: tuple[float, Measured], start: Measured) -> tuple[str, str]:
    (size, one), (larger, other) = a, b

    def slope(low: float, high: float) -> str:
        return f"{math.log(high / low) / math.log(larger / size):.2f}" if high > low > 0 else ""

    return slope(one.cpu - start.cpu, other.cpu - start.cpu), slope(
        one.peak - start.peak, other.peak - start.peak
    )


def _draw(runs: list[dict[str, Any]], path: Path) -> None:
    """CPU time and peak memory against size, logarithmic; the memory foreseen as open circles."""
    from matplotlib.figure import Figure

    from exoabm.plot.palette import INK, MUTED, PAPER

    figure = Figure(figsize=(9.0, 4.0), dpi=120, facecolor=PAPER, layout="constrained")
    time_, memory = figure.subplots(1, 2)
    for axis in dict.fromkeys(run["varied"] for run in runs):
        mine = [run for run in runs if run["varied"] == axis]
        size = [run["size"] for run in mine]
        time_.plot(size, [run["cpu"] for run in mine], "o-", ms=4, label=axis)
        (line,) = memory.plot(size, [run["peak"] / MB for run in mine], "o-", ms=4)
        memory.plot(
            size, [run["foreseen"] / MB for run in mine], "o", ms=7, mfc="none", color=line.get_color()
        )
    for axes, label in ((time_, "CPU time of the run, s"), (memory, "peak memory, MB (open: foreseen)")):
        axes.set(xscale="log", yscale="log", xlabel="voxels, cells, vesicles or labels", ylabel=label)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=MUTED)
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
    time_.legend(frameon=False, fontsize=8)
    with atomic_file(path) as partial:
        figure.savefig(partial, format=path.suffix[1:])
