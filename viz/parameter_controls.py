"""The controls of a scenario, made from the declarations of its parameters."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import BaseModel

from exoabm.errors import InputError
from exoabm.parameters import Quantity, format_citation
from exoabm.scenario.schema import Transport
from exoabm.scenario.schema_base import entries, of_comparators
from exoabm.scenario.schema_cells import CellTypeTable, VesicleTable
from exoabm.scenario.unused_keys import unused_keys
from exoabm.text_formatting import power_of_ten, spaced, words_of_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exoabm.parameters.catalog import Parameter
    from exoabm.scenario.loader import LoadedScenario

SHARES = 1000
"""Positions of a slider."""
SPAN = 10.0
"""A slider goes from a tenth of the value to ten times it where nothing was published."""

_TABLES: dict[str, type[BaseModel]] = {
    "transport": Transport,
    "vesicle": VesicleTable,
    "cell_type": CellTypeTable,
}
_HIDDEN = ("info.", "record.", "domain.", "layout.", "trial.", "schema_version")
_SHOWN = ("domain.voxel", "domain.thickness")
UNITS = {
    "1": "",
    "um": "µm",
    "um^2/s": "µm²/s",
    "um^2/h": "µm²/h",
    "um/h": "µm/h",
    "um^3/s": "µm³/s",
    "EV": "vesicles",
    "copies/EV": "per vesicle",
    "pg/EV": "pg per vesicle",
    "1/h": "per h",
    "1/mL": "per mL",
    "ug": "µg",
}
"""Units as the page writes them."""
_NAMES = {
    "ilvs_per_mvb": "vesicles per fused MVB",
    "half_max": "signal for half the effect",
    "hill": "steepness (Hill exponent)",
    "to": "value at full effect",
    "diameter_gsd": "spread of diameters (GSD)",
    "initial": "copies at the start",
    "reach": "distance of entry",
    "antigen_half": "antigen for half the response",
    "export": "export rate",
    "replication": "replication rate",
    "lysosomal_rate": "degradation rate in lysosomes",
    "carrier_uptake": "uptake rate of phagocytes",
    "transport.engine": "show vesicles as",
    "transport.provenance": "record donors",
    "clock.step": "time step",
}
"""Keys whose own words say too little."""
_WORDS = {
    "continuum": "expected numbers, as a field",
    "vesicles": "single vesicles, as dots",
    "voxel": "in the voxels of a cell",
    "membrane": "at its membrane",
    "cell_type": "by donor type",
    "cell": "by donor cell",
    "mean": "at a steady rate",
    "poisson": "in random bursts",
    "endosomal_escape": "escape from the endosome",
    "membrane_fusion": "fusion with the membrane",
}


_GROUPS = {
    "layout": "How many cells",
    "clock": "Time",
    "domain": "Space and medium",
    "transport": "Space and medium",
}
_HEADINGS = {
    "vesicle": "Vesicles",
    "cell_type": "Cells",
    "cargo": "Cargo",
    "response": "Response",
    "dose": "Dose",
    "immunity": "Immunity",
}
"""Tables of the file format by the headings of their controls."""


@dataclass(frozen=True)
class Control:
    """One control: a number on a slider, a count of cells, or a choice.

    Attributes
    ----------
    key : str
        Dotted, as ``--set`` takes it.
    label, unit : str
    kind : str
        ``number``, ``count`` or ``choice``.
    applied : str
        What the model runs with, in ``unit``.
    low, high : float
        Ends of the slider.
    choices : tuple of (str, str)
        Values and their words.
    about : tuple of (str, str)
        What the declaration says: meaning, ranges, source.
    """

    key: str
    label: str
    kind: Literal["number", "count", "choice"]
    applied: str
    unit: str = ""
    low: float = 0.0
    high: float = 1.0
    choices: tuple[tuple[str, str], ...] = ()
    about: tuple[tuple[str, str], ...] = ()
    parameter: Parameter | None = field(default=None, repr=False)

    @property
    def logarithmic(self) -> bool:
        """Whether the slider is logarithmic: from one to over twenty times it."""
        return self.low > 0 and self.high / self.low > 20

    def share(self, text: str) -> int:
        """Where a value stands on the slider, 0 to ``SHARES``."""
        value = min(max(float(text), self.low), self.high)
        if self.logarithmic:
            return round(SHARES * math.log(value / self.low) / math.log(self.high / self.low))
        return round(SHARES * (value - self.low) / (self.high - self.low))

    def value(self, share: int) -> str:
        """The value at a place of the slider, to three figures."""
        part = min(max(share, 0), SHARES) / SHARES
        if self.logarithmic:
            value = self.low * (self.high / self.low) ** part
        else:
            value = self.low + part * (self.high - self.low)
        value = min(max(float(f"{value:.3g}"), self.low), self.high)
        return str(max(1, round(value))) if self.kind == "count" else f"{value:.6g}"

    def read(self, text: str) -> str:
        """A typed value in the unit of the control; a unit may be given as the page or a file writes it.

        Raises
        ------
        InputError
            Naming what is allowed.
        """
        if len(text) > 100:
            raise InputError("too long to be a value")
        text = text.strip()
        text = without_unit(text, self.unit)
        if self.kind == "choice":
            if text not in (value for value, _ in self.choices):
                raise InputError(f"must be one of {', '.join(value for value, _ in self.choices)}")
            return text
        if self.kind == "count":
            try:
                count = int(text)
            except ValueError:
                raise InputError(f"{text!r} is not a whole number") from None
            if not 1 <= count <= 10_000_000:
                raise InputError(f"{count} is outside the allowed 1 to 10000000")
            return str(count)
        assert self.parameter is not None
        try:
            given: object = float(text)
        except ValueError:
            given = text
        try:
            return f"{Quantity(self.parameter, given).magnitude:.10g}"
        except InputError as error:
            raise InputError(spelled_out(str(error))) from None


def without_unit(text: str, unit: str) -> str:
    """A typed value without the unit that the page writes beside it, which no scenario file could have."""
    value = text.removesuffix(f" {unit}") if unit else text
    return value if re.fullmatch(r"[-+.\dinfeE]+", value) else text


def spelled_out(words: str) -> str:
    """Words on units with EV, the symbol of an extracellular vesicle, as a word."""
    return re.sub(r"\bEV\b", "vesicle", words)


def controls_of(loaded: LoadedScenario) -> dict[str, Control]:
    """Every control of a scenario, by dotted key, in the order of the file format."""
    scenario = loaded.scenario
    own = of_comparators(scenario)
    found = (control for key, value in entries(scenario) for control in _control_of(key, value, own.get(key)))
    unused = unused_keys(scenario)
    return {control.key: control for control in found if control.key not in unused}


def changed(controls_of: Mapping[str, Control], pending: Mapping[str, str]) -> dict[str, str]:
    """Of the pending values, those that differ from what the model runs with."""
    return {k: v for k, v in pending.items() if k in controls_of and v != controls_of[k].applied}


def group(key: str) -> str:
    """Under which heading a control stands, by its dotted key."""
    table, name, *rest = key.split(".")
    if table in _GROUPS:
        return _GROUPS[table]
    if table == "pharmacokinetics":
        return f"Body: {name}" if rest else "Body"
    words = _HEADINGS.get(table, table)
    return f"{words}: {name.replace('_', ' ')}" if rest else words


def _control_of(key: str, value: Any, declared: Parameter | None = None) -> Iterator[Control]:
    """The control of a value, if it has one; ``declared`` is a declaration in place of its own."""
    head, _, last = key.rpartition(".")
    if key.startswith("layout.group.") and last == "count":
        name = head.rpartition(".")[2]
        about = (
            ("what", f"How many cells the group {name} has."),
            ("allowed", "1 to 10,000,000; fewer here"),
        )
        yield Control(
            key, f"{spaced(name)} cells", "count", str(value), "cells", 1.0, 4.0 * value, about=about
        )
    elif isinstance(value, Quantity) and (key in _SHOWN or not key.startswith(_HIDDEN)):
        parameter = declared or value.parameter
        low, high = _span(parameter, value.magnitude)
        yield Control(
            key,
            _label(key),
            "number",
            f"{value.magnitude:.10g}",
            UNITS.get(parameter.unit, parameter.unit),
            low,
            high,
            about=tuple(description(parameter, key, value.source, value.note)),
            parameter=parameter,
        )
    elif isinstance(value, str) and key.partition(".")[0] in _TABLES and not key.startswith(_HIDDEN):
        table = _TABLES[key.partition(".")[0]]
        found = table.model_fields.get(last)
        if found is not None and get_origin(found.annotation) is Literal:
            choices = tuple((c, _WORDS.get(c, c)) for c in get_args(found.annotation))
            about = (("what", found.description or _label(key)), ("key", key))
            yield Control(key, _label(key), "choice", value, choices=choices, about=about)


def _span(parameter: Parameter, here: float) -> tuple[float, float]:
    """Ends of the slider: the published range, else a decade around the value, always around it."""
    low, high = parameter.allowed
    if parameter.published is not None:
        low, high = parameter.published
    elif not (low == 0.0 and high == 1.0):
        low, high = (max(low, here / SPAN), min(high, here * SPAN)) if here > 0 else (low, min(high, 1.0))
    if math.isfinite(here):
        low, high = min(low, here), max(high, here)
    elif not math.isfinite(low):
        low = max(parameter.allowed[0], 1.0)
    return low, high if math.isfinite(high) else max(1.0, 100 * low)


def description(
    parameter: Parameter, key: str, source: str = "", note: str = ""
) -> Iterator[tuple[str, str]]:
    """What is known of a parameter: meaning, ranges, source and note of the value, and its key."""
    yield parameter.symbol, parameter.meaning
    yield "allowed", span(parameter.allowed, parameter.unit)
    if parameter.published is not None:
        yield (
            "plausible" if parameter.how == "assumed" else "published",
            span(parameter.published, parameter.unit),
        )
    named = [s.strip() for s in (source or ", ".join(parameter.source)).split(",")]
    yield "source", "; ".join(s if s == "assumed" else _cited(s).removesuffix(".") for s in named)
    stated = (note, parameter.note)  # the note of a default may be its meaning
    if told := next((each for each in stated if each and each != parameter.meaning), ""):
        yield "note", told
    yield "key", key


def span(ends: tuple[float, float], unit: str) -> str:
    """A range with its unit, in words: ``0 to 10⁶ µm³/s``."""
    low, high = map(_bound, ends)
    return f"{low} to {high} {UNITS.get(unit, unit)}".strip()


def _bound(value: float) -> str:
    """An end of a range: large and small ones as powers of ten, others with commas between thousands."""
    size, sign = abs(value), "\N{MINUS SIGN}" if value < 0 else ""
    if math.isinf(size):
        return f"{sign}∞"
    exponent = round(math.log10(size)) if size else 0
    if size and not 1e-3 <= size <= 1e4 and math.isclose(size, 10.0**exponent, rel_tol=1e-9):
        return sign + power_of_ten(exponent)
    return f"{sign}{size:,.10g}"


def _cited(key: str) -> str:
    try:
        return format_citation(key)
    except (KeyError, InputError):
        return key


def _label(key: str) -> str:
    name = key.rpartition(".")[2]
    words, owner = words_of_key(key)
    plain = spaced(name)
    if words.endswith(plain):
        words = words.removesuffix(plain) + _NAMES.get(key, _NAMES.get(name, plain))
    return f"{words}, {spaced(owner)}" if owner else words
