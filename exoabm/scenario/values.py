"""Values of changed keys as they are given in Python, written as in a scenario file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from exoabm.errors import InputError

Changes = Mapping[str, Any]
"""Dotted keys of a scenario and their new values; see ``text_of``."""


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
    pairs = [*(changes or {}).items(), *((key.replace("__", "."), v) for key, v in (more or {}).items())]
    for key, value in pairs:
        if not isinstance(key, str):
            raise InputError(f"changes: the key {key!r} is not a text")
        if key in found:
            raise InputError(f"{key} is given twice")
        found[key] = text_of(value, key)
    return found


def text_of(value: Any, key: str) -> str:
    """A value as text: what stands behind ``=`` in a scenario file, or a bare word or quantity.

    Parameters
    ----------
    value
        Text as it is (``"100 / h"``); a number, read in the unit of its parameter; a pair of a number and a
        unit, ``(100, "1/h")``; a quantity with ``magnitude`` and ``units``, as of pint; True or False; a
        list or a mapping of these.
    key : str
        What an error names.

    Raises
    ------
    InputError
        If it is none of these.
    """
    plain = _plain(value, key)
    return plain if isinstance(plain, str) else _toml(plain)


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
    if hasattr(value, "tolist"):  # of NumPy
        return _plain(value.tolist(), key)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(item, f"{key}.{name}") for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, key) for item in value]
    raise InputError(
        f"{key} = {value!r}: a value is a text such as '100 / h', a number, a pair (number, 'unit'), a "
        "quantity of pint, True, False, or a list or mapping of these"
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
