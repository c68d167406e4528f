"""A scenario that is built on the page: its TOML, its checks, undo, and what refers to what."""

from __future__ import annotations

import tomllib

import pytest

from exoabm.errors import InputError
from exoabm.scenario.loader import load, shipped
from exoabm.viz.components.draft_editor import sentence
from exoabm.viz.draft import MOST_ITEMS, MOST_STEPS, NAME, BuiltSetup, Draft, written
from exoabm.viz.draft_fields import fields

BUILT = """\
[info]
title = "Conversion"

[readout]
metric = "cells[helper]"
title = "number of helper cells"

[domain]
size = ["200 um", "300 um"]

[[layout.group]]
cell_type = "tumor"
count = 4

[[layout.group]]
cell_type = "helper"
count = 1

[[vesicle]]
name = "tumor_vesicle"
cargo = ["order"]

[[cargo]]
name = "order"
copies = "50 copies/EV"

[[cell_type]]
name = "tumor"
takes_up = ["tumor_vesicle"]
transformation = { into = "helper", rate = 0 }

[[cell_type]]
name = "helper"
releases = "tumor_vesicle"
release_rate = "0.1 / s"

[[response]]
name = "response_1"
cell_type = "tumor"
signal = "cargo.order"
increases = "transformation_rate"
to = "0.1 / h"
half_max = "50 copies"
"""
ENTRIES = (
    ("setting", 0, "title", "Conversion"),
    ("setting", 0, "size.0", "200"),
    ("cargo", 0, "name", "order"),
    ("cargo", 0, "copies", "50"),
    ("vesicle", 0, "name", "tumor_vesicle"),
    ("vesicle", 0, "cargo", ["order"]),
    ("cell_type", 0, "name", "tumor"),
    ("cell_type", 0, "count.0", "4"),
    ("cell_type", 0, "takes_up", ["tumor_vesicle"]),
    ("cell_type", 1, "count.1", "1"),
    ("cell_type", 1, "releases", "tumor_vesicle"),
    ("cell_type", 1, "release_rate", "0.1 / s"),
    ("response", 0, "cell_type", "tumor"),
    ("response", 0, "signal", "cargo.order"),
    ("response", 0, "effect", "into cells_2"),
    ("response", 0, "to", "0.1"),
    ("response", 0, "half_max", "50"),
    ("setting", 0, "readout", "cells[cells_2]"),
    ("cell_type", 1, "name", "helper"),  # what refers to it follows
)


def built() -> list[Draft]:
    """Every state on the way from an empty draft to a scenario with two types and a response."""
    drafts = [Draft.empty()]
    for kind in ("cargo", "vesicle", "cell_type", "cell_type", "response"):
        drafts.append(drafts[-1].add(kind))
    for entry in ENTRIES:
        drafts.append(drafts[-1].set(*entry))
    return drafts


def test_the_text_is_as_a_person_writes_it_and_can_be_run() -> None:
    drafts = built()
    done = drafts[-1]
    assert done.text == BUILT
    assert done.problems() == []
    assert drafts[0].problems() == ["Add a kind of vesicle.", "Add a type of cell."]
    missing = drafts[-5].problems()
    assert len(missing) == 2, "a response without numbers"
    assert all("this key is required" in problem for problem in missing)
    assert sentence(done.raw, done.raw["response"][0]) == (
        "A tumor cell that receives order turns into helper"
    )
    setup = done.setup(seed=3)
    assert setup.load().scenario.response[0].to.magnitude == 0.1
    assert setup.command == f"exoabm run {NAME}.toml --seed 3"
    faster = setup.changed({"cell_type.helper.release_rate": "90"})
    assert faster.load().scenario.cell_type[1].release_rate.magnitude == 90
    assert faster.command.endswith("--set 'cell_type.helper.release_rate=90 1/h'")


def test_undo_and_redo_pass_through_every_state() -> None:
    drafts = built()
    texts = list(dict.fromkeys(draft.text for draft in drafts))
    now = drafts[-1]
    assert list(now.texts) == texts
    for text in reversed(texts[:-1]):
        now = now.undo()
        assert now.text == text
    assert now.undo() == now
    for text in texts[1:]:
        now = now.redo()
        assert now.text == text
    assert now.redo() == now
    branched = now.undo().set("setting", 0, "title", "Another")
    assert branched.redo() == branched, "what was undone is gone after another change"
    assert len(branched.texts) == len(texts)
    for i in range(MOST_STEPS + 5):
        branched = branched.set("setting", 0, "title", f"t{i}")
    assert len(branched.texts) == MOST_STEPS


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (("cell_type", 1, "release_rate", "-4"), "outside the allowed 0 to 1e+06 1/h"),
        (("cell_type", 1, "release_rate", "3 mm"), "has dimension length"),
        (("cell_type", 1, "release_rate", "many"), "does not start with a number"),
        (("cell_type", 1, "releases", "tumour_vesicle"), "did you mean 'tumor_vesicle'?"),
        (("cell_type", 0, "takes_up", ["tumor_vesicles"]), "did you mean 'tumor_vesicle'?"),
        (("cell_type", 0, "name", "a b"), "a name is a letter"),
        (("cell_type", 0, "name", "helper"), "there is a cell type helper already"),
        (("cell_type", 0, "count.0", "0"), "a whole number from 1"),
        (("response", 0, "to", "5 um"), "expected 1/h"),
        (("response", 0, "effect", "+glow"), "must be one of"),
        (("setting", 0, "title", "x" * 300), "at most 200 characters"),
        (("setting", 0, "table", "/etc/passwd"), "there is no field"),
        (("layout", 0, "table", "/etc/passwd"), "there is no field"),
        (("cell_type", 7, "name", "x"), "there is no field"),
    ],
)
def test_a_wrong_entry_is_refused_in_words(entry: tuple[str, int, str, object], says: str) -> None:
    done = Draft((BUILT,))
    with pytest.raises(InputError, match=says.replace("?", r"\?").replace("+", r"\+")):
        done.set(*entry)


@pytest.mark.parametrize(
    ("kind", "index", "left"),
    [
        ("cargo", 0, []),
        ("vesicle", 0, ["Add a kind of vesicle."]),
        ("cell_type", 1, []),
        ("response", 0, []),
    ],
)
def test_removing_takes_along_what_refers_to_it(kind: str, index: int, left: list[str]) -> None:
    done = Draft((BUILT,))
    removed = done.remove(kind, index)
    assert removed.problems() == left
    assert "response" not in removed.raw or kind == "vesicle"
    assert removed.undo() == Draft(removed.texts)
    assert removed.undo().text == BUILT


@pytest.mark.parametrize("name", sorted(set(shipped()) - {"tissue"}))
def test_every_item_of_every_included_scenario_can_be_renamed(name: str) -> None:
    draft = Draft.empty().taken(load(name))
    items = [
        (kind, index, item["name"])
        for kind in ("cargo", "vesicle", "cell_type", "response")
        for index, item in enumerate(draft.raw.get(kind, []))
        if "name" in item
    ]
    renamed = draft
    for number, (kind, index, _) in enumerate(items):
        renamed = renamed.set(kind, index, "name", f"another_{number}")
    assert renamed.problems() == []
    changes_of(renamed)
    for kind, index, old in items:
        renamed = renamed.set(kind, index, "name", old)
    assert renamed.raw == draft.raw


def changes_of(draft: Draft) -> list[dict[str, object]]:
    """What arms and trial of a draft change, each as a scenario; an unknown key would be refused."""
    loaded, raw = draft.setup().load(), draft.raw
    trial = raw.get("trial", {})
    tables = [each.get("set", {}) for each in (*raw.get("arm", []), trial)]
    tables += [
        {key: trial["assumption"][0].get("values", ["0.5"])[-1]} for key in _keys(trial, "assumption")[:1]
    ]
    return [loaded.changed(table).resolved() for table in tables]


def _keys(trial: dict[str, list[dict[str, list[str]]]], word: str) -> list[str]:
    return [key for table in trial.get(word, []) for key in table["keys"]]


CHANGES = """
[[silence]]
name = "mute"
of = "edge: helper -> tumor"

[[silence]]
name = "one"
of = "cell:1"

[[silence]]
name = "kind"
of = "vesicle:tumor_vesicle"

[[give]]
name = "gift"
to = "cell_type:tumor"
cargo = "order"
copies = 5

[[arm]]
name = "changed"
set = { "cell_type.helper.release_rate" = 0, "layout.group.helper.count" = 2, "response.response_1.to" = 0, \
"cell_type.tumor.takes_up" = ["tumor_vesicle"], "silence.mute.of" = "cell_type:helper", \
"vesicle.tumor_vesicle.half_life" = "1 h", "cargo.order.copies" = 3, "give.gift.cargo" = "order" }

[[arm]]
name = "other"

[trial]
claim = "It differs."
readout = [{ name = "r", metric = "cells[helper]" }]
criterion = [{ readout = "r", arm = "changed", versus = "other", direction = "lower" }]
assumption = [{ name = "a", keys = ["cell_type.helper.releases"], values = ["tumor_vesicle"] }]
between = [{ name = "b", keys = ["cell_type.helper.release_rate", "cargo.order.copies"], cv = 0.1 }]
""".replace("\\\n", "")
"""Tables of BUILT that name its cargo, vesicles, cells and response by dotted keys and selections."""


def test_arms_silencings_and_gifts_follow_a_new_name_and_go_with_what_they_name() -> None:
    draft = Draft((written(tomllib.loads(BUILT + CHANGES)),))
    before = changes_of(draft)
    renamed = draft
    for kind, index in (("cargo", 0), ("vesicle", 0), ("cell_type", 0), ("cell_type", 1), ("response", 0)):
        renamed = renamed.set(kind, index, "name", f"{kind}_x{index}")
    text = renamed.text.replace("half_life", "")
    assert not any(name in text for name in ("helper", "tumor", "order", "response_1"))
    assert [each.keys() for each in changes_of(renamed)] == [each.keys() for each in before]
    raw = renamed.raw
    assert raw["silence"][0]["of"] == "edge:cell_type_x1->cell_type_x0"
    assert raw["trial"]["between"][0]["keys"] == [
        "cell_type.cell_type_x1.release_rate",
        "cargo.cargo_x0.copies",
    ]
    assert raw["trial"]["assumption"][0]["values"] == ["vesicle_x0"]
    without = draft.remove("cell_type", 1).raw
    assert raw["silence"][2]["of"] == "vesicle:vesicle_x0"
    assert [row["name"] for row in without["silence"]] == ["one", "kind"]
    assert set(without["arm"][0]["set"]) == {
        "cell_type.tumor.takes_up",
        "vesicle.tumor_vesicle.half_life",
        "cargo.order.copies",
        "give.gift.cargo",
    }
    assert "trial" not in without, "its only readout was of the cells removed"
    assert "give" not in draft.remove("cargo", 0).raw


TRIAL = """
[[arm]]
name = "one"
set = { "cell_type.tumor.takes_up" = ["tumor_vesicle", "second"], \
"cell_type.helper.releases" = "tumor_vesicle", "clock.step" = "30 s" }

[[arm]]
name = "two"
set = { "cell_type.tumor.takes_up" = ["tumor_vesicle"] }

[trial]
claim = "It differs."
set = { "cell_type.helper.takes_up" = ["tumor_vesicle"] }
readout = [{ name = "r", metric = "cells[tumor]" }, { name = "s", metric = "emitted[tumor_vesicle]" }]
criterion = [{ readout = "r", arm = "one", versus = "two", direction = "lower" }, \
{ readout = "s", arm = "one", versus = "two", direction = "lower" }]
assumption = [{ name = "a", keys = ["cell_type.helper.releases"], values = ["tumor_vesicle", "second"] }, \
{ name = "b", keys = ["cell_type.tumor.takes_up"], values = [["tumor_vesicle"]] }]
""".replace("\\\n", "")


def test_values_and_readouts_of_arms_and_trial_go_with_the_item_that_they_name() -> None:
    """The page would call such a scenario ready, and its trial would not run."""
    second = '[[vesicle]]\nname = "second"\n'
    draft = Draft((written(tomllib.loads(BUILT + second + TRIAL)),))
    assert changes_of(draft)
    without = draft.remove("vesicle", 0)
    raw = without.raw
    assert [arm["set"] for arm in raw["arm"]] == [
        {"cell_type.tumor.takes_up": ["second"], "clock.step": "30 s"},
        {},
    ]
    trial = raw["trial"]
    assert trial["set"] == {}
    assert [row["name"] for row in trial["readout"]] == ["r"]
    assert [row["readout"] for row in trial["criterion"]] == ["r"]
    assert [(row["name"], row["values"]) for row in trial["assumption"]] == [("a", ["second"])]
    first = draft.remove("vesicle", 1).raw["arm"][0]["set"]
    assert first["cell_type.tumor.takes_up"] == ["tumor_vesicle"]
    kept = draft.remove("cell_type", 0).raw["trial"]
    assert [row["name"] for row in kept["readout"]] == ["s"]


@pytest.mark.parametrize(
    ("metric", "renamed"),
    [
        ("copies_per_cell[x,x]", ["copies_per_cell[y, x]", "copies_per_cell[x,x]", "copies_per_cell[x, y]"]),
        ("taken_up[x -> z]", ["taken_up[y -> z]", "taken_up[x -> z]", "taken_up[x -> z]"]),
        ("delivered[x]", ["delivered[x]", "delivered[y]", "delivered[x]"]),
        ("particle_share[x, x]", ["particle_share[x, x]"] * 3),
        ("no readout [x]", ["no readout [x]"] * 3),
    ],
)
def test_of_one_name_of_three_kinds_only_that_of_the_kind_is_changed(metric: str, renamed: list[str]) -> None:
    raw = {kind: [{"name": "x"}] for kind in ("cell_type", "vesicle", "cargo")}
    draft = Draft((written(raw | {"readout": {"metric": metric, "title": "main"}}),))
    for kind, found in zip(raw, renamed, strict=True):
        assert draft.set(kind, 0, "name", "y").raw["readout"]["metric"] == found
        assert ("readout" in draft.remove(kind, 0).raw) is (found == metric)


def test_the_unit_of_a_response_follows_its_behavior() -> None:
    done = Draft((BUILT,)).set("response", 0, "effect", "+division_rate")
    assert "transformation" not in done.raw["cell_type"][0]
    assert "to" not in done.raw["response"][0], "a number of another behavior does not stay"
    third = Draft((BUILT,)).add("cell_type").add("response").set("response", 1, "cell_type", "tumor")
    with pytest.raises(InputError, match="tumor cells already turn into helper"):
        third.set("response", 1, "effect", "into cells_1")


def test_an_included_scenario_is_taken_over_whole() -> None:
    draft = Draft.empty()
    for name in ("signaling", "relay", "tumor_niche", "waste_removal", "exosome_vs_cell_therapy"):
        loaded = load(name, {"info.title": '"Pepper\\u00e9 \\"1\\""'})
        taken = draft.taken(loaded)
        assert taken.setup().load().sha256() == loaded.sha256(), name
        assert taken.undo().text == draft.text
        for kind in ("cargo", "vesicle", "cell_type", "response"):
            for index in range(len(taken.raw.get(kind, []))):
                assert list(fields(taken.raw, kind, index))
    with pytest.raises(InputError, match="read from a table"):
        draft.taken(load("tissue"))


def test_a_built_scenario_reads_no_files_and_is_not_too_long() -> None:
    text = shipped()["tissue"].read_bytes()
    with pytest.raises(InputError, match="reads no files"):
        BuiltSetup(NAME, text=text).load()
    draft = Draft.empty()
    for _ in range(MOST_ITEMS):
        draft = draft.add("cargo")
    with pytest.raises(InputError, match=f"at most {MOST_ITEMS}"):
        draft.add("cargo")
    assert len(tomllib.loads(draft.text)["cargo"]) == MOST_ITEMS
