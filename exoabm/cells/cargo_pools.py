"""Cargo held by cells: delivered, produced, replicated, degraded, exported; closed forms of pools.

    dm/dt = production + replication m (1 - m / capacity) - (decay + clearance + export) m + delivered

First-order turnover of mRNA and protein. Source: schwanhausser2011. The logistic replication is assumed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from exoabm.accounting.step_records import Emissions
from exoabm.cargo import CargoClass
from exoabm.cell_type import SecretionMode
from exoabm.random_streams import Purpose
from exoabm.tables.declarations import Event
from exoabm.vesicle import cargo_names

if TYPE_CHECKING:
    from exoabm.accounting.step_records import Uptake
    from exoabm.cargo import CargoPool
    from exoabm.cell_type import CellType
    from exoabm.state import State


def metabolize(state: State, dt: float) -> list[Emissions]:
    """Advance the cargo of all cells by ``dt`` seconds; returns the exported vesicles."""
    rows = []
    for index, cell_type in enumerate(state.types):
        pools = {pool.cargo: pool for pool in cell_type.pools}
        lost = [c for c, cargo in enumerate(state.cargos) if c in pools or cargo.decay_rate > 0]
        if not lost:
            continue
        members = np.flatnonzero(state.cells.type == index)
        for cargo in lost:
            if cargo in pools:
                rows.extend(_metabolize(state, cell_type, pools[cargo], members, dt))
            else:
                state.cells.cargo[members, cargo] *= np.exp(-state.cargos[cargo].decay_rate * dt)
    return rows


def _metabolize(
    state: State, cell_type: CellType, pool: CargoPool, members: np.ndarray, dt: float
) -> list[Emissions]:
    name = state.cargos[pool.cargo].name
    source = state.present_value(f"production.{name}", members, pool.production)
    growth = state.present_value(f"replication.{name}", members, pool.replication)
    clearance = state.present_value(f"clearance.{name}", members, pool.clearance)
    export = state.present_value(f"export.{name}", members, pool.export)
    loss = state.cargos[pool.cargo].decay_rate + clearance + export
    held = state.cells.cargo[members, pool.cargo]
    who = state.cells.birth_id[members] * len(state.cargos) + pool.cargo
    if state.follows_vesicles and cell_type.secretion is SecretionMode.POISSON:
        rest, exported = _whole(state, pool, who, held, source, growth, loss, export, dt)
    else:
        rest, integral = logistic(held, source, growth, pool.capacity, loss, dt)
        exported = export * integral
    state.cells.cargo[members, pool.cargo] = rest
    if pool.vesicle is None:
        return []
    count = exported / pool.copies
    if state.follows_vesicles:
        u = state.streams.uniform(Purpose.ROUNDING, who, state.step, draw=Purpose.EXPORT)
        count = np.floor(count + u)
    sent = count > 0
    kind = np.full(int(sent.sum()), pool.vesicle)
    return [Emissions(members[sent], kind, state.labels.of_cell[members[sent]], count[sent])]


def _whole(
    state: State,
    pool: CargoPool,
    who: np.ndarray,
    held: np.ndarray,
    source: float | np.ndarray,
    growth: float | np.ndarray,
    loss: float | np.ndarray,
    export: float | np.ndarray,
    dt: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Whole copies: produced ~ Poisson, lost ~ binomial, from the copies at the start of the step.

    If all copies are lost within a step this is a branching process with Poisson offspring.
    """
    streams, step = state.streams, state.step
    u = streams.uniform(Purpose.ROUNDING, who, step, draw=Purpose.COPIES_LOST)
    copies = np.floor(held + u).astype(np.int64)
    room = 1.0 - copies / pool.capacity
    born = (source + growth * np.maximum(room, 0.0) * copies) * dt
    crowding = loss + growth * np.maximum(-room, 0.0)
    made = streams.poisson(Purpose.COPIES_MADE, who, step, born)
    gone = streams.binomial(Purpose.COPIES_LOST, who, step, copies, -np.expm1(-crowding * dt))
    share = np.divide(export, crowding, out=np.zeros(len(who)), where=np.asarray(crowding) > 0)
    exported = streams.binomial(Purpose.EXPORT, who, step, gone, share)
    return (copies + made - gone).astype(float), exported.astype(float)


def receive_waste(state: State, uptake: Uptake) -> None:
    """Add the waste of vesicles that reached their fate to the pool of the recipient."""
    copies = np.array(
        [sum(c.copies for c in kind.cargo if c.role is CargoClass.WASTE) for kind in state.kinds]
    )
    if not copies.any():
        return
    ended = (uptake.lysosomal + uptake.delivered).sum(axis=2)
    received = ended @ copies
    state.cells.waste += received
    state.waste_balance.recaptured += float(received.sum())
    state.waste_balance.held = float(state.cells.waste.sum())


def receive_cargo(state: State, uptake: Uptake) -> None:
    """Add the copies delivered in this step to the pools of cargo, and waste to its own pool.

    Single vesicles deliver the copies that each of them carries, expected numbers of vesicles the mean.
    """
    receive_waste(state, uptake)
    active = [c for c, cargo in enumerate(state.cargos) if cargo.role is not CargoClass.WASTE]
    if not active:
        return
    if not state.follows_vesicles:
        number = {cargo.name: c for c, cargo in enumerate(state.cargos)}
        copies = np.zeros((len(state.kinds), len(state.cargos)))
        for k, kind in enumerate(state.kinds):
            for cargo in kind.cargo:
                copies[k, number[cargo.name]] = cargo.copies
        delivered = uptake.delivered.sum(axis=2) @ copies
        state.cells.cargo[:, active] += delivered[:, active]
        return
    carried = cargo_names(state.kinds)
    columns = [(c, carried.index(state.cargos[c].name)) for c in active if state.cargos[c].name in carried]
    events = state.events.columns()
    if events:
        hit = np.flatnonzero(events["event"] == Event.DELIVERY)
        cell = state.cells.row_of(events["recipient"][hit])
        for column, place in columns:
            np.add.at(state.cells.cargo[:, column], cell, events["copies"][hit, place].astype(float))


Values = float | np.ndarray


def first_order(start: np.ndarray, source: Values, rate: Values, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """End value and time integral of w' = source - rate w over ``dt`` seconds.

    Parameters
    ----------
    start : numpy.ndarray
        w at the start, shape (n,).
    source, rate : float or numpy.ndarray
        Per second; one for all, or shape (n,).
    """
    if np.ndim(rate) == 0 and rate == 0.0:
        return start + source * dt, start * dt + 0.5 * source * dt * dt
    if np.ndim(rate) and not np.all(rate):
        still = np.asarray(rate) == 0
        end, integral = first_order(start, source, np.where(still, 1.0, rate), dt)
        straight, area = first_order(start, source, 0.0, dt)
        return np.where(still, straight, end), np.where(still, area, integral)
    steady = source / rate
    end = steady + (start - steady) * np.exp(-rate * dt)
    return end, (start + source * dt - end) / rate


def logistic(
    start: np.ndarray, source: Values, growth: Values, capacity: float, loss: Values, dt: float
) -> tuple[np.ndarray, np.ndarray]:
    """End value and time integral of m' = source + growth m (1 - m / capacity) - loss m over ``dt`` seconds.

    With b = growth/capacity and a = growth - loss, m = y'/(b y) turns it into y'' = a y' + b source y, whose
    solution is a sum of two exponentials; the integral of m is ln(y)/b. Computed is (y - 1)/b, without loss
    of digits at large capacity.

    Parameters
    ----------
    start : numpy.ndarray
        m at the start, shape (n,).
    source, growth, loss : float or numpy.ndarray
        Per second; one for all, or shape (n,).
    capacity : float
        m at which growth ends.
    """
    growth = np.broadcast_to(np.asarray(growth, np.float64), start.shape)
    grows = growth > 0
    if not grows.any():
        return first_order(start, source, loss, dt)
    b = np.where(grows, growth, 1.0) / capacity
    a = growth - loss
    large = np.maximum(0.5 * (np.abs(a) + np.sqrt(a * a + 4.0 * b * source)), 1e-300)
    small = b * source / large
    # y = ((b m + down) e^(up t) + (up - b m) e^(-down t)) / (up + down); here all is times e^(-up dt).
    up, down = np.where(a >= 0, large, small), np.where(a >= 0, small, large)
    root, scale = up + down, np.maximum(np.exp(-up * dt), 1e-300)
    spread = -np.expm1(-root * dt) / root
    slope = start * (up + down * np.exp(-root * dt)) / root + source * spread
    rise = start * spread + source * dt * dt * _bend(up * dt, down * dt)
    end = slope / (scale + b * rise)
    steep = b * rise > scale
    integral = np.where(steep, up * dt + np.log(scale + b * rise), np.log1p(b * rise / scale)) / b
    if grows.all():
        return end, integral
    plain, area = first_order(start, source, loss, dt)
    return np.where(grows, end, plain), np.where(grows, integral, area)


def _bend(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """((1 - e^-x)/x - e^-x (1 - e^-y)/y) / (x + y) for x, y >= 0; 1/2 where both are 0."""
    far = x + y > 1e-3
    p, q = np.where(far & (x > 0), x, 1.0), np.where(far & (y > 0), y, 1.0)
    first = np.where(x > 0, -np.expm1(-p) / p, 1.0)
    second = np.where(y > 0, -np.expm1(-q) / q, 1.0)
    series = 0.5 + (x - y) / 6 + (x * x - x * y + y * y) / 24 + (x - y) * (x * x + y * y) / 120
    return np.where(far, (first - np.exp(-x) * second) / np.where(far, x + y, 1.0), np.exp(-x) * series)
