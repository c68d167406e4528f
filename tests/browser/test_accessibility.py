"""axe-core finds no serious fault on any view of the page, light, dark and on a phone.

axe-core is not part of this repository. ``npm install --no-save axe-core`` puts it into ``node_modules``, or
the environment variable AXE_CORE names its ``axe.min.js``; without it these tests are skipped.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
AXE = Path(os.environ.get("AXE_CORE", ROOT / "node_modules" / "axe-core" / "axe.min.js"))
VIEWS = ("Try it", "Links between cells", "Build", "Compare", "Read", "Lessons", "Files")
LOOKS = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"color_scheme": "light", "width": 390, "height": 844},
}

pytestmark = pytest.mark.skipif(
    not AXE.is_file(), reason="axe-core is absent: npm install --no-save axe-core"
)


def faults(page: Any) -> list[str]:
    """Serious and critical faults, each with where it is."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{fault['id']}: {node['target']} {node['failureSummary']}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize("look", LOOKS)
def test_no_serious_fault(reader: Callable[..., Any], look: str) -> None:
    someone = reader(**LOOKS[look]).open("?scenario=signaling&hours=0.2")
    someone.page.wait_for_selector(".exo-go:has-text('Go')")
    found: list[str] = []
    for view in VIEWS:
        someone.page.get_by_role("tab", name=view).click()
        someone.page.wait_for_selector(f"[role=tab][aria-selected=true]:has-text('{view}')")
        if view == "Build":
            someone.page.get_by_role("button", name="Start from the scenario on the page").click()
            someone.page.wait_for_selector("legend")
        if view == "Lessons":
            someone.page.get_by_role("button", name="Begin: How far?").click()
            someone.page.wait_for_selector(".exo-steps")
        someone.page.wait_for_timeout(500)
        found += [f"{view}: {fault}" for fault in faults(someone.page)]
    assert not found, "\n".join(found)


def test_a_planted_fault_is_found(reader: Callable[..., Any]) -> None:
    someone = reader().open()
    someone.page.evaluate(
        "document.querySelector('.exo-go').parentElement.prepend(document.createElement('button'))"
    )
    assert any(fault.startswith("button-name") for fault in faults(someone.page))
