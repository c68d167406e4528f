#!/usr/bin/env bash
# liana 1.10.0 with squidpy 1.8.2: cells beyond liana's bandwidth are neighbors to squidpy.
#
# Guess: liana's spatial_neighbors sets weights below `cutoff` to 0 and is documented as consistent with squidpy's
#   function of that name; squidpy then counts the pairs that have a weight.
# Seen: the zeros stay stored, and each cell has as many entries as `max_neighbours` (and one for itself). squidpy's
#   interaction_matrix and nhood_enrichment count stored entries: a bandwidth of 10 and one of 1,000 give one matrix.
#   After eliminate_zeros() they differ, as they should.
# Consequence here: matrices of truth files store no zeros, and `score` reads values, not stored entries.
. "$(dirname "$0")/lib.sh"
packages liana==1.10.0 squidpy==1.8.2 anndata==0.12.19 numpy==2.4.6 numba==0.68.1

cat >zeros.py <<'PYTHON'
import anndata
import liana
import numpy as np
import pandas as pd
import squidpy as sq

# Islands of one A and one B, 5 apart; from island to island 100.
corners = np.array([(x, y) for x in range(0, 1000, 100) for y in range(0, 1000, 100)], float)
places = np.concatenate([corners, corners + (5, 0)])
names = np.repeat(["A", "B"], len(corners))
table = anndata.AnnData(
    np.zeros((len(places), 1), np.float32),
    obs=pd.DataFrame({"type": pd.Categorical(names)}, index=[str(i) for i in range(len(places))]),
    obsm={"spatial": places},
)


def counted(bandwidth, clean):
    liana.ut.spatial_neighbors(table, bandwidth=bandwidth, cutoff=0.1, max_neighbours=20)
    weights = table.obsp["spatial_connectivities"]
    if clean:
        weights.eliminate_zeros()
    return sq.gr.interaction_matrix(table, "type", copy=True).astype(int).tolist(), int((weights.data > 0).sum())


(near, weighted), (far, _) = counted(10, clean=False), counted(1000, clean=False)
cleaned, _ = counted(10, clean=True)
print(f"FINDING bandwidth 10: {weighted} pairs have a weight; squidpy counts {near}, guess [[0, 100], [100, 0]]")
print(f"FINDING bandwidth 1000: {far}; bandwidth 10 after eliminate_zeros: {cleaned}")
assert weighted == 200
assert near == far
assert cleaned == [[0, 100], [100, 0]]
PYTHON
"$python" -W ignore zeros.py 2>&1 | grep -E '^FINDING|Error'
