"""The scenario file as a schema: every table, key, type and default.

Numbers are ``Quantity`` values of declared parameters, so that unit, allowed range and source stand in
one place, the parameter catalog. A mechanism is off until the scenario names it: a cell type that does
not say what it ``releases`` releases nothing.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from exoabm.cells import behaviors
from exoabm.cells.response import SIGNALS
from exoabm.parameters.catalog import CATALOG, COMPARATORS
from exoabm.parameters.parameter import Quantity
from exoabm.parameters.units import QuantityError
from exoabm.scenario.fields import Name, Plain, Table, assumed, declared
from exoabm.scenario.schema_therapy import Dosing, ImmunityTable, ManufacturingTable, Pharmacokinetics
from exoabm.scenario.trials import ArmTable, TrialTable

FOLLOWS = "follows"
"""Type of a fault that is only the consequence of another one, which is told."""


class Info(Table):
    """What the scenario asks, in words."""

    title: str = Field(max_length=200)
    question: str = Field(default="", max_length=2000)
    summary: str = Field(default="", max_length=5000)
    references: list[str] = Field(default_factory=list, description="keys of the bibliography")


class FixedFace(Table):
    """A face held at a concentration; 0 is an open face through which vesicles leave for good."""

    concentration: Quantity = declared("face_concentration", default=...)


FaceRule = Literal["no-flux", "periodic", "open"] | FixedFace


class Faces(Table):
    """What happens at the faces: an axis (x) for both sides, or one side (x_low) alone."""

    x: FaceRule = "no-flux"
    y: FaceRule = "no-flux"
    z: FaceRule = "no-flux"
    x_low: FaceRule | None = None
    x_high: FaceRule | None = None
    y_low: FaceRule | None = None
    y_high: FaceRule | None = None
    z_low: FaceRule | None = None
    z_high: FaceRule | None = None

    def side(self, side: str) -> FaceRule:
        """The rule at a side such as ``x_low``."""
        rule: FaceRule | None = getattr(self, side)
        return getattr(self, side[0]) if rule is None else rule

    @model_validator(mode="after")
    def _periodic_in_pairs(self) -> Faces:
        for axis in "xyz":
            rules = [self.side(f"{axis}_{end}") for end in ("low", "high")]
            if rules.count("periodic") == 1:
                raise ValueError(f"a periodic face needs its partner: set {axis} = 'periodic'")
        return self


class Zone(Table):
    """A part of the domain with its own hindrance, or an obstacle that no vesicle enters.

    Give ``low`` and ``high`` corners for a box, or ``center`` and ``radius`` for a disc or ball.
    """

    name: Name
    low: list[Quantity] | None = declared("position", default=None)
    high: list[Quantity] | None = declared("position", default=None)
    center: list[Quantity] | None = declared("position", default=None)
    radius: Quantity | None = declared("length", default=None)
    hindrance: Quantity | None = declared("hindrance", default=None)
    obstacle: bool = False

    @model_validator(mode="after")
    def _one_shape_one_effect(self) -> Zone:
        box = self.low is not None and self.high is not None
        ball = self.center is not None and self.radius is not None
        corners = (self.low, self.high, self.center, self.radius)
        if box == ball or sum(v is not None for v in corners) != 2:
            raise ValueError("a zone is either a box (low and high) or a ball (center and radius)")
        if self.obstacle == (self.hindrance is not None):
            raise ValueError("a zone is either an obstacle or has a hindrance")
        return self


class DomainTable(Table):
    """The space: its size, its voxels, its faces."""

    size: Literal["fit"] | list[Quantity] = declared(
        "domain_size",
        words=("fit",),
        default=...,
        description="x, y for a slab, x, y, z for a volume; or 'fit', around the layout's table",
    )
    margin: Quantity = assumed(
        "length", "20 um", description="free border around the cells where size = 'fit'"
    )
    voxel: Quantity = declared("voxel")
    thickness: Quantity = declared("thickness")
    max_cells: Quantity = declared("max_cells")
    faces: Faces = Field(default_factory=Faces)
    zone: list[Zone] = Field(default_factory=list)

    @field_validator("size")
    @classmethod
    def _two_or_three(cls, size: Any) -> Any:
        if size != "fit" and len(size) not in (2, 3):
            raise ValueError("give 2 lengths for a slab or 3 for a volume")
        return size


ARRANGEMENTS = {
    "random": {"count", "spacing", "center", "inner", "outer"},
    "overlapping": {"count", "center", "inner", "outer"},
    "lattice": {"count", "spacing", "center", "inner", "outer"},
    "hexagonal": {"count", "spacing", "center", "inner", "outer"},
    "cluster": {"count", "spacing", "center"},
    "points": {"count", "points"},
}
"""What each arrangement of a group reads."""


class Group(Table):
    """Cells of one type, placed together."""

    name: Name | None = None
    cell_type: Name
    arrange: Literal["random", "overlapping", "lattice", "hexagonal", "cluster", "points"] = Field(
        default="random",
        description="random keeps cells apart (Poisson disc); overlapping does not",
    )
    count: int = Field(default=1, ge=1, le=10_000_000)
    spacing: Quantity | None = declared(
        "spacing",
        default=None,
        description="distance between centers; a cell diameter if not given",
    )
    center: list[Quantity] | None = declared(
        "position",
        default=None,
        description="of a cluster, a lattice, or of inner and outer; the domain's middle if not given",
    )
    inner: Quantity | None = declared(
        "length", default=None, description="cells keep at least this far from the center"
    )
    outer: Quantity | None = declared(
        "length", default=None, description="cells keep at most this far from the center"
    )
    points: list[list[Quantity]] | None = declared(
        "position", default=None, description="centers (x, y[, z]) for arrange = 'points'"
    )

    @model_validator(mode="before")
    @classmethod
    def _as_many_as_points(cls, given: Any) -> Any:
        points = given.get("points") if isinstance(given, dict) else None
        return {"count": len(points), **given} if isinstance(points, list) else given

    @model_validator(mode="after")
    def _every_key_is_read(self) -> Group:
        if self.arrange == "points" and self.points is None:
            raise ValueError("arrange = 'points' needs points, a list of centers (x, y[, z])")
        if self.points is not None and self.count != len(self.points):
            raise ValueError(f"count = {self.count}, but points lists {len(self.points)}")
        read = ARRANGEMENTS[self.arrange]
        for key in ("spacing", "center", "inner", "outer", "points"):
            if key not in read and getattr(self, key) is not None:
                readers = [repr(name) for name, keys in ARRANGEMENTS.items() if key in keys]
                raise ValueError(
                    f"arrange = {self.arrange!r} has no {key}; it is for arrange = {' or '.join(readers)}"
                )
        scattered = self.arrange in ("random", "overlapping")
        if scattered and self.center is not None and self.inner is None and self.outer is None:
            raise ValueError(
                f"arrange = {self.arrange!r} takes its center for inner and outer; give one of them"
            )
        return self

    @property
    def key(self) -> str:
        """The name under which this group is found in dotted keys."""
        return self.name or self.cell_type


class Layout(Table):
    """Where the cells stand: groups arranged by rule, or a table of real cells."""

    group: list[Group] = Field(default_factory=list)
    table: str | None = Field(
        default=None, description="text, Parquet, AnnData (.h5ad or Zarr), SpatialData or PhysiCell cells.csv"
    )
    format: Literal["auto", "csv", "parquet", "h5ad", "zarr", "physicell-v1", "physicell-v2"] = Field(
        default="auto", json_schema_extra={"needs": ["table"]}
    )
    x: str | None = Field(default=None, description="column of x; found by its name if not given")
    y: str | None = Field(default=None, description="column of y, or the way that it runs: up or down")
    z: str | None = None
    cell_type: str | None = Field(default=None, description="column of the cell's type")
    unit: str | None = Field(default=None, description="unit of the coordinates, e.g. '0.5 um'")
    z_unit: str | None = Field(default=None, description="unit of z where it is another, e.g. of planes")
    where: str | list[str] = Field(
        default_factory=list,
        description="rows that count, e.g. 'Image=slide 1'; * stands for any characters",
    )
    types_from: str | None = Field(default=None, description="a second table, with an id and a type a row")
    time: str | int | float | None = Field(
        default=None, description="of a table with several times: 'first', 'last' or e.g. '24 h'"
    )
    decimal: Literal[".", ","] | None = Field(
        default=None, description="what stands before decimals, where the numbers do not agree"
    )
    y_axis: Literal["up", "down"] | None = Field(
        default=None, description="the way that y runs in pictures; as the source has it if not given"
    )
    type_map: dict[str, str] = Field(
        default_factory=dict,
        description="from the table's labels (or patterns with *) to cell types",
    )
    unmapped: Literal["error", "bystander"] = Field(default="error", json_schema_extra={"needs": ["table"]})

    @model_validator(mode="after")
    def _something_to_place(self) -> Layout:
        if not self.group and self.table is None:
            raise ValueError("a layout needs a table or at least one group")
        if self.group and self.table is not None:
            raise ValueError("a layout is either a table or groups, not both")
        if self.table is None:
            fields = type(self).model_fields
            for key in sorted(fields.keys() - {"group", "table"}):
                if getattr(self, key) != fields[key].get_default(call_default_factory=True):
                    raise ValueError(f"{key} says how a table is read, and this layout has no table")
        return self


class Clock(Table):
    """How long, and in which coupling steps between cells and medium."""

    step: Quantity = declared("step")
    duration: Quantity = declared("duration")


class Transport(Table):
    """The medium and the engine that moves vesicles through it."""

    engine: Literal["continuum", "vesicles"] = Field(
        default="continuum", description="expected numbers on a grid, or every vesicle followed"
    )
    capture: Literal["voxel", "membrane"] = Field(
        default="voxel",
        description="vesicles are captured in the voxels that a cell covers (cells may touch, hindrance "
        "stands for the space they fill), or at the membrane of spheres that they cannot enter",
    )
    hindrance: Quantity = declared("hindrance")
    viscosity: Quantity = declared("viscosity")
    temperature: Quantity = declared("temperature")
    provenance: Literal["cell_type", "cell"] = Field(
        default="cell_type",
        description="whether origins are told apart by donor type or donor cell",
    )
    precision: Literal["float64", "float32"] = "float64"
    courant: Quantity | None = declared(
        "courant",
        default=None,
        description="D dt/dx^2 of a sub-step; the engine's own choice if not given",
    )


class CargoTable(Table):
    """A molecule that vesicles carry."""

    name: Name
    role: Literal["signal", "waste", "therapeutic"] = "signal"
    molecule: Literal["mRNA", "miRNA", "protein", "lipid", "small_molecule", "misfolded_protein"] | None = (
        Field(default=None, description="what it is made of; RNA and protein bring their half-lives")
    )
    copies: Quantity = declared("copies")
    half_life: Quantity | None = declared(
        "cargo_half_life",
        default=None,
        description="in the cell it was delivered to; by its molecule if not given, else it stays",
    )
    effect_copies: Quantity = declared("effect_copies")


class VesicleTable(Table):
    """A kind of vesicle."""

    name: Name
    diameter: Quantity = declared("diameter")
    diameter_gsd: Quantity = declared("diameter_gsd")
    diffusivity: Quantity | None = declared(
        "diffusivity",
        default=None,
        description="in free medium, mean over the sizes; Stokes-Einstein from the diameter if not given",
    )
    size_classes: Quantity | None = declared("size_classes", default=None)
    half_life: Quantity = declared("half_life")
    unbinding_rate: Quantity = declared("unbinding_rate")
    internalization_rate: Quantity = declared("internalization_rate")
    processing_rate: Quantity = declared("processing_rate")
    recycling_probability: Quantity = declared("recycling_probability")
    delivery_probability: Quantity = declared("delivery_probability")
    delivery_route: Literal["endosomal_escape", "membrane_fusion"] = Field(
        default="endosomal_escape", description="where cargo enters the cytosol: a hypothesis to choose"
    )
    cargo: list[Name] = Field(default_factory=list, description="names of cargo it carries")
    ligand: Name | None = Field(
        default=None, description="cells with the receptor of this name bind it by their receptors"
    )
    binding_rate: Quantity = declared(
        "receptor_binding_rate",
        needs=("ligand",),
        description="to each receptor that matches the ligand",
    )
    copies: Quantity | None = declared(
        "copies", default=None, description="of each cargo in this kind; the cargo's own if not given"
    )
    comparator: Literal["free_drug", "soluble_factor", "lnp"] | None = Field(
        default=None, description="no vesicle but what one is compared with; other defaults from the catalog"
    )

    @field_validator("size_classes")
    @classmethod
    def _whole(cls, value: Quantity | None) -> Quantity | None:
        if value is not None and value % 1:
            raise ValueError("must be a whole number")
        return value

    def load(self, cargo: CargoTable) -> Quantity:
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
    """Waste made, degraded in lysosomes and exported in vesicles by a cell."""

    production: Quantity = declared("waste_production")
    lysosomal_rate: Quantity = declared("waste_lysosomal_rate")
    saturation: Quantity = declared(
        "waste_saturation",
        default_factory=lambda: Quantity(CATALOG["waste_saturation"], "inf", "assumed"),
    )
    export_rate: Quantity = declared("waste_export_rate")
    vesicle: Name = Field(description="vesicle kind that carries it; its cargo must include waste")


class Sorting(Table):
    """A kind of intraluminal vesicle, and its share of all in a multivesicular body."""

    vesicle: Name
    share: Quantity = declared("ilv_share")


class Mvb(Table):
    """Multivesicular bodies as a pool: they form, and fuse with the membrane or go to lysosomes."""

    secretory_fraction: Quantity = declared("secretory_fraction")
    fate_rate: Quantity = declared("mvb_fate_rate")
    number: Quantity | None = declared("mvb_number", default=None)
    sorting: list[Sorting] = Field(
        default_factory=list, description="kinds of their vesicles; all of the kind released if not given"
    )


class Receptor(Table):
    """Receptors that bind vesicles with the ligand of the same name: k_a = N k_on."""

    name: Name
    number: Quantity = declared("receptor_number")


class Holding(Table):
    """What a cell does with the copies of a cargo that it holds, beside losing them by their half-life."""

    cargo: Name
    initial: Quantity = declared("cargo_copies", description="copies in each cell at the start")
    production: Quantity = declared("cargo_production")
    replication: Quantity = declared("cargo_replication")
    capacity: Quantity = declared("cargo_capacity")
    clearance: Quantity = declared("cargo_clearance")
    export: Quantity = declared("cargo_export")
    vesicle: Name | None = Field(default=None, description="vesicle kind that carries what is exported")


class Transformation(Table):
    """Turning into a cell of another type."""

    into: Name
    rate: Quantity = declared("transformation_rate")


class Climbs(Table):
    """Chemotaxis up a gradient of vesicles: v = chi K grad c/(K + c)^2."""

    vesicle: Name
    coefficient: Quantity = declared("chemotactic_coefficient")
    half_max: Quantity = declared("attraction_half_max")


class Follows(Table):
    """Following the vesicles that a cell catches, each as strong as the copies of cargo in it."""

    vesicle: Name
    speed: Quantity = declared("chemotactic_speed")
    half_max: Quantity = declared("polarity_half_max")
    hill: Quantity = declared("hill")
    memory: Quantity = declared("polarity_memory")


class CellTypeTable(Table):
    """A type of cell, and which mechanisms it has."""

    name: Name
    diameter: Quantity = declared("cell_diameter")
    releases: Name | None = Field(default=None, description="vesicle kind released; none if not given")
    release_rate: Quantity = declared("release_rate", needs=("releases", "mvb"))
    ilvs_per_mvb: Quantity = declared("ilvs_per_mvb", needs=("releases", "waste", "mvb"))
    secretion: Literal["mean", "poisson"] = Field(
        default="mean",
        description="fusions at their mean rate, or as a Poisson process in bursts",
        json_schema_extra={"needs": ["releases", "waste", "mvb", "holds"]},
    )
    takes_up: list[Name] = Field(default_factory=list, description="vesicle kinds taken up")
    uptake_rate: Quantity = declared("uptake_rate", needs=("takes_up",))
    saturation: Quantity = declared("saturation", needs=("takes_up", "receptor"))
    receptor: list[Receptor] = Field(
        default_factory=list, description="vesicles with a matching ligand need no takes_up"
    )
    recycling_probability: Quantity | None = declared(
        "recycling_probability", default=None, description="in these cells; that of the kind if not given"
    )
    delivery_probability: Quantity | None = declared(
        "delivery_probability", default=None, description="in these cells; that of the kind if not given"
    )
    mvb: Mvb | None = Field(default=None, description="pool of multivesicular bodies; none if not given")
    waste: Waste | None = Field(default=None, description="waste metabolism; none if not given")
    holds: list[Holding] = Field(default_factory=list, description="cargo it makes, replicates or exports")
    division_rate: Quantity | None = declared("division_rate", default=None)
    death_rate: Quantity | None = declared("death_rate", default=None)
    transformation: Transformation | None = None
    motility: Quantity | None = declared("motility", default=None)
    persistence: Quantity = declared("persistence", needs=("motility",))
    climbs: Climbs | None = Field(default=None, description="chemotaxis; none if not given")
    follows: Follows | None = Field(default=None, description="chemotaxis by captures; none if not given")
    behavior: dict[str, Plain] = Field(
        default_factory=dict, description="values at rest of behaviors that installed packages add"
    )

    @field_validator("behavior")
    @classmethod
    def _read_added(cls, value: dict[str, Any]) -> dict[str, Any]:
        added = {each.name: each.places[0][1] for each in behaviors.added()}
        for name in value.keys() - added.keys():
            raise ValueError(f"no package adds a behavior {name!r}; added: {', '.join(added) or 'none'}")
        return {name: Quantity.read(given, added[name]) for name, given in value.items()}

    @model_validator(mode="after")
    def _one_sense(self) -> CellTypeTable:
        if self.climbs is not None and self.follows is not None:
            raise ValueError("a cell either climbs a gradient or follows what it catches")
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
    half_max: Quantity = Field(description="signal that moves the behavior half of its way")
    hill: Quantity = declared("hill")
    to: Quantity = Field(description="value of the behavior at full signal")

    @property
    def behavior(self) -> str:
        """The behavior that is moved."""
        return self.increases or self.decreases or ""

    @property
    def word(self) -> str:
        """The signal without what it is of."""
        return self.signal.partition(".")[0]

    @property
    def of(self) -> str:
        """What the signal is of."""
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
        if value is not None and behaviors.find(value) is None:
            of_cargo = ", ".join(f"{word}.CARGO" for word in behaviors.OF_CARGO)
            raise ValueError(f"must be one of {', '.join(behaviors.known())}, {of_cargo}")
        return value

    @field_validator("half_max", mode="before")
    @classmethod
    def _read_half_max(cls, value: object, info: ValidationInfo) -> object:
        word = str(info.data.get("signal", "")).partition(".")[0]
        if word not in SIGNALS:
            raise PydanticCustomError(FOLLOWS, "the signal says what this is a value of")
        return Quantity.read(value, SIGNALS[word].parameter)

    @field_validator("to", mode="before")
    @classmethod
    def _read_to(cls, value: object, info: ValidationInfo) -> object:
        if not {"increases", "decreases"} <= info.data.keys():
            raise PydanticCustomError(FOLLOWS, "the behavior says what this is a value of")
        given = [info.data[verb] for verb in ("increases", "decreases") if info.data[verb] is not None]
        if len(given) != 1:
            raise ValueError("a response either increases or decreases a behavior: give one of the two")
        behavior = behaviors.find(given[0])
        assert behavior is not None
        for _, parameter in behavior.places[:-1]:
            try:
                return Quantity.read(value, parameter)
            except QuantityError:
                continue
        return Quantity.read(value, behavior.places[-1][1])


class Record(Table):
    """How often each table is written; observers have their own clock."""

    metrics: Quantity = assumed("interval", "10 min")
    cells: Quantity = declared("interval")
    events: Quantity = declared("interval")
    fields: Quantity = assumed("interval", "6 h")
    threshold: Quantity = declared("threshold")


class MechanicsTable(Table):
    """Cells that overlap push each other apart; without this table they stay as they are placed."""

    relaxation: Quantity = declared("relaxation")


class Scenario(Table):
    """A scenario file, checked and complete."""

    schema_version: Literal[1] = 1
    info: Info
    domain: DomainTable
    layout: Layout
    clock: Clock = Field(default_factory=Clock)
    transport: Transport = Field(default_factory=Transport)
    vesicle: list[VesicleTable] = Field(min_length=1)
    cargo: list[CargoTable] = Field(default_factory=list)
    cell_type: list[CellTypeTable] = Field(min_length=1)
    response: list[Response] = Field(default_factory=list)
    mechanics: MechanicsTable | None = Field(default=None, description="cells push; not if not given")
    pharmacokinetics: Pharmacokinetics | None = Field(
        default=None, description="the body that doses pass; none if not given"
    )
    dose: list[Dosing] = Field(default_factory=list)
    immunity: ImmunityTable | None = Field(default=None, description="the host's answer; none if not given")
    manufacturing: ManufacturingTable | None = Field(
        default=None, description="how vesicles of the medium become doses; not asked if not given"
    )
    record: Record = Field(default_factory=Record)
    trial: TrialTable | None = Field(default=None, description="the claim that the arms put to the test")
    arm: list[ArmTable] = Field(default_factory=list)
