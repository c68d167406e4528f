"""The benchmarks by name; see ``timing`` for how they measure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exoabm.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from exoabm.batch.bench.timing import Report


def _continuum() -> Report:
    from exoabm.batch.bench.fields import bench_continuum

    return bench_continuum()


def _transfer() -> Report:
    from exoabm.batch.bench.fields import bench_transfer

    return bench_transfer()


def _vesicles() -> Report:
    from exoabm.batch.bench.vesicles import bench_vesicles

    return bench_vesicles()


def _agreement() -> Report:
    from exoabm.batch.bench.agreement_report import bench_agreement

    return bench_agreement()


def _cells() -> Report:
    from exoabm.batch.bench import cells as bench_cells
    from exoabm.batch.bench.timing import Report

    title = "A step of living cells, beside their vesicles' transport and the same rules as Mesa agents"
    found = bench_cells.rows()
    return Report(title, tuple(found[0]), found)


BENCHMARKS: dict[str, Callable[[], Report]] = {
    "continuum": _continuum,
    "transfer": _transfer,
    "vesicles": _vesicles,
    "cells": _cells,
    "agreement": _agreement,
}
DRAWN = ("agreement",)
"""Benchmarks that have a picture."""
PICTURES = (".png", ".svg", ".pdf")


def run_benchmark(name: str, picture: Path | None = None) -> Report:
    """Run a benchmark by name, and write its picture where one is asked for.

    Raises
    ------
    InputError
        If there is no benchmark of this name, it has no picture, or the picture cannot be written there;
        nothing has been measured by then.
    """
    if name not in BENCHMARKS:
        known = f"one of {', '.join(BENCHMARKS)}{did_you_mean(name, BENCHMARKS)}"
        raise InputError(f"unknown benchmark {name!r}; {known}")
    if picture is not None:
        _check(name, picture)
    report = BENCHMARKS[name]()
    if picture is not None and report.draw is not None:
        report.draw(picture)
    return report


def _check(name: str, picture: Path) -> None:
    if name not in DRAWN:
        raise InputError(f"the benchmark {name!r} has no picture; --out is for {', '.join(DRAWN)}")
    if picture.suffix not in PICTURES:
        raise InputError(f"--out {picture}: the name must end in one of {', '.join(PICTURES)}")
    if picture.is_dir() or not picture.parent.is_dir():
        raise InputError(f"--out {picture}: there is no folder {picture.parent} to write it to")
