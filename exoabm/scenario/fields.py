"""What tables of a scenario file are made of: quantities of declared parameters, and strict tables."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from exoabm.parameters.catalog import CATALOG
from exoabm.parameters.parameter import Parameter, Quantity


def declared(name: str, *, words: tuple[str, ...] = (), needs: tuple[str, ...] = (), **field: Any) -> Any:
    """A field whose numbers are values of the catalog's parameter ``name``.

    Its default is the catalog's unless ``field`` says otherwise; ``words`` may stand for a number. It means
    nothing where none of the keys in ``needs`` is set in its table.
    """
    extra: dict[str, Any] = {"parameter": name, "words": list(words), "needs": list(needs)}
    if not field.keys() & {"default", "default_factory"}:
        field["default_factory"] = lambda: Quantity.default(CATALOG[name])
    return Field(json_schema_extra=extra, **field)


def assumed(name: str, value: str, **field: Any) -> Any:
    """A field with a default of its own, which is a modeling assumption."""
    return declared(name, default_factory=lambda: Quantity(CATALOG[name], value, "assumed"), **field)


def parameter_of(table: type[BaseModel], key: str) -> Parameter | None:
    """The parameter that a field of a table is declared by, if it holds numbers."""
    extra = table.model_fields[key].json_schema_extra
    return CATALOG[str(extra["parameter"])] if isinstance(extra, dict) and "parameter" in extra else None


def is_idle(table: BaseModel, key: str) -> bool:
    """Whether a field means nothing as its table stands: none of the keys that it needs is set."""
    extra = type(table).model_fields[key].json_schema_extra
    needs = extra.get("needs") if isinstance(extra, dict) else None
    return isinstance(needs, list) and bool(needs) and not any(getattr(table, str(name)) for name in needs)


class Table(BaseModel):
    """A table of the scenario file; unknown keys are errors, numbers are quantities."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    @field_validator("*", mode="before")
    @classmethod
    def _read_quantities(cls, value: object, info: ValidationInfo) -> object:
        parameter = parameter_of(cls, str(info.field_name))
        if parameter is None:
            return value
        extra = cls.model_fields[str(info.field_name)].json_schema_extra
        assert isinstance(extra, dict)

        def read(item: object) -> object:
            if isinstance(item, list):
                return [read(each) for each in item]
            if item is None or item in extra["words"]:  # type: ignore[operator]
                return item
            return Quantity.read(item, parameter)

        return read(value)


Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_\-]{0,63}$")]


def _without_dates(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_dates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_dates(item) for item in value]
    if not isinstance(value, str | int | float):
        raise ValueError("a date or a time is no value here")
    return value


Plain = Annotated[Any, AfterValidator(_without_dates)]
"""What TOML and JSON both hold: text, numbers, true and false, lists and tables of them."""


def meaning_of(table: type[BaseModel] | None, key: str) -> str:
    """A sentence on what a key of a table is, "" if there is none."""
    if table is None or key not in table.model_fields:
        return ""
    parameter = parameter_of(table, key)
    return table.model_fields[key].description or (parameter.meaning if parameter else "")
