"""The caps of a page that anyone may open: what one model may take, and how many there may be.

A class on one server has lower caps than one reader on a machine of their own; see ``class_limits``.
"""

from __future__ import annotations

import json
import math
import pkgutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from exoabm.errors import InputError, ResourceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from exoabm.scenario.schema import Scenario
    from exoabm.scenario.state_builder import Blueprint


@dataclass
class Limits:
    """What a model on the page may take; the command line has no such limits.

    Attributes
    ----------
    voxels, cells : int
        Sites of the grid and cells.
    concentrations, contacts : int
        Voxels, and cells, times origins and vesicle kinds.
    vesicles : int
        Vesicles followed at once; a model of which one step brings more is refused, and more stop the run.
    memory_bytes : float
        Of the model with the copy of its state that the page goes back to after an error.
    step_seconds, cpu_seconds : float
        Processor time of a step, estimated, and of a run.
    recording_bytes : int
        Frames kept to look back on.
    hours : float
        Model time of a run.
    """

    voxels: int = 1 << 18
    cells: int = 20_000
    memory_bytes: float = 2e9
    step_seconds: float = 0.5
    concentrations: int = 4_000_000
    contacts: int = 500_000
    vesicles: int = 200_000
    hours: float = 24.0 * 60
    cpu_seconds: float = math.inf
    recording_bytes: int = 24 << 20

    def admit_cells(self, scenario: Scenario) -> None:
        """Refuse a layout with too many cells before they are placed.

        Raises
        ------
        ResourceError
        """
        cells = sum(group.count for group in scenario.layout.group)
        if cells > self.cells:
            raise ResourceError(
                f"this model has {cells:,} cells; the page takes up to {self.cells:,}. "
                "Run it from the command line: exoabm run"
            )

    def admit(self, plan: Blueprint, hours: float) -> None:
        """Refuse a model that is too large for the page, by its size and the estimate of its run.

        Raises
        ------
        ResourceError
            Naming what it has and what is allowed.
        """
        kinds, labels, cells = len(plan.kinds), len(plan.labels), len(plan.position)
        for found, most, words in (
            (plan.domain.n_voxels, self.voxels, "voxels"),
            (cells, self.cells, "cells"),
            (plan.estimate.arriving, self.vesicles, "single vesicles that come in one step"),
            (WITH_COPY * plan.estimate.model_bytes / 1e6, self.memory_bytes / 1e6, "MB of memory"),
            (plan.estimate.step_seconds, self.step_seconds, "s of computing in a step"),
            (plan.domain.n_voxels * kinds * labels, self.concentrations, "concentrations a step"),
            (cells * kinds * labels, self.contacts, "pairs of cell and origin"),
            (hours, self.hours, "hours"),
        ):
            if found > most:
                digits = ",.0f" if most >= 10 else ".2g"
                raise ResourceError(
                    f"this model has {found:{digits}} {words}; the page takes up to {most:{digits}}. "
                    "Run it from the command line: exoabm run"
                )


WITH_COPY = 1.3
"""Memory of a model with a copy of its state, over the estimate of the model: 0.5 to 1.7 measured."""
LIMITS = Limits()
"""Of this process; the server of a class lowers them."""
CLASS_STEP = 0.1
"""Seconds of computing in a step: the wait for a turn behind the largest model of another reader."""


def class_limits(readers: int, memory_bytes: float) -> Limits:
    """Caps of each reader of a class; the models of all take half of the memory that is free."""
    return Limits(
        voxels=1 << 16,
        cells=10_000,
        memory_bytes=min(max(memory_bytes / 2 / readers, 3e8), 1e9),
        step_seconds=CLASS_STEP,
        concentrations=1_000_000,
        contacts=200_000,
        vesicles=50_000,
        cpu_seconds=1800.0,
        recording_bytes=6 << 20,
    )


class ModelSlots:
    """How many pages may be open at once, and how many of them by one reader; thread-safe."""

    def __init__(self, most: int, each: int = 1 << 30) -> None:
        self.most, self.each = most, each
        self._taken: dict[int, str] = {}
        self._lock = threading.Lock()

    def take(self, who: int, reader: str = "") -> bool:
        """Whether there is a seat for the page ``who`` (which then has it, once however often it asks)."""
        with self._lock:
            if who not in self._taken:
                if len(self._taken) >= self.most or list(self._taken.values()).count(reader) >= self.each:
                    return False
                self._taken[who] = reader
            return True

    def leave(self, who: int) -> None:
        """Give the seat back."""
        with self._lock:
            self._taken.pop(who, None)

    def __len__(self) -> int:
        return len(self._taken)


SLOTS = ModelSlots(16)
"""Of this process; the server may say how many."""


MOST_BYTES = 3 << 30
"""Of address space, of which the libraries alone take a third."""
MOST_SECONDS = 60.0
_READING = threading.Semaphore(2)
"""Files that are read at the same time."""


def read_in_sandbox(read: Callable[..., object], file: Path, **limits: float | None) -> None:
    """Call ``read(file, **limits)`` in a process of its own.

    What it returns or raises there is left to the caller's own call.

    Raises
    ------
    InputError
        If that process died, took too much memory or too long.
    """
    call = [read.__module__, read.__qualname__, str(file), json.dumps(limits)]
    try:
        with _READING:
            lived = subprocess.run(
                [sys.executable, "-P", "-m", __name__, *call],
                capture_output=True,
                timeout=MOST_SECONDS,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise InputError(f"{file.name}: reading it takes longer than {MOST_SECONDS:g} s") from None
    if lived.returncode:
        raise InputError(
            f"{file.name}: damaged, or far larger than it states; the reading process was terminated"
        )


def _main(module: str, name: str, file: str, limits: str) -> int:
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    read = pkgutil.resolve_name(f"{module}:{name}")
    try:
        read(Path(file), **json.loads(limits))
    except MemoryError:
        return 1
    except Exception:  # the caller will meet the same, and says it in its own words
        pass
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
