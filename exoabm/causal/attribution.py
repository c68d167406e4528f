"""Attribution: the causal effect of each donor, or donor type, on a readout, and its released vesicles.

    one at a time   effect_i = R(all) - R(all but i)
    Shapley         effect_i = mean over random orders of R(those before i and i) - R(those before i)
    adjoint         effect_i = sum_m n_im e_im . g_m          (linear uptake, without a run)

Runs of one seed share all draws, so that an effect is the difference of two runs with the same chance;
intervals are Student's t over seeds. For Shapley each seed has a random order of its own: the interval holds
both chance and order. One order costs as many runs as one at a time. Where every seed gives the same run, few
donors have exact values, by all coalitions, and the interval for many holds the orders alone. Source:
shapley1953.

R(S) is the readout of a run in which the donors S release; for the adjoint see ``causal.adjoint``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.batch.execution.plan import Plan
from exoabm.batch.execution.row_execution import records
from exoabm.batch.execution.row_journal import sealing
from exoabm.batch.execution.run_readouts import measure as readouts_of
from exoabm.batch.execution.run_readouts import possible
from exoabm.batch.execution.runner import run_or_resume
from exoabm.batch.execution.workers import local
from exoabm.causal.adjoint import effects_without_a_run
from exoabm.causal.coalitions import groups_of, is_deterministic, replicates_of, row_without, runs_of
from exoabm.errors import InputError, RunFailed
from exoabm.manifest import MANIFEST, seal
from exoabm.output.durable_files import atomic_folder, check_room
from exoabm.scenario.schema_cells import selected
from exoabm.tables.declarations import TABLES
from exoabm.tables.readouts import parse, resolve
from exoabm.text_formatting import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from exoabm.batch.execution.workers import Workers
    from exoabm.causal.coalitions import Replicate, Run
    from exoabm.model import ExosomeModel
    from exoabm.scenario.loader import LoadedScenario

DESIGNS = ("one", "shapley", "adjoint")
MEASURE = "exoabm.causal.attribution:measure"
EQUAL_SHARES = 5e-4
"""Difference below which two shares are stated to be the same."""
TABLE, PICTURE = "causal", "causal.png"


@dataclass(frozen=True)
class Attribution:
    """Effects of donors on a readout; ``rows`` as those of ``causal.parquet``, the largest effect first."""

    readout: str
    design: str
    total: float
    rows: tuple[dict[str, Any], ...]

    def frame(self) -> pd.DataFrame:
        """The rows as a table."""
        import pandas as pd

        return pd.DataFrame(self.rows)

    def disagreement(self) -> str:
        """A sentence on the donor whose shares of the effect and of the vesicles sent differ most."""
        known = [row for row in self.rows if row["effect_share"] is not None]
        if not known:
            return "No donor changes this readout."
        worst = max(known, key=lambda row: abs(row["effect_share"] - row["sent_share"]))
        if abs(worst["effect_share"] - worst["sent_share"]) < EQUAL_SHARES:
            return "Every donor has the same share of the effect as of the vesicles sent."
        return (
            f"The shares differ most for {worst['group']}: {100 * worst['sent_share']:.3g} % of the vesicles "
            f"sent, {100 * worst['effect_share']:.3g} % of the effect."
        )


def measure(model: ExosomeModel) -> dict[str, float | None]:
    """The readouts of a run, and for each of its silencings, active or not, what the donors in it sent."""
    found = dict(readouts_of(model))
    state = model.state
    for row in model.scenario.silence:
        word, (name,) = selected(row.of)
        mine = state.cells.birth_id == int(name) if word == "cell" else state.type_names() == name
        found[f"sent[{row.name}]"] = float(state.released[mine].sum())
    return found


def with_few_labels(
    loaded: LoadedScenario, readout: str, seed: int
) -> tuple[LoadedScenario, ExosomeModel, str]:
    """The scenario of the runs, a model of it, and the readout as tables have it.

    The continuum engine then keeps one field for all donors (``transport.provenance`` "none") instead of one
    per donor, unless the readout distinguishes donors or the scenario has silencings. Uptake depends on the
    sum of these fields only, so that readouts differ by rounding alone.
    """
    from exoabm.model import ExosomeModel

    wanted = str(parse(readout))
    if not loaded.scenario.transport.follows_vesicles and not loaded.scenario.silence:
        without = loaded.changed({"transport.provenance": "none"})
        model = ExosomeModel(without, seed=seed)
        if wanted in possible(model):
            return without, model, wanted
    model = ExosomeModel(loaded, seed=seed)
    return loaded, model, resolve(readout, possible(model))


def duration_note(
    loaded: LoadedScenario,
    *,
    readout: str,
    by: str,
    design: str,
    seeds: int,
    seed: int,
    hours: float | None,
    jobs: int,
) -> str:
    """How many runs an attribution by runs takes, why not more, and how long, measured."""
    from exoabm.runs.measured_runtime import probe, rounded_duration

    made, model, _ = with_few_labels(loaded, readout, seed)
    groups = len(groups_of(model, by))
    certain = is_deterministic(model)
    replicates = replicates_of(groups, design, seeds, seed, certain=certain)
    runs = len(runs_of(replicates))
    needed = probe(made, hours=hours).row_seconds * runs / jobs
    silenced = f"{'the donor' if groups == 1 else f'each of {groups} donors'} silenced, and none"
    if design == "shapley":
        orders = counted(len(replicates), "random order")
        whole = certain and len(replicates) == 1
        silenced = f"{'all coalitions' if whole else orders} of {counted(groups, 'donor')}"
    note = f"{counted(runs, 'run')} ({silenced}), about {rounded_duration(needed)}"
    if certain:
        note += "; every seed gives the same run, so that one seed is used"
    if made is not loaded:
        note += "; donors share a label, which changes readouts by rounding only"
    return note


def attribute(
    loaded: LoadedScenario,
    out: Path,
    *,
    readout: str,
    by: str = "type",
    design: str = "one",
    seeds: int = 20,
    seed: int = 1,
    hours: float | None = None,
    workers: Workers | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> Attribution:
    """The effect of each donor type, or donor cell, on a readout at the end of a run.

    Parameters
    ----------
    readout : str
        As in ``metrics``, such as ``"delivered_per_cell[recipient]"``.
    by : {"type", "cell"}
    design : {"one", "shapley", "adjoint"}
        One at a time, Shapley values by random orders, or the adjoint of the transfer matrix. One at a time
        and Shapley need ``seeds`` x (groups + 1) runs. Where every seed gives the same run, one at a time
        needs those of one seed, and Shapley all 2^groups coalitions for up to four groups or if these are
        fewer.
    out : Path
        Folder of the runs, ``causal.parquet`` and ``causal.png``; the same call resumes an interrupted one.

    Raises
    ------
    InputError
        If readout, group or design do not apply to the scenario, or ``seeds`` is 1 for Shapley values that
        are not exact.
    RunFailed
        If a run failed.
    """
    from exoabm.model import ExosomeModel

    if design == "adjoint":
        check_room(out, {TABLES[TABLE].file, PICTURE, MANIFEST}, overwrite=overwrite)
        exact = adjoint(ExosomeModel(loaded, seed=seed), readout, by=by, hours=hours)
        with atomic_folder(out, overwrite=overwrite) as partial:
            _written(exact, loaded, partial, "exact, without a run")
            seal(partial)
            return exact
    if design not in DESIGNS:
        raise InputError(f"design {design!r}: must be one of {', '.join(DESIGNS)}")
    loaded, model, readout = with_few_labels(loaded, readout, seed)
    groups = groups_of(model, by)
    if not groups:
        raise InputError(f"{loaded.name}: no cell releases vesicles, so there is nothing to attribute")
    certain = is_deterministic(model)
    replicates = replicates_of(len(groups), design, seeds, seed, certain=certain)
    rows = {run: row_without(*run) for run in runs_of(replicates)}
    base = loaded.extended(
        silence=[{"name": f"s{i}", "of": of, "active": False} for i, of in enumerate(groups)]
    )
    about = {"kind": "causal", "design": design, "groups": list(groups), "seeds": seeds, "seed": seed}
    plan = Plan.of(base, rows.values(), hours=hours, measure=MEASURE, about=about)
    outcome = run_or_resume(plan, out, workers=workers or local(1), overwrite=overwrite, progress=progress)
    if outcome.failed:
        raise RunFailed(f"{outcome.failed} runs failed: {next(iter(outcome.reasons.values()))}")
    of_row = {record["row"]: record["readouts"] for record in records(out, plan)}
    found = {run: of_row[row.name] for run, row in rows.items()}
    n = len(replicates)
    sample = "exact" if certain and n == 1 else f"n = {n}"
    summed = _summed(found, groups, replicates, readout, design)
    with sealing(out):
        _written(summed, loaded, out, sample)
    return summed


def _summed(
    found: Mapping[Run, Mapping[str, float | None]],
    groups: list[str],
    replicates: Sequence[Replicate],
    readout: str,
    design: str,
) -> Attribution:
    shape = (len(replicates), len(groups))
    effect, sent, total = np.zeros(shape), np.zeros(shape), np.zeros(len(replicates))
    for s, (seed, gains) in enumerate(replicates):

        def value(silent: frozenset[int], seed: int = seed) -> float:
            got = found[seed, silent].get(readout)
            return math.nan if got is None else float(got)

        whole = found[seed, frozenset()]
        sent[s] = [whole[f"sent[s{i}]"] or 0.0 for i in range(len(groups))]
        total[s] = value(frozenset())
        for donor, silent, weight in gains:
            effect[s, donor] += weight * (value(silent) - value(silent | {donor}))
    if np.isnan(effect).any():
        raise InputError(f"{readout} is not defined in a run without some donors; choose another readout")
    return _table(groups, sent.mean(axis=0), effect, readout, design, float(total.mean()))


def _table(
    groups: Sequence[str], sent: np.ndarray, effect: np.ndarray, readout: str, design: str, total: float
) -> Attribution:
    """Rows of means and intervals; ``effect`` is (replicates, groups), one of which has no interval."""
    from scipy.special import stdtrit

    n = len(effect)
    mean = effect.mean(axis=0)
    half = np.full(len(groups), math.nan)
    if n > 1:
        half = float(stdtrit(n - 1, 0.975)) * effect.std(axis=0, ddof=1) / math.sqrt(n)
    whole, all_sent = float(np.abs(mean).sum()), float(sent.sum())
    rows = [
        {
            "group": group,
            "readout": readout,
            "sent": float(sent[i]),
            "sent_share": float(sent[i] / all_sent) if all_sent else 0.0,
            "n": n,
            "effect": float(mean[i]),
            "ci95_low": None if math.isnan(half[i]) else float(mean[i] - half[i]),
            "ci95_high": None if math.isnan(half[i]) else float(mean[i] + half[i]),
            "effect_share": float(mean[i] / whole) if whole else None,
        }
        for i, group in enumerate(groups)
    ]
    rows = [rows[i] for i in np.argsort(-np.abs(mean), kind="stable")]
    return Attribution(readout, design, total, tuple(rows))


def _written(found: Attribution, loaded: LoadedScenario, out: Path, sample: str) -> None:
    from exoabm.plot.causal import draw_attribution
    from exoabm.tables.parquet import write_table
    from exoabm.tables.schema import build

    columns = {name: [row[name] for row in found.rows] for name in found.rows[0]}
    write_table(build(TABLES[TABLE], columns), out / TABLES[TABLE].file)
    bars = "no interval" if found.rows[0]["ci95_low"] is None else "bars: 95 % interval"
    draw_attribution(
        out / PICTURE,
        found.rows,
        title=f"{loaded.scenario.info.title}: effect on {found.readout}",
        caption=f"{found.disagreement()} Design: {found.design}; {sample}; {bars}.",
    )


def adjoint(
    model: ExosomeModel, readout: str, *, by: str = "cell", hours: float | None = None
) -> Attribution:
    """Effects of donors on ``taken_up``, ``delivered`` or their means per cell, without a run.

    They count all that the vesicles sent within ``hours`` (the scenario's duration if None) will do, also
    after its end; a run that ends then lacks what is still on its way. Vesicles sent are release rate x time,
    or, of a model that has run, those that it counted.

    Raises
    ------
    InputError
        If uptake saturates, cells answer to what they receive, move, divide or are silenced, or the readout
        is another one.
    """
    state = model.state
    seconds = float(model.scenario.clock.duration) if hours is None else hours * 3600.0
    sent, effect = effects_without_a_run(state, readout, seconds)
    donors = np.flatnonzero(state.labels.of_cell >= 0)
    groups, of = groups_of(model, by), np.arange(len(donors))
    if by != "cell":
        names = [group.partition(":")[2] for group in groups]
        of = np.array([names.index(name) for name in state.type_names()[donors]])
    sums = [np.bincount(of, column[donors], len(groups)) for column in (sent.sum(axis=1), effect)]
    return _table(groups, sums[0], sums[1][None], readout, "adjoint", float(effect.sum()))
