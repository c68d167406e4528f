"""A small crowd of cells of three types in which every mechanism of the continuum is at work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from worlds import world

from exoabm import ExosomeModel

DONOR = {"name": "donor", "releases": "EV", "release_rate": 600}
RELAY = {"name": "relay", "releases": "EV", "takes_up": ["EV"], "uptake_rate": 40}
SINK = {"name": "sink", "takes_up": ["EV"], "uptake_rate": 300, "diameter": 20}

PLACES = {
    "donor": [[25, 25, 15], [45, 35, 25], [72, 18, 35]],
    "relay": [[33, 61, 25], [61, 48, 45]],
    "sink": [[15, 45, 35], [55, 22, 15], [78, 66, 25], [38, 38, 5]],
}
"""Centers in a box of 90 x 80 x 50 um, none on a face between voxels."""

HELD = {"concentration": "5e9 / mL"}
FACES: Mapping[str, Mapping[str, Any]] = {
    "no-flux": {},
    "periodic": {"x": "periodic", "y": "periodic", "z": "periodic"},
    "open": {"x": "open", "y_low": "open", "z": "open"},
    "held": {"x_low": HELD, "y": "open", "z_high": HELD},
}

ZONES: list[dict[str, Any]] = [
    {"name": "gel", "low": [0, 0, 0], "high": [40, 80, 50], "hindrance": 0.3},
    {"name": "bone", "low": [60, 30, 0], "high": [70, 40, 50], "obstacle": True},
]


def crowd(
    dim: int = 2,
    *,
    faces: str = "no-flux",
    saturation: str = "inf",
    zones: bool = False,
    places: Mapping[str, Any] = PLACES,
    kinds: Mapping[str, Any] | None = None,
    precision: str = "float64",
    provenance: str = "cell_type",
    transport: Mapping[str, Any] | None = None,
    **options: Any,
) -> ExosomeModel:
    """The crowd in a slab or a volume; ``kinds`` adds keys to all cell types."""
    types = {kind["name"]: kind for kind in (DONOR, RELAY, SINK)}
    cells = [
        (
            types[name]
            | ({"saturation": saturation} if "takes_up" in types[name] else {})
            | dict(kinds or {}),
            [list(point[:dim]) for point in points],
        )
        for name, points in places.items()
    ]
    domain: dict[str, Any] = {"faces": {k: v for k, v in FACES[faces].items() if k[0] in "xyz"[:dim]}}
    if zones:
        corners = ("low", "high")
        domain["zone"] = [{k: v[:dim] if k in corners else v for k, v in zone.items()} for zone in ZONES]
    return world(
        options.pop("size", [90, 80, 50][:dim]),
        cells,
        vesicle={"half_life": 1, "unbinding_rate": 2, "delivery_probability": 0.2}
        | options.pop("vesicle", {}),
        domain=domain | options.pop("domain", {}),
        transport={"precision": precision, "provenance": provenance, **(transport or {})},
        **options,
    )


def results(model: ExosomeModel) -> list[np.ndarray]:
    """Everything a run has produced that later steps build on."""
    way, state = model.state.trafficking, model.state
    names = ("encountered", "bound", "taken_up", "endosomal", "lysosomal", "delivered")
    return [*state.fields, state.released, *(getattr(way, name) for name in names)]


def assert_identical(one: ExosomeModel, other: ExosomeModel) -> None:
    """Equal to the last bit."""
    for a, b in zip(results(one), results(other), strict=True):
        np.testing.assert_array_equal(a, b)
