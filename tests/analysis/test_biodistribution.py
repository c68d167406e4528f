"""Where in the body a dose is: what the time series says, place by place."""

from __future__ import annotations

from exoabm.analysis.biodistribution import body, doses_in_body

ROWS = [
    {
        "time_h": 0.0,
        "a_lost_share": 0.0,
        "a_liver_share": 0.0,
        "a_liver_exposure_h": 0.0,
        "a_lung_share": 0.0,
    },
    {
        "time_h": 1.0,
        "a_lost_share": 0.1,
        "a_liver_share": 0.5,
        "a_liver_exposure_h": 0.3,
        "a_given_share": 1.0,
        "a_free_liver_share": 0.02,
    },
    {
        "time_h": 2.0,
        "a_lost_share": 0.6,
        "a_liver_share": 0.2,
        "a_liver_exposure_h": 0.7,
        "a_given_share": 1.0,
    },
]


def test_each_place_has_its_share_at_the_end_and_at_most() -> None:
    """A place that nothing reached is left out; what was given is no place; molecules stand apart."""
    rows = [{"a_free_liver_share": 0.0, **row} for row in ROWS]
    assert body(rows) == {
        "a": {
            "liver": {"share": 0.2, "most_share": 0.5, "exposure_h": 0.7},
            "lost": {"share": 0.6, "most_share": 0.6},
            "free_liver": {"share": 0.0, "most_share": 0.02},
        }
    }


def test_a_dose_into_the_tissue_itself_passes_no_body() -> None:
    assert doses_in_body({"a_given_share": 1.0, "x_signal_effect_share": 0.5}) == []
    assert body([{"time_h": 0.0, "a_given_share": 1.0}]) == {}
    assert body([]) == {}
