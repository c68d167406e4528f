"""Scenario files: schema, reading, validation, estimates, and construction of a model's state."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def shipped() -> dict[str, Path]:
    """The scenarios shipped with exoabm, by name."""
    folder = Path(str(resources.files("exoabm.scenarios")))
    files = (path for path in sorted(folder.glob("*.toml")) if "." not in path.stem)  # intros, lessons
    return {path.stem: path for path in files}
