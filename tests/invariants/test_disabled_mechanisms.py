"""A mechanism that is off is exactly absent: the bits of a model that does not name it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from exoabm import ExosomeModel
from exoabm.scenario.loader import parse
from exoabm.scenario.schema_cells import CellTypeTable

BODY = """
info = {{ title = "a test" }}
domain = {{ size = [150, 150] }}
clock = {{ step = "300 s" }}
transport = {{ {transport} }}
layout = {{ group = [{{ cell_type = "sender", count = 4 }}, {{ cell_type = "receiver", count = 8 }}] }}
cargo = [{{ name = "message", copies = 5 }}, {{ name = "debris", role = "waste", copies = 1 }}]

[[vesicle]]
name = "EV"
cargo = ["message", "debris"]
delivery_probability = 0.2
{vesicle}

[[cell_type]]
name = "sender"
releases = "EV"
release_rate = "300 / h"
secretion = "poisson"
{sender}

[[cell_type]]
name = "receiver"
takes_up = ["EV"]
{receiver}

[[cell_type]]
name = "other"
{rest}
"""

ROW = """
[[response]]
cell_type = "receiver"
signal = "{signal}"
increases = "{behavior}"
to = {to}
half_max = {half}
hill = 20
"""

OFF = {
    "division": {"receiver": "division_rate = 0"},
    "death": {"receiver": "death_rate = 0"},
    "transformation": {"receiver": 'transformation = { into = "other", rate = 0 }'},
    "motility": {"receiver": "motility = 0"},
    "climbing": {"receiver": 'climbs = { vesicle = "EV", coefficient = 0 }'},
    "following": {"receiver": 'follows = { vesicle = "EV", speed = 0 }'},
    "persistence": {"receiver": "motility = 0\npersistence = '5 min'"},
    "pushing": {"rest": "[mechanics]"},
    "secretion": {"receiver": 'releases = "EV"\nrelease_rate = 0\nsecretion = "poisson"'},
    "pathway": {
        "receiver": 'releases = "EV"\nrelease_rate = 0\nmvb = { sorting = [{ vesicle = "EV", share = 1 }] }'
    },
    "uptake": {"sender": 'takes_up = ["EV"]\nuptake_rate = 0'},
    "added behaviors": {"receiver": "behavior = {}"},
    "another label in exports": {"receiver": "annotated_as = 'other'"},
    "pools": {"sender": 'holds = [{ cargo = "message", vesicle = "EV" }]'},
    "waste": {"receiver": 'waste = { vesicle = "EV", production = 0, lysosomal_rate = 0, export_rate = 0 }'},
    "receptors": {"receiver": 'receptor = [{ name = "r" }]'},
    "shared receptors": {"vesicle": 'ligand = "r"', "sender": 'receptor = [{ name = "r", number = 0 }]'},
    "ligand": {"vesicle": 'ligand = "r"'},
    "recycling": {"receiver": "recycling_probability = 0"},
    "delivery": {"receiver": "delivery_probability = 0.2"},
    "response of fate": {
        "receiver": "death_rate = 0",
        "rest": ROW.format(signal="waste", behavior="death_rate", to="'1 / h'", half="1e9"),
    },
    "response of release": {
        "receiver": 'releases = "EV"\nrelease_rate = 0\nsecretion = "poisson"',
        "rest": ROW.format(signal="cargo.message", behavior="release_rate", to="0", half="1e9"),
    },
}


ENGINES = {
    "continuum": 'engine = "continuum"',
    "voxels": 'engine = "vesicles"',
    "membranes": 'engine = "vesicles", capture = "membrane"',
}


def run(engine: str, **parts: str) -> ExosomeModel:
    pieces = {"vesicle": "", "sender": "", "receiver": "", "rest": ""} | parts
    model = ExosomeModel(
        parse(BODY.format(transport=ENGINES[engine], **pieces).encode(), name="t", folder=Path()), seed=5
    )
    model.run(hours=0.5)
    return model


def bits(model: ExosomeModel) -> dict[str, np.ndarray]:
    state = model.state
    found = {"position": state.cells.position, "released": state.released, "emitted": state.balance.emitted}
    found |= {name: getattr(state.trafficking, name) for name in vars(state.trafficking)}
    found |= {f"field {k}": field for k, field in enumerate(state.fields)}
    if state.follows_vesicles:
        found |= state.vesicles.columns()
    return {name: np.array(column) for name, column in found.items()}


@pytest.fixture(scope="module", params=ENGINES)
def bare(request: pytest.FixtureRequest) -> tuple[str, dict[str, np.ndarray]]:
    return request.param, bits(run(request.param))


@pytest.mark.parametrize("mechanism", OFF)
def test_off_is_absent(mechanism: str, bare: tuple[str, dict[str, np.ndarray]]) -> None:
    engine, expected = bare
    if mechanism == "following" and engine != "membranes":
        pytest.skip("cells follow what meets their membranes")
    found = bits(run(engine, **OFF[mechanism]))
    assert found.keys() == expected.keys()
    for name, column in expected.items():
        np.testing.assert_array_equal(found[name], column, err_msg=name)


def test_every_mechanism_of_a_type_is_switched_off_here() -> None:
    """All that a type of cell may name or leave out."""
    optional = {
        name
        for name, key in CellTypeTable.model_fields.items()
        if not key.is_required() and key.get_default(call_default_factory=True) in (None, [], {})
    }
    assert {"waste", "mvb", "follows", "holds", "receptor"} < optional
    named = "\n".join(text for parts in OFF.values() for text in parts.values())
    assert optional <= set(re.findall(r"^(\w+) =", named, re.MULTILINE))


@pytest.mark.parametrize(
    "on",
    [
        {"receiver": "death_rate = '4 / h'"},
        {"receiver": "motility = '100 um^2 / h'"},
        {"receiver": "delivery_probability = 0.9"},
        {"sender": "mvb = {}"},
        {"sender": 'holds = [{ cargo = "message", initial = 9, export = "1 / h", vesicle = "EV" }]'},
    ],
)
def test_on_is_not_absent(on: dict[str, str], bare: tuple[str, dict[str, np.ndarray]]) -> None:
    engine, expected = bare
    found = bits(run(engine, **on))
    assert any(not np.array_equal(found[name], column, equal_nan=True) for name, column in expected.items())
