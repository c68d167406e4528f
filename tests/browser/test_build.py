"""Building a scenario on the page, from an empty start to a run that the command line repeats."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exoabm import ExosomeModel
from exoabm.scenario.loader import load
from exoabm.viz.results.files import edges_csv, metrics_csv

if TYPE_CHECKING:
    from collections.abc import Callable


def download(page: Any, name: str) -> bytes:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=name, exact=True).click()
    return Path(waiting.value.path()).read_bytes()


def test_a_scenario_is_built_run_and_repeated(reader: Callable[..., Any], tmp_path: Path) -> None:
    page = reader().open("?scenario=two_cells").page
    page.get_by_role("tab", name="Build").click()
    run = page.get_by_role("button", name="Run this scenario")
    page.wait_for_selector(".exo-todo:has-text('Add a type of cell.')")
    page.wait_for_selector("button[disabled]:has-text('Run this scenario')")

    def says(text: str) -> None:
        page.wait_for_function("t => document.querySelector('.exo-toml').textContent.includes(t)", arg=text)

    def add(what: str, *entries: str) -> None:
        """Add an item by its button, and fill its first fields by the keyboard alone."""
        page.get_by_role("button", name=f"Add {what}").click()
        page.wait_for_function("document.activeElement.closest('[data-item]') !== null")
        for entry in entries:
            page.keyboard.type(entry)
            page.keyboard.press("Tab")

    def field(item: str, label: str) -> Any:
        return page.locator(f"[data-item='{item}']").get_by_label(label, exact=True)

    add("a cargo", "order")
    says('name = "order"')
    field("cargo-0", "copies").fill("50")
    add("a kind of vesicle", "message")
    says('copies = "50 copies/EV"')
    field("vesicle-0", "order").check()
    says('cargo = ["order"]')
    field("vesicle-0", "delivery probability").fill("0.5")
    add("a cell type", "helper", "2")
    field("cell_type-0", "releases").select_option("message")
    add("a cell type", "tumor", "6")
    says('name = "tumor"')
    field("cell_type-1", "message").check()
    add("a response")
    for label, value in (("cell type", "tumor"), ("that", "cargo.order"), ("does what", "into helper")):
        field("response-0", label).select_option(value)
    page.wait_for_selector("legend:has-text('A tumor cell that receives order turns into helper')")
    full, half = field("response-0", "rate at full effect"), field("response-0", "half effect at (order)")
    full.fill("5 um")
    half.fill("50")
    half.press("Tab")
    page.wait_for_selector("[data-item=response-0] .exo-problem:has-text('expected 1/h, allowed 0 to')")
    page.wait_for_selector("button[disabled]:has-text('Run this scenario')")
    full.fill("2")
    full.press("Tab")
    for label, value in (("duration", "2"), ("step", "30")):
        field("setting-0", label).fill(value)  # while the one before is answered
        field("setting-0", label).press("Tab")
    says('duration = "2 h"')
    says('step = "30 s"')
    page.wait_for_selector("[role=status]:has-text('Ready to run.')")
    text = page.inner_text(".exo-toml")
    page.keyboard.press("Control+z")
    page.wait_for_function("t => document.querySelector('.exo-toml').innerText !== t", arg=text)
    page.keyboard.press("Control+y")
    page.wait_for_function("t => document.querySelector('.exo-toml').innerText === t", arg=text)
    run.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=status]:has-text('This scenario runs on the page.')")
    page.get_by_label("Speed").select_option("10800")
    file = tmp_path / "my_scenario.toml"
    file.write_bytes(download(page, "Download my_scenario.toml"))
    page.wait_for_selector(".exo-go:has-text('Finished')")
    page.get_by_role("tab", name="Files").click()
    model = ExosomeModel(load(file), seed=1)
    model.run()
    assert model.state.cells.type.tolist().count(0) > 2, "some cells were converted"
    for name, made in (("Links (CSV)", edges_csv), ("Time series (CSV)", metrics_csv)):
        assert download(page, name) == made(model), f"{name}: bit for bit as from the file"
    assert len(list(csv.DictReader(io.StringIO(metrics_csv(model).decode())))) > 5


def test_the_scenario_on_the_page_is_changed_and_a_removal_undone(reader: Callable[..., Any]) -> None:
    page = reader(width=390, height=844).open("?scenario=tumor_niche").page
    page.get_by_role("tab", name="Build").click()
    page.get_by_role("button", name="Start from the scenario on the page").click()
    page.wait_for_selector("legend:has-text('A fibroblast cell that receives order turns into helper')")
    page.get_by_role("button", name="Remove helper").click()
    page.wait_for_selector("legend:has-text('turns into helper')", state="detached")
    page.get_by_role("button", name="↶ Undo").click()
    page.wait_for_selector("legend:has-text('turns into helper')")
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390, "nothing is cut off on a phone"
