#!/usr/bin/env bash
# PyMieScatt 1.8.1.1: `Mie_SD` divides the refractive index and the wavelength by those of the medium twice.
#
# Guess: the scattering of a size distribution in a medium is the sum over its sizes of what `MieQ` says of one particle
#   in that medium, and the same as with relative index and wavelength in the medium, both divided by hand.
# Seen: `Mie_SD(..., nMedium=1.34)` divides, then gives the medium on to `AutoMieQ`, which divides again. For vesicles
#   of index 1.38 and 100 nm in water the relative index becomes 0.77 in place of 1.03, and scattering 120 times as
#   large. `Mie_Lognormal` has the same argument and is right, since it does not give the medium on.
# Consequence here: none; exoabm computes no scattering. A size distribution that was fitted with this function to
#   scattered light should not be read as a measurement (`exoabm` reads counts by size).
. "$(dirname "$0")/lib.sh"
packages PyMieScatt==1.8.1.1 scipy==1.13.1 numpy==1.26.4 miepython==3.3.0

cat >medium.py <<'PYTHON'
import numpy as np
from miepython import efficiencies
from PyMieScatt import Mie_Lognormal, Mie_SD, MieQ

vesicle, water, wavelength, diameter = 1.38 + 0j, 1.34, 405.0, 100.0
sizes, counts = np.array([diameter]), np.array([1e6])
area = np.pi * (sizes[0] / 2) ** 2 * counts[0] * 1e-6  # of all particles of the only class, as Mie_SD has it


def of_distribution(index, length, **medium):
    return Mie_SD(index, length, sizes, counts, **medium)[1] / area


one = MieQ(vesicle, wavelength, diameter, nMedium=water)[1]
other = efficiencies(vesicle.real, diameter, wavelength, n_env=water)[1]
by_hand = of_distribution(vesicle / water, wavelength / water)
given = of_distribution(vesicle, wavelength, nMedium=water)
twice = MieQ(vesicle / water, wavelength / water, diameter, nMedium=water)[1]
print(f"FINDING Q_sca of one vesicle in water: MieQ {one:.6f}, miepython {other:.6f}")
print(f"FINDING of a distribution of this size: divided by hand {by_hand:.6f}, with nMedium {given:.6f}")
print(f"FINDING MieQ divided by the medium twice: {twice:.6f}")
assert np.isclose(one, other, rtol=1e-6) and np.isclose(one, by_hand, rtol=1e-9)
assert np.isclose(given, twice, rtol=1e-9) and given > 100 * one

broad = Mie_Lognormal(vesicle, wavelength, 1.6, diameter, 1e6, nMedium=water, numberOfBins=500)[1]
hand = Mie_Lognormal(vesicle / water, wavelength / water, 1.6, diameter, 1e6, numberOfBins=500)[1]
print(f"FINDING Mie_Lognormal with nMedium and by hand: {broad:.3f} and {hand:.3f} 1/Mm")
assert np.isclose(broad, hand, rtol=1e-9)
PYTHON
"$python" -W ignore medium.py 2>&1 | grep -E '^FINDING|Error'
