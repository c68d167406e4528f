"""What vesicles carry, and what cells hold of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CargoClass(StrEnum):
    """What a cargo is to the cell that takes it up."""

    SIGNAL = "signal"
    WASTE = "waste"
    THERAPEUTIC = "therapeutic"


class Molecule(StrEnum):
    """What a cargo is made of; an RNA and a protein bring the half-life of their class."""

    MRNA = "mRNA"
    MIRNA = "miRNA"
    PROTEIN = "protein"
    LIPID = "lipid"
    SMALL_MOLECULE = "small_molecule"
    MISFOLDED_PROTEIN = "misfolded_protein"


HALF_LIVES = {Molecule.MRNA: "9 h", Molecule.PROTEIN: "46 h", Molecule.MIRNA: "120 h"}
"""Half-lives in a cell (Schwanhäusser 2011, Gantier 2011; recalled, known to a factor of 3)."""


@dataclass(frozen=True)
class Cargo:
    """A molecule carried inside vesicles.

    Attributes
    ----------
    name : str
    role : CargoClass
        A signal or a therapeutic counts once it is delivered to the cytosol; waste joins the recipient's
        waste pool wherever the vesicle ends, and must be degraded there.
    copies : float
        Mean copies per vesicle.
    decay_rate : float
        Loss of active copies in a cell, 1/s; 0 for what stays.
    molecule : Molecule or None
    effect_copies : float
        Delivered copies from which a cell shows an effect.
    """

    name: str
    role: CargoClass
    copies: float
    decay_rate: float = 0.0
    molecule: Molecule | None = None
    effect_copies: float = 1.0


@dataclass(frozen=True)
class CargoPool:
    """What a type of cell does with the copies m of a cargo that it holds; rates in 1/s.

        dm/dt = production + replication m (1 - m / capacity) - (decay + clearance + export) m + delivered

    Attributes
    ----------
    cargo : int
        Column of ``Cells.cargo``.
    initial : float
        Copies in each cell of the layout at the start.
    vesicle : int or None
        Kind that carries exported copies out, ``copies`` in each.
    """

    cargo: int
    initial: float
    production: float
    replication: float
    capacity: float
    clearance: float
    export: float
    vesicle: int | None
    copies: float
