"""Schema of therapy and trials: body, doses, immunity, manufacturing, arms, readouts and criteria."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from exoabm.errors import InputError
from exoabm.parameters.catalog import Quantity
from exoabm.scenario.schema_base import Name, Plain, Table, parameter_of, quantity_field
from exoabm.tables.readouts import parse


class Liver(Table):
    """The liver."""

    volume: Quantity = quantity_field("liver_volume")
    flow: Quantity = quantity_field("liver_flow")
    phagocytes: Quantity = quantity_field("liver_phagocytes")


class Spleen(Table):
    """The spleen."""

    volume: Quantity = quantity_field("spleen_volume")
    flow: Quantity = quantity_field("spleen_flow")
    phagocytes: Quantity = quantity_field("spleen_phagocytes")


class Lung(Table):
    """The lung."""

    volume: Quantity = quantity_field("lung_volume")
    flow: Quantity = quantity_field("lung_flow")
    phagocytes: Quantity = quantity_field("lung_phagocytes")


class Kidney(Table):
    """The kidney."""

    volume: Quantity = quantity_field("kidney_volume")
    flow: Quantity = quantity_field("kidney_flow")
    phagocytes: Quantity = quantity_field("kidney_phagocytes")


class Heart(Table):
    """The heart."""

    volume: Quantity = quantity_field("heart_volume")
    flow: Quantity = quantity_field("heart_flow")
    phagocytes: Quantity = quantity_field("heart_phagocytes")


class Target(Table):
    """The target."""

    volume: Quantity = quantity_field("target_volume")
    flow: Quantity = quantity_field("target_flow")
    phagocytes: Quantity = quantity_field("target_phagocytes")


class Rest(Table):
    """The rest."""

    volume: Quantity = quantity_field("rest_volume")
    flow: Quantity = quantity_field("rest_flow")
    phagocytes: Quantity = quantity_field("rest_phagocytes")


class Pharmacokinetics(Table):
    """The body of one subject."""

    plasma_volume: Quantity = quantity_field("plasma_volume")
    distribution_volume: Quantity = quantity_field("distribution_volume")
    exchange_flow: Quantity = quantity_field("exchange_flow")
    basal_clearance: Quantity = quantity_field("basal_clearance")
    heart_permeability: Quantity = quantity_field("heart_permeability")
    variability: Quantity = quantity_field("variability")
    liver: Liver = Field(default_factory=Liver)
    spleen: Spleen = Field(default_factory=Spleen)
    lung: Lung = Field(default_factory=Lung)
    kidney: Kidney = Field(default_factory=Kidney)
    heart: Heart = Field(default_factory=Heart)
    target: Target = Field(default_factory=Target)
    rest: Rest = Field(default_factory=Rest)


_OF_PARTICLES = {
    "drainage_half_life",
    "carrier_uptake",
    "target_permeability",
    "organ_half_life",
    "leak_half_life",
    "cargo_return",
}
"""Fields of a dose that apply to its particles in the body, not to free molecules."""


class Dosing(Table):
    """A dose: amount, route, schedule, place of entry and pharmacokinetics."""

    name: Name
    given: bool = Field(default=True, description="arms of a trial switch doses on and off")
    vesicle: Name = Field(description="vesicle kind of its particles in the tissue")
    molecule: Name | None = Field(
        default=None, description="vesicle kind of its released molecules in the tissue"
    )
    molecular: bool = Field(default=False, description="the dose itself consists of free molecules")
    route: Literal["tissue", "local", "intravenous", "intraperitoneal", "subcutaneous", "implant"]
    particles: Quantity | None = quantity_field("particles", default=None)
    copies: Quantity | None = quantity_field("dose_copies", default=None)
    mass: Quantity | None = quantity_field("dose_mass", default=None)
    cells: Quantity | None = quantity_field("dose_cells", default=None)
    start: Quantity = quantity_field("dose_time")
    duration: Quantity = quantity_field("dose_duration")
    repeats: int = Field(default=1, ge=1, le=10_000)
    interval: Quantity = quantity_field("dose_interval")
    through: Name | None = Field(
        default=None, description="cell type at whose surface it enters, such as vessel walls"
    )
    center: list[Quantity] | None = quantity_field("position", default=None)
    face: Literal["x_low", "x_high", "y_low", "y_high", "z_low", "z_high"] | None = None
    reach: Quantity | None = quantity_field(
        "length",
        default=None,
        description="distance from the center or the face within which it enters at cells",
    )
    protein_per_particle: Quantity = quantity_field("protein_per_particle")
    relative_immunogenicity: Quantity = quantity_field("relative_immunogenicity")
    foreignness: Quantity = quantity_field("foreignness")
    bioavailability: Quantity = quantity_field("bioavailability")
    absorption_half_life: Quantity = quantity_field("absorption_half_life")
    drainage_half_life: Quantity = quantity_field("drainage_half_life")
    carrier_uptake: Quantity = quantity_field("carrier_uptake")
    target_permeability: Quantity = quantity_field("target_permeability")
    organ_half_life: Quantity = quantity_field("organ_half_life")
    leak_half_life: Quantity = quantity_field("leak_half_life")
    cargo_return: Quantity = quantity_field("cargo_return")
    partition: Quantity = quantity_field("partition")
    hepatic_clearance: Quantity = quantity_field("hepatic_clearance")
    renal_clearance: Quantity = quantity_field("renal_clearance")
    release_rate: Quantity = quantity_field("producer_rate", description="vesicles per therapeutic cell")
    therapeutic_half_life: Quantity = quantity_field("therapeutic_half_life")
    cell_antigen: Quantity = quantity_field("cell_antigen")

    @property
    def measure(self) -> str:
        """The unit of the amount of the dose."""
        return next(m for m in ("particles", "copies", "mass", "cells") if getattr(self, m) is not None)

    def unused(self, immunity: bool) -> set[str]:
        """Fields that nothing reads: all of a dose that is not given, and those of other routes or forms.

        Protein and antigen count in a host with ``immunity``; protein also converts a mass to particles.
        """
        quantities = {key for key in type(self).model_fields if parameter_of(type(self), key) is not None}
        if not self.given:
            return quantities
        read = {"particles", "copies", "mass", "cells", "start", "duration", "center", "reach"}
        if self.repeats > 1:
            read.add("interval")
        if immunity or self.mass is not None:
            read.add("protein_per_particle")
        if immunity:
            read |= {"relative_immunogenicity", "foreignness"}
        if self.cells is not None:
            read |= {"release_rate", "therapeutic_half_life"} | ({"cell_antigen"} if immunity else set())
        if self.route != "tissue":
            read |= {"partition", "hepatic_clearance", "renal_clearance"}
            if not self.molecular:
                read |= _OF_PARTICLES
        if self.route in ("intraperitoneal", "subcutaneous"):
            read |= {"bioavailability", "absorption_half_life"}
        return quantities - read

    @model_validator(mode="after")
    def _one_measure_one_way_in(self) -> Dosing:
        measures = [getattr(self, m) is not None for m in ("particles", "copies", "mass", "cells")]
        if sum(measures) != 1:
            raise ValueError("give exactly one of particles, copies, mass and cells")
        ways = [way is not None for way in (self.through, self.center, self.face)]
        if sum(ways) != 1:
            raise ValueError("a dose enters through a cell type, around a center, or along a face: give one")
        if (self.reach is not None) != (self.through is None):
            raise ValueError("reach goes with a center or a face, and is needed there")
        return self


class ImmunityTable(Table):
    """Immune response of the host to foreign antigen."""

    antigen_half: Quantity = quantity_field("antigen_half")
    antigen_half_life: Quantity = quantity_field("antigen_half_life")
    innate_time: Quantity = quantity_field("innate_time")
    expansion: Quantity = quantity_field("expansion")
    contraction: Quantity = quantity_field("contraction")
    naive_precursors: Quantity = quantity_field("naive_precursors")
    memory_precursors: Quantity = quantity_field("memory_precursors")
    memory_rate: Quantity = quantity_field("memory_rate")
    initial_memory: Quantity = quantity_field("initial_memory")
    kill_rate: Quantity = quantity_field("kill_rate")


Separation = Literal[
    "ultracentrifugation", "gradient", "ultrafiltration", "chromatography", "tangential_flow"
]


class Ultracentrifugation(Table):
    """The step ultracentrifugation."""

    recovery: Quantity = quantity_field("ultracentrifugation_recovery")
    removal: Quantity = quantity_field("ultracentrifugation_removal")
    time: Quantity = quantity_field("ultracentrifugation_time")


class Gradient(Table):
    """The step gradient."""

    recovery: Quantity = quantity_field("gradient_recovery")
    removal: Quantity = quantity_field("gradient_removal")
    time: Quantity = quantity_field("gradient_time")


class Ultrafiltration(Table):
    """The step ultrafiltration."""

    recovery: Quantity = quantity_field("ultrafiltration_recovery")
    removal: Quantity = quantity_field("ultrafiltration_removal")
    time: Quantity = quantity_field("ultrafiltration_time")


class Chromatography(Table):
    """The step chromatography."""

    recovery: Quantity = quantity_field("chromatography_recovery")
    removal: Quantity = quantity_field("chromatography_removal")
    time: Quantity = quantity_field("chromatography_time")


class TangentialFlow(Table):
    """The step tangential flow."""

    recovery: Quantity = quantity_field("tangential_flow_recovery")
    removal: Quantity = quantity_field("tangential_flow_removal")
    time: Quantity = quantity_field("tangential_flow_time")


class ManufacturingTable(Table):
    """Production of doses: culture, a chain of separation steps, storage."""

    chain: list[Separation] = Field(min_length=1, description="separation steps in their order")
    cells: Quantity = quantity_field("producer_cells")
    storage_time: Quantity = quantity_field("storage_time")
    storage_loss: Quantity = quantity_field("storage_loss")
    dose: Quantity = quantity_field("dose_particles")
    cell_dose: Quantity = quantity_field("dose_of_cells")
    doubling_time: Quantity = quantity_field("doubling_time")
    seed_cells: Quantity = quantity_field("seed_cells")
    expansion_cost: Quantity = quantity_field("expansion_cost")
    labor_cost: Quantity = quantity_field("labor_cost")
    protein_per_cell: Quantity = quantity_field("protein_per_cell")
    variability: Quantity = quantity_field("variability")
    ultracentrifugation: Ultracentrifugation = Field(default_factory=Ultracentrifugation)
    gradient: Gradient = Field(default_factory=Gradient)
    ultrafiltration: Ultrafiltration = Field(default_factory=Ultrafiltration)
    chromatography: Chromatography = Field(default_factory=Chromatography)
    tangential_flow: TangentialFlow = Field(default_factory=TangentialFlow)


class ArmTable(Table):
    """One arm of a trial: the scenario with some values changed."""

    name: Name
    title: str = Field(default="", max_length=200)
    note: str = Field(default="", max_length=1000)
    set: dict[str, Plain] = Field(
        default_factory=dict, description="dotted keys and values, as for --set on the command line"
    )


def _time_series(metric: str) -> str:
    try:
        found = parse(metric)
    except InputError as error:
        raise ValueError(str(error)) from None
    if found.column is None:
        raise ValueError(f"{metric!r} is known at the end of a run alone; a time series is needed")
    return str(found)


Metric = Annotated[str, AfterValidator(_time_series)]
"""A readout of the time series, as it is written."""


class MainReadout(Table):
    """The readout that answers the question of the scenario; results begin with it."""

    metric: Metric = Field(description="a readout of the time series, such as cells[tumor]")
    title: str = Field(min_length=1, max_length=200)
    unit: str = Field(default="", max_length=40, description="that of the column if not given")
    more: str = Field(default="", max_length=200, description="what a higher value means")

    @model_validator(mode="before")
    @classmethod
    def _unit_of_the_column(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("unit"):
            return given
        try:
            column = parse(str(given.get("metric"))).column
        except InputError:
            return given
        return given if column is None else {**given, "unit": column.unit}


class ReadoutTable(Table):
    """A number read from the metrics of a run."""

    name: Name
    metric: Metric = Field(description="a readout of the time series, such as taken_up_per_cell[tumor]")
    title: str = Field(default="", max_length=200)
    unit: str = Field(default="", max_length=40)
    reduce: Literal["last", "max", "mean", "time_of_max", "time_to"] = Field(
        default="last",
        description="how the column becomes one number; time_to: when it first reaches level, or the end",
    )
    level: Quantity | None = quantity_field("readout_level", default=None, description="for time_to")
    at: Quantity | None = quantity_field("readout_time", default=None, description="the end if not given")

    @model_validator(mode="after")
    def _a_level_to_reach(self) -> ReadoutTable:
        if (self.reduce == "time_to") != (self.level is not None):
            raise ValueError("a level is given with reduce = 'time_to', and only then")
        return self


class CriterionTable(Table):
    """A criterion of the claim for one readout; all criteria must hold."""

    readout: Name
    arm: Name
    versus: Name
    direction: Literal["higher", "lower", "not lower", "not higher"]
    by: Quantity = quantity_field("effect_of_interest")
    scale: Literal["difference", "ratio"] = "difference"

    @model_validator(mode="after")
    def _a_ratio_stays_positive(self) -> CriterionTable:
        if self.scale == "ratio" and self.by >= 1 and self.direction in ("lower", "not lower"):
            raise ValueError("on the scale of ratios, lower by 1 or more is negative")
        if self.arm == self.versus:
            raise ValueError("arm and versus must differ")
        return self


class AssumptionTable(Table):
    """A value that may determine the conclusion, swept over its range."""

    name: Name
    title: str = Field(default="", max_length=200)
    keys: list[str] = Field(min_length=1, description="dotted keys that are set to the value together")
    values: list[Plain] = Field(
        default_factory=list, description="the published range, evenly in its logarithm, if not given"
    )
    points: int = Field(default=4, ge=2, le=20, description="values swept where none are given")


class BetweenTable(Table):
    """Variation between replicates that is common to all arms: a donor, a host, a measured dose."""

    name: Name
    title: str = Field(default="", max_length=200)
    keys: list[str] = Field(min_length=1, description="dotted keys whose values vary together")
    cv: Quantity = quantity_field("variability", description="log-normal, the mean is the value of the arm")


class TrialTable(Table):
    """A claim and its test."""

    claim: str = Field(max_length=500)
    replicates: int = Field(default=20, ge=2, le=100_000)
    sweep_replicates: int = Field(default=6, ge=2, le=100_000)
    set: dict[str, Plain] = Field(
        default_factory=dict, description="values that all arms have, such as a coarser step"
    )
    readout: list[ReadoutTable] = Field(min_length=1)
    criterion: list[CriterionTable] = Field(min_length=1)
    assumption: list[AssumptionTable] = Field(default_factory=list)
    between: list[BetweenTable] = Field(default_factory=list)
    limits: list[str] = Field(
        default_factory=list, description="conclusions that the trial does not support, in sentences"
    )

    @field_validator("claim")
    @classmethod
    def _a_sentence(cls, claim: str) -> str:
        if not claim.endswith("."):
            raise ValueError("a claim is a sentence")
        return claim
