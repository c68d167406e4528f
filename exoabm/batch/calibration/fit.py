"""Fitting numbers of a scenario to measured time series, by least squares over batches of runs.

    minimize  S(x) = sum_i ((f_i(x) - y_i) / s_i)^2,   x in units of the ranges
    cov(x)    = A C A^T,   A = (J^T J)^-1 J^T,   J_ij = d f_i / d x_j / s_i

C is the covariance of the data: how the model itself scatters between seeds, which ties the points of one run
together, and beside it the error of the measurement. With given standard deviations s that is 1; without, s
is the size of a column, and the error is what of the residuals r chance in the model does not explain,

    (r^T r - tr(P C P^T)) / (values - numbers),   P = 1 - J A,

where P takes out of C what the fit takes out of the residuals.

The interval of a number is Student's t, its degrees of freedom by Welch and Satterthwaite from the shares of
its variance that are estimated, u from the residuals and v between seeds, in SCATTER_RUNS runs,

    1 / freedom = u^2 / (values - numbers) + v^2 / (SCATTER_RUNS - 1).

Given deviations are taken as known: the share that follows from them adds nothing.

Each set of points is a batch in a folder named by its content: completed runs are found again.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.batch.calibration.evaluation import analysis_in, reporting
from exoabm.batch.execution import row_execution as files
from exoabm.batch.execution.plan import Plan, replicate_seeds, row_of, seconds_of_row
from exoabm.batch.execution.row_journal import seal_batch
from exoabm.batch.execution.run_readouts import possible
from exoabm.batch.execution.runner import run_or_resume
from exoabm.batch.execution.workers import ThisProcess, kept
from exoabm.errors import InputError, RunFailed, whole_number
from exoabm.manifest import seal
from exoabm.model import ExosomeModel
from exoabm.output.durable_files import write_json, write_whole
from exoabm.plot.figure_page import frame, save_png, titled_panels
from exoabm.plot.palette import COOL, INK, WARM
from exoabm.scenario.loader import LoadedScenario
from exoabm.tables.readouts import resolve

if TYPE_CHECKING:
    from exoabm.batch.calibration.factors import Factor
    from exoabm.batch.calibration.measurements import Series
    from exoabm.batch.execution.workers import Workers
    from exoabm.scenario.loader import LoadedScenario

METRICS = "exoabm.batch.execution.run_readouts:metrics"
FILES = ("fit.json", "fitted.toml", "fit.png")
"""What ``write_fit`` makes."""
STARTS_PER_FACTOR = 8
REFINED = 2
"""The best starts that are refined; two, so that a second minimum shows."""
TOLERANCE = 1e-4
"""Of the search, in units of a range; no interval is narrower."""
STEP = 0.01
"""Half of the central difference, in units of a range."""
SCATTER_RUNS = 24
"""Runs at the solution, with seeds of their own, that show how a stochastic model scatters."""
LARGEST_STEPS = 40
RUNS = "runs"


@dataclass(frozen=True)
class Estimated:
    """A fitted number with its 95 % interval, in its unit; an open end is beyond the range."""

    key: str
    value: float
    low: float
    high: float
    low_open: bool
    high_open: bool
    unit: str

    @property
    def known(self) -> bool:
        """Whether the data bound it at all within its range."""
        return not (self.low_open and self.high_open)


@dataclass(frozen=True)
class Fit:
    """A fit: the numbers, how good it is, and the curves.

    Attributes
    ----------
    numbers : tuple of Estimated
    overrides : dict
        What to ``--set``.
    error : float
        Root mean square of the scaled residuals: near 1 is good where standard deviations were given, else a
        share of the size of the columns.
    correlation : list of list of float
        Between the numbers; near 1 or -1 only their combination is known.
    runs : int
    hours, names, data, model : list
        The series and the model's values at the solution.
    """

    numbers: tuple[Estimated, ...]
    overrides: dict[str, str]
    error: float
    correlation: list[list[float]]
    runs: int
    hours: list[float]
    names: list[str]
    data: list[list[float | None]]
    model: list[list[float]]


def fit_series(
    loaded: LoadedScenario,
    factors: Sequence[Factor],
    series: Series,
    *,
    folder: Path | None = None,
    source: str | Path | None = None,
    replicates: int = 1,
    seed: int = 0,
    workers: Workers = ThisProcess,
    progress: Callable[[int], object] | None = None,
) -> Fit:
    """Fit parameters of a scenario to a series; a second call with the same folder resumes.

    Parameters
    ----------
    loaded : LoadedScenario
    factors : sequence of Factor
        Fitted numbers, each within its range.
    series : Series
    folder : Path, optional
        Where the runs are kept; nowhere if not given.
    source : str or Path, optional
        Source of the scenario.
    replicates : int
        Runs per point, with the same seeds at every point; their mean is fitted.
    seed : int
        From which starts and seeds follow.
    workers : Workers
        As for ``run_rows``.
    progress : callable, optional
        Called with the number of runs done.

    Raises
    ------
    InputError
        If the series has a readout that the scenario lacks, or fewer points than numbers to fit, or the
        folder holds something else.
    RunFailed
        If a run fails, or the disk fills; what is done is kept.
    """
    _check(loaded, factors, series, replicates)
    with contextlib.ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(analysis_in(place, {RUNS, *FILES}))
        hands = stack.enter_context(kept(workers))
        problem = _Problem(loaded, source, factors, series, replicates, seed, place, hands, progress)
        return _describe(problem, _minimum(problem, seed))


def _check(loaded: LoadedScenario, factors: Sequence[Factor], series: Series, replicates: int) -> None:
    known = possible(ExosomeModel(loaded, seed=0), recorded=True)
    for name in series.names:
        try:
            resolve(name, known, "readout of this scenario")
        except InputError as error:
            raise InputError(f"--data, column {error}") from None
    points = int(np.isfinite(series.values).sum())
    if not factors:
        raise InputError("select the parameters to fit with --vary KEY=LO:HI[:log]")
    if points <= len(factors):
        raise InputError(f"--data: {points} values are too few to fit {len(factors)} parameters")
    whole_number("replicates", replicates, 1, 10_000)


class _Problem:
    """Scaled residuals and their derivatives, each set of points a batch of runs."""

    def __init__(
        self,
        loaded: LoadedScenario,
        source: str | Path | None,
        factors: Sequence[Factor],
        series: Series,
        replicates: int,
        seed: int,
        folder: Path,
        workers: Workers,
        progress: Callable[[int], object] | None,
    ) -> None:
        self.loaded, self.source, self.factors, self.series = loaded, source, factors, series
        self.seed, self.seeds = seed, replicate_seeds(seed, replicates)
        self.folder, self.workers = folder, workers
        self.progress, self.runs = progress or (lambda runs: None), 0
        self.work = seconds_of_row(loaded, float(series.hours[-1]))
        self.there = np.isfinite(series.values)
        size = np.sqrt(np.nanmean(series.values**2, axis=0))
        scale = series.deviation
        if scale is None:
            scale = np.broadcast_to(np.where(size > 0, size, 1.0), series.values.shape)
        self.scale = scale[self.there]
        self.data = series.values[self.there]

    def values(self, x: np.ndarray) -> dict[str, str]:
        """Overrides at a point."""
        return {f.key: f.axis.at(float(u)) for f, u in zip(self.factors, x, strict=True)}

    def curves(self, points: Sequence[np.ndarray], seeds: Sequence[int]) -> np.ndarray:
        """The model at points with seeds, (points, seeds, times, names)."""
        hours = self.series.hours.tolist()
        rows = [row_of(self.values(x), seed) for x in points for seed in seeds]
        plan = Plan.of(
            self.loaded,
            {row.name: row for row in rows}.values(),
            source=self.source,
            hours=hours[-1],
            measure=METRICS,
            times=hours,
            seconds_per_row=self.work,
            about={"kind": "fit"},
        )
        folder = self.folder / RUNS / plan.sha256[:12]
        before = self.runs
        outcome = run_or_resume(
            plan, folder, workers=self.workers, progress=lambda done, _: self.progress(before + done)
        )
        for reason in outcome.reasons.values():
            raise RunFailed(f"a run of the fit failed: {reason}")
        seal_batch(folder)
        self.runs += outcome.rows
        names = [[f"{name}@{time}" for name in self.series.names] for time in hours]
        curves = {
            record["row"]: [[record["readouts"].get(name) for name in row] for row in names]
            for record in files.records(folder, plan)
        }
        shape = (len(points), len(seeds), *self.series.values.shape)
        return np.array([curves[row.name] for row in rows], float).reshape(shape)

    def residuals(self, points: Sequence[np.ndarray]) -> np.ndarray:
        """Scaled residuals of the mean of the replicates, (points, values)."""
        mean = self.curves(points, self.seeds).mean(axis=1)
        if np.isnan(mean[:, self.there]).any():
            column = int(np.argwhere(np.isnan(mean) & self.there)[0, -1])
            raise InputError(
                f"--data: {self.series.names[column]} is not defined in every run at every time of the data"
            )
        return np.asarray((mean[:, self.there] - self.data) / self.scale)

    def residual(self, x: np.ndarray) -> np.ndarray:
        """Scaled residuals at one point."""
        return self.residuals([x])[0]

    def jacobian(self, x: np.ndarray) -> np.ndarray:
        """Derivatives of the residuals by central differences, one-sided at the ends of a range."""
        ups: list[np.ndarray] = []
        downs: list[np.ndarray] = []
        for j in range(len(x)):
            for points, sign in ((ups, 1), (downs, -1)):
                point = x.copy()
                point[j] = min(max(x[j] + sign * STEP, 0.0), 1.0)
                points.append(point)
        found = self.residuals([*ups, *downs])
        n = len(x)
        width = np.array([ups[j][j] - downs[j][j] for j in range(n)])
        return ((found[:n] - found[n:]) / width[:, None]).T


def _minimum(problem: _Problem, seed: int) -> np.ndarray:
    from scipy.optimize import least_squares
    from scipy.stats import qmc

    n = len(problem.factors)
    sequence = qmc.Sobol(n, scramble=True, rng=np.random.Generator(np.random.Philox(seed)))
    starts = sequence.random_base2(math.ceil(math.log2(STARTS_PER_FACTOR * n)))
    costs = (problem.residuals(list(starts)) ** 2).sum(axis=1)
    found = [
        least_squares(
            problem.residual,
            start,
            jac=problem.jacobian,
            bounds=(0.0, 1.0),
            ftol=1e-10,
            xtol=TOLERANCE / 100,
            max_nfev=LARGEST_STEPS,
        )
        for start in starts[np.argsort(costs, kind="stable")[:REFINED]]
    ]
    return np.asarray(min(found, key=lambda result: result.cost).x)


def _describe(problem: _Problem, x: np.ndarray) -> Fit:
    from scipy.stats import t

    residual, jacobian = problem.residual(x), problem.jacobian(x)
    free = len(residual) - len(x)
    inverse = np.linalg.pinv(jacobian.T @ jacobian)
    lever = inverse @ jacobian.T
    scatter = _scatter(problem, x)
    tied = lever @ scatter.T
    left = scatter.T - jacobian @ tied
    square = float(residual @ residual)
    known = problem.series.deviation is not None
    noise = 1.0 if known else max(0.0, square - float((left**2).sum())) / free
    covariance = noise * inverse + tied @ tied.T
    variance = np.diag(covariance)
    deviation = np.sqrt(variance)
    # What does not move the model at all is not known, whatever the pseudo-inverse says.
    deviation[(jacobian**2).sum(axis=0) < 1e-18] = np.inf
    misfit = np.minimum(variance, np.diag(inverse) * (0.0 if known else square / free))
    between = np.diag(tied @ tied.T) if known else variance - misfit
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = variance**2 / (misfit**2 / free + between**2 / (SCATTER_RUNS - 1))
        freedom[np.isnan(freedom)] = np.inf
        half = t.ppf(0.975, freedom) * deviation + TOLERANCE
        correlation = np.nan_to_num(covariance / np.outer(deviation, deviation))
    series = problem.series
    model = problem.curves([x], problem.seeds).mean(axis=(0, 1))
    return Fit(
        numbers=tuple(_number(f, u, h) for f, u, h in zip(problem.factors, x, half, strict=True)),
        overrides=problem.values(x),
        error=float(np.sqrt(np.mean(residual**2))),
        correlation=correlation.tolist(),
        runs=problem.runs,
        hours=series.hours.tolist(),
        names=list(series.names),
        data=[[v if math.isfinite(v) else None for v in row] for row in series.values.tolist()],
        model=model.tolist(),
    )


def _scatter(problem: _Problem, x: np.ndarray) -> np.ndarray:
    """Scaled differences of runs from their mean; the sum of their squares is the variance of a residual.

    That is the variance between runs, once for the data and once for the mean of the replicates; or 0.
    """
    seeds = replicate_seeds(problem.seed, SCATTER_RUNS, salt="scatter")
    first = problem.curves([x], seeds[:2])[0]
    if np.array_equal(first[0], first[1]):
        return np.zeros((1, len(problem.data)))
    runs = np.concatenate([first, problem.curves([x], seeds[2:])[0]])[:, problem.there] / problem.scale
    variances = 1 + 1 / len(problem.seeds)
    return np.asarray((runs - runs.mean(axis=0)) * math.sqrt(variances / (len(runs) - 1)))


def _number(factor: Factor, u: float, half: float) -> Estimated:
    axis = factor.axis
    ends = (u - half, u + half)
    value, low, high = (
        float(axis.at(min(max(share, 0.0), 1.0)).removesuffix(axis.unit)) for share in (u, *ends)
    )
    return Estimated(factor.key, value, low, high, not ends[0] > 0, not ends[1] < 1, axis.unit)


MOST_PANELS = 12


def plain(found: Fit) -> dict[str, Any]:
    """A fit as plain data."""
    return asdict(found) | {"numbers": [asdict(n) | {"known": n.known} for n in found.numbers]}


def write_fit(found: Fit, loaded: LoadedScenario, folder: Path) -> None:
    """Write ``fit.json``, ``fit.png``, ``fitted.toml``, the scenario with the fitted values, and a manifest.

    Raises
    ------
    RunFailed
        If the disk fills; the runs are kept.
    """
    import tomli_w

    fitted = loaded.changed(found.overrides).resolved()
    with reporting(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / FILES[0], plain(found))
        write_whole(folder / FILES[1], tomli_w.dumps(fitted).encode())
        asked = loaded.scenario.main_readout
        main = "" if asked is None else asked.metric
        _draw(found, folder / FILES[2], loaded.scenario.info.title, main)
        seal(folder)


def _draw(found: Fit, path: Path, title: str, main: str) -> None:
    """Draw a panel per readout, at most ``MOST_PANELS`` with ``main`` as the first, into a PNG."""
    order = sorted(range(len(found.names)), key=lambda i: found.names[i] != main)[:MOST_PANELS]
    names = [found.names[i] for i in order]
    figure, panels = titled_panels(len(names), title)
    data, model = np.array(found.data, float), np.array(found.model)
    for column, axes, name in zip(order, panels, names, strict=True):
        axes.plot(found.hours, model[:, column], color=WARM[0], lw=1.5, label="fitted")
        axes.plot(found.hours, data[:, column], "o", color=COOL[0], ms=3.5, label="measured")
        axes.set_title(name.replace("_", " "), fontsize=8.5, color=INK, loc="left")
        axes.set_xlabel("time, h", fontsize=8, color=INK)
        frame(axes)
    panels[0].legend(frameon=False, fontsize=8)
    lines = [f"{n.key} = {n.value:.4g} ({n.low:.4g} to {n.high:.4g}) {n.unit}" for n in found.numbers]
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=8, color=INK)
    save_png(figure, path)
