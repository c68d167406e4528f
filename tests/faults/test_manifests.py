"""Folders of results of each kind: each has a manifest, by which damage in any of its files is found."""

from __future__ import annotations

from pathlib import Path

import pytest

import exoabm as xo
from exoabm.batch.execution.row_journal import verify
from exoabm.errors import InputError
from exoabm.export.export import export
from exoabm.manifest import MANIFEST, inside

SMALL = {"domain.voxel": "40 um", "clock.step": "10 min", "transport.engine": "vesicles"}
RATE = "cell_type.donor.release_rate"
SURE = {"vesicle.exosome.delivery_probability": 1}


def a_run(out: Path) -> None:
    xo.run("two_cells", SMALL, seed=1, hours=1, checkpoint_every="30 min", keep_checkpoints=True, out=out)


def a_sweep(out: Path) -> None:
    xo.sweep("two_cells", {RATE: [60, 120]}, SMALL, seed=1, hours=0.5, keep="runs", out=out)


def a_trial(out: Path) -> None:
    xo.trial(
        "waste_removal", {"clock.step": "1 h", "clock.duration": "1 h"}, replicates=2, sweep=False, out=out
    )


def a_whatif(out: Path) -> None:
    xo.whatif("two_cells", SMALL, silence="cell:0", hours=0.5, out=out)


def causes(out: Path) -> None:
    xo.causal("two_cells", "taken_up[exosome]", SMALL, seeds=2, hours=0.5, out=out)


def exact_causes(out: Path) -> None:
    continuum = SMALL | {"transport.engine": "continuum"}
    xo.causal("two_cells", "taken_up[exosome]", continuum, design="adjoint", out=out)


def paths(out: Path) -> None:
    xo.paths(xo.run("two_cells", SMALL | SURE, seed=1, hours=2)).save(out)


def a_comparison(out: Path) -> None:
    xo.compare(*(xo.run("two_cells", SMALL, seed=seed, hours=0.5) for seed in (1, 2))).save(out)


def a_sensitivity(out: Path, hours: float = 0.5) -> None:
    vary = {RATE: "30 / h:300 / h", "vesicle.exosome.half_life": "5 h:6 h"}
    few = {"trajectories": 2, "samples": 8, "hours": hours}
    continuum = SMALL | {"transport.engine": "continuum"}
    xo.sensitivity("two_cells", vary, continuum, readout="free[exosome]", **few, out=out)


def a_fit(out: Path, save: Path | None = None) -> None:
    continuum = SMALL | {"transport.engine": "continuum", "clock.step": "30 min"}
    run = xo.run("two_cells", continuum, seed=1, hours=1)
    vary = {RATE: "30 / h:300 / h"}
    found = xo.fit("two_cells", run.folder, vary, continuum, columns=["emitted[exosome]"], out=out)
    if save is not None:
        found.save(save)


def a_saved_fit(out: Path) -> None:
    a_fit(out.with_name("fit"), out)


KINDS = (
    a_run,
    a_sweep,
    a_trial,
    a_whatif,
    causes,
    exact_causes,
    paths,
    a_comparison,
    a_sensitivity,
    a_fit,
    a_saved_fit,
)
MOVING = ("lock", "journal.sqlite")


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_results_of_each_kind_are_verified(tmp_path: Path, make) -> None:
    out = tmp_path / "out"
    make(out)
    assert (out / MANIFEST).is_file()
    assert verify(out) == []
    names = [name for name in inside(out) if Path(name).name not in MOVING]
    for name in {names[len(names) // 2], *(name for name in names if "/" not in name)}:
        whole = (out / name).read_bytes()
        (out / name).write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
        assert f"{name} is damaged" in map(str, verify(out))
        (out / name).write_bytes(whole)
    (out / "notes.txt").write_text("not of these results")
    assert [str(fault) for fault in verify(out)] == ["notes.txt is foreign"]


@pytest.mark.parametrize("make", [a_sensitivity, a_fit], ids=lambda make: make.__name__)
def test_an_analysis_goes_on_in_its_folder_and_in_no_other(tmp_path: Path, make) -> None:
    """Its manifest is written again; a folder that holds something else is refused."""
    make(tmp_path / "out")
    before = (tmp_path / "out" / MANIFEST).read_bytes()
    make(tmp_path / "out")
    assert (tmp_path / "out" / MANIFEST).read_bytes() == before
    with pytest.raises(InputError, match="contains no tables to export"):
        export(tmp_path / "out", tmp_path / "tables")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"mine holds 'thesis.txt'"):
        make(tmp_path / "mine")
    with pytest.raises(InputError, match="lies inside"):
        make(tmp_path / "out" / "again")


def test_a_sensitivity_with_other_settings_leaves_the_finished_one_as_it_is(tmp_path: Path) -> None:
    """It is refused, and the manifest is put back."""
    a_sensitivity(tmp_path / "out")
    with pytest.raises(InputError, match="runs with other settings"):
        a_sensitivity(tmp_path / "out", hours=0.6)
    assert verify(tmp_path / "out") == []
