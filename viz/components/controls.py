"""The question to predict, the first five controls, and the others; pending and applied values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import solara

from exoabm.errors import InputError
from exoabm.viz.components.widgets import Button, ControlsWidget, html

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exoabm.viz.parameter_controls import Control
    from exoabm.viz.setup import Intro

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
def Question(intro: Intro) -> None:
    """A question to answer before the highlighted control is moved."""
    answer = solara.use_reactive("")
    prediction = intro.prediction
    if prediction is None:
        return
    with html("section", "exo-question exo-first"):
        html("h2", text="Predict first")
        html("p", text=prediction.question)
        with html("div", "exo-answers", attributes={"role": "group", "aria-label": "Your prediction"}):
            for words in prediction.answers:
                chosen = answer.value == words
                pressed = {"aria-pressed": str(chosen).lower()}
                Button(words, lambda words=words: answer.set(words), "exo-answer", pressed)
        if answer.value:
            html("p", "exo-note", text=prediction.afterwards, attributes={"role": "status"})


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
    children: list[Any] = [],  # noqa: B006
) -> None:
    """The first five controls, ``children``, and below them the other controls on request."""
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
        except InputError as error:
            others[key] = str(error)
        problems.set(others)
        pending.set(values)

    def slide(change: object) -> None:
        if isinstance(change, dict) and change.get("key") in controls:
            control = controls[change["key"]]
            set_value({"key": control.key, "text": control.value(int(change.get("share", 0)))})

    def row(key: str) -> dict[str, Any]:
        control, text = controls[key], pending.value.get(key, controls[key].applied)
        return {
            "key": key,
            "label": control.label,
            "kind": control.kind,
            "unit": control.unit,
            "text": text,
            "share": 0 if control.kind == "choice" else control.share(text),
            "pending": text if text != control.applied else None,
            "applied": control.applied,
            "choices": [list(c) for c in control.choices],
            "about": [list(a) for a in control.about],
            "problem": problems.value.get(key, ""),
            "first": bool(first) and key == first[0],
        }

    def view(keys: Sequence[str]) -> None:
        ControlsWidget.element(controls=[row(key) for key in keys], on_value=set_value, on_slide=slide)

    rest = [key for key in controls if key not in first]
    with html("div", "exo-panel"):
        with html("section", "exo-card"):
            words = "Fewer controls" if more.value else f"More controls ({len(rest)})"
            with html("div", "exo-card-head"):
                html("h2", text="Change one thing")
                expanded = {"aria-expanded": str(more.value).lower()}
                Button(words, lambda: more.set(not more.value), attributes=expanded)
            view([key for key in first if key in controls])
        html("div", children=children)
        if more.value:
            with html("section", "exo-card", attributes={"aria-label": "More controls"}):
                html("h2", text="More controls")
                for name in dict.fromkeys(map(group, rest)):
                    keys = [key for key in rest if group(key) == name]
                    differ = sum(row(key)["pending"] is not None for key in keys)
                    count = f"{len(keys)}" + (f", {differ} changed" if differ else "")
                    with html("details", "exo-group").key(name):
                        html("summary", children=[name, html("span", "exo-note", text=count)])
                        view(keys)
