"""Vizgen MERSCOPE: ``cell_metadata.csv``."""

from exoabm.readers.source import Place, Source

SOURCE = Source(
    name="MERSCOPE",
    places=(Place(("center_x",), ("center_y",), unit="um"),),
    beside=("fov", "volume"),
    unit="um",
    ids=(("EntityID",), ("",)),
)
