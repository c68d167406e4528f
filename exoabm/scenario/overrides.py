"""Changes of a scenario given in Python or in commands: values by dotted key, silencings and gifts."""

from __future__ import annotations

import json
import reprlib
import tomllib
from collections.abc import Mapping
from copy import copy
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from exoabm.errors import InputError, did_you_mean
from exoabm.parameters.units import to_internal
from exoabm.scenario.schema_base import names_of

if TYPE_CHECKING:
    from exoabm.scenario.schema import Scenario

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


def check_no_option(key: str, option: str) -> None:
    """Refuse an option of the command line in place of a key of a scenario.

    Raises
    ------
    InputError
        With the option to give instead.
    """
    if key in NO_KEYS:
        raise InputError(f"{option} {key}: {NO_KEYS[key]}")


def rows_of_change(
    scenario: Scenario, *, silence: str | None, block: str | None, give: str | None, at: str
) -> dict[str, list[dict[str, Any]]]:
    """Rows of ``[[silence]]`` and ``[[give]]`` from texts; see ``ExosomeModel.branch``.

    Raises
    ------
    InputError
        If they are not written so.
    """
    if block is not None and silence is None:
        raise InputError(f"block = {block!r} needs silence, the cells or vesicles to which it applies")
    rows: dict[str, list[dict[str, Any]]] = {}
    if silence is not None:
        names = {row.name for row in scenario.silence}
        row = {"name": _free("silenced", names), "of": silence, "start": at}
        rows["silence"] = [row | ({} if block is None else {"block": block})]
    if give is not None:
        words = give.split()
        if len(words) != 3:
            raise InputError(f"give = {give!r}: write 'cell:17 CARGO COPIES', or cell_type:NAME")
        names = {gift.name for gift in scenario.give}
        to, cargo, copies = words[0], words[1], literal(words[2])
        rows["give"] = [
            {"name": _free("given", names), "to": to, "cargo": cargo, "copies": copies, "time": at}
        ]
    return rows


def _free(name: str, taken: set[str]) -> str:
    """A name that is not taken: itself, or with a number."""
    names = (name, *(f"{name}_{number}" for number in range(2, len(taken) + 3)))
    return next(each for each in names if each not in taken)
