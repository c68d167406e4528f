"""Differences between two runs or batches, with a table and a plot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from exoabm.api.batches import Batch
from exoabm.api.plots import new_axes
from exoabm.api.result import LABELED, Result
from exoabm.api.runs import Run
from exoabm.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from exoabm.batch import comparison as comparing

MOST_BARS = 12
"""Readouts in a plot of differences."""


def compare(a: Run | Batch | str | Path, b: Run | Batch | str | Path) -> Comparison:
    """Compare two runs, sweeps or arms of sweeps: changed keys, and differences of readouts.

    Rows of the same seed are compared in pairs, so that what they have in common drops out.

    Parameters
    ----------
    a, b
        Results, folders, or arms of a sweep as text, ``"DIR@KEY=VALUE"``.

    Examples
    --------
    >>> import exoabm as xo
    >>> small = {"clock.step": "10 min", "domain.voxel": "40 um"}
    >>> a = xo.run("two_cells", small, seed=1, hours=1)
    >>> b = xo.run("two_cells", small | {"cell_type.donor.release_rate": 120}, seed=1, hours=1)
    >>> found = xo.compare(a, b)
    >>> found.changed
    {'cell_type.donor.release_rate': ('60.0 1/h', '120.0 1/h')}
    >>> [row["relative"] for row in found.rows() if row["readout"] == "emitted[exosome]"]
    [1.0]
    """
    from exoabm.batch.comparison import compare as compared

    texts = [str(each.folder) if isinstance(each, Run | Batch) else str(each) for each in (a, b)]
    return Comparison(compared(*texts))


class Comparison(Result):
    """Differences of readouts, B - A, with 95 % intervals where there are replicates.

    Attributes
    ----------
    found : batch.comparison.Comparison
    """

    def __init__(self, found: comparing.Comparison) -> None:
        self.found, self.notes = found, found.warnings
        self.title = f"comparison of {found.a.name} and {found.b.name}"

    @property
    def changed(self) -> dict[str, tuple[str, str]]:
        """Keys of the scenario that differ, with both values."""
        return self.found.changed

    @property
    def warnings(self) -> list[str]:
        """What a reader of the differences should know."""
        return self.found.warnings

    def rows(self) -> list[dict[str, Any]]:
        """Per readout: ``a``, ``b``, ``difference``, its half interval, and its share of A."""
        return [
            {
                "readout": line.readout,
                "a": line.a,
                "b": line.b,
                "difference": line.difference,
                "ci95_half": line.half,
                "relative": line.relative,
            }
            for line in self.found.lines
        ]

    def plot(self, *readouts: str, ax: Axes | None = None) -> Axes:
        """Draw differences as shares of A in percent, with their intervals; by default the largest.

        Raises
        ------
        InputError
            If a readout is unknown, is the same, or is 0 in A; or if none has a share.
        """
        from exoabm.plot.palette import COOL, MUTED

        differing = {line.readout: line for line in self.found.lines if line.difference}
        known = {name: line for name, line in differing.items() if line.relative is not None}
        for name in readouts:
            if name not in differing:
                raise InputError(f"no readout {name!r} differs{did_you_mean(name, differing)}")
            if name not in known:
                raise InputError(f"{name} is 0 in A, so there is no share")
        chosen = readouts or sorted(known, key=lambda name: -abs(known[name].relative or 0.0))[:MOST_BARS]
        if not chosen and differing:
            raise InputError(f"{', '.join(differing)}: 0 in A, so there is no share")
        if not chosen:
            raise InputError("no readout differs")
        shares = [100 * (known[name].relative or 0.0) for name in chosen]
        halves = [100 * (known[name].half or 0.0) / abs(known[name].a) for name in chosen]
        with new_axes(ax, LABELED) as ax:
            ax.barh(
                range(len(chosen)), shares, xerr=halves, color=COOL[1], error_kw={"lw": 0.8, "capsize": 2}
            )
            ax.set_yticks(range(len(chosen)), [name.replace("_", " ") for name in chosen], parse_math=False)
            ax.axvline(0, color=MUTED, lw=0.6)
            ax.set_xlabel("difference B - A, as a share of A (%)")
            ax.invert_yaxis()
            ax.spines[["top", "right"]].set_visible(False)
        return ax

    def save(self, folder: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Write ``comparison.json`` and, of two runs, the table and plot of differences over time.

        Raises
        ------
        InputError
            If the folder exists, unless it holds nothing but these files and may be replaced.
        RunFailed
            If the disk is full.
        """
        from exoabm.batch.comparison import write
        from exoabm.output.durable_files import folder_errors

        with folder_errors(Path(folder).parent, Path(folder)):
            return write(self.found, Path(folder), overwrite=overwrite)
