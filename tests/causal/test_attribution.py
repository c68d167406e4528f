"""Attribution to donors: the adjoint against matrix and silenced runs, designs against each other."""

import re
from contextlib import nullcontext
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
from small_tissue import LINEAR, SILENT_RELAYS, loaded, model

from exoabm.batch.execution.row_journal import verify
from exoabm.batch.execution.run_readouts import measure
from exoabm.causal import attribution, coalitions
from exoabm.causal.adjoint import contribution
from exoabm.causal.attribution import adjoint, attribute, duration_note, with_few_labels
from exoabm.causal.coalitions import replicates_of
from exoabm.cell_type import Block, Silence
from exoabm.errors import InputError
from exoabm.runs import measured_runtime
from exoabm.scenario.loader import load
from exoabm.transport.transfer_matrix import check_steady


def still(**keys):
    """The tissue without responses, which the adjoint needs."""
    return model(LINEAR, responses=False, **keys)


@pytest.mark.parametrize("recycling", ["0", "0.4"])
def test_the_adjoint_is_the_transfer_matrix_times_the_weights(recycling):
    first = still(vesicle__exosome__recycling_probability=recycling)
    matrix = first.transfer_matrix()
    weight = np.random.default_rng(1).random(15)
    found = contribution(first.state, 0, weight)[matrix.donors]
    assert found == pytest.approx(matrix.taken_up @ weight[matrix.recipients], rel=1e-11)


def test_the_adjoint_foretells_the_difference_of_two_runs():
    first = still(vesicle__exosome__half_life="1 h")
    first.run(hours=1)
    silent = first.branch(silence="cell:1")
    for each in (first, silent):
        each.run(hours=2)
    sent = first.state.released - silent.state.released
    # From here on no one releases, until every vesicle has met its fate.
    ends = [each.branch(silence="vesicle:exosome") for each in (first, silent)]
    for each in ends:
        each.run(hours=40)
    taken, delivered = (
        [getattr(each.state.trafficking, name).sum(axis=(1, 2)) for each in ends]
        for name in ("taken_up", "delivered")
    )
    readers = np.arange(15) >= 9
    expected = sent[1, 0] * contribution(first.state, 0, readers.astype(float))[1]
    assert (taken[0] - taken[1])[readers].sum() == pytest.approx(expected, rel=1e-7)
    first.state.released[:] = sent
    row = adjoint(first, "delivered_per_cell[reader]").rows[0]
    assert row["group"] == "cell:1"
    assert (delivered[0] - delivered[1])[readers].mean() == pytest.approx(row["effect"], rel=1e-7)


def test_the_adjoint_refuses_what_it_does_not_hold_for():
    with pytest.raises(InputError, match="do not answer"):
        adjoint(model(LINEAR), "delivered[exosome]")
    with pytest.raises(InputError, match="saturates"):
        adjoint(model(responses=False), "delivered[exosome]")
    silenced = still().branch(silence="cell_type:reader", block="uptake")
    with pytest.raises(InputError, match="without silencings"):
        adjoint(silenced, "delivered[exosome]")
    with pytest.raises(InputError, match="a silenced uptake"):
        silenced.transfer_matrix()
    with pytest.raises(InputError, match="effect_mean"):
        adjoint(still(), "effect_mean[reader]")


@pytest.mark.parametrize(("route", "refused"), [("membrane_fusion", True), ("endosomal_escape", False)])
def test_the_transfer_matrix_refuses_a_silenced_delivery_that_changes_it(route, refused):
    """Vesicles that do not fuse are recycled: it is that of P(fusion) = 0. Escape comes after recycling."""
    kind = {"recycling_probability": "0.9", "delivery_probability": "0.9", "delivery_route": route}
    keys = {f"vesicle__exosome__{key}": value for key, value in kind.items()}
    first = still(**keys)
    blocked = first.branch(silence="cell_type:reader", block="delivery")
    without = still(**keys | {"vesicle__exosome__delivery_probability": "0"}).transfer_matrix().taken_up
    if refused:
        assert (without > 1.01 * first.transfer_matrix().taken_up).all()
        with pytest.raises(InputError, match=r"they have a silenced delivery \(by membrane_fusion\)"):
            blocked.transfer_matrix()
    else:
        assert (blocked.transfer_matrix().taken_up == without).all()


@pytest.mark.parametrize("block", [Block.UPTAKE, Block.DELIVERY])
def test_only_silencings_of_the_vesicle_kind_of_the_matrix_count(block):
    state = still(
        vesicle__exosome__recycling_probability="0.4", vesicle__exosome__delivery_route="membrane_fusion"
    ).state
    for kind, refused in ((-1, True), (0, True), (1, False)):
        state.silences = (Silence(block, 0.0, kind=kind),)
        with pytest.raises(InputError, match="a silenced") if refused else nullcontext():
            check_steady(state, 0)


def test_effects_of_a_linear_tissue_add_up_and_designs_agree(tmp_path):
    scenario = loaded(LINEAR, SILENT_RELAYS)
    asked = {"readout": "taken_up[exosome]", "by": "cell", "seeds": 2, "hours": 1}
    one = attribute(scenario, tmp_path / "one", **asked)
    shapley = attribute(scenario, tmp_path / "shapley", design="shapley", **asked)
    left, right = ({row["group"]: row for row in each.rows} for each in (one, shapley))
    assert left.keys() == right.keys() == {f"cell:{i}" for i in range(3)}
    for name, row in left.items():
        assert row["effect"] == pytest.approx(right[name]["effect"], abs=1e-9)
        assert row["sent"] == 60
    assert sum(row["effect"] for row in one.rows) == pytest.approx(one.total, rel=1e-9)
    assert (tmp_path / "one" / "causal.png").stat().st_size > 10_000
    again = attribute(scenario, tmp_path / "one", **asked)
    assert again.rows == one.rows


def test_shapley_values_of_runs_that_do_not_vary_are_those_of_the_definition(tmp_path, monkeypatch):
    """R = 1 if donor 0 and one of 1 and 2 release: values 2/3, 1/6, 1/6, whatever the seed; no interval."""
    worth_of = {frozenset({0, 1}): 1.0, frozenset({0, 2}): 1.0, frozenset({0, 1, 2}): 1.0}

    def records(folder, plan):
        for row in plan.rows:
            silent = {int(key.split(".")[1][1:]) for key, _ in row.overrides}
            worth = worth_of.get(frozenset(range(3)) - silent, 0.0)
            sent = {f"sent[s{i}]": 60.0 for i in range(3)}
            yield {"row": row.name, "readouts": {"taken_up[exosome]": worth} | sent}

    monkeypatch.setattr(attribution, "is_deterministic", lambda model: True)
    monkeypatch.setattr(attribution, "records", records)
    monkeypatch.setattr(attribution, "run_or_resume", lambda *_, **__: SimpleNamespace(failed=0))
    asked = {"readout": "taken_up[exosome]", "by": "cell", "design": "shapley"}
    digests, captions = Mock(wraps=coalitions.row_of), Mock()
    monkeypatch.setattr(coalitions, "row_of", digests)
    monkeypatch.setattr("exoabm.plot.causal.draw_attribution", captions)
    for seeds in (1, 2):
        digests.reset_mock()
        (tmp_path / str(seeds)).mkdir()
        made = attribute(loaded(LINEAR, SILENT_RELAYS), tmp_path / str(seeds), seeds=seeds, **asked)
        found = {row["group"]: row for row in made.rows}
        assert [found[f"cell:{i}"]["effect"] for i in range(3)] == pytest.approx([2 / 3, 1 / 6, 1 / 6])
        assert {(row["n"], row["ci95_low"]) for row in made.rows} == {(1, None)}
        assert captions.call_args.kwargs["caption"].endswith("Design: shapley; exact; no interval.")
        assert digests.call_count == 8  # a run of each coalition is named once
    orders = replicates_of(9, "shapley", 40, 1, certain=True)
    assert len({seed for seed, _ in orders}) == 1
    assert len({tuple(gain.donor for gain in gains) for _, gains in orders}) == 40
    assert len(coalitions.runs_of(orders[:1])) == 10


@pytest.mark.parametrize("certain", [True, False])
def test_one_random_order_is_no_shapley_value(certain):
    with pytest.raises(InputError, match="seeds: must be 2 or more for Shapley values of 5 donors"):
        replicates_of(5, "shapley", 1, 1, certain=certain)
    assert len(replicates_of(5, "one", 1, 1, certain=certain)) == 1
    assert len(replicates_of(1, "shapley", 1, 1, certain=certain)) == 1  # the only order there is


@pytest.mark.parametrize(
    ("secretion", "design", "words"),
    [
        ("mean", "one", r"4 runs \(each of 3 donors silenced, and none\), .*; every seed gives the same run"),
        ("mean", "shapley", r"8 runs \(all coalitions of 3 donors\), .*; every seed gives the same run"),
        ("poisson", "shapley", r"\d+ runs \(5 random orders of 3 donors\), about \d s; donors share"),
    ],
)
def test_the_number_of_runs_is_explained(monkeypatch, secretion, design, words):
    monkeypatch.setattr(measured_runtime, "probe", lambda *_, **__: SimpleNamespace(row_seconds=0.1))
    monkeypatch.setattr(attribution, "is_deterministic", lambda model: secretion == "mean")
    scenario = loaded(LINEAR, SILENT_RELAYS, {"cell_type.donor.secretion": secretion})
    asked = {"readout": "taken_up[exosome]", "by": "cell", "seeds": 5, "seed": 1, "hours": 1, "jobs": 1}
    assert re.match(words, duration_note(scenario, design=design, **asked))


def test_the_adjoint_counts_deliveries_by_the_recipients_own_probability():
    """A type with 30 times the probability of the kind receives 30 times as many deliveries."""
    rest = {"vesicle__exosome__delivery_probability": "0.01"}
    rest, own = (
        adjoint(still(**keys), "delivered_per_cell[reader]", by="type", hours=1).rows[0]["effect"]
        for keys in (rest, rest | {"cell_type__reader__delivery_probability": "0.3"})
    )
    assert own == pytest.approx(30 * rest, rel=1e-12)


def test_with_relays_the_first_donors_cause_more_than_they_send(tmp_path):
    found = attribute(loaded(LINEAR), tmp_path / "a", readout="delivered_per_cell[reader]", seeds=1)
    rows = {row["group"]: row for row in found.rows}
    donor = rows["cell_type:donor"]
    assert donor["effect"] == pytest.approx(found.total, rel=1e-9)  # without donors nothing is sent
    assert donor["sent_share"] < 0.9 < donor["effect"] / found.total
    shares = [row["effect_share"] for row in found.rows]
    assert sum(map(abs, shares)) == pytest.approx(1)
    with pytest.raises(InputError, match="delivered_per_cell"):
        attribute(loaded(LINEAR), tmp_path / "b", readout="delivered_per_cell[raeder]", seeds=1)


def test_donors_share_a_label_where_the_readout_is_a_sum_over_them():
    scenario = loaded({"cell_type.donor.secretion": "poisson"})
    found = {}
    for readout, labels in (("delivered_per_cell[reader]", 1), ("taken_up[donor -> reader]", 9)):
        _, first, name = with_few_labels(scenario, readout, 3)
        assert (len(first.state.labels), name) == (labels, readout)
        first.run(hours=2)
        found[labels] = measure(first)
    shared = {name for name, value in found[1].items() if value is not None} & found[9].keys()
    assert {"delivered_per_cell[reader]", "responding_cells[relay]"} <= shared
    assert {n: found[1][n] for n in shared} == pytest.approx({n: found[9][n] for n in shared}, rel=1e-9)
    assert found[9]["taken_up[donor -> reader]"] > 0
    with pytest.raises(InputError, match="is reserved with"):
        loaded({"cell_type.reader.name": "any", "transport.provenance": "none"}, responses=False)


def test_the_same_call_resumes_an_attribution_and_replaces_it_if_asked(tmp_path):
    """Of a scenario by its name, which has no silencings, unlike the runs: it was said to have changed."""
    asked = {"readout": "taken_up_per_cell[recipient]", "hours": 0.1, "by": "type", "design": "one"}
    made = [attribute(load("two_cells"), tmp_path / "c", seed=1, seeds=1, **asked) for _ in range(2)]
    made.append(attribute(load("two_cells"), tmp_path / "c", seed=1, seeds=1, **asked, overwrite=True))
    assert made[0] == made[1] == made[2]
    assert not verify(tmp_path / "c")
    changed = load("two_cells", {"cell_type.donor.release_rate": "1 / h"})
    with pytest.raises(InputError, match="runs with other settings"):
        attribute(changed, tmp_path / "c", seed=1, seeds=1, **asked)
