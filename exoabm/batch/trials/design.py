"""The runs of a trial: every arm in every replicate, and the arms that are judged along each assumption.

Replicate r of every arm has the seed base + r, so that two arms share every draw that the mechanism between
them does not touch. What differs between replicates is multiplied by

    exp(s z - s²/2),    s² = ln(1 + CV²),

log-normal with mean 1, where z follows from the seed alone and so is the same in all arms. A swept assumption
changes all arms of the criteria; what an arm itself sets it keeps.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.batch.execution.plan import Plan, Row, seconds_of_row
from exoabm.batch.execution.run_readouts import possible
from exoabm.errors import InputError, did_you_mean, whole_number
from exoabm.model import ExosomeModel
from exoabm.output.metrics import measure as last_row
from exoabm.parameters.catalog import Quantity
from exoabm.random_streams import Purpose, Streams
from exoabm.scenario.loader import shipped
from exoabm.scenario.schema_base import quantities
from exoabm.scenario.therapy_builder import spread

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from exoabm.batch.execution.run_readouts import Readouts
    from exoabm.scenario.loader import LoadedScenario
    from exoabm.scenario.schema_therapy import ArmTable, AssumptionTable, ReadoutTable, TrialTable

BASE_SEED = 1
LARGEST_SEED = 2**62
LARGEST_REPLICATES = 100_000
MEASURE = "exoabm.batch.trials.design:measure"
KIND = "trial"


@dataclass(frozen=True)
class Design:
    """The runs of a trial and their names.

    Attributes
    ----------
    scenario : LoadedScenario
        With what all arms have.
    seeds : tuple of int
        Of the replicates.
    sweeps : tuple
        Assumptions and the values of each, as numbers and as texts.
    """

    scenario: LoadedScenario
    seeds: tuple[int, ...]
    sweeps: tuple[tuple[AssumptionTable, tuple[tuple[float, str], ...]], ...]

    @property
    def trial(self) -> TrialTable:
        """The trial table of the scenario."""
        return trial_of(self.scenario)

    @property
    def arms(self) -> list[ArmTable]:
        """All arms."""
        return self.scenario.scenario.arm

    @property
    def judged(self) -> list[ArmTable]:
        """The arms that a criterion asks for."""
        asked = {name for c in self.trial.criterion for name in (c.arm, c.versus)}
        return [arm for arm in self.arms if arm.name in asked]

    @property
    def swept_seeds(self) -> tuple[int, ...]:
        """Of the replicates at each value of an assumption."""
        return self.seeds[: self.trial.sweep_replicates]

    def rows(self) -> Iterator[Row]:
        """Every run of the trial.

        Raises
        ------
        InputError
            If an arm, a swept value or what differs between replicates is unknown or out of range.
        """
        for arm in self.arms:
            yield from self._replicates(arm, self.seeds, "", {})
        for table, values in self.sweeps:
            for number, (_, text) in enumerate(values):
                for arm in self.judged:
                    changes = dict.fromkeys(table.keys, text)
                    yield from self._replicates(arm, self.swept_seeds, point(table, number), changes)

    def _replicates(
        self, arm: ArmTable, seeds: Iterable[int], where: str, swept: Mapping[str, str]
    ) -> Iterator[Row]:
        changes = {**swept, **{key: text_of(value) for key, value in arm.set.items()}}
        known = dict(quantities(self.scenario.changed(changes).scenario))
        for seed in seeds:
            own = self._between(known, seed)
            yield Row(row_name(arm.name, seed, where), tuple({**changes, **own}.items()), seed)

    def _between(self, known: Mapping[str, Quantity], seed: int) -> dict[str, str]:
        found = {}
        for table in self.trial.between:
            z = Streams(seed).normal(Purpose.REPLICATE, zlib.crc32(table.name.encode()), 0)
            factor = float(spread(float(table.cv), z)[0])
            where = f"{self.scenario.name}: trial.between.{table.name}"
            for key in _known(table.keys, known, where):
                value = known[key].magnitude * factor
                try:
                    Quantity(known[key].parameter, value)
                except InputError as error:
                    raise InputError(f"{where}: {key} of seed {seed}: {error}") from None
                found[key] = repr(value)
        return found


def point(table: AssumptionTable, number: int) -> str:
    """The prefix of the names of runs at the n-th value of an assumption."""
    return f"{table.name}.{number}."


def row_name(arm: str, seed: int, where: str = "") -> str:
    """The name of a run; ``where`` is the value of an assumption that it is at."""
    return f"{where}{arm}-{seed}"


def trial_of(loaded: LoadedScenario) -> TrialTable:
    """The trial of a scenario.

    Raises
    ------
    InputError
        If it has none.
    """
    if loaded.scenario.trial is None or not loaded.scenario.arm:
        raise InputError(f"{loaded.name}: no trial here; a trial needs [trial] and at least two [[arm]]")
    return loaded.scenario.trial


def plan_trial(
    loaded: LoadedScenario,
    *,
    source: str | Path | None = None,
    replicates: int | None = None,
    sweep: bool = True,
    base_seed: int = BASE_SEED,
    keep_runs: bool = False,
) -> Plan:
    """Plan the runs of a trial.

    Parameters
    ----------
    loaded : LoadedScenario
        With ``[trial]`` and ``[[arm]]``. What was overridden by hand stands above what all arms have, and
        below what an arm is.
    source : str or Path, optional
        Source of the scenario.
    replicates : int, optional
        Paired replicates; the trial's own number if not given.
    sweep : bool
        Whether assumptions are swept; without it no verdict is called assumption-dependent.
    base_seed : int
        Seed of the first replicate.
    keep_runs : bool
        Whether the run folder of every replicate is to be kept, not of the first only.

    Raises
    ------
    InputError
        If an arm, a swept value or a readout does not exist or is out of range.
    """
    trial = trial_of(loaded)
    n = trial.replicates if replicates is None else replicates
    n = whole_number("replicates", n, 2, LARGEST_REPLICATES)
    base_seed = whole_number("seed", base_seed, 0, LARGEST_SEED)
    shared = {key: text_of(value) for key, value in trial.set.items()}
    by_hand = dict(loaded.overrides)
    common = loaded.changed({key: text for key, text in shared.items() if key not in by_hand})
    common = replace(common, overrides=tuple((shared | by_hand).items()))
    about = {
        "kind": KIND,
        "source": _argument(loaded) if source is None else str(source),
        "replicates": n,
        "seed": base_seed,
        "sweep": sweep,
        "keep_runs": keep_runs,
    }
    made = _design(common, about)
    rows = tuple(made.rows())
    _check_readouts(made)
    return Plan.of(
        common,
        rows,
        source=source,
        measure=MEASURE,
        seconds_per_row=seconds_of_row(common, None),
        about=about,
        pairs=True,
    )


def design_of(plan: Plan) -> Design:
    """The design that a plan was made of.

    Raises
    ------
    InputError
        If the plan is of another kind of batch.
    """
    if plan.about.get("kind") != KIND:
        raise InputError(f"not a trial but a {plan.about.get('kind', 'batch')}")
    return _design(replace(plan.scenario_of(Row("", (), 0)), overrides=plan.base), plan.about)


def set_by_hand(scenario: LoadedScenario) -> list[tuple[str, str]]:
    """Overrides of a trial's scenario other than ``[trial.set]``."""
    shared = {key: text_of(value) for key, value in trial_of(scenario).set.items()}
    return [(key, text) for key, text in scenario.overrides if shared.get(key) != text]


def text_of(value: Any) -> str:
    """A value as an override has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(f'"{v}"' if isinstance(v, str) else str(v) for v in value) + "]"
    return str(value)


def _argument(loaded: LoadedScenario) -> str:
    """Name or file of a scenario for ``exoabm trial``; for one made in Python, a file to save it to."""
    named = loaded.name in shipped() or loaded.name.endswith(".toml")
    return loaded.name if named else f"{loaded.name}.toml"


def _design(scenario: LoadedScenario, about: Mapping[str, Any]) -> Design:
    sweeps = [(table, _values(scenario, table)) for table in trial_of(scenario).assumption if about["sweep"]]
    return Design(scenario, tuple(range(about["seed"], about["seed"] + about["replicates"])), tuple(sweeps))


def _known(keys: list[str], known: Mapping[str, Quantity], where: str) -> list[str]:
    for key in keys:
        if key not in known:
            raise InputError(f"{where}.keys: no parameter has the key {key!r}{did_you_mean(key, known)}")
    return keys


def _values(loaded: LoadedScenario, table: AssumptionTable) -> tuple[tuple[float, str], ...]:
    """The values of an assumption to sweep: as given, or evenly in the logarithm over the published range."""
    where = f"{loaded.name}: trial.assumption.{table.name}"
    known = dict(quantities(loaded.scenario))
    base = known[_known(table.keys, known, where)[0]]
    parameter = base.parameter
    if table.values:
        read = [Quantity(parameter, value) for value in table.values]
    elif parameter.published is None or parameter.published[0] <= 0:
        raise InputError(f"{where}: {parameter.name} has no published range above 0; give values")
    else:
        read = [Quantity(parameter, float(v)) for v in np.geomspace(*parameter.published, table.points)]
    return tuple((q.magnitude, text_of(q.given)) for q in read if q.magnitude != base.magnitude)


def _check_readouts(made: Design) -> None:
    """Check that every arm can be built and has its readouts, before the first run."""
    from exoabm.batch.trials.design import measure

    for arm in made.arms:
        changes = {key: text_of(value) for key, value in arm.set.items()}
        measure(ExosomeModel(made.scenario.changed(changes), seed=made.seeds[0]))


def measure(model: ExosomeModel) -> Readouts:
    """The readouts of the model's trial; None where a number is not finite.

    Of the recorded times, and of the end where none is recorded there, as in the tables of a run.
    """
    assert model.scenario.trial is not None
    asked, rows, end = model.scenario.trial.readout, model.history.rows, last_row(model.state)
    if rows[-1]["time_h"] != end["time_h"]:
        rows = [*rows, end]
    absent = any(each.metric not in rows[-1] for each in asked)
    known = possible(model, recorded=True) if absent else ()
    found = {each.name: take(each, rows, known) for each in asked}
    return {name: value if math.isfinite(value) else None for name, value in found.items()}


def take(readout: ReadoutTable, rows: Sequence[Mapping[str, float]], known: Collection[str] = ()) -> float:
    """Reduce a column of the metrics to one number; NaN where it needs a row that lacks the column.

    A mean or maximum is that of the later rows where the column is not defined at time 0, as the purity of a
    harvest. ``known`` are columns that the scenario can have, as of a type that has no cells yet or no more.

    Raises
    ------
    InputError
        If there is no such column.
    """
    if readout.metric not in known and not any(readout.metric in row for row in rows):
        raise InputError(
            f"trial.readout.{readout.name}.metric = {readout.metric!r}: no such column in the metrics"
            f"{did_you_mean(readout.metric, rows[-1])}"
        )
    until = np.inf if readout.at is None else float(readout.at) / 3600 * (1 + 1e-9)
    taken = [row for row in rows if row["time_h"] <= until]
    column = np.array([row.get(readout.metric, np.nan) for row in taken])
    if readout.reduce == "last":
        return float(column[-1])
    if len(taken) > 1 and taken[0]["time_h"] == 0 and np.isnan(column[0]):
        taken, column = taken[1:], column[1:]
    if readout.reduce != "time_to" and np.isnan(column).any():
        return np.nan
    if readout.reduce == "max":
        return float(column.max())
    if readout.reduce == "mean":
        return float(column.mean())
    if readout.reduce == "time_of_max":
        return float(taken[int(column.argmax())]["time_h"])
    reached = np.flatnonzero(column >= readout.level)
    return float(taken[reached[0] if len(reached) else -1]["time_h"])
