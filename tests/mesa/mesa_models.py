"""Small models with steps of their own, and whether two models are in the same state."""

from __future__ import annotations

from typing import Any

import numpy as np

import exoabm as xo
from exoabm.output import checkpoint

SMALL = {"layout.group.recipient.count": "12", "layout.group.donor.count": "3"}


class Counting(xo.ExosomeModel):
    """Counts its steps, and leaves off after ``most``."""

    most = 10**9

    def step(self) -> None:
        self.seen = [*getattr(self, "seen", []), self.state.time]
        super().step()
        if len(self.seen) >= self.most:
            self.running = False


class Curious(xo.Cell):
    """A cell that looks at the clock."""

    def step(self) -> None:
        self.model.looks = [*getattr(self.model, "looks", []), (self.birth_id, self.model.state.time)]


def bits(model: xo.ExosomeModel) -> dict[str, Any]:
    return {name: np.array(array) for name, array in checkpoint.snapshot(model.state).items()}


def same(one: xo.ExosomeModel, other: xo.ExosomeModel) -> bool:
    a, b = bits(one), bits(other)
    return a.keys() == b.keys() and all(
        np.array_equal(a[n], b[n], equal_nan=a[n].dtype.kind == "f") for n in a
    )
