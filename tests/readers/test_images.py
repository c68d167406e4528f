"""Cells of several images in one table: one of them is asked for, in tables of every source."""

import pytest

from exoabm.readers.cell_table import read_cells
from exoabm.readers.options import AmbiguousTable, TableOptions

SOURCES = {  # header without the column of images, and two rows
    "Xenium": ("cell_id,x_centroid,y_centroid,type", "a,1,2,T", "b,30,4,S"),
    "MERSCOPE": ("EntityID,fov,volume,center_x,center_y,type", "1,1,9,1,2,T", "2,2,9,30,4,S"),
    "CosMx": ("fov,cell_ID,CenterX_global_px,CenterY_global_px,type", "1,1,1,2,T", "2,1,30,4,S"),
    "MCMICRO or scimap": ("CellID,X_centroid,Y_centroid,phenotype", "1,1,2,T", "2,30,4,S"),
    "steinbock or scikit-image": ("Object,centroid-0,centroid-1,type", "1,1,2,T", "2,30,4,S"),
    "QuPath": ("TMA core,Centroid X µm,Centroid Y µm,Class", "A,1,2,T", "B,30,4,S"),
    "inForm": ("Sample Name,Cell ID,Cell X Position,Cell Y Position,Phenotype", "s,1,1,2,T", "s,2,30,4,S"),
    "Visium": ("barcode,in_tissue,pxl_row_in_fullres,pxl_col_in_fullres,type", "a,1,1,2,T", "b,1,30,4,S"),
    "HALO": ("Object Id,XMin,XMax,YMin,YMax,Tumor,CD8", "1,1,2,3,4,1,0", "2,30,31,32,33,0,1"),
    "CellProfiler": ("ObjectNumber,Location_Center_X,Location_Center_Y,type", "1,1,2,T", "2,30,4,S"),
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_column_of_images_is_asked_for_in_tables_of_each_source(tmp_path, source):
    """A column over whose values coordinates continue, such as ``fov`` of MERSCOPE, is not."""
    header, first, second = SOURCES[source]
    unit = {} if source in ("Xenium", "MERSCOPE", "QuPath") else {"unit": "1 um"}

    def read(one, two, **said):
        (tmp_path / "a.csv").write_text(f"{header},Slide ID\n{first},{one}\n{second},{two}\n")
        return read_cells(tmp_path / "a.csv", TableOptions(**unit, **said))

    one = read("s1", "s1")
    assert (one.source, len(one)) == (source, 2)
    with pytest.raises(AmbiguousTable, match="'Slide ID' has 2 values") as error:
        read("s1", "s2")
    assert len(error.value.questions) == 1
    assert len(read("s1", "s2", where=("Slide ID=s2",))) == 1
    assert len(read("s1", "s2", where=("Slide ID=*",))) == 2


def test_columns_that_tell_the_same_images_are_asked_for_once(tmp_path):
    rows = ["A,1,9,1,2,T", "B,1,9,30,4,S", "C,2,9,60,4,S"]
    (tmp_path / "a.csv").write_text("Slide,Patient,n,x,y,type\n" + "\n".join(rows))
    with pytest.raises(AmbiguousTable) as error:
        read_cells(tmp_path / "a.csv")
    assert [question.finding[:22] for question in error.value.questions] == ["image: column 'Slide' "]
    assert len(read_cells(tmp_path / "a.csv", TableOptions(where=("Slide=*",)))) == 3
    with pytest.raises(AmbiguousTable, match="'Slide' has 2 values"):  # of one patient
        read_cells(tmp_path / "a.csv", TableOptions(where=("Patient=1",)))


def test_local_coordinates_of_two_slides(tmp_path):
    """One field of view of each slide has the number 1, and its own coordinates."""
    rows = ["1,1,1,2,S1,T", "1,2,30,4,S2,S"]
    header = "fov,cell_ID,CenterX_local_px,CenterY_local_px,slide_ID,type\n"
    (tmp_path / "a.csv").write_text(header + "\n".join(rows))
    with pytest.raises(AmbiguousTable, match="'slide_ID' has 2 values"):
        read_cells(tmp_path / "a.csv", TableOptions(unit="0.5 um"))
