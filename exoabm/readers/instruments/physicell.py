"""PhysiCell's ``cells.csv``, version 1 (four numbers a row) and 2 (a header that begins x,y,z,type)."""

from exoabm.readers.source import Place, Source

SOURCE = Source(
    name="PhysiCell",
    places=(Place(("x",), ("y",), ("z",), unit="um"),),
    beside=("type",),
    unit="um",
    types=("type",),
    down=False,
)
