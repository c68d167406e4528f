"""Construction of a model's state from a validated scenario: domain, cells, estimate and engine."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from exoabm.accounting.contact_table import CONTACT_COUNTS, MEMBRANE_COUNTS, ContactTable
from exoabm.accounting.mass_balance import MassBalance, WasteBalance
from exoabm.cell_type import CellType, Mechanics, Process, SecretionMode, reachable
from exoabm.domain import Domain
from exoabm.errors import Problem, ResourceError, ScenarioError
from exoabm.readers.options import BYSTANDER
from exoabm.scenario import cell_builder, layouts
from exoabm.scenario.domain_builder import check_courant, domain_of
from exoabm.scenario.grid_accuracy import cut_warnings, grid_warnings
from exoabm.scenario.placement import Placed, arrange_groups, check_positions, from_table, grown_cells
from exoabm.scenario.resource_estimate import (
    BYTES_PER_VESICLE,
    Estimate,
    declared_size,
    estimate_run,
)
from exoabm.scenario.schema_base import names_of
from exoabm.scenario.schema_cells import selected
from exoabm.scenario.step_accuracy import coarse_processes, interval_warnings
from exoabm.scenario.therapy_builder import administered_doses, dosed
from exoabm.scenario.unused_keys import without_effect
from exoabm.scenario.vesicle_encounters import captured_rates
from exoabm.state import ANY_CELL, DOSE, RESERVOIR, Cells, Labels, Resolution, State, Trafficking
from exoabm.transport.engine import ENGINES
from exoabm.transport.uptake_stencil import MAX_RADIUS
from exoabm.vesicle import (
    VesicleKind,
    Vesicles,
    cargo_names,
    copies_type,
    most_classes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exoabm.random_streams import Streams
    from exoabm.scenario.loader import LoadedScenario
    from exoabm.scenario.schema import Scenario, Transport
    from exoabm.transport.engine import Engine

BYSTANDER_DIAMETER = 15.0
"""um; assumed."""
BALANCE_TOLERANCE = {"float64": 1e-9, "float32": 1e-3}
"""A field in single precision drifts by about 1e-4 of its mass over 1e5 sub-steps."""


@dataclass(frozen=True)
class Blueprint:
    """Everything about a run that is known before its large arrays are allocated."""

    domain: Domain
    kinds: tuple[VesicleKind, ...]
    types: tuple[CellType, ...]
    position: np.ndarray
    type_index: np.ndarray
    labels: Labels
    estimate: Estimate
    warnings: tuple[str, ...]
    step: float
    """Longest step in s, up to that of the scenario, which is short enough for all processes."""
    placed: Placed | None = None


def blueprint(loaded: LoadedScenario, seed: int) -> Blueprint:
    """Resolve a scenario to cells and grid, and estimate the resources of its run.

    Raises
    ------
    InputError
        If the scenario contradicts itself.
    ResourceError
        If the grid alone exceeds the memory of this machine; nothing large is allocated before.
    """
    scenario = loaded.scenario
    kinds, types = kinds_and_types(scenario)
    domain, position, names, placed = _place_cells(loaded, types, seed)
    if BYSTANDER in names and BYSTANDER not in {t.name for t in types}:
        types = (*types, _bystander(len(kinds)))
    index_of = {t.name: i for i, t in enumerate(types)}
    type_index = np.array([index_of[name] for name in names], dtype=np.int16)
    radii = np.array([t.diameter / 2 for t in types])[type_index]
    overlap = layouts.overlaps(position, radii, domain.period)
    if overlap.cells and scenario.transport.at_membranes:
        problem = Problem(
            "transport.capture",
            "'membrane'",
            f"{overlap.cells} cells overlap, and a membrane needs room around it",
            "use capture = 'voxel' for tissue in which cells touch",
        )
        raise ScenarioError(loaded.name, [problem])
    if not scenario.transport.at_membranes:
        _check_resolution(loaded, domain, types, type_index)
    count = census(types, type_index)
    warnings = list(loaded.cautions)
    if placed is not None:
        warnings.extend(placed.table.warnings)
    if overlap.cells:
        warnings.append(
            f"{overlap.cells} of {len(position)} cells are closer to a neighbor than their diameters "
            f"allow (least distance {overlap.least_distance:.3g} um); their positions are not changed"
        )
    decay = {cargo.name: cargo.decay_rate for cargo in cell_builder.cargo_of(scenario)}
    warnings.extend(without_effect(scenario, dict(loaded.overrides)))
    warnings.extend(interval_warnings(scenario))
    warnings.extend(cell_builder.receptor_warnings(scenario, types))
    warnings.extend(_inert(loaded, domain, types, type_index))
    warnings.extend(cut_warnings(domain, types, type_index))
    warnings.extend(grid_warnings(scenario.transport, domain, kinds, types, type_index, position))
    coarse = coarse_processes(scenario, domain, kinds, types, count, decay)
    warnings.extend(map(str, coarse))
    labels = _labels(scenario, domain, types, type_index)
    _check_selections(loaded, labels, len(position), grows=Process.TURNOVER in _processes(scenario))
    rate = sum(t.release_rate * count.get(t.name, 0) for t in types if t.donates)
    grown = grown_cells(scenario, domain, count)
    takers = {t.name: count.get(t.name, 0) for t in types if any(t.uptake_rate)}
    estimate = estimate_run(
        scenario,
        domain,
        grown,
        len(labels),
        rate * (grown / max(len(position), 1)),
        grown_cells(scenario, domain, takers),
        dosed(loaded, domain, kinds),
        captured_rates(domain, kinds, types, count, rate),
    )
    estimate.check_memory()
    step = min([float(scenario.clock.step), *(each.step for each in coarse)])
    return Blueprint(
        domain, kinds, types, position, type_index, labels, estimate, tuple(warnings), step, placed
    )


def _place_cells(
    loaded: LoadedScenario, types: tuple[CellType, ...], seed: int
) -> tuple[Domain, np.ndarray, np.ndarray, Placed | None]:
    """The domain, positions (n, 3) and type names (n,) of the cells, and their table if they have one."""
    scenario = loaded.scenario
    fitted, listed = scenario.domain.size == "fit", scenario.layout.table is not None
    if fitted and not listed:
        problem = Problem("domain.size", "'fit'", "only a layout with a table can be fitted")
        raise ScenarioError(loaded.name, [problem])
    if not fitted:
        domain = domain_of(loaded, None)
        estimate_run(scenario, domain, *declared_size(scenario)).check_memory()
    placed = from_table(loaded) if listed else None
    if placed is not None:
        position, names = placed.position, placed.names
    else:
        position, names = arrange_groups(loaded, domain, types, seed)
    if fitted:
        domain = domain_of(loaded, position)
        with _with_outliers(placed):
            estimate_run(scenario, domain, len(position), declared_size(scenario)[1]).check_memory()
    check_courant(loaded, domain)
    check_positions(loaded, domain, position, None if placed is None else placed.table.rows)
    if placed is not None:
        placed.check()
    if domain.dim == 2:
        position[:, 2] = domain.low[2] + domain.thickness / 2
    return domain, position, names, placed


def kinds_and_types(scenario: Scenario) -> tuple[tuple[VesicleKind, ...], tuple[CellType, ...]]:
    """The vesicle kinds and cell types of a scenario."""
    cargos = cell_builder.cargo_of(scenario)
    kinds = cell_builder.vesicle_kinds(scenario, cargos)
    return kinds, cell_builder.cell_types(scenario, kinds, cargos)


@contextlib.contextmanager
def _with_outliers(placed: Placed | None) -> Iterator[None]:
    """Name the outlying cells of a table whose domain is too large."""
    try:
        yield
    except ResourceError as error:
        why = "; ".join(placed.table.warnings) if placed else ""
        raise ResourceError(f"{error}; {why}" if why else str(error)) from None


def _processes(scenario: Scenario) -> tuple[Process, ...]:
    return cell_builder.processes(cell_builder.behaviors_in_use(scenario)[0])


def _check_selections(loaded: LoadedScenario, labels: Labels, cells: int, *, grows: bool) -> None:
    """Refuse silenced or given cells that do not exist, and edges whose donor cell is not known."""
    scenario = loaded.scenario
    for key, text in (
        *((f"silence.{row.name}.of", row.of) for row in scenario.silence),
        *((f"give.{row.name}.to", row.to) for row in scenario.give),
    ):
        word, names = selected(text)
        beyond = [name for name in names if name.isdecimal() and int(name) >= cells]
        if beyond and not grows:
            fault = f"no cell has the birth id {beyond[0]}; there are 0 to {cells - 1}"
            raise ScenarioError(loaded.name, [Problem(key, repr(text), fault)])
        if word != "edge" or scenario.transport.follows_vesicles or labels.resolution is Resolution.CELL:
            continue
        if labels.resolution is Resolution.NONE:
            hint = "set transport.provenance = 'cell_type' or 'cell'"
            fault = "with transport.provenance = 'none' vesicles have no origin"
            raise ScenarioError(loaded.name, [Problem(key, repr(text), fault, hint)])
        if names[0].isdecimal():
            hint = "set transport.provenance = 'cell' or transport.engine = 'vesicles', or name a type"
            fault = "expected numbers of vesicles keep the type of their donor only"
            raise ScenarioError(loaded.name, [Problem(key, repr(text), fault, hint)])


def _inert(
    loaded: LoadedScenario, domain: Domain, types: tuple[CellType, ...], type_index: np.ndarray
) -> Iterator[str]:
    """Warnings that no vesicle is ever released or dosed, no cell takes vesicles up, or none responds."""
    present = [types[i] for i in reachable(types, set(type_index.tolist()))]
    if not (
        any(t.donates for t in present) or domain.opens_to_reservoir or administered_doses(loaded.scenario)
    ):
        yield f"no cell releases vesicles ({_mapped(present)}), and there is no other source of vesicles"
    if not any(t.uptake_limit > 0 and t.uptake_rate.any() for t in present):
        yield f"no cell takes vesicles up ({_mapped(present)})"
    names = {t.name for t in present}
    rows = loaded.scenario.response
    for name, row in zip(names_of(rows), rows, strict=True):
        if row.cell_type not in names:
            yield f"response.{name} has no effect: there is no cell of the type {row.cell_type}"


def _mapped(present: list[CellType]) -> str:
    return ", ".join(sorted(t.name for t in present))


def build_state(loaded: LoadedScenario, plan: Blueprint, streams: Streams) -> State:
    """Allocate the state of a run from its blueprint."""
    scenario, domain = loaded.scenario, plan.domain
    n, k, size = len(plan.position), len(plan.kinds), len(plan.labels)
    dtype = np.dtype(scenario.transport.precision)
    each = scenario.transport.follows_vesicles
    carried = cargo_names(plan.kinds)
    most = int(plan.estimate.allowed_bytes / BYTES_PER_VESICLE)
    columns = (*CONTACT_COUNTS, *(f"copies_delivered_{name}" for name in carried))
    behaviors, base = cell_builder.behaviors_in_use(scenario)
    processes = cell_builder.processes(behaviors)
    if Process.TURNOVER in processes:
        columns = (*columns, *MEMBRANE_COUNTS.values())
    cargos = cell_builder.cargo_of(scenario)
    if len(plan.types) > len(base):
        base = np.vstack([base, cell_builder.nothing_at_rest(behaviors)])
    balance = MassBalance(
        tuple(kind.name for kind in plan.kinds),
        plan.labels.names,
        BALANCE_TOLERANCE[scenario.transport.precision],
    )
    pools = int(any(t.pathway is not None for t in plan.types))
    cells = Cells.at(
        plan.position, plan.type_index, cargos=len(cargos), pools=pools, behaviors=len(behaviors)
    )
    state = State(
        domain=domain,
        kinds=plan.kinds,
        types=plan.types,
        cells=cells,
        labels=plan.labels,
        streams=streams,
        fields=[]
        if each
        else [np.zeros((size * kind.size_classes, *domain.shape), dtype) for kind in plan.kinds],
        cargos=cargos,
        behaviors=behaviors,
        processes=processes,
        behavior_units=cell_builder.units_of_behaviors(scenario, behaviors, len(plan.types)),
        base=base,
        mechanics=None if scenario.mechanics is None else Mechanics(float(scenario.mechanics.relaxation)),
        max_cells=float(scenario.domain.max_cells),
        responses=cell_builder.responses(scenario, behaviors, cargos),
        silences=cell_builder.silences(scenario),
        gifts=cell_builder.gifts(scenario, cargos),
        follows_vesicles=each,
        vesicles=Vesicles(len(carried), copies_type(plan.kinds), most),
        contacts=ContactTable(columns, k if each else 0),
        trafficking=Trafficking.empty(n, k, size, 1 if each else most_classes(plan.kinds)),
        balance=balance,
        waste_balance=WasteBalance(),
        released=np.zeros((n, k)),
        warnings=list(plan.warnings),
        source=plan.placed.source if plan.placed else None,
        y_down=plan.placed.table.y_down if plan.placed else scenario.layout.y_axis == "down",
    )
    cell_builder.set_initial_contents(state)
    return state


def make_engine(transport: Transport, state: State, threads: int | None = 1) -> Engine:
    """The transport engine of a scenario."""
    return ENGINES[transport.engine].make(state, transport.capture, transport.courant, threads)


def _bystander(kinds: int) -> CellType:
    """The type of cells that neither release nor take up vesicles."""
    nothing, never = np.zeros(kinds), np.full(kinds, np.inf)
    return CellType(BYSTANDER, BYSTANDER_DIAMETER, SecretionMode.MEAN, None, 0.0, 1.0, nothing, never)


def _labels(
    scenario: Scenario, domain: Domain, types: tuple[CellType, ...], type_index: np.ndarray
) -> Labels:
    """Labels of origins; types or cells that release nothing get none."""
    donates = np.array([t.donates for t in types])
    # Single vesicles record their donor cell, so labels by type suffice.
    each = scenario.transport.follows_vesicles
    resolution = Resolution.CELL_TYPE if each else Resolution(scenario.transport.provenance)
    of_cell = np.full(len(type_index), -1, dtype=np.int64)
    if resolution is Resolution.CELL:
        donors = np.flatnonzero(donates[type_index])
        of_cell[donors] = np.arange(len(donors))
        names = [str(i) for i in donors]
        origin = [types[type_index[i]].name for i in donors]
    elif resolution is Resolution.NONE:
        donors = donates[type_index]
        of_cell[donors] = 0
        names = origin = [ANY_CELL] if donates[list(reachable(types, set(type_index.tolist())))].any() else []
    else:
        reached = reachable(types, set(type_index.tolist()))
        present = [i for i in np.flatnonzero(donates) if i in reached]
        for label, i in enumerate(present):
            of_cell[type_index == i] = label
        names = origin = [types[i].name for i in present]
    if administered_doses(scenario):
        names, origin = [*names, DOSE], [*origin, DOSE]
    if domain.opens_to_reservoir or not names:
        names, origin = [*names, RESERVOIR], [*origin, RESERVOIR]
    return Labels(resolution, tuple(names), tuple(origin), of_cell)


def _check_resolution(
    loaded: LoadedScenario, domain: Domain, types: tuple[CellType, ...], type_index: np.ndarray
) -> None:
    """Refuse cells, also those into which others transform, of more voxels than their stencils can have."""
    for index in sorted(reachable(types, set(np.unique(type_index).tolist()))):
        least = types[index].diameter / 2 / MAX_RADIUS
        if domain.voxel < least:
            problem = Problem(
                "domain.voxel",
                f"{domain.voxel:g} um",
                f"too fine for a {types[index].name} with a diameter of {types[index].diameter:g} um",
                f"use at least {math.ceil(1e3 * least) / 1e3:g} um",
            )
            raise ScenarioError(loaded.name, [problem])


def census(types: tuple[CellType, ...], type_index: np.ndarray) -> dict[str, int]:
    """Number of cells per type name, in the order of the types."""
    count = Counter(type_index.tolist())
    return {t.name: count[i] for i, t in enumerate(types) if count[i]}
