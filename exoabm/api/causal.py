"""Effects of a silenced step, of donors, and paths of deliveries, with tables and plots."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exoabm.api.batches import workers_of
from exoabm.api.plots import new_axes
from exoabm.api.progress import progress_bar
from exoabm.api.result import Result
from exoabm.api.runs import Run, repeated
from exoabm.api.saving import place_of, save_folder
from exoabm.api.scenarios import Source, runnable, speaks_python
from exoabm.errors import InputError, did_you_mean
from exoabm.scenario.overrides import model_time

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.axes import Axes

    from exoabm.api.progress import ProgressUpdate
    from exoabm.causal import attribution
    from exoabm.causal import paths as following
    from exoabm.causal.whatif import WhatIf as WhatIfRuns
    from exoabm.scenario.loader import LoadedScenario
    from exoabm.scenario.overrides import Changes


@speaks_python
def whatif(
    source: Source,
    changes: Changes | None = None,
    *,
    silence: str | None = None,
    block: str | None = None,
    give: str | None = None,
    at: str = "0 h",
    seed: int | None = None,
    hours: float | str | None = None,
    threads: int | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: bool | ProgressUpdate | None = None,
) -> WhatIf:
    """Run a scenario with and without one cell, type, edge or vesicle kind, on the same random draws.

        effect = value with the change - value as it is

    Of a run that kept its checkpoints (``run(..., keep_checkpoints=True)``), both runs begin at the last one
    before ``at``; all tables are those of runs from 0 h.

    Parameters
    ----------
    source, changes
        As for ``run``; of a run folder seed, model time and changes between steps are taken.
    silence : str, optional
        ``"cell:17"``, ``"cell_type:NAME"``, ``"edge:3->17"`` (cells or types), or ``"vesicle:NAME"``.
    block : str, optional
        The process that is blocked: ``"release"`` by default, ``"uptake"`` (of an edge by default),
        ``"delivery"`` or ``"response"``.
    give : str, optional
        ``"cell:17 CARGO COPIES"``, or ``cell_type:NAME``: copies given to each cell.
    at : str
        Model time from which the change holds, such as ``"12 h"``. Within a step, a silencing begins at its
        end, and a gift is made at its start.
    seed, hours, threads, out, overwrite, progress
        As for ``run``.

    Raises
    ------
    InputError
        Before anything is run, if nothing is changed, or the change is not allowed.

    Examples
    --------
    >>> import exoabm as xo
    >>> found = xo.whatif("two_cells", {"clock.step": "10 min"}, silence="cell:0", seed=1, hours=1)
    >>> [row["effect"] for row in found.rows() if row["readout"] == "emitted[exosome]"]
    [-60.0]
    """
    from exoabm.causal.whatif import whatif as compared
    from exoabm.scenario.loader import run_of

    loaded = runnable(source, changes)
    given = None if hours is None else model_time(hours, "hours")[0]
    seed, duration, between = repeated(source, seed=seed, hours=given)
    home, folder = place_of(out, "whatif")
    with progress_bar("both runs", progress) as update:
        found = compared(
            loaded,
            folder,
            silence=silence,
            block=block,
            give=give,
            at=at,
            seed=seed,
            hours=duration,
            overwrite=overwrite,
            threads=threads,
            progress=update,
            changes_at=between,
            run=run_of(source) if isinstance(source, str | Path) else None,
        )
    return WhatIf(found, loaded, home)


class WhatIf(Result):
    """Two runs that differ by one change, and the difference of every table.

    Attributes
    ----------
    folder : Path
    found : causal.whatif.WhatIf
        ``about`` is what was asked, where the runs began, and how many vesicles of other donors took another
        course.
    """

    def __init__(self, found: WhatIfRuns, loaded: LoadedScenario, home: Any = None) -> None:
        self.found, self.folder, self._home = found, found.folder, home
        asked = [f"{name} {found.about[name]}" for name in ("silence", "give") if found.about[name]]
        self.title = f"{loaded.name} with {' and '.join(asked)} from {found.about['at']}"
        about = found.about
        self.notes = [str(about["pairing"]["sentence"]), str(about["start"]), *filter(None, [about["moved"]])]

    @cached_property
    def as_is(self) -> Run:
        """The run without the change."""
        return Run(self.found.as_is.folder, home=self._home)

    @cached_property
    def changed(self) -> Run:
        """The run with the change."""
        return Run(self.found.changed.folder, home=self._home)

    def rows(self) -> list[dict[str, Any]]:
        """Per readout that differs at the end: ``as_is``, ``changed`` and ``effect``."""
        readouts = self.found.about["readouts"].items()
        return [{"readout": name, **row} for name, row in readouts if row["effect"]]

    def difference(self, table: str) -> pa.Table:
        """The difference of a table of a run by its name, such as ``"edges"``: changed - as it is."""
        import pyarrow as pa

        return pa.Table.from_pandas(self.found.difference(table), preserve_index=False)

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw the change of the vesicles taken up by each cell, at its place."""
        from exoabm.plot.causal import change_by_cell

        with new_axes(ax) as ax:
            change_by_cell(ax, *self.found.by_cell())
        return ax

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Copy the folder to a place of its own, with both runs and the differences."""
        save_folder(self.folder, Path(folder), overwrite=overwrite)
        return Path(folder)


@speaks_python
def causal(
    source: Source,
    readout: str,
    changes: Changes | None = None,
    *,
    by: str = "type",
    design: str = "one",
    seeds: int = 20,
    seed: int = 1,
    hours: float | str | None = None,
    jobs: int = 1,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: bool | ProgressUpdate | None = None,
) -> Attribution:
    """Attribute a readout to donors: the causal effect of each, beside what it sent.

        effect_i = R(all) - R(all but i)

    Parameters
    ----------
    source, changes
        As for ``scenario``.
    readout : str
        At the end of a run, as in ``metrics``: ``"delivered_per_cell[recipient]"``.
    by : str
        ``"type"`` or ``"cell"``.
    design : str
        ``"one"`` donor at a time, ``"shapley"`` values, or ``"adjoint"``, without a run, for linear uptake.
    seeds : int
        Runs of each arm; intervals are Student's t over them. Each has a random order of donors for Shapley
        values, which need two. Where every seed gives the same run, these are exact for up to four donors,
        or if all coalitions are no more runs.
    seed : int
        From which they follow.
    hours, jobs, overwrite, progress
        As for ``sweep``.
    out : str or Path, optional
        Folder; the same call continues after an interruption. By default a temporary one.

    Raises
    ------
    InputError
        If readout or design do not apply to the scenario.

    Examples
    --------
    >>> import exoabm as xo
    >>> found = xo.causal("two_cells", "taken_up[exosome]", {"clock.step": "10 min"}, design="adjoint")
    >>> [(row["group"], row["effect_share"]) for row in found.rows()]
    [('cell_type:donor', 1.0)]
    """
    loaded = attributable(source, changes, by)
    from exoabm.causal.attribution import attribute

    home, folder = place_of(out, "causal")
    with progress_bar("runs", progress) as update:
        found = attribute(
            loaded,
            folder,
            readout=readout,
            by=by,
            design=design,
            seeds=seeds,
            seed=seed,
            hours=None if hours is None else model_time(hours, "hours")[0],
            workers=workers_of(jobs, None, loaded),
            overwrite=overwrite,
            progress=update,
        )
    return Attribution(found, loaded, folder, home)


def attributable(source: Source, changes: Changes | None, by: str) -> LoadedScenario:
    """The scenario of an attribution, with what can be refused before a model is built; see ``causal``."""
    loaded = runnable(source, changes)
    if by not in ("type", "cell"):
        raise InputError(f"by = {by!r}: must be type or cell")
    return loaded


class Attribution(Result):
    """Causal effects of donors on a readout, the largest first.

    Attributes
    ----------
    folder : Path
    found : causal.attribution.Attribution
    """

    def __init__(
        self, found: attribution.Attribution, loaded: LoadedScenario, folder: Path, home: Any = None
    ) -> None:
        self.found, self.folder, self._home = found, folder, home
        self.title = f"effects of donors on {found.readout} in {loaded.name}"
        self.notes = [found.disagreement()]

    def rows(self) -> list[dict[str, Any]]:
        """Per donor or type: vesicles ``sent``, ``effect`` with its 95 % interval, and the shares of both."""
        return [dict(row) for row in self.found.rows]

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw the effect of each donor with its 95 % interval."""
        from exoabm.plot.causal import effects

        with new_axes(ax) as ax:
            effects(ax, self.found.rows)
            ax.set_xlabel(f"effect on {self.found.readout.replace('_', ' ')}", parse_math=False)
        return ax

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Copy the folder of runs, ``causal.parquet`` and ``causal.png`` to a place of its own."""
        save_folder(self.folder, Path(folder), overwrite=overwrite)
        return Path(folder)


def paths(run: Run | str | Path) -> Paths:
    """Tell direct deliveries of a run from those over relays, by the number of cells in between.

    Parameters
    ----------
    run : Run, str or Path
        A run of the engine ``vesicles``, or its folder.

    Raises
    ------
    InputError
        If the run has no single vesicles, nothing was delivered, or the paths cannot be determined.

    Examples
    --------
    >>> import exoabm as xo
    >>> sure = {"vesicle.exosome.delivery_probability": 1, "transport.engine": "vesicles"}
    >>> run = xo.run("two_cells", sure | {"domain.voxel": "40 um"}, seed=1, hours=4)
    >>> {row["relays"] for row in xo.paths(run).rows()}
    {0}
    """
    from exoabm.causal.paths import paths as follow

    folder = run.folder if isinstance(run, Run) else Path(run)
    return Paths(follow(folder), Run(folder))


class Paths(Result):
    """Deliveries by first donor type, recipient type, and number of cells in between.

    Attributes
    ----------
    found : causal.paths.Paths
    """

    def __init__(self, found: following.Paths, run: Run) -> None:
        self.found, self._run, self.notes = found, run, []
        self.title = f"paths of the deliveries in {run!r}".replace("<", "").replace(">", "")

    def rows(self) -> list[dict[str, Any]]:
        """Per path: donor and recipient types, ``relays``, ``recycled``, ``delivered`` and its ``share``."""
        return [dict(row) for row in self.found.rows]

    def plot(self, recipient: str | None = None, *, ax: Axes | None = None) -> Axes:
        """Draw the share of the deliveries to a cell type, by default the first, by cells in between."""
        from exoabm.plot.causal import relays

        shares = self.found.by_hops()
        name = next(iter(shares)) if recipient is None else recipient
        if name not in shares:
            raise InputError(f"nothing was delivered to {name!r}{did_you_mean(name, shares)}")
        with new_axes(ax) as ax:
            relays(ax, shares[name])
            ax.set(ylabel="share of delivered vesicles", title=name)
        return ax

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write ``paths.parquet`` and ``paths.png`` into a folder."""
        from exoabm.causal.paths import write

        write(self.found, Path(folder), self._run.summary["title"], overwrite)
        return Path(folder)
