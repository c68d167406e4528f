"""Global sensitivity of a result: Morris screening, then Sobol indices of the influential parameters.

    mu*_i = E |f(x + delta e_i) - f(x)| / delta           (Morris; x in units of the ranges)
    S1_i  = V(E[f | x_i]) / V(f)                          (Sobol, alone)
    ST_i  = 1 - V(E[f | x without i]) / V(f)              (Sobol, with all its interactions)

SALib draws the points and computes the indices; the runs are batches, which can be resumed.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.batch.calibration.evaluation import NOISE_RUNS, Evaluation, analysis_in, silent
from exoabm.batch.calibration.sensitivity_report import FILES
from exoabm.batch.execution.plan import seconds_of_row
from exoabm.batch.execution.workers import ThisProcess
from exoabm.errors import InputError, NumericalError, whole_number
from exoabm.tables.readouts import named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from exoabm.batch.calibration.evaluation import Stage
    from exoabm.batch.calibration.factors import Factor
    from exoabm.batch.execution.workers import Workers
    from exoabm.scenario.loader import LoadedScenario

BATCHES = ("noise", "screening", "indices")
"""Folders of the runs in that of an analysis."""
LEVELS = 4
"""Levels of Morris' grid; his choice."""
NEGLIGIBLE = 0.1
"""A factor whose mu*, at the upper end of its interval, is below this share of the largest is left out."""
DECADE = 10.0
"""A readout that is positive and spans at least this factor is analyzed by its logarithm."""


@dataclass(frozen=True)
class Index:
    """Indices of one factor; ``first`` and ``total`` are None if screening excluded it.

    ``*_half`` are half-widths of 95 % intervals, from bootstrap over the points.
    """

    factor: Factor
    mu_star: float
    mu_star_half: float
    sigma: float
    first: float | None = None
    first_half: float | None = None
    total: float | None = None
    total_half: float | None = None


@dataclass(frozen=True)
class Sensitivity:
    """Indices of a readout, the most important factor first.

    Attributes
    ----------
    readout : str
    logarithm : bool
        Whether all numbers are of the readout's log10: it varies by factors, and the few largest values would
        outweigh all others.
    center, noise : float
        Mean of the readout, and its standard deviation between seeds, in the scenario as it is.
    mean, deviation : float
        Of the readout over the ranges.
    noise_share : float
        Part of the variance over the ranges that the noise of single points may make.
    runs : int
    indices : tuple of Index
    """

    readout: str
    logarithm: bool
    center: float
    noise: float
    mean: float
    deviation: float
    noise_share: float
    runs: int
    indices: tuple[Index, ...]

    @property
    def name(self) -> str:
        """The analyzed readout."""
        return f"log10 of {self.readout}" if self.logarithm else self.readout

    @property
    def sentence(self) -> str:
        """A sentence that names the most influential number, and whether it is an assumption."""
        ranked = [index for index in self.indices if index.total is not None]
        lead = ranked[0]
        text = (
            f"{self.name} depends most on {lead.factor.key} ({lead.factor.range}), which alone accounts for "
            f"{_percent(lead.first, lead.first_half)} of the variance, with its interactions "
            f"{_percent(lead.total, lead.total_half)}."
        )
        words = [text]
        if lead.factor.assumed:
            words.append("Its value is an assumption; measuring it would narrow the result most.")
        else:
            words.append(f"Its value comes from {lead.factor.source}.")
            guesses = [index for index in ranked if index.factor.assumed]
            if guesses:
                words.append(
                    f"Of the assumptions, {guesses[0].factor.key} has the largest share "
                    f"({_percent(guesses[0].total, guesses[0].total_half)})."
                )
        if len(ranked) > 1 and _low(lead) < _high(ranked[1]):
            words.append(f"Its rank before {ranked[1].factor.key} is uncertain; use more samples.")
        return " ".join(words)


def run_sensitivity(
    loaded: LoadedScenario,
    factors: Sequence[Factor],
    folder: Path,
    *,
    source: str | Path | None = None,
    readout: str | None = None,
    trajectories: int = 10,
    samples: int = 128,
    replicates: int = 1,
    seed: int = 0,
    hours: float | None = None,
    workers: Workers = ThisProcess,
    stage: Stage | None = None,
    overwrite: bool = False,
) -> Sensitivity:
    """Screen the factors and compute Sobol indices of the influential ones; a second call resumes.

    Parameters
    ----------
    loaded : LoadedScenario
    factors : sequence of Factor
    folder : Path
        Three batches go into it: ``noise``, ``screening`` and ``indices``.
    source : str or Path, optional
        Source of the scenario.
    readout : str, optional
        Which readout; that of the scenario if not given, else deliveries of the first kind of vesicle.
    trajectories : int
        Of Morris; each is a run more than there are factors.
    samples : int
        Of Sobol, a power of two; each is two runs more than there are factors left.
    replicates : int
        Runs per point, with the same seeds at every point; their mean is what is analyzed.
    seed : int
        From which the points and the seeds follow.
    hours : float, optional
        Model time of each run.
    workers : Workers
        As for ``run_rows``.
    stage : callable, optional
        Opens a progress report of a batch by its title.
    overwrite : bool
        Begin anew where the folder holds other batches.

    Raises
    ------
    InputError
        If a setting is invalid, SALib is missing, or the readout is unknown or independent of all factors.
    RunFailed
        If a run fails: indices need all of them.
    """
    _check(trajectories, samples, replicates)
    _salib("morris")  # refused before any run, if it is missing
    runs = Evaluation(
        loaded,
        folder,
        source=source,
        readout=readout or _main_readout(loaded),
        seed=seed,
        replicates=replicates,
        hours=hours,
        workers=workers,
        stage=stage or silent,
        overwrite=overwrite,
    )
    runs.check()
    with analysis_in(folder, {*BATCHES, *FILES}):
        return _analyze(runs, factors, trajectories, samples)


def _analyze(runs: Evaluation, factors: Sequence[Factor], trajectories: int, samples: int) -> Sensitivity:
    """Indices of the factors from the runs of all stages."""
    morris, sobol = _salib("morris"), _salib("sobol")
    center = runs.noise()
    problem, draw = _problem(factors), {"seed": 1 + runs.seed % (2**32 - 1)}  # to SALib 0 is no seed
    points = morris.draw(problem, trajectories, num_levels=LEVELS, **draw)
    values = runs.values("screening", points, factors)
    logarithm = values.min() > 0 and values.max() >= DECADE * values.min()
    if logarithm:
        values, center = runs.decades(values), runs.decades(center)
    screened = morris.analyze(problem, points, values, num_levels=LEVELS, **draw)
    indices, kept = _screened(screened, factors, runs.readout)
    left = [index.factor for index in kept]
    problem = _problem(left)
    points = sobol.draw(problem, samples, calc_second_order=False, **draw)
    values = runs.values("indices", points, left)
    if logarithm:
        values = runs.decades(values)
    variance = _variance(runs.readout, values)
    found = sobol.analyze(problem, values, calc_second_order=False, **draw)
    indices = _refined(indices, kept, found)
    return Sensitivity(
        readout=runs.readout,
        logarithm=bool(logarithm),
        center=float(center.mean()),
        noise=float(center.std(ddof=1)),
        mean=float(values.mean()),
        deviation=math.sqrt(variance),
        noise_share=min(1.0, float(center.var(ddof=1)) / runs.replicates / variance),
        runs=runs.count,
        indices=tuple(sorted(indices, key=lambda i: (i.total or 0.0, i.mu_star), reverse=True)),
    )


def _main_readout(loaded: LoadedScenario) -> str:
    main = loaded.scenario.main_readout
    return named("delivered", loaded.scenario.vesicle[0].name) if main is None else main.metric


def _screened(
    found: Mapping[str, Any], factors: Sequence[Factor], readout: str
) -> tuple[list[Index], list[Index]]:
    """Morris indices of all factors, and of those not negligible relative to the largest."""
    columns = ("mu_star", "mu_star_conf", "sigma")
    indices = [
        Index(factor, *(float(np.nan_to_num(found[name][i])) for name in columns))
        for i, factor in enumerate(factors)
    ]
    largest = max(index.mu_star for index in indices)
    if largest == 0:
        raise InputError(f"{readout} does not depend on the varied parameters; choose another --readout")
    return indices, [i for i in indices if i.mu_star + i.mu_star_half >= NEGLIGIBLE * largest]


def _refined(indices: Sequence[Index], kept: Sequence[Index], found: Mapping[str, Any]) -> list[Index]:
    """The same indices, those of the factors that were kept with Sobol's."""
    columns = ("S1", "S1_conf", "ST", "ST_conf")
    refined = {
        index.factor.key: Index(
            index.factor,
            index.mu_star,
            index.mu_star_half,
            index.sigma,
            *(float(found[name][i]) for name in columns),
        )
        for i, index in enumerate(kept)
    }
    return [refined.get(index.factor.key, index) for index in indices]


def duration_note(
    loaded: LoadedScenario,
    factors: int,
    *,
    trajectories: int,
    samples: int,
    replicates: int = 1,
    hours: float | None = None,
    jobs: int = 1,
) -> str | None:
    """How many runs an analysis takes at most, and how long, measured; None if that is not long."""
    from exoabm.runs.measured_runtime import WORTH_A_PROBE, probe, rounded_duration

    _check(trajectories, samples, replicates)
    runs = NOISE_RUNS + replicates * (trajectories * (factors + 1) + samples * (factors + 2))
    if runs / jobs * seconds_of_row(loaded, hours) < WORTH_A_PROBE:
        return None
    seconds = runs / jobs * probe(loaded, hours=hours).row_seconds
    return (
        f"up to {runs:,} runs in about {rounded_duration(seconds)}; fewer where screening leaves numbers out"
    )


@dataclass(frozen=True)
class _Method:
    """Functions of SALib for one method."""

    draw: Callable[..., np.ndarray]
    analyze: Callable[..., Any]


def _salib(name: str) -> _Method:
    try:
        sample, analyze = (import_module(f"SALib.{part}.{name}") for part in ("sample", "analyze"))
    except ImportError:
        raise InputError("sensitivity needs SALib: pip install 'exoabm[sensitivity]'") from None
    return _Method(sample.sample, _quiet()(analyze.analyze))


def _problem(factors: Sequence[Factor]) -> dict[str, Any]:
    keys = [factor.key for factor in factors]
    return {"num_vars": len(keys), "names": keys, "bounds": [[0.0, 1.0]] * len(keys)}


def _check(trajectories: int, samples: int, replicates: int) -> None:
    whole_number("trajectories", trajectories, 2, 10_000)
    samples = whole_number("samples", samples, 8, 2**20)
    if samples & (samples - 1):
        raise InputError(f"samples = {samples}: a power of two, 8 or more")
    whole_number("replicates", replicates, 1, 10_000)


def _variance(readout: str, values: np.ndarray) -> float:
    """Variance of a readout over its points, of which indices are shares.

    Raises
    ------
    InputError, NumericalError
        If there is none, or it is not finite: SALib would answer zeros, with intervals of zero width.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        variance = float(values.var())
    if variance == 0:
        raise InputError(f"{readout} is the same at all points; --vary wider ranges or take more --samples")
    if not math.isfinite(variance):
        raise NumericalError(f"the variance of {readout} is not finite; choose another readout")
    return variance


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """An inert factor has no interval, of which SALib's bootstrap would warn."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def _percent(value: float | None, half: float | None) -> str:
    assert value is not None
    assert half is not None
    return f"{100 * value:.0f} ± {100 * half:.0f} %"


def _low(index: Index) -> float:
    return (index.total or 0.0) - (index.total_half or 0.0)


def _high(index: Index) -> float:
    return (index.total or 0.0) + (index.total_half or 0.0)
