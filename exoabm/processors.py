"""Processor cores that a process may use, and those that are free while it runs."""

from __future__ import annotations

import math
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from numba import config

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_AFTER = 0.25
"""Seconds of wall time over which the use of cores is measured."""
CONTROL_GROUP = Path("/sys/fs/cgroup")
"""Of a container, with the CPU time that it may use."""


class FreeCores:
    """Cores that this process uses or could use: free = (idle time + own CPU time) / wall time.

    The idle time is that of all cores, over at least the last ``LOOK_AFTER`` seconds; before, free = cores -
    load, the mean number of processes that ran or waited in the last minute. Threads that wait for each other
    are slower than one where other processes take a core of theirs away.
    """

    def __init__(
        self,
        most: int,
        read: Callable[[], tuple[float, float, float]] | None = None,
        unloaded: Callable[[], float] | None = None,
    ) -> None:
        self._most, self._read, self._free = most, read or _clocks, 1
        if most > 1:
            self._free, self._last = round((unloaded or _unloaded)()), self._read()

    def count(self) -> int:
        """Threads to use now."""
        if self._most > 1:
            now = self._read()
            wall, idle, own = (b - a for a, b in zip(self._last, now, strict=True))
            if wall >= LOOK_AFTER:
                self._free, self._last = round((idle + own) / wall), now
        return max(1, min(self._most, self._free))


def _clocks() -> tuple[float, float, float]:
    """Wall time, idle time of all cores and CPU time of this process, s."""
    import psutil

    return time.perf_counter(), psutil.cpu_times().idle, time.process_time()


def _unloaded() -> float:
    """Cores less the load of the last minute."""
    import psutil

    return float(psutil.cpu_count()) - psutil.getloadavg()[0]


@cache
def free_cores(most: int) -> FreeCores:
    """One for all models of a process, since the load at its start includes no threads of earlier models."""
    return FreeCores(most)


def usable_cores() -> int:
    """Cores that this process may use: those it is bound to, or fewer by ``NUMBA_NUM_THREADS`` or a quota."""
    return max(1, int(min(config.NUMBA_NUM_THREADS, _quota())))


def _quota() -> float:
    """CPU time over wall time that the control group allows; infinite where there is no limit."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            quota, period = " ".join((CONTROL_GROUP / name).read_text() for name in names).split()
            if quota not in ("max", "-1"):
                return float(quota) / float(period)
        except (OSError, ValueError):
            continue
    return math.inf
