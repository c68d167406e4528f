"""Paths: deliveries that came directly, and those that came over relays, from the events of single vesicles.

A path grows by one cell where a vesicle is recycled (it keeps its donor), and where a cell that received
cargo releases vesicles because of it. Of a vesicle that a relay releases at time t,

    P(own) = rest / q(t),    P(it continues the path of delivery d) = (1 - rest / q(t)) m_d(t) / sum m_d(t),

with the release rate at rest and at t, and the copies m_d(t) of delivery d that are left in the cell,
m_d exp(-k (t - t_d)): the response depends on the sum of these copies alone, so that each has a part in it in
proportion to its number. The attribution is a convention; deliveries without a cell in between are counted,
and equal those of the run in which all relays are silenced wherever uptake is linear.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.errors import InputError
from exoabm.scenario.cell_builder import behaviors_in_use, cargo_of, responses
from exoabm.scenario.loader import load
from exoabm.scenario.state_builder import kinds_and_types
from exoabm.tables.declarations import TABLES
from exoabm.tables.finished_run import Run

if TYPE_CHECKING:
    import pandas as pd

    from exoabm.cell_type import CellType, Response
    from exoabm.scenario.schema import Scenario

MOST = 256
"""Largest number of intermediate cells that is distinguished; longer paths count as this long."""
TABLE, PICTURE = "paths", "paths.png"


@dataclass(frozen=True)
class Paths:
    """Deliveries by path; ``rows`` as those of ``paths.parquet``."""

    rows: tuple[dict[str, Any], ...]

    def frame(self) -> pd.DataFrame:
        """The rows as a table."""
        import pandas as pd

        return pd.DataFrame(self.rows)

    def by_hops(self) -> dict[str, np.ndarray]:
        """For each recipient type, the share of its deliveries by cells in between, from 0 on."""
        found = {}
        for name in dict.fromkeys(row["recipient_type"] for row in self.rows):
            mine = [row for row in self.rows if row["recipient_type"] == name]
            hops = np.array([row["relays"] + row["recycled"] for row in mine])
            count = np.bincount(hops, [row["delivered"] for row in mine])
            found[name] = count / count.sum()
        return found

    def delivered(self, recipient_type: str) -> float:
        """Vesicles delivered to a type."""
        return sum(row["delivered"] for row in self.rows if row["recipient_type"] == recipient_type)


@dataclass
class _Pool:
    """Copies of the signal of a cell by first donor type and cells in between, (F, H), at a time in s."""

    copies: np.ndarray
    time: float = 0.0

    def at(self, time: float, rate: float) -> np.ndarray:
        self.copies = self.copies * math.exp(-rate * (time - self.time))
        self.time = time
        return self.copies


def paths(folder: str | Path) -> Paths:
    """Paths of the deliveries of a run of the engine ``vesicles``.

    Parameters
    ----------
    folder : str or Path
        A run folder.

    Raises
    ------
    InputError
        If the run has no single vesicles, nothing was delivered, or cells pass on cargo in another way than
        by recycling and by a release rate that answers to a cargo.
    """
    run = Run(folder)
    scenario = load(folder).scenario
    events = run.need("events").to_pandas()
    if not events.vesicle.notna().any():
        raise InputError(f"{run.name} holds expected numbers; run it with --engine vesicles to follow paths")
    answers = _answers(scenario)
    found = _rows(_follow(run, scenario, events, answers), [table.name for table in scenario.cell_type])
    if not found:
        raise InputError(f"{run.name}: no vesicle was delivered")
    return Paths(tuple(found))


def _answers(scenario: Scenario) -> dict[int, Response]:
    """The response of the release rate to a cargo, by cell type."""
    if any(table.holds for table in scenario.cell_type):
        raise InputError(
            "paths are followed through recycling and responses of release_rate to a cargo; cells here also "
            "hold and export cargo, whose copies do not keep their origin"
        )
    names, _ = behaviors_in_use(scenario)
    found: dict[int, Response] = {}
    for row in responses(scenario, names, cargo_of(scenario)):
        if names[row.behavior] != "release_rate":
            continue
        if row.signal != "cargo" or not row.raises or row.cell_type in found:
            raise InputError(
                "paths need one response of release_rate to a cargo, which raises it, per cell type"
            )
        found[row.cell_type] = row
    return found


def _follow(
    run: Any, scenario: Scenario, events: pd.DataFrame, answers: dict[int, Response]
) -> dict[tuple[str, str, str, int], np.ndarray]:
    """Delivered vesicles by kind, last donor type, recipient type and recycling: (F, H) arrays."""
    _, types = kinds_and_types(scenario)
    cargos = cargo_of(scenario)
    first = [t.name for t in types]
    index = {name: i for i, name in enumerate(first)}
    dt = float(scenario.clock.step)
    happened = events[events.event.isin(("delivery", "release", "entry"))]
    delivered = happened[happened.event == "delivery"]
    ids = set(delivered.vesicle)
    steps = happened[happened.vesicle.isin(ids)].copy()
    # Copies count from the end of the step in which they were delivered, vesicles of a step from its start.
    steps["order"] = np.floor(steps.time_s / dt) + (steps.event == "delivery") * 0.5
    steps = steps.sort_values(["order", "time_s", "vesicle"], kind="stable")
    carried = run.table("vesicle_cargo").to_pandas()
    copies = {
        (v, c): n for v, c, n in zip(carried.vesicle, carried.cargo, carried.copies, strict=True) if v in ids
    }
    pools: dict[int, _Pool] = {}
    origin: dict[int, np.ndarray] = {}
    found: dict[tuple[str, str, str, int], np.ndarray] = {}
    columns = (
        "event",
        "vesicle",
        "vesicle_kind",
        "donor",
        "donor_type",
        "recipient",
        "recipient_type",
        "hops",
        "order",
    )
    for event, vesicle, kind, donor, donor_type, recipient, recipient_type, hops, order in zip(
        *(steps[name] for name in columns), strict=True
    ):
        if event != "delivery":
            origin[vesicle] = _origin(
                types, index, answers, pools, cargos, donor, donor_type, order * dt, len(first)
            )
            continue
        way = origin.pop(vesicle)
        key = kind, donor_type if isinstance(donor_type, str) else "", recipient_type, int(hops)
        found[key] = _add(found.get(key), way)
        answer = answers.get(index[recipient_type])
        if answer is not None:
            cargo = cargos[answer.of]
            longer = np.zeros((len(way), way.shape[1] + 1 + int(hops)))
            longer[:, 1 + int(hops) :] = way  # the recipient itself is one more cell of what it sends
            pool = pools.setdefault(int(recipient), _Pool(np.zeros((len(first), 1))))
            amount = copies.get((vesicle, cargo.name), 0)
            pool.copies = _add(pool.at((math.floor(order) + 1) * dt, cargo.decay_rate), amount * longer)
    return found


def _origin(
    types: tuple[CellType, ...],
    index: dict[str, int],
    answers: dict[int, Response],
    pools: dict[int, _Pool],
    cargos: tuple[Any, ...],
    donor: float,
    donor_type: Any,
    time: float,
    first: int,
) -> np.ndarray:
    """Chances of first donor type and cells in between, (F, H), of a vesicle released in a step."""
    own = np.zeros((first + 1, 1))
    if not isinstance(donor_type, str):
        own[first] = 1.0  # of a dose or a reservoir
        return own[:, :1]
    here = index[donor_type]
    own[here] = 1.0
    answer, pool = answers.get(here), pools.get(int(donor))
    if answer is None or pool is None:
        return own
    held = pool.at(time, cargos[answer.of].decay_rate)
    total = float(held.sum())
    u = (total / answer.half_max) ** answer.hill
    rest = types[here].release_rate
    present = (rest + u * answer.maximum) / (1 + u)
    if total <= 0 or present <= 0:
        return own
    return _add(own * (rest / present), held * ((1 - rest / present) / total))


def _add(a: np.ndarray | None, b: np.ndarray) -> np.ndarray:
    """Sum of arrays (F, H) of different H and F, at most ``MOST`` cells in between."""
    if a is None:
        a = np.zeros((1, 1))
    rows, columns = (max(a.shape[axis], b.shape[axis]) for axis in (0, 1))
    total = np.zeros((rows, columns))
    total[: a.shape[0], : a.shape[1]] += a
    total[: b.shape[0], : b.shape[1]] += b
    if columns > MOST + 1:
        total[:, MOST] += total[:, MOST + 1 :].sum(axis=1)
    return total[:, : MOST + 1]


def _rows(found: dict[tuple[str, str, str, int], np.ndarray], types: list[str]) -> list[dict[str, Any]]:
    names = [*types, None]  # the last did not begin with a cell
    whole: dict[tuple[str, str], float] = {}
    for (kind, _, recipient, _), way in found.items():
        whole[kind, recipient] = whole.get((kind, recipient), 0.0) + float(way.sum())
    rows = []
    for (kind, donor, recipient, recycled), way in sorted(found.items()):
        for first, hops in zip(*np.nonzero(way), strict=True):
            rows.append((kind, names[first], donor, recipient, int(hops), recycled, float(way[first, hops])))
    return [
        {
            "vesicle_kind": kind,
            "first_donor_type": first,
            "donor_type": donor or None,
            "recipient_type": recipient,
            "relays": relays,
            "recycled": recycled,
            "delivered": amount,
            "share": amount / whole[kind, recipient],
        }
        for kind, first, donor, recipient, relays, recycled, amount in rows
    ]


def write(result: Paths, out: Path, title: str, overwrite: bool = False) -> None:
    """Write ``paths.parquet``, ``paths.png`` and ``manifest.json`` into a folder, whole or not at all.

    Raises
    ------
    InputError
        If it exists already, or holds something else.
    """
    from exoabm.manifest import MANIFEST, seal
    from exoabm.output.durable_files import atomic_folder, check_room
    from exoabm.plot.causal import draw_paths
    from exoabm.tables.parquet import write_table
    from exoabm.tables.schema import build

    check_room(out, {TABLES[TABLE].file, PICTURE, MANIFEST}, overwrite=overwrite)
    columns = {name: [row[name] for row in result.rows] for name in result.rows[0]}
    total = sum(row["delivered"] for row in result.rows)
    with atomic_folder(out, overwrite=overwrite) as partial:
        write_table(build(TABLES[TABLE], columns), partial / TABLES[TABLE].file)
        draw_paths(
            partial / PICTURE,
            result.by_hops(),
            title=f"{title}: deliveries by the number of cells in between",
            caption=f"{total:,.0f} deliveries, by recipient type; 0: directly from the first donor.",
        )
        seal(partial)
