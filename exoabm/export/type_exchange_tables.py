"""Vesicles exchanged between types in each run of a sweep or trial, and their means, as long tables.

====================  ====================================================================================
``pairs``             a row for each run, pair of types and kind, with the varied values
``pairs_summary``     means over the runs of each point or arm, with 95 % intervals
====================  ====================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from exoabm.analysis.communication import PAIRS, SUMS
from exoabm.batch.execution.plan import PLAN, Plan
from exoabm.batch.execution.row_execution import records
from exoabm.batch.sweeps.summary import half_width, varied_keys
from exoabm.batch.trials.design import KIND as TRIAL
from exoabm.batch.trials.design import design_of, point, row_name
from exoabm.tables.schema import field

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

METHOD = "mean over runs ± t(n - 1, 0.975) sd / sqrt(n)"
"""How intervals are made."""
QUANTITIES = (*SUMS, "distance_um", "first_time_s")
ENDS = ("sender", "donor_type", "recipient_type", "vesicle_kind")
COLUMNS = tuple(column.name for column in PAIRS.columns)
MEANINGS = {
    "row": "run of the batch, as in results",
    "replicate": "number of the run among those of its point or arm, from 1",
    "arm": "arm of the trial",
    "assumption": "assumption that is swept; null at the scenario's own values",
    "value": "its value, in the unit of its parameter",
    "quantity": "which column of pairs",
    "n": "runs in which it is known",
    "mean": "mean over these",
    "sd": "standard deviation over these",
    "ci95_low": "lower end of the 95 % interval of the mean",
    "ci95_high": "upper end of the 95 % interval of the mean",
    "method": "how the interval is made",
}
ROWS_AT_A_TIME = 1024
"""Runs whose pairs are plain lists at a time."""


class Place(NamedTuple):
    """Position of a run in a batch: varied values, and number of the replicate."""

    keys: tuple[Any, ...]
    replicate: int


def long_tables(source: Path) -> dict[str, pa.Table]:
    """Tables of a sweep or trial by their names; none of a run, or of a batch that keeps no pairs.

    Raises
    ------
    InputError
        If what they are made of is missing or damaged, or of another version of exoabm.
    """
    if not (source / PLAN).is_file():
        return {}
    plan = Plan.read(source)
    if not plan.pairs:
        return {}
    names, places = _trial(plan) if plan.about.get("kind") == TRIAL else _sweep(plan)
    pairs = _pairs(source, plan, names, places)
    return {"pairs": pairs, "pairs_summary": _summary(pairs, names)}


def _sweep(plan: Plan) -> tuple[tuple[str, ...], dict[str, Place]]:
    """Names of varied keys, and the position of each row."""
    varied = varied_keys(plan)
    counted: dict[Any, int] = {}
    places = {}
    for row in plan.rows:
        counted[row.overrides] = counted.get(row.overrides, 0) + 1
        given = dict(row.overrides)
        values = tuple(v.value(given[v.key]) if v.key in given else None for v in varied)
        places[row.name] = Place(values, counted[row.overrides])
    return tuple(v.column for v in varied), places


def _trial(plan: Plan) -> tuple[tuple[str, ...], dict[str, Place]]:
    design = design_of(plan)
    places = {
        row_name(arm.name, seed): Place((arm.name, None, None), n)
        for arm in design.arms
        for n, seed in enumerate(design.seeds, start=1)
    }
    for table, values in design.sweeps:
        for number, (value, _) in enumerate(values):
            for arm in design.judged:
                for n, seed in enumerate(design.swept_seeds, start=1):
                    name = row_name(arm.name, seed, point(table, number))
                    places[name] = Place((arm.name, table.name, value), n)
    return ("arm", "assumption", "value"), places


def _pairs(folder: Path, plan: Plan, names: tuple[str, ...], places: Mapping[str, Place]) -> pa.Table:
    """The pairs of all runs that are done, one after the other."""
    tables = []
    for batch in _batched(records(folder, plan)):
        columns: dict[str, list[Any]] = {name: [] for name in (*names, "row", "replicate", *COLUMNS)}
        for record in batch:
            place, kept = places[record["row"]], record["pairs"]
            n = len(kept["sender"])
            described = dict(zip(names, place.keys, strict=True)) | {
                "row": record["row"],
                "replicate": place.replicate,
            }
            for name, value in described.items():
                columns[name] += [value] * n
            for name in COLUMNS:
                columns[name] += kept[name]
        tables.append(_typed(columns, names, places))
    table = pa.concat_tables(tables) if tables else _typed({}, names, places)
    return _described(table)


def _batched(found: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    done: list[dict[str, Any]] = []
    for record in found:
        if record["state"] == "done":
            done.append(record)
        if len(done) == ROWS_AT_A_TIME:
            yield done
            done = []
    if done:
        yield done


def _typed(columns: Mapping[str, list[Any]], names: tuple[str, ...], places: Mapping[str, Place]) -> pa.Table:
    """Columns with the same types in every batch of rows, whatever is null there."""
    words = pa.string()
    types = {name: pa.float64() for name in QUANTITIES}
    types |= dict.fromkeys((*ENDS, "row"), words)
    types |= {"replicate": pa.int64()}
    for i, name in enumerate(names):
        given = [place.keys[i] for place in places.values() if place.keys[i] is not None]
        types[name] = words if any(isinstance(value, str) for value in given) else pa.float64()
    order = (*names, "row", "replicate", *COLUMNS)
    return pa.table({name: pa.array(columns.get(name, []), types[name]) for name in order})


def _summary(pairs: pa.Table, names: tuple[str, ...]) -> pa.Table:
    """Means and intervals of each quantity over the runs of each point or arm."""
    by = [*names, *ENDS]
    groups: dict[tuple[Any, ...], list[int]] = {}
    for i, key in enumerate(zip(*(pairs[name].to_pylist() for name in by), strict=True)):
        groups.setdefault(key, []).append(i)
    group = np.empty(pairs.num_rows, np.int64)
    for number, rows in enumerate(groups.values()):
        group[rows] = number
    shape = (len(groups), len(QUANTITIES))
    n, mean, sd = np.zeros(shape, np.int64), np.full(shape, np.nan), np.full(shape, np.nan)
    for k, quantity in enumerate(QUANTITIES):
        values = np.asarray(pairs[quantity].to_numpy(), float)
        known = np.flatnonzero(np.isfinite(values))
        at, values = group[known], values[known]
        n[:, k] = np.bincount(at, minlength=shape[0])
        total = np.bincount(at, values, shape[0])
        np.divide(total, n[:, k], out=mean[:, k], where=n[:, k] > 0)
        square = np.bincount(at, (values - mean[at, k]) ** 2, shape[0])
        np.sqrt(np.divide(square, n[:, k] - 1, where=n[:, k] > 1, out=sd[:, k]), out=sd[:, k])
    half = half_width(sd, n)
    columns: dict[str, Any] = {
        name: pa.array([key[i] for key in groups for _ in QUANTITIES], pairs.schema.field(name).type)
        for i, name in enumerate(by)
    }
    columns |= {"quantity": list(QUANTITIES) * shape[0], "n": n.ravel()}
    numbers = {"mean": mean, "sd": sd, "ci95_low": mean - half, "ci95_high": mean + half}
    columns |= {name: pa.array(each.ravel(), from_pandas=True) for name, each in numbers.items()}
    columns["method"] = pa.array([METHOD] * n.size, pa.string())
    return _described(pa.table(columns))


def _described(table: pa.Table) -> pa.Table:
    """A table with the meaning of its columns as metadata."""
    own = {name: {"description": meaning} for name, meaning in MEANINGS.items()}
    metadata = {column.name: field(column).metadata for column in PAIRS.columns} | own
    fields = [f.with_metadata(metadata[f.name]) if f.name in metadata else f for f in table.schema]
    return table.cast(pa.schema(fields))
