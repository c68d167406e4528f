"""Fits to measurements, and sensitivity to parameters, with tables and plots."""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.api.batches import Vary, source_of, vary_texts, workers_of
from exoabm.api.plots import new_axes
from exoabm.api.progress import progress_bar
from exoabm.api.result import LABELED, Result
from exoabm.api.saving import place_of, save_json, saved_folder
from exoabm.api.scenarios import Frame, Source, file_of, runnable, speaks_python
from exoabm.errors import InputError, LongRun, did_you_mean
from exoabm.scenario.overrides import model_time

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from exoabm.api.progress import ProgressUpdate
    from exoabm.batch.calibration import fit as fitting
    from exoabm.batch.calibration import sensitivity as screening
    from exoabm.readers.particle_sizes import SizeTable
    from exoabm.scenario.loader import LoadedScenario
    from exoabm.scenario.overrides import Changes


@speaks_python
def fit(
    source: Source,
    data: str | Path | Frame,
    vary: Vary = (),
    changes: Changes | None = None,
    *,
    columns: tuple[str, ...] | list[str] = (),
    vesicle: str | None = None,
    heights: str | None = None,
    censored: str | None = None,
    replicates: int = 1,
    seed: int = 0,
    jobs: int = 1,
    cluster: str | None = None,
    out: str | Path | None = None,
    progress: bool | ProgressUpdate | None = None,
) -> Fit | Diameters:
    """Fit parameters of a scenario to measured time series, or vesicle diameters to a histogram.

    Parameters
    ----------
    source, changes
        As for ``scenario``.
    data : str, Path or DataFrame
        Text, Parquet, or a table of pandas or polars with ``time_h`` and readouts, each with its ``NAME_sd``
        if known; a run folder; or
        sizes of vesicles, as a histogram or one by one.
    vary : mapping or sequence of str
        By dotted key the range as text, ``"10 / h:1000 / h:log"``; none for sizes.
    columns : sequence of str
        The columns to fit; by default all that vary.
    vesicle : str, optional
        The vesicle kind that has these sizes; by default the first.
    heights : str, optional
        Of a histogram that does not say it: ``"count"``, ``"density"`` or ``"log-density"``.
    censored : str, optional
        What ``<0.5`` counts as: ``"drop"``, ``"half"`` or ``"limit"``; refused by default.
    replicates : int
        Runs per point; their mean is fitted.
    seed : int
        Of the starting points and the runs.
    jobs, cluster, progress
        As for ``sweep``.
    out : str or Path, optional
        Folder of the runs and results; the same call continues after an interruption.

    Raises
    ------
    InputError
        If the data or the ranges do not fit the scenario.

    Examples
    --------
    >>> import exoabm as xo
    >>> small, key = {"clock.step": "10 min", "domain.voxel": "40 um"}, "cell_type.donor.release_rate"
    >>> truth = xo.run("two_cells", small | {key: 90}, seed=1, hours=1)
    >>> vary, columns = {key: "30 / h:300 / h"}, ["emitted[exosome]"]
    >>> found = xo.fit("two_cells", truth.folder, vary, small, columns=columns)
    >>> round(found.rows()[0]["value"], 1)
    90.0
    """
    from exoabm.batch.calibration.factors import factors_of
    from exoabm.batch.calibration.fit import fit_series, write_fit
    from exoabm.batch.calibration.measurements import series_of
    from exoabm.readers.particle_sizes import HEIGHTS, read_sizes
    from exoabm.readers.time_series import read_table

    loaded = runnable(source, changes)
    if cluster is not None and out is None:
        raise InputError("--cluster needs --out, a folder that its workers see too")
    if heights not in (None, *HEIGHTS):
        raise InputError(f"--heights {heights}: one of {', '.join(HEIGHTS)}")
    texts = vary_texts(vary, changes)
    with file_of(data, "table of measurements") as path:
        sizes = read_sizes(path, columns, heights)
        if sizes is not None:
            if texts or out is not None:
                raise InputError(f"{path} is a histogram of sizes; --vary and --out go with time series")
            return Diameters(sizes, loaded, vesicle)
        series = series_of(read_table(path, censored), columns)
    if not texts:
        raise InputError("select the parameters to fit with --vary KEY=LO:HI[:log]")
    if vesicle is not None:
        raise InputError(f"--vesicle goes with a histogram of diameters; {path} is a time series")
    with progress_bar("fit", progress) as update:
        found = fit_series(
            loaded,
            factors_of(loaded, texts),
            series,
            folder=None if out is None else Path(out),
            source=source_of(source),
            replicates=replicates,
            seed=seed,
            workers=workers_of(jobs, cluster, loaded),
            progress=None if update is None else lambda runs: update(runs, None),
        )
    if out is not None:
        write_fit(found, loaded, Path(out))
    return Fit(found, loaded, given=series.deviation is not None)


class Fit(Result):
    """Fitted parameters with 95 % intervals.

    Attributes
    ----------
    found : batch.calibration.fit.Fit
    scenario : LoadedScenario
        Before the fit; ``fitted`` has the fitted values.
    given : bool
        Whether the data have standard deviations.
    """

    def __init__(self, found: fitting.Fit, loaded: LoadedScenario, *, given: bool) -> None:
        self.found, self.scenario, self.given = found, loaded, given
        self.title = f"fit of {loaded.name}: {found.runs:,} runs, root mean square misfit {found.error:.3g}"
        self.notes = [
            f"the data do not determine {number.key} within its range"
            for number in found.numbers
            if not number.known
        ]

    @property
    def values(self) -> dict[str, str]:
        """The fitted values by dotted key, as ``changes`` of a scenario."""
        return self.found.overrides

    @property
    def fitted(self) -> LoadedScenario:
        """The scenario with the fitted values."""
        return self.scenario.changed(self.values)

    def rows(self) -> list[dict[str, Any]]:
        """Per parameter: value, ``ci95_low``, ``ci95_high``, unit, and whether the data determine it."""
        return [
            {
                "key": n.key,
                "value": n.value,
                "ci95_low": n.low,
                "ci95_high": n.high,
                "unit": n.unit,
                "determined": n.known,
            }
            for n in self.found.numbers
        ]

    def plot(self, *readouts: str, ax: Axes | None = None) -> Axes:
        """Draw a measured column and the fitted curve over time; by default the first."""
        from exoabm.plot.figure_page import rule
        from exoabm.plot.palette import COOL, WARM

        found = self.found
        name = readouts[0] if readouts else found.names[0]
        if name not in found.names or len(readouts) > 1:
            raise InputError(f"no fitted column {name!r}{did_you_mean(name, found.names)}")
        column = found.names.index(name)
        with new_axes(ax) as ax:
            ax.plot(found.hours, np.array(found.model)[:, column], color=WARM[0], label="fitted")
            ax.plot(
                found.hours,
                np.array(found.data, float)[:, column],
                "o",
                ms=3,
                color=COOL[0],
                label="measured",
            )
            ax.set(xlabel="time (h)")
            ax.set_ylabel(name.replace("_", " "), parse_math=False)
            ax.legend()
            rule(ax)
        return ax

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write ``fit.json``, ``fit.png`` and ``fitted.toml`` into a folder of their own.

        Raises
        ------
        InputError
            If the folder exists, unless it holds nothing but these files and may be replaced.
        """
        from exoabm.batch.calibration.fit import FILES, write_fit

        with saved_folder(Path(folder), FILES, overwrite=overwrite) as partial:
            write_fit(self.found, self.scenario, partial)
        return Path(folder)


class Diameters(Result):
    """Log-normal distributions of vesicle diameters, fitted to the samples of a histogram.

    Attributes
    ----------
    found : list of batch.calibration.measurements.Diameters
    recognized : str
        What the table was recognized as.
    """

    def __init__(self, sizes: SizeTable, loaded: LoadedScenario, vesicle: str | None = None) -> None:
        from exoabm.batch.calibration.measurements import check_allowed, fit_diameters, spread

        kinds = [kind.name for kind in loaded.scenario.vesicle]
        self.vesicle = vesicle or kinds[0]
        if self.vesicle not in kinds:
            raise InputError(f"--vesicle {self.vesicle}: there are {', '.join(kinds)}")
        self.recognized = f"{sizes.name.removeprefix('--data ')}: {'; '.join(sizes.findings)}"
        self.found = fit_diameters(sizes.edges, sizes.samples)
        for each in self.found:
            check_allowed(each)
        self._sizes = sizes
        self.title = f"diameters of {self.vesicle}: {self.recognized}"
        self.notes = [text] if (text := spread(self.found)) else []

    @property
    def values(self) -> list[dict[str, str]]:
        """Changes of a scenario, median and width: one for all samples, or for each if they lie apart."""
        pairs = [(each.median_nm, each.gsd) for each in self.found]
        if not self.notes:
            pairs = [tuple(np.mean(pairs, axis=0).tolist())]
        key = f"vesicle.{self.vesicle}.diameter"
        return [{key: f"{median:.4g} nm", f"{key}_gsd": f"{gsd:.4g}"} for median, gsd in pairs]

    def rows(self) -> list[dict[str, Any]]:
        """Per sample: ``median_nm`` and ``gsd``, with their 95 % intervals, and ``misfit``."""
        return [asdict(each) for each in self.found]

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw the share of the particles of each sample by diameter."""
        from exoabm.plot.figure_page import rule

        edges = np.asarray(self._sizes.edges, float)
        with new_axes(ax) as ax:
            for name, counts in self._sizes.samples.items():
                ax.stairs(np.asarray(counts, float) / np.sum(counts), edges, label=name)
            ax.set(xlabel="diameter (nm)", ylabel="share of particles")
            ax.legend()
            rule(ax)
        return ax

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the fitted values to a JSON file."""
        return save_json(self.rows(), Path(path), overwrite=overwrite)


@speaks_python
def sensitivity(
    source: Source,
    vary: Vary = (),
    changes: Changes | None = None,
    *,
    readout: str | None = None,
    trajectories: int = 10,
    samples: int = 128,
    replicates: int = 1,
    seed: int = 0,
    hours: float | str | None = None,
    jobs: int = 1,
    cluster: str | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: bool | ProgressUpdate | None = None,
) -> Sensitivity:
    """Find the influential parameters by Morris screening and Sobol indices.

    Parameters
    ----------
    source, changes
        As for ``scenario``.
    vary : mapping or sequence of str
        By dotted key the range as text, ``"0.01:1:log"``; by default all parameters in use that have a
        published range.
    readout : str, optional
        By default deliveries of the first vesicle kind.
    trajectories : int
        Of the Morris screening.
    samples : int
        Of the Sobol indices; a power of two.
    replicates, seed, hours, jobs, cluster, overwrite, progress
        As for ``sweep``.
    out : str or Path, optional
        Folder; the same call continues after an interruption. By default a temporary one.

    Raises
    ------
    InputError
        If SALib is not installed, or the readout does not depend on what is varied.

    Examples
    --------
    >>> import exoabm as xo
    >>> small = {"clock.step": "10 min", "domain.voxel": "40 um"}
    >>> vary = {"cell_type.donor.release_rate": "30 / h:300 / h", "vesicle.exosome.half_life": "5 h:6 h"}
    >>> found = xo.sensitivity("two_cells", vary, small, trajectories=2, samples=8, hours=0.5)
    >>> found.rows()[0]["key"]
    'cell_type.donor.release_rate'
    """
    from exoabm.batch.calibration.factors import factors_of
    from exoabm.batch.calibration.sensitivity import duration_note, run_sensitivity
    from exoabm.batch.calibration.sensitivity_report import write_report
    from exoabm.batch.execution.workers import kept

    loaded = runnable(source, changes)
    factors = factors_of(loaded, vary_texts(vary, changes))
    duration = None if hours is None else model_time(hours, "hours")[0]
    effort = {"trajectories": trajectories, "samples": samples, "replicates": replicates}
    workers = workers_of(jobs, cluster, loaded)
    if (long := duration_note(loaded, len(factors), **effort, hours=duration, jobs=jobs)) is not None:
        warnings.warn(long, LongRun, stacklevel=2)
    home, folder = place_of(out, "sensitivity")

    @contextlib.contextmanager
    def stage(title: str) -> Any:
        with progress_bar(title, progress) as update:
            yield update or (lambda done, total: None)

    with kept(workers) as workers:
        found = run_sensitivity(
            loaded,
            factors,
            folder,
            source=source_of(source),
            readout=readout,
            **effort,
            seed=seed,
            hours=duration,
            workers=workers,
            stage=stage,
            overwrite=overwrite,
        )
        write_report(found, folder, loaded.scenario.info.title)
    return Sensitivity(found, loaded, home)


class Sensitivity(Result):
    """Influence of parameters on a readout, the largest first.

    Attributes
    ----------
    found : batch.calibration.sensitivity.Sensitivity
    """

    def __init__(self, found: screening.Sensitivity, loaded: LoadedScenario, home: Any = None) -> None:
        self.found, self._scenario, self._home = found, loaded, home
        self.title = f"sensitivity of {found.name} in {loaded.name}"
        self.notes = [found.sentence]

    def rows(self) -> list[dict[str, Any]]:
        """Per parameter: Morris' ``mu_star``, ``sigma``, Sobol's ``first``, ``total``; half intervals."""
        names = ("mu_star", "mu_star_half", "sigma", "first", "first_half", "total", "total_half")
        return [
            {"key": index.factor.key, "range": index.factor.range, "assumed": index.factor.assumed}
            | {name: getattr(index, name) for name in names}
            for index in self.found.indices
        ]

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw Morris' mu* of each parameter with its 95 % interval: the mean change of the readout."""
        from exoabm.batch.calibration.sensitivity_report import plot_screening

        with new_axes(ax, LABELED) as ax:
            plot_screening(self.found, ax)
        return ax

    def plot_indices(self, *, ax: Axes | None = None) -> Axes:
        """Draw Sobol's indices: shares of the variance that a parameter makes alone, and with others."""
        from exoabm.batch.calibration.sensitivity_report import plot_indices

        with new_axes(ax, LABELED) as ax:
            plot_indices(self.found, ax)
        return ax

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write ``sensitivity.json`` and ``sensitivity.png`` into a folder of their own; see ``Fit.save``."""
        from exoabm.batch.calibration.sensitivity_report import FILES, write_report

        with saved_folder(Path(folder), FILES, overwrite=overwrite) as partial:
            write_report(self.found, partial, self._scenario.scenario.info.title)
        return Path(folder)
