"""The page on screens of every width, in light and dark: nothing is cut, and nothing jumps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.browser.conftest import Reader

FIRST = "signaling"


@pytest.mark.parametrize("size", [(1280, 720), (1024, 768), (768, 1024)], ids=str)
def test_the_first_minute_fits_on_laptop_and_tablet(
    size: tuple[int, int], reader: Callable[..., Reader]
) -> None:
    page = reader(width=size[0], height=size[1]).open().page
    for scenario, words in ((FIRST, "Donor cells"), ("relay", "Source cells")):
        page.select_option(".exo-head select", scenario)
        # A strip leaves room below itself, and the plot stands there.
        where = ".exo-left" if scenario == "relay" else ".exo-right"
        page.wait_for_selector(f"{where} .exo-plot")
        page.wait_for_function(  # parts of the scenario before may still be replaced
            """([sentence, height]) => {
              const names = ['.exo-sentence', '.exo-view', '.exo-go', '.exo-words'];
              const parts = names.map(name => document.querySelector(name)), written = '.exo-plot text';
              const axes = [...document.querySelectorAll(written)].filter(e => e.textContent === 'time (h)');
              parts.push(axes[0]);
              return parts.every(e => e && e.getBoundingClientRect().bottom <= height)
                && parts[0].textContent.includes(sentence); }""",
            arg=[words, size[1]],
        )


def test_the_plot_below_a_long_question_is_in_sight(reader: Callable[..., Reader]) -> None:
    page = reader(width=1024, height=768).open().page
    for scenario, words in (
        ("competition", "Silence the rivals"),
        ("hidden_donors", "Shorten their half-life"),
    ):
        page.select_option(".exo-head select", scenario)
        page.wait_for_selector(f".exo-question:has-text('{words}')")
        page.wait_for_function(
            "() => document.querySelector('.exo-plot')?.getBoundingClientRect().bottom <= innerHeight"
        )


def test_light_and_dark_are_remembered(reader: Callable[..., Reader]) -> None:
    someone = reader(color_scheme="dark").open()
    page = someone.page
    page.wait_for_selector(".theme--dark .exo")
    dark = someone.picture()
    page.click("[aria-label='Switch to light colors']")
    page.wait_for_selector(".theme--light .exo")
    someone.until_another_picture(dark)
    someone.open()
    page.wait_for_selector(".theme--light .exo")


@pytest.mark.parametrize("width", [390, 1920])
def test_nothing_is_wider_than_the_screen_and_nothing_jumps(
    width: int, reader: Callable[..., Reader]
) -> None:
    someone = reader(width=width, height=844).open()
    page = someone.page
    wide = "document.documentElement.scrollWidth <= window.innerWidth"
    assert page.evaluate(wide)
    someone.go(frames=5)
    uncovered = """() => { const b = document.querySelector('.exo-canvas').getBoundingClientRect();
      return [0, 1, 2, 3, 4, 5].every(i => [0, 1, 2, 3, 4, 5].every(j => {
        const at = (low, size, k) => low + 8 + (k / 5) * (size - 16);
        const seen = document.elementFromPoint(at(b.x, b.width, i), at(b.y, b.height, j));
        return seen.className === 'exo-canvas'; })); }"""
    assert page.evaluate(uncovered), "no button or scale bar lies over cells"
    page.wait_for_timeout(700)
    parts = "['.exo-view', '.exo-player', '.exo-controls', '.exo-plot']"
    places = f"{parts}.map(s => document.querySelector(s).getBoundingClientRect().top)"
    before = page.evaluate(places)
    page.wait_for_timeout(1500)
    assert page.evaluate(places) == before
    assert page.evaluate(wide)


def test_no_view_is_wider_than_a_phone(reader: Callable[..., Reader]) -> None:
    """Comparing was: its buttons stood in one row, whatever room there was."""
    page = reader(width=390, height=844).open().page
    for tab in ("Links", "Compare", "Read", "Lessons", "Files", "Try it"):
        page.locator(".exo-tab", has_text=tab).click()
        page.wait_for_selector(f".exo-tab[aria-selected=true]:has-text('{tab}')")
        page.wait_for_timeout(600)
        assert page.evaluate("document.documentElement.scrollWidth") == 390, tab


def test_tabs_stay_in_one_row_at_every_width(reader: Callable[..., Reader]) -> None:
    page = reader().open().page
    fits = """() => {
      const row = document.querySelector('.exo-views');
      const tabs = [...row.children].map(e => e.getBoundingClientRect());
      const inside = tabs.at(-1).right <= row.getBoundingClientRect().right + 0.5;
      const whole = document.documentElement.scrollWidth <= window.innerWidth;
      return new Set(tabs.map(t => t.top)).size === 1 && inside && whole; }"""
    for width in (390, 480, 700, 981, 1100, 1280, 1440, 1920):
        page.set_viewport_size({"width": width, "height": 844})
        page.wait_for_timeout(60)
        assert page.evaluate(fits), width
