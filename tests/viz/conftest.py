"""A small run and its folder, for everything that is shown of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exoabm import ExosomeModel
from exoabm.runs.run_execution import run_to_folder
from exoabm.scenario.loader import load
from exoabm.viz.server.uploads import UploadFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from exoabm.scenario.loader import LoadedScenario

SMALL = {
    "layout.group.recipient.count": "40",
    "domain.size": '["600 um", "600 um"]',
    "layout.group.recipient.outer": "280 um",
    "domain.voxel": "20 um",
}
HOURS = 2.0


@pytest.fixture(scope="session")
def loaded() -> LoadedScenario:
    return load("signaling", SMALL)


@pytest.fixture(scope="session")
def model(loaded: LoadedScenario) -> ExosomeModel:
    """Read only: tests share it."""
    model = ExosomeModel(loaded, seed=1)
    model.run(hours=HOURS)
    return model


@pytest.fixture(scope="session")
def folder(loaded: LoadedScenario, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "small"
    run_to_folder(loaded, out, seed=1, hours=HOURS)
    return out


@pytest.fixture(scope="session")
def mortal() -> LoadedScenario:
    """Half of the recipients have died after two hours."""
    return load(
        "signaling",
        SMALL | {"cell_type.recipient.death_rate": "0.35", "cell_type.donor.release_rate": "20000"},
    )


@pytest.fixture(scope="session")
def bereft(mortal: LoadedScenario) -> ExosomeModel:
    """A run in which cells have died; read only: tests share it."""
    model = ExosomeModel(mortal, seed=1)
    model.run(hours=HOURS)
    assert 10 < len(model.state.lineage.dead) < 30
    return model


@pytest.fixture
def uploads() -> Iterator[UploadFolder]:
    """A place for uploads."""
    folder = UploadFolder()
    yield folder
    folder.close()
