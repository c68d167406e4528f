"""The palette: hues that all readers tell apart, contrast, shades, and the shapes of roles."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_hex

from exoabm.plot import palette
from exoabm.plot.palette import Role


def luminance(color: str) -> float:
    """Relative luminance, WCAG 2.2."""
    c = palette.rgb(color)
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast_on_white(color: str) -> float:
    return 1.05 / (luminance(color) + 0.05)


# Machado, Oliveira and Fernandes 2009, severity 1.0, for linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritan": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def lab(color: str, blindness: str) -> np.ndarray:
    """CIE L*a*b* (D65) of a color as seen with a kind of color blindness."""
    c = palette.rgb(color)
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    seen = np.clip(BLINDNESS[blindness] @ linear, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ seen / to_xyz.sum(axis=1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def closest(colors: list[str], blindness: str) -> float:
    """The least color difference (CIE 1976) of a set."""
    seen = [lab(c, blindness) for c in colors]
    return min(float(np.linalg.norm(a - b)) for a, b in combinations(seen, 2))


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_hues_are_told_apart(blindness: str) -> None:
    """A difference of 10 is clear at a glance; red and green of equal lightness would fail it."""
    assert closest([*palette.WARM, *palette.COOL], blindness) > 10
    if blindness == "deutan":
        assert closest(["#E41A1C", "#4DAF4A", "#A65628"], blindness) < 25


def test_outlines_and_text_have_contrast() -> None:
    for color in (*palette.WARM, *palette.COOL, palette.OTHER):
        outline = palette.Style("x", Role.SENDS, color, True).outline
        assert contrast_on_white(outline) >= 3.0, color
    assert contrast_on_white(palette.INK) >= 7
    assert contrast_on_white(palette.MUTED) >= 4.5
    assert contrast_on_white("#F0E442") < 1.5, "the yellow left out"


def test_shades_darken_steadily() -> None:
    field = [lab(c, "none")[0] for c in palette.FIELD]
    assert (np.diff(field) < -5).all()
    for color in (*palette.WARM, *palette.COOL):
        tints = [lab(palette.to_hex(c), "none")[0] for c in palette.tint(color, np.linspace(0, 1, 9))]
        assert (np.diff(tints) < 0).all()


def test_tint_goes_from_white_to_the_color() -> None:
    ends = palette.tint("#0072B2", np.array([-1.0, 0.0, 1.0, 2.0]))
    assert [to_hex(c).upper() for c in ends] == ["#FFFFFF", "#FFFFFF", "#0072B2", "#0072B2"]


def test_shapes_have_the_area_of_their_disc() -> None:
    for role in Role:
        x, y = role.polygon().T
        area = 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
        assert area == pytest.approx(np.pi / 4, rel=1e-12)
