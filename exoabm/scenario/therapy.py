"""Tables of a scenario file for therapy: the body, doses, the host's answer, manufacture."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, create_model, model_validator

from exoabm.parameters.parameter import Quantity
from exoabm.parameters.therapy import ORGANS, STEPS
from exoabm.scenario.fields import Name, Table, declared


def _tables(base: str, names: tuple[str, ...], keys: tuple[str, ...]) -> dict[str, Any]:
    """A table of its own for each name, whose keys are the parameters ``<name>_<key>``."""
    found: dict[str, Any] = {}
    for name in names:
        keyed: dict[str, Any] = {key: (Quantity, declared(f"{name}_{key}")) for key in keys}
        table = create_model(f"{name.title()}{base}", __base__=Table, __doc__=f"{base}: {name}.", **keyed)
        found[name] = (table, Field(default_factory=table))
    return found


class _Body(Table):
    """The body of one subject."""

    plasma_volume: Quantity = declared("plasma_volume")
    distribution_volume: Quantity = declared("distribution_volume")
    exchange_flow: Quantity = declared("exchange_flow")
    basal_clearance: Quantity = declared("basal_clearance")
    heart_permeability: Quantity = declared("heart_permeability")
    variability: Quantity = declared("variability")


Pharmacokinetics: Any = create_model(
    "Pharmacokinetics",
    __base__=_Body,
    __doc__=_Body.__doc__,
    **_tables("Organ", ORGANS, ("volume", "flow", "phagocytes")),
)


class Dosing(Table):
    """A dose: how much by which measure, by which route, when; and what becomes of it in the body."""

    name: Name
    given: bool = Field(default=True, description="arms of a trial switch doses on and off")
    vesicle: Name = Field(description="vesicle kind as which its particles enter the tissue")
    molecule: Name | None = Field(
        default=None, description="vesicle kind as which molecules that it sets free enter the tissue"
    )
    molecular: bool = Field(default=False, description="the dose itself consists of free molecules")
    route: Literal["tissue", "local", "intravenous", "intraperitoneal", "subcutaneous", "implant"]
    particles: Quantity | None = declared("particles", default=None)
    copies: Quantity | None = declared("dose_copies", default=None)
    mass: Quantity | None = declared("dose_mass", default=None)
    cells: Quantity | None = declared("dose_cells", default=None)
    start: Quantity = declared("dose_time")
    duration: Quantity = declared("dose_duration")
    repeats: int = Field(default=1, ge=1, le=10_000)
    interval: Quantity = declared("dose_interval")
    through: Name | None = Field(
        default=None, description="cell type at whose surface it enters, such as vessel walls"
    )
    center: list[Quantity] | None = declared("position", default=None)
    face: Literal["x_low", "x_high", "y_low", "y_high", "z_low", "z_high"] | None = None
    reach: Quantity | None = declared(
        "length",
        default=None,
        description="how far from the center, or the face, cells are entered at",
    )
    protein_per_particle: Quantity = declared("protein_per_particle")
    relative_immunogenicity: Quantity = declared("relative_immunogenicity")
    foreignness: Quantity = declared("foreignness")
    bioavailability: Quantity = declared("bioavailability")
    absorption_half_life: Quantity = declared("absorption_half_life")
    drainage_half_life: Quantity = declared("drainage_half_life")
    carrier_uptake: Quantity = declared("carrier_uptake")
    target_permeability: Quantity = declared("target_permeability")
    organ_half_life: Quantity = declared("organ_half_life")
    leak_half_life: Quantity = declared("leak_half_life")
    cargo_return: Quantity = declared("cargo_return")
    partition: Quantity = declared("partition")
    hepatic_clearance: Quantity = declared("hepatic_clearance")
    renal_clearance: Quantity = declared("renal_clearance")
    release_rate: Quantity = declared("producer_rate", description="vesicles per therapeutic cell")
    therapeutic_half_life: Quantity = declared("therapeutic_half_life")
    cell_antigen: Quantity = declared("cell_antigen")

    @property
    def measure(self) -> str:
        """By what the dose is counted."""
        return next(m for m in ("particles", "copies", "mass", "cells") if getattr(self, m) is not None)

    @model_validator(mode="after")
    def _one_measure_one_way_in(self) -> Dosing:
        measures = [getattr(self, m) is not None for m in ("particles", "copies", "mass", "cells")]
        if sum(measures) != 1:
            raise ValueError("state a dose by exactly one of particles, copies, mass and cells")
        ways = [way is not None for way in (self.through, self.center, self.face)]
        if sum(ways) != 1:
            raise ValueError("a dose enters through a cell type, around a center, or along a face: give one")
        if (self.reach is not None) != (self.through is None):
            raise ValueError("reach goes with a center or a face, and is needed there")
        return self


class ImmunityTable(Table):
    """How the host answers foreign antigen."""

    antigen_half: Quantity = declared("antigen_half")
    antigen_half_life: Quantity = declared("antigen_half_life")
    innate_time: Quantity = declared("innate_time")
    expansion: Quantity = declared("expansion")
    contraction: Quantity = declared("contraction")
    naive_precursors: Quantity = declared("naive_precursors")
    memory_precursors: Quantity = declared("memory_precursors")
    memory_rate: Quantity = declared("memory_rate")
    initial_memory: Quantity = declared("initial_memory")
    kill_rate: Quantity = declared("kill_rate")


Separation = Literal[
    "ultracentrifugation", "gradient", "ultrafiltration", "chromatography", "tangential_flow"
]


class _Culture(Table):
    """How vesicles in the medium become doses: a culture, a chain of steps, storage."""

    chain: list[Separation] = Field(min_length=1, description="separation steps in their order")
    cells: Quantity = declared("producer_cells")
    storage_time: Quantity = declared("storage_time")
    storage_loss: Quantity = declared("storage_loss")
    dose: Quantity = declared("dose_particles")
    cell_dose: Quantity = declared("dose_of_cells")
    doubling_time: Quantity = declared("doubling_time")
    seed_cells: Quantity = declared("seed_cells")
    expansion_cost: Quantity = declared("expansion_cost")
    labor_cost: Quantity = declared("labor_cost")
    protein_per_cell: Quantity = declared("protein_per_cell")
    variability: Quantity = declared("variability")


ManufacturingTable: Any = create_model(
    "ManufacturingTable",
    __base__=_Culture,
    __doc__=_Culture.__doc__,
    **_tables("Step", STEPS, ("recovery", "removal", "time")),
)
