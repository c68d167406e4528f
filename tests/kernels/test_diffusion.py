"""The continuum kernels against the plain reference, and the balances that must hold exactly."""

from __future__ import annotations

import copy
import functools

import numpy as np
import pytest
from reference import Problem, advance, membrane_rate
from scipy.sparse import csr_array

from exoabm.kernels import diffusion_stencil as d
from exoabm.kernels import linear_uptake, saturable_uptake
from exoabm.kernels import uptake_rates as x
from exoabm.kernels.binding_kinetics import compartment_coefficients
from exoabm.kernels.medium import FIXED, NO_FLUX, PERIODIC

SIDES = {
    "no-flux": [NO_FLUX] * 6,
    "periodic": [PERIODIC] * 6,
    "fixed": [FIXED] * 6,
    "mixed": [NO_FLUX, FIXED, PERIODIC, PERIODIC, FIXED, NO_FLUX],
}
SHAPES = [(5, 7), (6, 1), (1, 2), (3, 4, 6), (4, 3, 2), (2, 1, 1), (1, 3, 35)]


def faces_of(theta, sides, dtype):
    """Face conductances of a field of relative diffusivities: harmonic means, 0 at obstacles."""
    faces = []
    for axis in range(theta.ndim):
        along = theta.ndim - 1 - axis
        low, high = theta.take([0], along), theta.take([-1], along)
        left = np.concatenate([high, theta], along)
        right = np.concatenate([theta, low], along)
        with np.errstate(invalid="ignore"):
            g = np.nan_to_num(2.0 * left * right / (left + right))
        ends = np.moveaxis(g, along, 0)
        for index, own, code in ((0, low, sides[2 * axis]), (-1, high, sides[2 * axis + 1])):
            if code == NO_FLUX:
                ends[index] = 0.0
            elif code == FIXED:
                ends[index] = 2.0 * np.moveaxis(own, along, 0)[0]
        faces.append(np.ascontiguousarray(g, dtype=dtype))
    return tuple(faces)


def make(shape, sides="mixed", dtype=np.float64, labels=1, varied=False, saturation=0.0, seed=7, groups=None):
    """Build a random problem: three overlapping cells, sources, and obstacles where D varies.

    Label l has the D and clearance of the group l modulo ``groups``, by default of its own.
    """
    rng = np.random.default_rng(seed)
    size, codes = int(np.prod(shape)), np.array(SIDES[sides], dtype=np.int8)
    u = rng.random((labels, *shape)).astype(dtype)
    voxel = np.sort(rng.choice(size, max(1, size // 3), replace=False))
    conductance = None
    if varied:
        theta = rng.uniform(0.3, 1.0, shape)
        theta.flat[np.setdiff1d(rng.permutation(size)[: size // 4], voxel)] = 0.0
        u[:, theta == 0.0] = 0.0
        conductance = faces_of(theta, codes, dtype)
    pairs = sorted({(int(rng.integers(voxel.size)), int(rng.integers(3))) for _ in range(9)})
    slot, cell = np.array(pairs).T
    weight = rng.uniform(0.2, 1.0, slot.size)
    weight /= np.bincount(cell, weight, minlength=3)[cell]
    r, decay = rng.uniform(0.02, 0.08, labels), rng.uniform(0.01, 0.03, labels)
    mine = np.arange(labels) % (groups or labels)
    return Problem(
        u=u, r=r[mine], decay=decay[mine],
        sides=codes, value=rng.uniform(0.0, 2.0, (labels, 6)), voxel=voxel,
        source=rng.random((labels, voxel.size)), slot=slot, cell=cell, weight=weight,
        rate=np.array([30.0, 5.0, 90.0]), lattice_rate=np.array([20.0, 6.0, 40.0]),
        saturation=saturation * np.array([1.0, 0.0, 3.0]), dt=0.7, volume=40.0,
        conductance=conductance,
    )  # fmt: skip


def run_linear(p, n_sub, threads=1, label=None):
    """Fields, uptake per cell, exposure and flows of all labels, or of one, by `advance_linear`.

    ``n_sub`` is a number, or those of the groups.
    """
    counts = np.atleast_1d(n_sub)
    mine = slice(None) if label is None else slice(label, label + 1)
    u = p.u[mine].copy(order="K")
    labels, n_slots = len(u), p.voxel.size
    slots = linear_uptake.index_slots(p.voxel, u.shape[1:])
    rate = np.tile(p.dt * p.lattice_rate / p.volume, (len(counts), 1))
    sink = np.array([np.bincount(p.slot, r[p.cell] * p.weight, minlength=n_slots) for r in rate])
    exposure, flows, taken = (
        np.zeros((labels, n_slots)),
        np.zeros((labels, 6)),
        np.zeros((labels, p.rate.size)),
    )
    flows[:, d.MASS] = u.reshape(labels, -1).sum(axis=1, dtype=np.float64)
    linear_uptake.advance_linear(
        u, np.empty_like(u), n_sub=counts, diffusion=diffusion(p, mine), slots=slots,
        source=p.source[mine].copy(), sink=sink, exposure=exposure, flows=flows, threads=threads,
    )  # fmt: skip
    linear_uptake.collect(p.slot, p.cell, p.weight, rate, exposure, taken)
    return u, taken, exposure, flows


def diffusion(p, mine=slice(None), groups=None):
    """D and clearance of the groups, by default of the labels, and the sides, for some of the labels."""
    return d.Diffusion(p.r[mine][:groups], p.decay[mine][:groups], p.sides, p.value[mine], p.conductance)


def run_saturable(p, n_sub, threads=1, occupancy=None, groups=None):
    """Field, uptake per label and cell, and flows by `advance_saturable`, of groups with the same kappa."""
    u, groups = p.u.copy(), len(p.u) if groups is None else groups
    labels, n_cells = len(u), p.rate.size
    taken, flows = np.zeros((labels, n_cells)), np.zeros((labels, 6))
    flows[:, d.MASS] = u.reshape(labels, -1).sum(axis=1, dtype=np.float64)
    saturable_uptake.advance_saturable(
        u, np.empty_like(u), n_sub=n_sub, diffusion=diffusion(p, groups=groups),
        slots=linear_uptake.index_slots(p.voxel, u.shape[1:]),
        entries=x.index_entries(p.slot, p.cell, p.weight, p.voxel, n_cells), source=p.source.copy(),
        law=x.UptakeLaw(p.rate, np.tile(p.lattice_rate, (groups, 1)), p.saturation), dt=p.dt, volume=p.volume,
        taken=taken, flows=flows, occupancy=occupancy, threads=threads,
    )  # fmt: skip
    return u, taken, flows


def booked(books):
    return np.array([[b.released, b.taken, b.cleared, b.escaped, b.entered] for b in books])


@pytest.mark.parametrize("n_sub", [1, 4])
@pytest.mark.parametrize("varied", [False, True], ids=["uniform", "varied"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["f64", "f32"])
@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
class TestReference:
    def test_linear(self, shape, sides, dtype, varied, n_sub):
        p = make(shape, sides, dtype, varied=varied)
        expected, taken, exposure = advance(p, n_sub)
        got = run_linear(p, n_sub)
        tight = 1e-13 if dtype == np.float64 else 2e-6
        np.testing.assert_allclose(got[0], expected, rtol=tight, atol=tight)
        np.testing.assert_allclose(got[1], taken, rtol=tight)
        np.testing.assert_allclose(got[2], exposure, rtol=tight)
        np.testing.assert_allclose(got[3][:, 1:], booked(p.books), rtol=tight, atol=tight)

    def test_saturable(self, shape, sides, dtype, varied, n_sub):
        p = make(shape, sides, dtype, labels=10, varied=varied, saturation=20.0, groups=2)
        expected, taken, _ = advance(p, n_sub, groups=2)
        got = run_saturable(p, n_sub, groups=2)
        tight = 1e-12 if dtype == np.float64 else 4e-6
        np.testing.assert_allclose(got[0], expected, rtol=tight, atol=tight)
        np.testing.assert_allclose(got[1], taken, rtol=tight)
        np.testing.assert_allclose(got[2][:, 1:], booked(p.books), rtol=tight, atol=tight)


@pytest.mark.parametrize("what", ["r", "decay", "value", "source", "lattice_rate", "conductance"])
def test_reference_catches_five_percent(what):
    """The comparison above fails if any coefficient is 5 % off."""
    p = make((3, 4, 6), varied=True)
    wrong = copy.deepcopy(p)
    changed = getattr(p, what)
    scaled = tuple(1.05 * g for g in changed) if what == "conductance" else 1.05 * changed
    setattr(wrong, what, scaled)
    assert np.max(np.abs(run_linear(wrong, 4)[0] - advance(p, 4)[0])) > 1e-4


def test_saturable_reference_catches_five_percent():
    p = make((3, 4, 6), labels=3, saturation=20.0)
    wrong = copy.deepcopy(p)
    wrong.saturation = 1.05 * p.saturation
    assert np.max(np.abs(run_saturable(wrong, 4)[1] / advance(p, 4, groups=3)[1] - 1.0)) > 1e-3


@pytest.mark.parametrize("varied", [False, True], ids=["uniform", "varied"])
@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("shape", [(23, 31), (7, 9, 11)], ids=str)
def test_mass_follows_its_own_recurrence(shape, sides, varied):
    """M is carried on by the flows alone and still equals the sum of the field."""
    p = make(shape, sides, labels=3, varied=varied, saturation=20.0)
    for u, taken, *_, flows in (run_linear(p, 501), run_saturable(p, 501)):
        np.testing.assert_allclose(flows[:, d.MASS], u.reshape(3, -1).sum(1), rtol=1e-12)
        np.testing.assert_allclose(flows[:, d.TAKEN], taken.sum(1), rtol=1e-12)
    signs = np.array([1, -1, -1, -1, 1])
    np.testing.assert_allclose(flows[:, d.MASS], p.u.reshape(3, -1).sum(1) + flows[:, 1:] @ signs, rtol=1e-12)


def test_mass_check_sees_a_leaking_stencil():
    """A face whose two voxels disagree on its conductance breaks the recurrence."""
    p = make((23, 31), "periodic", varied=True)
    p.conductance[0][:, 0] *= 1.05
    u, _, _, flows = run_linear(p, 20)
    assert abs(flows[0, d.MASS] / u.sum() - 1.0) > 1e-6


@pytest.mark.parametrize("varied", [False, True], ids=["uniform", "varied"])
@pytest.mark.parametrize("shape", [(23, 31), (5, 9, 11), (1, 3)], ids=str)
def test_threads_leave_the_same_bits(monkeypatch, shape, varied):
    """Of linear uptake, threads take whole labels, or more threads than labels divide the blocks."""
    monkeypatch.setattr(linear_uptake, "DIVIDED_VOXELS", 1)
    p = make(shape, labels=10, varied=varied, saturation=20.0, groups=2)
    for run in (run_linear, functools.partial(run_saturable, groups=2)):
        for one, other in zip(run(p, 7), run(p, 7, threads=2), strict=True):
            assert one.tobytes() == other.tobytes()
        for one, other in zip(run(p, 7), run(p, 7, threads=11), strict=True):
            assert one.tobytes() == other.tobytes()


def test_linear_is_the_unsaturated_limit():
    p = make((9, 13), labels=3)
    u, taken, flows = run_saturable(p, 50)
    for label in range(3):
        one = run_linear(p, 50, label=label)
        np.testing.assert_allclose(u[label], one[0][0], rtol=1e-13)
        np.testing.assert_allclose(taken[label], one[1][0], rtol=1e-13)
        np.testing.assert_allclose(flows[label], one[3][0], rtol=1e-13)


def test_labels_add_up():
    """Labels that differ only in origin sum to the run that does not tell them apart."""
    p = make((9, 13), labels=3, saturation=20.0)
    p.r[:], p.decay[:] = p.r[0], p.decay[0]
    whole = copy.deepcopy(p)
    for name in ("u", "source", "value"):
        setattr(whole, name, getattr(p, name).sum(0, keepdims=True))
    whole.r, whole.decay = p.r[:1], p.decay[:1]
    parts, together = run_saturable(p, 50, groups=1), run_saturable(whole, 50)
    for part, total in zip(parts, together, strict=True):
        np.testing.assert_allclose(part.sum(0), total[0], rtol=1e-12)


def test_every_voxel_may_be_a_slot():
    """Slots without cells or sources change no bit, though all voxels are then treated as one long row."""
    p = make((9, 13), labels=6, saturation=20.0, groups=2)
    q = copy.deepcopy(p)
    q.voxel, q.source = np.arange(p.u[0].size), np.zeros((6, p.u[0].size))
    q.source[:, p.voxel], q.slot = p.source, p.voxel[p.slot]
    for few, all_ in zip(run_saturable(p, 9, groups=2), run_saturable(q, 9, groups=2), strict=True):
        assert few.tobytes() == all_.tobytes()


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["f64", "f32"])
def test_positive_under_strong_uptake(dtype):
    """A single vesicle, uptake far beyond explicit stability, at the largest r that is allowed."""
    p = make((9, 13), "no-flux", dtype, labels=3, saturation=20.0)
    p.u[:] = 0.0
    p.u[:, 4, 6] = 1.0
    p.source[:] = 0.0
    p.r[:], p.decay[:] = 0.2, 0.1
    p.rate, p.lattice_rate = p.rate * 1e5, p.lattice_rate * 1e5
    for u, taken, *_ in (run_linear(p, 30), run_saturable(p, 30)):
        assert u.min() >= 0.0
        assert taken.min() >= 0.0
        assert u.max() > 0.0


@pytest.mark.parametrize("sides", SIDES)
def test_obstacles_stay_empty(sides):
    p = make((8, 9, 10), sides, labels=3, varied=True, saturation=20.0)
    gx, gy, gz = p.conductance
    closed = gx[..., 1:] + gx[..., :-1] + gy[:, 1:] + gy[:, :-1] + gz[1:] + gz[:-1] == 0.0
    assert closed.sum() > 50
    assert np.all(run_linear(p, 60)[0][0][closed] == 0.0)
    assert np.all(run_saturable(p, 60)[0][:, closed] == 0.0)


def test_conductance_may_carry_the_time_step():
    p = make((9, 13), varied=True)
    q = copy.deepcopy(p)
    q.conductance, q.r = tuple(g * p.r[0] for g in p.conductance), np.ones(1)
    np.testing.assert_allclose(run_linear(q, 9)[0], run_linear(p, 9)[0], rtol=1e-13)


def test_steady_state_does_not_depend_on_the_step():
    fields, rates = [], []
    for scale in (1.0, 0.25):
        p = make((9, 13), labels=3, saturation=20.0)
        p.dt *= scale
        for name in ("r", "decay", "source"):
            setattr(p, name, getattr(p, name) * scale)
        p.u = run_saturable(p, int(1500 / scale))[0]
        u, taken, _ = run_saturable(p, 1)
        fields.append(u)
        rates.append(taken / p.dt)
    np.testing.assert_allclose(fields[1], fields[0], rtol=1e-10)
    np.testing.assert_allclose(rates[1], rates[0], rtol=1e-10)


@pytest.mark.parametrize("leave", [0.02, 0.5, 50.0])
def test_receptors_at_rest_make_the_law_at_rest(leave):
    """Field and uptake at rest with R = Km k_a / leave receptors, few bound over a sub-step or most."""
    p = make((9, 13), labels=3, saturation=20.0)
    number = np.divide(p.rate, p.saturation * leave, out=np.full(3, np.inf), where=p.saturation > 0)
    chain = compartment_coefficients(leave, leave, 0.1, p.dt)
    occupancy = x.Occupancy(np.ones(3), number, chain, np.zeros(3), np.zeros((3, 2)))
    held = copy.deepcopy(p)
    held.saturation = p.rate * chain[1] * p.dt / number
    p.u, held.u = run_saturable(p, 3000)[0], run_saturable(held, 3000, occupancy=occupancy)[0]
    (u, taken, _), (other, same, _) = run_saturable(p, 1), run_saturable(held, 1, occupancy=occupancy)
    np.testing.assert_allclose(other, u, rtol=1e-6)
    np.testing.assert_allclose(same, taken, rtol=1e-6)
    limited = np.isfinite(number)
    bound = (taken.sum(axis=0) / p.dt / leave / number)[limited]
    np.testing.assert_allclose(occupancy.taken[limited], bound, rtol=1e-6)
    assert bound.max() > 0.3


def test_no_more_is_taken_than_there_are_receptors():
    """Much comes at once, at rates far beyond explicit stability; what was bound is in the pools."""
    p = make((9, 13), "no-flux", labels=3)
    p.u[:] = 0.0
    p.source[:] *= 1e4
    p.rate, p.lattice_rate = p.rate * 1e3, p.lattice_rate * 1e3
    number, chain = np.array([3.0, 40.0, 0.5]), compartment_coefficients(0.01, 0.01, 0.1, p.dt)
    there = np.array([1.0, 0.7, 1.0])
    occupancy = x.Occupancy(there, number, chain, np.array([0.0, 0.1, 0.9]), np.zeros((3, 2)))
    p.saturation = p.rate * chain[1] * p.dt / number
    total = np.zeros(3)
    for _ in range(40):
        total += run_saturable(p, 1, occupancy=occupancy)[1].sum(axis=0)
        assert (occupancy.taken <= there * (1 + 1e-12)).all()
    assert (occupancy.taken > 0.95 * there).all()
    assert total.sum() > 30


@pytest.mark.parametrize("kappa", [7.0, 14.0, 30.0])
def test_membrane_rate_solves_its_equation(kappa):
    """Over twelve decades of load, with the grid's resistance of either sign."""
    for load in np.logspace(-4, 8, 25):
        g = rate_of(load / 200.0, kappa, 200.0)
        assert g == pytest.approx(membrane_rate(load / 200.0, 14.0, kappa, 200.0), rel=1e-12)
        assert 0.0 < g * load / 200.0 < 14.0 / 200.0
    assert rate_of(3.0, kappa, 0.0) == pytest.approx(kappa, rel=1e-15)
    assert rate_of(0.0, kappa, 200.0) == pytest.approx(kappa, rel=1e-15)


def rate_of(mean, kappa, saturation):
    """The effective rate of one cell with k_a = 14 at a mean concentration."""
    law = x.UptakeLaw(np.array([14.0]), np.array([[kappa]]), np.array([saturation]))
    rates = x.Rates.of(law)
    rates.mean[:] = mean
    x.set_rates(rates, None, 0, 1)
    return rates.rate[0, 0]


def test_cell_without_uptake_takes_nothing():
    p = make((5, 7), labels=2, saturation=20.0)
    p.rate, p.lattice_rate = np.array([0.0, 5.0, 0.0]), np.array([0.0, 6.0, 0.0])
    taken = run_saturable(p, 5)[1]
    assert np.all(taken[:, [0, 2]] == 0.0)
    assert np.all(taken[:, 1] > 0.0)


def test_no_slots():
    p = make((5, 7))
    flows, empty = np.zeros((1, 6)), np.zeros((1, 0))
    flows[0, d.MASS] = p.u.sum()
    linear_uptake.advance_linear(
        p.u, np.empty_like(p.u), n_sub=np.array([3]), diffusion=diffusion(p)._replace(sides=SIDES["no-flux"]),
        slots=linear_uptake.index_slots(np.zeros(0, int), p.u.shape[1:]), source=empty, sink=empty,
        exposure=empty, flows=flows,
    )  # fmt: skip
    assert flows[0, d.MASS] == pytest.approx(p.u.sum(), rel=1e-14)


def test_wrong_arguments_are_refused():
    p = make((5, 7))
    for change in (
        {"source": p.source[:, :-1]},
        {"sides": [PERIODIC, NO_FLUX] * 3},
        {"value": p.value[:, :4]},
        {"conductance": (np.ones((5, 7)), np.ones((6, 7)))},
        {"u": np.ones((1, 7, 5)).swapaxes(1, 2)},
        {"voxel": p.voxel[::-1]},
        {"voxel": p.voxel + 35},
    ):
        bad = copy.deepcopy(p)
        for name, value in change.items():
            setattr(bad, name, value)
        with pytest.raises(ValueError, match=r"must|periodic"):
            run_linear(bad, 1)
    with pytest.raises(ValueError, match="sorted"):
        x.index_entries(np.array([1, 0]), np.array([0, 0]), np.ones(2), np.arange(2), 1)
    with pytest.raises(ValueError, match="cells"):
        x.index_entries(np.array([0, 1]), np.array([0, 1]), np.ones(2), np.arange(2), 1)


@pytest.mark.parametrize("classes", [0, 3])
def test_what_comes_back_enters_where_its_cells_release(classes: int) -> None:
    """A_q = sum_i n_il s_ilg w_iq, as a dense product and, with the same bits, as a table of rows."""
    rng = np.random.default_rng(4)
    cells, labels, slots, shares = 5, 2, 7, np.array([0.2, 0.5, 0.3])
    weight = rng.random((cells, slots)) * (rng.random((cells, slots)) < 0.5)
    count = rng.random((cells, labels)) * (rng.random((cells, labels)) < 0.7)
    part = rng.random((cells, labels, classes))
    sparse = csr_array(weight)
    release = sparse.indptr, sparse.indices, sparse.data
    found, by_rows = np.zeros((2, labels, 3, slots))
    linear_uptake.spread_back(count, part, shares, *release, found)
    split = count[..., None] * (part if classes else shares)
    assert found == pytest.approx(np.einsum("ilg,iq->lgq", split, weight), rel=1e-12)
    cell, label, size = np.indices(split.shape).reshape(3, -1)
    linear_uptake.spread((cell, label, split.ravel(), size), shares, *release, by_rows)
    assert (found == by_rows).all()
