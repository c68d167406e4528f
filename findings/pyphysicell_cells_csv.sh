#!/usr/bin/env bash
# pyphysicell 0.1.4: a cells.csv with a header is read by position, and an unknown type number becomes the first type.
#
# Guess: where the first line names the columns, "y,x,z,type" puts y into y; a type number that the model does not
#   have is an error.
# Seen: the header finds only the column `type`; x, y, z are always columns 1 to 3, so that the tissue is mirrored at
#   its diagonal. Type 7 of two types is read as type 0, and a row "type,x,y,z" is dropped. No word in any case.
# Consequence here: our reader takes columns by name, and a type that no rule knows stops it.
. "$(dirname "$0")/lib.sh"
packages pyphysicell==0.1.4 numpy==2.4.6

cat >cells.py <<'PYTHON'
import pathlib

import pyphysicell


def read(text):
    pathlib.Path("cells.csv").write_text(text)
    return pyphysicell.read_cells_csv("cells.csv", ["tumor", "stroma"])


swapped = read("y,x,z,type\n10,200,0,stroma\n")
unknown = read("x,y,z,type\n10,200,0,7\n")
ordered = read("type,x,y,z\nstroma,10,200,0\n")
print("FINDING y,x,z,type:", swapped, "type 7 of 2:", unknown, "type,x,y,z:", ordered)
assert swapped == [(10.0, 200.0, 0.0, "stroma")]
assert unknown == [(10.0, 200.0, 0.0, "tumor")]
assert ordered == []
PYTHON
"$python" cells.py 2>&1 | grep -E '^FINDING|Error'
