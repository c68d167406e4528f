"""Who reached whom, on states made by hand whose answers are known."""

from __future__ import annotations

import math

import networkx as nx
import numpy as np
import pytest

from exoabm import ExosomeModel
from exoabm.accounting.mass_balance import MassBalance, WasteBalance
from exoabm.analysis import communication
from exoabm.analysis.communication_graph import COUNTS
from exoabm.analysis.communication_graph import graph as graph_of
from exoabm.cargo import Cargo, CargoClass
from exoabm.cell_type import CellType, SecretionMode
from exoabm.domain import Domain, Face
from exoabm.errors import InputError
from exoabm.random_streams import Streams
from exoabm.state import RESERVOIR, Cells, Labels, Resolution, State, Trafficking
from exoabm.tables.declarations import TABLES
from exoabm.tables.schema import check
from exoabm.vesicle import DeliveryRoute, VesicleKind

CARGO = (Cargo("note", CargoClass.SIGNAL, 3.0), Cargo("debris", CargoClass.WASTE, 2.0))
KINDS = tuple(
    VesicleKind(
        name=name,
        diameter=0.1,
        diameter_gsd=1.0,
        diffusivity=6.0,
        decay_rate=0.0,
        unbinding_rate=0.0,
        internalization_rate=1.0,
        processing_rate=1.0,
        recycling_probability=0.0,
        delivery_probability=0.5,
        delivery_route=DeliveryRoute.ENDOSOMAL_ESCAPE,
        cargo=cargo,
    )
    for name, cargo in (("small", CARGO[:1]), ("large", CARGO))
)
"""Two kinds: one with a note, one with a note and debris."""


def cell_type(name: str, releases: int | None) -> CellType:
    nothing, never = np.zeros(2), np.full(2, np.inf)
    return CellType(
        name, 10.0, SecretionMode.MEAN, releases, 0.0 if releases is None else 1.0, 1.0, nothing, never
    )


TYPES = (cell_type("red", 0), cell_type("blue", 1), cell_type("ghost", None), cell_type("green", None))
X = np.array([5.0, 15.0, 95.0, 45.0, 75.0])
"""Cells 0 and 1 are red, 2 is blue, 3 and 4 are green; there is no ghost."""


def state(by_cell: bool, *, periodic: bool = False, reservoir: bool = False) -> State:
    """Five cells on a line, in a slab of 10 x 10 voxels of 10 um."""
    if by_cell:
        names, types, of_cell = ["0", "1", "2"], ["red", "red", "blue"], [0, 1, 2, -1, -1]
    else:
        names, types, of_cell = ["red", "blue"], ["red", "blue"], [0, 0, 1, -1, -1]
    if reservoir:
        names, types = [*names, RESERVOIR], [*types, RESERVOIR]
    face = Face.PERIODIC if periodic else Face.NO_FLUX
    domain = Domain((10, 10), 10.0, 5.0, faces=(face, face, *[Face.NO_FLUX] * 4))
    labels = Labels(
        Resolution.CELL if by_cell else Resolution.CELL_TYPE,
        tuple(names),
        tuple(types),
        np.array(of_cell),
    )
    return State(
        domain=domain,
        kinds=KINDS,
        types=TYPES,
        cells=Cells.at(np.column_stack([X, np.full(5, 55.0), np.full(5, 2.5)]), np.array([0, 0, 1, 3, 3])),
        labels=labels,
        streams=Streams(1),
        fields=[np.zeros((len(names), 10, 10)) for _ in KINDS],
        trafficking=Trafficking.empty(5, 2, len(names)),
        balance=MassBalance(("small", "large"), tuple(names)),
        waste_balance=WasteBalance(),
        released=np.zeros((5, 2)),
        time=7200.0,
    )


def meet(
    made: State, cell: int, kind: int, label: int, taken: float, first: float = math.nan, last: float = 60.0
) -> None:
    """A cell met twice as many vesicles as it took up; a quarter was degraded, an eighth delivered."""
    way, at = made.trafficking, (cell, kind, label)
    way.encountered[at], way.bound[at], way.taken_up[at] = 2 * taken, taken / 2, taken
    way.lysosomal[at], way.delivered[at], way.recycled[at] = taken / 4, taken / 8, taken / 16
    way.endosomal[at] = taken * (1 - 1 / 4 - 1 / 8 - 1 / 16)
    way.first_contact[at], way.last_contact[at] = first, last


def conversation(by_cell: bool, **keys: bool) -> State:
    """Red 0 to green 3: 8 small, 16 large; red 1 to 3: 32 small; red 0 to itself: 8; blue to 4: 40."""
    made = state(by_cell, **keys)
    blue = 2 if by_cell else 1
    meet(made, 3, 0, 0, 8, 120, 600)
    meet(made, 3, 1, 0, 16, 60, 300)
    meet(made, 0, 0, 0, 8)
    meet(made, 4, 1, blue, 40, 240, 900)
    if by_cell:
        meet(made, 3, 0, 1, 32, 30, 1200)
    else:
        meet(made, 3, 0, 0, 40, 30, 1200)
    return made


both = pytest.mark.parametrize("by_cell", [True, False], ids=["cell", "cell_type"])


@both
def test_the_matrix_of_types_adds_up_who_sent_what_to_whom(by_cell: bool) -> None:
    """The same at both resolutions; rows send; a type without cells is no column."""
    matrix = communication.type_matrix(conversation(by_cell))
    assert matrix.donors == ("red", "blue")
    assert matrix.recipients == ("red", "blue", "green")
    np.testing.assert_array_equal(matrix.values, [[8, 0, 56], [0, 0, 40]])
    np.testing.assert_allclose(matrix.shares(), [[1 / 8, 0, 7 / 8], [0, 0, 1]])


@both
def test_uptake_is_not_delivery(by_cell: bool) -> None:
    made = conversation(by_cell)
    for count, share in (
        ("encountered", 2),
        ("lysosomal", 1 / 4),
        ("delivered", 1 / 8),
        ("recycled", 1 / 16),
    ):
        np.testing.assert_allclose(
            communication.type_matrix(made, count).values, share * np.array([[8, 0, 56], [0, 0, 40]])
        )
    with pytest.raises(InputError, match="unknown count 'taken'"):
        communication.type_matrix(made, "taken")


def test_a_donor_that_reached_nobody_has_shares_of_zero() -> None:
    matrix = communication.type_matrix(state(False))
    assert matrix.donors == ("red", "blue")
    assert not matrix.values.any()
    assert not matrix.shares().any()


def test_the_edge_table_has_a_row_for_each_origin_recipient_and_kind() -> None:
    table = communication.edge_table(conversation(True))
    assert table.num_rows == 5
    rows = {(r["donor"], r["recipient"], r["vesicle_kind"]): r for r in table.to_pylist()}
    assert set(rows) == {(0, 3, "small"), (0, 3, "large"), (0, 0, "small"), (1, 3, "small"), (2, 4, "large")}
    row = rows[0, 3, "large"]
    assert (row["sender"], row["donor_type"], row["recipient_type"]) == ("cell", "red", "green")
    assert [row[c] for c in COUNTS] == [32, 8, 16, 4, 1, 2]
    copies = {
        (r["donor"], r["recipient"], r["vesicle_kind"], r["cargo"]): r["copies_delivered"]
        for r in communication.cargo_table(conversation(True)).to_pylist()
    }
    assert (copies[0, 3, "large", "note"], copies[0, 3, "large", "debris"]) == (6, 4)
    assert (row["first_time_s"], row["last_time_s"]) == (60, 300)
    assert (0, 3, "small", "debris") not in copies, "this kind carries none"
    assert rows[0, 0, "small"]["first_time_s"] is None
    assert table.schema.metadata[b"resolution"] == b"cell"
    check(TABLES["edges"], table, "here")


def test_an_edge_of_which_only_the_type_is_known_has_no_donor() -> None:
    table = communication.edge_table(conversation(False))
    assert table["donor"].to_pylist() == [None] * 4
    assert sorted(set(table["donor_type"].to_pylist())) == ["blue", "red"]
    assert table.schema.metadata[b"resolution"] == b"cell_type"


def test_the_graph_of_cells() -> None:
    graph = graph_of(conversation(True))
    assert graph.graph["resolution"] == "cell"
    assert graph.graph["time_h"] == 2
    assert set(graph.nodes) == {0, 1, 2, 3, 4}
    assert {e: w for *e, w in ((a, b, w) for a, b, w in graph.edges(data="weight")) for e in [tuple(e)]} == {
        (0, 0): 8,
        (0, 3): 24,
        (1, 3): 32,
        (2, 4): 40,
    }
    assert graph.edges[0, 3] == {
        "donor_type": "red",
        "recipient_type": "green",
        "taken_up[small]": 8,
        "delivered[small]": 1,
        "taken_up[large]": 16,
        "delivered[large]": 2,
        "copies_delivered[note]": 9,
        "copies_delivered[debris]": 4,
        "distance": 1 / 24,
        "distance_um": 40,
        "encountered": 48,
        "bound": 12,
        "taken_up": 24,
        "lysosomal": 6,
        "recycled": 1.5,
        "delivered": 3,
        "weight": 24,
        "first_time_s": 60,
        "last_time_s": 600,
    }
    assert "first_time_s" not in graph.edges[0, 0]
    assert graph.nodes[0] == {
        "label": "red 0",
        "cell_type": "red",
        "x": 5,
        "y": 55,
        "z": 2.5,
        "x_um": 5,
        "y_um": 55,
        "z_um": 2.5,
        "out_strength": 32,
        "in_strength": 8,
    }
    assert graph.nodes[3]["in_strength"] == 56
    assert graph.nodes[3]["out_strength"] == 0


def test_the_graph_of_types() -> None:
    graph = graph_of(conversation(False))
    assert graph.graph["resolution"] == "cell_type"
    assert {n: d["cells"] for n, d in graph.nodes(data=True)} == {"red": 2, "blue": 1, "green": 2}
    assert {(a, b): w for a, b, w in graph.edges(data="weight")} == {
        ("red", "green"): 56,
        ("red", "red"): 8,
        ("blue", "green"): 40,
    }
    assert graph.edges["red", "green"]["first_time_s"] == 30
    assert graph.edges["red", "green"]["last_time_s"] == 1200
    assert graph.nodes["green"]["in_strength"] == 96


@both
def test_of_many_edges_the_strongest_are_made(by_cell: bool) -> None:
    made = conversation(by_cell)
    whole, some = graph_of(made), graph_of(made, 2)
    ranked = sorted(whole.edges(data=True), key=lambda edge: -edge[2]["weight"])
    assert sorted(map(repr, some.edges(data=True))) == sorted(map(repr, ranked[:2]))
    assert dict(some.nodes(data=True)) == dict(whole.nodes(data=True))
    assert some.graph == whole.graph | {"left_out": "all but the 2 strongest edges"}
    assert graph_of(made, 4).graph == whole.graph


@both
def test_a_reservoir_is_a_sender_of_its_own(by_cell: bool, tmp_path) -> None:
    made = conversation(by_cell, reservoir=True)
    meet(made, 4, 0, -1, 100)
    graph = graph_of(made)
    assert graph.nodes[RESERVOIR]["cell_type"] == RESERVOIR
    assert graph.edges[RESERVOIR, 4 if by_cell else "green"]["weight"] == 100
    (row,) = (r for r in communication.edge_table(made).to_pylist() if r["sender"] == RESERVOIR)
    ends = (row["donor"], row["donor_type"], row["recipient"])
    assert (ends, row["taken_up"]) == ((None, None, 4), 100)
    matrix = communication.type_matrix(made)
    assert matrix.donors == ("red", "blue", RESERVOIR)
    assert matrix.values[2].tolist() == [0, 0, 100]
    assert set(communication.reach(made)) == {"red", "blue"}
    nx.write_graphml(graph, tmp_path / "graph.graphml")
    assert nx.read_graphml(tmp_path / "graph.graphml").number_of_edges() == graph.number_of_edges()


def test_the_reach_of_cells_is_the_distance_to_other_cells() -> None:
    """Red: 24 at 40 um, 32 at 30 um, and 8 of 64 of its own; blue: 40 at 20 um."""
    reach = communication.reach(conversation(True))
    assert reach["red"]["autocrine_share"] == pytest.approx(8 / 64)
    assert reach["red"]["mean_um"] == pytest.approx((24 * 40 + 32 * 30) / 56)
    assert reach["red"]["median_um"] == pytest.approx(30)
    assert reach["red"]["q90_um"] == pytest.approx(40)
    assert reach["red"]["basis"] == "donor cell to another cell"
    assert reach["blue"] == {
        "autocrine_share": 0,
        "basis": "donor cell to another cell",
        "mean_um": 20,
        "median_um": 20,
        "q90_um": 20,
    }


def test_the_reach_of_a_type_is_at_least_that_to_its_nearest_cell() -> None:
    """Red to green 3: 30 um from the nearer red cell; what red took up itself counts at 0."""
    reach = communication.reach(conversation(False))
    assert reach["red"]["mean_um"] == pytest.approx(56 * 30 / 64)
    assert "lower bound" in reach["red"]["basis"]
    assert "autocrine_share" not in reach["red"]
    assert reach["red"]["mean_um"] <= communication.reach(conversation(True))["red"]["mean_um"]


def test_distances_go_the_short_way_around_where_faces_are_periodic() -> None:
    """Cell 0 at 5 um and the blue cell 2 at 95 um are 10 um apart around, 90 um across."""
    for periodic, expected in ((True, 10.0), (False, 90.0)):
        made = state(True, periodic=periodic)
        meet(made, 0, 1, 2, 5)
        assert communication.reach(made)["blue"]["mean_um"] == pytest.approx(expected)
        assert communication.nearest_donor_distance(made, "blue")[0] == pytest.approx(expected)
    np.testing.assert_allclose(communication.nearest_donor_distance(state(True)), [0, 0, 0, 30, 20])
    np.testing.assert_array_equal(communication.nearest_donor_distance(state(True), "green"), [math.inf] * 5)


def exponential(length: float, peak: float, *, reservoir: bool = False) -> State:
    """Cell 0 alone sends; the concentration is peak * exp(-distance / length) around it, in two origins."""
    made = state(True, reservoir=reservoir)
    made.labels.of_cell[1:] = -1
    x, y = np.meshgrid(made.domain.centers(0), made.domain.centers(1))
    distance = np.hypot(x - 5, y - 55)
    field = peak * np.exp(-distance / length) * made.domain.voxel_volume
    made.fields[0][0], made.fields[0][1] = 0.75 * field, 0.25 * field
    return made


@pytest.mark.parametrize("threshold", [0.5, 0.1, 0.02])
def test_the_communication_distance_of_an_exponential_is_known(threshold: float) -> None:
    """L ln(peak / threshold), to a tenth of a voxel; 5 % more of L is seen."""
    for factor in (1.0, 1.05):
        found = communication.communication_distance(exponential(20 * factor, 1.0), 0, threshold)
        expected = 20 * math.log(1 / threshold)
        print(found, expected)
        assert (abs(found - expected) < 1.0) == (factor == 1.0 or expected < 20)


def test_the_communication_distance_ends_at_nothing_and_everything() -> None:
    made = exponential(20, 1.0)
    assert communication.communication_distance(made, 0, 2.0) == 0
    assert communication.communication_distance(made, 0, 1e-9) == math.inf
    made.labels.of_cell[:] = -1
    assert communication.communication_distance(made, 0, 0.1) == 0
    assert communication.communication_distance(state(True), 0, 0.1) == 0


def test_the_profile_leaves_obstacles_out() -> None:
    made = exponential(20, 1.0)
    made.domain = Domain((10, 10), 10.0, 5.0, obstacle=np.zeros((10, 10), bool))
    _, before = communication.distance_profile(made, 0)
    made.domain.obstacle[:, 6:] = True
    made.fields[0][:, :, 6:] = 0
    distance, after = communication.distance_profile(made, 0)
    near = distance < 50
    np.testing.assert_allclose(after[near], before[: near.sum()], rtol=1e-12)


@both
def test_the_summary_is_plain_and_adds_up(by_cell: bool) -> None:
    import json

    found = communication.summary(conversation(by_cell), 1e-6)
    json.dumps(found, allow_nan=False)
    assert found["taken_up_by_type"]["red"] == {"red": 8, "blue": 0, "green": 56}
    assert found["share_by_type"]["blue"]["green"] == 1
    assert found["delivered_by_type"]["blue"]["green"] == 5
    assert found["threshold_per_mL"] == pytest.approx(1e6)
    assert found["orientation"] == "rows send, columns receive"


def test_kinds_that_carry_the_same_cargo_are_a_frame_too() -> None:
    model = ExosomeModel("tumor_delivery", seed=1)
    model.run(hours=0.5)
    table = communication.cargo_table(model.state)
    frame = table.to_pandas()
    assert len(frame) == len(table) > 0
    assert set(frame.cargo) == {"drug"}
    assert frame.sender.tolist() == table["sender"].to_pylist()
