"""Trials: the arms of a scenario in pairs on common random numbers, and the verdict on its claim."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.api.batches import Batch, Replicates, finished, source_of, workers_of
from exoabm.api.plots import new_axes
from exoabm.api.progress import progress_bar
from exoabm.api.saving import place_of
from exoabm.api.scenarios import Source, runnable, speaks_python
from exoabm.errors import InputError, did_you_mean
from exoabm.scenario.loader import load, shipped
from exoabm.tables.html import html_card, html_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa
    from matplotlib.axes import Axes

    from exoabm.api.batches import Sweep
    from exoabm.api.progress import ProgressUpdate
    from exoabm.batch.execution.plan import Plan
    from exoabm.batch.execution.workers import Workers
    from exoabm.batch.trials.trial import Trial as Judged
    from exoabm.scenario.loader import LoadedScenario
    from exoabm.scenario.overrides import Changes


@speaks_python
def trial(
    source: Source,
    changes: Changes | None = None,
    *,
    replicates: int | None = None,
    seed: int = 1,
    sweep: bool = True,
    keep_runs: bool = False,
    jobs: int = 1,
    cluster: str | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: bool | ProgressUpdate | None = None,
) -> Trial:
    """Run the arms of a scenario in pairs on common random numbers, and test its claim. Not for clinical use.

    Parameters
    ----------
    source, changes
        As for ``scenario``; the scenario has a ``[trial]``.
    replicates : int, optional
        Paired replicates; by default as in the scenario.
    seed : int
        Of the first replicate.
    sweep : bool
        Sweep the assumptions on which the answer may depend.
    keep_runs : bool
        Keep the run folders of all replicates, not only of the first.
    jobs, cluster, overwrite, progress
        As for ``sweep``.
    out : str or Path, optional
        Folder; a second call continues after an interruption. By default a temporary one.

    Raises
    ------
    InputError
        If the scenario has no trial, or ``out`` holds something else.
    RunFailed
        If a run fails: an effect needs all of its pairs.

    Examples
    --------
    >>> import exoabm as xo
    >>> xo.trial("two_cells")
    Traceback (most recent call last):
        ...
    exoabm.errors.InputError: two_cells has no [trial]; scenarios that have: ...
    """
    loaded, plan = planned(
        source, changes, replicates=replicates, seed=seed, sweep=sweep, keep_runs=keep_runs
    )
    home, folder = place_of(out, "trial")
    with progress_bar(folder.name, progress) as update:
        return run_plan(
            plan,
            folder,
            workers=workers_of(jobs, cluster, loaded),
            overwrite=overwrite,
            update=update,
            home=home,
        )


def planned(
    source: Source,
    changes: Changes | None = None,
    *,
    replicates: int | None,
    seed: int,
    sweep: bool,
    keep_runs: bool,
) -> tuple[LoadedScenario, Plan]:
    """The scenario of a trial and the plan of its runs; see ``trial``."""
    from exoabm.batch.trials.design import plan_trial

    loaded = runnable(source, changes)
    if loaded.scenario.trial is None:
        having = [name for name in shipped() if load(name).scenario.trial is not None]
        raise InputError(f"{loaded.name} has no [trial]; scenarios that have: {', '.join(having)}")
    return loaded, plan_trial(
        loaded,
        source=source_of(source),
        replicates=replicates,
        sweep=sweep,
        base_seed=seed,
        keep_runs=keep_runs,
    )


def run_plan(
    plan: Plan,
    folder: Path,
    *,
    workers: Workers,
    overwrite: bool,
    update: ProgressUpdate | None,
    home: Any = None,
) -> Trial:
    """Run the plan of a trial into a folder, or go on with it, and write its report."""
    from exoabm.batch.trials.trial import run_trial
    from exoabm.batch.trials.trial_folder import write_trial

    damage: list[str] = []
    judged = run_trial(
        plan, folder, workers=workers, overwrite=overwrite, progress=update, damaged=damage.extend
    )
    damage += write_trial(judged, folder, plan)
    return Trial(folder, judged, damage=damage, home=home)


def resume_batch(
    folder: Path, *, jobs: int, cluster: str | None, progress: bool | ProgressUpdate | None
) -> Sweep | Trial:
    """Resume the sweep or trial in a folder, or merge its shards; see ``resume``."""
    from exoabm.batch.execution.runner import plan_in, resume_rows
    from exoabm.batch.trials.design import KIND
    from exoabm.batch.trials.trial import judged as evaluate
    from exoabm.batch.trials.trial_folder import write_trial

    workers = workers_of(jobs, cluster, plan_in(folder).loaded())
    with progress_bar(folder.name, progress) as update:
        outcome = resume_rows(folder, workers=workers, progress=update)
    if outcome.plan.about.get("kind") != KIND:
        return finished(outcome)
    judged = evaluate(outcome)
    damage = [*outcome.damage, *write_trial(judged, outcome.folder, outcome.plan)]
    return Trial(outcome.folder, judged, notes=outcome.notes, damage=damage)


def open_trial(folder: str | Path) -> Trial:
    """A finished trial; see ``Trial``.

    Raises
    ------
    InputError
        If the folder holds no finished trial.

    Examples
    --------
    >>> import exoabm as xo
    >>> xo.open_trial("trial")  # as made in the example of Trial
    <trial of signaling: does not support>
    """
    return Trial(folder)


class Trial(Batch):
    """A trial: the verdict on a claim, its criteria with effects, and the swept assumptions.

    Attributes
    ----------
    folder : Path
        With ``report.html``.
    judged : batch.trials.trial.Trial
        All that was found.

    Examples
    --------
    >>> import exoabm as xo
    >>> coarse = {"clock.step": "10 min", "domain.voxel": "50 um", "clock.duration": "1 h"}
    >>> found = xo.trial("signaling", coarse, replicates=2, sweep=False, out="trial")
    >>> found.verdict  # of one hour and two replicates
    'does not support'
    >>> found.table.column_names[:4]
    ['readout', 'arm', 'versus', 'direction']
    >>> sorted(set(found.values["arm"].to_pylist()))
    ['empty', 'factor', 'sending', 'silent']
    """

    def __init__(
        self,
        folder: str | Path,
        judged: Judged | None = None,
        *,
        notes: Sequence[str] = (),
        damage: Sequence[str] = (),
        home: Any = None,
    ) -> None:
        super().__init__(folder, notes=notes, damage=damage, home=home)
        if judged is None:
            from exoabm.batch.execution.runner import Outcome
            from exoabm.batch.trials.trial import judged as evaluate

            if not (self.folder / "trial.json").is_file():
                raise InputError(f"{folder} holds no finished trial; `exoabm resume` continues it")
            rows = len(self.plan.rows)
            judged = evaluate(Outcome(self.folder, self.plan, rows, 0, 0, {}))
        self.judged = judged

    def __repr__(self) -> str:
        return f"<trial of {self.plan.name}: {self.verdict}>"

    def _repr_html_(self) -> str:
        title = f"{self.claim} Verdict: {self.verdict}"
        flips = [
            f"between {flip.assumption} = {flip.between[0]:.3g} and {flip.between[1]:.3g} "
            f"from {flip.verdicts[0]} to {flip.verdicts[1]}"
            for each in self.judged.sweeps
            for flip in each.flips
        ]
        table = self.table
        rows = [list(row.values()) for row in table.to_pylist()]
        lines = [f"{len(self.judged.seeds)} paired replicates. Not for clinical use.", *flips]
        return html_card(title, lines, html_table(table.column_names, rows))

    @property
    def verdict(self) -> str:
        """``"supports"``, ``"does not support"``, ``"inconclusive"`` or ``"assumption-dependent"``."""
        return self.judged.verdict.value

    @property
    def claim(self) -> str:
        """The claim that is tested."""
        return self.judged.table.claim

    @cached_property
    def table(self) -> pa.Table:
        """One row per criterion: readout, arms, effect with its 95 % interval, p-value and verdict."""
        import pyarrow as pa

        from exoabm.batch.trials.trial_folder import summary

        return pa.Table.from_pylist(summary(self.judged)["criteria"])

    @cached_property
    def values(self) -> pa.Table:
        """One row per arm, seed and readout: ``arm, seed, readout, value``."""
        import pyarrow as pa

        names = ("arm", "seed", "readout", "value")
        rows = (
            (arm, seed, readout, value)
            for arm, readouts in self.judged.values.items()
            for readout, values in readouts.items()
            for seed, value in zip(self.judged.seeds, values.tolist(), strict=True)
        )
        return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows])

    def at(self, arm: str) -> Replicates:
        """The replicates of an arm, with plots of their means."""
        return Replicates(f"{self.folder}@arm={arm}", self)

    def plot(self, *readouts: str, ax: Axes | None = None) -> Axes:
        """Draw a readout of every replicate by arm, with the mean and its 95 % interval.

        Parameters
        ----------
        readouts : str
            Name of a readout of the trial; by default that of the first criterion.
        ax : matplotlib.axes.Axes, optional
        """
        from exoabm.export.type_exchange import mean_and_half
        from exoabm.plot.figure_page import name_lines, rule
        from exoabm.plot.palette import COOL, INK

        known = {each.name: each for each in self.judged.table.readout}
        name = readouts[0] if readouts else self.judged.table.criterion[0].readout
        if name not in known or len(readouts) > 1:
            raise InputError(f"no readout {name!r}{did_you_mean(name, known)}; one of {', '.join(known)}")
        arms = list(self.judged.values)
        with new_axes(ax) as ax:
            for place, arm in enumerate(arms):
                values = self.judged.values[arm][name]
                mean, half = mean_and_half(values)
                ax.plot(np.full(len(values), place), values, "o", ms=3, mfc="none", mec=COOL[0], alpha=0.6)
                ax.errorbar(place, mean, np.nan_to_num(half), fmt="D", ms=4, color=INK, capsize=3)
            ax.set_xticks(range(len(arms)), [name_lines(arm) for arm in arms])
            ax.set(xlabel="arm", xlim=(-0.5, len(arms) - 0.5))
            unit = known[name].unit
            ax.set_ylabel(f"{name.replace('_', ' ')}{f' ({unit})' if unit else ''}")
            rule(ax)
        return ax
