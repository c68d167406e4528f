"""The domain of a scenario: size of the grid, faces, and zones with their hindrance and obstacles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from exoabm.domain import SIDES, Domain, Face, grid_shape
from exoabm.errors import Problem, ScenarioError
from exoabm.scenario.resource_estimate import declared_size, estimate_run
from exoabm.transport.grid_discretization import hop_limit

if TYPE_CHECKING:
    from exoabm.scenario.loader import LoadedScenario
    from exoabm.scenario.schema import DomainTable, Zone


def domain_of(loaded: LoadedScenario, position: np.ndarray | None) -> Domain:
    """The domain; ``position`` (n, 3) of its cells in um, if it is fitted to them.

    Raises
    ------
    ScenarioError
        If its size, a face or a zone is not allowed.
    ResourceError
        If a grid with zones needs more memory than there is.
    """
    table = loaded.scenario.domain
    voxel, thickness = float(table.voxel), float(table.thickness)
    if table.size == "fit":
        from exoabm.readers.cell_table import GRID  # only a scenario with a table needs what reads one

        assert position is not None
        dim = 3 if np.ptp(position[:, 2]) > 0 else 2
        low = np.round((position.min(axis=0) - table.margin) / GRID) * GRID
        high = position.max(axis=0) + table.margin
        counts = np.ceil((high - low)[:dim] / voxel - 1e-9).astype(int)
        shape = tuple(int(c) for c in reversed(counts))
        origin = (float(low[0]), float(low[1]), float(low[2]) if dim == 3 else 0.0)
    else:
        try:
            shape = grid_shape([float(s) for s in table.size], voxel)
        except ValueError as error:
            raise ScenarioError(loaded.name, [Problem("domain.size", "", str(error))]) from None
        origin = (0.0, 0.0, 0.0)
    faces, held = _faces(table)
    empty = Domain(shape, voxel, thickness, origin, faces, held)
    for side in SIDES[2 * empty.dim :]:
        if table.faces.side(side) != "no-flux":
            where = side if getattr(table.faces, side) is not None else side[0]
            problem = Problem(f"domain.faces.{where}", "", "a slab has no faces along z")
            raise ScenarioError(loaded.name, [problem])
    if not table.zone:
        return Domain(
            shape, voxel, thickness, origin, faces, held, float(loaded.scenario.transport.hindrance)
        )
    estimate_run(loaded.scenario, empty, *declared_size(loaded.scenario)).check_memory()
    hindrance, obstacle = _zones(loaded, empty)
    return Domain(shape, voxel, thickness, origin, faces, held, hindrance, obstacle)


def _faces(table: DomainTable) -> tuple[tuple[Face, ...], tuple[float, ...]]:
    faces, held = [], []
    for side in SIDES:
        rule = table.faces.side(side)
        if isinstance(rule, str):
            faces.append({"no-flux": Face.NO_FLUX, "periodic": Face.PERIODIC, "open": Face.FIXED}[rule])
            held.append(0.0)
        else:
            faces.append(Face.FIXED)
            held.append(float(rule.concentration))
    return tuple(faces), tuple(held)


def _zones(loaded: LoadedScenario, domain: Domain) -> tuple[np.ndarray | float, np.ndarray | None]:
    """Hindrance and obstacles per voxel; later zones replace earlier ones."""
    scenario = loaded.scenario
    hindrance = np.full(domain.shape, float(scenario.transport.hindrance))
    obstacle = np.zeros(domain.shape, bool)
    axes = np.meshgrid(*(domain.centers(a) for a in reversed(range(domain.dim))), indexing="ij")
    centers = np.stack(list(reversed(axes)), axis=-1)
    for zone in scenario.domain.zone:
        inside = _inside(zone, centers, loaded.name)
        obstacle[inside] = zone.obstacle
        if zone.hindrance is not None:
            hindrance[inside] = float(zone.hindrance)
    uniform = bool((hindrance == hindrance.flat[0]).all())
    return (
        float(hindrance.flat[0]) if uniform else hindrance,
        obstacle if obstacle.any() else None,
    )


def _inside(zone: Zone, centers: np.ndarray, file: str) -> np.ndarray:
    dim = centers.shape[-1]
    for key in ("low", "high", "center"):
        point = getattr(zone, key)
        if point is not None and len(point) != dim:
            where = f"domain.zone.{zone.name}.{key}"
            raise ScenarioError(file, [Problem(where, "", f"needs {dim} coordinates")])
    if zone.center is not None and zone.radius is not None:
        distance = np.linalg.norm(centers - np.array(zone.center, float), axis=-1)
        inside = distance <= float(zone.radius)
    else:
        low, high = np.array(zone.low, float), np.array(zone.high, float)
        inside = ((centers >= low) & (centers < high)).all(axis=-1)
    if not inside.any():
        raise ScenarioError(file, [Problem(f"domain.zone.{zone.name}", "", "covers no voxel of the domain")])
    return np.asarray(inside)


def check_courant(loaded: LoadedScenario, domain: Domain) -> None:
    """Refuse a Courant number above the limit of the transport in this domain.

    Raises
    ------
    ScenarioError
        With the limit.
    """
    medium = loaded.scenario.transport
    limit, why = (
        domain.courant_limit,
        f"the stability limit of the explicit scheme in {domain.dim} dimensions",
    )
    if medium.follows_vesicles and not medium.at_membranes:
        limit, why = hop_limit(domain), "the limit at which a single vesicle may still stay in its voxel"
    elif Face.FIXED in domain.faces[: 2 * domain.dim] and hop_limit(domain) < limit:
        limit, why = hop_limit(domain), "the stability limit at open and held faces, half a voxel away"
    if medium.courant is not None and medium.courant > limit:
        problem = Problem(
            "transport.courant",
            f"{medium.courant:g}",
            f"above {why}; allowed 0 to {limit:.4g}",
            "without this key the engine chooses its own sub-steps",
        )
        raise ScenarioError(loaded.name, [problem])
