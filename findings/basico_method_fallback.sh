#!/usr/bin/env bash
# copasi-basico 0.92 (python-copasi 4.48.311): a method of simulation that it does not know is the deterministic one.
#
# Guess: `run_time_course(method=...)` with a name that is no method is an error, or at least a message.
# Seen: "gilespie" and "tau-leap" (the name that it knows is "tauleap") return the solution of the differential
#   equation, bit for bit that of method="deterministic", with the seed taken and nothing said. A set of replicates
#   with one wrong letter has no noise, and looks like a very well determined mean.
# Consequence here: an engine, a method or an option that does not exist ends with an error that names the nearest one.
. "$(dirname "$0")/lib.sh"
packages copasi-basico==0.92 python-copasi==4.48.311

cat >method.py <<'PYTHON'
import basico
import numpy as np

basico.new_model(name="decay", quantity_unit="#", volume_unit="1")
basico.add_species("A", initial_concentration=20)
basico.add_reaction("decay", "A -> ")


def course(method):
    """Number of A at five times with one seed."""
    run = dict(duration=1, intervals=4, use_numbers=True, use_seed=True, seed=1)
    return basico.run_time_course(method=method, **run)["A"].to_numpy()


equation, single_events = course("deterministic"), course("stochastic")
assert np.all(single_events == np.round(single_events)) and not np.all(equation == np.round(equation))
for name in ("gilespie", "tau-leap"):
    print(f"FINDING {name}:", np.round(course(name), 3), "deterministic:", np.array_equal(course(name), equation))
    assert np.array_equal(course(name), equation)
PYTHON
"$python" method.py >out.txt 2>&1 || { cat out.txt; exit 1; }
grep -qiE 'unknown|invalid|not found|warn' out.txt && { cat out.txt; exit 1; }
grep '^FINDING' out.txt
