"""Share links: a run as the query of an address, and back; nothing in an address is trusted.

A link names a shipped scenario, a seed, an hour to run to, and values for keys that the page has a control
for, once the choices among them are made. Each value passes the control's own range and then the scenario
loader, as untrusted::

    ?scenario=signaling&seed=1&hours=2&cell_type.recipient.uptake_rate=140
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from exoabm.errors import InputError, did_you_mean
from exoabm.scenario.cell_dynamics import idle
from exoabm.scenario.loader import shipped
from exoabm.viz.parameter_controls import knobs
from exoabm.viz.scenario_intros import first_setup
from exoabm.viz.server.limits import LIMITS
from exoabm.viz.setup import Setup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exoabm.viz.parameter_controls import Knob

LONGEST = 2000
"""Characters of a query."""
MOST = 64
"""Values in a query."""
LARGEST_SEED = 2**63 - 1
FACES = {f"domain.faces.{axis}": ("no-flux", "periodic", "open") for axis in "xyz"}
"""Choices that have no control, but that lessons make."""


@dataclass(frozen=True)
class Link:
    """What a link opens: a setup, and the hour of model time to run to."""

    setup: Setup
    hours: float = 0.0


def encode(setup: Setup, hours: float = 0.0) -> str:
    """The query that opens this setup at this hour, without the question mark.

    What was set once and nothing reads any more is left out.

    Raises
    ------
    InputError
        If it was made from a file of the reader's own, or says something that a link may not.
    """
    if setup.scenario not in shipped():
        raise InputError(
            "only a shipped scenario fits into a link; take the scenario file or the run instead"
        )
    pairs = [("scenario", setup.scenario), ("seed", str(setup.seed))]
    if hours > 0:
        pairs.append(("hours", f"{hours:.10g}"))
    started = dict(first_setup(setup.scenario).overrides)
    unused = idle(setup.load().scenario)
    pairs += [(k, value) for k, value in setup.overrides if started.get(k) != value and k not in unused]
    query = urlencode(pairs)
    decode(query)
    return query


def decode(query: str) -> Link:
    """The link of a query.

    Raises
    ------
    InputError
        Naming what is wrong and what is allowed.
    """
    pairs = _pairs(query)
    scenario = pairs.pop("scenario", "signaling")
    names = shipped()
    if scenario not in names:
        hint = did_you_mean(scenario, names)
        raise InputError(
            f"scenario = {_short(scenario)}: no shipped scenario{hint}; there are {', '.join(names)}"
        )
    seed, hours = _seed(pairs.pop("seed", "1")), _hours(pairs.pop("hours", "0"))
    setup = first_setup(scenario, seed=seed)
    while pairs:  # one choice brings the controls of others
        controls = knobs(setup.load())
        shown = [key for key in pairs if key in FACES or key in controls] or list(pairs)
        setup = setup.changed({key: _value(key, pairs.pop(key), controls) for key in shown})
    setup.load()
    return Link(setup, hours)


def _pairs(query: str) -> dict[str, str]:
    query = query.removeprefix("?")
    if len(query) > LONGEST:
        raise InputError(f"a link has at most {LONGEST} characters")
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=bool(query), errors="strict", max_num_fields=MOST
        )
    except ValueError:
        raise InputError("the address is not a share link") from None
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
        raise InputError(f"{_short(twice)} stands twice in the link")
    return found


def _value(key: str, text: str, known: Mapping[str, Knob]) -> str:
    if key in FACES:
        if text not in FACES[key]:
            raise InputError(f"{key} = {_short(text)}: must be one of {', '.join(FACES[key])}")
        return text
    if key not in known:
        close = difflib.get_close_matches(key[:200], known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise InputError(f"{_short(key)}: a link cannot set this{hint}")
    try:
        return known[key].read(text)
    except InputError as error:
        raise InputError(f"{key} = {_short(text)}: {error}") from None


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= LARGEST_SEED):
        raise InputError(f"seed = {_short(text)}: a whole number from 0 to {LARGEST_SEED}")
    return int(text)


def _hours(text: str) -> float:
    try:
        hours = float(text) if len(text) <= 32 else math.nan
    except ValueError:
        hours = math.nan
    if not 0 <= hours <= LIMITS.hours:
        raise InputError(f"hours = {_short(text)}: 0 to {LIMITS.hours:g}")
    return hours


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
