"""Many runs of one scenario: sweeps, with means and intervals, and what they share with trials."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.api.plots import Plots, new_axes
from exoabm.api.progress import progress_bar
from exoabm.api.saving import Saved, place_of
from exoabm.api.scenarios import Source, runnable, speaks_python
from exoabm.errors import InputError, LongRun, did_you_mean, whole_number
from exoabm.scenario.overrides import model_time, text_of
from exoabm.tables.html import html_card, html_table

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.axes import Axes

    from exoabm.api.progress import ProgressUpdate
    from exoabm.batch.execution.plan import Plan
    from exoabm.batch.execution.runner import Outcome
    from exoabm.batch.execution.workers import Workers
    from exoabm.batch.sweeps.summary import Summary, Varied
    from exoabm.scenario.loader import LoadedScenario
    from exoabm.scenario.overrides import Changes

MOST_NAMED = 5
"""Readouts that a warning names in a notebook; ``warnings`` has all."""
Vary = Mapping[str, Any] | Sequence[str]
"""Varied keys with their values; see ``sweep``."""


@speaks_python
def sweep(
    source: Source,
    vary: Vary = (),
    changes: Changes | None = None,
    *,
    design: str = "grid",
    replicates: int = 1,
    seed: int | None = None,
    independent: bool = False,
    hours: float | str | None = None,
    keep: str = "readouts",
    jobs: int = 1,
    cluster: str | None = None,
    shard: str | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: bool | ProgressUpdate | None = None,
) -> Sweep:
    """Run a scenario over many values and seeds, and return means with 95 % confidence intervals.

    All points use the same seeds, so that they differ by the varied keys and not by chance.

    Parameters
    ----------
    source, changes
        As for ``scenario``.
    vary : mapping or sequence of str
        By dotted key a list of values, or a range as text: ``"10:300 / h:4:log"`` for 4 values that are
        evenly spaced in their logarithm. Or texts as of ``--vary``, ``"KEY=LO:HI:N"``.
    design : str
        ``"grid"`` for all combinations, ``"lhs"`` or ``"sobol"`` for N points in the ranges.
    replicates : int
        Runs per point, each with a seed of its own.
    seed : int, optional
        From which all seeds follow; by default drawn from the operating system and recorded.
    independent : bool
        Give each point seeds of its own.
    hours : float or str, optional
        Model time of each run, in h or with a unit.
    keep : str
        ``"runs"`` keeps whole run folders beside the ``"readouts"``.
    jobs : int
        Processes of this machine. In a script more than one needs ``if __name__ == "__main__":``.
    cluster : str, optional
        Address of a Dask scheduler, or ``"local:N"``.
    shard : str, optional
        ``"I/N"`` runs part I of N.
    out : str or Path, optional
        Folder; by default a temporary one, which is removed with the ``Sweep``.
    overwrite : bool
        Replace a sweep at ``out``.
    progress : bool or callable, optional
        Whether to draw a progress bar with the time left, or a function of the rows done and those there are.
        By default a bar is drawn in a notebook and on a terminal.

    Raises
    ------
    InputError, ResourceError
        Before a row is run.
    RunFailed
        If the disk fills or workers keep dying; ``exoabm resume`` goes on with the folder.

    Examples
    --------
    >>> import exoabm as xo
    >>> noisy = {"cell_type.donor.secretion": "poisson", "clock.step": "10 min", "domain.voxel": "40 um"}
    >>> found = xo.sweep(
    ...     "two_cells", {"cell_type.donor.release_rate": [60, 120]}, noisy, replicates=3, seed=1, hours=1
    ... )
    >>> found
    <sweep of two_cells: 2 points, 6 runs>
    >>> found.table.column_names[:4]
    ['point', 'cell_type.donor.release_rate (1/h)', 'readout', 'n']
    >>> found.plot("emitted[exosome]").get_xlabel()
    'release rate of donor (1/h)'
    """
    loaded = runnable(source, changes)
    texts = vary_texts(vary, changes)
    if not texts and replicates == 1:
        raise InputError("a sweep of one run: give --vary KEY=A,B,C or --replicates N")
    if keep not in ("readouts", "runs"):
        raise InputError(f"--keep {keep}: readouts or runs")
    if shard is not None and (seed is None or out is None):
        raise InputError("--shard needs --seed and --out, so that all parts are of the same sweep")
    from exoabm.batch.execution.runner import Shard, run_rows
    from exoabm.batch.sweeps.sweep import duration_note, plan_sweep
    from exoabm.random_streams import Streams

    part, workers = None if shard is None else Shard.read(shard), workers_of(jobs, cluster, loaded)
    plan = plan_sweep(
        loaded,
        texts,
        source=source_of(source),
        design=design,
        replicates=replicates,
        seed=Streams.from_entropy(seed).seed,
        independent=independent,
        hours=None if hours is None else model_time(hours, "hours")[0],
        keep="runs" if keep == "runs" else "readouts",
    )
    if not cluster and (long := duration_note(loaded, plan, texts, jobs)) is not None:
        warnings.warn(long, LongRun, stacklevel=2)
    home, folder = place_of(out, "sweep")
    with progress_bar(folder.name, progress) as update:
        outcome = run_rows(plan, folder, workers=workers, shard=part, overwrite=overwrite, progress=update)
    return finished(outcome, home)


def finished(outcome: Outcome, home: Any = None) -> Sweep:
    """Write the tables and plots of a sweep that has been run, unless it is a shard."""
    from exoabm.batch.execution.runner import is_shard
    from exoabm.batch.sweeps.sweep import report

    made = Sweep(outcome.folder, notes=outcome.notes, outcome=outcome, home=home)
    if not is_shard(outcome.folder):
        made.summary = report(outcome).summary
    return made


def open_sweep(folder: str | Path) -> Sweep:
    """A finished sweep, whose parts are read when they are asked for; see ``Sweep``.

    Raises
    ------
    InputError
        If the folder holds no sweep, or one of another version of exoabm.

    Examples
    --------
    >>> import exoabm as xo
    >>> xo.open_sweep("sweep")  # as made in the example of Sweep
    <sweep of two_cells: 2 points, 2 runs>
    """
    found = Sweep(folder)
    if (kind := found.plan.about.get("kind")) != "sweep":
        raise InputError(f"{folder} holds a {kind or 'batch'} and no sweep")
    return found


class Batch(Saved):
    """What sweeps and trials share: the folder, its plan, the table of runs, and plots of the first group.

    ``notes`` and ``damage`` are what was noticed when the batch was run: ``damage`` is what of earlier rows
    was damaged or missing, and was computed again.
    """

    def __init__(
        self, folder: str | Path, *, notes: Sequence[str] = (), damage: Sequence[str] = (), home: Any = None
    ) -> None:
        from exoabm.batch.execution.plan import Plan

        self.folder, self.damage, self._home = Path(folder), tuple(damage), home
        self.notes = (*notes, *(f"{each}; it was computed again" for each in damage))
        self.plan: Plan = Plan.read(self.folder)

    @cached_property
    def results(self) -> pa.Table:
        """One row per run: its seed, the varied values, whether it is done, and every readout."""
        from exoabm.batch.sweeps.summary import RESULTS, readout_names, varied_keys, write_rows
        from exoabm.tables.parquet import read_whole

        path = self.folder / RESULTS
        if path.is_file():
            return read_whole(path)
        with tempfile.TemporaryDirectory() as scratch:
            names = readout_names(self.folder, self.plan)
            path = Path(scratch) / RESULTS
            write_rows(path, self.folder, self.plan, varied_keys(self.plan), names)
            return read_whole(path)


class Sweep(Batch):
    """A sweep: means of replicates with 95 % confidence intervals, by point and readout.

        mean ± t(n - 1, 0.975) sd / sqrt(n)

    Attributes
    ----------
    folder : Path
    notes : tuple of str
        Warnings of the sweep just made.
    plan : Plan
        Scenario, rows, seeds.
    outcome : Outcome or None
        How many rows ran and failed, of a sweep just made.

    Examples
    --------
    >>> import exoabm as xo
    >>> small = {"clock.step": "10 min", "domain.voxel": "40 um"}
    >>> made = xo.sweep("two_cells", {"transport.hindrance": [0.1, 1]}, small, seed=1, hours=1, out="sweep")
    >>> made.results.num_rows, made.table.num_rows // 2 == len(made.readouts)
    (2, True)
    >>> made.at({"transport.hindrance": 1})
    <1 runs: transport.hindrance = 1>
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        notes: Sequence[str] = (),
        outcome: Outcome | None = None,
        home: Any = None,
    ) -> None:
        damage = () if outcome is None else outcome.damage
        super().__init__(folder, notes=notes, damage=damage, home=home)
        self.outcome = outcome

    def __repr__(self) -> str:
        points = len(dict.fromkeys(row.overrides for row in self.plan.rows))
        return f"<sweep of {self.plan.name}: {points:,} points, {len(self.plan.rows):,} runs>"

    def _repr_html_(self) -> str:
        from exoabm.batch.sweeps.summary import headline

        shown = set(headline(self.summary))
        rows = [
            [row[name] for name in self.table.column_names if name not in ("point", "failed", "sd")]
            for row in self.table.to_pylist()
            if row["readout"] in shown
        ]
        names = [name for name in self.table.column_names if name not in ("point", "failed", "sd")]
        lines = [f"Warning: {text}" for text in (*self.notes, *self.summary.warnings(MOST_NAMED))]
        return html_card(repr(self).strip("<>"), lines, html_table(names, rows))

    @cached_property
    def summary(self) -> Summary:
        """Means, standard deviations and half intervals as arrays (points, readouts)."""
        from exoabm.batch.sweeps.summary import readout_names, summarize, varied_keys

        names = readout_names(self.folder, self.plan)
        return summarize(self.folder, self.plan, varied_keys(self.plan), names)

    @cached_property
    def table(self) -> pa.Table:
        """One row per point and readout: n, mean, sd, ci95_low and ci95_high."""
        return self.summary.table()

    @property
    def warnings(self) -> list[str]:
        """What a reader of the means should know."""
        return list(dict.fromkeys([*self.notes, *self.summary.warnings()]))

    @property
    def readouts(self) -> list[str]:
        """Names of all readouts."""
        return self.summary.readouts

    def plot(self, *readouts: str, x: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw the mean of a readout with its 95 % interval against a varied key, a line per value of others.

        Lines lie a little beside each other, so that none hides another.

        Parameters
        ----------
        readouts : str
            The readout; by default the first that changes.
        x : str, optional
            The key along the axis; by default that with most values.
        ax : matplotlib.axes.Axes, optional
        """
        from exoabm.batch.sweeps.summary import headline
        from exoabm.batch.sweeps.sweep import draw_means

        summary = self.summary
        if len(readouts) > 1:
            raise InputError("a plot of a sweep has one readout; call it for each, with ax")
        name = readouts[0] if readouts else next(iter(headline(summary)), None)
        if name is None:
            raise InputError("no readout changes over this sweep; name one to plot it")
        if name not in summary.readouts:
            raise InputError(f"no readout {name!r}{did_you_mean(name, summary.readouts)}; see .readouts")
        with new_axes(ax) as ax:
            draw_means(ax, summary, self._axis(x), name)
        return ax

    def at(self, keys: Changes) -> Replicates:
        """The replicates of one point, by its values, with plots of their means: ``sweep.at({key: value})``.

        Raises
        ------
        InputError
            If no point, or more than one, has these values.
        """
        chosen = ",".join(f"{key}={text_of(value, key)}" for key, value in keys.items())
        return Replicates(f"{self.folder}@{chosen}", self)

    def _axis(self, key: str | None) -> Varied:
        varied = {each.key: each for each in self.summary.varied}
        if key is None:
            if not varied:
                raise InputError("this sweep varies no key; its means are in .table")
            counts = {name: len({point.get(name) for point in self.summary.points}) for name in varied}
            return varied[max(counts, key=lambda name: (varied[name].numeric, counts[name]))]
        if key not in varied:
            raise InputError(f"x = {key!r} is not varied{did_you_mean(key, varied)}; {', '.join(varied)}")
        return varied[key]


class Replicates(Plots):
    """The runs of one point of a sweep, or of one arm of a trial."""

    def __init__(self, source: str, batch: Batch) -> None:
        from exoabm.export.type_exchange import exchange_of

        self._batch = batch  # its folder stays as long as this
        self.__dict__["_exchange"] = found = exchange_of(source)
        if len(found.groups) != 1:
            raise InputError(f"{source}: {len(found.groups)} points have these values; name all varied keys")

    def __repr__(self) -> str:
        return f"<{len(self._group.replicates)} runs: {self._group.title}>"


def vary_texts(vary: Vary, changes: Changes | None = None) -> list[str]:
    """Varied keys as texts of ``--vary``.

    Raises
    ------
    InputError
        If a list of values is empty, or a key is among the ``changes``, too.
    """
    if isinstance(vary, str):
        texts = [vary]
    elif isinstance(vary, Mapping):
        texts = [_vary_text(key, values) for key, values in vary.items()]
    else:
        texts = list(vary)
    for text in texts:
        key = text.partition("=")[0].strip()
        if key in (changes or {}):
            raise InputError(f"{key} is both set and varied; give it once")
    return texts


def _vary_text(key: str, values: Any) -> str:
    if isinstance(values, str):
        return f"{key}={values}"
    texts = [text_of(value, key) for value in values] if np.iterable(values) else []
    if not texts:
        raise InputError(f"vary {key}: give a list of values, or a range as 'LO:HI:N' or 'LO:HI:N:log'")
    return f"{key}={','.join(texts)}"


def workers_of(jobs: int, cluster: str | None, loaded: LoadedScenario | None = None) -> Workers:
    """Workers on this machine, or those of a Dask scheduler, for runs of a scenario.

    Raises
    ------
    InputError
        If ``jobs`` is not from 1 to 1024, or they are other processes, and the scenario has behaviors that
        are registered in this one.
    """
    jobs = whole_number("jobs", jobs, 1, 1024)
    from exoabm.batch.execution.workers import dask, local
    from exoabm.cells.behaviors import local_behaviors

    tables = () if loaded is None else loaded.scenario.cell_type
    used = {name for table in tables for name in table.behavior}
    names = [name for name in local_behaviors() if name in used]
    if names and (jobs > 1 or cluster is not None):
        raise InputError(
            f"other processes do not know the behaviors registered here ({', '.join(names)}); "
            "run with jobs = 1, or add them by a package"
        )
    return local(jobs) if cluster is None else dask(cluster)


def source_of(source: Source) -> str | None:
    """Where a scenario was loaded from, as the provenance of a batch has it."""
    return str(source) if isinstance(source, str | Path) else None
