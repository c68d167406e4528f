#!/usr/bin/env bash
# SpatialPy 1.2.2: in a plane, molecules diffuse the faster the finer the grid; with short steps results are late.
#
# Needs a C++ compiler and make, as SpatialPy does.
# Guess: a species with D = 1 spreads by 2 D t along each axis, more exactly on a finer grid. Of a decay at rate 1 the
#   part exp(-t) is left at t, for any `timestep_size`. Molecules placed at a point of the grid start there.
# Seen: rates of diffusion have the kernel of three dimensions in `create_2D_domain` too, so that a length too much is
#   divided by: D is 0.23, 0.50, 1.04 at spacings of 2, 1, 1/2. It is right by chance at one spacing, and with all
#   lengths 1000 times smaller (another unit) it is 1000 times more. In a cube it is 0.72 and 0.83 at spacings of 2 and
#   1.
#   With a step shorter than the interval of output the first result is that after one step, and each later one that of
#   the interval before: 0.91, 0.37, 0.14 is left at 1, 2, 3. A step equal to the interval, the default, is right.
#   Molecules placed at a point of the grid start at the next one. There is no message in any case.
# Consequence here: none; exoabm neither uses SpatialPy nor writes for it.
. "$(dirname "$0")/lib.sh"
packages spatialpy==1.2.2 numpy==2.4.6 scipy==1.17.1

cat >plane.py <<'PYTHON'
import numpy as np
from spatialpy import Domain, Model, Parameter, PlaceInitialCondition, Reaction, Species, TimeSpan

COUNT = 20000


def model(axes, points, width, diffusion):
    """Molecules in the middle of a square or cube, on a grid of `points` along each axis."""
    span = [-width / 2, width / 2]
    create = {2: Domain.create_2D_domain, 3: Domain.create_3D_domain}[axes]
    made = Model("model")
    made.domain = create(*[span] * axes, *[points] * axes, type_id="1", mass=1.0, nu=1.0, fixed=True)
    species = Species(name="A", diffusion_coefficient=diffusion)
    made.add_species([species])
    made.add_initial_condition(PlaceInitialCondition(species, COUNT, [0, 0, 0]))
    return made, species


def counts(made, times, step):
    made.timespan(TimeSpan(times, timestep_size=step))
    result = made.run(seed=1)
    return np.array([result.get_species("A", timepoints=i) for i in range(len(times))])


def relative_diffusion(axes, spacing, length, time):
    """The growth of the variance along x by 2 D t, in a square or cube as wide as 20 units of `length`."""
    points = round(20 / spacing) + 1
    made, _ = model(axes, points, 20 * length, length**2)
    first, last = counts(made, np.array([0.0, time]), time)
    assert first.max() == first.sum() == last.sum() == COUNT
    x = np.asarray(made.domain.vertices)[:, 0] / length
    start = x[first.argmax()]
    assert np.isclose(abs(start), spacing) or 0 not in x  # with small lengths the middle may be 1e-18
    return np.average((x - start) ** 2, weights=last) / (2 * time), start


def left(step):
    made, species = model(2, 5, 2.0, 0.0)
    rate = Parameter(name="rate", expression=1.0)
    made.add_parameter(rate)
    made.add_reaction(Reaction(name="decay", reactants={species: 1}, products={}, rate=rate))
    return counts(made, np.arange(6.0), step).sum(axis=1) / COUNT


for axes, spacing, length, time, seen in (
    (2, 2.0, 1.0, 1.0, 0.226),
    (2, 1.0, 1.0, 1.0, 0.497),
    (2, 0.5, 1.0, 1.0, 1.042),
    (2, 1.0, 1e-3, 1e-3, 497.0),
    (3, 2.0, 1.0, 1.0, 0.72),
    (3, 1.0, 1.0, 1.0, 0.83),
):
    found, start = relative_diffusion(axes, spacing, length, time)
    print(
        f"FINDING {axes} dimensions, spacing {spacing:g}, lengths times {length:g}: {found:.3f} of the given D; "
        f"molecules placed at 0 start at {start:.2g}"
    )
    assert abs(found - seen) < 0.05 * seen

times = np.arange(6.0)
print(f"FINDING decay at rate 1: exactly {np.exp(-times).round(3)}")
for step in (1.0, 0.1):
    found = left(step)
    print(f"FINDING a step of {step:g}: {found.round(3)}")
    expected = np.exp(-times) if step == 1 else np.exp(-np.concatenate([[0, step], times[1:-1]]))
    assert np.allclose(found, expected, atol=0.015)
PYTHON
"$python" -W ignore plane.py 2>&1 | grep -E '^FINDING|Error'
