#!/usr/bin/env bash
# SALib 1.6.0: derivative-based measures of normal factors take mean and deviation for the ends of a range.
#
# With `dists` the `bounds` of a factor are no bounds but parameters of its distribution (SALib's documentation), and
# `dgsm` is documented as an upper bound of the total effect of a factor, ST <= dgsm.
# Guess: factors N(10, 1) and N(5, 4) of a + b have total effects 1/17 and 16/17, and their measures are not less; for
#   normal factors the bound is variance * vi / variance of the output, equal to ST in a linear model.
# Seen: finite_diff draws from the distributions, but confines each perturbed value between "mean and deviation", which
#   leaves the mean alone where the deviation is smaller; and dgsm has (deviation - mean)^2 / pi^2 in the place of the
#   variance. The measure of b is 0.006, 81 times less than that of a, so that the factor with 94 % of the variance
#   would be left out; of N(1, 1) it is exactly 0. In a^2 + b^2 the mean squared derivative of b is 116, not 164.
#   There is no message. Uniform factors are right, and Sobol's indices of the same problem are.
# Consequence here: exoabm uses SALib's Morris and Sobol methods only, and not its distributions.
. "$(dirname "$0")/lib.sh"
packages SALib==1.6.0 numpy==2.4.6 scipy==1.17.1 pandas==3.1.1

cat >derivatives.py <<'PYTHON'
import numpy as np
from SALib.analyze import dgsm, sobol
from SALib.sample import finite_diff
from SALib.sample import sobol as sobol_sample


def problem(dist, *bounds):
    return {"num_vars": 2, "names": ["a", "b"], "bounds": [[*pair] for pair in bounds], "dists": [dist] * 2}


def found(dist, *bounds, power=1):
    factors = problem(dist, *bounds)
    x = finite_diff.sample(factors, 4096)
    return x, dgsm.analyze(factors, x, (x**power).sum(axis=1), seed=1)


def total_effects(dist, *bounds):
    factors = problem(dist, *bounds)
    x = sobol_sample.sample(factors, 4096, calc_second_order=False, seed=1)
    return sobol.analyze(factors, x.sum(axis=1), calc_second_order=False, seed=1)["ST"]


def shown(name, total, measure):
    print(f"FINDING a + b, {name}: total effects {total.round(3)}, dgsm {measure.round(4)}")


even = (0, 2), (0, 4)
total, measure = total_effects("unif", *even), found("unif", *even)[1]["dgsm"]
shown("uniform on [0, 2] and [0, 4]", total, measure)
assert np.allclose(total, [0.2, 0.8], atol=0.02)
assert np.allclose(measure, np.array([0.2, 0.8]) * 12 / np.pi**2, atol=0.02)

normal = (10, 1), (5, 4)
total, (x, analysis) = total_effects("norm", *normal), found("norm", *normal)
shown("N(10, 1) and N(5, 4)", total, analysis["dgsm"])
base, perturbed = x[::3], x[1::3, 0]
print(f"FINDING a is drawn with mean {base[:, 0].mean():.2f} and deviation {base[:, 0].std():.2f}; ", end="")
print(f"its perturbed values are all {perturbed[0]:g}: {bool((perturbed == perturbed[0]).all())}")
assert np.allclose(total, np.array([1, 16]) / 17, atol=0.02)
assert np.allclose(analysis["dgsm"], np.array([81, 1]) / 17 / np.pi**2, rtol=0.02)
assert (perturbed == 10).all()

equal = (1, 1), (0, 2)
total, measure = total_effects("norm", *equal), found("norm", *equal)[1]["dgsm"]
shown("N(1, 1) and N(0, 2)", total, measure)
assert abs(total[0] - 0.2) < 0.02 and measure[0] == 0

squared = found("norm", *normal, power=2)[1]["vi"][1]
print(f"FINDING a^2 + b^2: mean squared derivative by b {squared:.0f}, exactly {4 * (5**2 + 4**2)}")
assert 110 < squared < 122
PYTHON
"$python" -W ignore derivatives.py 2>&1 | grep -E '^FINDING|Error'
