"""Runs: made, resumed and opened; a run has its tables, fields, graph and plots."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exoabm.api.progress import progress_bar, show_warnings
from exoabm.api.saving import Saved, place_of
from exoabm.api.scenarios import Source, runnable
from exoabm.errors import InputError
from exoabm.scenario.overrides import model_time, texts_of
from exoabm.tables.finished_run import Run as RunTables
from exoabm.tables.html import html_card, html_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    import networkx as nx

    from exoabm.api.batches import Sweep
    from exoabm.api.progress import ProgressUpdate
    from exoabm.api.trials import Trial
    from exoabm.scenario.loader import LoadedScenario
    from exoabm.scenario.overrides import Changes
    from exoabm.transport.transfer_matrix import TransferMatrix


def run(
    source: Source = "signaling",
    changes: Changes | None = None,
    *,
    seed: int | None = None,
    hours: float | str | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    threads: int | None = None,
    checkpoint_every: float | str | None = None,
    keep_checkpoints: bool = False,
    changes_at: Mapping[float | str, Changes] | None = None,
    progress: bool | ProgressUpdate | None = None,
) -> Run:
    """Run a scenario, or repeat the run of a run folder, and return its results.

    Parameters
    ----------
    source, changes
        As for ``scenario``.
    seed : int, optional
        0 to 2^63 - 1; that of a run folder, else drawn from the operating system and recorded.
    hours : float or str, optional
        Model time in h, or with a unit (``"90 min"``); by default the scenario's duration.
    out : str or Path, optional
        The run folder. By default a temporary one, which is removed with the ``Run``; see ``Run.save``.
    overwrite : bool
        Replace a run folder at ``out``.
    threads : int, optional
        At most; by default as many as the process may use and make the run faster. The results do not depend
        on it.
    checkpoint_every : float or str, optional
        Model time between checkpoints, in h or with a unit; ``resume`` goes on from the last one.
    keep_checkpoints : bool
        Whether the finished folder holds the checkpoints, from which ``whatif`` begins, and
        ``ExosomeModel.from_checkpoint``.
    changes_at : mapping, optional
        Changes between steps by model time in h or with a unit: ``{"6 h": {KEY: VALUE}}``; see
        ``ExosomeModel.set``. Those of a run folder are repeated if none are given.
    progress : bool or callable, optional
        Whether to draw a progress bar with the time left, and to print the warnings after it, or a function
        of the share done. By default in a notebook and on a terminal; ``Run.warnings`` has them always.

    Raises
    ------
    InputError, ResourceError
        Before anything is written.
    NumericalError
        If the mass balance breaks.

    Examples
    --------
    >>> import exoabm as xo
    >>> first = xo.run("two_cells", {"clock.step": "10 min"}, seed=1, hours=2)
    >>> first
    <run of two_cells: 2 h, seed 1>
    >>> first.metrics.column_names[:2]
    ['time_h', 'emitted[exosome]']
    >>> first.edges.to_pandas()[["donor", "recipient"]].values.tolist()
    [[0, 1]]
    """
    loaded = runnable(source, changes)
    given = None if hours is None else model_time(hours, "hours")[0]
    seed, duration, between = repeated(source, seed=seed, hours=given)
    if changes_at is not None:
        between = [
            (model_time(time, "changes_at")[1], key, text)
            for time, values in changes_at.items()
            for key, text in texts_of(values).items()
        ]
    interval = None if checkpoint_every is None else model_time(checkpoint_every, "checkpoint_every")[1]
    if interval is not None and out is None:
        raise InputError("checkpoint_every needs out, the folder of the run")
    if keep_checkpoints and interval is None:
        raise InputError("keep_checkpoints needs checkpoint_every, the model time between checkpoints")
    from exoabm.runs.run_execution import run_to_folder

    home, folder = place_of(out, "run")
    with progress_bar(Path(loaded.name).stem, progress) as update:
        done = run_to_folder(
            loaded,
            folder,
            seed=seed,
            hours=duration,
            overwrite=overwrite,
            threads=threads,
            checkpoint_every=interval,
            keep_checkpoints=keep_checkpoints,
            progress=update,
            changes_at=between,
        )
    made = Run(done.folder, notes=done.warnings, recognized=done.recognized, home=home)
    show_warnings(made.warnings, progress)
    return made


def repeated(
    source: Source, *, seed: int | None, hours: float | None
) -> tuple[int | None, float | None, list[tuple[float, str, str]]]:
    """Seed, model time in h, and changes between steps as (s, key, text) of a run folder that is repeated.

    A seed and hours that are given take precedence; of other sources there are no changes.
    """
    from exoabm.scenario.loader import read_run, run_of

    before = run_of(source) if isinstance(source, str | Path) else None
    about = {} if before is None else read_run(before)
    seed = about.get("seed") if seed is None else seed
    hours = about.get("hours") if hours is None else hours
    return seed, hours, [(row["time_s"], row["key"], row["value"]) for row in about.get("changes", ())]


def resume(
    folder: str | Path,
    *,
    threads: int | None = None,
    jobs: int = 1,
    cluster: str | None = None,
    progress: bool | ProgressUpdate | None = None,
) -> Run | Sweep | Trial:
    """Resume an interrupted run, sweep or trial; the results are identical bits.

    Parameters
    ----------
    folder : str or Path
        As given to ``out``. A run must have had ``checkpoint_every``; shards of a sweep are merged.
    threads : int, optional
        Of a run; as for ``run``.
    jobs, cluster
        Of a sweep or a trial; see ``sweep``.
    progress : bool or callable, optional
        As for ``run`` and ``sweep``.

    Raises
    ------
    InputError
        If the folder holds nothing to resume, or something has changed since.

    Examples
    --------
    >>> import exoabm as xo
    >>> vary = {"transport.hindrance": [0.1, 1]}
    >>> begun = xo.sweep("two_cells", vary, seed=1, hours=1, out="halves", shard="1/2")
    >>> begun.outcome.rows
    1
    >>> xo.resume("halves").outcome.ran
    1
    """
    from exoabm.batch.execution.runner import is_batch

    path = Path(folder)
    if is_batch(path):
        from exoabm.api.trials import resume_batch

        return resume_batch(path, jobs=jobs, cluster=cluster, progress=progress)
    from exoabm.output.run_folder import UNFINISHED
    from exoabm.runs.run_execution import resume_run

    path = path.with_name(path.name.removesuffix(UNFINISHED))
    with progress_bar(path.name, progress) as update:
        done = resume_run(path, threads=threads, progress=update)
    made = Run(done.folder, notes=done.warnings, recognized=done.recognized)
    show_warnings(made.warnings, progress)
    return made


def open_run(folder: str | Path) -> Run:
    """A finished run, whose parts are read when they are asked for; see ``Run``.

    Raises
    ------
    InputError
        If the folder holds no run, or one whose tables have another version.

    Examples
    --------
    >>> import exoabm as xo
    >>> made = xo.run("two_cells", {"clock.step": "10 min"}, seed=1, hours=1, out="first")
    >>> xo.open_run("first").edges.equals(made.edges)
    True
    """
    return Run(folder)


class Run(RunTables, Saved):
    """A run: tables, fields, communication graph and plots, read from its folder when they are asked for.

    Each table is an attribute, a ``pyarrow.Table`` (``.to_pandas()``; polars and pyarrow read it as it is):
    ``metrics``, ``cells``, ``events``, ``edges``, ``pairs``, ``behaviors``, ``metrics_by_kind``, ...; None
    where a run has none of it. Columns and their units are in ``docs/tables.md`` and in the schema of each
    table. A run that has no folder of its own lies in a temporary one, which is removed with this object.

    Attributes
    ----------
    folder : Path
    notes : tuple of str
        Warnings of the run just made.
    recognized : str
        What the table of cells of the run just made was recognized as.

    Examples
    --------
    >>> import exoabm as xo
    >>> made = xo.run("two_cells", {"clock.step": "10 min"}, seed=1, hours=1)
    >>> made.edges.schema.field("distance_um").metadata[b"unit"]
    b'um'
    >>> made.summary["mass_balance"]["exosome"]["emitted"]
    60.0
    >>> sorted(made.communication)
    ['0', '1']
    >>> made.fields["concentration"].dims[:3]
    ('time', 'vesicle_kind', 'label')
    """

    def __init__(
        self, folder: str | Path, *, notes: tuple[str, ...] = (), recognized: str = "", home: Any = None
    ) -> None:
        super().__init__(folder)
        self.notes, self.recognized = notes, recognized
        self._home = home

    def __repr__(self) -> str:
        return f"<run of {self.about['scenario_name']}: {self.hours:g} h, seed {self.seed}>"

    def _repr_html_(self) -> str:
        info = self.about["scenario"]["info"]
        balance: dict[str, dict[str, float]] = self.summary["mass_balance"]
        places = [
            place
            for place in next(iter(balance.values()), {})
            if place == "emitted" or any(row[place] for row in balance.values())
        ]
        rows = [(p.replace("_", " "), *(float(row[p]) for row in balance.values())) for p in places]
        lines = [f"{self.hours:g} h, seed {self.seed}, engine {self.about['engine']}"]
        lines += [] if self._home is not None else [str(self.folder)]
        lines += [f"Warning: {text}" for text in self.warnings]
        return html_card(
            f"{self.about['scenario_name']}: {info['title']}", lines, html_table(["vesicles", *balance], rows)
        )

    @property
    def seed(self) -> int:
        """The seed."""
        return int(self.about["seed"])

    @property
    def hours(self) -> float:
        """Model time at the end, in h."""
        return float(self.summary["hours"])

    @property
    def warnings(self) -> list[str]:
        """What a reader of the result should know."""
        return list(dict.fromkeys([*self.about["warnings"], *self.notes]))

    @cached_property
    def scenario(self) -> LoadedScenario:
        """The scenario, as it was run."""
        from exoabm.scenario.loader import load

        return load(self.folder)

    @cached_property
    def fields(self) -> Any:
        """Concentrations of free vesicles in 1/mL, as an ``xarray.Dataset``.

        The variable ``concentration`` has the dimensions (time, vesicle_kind, label, [z,] y, x), with
        coordinates in h and µm. It is read lazily from a run folder, and whole from a temporary one.

        Raises
        ------
        InputError
            If xarray is not installed, or the fields are missing or damaged.
        """
        try:
            import xarray
        except ImportError:
            raise InputError("fields needs xarray: pip install xarray") from None
        path = self.folder / "fields.zarr"
        try:
            found = xarray.open_zarr(path, chunks=None)
            return found.load() if self._home is not None else found
        except Exception as error:  # zarr and xarray have no common base for damaged files
            raise InputError(f"{path} cannot be read: {type(error).__name__}: {error}") from None

    def transfer_matrix(self, vesicle: str | None = None) -> TransferMatrix:
        """The exact expected numbers from donor to recipient per vesicle released, cells as at the start.

        Rows send, columns receive; see ``transport.transfer_matrix``. ``.frame()`` is a DataFrame.

        Raises
        ------
        InputError
            If uptake saturates, or cells move, divide, die or respond.

        Examples
        --------
        >>> import exoabm as xo
        >>> run = xo.run("two_cells", {"clock.step": "10 min"}, seed=1, hours=1)
        >>> run.transfer_matrix().taken_up.shape
        (1, 1)
        """
        from exoabm.model import ExosomeModel

        return ExosomeModel(self.scenario, seed=self.seed).transfer_matrix(vesicle)

    def graph(self) -> nx.DiGraph:
        """The communication graph, donor -> recipient; the same as ``communication``."""
        return self.communication
