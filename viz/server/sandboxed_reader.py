"""A file of a stranger is read first in a process that may die of it.

Readers written in C++ can be ended by one damaged byte, and no exception tells of it; a page serves others
besides. Whatever such a process lives through is then read here, by the same call.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from exoabm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_BYTES = 3 << 30
"""Of address space, of which the libraries alone take a third."""
MOST_SECONDS = 60.0


def rehearse(read: Callable[..., object], file: Path, **limits: float | None) -> None:
    """Call ``read(file, **limits)`` in a process of its own.

    What it returns or raises there is left to the caller's own call.

    Raises
    ------
    InputError
        If that process died, took too much memory or too long.
    """
    call = [read.__module__, read.__qualname__, str(file), json.dumps(limits)]
    try:
        lived = subprocess.run(
            [sys.executable, "-P", "-m", __name__, *call],
            capture_output=True,
            timeout=MOST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"{file.name}: reading it takes longer than {MOST_SECONDS:g} s") from None
    if lived.returncode:
        raise InputError(f"{file.name}: damaged, or far larger than it says; reading it ended the reader")


def _main(module: str, name: str, file: str, limits: str) -> int:
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    read = getattr(importlib.import_module(module), name)
    try:
        read(Path(file), **json.loads(limits))
    except MemoryError:
        return 1
    except Exception:  # the caller will meet the same, and says it in its own words
        pass
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
