"""Tables as instruments write them: each opens as it must, or asks, with the option that settles it."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from exoabm.errors import InputError
from exoabm.readers.cell_table import check_distinct_positions, plausibility_warnings, read_cells
from exoabm.readers.options import AmbiguousTable, TableOptions

CASES = Path(__file__).parent / "cases"
TISSUE = {"CK+": 107, "other": 59, "CD68+": 34}
SMALL = {"tumor": 18, "stroma": 9, "macrophage": 9}
OWN, REGIONS = "common column names", "steinbock or scikit-image"
TWO = {"tumor": 1, "stroma": 1}


def case(name, **said):
    return read_cells(CASES / name, TableOptions(**said))


def asked(name, **said):
    """What a table asks, as one text."""
    with pytest.raises(AmbiguousTable) as error:
        case(name, **said)
    return str(error.value)


OPENS = [  # file, what is said, source, labels, x from, x to
    ("tables/qupath05_cells.tsv", {}, "QuPath", TISSUE, 0.34, 299.94),
    ("tables/qupath_px.csv", {"unit": "0.5 um"}, "QuPath", TISSUE, 0.34, 299.94),
    ("tables/qupath_two_images.csv", {"where": ("Image=slide1.ome.tif",)}, "QuPath", TISSUE, 0.34, 299.94),
    ("tables/merscope_typed.csv", {}, "MERSCOPE", TISSUE, 1000.34, 1299.94),
    ("tables/scimap_obs.csv", {"unit": "0.65 um"}, "MCMICRO or scimap", TISSUE, 0.34, 299.94),
    (
        "tables/scimap_two_images.csv", {"unit": "0.65 um", "where": ("imageid=img1",)},
        "MCMICRO or scimap", TISSUE, 0.34, 299.94,
    ),
    ("tables/cosmx_metadata_typed.csv", {"unit": "0.12028 um"}, "CosMx", TISSUE, 3.97, 751.5),
    ("tables/inform_cell_seg_data.txt", {"unit": "0.5 um"}, "inForm", TISSUE, 0, 299.5),
    ("tables/steinbock_regionprops_typed.csv", {"unit": "1 um"}, REGIONS, TISSUE, 0.34, 299.94),
    ("mixed/02-pixels-as-um/cells_in_um.csv", {}, OWN, SMALL, 8.91, 112.43),
    ("mixed/05-spare-columns/duplicate_marker.csv", {}, OWN, TWO, 10, 50),
    ("mixed/05-spare-columns/trailing.csv", {}, OWN, TWO, 10, 50),
    ("mixed/05-spare-columns/two_headers.csv", {}, OWN, TWO, 10, 50),
    ("mixed/22-headers-of-instruments/comment.csv", {}, OWN, TWO, 10, 50),
    ("mixed/22-headers-of-instruments/sep_line.csv", {}, OWN, TWO, 10, 50),
    ("mixed/22-headers-of-instruments/r_rownames.csv", {}, OWN, TWO, 10, 50),
    ("mixed/22-headers-of-instruments/unicode_minus.csv", {}, OWN, TWO, -10, 50),
    ("mixed/22-headers-of-instruments/qupath.csv", {}, "QuPath", {"Tumor": 1, "Stroma": 1}, 10, 50),
    ("mixed/22-headers-of-instruments/cosmx2.csv", {}, "CosMx", TWO, 10, 510),
    ("mixed/22-headers-of-instruments/cosmx.csv", {"unit": "0.5 um"}, "CosMx", TWO, 5, 2133),
    ("mixed/22-headers-of-instruments/cellprofiler.csv", {"unit": "0.5 um"}, "CellProfiler", TWO, 12.75, 22),
    ("mixed/22-headers-of-instruments/regionprops.csv", {"unit": "1 um"}, REGIONS, TWO, 12.2, 50.9),
    ("mixed/22-headers-of-instruments/visium.csv", {"unit": "0.5 um"}, "Visium", TWO, 100, 200),
    (
        "mixed/22-headers-of-instruments/halo.csv", {"unit": "0.5 um", "cell_type": "Classifier Label"},
        "HALO", {"Tumour": 1, "Stroma": 1}, 55, 105,
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "said", "source", "labels", "low", "high"), OPENS, ids=[row[0] for row in OPENS]
)
def test_opens(name, said, source, labels, low, high):
    table = case(name, **said)
    assert table.source == source
    assert Counter(table.types.tolist()) == labels
    assert table.positions[:, 0].min() == pytest.approx(low, abs=0.01)
    assert table.positions[:, 0].max() == pytest.approx(high, abs=0.06)
    assert len(set(table.ids)) == len(table)


ASKS = [  # file, what is said, what is asked
    ("tables/qupath_px.csv", {}, "layout.unit=0.5 um"),
    ("tables/scimap_obs.csv", {}, "layout.unit=0.65 um"),
    ("tables/mcmicro_quant.csv", {"unit": "0.65 um"}, "layout.types_from=FILE"),
    ("tables/cosmx_metadata_typed.csv", {}, "layout.unit=0.12028 um"),
    ("tables/inform_cell_seg_data.txt", {}, "layout.unit=0.5 um"),
    ("tables/steinbock_regionprops_typed.csv", {}, "layout.unit=1 um"),
    ("tables/cellprofiler_Cells.csv", {}, "layout.unit=0.5 um"),
    ("tables/cellprofiler_Cells.csv", {"unit": "0.5 um"}, "layout.cell_type="),
    ("tables/xenium_cells.parquet", {}, "layout.types_from=FILE"),
    ("tables/xenium_cells.csv.gz", {}, "layout.types_from=FILE"),
    ("tables/qupath_two_images.csv", {}, "layout.where=Image=slide2.ome.tif"),
    ("tables/scimap_two_images.csv", {"unit": "0.65 um"}, "layout.where=imageid=img1"),
    ("mixed/02-pixels-as-um/cells.csv", {}, "layout.unit="),
    ("mixed/21-page-units/cells.csv", {}, "layout.unit=0.5 um"),
    ("mixed/22-headers-of-instruments/halo.csv", {"unit": "0.5 um"}, "layout.cell_type=Classifier Label"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "said", "option"), ASKS)
def test_asks(name, said, option):
    assert option in asked(name, **said)


def test_all_that_is_open_is_asked_at_once():
    message = asked("tables/scimap_two_images.csv")
    assert "layout.unit=" in message
    assert "layout.where=" in message


def test_pixels_given_their_width_are_the_cells_in_um():
    a, b = (
        case("mixed/02-pixels-as-um/cells.csv", unit="0.325 um"),
        case("mixed/02-pixels-as-um/cells_in_um.csv"),
    )
    np.testing.assert_array_equal(a.positions, b.positions)


def test_pixels_taken_for_um_are_warned_of():
    (warning,) = case("mixed/02-pixels-as-um/cells.csv", unit="um").warnings[:1]
    assert "where 4 to 25 um are usual" in warning
    assert "were read as um" in warning


SAME = [
    ("qupath05_cells.tsv", {}),
    ("qupath_px.csv", {"unit": "0.5 um"}),
    ("merscope_typed.csv", {}),
    ("scimap_obs.csv", {"unit": "0.65 um"}),
]


def test_the_same_cells_from_four_instruments_have_the_same_differences():
    """Wherever their origin is: MERSCOPE's is 1,000 and 2,000 um away."""
    tables = [case(f"tables/{name}", **said) for name, said in SAME]
    for table in tables[1:]:
        np.testing.assert_array_equal(
            table.positions - table.positions[0], tables[0].positions - tables[0].positions[0]
        )
        assert table.types.tolist() == tables[0].types.tolist()
        assert table.y_down


@pytest.mark.parametrize("name", ["cells.csv.gz", "semicolon_comma.csv", "tab.tsv"])
def test_separators(name):
    table = case(f"mixed/07-delimiters/{name}")
    assert table.positions[:, 0].tolist() == table.positions[:, 1].tolist() == [10, 40, 70, 100]
    assert Counter(table.types.tolist()) == {"tumor": 2, "stroma": 2}


@pytest.mark.parametrize(
    ("folder", "words"), [("03-float-codes", {"1": 2, "2": 2}), ("06-bool-type", {"True": 2, "False": 2})]
)
def test_labels_are_the_same_from_every_format(folder, words):
    for name in ("cells.csv", "cells.parquet"):
        assert Counter(case(f"mixed/{folder}/{name}").types.tolist()) == words


def test_a_blank_class_is_a_label():
    table = case("tables/qupath_blank_class.csv")
    assert Counter(table.types.tolist()) == {"CK+": 97, "other": 51, "CD68+": 32, "unclassified": 20}
    assert "20 cells without a type" in table.recognized()


def test_what_was_recognized_is_said():
    said = case("tables/qupath05_cells.tsv").recognized(
        {"CK+": "tumor", "other": "stroma", "CD68+": "macrophage"}
    )
    assert said.startswith(
        "qupath05_cells.tsv: 200 cells, x 0.34 to 299.94 um, y 3.68 to 298.06 um, unit from the column's "
        "name, type from `Classification`: 107 CK+ -> tumor, 59 other -> stroma, 34 CD68+ -> macrophage"
    )


def test_ids_are_kept_as_written():
    assert case("tables/merscope_typed.csv").ids[:2] == ["2728823000000000000", "2728823000000100003"]
    assert case("tables/cosmx_metadata_typed.csv", unit="0.12028 um").ids[0] == "1_1"
    assert case("mixed/03-float-codes/cells.csv").ids == ["1", "2", "3", "4"]


def test_a_stray_cell_is_named():
    (warning,) = case("mixed/08-outlier/cells.csv").warnings
    assert "1 cell (row 5) is far from all others and makes the domain 500 mm long" in warning


def test_identical_positions_name_rows_and_image():
    table = case("tables/qupath05_cells.tsv")
    twice = np.concatenate([table.positions, table.positions[3:4]])
    rows = np.append(table.rows, 201)
    with pytest.raises(
        InputError, match=r"t\.csv: rows 4 and 201 have the same position .*column 'Image' distinguishes"
    ):
        check_distinct_positions("t.csv", twice, rows, table.images)
    check_distinct_positions("t.csv", table.positions, table.rows, table.images)


def test_sections_of_usual_density_are_not_warned_of():
    rng = np.random.default_rng(1)
    grid = np.stack(np.meshgrid(*[np.arange(30) * 11.0] * 2), -1).reshape(-1, 2) + rng.uniform(
        -3, 3, (900, 2)
    )
    cells = np.column_stack([grid, np.zeros(900)])
    assert list(plausibility_warnings(cells, np.arange(900))) == []
    (near, dense) = plausibility_warnings(cells / 10, np.arange(900))
    assert "nearest neighbor" in near
    assert "cells per mm2" in dense
