"""Problems 1 and 2: how a vesicle's size sets its diffusivity."""

from __future__ import annotations

import numpy as np
import pytest
from worlds import world

from exoabm.parameters.catalog import stokes_einstein
from exoabm.random_streams import Purpose


def diffusivity(diameter: float, gsd: float) -> float:
    """D of a kind of vesicle whose diameter (nm) alone is given."""
    vesicle = {"diffusivity": None, "diameter": diameter, "diameter_gsd": gsd}
    return world([100, 100], vesicle=vesicle).state.kinds[0].diffusivity


@pytest.mark.parametrize(("diameter", "expected"), [(30, 21.91), (100, 6.572), (150, 4.382)])
def test_1_stokes_einstein_to_a_thousandth(diameter: float, expected: float) -> None:
    assert diffusivity(diameter, 1.0) == pytest.approx(expected, rel=1e-3)
    assert diffusivity(diameter * 1.05, 1.0) != pytest.approx(expected, rel=1e-3)


def test_2_sizes_are_log_normal_to_a_hundredth() -> None:
    """2.5 % and 97.5 % of 1e5 diameters, and the mean of D over them: 44.4 and 144.1 nm, 8.594."""
    model = world([100, 100], vesicle={"diffusivity": None, "diameter_gsd": None})
    kind = model.state.kinds[0]
    z = model.streams.normal(Purpose.DIAMETER, np.arange(100_000), 0)
    diameter = kind.diameter * kind.diameter_gsd**z
    assert np.quantile(diameter, [0.025, 0.975]) * 1e3 == pytest.approx([44.4, 144.1], rel=0.01)
    mean = np.mean(stokes_einstein(1.0) / diameter)
    assert mean == pytest.approx(8.594, rel=0.01)
    assert kind.diffusivity == pytest.approx(8.594, rel=1e-3)
    assert 1.05 * mean != pytest.approx(8.594, rel=0.01)
