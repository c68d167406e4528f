"""A sweep: a scenario over a design of points and replicates, run, summed up and drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.batch.execution.plan import Plan, digest, replicate_seeds, row_of, seconds_of_row
from exoabm.batch.execution.row_journal import PLOTS, sealing
from exoabm.batch.execution.runner import disk_trouble
from exoabm.batch.sweeps.summary import RESULTS, SUMMARY, headline, write_results
from exoabm.batch.sweeps.sweep_points import points, read_axis
from exoabm.errors import InputError, ResourceError, whole_number
from exoabm.output.durable_files import write_json
from exoabm.plot.figure_page import frame, save_png, titled_panels
from exoabm.plot.palette import COOL, INK, MUTED, RULE, WARM
from exoabm.plot.scales import label_ticks, tick_text
from exoabm.scenario.resource_estimate import gib
from exoabm.tables.readouts import KEYS, parse
from exoabm.text_formatting import counted, number, words_of_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from exoabm.batch.execution.plan import Keep
    from exoabm.batch.execution.runner import Outcome
    from exoabm.batch.sweeps.summary import Summary, Value, Varied
    from exoabm.batch.sweeps.sweep_points import Axis
    from exoabm.scenario.loader import LoadedScenario

LARGEST_REPLICATES = 100_000
LONG = 600.0
"""A sweep of more seconds than this is announced before it begins."""


@dataclass(frozen=True)
class Report:
    """Report of a finished sweep: summary and warnings."""

    summary: Summary
    warnings: list[str]
    plots: list[Path]


def plan_sweep(
    loaded: LoadedScenario,
    vary: Sequence[str],
    *,
    source: str | Path | None = None,
    design: str = "grid",
    replicates: int = 1,
    seed: int,
    independent: bool = False,
    hours: float | None = None,
    keep: Keep = "readouts",
) -> Plan:
    """Plan a sweep; all points use the same seeds, so that they differ by the varied keys only.

    Parameters
    ----------
    loaded : LoadedScenario
    vary : sequence of str
        As ``sweep_points.read_axis`` reads them.
    source : str or Path, optional
        Source of the scenario.
    design : str
        grid, lhs or sobol.
    replicates : int
        Runs per point, each with its own seed.
    seed : int
        From which the design and the seeds of all rows follow.
    independent : bool
        Give every point seeds of its own.
    hours : float, optional
        Model time of each run; the scenario's duration if not given.
    keep : str
        ``"runs"`` keeps whole run folders.

    Raises
    ------
    InputError
        If a value of a list, or an end of a range, is not allowed.
    """
    axes = [read_axis(text) for text in vary]
    if hours is not None and any(axis.key == "clock.duration" for axis in axes):
        raise InputError("--hours sets how long every run lasts; --vary clock.duration would change nothing")
    _corners(loaded, axes)
    replicates = whole_number("replicates", replicates, 1, LARGEST_REPLICATES)
    shared = replicate_seeds(seed, replicates)
    rows = [
        row_of(point, each)
        for point in points(axes, design, seed)
        for each in (
            replicate_seeds(seed, replicates, salt=digest(sorted(point.items()))) if independent else shared
        )
    ]
    return Plan.of(
        loaded,
        rows,
        source=source,
        hours=hours,
        keep=keep,
        seconds_per_row=seconds_of_row(loaded, hours),
        pairs=True,
        about={
            "kind": "sweep",
            "vary": list(vary),
            "design": design,
            "replicates": replicates,
            "seed": seed,
            "seeds": "independent" if independent else "common",
        },
    )


def report(outcome: Outcome) -> Report:
    """Write the tables, ``summary.json`` and the plots of a sweep whose rows are all there.

    Raises
    ------
    RunFailed
        If the disk fills; the rows are kept.
    """
    with disk_trouble(outcome.folder), sealing(outcome.folder):
        return _report(outcome)


def _report(outcome: Outcome) -> Report:
    folder, plan = outcome.folder, outcome.plan
    summary = write_results(folder, plan)
    warnings = summary.warnings()
    replicates = int(summary.n.max(initial=0))
    title = f"{plan.name}: {counted(len(summary.points), 'point')}, {counted(replicates, 'replicate')} each"
    if replicates > 1:
        title += "; mean and 95 % interval, cut at 0"
    plots = draw_sweep(summary, folder / PLOTS, title)
    content = {
        "scenario": plan.name,
        "plan_sha256": plan.sha256,
        **plan.about,
        "rows": outcome.rows,
        "failed": outcome.failed,
        "points": len(summary.points),
        "hours": plan.hours,
        "readout": summary.main or None,
        "files": [RESULTS, SUMMARY, *(f"{PLOTS}/{path.name}" for path in plots)],
        "warnings": warnings,
    }
    write_json(folder / "summary.json", content)
    return Report(summary, warnings, plots)


def duration_note(loaded: LoadedScenario, plan: Plan, vary: Sequence[str], jobs: int) -> str | None:
    """Refuse a sweep that exceeds the memory; return the estimated time of a long one, else None.

    Looked at are the scenario itself and each value of a list or end of a range by itself.

    Raises
    ------
    InputError
        If one of them contradicts itself.
    ResourceError
        If one of them, or ``jobs`` of the largest at a time, would need more memory than there is.
    """
    from exoabm.scenario.state_builder import blueprint

    jobs = min(jobs, plan.chunks)
    around = [loaded, *_corners(loaded, [read_axis(text) for text in vary])]
    sizes = [blueprint(each, seed=0).estimate for each in around]
    largest = max(sizes, key=lambda size: size.memory_bytes)
    if jobs * largest.memory_bytes > largest.allowed_bytes:
        fitting = int(largest.allowed_bytes / largest.memory_bytes)
        raise ResourceError(
            f"{jobs} runs at a time would need about {gib(jobs * largest.memory_bytes)} of memory, "
            f"{gib(largest.allowed_bytes)} may be used; --jobs {max(fitting, 1)} would do"
        )
    rows = len(plan.rows) / jobs
    if rows * seconds_of_row(loaded, plan.hours) < LONG / 10:
        return None
    from exoabm.runs.measured_runtime import (  # loads the model, which is not needed otherwise
        probe,
        rounded_duration,
    )

    seconds = rows * probe(loaded, hours=plan.hours).row_seconds
    if seconds < LONG:
        return None
    return (
        f"about {rounded_duration(seconds)} for {counted(len(plan.rows), 'row')}, {jobs} at a time, "
        "if all take as long as the scenario itself"
    )


def _corners(loaded: LoadedScenario, axes: list[Axis]) -> list[LoadedScenario]:
    """The scenario with each value of a list, and each end of a range, by itself."""
    return [
        loaded.changed({axis.key: value})
        for axis in axes
        for value in axis.values or (axis.levels[0], axis.levels[-1])
    ]


FAINT = "#9FB6C8"
"""Intervals where there are many."""
WIDE = 30
"""A readout whose means differ by more than this factor has a logarithmic scale."""
MANY_LEVELS = 12
"""With more values than this a range is shown as points rather than as means at each value."""
CHARACTERS = 44
"""Of tick labels, along the axis of a panel."""


def draw_sweep(summary: Summary, folder: Path, title: str) -> list[Path]:
    """Draw ``KEY.png`` per varied key into a folder; a panel per readout of the headline."""
    readouts = headline(summary)
    if not readouts or len(summary.points) < 2:
        return []
    folder.mkdir(exist_ok=True)
    return [_draw(summary, varied, readouts, folder, title) for varied in summary.varied]


def _draw(summary: Summary, varied: Varied, readouts: list[str], folder: Path, title: str) -> Path:
    figure, panels = titled_panels(len(readouts), title)
    figure.supxlabel(varied.column, color=INK, fontsize=9)
    for axes, name in zip(panels, readouts, strict=True):
        _panel(axes, summary, varied, name)
    save_png(figure, path := folder / f"{varied.key}.png")
    return path


def _panel(axes: Axes, summary: Summary, varied: Varied, name: str) -> None:
    column = summary.readouts.index(name)
    values = [point.get(varied.key) for point in summary.points]
    names = list(dict.fromkeys(values))
    numeric = varied.numeric and None not in names
    x = np.array(values, float) if numeric else np.array([names.index(v) for v in values], float)
    y, half = summary.mean[:, column], np.nan_to_num(summary.half[:, column])
    levels = summary.marginal(varied.key)
    axes.set_title(name.replace("_", " "), fontsize=8.5, color=INK, loc="left")
    if len(levels) > MANY_LEVELS:
        axes.errorbar(x, y, _reach(y, half), fmt="o", ms=3, lw=0.8, color=COOL[0], ecolor=FAINT)
    else:
        if len(levels) < len(x):
            axes.plot(x, y, "o", ms=2.5, color=MUTED, alpha=0.5, zorder=1)
        means, halves = (np.array([pair[i][column] for pair in levels.values()]) for i in (0, 1))
        places = x[[values.index(value) for value in levels]]
        style = "o-" if numeric else "o"
        halves = _reach(means, np.nan_to_num(halves))
        axes.errorbar(places, means, halves, fmt=style, ms=4.5, lw=1.4, capsize=3, color=WARM[0], zorder=2)
    _scale_axes(axes, summary, varied, names, column)
    axes.tick_params(which="minor", color=RULE)
    frame(axes)


def draw_means(ax: Axes, summary: Summary, varied: Varied, name: str) -> Axes:
    """Draw means with intervals of a readout against a varied key, a line per combination of the others."""
    from exoabm.plot.figure_page import darker, hues, rule

    column = summary.readouts.index(name)
    others = [each for each in summary.varied if each.key != varied.key]
    lines: dict[tuple[Value, ...], list[int]] = {}
    for row, point in enumerate(summary.points):
        if summary.count[row, column]:
            lines.setdefault(tuple(point.get(each.key) for each in others), []).append(row)
    names = list(dict.fromkeys(point.get(varied.key) for point in summary.points))
    numeric = varied.numeric and None not in names
    labels = _line_labels(list(lines), others)
    shades = hues(labels)
    shift = _beside(np.array(names, float) if numeric else np.arange(len(names)), len(lines))
    for place, (label, rows) in enumerate(zip(labels, lines.values(), strict=True)):
        values = [summary.points[row].get(varied.key) for row in rows]
        x = np.array([value if numeric else names.index(value) for value in values], float)
        order = np.argsort(x)
        mean, half = summary.mean[rows, column][order], np.nan_to_num(summary.half[rows, column][order])
        look: dict[str, Any] = {"fmt": "o-" if numeric else "o", "ms": 3.5, "lw": 1.0, "capsize": 2.5}
        ax.errorbar(
            shift(x[order], place), mean, _reach(mean, half), color=darker(shades[label]), label=label, **look
        )
    _scale_axes(ax, summary, varied, names, column)
    parsed = parse(name) if name.partition("[")[0] in KEYS else None
    unit = parsed.column.unit if parsed is not None and parsed.column is not None else ""
    sizes = sorted({int(n) for n in summary.count[:, column] if n})
    n = " to ".join(f"{size:,}" for size in dict.fromkeys((sizes[0], sizes[-1]))) if sizes else "0"
    ax.set_title(f"n = {n} per point" + ("; means, 95 % intervals" if sizes and sizes[-1] > 1 else ""))
    ax.set_xlabel(_axis_label(varied), parse_math=False)
    ax.set_ylabel(name.replace("_", " ") + (f" ({unit})" if unit else ""), parse_math=False)
    if others and lines:
        ax.legend(fontsize=6)
    rule(ax)
    return ax


def _beside(values: np.ndarray, lines: int) -> Callable[[np.ndarray, int], np.ndarray]:
    """Places along the axis of values, for each of several lines a little beside those of the others."""
    places = np.unique(values.astype(float))
    by_factors = _by_factors(places)
    gap = float(np.diff(np.log(places) if by_factors else places).min(initial=np.inf))
    step = min(0.08, 0.4 / max(lines, 1)) * gap if math.isfinite(gap) else 0.0

    def shifted(x: np.ndarray, line: int) -> np.ndarray:
        by = (line - (lines - 1) / 2) * step
        return x * math.exp(by) if by_factors else x + by

    return shifted


def _axis_label(varied: Varied) -> str:
    """``release rate of donor (1/h)`` for ``cell_type.donor.release_rate``."""
    return _words(varied) + (f" ({varied.unit})" if varied.unit not in (None, "1") else "")


def _words(varied: Varied) -> str:
    words, owner = words_of_key(varied.key)
    return f"{words} of {owner}" if owner else words


def _line_labels(lines: list[tuple[Value, ...]], others: list[Varied]) -> list[str]:
    """Texts of the values of each line, with as many words of their keys and figures as distinguish them."""
    last = [each.key.rpartition(".")[2] for each in others]
    words = [_words(each) if last.count(name) > 1 else name for name, each in zip(last, others, strict=True)]
    texts = [_value_texts([line[i] for line in lines], each) for i, each in enumerate(others)]
    return [
        ", ".join(f"{word} = {text[value]}" for word, text, value in zip(words, texts, line, strict=True))
        for line in lines
    ]


def _value_texts(values: Sequence[Value], varied: Varied) -> dict[Value, str]:
    """The text of each value; short, unless two would be the same."""
    unit = f" {varied.unit}" if varied.unit not in (None, "1") else ""
    distinct, found = list(dict.fromkeys(values)), {}
    for figures in (*range(3, 17), None):
        found = {
            value: (number(value, figures) if figures else repr(value)) + unit
            if isinstance(value, float)
            else (_short(value) if figures else str(value))
            for value in distinct
        }
        if len(set(found.values())) == len(distinct):
            break
    return found


def _scale_axes(ax: Axes, summary: Summary, varied: Varied, names: list[Value], column: int) -> None:
    """Logarithms where values differ by factors; words where they are no numbers."""
    from matplotlib.ticker import FixedLocator, NullFormatter

    numeric = varied.numeric and None not in names
    if numeric and _by_factors(np.unique(np.array(names, float))):
        ax.set_xscale("log")
        ax.xaxis.set_minor_formatter(NullFormatter())
        if len(names) <= MANY_LEVELS:
            values = sorted(np.array(names, float))
            ax.xaxis.set_major_locator(FixedLocator(_labeled(values)))
            ax.xaxis.set_minor_locator(FixedLocator(values))
    if numeric:
        label_ticks(ax.xaxis)
    else:
        texts = _value_texts(names, varied)
        ax.set_xticks(range(len(names)), [texts[value] for value in names])
        ax.margins(x=0.15)
    y = summary.mean[summary.count[:, column] > 0, column]
    if len(y) and y.min() > 0 and y.max() > WIDE * y.min():
        ax.set_yscale("log")
        ax.yaxis.set_minor_formatter(NullFormatter())
    label_ticks(ax.yaxis)


def _labeled(values: list[float]) -> list[float]:
    """Values whose texts stand apart on a logarithmic axis, the first and the last among them."""
    span = math.log(values[-1] / values[0])
    middle = {value: CHARACTERS * math.log(value / values[0]) / span for value in values}
    half = {value: len(tick_text(value, values)) / 2 for value in values}
    kept = values[:1]
    for value in values[1:-1]:
        beside = (kept[-1], values[-1])
        if all(abs(middle[value] - middle[other]) >= half[value] + half[other] + 1 for other in beside):
            kept.append(value)
    return [*kept, values[-1]]


def _reach(mean: np.ndarray, half: np.ndarray) -> np.ndarray:
    """How far intervals go below and above their means, (2, n); that of a mean above 0 ends there."""
    return np.array([np.where(mean >= 0, np.minimum(half, mean), half), half])


def _by_factors(places: np.ndarray) -> bool:
    """Whether values are spread by factors rather than by steps."""
    if places[0] <= 0 or places[-1] < 5 * places[0]:
        return False
    return bool(np.median(places) < (places[0] + places[-1]) / 2 * 0.75)


def _short(value: object) -> str:
    text = "as it is" if value is None else str(value)
    return text if len(text) <= 18 else text[:17] + "…"
