"""Operations by which a run folder was made: one row each in ``run.json``, with the resources used."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def peak_memory() -> int:
    """Largest resident memory of this process until now, bytes."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class Operation:
    """A run, resume or export that is going on; ``row`` is what ``run.json`` says of it.

    Parameters
    ----------
    name : str
        "run", "resume" or "export".
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
