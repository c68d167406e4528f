"""The benchmarks by name; see ``timing`` for how they measure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exoabm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from exoabm.batch.timing import Report


def _continuum() -> Report:
    from exoabm.batch.bench_fields import bench_continuum

    return bench_continuum()


def _transfer() -> Report:
    from exoabm.batch.bench_fields import bench_transfer

    return bench_transfer()


def _vesicles() -> Report:
    from exoabm.batch.bench_vesicles import bench_vesicles

    return bench_vesicles()


BENCHMARKS: dict[str, Callable[[], Report]] = {
    "continuum": _continuum,
    "transfer": _transfer,
    "vesicles": _vesicles,
}


def run_benchmark(name: str) -> Report:
    """Run a benchmark by name.

    Raises
    ------
    InputError
        If there is no benchmark of this name.
    """
    if name not in BENCHMARKS:
        raise InputError(f"unknown benchmark {name!r}; one of {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]()
