#!/usr/bin/env bash
# libRoadRunner 2.10.0 and COPASI (python-copasi 4.48.311): the same SBML file, two stochastic simulations.
#
# Guess: both are Gillespie's algorithm, so that the dimerization 2 A -> B at the rate k A A, started with one molecule
#   of A, never happens: there is no pair.
# Seen: libRoadRunner takes the deterministic rate as the probability per time, and so the one molecule reacts with
#   itself: A is -1 and B is 1. COPASI counts the pairs, and nothing happens. With 10 molecules the first reaction
#   comes 10/9 times as early in libRoadRunner. Its setting `nonnegative`, off by default, excludes the count of -1,
#   not the rate.
# Consequence here: a cell with one molecule or receptor is common; numbers of single vesicles come from draws with
#   counts, and no count may fall below 0 (each step's balance is tested).
. "$(dirname "$0")/lib.sh"
packages libroadrunner==2.10.0 antimony==3.3.0 copasi-basico==0.92 python-copasi==4.48.311

cat >dimer.py <<'PYTHON'
import antimony
import basico
import numpy as np
import roadrunner

antimony.loadAntimonyString("""
model dimer
  compartment cell = 1
  substanceOnly species A in cell, B in cell
  R: 2 A => B; k*A*A
  k = 1; A = 1; B = 0
  unit substance = item
end
""")
sbml = antimony.getSBMLString("dimer")

runner = roadrunner.RoadRunner(sbml)
runner.setIntegrator("gillespie")
runner.integrator.seed = 1
runner.integrator.variable_step_size = False
one = runner.simulate(0, 5, 6, ["A", "B"])[-1].astype(int)

basico.load_model_from_string(sbml)
other = [
    basico.run_time_course(method="directMethod", duration=5, intervals=5, use_numbers=True, use_seed=True, seed=seed)
    for seed in range(20)
]
pairs = {tuple(int(value) for value in run[["A", "B"]].to_numpy()[-1]) for run in other}
print("FINDING A and B after 5 s from A = 1: libRoadRunner", [int(value) for value in one], "COPASI", pairs)
assert list(one) == [-1, 1] and pairs == {(1, 0)}

runner.integrator.nonnegative = True
counts = []
for seed in range(4000):
    runner.reset()
    runner.integrator.seed = seed
    runner["init(A)"] = 10
    counts.append(runner.simulate(0, 0.005, 2, ["B"])[-1, 0])
none = np.mean(np.array(counts) == 0)
print(f"FINDING no reaction in 0.005 s from A = 10: {none:.3f}; exp(-k A A t) {np.exp(-0.5):.3f}, ", end="")
print(f"exp(-k A (A - 1) t) {np.exp(-0.45):.3f}")
assert abs(none - np.exp(-0.5)) < 0.02
PYTHON
"$python" dimer.py >out.txt 2>&1 || { cat out.txt; exit 1; }
grep '^FINDING' out.txt
