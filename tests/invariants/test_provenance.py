"""Who sent it: label fields add up, and agree with the exact transfer matrix."""

from __future__ import annotations

import numpy as np
import pytest
from crowded_tissue import crowd
from worlds import run, stop_secretion

from exoabm import ExosomeModel

COUNTS = ("encountered", "bound", "taken_up", "endosomal", "lysosomal", "delivered")


@pytest.mark.parametrize("dim", [2, 3])
def test_cells_add_up_to_types(dim: int) -> None:
    """Summed over the donor cells of a type, label fields of cells are those of types, to 1e-12."""
    by_type = run(crowd(dim, zones=True), 3600).state
    by_cell = run(crowd(dim, zones=True, provenance="cell"), 3600).state
    member = np.array([[t == name for t in by_cell.labels.types] for name in by_type.labels.types])
    assert member.sum(axis=1).tolist() == [3, 2]
    field = np.tensordot(member.astype(float), by_cell.fields[0], 1)
    np.testing.assert_allclose(field, by_type.fields[0], rtol=1e-12)
    for name in COUNTS:
        summed = getattr(by_cell.trafficking, name) @ member.T
        np.testing.assert_allclose(summed, getattr(by_type.trafficking, name), rtol=1e-12)


def test_labels_do_not_change_the_total() -> None:
    """Saturable uptake acts on the sum: telling cells apart changes it by rounding alone."""
    totals = []
    for provenance, labels in (("cell_type", 2), ("cell", 5), ("none", 1)):
        state = run(crowd(3, saturation="0.1 pM", provenance=provenance), 3600).state
        assert len(state.labels) == labels
        totals.append([state.fields[0].sum(axis=0), state.trafficking.taken_up.sum(axis=2)])
    for each in totals[1:]:
        for a, b in zip(totals[0], each, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)


def shares(model: ExosomeModel, rest: float) -> np.ndarray:
    """Internalized per vesicle released, (donors, cells), when all but ``rest`` of it has ended."""
    run(model, 1800)
    stop_secretion(model)
    balance = model.state.balance
    while (balance["free"] + balance["bound"] > rest * balance.emitted).any():
        run(model, 1800)
    taken = model.state.trafficking.taken_up[:, 0].T
    return np.asarray(taken / balance.emitted[0][:, None])


def mismatch(model: ExosomeModel, truth: ExosomeModel, rest: float) -> float:
    """Largest relative difference between the label fields and the transfer matrix of the truth."""
    matrix = truth.transfer_matrix()
    assert matrix.donors.tolist() == [0, 1, 2, 3, 4]
    assert matrix.recipients.tolist() == [3, 4, 5, 6, 7, 8]
    assert (matrix.taken_up > 1e-4).all()
    return float(np.abs(shares(model, rest)[:, matrix.recipients] / matrix.taken_up - 1).max())


@pytest.mark.parametrize("faces", ["no-flux", "periodic", "open"])
@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("zones", [False, True])
@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-9), ("float32", 2e-5)])
def test_label_fields_end_in_the_transfer_matrix(
    faces: str, dim: int, zones: bool, precision: str, tolerance: float
) -> None:
    """Relative difference of every entry at most 1e-9, in single precision 2e-5."""
    options = {"zones": zones, "provenance": "cell", "precision": precision, "step": 180}
    model = crowd(dim, faces=faces, **options)
    assert mismatch(model, model, rest=1e-3 * tolerance) <= tolerance


@pytest.mark.parametrize(
    "fault",
    [
        {"vesicle": {"diffusivity": 1.05 * 6.572}},
        {"vesicle": {"half_life": 1.05}},
        {"vesicle": {"unbinding_rate": 2 * 1.05}},
        {"kinds": {"diameter": 15 * 1.05}},
    ],
)
def test_five_percent_in_any_rate_is_seen(fault: dict[str, dict[str, float]]) -> None:
    wrong, right = crowd(provenance="cell", **fault), crowd(provenance="cell")
    assert mismatch(wrong, right, rest=1e-6) > 1e-3


def test_vesicles_that_are_always_recycled_are_counted_every_time() -> None:
    """Only clearance ends them. The matrix goes on smoothly to where no cell keeps any."""
    nearly, always, less = (
        crowd(provenance="cell", vesicle={"recycling_probability": p}).transfer_matrix().taken_up
        for p in (1 - 1e-7, 1.0, 0.95)
    )
    assert np.isfinite(always).all()
    np.testing.assert_allclose(nearly, always, rtol=1e-5)
    assert (less < 0.999 * always).all()
