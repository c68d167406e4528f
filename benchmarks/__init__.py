"""The benchmarks by name; see ``timing`` for how they measure."""

from __future__ import annotations

from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

from exoabm.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

    from exoabm.benchmarks.timing import Report


BENCHMARKS = {
    "continuum": "fields.bench_continuum",
    "accuracy": "fields.bench_accuracy",
    "transfer": "fields.bench_transfer",
    "vesicles": "vesicles.bench_vesicles",
    "cells": "cells.bench_cells",
    "agreement": "agreement.bench_agreement",
    "run": "whole_runs.bench_run",
    "scaling": "whole_runs.bench_scaling",
}
"""The module and function of each; a module is imported when its benchmark is run."""
DRAWN = ("agreement", "scaling")
"""Benchmarks that have a picture."""
PICTURES = (".png", ".svg", ".pdf")


def run_benchmark(name: str, picture: Path | None = None, **options: Any) -> Report:
    """Run a benchmark by name, and write its picture where one is asked for.

    ``options`` are those of ``bench_run`` and ``bench_scaling``; None for those that are not given.

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
    bench = getattr(import_module(f"{__name__}.{module}"), function)
    given = {option: value for option, value in options.items() if value is not None}
    for option in given.keys() - signature(bench).parameters.keys():
        raise InputError(f"the benchmark {name!r} has no --{option}")
    report: Report = bench(**given)
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
