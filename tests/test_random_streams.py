"""Streams: the same bits whatever the order, the subset or the threads; and clear refusals."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from exoabm.errors import InputError, NumericalError
from exoabm.random_streams import Purpose, Streams

N = 10_000
ENTITIES = np.arange(N)
MEANS = np.geomspace(0.01, 1e5, N)
STREAMS = Streams(7)
DRAWS = {
    "uniform": lambda rows: STREAMS.uniform(Purpose.CAPTURE, ENTITIES[rows], 3),
    "normal": lambda rows: STREAMS.normal(Purpose.MOTILITY, ENTITIES[rows], 3),
    "poisson": lambda rows: STREAMS.poisson(Purpose.FUSION, ENTITIES[rows], 3, MEANS[rows]),
    "binomial": lambda rows: STREAMS.binomial(
        Purpose.COPIES_LOST, ENTITIES[rows], 3, 10 * ENTITIES[rows], 0.3
    ),
}

PINNED_UNIFORM = [0.5696369654323049, 0.7268993926085329, 0.7234118200956757]
PINNED_NORMAL = [-1.1250579378264791, -0.1847565378855779, 0.2417901416982333]
PINNED_POISSON = [55, 59, 60]
PINNED_SUMS = [217586035, 145133412, 400369]
PINNED_LAYOUT = [213, 75, 285]


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
def test_same_bits_in_any_order_subset_or_thread(draw) -> None:
    whole = draw(slice(None))
    order = np.random.default_rng(1).permutation(N)
    assert np.array_equal(draw(order), whole[order])
    assert np.array_equal(draw(order[:10]), whole[order[:10]])
    with ThreadPoolExecutor(4) as pool:
        parts = pool.map(draw, np.array_split(ENTITIES, 13))
        assert np.array_equal(np.concatenate(list(parts)), whole)
    assert np.unique(whole).size > N / 100


def test_pinned_bits() -> None:
    """A change of these numbers changes every result: say so in CHANGELOG.md."""
    ids = np.array([0, 1, 2**40])
    assert Streams(1).uniform(Purpose.CAPTURE, ids, 0).tolist() == PINNED_UNIFORM
    assert Streams(1).normal(Purpose.MOTILITY, ids, 0).tolist() == PINNED_NORMAL
    assert Streams(1).poisson(Purpose.FUSION, ids, 0, 60.0).tolist() == PINNED_POISSON
    assert Streams(1).generator(Purpose.LAYOUT).integers(1000, size=3).tolist() == PINNED_LAYOUT


def test_pinned_sums_of_every_branch() -> None:
    """Counts below and above the end of inversion, chances on both sides of one half, one sum for each."""
    who, streams = np.arange(4000), Streams(1)
    trials = np.geomspace(1, 1e6, len(who)).astype(np.int64)
    drawn = [
        streams.poisson(Purpose.FUSION, who, 0, np.geomspace(0.01, 1e6, len(who))),
        streams.binomial(Purpose.COPIES_LOST, who, 0, trials, (who * 0.6180339887498949) % 1.0),
        streams.binomial(Purpose.COPIES_LOST, who, 1, 200, 0.45 + 0.1 * who / len(who)),
    ]
    assert [int(counts.sum()) for counts in drawn] == PINNED_SUMS


def test_draws_differ_between_names() -> None:
    reference = STREAMS.uniform(Purpose.CAPTURE, ENTITIES, 3)
    others = [
        Streams(8).uniform(Purpose.CAPTURE, ENTITIES, 3),
        STREAMS.uniform(Purpose.SORTING, ENTITIES, 3),
        STREAMS.uniform(Purpose.CAPTURE, ENTITIES + N, 3),
        STREAMS.uniform(Purpose.CAPTURE, ENTITIES, 4),
        STREAMS.uniform(Purpose.CAPTURE, ENTITIES, 3, draw=1),
    ]
    for other in others:
        assert not np.isin(other, reference).any()


def test_purposes_have_distinct_numbers() -> None:
    assert len(Purpose.__members__) == len(set(map(int, Purpose)))
    assert all(0 < purpose < 2**32 for purpose in Purpose)


def test_generators_are_reproducible_and_apart() -> None:
    first = STREAMS.generator(Purpose.LAYOUT).random(100)
    assert np.array_equal(first, Streams(7).generator(Purpose.LAYOUT).random(100))
    for other in (
        STREAMS.generator(Purpose.LAYOUT, 1),
        STREAMS.generator(Purpose.DOSE),
        Streams(8).generator(Purpose.LAYOUT),
    ):
        assert not np.isin(other.random(100), first).any()


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1, np.int64(5), np.uint8(200)])
def test_good_seeds(seed: int) -> None:
    streams = Streams.from_entropy(seed)
    assert type(streams.seed) is int
    assert streams.seed == int(seed)
    assert pickle.loads(pickle.dumps(streams)) == streams


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, "1", True, None, np.nan])
def test_bad_seeds(seed: object) -> None:
    with pytest.raises(InputError, match="expected an integer from 0"):
        Streams(seed)  # type: ignore[arg-type]


def test_entropy_is_drawn_and_kept() -> None:
    drawn = {Streams.from_entropy().seed for _ in range(20)}
    assert len(drawn) == 20
    assert max(drawn) >= 2**55  # 63 bits; twenty below 2^55 would happen once in 1e48


@pytest.mark.parametrize("mean", [-1e-9, np.nan, np.inf, 1.1e15])
def test_bad_means_are_refused(mean: float) -> None:
    with pytest.raises(NumericalError, match=r"FUSION: mean .* of entity 41"):
        STREAMS.poisson(Purpose.FUSION, [40, 41], 0, [1.0, mean])


def test_bad_trials_are_refused() -> None:
    with pytest.raises(NumericalError, match="number of trials -1 of entity 3"):
        STREAMS.binomial(Purpose.COPIES_LOST, [3], 0, -1, 0.5)
    with pytest.raises(NumericalError, match=r"probability 1\.5 of entity 3"):
        STREAMS.binomial(Purpose.COPIES_LOST, [3], 0, 1, 1.5)


def test_no_entities() -> None:
    assert STREAMS.poisson(Purpose.FUSION, [], 0, []).shape == (0,)
