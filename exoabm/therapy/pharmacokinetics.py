"""Where a dose goes in the body: a small physiological model, linear, solved exactly.

    dx/dt = K x + u,    x the particles and, in units of one particle's load, the molecules set free

Particles (vesicles, lipid nanoparticles) leave the plasma by phagocytes in contact with blood, each with the
rate constant k_M, limited by the plasma flow Q of its organ, and through leaky vessels,

    CL_i = Q_i (1 - exp(-(M_i k_M + PS_i) / Q_i)),

stay in the organ and decay there; a share f_ret of what they carried comes out as free molecules. These
follow the flow, dm_i/dt = Q_i (m_p / V_p - m_i / (V_i K_part)), and are cleared by liver and kidney. Organ
shares follow from phagocytes and flows; the default numbers of phagocytes are calibrated to published shares.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.linalg import expm

PLASMA, PERIPHERAL, DEPOT, LOST = "plasma", "peripheral", "depot", "lost"
FREE = "free_"
"""Prefix of the compartments of free molecules."""


@dataclass(frozen=True)
class Organ:
    """An organ: volume in um^3, plasma flow in um^3/s, phagocytes in contact with blood.

    ``permeability`` (um^3/s) is that of its vessels to particles, for those that are not tight.
    """

    name: str
    volume: float
    flow: float
    phagocytes: float
    permeability: float = 0.0


@dataclass(frozen=True)
class Body:
    """A subject; volumes in um^3, flows and clearances in um^3/s.

    ``basal_clearance`` is all loss of particles from plasma but that to phagocytes and to a target's leaky
    vessels; the heart's leak is part of it.
    """

    plasma_volume: float
    organs: tuple[Organ, ...]
    basal_clearance: float
    distribution_volume: float
    exchange_flow: float

    def without_phagocytes(self) -> Body:
        """The same body after depletion of its phagocytes."""
        return replace(self, organs=tuple(replace(organ, phagocytes=0.0) for organ in self.organs))


@dataclass(frozen=True)
class Formulation:
    """What is given: particles, or molecules alone; rates in 1/s, clearances in um^3/s.

    Attributes
    ----------
    molecular : bool
        Whether the dose consists of free molecules from the start.
    carrier_uptake : float
        k_M, uptake rate constant of one phagocyte, um^3/s.
    decay_rate, leak_rate : float
        Of particles in organs, and of the load out of particles that circulate.
    cargo_return : float
        Share of the load of a decayed particle that is set free as active molecules.
    """

    molecular: bool
    carrier_uptake: float
    decay_rate: float
    leak_rate: float
    cargo_return: float
    partition: float
    hepatic_clearance: float
    renal_clearance: float
    absorption_rate: float
    drainage_rate: float


@dataclass(frozen=True)
class Kinetics:
    """One formulation in one body.

    ``names`` (n) are the compartments, ``matrix`` (n, n) is K in 1/s; its columns sum to 0, since what leaves
    one compartment enters another and what is gone is in ``lost``.
    """

    names: tuple[str, ...]
    matrix: np.ndarray
    propagators: dict[float, np.ndarray] = field(default_factory=dict, compare=False)

    def index(self, name: str) -> int:
        """Where a compartment stands."""
        return self.names.index(name)

    def start(self) -> np.ndarray:
        """Nothing given yet, shape (n,)."""
        return np.zeros(len(self.names))

    def advance(self, amount: np.ndarray, infused: np.ndarray, dt: float) -> tuple[np.ndarray, np.ndarray]:
        """Advance amounts (n,) by ``dt`` s while ``infused`` (n,) enters evenly, exactly.

        Returns the new amounts and their integral over the step, amount times s.
        """
        if dt not in self.propagators:
            self.propagators[dt] = self._propagator(dt)
        n = len(self.names)
        both = self.propagators[dt] @ np.concatenate([amount, np.zeros(n), infused / dt])
        return both[:n], both[n : 2 * n]

    def _propagator(self, dt: float) -> np.ndarray:
        """exp of x' = K x + u, y' = x, u' = 0."""
        n = len(self.names)
        zero, one = np.zeros((n, n)), np.eye(n)
        block = np.block([[self.matrix, zero, one], [one, zero, zero], [zero, zero, zero]])
        return np.asarray(expm(block * dt))

    def residence(self, given_to: str) -> np.ndarray:
        """Time in s that one particle given to a compartment spends in each in all; inf in ``lost``."""
        lost = self.index(LOST)
        rest = [i for i in range(len(self.names)) if i != lost]
        unit = np.zeros(len(rest))
        unit[rest.index(self.index(given_to))] = 1.0
        time = np.full(len(self.names), math.inf)
        time[rest] = np.linalg.solve(-self.matrix[np.ix_(rest, rest)], unit)
        return time


def kinetics(body: Body, formulation: Formulation) -> Kinetics:
    """The compartments of a formulation in a body, and the rates between them."""
    organs = body.organs
    names = [DEPOT, PLASMA, PERIPHERAL, *(o.name for o in organs)]
    names += [FREE + PLASMA, *(FREE + o.name for o in organs), LOST]
    k = np.zeros((len(names), len(names)))

    def flow(source: str, sink: str, rate: float) -> None:
        i, j = names.index(source), names.index(sink)
        k[j, i] += rate
        k[i, i] -= rate

    absorbed = FREE + PLASMA if formulation.molecular else PLASMA
    flow(DEPOT, absorbed, formulation.absorption_rate)
    volume = body.plasma_volume
    outer = body.distribution_volume - volume
    if body.exchange_flow > 0 and outer > 0:
        flow(PLASMA, PERIPHERAL, body.exchange_flow / volume)
        flow(PERIPHERAL, PLASMA, body.exchange_flow / outer)
    basal = body.basal_clearance
    for organ in organs:
        leak = extraction(organ, formulation)
        flow(PLASMA, organ.name, leak / volume)
        if organ.name == "heart":
            basal -= _through(organ.flow, organ.permeability)
        flow(organ.name, FREE + organ.name, formulation.cargo_return * formulation.decay_rate)
        flow(organ.name, LOST, (1.0 - formulation.cargo_return) * formulation.decay_rate)
        flow(FREE + PLASMA, FREE + organ.name, organ.flow / volume)
        flow(FREE + organ.name, FREE + PLASMA, organ.flow / (organ.volume * formulation.partition))
    flow(PLASMA, "rest", max(basal, 0.0) / volume)
    flow("target", PLASMA, formulation.drainage_rate)
    for place in (PLASMA, PERIPHERAL):
        flow(place, FREE + PLASMA, formulation.leak_rate)
    flow("target", FREE + "target", formulation.leak_rate)
    for name, clearance in (
        ("liver", formulation.hepatic_clearance),
        ("kidney", formulation.renal_clearance),
    ):
        (organ,) = (o for o in organs if o.name == name)
        flow(FREE + name, LOST, clearance / (organ.volume * formulation.partition))
    return Kinetics(tuple(names), k)


def extraction(organ: Organ, formulation: Formulation) -> float:
    """Clearance of particles from plasma into an organ, um^3/s."""
    return _through(organ.flow, organ.phagocytes * formulation.carrier_uptake + organ.permeability)


def _through(flow: float, intrinsic: float) -> float:
    """Q (1 - exp(-CL / Q)): what a flow brings past a sink (the parallel-tube model)."""
    return flow * -math.expm1(-intrinsic / flow) if flow > 0 else 0.0
