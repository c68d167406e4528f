"""Panels, reading, lessons, files, uploads, comparison and share links, as a reader uses them."""

from __future__ import annotations

import csv
import io
import itertools
import os
import re
import tomllib
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from page_headings import HEADINGS
from PIL import Image

from exoabm.runs.run_execution import run_to_folder
from exoabm.scenario.loader import load
from exoabm.tables.finished_run import Run

if TYPE_CHECKING:
    from collections.abc import Callable


def tab(someone: Any, name: str) -> None:
    someone.page.get_by_role("tab", name=name).click()


def download(someone: Any, name: str) -> bytes:
    with someone.page.expect_download() as waiting:
        someone.page.get_by_role("button", name=name, exact=True).click()
    return Path(waiting.value.path()).read_bytes()


@pytest.fixture
def paused(reader: Callable[..., Any]) -> Any:
    """A reader who let the first scenario run a little, quickly, and paused it."""
    someone = reader().open("?scenario=signaling&hours=0.5&transport.engine=continuum&clock.step=60")
    someone.page.wait_for_function("document.querySelector('.exo-clock b').innerText === '0.50'")
    someone.page.wait_for_selector(".exo-go:has-text('Go')")
    someone.until_words("^After 30 min")
    return someone


def test_files_parse_and_agree(paused: Any, tmp_path: Path) -> None:
    tab(paused, "Files")
    png = Image.open(io.BytesIO(download(paused, "Picture (PNG)")))
    assert png.format == "PNG"
    gif = Image.open(io.BytesIO(download(paused, "Movie (GIF)")))
    assert gif.n_frames >= 2
    for name in ("Network (SVG)", "Types (SVG)"):
        assert ET.fromstring(download(paused, name)).tag.endswith("svg")
    scenario = tomllib.loads(download(paused, "Scenario (TOML)").decode())
    assert scenario["transport"]["engine"] == "continuum"
    metrics = list(csv.DictReader(io.StringIO(download(paused, "Time series (CSV)").decode())))
    assert float(metrics[-1]["time_h"]) == 0.5
    links = list(csv.DictReader(io.StringIO(download(paused, "Links (CSV)").decode())))
    zipfile.ZipFile(io.BytesIO(download(paused, "Run folder (ZIP)"))).extractall(tmp_path)
    table = pq.read_table(tmp_path / "run" / "edges.parquet").to_pydict()
    assert [float(row["taken_up"]) for row in links] == table["taken_up"]
    stored = Run(tmp_path / "run").metrics.to_pylist()
    assert float(metrics[-1]["free[exosome]"]) == stored[-1]["free[exosome]"]


BENDS = """() => {
  const stage = document.querySelector('.exo-stage').__vue__, all = CanvasRenderingContext2D.prototype;
  const points = [], curve = all.quadraticCurveTo;
  all.quadraticCurveTo = function (...at) {
    points.push(at.slice(0, 2).map(Math.round) + "");
    curve.apply(this, at);
  };
  stage.paint();
  all.quadraticCurveTo = curve;
  return [stage.links.length, new Set(points).size];
}"""
"""Lines of the selected cell, and the different points through which they bend."""


def test_lines_of_what_a_cell_sent_and_received_lie_apart(reader: Callable[..., Any]) -> None:
    """The card speaks of solid and dashed lines: between two producers, the former lay on the latter."""
    someone = reader().open("?scenario=production&hours=24")
    someone.until_words("^After 24.00 h")
    _, x, y = someone.cell_at("producer")
    someone.page.mouse.click(x, y)
    someone.page.wait_for_selector(".exo-cell h3:has-text('dashed lines')")
    someone.page.wait_for_function("document.querySelector('.exo-stage').__vue__.links.length")
    lines, bends = someone.page.evaluate(BENDS)
    assert lines == bends > 7


def test_the_share_link_opens_the_same_state(paused: Any, reader: Callable[..., Any]) -> None:
    tab(paused, "Files")
    words = paused.words()
    link = paused.page.locator(".exo-link").input_value()
    assert link.startswith(paused.server.address)
    other = reader().open(link.removeprefix(paused.server.address))
    other.page.wait_for_function("document.querySelector('.exo-clock b').innerText === '0.50'")
    other.page.wait_for_selector(".exo-go:has-text('Go')")
    assert other.until_words("^After 30 min") == words
    assert "vesicles released" in words


def test_panels_show_the_numbers_of_the_table(paused: Any) -> None:
    tab(paused, "Files")
    links = list(csv.DictReader(io.StringIO(download(paused, "Links (CSV)").decode())))
    total = sum(float(row["taken_up"]) for row in links)
    tab(paused, "Links between cells")
    paused.page.get_by_role("button", name="Types", exact=True).click()
    said = paused.page.locator("svg[aria-label^='Donor and recipient']").get_attribute("aria-label")
    assert float(re.search(r"recipient: ([\d.]+)", said).group(1)) == pytest.approx(total, rel=5e-3)
    for name in ("Chord", "Distance", "Network"):
        paused.page.get_by_role("button", name=name, exact=True).click()
        paused.page.wait_for_selector(f".exo-panel [aria-pressed=true]:has-text('{name}')")
        paused.page.wait_for_selector(".exo-drawing svg")
        assert paused.page.locator(".exo-drawing svg").count() == 1
    paused.page.get_by_role("button", name="Show the numbers").click()
    paused.page.wait_for_selector(".exo-scroll td")
    first = paused.page.locator(".exo-scroll tbody tr").first.locator("td").all_inner_texts()
    strongest = max(links, key=lambda row: float(row["taken_up"]))
    assert first[:2] == [strongest["donor"], strongest["recipient"]]
    assert float(first[-1].replace(",", "")) == pytest.approx(float(strongest["taken_up"]), rel=1e-3)


def test_every_scenario_has_its_page_beside_it(reader: Callable[..., Any]) -> None:
    someone = reader().open("?scenario=two_cells")
    tab(someone, "Read")
    someone.page.wait_for_selector(".exo-part")
    headings = someone.page.locator(".exo-part summary").all_inner_texts()
    assert headings == HEADINGS
    someone.page.get_by_text("Things to try").click()
    someone.page.locator(".exo-part[open] table").first.wait_for()


def test_a_lesson_knows_wrong_from_right(reader: Callable[..., Any]) -> None:
    someone = reader().open()
    page = someone.page
    tab(someone, "Lessons")
    page.get_by_role("button", name="Begin: How far?").click()
    page.get_by_role("button", name="It grows, then keeps its size").wait_for()
    assert page.get_by_role("button", name="Run 1 h").count() == 0
    page.get_by_role("button", name="It grows, then keeps its size").click()
    page.get_by_role("button", name="Run 1 h").click()
    page.wait_for_selector(".exo-guide progress")
    page.get_by_label("Speed").select_option(label="3 h a second")
    page.wait_for_selector(".exo-answer-field")
    label = page.locator(".exo-guide .exo-drawing svg").get_attribute("aria-label")
    square = float(re.search(r"= ([\d,]+) µm²", label).group(1).replace(",", ""))
    answer, status = page.locator(".exo-answer-field"), page.locator(".exo-status")
    for text, says in (
        ("no idea", "Type a number"),
        (f"{square**0.5:.1f}", "λ is half of it"),
        (f"{0.7 * square**0.5:.1f}", "Take the square root"),
    ):
        answer.fill(text)
        page.get_by_role("button", name="Check").click()
        page.wait_for_selector(f".exo-status:has-text('{says}')")
        assert page.locator(".exo-explain").count() == 0
    answer.fill(f"{square**0.5 / 2:.1f}")
    page.get_by_role("button", name="Check").click()
    page.wait_for_selector(".exo-right-answer")
    assert "your run gives 43.5 µm" in status.inner_text()
    judged = page.locator(".exo-explain .exo-right-answer").inner_text()
    assert "Your prediction “It grows, then keeps its size” is right." in judged
    assert "as many vesicles are cleared as are released" in page.locator(".exo-explain").inner_text()
    assert page.locator(".exo-guide .exo-answer[disabled]").count() == 3, "a prediction stays as it was"
    page.get_by_role("button", name="Next step").click()
    page.wait_for_selector("text=2. A longer lifetime")
    someone.open()
    page.wait_for_selector("text=2. A longer lifetime")
    page.wait_for_selector("text=0.00 of 2 h")
    page.locator(".exo-dot").first.click()
    page.wait_for_selector("text=Run this step again to see its drawing")
    page.get_by_role("button", name="All lessons").click()
    page.wait_for_selector("text=1 of 5 steps done")
    answers = download(someone, "My answers (HTML)").decode()
    assert "It grows, then keeps its size" in answers
    assert "= 43.5 µm" in answers
    key = download(someone, "Teacher's key (HTML)").decode()
    assert key.count("<section>") == 8
    page.evaluate("localStorage.removeItem('exoabm.lessons')")


def test_the_plot_of_a_lesson_stands_beside_its_question(reader: Callable[..., Any]) -> None:
    someone = reader().open()
    page = someone.page
    tab(someone, "Lessons")
    page.get_by_role("button", name="Begin: The fate of a vesicle").click()
    page.get_by_role("button", name="About 70 %").click()
    page.get_by_role("button", name="Run 6 h").click()
    page.wait_for_selector(".exo-guide .exo-plot")
    chosen = page.locator(".exo-guide .exo-pick option:checked").first.inner_text()
    assert chosen == "Where the vesicles are"
    assert page.locator(".exo-speed select option:checked").inner_text().endswith("a second")
    page.evaluate("localStorage.removeItem('exoabm.lessons')")


def test_a_scenario_chosen_at_the_top_ends_a_lesson_and_what_lies_open(reader: Callable[..., Any]) -> None:
    someone = reader(width=390, height=844).open("?scenario=relay")
    page = someone.page
    sender = page.locator(".exo-key:has-text('relay') path").first
    outline = sender.get_attribute("stroke")
    tab(someone, "Lessons")
    page.get_by_role("button", name="Begin: Threshold and relay").click()
    page.wait_for_selector("text=0.00 of 24 h")
    page.wait_for_selector(".exo-legend:has-text('takes up')")  # as a reader does, and a relay that is off
    assert sender.get_attribute("stroke") == outline, "a type that is switched off keeps its color"
    page.wait_for_function("getComputedStyle(document.querySelector('.exo-scene')).position === 'static'")
    page.select_option(".exo-head select", "two_cells")
    page.wait_for_selector(".exo-sentence:has-text('40 µm')")
    page.wait_for_selector("[role=tab][aria-selected=true]:has-text('Try it')")
    _, x, y = someone.cell_at("donor")
    page.mouse.click(x, y)
    page.wait_for_selector(".exo-cell")
    tab(someone, "Lessons")
    page.wait_for_selector("h2:has-text('guided lessons')")
    assert page.locator(".exo-head select").input_value() == "two_cells"
    assert page.locator(".exo-cell").count() == 0
    tab(someone, "Files")
    bring(someone, "A table of cells", "mine.csv", cells("A"))
    page.wait_for_selector("text=mine.csv: 40 cells")
    page.select_option(".exo-head select", "signaling")
    page.wait_for_selector("text=mine.csv: 40 cells", state="detached")


def test_the_page_comes_back_where_no_scenario_opens(reader: Callable[..., Any]) -> None:
    page = reader().open().page
    hidden = "document.documentElement.classList.contains('exo-opening')"
    page.clock.install()
    page.evaluate("document.querySelector('.exo-head label').__vue__.choose = () => {}")  # as if cut off
    page.select_option(".exo-head select", "two_cells")
    page.wait_for_function(hidden)
    page.clock.run_for(16_000)
    assert not page.evaluate(hidden)
    assert page.locator(".exo-head select").input_value() == "signaling"
    assert page.locator(".exo-head select").is_enabled()


def test_a_movie_is_recorded_by_the_browser(reader: Callable[..., Any]) -> None:
    someone = reader().open()
    tab(someone, "Files")
    someone.page.get_by_role("button", name="Record a movie").click()
    someone.go(frames=20)
    movie = "document.querySelector('.exo-movie').__vue__"
    assert someone.page.evaluate(f"{movie}.entries({movie}.stage()).map(e => e.words)")[:2] == [
        "donor",
        "recipient",
    ]
    someone.page.evaluate(f"{movie}.stage().last = undefined; {movie}.draw()")  # as where another was opened
    movie = download(someone, "Stop and save")
    assert movie[:4] == b"\x1a\x45\xdf\xa3", "WebM"
    assert len(movie) > 10_000
    someone.pause()


def test_two_runs_side_by_side(reader: Callable[..., Any]) -> None:
    someone = reader().open("?scenario=two_cells")
    page = someone.page
    tab(someone, "Compare")
    page.get_by_label("What differs").select_option("cell_type.donor.release_rate")
    page.wait_for_selector("text=A: 60 ")
    field = page.locator(".exo-compare .exo-answer-field")
    page.wait_for_function("document.querySelector('.exo-compare .exo-answer-field').value === '120'")
    field.fill("-5")
    page.get_by_role("button", name="Set").click()
    page.wait_for_selector(".exo-compare [role=alert]:has-text('outside the allowed')")
    field.fill("600")
    page.get_by_role("button", name="Set").click()
    page.wait_for_selector("h3:has-text('Run B: 600')")
    page.get_by_label("Speed").select_option("1800")
    page.get_by_role("button", name="Go, both").click()
    page.wait_for_function("[...document.querySelectorAll('.exo-clock b')].every(b => +b.innerText > 0.3)")
    page.get_by_role("button", name="Pause both").click()
    page.wait_for_selector("button:has-text('Go, both')")
    page.wait_for_function(
        """() => { const times = [...document.querySelectorAll('.exo-clock b')].map(b => +b.innerText);
          return times.length === 2 && Math.abs(times[0] - times[1]) <= 0.1; }"""
    )
    page.get_by_label("What is drawn").select_option("emitted[exosome]")
    page.wait_for_selector("[aria-label^='Both runs, vesicles released']")
    numbers = page.inner_text("h3:has-text('Both runs')").replace(",", "")
    a, b = map(float, re.findall(r"[AB] ([\d.]+)", numbers))
    assert 4 < b / a < 25
    names = """() => {
      const plot = document.querySelector('.exo-plot').__vue__.$options.computed;
      const series = ['a', 'b', 'c'].map(name => ({ name, x: [0, 1], y: [0, 1] }));
      return Object.values(plot.labels.call({ series, height: 190, pad: { b: 37 }, sy: () => 8 })) }"""
    heights = sorted(page.evaluate(names))
    assert heights[0] >= 11, "names of curves at the top are not cut off"
    assert all(b - a >= 14 for a, b in itertools.pairwise(heights))


def cells(labels: str) -> bytes:
    rng = np.random.default_rng(2)
    rows = [
        f"{x:.1f},{y:.1f},{labels[i % len(labels)]}" for i, (x, y) in enumerate(rng.uniform(0, 150, (40, 2)))
    ]
    return "\n".join(["x,y,cell_type", *rows]).encode()


def bring(someone: Any, what: str, name: str, data: bytes) -> None:
    chosen = someone.page.locator(".exo-bring", has_text=what).locator("input")
    chosen.set_input_files({"name": name, "mimeType": "application/octet-stream", "buffer": data})


def test_a_table_of_ones_own_runs(reader: Callable[..., Any]) -> None:
    someone = reader().open()
    tab(someone, "Files")
    bring(someone, "A table of cells", "my slide.csv", cells("AB"))
    someone.page.wait_for_selector("text=my_slide.csv: 40 cells")
    someone.page.get_by_label("Cell type of A").select_option("tumor")
    someone.page.get_by_label("Cell type of B").select_option("macrophage")
    someone.page.get_by_role("button", name="Run these cells").click()
    someone.page.wait_for_selector(".exo-legend:has-text('macrophage')")
    someone.page.wait_for_function(  # the header names the table
        "document.querySelector('.exo-head select').selectedOptions[0].textContent.trim() === 'my slide.csv'"
    )
    someone.page.wait_for_selector(".exo-sentence:has-text('my_slide.csv')")
    someone.go()
    someone.until_words("40 cells")
    someone.pause()
    tab(someone, "Files")
    someone.page.wait_for_selector("text=The link carries the whole table.")
    someone.page.wait_for_timeout(1500)  # the words follow the run twice a second, seldom under load
    words, link = someone.words(), someone.page.locator(".exo-link").input_value()
    other = reader().open(link.removeprefix(someone.server.address))
    other.page.wait_for_selector(".exo-legend:has-text('macrophage')")
    other.page.wait_for_function("t => document.querySelector('.exo-words').innerText === t", arg=words)
    other.page.wait_for_selector(".exo-go:has-text('Go')")
    other.page.click("button[aria-label='Start again']")
    other.page.wait_for_function("document.querySelector('.exo-clock b').textContent === '0.00'")
    assert other.page.locator(".exo-trouble").count() == 0, "its table is still there"


def test_junk_is_refused_in_words_and_the_run_goes_on(reader: Callable[..., Any]) -> None:
    someone = reader().open()
    tab(someone, "Files")
    for what, name, data, says in (
        ("A table of cells", "a.csv", b"", "is empty"),
        ("A table of cells", "../../x.csv", os.urandom(3000), "x.csv"),
        ("A table of cells", "a.csv", b"<script>alert(1)</script>", "a.csv"),
        ("A finished run", "a.zip", b"PK no", "not a readable zip"),
        ("A finished run", "a.zip", os.urandom(2_500_000), "not a readable zip"),
    ):
        bring(someone, what, name, data)
        someone.page.wait_for_selector(f".exo-wrong-answer:has-text('{says}')")
    someone.go()


def test_a_finished_run_opens(paused: Any, reader: Callable[..., Any]) -> None:
    tab(paused, "Files")
    data = download(paused, "Run folder (ZIP)")
    other = reader().open("?scenario=two_cells")
    tab(other, "Files")
    bring(other, "A finished run", "run.zip", data)
    other.page.wait_for_selector("section[aria-label='The run run']")
    facts = other.page.locator("section[aria-label='The run run'] .exo-facts").inner_text()
    assert "0.5 h" in facts
    assert "307" in facts
    other.page.get_by_label("Recorded time").select_option("0")
    other.page.wait_for_selector("svg[aria-label*='307 cells took up 0 vesicles']")


def test_a_run_folder_of_the_command_line(start: Callable[..., Any], browser: Any, tmp_path: Path) -> None:
    run_to_folder(load("two_cells"), tmp_path / "mine", seed=1, hours=3)
    page = browser.new_context().new_page()
    server = start(str(tmp_path / "mine"))
    page.goto(f"{server.address}?token={server.cookie[1]}")
    page.wait_for_selector("section[aria-label='The run mine']", timeout=60_000)
    assert "3 h" in page.inner_text(".exo-facts")
    page.get_by_role("button", name="Types", exact=True).click()
    page.wait_for_selector("svg[aria-label^='Donor and recipient']")
    page.context.close()
