"""Positions and types of a scenario's cells: arranged by its groups, or read from its table."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.errors import InputError, Problem, ScenarioError, command_line
from exoabm.random_streams import Purpose, Streams
from exoabm.readers.options import TableOptions
from exoabm.scenario import layouts
from exoabm.scenario.region import Box, Region
from exoabm.state import TableCells

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exoabm.cell_type import CellType
    from exoabm.domain import Domain
    from exoabm.readers.cell_table import CellTable
    from exoabm.scenario.loader import LoadedScenario
    from exoabm.scenario.schema import Group, Scenario


@dataclass(frozen=True)
class Placed:
    """Cells of a table, and the cell type of each of its labels."""

    table: CellTable
    meaning: dict[str, str]

    @property
    def position(self) -> np.ndarray:
        """(n, 3) in um, a copy."""
        return np.array(self.table.positions)

    @property
    def names(self) -> np.ndarray:
        """Names of cell types, (n,)."""
        labels = self.table.labels
        return np.array([self.meaning.get(word, "") for word in labels.words])[labels.codes]

    @property
    def source(self) -> TableCells:
        """Id and label of each cell in the table, for the records of a run."""
        return TableCells(self.table.ids, self.table.labels.codes, tuple(self.table.labels.words))

    @property
    def recognized(self) -> str:
        """Source, columns and types of the table, in one line."""
        return self.table.recognized(self.meaning)

    @property
    def record(self) -> dict[str, Any]:
        """Source, columns and types of the table, for ``run.json``."""
        return self.table.record(self.meaning)

    def check(self) -> None:
        """Refuse cells with the same position."""
        from exoabm.readers.cell_table import check_distinct_positions

        check_distinct_positions(self.table.name, self.table.positions, self.table.rows, self.table.images)


def table_options(loaded: LoadedScenario) -> TableOptions:
    """Options of a layout's table."""
    layout = loaded.scenario.layout
    turned = layout.y in ("up", "down")  # a direction, not a column
    return TableOptions(
        format=layout.format,
        x=layout.x,
        y=None if turned else layout.y,
        z=layout.z,
        cell_type=layout.cell_type,
        unit=layout.unit,
        z_unit=layout.z_unit,
        where=(layout.where,) if isinstance(layout.where, str) else tuple(layout.where),
        types_from=loaded.types_path(),
        time=None if layout.time is None else str(layout.time),
        decimal=layout.decimal,
        y_axis=layout.y if turned else layout.y_axis,  # type: ignore[arg-type]
    )


def from_table(loaded: LoadedScenario) -> Placed:
    """The cells of the layout's table."""
    from exoabm.readers.cell_table import read_cells
    from exoabm.readers.cell_types import map_labels

    layout, path = loaded.scenario.layout, loaded.table_path()
    assert path is not None
    table = read_cells(path, table_options(loaded))
    known = [t.name for t in loaded.scenario.cell_type]
    counts = table.labels.counts()
    try:
        meaning = map_labels(counts, layout.type_map, known, layout.unmapped, class_prefix=table.class_prefix)
    except InputError as error:
        command = command_line("new", path, "--out", "mine.toml")
        more = f"`{command}` writes a scenario with a cell type for each label"
        raise InputError(f"{table.recognized()}\n{error}\n{more}") from None
    return Placed(table, meaning)


def cells_of_types(loaded: LoadedScenario) -> Counter[str]:
    """Number of cells of each type at the start, without placing them."""
    if loaded.scenario.layout.table is not None:
        return Counter(from_table(loaded).names.tolist())
    numbers: Counter[str] = Counter()
    for group in loaded.scenario.layout.group:
        numbers[group.cell_type] += group.count
    return numbers


def arrange_groups(
    loaded: LoadedScenario,
    domain: Domain,
    types: tuple[CellType, ...],
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Positions (n, 3) in um and type names (n,) of all cells, group after group."""
    scenario = loaded.scenario
    by_name = {t.name: t for t in types}
    placed, radii, names = np.empty((0, 3)), np.empty(0), []
    for index, group in enumerate(scenario.layout.group):
        radius = by_name[group.cell_type].diameter / 2
        rng = Streams(seed).generator(Purpose.LAYOUT, index)
        try:
            new = _arrange(group, domain, radius, rng, placed, radii)
        except InputError as error:
            problem = Problem(f"layout.group.{group.key}", "", str(error))
            raise ScenarioError(loaded.name, [problem]) from None
        placed = np.concatenate([placed, new])
        radii = np.concatenate([radii, np.full(len(new), radius)])
        names += [group.cell_type] * len(new)
    return placed, np.array(names)


def _arrange(
    group: Group,
    domain: Domain,
    radius: float,
    rng: np.random.Generator,
    placed: np.ndarray,
    radii: np.ndarray,
) -> np.ndarray:
    low, high = domain.low, domain.low + domain.extent
    if domain.dim == 2:
        low[2] = high[2] = domain.low[2] + domain.thickness / 2
    center = None
    if group.center is not None:
        if len(group.center) != domain.dim:
            raise InputError(f"center needs {domain.dim} coordinates")
        center = (*map(float, group.center), *low[domain.dim :])
    region = Region(
        Box(tuple(low), tuple(high)),
        center,
        float(group.inner or 0.0),
        math.inf if group.outer is None else float(group.outer),
        None if domain.obstacle is None else domain.blocked,
    )
    spacing = 2 * radius if group.spacing is None else float(group.spacing)
    n = group.count
    match group.arrange:
        case "random":
            margin = min(radius, domain.voxel / 2)
            return layouts.poisson_disc(
                n, spacing, region, rng, placed, taken_radii=radii, margin=margin, period=domain.period
            )
        case "overlapping":
            return layouts.random_points(n, region, rng)
        case "lattice":
            return layouts.lattice(n, spacing, region, "square" if domain.dim == 2 else "cubic")
        case "hexagonal":
            return layouts.lattice(n, spacing, region, "hexagonal")
        case "cluster":
            return layouts.cluster(n, tuple(region.middle), spacing, 2 if domain.dim == 2 else 3)
        case "points":
            return layouts.points(group.points or [], z=float(region.middle[2]))


def check_positions(
    loaded: LoadedScenario, domain: Domain, position: np.ndarray, rows: np.ndarray | None = None
) -> None:
    """Refuse cells outside the domain or inside an obstacle; ``rows`` are those of their table, from 1."""
    numbers = np.arange(1, len(position) + 1) if rows is None else rows
    each = "cell" if rows is None else "row"
    if domain.dim == 2 and np.ptp(position[:, 2]) > 0:
        raise InputError(
            f"{loaded.name}: the cells lie in three dimensions (z from {position[:, 2].min():g} to "
            f"{position[:, 2].max():g} um), the domain has two; give domain.size a third length"
        )
    outside = ~domain.contains(position)
    if outside.any():
        first = int(np.flatnonzero(outside)[0])
        where = ", ".join(f"{x:g}" for x in position[first, : domain.dim])
        raise InputError(
            f"{loaded.name}: {int(outside.sum())} of {len(position)} cells lie outside the domain "
            f"({domain.describe()}), the first, {each} {numbers[first]}, at ({where}) um; "
            "enlarge domain.size, or use size = 'fit' with a table"
        )
    in_obstacle = domain.blocked(position)
    if in_obstacle.any():
        raise InputError(
            f"{loaded.name}: {int(in_obstacle.sum())} cells have their center in an obstacle, "
            f"the first is {each} {numbers[np.flatnonzero(in_obstacle)[0]]}"
        )


def grown_cells(scenario: Scenario, domain: Domain, count: Mapping[str, int]) -> int:
    """Largest number of cells of a run, from those of each type at the start.

    A type grows by e^((b - d) t) at its rates at rest, but no further than the densest packing of its
    cells in the domain, and all no further than ``domain.max_cells``; a declining type is counted as at
    the start.
    """
    start = total = sum(count.values())
    for table in scenario.cell_type:
        n, radius = count.get(table.name, 0), float(table.diameter) / 2
        if table.division_rate is None or n == 0:
            continue
        net = float(table.division_rate) - float(table.death_rate or 0.0)
        each = 2 * math.sqrt(3) * radius**2 if domain.dim == 2 else 4 * math.sqrt(2) * radius**3
        room = float(np.prod(domain.extent[: domain.dim] + 2 * radius)) / each
        growth = math.exp(min(max(net, 0.0) * float(scenario.clock.duration), 700.0))
        total += max(math.ceil(min(n * growth, room)) - n, 0)
    return max(start, min(total, int(scenario.domain.max_cells)))
