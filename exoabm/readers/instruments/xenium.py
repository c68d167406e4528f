"""10x Genomics Xenium: ``cells.parquet`` or ``cells.csv.gz`` of an output bundle."""

from exoabm.readers.source import Place, Source

SOURCE = Source(
    name="Xenium",
    places=(Place(("x_centroid",), ("y_centroid",), unit="um"),),
    beside=("cell_id",),
    unit="um",
    ids=(("cell_id",),),
    note="types stand in a second table, such as clusters.csv",
)
