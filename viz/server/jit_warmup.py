"""The first step of each kind of model, taken beforehand on a copy, since it compiles what steps need.

In a new environment that takes up to half a minute. So that nobody waits for it in front of a clock that
stands still, it is done in the background as soon as a model is opened; a session waits for it and says so.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from exoabm.model import ExosomeModel

if TYPE_CHECKING:
    from exoabm.scenario.loader import LoadedScenario

_begun: dict[tuple[str, str, str], threading.Event] = {}
_lock = threading.Lock()


def rehearse(loaded: LoadedScenario) -> threading.Event:
    """Step a copy of the model once, unless one of its kind was; the event is set when that is over."""
    transport = loaded.scenario.transport
    kind = loaded.name, transport.engine, transport.capture
    with _lock:
        over = _begun.get(kind)
        if over is None:
            over = _begun[kind] = threading.Event()
            threading.Thread(target=_step, args=(loaded, over), daemon=True, name="exoabm-rehearsal").start()
    return over


def _step(loaded: LoadedScenario, over: threading.Event) -> None:
    try:
        ExosomeModel(loaded, seed=0).step()
    except Exception:  # the session will meet it itself, and has a place to say so
        pass
    finally:
        over.set()
