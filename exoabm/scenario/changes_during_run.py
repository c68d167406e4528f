"""Changes between two steps of a run: rates, probabilities and saturations, which each step reads anew.

The results of earlier steps (places of cells, sizes of vesicles, initial contents), the recording and the
duration are fixed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from exoabm.cells.uptake import change_rates
from exoabm.errors import InputError, did_you_mean
from exoabm.output import checkpoint
from exoabm.scenario.overrides import literal, text_of
from exoabm.scenario.schema_base import quantities
from exoabm.scenario.state_builder import blueprint, build_state
from exoabm.scenario.therapy_builder import make_protocol
from exoabm.state import OUTSIDE, Resolution

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exoabm.random_streams import Streams
    from exoabm.scenario.loader import LoadedScenario
    from exoabm.state import State
    from exoabm.therapy.treatment_protocol import TreatmentProtocol

OPEN = (
    *(
        f"cell_type.*.{key}"
        for key in (
            "release_rate ilvs_per_mvb uptake_rate saturation delivery_probability recycling_probability "
            "division_rate death_rate motility persistence transformation.rate mvb.fate_rate "
            "mvb.secretory_fraction waste.* follows.speed follows.half_max follows.hill climbs.coefficient "
            "holds.*.production holds.*.replication holds.*.clearance holds.*.export behavior.*"
        ).split()
    ),
    *(
        f"vesicle.*.{key}"
        for key in (
            "half_life binding_rate unbinding_rate internalization_rate processing_rate "
            "recycling_probability delivery_probability"
        ).split()
    ),
    "response.*.half_max",
    "response.*.hill",
    "response.*.to",
    "transport.hindrance",
    "transport.viscosity",
    "transport.temperature",
)
"""Keys that may change, as patterns."""


@dataclass(frozen=True)
class StepChange:
    """A value changed between steps: model time in s, dotted key, the value as text and the one before."""

    time_s: float
    key: str
    value: str
    before: str

    def row(self) -> dict[str, Any]:
        """As in ``run.json``."""
        return asdict(self)


def changed_between_steps(
    loaded: LoadedScenario, time_s: float, key: str, value: object
) -> tuple[LoadedScenario, StepChange]:
    """The scenario from a model time on, and the record of its change.

    Raises
    ------
    InputError
        If the key is unknown or fixed, or the value is not allowed.
    """
    known = dict(quantities(loaded.scenario))
    able = [name for name in known if any(fnmatchcase(name, pattern) for pattern in OPEN)]
    if key not in able:
        if key in known:
            raise InputError(f"{key} cannot change between steps; those that can: {', '.join(able)}")
        raise InputError(f"{key}: no number of this scenario{did_you_mean(key, able)}")
    text, unit = text_of(value, key), known[key].parameter.unit
    number = literal(text)
    if isinstance(number, int | float) and not isinstance(number, bool) and unit != "1":
        text = f"{number} {unit}"
    return loaded.changed({key: text}), StepChange(time_s, key, text, str(known[key]))


def check_step_changes(
    loaded: LoadedScenario, changes: Sequence[tuple[float, str, str]], end_s: float
) -> None:
    """Refuse changes of a run before it begins.

    Raises
    ------
    InputError
        As ``changed_between_steps``, or for a time outside the run.
    """
    for time, key, value in changes:
        if not 0 <= time < end_s:
            hours, end = time / 3600, end_s / 3600
            raise InputError(f"{key}: a change at {hours:g} h is outside the run, which ends at {end:g} h")
        loaded, _ = changed_between_steps(loaded, time, key, value)


def with_step_changes(loaded: LoadedScenario, changes: Sequence[StepChange]) -> LoadedScenario:
    """The scenario of a run folder after changes between steps; its tables stay where they are."""
    if not changes:
        return loaded
    return replace(loaded, overrides=()).changed({each.key: each.value for each in changes})


def state_with_change(
    loaded: LoadedScenario, key: str, before: State, streams: Streams
) -> tuple[State, TreatmentProtocol | None]:
    """State and protocol of a run that goes on with a changed scenario; what the run has become stays.

    Raises
    ------
    InputError
        Naming the key, if a cell type would begin to release vesicles that has no label of origin.
    """
    plan = blueprint(loaded, streams.seed)
    if new := set(plan.labels.types) - {*before.labels.types, *OUTSIDE}:
        who = "no cell" if plan.labels.resolution is Resolution.NONE else f"{', '.join(new)}, which"
        raise InputError(f"{key}: {who} has released vesicles before, so there is no label of origin")
    state = build_state(loaded, plan, streams)
    protocol = make_protocol(loaded, state)
    checkpoint.restore(state, checkpoint.snapshot(before))
    if state.labels.resolution is Resolution.NONE:  # also those that only now begin to release
        state.labels = state.labels.follow(state.cells, state.types)
    change_rates(state, before.kinds)
    at_rest = state.base[state.cells.type] != before.base[state.cells.type]
    state.cells.behavior[at_rest] = state.base[state.cells.type][at_rest]
    state.warnings.extend(text for text in plan.warnings if text not in state.warnings)
    return state, protocol
