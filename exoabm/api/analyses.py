"""Comparison of two results, fits to measurements, and sensitivity, with tables and plots."""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.api.batches import Batch, Vary, source_of, vary_texts, workers_of
from exoabm.api.plots import new_axes
from exoabm.api.progress import progress_bar
from exoabm.api.runs import Run, hours_of, place_of
from exoabm.api.scenarios import Source, scenario
from exoabm.errors import InputError, LongRun, did_you_mean
from exoabm.tables.html import html_card, html_table

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.axes import Axes

    from exoabm.api.progress import Tell
    from exoabm.batch import compare as comparing
    from exoabm.batch.calibration import fit as fitting
    from exoabm.batch.calibration import sensitivity as screening
    from exoabm.scenario.changes import Changes
    from exoabm.scenario.loader import LoadedScenario

MOST_BARS = 12
"""Readouts in a plot of differences."""


class Result:
    """A result with rows: ``table``, and a table in a notebook."""

    title: str
    notes: list[str]

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the table."""
        raise NotImplementedError

    @property
    def table(self) -> pa.Table:
        """The rows, as a ``pyarrow.Table``."""
        import pyarrow as pa

        return pa.Table.from_pylist(self.rows())

    def __repr__(self) -> str:
        return f"<{self.title}>"

    def _repr_html_(self) -> str:
        rows = self.rows()
        names = list(rows[0]) if rows else []
        return html_card(self.title, self.notes, html_table(names, [list(row.values()) for row in rows]))


def compare(a: Run | Batch | str | Path, b: Run | Batch | str | Path) -> Comparison:
    """Compare two runs, sweeps or arms of sweeps: changed keys, and differences of readouts.

    Rows of the same seed are compared in pairs, so that what they have in common drops out.

    Parameters
    ----------
    a, b
        Results, folders, or arms of a sweep as text, ``"DIR@KEY=VALUE"``.

    Examples
    --------
    >>> import exoabm as xo
    >>> small = {"clock.step": "10 min", "domain.voxel": "40 um"}
    >>> a = xo.run("two_cells", small, seed=1, hours=1)
    >>> b = xo.run("two_cells", small | {"cell_type.donor.release_rate": 120}, seed=1, hours=1)
    >>> found = xo.compare(a, b)
    >>> found.changed
    {'cell_type.donor.release_rate': ('60.0 1/h', '120.0 1/h')}
    >>> [row["relative"] for row in found.rows() if row["readout"] == "emitted[exosome]"]
    [1.0]
    """
    from exoabm.batch.compare import compare as compared

    texts = [str(each.folder) if isinstance(each, Run | Batch) else str(each) for each in (a, b)]
    return Comparison(compared(*texts))


class Comparison(Result):
    """Differences of readouts, B - A, with 95 % intervals where there are replicates.

    Attributes
    ----------
    found : batch.compare.Comparison
    """

    def __init__(self, found: comparing.Comparison) -> None:
        self.found, self.notes = found, found.warnings
        self.title = f"comparison of {found.a.name} and {found.b.name}"

    @property
    def changed(self) -> dict[str, tuple[str, str]]:
        """Keys of the scenario that differ, with both values."""
        return self.found.changed

    @property
    def warnings(self) -> list[str]:
        """What a reader of the differences should know."""
        return self.found.warnings

    def rows(self) -> list[dict[str, Any]]:
        """Per readout: ``a``, ``b``, ``difference``, its half interval, and its share of A."""
        return [
            {
                "readout": line.readout,
                "a": line.a,
                "b": line.b,
                "difference": line.difference,
                "ci95_half": line.half,
                "relative": line.relative,
            }
            for line in self.found.lines
        ]

    def plot(self, *readouts: str, ax: Axes | None = None) -> Axes:
        """Draw differences as shares of A in percent, with their intervals; by default the largest.

        Raises
        ------
        InputError
            If a readout is unknown, or none differs.
        """
        from exoabm.plot.palette import COOL, MUTED

        known = {line.readout: line for line in self.found.lines if line.relative}
        for name in readouts:
            if name not in known:
                raise InputError(f"no readout {name!r} differs{did_you_mean(name, known)}")
        chosen = readouts or sorted(known, key=lambda name: -abs(known[name].relative or 0.0))[:MOST_BARS]
        if not chosen:
            raise InputError("no readout differs")
        shares = [100 * (known[name].relative or 0.0) for name in chosen]
        halves = [100 * (known[name].half or 0.0) / abs(known[name].a) for name in chosen]
        with new_axes(ax) as ax:
            ax.barh(
                range(len(chosen)), shares, xerr=halves, color=COOL[1], error_kw={"lw": 0.8, "capsize": 2}
            )
            ax.set_yticks(range(len(chosen)), [name.replace("_", " ") for name in chosen], parse_math=False)
            ax.axvline(0, color=MUTED, lw=0.6)
            ax.set_xlabel("difference B - A, as a share of A (%)")
            ax.invert_yaxis()
            ax.spines[["top", "right"]].set_visible(False)
        return ax

    def save(self, folder: str | Path) -> list[Path]:
        """Write ``comparison.json`` and, of two runs, the table and plot of differences over time."""
        from exoabm.batch.compare import write

        try:
            return write(self.found, Path(folder))
        except OSError as error:
            raise InputError(f"cannot write to {folder}: {error.strerror or error}") from None


def fit(
    source: Source,
    data: str | Path,
    vary: Vary,
    changes: Changes | None = None,
    *,
    columns: tuple[str, ...] | list[str] = (),
    censored: str | None = None,
    replicates: int = 1,
    seed: int = 0,
    jobs: int = 1,
    cluster: str | None = None,
    out: str | Path | None = None,
    progress: bool | Tell | None = None,
) -> Fit:
    """Fit parameters of a scenario to measured time series by least squares.

    Parameters
    ----------
    source, changes
        As for ``scenario``.
    data : str or Path
        Text or Parquet with ``time_h`` and readouts, each with its ``NAME_sd`` if known; or a run folder.
    vary : mapping or sequence of str
        By dotted key the range as text, ``"10 / h:1000 / h:log"``.
    columns : sequence of str
        The columns to fit; by default all that vary.
    censored : str, optional
        What ``<0.5`` counts as: ``"drop"``, ``"half"`` or ``"limit"``; refused by default.
    replicates : int
        Runs per point; their mean is fitted.
    seed : int
        Of the starting points and the runs.
    jobs, cluster, progress
        As for ``sweep``.
    out : str or Path, optional
        Folder of the runs and results; the same call goes on where it was stopped.

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
    from exoabm.batch.calibration.evaluation import factors_of
    from exoabm.batch.calibration.fit import fit_series, write_fit
    from exoabm.batch.calibration.measurements import read_table, series_of

    loaded = scenario(source, changes)
    if cluster is not None and out is None:
        raise InputError("a cluster needs out, a folder that its workers see too")
    series = series_of(read_table(Path(data), censored), columns)
    texts = vary_texts(vary)
    if not texts:
        raise InputError("select the parameters to fit: vary = {KEY: 'LO:HI' or 'LO:HI:log'}")
    with progress_bar("fit", progress) as tell:
        found = fit_series(
            loaded,
            factors_of(loaded, texts),
            series,
            folder=None if out is None else Path(out),
            source=source_of(source),
            replicates=replicates,
            seed=seed,
            workers=workers_of(jobs, cluster, loaded),
            progress=None if tell is None else lambda runs: tell(runs, None),
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
        from exoabm.plot.page import rule
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

    def save(self, folder: str | Path) -> Path:
        """Write ``fit.json``, ``fit.png`` and ``fitted.toml`` into a folder."""
        from exoabm.batch.calibration.fit import write_fit

        write_fit(self.found, self.scenario, Path(folder))
        return Path(folder)


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
    progress: bool | Tell | None = None,
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
        Folder; the same call goes on where it was stopped. By default a temporary one.

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
    from exoabm.batch.calibration.evaluation import factors_of
    from exoabm.batch.calibration.sensitivity import foretell, run_sensitivity
    from exoabm.batch.calibration.sensitivity_report import write_report
    from exoabm.batch.execution.workers import kept

    loaded = scenario(source, changes)
    factors = factors_of(loaded, vary_texts(vary))
    duration = None if hours is None else hours_of(hours)
    effort = {"trajectories": trajectories, "samples": samples, "replicates": replicates}
    if (long := foretell(loaded, len(factors), **effort, hours=duration, jobs=jobs)) is not None:
        warnings.warn(long, LongRun, stacklevel=2)
    home, folder = place_of(out, "sensitivity")

    @contextlib.contextmanager
    def stage(title: str) -> Any:
        with progress_bar(title, progress) as tell:
            yield tell or (lambda done, total: None)

    with kept(workers_of(jobs, cluster, loaded)) as workers:
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

        with new_axes(ax) as ax:
            plot_screening(self.found, ax)
        return ax

    def plot_indices(self, *, ax: Axes | None = None) -> Axes:
        """Draw Sobol's indices: shares of the variance that a parameter makes alone, and with others."""
        from exoabm.batch.calibration.sensitivity_report import plot_indices

        with new_axes(ax) as ax:
            plot_indices(self.found, ax)
        return ax

    def save(self, folder: str | Path) -> Path:
        """Write ``sensitivity.json`` and ``sensitivity.png`` into a folder."""
        from exoabm.batch.calibration.sensitivity_report import write_report

        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        write_report(self.found, path, self._scenario.scenario.info.title)
        return path
