"""Validation of a scenario: errors of its schema, unresolved names, contradictions."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError

from exoabm.cells import behaviors
from exoabm.cells.responses import SIGNALS
from exoabm.errors import UNSEEN, Problem, did_you_mean, visible
from exoabm.parameters.catalog import Quantity
from exoabm.readers.options import BYSTANDER
from exoabm.scenario.cell_builder import at_rest
from exoabm.scenario.schema import Scenario
from exoabm.scenario.schema_base import meaning_of, names_of
from exoabm.scenario.schema_cells import CONSEQUENT_ERROR, selected
from exoabm.state import ANY_CELL, OUTSIDE
from exoabm.tables.readouts import KEYS, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

    from exoabm.scenario.schema_cells import CellTypeTable


MAX_PROBLEMS = 100
PLAIN_WORDS = {
    "int_parsing": "a whole number such as 30",
    "int_type": "a whole number such as 30",
    "int_from_float": "a whole number such as 30",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "a text in quotes",
    "string_pattern_mismatch": "a name: a letter, then letters, digits, _ or -, at most 64",
    "too_short": "a list with at least one entry",
    "is_instance_of": "one number, or a text with a number and its unit such as '5 min'",
}
"""Expected values for the most frequent errors of type."""


def schema_problems(error: ValidationError, raw: dict[str, Any]) -> Iterator[Problem]:
    """One problem per key; where a key may hold several types, the expected values of all are joined."""
    problems: dict[str, Problem] = {}
    faults = error.errors(include_url=False)
    for fault in faults[:MAX_PROBLEMS]:
        if fault["type"] == CONSEQUENT_ERROR:
            continue
        where, table = _locate(fault["loc"], raw)
        key = where.rpartition(".")[2]
        found = shortened(fault.get("input"))
        kind = fault["type"]
        if kind == "extra_forbidden":
            known = list(table.model_fields) if table else []
            hint = did_you_mean(key, known).lstrip("; ") or _elsewhere(key, known)
            problem = Problem(where, found, "unknown key", hint)
        elif kind == "missing":
            problem = Problem(where, "", "this key is required", meaning_of(table, key))
        else:
            below = _subtable(table, key)
            if kind == "literal_error" and below and isinstance(fault["input"], dict):
                continue  # the errors inside the table are more specific
            problem = Problem(where, found, _wanted(fault, below), meaning_of(table, key))
        before = problems.get(where)
        if before is not None and problem.expected.startswith("must be "):
            both = f"{before.expected}, or {problem.expected.removeprefix('must be ')}"
            problem = Problem(where, before.value, both, before.hint)
        problems[where] = problem
    yield from problems.values()
    if len(faults) > MAX_PROBLEMS:
        yield Problem("...", "", f"{len(faults) - MAX_PROBLEMS:,} more")


def hidden_characters(raw: Any, where: str = "") -> Iterator[Problem]:
    """Keys and texts of a scenario with control characters, which a terminal or a page would not show."""
    if isinstance(raw, dict):
        for key, value in raw.items():
            yield from hidden_characters(key, f"{where}.{visible(key)}".lstrip("."))
            yield from hidden_characters(value, f"{where}.{visible(key)}".lstrip("."))
    elif isinstance(raw, list):
        for name, value in zip(names_of(raw), raw, strict=True):
            yield from hidden_characters(value, f"{where}.{visible(name)}")
    elif isinstance(raw, str) and (found := UNSEEN.search(raw)):
        code = f"U+{ord(found[0]):04X}"
        yield Problem(where, shortened(raw), f"contains a control character, {code}; remove it")


def _wanted(fault: ErrorDetails, below: type[BaseModel] | None) -> str:
    """The expected value, in terms of the file format; ``below`` is the table that the key may hold."""
    kind, given, context = fault["type"], fault.get("input"), fault.get("ctx", {})
    if kind == "literal_error":
        words = re.findall(r"'([^']*)'", context["expected"])
        near = did_you_mean(given, words) if isinstance(given, str) else ""
        return f"must be {context['expected']}{near}"
    if kind == "list_type":
        if isinstance(given, Quantity):  # all lists of numbers are coordinates
            return f"must be a list such as {json.dumps([given.given] * 2)}"
        if not isinstance(given, str):
            return "must be a list"
        words = [word.strip() for word in given.removeprefix("[").removesuffix("]").split(",")]
        return f"must be a list such as {json.dumps(words, ensure_ascii=False)}"
    if kind in ("dict_type", "model_type"):
        return f"must be a table such as {{{next(iter(below.model_fields)) if below else 'key'} = ...}}"
    if kind in PLAIN_WORDS:
        return f"must be {PLAIN_WORDS[kind]}"
    message = fault["msg"].removeprefix("Value error, ")
    return re.sub(r"^(Input|String|List|Dictionary|Value) should", "must", message)


def _elsewhere(key: str, known: list[str]) -> str:
    """The other table that has this key, or else the keys of this one."""
    others = [name for name in _all_keys() if name.rpartition(".")[2] == key]
    keys = f"known keys: {', '.join(known)}"
    return f"it belongs in [{others[0].rpartition('.')[0]}]; {keys}" if len(others) == 1 else keys


def _locate(loc: tuple[int | str, ...], raw: Any) -> tuple[str, type[BaseModel] | None]:
    """The dotted key of a pydantic location, and the table of its last key."""
    table: type[BaseModel] | None = Scenario
    holder, parts, node = table, [], raw
    for step in loc:
        inside = node[step] if _has(node, step) else None
        if isinstance(step, int):
            parts.append(names_of(node)[step] if isinstance(node, list) else str(step))
        elif inside is None and not (table is not None and step in table.model_fields):
            continue  # pydantic's name for a branch of a union
        else:
            parts.append(step)
            holder, table = table, _subtable(table, step)
        node = inside
    return ".".join(parts), holder


def _has(node: Any, step: int | str) -> bool:
    if isinstance(step, int):
        return isinstance(node, list) and step < len(node)
    return isinstance(node, dict) and step in node


def _subtable(table: type[BaseModel] | None, key: str) -> type[BaseModel] | None:
    """The table that a key of a table holds, alone, optional or in a list."""
    if table is None or key not in table.model_fields:
        return None
    pending = [table.model_fields[key].annotation]
    while pending:
        annotation = pending.pop()
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation
        pending.extend(get_args(annotation))
    return None


@cache
def _all_keys() -> dict[str, None]:
    """Every key of the file format with its table, such as ``vesicle.diffusivity``."""
    found: dict[str, None] = {}
    pending: list[tuple[str, type[BaseModel]]] = [("", Scenario)]
    while pending:
        prefix, table = pending.pop()
        for key in table.model_fields:
            below = _subtable(table, key)
            if below is None:
                found[prefix + key] = None
            else:
                pending.append((f"{prefix}{key}.", below))
    return found


def shortened(value: Any) -> str:
    """A value as a message quotes it, at most 60 characters; "" for a list or a table."""
    if isinstance(value, dict | list):
        return ""
    try:
        text = repr(value.given if isinstance(value, Quantity) else value)
    except ValueError:  # an integer of thousands of digits
        return "a number too long to print"
    return text if len(text) <= 60 else text[:57] + "..."


def unresolved(scenario: Scenario) -> Iterator[Problem]:
    """Names that are given twice, and references to names that do not exist."""
    names = {
        "vesicle": [table.name for table in scenario.vesicle],
        "cargo": [table.name for table in scenario.cargo],
        "cell_type": [table.name for table in scenario.cell_type],
        "layout.group": [group.key for group in scenario.layout.group],
        "response": [row.name for row in scenario.response if row.name is not None],
        "silence": [table.name for table in scenario.silence],
        "give": [table.name for table in scenario.give],
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
            yield Problem(key, repr(name), "this name is given twice", hint)
    transport = scenario.transport
    if transport.provenance == "none" and not transport.follows_vesicles:
        for name in {ANY_CELL} & {*names["cell_type"]}:
            yield Problem("cell_type", repr(name), "this name is reserved with transport.provenance = 'none'")
    for name in OUTSIDE:
        if name in names["cell_type"]:
            yield Problem("cell_type", repr(name), "this name is reserved for vesicles that no cell released")
    for where, name, kind in _references(scenario):
        if name is not None and name not in names[kind]:
            known = list(dict.fromkeys(names[kind]))
            hint = did_you_mean(name, known).lstrip("; ") or f"known: {', '.join(known) or 'none'}"
            yield Problem(where, repr(name), f"no {kind.replace('_', ' ')} of this name", hint)
    yield from _unsupported(scenario)


NAMED = {"vesicle_kind": "vesicle", "cell_type": "cell_type", "cargo": "cargo", "dose": "dose"}
"""Keys of readouts, and the kinds of entries whose names they take."""
Reference = tuple[str, str | None, str]
"""Dotted key, the name that it holds if any, and the kind of entry that it refers to."""


def _references(scenario: Scenario) -> Iterator[Reference]:
    """Every name in a scenario that refers to another entry."""
    for vesicle in scenario.vesicle:
        for cargo in vesicle.cargo:
            yield f"vesicle.{vesicle.name}.cargo", cargo, "cargo"
    for cell in scenario.cell_type:
        yield from _references_of_cells(cell, f"cell_type.{cell.name}")
    for name, row in zip(names_of(scenario.response), scenario.response, strict=True):
        key = f"response.{name}"
        yield f"{key}.cell_type", row.cell_type, "cell_type"
        if row.of:
            yield f"{key}.signal", row.of, SIGNALS[row.word].of
        if "." in row.behavior:
            verb = "increases" if row.increases else "decreases"
            yield f"{key}.{verb}", row.behavior.partition(".")[2], "cargo"
    for group in scenario.layout.group:
        yield f"layout.group.{group.key}.cell_type", group.cell_type, "cell_type"
    for silence in scenario.silence:
        word, of = selected(silence.of)
        for one in of:
            if not one.isdecimal():
                yield f"silence.{silence.name}.of", one, "vesicle" if word == "vesicle" else "cell_type"
    for gift in scenario.give:
        word, of = selected(gift.to)
        yield f"give.{gift.name}.cargo", gift.cargo, "cargo"
        yield f"give.{gift.name}.to", of[0] if word == "cell_type" else None, "cell_type"
    for dose in scenario.dose:
        yield f"dose.{dose.name}.vesicle", dose.vesicle, "vesicle"
        yield f"dose.{dose.name}.molecule", dose.molecule, "vesicle"
        yield f"dose.{dose.name}.through", dose.through, "cell_type"
    if scenario.readout is not None:
        readout = parse(scenario.readout.metric)
        for keys in KEYS[readout.quantity]:
            if len(keys) == len(readout.names):
                pairs = zip(keys, readout.names, strict=True)
                yield from (("readout.metric", name, NAMED[key]) for key, name in pairs if key in NAMED)
    criteria = scenario.trial.criterion if scenario.trial is not None else []
    for name, criterion in zip(names_of(criteria), criteria, strict=True):
        yield f"trial.criterion.{name}.readout", criterion.readout, "trial.readout"
        yield f"trial.criterion.{name}.arm", criterion.arm, "arm"
        yield f"trial.criterion.{name}.versus", criterion.versus, "arm"
    for label, target in scenario.layout.type_map.items():
        if target != BYSTANDER:
            yield f"layout.type_map.{label!r}", target, "cell_type"


def _references_of_cells(cell: CellTypeTable, key: str) -> Iterator[Reference]:
    yield f"{key}.releases", cell.releases, "vesicle"
    for vesicle in cell.takes_up:
        yield f"{key}.takes_up", vesicle, "vesicle"
    if cell.waste is not None:
        yield f"{key}.waste.vesicle", cell.waste.vesicle, "vesicle"
    for held in cell.holds:
        yield f"{key}.holds.{held.cargo}.cargo", held.cargo, "cargo"
        yield f"{key}.holds.{held.cargo}.vesicle", held.vesicle, "vesicle"
    for sorting in cell.mvb.sorting if cell.mvb else ():
        yield f"{key}.mvb.sorting", sorting.vesicle, "vesicle"
    if cell.climbs is not None:
        yield f"{key}.climbs.vesicle", cell.climbs.vesicle, "vesicle"
    if cell.follows is not None:
        yield f"{key}.follows.vesicle", cell.follows.vesicle, "vesicle"
    if cell.transformation is not None:
        yield f"{key}.transformation.into", cell.transformation.into, "cell_type"


def _unsupported(scenario: Scenario) -> Iterator[Problem]:
    """Waste without a vesicle that carries waste, and doses through a body that is not given."""
    waste = [cargo for cargo in scenario.cargo if cargo.role == "waste"]
    for cell in scenario.cell_type:
        for vesicle in scenario.vesicle if cell.waste is not None else ():
            carried = [
                cargo for cargo in waste if cargo.name in vesicle.cargo and vesicle.mean_copies(cargo) > 0
            ]
            if cell.waste is not None and vesicle.name == cell.waste.vesicle and not carried:
                yield Problem(
                    f"cell_type.{cell.name}.waste.vesicle",
                    repr(vesicle.name),
                    "this vesicle carries no waste (a cargo of role waste, copies above 0)",
                )
    for dose in scenario.dose:
        if dose.route != "tissue" and scenario.pharmacokinetics is None:
            hint = "add [pharmacokinetics], or set route = 'tissue'"
            yield Problem(f"dose.{dose.name}.route", repr(dose.route), "needs [pharmacokinetics]", hint)


def inconsistencies(scenario: Scenario) -> Iterator[Problem]:
    """Contradictions between the tables of cells and responses; names must be resolved before."""
    for table in scenario.cell_type:
        yield from _problems_of_mvbs(scenario, table)
        yield from _problems_of_cells(scenario, table)
        yield from _problems_of_cargo(scenario, table)
    yield from _problems_of_responses(scenario)


def _problems_of_mvbs(scenario: Scenario, table: CellTypeTable) -> Iterator[Problem]:
    if table.mvb is None:
        return
    key = f"cell_type.{table.name}.mvb"
    shares = sum(float(s.share) for s in table.mvb.sorting)
    if not table.mvb.sorting and table.releases is None:
        yield Problem(key, "", "needs releases, or sorting: the kinds of its vesicles")
    elif table.mvb.sorting and abs(shares - 1) > 1e-9:
        yield Problem(f"{key}.sorting", f"{shares:g}", "the shares must sum to 1")
    releases = table.release_rate > 0 or any(
        row.cell_type == table.name and row.behavior == "release_rate" for row in scenario.response
    )
    if not table.mvb.secretory_fraction and releases:
        yield Problem(
            f"{key}.secretory_fraction",
            "0",
            "must be above 0 at rest where the cell releases",
            "block secretion by a response, or set release_rate = 0",
        )


def _problems_of_cells(scenario: Scenario, table: CellTypeTable) -> Iterator[Problem]:
    key, transport = f"cell_type.{table.name}", scenario.transport
    for where, names in (
        ("holds", [held.cargo for held in table.holds]),
        ("receptor", [receptor.name for receptor in table.receptor]),
    ):
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield Problem(f"{key}.{where}", repr(name), "this name is given twice")
    if table.follows is not None and not transport.at_membranes:
        yield Problem(
            f"{key}.follows",
            "",
            "needs single vesicles captured at membranes: engine = 'vesicles' and capture = 'membrane'",
            "with fields, cells can climb a gradient: see climbs",
        )


def _problems_of_cargo(scenario: Scenario, table: CellTypeTable) -> Iterator[Problem]:
    vesicles = {vesicle.name: vesicle for vesicle in scenario.vesicle}
    cargos = {cargo.name: cargo for cargo in scenario.cargo}
    for held in table.holds:
        key = f"cell_type.{table.name}.holds.{held.cargo}"
        if cargos[held.cargo].role == "waste":
            yield Problem(key, "", "waste has its own table", f"see cell_type.{table.name}.waste")
        exports = held.export > 0 or any(
            row.cell_type == table.name and row.increases == f"export.{held.cargo}"
            for row in scenario.response
        )
        if held.vesicle is not None and held.cargo not in vesicles[held.vesicle].cargo:
            yield Problem(f"{key}.vesicle", repr(held.vesicle), "does not carry this cargo")
        elif held.vesicle is not None and not vesicles[held.vesicle].mean_copies(cargos[held.cargo]):
            yield Problem(f"{key}.vesicle", repr(held.vesicle), "carries 0 copies of this cargo")
        elif exports and held.vesicle is None:
            yield Problem(f"{key}.export", "", "needs the vesicle that carries it out")


def _problems_of_responses(scenario: Scenario) -> Iterator[Problem]:
    types = {table.name: table for table in scenario.cell_type}
    for position, row in enumerate(scenario.response):
        behavior = behaviors.behavior_of(row.behavior)
        assert behavior is not None
        rest = at_rest(types[row.cell_type], behavior)
        key = f"response.{row.name or position}"
        verb = "increases" if row.increases else "decreases"
        if rest is None:
            yield Problem(
                f"{key}.{verb}",
                repr(row.behavior),
                f"the cell type {row.cell_type} has no such behavior",
                f"set cell_type.{row.cell_type}.{behavior.keys[0][0]}",
            )
        elif (row.to - rest) * (1 if row.increases else -1) < 0:
            yield Problem(
                f"{key}.to",
                str(row.to),
                f"does not {verb[:-1]} {row.behavior}, which is {rest} at rest",
            )
        elif behavior.positive and not rest:
            yield Problem(f"{key}.{verb}", repr(row.behavior), f"needs {row.behavior} above 0 at rest")
