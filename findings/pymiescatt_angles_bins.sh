#!/usr/bin/env bash
# PyMieScatt 1.8.1.1: light scattered "per particle" of a size distribution depends on the number of size classes.
#
# Guess: `SF_SD(..., normalization="number")` is the mean over particles of what `ScatteringFunction` says of one, for
#   counts per class (sum) or for counts per nm (integral).
# Seen: the numerator is a sum over classes, the number that it is divided by an integral over sizes. In both cases the
#   result is the mean divided by the width of a class in nm: ten times as many classes of the same distribution give
#   ten times the light of a particle.
# Consequence here: none; exoabm computes no scattering.
. "$(dirname "$0")/lib.sh"
packages PyMieScatt==1.8.1.1 scipy==1.13.1 numpy==1.26.4

cat >bins.py <<'PYTHON'
import numpy as np
from PyMieScatt import SF_SD, ScatteringFunction

index, wavelength = 1.38 / 1.34 + 0j, 405.0 / 1.34
side = {"minAngle": 90, "maxAngle": 91, "angularResolution": 1}


def classes(number):
    """Sizes, nm, and particles per nm: a lognormal distribution around 100 nm, one particle in all."""
    size = np.linspace(50, 250, number)
    density = np.exp(-((np.log(size / 100) / 0.2) ** 2) / 2) / size
    return size, density / np.trapz(density, size)


def at_right_angle(size, number):
    return SF_SD(index, wavelength, size, number, normalization="number", **side)[3][0]


fine, density = classes(501)
one = np.array([ScatteringFunction(index, wavelength, size, **side)[3][0] for size in fine])
mean = np.trapz(one * density, fine)
print(f"FINDING mean over particles of ScatteringFunction at 90 degrees: {mean:.3e}")
for number in 51, 101, 501:
    size, density = classes(number)
    width = size[1] - size[0]
    by_density, by_count = at_right_angle(size, density), at_right_angle(size, density * width)
    print(
        f"FINDING {number} classes of {width:g} nm: SF_SD of counts per nm {by_density / mean:.3f} of it, "
        f"of counts per class {by_count / mean:.3f}"
    )
    assert np.isclose(by_density * width, mean, rtol=0.01) and np.isclose(by_count * width, mean, rtol=0.01)
PYTHON
"$python" -W ignore bins.py 2>&1 | grep -E '^FINDING|Error'
