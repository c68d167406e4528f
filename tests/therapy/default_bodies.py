"""Bodies and formulations at the defaults of the catalog, for tests."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from exoabm.parameters import CATALOG, Quantity
from exoabm.parameters.catalog import ORGANS
from exoabm.therapy.manufacturing import Process, SeparationStep
from exoabm.therapy.pharmacokinetics import (
    LOST,
    Body,
    Compartment,
    Formulation,
    Immunity,
    Organ,
    PBPKModel,
)


def value(name: str) -> float:
    """A default in internal units."""
    return float(Quantity.default(CATALOG[name]))


def mouse(*, target: bool = True) -> Body:
    """The default body; ``target=False`` has no leaky tumor."""
    leaky = {"target": value("target_permeability") * target, "heart": value("heart_permeability")}
    organs = tuple(
        Organ(
            name,
            value(f"{name}_volume"),
            value(f"{name}_flow"),
            value(f"{name}_phagocytes"),
            leaky.get(name, 0.0),
        )
        for name in ORGANS
    )
    return Body(
        value("plasma_volume"),
        organs,
        value("basal_clearance"),
        value("distribution_volume"),
        value("exchange_flow"),
    )


def without_phagocytes(body: Body) -> Body:
    """The same body after depletion of its phagocytes."""
    return replace(body, organs=tuple(replace(organ, phagocytes=0.0) for organ in body.organs))


def residence(body: PBPKModel, given_to: Compartment) -> np.ndarray:
    """Mean residence time in s in each compartment of one particle given to ``given_to``; inf in LOST."""
    lost = body.index(LOST)
    rest = [i for i in range(len(body.compartments)) if i != lost]
    unit = np.zeros(len(rest))
    unit[rest.index(body.index(given_to))] = 1.0
    time = np.full(len(body.compartments), math.inf)
    time[rest] = np.linalg.solve(-body.matrix[np.ix_(rest, rest)], unit)
    return time


def vesicles(**changes: float | bool) -> Formulation:
    """Vesicles at the defaults."""
    base = Formulation(
        molecular=False,
        carrier_uptake=value("carrier_uptake"),
        decay_rate=math.log(2) / value("organ_half_life"),
        leak_rate=math.log(2) / value("leak_half_life"),
        cargo_return=value("cargo_return"),
        partition=value("partition"),
        hepatic_clearance=value("hepatic_clearance"),
        renal_clearance=value("renal_clearance"),
        absorption_rate=math.log(2) / value("absorption_half_life"),
        drainage_rate=math.log(2) / value("drainage_half_life"),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def host(**changes: float) -> Immunity:
    """A naive host at the defaults."""
    base = Immunity(
        antigen_half=value("antigen_half"),
        antigen_loss=math.log(2) / value("antigen_half_life"),
        innate_rate=1 / value("innate_time"),
        expansion=value("expansion"),
        contraction=value("contraction"),
        naive=value("naive_precursors"),
        primed=value("memory_precursors"),
        memory_rate=value("memory_rate"),
        initial_memory=value("initial_memory"),
        kill_rate=value("kill_rate"),
    )
    return replace(base, **changes)


def step(name: str) -> SeparationStep:
    """A separation step at the defaults."""
    return SeparationStep(name, *(value(f"{name}_{key}") for key in ("recovery", "removal", "time")))


def process(*names: str, **changes: float) -> Process:
    """A process with these steps at the defaults."""
    base = Process(
        cells=value("producer_cells"),
        protein_rate=value("protein_per_cell"),
        steps=tuple(step(name) for name in names),
        storage_time=value("storage_time"),
        storage_loss=value("storage_loss"),
        dose=value("dose_particles"),
        labor_cost=value("labor_cost"),
        expansion_cost=value("expansion_cost"),
        seed_cells=value("seed_cells"),
        doubling_time=value("doubling_time"),
    )
    return replace(base, **changes)  # type: ignore[arg-type]
