"""Diffusion with uptake that saturates on the sum of the labels: all labels advance together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit, prange

from exoabm.kernels.diffusion_stencil import (
    Conductance,
    Field,
    Floats,
    check_shape,
    diffuse_row,
    flatten,
    inflow,
    side_values,
    split_range,
    substeps,
    update_balance,
)  # fmt: skip
from exoabm.kernels.linear_uptake import Slots
from exoabm.kernels.uptake_rates import (
    Entries,
    Occupancy,
    UptakeLaw,
    mean_over,
    occupy_all,
    refresh_occupied,
    refresh_rates,
)  # fmt: skip

_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(**_JIT)
def exchange_shared(field, row, slots, entries, source, rate, step, slot_total, entry_taken, row_taken):
    """Set u' = (u* + A) / (1 + B) in one row, B = (dt/V) sum_e w_e g_e alike for all labels of a group.

    Parameters
    ----------
    field
        (labels, rows, nx) after diffusion, changed in place.
    source
        (labels, slots) A.
    rate
        (groups, cells) g, um^3/s; label l is of the group l modulo their number.
    step
        dt / V, s / um^3.
    slot_total
        (groups, slots) sum of u' over the labels, written for the next sub-step.
    entry_taken
        (labels, entries) vesicles taken up, added to in place.
    row_taken
        (labels, rows) sum of B u', written.
    """
    labels, groups = field.shape[0], rate.shape[0]
    row_taken[:, row] = 0.0
    for q in range(slots.row_ptr[row], slots.row_ptr[row + 1]):
        first, last = entries.slot_ptr[q], entries.slot_ptr[q + 1]
        for g in range(groups):
            sink = 0.0
            for e in range(first, last):
                sink += step * entries.weight[e] * rate[g, entries.cell[e]]
            total = 0.0
            for label in range(g, labels, groups):
                amount = (field[label, row, slots.column[q]] + source[label, q]) / (1.0 + sink)
                field[label, row, slots.column[q]] = amount
                total += amount
                row_taken[label, row] += sink * amount
                for e in range(first, last):
                    uptake = step * entries.weight[e] * rate[g, entries.cell[e]]
                    entry_taken[label, e] += uptake * amount
            slot_total[g, q] = total


@njit(**_JIT)
def _diffuse_shared(
    new, old, first, last, grid, value, r, decay, faces, slots, source, slot_fresh, row_escaped
):  # fmt: skip
    """Diffusion and decay of the rows `first` to `last` of every label, and what is then in their slots."""
    labels, groups = old.shape[0], slot_fresh.shape[0]
    for row in range(first, last):
        for label in range(labels):
            row_escaped[label, row] = diffuse_row(
                new[label], old[label], row, grid, value, label, r[label], decay[label], faces
            )
        for q in range(slots.row_ptr[row], slots.row_ptr[row + 1]):
            slot_fresh[:, q] = 0.0
            for label in range(labels):
                slot_fresh[label % groups, q] += new[label, row, slots.column[q]] + source[label, q]


@njit(**_JIT)
def _refresh(
    rate, mean, fresh, acting, slot_total, slot_fresh, entries, law, resistance, occupancy, dt, volume,
    first, last,
):  # fmt: skip
    """Rates of the cells `first` to `last`, with receptors to occupy or without."""
    if occupancy is None:
        refresh_rates(rate, slot_total, entries, law, resistance, volume, first, last)
    else:
        refresh_occupied(
            rate, mean, fresh, acting, slot_total, slot_fresh, entries, law, resistance, occupancy, dt,
            volume, first, last,
        )  # fmt: skip


@njit(**_JIT)
def _exchange(
    new, first, last, slots, entries, source, rate, step, slot_total, entry_taken, row_taken
):  # fmt: skip
    """Release and uptake in the rows `first` to `last` of every label, at the rates of the cells."""
    for row in range(first, last):
        exchange_shared(new, row, slots, entries, source, rate, step, slot_total, entry_taken, row_taken)


@njit(**_JIT)
def _shared_serial(
    old, new, n_sub, grid, value, r, decay, faces, slots, entries, source, law, resistance, occupancy,
    dt, volume, rate, mean, fresh, acting, slot_total, slot_fresh, entry_taken, released, entered, flows,
    row_taken, row_escaped,
):  # fmt: skip
    rows = old.shape[1]
    for _ in range(n_sub):
        _diffuse_shared(
            new, old, 0, rows, grid, value, r, decay, faces, slots, source, slot_fresh, row_escaped
        )  # fmt: skip
        _refresh(
            rate, mean, fresh, acting, slot_total, slot_fresh, entries, law, resistance, occupancy, dt,
            volume, 0, rate.shape[1],
        )  # fmt: skip
        _exchange(new, 0, rows, slots, entries, source, rate, dt / volume, slot_total, entry_taken, row_taken)
        for label in range(old.shape[0]):
            update_balance(
                flows[label], row_taken[label], row_escaped[label], released[label],
                entered[label], decay[label],
            )  # fmt: skip
        old, new = new, old


@njit(parallel=True, **_JIT)
def _shared_parallel(
    old, new, n_sub, grid, value, r, decay, faces, slots, entries, source, law, resistance, occupancy,
    dt, volume, rate, mean, fresh, acting, slot_total, slot_fresh, entry_taken, released, entered, flows,
    row_taken, row_escaped, bounds, cell_bounds,
):  # fmt: skip
    for _ in range(n_sub):
        for c in prange(bounds.size - 1):
            _diffuse_shared(
                new, old, bounds[c], bounds[c + 1], grid, value, r, decay, faces, slots, source,
                slot_fresh, row_escaped,
            )  # fmt: skip
        for c in prange(cell_bounds.size - 1):
            _refresh(
                rate, mean, fresh, acting, slot_total, slot_fresh, entries, law, resistance, occupancy, dt,
                volume, cell_bounds[c], cell_bounds[c + 1],
            )  # fmt: skip
        for c in prange(bounds.size - 1):
            _exchange(
                new, bounds[c], bounds[c + 1], slots, entries, source, rate, dt / volume, slot_total,
                entry_taken, row_taken,
            )  # fmt: skip
        for label in range(old.shape[0]):
            update_balance(
                flows[label], row_taken[label], row_escaped[label], released[label],
                entered[label], decay[label],
            )  # fmt: skip
        old, new = new, old


def advance_saturable(
    u: Field,
    scratch: Field,
    *,
    n_sub: int,
    r: Floats,
    decay: Floats,
    sides: Sequence[int],
    side_value: Floats,
    slots: Slots,
    entries: Entries,
    source: Floats,
    law: UptakeLaw,
    dt: float,
    volume: float,
    taken: Floats,
    flows: Floats,
    occupancy: Occupancy | None = None,
    conductance: Conductance | None = None,
    threads: int = 1,
) -> None:
    """Advance all labels together, where uptake saturates on the sum of the labels.

    As `advance_linear`, with B_q = (dt / V) sum_i w_iq g_i. At the start of every sub-step each
    cell takes g_i from the mean concentration cbar_i = sum_q w_iq sum_labels u_q / V of its own
    voxels: see `exchange.membrane_rate`. First order in time; positive for every dt that keeps the
    diffusion positive.

    Labels may be of several groups, with a kappa for each, that come in turn: label l is of the
    group l modulo their number. All of them share the membranes; see `exchange.shared_membrane_rates`.

    Parameters
    ----------
    u, scratch
        (labels, ny, nx) or (labels, nz, ny, nx).
    r, decay
        (labels)
    side_value
        (labels, 6)
    entries
        From `index_entries`.
    source
        (labels, slots)
    law
        k_a, kappa (of each group) and 1 / Km of each cell. A cell with k_a = 0 takes up nothing.
    dt, volume
        Sub-step, s, and voxel volume, um^3.
    taken
        (labels, cells) vesicles taken up, added to in place.
    flows
        (labels, 6)
    occupancy
        The receptors of the cells and what they have bound. Without it uptake is as if these were
        at rest. What is taken never passes what there is.

    The other arguments are those of `advance_linear`.

    Raises
    ------
    ValueError
        If the arrays do not fit together.
    """
    old, new, grid, faces = flatten(u, scratch, sides, conductance)
    value = np.ascontiguousarray(side_value, dtype=np.float64)
    r, decay = np.asarray(r, dtype=np.float64), np.asarray(decay, dtype=np.float64)
    labels, rows, width = old.shape
    n_slots, n_cells = slots.column.size, law.rate.size
    check_shape("r", r, (labels,))
    check_shape("decay", decay, (labels,))
    check_shape("side_value", value, (labels, 6))
    check_shape("slots.row_ptr", slots.row_ptr, (rows + 1,))
    check_shape("entries.slot_ptr", entries.slot_ptr, (n_slots + 1,))
    check_shape("entries.member_ptr", entries.member_ptr, (n_cells + 1,))
    check_shape("source", source, (labels, n_slots))
    groups = law.lattice_rate.shape[0]
    check_shape("law.lattice_rate", law.lattice_rate, (groups, n_cells))
    if labels % groups:
        raise ValueError(f"{labels} labels cannot come in turn from {groups} groups")
    check_shape("law.saturation", law.saturation, (n_cells,))
    check_shape("taken", taken, (labels, n_cells))
    check_shape("flows", flows, (labels, 6))
    active = np.broadcast_to(law.rate > 0.0, law.lattice_rate.shape)
    resistance = np.divide(law.rate, law.lattice_rate, out=np.ones(law.lattice_rate.shape), where=active)
    entered = np.array([inflow(u.shape[1:], grid.sides, value[i], r[i], conductance) for i in range(labels)])
    voxel = np.repeat(np.arange(rows), np.diff(slots.row_ptr)) * width + slots.column
    grouped = (labels // groups, groups, n_slots)
    slot_total = old.reshape(labels, -1).take(voxel, axis=1).reshape(grouped).sum(axis=0, dtype=np.float64)
    # What enters in the first sub-step counts in its own rates, or much that comes at once does not saturate.
    # u' is A / (1 + B) at least, and u is that already where sources are steady.
    slot = np.repeat(np.arange(n_slots), np.diff(entries.slot_ptr))
    most = np.array([np.bincount(slot, entries.weight * k[entries.cell], n_slots) for k in law.lattice_rate])
    first = source.reshape(grouped).sum(axis=0) / (1.0 + most * (dt / volume))
    np.maximum(slot_total, first, out=slot_total)
    entry_taken = np.zeros((labels, entries.cell.size))
    rate = np.full((groups, n_cells), -1.0)
    mean, fresh, acting = (np.zeros((groups, n_cells)) for _ in range(3))
    state = (
        grid, side_values(grid, value), r, decay, faces, slots, entries, source, law, resistance, occupancy,
        float(dt), float(volume), rate, mean, fresh, acting, slot_total, np.zeros((groups, n_slots)),
        entry_taken, source.sum(axis=1), entered, flows, np.zeros((labels, rows)), np.zeros((labels, rows)),
    )  # fmt: skip
    for some in substeps(n_sub, old.size):
        if threads == 1:
            _shared_serial(old, new, some, *state)
        else:
            _shared_parallel(
                old, new, some, *state, split_range(rows, threads), split_range(n_cells, threads)
            )
        old, new = (new, old) if some % 2 else (old, new)
    if occupancy is not None:
        mean_over(mean, slot_total, entries, float(volume), 0, n_cells)
        occupy_all(occupancy, rate, mean, float(dt))
    for label in range(labels):
        taken[label] += np.bincount(entries.cell, entry_taken[label], minlength=n_cells)
    if n_sub % 2:
        u[...] = scratch
