"""The immune response of the host to foreign antigen: innate, adaptive, and memory.

    dA/dt = input - a A                       antigen set free or taken up, ug
    dI/dt = (s - I) / tau                     innate activation, s = A / (A + A_half), 0 to 1
    dE/dt = r s E (1 - E) - d (E - floor)     effectors, floor = e_0 + (e_1 - e_0) M, 0 to 1
    dM/dt = mu E (1 - M)                      memory, 0 to 1

A second exposure starts from the raised floor of effectors, so that the response is faster and stronger.
Effectors kill foreign cells at the rate k_kill E, in addition to their own loss. The rate laws are assumed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SUBSTEP = 600.0
"""Longest step in s of the integrator (classical Runge-Kutta); rates here are hours and days."""


@dataclass(frozen=True)
class Immunity:
    """Parameters of an immune response; rates in 1/s, masses in ug.

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
