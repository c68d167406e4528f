"""Physiologically based pharmacokinetics (PBPK) of a dose, a linear model solved exactly; immunity to it.

    dx/dt = K x + u,    x the particles and, in units of one particle's load, the free molecules

Particles (vesicles, lipid nanoparticles) leave the plasma by uptake into phagocytes in contact with blood,
each with the rate constant k_M, and through leaky vessels, limited by the plasma flow Q of the organ:

    CL_i = Q_i (1 - exp(-(M_i k_M + PS_i) / Q_i)).

They stay in the organ and decay there; a share f_ret of their load is released as free molecules. These
follow the flow, dm_i/dt = Q_i (m_p / V_p - m_i / (V_i K_part)), and are cleared by liver and kidney. Organ
shares follow from phagocytes and flows.

The model is assumed; the default numbers of phagocytes are calibrated to organ shares. Source: morishita2015.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import numpy as np


class Form(StrEnum):
    """Form of a drug: inside particles, or as molecules that particles released."""

    PARTICLES = "particles"
    MOLECULES = "molecules"


class Compartment(NamedTuple):
    """A compartment: an organ or fluid of the body, and the form of the drug in it."""

    place: str
    form: Form = Form.PARTICLES

    @property
    def molecules(self) -> Compartment:
        """The compartment of the free molecules in the same place."""
        return Compartment(self.place, Form.MOLECULES)


PLASMA, PERIPHERAL, DEPOT, TARGET, LOST = map(
    Compartment, ("plasma", "peripheral", "depot", "target", "lost")
)
"""Compartments of particles; ``lost`` holds all that was degraded, excreted or never absorbed."""


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
    """Physiology of one subject; volumes in um^3, flows and clearances in um^3/s.

    ``basal_clearance`` is the loss of particles from plasma other than to phagocytes and to leaky vessels of
    the target; leakage into the heart is part of it.
    """

    plasma_volume: float
    organs: tuple[Organ, ...]
    basal_clearance: float
    distribution_volume: float
    exchange_flow: float


@dataclass(frozen=True)
class Formulation:
    """Properties of the drug: particles with a load, or free molecules; rates in 1/s, clearances in um^3/s.

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
class PBPKModel:
    """dx/dt = K x + u: one formulation in one body.

    ``compartments`` (n) index x, ``matrix`` (n, n) is K in 1/s. Its columns sum to 0: all that leaves one
    compartment enters another, and losses enter ``LOST``.
    """

    compartments: tuple[Compartment, ...]
    matrix: np.ndarray
    propagators: dict[float, np.ndarray] = field(default_factory=dict, compare=False)

    def index(self, compartment: Compartment) -> int:
        """Index of a compartment in x."""
        return self.compartments.index(compartment)

    def start(self) -> np.ndarray:
        """Amounts before the first administration, zeros, shape (n,)."""
        return np.zeros(len(self.compartments))

    def advance(self, amount: np.ndarray, infused: np.ndarray, dt: float) -> tuple[np.ndarray, np.ndarray]:
        """Advance amounts (n,) by ``dt`` s while ``infused`` (n,) enters evenly, exactly.

        Returns the new amounts and their integral over the step, amount times s.
        """
        if dt not in self.propagators:
            self.propagators[dt] = self._propagator(dt)
        n = len(self.compartments)
        both = self.propagators[dt] @ np.concatenate([amount, np.zeros(n), infused / dt])
        return both[:n], both[n : 2 * n]

    def _propagator(self, dt: float) -> np.ndarray:
        """exp of x' = K x + u, y' = x, u' = 0."""
        from scipy.linalg import expm  # only a model with a body needs it

        n = len(self.compartments)
        zero, one = np.zeros((n, n)), np.eye(n)
        block = np.block([[self.matrix, zero, one], [one, zero, zero], [zero, zero, zero]])
        return np.asarray(expm(block * dt))


def pbpk_model(body: Body, formulation: Formulation) -> PBPKModel:
    """Assemble the compartments of a formulation in a body and the rate matrix K."""
    organs = body.organs
    places = [Compartment(organ.name) for organ in organs]
    compartments = [DEPOT, PLASMA, PERIPHERAL, *places]
    compartments += [PLASMA.molecules, *(place.molecules for place in places), LOST]
    k = np.zeros((len(compartments), len(compartments)))

    def flow(source: Compartment, sink: Compartment, rate: float) -> None:
        i, j = compartments.index(source), compartments.index(sink)
        k[j, i] += rate
        k[i, i] -= rate

    absorbed = PLASMA.molecules if formulation.molecular else PLASMA
    flow(DEPOT, absorbed, formulation.absorption_rate)
    volume = body.plasma_volume
    outer = body.distribution_volume - volume
    if body.exchange_flow > 0 and outer > 0:
        flow(PLASMA, PERIPHERAL, body.exchange_flow / volume)
        flow(PERIPHERAL, PLASMA, body.exchange_flow / outer)
    basal = body.basal_clearance
    for organ, place in zip(organs, places, strict=True):
        flow(PLASMA, place, extraction(organ, formulation) / volume)
        if organ.name == "heart":
            basal -= _flow_limited(organ.flow, organ.permeability)
        flow(place, place.molecules, formulation.cargo_return * formulation.decay_rate)
        flow(place, LOST, (1.0 - formulation.cargo_return) * formulation.decay_rate)
        flow(PLASMA.molecules, place.molecules, organ.flow / volume)
        flow(place.molecules, PLASMA.molecules, organ.flow / (organ.volume * formulation.partition))
    flow(PLASMA, Compartment("rest"), max(basal, 0.0) / volume)
    flow(TARGET, PLASMA, formulation.drainage_rate)
    for place in (PLASMA, PERIPHERAL):
        flow(place, PLASMA.molecules, formulation.leak_rate)
    flow(TARGET, TARGET.molecules, formulation.leak_rate)
    for name, clearance in (
        ("liver", formulation.hepatic_clearance),
        ("kidney", formulation.renal_clearance),
    ):
        (organ,) = (o for o in organs if o.name == name)
        flow(Compartment(name).molecules, LOST, clearance / (organ.volume * formulation.partition))
    return PBPKModel(tuple(compartments), k)


def extraction(organ: Organ, formulation: Formulation) -> float:
    """CL = Q (1 - exp(-(M k_M + PS) / Q)): clearance of particles from plasma into an organ, um^3/s."""
    return _flow_limited(organ.flow, organ.phagocytes * formulation.carrier_uptake + organ.permeability)


def _flow_limited(flow: float, intrinsic: float) -> float:
    """Q (1 - exp(-CL / Q)): clearance by a sink along a vessel, the parallel-tube model; um^3/s."""
    return flow * -math.expm1(-intrinsic / flow) if flow > 0 else 0.0


SUBSTEP = 600.0
"""Longest step in s of the integrator (classical Runge-Kutta); rates here are hours and days."""


@dataclass(frozen=True)
class Immunity:
    """The immune response of the host to foreign antigen: innate, adaptive, and memory.

        dA/dt = input - a A                       antigen set free or taken up, ug
        dI/dt = (s - I) / tau                     innate activation, s = A / (A + A_half), 0 to 1
        dE/dt = r s E (1 - E) - d (E - floor)     effectors, floor = e_0 + (e_1 - e_0) M, 0 to 1
        dM/dt = mu E (1 - M)                      memory, 0 to 1

    A second exposure starts from the raised floor of effectors, so that the response is faster and stronger.
    Effectors kill foreign cells at the rate k_kill E, in addition to their own loss. The rate laws are
    assumed. Rates in 1/s, masses in ug.

    Attributes
    ----------
    antigen_half : float
        Foreign antigen of half-maximal activation.
    antigen_loss, innate_rate, expansion, contraction, memory_rate : float
        a, 1/tau, r, d and mu.
    naive, primed : float
        Effectors ready in a naive host and with full memory, e_0 and e_1.
    initial_memory : float
        0 for a naive host, 1 for a sensitized one.
    kill_rate : float
        Rate at which full effectors kill foreign cells.
    """

    antigen_half: float
    antigen_loss: float
    innate_rate: float
    expansion: float
    contraction: float
    naive: float
    primed: float
    memory_rate: float
    initial_memory: float
    kill_rate: float

    def start(self) -> np.ndarray:
        """Antigen, innate activation, effectors and memory before the first dose, shape (4,)."""
        return np.array([0.0, 0.0, self._floor(self.initial_memory), self.initial_memory])

    def advance(self, host: np.ndarray, antigen: float, dt: float) -> np.ndarray:
        """Advance the host (4,) by ``dt`` s, with an exposure to ``antigen`` (ug) evenly over them."""
        steps = max(1, int(np.ceil(dt / SUBSTEP)))
        h, rate = dt / steps, antigen / dt
        for _ in range(steps):
            k1 = self._slope(host, rate)
            k2 = self._slope(host + h / 2 * k1, rate)
            k3 = self._slope(host + h / 2 * k2, rate)
            k4 = self._slope(host + h * k3, rate)
            host = host + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return host

    def kills(self, host: np.ndarray, foreignness: float) -> float:
        """k_kill E f: rate at which the host kills therapeutic cells of foreignness f, 1/s."""
        return self.kill_rate * float(host[2]) * foreignness

    def _floor(self, memory: float) -> float:
        return self.naive + (self.primed - self.naive) * memory

    def _slope(self, host: np.ndarray, rate: float) -> np.ndarray:
        antigen, innate, effectors, memory = host
        seen = antigen / (antigen + self.antigen_half)
        growth = self.expansion * seen * effectors * (1.0 - effectors)
        return np.array(
            [
                rate - self.antigen_loss * antigen,
                self.innate_rate * (seen - innate),
                growth - self.contraction * (effectors - self._floor(memory)),
                self.memory_rate * effectors * (1.0 - memory),
            ]
        )
