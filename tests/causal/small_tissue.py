"""A small tissue: donors, relays that answer the message by release, and readers; both engines run it."""

from pathlib import Path

from exoabm.model import ExosomeModel
from exoabm.scenario.loader import parse

TOML = b"""
schema_version = 1
[info]
title = "Small"
[domain]
size = ["120 um", "120 um"]
voxel = "20 um"
[[layout.group]]
cell_type = "donor"
count = 3
[[layout.group]]
cell_type = "relay"
count = 6
[[layout.group]]
cell_type = "reader"
count = 6
[clock]
step = "10 min"
duration = "4 h"
[record]
events = "1 h"
cells = "1 h"
fields = "2 h"
[transport]
hindrance = 0.05
provenance = "cell"
[[cargo]]
name = "message"
copies = 100
half_life = "9 h"
[[vesicle]]
name = "exosome"
cargo = ["message"]
delivery_probability = 0.3
internalization_rate = "8 / h"
processing_rate = "4 / h"
[[cell_type]]
name = "donor"
releases = "exosome"
[[cell_type]]
name = "relay"
releases = "exosome"
release_rate = 0
takes_up = ["exosome"]
[[cell_type]]
name = "reader"
takes_up = ["exosome"]
[[response]]
name = "handing_on"
cell_type = "relay"
signal = "cargo.message"
increases = "release_rate"
to = "60 / h"
half_max = 200
"""
LINEAR = {f"cell_type.{name}.saturation": "inf" for name in ("relay", "reader")}
SILENT_RELAYS = {"response.handing_on.to": "0"}


def loaded(*changes, responses=True, **keys):
    """The scenario; ``changes`` are mappings of dotted keys, ``keys`` have __ for each dot."""
    values = {k: v for change in changes for k, v in change.items()}
    values |= {key.replace("__", "."): value for key, value in keys.items()}
    text = TOML if responses else TOML[: TOML.index(b"[[response]]")]
    return parse(text, name="small", folder=Path(), overrides=values)


def model(*changes, seed=1, **keys):
    """A model of it."""
    return ExosomeModel(loaded(*changes, **keys), seed=seed)
