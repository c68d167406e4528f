"""Whether a scenario is still what it was when a run or a batch was begun."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from exoabm.errors import InputError
from exoabm.scenario.fields import entries, plain_data
from exoabm.scenario.loader import PATH_KEY, PATH_KEYS, load, shipped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exoabm.scenario.loader import LoadedScenario


def lasting(source: str) -> str:
    """A shipped scenario's name, or a path that holds wherever the work is resumed from."""
    return str(Path(source).resolve()) if source not in shipped() and Path(source).exists() else source


def refuse_changes(
    then: LoadedScenario,
    source: str,
    overrides: Mapping[str, str],
    table_sha256: str | None,
    begun: str,
) -> None:
    """Refuse to go on where a scenario or its table is no longer what it was.

    A source that is gone contradicts nothing, nor does a table.

    Parameters
    ----------
    then : LoadedScenario
        As it was when the work was begun.
    source : str
        What it was loaded from, see ``lasting``, with ``overrides``.
    table_sha256 : str or None
        Of its table, then.
    begun : str
        What was begun: "run" or "batch".

    Raises
    ------
    InputError
        Naming each key that changed, with the old and the new value.
    """
    if source not in shipped() and not Path(source).exists():
        return
    try:
        now = load(source, overrides)
        changed = differences(then, now)
    except InputError as error:
        raise InputError(f"{source} has changed since the {begun} was begun: {error}") from None
    paths = [path for path in (now.table_path(), now.types_path()) if path is not None]
    if paths and table_sha256 is not None:
        for key in PATH_KEYS:
            changed.pop(key, None)  # wherever a table lies, what is in it counts
        if all(path.exists() for path in paths) and now.table_sha256() != table_sha256:
            changed[PATH_KEY] = ("as it was", f"{paths[0]}, which holds something else")
    if changed:
        lines = [f"  {key}: {old} -> {new}" for key, (old, new) in changed.items()]
        raise InputError(
            "\n".join([f"{source} has changed since the {begun} was begun:", *lines])
            + f"\nput it back as it was, or begin a new {begun}"
        )


def differences(a: LoadedScenario, b: LoadedScenario) -> dict[str, tuple[str, str]]:
    """Keys whose values differ between two scenarios, with both values as text; words do not count."""
    left, right = (_values(loaded) for loaded in (a, b))
    keys = dict.fromkeys([*left, *right])
    return {
        key: (left.get(key, "not there"), right.get(key, "not there"))
        for key in keys
        if left.get(key) != right.get(key)
    }


def _values(loaded: LoadedScenario) -> dict[str, str]:
    found = {}
    for key, value in entries(loaded.scenario):
        if value is not None and not key.startswith("info."):
            plain = plain_data(value)
            found[key] = str(plain["value"] if isinstance(plain, dict) and "value" in plain else plain)
    return found
