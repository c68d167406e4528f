#!/usr/bin/env bash
# squidpy 1.8.2: co_occurrence counts within each upper distance, not between the two edges of an interval.
#
# Guess: interval=[0, 30, 60] gives the co-occurrence of pairs 0 to 30 apart, and of pairs 30 to 60 apart, as its two
#   results do not otherwise need a lower edge.
# Seen: the second result counts all pairs up to 60; of interval=[30, 60] the only result is the same, although no pair
#   below 30 lies in the interval. Where each A has one B beside it and no other B within 60, an interval that begins
#   beyond the partner still shows the attraction.
# Consequence here: squidpy is used for ligrec and interaction_matrix only (benchmarks/communication_inference).
. "$(dirname "$0")/lib.sh"
packages squidpy==1.8.2 anndata==0.12.19 numpy==2.4.6 numba==0.68.1

cat >intervals.py <<'PYTHON'
import anndata
import numpy as np
import pandas as pd
import squidpy as sq

# Pairs of an A and a B 10 apart, 200 from pair to pair, and C in the gaps: 50 from each A, 40 or more from each B.
corners = np.array([(x, y) for x in range(0, 2000, 200) for y in range(0, 2000, 200)], float)
places = np.concatenate([corners, corners + (10, 0), corners + (0, 50)])
names = np.repeat(["A", "B", "C"], len(corners))
table = anndata.AnnData(
    np.zeros((len(places), 1), np.float32),
    obs=pd.DataFrame({"type": pd.Categorical(names)}, index=[str(i) for i in range(len(places))]),
    obsm={"spatial": places},
)
apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
ring = (apart > 30) & (apart <= 60)
beside = ring[np.ix_(names == "A", names == "B")].sum()
both, _ = sq.gr.co_occurrence(table, "type", interval=np.array([0.0, 30.0, 60.0]), copy=True)
outer, _ = sq.gr.co_occurrence(table, "type", interval=np.array([30.0, 60.0]), copy=True)
print(f"FINDING pairs of A and B that are 30 to 60 apart: {beside}")
print(f"FINDING co-occurrence of A and B from 30 to 60: {both[0, 1, 1]:.3f}, alone {outer[0, 1, 0]:.3f}; guess 0")
assert beside == 0
assert both[0, 1, 1] > 0.5
assert both[0, 1, 1] == outer[0, 1, 0]
PYTHON
"$python" -W ignore intervals.py 2>&1 | grep -E '^FINDING|Error'
