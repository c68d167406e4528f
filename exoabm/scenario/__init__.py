"""Scenario files: schema, reading, validation, estimates, and construction of a model's state.

``exoabm.scenario`` is this package and, called, the function ``exoabm.api.scenarios.scenario``:

>>> import exoabm
>>> exoabm.scenario("signaling", clock__duration="6 h")
<scenario signaling: Signaling at a distance>
"""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path

from exoabm import CallablePackage


def shipped() -> dict[str, Path]:
    """The scenarios shipped with exoabm, by name."""
    folder = Path(str(resources.files("exoabm.scenarios")))
    files = (path for path in sorted(folder.glob("*.toml")) if "." not in path.stem)  # intros, lessons
    return {path.stem: path for path in files}


sys.modules[__name__].__class__ = CallablePackage
