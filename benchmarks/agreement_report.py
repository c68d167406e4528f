"""Both engines as one truth: single vesicles, counted, against expected numbers and the transfer matrix.

Two shipped scenarios with linear uptake, where the engines agree in the mean but for the size classes of
fields (0.5 % in the means of D and 1/D): what each cell took up and where the free vesicles are, over
20 runs and in the continuum; and the edges from cell to cell, of vesicles followed to their end, against the
transfer matrix.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from exoabm.benchmarks.agreement import Comparison, blocks, compare
from exoabm.benchmarks.timing import Report
from exoabm.model import ExosomeModel
from exoabm.scenario.loader import load
from exoabm.streams import Streams
from exoabm.vesicle import Status

if TYPE_CHECKING:
    from pathlib import Path

RUNS = 20
HOURS = 4.0
PAIRS = 500
"""Pairs of cells, the strongest, that are compared one by one."""


@dataclass(frozen=True)
class Case:
    """A scenario in which the engines are compared.

    Attributes
    ----------
    name : str
    block : int
        Edge of a block in voxels, so that some 50 or more vesicles are expected in most.
    release, burst : str or None
        Release rate of all donors in the runs (the scenario's own if None; 20 runs need enough vesicles to
        tell 5 %), and where vesicles are followed to their end.
    """

    name: str
    block: int
    release: str | None
    burst: str

    def model(
        self, engine: str, seed: int = 1, bias: float = 1.0, release: str | None = None
    ) -> ExosomeModel:
        """The scenario, linear, on an engine; ``bias`` multiplies every uptake rate.

        Cells stand where seed 1 puts them, whatever the seed of all the rest.
        """
        scenario = load(self.name, {}).scenario
        keys = {"transport.engine": engine, "transport.capture": "voxel", "transport.provenance": "cell_type"}
        for kind in scenario.cell_type:
            if kind.takes_up:
                keys[f"cell_type.{kind.name}.saturation"] = "inf"
                keys[f"cell_type.{kind.name}.uptake_rate"] = f"{float(kind.uptake_rate) * bias} um^3/s"
            if kind.releases and (release or self.release):
                keys[f"cell_type.{kind.name}.release_rate"] = str(release or self.release)
        model = ExosomeModel(self.name, seed=1, overrides=keys)
        model.state.streams = Streams(seed)
        return model


CASES = {
    case.name: case
    for case in (Case("signaling", 10, "200 / h", "24000 / h"), Case("tissue", 3, None, "1500 / h"))
}


class Found(NamedTuple):
    """Quantities compared: free vesicles per voxel, uptake per cell, and totals by compartment."""

    free: np.ndarray
    uptake: np.ndarray
    places: np.ndarray


def after_hours(run: ExosomeModel, hours: float = HOURS) -> Found:
    """Run a model; the reservoir's label, where there is one, is empty."""
    run.run(hours=hours)
    ledger = run.state.balance
    places = ("free", "bound", "endosomal", "lysosomal", "delivered", "cleared")
    return Found(
        run.state.free_per_voxel(0).sum(axis=0),
        run.state.trafficking.taken_up.sum(axis=(1, 2)),
        np.array([ledger[place].sum() for place in places]),
    )


def counted(case: Case, runs: int = RUNS, hours: float = HOURS) -> Found:
    """Vesicle runs of as many seeds, stacked."""
    each = (after_hours(case.model("vesicles", seed), hours) for seed in range(runs))
    return Found(*map(np.stack, zip(*each, strict=True)))


def followed(case: Case, hours: float = 0.5) -> ExosomeModel:
    """A run of seed 3 until every vesicle that was released in the first ``hours`` has met its end."""
    run = case.model("vesicles", seed=3, release=case.burst)
    run.run(hours=hours)
    run.state.types = tuple(dataclasses.replace(kind, release_rate=0.0) for kind in run.state.types)
    while len(run.state.vesicles.rows(Status.FREE, Status.BOUND, Status.RETURNING)):  # type: ignore[union-attr]
        run.run(hours=0.5)
    return run


class Edges(NamedTuple):
    """Vesicles taken up, donor cells by recipient cells, counted and expected."""

    counted: np.ndarray
    expected: np.ndarray


def edges(case: Case, run: ExosomeModel, bias: float = 1.0) -> Edges:
    """Numbers at the end of a run, and the transfer matrix times the release at ``bias`` times the uptake."""
    matrix = case.model("continuum", bias=bias).transfer_matrix()
    found = np.zeros(matrix.taken_up.shape)
    donor, recipient = run.edges["donor"].to_numpy(), run.edges["recipient"].to_numpy()
    place = np.searchsorted(matrix.donors, donor), np.searchsorted(matrix.recipients, recipient)
    found[place] = run.edges["taken_up"]
    return Edges(found, run.state.released[matrix.donors] * matrix.taken_up)


def strongest(found: Edges, number: int = PAIRS) -> Edges:
    """The pairs of cells of which most is expected."""
    rank = np.argsort(-found.expected, axis=None)[:number]
    return Edges(*(values.ravel()[rank] for values in found))


def comparisons(case: Case, runs: int = RUNS, hours: float = HOURS) -> list[Comparison]:
    """Uptake per cell, free vesicles per block, and edges."""
    found, expected = counted(case, runs, hours), after_hours(case.model("continuum"), hours)
    free = (blocks(field, case.block) for field in (found.free.sum(axis=0), runs * expected.free))
    pairs = strongest(edges(case, followed(case)))
    return [
        Comparison(
            case.name, "uptake", "cells", runs, compare(found.uptake.sum(axis=0), runs * expected.uptake)
        ),
        Comparison(case.name, "free vesicles", "blocks of voxels", runs, compare(*free)),
        Comparison(case.name, "edges", "pairs of cells", 1, compare(*pairs)),
    ]


def bench_agreement(runs: int = RUNS, hours: float = HOURS) -> Report:
    """How the vesicle engine agrees with the continuum; the report can draw it."""
    from scipy.stats import norm

    found = [one for case in CASES.values() for one in comparisons(case, runs, hours)]
    rows = [
        {
            "scenario": one.scenario,
            "compared": one.what,
            "runs": one.runs,
            "places": f"{len(one.result.counts):,} {one.places}",
            "counted": round(float(one.result.counts.sum()) / one.runs, 1),
            "expected": round(float(one.result.expected.sum()) / one.runs, 1),
            "spread of z": round(one.result.spread, 3),
            "worst |z|": round(float(norm.isf(one.result.worst / 2)), 2),
            "allowed": round(float(norm.isf(one.result.bound / 2)), 2),
            "agree": "yes" if one.result else "NO",
        }
        for one in found
    ]
    return Report("Single vesicles against expected numbers", tuple(rows[0]), rows, partial(_draw, found))


def _draw(found: list[Comparison], path: Path) -> None:
    from exoabm.benchmarks.agreement_figure import draw_agreement

    draw_agreement(found, path)
