"""Mechanisms at places of the domain, by kind of face and engine: a table, each cell with its right value.

    mechanism    places                          faces                  engines, what is right
    capture      all, the obstacle among them    all                    three: f k_a c, 2 %, and each other
    release      all                             all                    three: all of it, inside
    dose         middle, face, corner, obstacle  all                    three: all of it, inside
    sensing      all but the obstacle            all                    one field for all: the slope, 2 %
    push-apart   all but the obstacle            all                    none needed: touching, inside
    division     face, edge, corner, obstacle    all                    three: both alive, inside, in sight
    obstacles    a wall, beside each of these    all                    with each of the above but sensing

All faces are closed, periodic, open, held. The place is where the center lies; around a periodic face it is
the seam. The box has three lengths that differ. f is the share of the membrane inside; at open faces single
vesicles are held against the grid, and that against boundary elements in `test_boundary_resistance.py`.
Not here: held faces that meet, and what comes in (`test_faces.py`), the laws of division
(`tests/cells/test_turnover.py`), gradients by themselves (`tests/kernels/test_gradient.py`).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from worlds import DONOR, RECIPIENT, pour, run, world

from exoabm import ExosomeModel
from exoabm.cells.motility import move, sense_gradient
from exoabm.tables.declarations import Event
from exoabm.vesicle import Status

SIZE = [60.0, 50.0, 40.0]
RADIUS, RATE, FREELY = 7.5, 14.0, 6.572
ENGINES = ["continuum", "voxel", "membrane"]
PLACES = {
    "middle": [30.0, 25.0, 20.0],
    "face": [0.0, 25.0, 20.0],
    "face, a half": [3.75, 25.0, 20.0],
    "face, touching": [7.5, 25.0, 20.0],
    "upper face": [60.0 - 3.75, 25.0, 20.0],
    "edge": [0.0, 25.0, 0.0],
    "corner": [0.0, 0.0, 0.0],
    "corner, a half": [3.75, 3.75, 3.75],
    "wall": [27.0, 25.0, 20.0],
}
HELD = {"concentration": "1e10 / mL"}
KINDS: dict[str, Any] = {"closed": "no-flux", "periodic": "periodic", "open": "open", "held": HELD}
BATH = 0.01
"""Concentration of ``HELD``, 1/um^3."""
WALL = {"name": "wall", "low": [30, 0, 0], "high": [40, 50, 40], "obstacle": True}


@functools.cache
def share(place: str, faces: str) -> float:
    """Of a sphere cut by planes through its center a power of 1/2; else (a + d)/(2 a), or by a count."""
    center = np.array(PLACES[place])
    points = np.random.default_rng(0).normal(size=(400_000, 3))
    points = center + RADIUS * points / np.linalg.norm(points, axis=1)[:, None]
    inside = np.ones(len(points), bool)
    if faces != "periodic":
        inside &= ((points >= 0) & (points <= SIZE)).all(axis=1)
    if place == "wall":
        inside &= points[:, 0] < 30
    return float(inside.mean())


def model_of(
    engine: str,
    place: str,
    faces: str,
    kind: dict[str, Any],
    voxel: float = 5.0,
    step: float = 60,
    **more: Any,
) -> ExosomeModel:
    transport = (
        {"engine": "continuum"} if engine == "continuum" else {"engine": "vesicles", "capture": engine}
    )
    domain: dict[str, Any] = more.pop("domain", {"faces": dict.fromkeys("xyz", KINDS[faces])})
    if place == "wall":
        domain["zone"] = [WALL]
    center = np.minimum(PLACES[place], np.nextafter(SIZE, 0)).tolist()
    vesicle = {"diffusivity": FREELY, "diameter_gsd": 1}
    cells = [(kind, [center])]
    return world(
        SIZE, cells, voxel=voxel, domain=domain, vesicle=vesicle, transport=transport, step=step, **more
    )


def fill(model: ExosomeModel, number: int, seed: int = 1) -> float:
    """Put vesicles evenly into the open space: their concentration, 1/um^3."""
    state, domain = model.state, model.state.domain
    if not state.follows_vesicles:
        open_ = np.ones(domain.shape) if domain.obstacle is None else (~domain.obstacle).astype(float)
        pour(model, number * open_ / open_.sum())
        return float(number / open_.sum() / domain.voxel_volume)
    place = domain.low + np.random.default_rng(seed).random((2 * number, 3)) * domain.extent
    kept = ~domain.blocked(place)
    if model.scenario.transport.capture == "membrane":
        center = np.tile(state.cells.position, (len(place), 1))
        way = domain.displacement(center, place)
        near = np.linalg.norm(way, axis=1) < RADIUS
        near[near] = domain.sees(center[near], way[near])
        kept &= ~near
    density = 2 * number / domain.extent.prod()
    place = place[kept]
    columns = dict.fromkeys(state.vesicles.columns(), 0) | {"status": Status.FREE, "host": -1, "donor": -1}
    columns |= {"diffusivity": FREELY, "due": np.inf, "id": np.arange(len(place)) + 10**13}
    x, y, z = place.T
    state.vesicles.append(**columns | {"x": x, "y": y, "z": z})
    state.balance.emitted[0, 0] += len(place)
    return float(density)


def taken(model: ExosomeModel) -> float:
    """Vesicles captured until now, none of which leaves again."""
    return float(sum(model.state.balance[a].sum() for a in ("bound", "endosomal", "lysosomal", "delivered")))


CAPTURES = [
    (place, faces)
    for place in PLACES
    for faces in ("closed", "periodic")
    if place not in ("wall",) or faces == "closed"
]
OUTSIDE = [(place, faces) for place in ("face", "corner, a half", "wall") for faces in ("open", "held")]


@pytest.mark.parametrize("place", PLACES)
def test_capture_on_the_grid_beside_held_faces(place: str) -> None:
    """All that is around is held at c: f k_a c, of which the membrane itself takes away 2.4 % at most."""
    model = model_of("continuum", place, "held", RECIPIENT | {"uptake_rate": RATE}, step=20)
    fill(model, 1200 if place != "wall" else 1000)
    run(model, 20)
    before = taken(model)
    run(model, 20)
    right = share(place, "held") * RATE * BATH
    assert 0.97 * right < (taken(model) - before) / 20 < 1.003 * right


BESIDE = [("face, a half", "open"), ("edge", "open"), ("edge", "held"), ("corner", "held")]


@pytest.mark.parametrize(("place", "faces"), BESIDE)
@pytest.mark.parametrize("capture", ["voxel", "membrane"])
def test_captures_beside_open_and_held_faces_are_those_of_the_grid(
    place: str, faces: str, capture: str
) -> None:
    """Within 4 standard errors of 200 or more: one fresh seed in 16,000 fails a row; 50 % more are seen.

    Of a bath that is held at the low faces, or flows out there, the others being closed.
    """
    c, low = (0.3 if faces == "open" else 0.1), [side for side in range(3) if PLACES[place][side] < RADIUS]
    kind = RECIPIENT | {"uptake_rate": (600 if faces == "open" else 150) / share(place, faces)}
    outside = "open" if faces == "open" else {"concentration": f"{c * 1e12:g} / mL"}
    found = []
    for engine in ("continuum", capture):
        domain = {"faces": {f"{'xyz'[side]}_low": outside for side in low}}
        model = model_of(engine, place, faces, kind, step=30, domain=domain)
        number = int(c * 120_000 / (1 if engine == "continuum" else 2))  # of single ones twice as many come
        found.append(c / fill(model, number) * taken(run(model, 30)))
    expected, got = found
    assert 200 < expected < 1500
    assert got == pytest.approx(expected, abs=4 * np.sqrt(expected) + 0.02 * expected)
    assert abs(got - 1.5 * expected) > 4 * np.sqrt(expected)


@pytest.mark.parametrize(("place", "faces"), CAPTURES)
@pytest.mark.parametrize("voxel", [10.0, 5.0])
def test_capture_on_the_grid(place: str, faces: str, voxel: float) -> None:
    """f k_a c / (1 + f k_a R) to 2 %, R <= 2.4 / (4 pi D a f): a bath that loses less than a part in 200."""
    model = model_of("continuum", place, faces, RECIPIENT | {"uptake_rate": RATE}, voxel)
    c = fill(model, 1000)
    f = share(place, faces)
    run(model, 60)
    before = taken(model)
    run(model, 60)
    rest = c * model.state.balance["free"].sum() / 1000
    limited = 1 + RATE / (4 * np.pi * FREELY * RADIUS)
    assert (taken(model) - before) / 60 == pytest.approx(f * RATE * rest / limited, rel=0.02)


@pytest.mark.parametrize(("place", "faces"), [c for c in CAPTURES if c[1] == "closed" or c[0] == "corner"])
@pytest.mark.parametrize("capture", ["voxel", "membrane"])
def test_captures_of_single_vesicles_are_those_of_the_grid(place: str, faces: str, capture: str) -> None:
    """Within 4 standard errors of the expected number, 900 or more: one fresh seed in 16,000 fails a row.

    A cell that takes up with all of its membrane, or twice with what is there, is more than that off.
    """
    f, k_a = share(place, faces), 1400.0
    kind = RECIPIENT | {"uptake_rate": min(k_a, 40 / f)}
    grid = model_of("continuum", place, faces, kind, 5.0)
    single = model_of(capture, place, faces, kind, 5.0)
    number = 25_000
    c, d = fill(grid, number), fill(single, number)
    for model in (grid, single):
        run(model, 120)
    expected = taken(grid) * d / c
    assert expected > 600
    assert taken(single) == pytest.approx(expected, abs=4 * np.sqrt(expected) + 0.02 * expected)
    assert abs(taken(single) - 1.2 * expected) > 4 * np.sqrt(expected)


RELEASES = [(engine, place, faces) for engine in ENGINES for place, faces in (*CAPTURES, *OUTSIDE)]


@pytest.mark.parametrize(("engine", "place", "faces"), RELEASES)
def test_all_that_is_released_is_inside(engine: str, place: str, faces: str) -> None:
    """The whole rate, from the part of the membrane that is there, none of it behind a wall."""
    model = model_of(engine, place, faces, DONOR | {"release_rate": "60000 / h"}, 5.0, step=0.6)
    model.step()
    state = model.state
    assert state.balance.emitted[0, 0] == pytest.approx(10, rel=1e-9)
    left = state.balance["escaped"][0, 0]
    assert state.balance["free"][0, 0] + left == pytest.approx(10, rel=1e-9)
    if engine == "continuum":
        assert (left > 0.1) == (faces in ("open", "held") and place != "wall")
    if place == "wall":
        free = state.free_per_voxel(0)[0]
        assert free[:, :, 6:].sum() < 1e-12


SENSED = [
    (place, kind) for place in PLACES for kind in ("open", "held", "closed", "periodic") if place != "wall"
]


@pytest.mark.parametrize(("place", "kind"), SENSED)
def test_sensing(place: str, kind: str) -> None:
    """The slope of c = c0 + g x between two faces, also where y and z repeat; of an even c none."""
    domain_faces: dict[str, Any] = {"x_low": "open", "x_high": HELD}
    if kind == "periodic":
        domain_faces |= {"y": "periodic", "z": "periodic"}
    if kind == "held":
        domain_faces["x_low"] = {"concentration": "5e9 / mL"}
    if kind == "closed":
        domain_faces = {}
    center = np.minimum(PLACES[place], np.nextafter(SIZE, 0)).tolist()
    model = world(SIZE, [(RECIPIENT, [center])], voxel=2.5, domain={"faces": domain_faces})
    state = model.state
    low, high = {"held": (0.005, 0.01), "closed": (0.004, 0.004)}.get(kind, (0.0, 0.01))
    x = state.domain.centers(0)
    state.fields[0][0] = (low + (high - low) * x / SIZE[0]) * state.domain.voxel_volume
    slope, mean = sense_gradient(state, 0, np.array([0]), RADIUS)
    np.testing.assert_allclose(slope, [[(high - low) / SIZE[0], 0, 0]], rtol=0.02, atol=1e-12)
    here = x[state.domain.voxel_of(state.cells.position)[0, 0]]
    assert mean[0] == pytest.approx(low + (high - low) * here / SIZE[0], rel=0.02)


BODIES = [(place, faces) for place, faces in CAPTURES if place != "wall"]
BODIES += [(place, faces) for place in ("face, a half", "corner") for faces in ("open", "held")]


@pytest.mark.parametrize(("place", "faces"), BODIES)
def test_bodies_part_and_stay_inside(place: str, faces: str) -> None:
    """Two cells that overlap by a third are apart after a while, none farther out than it was."""
    first = np.minimum(PLACES[place], np.nextafter(SIZE, 0))
    toward = np.sign(np.array(SIZE) / 2 - first + 1e-9)
    second = first + 10 * toward / np.linalg.norm(toward)
    model = world(
        SIZE,
        [(RECIPIENT, [first.tolist(), second.tolist()])],
        voxel=5,
        domain={"faces": dict.fromkeys("xyz", KINDS[faces])},
        mechanics={"relaxation": "600 / h"},
    )
    state = model.state
    for _ in range(20):
        moved = move(state, 60.0)
        if moved is None:
            break
        state.cells.position = moved
    assert state.domain.contains(state.cells.position).all()
    way = state.domain.displacement(state.cells.position[:1], state.cells.position[1:])
    assert np.linalg.norm(way) == pytest.approx(2 * RADIUS, rel=1e-3)
    if faces != "periodic":
        out = np.minimum(first, np.minimum(SIZE - first, RADIUS))
        gap = np.minimum(state.cells.position[0], SIZE - state.cells.position[0])
        assert (gap >= np.minimum(out, RADIUS) - 1e-6).all()


DOSED = [(place, "closed") for place in ("middle", "face", "corner", "wall")]
DOSED += [("face", faces) for faces in ("periodic", "open", "held")] + [("wall", "open"), ("wall", "held")]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("place", "faces"), DOSED)
def test_doses_come_in_where_the_cell_is(engine: str, place: str, faces: str) -> None:
    """1,000 particles through one cell, all in the tissue, none behind a wall."""
    dose = [{"name": "shot", "vesicle": "EV", "route": "tissue", "particles": 1000, "through": "recipient"}]
    kind = RECIPIENT | {"uptake_rate": 1}
    model = model_of(engine, place, faces, kind, 5.0, step=1.0, dose=dose)
    model.step()
    error = 1e-6 if engine == "continuum" else 4 * np.sqrt(1000)  # single vesicles come by chance
    label = int(np.argmax(model.state.balance.emitted[0]))
    assert model.state.balance.emitted[0, label] == pytest.approx(1000, abs=error)
    if place == "wall":
        assert model.state.free_per_voxel(0)[label][:, :, 6:].sum() < 1e-9
    if engine == "membrane":
        events = model.state.events.columns()
        born = (events["event"] == Event.ENTRY) & (events["label"] == label)
        at: Sequence[np.ndarray] = [events[axis][born].astype(float) for axis in "xyz"]
        way = model.state.domain.displacement(model.state.cells.position[:1], np.stack(at, axis=1))
        np.testing.assert_allclose(np.linalg.norm(way, axis=1), RADIUS, rtol=1e-4)


def test_no_cell_goes_or_is_born_through_a_thin_wall() -> None:
    """A wall of 4 um is thinner than a cell's way in a step, and than a daughter is from her mother.

    Without looking at the way half of the daughters and a share of the walkers would be beyond it.
    """
    wall = {"name": "wall", "low": [40, 0], "high": [44, 400], "obstacle": True}
    kind = {"name": "a", "diameter": 10, "motility": "20000 um^2/h", "division_rate": "60 / h"}
    cells = [[34.5, y] for y in range(10, 400, 20)]
    domain = {"thickness": 10, "zone": [wall]}
    model = world([80, 400], [(kind, [[float(x), float(y)] for x, y in cells])], voxel=4, domain=domain)
    for _ in range(4):
        model.step()
    assert len(model.state.cells) > len(cells)
    assert (model.state.cells.position[:, 0] < 40).all()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("faces", KINDS)
def test_daughters_are_born_inside_and_in_sight(faces: str, engine: str) -> None:
    """Of cells at a face, in an edge or a corner, or at a wall, two each, on one side of a thin wall.

    Without looking at faces half of the daughters would be outside, without looking at walls some beyond.
    """
    corners = [[x, y, z] for x in (0.0, 60.0) for y in (0.0, 50.0) for z in (0.0, 40.0)]
    sides = [[30.0, 0.0, 0.0], [60.0, 25.0, 20.0], [15.0, 50.0, 20.0], [12.0, 25.0, 0.0], [0.0, 25.0, 40.0]]
    walls = [[27.0, 25.0, 20.0], [27.0, 12.0, 30.0], [35.0, 38.0, 28.0]]
    place = np.minimum(
        [*corners[:: 8 if faces == "periodic" else 7], *sides[1:], *walls], np.nextafter(SIZE, 0)
    )
    transport = (
        {"engine": "continuum"} if engine == "continuum" else {"engine": "vesicles", "capture": engine}
    )
    domain = {"faces": dict.fromkeys("xyz", KINDS[faces]), "zone": [WALL | {"high": [32, 50, 40]}]}
    kind = RECIPIENT | {"diameter": 8, "division_rate": "1000 / h"}
    model = world(SIZE, [(kind, place.tolist())], voxel=2, domain=domain, transport=transport, step=10.0)
    model.step()
    state, founders = model.state, len(place)
    first = state.cells.position[:founders]
    np.testing.assert_allclose(first, place)
    mother = state.cells.mother[founders:]
    assert len(mother) > 0.7 * founders  # of e^2.8 - 1 that want to, most find no room
    way = state.domain.displacement(state.cells.position[mother], state.cells.position[founders:].copy())
    assert state.domain.contains(state.cells.position).all()
    assert not state.domain.blocked(state.cells.position).any()
    x = state.cells.position[mother, 0]
    assert ((x < 31) == (x + way[:, 0] < 31)).all()
    np.testing.assert_array_less(np.linalg.norm(way, axis=1), 8.01)
