"""What a run puts in place is on disk before it has its name, and its name is on disk when the run ends."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from exoabm.errors import InputError, RunFailed
from exoabm.output import durable_files, run_folder
from exoabm.output.durable_files import atomic_file, write_whole
from exoabm.output.run_folder import check_finished, leftovers
from exoabm.runs.run_execution import run_to_folder
from exoabm.scenario.loader import load

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="synced files are told by their inodes")


@dataclass
class Disk:
    """Inodes that were synced, and for each rename, by its target, what had been synced before it."""

    synced: set[int] = field(default_factory=set)
    renamed: dict[Path, set[int]] = field(default_factory=dict)

    def lacks(self, place: Path) -> set[str]:
        """Names in a place that were not on disk before it had its name, or whose name itself is not."""
        inside = [place, *(place.rglob("*") if place.is_dir() else ())]
        lost = {each.name for each in inside if each.stat().st_ino not in self.renamed[place]}
        return lost | ({".."} - ({".."} if place.parent.stat().st_ino in self.synced else set()))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    seen, sync, rename = Disk(), os.fsync, Path.replace

    def fsync(handle: int) -> None:
        seen.synced.add(os.fstat(handle).st_ino)
        sync(handle)

    def replace(source: Path, target: Path) -> Path:
        seen.renamed[Path(target)] = set(seen.synced)
        seen.synced.discard(Path(target).parent.stat().st_ino)
        return rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    return seen


@pytest.mark.parametrize("every", [None, 60.0])
def test_a_run_is_on_disk_before_it_has_its_name(tmp_path: Path, disk: Disk, every: float | None) -> None:
    run_to_folder(load("two_cells"), tmp_path / "a", seed=1, hours=0.05, checkpoint_every=every)
    assert disk.lacks(tmp_path / "a") == set()


def test_a_checkpoint_is_on_disk_before_it_replaces_the_last(tmp_path: Path, disk: Disk) -> None:
    class Stop(Exception):
        pass

    def stop(share: float) -> None:
        if share > 0.5:
            raise Stop

    with pytest.raises(Stop):
        run_to_folder(
            load("two_cells"), tmp_path / "a", seed=1, hours=0.1, checkpoint_every=60.0, progress=stop
        )
    assert disk.lacks(tmp_path / "a.unfinished" / "checkpoint.npz") == set()
    parts = [*(tmp_path / "a.unfinished").glob("*.part")]
    assert parts
    assert {part.stat().st_ino for part in parts} <= disk.synced


def test_a_file_is_on_disk_before_it_has_its_name(tmp_path: Path, disk: Disk) -> None:
    write_whole(tmp_path / "rows.jsonl", b"{}")
    assert disk.lacks(tmp_path / "rows.jsonl") == set()


@pytest.mark.parametrize(
    ("function", "lost"), [("sync", {"run.json", "fields.zarr", ".."}), ("_sync", {"run.json", "a", ".."})]
)
def test_a_sync_left_out_would_be_seen(tmp_path: Path, disk: Disk, monkeypatch, function, lost) -> None:
    monkeypatch.setattr(run_folder if function == "sync" else durable_files, function, lambda *_, **__: None)
    run_to_folder(load("two_cells"), tmp_path / "a", seed=1, hours=0.05)
    assert lost <= disk.lacks(tmp_path / "a")
    if function == "_sync":
        with atomic_file(tmp_path / "b") as partial:
            partial.write_bytes(b"")
        assert disk.lacks(tmp_path / "b") == {"b", ".."}


def folder(place: Path, text: str) -> Path:
    """A folder that holds one file."""
    place.mkdir()
    (place / "a").write_text(text)
    return place


def texts(home: Path) -> dict[str, str]:
    """Every file below a folder, hidden ones too."""
    found = (path for path in home.rglob("*") if path.is_file())
    return {str(path.relative_to(home)): path.read_text() for path in found}


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_comes_while_a_folder_is_filled_is_never_removed(tmp_path: Path, overwrite: bool) -> None:
    """With leave to overwrite, what was there at the start may go, and nothing else."""
    for name in ("w.finished", "w.finished-2"):
        said = rf"something came to .*/w, .* is kept in .*/{name}$"
        with (  # noqa: PT012, since the error is raised at the end of the work
            pytest.raises(RunFailed, match=said),
            durable_files.atomic_folder(tmp_path / "w", overwrite=overwrite) as work,
        ):
            (work / "a").write_text("new")
            (tmp_path / "w").mkdir(exist_ok=True)
            (tmp_path / "w" / "a").write_text(f"of others, beside {name}")
        if not overwrite:
            break
    others = {"w/a": f"of others, beside {name}"}
    assert texts(tmp_path) == others | dict.fromkeys(["w.finished/a", f"{name}/a"], "new")
    with durable_files.atomic_folder(tmp_path / "w", overwrite=True) as work:
        (work / "a").write_text("new")
    assert texts(tmp_path / "w") == {"a": "new"}
    with pytest.raises(InputError, match="exists already"), durable_files.atomic_folder(tmp_path / "w"):
        pytest.fail("work begins that could not be put in place")


@pytest.mark.parametrize("fault", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("of_a_run", [False, True], ids=["folder", "run"])
def test_what_is_replaced_is_back_if_nothing_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: type[BaseException], of_a_run: bool
) -> None:
    folder(tmp_path / "w", "old")
    (tmp_path / "w" / "a").rename(tmp_path / "w" / "run.json")

    def stop(*_: object) -> None:
        raise fault

    monkeypatch.setattr(durable_files, "put", stop)
    replacing = run_folder.RunFolder if of_a_run else durable_files.atomic_folder
    error = RunFailed if of_a_run and fault is OSError else fault
    with pytest.raises(error), replacing(tmp_path / "w", overwrite=True) as work:
        (getattr(work, "work", work) / "run.json").write_text("new")
    assert texts(tmp_path) == {"w/run.json": "old"}


def test_work_on_a_folder_is_listed_and_removed_only_once_its_process_has_ended(tmp_path: Path) -> None:
    code = f"""
import os
from pathlib import Path
from exoabm.output.durable_files import atomic_folder
with atomic_folder(Path({str(tmp_path / "dead")!r})) as work:
    (work / "a").write_text("half")
    os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    with durable_files.atomic_folder(tmp_path / "live"):
        found = {each.path.name.split(".")[1]: each.dead for each in leftovers(tmp_path)}
    assert found == {"dead": True, "live": False}
    for each in leftovers(tmp_path):
        each.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["live"]


def test_a_folder_whose_replacement_was_killed_is_back_before_any_work(tmp_path: Path) -> None:
    folder(tmp_path / ".w.replaced", "old")
    with (
        pytest.raises(InputError, match="begin again"),
        durable_files.atomic_folder(tmp_path / "w", overwrite=True),
    ):
        pytest.fail("what was put back is replaced without being checked")
    assert texts(tmp_path) == {"w/a": "old"}


@pytest.mark.parametrize("place", ["x" * 300, "x" * 300 + "/a", "file/a"], ids=len)
def test_a_place_that_cannot_be_is_refused_with_its_name(tmp_path, place) -> None:
    """Also on versions of Python in which `Path.exists` raises for names that are too long."""
    (tmp_path / "file").write_text("")
    path = tmp_path / place
    durable_files.check_new(path, overwrite=False)
    with (
        pytest.raises(InputError, match=f"cannot write to {path.parent}"),
        durable_files.writing_into(path.parent),
    ):
        write_whole(path, b"")
    durable_files.check_room(path, (), overwrite=True)
    check_finished(path)
    with pytest.raises(InputError, match=r"unknown scenario|no scenario file"):
        load(place)
    with pytest.raises(InputError, match="cannot write to"), durable_files.atomic_folder(path):
        pass
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_work_is_removed_though_a_thread_still_writes_into_it(tmp_path, monkeypatch) -> None:
    """As zarr does when its caller was interrupted; here a file comes while the others are removed."""
    remove, late = run_folder.shutil.rmtree, ["a", "b"]

    def removed(path: Path, **given: bool) -> None:
        for file in path.iterdir():
            file.unlink()
        if late:
            (path / late.pop()).touch()
        else:
            remove(path, **given)

    monkeypatch.setattr(run_folder.shutil, "rmtree", removed)
    monkeypatch.setattr(run_folder, "BETWEEN_REMOVALS", 0)
    with pytest.raises(KeyboardInterrupt), run_folder.RunFolder(tmp_path / "a"):
        raise KeyboardInterrupt
    assert not late
    assert not list(tmp_path.iterdir())


def test_what_exists_is_replaced_only_when_asked_and_so_is_a_link_to_nothing(tmp_path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    durable_files.check_new(tmp_path / "link", overwrite=True)
    with pytest.raises(InputError, match="link exists already"):
        durable_files.check_new(tmp_path / "new", tmp_path / "link", overwrite=False)
