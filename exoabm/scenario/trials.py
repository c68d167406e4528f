"""Tables of a scenario file for a virtual trial: arms, readouts, criteria, assumptions, what else differs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from exoabm.parameters.parameter import Quantity
from exoabm.scenario.fields import Name, Plain, Table, declared


class ArmTable(Table):
    """One arm of a trial: the scenario with some values changed."""

    name: Name
    title: str = Field(default="", max_length=200)
    note: str = Field(default="", max_length=1000)
    set: dict[str, Plain] = Field(
        default_factory=dict, description="dotted keys and values, as for --set on the command line"
    )


class ReadoutTable(Table):
    """A number read from the metrics of a run."""

    name: Name
    metric: str = Field(description="a column of metrics.parquet")
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
    """What the claim says of a readout; all criteria must hold."""

    readout: Name
    arm: Name
    versus: Name
    direction: Literal["higher", "lower", "not lower", "not higher"]
    by: Quantity = declared("effect_of_interest")
    scale: Literal["difference", "ratio"] = "difference"

    @model_validator(mode="after")
    def _a_ratio_stays_positive(self) -> CriterionTable:
        if self.scale == "ratio" and self.by >= 1 and self.direction in ("lower", "not lower"):
            raise ValueError("on the scale of ratios, lower by 1 or more is below nothing")
        if self.arm == self.versus:
            raise ValueError("an arm is compared with another one")
        return self


class AssumptionTable(Table):
    """A value that the conclusion may rest on, swept over its range."""

    name: Name
    title: str = Field(default="", max_length=200)
    keys: list[str] = Field(min_length=1, description="dotted keys that get the value together")
    values: list[Plain] = Field(
        default_factory=list, description="the published range, evenly in its logarithm, if not given"
    )
    points: int = Field(default=4, ge=2, le=20, description="values swept where none are given")


class BetweenTable(Table):
    """What differs between replicates and is the same in all arms: a donor, a host, a measured dose."""

    name: Name
    title: str = Field(default="", max_length=200)
    keys: list[str] = Field(min_length=1, description="dotted keys whose values vary together")
    cv: Quantity = declared("variability", description="log-normal, the mean is the value of the arm")


class TrialTable(Table):
    """A claim put to the test."""

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
    limits: list[str] = Field(default_factory=list, description="what the trial does not show, in sentences")

    @field_validator("claim")
    @classmethod
    def _a_sentence(cls, claim: str) -> str:
        if not claim.endswith("."):
            raise ValueError("a claim is a sentence")
        return claim
