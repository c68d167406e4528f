"""Readouts: the written names of single numbers, with the same meaning in scenarios, options and tables.

    quantity                      effectors_h
    quantity[name, ...]           copies_per_cell[tumor, drug]
    quantity[donor -> recipient]  taken_up[tumor -> stroma]

A quantity is a column of a table of metrics, and its names are in the order of that table's key. A name of
letters, digits and ``_ - . +``, in words with one space between them, is written as it is; any other is
quoted as JSON quotes it. So no two readouts are written alike, whatever the names in them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from exoabm.errors import InputError, did_you_mean
from exoabm.tables.declarations import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exoabm.tables.declarations import Column, Table

TIME = "time_h"
ARROW = "->"
MOST_NAMED = 4
"""Readouts that a message names."""
_BARE = re.compile(r"[\w.+-]*[\w.+](?: [\w.+-]*[\w.+])*")
_TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|([\w.+-]*[\w.+](?: [\w.+-]*[\w.+])*)|(->|,))')
_WHOLE = re.compile(r"([A-Za-z]\w*)(?:\[(.*)\])?", re.DOTALL)

TABLE_OF: dict[str, Table] = {
    column.name: table for table in METRICS for column in table.columns if column.name not in table.key
}
"""The table of metrics that has each quantity."""
KEYS: dict[str, tuple[tuple[str, ...], ...]] = {
    name: (tuple(key for key in table.key if key != TIME),) for name, table in TABLE_OF.items()
}
PAIR = ("donor", "recipient")
"""Keys of a quantity between two types."""
BETWEEN = ("taken_up", "delivered")
"""Quantities between two types, at the end of a run."""
OF_DONOR = {
    "reach_autocrine_share": "share of what cells of the type took up that came from the same cell",
    "reach_mean_um": "distance to the recipient, mean weighted by vesicles taken up",
    "reach_median_um": "distance within which half of the vesicles taken up were taken up",
    "reach_q90_um": "distance within which 90 % of the vesicles taken up were taken up",
}
"""Quantities of a donor type, at the end of a run."""
DISTANCE = "communication_distance_um"
"""Quantity of a vesicle kind: distance from the donors out to which the concentration reaches a threshold."""
for _name in BETWEEN:
    KEYS[_name] = (*KEYS.get(_name, ()), PAIR)
KEYS |= dict.fromkeys(OF_DONOR, (("donor",),)) | {DISTANCE: (("vesicle_kind",),)}


@dataclass(frozen=True)
class Readout:
    """A quantity and the names to which it refers; ``str`` writes it.

    With ``pair`` the two names are a donor and a recipient.
    """

    quantity: str
    names: tuple[str, ...] = ()
    pair: bool = False

    def __str__(self) -> str:
        if not self.names:
            return self.quantity
        return f"{self.quantity}[{(f' {ARROW} ' if self.pair else ', ').join(map(_quoted, self.names))}]"

    @property
    def column(self) -> Column | None:
        """The declaration of the quantity; None for one that no table of metrics has."""
        table = None if self.pair else TABLE_OF.get(self.quantity)
        return None if table is None else next(c for c in table.columns if c.name == self.quantity)


@lru_cache(maxsize=4096)
def named(quantity: str, *names: str) -> str:
    """A quantity of these names, as it is written."""
    return str(Readout(quantity, names))


@lru_cache(maxsize=4096)
def between(quantity: str, donor: str, recipient: str) -> str:
    """A quantity from a donor to a recipient type, as it is written."""
    return str(Readout(quantity, (donor, recipient), pair=True))


@lru_cache(maxsize=4096)
def parse(text: str) -> Readout:
    """The readout that a text writes.

    Raises
    ------
    InputError
        If there is no such quantity, or it is not written as above.
    """
    whole = _WHOLE.fullmatch(text.strip())
    quantity = whole[1] if whole else text.strip().partition("[")[0]
    if quantity not in KEYS:
        raise InputError(f"{text!r}: no quantity {quantity!r}{did_you_mean(quantity, KEYS)}")
    forms = " or ".join(form(quantity))
    if whole is None:
        raise InputError(f"{text!r}: write {forms}")
    names, marks = _split(whole[2] or "", f"{text!r}: write {forms}")
    pair = ARROW in marks
    wanted = [keys for keys in KEYS[quantity] if len(keys) == len(names) and (keys == PAIR) == pair]
    if not wanted or (pair and "," in marks):
        raise InputError(f"{text!r}: write {forms}")
    return Readout(quantity, tuple(names), pair)


def form(quantity: str) -> list[str]:
    """How a quantity is written, with the words for its names."""
    return [
        quantity if not keys else f"{quantity}[{(f' {ARROW} ' if keys == PAIR else ', ').join(keys)}]"
        for keys in KEYS[quantity]
    ]


def resolve(text: str, known: Iterable[str], what: str = "readout") -> str:
    """A readout as it is written in tables, if it is one of those ``known``.

    Raises
    ------
    InputError
        If it is not written as a readout, or not among them; names a similar one.
    """
    known = list(known)
    try:
        found = str(parse(text))
    except InputError as error:
        quantity = text.strip().partition("[")[0]
        here = [name for name in known if name.partition("[")[0] == quantity][:MOST_NAMED]
        raise InputError(f"{error}; here {', '.join(here)}" if here else str(error)) from None
    if found not in known:
        raise InputError(f"{text!r}: no such {what}{did_you_mean(found, known)}")
    return found


def _quoted(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _split(text: str, fault: str) -> tuple[list[str], list[str]]:
    """The names in brackets, and the marks between them."""
    names: list[str] = []
    marks: list[str] = []
    at = 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        is_mark = found is not None and found[3] is not None
        if found is None or is_mark != (len(names) > len(marks)):
            raise InputError(fault)
        at = found.end()
        if is_mark:
            marks.append(found[3])
        else:
            names.append(json.loads(found[1]) if found[1] else found[2])
    if names and len(marks) != len(names) - 1:
        raise InputError(fault)
    return names, marks
