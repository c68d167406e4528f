"""Provenance of a run: versions, code, platform, seed, and the operations by which its folder was made."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import expm

import exoabm
from exoabm.errors import InputError
from exoabm.parameters import references
from exoabm.scenario.loader import PATH_KEY, PATH_KEYS, load, shipped
from exoabm.scenario.schema_fields import entries, plain_data, quantities

if TYPE_CHECKING:
    from collections.abc import Mapping

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

SHAPING = ("exoabm", "python", "numpy", "numba", "scipy")
"""Versions that the bits of a result may rest on."""

APART = ("scenarios", "viz")
"""Parts of the package that stand beside it in a checkout."""
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


def lasting(source: str) -> str:
    """A shipped scenario's name, or a path that holds wherever the work is resumed from."""
    return str(Path(source).resolve()) if source not in shipped() and Path(source).exists() else source


def refuse_changes(
    then: LoadedScenario,
    source: str,
    overrides: Mapping[str, str],
    table_sha256: str | None,
    begun: str,
) -> None:
    """Refuse to go on where a scenario or its table is no longer what it was.

    A source that is gone contradicts nothing, nor does a table.

    Parameters
    ----------
    then : LoadedScenario
        As it was when the work was started.
    source : str
        What it was loaded from, see ``lasting``, with ``overrides``.
    table_sha256 : str or None
        Of its table, then.
    begun : str
        What was started: "run" or "batch".

    Raises
    ------
    InputError
        Naming each key that changed, with the old and the new value.
    """
    if source not in shipped() and not Path(source).exists():
        return
    try:
        now = load(source, overrides)
        own = [  # silencings and gifts that were added to the source, as by `exoabm whatif`
            f"{key}.{row.name}."
            for key in ("silence", "give")
            for row in getattr(then.scenario, key)
            if row.name not in {other.name for other in getattr(now.scenario, key)}
        ]
        found = differences(then, now).items()
        changed = {key: pair for key, pair in found if not key.startswith(tuple(own))}
    except InputError as error:
        raise InputError(f"{source} has changed since the {begun} was started: {error}") from None
    paths = [path for path in (now.table_path(), now.types_path()) if path is not None]
    if paths and table_sha256 is not None:
        for key in PATH_KEYS:
            changed.pop(key, None)  # wherever a table lies, what is in it counts
        if all(path.exists() for path in paths) and now.table_sha256() != table_sha256:
            changed[PATH_KEY] = ("as it was", f"{paths[0]}, which holds something else")
    if changed:
        lines = [f"  {key}: {old} -> {new}" for key, (old, new) in changed.items()]
        raise InputError(
            "\n".join([f"{source} has changed since the {begun} was started:", *lines])
            + f"\nrestore the original, or start a new {begun}"
        )


def differences(a: LoadedScenario, b: LoadedScenario) -> dict[str, tuple[str, str]]:
    """Keys whose values differ between two scenarios, with both values as text; words do not count."""
    left, right = (_values(loaded) for loaded in (a, b))
    keys = dict.fromkeys([*left, *right])
    return {
        key: (left.get(key, "not there"), right.get(key, "not there"))
        for key in keys
        if left.get(key) != right.get(key)
    }


def _values(loaded: LoadedScenario) -> dict[str, str]:
    found = {}
    for key, value in entries(loaded.scenario):
        if value is not None and not key.startswith("info."):
            plain = plain_data(value)
            found[key] = str(plain["value"] if isinstance(plain, dict) and "value" in plain else plain)
    return found


def peak_memory() -> int:
    """Largest resident memory of this process until now, bytes."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class Operation:
    """A run, resume, branch or export that is going on; ``row`` is what ``run.json`` says of it.

    Parameters
    ----------
    name : str
        "run", "resume", "branch" (from a checkpoint of another run) or "export".
    more
        Further entries of its row.
    """

    def __init__(self, name: str, **more: Any) -> None:
        started = datetime.now(UTC).isoformat(timespec="seconds")
        self._said: Mapping[str, Any] = {"operation": name, "started": started, **more}
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def row(self) -> dict[str, Any]:
        """The row of this moment: wall and CPU time in s, and the peak memory of the process in bytes."""
        return {
            **self._said,
            "wall_s": time.perf_counter() - self._wall,
            "cpu_s": time.process_time() - self._cpu,
            "peak_memory_bytes": peak_memory(),
        }
