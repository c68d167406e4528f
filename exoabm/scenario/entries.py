"""The values of a scenario, each with its dotted key: to list, to describe, to write down."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import BaseModel

from exoabm.parameters.parameter import Quantity
from exoabm.scenario.fields import meaning_of
from exoabm.scenario.schema import Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator


def cautions(scenario: Scenario) -> list[str]:
    """A sentence for every value outside its published range; comparators are no vesicles."""
    others = of_comparators(scenario)
    return [f"{key}: {q.caution}" for key, q in quantities(scenario) if q.caution and key not in others]


def of_comparators(scenario: Scenario) -> set[str]:
    """Keys of comparators for which the published range is one of vesicles and says nothing."""
    own = ("diameter", "diffusivity", "half_life", "delivery_probability", "copies")
    return {f"vesicle.{v.name}.{key}" for v in scenario.vesicle if v.comparator for key in own}


def quantities(table: BaseModel, prefix: str = "") -> Iterator[tuple[str, Quantity]]:
    """Every number of a scenario with its dotted key."""
    for key, value in entries(table, prefix):
        if isinstance(value, Quantity):
            yield key, value


@dataclass(frozen=True)
class Entry:
    """A value of a scenario, the table that it stands in, and the name of its field there."""

    key: str
    value: Any
    table: BaseModel
    field: str

    @property
    def meaning(self) -> str:
        """A sentence on what the value is, if there is one."""
        return meaning_of(type(self.table), self.field)

    @property
    def choices(self) -> list[str]:
        """The words that it may be, if they are given."""
        found: list[str] = []
        pending = [type(self.table).model_fields[self.field].annotation]
        while pending:
            annotation = pending.pop()
            if get_origin(annotation) is Literal:
                found.extend(map(str, get_args(annotation)))
            else:
                pending.extend(get_args(annotation))
        return found


def entries(table: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a scenario with its dotted key, lists of tables by the names in them."""
    for entry in described(table, prefix):
        yield entry.key, entry.value


def described(table: BaseModel, prefix: str = "") -> Iterator[Entry]:
    """Every value of a scenario, as ``entries``, with what is declared of it."""
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
    """How the elements of a list are called in dotted keys: by a name of their own, else by number from 0."""
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
