"""From a table to a run: one command, the way back to the table's own cells, and what stops on the way."""

import datetime as dt
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exoabm.errors import InputError
from exoabm.model import ExosomeModel
from exoabm.runs.run_execution import run_to_folder
from exoabm.scenario.loader import load
from exoabm.scenario.state_builder import blueprint

CASES = Path(__file__).parent / "cases"
SHORT = {"domain.voxel": "10 um", "clock.step": "600 s"}


def plan(name, **said):
    path = str(CASES / name) if isinstance(name, str) else str(name)
    return blueprint(load(path, {f"layout.{key}": value for key, value in said.items()}), 1)


def test_a_table_is_run_in_tissue_and_leads_back_to_its_cells(tmp_path):
    loaded = load(CASES / "tables/qupath_blank_class.csv", SHORT)
    assert loaded.scenario.info.title == "Communication between the cells of qupath_blank_class.csv"
    assert "synthetic" not in loaded.scenario.info.summary
    done = run_to_folder(loaded, tmp_path / "run", seed=1, hours=0.2)
    assert "97 CK+ -> tumor" in done.recognized
    about = json.loads((tmp_path / "run/run.json").read_text())["table"]
    assert about["source"] == "QuPath"
    assert about["y"] == "down"
    assert about["labels"]["unclassified"] == {"cells": 20, "cell_type": "bystander"}
    cells = pq.read_table(tmp_path / "run/cells.parquet").to_pylist()
    assert cells[0]["source_id"] == "00000000-0000-4000-8000-000000000000"
    assert {(c["source_label"], c["cell_type"]) for c in cells} == {
        ("CK+", "tumor"), ("CD68+", "macrophage"), ("other", "stroma"), ("unclassified", "bystander"),
    }  # fmt: skip


def test_daughters_have_no_row_in_the_table():
    from exoabm.output.cell_tables import cell_columns

    model = ExosomeModel(load(CASES / "mixed/03-float-codes/cells.csv", {"layout.unmapped": "bystander"}))
    model.state.cells.birth_id[-1] = 17  # born later
    cells = cell_columns(model.state)["cells"]
    assert cells["source_id"].to_pylist() == ["1", "2", "3", None]
    assert cells["source_label"].to_pylist() == ["1", "2", "1", None]


@pytest.mark.parametrize("engine", ["continuum", "vesicles"])
def test_the_same_cells_from_four_instruments_make_the_same_run(engine):
    """Bit for bit, wherever the origin of their coordinates is and whatever their unit."""
    told = []
    for name, unit in (
        ("qupath05_cells.tsv", None),
        ("qupath_px.csv", "0.5 um"),
        ("merscope_typed.csv", None),
        ("scimap_obs.csv", "0.65 um"),
    ):
        given = {**SHORT, "transport.engine": engine, **({"layout.unit": unit} if unit else {})}
        model = ExosomeModel(load(CASES / "tables" / name, given), seed=1)
        model.run(hours=0.4)
        fields = model.edges.drop_columns([c for c in model.edges.column_names if c.endswith("_um")])
        told.append((model.metrics.to_dict("list"), fields.to_pydict()))
    assert told[0][0]["taken_up[exosome]"][-1] > 0
    for metrics, edges in told[1:]:
        assert {k: np.array(v).tobytes() for k, v in metrics.items()} == {
            k: np.array(v).tobytes() for k, v in told[0][0].items()
        }
        assert edges == told[0][1]


def test_labels_that_no_rule_knows_are_listed_with_a_table_to_paste():
    with pytest.raises(InputError) as error:
        plan("tables/qupath05_cells.tsv", type_map="{}")
    message = str(error.value)
    assert "200 cells" in message
    assert "  'CK+': 107 cells" in message
    assert '[layout.type_map]\n"CK+" = "bystander"' in message
    assert "exoabm new " in message


def test_codes_map_alike_from_every_format():
    for name in ("cells.csv", "cells.parquet", "cells_int.csv"):
        made = plan(f"mixed/03-float-codes/{name}", type_map='{"1" = "tumor", "2" = "stroma"}')
        assert made.type_index.tolist() == [0, 1, 0, 1]
        assert not any("no cell" in warning for warning in made.warnings)


def test_a_run_in_which_nothing_can_happen_says_so():
    warnings = plan("mixed/03-float-codes/cells.csv", unmapped="bystander").warnings
    assert any("no cell releases vesicles" in warning for warning in warnings)
    assert any("no cell takes vesicles up" in warning for warning in warnings)
    assert not any("no cell" in w for w in blueprint(load("tissue"), 1).warnings)


def test_rows_are_those_of_the_table():
    with pytest.raises(InputError, match="the first, row 8, at"):
        blueprint(
            load(CASES / "mixed/14-table-numbers/cells.csv", {"domain.size": '["100 um", "100 um"]'}), 1
        )


def test_cells_at_one_place_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("Image,x,y,type\ns,5,5,tumor\ns,25,5,tumor\ns,5,5,stroma\n")
    with pytest.raises(
        InputError, match=r"rows 1 and 3 have the same position \(5, 5\) um.*'Image' distinguishes images"
    ):
        plan(tmp_path / "a.csv")


def test_the_recorded_cells_of_a_run_need_a_time(tmp_path):
    """A table of 560 cells at two times was taken for 1,120 cells."""
    twice = {
        "time_s": [0.0] * 3 + [3600.0] * 3, "cell": [0, 1, 2] * 2, "cell_type": ["tumor"] * 6,
        "x_um": [10.0, 30, 50, 11, 31, 51], "y_um": [10.0] * 6, "z_um": [5.0] * 6,
    }  # fmt: skip
    pq.write_table(pa.table(twice), tmp_path / "cells.parquet")
    with pytest.raises(InputError, match=r"layout\.time=last"):
        plan(tmp_path / "cells.parquet")
    for time, x in (("last", 11), ("first", 10), ("1 h", 11), ("0", 10)):
        made = plan(tmp_path / "cells.parquet", time=time)
        assert made.position[:, 0].tolist() == [x, x + 20, x + 40]
    with pytest.raises(InputError, match="no cell has 'time_s' = 7200"):
        plan(tmp_path / "cells.parquet", time="2 h")


@pytest.mark.parametrize("column", ["frame", "Slide ID", "fov", "section", "time"])
def test_images_and_times_of_other_tables_are_asked_for_too(tmp_path, column):
    rows = "".join(f"{i % 2},{10 * i},5,tumor\n" for i in range(4))
    (tmp_path / "a.csv").write_text(f"{column},x,y,type\n{rows}")
    with pytest.raises(InputError, match=rf"layout\.(where={column}=0|time=last)"):
        plan(tmp_path / "a.csv")
    assert len(plan(tmp_path / "a.csv", where=f"{column}=1").position) == 2
    assert len(plan(tmp_path / "a.csv", where=f"{column}=*").position) == 4


DAYS = [dt.datetime(2024, 1, day) for day in (1, 2, 2)]


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (pa.array(DAYS, pa.date32()), "2024-01-02"),
        (pa.array(DAYS, pa.timestamp("ns")), "2024-01-02 00:00:00"),
        (pa.array(DAYS, pa.timestamp("us", "UTC")), "2024-01-02 00:00:00Z"),
        (pa.array([5, 7, 7], pa.duration("s")), "7"),
        (pa.array([b"s1", b"s2", b"s2"], pa.binary(2)), "s2"),
    ],
    ids=str,
)
@pytest.mark.parametrize("column", ["time", "image"])
def test_dates_and_bytes_of_fixed_length_are_labels(tmp_path, values, word, column):
    """A column of dates of the measurement refuses no table, and one of them is chosen as an image is."""
    table = pa.table({"x_um": [0.0, 10, 20], "y_um": [0.0, 5, 9], "type": ["tumor"] * 3, column: values})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"has 2 (times|values)") as error:
        plan(tmp_path / "a.parquet")
    option, value = error.value.questions[0].answers[0]
    assert 0 < len(plan(tmp_path / "a.parquet", **{option: value}).position) < 3
    assert len(plan(tmp_path / "a.parquet", where=f"{column}={word}").position) == 2


def test_numbers_of_planes_are_no_lengths(tmp_path):
    rows = "".join(f"{10 * i},{7 * i},{i % 3},tumor\n" for i in range(9))
    (tmp_path / "a.csv").write_text(f"x,y,Z,type\n{rows}")
    with pytest.raises(InputError, match=r"as planes are numbered.*\n.*layout\.z_unit=5 um"):
        plan(tmp_path / "a.csv")
    assert plan(tmp_path / "a.csv", z_unit="5 um").position[:, 2].tolist() == [0, 5, 10] * 3
    assert plan(tmp_path / "a.csv", z_unit="um").position[:, 2].max() == 2


def test_types_of_a_second_table(tmp_path):
    shutil.copy(CASES / "tables/xenium_cells.parquet", tmp_path)
    ids = pq.read_table(tmp_path / "xenium_cells.parquet")["cell_id"].to_pylist()
    rows = [f"{name},{'CK+' if i % 2 else 'other'}" for i, name in enumerate(ids[:150])]
    (tmp_path / "groups.csv").write_text("cell_id,group\n" + "\n".join([*rows, "nobody,CK+"]))
    made = plan(tmp_path / "xenium_cells.parquet", types_from=str(tmp_path / "groups.csv"))
    said = made.placed.recognized
    assert "75 CK+ -> tumor, 75 other -> stroma, 50 unclassified -> bystander" in said
    assert "50 cells are not in groups.csv" in said
    assert "1 rows of groups.csv are of no cell here" in said
    (tmp_path / "groups.csv").write_text("Barcode,Cluster\na-1,1\nb-1,2\n")
    with pytest.raises(InputError, match="none of its ids, such as 'a-1', is in xenium_cells"):
        plan(tmp_path / "xenium_cells.parquet", types_from=str(tmp_path / "groups.csv"))


def test_annotations_of_qupath_are_no_cells(tmp_path):
    text = (CASES / "tables/qupath05_cells.tsv").read_text(encoding="utf-8")
    more = text.splitlines()[1].replace("\tCell\t", "\tAnnotation\t").replace("25.69", "NaN")
    (tmp_path / "a.tsv").write_text(f"{text}{more}\n", encoding="utf-8")
    made = plan(tmp_path / "a.tsv")
    assert len(made.position) == 200
    assert "left out: 1 Annotation" in made.placed.recognized


def test_markers_of_halo(tmp_path):
    header = "Image Location,Object Id,XMin,XMax,YMin,YMax,Tumor,CD8"
    rows = ["0,0,10,0,10,1,0", "1,20,30,0,10,0,1", "2,40,50,0,10,1,1", "3,60,70,0,10,0,0"]
    (tmp_path / "a.csv").write_text("\n".join([header, *(f"i,{row}" for row in rows)]))
    made = plan(tmp_path / "a.csv", unit="0.5 um", unmapped="bystander")
    assert list(made.placed.meaning) == ["CD8", "Tumor", "multiple", "negative"]
    assert made.position[:, 0].tolist() == [2.5, 12.5, 22.5, 32.5]
    assert "1 cells have several and are 'multiple'" in made.placed.recognized


CENTER = "Location_Center_X,Location_Center_Y"
STRUCTURES = [  # of instruments that no file in cases/ is of: what is written, what is said of it, what comes
    ("Image,Centroid.X.µm,Centroid.Y.µm,Class\ns,1,2,T\ns,30,4,S\n", {}, "recognized as QuPath"),
    (
        "Name\tClass\tCentroid X µm\tCentroid Y µm\nPathAnnotationObject\tT\t9\t9\n\tT\t1\t2\n\tS\t30\t4\n",
        {}, "left out: 1 PathAnnotationObject",
    ),
    (",fov,volume,center_x,center_y,cell_type\n110883424764611924,0,5,1,2,T\n2,0,5,30,4,S\n", {}, "MERSCOPE"),
    (
        f"Image,Cells,Cells,Nuclei,Nuclei,Cells\nImageNumber,{CENTER},{CENTER},kind\n1,1,2,5,6,T\n1,30,4,7,8,S\n",
        {},
        "layout.x=Nuclei_Location_Center_X",
    ),
    ("CellID,X,Y,type\n1,1,2,T\n2,30,4,S\n", {}, "'X', 'Y' have no known unit"),
    (
        "fov,cell_ID,CenterX_local_px,CenterY_local_px,cell_type\n1,1,1,2,T\n2,1,30,4,S\n",
        {"unit": "1 um"}, "coordinates begin anew in each",
    ),
    ("Name;X [µm];Y [µm];cell_type\na;1,0;2,0;T\nb;30,0;4,0;S\n", {}, "unit from the column's name"),
    (
        "label,centroid-0,centroid-1,centroid-2,cell_type\n1,0,2,1,T\n2,1,4,30,S\n", {"unit": "1 um"},
        "layout.z_unit=",
    ),
    ("x,y,cell_type,phenotype\n1,2,T,U\n30,4,S,V\n", {}, "could be 'cell_type', 'phenotype'"),
    ("x,y,my words\n1,2,T\n30,4,S\n", {}, "layout.cell_type=my words"),
    ('"","x","y","seurat_clusters"\n"c1",1,2,"0"\n"c2",30,4,"1"\n', {}, "layout.cell_type=seurat_clusters"),
]  # fmt: skip


OPENING = {
    "recognized as QuPath",
    "left out: 1 PathAnnotationObject",
    "MERSCOPE",
    "unit from the column's name",
}


@pytest.mark.parametrize(("text", "said", "comes"), STRUCTURES)
def test_other_structures(tmp_path, text, said, comes):
    opens = comes in OPENING
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    if opens:
        made = plan(tmp_path / "a.csv", unmapped="bystander", **said)
        assert comes in made.placed.recognized
        assert made.position[:, 0].tolist() == [1, 30]
        assert list(made.placed.meaning) == ["S", "T"]
    else:
        with pytest.raises(InputError, match=re.escape(comes)):
            plan(tmp_path / "a.csv", **said)
