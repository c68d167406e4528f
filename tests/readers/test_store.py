"""AnnData in HDF5 and Zarr, as its encoding is documented, and files that lead elsewhere."""

from collections import Counter

import h5py
import numpy as np
import pytest
import zarr

import exoabm as xo
from exoabm.errors import InputError
from exoabm.readers.cell_table import read_cells
from exoabm.readers.file_formats import fingerprint
from exoabm.readers.options import AmbiguousTable, TableOptions
from exoabm.scenario.loader import load

KINDS = ["B", "T cell"]
UM = TableOptions(unit="um")


def strings(group, name, values):
    if isinstance(group, h5py.Group):
        group.create_dataset(name, data=np.array(values, object), dtype=h5py.string_dtype())
    else:
        group.create_array(name, data=np.array(values, dtype="T"))


def numbers(group, name, values):
    (group.create_dataset if isinstance(group, h5py.Group) else group.create_array)(
        name, data=np.asarray(values)
    )


def fill(root, n=6, index="_index"):
    """What anndata 0.12 writes of ``n`` cells, but for the matrix."""
    obs = root.create_group("obs")
    obs.attrs.update({"_index": index, "column-order": ["cell_type", "score", "maybe", "note"]})
    strings(obs, index, [f"c{i}" for i in range(n)])
    kind = obs.create_group("cell_type")
    kind.attrs["encoding-type"] = "categorical"
    numbers(kind, "codes", np.array([0, 1, -1] * (n // 3), np.int8))
    strings(kind, "categories", KINDS)
    numbers(obs, "score", np.arange(float(n)))
    maybe = obs.create_group("maybe")
    maybe.attrs["encoding-type"] = "nullable-integer"
    numbers(maybe, "values", np.arange(n))
    numbers(maybe, "mask", np.arange(n) % 2 == 1)
    strings(obs, "note", ["x"] * n)
    numbers(root.create_group("obsm"), "spatial", np.column_stack([np.arange(n) * 10.0, np.arange(n) * 7.0]))
    return root


@pytest.fixture
def h5ad(tmp_path):
    """Write a file, changed as asked, and return its path."""

    def make(change=lambda root: None):
        path = tmp_path / "a.h5ad"
        with h5py.File(path, "w") as root:
            change(fill(root))
        return path

    return make


def check(table):
    assert Counter(table.types.tolist()) == {"B": 2, "T cell": 2, "unclassified": 2}
    assert table.positions[:, 0].tolist() == [0, 10, 20, 30, 40, 50]
    assert table.ids == [f"c{i}" for i in range(6)]
    assert table.source == "AnnData"
    assert table.y_down


def test_h5ad(h5ad):
    path = h5ad()
    with pytest.raises(AmbiguousTable, match=r"layout\.unit=um"):
        read_cells(path)
    check(read_cells(path, UM))
    codes = read_cells(path, TableOptions(unit="um", cell_type="maybe"))
    assert Counter(codes.types.tolist()) == {"0": 1, "2": 1, "4": 1, "unclassified": 3}


@pytest.mark.parametrize("form", [2, 3])
@pytest.mark.parametrize("inside", ["", "tables/table"])
def test_zarr_and_spatialdata(tmp_path, form, inside):
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=form)
    fill(root.create_group(inside) if inside else root)
    check(read_cells(tmp_path / "a.zarr", UM))
    check(read_cells(tmp_path / "a.zarr" / inside, UM))


def test_several_tables_are_asked_for(tmp_path):
    root = zarr.open_group(tmp_path / "a.zarr", mode="w")
    for name in ("one", "two"):
        fill(root.create_group(f"tables/{name}"))
    with pytest.raises(InputError, match=r"2 tables \('one', 'two'\); name one, as in a\.zarr/tables/NAME"):
        read_cells(tmp_path / "a.zarr", UM)


def test_the_matrix_is_not_read(h5ad):
    """Neither by the reader nor for the hash: it leads to a file that is not there."""

    def change(root):
        root["X"] = h5py.ExternalLink("nowhere.h5", "/X")

    path = h5ad(change)
    check(read_cells(path, UM))
    assert fingerprint(path) == fingerprint(h5ad())


def table_of(*names):
    def change(root):
        del root["obsm/spatial"]
        place = root["obsm"].create_group("spatial")
        place.attrs.update({"encoding-type": "dataframe", "column-order": names, "_index": "_index"})
        for name in names:
            numbers(place, name, np.arange(6) * (10.0 if name.lower() == "x" else 7.0))

    return change


def test_positions_in_a_table_of_obsm_are_read_by_the_names_of_its_columns(h5ad):
    check(read_cells(h5ad(table_of("Y", "x")), UM))
    with pytest.raises(InputError, match=r"a table of the columns x and y \('spatial': dataframe\)"):
        read_cells(h5ad(table_of("a", "b")), UM)


def test_an_unknown_compression_is_named_with_the_array(h5ad):
    """As zstd without its plugin, filter 32015."""

    def change(root):
        del root["obsm/spatial"]
        stored = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        stored.set_chunk((6, 2))
        stored.set_filter(32015, h5py.h5z.FLAG_OPTIONAL)
        space = h5py.h5s.create_simple((6, 2))
        h5py.h5d.create(root["obsm"].id, b"spatial", h5py.h5t.NATIVE_DOUBLE, space, stored)
        root["obsm/spatial"].id.write_direct_chunk((0, 0), b"junk", 0)

    said = r"a\.h5ad: 'obsm/spatial' is compressed by filter 32015, .* write the file with compression='gzip'"
    with pytest.raises(InputError, match=said):
        read_cells(h5ad(change), UM)


def test_the_hash_is_of_what_describes_cells(h5ad):
    before = fingerprint(h5ad())

    def change(root):
        root["obs/score"][2] = 77

    assert fingerprint(h5ad(change)) != before


def test_a_unit_that_the_file_keeps(h5ad):
    path = h5ad(lambda root: root.create_group("uns").create_dataset("spatial_unit", data="um"))
    assert "unit um, from the file" in read_cells(path).findings[0]


def test_a_unit_of_the_file_that_is_not_um(h5ad):
    """It is used, must not contradict the user, and one that is not known is named."""

    def stating(unit):
        return h5ad(lambda root: root.create_group("uns").create_dataset("spatial_unit", data=unit))

    assert read_cells(stating("mm")).positions[:, 0].tolist() == [0, 1e4, 2e4, 3e4, 4e4, 5e4]
    with pytest.raises(InputError, match="in mm, in contradiction to unit = 'um'"):
        read_cells(stating("mm"), UM)
    with pytest.raises(InputError, match="in pixels; give the width of one"):
        read_cells(stating("pixels"), UM)
    assert read_cells(stating("pixels"), TableOptions(unit="0.5 um")).positions[1, 0] == 5
    with pytest.raises(AmbiguousTable, match="no known unit \\(the file states 'inch'\\)"):
        read_cells(stating("inch"))


def test_positions_in_obs_keep_the_names_of_cells(h5ad):
    def change(root):
        del root["obsm/spatial"]
        root["obs"].attrs["column-order"] = ["cell_type", "x_um", "y_um"]
        numbers(root["obs"], "x_um", np.arange(6.0))
        numbers(root["obs"], "y_um", np.arange(6.0))

    table = read_cells(h5ad(change))
    assert table.ids == [f"c{i}" for i in range(6)]
    assert table.positions[:, 0].tolist() == [0, 1, 2, 3, 4, 5]


def test_what_holds_no_positions_says_what_it_holds(h5ad, tmp_path):
    def framed(root):
        del root["obsm/spatial"]
        root["obsm"].create_group("spatial").attrs["encoding-type"] = "dataframe"
        root.create_group("uns/spatialdata_attrs")

    with pytest.raises(InputError, match=r"\('spatial': dataframe\); centroids of the shapes and labels"):
        read_cells(h5ad(framed))
    with pytest.raises(InputError, match=r"MuData \('rna'\); write the one"):
        read_cells(h5ad(lambda root: root.create_group("mod/rna")))
    zarr.open_group(tmp_path / "b.zarr", mode="w").create_group("shapes")
    with pytest.raises(InputError, match=r"no group 'obs'.*it has 'shapes'"):
        read_cells(tmp_path / "b.zarr")
    (tmp_path / "c.parquet").mkdir()
    with pytest.raises(InputError, match="is a folder and no Zarr group; give one of its files"):
        read_cells(tmp_path / "c.parquet")


@pytest.mark.parametrize(
    ("name", "what"), [("a.xlsx", "save the sheet"), ("b.ome.tif", "measure its labels")]
)
def test_files_of_other_formats_say_how_to_make_a_table(tmp_path, name, what):
    path = tmp_path / name
    path.write_bytes(b"II*\0" * 400_000)  # longer than a scenario may be
    for read in (read_cells, load):
        with pytest.raises(InputError, match=what):
            read(path)


def test_a_text_may_have_the_extension_of_a_spreadsheet_and_a_scenario_any_name(tmp_path):
    """Instruments write tab-separated ``.xls``; a built scenario is named by its table, and is no file."""
    text = "x_um\ty_um\tcell_type\n1\t2\ttumor\n40\t50\ttumor\n"
    for name in ("a.xls", "slide1.ome.tif.csv"):
        (tmp_path / name).write_text(text)
        assert len(read_cells(tmp_path / name).ids) == 2
    made = xo.scenario_from_table(tmp_path / "slide1.ome.tif.csv")
    assert made.name == "built-from-slide1.ome.tif"
    run = xo.run(made, seed=1, hours=0.01, out=tmp_path / "r")
    assert xo.scenario(run.folder).name == made.name
    for start in (b"\xd0\xcf\x11\xe0", b"PK\3\4"):
        (tmp_path / "a.xls").write_bytes(start + bytes(600))
        with pytest.raises(InputError, match="save the sheet"):
            read_cells(tmp_path / "a.xls")


def test_a_tissue_in_which_no_type_is_known_names_columns(h5ad):
    def change(root):
        root["obs"].move("cell_type", "my_words")
        root["obs"].attrs["column-order"] = ["my_words", "score"]

    with pytest.raises(AmbiguousTable, match=r"layout\.cell_type=my_words"):
        read_cells(h5ad(change), UM)


def categories(root, name, words, codes):
    group = root["obs"].create_group(name)
    group.attrs["encoding-type"] = "categorical"
    numbers(group, "codes", np.array(codes, np.int8))
    strings(group, "categories", words)
    root["obs"].attrs["column-order"] = [*root["obs"].attrs["column-order"], name]


def by_region(root):
    root.create_group("uns/spatialdata_attrs").create_dataset("region_key", data="annotates")


def by_library(root):
    for key in ("s1", "s2"):
        root.create_group(f"uns/spatial/{key}")


def by_name(root):
    root["obs"].move("annotates", "Slide_ID")
    root["obs"].attrs["column-order"] = ["cell_type", "Slide_ID"]


@pytest.mark.parametrize("told", [by_region, by_library, by_name])
def test_anndata_states_its_images(h5ad, told):
    def change(root):
        categories(root, "annotates", ["s1", "s2"], [0, 0, 0, 1, 1, 1])
        told(root)

    with pytest.raises(AmbiguousTable, match=r"'(annotates|Slide_ID)' has 2 values \(s1: 3, s2: 3\)"):
        read_cells(h5ad(change), UM)


def test_columns_beside_stated_images_are_not_asked_for(h5ad):
    """A region has one system of coordinates, whatever other columns name."""

    def change(root):
        categories(root, "annotates", ["s1", "s2"], [0] * 6)
        categories(root, "patient", ["p1", "p2"], [0, 0, 0, 1, 1, 1])
        by_region(root)

    check(read_cells(h5ad(change), UM))


@pytest.mark.parametrize("told", [None, by_library])
def test_categories_of_nullable_texts(h5ad, told):
    """As AnnData may write them; in columns that are used, and in others where images are looked for."""

    def nullable(root, name):
        words = [each.decode() for each in root[f"obs/{name}/categories"][:]]
        del root[f"obs/{name}/categories"]
        group = root["obs"][name].create_group("categories")
        group.attrs["encoding-type"] = "nullable-string-array"
        strings(group, "values", words)
        numbers(group, "mask", np.zeros(len(words), bool))

    def change(root):
        categories(root, "unused", ["u", "v"], [0, 0, 0, 1, 1, 1])
        for name in ("cell_type", "unused"):
            nullable(root, name)
        if told:
            told(root)

    check(read_cells(h5ad(change), UM))


def test_an_index_of_nullable_texts(h5ad):
    """As of a DataFrame whose index has the type ``string`` of pandas, where AnnData may write it."""

    def change(root):
        del root["obs/_index"]
        group = root["obs"].create_group("_index")
        group.attrs["encoding-type"] = "nullable-string-array"
        strings(group, "values", [f"c{i}" for i in range(6)])
        numbers(group, "mask", np.zeros(6, bool))

    check(read_cells(h5ad(change), UM))


def outside(root):
    del root["obs/score"]
    root["obs/score"] = h5py.ExternalLink("/etc/passwd", "/")


def circle(root):
    del root["obs/score"]
    root["obs/score"] = root["obs"]


def soft(root):
    del root["obs/score"]
    root["obs/score"] = h5py.SoftLink("/nowhere")


def raw(root):
    del root["obs/score"]
    root["obs"].create_dataset("score", shape=(6,), dtype="f8", external=[("/etc/passwd", 0, 48)])


def codes(root):
    root["obs/cell_type/codes"][0] = 99


def long(root):
    del root["obs/note"]
    strings(root["obs"], "note", ["x" * 100_000] * 6)


def short(root):
    del root["obs/score"]
    numbers(root["obs"], "score", [1.0])


def lost(root):
    del root["obsm"]


HOSTILE = [
    (outside, "score", "is a link to elsewhere"),
    (soft, "score", "is a link to elsewhere"),
    (circle, "score", "neither numbers nor text"),
    (raw, "score", "is stored in another file"),
    (codes, "cell_type", "damaged: codes beyond its 2 categories"),
    (long, "note", "a text of more than"),
    (short, "score", "another length"),
    (lost, "cell_type", "there is no obsm"),
    (
        lambda root: root.attrs.update({}) or root["obs"].attrs.update({"_index": "no"}),
        "note",
        "is not there",
    ),
    (lambda root: root.pop("obs"), "note", "no group 'obs'"),
]


@pytest.mark.parametrize(("change", "column", "says"), HOSTILE)
def test_what_leads_elsewhere_or_is_damaged_is_refused(h5ad, change, column, says):
    with pytest.raises(InputError, match=says):
        read_cells(h5ad(change), TableOptions(unit="um", cell_type=column))


def test_a_file_that_only_begins_like_hdf5(tmp_path):
    (tmp_path / "a.h5ad").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 500)
    with pytest.raises(InputError, match="cannot be read as HDF5"):
        read_cells(tmp_path / "a.h5ad", UM)
    (tmp_path / "b.zarr").mkdir()
    (tmp_path / "b.zarr/zarr.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read as Zarr"):
        read_cells(tmp_path / "b.zarr", UM)
