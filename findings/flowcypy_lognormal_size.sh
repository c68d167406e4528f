#!/usr/bin/env bash
# FlowCyPy 1.2.11 (simulator of flow cytometers, of vesicles among others): lognormal sizes are one meter.
#
# Guess: `LogNormal(mean=100 nm, standard_deviation=50 nm)` draws sizes with this mean and this deviation, as `Normal`
#   does; both take a mean and a deviation with the unit of a length.
# Seen: the two lengths, in meters, are taken as mean and deviation of the logarithm: exp(1e-7) = 1.0000001 m, so that
#   every particle is 1 m large, with a deviation of 50 nm. With a cutoff at 200 nm all particles are 200 nm, and
#   `proportion_within_cutoffs` is 0; there is no message.
# Consequence here: sizes of vesicles that were made with FlowCyPy to be read by `exoabm` should be looked at first.
. "$(dirname "$0")/lib.sh"
packages FlowCyPy==1.2.11 PyMieSim==6.0.8 numpy==2.2.6

cat >sizes.py <<'PYTHON'
from FlowCyPy.fluidics.distributions import LogNormal, Normal
from FlowCyPy.units import ureg

nm = ureg.nanometer


def of(kind, **cutoffs):
    limits = {name: value * nm for name, value in cutoffs.items()}
    law = kind(mean=100 * nm, standard_deviation=50 * nm, **limits)
    law.seed(1)
    size = law.sample(100_000).to("nm").magnitude
    print(
        f"FINDING {kind.__name__} {cutoffs}: mean {size.mean():.10g} nm, deviation {size.std():.4g} nm, "
        f"share within cutoffs {law.proportion_within_cutoffs():.3g}"
    )
    return size


normal, lognormal = of(Normal), of(LogNormal)
limited = of(LogNormal, low_cutoff=30, high_cutoff=200)
assert abs(normal.mean() - 100) < 1
assert abs(lognormal.mean() - 1e9 - 100) < 1 and abs(lognormal.std() - 50) < 1
assert (limited == limited[0]).all() and abs(limited[0] - 200) < 1e-6
PYTHON
"$python" -W ignore sizes.py 2>&1 | grep -E '^FINDING|Error'
