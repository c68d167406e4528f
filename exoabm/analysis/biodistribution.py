"""Where in the body a dose is, as the time series of a run tells it.

A dose that passes through a body has columns ``<dose>_<place>_share`` of particles, and
``<dose>_free_<place>_share`` of the molecules that they set free; see ``therapy.treatment_protocol``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exoabm.parameters.catalog import ORGANS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PLACES = ("depot", "plasma", "peripheral", *ORGANS, "lost")
"""Where a dose can be; what is ``lost`` was degraded, excreted, or never absorbed."""
MOLECULES = "free_"
"""Before the name of a place: as free molecules, there."""

Body = dict[str, dict[str, dict[str, float]]]


def doses_in_body(row: Mapping[str, float]) -> list[str]:
    """Names of the doses that a row of the metrics follows through a body."""
    return [name.removesuffix("_lost_share") for name in row if name.endswith("_lost_share")]


def body(rows: Sequence[Mapping[str, float]]) -> Body:
    """Per dose and place: share of the dose at the end and at most, and its exposure in share times h.

    Places that nothing ever reached are left out; molecules set free stand under ``free_<place>``. Their
    exposure is counted in molecules, and stays with the metrics.
    """
    found: Body = {}
    for dose in doses_in_body(rows[-1]) if rows else ():
        found[dose] = {}
        for place in (*PLACES, *(MOLECULES + place for place in PLACES)):
            share, exposure = f"{dose}_{place}_share", f"{dose}_{place}_exposure_h"
            most = max(row.get(share, 0.0) for row in rows)
            if most > 0:
                found[dose][place] = {"share": rows[-1][share], "most_share": most}
                if exposure in rows[-1]:
                    found[dose][place]["exposure_h"] = rows[-1][exposure]
    return found
