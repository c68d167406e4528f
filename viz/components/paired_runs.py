"""Two runs on the same random numbers that differ in one thing, kept in step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import solara

from exoabm.errors import ExoError, InputError
from exoabm.output.metrics import measure
from exoabm.scenario.state_builder import blueprint
from exoabm.text_formatting import number
from exoabm.viz.components.canvas import Canvas
from exoabm.viz.components.widgets import AnswerWidget, Button, ChoiceWidget, PlotWidget, html
from exoabm.viz.parameter_controls import SHARES, Control, controls_of
from exoabm.viz.results.charts import column_labels, default_column
from exoabm.viz.results.prediction_readouts import final_readouts
from exoabm.viz.results.text_summary import PREPARING, phrase, run_summary
from exoabm.viz.run_setup import intro_of
from exoabm.viz.server.frames import Scale
from exoabm.viz.server.session import SPEEDS, Session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exoabm.viz.run_setup import Setup


class PairedRuns:
    """Run A of a setup, and run B with other values by dotted key; only run A where there are none.

    Both have the same seed. Every draw is keyed by seed, cell, step and purpose, so the two runs differ
    only by the effect of the values.

    Raises
    ------
    InputError, ResourceError
        If B cannot be run.
    """

    def __init__(self, setup: Setup, changes: Mapping[str, str]) -> None:
        self.setups = (setup, setup.changed(changes)) if changes else (setup,)
        self.sessions = tuple(Session(each.load(), each.seed) for each in self.setups)
        self.speed = intro_of(self.sessions[0].loaded).speed
        if changes:
            a, b = self.sessions
            a.paired_with, b.paired_with = b, a
            b.looks = b.looks.colored_like(a.looks)
            a.scale.match(b.scale)
            a.agree()

    @property
    def speed(self) -> float:
        """Seconds of model time a second, of both."""
        return self.sessions[0].speed

    @speed.setter
    def speed(self, value: float) -> None:
        for session in self.sessions:
            session.speed = value

    @property
    def playing(self) -> bool:
        """Whether either goes on."""
        return any(session.playing for session in self.sessions)

    @property
    def finished(self) -> bool:
        """Whether both are over."""
        return all(session.finished or session.error for session in self.sessions)

    @property
    def error(self) -> str:
        """Why one of them stopped."""
        return "; ".join(session.error for session in self.sessions if session.error)

    def listen(self, tell: Callable[[], None]) -> None:
        """Have ``tell`` called when either changes."""
        for session in self.sessions:
            session.on_change = tell

    def play(self) -> None:
        """Go on with both."""
        for session in self.sessions:
            session.play()

    def finish(self) -> None:
        """Run both to the end as fast as possible, each by itself and with a color scale of its own."""
        for session in self.sessions:
            session.paired_with, session.scale = None, Scale()
            session.play(until=session.end)

    @property
    def progress(self) -> float:
        """Share of the model time that both have reached, 0 to 1."""
        return min(session.time / session.end for session in self.sessions)

    def final_readouts(self) -> list[dict[str, float]]:
        """``prediction_readouts.final_readouts`` of each run."""
        found = []
        for session in self.sessions:
            with session.reading() as model:
                found.append(final_readouts(model))
        return found

    def pause(self) -> None:
        """Stop both, at the time of the one that is ahead."""
        for session in self.sessions:
            session.pause()
        ahead = max(session.time for session in self.sessions)
        for session in self.sessions:
            if session.time < ahead:
                session.play(until=ahead)

    def close(self) -> None:
        """End both."""
        for session in self.sessions:
            session.close()

    def columns(self) -> dict[str, str]:
        """Columns of the metrics that both have, in words."""
        rows = [self._rows(session)[-1] for session in self.sessions]
        both = [name for name in rows[0] if name in rows[1] and name != "time_h"]
        return column_labels(self.sessions[0].scenario, both)

    def curves(self, column: str) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
        """A column of both runs over time, as ``x`` and ``y``."""
        a, b = (
            {
                "x": [row["time_h"] for row in rows if column in row],
                "y": [float(row[column]) for row in rows if column in row],
            }
            for rows in map(self._rows, self.sessions)
        )
        return a, b

    def _rows(self, session: Session) -> list[Mapping[str, float]]:
        with session.reading() as model:
            return [*model.history.rows, measure(model.state)]


def difference(a: Mapping[str, list[float]], b: Mapping[str, list[float]]) -> dict[str, list[float]]:
    """B - A at the times that both recorded."""
    times, rows_a, rows_b = np.intersect1d(np.round(a["x"], 9), np.round(b["x"], 9), return_indices=True)
    return {"x": times.tolist(), "y": (np.array(b["y"])[rows_b] - np.array(a["y"])[rows_a]).tolist()}


def other(control: Control, possible: Callable[[str], bool] = lambda _: True) -> str:
    """Another possible value, for run B: twice as much or what else can be, or another choice.

    Where twice as much is the same, of 0 or infinity, it is the default or the middle of the slider.
    """
    if control.kind == "choice":
        return next((value for value, _ in control.choices if value != control.applied), control.applied)
    values = [float(control.applied) * factor for factor in (2, 0.5, 1.1, 0.9)]
    if control.parameter is not None and control.parameter.default is not None:
        values.append(control.parameter.default)
    for value in (*values, float(control.value(SHARES // 2))):
        try:
            text = control.read(str(max(1, round(value))) if control.kind == "count" else f"{value:.6g}")
        except (InputError, ValueError, OverflowError):
            continue
        if text != control.applied and possible(text):
            return text
    return control.applied


def other_of(setup: Setup, control: Control) -> str:
    """Another value, for run B: of a number of cells, one for which there is room."""

    def fits(text: str) -> bool:
        try:
            blueprint(setup.changed({control.key: text}).load(), setup.seed)
        except ExoError:
            return False
        return True

    return other(control, fits) if control.kind == "count" else other(control)


def differing(setup: Setup) -> dict[str, Control]:
    """What two runs can differ in; the clock is none of it, for they share theirs."""
    return {
        key: control for key, control in controls_of(setup.load()).items() if not key.startswith("clock.")
    }


def line(
    curve: Mapping[str, list[float]], name: str, color: str, bright: str, dash: str = ""
) -> dict[str, Any]:
    """A curve as the plot takes it."""
    return {"name": name, "color": color, "bright": bright, "dash": dash, **curve}


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
    preferred = solara.use_memo(
        lambda: next(iter(intro_of(setup.load()).controls), next(iter(choices))), [setup]
    )
    key = solara.use_reactive(
        solara.use_memo(lambda: preferred if preferred in choices else next(iter(choices)), [])
    )
    value = solara.use_reactive(solara.use_memo(lambda: other_of(setup, choices[key.peek()]), []))
    again = solara.use_reactive(0)
    problem = solara.use_reactive("")
    control = choices.get(key.value) or choices[preferred]

    def choose(name: str) -> None:
        key.set(name)
        value.set(other_of(setup, choices[name]))
        problem.set("")

    def set_value(text: str) -> None:
        try:
            value.set(control.read(text))
            problem.set("")
        except InputError as error:
            problem.set(str(error))

    with html("section", "exo-card exo-compare", attributes={"aria-label": "Compare two runs"}):
        html("h2", text="Two runs, the same random numbers, one difference")
        with html("div", "exo-row"):
            ChoiceWidget.element(
                label="What differs",
                value=control.key,
                options=[[name, f"{each.label} ({name})"] for name, each in choices.items()],
                on_value=choose,
            )
            html("span", text=f"A: {_in_words(control.applied, control.unit, dict(control.choices))}")
            if control.kind == "choice":
                ChoiceWidget.element(
                    label="Run B",
                    value=value.value,
                    options=[[v, f"B: {w}"] for v, w in control.choices],
                    on_value=value.set,
                )
            else:
                AnswerWidget.element(
                    label="B:", unit=control.unit, button="Set", start=value.value, on_answer=set_value
                ).key(f"{control.key}-{value.value}")
        if problem.value:
            html("p", "exo-wrong-answer", text=problem.value, attributes={"role": "alert"})
    values = tuple(_in_words(v, control.unit, dict(control.choices)) for v in (control.applied, value.value))
    _Pair(setup, control.key, value.value, values, lambda: again.set(again.value + 1)).key(
        f"{setup}-{control.key}-{value.value}-{again.value}"
    )


@solara.component
def _Pair(setup: Setup, key: str, value: str, values: tuple[str, ...], on_again: Callable[[], None]) -> None:
    pulse = solara.use_reactive(0)
    _ = pulse.value  # drawn again whenever either run advances
    problem, runs = solara.use_memo(lambda: _make(setup, key, value), [])
    layers = solara.use_reactive({"dots": True, "field": runs is not None and runs.sessions[0].with_field})

    def set_layers(new: dict[str, Any]) -> None:
        layers.set({name: bool(new.get(name)) for name in ("dots", "field")})
        for session in runs.sessions if runs is not None else ():
            session.with_field = layers.peek()["field"]
            session.redraw()
        if runs is not None:
            runs.sessions[0].agree()

    def live() -> Callable[[], None] | None:
        if runs is None:
            return None
        runs.listen(lambda: pulse.set(pulse.peek() + 1))
        return runs.close

    solara.use_effect(live, [])
    if runs is None:
        html("p", "exo-wrong-answer", text=problem, attributes={"role": "alert"})
        return

    def set_speed(text: str) -> None:
        runs.speed = float(text)
        pulse.set(pulse.peek() + 1)

    with html("div", "exo-player exo-pair-player"):
        if runs.playing:
            Button("Pause both", runs.pause, "exo-go")
        else:
            finished = {"disabled": True} if runs.finished else {}
            Button("Finished" if finished else "Go, both", runs.play, "exo-go", finished)
        Button("Start again", on_again)
        ChoiceWidget.element(
            label="Speed",
            value=f"{runs.speed:g}",
            options=[[f"{s:g}", _pace(s)] for s in sorted({*SPEEDS, runs.speed})],
            on_value=set_speed,
        )
    if runs.error:
        html("p", "exo-wrong-answer", text=runs.error, attributes={"role": "alert"})
    with html("div", "exo-pair"):
        for name, session, held in zip("AB", runs.sessions, values, strict=True):
            with session.reading() as model:
                words = PREPARING if session.preparing else run_summary(model)
                time_h = model.state.time / 3600
            with html("section", "exo-run-of-pair", attributes={"aria-label": f"Run {name}"}):
                html("h3", text=f"Run {name}: {held}")
                alt, playing = f"Run {name}. {words}", session.playing
                Canvas(session, layers.value, alt, time_h, playing=playing, on_layers=set_layers)
                html("p", "exo-words", text=words)
    _Curves(runs, pulse.value)


@solara.component
def _Curves(runs: PairedRuns, pulse: int) -> None:
    """A readout of both runs over time, and the difference."""
    column = solara.use_reactive("")
    names = runs.columns()
    shown = column.value if column.value in names else default_column(runs.sessions[0].scenario, names)
    a, b = runs.curves(shown)
    gap = difference(a, b)
    with html("section", "exo-card", attributes={"aria-label": "Curves of both runs"}):
        ChoiceWidget.element(
            label="What is drawn",
            value=shown,
            options=[[*pair] for pair in names.items()],
            on_value=column.set,
        )
        with html("div", "exo-pair"):
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
                        x_least=min(1.0, runs.sessions[0].end / 3600),
                        x_most=max(session.end for session in runs.sessions) / 3600,
                        y_least=1e-6,
                        alt=f"{title}, {names[shown]}: {end}",
                    )
        html("p", "exo-note", text=f"{names[shown]} ({shown})")


def _make(setup: Setup, key: str, value: str) -> tuple[str, PairedRuns | None]:
    try:
        return "", PairedRuns(setup, {key: value})
    except ExoError as error:
        return str(error), None


def _in_words(value: str, unit: str, choices: dict[str, str]) -> str:
    return choices.get(value, phrase(value, unit))


def _pace(seconds: float) -> str:
    for length, unit in ((3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:g} {unit} a second"
    return f"{seconds:g} s a second"
