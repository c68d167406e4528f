"""The scenario ``tissue`` on tables of real tissue, and on the layouts of another simulator."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from exoabm import ExosomeModel
from exoabm.errors import InputError
from exoabm.scenario.loader import load
from exoabm.scenario.state_builder import blueprint, census

DATA = Path(__file__).parents[2].parent / "shared" / "data"
REAL = {
    "carcinoma_vectra_6plex": (6072, 2),
    "cd30_tumour_cycif": (3029, 2),
    "mouse_preoptic_merfish_3d": (4390, 3),
    "tnbc_mibi_p29_mixed": (4851, 2),
    "tnbc_mibi_p40_compartmentalised": (4292, 2),
}
PHYSICELL = {
    "v1_interactions_cells": ('{"0" = "tumor"}', {"tumor": 11}),
    "v1_mechano_cells": ('{"0" = "tumor", "1" = "stroma"}', {"tumor": 284, "stroma": 264}),
    "v1_physiboss_cell_lines_cells": ('{"*" = "tumor"}', {"tumor": 486}),
    "v2_cancer_invasion_cells": ('{"epithelial" = "tumor"}', {"tumor": 123}),
    "v2_immune_function_cells": (
        '{"tumor cell" = "tumor", "* T cell" = "lymphocyte"}',
        {"tumor": 20, "lymphocyte": 6, "macrophage": 2},
    ),
    "v2_rules_sample_cells": (
        '{"malignant*" = "tumor", "M0*" = "macrophage", "effector*" = "lymphocyte"}',
        {"tumor": 1000, "macrophage": 150, "lymphocyte": 150},
    ),
}

PICOMETER = 1e-6
"""um; positions are kept to it."""


def table(folder: str, name: str) -> Path:
    path = DATA / folder / f"{name}.csv"
    if not path.is_file():
        pytest.skip(f"{path.name} does not come with the package")
    return path


@pytest.mark.parametrize(("name", "shape"), REAL.items(), ids=REAL)
def test_a_real_tissue_talks(name: str, shape: tuple[int, int]) -> None:
    """Every label is mapped, every cell placed where the table says, and the balance holds."""
    path = table("tissue", name)
    model = ExosomeModel("tissue", seed=1, overrides={"layout.table": str(path)})
    cells, dim = shape
    assert len(model.state.cells) == cells
    assert model.state.domain.dim == dim
    with path.open() as file:
        rows = list(csv.DictReader(file))
    for axis, column in zip(range(dim), ("x_um", "y_um", "z_um"), strict=False):
        at = [float(row[column]) for row in rows]
        assert model.state.cells.position[:, axis] == pytest.approx(at, abs=PICOMETER, rel=0)
    assert "bystander" not in model.state.type_names()
    model.run(hours=0.2)
    assert (np.abs(model.state.balance.residual()) <= 1e-9).all()
    assert f"of {cells} cells are closer" in model.warnings[0]
    graph = model.communication
    assert graph.graph["resolution"] == "cell_type"
    book = model.state.balance.totals()["exosome"]
    inside = sum(book[p] for p in ("endosomal", "lysosomal", "delivered", "recycled"))
    assert sum(w for *_, w in graph.edges(data="weight")) == pytest.approx(inside, rel=1e-9)
    assert set(graph.nodes) == set(model.state.type_names())


def test_a_type_of_the_real_table_is_that_of_its_label() -> None:
    path = table("tissue", "carcinoma_vectra_6plex")
    plan = blueprint(load("tissue", {"layout.table": str(path)}), 1)
    with path.open() as file:
        labels = Counter(row["cell_type"] for row in csv.DictReader(file))
    means = {
        "CK+": "tumor",
        "CD68+": "macrophage",
        "FoxP3+": "regulatory_t",
        "CD8+": "lymphocyte",
        "other": "stroma",
    }
    assert census(plan.types, plan.type_index) == {means[k]: n for k, n in labels.items()}


@pytest.mark.parametrize(("name", "given"), PHYSICELL.items(), ids=PHYSICELL)
def test_a_layout_of_physicell_loads(name: str, given: tuple[str, dict[str, int]]) -> None:
    path, (types, counts) = table("physicell", name), given
    overrides = {"layout.table": str(path), "layout.type_map": types, "domain.voxel": "20 um"}
    model = ExosomeModel("tissue", seed=1, overrides=overrides)
    assert census(model.state.types, model.state.cells.type) == counts
    assert model.state.domain.dim == 2
    model.run(hours=0.1)
    assert (np.abs(model.state.balance.residual()) <= 1e-9).all()


def test_a_layout_whose_types_are_unknown_lists_them_with_their_numbers() -> None:
    path = table("physicell", "v2_rules_sample_cells")
    with pytest.raises(InputError) as error:
        blueprint(load("tissue", {"layout.table": str(path)}), 1)
    for line in (
        "'malignant epithelial cell': 1000 cells",
        "'M0 macrophage': 150 cells",
        "'effector T cell'",
    ):
        assert line in str(error.value)


def test_unmapped_cells_may_stand_by() -> None:
    path = table("physicell", "v1_mechano_cells")
    pairs = {"layout.table": str(path), "layout.type_map": '{"0" = "tumor"}', "layout.unmapped": "bystander"}
    model = ExosomeModel("tissue", seed=1, overrides=pairs)
    model.run(hours=0.1)
    bystanders = model.state.type_names() == "bystander"
    assert bystanders.sum() == 264
    assert not model.state.released[bystanders].any()
    assert not model.state.trafficking.encountered[bystanders].any()
    assert model.state.released[~bystanders].all()


def test_a_table_may_be_in_pixels(tmp_path: Path) -> None:
    (tmp_path / "cells.csv").write_text("x,y,type\n100,200,CK+\n300,500,CD8+\n")
    pairs = {"layout.table": str(tmp_path / "cells.csv"), "layout.unit": "0.5 um"}
    plan = blueprint(load("tissue", pairs), 1)
    assert plan.position[:, :2].tolist() == [[50, 100], [150, 250]]
