"""Two decisions never share a draw: every key (purpose, entity, step, draw) belongs to one function."""

from __future__ import annotations

import sys
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_vesicle_reproducibility import relays

from exoabm import ExosomeModel
from exoabm.cells import uptake
from exoabm.kernels import binding_kinetics, lattice_random_walk
from exoabm.kernels import random as kernel
from exoabm.random_streams import Purpose
from exoabm.transport import motion_and_capture, receptor_binding

ALL = -1
"""Every number of a draw, where a kernel takes as many as it needs."""


class Log:
    """Draws by purpose and step: function, numbers of the draws, entities."""

    def __init__(self) -> None:
        self.drawn: dict[tuple[int, int], list[tuple[str, int, np.ndarray]]] = defaultdict(list)

    def note(self, site: str, purpose: int, entities: np.ndarray, step: int, draw: int) -> None:
        self.drawn[int(purpose), int(step)].append((site, draw, np.array(entities)))

    def shared(self) -> set[tuple[str, ...]]:
        """Pairs of functions that have used one key, and its purpose."""
        found = set()
        for (purpose, _), sites in self.drawn.items():
            for i, (a, draw_a, who_a) in enumerate(sites):
                for b, draw_b, who_b in sites[:i]:
                    meet = draw_a == draw_b or ALL in (draw_a, draw_b)
                    if a != b and meet and np.intersect1d(who_a, who_b).size:
                        found.add((*sorted((a, b)), Purpose(purpose).name))
        return found


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    """Everything that is drawn from now on."""
    found = Log()

    def caller() -> str:
        frame: Any = sys._getframe(2)
        while (
            frame.f_globals["__name__"] in ("exoabm.random_streams", __name__) or "<" in frame.f_code.co_name
        ):
            frame = frame.f_back
        return frame.f_code.co_name

    for name, takes in (("uniform", 1), ("normal", 1), ("poisson", ALL), ("binomial", ALL)):
        usual = getattr(kernel, f"{name}_array")

        def drawn(seed, purpose, who, step, *rest, usual=usual, takes=takes):  # type: ignore[no-untyped-def]
            found.note(caller(), purpose, who, step, rest[0] if takes == 1 else ALL)
            return usual(seed, purpose, who, step, *rest)

        monkeypatch.setattr(kernel, f"{name}_array", drawn)
    on_lattice, off_lattice = lattice_random_walk.walk_on_lattice, motion_and_capture.walk_off_lattice
    leave, stay = binding_kinetics.leave_compartments, receptor_binding.draw_residence

    def walked_on(particles, dt, substeps, key, *rest, **options):  # type: ignore[no-untyped-def]
        for each in (key.move, key.capture):
            found.note("walk_on_lattice", each, particles.id[particles.rows], key.step, ALL)
        return on_lattice(particles, dt, substeps, key, *rest, **options)

    def walked_off(particles, dt, key, *rest, **options):  # type: ignore[no-untyped-def]
        for each in (key.move, key.capture):
            found.note("walk_off_lattice", each, particles.id[particles.rows], key.step, ALL)
        return off_lattice(particles, dt, key, *rest, **options)

    def left(rows, residents, *rest):  # type: ignore[no-untyped-def]
        purpose, step = rest[5], rest[6]
        for draw in (1, 2, 3):
            found.note("leave_compartments", purpose, residents.id[rows], step, draw)
        return leave(rows, residents, *rest)

    def stayed(particle, kind, rate, seed, purpose, step):  # type: ignore[no-untyped-def]
        found.note("draw_residence", purpose, particle, step, 0)
        return stay(particle, kind, rate, seed, purpose, step)

    monkeypatch.setattr(lattice_random_walk, "walk_on_lattice", walked_on)
    monkeypatch.setattr(motion_and_capture, "walk_off_lattice", walked_off)
    monkeypatch.setattr(binding_kinetics, "leave_compartments", left)
    monkeypatch.setattr(receptor_binding, "draw_residence", stayed)
    return found


@pytest.mark.parametrize("by", ["voxel", "membrane"])
def test_vesicles_decide_each_thing_by_draws_of_its_own(log: Log, by: str) -> None:
    relays(by, hours=0.1)
    assert {Purpose.MOVE, Purpose.CAPTURE, Purpose.SORTING, Purpose.DIAMETER} <= {p for p, _ in log.drawn}
    assert log.shared() == set()


@pytest.mark.parametrize("scenario", ["disease_progression", "tissue_repair", "waste_removal"])
def test_living_cells_and_doses_do_so_too(log: Log, scenario: str) -> None:
    model = ExosomeModel(scenario, seed=1, overrides={"transport.engine": "vesicles"})
    for _ in range(3):
        model.step()
    assert len({purpose for purpose, _ in log.drawn}) > 5
    assert log.shared() == set()


@pytest.mark.parametrize("by", ["voxel", "membrane"])
def test_sorting_by_the_draws_of_capture_is_seen(log: Log, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uptake, "Purpose", SimpleNamespace(SORTING=Purpose.CAPTURE))
    relays(by, hours=0.1)
    walk = {"voxel": "walk_on_lattice", "membrane": "walk_off_lattice"}[by]
    assert ("leave_compartments", walk, "CAPTURE") in log.shared()
