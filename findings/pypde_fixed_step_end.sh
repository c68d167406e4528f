#!/usr/bin/env bash
# py-pde 0.59.0: with a step that does not divide the time range, solve runs beyond its end.
#
# Guess: solve(state, t_range=1, dt=0.3) returns the state at time 1, with a shorter last step, as solve without dt
#   does; a storage tracker with an interval of 0.5 has the times 0, 0.5 and 1.
# Seen: four whole steps are made, and the state at 1.2 is returned, without a warning; the times that are stored are
#   0, 0.6 and 0.9 (each is the first or nearest whole step). Of a decay at rate 1 the sum is 22 % too small.
# Consequence here: the last step of exoabm ends at the duration, whatever the step (clock.step, clock.duration).
. "$(dirname "$0")/lib.sh"
packages py-pde==0.59.0 numpy==2.4.6 numba==0.68.1

cat >end.py <<'PYTHON'
import pde

grid = pde.UnitGrid([4], periodic=True)
decay = pde.PDE({"c": "-c"})
start = pde.ScalarField(grid, 1.0)
stored = pde.MemoryStorage()
coarse = decay.solve(start, t_range=1.0, dt=0.3, tracker=stored.tracker(0.5), backend="numpy")
end = decay.diagnostics["controller"]["t_final"]
whole, clipped = 0.7**4, 0.7**3 * 0.9
print(f"FINDING t_range=1, dt=0.3: ends at {end:g}, value {coarse.data[0]:.4f}; guess {clipped:.4f} at 1")
print(f"FINDING times stored each 0.5: {[round(float(t), 2) for t in stored.times]}")
assert abs(end - 1.2) < 1e-9
assert abs(coarse.data[0] - whole) < 1e-12
free = decay.solve(start, t_range=1.0, tracker=None)
end = decay.diagnostics["controller"]["t_final"]
print(f"FINDING without dt: ends at {end:g}, value {free.data[0]:.4f}")
assert abs(end - 1.0) < 1e-9
PYTHON
"$python" -W ignore end.py 2>&1 | grep -E '^FINDING|Error'
