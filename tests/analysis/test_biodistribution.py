"""Where in the body a dose is: what the time series says, place by place."""

from __future__ import annotations

from exoabm.output.metrics import body, doses_in_body

ROWS = [
    {
        "time_h": 0.0,
        "particle_share[a, lost]": 0.0,
        "particle_share[a, liver]": 0.0,
        "particle_exposure_h[a, liver]": 0.0,
        "particle_share[a, lung]": 0.0,
    },
    {
        "time_h": 1.0,
        "particle_share[a, lost]": 0.1,
        "particle_share[a, liver]": 0.5,
        "particle_exposure_h[a, liver]": 0.3,
        "given_share[a]": 1.0,
        "molecule_share[a, liver]": 0.02,
    },
    {
        "time_h": 2.0,
        "particle_share[a, lost]": 0.6,
        "particle_share[a, liver]": 0.2,
        "particle_exposure_h[a, liver]": 0.7,
        "given_share[a]": 1.0,
    },
]


def test_each_place_has_its_share_at_the_end_and_at_most() -> None:
    """A place that nothing reached is left out; what was given is no place; molecules stand apart."""
    rows = [{"molecule_share[a, liver]": 0.0, **row} for row in ROWS]
    assert body(rows) == {
        "a": {
            "particles": {
                "liver": {"share": 0.2, "most_share": 0.5, "exposure_h": 0.7},
                "lost": {"share": 0.6, "most_share": 0.6},
            },
            "molecules": {"liver": {"share": 0.0, "most_share": 0.02}},
        }
    }


def test_a_dose_into_the_tissue_itself_passes_no_body() -> None:
    assert doses_in_body({"given_share[a]": 1.0, "effect_share[x, signal]": 0.5}) == []
    assert body([{"time_h": 0.0, "given_share[a]": 1.0}]) == {}
    assert body([]) == {}
