"""Scenario files: schema, reading, validation, estimates, and construction of a model's state.

``exoabm.scenario`` is this package and, called, the function ``exoabm.api.scenarios.scenario``:

>>> import exoabm
>>> exoabm.scenario("signaling", clock__duration="6 h")
<scenario signaling: Signaling at a distance>
"""

from __future__ import annotations

import sys
from importlib import import_module, resources
from pathlib import Path
from types import ModuleType
from typing import Any


def shipped() -> dict[str, Path]:
    """The scenarios shipped with exoabm, by name."""
    folder = Path(str(resources.files("exoabm.scenarios")))
    files = (path for path in sorted(folder.glob("*.toml")) if "." not in path.stem)  # intros, lessons
    return {path.stem: path for path in files}


class _Scenario(ModuleType):
    """A module that can be called, for the package ``exoabm.scenario`` has the name of a function."""

    def __call__(self, *given: Any, **more: Any) -> Any:
        """Load, build or change a scenario."""
        return import_module("exoabm.api.scenarios").scenario(*given, **more)  # a layer above this one


sys.modules[__name__].__class__ = _Scenario
