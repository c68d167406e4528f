"""Random numbers without state: each draw is a pure function of its name.

The generator is Threefry-4x32 (Salmon et al. 2011, Random123): a keyed bijection of 128-bit
counters, a simplified Threefish cipher. The name of a draw fills key and counter,

    key     = (seed low, seed high, purpose, step high)
    counter = (entity low, entity high, step low, draw)

so the order of calls, the number of threads and the other entities cannot change it. Every
function here takes ``seed, purpose, entity, step`` in this order, and then ``draw``, the number of
the block of 128 bits within that name. Methods by rejection go on to ``draw + 1, draw + 2, ...``:
several such variates for one entity and step need a purpose each.

Uniforms, normals and the bits of every block use only integer operations, ``+ - * /`` and ``sqrt``,
which IEEE 754 rounds in one way, so they are the same on every machine.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

ROUNDS = 20
"""Rounds of Threefry; 12 already pass BigCrush, 20 are the authors' recommendation."""

MAX_MEAN = 1e15
"""Largest Poisson mean: above it float64 has too few bits left to name every integer."""

_PARITY = np.uint32(0x1BD11BDA)
_LOW = 0xFFFFFFFF
_INVERSION_BELOW = 10.0
_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


class StepKey(NamedTuple):
    """Names of the draws by which particles move for one step."""

    seed: int
    step: int
    move: int
    """Purpose of the draws of displacements."""
    capture: int
    """Purpose of the draws of captures, clearances and escapes."""


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _mix(a, b, rotation):
    """One MIX of Threefish on 32-bit words: ``a += b; b = (b <<< rotation) ^ a``."""
    a = np.uint32(a + b)
    b = np.uint32(np.uint32(b << np.uint32(rotation)) | np.uint32(b >> np.uint32(32 - rotation)))
    return a, np.uint32(b ^ a)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _inject(x0, x1, x2, x3, a, b, c, d, count):
    """Add four words of the key schedule, and the number of this injection to the last."""
    return (
        np.uint32(x0 + a),
        np.uint32(x1 + b),
        np.uint32(x2 + c),
        np.uint32(x3 + np.uint32(d + np.uint32(count))),
    )


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def threefry(rounds, k0, k1, k2, k3, c0, c1, c2, c3):
    """Threefry-4x32 with a given number of rounds.

    Parameters
    ----------
    rounds : int
        A multiple of 4.
    k0, k1, k2, k3 : uint32
        Key.
    c0, c1, c2, c3 : uint32
        Counter.

    Returns
    -------
    tuple of uint32
        Four random words.

    References
    ----------
    Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", SC'11.
    """
    k4 = np.uint32(_PARITY ^ np.uint32(np.uint32(k0 ^ k1) ^ np.uint32(k2 ^ k3)))
    x0, x1, x2, x3 = _inject(c0, c1, c2, c3, k0, k1, k2, k3, 0)
    for group in range(1, rounds // 4 + 1):
        if group & 1:
            x0, x1 = _mix(x0, x1, 10)
            x2, x3 = _mix(x2, x3, 26)
            x0, x3 = _mix(x0, x3, 11)
            x2, x1 = _mix(x2, x1, 21)
            x0, x1 = _mix(x0, x1, 13)
            x2, x3 = _mix(x2, x3, 27)
            x0, x3 = _mix(x0, x3, 23)
            x2, x1 = _mix(x2, x1, 5)
        else:
            x0, x1 = _mix(x0, x1, 6)
            x2, x3 = _mix(x2, x3, 20)
            x0, x3 = _mix(x0, x3, 17)
            x2, x1 = _mix(x2, x1, 11)
            x0, x1 = _mix(x0, x1, 25)
            x2, x3 = _mix(x2, x3, 10)
            x0, x3 = _mix(x0, x3, 18)
            x2, x1 = _mix(x2, x1, 20)
        k0, k1, k2, k3, k4 = k1, k2, k3, k4, k0
        x0, x1, x2, x3 = _inject(x0, x1, x2, x3, k0, k1, k2, k3, group)
    return x0, x1, x2, x3


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def block(k0, k1, k2, k3, c0, c1, c2, c3):
    """Threefry-4x32 with `ROUNDS` rounds: four uint32 from a key and a counter of four uint32."""
    return threefry(ROUNDS, k0, k1, k2, k3, c0, c1, c2, c3)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def words(seed, purpose, entity, step, draw):
    """Four random words (uint32) for one named draw.

    Parameters
    ----------
    seed, entity, step : int64
        All 64 bits count; non-negative.
    purpose, draw : int64
        The low 32 bits count.
    """
    return block(
        np.uint32(seed & _LOW),
        np.uint32((seed >> 32) & _LOW),
        np.uint32(purpose & _LOW),
        np.uint32((step >> 32) & _LOW),
        np.uint32(entity & _LOW),
        np.uint32((entity >> 32) & _LOW),
        np.uint32(step & _LOW),
        np.uint32(draw & _LOW),
    )


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _unit(high, low):
    """Middle of one of 2^52 equal cells of (0, 1): 53 bits of which the last is always 1."""
    cell = ((np.uint64(high) << np.uint64(32)) | np.uint64(low)) >> np.uint64(12)
    return np.float64(np.int64(cell)) * 2.0**-52 + 2.0**-53


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def uniform_pair(seed, purpose, entity, step, draw):
    """Two independent uniforms in the open interval (0, 1), exactly symmetric about 1/2."""
    w0, w1, w2, w3 = words(seed, purpose, entity, step, draw)
    return _unit(w0, w1), _unit(w2, w3)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def uniform(seed, purpose, entity, step, draw):
    """One uniform in the open interval (0, 1): the first of `uniform_pair`."""
    return uniform_pair(seed, purpose, entity, step, draw)[0]


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _log(x):
    """Natural logarithm of a normal number x > 0, to 2 ulp, the same on every machine.

    With x = m 2^e and 0.707 <= m < 1.414, log x = e log 2 + 2 artanh((m - 1) / (m + 1)).
    """
    bits = np.float64(x).view(np.int64)
    exponent = (bits - 0x3FE6A09E667F3BCD) >> 52
    m = np.int64(bits - (exponent << 52)).view(np.float64)
    s = (m - 1.0) / (m + 1.0)
    q = s * s
    tail = 1.0 / 19.0 + q * (1.0 / 21.0)
    tail = 1.0 / 15.0 + q * (1.0 / 17.0 + q * tail)
    tail = 1.0 / 11.0 + q * (1.0 / 13.0 + q * tail)
    tail = 1.0 / 7.0 + q * (1.0 / 9.0 + q * tail)
    tail = q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * tail))
    return exponent * 0.6931471805599453 + (2.0 * s + 2.0 * s * tail)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _circle(fraction):
    """Cosine and sine of 2 pi `fraction`, fraction in (0, 1), to 4e-16.

    The nearest quarter turn is taken out exactly; the rest, at most pi/4, goes into the series.
    """
    quarter = np.int64(4.0 * fraction + 0.5)
    x = (fraction - 0.25 * quarter) * 6.283185307179586
    q = x * x
    c = -1.0 / 87178291200.0 + q * (1.0 / 20922789888000.0)
    c = -1.0 / 3628800.0 + q * (1.0 / 479001600.0 + q * c)
    c = -1.0 / 720.0 + q * (1.0 / 40320.0 + q * c)
    c = 1.0 + q * (-0.5 + q * (1.0 / 24.0 + q * c))
    s = -1.0 / 1307674368000.0 + q * (1.0 / 355687428096000.0)
    s = -1.0 / 39916800.0 + q * (1.0 / 6227020800.0 + q * s)
    s = -1.0 / 5040.0 + q * (1.0 / 362880.0 + q * s)
    s = x * (1.0 + q * (-1.0 / 6.0 + q * (1.0 / 120.0 + q * s)))
    swap = (quarter & 1) == 1
    cosine = s if swap else c
    sine = c if swap else s
    cosine = -cosine if (quarter + 1) & 2 else cosine
    sine = -sine if quarter & 2 else sine
    return cosine, sine


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _box_muller(u, v):
    """Two standard normals, sqrt(-2 log u) (cos, sin)(2 pi v), from two uniforms in (0, 1)."""
    radius = math.sqrt(-2.0 * _log(u))
    cosine, sine = _circle(v)
    return radius * cosine, radius * sine


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def normal_pair(seed, purpose, entity, step, draw):
    """Two independent standard normals by Box & Muller 1958, with tails to 8.5 sigma."""
    u, v = uniform_pair(seed, purpose, entity, step, draw)
    return _box_muller(u, v)


@njit(cache=True, nogil=True, error_model="numpy")
def _log_poisson(k, mean):
    """Log of the Poisson probability of k at a mean > 0, without cancellation at large k.

    log p = -mean phi(d) - log(2 pi k) / 2 - sigma(k) with d = (k - mean) / mean,
    phi(d) = (1 + d) log(1 + d) - d, and sigma the tail of Stirling's series (after Loader 2000).
    """
    if k < 16.0:
        return k * math.log(mean) - mean - math.lgamma(k + 1.0)
    deviance = k * math.log1p((k - mean) / mean) - (k - mean)
    q = 1.0 / (k * k)
    sigma = (1.0 / 12.0 - q * (1.0 / 360.0 - q * (1.0 / 1260.0 - q / 1680.0))) / k
    return -deviance - _HALF_LOG_TWO_PI - 0.5 * math.log(k) - sigma


@njit(cache=True, nogil=True, error_model="numpy")
def _log_binomial(k, n, p):
    """Log of the binomial probability: that of two Poissons, k of n p and n - k of n (1 - p)."""
    return _log_poisson(k, n * p) + _log_poisson(n - k, n * (1.0 - p)) - _log_poisson(n, n)


@njit(cache=True, nogil=True, error_model="numpy")
def poisson(seed, purpose, entity, step, draw, mean):
    """Poisson variate of any mean: ``P(k) = mean^k exp(-mean) / k!``.

    Inversion of one uniform below a mean of 10; above, the transformed rejection PTRS, one block a
    trial (1.1 to 1.4 trials on average), starting at block `draw`.

    Parameters
    ----------
    mean : float64
        0 to `MAX_MEAN`; the caller checks.

    Returns
    -------
    int64

    References
    ----------
    Hoermann 1993, Insurance: Mathematics and Economics 12, 39-45.
    """
    if mean < _INVERSION_BELOW:
        u = uniform(seed, purpose, entity, step, draw)
        k = 0
        p = math.exp(-mean)
        total = p
        while u > total:
            k += 1
            p *= mean / k
            if total + p == total:  # u lies within rounding of 1
                break
            total += p
        return k
    b = 0.931 + 2.53 * math.sqrt(mean)
    a = -0.059 + 0.02483 * b
    log_alpha = math.log(1.1239 + 1.1328 / (b - 3.4))
    accept = 0.9277 - 3.6224 / (b - 2.0)
    while True:
        u, v = uniform_pair(seed, purpose, entity, step, draw)
        draw += 1
        u -= 0.5
        edge = 0.5 - abs(u)
        k = math.floor((2.0 * a / edge + b) * u + mean + 0.43)
        if edge >= 0.07 and v <= accept:
            return np.int64(k)
        if k < 0 or (edge < 0.013 and v > edge):
            continue
        hat = math.log(v) + log_alpha - math.log(a / (edge * edge) + b)
        if hat <= _log_poisson(np.float64(k), mean):
            return np.int64(k)


@njit(cache=True, nogil=True, error_model="numpy")
def binomial(seed, purpose, entity, step, draw, n, p):
    """Binomial variate: ``P(k) = n! / (k! (n - k)!) p^k (1 - p)^(n - k)``.

    Inversion of one uniform where ``n min(p, 1 - p) < 10``; above, the transformed rejection BTRS,
    one block a trial, starting at block `draw`.

    Parameters
    ----------
    n : int64
        0 or more.
    p : float64
        0 to 1; the caller checks.

    Returns
    -------
    int64

    References
    ----------
    Hoermann 1993, Journal of Statistical Computation and Simulation 46, 101-110.
    """
    if p > 0.5:
        return n - binomial(seed, purpose, entity, step, draw, n, 1.0 - p)
    mean = n * p
    if mean < _INVERSION_BELOW:
        u = uniform(seed, purpose, entity, step, draw)
        odds = p / (1.0 - p)
        k = 0
        q = math.exp(n * math.log1p(-p))
        total = q
        while u > total and k < n:
            k += 1
            q *= odds * (n - k + 1) / k
            if total + q == total:  # u lies within rounding of 1
                break
            total += q
        return k
    deviation = math.sqrt(mean * (1.0 - p))
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * p
    alpha = (2.83 + 5.1 / b) * deviation
    accept = 0.92 - 4.2 / b
    at_mode = _log_binomial(np.float64(math.floor((n + 1) * p)), np.float64(n), p)
    while True:
        u, v = uniform_pair(seed, purpose, entity, step, draw)
        draw += 1
        u -= 0.5
        edge = 0.5 - abs(u)
        k = math.floor((2.0 * a / edge + b) * u + mean + 0.5)
        if edge >= 0.07 and v <= accept:
            return np.int64(k)
        if k < 0 or k > n:
            continue
        hat = math.log(v * alpha / (a / (edge * edge) + b))
        if hat <= _log_binomial(np.float64(k), np.float64(n), p) - at_mode:
            return np.int64(k)


@njit(cache=True, nogil=True, error_model="numpy")
def uniform_array(seed, purpose, entities, step, draw, out):
    """Fill `out` (n,) float64 with one `uniform` for each of `entities` (n,) int64."""
    for i in range(entities.size):
        out[i] = uniform(seed, purpose, entities[i], step, draw)


@njit(cache=True, nogil=True, error_model="numpy")
def normal_array(seed, purpose, entities, step, draw, out):
    """Fill `out` (n,) float64 with the first of `normal_pair` for each of `entities` (n,) int64."""
    for i in range(entities.size):
        out[i] = normal_pair(seed, purpose, entities[i], step, draw)[0]


@njit(cache=True, nogil=True, error_model="numpy")
def poisson_array(seed, purpose, entities, step, means, out):
    """Fill `out` (n,) int64 with one `poisson` of `means` (n,) for each of `entities` (n,)."""
    for i in range(entities.size):
        out[i] = poisson(seed, purpose, entities[i], step, 0, means[i])


@njit(cache=True, nogil=True, error_model="numpy")
def binomial_array(seed, purpose, entities, step, trials, probabilities, out):
    """Fill `out` (n,) int64 with one `binomial` of `trials` (n,) int64 and `probabilities` (n,)."""
    for i in range(entities.size):
        out[i] = binomial(seed, purpose, entities[i], step, 0, trials[i], probabilities[i])
