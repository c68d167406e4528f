"""Mesa, imported without its side effects.

``import mesa`` (3.3) forces the start method of multiprocessing to ``spawn`` for the whole process, and
``Agent._ids`` keeps every model that ever had agents alive. Both are undone here.
"""

from __future__ import annotations

import itertools
import multiprocessing
import weakref
from typing import Any

_before = multiprocessing.get_start_method(allow_none=True)

import mesa  # noqa: E402

multiprocessing.set_start_method(_before, force=True)


class _IdsPerLiveModel(weakref.WeakKeyDictionary[Any, Any]):
    """Counters of agent ids that die with their model."""

    def __getitem__(self, model: Any) -> Any:
        if model not in self:
            self[model] = itertools.count(1)
        return super().__getitem__(model)


class Agent(mesa.Agent):  # type: ignore[misc]
    """A Mesa agent that does not keep its model alive."""

    _ids = _IdsPerLiveModel()


Model = mesa.Model
BaseAgent = mesa.Agent
