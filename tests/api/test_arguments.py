"""Whole numbers that are given to public functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import exoabm as xo
from exoabm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

VARY = {"cell_type.donor.release_rate": [30, 60]}
CALLS: dict[str, Callable[[Any], Any]] = {
    "run, seed": lambda n: xo.run("two_cells", hours=0.02, seed=n),
    "run, threads": lambda n: xo.run("two_cells", hours=0.02, threads=n),
    "model, threads": lambda n: xo.ExosomeModel("two_cells", threads=n),
    "whatif, threads": lambda n: xo.whatif("two_cells", silence="cell:0", hours=0.02, threads=n),
    "sweep, jobs": lambda n: xo.sweep("two_cells", VARY, hours=0.02, jobs=n),
    "sweep, seed": lambda n: xo.sweep("two_cells", VARY, hours=0.02, seed=n),
    "sweep, replicates": lambda n: xo.sweep("two_cells", VARY, replicates=n, hours=0.02),
    "trial, replicates": lambda n: xo.trial("waste_removal", replicates=n),
    "trial, seed": lambda n: xo.trial("waste_removal", replicates=2, seed=n),
    "trial, jobs": lambda n: xo.trial("waste_removal", replicates=2, jobs=n),
    "causal, seeds": lambda n: xo.causal("two_cells", "taken_up[exosome]", by="cell", seeds=n, hours=0.02),
    "causal, seed": lambda n: xo.causal("two_cells", "taken_up[exosome]", by="cell", seed=n, hours=0.02),
    "causal, jobs": lambda n: xo.causal("two_cells", "taken_up[exosome]", by="cell", jobs=n, hours=0.02),
    "sensitivity, trajectories": lambda n: xo.sensitivity(
        "two_cells", VARY_RANGE, readout="taken_up[exosome]", trajectories=n
    ),
    "sensitivity, samples": lambda n: xo.sensitivity(
        "two_cells", VARY_RANGE, readout="taken_up[exosome]", samples=n
    ),
    "sensitivity, seed": lambda n: xo.sensitivity(
        "two_cells", VARY_RANGE, readout="taken_up[exosome]", seed=n
    ),
    "sensitivity, jobs": lambda n: xo.sensitivity(
        "two_cells", VARY_RANGE, readout="taken_up[exosome]", jobs=n
    ),
}
VARY_RANGE = {"cell_type.donor.release_rate": "30:60"}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("given", [-1, 1.5, "2", True, 10**30, float("nan")])
def test_what_is_no_whole_number_in_range_is_refused(call: str, given: object) -> None:
    with pytest.raises(InputError, match=rf"^{call.split()[-1]} = .*: expected an integer from"):
        CALLS[call](given)


def test_integers_of_numpy_are_taken() -> None:
    model = xo.ExosomeModel("two_cells", seed=np.int64(3), threads=np.uint8(1))
    assert model.streams.seed == 3
