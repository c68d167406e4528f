"""The recorded frames of a run as a movie, an animated GIF."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from exoabm.errors import InputError
from exoabm.plot import palette
from exoabm.text_formatting import round_below, spaced
from exoabm.viz.server.frames import HEADER, header

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from exoabm.plot.palette import Looks, Style
    from exoabm.state import State

FRAMES = 90
"""Of a movie."""
MILLISECONDS = 70
"""Of a frame; the last one stays longer."""
COLORS = 96
ROW = 20
"""Height in px of a row below the picture."""
LEAST_WIDTH = 160
"""Width in px at which time and scale bar stand beside each other; a narrower picture has margins."""


class Picture(NamedTuple):
    """A frame read back; places as shares of the extent, 65535 = 1."""

    time: float
    cells: np.ndarray
    dots: np.ndarray
    type: np.ndarray
    level: np.ndarray
    origin: np.ndarray
    field: np.ndarray


def decode(frame: bytes) -> Picture:
    """The arrays of a frame; see ``frames``."""
    head, at = header(frame), HEADER.size
    n, m = head.cells, head.dots

    def take(dtype: type, *shape: int) -> np.ndarray:
        nonlocal at
        count = int(np.prod(shape))
        found: np.ndarray = np.frombuffer(frame, dtype, count, at).reshape(shape)
        at += found.nbytes
        return found

    take(np.uint32, n + m)
    cells, dots = take(np.uint16, n, 2), take(np.uint16, m, 2)
    kind, level, _ = take(np.uint8, n), take(np.uint8, n), take(np.uint8, n)
    origin, field = take(np.uint8, m), take(np.uint8, head.height, head.width)
    return Picture(head.time, cells, dots, kind, level, origin, field)


def gif(frames: Sequence[bytes], state: State, looks: Looks, size: int = 480) -> bytes:
    """The recorded frames as a movie, ``FRAMES`` of them at most, evenly spread.

    Raises
    ------
    InputError
        If nothing was recorded yet.
    """
    from PIL import Image

    if len(frames) < 2:
        raise InputError("a movie needs a run: press Go first")
    chosen = np.unique(np.linspace(0, len(frames) - 1, FRAMES).round().astype(int))
    painter = _Painter(state, looks, size)
    images = [painter.paint(decode(frames[i])) for i in chosen]
    colors = images[-1].quantize(COLORS, dither=Image.Dither.NONE)
    flat = [image.quantize(palette=colors, dither=Image.Dither.NONE) for image in images]
    target = io.BytesIO()
    durations = [MILLISECONDS] * (len(flat) - 1) + [1500]
    flat[0].save(target, "GIF", save_all=True, append_images=flat[1:], duration=durations, loop=0)
    return target.getvalue()


class _Painter:
    """Frames as images of ``size`` pixels along the longer side, in the colors of the printed page.

    Below the picture stand the time, a scale bar and the types.
    """

    def __init__(self, state: State, looks: Looks, size: int) -> None:
        from matplotlib import get_data_path
        from PIL import ImageFont

        extent = state.domain.extent[:2]
        self.width, self.height = (max(1, round(size * e / max(extent))) for e in extent)
        self.styles = looks.styles
        self.font = ImageFont.truetype(Path(get_data_path()) / "fonts/ttf/DejaVuSans.ttf", 11)
        self.um = round_below(extent[0] / 4)
        self.bar = self.um / extent[0] * self.width
        self.legend = list(self._legend(looks))
        self.edge = math.ceil(looks.beyond(state) * size / max(extent))
        self.below = self.edge + ROW * (2 + self.legend[-1][2])
        written = max(self.font.getlength(spaced(style.name)) + 30 for style, _, _ in self.legend)
        self.whole = max(self.width + 2 * self.edge, LEAST_WIDTH, round(written))
        self.left = (self.whole - self.width) // 2
        self.diameter = [max(5.0, t.diameter * size / max(extent)) for t in state.types]
        stops = np.array([palette.rgb(c) for c in palette.FIELD])
        place = np.linspace(0, len(stops) - 1, 256)
        self.ramp = np.column_stack(
            [np.interp(place, np.arange(len(stops)), stops[:, i]) * 255 for i in range(3)]
        ).astype(np.uint8)

    def paint(self, shown: Picture) -> Any:
        """The image of a frame."""
        from PIL import Image, ImageDraw

        size = (self.width, self.height)
        if shown.field.size:
            image = Image.fromarray(self.ramp[shown.field[::-1]]).resize(size, Image.Resampling.BILINEAR)
        else:
            image = Image.new("RGB", size, palette.PAPER)
        pixels = np.asarray(image).copy()
        x, y = self._pixels(shown.dots)
        hues = [*(s.color for s in self.styles), palette.OTHER]
        colors = np.array([palette.rgb(hue) * 255 for hue in hues])
        paint = colors[np.minimum(shown.origin, len(self.styles))].astype(np.uint8)
        for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
            pixels[np.minimum(y + dy, self.height - 1), np.minimum(x + dx, self.width - 1)] = paint
        whole = Image.new("RGB", (self.whole, self.edge + self.height + self.below), palette.PAPER)
        whole.paste(Image.fromarray(pixels), (self.left, self.edge))
        draw = ImageDraw.Draw(whole)
        x, y = self._pixels(shown.cells)
        middles = np.column_stack([x + self.left, y + self.edge])
        for (cx, cy), kind, level in zip(middles, shown.type, shown.level, strict=True):
            style = self.styles[kind]
            share = np.array([0.25 + 0.75 * level / 255 if style.role is palette.Role.TAKES_UP else 1.0])
            fill = palette.to_hex(palette.tint(style.color, share)[0])
            corners = style.role.polygon() * (self.diameter[kind], -self.diameter[kind]) + (cx, cy)
            draw.polygon([tuple(c) for c in corners], fill=fill, outline=style.outline)
        self._write(draw, shown.time)
        return whole

    def _legend(self, looks: Looks) -> Iterator[tuple[Style, int, int]]:
        """Each type that is drawn, with its place in px along the row, and the row."""
        x, row = 6, 0
        for style in (style for style, present in zip(*looks, strict=True) if present):
            wide = round(30 + self.font.getlength(spaced(style.name)))
            if x > 6 and x + wide > max(self.width, LEAST_WIDTH):
                x, row = 6, row + 1
            yield style, x, row
            x += wide

    def _write(self, draw: Any, time: float) -> None:
        """Write the time, the scale bar and the types below the picture."""
        middle, length = self.height + 2 * self.edge + ROW / 2, f"{self.um:g} µm"
        draw.text((6, middle), f"{time / 3600:.1f} h", fill=palette.INK, anchor="lm", font=self.font)
        end = self.whole - 6 - self.font.getlength(length)
        draw.text((end, middle), length, fill=palette.INK, anchor="lm", font=self.font)
        draw.line((end - 6 - self.bar, middle, end - 6, middle), fill=palette.INK, width=2)
        for style, x, row in self.legend:
            y = middle + ROW * (1 + row)
            corners = style.role.polygon() * (9, -9) + (x + 6, y)
            fill = palette.PAPER if style.role is palette.Role.TAKES_UP else style.color
            draw.polygon([tuple(c) for c in corners], fill=fill, outline=style.outline)
            draw.text((x + 17, y), spaced(style.name), fill=palette.INK, anchor="lm", font=self.font)

    def _pixels(self, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = (shares[:, 0].astype(float) / 65535 * (self.width - 1)).round().astype(int)
        y = ((1 - shares[:, 1].astype(float) / 65535) * (self.height - 1)).round().astype(int)
        return x, y
