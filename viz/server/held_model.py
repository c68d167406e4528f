"""The model of a session: compiled before its run, read under a lock, parked, and made again after an error.

Kernels are compiled when they are first called, which takes up to a minute the first time on a machine, and
kept on disk. So a copy of the model is stepped: once, and where that compiled something, on to uptake,
division and motion of cells, which call further kernels. The state of a parked model is kept compressed; the
next look at it makes the same model again.
"""

from __future__ import annotations

import io
import threading
import time
import weakref
from typing import TYPE_CHECKING

import numpy as np
from numba.core.event import install_recorder

from exoabm.model import ExosomeModel
from exoabm.output import checkpoint
from exoabm.scenario.cell_builder import behaviors_in_use, processes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exoabm.scenario.loader import LoadedScenario

STEPS, SECONDS = 80, 4.0
"""Most further steps, and seconds that they take by the estimate of a step."""

_begun: dict[tuple[str, ...], threading.Event] = {}
_compiling = threading.Lock()


def compiled_for(loaded: LoadedScenario) -> threading.Event:
    """Set when the kernels of a model are compiled, which begins unless it did for one of its kind."""
    scenario = loaded.scenario
    transport, used = scenario.transport, processes(behaviors_in_use(scenario)[0])
    kind = loaded.name, transport.engine, transport.capture, transport.precision, *sorted(set(used))
    with _compiling:
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


class HeldModel:
    """A model, or what it is made from again.

    Parameters
    ----------
    loaded, seed
        The scenario, checked, and the seed of the run.
    vesicles : int
        Most single vesicles that the model has room for.
    model
        Of this scenario and seed; by default a new one.

    Attributes
    ----------
    lock : threading.RLock
        Held while the model is read or stepped.
    """

    def __init__(
        self, loaded: LoadedScenario, seed: int, vesicles: int, model: ExosomeModel | None = None
    ) -> None:
        self.lock = threading.RLock()
        self._loaded, self._seed, self._vesicles = loaded, seed, vesicles
        self._live: ExosomeModel | None = self._made() if model is None else model
        self._parked: bytes = b""
        self._looked = time.monotonic()
        self._kept: tuple[dict[str, np.ndarray], int] = ({}, 0)
        _held.add(self)

    @property
    def model(self) -> ExosomeModel:
        """The model, made again where it was parked."""
        with self.lock:
            if self._live is None:
                with np.load(io.BytesIO(self._parked), allow_pickle=False) as kept:
                    content = dict(kept)
                rows = content.pop("history/rows")
                self._live = self._made(content)
                self._live.history.restore({"rows": rows})
                self._parked = b""
                self.keep()
            self._looked = time.monotonic()
            return self._live

    @property
    def parked(self) -> bool:
        """Whether only a compressed copy of the model is kept."""
        return self._live is None

    def park(self, idle: float) -> bool:
        """Keep only a compressed copy of a model not looked at for ``idle`` s; whether that was done."""
        if not self.lock.acquire(blocking=False):
            return False
        try:
            if self._live is None or time.monotonic() - self._looked < idle:
                return False
            content = checkpoint.snapshot(self._live.state)
            rows = self._live.history.snapshot()["rows"]
            target = io.BytesIO()
            np.savez_compressed(target, allow_pickle=False, **content, **{"history/rows": rows})
            self._parked, self._live, self._kept = target.getvalue(), None, ({}, 0)
            return True
        finally:
            self.lock.release()

    def keep(self) -> None:
        """Keep a copy of the state to go back to."""
        with self.lock:
            state = checkpoint.snapshot(self.model.state)
            copies = {name: array.copy() for name, array in state.items()}
            self._kept = copies, len(self.model.history.rows)

    def go_back(self) -> None:
        """Make the model again from the last copy kept: an error may have left a step half done."""
        with self.lock:
            broken = self.model
            content, rows = self._kept
            self._live = self._made(content)
            self._live.history.rows[:] = broken.history.rows[:rows]

    def _made(self, snapshot: Mapping[str, np.ndarray] | None = None) -> ExosomeModel:
        """The model, with no more room for single vesicles than it is given."""
        model = ExosomeModel(self._loaded, seed=self._seed, snapshot=snapshot)
        if model.state.follows_vesicles:
            model.state.vesicles.most = self._vesicles
        return model


_held: weakref.WeakSet[HeldModel] = weakref.WeakSet()


def park_idle(seconds: float) -> int:
    """Park the models of this process that nobody has looked at for some time; how many that were."""
    return sum(each.park(seconds) for each in list(_held))
