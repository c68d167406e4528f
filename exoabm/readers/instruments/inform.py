"""Akoya inForm: ``*_cell_seg_data.txt``."""

from exoabm.readers.source import Place, Source

SOURCE = Source(
    name="inForm",
    places=(Place(("Cell X Position",), ("Cell Y Position",)),),
    unit="um or pixels, as exported: asked for",
    types=("Phenotype",),
    ids=(("Cell ID",),),
    images=("Sample Name",),
)
