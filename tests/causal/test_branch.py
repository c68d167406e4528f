"""Branches differ from their model by the silenced step and its consequences alone."""

import numpy as np
import pytest
from small_tissue import LINEAR, SILENT_RELAYS, model

from exoabm.errors import InputError
from exoabm.output.checkpoint import snapshot
from exoabm.tables.declarations import BALANCE

ENGINES = ("continuum", "vesicles")
DONORS, RELAYS, READERS = range(3), range(3, 9), range(9, 15)


def differing(a, b):
    """Parts of the state in which two models differ by a bit."""
    left, right = snapshot(a.state), snapshot(b.state)
    assert left.keys() == right.keys()
    return [k for k in left if left[k].tobytes() != right[k].tobytes()]


def run(*models, hours=2):
    for each in models:
        each.run(hours=hours)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_branch_without_a_change_repeats_the_model(engine):
    first = model(transport__engine=engine)
    run(first)
    twin, resting = first.branch(), first.branch(silence="cell:10")  # a reader sends nothing
    without_answer = first.branch(silence="cell:0", block="response")  # a donor answers nothing
    changed = first.branch(silence="cell:0")
    before = snapshot(first.state)["cells/cargo"].copy()
    run(changed)
    assert (first.state.cells.cargo == before).all(), "a branch shares no arrays with its model"
    run(first, twin, resting, without_answer)
    for branch in (twin, resting, without_answer):
        assert differing(first, branch) == []
        assert branch.history.rows == first.history.rows
    assert "released" in differing(first, changed)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_branch_is_the_run_that_was_silenced_at_that_time(engine):
    first = model(transport__engine=engine)
    run(first)
    twin = first.branch(silence="cell_type:donor", give="cell:12 message 500")
    run(twin)
    whole = model(transport__engine=engine)
    whole = type(whole)(
        whole.loaded.with_change(silence="cell_type:donor", give="cell:12 message 500", at="2 h"), seed=1
    )
    run(whole, hours=4)
    assert differing(twin, whole) == []
    assert twin.state.cells.cargo[12, 0] > 250


@pytest.mark.parametrize("engine", ENGINES)
def test_differences_add_up_to_the_balance_and_leave_other_donors_alone(engine):
    # 20 silencings at random, of which those of relays change nothing while relays are silent.
    first = model(LINEAR, SILENT_RELAYS, transport__engine=engine)
    run(first, hours=1)
    random = np.random.default_rng(17)
    twins = {}
    for cell in random.integers(0, 15, 20).tolist():
        twins[cell] = twins.get(cell) or first.branch(silence=f"cell:{cell}")
    run(first, *twins.values())
    for cell, twin in twins.items():
        a, b = first.state, twin.state
        change = {place: (b.balance[place] - a.balance[place]).sum() for place in BALANCE}
        emitted = (b.balance.emitted - a.balance.emitted).sum()
        assert sum(change.values()) == pytest.approx(emitted, abs=1e-9)
        assert emitted == pytest.approx(b.released.sum() - a.released.sum(), abs=1e-9)
        assert b.released[cell] <= a.released[cell]
        taken = (b.trafficking.taken_up - a.trafficking.taken_up).sum()
        kept = sum(change[place] for place in ("endosomal", "lysosomal", "delivered", "recycled"))
        assert taken == pytest.approx(kept, abs=1e-9)
        if cell in DONORS:
            assert emitted == -120.0
        if engine == "continuum":  # a field for each donor
            others = [i for i, name in enumerate(a.labels.names) if name != str(cell)]
            for name in ("taken_up", "bound", "delivered"):
                left, right = (getattr(s.trafficking, name)[:, :, others] for s in (a, b))
                assert (left == right).all()
        else:
            rows = [s.vesicles.donor != cell for s in (a, b)]
            columns = ("id", "x", "y", "z", "status", "host", "copies")
            left, right = (
                {n: getattr(s.vesicles, n)[r][np.argsort(s.vesicles.id[r])] for n in columns}
                for s, r in zip((a, b), rows, strict=True)
            )
            for name in columns:
                assert (left[name] == right[name]).all(), name


@pytest.mark.parametrize("engine", ENGINES)
def test_each_block_removes_its_step_only(engine):
    first = model(transport__engine=engine)
    run(first)
    silence = "cell_type:relay"
    uptake, delivery, response = (
        first.branch(silence=silence, block=block) for block in ("uptake", "delivery", "response")
    )
    edge = first.branch(silence="edge:0->reader")
    unread = first.branch(silence="edge:0->reader", block="delivery")
    kind = first.branch(silence="vesicle:exosome", block="delivery")
    before = {n: getattr(first.state.trafficking, n).copy() for n in ("taken_up", "delivered", "encountered")}
    sent = first.state.released.copy()
    run(first, uptake, delivery, response, edge, unread, kind)

    def new(twin, name, cells, donor=None):
        if donor is None:
            return float((getattr(twin.state.trafficking, name) - before[name])[list(cells)].sum())
        tables = [m.edges.to_pandas() for m in (twin, start)]
        frame = [t[(t.donor == donor) & t.recipient.isin(cells)][name].sum() for t in tables]
        return float(frame[0] - frame[1])

    start = model(transport__engine=engine)
    run(start)
    assert new(uptake, "taken_up", RELAYS) == 0 < new(uptake, "encountered", RELAYS)
    assert new(delivery, "delivered", RELAYS) == 0 < new(delivery, "taken_up", RELAYS)
    released = [(m.state.released - sent)[list(RELAYS)].sum() for m in (first, response)]
    assert released[0] > 0
    assert released[1] <= 0.1 * released[0]
    assert new(response, "delivered", RELAYS) > 0
    assert new(edge, "taken_up", READERS, donor=0) == pytest.approx(0, abs=1e-12)
    assert new(edge, "taken_up", READERS, donor=1) > 0 < new(edge, "taken_up", RELAYS, donor=0)
    assert new(unread, "delivered", READERS, donor=0) == pytest.approx(0, abs=1e-12)
    assert new(unread, "taken_up", READERS, donor=0) > 0
    assert new(kind, "delivered", range(15)) == 0


CHOICES = (
    ("cell:0", ("release", "uptake", "delivery", "response")),
    ("cell:10", ("release", "uptake", "delivery", "response")),
    ("cell_type:relay", ("release", "uptake", "delivery", "response")),
    ("edge:1->reader", ("uptake", "delivery")),
    ("edge:relay->11", ("uptake", "delivery")),
    ("vesicle:exosome", ("release", "uptake", "delivery")),
)
GIFTS = (None, "cell:4 message 300", "cell_type:reader message 50")


NULL = {
    *(("cell:0", block) for block in ("uptake", "delivery", "response")),  # a donor takes up nothing
    *(("cell:10", block) for block in ("release", "response")),  # a reader sends and answers nothing
}
"""Silencings that change nothing."""


@pytest.mark.parametrize("engine", ENGINES)
def test_every_combination_of_changes_resumes_to_the_same_bits(engine):
    """Each step of each selection, with a gift in turn: null ones change no bit, branches resume, no loss."""
    first = model(transport__engine=engine, clock__step="30 min")
    run(first, hours=0.5)
    given = {gift: first.branch(give=gift) for gift in GIFTS}
    run(*given.values(), hours=1)
    assert len({each.state.cells.cargo.tobytes() for each in given.values()}) == len(GIFTS)
    combinations = [(of, block) for of, blocks in CHOICES for block in blocks]
    for i, (of, block) in enumerate(combinations):
        gift = GIFTS[(i + ENGINES.index(engine)) % len(GIFTS)]
        twin = first.branch(silence=of, block=block, give=gift)
        run(twin, hours=0.5)
        resumed = twin.branch()
        run(twin, resumed, hours=0.5)
        assert differing(twin, resumed) == [], (of, block, gift)
        if (of, block) in NULL:
            assert differing(twin, given[gift]) == [], (of, block, gift)
        balance, other = twin.state.balance, given[gift].state.balance
        change = sum((balance[place] - other[place]).sum() for place in BALANCE)
        emitted = (balance.emitted - other.emitted).sum()
        assert change == pytest.approx(emitted, abs=1e-9), (of, block, gift)
        if block == "release" and of in ("cell:0", "vesicle:exosome"):
            assert emitted <= -60, (of, block, gift)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"silence": "cell:99"}, "no cell has the birth id 99"),
        ({"silence": "cell_type:dnoor"}, "donor"),
        ({"silence": "cell=3"}, "must be 'cell:17'"),
        ({"silence": "edge:0->3", "block": "release"}, "no recipient"),
        ({"silence": "vesicle:exosome", "block": "response"}, "block = 'delivery'"),
        ({"silence": "cell:3", "block": "uptakes"}, "uptake"),
        ({"block": "uptake"}, "needs silence"),
        ({"give": "cell:3 message"}, "cell:17 CARGO COPIES"),
        ({"give": "cell:3 massage 10"}, "message"),
        ({"give": "vesicle:exosome message 10"}, "cell_type:NAME"),
    ],
)
def test_selections_that_name_nothing_are_refused(change, words):
    first = model()
    with pytest.raises(InputError, match=words):
        first.branch(**change)


def test_an_edge_needs_vesicles_with_an_origin():
    with pytest.raises(InputError, match="provenance = 'cell_type' or 'cell'"):
        model(transport__provenance="none").branch(silence="edge:donor->reader")


def test_an_edge_of_a_cell_needs_donors_that_are_cells():
    first = model(transport__provenance="cell_type")
    with pytest.raises(InputError, match="provenance = 'cell'"):
        first.branch(silence="edge:0->9")
    twin = first.branch(silence="edge:donor->reader")
    run(first, twin)
    taken = [m.state.trafficking.taken_up[list(READERS), 0, 0].sum() for m in (first, twin)]
    assert taken[1] == 0 < taken[0]
