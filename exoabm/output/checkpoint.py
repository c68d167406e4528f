"""Checkpoints: all that a run changes, in one file, from which it continues with identical bits.

Quantities that follow from scenario and seed (domain, kinds, types, random streams) are not included.
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.accounting.step_checks import check_complete
from exoabm.errors import InputError
from exoabm.output.durable_files import sync
from exoabm.output.run_folder import BEFORE, CHECKPOINT, KEPT
from exoabm.vesicle import Vesicles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from exoabm.output.recorder import Recorder
    from exoabm.state import State

FIXED = frozenset(
    {
        "domain",
        "kinds",
        "types",
        "mechanics",
        "max_cells",
        "in_step",
        "cargos",
        "behaviors",
        "processes",
        "behavior_units",
        "base",
        "responses",
        "silences",
        "gifts",
        "streams",
        "source",
        "events",
        "follows_vesicles",
    }
)
"""Fields of ``State`` that are the same at the end of every step, and the events, which end with theirs."""

ROUNDING = 1e-9


class Checkpoint:
    """An observer that writes ``checkpoint.npz`` whenever it is due; added after all others.

    The one before it is kept as ``checkpoint.before.npz``.

    Parameters
    ----------
    folder : Path
        Where the other observers write too.
    interval : float
        Model time between two checkpoints, s.
    recorder : Recorder
        Has the clocks and the other observers.
    about : callable
        Plain data from which the model is built again.
    keep_until : float
        Checkpoints after 0 and before this model time in s are kept in ``checkpoints``, with the parts of
        tables that they need.
    """

    def __init__(
        self,
        folder: Path,
        interval: float,
        recorder: Recorder,
        about: Callable[[], Mapping[str, Any]],
        *,
        keep_until: float = 0.0,
    ) -> None:
        self.interval = interval
        self._folder, self._recorder, self._about = folder, recorder, about
        self._keep_until = keep_until
        self._parts: set[Path] = set()

    def record(self, state: State) -> None:
        """Write everything; the checkpoint before stays until this one is on disk."""
        content = {f"recorder/{name}": array for name, array in self._recorder.snapshot().items()}
        content |= {f"state/{name}": array for name, array in snapshot(state).items()}
        content["about"] = np.frombuffer(json.dumps(self._about()).encode(), np.uint8)
        sync(self._folder)
        new = self._folder / f"{CHECKPOINT}.partial"
        with new.open("wb") as file:
            np.savez(file, allow_pickle=False, **content)
            file.flush()
            os.fsync(file.fileno())
        if 0 < state.time < self._keep_until * (1 - ROUNDING):
            self._keep_for_branches(new, f"{state.time:.12g}s.npz")
        last = self._folder / CHECKPOINT
        if last.exists():
            _keep(last, self._folder / BEFORE)
        new.replace(last)
        sync(self._folder, deep=False)

    def _keep_for_branches(self, new: Path, name: str) -> None:
        """Keep a checkpoint and the parts of tables until it, before it becomes the last one."""
        kept = self._folder / KEPT
        kept.mkdir(exist_ok=True)
        for part in set(self._folder.glob("*.part")) - self._parts:
            _keep(part, kept / part.name)
            self._parts.add(part)
        _keep(new, kept / name)
        sync(kept, deep=False)

    def close(self) -> None:
        """All is on disk already."""

    def snapshot(self) -> dict[str, np.ndarray]:
        """Nothing of its own."""
        return {}

    def restore(self, content: Mapping[str, np.ndarray]) -> None:
        """Nothing of its own."""


def _keep(file: Path, name: Path) -> None:
    """Give a file a second name; there is no moment in which it has none."""
    new = name.with_name(f"{BEFORE}.partial")
    new.unlink(missing_ok=True)
    try:
        os.link(file, new)
    except OSError:  # a file system without links
        shutil.copyfile(file, new)
    new.replace(name)


def read(folder: Path, name: str = CHECKPOINT) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Description of the run of a checkpoint, and all arrays in it.

    Raises
    ------
    InputError
        If there is none, or it is damaged.
    """
    path = folder / name
    if not path.is_file():
        kept = sorted(folder.glob("*s.npz"), key=lambda each: float(each.stem[:-1]))
        more = f"; those kept are {', '.join(each.name for each in kept)}" if kept else ""
        raise InputError(f"there is no checkpoint {path}{more}")
    if path.suffix != ".npz":
        raise InputError(f"{path} is not a checkpoint, whose name ends in .npz")
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                raise zipfile.BadZipFile
        with np.load(path, allow_pickle=False) as stored:
            content = {name: stored[name] for name in stored.files}
        return json.loads(content.pop("about").tobytes()), content
    except Exception as error:  # zipfile has no common base for what it raises on a damaged file
        raise InputError(f"{path} is damaged and cannot be resumed from ({type(error).__name__})") from None


def snapshot(state: State) -> dict[str, np.ndarray]:
    """Everything of a state that changes, by its path in it; the arrays are not copied.

    Raises
    ------
    RunFailed
        If its last step was not completed.
    """
    check_complete(state)
    found = {path: np.asarray(owner[key]) for path, owner, key in _leaves(state)}
    found |= {f"labels/{key}": np.array(getattr(state.labels, key), str) for key in ("names", "types")}
    found["warnings"] = np.array(state.warnings, str)
    found |= {f"vesicles/{name}": column for name, column in state.vesicles.columns().items()}
    return found


def restore(state: State, content: Mapping[str, np.ndarray]) -> None:
    """Put a snapshot into a state made anew from the same scenario and seed.

    Raises
    ------
    InputError
        If it holds other things than this state.
    """
    if snapshot(state).keys() != content.keys():
        raise InputError("the checkpoint does not fit its scenario")
    for path, owner, key in _leaves(state):
        array = content[path]
        owner[key] = array if isinstance(owner[key], np.ndarray) else array.item()
    names, types = (tuple(content[f"labels/{key}"].tolist()) for key in ("names", "types"))
    state.labels, state.balance.labels = replace(state.labels, names=names, types=types), names
    state.warnings[:] = content["warnings"].tolist()
    columns = {name: content[f"vesicles/{name}"] for name in state.vesicles.columns()}
    state.vesicles = Vesicles(columns["copies"].shape[1], columns["copies"].dtype, state.vesicles.most)
    state.vesicles.append(**columns)


def _leaves(state: State) -> Iterator[tuple[str, Any, Any]]:
    """Every array and number that changes: its path, and the dict or list that contains it, with the key."""
    for name, value in vars(state).items():
        if name not in FIXED and not isinstance(value, Vesicles):
            yield from _below(vars(state), name, value, name)


def _below(owner: Any, key: Any, value: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(value, np.ndarray | np.generic | int | float):
        yield path, owner, key
        return
    if isinstance(value, Enum):
        return
    held = value if isinstance(value, list | dict) else getattr(value, "__dict__", {})
    for inner, part in enumerate(held) if isinstance(held, list) else held.items():
        yield from _below(held, inner, part, f"{path}/{inner}")
