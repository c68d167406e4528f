"""Compiled loops on arrays, without biology; they import NumPy and numba only."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile

import numba


def _find_cache() -> None:
    """Give numba a temporary folder for compiled code where it has none.

    This is the case in a read-only install of a user without a home. Processes started from this one share
    the folder.
    """
    try:
        numba.njit(cache=True)(_find_cache)  # compiles nothing, but looks for a place
    except RuntimeError:
        folder = tempfile.mkdtemp(prefix="exoabm-")
        os.environ["NUMBA_CACHE_DIR"] = numba.config.CACHE_DIR = folder
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        print(
            "exoabm: no folder for compiled code, so every start compiles anew; "
            "set NUMBA_CACHE_DIR to a writable one",
            file=sys.stderr,
        )


_find_cache()
