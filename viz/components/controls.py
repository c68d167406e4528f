"""The question to predict, the first five controls, and the others; pending and applied values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import solara

from exoabm.errors import ExoError, InputError
from exoabm.text_formatting import number
from exoabm.viz.components.canvas import Curves
from exoabm.viz.components.paired_runs import PairedRuns
from exoabm.viz.components.widgets import Button, ControlsWidget, html
from exoabm.viz.results.charts import chart_of
from exoabm.viz.results.text_summary import told
from exoabm.viz.setup import first_setup, intro_of, judged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from exoabm.viz.parameter_controls import Control
    from exoabm.viz.server.session import Session
    from exoabm.viz.setup import Prediction, Setup

_GROUPS = {
    "layout": "How many cells",
    "clock": "Time",
    "domain": "Space and medium",
    "transport": "Space and medium",
}
_TABLES = {
    "vesicle": "Vesicles",
    "cell_type": "Cells",
    "cargo": "Cargo",
    "response": "Response",
    "dose": "Dose",
    "immunity": "Immunity",
}
"""Tables of the file format by the headings of their controls."""


@solara.component
def Question(
    prediction: Prediction,
    session: Session,
    setup: Setup,
    pulse: solara.Reactive[int],
    begin: Callable[..., bool],
) -> None:
    """A question to predict; one button sets the values and makes the runs that judge the prediction.

    The page shows the run with these values from its start to its end; another run begun in its place before
    takes the judgment back, and one begun after it allows another prediction.
    """
    _ = pulse.value  # drawn again whenever the run on the page advances
    answer = solara.use_reactive("")
    runs: solara.Reactive[PairedRuns | None] = solara.use_reactive(None)
    other = solara.use_reactive(0)
    _ = other.value  # and the one beside it
    problem = solara.use_reactive("")

    def run() -> None:
        try:
            made = PairedRuns(first_setup(setup.scenario, seed=setup.seed), prediction.set)
        except ExoError as error:
            problem.set(str(error))
            return
        made.listen(lambda: other.set(other.peek() + 1))
        shown = made.sessions[-1]
        begin(made.setups[-1], as_made=shown, speed=session.speed)  # before it is looked for on the page
        runs.set(made)
        made.finish()

    def close() -> None:
        """End the run beside; that on the page is the page's own, which ends it with the next."""
        made = runs.peek()
        for beside in made.sessions[:-1] if made is not None else ():
            beside.close()

    def take_back() -> None:
        close()
        runs.set(None)

    def predict(words: str) -> None:
        if runs.peek() is not None:  # judged, and the page shows another run
            take_back()
        answer.set(words)

    def forget() -> None:
        if replaced:
            take_back()

    made = runs.value
    shown = made is not None and session is made.sessions[-1]
    replaced = made is not None and not made.finished and not shown
    solara.use_effect(forget, [replaced])
    solara.use_effect(lambda: close, [])
    with html("section", "exo-question exo-first"):
        html("h2", text="Predict first")
        html("p", text=prediction.question)
        with html("div", "exo-answers", attributes={"role": "group", "aria-label": "Your prediction"}):
            for words in prediction.answers:
                attributes: dict[str, Any] = {"aria-pressed": str(answer.value == words).lower()}
                if made is not None and (shown or not made.finished):
                    attributes["disabled"] = True
                Button(words, lambda words=words: predict(words), "exo-answer", attributes)
        if problem.value:
            html("p", "exo-problem", text=problem.value, attributes={"role": "alert"})
        if answer.value and runs.value is None:
            value = "values" if len(prediction.set) > 1 else "value"
            Button(f"Set the {value} and run both" if prediction.set else "Run it", run, "exo-strong")
        elif runs.value is not None:
            _Judged(prediction, answer.value, runs.value, session, pulse.value + other.value)


@solara.component
def _Judged(prediction: Prediction, answer: str, runs: PairedRuns, session: Session, pulse: int) -> None:
    """The progress of the runs, and then their values, the verdict and the reason; ``session`` is shown."""
    with html("div", "exo-judged", attributes={"role": "status"}):
        if runs.error:
            html("p", "exo-problem", text=runs.error)
        elif not runs.finished:
            share = {"max": "1", "value": f"{runs.progress:.3f}", "aria-label": "Model time of the runs"}
            html("progress", attributes=share).key("progress")
        else:
            right, words = verdict(prediction, answer, runs.final_readouts())
            html("p", "exo-right-answer" if right else "exo-wrong-answer", text=words).key("verdict")
            html("p", "exo-note", text=prediction.why)
            if prediction.set and session is runs.sessions[-1]:
                html("p", "exo-note", text="Picture, curves and controls show the run with the change.")


def verdict(prediction: Prediction, answer: str, rows: Sequence[Mapping[str, float]]) -> tuple[bool, str]:
    """Whether the runs with these final readouts confirm an answer, and their values in a sentence."""
    values = prediction.values(rows)
    truth = prediction.right_answer(values)
    found = [told(number(value), prediction.unit) for value in values]
    label = prediction.label[0].upper() + prediction.label[1:]
    made, text = "The run does", f"{label}: {found[0]}."
    if len(found) > 1:
        made, text = "The runs do", f"{label}: {found[0]} without the change, {found[1]} with it."
    return judged(answer, truth, text, f"{made} not answer the question.")


def group(key: str) -> str:
    """Under which heading a control stands, by its dotted key."""
    table, name, *rest = key.split(".")
    if table in _GROUPS:
        return _GROUPS[table]
    if table == "pharmacokinetics":
        return f"Body: {name}" if rest else "Body"
    words = _TABLES.get(table, table)
    return f"{words}: {name.replace('_', ' ')}" if rest else words


@solara.component
def Controls(
    controls: Mapping[str, Control],
    first: Sequence[str],
    pending: solara.Reactive[dict[str, str]],
    on_valid: Callable[[], None],
    children: list[Any] = [],  # noqa: B006
) -> None:
    """The first five controls, the others below them, and ``children``; ``on_valid`` follows a read value."""
    more = solara.use_reactive(False)
    problems = solara.use_reactive({})

    def set_value(change: object) -> None:
        """Keep a value as pending; the error of an unreadable one is shown beside its control."""
        if not isinstance(change, dict) or change.get("key") not in controls:
            return
        key, text = change["key"], change.get("text")
        others = {k: p for k, p in problems.peek().items() if k != key}
        values = {k: t for k, t in pending.peek().items() if k != key}
        try:
            if text is not None:
                values[key] = controls[key].read(str(text))
            on_valid()
        except InputError as error:
            others[key] = str(error)
        problems.set(others)
        pending.set(values)

    def slide(change: object) -> None:
        if isinstance(change, dict) and change.get("key") in controls:
            control = controls[change["key"]]
            set_value({"key": control.key, "text": control.value(int(change.get("share", 0)))})

    def row(key: str) -> dict[str, Any]:
        text = pending.value.get(key, controls[key].applied)
        return _row(controls[key], text, problems.value.get(key, ""), first=key in first[:1])

    def group_of(keys: Sequence[str]) -> None:
        ControlsWidget.element(controls=[row(key) for key in keys], on_value=set_value, on_slide=slide)

    rest = [key for key in controls if key not in first]
    with html("div", "exo-panel"):
        with html("section", "exo-card"):
            words = "Fewer controls" if more.value else f"More controls ({len(rest)})"
            with html("div", "exo-card-head"):
                html("h2", text="Change one thing")
                expanded = {"aria-expanded": str(more.value).lower()}
                Button(words, lambda: more.set(not more.value), attributes=expanded)
            group_of([key for key in first if key in controls])
        if more.value:
            with html("section", "exo-card", attributes={"aria-label": "More controls"}):
                html("h2", text="More controls")
                for name in dict.fromkeys(map(group, rest)):
                    keys = [key for key in rest if group(key) == name]
                    differ = sum(row(key)["pending"] is not None for key in keys)
                    count = f"{len(keys)}" + (f", {differ} changed" if differ else "")
                    with html("details", "exo-group").key(name):
                        html("summary", children=[name, html("span", "exo-note", text=count)])
                        group_of(keys)
        html("div", "exo-beside", children=children)


def _row(control: Control, text: str, problem: str, *, first: bool) -> dict[str, Any]:
    """A control as ``controls.vue`` takes it."""
    return {
        "key": control.key,
        "label": control.label,
        "kind": control.kind,
        "unit": control.unit,
        "text": text,
        "share": 0 if control.kind == "choice" else control.share(text),
        "spoken": told(text, control.unit),
        "pending": text if text != control.applied else None,
        "running": told(control.applied, control.unit),
        "choices": [list(c) for c in control.choices],
        "about": [list(a) for a in control.about],
        "problem": problem,
        "first": first,
    }


def scenario_controls(
    session: Session,
    setup: Setup,
    controls: Mapping[str, Control],
    pending: solara.Reactive[dict[str, str]],
    problem: solara.Reactive[str],
    pulse: solara.Reactive[int],
    begin: Callable[..., bool],
    *,
    with_curves: bool,
) -> None:
    """The prediction and the controls of a scenario, with the curves below them if there is room."""
    intro = intro_of(session.loaded)
    if intro.prediction is not None:
        Question(intro.prediction, session, setup, pulse, begin).key(f"question-{setup.scenario}")
    card = Controls(controls, intro.controls, pending, on_valid=lambda: problem.set(""))
    with card.key(f"controls-{setup.scenario}"):
        if with_curves:
            asked = intro.prediction
            Curves(session, pulse, "" if asked is None else chart_of(asked, session.charts))
