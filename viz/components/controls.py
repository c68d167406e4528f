"""The question to predict, five controls, and the rest; pending values kept apart from applied ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import solara

from exoabm.errors import InputError
from exoabm.viz.components.html import Press, html
from exoabm.viz.components.widgets import ControlsWidget

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exoabm.viz.parameter_controls import Knob
    from exoabm.viz.scenario_intros import Opening

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
def Question(begun: Opening) -> None:
    """A question to answer before the highlighted control is moved."""
    answer = solara.use_reactive("")
    if not begun.question:
        return
    with html("section", "exo-question exo-first"):
        html("h2", text="Predict first")
        html("p", text=begun.question)
        with html("div", "exo-answers", attributes={"role": "group", "aria-label": "Your prediction"}):
            for words in begun.answers:
                chosen = answer.value == words
                pressed = {"aria-pressed": str(chosen).lower()}
                Press(words, lambda words=words: answer.set(words), "exo-answer", pressed)
        if answer.value:
            html("p", "exo-note", text=begun.afterwards, attributes={"role": "status"})


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
    knobs: Mapping[str, Knob],
    first: Sequence[str],
    pending: solara.Reactive[dict[str, str]],
    children: list[Any] = [],  # noqa: B006
) -> None:
    """Five controls at first, ``children``, and below them the other controls once they are asked for."""
    more = solara.use_reactive(False)
    problems = solara.use_reactive({})

    def set_knob(change: object) -> None:
        """Take a value over as pending; what cannot be read is said beside its control."""
        if not isinstance(change, dict) or change.get("key") not in knobs:
            return
        key, text = change["key"], change.get("text")
        others = {k: p for k, p in problems.peek().items() if k != key}
        values = {k: t for k, t in pending.peek().items() if k != key}
        try:
            if text is not None:
                values[key] = knobs[key].read(str(text))
        except InputError as error:
            others[key] = str(error)
        problems.set(others)
        pending.set(values)

    def slide(change: object) -> None:
        if isinstance(change, dict) and change.get("key") in knobs:
            knob = knobs[change["key"]]
            set_knob({"key": knob.key, "text": knob.value(int(change.get("share", 0)))})

    def row(key: str) -> dict[str, Any]:
        knob, text = knobs[key], pending.value.get(key, knobs[key].applied)
        return {
            "key": key,
            "label": knob.label,
            "kind": knob.kind,
            "unit": knob.unit,
            "text": text,
            "share": 0 if knob.kind == "choice" else knob.share(text),
            "pending": text if text != knob.applied else None,
            "applied": knob.applied,
            "choices": [list(c) for c in knob.choices],
            "about": [list(a) for a in knob.about],
            "problem": problems.value.get(key, ""),
            "first": bool(first) and key == first[0],
        }

    def panel(keys: Sequence[str]) -> None:
        ControlsWidget.element(knobs=[row(key) for key in keys], on_knob=set_knob, on_slide=slide)

    rest = [key for key in knobs if key not in first]
    with html("div", "exo-panel"):
        with html("section", "exo-card"):
            words = "Fewer controls" if more.value else f"More controls ({len(rest)})"
            with html("div", "exo-card-head"):
                html("h2", text="Change one thing")
                expanded = {"aria-expanded": str(more.value).lower()}
                Press(words, lambda: more.set(not more.value), attributes=expanded)
            panel([key for key in first if key in knobs])
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
                        panel(keys)
