#!/usr/bin/env bash
# Mesa 3.5.1: once a step of a model has raised, all later calls of step do nothing.
#
# Guess: a call of step after one that raised (an interrupt in a notebook, an error that was mended) makes a step, or
#   is refused. In Mesa 3.3.1 it makes one.
# Seen: it returns without a word. The clock of the model goes on by one at each call, its number of steps does not,
#   and nothing of the model is called: a loop of calls ends with the results of the moment of the error.
# Consequence here: models of exoabm put the schedule of their steps right; tests/mesa/test_mesa_steps.py steps after an error.
. "$(dirname "$0")/lib.sh"
packages mesa==3.5.1 numpy==2.4.6 networkx==3.7

cat >steps.py <<'PYTHON'
import mesa


class Counter(mesa.Model):
    made = 0

    def step(self):
        if self.steps == 2:
            raise ValueError("once")
        self.made += 1


model = Counter()
model.step()
try:
    model.step()
except ValueError:
    pass
for _ in range(3):
    model.step()
print(f"FINDING five calls of step, the second raised: {model.made} made, steps {model.steps}, time {model.time:g}")
assert (model.made, model.steps, model.time) == (1, 2, 5)
PYTHON
"$python" steps.py 2>&1 | grep -E '^FINDING|Error'
