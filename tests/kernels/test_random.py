"""The generator against its published answers, and its distributions against theory.

Statistical tests have a fixed seed and so never fail by chance; for a fresh seed each would fail
with the probability `ALPHA`. Each has a companion in which a planted error of 5 % is seen.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numba import njit
from scipy import stats

from exoabm.kernels import brownian_offlattice, lattice_random_walk
from exoabm.kernels import random as kernel

ALPHA = 1e-4
CAUGHT = 1e-9
SEED = 20240229
N = 200_000
ENTITIES = np.arange(N)


def words_of(text: str) -> tuple[np.uint32, ...]:
    return tuple(np.uint32(int(word, 16)) for word in text.split())


# rounds, counter, key, answer: kat_vectors of Random123
KNOWN_ANSWERS = [
    (
        20,
        "00000000 00000000 00000000 00000000",
        "00000000 00000000 00000000 00000000",
        "9c6ca96a e17eae66 fc10ecd4 5256a7d8",
    ),
    (
        20,
        "ffffffff ffffffff ffffffff ffffffff",
        "ffffffff ffffffff ffffffff ffffffff",
        "2a881696 57012287 f6c7446e a16a6732",
    ),
    (
        20,
        "243f6a88 85a308d3 13198a2e 03707344",
        "a4093822 299f31d0 082efa98 ec4e6c89",
        "59cd1dbb b8879579 86b5d00c ac8b6d84",
    ),
    (
        72,
        "00000000 00000000 00000000 00000000",
        "00000000 00000000 00000000 00000000",
        "93171da6 9220326d b392b7b1 ff58a002",
    ),
    (
        72,
        "ffffffff ffffffff ffffffff ffffffff",
        "ffffffff ffffffff ffffffff ffffffff",
        "60743f3d 9961e684 aab21c34 8c65fb7d",
    ),
    (
        72,
        "243f6a88 85a308d3 13198a2e 03707344",
        "a4093822 299f31d0 082efa98 ec4e6c89",
        "09930adf 7f27bd55 9ed68ce1 97f803f6",
    ),
]


@pytest.mark.parametrize(("rounds", "counter", "key", "answer"), KNOWN_ANSWERS)
def test_known_answers(rounds: int, counter: str, key: str, answer: str) -> None:
    got = kernel.threefry(rounds, *words_of(key), *words_of(counter))
    assert tuple(map(int, got)) == tuple(map(int, words_of(answer)))


def test_block_has_twenty_rounds() -> None:
    _, counter, key, answer = KNOWN_ANSWERS[2]
    assert tuple(map(int, kernel.block(*words_of(key), *words_of(counter)))) == tuple(
        map(int, words_of(answer))
    )


def test_name_fills_key_and_counter() -> None:
    seed, purpose, entity, step, draw = 0x12345678_9ABCDEF0, 7, 0x0F1E2D3C_4B5A6978, 3 << 32 | 5, 9
    key = words_of("9abcdef0 12345678 00000007 00000003")
    counter = words_of("4b5a6978 0f1e2d3c 00000005 00000009")
    assert kernel.words(seed, purpose, entity, step, draw) == kernel.block(*key, *counter)


@pytest.mark.parametrize(
    ("part", "bit"),
    [(part, bit) for part in ("seed", "entity", "step") for bit in (0, 31, 32, 62)]
    + [(part, bit) for part in ("purpose", "draw") for bit in (0, 31)],
)
def test_every_bit_of_a_name_counts(part: str, bit: int) -> None:
    name = {"seed": 5, "purpose": 1, "entity": 8, "step": 13, "draw": 0}
    other = name | {part: name[part] ^ 1 << bit}
    a, b = (np.array(kernel.words(*n.values()), np.uint32) for n in (name, other))
    flipped = sum(int(word).bit_count() for word in a ^ b)
    assert 32 < flipped < 96  # 64 +- 5.7 sigma: half of all bits


def test_uniform_ends() -> None:
    unit = njit(lambda high, low: kernel._unit(high, low))
    lowest = unit(np.uint32(0), np.uint32(0))
    highest = unit(np.uint32(0xFFFFFFFF), np.uint32(0xFFFFFFFF))
    assert 0.0 < lowest == 2.0**-53
    assert highest == 1.0 - 2.0**-53 < 1.0


def uniforms(draw: int = 0, step: int = 1, purpose: int = 1, seed: int = SEED) -> np.ndarray:
    out = np.empty(N)
    kernel.uniform_array(seed, purpose, ENTITIES, step, draw, out)
    return out


def test_uniform_distribution() -> None:
    assert stats.kstest(uniforms(), "uniform").pvalue > ALPHA
    assert stats.kstest(uniforms() ** 1.05, "uniform").pvalue < CAUGHT


def test_both_of_a_pair_are_uniform() -> None:
    pairs = np.array([kernel.uniform_pair(SEED, 1, entity, 0, 0) for entity in range(5000)])
    assert stats.kstest(pairs[:, 1], "uniform").pvalue > ALPHA
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 4 / math.sqrt(5000)


def test_logarithm_and_circle_are_accurate() -> None:
    log = njit(lambda x: kernel._log(x))
    circle = njit(lambda x: kernel._circle(x))
    u = np.concatenate([uniforms()[:5000], 2.0 ** -np.arange(1.0, 53.0), 1 - 2.0**-53 * ENTITIES[1:99]])
    exact = np.log(u)
    assert np.all(np.abs([log(x) for x in u] - exact) <= 4 * np.spacing(np.abs(exact)))
    angle = 2 * np.pi * u
    assert np.allclose([circle(x) for x in u], np.c_[np.cos(angle), np.sin(angle)], 0, 1.5e-15)


def test_normal_distribution() -> None:
    out = np.empty(N)
    kernel.normal_array(SEED, 2, ENTITIES, 0, 0, out)
    assert stats.kstest(out, "norm").pvalue > ALPHA
    assert stats.kstest(1.05 * out, "norm").pvalue < CAUGHT
    assert abs(stats.kurtosis(out)) < 4 * math.sqrt(24 / N)


def test_normals_of_one_block_are_independent() -> None:
    normals = np.array([kernel.normal_pair(SEED, 3, entity, 0, 0) for entity in range(20_000)])
    assert normals.shape[1] == 2
    for column in normals.T:
        assert stats.kstest(column, "norm").pvalue > ALPHA
    for values in (normals, normals**2):
        correlation = np.corrcoef(values.T) - np.eye(2)
        assert np.abs(correlation).max() < 5 / math.sqrt(20_000)


def poissons(mean: float) -> np.ndarray:
    out = np.empty(N, np.int64)
    kernel.poisson_array(SEED, 4, ENTITIES, 2, np.full(N, mean), out)
    return out


def binomials(n: int, p: float) -> np.ndarray:
    out = np.empty(N, np.int64)
    kernel.binomial_array(SEED, 5, ENTITIES, 2, np.full(N, n), np.full(N, p), out)
    return out


def chi_square(counts: np.ndarray, law) -> float:
    """Probability of a chi-square at least as large, over about 40 bins of equal weight."""
    edges = np.unique(law.ppf(np.linspace(0, 1, 41)[1:-1]))
    expected = N * np.diff(np.concatenate([[0.0], law.cdf(edges), [1.0]]))
    seen = np.bincount(np.searchsorted(edges, counts), minlength=edges.size + 1)
    full = expected > 5
    return float(stats.chi2.sf(np.sum((seen - expected)[full] ** 2 / expected[full]), full.sum() - 1))


@pytest.mark.parametrize("mean", [0.3, 5.0, 9.99, 10.0, 14.0, 60.0, 1e4, 1e9])
def test_poisson_distribution(mean: float) -> None:
    counts = poissons(mean)
    z = stats.norm.isf(ALPHA / 2)
    assert abs(counts.mean() - mean) < z * math.sqrt(mean / N)
    assert abs(counts.var() - mean) < z * math.sqrt((mean + 2 * mean**2) / N)
    assert chi_square(counts, stats.poisson(mean)) > ALPHA
    assert chi_square(counts, stats.poisson(1.05 * mean)) < CAUGHT


def test_poisson_extremes() -> None:
    assert not poissons(0.0).any()
    assert not poissons(1e-300).any()
    largest = poissons(kernel.MAX_MEAN)
    z = (largest - kernel.MAX_MEAN) / math.sqrt(kernel.MAX_MEAN)
    assert stats.kstest(z, "norm").pvalue > ALPHA


@pytest.mark.parametrize(
    ("n", "p"), [(1, 0.4), (20, 0.3), (15, 0.9), (1000, 0.01), (30, 0.5), (1000, 0.3), (10**9, 0.8)]
)
def test_binomial_distribution(n: int, p: float) -> None:
    counts = binomials(n, p)
    assert counts.min() >= 0
    assert counts.max() <= n
    assert chi_square(counts, stats.binom(n, p)) > ALPHA
    assert chi_square(counts, stats.binom(n, p * 0.95)) < CAUGHT


def test_binomial_extremes() -> None:
    assert not binomials(0, 0.5).any()
    assert not binomials(10**6, 0.0).any()
    assert np.all(binomials(10**6, 1.0) == 10**6)


def test_log_poisson_at_large_means() -> None:
    for k, mean in ((15, 10.0), (16, 10.0), (70, 60.0), (1e6, 1.001e6)):
        assert kernel._log_poisson(float(k), mean) == pytest.approx(stats.poisson.logpmf(k, mean), rel=1e-9)


def test_streams_are_independent() -> None:
    base = uniforms()
    others = [uniforms(draw=1), uniforms(step=2), uniforms(purpose=2), uniforms(seed=SEED + 1)]
    lagged = [(base[:-lag], base[lag:]) for lag in (1, 2, 64)]
    for a, b in [(base, other) for other in others] + lagged:
        assert abs(np.corrcoef(a, b)[0, 1]) < 5 / math.sqrt(N)
    assert abs(np.corrcoef(base, 0.95 * others[0] + 0.05 * base)[0, 1]) > 5 / math.sqrt(N)


def test_rejection_never_reads_the_blocks_of_another_step() -> None:
    alone = kernel.poisson(SEED, 4, 17, 2, 0, 60.0)
    assert alone == poissons(60.0)[17]


KEYED = kernel.StepKey(0x12345678_9ABCDEF0, 3 << 32 | 5, move=7, capture=11)
PARTICLE = 0x0F1E2D3C_4B5A6978
KEY, COUNTER = "9abcdef0 12345678 00000007 00000003", "4b5a6978 0f1e2d3c 00000005"


def test_names_of_random_walks_fill_key_and_counter() -> None:
    """The same layout as everywhere, in 12 rounds; every bit of seed, entity and step in its place."""

    def block(purpose: int, draw: int) -> list[int]:
        key = words_of(KEY.replace("00000007", f"{purpose:08x}"))
        return [int(w) for w in kernel.threefry(12, *key, *words_of(COUNTER), np.uint32(draw))]

    lattice, space = lattice_random_walk, brownian_offlattice
    both = np.array([5, PARTICLE])
    limit, pick = np.empty(2), np.empty(2)
    lattice._draw_limits(KEYED, both, 9, limit, pick)
    expected = (np.array(block(KEYED.capture, 9)[:2]) + 0.5) * 2.0**-32
    np.testing.assert_allclose([1 / limit[1], pick[1]], expected, rtol=1e-12)
    word = np.empty(4 * lattice._BLOCKS, np.uint32)
    lattice._draw_words(KEYED, PARTICLE, 40, word)
    assert word.reshape(4, -1).T.tolist() == [block(7, 40 + k) for k in range(lattice._BLOCKS)]
    words = np.empty((4 * lattice._BLOCKS, 2), np.uint32)
    lattice._draw_first_words(KEYED, both, np.array([0, 40], np.uint32), words)
    assert (words[:, 1] == word).all()
    thresholds = space._draw_thresholds(KEYED, PARTICLE, 3)
    words = np.array(block(KEYED.capture, 3)[:3])
    np.testing.assert_allclose(thresholds, -np.log(((words >> 1) + 0.5) * 2.0**-31), rtol=1e-6)
    normal = np.empty(4 * space._BLOCKS, np.float32)
    space._draw_normals(KEYED, PARTICLE, 16, normal)
    words = np.array([block(7, 16 + k) for k in range(space._BLOCKS)])
    radius = np.sqrt(-2 * np.log(((words[:, ::2] >> 1) + 0.5) * 2.0**-31))
    turn = 2 * np.pi * words[:, 1::2] / 2.0**32
    expected = [radius[:, 0] * np.cos(turn[:, 0]), radius[:, 0] * np.sin(turn[:, 0])]
    expected += [radius[:, 1] * np.cos(turn[:, 1]), radius[:, 1] * np.sin(turn[:, 1])]
    np.testing.assert_allclose(normal, np.concatenate(expected), atol=5e-6)
