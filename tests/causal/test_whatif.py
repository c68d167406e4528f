"""Comparisons with a twin: folders, differences of tables, pairing, and paths."""

from dataclasses import replace

import h5py
import pandas as pd
import pytest
from small_tissue import LINEAR, SILENT_RELAYS, TOML, loaded
from typer.testing import CliRunner

import exoabm
from exoabm.batch.execution.row_journal import verify
from exoabm.causal.attribution import attribute
from exoabm.causal.paths import Paths, paths, write
from exoabm.causal.whatif import _kept_beside, reasons, whatif
from exoabm.cli.console import app
from exoabm.errors import InputError, LongRun, NumericalError, RunFailed
from exoabm.export.export import export
from exoabm.manifest import faults
from exoabm.model import ExosomeModel
from exoabm.output.checkpoint import snapshot
from exoabm.runs.run_execution import resume_run, run_to_folder
from exoabm.runs.run_from_checkpoint import start_of
from exoabm.scenario.loader import load, parse
from exoabm.tables.declarations import BALANCE
from exoabm.tables.finished_run import Run

VESICLES = {"transport.engine": "vesicles"}


@pytest.fixture(autouse=True)
def _no_previews(monkeypatch):
    """Pictures of runs take most of the time, and are tested elsewhere."""
    monkeypatch.setattr("exoabm.runs.run_execution.draw_picture", lambda *_, **__: None)


@pytest.mark.parametrize("engine", ["continuum", "vesicles"])
def test_the_difference_of_every_table_is_that_of_the_runs(tmp_path, engine):
    change = {"silence": "cell:1", "at": "1 h"}
    found = whatif(loaded(LINEAR, {"transport.engine": engine}), tmp_path / "w", **change, seed=3, hours=3)
    by_kind = found.difference("metrics_by_kind")
    last = by_kind[by_kind.time_h == 3]
    change = {place: last[place].sum() for place in BALANCE}
    assert last.emitted.sum() == pytest.approx(sum(change.values()), abs=1e-9)
    assert (by_kind[by_kind.time_h <= 1].drop(columns=["runs", "vesicle_kind", "time_h"]) == 0).all().all()
    cells = found.difference("cells_by_kind")
    cells = cells[cells.time_s == 3 * 3600]
    assert cells[cells.cell == 1].released.sum() == -120
    for name in ("taken_up", "delivered"):
        assert cells[name].sum() == pytest.approx(last[name].sum(), abs=1e-9)
        assert found.difference("edges")[name].sum() == pytest.approx(last[name].sum(), abs=1e-9)
    events = found.difference("events")
    early = events[events.time_s <= 3600]
    assert (early["count"] == 0).all()  # of single vesicles there is no such row
    assert len(events) > len(early) > (-1 if engine == "vesicles" else 0)
    assert found.about["readouts"]["emitted[exosome]"]["effect"] == pytest.approx(last.emitted.sum())
    assert (tmp_path / "w" / "whatif.png").stat().st_size > 10_000
    with pytest.raises(InputError, match="exists already"):
        whatif(loaded(), tmp_path / "w", silence="cell:1")
    with pytest.raises(InputError, match=r"at = '3 h': .* before the end of the runs, 3 h"):
        whatif(loaded(), tmp_path / "late", silence="cell:1", at="3 h", hours=3)
    with pytest.raises(
        InputError, match=r"at = '175 min': no step begins .*, 3 h; the last begins at '10200 s'"
    ):
        whatif(loaded(), tmp_path / "late", silence="cell:1", at="175 min", hours=3)


def test_a_change_within_a_step_says_when_it_acts(tmp_path, monkeypatch):
    monkeypatch.setattr("exoabm.plot.causal.draw_whatif", lambda *_, **__: None)
    options = {"at": "15 min", "seed": 1, "hours": 0.5}
    late = whatif(loaded(LINEAR), tmp_path / "s", silence="cell:1", **options)
    assert late.about["moved"] == "15 min is within a step: the change begins at its end, 1200 s."
    assert late.about["readouts"]["emitted[exosome]"]["effect"] == pytest.approx(-10)
    assert any("acts from 1200 s on" in said for said in late.changed.about["warnings"])
    early = whatif(loaded(LINEAR), tmp_path / "g", give="cell:1 message 5", **options)
    assert early.about["moved"] == "15 min is within a step: the change is made at its start, 600 s."


CHANGE = {"silence": "cell:0", "at": "100 min", "hours": 2.5}
STEP = (3000.0, "cell_type.donor.release_rate", "90 / h")


@pytest.fixture(params=["continuum", "vesicles"])
def kept(request, tmp_path, monkeypatch):
    """A run on a table of cells that kept checkpoints of 1, 2 and 3 half hours; pictures take no time."""
    monkeypatch.setattr("exoabm.plot.causal.draw_whatif", lambda *_, **__: None)
    rows = ["x,y,cell_type", "10,10,donor", "30,17,relay", "50,24,reader", "70,31,reader", ""]
    (tmp_path / "cells.csv").write_text("\n".join(rows))
    text = TOML[: TOML.index(b"[[layout.group]]")] + TOML[TOML.index(b"[clock]") :]
    text = text.replace(b"[clock]", b'[layout]\ntable = "cells.csv"\nunit = "1 um"\n[clock]')
    changes = {"transport.engine": request.param, "clock.step": "10 min"}
    scenario = parse(text, name="table", folder=tmp_path, overrides=changes)
    options = {"seed": 3, "hours": 2, "changes_at": [STEP]}
    run_to_folder(scenario, tmp_path / "r", checkpoint_every=1800, keep_checkpoints=True, **options)
    (tmp_path / "cells.csv").unlink()
    return tmp_path / "r"


def contents(folder):
    """Every file of two runs and their difference but those that say when and from where they were made."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    made = ("run.json", "manifest.json", "whatif.json")
    return {name: path.read_bytes() for name, path in files.items() if not name.endswith(made)}


def test_twins_from_a_kept_checkpoint_are_those_from_the_start(kept, tmp_path):
    source, options = load(kept), CHANGE | {"seed": 3, "changes_at": [STEP]}
    whole = whatif(source, tmp_path / "whole", **options)
    assert not verify(tmp_path / "whole")
    with pytest.raises(InputError, match=r"its runs are .*as_is and .*changed"):
        export(tmp_path / "whole", tmp_path / "tables")
    export(tmp_path / "whole" / "difference", tmp_path / "tables")
    edges = pd.read_csv(tmp_path / "tables" / "edges.csv")
    assert edges.taken_up.tolist() == pytest.approx(whole.difference("edges").taken_up.tolist())
    short = whatif(source, tmp_path / "short", **options, run=kept)
    assert (whole.about["from_h"], short.about["from_h"]) == (0, 1.5)
    one, other = (contents(tmp_path / name) for name in ("whole", "short"))
    assert len(one) > 60
    assert one == other
    operations = Run(tmp_path / "short" / "changed").about["operations"]
    assert [(row["operation"], row["from_h"]) for row in operations] == [("run", 0), ("branch", 1.5)]
    assert faults(kept) == faults(tmp_path / "short" / "changed") == [], "nothing was changed or is missing"
    (kept / "checkpoints" / "5400s.npz").write_bytes(b"")
    with pytest.raises(InputError, match=r"5400s.npz is damaged"):
        whatif(source, tmp_path / "none", **options, run=kept)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("kept", ["continuum"], indirect=True)
def test_checkpoints_that_do_not_apply_are_not_used_and_it_is_said(kept, tmp_path):
    def said(source=None, run=kept, seed=3, at=6000.0, end=7200.0, changes_at=(STEP,)):
        found = start_of(run, source or load(kept), seed=seed, at=at, end=end, changes_at=changes_at)
        assert (found.run is None) == (found.time == 0) == ("begin at 0 h" in found.note)
        return found.note

    assert "begin at 1.5 h" in said()
    assert "begin at 1 h" in said(at=5399.0)
    assert "begin at 0.5 h" in said(end=3600.0)
    assert "first checkpoint of" in said(at=600.0)
    for other in ({"seed": 4}, {"source": load(kept, {"transport.hindrance": "0.1"})}):
        assert "values or seed are not those of" in said(**other)
    assert "changes between steps are not those of" in said(changes_at=())
    (tmp_path / "table").mkdir()
    rows = (kept / "table" / "cells.csv").read_text()
    (tmp_path / "table" / "cells.csv").write_text(rows.replace("70,31", "70,32"))
    assert "the table of cells is not that of" in said(replace(load(kept), folder=tmp_path))
    run_to_folder(load(kept), tmp_path / "plain", seed=3, hours=0.5)
    with pytest.warns(LongRun, match=r"plain holds no checkpoints; `exoabm run .* --keep-checkpoints`"):
        exoabm.whatif(tmp_path / "plain", silence="cell:0", at="10 min", out=tmp_path / "w")
    with pytest.raises(InputError, match="needs --checkpoint-every"):
        CliRunner().invoke(app, ["run", "two_cells", "--keep-checkpoints"], catch_exceptions=False)


def test_a_model_of_a_checkpoint_goes_on_as_the_run(kept, monkeypatch):
    first = ExosomeModel.from_checkpoint(kept / "checkpoints" / "5400s.npz")
    whole = ExosomeModel(load(kept), seed=3)
    whole.run_until(STEP[0])
    whole.set(*STEP[1:])
    whole.run_until(5400)
    silent = [each.branch(silence="cell:0") for each in (first, whole)]
    for one, other in ((first, whole), silent):
        one.run(hours=0.5)
        other.run(hours=0.5)
        left, right = snapshot(one.state), snapshot(other.state)
        assert left.keys() == right.keys()
        assert all(left[key].tobytes() == right[key].tobytes() for key in left)
        assert one.history.rows == other.history.rows
    assert first.changes == whole.changes
    assert first.warnings == whole.warnings
    monkeypatch.setattr("exoabm.software.arithmetic", lambda: "another")
    other = ExosomeModel.from_checkpoint(kept / "checkpoints" / "5400s.npz")
    assert "the checkpoint was made with arithmetic" in other.warnings[-1]
    assert silent[0].state.released[0] < first.state.released[0]
    assert first.metrics["taken_up[exosome]"].iloc[-1] == Run(kept).metrics["taken_up[exosome]"][-1].as_py()


def test_a_failed_twin_replaces_nothing_and_keeps_its_records(tmp_path, monkeypatch):
    asked = {"silence": "cell:0", "seed": 1, "hours": 0.5}
    whatif(loaded(), tmp_path / "w", **asked)
    before = contents(tmp_path / "w")
    fine = ExosomeModel.run_until

    def fail(model, end, **options):
        fine(model, end, **options)
        if model.scenario.silence:
            raise NumericalError("one vesicle is missing")

    monkeypatch.setattr(ExosomeModel, "run_until", fail)
    kept = tmp_path / "w.changed.failed"
    with pytest.raises(NumericalError, match=f"kept in {kept}"):
        whatif(loaded(), tmp_path / "w", **asked, overwrite=True)
    assert contents(tmp_path / "w") == before
    assert {path.name for path in tmp_path.iterdir()} == {"w", kept.name}
    assert (kept / "metrics.parquet").is_file()


def test_records_of_every_failed_twin_are_kept(tmp_path):
    names = ["w.changed.failed", "w.changed.failed-2"]
    for name in names:
        failed = tmp_path / "partial" / "changed.failed"
        failed.mkdir(parents=True)
        (failed / "run.json").write_text(name)
        error = NumericalError(f"results are kept in {failed.resolve()}")
        assert str(_kept_beside(error, failed, tmp_path / "w")) == f"results are kept in {tmp_path / name}"
    assert [(tmp_path / name / "run.json").read_text() for name in names] == names


def test_a_folder_that_comes_to_out_during_both_runs_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("exoabm.plot.causal.draw_whatif", lambda *_, **__: None)
    out = tmp_path / "w"

    def put(_):
        out.mkdir(exist_ok=True)
        (out / "notes.txt").write_text("years of work")

    with pytest.raises(RunFailed, match=rf"is kept in {out}\.finished"):
        whatif(loaded(), out, silence="cell:0", seed=1, hours=0.5, progress=put)
    assert (out / "notes.txt").read_text() == "years of work"
    assert (tmp_path / "w.finished" / "whatif.json").is_file()


def test_the_pairing_says_what_competition_changed(tmp_path, monkeypatch):
    monkeypatch.setattr("exoabm.plot.causal.draw_whatif", lambda *_, **__: None)
    for number, (saturation, share) in enumerate((("inf", 0.0), ("1 pM", 1e-3))):
        keys = {f"cell_type.{name}.saturation": saturation for name in ("relay", "reader")}
        found = whatif(
            loaded(SILENT_RELAYS, VESICLES, keys), tmp_path / str(number), silence="cell:0", seed=1, hours=2
        )
        pairing = found.about["pairing"]
        assert pairing["untouched"] == 240
        assert (pairing["share"] > share) if share else (pairing["share"] == 0)
        assert any("compete" in why for why in pairing["because"]) is bool(share)


@pytest.mark.parametrize(("known", "silence"), [("none", "cell_type:donor"), ("cell_type", "cell:0")])
def test_donors_that_are_not_recorded_are_not_shown_as_zeros(known, silence, tmp_path, monkeypatch):
    monkeypatch.setattr("exoabm.plot.causal.draw_whatif", lambda *_, **__: None)
    scenario = loaded({"transport.provenance": known, "clock.step": "30 min"})
    found = whatif(scenario, tmp_path / "w", silence=silence, seed=1, hours=1)
    words = {"none": "are not recorded", "cell_type": "are known by type alone"}[known]
    assert words in found.about["pairing"]["sentence"]
    assert found.about["pairing"]["untouched"] is found.about["pairing"]["share"] is None
    run, to = exoabm.open_run(tmp_path / "w" / "as_is"), tmp_path / "run.h5ad"
    for refused in (lambda: run.export(tmp_path / "truth.h5ad"), run.plot_distance):
        with pytest.raises(InputError, match=f"donors {words}"):
            refused()
    run.export(to)
    with h5py.File(to) as file:
        assert words in file["uns/exoabm/orientation"].asstr()[()]
        assert file["uns/exoabm/resolution"].asstr()[()] == known
    total = pytest.approx(run.edges["taken_up"].to_numpy().sum())
    sent = {name: data.get("out_strength") for name, data in run.communication.nodes(data=True)}
    if known == "none":
        assert set(run.edges["donor_type"].to_pylist()) == {"any"}
        assert sent == {"donor": None, "relay": None, "reader": None, "any": total}
        assert "in_strength" not in run.communication.nodes["any"]
    else:
        assert sum(sent.values()) == total


def test_vesicles_compete_where_cells_have_receptors():
    assert "compete for receptors" in reasons(load("competition").scenario)[0]
    assert reasons(load("screening").scenario) == []


def test_a_silenced_run_resumes_to_the_same_tables(tmp_path):
    changed = loaded(VESICLES).with_change(silence="cell:0", at="1 h")
    whole = run_to_folder(changed, tmp_path / "whole", seed=1, hours=3)

    class Stop(Exception):
        pass

    def stop(share):
        if share > 0.7:
            raise Stop

    with pytest.raises(Stop):
        run_to_folder(changed, tmp_path / "parts", seed=1, hours=3, checkpoint_every=3600, progress=stop)
    resume_run(tmp_path / "parts")
    for name in ("events.parquet", "edges.parquet", "metrics_by_kind.parquet"):
        one, other = ((tmp_path / folder / name).read_bytes() for folder in ("whole", "parts"))
        assert one == other, name
    assert whole.folder.name == "whole"


def test_direct_deliveries_are_those_of_the_twin_without_relays(tmp_path):
    found = whatif(
        loaded(LINEAR, VESICLES, {"vesicle.exosome.recycling_probability": "0.2"}),
        tmp_path / "w",
        silence="cell_type:relay",
        seed=2,
    )
    result = paths(tmp_path / "w" / "as_is")
    write(result, tmp_path / "p", "relays")
    table = result.frame()
    events = found.as_is.events.to_pandas()
    delivered = events[events.event == "delivery"]
    assert table.delivered.sum() == pytest.approx(len(delivered), rel=1e-12)
    assert table.groupby("recipient_type").share.sum().to_numpy() == pytest.approx(1)
    recycled = table.groupby("recycled").delivered.sum()
    assert recycled.to_numpy() == pytest.approx(delivered.hops.value_counts().sort_index().to_numpy())
    alone = found.changed.events.to_pandas()
    alone = alone[(alone.event == "delivery") & (alone.recipient_type == "reader")]
    direct = table[(table.relays == 0) & (table.recipient_type == "reader")].delivered.sum()
    assert direct == pytest.approx(len(alone), rel=1e-12)
    assert table[(table.relays > 1) & (table.first_donor_type == "donor")].delivered.sum() > 0
    assert (table[table.relays == 0].donor_type == "donor").all()  # relays are silent without the message
    assert (tmp_path / "p" / "paths.png").stat().st_size > 5_000
    write(result, tmp_path / "p", "again", overwrite=True)
    (tmp_path / "p" / "notes.txt").touch()
    with pytest.raises(InputError, match=r"holds 'notes.txt', which is not replaced"):
        write(result, tmp_path / "p", "again", overwrite=True)


def test_paths_need_single_vesicles(tmp_path):
    run_to_folder(loaded(), tmp_path / "r", seed=1, hours=1)
    with pytest.raises(InputError, match="--engine vesicles"):
        paths(tmp_path / "r")


def test_commands_refuse_what_changes_nothing(tmp_path):
    asked = CliRunner().invoke(app, ["whatif", "two_cells", "--out", str(tmp_path / "w")])
    assert isinstance(asked.exception, InputError)
    assert not (tmp_path / "w").exists()


def test_what_is_not_drawn_leaves_no_folder(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "full")

    monkeypatch.setattr("exoabm.plot.causal.draw_paths", fail)
    row = {"vesicle_kind": "exosome", "first_donor_type": "donor", "donor_type": "donor", "share": 1.0}
    row |= {"recipient_type": "reader", "relays": 0, "recycled": 0, "delivered": 1.0}
    with pytest.raises(OSError, match="full"):
        write(Paths((row,)), tmp_path / "p", "relays")
    with pytest.raises(InputError, match="delivered"):
        attribute(loaded(LINEAR, responses=False), tmp_path / "c", readout="delivred", design="adjoint")
    assert not list(tmp_path.iterdir())
