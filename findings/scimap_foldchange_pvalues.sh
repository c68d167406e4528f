#!/usr/bin/env bash
# scimap 2.3.6: p-values of a comparison with several images stand at other images and other cell types.
#
# foldchange compares the shares of cell types in one image with those in the others, and returns two tables of images
# by types: the changes and their p-values (Fisher's exact test).
# Guess: the p-value beside a change is that of this change: 1 where two images have the same cells.
# Seen: p-values are found type by type, and written image by image. One other image: right. Three others, of which the
#   first two have the very cells of the control and the third 20 instead of 100 B cells: the third has a change of 0.2
#   with p = 1, and the first, with a change of 1, has p = 7e-17. All values are in the table, at the wrong places.
#   There is no message. 2.4.1 has the same lines, and needs Python 3.12.
# Consequence here: none; exoabm reads positions and types of scimap's tables, and no result of its tests.
. "$(dirname "$0")/lib.sh"
packages scimap==2.3.6 numcodecs==0.15.2 numpy==1.26.4 pandas==2.3.3 scipy==1.12.0 anndata==0.10.9

cat >changes.py <<'PYTHON'
import anndata
import numpy as np
import pandas as pd
import scimap as sm
from scipy.stats import fisher_exact

TYPES = ["B", "M", "T"]
SAME, FEWER_B = (100, 100, 100), (20, 100, 180)


def compared(images):
    """Changes and p-values of `foldchange` against the image `control`, of the same cells as SAME."""
    counts = {"control": SAME, **images}
    cells = pd.DataFrame(
        [(image, kind) for image, of in counts.items() for kind, n in zip(TYPES, of) for _ in range(n)],
        columns=["imageid", "phenotype"],
        dtype="category",
    )
    cells.index = cells.index.astype(str)
    table = anndata.AnnData(np.zeros((len(cells), 1), np.float32), obs=cells)
    sm.tl.foldchange(table, from_group="control", verbose=False)
    return table.uns["foldchange_fc"], table.uns["foldchange_pval"]


def exact(counts):
    return [fisher_exact([[a, b], [sum(SAME) - a, sum(counts) - b]])[1] for a, b in zip(SAME, counts)]


change, p = compared({"treated": FEWER_B})
print(f"FINDING one other image: changes {change.loc['treated'].round(2).to_dict()}, p {p.loc['treated'].to_dict()}")
assert np.allclose(p.loc["treated"], exact(FEWER_B))

images = {"first": SAME, "second": SAME, "third": FEWER_B}
change, p = compared(images)
expected = pd.DataFrame([exact(counts) for counts in images.values()], index=[*images], columns=TYPES)
for image in images:
    print(
        f"FINDING {image} of three: changes {change.loc[image].round(2).to_dict()}, p {p.loc[image].to_dict()}, "
        f"by scipy {expected.loc[image].to_dict()}"
    )
assert np.allclose(change.loc["third"], [0.2, 1, 1.8])
assert np.isclose(p.loc["third", "B"], 1) and expected.loc["third", "B"] < 1e-15
assert p.loc["first", "T"] < 1e-15 and expected.loc["first", "T"] == 1
assert np.allclose(p.to_numpy().ravel(), expected.to_numpy().T.ravel())
PYTHON
"$python" -W ignore changes.py 2>&1 | grep -E '^FINDING|Error'
