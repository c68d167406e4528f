"""``cells.parquet`` of a run folder: the cells of a run, at the times that were recorded."""

from exoabm.readers.source import Place, Source

SOURCE = Source(
    name="a run of exoabm",
    places=(Place(("x_um",), ("y_um",), ("z_um",)),),
    beside=("time_s", "cell", "cell_type"),
    unit="um",
    types=("cell_type",),
    ids=(("cell",),),
    down=False,
)
