"""Scores of methods that infer communication, with tables and plots."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.api.plots import new_axes
from exoabm.api.result import Result
from exoabm.api.saving import save_json
from exoabm.api.scenarios import file_of, in_python, words_of_python
from exoabm.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from exoabm.api.scenarios import Frame
    from exoabm.communication_inference import score as scoring


def score(truth: str | Path, result: str | Path | Frame, **options: Any) -> Score:
    """Score a result of inferred communication against the truth, beside baselines.

    Parameters
    ----------
    truth : str or Path
        A file made by ``run.export("truth.h5ad")``.
    result : str, Path or DataFrame
        A table with source, target and score, also of pandas or polars; a ``.h5ad`` of COMMOT or LIANA; or
        squidpy's ligrec as CSV.
    options
        ``amount``, ``column``, ``key``, ``better``, ``true_genes``, ``transpose`` and ``length``, as of
        ``exoabm score``; see ``communication_inference.score.score``.

    Raises
    ------
    InputError
        If a file or an option is not as it must be.

    Examples
    --------
    >>> import exoabm as xo
    >>> import pandas as pd
    >>> run = xo.run("two_cells", {"clock.step": "10 min"}, seed=1, hours=4)
    >>> truth = run.export("truth.h5ad")[0]
    >>> pairs = pd.DataFrame({"source": ["donor"], "target": ["recipient"], "score": [1.0]})
    >>> xo.score(truth, pairs).rows()[0]["auprc"]
    1.0
    """
    from exoabm.communication_inference.score import score as scored

    known = [name for name, each in signature(scored).parameters.items() if each.kind is each.KEYWORD_ONLY]
    for name in options:
        if name not in known:
            raise InputError(f"score has no {name!r}{did_you_mean(name, known)}; one of {', '.join(known)}")
    with words_of_python(result), file_of(result, "table of scores") as path:
        return Score(scored(Path(truth), path, **options))


class Score(Result):
    """Agreement of a result and of baselines.

    Attributes
    ----------
    found : communication_inference.score.Report
    """

    def __init__(self, found: scoring.Report) -> None:
        self.found = found
        self.title = f"{found.description}: {found.cells:,} cells, {found.donors:,} of them true donors"
        self.notes = [*found.notes, *(f"Warning: {in_python(each)}" for each in found.warnings)]

    def rows(self) -> list[dict[str, Any]]:
        """Per method and pairs: ``prevalence`` (the AUPRC of chance), ``auprc``, ``auroc``, ``spearman``."""
        names = ("prevalence", "auprc", "auroc", "spearman")
        return [
            {"method": method, "pairs": f"{which}, {word}"} | {n: getattr(found, n) for n in names}
            for method, parts in self.found.rows.items()
            for word, part in parts.items()
            for which, found in part.items()
        ]

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw the AUPRC of each method over all pairs of different cells; the line is that of chance."""
        from exoabm.communication_inference.score import ALL, OUT
        from exoabm.plot.palette import COOL, MUTED

        found = {method: parts[OUT][ALL] for method, parts in self.found.rows.items()}
        values = [np.nan if each.auprc is None else each.auprc for each in found.values()]
        chance = next(iter(found.values())).prevalence
        with new_axes(ax) as ax:
            ax.barh(range(len(found)), values, color=COOL[1])
            ax.set_yticks(range(len(found)), list(found))
            if chance is not None:
                ax.axvline(chance, color=MUTED, lw=0.8)
            ax.set(xlabel="AUPRC, all pairs of different cells", xlim=(0, 1))
            ax.invert_yaxis()
            ax.spines[["top", "right"]].set_visible(False)
        return ax

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write all measures to a JSON file."""
        return save_json(self.found.plain(), Path(path), overwrite=overwrite)
