"""Diffusion with uptake that saturates on the sum of the labels: all labels advance together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from exoabm.kernels.diffusion_stencil import (
    Conductance,
    Field,
    Floats,
    Integers,
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
    Rates,
    UptakeLaw,
    occupy_all,
    refresh_rates,
)  # fmt: skip

_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


class _Uptake(NamedTuple):
    """Arrays of the uptake in all slots, by group of labels; overwritten in every sub-step."""

    total: Floats
    """(groups, slots) sum of u' over the labels."""
    fresh: Floats
    """(groups, slots) the same before the uptake, with what is released."""
    sink: Floats
    """(slots) B"""
    amount: Floats
    """(slots) u' of one label."""
    entry_rate: Floats
    """(entries) (dt/V) w g"""
    entry_taken: Floats
    """(labels, entries) vesicles taken up, added to."""


@njit(**_JIT)
def _diffuse(
    new, old, first, last, grid, value, r, decay, faces, row_ptr, column, source, fresh, row_escaped
):
    """Diffusion and decay of the rows `first` to `last` of every label, and u* + A in their slots."""
    labels, groups = old.shape[0], fresh.shape[0]
    for row in range(first, last):
        for label in range(labels):
            row_escaped[label, row] = diffuse_row(
                new[label], old[label], row, grid, value, label, r[label], decay[label], faces
            )
            group = label % groups
            if label < groups:
                for q in range(row_ptr[row], row_ptr[row + 1]):
                    fresh[group, q] = new[label, row, column[q]] + source[label, q]
            else:
                for q in range(row_ptr[row], row_ptr[row + 1]):
                    fresh[group, q] += new[label, row, column[q]] + source[label, q]


@njit(**_JIT)
def _exchange(new, first, last, row_ptr, column, entries, entry_slot, source, rate, step, uptake, row_taken):
    """u' = (u* + A) / (1 + B) in the rows `first` to `last`,   B = sum_e b_e,   b_e = (dt/V) w_e g_e.

    Label l is of the group l modulo their number; ``rate`` is (groups, cells) g in um^3/s, ``step`` dt / V.
    ``row_taken`` (labels, rows), the sum of B u', is written.
    """
    slot_ptr, cell, weight, _, _, _ = entries
    total, _, sink, amount, entry_rate, entry_taken = uptake
    labels, groups = new.shape[0], rate.shape[0]
    for row in range(first, last):
        begin, end = row_ptr[row], row_ptr[row + 1]
        for group in range(groups):
            sink[begin:end] = 0.0
            for e in range(slot_ptr[begin], slot_ptr[end]):
                entry_rate[e] = step * weight[e] * rate[group, cell[e]]
                sink[entry_slot[e]] += entry_rate[e]
            for label in range(group, labels, groups):
                taken = 0.0
                for q in range(begin, end):
                    held = (new[label, row, column[q]] + source[label, q]) / (1.0 + sink[q])
                    new[label, row, column[q]] = held
                    amount[q] = held
                    total[group, q] = held if label == group else total[group, q] + held
                    taken += sink[q] * held
                row_taken[label, row] = taken
                for e in range(slot_ptr[begin], slot_ptr[end]):
                    entry_taken[label, e] += entry_rate[e] * amount[entry_slot[e]]


@njit(**_JIT)
def _serial(
    old, new, n_sub, grid, value, r, decay, faces, slots, entries, entry_slot, source, rates, occupancy,
    uptake, dt, volume, released, entered, flows, row_taken, row_escaped,
):  # fmt: skip
    rows, cells = old.shape[1], rates.rate.shape[1]
    row_ptr, column = slots
    for _ in range(n_sub):
        _diffuse(
            new,
            old,
            0,
            rows,
            grid,
            value,
            r,
            decay,
            faces,
            row_ptr,
            column,
            source,
            uptake.fresh,
            row_escaped,
        )
        refresh_rates(rates, occupancy, uptake.total, uptake.fresh, entries, dt, volume, 0, cells)
        _exchange(
            new, 0, rows, row_ptr, column, entries, entry_slot, source, rates.rate, dt / volume, uptake,
            row_taken,
        )  # fmt: skip
        for label in range(old.shape[0]):
            update_balance(
                flows[label], row_taken[label], row_escaped[label], released[label],
                entered[label], decay[label],
            )  # fmt: skip
        old, new = new, old


@njit(parallel=True, **_JIT)
def _parallel(
    old, new, n_sub, grid, value, r, decay, faces, slots, entries, entry_slot, source, rates, occupancy,
    uptake, dt, volume, released, entered, flows, row_taken, row_escaped, bounds, cell_bounds,
):  # fmt: skip
    row_ptr, column = slots
    for _ in range(n_sub):
        for c in prange(bounds.size - 1):
            _diffuse(
                new, old, bounds[c], bounds[c + 1], grid, value, r, decay, faces, row_ptr, column, source,
                uptake.fresh, row_escaped,
            )  # fmt: skip
        for c in prange(cell_bounds.size - 1):
            refresh_rates(
                rates,
                occupancy,
                uptake.total,
                uptake.fresh,
                entries,
                dt,
                volume,
                cell_bounds[c],
                cell_bounds[c + 1],
            )
        for c in prange(bounds.size - 1):
            _exchange(
                new, bounds[c], bounds[c + 1], row_ptr, column, entries, entry_slot, source, rates.rate,
                dt / volume, uptake, row_taken,
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
    voxels: see `uptake_rates.membrane_rate`. First order in time; positive for every dt that keeps the
    diffusion positive.

    Labels may be of several groups, with a kappa for each, that come in turn: label l is of the
    group l modulo their number. All of them share the membranes; see `uptake_rates.shared_membrane_rates`.

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
        Receptors of the cells and bound vesicles, changed in place: uptake never exceeds the free receptors.
        Without it uptake follows the law at rest.

    The other arguments are those of `advance_linear`.

    Raises
    ------
    ValueError
        If the arrays do not fit together.
    """
    old, new, grid, faces = flatten(u, scratch, sides, conductance)
    value = np.ascontiguousarray(side_value, dtype=np.float64)
    r, decay = np.asarray(r, dtype=np.float64), np.asarray(decay, dtype=np.float64)
    labels, rows, _ = old.shape
    _check(labels, rows, r, decay, value, slots, entries, source, law, taken, flows)
    entered = np.array([inflow(u.shape[1:], grid.sides, value[i], r[i], conductance) for i in range(labels)])
    entry_slot = np.repeat(np.arange(slots.column.size), np.diff(entries.slot_ptr))
    rates = Rates.of(law, entries)
    uptake = _first_uptake(old, slots, entries, entry_slot, source, law, dt / volume)
    row_taken, row_escaped = np.zeros((labels, rows)), np.zeros((labels, rows))
    state = (
        grid, side_values(grid, value), r, decay, faces, slots, entries, entry_slot, source, rates,
        occupancy, uptake, float(dt), float(volume), source.sum(axis=1), entered, flows, row_taken,
        row_escaped,
    )  # fmt: skip
    for some in substeps(n_sub, old.size):
        if threads == 1:
            _serial(old, new, some, *state)
        else:
            _parallel(old, new, some, *state, split_range(rows, threads), split_range(law.rate.size, threads))
        old, new = (new, old) if some % 2 else (old, new)
    if occupancy is not None:
        occupy_all(rates, occupancy, uptake.total, entries, float(dt), float(volume))
    for label in range(labels):
        taken[label] += np.bincount(entries.cell, uptake.entry_taken[label], minlength=law.rate.size)
    if n_sub % 2:
        u[...] = scratch


def _check(
    labels: int,
    rows: int,
    r: Floats,
    decay: Floats,
    value: Floats,
    slots: Slots,
    entries: Entries,
    source: Floats,
    law: UptakeLaw,
    taken: Floats,
    flows: Floats,
) -> None:
    """Raise unless the arrays of `advance_saturable` fit together."""
    groups, n_cells, n_slots = len(law.lattice_rate), law.rate.size, slots.column.size
    if labels % groups:
        raise ValueError(f"{labels} labels cannot come in turn from {groups} groups")
    for name, array, shape in (
        ("r", r, (labels,)),
        ("decay", decay, (labels,)),
        ("side_value", value, (labels, 6)),
        ("slots.row_ptr", slots.row_ptr, (rows + 1,)),
        ("entries.slot_ptr", entries.slot_ptr, (n_slots + 1,)),
        ("entries.member_ptr", entries.member_ptr, (n_cells + 1,)),
        ("source", source, (labels, n_slots)),
        ("law.lattice_rate", law.lattice_rate, (groups, n_cells)),
        ("law.saturation", law.saturation, (n_cells,)),
        ("taken", taken, (labels, n_cells)),
        ("flows", flows, (labels, 6)),
    ):
        check_shape(name, array, shape)


def _first_uptake(
    u: Field,
    slots: Slots,
    entries: Entries,
    entry_slot: Integers,
    source: Floats,
    law: UptakeLaw,
    step: float,
) -> _Uptake:
    """Arrays of the uptake before the first sub-step; ``step`` is dt / V.

    Particles that enter in the first sub-step count in its rates, so that a large number that enters at once
    saturates: u' is at least A / (1 + B), and u has reached that where sources are steady.
    """
    (labels, rows, width), groups, n_slots = u.shape, len(law.lattice_rate), slots.column.size
    voxel = np.repeat(np.arange(rows), np.diff(slots.row_ptr)) * width + slots.column
    grouped = (labels // groups, groups, n_slots)
    total = u.reshape(labels, -1).take(voxel, axis=1).reshape(grouped).sum(axis=0, dtype=np.float64)
    most = np.array(
        [np.bincount(entry_slot, entries.weight * k[entries.cell], n_slots) for k in law.lattice_rate]
    )
    np.maximum(total, source.reshape(grouped).sum(axis=0) / (1.0 + most * step), out=total)
    slot, entry = np.zeros(n_slots), np.zeros(entries.cell.size)
    return _Uptake(
        total, np.zeros((groups, n_slots)), slot, slot.copy(), entry, np.zeros((labels, entry.size))
    )
