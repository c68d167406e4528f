#!/usr/bin/env bash
# squidpy 1.8.2: Ripley's L of a cell type is multiplied by the type's share of all cells.
#
# Guess: L(r) of a type of complete spatial randomness is about r (a little less, for want of an edge correction), and
#   depends on the cells of that type alone; the random patterns that it is compared with have as many points.
# Seen: the density is that of all cells in the table. A type of 1,000 random cells has L(50) near 48 alone and near 12
#   where 3,000 cells of another type are added, at the same places of its own cells; the simulations have
#   n_observations points (1,000), also divided by the density of all cells, so that a type of 250 random cells looks
#   dispersed.
# Consequence here: squidpy is used for ligrec and interaction_matrix only (benchmarks/communication_inference).
. "$(dirname "$0")/lib.sh"
packages squidpy==1.8.2 anndata==0.12.19 numpy==2.4.6 numba==0.68.1

cat >scale.py <<'PYTHON'
import anndata
import numpy as np
import pandas as pd
import squidpy as sq

rng = np.random.default_rng(1)
places = rng.uniform(0, 1000, (4000, 2))


def l_at_50(others, own=1000):
    count = own + others
    kinds = ["T"] * own + ["other"] * others
    table = anndata.AnnData(
        np.zeros((count, 1), np.float32),
        obs=pd.DataFrame({"type": pd.Categorical(kinds)}, index=[str(i) for i in range(count)]),
        obsm={"spatial": places[:count]},
    )
    found = sq.gr.ripley(table, "type", mode="L", n_simulations=20, max_dist=50, n_steps=2, copy=True)
    own_value = found["L_stat"].query("bins == 50 and type == 'T'").stats.item()
    return own_value, found["sims_stat"].query("bins == 50").stats.mean()


alone, _ = l_at_50(0)
beside, _ = l_at_50(3000)
few, random_few = l_at_50(750, own=250)
print(f"FINDING L(50) of the same 1,000 random cells: alone {alone:.1f}, beside 3,000 others {beside:.1f}; guess 50")
print(f"FINDING 250 random cells of 1,000: L(50) = {few:.1f}, random patterns {random_few:.1f}; guess: alike")
assert 45 < alone < 52
assert 0.22 < beside / alone < 0.28
assert few < 0.5 * random_few
PYTHON
"$python" -W ignore scale.py 2>&1 | grep -E '^FINDING|Error'
