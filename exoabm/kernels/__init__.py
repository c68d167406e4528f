"""Compiled loops on arrays, without biology; they import NumPy and numba only."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numba


def _find_cache() -> None:
    """Give numba a temporary folder for compiled code where it has none.

    This is the case in a read-only install of a user without a home. Processes started from this one share
    the folder.
    """
    try:
        probe = numba.njit(cache=True)(_find_cache)  # compiles nothing, but looks for a place
        _remove_outdated(Path(probe.stats.cache_path))
    except (RuntimeError, OSError):
        folder = tempfile.mkdtemp(prefix="exoabm-")
        os.environ["NUMBA_CACHE_DIR"] = numba.config.CACHE_DIR = folder
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        print(
            "exoabm: no folder for compiled code, so every start compiles anew; "
            "set NUMBA_CACHE_DIR to a writable one",
            file=sys.stderr,
        )


def _remove_outdated(folder: Path) -> None:
    """Remove code that was compiled from other sources of these kernels.

    numba 0.68 compares the file of a compiled function, but not those of the functions that it calls: after
    an update of one file the others would continue to use its earlier code. A process that was started before
    the update and compiles for the first time after it may still keep such code.
    """
    found = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        found.update(source.read_bytes())
    stamp = folder / "sources.sha256"
    if stamp.exists() and stamp.read_text() == found.hexdigest():
        return
    for compiled in folder.glob("*.nb[ci]"):
        compiled.unlink(missing_ok=True)
    made = stamp.with_name(f"{stamp.name}.{os.getpid()}")
    made.write_text(found.hexdigest())
    made.replace(stamp)


_find_cache()
