"""Discretization error of readouts, from the same run with shorter steps and smaller voxels.

    q(dt) = q_0 + C dt^p,    p = log2((q(dt) - q(dt/2)) / (q(dt/2) - q(dt/4)))

With the step the medium's own sub-step is halved, by ``transport.courant``: it is dt over a whole number, and
would not follow otherwise. Where chance is in a run, shorter steps have other draws; the differences are then
means over seeds, and are given with their standard errors.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.batch.execution.plan import replicate_seeds
from exoabm.batch.execution.run_readouts import measure
from exoabm.cells.responses import by_chance
from exoabm.errors import InputError, ResourceError
from exoabm.model import ExosomeModel
from exoabm.scenario.state_builder import blueprint
from exoabm.tables.readouts import resolve
from exoabm.transport.grid_discretization import choose_courant, hop_limit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from exoabm.scenario.loader import LoadedScenario

    Values = dict[str, float | None]

ROUNDING = 1e-9
"""Relative difference below which two runs are the same."""
NOTHING = 1e-9
"""Readouts that are less at every step are 0 but for rounding, in counts and copies."""
CLEAN = (0.6, 2.6)
"""Observed orders p that are consistent with the law above; for others the three steps follow none."""
SURE = 2.0
"""Standard errors by which a difference must leave zero to be one, under chance."""
AFFORDABLE = 600.0
"""Longest estimated time of the run with smaller voxels, s."""
RANDOM = ("division_rate", "death_rate", "transformation_rate", "motility")
"""Behaviors that act by chance in both engines."""


@dataclass(frozen=True)
class Converged:
    """One readout and its errors.

    Attributes
    ----------
    name : str
    value : float
        As the scenario stands, the mean over seeds.
    steps : tuple of float
        At the step, half and a quarter of it.
    order : float or None
        p, observed; None where the three values follow no power of the step, or differ by rounding only.
    time_error : float
        q(dt) less what it tends to; where there is no order, at most that, if the next halvings go by the
        first order; under chance the difference to half the step.
    time_uncertainty : float
        Standard error of ``time_error``; 0 without chance in a run.
    voxel_error : float or None
        The same by voxels, 4/3 (q(dx) - q(dx/2)); None where that was not run.
    noise : float or None
        Standard deviation between seeds; None with one seed.
    verdict : str
        ``order``, ``rounding``, ``chance`` or ``no order``.
    """

    name: str
    value: float
    steps: tuple[float, ...]
    order: float | None
    time_error: float
    time_uncertainty: float
    voxel_error: float | None
    noise: float | None
    verdict: str


@dataclass(frozen=True)
class Convergence:
    """Results of ``converge``; ``remarks`` state omissions and their reasons."""

    readouts: tuple[Converged, ...]
    step: float
    voxel: float
    seeds: tuple[int, ...]
    random: bool
    runs: int
    remarks: tuple[str, ...]


def converge(
    loaded: LoadedScenario,
    *,
    readouts: Sequence[str] = (),
    seed: int = 0,
    seeds: int = 3,
    hours: float | None = None,
    threads: int | None = 1,
    progress: Callable[[float], Any] | None = None,
) -> Convergence:
    """Run a scenario at three steps and, where affordable, two voxels.

    Parameters
    ----------
    readouts : sequence of str
        Names of ``batch.execution.run_readouts.measure``; all that the first run has if empty.
    seed, seeds : int
        The first seed, and how many: the scenario as it is runs with each, shorter steps and smaller voxels
        too where chance is in a run, else with the first.
    hours : float, optional
        Model time; the scenario's duration if None.

    Raises
    ------
    InputError
        If a readout is none of this scenario.
    ResourceError, NumericalError
        As a run would.
    """
    numbers = tuple(replicate_seeds(seed, seeds))
    random = _random(loaded)
    every = numbers if random else numbers[:1]
    voxel, remark = _smaller_voxel(loaded, hours, len(every))
    levels = [(_shorter(loaded, k), numbers if k == 0 else every) for k in range(3)]
    levels += [] if voxel is None else [(voxel, every)]
    total = sum(len(chosen) for _, chosen in levels)
    found: list[list[Values]] = []
    done = 0

    def update(share: float) -> None:
        if progress is not None:
            progress((done + share) / total)

    names: list[str] = []
    for level, chosen in levels:
        rows = []
        for number in chosen:
            rows.append(_run(level, number, hours, threads, update))
            done += 1
            if not found and len(rows) == 1:
                names = _checked(readouts, rows[0])
        found.append(rows)
    names = names or [name for name, value in found[0][0].items() if value is not None]
    table, undefined = _judged(names, found)
    remarks = [remark] if remark else []
    if undefined:
        remarks.append(f"not defined in every run: {', '.join(undefined)}")
    scenario = loaded.scenario
    return Convergence(
        tuple(table),
        float(scenario.clock.step),
        float(scenario.domain.voxel),
        numbers,
        random,
        total,
        tuple(remarks),
    )


def _judged(names: Sequence[str], found: Sequence[Sequence[Values]]) -> tuple[list[Converged], list[str]]:
    """The readouts that are defined in every run, judged, and the names of the others.

    ``found`` has the runs at three steps and, where there is a fourth entry, with smaller voxels.
    """
    table, undefined = [], []
    for name in names:
        values = [[row.get(name) for row in rows] for rows in found]
        if any(value is None or not math.isfinite(value) for rows in values for value in rows):
            undefined.append(name)
            continue
        steps = [np.array(rows, float) for rows in values[:3]]
        table.append(_judge(name, steps, np.array(values[3], float) if len(values) > 3 else None))
    return table, undefined


def plain(found: Convergence) -> dict[str, Any]:
    """The same for JSON; lengths in um, times in s."""
    return {
        "step_s": found.step,
        "voxel_um": found.voxel,
        "seeds": list(found.seeds),
        "chance_in_runs": found.random,
        "runs": found.runs,
        "readouts": {
            row.name: {key: value for key, value in asdict(row).items() if key != "name"}
            for row in found.readouts
        },
        "remarks": list(found.remarks),
    }


def _random(loaded: LoadedScenario) -> bool:
    """Whether two runs of one seed with other steps draw other numbers."""
    state = ExosomeModel(loaded, seed=0).state
    moved = any(name in state.behaviors and state.behavior(name).any() for name in RANDOM)
    return by_chance(state) or state.living or moved


def _shorter(loaded: LoadedScenario, halvings: int) -> LoadedScenario:
    """The scenario with a step that was halved so often, and the medium's sub-step with it."""
    if halvings == 0:
        return loaded
    scenario, part = loaded.scenario, 0.5**halvings
    changes = {"clock.step": f"{float(scenario.clock.step) * part!r} s"}
    transport = scenario.transport
    if not transport.at_membranes:
        if transport.courant is None:
            domain = blueprint(loaded, seed=0).domain
            courant = choose_courant(domain)
            if transport.follows_vesicles:
                courant = min(courant, hop_limit(domain))
        else:
            courant = float(transport.courant)
        changes["transport.courant"] = repr(courant * part)
    return loaded.changed(changes)


def _smaller_voxel(
    loaded: LoadedScenario, hours: float | None, runs: int
) -> tuple[LoadedScenario | None, str]:
    """The scenario with half the voxel, or None and why that is not run."""
    half = float(loaded.scenario.domain.voxel) / 2
    try:
        finer = loaded.changed({"domain.voxel": f"{half!r} um"})
        guess = blueprint(finer, seed=0).estimate
    except (InputError, ResourceError) as error:
        return None, f"voxels of {half:g} um were not run: {error}"
    share = 1.0 if hours is None else hours * 3600 / float(loaded.scenario.clock.duration)
    seconds = runs * share * guess.row_seconds
    if seconds > AFFORDABLE:
        return None, (
            f"voxels of {half:g} um were not run: they would take about {seconds:.0f} s, and "
            f"{AFFORDABLE:.0f} s are allowed"
        )
    return finer, ""


def _run(
    loaded: LoadedScenario,
    seed: int,
    hours: float | None,
    threads: int | None,
    update: Callable[[float], None],
) -> Values:
    model = ExosomeModel(loaded, seed=seed, threads=threads)
    model.run(hours, progress=update)
    return measure(model)


def _checked(readouts: Sequence[str], known: Values) -> list[str]:
    """Readouts as tables write them."""
    try:
        return [resolve(name, known, "readout of this scenario") for name in readouts]
    except InputError as error:
        raise InputError(f"--readout {error}\nthere are: {', '.join(known)}") from None


def _judge(name: str, steps: list[np.ndarray], finer: np.ndarray | None) -> Converged:
    """The errors of one readout from its values, (seeds,) each, at three steps and with smaller voxels."""
    n = len(steps[1])
    a, b, c = (values[:n] for values in steps)
    first, second = a - b, b - c
    q = tuple(float(values.mean()) for values in (a, b, c))
    d1, d2 = float(first.mean()), float(second.mean())
    scale = max(abs(value) for value in q)
    errors = [_standard_error(difference) for difference in (first, second)]
    order: float | None = None
    error, uncertainty = math.copysign(abs(d1) + 2 * abs(d2), d1 + d2), errors[0]
    if max(abs(d1), abs(d2)) <= max(ROUNDING * scale, NOTHING):
        verdict, error = "rounding", 0.0
    elif n > 1 and abs(d1) <= SURE * errors[0]:
        verdict, error = "chance", d1
    elif d1 * d2 > 0 and CLEAN[0] <= math.log2(d1 / d2) <= CLEAN[1]:
        verdict, order = "order", math.log2(d1 / d2)
        error = d1 / (1 - 0.5**order)
        uncertainty = errors[0] / (1 - 0.5**order)
    else:
        verdict = "no order"
    every = steps[0]
    return Converged(
        name=name,
        value=float(every.mean()),
        steps=q,
        order=order,
        time_error=error,
        time_uncertainty=uncertainty,
        voxel_error=None if finer is None else 4 / 3 * float((a[: len(finer)] - finer).mean()),
        noise=float(every.std(ddof=1)) if len(every) > 1 else None,
        verdict=verdict,
    )


def _standard_error(difference: np.ndarray) -> float:
    return float(difference.std(ddof=1) / math.sqrt(len(difference))) if len(difference) > 1 else 0.0
