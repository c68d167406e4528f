"""Mesa, imported without its side effects.

``import mesa`` (3.3) forces the start method of multiprocessing to ``spawn`` for the whole process, loads
pandas, networkx and scipy.spatial (0.6 s), reads the source of every caller to name its loggers (0.1 s), and
``Agent._ids`` keeps every model that ever had agents alive. All of this is undone here: these libraries are
loaded when something of Mesa first uses them.
"""

from __future__ import annotations

import inspect
import itertools
import multiprocessing
import sys
import threading
import weakref
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LATER = ("pandas", "networkx", "tqdm.auto", "scipy.spatial.distance")
"""Modules that Mesa imports and that a model need not have."""


class _Later(ModuleType):
    """A module that is imported when a function or class of it is called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Name(self.__name__, name)


class _Name:
    """Something in a module that is imported later."""

    def __init__(self, module: str, name: str) -> None:
        self._place = module, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        module, name = self._place
        return getattr(import_module(module), name)(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        module, own = self._place
        return getattr(getattr(import_module(module), own), name)


@contextmanager
def _postponed(names: tuple[str, ...]) -> Iterator[None]:
    """Within, an import of these modules makes a placeholder of those that are not loaded yet."""
    mine = {name: _Later(name) for name in names if name not in sys.modules}
    sys.modules.update(mine)
    try:
        yield
    finally:
        for name, module in mine.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


@contextmanager
def _frames_without_source() -> Iterator[None]:
    """Within, ``inspect`` names the functions and modules of a stack, and reads none of their files."""

    def outer(frame: Any, context: int = 1) -> list[inspect.FrameInfo]:
        found = []
        while frame is not None:
            code = frame.f_code
            found.append(inspect.FrameInfo(frame, code.co_filename, frame.f_lineno, code.co_name, None, None))
            frame = frame.f_back
        return found

    def module_of(frame: Any) -> ModuleType | None:
        return sys.modules.get(frame.f_globals["__name__"])

    before = inspect.getouterframes, inspect.getmodule
    inspect.getouterframes, inspect.getmodule = outer, module_of  # type: ignore[assignment]
    try:
        yield
    finally:
        inspect.getouterframes, inspect.getmodule = before


_before = multiprocessing.get_start_method(allow_none=True)

with _postponed(LATER), _frames_without_source():
    import mesa

multiprocessing.set_start_method(_before, force=True)


def _of_agents(name: str) -> property:
    """A place in which Mesa keeps agents; who reads it finds all that the model begins with."""

    def read(model: Model) -> Any:
        model._complete()
        return model.__dict__[name]

    def write(model: Model, value: Any) -> None:
        model.__dict__[name] = value

    return property(read, write)


_MAKING = threading.RLock()
"""Held while agents are made, which itself asks for agents; of no model, so that models can be copied."""


class Model(mesa.Model):  # type: ignore[misc]
    """A Mesa model that makes its first agents when anything of Mesa, or a user, first asks for agents."""

    _awaited: Callable[[], None] | None = None
    """Makes the agents that the model begins with; None once they are there."""

    _agents, _agents_by_type, _all_agents = map(_of_agents, ("_agents", "_agents_by_type", "_all_agents"))

    def _complete(self) -> None:
        """Make the agents that were not asked for until now; other threads wait until all are there."""
        with _MAKING:
            make, self._awaited = self._awaited, None
            if make is not None:
                make()

    def _do_step(self) -> None:
        """Make a step, as Mesa 3.5.1 calls it; once one has raised, it would itself make no further one."""
        try:
            super()._do_step()
        except BaseException:
            self._default_schedule.pause()
            self._default_schedule.resume()  # at the next unit of its time
            raise


class _IdsPerLiveModel(weakref.WeakKeyDictionary[Any, Any]):
    """Counters of agent ids that die with their model; the first agents of a model have the first ids."""

    def __getitem__(self, model: Any) -> Any:
        if isinstance(model, Model):
            model._complete()
        if model not in self:
            self[model] = itertools.count(1)
        return super().__getitem__(model)


class Agent(mesa.Agent):  # type: ignore[misc]
    """A Mesa agent that does not keep its model alive."""

    _ids = _IdsPerLiveModel()


BaseAgent = mesa.Agent
AgentSet = mesa.agent.AgentSet
ContinuousSpace = mesa.space.ContinuousSpace
DataCollector = mesa.DataCollector
