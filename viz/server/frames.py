"""Frames: what the browser draws of one moment, as one blob of bytes; and the recorded ones.

Everything is little-endian, and arrays stand in the order of their alignment::

    header    64 bytes, see HEADER
    birth     uint32 (n)      names of the cells
    cells     uint16 (n, 2)   x, y as shares of the extent, 65535 = 1
    dots      uint16 (m, 2)   free vesicles, likewise
    type      uint8 (n)       index of the cell type
    received  uint8 (n)       vesicles taken up until now, 255 log(1 + N) / log(1 + FULL)
    stage     uint8 (n)       0 nothing yet, 1 took vesicles up, 2 cargo delivered
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

from exoabm.vesicle import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exoabm.state import State

HEADER = struct.Struct("<2Id6I2f16x")
"""number, flags, time in s, w, h, n cells, m dots, free vesicles, delivered, scale and maximum per mL."""

FULL = 1000.0
"""Vesicles taken up at which a cell is drawn in its full color."""
DELIVERED = 1.0
"""Deliveries, counted or expected, from which a cell counts as told."""
MOST_DOTS = 20_000
"""Vesicles drawn at once; of more, a share is."""
FAINT = 1e-4
"""Share of the highest concentration until now, below which colors no longer follow."""
PER_ML = 1e12
_HASH = np.uint64(2654435761)
"""Knuth's multiplier: neighboring ids fall far apart."""
HAS_FIELD, HAS_DOTS = 1, 2
UNKNOWN_ORIGIN = 255


class Moment(NamedTuple):
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


class Scale:
    """The concentration, per mL, that is drawn in the last color.

    Automatic, it is the maximum rounded up to 1, 2 or 5 times a power of ten, and stays until the
    maximum leaves it by a factor of four, so that colors do not flicker; it does not follow what is left of
    a field below ``FAINT`` of the highest maximum, which fades. Fixed, it stays for ever. Scales that match
    follow the larger maximum, so that two pictures can be compared by color.
    """

    def __init__(self) -> None:
        self.value = self._highest = self._latest = 0.0
        self.fixed = False
        self._other: Scale | None = None

    def match(self, other: Scale) -> None:
        """Be one scale with another from now on, but for what is fixed."""
        self._other, other._other = other, self

    def follow(self, maximum: float) -> float:
        """The scale for a frame with this maximum."""
        self._latest, other = maximum, self._other
        if other is not None:
            maximum = max(maximum, other._latest)
            if not self.fixed and other.value > 0:
                self.value = other.value
        self._highest = max(self._highest, maximum)
        maximum = max(maximum, FAINT * self._highest)
        if maximum > 0 and (
            self.value == 0 or (not self.fixed and not self.value / 4 <= maximum <= self.value)
        ):
            self.value = round_up(maximum)
        return self.value


def round_up(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten; ``value`` is above 0."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(m * power for m in (1.0, 2.0, 5.0, 10.0) if m * power >= value * (1 - 1e-12))


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
    single = state.vesicles is not None
    kinds = list(range(len(state.kinds)) if kinds is None else kinds)
    field, maximum = _field(state, scale, kinds) if with_field else (np.zeros((0, 0), np.uint8), 0.0)
    dots, origin, free = _dots(state, kinds)
    way, cells = state.trafficking, state.cells
    taken, told = (a[:, kinds].sum(axis=(1, 2)) for a in (way.taken_up, way.delivered))
    stage = (taken > 0).astype(np.uint8)
    if not single:
        stage = (taken >= 1).astype(np.uint8)
    stage[told >= DELIVERED] = 2
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
        int(state.balance["delivered"][kinds].sum()),
        scale.value,
        maximum,
    )
    return b"".join(
        (
            head,
            cells.birth_id.astype(np.uint32).tobytes(),
            _shares(state, cells.position[:, 0], cells.position[:, 1]).tobytes(),
            dots.tobytes(),
            cells.type.astype(np.uint8).tobytes(),
            level.tobytes(),
            stage.tobytes(),
            origin.tobytes(),
            field.tobytes(),
        )
    )


def moment(frame: bytes) -> Moment:
    """The head of a frame."""
    return Moment(*HEADER.unpack_from(frame))


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
    top = scale.follow(maximum)
    share = np.sqrt(np.clip(total, 0, top) / top) if top > 0 else np.zeros_like(total)
    if state.y_down:
        share = share[::-1]
    return (share * 255 + 0.5).astype(np.uint8), maximum


def _dots(state: State, kinds: Sequence[int]) -> tuple[np.ndarray, np.ndarray, int]:
    """Places and origins of the free vesicles, and how many there are.

    Which ones are drawn goes by a hash of their ids, so that those drawn stay nearly the same from frame to
    frame.
    """
    swarm = state.vesicles
    if swarm is None:
        return np.zeros((0, 2), np.uint16), np.zeros(0, np.uint8), round(_free(state, kinds))
    rows = np.flatnonzero((swarm.status == Status.FREE) & np.isin(swarm.kind, kinds))
    free = len(rows)
    if free > MOST_DOTS:
        lot = (swarm.id[rows].astype(np.uint64) * _HASH & np.uint64(0xFFFFFFFF)) >> np.uint64(16)
        rows = rows[lot < 65536 * MOST_DOTS / free][:MOST_DOTS]
    names = [t.name for t in state.types]
    types = [names.index(name) if name in names else UNKNOWN_ORIGIN for name in state.labels.types]
    origin = np.array(types, np.uint8)[swarm.label[rows]]
    return _shares(state, swarm.x[rows], swarm.y[rows]), origin, free


def _free(state: State, kinds: Sequence[int]) -> float:
    return sum(float(state.fields[kind].sum()) for kind in kinds)


class Film:
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
