"""Runs one tool on truth files, in the environment of that tool: ``python tools.py TOOL LIST.json``.

The list has pairs of a truth file and a file to write. A tool is given what an observer has: ``X``,
``obs["cell_type"]``, ``obsm["spatial"]``, and all candidate pairs of ligand and receptor, decoys among them.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

PERMUTATIONS = 100


def observed(path: str) -> tuple[Any, Any]:
    """What of a truth file a tool may know, and the candidate pairs."""
    import anndata  # type: ignore[import-not-found]

    whole = anndata.read_h5ad(path)
    pairs = whole.uns["ligand_receptor"][["ligand", "receptor", "pathway"]]
    seen = anndata.AnnData(whole.X, obs=whole.obs[["cell_type"]].copy(), var=whole.var[[]].copy())
    seen.obsm["spatial"] = whole.obsm["spatial"]
    return seen, pairs


def liana(path: str, to: str) -> None:
    """Consensus of LIANA's methods, between types."""
    import liana as li  # type: ignore[import-not-found]

    seen, pairs = observed(path)
    li.mt.rank_aggregate(
        seen, groupby="cell_type", resource=pairs[["ligand", "receptor"]], use_raw=False, expr_prop=0.0,
        min_cells=1, n_perms=PERMUTATIONS, seed=1, verbose=False,
    )  # fmt: skip
    seen.uns["liana_res"].to_csv(to, index=False)


def squidpy(path: str, to: str) -> None:
    """Permutation test of CellPhoneDB as squidpy has it, between types: means."""
    import squidpy as sq  # type: ignore[import-not-found]

    seen, pairs = observed(path)
    candidates = pairs[["ligand", "receptor"]].set_axis(["source", "target"], axis=1)
    found = sq.gr.ligrec(
        seen, "cell_type", interactions=candidates, use_raw=False, threshold=0.0, n_perms=PERMUTATIONS,
        seed=1, copy=True, show_progress_bar=False,
    )  # fmt: skip
    found["means"].to_csv(to)


def commot(path: str, to: str, reach: float) -> None:
    """COMMOT's optimal transport between cells within a distance in um."""
    import anndata
    import commot as ct  # type: ignore[import-not-found]

    seen, pairs = observed(path)
    ct.tl.spatial_communication(seen, database_name="lr", df_ligrec=pairs, dis_thr=reach, heteromeric=False)
    result = anndata.AnnData(obs=seen.obs[[]])
    result.obsp["commot-lr-total-total"] = seen.obsp["commot-lr-total-total"]
    result.write_h5ad(to)


TOOLS: dict[str, Callable[[str, str], None]] = {
    "liana": liana,
    "squidpy": squidpy,
}
"""Beside ``commot_N``, COMMOT with a threshold of N um."""

if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    for path, to in json.loads(Path(sys.argv[2]).read_text()):
        if not Path(to).exists():
            start = time.perf_counter()
            tool, _, reach = sys.argv[1].partition("_")
            if tool == "commot":
                commot(path, to, float(reach))
            else:
                TOOLS[tool](path, to)
            print(f"{to} {time.perf_counter() - start:.1f} s", flush=True)
