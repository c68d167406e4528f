"""Tables of a scenario file: fields declared by parameters, their values by dotted key, and as rows."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticKnownError

from exoabm.parameters.catalog import CATALOG, Parameter, Quantity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exoabm.scenario.schema import Scenario


def quantity_field(
    name: str, *, words: tuple[str, ...] = (), needs: tuple[str, ...] = (), **field: Any
) -> Any:
    """A field whose numbers are values of the catalog's parameter ``name``.

    Its default is the catalog's unless ``field`` says otherwise; ``words`` are allowed in place of a number.
    It has no effect where none of the keys in ``needs`` is set in its table.
    """
    extra: dict[str, Any] = {"parameter": name, "words": list(words), "needs": list(needs)}
    if not field.keys() & {"default", "default_factory"}:
        field["default_factory"] = lambda: Quantity.default(CATALOG[name])
    return Field(json_schema_extra=extra, **field)


def assumed(name: str, value: str, **field: Any) -> Any:
    """A field with a default of its own, which is a modeling assumption."""
    return quantity_field(name, default_factory=lambda: Quantity(CATALOG[name], value, "assumed"), **field)


def parameter_of(table: type[BaseModel], key: str) -> Parameter | None:
    """The parameter that a field of a table is declared by, if it holds numbers."""
    extra = table.model_fields[key].json_schema_extra
    return CATALOG[str(extra["parameter"])] if isinstance(extra, dict) and "parameter" in extra else None


def is_idle(table: BaseModel, key: str) -> bool:
    """Whether a field has no effect in its table: none of the keys that it needs is set."""
    needs = needs_of(table, key)
    return bool(needs) and not any(getattr(table, name) for name in needs)


def needs_of(table: BaseModel, key: str) -> list[str]:
    """The keys of which a field needs one."""
    extra = type(table).model_fields[key].json_schema_extra
    needs = extra.get("needs") if isinstance(extra, dict) else None
    return [str(name) for name in needs] if isinstance(needs, list) else []


class Table(BaseModel):
    """A table of the scenario file; unknown keys are errors, numbers are quantities."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    @field_validator("*", mode="before")
    @classmethod
    def _read_quantities(cls, value: object, info: ValidationInfo) -> object:
        parameter = parameter_of(cls, str(info.field_name))
        field = cls.model_fields[str(info.field_name)]
        if parameter is None:
            if isinstance(value, bool) and field.annotation is int:
                raise PydanticKnownError("int_type")
            return value
        extra = field.json_schema_extra
        assert isinstance(extra, dict)

        def read(item: object) -> object:
            if isinstance(item, list):
                return [read(each) for each in item]
            if item is None or item in extra["words"]:  # type: ignore[operator]
                return item
            return Quantity.read(item, parameter)

        return read(value)


Record = TypeVar("Record")


def record_of(record: type[Record], table: BaseModel, **given: Any) -> Record:
    """A record of a process: each field that is not given has the number of this key in the table."""
    keys = {field.name for field in fields(record)} - given.keys()  # type: ignore[arg-type]
    return record(**{key: float(getattr(table, key)) for key in keys}, **given)


Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_\-]{0,63}$")]


def _distinct(names: list[str]) -> list[str]:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name!r} is listed more than once")
    return names


Names = Annotated[list[Name], AfterValidator(_distinct)]


def _without_dates(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_dates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_dates(item) for item in value]
    if not isinstance(value, str | int | float):
        raise ValueError("dates and times are not allowed here")
    return value


Plain = Annotated[Any, AfterValidator(_without_dates)]
"""Values common to TOML and JSON: text, numbers, true and false, lists and tables of them."""


def meaning_of(table: type[BaseModel] | None, key: str) -> str:
    """The meaning of a key of a table as a sentence; "" if there is none."""
    if table is None or key not in table.model_fields:
        return ""
    parameter = parameter_of(table, key)
    return table.model_fields[key].description or (parameter.meaning if parameter else "")


def cautions(scenario: Scenario) -> list[str]:
    """A sentence for every value outside its published range, except for comparators."""
    others = of_comparators(scenario)
    return [f"{key}: {q.caution}" for key, q in quantities(scenario) if q.caution and key not in others]


def of_comparators(scenario: Scenario) -> dict[str, Parameter | None]:
    """Keys of comparators, to which published ranges of vesicles do not apply, and their declarations."""
    own = ("diameter", "diffusivity", "half_life", "delivery_probability", "copies")
    return {
        f"vesicle.{v.name}.{key}": CATALOG.get(f"{v.comparator}_{key}")
        for v in scenario.vesicle
        if v.comparator
        for key in own
    }


def quantities(table: BaseModel) -> Iterator[tuple[str, Quantity]]:
    """Every number of a scenario with its dotted key."""
    for key, value in entries(table):
        if isinstance(value, Quantity):
            yield key, value


@dataclass(frozen=True)
class Entry:
    """A value of a scenario, its table, and the name of its field there."""

    key: str
    value: Any
    table: BaseModel
    field: str

    @property
    def meaning(self) -> str:
        """The meaning of the value as a sentence, if there is one."""
        return meaning_of(type(self.table), self.field)

    @property
    def choices(self) -> list[str]:
        """The words that are allowed, if they are listed."""
        found: list[str] = []
        pending = [type(self.table).model_fields[self.field].annotation]
        while pending:
            annotation = pending.pop()
            if get_origin(annotation) is Literal:
                found.extend(map(str, get_args(annotation)))
            else:
                pending.extend(get_args(annotation))
        return found


def entries(table: BaseModel) -> Iterator[tuple[str, Any]]:
    """Every value of a scenario with its dotted key, lists of tables by the names in them."""
    for entry in described(table):
        yield entry.key, entry.value


def described(table: BaseModel, prefix: str = "") -> Iterator[Entry]:
    """Every value of a scenario, as ``entries``, with its declaration."""
    for name in type(table).model_fields:
        yield from _entries(Entry(f"{prefix}{name}", getattr(table, name), table, name))


def _entries(entry: Entry) -> Iterator[Entry]:
    key, value = entry.key, entry.value
    if isinstance(value, BaseModel):
        yield from described(value, f"{key}.")
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _entries(replace(entry, key=f"{key}.{name}", value=item))
    elif isinstance(value, list) and value and isinstance(value[0], BaseModel):
        for name, item in zip(names_of(value), value, strict=True):
            yield from _entries(replace(entry, key=f"{key}.{name}", value=item))
    else:
        yield entry


def plain_data(value: Any) -> Any:
    """A scenario as plain data: tables as dicts, quantities as {value, source, note}."""
    if isinstance(value, BaseModel):
        pairs = ((key, getattr(value, key)) for key in type(value).model_fields)
        return {key: plain_data(v) for key, v in pairs if v is not None}
    if isinstance(value, Quantity):
        words = {"source": value.source, "note": value.note}
        return {"value": _given(value), **{k: v for k, v in words.items() if v}}
    if isinstance(value, list):
        return [plain_data(item) for item in value]
    if isinstance(value, dict):
        return {key: plain_data(item) for key, item in value.items()}
    return value


def _given(value: Quantity) -> str | float:
    """A quantity as it was given, so that reading it again gives the same bits; units always shown."""
    unit = value.parameter.unit
    if isinstance(value.given, str) or unit == "1":
        return value.given
    return f"{value.given!r} {unit}"


def names_of(items: list[Any]) -> list[str]:
    """Names of the elements of a list in dotted keys: their own, else their number from 0."""
    names = [_name_of(item) for item in items]
    first: dict[str | None, int] = {}
    for position, name in enumerate(names):
        first.setdefault(name, position)
    return [
        str(position) if name is None or first[name] < position else name
        for position, name in enumerate(names)
    ]


def _name_of(item: Any) -> str | None:
    if isinstance(item, BaseModel):
        item = item.__dict__
    if isinstance(item, dict):
        for key in ("name", "cell_type", "cargo"):
            if isinstance(item.get(key), str):
                return str(item[key])
    return None


def as_given(value: Any) -> Any:
    """A value of a scenario as it was written."""
    return [as_given(v) for v in value] if isinstance(value, list) else getattr(value, "given", value)
