"""The editor in which a scenario is built: cargo, vesicles, cell types, responses, and its file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import solara

from exoabm.errors import InputError
from exoabm.text_formatting import spaced
from exoabm.viz.components.widgets import EditorWidget
from exoabm.viz.draft import NAME, Draft
from exoabm.viz.draft_fields import TABLES, effect_of, effects_for, fields, signals
from exoabm.viz.parameter_controls import UNITS, description

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exoabm.viz.draft_fields import Field
    from exoabm.viz.run_setup import Setup
    from exoabm.viz.server.session import Session

_SECTIONS = {
    "cargo": ("Cargo", "a cargo", "Molecules that vesicles carry. Vesicles may also be empty."),
    "vesicle": ("Vesicles", "a kind of vesicle", "A kind has a size, a lifetime and a cargo."),
    "cell_type": ("Cell types", "a cell type", "Cells release vesicles, take them up, divide, die or move."),
    "response": (
        "Responses",
        "a response",
        "A signal changes what cells do: one that receives a cargo turns into another type, or divides.",
    ),
}
"""Title, what is added, and the words of an empty section."""
_Place = tuple[str, int, str]
"""Kind, index and key of a field."""


@solara.component
def Editor(draft: solara.Reactive[Draft], session: Session, setup: Setup, begin: Callable[..., bool]) -> None:
    """Fields for the parts of a scenario, the file that they make, and a button that runs it.

    Parameters
    ----------
    draft
        Outlives the runs.
    session, setup
        The run on the page.
    begin : callable
        Starts another run in its place.
    """
    refused: solara.Reactive[dict[_Place, tuple[Any, str]]] = solara.use_reactive({})
    problem = solara.use_reactive("")
    shown = draft.value

    def change(given: Mapping[str, Any]) -> None:
        kind, index, key = given.get("kind"), given.get("index"), given.get("key")
        if not (isinstance(kind, str) and isinstance(index, int) and isinstance(key, str)):
            return
        others = {place: refusal for place, refusal in refused.peek().items() if place != (kind, index, key)}
        try:
            draft.set(draft.peek().set(kind, index, key, given.get("value")))
        except InputError as error:
            others[kind, index, key] = (given.get("value"), str(error))
        refused.set(others)

    def act(given: Mapping[str, Any]) -> None:
        refused.set({})
        problem.set("")
        try:
            _act(given)
        except InputError as error:
            problem.set(str(error))

    def _act(given: Mapping[str, Any]) -> None:
        now, kind, index = draft.peek(), given.get("kind"), given.get("index")
        match given.get("act"):
            case "undo":
                draft.set(now.undo())
            case "redo":
                draft.set(now.redo())
            case "empty":
                draft.set(now.emptied())
            case "take":
                draft.set(now.taken(session.loaded))
            case "add" if kind in TABLES:
                draft.set(now.add(str(kind)))
            case "remove" if kind in TABLES and isinstance(index, int):
                draft.set(now.remove(str(kind), index))
            case "run" if not now.problems() and not begin(now.setup(setup.seed), play=True):
                problem.set("The page cannot run this scenario; the reason is shown beside the picture.")

    problems = solara.use_memo(shown.problems, [shown.text])
    tables = "" if session.loaded.scenario.layout.table is None else "Its cells are read from a table."
    EditorWidget.element(
        sections=_sections(shown, refused.value),
        text=shown.text,
        filename=f"{NAME}.toml",
        problems=problems,
        ready="This scenario runs on the page." if setup == shown.setup(setup.seed) else "Ready to run.",
        refused=problem.value,
        untakable=tables,
        undoable=shown.at > 0,
        redoable=shown.at < len(shown.texts) - 1,
        on_change=change,
        on_act=act,
    )


def _sections(draft: Draft, refused: Mapping[_Place, tuple[Any, str]]) -> list[dict[str, Any]]:
    """The sections as ``draft_editor.vue`` takes them."""
    raw = draft.raw
    found = [
        {
            "kind": kind,
            "title": title,
            "add": f"Add {what}",
            "about": words,
            "items": [_item(raw, kind, index, refused) for index in range(len(raw.get(kind, [])))],
        }
        for kind, (title, what, words) in _SECTIONS.items()
    ]
    setting = {"kind": "setting", "title": "Space, time and result", "add": "", "about": ""}
    return [*found, {**setting, "items": [_item(raw, "setting", 0, refused)]}]


def _item(
    raw: Mapping[str, Any], kind: str, index: int, refused: Mapping[_Place, tuple[Any, str]]
) -> dict[str, Any]:
    rows = [_row(kind, each, refused.get((kind, index, each.key))) for each in fields(raw, kind, index)]
    name = raw[kind][index].get("name", "") if kind in TABLES else ""
    legend = sentence(raw, raw[kind][index]) if kind == "response" else spaced(name)
    return {"legend": legend, "name": name, "fields": rows}


def _row(kind: str, of: Field, refused: tuple[Any, str] | None) -> dict[str, Any]:
    parameter = of.parameter
    key = of.key if kind == "setting" else f"{kind}.{of.key}"
    return {
        "key": of.key,
        "label": of.label,
        "kind": of.kind,
        "value": of.value if refused is None or of.kind == "many" else str(refused[0]),
        "unit": UNITS.get(parameter.unit, parameter.unit) if parameter is not None else "",
        "choices": [list(choice) for choice in of.choices],
        "blank": of.blank,
        "about": [list(row) for row in description(parameter, key)] if parameter is not None else [],
        "problem": "" if refused is None else refused[1],
    }


def sentence(raw: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """A response in words: "A tumor cell that receives order turns into helper"."""
    cell = spaced(row.get("cell_type", "")) or "…"
    article = "An" if cell[0] in "aeiou" else "A"
    signal, effect = row.get("signal", ""), effect_of(raw, row)
    does = signals(raw).get(signal, f"follows {spaced(signal)}" if signal else "…")
    then = effects_for(raw, row).get(effect, f"changes {spaced(effect[1:])}" if effect else "…")
    return f"{article} {cell} cell that {does} {then}"
