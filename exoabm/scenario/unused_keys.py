"""Keys of a scenario that no run reads, and the warnings of those that were set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exoabm.cells import behaviors
from exoabm.errors import did_you_mean
from exoabm.scenario.cell_builder import at_rest
from exoabm.scenario.schema_base import as_given, described, is_idle, names_of, needs_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from exoabm.scenario.schema import Scenario


def without_effect(scenario: Scenario, by_hand: Collection[str] = ()) -> Iterator[str]:
    """A sentence for every value other than the default, response, ligand and receptor without an effect.

    Parameters
    ----------
    scenario : Scenario
    by_hand : collection of str
        Dotted keys that were set for this run. Others may stand in a file for other runs, as the count of
        listed points, or a dose that an arm gives.
    """
    unused = unused_keys(scenario)
    moved = {(row.cell_type, row.behavior) for row in scenario.response}
    for entry in described(scenario):
        default = type(entry.table).model_fields[entry.field].get_default(call_default_factory=True)
        if entry.value == default or (getattr(entry.table, "name", ""), entry.field) in moved:
            continue
        if is_idle(entry.table, entry.field):
            needs = " or ".join(needs_of(entry.table, entry.field))
            yield f"{entry.key} = {as_given(entry.value)} has no effect without {needs}"
        elif entry.key in unused and (entry.key in by_hand or _of_dose(entry.key, scenario)):
            yield f"{entry.key} = {as_given(entry.value)} has no effect with the other keys of its table"
    yield from _same_as_at_rest(scenario)
    yield from _unmatched(scenario)


def _of_dose(key: str, scenario: Scenario) -> bool:
    """Whether a key is of a dose that no arm changes."""
    return key.startswith("dose.") and not scenario.arm


def _same_as_at_rest(scenario: Scenario) -> Iterator[str]:
    """Responses to the value that the behavior has without the signal."""
    types = {table.name: table for table in scenario.cell_type}
    for name, row in zip(names_of(scenario.response), scenario.response, strict=True):
        behavior = behaviors.behavior_of(row.behavior)
        rest = None if behavior is None else at_rest(types[row.cell_type], behavior)
        if rest is not None and float(row.to) == float(rest):
            yield f"response.{name} changes nothing: {row.behavior} is {rest} at rest and at full signal"


def _unmatched(scenario: Scenario) -> Iterator[str]:
    """Ligands without a receptor, and receptors without a ligand."""
    ligands = {f"vesicle.{each.name}.ligand": each.ligand for each in scenario.vesicle if each.ligand}
    receptors = {
        f"cell_type.{each.name}.receptor": [receptor.name for receptor in each.receptor]
        for each in scenario.cell_type
    }
    known = dict.fromkeys(name for names in receptors.values() for name in names)
    for key, name in ligands.items():
        if name not in known:
            yield f"{key} = {name!r}: no cell type has this receptor{did_you_mean(name, known)}"
    for key, names in receptors.items():
        for name in names:
            if name not in ligands.values():
                near = did_you_mean(name, dict.fromkeys(ligands.values()))
                yield f"{key} = {name!r}: no vesicle has this ligand{near}"


def unused_keys(scenario: Scenario) -> set[str]:
    """Dotted keys that no run reads: of absent mechanisms, doses not given, listed points, some diameters.

    Also the thickness of a volume, and the kind of capture where vesicles are expected numbers.
    """
    moved = {(row.cell_type, row.behavior) for row in scenario.response}
    each = scenario.transport.follows_vesicles
    found = {entry.key for entry in described(scenario) if is_idle(entry.table, entry.field)}
    found -= {
        f"cell_type.{table.name}.{key}"
        for table in scenario.cell_type
        for key in type(table).model_fields
        if any((table.name, name) in moved for name in (key, *needs_of(table, key)))
    }
    found |= {
        f"layout.group.{group.key}.count" for group in scenario.layout.group if group.points is not None
    }
    if not each:
        found.add("transport.capture")
    if scenario.domain.size != "fit" and len(scenario.domain.size) == 3:
        found.add("domain.thickness")
    for table in scenario.cell_type:
        releases = table.releases is not None or table.mvb is not None
        exports = table.waste is not None
        read = {
            "release_rate": releases,
            "ilvs_per_mvb": releases or (exports and table.secretion == "poisson"),
            "secretion": releases or exports or (each and bool(table.holds)),
            # Receptors have their own rate, which a response moves in proportion to this one.
            "uptake_rate": bool(table.takes_up) or (table.name, "uptake_rate") in moved,
            "saturation": bool(table.takes_up),
        }
        found |= {f"cell_type.{table.name}.{key}" for key, is_read in read.items() if not is_read}
    # The diameter determines a diffusivity that is not given.
    found |= {f"vesicle.{v.name}.diameter" for v in scenario.vesicle if v.diffusivity is not None}
    immunity = scenario.immunity is not None
    return found | {f"dose.{dose.name}.{key}" for dose in scenario.dose for key in dose.unused(immunity)}
