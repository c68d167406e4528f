"""From the labels of a table to the cell types of a scenario."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exoabm.errors import InputError
from exoabm.readers.cell_types import map_labels

KNOWN = ["tumor", "immune", "stroma"]


def meant(labels, rules, unmapped="error", **more):
    counts = {label: labels.count(label) for label in labels}
    meaning = map_labels(counts, rules, KNOWN, unmapped, **more)
    return [meaning[label] for label in labels]


def test_order_of_rules():
    labels = ["CD8+", "CD4+", "CD68+", "tumor", "B", "B", "Tumor CD30+ KI67+", "*"]
    rules = {"CD*": "immune", "CD4+": "stroma", "CD6*": "tumor", "B": "immune", "Tu*+": "tumor",
             "*x": "tumor"}  # fmt: skip
    assert meant(labels[:-1], rules) == ["immune", "stroma", "immune", "tumor", "immune", "immune", "tumor"]
    assert meant(labels, {"*": "stroma"}) == ["stroma"] * 8


def test_only_the_star_is_special():
    rules = {"CD8+": "immune", "a.c*": "tumor", "[x]*": "tumor", "q?": "tumor"}
    labels = ["CD8+", "a.c1", "[x]1", "q?", "CD88", "abc1", "x1", "qq", "cd8+"]
    assert meant(labels, rules, "bystander") == ["immune", "tumor", "tumor", "tumor", *["bystander"] * 5]


def test_a_derived_class_is_of_its_class_where_nothing_else_is_said():
    labels = ["Tumor", "Tumor: CD8", "Tumor: CD8: Ki67", "Stroma: x"]
    rules = {"Tumor": "tumor", "Tumor: CD8": "immune", "Stroma": "stroma"}
    assert meant(labels, rules, class_prefix=True) == ["tumor", "immune", "immune", "stroma"]
    with pytest.raises(InputError, match="'Stroma: x': 1 cells"):
        meant(labels, rules)


def test_unmapped_labels_are_listed_with_their_counts_and_a_table_to_paste():
    labels = ["B", "NK", "tumor", "B", "MF/Glia", 'say "no"', "dot.ted", "\x1b[31m"]
    with pytest.raises(InputError) as error:
        meant(labels, {})
    message = str(error.value)
    assert message.splitlines()[1:3] == ["  'B': 2 cells", "  '\\x1b[31m': 1 cells"]
    assert "\x1b" not in message
    pasted = tomllib.loads(message[message.index("[layout.type_map]") :])["layout"]["type_map"]
    assert pasted == dict.fromkeys(set(labels) - {"tumor"}, "bystander")
    assert meant(labels, pasted)[0] == "bystander"


def test_many_unmapped_labels_do_not_fill_the_screen():
    with pytest.raises(InputError, match="and 960 more labels; is this the column"):
        meant([str(i) for i in range(1000)], {})


def test_map_to_a_type_that_is_not_there():
    with pytest.raises(InputError, match=r"'B' = 'tumour': no such cell type; did you mean 'tumor'"):
        meant(["B"], {"B": "tumour"})
    with pytest.raises(InputError, match="one of error, bystander"):
        meant(["B"], {}, "ignore")
    assert meant(["B"], {"B": "bystander"}) == ["bystander"]


@given(labels=st.lists(st.sampled_from(["a", "b+", "c d"]), max_size=30))
def test_the_order_of_labels_does_not_matter(labels):
    rules = {"a": "tumor", "b*": "immune"}
    assert meant(labels[::-1], rules, "bystander") == meant(labels, rules, "bystander")[::-1]
