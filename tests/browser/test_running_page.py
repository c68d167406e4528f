"""The running page: first minute, play and pause, controls, looking back, a clicked cell."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from page_headings import HEADINGS

from exoabm import ExosomeModel
from exoabm.scenario.loader import shipped
from exoabm.viz.results.text_summary import run_summary
from exoabm.viz.run_setup import first_setup
from exoabm.viz.teaching.lesson_page import sections

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.browser.conftest import Reader, Server


FIRST = "signaling"


UPTAKE = "#control-cell-type-recipient-uptake-rate"


def test_the_first_minute_is_there_at_once(reader: Callable[..., Reader]) -> None:
    someone = reader().open()
    page = someone.page
    assert page.title().startswith("exoabm")
    assert "release vesicles" in page.inner_text(".exo-sentence")
    assert page.locator(".exo-go").inner_text().strip() == "Go"
    assert page.locator(".exo-control").count() == 5
    assert page.locator(".exo-control-first").count() == 1
    page.wait_for_timeout(300)
    axis = page.locator(".exo-plot svg text", has_text="time (h)").bounding_box()
    assert axis["y"] + axis["height"] <= 900, "the plot is seen without scrolling"
    assert len(set(someone.picture()[-4000:])) > 20
    assert someone.clock == 0.0
    page.click(".exo-answer >> nth=1")
    page.wait_for_selector(".exo-answer[aria-pressed=true]")
    assert page.locator(".exo-answer[aria-pressed=true]").count() == 1
    page.wait_for_selector(".exo-question .exo-strong:has-text('Set the value and run both')")


def test_a_prediction_is_judged_by_the_readers_runs(reader: Callable[..., Reader]) -> None:
    someone = reader().open("?scenario=tumor_delivery")
    page = someone.page
    page.click(".exo-answer >> nth=0")
    page.click(".exo-question .exo-strong")
    page.wait_for_selector(".exo-judged .exo-wrong-answer")
    assert page.input_value(".exo-control-first .exo-number") == "70"
    judged = page.inner_text(".exo-judged")
    assert "without the change" in judged
    assert "the result is “Up to 3.5 times as much”" in judged
    assert "Supply from the blood" in judged, "one sentence says why"
    axis = page.locator(".exo-plot svg text", has_text="time (h)").bounding_box()
    assert axis["y"] + axis["height"] <= 900, "the plot stands below the judgment, in sight"
    page.wait_for_selector(".exo-go:has-text('Finished')")
    someone.until_words(r"^After 24\.00 h")
    assert page.locator(".exo-pending").count() == 0, "the page shows the run with the value"
    assert someone.clock == 24, "at its end"


def test_a_judgment_is_seen_beside_its_plot(reader: Callable[..., Reader]) -> None:
    """The judgment is longest here; below the controls, the plot would be out of sight."""
    page = reader(width=1440, height=900).open("?scenario=chemotaxis").page
    page.click(".exo-answer >> nth=0")
    page.click(".exo-question .exo-strong")
    page.wait_for_selector(".exo-judged > .exo-note")
    page.wait_for_function(
        """() => [...document.querySelectorAll('.exo-right .exo-plot text')]
          .some(e => e.textContent === 'time (h)' && e.getBoundingClientRect().bottom <= innerHeight)"""
    )
    plot, control = (
        page.locator(f".exo-right {name}").first.bounding_box() for name in (".exo-plot", ".exo-control")
    )
    assert plot["y"] < control["y"]


def test_the_legend_has_deliveries_only_where_there_is_cargo(reader: Callable[..., Reader]) -> None:
    page = reader().open("?scenario=production").page
    page.wait_for_selector(".exo-legend:has-text('took up')")
    assert "cargo delivered" not in page.inner_text(".exo-legend")
    page.select_option(".exo-head select", FIRST)
    page.wait_for_selector(".exo-legend:has-text('cargo delivered')")


def test_go_moves_and_pause_stops(reader: Callable[..., Reader], record_property: Any) -> None:
    someone = reader().open()
    still = someone.picture()
    someone.go(frames=20)
    assert someone.picture() != still
    assert someone.clock > 0
    pressed, before = time.monotonic(), someone.frames
    someone.pause()
    record_property("pause_s", time.monotonic() - pressed)
    someone.page.wait_for_timeout(300)
    after, picture = someone.frames, someone.picture()
    assert after - before < 30
    someone.page.wait_for_timeout(500)
    assert someone.frames == after
    assert someone.picture() == picture
    someone.until_words(r"^After \d+ min: of [\d,]+ vesicles released")


def test_what_is_shown_is_what_the_model_says(reader: Callable[..., Reader]) -> None:
    someone = reader().open("?scenario=signaling&seed=4&hours=1&cell_type.recipient.uptake_rate=140")
    page = someone.page
    page.wait_for_function("document.querySelector('.exo-clock b').textContent === '1.00'")
    page.wait_for_selector(".exo-go:has-text('Go')")
    setup = first_setup("signaling", seed=4).changed({"cell_type.recipient.uptake_rate": "140"})
    model = ExosomeModel(setup.load(), seed=4)
    model.run(hours=1)
    assert someone.until_words("^After 1.00 h") == run_summary(model)
    assert page.input_value(f"{UPTAKE}-number") == "140"


def test_the_keyboard_does_it_all(reader: Callable[..., Reader]) -> None:
    someone = reader().open()
    page = someone.page
    page.keyboard.press("Space")
    page.wait_for_selector(".exo-go:has-text('Pause')")
    page.wait_for_function("window.exoabmFrames > 10")
    page.keyboard.press("Space")
    page.wait_for_selector(".exo-go:has-text('Go')")
    reached = someone.clock
    page.keyboard.press("s")
    page.wait_for_function(f"+document.querySelector('.exo-clock b').textContent >= {reached}")
    speed = page.locator(".exo-speed select")
    before = float(speed.input_value())
    page.keyboard.press("+")
    page.wait_for_function(f"+document.querySelector('.exo-speed select').value > {before}")
    page.keyboard.press("-")
    page.wait_for_function(f"+document.querySelector('.exo-speed select').value === {before}")
    page.keyboard.press("[")
    page.wait_for_selector(".exo-clock:has-text('recorded')")
    page.keyboard.press("r")
    page.wait_for_function("document.querySelector('.exo-clock b').textContent === '0.00'")


def test_shortcuts_are_listed_under_a_question_mark(reader: Callable[..., Reader]) -> None:
    page = reader().open().page
    page.wait_for_selector(".exo-hint:has-text('press Go')")  # the picture says what to do
    page.keyboard.press("?")
    page.wait_for_selector(".exo-keys:has-text('start again')")
    page.keyboard.press("Escape")
    page.wait_for_selector(".exo-keys", state="detached")


def test_motion_between_coarse_steps_is_interpolated(reader: Callable[..., Reader]) -> None:
    """A step of 600 s at 30 min a second is 3 frames of the model a second."""
    someone = reader().open("?scenario=disease_progression")
    page = someone.page
    page.get_by_label("Speed").select_option(label="30 min a second")
    someone.go(frames=3)
    page.wait_for_selector(".exo-clock:has-text('interpolated')")
    counts = "[window.exoabmFrames, window.exoabmPaints]"
    before = page.evaluate(counts)
    page.wait_for_timeout(2500)
    frames, paints = (after - start for start, after in zip(before, page.evaluate(counts), strict=True))
    assert paints >= 2 * max(frames, 1)
    someone.pause()
    page.wait_for_selector(".exo-clock:has-text('interpolated')", state="detached")


def test_names_of_the_page_and_of_commands_are_both_shown(reader: Callable[..., Reader]) -> None:
    page = reader().open("?scenario=production").page
    page.wait_for_selector(".exo-control label[title='cell_type.producer.ilvs_per_mvb']")
    assert page.locator(".exo-head select option:checked").inner_text().endswith("(production)")
    labels = page.locator(".exo-control label")
    assert "ilvs" not in " ".join(labels.all_inner_texts())
    assert labels.last.get_attribute("title") == "cell_type.producer.ilvs_per_mvb"
    assert "free[vesicle] / cells[producer]" in page.locator(".exo-plot figcaption").get_attribute("title")


def test_the_plot_opens_with_what_the_question_asks_for(reader: Callable[..., Reader]) -> None:
    someone = reader(width=390, height=844).open("?scenario=chemotaxis")
    page = someone.page
    chosen = page.locator(".exo-right .exo-pick option:checked").first
    assert chosen.inner_text() == "Mean distance of the followers from the leader"
    someone.go(frames=3)
    page.wait_for_function("document.querySelector('.exo-plot').__vue__.series[0].x.length > 1")
    ends = page.locator(".exo-plot").evaluate(
        "e => [...e.querySelectorAll('text')].map(t => t.getBoundingClientRect().right)"
        ".concat(e.getBoundingClientRect().right)"
    )
    assert max(ends) == ends[-1], "the name of the curve is not cut off"
    someone.pause()


def test_a_phone_shows_the_picture_while_a_slider_moves(reader: Callable[..., Reader]) -> None:
    page = reader(width=390, height=844).open().page
    page.locator(".exo-control-first").evaluate("e => e.scrollIntoView({ block: 'end' })")
    page.wait_for_timeout(200)
    picture, slider = (page.locator(s).first.bounding_box() for s in (".exo-view", UPTAKE))
    assert picture["y"] >= 0
    assert picture["y"] + picture["height"] <= slider["y"]


def test_recorded_frames_are_looked_back_on(reader: Callable[..., Reader]) -> None:
    someone = reader().open()
    page = someone.page
    handle = page.locator(".exo-timeline input")
    assert float(handle.input_value()) == 0, "nothing has run yet"
    someone.go(frames=30)
    someone.pause()
    page.wait_for_timeout(300)
    now, picture = someone.clock, someone.picture()
    assert abs(float(handle.input_value()) - now) < 0.01
    handle.evaluate("(e, t) => { e.value = t; e.dispatchEvent(new Event('input')); }", now / 3)
    page.wait_for_selector(".exo-clock:has-text('recorded')")
    page.wait_for_function(f"+document.querySelector('.exo-clock b').textContent < {now}")
    someone.until_another_picture(picture)
    page.wait_for_selector(".exo-words:has-text('(recorded)')")  # words tell the time of the picture
    page.click(".exo-live")
    page.wait_for_function(f"+document.querySelector('.exo-clock b').textContent === {now}")
    someone.until_picture(picture)
    asked = page.evaluate(
        """() => {
          const asked = [], seek = document.querySelector('.exo-player').__vue__.$options.methods.seek;
          const player = { times: [0, 1, 2], shown: 2.5 };
          Object.assign(player, { live: () => asked.push('now'), scrub: (i) => asked.push(i) });
          for (const value of [2.4, 1.5, 2.6]) seek.call(player, { value });
          return asked;
        }"""
    )
    assert asked == [2, 1, "now"], "back from now is the last frame, however near; forward from it is now"


def test_a_slider_is_pending_until_go(reader: Callable[..., Reader]) -> None:
    someone = reader().open()
    page = someone.page
    someone.go(frames=20)
    someone.pause()
    page.locator(UPTAKE).focus()
    page.keyboard.press("End")
    page.wait_for_selector(".exo-pending:has-text('running with 14')")
    assert page.input_value(f"{UPTAKE}-number") == "600"
    page.wait_for_selector(".exo-go:has-text('Go with new values')")
    page.click(".exo-pending button")
    page.wait_for_selector(".exo-pending", state="detached")
    page.fill(f"{UPTAKE}-number", "0.2 /min*um^3")
    page.keyboard.press("Tab")
    page.wait_for_selector(".exo-pending")
    page.fill(f"{UPTAKE}-number", "140")
    page.keyboard.press("Tab")
    page.click(".exo-go:has-text('Go with new values')")
    page.wait_for_selector(".exo-pending", state="detached")
    page.wait_for_selector(".exo-go:has-text('Pause')")
    assert page.input_value(f"{UPTAKE}-number") == "140"


def test_the_other_controls_open_in_sight_under_headings(reader: Callable[..., Reader]) -> None:
    page = reader(width=1440).open().page
    first = page.locator(".exo-control-first").bounding_box()
    page.click("button:has-text('More controls')")
    page.wait_for_selector(".exo-group")
    box = page.locator(".exo-group").first.bounding_box()
    assert box["y"] + box["height"] <= 900, "above the fold"
    assert page.locator(".exo-control-first").bounding_box() == first, "nothing jumps"
    page.click("summary:has-text('Cells: donor')")
    page.locator("#control-cell-type-donor-diameter").focus()
    page.keyboard.press("End")
    page.wait_for_selector("summary:has-text('Cells: donor'):has-text('1 changed')")
    assert page.is_visible("#control-cell-type-donor-diameter")
    page.wait_for_selector(".exo-go:has-text('Go with new values')")


def test_what_cannot_be_a_value_is_said_beside_it(reader: Callable[..., Reader]) -> None:
    someone = reader().open()
    page = someone.page
    page.fill(f"{UPTAKE}-number", "<img src=x onerror=alert(1)>")
    page.keyboard.press("Tab")
    page.wait_for_selector(".exo-problem")
    page.fill(f"{UPTAKE}-number", "-3")
    page.keyboard.press("Tab")
    page.wait_for_selector(".exo-problem:has-text('outside the allowed 0 to 1e+06')")
    assert page.locator(".exo-pending").count() == 0
    page.click(".exo-control-first .exo-why")
    about = page.inner_text(".exo-control-first .exo-about")
    assert "1 to 600 µm³/s" in about
    assert "Bonsergent" in about
    page.fill(f"{UPTAKE}-number", "20")
    page.keyboard.press("Tab")
    page.wait_for_selector(".exo-problem", state="detached")


def test_a_refused_model_is_forgotten_after_a_valid_value(reader: Callable[..., Reader]) -> None:
    page = reader().open().page
    count = "#control-layout-group-recipient-count-number"
    page.fill(count, "30000")
    page.keyboard.press("Tab")
    page.click(".exo-go:has-text('Go with new values')")
    page.wait_for_selector(".exo-trouble")
    page.fill(count, "200")
    page.keyboard.press("Tab")
    page.wait_for_selector(".exo-trouble", state="detached")


def test_reset_starts_the_same_run_again(reader: Callable[..., Reader]) -> None:
    someone = reader().open()
    page = someone.page
    start = someone.picture()
    for _ in range(3):
        page.keyboard.press("s")
    page.wait_for_function("document.querySelector('.exo-clock b').textContent === '0.01'")
    someone.until_another_picture(start)
    page.click("[aria-label='Start again']")
    page.wait_for_function("document.querySelector('.exo-clock b').textContent === '0.00'")
    someone.until_picture(start)


def test_a_clicked_cell_has_a_summary(reader: Callable[..., Reader]) -> None:
    someone = reader().open("?scenario=signaling&seed=1&hours=2")
    page = someone.page
    page.wait_for_function("document.querySelector('.exo-clock b').textContent === '2.00'")
    page.wait_for_selector(".exo-go:has-text('Go')")
    page.wait_for_timeout(300)
    plain = someone.picture()
    birth, x, y = someone.cell_at("donor")
    page.click("button:has-text('More controls')")
    page.wait_for_selector(".exo-group")
    tabs = page.locator(".exo-views").bounding_box()
    page.mouse.click(x, y)
    page.wait_for_selector(f".exo-cell h2:has-text('donor {birth}')")
    assert page.locator(".exo-views").bounding_box() == tabs, "nothing jumps"
    assert page.locator(".exo-group").count() > 3, "what was opened stays open"
    assert re.search(r"Taken up by \d+ cells: \d+ in all", page.inner_text(".exo-cell"))
    card, controls = (page.locator(s).first.bounding_box() for s in (".exo-cell", ".exo-controls"))
    assert card["y"] + card["height"] <= controls["y"], "the card covers no slider"
    rows = page.locator(".exo-cell tbody tr").count()
    assert 1 <= rows <= 8
    someone.until_another_picture(plain)  # its edges light up
    page.locator(".exo-view").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"!document.querySelector('.exo-cell h2').textContent.includes('donor {birth}')")
    page.keyboard.press("Escape")
    page.wait_for_selector(".exo-cell", state="detached")
    assert page.locator(".exo-group").count() > 3


def test_zoom_drag_and_show_all(reader: Callable[..., Reader]) -> None:
    someone = reader().open()
    page = someone.page
    whole, bar = someone.picture(), page.inner_text(".exo-bar")
    for _ in range(3):
        page.click("[aria-label='Zoom in']")
    page.wait_for_function(f"document.querySelector('.exo-bar').innerText !== {bar!r}")
    near = someone.picture()
    box = page.locator(".exo-view").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 80, y + 40, steps=4)
    page.mouse.up()
    someone.until_another_picture(near, whole)
    assert page.locator(".exo-cell").count() == 0, "a drag is not a click"
    page.click("[aria-label='Show all']")
    someone.until_picture(whole)


def test_layers_and_the_scale(reader: Callable[..., Reader]) -> None:
    someone = reader().open("?scenario=signaling&seed=1&hours=1")
    page = someone.page
    page.wait_for_function("document.querySelector('.exo-clock b').textContent === '1.00'")
    page.wait_for_selector(".exo-go:has-text('Go')")
    page.wait_for_timeout(300)
    dots = someone.picture()
    page.click(".exo-toggle:has-text('concentration')")
    page.wait_for_selector(".exo-scale:has-text('vesicles/mL')")
    both = someone.until_another_picture(dots)
    page.click(".exo-toggle:has-text('vesicles')")
    page.wait_for_selector(".exo-toggle[aria-pressed=false]:has-text('vesicles')")
    someone.until_another_picture(dots, both)
    page.click(".exo-scale button:has-text('automatic')")
    page.wait_for_selector(".exo-scale button[aria-pressed=true]:has-text('fixed')")


def test_the_field_instead_of_dots(reader: Callable[..., Reader]) -> None:
    someone = reader().open("?scenario=signaling&transport.engine=continuum&hours=0.5")
    page = someone.page
    page.wait_for_function("document.querySelector('.exo-clock b').textContent === '0.50'")
    assert page.locator(".exo-toggle:has-text('vesicles')").count() == 0
    page.wait_for_selector(".exo-scale:has-text('vesicles/mL')")
    page.wait_for_selector(".exo-words:has-text(', in expected numbers: of ')")


def test_every_scenario_runs_from_the_menu_and_has_its_page(reader: Callable[..., Reader]) -> None:
    someone = reader().open()
    page, opening = someone.page, "document.documentElement.classList.contains('exo-opening')"
    page.evaluate(
        f"""() => {{ window.hidden = 0; new MutationObserver(() => {{ window.hidden += {opening}; }})
        .observe(document.documentElement, {{ attributeFilter: ['class'] }}); }}"""
    )
    for scenario in sorted(set(shipped()) - {FIRST}):
        sentence = page.inner_text(".exo-sentence")
        page.select_option(".exo-head select", scenario)
        page.wait_for_function(
            "was => document.querySelector('.exo-sentence').textContent !== was", arg=sentence
        )
        page.wait_for_function("document.querySelector('.exo-clock b').textContent === '0.00'")
        page.wait_for_function(f"!{opening}")
        someone.go(frames=3)
        assert page.locator(".exo-trouble").count() == 0, scenario
        assert [heading for heading, _ in sections(scenario)] == HEADINGS, scenario
    assert page.evaluate("window.hidden") == len(shipped()) - 1, (
        "what was shown is hidden until the next opens"
    )
    page.get_by_role("tab", name="Read").click()
    page.wait_for_selector(".exo-part")
    assert page.locator(".exo-part summary").all_inner_texts() == HEADINGS


def test_an_error_is_a_card_and_the_last_good_state_stays(reader: Callable[..., Reader]) -> None:
    someone = reader().open(
        "?scenario=signaling&clock.step=60&layout.group.donor.count=28&cell_type.donor.release_rate=30000"
    )
    page = someone.page
    page.click(".exo-go")
    page.wait_for_selector(".exo-trouble:has-text('this run follows up to 200,000')")
    page.wait_for_selector(".exo-go:has-text('Go')")
    someone.until_words(r"of [\d,]+ vesicles released")
    page.fill("#control-cell-type-donor-release-rate-number", "60")
    page.keyboard.press("Tab")
    page.click(".exo-go:has-text('Go with new values')")
    page.wait_for_selector(".exo-trouble", state="detached")
    page.wait_for_function("+document.querySelector('.exo-clock b').textContent > 0")


def test_obstacles_are_drawn(small: Server, reader: Callable[..., Reader]) -> None:
    someone = reader(small).open()
    someone.page.wait_for_selector(".exo-legend:has-text('obstacle')")
    look = """() => { const c = document.querySelector('.exo-canvas'), g = c.getContext('2d');
      return [...g.getImageData(c.width / 2, c.height - 3, 1, 1).data] }"""
    assert someone.page.evaluate(look) == [180, 188, 195, 255]
    assert someone.page.locator(".exo-head select option:checked").inner_text() == "walled"
