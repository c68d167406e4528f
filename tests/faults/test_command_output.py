"""What commands say to a person: meanings, times and distances."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import typer
from rich.text import Text

import exoabm
from exoabm import viz
from exoabm.cli import app, run_commands, scenario_commands
from exoabm.cli.options import changes_of
from exoabm.errors import command_line, set_options
from tests.conftest import parsed


def test_show_says_what_each_key_means_within_the_width(command, monkeypatch) -> None:
    monkeypatch.setattr(scenario_commands.out, "_width", 80)
    shown = command("show", "signaling").out
    assert max(map(len, shown.splitlines()[2:])) <= 80
    words = " ".join(shown.split())
    assert "step = 60 s Time step of the model, after which cells act; allowed 0.001 to 86400 s" in words
    assert "engine = continuum expected numbers on a grid" in words
    assert "one of continuum, vesicles" in words
    assert "not set" not in shown
    recipient = shown[shown.index("[cell_type.recipient]") : shown.index("[record]")]
    assert "release_rate" not in recipient  # it releases nothing
    assert "uptake_rate" in recipient
    assert shown.count("\n  release_rate = 60 1/h") == 1
    everything = command("show", "signaling", "--all").out
    assert "courant = not set" in everything
    assert everything.count("\n  release_rate = 60 1/h") == 2
    rows = json.loads(command("show", "signaling", "--json").out)["parameters"]
    (step,) = (row for row in rows if row["key"] == "clock.step")
    assert (step["value"], step["unit"], step["choices"]) == ("60", "s", [])


def test_show_leaves_out_what_means_nothing_and_nothing_else(command, edited) -> None:
    """Donors that sort what their bodies hold need no ``releases``; groups have no table to be read."""
    bodies = 'mvb = { sorting = [{ vesicle = "exosome", share = 1 }] }'
    path = edited(('releases = "exosome"', bodies))
    shown = command("show", path).out
    donor = shown[shown.index("[cell_type.donor]") : shown.index("[cell_type.recipient]")]
    for key in ("release_rate", "ilvs_per_mvb", "secretion"):
        assert f"\n  {key} = " in donor
    assert "\n  format = " not in shown
    assert "\n  format = " in command("show", "tissue").out


def test_hours_have_units_as_other_times_have(command) -> None:
    told = command("run", "two_cells", "--hours", "3 min", "--seed", 1, "--out", "a", "--json")
    assert json.loads(told.out[told.out.index("{") :])["hours"] == 0.05
    for wrong in ("24x", "nan", "inf", "0", "5 um"):
        command("run", "two_cells", "--hours", wrong, "--out", "b").refused(2, "--hours")


def test_distances_and_small_numbers_are_said_as_they_are(monkeypatch) -> None:
    assert [run_commands._counted(n) for n in (0.0, 9e-122, 0.5, 12345.6)] == [
        "0",
        "< 0.001",
        "0.5",
        "12,346",
    ]
    said: list[str] = []
    monkeypatch.setattr(
        run_commands.out, "print", lambda text, **_: said.append(Text.from_markup(str(text)).plain)
    )

    def tell(donors: list[str], distance: float | None) -> str:
        said.clear()
        communication = {
            "taken_up_by_type": {donor: {"recipient": 0.0} for donor in donors},
            "strongest_edges": [],
            "threshold_per_mL": 1e6,
            "communication_distance_um": {"exosome": distance},
        }
        summary = {"title": "t", "hours": 1, "seed": 1, "mass_balance": {}, "communication": communication}
        run_commands._print_result(type("", (), {"summary": summary, "folder": "f"})())
        return " ".join(said[1:-1])

    assert tell(["donor"], 12.3) == "exosome stays above 1e+06 /mL out to 12 um from the donors"
    assert tell(["donor"], None) == "exosome stays above 1e+06 /mL at every distance from the donors"
    assert tell(["donor"], 0.0) == "exosome is below 1e+06 /mL at every distance from the donors"
    assert tell(["dose"], 0.0) == ""


@pytest.mark.parametrize("name", ["signaling", "a donor's $HOME/x y.toml", "-x.toml", "*.toml; ls"])
def test_a_printed_command_is_read_as_it_was_meant(name) -> None:
    values = {
        "clock.step": "10 s",
        "layout.type_map": '{"CD8+ \'T\'" = "recipient"}',
        "info.title": "`$x` \\ a",
    }
    found = parsed(command_line("run", name, "--seed", 7, *set_options(values)))
    assert Path(found["scenario"]) == Path(name)
    assert found["seed"] == 7
    assert changes_of(found["set_"], found["engine"]) == values


def test_no_printed_command_has_words_that_are_not_quoted() -> None:
    """Every value in a command that code prints goes through ``shlex``."""
    commands = "|".join(typer.main.get_command(app).commands)
    bare = re.compile(rf"exoabm (?:{commands})\b[^`\"\n]*\{{(?!shlex)")
    assert bare.search('f"`exoabm resume {folder}` resumes it"')
    sources = [p for package in (exoabm, viz) for p in Path(package.__path__[0]).rglob("*.py")]
    assert len(sources) > 200
    found = [(p.name, m[0]) for p in sources for m in bare.finditer(p.read_text(encoding="utf-8"))]
    assert not found
