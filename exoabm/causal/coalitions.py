"""Runs of an attribution: the donors, which of them are silent in a run, and its seed.

Effects are weighted sums of gains, R(S) - R(S but i), with R(S) the readout of a run in which the donors S
release:

    one at a time     S all donors
    Shapley values    S all subsets with i, weight 1 / (n binom(n - 1, k)) with k of n donors silent; or those
                      before i in a random order, and i, whose mean over orders is the same

Source: shapley1953.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from exoabm.batch.execution.plan import Row, replicate_seeds, row_of
from exoabm.cell_type import Process, SecretionMode
from exoabm.errors import InputError, whole_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exoabm.model import ExosomeModel

MOST_SEEDS = 10_000
"""Seeds of an attribution at most."""
FEW = 4
"""Donors up to which all coalitions are run, 2^4 at most, however few random orders are asked for."""


def groups_of(model: ExosomeModel, by: str) -> list[str]:
    """Selections of the donor types that have cells, or of all donor cells."""
    state = model.state
    donors = state.labels.of_cell >= 0
    if by == "cell":
        return [f"cell:{number}" for number in state.cells.birth_id[donors]]
    names = state.type_names()[donors]
    return [f"cell_type:{t.name}" for t in state.types if t.name in names]


def is_deterministic(model: ExosomeModel) -> bool:
    """Whether every seed gives the same run: expected numbers throughout, and cells at given places."""
    scenario, state = model.scenario, model.state
    placed = all(group.arrange in ("points", "lattice", "hexagonal") for group in scenario.layout.group)
    mean = all(t.secretion is SecretionMode.MEAN for t in state.types)
    still = (
        not {Process.TURNOVER, Process.MOTION, Process.OTHER} & set(state.processes)
        and state.mechanics is None
    )
    return placed and mean and still and not (state.follows_vesicles or scenario.dose)


class Gain(NamedTuple):
    """What a donor adds to a readout while those in ``silent`` release nothing; see the module."""

    donor: int
    silent: frozenset[int]
    weight: float = 1.0


Replicate = tuple[int, list[Gain]]
"""The seed of the runs of a replicate, and the gains that make up its effects."""
Run = tuple[int, frozenset[int]]
"""The seed of a run, and the donors that release nothing in it."""


def replicates_of(n: int, design: str, seeds: int, seed: int, *, certain: bool) -> list[Replicate]:
    """Replicates of an attribution to ``n`` donors.

    Where every seed gives the same run (``certain``), all are of one seed, and Shapley values are exact for
    up to ``FEW`` donors, or if all coalitions are no more runs than ``seeds`` orders; otherwise they scatter
    by their orders alone.

    Raises
    ------
    InputError
        If ``seeds`` is not a number from 1 to ``MOST_SEEDS``, or Shapley values would be those of a single
        random order.
    """
    seeds = whole_number("seeds", seeds, 1, MOST_SEEDS)
    every = replicate_seeds(seed, seeds)
    if design == "one":
        alone = [Gain(i, frozenset()) for i in range(n)]
        return [(each, alone) for each in (every[:1] if certain else every)]
    if certain and (n <= FEW or 2**n <= seeds * (n + 1)):
        return [(every[0], _gains_of_coalitions(n))]
    if seeds == 1 < n:
        raise InputError(
            f"seeds: must be 2 or more for Shapley values of {n} donors; one seed is one random order of them"
        )
    return [(every[0] if certain else each, _gains_of_order(n, each)) for each in every]


def _gains_of_order(n: int, seed: int) -> list[Gain]:
    """Gains along a random order of the donors, by the seed of the replicate alone."""
    order = np.random.default_rng(seed).permutation(n).tolist()
    return [Gain(i, frozenset(order[k + 1 :])) for k, i in enumerate(order)]


def _gains_of_coalitions(n: int) -> list[Gain]:
    """Gains in all coalitions; with k donors silent a gain has the weight 1 / (n binom(n - 1, k))."""
    return [
        Gain(i, frozenset(silent), 1 / (n * math.comb(n - 1, k)))
        for i in range(n)
        for k in range(n)
        for silent in combinations([j for j in range(n) if j != i], k)
    ]


def runs_of(replicates: Sequence[Replicate]) -> list[Run]:
    """The runs of an attribution, each once: those without a silent donor, with and without each gain."""
    runs: dict[Run, None] = {}
    for seed, gains in replicates:
        runs[seed, frozenset()] = None
        for gain in gains:
            runs[seed, gain.silent] = runs[seed, gain.silent | {gain.donor}] = None
    return list(runs)


def row_without(seed: int, silent: frozenset[int]) -> Row:
    """The run in which the donors in ``silent`` release nothing."""
    return row_of({f"silence.s{i}.active": "true" for i in sorted(silent)}, seed)
