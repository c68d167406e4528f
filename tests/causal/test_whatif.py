"""Comparisons with a twin: folders, differences of tables, pairing, and paths."""

import pytest
from small_tissue import LINEAR, SILENT_RELAYS, loaded
from typer.testing import CliRunner

from exoabm.causal.attribution import attribute
from exoabm.causal.paths import Paths, paths, write
from exoabm.causal.twins import reasons, whatif
from exoabm.cli.console import app
from exoabm.errors import InputError
from exoabm.runs.execute import resume_run, run_to_folder
from exoabm.scenario.loader import load
from exoabm.tables.fates import BALANCE

VESICLES = {"transport.engine": "vesicles"}


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


def test_the_pairing_says_what_competition_changed(tmp_path):
    for number, (saturation, share) in enumerate((("inf", 0.0), ("1 pM", 1e-3))):
        keys = {f"cell_type.{name}.saturation": saturation for name in ("relay", "reader")}
        found = whatif(
            loaded(SILENT_RELAYS, VESICLES, keys), tmp_path / str(number), silence="cell:0", seed=1, hours=2
        )
        pairing = found.about["pairing"]
        assert pairing["untouched"] == 240
        assert (pairing["share"] > share) if share else (pairing["share"] == 0)
        assert any("compete" in why for why in pairing["because"]) is bool(share)


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

    monkeypatch.setattr("exoabm.plot.effects.draw_paths", fail)
    row = {"vesicle_kind": "exosome", "first_donor_type": "donor", "donor_type": "donor", "share": 1.0}
    row |= {"recipient_type": "reader", "relays": 0, "recycled": 0, "delivered": 1.0}
    with pytest.raises(OSError, match="full"):
        write(Paths((row,)), tmp_path / "p", "relays")
    with pytest.raises(InputError, match="delivered"):
        attribute(loaded(LINEAR, responses=False), tmp_path / "c", readout="delivred", design="adjoint")
    assert not list(tmp_path.iterdir())
