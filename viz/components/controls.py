"""The first five controls and the others; pending and applied values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import solara

from exoabm.errors import InputError
from exoabm.viz.components.canvas import Curves
from exoabm.viz.components.prediction import Question
from exoabm.viz.components.widgets import Button, ControlsWidget, html
from exoabm.viz.parameter_controls import group
from exoabm.viz.results.charts import chart_of
from exoabm.viz.results.text_summary import phrase
from exoabm.viz.run_setup import intro_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from exoabm.viz.parameter_controls import Control
    from exoabm.viz.run_setup import Setup
    from exoabm.viz.server.session import Session


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
        "spoken": phrase(text, control.unit),
        "pending": text if text != control.applied else None,
        "running": phrase(control.applied, control.unit),
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
