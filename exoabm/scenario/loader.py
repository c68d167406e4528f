"""Reading and validation of scenario files, with overrides."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from exoabm.errors import InputError, ScenarioError, did_you_mean, visible
from exoabm.manifest import demand, listed
from exoabm.output.run_folder import check_finished
from exoabm.readers.file_formats import TABLES, fingerprint, is_table, refuse_other
from exoabm.scenario import shipped as shipped
from exoabm.scenario.overrides import override, rows_of_change, texts_of
from exoabm.scenario.schema import Scenario
from exoabm.scenario.schema_base import cautions, plain_data
from exoabm.scenario.validation import (
    MAX_PROBLEMS,
    hidden_characters,
    inconsistencies,
    schema_problems,
    shortened,
    unresolved,
)
from exoabm.software import check_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from exoabm.scenario.overrides import Changes

MAX_BYTES = 1 << 20
PATH_KEY = "layout.table"
PATH_KEYS = (PATH_KEY, "layout.types_from")
TABLE_SCENARIO = "tissue"
"""The scenario in which a table of cells is run by default."""
RUN = "run.json"
IN_MEMORY = "exoabm-table-"
"""How the name of a folder begins that holds a table given in memory, and ends with the process."""


@dataclass(frozen=True, repr=False)
class LoadedScenario:
    """A valid scenario and its origin.

    Table paths are relative to ``folder``. An untrusted scenario (an upload, a URL) may read no files outside
    it. ``text`` is the file as read, for reading it again with other overrides. A notebook shows a
    table of its keys with value, unit, range and source.

    Examples
    --------
    >>> import exoabm as xo
    >>> xo.scenario("two_cells")
    <scenario two_cells: Two cells>
    """

    name: str
    scenario: Scenario
    folder: Path
    trusted: bool = True
    overrides: tuple[tuple[str, str], ...] = ()
    text: bytes = field(default=b"", repr=False, compare=False)

    def __repr__(self) -> str:
        return f"<scenario {self.name}: {visible(self.scenario.info.title)}>"

    def _repr_html_(self) -> str:
        from exoabm.scenario.key_table import html_of

        return html_of(self)

    @cached_property
    def cautions(self) -> tuple[str, ...]:
        """A sentence for every value outside its published range."""
        return tuple(cautions(self.scenario))

    def table_path(self) -> Path | None:
        """Path of the layout's table, if it has one.

        Raises
        ------
        InputError
            If an untrusted scenario names a file outside its folder.
        """
        return self._beside(self.scenario.layout.table, PATH_KEY)

    def types_path(self) -> Path | None:
        """Path of the second table, with the types, if there is one; see ``table_path``."""
        return self._beside(self.scenario.layout.types_from, PATH_KEYS[1])

    def _beside(self, name: str | None, key: str) -> Path | None:
        if name is None:
            return None
        path = Path(name)
        resolved = _resolve(self.folder / path, self.name)
        if not self.trusted and not (
            resolved.is_relative_to(self.folder.resolve()) and not path.is_absolute()
        ):
            raise InputError(
                f"{self.name}: {key} = {str(path)!r} is outside the scenario's folder; "
                "a scenario from an upload or a URL may only use files in its folder"
            )
        return resolved

    def table_sha256(self) -> str | None:
        """SHA-256 of the layout's table, if it has one; of both, if a second one has its types."""
        paths = [path for path in (self.table_path(), self.types_path()) if path is not None]
        try:
            return sha256_of_tables(paths)
        except OSError as error:
            why = f"{error.filename}: {error.strerror}"
            raise InputError(f"the table of cells cannot be read: {why}") from None

    def resolved(self) -> dict[str, Any]:
        """The scenario with all defaults, as plain data for TOML or JSON."""
        plain = plain_data(self.scenario)
        assert isinstance(plain, dict)
        return plain

    def written(self) -> str:
        """The scenario as written, with later overrides, as TOML.

        Without defaults, since these may depend on a value that is set later.
        """
        import tomli_w

        return tomli_w.dumps(_tables(self.text, self.name, dict(self.overrides), trusted=self.trusted))

    def changed(self, changes: Changes) -> LoadedScenario:
        """The scenario with other values, as if set at first.

        Parameters
        ----------
        changes : mapping
            Values by dotted key: texts, numbers in the unit of their parameter, pairs ``(number, "unit")``,
            quantities of pint; see ``scenario.overrides.text_of``.

        Raises
        ------
        InputError
            If one of them is not allowed.

        Examples
        --------
        >>> import exoabm as xo
        >>> faster = xo.scenario("two_cells").changed({"cell_type.donor.release_rate": "2 / min"})
        >>> faster.scenario.cell_type[0].release_rate
        <release_rate 120 1/h>
        """
        given = dict(self.overrides) | texts_of(changes)
        return parse(self.text, name=self.name, folder=self.folder, overrides=given, trusted=self.trusted)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the scenario as written, with its changes, to a TOML file.

        A table is named by its full path; one that was given in memory is written beside the file.

        Raises
        ------
        InputError
            If the name does not end in ``.toml``, the file exists, or it cannot be written.
        """
        to = Path(path)
        if to.suffix != ".toml":
            raise InputError(f"{to}: a scenario is written to a file whose name ends in .toml")
        from exoabm.output.durable_files import atomic_file, check_new, together, writing_into

        given, contents = {}, {to: b""}
        for key, table in ((PATH_KEY, self.table_path()), (PATH_KEYS[1], self.types_path())):
            if table is None:
                continue
            given[key] = str(table.resolve())
            if table.parent.name.startswith(IN_MEMORY):
                beside = to.with_name(f"{to.stem}.{table.name}")
                contents[beside], given[key] = table.read_bytes(), str(beside.resolve())
        check_new(*contents, overwrite=overwrite)
        contents[to] = self.changed(given).written().encode()
        with writing_into(to.parent, to), together() as stack:
            for each, content in contents.items():
                stack.enter_context(atomic_file(each)).write_bytes(content)
        return to

    def extended(self, **tables: Sequence[Mapping[str, Any]]) -> LoadedScenario:
        """The scenario with further elements of lists of tables, e.g. ``silence=[{"name": ..., ...}]``.

        Raises
        ------
        InputError
            If one of them is not allowed.
        """
        import tomli_w

        raw = tomllib.loads(self.written())
        for key, more in tables.items():
            raw[key] = [*raw.get(key, []), *more]
        text = tomli_w.dumps(raw).encode()
        made = parse(text, name=self.name, folder=self.folder, trusted=self.trusted)
        return replace(made, overrides=self.overrides)

    def with_change(
        self,
        *,
        silence: str | None = None,
        block: str | None = None,
        give: str | None = None,
        at: str = "0 h",
    ) -> LoadedScenario:
        """The scenario with a silencing or a gift from a model time on; see ``ExosomeModel.branch``.

        Raises
        ------
        InputError
            If they are not written so, or name nothing in the scenario.
        """
        tables = rows_of_change(self.scenario, silence=silence, block=block, give=give, at=at)
        return self.extended(**tables) if tables else self

    def sha256(self) -> str:
        """SHA-256 of the resolved scenario as canonical JSON."""
        return sha256_of(self.resolved())


def sha256_of_tables(paths: Sequence[Path]) -> str | None:
    """SHA-256 of a layout's tables, one or two."""
    if len(paths) < 2:
        return fingerprint(paths[0]) if paths else None
    return hashlib.sha256("".join(map(fingerprint, paths)).encode()).hexdigest()


def sha256_of(resolved: Mapping[str, Any]) -> str:
    """SHA-256 of a resolved scenario as canonical JSON."""
    text = json.dumps(resolved, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def run_of(source: str | Path) -> Path | None:
    """The run folder that a source refers to, by its path or that of its ``run.json``; else None."""
    path = Path(source)
    try:
        if str(source) in shipped():
            return None
        if path.name == RUN and path.is_file():
            return path.parent
        return path if path.is_dir() and ((path / RUN).is_file() or RUN in listed(path)) else None
    except (OSError, ValueError):
        return None


def read_run(folder: Path) -> dict[str, Any]:
    """The ``run.json`` of a run folder, verified by its manifest.

    Raises
    ------
    InputError
        If it is missing or damaged.
    """
    demand(folder, [RUN])
    try:
        about = json.loads((folder / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{folder / RUN} cannot be read: {type(error).__name__}: {error}") from None
    if not isinstance(about, dict) or not isinstance(about.get("scenario"), dict):
        raise InputError(f"{folder / RUN} holds no scenario")
    return about


def load(
    source: str | Path, overrides: Mapping[str, str] | None = None, *, trusted: bool = True
) -> LoadedScenario:
    """Read a scenario by shipped name or path, that of a run, or a table of cells in ``tissue``.

    Parameters
    ----------
    source
        A name such as ``"signaling"`` or a path. An untrusted source must be a name. A run folder
        contains its table of cells and suffices to repeat the run.
    overrides
        Dotted keys and values as text, e.g. ``{"cell_type.donor.release_rate": "10"}``.
    trusted
        False for an upload or a URL.

    Raises
    ------
    ScenarioError, InputError
        With file, key, value and the allowed values.

    Examples
    --------
    >>> import exoabm as xo
    >>> xo.load("two_cells", {"clock.step": "10 min"})
    <scenario two_cells: Two cells>
    """
    names = shipped()
    text = str(source)
    run = run_of(source) if trusted else None
    if run is not None:
        return _load_run(run, overrides)
    if trusted and text not in names and is_table(text):
        given = {PATH_KEY: text, **(overrides or {})}
        from exoabm.scenario.scenario_from_table import scenario_of_table

        return parse(scenario_of_table(Path(text)), name=text, folder=Path.cwd(), overrides=given)
    if text in names:
        path = names[text]
    elif trusted and os.path.isfile(text):  # noqa: PTH113  Path refuses a name that is too long
        path = Path(text)
    else:
        raise _not_there(text, names, trusted)
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    refuse_other(str(path), data)
    name = path.stem if text in names else str(path)
    return parse(data, name=name, folder=path.parent, overrides=overrides, trusted=trusted)


def _not_there(text: str, names: Iterable[str], trusted: bool) -> InputError:
    """Why a text is no scenario."""
    if trusted:
        check_finished(Path(text))
        if os.path.lexists(text) and Path(text).is_dir():
            return InputError(f"{shortened(text)} is a folder without a run")
        kind = "table of cells" if text.lower().endswith(TABLES) else "scenario file"
        if kind != "scenario file" or text.endswith(".toml") or "/" in text:
            return InputError(f"no {kind} at {text[:200]}")
    return InputError(
        f"unknown scenario {shortened(text)}{did_you_mean(text, names)}; `exoabm list` shows all"
    )


def _load_run(folder: Path, overrides: Mapping[str, str] | None) -> LoadedScenario:
    import tomli_w

    about = read_run(folder)
    layout = about["scenario"].get("layout")
    tables = [layout.get(key.split(".")[1]) for key in PATH_KEYS] if isinstance(layout, dict) else []
    demand(folder, [table for table in tables if isinstance(table, str) and not Path(table).is_absolute()])
    name = str(about.get("scenario_name", folder.name))
    return parse(tomli_w.dumps(about["scenario"]).encode(), name=name, folder=folder, overrides=overrides)


def parse(
    data: bytes,
    *,
    name: str,
    folder: Path,
    overrides: Mapping[str, str] | None = None,
    trusted: bool = True,
) -> LoadedScenario:
    """Check the bytes of a scenario file; see ``load``."""
    given = dict(overrides or {})
    raw = _tables(data, name, given, trusted=trusted)
    if hidden := list(hidden_characters(raw))[:MAX_PROBLEMS]:
        raise ScenarioError(name, hidden)
    try:
        scenario = Scenario.model_validate(raw)
    except ValidationError as error:
        raise ScenarioError(name, list(schema_problems(error, raw))) from None
    problems = list(unresolved(scenario)) or list(inconsistencies(scenario))
    if problems:
        raise ScenarioError(name, problems)
    return LoadedScenario(name, scenario, folder, trusted, tuple(given.items()), data)


def of_checkpoint(plan: Mapping[str, Any], folder: Path) -> LoadedScenario:
    """The scenario of the run of a checkpoint at its start, whose table of cells lies in the run's folder.

    Raises
    ------
    InputError
        If it is of another version of exoabm, or not what it was.
    """
    check_version(plan["exoabm"], "run")
    loaded = parse(plan["scenario"].encode(), name=plan["name"], folder=folder)
    if loaded.sha256() != plan["scenario_sha256"]:
        raise InputError(f"the scenario {plan['name']} has changed since the run was started")
    if loaded.table_sha256() != plan["table_sha256"]:
        raise InputError(f"{loaded.table_path()} is damaged; the original table is required")
    return loaded


def _tables(data: bytes, name: str, overrides: Mapping[str, str], *, trusted: bool) -> dict[str, Any]:
    """The tables of a scenario file with the overrides in them, unchecked."""
    raw = copy(_toml(data, name))
    for key, value in overrides.items():
        own = str(_resolve(Path(value), name)) if key in PATH_KEYS and trusted else value
        override(raw, key, own, name)
    return raw


def _resolve(path: Path, name: str) -> Path:
    try:
        return path.resolve()
    except (OSError, ValueError):
        raise InputError(f"{name}: {PATH_KEY} = {shortened(str(path))}: not a path") from None


@lru_cache(maxsize=4)  # a batch reads one file with many overrides
def _toml(data: bytes, name: str) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise InputError(f"{name}: a scenario file may have at most {MAX_BYTES} bytes")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise InputError(f"{name}: not a text file (UTF-8 is expected)") from None
    except ValueError as error:  # also an integer of thousands of digits
        endings = f"; names of tables of cells end in {', '.join(TABLES)}"
        other = "" if Path(name).suffix in ("", ".toml") else endings
        raise InputError(f"{name}: not valid TOML: {error}{other}") from None
    except RecursionError:
        raise InputError(f"{name}: nested too deep to be a scenario") from None


def loaded_from(
    scenario: str | Path | LoadedScenario, overrides: object, values: Mapping[str, object]
) -> LoadedScenario:
    """The scenario, loaded, with other values; ``mesa.batch_run`` splits a mapping into its keys."""
    if not (overrides is None or isinstance(overrides, Mapping)):
        raise InputError(
            f"overrides = {overrides!r}: expected a dictionary of keys and values; with mesa.batch_run give "
            "each key as a parameter, or a list of dictionaries"
        )
    texts = {key: str(value) for key, value in {**(overrides or {}), **values}.items()}
    if not isinstance(scenario, LoadedScenario):
        return load(scenario, texts)
    return scenario.changed(texts) if texts else scenario
