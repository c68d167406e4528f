"""The scenario file as a schema: every table, key, type and default.

Numbers are ``Quantity`` values of declared parameters, whose unit, allowed range and source are those of the
parameter catalog. A mechanism is off unless the scenario names it: a cell type without ``releases`` releases
no vesicles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from exoabm.parameters.catalog import Quantity
from exoabm.scenario.schema_base import Name, Table, assumed, quantity_field
from exoabm.scenario.schema_cells import (
    CargoTable,
    CellTypeTable,
    GiftTable,
    Response,
    SilenceTable,
    VesicleTable,
)
from exoabm.scenario.schema_therapy import (
    ArmTable,
    Dosing,
    ImmunityTable,
    MainReadout,
    ManufacturingTable,
    Pharmacokinetics,
    TrialTable,
)
from exoabm.transport.engine import ENGINES

if TYPE_CHECKING:
    EngineName = str
else:
    EngineName = Literal[tuple(ENGINES)]


class Info(Table):
    """Title, question and summary of the scenario."""

    title: str = Field(max_length=200)
    question: str = Field(default="", max_length=2000)
    summary: str = Field(default="", max_length=5000)
    references: list[str] = Field(default_factory=list, description="keys of the bibliography")


class FixedFace(Table):
    """A face held at a concentration; 0 is an open face, which vesicles leave permanently."""

    concentration: Quantity = quantity_field("face_concentration", default=...)


FaceRule = Literal["no-flux", "periodic", "open"] | FixedFace


class Faces(Table):
    """Boundary conditions: an axis (x) for both sides, or one side (x_low) alone."""

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
                raise ValueError(f"both faces of an axis must be periodic: set {axis} = 'periodic'")
        return self


class Zone(Table):
    """A part of the domain with its own hindrance, or an obstacle impermeable to vesicles.

    Give ``low`` and ``high`` corners for a box, or ``center`` and ``radius`` for a disc or ball.
    """

    name: Name
    low: list[Quantity] | None = quantity_field("position", default=None)
    high: list[Quantity] | None = quantity_field("position", default=None)
    center: list[Quantity] | None = quantity_field("position", default=None)
    radius: Quantity | None = quantity_field("length", default=None)
    hindrance: Quantity | None = quantity_field("hindrance", default=None)
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

    size: Literal["fit"] | list[Quantity] = quantity_field(
        "domain_size",
        words=("fit",),
        default=...,
        description="x, y for a slab, x, y, z for a volume; or 'fit', around the layout's table",
    )
    margin: Quantity = assumed(
        "length", "20 um", description="free border around the cells where size = 'fit'"
    )
    voxel: Quantity = quantity_field("voxel")
    thickness: Quantity = quantity_field("thickness")
    max_cells: Quantity = quantity_field("max_cells")
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
"""Keys that each arrangement of a group uses."""


class Group(Table):
    """Cells of one type, placed together."""

    name: Name | None = None
    cell_type: Name
    arrange: Literal["random", "overlapping", "lattice", "hexagonal", "cluster", "points"] = Field(
        default="random",
        description="random keeps cells apart (Poisson disc); overlapping does not",
    )
    count: int = Field(default=1, ge=1, le=10_000_000)
    spacing: Quantity | None = quantity_field(
        "spacing",
        default=None,
        description="distance between centers; a cell diameter if not given",
    )
    center: list[Quantity] | None = quantity_field(
        "position",
        default=None,
        description="of a cluster, a lattice, or of inner and outer; the domain's middle if not given",
    )
    inner: Quantity | None = quantity_field(
        "length", default=None, description="cells keep at least this far from the center"
    )
    outer: Quantity | None = quantity_field(
        "length", default=None, description="cells keep at most this far from the center"
    )
    points: list[list[Quantity]] | None = quantity_field(
        "position", default=None, description="centers (x, y[, z]) for arrange = 'points'"
    )

    @model_validator(mode="before")
    @classmethod
    def _as_many_as_points(cls, given: Any) -> Any:
        points = given.get("points") if isinstance(given, dict) else None
        if points == []:
            raise ValueError("points lists no center; remove the group if it has no cells")
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
                    f"arrange = {self.arrange!r} does not use {key}; "
                    f"it is for arrange = {' or '.join(readers)}"
                )
        scattered = self.arrange in ("random", "overlapping")
        if scattered and self.center is not None and self.inner is None and self.outer is None:
            raise ValueError(
                f"arrange = {self.arrange!r} uses its center with inner or outer; give one of them"
            )
        return self

    @property
    def key(self) -> str:
        """The name under which this group is found in dotted keys."""
        return self.name or self.cell_type


class Layout(Table):
    """Positions of cells: groups arranged by rule, or a table of measured cells."""

    group: list[Group] = Field(default_factory=list)
    table: str | None = Field(
        default=None, description="text, Parquet, AnnData (.h5ad or Zarr), SpatialData or PhysiCell cells.csv"
    )
    format: Literal["auto", "csv", "parquet", "h5ad", "zarr", "physicell-v1", "physicell-v2"] = Field(
        default="auto", json_schema_extra={"needs": ["table"]}
    )
    x: str | None = Field(default=None, description="column of x; found by its name if not given")
    y: str | None = Field(default=None, description="column of y, or its direction: up or down")
    z: str | None = None
    cell_type: str | None = Field(default=None, description="column of the cell's type")
    unit: str | None = Field(default=None, description="unit of the coordinates, e.g. '0.5 um'")
    z_unit: str | None = Field(default=None, description="unit of z if it differs, e.g. of planes")
    where: str | list[str] = Field(
        default_factory=list,
        description="rows to use, e.g. 'Image=slide 1'; * matches any characters",
    )
    types_from: str | None = Field(default=None, description="a second table, with id and type of each cell")
    time: str | int | float | None = Field(
        default=None, description="of a table with several times: 'first', 'last' or e.g. '24 h'"
    )
    decimal: Literal[".", ","] | None = Field(
        default=None, description="decimal separator, where the numbers are ambiguous"
    )
    y_axis: Literal["up", "down"] | None = Field(
        default=None, description="direction of y in pictures; that of the source if not given"
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
                    raise ValueError(f"{key} is an option of a table, and this layout has no table")
        return self


class Clock(Table):
    """Duration and coupling step between cells and medium."""

    step: Quantity = quantity_field("step")
    duration: Quantity = quantity_field("duration")


class Transport(Table):
    """The medium and the engine that moves vesicles through it."""

    engine: EngineName = Field(
        default="continuum", description="expected numbers on a grid, or single vesicles"
    )
    capture: Literal["voxel", "membrane"] = Field(
        default="voxel",
        description="vesicles are captured in the voxels that a cell covers (cells may touch, hindrance "
        "represents the space they fill), or at the membrane of impermeable spheres",
    )
    hindrance: Quantity = quantity_field("hindrance")
    viscosity: Quantity = quantity_field("viscosity")
    temperature: Quantity = quantity_field("temperature")
    provenance: Literal["cell_type", "cell", "none"] = Field(
        default="cell_type",
        description="labels of vesicle origins: by donor type, by donor cell, or one for all cells, which is "
        "fastest where only sums over donors are read",
    )
    precision: Literal["float64", "float32"] = "float64"
    courant: Quantity | None = quantity_field(
        "courant",
        default=None,
        description="D dt/dx^2 of a sub-step; chosen by the engine if not given",
    )

    @property
    def follows_vesicles(self) -> bool:
        """Whether the engine follows whole vesicles, rather than expected numbers."""
        return ENGINES[self.engine].follows_vesicles

    @property
    def at_membranes(self) -> bool:
        """Whether vesicles move in continuous space, not on the grid, and are captured at membranes."""
        return self.follows_vesicles and self.capture == "membrane"


class Record(Table):
    """Recording interval of each table, independent of the step."""

    metrics: Quantity = assumed("interval", "10 min")
    cells: Quantity = quantity_field("interval")
    events: Quantity = quantity_field("interval")
    vesicle_events: Literal["all", "fates", "none"] = Field(
        default="all",
        description="rows of events.parquet for single vesicles: of all events, of those by which a vesicle "
        "ends, or none; edges and mass balance are the same for each",
    )
    fields: Quantity = assumed("interval", "6 h")
    threshold: Quantity = quantity_field("threshold")


class MechanicsTable(Table):
    """Repulsion of overlapping cells; without this table their positions do not change."""

    relaxation: Quantity = quantity_field("relaxation")


class Scenario(Table):
    """A complete scenario file."""

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
    silence: list[SilenceTable] = Field(default_factory=list)
    give: list[GiftTable] = Field(default_factory=list)
    mechanics: MechanicsTable | None = Field(
        default=None, description="repulsion of cells; none if not given"
    )
    pharmacokinetics: Pharmacokinetics | None = Field(
        default=None, description="pharmacokinetics of doses; none if not given"
    )
    dose: list[Dosing] = Field(default_factory=list)
    immunity: ImmunityTable | None = Field(
        default=None, description="immune response of the host; none if not given"
    )
    manufacturing: ManufacturingTable | None = Field(
        default=None, description="production of doses from conditioned medium; none if not given"
    )
    record: Record = Field(default_factory=Record)
    readout: MainReadout | None = Field(
        default=None, description="what results begin with; that of the trial's first criterion if not given"
    )
    trial: TrialTable | None = Field(default=None, description="the claim tested by the arms")
    arm: list[ArmTable] = Field(default_factory=list)

    @property
    def main_readout(self) -> MainReadout | None:
        """The readout that results begin with: the scenario's own, or that of its trial's first criterion."""
        if self.readout is not None or self.trial is None:
            return self.readout
        name = self.trial.criterion[0].readout
        asked = next(each for each in self.trial.readout if each.name == name)
        unit = "" if asked.reduce.startswith("time") else asked.unit
        return MainReadout(metric=asked.metric, title=asked.title or asked.name, unit=unit)
