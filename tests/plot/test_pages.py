"""Pages hold all their words inside, none over another, for few and many types and long names."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from exoabm import plot
from exoabm.errors import InputError
from exoabm.plot.causal import label_points
from exoabm.plot.curves import curve_page, tidy, write_names
from exoabm.plot.figure_page import Page, styled
from exoabm.plot.maps import Cells, Links, map_page
from exoabm.plot.matrices import Panel, matrix_page
from exoabm.plot.networks import ring_page
from exoabm.plot.scales import label_ticks
from exoabm.text_formatting import MINUS

LONG = "a_cell_type_whose_name_has_very_many_letters"
NAMES = [LONG, "tumor", "CD8-T-cell", "B", "macrophage_M1", "macrophage_M2", *(f"type_{i}" for i in range(6))]
SAID = {"heading": "Vesicles taken up in 24 h", "caption": "signaling, seed 1, n = 1 run. exoabm."}


def numbers(n: int, panels: int) -> np.ndarray:
    """Amounts over five orders of magnitude, and a zero."""
    amounts = 10 ** np.random.default_rng(n).uniform(0, 5, (panels, n, n))
    amounts[:, 0, -1] = 0
    return amounts


def matrices(n: int, panels: int, width: float | None = None) -> Page:
    drawn = [Panel(f"donor.release_rate = {i} / h", a, 0.1 * a) for i, a in enumerate(numbers(n, panels))]
    return matrix_page(drawn, NAMES[:n], NAMES[:n], unit="vesicles taken up", width=width, **SAID)


def rings(n: int, panels: int, width: float | None = None) -> Page:
    drawn = [(f"donor.release_rate = {i} / h", a) for i, a in enumerate(numbers(n, panels))]
    return ring_page(drawn, NAMES[:n], unit="vesicles taken up", colors={}, width=width, **SAID)


def curves(n: int, panels: int, width: float | None = None) -> Page:
    titles = [f"arm {i}" for i in range(panels)]
    label = "vesicles taken up per cell"
    page = curve_page(titles, NAMES[:n], ["8,000"], label=label, width=width, **SAID)
    for ax in page.panels:
        found = {
            name: (np.linspace(0, 8000 / (i + 1), 5), np.full(5, np.nan)) for i, name in enumerate(NAMES[:n])
        }
        plot.courses(np.arange(5.0), found, unit=label, legend=False, ax=ax)
    tidy(page)
    write_names(page.panels[page.grid.columns - 1])
    return page


def maps(n: int, panels: int, width: float | None = None) -> Page:
    at = np.random.default_rng(n).uniform(-500, 500, (40, 3))
    cells = Cells(at, np.full(40, 15.0), [NAMES[i % n] for i in range(40)])
    links = Links(np.arange(20), at[20:] - at[:20], np.arange(1.0, 21))
    return map_page(cells, links, unit="vesicles taken up", colors={}, width=width, **SAID)


def faults(figure: Figure) -> list[str]:
    """Words that lie out of the page, and pairs of words that touch, slanted ones aside."""
    drawn: list[Text] = []
    with pytest.MonkeyPatch.context() as patch:
        draw = Text.draw
        patch.setattr(Text, "draw", lambda self, renderer: drawn.append(self) or draw(self, renderer))
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    renderer, page = canvas.get_renderer(), figure.bbox
    found, boxes = [], []
    for text in drawn:
        if not text.get_visible() or not text.get_text().strip():
            continue
        box = text.get_window_extent(renderer)
        inside = page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
        if not inside:
            found.append(f"out of the page: {text.get_text()!r}")
        if text.get_rotation() in (0.0, 90.0):
            boxes.append((text.get_text(), box.padded(-0.5)))
    found += [f"{a!r} on {b!r}" for (a, x), (b, y) in combinations(boxes, 2) if x.overlaps(y)]
    return found


@pytest.mark.parametrize("make", [matrices, rings, curves, maps])
@pytest.mark.parametrize(("n", "panels"), [(2, 1), (5, 4), (12, 1)])
def test_all_words_are_on_the_page_and_none_on_another(
    make: Callable[..., Page], n: int, panels: int
) -> None:
    with styled():
        page = make(n, panels)
        assert faults(page.figure) == []


@pytest.mark.parametrize(("most", "power", "number"), [(1.5e6, "10⁶", "1.5"), (99_000, "", "99,000")])
def test_a_power_of_ten_is_told_where_there_is_no_scale(most: float, power: str, number: str) -> None:
    with styled():
        drawn = [Panel("", np.array([[most]]), np.array([[np.nan]]))]
        page = matrix_page(drawn, ["dose"], ["tumor"], unit="particles", **SAID)
    said = [text.get_text() for text in page.figure.findobj(Text)]
    assert number in said
    assert SAID["heading"] + (f"; numbers in {power}" if power else "") in said


RAISED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def value_of(text: str) -> float:
    """The number that a reader finds in a text such as ``2.5×10⁷`` or ``98,907``."""
    digits, times, power = text.replace(",", "").replace(MINUS, "-").partition("×10")
    if not times and digits.startswith("10") and set(digits[2:]) & set("⁻⁰¹²³⁴⁵⁶⁷⁸⁹"):
        digits, power = "1", digits[2:]
    return float(digits) * 10.0 ** int(power.translate(RAISED) or 0)


@pytest.mark.parametrize("most", [0.004, 0.3, 98_907.0, 99_999.6, 100_000.0, 238_503.8, 2.5e7, 3e8])
def test_fields_of_a_matrix_times_the_power_in_its_title_are_the_table(most: float) -> None:
    amounts = most / np.array([[1.0, 12.34], [5678.9, 0.3e9]])
    for ax in (
        plot.matrix(amounts, ["a", "b"], ["a", "b"], unit="vesicles taken up"),
        matrix_page(
            [Panel("", amounts, amounts / 10)], ["a", "b"], ["a", "b"], unit="vesicles", **SAID
        ).panels[0],
    ):
        title = ax.get_title() or ax.figure.texts[0].get_text()
        power = value_of(title.partition("numbers in ")[2] or "1")
        shown = [value_of(text.get_text().partition("\n")[0]) * power for text in ax.texts]
        np.testing.assert_allclose(shown, amounts.ravel(), rtol=5.1e-3)


@pytest.mark.parametrize("low", [0.0, -2e-12, 1.0, 100.0, 1e5, 1e7, 3e8])
@pytest.mark.parametrize("width", [1e-12, 2e-3, 0.6, 1.0, 30.0, 4e5, 3e8])
def test_ticks_are_what_they_say(low: float, width: float) -> None:
    width = max(width, 1e-9 * abs(low))  # closer floating point numbers are not read
    ax = Figure().subplots()
    ax.set_ylim(low, low + width)
    label_ticks(ax.yaxis)
    ticks = [tick for tick in ax.get_yticks() if low <= tick <= low + width]
    said = [value_of(text) for text in ax.yaxis.get_major_formatter().format_ticks(ticks)]
    np.testing.assert_allclose(said, ticks, atol=1e-6 * width, rtol=0)
    assert len(ticks) > 1


@pytest.mark.parametrize("make", [matrices, rings, curves, maps])
def test_a_width_that_is_too_small_is_refused_with_one_that_does(make: Callable[..., Page]) -> None:
    with styled():
        with pytest.raises(InputError, match=r"--width-mm 20: .* take (\d+) mm") as refused:
            make(5, 2, 20.0)
        enough = float(str(refused.value).split(" take ")[1].split()[0])
        page = make(5, 2, enough)
        assert page.figure.get_figwidth() * 25.4 == pytest.approx(enough)


def test_words_on_words_are_seen() -> None:
    figure = Figure(figsize=(3, 2))
    figure.text(0.5, 0.5, "one")
    figure.text(0.52, 0.5, "two")
    figure.text(0.95, 0.1, "out of the page")
    assert faults(figure) == ["out of the page: 'out of the page'", "'one' on 'two'"]


def test_each_figure_draws_into_the_axes_that_it_is_given() -> None:
    """And makes a figure where it is given none."""
    square, two = np.array([[1.0, 2.0], [3.0, 0.0]]), (np.array([1.0, 2.0]), np.array([0.1, 0.2]))
    cells = Cells(np.array([[0.0, 0, 0], [30, 30, 0]]), np.array([15.0, 15.0]), ["a", "b"])
    one = Links(np.array([0]), np.array([[30.0, 30.0, 0.0]]), np.array([3.0]))
    for draw in (
        lambda ax: plot.matrix(square, ["a", "b"], ["a", "b"], half=square / 10, ax=ax),
        lambda ax: plot.network(square, ["a", "b"], ax=ax),
        lambda ax: plot.courses(np.array([0.0, 1.0]), {"a": two}, ax=ax),
        lambda ax: plot.distances(np.array([0.0, 10.0, 20.0]), {"a": two}, ax=ax),
        lambda ax: plot.links(cells, one, ax=ax),
    ):
        ax = Figure().subplots()
        assert draw(ax) is ax
        assert ax.has_data() or ax.patches
        assert draw(None).figure is not ax.figure


def test_names_of_close_points_stand_apart() -> None:
    points = np.array([[0.1, 0.06], [0.105, 0.062], [0.104, 0.055], [0.045, 0.05], [0.55, 0.72]])
    with styled():
        ax = Figure((3, 2)).subplots()
        ax.set(xlim=(-0.05, 0.6), ylim=(-0.06, 0.78))
        written = label_points(ax, points, ["CD8_pos", "FoxP3_pos", "CD4_pos", "macrophage", "tumor_cell"])
        FigureCanvasAgg(ax.figure).draw()
    boxes = [Text.get_window_extent(text) for text in written]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert not any(box.contains(*at) for box in boxes for at in ax.transData.transform(points))
    inside = ax.get_window_extent().padded(1)
    assert all(inside.contains(*corner) for box in boxes for corner in box.corners())
    joined = [text.arrow_patch is not None for text in written]
    assert not joined[-1], "one that is alone stands beside its point"
    assert any(joined)
