"""What commands say to a person: meanings, times and distances."""

from __future__ import annotations

import json

from rich.text import Text

from exoabm.cli import runs, scenarios


def test_show_says_what_each_key_means_within_the_width(command, monkeypatch) -> None:
    monkeypatch.setattr(scenarios.out, "_width", 80)
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
    assert [runs._counted(n) for n in (0.0, 9e-122, 0.5, 12345.6)] == ["0", "< 0.001", "0.5", "12,346"]
    said: list[str] = []
    monkeypatch.setattr(runs.out, "print", lambda text, **_: said.append(Text.from_markup(str(text)).plain))

    def tell(donors: list[str], distance: float | None) -> str:
        said.clear()
        communication = {
            "taken_up_by_type": {donor: {"recipient": 0.0} for donor in donors},
            "strongest_edges": [],
            "threshold_per_mL": 1e6,
            "communication_distance_um": {"exosome": distance},
        }
        summary = {"title": "t", "hours": 1, "seed": 1, "mass_balance": {}, "communication": communication}
        runs._print_result(type("", (), {"summary": summary, "folder": "f"})())
        return " ".join(said[1:-1])

    assert tell(["donor"], 12.3) == "exosome stays above 1e+06 /mL out to 12 um from the donors"
    assert tell(["donor"], None) == "exosome stays above 1e+06 /mL at every distance from the donors"
    assert tell(["donor"], 0.0) == "exosome is below 1e+06 /mL at every distance from the donors"
    assert tell(["dose"], 0.0) == ""
