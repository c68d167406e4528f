"""Cargo in cells: delivered, decaying, made and exported; receptors; saturable lysosomes; added behaviors."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib.metadata import EntryPoint

import numpy as np
import pytest
from small_scenarios import cells_of, released, world

from exoabm.cells import behaviors
from exoabm.cells.behaviors import Behavior
from exoabm.errors import InputError, NumericalError
from exoabm.parameters.catalog import Parameter

PAIR = """
layout = {{ group = [{{ cell_type = "donor", count = 2 }}, {{ cell_type = "recipient", count = 3 }}] }}
cargo = [{{ name = "rna", copies = {copies}, {cargo} }}, {{ name = "ash", role = "waste", copies = 1 }}]
[[vesicle]]
name = "EV"
cargo = ["rna", "ash"]
delivery_probability = 0.3
processing_rate = "6 / h"
[[cell_type]]
name = "donor"
releases = "EV"
release_rate = "600 / h"
[[cell_type]]
name = "recipient"
takes_up = ["EV"]
"""


def pair(copies: float = 4, cargo: str = 'half_life = "inf"', **keys: object):
    return world(PAIR.format(copies=copies, cargo=cargo), **{"size": 100, **keys})  # type: ignore[arg-type]


def test_expected_copies_that_reach_the_cytosol_stay_if_nothing_decays() -> None:
    model = pair()
    model.run(hours=4)
    state = model.state
    delivered = state.trafficking.delivered[:, 0].sum(axis=1)
    names = [cargo.name for cargo in state.cargos]
    assert names == ["ash", "rna"]
    assert delivered[2:].min() > 1
    assert state.cells.cargo[:, 1] == pytest.approx(4 * delivered, rel=1e-9)
    assert (state.cells.cargo[:, 0] == 0).all()  # waste has a pool of its own


def test_single_vesicles_deliver_the_copies_that_they_carry() -> None:
    model = pair(engine="vesicles")
    model.run(hours=4)
    state = model.state
    edges = state.contacts.edges(0)
    for cell in range(2, 5):
        mine = edges["recipient"] == cell
        copies = edges["copies_delivered_rna"][mine].sum()
        assert state.cells.cargo[cell, 1] == copies > 0
        assert copies != 4 * edges["delivered"][mine].sum()  # not the mean, but each its own


@pytest.mark.parametrize(
    ("cargo", "hours"),
    [
        ('molecule = "mRNA"', 9),
        ('molecule = "miRNA"', 120),
        ('molecule = "protein"', 46),
        ('molecule = "mRNA", half_life = "2 h"', 2),
    ],
)
def test_cargo_decays_by_its_half_life(cargo: str, hours: float) -> None:
    state = pair(cargo=cargo).state
    state.cells.cargo[:, 1] = 100.0
    released(state, hours, 360.0)
    assert state.cells.cargo[:, 1] == pytest.approx([50.0] * 5, rel=1e-9)


@pytest.mark.parametrize("molecule", ["lipid", "small_molecule", "misfolded_protein"])
def test_other_molecules_stay_unless_told_otherwise(molecule: str) -> None:
    assert pair(cargo=f'molecule = "{molecule}"').state.cargos[1].decay_rate == 0


HOLDER = """
layout = {{ group = [{{ cell_type = "cell", arrange = "overlapping", count = {n} }}] }}
cargo = [{{ name = "rna", copies = 2 }}]
vesicle = [{{ name = "EV", cargo = ["rna"] }}]
[[cell_type]]
name = "cell"
secretion = "poisson"
[[cell_type.holds]]
cargo = "rna"
production = "20 / h"
clearance = "0.3 / h"
export = "0.1 / h"
vesicle = "EV"
"""


@pytest.mark.parametrize("dt", [60.0, 3600.0])
def test_expected_copies_settle_where_their_equation_does(dt: float) -> None:
    """20 / 0.4 = 50, of which 5 /h leave, two in each vesicle; whatever the step."""
    state = cells_of(HOLDER.format(n=2))
    released(state, 100, dt)
    assert state.cells.cargo[:, 0] == pytest.approx([50, 50], rel=1e-9)
    assert released(state, 10, dt) == pytest.approx(np.full((2, 1), 25.0), rel=1e-9)


def test_whole_copies_are_poisson_around_them() -> None:
    """Production and loss of single copies: mean and variance 50, to 3 standard errors; steps of 36 s."""
    n = 4000
    state = cells_of(HOLDER.format(n=n), engine="vesicles")
    sent = released(state, 20, 36.0)
    copies = state.cells.cargo[:, 0]
    made = 50 * (1 - math.exp(-0.4 * 20))
    assert copies.mean() == pytest.approx(made, abs=3 * math.sqrt(50 / n) + 0.002 * 50)
    assert copies.var() == pytest.approx(50, rel=3 * math.sqrt(2 / n) + 0.004)
    assert copies.mean() != pytest.approx(made * 1.05, abs=3 * math.sqrt(50 / n) + 0.002 * 50)
    exported = 0.1 * (50 * 20 - made / 0.4) / 2
    assert sent.mean() == pytest.approx(exported, rel=0.01)


@pytest.mark.parametrize("own", ["", ", copies = 20"])
def test_export_takes_as_many_copies_as_its_vesicles_carry(own: str) -> None:
    """A kind may carry other copies than its cargo says; what leaves the pool is in vesicles."""
    text = HOLDER.format(n=1).replace('cargo = ["rna"] }', f'cargo = ["rna"]{own} }}')
    state = cells_of(text.replace("0.3 / h", "0 / h"))
    sent = released(state, 10, 60.0).sum() * (20 if own else 2)
    assert sent > 50
    assert state.cells.cargo.sum() + sent == pytest.approx(200, rel=1e-9)


@pytest.mark.parametrize(("copies", "own", "fine"), [(0, 2, True), (2, 0, False), (0, None, False)])
def test_a_vesicle_that_carries_no_copy_exports_none(copies: int, own: int | None, fine: bool) -> None:
    kind = 'cargo = ["rna"] }' if own is None else f'cargo = ["rna"], copies = {own} }}'
    text = (
        HOLDER.format(n=1).replace("copies = 2 }", f"copies = {copies} }}").replace('cargo = ["rna"] }', kind)
    )
    if fine:
        assert cells_of(text).types[0].pools[0].copies == own
        return
    with pytest.raises(InputError, match="carries 0 copies"):
        cells_of(text)


def test_waste_that_its_vesicles_do_not_carry_is_refused_also_by_the_copies_of_the_kind() -> None:
    text = """
layout = {{ group = [{{ cell_type = "cell", count = 1 }}] }}
cargo = [{{ name = "ash", role = "waste", copies = {copies} }}]
vesicle = [{{ name = "EV", cargo = ["ash"], copies = {own} }}]
[[cell_type]]
name = "cell"
waste = {{ vesicle = "EV", production = "60 / h", export_rate = "1 / h" }}
"""
    waste = cells_of(text.format(copies=0, own=5)).types[0].waste
    assert waste is not None
    assert waste.copies == 5
    with pytest.raises(InputError, match="carries no waste"):
        cells_of(text.format(copies=5, own=0))


BOUND = """
layout = {{ group = [{{ cell_type = "cell", count = 1 }}] }}
vesicle = [{{ name = "EV" {ligand} }}]
[[cell_type]]
name = "cell"
{keys}
"""


def test_receptors_bind_what_has_their_ligand() -> None:
    """k_a = N k_on, R as by Km = (k_off + k_int)/k_on; without ligand or receptor nothing is bound."""
    keys = 'receptor = [{ name = "r", number = 100 }]'
    ligand = ', ligand = "r", binding_rate = "0.5 um^3/s"'
    cell = cells_of(BOUND.format(ligand=ligand, keys=keys)).types[0]
    assert cell.uptake_rate[0] == pytest.approx(50.0)
    assert cell.receptors[0] == 100
    for missing in ({"ligand": "", "keys": keys}, {"ligand": ligand, "keys": ""}):
        assert cells_of(BOUND.format(**missing)).types[0].uptake_rate[0] == 0
    plain = cells_of(BOUND.format(ligand="", keys='takes_up = ["EV"]')).types[0]
    assert plain.uptake_rate[0] == pytest.approx(14.0)
    default = cells_of(BOUND.format(ligand=', ligand = "r"', keys='receptor = [{ name = "r" }]')).types[0]
    assert default.uptake_rate[0] == pytest.approx(14.0, rel=0.01)
    assert default.receptors[0] == pytest.approx(plain.receptors[0], rel=0.01)


CROWD = """
layout = { group = [{ cell_type = "donor", count = 4 }, { cell_type = "cell", count = 12 }] }
vesicle = [{ name = "EV", ligand = "r", binding_rate = "0.5 um^3/s" }]
[[cell_type]]
name = "donor"
releases = "EV"
release_rate = "3000 / h"
[[cell_type]]
name = "cell"
receptor = [{ name = "r", number = 10 }]
"""


def test_a_cell_takes_up_no_faster_than_its_receptors_turn_over() -> None:
    """10 receptors bind at most 10 (k_off + k_int) = 70 vesicles an hour; both engines agree to 3 errors."""
    found = {}
    for engine in ("continuum", "vesicles"):
        model = world(CROWD, size=120, engine=engine, step="10 s")
        model.run(hours=0.5)
        before = model.state.trafficking.encountered.sum()
        model.run(hours=0.5)
        found[engine] = float(model.state.trafficking.encountered.sum() - before)
        assert (
            model.state.trafficking.bound.sum(axis=(1, 2)).max() < 12
        )  # free receptors are counted once a step
    most = 12 * 35
    print(found, most)
    assert 0.6 * most < found["continuum"] < most
    assert found["vesicles"] == pytest.approx(found["continuum"], abs=3 * math.sqrt(most))
    # Without saturation they would take up several times as many.
    assert found["continuum"] < 0.5 * 12 * 5 * 1800 * 0.011


STRESSED = """
layout = {{ group = [{{ cell_type = "cell", count = 3 }}] }}
cargo = [{{ name = "ash", role = "waste", copies = 1 }}]
vesicle = [{{ name = "EV", cargo = ["ash"] }}]
[[cell_type]]
name = "cell"
waste = {{ vesicle = "EV", saturation = {saturation} }}
"""


@pytest.mark.parametrize("dt", [60.0, 600.0])
def test_saturable_lysosomes_settle_higher(dt: float) -> None:
    """100 = 0.5 w/(1 + w/500) + 0.1 w has the root w = 224.7; without saturation w = 166.7."""
    for saturation, expected in (("500", 224.745), ("'inf'", 166.667)):
        state = cells_of(STRESSED.format(saturation=saturation))
        released(state, 60, dt)
        w = state.cells.waste
        assert w == pytest.approx([expected] * 3, rel=1e-4)
    root = 224.745
    assert 0.5 * root / (1 + root / 500) + 0.1 * root == pytest.approx(100, rel=1e-4)


GLOW = Parameter(
    "glow", "G", "Rate at which a cell glows.", "1/h", None, (0.0, 100.0), None, ("assumed",), "assumed"
)


def shine(state, value, dt: float) -> None:
    assert value.shape == (len(state.cells),)
    state.cells.cargo[:, 1] += value * dt


LIGHT = Behavior("glow", (("behavior.glow", GLOW),), act=shine)


@pytest.fixture
def glowing(monkeypatch: pytest.MonkeyPatch):
    """A package that adds a behavior by its entry point."""
    module = type("module", (), {"LIGHT": LIGHT, "wrong": 3})

    def points(group: str):
        return [EntryPoint("glow", glowing.value, group)] if group == behaviors.GROUP else []

    glowing.value = "package:LIGHT"
    monkeypatch.setattr(behaviors, "entry_points", points)
    monkeypatch.setattr(EntryPoint, "load", lambda self: getattr(module, self.value.partition(":")[2]))
    behaviors._of_packages.cache_clear()
    yield glowing
    behaviors._of_packages.cache_clear()


def test_a_package_adds_a_behavior(glowing) -> None:
    text = PAIR.format(copies=1, cargo='half_life = "inf"') + 'behavior = { glow = "6 / h" }\n'
    row = '[[response]]\ncell_type = "recipient"\nsignal = "time"\nincreases = "glow"\n'
    row += 'to = "12 / h"\nhalf_max = "1 s"\nhill = 50\n'
    for rows, expected in (("", 6), (row, 11.9)):  # at rest in the first of 60 steps
        model = world(text + rows, size=100)
        model.run(hours=1)
        delivered = model.state.trafficking.delivered.sum(axis=(1, 2))
        assert model.state.behaviors == ("glow",)
        glow = model.state.cells.cargo[:, 1] - delivered
        assert glow == pytest.approx([0, 0, *[expected] * 3], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("excess", [1e-12, 1e-6])
def test_an_added_behavior_may_remove_all_but_for_rounding(glowing, monkeypatch, excess: float) -> None:
    """0.3 - 0.1 - 0.2 is below 0; a tolerance relative to the amount leaves 0."""

    def dim(state, value, dt: float) -> None:
        state.cells.cargo[:, 1] *= -excess

    monkeypatch.setattr(EntryPoint, "load", lambda self: replace(LIGHT, act=dim))
    behaviors._of_packages.cache_clear()
    text = PAIR.format(copies=1, cargo='half_life = "inf"') + 'behavior = { glow = "6 / h" }\n'
    model = world(text, size=100)
    model.state.cells.cargo[:, 1] = 0.3
    if excess > 1e-9:
        with pytest.raises(NumericalError, match=r"'glow' made the copies of .* amounts are 0 or"):
            model.step()
    else:
        model.step()
        assert (model.state.cells.cargo[:, 1] == 0).all()


def test_an_added_behavior_that_is_none_is_named(glowing) -> None:
    glowing.value = "package:wrong"
    with pytest.raises(InputError, match="'glow' of package:wrong is not a Behavior"):
        pair()


def test_a_behavior_that_nobody_adds_is_named() -> None:
    text = PAIR.format(copies=1, cargo='half_life = "inf"') + 'behavior = { glow = "6 / h" }\n'
    with pytest.raises(InputError, match="no package adds a behavior 'glow'"):
        world(text, size=100)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ('holds = [{ cargo = "rma" }]', "did you mean 'rna'"),
        ('holds = [{ cargo = "ash" }]', "waste has its own table"),
        ('holds = [{ cargo = "rna", vesicle = "VE" }]', "no vesicle of this name"),
        ('holds = [{ cargo = "rna", export = "1 / h" }]', "needs the vesicle that carries it out"),
        ('holds = [{ cargo = "rna" }, { cargo = "rna" }]', "this name is given twice"),
        ('holds = [{ cargo = "rna", initial = -1 }]', "outside the allowed"),
        ('receptor = [{ name = "r" }, { name = "r" }]', "this name is given twice"),
        ("mvb = {}", "needs releases, or sorting"),
        ('mvb = { sorting = [{ vesicle = "EV", share = 0.4 }] }', "must sum to 1"),
        ('mvb = { sorting = [{ vesicle = "VE" }] }', "no vesicle of this name"),
        ('releases = "EV"\nmvb = { secretory_fraction = 0 }', "must be above 0 at rest"),
        ('climbs = { vesicle = "VE" }', "no vesicle of this name"),
        ('follows = { vesicle = "EV" }', "needs single vesicles"),
        ('transformation = { into = "donner" }', "did you mean 'donor'"),
        ("division_rate = '1 um'", "dimension length"),
    ],
)
def test_a_wrong_table_is_named(keys: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        world(PAIR.format(copies=1, cargo='half_life = "inf"') + keys + "\n", size=100)
