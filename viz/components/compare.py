"""Compare: two runs side by side on the same random numbers, curves on the same axes, the difference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import solara

from exoabm.errors import ExoError, InputError
from exoabm.viz.components.canvas import Canvas
from exoabm.viz.components.html import Press, html
from exoabm.viz.components.paired_runs import Twins, difference, differing, line, other
from exoabm.viz.components.widgets import AnswerWidget, ChoiceWidget, PlotWidget
from exoabm.viz.results.columns import usual
from exoabm.viz.results.svg import number
from exoabm.viz.results.text_summary import PREPARING, seen
from exoabm.viz.scenario_intros import opening
from exoabm.viz.server.session import SPEEDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from exoabm.viz.setup import Setup

COLORS = {
    "A": ("#0B5D8A", "#6FC0EE", ""),
    "B": ("#A3195B", "#FF7AB8", "7 4"),
    "B - A": ("#56626C", "#A3B1BC", ""),
}
"""Color on white, color on dark, dashes."""


@solara.component
def Compare(setup: Setup) -> None:
    """Run A is the page's own setup; run B differs in one key."""
    choices = solara.use_memo(lambda: differing(setup), [setup])
    usual = solara.use_memo(lambda: next(iter(opening(setup.load()).controls), next(iter(choices))), [setup])
    key = solara.use_reactive(solara.use_memo(lambda: usual if usual in choices else next(iter(choices)), []))
    value = solara.use_reactive(solara.use_memo(lambda: other(choices[key.peek()]), []))
    again = solara.use_reactive(0)
    problem = solara.use_reactive("")
    knob = choices.get(key.value) or choices[usual]

    def choose(name: str) -> None:
        key.set(name)
        value.set(other(choices[name]))
        problem.set("")

    def set_value(text: str) -> None:
        try:
            value.set(knob.read(text))
            problem.set("")
        except InputError as error:
            problem.set(str(error))

    with html("section", "exo-card exo-compare", attributes={"aria-label": "Compare two runs"}):
        html("h2", text="Two runs, the same random numbers, one difference")
        with html("div", "exo-row"):
            ChoiceWidget.element(
                label="What differs",
                value=knob.key,
                options=[[name, each.label] for name, each in choices.items()],
                on_value=choose,
            )
            html("span", text=f"A: {_said(knob.applied, knob.unit, dict(knob.choices))}")
            if knob.kind == "choice":
                ChoiceWidget.element(
                    label="Run B",
                    value=value.value,
                    options=[[v, f"B: {w}"] for v, w in knob.choices],
                    on_value=value.set,
                )
            else:
                AnswerWidget.element(
                    label="B:", unit=knob.unit, button="Set", start=value.value, on_answer=set_value
                ).key(f"{knob.key}-{value.value}")
        if problem.value:
            html("p", "exo-wrong-answer", text=problem.value, attributes={"role": "alert"})
    said = tuple(_said(v, knob.unit, dict(knob.choices)) for v in (knob.applied, value.value))
    _Pair(setup, knob.key, value.value, said, lambda: again.set(again.value + 1)).key(
        f"{setup}-{knob.key}-{value.value}-{again.value}"
    )


@solara.component
def _Pair(setup: Setup, key: str, value: str, values: tuple[str, ...], on_again: Callable[[], None]) -> None:
    pulse = solara.use_reactive(0)
    _ = pulse.value  # drawn anew whenever either run tells of itself
    problem, twins = solara.use_memo(lambda: _make(setup, key, value), [])
    column = solara.use_reactive("")
    layers = solara.use_reactive({"dots": True, "field": twins is not None and twins.sessions[0].with_field})

    def set_layers(new: dict[str, Any]) -> None:
        layers.set({name: bool(new.get(name)) for name in ("dots", "field")})
        for session in twins.sessions if twins is not None else ():
            session.with_field = layers.peek()["field"]
            session.redraw()

    def live() -> Callable[[], None] | None:
        if twins is None:
            return None
        twins.listen(lambda: pulse.set(pulse.peek() + 1))
        return twins.close

    solara.use_effect(live, [])
    if twins is None:
        html("p", "exo-wrong-answer", text=problem, attributes={"role": "alert"})
        return

    def set_speed(text: str) -> None:
        twins.speed = float(text)
        pulse.set(pulse.peek() + 1)

    with html("div", "exo-player exo-pair-player"):
        if twins.playing:
            Press("Pause both", twins.pause, "exo-go")
        else:
            finished = {"disabled": True} if twins.finished else {}
            Press("Finished" if finished else "Go, both", twins.play, "exo-go", finished)
        Press("Start again", on_again)
        ChoiceWidget.element(
            label="Speed",
            value=f"{twins.speed:g}",
            options=[[f"{s:g}", _pace(s)] for s in SPEEDS],
            on_value=set_speed,
        )
    if twins.error:
        html("p", "exo-wrong-answer", text=twins.error, attributes={"role": "alert"})
    with html("div", "exo-twins"):
        for name, session, held in zip("AB", twins.sessions, values, strict=True):
            with session.lock:
                said = PREPARING if session.preparing else seen(session.model)
            with html("section", "exo-twin", attributes={"aria-label": f"Run {name}"}):
                html("h3", text=f"Run {name}: {held}")
                Canvas(session, layers.value, f"Run {name}. {said}", on_layers=set_layers)
                html("p", "exo-words", text=said)
    names = twins.columns()
    shown = column.value if column.value in names else usual(names, key)
    a, b = twins.curves(shown)
    gap = difference(a, b)
    with html("section", "exo-card", attributes={"aria-label": "Curves of both runs"}):
        ChoiceWidget.element(
            label="What is drawn",
            value=shown,
            options=[[*pair] for pair in names.items()],
            on_value=column.set,
        )
        with html("div", "exo-twins"):
            for title, lines in (
                ("Both runs", [line(a, "A", *COLORS["A"]), line(b, "B", *COLORS["B"])]),
                ("Difference", [line(gap, "B - A", *COLORS["B - A"])]),
            ):
                end = ", ".join(f"{each['name']} {number(each['y'][-1])}" for each in lines if each["y"])
                with html("div"):
                    html("h3", text=f"{title}: {end}")
                    PlotWidget.element(
                        series=lines,
                        x_label="time (h)",
                        x_unit="h",
                        y_label=names[shown],
                        x_least=min(1.0, twins.sessions[0].end / 3600),
                        y_least=1e-6,
                        alt=f"{title}, {names[shown]}: {end}",
                    )
        html("p", "exo-note", text=f"Column {shown} of metrics.parquet, of either run.")


def _make(setup: Setup, key: str, value: str) -> tuple[str, Twins | None]:
    try:
        return "", Twins(setup, key, value)
    except ExoError as error:
        return str(error), None


def _said(value: str, unit: str, choices: dict[str, str]) -> str:
    return choices.get(value, f"{value} {unit}".strip())


def _pace(seconds: float) -> str:
    for length, unit in ((3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:g} {unit} a second"
    return f"{seconds:g} s a second"
