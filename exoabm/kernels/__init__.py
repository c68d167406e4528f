"""Compiled loops on raw arrays. They import numpy and numba only and know nothing of biology."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile

import numba


def _find_cache() -> None:
    """Where numba can keep compiled code nowhere, give it a folder for as long as this process runs.

    That is so on an install that may not be written to, by a user without a home. Processes started from
    this one share the folder.
    """
    try:
        numba.njit(cache=True)(_find_cache)  # compiles nothing, but looks for a place
    except RuntimeError:
        folder = tempfile.mkdtemp(prefix="exoabm-")
        os.environ["NUMBA_CACHE_DIR"] = numba.config.CACHE_DIR = folder
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        print(
            "exoabm: there is no folder to keep compiled code in, so every start compiles anew; "
            "set NUMBA_CACHE_DIR to one that can be written to",
            file=sys.stderr,
        )


_find_cache()
