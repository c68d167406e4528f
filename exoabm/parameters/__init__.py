"""Parameters with their units, ranges and sources."""

from exoabm.parameters.catalog import CATALOG, Parameter, Quantity, mean_diffusivity, stokes_einstein
from exoabm.parameters.citations import format_citation, references
from exoabm.parameters.units import QuantityError, factor, to_internal

__all__ = [
    "CATALOG",
    "Parameter",
    "Quantity",
    "QuantityError",
    "factor",
    "format_citation",
    "mean_diffusivity",
    "references",
    "stokes_einstein",
    "to_internal",
]
