"""The picture of a run: it shows what the state holds, to scale, in words that do not collide."""

from __future__ import annotations

import struct
import warnings
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.text import Text

import exoabm as xo
from exoabm.analysis.communication import PER_ML, type_matrix
from exoabm.plot import palette
from exoabm.plot.palette import Role
from exoabm.plot.run_figure import DPI, build_figure, draw_preview
from exoabm.plot.run_figure.time_course import Readout
from exoabm.plot.run_figure.tissue import tapers
from exoabm.text_formatting import number

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


HEAD = """
schema_version = 1
[info]
title = "Test"
[domain]
size = {size}
voxel = "10 um"
thickness = "10 um"
{domain}
[clock]
step = "60 s"
duration = "1 h"
[transport]
provenance = "{provenance}"
[[cargo]]
name = "load"
role = "{role}"
[[vesicle]]
name = "exosome"
cargo = ["load"]
"""


SENDS = 'releases = "exosome"\nrelease_rate = "600 / h"'


TAKES = 'takes_up = ["exosome"]'


WASTE = f'{TAKES}\n[cell_type.waste]\nvesicle = "exosome"'


def scenario(
    *types: tuple[str, int, str],
    size: str = '["200 um", "160 um"]',
    domain: str = "",
    provenance: str = "cell_type",
    role: str = "signal",
) -> str:
    """A scenario of (name, cells, mechanisms), the cells placed at random."""
    head = HEAD.format(size=size, domain=domain, provenance=provenance, role=role)
    groups = [
        f'[[layout.group]]\ncell_type = "{n}"\ncount = {c}\narrange = "overlapping"' for n, c, _ in types
    ]
    bodies = [f'[[cell_type]]\nname = "{n}"\n{body}' for n, _, body in types]
    return "\n".join([head, *groups, *bodies])


VOLUME = '["120 um", "120 um", "100 um"]'


MANY = [(f"type_{i:02d}_with_a_long_name", 2 + i, SENDS if i % 3 == 0 else TAKES) for i in range(25)]


SCENARIOS = {
    "usual": scenario(("donor", 3, SENDS), ("near", 30, TAKES), ("far", 70, TAKES)),
    "plenty": scenario(("donor", 5, SENDS.replace("600", "300000")), ("taker", 30, TAKES)),
    "wide": scenario(("donor", 40, SENDS), ("taker", 300, TAKES), size='["4000 um", "3000 um"]'),
    "network": scenario(("donor", 3, SENDS), ("taker", 60, TAKES), provenance="cell"),
    "one cell": scenario(("donor", 1, SENDS)),
    "one cell that does both": scenario(("loner", 1, f"{SENDS}\n{TAKES}"), provenance="cell"),
    "no donors": scenario(("taker", 20, TAKES)),
    "no recipients": scenario(("donor", 2, SENDS), ("bystander", 9, "")),
    "nothing but bystanders": scenario(("bystander", 5, "")),
    "all do both": scenario(("a", 30, f"{SENDS}\n{TAKES}"), ("b", 9, f"{SENDS}\n{TAKES}")),
    "volume": scenario(("donor", 5, SENDS), ("taker", 200, TAKES), size=VOLUME, provenance="cell"),
    "long": scenario(("donor", 2, SENDS), ("taker", 20, TAKES), size='["1200 um", "40 um"]'),
    "tall": scenario(("donor", 2, SENDS), ("taker", 20, TAKES), size='["40 um", "1200 um"]'),
    "25 types": scenario(*MANY),
    "waste": scenario(("sick", 10, WASTE), ("well", 20, f"{WASTE}\nproduction = 0"), role="waste"),
    "reservoir": scenario(
        ("taker", 40, TAKES), domain='faces = {x_low = {concentration = "1e9 / mL"}, x_high = "open"}'
    ),
    "obstacle": scenario(
        ("donor", 1, 'diameter = "12 um"\n' + SENDS),
        domain='[[domain.zone]]\nname = "wall"\nlow = ["90 um", "0 um"]\nhigh = ["110 um", "100 um"]\n'
        "obstacle = true",
    ),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., xo.ExosomeModel]:
    """Build a model of ``SCENARIOS`` and run it, once each."""
    made: dict[tuple[str, float], xo.ExosomeModel] = {}
    folder = tmp_path_factory.mktemp("scenarios")

    def make(name: str, hours: float = 0.5) -> xo.ExosomeModel:
        if (name, hours) not in made:
            file = folder / f"{name.replace(' ', '_')}.toml"
            file.write_text(SCENARIOS[name], encoding="utf-8")
            made[name, hours] = model = xo.ExosomeModel(file, seed=1)
            if hours:
                model.run(hours=hours)
        return made[name, hours]

    return make


def figure_of(model: xo.ExosomeModel, **options: Any) -> Figure:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = build_figure(model.state, model.metrics.to_dict("records"), **options)
        FigureCanvasAgg(figure).draw()
    return figure


def panel(figure: Figure, label: str) -> Axes:
    (ax,) = (a for a in figure.axes if a.get_label() == label)
    return ax


def collisions(figure: Figure) -> list[str]:
    """Pairs of texts that overlap, and texts that leave the figure; tick labels included."""
    undrawn = {
        id(text)
        for ax in figure.axes
        for axis in (ax.xaxis, ax.yaxis)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        for text in tick.findobj(Text)
        if not shown_tick(ax, text)
    }
    boxes = []
    for text in figure.findobj(Text):
        box = text.get_window_extent()
        if text.get_text().strip() and text.get_visible() and box.width > 0 and id(text) not in undrawn:
            boxes.append((text.get_text(), box, text.get_rotation() % 90))
    out = [words for words, box, _ in boxes if box.x0 < 0 or box.y0 < 0 or box.x1 > 1600 or box.y1 > 1200]
    for (a, box_a, turn_a), (b, box_b, turn_b) in combinations(boxes, 2):
        # Slanted labels lie side by side where their upright boxes overlap.
        if not (turn_a and turn_b) and box_a.padded(-1.5).overlaps(box_b.padded(-1.5)):
            out.append(f"{a!r} on {b!r}")
    return out


def shown_tick(ax: Axes, text: Text) -> bool:
    """Whether a tick's label is drawn: its tick lies within the limits."""
    for axis, limits in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
        low, high = sorted(limits)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if text is tick.label1 or text is tick.label2:
                slack = 1e-9 * (high - low)
                return bool(low - slack <= tick.get_loc() <= high + slack)
    return False


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("hours", [0, 0.5])
def test_every_run_has_a_picture_without_warnings_or_colliding_words(
    run: Callable[..., xo.ExosomeModel], name: str, hours: float
) -> None:
    """At the start and later, with and without donors, recipients, depth, waste, walls."""
    figure = figure_of(run(name, hours), title=f"The title, {name}", threshold=1e-4)
    assert not collisions(figure)
    for ax in figure.axes:
        assert np.isfinite([*ax.get_xlim(), *ax.get_ylim()]).all()


def test_collisions_are_seen(run: Callable[..., xo.ExosomeModel]) -> None:
    """The check above fails on a text put over another, and on one outside."""
    figure = figure_of(run("usual"))
    figure.text(0.03, 0.955, "over the title", fontsize=12)
    figure.text(0.99, 0.5, "far too far to the right", fontsize=12)
    FigureCanvasAgg(figure).draw()
    assert len(collisions(figure)) >= 2


def test_png_has_its_size_and_is_reproducible(run: Callable[..., xo.ExosomeModel], tmp_path: Path) -> None:
    model = run("usual")
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    for file in files:
        draw_preview(model.state, model.metrics.to_dict("records"), file, title="Test")
    data = files[0].read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (1600, 1200)
    assert data == files[1].read_bytes()


def test_drawing_changes_nothing(run: Callable[..., xo.ExosomeModel]) -> None:
    state = run("network").state
    arrays = (state.trafficking.taken_up, state.cells.position, *state.fields)
    before = [a.copy() for a in arrays]
    figure_of(run("network"))
    for old, new in zip(before, arrays, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("title", ["$x^2$ _ \\alpha {", "标题 EV", "a\nb\tc", "long " * 40, ""])
def test_titles_are_plain_text(run: Callable[..., xo.ExosomeModel], title: str) -> None:
    """No title is read as markup, none warns of a missing letter, none runs off the picture."""
    assert not collisions(figure_of(run("one cell"), title=title))


def test_rows_of_the_matrix_send(run: Callable[..., xo.ExosomeModel]) -> None:
    """1 donor type and 2 recipient types cannot be mistaken for their transpose."""
    model = run("usual")
    ax = panel(figure_of(model), "links")
    drawn = np.asarray(ax.images[0].get_array())
    matrix = type_matrix(model.state)
    columns = [matrix.recipients.index(n) for n in ("near", "far")]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["donor"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["near", "far"]
    np.testing.assert_allclose(drawn, matrix.shares()[:, columns])
    assert drawn.sum() == pytest.approx(1.0)
    words = [t.get_text() for t in ax.texts]
    assert [float(w.split("\n")[1].replace(",", "")) for w in words] == pytest.approx(
        list(matrix.values[0, columns]), rel=0.01
    )


def test_folded_matrix_keeps_every_vesicle(run: Callable[..., xo.ExosomeModel]) -> None:
    """25 types become at most 8 rows and columns; rows still sum to the whole."""
    model = run("25 types")
    drawn = np.asarray(panel(figure_of(model), "links").images[0].get_array())
    assert max(drawn.shape) <= 8
    np.testing.assert_allclose(drawn.sum(axis=1), 1.0)


def test_links_start_at_donors(run: Callable[..., xo.ExosomeModel]) -> None:
    """The broad end of every link is a donor's center, the fine end a recipient's."""
    model = run("network")
    ax = panel(figure_of(model), "links")
    wedges = next(c for c in ax.collections if c.get_label() == "links").get_paths()
    names, position = model.state.type_names(), model.state.cells.position[:, :2]
    assert 0 < len(wedges) <= 300
    for wedge in wedges:
        shape = wedge.vertices[:26]
        ends = [0.5 * (shape[0] + shape[-1]), 0.5 * (shape[12] + shape[13])]
        nearest = [np.linalg.norm(position - e, axis=1) for e in ends]
        assert [names[d.argmin()] for d in nearest] == ["donor", "taker"]
        assert max(d.min() for d in nearest) < 1e-6
        assert np.linalg.norm(shape[0] - shape[-1]) > 3 * np.linalg.norm(shape[12] - shape[13])


def test_a_link_between_cells_in_one_place_has_no_area() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        at, along = tapers(np.zeros((2, 2)), np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([2.0, 2.0]))
    assert not at.any()
    assert np.linalg.norm(along[0] - along[-1]) == pytest.approx(2.0)


def test_cells_are_to_scale(run: Callable[..., xo.ExosomeModel]) -> None:
    """The area of a mark is that of the cell, within 1 %; an error of 5 % in the diameter shows."""
    model = run("usual")
    ax = panel(figure_of(model), "tissue")
    scale = ax.bbox.width / np.diff(ax.get_xlim())[0]
    assert ax.bbox.height / np.diff(ax.get_ylim())[0] == pytest.approx(scale)
    marks = [c for c in ax.collections if isinstance(c, PathCollection)]
    assert {c.get_label() for c in marks} == {"donor", "near", "far"}
    for mark in marks:
        x, y = mark.get_paths()[0].vertices.T
        shape = 0.5 * abs(np.dot(x[:-1], y[1:]) - np.dot(y[:-1], x[1:]))
        drawn = shape * mark.get_sizes()[0] * (DPI / 72) ** 2
        diameter = next(t.diameter for t in model.state.types if t.name == mark.get_label())
        true = np.pi / 4 * (diameter * scale) ** 2
        assert drawn == pytest.approx(true, rel=0.01)
        assert drawn != pytest.approx(np.pi / 4 * (1.05 * diameter * scale) ** 2, rel=0.01)


def test_concentration_is_that_of_the_field(run: Callable[..., xo.ExosomeModel]) -> None:
    """The color scale ends at the highest concentration of the plane shown, in vesicles per mL."""
    for name in ("usual", "volume"):
        state = run(name).state
        image = panel(figure_of(run(name)), "tissue").images[0]
        free = state.fields[0].sum(axis=0)
        if name == "volume":
            heights = np.sort(state.cells.position[state.labels.of_cell >= 0, 2])
            free = free[int(heights[2] // 10)]
        assert image.norm.vmax == pytest.approx(free.max() / state.domain.voxel_volume * PER_ML)


def test_stacked_places_add_up_to_the_emitted(run: Callable[..., xo.ExosomeModel]) -> None:
    """The top of the stack is what was emitted, at all times; a place left out would show."""
    model = run("usual")
    rows = model.metrics.to_dict("records")
    ax = panel(figure_of(model), "places")
    areas = {c.get_label(): c.get_paths()[0].vertices for c in ax.collections}
    end = max(v[v[:, 0] == rows[-1]["time_h"], 1].max() for v in areas.values())
    assert end == pytest.approx(rows[-1]["emitted[exosome]"], rel=1e-6)
    free = areas["free"]
    at_end = free[free[:, 0] == rows[-1]["time_h"], 1]
    assert np.ptp(at_end) == pytest.approx(rows[-1]["free[exosome]"], rel=1e-6)
    assert any(t.get_text().startswith("cytosol") for t in ax.texts)


def test_the_end_of_a_run_is_drawn_even_if_it_was_not_recorded(
    run: Callable[..., xo.ExosomeModel],
) -> None:
    state = run("usual").state
    ax = panel(build_figure(state, []), "places")
    assert [t.get_text() for t in ax.texts] == ["a single moment was recorded"]
    start = {"time_h": 0.0}
    ax = panel(build_figure(state, [start]), "places")
    assert ax.get_xlim() == (0.0, state.time / 3600)


def test_uptake_is_that_of_the_cells(run: Callable[..., xo.ExosomeModel]) -> None:
    state = run("usual").state
    ax = panel(figure_of(run("usual")), "uptake")
    points = next(c for c in ax.collections if c.get_label() == "far").get_offsets()
    far = state.type_names() == "far"
    donors = state.cells.position[state.type_names() == "donor"]
    distance = np.linalg.norm(state.cells.position[far, None] - donors, axis=2).min(axis=1)
    np.testing.assert_allclose(points[:, 0], distance)
    taken = state.trafficking.taken_up[far].sum(axis=(1, 2))
    np.testing.assert_allclose(points[:, 1], taken)
    assert ax.get_yscale() == "log"


def test_waste_takes_the_place_of_uptake(run: Callable[..., xo.ExosomeModel]) -> None:
    model = run("waste")
    ax = panel(figure_of(model), "waste")
    sick = next(line for line in ax.lines if line.get_label() == "sick")
    assert sick.get_ydata()[-1] == pytest.approx(model.metrics["waste_units_per_cell[sick]"].iloc[-1])
    assert "waste units" in ax.get_ylabel()


def test_the_readout_is_drawn_where_there_is_room_for_it(run: Callable[..., xo.ExosomeModel]) -> None:
    """A trial's column as it was recorded; beside the other panels, and none where nothing asks for it."""
    for name, column, unit in (
        ("usual", "taken_up_per_cell[near]", "EV"),
        ("long", "free[exosome]", "EV"),
        ("plenty", "free[exosome]", "vesicles"),
    ):
        model = run(name)
        figure = figure_of(model, readout=Readout(column, unit))
        (line,) = panel(figure, "course").lines[:1]
        np.testing.assert_allclose(line.get_ydata(), model.metrics[column])
        assert not collisions(figure)
        assert {"links", "places", "uptake"} <= {ax.get_label() for ax in figure.axes}
    assert "course" not in {ax.get_label() for ax in figure_of(run("usual")).axes}


@pytest.mark.parametrize(
    ("kinds", "said", "never"),
    [
        ({}, "vesicles emitted", "molecules"),
        ({"vesicle.exosome.comparator": "soluble_factor"}, "free molecules emitted", "vesicles"),
        ({"vesicle.exosome.comparator": "free_drug"}, "drug molecules emitted", "vesicles"),
    ],
)
def test_particles_are_called_what_they_are(kinds: dict[str, str], said: str, never: str) -> None:
    model = xo.ExosomeModel(xo.load("two_cells", {"domain.voxel": "20", **kinds}), seed=1)
    model.run(hours=0.5)
    words = [text.get_text() for text in figure_of(model).findobj(Text)]
    assert sum(said in line for line in words) == 1
    assert not [line for line in words if never in line and not line.startswith("Communication")]


def test_vesicles_and_molecules_are_counted_each_by_itself() -> None:
    model = xo.ExosomeModel(xo.load("tumor_delivery"), seed=1)
    model.run(hours=2)
    emitted = dict(
        zip([k.name for k in model.state.kinds], model.state.balance.emitted.sum(axis=1), strict=True)
    )
    words = " ".join(text.get_text() for text in figure_of(model).findobj(Text))
    assert (
        f"{number(emitted['vesicle'])} vesicles and {number(emitted['free'])} drug molecules emitted" in words
    )
    assert "Free particles and cells" in words


def test_where_cells_died_what_ended_in_them_is_not_told_to_be_in_lysosomes() -> None:
    for half_max, said, never in (("100", "degraded  ", "lysosomes"), ("1e9", "lysosomes  ", "degraded")):
        loaded = xo.load("tumor_delivery", {"response.killing.half_max": half_max})
        model = xo.ExosomeModel(loaded, seed=1)
        model.run(hours=4)
        assert (model.state.lineage.deaths.sum() > 0) == (half_max == "100")
        words = [text.get_text() for text in panel(figure_of(model), "places").texts]
        assert sum(line.startswith(said) for line in words) == 1
        assert not any(line.startswith(never) for line in words)


def test_every_axis_has_its_unit(run: Callable[..., xo.ExosomeModel]) -> None:
    figure = figure_of(run("usual"))
    units = {"tissue": ("(µm)", "(µm)"), "places": ("(h)", "vesicles"), "uptake": ("(µm)", "vesicles")}
    for label, (x, y) in units.items():
        assert x in panel(figure, label).get_xlabel()
        assert y in panel(figure, label).get_ylabel()
    assert panel(figure, "scale 0").get_ylabel() == "free vesicles per mL"


def test_styles_give_senders_warm_hues_and_the_largest_a_hue(
    run: Callable[..., xo.ExosomeModel],
) -> None:
    state = run("25 types").state
    counts = np.bincount(state.cells.type, minlength=25)
    styles = palette.cell_styles(state.types, counts)
    named = [s for s in styles if s.named]
    assert len(named) == len({s.color for s in named}) == 7
    assert {s.color for s in styles if not s.named} == {palette.OTHER}
    colors = {s.name: s.color for s in named}
    assert colors["type_24_with_a_long_name"] == palette.WARM[0]
    assert colors["type_23_with_a_long_name"] == palette.COOL[0]
    assert {s.color for s in named if s.role is Role.SENDS} == set(palette.WARM)
    crowd = [t for t in state.types if t.donates][:7]
    assert len({s.color for s in palette.cell_styles(crowd, [1] * 7)}) == 7
    usual = run("usual").state
    roles = {s.name: s for s in palette.cell_styles(usual.types, [3, 30, 70])}
    assert roles["donor"].color in palette.WARM
    assert roles["near"].color in palette.COOL
    assert roles["far"].color in palette.COOL
    assert roles["donor"].role.marker != roles["near"].role.marker
