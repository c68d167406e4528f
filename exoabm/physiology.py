"""What a type of cell has inside: its pathway of multivesicular bodies, and how it responds to signals."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MvbPathway:
    """Multivesicular bodies (MVBs) form, meet their fate, and a share of them fuses with the membrane.

        dM/dt = k_form - k_fate M,    fusions = f_sec k_fate M,    vesicles = b per fusion

    ``formation`` = release rate / (f_sec b) at rest, so that a cell at rest releases what its type says.

    Attributes
    ----------
    secretory_fraction : float
        f_sec; the others end in lysosomes.
    fate_rate : float
        k_fate, 1/s.
    initial : float or None
        MVBs at the start; None for the steady number.
    sorting : tuple of (int, float)
        Vesicle kinds of the ILVs and their shares, which sum to 1.
    """

    secretory_fraction: float
    fate_rate: float
    initial: float | None
    sorting: tuple[tuple[int, float], ...]

    def formation(self, release_rate: float, ilvs_per_mvb: float) -> float:
        """MVBs formed per second by a cell that at rest releases at this rate."""
        if self.secretory_fraction == 0.0:
            return 0.0
        return release_rate / (self.secretory_fraction * ilvs_per_mvb)


@dataclass(frozen=True)
class Response:
    """A behavior of a type of cell that follows a signal s.

        value = (base + u maximum) / (1 + u),    u = (s / half_max)^hill

    which is ``base`` without the signal, half way at ``half_max``, and ``maximum`` at the end. Several
    responses of one behavior share the way by their u; those that raise it act first, then those that
    lower it.

    Attributes
    ----------
    cell_type : int
    signal : str
        A word of ``cells.response.SIGNALS``.
    of : int
        Which cargo or vesicle kind the signal is of; -1 for a signal that needs none.
    behavior : int
        Column of ``Cells.behavior``.
    raises : bool
    """

    cell_type: int
    signal: str
    of: int
    behavior: int
    raises: bool
    half_max: float
    hill: float
    maximum: float
