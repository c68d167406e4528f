"""Rows of a batch, and the plan that contains them.

A row is a scenario with some values changed, and a seed. The plan has everything that a row needs, so that
any process on any machine makes the same row from it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import exoabm
from exoabm.errors import InputError, whole_number
from exoabm.output.durable_files import write_whole
from exoabm.runs.provenance import check_sources_unchanged, lasting
from exoabm.scenario.loader import LoadedScenario, parse
from exoabm.software import check_version, made_with

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

PLAN = "plan.json"
READOUTS = "exoabm.batch.execution.run_readouts:measure"
CHUNK_SECONDS = 1.0
"""Rows that are quick share a file of about this much work, so that writing it costs little beside them."""
LARGEST_CHUNK = 64
POINTS_KEPT = 16
"""Scenarios that a plan keeps checked, for replicates of a point come one after the other."""
SEED_BITS = 63

PLACE = frozenset({"source", "folder", "name", "about", "made_with"})
"""Fields of a plan by which two of one batch may differ."""

Keep = Literal["readouts", "runs"]
Overrides = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Row:
    """One run of a batch: dotted keys and values that replace the scenario's, and a seed.

    ``name`` is unique in a batch, and also the name of the row's run folder where that is kept.
    """

    name: str
    overrides: Overrides
    seed: int


def row_of(overrides: Mapping[str, str] | Overrides, seed: int) -> Row:
    """A row named by its content, so that it has the same name in any order and any batch."""
    pairs = tuple(dict(overrides).items())
    return Row(digest([sorted(pairs), seed])[:12], pairs, seed)


def replicate_seeds(base: int, replicates: int, *, salt: str = "") -> list[int]:
    """Seeds of the replicates, each a function of the base seed and its number alone.

    Every design point has the same list, so that points differ by what is varied and not by chance (common
    random numbers). With a ``salt``, such as the point itself, the lists are independent.

    Raises
    ------
    InputError
        If the base is not a seed.
    """
    base = whole_number("seed", base, 0, 2**63 - 1)
    texts = (f"{base}/{salt}/{replicate}" for replicate in range(replicates))
    return [int.from_bytes(hashlib.sha256(t.encode()).digest()[:8], "big") >> 1 for t in texts]


def digest(data: Any) -> str:
    """SHA-256 of plain data as canonical JSON."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Plan:
    """Plan of a batch: the scenario, the rows, and the results to keep.

    Attributes
    ----------
    source : str
        What the scenario was loaded from, to see later whether it has changed.
    scenario : str
        The whole scenario as TOML, as it was written.
    name, folder : str
        The scenario's name, and the folder that its table's path starts from.
    base : Overrides
        What was changed in all rows (``--set``); it is in ``scenario`` already.
    table_sha256 : str or None
        Of the layout's table.
    rows : tuple of Row
    hours : float or None
        Model time; the scenario's duration if None.
    keep : str
        ``"readouts"``, or ``"runs"`` for whole run folders beside them.
    measure : str
        ``"module:function"`` that takes a finished model and returns a number per readout.
    times : tuple of float
        Model times on the way, h, at which it is read too; these readouts are named ``NAME@TIME``.
    chunk : int
        Rows that share a file.
    about : mapping
        What the batch was made from, such as the design; it shapes the report, never a row.
    made_with : mapping
        Versions and machine that began it, see ``provenance.made_with``; others may go on with it.
    pairs : bool
        Whether rows keep the vesicles exchanged between types, by vesicle kind; see
        ``analysis.communication``.
    """

    source: str
    scenario: str
    name: str
    folder: str
    base: Overrides
    table_sha256: str | None
    rows: tuple[Row, ...]
    hours: float | None
    keep: Keep
    measure: str
    times: tuple[float, ...]
    chunk: int
    about: Mapping[str, Any]
    made_with: Mapping[str, str]
    pairs: bool = False
    version: str = exoabm.__version__

    @classmethod
    def of(
        cls,
        loaded: LoadedScenario,
        rows: Iterable[Row],
        *,
        source: str | Path | None = None,
        hours: float | None = None,
        keep: Keep = "readouts",
        measure: str = READOUTS,
        times: Iterable[float] = (),
        seconds_per_row: float | None = None,
        about: Mapping[str, Any] | None = None,
        pairs: bool = False,
    ) -> Plan:
        """Plan a batch of rows of one scenario.

        ``seconds_per_row`` is a guess that decides how many rows share a file. It must not be a measured
        time, or two equal batches would have other files.

        Raises
        ------
        InputError
            If there are no rows, or two have the same name.
        """
        rows = tuple(rows)
        names = [row.name for row in rows]
        if not rows:
            raise InputError("a batch needs at least one row")
        if len(set(names)) < len(names):
            twice = next(name for i, name in enumerate(names) if name in names[:i])
            raise InputError(f"two rows of the batch are the same ({twice}); vary other values")
        return cls(
            source=lasting(str(source or loaded.name)),
            scenario=loaded.written(),
            name=loaded.name,
            folder=str(loaded.folder.resolve()),
            base=loaded.overrides,
            table_sha256=loaded.table_sha256(),
            rows=rows,
            hours=hours,
            keep=keep,
            measure=measure,
            times=tuple(times),
            chunk=1 if keep == "runs" else _chunk(seconds_per_row, len(rows)),
            about=dict(about or {}),
            made_with=made_with(),
            pairs=pairs,
        )

    @cached_property
    def sha256(self) -> str:
        """Hash of all inputs of the results, without paths of files and workers."""
        plain = self._plain()
        return digest({name: value for name, value in plain.items() if name not in PLACE})

    @property
    def chunks(self) -> int:
        """Number of files that the rows go into."""
        return -(-len(self.rows) // self.chunk)

    @cached_property
    def main_readout(self) -> str:
        """The readout that results begin with; "" for none."""
        asked = self.loaded().scenario.main_readout
        return "" if asked is None else asked.metric

    def rows_of(self, chunk: int) -> tuple[Row, ...]:
        """The rows of one file."""
        return self.rows[chunk * self.chunk : (chunk + 1) * self.chunk]

    def loaded(self) -> LoadedScenario:
        """The scenario of the batch, before a row changes it."""
        return self._scenario_at(())

    @property
    def duration_h(self) -> float:
        """Model time of its rows, in h."""
        return self.hours or float(self.loaded().scenario.clock.duration) / 3600

    def scenario_of(self, row: Row) -> LoadedScenario:
        """The scenario of a row.

        Raises
        ------
        InputError
            If a value that the row changes is not allowed.
        """
        return self._scenario_at(row.overrides)

    @cached_property
    def _scenario_at(self) -> Callable[[Overrides], LoadedScenario]:
        text, folder = self.scenario.encode(), Path(self.folder)

        @lru_cache(maxsize=POINTS_KEPT)
        def at(overrides: Overrides) -> LoadedScenario:
            return parse(text, name=self.name, folder=folder, overrides=dict(overrides))

        return at

    def __getstate__(self) -> dict[str, Any]:
        """Without the scenarios that are kept: with them a sweep could not be pickled."""
        return {name: value for name, value in vars(self).items() if name != "_scenario_at"}

    def write(self, folder: Path) -> None:
        """Write ``plan.json``, whole or not at all."""
        text = json.dumps(self._plain() | {"sha256": self.sha256}, ensure_ascii=False, allow_nan=False)
        write_whole(folder / PLAN, text.encode())

    @classmethod
    def read(cls, folder: Path) -> Plan:
        """Read ``plan.json``.

        Raises
        ------
        InputError
            If the folder holds none, it is damaged, or of another version of exoabm.
        """
        try:
            plain = json.loads((folder / PLAN).read_text(encoding="utf-8"))
            expected = plain.pop("sha256")
            plain["rows"] = tuple(Row(name, _pairs(pairs), seed) for name, pairs, seed in plain["rows"])
            plan = cls(**(plain | {"base": _pairs(plain["base"]), "times": tuple(plain["times"])}))
        except FileNotFoundError:
            raise InputError(f"{folder} contains no batch (there is no {PLAN} in it)") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder / PLAN} cannot be read: {error}") from None
        check_version(plan.version, "batch")
        if plan.sha256 != expected:
            raise InputError(f"{folder / PLAN} was changed after the batch was started")
        return plan

    def check_unchanged(self) -> None:
        """Refuse to resume with a changed scenario or table.

        A source that is gone contradicts nothing: the plan holds all of the scenario.

        Raises
        ------
        InputError
            Naming each key that changed, with the old and the new value.
        """
        then = self.loaded()
        check_sources_unchanged(then, self.source, dict(self.base), self.table_sha256, "batch")
        if then.table_sha256() != self.table_sha256:
            raise InputError(f"{then.table_path()} has changed since the batch was started")

    def _plain(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in type(self).__dataclass_fields__}
        return plain | {"rows": [[row.name, row.overrides, row.seed] for row in self.rows]}


def seconds_of_row(loaded: LoadedScenario, hours: float | None) -> float:
    """About how long a row takes, s; from the scenario alone, so that equal batches have equal files."""
    from exoabm.scenario.state_builder import blueprint

    guess = blueprint(loaded, seed=0).estimate
    share = 1.0 if hours is None else hours * 3600 / float(loaded.scenario.clock.duration)
    return share * guess.steps * guess.step_seconds


def _pairs(pairs: Any) -> Overrides:
    return tuple((str(key), str(value)) for key, value in pairs)


def _chunk(seconds: float | None, rows: int) -> int:
    fitting = LARGEST_CHUNK if not seconds else int(CHUNK_SECONDS / seconds)
    return max(1, min(fitting, LARGEST_CHUNK, rows // 16))
