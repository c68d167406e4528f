"""MCMICRO's quantification tables, and what scimap makes of them."""

from exoabm.readers.source import Place, Source

SOURCE = Source(
    name="MCMICRO or scimap",
    places=(Place(("X_centroid",), ("Y_centroid",)),),
    unit="pixels, whose width is asked for",
    proposal="0.65 um",
    types=("phenotype",),
    ids=(("CellID",),),
    images=("imageid", "ImageNumber"),
)
