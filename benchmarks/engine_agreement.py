"""Both engines compared: single vesicles, counted, against expected numbers and the transfer matrix.

The count at a place is a sum of many rare, independent vesicles, so it is Poisson (with a little less
spread, since the number released is fixed). A family of n places disagrees where the smallest two-sided
tail falls below Sidak's bound 1 - (1 - 1e-3)^(1/n), or where the z-scores are not spread like normal ones:
a correct engine fails once in about 900 families.

`bench_agreement` compares two included scenarios with linear uptake, where the engines agree in the mean but
for the size classes of fields (0.5 % in the means of D and 1/D): the uptake of each cell and the places of
free vesicles, over 20 runs and in the continuum; and the edges from cell to cell, of vesicles followed to
their end, against the transfer matrix.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from exoabm.benchmarks.timing import Report
from exoabm.model import ExosomeModel
from exoabm.output.durable_files import atomic_file
from exoabm.plot.palette import COOL, INK, MUTED, PAPER, RULE, WARM, rgb, to_hex
from exoabm.random_streams import Streams
from exoabm.scenario.loader import load
from exoabm.vesicle import Status

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FAMILY = 1e-3
"""Chance that an honest family of counts is called different by its worst member."""
LEAST = 20.0
"""Places that expect less are put together with their neighbors in the order given."""


@dataclass(frozen=True)
class Agreement:
    """How counts and expected numbers of pooled places compare: the worst tail, and the least allowed."""

    counts: np.ndarray
    expected: np.ndarray
    worst: float
    bound: float

    @property
    def z(self) -> np.ndarray:
        """Scores (counts - expected) / sqrt(expected)."""
        return (self.counts - self.expected) / np.sqrt(self.expected)

    @property
    def spread(self) -> float:
        """Standard deviation of the z-scores, about 1."""
        return float(np.std(self.z))

    def __bool__(self) -> bool:
        # A standard deviation of n normal scores strays from 1 by 1 / sqrt(2 n); 4 times that is 6e-5.
        return bool(self.worst > self.bound and self.spread < 1 + 4 / np.sqrt(2 * len(self.z)))


class Comparison(NamedTuple):
    """One panel of the figure: quantity, number of runs, and result of the comparison."""

    scenario: str
    what: str
    places: str
    runs: int
    result: Agreement


def compare(counts: np.ndarray, expected: np.ndarray) -> Agreement:
    """Counts at some places against their expected numbers, both of any one shape; see the module."""
    from scipy import stats

    counts, expected = pooled(np.ravel(counts), np.ravel(expected))
    lower, upper = stats.poisson.cdf(counts, expected), stats.poisson.sf(counts - 1, expected)
    worst = float(np.minimum(1.0, 2 * np.minimum(lower, upper)).min())
    return Agreement(counts, expected, worst, 1 - (1 - FAMILY) ** (1 / len(counts)))


def pooled(counts: np.ndarray, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Merge neighbors until each expects ``LEAST``; the remainder joins the last."""
    group = np.floor(np.cumsum(expected) / LEAST * (1 - 1e-9)).astype(int)
    large = expected >= LEAST
    group = np.unique(np.where(large, -1 - np.arange(len(expected)), group), return_inverse=True)[1]
    total, found = np.bincount(group, expected), np.bincount(group, counts)
    small = total < LEAST / 2
    if small.any() and not small.all():
        keep = np.flatnonzero(~small)
        into = keep[np.argmin(total[keep])]
        total[into] += total[small].sum()
        found[into] += found[small].sum()
        total, found = total[keep], found[keep]
    return found, total


def blocks(field: np.ndarray, edge: int) -> np.ndarray:
    """Sums over square blocks of voxels of the last two axes; the last ones may be smaller."""
    for axis in (-1, -2):
        field = np.add.reduceat(field, np.arange(0, field.shape[axis], edge), axis=axis)
    return field


def standard_errors(values: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Deviation of the mean over runs (the first axis) from the expected value, in standard errors."""
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return np.abs(values.mean(axis=0) - expected) / error


def along(counts: np.ndarray, expected: np.ndarray, biased: np.ndarray) -> float:
    """z-score of the counts in the direction of a bias, with the greatest power.

    sum (x - e) d / e / sqrt(sum d^2 / e),   d = biased - expected
    """
    used = expected > 0
    x, e, d = counts[used], expected[used], (biased - expected)[used]
    return float(np.sum((x - e) * d / e) / np.sqrt(np.sum(d * d / e)))


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
    return Report(
        "Single vesicles against expected numbers", tuple(rows[0]), rows, partial(draw_agreement, found)
    )


WIDTH, ROW, DPI = 11.5, 4.5, 100
"""Inches across, inches for each scenario, pixels an inch."""
TITLES = {
    "uptake": "Uptake of each cell",
    "free vesicles": "Free vesicles in each block of voxels",
    "edges": "Edges, the strongest pairs of cells",
}
AXES = {
    "uptake": ("expected (continuum)", "mean of {runs} runs", "vesicles per cell"),
    "free vesicles": ("expected (continuum)", "mean of {runs} runs", "vesicles per block"),
    "edges": ("expected (transfer matrix)", "counted in one run", "vesicles per pair"),
}
COLORS = {"uptake": COOL[0], "free vesicles": COOL[1], "edges": WARM[0]}
NOTE = (
    "Above: single vesicles, with standard errors; the line is the expected number. "
    "Below: the difference in standard errors;\n"
    "for a correct engine 95 % lie in the band, and slightly more where the vesicles of a donor have few "
    "possible destinations."
)


def draw_agreement(found: list[Comparison], path: Path) -> None:
    """Write the picture as PNG, SVG or PDF, by the ending of ``path``.

    Raises
    ------
    OSError
        If the file cannot be written.
    InputError
        If it would lie inside finished results.
    """
    with atomic_file(path) as partial:
        build_figure(found).savefig(partial, format=path.suffix[1:])


def build_figure(found: list[Comparison]) -> Figure:
    """A row for each scenario, a column for each comparison; above the numbers, below their z-scores."""
    from matplotlib.figure import Figure

    scenarios = list(dict.fromkeys(one.scenario for one in found))
    columns = list(dict.fromkeys(one.what for one in found))
    height = 0.95 + ROW * len(scenarios)
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor=PAPER)
    verdict = "agree" if all(one.result for one in found) else "do not agree"
    title = f"Vesicles counted one by one {verdict} with the numbers expected"
    figure.text(0.066, 1 - 0.36 / height, title, size=15, weight="bold", color=INK)
    figure.text(0.066, 1 - 0.82 / height, NOTE, size=8.5, color=MUTED, linespacing=1.4)
    for one in found:
        row, column = scenarios.index(one.scenario), columns.index(one.what)
        left, bottom = 0.066 + column * 0.325, (ROW * (len(scenarios) - 1 - row) + 0.5) / height
        upper = figure.add_axes((left, bottom + 1.2 / height, 0.272, (ROW - 2.45) / height))
        lower = figure.add_axes((left, bottom, 0.272, 0.85 / height), sharex=upper)
        _numbers(upper, one)
        _scores(lower, one)
        if column == 0:
            figure.text(left, bottom + (ROW - 0.84) / height, one.scenario, size=12, weight="bold", color=INK)
    return figure


def _numbers(axes: Axes, one: Comparison) -> None:
    """Counts over expected numbers, with standard errors, on the line y = x."""
    x, y = one.result.expected / one.runs, one.result.counts / one.runs
    error, color = np.sqrt(one.result.expected) / one.runs, COLORS[one.what]
    low, high = min(x.min(), y[y > 0].min()) / 1.15, max(x.max(), y.max()) * 1.15
    axes.errorbar(
        x, y, error, fmt="o", markersize=3, color=color, markeredgecolor=PAPER, markeredgewidth=0.3,
        ecolor=to_hex(1 - 0.4 * (1 - rgb(color))), elinewidth=0.7, zorder=2,
    )  # fmt: skip
    axes.plot([low, high], [low, high], color=INK, linewidth=0.9, zorder=3)
    for axis in "xy":
        _logarithmic(axes, axis)
    axes.set(xlim=(low, high), ylim=(low, high))
    _plain(axes)
    axes.tick_params(labelbottom=False)
    _, how, unit = AXES[one.what]
    axes.set_ylabel(f"{how.format(runs=one.runs)},\n{unit}", size=8.5, color=INK)
    axes.set_title(TITLES[one.what], size=9.5, loc="left", color=INK)
    share = 100 * (one.result.counts.sum() / one.result.expected.sum() - 1)
    text = f"{len(x):,} {one.places}\ncounted {y.sum():,.0f} ({share:+.2f} %)\nexpected {x.sum():,.0f}"
    axes.text(0.03, 0.97, text, transform=axes.transAxes, va="top", size=8.5, color=INK)


def _scores(axes: Axes, one: Comparison) -> None:
    """z-scores over expected numbers, between the bounds that a right engine oversteps once in 20 places."""
    x, z = one.result.expected / one.runs, one.result.z
    axes.axhspan(-1.96, 1.96, color=RULE, alpha=0.5, linewidth=0, zorder=0)
    axes.axhline(0, color=INK, linewidth=0.8, zorder=1)
    axes.plot(
        x, z, "o", markersize=3, color=COLORS[one.what], markeredgecolor=PAPER, markeredgewidth=0.3, zorder=2
    )
    top = max(4.2, float(np.abs(z).max()) * 1.1)
    axes.set_ylim(-top, top)
    axes.set_yticks([-2, 0, 2])
    _logarithmic(axes, "x")
    _plain(axes)
    how, _, unit = AXES[one.what]
    axes.set_xlabel(f"{how}, {unit}", size=8.5, color=INK)
    axes.set_ylabel("difference,\ns.e.", size=8.5, color=INK)
    inside = 100 * float(np.mean(np.abs(z) < 1.96))
    said = f"{inside:.0f} % in the band, worst {np.abs(z).max():.1f}"
    axes.set_title(said, size=8, loc="right", color=MUTED, pad=3)


def _logarithmic(axes: Axes, axis: str) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    (axes.set_xscale if axis == "x" else axes.set_yscale)("log")
    ruler = axes.xaxis if axis == "x" else axes.yaxis
    ruler.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ruler.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    ruler.set_minor_formatter(NullFormatter())


def _plain(axes: Axes) -> None:
    axes.tick_params(labelsize=8, colors=MUTED)
    axes.tick_params(which="minor", length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(RULE)
