"""Provenance of a run: sources, differences from another one, operations, and what is needed to repeat it."""

from __future__ import annotations

import time
import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import exoabm
from exoabm.cells.behaviors import local_behaviors
from exoabm.errors import InputError
from exoabm.parameters import Quantity, references
from exoabm.process_memory import peak_memory
from exoabm.scenario.loader import PATH_KEY, PATH_KEYS, load, of_checkpoint, run_of, sha256_of, shipped
from exoabm.scenario.schema_base import entries, plain_data, quantities
from exoabm.software import code, machine, made_with, versions
from exoabm.tables.declarations import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exoabm.model import ExosomeModel
    from exoabm.scenario.loader import LoadedScenario


def sources(loaded: LoadedScenario) -> list[str]:
    """Keys of every work that a scenario's numbers, methods and libraries rest on, in order."""
    known = references()
    named = [key.strip() for _, quantity in quantities(loaded.scenario) for key in quantity.source.split(",")]
    always = [
        key
        for keyword in ("method", "guideline", "software")
        for key, entry in known.items()
        if entry.get("keywords") == keyword
    ]
    wanted = [*loaded.scenario.info.references, *named, *always]
    return [key for key in dict.fromkeys(wanted) if key in known]


def lasting(source: str) -> str:
    """A shipped scenario's name, or a path that holds wherever the work is resumed from."""
    return str(Path(source).resolve()) if source not in shipped() and Path(source).exists() else source


def check_sources_unchanged(
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
        As it was when the work was started.
    source : str
        What it was loaded from, see ``lasting``, with ``overrides``.
    table_sha256 : str or None
        Of its table, then.
    begun : str
        What was started: "run" or "batch".

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
        for key in ("silence", "give"):  # rows that were added to the source, as by `exoabm whatif`
            source_rows = {row.name for row in getattr(now.scenario, key)}
            own = [f"{key}.{row.name}." for row in getattr(then.scenario, key) if row.name not in source_rows]
            if own and not source_rows:
                own.append(key)  # an empty list, which stands for itself
            changed = {each: pair for each, pair in changed.items() if not each.startswith(tuple(own))}
    except InputError as error:
        raise InputError(f"{source} has changed since the {begun} was started: {error}") from None
    paths = [path for path in (now.table_path(), now.types_path()) if path is not None]
    if paths and table_sha256 is not None:
        for key in PATH_KEYS:
            changed.pop(key, None)  # wherever a table lies, what is in it counts
        if all(path.exists() for path in paths) and now.table_sha256() != table_sha256:
            changed[PATH_KEY] = ("as it was", f"{paths[0]}, which holds something else")
    if changed:
        lines = [f"  {key}: {old} -> {new}" for key, (old, new) in changed.items()]
        raise InputError(
            "\n".join([f"{source} has changed since the {begun} was started:", *lines])
            + f"\nrestore the original, or start a new {begun}"
        )


def differences(a: LoadedScenario, b: LoadedScenario) -> dict[str, tuple[str, str]]:
    """Keys whose values differ between two scenarios, with both values as text; words do not count."""
    left, right = (_values(loaded) for loaded in (a, b))
    keys = dict.fromkeys([*left, *right])
    absent = (None, "not there")
    pairs = {key: (left.get(key, absent), right.get(key, absent)) for key in keys}
    return {key: (a[1], b[1]) for key, (a, b) in pairs.items() if a[0] != b[0]}


def _values(loaded: LoadedScenario) -> dict[str, tuple[object, str]]:
    """By key what is compared, for a quantity its value in internal units, and the text."""
    found: dict[str, tuple[object, str]] = {}
    for key, value in entries(loaded.scenario):
        if value is not None and not key.startswith("info."):
            found[key] = _compared(value), _shown(value)
    return found


def _compared(value: Any) -> object:
    """Equal for equal values, however they were given."""
    if isinstance(value, list):
        return [_compared(each) for each in value]
    return float(value) if isinstance(value, Quantity) else str(value)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    return str(plain_data(value)["value"] if isinstance(value, Quantity) else value)


class Operation:
    """A run, resume, branch or export that is going on; ``row`` is what ``run.json`` says of it.

    Parameters
    ----------
    name : str
        "run", "resume", "branch" (from a checkpoint of another run) or "export".
    more
        Further entries of its row.
    """

    def __init__(self, name: str, **more: Any) -> None:
        started = datetime.now(UTC).isoformat(timespec="seconds")
        self._said: Mapping[str, Any] = {"operation": name, "started": started, **more}
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def row(self) -> dict[str, Any]:
        """The row of this moment: wall and CPU time in s and peak memory in bytes, of this process alone.

        A process that draws the preview beside the run is not counted.
        """
        return {
            **self._said,
            "wall_s": time.perf_counter() - self._wall,
            "cpu_s": time.process_time() - self._cpu,
            "peak_memory_bytes": peak_memory(),
        }


def about_run(model: ExosomeModel, loaded: LoadedScenario, plan: dict[str, Any]) -> dict[str, Any]:
    """The content of ``run.json`` as far as it is known at the start; ``hours`` is None where not given."""
    return {
        "schema_version": SCHEMA_VERSION,
        "scenario": tomllib.loads(plan["scenario"]),
        "scenario_name": loaded.name,
        "scenario_sha256": plan["scenario_sha256"],
        "table_sha256": plan["table_sha256"],
        "table_from": plan["table_from"],
        "table": None if model.placed is None else model.placed.record,
        "overrides": dict(loaded.overrides),
        "seed": model.streams.seed,
        "hours": plan["hours"],
        "engine": model.engine.name,
        "versions": versions(),
        "code": code(),
        "platform": machine(),
        "citations": sources(loaded),
        "warnings": model.warnings,
        **({"local_behaviors": names} if (names := behaviors_of_process(model)) else {}),
    }


def behaviors_of_process(model: ExosomeModel) -> list[str]:
    """Behaviors of a model that are registered in this process only."""
    return [name for name in local_behaviors() if name in model.state.behaviors]


def recipe(loaded: LoadedScenario, seed: int, hours: float | None, tables: dict[str, str]) -> dict[str, Any]:
    """Data to rebuild the model from the run folder; see ``scenario_of_recipe``."""
    import tomli_w

    resolved = loaded.resolved()
    source = loaded.table_path()
    resolved["layout"] |= tables
    return {
        "exoabm": exoabm.__version__,
        "made_with": made_with(),
        "scenario": tomli_w.dumps(resolved),
        "name": loaded.name,
        "source": lasting(loaded.name if run_of(loaded.folder) is None else str(loaded.folder)),
        "overrides": loaded.overrides,
        "scenario_sha256": sha256_of(resolved),
        "table_sha256": loaded.table_sha256(),
        "table_from": None if source is None else str(source),
        "seed": seed,
        "hours": hours,
    }


def scenario_of_recipe(recipe: dict[str, Any], work: Path) -> LoadedScenario:
    """The scenario of a recipe, with the table in the run's folder, if both are unchanged."""
    loaded = of_checkpoint(recipe, work)
    overrides = tuple((str(key), str(value)) for key, value in recipe["overrides"])
    check_sources_unchanged(loaded, recipe["source"], dict(overrides), recipe["table_sha256"], "run")
    return replace(loaded, overrides=overrides)
