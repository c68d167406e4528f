"""Words beside the model: a scenario's page, from the Markdown that ships with it."""

from __future__ import annotations

import re
from functools import cache

import solara

from exoabm.scenario.loader import shipped
from exoabm.viz.components.html import html

PARTS = (
    "What is it",
    "How it works",
    "How to use it",
    "Things to notice",
    "Things to try",
    "Extend",
    "References",
)
OPEN_AT_FIRST = ("What is it", "How it works")


@cache
def sections(scenario: str) -> tuple[tuple[str, str], ...]:
    """Headings of a scenario's page and the HTML below each; none where no page ships."""
    path = shipped().get(scenario)
    if path is None or not path.with_suffix(".md").is_file():
        return ()
    text = path.with_suffix(".md").read_text(encoding="utf-8")
    parts = re.split(r"^## +(.+)$", text, flags=re.MULTILINE)
    return tuple(
        (heading.strip(), to_html(body)) for heading, body in zip(parts[1::2], parts[2::2], strict=True)
    )


def to_html(text: str) -> str:
    """HTML of Markdown that ships with exoabm; never of what a reader brings."""
    from markdown import markdown

    made = markdown(text, extensions=["tables", "fenced_code", "sane_lists"])
    made = re.sub(r"<img[^>]*>", "", made)
    return made.replace("<table>", '<div class="exo-scroll" tabindex="0"><table>').replace(
        "</table>", "</table></div>"
    )


@solara.component
def ScenarioPage(scenario: str) -> None:
    """The page of a scenario, each part under a heading that opens and closes."""
    found = sections(scenario)
    with html("section", "exo-card exo-read", attributes={"aria-label": "About this scenario"}):
        if not found:
            html("p", text="This scenario has no page of its own.")
        for heading, body in found:
            opened = {"open": True} if heading in OPEN_AT_FIRST else {}
            with html("details", "exo-part", attributes=opened):
                html("summary", text=heading)
                solara.HTML(tag="div", unsafe_innerHTML=body, class_="exo-prose")


def prose(text: str) -> None:
    """Our own Markdown as a paragraph or more of the page."""
    solara.HTML(tag="div", unsafe_innerHTML=to_html(text), class_="exo-prose")
