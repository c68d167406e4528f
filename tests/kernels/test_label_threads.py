"""Labels with linear uptake, by several threads: identical bits, all threads at work, and an early end."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from exoabm.kernels import diffusion_stencil, linear_uptake
from exoabm.kernels.diffusion_stencil import Diffusion
from exoabm.kernels.medium import FIXED, NO_FLUX, PERIODIC

N_SUB = (9, 2, 14)
"""Sub-steps of the size classes, odd and even."""


SIDES = (NO_FLUX, FIXED, PERIODIC, PERIODIC, FIXED, NO_FLUX)


def advance(shape, threads, dtype=np.float64, varied=False):
    """Fields, exposure and flows of two origins x three size classes that differ in D, uptake and sources."""
    rng = np.random.default_rng(7)
    u, faces, deep = rng.random((6, *shape)).astype(dtype), None, len(shape) == 3
    voxel = np.sort(rng.choice(u[0].size, u[0].size // 3, replace=False))
    if varied:
        faces = []
        for axis in range(len(shape))[::-1]:
            g = np.moveaxis(rng.uniform(0.3, 1, [n + (i == axis) for i, n in enumerate(shape)]), axis, 0)
            g[-1] = g[0]  # of the periodic axis
            faces.append(np.ascontiguousarray(np.moveaxis(g, 0, axis), dtype))
    exposure, flows = np.zeros((6, voxel.size)), np.zeros((6, 6))
    linear_uptake.advance_linear(
        u, np.empty_like(u), n_sub=np.array(N_SUB), source=rng.random(exposure.shape),
        diffusion=Diffusion(
            np.array([0.02, 0.05, 0.08]), np.array([0.01, 0.02, 0.03]), SIDES[: 6 if deep else 4],
            rng.random((6, 6)), None if faces is None else tuple(faces),
        ),
        slots=linear_uptake.index_slots(voxel, shape), sink=rng.random((3, voxel.size)), exposure=exposure,
        flows=flows, threads=threads,
    )  # fmt: skip
    return u, exposure, flows


@pytest.mark.parametrize("varied", [False, True], ids=["uniform", "varied"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["f64", "f32"])
@pytest.mark.parametrize("shape", [(23, 31), (5, 9, 11)], ids=str)
def test_any_number_of_threads_gives_the_same_bits(monkeypatch, shape, dtype, varied):
    """Two origins x three size classes, whole and in pieces."""
    monkeypatch.setattr(linear_uptake, "BLOCK_VOXELS", 1)
    one = advance(shape, 1, dtype, varied)
    assert len({row.tobytes() for row in one[2]}) == 6, "no label is like another"
    for updates in (diffusion_stencil.UPDATES_PER_CALL, 2 * int(np.prod(shape))):
        monkeypatch.setattr(diffusion_stencil, "UPDATES_PER_CALL", updates)
        for threads in (2, 3, 6, 7):
            for a, b in zip(one, advance(shape, threads, dtype, varied), strict=True):
                assert a.tobytes() == b.tobytes()


def test_threads_use_the_code_that_is_compiled_for_one():
    """A second compilation, for arrays of another layout, takes about 1 s of the first run of a user."""
    for threads in (1, 2):
        advance((9, 13), threads)
    layouts = {piece[0].layout for _, _, piece, *_ in linear_uptake.linear_serial.signatures}
    assert layouts == {"C"}


def test_threads_share_the_work(monkeypatch):
    """Both are at work at the same time, in arrays of their own, with similar numbers of sub-steps."""
    begun, together = [], threading.Barrier(2)
    kernel = linear_uptake.linear_serial

    def watched(u, scratch, piece, n_sub, *state):
        begun.append((n_sub[piece[0]].tolist(), threading.get_ident(), scratch.ctypes.data))
        together.wait(60)
        kernel(u, scratch, piece, n_sub, *state)

    monkeypatch.setattr(linear_uptake, "linear_serial", watched)
    advance((9, 13), 2)
    numbers, threads, arrays = zip(*begun, strict=True)
    assert numbers == ([14, 9, 2], [14, 9, 2])
    assert len(set(threads)) == len(set(arrays)) == 2


@pytest.mark.parametrize("own", [True, False], ids=["caller", "other"])
def test_an_exception_in_a_thread_is_raised(monkeypatch, own):
    """In the caller's, as a signal raises it, the other ends after its piece; that of another is not lost."""
    caller, calls, both = threading.get_ident(), [], threading.Barrier(2)
    monkeypatch.setattr(diffusion_stencil, "UPDATES_PER_CALL", 9 * 13)  # a sub-step to a piece
    failed = threading.Event()

    def kernel(*_):
        mine = (threading.get_ident() == caller) == own
        calls.append(mine)
        if calls.count(mine) == 1:
            both.wait(60)
        if mine:
            failed.set()
            raise KeyboardInterrupt
        failed.wait(60)
        time.sleep(0.05)

    monkeypatch.setattr(linear_uptake, "linear_serial", kernel)
    with pytest.raises(KeyboardInterrupt):
        advance((9, 13), 2)
    assert calls.count(True) == 1
    assert calls.count(False) == 1 if own else calls.count(False) == 2 * sum(N_SUB) - max(N_SUB)
