"""What a run was made with: versions, code, machine, seed."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import exoabm
from exoabm.parameters import references
from exoabm.scenario.entries import quantities

if TYPE_CHECKING:
    from exoabm.scenario.loader import LoadedScenario

LIBRARIES = (
    "mesa",
    "numpy",
    "numba",
    "scipy",
    "networkx",
    "pyarrow",
    "zarr",
    "pydantic",
    "pint",
    "matplotlib",
)


def versions() -> dict[str, str]:
    """Versions of exoabm, Python and the libraries that shape a result."""
    found = {"exoabm": exoabm.__version__, "python": sys.version.split()[0]}
    return found | {name: metadata.version(name) for name in LIBRARIES}


def machine() -> dict[str, str]:
    """Where the run took place, as far as it can shape a result."""
    return {
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "processor": platform.processor(),
    }


def git_state() -> dict[str, Any] | None:
    """Commit of the code and whether it was changed since; None outside a checkout."""
    folder = Path(exoabm.__file__).parent
    try:
        commit, changes = (
            subprocess.run(
                ["git", "-C", str(folder), *command],
                capture_output=True,
                text=True,
                timeout=5,
                check=True,
            ).stdout.strip()
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "--", "."])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "changed": bool(changes)}


def sources(loaded: LoadedScenario) -> list[str]:
    """Keys of every work that a scenario's numbers, methods and libraries rest on, in order."""
    known = references()
    named = [key.strip() for _, quantity in quantities(loaded.scenario) for key in quantity.source.split(",")]
    always = [
        key
        for keyword in ("method", "guideline", "software")
        for key, entry in known.items()
        if entry.get("keywords") == keyword
    ]
    wanted = [*loaded.scenario.info.references, *named, *always]
    return [key for key in dict.fromkeys(wanted) if key in known]
