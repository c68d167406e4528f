"""Bad input: a named error, the right exit code, no traceback, nothing left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from exoabm.errors import ResourceError
from exoabm.scenario.loader import load
from exoabm.scenario.state_builder import blueprint

RATE = 'takes_up = ["exosome"]'
DONOR = 'releases = "exosome"'
VESICLE = 'cargo = ["signal"]'
SIZE = 'size = ["200 um", "200 um", "200 um"]'
MIDDLE = 'points = [["85 um", "105 um", "105 um"]]'
GROUP = '[[layout.group]]\ncell_type = "donor"\narrange = "points"'
HOLE = '\n[[domain.zone]]\nname = "hole"\nobstacle = true\n'

ISSUE = {
    "nan": (
        (DONOR, DONOR + "\nrelease_rate = nan"),
        2,
        ("cell_type.donor.release_rate = nan", "0 to 1e+06"),
    ),
    "inf": (
        (DONOR, DONOR + "\nrelease_rate = inf"),
        2,
        ("cell_type.donor.release_rate = inf", "0 to 1e+06"),
    ),
    "minus-inf": (
        (VESICLE, VESICLE + "\nhalf_life = -inf"),
        2,
        ("vesicle.exosome.half_life = -inf", "0.001 to inf"),
    ),
    "negative-decay": (
        (VESICLE, VESICLE + '\nhalf_life = "-6 h"'),
        2,
        ("vesicle.exosome.half_life = '-6 h'", "0.001 to inf h"),
    ),
    "typo-difusion": (
        (VESICLE, VESICLE + "\ndifusion = 6"),
        2,
        ("vesicle.exosome.difusion = 6", "unknown key", "did you mean 'diffusivity'?"),
    ),
    "typo-relase-rate": (
        (DONOR, DONOR + "\nrelase_rate = 6"),
        2,
        ("cell_type.donor.relase_rate = 6", "did you mean 'release_rate'?"),
    ),
    "step-above-the-stability-limit": (
        ("[transport]", "[transport]\ncourant = 0.3"),
        2,
        ("transport.courant = 0.3", "0.001 to 0.25"),
    ),
    "step-above-the-stability-limit-in-3-D": (
        ("[transport]", "[transport]\ncourant = 0.2"),
        2,
        ("transport.courant", "0.2", "0.16"),
    ),
    "grid-of-1e10-voxels": (
        (SIZE, 'size = ["1 m", "1 m"]\n# ' + SIZE),
        3,
        ("10,000,000,000 voxels", "GiB of memory", "may be used"),
    ),
    "wrong-unit": (
        (DONOR, DONOR + '\nrelease_rate = "60 um"'),
        2,
        ("cell_type.donor.release_rate = '60 um'", "dimension", "0 to 1e+06"),
    ),
}


@pytest.mark.parametrize(("change", "code", "fragments"), ISSUE.values(), ids=ISSUE)
def test_a_bad_scenario_is_refused_before_anything_is_written(
    command, edited, tmp_path, change, code, fragments
) -> None:
    path = edited(change)
    named = (str(path),) if code == 2 else ()
    command("run", path, "--seed", 1, "--out", "runs/a").refused(code, *named, *fragments)
    assert [p.name for p in tmp_path.iterdir()] == ["given"]


SETTINGS = {
    "no-equals": ("clock.step", ("KEY=VALUE",)),
    "no-key": ("=5", ("KEY=VALUE",)),
    "unknown-key": ("clock.stop=5", ("clock.stop = 5", "unknown key", "did you mean 'step'?")),
    "unknown-table": ("clok.step=5", ("clok", "unknown key", "did you mean 'clock'?")),
    "unknown-element": (
        "cell_type.doner.release_rate=1",
        ("no cell_type named 'doner'", "did you mean 'donor'?", "donor, recipient"),
    ),
    "not-a-table": ("clock.step.a.b=1", ("clock.step is not a table",)),
    "key-of-a-number": ("clock.step.a=1", ("clock.step.a",)),
    "no-key-in-element": ("cell_type.donor=1", ("give the name of the element and the key",)),
    "list-for-a-number": ("clock.step=[1]", ("clock.step",)),
    "table-for-a-number": ("clock.step={a=1}", ("clock.step", "value, source and note")),
    "date-for-a-number": ("clock.step=2020-01-01", ("clock.step", "not a number")),
    "true-for-a-number": ("clock.step=true", ("clock.step", "not a number")),
    "number-for-a-table": ("clock=5", ("clock = 5",)),
    "empty": ("clock.step=", ("clock.step",)),
    "too-large": ("clock.step=1e999", ("clock.step", "0.001 to 86400 s")),
    "schema-of-the-future": ("schema_version=2", ("schema_version = 2", "must be 1")),
    "unknown-engine": ("transport.engine=magic", ("transport.engine = 'magic'", "continuum")),
    "one-length": ("domain.size=[10]", ("domain.size", "2 lengths")),
    "uneven-size": ("domain.size=[205, 200, 200]", ("domain.size", "200 um or 210 um would be")),
    "fit-without-table": ("domain.size=fit", ("domain.size = 'fit'", "table")),
    "half-periodic": ("domain.faces.x_low=periodic", ("domain.faces", "periodic", "both faces")),
    "unknown-face": ("domain.faces.x=shut", ("domain.faces.x = 'shut'", "no-flux")),
    "negative-face": ("domain.faces.x={concentration=-1}", ("domain.faces.x.concentration = -1",)),
    "no-cells": ("layout.group=[]", ("layout", "a table or at least one group")),
    "zero-cells": ("layout.group.donor.count=0", ("layout.group.donor.count = 0",)),
    "points-by-rule": ("layout.group.donor.arrange=random", ("layout.group.donor", "points")),
    "table-and-groups": ("layout.table=x.csv", ("layout", "not both")),
    "dangling-vesicle": (
        "cell_type.donor.releases=exosom",
        ("cell_type.donor.releases = 'exosom'", "did you mean 'exosome'?"),
    ),
    "dangling-cargo": ("vesicle.exosome.cargo=['rna']", ("vesicle.exosome.cargo = 'rna'", "known: signal")),
    "dangling-type": (
        "layout.group.donor.cell_type=x",
        ("layout.group.x.cell_type = 'x'", "no cell type of this name"),
    ),
    "dangling-type-map": ("layout.type_map={a='b'}", ("layout: type_map is an option of a table",)),
    "type-called-dose": ("cell_type.donor.name=dose", ("cell_type = 'dose'", "no cell released")),
    "bad-name": ("vesicle.exosome.name='a b'", ("vesicle.a b.name = 'a b'", "must be a name: a letter")),
    "one-text-for-a-size": (
        "domain.size='300 um'",
        ("domain.size = '300 um': must be 'fit', or a list such as [\"300 um\", \"300 um\"] (x, y",),
    ),
    "text-for-a-list": (
        "cell_type.donor.takes_up=glial",
        ("cell_type.donor.takes_up = 'glial': must be a list such as [\"glial\"]",),
    ),
    "list-without-quotes": (
        "cell_type.donor.takes_up=[glial, exosome]",
        ('cell_type.donor.takes_up = \'[glial, exosome]\': must be a list such as ["glial", "exosome"]',),
    ),
    "list-for-one-number": (
        'clock.step=["1 h", "2 h"]',
        ("clock.step: must be one number, or a text with a number and its unit such as '5 min'",),
    ),
    "a-kind-twice": (
        'cell_type.recipient.takes_up=["exosome", "exosome"]',
        ("'exosome' is listed more than once",),
    ),
    "text-for-a-count": (
        "layout.group.donor.count=thirty",
        ("layout.group.donor.count = 'thirty': must be a whole number such as 30\n",),
    ),
    "true-for-a-count": (
        "layout.group.donor.count=true",
        ("layout.group.donor.count = True: must be a whole number such as 30\n",),
    ),
    "table-for-a-face": (
        "domain.faces.x={level=1}",
        ("domain.faces.x.concentration: this key is required", "domain.faces.x.level = 1: unknown key"),
    ),
    "far-from-any-key": (
        "layout.file=cells.csv",
        ("layout.file = 'cells.csv': unknown key (known keys: group, table, ",),
    ),
    "key-of-another-table": ("clock.viscosity=1", ("(it belongs in [transport]; known keys: step",)),
    "amount-for-a-length": ("clock.step='90 nmol'", ("'90 nmol' is a count or a plain number, not time",)),
    "element-by-number": ("layout.group.1.count=x", ("layout.group.recipient.count = 'x'",)),
}


@pytest.mark.parametrize(("pair", "fragments"), SETTINGS.values(), ids=SETTINGS)
def test_a_bad_setting_is_refused(command, tmp_path, pair, fragments) -> None:
    refused = command("run", "two_cells", "--out", "a", "--set", pair)
    refused.refused(2, *fragments)
    assert "Input should" not in refused.err
    assert "valid" not in refused.err
    assert not list(tmp_path.iterdir())


def test_every_problem_of_a_scenario_is_named_at_once(command) -> None:
    command(
        "validate", "two_cells", "--set", "clock.step=-1", "--set", "clock.duration=nan", "--set", "zeal=1"
    ).refused(2, "clock.step = -1", "clock.duration = nan", "zeal = 1")


ARGUMENTS = {
    "no-hours": (("--hours", "0"), ("--hours 0",)),
    "negative-hours": (("--hours", "-1"), ("--hours -1",)),
    "nan-hours": (("--hours", "nan"), ("--hours nan",)),
    "too-many-hours": (("--hours", "1e9"), ("--hours 1e9", "1e6")),
    "hours-in-words": (("--hours", "day"), ("--hours", "24 h")),
    "negative-seed": (("--seed", "-1"), ("seed = -1", "0 to 2^63 - 1")),
    "large-seed": (("--seed", str(2**63)), (f"seed = {2**63}",)),
    "broken-seed": (("--seed", "1.5"), ("--seed", "a valid integer")),
    "no-threads": (("--threads", "0"), ("--threads", "greater than or equal to 1")),
    "unknown-option": (("--overwritten",), ("--overwritten", "--overwrite")),
    "missing-value": (("--seed",), ("--seed", "requires an argument")),
}


@pytest.mark.parametrize(("extra", "fragments"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_a_bad_argument_is_refused(command, tmp_path, extra, fragments) -> None:
    command("run", "two_cells", "--out", "a", *extra).refused(2, *fragments)
    assert not list(tmp_path.iterdir())


def test_a_missing_argument_and_an_unknown_command_are_named(command) -> None:
    command("run").refused(2, "SCENARIO")
    command("runn", "two_cells").refused(2, "runn")


@pytest.mark.parametrize("verb", ["run", "show", "validate", "estimate", "cite"])
def test_an_unknown_scenario_is_named_with_the_nearest(command, verb) -> None:
    command(verb, "signalling").refused(2, "'signalling'", "did you mean 'signaling'?", "exoabm list")
    command(verb, "no/such.toml").refused(2, "no scenario file at no/such.toml")


def test_a_course_of_treatment_is_checked_without_a_run(command, tmp_path) -> None:
    own = load("delivery_routes")
    place = 'center = ["1 um", "1 um", "1 um"]\nreach = "5 um"'
    text = own.text.decode().replace('through = "vessel"', place)
    (tmp_path / "mine.toml").write_text(text)
    command("validate", "mine.toml").refused(2, "mine.toml", "dose.dose.center", "2 coordinates")


def test_an_unknown_scenario_in_a_process_of_its_own(exoabm, tmp_path) -> None:
    exoabm("run", "two_cell").refused(2, "did you mean 'two_cells'?")
    assert not list(tmp_path.iterdir())


PLACES = {
    "outside": ((MIDDLE, "points = [[-5, 100, 100]]"), ("1 of 2 cells lie outside", "(-5, 100, 100)")),
    "on-the-far-face": ((MIDDLE, "points = [[200, 100, 100]]"), ("1 of 2 cells lie outside",)),
    "in-an-obstacle": (
        ('voxel = "10 um"', 'voxel = "10 um"' + HOLE + "center = [80, 100, 100]\nradius = 20"),
        ("1 cells have their center in an obstacle", "the first is cell 1"),
    ),
    "one-coordinate": ((MIDDLE, "points = [[80]]"), ("layout.group.donor",)),
    "zone-nowhere": (
        ('voxel = "10 um"', 'voxel = "10 um"' + HOLE + "low = [900, 0, 0]\nhigh = [990, 9, 9]"),
        ("domain.zone.hole", "covers no voxel"),
    ),
    "zone-of-two-shapes": (
        ('voxel = "10 um"', 'voxel = "10 um"' + HOLE + "low = [0, 0, 0]\nradius = 9"),
        ("domain.zone.hole", "a box (low and high) or a ball"),
    ),
    "group-twice": (
        ('cell_type = "recipient"\narrange', 'cell_type = "donor"\narrange'),
        ("layout.group = 'donor'", "twice", "name of its own"),
    ),
    "type-twice": (('name = "recipient"', 'name = "donor"'), ("cell_type = 'donor'", "twice")),
    "vesicle-twice": (
        ("[[vesicle]]", '[[vesicle]]\nname = "exosome"\n\n[[vesicle]]'),
        ("vesicle = 'exosome'", "twice"),
    ),
}


@pytest.mark.parametrize(("change", "fragments"), PLACES.values(), ids=PLACES)
def test_a_scenario_that_contradicts_itself_is_refused(command, edited, tmp_path, change, fragments) -> None:
    command("run", edited(change), "--out", "a").refused(2, "mine.toml", *fragments)
    assert [p.name for p in tmp_path.iterdir()] == ["given"]


def test_too_many_cells_for_the_room_are_refused(command) -> None:
    command("validate", "signaling", "--set", "layout.group.recipient.count=9000").refused(
        2, "layout.group.recipient", "9000"
    )


def test_too_many_cells_for_the_memory_are_refused_before_they_are_placed(monkeypatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("cells were placed")

    free = SimpleNamespace(available=2**30)
    monkeypatch.setattr("psutil.virtual_memory", lambda: free)
    monkeypatch.setattr("exoabm.scenario.state_builder.arrange_groups", never)
    with pytest.raises(ResourceError, match="10,000,007 cells"):
        blueprint(load("signaling", {"layout.group.recipient.count": "10_000_000"}), seed=0)


def test_waste_vesicles_that_hold_no_waste_are_refused(command) -> None:
    """Zero copies would be a division by zero in the export of waste."""
    command("run", "waste_removal", "--hours", 0.1, "--out", "a", "--set", "cargo.waste.copies=0").refused(
        2, "copies"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_a_grid_is_refused_from_the_estimate_with_little_memory(tmp_path: Path) -> None:
    """1e10 voxels would be 80 GB; the refusal takes no more than the libraries do."""
    code = """
import sys
from pathlib import Path
from exoabm.cli import main
sys.argv = ["exoabm", "run", "two_cells", "--set", "domain.size=[1e6, 1e6]"]
try:
    main()
except SystemExit as stop:
    (peak,) = (s for s in Path("/proc/self/status").read_text().splitlines() if s.startswith("VmHWM"))
    print(stop.code, peak.split()[1])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    exit_code, kilobytes = map(int, done.stdout.split())
    print(kilobytes)
    assert exit_code == 3
    assert kilobytes < 600_000
    assert not list(tmp_path.iterdir())


def test_elements_without_a_name_of_their_own_are_told_and_found_by_number(command, tmp_path) -> None:
    row = '{{cell_type = "recipient", signal = "time", increases = "{}", half_max = 1, to = 20}}'
    two = f"response = [{row.format('uptake_rate')}, {row.format('bad')}]\n"
    from exoabm.scenario.loader import shipped

    (tmp_path / "two.toml").write_text(two + shipped()["signaling"].read_text())
    told = command("validate", "two.toml")
    told.refused(2, "response.1.increases = 'bad'")
    assert told.err.count("response.") == 1  # not also that of "to", which waits for it
    assert command("validate", "two.toml", "--set", "response.1.increases=uptake_rate").code == 0
    command("validate", "two.toml", "--set", "response.2.increases=x").refused(2, "recipient, 1")
