"""The schema of scenarios: what it takes, and that its numbers are those of the catalog."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from exoabm.cell_type import WasteMetabolism
from exoabm.errors import ScenarioError
from exoabm.parameters.catalog import CATALOG, Quantity
from exoabm.scenario.loader import parse, shipped
from exoabm.scenario.schema import DomainTable, Faces, Group, Layout, Scenario, Zone
from exoabm.scenario.schema_base import parameter_of, quantity_field, record_of
from exoabm.scenario.schema_cells import Response, VesicleTable, Waste


def tables(table: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Every table that a scenario may hold."""
    found = {table.__name__: table}
    for field in table.model_fields.values():
        pending: list[Any] = [field.annotation]
        while pending:
            annotation = pending.pop()
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                found |= tables(annotation)
            pending.extend(get_args(annotation))
    return found


TABLES = tables(Scenario)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_unknown_keys_are_errors_and_nothing_changes_later(table: type[BaseModel]) -> None:
    assert table.model_config["extra"] == "forbid"
    assert table.model_config["frozen"]
    assert table.__doc__


READ_BY_WHAT_THEY_ARE_OF = {(Response, "half_max"), (Response, "to")}
"""Numbers of a response: the signal and the behavior say which declared parameter they are values of."""
AS_IN_THE_TABLE = {(Layout, "time")}
"""Values that are compared with those of a table of cells, and need no unit of their own."""


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_number_is_declared(table: type[BaseModel]) -> None:
    """A float in the schema would be a number without unit, range and source."""
    for key, field in table.model_fields.items():
        annotation = str(field.annotation)
        if (table, key) in AS_IN_THE_TABLE:
            continue
        assert "float" not in annotation or "Literal" in annotation, key
        if (table, key) in READ_BY_WHAT_THEY_ARE_OF:
            continue
        assert ("Quantity" in annotation) == (parameter_of(table, key) is not None), key


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_default_is_a_value_of_its_parameter(table: type[BaseModel]) -> None:
    for key, field in table.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, Quantity):
            parameter = parameter_of(table, key)
            assert parameter is CATALOG[default.parameter.name], key
            assert default.source, key


def test_a_number_may_be_bare_a_text_or_a_table() -> None:
    for given in (6, 6.0, "6", "6 h", "360 min", {"value": "6 h", "source": "x", "note": "y"}):
        vesicle = VesicleTable.model_validate({"name": "a", "half_life": given})
        assert float(vesicle.half_life) == 6 * 3600
    assert (vesicle.half_life.source, vesicle.half_life.note) == ("x", "y")


REFUSED = [
    (VesicleTable, {"name": "a", "half_life": None}),
    (VesicleTable, {"name": "a", "half_life": True}),
    (VesicleTable, {"name": "a", "half_life": [6]}),
    (VesicleTable, {"name": "a", "half_life": {"source": "x"}}),
    (VesicleTable, {"name": "a", "half_life": {"value": 6, "unit": "h"}}),
    (VesicleTable, {"name": "a", "half_life": {"value": 6, "note": 5}}),
    (VesicleTable, {"name": ""}),
    (VesicleTable, {"name": "1a"}),
    (VesicleTable, {"name": "a.b"}),
    (VesicleTable, {"name": "a" * 65}),
    (VesicleTable, {"name": "a\n"}),
    (DomainTable, {}),
    (DomainTable, {"size": 100}),
    (DomainTable, {"size": "large"}),
    (DomainTable, {"size": [1, 2, 3, 4]}),
    (DomainTable, {"size": [[1], [2]]}),
    (Group, {"cell_type": "a", "count": 0}),
    (Group, {"cell_type": "a", "count": 1.5}),
    (Group, {"cell_type": "a", "arrange": "points"}),
    (Group, {"cell_type": "a", "points": [[1, 2]]}),
    (Group, {"cell_type": "a", "arrange": "points", "points": [[1, 2]], "count": 2}),
    (Group, {"cell_type": "a", "arrange": "points", "points": [[1, 2]], "center": [1, 2]}),
    (Group, {"cell_type": "a", "arrange": "overlapping", "spacing": 10}),
    (Group, {"cell_type": "a", "arrange": "cluster", "outer": 10}),
    (Group, {"cell_type": "a", "arrange": "random", "center": [1, 2]}),
    (Layout, {}),
    (Layout, {"group": [{"cell_type": "a"}], "table": "x.csv"}),
    (Zone, {"name": "a", "low": [0, 0], "high": [1, 1]}),
    (Zone, {"name": "a", "low": [0, 0], "obstacle": True}),
    (Zone, {"name": "a", "low": [0, 0], "radius": 1, "obstacle": True}),
    (Zone, {"name": "a", "center": [0, 0], "radius": 1, "obstacle": True, "hindrance": 0.5}),
    (Faces, {"x_low": "periodic"}),
    (Faces, {"x": "periodic", "x_high": "open"}),
    (Faces, {"y": {"concentration": -1}}),
    (Faces, {"y": {"concentration": "inf"}}),
    (Waste, {}),
]


@pytest.mark.parametrize(("table", "data"), REFUSED, ids=lambda x: getattr(x, "__name__", str(x))[:50])
def test_what_makes_no_sense_is_refused(table: type[BaseModel], data: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        table.model_validate(data)


TAKEN = [
    (DomainTable, {"size": "fit"}),
    (DomainTable, {"size": ["1 mm", 20]}),
    (Group, {"cell_type": "a", "arrange": "points", "points": [[1, 2], [3, 4]]}),
    (Group, {"cell_type": "a", "arrange": "points", "points": [[1, 2], [3, 4]], "count": 2}),
    (Group, {"cell_type": "a", "arrange": "lattice", "center": [1, 2]}),
    (Group, {"cell_type": "a", "arrange": "random", "center": [1, 2], "outer": 9}),
    (Zone, {"name": "a", "low": [0, 0], "high": [1, 1], "obstacle": True}),
    (Zone, {"name": "a", "center": [0, 0], "radius": 1, "hindrance": 0.5}),
    (Faces, {"x": "periodic", "y": {"concentration": "1e9 / mL"}, "z_low": "open"}),
    (VesicleTable, {"name": "a", "half_life": "inf"}),
]


@pytest.mark.parametrize(("table", "data"), TAKEN, ids=lambda x: getattr(x, "__name__", str(x))[:50])
def test_what_makes_sense_is_taken(table: type[BaseModel], data: dict[str, Any]) -> None:
    table.model_validate(data)


def test_a_side_is_that_of_its_axis_unless_it_has_its_own() -> None:
    faces = Faces.model_validate({"x": "open", "x_high": "no-flux", "z_low": {"concentration": "2e12 / mL"}})
    assert faces.side("x_low") == "open"
    assert faces.side("x_high") == faces.side("y_low") == faces.side("z_high") == "no-flux"
    assert float(faces.side("z_low").concentration) == 2.0


def test_a_date_is_no_value_of_an_arm() -> None:
    """TOML has dates, and JSON, of which a scenario's hash is taken, has none."""
    text = (
        shipped()["signaling"]
        .read_text()
        .replace('"cell_type.donor.release_rate" = 0', '"x" = 2000-01-01', 1)
    )
    with pytest.raises(ScenarioError, match="dates and times are not allowed here"):
        parse(text.encode(), name="dated", folder=shipped()["signaling"].parent)


@pytest.mark.parametrize(
    ("key", "value"), [("where", "a=b"), ("unit", "um"), ("decimal", ","), ("type_map", {"a": "b"})]
)
def test_keys_of_a_table_need_one(key: str, value: object) -> None:
    """What says how a table is read is refused where a layout has none, not left unread."""
    group = [{"cell_type": "donor", "arrange": "points", "points": [[1, 2]]}]
    assert Layout.model_validate({"group": group, "where": [], "unmapped": "error"}).table is None
    with pytest.raises(ValueError, match=f"{key} is an option of a table"):
        Layout.model_validate({"group": group, key: value})


def test_a_field_of_a_record_has_the_number_of_its_key() -> None:
    """A parameter that is added to a table and to the record of its process needs no line in the builder."""

    class WithPermeability(Waste):
        permeability: Quantity = quantity_field("waste_export_rate")

    @dataclass(frozen=True)
    class Widened(WasteMetabolism):
        permeability: float = 0.0

    table = WithPermeability(production="6 / h", vesicle="exosome", permeability="2 / h")
    made = record_of(Widened, table, vesicle=0, copies=1.0)
    assert made.permeability == float(table.permeability) == pytest.approx(2 / 3600)
    assert made.production == pytest.approx(6 / 3600)
    with pytest.raises(AttributeError, match="permeability"):
        record_of(Widened, Waste(production="6 / h", vesicle="exosome"), vesicle=0, copies=1.0)
