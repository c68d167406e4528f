"""How cells move: random motion, chemotaxis, walls, bodies.

Random ones have a fixed seed and bounds of 4 standard errors; a value that is wrong by 5 % is seen.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from sparse_cells import HOUR, scattered

from exoabm.cells.motility import move, neighbor_box, radii, sense_gradient, separate_overlaps
from exoabm.domain import Domain, Face
from exoabm.kernels import sphere_mechanics
from exoabm.scenario.layouts import overlaps
from exoabm.state import State
from exoabm.tables.declarations import Event
from exoabm.vesicle import Status

MOTILE = 'motility = "36 um^2/h"'
MU = 36 / HOUR


def wander(state: State, steps: int, dt: float) -> np.ndarray:
    """Displacements (n, 2) after some steps."""
    start = state.cells.position.copy()
    for _ in range(steps):
        moved = move(state, dt)
        if moved is not None:
            state.cells.position = moved
        state.step += 1
    return (state.cells.position - start)[:, :2]


@pytest.fixture(scope="module")
def brownian() -> np.ndarray:
    return wander(scattered(120, MOTILE), 20, 60.0)


def test_random_motion_has_the_mean_square_of_its_motility(brownian: np.ndarray) -> None:
    """2 mu t per axis: 24 um^2 in 20 min."""
    n, expected = brownian.size, 2 * MU * 1200
    error = expected * math.sqrt(2 / n)
    assert (brownian**2).mean() == pytest.approx(expected, abs=4 * error)
    assert abs((brownian**2).mean() - 1.05 * expected) > 4 * error
    assert abs(brownian.mean(axis=0)).max() < 4 * math.sqrt(expected / len(brownian))
    kurtosis = (brownian**4).mean() / (brownian**2).mean() ** 2
    assert kurtosis == pytest.approx(3, abs=4 * math.sqrt(24 / n))


def test_persistent_motion_turns_slowly() -> None:
    """From rest: variance mu P (2T - 3 + 4e - e^2), T = t/P, e = exp(-T), in steps of any length."""
    p, t = 20.0 * 60, 40.0 * 60
    expected = MU * p * (2 * t / p - 3 + 4 * math.exp(-t / p) - math.exp(-2 * t / p))
    for steps in (1, 8):
        state = scattered(120, f'{MOTILE}\npersistence = "20 min"')
        way = wander(state, steps, t / steps)
        error = math.sqrt(2 / way.size)
        assert (way**2).mean() == pytest.approx(expected, rel=4 * error)
        assert abs((way**2).mean() / expected - 1.05) > 4 * error
        speed = MU / p * (1 - math.exp(-2 * t / p))
        assert (state.cells.velocity[:, :2] ** 2).mean() == pytest.approx(speed, rel=4 * error)
        assert (way**2).mean() < 0.7 * 2 * MU * t, "Brownian motion would be seen"


def test_no_motility_no_motion_and_no_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    state = scattered(4, "")
    monkeypatch.setattr("exoabm.random_streams.Streams.normal", None)
    monkeypatch.setattr("exoabm.random_streams.Streams.uniform", None)
    assert state.behaviors == ()
    assert move(state, 60.0) is None


def climbing(engine: str = "continuum") -> State:
    keys = 'climbs = { vesicle = "ev", coefficient = "3600 um^2/h", half_max = "2e8 / mL" }\nreleases = "ev"'
    return scattered(20, keys, engine=engine)


def test_chemotaxis_climbs_the_occupancy_of_receptors() -> None:
    """v = chi K g/(K + c)^2 in a linear gradient, to rounding where no wall is near."""
    state = climbing()
    x = state.domain.centers(0)
    c = 1e-4 + 5e-8 * x  # vesicles/um^3
    state.fields[0][0] = c[None, :] * state.domain.voxel_volume
    inner = np.flatnonzero((abs(state.cells.position[:, :2] - 1000) < 800).all(axis=1))
    slope, mean = sense_gradient(state, 0, inner, 7.5)
    np.testing.assert_allclose(slope, np.tile([5e-8, 0, 0], (len(inner), 1)), rtol=1e-9, atol=1e-20)
    here = 1e-4 + 5e-8 * state.domain.centers(0)[state.domain.voxel_of(state.cells.position[inner])[:, 0]]
    np.testing.assert_allclose(mean, here, rtol=1e-12)
    moved = move(state, 600.0)
    assert moved is not None
    k = 2e-4
    drift = 600 * 1.0 * k * 5e-8 / (k + here) ** 2
    way = (moved - state.cells.position)[inner]
    np.testing.assert_allclose(way[:, 0], drift, rtol=1e-6)
    np.testing.assert_allclose(way[:, 1], 0, atol=1e-9)
    state.cells.behavior *= -1
    fled = move(state, 600.0)
    assert fled is not None
    np.testing.assert_allclose((fled - state.cells.position)[inner, 0], -drift, rtol=1e-6)


def test_single_vesicles_show_the_same_gradient() -> None:
    """Poisson numbers of vesicles: the mean over many cells is that of the field they are drawn from."""
    state = climbing("vesicles")
    random = np.random.default_rng(3)
    u = 200 + 0.2 * state.domain.centers(0)
    count = random.poisson(np.broadcast_to(u, (20, 20)))
    y, x = np.nonzero(count)
    x, y = (np.repeat(v, count[y, x]) * 100.0 + 50 for v in (x, y))
    columns = dict.fromkeys(state.vesicles.columns(), 0) | {"x": x, "y": y, "z": 10.0, "status": Status.FREE}
    state.vesicles.append(**columns | {"id": np.arange(len(x))})
    inner = np.flatnonzero((abs(state.cells.position[:, :2] - 1000) < 850).all(axis=1))
    slope, _ = sense_gradient(state, 0, inner, 7.5)
    per_voxel = slope[:, 0] * state.domain.voxel_volume
    # Windows of neighbors share voxels: the spread of the mean is about three times that of n alone.
    error = 3 * per_voxel.std() / math.sqrt(len(inner))
    assert per_voxel.mean() == pytest.approx(0.2, abs=4 * error)
    assert 8 * error < 0.2, "no slope, or half of it, would be seen"


def test_a_follower_remembers_where_vesicles_came_from() -> None:
    """p fades by e^(-t/tau), v = v_max p^h/(K^h + p^h): two catches to the right, then none."""
    keys = (
        'follows = { vesicle = "ev", speed = "60 um/h", half_max = 4, hill = 2, memory = "10 min" }\n'
        'releases = "ev"\ntakes_up = ["ev"]'
    )
    state = scattered(2, keys, engine="vesicles", capture="membrane")
    start, dt = state.cells.position.copy(), 120.0
    columns = dict.fromkeys(state.vesicles.columns(), 0) | {"status": Status.BOUND, "host": 3}
    x, y, z = start[3] + [7.5, 0, 0]
    rows = state.vesicles.append(**columns | {"id": np.arange(2), "x": x, "y": y, "z": z})
    state.events.add(Event.ENCOUNTER, state.vesicles, rows, np.asarray(60.0))
    for p in (2.0, 2.0 * math.exp(-0.2), 2.0 * math.exp(-0.4)):
        moved = move(state, dt)
        assert moved is not None
        np.testing.assert_allclose(state.cells.polarity[3], [p, 0, 0], rtol=1e-6)
        way = moved - state.cells.position
        assert way[3, 0] == pytest.approx(dt * 60 / HOUR * p**2 / (16 + p**2), rel=1e-6)
        assert not way[:3].any()
        assert not way[3, 1:].any()
        state.events.begin(60.0, dt)


def test_a_steep_answer_to_many_copies_is_full_speed() -> None:
    """(p/K)^h beyond what a float holds: v = v_max, and 0 without a memory of any."""
    keys = 'follows = { vesicle = "ev", speed = "60 um/h", half_max = 1, hill = 100 }\ntakes_up = ["ev"]'
    state = scattered(2, keys, engine="vesicles", capture="membrane")
    state.cells.polarity[1] = 1e6, 0.0, 0.0
    start, moved = state.cells.position.copy(), move(state, 1.0)
    assert moved is not None
    assert moved[1, 0] - start[1, 0] == pytest.approx(1 / 60, rel=1e-9)
    np.testing.assert_array_equal(np.delete(moved, 1, axis=0), np.delete(start, 1, axis=0))


def world(
    position: np.ndarray, radius: np.ndarray, periodic: bool = False, dim: int = 2
) -> sphere_mechanics.NeighborGrid:
    counts = np.array([10, 10, 10 if dim == 3 else 1])
    length = np.array([100.0, 100.0, 100.0 if dim == 3 else 10.0])
    return sphere_mechanics.neighbor_grid(
        dim, np.zeros(3), length, np.full(3, periodic), 10.0, counts, np.empty(0, bool), position, radius, 0
    )


def gaps(position: np.ndarray, radius: np.ndarray, periodic: bool, dim: int) -> np.ndarray:
    """Distances between membranes, (n, n), by brute force."""
    way = position[:, None, :dim] - position[None, :, :dim]
    if periodic:
        way -= 100 * np.round(way / 100)
    gap = np.sqrt((way**2).sum(axis=2)) - radius[:, None] - radius[None]
    np.fill_diagonal(gap, np.inf)
    return gap


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("periodic", [False, True])
def test_pushes_are_those_of_all_pairs(periodic: bool, dim: int) -> None:
    random = np.random.default_rng(dim)
    n = 60 if dim == 2 else 300
    position, radius = random.random((n, 3)) * 100, random.uniform(4, 9, n)
    if dim == 2:
        position[:, 2] = 5.0
    shift = np.zeros((n, 3))
    sphere_mechanics.overlap_displacements(
        world(position, radius, periodic, dim), position, radius, 0.1, np.inf, shift
    )
    way = position[:, None] - position[None]
    way[..., dim:] = 0
    if periodic:
        way -= 100 * np.round(way / 100)
    distance = np.sqrt((way**2).sum(axis=2)) + np.eye(n)
    overlap = np.maximum(-gaps(position, radius, periodic, dim), 0)
    expected = (0.05 * overlap / distance)[..., None] * way
    np.testing.assert_allclose(shift, expected.sum(axis=1), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(shift.sum(axis=0), 0, atol=1e-9, err_msg="action and reaction")


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("periodic", [False, True])
def test_no_way_makes_an_overlap_worse(periodic: bool, dim: int) -> None:
    random = np.random.default_rng(10 + dim)
    n = 40 if dim == 2 else 150
    position, radius = random.random((n, 3)) * 100, random.uniform(4, 9, n)
    if dim == 2:
        position[:, 2] = 5.0
    stayed = 0
    for _ in range(30):
        shift = random.normal(0, 2, (n, 3))
        if dim == 2:
            shift[:, 2] = 0
        before = np.minimum(gaps(position, radius, periodic, dim), 0)
        stayed += sphere_mechanics.move_in_turn(
            world(position, radius, periodic, dim), position, radius, shift
        )
        after = np.minimum(gaps(position, radius, periodic, dim), 0)
        assert (after >= before - 1e-9).all()
        assert ((position[:, :dim] >= 0) & (position[:, :dim] < 100)).all()
    assert 0 < stayed < 30 * n


def relaxing(rate: str = "6 / h", side: int = 2) -> State:
    return scattered(side, "", more=f'mechanics = {{ relaxation = "{rate}" }}')


def test_two_cells_part_by_e_to_minus_rate_t() -> None:
    state = relaxing()
    start = np.array([[50.0, 50, 10], [52.0, 50, 10], [150, 150, 10], [50, 150, 10]])
    for minutes in (1, 5, 20):
        position = start.copy()
        box = neighbor_box(state, position, radii(state))
        assert separate_overlaps(state, box, position, radii(state), 60.0 * minutes)
        overlap = 15 - (position[1, 0] - position[0, 0])
        assert overlap == pytest.approx(13 * math.exp(-6 / 60 * minutes), rel=1e-9)
        np.testing.assert_array_equal(position[2:], start[2:])


def test_cells_at_one_place_part_too() -> None:
    state = relaxing()
    position = np.tile([50.0, 50.0, 10.0], (4, 1))
    separate_overlaps(state, neighbor_box(state, position, radii(state)), position, radii(state), 3600.0)
    assert overlaps(position, radii(state)).least_distance > 7


def test_a_tissue_with_nuclei_7_um_apart_spreads_and_rests() -> None:
    state = relaxing(side=10)
    state.cells.position[:, :2] = 500 + 7.0 * (np.indices((10, 10)).reshape(2, -1).T - 4.5)
    state.cells.position[:, :2] += np.random.default_rng(1).normal(0, 0.5, (100, 2))
    worst = [overlaps(state.cells.position, radii(state)).least_distance]
    for _ in range(8):
        moved = move(state, HOUR)
        assert moved is not None
        assert np.abs(moved - state.cells.position).max() < 60
        state.cells.position = moved
        worst.append(overlaps(moved, radii(state)).least_distance)
    assert worst[0] < 7 < 13 < worst[-1]
    assert np.ptp(state.cells.position[:, 0]) < 9 * 20, "they rest once they touch"


@pytest.mark.parametrize("face", [Face.NO_FLUX, Face.PERIODIC])
def test_faces_and_obstacles_hold_cells(face: Face) -> None:
    state = scattered(3, 'motility = "40000 um^2/h"')
    wall = np.zeros((3, 3), bool)
    wall[1, 1] = True
    state.domain = Domain((3, 3), 100.0, 20.0, faces=(face,) * 6, obstacle=wall)
    keep = np.flatnonzero(~wall.ravel()[state.domain.flat(state.domain.voxel_of(state.cells.position))])
    state.cells.take(keep)
    for _ in range(200):
        moved = move(state, 60.0)
        assert moved is not None
        state.cells.position = moved
        state.step += 1
        assert state.domain.contains(moved).all()
        voxel = state.domain.voxel_of(moved)
        assert not ((voxel[:, 0] == 1) & (voxel[:, 1] == 1)).any()


@pytest.mark.parametrize("relaxes", [False, True])
def test_surfaces_stop_at_walls(relaxes: bool) -> None:
    """Moving, pushed or born, a cell keeps its radius from the faces; one that stood out comes in."""
    state = relaxing(side=6) if relaxes else scattered(6, 'motility = "40000 um^2/h"')
    low, high = state.domain.low[:2], (state.domain.low + state.domain.extent)[:2]
    r = float(radii(state)[0])
    state.cells.position[:, :2] = np.clip(state.cells.position[:, :2], low + r, high - r)
    state.cells.position[:3, :2] = [low + 2.0, high - 2.0, [low[0] + 2.0, high[1] - 2.0]]
    if relaxes:
        state.cells.position[3:, :2] = low + r + np.random.default_rng(2).random((33, 2)) * 20
    beyond = []
    for _ in range(60):
        moved = move(state, 600.0)
        assert moved is not None
        state.cells.position = moved
        state.step += 1
        gap = np.minimum(moved[:, :2] - low, high - moved[:, :2])
        beyond.append((r - gap).max(axis=1))
    assert np.max([b[3:] for b in beyond]) < 1e-9
    assert (np.diff(np.maximum(beyond, 0)[:, :3], axis=0) < 1e-9).all(), "none comes farther out"
    if not relaxes:
        assert np.max(beyond[-1]) < 1e-9
