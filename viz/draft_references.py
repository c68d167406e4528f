"""References to items of a scenario that is built on the page: renamed with an item, and removed with it.

Items are named by keys, signals, behaviors, readouts, selections of cells, and the dotted keys of arms
and trials.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from exoabm.errors import InputError
from exoabm.scenario.schema_base import names_of
from exoabm.scenario.schema_cells import selected
from exoabm.tables import readouts as metrics
from exoabm.viz.draft_fields import REFERENCES, TRANSFORMS, referred

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_REFERENCES = REFERENCES | {"into": "cell_type", "annotated_as": "cell_type", "vesicle": "vesicle"}
_OF_DOSE = {"through": "cell_type", "vesicle": "vesicle", "molecule": "vesicle"}
_OF_READOUT = {
    "cell_type": "cell_type",
    "donor": "cell_type",
    "recipient": "cell_type",
    "vesicle_kind": "vesicle",
    "cargo": "cargo",
}
"""Keys of readouts whose values are names of items, and of what kind."""


def rename(node: Any, kind: str, old: str, new: str, references: Mapping[str, str] = _REFERENCES) -> None:
    """Give all references to a name the new one, but for those in dotted keys; see ``dotted_keys``."""
    for part in node if isinstance(node, list) else ():
        rename(part, kind, old, new, references)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        # A dotted key, as of an arm, says by its first and last words what its value is.
        first, last = key.partition(".")[0], key.rpartition(".")[2]
        within = _OF_DOSE if first == "dose" else references
        refers = within.get(last) == kind
        if refers and value == old:
            node[key] = new
        elif refers and isinstance(value, list) and old in value:
            node[key] = [new if each == old else each for each in value]
        elif isinstance(value, str):
            node[key] = _renamed(last, value, kind, old, new)
        else:
            rename(value, kind, old, new, within)
    if node.get("keys") and node.get("values"):  # of an assumption
        tables = [{node["keys"][0]: value} for value in node["values"]]
        rename(tables, kind, old, new)
        node["values"] = [value for table in tables for value in table.values()]


def _renamed(key: str, value: str, kind: str, old: str, new: str) -> str:
    """A signal, behavior, readout or selection of cells with the new name, if it is of this one."""
    if key in ("signal", "increases", "decreases") and referred(key, value) == (kind, old):
        return f"{value.partition('.')[0]}.{new}"
    if key == "metric" and (kind, old) in (found := _named_in(value)):
        names = tuple(new if each == (kind, old) else each[1] for each in found)
        return str(replace(metrics.parse(value), names=names))
    if key in ("of", "to") and (kind, old) in (chosen := _selected_in(value)):
        word = value.partition(":")[0].strip()
        return f"{word}:{'->'.join(new if each == (kind, old) else each[1] for each in chosen)}"
    return value


def _selected_in(text: str) -> list[tuple[str, str]]:
    """The names in a selection such as ``edge:NAME->17``, each with its kind; none if it is not one."""
    try:
        word, found = selected(text)
    except ValueError:
        return []
    return [("vesicle" if word == "vesicle" else "cell_type", name) for name in found]


def dotted_keys(raw: dict[str, Any]) -> Callable[[], None]:
    """What spells the dotted keys in arms and in a trial anew after a change of the tables.

    Each key is followed to the entries of lists that it names, and spelled by the names that they have then;
    one through an entry that was removed goes.
    """
    trial = raw.get("trial", {})
    tables = [table for table in (*raw.get("arm", []), trial) if table.get("set")]
    lists = [table for word in ("assumption", "between") for table in trial.get(word, [])]
    places = {key: _followed(raw, key) for table in tables for key in table["set"]}
    places |= {key: _followed(raw, key) for table in lists for key in table["keys"]}

    def respell() -> None:
        spelled = {key: _spelled(raw, place) for key, place in places.items()}
        for table in tables:
            table["set"] = {new: value for key, value in table["set"].items() if (new := spelled[key])}
        for table in lists:
            table["keys"] = [new for key in table["keys"] if (new := spelled[key])]
        for word in ("assumption", "between"):
            if word in trial:
                _keep(trial, word, [table for table in trial[word] if table["keys"]])

    return respell


def _followed(node: Any, key: str) -> list[tuple[str, Any]]:
    """The parts of a dotted key, each with the entry of a list that it names, None of others."""
    found = []
    for part in key.split("."):
        entry = None
        if isinstance(node, list) and all(isinstance(each, dict) for each in node):
            names = names_of(node)
            node = entry = node[names.index(part)] if part in names else None
        else:
            node = node.get(part) if isinstance(node, dict) else None
        found.append((part, entry))
    return found


def _spelled(node: Any, place: list[tuple[str, Any]]) -> str:
    """A dotted key by the present names of the entries in it; "" if one of them is no longer there."""
    parts = []
    for part, entry in place:
        if entry is None:
            node = node.get(part) if isinstance(node, dict) else None
            parts.append(part)
        else:
            at = next((i for i, each in enumerate(node or ()) if each is entry), None)
            if at is None:
                return ""
            parts.append(names_of(node)[at])
            node = entry
    return ".".join(parts)


def _named_in(metric: str) -> list[tuple[str, str]]:
    """The names in a readout, each with its kind ("" of doses and compartments); none if it is not one."""
    try:
        found = metrics.parse(metric)
    except InputError:
        return []
    keys = next(
        keys
        for keys in metrics.KEYS[found.quantity]
        if len(keys) == len(found.names) and (keys == metrics.PAIR) == found.pair
    )
    return [(_OF_READOUT.get(key, ""), name) for key, name in zip(keys, found.names, strict=True)]


def forget(raw: dict[str, Any], kind: str, name: str) -> None:
    """Remove what refers to an item that was removed: entries of lists, keys, groups, responses, changes."""
    for item in [*raw.get("vesicle", []), *raw.get("cell_type", [])]:
        for key, of in REFERENCES.items():
            if of == kind and isinstance(item.get(key), list) and name in item[key]:
                item[key] = [each for each in item[key] if each != name]
                if not item[key]:
                    del item[key]
            elif of == kind and item.get(key) == name:
                del item[key]
        if kind == "cell_type" and item.get("transformation", {}).get("into") == name:
            del item["transformation"]
    still = {c.get("name"): "transformation" in c for c in raw.get("cell_type", [])}
    kept = [
        row
        for row in raw.get("response", [])
        if referred("signal", row.get("signal", "")) != (kind, name)
        and (row.get("cell_type") in still or "cell_type" not in row)
        and (row.get("increases") != TRANSFORMS or still.get(row.get("cell_type"), False))
    ]
    groups = [g for g in raw.get("layout", {}).get("group", []) if g.get("cell_type") in still]
    _keep(raw, "response", kept)
    for word, key in (("silence", "of"), ("give", "to")):
        rows = [row for row in raw.get(word, []) if (kind, row.get("cargo")) != ("cargo", name)]
        _keep(raw, word, [row for row in rows if (kind, name) not in _selected_in(str(row.get(key, "")))])
    if "layout" in raw:
        _keep(raw["layout"], "group", groups)
        if not raw["layout"]:
            del raw["layout"]
    if (kind, name) in _named_in(str(raw.get("readout", {}).get("metric", ""))):
        del raw["readout"]
    for arm in raw.get("arm", []):
        _forget_values(arm, kind, name)
    if "trial" in raw:
        _forget_in_trial(raw, kind, name)


def _forget_in_trial(raw: dict[str, Any], kind: str, name: str) -> None:
    """Remove from a trial what names an item, and the trial if no criterion is left."""
    trial = raw["trial"]
    _forget_values(trial, kind, name)
    assumed = []
    for each in trial.get("assumption", []):
        values = [v for v in each.get("values", []) if not _refers({each["keys"][0]: v}, kind, name)]
        if values or not each.get("values"):
            assumed.append(each | ({"values": values} if values else {}))
    _keep(trial, "assumption", assumed)
    kept = [row for row in trial.get("readout", []) if not _refers(row, kind, name)]
    known = {row.get("name") for row in kept}
    criteria = [row for row in trial.get("criterion", []) if row.get("readout") in known]
    _keep(trial, "readout", kept)
    _keep(trial, "criterion", criteria)
    if not criteria:
        del raw["trial"]


def _forget_values(table: dict[str, Any], kind: str, name: str) -> None:
    """Remove from ``set`` the values that name an item, and the item from values that are lists."""
    kept = {}
    for key, value in table.get("set", {}).items():
        if isinstance(value, list):
            left = [each for each in value if not _refers({key: [each]}, kind, name)]
            if left or not value:
                kept[key] = left
        elif not _refers({key: value}, kind, name):
            kept[key] = value
    if "set" in table:
        table["set"] = kept


def _refers(table: dict[str, Any], kind: str, name: str) -> bool:
    """Whether a value in a table would follow a new name of an item."""
    rename(renamed := deepcopy(table), kind, name, f"{name}_")
    return renamed != table


def _keep(table: dict[str, Any], key: str, items: list[Any]) -> None:
    if items:
        table[key] = items
    else:
        table.pop(key, None)
