"""From the labels of a table to the cell types of a scenario."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exoabm.errors import InputError, did_you_mean

BYSTANDER = "bystander"


def map_types(
    types: ArrayLike,
    type_map: Mapping[str, str],
    known: Sequence[str],
    unmapped: Literal["error", "bystander"] = "error",
) -> NDArray[np.str_]:
    """Turn a table's labels into the cell types of a scenario.

    For every label the first of: the key of `type_map` that equals it; the first key, in their
    order, that matches it with `*` for any characters; a known type of the same name; the policy
    `unmapped`.

    Parameters
    ----------
    types
        Labels (n,).
    type_map
        Cell type by label; upper and lower case differ, only `*` is special.
    known
        Names of the scenario's cell types.
    unmapped
        What becomes of the other labels: "error", or the type "bystander".

    Returns
    -------
    (n,) names of cell types.

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
        return next(matched, label if label in known else None)

    labels, index, counts = np.unique(
        np.asarray(types, dtype=np.str_), return_inverse=True, return_counts=True
    )
    targets = [target_of(str(label)) for label in labels]
    left = [(int(c), str(a)) for a, c, t in zip(labels, counts, targets, strict=True) if t is None]
    if left and unmapped == "error":
        left.sort(key=lambda item: (-item[0], item[1]))
        lines = [f"  {label!r}: {count} cells" for count, label in left[:40]]
        if len(left) > 40:
            lines.append(f"  and {len(left) - 40} more labels; is this the column of cell types?")
        example = f"{left[0][1]!r} = {known[0]!r}" if known else f"{left[0][1]!r} = {BYSTANDER!r}"
        raise InputError(
            "\n".join(["these labels have no cell type:", *lines])
            + f"\nname them in type_map, as in {example} (a * stands for any characters), "
            'or set unmapped = "bystander"'
        )
    return np.array([target or BYSTANDER for target in targets], dtype=np.str_)[index]
