"""What if: a run beside another, in which one step of communication is silenced, on the same draws.

    effect = value with silencing - value as it is

for every value of every table. Every draw is named by seed, purpose, entity and step, so that the effect
contains no chance of its own. Where vesicles compete for receptors, where responses change release, or where
cells divide, other vesicles than the silenced ones take another course too; how many is measured.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.errors import InputError, LongRun, NumericalError
from exoabm.manifest import MANIFEST, seal
from exoabm.output.durable_files import atomic_folder, check_room, put_beside, write_json
from exoabm.output.run_folder import AS_IS, CHANGED, DIFFERENCE, WHATIF
from exoabm.random_streams import Streams
from exoabm.runs.run_execution import run_to_folder
from exoabm.runs.run_from_checkpoint import run_from, start_of
from exoabm.scenario.changes_during_run import check_step_changes
from exoabm.scenario.schema_cells import selected
from exoabm.scenario.state_builder import blueprint
from exoabm.scenario.step_accuracy import ROUNDING, steps_around
from exoabm.tables.declarations import RUN_TABLES, WHOLE
from exoabm.tables.finished_run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd

    from exoabm.scenario.loader import LoadedScenario
    from exoabm.scenario.schema import Scenario
    from exoabm.tables.declarations import Table

PICTURE = "whatif.png"
"""The tables of the difference of both runs, and the plot, in the folder of a comparison."""
COUNTS = ("vesicles", "copies")
"""Units of numbers that are 0 where a row is absent from one of two runs."""
EVENT_KEY = (
    "event",
    "time_s",
    "vesicle_kind",
    "sender",
    "donor",
    "donor_type",
    "recipient",
    "recipient_type",
)
"""Columns that distinguish events of expected numbers."""


@dataclass(frozen=True)
class WhatIf:
    """A finished comparison: its folder, both runs, and the content of ``whatif.json``."""

    folder: Path
    as_is: Run
    changed: Run
    about: Mapping[str, Any]

    def difference(self, table: str) -> pd.DataFrame:
        """The difference of a table by its name, such as ``"edges"``: changed - as it is."""
        import pandas as pd

        return pd.read_parquet(self.folder / DIFFERENCE / f"{table}.parquet")

    def by_cell(self) -> tuple[pd.DataFrame, pd.Series, list[int]]:
        """Cells at the end, the change of the vesicles taken up by each, and the cells that are changed."""
        cells = self.as_is.cells_at(self.about["hours"] * 3600).to_pandas()
        table = self.difference("cells_by_kind")
        last = table[table.time_s == table.time_s.max()]
        changed = self.about["silence"] or str(self.about["give"]).split()[0]
        return cells, last.groupby("cell")["taken_up"].sum(), _chosen(self.as_is, changed)


def whatif(
    source: LoadedScenario,
    out: Path,
    *,
    silence: str | None = None,
    block: str | None = None,
    give: str | None = None,
    at: str = "0 h",
    seed: int | None = None,
    hours: float | None = None,
    overwrite: bool = False,
    threads: int | None = 1,
    progress: Callable[[float], Any] | None = None,
    changes_at: Sequence[tuple[float, str, str]] = (),
    run: Path | None = None,
) -> WhatIf:
    """Run a scenario with and without one change from a time on.

    Parameters
    ----------
    source : LoadedScenario
    out : Path
        Folder to write, whole or not at all: ``as_is`` and ``changed`` (run folders),
        ``difference/<table>.parquet``, which ``exoabm export`` writes in other formats, ``whatif.png`` and
        ``whatif.json``.
    silence, block, give : str, optional
        As ``ExosomeModel.branch``.
    at : str
        Model time from which the change holds, such as ``"12 h"``.
    changes_at
        Changes of both runs between steps, as of ``run_to_folder``.
    run : Path, optional
        The folder of the run that is repeated; from its last checkpoint before ``at`` both runs go on.

    Raises
    ------
    InputError
        Before anything is run, if nothing is changed, or the change or the folder is not allowed.
    NumericalError
        If the mass balance of one breaks; its records are kept beside ``out``.
    """
    if silence is None and give is None:
        raise InputError("nothing is changed: name what is silenced or given, e.g. --silence cell:17")
    seed = Streams.from_entropy(seed).seed
    changed = source.with_change(silence=silence, block=block, give=give, at=at)
    blueprint(changed, seed)  # refuses what the layout lacks before anything is run
    end = float(source.scenario.clock.duration) if hours is None else hours * 3600.0
    check_step_changes(changed, changes_at, end)
    changes = changed.scenario.give[-1].time if silence is None else changed.scenario.silence[-1].start
    begin = float(changes)
    if begin >= end:
        raise InputError(f"at = {at!r}: the change must begin before the end of the runs, {end / 3600:g} h")
    restarts = [time for time, *_ in changes_at]
    moved = _moved(source.scenario, at, begin, end, restarts, gives=silence is None)
    check_room(out, {AS_IS, CHANGED, DIFFERENCE, WHATIF, PICTURE, MANIFEST}, overwrite=overwrite)
    start = start_of(run, source, seed=seed, at=begin, end=end, changes_at=changes_at)
    if run is not None and start.run is None and begin > 0:
        warnings.warn(start.note, LongRun, stacklevel=3)
    options: dict[str, Any] = {"hours": hours, "threads": threads, "changes_at": changes_at}
    with atomic_folder(out, overwrite=overwrite) as partial:
        for part, (name, loaded) in enumerate(((AS_IS, source), (CHANGED, changed))):

            def half(share: float, part: int = part) -> None:
                if progress is not None:
                    progress((part + share) / 2)

            try:
                if start.run is None:
                    run_to_folder(loaded, partial / name, seed=seed, progress=half, **options)
                else:
                    run_from(start, loaded, partial / name, progress=half, **options)
            except NumericalError as error:
                raise _kept_beside(error, partial / f"{name}.failed", out) from None
        asked: dict[str, Any] = {"silence": silence, "block": block, "give": give, "at": at, "seed": seed}
        asked |= {"from_h": start.time / 3600, "start": start.note, "moved": moved}
        about = _compare(partial, asked, changed.scenario)
    return WhatIf(out, Run(out / AS_IS), Run(out / CHANGED), about)


def _moved(
    scenario: Scenario, at: str, begin: float, end: float, restarts: list[float], *, gives: bool
) -> str:
    """A sentence where the change acts at another time than ``begin``, in s, which is within a step; or "".

    Raises
    ------
    InputError
        If it acts at no step before ``end``.
    """
    before, after = steps_around(begin, float(scenario.clock.step), restarts)
    if not gives and after >= end * (1 - ROUNDING):
        raise InputError(
            f"at = {at!r}: no step begins between it and the end of the runs, {end / 3600:g} h; "
            f"the last begins at '{before:.12g} s'"
        )
    if before == after:
        return ""
    acts = f"is made at its start, {before:.12g} s" if gives else f"begins at its end, {after:.12g} s"
    return f"{at} is within a step: the change {acts}."


def _kept_beside(error: NumericalError, failed: Path, out: Path) -> NumericalError:
    """Put the records of a failed run beside the folder that is not made, and name that place."""
    if not failed.is_dir():
        return error
    before = failed.resolve()
    return NumericalError(str(error).replace(str(before), str(put_beside(failed, out, failed.name))))


def _compare(out: Path, asked: dict[str, Any], scenario: Scenario) -> dict[str, Any]:
    """Write the differences of both runs, the picture and the summary, which is returned."""
    from exoabm.plot.causal import draw_whatif

    a, b = Run(out / AS_IS), Run(out / CHANGED)
    (out / DIFFERENCE).mkdir()
    for table in RUN_TABLES:
        found = difference(a, b, table)
        if found is not None:
            found.to_parquet(out / DIFFERENCE / table.file, index=False)
    seal(out / DIFFERENCE)
    last = [run.metrics.slice(run.metrics.num_rows - 1).to_pylist()[0] for run in (a, b)]
    readouts = {
        name: {"as_is": value, "changed": last[1].get(name), "effect": last[1][name] - value}
        for name, value in last[0].items()
        if name != "time_h" and value is not None and last[1].get(name) is not None
    }
    about = {**asked, "hours": last[0]["time_h"], "pairing": pairing(a, b, scenario), "readouts": readouts}
    cells, effect, chosen = WhatIf(out, a, b, about).by_cell()
    draw_whatif(
        out / PICTURE,
        cells=cells,
        effect=effect,
        course=_course(a, b),
        chosen=chosen,
        title=_title(asked, scenario),
        caption=str(about["pairing"]["sentence"]),
    )
    write_json(out / WHATIF, about)
    seal(out)
    return about


def _title(asked: Mapping[str, Any], scenario: Scenario) -> str:
    what = [f"{asked['silence']} silenced ({_step(scenario)})"] if asked["silence"] else []
    what += [f"{asked['give']} given"] if asked["give"] else []
    return f"{scenario.info.title}: {' and '.join(what)} from {asked['at']}"


def _step(scenario: Scenario) -> str:
    return scenario.silence[-1].step if scenario.silence else ""


def _chosen(run: Run, selection: str) -> list[int]:
    """Cells that a selection names, to be marked in pictures."""
    word, names = selected(selection)
    if word == "vesicle":
        return []
    cells = run.need("cells").to_pandas().drop_duplicates("cell")
    numbers = [int(name) for name in names if name.isdecimal()]
    mine = cells.cell.isin(numbers) | cells.cell_type.isin(names)
    return cells.cell[mine].tolist()


def _course(a: Run, b: Run) -> pd.DataFrame:
    """Vesicles taken up and delivered until each time, changed - as it is, summed over vesicle kinds."""
    left, right = (
        r.need("metrics_by_kind").to_pandas().groupby("time_h").sum(numeric_only=True) for r in (a, b)
    )
    return (right - left)[["emitted", "taken_up", "delivered"]]


def difference(a: Run, b: Run, table: Table) -> pd.DataFrame | None:
    """B - A of every number of a table, by its key; None if neither run has it.

    ``runs`` says where a row is: in both, or in one of them (``as_is``, ``changed``). Numbers of vesicles and
    copies are 0 where a row is absent; other values have no difference there. Of events of single vesicles,
    the rows that are in one run only.
    """
    import pandas as pd

    one_side, other_side = (run.table(table.name) for run in (a, b))
    if one_side is None or other_side is None:
        return None
    words = [column.name for column in table.columns if column.dtype in ("word", "text")]
    left, right = (t.to_pandas().astype(dict.fromkeys(words, object)) for t in (one_side, other_side))
    values = [c for c in table.values if c.name in left and c.name not in words]
    if table.name == "events":
        if left.vesicle.notna().any() or right.vesicle.notna().any():
            both = pd.concat([left.assign(runs=AS_IS), right.assign(runs=CHANGED)], ignore_index=True)
            return both.drop_duplicates(subset=list(left.columns), keep=False).reset_index(drop=True)
        key = list(EVENT_KEY)
        left, right = (
            each.groupby(key, dropna=False, observed=True, as_index=False)["count"].sum()
            for each in (left, right)
        )
        values = [c for c in values if c.name == "count"]
    else:
        key = list(table.key)
    joined = left.merge(right, on=key, how="outer", suffixes=("", "|b"), indicator=True)
    found = joined[key].copy()
    found["runs"] = joined["_merge"].map({"both": "both", "left_only": AS_IS, "right_only": CHANGED})
    for column in values:
        one, other = joined[column.name], joined[f"{column.name}|b"]
        if column.unit in COUNTS and column.dtype != WHOLE:
            one, other = (
                each.where(found["runs"].isin(("both", arm)), 0.0)
                for each, arm in ((one, AS_IS), (other, CHANGED))
            )
        found[column.name] = other - one
    for name in words:
        if name not in key and name in joined:
            found[name] = joined[name].where(joined[name].notna(), joined[f"{name}|b"])
    return found


def pairing(a: Run, b: Run, scenario: Scenario) -> dict[str, Any]:
    """How far vesicles of other donors than the silenced ones took another course, and what can cause it.

    ``untouched`` is their number (of expected numbers, the vesicles taken up), ``other_course`` how many of
    them had another history, and ``share`` the ratio; all None where donors are not known well enough.
    """
    row = scenario.silence[-1] if scenario.silence else None
    word, names = selected(row.of) if row is not None else ("", ())
    silenced = names[:1] if word == "edge" or (row is not None and row.step == "release") else ()
    known = (a.need("edges").schema.metadata or {}).get(b"resolution", b"cell").decode()
    cells = any(name.isdecimal() for name in silenced)
    if silenced and word != "vesicle" and (known == "none" or (cells and known == "cell_type")):
        which = "are not recorded" if known == "none" else "are known by type alone"
        level = "cell" if cells else "cell_type"
        sentence = (
            f"Donors {which}, so that vesicles of other donors cannot be distinguished; they can with "
            f"--set transport.provenance={level}."
        )
        unknown: dict[str, Any] = dict.fromkeys(("untouched", "other_course", "share"))
        return unknown | {"because": reasons(scenario), "sentence": sentence}
    events = [run.need("events").to_pandas() for run in (a, b)]
    if events[0].vesicle.notna().any():
        # A vesicle is known by its id; equal histories have equal rows, and a row in one run only differs.
        columns = ["event", "time_s", "vesicle", "recipient"]
        donors = [
            each[["vesicle", "donor", "donor_type", "vesicle_kind"]].drop_duplicates("vesicle")
            for each in events
        ]
        import pandas as pd

        of = pd.concat(donors).drop_duplicates("vesicle")
        one = pd.concat([each[columns].astype({"event": str}) for each in events]).drop_duplicates(keep=False)
        rest = of[~_named(of, silenced)]
        other = int(rest.vesicle.isin(one.vesicle).sum())
        total: float = len(rest)
    else:
        moved = difference(a, b, next(t for t in RUN_TABLES if t.name == "edges"))
        edges = a.need("edges").to_pandas()
        assert moved is not None
        total = float(edges.taken_up[~_named(edges, silenced)].sum())
        other = float(moved.taken_up[~_named(moved, silenced)].abs().sum())  # type: ignore[assignment]
    why = reasons(scenario)
    share = other / total if total else 0.0
    subject = f"{other:,.6g} of {total:,.6g} vesicles of other donors took another course"
    if not total:
        subject = "There are no vesicles of other donors"
    sentence = f"{subject}, because {', and because '.join(why)}." if other and why else f"{subject}."
    return {"untouched": total, "other_course": other, "share": share, "because": why, "sentence": sentence}


def _named(table: pd.DataFrame, names: tuple[str, ...]) -> np.ndarray:
    """Rows whose donor, donor type or vesicle kind is among the names."""
    cells = [int(name) for name in names if name.isdecimal()]
    found = table.donor.isin(cells) | table.donor_type.isin(names) | table.vesicle_kind.isin(names)
    return found.to_numpy(bool)


def reasons(scenario: Scenario) -> list[str]:
    """Mechanisms by which the vesicles of one donor change the course of those of another."""
    found = []
    if any(t.receptor or (t.takes_up and np.isfinite(float(t.saturation))) for t in scenario.cell_type):
        found.append("uptake saturates, so that vesicles compete for receptors")
    if scenario.response:
        changed = ", ".join(sorted({row.behavior for row in scenario.response}))
        found.append(f"cells respond to what they receive ({changed})")
    if any(t.transformation is not None for t in scenario.cell_type) or scenario.mechanics is not None:
        found.append("cells change their type or their place")
    return found
