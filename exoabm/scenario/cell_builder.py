"""Cargo, vesicle kinds and cell types of a scenario: contents of cells, behaviors and responses."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.cargo import HALF_LIVES, Cargo, CargoClass, CargoPool, Molecule
from exoabm.cell_type import (
    Attraction,
    Block,
    CellType,
    Chosen,
    Gift,
    MvbPathway,
    Process,
    Response,
    SecretionMode,
    Sense,
    Silence,
    WasteMetabolism,
    reachable,
)
from exoabm.cells import behaviors
from exoabm.cells.responses import NO_HISTORY, SIGNALS, apply_responses
from exoabm.parameters.catalog import Quantity, mean_diffusivity
from exoabm.parameters.units import internal_unit, to_internal
from exoabm.random_streams import Purpose
from exoabm.scenario.schema_base import record_of
from exoabm.scenario.schema_cells import selected
from exoabm.vesicle import PARTICLES, DeliveryRoute, VesicleKind, enough_classes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exoabm.cells.behaviors import Behavior
    from exoabm.scenario.schema import Scenario
    from exoabm.scenario.schema_cells import CellTypeTable, VesicleTable
    from exoabm.state import State


def cargo_of(scenario: Scenario) -> tuple[Cargo, ...]:
    """Every cargo of a scenario, sorted by name."""
    cargos = []
    for table in sorted(scenario.cargo, key=lambda table: table.name):
        molecule = None if table.molecule is None else Molecule(table.molecule)
        half_life = math.inf
        if table.half_life is not None:
            half_life = float(table.half_life)
        elif molecule in HALF_LIVES:
            half_life = to_internal(HALF_LIVES[molecule], "h")[1]
        decay = math.log(2) / half_life
        cargos.append(
            Cargo(table.name, CargoClass(table.role), table.copies, decay, molecule, table.effect_copies)
        )
    return tuple(cargos)


def vesicle_kinds(scenario: Scenario, cargos: tuple[Cargo, ...]) -> tuple[VesicleKind, ...]:
    """The vesicle kinds of a scenario."""
    cargo = {c.name: c for c in cargos}
    medium = scenario.transport
    kinds = []
    for v in scenario.vesicle:
        free: float | None = v.diffusivity
        if free is None:
            free = mean_diffusivity(v.diameter, v.diameter_gsd, medium.viscosity, medium.temperature)
        kinds.append(
            record_of(
                VesicleKind,
                v,
                name=v.name,
                diffusivity=float(free),
                decay_rate=math.log(2) / v.half_life,
                delivery_route=DeliveryRoute(v.delivery_route),
                particles=PARTICLES[v.comparator].name,
                size_classes=classes_of(v),
                cargo=tuple(
                    cargo[name] if v.copies is None else replace(cargo[name], copies=float(v.copies))
                    for name in v.cargo
                ),
            )
        )
    return tuple(kinds)


def classes_of(vesicle: VesicleTable) -> int:
    """Number of size classes of a vesicle kind: the given one, or as many as its spread requires."""
    gsd, given = float(vesicle.diameter_gsd), vesicle.size_classes
    if gsd == 1 or given is None:
        return enough_classes(gsd)
    return int(given)


def cell_types(
    scenario: Scenario, kinds: tuple[VesicleKind, ...], cargos: tuple[Cargo, ...]
) -> tuple[CellType, ...]:
    """The cell types of a scenario."""
    names = [kind.name for kind in kinds]
    numbers = {t.name: i for i, t in enumerate(scenario.cell_type)}
    types = []
    for t in scenario.cell_type:
        rate, receptors = binding(scenario, t)
        limit = uptake_limit(scenario, t)
        if limit > t.uptake_rate > 0:
            most = limit / float(t.uptake_rate)
            rate, receptors = rate * most, receptors * most
        waste = None
        if t.waste is not None:
            carrier = names.index(t.waste.vesicle)
            copies = sum(c.copies for c in kinds[carrier].cargo if c.role is CargoClass.WASTE)
            waste = record_of(WasteMetabolism, t.waste, vesicle=carrier, copies=copies)
        types.append(
            record_of(
                CellType,
                t,
                name=t.name,
                secretion=SecretionMode(t.secretion),
                releases=None if t.releases is None else names.index(t.releases),
                uptake_rate=rate,
                receptors=receptors,
                waste=waste,
                becomes=None if t.transformation is None else numbers[t.transformation.into],
                attraction=attraction(t, kinds),
                pathway=pathway(t, kinds),
                pools=pools(t, kinds, cargos),
                uptake_limit=limit,
                may_donate=may_donate(scenario, t),
                sharing=sharing(scenario, t),
            )
        )
    return with_potential_donors(tuple(types))


def at_rest(table: CellTypeTable, behavior: Behavior) -> Quantity | None:
    """The value of a behavior in cells of a type without any signal; None if the type does not have it."""
    if behavior.requires and not any(getattr(table, key) for key in behavior.requires):
        return None
    for key, _ in behavior.keys:
        value: Any = table
        for part in key.split("."):
            if isinstance(value, list):
                value = next((item for item in value if item.cargo == part), None)
            elif isinstance(value, dict):
                value = value.get(part)
            else:
                value = getattr(value, part, None)
        if isinstance(value, Quantity):
            return value
    return None


def behaviors_in_use(scenario: Scenario) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the behaviors that are stored, and their values at rest, (types, behaviors)."""
    moved = {row.behavior for row in scenario.response}
    named = [
        each.name
        for each in behaviors.known().values()
        if each.name in moved
        or (each.always_stored and any(at_rest(table, each) is not None for table in scenario.cell_type))
    ]
    names = (*named, *sorted(name for name in moved if name not in behaviors.known()))
    base = np.zeros((len(scenario.cell_type), len(names)))
    for column, name in enumerate(names):
        behavior = behaviors.behavior_of(name)
        assert behavior is not None
        for row, table in enumerate(scenario.cell_type):
            value = at_rest(table, behavior)
            base[row, column] = behavior.if_unnamed if value is None else float(value)
    return names, base


def processes(names: tuple[str, ...]) -> tuple[Process, ...]:
    """The process on which each behavior acts."""
    found = (behaviors.behavior_of(name) for name in names)
    return tuple(Process.OTHER if each is None else each.process for each in found)


def units_of_behaviors(scenario: Scenario, names: tuple[str, ...], types: int) -> tuple[tuple[str, ...], ...]:
    """The unit in which the value of each behavior is stored, per cell type."""
    found = []
    for row in range(types):
        units = []
        for name in names:
            behavior = behaviors.behavior_of(name)
            assert behavior is not None
            table = scenario.cell_type[row] if row < len(scenario.cell_type) else None
            value = None if table is None else at_rest(table, behavior)
            parameter = behavior.keys[0][1] if value is None else value.parameter
            units.append(internal_unit(parameter.unit))
        found.append(tuple(units))
    return tuple(found)


def nothing_at_rest(names: tuple[str, ...]) -> np.ndarray:
    """The behaviors of a cell type that has none of them, (behaviors,)."""
    found = [behaviors.behavior_of(name) for name in names]
    return np.array([0.0 if each is None else each.if_unnamed for each in found])


def with_potential_donors(types: tuple[CellType, ...]) -> tuple[CellType, ...]:
    """The types; those into which cells with multivesicular bodies may transform are potential donors."""
    hold = {i for i, t in enumerate(types) if t.pathway is not None and t.donates}
    reached = reachable(types, hold)
    return tuple(
        replace(t, may_donate=True) if i in reached and t.pathway is not None else t
        for i, t in enumerate(types)
    )


def set_initial_contents(state: State) -> None:
    """Set the initial MVBs, cargo and behaviors of cells."""
    cells = state.cells
    cells.behavior[:] = state.base[cells.type]
    for index, cell_type in enumerate(state.types):
        members = np.flatnonzero(cells.type == index)
        for pool in cell_type.pools:
            cells.cargo[members, pool.cargo] = pool.initial
        way = cell_type.pathway
        if way is None:
            continue
        number = way.initial
        if number is None:
            number = way.formation(cell_type.release_rate, cell_type.ilvs_per_mvb) / way.fate_rate
            if cell_type.secretion is SecretionMode.POISSON:
                who = cells.birth_id[members]
                cells.mvb[members, 0] = state.streams.poisson(Purpose.MVB_START, who, 0, number)
                continue
        cells.mvb[members, 0] = number
    if state.responses:
        cells.feedback = np.tile(NO_HISTORY, (*cells.behavior.shape, 1))
        apply_responses(state, state.time)


def responses(scenario: Scenario, names: tuple[str, ...], cargos: tuple[Cargo, ...]) -> tuple[Response, ...]:
    """The rows of ``[[response]]`` with indices in place of names."""
    types = [table.name for table in scenario.cell_type]
    index = {
        "cargo": [cargo.name for cargo in cargos],
        "vesicle": [table.name for table in scenario.vesicle],
    }
    return tuple(
        record_of(
            Response,
            row,
            cell_type=types.index(row.cell_type),
            signal=row.word,
            of=index[SIGNALS[row.word].of].index(row.of) if row.of else -1,
            behavior=names.index(row.behavior),
            raises=row.increases is not None,
            maximum=float(row.to),
        )
        for row in scenario.response
    )


def silences(scenario: Scenario) -> tuple[Silence, ...]:
    """The active rows of ``[[silence]]`` with indices in place of names."""
    found = []
    for row in scenario.silence:
        word, names = selected(row.of)
        step, begins, kind = Block(row.step), float(row.start), -1
        donor = recipient = None
        if word == "vesicle":
            kind = [table.name for table in scenario.vesicle].index(names[0])
        elif word == "edge":
            donor, recipient = (_chosen(scenario, name) for name in names)
        elif step is Block.RELEASE:
            donor = _chosen(scenario, names[0])
        else:
            recipient = _chosen(scenario, names[0])
        if row.active:
            found.append(Silence(step, begins, donor, recipient, kind))
    return tuple(found)


def gifts(scenario: Scenario, cargos: tuple[Cargo, ...]) -> tuple[Gift, ...]:
    """The active rows of ``[[give]]``."""
    index = [cargo.name for cargo in cargos]
    return tuple(
        record_of(Gift, row, to=_chosen(scenario, selected(row.to)[1][0]), cargo=index.index(row.cargo))
        for row in scenario.give
        if row.active
    )


def _chosen(scenario: Scenario, name: str) -> Chosen:
    if name.isdecimal():
        return Chosen(cell=int(name))
    return Chosen(cell_type=[table.name for table in scenario.cell_type].index(name))


def uptake_limit(scenario: Scenario, table: CellTypeTable) -> float:
    """The highest uptake rate that responses can give the cells of a type, um^3/s."""
    raised = [
        float(row.to)
        for row in scenario.response
        if row.cell_type == table.name and row.increases == "uptake_rate"
    ]
    return max([float(table.uptake_rate), *raised])


def may_donate(scenario: Scenario, table: CellTypeTable) -> bool:
    """Whether some response can make cells of a type release vesicles."""
    return any(
        row.cell_type == table.name
        and row.to > 0
        and row.increases is not None
        and processes((row.increases,)) == (Process.RELEASE,)
        for row in scenario.response
    )


def binding(scenario: Scenario, table: CellTypeTable) -> tuple[np.ndarray, np.ndarray]:
    """Uptake rate constant k_a and number of receptors R of a type for each vesicle kind, both (K,).

        k_a = R k_on,    Km = (k_off + k_int) / k_on

    so that uptake is at most R (k_off + k_int), of all kinds together that share them. A kind without a
    receptor here is taken up at the type's own k_a and Km if it is listed in ``takes_up``, which give it
    R = Km k_a / (k_off + k_int), infinite if it never leaves the surface; else not at all.
    """
    rate, number = np.zeros(len(scenario.vesicle)), np.full(len(scenario.vesicle), np.inf)
    receptors = {receptor.name: receptor.number for receptor in table.receptor}
    for k, vesicle in enumerate(scenario.vesicle):
        if vesicle.ligand in receptors:
            rate[k] = receptors[vesicle.ligand] * vesicle.binding_rate
            number[k] = receptors[vesicle.ligand] if rate[k] > 0 else np.inf
        elif vesicle.name in table.takes_up:
            rate[k] = float(table.uptake_rate)
            onward = float(vesicle.unbinding_rate + vesicle.internalization_rate)
            if rate[k] > 0 and onward > 0:
                number[k] = float(table.saturation) * rate[k] / onward
    return rate, number


def receptor_warnings(scenario: Scenario, types: tuple[CellType, ...]) -> Iterator[str]:
    """Warnings of saturations that correspond to less than one receptor per cell, or to none."""
    for table, cell_type in zip(scenario.cell_type, types, strict=False):
        for k, vesicle in enumerate(scenario.vesicle):
            key, number = f"cell_type.{table.name}.saturation", float(cell_type.receptors[k])
            if cell_type.uptake_rate[k] <= 0:
                continue
            stays = vesicle.unbinding_rate + vesicle.internalization_rate == 0
            if stays and vesicle.ligand is None and math.isfinite(table.saturation):
                yield (
                    f"{key} is not used: {vesicle.name} never leaves the surface of a cell, so "
                    "that no number of receptors, Km k_a / (k_off + k_int), follows, and uptake is linear"
                )
            elif number < 1 and scenario.transport.follows_vesicles:
                yield (
                    f"{key} = {table.saturation} corresponds to {number:.2g} receptors for {vesicle.name}: a "
                    "cell has one with this probability, or none. Fields use the number itself"
                )


def sharing(scenario: Scenario, table: CellTypeTable) -> tuple[tuple[int, ...], ...]:
    """Vesicle kinds that bind by the same receptors of a type, a group for each receptor of several kinds."""
    ligands = [vesicle.ligand for vesicle in scenario.vesicle]
    groups = [[k for k, name in enumerate(ligands) if name == r.name] for r in table.receptor]
    return tuple(tuple(group) for group in groups if len(group) > 1)


def pathway(table: CellTypeTable, kinds: tuple[VesicleKind, ...]) -> MvbPathway | None:
    """The pool of multivesicular bodies of a type, if it has one."""
    if table.mvb is None:
        return None
    names = [kind.name for kind in kinds]
    sorting = [(names.index(s.vesicle), float(s.share)) for s in table.mvb.sorting]
    if not sorting:
        assert table.releases is not None
        sorting = [(names.index(table.releases), 1.0)]
    initial = None if table.mvb.number is None else float(table.mvb.number)
    return record_of(MvbPathway, table.mvb, initial=initial, sorting=tuple(sorting))


def pools(
    table: CellTypeTable, kinds: tuple[VesicleKind, ...], cargos: tuple[Cargo, ...]
) -> tuple[CargoPool, ...]:
    """Metabolism of the cargo of a cell type."""
    names = [kind.name for kind in kinds]
    number = {cargo.name: c for c, cargo in enumerate(cargos)}
    copies = {(kind.name, cargo.name): cargo.copies for kind in kinds for cargo in kind.cargo}
    return tuple(
        record_of(
            CargoPool,
            held,
            cargo=number[held.cargo],
            vesicle=None if held.vesicle is None else names.index(held.vesicle),
            copies=0.0 if held.vesicle is None else copies[held.vesicle, held.cargo],
        )
        for held in table.holds
    )


def attraction(table: CellTypeTable, kinds: tuple[VesicleKind, ...]) -> Attraction | None:
    """Chemotaxis of a cell type, if it has one."""
    names = [kind.name for kind in kinds]
    if table.climbs is not None:
        return Attraction(names.index(table.climbs.vesicle), Sense.GRADIENT, float(table.climbs.half_max))
    if table.follows is not None:
        kind = names.index(table.follows.vesicle)
        return record_of(Attraction, table.follows, vesicle=kind, sense=Sense.CAPTURES)
    return None
