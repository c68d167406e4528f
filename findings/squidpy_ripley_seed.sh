#!/usr/bin/env bash
# squidpy 1.8.2: with a seed, all simulations of ripley are the same.
#
# Guess: seed makes the random patterns repeatable; n_simulations of them differ from each other, and give an envelope.
# Seen: each simulation starts a generator anew from the same seed. 50 simulations are 50 copies of one: the envelope
#   has no width, and a p-value takes two values only, 0 and 1 / 51. Without a seed the simulations differ.
# Consequence here: squidpy is used for ligrec and interaction_matrix only (benchmarks/communication_inference).
. "$(dirname "$0")/lib.sh"
packages squidpy==1.8.2 anndata==0.12.19 numpy==2.4.6 numba==0.68.1

cat >seed.py <<'PYTHON'
import anndata
import numpy as np
import pandas as pd
import squidpy as sq

rng = np.random.default_rng(1)
cells = 500
table = anndata.AnnData(
    np.zeros((cells, 1), np.float32),
    obs=pd.DataFrame({"type": pd.Categorical(["T"] * cells)}, index=[str(i) for i in range(cells)]),
    obsm={"spatial": rng.uniform(0, 1000, (cells, 2))},
)


def simulate(seed):
    found = sq.gr.ripley(
        table, "type", mode="L", n_simulations=50, n_observations=cells, max_dist=100, n_steps=6, seed=seed, copy=True
    )
    last = found["sims_stat"].query("bins == 100").stats
    return last.nunique(), last.std(), sorted({round(float(p), 6) for p in found["pvalues"][0]})


several, spread, _ = simulate(None)
one, width, p_values = simulate(7)
print(f"FINDING different values in 50 simulations: {several} without a seed, {one} with one")
print(f"FINDING their standard deviation: {spread:.3f} without, {width:.3f} with; p-values with: {p_values}")
assert several > 40
assert one == 1
assert set(p_values) <= {0.0, round(1 / 51, 6)}
PYTHON
"$python" -W ignore seed.py 2>&1 | grep -E '^FINDING|Error'
