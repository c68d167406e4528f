"""Software and machine that make a result: versions, code, and how they differ from another one's."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from functools import cache, lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import exoabm
from exoabm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

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

SHAPING = ("exoabm", "python", "numpy", "numba", "scipy")
"""Versions that the bits of a result may rest on."""

APART = ("scenarios", "viz")
"""Parts of the package that are in folders of their own in a checkout."""
COMPILED = "__pycache__"
"""Folders of files that Python and numba make of the package."""


def versions() -> dict[str, str]:
    """Versions of exoabm, Python and the libraries that shape a result."""
    found = {"exoabm": exoabm.__version__, "python": sys.version.split()[0]}
    return found | {name: _installed(name) for name in LIBRARIES}


@cache
def _installed(library: str) -> str:
    """Version of a library, which is read from its files once: a fit asks for it before every set of runs."""
    return metadata.version(library)


def check_version(version: str, begun: str) -> None:
    """Refuse to go on with a run or batch of another version of exoabm.

    Raises
    ------
    InputError
    """
    if version != exoabm.__version__:
        raise InputError(
            f"the {begun} was started with exoabm {version} and this is {exoabm.__version__}; "
            "only the same version gives the same results"
        )


def made_with() -> dict[str, str]:
    """Influences on the bits of a result other than scenario and seed: versions, code, platform.

    ``arithmetic`` is a checksum of functions whose last digit goes by the vector instructions of a processor.
    """
    known = versions()
    found = {name: known[name] for name in SHAPING}
    found |= {"exoabm's files": code()["files_sha256"][:12], "machine": platform.machine()}
    return found | {"arithmetic": arithmetic()}


@lru_cache(maxsize=1)
def arithmetic() -> str:
    """Checksum of the bits of elementary functions and of a matrix product on this machine."""
    from scipy.linalg import expm

    x = np.linspace(0.01, 9.0, 1000)
    square = x[:400].reshape(20, 20)
    values = (np.exp(-x), np.log(x), np.power(x, 1.7), np.sin(x), np.expm1(x), x.sum(), square @ square.T)
    bits = b"".join(np.ascontiguousarray(value).tobytes() for value in values)
    return hashlib.sha256(bits + expm(square - 5.0).tobytes()).hexdigest()[:8]


def drift(then: Mapping[str, str], now: Mapping[str, str], what: str, this: str = "this is") -> str | None:
    """A sentence on the differences between two provenances, or None."""
    pairs = [(name, then.get(name, "unknown"), now.get(name, "unknown")) for name in {**then, **now}]
    differing = [(name, a, b) for name, a, b in pairs if a != b]
    if not differing:
        return None
    one, other = (", ".join(f"{p[0]} {p[i]}" for p in differing) for i in (1, 2))
    return f"{what} with {one}, and {this} {other}: results may differ in their last digits"


def machine() -> dict[str, str]:
    """Where the run took place, as far as it can shape a result."""
    return {
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "processor": platform.processor(),
    }


@lru_cache(maxsize=1)
def code() -> dict[str, Any]:
    """The code that runs: its version, a checksum of its files, and its commit where it has one.

    ``files_sha256`` is of every file of the package as it is installed, scenarios and page among them: of the
    lines ``sha256  path``, sorted by path.
    """
    lines = sorted(
        (name, hashlib.sha256(path.read_bytes()).hexdigest()) for name, path in package_files().items()
    )
    text = "".join(f"{checksum}  {name}\n" for name, checksum in lines)
    return {
        "version": exoabm.__version__,
        "files_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "git": git_state(Path(exoabm.__path__[0])),
    }


def package_files() -> dict[str, Path]:
    """Every file of the package by its name in it, wherever an install has its parts."""
    homes = {"": Path(exoabm.__path__[0])}
    for part in APART:
        spec = find_spec(f"exoabm.{part}")
        if spec is not None and spec.submodule_search_locations:
            homes[f"{part}/"] = Path(spec.submodule_search_locations[0])
    return {
        f"{prefix}{path.relative_to(home).as_posix()}": path
        for prefix, home in homes.items()
        for path in home.rglob("*")
        if COMPILED not in path.parts[len(home.parts) :] and path.is_file()
    }


def git_state(package: Path) -> dict[str, Any] | None:
    """Commit of the code and whether it was changed since; None where it is not under version control.

    A repository that only surrounds the package, as that of a user's project does, says nothing of it: the
    package must be tracked, as ``exoabm`` at the top.
    """
    alone = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def git(folder: Path, *command: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *command],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
            env=alone,
        )
        return done.stdout.strip()

    try:
        if git(package, "ls-files", "--full-name", "--error-unmatch", "__init__.py") != "exoabm/__init__.py":
            return None
        changes = git(package.parent, "status", "--porcelain", "--", "exoabm", *APART)
        return {"commit": git(package, "rev-parse", "HEAD"), "changed": bool(changes)}
    except (OSError, subprocess.SubprocessError):
        return None
