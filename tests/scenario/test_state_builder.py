"""From a scenario to cells, grid and origins."""

from __future__ import annotations

import math
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomli_w

from exoabm.domain import Face
from exoabm.errors import InputError, ScenarioError
from exoabm.random_streams import Streams
from exoabm.scenario.loader import load, parse, shipped
from exoabm.scenario.state_builder import Blueprint, blueprint, build_state, census
from exoabm.scenario.step_accuracy import interval_warnings, late_changes
from exoabm.scenario.unused_keys import without_effect
from exoabm.state import RESERVOIR, Resolution


def plan(name: str = "signaling", seed: int = 1, **pairs: object) -> Blueprint:
    overrides = {key.replace("__", "."): str(value) for key, value in pairs.items()}
    return blueprint(load(name, overrides), seed)


def test_a_seed_places_the_same_cells_again_and_another_seed_others() -> None:
    first, again, other = plan(), plan(), plan(seed=2)
    assert (first.position == again.position).all()
    assert not (first.position == other.position).all()


def test_cells_stand_where_their_groups_say() -> None:
    made = plan()
    middle = made.domain.extent / 2
    distance = np.linalg.norm((made.position - middle)[:, :2], axis=1)
    names = np.array([t.name for t in made.types])[made.type_index]
    assert census(made.types, made.type_index) == {"donor": 7, "recipient": 300}
    assert distance[names == "donor"].max() < 40
    assert distance[names == "recipient"].min() >= 40
    assert distance[names == "recipient"].max() <= 520
    assert (made.position[:, 2] == made.domain.thickness / 2).all()


def opposite(faces: str) -> Blueprint:
    """Two cells of 15 um, 5 um apart around the faces along x."""
    text = f"""schema_version = 1
info = {{ title = "t", summary = "s" }}
domain = {{ size = [300, 100], voxel = "10 um", thickness = "15 um", faces = {{ x = "{faces}" }} }}
layout = {{ group = [{{ cell_type = "cell", arrange = "points", points = [[2, 50], [297, 50]] }}] }}
clock = {{ step = "60 s", duration = "1 h" }}
transport = {{ engine = "vesicles", capture = "membrane" }}
cargo = [{{ name = "message" }}]
vesicle = [{{ name = "exosome", cargo = ["message"] }}]
cell_type = [{{ name = "cell", releases = "exosome", takes_up = ["exosome"] }}]
"""
    return blueprint(parse(text.encode(), name="t", folder=Path()), 1)


def test_cells_that_overlap_around_periodic_faces_are_refused_membranes() -> None:
    assert len(opposite("no-flux").position) == 2
    with pytest.raises(InputError, match="2 cells overlap"):
        opposite("periodic")


@pytest.mark.parametrize("arrange", ["random", "overlapping", "lattice", "hexagonal"])
def test_cells_find_room_beside_an_obstacle(arrange: str) -> None:
    spacing = "" if arrange == "overlapping" else ', spacing = "20 um"'
    text = f"""schema_version = 1
info = {{ title = "t", summary = "s" }}
layout = {{ group = [{{ cell_type = "cell", arrange = "{arrange}", count = 40{spacing} }}] }}
clock = {{ step = "60 s", duration = "1 h" }}
cargo = [{{ name = "message" }}]
vesicle = [{{ name = "exosome", cargo = ["message"] }}]
cell_type = [{{ name = "cell", releases = "exosome" }}]
[domain]
size = [300, 300]
voxel = "10 um"
thickness = "15 um"
zone = [{{ name = "pillar", center = [150, 150], radius = "30 um", obstacle = true }}]
"""
    for seed in range(10):
        made = blueprint(parse(text.encode(), name="t", folder=Path()), seed)
        assert len(made.position) == 40
        assert not made.domain.blocked(made.position).any()


def test_numbers_arrive_in_internal_units() -> None:
    kind = plan(vesicle__exosome__diffusivity="6.6e-12 m^2/s", vesicle__exosome__half_life="2 h").kinds[0]
    assert kind.diffusivity == pytest.approx(6.6, rel=1e-12)
    assert kind.decay_rate == pytest.approx(math.log(2) / 7200, rel=1e-12)
    donor, recipient = plan(cell_type__recipient__saturation="10 pM").types
    assert donor.release_rate == pytest.approx(60 / 3600, rel=1e-12)
    assert recipient.uptake_rate[0] == pytest.approx(14.0)
    assert recipient.receptors[0] == pytest.approx(6.022e-3 * 14 * 3600 / 7, rel=1e-3)
    assert donor.uptake_rate[0] == 0
    assert donor.receptors[0] == math.inf
    assert donor.donates
    assert not recipient.donates


def test_origins_are_cells_or_types_and_only_those_that_release() -> None:
    cells = plan().labels
    assert cells.resolution is Resolution.CELL
    assert cells.names == tuple(map(str, range(7)))
    assert cells.types == ("donor",) * 7
    assert cells.of_cell.tolist() == [*range(7), *[-1] * 300]
    types = plan(transport__provenance="cell_type").labels
    assert types.names == types.types == ("donor",)
    assert types.of_cell.tolist() == [*[0] * 7, *[-1] * 300]


def test_a_reservoir_is_an_origin_where_vesicles_come_in_or_nobody_releases() -> None:
    held = plan(domain__faces__x="{concentration = '1e9 / mL'}")
    assert held.labels.names[-1] == RESERVOIR
    assert held.domain.faces[:4] == (Face.FIXED, Face.FIXED, Face.NO_FLUX, Face.NO_FLUX)
    assert held.domain.face_concentration[0] == pytest.approx(1e-3)
    assert plan(domain__faces__x="open").labels.names == plan().labels.names
    silent = plan(cell_type__donor__release_rate="0")
    assert silent.labels.names == (RESERVOIR,)
    assert (silent.labels.of_cell == -1).all()


def test_a_domain_fitted_to_a_table_holds_its_cells_with_a_margin() -> None:
    made = plan("tissue")
    low, high = made.position.min(axis=0), made.position.max(axis=0)
    np.testing.assert_allclose(made.domain.low[:2], low[:2] - 20)
    top = (made.domain.low + made.domain.extent)[:2]
    assert (top >= high[:2] + 20 - 1e-9).all()
    assert (top <= high[:2] + 30).all()


ZONES = """
info = { title = "zones" }
vesicle = [{ name = "EV" }]
cell_type = [{ name = "a", releases = "EV" }]
layout = { group = [{ cell_type = "a" }] }
transport = { hindrance = 0.5 }
[domain]
size = [100, 60]
zone = [
    { name = "slow", low = [0, 0], high = [50, 60], hindrance = 0.1 },
    { name = "wall", center = [75, 35], radius = 6, obstacle = true },
    { name = "fast", low = [0, 0], high = [10, 10], hindrance = 1 },
]
"""


def test_later_zones_lie_over_earlier_ones() -> None:
    domain = blueprint(parse(ZONES.encode(), name="zones", folder=Path()), 0).domain
    expected = np.full((6, 10), 0.5)
    expected[:, :5] = 0.1
    expected[0, 0] = 1.0
    np.testing.assert_array_equal(domain.hindrance, expected)
    assert domain.obstacle is not None
    assert np.argwhere(domain.obstacle).tolist() == [[3, 7]]


def test_a_zone_of_the_same_hindrance_is_no_zone() -> None:
    text = ZONES.replace("0.1", "0.5").replace("hindrance = 1 ", "hindrance = 0.5 ")
    assert blueprint(parse(text.encode(), name="zones", folder=Path()), 0).domain.hindrance == 0.5


@pytest.mark.parametrize(
    ("rule", "where"),
    [
        ("z = 'periodic'", "domain.faces.z: a slab"),
        ("z_high = 'open'", "domain.faces.z_high: a slab"),
        ("z_low = { concentration = 1 }", "domain.faces.z_low: a slab"),
        ("z = 'no-flux'", None),
    ],
)
def test_a_slab_has_no_faces_along_z(rule: str, where: str | None) -> None:
    flat = ZONES.replace("[domain]", f"[domain]\nfaces = {{ {rule} }}")
    if where is None:
        assert blueprint(parse(flat.encode(), name="flat", folder=Path()), 0).domain.dim == 2
    else:
        with pytest.raises(InputError, match=where):
            blueprint(parse(flat.encode(), name="flat", folder=Path()), 0)


def test_unmapped_cells_stand_by(tmp_path) -> None:
    table = tmp_path / "cells.csv"
    table.write_text("x_um,y_um,cell_type\n1,2,CK+\n60,4,Odd\n")
    made = plan("tissue", layout__table=table, layout__unmapped="bystander")
    assert census(made.types, made.type_index) == {"tumor": 1, "bystander": 1}
    assert not made.types[-1].donates
    assert not made.types[-1].uptake_rate.any()


def test_cells_that_overlap_are_kept_and_counted(tmp_path) -> None:
    table = tmp_path / "cells.csv"
    table.write_text("x_um,y_um,cell_type\n1,2,CK+\n5,2,CK+\n60,4,CK+\n")
    made = plan("tissue", layout__table=table)
    assert len(made.position) == 3
    assert any("2 of 3 cells are closer" in w and "4 um" in w for w in made.warnings)


def test_what_a_reader_should_know_is_said() -> None:
    made = plan(cell_type__donor__release_rate="9e5", record__metrics="1 s", clock__step="60 s")
    rate, interval = made.warnings
    assert "cell_type.donor.release_rate" in rate
    assert "published" in rate
    assert "record.metrics" in interval


def test_records_that_are_due_within_steps_are_said_to_be_late() -> None:
    keys = {"clock.step": "60 s", "record.cells": "300 s"}
    (words,) = interval_warnings(load("two_cells", keys | {"record.metrics": "90 s"}).scenario)
    assert words.startswith("record.metrics = 90 s is not a multiple of clock.step")
    assert not list(interval_warnings(load("two_cells", keys | {"record.metrics": "120 s"}).scenario))


def test_what_begins_after_the_end_of_the_run_is_said() -> None:
    late = load("delivery_routes", {"dose.dose.start": "30 h"}).extended(
        silence=[
            {"name": "late", "of": "cell_type:target", "start": "31 h"},
            {"name": "soon", "of": "cell_type:target", "start": "29 h"},
        ],
    )
    said = [words.split(" = ")[0] for words in late_changes(late.scenario, 30 * 3600.0)]
    assert said == ["dose.dose.start", "silence.late.start"]
    assert list(late_changes(late.scenario, 32 * 3600.0)) == []
    often = load("delivery_routes", {"dose.dose.repeats": "4", "dose.dose.interval": "12 h"}).scenario
    (words,) = late_changes(often, 30 * 3600.0)
    assert words == "dose.dose.repeats = 4: 3 of them begin before the end of the run, 30 h"


def test_what_begins_within_a_step_is_said_to_act_at_its_end_and_gifts_at_its_start() -> None:
    row, cargo = {"of": "cell_type:donor"}, {"to": "cell_type:donor", "cargo": "signal", "copies": 1}
    held = load("two_cells", {"clock.step": "60 s"})
    within = held.extended(
        silence=[{"name": "s", "start": "90 s"} | row], give=[{"name": "g", "time": "90 s"} | cargo]
    )
    silence, gift = late_changes(within.scenario, 3600.0)
    assert silence.endswith("it acts from 120 s on")
    assert gift.endswith("it is given at 60 s")
    assert list(late_changes(within.scenario, 3600.0, [30.0])) == []  # steps start at 30 s, 90 s, ...
    last = held.extended(silence=[{"name": "s", "start": "3570 s"} | row]).scenario
    assert "no step begins" in next(late_changes(last, 3600.0))
    assert "acts from 3600 s" in next(late_changes(last, 3601.0))
    (words,) = late_changes(last, 3601.0, [3585.0, 3600.0])
    assert words.endswith("acts from 3585 s on")


def test_a_state_starts_empty_and_balanced() -> None:
    loaded = load("waste_removal")
    state = build_state(loaded, blueprint(loaded, 1), Streams(1))
    assert state.labels.names == ("stressed", "senescent")  # none is senescent yet, but will be
    assert [f.shape for f in state.fields] == [(4, 60, 60)]  # two sizes of each
    assert state.fields[0].dtype == np.float64
    assert not state.balance.residual().any()
    assert (state.cells.birth_id == np.arange(132)).all()
    assert state.type_names()[[0, -1]].tolist() == ["stressed", "macrophage"]


def test_the_same_cell_may_not_be_asked_for_twice() -> None:
    with pytest.raises(InputError, match="twice"):
        plan(layout__group__recipient__name="donor")


ADDED_ENGINE = """
import numpy as np
from exoabm.accounting.step_records import TransportResult
from exoabm.transport.engine import ENGINES, EngineDeclaration

class Courier:
    name = "courier"
    at_once = None

    def advance(self, state, sources, dt):
        shape = len(state.cells), len(state.kinds), len(state.labels)
        captured, rows = np.zeros(shape), sources.joined()
        np.add.at(captured, (1, rows.kind, rows.label), rows.count)
        return TransportResult(captured, *(np.zeros(shape[1:]) for _ in range(3)))

    def bind(self, state):
        pass

    def free(self, state):
        return np.zeros((len(state.kinds), len(state.labels)))

ENGINES["courier"] = EngineDeclaration(lambda *_: Courier(), follows_vesicles=False)

from exoabm import ExosomeModel
from exoabm.errors import ScenarioError

simple = {f"vesicle.exosome.{key}": 0 for key in ("unbinding_rate", "recycling_probability")}
simple |= {"vesicle.exosome.diameter_gsd": 1, "transport.engine": "courier"}
model = ExosomeModel("two_cells", seed=1, overrides=simple)
for _ in range(10):
    model.step()
met = model.state.trafficking.encountered.sum(axis=(1, 2))
print(model.engine.name, model.state.balance.emitted.sum(), *met)
try:
    ExosomeModel("two_cells", overrides={"transport.engine": "mail"})
except ScenarioError as error:
    print(error)
"""


def test_an_engine_is_added_by_one_row(tmp_path: Path) -> None:
    """It hands every vesicle to the recipient at once, so that none is ever free."""
    done = subprocess.run(
        [sys.executable, "-c", ADDED_ENGINE], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    first, *error = done.stdout.splitlines()
    assert first == "courier 10.0 0.0 10.0"
    assert "must be 'continuum', 'vesicles' or 'courier'" in error[-1]


@pytest.mark.parametrize("donor", ["500 um", "362 um"])
@pytest.mark.parametrize("point", [[85, 105, 105], [305, 305, 305]])
def test_a_cell_of_too_many_voxels_is_refused_with_the_voxel_that_it_needs(donor, point) -> None:
    """At a face and amid the domain, before the engine is made: what is valid can run."""
    given = {"cell_type.donor.diameter": donor, "layout.group.donor.points": str([point])}
    given |= {"domain.size": '["600 um", "600 um", "600 um"]'}
    least = {"500 um": "13.889 um", "362 um": "10.056 um"}[donor]
    with pytest.raises(ScenarioError, match=f"too fine for a donor .* {donor} .use at least {least}"):
        blueprint(load("two_cells", given), seed=0)
    for size in ("360 um", "30 um"):
        blueprint(load("two_cells", given | {"cell_type.donor.diameter": size}), seed=0)
    into = {"cell_type.donor.transformation": '{ into = "recipient" }', "cell_type.recipient.diameter": donor}
    all_donors = {"layout.group.recipient.name": "b", "layout.group.b.cell_type": "donor"}
    small = {"cell_type.donor.diameter": "15 um"}
    with pytest.raises(ScenarioError, match="too fine for a recipient"):
        blueprint(load("two_cells", given | into | all_donors | small), seed=0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"cell_type.donor.uptake_rate": "50 um^3/s"},
            ["donor.uptake_rate = 50 um^3/s has no effect without takes_up"],
        ),
        ({"cell_type.donor.persistence": "1 h"}, ["donor.persistence = 1 h has no effect without motility"]),
        ({"cell_type.recipient.secretion": "poisson"}, ["without releases or waste or mvb or holds"]),
        ({"vesicle.exosome.binding_rate": "1e5 / M / s"}, ["has no effect without ligand"]),
        ({"cell_type.donor.persistence": "0 h"}, []),
        (
            {
                "vesicle.exosome.ligand": "integrin",
                "cell_type.recipient.receptor": '[{ name = "integrins" }]',
            },
            [
                "exosome.ligand = 'integrin': no cell type has this receptor; did you mean 'integrins'?",
                "recipient.receptor = 'integrins': no vesicle has this ligand; did you mean 'integrin'?",
            ],
        ),
        ({"vesicle.exosome.ligand": "a", "cell_type.recipient.receptor": '[{ name = "a" }]'}, []),
    ],
)
def test_a_value_that_nothing_uses_is_told(given: dict[str, str], said: list[str]) -> None:
    """A default is not, nor any value of an included scenario, which says again what is the default."""
    found = [w for w in plan("two_cells", **given).warnings if "plausible" not in w and "saturation" not in w]
    assert len(found) == len(said)
    assert all(words in warning for words, warning in zip(said, found, strict=True))


DOSE = """[[dose]]
name = "bolus"
vesicle = "exosome"
route = "tissue"
particles = 100
interval = "5 h"
center = ["100 um", "100 um", "100 um"]
reach = "50 um"
"""


def test_an_idle_key_of_a_dose_is_told_from_a_file_and_by_hand() -> None:
    """In a file with arms it may be for one of these; set by hand it is for this run."""
    idle = "dose.bolus.interval = 5 h has no effect with the other keys of its table"
    text = f"{load('two_cells').written()}\n{DOSE}"
    for rows, told in ((text, True), (text.replace("interval", "repeats = 2\ninterval"), False)):
        plan = blueprint(parse(rows.encode(), name="test", folder=Path()), 1)
        assert (idle in plan.warnings) == told
    loaded = load("tissue_repair")
    assert loaded.scenario.arm
    assert not [each for each in blueprint(loaded, 1).warnings if "has no effect with" in each]
    for key, value in (("treatment.interval", "5 h"), ("graft.cells", "7.0")):
        by_hand = blueprint(load("tissue_repair", {f"dose.{key}": value}), 1).warnings
        assert f"dose.{key} = {value} has no effect with the other keys of its table" in by_hand


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"to": "0 / h"},
            "response.handing_on changes nothing: release_rate is 0 1/h at rest and at full signal",
        ),
        ({"cell_type": "nobody"}, "response.handing_on has no effect: there is no cell of the type nobody"),
    ],
)
def test_a_response_without_an_effect_is_told(change: dict[str, str], said: str) -> None:
    raw = tomllib.loads(load("relay").written())
    assert not [each for each in blueprint(load("relay"), 1).warnings if "response" in each]
    row = next(each for each in raw["response"] if each["name"] == "handing_on")
    relay = next(each for each in raw["cell_type"] if each["name"] == row["cell_type"])
    raw["cell_type"].append({**relay, "name": "nobody"})
    row |= change
    loaded = parse(tomli_w.dumps(raw).encode(), name="test", folder=Path())
    assert said in blueprint(loaded, 1).warnings


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_value_of_an_included_scenario_has_an_effect(name: str) -> None:
    loaded = load(name)
    assert not list(without_effect(loaded.scenario))
    written = tomli_w.dumps(loaded.resolved()).encode()
    assert not list(without_effect(parse(written, name=name, folder=loaded.folder).scenario))
