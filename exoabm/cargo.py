"""What vesicles carry."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CargoClass(StrEnum):
    """What a cargo is to the cell that takes it up."""

    SIGNAL = "signal"
    WASTE = "waste"


@dataclass(frozen=True)
class Cargo:
    """A molecule carried inside vesicles.

    Attributes
    ----------
    name : str
    role : CargoClass
        A signal counts once it is delivered to the cytosol; waste joins the recipient's waste
        pool wherever the vesicle ends, and must be degraded there.
    copies : float
        Mean copies per vesicle.
    effect_copies : float
        Delivered copies from which a cell shows an effect.
    """

    name: str
    role: CargoClass
    copies: float
    effect_copies: float = 1.0
