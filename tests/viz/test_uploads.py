"""What a reader brings is read as any file is; junk, bombs and ways out are refused in words."""

from __future__ import annotations

import io
import shutil
import struct
import tracemalloc
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exoabm.errors import InputError, ResourceError
from exoabm.viz.results import files
from exoabm.viz.run_setup import encode, first_setup
from exoabm.viz.server import uploads as module
from exoabm.viz.server.session import Session
from exoabm.viz.server.uploads import UploadFolder, open_run, read_run_upload, read_table_upload

if TYPE_CHECKING:
    from pathlib import Path


def table(n: int = 60, spread: float = 200.0) -> bytes:
    rng = np.random.default_rng(1)
    xy = rng.uniform(0, spread, (n, 2))
    kinds = ["CK+", "CD8T", "Martian"]
    rows = "".join(f"{x:.1f},{y:.1f},{kinds[i % 3]}\n" for i, (x, y) in enumerate(xy))
    return ("x,y,cell_type\n" + rows).encode()


def packed(**columns: object) -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.table(columns), target, compression="zstd")
    return target.getvalue()


def zipped(folder: Path, prefix: str = "run/") -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(path, prefix + path.relative_to(folder).as_posix())
    return target.getvalue()


def test_a_table_runs(uploads: UploadFolder) -> None:
    uploaded = read_table_upload(uploads, "C:\\my cells\\slide 7.csv", table())
    assert uploaded.file.name == "slide_7.csv"
    assert uploaded.labels == {"CD8T": 20, "CK+": 20, "Martian": 20}
    assert uploaded.types == {"CD8T": "lymphocyte", "CK+": "tumor", "Martian": "bystander"}
    setup = uploaded.setup({"Martian": "stroma"})
    session = Session(setup.load(), setup.seed)
    session.step()
    counts = dict(zip(*np.unique(session._model.state.type_names(), return_counts=True), strict=True))
    assert counts == {"lymphocyte": 20, "tumor": 20, "stroma": 20}
    again = setup.changed({"transport.hindrance": "0.4"}).load()
    assert float(again.scenario.transport.hindrance) == 0.4
    assert not again.trusted
    with pytest.raises(InputError, match="only a shipped scenario"):
        encode(setup)
    assert b"slide_7.csv" in files.scenario_toml(again)


def test_a_wide_table_gets_coarser_voxels_or_is_refused(uploads: UploadFolder) -> None:
    assert read_table_upload(uploads, "a.csv", table(spread=2000)).voxel == 5
    assert read_table_upload(uploads, "a.csv", table(spread=4000)).voxel == 10
    with pytest.raises(InputError, match="spread over"):
        read_table_upload(uploads, "a.csv", table(spread=40_000))


def test_a_table_named_like_a_shipped_scenario_is_still_ones_own(uploads: UploadFolder) -> None:
    with pytest.raises(InputError, match="only a shipped scenario"):
        encode(read_table_upload(uploads, "tissue", table()).setup({}))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 100,
        b"PAR1" + b"\x00" * 50,
        b"PK\x03\x04 spreadsheet",
        b"x,y\n1,2\n",
        b"x,y,cell_type\n1,nan,a\n",
        b"x,y,cell_type\n1,1e999,a\n",
        b"x,y,cell_type\n1,2,a,b\n",
        b'x,y,cell_type\n1,2,"open\n3,4,b\n',
        b"x,y,cell_type\n" + b"1,2,a\n" * 6000,
        b"x,y,cell_type\n" + b"".join(b"1,2,t%d\n" % i for i in range(60)),
        b"<html><script>alert(1)</script></html>",
        b"9" * (module.MOST_TABLE_BYTES + 1),
    ],
    ids=range(13),
)
def test_junk_tables_are_refused(uploads: UploadFolder, data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        read_table_upload(uploads, "../../../etc/cron.d/x.csv", data)
    assert "/" not in str(caught.value).split(":")[0]


def test_a_type_that_is_none_is_refused(uploads: UploadFolder) -> None:
    with pytest.raises(InputError, match="no cell type 'wizard'"):
        read_table_upload(uploads, "a.csv", table()).setup({"CK+": "wizard"})


def test_a_label_cannot_say_more_than_its_name(uploads: UploadFolder) -> None:
    label = 'a" = 1 }\\n[transport]\\nengine = "vesicles'
    data = "x\ty\tcell_type\n".replace("\t", ",") + f'1,2,"{label.replace(chr(34), chr(34) * 2)}"\n5,60,CK+\n'
    uploaded = read_table_upload(uploads, "a.csv", data.encode())
    loaded = uploaded.setup({label: "tumor"}).load()
    assert loaded.scenario.layout.type_map == {label: "tumor", "CK+": "tumor"}
    assert loaded.scenario.transport.engine == "continuum"


@pytest.mark.parametrize("prefix", ["", "run/", "a_run of mine/"])
def test_a_run_folder_comes_back(uploads: UploadFolder, folder: Path, prefix: str) -> None:
    run = read_run_upload(uploads, "mine.zip", zipped(folder, prefix))
    assert run.title == "Signaling at a distance"
    assert dict(run.facts)["seed"] == "1"
    assert run.preview.startswith(b"\x89PNG")
    assert run.moments.tolist() == [0, 3600, 7200]
    assert len(run.metrics) == 13
    cells, taken = run.cells_at(-1 + len(run.moments))
    assert len(cells) == 47
    assert taken.sum() == pytest.approx(run.communication.counts["taken_up"].sum(), rel=1e-9)
    assert run.cells_at(0)[1].sum() == 0


@pytest.mark.parametrize("name", ["metrics.parquet", "preview.png", "summary.json"])
def test_a_run_that_was_damaged_on_the_way_is_refused(
    uploads: UploadFolder, folder: Path, tmp_path: Path, name: str
) -> None:
    harmed = shutil.copytree(folder, tmp_path / "run")
    content = bytearray((harmed / name).read_bytes())
    content[len(content) // 2] ^= 1
    (harmed / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}( is damaged|: )"):
        read_run_upload(uploads, "x.zip", zipped(harmed, "run/"))
    (harmed / "manifest.json").unlink()
    with pytest.raises(InputError, match=f"manifest.json is missing|{name}: "):
        read_run_upload(uploads, "x.zip", zipped(harmed, "run/"))


def test_what_was_taken_away_can_be_brought(uploads: UploadFolder, loaded) -> None:
    run = read_run_upload(uploads, "x.zip", files.run_zip(loaded, seed=3, hours=1))
    assert run.communication.hours == 1
    assert dict(run.facts)["seed"] == "3"


def evil(**files: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return target.getvalue()


def test_nothing_is_written_outside(uploads: UploadFolder, folder: Path, tmp_path: Path) -> None:
    data = zipped(folder, "run/")
    target = io.BytesIO(data)
    with zipfile.ZipFile(target, "a") as archive:
        for name in ("../../evil", "/evil", "run/../../evil.json", "run/sub/summary.json"):
            archive.writestr(name, b"x")
    run = read_run_upload(uploads, "x.zip", target.getvalue())
    assert {p.name for p in run.folder.iterdir()} <= set(module.WANTED)
    assert [p.name for p in run.folder.parent.iterdir()] == [run.folder.name]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04",
        b"not a zip",
        evil(a=b"1"),
        evil(**{"run.json": b"{}"}),
        evil(**{"run.json": b"[" * 100_000}),
        evil(**{"a/run.json": b"{}", "b/run.json": b"{}"}),
        evil(**{f"f{i}": b"" for i in range(module.MOST_FILES + 1)}),
        evil(**{"../run.json": b"{}", "../../run.json": b"{}"}),
    ],
    ids=range(9),
)
def test_junk_archives_are_refused(uploads: UploadFolder, data: bytes) -> None:
    with pytest.raises(InputError):
        read_run_upload(uploads, "x.zip", data)
    assert not [p for p in uploads.place().parent.iterdir() if any(p.iterdir())]


def test_a_bomb_does_not_go_off(uploads: UploadFolder, folder: Path) -> None:
    data = evil(**{"run.json": b"0" * (4 * module.MOST_RUN_BYTES + 1)})
    assert len(data) < module.MOST_RUN_BYTES / 50
    with pytest.raises(InputError, match="unpacked"):
        read_run_upload(uploads, "x.zip", data)
    # An entry that lies about its length yields no more than it says.
    at = data.rindex(b"PK\x01\x02") + 24
    liar = data[:at] + struct.pack("<I", 10) + data[at + 4 :]
    with pytest.raises(InputError):
        read_run_upload(uploads, "x.zip", liar)


def test_few_bytes_do_not_stand_for_a_large_table(uploads: UploadFolder) -> None:
    """A number of 500,000 digits made 61 rows of them; a label of 100 kB was there in each of 1,500 rows."""
    long = table() + b"0" * 500_000 + b"1,5,CK+\n"
    label = pa.DictionaryArray.from_arrays(np.zeros(1500, np.int32), ["a" * 100_000])
    bomb = packed(x=np.arange(1500.0), y=np.zeros(1500), cell_type=label)
    assert len(bomb) < 20_000
    for name, data, says in (
        ("a.csv", long, "at most 64 characters"),
        ("a.parquet", bomb, "text of more than"),
    ):
        tracemalloc.start()
        try:
            with pytest.raises(InputError, match=says):
                read_table_upload(uploads, name, data)
            assert tracemalloc.get_traced_memory()[1] < 2e7
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("cells.parquet", lambda: packed(cell=np.zeros(3_000)), "3000 rows of 1 columns"),
        ("cells.parquet", lambda: packed(**{f"c{i}": np.zeros(20) for i in range(60)}), "20 rows of 60"),
        ("edges.parquet", lambda: packed(donor_type=["a" * 1000] * 9), "text of more than"),
        ("metrics_by_kind.parquet", lambda: packed(time_h=[[1.0] * 1000]), "holds list"),
        ("run.json", lambda: b" " * 5_000, "larger than"),
    ],
)
def test_few_bytes_do_not_stand_for_a_large_run(
    uploads: UploadFolder, monkeypatch, name, content, says
) -> None:
    monkeypatch.setattr(module, "MOST_VALUES", 1000)
    monkeypatch.setattr(module, "MOST_JSON_BYTES", 4000)
    with pytest.raises(InputError, match=says):
        read_run_upload(uploads, "x.zip", evil(**({"run.json": b"{}"} | {name: content()})))


def test_a_folder_of_the_command_line_opens(folder: Path, tmp_path: Path) -> None:
    assert open_run(folder).name == "small"
    with pytest.raises(InputError, match="no run"):
        open_run(tmp_path)


def test_a_section_of_6072_cells_is_taken(uploads: UploadFolder) -> None:
    """The limit follows from the estimate of the run, not from a small number of cells."""
    side = 78
    rows = [f"{14 * (i % side)},{14 * (i // side)},{('tumor', 'stroma')[i % 2]}" for i in range(6072)]
    uploaded = read_table_upload(uploads, "section.csv", "\n".join(["x,y,cell_type", *rows]).encode())
    setup = uploaded.setup({})
    assert setup.title == "section.csv"
    Session(setup.load(), setup.seed)


def test_too_many_cells_are_refused_before_they_are_placed() -> None:
    setup = first_setup("signaling").changed({"layout.group.recipient.count": "900000"})
    with pytest.raises(ResourceError, match="900,007 cells; the page takes up to 20,000"):
        Session(setup.load())
