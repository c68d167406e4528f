"""Cargo of vesicles, and pools of cargo in cells."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CargoClass(StrEnum):
    """Role of a cargo in the recipient cell."""

    SIGNAL = "signal"
    WASTE = "waste"
    THERAPEUTIC = "therapeutic"


class Molecule(StrEnum):
    """Molecular class of a cargo; RNA and protein have a default half-life."""

    MRNA = "mRNA"
    MIRNA = "miRNA"
    PROTEIN = "protein"
    LIPID = "lipid"
    SMALL_MOLECULE = "small_molecule"
    MISFOLDED_PROTEIN = "misfolded_protein"


HALF_LIVES = {Molecule.MRNA: "9 h", Molecule.PROTEIN: "46 h", Molecule.MIRNA: "120 h"}
"""Half-lives in a cell, within a factor of 3. Source: schwanhausser2011, gantier2011."""


@dataclass(frozen=True)
class Cargo:
    """A molecule carried inside vesicles.

    Attributes
    ----------
    name : str
    role : CargoClass
        A signal or a therapeutic counts once it is delivered to the cytosol; waste joins the
        waste pool of the recipient at any fate of the vesicle, and is degraded there.
    copies : float
        Mean copies per vesicle.
    decay_rate : float
        Loss of active copies in a cell, 1/s.
    molecule : Molecule or None
    effect_copies : float
        Least number of delivered copies with an effect on a cell.
    """

    name: str
    role: CargoClass
    copies: float
    decay_rate: float = 0.0
    molecule: Molecule | None = None
    effect_copies: float = 1.0


@dataclass(frozen=True)
class CargoPool:
    """Kinetics of the copies m of a cargo in cells of a type; rates in 1/s.

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
