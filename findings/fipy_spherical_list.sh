#!/usr/bin/env bash
# FiPy 4.0.3: in a sphere, a list of widths makes diffusion 1.5 times slower than one width does.
#
# SphericalGrid1D(nx=100, dx=0.01) and SphericalGrid1D(dx=[0.01] * 100) have the same cells; a list is the way to make
# them finer where the gradient is steep.
# Guess: both give the series of Crank for a sphere of radius 1 with D = 1 and 0 at its surface: 0.0845 of the content
#   is left after 0.2. With a source of 6 the center is at 1 in the end.
# Seen: one width: 0.0849 and 1.000. A list: 0.1642 and 1.500, at every number of cells and for graded cells too. Its
#   cells have 3/2 of their volume beside the areas of their faces: the sphere has 1/2, not 1/3, in units of 4 pi. So
#   time runs 1.5 times too slow (0.1638 is the series at 0.2 / 1.5), and sources and sinks are 1.5 times too strong
#   beside diffusion. There is no message. Cylinders are right both ways.
# Consequence here: none; the field of exoabm is its own solver on squares and cubes.
. "$(dirname "$0")/lib.sh"
packages fipy==4.0.3 numpy==2.4.6 scipy==1.17.1

cat >sphere.py <<'PYTHON'
import numpy as np
from fipy import CellVariable, CylindricalGrid1D, DiffusionTerm, SphericalGrid1D, TransientTerm


def left(mesh, edges, time=0.2, steps=400):
    """The share of the content that has not diffused out; volumes of shells from `edges`, not from FiPy."""
    content = CellVariable(mesh=mesh, value=1.0, hasOld=True)
    content.constrain(0.0, mesh.facesRight)
    equation = TransientTerm() == DiffusionTerm(coeff=1.0)
    for _ in range(steps):
        content.updateOld()
        equation.sweep(content, dt=time / steps)
    return np.average(content.value, weights=np.diff(edges**3))


def center(mesh):
    content = CellVariable(mesh=mesh, value=0.0)
    content.constrain(0.0, mesh.facesRight)
    (DiffusionTerm(coeff=1.0) + 6.0).solve(content)
    return content.value[0]


def series(time):
    k = np.arange(1, 1000)
    return (6 / (np.pi * k) ** 2 * np.exp(-((np.pi * k) ** 2) * time)).sum()


even, graded = np.linspace(0, 1, 101), np.linspace(0, 1, 101) ** 0.7
print(f"FINDING series: left {series(0.2):.4f}, at 0.2 / 1.5 {series(0.2 / 1.5):.4f}; center 1, volume 0.3333")
meshes = {
    "one width": (SphericalGrid1D(nx=100, dx=0.01), even, 1.0),
    "a list of equal widths": (SphericalGrid1D(dx=np.diff(even)), even, 1.5),
    "a list of 400 equal widths": (SphericalGrid1D(dx=np.full(400, 1 / 400)), np.linspace(0, 1, 401), 1.5),
    "a list of graded widths": (SphericalGrid1D(dx=np.diff(graded)), graded, 1.5),
}
for name, (mesh, edges, slower) in meshes.items():
    share, height, volume = left(mesh, edges), center(mesh), mesh.cellVolumes.sum()
    print(f"FINDING {name}: left {share:.4f}, center {height:.3f}, volume {volume:.4f}")
    assert abs(share - series(0.2 / slower)) < 0.002
    assert abs(height - slower) < 0.002
    assert abs(volume - slower / 3) < 1e-4

disks = [center(CylindricalGrid1D(**width)) for width in ({"nx": 100, "dx": 0.01}, {"dx": np.diff(even)})]
print(f"FINDING center of a cylinder, exactly 1.5: one width {disks[0]:.3f}, a list {disks[1]:.3f}")
assert np.allclose(disks, 1.5, atol=0.002)
PYTHON
FIPY_SOLVERS=scipy "$python" -W ignore sphere.py 2>&1 | grep -E '^FINDING|Error'
