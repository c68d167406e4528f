"""Donors that became cells of another type: what they released keeps its origin, in rows and in measures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from exoabm import ExosomeModel
from exoabm.analysis.communication import reach
from exoabm.output.expected_events import EventWriter
from exoabm.runs.run_execution import run_to_folder
from exoabm.scenario.loader import LoadedScenario, parse

TEXT = """
info = { title = "donors that change" }
domain = { size = [200, 200], voxel = "10 um", thickness = "10 um" }
clock = { step = "60 s", duration = "3 h" }
record = { events = "1 h" }
transport = { provenance = "PROVENANCE" }
vesicle = [{ name = "ev" }]
[[layout.group]]
cell_type = "young"
count = 6
[[layout.group]]
cell_type = "taker"
count = 3
[[cell_type]]
name = "young"
releases = "ev"
transformation = { into = "ripe", rate = "1 / h" }
[[cell_type]]
name = "ripe"
releases = "ev"
release_rate = "200 / h"
transformation = { into = "old", rate = "2 / h" }
[[cell_type]]
name = "old"
death_rate = "1 / h"
[[cell_type]]
name = "taker"
takes_up = ["ev"]
saturation = "inf"
"""


def changing(provenance: str) -> LoadedScenario:
    return parse(TEXT.replace("PROVENANCE", provenance).encode(), name="changing", folder=Path())


@pytest.mark.parametrize("provenance", ["cell", "cell_type"])
def test_every_release_has_the_donor_and_the_type_that_it_was_of(provenance: str, tmp_path: Path) -> None:
    """Within one interval a cell may be of three types, and die: the rows add up to books kept otherwise."""
    model = ExosomeModel(changing(provenance), seed=3)
    writer = EventWriter(tmp_path, 3600.0)
    model.observe(writer)
    model.run(hours=3)
    writer.close()
    state, dead = model.state, model.state.lineage.dead
    assert state.lineage.transformations.min(initial=9, where=[True, True, False, False]) > 1
    assert len(dead) > 1
    table = pq.read_table(tmp_path / "events.parquet").to_pandas()
    rows: pd.DataFrame = table[table["event"] == "release"]
    sent = rows.groupby("donor")["count"].sum()
    released = dict(zip(state.cells.birth_id, state.released[:, 0], strict=True))
    released |= dict(zip(dead["birth_id"], dead["released"][:, 0], strict=True))
    assert sent.to_dict() == pytest.approx({cell: n for cell, n in released.items() if n}, rel=1e-12)
    assert rows["donor_type"].notna().all()
    of_type = pd.Series(state.balance.emitted[0]).groupby(list(state.labels.types)).sum()
    found = rows.groupby("donor_type", observed=True)["count"].sum()
    assert found.to_dict() == pytest.approx(of_type.to_dict(), rel=1e-12)
    # A cell released as two types within an interval.
    several = rows.groupby(["time_s", "donor"])["donor_type"].nunique().max() > 1
    assert several == (provenance == "cell_type")


@pytest.mark.parametrize("provenance", ["cell", "cell_type"])
def test_a_run_whose_donors_have_all_changed_ends_well(provenance: str, tmp_path: Path) -> None:
    """Distances are those from cells that ever were donors of the type."""
    text = (
        TEXT.replace("PROVENANCE", provenance).replace('"1 / h" }', '"20 / h" }').replace("death_rate", "# ")
    )
    loaded = parse(text.replace('"2 / h" }', '"20 / h" }').encode(), name="changed", folder=Path())
    result = run_to_folder(loaded, tmp_path / "run", seed=3, hours=2)
    assert result.summary["cells"] == {"old": 6, "taker": 3}
    found = result.summary["communication"]["reach"]
    assert found["young" if provenance == "cell_type" else "old"]["mean_um"] > 0


def test_the_reach_of_a_type_counts_those_who_were_of_it() -> None:
    """Young 0 has become ripe: it is still the nearest that was young."""
    state = ExosomeModel(changing("cell_type"), seed=3).state
    way = state.trafficking
    way.encountered[-1, 0, 0] = way.taken_up[-1, 0, 0] = 5.0
    state.cells.position[-1] = state.cells.position[0] + [3.0, 4.0, 0.0]
    before = reach(state)["young"]["mean_um"]
    assert before == pytest.approx(5.0)
    state.lineage.changed.append(
        birth_id=np.array([0]), type=state.cells.type[:1], released=state.released[:1]
    )
    state.cells.type[0] = [t.name for t in state.types].index("old")
    assert reach(state)["young"]["mean_um"] == pytest.approx(before)
