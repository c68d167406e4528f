"""The header: title, what was run, and one key to the cells of all panels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exoabm.plot.palette import INK, MUTED, OTHER, PAPER, Role, Style
from exoabm.plot.preview.frame import write
from exoabm.plot.preview.lettering import counted, number, plain, shorten
from exoabm.plot.preview.scene import HEIGHT, WIDTH, Scene

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_header(figure: Figure, scene: Scene, title: str) -> None:
    """Title, facts and key."""
    state = scene.state
    words = plain(title) or "Communication through extracellular vesicles"
    write(figure, 40, 50, shorten(words, 78), size=14, weight="bold", color=INK)
    emitted = " and ".join(f"{number(count)} {sort}" for sort, count in scene.emitted.items())
    facts = (
        counted(len(state.cells), "cell"),
        state.domain.describe().replace(" um", " µm").replace(" x ", " × "),
        f"{number(state.time / 3600)} h",
        f"{emitted} emitted",
    )
    write(figure, 40, 83, "   ·   ".join(facts), size=8.5, color=MUTED)
    pen, line = 40.0, 122
    for style, label in _key(scene):
        entry = write(figure, pen + 24, line, label, size=8.5, color=INK if style.name else MUTED)
        width = entry.get_window_extent().width
        if pen + 24 + width > WIDTH - 40:
            pen, line = 40.0, line + 27
            entry.set_position(((pen + 24) / WIDTH, 1 - line / HEIGHT))
        _glyph(figure, pen + 9, line - 6, style)
        pen += width + 54


def _key(scene: Scene) -> list[tuple[Style, str]]:
    """The entries of the key: named types by size, the others by role, and what each shape means."""
    entries: list[tuple[int, Style, str]] = []
    rest: dict[Role, list[int]] = {}
    most = 24 if len(scene.styles) <= 5 else 16
    for index, style in enumerate(scene.styles):
        cells = len(scene.members(index))
        if style.named:
            entries.append((cells, style, f"{shorten(style.name, most)}, {number(cells)}"))
        elif cells:
            rest.setdefault(style.role, []).append(index)
    entries.sort(key=lambda entry: (entry[1].role is not Role.SENDS, -entry[0]))
    for role, types in rest.items():
        cells = sum(len(scene.members(i)) for i in types)
        name = shorten(scene.styles[types[0]].name, most)
        words = name if len(types) == 1 else f"{len(types)} other types"
        entries.append((cells, Style(name, role, OTHER, False), f"{words}, {number(cells)}"))
    roles = {style.role for _, style, _ in entries}
    shapes = [(Style("", role, PAPER, False), role.words) for role in Role if role in roles]
    return [(style, label) for _, style, label in entries] + shapes


def _glyph(figure: Figure, x: float, y: float, style: Style) -> None:
    from matplotlib.lines import Line2D

    glyph = Line2D([x / WIDTH], [1 - y / HEIGHT], linestyle="none", marker=style.role.marker)
    glyph.set_markersize(5.5 if style.role is Role.NEITHER else 7)
    glyph.set_markerfacecolor(style.color)
    glyph.set_markeredgecolor(style.outline if style.name else MUTED)
    glyph.set_markeredgewidth(0.8)
    figure.add_artist(glyph)
