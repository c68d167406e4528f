"""Names in a scenario that stand for other parts of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exoabm.cells.response import SIGNALS
from exoabm.errors import Problem, did_you_mean
from exoabm.scenario.entries import names_of
from exoabm.state import OUTSIDE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exoabm.scenario.schema import Scenario


def dangling(scenario: Scenario) -> Iterator[Problem]:
    """Names that stand twice, or that name nothing."""
    names = {
        "vesicle": [table.name for table in scenario.vesicle],
        "cargo": [table.name for table in scenario.cargo],
        "cell_type": [table.name for table in scenario.cell_type],
        "layout.group": [group.key for group in scenario.layout.group],
        "response": [row.name for row in scenario.response if row.name is not None],
        "dose": [table.name for table in scenario.dose],
        "arm": [table.name for table in scenario.arm],
        **{
            f"trial.{key}": [table.name for table in getattr(scenario.trial, key, [])]
            for key in ("readout", "assumption", "between")
        },
    }
    for key, known in names.items():
        for name in sorted({n for n in known if known.count(n) > 1}):
            hint = "give each group a name of its own" if key == "layout.group" else ""
            yield Problem(key, repr(name), "this name stands twice", hint)

    for name in OUTSIDE:
        if name in names["cell_type"]:
            yield Problem("cell_type", repr(name), "this name stands for what no cell released")

    def unknown(where: str, name: str | None, kind: str) -> Iterator[Problem]:
        if name is not None and name not in names[kind]:
            known = dict.fromkeys(names[kind])
            hint = did_you_mean(name, known).lstrip("; ") or f"known: {', '.join(known)}"
            yield Problem(where, repr(name), f"no {kind.replace('_', ' ')} of this name", hint)

    for vesicle in scenario.vesicle:
        for cargo in vesicle.cargo:
            yield from unknown(f"vesicle.{vesicle.name}.cargo", cargo, "cargo")
    waste = [c for c in scenario.cargo if c.role == "waste"]
    for cell in scenario.cell_type:
        yield from unknown(f"cell_type.{cell.name}.releases", cell.releases, "vesicle")
        for vesicle_name in cell.takes_up:
            yield from unknown(f"cell_type.{cell.name}.takes_up", vesicle_name, "vesicle")
        if cell.waste is not None:
            key = f"cell_type.{cell.name}.waste.vesicle"
            yield from unknown(key, cell.waste.vesicle, "vesicle")
            for vesicle in scenario.vesicle:
                carried = [c for c in waste if c.name in vesicle.cargo and vesicle.load(c) > 0]
                if vesicle.name == cell.waste.vesicle and not carried:
                    yield Problem(
                        key,
                        repr(vesicle.name),
                        "this vesicle carries no waste (a cargo of role waste, copies above 0)",
                    )
        key = f"cell_type.{cell.name}"
        for held in cell.holds:
            yield from unknown(f"{key}.holds.{held.cargo}.cargo", held.cargo, "cargo")
            yield from unknown(f"{key}.holds.{held.cargo}.vesicle", held.vesicle, "vesicle")
        for sorting in cell.mvb.sorting if cell.mvb else ():
            yield from unknown(f"{key}.mvb.sorting", sorting.vesicle, "vesicle")
        for follow, where in ((cell.climbs, "climbs"), (cell.follows, "follows")):
            if follow is not None:
                yield from unknown(f"{key}.{where}.vesicle", follow.vesicle, "vesicle")
        if cell.transformation is not None:
            yield from unknown(f"{key}.transformation.into", cell.transformation.into, "cell_type")
    for name, row in zip(names_of(scenario.response), scenario.response, strict=True):
        key = f"response.{name}"
        yield from unknown(f"{key}.cell_type", row.cell_type, "cell_type")
        if row.of:
            yield from unknown(f"{key}.signal", row.of, SIGNALS[row.word].of)
        if "." in row.behavior:
            yield from unknown(
                f"{key}.{'increases' if row.increases else 'decreases'}",
                row.behavior.partition(".")[2],
                "cargo",
            )
    for group in scenario.layout.group:
        yield from unknown(f"layout.group.{group.key}.cell_type", group.cell_type, "cell_type")
    for dose in scenario.dose:
        yield from unknown(f"dose.{dose.name}.vesicle", dose.vesicle, "vesicle")
        yield from unknown(f"dose.{dose.name}.molecule", dose.molecule, "vesicle")
        yield from unknown(f"dose.{dose.name}.through", dose.through, "cell_type")
        if dose.route != "tissue" and scenario.pharmacokinetics is None:
            hint = "add [pharmacokinetics], or give the dose into the tissue itself"
            where = f"dose.{dose.name}.route"
            yield Problem(where, repr(dose.route), "needs a body to pass", hint)
    if scenario.trial is not None:
        criteria = scenario.trial.criterion
        for name, criterion in zip(names_of(criteria), criteria, strict=True):
            where = f"trial.criterion.{name}"
            yield from unknown(f"{where}.readout", criterion.readout, "trial.readout")
            yield from unknown(f"{where}.arm", criterion.arm, "arm")
            yield from unknown(f"{where}.versus", criterion.versus, "arm")
    for label, target in scenario.layout.type_map.items():
        if target != "bystander":
            yield from unknown(f"layout.type_map.{label!r}", target, "cell_type")
