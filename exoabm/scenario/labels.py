"""From the labels of a table to the cell types of a scenario."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from exoabm.errors import InputError, did_you_mean

BYSTANDER = "bystander"
DERIVED = ": "
MOST_LISTED = 40


def meaning_of(
    counts: Mapping[str, int],
    type_map: Mapping[str, str],
    known: Sequence[str],
    unmapped: Literal["error", "bystander"] = "error",
    *,
    derived: bool = False,
) -> dict[str, str]:
    """The cell type of a scenario that each label of a table means.

    For every label the first of: the key of `type_map` that equals it; the first key, in their
    order, that matches it with `*` for any characters; a known type of the same name; the policy
    `unmapped`. Where ``A: B`` is a class derived from A, what is said of ``A: B`` goes first.

    Parameters
    ----------
    counts
        Number of cells by label.
    type_map
        Cell type by label; upper and lower case differ, only `*` is special.
    known
        Names of the scenario's cell types.
    unmapped
        What becomes of the other labels: "error", or the type "bystander".
    derived
        Whether a label ``A: B`` is derived from the class A.

    Raises
    ------
    InputError
        If a value of `type_map` is no known type, or labels are left over: lists each with its
        number of cells.
    """
    if unmapped not in ("error", "bystander"):
        raise InputError(f"unmapped = {unmapped!r}: one of error, bystander")
    for key, target in type_map.items():
        if target not in (*known, BYSTANDER):
            near, there = did_you_mean(target, known), ", ".join(map(repr, known))
            raise InputError(f"type_map {key!r} = {target!r}: no such cell type{near} (there are {there})")
    patterns = [
        (re.compile(".*".join(map(re.escape, key.split("*"))), re.DOTALL), target)
        for key, target in type_map.items()
        if "*" in key
    ]

    def target_of(label: str) -> str | None:
        if label in type_map:
            return type_map[label]
        matched = (target for pattern, target in patterns if pattern.fullmatch(label))
        found = next(matched, label if label in known else None)
        if found is None and derived and DERIVED in label:
            return target_of(label.rpartition(DERIVED)[0])
        return found

    targets = {label: target_of(label) for label in counts}
    left = {label: counts[label] for label, target in targets.items() if target is None}
    if left and unmapped == "error":
        raise InputError(_unknown(left, known))
    return {label: target or BYSTANDER for label, target in targets.items()}


def _unknown(left: Mapping[str, int], known: Sequence[str]) -> str:
    """The labels without a type, with their cells, and a table to paste and fill in."""
    order = sorted(left, key=lambda label: (-left[label], label))
    lines = ["these labels have no cell type:"]
    lines += [f"  {label!r}: {left[label]} cells" for label in order[:MOST_LISTED]]
    if len(order) > MOST_LISTED:
        lines.append(f"  and {len(order) - MOST_LISTED} more labels; is this the column of cell types?")
    lines += [
        (
            f"say what they are (one of {', '.join(known)}; {BYSTANDER} stands there and does nothing; a * "
            f'in a label stands for any characters), or set layout.unmapped = "{BYSTANDER}":'
        ),
        "[layout.type_map]",
        *(f'{toml_key(label)} = "{BYSTANDER}"' for label in order[:MOST_LISTED]),
    ]
    return "\n".join(lines)


def toml_key(label: str) -> str:
    """A label as a quoted key of a TOML table; other than in JSON, DEL is escaped too."""
    return json.dumps(label, ensure_ascii=not label.isprintable()).replace("\x7f", "\\u007f")
