"""Kinds of extracellular vesicle (EV).

"Exosome" is right here only for vesicles that the model makes by fusion of a multivesicular body
with the plasma membrane; names elsewhere say vesicle or EV (MISEV2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exoabm.cargo import Cargo


@dataclass(frozen=True)
class VesicleKind:
    """One kind of vesicle, its motion in free medium and its way into a cell.

    Attributes
    ----------
    name : str
    diameter, diameter_gsd : float
        Median in um and geometric standard deviation of the log-normal diameter.
    diffusivity : float
        Mean over the diameters in free medium, um^2/s; tissue hindrance is the domain's.
    decay_rate : float
        Extracellular clearance, 1/s.
    unbinding_rate, internalization_rate : float
        The two ways off the cell surface, 1/s: back to the medium, or into an endosome.
    processing_rate : float
        From the endosome to its end, 1/s.
    delivery_probability : float
        Share of the internalized vesicles whose cargo reaches the cytosol; the others end in a
        lysosome. Uptake is not delivery.
    cargo : tuple of Cargo
    """

    name: str
    diameter: float
    diameter_gsd: float
    diffusivity: float
    decay_rate: float
    unbinding_rate: float
    internalization_rate: float
    processing_rate: float
    delivery_probability: float
    cargo: tuple[Cargo, ...] = ()

    @property
    def unbinding_probability(self) -> float:
        """k_off / (k_off + k_int): the chance that a bound vesicle leaves the surface again."""
        total = self.unbinding_rate + self.internalization_rate
        return self.unbinding_rate / total if total > 0 else 0.0
