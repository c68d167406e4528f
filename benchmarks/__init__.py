"""The benchmarks by name; see ``timing`` for how they measure."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from exoabm.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

    from exoabm.benchmarks.timing import Report


BENCHMARKS = {
    "continuum": "fields.bench_continuum",
    "transfer": "fields.bench_transfer",
    "vesicles": "vesicles.bench_vesicles",
    "cells": "cells.bench_cells",
    "agreement": "agreement_report.bench_agreement",
}
"""The module and function of each; a module is imported when its benchmark is run."""
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
    module, function = BENCHMARKS[name].split(".")
    report: Report = getattr(import_module(f"{__name__}.{module}"), function)()
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
