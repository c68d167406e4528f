#!/usr/bin/env bash
# GillesPy2 1.8.3: stochastic solvers divide a rate by the volume of the model, the ODE solver does not.
#
# Guess: `Model(volume=10)` with A + B -> C of mass action means the same in every solver, so that with thousands of
#   molecules the deterministic solution is the mean of the stochastic ones, as it is with volume 1.
# Seen: the propensity is k A B / vol, that of the ODE k A B with the same numbers of molecules. With volume 10 and the
#   rate constant times 10 (the same propensity) the stochastic mean stays, and the ODE gives nearly twice as much. The
#   hybrid solver changes its result when species are declared "continuous".
# Consequence here: none; a compartment of unit volume, or propensities written by hand, are needed for comparisons.
. "$(dirname "$0")/lib.sh"
packages gillespy2==1.8.3 numpy==2.4.6 scipy==1.17.1

cat >volume.py <<'PYTHON'
import gillespy2
import numpy as np
from gillespy2 import NumPySSASolver, ODESolver, TauHybridSolver


def made(solver, volume, mode="discrete", runs=10):
    """Mean number of C after a unit of time; the propensity is 0.001 A B for every volume."""
    model = gillespy2.Model(name="pairs", volume=volume)
    a, b, c = (
        gillespy2.Species(name=name, initial_value=value, mode=mode)
        for name, value in (("A", 1000), ("B", 500), ("C", 0))
    )
    k = gillespy2.Parameter(name="k", expression=0.001 * volume)
    model.add_species([a, b, c])
    model.add_parameter(k)
    model.add_reaction(gillespy2.Reaction(name="bind", reactants={a: 1, b: 1}, products={c: 1}, rate=k))
    model.timespan(np.linspace(0, 1, 11))
    if solver is ODESolver:
        return model.run(solver=solver)["C"][-1]
    found = model.run(solver=solver, number_of_trajectories=runs, seed=1)
    return np.mean([found[run]["C"][-1] for run in range(runs)])


rows = {
    "stochastic": (NumPySSASolver, "discrete"),
    "hybrid, discrete": (TauHybridSolver, "discrete"),
    "hybrid, continuous": (TauHybridSolver, "continuous"),
    "ODE": (ODESolver, "discrete"),
}
for name, (solver, mode) in rows.items():
    one, ten = made(solver, 1.0, mode), made(solver, 10.0, mode)
    print(f"FINDING {name}: {one:.1f} of 500 with volume 1, {ten:.1f} with volume 10 and the same propensity")
    assert abs(one - 282.4) < 10, name
    same = name in ("stochastic", "hybrid, discrete")
    assert abs(ten - one) < 10 if same else ten > 490, name
PYTHON
"$python" -W ignore volume.py 2>&1 | grep -E '^FINDING|Error'
