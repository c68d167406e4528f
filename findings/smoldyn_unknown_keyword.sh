#!/usr/bin/env bash
# Smoldyn 2.74 (Python): a keyword that Simulation does not know is dropped without a word.
#
# Guess: Simulation(..., types=["a"]) raises TypeError, as there is no such parameter.
# Seen: it is taken, the walls stay reflecting (the default), and all 2,000 molecules are still there where
#   absorbing walls (boundary_type=["a"]) leave about half. Exit status 0, no warning.
# Consequence here: our comparison with Smoldyn reads the walls back from what it prints before it trusts a count.
. "$(dirname "$0")/lib.sh"
packages smoldyn==2.74 numpy==1.26.4

cat >walls.py <<'PYTHON'
import smoldyn
from smoldyn._smoldyn import MolecState


def left(**walls):
    s = smoldyn.Simulation(low=[0], high=[10], **walls)
    s.setRandomSeed(1)
    a = s.addSpecies("A", difc=1.0)
    a.addToSolution(2000, lowpos=[0], highpos=[10])
    s.run(4.0, dt=0.01)
    return s.getMoleculeCount("A", MolecState.all)


unknown, meant, nonsense = left(types=["a"]), left(boundary_type=["a"]), left(no_such_thing=17)
print(f"FINDING types=['a']: {unknown}; boundary_type=['a']: {meant}; no_such_thing=17: {nonsense}; of 2000")
assert unknown == nonsense == 2000 > 1400 > meant
PYTHON
"$python" walls.py 2>&1 | grep -E '^FINDING|Error'
