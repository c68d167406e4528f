"""Named random streams: every draw is a pure function of (seed, purpose, entity, step).

Nothing is consumed, so a draw depends neither on what was drawn before nor on the number of
threads, and two arms of a trial that share a seed share every decision that both of them take.
Entities are named by the number they got at birth, never by their row; a vesicle by its donor, its
kind and the donor's own count (``vesicle.vesicle_names``).
"""

from __future__ import annotations

import operator
import secrets
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exoabm.errors import InputError, NumericalError
from exoabm.kernels import random as kernel

SEED_BITS = 63


class Purpose(IntEnum):
    """What a draw decides. The numbers are part of every result: add rows, never renumber."""

    LAYOUT = 1  # where cells stand at the start
    FUSION = 2  # how many multivesicular bodies of a cell fuse with its membrane
    ILVS = 3  # how many vesicles these fusions set free
    WASTE_FUSION = 4  # the same for the export of waste
    WASTE_ILVS = 5  # the same for the export of waste
    CARGO_LOAD = 6  # how many copies of a cargo a vesicle carries
    DIAMETER = 7  # how large a vesicle is
    RELEASE_SITE = 8  # where on the membrane a vesicle leaves
    MOVE = 9  # the Brownian displacement of a vesicle
    CAPTURE = 10  # whether an encounter ends in binding
    CLEARANCE = 11  # when a free vesicle decays
    UNBIND = 12  # whether a bound vesicle leaves the surface again
    INTERNALIZE = 13  # when a bound vesicle is taken in
    SORTING = 14  # whether an endosome ends in a lysosome, in the cytosol or outside
    DELIVERY = 15  # whether cargo reaches the cytosol
    RESPONSE = 16  # whether a recipient reacts
    FATE = 17  # whether a cell divides or dies
    MOTILITY = 18  # where a cell moves
    DOSE = 19  # what a therapy administers
    RELEASE_TIME = 20  # when within a step a vesicle leaves
    ENTRY = 21  # what comes in through a face held at a concentration
    ROUNDING = 22  # whether a mean number of vesicles is rounded up
    DAUGHTER = 23  # on which side of its mother a daughter is looked for a place
    PARTITION = 24  # which of mother and daughter gets a vesicle at division
    MVB_FORMATION = 40  # how many multivesicular bodies a cell forms
    MVB_FATE = 41  # how many of those it had meet their fate
    MVB_EARLY_FATE = 42  # how many of the new ones do so at once
    MVB_FUSION = 43  # how many of these fuse with the membrane
    SORTED_ILVS = 44  # how many vesicles of a kind they set free
    MVB_START = 45  # how many multivesicular bodies a cell has at the start
    COPIES_MADE = 46  # how many copies of a cargo a cell makes
    COPIES_LOST = 47  # how many copies it loses
    EXPORT = 48  # how many of these it exports
    REPLICATE = 49  # what makes a replicate of a trial its own: donor, host, measured dose
    COPIES_SHARED = 50  # how many copies of a cargo a daughter gets at division
    RECEPTORS = 51  # whether a mean number of receptors is rounded up in a cell
    ADMISSION = 52  # whether a captured vesicle finds a receptor free


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
        try:
            seed = operator.index(self.seed)
        except TypeError:
            seed = -1
        if isinstance(self.seed, bool) or not 0 <= seed < 2**SEED_BITS:
            raise InputError(f"seed = {self.seed!r}: expected an integer from 0 to 2^{SEED_BITS} - 1")
        object.__setattr__(self, "seed", seed)  # NumPy integers become int

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
