"""Schema of cargo, vesicles, cell types, responses, silencings and gifts."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from exoabm.cells import behaviors
from exoabm.cells.responses import SIGNALS
from exoabm.parameters.catalog import CATALOG, COMPARATORS, Quantity
from exoabm.parameters.units import QuantityError
from exoabm.scenario.schema_base import Name, Names, Plain, Table, quantity_field

CONSEQUENT_ERROR = "follows"
"""Type of an error that only follows from another one, which is reported."""


class CargoTable(Table):
    """A cargo molecule of vesicles."""

    name: Name
    role: Literal["signal", "waste", "therapeutic"] = "signal"
    molecule: Literal["mRNA", "miRNA", "protein", "lipid", "small_molecule", "misfolded_protein"] | None = (
        Field(default=None, description="class of molecule; RNA and protein have default half-lives")
    )
    copies: Quantity = quantity_field("copies")
    half_life: Quantity | None = quantity_field(
        "cargo_half_life",
        default=None,
        description="in the recipient cell; that of its molecule if not given, else infinite",
    )
    effect_copies: Quantity = quantity_field("effect_copies")


class VesicleTable(Table):
    """A kind of vesicle."""

    name: Name
    diameter: Quantity = quantity_field("diameter")
    diameter_gsd: Quantity = quantity_field("diameter_gsd")
    diffusivity: Quantity | None = quantity_field(
        "diffusivity",
        default=None,
        description="in free medium, mean over the sizes; Stokes-Einstein from the diameter if not given",
    )
    size_classes: Quantity | None = quantity_field("size_classes", default=None)
    half_life: Quantity = quantity_field("half_life")
    unbinding_rate: Quantity = quantity_field("unbinding_rate")
    internalization_rate: Quantity = quantity_field("internalization_rate")
    processing_rate: Quantity = quantity_field("processing_rate")
    recycling_probability: Quantity = quantity_field("recycling_probability")
    delivery_probability: Quantity = quantity_field("delivery_probability")
    delivery_route: Literal["endosomal_escape", "membrane_fusion"] = Field(
        default="endosomal_escape", description="where cargo enters the cytosol; a hypothesis"
    )
    cargo: Names = Field(default_factory=list, description="names of cargo it carries")
    ligand: Name | None = Field(
        default=None, description="cells with the receptor of this name bind it by these receptors"
    )
    binding_rate: Quantity = quantity_field(
        "receptor_binding_rate",
        needs=("ligand",),
        description="to each receptor that matches the ligand",
    )
    copies: Quantity | None = quantity_field(
        "copies", default=None, description="of each cargo in this kind; the cargo's own if not given"
    )
    comparator: Literal["free_drug", "soluble_factor", "lnp"] | None = Field(
        default=None, description="not a vesicle but a comparator, with its own defaults in the catalog"
    )

    @field_validator("size_classes")
    @classmethod
    def _whole(cls, value: Quantity | None) -> Quantity | None:
        if value is not None and value % 1:
            raise ValueError("must be a whole number")
        return value

    def mean_copies(self, cargo: CargoTable) -> Quantity:
        """Mean copies of a cargo in a vesicle of this kind that carries it."""
        return cargo.copies if self.copies is None else self.copies

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_a_comparator(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("comparator") not in COMPARATORS:
            return given
        prefix = f"{given['comparator']}_"
        own = {name.removeprefix(prefix): p for name, p in CATALOG.items() if name.startswith(prefix)}
        defaults = {
            key: {"value": p.default, "source": ", ".join(p.source), "note": p.meaning}
            for key, p in own.items()
        }
        return {**defaults, "diameter_gsd": 1.0, **given}


class Waste(Table):
    """Waste produced, degraded in lysosomes and exported in vesicles by a cell."""

    production: Quantity = quantity_field("waste_production")
    lysosomal_rate: Quantity = quantity_field("waste_lysosomal_rate")
    saturation: Quantity = quantity_field(
        "waste_saturation",
        default_factory=lambda: Quantity(CATALOG["waste_saturation"], "inf", "assumed"),
    )
    export_rate: Quantity = quantity_field("waste_export_rate")
    vesicle: Name = Field(description="vesicle kind that carries it, with waste among its cargo")


class Sorting(Table):
    """A kind of intraluminal vesicle, and its share of all in a multivesicular body."""

    vesicle: Name
    share: Quantity = quantity_field("ilv_share")


class Mvb(Table):
    """A pool of multivesicular bodies, which form and fuse with the membrane or with lysosomes."""

    secretory_fraction: Quantity = quantity_field("secretory_fraction")
    fate_rate: Quantity = quantity_field("mvb_fate_rate")
    number: Quantity | None = quantity_field("mvb_number", default=None)
    sorting: list[Sorting] = Field(
        default_factory=list, description="kinds of their vesicles; all of the kind released if not given"
    )


class Receptor(Table):
    """Receptors that bind vesicles with the ligand of the same name: k_a = N k_on."""

    name: Name
    number: Quantity = quantity_field("receptor_number")


class CargoMetabolism(Table):
    """Metabolism of a cargo in a cell, in addition to its decay by half-life."""

    cargo: Name
    initial: Quantity = quantity_field("cargo_copies", description="copies in each cell at the start")
    production: Quantity = quantity_field("cargo_production")
    replication: Quantity = quantity_field("cargo_replication")
    capacity: Quantity = quantity_field("cargo_capacity")
    clearance: Quantity = quantity_field("cargo_clearance")
    export: Quantity = quantity_field("cargo_export")
    vesicle: Name | None = Field(default=None, description="vesicle kind that carries exported copies")


class Transformation(Table):
    """Transformation into a cell of another type."""

    into: Name
    rate: Quantity = quantity_field("transformation_rate")


class GradientChemotaxis(Table):
    """Chemotaxis up a gradient of vesicles: v = chi K grad c/(K + c)^2."""

    vesicle: Name
    coefficient: Quantity = quantity_field("chemotactic_coefficient")
    half_max: Quantity = quantity_field("attraction_half_max")


class CaptureChemotaxis(Table):
    """Migration toward captured vesicles, each weighted by its copies of cargo."""

    vesicle: Name
    speed: Quantity = quantity_field("chemotactic_speed")
    half_max: Quantity = quantity_field("polarity_half_max")
    hill: Quantity = quantity_field("hill")
    memory: Quantity = quantity_field("polarity_memory")


class CellTypeTable(Table):
    """A type of cell, and which mechanisms it has."""

    name: Name
    annotated_as: Name | None = Field(
        default=None,
        description="type in truth files, as assigned by an observer who does not know the release; the name "
        "if not given",
    )
    diameter: Quantity = quantity_field("cell_diameter")
    releases: Name | None = Field(default=None, description="vesicle kind released; none if not given")
    release_rate: Quantity = quantity_field("release_rate", needs=("releases", "mvb"))
    ilvs_per_mvb: Quantity = quantity_field("ilvs_per_mvb", needs=("releases", "waste", "mvb"))
    secretion: Literal["mean", "poisson"] = Field(
        default="mean",
        description="fusions at their mean rate, or as a Poisson process in bursts",
        json_schema_extra={"needs": ["releases", "waste", "mvb", "holds"]},
    )
    takes_up: Names = Field(default_factory=list, description="vesicle kinds taken up")
    uptake_rate: Quantity = quantity_field("uptake_rate", needs=("takes_up",))
    saturation: Quantity = quantity_field("saturation", needs=("takes_up", "receptor"))
    receptor: list[Receptor] = Field(
        default_factory=list, description="vesicles with a matching ligand need no takes_up"
    )
    recycling_probability: Quantity | None = quantity_field(
        "recycling_probability", default=None, description="in these cells; that of the kind if not given"
    )
    delivery_probability: Quantity | None = quantity_field(
        "delivery_probability", default=None, description="in these cells; that of the kind if not given"
    )
    mvb: Mvb | None = Field(default=None, description="pool of multivesicular bodies; none if not given")
    waste: Waste | None = Field(default=None, description="waste metabolism; none if not given")
    holds: list[CargoMetabolism] = Field(
        default_factory=list, description="cargo that it produces, replicates or exports"
    )
    division_rate: Quantity | None = quantity_field("division_rate", default=None)
    death_rate: Quantity | None = quantity_field("death_rate", default=None)
    transformation: Transformation | None = None
    motility: Quantity | None = quantity_field("motility", default=None)
    persistence: Quantity = quantity_field("persistence", needs=("motility",))
    climbs: GradientChemotaxis | None = Field(
        default=None, description="chemotaxis along a gradient of vesicles; none if not given"
    )
    follows: CaptureChemotaxis | None = Field(
        default=None, description="migration toward captured vesicles; none if not given"
    )
    behavior: dict[str, Plain] = Field(
        default_factory=dict, description="values at rest of behaviors that installed packages add"
    )

    @field_validator("behavior")
    @classmethod
    def _read_added(cls, value: dict[str, Any]) -> dict[str, Any]:
        added = {each.name: each.keys[0][1] for each in behaviors.added()}
        for name in value.keys() - added.keys():
            raise ValueError(
                f"no package adds a behavior {name!r}, and exoabm.behavior has not registered it here; "
                f"added: {', '.join(added) or 'none'}"
            )
        return {name: Quantity.read(given, added[name]) for name, given in value.items()}

    @model_validator(mode="after")
    def _one_sense(self) -> CellTypeTable:
        if self.climbs is not None and self.follows is not None:
            raise ValueError("give either climbs (a gradient) or follows (captures), not both")
        return self


class Response(Table):
    """A behavior that follows a signal; value = (rest + u to) / (1 + u), u = (signal / half_max)^hill."""

    name: Name | None = None
    cell_type: Name
    signal: str = Field(
        description="cargo.NAME, waste, concentration.VESICLE, bound.VESICLE, endosomal.VESICLE, time, age"
    )
    increases: str | None = Field(default=None, description="behavior that the signal raises")
    decreases: str | None = Field(default=None, description="behavior that the signal lowers")
    half_max: Quantity = Field(description="signal at which the behavior is half-way between rest and to")
    hill: Quantity = quantity_field("hill")
    to: Quantity = Field(description="value of the behavior at full signal")

    @property
    def behavior(self) -> str:
        """The behavior that is changed."""
        return self.increases or self.decreases or ""

    @property
    def word(self) -> str:
        """The kind of signal, without the name of its vesicle or cargo."""
        return self.signal.partition(".")[0]

    @property
    def of(self) -> str:
        """The name of the vesicle or cargo of the signal."""
        return self.signal.partition(".")[2]

    @field_validator("signal")
    @classmethod
    def _known_signal(cls, value: str) -> str:
        word, _, of = value.partition(".")
        if word not in SIGNALS:
            raise ValueError(f"must be one of {', '.join(SIGNALS)}, some with a name after a dot")
        if bool(SIGNALS[word].of) != bool(of):
            wanted = f"{word}.NAME with the name of a {SIGNALS[word].of}" if SIGNALS[word].of else word
            raise ValueError(f"must be {wanted}")
        return value

    @field_validator("increases", "decreases")
    @classmethod
    def _known_behavior(cls, value: str | None) -> str | None:
        if value is not None and behaviors.behavior_of(value) is None:
            of_cargo = ", ".join(f"{word}.CARGO" for word in behaviors.OF_CARGO)
            raise ValueError(f"must be one of {', '.join(behaviors.known())}, {of_cargo}")
        return value

    @field_validator("half_max", mode="before")
    @classmethod
    def _read_half_max(cls, value: object, info: ValidationInfo) -> object:
        # info.data has the fields declared above this one only: signal precedes half_max
        word = str(info.data.get("signal", "")).partition(".")[0]
        if word not in SIGNALS:
            raise PydanticCustomError(CONSEQUENT_ERROR, "the unit depends on the signal")
        return Quantity.read(value, SIGNALS[word].parameter)

    @field_validator("to", mode="before")
    @classmethod
    def _read_to(cls, value: object, info: ValidationInfo) -> object:
        # increases and decreases precede to, as signal precedes half_max
        if not {"increases", "decreases"} <= info.data.keys():
            raise PydanticCustomError(CONSEQUENT_ERROR, "the unit depends on the behavior")
        given = [info.data[verb] for verb in ("increases", "decreases") if info.data[verb] is not None]
        if len(given) != 1:
            raise ValueError("a response either increases or decreases a behavior: give one of the two")
        behavior = behaviors.behavior_of(given[0])
        assert behavior is not None
        for _, parameter in behavior.keys[:-1]:
            try:
                return Quantity.read(value, parameter)
            except QuantityError:
                continue
        return Quantity.read(value, behavior.keys[-1][1])


SELECTIONS = ("cell", "cell_type", "edge", "vesicle")
_SELECTED = "must be 'cell:17', 'cell_type:NAME', 'edge:3->17' (cells or types) or 'vesicle:NAME'"


def selected(text: str) -> tuple[str, tuple[str, ...]]:
    """Kind of a selection such as ``cell:17`` or ``edge:3->17``, and the names or numbers in it.

    Raises
    ------
    ValueError
        If it is not written so.
    """
    word, colon, of = (part.strip() for part in text.partition(":"))
    names = tuple(name.strip() for name in of.split("->")) if word == "edge" else (of,)
    fits = word in SELECTIONS and colon and all(names) and len(names) == (2 if word == "edge" else 1)
    if not fits or (word == "cell" and not of.isdecimal()):
        raise ValueError(_SELECTED)
    return word, names


class SilenceTable(Table):
    """A blocked process of communication: vesicles that are not released, or without uptake or effect."""

    name: Name
    of: str = Field(description="cell:17, cell_type:NAME, edge:3->17 (cells or types), or vesicle:NAME")
    block: Literal["release", "uptake", "delivery", "response"] | None = Field(
        default=None, description="the process that is blocked; release, or uptake for an edge, if not given"
    )
    start: Quantity = quantity_field("intervention_time", description="model time from which it is blocked")
    active: bool = Field(default=True, description="arms of a comparison switch silencings on and off")

    @property
    def step(self) -> str:
        """The process that is blocked."""
        return self.block or ("uptake" if selected(self.of)[0] == "edge" else "release")

    @field_validator("of")
    @classmethod
    def _known_selection(cls, value: str) -> str:
        selected(value)
        return value

    @model_validator(mode="after")
    def _step_of_selection(self) -> SilenceTable:
        word = selected(self.of)[0]
        if word == "edge" and self.step == "release":
            raise ValueError("a release has no recipient yet: block = 'uptake' or 'delivery' of an edge")
        if word in ("edge", "vesicle") and self.step == "response":
            raise ValueError(
                "copies in a cell do not keep their vesicle or donor: block = 'delivery', or of = 'cell:...'"
            )
        return self


class GiftTable(Table):
    """Copies of a cargo that cells receive at a time, beside those that vesicles deliver."""

    name: Name
    to: str = Field(description="cell:17 or cell_type:NAME; each cell receives the copies")
    cargo: Name
    copies: Quantity = quantity_field("given_copies", default=...)
    time: Quantity = quantity_field("intervention_time", description="model time at which they are given")
    active: bool = Field(default=True, description="arms of a comparison switch gifts on and off")

    @field_validator("to")
    @classmethod
    def _known_cells(cls, value: str) -> str:
        if selected(value)[0] not in ("cell", "cell_type"):
            raise ValueError("must be 'cell:17' or 'cell_type:NAME'")
        return value
