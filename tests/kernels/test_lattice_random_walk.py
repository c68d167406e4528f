"""Hopping walkers against the grid scheme whose stochastic twin they are.

Seeds are fixed. Tolerances are in standard errors; at 4 of them one fresh seed in 16,000 fails a check.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest

from exoabm.domain import Domain, Face
from exoabm.kernels import lattice_random_walk as kernel
from exoabm.kernels.diffusion_stencil import CLEARED as LOST
from exoabm.kernels.diffusion_stencil import ESCAPED as LEFT
from exoabm.kernels.diffusion_stencil import MASS, Diffusion
from exoabm.kernels.lattice import Lattice, mark_voxels
from exoabm.kernels.linear_uptake import advance_linear, index_slots
from exoabm.kernels.medium import CAPTURED, CLEARED, ESCAPED, FREE, Outcomes, Particles
from exoabm.kernels.random import StepKey
from exoabm.transport.grid_discretization import conductance, is_uniform
from exoabm.transport.motion_and_capture import inner_conductance

VOXEL, WATER, DT, N_SUB, SIZE = 10.0, 6.57, 60.0, 40, 7
H = DT / N_SUB
SUBSTEPS = ((N_SUB - 0.5) / DT / WATER, 0.0)
PURPOSES = 9, 10
CLOSED, ROUND = (Face.NO_FLUX,) * 6, (Face.PERIODIC,) * 6
OPEN = (Face.FIXED, Face.NO_FLUX, Face.PERIODIC, Face.PERIODIC, Face.NO_FLUX, Face.FIXED)


class World:
    """A small grid with two sinks, advanced either way."""

    def __init__(
        self,
        dim: int,
        sides: tuple[Face, ...] = CLOSED,
        *,
        size: int = SIZE,
        varying: bool = False,
        obstacles: bool = False,
        decay: float = 1e-3,
        uptake: float = 0.02,
    ) -> None:
        shape, rng = (size,) * dim, np.random.default_rng(4)
        self.domain = Domain(
            shape,
            VOXEL,
            VOXEL,
            faces=sides,
            hindrance=rng.uniform(0.2, 1.0, shape) if varying else 1.0,
            obstacle=rng.random(shape) < 0.15 if obstacles else None,
        )
        self.faces = conductance(self.domain)
        flat = [np.reshape(g, (-1, *g.shape[-2:])) for g in self.faces]
        if dim == 2:
            flat.append(np.zeros((2, size, size)))
        self.lattice = Lattice(
            dim,
            self.domain.low,
            VOXEL,
            self.domain.counts,
            np.array([face == Face.PERIODIC for face in sides[::2]]),
            *flat,
            1.0 if is_uniform(self.domain) else 0.0,
            decay,
        )
        n = self.domain.n_voxels
        self.sites = np.array([n // 2, n // 2 + 2])
        slot = np.full(n, -1, np.int32)
        slot[self.sites] = [0, 1]
        self.rate = np.array([uptake, 2 * uptake, uptake])
        cells = np.array([5, 6, 7], np.int32)  # the first two share a voxel
        ptr = np.array([0, 2, 3])
        self.sinks = kernel.Sinks(
            slot, ptr, cells, self.rate[None], np.zeros(1), *mark_voxels(self.lattice, slot)
        )
        wall = self.domain.obstacle
        self.open = np.arange(n) if wall is None else np.flatnonzero(~wall.ravel())

    def field(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One vesicle spread evenly: voxels, takings of the three cells and flows after a step."""
        u = np.zeros(self.domain.n_voxels)
        u[self.open] = 1 / len(self.open)
        u = u.reshape(self.domain.shape)
        flows, exposure = np.zeros((1, 6)), np.zeros((1, 2))
        flows[0, MASS] = u.sum()
        r, decay = np.array([[WATER * H / VOXEL**2], [self.lattice.decay_rate * H]])
        advance_linear(
            u[None],
            np.empty_like(u[None]),
            n_sub=np.array([N_SUB]),
            diffusion=Diffusion(r, decay, self.domain.faces, np.zeros((1, 6)), self.faces),
            slots=index_slots(self.sites, self.domain.shape),
            source=np.zeros((1, 2)),
            sink=H * np.array([[self.rate[:2].sum(), self.rate[2]]]),
            exposure=exposure,
            flows=flows,
        )
        return u.ravel(), H * self.rate * exposure[0, [0, 0, 1]], flows[0]

    def walkers(self, n: int, seed: int = 0) -> Walkers:
        """Walkers spread evenly over the open voxels."""
        rng = np.random.default_rng(seed)
        voxel = self.open[np.arange(n) % len(self.open)]
        at = np.stack(np.unravel_index(voxel, self.domain.shape)[::-1]).astype(float)
        place = np.full((3, n), VOXEL / 2)
        place[: len(at)] = (at + rng.uniform(0.01, 0.99, at.shape)) * VOXEL
        return Walkers(self, place)


class Walkers:
    """Walkers from given places."""

    def __init__(self, world: World, place: np.ndarray) -> None:
        n = place.shape[1]
        self.world, self.n = world, n
        self.x, self.y, self.z = place.astype(np.float32)
        self.start = np.zeros(n, np.float32)
        self.fate, self.when = np.full(n, -1, np.int8), np.zeros(n, np.float32)
        self.target = np.full(n, -1, np.int32)

    def go(
        self,
        *,
        rows: np.ndarray | None = None,
        seed: int = 1,
        threads: int = 1,
        wrong: float = 1.0,
        diffusivity: float = WATER,
        substeps: tuple[float, float] = SUBSTEPS,
        classes: tuple[list[float], list[float]] = ([1.0], [0.0]),
    ) -> Walkers:
        """One step; ``wrong`` is a factor of the capture rates, ``classes`` factors of each and its log D."""
        rate = np.outer(classes[0], self.world.rate) * wrong
        sinks = self.world.sinks._replace(entry_rate=rate, log_diffusivity=np.array(classes[1]))
        kernel.walk_on_lattice(
            Particles(
                np.arange(self.n) if rows is None else rows, np.arange(self.n), self.x, self.y, self.z,
                np.full(self.n, diffusivity, np.float32), self.start,
            ),
            DT, substeps, StepKey(seed, 0, *PURPOSES), self.world.lattice, sinks,
            Outcomes(self.fate, self.when, self.target), threads=threads,
        )  # fmt: skip
        return self

    def voxels(self) -> np.ndarray:
        """Where they are, flat."""
        domain = self.world.domain
        return domain.flat(domain.voxel_of(np.stack([self.x, self.y, self.z], axis=1).astype(float)))

    def outcome(self) -> np.ndarray:
        """Everything written, as one array."""
        return np.stack([self.x, self.y, self.z, self.fate, self.when, self.target])


WORLDS = {
    "2-D": functools.partial(World, 2),
    "3-D": functools.partial(World, 3),
    "2-D periodic": functools.partial(World, 2, ROUND),
    "3-D periodic": functools.partial(World, 3, ROUND),
    "2-D open": functools.partial(World, 2, OPEN),
    "3-D open": functools.partial(World, 3, OPEN),
    "2-D obstacles": functools.partial(World, 2, obstacles=True),
    "3-D obstacles, open": functools.partial(World, 3, OPEN, obstacles=True),
    "2-D hindrance, open": functools.partial(World, 2, OPEN, varying=True),
    "3-D hindrance, obstacles": functools.partial(World, 3, ROUND, varying=True, obstacles=True),
}


OWN = [(-9.0, 0.5), (-1.5, 0.75), (-1.0, 1.0), (0.5, 1.75), (1.0, 2.0), (2.0, 5.0), (3.0, 8.0), (9.0, 11.0)]


@pytest.mark.parametrize(("at", "factor"), OWN)
def test_rates_go_by_a_walkers_own_diffusivity(at: float, factor: float) -> None:
    """Three classes at log D -1, 1 and 3: linear between them, and for half that way beyond, not farther."""
    world = WORLDS["2-D periodic"]()
    classes = ([1.0, 2.0, 8.0], [float(np.log(WATER)) + each - at for each in (-1.0, 1.0, 3.0)])
    found = world.walkers(20_000).go(classes=classes)
    expected = world.walkers(20_000).go(wrong=factor)
    captured = [(walkers.fate == CAPTURED).sum() for walkers in (found, expected)]
    assert captured[0] > 100
    assert abs(captured[0] - captured[1]) < 3, "the same draws, but for rounding"


@pytest.mark.parametrize("name", WORLDS)
def test_expected_numbers_are_those_of_the_grid_scheme(name: str) -> None:
    """Voxels, fates and the takings of each cell; 4e5 walkers, 4 standard errors; chi-square 4 of its own."""
    world, n = WORLDS[name](), 400_000
    # An explicit step of the scheme may not empty a voxel; otherwise there is no chance to stay.
    assert WATER * H / VOXEL**2 * 2 * (world.domain.dim + 1) < 1
    field, taken, flows = world.field()
    walkers = world.walkers(n).go()
    assert set(walkers.fate) <= {FREE, CAPTURED, CLEARED, ESCAPED}
    stays = walkers.fate == FREE
    count = np.bincount(walkers.voxels()[stays], minlength=len(field))
    closed = np.setdiff1d(np.arange(len(field)), world.open)
    assert not count[closed].any()  # nothing leaks into an obstacle
    expected = n * field[world.open]
    chi = ((count[world.open] - expected) ** 2 / expected).sum()
    assert chi < len(expected) + 4 * np.sqrt(2 * len(expected))

    def agrees(found: int, share: float) -> bool:
        return abs(found - n * share) <= 4 * np.sqrt(n * share * (1 - share)) + 1e-9

    assert agrees((walkers.fate == CLEARED).sum(), flows[LOST])
    assert agrees((walkers.fate == ESCAPED).sum(), flows[LEFT])
    assert (flows[LEFT] > 0) == ("open" in name)
    for cell, share in zip((5, 6, 7), taken, strict=True):
        assert agrees((walkers.target == cell).sum(), share)
    assert ((walkers.target >= 0) == (walkers.fate == CAPTURED)).all()


def test_a_planted_bias_of_the_rates_is_caught() -> None:
    """5 % more is beyond 4 standard errors of 1e6 walkers in a slab, on the same draws."""
    world, n = World(2), 1_000_000
    expected = n * world.field()[1].sum()
    for wrong in (1.0, 1.05):
        found = (world.walkers(n).go(wrong=wrong).fate == CAPTURED).sum()
        assert (abs(found - expected) < 4 * np.sqrt(expected)) == (wrong == 1.0)


@pytest.mark.parametrize("dim", [2, 3])
def test_inner_voxels_of_a_uniform_medium_are_alike(dim: int) -> None:
    """Also where the mean of two equal hindrances is not, to the last bit, the hindrance: 0.05."""
    inner = (slice(1, -1),) * dim
    for hindrance in (0.05, 0.3, 1.0):
        world = World(dim)
        domain = Domain((SIZE,) * dim, VOXEL, VOXEL, faces=CLOSED, hindrance=hindrance)
        faces = [np.reshape(g, (-1, *g.shape[-2:])) for g in conductance(domain)]
        named = dict(zip(("gx", "gy", "gz"), faces, strict=False))
        lattice = world.lattice._replace(uniform=inner_conductance(domain), **named)
        mark, _ = mark_voxels(lattice, np.full(domain.n_voxels, -1, np.int32))
        assert not mark.reshape(domain.shape)[inner].any()
        assert mark.any()


@pytest.mark.parametrize("dim", [2, 3])
def test_mean_square_displacement(dim: int) -> None:
    """2 d D t to 1 %, over a time in which none meets a face."""
    world = World(dim, size=81, decay=0.0, uptake=0.0)
    place = np.full((3, 200_000), 405.0)
    place[dim:] = 5.0
    walkers = Walkers(world, place).go()
    moved = np.stack([walkers.x, walkers.y, walkers.z]) - place
    ratio = (moved**2).sum(axis=0).mean() / (2 * dim * WATER * DT)
    assert ratio == pytest.approx(1, rel=0.01)
    assert ratio * 1.05 != pytest.approx(1, rel=0.01)
    assert np.abs(moved.mean(axis=1)).max() < 4 * np.sqrt(2 * WATER * DT / 200_000)


def test_decay_and_late_starts() -> None:
    """Cleared with 1 - (1 - k h)^n, n the sub-steps left; one let in during a sub-step skips it."""
    world, n = World(2, decay=5e-3, uptake=0.0), 200_000
    walkers = world.walkers(n)
    walkers.start[n // 2 :] = 30.5 * H
    walkers.go()
    for part, left in ((slice(0, n // 2), N_SUB), (slice(n // 2, n), N_SUB - 31)):
        share = 1 - (1 - 5e-3 * H) ** left
        error = np.sqrt(share * (1 - share) / (n // 2))
        assert abs((walkers.fate[part] == CLEARED).mean() - share) < 4 * error
    assert (walkers.when >= walkers.start - H).all()


@pytest.mark.parametrize("fate", ["cleared", "captured", "escaped"])
@pytest.mark.parametrize("planted", [0.0, 0.5, -0.5])
def test_the_time_of_an_end_is_the_middle_of_its_substep(fate: str, planted: float) -> None:
    """sum_s (s + 1/2) h p (1 - p)^s / sum_s p (1 - p)^s, p the chance in a sub-step, to 4 standard errors.

    Half a sub-step more or less is 6 or more of them.
    """
    n, still, substeps = 100_000, 0.0, (0.0, (N_SUB - 0.5) / DT)
    if fate == "cleared":
        world, chance = World(2, decay=5e-3, uptake=0.0), 5e-3 * H
        place = world.walkers(n)
    elif fate == "captured":  # where the first two sinks are, 3 times the rate in all
        world = World(2, decay=0.0, uptake=5e-3 / 3)
        chance = 5e-3 * H / (1 + 5e-3 * H)
        place = Walkers(world, np.full((3, n), VOXEL * SIZE / 2))
    else:  # out of a box of one voxel, a half of it from the face: 2 r
        world, still, substeps = World(2, OPEN, size=3, decay=0.0, uptake=0.0), 1.0, (N_SUB / DT, 0.0)
        chance = 2 * still * H / VOXEL**2
        place = Walkers(world, np.tile([[0.5 * VOXEL], [1.5 * VOXEL], [0.5 * VOXEL]], n))
        # Of those that have hopped elsewhere before few come back in the first tenth, which is compared.
    ends = place.go(diffusivity=still, substeps=substeps)
    code = {"cleared": CLEARED, "captured": CAPTURED, "escaped": ESCAPED}[fate]
    last = N_SUB // 10 if fate == "escaped" else N_SUB
    s = np.arange(last)
    p = chance * (1 - (1.5 if fate == "escaped" else 1.0) * chance) ** s
    when = ends.when[(ends.fate == code) & (ends.when < last * H)].astype(float)
    expected = ((s + 0.5 + planted) * H * p).sum() / p.sum()
    assert len(when) > 1000
    assert (abs(when.mean() - expected) < 4 * when.std() / np.sqrt(len(when))) == (planted == 0)


def test_no_end_comes_before_the_start() -> None:
    """Let in during the second half of a sub-step, a walker ends no earlier, however soon it does."""
    for decay, uptake in ((0.3, 0.0), (0.0, 0.3)):
        world, n = World(2, decay=decay, uptake=uptake), 50_000
        walkers = world.walkers(n) if decay else Walkers(world, np.full((3, n), VOXEL * SIZE / 2))
        walkers.start[:] = (7 + np.linspace(0.5, 0.99, n)) * H
        walkers.go()
        ended = walkers.fate != FREE
        assert ended.mean() > 0.3
        assert (walkers.when[ended] >= walkers.start[ended]).all()


def test_bits_depend_on_no_one_else() -> None:
    """Not on threads nor on who else is there; on the seed they do."""
    world, n = World(3, OPEN, obstacles=True), 40_000
    one = world.walkers(n).go().outcome()
    assert np.array_equal(one, world.walkers(n).go(threads=2).outcome())
    assert np.array_equal(one, world.walkers(n).go(threads=5).outcome())
    some = np.random.default_rng(2).permutation(n)[:777]
    few = world.walkers(n).go(rows=some).outcome()
    assert np.array_equal(one[:, some], few[:, some])
    rest = np.setdiff1d(np.arange(n), some)
    assert np.array_equal(few[:3, rest], world.walkers(n).outcome()[:3, rest])
    assert not np.array_equal(one, world.walkers(n).go(seed=2).outcome())
