#!/usr/bin/env bash
# matplotlib 3.11.2 with matplotlib-inline 0.2.2: after a first figure inside rc_context a notebook shows no other figure.
#
# Guess: rc_context changes the look of what is drawn inside it and nothing after it.
# Seen: the first figure of a kernel loads the inline backend, which turns interactive mode on; where that happens inside
#   rc_context (or style.context), leaving it restores the mode of before, off. All later figures of the notebook are
#   silently not shown. Where the first figure is made outside, all are shown.
# Consequence here: interactive mode stays on after the first figure of exoabm; tests/api/test_runs.py holds it to that.
. "$(dirname "$0")/lib.sh"
packages matplotlib==3.11.2 matplotlib-inline==0.2.2 ipykernel==7.4.0 nbclient==0.11.0 nbformat==5.11.1

cat >cells.py <<'PYTHON'
import nbformat
from nbclient import NotebookClient


def shown(cells):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    return [sum("image/png" in output.get("data", {}) for output in cell.outputs) for cell in notebook.cells]


first = "import matplotlib.pyplot as plt\nplt.subplots();"
inside = "import matplotlib as mpl\nwith mpl.rc_context():\n    import matplotlib.pyplot as plt\n    plt.subplots();"
later = "plt.subplots();"
plain, within = shown([first, later, later]), shown([inside, later, later])
print(f"FINDING figures shown by three cells: {plain}; the first inside rc_context: {within}, guess {plain}")
assert plain == [1, 1, 1]
assert within == [1, 0, 0]
PYTHON
"$python" -W ignore cells.py 2>&1 | grep -E '^FINDING|Error'
