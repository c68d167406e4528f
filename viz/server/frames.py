"""Frames: what the browser draws of one moment, as one blob of bytes; and the recorded ones.

Everything is little-endian, and arrays stand in the order of their alignment::

    header    64 bytes, see HEADER
    birth     uint32 (n)      names of the cells
    names     uint32 (m)      ids of the free vesicles, by which a browser follows them between frames
    cells     uint16 (n, 2)   x, y as shares of the extent, 65535 = 1
    dots      uint16 (m, 2)   free vesicles, likewise
    type      uint8 (n)       index of the cell type
    received  uint8 (n)       vesicles taken up until now, 255 log(1 + N) / log(1 + FULL)
    stage     uint8 (n)       0 nothing yet, 1 took vesicles up, 2 cargo was delivered
    origin    uint8 (m)       index of the donor's cell type, 255 where no cell sent it
    field     uint8 (h, w)    concentration, 255 sqrt(c / scale); row 0 at low y

A volume is seen from above: the field is averaged along z. "Vesicles" are those of the kinds asked for;
deliveries are all until now, those to cells that have died since too.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from exoabm.analysis.communication_graph import copies_delivered
from exoabm.vesicle import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from exoabm.state import State


HEADER = struct.Struct("<2Id6I2f16x")
"""number, flags, time in s, w, h, n cells, m dots, free, in the cytosol, scale and maximum per mL."""

FULL = 1000.0
"""Vesicles taken up at which a cell is drawn in its full color."""
MOST_DOTS = 20_000
"""Vesicles drawn at once; of more, a share is."""
LEAST_TOP, ABOVE = 5.0, 3.0
"""Of single vesicles: the least scale, vesicles in a voxel of the picture, and the scale over their mean;
assumed, so that counts by chance seldom change the colors."""
FAINT = 1.0
"""Vesicles in the whole domain; colors do not follow a maximum below their mean concentration: it fades."""
PER_ML = 1e12
_HASH = np.uint64(2654435761)
"""Knuth's multiplier: neighboring ids fall far apart."""
HAS_FIELD, HAS_DOTS = 1, 2
PAINTED: dict[str, Callable[[int], None]] = {}
"""Receivers of the number of a frame that is on the screen, by the id of the canvas.

Most messages of a page are of this kind; the server hands them over without a call of the page.
"""
UNKNOWN_ORIGIN = 255


class Header(NamedTuple):
    """The head of a frame, read back."""

    number: int
    flags: int
    time: float
    width: int
    height: int
    cells: int
    dots: int
    free: int
    delivered: int
    scale: float
    maximum: float

    @property
    def counted(self) -> bool:
        """Whether each vesicle is followed; else numbers are expected ones."""
        return bool(self.flags & HAS_DOTS)


class Scale:
    """The concentration, per mL, that is drawn in the last color.

    Automatic, it is the maximum of what is drawn, or ``_level`` of single vesicles, rounded up to 1 or 3
    times a power of ten: by the state alone, so that a moment has the same colors whichever frames were drawn
    before it. Fixed, it stays for ever. Scales that match follow the larger one, so that two pictures can be
    compared by color.
    """

    def __init__(self) -> None:
        self.fixed = False
        self._value = self._latest = 0.0
        self._other: Scale | None = None

    @property
    def value(self) -> float:
        """For what was drawn last, 1/mL; 0 where there is nothing to draw."""
        if not (self.fixed and self._value):
            self._value = max(self._latest, self._other._latest if self._other else 0.0)
        return self._value

    def match(self, other: Scale) -> None:
        """Be one scale with another from now on, but for what is fixed."""
        self._other, other._other = other, self

    def follow(self, level: float, unit: float = 1.0) -> float:
        """The scale for a frame with this maximum, or level, rounded up in this unit."""
        self._latest = unit * round_up(level / unit) if level > 0 else 0.0
        return self.value


def round_up(value: float) -> float:
    """The next 1 or 3 times a power of ten; ``value`` is above 0."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(m * power for m in (1.0, 3.0, 10.0) if m * power >= value * (1 - 1e-12))


def draw(
    state: State, number: int, scale: Scale, *, with_field: bool, kinds: Sequence[int] | None = None
) -> bytes:
    """The frame of a state.

    Parameters
    ----------
    state
        Read only.
    number
        Of the frame; the browser acknowledges it.
    scale
        Followed by what is drawn.
    with_field
        Whether to draw concentrations; they cost a count of all vesicles where each one is followed.
    kinds
        Vesicle kinds that are drawn; all if not given.
    """
    single = state.follows_vesicles
    kinds = list(range(len(state.kinds)) if kinds is None else kinds)
    field, maximum = _field(state, scale, kinds) if with_field else (np.zeros((0, 0), np.uint8), 0.0)
    names, dots, origin, free = _dots(state, kinds)
    cells = state.cells
    taken = state.trafficking.taken_up[:, kinds].sum(axis=(1, 2))
    stage = (taken > 0 if single else taken >= 1).astype(np.uint8)
    stage[loaded_deliveries(state, kinds) >= 1] = 2
    level = np.clip(np.log1p(taken) * (255 / math.log1p(FULL)), 0, 255).astype(np.uint8)
    head = HEADER.pack(
        number,
        HAS_FIELD * with_field | HAS_DOTS * single,
        state.time,
        field.shape[1],
        field.shape[0],
        len(cells),
        len(dots),
        free,
        round(state.balance["delivered"][kinds].sum()),
        scale.value,
        maximum,
    )
    return b"".join(
        (
            head,
            cells.birth_id.astype(np.uint32).tobytes(),
            names.tobytes(),
            _shares(state, cells.position[:, 0], cells.position[:, 1]).tobytes(),
            dots.tobytes(),
            cells.type.astype(np.uint8).tobytes(),
            level.tobytes(),
            stage.tobytes(),
            origin.tobytes(),
            field.tobytes(),
        )
    )


def loaded_deliveries(state: State, kinds: Sequence[int]) -> np.ndarray:
    """Deliveries of cargo to each living cell until now, (n): at least 1 where a star is drawn.

    Of single vesicles they are the copies that came. Of expected numbers they are the copies too, but at most
    one for each vesicle that opened to the cytosol: a tenth of a vesicle with ten copies is no delivery yet.
    Waste is no delivery, since it enters a cell by whichever route.
    """
    found = np.zeros(len(state.cells))
    for k in kinds:
        copies = sum(copies_delivered(state, [k], waste=False).values(), start=np.zeros(len(found)))
        opened = state.trafficking.delivered[:, k].sum(axis=1)
        found += copies if state.follows_vesicles else np.minimum(copies, opened)
    return found


def header(frame: bytes) -> Header:
    """The head of a frame."""
    return Header(*HEADER.unpack_from(frame))


def _shares(state: State, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Places as shares of the extent, the second from the bottom of the picture upward."""
    low, extent = state.domain.low, state.domain.extent
    share = np.empty((len(x), 2))
    share[:, 0] = (x - low[0]) / extent[0]
    share[:, 1] = (y - low[1]) / extent[1]
    if state.y_down:
        share[:, 1] = 1 - share[:, 1]
    return np.rint(np.clip(share, 0, 1) * 65535).astype(np.uint16)


def _field(state: State, scale: Scale, kinds: Sequence[int]) -> tuple[np.ndarray, float]:
    domain = state.domain
    total = np.zeros(domain.shape)
    for kind in kinds:
        total += state.free_per_voxel(kind).sum(axis=0)
    if domain.dim == 3:
        total = total.mean(axis=0)
    total *= PER_ML / domain.voxel_volume
    maximum = float(total.max())
    top = scale.follow(*_level(state, total))
    share = np.sqrt(np.clip(total, 0, top) / top) if top > 0 else np.zeros_like(total)
    if state.y_down:
        share = share[::-1]
    return (share * 255 + 0.5).astype(np.uint8), maximum


def _level(state: State, total: np.ndarray) -> tuple[float, float]:
    """What the scale of concentrations c (1/mL) follows, and the unit in which it is rounded up.

    Of expected numbers it is their maximum. That of single vesicles is a small count, which changes at most
    steps: it is ``ABOVE`` sum(c^2) / sum(c), by the mean where a vesicle is, and ``LEAST_TOP`` at least.
    """
    voxel = PER_ML / state.domain.voxel_volume
    if not state.follows_vesicles:
        maximum, faint = float(total.max()), FAINT * voxel / math.prod(state.domain.shape)
        return max(maximum, faint) if maximum > 0 else 0.0, 1.0
    least = LEAST_TOP * voxel * total.size / math.prod(state.domain.shape)
    there = float((total**2).sum() / total.sum()) if total.any() else 0.0
    return max(ABOVE * there, least), least


def _dots(state: State, kinds: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Ids, places and origins of the free vesicles, and how many there are.

    Which ones are drawn goes by a hash of their ids, so that those drawn stay nearly the same from frame to
    frame.
    """
    swarm = state.vesicles
    if not state.follows_vesicles:
        none = np.zeros(0, np.uint32)
        expected = round(float(state.balance["free"][kinds].sum()))
        return none, np.zeros((0, 2), np.uint16), np.zeros(0, np.uint8), expected
    rows = np.flatnonzero((swarm.status == Status.FREE) & np.isin(swarm.kind, kinds))
    free = len(rows)
    if free > MOST_DOTS:
        lot = (swarm.id[rows].astype(np.uint64) * _HASH & np.uint64(0xFFFFFFFF)) >> np.uint64(16)
        rows = rows[lot < 65536 * MOST_DOTS / free][:MOST_DOTS]
    names = [t.name for t in state.types]
    types = [names.index(name) if name in names else UNKNOWN_ORIGIN for name in state.labels.types]
    origin = np.array(types, np.uint8)[swarm.label[rows]]
    return swarm.id[rows].astype(np.uint32), _shares(state, swarm.x[rows], swarm.y[rows]), origin, free


class Recording:
    """Recorded frames to go back through: the whole run, ever more coarsely.

    When ``most`` frames or ``most_bytes`` are reached, every second frame is dropped and from then on
    only every second one is added, so that the recorded times stay evenly spread from the start.
    """

    def __init__(self, most: int = 600, most_bytes: int = 24 << 20) -> None:
        self.most, self.most_bytes = most, most_bytes
        self.frames: list[bytes] = []
        self._stride, self._seen, self._bytes = 1, 0, 0

    def __len__(self) -> int:
        return len(self.frames)

    def add(self, frame: bytes) -> None:
        """Record a frame, if it is its turn."""
        if self._seen % self._stride == 0:
            self.frames.append(frame)
            self._bytes += len(frame)
        self._seen += 1
        while len(self.frames) > 2 and (len(self.frames) > self.most or self._bytes > self.most_bytes):
            self.frames = self.frames[::2]
            self._bytes = sum(map(len, self.frames))
            self._stride *= 2
