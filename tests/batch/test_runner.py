"""The runner: the same bytes however often a batch was stopped, and nothing lost that was done."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from exoabm.batch.execution import row_execution as files
from exoabm.batch.execution.plan import Plan, Row, replicate_seeds, row_of
from exoabm.batch.execution.row_journal import JOURNAL
from exoabm.batch.execution.runner import Shard, resume_rows, run_rows
from exoabm.batch.execution.workers import ThisProcess, local
from exoabm.errors import InputError, RunFailed
from exoabm.model import ExosomeModel
from exoabm.scenario.loader import load
from tests.batch.conftest import RATE, data, small_plan


def states(folder: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(folder / JOURNAL)) as base:
        return [state for (state,) in base.execute("SELECT state FROM rows ORDER BY number")]


class Power(ThisProcess):
    """Fails after some files, as when the plug is pulled; a threat and not an exception to catch."""

    def __init__(self, files_left: int) -> None:
        self.left = files_left

    def submit(self, fn, /, *args, **kwargs):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return super().submit(fn, *args, **kwargs)


def test_a_row_is_the_run_of_its_scenario_and_seed(tmp_path) -> None:
    plan = small_plan(3, 2)
    outcome = run_rows(plan, tmp_path / "a")
    assert (outcome.rows, outcome.ran, outcome.failed) == (6, 6, 0)
    found = list(files.records(tmp_path / "a", plan))
    assert [r["row"] for r in found] == [row.name for row in plan.rows]
    row = plan.rows[3]
    model = ExosomeModel(
        "two_cells", seed=row.seed, overrides={"cell_type.donor.secretion": "poisson", **dict(row.overrides)}
    )
    model.run(hours=0.05)
    last = model.metrics.iloc[-1].to_dict()
    assert found[3]["readouts"]["emitted[exosome]"] == last["emitted[exosome]"]
    assert found[3]["readouts"]["free[exosome]"] == last["free[exosome]"]
    assert states(tmp_path / "a") == ["done"] * 6


def test_points_share_their_seeds_and_replicates_do_not() -> None:
    seeds = replicate_seeds(7, 100)
    assert len(set(seeds)) == 100
    assert replicate_seeds(7, 3) == seeds[:3]
    assert not set(seeds) & set(replicate_seeds(8, 100))
    assert not set(seeds) & set(replicate_seeds(7, 100, salt="point"))
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert row_of({"a": "1", "b": "2"}, 3).name == row_of({"b": "2", "a": "1"}, 3).name
    assert row_of({"a": "1"}, 3).name != row_of({"a": "1"}, 4).name


@pytest.mark.parametrize("after", range(1, 8))
def test_a_batch_stopped_after_any_file_ends_in_the_same_bytes(tmp_path, after) -> None:
    run_rows(small_plan(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run_rows(small_plan(), tmp_path / "a", workers=lambda: Power(after))
    assert states(tmp_path / "a").count("done") == after
    outcome = resume_rows(tmp_path / "a")
    assert outcome.ran == 8 - after
    assert data(tmp_path / "a") == data(tmp_path / "whole")
    assert resume_rows(tmp_path / "a").ran == 0


@pytest.mark.parametrize("harm", ["missing", "cut", "flipped", "foreign", "forged"])
def test_only_damaged_rows_run_again(tmp_path, harm) -> None:
    folder, plan = tmp_path / "a", small_plan(4)
    run_rows(plan, folder)
    before = data(folder)
    victim = files.chunk_path(folder, 2)
    content = victim.read_bytes()
    if harm == "missing":
        victim.unlink()
    elif harm == "cut":
        victim.write_bytes(content[:-40])
    elif harm == "flipped":
        victim.write_bytes(content.replace(b"180", b"190").replace(b"0.0", b"0.1", 1))
    elif harm == "foreign":
        victim.write_bytes(files.chunk_path(folder, 1).read_bytes())
    else:  # whole by itself, but not what the journal saw
        import hashlib

        body = content[: content.rindex(b"\n", 0, -1) + 1].replace(b"0.0", b"0.1", 1)
        foot = json.dumps({"sha256": hashlib.sha256(body).hexdigest()}, separators=(",", ":"))
        victim.write_bytes(body + foot.encode() + b"\n")
    assert data(folder) != before
    kept = {path: path.stat().st_mtime_ns for path in (folder / "rows").iterdir() if path != victim}
    assert resume_rows(folder).ran == 1
    assert data(folder) == before
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.parametrize("content", [None, b"", b"no database at all, but text" * 100])
def test_a_lost_or_damaged_journal_is_made_again(tmp_path, content) -> None:
    run_rows(small_plan(4), tmp_path / "a")
    journal = tmp_path / "a" / JOURNAL
    journal.unlink()
    if content is not None:
        journal.write_bytes(content)
    assert resume_rows(tmp_path / "a").ran == 0
    assert states(tmp_path / "a") == ["done"] * 4


def test_any_executor_and_any_number_of_workers_give_the_same_bytes(tmp_path) -> None:
    run_rows(small_plan(), tmp_path / "one")
    with ThreadPoolExecutor(2) as threads:
        run_rows(small_plan(), tmp_path / "threads", workers=lambda: contextlib.nullcontext(threads))
    run_rows(small_plan(), tmp_path / "two", workers=local(2))
    assert data(tmp_path / "one") == data(tmp_path / "threads") == data(tmp_path / "two")
    other = small_plan()
    other = replace(other, rows=(*other.rows[:-1], replace(other.rows[-1], seed=1)))
    run_rows(other, tmp_path / "other")
    assert data(tmp_path / "other") != data(tmp_path / "one")


# Rows that fail.


def explode(model: ExosomeModel) -> dict[str, float]:
    """A readout that is not finite where the donor releases 120 / h."""
    emitted = float(model.state.balance.emitted.sum())
    rate = model.state.types[0].release_rate * 3600
    return {"emitted": float("nan") if round(rate) == 120 else emitted}


@pytest.mark.parametrize("value", ["nan", "not allowed", "broken"])
def test_a_row_that_fails_is_kept_with_its_reason_and_the_others_go_on(tmp_path, monkeypatch, value) -> None:
    plan = small_plan(4)
    if value == "nan":
        plan = replace(plan, measure=f"{__name__}:explode")
        reason = "emitted = nan"
    elif value == "not allowed":
        bad = row_of({RATE: "-1 / h"}, plan.rows[1].seed)
        plan = replace(plan, rows=(plan.rows[0], bad, *plan.rows[2:]))
        reason = f"{RATE}"
    else:
        run = ExosomeModel.run_until

        def broken(model, *args, **kwargs):
            if round(model.state.types[0].release_rate * 3600) == 120:
                raise ZeroDivisionError("by nothing")
            return run(model, *args, **kwargs)

        monkeypatch.setattr(ExosomeModel, "run_until", broken)
        reason = "ZeroDivisionError: by nothing"
    outcome = run_rows(plan, tmp_path / "a")
    assert outcome.failed == 1
    assert reason in outcome.reasons[plan.rows[1].name]
    assert states(tmp_path / "a") == ["done", "failed", "done", "done"]
    assert [r["state"] for r in files.records(tmp_path / "a", plan)] == ["done", "failed", "done", "done"]
    again = resume_rows(tmp_path / "a")
    assert (again.ran, again.failed) == (0, 1)


def test_workers_that_die_are_replaced_and_at_last_given_up(tmp_path) -> None:
    from concurrent.futures.process import BrokenProcessPool

    class Dying(ThisProcess):
        lives = 3

        def submit(self, fn, /, *args, **kwargs):
            if Dying.lives and fn is files.run_chunk and args[2] == 3:
                Dying.lives -= 1
                raise BrokenProcessPool
            return super().submit(fn, *args, **kwargs)

    assert run_rows(small_plan(), tmp_path / "a", workers=Dying).ran == 8
    Dying.lives = 100
    with pytest.raises(RunFailed, match="workers terminate repeatedly"):
        run_rows(small_plan(), tmp_path / "b", workers=Dying)
    assert states(tmp_path / "b") == ["done"] * 3 + ["waiting"] * 5
    Dying.lives = 0
    resume_rows(tmp_path / "b", workers=Dying)
    assert data(tmp_path / "a") == data(tmp_path / "b")


# What stands in the way.


def test_a_batch_is_neither_begun_twice_nor_written_over(tmp_path) -> None:
    run_rows(small_plan(2), tmp_path / "a")
    with pytest.raises(InputError, match="exoabm resume"):
        run_rows(small_plan(3), tmp_path / "a")
    assert run_rows(small_plan(3), tmp_path / "a", overwrite=True).rows == 3
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="contains no batch"):
            run_rows(small_plan(2), tmp_path / "thesis", overwrite=overwrite)
    assert data(tmp_path / "thesis") == {"chapter.txt": b"years of work"}


def test_a_folder_without_a_plan_is_no_batch(tmp_path) -> None:
    with pytest.raises(InputError, match="contains no batch"):
        resume_rows(tmp_path)


def test_a_plan_that_was_edited_is_refused(tmp_path) -> None:
    run_rows(small_plan(2), tmp_path / "a")
    path = tmp_path / "a" / "plan.json"
    path.write_text(path.read_text().replace("120 / h", "130 / h"))
    with pytest.raises(InputError, match="was changed"):
        resume_rows(tmp_path / "a")


def test_two_rows_may_not_be_the_same() -> None:
    row = Row("a", (), 1)
    with pytest.raises(InputError, match="the same"):
        Plan.of(load("two_cells"), [row, row])


def test_a_changed_scenario_is_refused_by_its_keys(tmp_path) -> None:
    from exoabm.scenario.loader import shipped

    source = tmp_path / "mine.toml"
    source.write_bytes(shipped()["two_cells"].read_bytes())
    rows = [row_of({RATE: "60 / h"}, seed) for seed in (1, 2)]
    plan = Plan.of(load(source), rows, source=source, hours=0.05)
    with pytest.raises(KeyboardInterrupt):
        run_rows(plan, tmp_path / "a", workers=lambda: Power(1))
    text = source.read_text()
    source.write_text(text.replace('step = "60 s"', 'step = "30 s"').replace("125 um", "135 um"))
    with pytest.raises(InputError) as refused:
        resume_rows(tmp_path / "a")
    message = str(refused.value)
    assert "clock.step: 60 s -> 30 s" in message
    assert "layout.group.recipient.points" in message
    assert "clock.duration" not in message
    source.write_text(text + "\n# a remark changes nothing\n")
    assert resume_rows(tmp_path / "a").ran == 1


def hold_lock(folder: str, ready) -> None:
    from exoabm.output.folder_locks import locked

    with locked(Path(folder)):
        ready.set()
        time.sleep(60)


def test_a_lock_names_its_process_and_goes_with_it(tmp_path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_rows(small_plan(2), tmp_path / "a", workers=lambda: Power(1))
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=hold_lock, args=(str(tmp_path / "a"), ready))
    holder.start()
    try:
        assert ready.wait(60)
        with pytest.raises(InputError, match=f"being written by process {holder.pid} on"):
            resume_rows(tmp_path / "a")
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.join()
    assert str(holder.pid) in (tmp_path / "a" / "lock").read_text()
    assert resume_rows(tmp_path / "a").ran == 1


# Shards.


def test_shards_merge_into_the_whole(tmp_path) -> None:
    plan = small_plan()
    run_rows(plan, tmp_path / "whole")
    for index in (2, 1, 3):
        shard = Shard(index, 3)
        outcome = run_rows(plan, tmp_path / "a", shard=shard)
        assert outcome.rows == len(range(index - 1, 8, 3))
        assert outcome.folder == shard.folder(tmp_path / "a")
    victim = files.chunk_path(Shard(2, 3).folder(tmp_path / "a"), 4)
    victim.write_bytes(victim.read_bytes()[:-9])
    outcome = resume_rows(tmp_path / "a")
    assert outcome.ran == 1
    merged = {k: v for k, v in data(tmp_path / "a").items() if not k.startswith("shards/")}
    assert merged == data(tmp_path / "whole")


def test_a_shard_is_resumed_by_itself(tmp_path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_rows(small_plan(), tmp_path / "a", shard=Shard(2, 2), workers=lambda: Power(1))
    outcome = resume_rows(Shard(2, 2).folder(tmp_path / "a"))
    assert (outcome.rows, outcome.ran) == (4, 3)


def test_shards_of_different_batches_do_not_mix(tmp_path) -> None:
    run_rows(small_plan(4), tmp_path / "a", shard=Shard(1, 2))
    run_rows(small_plan(5), tmp_path / "a", shard=Shard(2, 2))
    with pytest.raises(InputError, match="batch other than"):
        resume_rows(tmp_path / "a")


@pytest.mark.parametrize("text", ["0/3", "4/3", "a/3", "1", "1/", "-1/3", "1/0"])
def test_a_shard_that_makes_no_sense_is_refused(text) -> None:
    with pytest.raises(InputError, match="--shard"):
        Shard.read(text)


def test_whole_runs_may_be_kept(tmp_path) -> None:
    plan = small_plan(2, keep="runs")
    run_rows(plan, tmp_path / "a")
    kept = tmp_path / "a" / "runs" / plan.rows[1].name
    assert json.loads((kept / "run.json").read_text())["seed"] == plan.rows[1].seed
    light = small_plan(2)
    run_rows(light, tmp_path / "b")
    found, expected = (list(files.records(tmp_path / n, p)) for n, p in (("a", plan), ("b", light)))
    assert found == expected
    (kept / "run.json").unlink()
    for path in sorted(kept.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    kept.rmdir()
    assert resume_rows(tmp_path / "a").ran == 1
    assert (kept / "summary.json").is_file()


def test_an_idle_worker_ends_with_its_parent(tmp_path) -> None:
    """Also where the parent is killed and cannot say a word."""
    code = (
        "import os, time\n"
        "from exoabm.batch.execution.workers import local\n"
        "if __name__ == '__main__':\n"
        "    with local(2)() as pool:\n"
        "        print(*{f.result() for f in [pool.submit(os.getpid) for _ in range(20)]}, flush=True)\n"
        "        time.sleep(60)\n"
    )
    script = tmp_path / "parent.py"
    script.write_text(code)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        assert workers
        parent.kill()
    until = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < until:
        time.sleep(0.05)
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def test_a_row_is_what_its_values_make_of_the_scenario_as_written() -> None:
    """Defaults that follow from a comparator follow it in a row, too, after what was set for all."""
    values = {"vesicle.exosome.comparator": "soluble_factor"}
    base = {"cell_type.donor.release_rate": "30 / h"}
    loaded = load("signaling", base)
    plan = Plan.of(loaded, [row_of(values, 1)])
    expected = load("signaling", base | values)
    assert expected.scenario.vesicle[0].half_life != loaded.scenario.vesicle[0].half_life
    assert plan.scenario_of(plan.rows[0]).resolved() == expected.resolved()
    assert loaded.changed(values).resolved() == expected.resolved()


def test_workers_begin_with_interrupts_blocked() -> None:
    """Those of a terminal reach them while they still import, and would end them with a traceback."""
    with local(2)() as executor:
        blocked = executor.submit(signal.pthread_sigmask, signal.SIG_BLOCK, ()).result()
    assert {signal.SIGINT, signal.SIGHUP} <= blocked
    assert not {signal.SIGINT, signal.SIGHUP} & signal.pthread_sigmask(signal.SIG_BLOCK, ())
