"""10x Genomics Visium: ``tissue_positions.csv`` of Space Ranger 2 or later."""

from exoabm.readers.source import Place, Source

SOURCE = Source(
    name="Visium",
    places=(Place(("pxl_col_in_fullres",), ("pxl_row_in_fullres",)),),
    unit="pixels, whose width is asked for",
    ids=(("barcode",),),
    kept=(("in_tissue", ("1",)),),
    note="a spot of Visium is 55 um wide and holds several cells",
)
