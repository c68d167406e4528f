#!/usr/bin/env bash
# Mesa 3.3.1: batch_run(max_steps=n) makes n + 1 steps of a model that does not stop by itself.
#
# Guess: max_steps = 10 makes at most ten steps, as its name and a loop of ten calls of step do.
# Seen: eleven. The last row of results is one step later than that of the loop: in a model with a step of one hour,
#   11 h instead of 10 h. Mesa 3.5.1 (Python 3.12 or newer) makes ten, so that one script gives other results there.
# Consequence here: docs/mesa.md states both, and tests/mesa/test_mesa_agents.py reads the number of steps from the time in the results.
. "$(dirname "$0")/lib.sh"
packages mesa==3.3.1 numpy==2.4.6 pandas==2.3.3

cat >steps.py <<'PYTHON'
import mesa


class Clock(mesa.Model):
    def __init__(self, seed=None):
        super().__init__(seed=seed)
        self.hours = 0.0
        self.datacollector = mesa.DataCollector({"hours": "hours"})

    def step(self):
        self.hours += 1.0
        self.datacollector.collect(self)


if __name__ == "__main__":
    alone = Clock(seed=1)
    for _ in range(10):
        alone.step()
    rows = mesa.batch_run(Clock, {"seed": [1]}, max_steps=10, display_progress=False)
    print(f"FINDING ten calls of step: {alone.hours:g} h; batch_run with max_steps=10: {rows[-1]['hours']:g} h")
    assert alone.hours == 10
    assert rows[-1]["hours"] == 11
PYTHON
"$python" steps.py 2>&1 | grep -E '^FINDING|Error'
