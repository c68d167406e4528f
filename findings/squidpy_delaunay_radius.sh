#!/usr/bin/env bash
# squidpy 1.8.2: of two limits on the neighbors of a cell one is used, without a message.
#
# Guess: spatial_neighbors(delaunay=True, radius=20.0) has the edges of the triangulation of at most 20, and
#   spatial_neighbors(n_neighs=3, radius=20.0) the three nearest cells within 20; or the call is refused.
# Seen: beside delaunay a number as radius is ignored: edges of over 200 um stay. Only the pair (0.0, 20.0) limits them.
#   Beside a radius, as a number or as a pair, n_neighs is ignored: cells have up to 6 neighbors or more.
# Consequence here: none; spatial_neighbors is not used.
. "$(dirname "$0")/lib.sh"
packages squidpy==1.8.2 anndata==0.12.19 numpy==2.4.6 numba==0.68.1

cat >radius.py <<'PYTHON'
import anndata
import numpy as np
import squidpy as sq

places = np.random.default_rng(0).uniform(0, 500, (400, 2))
table = anndata.AnnData(np.zeros((400, 1), np.float32), obsm={"spatial": places})


def graph(**options):
    sq.gr.spatial_neighbors(table, coord_type="generic", **options)
    distances = table.obsp["spatial_distances"]
    return distances.nnz, float(distances.max()), int(np.diff(table.obsp["spatial_connectivities"].indptr).max())


(edges, longest, _), (limited, limited_longest, _) = graph(delaunay=True), graph(delaunay=True, radius=20.0)
pair, pair_longest, _ = graph(delaunay=True, radius=(0.0, 20.0))
print(f"FINDING delaunay: {edges} edges; with radius=20.0: {limited}, the longest {limited_longest:.0f}; guess: 20")
print(f"FINDING delaunay with radius=(0.0, 20.0): {pair} edges, the longest {pair_longest:.1f}")
within, _, most = graph(radius=20.0)
for radius in (20.0, (0.0, 20.0)):
    both, _, of_both = graph(n_neighs=3, radius=radius)
    print(f"FINDING n_neighs=3 with radius={radius}: up to {of_both} neighbors a cell; guess: 3")
    assert (both, of_both) == (within, most)
    assert most > 3
assert (limited, limited_longest) == (edges, longest)
assert longest > 200
assert pair < edges / 2
assert pair_longest <= 20
PYTHON
"$python" -W ignore radius.py 2>&1 | grep -E '^FINDING|Error'
