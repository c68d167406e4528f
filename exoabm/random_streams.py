"""Named random streams: every draw is a pure function of (seed, purpose, entity, step).

A draw depends neither on earlier draws nor on the number of threads, and two arms of a trial with one seed
share every decision that both take. Cells are named by their number at birth, never by their row; vesicles by
donor, kind and number among the vesicles of the donor (``vesicle.vesicle_names``). Counter-based generators.
Source: salmon2011.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exoabm.errors import NumericalError, whole_number
from exoabm.kernels import random as kernel

SEED_BITS = 63


class Purpose(IntEnum):
    """Decision of a draw. The numbers are part of every result: add rows, never renumber or reuse one.

    11, 12, 13, 15 and 16 are retired.
    """

    LAYOUT = 1  # positions of cells at the start
    FUSION = 2  # number of multivesicular bodies that fuse with the membrane
    ILVS = 3  # number of vesicles that these fusions release
    WASTE_FUSION = 4  # the same for the export of waste
    WASTE_ILVS = 5  # the same for the export of waste
    CARGO_LOAD = 6  # copies of a cargo in a vesicle
    DIAMETER = 7  # diameter of a vesicle
    RELEASE_SITE = 8  # site of release on the membrane
    MOVE = 9  # Brownian displacement of a vesicle
    CAPTURE = 10  # captures, clearances and escapes of a vesicle along its path
    SORTING = 14  # path of a captured vesicle: unbinding, endosome, lysosome, cytosol, recycling
    FATE = 17  # division, death or transformation of a cell
    MOTILITY = 18  # displacement of a cell
    DOSE = 19  # vesicles of a dose; traits of a subject
    RELEASE_TIME = 20  # time of release within a step
    ENTRY = 21  # vesicles that enter through a face held at a concentration
    ROUNDING = 22  # rounding of an expected number; the draw names what is rounded
    DAUGHTER = 23  # side of the mother on which a daughter is placed
    PARTITION = 24  # vesicles passed to the daughter at division
    MVB_FORMATION = 40  # multivesicular bodies formed
    MVB_FATE = 41  # older bodies that reach their fate
    MVB_EARLY_FATE = 42  # new bodies that reach their fate in the same step
    MVB_FUSION = 43  # bodies that fuse with the membrane
    SORTED_ILVS = 44  # vesicles of a kind that these release
    MVB_START = 45  # multivesicular bodies at the start
    COPIES_MADE = 46  # copies of a cargo produced
    COPIES_LOST = 47  # copies lost
    EXPORT = 48  # lost copies that are exported
    REPLICATE = 49  # traits of a replicate of a trial: donor, host, measured dose
    COPIES_SHARED = 50  # copies passed to the daughter at division
    RECEPTORS = 51  # rounding of the mean number of receptors of a cell
    ADMISSION = 52  # acceptance of a capture by a free receptor
    OBSERVATION = 53  # errors of observation in a truth file: position, type, segmentation, expression


@dataclass(frozen=True)
class Streams:
    """All random streams of one run.

    Parameters
    ----------
    seed : int
        0 to 2^63 - 1.

    Raises
    ------
    InputError
        If the seed is no integer or out of range.
    """

    seed: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", whole_number("seed", self.seed, 0, 2**SEED_BITS - 1))

    @classmethod
    def from_entropy(cls, seed: int | None = None) -> Streams:
        """Streams of `seed`, or, where that is None, of a seed drawn from the operating system."""
        return cls(secrets.randbits(SEED_BITS) if seed is None else seed)

    def uniform(self, purpose: Purpose, entities: ArrayLike, step: int, draw: int = 0) -> NDArray[np.float64]:
        """Uniform numbers in the open interval (0, 1).

        Parameters
        ----------
        purpose : Purpose
            What is decided.
        entities : array_like of int, shape (n,)
            Birth numbers, 0 or more.
        step : int
            Number of the step.
        draw : int
            Number of the draw, where one entity needs several for one purpose and step.

        Returns
        -------
        ndarray of float64, shape (n,)
        """
        entities = _birth_numbers(entities)
        out = np.empty(entities.size)
        kernel.uniform_array(self.seed, int(purpose), entities, int(step), int(draw), out)
        return out

    def normal(self, purpose: Purpose, entities: ArrayLike, step: int, draw: int = 0) -> NDArray[np.float64]:
        """Standard normal numbers, shape (n,); the parameters are those of `uniform`."""
        entities = _birth_numbers(entities)
        out = np.empty(entities.size)
        kernel.normal_array(self.seed, int(purpose), entities, int(step), int(draw), out)
        return out

    def poisson(
        self, purpose: Purpose, entities: ArrayLike, step: int, means: ArrayLike
    ) -> NDArray[np.int64]:
        """Poisson counts of given means: ``P(k) = mean^k exp(-mean) / k!``.

        Parameters
        ----------
        purpose, entities, step
            As for `uniform`.
        means : array_like of float, shape (n,) or ()
            Expected counts, 0 to 1e15.

        Returns
        -------
        ndarray of int64, shape (n,)

        Raises
        ------
        NumericalError
            If a mean is negative, not finite or above 1e15.
        """
        entities = _birth_numbers(entities)
        means = _per_entity(means, np.float64, entities)
        _require((means >= 0.0) & (means <= kernel.MAX_MEAN), means, purpose, entities, "mean")
        out = np.empty(entities.size, np.int64)
        kernel.poisson_array(self.seed, int(purpose), entities, int(step), means, out)
        return out

    def binomial(
        self,
        purpose: Purpose,
        entities: ArrayLike,
        step: int,
        trials: ArrayLike,
        probabilities: ArrayLike,
    ) -> NDArray[np.int64]:
        """Binomial counts: ``P(k) = n! / (k! (n - k)!) p^k (1 - p)^(n - k)``.

        Parameters
        ----------
        purpose, entities, step
            As for `uniform`.
        trials : array_like of int, shape (n,) or ()
            Number of trials, 0 to 1e15.
        probabilities : array_like of float, shape (n,) or ()
            Chance of each trial, 0 to 1.

        Returns
        -------
        ndarray of int64, shape (n,)

        Raises
        ------
        NumericalError
            If a number of trials or a probability is out of range.
        """
        entities = _birth_numbers(entities)
        n = _per_entity(trials, np.int64, entities)
        p = _per_entity(probabilities, np.float64, entities)
        _require((n >= 0) & (n <= kernel.MAX_MEAN), n, purpose, entities, "number of trials")
        _require((p >= 0.0) & (p <= 1.0), p, purpose, entities, "probability")
        out = np.empty(entities.size, np.int64)
        kernel.binomial_array(self.seed, int(purpose), entities, int(step), n, p, out)
        return out

    def generator(self, purpose: Purpose, index: int = 0) -> np.random.Generator:
        """NumPy generator of its own for work without steps, such as a layout.

        Philox keyed by seed and purpose; each `index` is another stretch of 2^192 blocks.
        """
        key = np.array([self.seed, int(purpose)], np.uint64)
        counter = np.array([0, 0, 0, index], np.uint64)
        return np.random.Generator(np.random.Philox(key=key, counter=counter))


def _birth_numbers(entities: ArrayLike) -> NDArray[np.int64]:
    return np.ascontiguousarray(entities, np.int64).reshape(-1)


def _per_entity(values: ArrayLike, dtype: type[np.generic], entities: NDArray) -> NDArray:
    return np.ascontiguousarray(np.broadcast_to(np.asarray(values, dtype), entities.shape))


def _require(
    good: NDArray[np.bool_], values: NDArray, purpose: Purpose, entities: NDArray, what: str
) -> None:
    if not good.all():
        i = int(np.argmin(good))
        raise NumericalError(f"{purpose.name}: {what} {values[i]} of entity {entities[i]}")
