"""What a run puts in place is on disk before it has its name, and its name is on disk when the run ends."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from exoabm.output import run_folder
from exoabm.output.run_folder import atomic_file, write_whole
from exoabm.runs.execute import run_to_folder
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
    monkeypatch.setattr(run_folder, function, lambda *_, **__: None)
    run_to_folder(load("two_cells"), tmp_path / "a", seed=1, hours=0.05)
    assert lost <= disk.lacks(tmp_path / "a")
    if function == "_sync":
        with atomic_file(tmp_path / "b") as partial:
            partial.write_bytes(b"")
        assert disk.lacks(tmp_path / "b") == {"b", ".."}
