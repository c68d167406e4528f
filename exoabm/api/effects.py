"""Differences between runs, and causal effects, with tables and plots."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exoabm.api.analyses import LABELED, Result
from exoabm.api.batches import Batch, workers_of
from exoabm.api.folders import place_of, save_folder
from exoabm.api.plots import new_axes
from exoabm.api.progress import progress_bar
from exoabm.api.runs import Run, repeated
from exoabm.api.scenarios import Source, runnable
from exoabm.errors import InputError, did_you_mean
from exoabm.scenario.overrides import model_time

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.axes import Axes

    from exoabm.api.progress import ProgressUpdate
    from exoabm.batch import comparison as comparing
    from exoabm.causal import attribution
    from exoabm.causal.whatif import WhatIf as WhatIfRuns
    from exoabm.scenario.loader import LoadedScenario
    from exoabm.scenario.overrides import Changes

MOST_BARS = 12
"""Readouts in a plot of differences."""


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
    from exoabm.batch.comparison import compare as compared

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
            If a readout is unknown, is the same, or is 0 in A; or if none has a share.
        """
        from exoabm.plot.palette import COOL, MUTED

        differing = {line.readout: line for line in self.found.lines if line.difference}
        known = {name: line for name, line in differing.items() if line.relative is not None}
        for name in readouts:
            if name not in differing:
                raise InputError(f"no readout {name!r} differs{did_you_mean(name, differing)}")
            if name not in known:
                raise InputError(f"{name} is 0 in A, so there is no share")
        chosen = readouts or sorted(known, key=lambda name: -abs(known[name].relative or 0.0))[:MOST_BARS]
        if not chosen and differing:
            raise InputError(f"{', '.join(differing)}: 0 in A, so there is no share")
        if not chosen:
            raise InputError("no readout differs")
        shares = [100 * (known[name].relative or 0.0) for name in chosen]
        halves = [100 * (known[name].half or 0.0) / abs(known[name].a) for name in chosen]
        with new_axes(ax, LABELED) as ax:
            ax.barh(
                range(len(chosen)), shares, xerr=halves, color=COOL[1], error_kw={"lw": 0.8, "capsize": 2}
            )
            ax.set_yticks(range(len(chosen)), [name.replace("_", " ") for name in chosen], parse_math=False)
            ax.axvline(0, color=MUTED, lw=0.6)
            ax.set_xlabel("difference B - A, as a share of A (%)")
            ax.invert_yaxis()
            ax.spines[["top", "right"]].set_visible(False)
        return ax

    def save(self, folder: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Write ``comparison.json`` and, of two runs, the table and plot of differences over time.

        Raises
        ------
        InputError
            If the folder exists, unless it holds nothing but these files and may be replaced.
        RunFailed
            If the disk is full.
        """
        from exoabm.batch.comparison import write
        from exoabm.output.durable_files import folder_errors

        with folder_errors(Path(folder).parent, Path(folder)):
            return write(self.found, Path(folder), overwrite=overwrite)


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
        from exoabm.plot.effects import change_by_cell

        with new_axes(ax) as ax:
            change_by_cell(ax, *self.found.by_cell())
        return ax

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Copy the folder to a place of its own, with both runs and the differences."""
        save_folder(self.folder, Path(folder), overwrite=overwrite)
        return Path(folder)


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
        from exoabm.plot.effects import effects

        with new_axes(ax) as ax:
            effects(ax, self.found.rows)
            ax.set_xlabel(f"effect on {self.found.readout.replace('_', ' ')}", parse_math=False)
        return ax

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Copy the folder of runs, ``causal.parquet`` and ``causal.png`` to a place of its own."""
        save_folder(self.folder, Path(folder), overwrite=overwrite)
        return Path(folder)
