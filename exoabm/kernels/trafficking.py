"""Two pools in a row with exchange, advanced exactly over a step, for many rows at once."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


def chain_coefficients(leave: float, onward: float, drain: float, dt: float) -> np.ndarray:
    """Exact step of b' = C/dt - leave*b, e' = onward*b - drain*e over ``dt``.

    Returns
    -------
    numpy.ndarray, shape (5,)
        E_b, F_b, E_e, G_b, G_c with b1 = E_b b0 + F_b C and e1 = E_e e0 + G_b b0 + G_c C, where C enters
        evenly over the step; rates in 1/s, dt in s.
    """
    keep_b, keep_e = math.exp(-leave * dt), math.exp(-drain * dt)
    mean_b = -math.expm1(-leave * dt) / (leave * dt) if leave > 0 else 1.0
    mean_e = -math.expm1(-drain * dt) / drain if drain > 0 else dt
    close = abs(leave - drain) * dt < 1e-7
    overlap = dt * keep_b if close else (keep_b - keep_e) / (drain - leave)
    from_influx = onward / (leave * dt) * (mean_e - overlap) if leave > 0 else 0.0
    return np.array([keep_b, mean_b, keep_e, onward * overlap, from_influx])


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _step(b0, e0, c, keep_b, mean_b, keep_e, from_b, from_c, off, fusion, recycling):
    """Both pools after a step, and what moved: out of the first, inward, fused, ended, out of the second."""
    b1 = b0 * keep_b + c * mean_b
    left = b0 + c - b1
    back = left * off
    inward = left - back
    fused = inward * fusion
    e1 = e0 * keep_e + (1.0 - fusion) * (b0 * from_b + c * from_c)
    ended = max(e0 + inward - fused - e1, 0.0)
    return b1, e0 + inward - fused - ended, back, inward, fused, ended, ended * recycling


@njit(cache=True, nogil=True, error_model="numpy")
def advance_chain(
    captured,
    coefficients,
    shares,
    time,
    threshold,
    encountered,
    bound,
    returning,
    internalized,
    unbound,
    endosomal,
    lysosomal,
    recycled,
    delivered,
    first_contact,
    last_contact,
    new_internalized,
    new_lysosomal,
    new_recycled,
    new_delivered,
):
    """Advance every (row, kind, label) by one step; all arrays (n, K, L), updated in place.

    Parameters
    ----------
    captured
        What enters the first pool, evenly over the step.
    coefficients
        (n, K, 5), or (1, K, 5) for all rows, from ``chain_coefficients``; with others in place of F_b and G_c
        where what enters comes otherwise than evenly.
    shares
        (n, K, 4), or (1, K, 4) for all rows: of what leaves the first pool, the share that goes back out;
        of what goes on, the share delivered at once; of what leaves the second pool, the share that goes
        back out; and of the rest of that, the share delivered.
    time, threshold
        End of the step, and the running count at which ``first_contact`` is set to it.
    """
    n, kinds, labels = captured.shape
    own, each = shares.shape[0] > 1, coefficients.shape[0] > 1
    for i in range(n):
        for k in range(kinds):
            keep_b, mean_b, keep_e, from_b, from_c = coefficients[i if each else 0, k]
            off, fusion, recycling, escape = shares[i if own else 0, k]
            for j in range(labels):
                c = captured[i, k, j]
                b0 = bound[i, k, j]
                e0 = endosomal[i, k, j]
                b1, e1, back, inward, fused, ended, out = _step(
                    b0, e0, c, keep_b, mean_b, keep_e, from_b, from_c, off, fusion, recycling
                )
                functional = fused + (ended - out) * escape
                degraded = (ended - out) * (1.0 - escape)
                bound[i, k, j] = b1
                returning[i, k, j] = back + out
                endosomal[i, k, j] = e1
                internalized[i, k, j] += inward
                unbound[i, k, j] += back
                lysosomal[i, k, j] += degraded
                recycled[i, k, j] += out
                delivered[i, k, j] += functional
                new_internalized[i, k, j] = inward
                new_lysosomal[i, k, j] = degraded
                new_recycled[i, k, j] = out
                new_delivered[i, k, j] = functional
                if c > 0.0:
                    encountered[i, k, j] += c
                    last_contact[i, k, j] = time
                    if encountered[i, k, j] >= threshold and np.isnan(first_contact[i, k, j]):
                        first_contact[i, k, j] = time


@njit(cache=True, nogil=True, error_model="numpy")
def advance_parts(
    captured, coefficients, shares, bound, endosomal, bound_parts, endosomal_parts, returning_parts
):  # fmt: skip
    """Advance what the pools are made of by the step that ``advance_chain`` then takes with their totals.

    Every part goes the same way at the same rates, so that each is advanced by itself.

    Parameters
    ----------
    captured
        (n, K, L, S) what enters, by part.
    coefficients, shares
        As in ``advance_chain``.
    bound, endosomal
        (n, K, L) the pools before the step.
    bound_parts, endosomal_parts, returning_parts
        (n, K, L, S) share of each part in the pools and in what goes back out; the first two as they are
        before the step, all written. Their sum is 1, or 0 where nothing is.
    """
    n, kinds, labels, parts = captured.shape
    own, each = shares.shape[0] > 1, coefficients.shape[0] > 1
    for i in range(n):
        for k in range(kinds):
            keep_b, mean_b, keep_e, from_b, from_c = coefficients[i if each else 0, k]
            off, fusion, recycling, _ = shares[i if own else 0, k]
            for j in range(labels):
                total_b = total_e = total_r = 0.0
                for s in range(parts):
                    b1, e1, back, _, _, _, out = _step(
                        bound[i, k, j] * bound_parts[i, k, j, s],
                        endosomal[i, k, j] * endosomal_parts[i, k, j, s],
                        captured[i, k, j, s], keep_b, mean_b, keep_e, from_b, from_c, off, fusion, recycling,
                    )  # fmt: skip
                    bound_parts[i, k, j, s] = b1
                    endosomal_parts[i, k, j, s] = e1
                    returning_parts[i, k, j, s] = back + out
                    total_b += b1
                    total_e += e1
                    total_r += back + out
                for s in range(parts):
                    bound_parts[i, k, j, s] /= total_b if total_b > 0.0 else 1.0
                    endosomal_parts[i, k, j, s] /= total_e if total_e > 0.0 else 1.0
                    returning_parts[i, k, j, s] /= total_r if total_r > 0.0 else 1.0
