"""Changes of a scenario: values given in Python, written as in a scenario file, and changes during a run.

Between two steps rates, probabilities and saturations may change: the values that each step reads anew. The
results of earlier steps (places of cells, sizes of vesicles, initial contents), the recording and the
duration are fixed.
"""

from __future__ import annotations

import json
import reprlib
import tomllib
from collections.abc import Mapping
from copy import copy
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from exoabm.errors import InputError, did_you_mean
from exoabm.parameters.units import to_internal
from exoabm.scenario.schema_fields import names_of, quantities

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exoabm.scenario.loader import LoadedScenario

Changes = Mapping[str, Any]
"""Dotted keys of a scenario and their new values; see ``text_of``."""
MOST_HOURS = 1e6
"""Longest model time, h."""
NO_KEYS = {
    "seed": "a seed is not a key of a scenario: --seed is that of the first run, --replicates their number",
    "replicates": "replicates are not a key of a scenario: give --replicates N",
    "engine": "the key is transport.engine; --engine sets it, too",
    "hours": "the key is clock.duration; --hours sets it, too",
    "threads": "threads are not a key of a scenario and change no result: give --threads N",
}
"""Options of the command line that are mistaken for keys, and how to give them."""


def texts_of(changes: Changes | None, more: Changes | None = None) -> dict[str, str]:
    """Changes of a scenario as texts, as ``scenario.loader.load`` takes them.

    Parameters
    ----------
    changes : mapping, optional
        Values by dotted key, such as ``"cell_type.donor.release_rate"``.
    more : mapping, optional
        The same by names of Python, with ``__`` for each dot: ``clock__duration``.

    Raises
    ------
    InputError
        If a value is of a type that a scenario cannot hold, or a key is given twice.
    """
    found: dict[str, str] = {}
    if not isinstance(changes or {}, Mapping):
        raise InputError(
            f"changes: give values by key, as in {{'clock.step': '10 min'}}, not {changes!r:.80}"
        )
    pairs = [*(changes or {}).items(), *((key.replace("__", "."), v) for key, v in (more or {}).items())]
    for key, value in pairs:
        if not isinstance(key, str):
            raise InputError(f"changes: the key {key!r} is not a text")
        if key in found:
            raise InputError(f"{key} is given twice")
        found[key] = text_of(value, key)
    return found


def text_of(value: Any, key: str) -> str:
    """A value as text, as after ``=`` in a scenario file, or a bare word or quantity.

    Parameters
    ----------
    value
        Text as it is (``"100 / h"``); a number, read in the unit of its parameter; a pair of a number and a
        unit, ``(100, "1/h")``; a quantity with ``magnitude`` and ``units``, as of pint; True or False; a
        list or a mapping of these.
    key : str
        Name in errors.

    Raises
    ------
    InputError
        If it is none of these.
    """
    plain = _plain(value, key)
    return plain if isinstance(plain, str) else _toml(plain)


def model_time(value: Any, name: str) -> tuple[float, float]:
    """A model time above 0 in h and in s; a number without a unit is in hours.

    Raises
    ------
    InputError
        Naming the option.
    """
    try:
        hours, seconds = to_internal(text_of(value, name), "h")
    except InputError as error:
        raise InputError(f"{name} {value}: {error}; write 24 or '24 h'") from None
    if not 0 < hours < MOST_HOURS:
        raise InputError(f"{name} {value}: must be above 0 and below {MOST_HOURS:.0e} h".replace("e+0", "e"))
    return hours, seconds


def tables_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """A scenario given as nested mappings, with quantities as texts; see ``text_of``."""
    return {str(key): _plain(value, str(key)) for key, value in values.items()}


def _plain(value: Any, key: str) -> Any:
    """A value as text, number, truth value, or lists and dicts of them."""
    if isinstance(value, str | bool):
        return value
    if hasattr(value, "magnitude") and hasattr(value, "units"):
        return _with_unit(value.magnitude, format(value.units, "C"), key)
    if _is_pair(value):
        return _with_unit(value[0], value[1], key)
    if hasattr(value, "tolist") and not hasattr(value, "__arrow_c_stream__"):  # of NumPy
        return _plain(value.tolist(), key)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(item, f"{key}.{name}") for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, key) for item in value]
    if hasattr(value, "__arrow_c_stream__") or hasattr(value, "collect"):
        raise InputError(
            f"{key}: a {type(value).__name__} is no value of a key; give it as the scenario: "
            "scenario_from_table(frame), or scenario(frame) and run(frame) with the types of `tissue`"
        )
    raise InputError(
        f"{key} = {reprlib.repr(value)}: a value is a text such as '100 / h', a number, a pair (number, "
        "'unit'), a quantity of pint, True, False, or a list or mapping of these"
    )


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and isinstance(value[1], str)
        and not isinstance(value[0], str)
    )


def _with_unit(number: Any, unit: str, key: str) -> str:
    number = number.tolist() if hasattr(number, "tolist") else number
    if isinstance(number, bool) or not isinstance(number, Real):
        raise InputError(f"{key}: a quantity is one number with a unit")
    unit = "" if unit == "dimensionless" else unit
    return f"{float(number)!r} {unit}".strip()


def _toml(value: Any) -> str:
    """A value in TOML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)  # nan and inf as in TOML
    return json.dumps(value, ensure_ascii=False)


def override(raw: dict[str, Any], dotted: str, value: str, name: str) -> None:
    """Set one dotted key in the raw tables; elements of a list are found by their names.

    Changed tables are copied, so that the original serves for other overrides.
    """
    parts = dotted.split(".")
    node: Any = raw
    for depth, part in enumerate(parts[:-1]):
        if isinstance(node, list):
            names = names_of(node)
            if part.isdecimal() and int(part) < len(node):
                at: Any = int(part)
            elif part in names:
                at = names.index(part)
            else:
                where = ".".join(parts[:depth])
                raise InputError(
                    f"{name}: {dotted}: there is no {where} named {part!r}"
                    f"{did_you_mean(part, names)} (there are: {', '.join(names)})"
                )
        elif isinstance(node, dict):
            at = part
            node.setdefault(part, {})
        else:
            raise InputError(f"{name}: {dotted}: {'.'.join(parts[:depth])} is not a table")
        node[at] = copy(node[at])
        node = node[at]
    if not isinstance(node, dict):
        raise InputError(f"{name}: {dotted}: give the name of the element and the key")
    node[parts[-1]] = literal(value)


def literal(text: str) -> Any:
    """The value of a text in TOML, or the text itself."""
    if len(text) < 4096:
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except (ValueError, RecursionError):
            pass
    return text


OPEN = (
    *(
        f"cell_type.*.{key}"
        for key in (
            "release_rate ilvs_per_mvb uptake_rate saturation delivery_probability recycling_probability "
            "division_rate death_rate motility persistence transformation.rate mvb.fate_rate "
            "mvb.secretory_fraction waste.* follows.speed follows.half_max follows.hill climbs.coefficient "
            "holds.*.production holds.*.replication holds.*.clearance holds.*.export behavior.*"
        ).split()
    ),
    *(
        f"vesicle.*.{key}"
        for key in (
            "half_life binding_rate unbinding_rate internalization_rate processing_rate "
            "recycling_probability delivery_probability"
        ).split()
    ),
    "response.*.half_max",
    "response.*.hill",
    "response.*.to",
    "transport.hindrance",
    "transport.viscosity",
    "transport.temperature",
)
"""Keys that may change, as patterns."""


@dataclass(frozen=True)
class StepChange:
    """A value changed between steps: model time in s, dotted key, the value as text and the one before."""

    time_s: float
    key: str
    value: str
    before: str

    def row(self) -> dict[str, Any]:
        """As in ``run.json``."""
        return asdict(self)


def changed_between_steps(
    loaded: LoadedScenario, time_s: float, key: str, value: object
) -> tuple[LoadedScenario, StepChange]:
    """The scenario from a model time on, and the record of its change.

    Raises
    ------
    InputError
        If the key is unknown or fixed, or the value is not allowed.
    """
    known = dict(quantities(loaded.scenario))
    able = [name for name in known if any(fnmatchcase(name, pattern) for pattern in OPEN)]
    if key not in able:
        if key in known:
            raise InputError(f"{key} cannot change between steps; those that can: {', '.join(able)}")
        raise InputError(f"{key}: no number of this scenario{did_you_mean(key, able)}")
    text, unit = text_of(value, key), known[key].parameter.unit
    number = literal(text)
    if isinstance(number, int | float) and not isinstance(number, bool) and unit != "1":
        text = f"{number} {unit}"
    return loaded.changed({key: text}), StepChange(time_s, key, text, str(known[key]))


def check_step_changes(
    loaded: LoadedScenario, changes: Sequence[tuple[float, str, str]], end_s: float
) -> None:
    """Refuse changes of a run before it begins.

    Raises
    ------
    InputError
        As ``changed_between_steps``, or for a time outside the run.
    """
    for time, key, value in changes:
        if not 0 <= time < end_s:
            hours, end = time / 3600, end_s / 3600
            raise InputError(f"{key}: a change at {hours:g} h is outside the run, which ends at {end:g} h")
        loaded, _ = changed_between_steps(loaded, time, key, value)


def with_step_changes(loaded: LoadedScenario, changes: Sequence[StepChange]) -> LoadedScenario:
    """The scenario of a run folder after changes between steps; its tables stay where they are."""
    if not changes:
        return loaded
    return replace(loaded, overrides=()).changed({each.key: each.value for each in changes})


def check_no_option(key: str, option: str) -> None:
    """Refuse an option of the command line in place of a key of a scenario.

    Raises
    ------
    InputError
        With the option to give instead.
    """
    if key in NO_KEYS:
        raise InputError(f"{option} {key}: {NO_KEYS[key]}")
