"""Report of a trial: one self-contained page, a function per section; see ``render``."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from itertools import groupby
from typing import TYPE_CHECKING

import exoabm
from exoabm.batch.trials.design import set_by_hand
from exoabm.batch.trials.report_charts import VERDICT_CLASS, dot_plot, forest, sweep
from exoabm.batch.trials.report_texts import (
    arm_title,
    assumption,
    claimed,
    found_with,
    interval_text,
    margins_held,
    percent,
    range_of,
    readout_of,
    scale_text,
    setting,
    shown,
    source_text,
    spelled,
    title_of,
    unit_of,
    with_unit,
)
from exoabm.batch.trials.verdict import LEVEL, POWER, Direction, Scale, Verdict, final
from exoabm.errors import command_line, set_options
from exoabm.parameters import format_citation
from exoabm.runs.provenance import sources
from exoabm.scenario.schema_base import of_comparators, quantities
from exoabm.text_formatting import counted, signed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from exoabm.batch.trials.trial import Comparison, Secondary, Sweep, Trial

SETTING = ("trial", "record", "layout", "domain", "clock")
"""Tables whose numbers define the setup and assume nothing of biology."""
SWEPT = " <span class='tag depends'>swept</span>"
WORDS = {
    Verdict.SUPPORTS: "The model supports the claim.",
    Verdict.AGAINST: "The model does not support the claim.",
    Verdict.OPEN: "The trial is inconclusive.",
    Verdict.DEPENDS: "The answer depends on assumptions.",
}
SIGN = {Verdict.SUPPORTS: "✓", Verdict.AGAINST: "✕", Verdict.OPEN: "?", Verdict.DEPENDS: "⇄"}
ALWAYS = (
    "A model shows consequences of its assumptions, not their validity in patients, animals or cell culture.",
    "Intervals describe variation between replicates of the model, not errors common to all replicates.",
)


def _style() -> str:
    """The style sheet of the report, which is part of the page."""
    return files("exoabm.batch.trials").joinpath("report.css").read_text(encoding="utf-8")


def render(trial: Trial) -> str:
    """The whole page as HTML."""
    info = trial.scenario.scenario.info
    parts = [
        _head(trial),
        _section("Answer", _answer(trial)),
        _section("Assumptions on which the answer depends", _dependence(trial)),
        _section("Arms", _arms(trial)),
        _section("Criteria of the claim", _criteria(trial)),
        _section("Readouts", _readouts(trial)),
        _section("Variation between replicates", _between(trial)),
        _section("Swept assumptions", _sweeps(trial)),
        _section("All arms and readouts", _secondary(trial)),
        _section("Assumed values and their sources", _assumptions(trial)),
        _section("Limits of this trial", _limits(trial)),
        _section("Methods", _methods(trial)),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info.title)}: {trial.verdict}</title><style>{_style()}</style></head>"
        f"<body><main>{''.join(parts)}</main>"
        f"<footer><strong>Not for clinical use.</strong> Made by exoabm {exoabm.__version__}.</footer>"
        "</body></html>\n"
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>" if body else ""


def _head(trial: Trial) -> str:
    info, mark = trial.scenario.scenario.info, VERDICT_CLASS[trial.verdict]
    own = "" if trial.verdict is trial.base else f"<p>At the scenario's own values: {_tag(trial.base)}</p>"
    turning = "".join(
        f"<li>{_changes_along(trial, each)}</li>" for each in trial.sweeps if _decides(trial, each)
    )
    if turning:
        own += f"<p>The verdict changes with:</p><ul>{turning}</ul>"
    return (
        f'<header><p class="over">Virtual trial · not for clinical use</p><h1>{escape(info.title)}</h1>'
        f'<p class="question">{escape(info.question)}</p>'
        f'<div class="verdict {mark}"><span class="sign" aria-hidden="true">{SIGN[trial.verdict]}</span>'
        f"<div><p><strong>{WORDS[trial.verdict]}</strong></p>"
        f"<p>Claim: {escape(trial.table.claim)}</p>{own}</div></div></header>"
    )


def _answer(trial: Trial) -> str:
    lines = "".join(f"<li>{_sentence(trial, comparison)}</li>" for comparison in trial.comparisons)
    return f"<ul class='answer'>{lines}</ul>"


def _sentence(trial: Trial, comparison: Comparison) -> str:
    criterion, effect = comparison.criterion, comparison.effect
    readout = readout_of(trial, criterion.readout)
    arms = f"<b>{arm_title(trial, criterion.arm)}</b> and <b>{arm_title(trial, criterion.versus)}</b>"
    if effect is None:
        return f"{escape(title_of(readout))}, {arms}: {escape(comparison.note)}"
    sentence = f"{escape(title_of(readout))}, {arms}: {shown(effect, readout.unit)}."
    return f"{sentence} Claimed: {claimed(trial, comparison)}. {_tag(comparison.verdict)}"


def _decides(trial: Trial, each: Sweep) -> bool:
    """Whether the verdict depends on this assumption alone."""
    return final(trial.base, (point.verdict for point in each.points)) is Verdict.DEPENDS


def _changes_along(trial: Trial, each: Sweep) -> str:
    """Where along its range an assumption changes the verdict."""
    runs = [(verdict, list(points)) for verdict, points in groupby(each.points, lambda p: p.verdict)]
    other = [(v, points) for v, points in runs if v not in (trial.base, Verdict.OPEN)]
    where = "; ".join(
        f"{verdict} at {' and '.join(interval_text(each, points) for _, points in found)}"
        for verdict, found in groupby(other, lambda run: run[0])
    )
    return f"{escape(assumption(each))}: {where}, own value {with_unit(each, each.base.magnitude)}"


def _swept(trial: Trial) -> int:
    """Replicates at each value of an assumption."""
    return min(len(trial.seeds), trial.table.sweep_replicates)


def _dependence(trial: Trial) -> str:
    """Each assumption with the verdicts along its range, those that change first."""
    rows = []
    for each in sorted(trial.sweeps, key=lambda sweep: (not _decides(trial, sweep), not sweep.flips)):
        runs = [(verdict, list(points)) for verdict, points in groupby(each.points, lambda p: p.verdict)]
        along = "<br>".join(f"{_tag(verdict)} {interval_text(each, points)}" for verdict, points in runs)
        rows.append((escape(assumption(each)), with_unit(each, each.base.magnitude), along))
    here, elsewhere = len(trial.seeds), _swept(trial)
    counts = (
        f"the scenario's value in {here} replicates and others in {elsewhere}" if here != elsewhere else ""
    )
    note = (
        f"<p class='note'>The verdict at each swept value, {counts or f'in {here} replicates'}. "
        "A change to inconclusive indicates lower power, not another verdict. Each value is evaluated "
        "separately, without correction for multiplicity.</p>"
    )
    return _table(("assumption", "own value", "the claim along its range"), rows) + note if rows else ""


def _tag(verdict: Verdict) -> str:
    return f"<span class='tag {VERDICT_CLASS[verdict]}'>{verdict}</span>"


def _arms(trial: Trial) -> str:
    rows = []
    units = {key: q.parameter.unit for key, q in quantities(trial.scenario.scenario)}
    units = {key: unit for key, unit in units.items() if unit != "EV"}  # a dose may be of molecules
    for arm in trial.scenario.scenario.arm:
        changes = "<br>".join(
            f"<code>{_key(k)} =\N{NO-BREAK SPACE}{escape(setting(v, units.get(k, '1')))}</code>"
            for k, v in arm.set.items()
        )
        label = f"<b>{escape(arm.title or arm.name)}</b><br>{escape(arm.note)}"
        rows.append((label, changes or "the scenario as it is"))
    return _table(("arm", "what differs"), rows)


def _criteria(trial: Trial) -> str:
    parts = []
    groups: dict[tuple[str, str], list[Comparison]] = {}
    asked = [c.criterion.readout for c in trial.comparisons]
    for c in trial.comparisons:
        unit = readout_of(trial, c.criterion.readout).unit
        groups.setdefault((c.criterion.scale, unit), []).append(c)
    for (_, unit), chosen in groups.items():
        rows = [
            (
                title_of(readout_of(trial, c.criterion.readout))
                + (f": {_pair(trial, c)}" if asked.count(c.criterion.readout) > 1 else ""),
                c.effect,
                Direction(c.criterion.direction),
                float(c.criterion.by),
                c.verdict,
            )
            for c in chosen
        ]
        parts.append(_figure("", forest(rows, unit)))
    table = [
        (
            escape(title_of(readout_of(trial, c.criterion.readout))),
            f"{arm_title(trial, c.criterion.arm)} / {arm_title(trial, c.criterion.versus)}",
            claimed(trial, c),
            shown(c.effect, readout_of(trial, c.criterion.readout).unit) if c.effect else "not defined",
            margins_held(trial, c, c.effect) if c.effect else "",
            found_with(trial, c, c.effect) if c.effect else "",
            _tag(c.verdict),
        )
        for c in trial.comparisons
    ]
    n = len(trial.seeds)
    note = (
        f"<p class='note'>Paired differences of {n} replicates with common random numbers, {percent(LEVEL)} "
        "t intervals; ratios are those of geometric means. The whole interval must be on the shaded "
        "side; all criteria must hold. <em>Margins</em>: those at which the criterion would be met, for "
        f"comparison with the chosen one. <em>Found with {percent(POWER)}</em>: the true effect that a "
        "trial of this size detects with this probability.</p>"
    )
    head = ("readout", "arms", "claimed", "found", "margins", f"found with {percent(POWER)}", "verdict")
    return _figures(parts) + _table(head, table) + note


def _pair(trial: Trial, comparison: Comparison) -> str:
    """The two arms of a criterion, as plain text."""
    titles = {arm.name: arm.title or arm.name for arm in trial.scenario.scenario.arm}
    return f"{titles[comparison.criterion.arm]} and {titles[comparison.criterion.versus]}"


def _between(trial: Trial) -> str:
    """Quantities drawn for each replicate."""
    scenario, known = trial.scenario.scenario, dict(quantities(trial.scenario.scenario))
    rows = [
        (escape(each.title or each.name), ", ".join(f"<code>{_key(k)}</code>" for k in each.keys), each.cv)
        for each in trial.table.between
    ]
    for table, label in (
        ("pharmacokinetics", "clearances, absorption and permeability of the body"),
        ("manufacturing", "logarithm of the recovery of each step of a batch"),
    ):
        if getattr(scenario, table) is not None:
            key = f"{table}.variability"
            rows.append((label, f"<code>{_key(key)}</code>", known[key]))
    drawn = [(title, keys, percent(cv.magnitude), source_text(cv)) for title, keys, cv in rows]
    if not drawn:
        return "<p>Stochasticity only: release, motion, fates and positions of cells.</p>"
    note = (
        "<p class='note'>Log-normal around the scenario's values, drawn for each replicate and the same in "
        "all of its arms, in addition to stochastic release, motion, fates and positions of cells.</p>"
    )
    return _table(("quantity", "keys", "coefficient of variation", "source"), drawn) + note


def _readouts(trial: Trial) -> str:
    titles = {arm.name: arm.title for arm in trial.scenario.scenario.arm}
    parts = []
    for readout in trial.table.readout:
        arms = {name: each[readout.name] for name, each in trial.values.items()}
        picture = dot_plot(arms, titles, readout.unit) or "<p class='note'>Undefined in all replicates.</p>"
        parts.append(_figure(escape(title_of(readout)), picture))
    note = "A dot is a replicate, a thin line joins the same replicate in all arms, a bar is a mean."
    return f"{_figures(parts)}<p class='note'>{note}</p>"


def _sweeps(trial: Trial) -> str:
    parts = []
    for each in trial.sweeps:
        title = escape(assumption(each))
        keys = ", ".join(f"<code>{_key(k)}</code>" for k in each.table.keys)
        ranges, pictures = range_of(trial, each), []
        parts.append(f"<h3>{title}</h3><p class='note'>{keys}{ranges}</p>")
        for i, comparison in enumerate(trial.comparisons):
            criterion = comparison.criterion
            points = [(p.value, p.comparisons[i].effect, p.comparisons[i].verdict) for p in each.points]
            own, readout = each.base.magnitude, readout_of(trial, criterion.readout)
            picture = sweep(
                points,
                own,
                Direction(criterion.direction),
                float(criterion.by),
                f"{assumption(each)}{unit_of(each).replace(' ', ', ', 1)}",
                scale_text(Scale(criterion.scale), readout.unit),
            )
            arms = f"<small>{escape(_pair(trial, comparison))}</small>"
            pictures.append(_figure(f"{escape(title_of(readout))}<br>{arms}", picture))
        parts.append(_figures(pictures))
    if parts:
        parts.append(
            f"<p class='note'>{_swept(trial)} replicates at each value. Disc: supports. Cross: does not "
            "support. Ring: inconclusive. Shaded: where the interval must lie. Dashed: the scenario's own "
            "value.</p>"
        )
    return "".join(parts)


def _secondary(trial: Trial) -> str:
    first = next(iter(trial.values))
    rows = [
        (
            escape(title_of(readout_of(trial, row.readout))),
            arm_title(trial, row.arm),
            shown(row.effect, readout_of(trial, row.readout).unit),
            _p_value(row),
        )
        for row in trial.secondary
    ]
    note = (
        f"<p class='note'>Each arm compared with <b>{arm_title(trial, first)}</b>. p-values (Holm) and "
        f"intervals (Bonferroni) are corrected for {counted(len(rows), 'comparison')}, so that intervals "
        f"hold simultaneously in {percent(LEVEL)} of trials. Without variation between replicates there is "
        "no p-value.</p>"
    )
    table = _table(("readout", "arm", "difference", "p, corrected"), rows)
    listed = counted(len(rows), "comparison")
    return f"<details><summary>{listed}</summary>{table}</details>{note}"


def _p_value(row: Secondary) -> str:
    if row.effect.spread == 0.0:
        return "\N{EN DASH}"
    return "&lt; 0.001" if row.adjusted_p < 1e-3 else f"{row.adjusted_p:.3f}"


def _assumptions(trial: Trial) -> str:
    swept = {key for each in trial.sweeps for key in each.table.keys}
    rows, seen, foreign = [], set(), of_comparators(trial.scenario.scenario)
    for key, q in quantities(trial.scenario.scenario):
        assumed = "assumed" in q.source or "assumed" in q.parameter.source
        if key not in swept and (not assumed or key.partition(".")[0] in SETTING):
            continue
        unit = spelled(q.parameter.unit)
        published = None if key in foreign else q.parameter.published
        stated = (q.parameter.symbol, q.magnitude, q.source)
        if key not in swept and stated in seen:
            continue
        seen.add(stated)
        rows.append(
            (
                f"<code>{_key(key)}</code>{SWEPT if key in swept else ''}",
                f"{signed(q.magnitude)} {escape(unit)}",
                f"{signed(published[0])} to {signed(published[1])}" if published else "",
                escape(q.source or "this scenario"),
            )
        )
    rows.sort(key=lambda row: SWEPT not in row[0])
    cited = "".join(f"<li>{escape(format_citation(key))}</li>" for key in sources(trial.scenario))
    return (
        f"<details><summary>Values that are assumed or were swept: {len(rows)}</summary>"
        + _table(("key", "value", "published or plausible", "source"), rows)
        + f"</details><details><summary>Sources in full</summary><ol class='sources'>{cited}</ol></details>"
    )


def _limits(trial: Trial) -> str:
    items = "".join(f"<li>{escape(text)}</li>" for text in (*trial.table.limits, *ALWAYS))
    return f"<ul>{items}</ul>"


def _methods(trial: Trial) -> str:
    scenario = trial.scenario
    options: list[object] = ["--replicates", len(trial.seeds), "--seed", trial.seeds[0]]
    if not trial.swept:
        options.append("--no-sweep")
    options += set_options(dict(set_by_hand(scenario)))
    command = command_line("trial", trial.source, *options)
    return (
        f"<p>exoabm {exoabm.__version__}, scenario <code>{escape(scenario.name)}</code> with SHA-256 "
        f"<code>{scenario.sha256()[:16]}</code>, seeds {trial.seeds[0]} to {trial.seeds[-1]}, the same in "
        "every arm. With this scenario, the same command gives the same numbers:</p>"
        f"<pre>{escape(command)}</pre>"
    )


def _figure(caption: str, picture: str) -> str:
    label = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f"<figure>{label}{picture}</figure>"


def _figures(figures: Iterable[str]) -> str:
    return f"<div class='figures'>{''.join(figures)}</div>"


def _key(key: str) -> str:
    """A key that may break behind a dot or an underscore and nowhere else."""
    return escape(key).replace(".", ".<wbr>").replace("_", "_<wbr>")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th scope='col'>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    kind = "wide" if len(head) > 3 else "narrow"
    inner = f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody>"
    return f"<div class='scroll'><table class='{kind}'>{inner}</table></div>"
