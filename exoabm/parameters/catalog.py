"""The parameter catalog, read from one TOML file per theme."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from exoabm.parameters.parameter import Parameter

ORGANS: Final = ("liver", "spleen", "lung", "kidney", "heart", "target", "rest")
"""Organs of the body beside its plasma; each has ``<organ>_volume``, ``_flow`` and ``_phagocytes``."""
COMPARATORS: Final = ("free_drug", "soluble_factor", "lnp")
"""Comparators of vesicles; ``<comparator>_<key>`` replaces the default of ``key`` in a vesicle table."""

_FOLDER = Path(__file__).parent
_THEMES = (
    *("domain", "clock", "medium", "vesicles", "secretion", "uptake", "cargo", "cells", "responses"),
    *("doses", "body", "immunity", "manufacturing", "comparators", "trials", "inference"),
)
_REQUIRED = {"symbol", "meaning", "unit", "allowed", "source"}
_OPTIONAL = {"default", "published", "how", "note"}


@dataclass(frozen=True, slots=True)
class Theme:
    """The parameters of one file.

    Attributes
    ----------
    title, about
        Heading of the theme, and a paragraph on its sources; the latter may be empty.
    parameters
        In the order of the file.
    """

    title: str
    about: str
    parameters: tuple[Parameter, ...]


def parse_theme(text: str, file: str) -> Theme:
    """Read one theme from TOML.

    Parameters
    ----------
    text
        ``title`` and perhaps ``about``, then a table per parameter, named after it, whose keys are the
        attributes of `Parameter`. ``default``, ``published`` and ``note`` may be missing, and so may
        ``how`` where ``source`` contains ``"assumed"``.
    file
        Name of the file in error messages.

    Raises
    ------
    ValueError
        With file, parameter and key, for a key that is unknown, missing or of the wrong type, and for values
        that `Parameter` refuses.
    """
    try:
        tables = tomllib.loads(text)
        title, about = tables.pop("title", None), tables.pop("about", "")
        if not (isinstance(title, str) and isinstance(about, str)):
            raise ValueError("title and about must be texts, and title must be given")
        return Theme(title, about, tuple(_parameter(name, table) for name, table in tables.items()))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def _parameter(name: str, table: object) -> Parameter:
    if not isinstance(table, dict):
        raise ValueError(f"{name} must be a table")
    for keys, problem in (
        (table.keys() - _REQUIRED - _OPTIONAL, "unknown"),
        (_REQUIRED - table.keys(), "missing"),
    ):
        if keys:
            raise ValueError(f"parameter {name}: {problem} {', '.join(sorted(keys))}")

    def read(key: str, form: str, accepted: bool) -> Any:
        if not accepted:
            raise ValueError(f"parameter {name}: {key} must be {form}, not {table[key]!r}")
        return table[key]

    def text(key: str) -> str:
        return str(read(key, "a text", isinstance(table[key], str)))

    def range_of(key: str) -> tuple[float, float]:
        pair = table[key]
        low, high = read(
            key, "two numbers", isinstance(pair, list) and len(pair) == 2 and all(map(_is_number, pair))
        )
        return float(low), float(high)

    source = table["source"]
    texts = isinstance(source, list) and all(isinstance(key, str) for key in source)
    return Parameter(
        name=name,
        symbol=text("symbol"),
        meaning=text("meaning"),
        unit=text("unit"),
        default=float(read("default", "a number", _is_number(table["default"])))
        if "default" in table
        else None,
        allowed=range_of("allowed"),
        published=range_of("published") if "published" in table else None,
        source=tuple(read("source", "a list of texts", texts)),
        how=text("how") if "how" in table else "assumed",  # type: ignore[arg-type]
        note=text("note") if "note" in table else "",
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def collect(themes: dict[str, Theme]) -> dict[str, Parameter]:
    """Return the parameters of all themes by name.

    Raises
    ------
    ValueError
        If two parameters have the same name or symbol.
    """
    found: dict[str, Parameter] = {}
    symbols: dict[str, str] = {}
    for parameter in (parameter for theme in themes.values() for parameter in theme.parameters):
        if parameter.name in found:
            raise ValueError(f"parameter {parameter.name} is declared twice")
        other = symbols.setdefault(parameter.symbol, parameter.name)
        if other != parameter.name:
            raise ValueError(
                f"parameters {other} and {parameter.name} have the same symbol {parameter.symbol}"
            )
        found[parameter.name] = parameter
    return found


THEMES: Final[dict[str, Theme]] = {
    theme: parse_theme((_FOLDER / f"{theme}.toml").read_text(encoding="utf-8"), f"{theme}.toml")
    for theme in _THEMES
}
"""The themes by the name of their file, without its ending."""

CATALOG: Final[dict[str, Parameter]] = collect(THEMES)
"""Every parameter by name, in order of theme."""
