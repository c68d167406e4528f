"""Where single vesicles are at given times, as their events tell it; memory holds those that are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from exoabm.state import Event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exoabm.export.finished import Finished

STATES = ("free", "bound", "inside")
GONE = -1
AFTER = {
    Event.RELEASE: "free",
    Event.ENTRY: "free",
    Event.ENCOUNTER: "bound",
    Event.UNBINDING: "free",
    Event.UPTAKE: "inside",
    Event.RECYCLING: "free",
    Event.HANDOVER: "bound",
    Event.INHERITANCE: "bound",
    Event.PARTITION: "inside",
}
"""Where a vesicle is after an event; after any other it is gone."""
ROUNDING = 1e-3
"""s by which an event, whose time has 24 bits, may lie behind the end of its step."""
AT_ONCE = 65_536
"""Rows that are read at a time."""
COLUMNS = ["time_s", "vesicle", "event", "vesicle_kind", "x_um", "y_um", "z_um"]


class Seen(NamedTuple):
    """Vesicles that are there: names, which rise, kind and state by number, (n,), and place in um, (n, 3)."""

    name: np.ndarray
    kind: np.ndarray
    state: np.ndarray
    place: np.ndarray


def tracks(finished: Finished, times: np.ndarray) -> Iterator[Seen]:
    """All vesicles that are there at each of these times in s, which are ends of steps and rise."""
    rows, seen = _rows(finished), _none()
    ahead: tuple[np.ndarray, Seen] | None = None
    for time in times:
        waiting = [seen]
        while ahead is not None or (ahead := next(rows, None)) is not None:
            due = ahead[0] <= time + ROUNDING
            waiting.append(Seen(*(column[due] for column in ahead[1])))
            if not due.all():
                ahead = ahead[0][~due], Seen(*(column[~due] for column in ahead[1]))
                break
            ahead = None
        seen = _last(waiting)
        yield seen


def _last(parts: list[Seen]) -> Seen:
    """The last row of each vesicle, of those that are not gone."""
    every = Seen(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    _, at = np.unique(every.name[::-1], return_index=True)
    row = len(every.name) - 1 - at
    row = row[every.state[row] != GONE]
    return Seen(*(column[row] for column in every))


def _rows(finished: Finished) -> Iterator[tuple[np.ndarray, Seen]]:
    """Events in the order in which they were written, as times and what they leave."""
    state = {event.name.lower(): STATES.index(name) for event, name in AFTER.items()}
    with pq.ParquetFile(finished.folder / "events.parquet", page_checksum_verification=True) as file:
        for batch in file.iter_batches(AT_ONCE, columns=COLUMNS):
            place = np.column_stack([np.asarray(batch[f"{axis}_um"], np.float64) for axis in "xyz"])
            yield (
                np.asarray(batch["time_s"]),
                Seen(
                    np.asarray(batch["vesicle"]),
                    _codes(batch["vesicle_kind"], {name: k for k, name in enumerate(finished.kinds)}),
                    _codes(batch["event"], state),
                    place,
                ),
            )


def _codes(words: pa.Array, number: dict[str, int]) -> np.ndarray:
    """The number of each word; ``GONE`` of those that have none."""
    words = words.dictionary_encode()
    known = np.array([number.get(word, GONE) for word in words.dictionary.to_pylist()] or [GONE])
    return known[np.asarray(words.indices)]


def _none() -> Seen:
    whole = np.empty(0, np.int64)
    return Seen(whole, whole, whole, np.empty((0, 3)))
