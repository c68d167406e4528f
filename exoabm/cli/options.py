"""Arguments and options that several commands have, and what their values mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from exoabm import collector_paused
from exoabm.errors import InputError
from exoabm.transport.engine import ENGINES

if TYPE_CHECKING:
    from exoabm.scenario.loader import LoadedScenario

ScenarioArgument = Annotated[
    str,
    typer.Argument(
        metavar="SCENARIO", help="Name of an included scenario, path of a TOML file, or table of cells."
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a value, e.g. clock.step='30 s'. Repeatable.",
    ),
]
HoursOption = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Model time, 24, '24 h' or '90 min'; default as in the scenario."),
]
EngineOption = Annotated[
    str | None, typer.Option("--engine", help=f"{' or '.join(ENGINES)}; default as in the scenario.")
]
SeedOption = Annotated[int | None, typer.Option(help="0 to 2^63 - 1; random and recorded by default.")]
ReplicatesOption = Annotated[int, typer.Option(help="Runs per point; all points use the same seeds.")]
ThreadsOption = Annotated[
    int | None,
    typer.Option(min=1, max=256, help="Threads at most; default as many as make the run faster here."),
]
JobsOption = Annotated[int, typer.Option(min=1, max=1024, help="Parallel runs on this machine.")]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        metavar="tcp://HOST:PORT|local:N",
        help="Address of a Dask scheduler with the same file system, or local:N workers; extra 'cluster'.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def load(scenario: str, pairs: list[str] | None = None, engine: str | None = None) -> LoadedScenario:
    """A scenario by name or path, with ``--set`` and ``--engine`` applied."""
    with collector_paused():
        from exoabm.scenario import loader

    return loader.load(scenario, changes_of(pairs, engine))


def changes_of(pairs: list[str] | None, engine: str | None) -> dict[str, str]:
    """Keys and values of ``--set`` and ``--engine``."""
    changes = overrides_of(pairs)
    if engine is not None and changes.setdefault("transport.engine", engine) != engine:
        raise InputError(
            f"--engine {engine} and --set transport.engine={changes['transport.engine']}: give one"
        )
    return changes


def overrides_of(pairs: list[str] | None) -> dict[str, str]:
    """Keys and values of ``--set``."""
    from exoabm.scenario.overrides import check_no_option

    overrides = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {pair!r}: write KEY=VALUE, e.g. --set clock.duration='12 h'")
        check_no_option(key.strip(), "--set")
        if key.strip() in overrides:
            raise InputError(f"--set {key.strip()} is given twice")
        overrides[key.strip()] = value.strip()
    return overrides


def check_grid_memory(loaded: LoadedScenario) -> None:
    """Refuse, before slow imports, a scenario whose declared size exceeds the memory."""
    from exoabm.scenario.resource_estimate import check_grid_memory

    check_grid_memory(loaded.scenario)


def positive_hours(text: str | None) -> float | None:
    """Value of ``--hours`` in h; a number without unit is in hours."""
    from exoabm.scenario.overrides import model_time

    return None if text is None else model_time(text, "--hours")[0]
