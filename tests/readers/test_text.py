"""What stands above and around a text table, and tables made to do harm."""

import gzip
import tracemalloc
import zipfile

import pytest

from exoabm.errors import InputError
from exoabm.readers.cell_table import read_cells
from exoabm.readers.options import TableOptions

ROWS = "1,2,tumor\n30,4,stroma\n"


def cells(tmp_path, content, name="cells.csv", **said):
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    table = read_cells(tmp_path / name, TableOptions(**said))
    return [
        (*map(float, place[:2]), label) for place, label in zip(table.positions, table.types, strict=True)
    ]


PLAIN = [(1, 2, "tumor"), (30, 4, "stroma")]


@pytest.mark.parametrize(
    "text",
    [
        "# made by hand\n# on a Sunday\nx,y,type\n" + ROWS,
        "sep=,\nx,y,type\n" + ROWS,
        '"sep=;"\nx;y;type\n' + ROWS.replace(",", ";"),
        "\n\nx,y,type\n" + ROWS,
        "x|y|type\n" + ROWS.replace(",", "|"),
        "#id,x,y,type\n7,1,2,tumor\n8,30,4,stroma\n",  # no comment: numbers stand right below it
        "x,y,type,\n1,2,tumor,\n30,4,stroma,\n",
        "x,y,type\n1,2,tumor,\n30,4,stroma,\n",
        '"x","y","type"\n"1",1,2,"tumor"\n"2",30,4,"stroma"\n',
        "x,y,type\na,1,2,tumor\nb,30,4,stroma\n",
        "x,y,type\num,um,\n" + ROWS,
        "Cells,Cells,Cells\nx,y,type\n" + ROWS,
        "x;y;type\n1,0;2,0;tumor\n30,0;4,0;stroma\n",
        "x,y,type,note,note\n1,2,tumor,a,b\n30,4,stroma,c,d\n",
    ],
)
def test_dialects(tmp_path, text):
    assert cells(tmp_path, text) == PLAIN


def test_windows_text_is_read_and_said(tmp_path):
    data = "x,y,type\n1,2,Zellstück\n".encode("cp1252")
    assert cells(tmp_path, data) == [(1, 2, "Zellstück")]
    assert "read as Windows-1252, for line 2" in read_cells(tmp_path / "cells.csv").recognized()


def archive(path, **files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in files.items():
            made.writestr(name.replace("__", "."), text)
    return path


def test_one_text_in_a_zip_archive_is_read(tmp_path):
    text = "x,y,type\n" + ROWS
    plain = tmp_path / "plain.csv"
    plain.write_text(text)
    found = read_cells(archive(tmp_path / "a.csv.zip", cells__csv=text), TableOptions(unit="um"))
    assert (found.positions == read_cells(plain, TableOptions(unit="um")).positions).all()
    for name, files, message in (
        (
            "two.zip",
            {"a__csv": text, "b__csv": text},
            r"is expected, and it has 2 files \('a.csv",
        ),
        ("sheet.csv", {"[Content_Types]__xml": "", "b__xml": ""}, "a spreadsheet; save the sheet as CSV"),
        ("bomb.zip", {"a__csv": "x,y,type\n" + "1,2,tumor\n" * 2_000_000}, "unpacks to over"),
    ):
        with pytest.raises(InputError, match=message):
            read_cells(archive(tmp_path / name, **files))


@pytest.mark.parametrize(
    "beside",
    ["__MACOSX/._cells.csv", ".DS_Store", "run/.DS_Store", "run/._cells.csv", "Thumbs.db", "run/desktop.ini"],
)
def test_what_an_operating_system_adds_to_an_archive_is_no_table(tmp_path, beside):
    path, text = tmp_path / "a.csv.zip", "x,y,type\n" + ROWS
    with zipfile.ZipFile(path, "w") as made:
        made.writestr(beside, b"\0\1 not a table")
        made.writestr("run/cells.csv", text)
    found = read_cells(path, TableOptions(unit="um"))
    assert len(found.positions) == len(ROWS.splitlines())
    assert f"{beside!r}, which the operating system had added, left out" in found.recognized()
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("cells.csv", text)
        made.writestr("desktop.ini.csv", text)  # by its name a table
    with pytest.raises(InputError, match="it has 2 files"):
        read_cells(path, TableOptions(unit="um"))


def test_gzip_is_known_by_its_bytes(tmp_path):
    packed = gzip.compress(("x,y,type\n" + ROWS).encode())
    assert cells(tmp_path, packed, "cells.csv") == PLAIN
    half = len(packed) // 2
    with pytest.raises(InputError, match="cut off"):
        cells(tmp_path, packed[:half])
    two = gzip.compress(b"x,y,type\n1,2,tumor\n") + gzip.compress(b"30,4,stroma\n")
    assert cells(tmp_path, two) == PLAIN


def test_a_decimal_comma_is_never_guessed(tmp_path):
    text = "x;y;type\n1,5;2,0;a\n3;4,0;b\n"
    with pytest.raises(InputError, match=r"'1,5'.*'3'.*layout\.decimal"):
        cells(tmp_path, text)
    assert cells(tmp_path, text, decimal=",") == [(1.5, 2, "a"), (3, 4, "b")]


def test_commas_that_may_separate_thousands_are_asked_for(tmp_path):
    """12,125 um is not 12.125 um; a comma that cannot separate thousands needs no question."""
    text = "x_um\ty_um\ttype\n12,125\t23,250\ta\n13,375\t24,500\tb\n"
    with pytest.raises(InputError, match=r"'12,125'.*thousands.*(?s:.*)layout\.decimal=,"):
        cells(tmp_path, text)
    assert cells(tmp_path, text, decimal=",") == [(12.125, 23.25, "a"), (13.375, 24.5, "b")]
    for number in ("0,125", "1234,625", "12,3125", "12,25"):
        value = float(number.replace(",", "."))
        assert cells(tmp_path, text.replace("12,125", number))[0] == (value, 23.25, "a")


def test_a_spare_value_in_some_rows_is_refused(tmp_path):
    rows = "1,2,tumor,\n" * 1 + "".join(f"{i},{2 * i},tumor,\n" for i in range(2, 200)) + "900,2,3,tumor\n"
    with pytest.raises(InputError, match="4 values where the header has 3"):
        cells(tmp_path, "x,y,type\n" + rows)


# Tables made to do harm.


def test_a_little_gzip_does_not_stand_for_much(tmp_path):
    bomb = gzip.compress(b"x,y,type\n" + b"1,2,tumor\n" * 20_000_000)
    assert len(bomb) < 1e6
    (tmp_path / "a.csv.gz").write_bytes(bomb)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="50 times its length"):
            read_cells(tmp_path / "a.csv.gz")
        assert tracemalloc.get_traced_memory()[1] < 1.5e8
    finally:
        tracemalloc.stop()


def test_a_hundred_thousand_columns_are_refused(tmp_path):
    names = ",".join(f"g{i}" for i in range(100_000))
    with pytest.raises(InputError, match="100003 columns, more than the 50000 allowed") as error:
        cells(tmp_path, f"x,y,type,{names}\n1,2,a,{'0,' * 99_999}0\n")
    assert len(str(error.value)) < 200


NAMES = [
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "C:\\x",
    "$(rm -rf ~)",
    "\x1b[31mred",
    "a\u202eb",
    "'; --",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_text(tmp_path, name):
    table = f'x,y,type,"{name}"\n1,2,"{name}",0\n30,4,tumor,1\n'
    assert cells(tmp_path, table)[0][2] == name
    said = read_cells(tmp_path / "cells.csv").recognized()
    assert "\x1b" not in said
    assert "\u202e" not in said
    with pytest.raises(InputError) as error:
        read_cells(tmp_path / "cells.csv", TableOptions(cell_type="missing"))
    assert "\x1b" not in str(error.value)
