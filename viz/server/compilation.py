"""Compilation of the kernels of a model before its run: up to a minute, the first time on a machine.

Kernels are compiled when they are first called, and kept on disk. So a copy of the model is stepped: once,
and where that compiled something, on to uptake, division and motion of cells, which call further kernels.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from numba.core.event import install_recorder

from exoabm.model import ExosomeModel
from exoabm.scenario.cell_builder import behaviors_in_use, processes

if TYPE_CHECKING:
    from exoabm.scenario.loader import LoadedScenario

STEPS, SECONDS = 80, 4.0
"""Most further steps, and seconds that they take by the estimate of a step."""

_begun: dict[tuple[str, ...], threading.Event] = {}
_lock = threading.Lock()


def compiled_for(loaded: LoadedScenario) -> threading.Event:
    """Set when the kernels of a model are compiled, which begins unless it did for one of its kind."""
    scenario = loaded.scenario
    transport, used = scenario.transport, processes(behaviors_in_use(scenario)[0])
    kind = loaded.name, transport.engine, transport.capture, transport.precision, *sorted(set(used))
    with _lock:
        over = _begun.get(kind)
        if over is None:
            over = _begun[kind] = threading.Event()
            threading.Thread(target=_compile, args=(loaded, over), daemon=True, name="exoabm-compile").start()
    return over


def _compile(loaded: LoadedScenario, over: threading.Event) -> None:
    try:
        with install_recorder("numba:compile") as compiled:
            model = ExosomeModel(loaded, seed=0)
            model.step()
        if compiled.buffer:
            for _ in range(min(STEPS, int(SECONDS / model.estimate.step_seconds))):
                model.step()
    except Exception:  # the session will meet it itself, and has a place to say so
        pass
    finally:
        over.set()
