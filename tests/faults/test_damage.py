"""Run folders and batches with damage in them: refused in a sentence, or mended, but never believed."""

from __future__ import annotations

import json
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exoabm import manifest
from exoabm.errors import InputError
from exoabm.tables.parquet import read_whole

RATE = "cell_type.donor.release_rate"
SMALL = ("--set", "domain.voxel=40", "--set", "clock.step=600", "--hours", "0.5")


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """A finished run."""
    from exoabm.runs.run_execution import run_to_folder
    from exoabm.scenario.loader import load

    small = {"domain.voxel": "40", "clock.step": "600"}
    folder = tmp_path_factory.mktemp("kept") / "run"
    run_to_folder(load("two_cells", small), folder, seed=1, hours=0.5)
    return folder


@pytest.fixture
def runs(kept, tmp_path) -> tuple[Path, Path]:
    """Two copies of it, one to be damaged."""
    return tuple(shutil.copytree(kept, tmp_path / name) for name in "ab")


def seal(folder: Path) -> Path:
    """Have the manifest say what is there, as if it had been written so."""
    manifest.write(folder, [name for name in manifest.inside(folder) if name != manifest.MANIFEST])
    return folder


def without(text: str, key: str) -> str:
    assert f'"{key}"' in text
    return text.replace(f'"{key}"', f'"{key}_"', 1)


@pytest.mark.parametrize(
    ("file", "harm"),
    [
        ("run.json", lambda text: without(text, "seed")),
        ("run.json", lambda text: without(text, "scenario_name")),
        ("run.json", lambda text: without(text, "versions")),
        ("run.json", lambda text: "[" * 100_000),
        ("run.json", lambda text: "[]"),
        ("run.json", lambda text: json.dumps(json.loads(text) | {"scenario": 3})),
        ("summary.json", lambda text: without(text, "communication")),
        ("summary.json", lambda text: without(text, "taken_up_by_type")),
        ("summary.json", lambda text: json.dumps(json.loads(text) | {"communication": [1]})),
        ("summary.json", lambda text: json.dumps(json.loads(text) | {"hours": "long"})),
        ("summary.json", lambda text: "null"),
    ],
)
def test_a_run_whose_words_are_damaged_is_not_compared(command, runs, file, harm) -> None:
    """By the manifest, and by what is in them."""
    path = runs[1] / file
    path.write_text(harm(path.read_text()))
    command("compare", "a", "b").refused(2, "b cannot be read as a run", f"{file} is damaged")
    seal(runs[1])
    command("compare", "a", "b").refused(2, "b cannot be read as a run")


def with_a_damaged_name(path: Path) -> None:
    """A byte of a column's name is no UTF-8 any more; Arrow reads such a table."""
    data = path.read_bytes()
    for place in range(len(data) - 1, 0, -1):
        if data[place : place + 9] == b"mean_conc" and data[place - 1] < 40:
            spoiled = bytearray(data)
            spoiled[place + 3] = 0xE3
            path.write_bytes(spoiled)
            try:
                table = pq.read_table(path)
            except (OSError, ValueError):
                continue
            try:
                table.column_names  # noqa: B018
            except UnicodeDecodeError:
                return
    raise AssertionError("no name found")


def test_a_table_with_a_damaged_name_is_refused_wherever_it_is_read(command, runs, tmp_path) -> None:
    with_a_damaged_name(runs[1] / "metrics_by_kind.parquet")
    seal(runs[1])
    command("compare", "a", "b").refused(2, "metrics_by_kind.parquet cannot be read")
    command("fit", "two_cells", "--data", "b", "--vary", "a=1:2").refused(
        2, "metrics_by_kind.parquet", "cannot be read"
    )
    for form in ("csv", "json", "arrow", "numpy"):
        command("export", "b", "--to", "out", "--format", form).refused(
            2, "b: metrics_by_kind.parquet cannot be read"
        )
        assert not (tmp_path / "out").exists()


def test_a_table_that_leads_out_of_itself_is_refused(tmp_path) -> None:
    """Arrow believes what a file says of its dictionaries and offsets unless it is asked to look."""
    from exoabm.errors import InputError
    from exoabm.tables.parquet import read_whole

    words = pa.array(["donor", "recipient"] * 50)
    pq.write_table(pa.table({"word": words}), tmp_path / "a.parquet", compression="none")
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    place = data.index(b"recipient")
    data[place] = 0xA2
    (tmp_path / "a.parquet").write_bytes(data)
    pq.read_table(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet cannot be read"):
        read_whole(tmp_path / "a.parquet")


def test_an_export_is_whole_or_not_there(command, runs, tmp_path) -> None:
    """The last table is damaged: the first ones are not left behind, and what stood there stays."""
    (runs[1] / "metrics.parquet").write_bytes(b"PAR1")
    seal(runs[1])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "cells.csv").write_text("mine")
    command("export", "b", "--to", "out", "--overwrite").refused(2, "metrics.parquet")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["cells.csv"]
    assert (tmp_path / "out" / "cells.csv").read_text() == "mine"


def test_a_run_is_not_exported_into_itself(command, runs) -> None:
    before = sorted(path.name for path in runs[0].iterdir())
    command("export", "a", "--to", "a", "--overwrite").refused(2, "--to a is the folder to be exported")
    assert sorted(path.name for path in runs[0].iterdir()) == before


@pytest.mark.parametrize(
    ("name", "harm", "state"),
    [
        ("run.json", lambda path: path.write_text(path.read_text().replace("1", "2", 1)), "damaged"),
        ("preview.png", lambda path: path.write_bytes(path.read_bytes()[:-1]), "damaged"),
        ("communication.graphml", Path.unlink, "missing"),
        ("manifest.json", lambda path: path.write_text(path.read_text().replace("1", "2", 1)), "damaged"),
        ("manifest.json", Path.unlink, "missing"),
        ("fields.zarr/concentration/c/1/0/0/0/0/0", Path.unlink, "missing"),
        ("fields.zarr/zarr.json", lambda path: path.write_text("{}"), "damaged"),
        (
            "fields.zarr/concentration/c/7/0/0/0/0/0",
            lambda path: path.parent.mkdir(parents=True) or path.touch(),
            "foreign",
        ),
        ("notes.txt", Path.touch, "foreign"),
    ],
)
def test_whoever_reads_a_run_is_told_of_its_damage(command, runs, name, harm, state) -> None:
    """``verify`` names each file; compare, export and the page refuse what is damaged or missing."""
    from exoabm.viz.server.uploads import open_run

    assert "b is complete and undamaged" in command("verify", "b").out
    harm(runs[1] / name)
    done = command("verify", "b")
    done.refused(2, "b: damaged, missing or unexpected files: 1")
    assert f"{state:<8} {name}" in done.out
    if state == "foreign":
        assert command("compare", "a", "b").code == 0
        assert open_run(runs[1]).metrics.num_rows
        return
    command("compare", "a", "b").refused(2, "cannot be read as a run", f"{name} is {state}")
    command("export", "b", "--to", "out").refused(2, f"{name} is {state}", "--partial")
    with pytest.raises(InputError, match=f"{name} is {state}"):
        open_run(runs[1])


def test_a_name_in_a_manifest_leads_nowhere_else(runs, tmp_path) -> None:
    (tmp_path / "secret").write_text("mine")
    manifest.write(runs[0], ["run.json", "../secret"])
    assert [str(fault) for fault in manifest.faults(runs[0])] == ["manifest.json is damaged"]


def test_leftovers_are_named_and_only_the_dead_removed(command, runs, tmp_path) -> None:
    """Of a killed run, one at work, one that can be resumed, and one killed as it replaced another."""
    from exoabm.output.folder_locks import LOCK, hold

    place = tmp_path / "runs"
    for name in (".dead.partial", ".busy.partial", "on.unfinished", "off.unfinished", ".mine.partial"):
        (place / name).mkdir(parents=True)
        (place / name / "data").touch()
    for name in (".dead.partial", ".busy.partial", "on.unfinished", "off.unfinished"):
        (place / name / LOCK).touch()
    (place / "on.unfinished" / "checkpoint.npz").touch()
    runs[0].rename(place / ".lost.replaced")
    with hold(place / ".busy.partial"):
        said = command("clean").out
        for words in (
            "runs/.dead.partial was left by a process that ended (--remove removes it)",
            "runs/.busy.partial is being written by process",
            "runs/on.unfinished is an unfinished run: `exoabm resume runs/on`",
            "runs/off.unfinished was left by a process that ended",
            "runs/.lost.replaced is the run of runs/lost, to be put back there",
        ):
            assert words in said
        assert "mine" not in said
        assert len(list(place.iterdir())) == 6
        assert command("clean", "runs", "--remove").code == 0
    kept = {".busy.partial", "on.unfinished", ".mine.partial", "lost"}
    assert {path.name for path in place.iterdir()} == kept
    assert manifest.faults(place / "lost") == []
    assert "no leftovers" in command("clean", place / "lost").out


# Batches.


@pytest.fixture(scope="module")
def swept(tmp_path_factory) -> Path:
    from exoabm.batch.execution.runner import run_rows
    from exoabm.batch.sweeps.sweep import plan_sweep
    from exoabm.scenario.loader import load

    small = {"domain.voxel": "40", "clock.step": "600", "clock.duration": "0.5 h"}
    plan = plan_sweep(load("two_cells", small), [f"{RATE}=10,60"], replicates=2, seed=1)
    folder = tmp_path_factory.mktemp("swept") / "s"
    run_rows(replace(plan, chunk=1), folder)
    return folder


def test_rows_that_are_damaged_are_told_by_compare(command, swept, tmp_path) -> None:
    shutil.copytree(swept, tmp_path / "s")
    arms = f"s@{RATE}=10", f"s@{RATE}=60"
    assert "missing" not in command("compare", *arms).err
    for number in (1, 3):  # one of each arm, of the same seed: every row that is left has its partner
        path = tmp_path / "s" / "rows" / f"{number:06d}.jsonl"
        path.write_bytes(path.read_bytes()[:-30])
    assert command("compare", *arms).err.count("2 rows of the sweep missing or damaged") == 2


def test_an_arm_names_each_key_once(command, swept, tmp_path) -> None:
    shutil.copytree(swept, tmp_path / "s")
    command("compare", f"s@{RATE}=10,{RATE}=60", "s").refused(2, "a key is given twice")


def other_columns(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as base:
        base.executescript("CREATE TABLE chunks (a INTEGER); CREATE TABLE rows (b TEXT);")
    base.close()


def no_text(path: Path) -> None:
    with sqlite3.connect(path) as base:
        base.execute("UPDATE chunks SET sha256 = CAST(x'ff' || sha256 AS TEXT)")
    base.close()


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize("harm", [other_columns, no_text, half])
def test_a_journal_that_is_damaged_within_is_made_again(swept, tmp_path, harm) -> None:
    from exoabm.batch.execution.row_journal import JOURNAL
    from exoabm.batch.execution.runner import resume_rows

    folder = shutil.copytree(swept, tmp_path / "s")
    harm(folder / JOURNAL)
    assert resume_rows(folder).ran == 0
    base = sqlite3.connect(folder / JOURNAL)
    assert base.execute("SELECT COUNT(*) FROM rows WHERE state = 'done'").fetchone() == (4,)
    base.close()


def test_a_damaged_part_of_a_kept_sweep_is_told(command, tmp_path) -> None:
    sweep = (
        "sweep",
        "two_cells",
        "--vary",
        f"{RATE}=10,60",
        *SMALL,
        "--seed",
        1,
        "--keep",
        "runs",
        "--out",
        "s",
    )
    assert command(*sweep).code == 0
    assert "s is complete and undamaged" in command("verify", "s").out
    part = next((tmp_path / "s" / "runs").glob("*/summary.json"))
    part.write_text(part.read_text().replace("1", "2", 1))
    name = part.relative_to(tmp_path / "s").as_posix()
    done = command("verify", "s", "--json")
    assert done.code == 2
    assert json.loads(done.out[done.out.index("{") :])["faults"] == [{"file": name, "state": "damaged"}]
    done = command("resume", "s")
    assert done.code == 0
    assert f"{name} is damaged; it was computed again" in done.err
    done = command("resume", "s", "--json")
    assert json.loads(done.out[done.out.index("{") :])["damage"] == []
    assert command("verify", "s").code == 0
    command("verify", ".").refused(2, "contains no results")


# Tables of measurements.


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        (
            "time_h,free[exosome],free[exosome]\n1,3,4\n2,8,9\n",
            ("two columns are named 'free[exosome]'",),
        ),
        ("time_h,free[exosome]\n1,inf\n2,8\n3,9\n", ("free[exosome] is infinite", "time_h = 1")),
        ("time_h,free[exosome]\n1,5\n1e9,8\n", ("time_h = 1e+09", "at most 100000 h")),
        ("time_h,free[exosome]\n1,nan\n2,nan\n", ("no column changes with time",)),
    ],
)
def test_a_table_of_measurements_that_makes_no_sense_is_refused(command, tmp_path, text, fragments) -> None:
    (tmp_path / "m.csv").write_text(text)
    done = command("fit", "two_cells", "--data", "m.csv", "--vary", f"{RATE}=10:100")
    done.refused(2, "m.csv", *fragments)
    assert "RuntimeWarning" not in done.err


def test_a_kind_of_vesicle_does_not_go_with_a_time_series(command, tmp_path) -> None:
    (tmp_path / "m.csv").write_text("time_h,free[exosome]\n1,5\n2,8\n")
    done = command("fit", "two_cells", "--data", "m.csv", "--vary", f"{RATE}=10:100", "--vesicle", "nope")
    done.refused(2, "--vesicle goes with a histogram")


def test_a_trial_of_too_many_replicates_is_refused_at_once(command) -> None:
    command("trial", "waste_removal", "--replicates", 10**9).refused(2, "from 2 to 100,000")


# Names and links.


def test_a_link_is_written_through(command, tmp_path) -> None:
    (tmp_path / "link").symlink_to("far")
    assert command("run", "two_cells", *SMALL, "--seed", 1, "--out", "link").code == 0
    assert (tmp_path / "far" / "run.json").is_file()
    assert command("run", "two_cells", *SMALL, "--seed", 2, "--out", "link", "--overwrite").code == 0
    assert json.loads((tmp_path / "link" / "run.json").read_text())["seed"] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["far", "link"]


@pytest.mark.parametrize(
    "verb", [("run", "two_cells", "--out"), ("sweep", "two_cells", "--replicates", 2, "--out"), ("show",)]
)
def test_a_name_that_is_not_utf_8_is_refused(command, tmp_path, verb) -> None:
    done = command(*verb, "a\udcff")
    done.refused(2, "not UTF-8")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["metrics_by_kind.parquet", "edges.parquet", "cells.parquet"])
def test_no_flipped_bit_changes_a_number_unseen(kept, tmp_path, name) -> None:
    """What a table's pages hold is kept by their checksums; what is said of them, by what they hold."""
    good, whole = (kept / name).read_bytes(), read_whole(kept / name)
    footer = len(good) - 8 - int.from_bytes(good[-8:-4], "little")
    path, seen = tmp_path / name, 0
    for at in range(4, footer, 7):
        path.write_bytes(good[:at] + bytes([good[at] ^ 16]) + good[at + 1 :])
        try:
            found = read_whole(path)
        except InputError:
            seen += 1
        else:
            assert found.equals(whole), f"byte {at} of {footer}"
    assert seen > 0.5 * (footer - 4) / 7
