"""How pictures of a run draw its cell types: settled by the cells that it starts with, kept to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from exoabm.plot.palette import Style, cell_styles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exoabm.physiology import CellType
    from exoabm.state import State


class Looks(NamedTuple):
    """A style for each cell type, and which of the types have cells or can come to have some."""

    styles: tuple[Style, ...]
    drawn: tuple[bool, ...]

    @classmethod
    def of(cls, types: Sequence[CellType], counts: np.ndarray) -> Looks:
        """Looks by the cells of each type, (types); what cells can turn into counts as one cell at least."""
        counts = counts.copy()
        coming = [t.becomes for t in types if t.becomes is not None]
        counts[coming] = np.maximum(counts[coming], 1)
        return cls(tuple(cell_styles(types, counts)), tuple((counts > 0).tolist()))

    @classmethod
    def of_state(cls, state: State) -> Looks:
        """Looks by the cells that the run of a state started with."""
        return cls.of(state.types, _at_start(state))

    def colored_like(self, other: Looks) -> Looks:
        """The same roles in the colors of another run of the same types."""
        pairs = zip(self.styles, other.styles, strict=True)
        return Looks(tuple(Style(own.name, own.role, its.color, its.named) for own, its in pairs), self.drawn)


def _at_start(state: State) -> np.ndarray:
    """Cells of each type at the start (T): those of now, less births, plus deaths, and types changed back."""
    lineage = state.lineage
    counts = np.bincount(state.cells.type, minlength=len(state.types))
    counts += lineage.deaths + lineage.transformations - lineage.divisions
    for index, cell_type in enumerate(state.types):
        if cell_type.becomes is not None:
            counts[cell_type.becomes] -= lineage.transformations[index]
    return counts
