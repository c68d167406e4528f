"""Schema of therapy and trials: body, doses, immunity, manufacturing, arms, readouts and criteria."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from exoabm.errors import InputError
from exoabm.parameters.catalog import Quantity
from exoabm.scenario.schema_fields import Name, Plain, Table, declared
from exoabm.tables.readouts import parse


class Liver(Table):
    """The liver."""

    volume: Quantity = declared("liver_volume")
    flow: Quantity = declared("liver_flow")
    phagocytes: Quantity = declared("liver_phagocytes")


class Spleen(Table):
    """The spleen."""

    volume: Quantity = declared("spleen_volume")
    flow: Quantity = declared("spleen_flow")
    phagocytes: Quantity = declared("spleen_phagocytes")


class Lung(Table):
    """The lung."""

    volume: Quantity = declared("lung_volume")
    flow: Quantity = declared("lung_flow")
    phagocytes: Quantity = declared("lung_phagocytes")


class Kidney(Table):
    """The kidney."""

    volume: Quantity = declared("kidney_volume")
    flow: Quantity = declared("kidney_flow")
    phagocytes: Quantity = declared("kidney_phagocytes")


class Heart(Table):
    """The heart."""

    volume: Quantity = declared("heart_volume")
    flow: Quantity = declared("heart_flow")
    phagocytes: Quantity = declared("heart_phagocytes")


class Target(Table):
    """The target."""

    volume: Quantity = declared("target_volume")
    flow: Quantity = declared("target_flow")
    phagocytes: Quantity = declared("target_phagocytes")


class Rest(Table):
    """The rest."""

    volume: Quantity = declared("rest_volume")
    flow: Quantity = declared("rest_flow")
    phagocytes: Quantity = declared("rest_phagocytes")


class Pharmacokinetics(Table):
    """The body of one subject."""

    plasma_volume: Quantity = declared("plasma_volume")
    distribution_volume: Quantity = declared("distribution_volume")
    exchange_flow: Quantity = declared("exchange_flow")
    basal_clearance: Quantity = declared("basal_clearance")
    heart_permeability: Quantity = declared("heart_permeability")
    variability: Quantity = declared("variability")
    liver: Liver = Field(default_factory=Liver)
    spleen: Spleen = Field(default_factory=Spleen)
    lung: Lung = Field(default_factory=Lung)
    kidney: Kidney = Field(default_factory=Kidney)
    heart: Heart = Field(default_factory=Heart)
    target: Target = Field(default_factory=Target)
    rest: Rest = Field(default_factory=Rest)


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
        description="distance from the center or the face within which it enters at cells",
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
        """The unit of the amount of the dose."""
        return next(m for m in ("particles", "copies", "mass", "cells") if getattr(self, m) is not None)

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


class Ultracentrifugation(Table):
    """The step ultracentrifugation."""

    recovery: Quantity = declared("ultracentrifugation_recovery")
    removal: Quantity = declared("ultracentrifugation_removal")
    time: Quantity = declared("ultracentrifugation_time")


class Gradient(Table):
    """The step gradient."""

    recovery: Quantity = declared("gradient_recovery")
    removal: Quantity = declared("gradient_removal")
    time: Quantity = declared("gradient_time")


class Ultrafiltration(Table):
    """The step ultrafiltration."""

    recovery: Quantity = declared("ultrafiltration_recovery")
    removal: Quantity = declared("ultrafiltration_removal")
    time: Quantity = declared("ultrafiltration_time")


class Chromatography(Table):
    """The step chromatography."""

    recovery: Quantity = declared("chromatography_recovery")
    removal: Quantity = declared("chromatography_removal")
    time: Quantity = declared("chromatography_time")


class TangentialFlow(Table):
    """The step tangential flow."""

    recovery: Quantity = declared("tangential_flow_recovery")
    removal: Quantity = declared("tangential_flow_removal")
    time: Quantity = declared("tangential_flow_time")


class ManufacturingTable(Table):
    """Production of doses: culture, a chain of separation steps, storage."""

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
    level: Quantity | None = declared("readout_level", default=None, description="for time_to")
    at: Quantity | None = declared("readout_time", default=None, description="the end if not given")

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
    by: Quantity = declared("effect_of_interest")
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
    cv: Quantity = declared("variability", description="log-normal, the mean is the value of the arm")


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
